"""Objects below a separation, clusters above: against every pair, each half against its own."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.flat_twins import plane, plane_stars, plane_twin
from helpers.sky_twins import field, pair_twin, random_rotation, replaced, rotated
from pysoftcorr import (
    Binning,
    Catalog,
    Clustering,
    CorrelationSet,
    SoftClustering,
    gamma_t,
    landy_szalay,
    rho_statistics,
    tau_statistics,
    xi_pm,
)
from pysoftcorr.core.farm import blocks

BINS = Binning.log(2, 60, 7)
SPLIT = 10.0
FIRST = 4  # of the bins of clusters: they begin at 2, 3.2, 5.3, 8.6, 14, ...


def fitted(cat: Catalog, c: int = 60, **options) -> Clustering:
    return SoftClustering(n_clusters=c, fuzziness=1.3, seed=3, **options).fit(cat)


def by_hand(cat: Catalog, labels) -> Catalog:
    """Clusters as a catalog, from weighted means."""
    used = np.unique(labels)
    rows = [labels == k for k in used]
    shear = np.array([np.average(cat.e[r], weights=cat.w[r]) for r in rows])
    load = {"g1": shear.real, "g2": shear.imag, "w": [cat.w[r].sum() for r in rows]}
    if cat.geometry == "flat":
        x, y = ([np.average(q[r], weights=cat.w[r]) for r in rows] for q in (cat.x, cat.y))
        return Catalog(x=x, y=y, xy_unit=cat.xy_unit, **load)
    mean = np.array([cat.w[r] @ cat.xyz[r] for r in rows])
    ra = np.degrees(np.arctan2(mean[:, 1], mean[:, 0])) % 360
    return Catalog(ra=ra, dec=np.degrees(np.arctan2(mean[:, 2], np.hypot(*mean.T[:2]))), **load)


SKIES = {
    "dec 2": (lambda: field(1, 260), pair_twin, BINS),
    "ra 0, dec 80": (lambda: field(2, 260, 0, 80), pair_twin, BINS),
    "arcmin": (lambda: plane(3, 260), lambda cat, b: plane_twin(cat, b.edges), BINS),
    "pixel": (
        lambda: plane(4, 260, unit="pixel", side=900.0),
        lambda cat, b: plane_twin(cat, b.edges),
        Binning.explicit(np.array([30.0, 60, 100, 140, 220, 400, 600, 900]), "pixel"),
    ),
}


@pytest.mark.parametrize("where", SKIES)
def test_every_pair_of_the_rule(where):
    make, twin, bins = SKIES[where]
    cat = make()
    fit = fitted(cat)
    split = bins.edges[FIRST] * 0.9  # within a bin: that bin is of objects
    xi = xi_pm(cat, bins, clusters=fit, split=split)
    objects, clusters = twin(cat, bins), twin(by_hand(cat, fit.assign()), bins)
    for name in ("xip", "xim"):
        for what, got in (("value", xi[name].value), ("npairs", xi[name].npairs),
                          ("weight", xi[name].weight)):  # fmt: skip
            key = name if what == "value" else what
            below, above = np.real(getattr(objects, key)), np.real(getattr(clusters, key))
            np.testing.assert_allclose(got[:FIRST], below[:FIRST], rtol=1e-10, atol=1e-13)
            np.testing.assert_allclose(got[FIRST:], above[FIRST:], rtol=1e-10, atol=1e-13)
    assert xi.settings["split"] == bins.edges[FIRST]


@pytest.mark.parametrize("split", [2.5, 10, 30])
def test_single_objects_as_clusters_are_all_pairs(split):
    cat = field(6, 120)
    options = {"resampling": "jackknife:5", "seed": 2}
    naive = xi_pm(cat, BINS, **options)
    one = xi_pm(cat, BINS, clusters=len(cat), split=split, assignments=3, **options)
    for name in naive:
        np.testing.assert_array_equal(one[name].npairs, naive[name].npairs)
        for what in ("value", "imag", "theta", "logtheta", "weight", "varshot", "aleatoric"):
            got, want = getattr(one[name], what), getattr(naive[name], what)
            np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(one[name].sigma_epistemic, 0, atol=1e-15)


def statistics():
    lenses, sources = field(11, 150), field(12, 200)
    stars = plane_stars(13, 180)
    flat = plane(14, 200)
    return {
        "xi_pm": (xi_pm, (sources,)),
        "xi_pm of two": (xi_pm, (sources, lenses)),
        "gamma_t": (gamma_t, (lenses, sources)),
        "landy_szalay": (landy_szalay, (lenses, sources)),
        "rho_statistics": (rho_statistics, (stars,)),
        "tau_statistics": (tau_statistics, (flat, stars)),
    }


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("resampling", ["jackknife:5", "jackknife:5:match", "bootstrap:4"])
@pytest.mark.parametrize("which", statistics())
def test_each_half_of_every_statistic(which, resampling, tmp_path):
    function, catalogs = statistics()[which]
    names = ("catalog", "catalog2") if which == "xi_pm of two" else ()
    given = dict(zip(names, catalogs, strict=False))
    run = (lambda b, **more: function(bins=b, **given, **more)) if names else (
        lambda b, **more: function(*catalogs, b, **more)
    )  # fmt: skip
    fits = tuple(fitted(c, 40) for c in catalogs)
    options = {"resampling": resampling, "seed": 5}
    both = run(BINS, clusters=fits, split=SPLIT, assignments=4, **options)
    near = run(Binning.explicit(BINS.edges[: FIRST + 1]), **options)
    far = run(Binning.explicit(BINS.edges[FIRST:]), clusters=fits, assignments=4, **options)
    for name, item in both.items():
        for what in ("value", "theta", "npairs", "weight", "varshot", "aleatoric", "epistemic"):
            got = getattr(item, what)
            np.testing.assert_array_equal(got[..., FIRST:], getattr(far[name], what))
            if what == "epistemic":
                still = np.broadcast_to(near[name].value, (4, FIRST))
                np.testing.assert_array_equal(got[:, :FIRST].real, still)
            else:
                np.testing.assert_array_equal(got[..., :FIRST], getattr(near[name], what))
        assert item.cov.shape == (7, 7)
    both.write(tmp_path / "both.h5")
    assert CorrelationSet.read(tmp_path / "both.h5") == both
    assert f"note: bins below {BINS.edges[FIRST]:.4g} arcmin are of all pairs" in both.summary()


def test_turned_and_in_another_order():
    cat = field(8, 240)
    fit = fitted(cat)
    ours = xi_pm(cat, BINS, clusters=fit, split=SPLIT)
    turn = random_rotation(4)
    there = rotated(cat, turn)
    v = fit.centers @ turn.T
    centers = np.stack([np.degrees(np.arctan2(v[:, 1], v[:, 0])), np.degrees(np.arcsin(v[:, 2]))])
    same = xi_pm(there, BINS, clusters=fit.options.fit(there, centers=centers.T), split=SPLIT)
    mixed = np.random.default_rng(1).permutation(len(cat))
    again = fit.options.fit(cat[mixed], centers=np.stack([fit.ra, fit.dec], axis=1))
    other = xi_pm(cat[mixed], BINS, clusters=again, split=SPLIT)
    # Shears of a cluster are averaged in the frames of its members, which turn within it where the
    # pole is nearer: below the split nothing is.
    for name in ours:
        for item, tol in ((same[name], 2e-3), (other[name], 1e-8)):
            value = ours[name].value
            np.testing.assert_array_equal(item.npairs, ours[name].npairs)
            np.testing.assert_allclose(item.value, value, rtol=tol, atol=1e-12)
            np.testing.assert_allclose(item.value[:FIRST], value[:FIRST], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("neighbors", ["all", 6])
def test_draws_some_at_a_time(neighbors, monkeypatch):
    cat = field(9, 150)
    fit = fitted(cat, 30, neighbors=neighbors)
    options = {"clusters": fit, "split": SPLIT, "assignments": 7, "seed": 1}
    whole = xi_pm(cat, BINS, **options)
    monkeypatch.setattr(blocks, "_MOST_COST", 3.0 * len(cat))
    assert xi_pm(cat, BINS, **options) == whole
    parts = [fit.drawn_by(uniform) for uniform in fit.uniforms([3, 3, 1], seed=4)]
    np.testing.assert_array_equal(np.vstack(parts), fit.assign("sampled", n=7, seed=4))


def test_warns_of_wide_and_of_broad_clusters():
    cat = field(10, 300)
    with pytest.warns(UserWarning, match=r"lie further than half of it .* take a split of 3\d arc"):
        xi_pm(cat, BINS, clusters=fitted(cat, 6), split=SPLIT)
    fit = SoftClustering(n_clusters=150, seed=1).fit(cat)
    with pytest.warns(UserWarning, match=r"memberships are broad.*fuzziness \(it is 2\)"):
        xi_pm(cat, BINS, clusters=fit, split=SPLIT, assignments=2)
    xi_pm(cat, BINS, clusters=fit, split=SPLIT)  # greedy: nothing to say


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"split": 10}, ValueError, "split = 10: .*ask for clusters too"),
        ({"split": 10, "clusters": 0}, ValueError, "split = 10: .*ask for clusters too"),
        ({"split": 2, "clusters": 5}, ValueError, "split = 2: must be above 2 arcmin"),
        ({"split": 50, "clusters": 5}, ValueError, "split = 50: must be at most 36.9"),
        ({"split": -1, "clusters": 5}, ValueError, "split = -1: must be finite and above 0"),
        ({"split": np.nan, "clusters": 5}, ValueError, "split = nan: must be finite"),
        ({"split": "far", "clusters": 5}, TypeError, "split = 'far': must be a number"),
        ({"split": 10, "clusters": 1}, ValueError, "clusters = 1: .*ask for 2"),
        ({"split": 10, "clusters": 5, "method": "treecorr"}, ValueError, "'treecorr': takes all"),
        ({"split": 10, "clusters": 5, "resampling": "bootstrap:4:5"}, ValueError, "bootstrap:4:5"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:.*lie further:UserWarning")
def test_what_is_refused(options, error, said):
    with pytest.raises(error, match=said):
        xi_pm(field(1, 60), BINS, **options)


def test_edges_count_as_the_split_but_for_rounding():
    cat = field(1, 80)
    edge = float(f"{BINS.edges[FIRST]:.12g}")
    with pytest.warns(UserWarning, match="lie further"):
        xi = xi_pm(cat, BINS, clusters=30, split=edge, seed=1)
    assert xi.settings["split"] == BINS.edges[FIRST]


CODE = """
import hashlib
import numpy as np
from pysoftcorr import Catalog, SoftClustering, TwoScaleCorrelation, xi_pm
rng = np.random.default_rng(1)
ra, dec, g1, g2 = *rng.random((2, 2500)), *rng.normal(0, 0.1, (2, 2500))
cat = Catalog(ra=ra, dec=dec, g1=g1, g2=g2)
fit = SoftClustering(n_clusters=1100, fuzziness=1.3, neighbors=8, seed=1, tol=1e-3).fit(cat)
xi = xi_pm(cat, "log:1:60:6", clusters=fit, split=5, assignments=3, resampling="jackknife:4",
           seed=1)
