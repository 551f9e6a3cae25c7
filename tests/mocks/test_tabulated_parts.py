"""Tables of a box without each of its sub-volumes, of one pass, by those of what is left."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")

from pysoftcorr.mocks import HaloCatalog, HaloTables
from pysoftcorr.mocks.tabulated import cut_box, ellipsoids, subhalo_sums
from pysoftcorr.mocks.tabulated.box import BoxTables, Grid
from pysoftcorr.mocks.tabulated.cut_box import CutBox
from pysoftcorr.mocks.tabulated.ellipsoids import EllipsoidPlaces
from pysoftcorr.mocks.tabulated.nodes import choose_nodes

EDGES = np.geomspace(0.3, 6, 5)
CUBE, LONG = (40.0, 40.0, 40.0), (36.0, 48.0, 41.0)


def catalog(sides=CUBE, number=500, shapes=True) -> HaloCatalog:
    """Clustered halos; the extremes of what tables interpolate in are in every part."""
    rng = np.random.default_rng(7)
    center = rng.uniform(0, sides, (60, 3))
    position = np.concatenate([
        center[rng.integers(0, 60, number // 2)] + rng.normal(0, 1.5, (number // 2, 3)),
        rng.uniform(0, sides, (number - number // 2, 3)),
    ])  # fmt: skip
    position[:3] = [[0.0, 0.0, 0.0], [sides[0] / 2, sides[1] / 2, 1.0], [1.0, sides[1] / 3, 0.0]]
    mass = 10 ** np.clip(rng.exponential(0.6, number) + 11.9, 12, 13.8)
    minor = rng.normal(size=(number, 3))
    axis = np.cross(minor, rng.normal(size=(number, 3)))
    c_to_a = np.clip(rng.normal(0.6, 0.2, number), 0.4, 0.8)
    given = {"minor_axis": minor, "c_to_a": c_to_a, "b_to_a": np.sqrt(c_to_a)} if shapes else {}
    return HaloCatalog(
        position % sides, mass, 0.97 * (mass / 1e14) ** (1 / 3),
        np.clip(rng.normal(7, 3, number), 4, 12), axis, boxsize=sides, **given,
    )  # fmt: skip


def grid_of(halos: HaloCatalog) -> Grid:
    nodes = choose_nodes(np.log10(halos.mass), 6)
    return Grid(nodes, EDGES, float(halos.radius.min()), float(halos.radius.max()))


def label_of(halos: HaloCatalog, number: int) -> np.ndarray:
    x, y, z = np.floor(halos.position / np.array(halos.boxsize) * number).astype(int).T
    return (x * number + y) * number + z


def of_rows(places: EllipsoidPlaces, rows: np.ndarray, halos: int) -> EllipsoidPlaces:
    """Places in these of the halos, numbered anew."""
    number = np.full(halos, -1)
    number[rows] = np.arange(len(rows))
    host, shape = number[places.host], number[places.shape_host]
    a, b = host >= 0, shape >= 0
    return EllipsoidPlaces(
        host[a], places.weight[a], places.sphere[a], places.ellipsoid[a], shape[b],
        places.shape_weight[b], places.b_to_a[b], places.c_to_a[b],
    )  # fmt: skip


def left_of(cut: CutBox, halos: HaloCatalog, k: int, places=None) -> BoxTables:
    """Tables of the halos that are not in part k, of a pass of their own."""
    rows = np.flatnonzero(label_of(halos, cut.number) != k)
    some = None if places is None else of_rows(places, rows, len(halos))
    return cut.grid.tabulate(halos[rows], None, some)


def assert_same(found: BoxTables, wanted: BoxTables, rtol: float = 1e-9) -> None:
    np.testing.assert_array_equal(found.count, wanted.count)
    np.testing.assert_allclose(found.logm, wanted.logm, rtol=1e-12)
    for name in ("one_halo", "forms"):
        for a, b in zip(getattr(found, name), getattr(wanted, name), strict=True):
            np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * np.abs(b).max(), err_msg=name)
    assert found.boxsize == wanted.boxsize


@pytest.mark.parametrize(
    ("sides", "number", "parts", "at_once"),
    [
        (CUBE, 2, (0, 3, 5), 9), (LONG, 3, (0, 13, 26), 9), (LONG, 3, (4, 22), 2),
        ((42.0, 49.0, 44.0), 4, (0, 41), 9),
    ],
)  # fmt: skip
def test_spheres_by_a_pass_of_what_is_left(sides, number, parts, at_once, monkeypatch):
    monkeypatch.setattr(cut_box, "_AT_ONCE", at_once)
    halos = catalog(sides)
    cut = CutBox(halos, number, grid_of(halos))
    found = cut.tabulate(None)
    assert found.number == number
    assert len(found.left) == number**3
    np.testing.assert_array_equal(found.nodes, cut.grid.nodes.logm)
    for k in parts:
        assert_same(found.left[k], left_of(cut, halos, k))
    # Parts differ: tables of another would not do.
    a, b = parts[0], parts[1]
    assert np.abs(found.left[a].forms - found.left[b].forms).max() > 1


@pytest.mark.parametrize(
    ("sides", "number", "parts", "at_once"),
    [(LONG, 2, (6,), 9), pytest.param(CUBE, 3, (14,), 4, marks=pytest.mark.long)],
)
def test_ellipsoids_by_a_pass_of_what_is_left(sides, number, parts, at_once, monkeypatch):
    monkeypatch.setattr(cut_box, "_AT_ONCE", at_once)
    halos = catalog(sides, 300)
    places = EllipsoidPlaces.of(halos, 4)
    cut = CutBox(halos, number, grid_of(halos), places)
    found = cut.tabulate(None)
    round_ = CutBox(halos, number, grid_of(halos)).tabulate(None)
    for k in parts:
        assert_same(found.left[k], left_of(cut, halos, k, places))
        assert np.abs(found.left[k].forms - round_.left[k].forms).max() > 1e-3
        assert (found.left[k].one_halo[1] != 0).any()


def test_drawn_shapes_by_a_pass_of_what_is_left():
    halos = catalog(number=120, shapes=False)
    places = EllipsoidPlaces.of(halos, 4)
    cut = CutBox(halos, 2, grid_of(halos), places)
    left = cut.tabulate(None).left
    for k in (5,):
        # Their extremes, and with these the points of interpolation, are not the same.
        assert_same(left[k], left_of(cut, halos, k, places), rtol=1e-4)


def test_parts_without_halos_leave_the_whole():
    halos = catalog()
    halos = halos[label_of(halos, 2) != 5]
    cut = CutBox(halos, 2, grid_of(halos))
    left = cut.tabulate(None).left
    assert_same(left[5], cut.grid.tabulate(halos, None))
    assert_same(left[2], left_of(cut, halos, 2))


def test_halos_of_few_parts():
    halos = catalog()
    halos = halos[np.isin(label_of(halos, 3), (2, 20))]
    cut = CutBox(halos, 3, grid_of(halos))
    left = cut.tabulate(None).left
    for k in (2, 20, 21):
        # As few halos have other extremes, and the points of interpolation go with them.
        assert_same(left[k], left_of(cut, halos, k), rtol=3e-5)


def test_a_sample_of_a_cell_stands_for_what_is_left_of_it(monkeypatch):
    plain = catalog(number=150)
    halos = HaloCatalog(
        plain.position, np.full(150, 10**13.6), np.full(150, 0.7), plain.concentration, plain.axis,
        boxsize=40.0, minor_axis=plain.minor_axis, b_to_a=plain.b_to_a, c_to_a=plain.c_to_a,
    )  # fmt: skip
    places = EllipsoidPlaces.of(halos, 4)
    exact = CutBox(halos, 2, grid_of(halos), places).tabulate(None).left
    monkeypatch.setattr(ellipsoids, "_ENOUGH", 60)
    some = CutBox(halos, 2, grid_of(halos), places).tabulate(None).left
    for a, b in zip(exact, some, strict=True):
        # 60 concentrations of 7 +- 3, and shapes.
        np.testing.assert_allclose(b.one_halo[0].sum(), a.one_halo[0].sum(), rtol=0.05)
        np.testing.assert_allclose(b.one_halo[3].sum(), a.one_halo[3].sum(), rtol=0.05)
    # Where they are all of one part, what is left is like them.
    one = replace(places, **{
        name: getattr(places, name)[label_of(halos, 2)[places.shape_host] == 3]
        for name in ("shape_host", "shape_weight", "b_to_a", "c_to_a")
    })  # fmt: skip
    left = CutBox(halos, 2, grid_of(halos), one).tabulate(None).left
    assert np.isfinite(left[3].one_halo).all()
    mean = [x.one_halo[0].sum() / x.count.sum() for x in (left[3], exact[3])]
    assert mean[0] == pytest.approx(mean[1], rel=0.05)


def test_all_parts_take_hardly_more_than_the_pairs_of_the_whole(monkeypatch):
    rng = np.random.default_rng(2)
    halos = catalog((100.0,) * 3)
    halos = HaloCatalog(
        rng.uniform(0, 100, (len(halos), 3)), halos.mass, halos.radius, halos.concentration,
        halos.axis, boxsize=100.0,
    )  # fmt: skip
    taken = []
    plain = cut_box.halo_moments

    def counted(position, *given):
        taken.append(len(position))
        return plain(position, *given)

    monkeypatch.setattr(cut_box, "halo_moments", counted)
    for number, most in ((2, 1.0), (3, 1.7), (8, 8.0)):
        taken.clear()
        CutBox(halos, number, grid_of(halos))._two_halo(None)
        assert sum(taken) <= most * len(halos)


def test_subhalos_have_the_parts_of_ellipsoids(monkeypatch):
    monkeypatch.setattr(subhalo_sums, "_IN_ALL", 20_000)
    halos = HaloCatalog.simulate(40.0, 16, mmin=2e12, seed=3, subhalos=True, subhalo_mmin=5e11)
    options = {"bins": EDGES, "nodes": 4, "sites": 0, "subvolumes": 2, "progress": False}
    a, b = (
        HaloTables.tabulate(halos, satellites=kind, **options).boxes[0].subvolumes
        for kind in ("subhalos", "triaxial")
    )
    for one, other in zip(a.left, b.left, strict=True):
        np.testing.assert_array_equal(one.forms, other.forms)
        np.testing.assert_array_equal(one.one_halo, other.one_halo)


def test_parts_that_need_too_much_memory_are_refused(monkeypatch):
    monkeypatch.setattr(cut_box, "LARGEST", 0.7)
    halos = catalog()
    with pytest.raises(ValueError, match=r"subvolumes = 6: sums of 216 parts take .* more than"):
        CutBox(halos, 6, grid_of(halos))
