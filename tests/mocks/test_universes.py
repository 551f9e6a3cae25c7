"""Campaigns of universes: design, thinned halos, rows, and the file."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("colossus")

from helpers.at_home import at_home, rows_here
from pysoftcorr.mocks import HaloCatalog, HaloTables, Universes, run_universes, universe_design
from pysoftcorr.mocks.box import radial_edges
from pysoftcorr.mocks.campaign import course as running
from pysoftcorr.mocks.strengths import order_parameter
from pysoftcorr.mocks.tabulated.nfw import TERMS
from pysoftcorr.mocks.universes.chance import ChanceTables, whole_side
from pysoftcorr.mocks.universes.design import RANGES, held_out
from pysoftcorr.mocks.universes.one import thinned_halos, thinned_tables, universe_cosmology
from pysoftcorr.mocks.universes.rows import (
    UniversePlan,
    expected_row,
    measure_universe,
    work,
)

EDGES = radial_edges("log:0.3:8:6")
PLAN = UniversePlan(
    seed=3, points=6, chance_points=2, edges=EDGES, boxsize=60.0, mesh=32, mmin=5e11,
    thinned=(5e12, 0.5), logMmin=(12.0, 12.5), satellites="triaxial", places=3, sites=32,
)  # fmt: skip
OPTIONS = {
    "points": 6, "chance_points": 2, "bins": EDGES, "boxsize": 60.0, "mesh": 32, "mmin": 5e11,
    "thinned": (5e12, 0.5), "logMmin": (12.0, 12.5), "satellites": "nfw", "sites": 32,
}  # fmt: skip
POINTS = [[0.7, 0.2, 12.2, 0.26, 12.2, 13.2, 1.0], [0.3, -0.4, 12.6, 0.5, 12.5, 13.6, 0.9]]


@pytest.fixture(scope="module")
def halos() -> HaloCatalog:
    return HaloCatalog.simulate(60.0, 32, mmin=5e11, seed=4)


# ---------------------------------------------------------------------- design
@pytest.mark.parametrize("number", [16, 64])
def test_a_power_of_two_is_a_latin_hypercube(number) -> None:
    design = universe_design(number, seed=7)
    for column, (low, high) in zip(design.T, RANGES.values(), strict=True):
        slices = ((column - low) / (high - low) * number).astype(int)
        assert np.array_equal(np.sort(slices), np.arange(number))
    assert np.array_equal(universe_design(number // 2 + 3, seed=7), design[: number // 2 + 3])
    # Those held out are spread as evenly: each slice of a fourth of the range has some.
    last = design[list(held_out(number))]
    for column, (low, high) in zip(last.T, RANGES.values(), strict=True):
        assert len(np.unique(((column - low) / (high - low) * 4).astype(int))) == 4


@pytest.mark.parametrize("corner", list(product((0, 1), repeat=3)))
def test_there_are_halos_at_every_corner_of_the_design(corner) -> None:
    Omega_m, sigma_8, z = (span[k] for span, k in zip(RANGES.values(), corner, strict=True))
    halos = thinned_halos(
        universe_cosmology(Omega_m, sigma_8), z, boxsize=50.0, mesh=16, mmin=3e12,
        thinned=(5e12, 0.5), seed=1,
    )  # fmt: skip
    assert len(halos) > 10
    # Where most matter is, a virial halo is less dense than the mass function goes down to.
    assert halos.meta["mdef"] == ("200m" if corner[0] and corner[2] else "vir")


@pytest.mark.parametrize("number", [0, 1001, -4, 2.5, "many"])
def test_a_number_that_is_none_is_refused(number) -> None:
    with pytest.raises((ValueError, TypeError), match="universes"):
        universe_design(number, seed=1)


# ---------------------------------------------------------------------- thinned halos
@pytest.mark.parametrize("satellites", ["nfw", "triaxial"])
def test_tables_of_all_halos_are_those_of_the_catalog(halos, satellites) -> None:
    ours = thinned_tables(halos, (5e12, 1.0), EDGES, satellites=satellites, places=3)
    theirs = HaloTables.tabulate(
        halos, nodes=ours.nodes, bins=EDGES, satellites=satellites, places=3, sites=0,
        progress=False,
    )  # fmt: skip
    assert ours.satellites == satellites
    said = [t.predict(POINTS, on_outside="ignore") for t in (ours, theirs)]
    for name in ("xi", "omega", "eta"):
        one, other = (getattr(s, name).mean for s in said)
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_pairs_of_a_sample_of_light_halos_count_for_all(halos) -> None:
    """Pairs of halos, one by one: w_i w_j of each."""
    kept = (halos.mass >= 5e12) | (np.random.default_rng(5).random(len(halos)) < 0.4)
    part = halos[kept]
    tables = thinned_tables(part, (5e12, 0.4), EDGES)
    weight = np.where(part.mass < 5e12, 1 / 0.4, 1.0)
    box = tables.boxes[0]
    assert box.count.sum() == pytest.approx(weight.sum(), rel=1e-12)
    d = part.position[:, None] - part.position
    d -= 60 * np.rint(d / 60)
    r = np.sqrt((d**2).sum(axis=-1))
    pairs = np.outer(weight, weight)
    np.fill_diagonal(pairs, 0)
    for b, (low, high) in enumerate(pairwise(EDGES)):
        true = pairs[(r > low) & (r <= high)].sum()
        assert box.forms[0, :, :, b].sum() == pytest.approx(true, rel=1e-9)


def test_satellites_in_ellipsoids_of_a_sample_count_for_all(halos) -> None:
    kept = (halos.mass >= 5e12) | (np.random.default_rng(6).random(len(halos)) < 0.3)
    part = halos[kept]
    edges = np.array([0.1, 1.0, 8.0])
    box = thinned_tables(part, (5e12, 0.3), edges, satellites="triaxial").boxes[0]
    alone = thinned_tables(part, (5e12, 1.0), edges, satellites="triaxial").boxes[0]
    weight = np.where(part.mass < 5e12, 1 / 0.3, 1.0)
    # Within a halo each counts for those that it stands for.
    times = np.where(box.logm < np.log10(5e12), 1 / 0.3, 1.0)
    np.testing.assert_allclose(box.one_halo, alone.one_halo * times[:, None], rtol=1e-12)
    for pairs in (alone.one_halo[0], alone.one_halo[3]):
        assert 0.4 * len(part) < pairs.sum() <= len(part) * (1 + 1e-9)
    # Pairs with satellites of other halos are as many as with their centers, but for what moves
    # across the last edge.
    d = part.position[:, None] - part.position
    d -= 60 * np.rint(d / 60)
    true = np.outer(weight, weight)[np.linalg.norm(d, axis=2) < 8.0].sum() - (weight**2).sum()
    for name in ("n_cs", "n_ss"):
        assert box.forms[TERMS.index(name)].sum() == pytest.approx(true, rel=0.02)


def test_the_sample_is_of_light_halos_alone() -> None:
    options = {"boxsize": 60.0, "mesh": 32, "mmin": 5e11, "seed": 9}
    world = universe_cosmology(0.3, 0.8)
    every = thinned_halos(world, 0.5, thinned=(5e12, 1.0), **options)
    some = thinned_halos(world, 0.5, thinned=(5e12, 0.3), **options)
    heavy = [np.sort(one.mass[one.mass >= 5e12]) for one in (every, some)]
    assert np.array_equal(*heavy)
    light = [int((one.mass < 5e12).sum()) for one in (every, some)]
    assert abs(light[1] - 0.3 * light[0]) < 4 * np.sqrt(0.21 * light[0])
    assert some.cosmology["Om0"] == 0.3
    assert some.cosmology["sigma8"] == 0.8


def test_the_covariance_is_that_of_all_halos(halos) -> None:
    """Where galaxies live in light halos, of which the box has a tenth."""
    thinned = (5e12, 0.1)
    kept = (halos.mass >= 5e12) | (np.random.default_rng(2).random(len(halos)) < thinned[1])
    whole = thinned_tables(halos, (5e12, 1.0), EDGES)
    true = ChanceTables(whole, halos, None, (5e12, 1.0), 400)
    found = ChanceTables(whole, halos[kept], halos, thinned, 400)
    alone = ChanceTables(whole, halos[kept], None, thinned, 400)
    assert 0.4 < found.light_share(POINTS[0]) < 0.6
    sigma = [np.sqrt(np.diag(t(POINTS[0], 60.0**3))) for t in (true, found, alone)]
    np.testing.assert_allclose(sigma[1], sigma[0], rtol=1e-9)
    # Neighbors that count for ten, squared.
    assert np.log(sigma[2] / sigma[0])[9:12].mean() > 0.1


def test_heavy_halos_are_those_of_the_large_box(halos) -> None:
    """Galaxies of heavy halos alone: sites of the smaller box play no role."""
    tables = thinned_tables(halos, (1e12, 1.0), EDGES)
    other = HaloCatalog.simulate(60.0, 32, mmin=5e11, seed=5)
    one, two = (ChanceTables(tables, halos, w, (1e12, 0.999999), 64) for w in (None, other))
    heavy, light = np.array(POINTS[0]), np.array(POINTS[0])
    heavy[2], light[2] = 13.0, 12.0
    assert two.light_share(heavy) < 0.01 < two.light_share(light)
    np.testing.assert_array_equal(one(heavy, 1e6), two(heavy, 1e6))
    assert not np.array_equal(one(light, 1e6), two(light, 1e6))
    # Errors go with the root of the volume, whatever the box of the sites.
    np.testing.assert_allclose(two(light, 1e6), 2 * two(light, 2e6), rtol=1e-9, atol=1e-15)
    larger = HaloCatalog.simulate(120.0, 64, mmin=5e11, seed=6)
    three = ChanceTables(tables, halos, larger, (1e12, 0.999999), 400)
    ratio = np.sqrt(np.diag(three(light, 1e6)) / np.diag(one(light, 1e6)))
    # Two universes, few sites; the volumes differ by log 8 / 2 = 1.04.
    assert np.log(ratio).mean() == pytest.approx(0, abs=0.5)


def test_the_box_of_all_halos_is_large_enough() -> None:
    assert whole_side(250.0, np.array([0.1, 16.0])) == 125
    assert whole_side(60.0, EDGES) == 60
    assert whole_side(500.0, np.array([0.1, 40.0])) == 200


# ---------------------------------------------------------------------- rows
def test_responses_give_omega_and_eta_at_any_strengths(halos) -> None:
    tables = thinned_tables(halos, (5e12, 1.0), EDGES)
    chance = ChanceTables(tables, halos, None, (5e12, 1.0), 32)
    row = expected_row(PLAN, 5, tables, chance)
    points = row["parameters"]
    said = tables.predict(points, on_outside="ignore")
    cen, sat = (np.asarray(order_parameter(_tensor(points[:, k])))[:, None] for k in (0, 1))
    a, b, c, d, e = np.moveaxis(row["response"], 1, 0)
    np.testing.assert_allclose(said.xi.mean, row["xi"], rtol=1e-12)
    np.testing.assert_allclose(said.omega.mean, cen * a + sat * b, atol=1e-12)
    eta = cen * cen * c + cen * sat * d + sat * sat * e
    np.testing.assert_allclose(said.eta.mean, eta, atol=1e-12)
    every = chance(points[1], PLAN.boxsize**3)
    np.testing.assert_allclose(row["chance"][1, 1], every[6:12, 6:12], rtol=1e-5)
    xi = said.xi.mean[1]
    np.testing.assert_allclose(row["chance"][1, 0], every[:6, :6] / np.outer(xi, xi), rtol=1e-5)


def _tensor(values):
    import torch

    return torch.tensor(values)


# ---------------------------------------------------------------------- campaign
@pytest.fixture
def without_workers(monkeypatch):
    with at_home():
        yield monkeypatch


def test_a_campaign_that_was_broken_off_is_resumed(tmp_path, without_workers) -> None:
    whole = run_universes(3, out=tmp_path / "whole.h5", seed=3, **OPTIONS)
    assert whole.xi.shape == (3, 6, 6)
    assert np.isfinite(whole.chance).all()
    np.testing.assert_array_equal(whole.worlds, universe_design(3, seed=3))

    def broken(*args, **options):
        rows = rows_here(*args, **options)
        yield next(rows)
        raise KeyboardInterrupt

    without_workers.setattr(running, "finished_rows", broken)
    out = tmp_path / "again.h5"
    with pytest.raises(KeyboardInterrupt, match="1 of 3 universes are kept"):
        run_universes(3, out=out, seed=3, **OPTIONS)
    without_workers.setattr(running, "finished_rows", rows_here)
    with pytest.raises(ValueError, match=r"has other settings: halos: meta: mmin"):
        run_universes(3, out=out, seed=3, **{**OPTIONS, "mmin": 6e11})
    with pytest.raises(ValueError, match=r"has other settings: satellites = \"triaxial\" here"):
        run_universes(3, out=out, seed=3, **{**OPTIONS, "satellites": "triaxial"})
    again = run_universes(3, out=out, **OPTIONS)  # the seed is that of the unfinished one
    for name in ("parameters", "pairs", "xi", "response", "chance", "halos", "worlds"):
        np.testing.assert_array_equal(getattr(again, name), getattr(whole, name))
    assert not list(tmp_path.glob("*.part"))
    # Finished: the same call reads it, others are refused.
    assert len(run_universes(3, out=out, seed=3, **OPTIONS)) == 3
    with pytest.raises(FileExistsError, match="points"):
        run_universes(3, out=out, seed=3, **{**OPTIONS, "points": 7})
    assert "3 universes of 60 Mpc/h, 6 HODs in each" in Universes.read(out).summary()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"thinned": (1e11, 0.5)}, "thinned = 1e\\+11: must be above mmin"),
        ({"thinned": (5e12, 0.0)}, "thinned: part"),
        ({"thinned": 5e12}, "thinned = .* must be a mass and a part"),
        ({"chance_points": 7}, "chance_points"),
        ({"boxsize": 20.0}, "boxsize"),
        ({"logMmin": (13.0, 12.0)}, "logMmin"),
        ({"mesh": 4}, "mesh"),
        ({"satellites": "subhalos"}, "satellites = 'subhalos': must be one of triaxial, nfw"),
        ({"places": 2}, "places = 2"),
    ],
)
def test_settings_that_make_no_campaign_are_refused(tmp_path, options, words) -> None:
    with pytest.raises((ValueError, TypeError), match=words):
        run_universes(2, out=tmp_path / "a.h5", seed=1, **{**OPTIONS, **options})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("satellites", ["nfw", "triaxial"])
def test_satellites_are_where_the_plan_has_them(satellites) -> None:
    world = np.array([0.3, 0.8, 0.4])
    plan = replace(PLAN, points=4, satellites=satellites)
    row = measure_universe(plan, 2, world)
    assert np.isfinite(row["chance"]).all()
    # In spheres a central's axis and its own satellites know nothing of one another: of pairs
    # within a halo alone, the response to mu_cen is 0.
    inner = row["response"][:, 0, 0]
    assert (np.abs(inner) < 0.01).all() if satellites == "nfw" else (inner > 0.01).any(), inner


def test_a_worker_takes_a_plan_from_anywhere_in_memory(monkeypatch) -> None:
    # dask's messages: numbers begin at any byte.
    monkeypatch.setenv("PYSOFTCORR_THREADS", "1")
    memory = np.zeros(8 * EDGES.size + 1, dtype=np.uint8)
    edges = memory[1:].view(np.float64)
    edges[:] = EDGES
    assert not edges.flags.aligned
    plan = replace(PLAN, points=2, chance_points=1, satellites="nfw")
    world = np.array([0.3, 0.8, 0.4])
    told = work(None, replace(plan, edges=edges), 1, world)
    assert told == measure_universe(plan, 1, world).tobytes()


def test_universes_differ_and_follow_from_their_number() -> None:
    world = np.array([0.3, 0.8, 0.4])
    plan = replace(PLAN, points=2, chance_points=1, satellites="nfw")
    one, other = (measure_universe(plan, row, world) for row in (0, 1))
    again = measure_universe(plan, 1, world)
    assert again.tobytes() == other.tobytes()
    assert not np.array_equal(one["xi"], other["xi"])
    assert not np.array_equal(one["parameters"], other["parameters"])
