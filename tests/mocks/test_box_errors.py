"""Errors of box correlations: sub-volumes left out one by one, scatter of boxes, closed forms."""

from __future__ import annotations

import hashlib
import inspect
import json
import re
import warnings

import numpy as np
import pytest
from astropy.table import Table

from pysoftcorr import Bootstrap, Jackknife, LeaveOut
from pysoftcorr._julia.runtime import start
from pysoftcorr.inference import Observation
from pysoftcorr.mocks import (
    BoxCorrelations,
    GalaxyCatalog,
    HaloCatalog,
    HODModel,
    box_correlations,
)
from pysoftcorr.mocks.box import shell_fraction
from pysoftcorr.mocks.box_errors import Placed, resampled_statistics
from pysoftcorr.mocks.subvolumes import SubVolumes, shape_of
from pysoftcorr.sky.patch_pairs import PairWeights

NAMES = ("xi", "omega", "eta")


@pytest.fixture(autouse=True)
def _few_parts(request):
    """Covariances of a few parts are no news to these tests, but to one."""
    with warnings.catch_warnings():
        if "cautioned" not in request.node.name:
            warnings.filterwarnings("ignore", message="the covariance of")
        yield


def unit(axis):
    return axis / np.linalg.norm(axis, axis=1)[:, None]