soft = TwoScaleCorrelation("log:1:60:6", split=5, clusters=fit, approach="soft")
parts = [xi.xip.value, xi.xim.epistemic, xi.xip.aleatoric, *soft.vjp(cat, [1.0] * 6).values()]
print(hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest())
"""


@pytest.mark.slow
def test_threads_change_no_bit(fresh):
    one, two = (fresh(CODE, PYSOFTCORR_THREADS=n).stdout.strip() for n in ("1", "2"))
    assert one == two
    assert len(one) == 64


def test_weight_of_zero_and_a_copy_change_nothing():
    cat = field(5, 160)
    fit = fitted(cat, 40)
    more = Catalog(**{
        name: np.r_[getattr(cat, name), value]
        for name, value in (("ra", 150.1), ("dec", 2.1), ("g1", 0.5), ("g2", 0.5), ("w", 0.0))
    })  # fmt: skip
    again = fit.options.fit(more, centers=np.stack([fit.ra, fit.dec], axis=1))
    labels = again.assign()[:-1]
    assert (labels == fit.assign()).mean() > 0.9
    one, two = xi_pm(cat, BINS, clusters=fit, split=SPLIT), xi_pm(more, BINS, clusters=again,
                                                                  split=SPLIT)  # fmt: skip
    np.testing.assert_allclose(two.xip.value[:FIRST], one.xip.value[:FIRST], rtol=1e-12)
    assert replaced(cat, w=2 * cat.w) is not cat
    twice = xi_pm(replaced(cat, w=2 * cat.w), BINS, clusters=fit, split=SPLIT)
    np.testing.assert_allclose(twice.xip.value, one.xip.value, rtol=1e-12)
