"""DiffHOD against the exact HOD: the same galaxies when cold, the same P(k) and derivatives."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from pysoftcorr.diffhod import (  # noqa: E402
    ClippedTrials,
    DiffHOD,
    WeightedPairs,
    power_spectrum,
)
from pysoftcorr.diffhod.points import most_log_odds, satellite_trials  # noqa: E402
from pysoftcorr.mocks import HaloCatalog, HODModel, box_correlations  # noqa: E402

F64 = torch.float64
NAMES = ("logMmin", "sigma_logM", "logM0", "logM1", "alpha")
FIVE = (12.02, 0.26, 11.38, 13.31, 1.06)
SEVEN = (0.7, 0.3, *FIVE)
#: Widths of the finite differences of the exact HOD: P(k) bends with sigma.
STEPS = (0.05, 0.03, 0.2, 0.05, 0.05)


@pytest.fixture(scope="module")
def halos() -> HaloCatalog:
    return HaloCatalog.simulate(60.0, 64, seed=1)


def exact(halos: HaloCatalog, params: object, seed: int) -> np.ndarray:
    model = HODModel(**dict(zip(NAMES, params, strict=True)))
    place = model.populate(halos, seed=seed).position
    return power_spectrum(place, boxsize=halos.boxsize, mesh=32, k_max=1.0).power


def parameter(values: object, dtype: torch.dtype = F64) -> torch.Tensor:
    return torch.tensor(values, dtype=dtype, requires_grad=True)


@pytest.fixture(scope="module")
def compared(halos: HaloCatalog) -> dict[str, np.ndarray]:
    """P(k) and its derivatives at many seeds, of the exact HOD and of the relaxed one."""
    out: dict[str, list] = {"exact": [], "relaxed": [], "difference": [], "gradient": []}
    for seed in range(40):
        out["exact"].append(exact(halos, FIVE, seed))
        shifts = np.diag(STEPS)
        out["difference"].append(
            [
                (exact(halos, FIVE + d, seed) - exact(halos, FIVE - d, seed)) / (2 * step)
                for d, step in zip(shifts, STEPS, strict=True)
            ]
        )
        model = DiffHOD(halos, mesh=32, seed=seed)
        params = parameter(FIVE)
        _, power = model.power(params)
        out["relaxed"].append(power.detach().numpy())
        rows = [torch.autograd.grad(p, params, retain_graph=True)[0].numpy() for p in power]
        out["gradient"].append(np.transpose(rows))
    return {name: np.array(values) for name, values in out.items()}


def pull(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Difference of the means over its error, seed by seed so that common noise cancels."""
    difference = a - b
    return difference.mean(axis=0) / difference.std(axis=0, ddof=1) * np.sqrt(len(a))


@pytest.mark.slow
def test_power_is_that_of_the_exact_hod(compared: dict[str, np.ndarray]) -> None:
    # 9 bins, 40 seeds: a largest of 3.5 errors has a chance below 1 %.
    assert np.abs(pull(compared["relaxed"], compared["exact"])).max() < 3.5
    ratio = compared["relaxed"].mean(axis=0) / compared["exact"].mean(axis=0)
    # The mean over k has an error of 0.5 % here (0.15 % in docs/diffhod.md, with more seeds).
    assert abs(ratio.mean() - 1) < 0.015


@pytest.mark.slow
def test_derivatives_are_those_of_the_exact_hod(compared: dict[str, np.ndarray]) -> None:
    pulls = pull(compared["gradient"], compared["difference"])
    assert np.abs(pulls).max() < 4.0  # 45 of them
    # And the test has teeth: most derivatives are many errors from 0.
    error = compared["gradient"].std(axis=0, ddof=1) / np.sqrt(len(compared["gradient"]))
    assert (np.abs(compared["gradient"].mean(axis=0) / error) > 10).mean() > 0.6


def test_shot_noise_is_below_that_of_galaxies(halos: HaloCatalog) -> None:
    galaxies = DiffHOD(halos, seed=1).galaxies(FIVE)
    w = galaxies.weight.double()
    assert 0.9 < ((w * w).sum() / w.sum()).item() < 0.99


