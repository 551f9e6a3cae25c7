"""Both errors: analytic scatter, TreeCorr's jackknife, hard limits, seeds and threads.

A bootstrap sigma of B resamples scatters by 1/sqrt(2 (B - 1)) of itself; the means over bins and
skies below are asked to lie within five times their own scatter.
"""

from __future__ import annotations

import numpy as np
import pytest

from helpers.peers import reference
from helpers.sky_twins import field, replaced
from pysoftcorr import Catalog, landy_szalay, xi_pm
from pysoftcorr.sky.binning import Binning
from pysoftcorr.sky.clustering import SoftClustering
from pysoftcorr.sky.resampling import Bootstrap, Jackknife, LeaveOut, as_resampling, patches

pytestmark = pytest.mark.filterwarnings("ignore:.*bins hold no pairs:UserWarning")
BINS = Binning.linear(5, 45, 4)


def gaussian(seed, n, mean=0.0, sigma=0.1) -> Catalog:
    """Uncorrelated Gaussian shears about a constant one, at the equator."""
    rng = np.random.default_rng(seed)
    g1, g2 = rng.normal(0, sigma, (2, n))
    ra, dec = rng.uniform(0, 1, (2, n))
    return Catalog(ra=ra, dec=dec, g1=g1 + mean, g2=g2)


# ---- against what is known of the scatter -------------------------------------------------------


@pytest.mark.parametrize("clusters", [None, "each"])
def test_errors_of_a_gaussian_field_with_a_mean(clusters):
    """xi+ of c + noise is c^2 + 2 c (mean noise) up to second order: sigma = 2 c s / sqrt(N).

    Scatter of the ratio: 1/sqrt(2 B) = 5 % of the resampling, 1/sqrt(2 N) = 5.8 % of the estimated
    s; of the mean of four skies 3.8 %.
    """
    n, c, s = 150, 0.2, 0.05
    ways = [Bootstrap(200), LeaveOut(0.3, 200), Jackknife(patches=np.arange(n))]
    ratios = {str(way): [] for way in ways}
    for seed in range(4):
        cat = gaussian(seed, n, c, s)
        options = {"clusters": n if clusters else None, "seed": seed}
        for way in ways:
            sigma = xi_pm(cat, "edges:0,100", resampling=way, **options).xip.sigma_aleatoric[0]
            ratios[str(way)].append(sigma / (2 * c * s / np.sqrt(n)))
    for found in ratios.values():
        assert abs(np.mean(found) - 1) < 5 * 0.038


@pytest.mark.slow
def test_errors_of_pure_noise():
    """Without a signal the error is shot noise, which resampling of objects overstates.

    xi+ is then a sum over pairs with nothing of first order in the objects. A pair drawn m_i m_j
    times has the variance (1 + 1)^2 - 1 = 3 under the bootstrap; the jackknife is high by 2
    (Efron & Stein 1981), leaving out a fraction f by (2 - f)/(1 - f). Four bins by five
    skies: each ratio scatters by about 20 % from its sky, 9 % in the mean.
    """
    n, f = 120, 0.3
    skies = [(seed, gaussian(seed, n)) for seed in range(5)]
    for way, ratio in (
        (Bootstrap(100), 3), (Jackknife(patches=np.arange(n)), 2),
        (LeaveOut(f, 100), (2 - f) / (1 - f)),
    ):  # fmt: skip
        each = [xi_pm(cat, BINS, resampling=way, seed=seed).xip for seed, cat in skies]
        ratios = [np.mean((xip.sigma_aleatoric / xip.sigma_shot) ** 2) for xip in each]
        scatter = np.std(ratios, ddof=1) / np.sqrt(5)
        assert scatter < 0.2 * ratio
        assert abs(np.mean(ratios) - ratio) < 4 * max(scatter, 0.05 * ratio)


def test_shot_noise_is_the_scatter_of_pure_noise():
    """150 skies: sigma is known to 1/sqrt(300) = 6 %, in the mean of four bins to 3 %."""
    skies = [xi_pm(gaussian(s, 200), BINS).xip for s in range(150)]
    spread = np.std([x.value for x in skies], axis=0)
    assert abs(np.mean(spread / np.mean([x.sigma_shot for x in skies], axis=0)) - 1) < 5 * 0.03


def test_leave_out_does_not_depend_on_the_fraction():
    cat = gaussian(20, 300, 0.2, 0.05)
    sigma = [
        xi_pm(cat, "edges:0,100", resampling=LeaveOut(f, 300), seed=1).xip.sigma_aleatoric[0]
        for f in (0.05, 0.3, 0.6)
    ]
    # each to 1/sqrt(600) = 4 %
    assert np.ptp(sigma) / np.mean(sigma) < 5 * 0.04 * np.sqrt(2)


