"""Soft bins of flat catalogs: values, gradients against finite differences, units, torch."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from helpers.flat_twins import plane
from pysoftcorr import Catalog, SoftClustering, SoftCorrelation, xi_pm
from pysoftcorr.sky.binning import Binning

BINS = "linear:0:60:3"
FIELDS = ("x", "y", "g1", "g2", "w")


def field(n=50, seed=1, *, unit="arcmin", side=60.0, offset=0.0):
    return plane(seed, n, unit=unit, side=side, offset=offset)


def naive_twin(cat, bins, statistic, weighting, sharpness):
    """xi of all pairs in soft bins, in plain NumPy."""
    i, j = np.triu_indices(len(cat), 1)
    step = (cat.x[j] - cat.x[i]) + 1j * (cat.y[j] - cat.y[i])
    theta = np.abs(step)
    product = cat.e[i] * cat.e[j].conj()
    if statistic == "xim":
        product = cat.e[i] * cat.e[j] * (step.conj() / theta) ** 4
    out = []
    for lo, hi in zip(bins.edges[:-1], bins.edges[1:], strict=True):
        if weighting == "sigmoid":
            weight = 1 / (1 + np.exp(-sharpness * (theta - lo)))
            weight = weight / (1 + np.exp(sharpness * (theta - hi)))
        else:
            weight = np.exp(-sharpness * (theta - (lo + hi) / 2) ** 2)
        weight = weight * cat.w[i] * cat.w[j]
        out.append((weight * product.real).sum() / weight.sum())
    return np.array(out)


@pytest.mark.parametrize("statistic", ["xip", "xim"])
@pytest.mark.parametrize("weighting", ["sigmoid", "gaussian"])
@pytest.mark.parametrize("unit", ["arcmin", "pixel"])
def test_values_of_all_pairs(unit, weighting, statistic):
    side = 60.0 if unit == "arcmin" else 2000.0
    cat = field(60, unit=unit, side=side)
    bins = Binning.linear(0, side, 3, unit)
    sharpness = 30 / side if weighting == "sigmoid" else 60 / side**2
    sc = SoftCorrelation(
        bins, approach="naive", weighting=weighting, statistic=statistic, sharpness=sharpness
    )
    want = naive_twin(cat, bins, statistic, weighting, sharpness)
    np.testing.assert_allclose(sc.value(cat), want, rtol=1e-11, atol=1e-15)


def test_sharp_bins_are_hard_bins():
    cat = field(80)
    for statistic in ("xip", "xim"):
        soft = SoftCorrelation(BINS, approach="naive", sharpness=1e5, statistic=statistic)
        np.testing.assert_allclose(soft.value(cat), xi_pm(cat, BINS)[statistic].value, atol=1e-12)


WAYS = [
    ("naive", "implicit"), ("soft", "implicit"), ("soft", "unrolled"), ("hard", "implicit"),
    ("gumbel", "implicit"),
]  # fmt: skip


@pytest.mark.parametrize("statistic", ["xip", "xim"])
@pytest.mark.parametrize(("approach", "through"), WAYS)
def test_gradients_against_finite_differences(approach, through, statistic):
    cat = field(40, 2)
    sc = SoftCorrelation(
        BINS, approach=approach, through=through, statistic=statistic, clusters=6, seed=1,
        temperature=0.5, use_weights=True,
    )  # fmt: skip
    # From a start that is at the fixed point already there is nothing to unroll.
    pinned = sc.pin(cat)
    if through == "implicit":
        sc = pinned
    value, rows = sc.value_and_jacobian(cat)
    assert tuple(rows) == FIELDS
    np.testing.assert_allclose(value, sc.value(cat), rtol=1e-10)
    steps = {"x": 1e-4, "y": 1e-4, "g1": 1e-5, "g2": 1e-5, "w": 1e-5}
    for name, h in steps.items():
        for i in (0, 11, 23):
            change = h * (np.arange(40) == i)
            high, low = (
                pinned.value(cat.replace(**{name: getattr(cat, name) + s * change}))
                for s in (1, -1)
            )
            found = (high - low) / (2 * h)
            scale = np.abs(rows[name]).max()
            np.testing.assert_allclose(rows[name][:, i], found, rtol=2e-5, atol=2e-6 * scale)
    rng = np.random.default_rng(5)
    tangent = rng.normal(size=(5, 40))
    along = sc.jvp(cat, dict(zip(FIELDS, tangent, strict=True)))
    want = sum(rows[name] @ tangent[k] for k, name in enumerate(FIELDS))
    np.testing.assert_allclose(along, want, rtol=1e-8, atol=1e-12)
    cotangent = rng.normal(size=3)
    back = sc.vjp(cat, cotangent)
    for name in FIELDS:
        np.testing.assert_allclose(back[name], cotangent @ rows[name], rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("approach", ["naive", "soft", "hard", "gumbel"])
def test_units(approach):
    """Gradients are per unit of the catalog's own x and y."""
    cat = field(60, 3)
    sc = SoftCorrelation(BINS, approach=approach, clusters=6, seed=1)
    value, rows = sc.value_and_jacobian(cat)
    same = {"g1": cat.g1, "g2": cat.g2, "w": cat.w}
    for unit, size in (("deg", 1 / 60), ("arcsec", 60.0), ("rad", np.pi / 10800)):
        other = Catalog(x=cat.x * size, y=cat.y * size, xy_unit=unit, **same)
        got, gradient = sc.value_and_jacobian(other)
        np.testing.assert_allclose(got, value, rtol=1e-7)
        np.testing.assert_allclose(gradient["x"] * size, rows["x"], rtol=1e-5, atol=1e-12)
        tangent = {"y": np.linspace(-1, 1, 60)}
        np.testing.assert_allclose(
            sc.jvp(other, {"y": tangent["y"] * size}), sc.jvp(cat, tangent), rtol=1e-5, atol=1e-12
        )
    # Pixels are numbers as good as arcmin.
    pixels = Catalog(x=cat.x, y=cat.y, xy_unit="pixel", **same)
    in_pixels = SoftCorrelation(BINS + ":pixel", approach=approach, clusters=6, seed=1)
    got, gradient = in_pixels.value_and_jacobian(pixels)
    np.testing.assert_array_equal(got, value)
    np.testing.assert_array_equal(gradient["x"], rows["x"])


