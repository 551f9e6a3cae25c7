"""Where satellites live: in a sphere, in the halo's ellipsoid, or on its subhalos."""

from __future__ import annotations

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import integrate, special, stats

from pysoftcorr.mocks import GalaxyCatalog, HaloCatalog, HODModel, Subhalos, alignment_sums
from pysoftcorr.mocks.satellites import SATELLITES, place_galaxies
from pysoftcorr.mocks.subhalo_places import offsets, part_without_subhalos

BOX = 80.0
MODEL = HODModel(logMmin=12.0, sigma_logM=0.3, logM0=12.2, logM1=12.9, alpha=1.0)


def make_halos(n: int, *, seed: int = 0, mass: float | None = None, box: float = BOX, **more):
    rng = np.random.default_rng(seed)
    m = 10 ** rng.uniform(12, 14.5, n) if mass is None else np.full(n, mass)
    return HaloCatalog(
        rng.uniform(0, box, (n, 3)),
        m,
        0.97 * (m / 1e14) ** (1 / 3),
        rng.uniform(3, 15, n),
        rng.normal(size=(n, 3)),
        boxsize=box,
        **{"cosmology": "planck18", "meta": {"redshift": 0.0}, **more},
    )


def with_subhalos(halos: HaloCatalog, number: np.ndarray, *, seed: int = 3) -> HaloCatalog:
    """The halos with `number` subhalos each, anywhere within the cube about the center."""
    rng = np.random.default_rng(seed)
    host = np.repeat(np.arange(len(halos)), number)
    away = rng.uniform(-0.5, 0.5, (host.size, 3)) * halos.radius[host, None]
    sub = Subhalos(
        np.mod(halos.position[host] + away, halos.boxsize), 10 ** rng.uniform(10, 11, host.size),
        host,
    )  # fmt: skip
    return HaloCatalog(
        halos.position, halos.mass, halos.radius, halos.concentration, halos.axis,
        boxsize=halos.boxsize, minor_axis=halos.minor_axis, b_to_a=halos.b_to_a,
        c_to_a=halos.c_to_a, subhalos=sub, cosmology=halos.cosmology, meta=halos.meta,
    )  # fmt: skip


def satellites_of(halos: HaloCatalog, where: str, *, seed: int = 1, **change) -> GalaxyCatalog:
    galaxies = MODEL.with_parameters(satellites=where, **change).populate(halos, seed=seed)
    return galaxies[~galaxies.central]


def cos2(satellites: GalaxyCatalog, halos: HaloCatalog) -> np.ndarray:
    return np.einsum("ij,ij->i", satellites.reference, halos.axis[satellites.host]) ** 2


# ---------------------------------------------------------------------- ellipsoids
@pytest.mark.parametrize(
    ("b", "c", "stated"),
    [
        (1.0, 1.0, 0.0),
        (0.9, 0.8, 0.044),
        (0.8, 0.65, 0.088),
        (0.7, 0.5, 0.143),
        (0.95, 0.3, None),
        (0.35, 0.35, None),
        (1.0, 0.4, None),
    ],
)
def test_axes_towards_satellites_of_an_ellipsoid(b: float, c: float, stated: float | None) -> None:
    # <x^2/(x^2 + y^2 + z^2)> of a sphere that is stretched: by Carlson's integral, by quadrature.
    exact = special.elliprd(b**-2, c**-2, 1.0) / (3 * b * c)

    def integrand(phi: float, t: float) -> float:
        x, y, z = t, np.sqrt(1 - t * t) * np.cos(phi), np.sqrt(1 - t * t) * np.sin(phi)
        return x * x / (x * x + (b * y) ** 2 + (c * z) ** 2) / (4 * np.pi)

    found = integrate.dblquad(integrand, -1, 1, 0, 2 * np.pi, epsabs=1e-8)[0]
    assert found == pytest.approx(exact, abs=1e-7)
    if stated is not None:  # of 4e5 draws
        assert exact - 1 / 3 == pytest.approx(stated, abs=1.5e-3)
    halos = make_halos(400, mass=3e13, b_to_a=np.full(400, b), c_to_a=np.full(400, c))
    values = cos2(satellites_of(halos, "triaxial", logM1=11.2), halos)
    assert values.size > 50_000
    assert abs(values.mean() - exact) < 4 * values.std() / np.sqrt(values.size)


