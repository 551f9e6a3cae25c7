"""HaloCatalog.simulate: mass function, bias, axes, exclusion, seeds."""

import itertools
import os
import subprocess
import sys

import astropy.cosmology
import numpy as np
import pytest
from colossus.cosmology import cosmology as colossus
from scipy import fft, integrate, stats
from scipy.spatial import cKDTree

from pysoftcorr.core.random import stream
from pysoftcorr.mocks.alignment import mean_cos2
from pysoftcorr.mocks.cosmology import Abundance, Cosmology
from pysoftcorr.mocks.halo_statistics import mass_function
from pysoftcorr.mocks.halos import HaloCatalog
from pysoftcorr.mocks.simulate import (
    LPTField,
    cloud_in_cell,
    covered,
    place,
    slowest_collapse,
    smoothing_scales,
    with_spares,
)

PLANCK = Cosmology("planck18")


@pytest.fixture(scope="module")
def halos():
    return HaloCatalog.simulate(150.0, 64, mmin=3e11, seed=11)


# ---------------------------------------------------------------------- mass function
def number_density(low, high, model="tinker08"):
    """n between two masses, integrated in ln M by quadrature."""
    value, _ = integrate.quad(
        lambda x: PLANCK.mass_function(np.exp(x), model=model)[0], np.log(low), np.log(high)
    )
    return value


def test_mass_function_within_poisson_errors(halos):
    edges = 3e11 * 10 ** np.array([0, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9, 1.2, 1.5, 1.9, 2.4])
    expected = np.array([number_density(a, b) * 150.0**3 for a, b in itertools.pairwise(edges)])
    found = np.histogram(halos.mass, edges)[0]
    assert expected.min() > 50
    chi2 = np.sum((found - expected) ** 2 / expected)
    assert 1e-3 < stats.chi2.sf(chi2, len(expected)) < 0.999
    # The rare end, together.
    above = number_density(edges[-1], 1e16) * 150.0**3
    assert abs(np.count_nonzero(halos.mass > edges[-1]) - above) < 4 * np.sqrt(above)


def test_number_of_halos_is_poisson():
    abundance = Abundance(PLANCK, mmin=1e13, mmax=1e15)
    assert abundance.density == pytest.approx(number_density(1e13, 1e15), rel=1e-4)
    assert abundance.above(np.array([1e14]))[0] == pytest.approx(
        number_density(1e14, 1e15), rel=1e-3
    )
    numbers = [abundance.draw(60.0**3, np.random.default_rng(i)).size for i in range(400)]
    mean = abundance.density * 60.0**3
    assert np.mean(numbers) == pytest.approx(mean, abs=4 * np.sqrt(mean / 400))
    assert np.var(numbers) == pytest.approx(mean, rel=4 * np.sqrt(2 / 400))
    masses = abundance.draw(300.0**3, np.random.default_rng(1))
    assert masses.min() >= 1e13
    assert masses.max() < 1e15
    assert (np.diff(masses) <= 0).all()


# ---------------------------------------------------------------------- bias
def measured_bias(halos, mesh, k_max=0.08):
    """P_hm / P_mm with the evolved matter of the same modes, and its error from k bins."""
    meta = halos.meta
    matter = LPTField.draw(
        halos.boxsize, mesh, PLANCK, meta["redshift"], stream(meta["seed"], "density field")
    )
    dark = fft.rfftn(matter.density())
    light = fft.rfftn(cloud_in_cell(halos.position, halos.boxsize, mesh))
    whole, half = np.fft.fftfreq(mesh) * mesh, np.arange(mesh // 2 + 1)
    k = np.sqrt(whole[:, None, None] ** 2 + whole[None, :, None] ** 2 + half**2)
    k *= 2 * np.pi / halos.boxsize
    # Modes of the plane kz = 0 come twice, at k and -k; what is wanted is a ratio.
    group = np.digitize(k.ravel(), np.linspace(0.5 * 2 * np.pi / halos.boxsize, k_max, 9))
    cross = np.bincount(group, (light * dark.conj()).real.ravel())[1:9]
    auto = np.bincount(group, (np.abs(dark) ** 2).ravel())[1:9]
    bias = cross.sum() / auto.sum()
    error = np.sqrt(np.sum((cross - bias * auto) ** 2)) / auto.sum()
    return bias, error


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mmin", "mmax", "redshift"),
    [
        (1.0e11, 1.15e11, 0.0),
        (1.0e12, 1.6e12, 0.0),
        (1.0e13, 1e14, 0.0),
        (1.0e14, None, 0.0),
        (3.0e12, None, 1.0),
    ],
)
def test_large_scale_bias_is_the_published_one(mmin, mmax, redshift):
    made = HaloCatalog.simulate(500.0, 64, mmin=mmin, mmax=mmax, redshift=redshift, seed=21)
    assert len(made) > 3000
    bias, error = measured_bias(made, 64)
    expected = PLANCK.bias(made.mass, redshift=redshift).mean()
    assert error < 0.05 * expected
    assert bias == pytest.approx(expected, rel=0.1)