# ---- jackknife ----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("bins", [BINS, Binning.log(1, 50, 8)], ids=["linear", "log"])
def test_jackknife_against_treecorr(bins):
    treecorr = pytest.importorskip("treecorr")
    cat = field(1, 300)
    labels = patches(cat, 12, seed=1)
    made = treecorr.Catalog(
        ra=cat.ra, dec=cat.dec, ra_units="deg", dec_units="deg", w=cat.w, g1=cat.g1, g2=cat.g2,
        patch=labels,
    )  # fmt: skip
    # "simple": a pair counts where both its objects are kept
    done = reference("GGCorrelation", bins, made, var_method="jackknife",
                     cross_patch_weight="simple")  # fmt: skip
    xi = xi_pm(cat, bins, resampling=Jackknife(patches=labels))
    want = done.estimate_cov("jackknife")
    got = xi.covariance("aleatoric")
    np.testing.assert_allclose(got, want, atol=1e-10 * want.max())
    np.testing.assert_allclose(xi.xip.sigma_aleatoric, np.sqrt(done.varxip), rtol=1e-8)


def test_jackknife_by_hand():
    cat, labels = field(2, 60), np.random.default_rng(1).integers(10, 15, 60)
    xi = xi_pm(cat, BINS, resampling=Jackknife(patches=labels)).xip
    rows = [xi_pm(cat[labels != k], BINS).xip.value for k in range(10, 15)]
    np.testing.assert_allclose(xi.aleatoric.real, rows, atol=1e-13)
    centered = rows - np.mean(rows, axis=0)
    np.testing.assert_allclose(xi.cov_aleatoric, 4 / 5 * centered.T @ centered, rtol=1e-10)
    assert xi.aleatoric_method == "jackknife"
    assert xi.settings["resampling"] == "jackknife:patches"


def test_patches():
    cat = field(3, 400, 0, 30, 2)
    labels = patches(cat, 10, seed=1)
    assert sorted(np.unique(labels)) == list(range(10))
    assert np.bincount(labels).min() > 10
    np.testing.assert_array_equal(labels, patches(cat, 10, seed=1))
    # compact: every object nearer the mean of its own patch than that of any other, nearly
    means = np.array([cat.xyz[labels == k].mean(axis=0) for k in range(10)])
    assert (
        np.mean(np.argmin(((cat.xyz[:, None] - means) ** 2).sum(axis=2), axis=1) == labels) > 0.98
    )


def test_two_catalogs_share_patches():
    """Objects of the second belong to the patch of the first that is nearest."""
    cat = field(4, 200)
    same = Jackknife(8).resample(cat, cat, seed=1)
    agree = np.mean(same.multiplicity[0] == same.multiplicity[1])
    assert agree > 0.98
    assert same.n == 8
    assert same.factor == 7 / 8


# ---- the resamples themselves -------------------------------------------------------------------


