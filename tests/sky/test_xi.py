"""xi+ and xi-: against TreeCorr pair by pair, clusters against objects, invariances, bad input."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.peers import reference, same_pairs, treecorr_catalog
from helpers.sky_twins import all_sky, field, random_rotation, replaced, rotated
from pysoftcorr import Catalog, Jackknife, LeaveOut, xi_pm
from pysoftcorr.sky.binning import Binning
from pysoftcorr.sky.clustering import SoftClustering

FIELDS = {
    "dec 2": lambda seed: field(seed, 350),
    "dec 85": lambda seed: field(seed, 350, 10, 85),
    "ra 0": lambda seed: field(seed, 350, 0, -30, 2),
    "dec 89.5": lambda seed: field(seed, 350, 200, 89.4, 1),
}
pytestmark = pytest.mark.filterwarnings("ignore:.*bins hold no pairs:UserWarning")

BINS = [Binning.linear(0, 45, 8), Binning.log(0.5, 50, 20), Binning.linear(3, 40, 4)]


@pytest.mark.parametrize("bins", BINS, ids=str)
@pytest.mark.parametrize("where", FIELDS)
def test_against_treecorr(where, bins):
    cat = FIELDS[where](1)
    done = reference("GGCorrelation", bins, treecorr_catalog(cat))
    xi = xi_pm(cat, bins)
    same_pairs(xi.xip, done)
    np.testing.assert_allclose(xi.xip.value, done.xip, atol=1e-10)
    np.testing.assert_allclose(xi.xip.imag, 0, atol=1e-16)
    np.testing.assert_allclose(xi.xim.value + 1j * xi.xim.imag, done.xim + 1j * done.xim_im,
                               atol=1e-10)  # fmt: skip
    np.testing.assert_allclose(xi.xip.varshot, done.varxip, rtol=1e-10)
    np.testing.assert_allclose(xi.xim.varshot, done.varxim, rtol=1e-10)


@pytest.mark.parametrize("where", FIELDS)
def test_two_catalogs_against_treecorr(where):
    cat, other, bins = FIELDS[where](2), FIELDS[where](3)[:200], BINS[1]
    done = reference("GGCorrelation", bins, treecorr_catalog(cat), treecorr_catalog(other))
    xi = xi_pm(cat, bins, catalog2=other)
    same_pairs(xi.xip, done)
    for name in ("xip", "xim"):
        got, want = xi[name], getattr(done, name) + 1j * getattr(done, f"{name}_im")
        np.testing.assert_allclose(got.value + 1j * got.imag, want, atol=1e-10)
        np.testing.assert_allclose(got.varshot, getattr(done, f"var{name}"), rtol=1e-10)


@pytest.mark.parametrize("bins", [Binning.linear(0, 170, 17, "deg"), Binning.log(1, 170, 9, "deg")])
def test_whole_sky_against_treecorr(bins):
    cat = all_sky(4, 400)
    done = reference("GGCorrelation", bins, treecorr_catalog(cat))
    xi = xi_pm(cat, bins)
    same_pairs(xi.xip, done)
    np.testing.assert_allclose(xi.xip.value, done.xip, atol=1e-10)
    np.testing.assert_allclose(xi.xim.value + 1j * xi.xim.imag, done.xim + 1j * done.xim_im,
                               atol=1e-10)  # fmt: skip


def test_units_of_bins():
    cat = field(5, 100)
    arcmin = xi_pm(cat, Binning.linear(6, 30, 4)).xip
    for unit, factor in (("deg", 60.0), ("arcsec", 1 / 60), ("rad", 180 * 60 / np.pi)):
        edges = np.linspace(6, 30, 5) / factor
        other = xi_pm(cat, Binning.explicit(edges, unit)).xip
        np.testing.assert_allclose(other.value, arcmin.value, rtol=1e-12)
        np.testing.assert_allclose(other.theta * factor, arcmin.theta, rtol=1e-12)
        np.testing.assert_allclose(np.exp(other.logtheta) * factor, np.exp(arcmin.logtheta),
                                   rtol=1e-12)  # fmt: skip


# ---- clusters -----------------------------------------------------------------------------------


@pytest.mark.parametrize("bins", BINS, ids=str)
def test_a_cluster_for_every_object_changes_nothing(bins):
    cat = field(6, 120)
    naive, soft = xi_pm(cat, bins), xi_pm(cat, bins, clusters=len(cat), seed=1)
    for name in naive:
        np.testing.assert_array_equal(soft[name].npairs, naive[name].npairs)
        for what in ("value", "imag", "theta", "logtheta", "weight", "varshot"):
            got, want = getattr(soft[name], what), getattr(naive[name], what)
            np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-12)


def test_clusters_by_hand():
    """Greedy clusters are weighted means of their members and carry their weights."""
    cat, bins = field(7, 90), Binning.linear(0, 60, 4)
    fit = SoftClustering(n_clusters=12, seed=3).fit(cat)
    labels = fit.assign()
    used = np.unique(labels)
    mean = np.array([cat.w[labels == k] @ cat.xyz[labels == k] for k in used])
    shear = [np.average(cat.e[labels == k], weights=cat.w[labels == k]) for k in used]
    by_hand = Catalog(
        ra=np.degrees(np.arctan2(mean[:, 1], mean[:, 0])),
        dec=np.degrees(np.arctan2(mean[:, 2], np.hypot(mean[:, 0], mean[:, 1]))),
        g1=np.real(shear), g2=np.imag(shear), w=[cat.w[labels == k].sum() for k in used],
    )  # fmt: skip
    got, want = xi_pm(cat, bins, clusters=fit), xi_pm(by_hand, bins)
    for name in got:
        np.testing.assert_allclose(got[name].value, want[name].value, rtol=1e-10, atol=1e-15)
        np.testing.assert_array_equal(got[name].npairs, want[name].npairs)
        np.testing.assert_allclose(got[name].weight, want[name].weight, rtol=1e-12)


def test_soft_assignment_by_hand():
    cat, bins = field(8, 60), Binning.linear(0, 60, 3)
    fit = SoftClustering(n_clusters=7, seed=3).fit(cat)
    share = cat.w[:, None] * fit.memberships
    mean = share.T @ cat.xyz
    shear = (share.T @ cat.e) / share.sum(axis=0)
    by_hand = Catalog(
        ra=np.degrees(np.arctan2(mean[:, 1], mean[:, 0])),
        dec=np.degrees(np.arctan2(mean[:, 2], np.hypot(mean[:, 0], mean[:, 1]))),
        g1=shear.real, g2=shear.imag, w=share.sum(axis=0),
    )  # fmt: skip
    got = xi_pm(cat, bins, clusters=fit, assignment="soft").xip
    np.testing.assert_allclose(got.value, xi_pm(by_hand, bins).xip.value, rtol=1e-9)
    np.testing.assert_allclose(got.weight, xi_pm(by_hand, bins).xip.weight, rtol=1e-11)


# ---- invariances --------------------------------------------------------------------------------


def test_order_of_objects():
    cat, mixed = field(9, 300), np.random.default_rng(1).permutation(300)
    for bins in BINS:
        for name in ("xip", "xim"):
            a, b = xi_pm(cat, bins)[name], xi_pm(cat[mixed], bins)[name]
            np.testing.assert_array_equal(a.npairs, b.npairs)
            np.testing.assert_allclose(a.value, b.value, rtol=1e-11, atol=1e-15)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_rotation_of_the_sky(seed):
    cat = field(10, 300)
    turned = rotated(cat, random_rotation(seed))
    a, b = xi_pm(cat, BINS[0]), xi_pm(turned, BINS[0])
    for name in a:
        np.testing.assert_array_equal(a[name].npairs, b[name].npairs)
        np.testing.assert_allclose(a[name].value, b[name].value, atol=1e-11)
        np.testing.assert_allclose(a[name].imag, b[name].imag, atol=1e-11)


def test_every_object_twice_with_half_the_weight():
    """Four times the pairs of a quarter of the weight, and pairs at zero outside the bins."""
    cat, bins = field(11, 200), BINS[1]
    twice = np.repeat(np.arange(200), 2)
    double = replaced(cat[twice], w=cat.w[twice] / 2)
    a, b = xi_pm(cat, bins).xip, xi_pm(double, bins).xip
    np.testing.assert_array_equal(4 * a.npairs, b.npairs)
    for what in ("weight", "value", "theta", "logtheta"):
        np.testing.assert_allclose(getattr(a, what), getattr(b, what), rtol=1e-11)


def test_scale_of_the_weights():
    cat = field(12, 200)
    a, b = xi_pm(cat, BINS[0]).xip, xi_pm(replaced(cat, w=1e-30 * cat.w), BINS[0]).xip
    np.testing.assert_allclose(a.value, b.value, rtol=1e-12)
    np.testing.assert_allclose(a.logtheta, b.logtheta, rtol=1e-12)
    np.testing.assert_allclose(a.sigma_shot, b.sigma_shot, rtol=1e-12)


# ---- bins without pairs, bad input --------------------------------------------------------------


def test_bins_without_pairs():
    cat = field(13, 50, width=0.2)
    with pytest.warns(
        UserWarning, match=r"xi_pm: 2 of 4 bins hold no pairs \(20-40, 40-60 arcmin\)"
    ):
        xi = xi_pm(cat, "edges:0,10,20,40,60", resampling="bootstrap:5", seed=1)
    for c in xi.values():
        np.testing.assert_array_equal(c.npairs[2:], 0)
        for what in ("value", "imag", "theta", "logtheta", "varshot"):
            assert np.isnan(getattr(c, what)[2:]).all()
            assert np.isfinite(getattr(c, what)[:2]).all()
        assert np.isnan(c.sigma_aleatoric[2:]).all()
        assert np.isfinite(c.sigma_aleatoric[:2]).all()


def fit_of(cat, c):
    return SoftClustering(n_clusters=c, seed=1).fit(cat)


BAD = [
    ({"assignments": 10}, ValueError, "assignments = 10: .*ask for clusters"),
    ({"assignments": 1, "clusters": 5}, ValueError, "assignments = 1: must be 0"),
    ({"assignments": -5, "clusters": 5}, ValueError, "assignments = -5: must be at least 0"),
    ({"assignments": 10.0, "clusters": 5}, TypeError, "assignments = 10.0: must be a whole"),
    ({"assignments": True, "clusters": 5}, TypeError, "assignments = True"),
    ({"resampling": "bootstrap:1"}, ValueError, "n = 1: an error needs at least 2"),
    ({"clusters": 51}, ValueError, "n_clusters = 51: more than the 50 objects"),
    ({"clusters": -1}, ValueError, "clusters = -1: must be at least 0"),
    ({"clusters": 5.0}, TypeError, "clusters = 5.0: must be an integer"),
    ({"clusters": "many"}, TypeError, "clusters = 'many'"),
    ({"clusters": True}, TypeError, "clusters = True"),
    ({"clusters": ()}, ValueError, "clusters: 0 given, one Clustering for each of the 1"),
    ({"clusters": 5, "assignment": "gumbel"}, ValueError, "assignment = 'gumbel': must be one of"),
    ({"resampling": "jackknife:51"}, ValueError, "n = 51 patches: more than the 50 objects"),
    ({"resampling": Jackknife(patches=[0, 1])}, ValueError, "labels of catalog 1 have shape"),
    ({"resampling": Jackknife(patches=np.zeros(50, int))}, ValueError, "number of patches = 1"),
    ({"resampling": LeaveOut(1e-9)}, ValueError, "leaves out 0 of 50 objects"),
    ({"resampling": 10}, TypeError, "resampling = 10: must be a Bootstrap"),
    ({"seed": -1}, ValueError, "seed = -1: must not be negative"),
    ({"seed": 1.5}, TypeError, "seed = 1.5"),
    ({"method": "trees"}, ValueError, "method = 'trees': must be one of pairs, treecorr"),
    (
        {"method": "treecorr", "resampling": "bootstrap:10"},
        ValueError,
        "method = 'treecorr': resamples patches, not objects",
    ),
    ({"method": "treecorr", "clusters": 5}, ValueError, "method = 'treecorr': takes all pairs"),
    ({"bootstraps": 10}, TypeError, "unexpected keyword argument 'bootstraps'"),
]


@pytest.mark.parametrize(("options", "kind", "message"), BAD)
def test_bad_options(options, kind, message):
    with pytest.raises(kind, match=message):
        xi_pm(field(14, 50), "linear:0:45:3", **options)


def test_bad_catalogs():
    cat = field(15, 50)
    with pytest.raises(ValueError, match="xi_pm: catalog has one object; pairs need at least two"):
        xi_pm(cat[:1], BINS[0])
    with pytest.raises(ValueError, match="xi_pm: catalog has no g1 and g2; give both"):
        xi_pm(Catalog(ra=cat.ra, dec=cat.dec), BINS[0])
    with pytest.raises(ValueError, match="xi_pm: catalog2 has no g1 and g2"):
        xi_pm(cat, BINS[0], catalog2=Catalog(ra=cat.ra, dec=cat.dec))
    with pytest.raises(TypeError, match="xi_pm: catalog must be a Catalog, not ndarray"):
        xi_pm(cat.xyz, BINS[0])
    with pytest.raises(TypeError, match=r"bins must be a Binning, text .* not float"):
        xi_pm(cat, 45.0)
    with pytest.raises(ValueError, match="bins must increase"):
        xi_pm(cat, "linear:45:0:5")


def test_clusterings_that_do_not_belong():
    cat = field(16, 50)
    with pytest.raises(ValueError, match="a Clustering of 40 objects does not belong to a"):
        xi_pm(cat, BINS[0], clusters=fit_of(cat[:40], 5))
    with pytest.raises(ValueError, match="clusters: 1 given, one Clustering for each of the 2"):
        xi_pm(cat, BINS[0], catalog2=cat, clusters=fit_of(cat, 5))
    with pytest.raises(TypeError, match="not a tuple with int"):
        xi_pm(cat, BINS[0], catalog2=cat, clusters=(fit_of(cat, 5), 5))


def test_numpy_integers_are_integers():
    cat = field(17, 50)
    a = xi_pm(
        cat, BINS[2], clusters=np.int64(5), assignments=np.int32(3),
        resampling=Jackknife(np.int64(4)), seed=1,
    )  # fmt: skip
    b = xi_pm(cat, BINS[2], clusters=5, assignments=3, resampling="jackknife:4", seed=1)
    assert a == b
    assert a.settings["resampling"] == "jackknife:4"
    assert a.settings["clusters"] == 5
    assert xi_pm(cat, BINS[2], clusters=np.int64(0)).settings["clusters"] == 0


def test_one_object_in_each_catalog():
    """A single pair, with its shears turned to the great circle."""
    a = Catalog(ra=[10.0], dec=[0.0], g1=[0.1], g2=[0.0])
    b = Catalog(ra=[10.0], dec=[0.5], g1=[0.2], g2=[0.05])
    xi = xi_pm(a, "edges:20,40", catalog2=b)
    assert xi.xip.npairs[0] == 1
    np.testing.assert_allclose(xi.xip.theta, 30, rtol=1e-12)
    np.testing.assert_allclose(xi.xip.value + 1j * xi.xip.imag, 0.1 * (0.2 - 0.05j), rtol=1e-10)
    np.testing.assert_allclose(xi.xim.value + 1j * xi.xim.imag, 0.1 * (0.2 + 0.05j), rtol=1e-10)


def test_edges_are_bins():
    cat = field(20, 60)
    want = xi_pm(cat, Binning.explicit([0, 10, 45]), seed=1)
    for bins in ("edges:0,10,45", [0, 10, 45], np.array([0, 10, 45])):
        assert xi_pm(cat, bins, seed=1) == want
