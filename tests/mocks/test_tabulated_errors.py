"""Errors of tables of halos: against drawn galaxies, brute force, several universes."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from pysoftcorr.mocks import HaloCatalog, HaloTables, HODModel, box_correlations  # noqa: E402
from pysoftcorr.mocks.alignment import mean_cos4, watson_quantile  # noqa: E402
from pysoftcorr.mocks.box import shell_fraction  # noqa: E402
from pysoftcorr.mocks.hod import PARAMETERS  # noqa: E402
from pysoftcorr.mocks.satellites import directions, nfw_radius  # noqa: E402
from pysoftcorr.mocks.strengths import fourth_moment  # noqa: E402
from pysoftcorr.mocks.tabulated.cosmic import _sample, parts_left  # noqa: E402
from pysoftcorr.mocks.tabulated.pair_variance import Orientation  # noqa: E402
from pysoftcorr.mocks.tabulated.shells import HaloPairKernels, separation_steps  # noqa: E402
from pysoftcorr.mocks.tabulated.site_neighbors import components, frames  # noqa: E402
from pysoftcorr.mocks.tabulated.sites import place_sites  # noqa: E402

BINS = "log:0.15:10:8"
POINTS = np.array([
    [0.7, 0.3, 12.2, 0.26, 12.2, 13.2, 1.0],
    [-0.6, 0.8, 12.0, 0.15, 11.9, 12.9, 1.1],
    [0.9, -0.7, 12.4, 0.5, 12.3, 13.3, 0.9],
])  # fmt: skip
STATISTICS = ("xi", "omega", "eta")


def model(row) -> HODModel:
    return HODModel(**dict(zip(PARAMETERS, map(float, row), strict=True)))


def universe(seed: int, side: float = 45.0) -> HaloCatalog:
    return HaloCatalog.simulate(side, 32, mmin=5e11, axis_alignment=0.8, seed=seed)


@pytest.fixture(scope="module")
def halos() -> HaloCatalog:
    return universe(4)


@pytest.fixture(scope="module")
def tables(halos) -> HaloTables:
    return HaloTables.tabulate(halos, bins=BINS, nodes=16, progress=False)


@pytest.fixture(scope="module")
def universes() -> HaloTables:
    boxes = [universe(k) for k in range(10, 14)]
    return HaloTables.tabulate(boxes, bins=BINS, nodes=12, sites=400, progress=False)


def errors(covariance) -> np.ndarray:
    return np.sqrt(np.diag(covariance))


def correlations(covariance) -> np.ndarray:
    sigma = errors(covariance)
    return np.asarray(covariance) / sigma / sigma[:, None]


# ---------------------------------------------------------------------- chance, given the halos
@pytest.mark.slow
@pytest.mark.parametrize("row", POINTS)
def test_covariance_of_drawn_galaxies(halos, tables, row):
    number, bins = 250, 8
    drawn = []
    for seed in range(number):
        found = box_correlations(model(row)._populate(halos, 50 + seed), bins=tables.edges)
        drawn.append(np.concatenate([getattr(found, name) for name in STATISTICS]))
    drawn = np.array(drawn)
    said = tables.covariance(row, "hod")
    dex = np.log10(errors(said) / drawn.std(axis=0, ddof=1)).reshape(3, bins)
    # The scatter of a standard deviation of 250 draws is .019 dex; .03 is asked for.
    assert (np.sqrt((dex**2).mean(axis=1)) < np.hypot(0.03, 0.019) * 1.3).all(), dex
    assert (np.abs(dex.mean(axis=1)) < 0.035).all(), dex
    upper = np.triu_indices(bins, 1)
    differ = (correlations(said) - np.corrcoef(drawn.T))[:bins, :bins][upper]
    assert np.sqrt((differ**2).mean()) < np.hypot(0.05, 1 / np.sqrt(number)) * 1.2
    # It has teeth: neighbors are correlated by more than that, and other HODs have other errors.
    assert np.sqrt((correlations(said)[:bins, :bins][upper] ** 2).mean()) > 0.15
    other = errors(tables.covariance(POINTS[(np.abs(POINTS - row).sum(1) == 0).argmin()], "hod"))
    assert np.abs(np.log10(other / errors(said))).max() > 0.1


def test_halos_that_all_hold_a_central_scatter_by_axes_alone(halos):
    heavy = halos[np.argsort(halos.mass)[-60:]]
    tables = HaloTables.tabulate(heavy, bins="log:2:12:4", progress=False)
    row = np.array([0.5, 0.0, 9.0, 0.2, 17.0, 13.0, 1.0])
    said = tables.covariance(row, "hod")
    assert np.abs(said[:4]).max() < 1e-12
    axes = []
    rng = np.random.default_rng(3)
    full = frames(np.asarray(heavy.axis))
    for _ in range(400):
        cos, sin = watson_quantile(rng.random(60), 0.5)
        phi = rng.uniform(0, 2 * np.pi, 60)
        local = np.stack([cos, sin * np.cos(phi), sin * np.sin(phi)], axis=1)
        turned = np.einsum("nij,ni->nj", full, local)
        found = box_correlations(heavy.position, turned, boxsize=45.0, bins=tables.edges)
        axes.append(np.concatenate([found.omega, found.eta]))
    ratio = errors(said)[4:] / np.std(axes, axis=0, ddof=1)
    assert (np.abs(ratio - 1) < 0.14).all(), ratio  # 4/sqrt(800), and 60 halos by 12 nodes


def test_covariances_are_positive_and_go_with_volume(tables, universes):
    for row in POINTS:
        for made in (tables, universes):
            said = made.covariance(row, "hod")
            np.testing.assert_allclose(said, said.T, rtol=1e-12, atol=1e-300)
            assert np.linalg.eigvalsh(correlations(said))[0] > 0.01
            eighth = made.covariance(row, "hod", volume=8 * 45.0**3)
            np.testing.assert_allclose(eighth, said / 8, rtol=1e-12)
    several = tables.covariance(POINTS, "hod")
    assert several.shape == (3, 24, 24)
    np.testing.assert_allclose(several[1], tables.covariance(POINTS[1], "hod"), rtol=1e-10)
    named = tables.covariance(dict(zip(PARAMETERS, POINTS[1], strict=True)), "hod")
    np.testing.assert_array_equal(named, several[1])


@pytest.mark.parametrize("kind", ["hod", "cosmic", "total"])
def test_derivatives_against_differences(universes, kind):
    row, h = POINTS[0], 1e-3
    x = torch.tensor(row, requires_grad=True)
    made = universes.covariance(x, kind).diagonal()
    up, down = (
        np.array([np.diag(universes.covariance(row + s * h * unit, kind)) for unit in np.eye(7)])
        for s in (1, -1)
    )
    for k in (2, 10, 18):
        (slope,) = torch.autograd.grad(made[k], x, retain_graph=True)
        differences = (up - down)[:, k] / (2 * h)
        scale = np.abs(differences).max()
        np.testing.assert_allclose(slope, differences, rtol=2e-3, atol=2e-3 * scale)


def test_more_sites_change_little(halos, tables):
    many = HaloTables.tabulate(halos, bins=BINS, nodes=16, sites=2400, progress=False)
    for row in POINTS:
        dex = np.log10(errors(many.covariance(row, "hod")) / errors(tables.covariance(row, "hod")))
        assert np.sqrt((dex**2).mean()) < 0.03


# ---------------------------------------------------------------------- neighbors of sites
def moments_of(site, frame, place, axis, edges, weight):
    """The twelve moments by brute force, (12, b)."""
    d = place - site
    r = np.linalg.norm(d, axis=1)
    z = d / r[:, None]
    turn = np.broadcast_to(frame, (len(d), 3, 3))
    values = np.concatenate([
        np.ones((1, len(d))), (np.einsum("ni,ni->n", axis, z) ** 2 - 1 / 3)[None],
        components(turn, z), components(turn, axis),
    ])  # fmt: skip
    b = np.searchsorted(edges, r) - 1
    sums = np.zeros((12, edges.size - 1))
    for m in range(12):
        inside = (b >= 0) & (b < edges.size - 1)
        sums[m] = np.bincount(
            b[inside], weights=(weight * values[m])[inside], minlength=edges.size - 1
        )
    return sums


def test_neighbors_by_brute_force():
    rng = np.random.default_rng(8)
    n, side, radius, c = 25, 60.0, 0.85, 5.0
    position = rng.uniform(26, 34, (n, 3))
    halos = HaloCatalog(
        position, 10 ** rng.uniform(13.6, 14, n), np.full(n, radius), np.full(n, c),
        rng.normal(size=(n, 3)), boxsize=side,
    )  # fmt: skip
    edges = np.array([0.3, 1.0, 2.0, 4.0, 7.0])
    steps = separation_steps(edges, 2 * radius)
    kernels = HaloPairKernels.of(edges, steps, 0.006, 2 * radius)
    logm = np.log10(halos.mass)
    sites = place_sites(halos, (logm.min(), logm.max()), edges, steps, kernels, 320)
    assert sites.central.sum() == n
    assert sites.weight[sites.central].sum() == pytest.approx(n)
    assert sites.weight[~sites.central].sum() == pytest.approx(n)
    draws = 20_000
    seen = rng.permutation(np.flatnonzero(sites.central))[:3]
    for s in seen:
        own = int(np.abs(logm - sites.logm[s]).argmin())
        others = np.arange(n) != own
        axis = np.asarray(halos.axis)
        frame = frames(axis[own][None])[0]
        here = position[own]
        wanted = moments_of(here, frame, position[others], axis[others], edges, 1.0)
        np.testing.assert_allclose(sites.of_centrals[:, s].sum(axis=0), wanted, atol=2e-6)
        # The hats: a function linear in log mass.
        slope = np.tensordot(sites.nodes, sites.of_centrals[:, s], (0, 0))
        wanted = moments_of(here, frame, position[others], axis[others], edges, logm[others])
        np.testing.assert_allclose(slope, wanted, atol=3e-5)
        host = np.repeat(np.flatnonzero(others), draws)
        d = directions(*rng.random((2, host.size)))
        place = position[host] + d * radius * nfw_radius(rng.random(host.size), c)[:, None]
        wanted = moments_of(here, frame, place, d, edges, 1 / draws)
        found = sites.of_satellites[:, s].sum(axis=0)
        assert np.abs(found - wanted).max() < 5 * np.sqrt(n / draws) * 0.5 + 0.02
        assert np.abs(wanted[2:]).max() > 0.3
        # A halo's own satellites.
        d = directions(*rng.random((2, draws)))
        place = here + d * radius * nfw_radius(rng.random(draws), c)[:, None]
        wanted = moments_of(here, frame, place, d, edges, 1 / draws)
        assert np.abs(sites.own[1, s] - wanted).max() < 5 * 0.5 / np.sqrt(draws)
        assert (sites.own[0, s] == 0).all()
    # Of satellites, on average over their places: what two of a halo, and one with its central, do.
    sat = ~sites.central
    weight = sites.weight[sat] / n
    r = nfw_radius(rng.random(draws), c) * radius
    inside = np.histogram(r, edges)[0] / draws
    found = np.tensordot(weight, sites.own[0, sat], (0, 0))
    np.testing.assert_allclose(found[0], inside, atol=0.03)
    np.testing.assert_allclose(found[2], 2 / 3 * inside, atol=0.02)
    x, y = (
        directions(*rng.random((2, draws))) * radius * nfw_radius(rng.random(draws), c)[:, None]
        for _ in range(2)
    )
    apart, unit = y - x, x / np.linalg.norm(x, axis=1)[:, None]
    distance = np.linalg.norm(apart, axis=1)
    of_pair = np.array([
        np.ones(draws), np.zeros(draws),
        (np.einsum("ni,ni->n", unit, apart) / distance) ** 2 - 1 / 3,
    ])  # fmt: skip
    found = np.tensordot(weight, sites.own[1, sat], (0, 0))
    for m in (0, 2):
        wanted = np.histogram(distance, edges, weights=of_pair[m])[0] / draws
        np.testing.assert_allclose(found[m], wanted, atol=0.03)


def test_variance_of_quadratic_forms():
    # e' M e of a drawn axis, in the frame of its reference.
    rng = np.random.default_rng(5)
    for mu in (-0.8, 0.0, 0.4, 0.9):
        kind = Orientation.of(torch.tensor(mu, dtype=torch.float64))
        cos, sin = watson_quantile(rng.random(400_000), mu)
        phi = rng.uniform(0, 2 * np.pi, cos.size)
        e = np.stack([cos, sin * np.cos(phi), sin * np.sin(phi)])
        for a in directions(*rng.random((2, 3))):
            matrix = np.outer(a, a) - np.eye(3) / 3
            values = np.einsum("in,ij,jn->n", e, matrix, e)
            parts = components(np.eye(3)[None], a[None])[:, 0]
            variances = kind.variances.numpy()[[0, 1, 1, 2, 2]]
            said = float(variances @ parts**2)
            assert values.var() == pytest.approx(said, rel=0.02)
            assert values.mean() == pytest.approx(float(kind.order) * parts[0], abs=2e-3)
            q = float(parts[0])
            polynomial = [float(x) for x in kind.variance_of_q()]
            assert np.polyval(polynomial[::-1], q) == pytest.approx(said, rel=1e-12)


def test_fourth_moment():
    mu = np.array([-1, -0.97, -0.4, 0, 0.2, 0.6, 0.93, 0.999, 1])
    t = np.linspace(0, 1, 200_001)
    for one in mu[1:-1]:
        a = np.tan(np.pi * one / 2)
        weight = np.exp(a * t * t - max(a, 0))
        wanted = np.trapezoid(t**4 * weight, t) / np.trapezoid(weight, t)
        assert mean_cos4(one) == pytest.approx(wanted, rel=1e-6)
    x = torch.tensor(mu, requires_grad=True)
    np.testing.assert_allclose(fourth_moment(x).detach(), mean_cos4(mu), atol=1e-9)
    (slope,) = torch.autograd.grad(fourth_moment(x).sum(), x)
    inner = mu[1:-1]
    differences = (mean_cos4(inner + 1e-5) - mean_cos4(inner - 1e-5)) / 2e-5
    np.testing.assert_allclose(slope[1:-1], differences, rtol=1e-5, atol=1e-6)


# ---------------------------------------------------------------------- the universe
def test_cosmic_covariance_of_boxes(universes):
    row, number = POINTS[0], 4
    each = []
    for box in universes.boxes:
        one = HaloTables(universes.nodes, universes.edges, [box])
        said = one.predict(row, on_outside="ignore")
        each.append(np.concatenate([getattr(said, name).mean for name in STATISTICS]))
    wanted = np.var(each, axis=0, ddof=1)
    said = universes.covariance(row, "cosmic")
    np.testing.assert_allclose(np.diag(said), wanted * (1 + 1 / number), rtol=1e-9)
    larger = universes.covariance(row, "cosmic", volume=2 * 45.0**3)
    np.testing.assert_allclose(np.diag(larger), wanted * (1 / 2 + 1 / number), rtol=1e-9)
    # Correlations are those of the boxes, nearer to none, all by one factor.
    off = np.triu_indices(24, 1)
    kept = correlations(said)[off] / np.corrcoef(np.array(each).T)[off]
    np.testing.assert_allclose(kept, kept[0], rtol=1e-8)
    assert 0 <= kept[0] < 1
    total = universes.covariance(row)
    np.testing.assert_allclose(total, said + universes.covariance(row, "hod"), rtol=1e-12)
    assert np.linalg.eigvalsh(correlations(total))[0] > 0
    std = universes.mean_and_std(torch.tensor(POINTS))
    found = np.concatenate([std[name][1][0] for name in STATISTICS])
    np.testing.assert_allclose(found, errors(total), rtol=1e-9)
    assert std["xi"][1].shape == (3, 8)


def test_shrinkage_goes_where_nothing_is_to_be_learned():
    rng = np.random.default_rng(2)
    mix = rng.normal(size=(6, 6))
    wanted = mix @ mix.T
    for number, room in ((12, 1.0), (20_000, 0.03)):
        values = torch.tensor(rng.normal(size=(number, 6)) @ mix.T)
        found = _sample(values).numpy()
        np.testing.assert_allclose(np.diag(found), np.var(values.numpy(), axis=0, ddof=1))
        assert np.abs(correlations(found) - correlations(wanted)).max() < room
    alone = torch.tensor(rng.normal(size=(12, 40)))
    shrunk = correlations(_sample(alone).numpy())[np.triu_indices(40, 1)]
    assert (
        np.abs(shrunk).mean()
        < 0.3 * np.abs(np.corrcoef(alone.numpy().T)[np.triu_indices(40, 1)]).mean()
    )


@pytest.mark.slow
def test_cosmic_covariance_of_subvolumes(halos, universes, tmp_path):
    made = HaloTables.tabulate(halos, bins=BINS, nodes=16, sites=100, subvolumes=2, progress=False)
    (box,) = made.boxes
    left = parts_left(box.subvolumes, made.edges)
    assert len(left) == 8
    # Halos without clustering, of which only pairs with both outside are left.
    rng = np.random.default_rng(1)
    points = rng.uniform(0, 45, (3000, 3))
    kept = points[~(points < 22.5).all(axis=1)]
    whole = box_correlations(kept, boxsize=45.0, bins=made.edges)
    expected = left[0].rr.numpy() * len(kept) ** 2
    some = expected > 500
    assert some.sum() > 2
    np.testing.assert_allclose(whole.weight[some], expected[some], rtol=0.1)
    periodic = shell_fraction(made.edges, 45.0, periodic=True) * len(kept) ** 2
    assert (expected[some] > 1.02 * periodic[some]).all()
    # Conservative, and not by an order of magnitude: four boxes know their scatter to 40 %.
    for row in POINTS[:1]:
        ratio = errors(made.covariance(row, "cosmic", volume=45.0**3)) / np.sqrt(2)
        between = errors(universes.covariance(row, "cosmic")) / np.sqrt(1.25)
        assert 0.5 < np.median(ratio / between) < 3.5
    path = tmp_path / "tables.h5"
    made.write(path)
    again = HaloTables.read(path)
    assert again == made
    np.testing.assert_array_equal(again.covariance(POINTS[0]), made.covariance(POINTS[0]))
    assert made.has_noise
    assert made != HaloTables(made.nodes, made.edges, [halos_without(box)], record=made.record)


def halos_without(box):
    from dataclasses import replace

    return replace(box, subvolumes=None)


# ---------------------------------------------------------------------- what is refused
def test_what_tables_do_not_know(halos, tables):
    assert not tables.has_noise
    assert tables.knows("hod")
    for kind in ("cosmic", "total"):
        with pytest.raises(ValueError, match=f"kind = '{kind}': one box does not tell"):
            tables.covariance(POINTS[0], kind)
    bare = HaloTables.tabulate(halos, bins="log:1:10:3", nodes=4, sites=0, progress=False)
    with pytest.raises(ValueError, match="tabulate the halos with sites = 800"):
        bare.covariance(POINTS[0], "hod")
    with pytest.raises(ValueError, match="kind = 'all'"):
        tables.covariance(POINTS[0], "all")
    with pytest.raises(ValueError, match="volume"):
        tables.covariance(POINTS[0], "hod", volume=-1.0)
    with pytest.raises(ValueError, match="subvolumes = 1: must be 0, or 2"):
        HaloTables.tabulate(halos, subvolumes=1, progress=False)
    with pytest.raises(ValueError, match=r"subvolumes = 6: parts of 7\.5 Mpc/h along a side"):
        HaloTables.tabulate(halos, bins=BINS, nodes=4, sites=0, subvolumes=6, progress=False)
    with pytest.raises(ValueError, match="sites = -1"):
        HaloTables.tabulate(halos, sites=-1, progress=False)
