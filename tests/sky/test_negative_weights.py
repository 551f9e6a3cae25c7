"""Weights below 0: all pairs of objects take them as TreeCorr does, clusters refuse them.

TreeCorr passes over cells whose weights sum to 0 and puts the center of a cell at the weighted mean
of its objects; with weights that do not cancel, and ``wpos`` above 0, it takes every pair.
"""

from __future__ import annotations

import numpy as np
import pytest

from helpers.peers import reference
from helpers.sky_twins import field, pair_twin, replaced
from pysoftcorr import (
    Bootstrap,
    Catalog,
    Jackknife,
    SoftClustering,
    SoftCorrelation,
    gamma_t,
    landy_szalay,
    rho_statistics,
    xi_pm,
)
from pysoftcorr.sky.binning import Binning
from pysoftcorr.sky.stars import StarCatalog

BINS = Binning.linear(3, 45, 4)


def signed(seed, n, part=0.25):
    """Weights of few binary digits, some below 0, of which no few sum to 0."""
    cat, rng = field(seed, n), np.random.default_rng(seed)
    w = (1 + 2 * rng.integers(0, 2**20, n)) / 2**20
    return replaced(cat, w=np.where(rng.uniform(size=n) < part, -w, w))


def peer(kind, *catalogs):
    treecorr = pytest.importorskip("treecorr")
    made = [
        treecorr.Catalog(
            ra=c.ra, dec=c.dec, ra_units="deg", dec_units="deg", w=c.w, wpos=np.abs(c.w),
            g1=c.g1, g2=c.g2,
        )
        for c in catalogs
    ]  # fmt: skip
    return reference(kind, BINS, *made)


def test_xi_and_gamma_t_are_those_of_treecorr():
    cat, other = signed(1, 200), signed(2, 150)
    for catalogs in ((cat,), (cat, other)):
        done = peer("GGCorrelation", *catalogs)
        xi = xi_pm(cat, BINS, catalog2=None if len(catalogs) == 1 else other)
        np.testing.assert_array_equal(xi.xip.npairs, done.npairs)
        np.testing.assert_allclose(xi.xip.weight, done.weight, rtol=1e-7)
        # shears in single precision
        np.testing.assert_allclose(xi.xip.value, done.xip, atol=1e-7 * np.abs(done.xip).max())
        np.testing.assert_allclose(xi.xim.value, done.xim, atol=1e-7 * np.abs(done.xim).max())
        np.testing.assert_allclose(xi.xip.varshot, done.varxip, rtol=1e-6)
    done = peer("NGCorrelation", cat, other)
    got = gamma_t(cat, other, BINS).gamma_t
    np.testing.assert_allclose(got.value, done.xi, atol=1e-7 * np.abs(done.xi).max())
    np.testing.assert_allclose(got.varshot, done.varxi, rtol=1e-6)


