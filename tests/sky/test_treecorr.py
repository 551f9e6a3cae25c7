"""method="treecorr": the same result object, and the same numbers as our own pairs.

TreeCorr keeps shears and weights in single precision; those of the helpers have few binary digits.
"""

from __future__ import annotations

import importlib.util
import sys
from functools import partial

import numpy as np
import pytest

from helpers.sky_twins import field, stars
from pysoftcorr import (
    Bootstrap,
    Catalog,
    Jackknife,
    StarCatalog,
    gamma_t,
    landy_szalay,
    rho_statistics,
    xi_pm,
)
from pysoftcorr.sky.binning import Binning
from pysoftcorr.sky.resampling import patches

needs_treecorr = pytest.mark.skipif(
    importlib.util.find_spec("treecorr") is None, reason="TreeCorr is missing"
)
pytestmark = pytest.mark.filterwarnings("ignore:.*pairs of objects at one place:UserWarning")
# TreeCorr lets a pair stray from its bin by a tenth of it: compare the bulk, not the last digit
BINS = [Binning.linear(0, 45, 5), Binning.log(1, 50, 6)]


def same(ours, theirs, *, sigmas=0.1):
    """Values within a tenth of the shot noise; counts within a per cent."""
    assert list(ours) == list(theirs)
    for name in ours:
        a, b = ours[name], theirs[name]
        np.testing.assert_allclose(a.npairs, b.npairs, rtol=0.01, atol=10)
        np.testing.assert_allclose(a.weight, b.weight, rtol=0.02)
        np.testing.assert_allclose(a.theta, b.theta, rtol=2e-3)
        assert np.all(np.abs(a.value - b.value) < sigmas * a.sigma_shot + 1e-12)
        assert np.all(np.abs(a.imag - b.imag) < sigmas * a.sigma_shot + 1e-12)
        np.testing.assert_allclose(a.sigma_shot, b.sigma_shot, rtol=0.01)
        assert b.settings["method"] == "treecorr"
        assert b.settings["treecorr"]
        assert b.epistemic is None


@pytest.fixture
def brute(monkeypatch):
    """TreeCorr takes every pair by itself."""
    treecorr = pytest.importorskip("treecorr")
    for kind in ("NN", "NG", "GG"):
        name = f"{kind}Correlation"
        monkeypatch.setattr(treecorr, name, partial(getattr(treecorr, name), brute=True))


def identical(ours, theirs):
    """Every number that a result has, to rounding."""
    assert list(ours) == list(theirs)
    for name in ours:
        a, b = ours[name], theirs[name]
        np.testing.assert_array_equal(a.npairs, b.npairs, err_msg=name)
        for part in ("weight", "theta", "logtheta", "value", "imag", "varshot"):
            np.testing.assert_allclose(
                getattr(a, part), getattr(b, part), rtol=1e-9, atol=1e-12, err_msg=f"{name} {part}"
            )
        assert (a.aleatoric is None) == (b.aleatoric is None)
        if a.aleatoric is not None:
            np.testing.assert_allclose(a.aleatoric, b.aleatoric, atol=1e-10, err_msg=name)
            np.testing.assert_allclose(a.cov, b.cov, atol=1e-9 * np.nanmax(np.abs(a.cov)))


