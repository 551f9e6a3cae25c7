"""Expectations over misalignments: the mean of draws, derivatives, limits."""

from __future__ import annotations

import numpy as np
import pytest

from pysoftcorr.mocks import (
    GalaxyCatalog,
    HaloCatalog,
    HODModel,
    alignment_sums,
    box_correlations,
    expected_correlations,
)
from pysoftcorr.mocks.alignment import order_parameter

EDGES = np.geomspace(0.1, 10, 8)


@pytest.fixture(scope="module")
def galaxies() -> GalaxyCatalog:
    rng = np.random.default_rng(3)
    n, L = 150, 40.0
    mass = 10 ** rng.uniform(12.5, 14.3, n)
    axis = rng.normal(size=(n, 3)) * [1, 1, 3]  # halos that point alike
    halos = HaloCatalog(
        rng.uniform(0, L, (n, 3)), mass, 0.97 * (mass / 1e14) ** (1 / 3), np.full(n, 6.0), axis,
        boxsize=L,
    )  # fmt: skip
    return HODModel.preset("mstar10.0").populate(halos, seed=1)


def weights(galaxies: GalaxyCatalog) -> np.ndarray:
    return np.random.default_rng(1).uniform(0.5, 2, len(galaxies))


@pytest.mark.parametrize(("mu_cen", "mu_sat", "gamma"), [(0.8, 0.5, 0.0), (-0.6, 0.9, 0.7)])
def test_mean_of_many_draws(galaxies, mu_cen: float, mu_sat: float, gamma: float) -> None:
    w = weights(galaxies)
    expected = expected_correlations(galaxies, mu_cen, mu_sat, gamma=gamma, bins=EDGES, weights=w)
    draws = [
        box_correlations(
            galaxies.realign(mu_cen=mu_cen, mu_sat=mu_sat, gamma=gamma, seed=seed),
            bins=EDGES,
            weights=w,
        )
        for seed in range(120)
    ]
    np.testing.assert_array_equal(expected.npairs, draws[0].npairs)
    np.testing.assert_allclose(expected.xi, draws[0].xi, rtol=1e-12)
    np.testing.assert_allclose(expected.r, draws[0].r, rtol=1e-12)
    for name in ("omega", "eta", "omega_1h", "omega_2h", "eta_1h", "eta_2h"):
        values = np.array([getattr(d, name) for d in draws])
        error = values.std(axis=0, ddof=1) / np.sqrt(len(draws))
        here = np.isfinite(getattr(expected, name))
        np.testing.assert_array_equal(here, np.isfinite(values[0]))
        pull = ((values.mean(axis=0) - getattr(expected, name)) / error)[here]
        assert np.abs(pull).max() < 4
        # The check has teeth: the signal is many errors.
        if name == "omega":
            assert np.abs(getattr(expected, name) / error)[here].max() > 20


def test_aligned_axes_are_the_references(galaxies) -> None:
    expected = expected_correlations(galaxies, 1.0, 1.0, bins=EDGES)
    exact = box_correlations(galaxies.realign(mu_cen=1, mu_sat=1, seed=1), bins=EDGES)
    for name in ("omega", "eta", "omega_1h", "eta_2h"):
        np.testing.assert_allclose(
            getattr(expected, name), getattr(exact, name), rtol=1e-12, atol=1e-13
        )


def test_random_axes_are_not_correlated(galaxies) -> None:
    expected = expected_correlations(galaxies, 0.0, 0.0, bins=EDGES)
    np.testing.assert_allclose(expected.omega, 0, atol=1e-15)
    np.testing.assert_allclose(expected.eta, 0, atol=1e-15)
    np.testing.assert_allclose(expected.deta_dmu_cen, 0, atol=1e-15)
    assert np.abs(expected.domega_dmu_sat).max() > 0.01


