"""Coordinates of the samplers: bounds, Jacobians, and the ridges of an HOD."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from helpers.linear_posterior import CUT  # noqa: E402
from pysoftcorr.diffhod.experiments.targets import PRIORS, OccupationBend  # noqa: E402
from pysoftcorr.inference.target import Coordinates, GaussianLikelihood, Target  # noqa: E402
from pysoftcorr.mocks import HODModel  # noqa: E402

INF = math.inf
CENTER = np.array([12.03, 0.35, 11.2, 13.3, 1.1])
_ROOT = np.diag([0.1, 0.15, 0.5, 0.2, 0.14]) @ (
    np.eye(5) + 0.6 * np.tril(np.random.default_rng(8).uniform(size=(5, 5)), -1)
)
SPREAD = _ROOT @ _ROOT.T
#: A falling mass function, 1e11 to 1e15 Msun/h.
MASS = 1e11 * np.linspace(1e-4, 1, 30_000) ** -1.0


def bend() -> OccupationBend:
    return OccupationBend.about(MASS, CENTER, SPREAD)


def jacobian(there: Coordinates, u: np.ndarray) -> np.ndarray:
    return torch.autograd.functional.jacobian(
        lambda v: there.forward(v)[0], torch.as_tensor(u)
    ).numpy()


@pytest.mark.parametrize("kind", ["cut", "occupation", "bent occupation"])
def test_there_and_back_with_the_jacobian(kind: str) -> None:
    if kind == "cut":
        there = Coordinates(CUT, [0.4, 0.3, 0.5], np.diag([0.04, 0.03, 0.02]) + 0.01)
    else:
        there = Coordinates(
            PRIORS, CENTER, SPREAD, bend=bend() if kind.startswith("bent") else None
        )
    n = len(there.priors)
    rng = np.random.default_rng(3)
    for u in (*rng.normal(size=(20, n)), 2.5 * np.eye(n)[1] - 3 * np.eye(n)[-1]):
        params = there.params(u)
        assert (params > there.priors.low).all()
        assert (params < there.priors.high).all()
        ours, log_slope = there.forward(torch.as_tensor(u))
        np.testing.assert_allclose(ours.numpy(), params, rtol=1e-12, atol=1e-300)
        _, log_det = np.linalg.slogdet(jacobian(there, u))
        _, at_lower = np.linalg.slogdet(there.lower)
        assert float(log_slope) + at_lower == pytest.approx(log_det, abs=1e-8)
    u = rng.normal(size=(5, n))
    np.testing.assert_allclose(there.u(there.params(u)), u, atol=1e-9)
    # u is standard normal in the linear approximation about the center
    if kind != "cut":
        slope = jacobian(there, np.zeros(5))
        np.testing.assert_allclose(slope @ slope.T, SPREAD, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(there.params(np.zeros(5)), CENTER, rtol=1e-12)


def test_bend_has_the_slope_it_says() -> None:
    at = bend()
    step = 1e-6
    numerical = [
        (at.straight(CENTER + d) - at.straight(CENTER - d)) / (2 * step) for d in step * np.eye(5)
    ]
    np.testing.assert_allclose(np.transpose(numerical), at.jacobian(CENTER), atol=1e-7)


def test_bend_makes_its_pairs_uncorrelated() -> None:
    """m and sigma, and the first coordinate and the part of satellites."""
    at = bend()
    m = np.eye(5)[0] - 2 * at.curve * CENTER[1] * np.eye(5)[1]
    assert m @ SPREAD @ np.eye(5)[1] == pytest.approx(0, abs=1e-12)

    def part(params: np.ndarray) -> float:
        return float(at._satellites(torch.as_tensor(params))[0])

    step = 1e-5
    slope = np.array([(part(CENTER + d) - part(CENTER - d)) / (2 * step) for d in step * np.eye(5)])
    first = at.jacobian(CENTER)[0]
    error = math.sqrt(first @ SPREAD @ first * (slope @ SPREAD @ slope))
    assert abs(first @ SPREAD @ slope) < 1e-4 * error


def test_satellites_are_those_of_the_occupation() -> None:
    """But for the soft step and cut-off, a few per cent."""
    at = bend()
    for params in (CENTER, [12.5, 0.2, 11.8, 13.4, 0.9]):
        model = HODModel(**dict(zip(PRIORS.names, params, strict=True)))
        n_sat, n_cen = model.mean_nsat(MASS).sum(), model.mean_ncen(MASS).sum()
        part = float(at._satellites(torch.as_tensor(np.array(params)))[0])
        assert part == pytest.approx(n_sat / (n_sat + n_cen), rel=0.1)


def test_bend_keeps_the_satellites_of_large_halos_in_proportion() -> None:
    """At fixed q, <Nsat> at the pivot over all galaxies is the same, whatever logMmin is."""
    at = bend()
    z = at.straight(CENTER)
    found = []
    for first in (0.8 * z[0], z[0], 1.2 * z[0]):
        params = at.bent([first, *z[1:]])
        model = HODModel(**dict(zip(PRIORS.names, params, strict=True)))
        number = model.mean_nsat(MASS).sum() + model.mean_ncen(MASS).sum()
        found.append(10 ** (params[4] * (at.pivot - params[3])) / number)
    assert np.ptp(found) < 0.05 * found[1]


def test_bend_says_where_it_leads_nowhere() -> None:
    at = bend()
    z = at.straight(CENTER)
    z[3] += 2
    with pytest.raises(ValueError, match="more than all galaxies"):
        at.bent(z)
    z[0], z[3] = -50, at.straight(CENTER)[3]
    with pytest.raises(ValueError, match="would be no masses"):
        at.bent(z)
    there = Coordinates(PRIORS, CENTER, SPREAD, bend=at)
    target = Target(lambda params: params, GaussianLikelihood(CENTER, SPREAD), PRIORS, there)
    far = np.linalg.solve(there.lower, 2 * np.eye(5)[3])
    assert target.log_density(far) == -INF
    u = torch.tensor(far, requires_grad=True)
    value = target.potential(u)
    assert float(value.detach()) == INF
    assert torch.autograd.grad(value, u)[0].tolist() == [0.0] * 5


def test_both_densities_of_a_target_are_one() -> None:
    """That of emcee, in numbers, and the potential of NUTS; whatever the coordinates."""
    likelihood = GaussianLikelihood(CENTER, SPREAD)
    there = Coordinates(PRIORS, CENTER, SPREAD, bend=bend())
    target = Target(lambda params: params, likelihood, PRIORS, there)
    bare = Target(lambda params: params, likelihood, PRIORS)
    for u in np.random.default_rng(4).normal(size=(10, 5)):
        tensor = torch.as_tensor(u)
        assert target.log_density(u) == pytest.approx(-float(target.potential(tensor)), abs=1e-9)
        params, log_slope = there.forward(tensor)
        density = bare.log_density(params.numpy()) + float(log_slope)
        assert target.log_density(u) == pytest.approx(density, abs=1e-9)


def test_refuses_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="within the bounds"):
        Coordinates(PRIORS, [12.0, 0.0, 11.0, 13.0, 1.0], np.eye(5))
    with pytest.raises(ValueError, match="covariance of the coordinates"):
        Coordinates(PRIORS, CENTER, -np.eye(5))
