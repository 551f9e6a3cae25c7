"""Correlations about a line of sight: against a plain twin, closed forms, symmetries, TreeCorr."""

from __future__ import annotations

import hashlib
import inspect
from pathlib import Path

import numpy as np
import pytest
from scipy import special

from pysoftcorr._julia.runtime import start
from pysoftcorr.mocks import (
    GalaxyCatalog,
    Multipoles,
    ProjectedCorrelations,
    box_correlations,
    multipoles,
    projected_correlations,
    projected_shapes,
)
from pysoftcorr.mocks.anisotropic import cosine_fraction, projected_fraction

RP = np.geomspace(0.1, 16.0, 11)
PI = np.linspace(0.0, 15.0, 6)
MU = np.linspace(0.0, 1.0, 9)
SQUARE = ("xi", "xi_gp", "xi_gx", "xi_pp", "xi_xx", "xi_px")
SIDES = [60.0, (50.0, 64.0, 41.0), (33.0, 90.0, 70.0)]


def twin(first, second, outer, inner, sides, *, cosine: bool, auto: bool, periodic: bool) -> dict:
    """All ordered pairs at once, straight from the definitions; the line of sight is z."""
    (p1, e1, w1), (p2, e2, w2) = first, second
    d = p2[None] - p1[:, None]
    if periodic:
        d -= sides * np.round(d / sides)
    across, along = np.hypot(d[..., 0], d[..., 1]), np.abs(d[..., 2])
    keep = ~np.eye(len(p1), dtype=bool) if auto else np.ones(across.shape, dtype=bool)
    r, second_coordinate = across, along
    if cosine:
        r = np.hypot(across, along)
        second_coordinate = along / np.where(r > 0, r, 1)
    turn = np.exp(-2j * np.arctan2(d[..., 1], d[..., 0]))
    a, b = e1[:, None] * turn, e2[None] * turn
    w = w1[:, None] * w2[None]
    values = {
        "npairs": np.ones(w.shape) / (2 if auto else 1),
        "weight": w,
        "separation": w * r,
        "xi_gp": w * a.real,
        "xi_gx": w * a.imag,
        "xi_pp": w * a.real * b.real,
        "xi_xx": w * a.imag * b.imag,
        "xi_px": w * (a.real * b.imag + a.imag * b.real) / 2,
    }
    i = np.searchsorted(outer, r) - 1
    j = np.searchsorted(inner, second_coordinate) - 1
    j[(second_coordinate == 0) & (inner[0] == 0)] = 0
    shape = (len(outer) - 1, len(inner) - 1)
    good = keep & (i >= 0) & (i < shape[0]) & (j >= 0) & (j < shape[1])
    flat = (i * shape[1] + j)[good]
    return {
        name: np.bincount(flat, v[good], shape[0] * shape[1]).reshape(shape)
        for name, v in values.items()
    }


