"""Derivatives on two scales: finite differences, the dense estimator, invariances, refusals."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.flat_twins import plane
from helpers.sky_twins import field
from pysoftcorr import Binning, Catalog, SoftClustering, SoftCorrelation, TwoScaleCorrelation, xi_pm

BINS = Binning.linear(2, 62, 6)
SPLIT = 22.0  # two bins of objects, four of clusters
COTANGENT = np.array([1.0, -2.0, 0.5, 1.5, -1.0, 0.7])


def fitted(cat, c=50, **options):
    more = {"fuzziness": 1.4, "tol": 1e-11, "neighbors": 8} | options
    return SoftClustering(n_clusters=c, seed=1, **more).fit(cat)


def columns(cat):
    names = ("x", "y") if cat.geometry == "flat" else ("ra", "dec")
    return {name: np.array(getattr(cat, name)) for name in (*names, "g1", "g2", "w")}


def changed(cat, along, step):
    parts = columns(cat)
    for name, change in along.items():
        parts[name] = parts[name] + step * change
    unit = {"xy_unit": cat.xy_unit} if cat.geometry == "flat" else {}
    return Catalog(**parts, **unit)


CASES = {
    "sky": (lambda: field(1, 250), {}, BINS, 2e-6, "xip"),
    "sky, weighted, all": (
        lambda: field(2, 200, 0, 70), {"use_weights": True, "neighbors": "all", "fuzziness": 2},
        BINS, 2e-6, "xim",
    ),
    "arcmin": (lambda: plane(3, 250), {"use_weights": True}, BINS, 2e-5, "xim"),
    "degrees": (
        lambda: plane(5, 200, unit="deg", side=1.0), {"neighbors": "all", "fuzziness": 2},
        BINS, 4e-7, "xip",
    ),
    "pixel": (
        lambda: plane(4, 200, unit="pixel", side=60.0), {"neighbors": "all"},
        Binning.linear(2, 62, 6, "pixel"), 2e-5, "xim",
    ),
}  # fmt: skip


@pytest.mark.parametrize("approach", ["hard", "soft"])
@pytest.mark.parametrize("case", CASES)
def test_finite_differences(case, approach):
    """Along a change of all places, and one of all shears and weights."""
    make, options, bins, step, statistic = CASES[case]
    cat = make()
    xi = TwoScaleCorrelation(
        bins, split=SPLIT, clusters=fitted(cat, **options), approach=approach, statistic=statistic
    )
    value, slope = xi.value_and_vjp(cat, COTANGENT)
    np.testing.assert_array_equal(value, xi.value(cat))
    rng = np.random.default_rng(1)
    names = list(slope)
    for some, h in ((names[:2], step), (names[2:], 1e-4)):
        along = {name: rng.normal(size=len(cat)) for name in some}
        up, down = (COTANGENT @ xi.value(changed(cat, along, s)) for s in (h, -h))
        want = sum(along[name] @ slope[name] for name in some)
        size = np.sqrt(sum((slope[name] ** 2).sum() for name in some))
        assert abs((up - down) / (2 * h) - want) < 1e-6 * size, some


@pytest.mark.parametrize("through", ["all", 10])
def test_shares_are_those_of_the_dense_estimator(through):
    """With all centers kept, bins of clusters are those of SoftCorrelation, implicit."""
    cat = field(6, 200)
    fit = fitted(cat, 40, neighbors=through, fuzziness=1.2)
    two = TwoScaleCorrelation(BINS, split=SPLIT, clusters=fit, approach="soft")
    dense = SoftCorrelation(Binning.explicit(BINS.edges[2:]), clusters=fit, sharpness=2.0)
    near = SoftCorrelation(Binning.explicit(BINS.edges[:3]), approach="naive", sharpness=2.0)
    # what the ten nearest of 40 centers leave out with d^-10
    tol = 1e-7 if through == "all" else 1e-3
    value = two.value(cat)
    np.testing.assert_allclose(value[:2], near.value(cat), rtol=1e-13)
    np.testing.assert_allclose(value[2:], dense.value(cat), rtol=tol, atol=1e-7)
    only = np.r_[0.0, 0.0, COTANGENT[2:]]
    ours, theirs = two.vjp(cat, only), dense.vjp(cat, COTANGENT[2:])
    for name, part in theirs.items():
        assert np.abs(ours[name] - part).max() < 10 * tol * np.abs(part).max(), name


def test_sharp_bins_are_hard_ones():
    cat = field(7, 400)
    fit = fitted(cat, 80)
    hard = xi_pm(cat, BINS, clusters=fit, split=SPLIT)
    for name in ("xip", "xim"):
        soft = TwoScaleCorrelation(
            BINS, split=SPLIT, clusters=fit, statistic=name, sharpness=1e7
        ).value(cat)
        np.testing.assert_allclose(soft, hard[name].value, rtol=1e-9, atol=1e-14)


def test_single_objects_as_clusters_are_all_pairs():
    cat = field(8, 150)
    fit = SoftClustering(n_clusters=150, seed=1).fit(cat)
    all_pairs = SoftCorrelation(BINS, approach="naive")
    two = TwoScaleCorrelation(BINS, split=SPLIT, clusters=fit)
    np.testing.assert_allclose(two.value(cat), all_pairs.value(cat), rtol=1e-11)
    ours, theirs = two.vjp(cat, COTANGENT), all_pairs.vjp(cat, COTANGENT)
    for name, part in theirs.items():
        np.testing.assert_allclose(ours[name], part, rtol=1e-8, atol=1e-11 * np.abs(part).max())


@pytest.mark.parametrize("approach", ["hard", "soft"])
def test_what_nothing_depends_on(approach):
    """A shift of the field, a turn about the pole, and the unit of the weights."""
    sky, flat = field(9, 200), plane(10, 200)
    options = {"split": SPLIT, "approach": approach}
    on_sky = TwoScaleCorrelation(BINS, clusters=fitted(sky), **options).vjp(sky, COTANGENT)
    in_plane = TwoScaleCorrelation(BINS, clusters=fitted(flat), **options).vjp(flat, COTANGENT)
    for slope, names in ((on_sky, ("ra",)), (in_plane, ("x", "y"))):
        for name in names:
            assert abs(slope[name].sum()) < 1e-7 * np.abs(slope[name]).sum()
    for cat, slope in ((sky, on_sky), (flat, in_plane)):
        assert abs(cat.w @ slope["w"]) < 1e-9 * np.abs(cat.w * slope["w"]).sum()
        assert all(np.isfinite(part).all() for part in slope.values())


def test_draws_and_the_gradient_of_one():
    cat = field(11, 200)
    fit = fitted(cat, fuzziness=1.6, neighbors="all")
    xi = TwoScaleCorrelation(BINS, split=SPLIT, clusters=fit)
    drawn = xi.draws(cat, 5, seed=2)
    assert (drawn[:, :2] == xi.value(cat)[:2]).all()
    assert (drawn[:, 2:].std(axis=0) > 0).all()
    labels = fit.assign("sampled", n=5, seed=2)
    held = TwoScaleCorrelation(BINS, split=SPLIT, clusters=fit, labels=labels[3])
    np.testing.assert_array_equal(held.value(cat), drawn[3])
    slope = held.vjp(cat, COTANGENT)["dec"]
    up, down = (
        COTANGENT @ held.value(changed(cat, {"dec": np.arange(200) == 5}, h)) for h in (1e-5, -1e-5)
    )
    assert abs((up - down) / 2e-5 - slope[5]) < 1e-6 * np.abs(slope).max()


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("approach", ["hard", "soft"])
def test_objects_at_one_place_on_centers_and_without_weight(approach):
    ra, dec = np.array(field(12, 120).ra), np.array(field(12, 120).dec)
    ra[:5], dec[:5] = ra[0], dec[0]
    w = np.ones(120)
    w[7] = 0
    cat = Catalog(ra=ra, dec=dec, g1=np.full(120, 0.05), g2=np.zeros(120), w=w)
    fit = SoftClustering(n_clusters=116, fuzziness=1.5, seed=1, max_iter=400).fit(cat)
    xi = TwoScaleCorrelation(BINS, split=SPLIT, clusters=fit, approach=approach)
    value, slope = xi.value_and_vjp(cat, COTANGENT)
    np.testing.assert_allclose(value, 0.0025, rtol=0.01)
    assert all(np.isfinite(part).all() for part in slope.values())


def test_pinned_clusters():
    cat = field(13, 150)
    xi = TwoScaleCorrelation(BINS, split=SPLIT, clusters=40, seed=3)
    pinned = xi.pin(cat)
    np.testing.assert_array_equal(pinned.value(cat), xi.value(cat))
    np.testing.assert_allclose(
        pinned.value(changed(cat, {"ra": np.arange(150) == 3}, 1e-9)),
        xi.value(cat),
        rtol=1e-5,
        atol=1e-9,
    )
    assert "of objects below 22 arcmin, of 40 clusters above" in repr(xi)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"split": 1}, ValueError, "TwoScaleCorrelation: split = 1: must be above 2"),
        ({"split": 60}, ValueError, "split = 60: must be at most 52"),
        ({"clusters": 2.5}, TypeError, "clusters = 2.5: must be an integer"),
        ({"clusters": SoftClustering(n_clusters=3, metric="radec")}, ValueError, "the chord"),
        ({"approach": "gumbel"}, ValueError, "approach = 'gumbel': must be one of hard, soft"),
        ({"labels": [0, 1], "approach": "soft"}, ValueError, "labels: are those of a hard"),
        ({"labels": [0.5, 1]}, (TypeError, ValueError), "labels"),
        ({"labels": [0, 1]}, ValueError, "labels: 2 do not belong to a catalog of 60"),
        ({"labels": [0] * 59 + [9]}, ValueError, "labels: run from 0 to 9: must be 0 to 8"),
        ({"sharpness": [1.0]}, ValueError, "sharpness has shape"),
        ({"statistic": "rho1"}, ValueError, "statistic = 'rho1'"),
    ],
)  # fmt: skip
def test_what_is_refused(options, error, said):
    cat = field(14, 60)
    with pytest.raises(error, match=said):
        TwoScaleCorrelation(BINS, **{"split": SPLIT, "clusters": 9, "seed": 1} | options).value(cat)


def test_catalogs_and_cotangents_that_do_not_fit():
    cat = field(15, 60)
    xi = TwoScaleCorrelation(BINS, split=SPLIT, clusters=fitted(cat, 9))
    with pytest.raises(ValueError, match=r"Clustering of 60 objects does not belong to .* of 59"):
        xi.value(cat[:59])
    for cotangent in ([1.0], [np.nan] * 6):
        with pytest.raises(ValueError, match=r"cotangent has shape .*: must be \(6,\), finite"):
            xi.vjp(cat, cotangent)
    with pytest.raises(ValueError, match="no ellipticities"):
        xi.value(Catalog(ra=cat.ra, dec=cat.dec))
    soft = TwoScaleCorrelation(BINS, split=SPLIT, clusters=fitted(cat, 9), approach="soft")
    with pytest.raises(ValueError, match="geometry 'sky' does not belong"):
        soft.value(plane(1, 60))
