"""Occupation, satellites' positions, and which draw depends on what."""

from __future__ import annotations

import pickle
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import integrate, stats

from pysoftcorr.core.random import uniforms
from pysoftcorr.mocks import HaloCatalog, HODModel
from pysoftcorr.mocks.satellites import NoGalaxies, TooManyGalaxies, nfw_radius, poisson_quantile

BASE = {"logMmin": 12.0, "sigma_logM": 0.3, "logM0": 12.2, "logM1": 13.0, "alpha": 1.0}


def make_halos(n: int, *, mass: float | None = None, seed: int = 0, L: float = 100.0):
    rng = np.random.default_rng(seed)
    m = 10 ** rng.uniform(11, 14.5, n) if mass is None else np.full(n, mass)
    return HaloCatalog(
        rng.uniform(0, L, (n, 3)),
        m,
        0.97 * (m / 1e14) ** (1 / 3),
        rng.uniform(3, 15, n),
        rng.normal(size=(n, 3)),
        boxsize=L,
    )


def test_means_against_the_formulas() -> None:
    mass = 10 ** np.linspace(11, 15, 41)
    model = HODModel(**BASE)
    step = stats.norm.cdf((np.log10(mass) - 12.0) / 0.3 * np.sqrt(2))
    np.testing.assert_allclose(model.mean_ncen(mass), step, rtol=1e-12)
    power = np.where(mass > 10**12.2, np.abs(mass - 10**12.2) / 10**13.0, 0)
    np.testing.assert_allclose(model.mean_nsat(mass), power, rtol=1e-12)
    both = HODModel(**BASE, modulate=True)
    np.testing.assert_allclose(both.mean_nsat(mass), power * step, rtol=1e-12)
    # No central of a halo far below the step, and not a negative number of satellites.
    assert 0 < model.mean_ncen(10**9.5) < 1e-30
    assert model.mean_nsat(1e10) == 0.0
    assert HODModel(**{**BASE, "alpha": 0.0}).mean_nsat(1e12) == 0.0


@pytest.mark.parametrize("modulate", [False, True])
def test_numbers_of_galaxies(modulate: bool) -> None:
    mass = 10**12.3
    halos = make_halos(60_000, mass=mass)
    model = HODModel(**{**BASE, "logM0": 12.0, "logM1": 12.1}, modulate=modulate)
    galaxies = model.populate(halos, seed=5)
    p, mean = model.mean_ncen(mass), model.mean_nsat(mass)
    n_cen = galaxies.central.sum()
    assert abs(n_cen - 60_000 * p) < 4 * np.sqrt(60_000 * p * (1 - p))
    number = np.bincount(galaxies.host[~galaxies.central], minlength=60_000)
    observed = np.bincount(np.minimum(number, 6), minlength=7)
    expected = stats.poisson(mean).pmf(np.arange(7))
    expected[6] = 1 - expected[:6].sum()
    assert stats.chisquare(observed, 60_000 * expected).pvalue > 1e-3
    # Independent of whether there is a central galaxy.
    has = np.zeros(60_000, dtype=bool)
    has[galaxies.host[galaxies.central]] = True
    assert abs(number[has].mean() - number[~has].mean()) < 4 * np.sqrt(
        mean * (1 / has.sum() + 1 / (~has).sum())
    )


def test_poisson_quantile_is_exact() -> None:
    rng = np.random.default_rng(3)
    mean = np.concatenate([10 ** rng.uniform(-4, 4, 20_000), np.zeros(10)])
    u = rng.random(mean.size)
    k = poisson_quantile(u, mean)
    np.testing.assert_array_equal(k[:-10], stats.poisson.ppf(u[:-10], mean[:-10]))
    assert not k[-10:].any()
    edge = np.array([1 - 2.0**-53, 1e-12, 0.5])
    for lam in (1e-3, 2.0, 19.9, 20.1):
        np.testing.assert_array_equal(
            poisson_quantile(edge, np.full(3, lam)), stats.poisson.ppf(edge, lam)
        )