def test_multiplicities():
    cats = field(5, 100), field(6, 40)
    drawn = Bootstrap(50).resample(*cats, seed=1)
    for times, cat in zip(drawn.multiplicity, cats, strict=True):
        assert times.shape == (50, len(cat))
        np.testing.assert_array_equal(times.sum(axis=1), len(cat))
    # E m = 1 +- 1/sqrt(50 x 100), Var m = 1 - 1/N
    assert abs(drawn.multiplicity[0].var() - 0.99) < 5 * np.sqrt(2 / 5000) * 1.5
    left = LeaveOut(0.25, 20).resample(*cats, seed=1)
    for times, cat in zip(left.multiplicity, cats, strict=True):
        assert set(np.unique(times)) == {0.0, 1.0}
        np.testing.assert_array_equal((times == 0).sum(axis=1), len(cat) // 4)


def test_bootstrap_by_hand():
    """A resample is the catalog with weights times multiplicities."""
    cat = field(7, 60)
    times = Bootstrap(4).resample(cat, seed=9).multiplicity[0]
    xi = xi_pm(cat, BINS, resampling="bootstrap:4", seed=9).xip
    for row, m in zip(xi.aleatoric, times, strict=True):
        value = xi_pm(replaced(cat, w=cat.w * m), BINS).xip.value
        np.testing.assert_allclose(row.real, value, atol=1e-13)


def test_epistemic_by_hand():
    """Each row is the correlation of one sampled assignment; their spread is the error."""
    cat = field(8, 80)
    fit = SoftClustering(n_clusters=15, seed=1).fit(cat)
    xi = xi_pm(cat, BINS, clusters=fit, assignments=40, seed=1).xip
    assert xi.epistemic.shape == (40, 4)
    assert len(np.unique(xi.epistemic[:, 0])) == 40
    np.testing.assert_allclose(xi.sigma_epistemic, xi.epistemic.real.std(axis=0, ddof=1))
    # greedy labels are none of the draws; a sampled value is independent of them too
    sampled = xi_pm(cat, BINS, clusters=fit, assignment="sampled", assignments=40, seed=1).xip
    assert not np.isin(sampled.value, sampled.epistemic.real).any()


def test_epistemic_error_vanishes_with_sharp_memberships():
    """Labels stop moving where m falls to 1, and with them the result."""
    cat = field(9, 150)
    start = np.stack([cat.ra[:20], cat.dec[:20]], axis=1)
    sigma = []
    for m in (2.0, 1.2, 1.002):
        fit = SoftClustering(n_clusters=20, fuzziness=m).fit(cat, centers=start)
        xi = xi_pm(cat, "linear:0:60:3", clusters=fit, assignments=50, seed=1).xip
        sigma.append(np.mean(xi.sigma_epistemic))
    assert sigma[0] > sigma[1] > sigma[2]
    assert sigma[2] < 0.05 * sigma[0]
    hard = SoftClustering(n_clusters=150, seed=1).fit(cat)
    xi = xi_pm(cat, "linear:0:60:3", clusters=hard, assignments=10, seed=1).xip
    np.testing.assert_allclose(xi.sigma_epistemic, 0, atol=1e-16)


# ---- seeds and threads --------------------------------------------------------------------------


def test_same_seed_same_bits():
    cat, options = field(10, 120), {"clusters": 20, "assignments": 8, "resampling": "bootstrap:8"}
    a, b, c = (xi_pm(cat, BINS, **options, seed=s) for s in (5, 5, 6))
    assert a == b
    assert a != c
    for rows in ("epistemic", "aleatoric"):
        assert not np.array_equal(getattr(a.xip, rows), getattr(c.xip, rows))
    again = xi_pm(cat, BINS, **options)
    assert xi_pm(cat, BINS, **options, seed=again.seed)["xip"].epistemic.tobytes() == (
        again.xip.epistemic.tobytes()
    )
    rng = [xi_pm(cat, BINS, **options, seed=np.random.default_rng(3)) for _ in range(2)]
    assert rng[0] == rng[1]


def test_streams_do_not_meet():
    """One kind of resample does not move another, nor does its number."""
    cat = field(11, 100)
    fit = SoftClustering(n_clusters=15, seed=1).fit(cat)

    def run(**options):
        return xi_pm(cat, BINS, clusters=fit, seed=4, **options).xip

    both = run(assignments=6, resampling="bootstrap:6")
    np.testing.assert_array_equal(both.epistemic, run(assignments=6).epistemic)
    np.testing.assert_array_equal(both.aleatoric, run(resampling="bootstrap:6").aleatoric)
    np.testing.assert_array_equal(
        both.epistemic, run(assignments=6, resampling="jackknife:5").epistemic
    )
    np.testing.assert_array_equal(run(assignments=3).epistemic, both.epistemic[:3])
    np.testing.assert_array_equal(run(resampling="bootstrap:3").aleatoric, both.aleatoric[:3])
    np.testing.assert_array_equal(both.value, run().value)


def test_second_catalog_has_streams_of_its_own():
    """One catalog twice: its two roles draw different objects and assignments."""
    cat = field(12, 50)
    drawn = Bootstrap(3).resample(cat, cat, seed=1)
    assert not np.array_equal(*drawn.multiplicity)
    fit = SoftClustering(n_clusters=10, seed=1).fit(cat)
    # equal draws would give equal clusters, ten pairs at zero separation
    cross = xi_pm(
        cat, "edges:0,0.001", catalog2=cat, clusters=(fit, fit), assignments=5, seed=1
    ).xip
    assert np.isnan(cross.epistemic).sum() >= 3  # small clusters may agree by chance


CODE = """
import hashlib, numpy as np
from pysoftcorr import Catalog, xi_pm
rng = np.random.default_rng(1)
n = 1500
cat = Catalog(ra=rng.uniform(0, 1, n), dec=rng.uniform(0, 1, n), g1=rng.normal(0, .1, n),
              g2=rng.normal(0, .1, n), w=rng.uniform(.5, 1, n))
h = hashlib.sha256()
for xi in (xi_pm(cat, "log:0.5:60:12"),
           xi_pm(cat, "linear:0:60:5", clusters=60, assignments=9, resampling="bootstrap:9",
                 seed=2),
           xi_pm(cat, "linear:0:60:5", resampling="jackknife:7", seed=2)):
    for c in xi.values():
        for part in (c.value, c.imag, c.theta, c.logtheta, c.weight, c.epistemic, c.aleatoric):
            h.update(b"" if part is None else np.ascontiguousarray(part).tobytes())
print(h.hexdigest())
"""


def test_one_thread_and_two_give_the_same_bits(fresh):
    one, two = (fresh(CODE, PYSOFTCORR_THREADS=n).stdout for n in ("1", "2"))
    assert len(one.strip()) == 64
    assert one == two


# ---- bad input ----------------------------------------------------------------------------------


def test_bad_input():
    cat = field(13, 20)
    with pytest.raises(ValueError, match="n = 1: an error needs at least 2 resamples"):
        Bootstrap(1)
    with pytest.raises(TypeError, match=r"n = 2\.5: must be a whole number"):
        Bootstrap(2.5)
    with pytest.raises(ValueError, match=r"give either n .* or patches"):
        Jackknife()
    with pytest.raises(ValueError, match=r"give either n .* or patches"):
        Jackknife(3, patches=np.zeros(20, int))
    with pytest.raises(ValueError, match=r"labels of catalog 2 have shape \(19,\)"):
        Jackknife(patches=(np.arange(20), np.arange(19))).resample(cat, cat)
    with pytest.raises(TypeError, match="patches must be integers"):
        Jackknife(patches=np.linspace(0, 1, 20))
    with pytest.raises(ValueError, match="n = 21 patches: more than the 20 objects"):
        patches(cat, 21)
    with pytest.raises(ValueError, match="fraction = 0: must lie between 0 and 1"):
        LeaveOut(0)
    with pytest.raises(ValueError, match="leaves out 20 of 20 objects"):
        LeaveOut(0.99).resample(cat)


def test_a_resample_without_pairs_in_a_bin():
    """Two objects far off: most resamples lack one of them, and are left out of that bin."""
    ra = np.r_[np.linspace(0, 0.1, 30), 1.0]
    cat = Catalog(ra=ra, dec=0 * ra, g1=np.full(31, 0.1), g2=np.zeros(31))
    xi = xi_pm(cat, "edges:0,10,50,70", resampling="bootstrap:40", seed=1).xip
    lost = np.isnan(xi.aleatoric[:, 2].real)
    assert 5 < lost.sum() < 30  # (1 - 1/31)^31 = .36 of 40 on average
    assert np.isfinite(xi.sigma_aleatoric[[0, 2]]).all()
    assert np.isnan(xi.sigma_aleatoric[1])


def test_landy_szalay_errors_are_those_of_the_data():
    data, randoms = field(14, 100), field(15, 250)
    a = landy_szalay(data, randoms, BINS, resampling="bootstrap:10", seed=1).w
    times = Bootstrap(10).resample(data, seed=1).multiplicity[0]
    hand = [landy_szalay(replaced(data, w=data.w * m), randoms, BINS).w.value for m in times]
    np.testing.assert_allclose(a.aleatoric.real, hand, rtol=1e-10)


@pytest.mark.parametrize(
    ("text", "way"),
    [
        ("bootstrap", Bootstrap(100)),
        (" Bootstrap:7", Bootstrap(7)),
        ("jackknife:25", Jackknife(25)),
        ("Jackknife:25:match", Jackknife(25, cross_patch_weight="match")),
        ("bootstrap:50:25", Bootstrap(50, 25)),
        ("bootstrap:50:25:geom", Bootstrap(50, 25, "geom")),
        ("leave-out:0.1", LeaveOut(0.1, 100)),
        ("leave-out:0.25:40", LeaveOut(0.25, 40)),
        ("leave_out:0.25:40", LeaveOut(0.25, 40)),
        ("none", None),
        (None, None),
    ],
)
def test_texts_of_resampling(text, way):
    assert str(as_resampling(text)) == str(way)
    assert str(as_resampling(str(way).lower())) == str(way)


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        ("bootstrap:1", ValueError, r"'bootstrap:1': Bootstrap: n = 1: an error needs"),
        ("bootstrap:x", ValueError, "must be 'bootstrap:N', 'jackknife:N'"),
        ("bootstrap:4:1", ValueError, "Bootstrap: patches = 1: must be at least 2"),
        ("bootstrap:4:3:2", ValueError, "must be 'bootstrap:N', 'jackknife:N'"),
        ("jackknife:4:mix", ValueError, "must be 'bootstrap:N', 'jackknife:N'"),
        ("leave-out:0.1:9:match", ValueError, "must be 'bootstrap:N', 'jackknife:N'"),
        ("jackknife", ValueError, "must be 'bootstrap:N', 'jackknife:N'"),
        ("leave-out:1.5", ValueError, r"LeaveOut: fraction = 1\.5: must lie between 0 and 1"),
        ("leave-out:nan", ValueError, "must be finite"),
        ("bootstrap:2.5", ValueError, r"n = 2\.5: must be a whole number"),
        ("boots", ValueError, "or 'none'"),
        (100, TypeError, "resampling = 100: must be a Bootstrap"),
        (True, TypeError, "resampling = True: must be a Bootstrap"),
    ],
)
def test_no_such_resampling(given, kind, message):
    with pytest.raises(kind, match=message):
        as_resampling(given)
