"""w(theta) by Landy and Szalay: against TreeCorr, clusters, a known clustering, bad input."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.peers import reference, same_pairs, treecorr_catalog
from helpers.sky_twins import all_sky, field, random_rotation, replaced, rotated
from pysoftcorr import Catalog, Jackknife, LeaveOut, landy_szalay
from pysoftcorr.sky.binning import Binning
from pysoftcorr.sky.clustering import SoftClustering

LINEAR, LOG = Binning.linear(0, 45, 6), Binning.log(2, 50, 8)


def against_treecorr(data, randoms, bins):
    d, r = treecorr_catalog(data), treecorr_catalog(randoms)
    dd, dr, rr = (reference("NNCorrelation", bins, *c) for c in ((d,), (d, r), (r,)))
    xi, varxi = dd.calculateXi(rr=rr, dr=dr)
    w = landy_szalay(data, randoms, bins).w
    same_pairs(w, dd)
    np.testing.assert_allclose(w.value, xi, atol=1e-10)
    np.testing.assert_allclose(w.varshot, varxi, rtol=1e-10)
    np.testing.assert_array_equal(w.imag, 0)


@pytest.mark.parametrize("bins", [LINEAR, LOG], ids=["linear", "log"])
@pytest.mark.parametrize("where", [(150, 2, 1), (10, 85, 1), (0, -30, 2)])
def test_against_treecorr(where, bins):
    against_treecorr(field(1, 300, *where), field(2, 700, *where), bins)


def test_whole_sky_against_treecorr():
    against_treecorr(all_sky(1, 200), all_sky(2, 500), Binning.linear(0, 150, 10, unit="deg"))


def test_without_weights():
    """Weights of one: the counts of the textbook, DD/N^2 and so on."""
    data, randoms = field(3, 200), field(4, 500)
    data, randoms = (Catalog(ra=c.ra, dec=c.dec) for c in (data, randoms))
    against = landy_szalay(data, randoms, LOG).w
    ones = landy_szalay(replaced_w(data, 3.0), replaced_w(randoms, 0.2), LOG).w
    np.testing.assert_allclose(against.value, ones.value, rtol=1e-10)


def replaced_w(cat, w):
    return Catalog(ra=cat.ra, dec=cat.dec, w=np.full(len(cat), w))


def test_a_cluster_for_every_object_changes_nothing():
    data, randoms = field(5, 80), field(6, 150)
    fits = tuple(SoftClustering(n_clusters=len(c), seed=1).fit(c) for c in (data, randoms))
    naive = landy_szalay(data, randoms, LINEAR).w
    soft = landy_szalay(data, randoms, LINEAR, clusters=fits).w
    np.testing.assert_allclose(soft.value, naive.value, rtol=1e-10)
    np.testing.assert_allclose(soft.varshot, naive.varshot, rtol=1e-10)


def test_clusters_do_not_shift_w():
    """Pairs that hide within clusters are taken off the norm as off the counts.

    Uniform data and randoms, all pairs of clusters in one bin: w = 0 up to the weight within
    clusters that differ in size; a norm with the hidden pairs in it would give -2/40.
    """
    data, randoms = field(7, 1000, width=0.5), field(8, 1000, width=0.5)
    w = landy_szalay(data, randoms, "edges:0,60", clusters=40, seed=1).w.value[0]
    assert -3e-3 < w < 0  # sum w^2 / (sum w)^2 of both, self pairs as TreeCorr has them


def test_known_clustering():
    """Pairs laid out at 3 arcmin: DD of that bin is raised by their number."""
    rng = np.random.default_rng(9)
    n = 300
    ra, dec, angle = rng.uniform(0, 2, n), rng.uniform(-1, 1, n), rng.uniform(0, 2 * np.pi, n)
    data = Catalog(
        ra=np.r_[ra, ra + 0.05 * np.cos(angle)], dec=np.r_[dec, dec + 0.05 * np.sin(angle)]
    )
    randoms = Catalog(ra=rng.uniform(0, 2, 3000), dec=rng.uniform(-1, 1, 3000))
    w = landy_szalay(data, randoms, "edges:1,2.5,3.5,6").w
    expected_pairs = 0.5 * 600**2 * np.pi * (3.5**2 - 2.5**2) / 120**2  # few at the border
    # scatter of the counts: sqrt(1/235 + 300/235^2) = 0.1 of 1.3
    assert abs(w.value[1] - n / expected_pairs) < 0.35
    assert np.all(np.abs(w.value[[0, 2]]) < 5 * np.sqrt(w.varshot[[0, 2]]))


def test_rotation_and_order():
    data, randoms = field(10, 200), field(11, 400)
    turn, mixed = random_rotation(1), np.random.default_rng(1).permutation(200)
    a = landy_szalay(data, randoms, LOG).w
    b = landy_szalay(rotated(data, turn)[mixed], rotated(randoms, turn), LOG).w
    np.testing.assert_allclose(a.value, b.value, rtol=1e-10)


def test_resamples():
    """Bootstrap and leave-out draw data alone; the jackknife cuts both."""
    data, randoms = field(12, 150), field(13, 300)
    boot = landy_szalay(data, randoms, LINEAR, resampling="bootstrap:20", seed=1).w
    assert boot.aleatoric.shape == (20, 6)
    left = landy_szalay(data, randoms, LINEAR, resampling=LeaveOut(0.2, 30), seed=1).w
    assert left.aleatoric_factor == pytest.approx(0.8 / 0.2 / 30)
    jack = landy_szalay(data, randoms, LINEAR, resampling="jackknife:9", seed=1).w
    for w in (boot, left, jack):
        assert np.isfinite(w.sigma_aleatoric).all()
    labels = tuple(np.arange(len(c)) % 4 for c in (data, randoms))
    rows = landy_szalay(data, randoms, LINEAR, resampling=Jackknife(patches=labels)).w.aleatoric
    for k in range(4):
        kept = (c[part != k] for c, part in zip((data, randoms), labels, strict=True))
        np.testing.assert_allclose(rows[k].real, landy_szalay(*kept, LINEAR).w.value, rtol=1e-10)


def test_bins_without_pairs():
    data, randoms = field(14, 30, width=0.2), field(15, 60, width=0.6)
    with pytest.warns(UserWarning, match="hold no pairs") as caught:
        w = landy_szalay(data, randoms, "edges:0,12,30,60,90").w
    text = " ".join(str(c.message) for c in caught)
    assert "1 of 4 bins hold no pairs of data (30-60 arcmin); their count is 0" in text
    assert "1 of 4 bins hold no pairs (60-90 arcmin); their value is NaN" in text
    assert np.isfinite(w.value[:3]).all()
    assert np.isnan(w.value[3])
    few = Catalog(ra=[150.0, 150.001], dec=[2.0, 2.0])
    with pytest.warns(UserWarning, match="no pairs of randoms"):
        w = landy_szalay(data, few, "edges:2,10").w
    assert np.isnan(w.value[0])


def test_bad_input():
    data, randoms = field(16, 30), field(17, 60)
    with pytest.raises(ValueError, match="landy_szalay: data has one object"):
        landy_szalay(data[:1], randoms, LOG)
    with pytest.raises(ValueError, match="landy_szalay: randoms has one object"):
        landy_szalay(data, randoms[:1], LOG)
    with pytest.raises(TypeError, match="randoms must be a Catalog, not NoneType"):
        landy_szalay(data, None, LOG)
    with pytest.raises(ValueError, match="jackknife: 2 catalogs need as many arrays"):
        landy_szalay(data, randoms, LOG, resampling=Jackknife(patches=np.zeros(30, int)))


def test_no_shears_are_needed():
    data = replaced(field(18, 40), g1=None, g2=None)
    assert data.g1 is None
    assert np.isfinite(landy_szalay(data, field(19, 90), "linear:0:40:2").w.value).all()