@pytest.mark.parametrize("tau", [0.1, 0.4])
@pytest.mark.parametrize("modulate", [False, True])
def test_the_derivative_is_that_of_the_function(
    halos: HaloCatalog, tau: float, modulate: bool
) -> None:
    model = DiffHOD(halos, tau=tau, modulate=modulate, mesh=32, seed=2)
    params = parameter(FIVE)
    factor = torch.linspace(1, 3, len(model.k), dtype=F64)
    gradient = torch.autograd.grad(model.power(params)[1] @ factor, params)[0]
    for i in range(5):
        d = torch.zeros(5, dtype=F64)
        d[i] = 1e-4
        ends = [(model.power(params.detach() + s * d)[1] @ factor).item() for s in (-2, -1, 1, 2)]
        numerical = (ends[0] - 8 * ends[1] + 8 * ends[2] - ends[3]) / 12e-4
        assert gradient[i].item() == pytest.approx(numerical, rel=1e-6)


def test_correlations_differentiate_in_all_seven(halos: HaloCatalog) -> None:
    model = DiffHOD(halos[halos.mass > 2e12], seed=2)
    params = parameter([0.7, 0.3, 12.7, 0.3, 12.2, 13.4, 1.0])
    edges = np.geomspace(0.2, 8, 7)

    def f(t: torch.Tensor) -> torch.Tensor:
        found = model.correlations(t, bins=edges)
        return (found.xi / 100 + found.omega + 2 * found.eta).sum()

    gradient = torch.autograd.grad(f(params), params)[0]
    for i in range(7):
        d = torch.zeros(7, dtype=F64)
        d[i] = 1e-4
        ends = [f(params.detach() + s * d).item() for s in (-2, -1, 1, 2)]
        numerical = (ends[0] - 8 * ends[1] + 8 * ends[2] - ends[3]) / 12e-4
        assert gradient[i].item() == pytest.approx(numerical, rel=2e-6)
        assert gradient[i] != 0


@pytest.mark.slow
def test_correlations_are_those_of_the_points(halos: HaloCatalog) -> None:
    some = halos[halos.mass > 3e12]
    model = DiffHOD(some, seed=2, gamma=0.4)
    points = model.galaxies(SEVEN)
    edges = np.geomspace(0.2, 8, 7)
    box = box_correlations(
        points.position.numpy(), points.axis.numpy(), weights=points.weight.numpy(),
        boxsize=60.0, bins=edges,
    )  # fmt: skip
    found = model.correlations(SEVEN, bins=edges)
    np.testing.assert_allclose(found.xi, box.xi, rtol=1e-8)
    np.testing.assert_allclose(found.omega, box.omega, atol=1e-8)
    np.testing.assert_allclose(found.eta, box.eta, atol=1e-8)


def test_cold_points_are_galaxies_of_the_exact_hod(halos: HaloCatalog) -> None:
    model = DiffHOD(halos, seed=5)
    points = model.galaxies(SEVEN, hard=True)
    drawn = HODModel(**dict(zip(NAMES, FIVE, strict=True)), mu_cen=0.7, mu_sat=0.3).populate(
        halos, seed=5
    )
    cen = points.central.numpy()
    order = np.argsort(points.host.numpy()[cen])
    np.testing.assert_array_equal(points.host.numpy()[cen][order], drawn.host[drawn.central])
    np.testing.assert_allclose(
        points.axis.numpy()[cen][order], drawn.axis[drawn.central], atol=1e-14
    )
    # Satellites are other draws of nearly the same number (binomial against Poisson): within 4
    # errors in number, and by radius.
    n = int((~cen).sum())
    assert abs(n - (~drawn.central).sum()) < 4 * np.sqrt(2 * n)
    radius = points.scaled_radius.numpy()[~cen]
    other = drawn.scaled_radius[~drawn.central]
    assert abs(radius.mean() - other.mean()) < 4 * np.sqrt(2 / n) * radius.std()
    # Relaxed weights tend to them.
    cold = DiffHOD(halos, tau=0.001, seed=5).galaxies(SEVEN)
    assert abs(cold.weight.sum().item() - len(points)) < 0.01 * len(points)


def test_omega_by_orientation_tensors(halos: HaloCatalog) -> None:
    model = DiffHOD(halos[halos.mass > 3e12], seed=2)
    points = model.galaxies(FIVE)
    pairs = WeightedPairs(points.position, boxsize=points.boxsize)
    fast = pairs.orientation(points.weight)
    mu = parameter([0.7, 0.3])
    omega = fast.omega(points.axes(mu[0], mu[1]))
    slow = pairs.correlations(points.weight, points.axes(mu[0], mu[1])).omega
    np.testing.assert_allclose(omega.detach(), slow.detach(), atol=1e-12)
    slopes = [torch.autograd.grad(x.nan_to_num().sum(), mu)[0] for x in (omega, slow)]
    np.testing.assert_allclose(*slopes, rtol=1e-9)