@pytest.mark.parametrize(("b", "c"), [(1.0, 1.0), (0.9, 0.8), (0.7, 0.5)])
@pytest.mark.parametrize("where", ["nfw", "triaxial"])
def test_centrals_know_of_their_own_satellites(where: str, b: float, c: float) -> None:
    halos = make_halos(300, mass=3e13, b_to_a=np.full(300, b), c_to_a=np.full(300, c))
    model = MODEL.with_parameters(satellites=where, logM1=12.0)
    galaxies = model.populate(halos, seed=2)
    sums = alignment_sums(galaxies, bins=[1e-6, 3.0])
    has = np.isin(galaxies.host, galaxies.host[galaxies.central]) & ~galaxies.central
    # Of both orders of a pair, one has the axis of the central.
    found = sums.omega_cen[1, 0] / has.sum()
    exact = special.elliprd(b**-2, c**-2, 1.0) / (3 * b * c) - 1 / 3 if where == "triaxial" else 0
    value = cos2(galaxies[has], halos)
    assert found == pytest.approx(value.mean() - 1 / 3, abs=1e-9)
    assert abs(found - exact) < 4 * value.std() / np.sqrt(value.size)


def test_ellipsoids_keep_the_volume_and_the_profile() -> None:
    rng = np.random.default_rng(5)
    c = rng.uniform(0.4, 0.9, 300)
    b = rng.uniform(c, 1.0)
    halos = make_halos(300, mass=3e13, b_to_a=b, c_to_a=c)
    axes = np.cross(halos.axis, rng.normal(size=(300, 3)))
    halos.minor_axis = axes / np.linalg.norm(axes, axis=1)[:, None]
    sat = satellites_of(halos, "triaxial", logM1=11.6)
    h = sat.host
    d = sat.position - halos.position[h]
    d -= BOX * np.round(d / BOX)
    np.testing.assert_allclose(np.linalg.norm(d, axis=1), sat.scaled_radius * halos.radius[h])
    np.testing.assert_allclose(sat.reference * np.linalg.norm(d, axis=1)[:, None], d, atol=1e-9)
    x, z = np.einsum("ij,ij->i", d, halos.axis[h]), np.einsum("ij,ij->i", d, halos.minor_axis[h])
    y2 = np.einsum("ij,ij->i", d, d) - x**2 - z**2
    m = np.sqrt(x**2 + y2 / b[h] ** 2 + z**2 / c[h] ** 2) * np.cbrt(b[h] * c[h]) / halos.radius[h]
    assert 0.999 < m.max() <= 1 + 1e-9
    mass = lambda y: np.log1p(y) - y / (1 + y)  # noqa: E731
    conc = halos.concentration[h]
    assert stats.kstest(mass(conc * m) / mass(conc), "uniform").pvalue > 1e-3
    # Each of the three directions is that of its own axis.
    assert np.mean(x**2 / (halos.radius[h]) ** 2) > np.mean(y2 / halos.radius[h] ** 2)
    assert np.mean(y2) > np.mean(z**2)


def test_round_ellipsoids_are_spheres() -> None:
    halos = make_halos(300, b_to_a=np.ones(300), c_to_a=np.ones(300))
    sphere, round_ = satellites_of(halos, "nfw"), satellites_of(halos, "triaxial")
    # The radius is of one stream; the direction is turned with the frame of the halo.
    np.testing.assert_allclose(round_.scaled_radius, sphere.scaled_radius, rtol=1e-12)
    for k in range(3):
        assert stats.kstest(round_.reference[:, k], stats.uniform(-1, 2).cdf).pvalue > 1e-3
    assert stats.kstest(np.sqrt(cos2(round_, halos)), "uniform").pvalue > 1e-3


def turned(halos: HaloCatalog, q: np.ndarray) -> HaloCatalog:
    """The halos about the same centers, with axes and subhalos turned."""
    sub = halos.subhalos
    if sub is not None:
        place = np.mod(halos.position[sub.host] + offsets(halos) @ q.T, halos.boxsize)
        sub = Subhalos(place, sub.mass, sub.host)
    return HaloCatalog(
        halos.position, halos.mass, halos.radius, halos.concentration, halos.axis @ q.T,
        boxsize=halos.boxsize, minor_axis=halos.minor_axis @ q.T, b_to_a=halos.b_to_a,
        c_to_a=halos.c_to_a, subhalos=sub, cosmology=halos.cosmology, meta=halos.meta,
    )  # fmt: skip