def repeated(cat, seed):
    """The catalog with a third of its objects twice, some many times, and shuffled shears."""
    rng = np.random.default_rng(seed)
    n = len(cat)
    more = cat[np.r_[np.arange(n), rng.integers(0, n, n // 3), rng.integers(0, 10, 25)]]
    if not isinstance(more, Catalog) or type(more) is not Catalog:
        return more
    g = rng.permutation(more.e)
    return Catalog(ra=more.ra, dec=more.dec, g1=g.real, g2=g.imag, w=more.w)


def every_statistic(bins, *, cat, other, psf, way=None, **options):
    """Each estimator on catalogs that share places; `way` makes resampling from patch labels."""

    def made(*catalogs):
        return {} if way is None else {"resampling": way(*catalogs)}

    yield xi_pm(cat, bins, **made(cat), **options)
    yield xi_pm(cat, bins, catalog2=other, **made(cat, other), **options)
    yield rho_statistics(psf, bins, **made(psf), **options)
    yield landy_szalay(cat, other, bins, **made(cat, other), **options)
    yield gamma_t(cat, other, bins, **made(cat, other), **options)


def sharing(seed):
    """Catalogs with repeated objects, some of them in both."""
    cat, other = repeated(field(seed, 90), seed), field(seed + 1, 60)
    shared = slice(0, 20)
    both = {
        name: np.r_[getattr(other, name), getattr(cat, name)[shared]]
        for name in ("ra", "dec", "g1", "g2", "w")
    }
    return {"cat": cat, "other": Catalog(**both), "psf": repeated(stars(seed, 80), seed)}


@needs_treecorr
@pytest.mark.parametrize("bins", BINS, ids=["linear", "log"])
def test_same_as_pairs(bins):
    cat, other = field(1, 400), field(2, 300)
    same(xi_pm(cat, bins), xi_pm(cat, bins, method="treecorr"))
    same(xi_pm(cat, bins, catalog2=other), xi_pm(cat, bins, catalog2=other, method="treecorr"))
    same(landy_szalay(cat, other, bins), landy_szalay(cat, other, bins, method="treecorr"))
    same(gamma_t(cat, other, bins), gamma_t(cat, other, bins, method="treecorr"))
    psf = stars(3, 400)
    for reference in ("star", "model"):
        same(
            rho_statistics(psf, bins, reference=reference),
            rho_statistics(psf, bins, reference=reference, method="treecorr"),
        )


@needs_treecorr
def test_no_star_makes_a_pair_with_itself():
    """rho2 of bins from 0 on, where TreeCorr's own cross-correlation counts self pairs."""
    psf = stars(4, 60)
    ours = rho_statistics(psf, "linear:0:3:1")
    theirs = rho_statistics(psf, "linear:0:3:1", method="treecorr")
    for name in ours:
        assert ours[name].npairs[0] == theirs[name].npairs[0] > 0
        np.testing.assert_allclose(ours[name].weight, theirs[name].weight, rtol=1e-10)


@needs_treecorr
def test_bins_without_pairs():
    cat = field(5, 50, width=0.2)
    with pytest.warns(UserWarning, match="xi_pm: 2 of 3 bins hold no pairs"):
        xi = xi_pm(cat, "linear:0:60:3", method="treecorr").xip
    assert np.isnan(xi.value[2])
    assert np.isnan(xi.theta[2])
    assert xi.npairs[2] == 0
    with pytest.warns(UserWarning, match="landy_szalay: 2 of 3 bins hold no pairs"):
        w = landy_szalay(cat, cat, "linear:0:60:3", method="treecorr").w
    assert np.isnan(w.value[2])
    assert np.isnan(w.varshot[2])


@needs_treecorr
def test_write_and_read(tmp_path):
    xi = xi_pm(field(6, 80), "linear:3:45:4", method="treecorr")
    xi.write(tmp_path / "xi.h5")
    assert type(xi).read(tmp_path / "xi.h5") == xi


# ---- repeated objects ----------------------------------------------------------------------------


@pytest.mark.parametrize("bins", ["linear:0:45:5", "linear:4:45:4", "log:1:50:5"])
def test_repeated_objects(brute, bins):
    """Objects at one place, one object for TreeCorr, make pairs all the same."""
    of = sharing(20)
    for ours, theirs in zip(
        every_statistic(bins, **of), every_statistic(bins, method="treecorr", **of), strict=True
    ):
        identical(ours, theirs)


@pytest.mark.parametrize("coincident", ["keep", "drop"])
def test_their_pairs_are_kept_or_dropped(brute, coincident):
    of = sharing(22)
    options = {"coincident": coincident, "resampling": "jackknife:3:match", "seed": 1}
    for estimate, catalog in ((xi_pm, of["cat"]), (rho_statistics, of["psf"])):
        ours, theirs = (
            estimate(catalog, "linear:0:45:5", method=method, **options)
            for method in ("pairs", "treecorr")
        )
        identical(ours, theirs)


@pytest.mark.parametrize(
    ("unit", "bins"),
    [
        ("arcmin", "linear:0:45:5"),
        ("pixel", "linear:0:45:5:pixel"),
        ("arcsec", "log:1:40:4:arcsec"),
    ],
)
def test_flat_positions(brute, unit, bins):
    """In the plane, with repeated places."""
    rng = np.random.default_rng(4)

    def made(n, *shared):
        x, y = rng.uniform(0, 60, (2, n))
        again = rng.integers(0, n, 20)
        x, y = (
            np.concatenate([values, values[again], *(getattr(c, axis)[:15] for c in shared)])
            for axis, values in (("x", x), ("y", y))
        )
        g = np.round(rng.normal(0, 100, (2, x.size))) / 1024
        w = (1 + rng.integers(0, 64, x.size)) / 64
        return Catalog(x=x, y=y, xy_unit=unit, g1=g[0], g2=g[1], w=w)

    cat = made(100)
    other = made(80, cat)
    for estimate, catalogs in (
        (xi_pm, (cat,)), (partial(xi_pm, catalog2=other), (cat,)), (landy_szalay, (cat, other)),
        (gamma_t, (cat, other)),
    ):  # fmt: skip
        for way in (None, "jackknife:3:match"):
            ours, theirs = (
                estimate(*catalogs, bins=bins, resampling=way, seed=1, method=method)
                for method in ("pairs", "treecorr")
            )
            identical(ours, theirs)


@needs_treecorr
def test_counts_of_repeated_objects():
    data = Catalog(ra=[10, 10, 10.05, 10.05, 10.1, 10.1], dec=np.zeros(6))
    rng = np.random.default_rng(1)
    randoms = Catalog(ra=rng.uniform(9.9, 10.2, 300), dec=rng.uniform(-0.1, 0.1, 300))
    for method in ("pairs", "treecorr"):
        w = landy_szalay(data, randoms, "linear:0:8:2", method=method).w
        assert w.npairs.tolist() == [11, 4]
    # the same places by other numbers: RA 370 is 10, and every RA is the pole
    turned = Catalog(ra=[370, 10, 10.05, -349.95, 10.1, 10.1], dec=np.zeros(6))
    w = landy_szalay(turned, randoms, "linear:0:8:2", method="treecorr").w
    assert w.npairs.tolist() == [11, 4]
    poles = Catalog(ra=[0, 90, 200, 0], dec=[90, 90, 90, 89.9])
    around = Catalog(ra=rng.uniform(0, 360, 300), dec=rng.uniform(89.7, 90, 300))
    w = landy_szalay(poles, around, "linear:0:8:2", method="treecorr").w
    assert w.npairs.tolist() == [3, 3]


@needs_treecorr
def test_stars_in_three_exposures():
    """rho of stars that are there three times, from separation 0 on, with TreeCorr's own trees."""
    once = stars(21, 150)
    thrice = once[np.tile(np.arange(150), 3)]
    same(
        rho_statistics(thrice, "linear:0:45:5"),
        rho_statistics(thrice, "linear:0:45:5", method="treecorr"),
    )


# ---- errors from patches -------------------------------------------------------------------------

WAYS = [
    (Jackknife, {}), (Jackknife, {"cross_patch_weight": "match"}), (partial(Bootstrap, 6), {}),
    (partial(Bootstrap, 6), {"cross_patch_weight": "geom"}),
]  # fmt: skip
NAMES = ["jackknife", "match", "bootstrap", "geom"]


@pytest.mark.parametrize(("way", "weight"), WAYS, ids=NAMES)
@pytest.mark.parametrize(
    "compact", [pytest.param(True, marks=pytest.mark.slow), False], ids=["compact", "scattered"]
)
def test_resamples_are_those_of_all_pairs(brute, way, weight, compact):
    """Where patches are scattered, objects at one place lie in several."""
    of = sharing(30)

    def labels(*catalogs):
        rng = np.random.default_rng(1)
        made = tuple(
            patches(c, 3, seed=1) if compact else rng.integers(0, 3, len(c)) for c in catalogs
        )
        return way(patches=made, **weight)

    for ours, theirs in zip(
        every_statistic("linear:0:45:5", way=labels, seed=2, **of),
        every_statistic("linear:0:45:5", way=labels, seed=2, method="treecorr", **of),
        strict=True,
    ):
        identical(ours, theirs)


@pytest.mark.slow
@needs_treecorr
@pytest.mark.parametrize("weight", ["simple", "match"])
def test_joint_covariance_is_that_of_treecorr(weight):
    """TreeCorr's own estimate, with its own approximation, and a set of all statistics."""
    import treecorr

    psf, bins = stars(40, 500, 150, 2, 1), Binning.log(1, 60, 6)
    labels = patches(psf, 6, seed=1)
    way = Jackknife(patches=labels, cross_patch_weight=weight)
    ours = rho_statistics(psf, bins, resampling=way, method="treecorr")
    e, de, q = psf.fields()
    theirs = []
    for f in (e, de, q, e + de, de + q, e + q):
        made = treecorr.Catalog(
            ra=psf.ra, dec=psf.dec, ra_units="deg", dec_units="deg", w=psf.w, g1=f.real, g2=f.imag,
            patch=labels,
        )  # fmt: skip
        theirs.append(treecorr.GGCorrelation(
            min_sep=1, max_sep=60, nbins=6, sep_units="arcmin", metric="Arc"
        ))  # fmt: skip
        theirs[-1].process(made)

    def vector(corrs):
        a, b, c, ab, bc, ac = (corr.xip for corr in corrs)
        return np.r_[b, (ab - a - b) / 2, c, (bc - b - c) / 2, (ac - a - c) / 2]

    cov = treecorr.estimate_multi_cov(theirs, "jackknife", func=vector, cross_patch_weight=weight)
    value = np.concatenate([c.value for c in ours.values()])
    np.testing.assert_allclose(value, vector(theirs), atol=1e-12)
    got = ours.covariance("aleatoric")
    assert got.shape == (30, 30)
    np.testing.assert_allclose(got, cov, atol=1e-8 * np.abs(cov).max())


@pytest.mark.slow
@needs_treecorr
def test_patches_made_here_and_written(tmp_path):
    """Numbers of patches, as text; the result is whole after a file."""
    cat, other = field(41, 300), field(42, 250)
    for text in ("jackknife:8", "jackknife:8:match", "bootstrap:9:8", "bootstrap:9:8:geom"):
        a = gamma_t(cat, other, "linear:2:45:4", resampling=text, seed=1, method="treecorr")
        b = gamma_t(cat, other, "linear:2:45:4", resampling=text, seed=1)
        np.testing.assert_allclose(a.gamma_t.sigma_aleatoric, b.gamma_t.sigma_aleatoric, rtol=0.1)
        assert len(a.gamma_t.aleatoric) == (8 if text.startswith("j") else 9)
        a.write(tmp_path / "result.h5", overwrite=True)
        assert type(a).read(tmp_path / "result.h5") == a


@pytest.mark.slow
def test_weights_of_both_signs(brute):
    """By itself TreeCorr passes over a cell whose weights sum to 0."""
    rng = np.random.default_rng(3)
    of = sharing(50)
    signed = {
        name: Catalog(ra=c.ra, dec=c.dec, g1=c.g1, g2=c.g2,
                      w=c.w * rng.choice([1, 1, 1, -0.5], len(c)))
        for name, c in of.items() if name != "psf"
    }  # fmt: skip
    psf = of["psf"]
    columns = {name: getattr(psf, name) for name in ("ra", "dec", "g1", "g2", "T")}
    columns |= {name: getattr(psf, name) for name in ("g1_model", "g2_model", "T_model")}
    signed["psf"] = StarCatalog(**columns, w=psf.w * rng.choice([1, -1, 1], len(psf)))

    def labels(*catalogs):
        # patches without objects of one sign, or without any of a catalog
        return Jackknife(
            patches=tuple(np.where(c.w < 0, 3, np.arange(len(c)) % (2 + k))
                          for k, c in enumerate(catalogs))
        )  # fmt: skip

    for bins, way in (("linear:0:45:5", None), ("log:1:50:5", None), ("linear:0:45:5", labels)):
        for ours, theirs in zip(
            every_statistic(bins, way=way, **signed),
            every_statistic(bins, way=way, method="treecorr", **signed),
            strict=True,
        ):
            identical(ours, theirs)


@needs_treecorr
def test_what_it_cannot_do():
    cat = field(7, 60)
    with pytest.raises(ValueError, match="method = 'treecorr': takes linear or log bins, not edge"):
        xi_pm(cat, "edges:1,2,5", method="treecorr")
    with pytest.raises(ValueError, match="takes all pairs of objects; leave out clusters and"):
        xi_pm(cat, BINS[0], method="treecorr", assignments=5, clusters=6)
    for way in ("bootstrap:5", "leave-out:0.3"):
        with pytest.raises(ValueError, match=r"resamples patches, not objects .*jackknife:25"):
            xi_pm(cat, BINS[0], method="treecorr", resampling=way)
    with pytest.raises(ValueError, match="no g1 and g2"):
        xi_pm(Catalog(ra=cat.ra, dec=cat.dec), BINS[0], method="treecorr")


def test_without_treecorr(monkeypatch):
    monkeypatch.setitem(sys.modules, "treecorr", None)
    with pytest.raises(ImportError, match=r"pip install 'pysoftcorr\[treecorr\]'"):
        xi_pm(field(8, 20), BINS[0], method="treecorr")


@needs_treecorr
@pytest.mark.parametrize("repeated", [0, 1, 7])
def test_exact_sums_are_of_the_repeated_objects_alone(monkeypatch, repeated):
    """Rows and columns of a grid share a coordinate; exact sums of all of them would never end."""
    from pysoftcorr.sky import treecorr

    found = []

    def watched(sets):
        kept = real(sets)
        found.append(0 if kept is None else sum(o.w.size for o in kept))
        return kept

    real = treecorr._close
    monkeypatch.setattr(treecorr, "_close", watched)
    x, y = (a.ravel() for a in np.meshgrid(np.arange(30.0), np.arange(30.0)))
    x, y = np.append(x, x[:repeated]), np.append(y, y[:repeated])
    shear = {"g1": 0.1 * np.sin(x), "g2": 0.1 * np.cos(y)}
    flat = Catalog(x=x, y=y, xy_unit="arcmin", **shear)
    result = xi_pm(flat, "linear:0:20:4", method="treecorr")
    assert found == [2 * repeated]
    assert result.xip.settings["coincident_pairs"] == repeated
