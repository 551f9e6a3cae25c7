"""Points of a reference occupation: unbiased for any other, smooth, and of little noise."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from pysoftcorr.diffhod import DiffHOD, power_spectrum  # noqa: E402
from pysoftcorr.diffhod.points import reference_rates  # noqa: E402
from pysoftcorr.mocks import HaloCatalog, HODModel  # noqa: E402

F64 = torch.float64
NAMES = ("logMmin", "sigma_logM", "logM0", "logM1", "alpha")
FIVE = (12.02, 0.26, 11.38, 13.31, 1.06)
#: What the points are drawn of: not the parameters that are asked for.
REFERENCE = [[11.9, 0.3, 11.2, 13.2, 1.0], [12.1, 0.2, 11.6, 13.4, 1.1]]


@pytest.fixture(scope="module")
def halos() -> HaloCatalog:
    return HaloCatalog.simulate(60.0, 64, seed=1)


def exact(params: object, **options: object) -> HODModel:
    return HODModel(**dict(zip(NAMES, params, strict=True)), **options)


def parameter(values: object) -> torch.Tensor:
    return torch.tensor(values, dtype=F64, requires_grad=True)


@pytest.mark.parametrize("modulate", [False, True])
def test_rates_are_those_of_the_mean_occupation(modulate: bool) -> None:
    mass = np.geomspace(1e11, 1e15, 300)
    central, satellite = reference_rates(mass, np.array(REFERENCE), 5.0, modulate=modulate)
    models = [exact(r, modulate=modulate) for r in REFERENCE]
    for rate, name in ((central, "mean_ncen"), (satellite, "mean_nsat")):
        expected = 5 * np.mean([getattr(m, name)(mass) for m in models], axis=0)
        expected = np.maximum(expected, 0.02)
        if name == "mean_ncen":
            expected = np.minimum(expected, 1)
        # Between masses that it is worked out at, a rate is on a straight line.
        np.testing.assert_allclose(rate, expected, rtol=0.01)


@pytest.mark.parametrize("modulate", [False, True])
def test_mean_weights_are_the_occupation(halos: HaloCatalog, modulate: bool) -> None:
    """By kind and mass, over 40 draws: chi square of the sums, whose variance is known."""
    model = exact(FIVE, modulate=modulate)
    rates = reference_rates(halos.mass, np.array(REFERENCE), 4.0, modulate=modulate)
    bins = np.digitize(halos.mass, [3e11, 1e12, 3e12, 1e13, 3e13, 1e14])
    number = 40
    total = np.zeros((2, 7))
    for seed in range(number):
        diff = DiffHOD(halos, reference=REFERENCE, density=4.0, modulate=modulate, seed=seed)
        g = diff.galaxies(FIVE)
        for kind, rows in enumerate((g.central.numpy(), ~g.central.numpy())):
            total[kind] += np.bincount(bins[g.host.numpy()[rows]], g.weight.numpy()[rows], 7)
    for kind, mean in enumerate((model.mean_ncen(halos.mass), model.mean_nsat(halos.mass))):
        rate = rates[kind]
        # A central is drawn or not; the number of satellites is Poisson.
        each = mean**2 * (1 / rate - 1) if kind == 0 else mean**2 / rate
        expected = number * np.bincount(bins, mean, 7)
        sd = np.sqrt(number * np.bincount(bins, each, 7))
        known = sd > 1e-9 * expected
        # 7 bins: beyond 4 sigma once in 2000 tries
        assert np.abs((total[kind] - expected)[known] / sd[known]).max() < 4
        np.testing.assert_allclose(total[kind][~known], expected[~known], rtol=1e-9)


def test_points_are_the_same_for_all_parameters(halos: HaloCatalog) -> None:
    model = DiffHOD(halos, reference=REFERENCE, mesh=32, seed=3)
    number = model.prepare(FIVE, FIVE)
    first = model.power(FIVE)[1]
    here = model.galaxies(FIVE)
    for other in ([12.6, 0.5, 11.2, 13.9, 1.4], [11.5, 0.4, 10.0, 12.8, 0.7]):
        found = model.galaxies(other)
        known = {tuple(x) for x in here.position.tolist()}
        # Below some tau no weight is left of an occupation: those that there are, are the same.
        same = [tuple(x) in known for x in found.position.tolist()]
        assert np.mean(same) > 0.9
        assert (found.weight != 0).all()
    assert model.prepare(*np.sort([FIVE, other], axis=0)) == number
    torch.testing.assert_close(model.power(FIVE)[1], first, rtol=0, atol=0)
    again = DiffHOD(halos, reference=REFERENCE, mesh=32, seed=3)
    torch.testing.assert_close(again.power(FIVE)[1], first, rtol=0, atol=0)
    assert model.clipped == 0


def test_at_its_reference_and_one_point_a_galaxy_it_is_the_exact_hod(halos: HaloCatalog) -> None:
    """Equal random numbers give the galaxies of `populate`, where rates are above the least."""
    g = DiffHOD(halos, reference=FIVE, density=1.0, seed=7).galaxies(FIVE)
    galaxies = exact(FIVE).populate(halos, seed=7)
    model = exact(FIVE)
    host, central = g.host.numpy(), g.central.numpy()
    rate = np.where(central, model.mean_ncen(halos.mass)[host], model.mean_nsat(halos.mass)[host])
    ours = np.abs(g.weight.numpy() - 1) < 0.02
    assert (ours | (rate < 0.021)).all()
    for kind in (True, False):
        theirs = galaxies.central == kind
        rare = model.mean_ncen if kind else model.mean_nsat
        theirs &= rare(halos.mass)[galaxies.host] > 0.021
        mine = (central == kind) & (rate > 0.021)
        a = {tuple(p) for p in np.round(g.position.numpy()[mine], 9)}
        b = {tuple(p) for p in np.round(galaxies.position[theirs], 9)}
        # A rate that differs in the third digit moves a galaxy in a thousand.
        assert len(a & b) > 0.97 * max(len(a), len(b))
        assert len(b) > 150


@pytest.mark.slow
def test_power_is_that_of_the_exact_hod_with_less_noise(halos: HaloCatalog) -> None:
    ours, theirs = [], []
    for seed in range(40):
        place = exact(FIVE).populate(halos, seed=seed).position
        theirs.append(power_spectrum(place, boxsize=60.0, mesh=32, k_max=1.0).power)
        model = DiffHOD(halos, reference=REFERENCE, density=16.0, mesh=32, seed=1000 + seed)
        ours.append(model.power(FIVE)[1].numpy())
    a, b = np.array(ours), np.array(theirs)
    error = np.sqrt((a.var(axis=0, ddof=1) + b.var(axis=0, ddof=1)) / 40)
    # 9 bins: a largest of 3.5 errors has a chance below 1 %.
    assert np.abs((a.mean(axis=0) - b.mean(axis=0)) / error).max() < 3.5
    # 1/16 or less of the variance; a ratio of two variances of 40 scatters by 32 %, of their
    # sums over bins by less.
    assert a.var(axis=0).sum() < 0.12 * b.var(axis=0).sum()


@pytest.mark.slow
def test_derivatives_are_those_of_the_relaxed_ones(halos: HaloCatalog) -> None:
    """Both are unbiased: their means over seeds agree."""

    def gradients(**options: object) -> np.ndarray:
        out = []
        for seed in range(30):
            params = parameter(FIVE)
            power = DiffHOD(halos, mesh=16, k_max=0.8, seed=seed, **options).power(params)[1]
            rows = [torch.autograd.grad(p, params, retain_graph=True)[0].numpy() for p in power]
            out.append(rows)
        return np.array(out)

    ours, relaxed = gradients(reference=REFERENCE), gradients(tau=0.3)
    error = np.sqrt((ours.var(axis=0, ddof=1) + relaxed.var(axis=0, ddof=1)) / 30)
    pulls = (ours.mean(axis=0) - relaxed.mean(axis=0)) / error
    assert np.abs(pulls).max() < 4.0  # some 35 of them
    assert ours.var(axis=0).sum() < 0.3 * relaxed.var(axis=0).sum()


@pytest.mark.parametrize("modulate", [False, True])
def test_the_derivative_is_that_of_the_function(halos: HaloCatalog, modulate: bool) -> None:
    model = DiffHOD(halos, reference=REFERENCE, modulate=modulate, mesh=32, realizations=2, seed=2)
    params = parameter(FIVE)
    factor = torch.linspace(1, 3, len(model.k), dtype=F64)

    def f(t: torch.Tensor) -> torch.Tensor:
        return (model.power(t, realization=None)[1] @ factor).sum()

    gradient = torch.autograd.grad(f(params), params)[0]
    for i in range(5):
        d = torch.zeros(5, dtype=F64)
        # <Nsat> has a corner at M0, almost, and some halo is always near it.
        d[i] = h = 1e-6 if i == 2 else 1e-3
        ends = [f(params.detach() + s * d).item() for s in (-2, -1, 1, 2)]
        numerical = (ends[0] - 8 * ends[1] + 8 * ends[2] - ends[3]) / (12 * h)
        assert gradient[i].item() == pytest.approx(numerical, rel=1e-4 if i == 2 else 1e-6)


def test_it_is_smooth_where_relaxed_trials_are_not(halos: HaloCatalog) -> None:
    """Third differences of P(k) along a line, which a smooth function has next to none of."""

    def roughness(**options: object) -> float:
        model = DiffHOD(halos, mesh=16, k_max=0.8, seed=4, **options)
        line = np.array(FIVE) + np.linspace(-0.05, 0.05, 21)[:, None] * np.array([1, 0, 0, 1, 0])
        with torch.no_grad():
            values = np.array([model.power(t)[1].numpy() for t in line])
        return float(np.abs(np.diff(values, n=3, axis=0) / values.mean(axis=0)).max())

    assert roughness(reference=REFERENCE) < 1e-5
    assert roughness(tau=0.1) > 1e-4


def test_correlations_differentiate_in_all_seven(halos: HaloCatalog) -> None:
    few = halos[halos.mass > 2e12]
    seven = [0.7, 0.3, 12.7, 0.3, 12.2, 13.4, 1.0]
    model = DiffHOD(few, reference=seven[2:], density=2.0, seed=2)
    params = parameter(seven)
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


def test_it_says_what_it_cannot_do(halos: HaloCatalog) -> None:
    few = halos[halos.mass > 1e13]
    model = DiffHOD(few, reference=FIVE, density=2.5, mesh=32, seed=1)
    assert "2.5 points a galaxy of a reference" in repr(model)
    for words, call in (
        ("hard = True", lambda: model.galaxies(FIVE, hard=True)),
        ("reference must have shape", lambda: DiffHOD(few, reference=[1.0, 2.0])),
        ("sigma_logM = -1", lambda: DiffHOD(few, reference=[12, -1, 11, 13, 1])),
        ("density = 0", lambda: DiffHOD(few, reference=FIVE, density=0)),
        (
            "the most is 5e\\+07: lower density",
            lambda: DiffHOD(few, reference=[12, 0.2, 11, 10, 2.0]),
        ),
    ):
        with pytest.raises(ValueError, match=words):
            call()
    for words, call in (
        (
            "density = 'many': must be a number",
            lambda: DiffHOD(few, reference=FIVE, density="many"),
        ),
        ("reference must be numbers", lambda: DiffHOD(few, reference="fiducial")),
    ):
        with pytest.raises(TypeError, match=words):
            call()


def test_single_precision_is_the_same_to_its_rounding(halos: HaloCatalog) -> None:
    found = []
    for dtype in (torch.float64, torch.float32):
        params = torch.tensor(FIVE, dtype=dtype, requires_grad=True)
        model = DiffHOD(halos, reference=REFERENCE, mesh=32, seed=2, dtype=dtype)
        power = model.power(params)[1]
        assert power.dtype == dtype
        gradient = torch.autograd.grad(power.log().sum(), params)[0]
        found.append((power.detach().double(), gradient.double()))
    (power, gradient), (rough, rough_gradient) = found
    # Shot noise is taken away from P(k): a few of its 1e-7 parts are of a small difference.
    torch.testing.assert_close(rough, power, rtol=2e-5, atol=0)
    torch.testing.assert_close(rough_gradient, gradient, rtol=1e-3, atol=1e-3)