def test_nfw_radius_inverts_the_profile() -> None:
    def m(y: np.ndarray) -> np.ndarray:
        return np.array(
            [integrate.quad(lambda t: t / (1 + t) ** 2, 0, v, epsrel=1e-13)[0] for v in y]
        )

    u = np.array([1e-12, 1e-9, 1e-6, 1e-4, 1e-3, 0.01, 0.1, 0.5, 0.9, 0.999, 1 - 1e-12, 1.0])
    for c in (0.3, 1.0, 5.0, 30.0, 200.0):
        x = nfw_radius(u, c)
        np.testing.assert_allclose(m(c * x) / m(np.array([c])), u, rtol=1e-11)
        assert x[-1] == pytest.approx(1, abs=1e-14)
    assert nfw_radius(0.0, 5.0) == 0.0


def test_satellites_follow_nfw_and_surround_the_center() -> None:
    halos = make_halos(200, mass=1e14)
    galaxies = HODModel(**{**BASE, "logM1": 12.0}).populate(halos, seed=1)
    sat = galaxies[~galaxies.central]
    d = sat.position - halos.position[sat.host]
    d -= 100 * np.round(d / 100)
    r = np.linalg.norm(d, axis=1)
    c = halos.concentration[sat.host]
    m = lambda y: np.log1p(y) - y / (1 + y)  # noqa: E731
    x = r / halos.radius[sat.host]
    np.testing.assert_allclose(sat.scaled_radius, x, rtol=1e-9)
    assert stats.kstest(m(c * x) / m(c), "uniform").pvalue > 1e-3
    direction = d / r[:, None]
    np.testing.assert_allclose(sat.reference, direction, atol=1e-9)
    assert stats.kstest(direction[:, 2], stats.uniform(-1, 2).cdf).pvalue > 1e-3
    phi = np.arctan2(direction[:, 1], direction[:, 0])
    assert stats.kstest(phi, stats.uniform(-np.pi, 2 * np.pi).cdf).pvalue > 1e-3
    assert (galaxies.position >= 0).all()
    assert (galaxies.position < 100).all()


def test_centrals_sit_at_the_center_and_point_along_the_halo() -> None:
    halos = make_halos(500)
    galaxies = HODModel(**BASE, mu_cen=1.0, mu_sat=-1.0).populate(halos, seed=1)
    cen, sat = galaxies[galaxies.central], galaxies[~galaxies.central]
    assert len(cen) > 50
    assert len(sat) > 50
    np.testing.assert_array_equal(cen.position, halos.position[cen.host])
    along = np.abs(np.einsum("ij,ij->i", cen.axis, halos.axis[cen.host]))
    np.testing.assert_allclose(along, 1, atol=1e-14)
    across = np.einsum("ij,ij->i", sat.axis, sat.reference)
    np.testing.assert_allclose(across, 0, atol=1e-14)


def identity(galaxies) -> dict:
    return {(h, k): i for i, (h, k) in enumerate(zip(galaxies.host, galaxies.rank, strict=True))}


def test_a_parameter_changes_only_what_depends_on_it() -> None:
    halos = make_halos(2000)
    model = HODModel(**BASE, mu_cen=0.6, mu_sat=0.3)
    base = model.populate(halos, seed=9)
    fewer = model.with_parameters(logM1=13.4).populate(halos, seed=9)
    assert len(fewer) < len(base)
    np.testing.assert_array_equal(fewer.host[fewer.central], base.host[base.central])
    at = identity(base)
    rows = [at[h, k] for h, k in zip(fewer.host, fewer.rank, strict=True)]  # none is new
    np.testing.assert_array_equal(fewer.position, base.position[rows])
    np.testing.assert_array_equal(fewer.axis, base.axis[rows])

    rarer = model.with_parameters(logMmin=12.5).populate(halos, seed=9)
    assert set(rarer.host[rarer.central]) < set(base.host[base.central])
    np.testing.assert_array_equal(rarer.position[~rarer.central], base.position[~base.central])
    np.testing.assert_array_equal(rarer.axis[~rarer.central], base.axis[~base.central])

    turned = model.with_parameters(mu_cen=0.2).populate(halos, seed=9)
    np.testing.assert_array_equal(turned.position, base.position)
    np.testing.assert_array_equal(turned.axis[~turned.central], base.axis[~base.central])
    assert (turned.axis[turned.central] != base.axis[base.central]).any(axis=1).all()

    other = model.populate(halos, seed=10)
    assert len(other) != len(base) or not np.array_equal(other.position, base.position)
    assert model.populate(halos, seed=9) == base