def test_other_relations_are_used():
    options = {"mmin": 1e13, "mdef": "200m", "concentration_scatter": 0.0, "seed": 2}
    made = HaloCatalog.simulate(
        120.0, 16, mass_function="despali16", bias="sheth01", concentration="duffy08", **options
    )
    density = made.mass / (4 / 3 * np.pi * made.radius**3)
    np.testing.assert_allclose(density, 200 * PLANCK.mean_density, rtol=1e-3)
    np.testing.assert_allclose(
        made.concentration,
        PLANCK.concentration(made.mass, mdef="200m", model="duffy08"),
        rtol=1e-4,
    )
    usual = HaloCatalog.simulate(120.0, 16, **options)
    assert len(usual) != len(made)


# ---------------------------------------------------------------------- axes and tides
def test_slowest_collapse_is_the_smallest_eigenvalue():
    rotation, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((3, 3)))
    tides = np.array([np.diag([2.0, 1.0, -1.0]), rotation @ np.diag([-3.0, 5.0, 0]) @ rotation.T])
    axes = slowest_collapse(tides)
    assert abs(axes[0] @ [0, 0, 1]) == pytest.approx(1)
    assert abs(axes[1] @ rotation[:, 0]) == pytest.approx(1)


def test_halos_of_a_filament_point_along_it():
    # delta = cos x + cos y: matter falls in along x and y, and stays along z.
    phase = np.arange(32) * (2 * np.pi / 32)
    grid = 0.5 * (np.cos(phase)[:, None, None] + np.cos(phase)[None, :, None]) + np.zeros((32,) * 3)
    field = LPTField(100.0, fft.rfftn(grid).astype(np.complex64), 3 / 7)
    position, tides, _ = place(
        field, np.full(4000, 5.0), np.full(4000, 6.0), np.random.default_rng(1)
    )
    from_core = np.abs((position[:, :2] + 50.0) % 100.0 - 50.0).max(axis=1)
    assert (from_core < 25).mean() > 0.95
    along = np.abs(slowest_collapse(tides)[:, 2])
    assert np.median(along[from_core < 15]) > 0.99


@pytest.mark.slow
def test_axes_scatter_about_the_tides_as_asked():
    options = {"mmin": 1e12, "seed": 5, "exclusion": False}
    tidal = HaloCatalog.simulate(100.0, 32, axis_alignment=1.0, **options)
    for mu in (0.7, 0.0, -0.5):
        made = HaloCatalog.simulate(100.0, 32, axis_alignment=mu, **options)
        cos2 = np.sum(made.axis * tidal.axis, axis=1) ** 2
        assert cos2.mean() == pytest.approx(mean_cos2(mu), abs=4 * cos2.std() / np.sqrt(len(made)))
        np.testing.assert_array_equal(made.position, tidal.position)


def test_axes_are_isotropic(halos):
    # Tides are coherent over some 10 Mpc/h: about 3000 independent places, and 4/45 the
    # variance of a squared component.
    moments = halos.axis.T @ halos.axis / len(halos)
    assert np.abs(moments - np.eye(3) / 3).max() < 4 * np.sqrt(4 / 45 / 3000)