@pytest.mark.parametrize("where", ["triaxial", "subhalos"])
def test_satellites_turn_with_their_halos(where: str) -> None:
    rng = np.random.default_rng(8)
    axis = rng.normal(size=(200, 3))
    minor = np.cross(axis, rng.normal(size=(200, 3)))
    c = rng.uniform(0.3, 0.9, 200)
    halos = make_halos(200, b_to_a=rng.uniform(c, 1), c_to_a=c)
    halos = HaloCatalog(
        halos.position, halos.mass, halos.radius, halos.concentration, axis, boxsize=BOX,
        minor_axis=minor, b_to_a=halos.b_to_a, c_to_a=halos.c_to_a,
    )  # fmt: skip
    halos = with_subhalos(halos, rng.integers(0, 8, 200))
    q = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    q *= np.linalg.det(q)
    other = turned(halos, q)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one, two = satellites_of(halos, where), satellites_of(other, where)
    np.testing.assert_array_equal(one.host, two.host)
    np.testing.assert_allclose(one.scaled_radius, two.scaled_radius, rtol=1e-9)
    own = one.rank <= np.bincount(halos.subhalos.host, minlength=200)[one.host]
    same = own if where == "subhalos" else np.ones_like(own)
    assert 50 < own.sum() < own.size - 50
    np.testing.assert_allclose(two.reference[same], one.reference[same] @ q.T, atol=1e-9)
    # Borrowed places keep their angle to the axis, and are turned about it.
    np.testing.assert_allclose(cos2(one, halos), cos2(two, other), atol=1e-9)


# ---------------------------------------------------------------------- which depends on what
@pytest.mark.filterwarnings("ignore:satellites")
def test_numbers_and_centrals_are_the_same_wherever_satellites_live() -> None:
    halos = with_subhalos(make_halos(500), np.random.default_rng(1).integers(0, 20, 500))
    every = [MODEL.with_parameters(satellites=w).populate(halos, seed=4) for w in SATELLITES]
    for other in every[1:]:
        for name in ("central", "host", "rank"):
            np.testing.assert_array_equal(getattr(other, name), getattr(every[0], name))
        cen = other.central
        np.testing.assert_array_equal(other.position[cen], every[0].position[cen])
        np.testing.assert_array_equal(other.axis[cen], every[0].axis[cen])
        assert not np.isin(other.position[~cen], every[0].position[~cen]).any()


@pytest.mark.filterwarnings("ignore:satellites")
@pytest.mark.parametrize("where", SATELLITES)
def test_satellites_stay_where_they_are_when_the_hod_changes(where: str) -> None:
    halos = with_subhalos(make_halos(500), np.random.default_rng(1).integers(0, 9, 500))
    model = MODEL.with_parameters(satellites=where, mu_sat=0.4)
    base = model.populate(halos, seed=9)
    fewer = model.with_parameters(logM1=13.4, logMmin=12.4).populate(halos, seed=9)
    at = {(h, k): i for i, (h, k) in enumerate(zip(base.host, base.rank, strict=True))}
    rows = [at[h, k] for h, k in zip(fewer.host, fewer.rank, strict=True)]
    np.testing.assert_array_equal(fewer.position, base.position[rows])
    np.testing.assert_array_equal(fewer.axis, base.axis[rows])
    again = model.populate(halos, seed=9)
    assert again == base
    assert model.populate(halos, seed=10) != base


def test_spheres_do_not_look_at_shapes_and_subhalos() -> None:
    halos = make_halos(300)
    more = with_subhalos(make_halos(300, b_to_a=np.full(300, 0.5), c_to_a=np.full(300, 0.4)),
                         np.full(300, 3))  # fmt: skip
    one, two = (MODEL.populate(h, seed=2) for h in (halos, more))
    np.testing.assert_array_equal(one.position, two.position)
    np.testing.assert_array_equal(one.axis, two.axis)


