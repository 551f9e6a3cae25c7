"""Tables of halos: against drawn galaxies, closed forms and draws of pairs; invariances, files."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.resealed import changed

torch = pytest.importorskip("torch")

from pysoftcorr.mocks import HaloCatalog, HaloTables, HODModel, box_correlations  # noqa: E402
from pysoftcorr.mocks.alignment import order_parameter  # noqa: E402
from pysoftcorr.mocks.hod import PARAMETERS  # noqa: E402
from pysoftcorr.mocks.satellites import directions, nfw_radius  # noqa: E402
from pysoftcorr.mocks.tabulated.nfw import TERMS  # noqa: E402
from pysoftcorr.mocks.tabulated.nodes import choose_nodes  # noqa: E402
from pysoftcorr.mocks.tabulated.shells import separation_steps, shell_moments  # noqa: E402

BINS = "log:0.1:12:12"
POINTS = np.array([
    [0.7, 0.3, 12.3, 0.3, 12.3, 13.4, 1.0],
    [-0.5, 0.9, 12.0, 0.15, 11.8, 13.0, 1.1],
    [0.95, -0.9, 12.8, 0.6, 12.5, 13.6, 0.8],
    [0.2, 0.6, 12.1, 0.05, 12.9, 13.1, 1.3],
])  # fmt: skip
STATISTICS = ("xi", "omega", "eta")


def model(row) -> HODModel:
    return HODModel(**dict(zip(PARAMETERS, map(float, row), strict=True)))


def shuffled(halos: HaloCatalog) -> HaloCatalog:
    """The same halos about another origin, with x, y and z interchanged."""
    turn = [1, 2, 0]
    return HaloCatalog(
        np.mod(halos.position[:, turn] + [3.0, 40.0, 17.0], halos.boxsize), halos.mass,
        halos.radius, halos.concentration, halos.axis[:, turn], boxsize=halos.boxsize,
        cosmology=halos.cosmology, meta=halos.meta,
    )  # fmt: skip


@pytest.fixture(scope="module")
def halos() -> HaloCatalog:
    return HaloCatalog.simulate(50.0, 32, mmin=5e11, axis_alignment=0.8, seed=4)


@pytest.fixture(scope="module")
def tables(halos) -> HaloTables:
    return HaloTables.tabulate(halos, bins=BINS, nodes=20, sites=0, progress=False)


# ---------------------------------------------------------------------- against draws
def draws(halos, row, edges, number):
    found = {name: [] for name in ("n", *STATISTICS)}
    for seed in range(number):
        galaxies = model(row)._populate(halos, 7 + seed)
        said = box_correlations(galaxies, bins=edges)
        found["n"].append([len(galaxies), int(galaxies.central.sum())])
        for name in STATISTICS:
            found[name].append(getattr(said, name))
    return {name: np.array(values, dtype=float) for name, values in found.items()}


@pytest.mark.slow
@pytest.mark.parametrize("row", POINTS)
def test_means_of_drawn_galaxies(halos, tables, row):
    number = 300
    found = draws(halos, row, tables.edges, number)
    said = tables.predict(row, on_outside="ignore")
    n = found["n"]
    error = n.std(axis=0, ddof=1) / np.sqrt(number)
    wanted = np.array([said.centrals + said.satellites, said.centrals])
    assert (np.abs(n.mean(axis=0) - wanted) < 4 * error).all()
    assert said.number_density == pytest.approx(wanted[0] / 50**3, rel=1e-12)
    assert said.satellite_fraction == pytest.approx(1 - wanted[1] / wanted[0], rel=1e-12)
    for name in STATISTICS:
        values = found[name]
        error = np.nanstd(values, axis=0, ddof=1) / np.sqrt(np.isfinite(values).sum(axis=0))
        z = (np.nanmean(values, axis=0) - getattr(said, name).mean) / error
        # Twelve bins: the rms has a scatter of .2, more where bins are correlated.
        assert np.sqrt((z**2).mean()) < 1.7, (name, z)
        assert np.abs(z).max() < 4.5, (name, z)
    # The check has teeth: so many errors is what aligned galaxies are from random ones.
    error = np.nanstd(found["omega"], axis=0, ddof=1) / np.sqrt(number)
    assert np.nanmax(np.abs(np.nanmean(found["omega"], axis=0)) / error) > 8


def test_mean_of_drawn_galaxies_in_linear_bins(halos):
    edges = np.linspace(0, 8, 5)
    row = POINTS[1]
    said = HaloTables.tabulate(halos, bins=edges, nodes=20, sites=0, progress=False).predict(row)
    found = draws(halos, row, edges, 60)
    for name in STATISTICS:
        error = found[name].std(axis=0, ddof=1) / np.sqrt(60)
        assert np.abs((found[name].mean(axis=0) - getattr(said, name).mean) / error).max() < 4.5


# ---------------------------------------------------------------------- closed forms
def test_centrals_of_every_halo_are_the_halos(halos):
    # With every halo occupied and no satellites nothing is left to chance but the axes.
    few = halos[np.argsort(halos.mass)[-30:]]
    tables = HaloTables.tabulate(few, bins="log:1:12:5", sites=0, progress=False)
    assert len(tables.nodes) == 30
    exact = box_correlations(few.position, few.axis, boxsize=50.0, bins=tables.edges)
    for mu in (1.0, 0.6, -0.3):
        said = tables.predict([mu, 0.4, 9.0, 0.2, 17.0, 13.0, 1.0], on_outside="ignore")
        s = order_parameter(mu)
        assert (exact.xi == -1).sum() == 1  # halos keep apart
        np.testing.assert_allclose(said.xi.mean, exact.xi, rtol=1e-9)
        np.testing.assert_allclose(said.omega.mean, s * exact.omega, atol=1e-10)
        np.testing.assert_allclose(said.eta.mean, s * s * exact.eta, atol=1e-10)
        assert (said.centrals, said.satellites) == (pytest.approx(30, rel=1e-12), 0.0)


def one_halo_catalog(c: float = 6.0) -> HaloCatalog:
    return HaloCatalog([[20.0, 20.0, 20.0]], [1e14], [0.97], [c], [[0.0, 0.6, 0.8]], boxsize=40.0)


def test_terms_of_one_halo_that_vanish():
    tables = HaloTables.tabulate(one_halo_catalog(), bins="log:0.1:8:10", sites=0, progress=False)
    inside = tables.edges[:-1] < 2 * 0.97
    # Satellites that point anywhere, centrals along their halo: nothing, exactly.
    said = tables.predict([0.9, 0.0, 12.0, 0.2, 12.0, 13.0, 1.0])
    assert (said.omega.mean[inside] == 0).all()
    assert (said.eta.mean[inside] == 0).all()
    # A central's axis is as good as any other to isotropic satellites.
    one, other = (
        tables.predict([mu, 0.8, 12.0, 0.2, 12.0, 13.0, 1.0], on_outside="ignore")
        for mu in (-1.0, 1.0)
    )
    for name in ("omega", "eta"):
        a, b = (getattr(said, name).mean[inside] for said in (one, other))
        np.testing.assert_array_equal(a, b)
        assert np.abs(a).max() > 0.01


@pytest.mark.parametrize("c", [2.0, 6.0, 25.0])
def test_pairs_within_a_halo(c):
    edges = np.geomspace(0.05, 3, 11)
    box = HaloTables.tabulate(one_halo_catalog(c), bins=edges, sites=0, progress=False).boxes[0]
    central, of_axis, with_axis, pairs, along, axes = box.one_halo.sum(axis=1)
    assert (of_axis == 0).all()
    assert (with_axis == 0).all()
    rng = np.random.default_rng(1)
    n = 200_000
    d, e = (directions(*rng.random((2, n))) for _ in range(2))
    x = d * 0.97 * nfw_radius(rng.random(n), np.full(n, c))[:, None]
    y = e * 0.97 * nfw_radius(rng.random(n), np.full(n, c))[:, None]
    sums = np.array(binned(x, y - x, d, e, edges))
    mean, error = sums.mean(axis=2), sums.std(axis=2) / np.sqrt(n)
    for k, said in enumerate((pairs, along, axes)):
        assert (np.abs(said - mean[k]) < 5 * error[k] + 3e-6).all()
    r = np.linalg.norm(x, axis=1)
    inside = (r > edges[:-1, None]) & (r <= edges[1:, None])
    error = np.sqrt(inside.mean(axis=1) / n)
    assert (np.abs(central - inside.mean(axis=1)) <= 5 * error + 1e-12).all()


def binned(first, separation, d, e, edges):
    """Number in each bin (b, n), (d . D)^2 - 1/3 and (d . e)^2 - 1/3 there."""
    r = np.linalg.norm(separation, axis=1)
    inside = ((r > edges[:-1, None]) & (r <= edges[1:, None])).astype(float)
    cosine = np.einsum("ij,ij->i", d, separation) / r
    return [
        inside,
        inside * (cosine**2 - 1 / 3),
        inside * (np.einsum("ij,ij->i", d, e) ** 2 - 1 / 3),
    ]


@pytest.mark.parametrize("s", [0.6, 1.7, 4.0])
def test_pairs_of_two_halos(s):
    # Every term of two halos, one of each node, against drawn satellites.
    z = np.array([0.48, 0.6, 0.64])
    a, b = np.array([0.6, 0.0, 0.8]), np.array([0.0, 1.0, 0.0])
    radius, c = (0.97, 0.45), (5.0, 9.0)
    halos = HaloCatalog(
        [20.0 + s * z, [20.0, 20.0, 20.0]], [1e14, 1e13], radius, c, [a, b], boxsize=40.0
    )
    edges = np.geomspace(0.3, 7, 9)
    box = HaloTables.tabulate(halos, bins=edges, sites=0, progress=False).boxes[0]
    said = {name: form[1, 0] for name, form in zip(TERMS, box.forms, strict=True)}  # heavy, light
    turned = {name: form[0, 1] for name, form in zip(TERMS, box.forms, strict=True)}
    rng = np.random.default_rng(2)
    n = 300_000
    d, e = (directions(*rng.random((2, n))) for _ in range(2))
    x = s * z + d * radius[0] * nfw_radius(rng.random(n), np.full(n, c[0]))[:, None]
    y = e * radius[1] * nfw_radius(rng.random(n), np.full(n, c[1]))[:, None]
    at = np.broadcast_to(s * z, x.shape)
    zero = np.zeros_like(x)
    aa, bb = np.broadcast_to(a, x.shape), np.broadcast_to(b, x.shape)
    wanted = {}
    # Central of the first, satellite of the second, and the other way about.
    wanted["n_cs"], wanted["ac_cs"], wanted["h_cs"] = binned(at, y - at, aa, e, edges)
    _, wanted["as_cs"], _ = binned(y, at - y, e, aa, edges)
    wanted["n_ss"], wanted["a_ss"], wanted["h_ss"] = binned(x, y - x, d, e, edges)
    for name, values in wanted.items():
        # A separation is known to a step of 1 %, which moves pairs across the edges.
        room = 4e-3 * np.abs(values).mean(axis=1).max()
        error = values.std(axis=1) / np.sqrt(n)
        assert (np.abs(said[name] - values.mean(axis=1)) <= 5 * error + room).all(), name
    other, _, mixed = binned(zero, x - zero, bb, d, edges)
    error = other.std(axis=1) / np.sqrt(n)
    assert (np.abs(turned["n_cs"] - other.mean(axis=1)) < 5 * error + 2e-3).all()
    assert (np.abs(turned["h_cs"] - mixed.mean(axis=1)) < 5 * error + 2e-3).all()


def test_moments_of_a_shell():
    rng = np.random.default_rng(3)
    d = directions(*rng.random((2, 400_000)))
    for r, s, lo, hi in ((0.5, 1.0, 0.7, 1.1), (1.0, 0.2, 0.9, 3.0), (1.0, 1.0, 0.0, 0.3)):
        D = r * d - [0.0, 0.0, s]
        size = np.linalg.norm(D, axis=1)
        inside = (size > lo) & (size <= hi)
        values = np.stack([
            np.ones(len(d)), (np.einsum("ij,ij->i", d, D) / size) ** 2, (D[:, 2] / size) ** 2,
            d[:, 2] ** 2,
        ]) * inside  # fmt: skip
        said = np.array(shell_moments(*map(np.array, (r, s, lo, hi))))
        assert (np.abs(said - values.mean(axis=1)) <= 5 * values.std(axis=1) / 600).all()


def test_steps_hold_the_edges():
    for edges in ([0.0, 2.0, 5.0], [0.05, 0.3, 7.0], [1.0, 16.0], np.geomspace(0.1, 16, 21)):
        edges = np.asarray(edges)
        steps = separation_steps(edges, 3.0)
        assert steps[0] == 0
        assert steps[-1] == pytest.approx(edges[-1] + 3)
        assert np.isin(edges, steps).all()
        fine = steps[steps >= min(0.1, edges[edges > 0][0]) * (1 - 1e-12)]
        assert (np.diff(np.log(fine)) < 0.0101).all()
        assert (np.diff(steps) > 0).all()


# ---------------------------------------------------------------------- derivatives
@pytest.mark.parametrize("row", POINTS)
def test_derivatives_against_differences(tables, row):
    slopes = tables.jacobian(row, on_outside="ignore")
    h = 1e-5
    at = [tables.predict(row + k * h * np.eye(7), on_outside="ignore") for k in (-2, -1, 1, 2)]
    for name in STATISTICS:
        a, b, c, d = (getattr(said, name).mean.T for said in at)
        differences = (8 * (c - b) - (d - a)) / (12 * h)
        scale = np.abs(slopes[name]).max(axis=0)
        assert (np.abs(slopes[name] - differences) <= 1e-6 * scale + 1e-12).all()
    assert (slopes["xi"][:, :2] == 0).all()


def test_autograd_and_batches(tables):
    x = torch.tensor(POINTS, requires_grad=True)
    found = tables.mean_and_std(x)
    whole = tables.predict(POINTS, on_outside="ignore")
    slopes = tables.jacobian(POINTS, on_outside="ignore")
    for name in STATISTICS:
        mean, std = found[name]
        assert torch.isnan(std).all()
        np.testing.assert_allclose(mean.detach(), getattr(whole, name).mean, rtol=1e-12)
        (gradient,) = torch.autograd.grad(mean.sum(), x, retain_graph=True)
        np.testing.assert_allclose(gradient, slopes[name].sum(axis=1), rtol=1e-9, atol=1e-9)
        for k, row in enumerate(POINTS):
            one = getattr(tables.predict(row, on_outside="ignore"), name).mean
            np.testing.assert_allclose(one, getattr(whole, name).mean[k], rtol=1e-11)
    deep = tables.mean_and_std(x.reshape(2, 2, 7))["omega"][0]
    assert torch.equal(deep.reshape(4, -1), found["omega"][0]) or torch.allclose(
        deep.reshape(4, -1), found["omega"][0], rtol=1e-12
    )
    said = tables.predict(x, on_outside="ignore")
    (gradient,) = torch.autograd.grad(said.number_density.sum(), x)
    assert (gradient[:, 2] < 0).all()  # fewer galaxies, of heavier halos
    single = tables.mean_and_std(x.detach().float())["xi"][0]
    assert single.dtype == torch.float32
    named = tables.predict(dict(zip(PARAMETERS, POINTS[0], strict=True)), on_outside="ignore")
    np.testing.assert_array_equal(
        named.xi.mean, tables.predict(POINTS[0], on_outside="ignore").xi.mean
    )


def test_slopes_are_finite_at_the_ends(tables):
    for mu in (-1.0, 0.0, 1.0):
        row = np.array([mu, mu, *POINTS[0, 2:]])
        for values in tables.jacobian(row, on_outside="ignore").values():
            assert np.isfinite(values).all()


# ---------------------------------------------------------------------- nodes
def test_nodes_are_even_and_the_heaviest_halos():
    logm = np.random.default_rng(1).exponential(0.4, 3000) + 11
    nodes = choose_nodes(logm, 30)
    assert len(nodes) == 30 + 21
    heavy = np.sort(logm)[-22:]
    np.testing.assert_array_equal(nodes.logm[-22:], heavy)
    np.testing.assert_allclose(np.diff(nodes.logm[:30]), np.diff(nodes.logm[:30])[0])
    below, part = nodes.place(logm)
    np.testing.assert_allclose(
        nodes.logm[below] * (1 - part) + nodes.logm[below + 1] * part, logm, rtol=1e-14
    )
    cells = nodes.cell(logm)
    assert cells.number.sum() == 3000
    some = cells.number > 0
    assert np.abs(cells.logm[cells.of_halo] - logm).max() < 0.0101
    # What is linear between nodes is its own projection.
    values = np.random.default_rng(2).random(len(nodes))
    at = np.interp(cells.logm[some], nodes.logm, values)
    found = nodes.projection(cells.number[some], cells.logm[some]) @ at
    back = np.interp(cells.logm[some], nodes.logm, found)
    np.testing.assert_allclose(back, at, atol=1e-7)


@pytest.mark.parametrize("mass", [[1e13], [1e13] * 4, [1e12, 1e12, 3e13]])
def test_few_halos_are_nodes_each(mass):
    n = len(mass)
    rng = np.random.default_rng(5)
    halos = HaloCatalog(
        rng.uniform(0, 30, (n, 3)), mass, 0.45 * np.cbrt(np.array(mass) / 1e13), np.full(n, 6.0),
        rng.normal(size=(n, 3)), boxsize=30.0,
    )  # fmt: skip
    tables = HaloTables.tabulate(halos, bins="log:0.1:8:5", sites=0, progress=False)
    assert set(np.log10(mass)) <= set(tables.nodes.tolist())
    row = [0.5, 0.5, 11.5, 0.2, 11.0, 12.5, 1.0]
    said = tables.predict(row, on_outside="ignore")
    hod = model(row)
    assert said.centrals == pytest.approx(float(np.sum(hod.mean_ncen(halos.mass))), rel=1e-12)
    assert said.satellites == pytest.approx(float(np.sum(hod.mean_nsat(halos.mass))), rel=1e-12)
    assert np.isfinite(said.xi.mean).all()


def test_more_nodes_change_little(halos, tables):
    fine = HaloTables.tabulate(halos, bins=BINS, nodes=40, sites=0, progress=False)
    for row in POINTS:
        a, b = (t.predict(row, on_outside="ignore") for t in (tables, fine))
        np.testing.assert_allclose(a.xi.mean + 1, b.xi.mean + 1, rtol=0.01)
        np.testing.assert_allclose(a.omega.mean, b.omega.mean, atol=1e-3)


def test_groups_of_concentration(halos, tables):
    # Where concentrated halos are in crowds, their satellites are closer to those of others.
    d = halos.position[:, None] - halos.position
    d -= 50.0 * np.rint(d / 50.0)
    near = (np.linalg.norm(d, axis=2) < 4).sum(axis=1)
    crowded = near > np.median(near)
    biased = HaloCatalog(
        halos.position, halos.mass, halos.radius, np.where(crowded, 25.0, 2.0), halos.axis,
        boxsize=50.0,
    )  # fmt: skip
    row = [0.5, 0.5, 12.0, 0.3, 11.7, 12.4, 0.9]  # satellites everywhere
    options = {"bins": "log:0.5:4:8", "nodes": 12, "sites": 0, "progress": False}
    one, two, many = (
        HaloTables.tabulate(biased, concentration_groups=k, **options).predict(
            row, on_outside="ignore"
        )
        for k in (1, 2, 5)
    )
    away, left = (np.abs(said.xi.mean / many.xi.mean - 1) for said in (one, two))
    assert away.max() > 5e-3
    assert left.max() < 0.5 * away.max()
    # Of what does not depend on it, nothing is changed.
    apart = HaloTables.tabulate(
        halos, bins=BINS, nodes=tables.nodes, concentration_groups=2, sites=0, progress=False
    )
    cc = [TERMS.index(name) for name in ("n_cc", "a_cc", "h_cc")]
    a, b = tables.boxes[0], apart.boxes[0]
    np.testing.assert_allclose(a.forms[cc], b.forms[cc], atol=1e-9 * np.abs(a.forms).max())
    np.testing.assert_array_equal(a.one_halo, b.one_halo)


# ---------------------------------------------------------------------- boxes and files
def test_place_and_direction_of_the_axes_play_no_role(halos, tables):
    other = HaloTables.tabulate(shuffled(halos), bins=BINS, nodes=20, sites=0, progress=False)
    np.testing.assert_array_equal(other.nodes, tables.nodes)
    for a, b in zip(tables.boxes, other.boxes, strict=True):
        np.testing.assert_allclose(a.forms, b.forms, atol=1e-9 * np.abs(a.forms).max())
        np.testing.assert_array_equal(a.count, b.count)


def tiled(halos: HaloCatalog, times: tuple[int, int, int]) -> HaloCatalog:
    """The same universe, repeated along each axis."""
    shifts = np.stack(np.meshgrid(*map(np.arange, times), indexing="ij"), axis=-1).reshape(-1, 3)
    place = halos.position + halos.boxsize * shifts[:, None]
    n = len(shifts)
    columns = (np.tile(x, n) for x in (halos.mass, halos.radius, halos.concentration))
    return HaloCatalog(
        place.reshape(-1, 3), *columns, np.tile(halos.axis, (n, 1)),
        boxsize=tuple(halos.boxsize * np.array(times)),
    )  # fmt: skip


@pytest.mark.parametrize("times", [(1, 1, 2), (3, 1, 1), (1, 2, 2)])
def test_boxes_of_three_sides(halos, tables, times, tmp_path):
    made = HaloTables.tabulate(
        tiled(halos, times), bins=BINS, nodes=tables.nodes, sites=0, progress=False
    )
    n = int(np.prod(times))
    one, whole = tables.boxes[0], made.boxes[0]
    np.testing.assert_allclose(whole.forms, n * one.forms, atol=1e-9 * np.abs(one.forms).max())
    np.testing.assert_allclose(whole.one_halo, n * one.one_halo, rtol=1e-9, atol=1e-9)
    assert made.volume == n * tables.volume
    a, b = (t.predict(POINTS[0], on_outside="ignore") for t in (tables, made))
    np.testing.assert_allclose(a.omega.mean, b.omega.mean, atol=1e-9)
    assert b.number_density == pytest.approx(a.number_density, rel=1e-9)
    made.write(tmp_path / "tables.h5")
    assert HaloTables.read(tmp_path / "tables.h5") == made


def test_several_boxes(halos, tables):
    both = [halos, shuffled(halos)]
    joint = HaloTables.tabulate(both, bins=BINS, nodes=20, sites=0, progress=False)
    assert len(joint.boxes) == 2
    assert joint.volume == 2 * 50.0**3
    merged = HaloTables.merge([
        tables,
        HaloTables.tabulate(
            both[1], bins=tables.edges, nodes=tables.nodes, sites=0, progress=False
        ),
    ])  # fmt: skip
    for row in POINTS:
        one, two, three = (t.predict(row, on_outside="ignore") for t in (tables, joint, merged))
        for name in STATISTICS:
            for said in (two, three):
                np.testing.assert_allclose(
                    getattr(said, name).mean, getattr(one, name).mean, rtol=1e-7, atol=1e-9
                )
        assert two.centrals == pytest.approx(one.centrals, rel=1e-9)
        assert two.number_density == pytest.approx(one.number_density, rel=1e-9)


def test_boxes_of_different_size_weigh_by_pairs(halos, tables):
    # Half of the volume twice is not the volume once: sums are over pairs and volumes, not means.
    small = halos[(halos.mass > 0)]
    other = HaloCatalog.simulate(60.0, 32, mmin=5e11, axis_alignment=0.8, seed=9)
    joint = HaloTables.tabulate([small, other], bins=BINS, nodes=25, sites=0, progress=False)
    parts = [
        HaloTables.tabulate(h, bins=BINS, nodes=joint.nodes, sites=0, progress=False)
        for h in (small, other)
    ]
    row = POINTS[0]
    said = joint.predict(row, on_outside="ignore")
    each = [p.predict(row, on_outside="ignore") for p in parts]
    counts = np.array([p.centrals + p.satellites for p in each])
    volumes = np.array([50.0**3, 60.0**3])
    # Pairs of each box, but for the bias of 1/N in xi.
    pairs = [(p.xi.mean + 1) * n * n / v for p, n, v in zip(each, counts, volumes, strict=True)]
    xi = sum(pairs) * volumes.sum() / counts.sum() ** 2 - 1
    np.testing.assert_allclose(said.xi.mean + 1, xi + 1, rtol=0.02)
    omega = sum(w * p.omega.mean for w, p in zip(pairs, each, strict=True)) / sum(pairs)
    np.testing.assert_allclose(said.omega.mean, omega, atol=2e-3)


def test_written_and_read(tables, tmp_path):
    path = tmp_path / "tables.h5"
    tables.write(path)
    again = HaloTables.read(path)
    assert again == tables
    assert again.box == tables.box
    assert again.box["boxsize"] == 50.0
    assert again.box["mdef"] == "vir"
    a, b = (t.predict(POINTS[0]) for t in (tables, again))
    np.testing.assert_array_equal(a.eta.mean, b.eta.mean)
    with pytest.raises(FileExistsError):
        tables.write(path)
    with pytest.raises(ValueError, match="unknown suffix"):
        tables.write(tmp_path / "tables.fits")
    with changed(path) as file:
        file["box0/forms"][0, 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="is damaged: numbers of box0 are not finite"):
        HaloTables.read(path)
    with changed(path) as file:
        del file["box0/forms"]
        file["box0/forms"] = np.zeros((10, 3, 3, 12))
    with pytest.raises(ValueError, match="do not belong to these nodes and edges"):
        HaloTables.read(path)
    with changed(path) as file:
        file.attrs["format_version"] = 99
    with pytest.raises(ValueError, match="newer than this pysoftcorr"):
        HaloTables.read(path)


def test_a_catalog_is_no_tables(halos, tmp_path):
    halos.write(tmp_path / "halos.h5")
    with pytest.raises(ValueError, match=r"holds no tables of halos"):
        HaloTables.read(tmp_path / "halos.h5")
    with pytest.raises(FileNotFoundError):
        HaloTables.read(tmp_path / "none.h5")


def test_prediction_as_table_and_text(tables, tmp_path):
    said = tables.predict(POINTS[0], on_outside="ignore")
    table = said.to_table()
    assert table.colnames == ["r_lo", "r_hi", "r", *STATISTICS]
    np.testing.assert_array_equal(table["omega"], said.omega.mean)
    said.write(tmp_path / "said.ecsv")
    assert "% of them satellites" in said.summary()
    assert said.to_dict()["satellite_fraction"] == said.satellite_fraction
    with pytest.raises(ValueError, match="has 4"):
        tables.predict(POINTS, on_outside="ignore").summary()


# ---------------------------------------------------------------------- what is refused
def test_what_cannot_be_tabulated(halos, tables):
    def refused(match, error=ValueError, of=halos, **options):
        with pytest.raises(error, match=match):
            HaloTables.tabulate(of, **{"bins": BINS, "nodes": 5, "progress": False, **options})

    refused("twice the largest halo radius, which must be at most half", bins="log:1:24:4")
    refused("satellites = 'king'", satellites="king")
    refused("nodes = 1", nodes=1)
    refused("rising", nodes=[13.0, 12.0])
    refused("beyond them", nodes=[12.0, 12.5, 13.0])
    refused("take .* GB, more than", nodes=np.linspace(11, 16, 900))
    refused("concentration_groups = 0", concentration_groups=0)
    refused("halos must be a HaloCatalog or a list", TypeError, of=3)
    refused("halos must be a HaloCatalog", TypeError, of=[3])
    other = HaloCatalog(halos.position, halos.mass, halos.radius, halos.concentration, halos.axis,
                        boxsize=50.0, cosmology="WMAP9")  # fmt: skip
    refused("different cosmologies", of=[halos, other])
    with pytest.raises(ValueError, match="a box in common"):
        HaloTables.merge([tables, tables])
    with pytest.raises(ValueError, match=r"differ in edges: tabulate with bins=first\.edges"):
        HaloTables.merge([
            tables,
            HaloTables.tabulate(
                halos, bins="log:1:9:3", nodes=tables.nodes, sites=0, progress=False
            ),
        ])  # fmt: skip
    with pytest.raises(TypeError, match="must be HaloTables"):
        HaloTables.merge([tables, 3])


def test_what_cannot_be_predicted(tables):
    with pytest.raises(ValueError, match="makes no galaxies in these halos in row 1"):
        tables.predict([POINTS[0], [0, 0, 17.5, 0.1, 17.0, 13.0, 1.0]])
    with pytest.raises(ValueError, match="mu_cen = 2"):
        tables.predict([2, 0, *POINTS[0, 2:]])
    with pytest.raises(ValueError, match="on_outside = 'no'"):
        tables.predict(POINTS[0], on_outside="no")
    low = [0.5, 0.5, 11.2, 0.2, 11.5, 12.5, 1.0]
    with pytest.warns(UserWarning, match=r"logMmin = 11\.2: halos below 10\*\*11\.7 Msun/h"):
        tables.predict(low)
    with pytest.raises(ValueError, match="tabulate lighter halos, or raise logMmin"):
        tables.jacobian(low, on_outside="error")


def test_lighter_halos_are_missed_as_populate_says(halos, tables):
    for row in ([0, 0, 11.8, 0.3, 12.0, 13.0, 1.0], [0, 0, 11.9, 0.2, 11.0, 12.6, 0.9]):
        wanted = model(row).unresolved(halos.mass)
        assert wanted > 0.01
        with pytest.warns(UserWarning, match=f"about {100 * wanted:.2g} %"):
            tables.predict(row)


def test_bounds_are_where_halos_are(halos, tables):
    low, high = tables.bounds["logMmin"]
    assert low == pytest.approx(np.log10(halos.mass.min()), abs=0.01)
    assert abs(int((np.log10(halos.mass) >= high - 0.005).sum()) - 20) <= 2
    assert set(tables.bounds) == set(PARAMETERS)
    assert "tables" in repr(tables).lower()
    assert tables.kind == "tables"
    assert tables.double() is tables