# ---------------------------------------------------------------------- placing
def test_smoothing_scales_cover_every_row_once():
    radius = np.sort(np.random.default_rng(2).lognormal(0, 1, 5000))[::-1]
    seen = np.zeros(5000, dtype=int)
    for rows, scale in smoothing_scales(radius, 0.5):
        seen[rows] += 1
        assert radius[rows].max() / radius[rows].min() <= 1.8 * (1 + 1e-12) or scale == 0
        assert (scale == 0) == (radius[rows].max() <= 0.5 * (3 / (4 * np.pi)) ** (1 / 3))
    assert (seen == 1).all()


def inside_heavier(halos):
    """By brute force: halos whose center lies within the radius of a heavier one."""
    found = np.zeros(len(halos), dtype=bool)
    for i in range(len(halos)):
        gap = halos.position[i + 1 :] - halos.position[i]
        gap -= halos.boxsize * np.rint(gap / halos.boxsize)
        found[i + 1 :] |= np.sum(gap**2, axis=1) <= halos.radius[i] ** 2
    return found


def test_exclusion_leaves_no_halo_within_a_heavier_one():
    options = {"mmin": 1e12, "seed": 8}
    free = HaloCatalog.simulate(70.0, 32, exclusion=False, **options)
    before = inside_heavier(free)
    assert before.any()
    rows = np.arange(len(free))
    np.testing.assert_array_equal(
        covered(free.position, free.radius, free.position, rows, 70.0), before
    )
    made = HaloCatalog.simulate(70.0, 32, **options)
    assert not inside_heavier(made).any()
    assert made.meta["overlapping"] == 0
    # Masses stay, and so does every halo that was in no other's way.
    np.testing.assert_array_equal(made.mass, free.mass)
    moved = (made.position != free.position).any(axis=1)
    assert moved[before].all()
    assert moved.sum() <= 1.2 * before.sum()


def test_too_few_spare_places_are_told(monkeypatch):
    from pysoftcorr.mocks import simulate

    monkeypatch.setattr(simulate, "_SPARES", 0)
    monkeypatch.setattr(simulate, "_SPARE_FRACTION", 0.0)
    with pytest.warns(UserWarning, match="stay within the radius of a heavier one"):
        made = HaloCatalog.simulate(70.0, 32, mmin=1e12, seed=8)
    assert made.meta["overlapping"] == inside_heavier(made).sum() > 0


def test_spare_places_go_to_halos_of_their_group():
    rng = np.random.default_rng(3)
    radius = np.sort(rng.lognormal(0, 0.7, 3000))[::-1]
    excess = 0.5 * radius
    rows, group = with_spares(radius, excess, 0.4)
    assert (np.diff(rows) >= 0).all()
    assert (np.unique(rows) == np.arange(3000)).all()
    assert (np.diff(group) >= 0).all()
    spare = np.bincount(group[rows]) - np.bincount(group)
    assert (spare >= 8)[np.unique(group)].all()
    for _, members in itertools.groupby(range(3000), key=group.__getitem__):
        assert np.ptp(excess[list(members)]) <= 0.01 + 1e-12


def test_exclusion_reaches_across_the_faces():
    position = np.array([[0.1, 5.0, 5.0], [9.9, 5.0, 5.0], [9.0, 5.0, 5.0]])
    radius, rows = np.array([0.3, 0.25, 0.1]), np.arange(3)
    assert covered(position, radius, position, rows, 10.0).tolist() == [False, True, False]


def test_halos_cluster_and_heavy_ones_more(halos):
    def pairs(chosen):
        tree = cKDTree(chosen.position, boxsize=chosen.boxsize)
        random = len(chosen) ** 2 * 4 / 3 * np.pi * (8**3 - 4**3) / chosen.boxsize**3
        return np.diff(tree.count_neighbors(tree, [4, 8]))[0] / random - 1

    light, heavy = pairs(halos[halos.mass < 1e12]), pairs(halos[halos.mass > 1e13])
    assert 0.2 < light < 1.5
    assert heavy > 1.5 * light


