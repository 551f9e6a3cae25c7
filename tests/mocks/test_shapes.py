"""Ratios of axes by mass, frames of halos, and subhalos drawn for them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, stats

from pysoftcorr.mocks import HaloCatalog, HODModel
from pysoftcorr.mocks.cosmology import Cosmology
from pysoftcorr.mocks.shapes import axis_ratios, shapes_of
from pysoftcorr.mocks.unevolved import draw_subhalos, subhalos_above

WORLD = Cosmology("planck18")


def drawn(mass: float, n: int = 100_000, redshift: float = 0.0, world: Cosmology = WORLD):
    u = np.random.default_rng(6).random((2, n))
    return axis_ratios(np.full(n, mass), *u, cosmology=world, redshift=redshift)


# ---------------------------------------------------------------------- ratios
def test_the_characteristic_mass_is_where_sigma_is_critical() -> None:
    for z in (0.0, 1.0, 3.0):
        radius = WORLD.lagrangian_radius(WORLD.nonlinear_mass(z))[0]
        assert WORLD._colossus.sigma(radius, z) == pytest.approx(1.686, rel=1e-3)


@pytest.mark.parametrize("mass", [1e12, 1e13, 1e14, 1e15])
@pytest.mark.parametrize(
    ("redshift", "world"), [(0.0, WORLD), (1.0, WORLD), (0.0, Cosmology("WMAP9"))]
)
def test_the_minor_axis_has_the_published_mean_and_scatter(
    mass: float, redshift: float, world: Cosmology
) -> None:
    c = drawn(mass, redshift=redshift, world=world)[1]
    mean = 0.54 * (mass / world.nonlinear_mass(redshift)) ** -0.05
    cut = stats.truncnorm((0.1 - mean) / 0.1, (1 - mean) / 0.1, loc=mean, scale=0.1)
    assert stats.kstest(c, cut.cdf).pvalue > 1e-3
    assert abs(c.mean() - mean) < 0.005  # the cuts are three standard deviations off or more


def test_heavy_early_and_calm_universes_in_their_order() -> None:
    c = {m: np.median(drawn(m)[1]) for m in (1e11, 1e13, 1e15)}
    assert c[1e11] > c[1e13] > c[1e15]
    assert np.median(drawn(1e13, redshift=2)[1]) < c[1e13]
    lower = Cosmology({**WORLD.to_dict(), "name": "low", "sigma8": 0.6})
    assert np.median(drawn(1e13, world=lower)[1]) < c[1e13]
    np.testing.assert_array_equal(drawn(1e13, redshift=9)[1], drawn(1e13, redshift=3)[1])


@pytest.mark.parametrize("c_to_a", [0.3, 0.5, 0.7, 0.9])
def test_the_intermediate_axis_follows_jing_and_suto(c_to_a: float) -> None:
    mean = 0.54 * (1e13 / WORLD.nonlinear_mass(0)) ** -0.05
    low, high = stats.norm.cdf([0.1, 1.0], mean, 0.1)
    u = (stats.norm.cdf(c_to_a, mean, 0.1) - low) / (high - low)
    v = np.random.default_rng(7).random(20_000)
    b, c = axis_ratios(np.full(v.size, 1e13), np.full(v.size, u), v, cosmology=WORLD)
    np.testing.assert_allclose(c, c_to_a, rtol=1e-6)
    least = max(c_to_a, 0.5)
    density = lambda t: 1.5 / (1 - least) * (1 - ((2 * t - 1 - least) / (1 - least)) ** 2)  # noqa: E731
    assert integrate.quad(density, least, 1)[0] == pytest.approx(1)
    at = np.linspace(least, 1, 201)
    cdf = np.array([integrate.quad(density, least, t)[0] for t in at])
    assert stats.kstest(c / b, lambda t: np.interp(t, at, cdf)).pvalue > 1e-3
    assert (b >= c).all()
    assert (b <= 1).all()


def test_frames_are_right_handed_and_those_of_the_catalog() -> None:
    rng = np.random.default_rng(1)
    axis = rng.normal(size=(300, 3))
    minor = np.cross(axis, rng.normal(size=(300, 3)))
    columns = (rng.uniform(0, 50, (300, 3)), np.full(300, 1e13), np.full(300, 0.45),
               np.full(300, 7.0), axis)  # fmt: skip
    without = HaloCatalog(*columns, boxsize=50, cosmology="planck18")
    given = HaloCatalog(*columns, boxsize=50, minor_axis=minor, cosmology="planck18")
    ratios = {"b_to_a": np.full(300, 0.8), "c_to_a": np.full(300, 0.6)}
    full = HaloCatalog(*columns, boxsize=50, minor_axis=minor, **ratios)
    row = rng.permutation(300)
    for halos in (without, given, full):
        frame = shapes_of(halos, row, 3).frame
        square = np.einsum("nij,nkj->nik", frame, frame)
        np.testing.assert_allclose(square, np.broadcast_to(np.eye(3), square.shape), atol=1e-12)
        np.testing.assert_allclose(np.linalg.det(frame), 1, atol=1e-12)
        np.testing.assert_array_equal(frame[:, 0], halos.axis[row])
    np.testing.assert_array_equal(shapes_of(given, row, 3).frame[:, 2], given.minor_axis[row])
    np.testing.assert_array_equal(shapes_of(full, row, 3).b_to_a, 0.8)
    # What is drawn follows from the row of the halo, whatever others are asked for.
    one, few = shapes_of(without, row, 3), shapes_of(without, row[:9], 3)
    for name in ("frame", "b_to_a", "c_to_a"):
        np.testing.assert_array_equal(getattr(one, name)[:9], getattr(few, name))
    assert (shapes_of(without, row, 4).c_to_a != one.c_to_a).all()


# ---------------------------------------------------------------------- subhalos
@pytest.mark.parametrize("least", [1e-5, 1e-3, 0.03, 0.3, 0.9])
def test_the_number_of_subhalos_is_the_integral_of_the_mass_function(least: float) -> None:
    def rate(x: float) -> float:
        psi = np.exp(x)
        return (0.13 * psi**-0.83 + 1.33 * psi**-0.02) * np.exp(-5.67 * psi**1.19)

    expected = integrate.quad(rate, np.log(least), 0, epsabs=0, epsrel=1e-11)[0]
    assert subhalos_above(least) == pytest.approx(expected, rel=1e-9)
    assert subhalos_above([1.0, 2.0, 50.0]).tolist() == [0, 0, 0]


def make_halos(n: int, mass: np.ndarray, **more) -> HaloCatalog:
    rng = np.random.default_rng(2)
    return HaloCatalog(
        rng.uniform(0, 40, (n, 3)), mass, 0.97 * (mass / 1e14) ** (1 / 3), np.full(n, 6.0),
        rng.normal(size=(n, 3)), boxsize=40.0, cosmology="planck18", **more,
    )  # fmt: skip


@pytest.mark.parametrize("least", [3e10, 3e11, 1e12])
def test_subhalos_have_poisson_numbers_and_the_mass_function(least: float) -> None:
    n = 3000
    mass = np.repeat([3e11, 1e13, 2e14], n // 3)
    sub = draw_subhalos(make_halos(n, mass), 5, least)
    number = np.bincount(sub.host, minlength=n)
    for m in np.unique(mass):
        mean = float(subhalos_above(least / m))
        here = number[mass == m]
        assert abs(here.mean() - mean) < 4 * np.sqrt(mean / here.size) + 1e-12
        if mean > 0.2:
            ratio = here.var() / mean  # its scatter is sqrt(2/n) and more for small means
            assert abs(ratio - 1) < 5 * np.sqrt((2 + 1 / mean) / here.size)
        of = mass[sub.host] == m
        if of.sum() > 100:
            # N(> psi)/N(> least) of the masses is uniform.
            quantile = subhalos_above(sub.mass[of] / m) / mean
            assert stats.kstest(quantile, "uniform").pvalue > 1e-3
    assert (sub.mass >= least).all()
    assert (sub.mass <= mass[sub.host]).all()
    assert (np.diff(sub.mass)[np.diff(sub.host) == 0] <= 0).all()


def test_subhalos_follow_the_ellipsoid_of_their_halo() -> None:
    n = 400
    halos = make_halos(n, np.full(n, 1e14), b_to_a=np.full(n, 0.8), c_to_a=np.full(n, 0.65))
    halos.subhalos = draw_subhalos(halos, 5, 1e10)
    sat = HODModel(
        logMmin=12, sigma_logM=0.3, logM0=12, logM1=12.2, alpha=1, satellites="subhalos"
    ).populate(halos, seed=1)
    sat = sat[~sat.central]
    value = np.einsum("ij,ij->i", sat.reference, halos.axis[sat.host]) ** 2 - 1 / 3
    assert abs(value.mean() - 0.0889) < 4 * value.std() / np.sqrt(value.size)
    mean = sat.scaled_radius.mean()
    other = HODModel(
        logMmin=12, sigma_logM=0.3, logM0=12, logM1=12.2, alpha=1, satellites="triaxial"
    ).populate(halos, seed=1)
    other = other[~other.central]
    assert mean == pytest.approx(other.scaled_radius.mean(), abs=0.01)
    assert not np.isin(sat.position, other.position).any()


def test_too_many_subhalos_are_refused() -> None:
    halos = make_halos(2000, np.full(2000, 1e15))
    with pytest.raises(ValueError, match=r"subhalo_mmin = 1e\+06: .* raise it"):
        draw_subhalos(halos, 1, 1e6)


# ---------------------------------------------------------------------- simulated halos
@pytest.fixture(scope="module")
def universe() -> HaloCatalog:
    return HaloCatalog.simulate(40.0, 16, mmin=3e11, seed=2, subhalos=True)


def test_simulated_halos_have_shapes_and_subhalos_of_their_own_streams(universe, tmp_path) -> None:
    plain = HaloCatalog.simulate(40.0, 16, mmin=3e11, seed=2)
    for name in ("position", "mass", "radius", "concentration", "axis", "b_to_a", "c_to_a",
                 "minor_axis"):  # fmt: skip
        np.testing.assert_array_equal(getattr(plain, name), getattr(universe, name))
    assert plain.subhalos is None
    assert plain.meta["subhalo_mmin"] is None
    assert universe.meta["subhalo_mmin"] == universe.meta["mmin"] == 3e11
    assert universe.subhalos.mass.min() >= 3e11
    deep = HaloCatalog.simulate(40.0, 16, mmin=3e11, seed=2, subhalos=True, subhalo_mmin=3e10)
    assert len(deep.subhalos) > 3 * len(universe.subhalos)
    universe.write(tmp_path / "h.h5")
    assert HaloCatalog.read(tmp_path / "h.h5") == universe
    assert universe.fingerprint != plain.fingerprint
    along = np.einsum("ij,ij->i", universe.axis, universe.minor_axis)
    np.testing.assert_allclose(along, 0, atol=1e-12)


@pytest.mark.filterwarnings("ignore:satellites")
@pytest.mark.parametrize("where", ["nfw", "triaxial", "subhalos"])
def test_every_place_works_in_a_simulated_universe(universe, where: str) -> None:
    model = HODModel.preset("mstar10.5").with_parameters(satellites=where)
    galaxies = model.populate(universe, seed=1)
    assert (~galaxies.central).sum() > 10
    assert (galaxies.position >= 0).all()
    assert (galaxies.position < 40).all()


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"subhalos": "yes"}, TypeError, "subhalos = 'yes'"),
        ({"subhalos": True, "subhalo_mmin": 11.0}, ValueError, "subhalo_mmin = 11"),
        ({"subhalos": True, "subhalo_mmin": 0.0}, ValueError, "subhalo_mmin = 0"),
        ({"subhalo_mmin": 1e11}, ValueError, "subhalos=True"),
    ],
)
def test_impossible_subhalos_are_refused(options: dict, error: type, said: str) -> None:
    with pytest.raises(error, match=said):
        HaloCatalog.simulate(40.0, 16, mmin=3e11, seed=2, **options)