# ---------------------------------------------------------------------- subhalos
def test_satellites_sit_on_subhalos_by_rank_across_the_faces_of_the_box() -> None:
    halos = with_subhalos(make_halos(400, box=30.0), np.full(400, 60))
    sat = satellites_of(halos, "subhalos")
    sub = halos.subhalos
    at = {(h, k): i for i, (h, k) in enumerate(zip(sub.host, sub.rank, strict=True))}
    own = sat.rank <= 60
    rows = [at[h, k] for h, k in zip(sat.host[own], sat.rank[own], strict=True)]
    np.testing.assert_array_equal(sat.position[own], sub.position[rows])
    d = sat.position - halos.position[sat.host]
    assert (np.abs(d) > 15).any()
    d -= 30 * np.round(d / 30)
    np.testing.assert_allclose(
        np.linalg.norm(d, axis=1), sat.scaled_radius * halos.radius[sat.host]
    )
    np.testing.assert_allclose(sat.reference * np.linalg.norm(d, axis=1)[:, None], d, atol=1e-9)


@pytest.mark.parametrize("where", SATELLITES)
def test_boxes_of_three_sides(where: str) -> None:
    sides = np.array([20.0, 35.0, 80.0])
    full = make_halos(300, mass=3e14, b_to_a=np.full(300, 0.8), c_to_a=np.full(300, 0.6))
    full.position = np.mod(full.position, sides)
    rng = np.random.default_rng(3)
    host = np.repeat(np.arange(300), 8)
    away = rng.normal(size=(host.size, 3)) * 0.5 * full.radius[host, None]
    sub = Subhalos(np.mod(full.position[host] + away, sides), np.full(host.size, 1e11), host)
    halos = SimpleNamespace(**{**vars(full), "boxsize": tuple(sides.tolist()), "subhalos": sub})
    number = np.full(300, 10)
    row = np.arange(300)
    drawn = place_galaxies(halos, row[:0], row, number, 1, satellites=where)
    assert (drawn.position >= 0).all()
    assert (drawn.position < sides).all()
    d = drawn.position - full.position[drawn.host]
    assert ((np.abs(d) > sides / 2).sum(axis=0) > 10).all()
    d -= sides * np.round(d / sides)
    away = drawn.direction * (drawn.scaled_radius * full.radius[drawn.host])[:, None]
    np.testing.assert_allclose(d, away, atol=1e-9)


@pytest.mark.filterwarnings("ignore:logMmin")
def test_satellites_without_a_subhalo_are_put_as_in_halos_of_like_mass() -> None:
    # Subhalos of heavy halos lie along the axis, those of light ones at right angles to it.
    light, heavy = make_halos(200, mass=1e13), make_halos(200, mass=1e14, seed=1)
    mass, axis = np.append(light.mass, heavy.mass), np.append(light.axis, heavy.axis, axis=0)
    radius = np.append(light.radius, heavy.radius)
    place = np.append(light.position, heavy.position, axis=0)
    side = np.cross(light.axis, np.random.default_rng(1).normal(size=(200, 3)))
    side /= np.linalg.norm(side, axis=1)[:, None]
    away = np.append(side, heavy.axis, axis=0) * (0.4 * radius)[:, None]
    # One halo in two has its subhalo.
    host = np.arange(0, 400, 2)
    sub = Subhalos(np.mod(place + away, BOX)[host], np.full(200, 1e11), host)
    halos = HaloCatalog(place, mass, radius, np.full(400, 7.0), axis, boxsize=BOX, subhalos=sub)
    with pytest.warns(UserWarning, match="no subhalo left"):
        sat = satellites_of(halos, "subhalos")
    np.testing.assert_allclose(sat.scaled_radius, 0.4, rtol=1e-9)
    np.testing.assert_allclose(cos2(sat, halos), sat.host >= 200, atol=1e-9)
    # No two of one halo lie at one place, unless both lie on its axis.
    many = sat[sat.host < 200]
    assert len(np.unique(many.position, axis=0)) == len(many) > 100


def test_the_part_without_subhalos_is_that_of_poisson_numbers() -> None:
    rng = np.random.default_rng(2)
    number = rng.integers(0, 5, 300)
    halos = with_subhalos(make_halos(300), number)
    mean = rng.uniform(0, 6, 300)
    drawn = rng.poisson(mean, (4000, 300))
    beyond = np.maximum(drawn - number, 0)
    found = part_without_subhalos(halos, mean)
    assert found == pytest.approx(beyond.sum() / drawn.sum(), rel=0.01)
    assert part_without_subhalos(halos, np.zeros(300)) == 0