def test_w_is_that_of_treecorr():
    data, randoms = signed(3, 200, 0.1), signed(4, 400, 0.05)
    dd, dr, rr = (peer("NNCorrelation", *c) for c in ((data,), (data, randoms), (randoms,)))
    value, varshot = dd.calculateXi(rr=rr, dr=dr)
    got = landy_szalay(data, randoms, BINS).w
    np.testing.assert_allclose(got.value, value, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(got.varshot, varshot, rtol=1e-6)


def test_every_pair_by_hand():
    """Weights that cancel as often as they like; one of all signs is as good as none."""
    cat, rng = field(5, 120), np.random.default_rng(5)
    cat = replaced(cat, w=rng.choice([-1.0, 1.0, 1.0, 2.0], 120))
    twin, xi = pair_twin(cat, BINS), xi_pm(cat, BINS)
    np.testing.assert_array_equal(xi.xip.npairs, twin.npairs)
    np.testing.assert_allclose(xi.xip.value, twin.xip.real, atol=1e-13)
    np.testing.assert_allclose(xi.xim.value, twin.xim.real, atol=1e-13)
    np.testing.assert_allclose(xi.xip.logtheta, twin.logtheta + np.log(np.degrees(1) * 60))
    turned = xi_pm(replaced(cat, w=-cat.w), BINS)
    np.testing.assert_array_equal(turned.xip.value, xi.xip.value)
    np.testing.assert_allclose(turned.xip.varshot, xi.xip.varshot, rtol=1e-12)


def test_resamples_by_hand():
    cat = signed(6, 80)
    labels = np.arange(80) % 5
    got = xi_pm(cat, BINS, resampling="jackknife:5", seed=1).xip
    assert np.isfinite(got.sigma_aleatoric).all()
    rows = xi_pm(cat, BINS, resampling=Jackknife(patches=labels)).xip.aleatoric
    for k in range(5):
        value = xi_pm(cat[labels != k], BINS).xip.value
        np.testing.assert_allclose(rows[k].real, value, atol=1e-13)
    times = Bootstrap(3).resample(cat, seed=2).multiplicity[0]
    rows = xi_pm(cat, BINS, resampling="bootstrap:3", seed=2).xip.aleatoric
    for row, m in zip(rows, times, strict=True):
        np.testing.assert_allclose(row.real, xi_pm(replaced(cat, w=cat.w * m), BINS).xip.value)


def test_bins_whose_weights_cancel_or_are_negative():
    cat = Catalog(
        ra=[0, 0.1, 0.5, 0.6, 1.1, 1.2], dec=np.zeros(6), g1=np.full(6, 0.1), g2=np.zeros(6),
        w=[0.1, 0.3, 0.1, -0.3, 0.2, -0.7],
    )  # fmt: skip
    # 6 arcmin: .03 - .03 - .14 < 0
    with pytest.warns(UserWarning, match=r"sum to less than 0 in 1 of 1 bins \(5-7 arcmin\)"):
        xi = xi_pm(cat, "edges:5,7").xip
    np.testing.assert_allclose(xi.weight, [-0.14])
    np.testing.assert_allclose(xi.value, [0.01])
    assert np.isnan(xi.varshot[0]) or xi.varshot[0] >= 0
    with pytest.warns(UserWarning, match="1 of 1 bins hold .*pairs whose weights sum to 0"):
        xi = xi_pm(cat[:4], "edges:5,7").xip
    assert xi.npairs[0] == 2
    assert xi.weight[0] == 0
    assert np.isnan([xi.value[0], xi.theta[0], xi.varshot[0]]).all()


def test_what_is_refused():
    cat, other = signed(7, 60), field(8, 50)
    rows = np.flatnonzero(cat.w < 0)
    where = rf"in rows {rows[0]} \({cat.w[rows[0]]:.6g}\), {rows[1]}"
    for asked in (
        lambda: xi_pm(cat, BINS, clusters=5),
        lambda: xi_pm(other, BINS, catalog2=cat, clusters=5),
        lambda: landy_szalay(other, cat, BINS, clusters=5),
        lambda: SoftClustering(n_clusters=5, use_weights=True).fit(cat),
        lambda: SoftCorrelation("linear:0:40:3", clusters=5).value(cat),
    ):
        with pytest.raises(ValueError, match=f"w must not be negative .* {where}.* leave those"):
            asked()
    fit = SoftClustering(n_clusters=5, seed=1).fit(cat)  # memberships do not know of weights
    with pytest.raises(ValueError, match=r"clusters of <Catalog: 60 .*w must not be negative"):
        xi_pm(cat, BINS, clusters=fit)
    with pytest.raises(ValueError, match=r"landy_szalay: randoms: the weights w sum to -.* must"):
        landy_szalay(other, replaced(cat, w=-np.abs(cat.w)), BINS)
    with pytest.raises(ValueError, match="landy_szalay: data: the weights w sum to 0, which must"):
        landy_szalay(replaced(other, w=np.where(np.arange(50) % 2, 1, -1)), other, BINS)
    with pytest.raises(ValueError, match="w is zero in every row"):
        replaced(cat, w=np.zeros(60))


def test_a_catalog_says_what_it_holds():
    cat = replaced(field(9, 40), w=np.where(np.arange(40) % 2, 1.0, -1.0))
    assert "-1 to 1, sum 0" in cat.summary()
    stars = StarCatalog(
        ra=cat.ra, dec=cat.dec, g1=cat.g1, g2=cat.g2, w=cat.w, T=np.ones(40),
        g1_model=cat.g1, g2_model=cat.g2, T_model=np.ones(40),
    )  # fmt: skip
    assert "dT/T" in stars.summary()
    with pytest.warns(UserWarning, match="sum to less than 0 in 1 of 1 bins"):
        assert np.isfinite(rho_statistics(stars, "linear:0:30:1").rho1.value).all()