def test_uniform_numbers_are_uniform_and_independent() -> None:
    halo, rank = (x.ravel() for x in np.meshgrid(np.arange(300), np.arange(100), indexing="ij"))
    u, v = uniforms(1, "a", halo, rank), uniforms(1, "b", halo, rank)
    for x in (u, v):
        assert stats.kstest(x, "uniform").pvalue > 1e-3
    cells = np.histogram2d(u, v, 10, [[0, 1], [0, 1]])[0].ravel()
    assert stats.chisquare(cells).pvalue > 1e-3
    table = u.reshape(300, 100)
    for x, y in ((table[1:], table[:-1]), (table[:, 1:], table[:, :-1])):
        cells = np.histogram2d(x.ravel(), y.ravel(), 10, [[0, 1], [0, 1]])[0].ravel()
        assert stats.chisquare(cells).pvalue > 1e-3
    assert u.min() > 0
    assert u.max() < 1


def test_strength_by_radius_of_satellites() -> None:
    halos = make_halos(300, mass=1e14)
    model = HODModel(**{**BASE, "logM1": 12.0}, mu_sat=0.9, gamma=1.0)
    galaxies = model.populate(halos, seed=1)
    sat = galaxies[~galaxies.central]
    cos2 = np.einsum("ij,ij->i", sat.axis, sat.reference) ** 2
    from pysoftcorr.mocks.alignment import mean_cos2

    for lo, hi in ((0, 0.2), (0.2, 0.5), (0.5, 0.8), (0.8, 1.0)):
        here = (sat.scaled_radius > lo) & (sat.scaled_radius <= hi)
        expected = mean_cos2(0.9 * sat.scaled_radius[here]).mean()
        error = cos2[here].std() / np.sqrt(here.sum())
        assert abs(cos2[here].mean() - expected) < 4 * error


def test_no_galaxies_is_an_error() -> None:
    halos = make_halos(50, mass=1e11)
    with pytest.raises(ValueError, match=r"makes no galaxies in 50 halos .*lower logMmin = 15"):
        HODModel(**{**BASE, "logMmin": 15.0}).populate(halos, seed=1)
    with pytest.raises(ValueError, match=r"about .* satellites, more than"):
        HODModel(**{**BASE, "logM0": 1.0, "logM1": 2.0}).populate(halos, seed=1)


def columns(**changes) -> SimpleNamespace:
    h = make_halos(20)
    parts = {
        k: getattr(h, k).copy() for k in ("position", "mass", "radius", "concentration", "axis")
    }
    return SimpleNamespace(**{**parts, "boxsize": 100.0, **changes})


def test_bad_halos_are_named() -> None:
    model = HODModel(**BASE)
    with pytest.raises(ValueError, match=r"log10\(M\)"):
        model.populate(columns(mass=np.full(20, 12.5)), seed=1)
    with pytest.raises(ValueError, match="1e10 Msun/h"):
        model.populate(columns(mass=np.full(20, 100.0)), seed=1)
    bad = columns()
    bad.mass[3] = np.nan
    with pytest.raises(ValueError, match=r"NaN.* mass: row 3"):
        model.populate(bad, seed=1)
    with pytest.raises(ValueError, match="kpc/h"):
        model.populate(columns(radius=1000 * columns().radius), seed=1)
    with pytest.raises(TypeError, match="must be a HaloCatalog"):
        model.populate(np.zeros((3, 3)), seed=1)
    with pytest.raises(ValueError, match="seed = -1"):
        model.populate(columns(), seed=-1)


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"logMmin": 1e12}, ValueError, "log10 of a mass is meant, 12"),
        ({"logMmin": np.nan}, ValueError, "logMmin = nan: must be finite"),
        ({"logM1": "13"}, TypeError, "logM1 = '13': must be a number"),
        ({"sigma_logM": 0.0}, ValueError, "sigma_logM = 0.0: must be finite and above 0"),
        ({"mu_cen": 1.2}, ValueError, "mu_cen = 1.2: must be from -1 to 1"),
        ({"modulate": 1}, TypeError, "modulate = 1: must be True or False"),
    ],
)
def test_bad_parameters_are_named(change: dict, error: type, text: str) -> None:
    with pytest.raises(error, match=text):
        HODModel(**{**BASE, **change})
    with pytest.raises(error, match=text):
        HODModel(**BASE).with_parameters(**change)