def drawn(n: int, sides, seed: int, clump: float = 0.7):
    """Positions in clumps, axes, shapes and weights."""
    rng = np.random.default_rng(seed)
    sides = np.broadcast_to(np.asarray(sides, float), 3)
    position = rng.uniform(0, sides, (max(1, n // 6), 3))[rng.integers(0, max(1, n // 6), n)]
    position = np.mod(position + clump * rng.normal(size=(n, 3)), sides)
    shape = 0.3 * (rng.normal(size=n) + 1j * rng.normal(size=n))
    return position, rng.normal(size=(n, 3)), shape, rng.uniform(0.2, 2, n)


def compare(result, sums) -> None:
    np.testing.assert_array_equal(result.npairs, np.rint(sums["npairs"]))
    np.testing.assert_allclose(result.weight, sums["weight"], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(result.xi, sums["weight"] / result.rr - 1, rtol=1e-11, atol=1e-11)
    total = sums["weight"].sum(axis=1)
    some = total > 0
    np.testing.assert_allclose(
        result.separation[some], (sums["separation"].sum(axis=1) / np.where(some, total, 1))[some],
        rtol=1e-12,
    )  # fmt: skip
    assert np.isnan(result.separation[~some]).all()
    for name in SQUARE[1:]:
        # Directions of pairs 0.1 apart have 13 digits.
        scale = np.abs(sums["weight"]).max()
        got = getattr(result, name) * result.rr
        np.testing.assert_allclose(got / scale, sums[name] / scale, atol=1e-12, err_msg=name)


# ---------------------------------------------------------------------- the twin
@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize("sides", SIDES)
@pytest.mark.parametrize("n", [3, 60, 700])
def test_one_set_against_the_twin(n: int, sides, periodic: bool) -> None:
    p, _, e, w = drawn(n, sides, n)
    L = np.broadcast_to(np.asarray(sides, float), 3)
    one = (p, e, w)
    options = {"boxsize": sides, "ellipticity": e, "weights": w, "periodic": periodic}
    result = projected_correlations(p, rp_bins=RP, pi_bins=PI, **options)
    compare(result, twin(one, one, RP, PI, L, cosine=False, auto=True, periodic=periodic))
    result = multipoles(p, bins=RP, mu_bins=MU, **options)
    compare(result, twin(one, one, RP, MU, L, cosine=True, auto=True, periodic=periodic))


@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize("sides", SIDES[1:])
def test_two_sets_against_the_twin(sides, periodic: bool) -> None:
    L = np.array(sides)
    p, _, e, w = drawn(400, sides, 1)
    q, _, f, v = drawn(300, sides, 2)
    options = {
        "boxsize": sides, "ellipticity": e, "weights": w, "periodic": periodic,
        "second": q, "second_ellipticity": f, "second_weights": v,
    }  # fmt: skip
    result = projected_correlations(p, rp_bins=RP, pi_bins=PI, **options)
    sums = twin((p, e, w), (q, f, v), RP, PI, L, cosine=False, auto=False, periodic=periodic)
    compare(result, sums)
    result = multipoles(p, bins=RP, mu_bins=MU, **options)
    sums = twin((p, e, w), (q, f, v), RP, MU, L, cosine=True, auto=False, periodic=periodic)
    compare(result, sums)


@pytest.mark.parametrize(
    ("outer", "inner"),
    [
        ([0.0, 1.0, 5.0, 16.0], [0.0, 20.0]),
        ([3.0, 24.9], [0.0, 0.5, 20.5]),
        (np.linspace(0, 16, 40), np.linspace(0, 20, 101)),
        ([0, 1e-3, 2e-3, 25.0], [0, 1e-3, 20.0]),
    ],
)
def test_other_bins_to_half_the_box(outer, inner) -> None:
    sides = (50.0, 64.0, 41.0)
    L, outer, inner = np.array(sides), np.asarray(outer, float), np.asarray(inner, float)
    p, _, e, w = drawn(500, sides, 3)
    result = projected_correlations(
        p, boxsize=sides, rp_bins=outer, pi_bins=inner, ellipticity=e, weights=w
    )
    one = (p, e, w)
    compare(result, twin(one, one, outer, inner, L, cosine=False, auto=True, periodic=True))
    np.testing.assert_array_equal(result.edges, outer)
    np.testing.assert_array_equal(result.pi_edges, inner)
    short = np.where(outer > 20.5, 20.5, outer)
    cosines = inner / inner[-1]
    result = multipoles(p, boxsize=sides, bins=short, mu_bins=cosines, ellipticity=e, weights=w)
    compare(result, twin(one, one, short, cosines, L, cosine=True, auto=True, periodic=True))


def test_all_of_the_box_holds_all_pairs() -> None:
    """Cylinders to the end of the box, and as many random pairs as there are."""
    rng = np.random.default_rng(1)
    sides = (20.0, 20.0, 30.0)
    p = rng.uniform(0, sides, (2000, 3))
    result = projected_correlations(p, boxsize=sides, rp_bins=np.linspace(0, 10, 6), pi_max=15)
    inside = np.pi * 10**2 / 400
    assert result.rr.sum() == pytest.approx(2000**2 * inside)
    assert result.weight.sum() / 2000**2 == pytest.approx(inside, abs=3e-3)


def test_lines_of_sight_are_permutations() -> None:
    sides = (50.0, 64.0, 41.0)
    p, axis, _, w = drawn(500, sides, 4)
    pick = {"x": [1, 2, 0], "y": [2, 0, 1], "z": [0, 1, 2]}
    for sight, turn in pick.items():
        turned = tuple(np.array(sides)[turn])
        for function, bins in (
            (projected_correlations, {"rp_bins": RP, "pi_max": 20.0, "pi_bins": 5}),
            (multipoles, {"bins": RP, "mu_bins": MU}),
        ):
            one = function(p, axis, boxsize=sides, line_of_sight=sight, weights=w, **bins)
            other = function(p[:, turn], axis[:, turn], boxsize=turned, weights=w, **bins)
            np.testing.assert_array_equal(one.npairs, other.npairs)
            for name in SQUARE:
                a, b = getattr(one, name), getattr(other, name)
                np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)
            assert one.settings["line_of_sight"] == sight


# ---------------------------------------------------------------------- symmetries
def test_what_leaves_the_statistics_as_they_are() -> None:
    sides = (48.0, 48.0, 41.0)
    p, axis, _, w = drawn(600, sides, 5)
    options = {"boxsize": sides, "rp_bins": RP, "pi_bins": PI}
    base = projected_correlations(p, axis, weights=w, **options)
    rng = np.random.default_rng(6)
    order = rng.permutation(len(p))
    quarter = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])  # about the line of sight
    same = {
        "moved": (np.mod(p + rng.uniform(0, 40, 3), sides), axis, w),
        "in another order": (p[order], axis[order], w[order]),
        "axes turned around": (p, -3.0 * axis, w),
        "a quarter turn": (np.mod(p @ quarter.T, sides), axis @ quarter.T, w),
        "seen from behind": (np.mod(p * [1, 1, -1], sides), axis * [1, 1, -1], w),
        "all through the center": (np.mod(-p, sides), axis, w),
    }
    for name, (q, f, v) in same.items():
        found = projected_correlations(q, f, weights=v, **options)
        np.testing.assert_array_equal(found.npairs, base.npairs, err_msg=name)
        for statistic in SQUARE:
            scale = np.abs(base.xi).max()
            np.testing.assert_allclose(
                getattr(found, statistic) / scale, getattr(base, statistic) / scale,
                atol=1e-11, err_msg=f"{name}, {statistic}",
            )  # fmt: skip
    mirrored = projected_correlations(
        np.mod(p * [1, -1, 1], sides), axis * [1, -1, 1], weights=w, **options
    )
    for statistic, sign in zip(SQUARE, (1, 1, -1, 1, 1, -1), strict=True):
        scale = np.abs(base.xi).max()
        np.testing.assert_allclose(
            getattr(mirrored, statistic) / scale, sign * getattr(base, statistic) / scale,
            atol=1e-11, err_msg=statistic,
        )  # fmt: skip


def test_shapes_at_45_degrees_are_all_cross() -> None:
    p, axis, _, _ = drawn(500, 50.0, 7)
    e = projected_shapes(axis)
    options = {"boxsize": 50.0, "rp_bins": RP, "pi_bins": PI}
    base = projected_correlations(p, ellipticity=e, **options)
    # Position angles grow by 45 degrees, plus becomes cross.
    turned = projected_correlations(p, ellipticity=1j * e, **options)
    for one, other, sign in (
        ("xi_gx", "xi_gp", 1), ("xi_gp", "xi_gx", -1), ("xi_xx", "xi_pp", 1),
        ("xi_px", "xi_px", -1),
    ):  # fmt: skip
        np.testing.assert_allclose(getattr(turned, one), sign * getattr(base, other), atol=1e-11)


def test_a_set_with_itself_as_two_sets() -> None:
    p, axis, _, _ = drawn(500, 50.0, 8)
    options = {"boxsize": 50.0, "rp_bins": RP, "pi_bins": PI}
    auto = projected_correlations(p, axis, **options)
    both = projected_correlations(p, axis, second=p, second_axis=axis, **options)
    np.testing.assert_array_equal(both.npairs, 2 * auto.npairs)
    for name in SQUARE:
        np.testing.assert_allclose(getattr(both, name), getattr(auto, name), atol=1e-11)


def test_axes_and_their_projection() -> None:
    axis = np.random.default_rng(1).normal(size=(100, 3))
    unit = axis / np.linalg.norm(axis, axis=1)[:, None]
    for k, sight in enumerate("xyz"):
        e = projected_shapes(axis, line_of_sight=sight)
        np.testing.assert_allclose(np.abs(e), 1 - unit[:, k] ** 2, atol=1e-14)
        first, second = [(1, 2), (2, 0), (0, 1)][k]
        angle = np.arctan2(unit[:, second], unit[:, first])
        np.testing.assert_allclose(np.angle(e * np.exp(-2j * angle)), 0, atol=1e-12)


def test_signs_by_hand() -> None:
    """Shapes along the line between two galaxies, across it, and at 45 degrees."""
    p = [[5.0, 5, 5], [8.0, 5, 7]]
    for angle, plus, cross in ((0.0, 1, 0), (np.pi / 2, -1, 0), (np.pi / 4, 0, 1)):
        axis = np.tile([np.cos(angle), np.sin(angle), 0.0], (2, 1))
        result = projected_correlations(p, axis, boxsize=20, rp_bins=[2, 4], pi_max=4, pi_bins=1)
        assert result.npairs.tolist() == [[1]]
        ratio = result.weight[0, 0] / result.rr[0, 0]
        assert result.xi_gp[0, 0] == pytest.approx(plus * ratio, abs=1e-12)
        assert result.xi_gx[0, 0] == pytest.approx(cross * ratio, abs=1e-12)
        assert result.xi_pp[0, 0] == pytest.approx(abs(plus) * ratio, abs=1e-12)
        assert result.xi_xx[0, 0] == pytest.approx(abs(cross) * ratio, abs=1e-12)
        assert result.w_gp[0] == pytest.approx(8 * result.xi_gp[0, 0])
        # The second pair of coordinates: one galaxy has the shape, the other the place.
        one = projected_correlations(
            p[:1], axis[:1], second=p[1:], boxsize=20, rp_bins=[2, 4], pi_max=4, pi_bins=1
        )
        assert one.xi_gp[0, 0] * one.rr[0, 0] == pytest.approx(plus, abs=1e-12)
        assert np.isnan(one.xi_pp).all()


# ---------------------------------------------------------------------- closed forms
def wave(n: int, L: float, k: float, contrast: float, axis: int, rng) -> np.ndarray:
    """Points of density 1 + contrast cos(k x) along one side."""
    found = np.empty((0, 3))
    while len(found) < n:
        tried = rng.uniform(0, L, (2 * n, 3))
        keep = rng.uniform(size=2 * n) * (1 + contrast) < 1 + contrast * np.cos(k * tried[:, axis])
        found = np.concatenate([found, tried[keep]])
    return found[:n]


def test_a_plane_wave_along_the_line_of_sight() -> None:
    """xi = A^2/2 cos(k pi), whose multipoles are spherical Bessel functions."""
    L, contrast = 60.0, 0.9
    k = 2 * np.pi * 2 / L
    p = wave(20_000, L, k, contrast, 2, np.random.default_rng(1))
    amplitude = contrast**2 / 2
    edges = np.linspace(2, 29, 10)
    result = multipoles(p, boxsize=L, bins=edges, mu_bins=60)
    fine = np.linspace(edges[:-1], edges[1:], 101)

    def expected(degree: int) -> np.ndarray:
        values = special.spherical_jn(degree, k * fine) * fine**2
        mean = values.sum(axis=0) / (fine**2).sum(axis=0)
        return amplitude * (2 * degree + 1) * (-1) ** (degree // 2) * mean

    for degree, values in ((0, result.xi0), (2, result.xi2), (4, result.xi4)):
        # Poisson pairs scatter by sqrt((2l + 1)/pairs); large-scale power adds about as much.
        scatter = np.sqrt((2 * degree + 1) / result.npairs.sum(axis=1)) + 0.01
        assert (np.abs(values - expected(degree)) < 4 * scatter).all(), degree
    assert np.abs(expected(2)).max() > 0.5
    projected = projected_correlations(p, boxsize=L, rp_bins=[2, 8, 20], pi_max=10, pi_bins=20)
    # The wave is constant across the line of sight; bins of pi are means of the cosine.
    integral = amplitude * 2 * np.sin(k * 10) / k
    np.testing.assert_allclose(projected.wp, integral, atol=0.25)
    assert abs(integral) > 3


def test_shapes_on_a_plane_wave() -> None:
    """Shapes a cos(kx) on a density 1 + A cos(kx): xi_g+ is -a A/2 J2(k rp), averaged by angle."""
    L, contrast, size = 60.0, 0.9, 0.4
    k = 2 * np.pi * 2 / L
    p = wave(25_000, L, k, contrast, 0, np.random.default_rng(2))
    e = size * np.cos(k * p[:, 0]).astype(complex)
    edges = np.linspace(2, 29, 10)
    options = {"boxsize": L, "rp_bins": edges, "pi_max": 20, "pi_bins": 4, "ellipticity": e}
    result = projected_correlations(p, **options)
    fine = np.linspace(edges[:-1], edges[1:], 101)
    mean = (special.jv(2, k * fine) * fine).sum(axis=0) / fine.sum(axis=0)
    expected = -size * contrast / 2 * mean * 2 * 20
    np.testing.assert_allclose(result.w_gp, expected, atol=0.12)
    np.testing.assert_allclose(result.w_gx, 0, atol=0.12)
    assert np.abs(expected).max() > 3
    # The same about x: the sky is then the plane (y, z), on which nothing points anywhere.
    across = projected_correlations(p, **options, line_of_sight="x")
    np.testing.assert_allclose(across.w_gp, 0, atol=0.12)


def aligned(n: int, L: float, seed: int):
    """Pairs of galaxies within a few Mpc/h that point at each other, in all directions alike."""
    rng = np.random.default_rng(seed)
    middle, direction = rng.uniform(0, L, (n, 3)), rng.normal(size=(n, 3))
    direction /= np.linalg.norm(direction, axis=1)[:, None]
    half = rng.uniform(0.5, 2.5, n)[:, None] * direction
    axis = direction + 0.35 * rng.normal(size=(n, 3))
    return np.mod(np.concatenate([middle - half, middle + half]), L), np.concatenate([axis, axis])


def test_real_space_is_isotropic() -> None:
    L = 340.0
    p, axis = aligned(40_000, L, 3)
    edges = [1.0, 2.0, 4.0, 8.0]
    box = box_correlations(p, axis, boxsize=L, bins=edges)
    result = multipoles(p, axis, boxsize=L, bins=edges, mu_bins=40)
    np.testing.assert_array_equal(result.npairs.sum(axis=1), box.npairs)
    np.testing.assert_allclose(result.xi0, box.xi, rtol=1e-12)
    noise = 4 * np.sqrt(9 / box.npairs) * (1 + box.xi)
    assert (np.abs(result.xi2) < noise).all()
    assert (np.abs(result.xi4) < noise).all()
    assert (np.abs(result.gp4) < noise).all()
    assert (np.abs(result.gx2) < noise).all()
    # All of the alignment is in the quadrupole, of known size.
    assert (np.abs(result.gp2 - (1 + box.xi) * box.omega / 2) < noise / 3).all()
    assert (result.gp2[:2] > 5 * noise[:2] / 3).all()


def test_wp_is_the_integral_of_xi() -> None:
    """The pairs of xi(rp, pi) are those of xi(r): in thin bins both count them alike."""
    L = 60.0
    p, axis, _, _ = drawn(3000, L, 9, clump=1.5)
    fine = np.linspace(0, 9, 91)
    projected = projected_correlations(p, axis, boxsize=L, rp_bins=fine, pi_max=9, pi_bins=90)
    ball = box_correlations(p, boxsize=L, bins=[1e-9, 3, 6, 9]).npairs
    middle = (fine[1:] + fine[:-1]) / 2
    r = np.hypot(middle[:, None], middle[None])
    inside = [projected.npairs[(r > lo) & (r <= hi)].sum() for lo, hi in ((0, 3), (3, 6), (6, 9))]
    np.testing.assert_allclose(inside, ball, rtol=0.01)
    np.testing.assert_allclose(projected.wp, 2 * (projected.xi * 0.1).sum(axis=1), rtol=1e-12)


@pytest.mark.parametrize("sides", [(30.0, 30.0, 30.0), (20.0, 35.0, 26.0)])
def test_random_pairs_of_an_open_box(sides) -> None:
    """RR is exact: Monte Carlo over pairs of points, and the parts add up."""
    rng = np.random.default_rng(4)
    n = 2_000_000
    d = np.abs(rng.uniform(0, sides, (n, 3)) - rng.uniform(0, sides, (n, 3)))
    across = np.hypot(d[:, 0], d[:, 1])
    r = np.hypot(across, d[:, 2])
    rp, pi, mu = np.linspace(0, 19, 5), np.linspace(0, 24, 4), np.linspace(0, 1, 5)
    s = np.linspace(0, min(sides) * 0.99, 5)
    for fraction, coordinates, bins in (
        (projected_fraction(rp, pi, np.array(sides), periodic=False), (across, d[:, 2]), (rp, pi)),
        (cosine_fraction(s, mu, np.array(sides), periodic=False), (r, d[:, 2] / r), (s, mu)),
    ):
        count = np.histogram2d(*coordinates, bins=bins)[0]
        assert (np.abs(count - n * fraction) < 4.5 * np.sqrt(count)).all()
    periodic = cosine_fraction(s, mu, np.array(sides), periodic=True).sum()
    assert periodic == pytest.approx(4 / 3 * np.pi * s[-1] ** 3 / np.prod(sides))


def test_multipoles_of_known_functions() -> None:
    """Every polynomial gives its own multipole alone."""
    p = np.random.default_rng(1).uniform(0, 30, (50, 3))
    base = multipoles(p, boxsize=30, bins=[1, 5, 10], mu_bins=200)
    mu = (base.mu_edges[1:] + base.mu_edges[:-1]) / 2
    square = np.ones((2, 1))
    functions = {
        ("xi", 0): (square, ("xi0", 1)),
        ("xi", 2): (special.eval_legendre(2, mu), ("xi2", 1)),
        ("xi", 4): (special.eval_legendre(4, mu), ("xi4", 1)),
        ("xi_gp", 2): (3 * (1 - mu**2), ("gp2", 1)),
        ("xi_gp", 4): (7.5 * (7 * mu**2 - 1) * (1 - mu**2), ("gp4", 1)),
        ("xi_pp", 4): (105 * (1 - mu**2) ** 2, ("ii44", 1)),
    }
    names = Multipoles.derived
    for (statistic, _), (values, (own, size)) in functions.items():
        zeros = {name: np.zeros_like(base.xi) for name in SQUARE}
        zeros[statistic] = np.broadcast_to(values, base.xi.shape)
        if own == "ii44":
            zeros["xi_pp"] = zeros["xi_pp"] / 2
            zeros["xi_xx"] = -zeros["xi_pp"]
        fields = {name: getattr(base, name) for name in ("edges", "inner_edges", "separation",
                  "npairs", "weight", "rr")}  # fmt: skip
        result = Multipoles(**fields, **zeros, settings={})
        for name in names:
            np.testing.assert_allclose(getattr(result, name), size * (name == own), atol=2e-3)


# ---------------------------------------------------------------------- TreeCorr
@pytest.mark.parametrize("two", [False, True])
def test_treecorr_on_the_same_points(two: bool) -> None:
    """Its Rperp with limits of rpar, of a box so far away that lines of sight are parallel."""
    treecorr = pytest.importorskip("treecorr")
    away, L, pi_max = 1e8, 40.0, 12.0
    p, _, e, w = drawn(400, L, 12)
    q, _, f, v = drawn(300, L, 13) if two else (p, None, e, w)
    edges = np.geomspace(0.5, 10, 6)
    given = {"second": q, "second_ellipticity": f, "second_weights": v} if two else {}
    ours = projected_correlations(
        p, boxsize=L, rp_bins=edges, pi_bins=[0.0, pi_max], ellipticity=e, weights=w,
        periodic=False, **given,
    )  # fmt: skip

    def catalog(position, shape, weights):
        # The sky as it is seen: x points west, y north.
        x, y, z = position.T
        place = np.stack([z + away, -x, y])
        r = np.linalg.norm(place, axis=0)
        ra, dec = np.arctan2(place[1], place[0]), np.arcsin(place[2] / r)
        return treecorr.Catalog(
            ra=ra, dec=dec, r=r, ra_units="rad", dec_units="rad", w=weights, g1=shape.real,
            g2=shape.imag,
        )  # fmt: skip

    def done(kind, *catalogs):
        correlation = getattr(treecorr, kind)(
            min_sep=edges[0], max_sep=edges[-1], nbins=len(edges) - 1, metric="Rperp",
            min_rpar=-pi_max, max_rpar=pi_max, brute=True,
        )  # fmt: skip
        correlation.process(*catalogs)
        return correlation

    first, second = catalog(p, e, w), catalog(q, f, v)
    both = (first, second) if two else (first,)
    order = 1 if two else 2
    counts, pointing, alike = (
        done("NNCorrelation", *both), done("NGCorrelation", second, first),
        done("GGCorrelation", *both),
    )  # fmt: skip
    np.testing.assert_array_equal(ours.npairs[:, 0], counts.npairs)
    expected = {
        "weight": order * counts.weight,
        # Tangential shear is minus what points along the separation.
        "xi_gp": -pointing.xi * pointing.weight,
        "xi_gx": -pointing.xi_im * pointing.weight,
        "xi_pp": order * (alike.xip + alike.xim) / 2 * alike.weight,
        "xi_xx": order * (alike.xip - alike.xim) / 2 * alike.weight,
        # xi- is that of e e, and its imaginary part twice plus-cross.
        "xi_px": order * alike.xim_im / 2 * alike.weight,
    }
    for name, theirs in expected.items():
        values = getattr(ours, name)[:, 0]
        sums = values if name == "weight" else values * ours.rr[:, 0]
        scale = order * counts.weight
        # Doubles keep 1.5e-8 of a position there.
        np.testing.assert_allclose(sums / scale, theirs / scale, atol=1e-6, err_msg=name)


# ---------------------------------------------------------------------- the rest
def digest() -> str:
    rng = np.random.default_rng(1)
    p, e = rng.uniform(0, 60, (20_000, 3)), rng.normal(size=(20_000, 3))
    w = rng.random(20_000)
    a = projected_correlations(p, e, boxsize=60, weights=w, pi_max=20)
    b = multipoles(p, e, boxsize=60, weights=w)
    both = [a.xi, a.xi_gp, a.xi_pp, b.xi, b.xi_gp, b.xi_xx]
    return hashlib.sha256(np.concatenate([x.ravel() for x in both]).tobytes()).hexdigest()


def test_bits_do_not_depend_on_threads(fresh) -> None:
    threads = "1" if start().host.threads > 1 else "3"
    code = "import hashlib\nimport numpy as np\n"
    code += "from pysoftcorr.mocks import multipoles, projected_correlations\n"
    code += inspect.getsource(digest) + "print(digest())"
    assert fresh(code, PYSOFTCORR_THREADS=threads).stdout.strip() == digest()


def test_files(tmp_path: Path) -> None:
    p, axis, _, _ = drawn(200, 40.0, 4)
    results = [
        projected_correlations(p, axis, boxsize=40.0, rp_bins=RP, pi_max=20.0),
        projected_correlations(p, boxsize=(40.0, 40.0, 50.0), rp_bins=[1, 2], pi_max=5, pi_bins=1),
        multipoles(p, axis, boxsize=40.0, bins=RP, mu_bins=MU),
        multipoles(p, boxsize=40.0, bins=[1, 2], mu_bins=[0, 0.3, 1], line_of_sight="x"),
    ]
    for result in results:
        result.write(tmp_path / "r.ecsv", overwrite=True)
        assert type(result).read(tmp_path / "r.ecsv") == result
        assert result.to_dict()["npairs"] == result.npairs.tolist()
    other = {ProjectedCorrelations: Multipoles, Multipoles: ProjectedCorrelations}
    for result in results[1:3]:
        result.write(tmp_path / "r.ecsv", overwrite=True)
        with pytest.raises(ValueError, match=r"r\.ecsv holds no (multipoles|projected corr)"):
            other[type(result)].read(tmp_path / "r.ecsv")
    assert results[0] != results[1]
    assert results[0] != results[2]
    with pytest.raises(ValueError, match=r"unknown suffix; use \.ecsv"):
        results[0].write(tmp_path / "r.fits")
    with pytest.raises(FileNotFoundError):
        Multipoles.read(tmp_path / "none.ecsv")


def test_catalog_brings_axes_and_box() -> None:
    p, axis, e, _ = drawn(300, 60.0, 4)
    galaxies = GalaxyCatalog(p, axis, boxsize=60.0)
    options = {"rp_bins": RP, "pi_max": 20.0}
    found = projected_correlations(galaxies, **options)
    assert found == projected_correlations(p, axis, boxsize=60.0, **options)
    assert found.has_shapes
    given = projected_correlations(galaxies, ellipticity=e, **options)
    assert given == projected_correlations(p, ellipticity=e, boxsize=60.0, **options)
    assert not projected_correlations(p, boxsize=60.0, **options).has_shapes
    bare = projected_correlations(p, boxsize=60.0, **options)
    np.testing.assert_array_equal(bare.xi, found.xi)
    assert np.isnan(bare.w_gp).all()


def test_objects_in_one_place_have_no_direction() -> None:
    p = [[5.0, 5, 5], [5, 5, 5], [5, 5, 8], [6, 5, 5]]
    axis = np.tile([1.0, 0, 0], (4, 1))
    found = projected_correlations(p, axis, boxsize=30, rp_bins=[0, 2], pi_max=5, pi_bins=1)
    assert found.npairs.tolist() == [[3]]  # those with the last one, across the line of sight
    found = multipoles(p, axis, boxsize=30, bins=[0, 2, 3.5], mu_bins=2)
    assert found.npairs.sum() == 5
    for name in SQUARE:
        assert np.isfinite(getattr(found, name)).all()
    # Along the line of sight nothing points anywhere; (1, 0, 3) has E = 1 of both.
    assert found.npairs[1, 1] == 3
    assert found.xi_gp[1, 1] * found.rr[1, 1] == pytest.approx(2)


GOOD = {"boxsize": 60.0, "pi_max": 20.0}
POINTS = [[1.0, 2, 3], [4, 5, 6], [7, 8, 9]]


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"boxsize": 31.0, "pi_max": 10}, ValueError, r"rp_bins: reach to 16 .* 15\.5 Mpc/h"),
        ({"pi_max": 31.0}, ValueError, r"pi_max: reach to 31 .* along the line of sight, 30 Mpc/h"),
        ({"pi_max": 40.0, "pi_bins": [0, 31]}, ValueError, r"pi_bins: reach to 31 "),
        ({"pi_bins": [0, 31]}, ValueError, r"pi_max = 20: pi_bins end at 31"),
        ({"boxsize": (60, 30, 60)}, ValueError, r"rp_bins: .*shorter side of the sky, 15 Mpc/h"),
        ({"boxsize": (60, 60, 30)}, ValueError, r"pi_max: .* 15 Mpc/h"),
        ({"boxsize": (60, 60)}, ValueError, "boxsize"),
        ({"boxsize": None}, ValueError, "boxsize must be given"),
        ({"pi_max": 0}, ValueError, "pi_max = 0: must be finite and above 1e-06"),
        ({"pi_bins": 0}, ValueError, "pi_bins = 0: must be from 1 to 1,000,000"),
        ({"pi_bins": [1, 20]}, ValueError, "pi_bins: begin at 1 Mpc/h; they must begin at 0"),
        ({"pi_bins": [0, 5, 4]}, ValueError, r"pi_bins: must increase; edge 2 \(4\)"),
        ({"rp_bins": [2, 1]}, ValueError, "rp_bins: must increase"),
        ({"rp_bins": object()}, TypeError, "rp_bins: must be a Binning, text"),
        ({"line_of_sight": "w"}, ValueError, "line_of_sight = 'w': must be one of"),
        ({"line_of_sight": 2}, TypeError, "line_of_sight = 2: must be text"),
        ({"axis": np.eye(3), "ellipticity": [0, 0, 0]}, ValueError, "are both given"),
        ({"ellipticity": [0, 0]}, ValueError, "ellipticity has 2 rows, and position 3"),
        ({"ellipticity": [[0, 0]] * 3}, ValueError, r"ellipticity must have shape \(N,\)"),
        ({"ellipticity": [0, np.nan, 0]}, ValueError, "NaN.* ellipticity.*row 1"),
        ({"ellipticity": "abc"}, TypeError, "ellipticity must be complex"),
        ({"second_weights": [1, 1]}, ValueError, "given without second"),
        ({"second": [[1, 2, 99.0]]}, ValueError, "second_position is outside"),
        ({"weights": [1, -1, 1]}, ValueError, "weights must not be negative"),
        ({"periodic": False, "pi_max": 60.0}, ValueError, "pi_max: reach to 60 .* below"),
        ({"periodic": 1}, TypeError, "periodic = 1"),
    ],
)
def test_bad_input_is_named(change: dict, error: type, text: str) -> None:
    with pytest.raises(error, match=text):
        projected_correlations(POINTS, **{**GOOD, **change})


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        (
            {"boxsize": (60, 30, 60)},
            ValueError,
            r"bins: reach to 16 .*shortest side .*, 15 ",
        ),
        ({"mu_bins": [0, 0.5]}, ValueError, "mu_bins: from 0 to 0.5; multipoles need all"),
        ({"mu_bins": [0, 2]}, ValueError, "mu_bins: from 0 to 2"),
        ({"mu_bins": 0}, ValueError, "mu_bins = 0: must be at least 1"),
        ({"mu_bins": True}, TypeError, "mu_bins = True"),
        ({"mu_bins": "linear:0:1:4"}, TypeError, "mu_bins = 'linear:0:1:4': must be"),
    ],
)
def test_bad_input_of_multipoles_is_named(change: dict, error: type, text: str) -> None:
    with pytest.raises(error, match=text):
        multipoles(POINTS, **{"boxsize": 60.0, **change})