@pytest.mark.parametrize("approach", ["naive", "soft", "hard", "gumbel"])
def test_translation_has_no_gradient(approach):
    """xi does not change as all objects move alike, nor as they turn with their shears."""
    cat = field(60, 4, offset=100.0)
    sc = SoftCorrelation(BINS, approach=approach, clusters=6, seed=1).pin(cat)
    rows = sc.jacobian(cat)
    size = np.abs(rows["x"]).sum(axis=1).max()
    for axis in ("x", "y"):
        np.testing.assert_allclose(rows[axis].sum(axis=1), 0, atol=1e-9 * size)
    turn = {"x": -cat.y, "y": cat.x, "g1": -2 * cat.g2, "g2": 2 * cat.g1}
    np.testing.assert_allclose(sc.jvp(cat, turn), 0, atol=1e-7 * size)


@pytest.mark.parametrize("approach", ["soft", "hard", "gumbel"])
def test_clusters_are_those_of_soft_clustering(approach):
    cat = field(80, 6)
    options = SoftClustering(n_clusters=7, seed=2, tol=1e-12)
    fit = options.fit(cat)
    sc = SoftCorrelation(BINS, approach=approach, clusters=options)
    from_fit = SoftCorrelation(BINS, approach=approach, clusters=fit)
    by_hand = SoftCorrelation(BINS, approach=approach, start=np.stack([fit.x, fit.y], axis=1),
                              seed=2)  # fmt: skip
    value = sc.value(cat)
    np.testing.assert_allclose(from_fit.value(cat), value, rtol=1e-8)
    np.testing.assert_allclose(by_hand.value(cat), value, rtol=1e-8)
    if approach != "gumbel":
        kind = "soft" if approach == "soft" else "greedy"
        assert np.isfinite(xi_pm(cat, BINS, clusters=fit, assignment=kind).xip.value).any()


def test_literal_rule():
    """Each object gets the gradient of its cluster: displacing them all, that of the cluster."""
    cat = field(60, 7)
    sc = SoftCorrelation(BINS, approach="hard", rule="literal", clusters=6, seed=1)
    rows = sc.jacobian(cat)
    fit = SoftClustering(n_clusters=6, seed=1, tol=1e-13).fit(cat)
    labels = fit.assign("greedy")
    for k in range(6):
        own = labels == k
        assert np.ptp(rows["x"][:, own], axis=1).max() < 1e-15
    exact = SoftCorrelation(BINS, approach="hard", clusters=6, seed=1).jacobian(cat)
    for k in range(6):
        own = labels == k
        np.testing.assert_allclose(
            rows["x"][:, own][:, 0], exact["x"][:, own].sum(axis=1), rtol=1e-6, atol=1e-12
        )