@pytest.mark.parametrize("gamma", [0.0, 0.5, -0.3])
@pytest.mark.parametrize(("mu_cen", "mu_sat"), [(0.7, 0.4), (-0.8, 0.05), (0.1, -0.6)])
def test_derivatives_against_differences(galaxies, mu_cen, mu_sat, gamma) -> None:
    w = weights(galaxies)

    def at(c: float, s: float):
        return expected_correlations(galaxies, c, s, gamma=gamma, bins=EDGES, weights=w)

    h = 1e-5
    base = at(mu_cen, mu_sat)
    for name in ("omega", "eta"):
        for kind, plus, minus in (
            ("cen", at(mu_cen + h, mu_sat), at(mu_cen - h, mu_sat)),
            ("sat", at(mu_cen, mu_sat + h), at(mu_cen, mu_sat - h)),
        ):
            difference = (getattr(plus, name) - getattr(minus, name)) / (2 * h)
            exact = getattr(base, f"d{name}_dmu_{kind}")
            # Satellites that reach |mu| = 1 within h of the point bend the difference.
            np.testing.assert_allclose(exact, difference, atol=2e-6 if gamma < 0 else 1e-9)


def test_one_pass_serves_every_strength(galaxies) -> None:
    sums = alignment_sums(galaxies, bins=EDGES)
    for mu in ((0.3, -0.2), (1.0, -1.0)):
        a, b = sums.at(*mu), expected_correlations(galaxies, *mu, bins=EDGES)
        for name in ("xi", "omega", "eta", "deta_dmu_sat", "omega_1h"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def test_constant_strength_either_way(galaxies) -> None:
    # gamma is a number on another path of the code; next to 0 it must say the same.
    a = expected_correlations(galaxies, 0.6, 0.4, bins=EDGES)
    b = expected_correlations(galaxies, 0.6, 0.4, gamma=1e-13, bins=EDGES)
    for name in ("omega", "eta", "domega_dmu_sat", "deta_dmu_sat", "deta_dmu_cen", "eta_1h"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), atol=1e-11)


def test_drawn_axes_in_the_same_pass(galaxies) -> None:
    # Against the function that knows of drawn axes alone; summed in another order.
    sums = alignment_sums(galaxies, bins=EDGES, drawn=True)
    found = box_correlations(galaxies, bins=EDGES)
    for ours, theirs in zip(sums.drawn(), (found.omega, found.eta), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-14)
    plain = alignment_sums(galaxies, bins=EDGES)
    np.testing.assert_array_equal(sums.response(), plain.response())
    with pytest.raises(ValueError, match="pass drawn=True"):
        plain.drawn()


def test_response_gives_every_strength(galaxies) -> None:
    A, B, C, D, E = alignment_sums(galaxies, bins=EDGES).response()
    for mu_cen, mu_sat in ((0.7, -0.4), (1.0, 1.0), (-1.0, 0.3)):
        a, b = order_parameter(mu_cen), order_parameter(mu_sat)
        expected = expected_correlations(galaxies, mu_cen, mu_sat, bins=EDGES)
        np.testing.assert_allclose(a * A + b * B, expected.omega, rtol=1e-13, atol=1e-15)
        np.testing.assert_allclose(
            a * a * C + a * b * D + b * b * E, expected.eta, rtol=1e-13, atol=1e-15
        )


def test_one_kind_alone(galaxies) -> None:
    for mask, silent in ((galaxies.central, "sat"), (~galaxies.central, "cen")):
        expected = expected_correlations(galaxies[mask], 0.5, 0.5, bins=EDGES)
        some = expected.npairs > 0
        assert (getattr(expected, f"domega_dmu_{silent}")[some] == 0).all()
        assert np.isnan(expected.omega[~some]).all()
        np.testing.assert_array_equal(expected.xi[~some], -1)


def test_bad_input_is_named(galaxies) -> None:
    with pytest.raises(ValueError, match=r"mu_sat = 1.5: an alignment strength lies in"):
        expected_correlations(galaxies, 0.5, 1.5)
    with pytest.raises(TypeError, match="mu_cen must be one number"):
        expected_correlations(galaxies, [0.5, 0.2], 0.5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="galaxies must be a GalaxyCatalog, not list"):
        expected_correlations([[1, 2, 3]], 0.5, 0.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="gamma = nan"):
        expected_correlations(galaxies, 0.5, 0.5, gamma=np.nan, bins=EDGES)
    with pytest.raises(ValueError, match="at most half of the periodic box"):
        expected_correlations(galaxies, 0.5, 0.5, bins=[1.0, 21.0])