def test_chunks_regions_and_realizations(halos: HaloCatalog) -> None:
    whole = DiffHOD(halos, mesh=32, seed=3, realizations=3)
    parts = DiffHOD(halos, mesh=32, seed=3, realizations=3, chunk=1000)
    params = parameter(FIVE)
    power = whole.power(params, realization=None)[1]
    assert power.shape == (3, len(whole.k))
    assert torch.equal(power, parts.power(params, realization=None)[1])
    gradient = torch.autograd.grad(power.sum(), params)[0]
    each = 0
    for r in range(3):
        single = parts.power(params, realization=r)[1]
        np.testing.assert_allclose(single.detach(), power[r].detach(), rtol=1e-11)
        each = each + torch.autograd.grad(single.sum(), params)[0]
    np.testing.assert_allclose(each, gradient, rtol=1e-10)
    assert (power[0] - power[1]).abs().max() > 0
    # Far away and back: the points are found anew, and what they give is the same.
    far = whole.power([13.2, 0.5, 12.0, 14.0, 0.8])[1]
    np.testing.assert_allclose(whole.power(params)[1].detach(), power[0].detach(), rtol=1e-11)
    fresh = DiffHOD(halos, mesh=32, seed=3)
    count = fresh.prepare([11.5, 0.1, 11.0, 13.0, 0.7], [13.5, 0.6, 12.5, 14.2, 1.3])
    np.testing.assert_allclose(fresh.power([13.2, 0.5, 12.0, 14.0, 0.8])[1], far, rtol=1e-10)
    np.testing.assert_allclose(fresh.power(params)[1].detach(), power[0].detach(), rtol=1e-11)
    assert len(fresh._region(params, (0,), "power")) == count


def test_points_left_out_have_no_weight(halos: HaloCatalog) -> None:
    """Every trial, against those that a region keeps: nothing of weight is missing."""
    some = halos[halos.mass > 1e12]
    trials = satellite_trials(some.mass, "auto")
    model = DiffHOD(some, seed=4)
    found = model.galaxies(FIVE)
    lower = np.array([9.0, 0.2, 9.0, 11.5, 0.8])
    upper = np.array([12.2, 0.5, 11.5, 13.5, 1.2])
    wide = DiffHOD(some, seed=4)
    assert wide.prepare(lower, upper) > 5 * len(found)
    other = wide.galaxies(FIVE)
    for name in ("host", "rank"):
        assert torch.equal(getattr(found, name), getattr(other, name))
    np.testing.assert_allclose(found.weight, other.weight, rtol=1e-12)
    odds = most_log_odds(some.mass, trials, lower, upper, modulate=False)
    for params in np.random.default_rng(1).uniform(lower, upper, (50, 5)):
        within = most_log_odds(some.mass, trials, params, params, modulate=False)
        for most, here in zip(odds, within, strict=True):
            assert (here <= most + 1e-9).all()


def test_single_precision(halos: HaloCatalog) -> None:
    double = DiffHOD(halos, mesh=32, seed=3)
    single = DiffHOD(halos, mesh=32, seed=3, dtype="float32")
    results = []
    for model, dtype in ((double, F64), (single, torch.float32)):
        params = parameter(FIVE, dtype)
        k, power = model.power(params)
        assert power.dtype == k.dtype == dtype
        gradient = torch.autograd.grad(power.sum(), params)[0]
        results.append((power.detach().double(), gradient.double()))
    np.testing.assert_allclose(results[1][0], results[0][0], rtol=2e-4)
    np.testing.assert_allclose(results[1][1], results[0][1], rtol=2e-3)
    few = halos[halos.mass > 5e12]
    edges = np.geomspace(0.2, 8, 7)
    found = [
        DiffHOD(few, seed=3, dtype=d).correlations(SEVEN, bins=edges)
        for d in ("float64", "float32")
    ]
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(b, a, rtol=2e-4, atol=2e-4)