# ---------------------------------------------------------------------- the rest of a halo
def test_radii_and_concentrations(halos):
    np.testing.assert_allclose(halos.radius, PLANCK.radius(halos.mass), rtol=1e-12)
    offset = np.log10(halos.concentration / PLANCK.concentration(halos.mass))
    assert offset.mean() == pytest.approx(0, abs=4 * 0.16 / np.sqrt(len(halos)))
    assert offset.std() == pytest.approx(0.16, rel=4 / np.sqrt(2 * len(halos)))
    assert halos.position.min() >= 0
    assert halos.position.max() < 150


def test_record(halos, tmp_path):
    meta = halos.meta
    assert (meta["seed"], meta["mesh"], meta["mmin"], meta["mdef"]) == (11, 64, 3e11, "vir")
    assert Cosmology(halos.cosmology).to_dict() == PLANCK.to_dict()
    halos.write(tmp_path / "halos.h5")
    assert HaloCatalog.read(tmp_path / "halos.h5") == halos


@pytest.mark.slow
def test_seed_decides_everything():
    one, two, three = (HaloCatalog.simulate(60.0, 24, mmin=1e12, seed=s) for s in (1, 1, 2))
    assert one == two
    assert one != three
    unseeded = HaloCatalog.simulate(60.0, 24, mmin=1e12)
    again = HaloCatalog.simulate(60.0, 24, mmin=1e12, seed=unseeded.meta["seed"])
    assert again == unseeded


def test_each_step_has_its_own_stream():
    one = HaloCatalog.simulate(60.0, 24, mmin=1e12, seed=1)
    two = HaloCatalog.simulate(
        60.0, 24, mmin=1e12, seed=1, axis_alignment=0.1, concentration_scatter=0.3
    )
    np.testing.assert_array_equal(one.position, two.position)
    np.testing.assert_array_equal(one.mass, two.mass)
    assert not np.array_equal(one.axis, two.axis)
    assert not np.array_equal(one.concentration, two.concentration)


# ---------------------------------------------------------------------- cosmologies
def test_cosmologies_of_every_kind_agree():
    named = Cosmology("planck18")
    parameters = {"H0": 67.66, "Om0": 0.3111, "Ob0": 0.049, "sigma8": 0.8102, "ns": 0.9665}
    own = colossus.Cosmology(name="mine", persistence="", **parameters)
    k = np.array([0.01, 0.1, 1.0])
    for same in (parameters, own, named, named.to_dict()):
        np.testing.assert_allclose(Cosmology(same).power(k), named.power(k), rtol=1e-6)
    taken = Cosmology(astropy.cosmology.Planck18)
    np.testing.assert_allclose(taken.power(k), named.power(k), rtol=3e-3)
    open_one = astropy.cosmology.w0waCDM(
        70, 0.3, 0.6, w0=-0.9, wa=0.1, Ob0=0.05, meta={"sigma8": 0.8, "n": 0.96}
    )
    found = Cosmology(open_one).to_dict()
    assert (found["flat"], found["Ode0"], found["w0"], found["wa"]) == (False, 0.6, -0.9, 0.1)


