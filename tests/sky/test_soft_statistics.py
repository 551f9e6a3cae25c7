"""Rho statistics, tangential shear and w(theta) in soft bins, and their derivatives."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from helpers import soft_statistics_twin as twin
from pysoftcorr import (
    Catalog,
    SoftCorrelation,
    SoftGammaT,
    SoftLandySzalay,
    SoftRhoStatistics,
    StarCatalog,
    gamma_t,
    landy_szalay,
    rho_statistics,
)

BINS = "log:2:60:4"


def places(rng, n, flat=False):
    if flat:
        return {"x": rng.uniform(-40, 40, n), "y": rng.uniform(0, 80, n)}
    return {"ra": 359.4 + 1.2 * rng.random(n), "dec": 40 + 1.2 * rng.random(n)}


def shears(rng, n):
    return {"g1": rng.normal(0.02, 0.2, n), "g2": rng.normal(0, 0.2, n)}


def columns(kind, n=70, m=90, flat=False, seed=1):
    """Columns of each catalog of a statistic."""
    rng = np.random.default_rng(seed)
    one = {**places(rng, n, flat), "w": rng.uniform(0.2, 2, n)}
    if kind is SoftRhoStatistics:
        model = shears(rng, n)
        one |= {**shears(rng, n), "g1_model": model["g1"], "g2_model": model["g2"]}
        return ({**one, "T": rng.uniform(1, 3, n), "T_model": rng.uniform(1, 3, n)},)
    two = {**places(rng, m, flat), "w": rng.uniform(0.2, 2, m)}
    return one, {**two, **shears(rng, m)} if kind is SoftGammaT else two


def made(kind, columns):
    return tuple((StarCatalog if kind is SoftRhoStatistics else Catalog)(**c) for c in columns)


KINDS = [
    (SoftRhoStatistics, {}),
    (SoftRhoStatistics, {"reference": "model", "weighting": "gaussian"}),
    (SoftRhoStatistics, {"reference": "gatti", "coincident": "drop"}),
    (SoftGammaT, {}),
    (SoftGammaT, {"weighting": "gaussian"}),
    (SoftLandySzalay, {"randoms": "free"}),
    (SoftLandySzalay, {"randoms": "free", "weighting": "gaussian"}),
]
ids = [f"{k.__name__}{''.join('-' + str(v) for v in o.values())}" for k, o in KINDS]
every = pytest.mark.parametrize(("kind", "options"), KINDS, ids=ids)


def twin_of(kind, estimator, catalogs):
    options = estimator._bins, estimator.weighting
    if kind is SoftRhoStatistics:
        (stars,) = catalogs
        return twin.rho(stars, stars.fields(reference=estimator.reference), *options)
    return (twin.gamma_t if kind is SoftGammaT else twin.landy_szalay)(*catalogs, *options)


@every
def test_value_is_that_of_the_definition(kind, options):
    estimator, catalogs = kind(BINS, **options), made(kind, columns(kind))
    expected = twin_of(kind, estimator, catalogs)
    np.testing.assert_allclose(estimator.value(*catalogs), expected, rtol=1e-10, atol=1e-13)


@every
@pytest.mark.parametrize("flat", [False, True])
def test_gradients_are_those_of_finite_differences(kind, options, flat):
    rng = np.random.default_rng(3)
    estimator, given = kind(BINS, **options), columns(kind, flat=flat)
    catalogs, names = made(kind, given), estimator.catalogs
    cotangent = rng.normal(size=estimator.shape)
    scale = {"ra": 0.01, "dec": 0.01}
    along = tuple(
        {k: scale.get(k, 0.1) * rng.normal(size=len(v)) for k, v in c.items()} for c in given
    )
    tangents = along[0] if len(along) == 1 else dict(zip(names, along, strict=True))
    back = estimator.vjp(*catalogs, cotangent=cotangent)
    parts = [back] if len(along) == 1 else [back[n] for n in names]
    total = sum(part[k] @ t[k] for part, t in zip(parts, along, strict=True) for k in t)
    forward = estimator.jvp(*catalogs, tangents=tangents)
    assert forward.shape == estimator.shape

    def moved(h):
        new = tuple(
            {k: v + h * t[k] for k, v in c.items()} for c, t in zip(given, along, strict=True)
        )
        return float((cotangent * estimator.value(*made(kind, new))).sum())

    h = 2e-4
    steps = [(moved(k * h) - moved(-k * h)) / (2 * k * h) for k in (1, 2)]
    assert total == pytest.approx((cotangent * forward).sum(), rel=1e-9)
    assert total == pytest.approx((4 * steps[0] - steps[1]) / 3, rel=1e-6)

    def turned(h):
        new = tuple(
            {k: v + h * t[k] for k, v in c.items()} for c, t in zip(given, along, strict=True)
        )
        found = estimator.vjp(*made(kind, new), cotangent=cotangent)
        return found if len(along) == 1 else found[names[1]]

    second = estimator.hvp(*catalogs, cotangent=cotangent, tangents=tangents)
    second = second if len(along) == 1 else second[names[1]]
    up, down = turned(1e-4), turned(-1e-4)
    for name, row in second.items():
        difference = (up[name] - down[name]) / 2e-4
        assert np.abs(row - difference).max() < 1e-4 * np.abs(row).max()


@every
def test_jacobian_has_the_gradient_of_each_value(kind, options):
    estimator, catalogs = kind(BINS, **options), made(kind, columns(kind, 25, 20))
    jacobian = estimator.jacobian(*catalogs)
    cotangent = np.random.default_rng(1).normal(size=estimator.shape)
    back = estimator.vjp(*catalogs, cotangent=cotangent)
    if len(catalogs) == 2:
        jacobian, back = jacobian[estimator.catalogs[0]], back[estimator.catalogs[0]]
    for name, rows in jacobian.items():
        assert rows.shape == (*estimator.shape, 25)
        axes = tuple(range(cotangent.ndim))
        total = np.tensordot(cotangent, rows, (axes, axes))
        np.testing.assert_allclose(total, back[name], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", [SoftRhoStatistics, SoftGammaT, SoftLandySzalay])
def test_the_tree_gives_what_pairs_by_themselves_give(kind):
    """Many objects go through the tree; pairs in bins too sharp for its table are by themselves."""
    catalogs = made(kind, columns(kind, 1100, 1100))
    soft = kind("linear:5:45:4", sharpness=3.0)
    expected = twin_of(kind, soft, catalogs)
    np.testing.assert_allclose(soft.value(*catalogs), expected, rtol=1e-9, atol=1e-12)
    hard = kind("linear:5:45:4", sharpness=1e7)
    other = {SoftRhoStatistics: rho_statistics, SoftGammaT: gamma_t, SoftLandySzalay: landy_szalay}
    exact = other[kind](*catalogs, "linear:5:45:4")
    for row, name in zip(np.atleast_2d(hard.value(*catalogs)), hard.statistics, strict=True):
        np.testing.assert_allclose(row, exact[name].value.real, rtol=1e-9, atol=1e-13)


def test_rho1_is_xi_of_the_residuals():
    (stars,) = made(SoftRhoStatistics, columns(SoftRhoStatistics))
    residuals = Catalog(ra=stars.ra, dec=stars.dec, w=stars.w, g1=stars.de.real, g2=stars.de.imag)
    xi = SoftCorrelation(BINS, approach="naive").value(residuals)
    np.testing.assert_allclose(SoftRhoStatistics(BINS).value(stars)[0], xi, rtol=1e-12)


@pytest.mark.parametrize("kind", [SoftRhoStatistics, SoftGammaT, SoftLandySzalay])
def test_gradients_are_finite_for_objects_at_one_place(kind):
    given = columns(kind)
    for c in given:
        c["ra"][:4], c["dec"][:4] = 359.9, 40.3
    bins = "linear:0:40:4"
    options = {"randoms": "free"} if kind is SoftLandySzalay else {}
    estimator, catalogs = kind(bins, **options), made(kind, given)
    cotangent = np.ones(estimator.shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        back = estimator.vjp(*catalogs, cotangent=cotangent)
        value = estimator.value(*catalogs)
    assert np.isfinite(value).all()
    for part in back.values():
        for row in part.values() if isinstance(part, dict) else [part]:
            assert np.isfinite(row).all()
    if kind is SoftGammaT:
        with pytest.warns(UserWarning, match="16 pairs of objects at one place"):
            estimator.value(*catalogs)
        with pytest.warns(UserWarning, match=r"16 pairs .*, and gamma_t leaves them out"):
            estimator.value_and_weight_jacobian(*catalogs)


def test_held_randoms_have_no_gradient_and_are_counted_once():
    given = columns(SoftLandySzalay)
    data, randoms = made(SoftLandySzalay, given)
    held, free = SoftLandySzalay(BINS), SoftLandySzalay(BINS, randoms="free")
    cotangent = np.arange(1.0, 5)
    for _ in range(2):
        np.testing.assert_allclose(held.value(data, randoms), free.value(data, randoms), rtol=1e-12)
        back = held.vjp(data, randoms, cotangent=cotangent)
        exact = free.vjp(data, randoms, cotangent=cotangent)
        assert not any(row.any() for row in back["randoms"].values())
        for name, row in back["data"].items():
            np.testing.assert_allclose(row, exact["data"][name], rtol=1e-10, atol=1e-14)
    others = made(SoftLandySzalay, columns(SoftLandySzalay, seed=2))[1]
    np.testing.assert_allclose(held.value(data, others), free.value(data, others), rtol=1e-12)


def test_a_bin_without_pairs_is_not_a_number_and_has_no_gradient():
    (stars,) = made(SoftRhoStatistics, columns(SoftRhoStatistics))
    estimator = SoftRhoStatistics([10, 30, 5000, 5001])
    with pytest.warns(UserWarning, match="no pairs in bin 2"):
        value = estimator.value(stars)
    assert np.isnan(value[:, 2]).all()
    assert np.isfinite(value[:, :2]).all()
    cotangent = np.zeros((5, 3))
    cotangent[:, 2] = 1.0
    with pytest.warns(UserWarning, match="the gradient 0"):
        back = estimator.vjp(stars, cotangent=cotangent)
    assert not any(row.any() for row in back.values())


def test_messages_name_what_is_wrong():
    (stars,) = made(SoftRhoStatistics, columns(SoftRhoStatistics))
    lenses, sources = made(SoftGammaT, columns(SoftGammaT))
    with pytest.raises(TypeError, match="SoftRhoStatistics: stars must be a StarCatalog"):
        SoftRhoStatistics(BINS).value(lenses)
    with pytest.raises(TypeError, match="takes lenses and sources; 1 catalogs"):
        SoftGammaT(BINS).value(lenses)
    with pytest.raises(ValueError, match=r"sources: .* has no ellipticities"):
        SoftGammaT(BINS).value(lenses, lenses)
    with pytest.raises(ValueError, match=r"cotangent has shape \(4,\): must be \(5, 4\)"):
        SoftRhoStatistics(BINS).vjp(stars, cotangent=np.ones(4))
    with pytest.raises(ValueError, match="tangents has 'g1': must be among ra, dec, w"):
        SoftGammaT(BINS).jvp(lenses, sources, tangents={"lenses": {"g1": np.ones(70)}})
    with pytest.raises(ValueError, match="tangents has 'data': must be among lenses, sources"):
        SoftGammaT(BINS).jvp(lenses, sources, tangents={"data": {}})
    flat = Catalog(x=[0.0, 1.0], y=[0.0, 1.0])
    with pytest.raises(ValueError, match="both must be of one kind"):
        SoftLandySzalay(BINS).value(lenses, flat)
    negative = Catalog(ra=[0.0, 1.0], dec=[0.0, 1.0], w=[1.0, -1.0])
    with pytest.raises(ValueError, match="randoms: w must not be negative"):
        SoftLandySzalay(BINS).value(lenses, negative)


@every
@pytest.mark.parametrize("n", [40, 1100])
def test_derivatives_by_weights_come_with_the_value(kind, options, n):
    given = columns(kind, n, n)
    for c in given:
        c["ra"][:2], c["dec"][:2] = c["ra"][2], c["dec"][2]
    estimator, catalogs = kind("log:2:60:3", **options), made(kind, given)
    cotangent = np.random.default_rng(4).normal(size=estimator.shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        value, by = estimator.value_and_weight_jacobian(*catalogs)
        np.testing.assert_allclose(value, estimator.value(*catalogs), rtol=1e-10, atol=1e-14)
        back = estimator.vjp(*catalogs, cotangent=cotangent)
    axes = tuple(range(cotangent.ndim))
    for name in estimator.catalogs:
        rows, expected = (by, back["w"]) if len(catalogs) == 1 else (by[name], back[name]["w"])
        assert rows.shape == (*estimator.shape, n)
        total = np.tensordot(cotangent, rows, (axes, axes))
        assert np.abs(total - expected).max() < 1e-9 * np.abs(expected).max()
