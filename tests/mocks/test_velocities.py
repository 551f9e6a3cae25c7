"""Velocities of halos and galaxies against closed forms, and redshift space."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import special

from pysoftcorr.core.random import stream
from pysoftcorr.mocks import (
    GalaxyCatalog,
    HaloCatalog,
    HODModel,
    Subhalos,
    multipoles,
    projected_correlations,
    redshift_space,
)
from pysoftcorr.mocks.cosmology import Cosmology
from pysoftcorr.mocks.satellites import draw_galaxies
from pysoftcorr.mocks.simulate import LPTField
from pysoftcorr.mocks.velocities import galaxy_velocities, nfw_dispersion, virial_velocity

L = 50.0


def halos_of(n: int, *, mass: float = 1e14, velocity=True, meta=None, **options) -> HaloCatalog:
    rng = np.random.default_rng(3)
    given = np.random.default_rng(9).normal(0, 300, (n, 3)) if velocity is True else velocity
    return HaloCatalog(
        rng.uniform(0, L, (n, 3)), np.full(n, mass), np.full(n, 0.97 * (mass / 1e14) ** (1 / 3)),
        np.full(n, 5.0), rng.normal(size=(n, 3)), boxsize=L, velocity=given,
        cosmology="planck18", meta={"redshift": 0.5} if meta is None else meta, **options,
    )  # fmt: skip


# ---------------------------------------------------------------------- within halos
@pytest.mark.parametrize("c", [2.0, 7.0, 25.0])
def test_dispersion_is_the_closed_form(c: float) -> None:
    """Lokas & Mamon 2001, eq. 14, with a dilogarithm, where its terms do not cancel."""
    s = np.geomspace(0.003, 1, 50)
    x = c * s
    bracket = (
        np.pi**2 - np.log(x) - 1 / x - 1 / (1 + x) ** 2 - 6 / (1 + x)
        + (1 + 1 / x**2 - 4 / x - 2 / (1 + x)) * np.log1p(x)
        + 3 * np.log1p(x) ** 2 + 6 * special.spence(1 + x)
    )  # fmt: skip
    square = 0.5 * c**2 / (np.log1p(c) - c / (1 + c)) * s * (1 + x) ** 2 * bracket
    np.testing.assert_allclose(nfw_dispersion(s, c), np.sqrt(square), rtol=1e-7)


def test_dispersion_solves_the_jeans_equation() -> None:
    """d(rho sigma^2)/dr = -rho G M/r^2, to the center and far out."""
    c, x = 5.0, np.geomspace(1e-4, 300, 2000)
    r = x / c

    def pressure(y):
        return nfw_dispersion(y, c) ** 2 / (y * (1 + c * y) ** 2)

    step = 1e-4 * r
    left = (pressure(r + step) - pressure(r - step)) / (2 * step)
    mass = special.xlog1py(1.0, x) - x / (1 + x)
    mass = np.where(x < 1e-2, x**2 / 2 - 2 * x**3 / 3 + 3 * x**4 / 4, mass)
    right = -mass / (np.log1p(c) - c / (1 + c)) / r**2 / (r * (1 + x) ** 2)
    np.testing.assert_allclose(left, right, rtol=1e-4)
    assert nfw_dispersion(0.0, c) < 0.01


def test_virial_velocity_of_a_known_halo() -> None:
    # G M/R of 1e15 Msun within 1 Mpc (h = 1), by hand: 2074 km/s.
    assert virial_velocity(1e15, 1.0) == pytest.approx(2073.9, abs=0.1)
    # A comoving radius is smaller by 1 + z.
    assert virial_velocity(1e15, 1.0, 3.0) == pytest.approx(2 * 2073.86, abs=0.2)


def test_satellites_move_as_the_jeans_equation_says() -> None:
    halos = halos_of(2000)
    model = HODModel.preset("mstar10.5").with_parameters(logM1=12.8, logM0=12.0)
    galaxies = model.populate(halos, seed=4)
    central, host = galaxies.central, galaxies.host
    np.testing.assert_array_equal(galaxies.velocity[central], halos.velocity[host[central]])
    away = (galaxies.velocity - halos.velocity[host])[~central]
    sigma = nfw_dispersion(galaxies.scaled_radius[~central], 5.0)
    sigma *= virial_velocity(1e14, 0.97, 0.5)
    z = away / sigma[:, None]
    n = len(z)
    assert n > 20_000
    assert (np.abs(z.mean(axis=0)) < 4 / np.sqrt(n)).all()
    assert (np.abs(z.std(axis=0) - 1) < 4 / np.sqrt(2 * n)).all()
    assert np.abs(np.corrcoef(z.T) - np.eye(3)).max() < 4 / np.sqrt(n)
    assert np.abs((z**4).mean() - 3) < 0.2
    # Radius by radius.
    order = np.argsort(galaxies.scaled_radius[~central])
    for part in np.array_split(order, 5):
        assert z[part].std() == pytest.approx(1, abs=4 / np.sqrt(6 * len(part)))


def test_places_do_not_depend_on_velocities() -> None:
    model = HODModel.preset("mstar10.5")
    moving = model.populate(halos_of(200), seed=4)
    still = model.populate(halos_of(200, velocity=None), seed=4)
    assert still.velocity is None
    for name in ("position", "axis", "host", "rank", "scaled_radius"):
        np.testing.assert_array_equal(getattr(moving, name), getattr(still, name))
    # Of one halo and rank they stay when others go.
    fewer = model.with_parameters(logM1=14.0).populate(halos_of(200), seed=4)
    key = {(h, r): k for k, (h, r) in enumerate(zip(moving.host, moving.rank, strict=True))}
    rows = [key[pair] for pair in zip(fewer.host, fewer.rank, strict=True)]
    np.testing.assert_array_equal(moving.velocity[rows], fewer.velocity)


def test_halos_without_a_redshift_are_warned_of() -> None:
    with pytest.warns(UserWarning, match=r"for redshift 0: .*pass redshift="):
        galaxies = HODModel.preset("mstar10.5").populate(halos_of(50, meta={}), seed=1)
    assert galaxies.redshift is None
    assert galaxies.velocity is not None


@pytest.mark.parametrize("known", [True, False])
def test_satellites_on_subhalos_move_with_them(known: bool) -> None:
    halos = halos_of(40)
    rng = np.random.default_rng(1)
    host = np.repeat(np.arange(40), 3)
    speed = rng.normal(0, 500, (120, 3)) if known else None
    sub = Subhalos(rng.uniform(0, L, (120, 3)), rng.uniform(1e11, 1e12, 120), host, velocity=speed)
    halos.subhalos = sub
    model = HODModel.preset("mstar10.5")
    drawn = draw_galaxies(halos, model.mean_ncen(halos.mass), model.mean_nsat(halos.mass), 1)
    found = galaxy_velocities(halos, drawn, 1, on_subhalos=True)[len(drawn.centrals) :]
    other = galaxy_velocities(halos, drawn, 1)[len(drawn.centrals) :]
    own = drawn.rank <= 3
    assert 0 < own.sum() < own.size
    np.testing.assert_array_equal(found[~own], other[~own])
    if known:
        rows = 3 * drawn.host[own] + drawn.rank[own] - 1
        np.testing.assert_array_equal(found[own], sub.velocity[rows])
    else:
        np.testing.assert_array_equal(found, other)


# ---------------------------------------------------------------------- of simulated halos
@pytest.mark.parametrize("redshift", [0.0, 1.5])
def test_drift_is_the_growth_of_the_displacement(redshift: float) -> None:
    """One field at two times: finite differences by ln a."""
    world, step = Cosmology("planck18"), 0.02

    def field(z: float) -> LPTField:
        return LPTField.draw(200.0, 16, world, z, np.random.default_rng(1))

    later, earlier = ((1 + redshift) * np.exp(s) - 1 for s in (-step, step))
    difference = [
        (a - b) / (2 * step)
        for a, b in zip(field(later).displacement(), field(earlier).displacement(), strict=True)
    ]
    for found, expected in zip(field(redshift).drift(), difference, strict=True):
        np.testing.assert_allclose(found, expected, atol=2e-3 * np.abs(expected).max())
    # Of first order it would be off by more.
    first = world.growth_rates(redshift)[0]
    linear = next(field(redshift).displacement()) * first
    assert np.abs(linear - difference[0]).max() > 1e-2 * np.abs(difference[0]).max()


@pytest.mark.parametrize("name", ["planck18", "WMAP9"])
def test_growth_rates_of_a_flat_universe(name: str) -> None:
    world = Cosmology(name)
    for z in (0.0, 0.7, 3.0):
        first, second = world.growth_rates(z)
        fraction = world.matter_fraction(z)
        assert first == pytest.approx(fraction**0.55, rel=8e-3)
        # Bouchet et al. 1995, eq. (57)
        assert second == pytest.approx(2 * fraction ** (6 / 11), rel=1.5e-2)
    assert world.hubble(0.0) == pytest.approx(100.0)
    om = world.matter_fraction(0.0)
    assert world.hubble(1.0) == pytest.approx(100 * np.sqrt(om * 8 + 1 - om), rel=1e-3)


def test_simulated_halos_move_as_linear_theory_says() -> None:
    halos = HaloCatalog.simulate(250.0, 48, mmin=2e13, redshift=0.5, seed=3)
    assert halos.velocity.shape == (len(halos), 3)
    world = Cosmology("planck18")
    # sigma_v^2 = (a H f)^2/(6 pi^2) int P dk of the modes in the box, smoothed by the sphere.
    k = np.linspace(2 * np.pi / 250, np.pi * 48 / 250, 4000)
    radius = world.lagrangian_radius(halos.mass).mean()
    window = 3 * special.spherical_jn(1, k * radius) / (k * radius)
    power = np.trapezoid(world.power(k, 0.5) * window**2, k) / (6 * np.pi**2)
    scale = world.hubble(0.5) / 1.5 * world.growth_rates(0.5)[0]
    # A few modes rule the box: their number makes 15 % likely.
    assert halos.velocity.std() == pytest.approx(scale * np.sqrt(power), rel=0.3)
    assert np.abs(halos.velocity.mean(axis=0)).max() < 0.4 * halos.velocity.std()
    # Heavier halos are moved to places of their own by `exclusion`; velocities go with them.
    again = HaloCatalog.simulate(250.0, 48, mmin=2e13, redshift=0.5, seed=3, exclusion=False)
    same = (halos.position == again.position).all(axis=1)
    assert 0.9 < same.mean() < 1
    np.testing.assert_array_equal(halos.velocity[same], again.velocity[same])
    assert (halos.velocity[~same] != again.velocity[~same]).any(axis=1).all()


# ---------------------------------------------------------------------- redshift space
def moving(n: int, velocity, **options) -> GalaxyCatalog:
    rng = np.random.default_rng(5)
    given = {"redshift": 0.5, "cosmology": "planck18"} | options
    return GalaxyCatalog(
        rng.uniform(0, L, (n, 3)), rng.normal(size=(n, 3)), boxsize=L, velocity=velocity, **given
    )


@pytest.mark.parametrize("sight", ["x", "y", "z"])
def test_positions_move_by_velocities_along_the_line_of_sight(sight: str) -> None:
    velocity = np.random.default_rng(6).normal(0, 2000, (300, 3))
    galaxies = moving(300, velocity)
    found = redshift_space(galaxies, line_of_sight=sight)
    side = "xyz".index(sight)
    om = Cosmology("planck18").matter_fraction(0.0)
    rate = 100 * np.sqrt(om * 1.5**3 + 1 - om)
    expected = np.mod(galaxies.position[:, side] + velocity[:, side] * 1.5 / rate, L)
    # But for the density of radiation; shifts are up to 80 Mpc/h.
    np.testing.assert_allclose(found.position[:, side], expected, atol=0.02)
    others = [k for k in range(3) if k != side]
    np.testing.assert_array_equal(found.position[:, others], galaxies.position[:, others])
    for name in ("axis", "velocity", "host"):
        np.testing.assert_array_equal(getattr(found, name), getattr(galaxies, name))
    assert found.redshift_space == sight
    with pytest.raises(ValueError, match=f"in redshift space along '{sight}' already"):
        redshift_space(found)
    wrong = "x" if sight == "z" else "z"
    with pytest.raises(ValueError, match=f"line_of_sight = '{wrong}': these galaxies are in"):
        multipoles(found, bins=[1, 5], line_of_sight=wrong)
    with pytest.raises(ValueError, match="one catalog is in redshift space and the other is not"):
        multipoles(found, bins=[1, 5], line_of_sight=sight, second=galaxies)
    right = multipoles(found, bins=[1, 5], line_of_sight=sight)
    assert right.settings["redshift_space"] == sight


def test_redshift_and_cosmology_may_be_given() -> None:
    velocity = np.full((3, 3), 300.0)
    bare = moving(3, velocity, redshift=None, cosmology=None)
    full = moving(3, velocity)
    found = redshift_space(bare, redshift=0.5, cosmology="planck18")
    np.testing.assert_array_equal(found.position, redshift_space(full).position)
    assert found.redshift == 0.5


@pytest.mark.parametrize(
    ("galaxies", "options", "text"),
    [
        (moving(3, None), {}, "have no velocities; make them of halos with velocities"),
        (
            moving(3, np.zeros((3, 3)), redshift=None),
            {},
            "do not say their redshift; pass redshift=",
        ),
        (moving(3, np.zeros((3, 3)), cosmology=None), {}, "their cosmology; pass cosmology="),
        (moving(3, np.zeros((3, 3))), {"redshift": 0.7}, r"redshift = 0.7: differs from .* 0.5"),
        (moving(3, np.zeros((3, 3))), {"line_of_sight": "r"}, "line_of_sight = 'r'"),
        (moving(3, np.zeros((3, 3))), {"cosmology": "plank18"}, "no such name"),
    ],
)
def test_what_cannot_be_moved_is_refused(galaxies, options, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        redshift_space(galaxies, **options)


@pytest.mark.slow
def test_kaiser_limit_of_simulated_halos() -> None:
    """xi_0 grows by 1 + 2/3 b + 1/5 b^2 with b = f/bias, and xi_2 is negative (Kaiser 1987)."""
    halos = HaloCatalog.simulate(400.0, 64, mmin=8e12, redshift=0.5, seed=1)
    galaxies = GalaxyCatalog(
        halos.position, halos.axis, boxsize=400.0, velocity=halos.velocity, redshift=0.5,
        cosmology=halos.cosmology,
    )  # fmt: skip
    edges = [15.0, 25.0]
    real = multipoles(galaxies, bins=edges)
    # The mean over three lines of sight is steadier than each.
    observed = [
        multipoles(redshift_space(galaxies, line_of_sight=k), bins=edges, line_of_sight=k)
        for k in "xyz"
    ]
    world = Cosmology("planck18")
    bias = world.bias(halos.mass, redshift=0.5, mdef="vir", model="tinker10").mean()
    beta = world.growth_rates(0.5)[0] / bias
    ratio = np.mean([r.xi0 for r in observed]) / real.xi0[0]
    assert ratio == pytest.approx(1 + 2 * beta / 3 + beta**2 / 5, rel=0.04)
    # xi ~ s^-1.8 here: xi_2 = -(4/3 beta + 4/7 beta^2) 1.8/1.2 xi, and 2LPT is no power law.
    quadrupole = np.mean([r.xi2 for r in observed]) / real.xi0[0]
    assert quadrupole == pytest.approx(-(4 * beta / 3 + 4 * beta**2 / 7) * 1.5, rel=0.35)
    assert abs(real.xi2[0]) < 0.2 * real.xi0[0]


def test_fingers_and_squashing() -> None:
    """Coherent infall squashes xi along the line of sight, random motions stretch it."""
    rng = np.random.default_rng(8)
    side, n, k = 60.0, 25_000, 2 * np.pi * 2 / 60.0
    start = rng.uniform(0, side, (n, 3))
    psi = np.zeros_like(start)
    for axis in range(3):  # waves along all three sides alike: isotropic to second order
        psi[:, axis] = -0.25 / k * np.sin(k * start[:, axis])
    place = np.mod(start + psi, side)
    # With velocity f aH psi, positions in redshift space are those of displacements (1 + f) psi.
    rate = Cosmology("planck18").growth_rates(0.0)[0]
    catalog = GalaxyCatalog(
        place, np.ones_like(place), boxsize=side, velocity=100 * rate * psi, redshift=0.0,
        cosmology="planck18",
    )  # fmt: skip
    observed = redshift_space(catalog)
    expected = np.mod(start[:, 2] + (1 + rate) * psi[:, 2], side)
    np.testing.assert_allclose(np.abs(observed.position[:, 2] - expected) % side, 0, atol=1e-9)
    edges = np.linspace(4, 10, 4)
    real, squashed = multipoles(catalog, bins=edges), multipoles(observed, bins=edges)
    assert (squashed.xi0 > real.xi0).all()
    assert (squashed.xi2 < real.xi2 - 0.01).all()
    # Pairs a Mpc/h apart with random velocities: fingers along the line of sight.
    close = np.mod(np.repeat(start[:1000], 2, axis=0) + rng.normal(0, 0.5, (2000, 3)), side)
    hot = redshift_space(
        GalaxyCatalog(
            close, np.ones_like(close), boxsize=side, velocity=rng.normal(0, 500, close.shape),
            redshift=0.0, cosmology="planck18",
        )
    )  # fmt: skip
    fingers = multipoles(hot, bins=[2.0, 4.0, 8.0])
    assert (fingers.xi2 > 0).all()
    wide, narrow = (
        projected_correlations(x, boxsize=side, rp_bins=[0.1, 2.0], pi_max=25, pi_bins=25)
        for x in (hot, close)
    )
    # wp holds the pairs, wherever the velocities put them along the line of sight; the other
    # 5800 pairs scatter by 8 % of it.
    assert wide.wp[0] == pytest.approx(narrow.wp[0], rel=0.3)
    assert (wide.xi > 0.2).sum() > (narrow.xi > 0.2).sum() + 2


def test_files_keep_velocities(tmp_path: Path) -> None:
    galaxies = moving(20, np.random.default_rng(1).normal(0, 300, (20, 3)))
    for path in (tmp_path / "g.h5", tmp_path / "g.fits"):
        for catalog in (galaxies, redshift_space(galaxies), moving(20, None)):
            catalog.write(path, overwrite=True)
            found = GalaxyCatalog.read(path)
            assert found == catalog
            assert (found.velocity is None) == (catalog.velocity is None)
    chosen = galaxies[galaxies.position[:, 0] > 25]
    assert len(chosen.velocity) == len(chosen) < 20
    assert galaxies != moving(20, None)
    assert galaxies.realign(mu_cen=0.1, mu_sat=0.1, seed=1).velocity is not None
    with pytest.raises(ValueError, match="velocity 2"):
        moving(3, np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"NaN.*velocity.*row 1"):
        moving(2, [[0, 0, 0], [0, np.nan, 0]])


def test_streams_are_their_own() -> None:
    """No purpose of velocities is one of places."""
    names = [f"satellite velocity {k}" for k in "xyz"] + ["satellite radius", "satellite height"]
    assert len({stream(1, name).integers(2**62) for name in names}) == len(names)
