"""Pairs weighted by patch: TreeCorr's own resamples and covariances, and sums by hand.

TreeCorr keeps shears and weights in single precision; those of the helpers have few binary digits,
so that nothing is lost.
"""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from helpers.sky_twins import field, stars
from pysoftcorr import (
    Bootstrap,
    Jackknife,
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
@pytest.mark.parametrize("bins", [LINEAR, LOG], ids=["linear", "log"])
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
