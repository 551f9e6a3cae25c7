"""Pairs weighted by patch: TreeCorr's own resamples and covariances, and sums by hand.

TreeCorr keeps shears and weights in single precision; those of the helpers have few binary digits,
so that nothing is lost.
"""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from helpers.sky_twins import bearings, field, separations, stars
from pysoftcorr import (
    Bootstrap,
    Catalog,
    Jackknife,
    SoftClustering,
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
pytestmark = pytest.mark.filterwarnings("ignore:.*bins hold no pairs:UserWarning")
LINEAR, LOG = Binning.linear(5, 45, 4), Binning.log(1, 50, 5)
N = 9


class Given:
    """A generator of indices that are known beforehand, for TreeCorr's bootstrap."""

    def __init__(self, times):
        self.rows = iter(times.astype(int))

    def choice(self, among, size, replace):
        assert replace
        assert len(among) == size
        return np.repeat(among, next(self.rows))


def peer(kind, bins, *catalogs, rng=None):
    """A correlation of every pair by TreeCorr, patch by patch."""
    import treecorr

    made = [
        treecorr.Catalog(
            ra=c.ra, dec=c.dec, ra_units="deg", dec_units="deg", w=c.w, g1=g.real, g2=g.imag,
            patch=labels,
        )
        for c, g, labels in catalogs
    ]  # fmt: skip
    done = getattr(treecorr, f"{kind}Correlation")(
        min_sep=bins.edges[0], max_sep=bins.edges[-1], nbins=bins.nbins, sep_units=bins.unit,
        bin_type=bins.kind.capitalize(), metric="Arc", brute=True, rng=rng,
    )  # fmt: skip
    done.process(*made)
    return done


CASES = ("xi", "cross xi", "rho", "w", "gamma_t")


def both(case, bins, way, rng=None, method="pairs"):
    """Our result, and TreeCorr's correlations with the data vector made of them."""
    cat, other, psf = field(1, 220), field(2, 160), stars(3, 200)
    one, two = patches(cat, N, seed=1), patches(other, N, seed=2)
    three = patches(psf, N, seed=3)
    if case == "xi":
        ours = xi_pm(cat, bins, resampling=way((one,)), method=method)
        return ours, [peer("GG", bins, (cat, cat.e, one), rng=rng)], None
    if case == "cross xi":
        ours = xi_pm(cat, bins, catalog2=other, resampling=way((one, two)), method=method)
        return ours, [peer("GG", bins, (cat, cat.e, one), (other, other.e, two), rng=rng)], None
    if case == "rho":
        ours = rho_statistics(psf, bins, resampling=way((three,)), method=method)
        e, de, q = psf.fields()
        fields = (e, de, q, e + de, de + q, e + q)
        theirs = [peer("GG", bins, (psf, f, three), rng=rng) for f in fields]

        def vector(corrs):
            a, b, c, ab, bc, ac = (corr.xip for corr in corrs)
            return np.r_[b, (ab - a - b) / 2, c, (bc - b - c) / 2, (ac - a - c) / 2]

        return ours, theirs, vector
    if case == "w":
        ours = landy_szalay(cat, other, bins, resampling=way((one, two)), method=method)
        d, r = (cat, cat.e, one), (other, other.e, two)
        dd, dr, rr = peer("NN", bins, d, rng=rng), peer("NN", bins, d, r), peer("NN", bins, r)
        dd.calculateXi(rr=rr, dr=dr)
        return ours, [dd], None
    ours = gamma_t(cat, other, bins, resampling=way((one, two)), method=method)
    return ours, [peer("NG", bins, (cat, cat.e, one), (other, other.e, two), rng=rng)], None


@needs_treecorr
@pytest.mark.parametrize("bins", [LINEAR, pytest.param(LOG, marks=pytest.mark.slow)], ids=str)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("weight", ["simple", "mean", "match"])
def test_jackknife_is_that_of_treecorr(case, bins, weight):
    import treecorr

    ours, theirs, vector = both(
        case, bins, lambda labels: Jackknife(patches=labels, cross_patch_weight=weight)
    )
    cov = treecorr.estimate_multi_cov(theirs, "jackknife", func=vector, cross_patch_weight=weight)
    np.testing.assert_allclose(ours.covariance("aleatoric"), cov, atol=1e-10 * np.abs(cov).max())
    rows, _ = treecorr.build_multi_cov_design_matrix(
        theirs, "jackknife", func=vector, cross_patch_weight=weight
    )
    mine = np.concatenate([c.aleatoric.real for c in ours.values()], axis=1)
    np.testing.assert_allclose(mine, rows, atol=1e-10 * np.abs(rows).max())
    tail = "" if weight == "simple" else f":{weight}"
    assert next(iter(ours.values())).settings["resampling"] == f"jackknife:patches{tail}"


@needs_treecorr
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("weight", ["simple", "mean", "geom"])
def test_bootstrap_of_patches_is_that_of_treecorr(case, weight):
    import treecorr

    def way(labels):
        return Bootstrap(7, patches=labels, cross_patch_weight=weight)

    cat, other = field(1, 220), field(2, 160)
    labels = patches(cat, N, seed=1), patches(other, N, seed=2)
    times = way(labels).resample(cat, other, seed=5).pairs.times
    assert times.sum(axis=1).tolist() == [N] * 7

    class Seeded(Bootstrap):
        def resample(self, *catalogs, seed=None, fixed=()):
            return super().resample(*catalogs, seed=5, fixed=fixed)

    ours, theirs, vector = both(
        case, LINEAR, lambda labels: Seeded(7, patches=labels, cross_patch_weight=weight),
        rng=Given(np.concatenate([times, times])),
    )  # fmt: skip
    rows, _ = treecorr.build_multi_cov_design_matrix(
        theirs, "bootstrap", func=vector, num_bootstrap=7, cross_patch_weight=weight
    )
    mine = np.concatenate([c.aleatoric.real for c in ours.values()], axis=1)
    np.testing.assert_allclose(mine, rows, atol=1e-10 * np.abs(rows).max())
    np.testing.assert_allclose(
        ours.covariance("aleatoric"), np.cov(rows.T), atol=1e-10 * np.abs(rows).max() ** 2
    )


# ---- by hand ------------------------------------------------------------------------------------


def weighted_twin(points, weight, bins):
    """xi+ of points of which each pair counts as often as `weight` (n, n) says."""
    theta, toward = separations(points, points), bearings(points, points)
    place = np.searchsorted(bins.edges_rad, theta, side="right") - 1
    f = points.e[:, None] * toward**2
    pairs = np.triu(weight * points.w[:, None] * points.w, 1)
    product = (f * f.T.conj()).real
    totals = [
        np.array([(pairs * v)[place == k].sum() for k in range(bins.nbins)])
        for v in (product, np.ones_like(product))
    ]
    return totals[0] / totals[1]


@pytest.mark.parametrize("weight", ["simple", "match"])
def test_one_object_a_patch(weight):
    cat = field(4, 40)
    c = {"simple": 0.0, "match": 1 - 40 / (2 + np.sqrt(2) * 39)}[weight]
    way = Jackknife(patches=np.arange(40), cross_patch_weight=weight)
    got = xi_pm(cat, LINEAR, resampling=way).xip.aleatoric
    for k in (0, 7, 39):
        pairs = np.ones((40, 40))
        pairs[k] = pairs[:, k] = c
        np.testing.assert_allclose(got[k].real, weighted_twin(cat, pairs, LINEAR), atol=1e-13)


def test_clusters_are_split_by_the_jackknife():
    """Kept parts with each other once, with parts left out by the weight, none within a cluster."""
    cat, labels = field(5, 120), np.random.default_rng(1).integers(0, 5, 120)
    fit = SoftClustering(n_clusters=25, seed=1).fit(cat)
    mine = fit.assign("greedy")
    c = 1 - 5 / (2 + np.sqrt(2) * 4)
    way = Jackknife(patches=labels, cross_patch_weight="match")
    got = xi_pm(cat, LINEAR, clusters=fit, resampling=way).xip.aleatoric
    for k in range(5):
        parts, cluster, kept = [], [], []
        for a in range(25):
            for inside in (True, False):
                members = (mine == a) & ((labels != k) == inside)
                if members.any():
                    w = cat.w[members]
                    mean = w @ cat.xyz[members]
                    parts.append((*mean, w @ cat.e[members] / w.sum(), w.sum()))
                    cluster.append(a)
                    kept.append(inside)
        x, y, z, e, w = map(np.array, zip(*parts, strict=True))
        points = Catalog(
            ra=np.degrees(np.arctan2(y, x)).real, dec=np.degrees(np.arctan2(z, np.hypot(x, y))),
            g1=e.real, g2=e.imag, w=w.real,
        )  # fmt: skip
        kept, cluster = np.array(kept), np.array(cluster)
        pairs = np.where(kept[:, None] & kept, 1.0, np.where(kept[:, None] ^ kept, c, 0.0))
        pairs[cluster[:, None] == cluster] = 0
        np.testing.assert_allclose(got[k].real, weighted_twin(points, pairs, LINEAR), atol=1e-12)


@pytest.mark.parametrize("weight", ["simple", "mean", "match"])
def test_a_cluster_an_object_is_the_object(weight):
    cat, other, psf = field(6, 60), field(7, 50), stars(8, 60)

    def patched(*catalogs):
        return Jackknife(
            patches=tuple(patches(c, 4, seed=1) for c in catalogs), cross_patch_weight=weight
        )

    def own(*catalogs):
        return tuple(SoftClustering(n_clusters=len(c), seed=1).fit(c) for c in catalogs)

    for estimate, catalogs, more in (
        (xi_pm, (cat,), {}), (xi_pm, (cat,), {"catalog2": other}), (rho_statistics, (psf,), {}),
        (landy_szalay, (cat, other), {}), (gamma_t, (cat, other), {}),
    ):  # fmt: skip
        whole = (*catalogs, *more.values())
        naive = estimate(*catalogs, LINEAR, resampling=patched(*whole), **more)
        by_cluster = estimate(
            *catalogs, LINEAR, resampling=patched(*whole), clusters=own(*whole), **more
        )
        for name in naive:
            np.testing.assert_allclose(
                by_cluster[name].aleatoric, naive[name].aleatoric, atol=1e-11, err_msg=name
            )


@pytest.mark.slow
def test_match_is_right_for_pure_noise():
    """Mohammad & Percival (2022): the variance of noise is twofold with "simple", right with match.

    Ten skies by four bins of 60 patches, an object each: the ratio scatters by some sqrt(2/30) of
    itself a sky and bin, by 4 % in the mean.
    """
    ratios = {"simple": [], "match": []}
    for seed in range(10):
        rng = np.random.default_rng(seed)
        g = rng.normal(0, 0.1, (2, 60))
        cat = Catalog(ra=rng.uniform(0, 1, 60), dec=rng.uniform(0, 1, 60), g1=g[0], g2=g[1])
        for weight, found in ratios.items():
            way = Jackknife(patches=np.arange(60), cross_patch_weight=weight)
            xip = xi_pm(cat, LINEAR, resampling=way).xip
            found.append(np.mean((xip.sigma_aleatoric / xip.sigma_shot) ** 2))
    scatter = {k: np.std(v) / np.sqrt(10) for k, v in ratios.items()}
    assert abs(np.mean(ratios["simple"]) - 2) < 5 * max(scatter["simple"], 0.08)
    assert abs(np.mean(ratios["match"]) - 1) < 5 * max(scatter["match"], 0.04)


def test_match_halves_the_variance_of_a_strong_signal():
    """xi+ of c + noise is c^2 + 2 c (mean noise): every object cut takes 1 - w of its part with it.

    w goes to 1 - 1/sqrt(2). As in tests/sky/test_resampling.py, 3.4 % for four skies; the objects
    are the same for both weights, so that their ratio is exact but for 1/N.
    """
    n, c, s = 150, 0.2, 0.05
    for seed in range(2):
        rng = np.random.default_rng(seed)
        g = rng.normal(0, s, (2, n))
        cat = Catalog(ra=rng.uniform(0, 1, n), dec=rng.uniform(0, 1, n), g1=g[0] + c, g2=g[1])
        simple, match = (
            xi_pm(
                cat, "edges:0,100",
                resampling=Jackknife(patches=np.arange(n), cross_patch_weight=weight),
            ).xip.sigma_aleatoric[0]
            for weight in ("simple", "match")
        )  # fmt: skip
        assert abs(match / simple - np.sqrt(0.5)) < 0.01


def test_patches_of_which_a_catalog_has_none():
    """A patch without lenses and one without sources; patches that share no pair at all."""
    cat, other = field(9, 60), field(10, 50)
    labels = np.arange(60) % 3, 1 + np.arange(50) % 3
    for way in (Jackknife, lambda **k: Bootstrap(6, **k)):
        rows = gamma_t(cat, other, LINEAR, resampling=way(patches=labels), seed=1).gamma_t.aleatoric
        assert np.isfinite(rows).any()
    rows = gamma_t(cat, other, LINEAR, resampling=Jackknife(patches=labels)).gamma_t.aleatoric
    keep = [(p != 2) for p in labels]
    by_hand = gamma_t(cat[keep[0]], other[keep[1]], LINEAR).gamma_t
    np.testing.assert_allclose(rows[2], by_hand.value + 1j * by_hand.imag, atol=1e-13)


def test_a_bin_whose_pairs_all_touch_one_patch():
    """Nothing but NaN is left where that patch is out, in place of what rounding leaves."""
    ra = np.r_[np.linspace(0, 0.1, 30), 0.9]
    g = np.random.default_rng(1).normal(0, 0.1, (2, 31))
    cat = Catalog(ra=ra, dec=0 * ra, g1=g[0], g2=g[1], w=np.linspace(0.1, 0.7, 31))
    labels = np.r_[np.arange(30) % 4, 4]
    for weight, kept in (("simple", False), ("match", True)):
        way = Jackknife(patches=labels, cross_patch_weight=weight)
        rows = xi_pm(cat, "edges:0,10,60", resampling=way).xip.aleatoric
        assert np.isfinite(rows[:4]).all()
        assert np.isfinite(rows[4, 1]) == kept


def test_whole_numbers_of_patches_and_texts():
    cat, other = field(11, 90), field(12, 70)
    for text, way in (
        ("jackknife:6:match", Jackknife(6, cross_patch_weight="match")),
        ("bootstrap:8:6", Bootstrap(8, 6)),
        ("bootstrap:8:6:geom", Bootstrap(8, 6, "geom")),
    ):
        assert str(way) == text
        a, b = (landy_szalay(cat, other, LINEAR, resampling=r, seed=3).w for r in (text, way))
        assert a == b
        assert a.settings["resampling"] == text
    geom = Jackknife(6, cross_patch_weight="geom")
    a, b = (xi_pm(cat, LINEAR, resampling=r, seed=1).xip for r in (geom, "jackknife:6"))
    np.testing.assert_array_equal(a.aleatoric, b.aleatoric)


def test_what_is_refused():
    cat = field(13, 40)
    with pytest.raises(ValueError, match="Jackknife: cross_patch_weight = 'max': must be one of"):
        Jackknife(5, cross_patch_weight="max")
    with pytest.raises(ValueError, match="cross_patch_weight = 'match': must be one of simple, m"):
        Bootstrap(5, 4, "match")
    with pytest.raises(ValueError, match="cross_patch_weight = 'geom': is for patches; give"):
        Bootstrap(5, cross_patch_weight="geom")
    with pytest.raises(ValueError, match="Bootstrap: patches = 1: must be at least 2"):
        Bootstrap(5, 1)
    with pytest.raises(TypeError, match="Bootstrap: patches must be integers"):
        Bootstrap(5, np.linspace(0, 1, 40))
    with pytest.raises(ValueError, match="resampling = 'bootstrap:5:4': patches are drawn for all"):
        xi_pm(cat, LINEAR, clusters=5, resampling="bootstrap:5:4")
    with pytest.raises(ValueError, match="resampling = 'bootstrap:5:4:match': must be 'boot"):
        xi_pm(cat, LINEAR, resampling="bootstrap:5:4:match")
