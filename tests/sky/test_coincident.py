"""Pairs of objects at one place: no direction for xi- and gamma_t, a choice for xi+ and rho."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from helpers.sky_twins import field, pair_twin, replaced, stars
from pysoftcorr import (
    Catalog,
    Jackknife,
    StarCatalog,
    gamma_t,
    landy_szalay,
    rho_statistics,
    xi_pm,
)  # fmt: skip
from pysoftcorr.sky.binning import Binning
from pysoftcorr.sky.differentiable import SoftCorrelation

LINEAR = Binning.linear(0, 40, 4)
#: Places that differ by rounding alone: whole turns, the last digits, the poles.
SAME_PLACE = {
    "equal": ((10.0, 0.0), (10.0, 0.0)),
    "a turn": ((10.1, 0.0), (370.1, 0.0)),
    "a turn back": ((350.1, -40.0), (-9.9, -40.0)),
    "next number": ((10.0, 20.0), (np.nextafter(10.0, 11), np.nextafter(20.0, 0))),
    "across 0": ((359.99999999999994, 1.0), (0.0, 1.0)),
    "north pole": ((0.0, 90.0), (123.4, 90.0)),
    "south pole": ((200.0, -90.0), (20.0, -90.0)),
}


def quietly(function, *args, **options):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*(at one place|hold no pairs)")
        return function(*args, **options)


def ring(phi, *, lens=(10.0, 0.0), source=None):
    """A lens, and sources: one at its place, eight on a ring of .1 degrees with gamma_t = .1."""
    a = np.arange(8) * np.pi / 4
    at = np.array(lens if source is None else source)
    e = np.r_[-0.5 * np.exp(2j * phi), -0.1 * np.exp(-2j * a)]
    place = np.array([lens[0] + 0.1 * np.cos(a) / np.cos(np.radians(lens[1])),
                      lens[1] + 0.1 * np.sin(a)])  # fmt: skip
    ra, dec = np.c_[at, place]
    return Catalog(ra=[lens[0]], dec=[lens[1]]), Catalog(ra=ra, dec=dec, g1=e.real, g2=e.imag)


@pytest.mark.parametrize("phi", [0.0, 0.4, np.pi / 4, np.pi / 2])
def test_a_source_at_the_lens_adds_nothing(phi):
    with pytest.warns(UserWarning, match="1 pair of objects at one place has no direction") as said:
        got = gamma_t(*ring(phi), "linear:0:10:1").gamma_t
    assert len(said) == 1
    np.testing.assert_allclose(got.value + 1j * got.imag, 0.1, atol=1e-6)
    assert got.npairs == 8
    assert got.settings["coincident_pairs"] == 1
    np.testing.assert_allclose(got.theta, 6, rtol=1e-6)
    np.testing.assert_allclose(got.logtheta, np.log(6), rtol=1e-6)


@pytest.mark.parametrize("kind", SAME_PLACE)
def test_places_that_rounding_makes_two(kind):
    lens, source = SAME_PLACE[kind]
    values = []
    for phi in (0.0, 0.7, np.pi / 2):
        e = np.exp(2j * phi) / 2
        lenses = Catalog(ra=[lens[0]], dec=[lens[1]])
        sources = Catalog(
            ra=[source[0], 40.0], dec=[source[1], 0.0], g1=[e.real, 0.1], g2=[e.imag, 0.2]
        )
        values.append(quietly(gamma_t, lenses, sources, "linear:0:180:1").gamma_t)
        both = Catalog(
            ra=[lens[0], source[0]], dec=[lens[1], source[1]],
            g1=[e.real, 0.3], g2=[e.imag, 0.1],
        )  # fmt: skip
        xi = quietly(xi_pm, both, "linear:0:1:1")
        assert (xi.xip.npairs[0], xi.xim.npairs[0]) == (1, 0)
        # Frames at a pole are turned by the difference in right ascension.
        step = np.radians(source[0] - lens[0]) if abs(lens[1]) == 90 else 0.0
        turn = np.exp(2j * np.sign(lens[1]) * step)
        want = (e * (0.3 - 0.1j) * turn).real
        np.testing.assert_allclose(xi.xip.value, want, atol=1e-12)
    assert all(v.npairs.sum() == 0 for v in values)


def test_close_pairs_are_not_one_place():
    """Objects 1e-13 rad apart, forty times as far as rounding goes, have a direction."""
    cat = Catalog(ra=[10.0, 10.0 + 6e-12], dec=[0.0, 0.0], g1=[0.1, 0.1], g2=[0.0, 0.0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        xi = xi_pm(cat, "linear:0:1:1")
    assert xi.xim.npairs[0] == 1
    np.testing.assert_allclose(xi.xim.value, 0.01, rtol=1e-2)


def repeated(seed, n, times):
    """Every object `times` times at its place, with other shears and weights."""
    cat = field(seed, n * times)
    where = np.repeat(np.arange(n), times)
    return replaced(cat, ra=cat.ra[where], dec=cat.dec[where])


@pytest.mark.parametrize("coincident", ["keep", "drop"])
@pytest.mark.parametrize(("n", "times"), [(3, 2), (20, 3), (150, 2), (300, 2)])
def test_repeated_objects_against_plain_numpy(n, times, coincident):
    cat = repeated(n, n, times)
    pairs = n * times * (times - 1) // 2
    with pytest.warns(UserWarning, match=f"xi_pm: {pairs} pairs of objects at one place") as said:
        xi = xi_pm(cat, LINEAR, coincident=coincident)
    assert sum("one place" in str(w.message) for w in said) == 1
    twin = pair_twin(cat, LINEAR, keep=coincident == "keep")
    np.testing.assert_array_equal(xi.xip.npairs, twin.npairs)
    np.testing.assert_array_equal(xi.xim.npairs, twin.apart)
    for got, name in ((xi.xip, "xip"), (xi.xim, "xim")):
        value = got.value + 1j * got.imag
        np.testing.assert_allclose(value, getattr(twin, name), atol=1e-12)
        np.testing.assert_allclose(np.exp(got.logtheta) / 3437.74677, np.exp(twin.logtheta),
                                   rtol=1e-8)  # fmt: skip
    assert xi.settings["coincident"] == coincident
    assert xi.settings["coincident_pairs"] == pairs


def test_two_catalogs_at_the_same_places():
    cat, other = field(1, 80), field(2, 80)
    other = replaced(other, ra=cat.ra, dec=cat.dec)
    xi = quietly(xi_pm, cat, LINEAR, catalog2=other)
    gt = quietly(gamma_t, cat, other, LINEAR).gamma_t
    twin = pair_twin(cat, LINEAR, other)
    assert xi.xip.npairs[0] - xi.xim.npairs[0] == 80
    np.testing.assert_allclose(xi.xip.value, twin.xip.real, atol=1e-12)
    np.testing.assert_allclose(xi.xim.value, twin.xim.real, atol=1e-12)
    np.testing.assert_allclose(gt.value, twin.gamma_t.real, atol=1e-12)
    np.testing.assert_array_equal(gt.npairs, twin.apart)


def test_bins_above_zero_see_no_such_pairs():
    cat = repeated(5, 60, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        xi = xi_pm(cat, "log:1:60:5")
    assert "coincident_pairs" in xi.settings
    assert xi.settings["coincident_pairs"] == 0
    np.testing.assert_array_equal(xi.xip.npairs, xi.xim.npairs)


def exposures(seed, n, times):
    """Stars seen several times, each time with other shapes."""
    one = stars(seed, n * times)
    where = np.repeat(np.arange(n), times)
    own = {k: getattr(one, k) for k in ("g1", "g2", "T", "g1_model", "g2_model", "T_model", "w")}
    return StarCatalog(ra=one.ra[where], dec=one.dec[where], **own)


def test_rho_keeps_or_drops():
    seen = exposures(3, 50, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kept = rho_statistics(seen, LINEAR)
        dropped = rho_statistics(seen, LINEAR, coincident="drop")
    for rho, keep in ((kept, True), (dropped, False)):
        for name, a, b, orders in (("rho1", seen.de, seen.de, 1), ("rho5", seen.q, seen.e, 2)):
            twin = pair_twin(seen, LINEAR, e1=a, e2=b, keep=keep)
            np.testing.assert_array_equal(rho[name].npairs, orders * twin.npairs)
            np.testing.assert_allclose(rho[name].value, twin.xip.real, atol=1e-12)
    assert kept.rho1.npairs[0] - dropped.rho1.npairs[0] == 150


def test_counts_of_positions_keep_them():
    data, randoms = repeated(6, 100, 2), field(7, 400)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        w = landy_szalay(data, randoms, LINEAR).w
    assert w.npairs[0] == pair_twin(data, LINEAR).npairs[0]
    assert np.isfinite(w.logtheta).all()
    assert np.isfinite(w.theta).all()


@pytest.mark.parametrize("resampling", ["bootstrap:12", "jackknife:5", "leave-out:0.3:8"])
@pytest.mark.parametrize("clusters", [None, 25])
def test_one_warning_with_clusters_and_resamples(clusters, resampling):
    cat = repeated(8, 100, 2)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        xi = xi_pm(cat, LINEAR, clusters=clusters, assignments=6 if clusters else 0,
                   resampling=resampling, seed=1)  # fmt: skip
        gamma_t(cat, cat, LINEAR, clusters=clusters, resampling=resampling, seed=1)
    texts = [str(w.message) for w in said if "one place" in str(w.message)]
    assert len(texts) == (2 if clusters is None else 1), texts
    assert np.isfinite(xi.xim.aleatoric).all()
    assert np.isfinite(xi.xim.theta).all()
    assert np.isfinite(xi.xim.logtheta).all()


def test_each_resample_leaves_them_out():
    """A jackknife over exposures: each resample is the estimate of the kept exposures."""
    cat = repeated(9, 60, 3)
    exposure = np.tile(np.arange(3), 60)
    xi = quietly(xi_pm, cat, LINEAR, resampling=Jackknife(patches=exposure))
    for k in range(3):
        alone = quietly(xi_pm, cat[exposure != k], LINEAR)
        np.testing.assert_allclose(xi.xim.aleatoric[k].real, alone.xim.value, atol=1e-13)
        np.testing.assert_allclose(xi.xip.aleatoric[k].real, alone.xip.value, atol=1e-13)


def test_unknown_choice():
    with pytest.raises(ValueError, match="coincident = 'ignore': must be one of keep, drop"):
        xi_pm(field(1, 10), LINEAR, coincident="ignore")
    with pytest.raises(ValueError, match="coincident = 'ignore': must be one of keep, drop"):
        rho_statistics(stars(1, 10), LINEAR, coincident="ignore")
    with pytest.raises(ValueError, match="coincident = 'ignore': must be one of keep, drop"):
        SoftCorrelation(LINEAR, coincident="ignore")


# ---- soft bins -----------------------------------------------------------------------------------


def soft(cat, **options):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*at one place")
        sc = SoftCorrelation(LINEAR, approach="naive", **options)
        return sc.value_and_jacobian(cat)


@pytest.mark.parametrize("statistic", ["xip", "xim"])
@pytest.mark.parametrize("coincident", ["keep", "drop"])
def test_soft_bins_follow_the_same_rule(statistic, coincident):
    """Sharp bins are hard bins; and a repeated object is the limit of none."""
    cat = repeated(10, 40, 2)
    hard = quietly(xi_pm, cat, LINEAR, coincident=coincident)[statistic]
    value, rows = soft(cat, statistic=statistic, coincident=coincident, sharpness=1e7)
    # Half of a pair at 0 is in a bin that begins there.
    keep = statistic == "xip" and coincident == "keep"
    if not keep:
        np.testing.assert_allclose(value, hard.value, atol=1e-9)
    np.testing.assert_allclose(value[1:], hard.value[1:], atol=1e-9)
    value, rows = soft(cat, statistic=statistic, coincident=coincident)
    assert all(np.isfinite(row).all() for row in rows.values())


def test_soft_xim_does_not_depend_on_the_direction():
    values = []
    for kind in (0.0, 1.0):
        cat = repeated(11, 20, 2)
        ra = cat.ra + np.tile([0.0, kind * 2e-14], 20)
        with pytest.warns(UserWarning, match="20 pairs of objects at one place have no direction"):
            values.append(SoftCorrelation(LINEAR, approach="naive", statistic="xim").value(
                replaced(cat, ra=ra)))  # fmt: skip
    np.testing.assert_allclose(*values, atol=1e-13)


@pytest.mark.parametrize("statistic", ["xip", "xim"])
def test_soft_gradient_at_coincident_pairs(statistic):
    """Of shears and weights, which such pairs do depend on, against finite differences."""
    cat = repeated(12, 12, 2)
    _, rows = soft(cat, statistic=statistic)
    for name in ("g1", "g2", "w"):
        column = getattr(cat, name)
        for i in (0, 1, 7):
            step = 1e-5 * (np.arange(24) == i)
            high, low = (
                soft(replaced(cat, **{name: column + s * step}), statistic=statistic)[0]
                for s in (1, -1)
            )
            np.testing.assert_allclose((high - low) / 2e-5, rows[name][:, i], rtol=1e-6, atol=1e-9)


def test_soft_and_hard_agree_at_a_pole():
    """Frames there are turned by the difference in right ascension, for xi+ alone."""
    cat = Catalog(ra=[0.0, 70.0], dec=[90.0, 90.0], g1=[0.1, 0.2], g2=[0.05, -0.1])
    hard = quietly(xi_pm, cat, "linear:0:1:1").xip.value
    value, rows = soft(cat)
    np.testing.assert_allclose(value[0], hard[0], rtol=1e-12)
    assert all(np.isfinite(row).all() for row in rows.values())