def test_enough_subhalos_are_no_reason_to_warn(recwarn) -> None:
    halos = with_subhalos(make_halos(100), np.full(100, 100))
    satellites_of(halos, "subhalos")
    assert not recwarn.list


@pytest.mark.filterwarnings("ignore:logMmin")
@pytest.mark.parametrize("where", SATELLITES)
def test_a_model_may_have_no_satellites(where: str) -> None:
    halos = with_subhalos(make_halos(100), np.full(100, 2))
    galaxies = MODEL.with_parameters(satellites=where, logM0=16.0).populate(halos, seed=1)
    assert galaxies.central.all()


@pytest.mark.parametrize("none", [None, Subhalos(np.empty((0, 3)), [], np.empty(0, dtype=int))])
def test_halos_without_subhalos_are_refused(none: Subhalos | None) -> None:
    halos = make_halos(50, subhalos=none)
    with pytest.raises(ValueError, match=r"satellites = 'subhalos': .*subhalos=True"):
        satellites_of(halos, "subhalos")


def test_a_host_among_its_own_subhalos_is_refused() -> None:
    halos = make_halos(50)
    halos = make_halos(50, subhalos=Subhalos(halos.position, np.full(50, 1e11), np.arange(50)))
    with pytest.raises(ValueError, match="very center of their host"):
        satellites_of(halos, "subhalos")


@pytest.mark.parametrize(
    ("value", "error"), [("NFW", ValueError), ("subhalo", ValueError), (None, TypeError)]
)
def test_unknown_places_are_refused(value: object, error: type) -> None:
    with pytest.raises(error, match=r"satellites = .*nfw, triaxial, subhalos"):
        HODModel(**{**MODEL.to_dict(), "satellites": value})


@pytest.mark.filterwarnings("ignore:satellites")
@pytest.mark.parametrize("where", SATELLITES)
def test_the_record_says_where_satellites_live(where: str, tmp_path) -> None:
    model = HODModel.preset("mstar10.5").with_parameters(satellites=where)
    assert model.to_dict()["satellites"] == where
    assert HODModel(**model.to_dict()) == model
    assert f"satellites='{where}'" in repr(model)
    assert model.with_parameters(mu_sat=0.1).satellites == where
    halos = with_subhalos(make_halos(200), np.full(200, 5))
    galaxies = model.populate(halos, seed=1)
    galaxies.write(tmp_path / "g.h5")
    assert GalaxyCatalog.read(tmp_path / "g.h5").params["satellites"] == where


# ---------------------------------------------------------------------- shapes that are drawn
def test_shapes_that_halos_lack_are_drawn_by_mass() -> None:
    halos = make_halos(2000, mass=1e14)
    sat = satellites_of(halos, "triaxial")
    value = cos2(sat, halos) - 1 / 3
    # c/a about .46, b/a about .65: between (.8, .65) and far beyond (.7, .5)
    assert 0.09 < value.mean() < 0.25
    # A halo keeps its shape when others are left out behind it, and when parameters change.
    fewer = satellites_of(halos[:1000], "triaxial")
    rows = sat.host < 1000
    np.testing.assert_array_equal(fewer.position, sat.position[rows])


def test_a_cosmology_that_is_none_is_named_with_the_way_out() -> None:
    halos = make_halos(50, cosmology={"name": "ours"})
    with pytest.raises(ValueError, match=r"no b_to_a and c_to_a.*H0.*give it the columns"):
        satellites_of(halos, "triaxial")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"cosmology": None}, "for cosmology planck18"),
        ({"meta": {}}, "for redshift 0"),
        ({"cosmology": None, "meta": {}}, "for cosmology planck18 and redshift 0"),
    ],
)
def test_what_is_assumed_for_shapes_is_said(more: dict, said: str) -> None:
    with pytest.warns(UserWarning, match=said):
        satellites_of(make_halos(50, **more), "triaxial")
    for where in ("nfw", "triaxial"):
        ratios = {"b_to_a": np.full(50, 0.9), "c_to_a": np.full(50, 0.8)}
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            satellites_of(make_halos(50, **more, **(ratios if where == "triaxial" else {})), where)