# ---------------------------------------------------------------------- several boxes
@pytest.mark.parametrize("kind", [ProjectedCorrelations, Multipoles])
def test_mean_of_boxes_and_its_covariance(tmp_path: Path, kind) -> None:
    rng = np.random.default_rng(1)

    def box(n: int):
        p, axis = rng.uniform(0, 40, (n, 3)), rng.normal(size=(n, 3))
        if kind is Multipoles:
            return multipoles(p, axis, boxsize=40.0, bins=[4, 8, 12], mu_bins=5)
        return projected_correlations(
            p, axis, boxsize=40.0, rp_bins=[4, 8, 12], pi_max=20, pi_bins=4
        )

    boxes = [box(600 + 5 * k) for k in range(60)]
    found = kind.combine(boxes)
    assert found.statistics == kind.derived
    values = np.array([np.concatenate([getattr(b, n) for n in kind.derived]) for b in boxes])
    np.testing.assert_allclose(
        np.concatenate([getattr(found, n) for n in kind.derived]), values.mean(axis=0), atol=1e-12
    )
    np.testing.assert_allclose(found.covariance, np.cov(values.T) / 60, rtol=1e-12)
    for k, name in enumerate(kind.derived):
        expected = values.std(axis=0, ddof=1)[2 * k : 2 * k + 2] / np.sqrt(60)
        np.testing.assert_allclose(found.errors[name], expected, rtol=1e-10)
    # Unclustered points: Poisson pairs, of which xi_0 and wp (over 2 pi_max) are means.
    pairs = np.mean([b.npairs.sum(axis=1) for b in boxes], axis=0)
    poisson = 1 / np.sqrt(60 * pairs) * (2 * 20 if kind is ProjectedCorrelations else 1)
    ratio = found.errors[kind.derived[0]] / poisson
    assert (np.abs(ratio - 1) < 4 / np.sqrt(2 * 59)).all()
    np.testing.assert_array_equal(found.npairs, np.sum([b.npairs for b in boxes], axis=0))
    assert found.settings["boxes"] == 60
    assert found.settings["n"] == [600 + 5 * k for k in range(60)]
    found.write(tmp_path / "r.ecsv")
    assert kind.read(tmp_path / "r.ecsv") == found
    assert found.to_dict()["errors"][kind.derived[0]] == found.errors[kind.derived[0]].tolist()
    with pytest.warns(UserWarning, match=r"covariance of \d+ values by 3 boxes has no inverse"):
        few = kind.combine(boxes[:3])
    assert few.errors[kind.derived[0]].shape == (2,)


