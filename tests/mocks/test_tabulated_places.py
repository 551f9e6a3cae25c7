"""Tables of halos with triaxial satellites and satellites on subhalos: twins, limits, draws."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

torch = pytest.importorskip("torch")

from pysoftcorr.mocks import HaloCatalog, HaloTables, HODModel, box_correlations  # noqa: E402
from pysoftcorr.mocks.alignment import order_parameter  # noqa: E402
from pysoftcorr.mocks.hod import PARAMETERS  # noqa: E402
from pysoftcorr.mocks.satellites import directions, nfw_radius  # noqa: E402
from pysoftcorr.mocks.shapes import Shapes  # noqa: E402
from pysoftcorr.mocks.subhalos import Subhalos  # noqa: E402
from pysoftcorr.mocks.tabulated.ellipsoid_pairs import ellipsoid_cumulatives  # noqa: E402
from pysoftcorr.mocks.tabulated.ellipsoids import EllipsoidPlaces  # noqa: E402
from pysoftcorr.mocks.tabulated.nfw import TERMS  # noqa: E402
from pysoftcorr.mocks.tabulated.pair_sums import place_sums  # noqa: E402
from pysoftcorr.mocks.tabulated.places import place_numbers  # noqa: E402
from pysoftcorr.mocks.tabulated.ranks import (  # noqa: E402
    GROUPS,
    NUMBERS,
    RankKinds,
    RankOccupation,
)

BINS = "log:0.15:9:9"
POINTS = np.array([
    [0.7, 0.3, 12.3, 0.3, 12.3, 13.2, 1.0],
    [-0.5, 0.9, 12.0, 0.15, 11.8, 12.9, 1.1],
])  # fmt: skip
STATISTICS = ("xi", "omega", "eta")
KINDS = ("triaxial", "subhalos")


def model(row, satellites) -> HODModel:
    values = dict(zip(PARAMETERS, map(float, row), strict=True))
    return HODModel(**values, satellites=satellites)


def universe(seed: int) -> HaloCatalog:
    return HaloCatalog.simulate(
        42.0, 28, mmin=5e11, axis_alignment=0.8, subhalos=True, subhalo_mmin=1e11, seed=seed
    )


def changed(halos: HaloCatalog, **columns) -> HaloCatalog:
    """The catalog with other columns; None takes one away."""
    names = ("b_to_a", "c_to_a", "minor_axis", "subhalos")
    kept = {name: columns.get(name, getattr(halos, name)) for name in names}
    return HaloCatalog(
        halos.position, halos.mass, halos.radius, halos.concentration, halos.axis,
        boxsize=halos.boxsize, cosmology=halos.cosmology, meta=halos.meta, **kept,
    )  # fmt: skip


def tabulated(halos, satellites, **options) -> HaloTables:
    return HaloTables.tabulate(
        halos, **{"bins": BINS, "nodes": 14, "sites": 0, "progress": False, **options},
        satellites=satellites,
    )  # fmt: skip


@pytest.fixture(scope="module")
def halos() -> HaloCatalog:
    return universe(4)


@pytest.fixture(scope="module")
def tables(halos) -> dict[str, HaloTables]:
    return {kind: tabulated(halos, kind) for kind in KINDS}


# ---------------------------------------------------------------------- the pass over pairs
@pytest.mark.parametrize(("sides", "edges"), [
    (20.0, np.geomspace(0.3, 9, 8)), ((14.0, 21.0, 18.0), np.linspace(0, 6.5, 5)),
])  # fmt: skip
def test_pair_sums_by_brute_force(sides, edges):
    rng = np.random.default_rng(3)
    n, places, nodes, kinds = 60, 300, 4, 11
    halos = HaloCatalog(
        rng.uniform(0, 14, (n, 3)), np.full(n, 1e13), rng.uniform(0.4, 0.5, n),
        np.full(n, 6.0), rng.normal(size=(n, 3)), boxsize=sides,
    )  # fmt: skip
    below, part = rng.integers(0, nodes - 1, n), rng.random(n)
    host = rng.integers(0, n, places)
    kind, kind_part = rng.integers(nodes, kinds - 1, places), rng.random(places)
    kind_part[::4], kind_part[1::9] = 0.0, 1.0
    weight, offset = rng.random(places), rng.normal(0, 0.5, (places, 3))
    found = place_sums(halos, below, part, host, kind, kind_part, weight, offset, kinds, edges,
                       None)  # fmt: skip
    position = np.concatenate([halos.position, halos.position[host] + offset])
    reference = np.concatenate([halos.axis, offset / np.linalg.norm(offset, axis=1)[:, None]])
    hats = np.zeros((n + places, kinds))
    rows = np.arange(n + places)
    of = np.concatenate([below, kind])
    above = np.concatenate([part, kind_part])
    hats[rows, of] = 1 - above
    hats[rows, of + 1] += above
    hats *= np.concatenate([np.ones(n), weight])[:, None]
    d = position - position[:, None]
    d -= np.array(halos.boxsize) * np.rint(d / np.array(halos.boxsize))
    r = np.linalg.norm(d, axis=2)
    owner = np.concatenate([np.arange(n), host])
    with np.errstate(invalid="ignore", divide="ignore"):
        along = np.einsum("ik,ijk->ij", reference, d) ** 2 / r**2 - 1 / 3
    moments = (np.ones_like(r), along, (reference @ reference.T) ** 2 - 1 / 3)
    for b in range(edges.size - 1):
        there = (r > edges[b]) & (r <= edges[b + 1]) & (owner[:, None] != owner)
        for m, values in enumerate(moments):
            wanted = hats.T @ np.where(there, values, 0.0) @ hats
            np.testing.assert_allclose(found[:, :, b, m], wanted, atol=1e-10)


def test_places_go_with_mass():
    mass = 10 ** np.random.default_rng(1).uniform(11, 15, 40_000)
    number = place_numbers(mass, 6, 2, 1024)
    assert (np.exp2(np.rint(np.log2(number))) == number).all()
    assert number.min() == 2
    assert 32 <= number.max() <= 1024
    assert 3 < number.mean() <= 6
    assert (np.diff(number[np.argsort(mass)]) >= 0).all()
    assert place_numbers(mass[:10], 6, 2, 64).min() == 64
    # With the least that is taken, heavy halos among many light ones have many.
    mass = 10 ** (10 + np.random.default_rng(2).exponential(0.45, 300_000))
    assert place_numbers(mass, 3, 2, 4096)[np.argmax(mass)] == 4096


# ---------------------------------------------------------------------- triaxial halos
@pytest.mark.parametrize(("c", "b_to_a", "c_to_a"), [
    (4.0, 1.0, 1.0), (9.0, 0.8, 0.6), (15.0, 0.45, 0.4), (6.0, 0.95, 0.35),
    (4.5, 0.19, 0.17),
])  # fmt: skip
def test_pairs_within_an_ellipsoid(c, b_to_a, c_to_a):
    rng = np.random.default_rng(5)
    n = 400_000
    one = Shapes(np.broadcast_to(np.eye(3), (n, 3, 3)), np.full(n, b_to_a), np.full(n, c_to_a))
    x, y = (
        one.stretched(
            directions(*rng.random((2, n))) * nfw_radius(rng.random(n), np.full(n, c))[:, None]
        )
        for _ in range(2)
    )
    at = np.geomspace(0.05, 2.0, 9)
    found = ellipsoid_cumulatives(np.array([c]), np.array([b_to_a]), np.array([c_to_a]), at)[0, 0]
    rx, ry, d = np.linalg.norm(x, axis=1), np.linalg.norm(y, axis=1), y - x
    r = np.linalg.norm(d, axis=1)
    values = [
        (rx, np.ones(n)), (rx, (x[:, 0] / rx) ** 2 - 1 / 3), (r, np.ones(n)),
        (r, (np.einsum("ij,ij->i", x, d) / rx / r) ** 2 - 1 / 3),
        (r, (np.einsum("ij,ij->i", x, y) / rx / ry) ** 2 - 1 / 3),
    ]  # fmt: skip
    for m, (distance, value) in enumerate(values):
        drawn = value * (distance <= at[:, None])
        error = drawn.std(axis=1) / np.sqrt(n)
        assert (np.abs(found[:, m] - drawn.mean(axis=1)) < 4.5 * error + 4e-4).all(), m


def test_round_halos_are_those_of_nfw(halos):
    ones = np.ones(len(halos))
    round_ = changed(halos, b_to_a=ones, c_to_a=ones)
    a, b = (tabulated(round_, kind).boxes[0] for kind in ("nfw", "triaxial"))
    np.testing.assert_array_equal(a.forms, b.forms)
    # In parts of all pairs: with a grid of the ellipsoids between.
    sums = [box.one_halo.sum(axis=1) for box in (a, b)]
    assert np.abs(sums[1] - sums[0]).max() < 1e-3 * sums[0][[0, 3]].sum(axis=1).min()


def test_centrals_do_not_know_of_satellites(halos, tables):
    sphere = tabulated(halos, "nfw")
    of_centrals = [TERMS.index(name) for name in ("n_cc", "a_cc", "h_cc")]
    np.testing.assert_array_equal(
        tables["triaxial"].boxes[0].forms[of_centrals], sphere.boxes[0].forms[of_centrals]
    )
    none = [0.8, 0.4, 12.3, 0.2, 17.0, 13.0, 1.0]  # no satellites
    wanted = sphere.predict(none, on_outside="ignore")
    for kind in KINDS:
        said = tables[kind].predict(none, on_outside="ignore")
        for name in STATISTICS:
            np.testing.assert_allclose(
                getattr(said, name).mean, getattr(wanted, name).mean, rtol=1e-9, atol=1e-12
            )


def test_central_and_its_own_satellites():
    # Of one halo with at most one satellite all is known.
    halos = HaloCatalog(
        [[20.0, 20.0, 20.0]], [1e14], [0.97], [6.0], [[0.0, 0.6, 0.8]], boxsize=40.0,
        b_to_a=[0.7], c_to_a=[0.5], minor_axis=[[1.0, 0.0, 0.0]],
    )  # fmt: skip
    edges = np.geomspace(0.1, 3, 9)
    said = HaloTables.tabulate(halos, bins=edges, satellites="triaxial", progress=False).predict(
        [0.9, 0.0, 12.0, 0.2, 12.0, 15.5, 1.0], on_outside="ignore"
    )
    rng = np.random.default_rng(2)
    n = 400_000
    shape = Shapes(np.broadcast_to(np.eye(3), (n, 3, 3)), np.full(n, 0.7), np.full(n, 0.5))
    ball = directions(*rng.random((2, n))) * nfw_radius(rng.random(n), np.full(n, 6.0))[:, None]
    x = shape.stretched(0.97 * ball)
    r = np.linalg.norm(x, axis=1)
    for b in np.flatnonzero(edges[1:] < 1.3):
        q = (x[:, 0] / r)[(r > edges[b]) & (r <= edges[b + 1])] ** 2 - 1 / 3
        wanted = order_parameter(0.9) * q.mean() / 2  # of the pair, the central alone points
        # The other pairs, of two satellites, are 3 % of all.
        assert said.omega.mean[b] == pytest.approx(wanted, rel=0.08, abs=3e-3)
    assert (said.eta.mean[edges[1:] < 1.3] == 0).all()


def test_places_of_ellipsoids(halos):
    places = EllipsoidPlaces.of(halos, 5)
    np.testing.assert_allclose(np.bincount(places.host, weights=places.weight), 1, rtol=1e-12)
    for away in (places.sphere, places.ellipsoid):
        middle = [np.bincount(places.host, weights=places.weight * x) for x in away.T]
        assert np.abs(middle).max() < 1e-12  # mirror images
    heavy = np.argmax(halos.mass)
    some = places.ellipsoid[places.host == heavy] @ halos.axis[heavy]
    across = places.ellipsoid[places.host == heavy] @ halos.minor_axis[heavy]
    assert some.std() / across.std() == pytest.approx(1 / halos.c_to_a[heavy], rel=0.05)


def test_shapes_that_are_drawn_are_many(halos):
    some = halos[np.argsort(halos.mass)[-150:]]
    drawn = HaloCatalog(
        some.position, some.mass, some.radius, some.concentration, some.axis,
        boxsize=some.boxsize, cosmology=some.cosmology, meta=some.meta,
    )  # fmt: skip
    places = EllipsoidPlaces.of(drawn, 5)
    np.testing.assert_allclose(
        np.bincount(places.shape_host, weights=places.shape_weight), 1, rtol=1e-12
    )
    heavy = places.shape_host == np.argmax(drawn.mass)
    assert heavy.sum() > 30
    assert places.c_to_a[heavy].std() > 0.03


# ---------------------------------------------------------------------- ranks
def test_ranks_taken_are_those_of_poisson_numbers():
    lam = np.array([1e-7, 0.03, 0.9, 7.3, 160.0, 0.0])
    number = np.array([2, 0, 4, 9, 30, 1])
    kinds = RankKinds.of(6, np.minimum(np.arange(6), 4), number)
    top = np.array([3, 3, 9, 14, 40, 41])
    occupation = RankOccupation(top, kinds, np.eye(6))
    found, slots, slopes, slot_slopes = (x.numpy() for x in occupation(torch.as_tensor(lam)))
    node, span = kinds.members
    groups = len(kinds.own)
    for value, slope, k, s in zip(found, slopes, node, span, strict=True):
        draw = stats.poisson(max(lam[k], 1e-300))
        if s < groups:
            ranks = np.arange(GROUPS[s], GROUPS[s + 1])
            there = ranks <= top[k]
            wanted = draw.sf(ranks - 1)[there].sum() / ranks.size
            by_mean = (ranks * draw.pmf(ranks))[there].sum() / ranks.size
        else:
            below = np.arange(1, min(NUMBERS[s - groups], top[k]) + 1)
            wanted = lam[k] - draw.sf(below - 1).sum()
            by_mean = lam[k] - (below * draw.pmf(below)).sum()
        assert value == pytest.approx(wanted, rel=1e-9, abs=1e-12)
        assert slope == pytest.approx(by_mean, rel=1e-9, abs=1e-12)
    # All ranks add up to the mean, and to the mean number of pairs.
    ends = np.cumsum(top)
    number = len(slots) - 12
    for k in range(6):
        own = slots[ends[k] - top[k] : ends[k]]
        assert own.sum() + slots[number + k] == pytest.approx(lam[k], abs=1e-11)
        pairs = (own * np.arange(top[k])).sum() + slots[number + 6 + k]
        assert pairs == pytest.approx(lam[k] ** 2 / 2, rel=1e-10, abs=1e-11)
        by_mean = slot_slopes[ends[k] - top[k] : ends[k]].sum() + slot_slopes[number + k]
        assert by_mean == pytest.approx(lam[k], abs=1e-11)


def test_more_ranks_apart_change_nothing(tables):
    box = tables["subhalos"].boxes[0]
    slots = box.slots
    raised = slots.raised(slots.top + 3)
    lam = 10 ** np.random.default_rng(1).uniform(-2, 1, len(slots.top))
    for sums in ("central", "pairs"):
        totals = []
        for one in (slots, raised):
            kinds = RankKinds.of(2, np.zeros(1, dtype=int), np.zeros(1, dtype=int))
            occupation = RankOccupation(one.top, kinds, np.zeros((2, len(lam))))
            taken = occupation(torch.as_tensor(lam))[1].numpy()
            totals.append(np.tensordot(taken, getattr(one, sums), (0, 0)))
        np.testing.assert_allclose(totals[0], totals[1], atol=1e-9 * np.abs(totals[0]).max())


def test_one_halo_with_subhalos_in_full():
    # One halo, no center, and so many subhalos that none is borrowed: sum over the numbers.
    rng = np.random.default_rng(8)
    n = 14
    offset = rng.normal(0, 0.3, (n, 3))
    center = np.array([20.0, 20.0, 20.0])
    halos = HaloCatalog(
        [center], [1e14], [0.97], [6.0], [[0.0, 0.6, 0.8]], boxsize=40.0,
        subhalos=Subhalos(center + offset, 1e12 * 0.9 ** np.arange(n), np.zeros(n, dtype=int)),
    )  # fmt: skip
    edges = np.geomspace(0.2, 2, 6)
    row = np.array([0.5, 0.9, 16.0, 0.1, 12.0, 13.9, 1.0])
    hod = model(row, "subhalos")
    lam = float(hod.mean_nsat(1e14))
    said = HaloTables.tabulate(halos, bins=edges, satellites="subhalos", progress=False).predict(
        row, on_outside="ignore"
    )
    d = offset - offset[:, None]
    r = np.linalg.norm(d, axis=2) + 10 * np.eye(n)
    e = offset / np.linalg.norm(offset, axis=1)[:, None]
    q = np.einsum("ik,ijk->ij", e, d) ** 2 / r**2 - 1 / 3
    h = (e @ e.T) ** 2 - 1 / 3
    chance = stats.poisson(lam).pmf(np.arange(n + 1))
    assert chance.sum() > 1 - 1e-7
    sums = np.zeros((3, 5))
    for number in range(2, n + 1):
        some = np.s_[:number, :number]
        b = np.searchsorted(edges, r[some]) - 1
        for m, values in enumerate((np.ones_like(r), q, h)):
            for k in range(5):
                sums[m, k] += chance[number] * values[some][b == k].sum()
    s, some = order_parameter(0.9), sums[0] > 1e-4
    assert some.sum() >= 3
    said.omega.mean[~some] = said.eta.mean[~some] = 0  # where the next rank were borrowed
    sums[1:, ~some] = 0
    np.testing.assert_allclose(said.omega.mean, s * sums[1] / sums[0], rtol=3e-4, atol=1e-6)
    np.testing.assert_allclose(said.eta.mean, s * s * sums[2] / sums[0], rtol=3e-4, atol=1e-6)
    assert said.satellites == pytest.approx(lam, rel=1e-9)


# ---------------------------------------------------------------------- against draws
def against_draws(tables, halos, row, satellites, number):
    """Z of the means of draws and, of xi, the relative differences and errors.

    Those of omega and eta are sums over the pairs of all draws, which is what tables define: the
    mean of ratios is another by 1.4 errors of 2,000 draws, where few heavy halos have the pairs.
    """
    found = {name: [] for name in (*STATISTICS, "pairs")}
    for seed in range(number):
        said = box_correlations(
            model(row, satellites)._populate(halos, 50 + seed), bins=tables.edges
        )
        found["xi"].append(said.xi)
        found["pairs"].append(said.weight)
        for name in STATISTICS[1:]:
            found[name].append(np.nan_to_num(getattr(said, name)) * said.weight)
    said = tables.predict(row, on_outside="ignore")
    xi, pairs = np.array(found["xi"]), np.array(found["pairs"])
    error = xi.std(axis=0, ddof=1) / np.sqrt(number)
    out = {"xi": (xi.mean(axis=0) - said.xi.mean) / error}
    scale = 1 + xi.mean(axis=0)
    away = np.abs(out["xi"] * error / scale), error / scale
    for name in STATISTICS[1:]:
        sums = np.array(found[name])
        ratio = sums.mean(axis=0) / pairs.mean(axis=0)
        rest = (sums - ratio * pairs) / pairs.mean(axis=0)
        error = rest.std(axis=0, ddof=1) / np.sqrt(number)
        out[name] = (ratio - getattr(said, name).mean) / error
    return out, *away


@pytest.mark.parametrize("satellites", KINDS)
def test_means_of_drawn_galaxies(halos, tables, satellites):
    z, _, _ = against_draws(tables[satellites], halos, POINTS[1], satellites, 120)
    for name, values in z.items():
        assert np.sqrt((values**2).mean()) < 1.8, (name, values)
        assert np.abs(values).max() < 4.5, (name, values)


@pytest.fixture(scope="module")
def large() -> HaloCatalog:
    """Halos enough for what is of second order in one over the galaxies to be out of sight."""
    return HaloCatalog.simulate(
        100.0, 64, mmin=5e11, axis_alignment=0.8, subhalos=True, subhalo_mmin=1e11, seed=4
    )


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("satellites", ["nfw", *KINDS])
@pytest.mark.parametrize("row", POINTS)
def test_means_of_many_drawn_galaxies(large, satellites, row):
    # More places than by default: pairs of clusters are a sum over few halos, the heaviest of which
    # has b/a = 0.19. With 4 or 16 places omega differs by 0.3 % between seeds, with 64 by 0.1 %.
    places = 64 if satellites == "triaxial" else 16
    tables = tabulated(large, satellites, nodes=40, places=places)
    z, away, error = against_draws(tables, large, row, satellites, 2000)
    print(satellites, {name: round(float(np.sqrt((v**2).mean())), 2) for name, v in z.items()},
          100 * np.sqrt((away**2).mean()), 100 * np.sqrt((error**2).mean()))  # fmt: skip
    for name, values in z.items():
        # Nine bins, some of them correlated.
        assert np.sqrt((values**2).mean()) < 1.3 + 0.4, (name, values)
    assert np.sqrt((away**2).mean()) < np.hypot(0.0025, 1.3 * np.sqrt((error**2).mean()))


def test_satellites_make_a_difference(halos, tables):
    # The tables are not those of spheres by far more than they are known to.
    sphere = tabulated(halos, "nfw")
    for kind in KINDS:
        a, b = (t.predict(POINTS[1], on_outside="ignore") for t in (tables[kind], sphere))
        assert np.abs(a.omega.mean - b.omega.mean).max() > 0.01
        assert np.abs((1 + a.xi.mean) / (1 + b.xi.mean) - 1).max() > 0.03


# ---------------------------------------------------------------------- derivatives
@pytest.mark.parametrize("satellites", KINDS)
@pytest.mark.parametrize("row", POINTS)
def test_derivatives_against_differences(tables, satellites, row):
    slopes = tables[satellites].jacobian(row, on_outside="ignore")
    h = 1e-5
    at = [
        tables[satellites].predict(row + k * h * np.eye(7), on_outside="ignore")
        for k in (-2, -1, 1, 2)
    ]
    for name in STATISTICS:
        a, b, c, d = (getattr(said, name).mean.T for said in at)
        differences = (8 * (c - b) - (d - a)) / (12 * h)
        scale = np.abs(slopes[name]).max(axis=0)
        assert (np.abs(slopes[name] - differences) <= 1e-6 * scale + 1e-12).all()
    x = torch.tensor(row, requires_grad=True)
    for name, (mean, _) in tables[satellites].mean_and_std(x).items():
        (gradient,) = torch.autograd.grad(mean.sum(), x, retain_graph=True)
        np.testing.assert_allclose(gradient, slopes[name].sum(axis=0), rtol=1e-8, atol=1e-8)


# ---------------------------------------------------------------------- boxes and files
@pytest.mark.parametrize("satellites", KINDS)
def test_several_boxes_and_files(halos, satellites, tmp_path, monkeypatch):
    monkeypatch.setattr("pysoftcorr.mocks.tabulated.subhalo_sums._IN_ALL", 100_000)
    halos, other = (one[np.argsort(one.mass)[-200:]] for one in (halos, universe(6)))
    joint = tabulated([halos, other], satellites)
    merged = HaloTables.merge([
        tabulated(one, satellites, bins=joint.edges, nodes=joint.nodes) for one in (halos, other)
    ])  # fmt: skip
    assert joint.satellites == satellites
    for row in POINTS:
        a, b = (t.predict(row, on_outside="ignore") for t in (joint, merged))
        for name in STATISTICS:
            # Places of the second box have another seed.
            np.testing.assert_allclose(
                getattr(a, name).mean, getattr(b, name).mean, rtol=0.02, atol=4e-3
            )
    path = tmp_path / "tables.h5"
    merged.write(path)
    again = HaloTables.read(path)
    assert again == merged
    assert again != joint
    assert again.box["satellites"] == satellites
    np.testing.assert_array_equal(
        again.predict(POINTS[0], on_outside="ignore").omega.mean,
        merged.predict(POINTS[0], on_outside="ignore").omega.mean,
    )
    with pytest.raises(ValueError, match=f"satellites = {satellites!r}"):
        HaloTables.merge([
            tabulated(halos, "nfw", bins=joint.edges, nodes=joint.nodes), merged,
        ])  # fmt: skip


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("satellites", KINDS)
def test_subvolumes(halos, satellites):
    cut = tabulated(halos, satellites, subvolumes=2, bins="log:0.3:9:5")
    round_ = tabulated(halos, "nfw", subvolumes=2, bins="log:0.3:9:5")
    a, b = (
        np.sqrt(np.diag(t.covariance(POINTS[0], "cosmic"))).reshape(3, -1) for t in (cut, round_)
    )
    # Of xi, satellites that are elsewhere in the same halos change little.
    np.testing.assert_allclose(a[0], b[0], rtol=0.35)
    assert (a > 0).all()


# ---------------------------------------------------------------------- errors
@pytest.mark.slow
@pytest.mark.long
def test_covariance_of_triaxial_satellites(large):
    tables = tabulated(large, "triaxial", sites=800, nodes=40)
    row, number = POINTS[1], 400
    drawn = []
    for seed in range(number):
        said = box_correlations(
            model(row, "triaxial")._populate(large, 900 + seed), bins=tables.edges
        )
        drawn.append(np.concatenate([getattr(said, name) for name in STATISTICS]))
    sigma = np.sqrt(np.diag(tables.covariance(row, "hod")))
    ratio = np.log10(sigma / np.std(drawn, axis=0, ddof=1)).reshape(3, -1)
    # A standard deviation of 400 draws is known to 0.015 dex.
    assert (np.abs(ratio.mean(axis=1)) < 0.03).all(), ratio
    assert np.abs(ratio).max() < 0.1, ratio


def test_what_tables_of_subhalos_refuse(halos, tables):
    with pytest.raises(ValueError, match="tabulate the halos with sites = 800"):
        tables["subhalos"].covariance(POINTS[0], "hod")
    bare = changed(halos, subhalos=None)
    with pytest.raises(ValueError, match="the halo catalog has no subhalos"):
        tabulated(bare, "subhalos")
    for few in (1, 2):  # of two in each halo, heavy ones would have no more
        with pytest.raises(ValueError, match=f"places = {few}"):
            tabulated(halos, "triaxial", places=few)
    with pytest.raises(ValueError, match="concentration_groups = 2: must be 1"):
        tabulated(halos, "subhalos", concentration_groups=2)


@pytest.mark.parametrize("satellites", ["triaxial", "subhalos"])
@pytest.mark.parametrize("option", [{"rp_bins": "log:0.3:6:4"}, {"assembly_split": 0.5}])
def test_places_have_neither_wp_nor_assembly_bias(satellites, option, request):
    halos = request.getfixturevalue("halos")
    (name,) = option
    with pytest.raises(ValueError, match=f"satellites = '{satellites}': must be 'nfw' with {name}"):
        HaloTables.tabulate(halos, satellites=satellites, progress=False, **option)
