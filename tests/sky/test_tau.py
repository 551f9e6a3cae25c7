"""Tau statistics: against TreeCorr and plain NumPy, resamples shared with rho, bad input."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from helpers.peers import reference
from helpers.sky_twins import field, pair_twin, replaced, stars
from pysoftcorr import Catalog, Jackknife, StarCatalog, rho_statistics, tau_statistics
from pysoftcorr.sky.binning import RADIANS, Binning
from pysoftcorr.sky.resampling import patches
from pysoftcorr.sky.tau import RHO, TAU

LOG = Binning.log(1, 50, 6)
LINEAR = Binning.linear(0, 45, 5)
PLACES = [(150, 2, 1), (0, 85, 1), (359.9, -40, 2)]


def treecorr_field(cat, e, **more):
    treecorr = pytest.importorskip("treecorr")
    return treecorr.Catalog(
        ra=cat.ra, dec=cat.dec, ra_units="deg", dec_units="deg", w=cat.w, g1=e.real, g2=e.imag,
        **more,
    )  # fmt: skip


def fields_by_hand(cat, of):
    size = (cat.T - cat.T_model) / (cat.T_model if of == "model" else cat.T)
    p = cat.e if of == "star" else cat.e_model
    return p, cat.e - cat.e_model, size * (cat.e_model if of == "model" else cat.e)


@pytest.mark.parametrize("of", ["gatti", "star", "model"])
@pytest.mark.parametrize("where", PLACES)
def test_against_treecorr(where, of):
    galaxies, psf = field(7, 250, *where), stars(1, 200, *where)
    got = tau_statistics(galaxies, psf, LOG, reference=of, subtract_mean=False)
    assert list(got) == [*RHO, *TAU]
    fields = [treecorr_field(psf, f) for f in fields_by_hand(psf, of)]
    shapes = treecorr_field(galaxies, galaxies.e)
    # TreeCorr keeps what has many digits (q / T_model) to 8 of them.
    tol = 1e-8 if of == "model" else 1e-10
    for name, k in TAU.items():
        done = reference("GGCorrelation", LOG, shapes, fields[k])
        np.testing.assert_allclose(got[name].value, done.xip, atol=tol)
        np.testing.assert_allclose(got[name].imag, done.xip_im, atol=tol)
        np.testing.assert_allclose(got[name].varshot, done.varxip, rtol=1e-6)
        np.testing.assert_array_equal(got[name].npairs, done.npairs)
    for name, (a, b) in RHO.items():
        done = reference("GGCorrelation", LOG, *([fields[a]] if a == b else [fields[a], fields[b]]))
        np.testing.assert_allclose(got[name].value, done.xip, atol=tol)
        np.testing.assert_array_equal(got[name].npairs, done.npairs)


@pytest.mark.parametrize("bins", [LINEAR, LOG], ids=["linear", "log"])
def test_against_numpy_with_means_subtracted(bins):
    galaxies, psf = field(8, 150, 20, 60, 1), stars(2, 120, 20, 60, 1)
    got = tau_statistics(galaxies, psf, bins)
    e = galaxies.e - np.average(galaxies.e, weights=galaxies.w)
    fields = [f - np.average(f, weights=psf.w) for f in fields_by_hand(psf, "gatti")]
    for name, k in TAU.items():
        twin = pair_twin(galaxies, bins, psf, e1=e, e2=fields[k])
        np.testing.assert_array_equal(got[name].npairs, twin.npairs)
        np.testing.assert_allclose(got[name].weight, twin.weight, rtol=1e-12)
        np.testing.assert_allclose(got[name].theta * RADIANS["arcmin"], twin.theta, rtol=1e-10)
        np.testing.assert_allclose(got[name].value, twin.xip.real, atol=1e-13)
        np.testing.assert_allclose(got[name].imag, twin.xip.imag, atol=1e-13)
    for name, (a, b) in RHO.items():
        twin = pair_twin(psf, bins, e1=fields[a], e2=fields[b])
        np.testing.assert_allclose(got[name].value, twin.xip.real, atol=1e-13)


@pytest.mark.parametrize("of", ["gatti", "star", "model"])
def test_rho_is_that_of_rho_statistics(of):
    galaxies, psf = field(9, 50), stars(3, 120)
    rho = rho_statistics(psf, LOG, reference=of)
    got = tau_statistics(galaxies, psf, LOG, reference=of, subtract_mean=False)
    for name in rho:
        for what in ("value", "npairs", "weight", "theta", "varshot"):
            np.testing.assert_allclose(getattr(got[name], what), getattr(rho[name], what),
                                       rtol=1e-12, atol=1e-16)  # fmt: skip


@pytest.mark.parametrize("n", [None, 6])
def test_jackknife_covariance_of_treecorr(n):
    """Of all nine at once, with the patches of both catalogs."""
    treecorr = pytest.importorskip("treecorr")
    galaxies, psf = field(10, 200), stars(4, 150)
    labels = (patches(galaxies, 6, seed=1), patches(psf, 6, seed=2))
    if n is None:
        way = Jackknife(patches=labels)
    else:
        way = Jackknife(n)
        kept = way.resample(galaxies, psf, seed=3).multiplicity
        labels = tuple(np.argmin(part, axis=0) for part in kept)
    got = tau_statistics(galaxies, psf, LOG, subtract_mean=False, resampling=way, seed=3)
    fields = [treecorr_field(psf, f, patch=labels[1]) for f in fields_by_hand(psf, "gatti")]
    shapes = treecorr_field(galaxies, galaxies.e, patch=labels[0])
    done = [
        reference("GGCorrelation", LOG, *([fields[a]] if a == b else [fields[a], fields[b]]))
        for a, b in RHO.values()
    ]
    done += [reference("GGCorrelation", LOG, shapes, fields[k]) for k in TAU.values()]
    want = treecorr.estimate_multi_cov(
        done, "jackknife", func=lambda all_: np.concatenate([c.xip for c in all_]),
        cross_patch_weight="simple",
    )  # fmt: skip
    np.testing.assert_allclose(got.covariance(), want, rtol=1e-7, atol=1e-9 * np.abs(want).max())


@pytest.mark.parametrize("resampling", ["jackknife:8", "none"])
def test_galaxies_made_of_the_psf(resampling):
    """tau = M(rho) theta, in every resample too, for galaxies that stand where the stars do."""
    psf, theta = stars(5, 120), (0.3, -1.2, 2.0)
    p, q, w = fields_by_hand(psf, "gatti")
    e = theta[0] * p + theta[1] * q + theta[2] * w
    galaxies = Catalog(ra=psf.ra, dec=psf.dec, g1=e.real, g2=e.imag, w=psf.w)
    # From 1 arcmin: a galaxy makes no pair with its own star.
    got = tau_statistics(galaxies, psf, LOG, resampling=resampling, seed=1)
    matrix = {"tau0": (0, 2, 5), "tau2": (2, 1, 4), "tau5": (5, 4, 3)}
    for what in ("value", "aleatoric") if resampling != "none" else ("value",):
        for name, row in matrix.items():
            want = sum(t * getattr(got[f"rho{k}"], what).real
                       for t, k in zip(theta, row, strict=True))  # fmt: skip
            np.testing.assert_allclose(getattr(got[name], what).real, want, atol=1e-14)


def test_response_and_weights():
    galaxies, psf = field(11, 100), stars(6, 80)
    plain = tau_statistics(galaxies, psf, LOG)
    half = tau_statistics(galaxies, psf, LOG, response=2.0)
    heavy = tau_statistics(replaced(galaxies, w=3 * galaxies.w), psf, LOG)
    for name in RHO:
        np.testing.assert_array_equal(half[name].value, plain[name].value)
    for name in TAU:
        np.testing.assert_allclose(half[name].value, plain[name].value / 2, rtol=1e-12)
        np.testing.assert_allclose(heavy[name].value, plain[name].value, rtol=1e-12, atol=1e-18)
        np.testing.assert_allclose(heavy[name].weight, 3 * plain[name].weight, rtol=1e-12)
    assert half.settings["response"] == 2.0
    assert plain.settings["reference"] == "gatti"


def test_a_constant_field_leaves_nothing():
    """The mean of all fields is subtracted, so that a constant shape makes no tau."""
    psf = stars(7, 80)
    galaxies = replaced(field(12, 100), g1=np.full(100, 0.3), g2=np.full(100, -0.1))
    got = tau_statistics(galaxies, psf, LOG)
    kept = tau_statistics(galaxies, psf, LOG, subtract_mean=False)
    for name in TAU:
        np.testing.assert_allclose(got[name].value, 0, atol=1e-16)
    assert np.abs(kept.tau0.value).max() > 1e-4


def test_a_cluster_for_every_object_changes_nothing():
    galaxies, psf = field(13, 60), stars(8, 60)
    naive = tau_statistics(galaxies, psf, LINEAR)
    soft = tau_statistics(galaxies, psf, LINEAR, clusters=60, seed=1)
    for name in naive:
        np.testing.assert_allclose(soft[name].value, naive[name].value, rtol=1e-9, atol=1e-13)


def test_both_errors_and_the_same_seed():
    galaxies, psf = field(14, 80), stars(9, 70)
    options = {"clusters": 20, "assignments": 4, "resampling": "bootstrap:5", "seed": 2}
    first, again = (tau_statistics(galaxies, psf, LINEAR, **options) for _ in range(2))
    assert first == again
    assert first.covariance().shape == (9 * 5, 9 * 5)
    assert first.tau2.epistemic.shape == (4, 5)
    assert first.rho0.aleatoric.shape == (5, 5)


def test_bad_input():
    galaxies, psf = field(15, 30), stars(10, 30)
    for given, message in (
        ((galaxies, galaxies), "stars must be a StarCatalog, not Catalog"),
        ((psf, galaxies), "not Catalog; galaxies come first"),
        (([1], psf), "galaxies must be a Catalog, not list"),
    ):
        with pytest.raises(TypeError, match=message):
            tau_statistics(*given, LOG)
    bare = Catalog(ra=galaxies.ra, dec=galaxies.dec)
    for given, more, message in (
        ((bare, psf), {}, "galaxies has no g1 and g2"),
        ((galaxies[:1], psf), {}, "galaxies has one object"),
        ((galaxies, psf[:1]), {}, "stars has one object"),
        ((galaxies, psf), {"response": 0}, "response = 0: must be finite and above 0"),
        ((galaxies, psf), {"reference": "psf"}, "must be one of star, model, gatti"),
        ((galaxies, psf), {"assignments": 5}, "assignments = 5"),
        ((galaxies, psf), {"method": "brute"}, "method = 'brute': must be one of pairs, treecorr"),
        ((galaxies, psf), {"coincident": "half"}, "coincident = 'half': must be one of"),
        ((galaxies, psf), {"method": "treecorr", "clusters": 5}, "takes all pairs of objects"),
    ):
        with pytest.raises(ValueError, match=message):
            tau_statistics(*given, LOG, **more)
    with pytest.raises(TypeError, match="subtract_mean = 1: must be True or False"):
        tau_statistics(galaxies, psf, LOG, subtract_mean=1)


@pytest.mark.parametrize("resampling", [None, "jackknife:6"])
def test_by_treecorr(resampling):
    pytest.importorskip("treecorr")
    galaxies, psf = field(17, 200), stars(12, 150)
    own, theirs = (
        tau_statistics(galaxies, psf, LOG, resampling=resampling, seed=1, method=method)
        for method in ("pairs", "treecorr")
    )
    for name in own:
        np.testing.assert_allclose(theirs[name].value, own[name].value, atol=3e-5)
        np.testing.assert_allclose(theirs[name].weight, own[name].weight, rtol=0.05)
    # All but approximations of TreeCorr, which bin_slop takes away: of the amplitude, 1 %.
    for name in own:
        scale = np.abs(own[name].value).max()
        off = np.abs(theirs[name].value - own[name].value)
        assert (off < 0.1 * own[name].sigma_shot + 1e-3 * scale).all(), name
    if resampling:
        assert theirs.covariance().shape == own.covariance().shape


def test_pairs_at_one_place_count_or_not():
    galaxies, psf = field(18, 60), stars(13, 60)
    at = replaced(galaxies, ra=psf.ra, dec=psf.dec)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        keep, drop = (tau_statistics(at, psf, LINEAR, coincident=c) for c in ("keep", "drop"))
    np.testing.assert_array_equal(keep.tau0.npairs - drop.tau0.npairs, [60, 0, 0, 0, 0])
    np.testing.assert_array_equal(keep.rho0.npairs, drop.rho0.npairs)


def test_flat_catalogs():
    galaxies, psf = field(19, 100, 10, 0, 0.3), stars(14, 90, 10, 0, 0.3)
    place = [{"x": 60 * (c.ra - 10), "y": 60 * c.dec, "xy_unit": "arcmin"} for c in (galaxies, psf)]
    flat = Catalog(**place[0], g1=galaxies.g1, g2=galaxies.g2, w=galaxies.w)
    names = ("g1", "g2", "T", "g1_model", "g2_model", "T_model", "w")
    flat_stars = StarCatalog(**place[1], **{n: getattr(psf, n) for n in names})
    sky, plane = (tau_statistics(*c, "linear:1:13:3") for c in ((galaxies, psf),
                                                                (flat, flat_stars)))  # fmt: skip
    for name in sky:
        np.testing.assert_allclose(plane[name].value, sky[name].value, rtol=1e-3, atol=1e-7)


def test_far_apart_catalogs_have_no_pairs():
    psf = stars(11, 30)
    assert isinstance(psf, StarCatalog)
    with pytest.warns(UserWarning, match="no pairs"):
        got = tau_statistics(field(16, 30, 20, 2), psf, LOG)
    assert np.isnan(got.tau0.value).all()