def test_boxes_that_differ_have_no_mean() -> None:
    p, axis, _, _ = drawn(50, 40.0, 1)
    options = {"boxsize": 40.0, "bins": [4, 8], "mu_bins": 4}
    one = multipoles(p, axis, **options)
    projected = projected_correlations(p, boxsize=40.0, rp_bins=[1, 2], pi_max=5)
    with pytest.warns(UserWarning, match="no inverse"):
        mean = Multipoles.combine([one, multipoles(p[:-1], axis[:-1], **options)])
    for results, error, text in (
        ([one], ValueError, "1 given; a scatter needs two boxes or more"),
        ([one, projected], TypeError, "must be Multipoles, not ProjectedCorrelations"),
        ([one, mean], ValueError, r"results\[1\] is a mean of boxes itself"),
        ([one, multipoles(p, axis, **{**options, "bins": [4, 9]})], ValueError, "other bins"),
        ([one, multipoles(p, axis, **{**options, "mu_bins": 5})], ValueError, "other bins"),
        ([one, multipoles(p, axis, **options, line_of_sight="x")], ValueError,
         r"results\[1\] is of another line_of_sight \('x'\) than results\[0\] \('z'\)"),
        ([one, multipoles(p, axis, **{**options, "boxsize": 41.0})], ValueError,
         r"another boxsize \(41.0\)"),
        ([one, multipoles(p, **options)], ValueError, r"\[1\] has xi0, xi2, xi4, and"),
    ):  # fmt: skip
        with pytest.raises(error, match=text):
            Multipoles.combine(results)