@pytest.mark.parametrize("statistic", ["xip", "xim"])
@pytest.mark.parametrize("approach", ["naive", "soft", "hard", "gumbel"])
def test_coincident_places_are_finite(approach, statistic):
    cat = field(60, 8)
    where = np.r_[np.repeat(np.arange(10), 3), np.arange(30)]
    cat = cat.replace(x=cat.x[where], y=cat.y[where])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*at one place")
        sc = SoftCorrelation(BINS, approach=approach, statistic=statistic, clusters=8, seed=1)
        value, rows = sc.value_and_jacobian(cat)
    assert np.isfinite(value).all()
    assert all(np.isfinite(row).all() for row in rows.values())


def test_coincident_pairs_are_dropped():
    cat = field(40, 9)
    where = np.repeat(np.arange(20), 2)
    cat = cat.replace(x=cat.x[where], y=cat.y[where])
    with pytest.warns(UserWarning, match="20 pairs of objects at one place have no direction"):
        got = SoftCorrelation(BINS, approach="naive", statistic="xim", sharpness=1e6).value(cat)
    with pytest.warns(UserWarning, match="20 pairs"):
        hard = xi_pm(cat, BINS)
    np.testing.assert_allclose(got, hard.xim.value, atol=1e-12)
    got = SoftCorrelation(BINS, approach="naive", coincident="drop", sharpness=1e6).value(cat)
    with pytest.warns(UserWarning, match="xip drops them"):
        hard = xi_pm(cat, BINS, coincident="drop")
    np.testing.assert_allclose(got, hard.xip.value, atol=1e-12)


def test_refusals():
    flat, pixels = field(20), field(20, unit="pixel")
    sky = Catalog(ra=flat.x / 60, dec=flat.y / 60, g1=flat.g1, g2=flat.g2)
    sc = SoftCorrelation(BINS, clusters=3, seed=1)
    with pytest.raises(ValueError, match="bins are in arcmin but catalog is in pixels"):
        sc.value(pixels)
    with pytest.raises(ValueError, match="bins are in pixels but catalog is on the sky"):
        SoftCorrelation(BINS + ":pixel", clusters=3).value(sky)
    with pytest.raises(ValueError, match=r"start has centers of geometry 'flat'.*do not belong"):
        sc.pin(flat).value(sky)
    with pytest.raises(ValueError, match="tangents has 'ra': must be among x, y, g1"):
        sc.jvp(flat, {"ra": np.zeros(20)})


def test_torch():
    torch = pytest.importorskip("torch")
    cat = field(40, 10)
    sc = SoftCorrelation(BINS, clusters=5, seed=1)
    value, rows = sc.value_and_jacobian(cat)
    names = {f: torch.tensor(getattr(cat, f), requires_grad=True) for f in FIELDS}
    xi = sc.torch(**names)
    np.testing.assert_allclose(xi.detach().numpy(), value, rtol=1e-12)
    (xi**2).sum().backward()
    for name in FIELDS:
        np.testing.assert_allclose(names[name].grad.numpy(), 2 * value @ rows[name], rtol=1e-9,
                                   atol=1e-15)  # fmt: skip
    degrees = {k: v.detach() / 60 if k in "xy" else v.detach() for k, v in names.items()}
    degrees["x"].requires_grad_()
    again = sc.torch(**degrees, xy_unit="deg")
    np.testing.assert_allclose(again.detach().numpy(), value, rtol=1e-8)
    (again**2).sum().backward()
    np.testing.assert_allclose(degrees["x"].grad.numpy() / 60, names["x"].grad.numpy(), rtol=1e-5)
    with pytest.raises(ValueError, match="give ra and dec, or x and y, not both"):
        sc.torch(names["x"], names["y"], names["g1"], names["g2"], x=names["x"])
    with pytest.raises(TypeError, match="y must be a torch tensor"):
        sc.torch(x=names["x"], g1=names["g1"], g2=names["g2"])