@pytest.mark.slow
def test_colossus_is_left_as_it_was_and_nothing_is_written(tmp_path):
    code = (
        "from colossus.cosmology import cosmology; from pysoftcorr.mocks import HaloCatalog\n"
        "mine = cosmology.setCosmology('WMAP9', persistence='')\n"
        "HaloCatalog.simulate(50.0, 16, mmin=1e13, seed=1)\n"
        "assert cosmology.getCurrent() is mine"
    )
    home = {**os.environ, "HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=home, cwd=os.getcwd())
    assert [p for p in tmp_path.rglob("*") if "colossus" in p.name] == []


# ---------------------------------------------------------------------- refusals
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"boxsize": -1.0}, "boxsize = -1"),
        ({"boxsize": np.nan}, "boxsize = nan"),
        ({"boxsize": 50_000.0}, r"kpc/h\?"),
        ({"mesh": 4}, "mesh = 4: must be from 8 to 1,024"),
        ({"mmin": 11.5}, r"mmin = 11.5.*log10\(M\)"),
        ({"mmin": 1e13, "mmax": 1e12}, "mmax"),
        ({"mmin": 1e16}, "mmin|no halo|no answer"),
        ({"mmin": 1e15, "boxsize": 10.0}, "no halo above mmin = 1e[+]15"),
        ({"mmin": 1e7, "boxsize": 3000.0}, "raise mmin"),
        ({"redshift": -1}, "redshift = -1"),
        ({"redshift": 8.0}, "tinker08.*redshift 8.*too small"),
        ({"mass_function": "tinker8"}, "did you mean tinker08"),
        ({"mass_function": "press74"}, "press74"),
        ({"bias": "tinker1"}, "bias = 'tinker1'.*did you mean tinker10"),
        ({"concentration": "duffy8"}, "did you mean duffy08"),
        ({"concentration": "klypin11", "mdef": "200x"}, "mdef = '200x'"),
        ({"concentration_scatter": -0.1}, "concentration_scatter"),
        ({"axis_alignment": 1.5}, "axis_alignment = 1.5"),
        ({"cosmology": "plank18"}, "did you mean planck18"),
        ({"cosmology": {"H0": 70}}, "Om0, Ob0, sigma8, ns must be given"),
        ({"cosmology": {"H": 70}}, "no parameter 'H'"),
        ({"cosmology": "EdS"}, "EdS|Ob0"),
        ({"cosmology": astropy.cosmology.FlatLambdaCDM(70, 0.3)}, "does not say sigma8"),
        ({"seed": -3}, "seed = -3"),
    ],
)
def test_what_makes_no_universe_is_refused(options, said):
    with pytest.raises(ValueError, match=said):
        HaloCatalog.simulate(**{"boxsize": 50.0, "mesh": 16, "mmin": 1e12, "seed": 1, **options})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"boxsize": "50"}, "boxsize"),
        ({"mesh": 16.5}, "mesh = 16.5"),
        ({"seed": 1.5}, "seed = 1.5"),
        ({"cosmology": 3}, "cosmology must be"),
    ],
)
def test_wrong_kinds_are_refused(options, said):
    with pytest.raises(TypeError, match=said):
        HaloCatalog.simulate(**{"boxsize": 50.0, "mesh": 16, "mmin": 1e12, "seed": 1, **options})


@pytest.mark.parametrize("redshift", [1.2, 2.0, 3.0])
def test_the_mass_definition_that_holds_at_high_redshift_is_named(redshift):
    """Tinker et al. have no overdensity below 200, and that of "vir" falls to 178."""
    options = {"boxsize": 40.0, "mesh": 16, "mmin": 1e12, "redshift": redshift, "seed": 1}
    with pytest.raises(ValueError, match=r"mdef = 'vir'.*Pass mdef='200m' instead"):
        HaloCatalog.simulate(**options)
    assert HaloCatalog.simulate(**options, mdef="200m").meta["mdef"] == "200m"


def test_a_mass_function_of_other_halos_names_theirs():
    options = {"boxsize": 40.0, "mesh": 16, "mmin": 1e12, "seed": 1, "mass_function": "warren06"}
    with pytest.raises(ValueError, match="Pass mdef='fof' instead"):
        HaloCatalog.simulate(**options)


def test_halos_that_no_relation_describes_are_counted_all_the_same():
    halos = HaloCatalog.simulate(40.0, 16, mmin=1e12, redshift=1.5, seed=1, mdef="200m")
    assert mass_function(halos).theory is not None
    other = HaloCatalog(
        halos.position, halos.mass, halos.radius, halos.concentration, halos.axis,
        boxsize=40.0, cosmology=halos.cosmology, meta={**halos.meta, "mdef": "vir"},
    )  # fmt: skip
    with pytest.warns(UserWarning, match=r"no published mass function beside .*Delta_m 191"):
        found = mass_function(other)
    assert found.theory is None
    assert found.count.sum() == len(halos)