def test_presets_and_dict() -> None:
    model = HODModel.preset("mstar9.5").with_parameters(alpha=1.1)
    assert (model.logMmin, model.alpha, model.mu_sat) == (11.61, 1.1, 0.03)
    assert HODModel(**model.to_dict()) == model
    with pytest.raises(ValueError, match="name = 'mstar8': must be one of mstar"):
        HODModel.preset("mstar8")
    with pytest.raises(TypeError, match="logmin"):
        model.with_parameters(logmin=12.0)


def test_halos_without_a_catalog_are_told_by_type() -> None:
    halos = make_halos(20)
    with pytest.raises(NoGalaxies, match=r"no galaxies in 20 halos of .*: .* are expected; lower"):
        HODModel(**BASE).with_parameters(logMmin=19.0, logM1=19.0, logM0=19.0).populate(halos)
    with pytest.raises(TooManyGalaxies, match="more than 50,000,000: raise logM1") as caught:
        HODModel(**BASE).with_parameters(logM0=5.0, logM1=5.0).populate(halos)
    # Errors of workers are pickled.
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.reason) == (str(caught.value), caught.value.reason)


@pytest.mark.parametrize("logMmin", [11.0, 11.5, 12.0, 13.0])
@pytest.mark.parametrize("least", [1e11, 1e12])
def test_galaxies_of_halos_that_are_too_light(logMmin: float, least: float) -> None:
    """The fraction against the same halos without a cut, of the slope that is assumed."""
    rng = np.random.default_rng(5)
    mass = 1e9 * rng.random(4_000_000) ** (-1 / 0.9)
    mass = mass[mass < 1e14]
    model = HODModel(**{**BASE, "logMmin": logMmin, "logM0": 11.0, "logM1": 12.5})
    number = model.mean_ncen(mass) + model.mean_nsat(mass)
    expected = number[mass < least].sum() / number.sum()
    above = mass[mass > least]
    near = np.count_nonzero(above < 2 * least)
    found = model.unresolved(above)
    # The number of the lightest halos scatters by its root, that of the galaxies by theirs.
    assert found == pytest.approx(expected, abs=5 * (expected / np.sqrt(near) + 1e-4))


def test_halos_that_are_too_light_are_warned_of(recwarn) -> None:
    rng = np.random.default_rng(5)
    mass = 1e12 * rng.random(20_000) ** (-1 / 0.9)
    mass = mass[mass < 1e15]
    halos = HaloCatalog(
        rng.uniform(0, 100, (mass.size, 3)), mass, 0.97 * (mass / 1e14) ** (1 / 3),
        np.full(mass.size, 7.0), rng.normal(size=(mass.size, 3)), boxsize=100.0,
    )  # fmt: skip
    low = HODModel(**{**BASE, "logMmin": 12.0})
    with pytest.warns(UserWarning, match=r"logMmin = 12: halos below 1e\+12 .* take halos down to"):
        found = low.populate(halos, seed=1)
    assert low.unresolved(mass) > 0.1
    # The mass that is named leaves 1 % below.
    enough = low._below(mass)[1]
    deeper = enough * rng.random(int(20_000 * (1e12 / enough) ** 0.9)) ** (-1 / 0.9)
    assert 0.005 < low.unresolved(deeper[deeper < 1e15]) < 0.015
    recwarn.clear()
    assert found == low._populate(halos, 1)
    HODModel(**{**BASE, "logMmin": 13.2, "logM0": 13.0}).populate(halos, seed=1)
    low.populate(make_halos(200, mass=1e13), seed=1)  # of one mass: chosen, not cut
    assert not recwarn.list