def test_nothing_global_is_touched(halos: HaloCatalog) -> None:
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first = DiffHOD(halos, mesh=32, seed=np.random.default_rng(3))
    second = DiffHOD(halos, mesh=32, seed=np.random.default_rng(3))
    assert torch.equal(first.power(FIVE)[1], second.power(FIVE)[1])
    assert torch.equal(before, torch.get_rng_state())
    np.testing.assert_array_equal(numpy_before, np.random.get_state()[1])  # noqa: NPY002


def test_clipped_halos_are_counted_and_said_once(halos: HaloCatalog) -> None:
    model = DiffHOD(halos, mesh=32, trials=3, seed=1)
    many = int((HODModel(**dict(zip(NAMES, FIVE, strict=True))).mean_nsat(halos.mass) > 3).sum())
    assert many > 0
    with pytest.warns(ClippedTrials, match=f"{many} halos hold more satellites"):
        model.power(FIVE)
    assert model.clipped == many
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        params = parameter(FIVE)
        gradient = torch.autograd.grad(model.power(params)[1].sum(), params)[0]
        assert torch.isfinite(gradient).all()
        # All trials of a clipped halo are won.
        points = model.galaxies(FIVE)
        host = np.argmax(halos.mass)
        full = points.weight[(points.host == host) & ~points.central]
        np.testing.assert_allclose(full, 1.0, atol=1e-6)
        assert len(full) == 3
        assert DiffHOD(halos, mesh=32, seed=1).power(FIVE)[1].isfinite().all()
    fitted = DiffHOD(halos, mesh=32, seed=1)
    fitted.power(FIVE)
    assert fitted.clipped == 0


def test_messages(halos: HaloCatalog) -> None:
    few = halos[:200]
    model = DiffHOD(few, mesh=32, seed=1)
    for message, call in (
        ("tau = 2", lambda: DiffHOD(few, tau=2)),
        ("trials = 'many'", lambda: DiffHOD(few, trials="many")),
        ("trials = 0", lambda: DiffHOD(few, trials=0)),
        ("mesh = 33", lambda: DiffHOD(few, mesh=33)),
        ("k_max = 40 h/Mpc", lambda: DiffHOD(few, k_max=40)),
        ("realizations = 0", lambda: DiffHOD(few, realizations=0)),
        ("dtype = 'float16'", lambda: DiffHOD(few, dtype="float16")),
        ("device = 'nowhere'", lambda: DiffHOD(few, device="nowhere")),
        ("window = 'tsc'", lambda: DiffHOD(few, window="tsc")),
        ("realization = 1: must be from 0 to 0", lambda: model.power(FIVE, realization=1)),
        ("realization is empty", lambda: model.power(FIVE, realization=[])),
        ("params must be the five", lambda: model.power(FIVE[:3])),
        ("params must be all seven", lambda: model.correlations(FIVE)),
        ("params has no logM0", lambda: model.power({"logMmin": 12.0, "sigma_logM": 1, "logM1": 13,
                                                    "alpha": 1})),
        ("sigma_logM = -1", lambda: model.power([12, -1, 11, 13, 1])),
        ("alpha = nan", lambda: model.power([12, 1, 11, 13, np.nan])),
        ("logMmin = 1e.12", lambda: model.power([1e12, 1, 11, 13, 1])),
        ("mu_sat = 1.5", lambda: model.correlations([0.5, 1.5, *FIVE])),
        ("makes no galaxies", lambda: model.power([19, 0.1, 19, 19, 1])),
        ("must not be above upper", lambda: model.prepare(np.add(FIVE, 0.1), FIVE)),
        ("r_max = 16", lambda: DiffHOD(
            HaloCatalog([[1, 1, 1]], [1e14], [0.9], [5], [[0, 0, 1]], boxsize=31)
        ).correlations(SEVEN)),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            call()
    for message, call in (
        ("tau = 'cold': must be a number", lambda: DiffHOD(few, tau="cold")),
        ("trials = 4.5: must be", lambda: DiffHOD(few, trials=4.5)),
        ("modulate = 1", lambda: DiffHOD(few, modulate=1)),
        ("halos must be a HaloCatalog", lambda: DiffHOD([1, 2])),
        ("realization = 'all'", lambda: model.power(FIVE, realization="all")),
        ("params = .*: must be real numbers", lambda: model.power(list("abcde"))),
    ):
        with pytest.raises(TypeError, match=message):
            call()
    named = dict(zip(("mu_cen", "mu_sat", *NAMES), SEVEN, strict=True))
    assert torch.equal(model.power(named)[1], model.power(SEVEN)[1])
