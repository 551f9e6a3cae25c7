"""xi, omega, eta, halo occupation, profiles and halo files against halotools."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.table import Table
from halotools.empirical_models import NFWProfile, SubhaloPhaseSpace, Zheng07Cens, Zheng07Sats
from halotools.mock_observables import ed_3d, ee_3d, tpcf
from halotools.sim_manager import UserSuppliedHaloCatalog, halo_table_cache
from scipy import stats

from pysoftcorr.mocks import HaloCatalog, HODModel, Subhalos, box_correlations
from pysoftcorr.mocks.satellites import nfw_radius, place_galaxies

EDGES = np.geomspace(0.1, 16.0, 21)
BOX = 60.0
MASS = 10 ** np.linspace(10, 15, 101)


def close(ours, theirs) -> None:
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)


def clumps(seed: int, n: int = 2000):
    """Positions in a periodic box, in clumps that all seeds share, and unit axes."""
    rng = np.random.default_rng(seed)
    centers = np.random.default_rng(0).uniform(0, BOX, (300, 3))
    position = centers[rng.integers(0, len(centers), n)] + 0.5 * rng.normal(size=(n, 3))
    axis = rng.normal(size=(n, 3))
    return np.mod(position, BOX), axis / np.linalg.norm(axis, axis=1)[:, None]


@pytest.mark.parametrize("seed", [5, 6])
def test_correlations_of_one_sample(seed: int) -> None:
    p, e = clumps(seed)
    ours = box_correlations(p, e, boxsize=BOX)
    assert ours.npairs.min() > 0
    close(ours.xi, tpcf(p, EDGES, period=BOX, estimator="Natural"))
    close(ours.omega, ed_3d(p, e, p, EDGES, period=BOX))
    close(ours.eta, ee_3d(p, e, p, e, EDGES, period=BOX))


def test_correlations_of_two_samples() -> None:
    (p, e), (q, f) = clumps(7), clumps(8, 1500)
    ours = box_correlations(p, e, boxsize=BOX, second=q, second_axis=f)
    assert ours.npairs.min() > 0
    close(ours.xi, tpcf(p, EDGES, sample2=q, period=BOX, estimator="Natural", do_auto=False))
    close(ours.omega, ed_3d(p, e, q, EDGES, period=BOX))
    close(ours.eta, ee_3d(p, e, q, f, EDGES, period=BOX))


@pytest.mark.parametrize("sides", [(60.0, 75.0, 110.0), (200.0, 49.0, 52.0)])
def test_boxes_of_three_sides(sides) -> None:
    scale = np.array(sides) / BOX
    (p, e), (q, f) = clumps(7), clumps(8, 1500)
    p, q = np.mod(p * scale, sides), np.mod(q * scale, sides)
    edges = EDGES[5:]  # stretched clumps have few pairs below
    ours = box_correlations(p, e, boxsize=sides, bins=edges)
    assert ours.npairs.min() > 0
    close(ours.xi, tpcf(p, edges, period=sides, estimator="Natural"))
    close(ours.omega, ed_3d(p, e, p, edges, period=sides))
    close(ours.eta, ee_3d(p, e, p, e, edges, period=sides))
    cross = box_correlations(p, e, boxsize=sides, bins=edges, second=q, second_axis=f)
    close(cross.xi, tpcf(p, edges, sample2=q, period=sides, estimator="Natural", do_auto=False))
    close(cross.omega, ed_3d(p, e, q, edges, period=sides))


def test_a_bin_without_pairs() -> None:
    place = np.array([[1.0, 1, 1], [1, 1, 2], [1, 1, 59]])
    edges = np.array([0.5, 1.5, 1.9, 2.5, 8.0])
    ours = box_correlations(place, np.eye(3), boxsize=BOX, bins=edges)
    assert ours.npairs.tolist() == [1, 0, 1, 1]
    close(ours.xi, tpcf(place, edges, period=BOX, estimator="Natural"))


def test_weighted_alignments() -> None:
    p, e = clumps(9)
    w = np.random.default_rng(9).uniform(0.2, 2, len(p))
    ours = box_correlations(p, e, boxsize=BOX, weights=w)
    close(ours.omega, ed_3d(p, e, p, EDGES, period=BOX, weights1=w, weights2=w))
    close(ours.eta, ee_3d(p, e, p, e, EDGES, period=BOX, weights1=w, weights2=w))


@pytest.mark.parametrize("preset", ["mstar10.5", "mstar10.0", "mstar9.5", "mstar9.0"])
@pytest.mark.parametrize("modulate", [False, True])
def test_occupation(preset: str, modulate: bool) -> None:
    ours = HODModel.preset(preset).with_parameters(modulate=modulate, alpha=1.1)
    centrals, satellites = Zheng07Cens(), Zheng07Sats(modulate_with_cenocc=modulate)
    for theirs in (centrals, satellites):
        for name in theirs.param_dict:
            theirs.param_dict[name] = getattr(ours, name)
    if modulate:
        satellites.central_occupation_model.param_dict.update(centrals.param_dict)
    close(ours.mean_ncen(MASS), centrals.mean_occupation(prim_haloprop=MASS))
    expected = satellites.mean_occupation(prim_haloprop=MASS)
    np.testing.assert_allclose(ours.mean_nsat(MASS), expected, rtol=1e-12)


@pytest.mark.parametrize("concentration", [2.0, 5.0, 12.0])
def test_satellites_follow_its_nfw_profile(concentration: float) -> None:
    share = np.linspace(0.001, 1, 60)
    within = NFWProfile().cumulative_mass_PDF(nfw_radius(share, concentration), concentration)
    close(within, share)


def halos_with_subhalos(seed: int, n: int = 600) -> HaloCatalog:
    """Halos of three masses, up to eight subhalos in each."""
    rng = np.random.default_rng(seed)
    mass = np.sort(rng.choice([1e13, 3e13, 1e14], n))
    radius = 0.97 * (mass / 1e14) ** (1 / 3)
    place = rng.uniform(0, BOX, (n, 3))
    host = np.repeat(np.arange(n), rng.integers(0, 9, n))
    away = rng.normal(size=(host.size, 3)) * 0.3 * radius[host, None]
    sub = Subhalos(np.mod(place[host] + away, BOX), 10 ** rng.uniform(10, 12, host.size), host)
    return HaloCatalog(
        place, mass, radius, np.full(n, 7.0), rng.normal(size=(n, 3)), boxsize=BOX, subhalos=sub
    )


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_satellites_on_subhalos(seed: int) -> None:
    halos = halos_with_subhalos(seed)
    sub, n = halos.subhalos, len(halos)
    number = np.random.default_rng(seed).poisson(4.0, n)
    row = np.arange(n)
    ours = place_galaxies(halos, row[:0], row, number, seed, satellites="subhalos")

    none = {f"halo_v{c}": 0.0 for c in "xyz"}
    hosts = Table({"halo_id": row, "halo_mvir_host_halo": halos.mass,
                   **{f"halo_{c}": halos.position[:, k] for k, c in enumerate("xyz")}})  # fmt: skip
    subs = Table({"halo_id": n + np.arange(len(sub)), "halo_hostid": sub.host,
                  "halo_mvir_host_halo": halos.mass[sub.host], "halo_mpeak": sub.mass,
                  **{f"halo_{c}": sub.position[:, k] for k, c in enumerate("xyz")}})  # fmt: skip
    for table in (hosts, subs):
        for name, value in none.items():
            table[name] = value
    model = SubhaloPhaseSpace("satellites", np.array([5e12, 2e13, 6e13, 2e14]))
    hosts, subs = model.preprocess_subhalo_table(
        hosts, subs[np.random.default_rng(seed).permutation(len(subs))]
    )
    number = number[hosts["halo_id"]]
    galaxies = Table({c: np.repeat(hosts[f"halo_{c}"].data, number) for c in "xyz"})
    for name in ("vx", "vy", "vz", "halo_mpeak"):
        galaxies[name] = 0.0
    galaxies["halo_id"], galaxies["real_subhalo"] = 0, False
    host = np.repeat(hosts["halo_id"].data, number)
    model.inherit_subhalo_properties(
        seed=seed, table=galaxies, halo_table=hosts, subhalo_table=subs,
        _occupation={"satellites": number}, Lbox=np.full(3, BOX),
    )  # fmt: skip

    # One host after the other, the heaviest subhalo first, in both.
    order = np.argsort(host, kind="stable")
    theirs, real = galaxies[order], galaxies["real_subhalo"][order].data
    np.testing.assert_array_equal(host[order], ours.host)
    have = np.bincount(sub.host, minlength=n)
    np.testing.assert_array_equal(real, ours.rank <= have[ours.host])
    assert 300 < real.sum() < real.size - 300
    place = np.stack([theirs[c].data for c in "xyz"], axis=1)
    np.testing.assert_array_equal(ours.position[real], place[real])
    # The others at the distances of halos of like mass.
    d = place - halos.position[ours.host]
    d -= BOX * np.round(d / BOX)
    r = np.linalg.norm(d, axis=1) / halos.radius[ours.host]
    np.testing.assert_allclose(ours.scaled_radius[real], r[real], rtol=1e-12)
    assert stats.ks_2samp(ours.scaled_radius[~real], r[~real]).pvalue > 1e-3


def test_halo_file_that_it_wrote(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The list of files that it knows would be in the home folder.
    monkeypatch.setattr(halo_table_cache, "halotools_cache_dirname", str(tmp_path))
    rng = np.random.default_rng(3)
    n = 50
    mass = 10 ** rng.uniform(11, 14, n)
    columns = {
        "halo_id": np.arange(n),
        **{f"halo_{c}": rng.uniform(0, BOX, n) for c in "xyz"},
        "halo_mvir": mass,
        "halo_rvir": 0.1 * (mass / 1e11) ** (1 / 3) * rng.uniform(0.9, 1.1, n),
        "halo_nfw_conc": rng.uniform(4, 12, n),
        **{f"halo_axisA_{c}": rng.normal(size=n) for c in "xyz"},
        "halo_upid": np.where(np.arange(n) % 5 == 0, 7, -1),
    }
    theirs = UserSuppliedHaloCatalog(
        Lbox=BOX, particle_mass=1e8, redshift=0.5, simname="made", **columns
    )
    path = tmp_path / "made.hdf5"
    theirs.add_halocat_to_cache(
        str(path), "made", "rockstar", "1", "made for a test", overwrite=True
    )
    ours = HaloCatalog.read(path)
    host = columns["halo_upid"] == -1
    assert (ours.boxsize, ours.meta["scheme"]) == (BOX, "halotools")
    np.testing.assert_array_equal(ours.mass, columns["halo_mvir"][host])
    np.testing.assert_array_equal(ours.concentration, columns["halo_nfw_conc"][host])
    place = np.stack([columns[f"halo_{c}"][host] for c in "xyz"], axis=1)
    np.testing.assert_array_equal(ours.position, place)
    # The catalog itself, in memory; subhalos are anywhere in the box here.
    with pytest.warns(UserWarning, match="lie outside 2 radii of their host"):
        again = HaloCatalog.from_table(theirs, subhalos=True)
    np.testing.assert_array_equal(again.mass, ours.mass)
    assert (again.boxsize, again.meta["redshift"]) == (BOX, 0.5)
    assert np.unique(again.mass[again.subhalos.host]) == mass[7]
    np.testing.assert_array_equal(again.subhalos.mass, np.sort(mass[~host])[::-1])