def clustered(n: int, L, seed: int):
    rng = np.random.default_rng(seed)
    middle = rng.uniform(0, L, (n // 8, 3))
    position = np.mod(middle[rng.integers(n // 8, size=n)] + rng.normal(size=(n, 3)), L)
    position[: n // 2] = rng.uniform(0, L, (n // 2, 3))
    return position, rng.normal(size=(n, 3)), rng.uniform(0.5, 1.5, n)


# ---------------------------------------------------------------------- sub-volumes
@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize(("shape", "sides"), [((3, 3, 3), (60, 60, 60)), ((2, 1, 4), (40, 50, 90))])
def test_uniform_points_fall_into_cells_as_told(shape, sides, periodic):
    sides = np.array(sides, dtype=float)
    cells = SubVolumes(shape, sides, periodic)
    edges = np.array([2.0, 9.0, 19.0])
    fractions, retained = cells.pair_fractions(edges)
    rng = np.random.default_rng(1)
    a = rng.uniform(0, 1, (400_000, 3)) * sides
    step = rng.normal(size=a.shape)
    step /= np.linalg.norm(step, axis=1)[:, None]
    for k in range(2):
        r = np.cbrt(rng.uniform(edges[k] ** 3, edges[k + 1] ** 3, len(a)))
        b = a + r[:, None] * step
        inside = ((b >= 0) & (b < sides)).all(axis=1)
        kept = np.ones(len(a), dtype=bool) if periodic else inside
        b = np.mod(b, sides)
        found = np.zeros((cells.n, cells.n))
        np.add.at(found, (cells.labels(a[kept]), cells.labels(b[kept])), 1)
        expected = fractions[k] * kept.sum()
        assert found[expected < 1e-9].sum() == 0
        many = expected > 30
        assert np.abs((found - expected)[many] / np.sqrt(expected[many])).max() < 5
        assert kept.mean() == pytest.approx(retained[k], abs=4 * 0.5 / np.sqrt(len(a)))


def test_pairs_within_one_cell_have_a_closed_form():
    """1 - 3r/2w + 2r^2/(pi w^2) - r^3/(4 pi w^3), which an open box of that side has too."""
    edges = np.geomspace(0.1, 16, 21)
    fractions, retained = SubVolumes((4, 4, 4), np.full(3, 80.0), True).pair_fractions(edges)
    one = shell_fraction(edges, 20.0, periodic=False) / shell_fraction(edges, 20.0, periodic=True)
    np.testing.assert_allclose(np.einsum("bpp->b", fractions), one, rtol=2e-5)
    np.testing.assert_allclose(fractions.sum(axis=2), 1 / 64, rtol=1e-12)
    np.testing.assert_allclose(retained, 1, rtol=1e-12)


def test_every_position_has_the_cell_it_is_in():
    cells = SubVolumes((2, 3, 4), np.array([20.0, 30.0, 40.0]), True)
    p = np.array([[0, 0, 0], [20, 30, 40], [9.99, 10.01, 39.9], [10, 0, 0]], dtype=float)
    assert cells.labels(p).tolist() == [0, 23, 7, 12]
    assert (cells.cell == 10).all()


@pytest.mark.parametrize(
    ("n", "sides", "shape"),
    [
        (8, (50, 50, 50), (2, 2, 2)), (343, (7, 7, 7), (7, 7, 7)), (16, (50, 50, 100), (2, 2, 4)),
        (24, (20, 30, 40), (2, 3, 4)), (54, (50, 60, 100), (3, 3, 6)),
    ],
)  # fmt: skip
def test_numbers_of_subvolumes_are_shapes(n, sides, shape):
    assert shape_of(n, np.array(sides, dtype=float)) == shape


@pytest.mark.parametrize(
    ("n", "sides", "near"),
    [
        (20, (50, 50, 50), "take 8 (2x2x2) or 27 (3x3x3)"), (2, (9, 9, 9), "take 8 (2x2x2)"),
        (27, (50, 50, 100), "take 24 (2x2x6) or 36 (3x3x4)"), (999, (9, 9, 9), "729 (9x9x9) or"),
    ],
)  # fmt: skip
def test_other_numbers_name_the_nearest(n, sides, near):
    with pytest.raises(ValueError, match=re.escape(near)):
        shape_of(n, np.array(sides, dtype=float))


# ---------------------------------------------------------------------- one by one
def rays(n: int = 1200):
    """Directions spread over the sphere, each with its opposite."""
    k = np.arange(n // 2) + 0.5
    z, phi = 1 - 4 * k / n, np.pi * (1 + np.sqrt(5)) * k
    half = np.stack([np.sqrt(1 - z**2) * np.cos(phi), np.sqrt(1 - z**2) * np.sin(phi), z], axis=1)
    return np.concatenate([half, -half])


def shells(position, axis, cells: SubVolumes, edges, left: int):
    """Mean over shells around objects, (4, N, nbins): what is in the box and what is kept of it.

    Parts of the shell, then mean angles of that part with the axes.
    """
    ray = rays()
    angle = (axis @ ray.T) ** 2
    angle -= angle.mean(axis=1)[:, None]  # of a whole shell there is none
    node, weight = np.polynomial.legendre.leggauss(4)
    out = np.zeros((4, len(position), len(edges) - 1))
    for b in range(len(edges) - 1):
        r = edges[b] + (node + 1) / 2 * (edges[b + 1] - edges[b])
        w = weight * r**2 / (weight * r**2).sum()
        for radius, part in zip(r, w, strict=True):
            place = position[:, None] + radius * ray
            inside = np.ones(place.shape[:2], dtype=bool)
            if not cells.periodic:
                inside = ((place >= 0) & (place < cells.sides)).all(axis=2)
            cell = cells.labels(np.mod(place, cells.sides).reshape(-1, 3)).reshape(inside.shape)
            kept = inside & (cell != left)
            for k, what in enumerate((inside, kept, angle * inside, angle * kept)):
                out[k, :, b] += part * what.mean(axis=1)
    return out


def one_by_one(first, second, edges, L, shape, *, periodic=True):
    """Covariance of each sub-volume left out in turn, straight from the definitions.

    Sets are (position, axis, weight); one alone where `second` is None.
    """
    cells = SubVolumes(shape, np.broadcast_to(L, 3).astype(float), periodic)
    n = cells.n
    fractions, retained = cells.pair_fractions(edges)
    sets = [(p, e / np.linalg.norm(e, axis=1)[:, None], w, cells.labels(p))
            for p, e, w in ([first] if second is None else [first, second])]  # fmt: skip
    rr = sets[0][2].sum() * sets[-1][2].sum() * shell_fraction(edges, L, periodic=periodic)
    out = []
    for left in range(n):
        others = np.arange(n) != left
        part = fractions[:, others][:, :, others].sum(axis=(1, 2))
        kept = [tuple(a[label != left] for a in (p, e, w)) for p, e, w, label in sets]
        more = {}
        if second is not None:
            q, f, v = kept[1]
            more = {"second": q, "second_axis": f, "second_weights": v}
        q, f, v = kept[0]
        box = box_correlations(q, f, boxsize=L, bins=edges, weights=v, periodic=periodic, **more)
        dense, near, whole, tilt = [], [], [], []
        for (q, f, v), (_, _, w, _) in zip(kept, sets, strict=True):
            a = v.sum() / w.sum() * n / (n - 1)
            inside, there, open_angle, angle = np.einsum(
                "i,kib->kb", v, shells(q, f, cells, edges, left)
            )
            unit = w.sum() * retained * a
            dense.append(a)
            near.append(there / unit / part)
            whole.append(inside / unit * n / (n - 1) - 1)
            tilt.append(angle / unit / part - open_angle / unit * n / (n - 1))
        natural = box.weight / (dense[0] * dense[-1] * rr * part)
        xi = natural - near[0] - near[-1] + 1 + whole[0] + whole[-1]
        omega = (box.omega * natural - tilt[0]) / (xi + 1)
        out.append(np.concatenate([xi, omega, box.eta * natural / (xi + 1)]))
    return (n - 1) ** 2 / n * np.cov(np.array(out).T)


def agree(found, expected, part):
    """Elements agree to a part of the errors that they belong to."""
    sigma = np.sqrt(np.diag(expected))
    scale = np.outer(sigma, sigma)
    np.testing.assert_allclose(found / scale, expected / scale, atol=part)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "cross", "periodic", "L"),
    [((2, 2, 2), False, True, 40.0), ((3, 2, 1), False, False, 40.0), ((2, 2, 1), True, True, 40.0),
     ((1, 2, 2), True, False, 40.0), ((1, 2, 3), False, True, (30.0, 40.0, 50.0)),
     ((2, 2, 2), False, False, (50.0, 30.0, 40.0))],
)  # fmt: skip
def test_jackknife_is_that_of_subvolumes_left_out_one_by_one(shape, cross, periodic, L):
    edges = np.array([0.5, 3, 8, 13])
    p, e, w = clustered(120, L, 3)
    second = clustered(80, L, 4) if cross else None
    more = {}
    if second is not None:
        more = dict(zip(("second", "second_axis", "second_weights"), second, strict=True))
    found = box_correlations(
        p, e, boxsize=L, bins=edges, weights=w, periodic=periodic, **more,
        resampling="jackknife:" + "x".join(map(str, shape)),
    )  # fmt: skip
    expected = one_by_one((p, e, w), second, edges, L, shape, periodic=periodic)
    # The mesh on which coverage is interpolated, and rays in the twin.
    agree(found.covariance, expected, 0.04)


def test_small_separations_need_no_coverage():
    """DD/RR - 1 without each sub-volume where shells are whole: none of its faces is in reach."""
    L, edges = 60.0, np.array([0.0, 0.4, 0.9])
    rng = np.random.default_rng(1)
    middle = rng.uniform(2, 18, (60, 3)) + 20 * rng.integers(3, size=(60, 3))
    p = np.concatenate([middle, middle + rng.normal(scale=0.3, size=middle.shape)])
    e = rng.normal(size=p.shape)
    found = box_correlations(p, e, boxsize=L, bins=edges, resampling=Jackknife(27))
    label, values = SubVolumes((3, 3, 3), np.full(3, L), True).labels(p), []
    rr = found.rr / len(p) ** 2
    for left in range(27):
        keep = label != left
        box = box_correlations(p[keep], e[keep], boxsize=L, bins=edges)
        # Of the volume 26/27 is left, and of its pairs nearly all that begin in it end in it.
        inside = shell_fraction(edges, 20.0, periodic=False) / shell_fraction(
            edges, 20.0, periodic=True
        )
        part = 1 - (2 - inside) / 27
        xi = box.weight / (keep.sum() ** 2 * (27 / 26) ** 2 * rr * part) - 1
        values.append(np.concatenate([xi, box.omega, box.eta]))
    agree(found.covariance, 26**2 / 27 * np.cov(np.array(values).T), 1e-3)
    assert found.realizations == 27
    assert found.resampling == "jackknife:3x3x3"


# ---------------------------------------------------------------------- closed forms
def test_errors_of_unclustered_points_are_those_of_poisson():
    """Errors of xi are sqrt(2/(N n V)), those of a mean over directions sqrt(4/45) of that."""
    L, edges, n = 60.0, np.array([1.0, 2, 4, 8, 16]), 4000
    squares = {"simple": [], "match": [], "bootstrap": []}
    for seed in range(6):
        rng = np.random.default_rng(seed)
        p, e = rng.uniform(0, L, (n, 3)), rng.normal(size=(n, 3))
        for name, text in (("simple", "jackknife:27"), ("match", "jackknife:27:match"),
                           ("bootstrap", "bootstrap:100:27:geom")):  # fmt: skip
            r = box_correlations(p, e, boxsize=L, bins=edges, resampling=text, seed=seed)
            pairs = r.rr / 2
            poisson = {"xi": 1 / pairs, "omega": 4 / 45 / pairs / 2, "eta": 4 / 45 / pairs}
            squares[name].append([r.errors[k] ** 2 / v for k, v in poisson.items()])
    # A variance of 27 parts scatters by sqrt(2/26); 6 boxes, 3 statistics, 4 bins, of which some
    # are correlated.
    scatter = np.sqrt(2 / 26 / 6)
    mean = {name: np.mean(found, axis=(0)) for name, found in squares.items()}
    assert np.abs(mean["match"] - 1).max() < 4 * scatter
    assert abs(mean["match"].mean() - 1) < 0.15
    # Pairs of two sub-volumes are left out of two resamples each: towards twofold at large r.
    assert (mean["simple"] < 2 + 8 * scatter).all()
    assert mean["simple"][:, -1].mean() == pytest.approx(
        mean["match"][:, -1].mean() * 1.85, rel=0.2
    )
    assert mean["bootstrap"].mean() == pytest.approx(1.2, abs=0.3)


@pytest.mark.parametrize(
    "text",
    [
        "jackknife:27", "jackknife:8:match", "jackknife:2x2x3:mean", "bootstrap:60:27",
        "bootstrap:60:8:geom", "bootstrap:90:mean",
    ],
)  # fmt: skip
def test_covariances_are_symmetric_and_not_negative(text):
    p, e, w = clustered(1500, 50.0, 5)
    r = box_correlations(p, e, boxsize=50.0, bins="log:1:10:5", weights=w, resampling=text, seed=2)
    assert r.covariance.shape == (15, 15)
    np.testing.assert_array_equal(r.covariance, r.covariance.T)
    sigma = np.concatenate([r.errors[name] for name in NAMES])
    values = np.linalg.eigvalsh(r.covariance / np.outer(sigma, sigma))
    assert values.min() > -1e-12
    if text.startswith("jackknife"):
        # Each part is one degree of freedom, less the mean.
        assert (values > 1e-10).sum() <= min(15, r.realizations - 1)


def test_values_are_those_without_resampling():
    p, e, w = clustered(800, 40.0, 6)
    host = np.random.default_rng(1).integers(0, 200, 800)
    options = {"boxsize": 40.0, "bins": "log:0.3:10:6", "weights": w, "host": host}
    plain = box_correlations(p, e, **options)
    found = box_correlations(p, e, **options, resampling=Jackknife(8))
    assert plain.errors == {}
    assert plain.covariance is None
    for name in ("npairs", "npairs_1h", "npairs_2h"):
        np.testing.assert_array_equal(getattr(found, name), getattr(plain, name))
    for name in (*NAMES, "r", "xi_1h", "omega_2h", "eta_1h"):
        np.testing.assert_allclose(
            getattr(found, name), getattr(plain, name), rtol=1e-12, atol=1e-14
        )


def test_whole_bootstrap_weight_is_the_whole_box():
    """Sub-volumes that are each there once are the box itself, cut nowhere."""
    p, e, w = clustered(500, 40.0, 7)
    e = unit(e)
    for periodic in (True, False):
        r = box_correlations(p, e, boxsize=40.0, bins=[1, 5, 12], weights=w, periodic=periodic)
        cells = SubVolumes((2, 2, 2), np.full(3, 40.0), periodic)
        label = cells.labels(p)
        weights = PairWeights.bootstrap((label,), np.ones((1, 8)), "simple")
        sums = np.stack([r.weight, r.weight * r.omega, r.weight * r.eta], axis=1) / r.rr[:, None]
        found = resampled_statistics(
            weights, cells, r.edges, r.npairs[None].astype(float), sums[None],
            [Placed(label, p, w, e)],
        )  # fmt: skip
        for name in NAMES:
            np.testing.assert_allclose(found[name][0], getattr(r, name), rtol=1e-6, atol=1e-9)


def test_shift_by_a_subvolume_and_turns_change_nothing():
    L = 45.0
    p, e, w = clustered(900, L, 8)
    options = {"boxsize": L, "bins": [1, 4, 9], "resampling": "jackknife:27", "weights": w}
    base = box_correlations(p, e, **options).covariance
    for q, f in (
        (np.mod(p + np.array([15, 30, 0]), L), e),
        (p[:, [2, 0, 1]], e[:, [2, 0, 1]]),
        (L - p, -e),
    ):
        agree(box_correlations(q, f, **options).covariance, base, 1e-5)


# ---------------------------------------------------------------------- special bins
def test_bins_without_pairs_have_no_known_error():
    rng = np.random.default_rng(2)
    p = rng.uniform(0, 60, (300, 3))
    r = box_correlations(p, rng.normal(size=p.shape), boxsize=60.0, bins=[0, 0.01, 4, 12],
                         resampling="jackknife:8")  # fmt: skip
    assert r.npairs[0] == 0
    assert r.xi[0] == -1
    for name in NAMES:
        assert np.isnan(r.errors[name][0])
        assert (r.errors[name][1:] > 0).all()
    known = np.isfinite(np.diag(r.covariance))
    assert known.sum() == 6
    assert np.isfinite(r.covariance[np.ix_(known, known)]).all()


def test_pairs_in_one_subvolume_do_not_tell_the_error_of_a_mean():
    rng = np.random.default_rng(3)
    p = np.concatenate([rng.uniform(0, 60, (40, 3)), [[5, 5, 5], [5.1, 5, 5]]])
    r = box_correlations(p, rng.normal(size=p.shape), boxsize=60.0, bins=[0, 0.2, 15],
                         resampling="jackknife:8")  # fmt: skip
    assert r.npairs[0] == 1
    assert r.errors["xi"][0] == pytest.approx(r.xi[0] + 1, rel=0.15)  # one pair: Poisson
    assert np.isnan([r.errors["omega"][0], r.errors["eta"][0]]).all()
    assert np.isfinite([r.errors[name][1] for name in NAMES]).all()


def test_without_axes_there_is_xi_alone():
    p, e, _ = clustered(400, 40.0, 9)
    r = box_correlations(p, boxsize=40.0, bins=[1, 4, 9], resampling="jackknife:8")
    assert (r.statistics, r.covariance.shape) == (("xi",), (2, 2))
    cross = box_correlations(p, e, boxsize=40.0, bins=[1, 4, 9], second=p[:99] + 0.1, wrap=True,
                             resampling="jackknife:8")  # fmt: skip
    assert (cross.statistics, cross.covariance.shape) == (("xi", "omega"), (4, 4))


def test_to_half_the_box_and_an_empty_subvolume():
    rng = np.random.default_rng(4)
    p = rng.uniform(0, 30, (600, 3))
    p = p[(p > 15).any(axis=1)]
    with pytest.warns(UserWarning, match="at most 2 sub-volumes along a side"):
        box_correlations(p, boxsize=30.0, bins=[1, 5, 15], resampling="jackknife:27")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        r = box_correlations(p, boxsize=30.0, bins=[1, 5, 15], resampling="jackknife:8")
    assert np.isfinite(r.covariance).all()
    assert (r.errors["xi"] > 0).all()


# ---------------------------------------------------------------------- several boxes
def boxes(n: int, bins="log:1:12:4", **options):
    out = []
    for seed in range(n):
        p, e, _ = clustered(700, 40.0, seed)
        host = np.arange(700) // 2
        out.append(box_correlations(p, e, boxsize=40.0, bins=bins, host=host, **options))
    return out


def test_mean_of_boxes_and_its_covariance():
    made = boxes(30)
    both = BoxCorrelations.combine(made)
    samples = np.array([np.concatenate([b.xi, b.omega, b.eta]) for b in made])
    np.testing.assert_allclose(both.covariance, np.cov(samples.T) / 30, rtol=1e-10, atol=1e-18)
    np.testing.assert_allclose(both.box_covariance, np.cov(samples.T), rtol=1e-10, atol=1e-18)
    for name in (*NAMES, "xi_2h", "omega_1h", "eta_2h"):
        mean = np.nanmean([getattr(b, name) for b in made], axis=0)
        np.testing.assert_allclose(getattr(both, name), mean, rtol=1e-10, atol=1e-16)
    assert both.npairs.tolist() == np.sum([b.npairs for b in made], axis=0).tolist()
    total = np.sum([b.r * b.weight for b in made], axis=0) / both.weight
    np.testing.assert_allclose(both.r, total, rtol=1e-12)
    assert (both.realizations, both.resampling, both.settings["boxes"]) == (
        30, "realizations:30", 30)  # fmt: skip
    np.testing.assert_allclose(
        both.errors["omega"], samples.std(axis=0, ddof=1)[4:8] / np.sqrt(30), rtol=1e-10
    )


def test_boxes_without_a_value_in_some_bins():
    few = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        p = rng.uniform(0, 40, (60, 3))
        few.append(
            box_correlations(p, rng.normal(size=p.shape), boxsize=40.0, bins=[0, 1e-3, 2, 9])
        )
    both = BoxCorrelations.combine(few)
    there = np.array([np.isfinite(b.omega[1]) for b in few])
    assert 0 < there.sum() < 20
    values = np.array([b.omega[1] for b in few])[there]
    assert both.omega[1] == pytest.approx(values.mean())
    assert both.errors["omega"][1] == pytest.approx(values.std(ddof=1) / np.sqrt(there.sum()))
    assert both.xi[0] == -1
    assert np.isnan([both.errors[name][0] for name in NAMES]).all()
    assert np.isnan(both.omega[0])


def test_mean_of_few_boxes_with_their_own_covariances():
    made = boxes(3, resampling="jackknife:27")
    both = BoxCorrelations.combine(made, errors="resampling")
    expected = np.mean([b.covariance for b in made], axis=0) / 3
    np.testing.assert_allclose(both.covariance, expected, rtol=1e-12)
    assert (both.resampling, both.realizations) == ("jackknife:3x3x3", 81)


def test_a_covariance_of_too_few_parts_is_cautioned_of():
    with pytest.warns(UserWarning, match=r"12 values rests on 6 boxes.*more than 14.*Hartlap"):
        BoxCorrelations.combine(boxes(6))
    with pytest.warns(UserWarning, match=r"values rests on 27 sub-volumes"):
        boxes(1, bins="log:0.3:12:20", resampling="jackknife:27")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        BoxCorrelations.combine(boxes(15))
        boxes(1, resampling="jackknife:27")


def test_what_has_no_mean_is_refused():
    made = boxes(3)
    p, e, _ = clustered(300, 40.0, 1)
    other = {"boxsize": 40.0, "bins": "log:1:12:4", "host": np.zeros(300, dtype=int)}
    cases = [
        (made[:1], "at least two, there are 1"),
        (
            [*made, box_correlations(p, e, **{**other, "bins": [1, 4]})],
            r"results\[3\] has other bins",
        ),
        (
            [*made, box_correlations(p, e, **{**other, "boxsize": 50.0})],
            r"another boxsize \(50.0\)",
        ),
        ([*made, box_correlations(p, e, **other, periodic=False)], r"another periodic \(False\)"),
        ([*made, box_correlations(p, e, **{**other, "host": None})], "whether hosts are known"),
        ([*made, BoxCorrelations.combine(made)], "a mean of several boxes itself"),
    ]
    for results, text in cases:
        with pytest.raises(ValueError, match=text):
            BoxCorrelations.combine(results)
    with pytest.raises(TypeError, match=r"results\[1\] must be BoxCorrelations, not int"):
        BoxCorrelations.combine([made[0], 3])
    with pytest.raises(ValueError, match="has no covariance: give box_correlations a resampling"):
        BoxCorrelations.combine(made, errors="resampling")
    mixed = [*boxes(1, resampling="jackknife:8"), *boxes(1, resampling="jackknife:27")]
    with pytest.raises(ValueError, match="another kind"):
        BoxCorrelations.combine(mixed, errors="resampling")


@pytest.mark.slow
def test_jackknife_is_near_the_scatter_of_simulated_universes():
    """Conservative by the noise of pairs that it leaves out twice; bins and statistics together."""
    made = []
    for seed in range(12):
        halos = HaloCatalog.simulate(64.0, 32, mmin=1e12, seed=seed)
        model = HODModel.preset("mstar10.5").with_parameters(mu_sat=0.6)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            galaxies = model.populate(halos, seed=seed)
        made.append(box_correlations(galaxies, bins="log:0.5:16:5", resampling="jackknife:27"))
    true = {name: s * np.sqrt(12) for name, s in BoxCorrelations.combine(made).errors.items()}
    for name in NAMES:
        mean = np.sqrt(np.mean([b.errors[name] ** 2 for b in made], axis=0))
        # The scatter of 12 boxes is known to 1/sqrt(22) = 21 % a bin.
        assert 0.8 < np.sqrt(np.mean((mean / true[name]) ** 2)) < 2.1


# ---------------------------------------------------------------------- ways and messages
@pytest.mark.parametrize(
    ("given", "text"),
    [
        (Jackknife(8), "jackknife:2x2x2"),
        (Jackknife(27, cross_patch_weight="match"), "jackknife:3x3x3:match"),
        ("Jackknife:2x3x1", "jackknife:2x3x1"),
        (Bootstrap(30), "bootstrap:30:3x3x3"),
        (Bootstrap(30, patches=8, cross_patch_weight="geom"), "bootstrap:30:2x2x2:geom"),
        ("bootstrap:40:2x2x3:mean", "bootstrap:40:2x2x3:mean"),
    ],
)
def test_ways_are_recorded_and_repeat(given, text):
    p, e, _ = clustered(300, 40.0, 1)
    options = {"boxsize": 40.0, "bins": [1, 4, 10], "resampling": given}
    one = box_correlations(p, e, **options, seed=3)
    assert one.resampling == text
    assert one == box_correlations(p, e, **{**options, "resampling": text}, seed=3)
    assert one.settings.get("seed") == (3 if "bootstrap" in text else None)
    if "bootstrap" in text:
        assert one != box_correlations(p, e, **options, seed=4)
        drawn = box_correlations(p, e, **options)
        assert drawn == box_correlations(p, e, **options, seed=drawn.settings["seed"])


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        (
            Jackknife(20),
            ValueError,
            r"'jackknife:20': 20 sub-vol.*take 8 \(2x2x2\) or 27 \(3x3x3\)",
        ),
        ("bootstrap:50:9", ValueError, r"9 sub-volumes of a box of 40x40x40 Mpc/h are no cubes"),
        ("jackknife:3x3", ValueError, "must be three whole numbers, as in 'jackknife:3x3x3'"),
        ("jackknife:1x1x1", ValueError, "needs at least 2|of 2 to 1,000|must be 'jackknife:N'"),
        ("jackknife:20x20x20", ValueError, "of 2 to 1,000 in all"),
        ("jackknife", ValueError, "must be 'jackknife:N' with N sub-volumes"),
        (LeaveOut(0.3), ValueError, "'leave-out:0.3:100': a box is resampled by its sub-volumes"),
        ("none", ValueError, "resampled by its sub-volumes"),
        (Jackknife(patches=np.arange(300)), ValueError, "which no labels are needed for"),
        (27, TypeError, "resampling = 27: must be"),
    ],
)
def test_other_ways_are_refused(given, error, text):
    p, e, _ = clustered(300, 40.0, 1)
    with pytest.raises(error, match=text):
        box_correlations(p, e, boxsize=40.0, bins=[1, 4, 10], resampling=given)


def digest() -> str:
    rng = np.random.default_rng(1)
    p, e = rng.uniform(0, 60, (20_000, 3)), rng.normal(size=(20_000, 3))
    weights = rng.random(20_000)
    found = []
    for text in ("jackknife:27", "bootstrap:20:64:geom"):
        r = box_correlations(
            p, e, boxsize=60, weights=weights, bins="log:1:10:4", resampling=text, seed=1
        )
        found += [r.xi, r.omega, r.eta, r.r, *(r.errors[name] for name in ("xi", "omega", "eta"))]
    return hashlib.sha256(np.concatenate(found).tobytes()).hexdigest()


def test_bits_do_not_depend_on_threads(fresh):
    # Otherwise than in this process.
    threads = "1" if start().host.threads > 1 else "3"
    code = "import hashlib\nimport numpy as np\nfrom pysoftcorr.mocks import box_correlations\n"
    code += inspect.getsource(digest) + "print(digest())"
    assert fresh(code, PYSOFTCORR_THREADS=threads).stdout.strip() == digest()


# ---------------------------------------------------------------------- files
def results():
    rng = np.random.default_rng(1)
    p, e = rng.uniform(0, 40, (300, 3)), rng.normal(size=(300, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield box_correlations(p, e, boxsize=40.0, bins="log:0.01:12:8", resampling="jackknife:27")
        yield box_correlations(p, boxsize=40.0, bins=[1, 5, 9], resampling="bootstrap:20:8", seed=1)
        yield BoxCorrelations.combine(boxes(4))
        yield box_correlations(p, e, boxsize=40.0, bins=[1, 2], host=np.arange(300) // 3)


@pytest.mark.parametrize("suffix", [".ecsv", ".h5", ".hdf5"])
def test_files_are_exact(tmp_path, suffix):
    path = tmp_path / f"r{suffix}"
    for result in results():
        result.write(path, overwrite=True)
        again = BoxCorrelations.read(path)
        assert again == result
        assert again.errors.keys() == result.errors.keys()
        json.dumps(result.to_dict(), allow_nan=False)
    with pytest.raises(FileExistsError):
        result.write(path)


def test_tables_have_errors():
    first = next(iter(results()))
    table = first.to_table()
    for name in NAMES:
        np.testing.assert_array_equal(table[f"{name}_err"], first.errors[name])
    assert table.meta["resampling"] == "jackknife:3x3x3"
    assert table.meta["realizations"] == 27


def test_csv_has_its_covariance_beside_it(tmp_path):
    *some, without = results()
    for result in some:
        result.write(tmp_path / "r.csv", overwrite=True)
        table = Table.read(tmp_path / "r.csv", format="ascii.csv")
        np.testing.assert_allclose(table["xi"], result.xi, rtol=1e-15)
        np.testing.assert_array_equal(
            np.loadtxt(tmp_path / "r_cov.csv", delimiter=","), result.covariance
        )
        assert f"# realizations = {result.realizations}\n" in (tmp_path / "r_cov.csv").read_text()
    # Beside a table without a covariance it would be taken for that table's.
    with pytest.raises(FileExistsError, match=r"r_cov\.csv"):
        without.write(tmp_path / "r.csv", overwrite=True)
    without.write(tmp_path / "s.csv")
    assert not (tmp_path / "s_cov.csv").exists()
    with pytest.raises(ValueError, match="does not say how its correlations were made"):
        BoxCorrelations.read(tmp_path / "r.csv")


def test_damaged_files_are_named(tmp_path):
    path = tmp_path / "r.h5"
    next(iter(results())).write(path)
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(ValueError, match=r"r\.h5"):
        BoxCorrelations.read(path)
    GalaxyCatalog([[1, 2, 3.0]], [[0, 0, 1.0]], boxsize=10).write(tmp_path / "g.h5")
    with pytest.raises(ValueError, match="holds no correlations in a box"):
        BoxCorrelations.read(tmp_path / "g.h5")
    with pytest.raises(FileNotFoundError):
        BoxCorrelations.read(tmp_path / "none.h5")


@pytest.mark.parametrize("suffix", [".ecsv", ".h5"])
@pytest.mark.parametrize("statistics", [None, "omega", "xi,eta"])
def test_posteriors_take_the_covariance(tmp_path, suffix, statistics):
    made = BoxCorrelations.combine(boxes(20))
    made.write(tmp_path / f"r{suffix}")
    seen = Observation.read(tmp_path / f"r{suffix}", statistics=statistics)
    chosen = NAMES if statistics is None else tuple(statistics.split(","))
    rows = np.concatenate([np.arange(4) + 4 * NAMES.index(name) for name in chosen])
    np.testing.assert_allclose(seen.covariance, made.covariance[np.ix_(rows, rows)], rtol=1e-12)
    direct = Observation.of(made, statistics=statistics)
    np.testing.assert_array_equal(direct.covariance, seen.covariance)
    np.testing.assert_array_equal(direct.vector, seen.vector)


def test_posteriors_leave_out_bins_without_pairs(tmp_path):
    first = next(iter(results()))
    first.write(tmp_path / "r.ecsv")
    empty = int((first.npairs == 0).sum())
    assert empty > 0
    with pytest.raises(ValueError, match="on_bad='drop'"):
        Observation.read(tmp_path / "r.ecsv", statistics="xi")
    seen = Observation.read(tmp_path / "r.ecsv", statistics="xi", on_bad="drop")
    assert seen.covariance.shape == (8 - empty,) * 2
