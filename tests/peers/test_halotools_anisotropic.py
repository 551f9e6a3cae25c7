"""Projected correlations, multipoles and velocities in halos against halotools."""

from __future__ import annotations

import numpy as np
import pytest
from halotools.empirical_models import NFWPhaseSpace
from halotools.mock_observables import (
    gi_plus_projected,
    ii_plus_projected,
    rp_pi_tpcf,
    s_mu_tpcf,
    tpcf_multipole,
    wp,
)

from pysoftcorr.mocks import multipoles, projected_correlations
from pysoftcorr.mocks.velocities import nfw_dispersion

SIDES = (60.0, 75.0, 90.0)
RP = np.geomspace(0.1, 16.0, 11)
PI = np.linspace(0.0, 25.0, 6)


def close(ours, theirs) -> None:
    np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-10)


def clumps(seed: int, n: int):
    """Positions in clumps that all seeds share; angles and sizes of shapes on the sky, weights."""
    rng = np.random.default_rng(seed)
    centers = np.random.default_rng(0).uniform(0, SIDES, (300, 3))
    position = centers[rng.integers(0, len(centers), n)] + 0.7 * rng.normal(size=(n, 3))
    return np.mod(position, SIDES), rng.uniform(0, np.pi, n), rng.random(n), rng.uniform(0.2, 2, n)


def shapes(angle, size):
    """For both: orientations and ellipticities, and complex numbers."""
    return np.stack([np.cos(angle), np.sin(angle)], axis=1), size * np.exp(2j * angle)


@pytest.mark.parametrize("seed", [1, 2])
def test_of_positions(seed: int) -> None:
    p, *_ = clumps(seed, 2000)
    ours = projected_correlations(p, boxsize=SIDES, rp_bins=RP, pi_bins=PI)
    close(ours.xi, rp_pi_tpcf(p, RP, PI, period=SIDES, estimator="Natural"))
    one = projected_correlations(p, boxsize=SIDES, rp_bins=RP, pi_bins=[0.0, 25.0])
    close(one.wp, wp(p, RP, 25.0, period=SIDES, estimator="Natural"))


@pytest.mark.parametrize("seed", [3, 4])
@pytest.mark.parametrize("two", [False, True])
def test_of_shapes(seed: int, two: bool) -> None:
    p, angle, size, w = clumps(seed, 1500)
    q, turn, other, v = clumps(seed + 10, 1200) if two else (p, angle, size, w)
    (o1, e), (o2, f) = shapes(angle, size), shapes(turn, other)
    given = {"second": q, "second_ellipticity": f, "second_weights": v} if two else {}
    ours = projected_correlations(
        p, boxsize=SIDES, rp_bins=RP, pi_bins=[0.0, 25.0], ellipticity=e, weights=w, **given
    )
    # Without randoms its analytic pairs are numbers, where these are of weights.
    weighted = w.sum() * v.sum() / (len(w) * len(v))
    theirs = gi_plus_projected(p, o1, size, q, RP, 25.0, weights1=w, weights2=v, period=SIDES)
    close(ours.w_gp * weighted, theirs)
    arguments = (p, o1, size, q, o2, other, RP, 25.0)
    options = {"weights1": w, "weights2": v, "period": SIDES}
    close(ours.w_pp * weighted, ii_plus_projected(*arguments, **options))
    # Its ii_minus_projected takes the orientations of the first sample for both (0.9.4).


def test_multipoles() -> None:
    p, *_ = clumps(5, 2000)
    mu = np.linspace(0, 1, 101)
    ours = multipoles(p, boxsize=SIDES, bins=RP, mu_bins=mu)
    theirs = s_mu_tpcf(p, RP, mu, period=SIDES, estimator="Natural")
    close(ours.xi, theirs)
    for order, values in ((0, ours.xi0), (2, ours.xi2), (4, ours.xi4)):
        # Polynomials at the middle of the bins, of a hundredth, and their means.
        expected = tpcf_multipole(theirs, mu, order=order)
        np.testing.assert_allclose(values, expected, atol=1e-3 * np.abs(ours.xi0).max())


@pytest.mark.parametrize("concentration", [3.0, 7.0, 15.0])
def test_velocities_in_halos(concentration: float) -> None:
    model = NFWPhaseSpace()
    radius = np.geomspace(0.02, 1, 30)
    theirs = model.dimensionless_radial_velocity_dispersion(radius, concentration)
    np.testing.assert_allclose(nfw_dispersion(radius, concentration), theirs, rtol=1e-4)
