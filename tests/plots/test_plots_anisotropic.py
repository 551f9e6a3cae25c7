"""Figures of correlations about a line of sight hold the right data."""

from __future__ import annotations

import numpy as np
import pytest

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

from pysoftcorr.mocks import multipoles, projected_correlations  # noqa: E402

L = 60.0


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def clumps():
    rng = np.random.default_rng(1)
    centers = rng.uniform(0, L, (150, 3))
    position = centers[rng.integers(0, 150, 3000)] + rng.normal(size=(3000, 3))
    return np.mod(position, L), rng.normal(size=(3000, 3))


def test_map_and_projections(clumps) -> None:
    result = projected_correlations(
        *clumps, boxsize=L, rp_bins="log:0.3:16:8", pi_max=20, pi_bins=10
    )
    figure = result.plot()
    chart, wp, gp, pp, bar = figure.axes
    mesh = chart.collections[0]
    # Four quadrants: bins to both sides of a hole in the middle, and above and below.
    shown = np.ma.filled(mesh.get_array().reshape(20, 17), np.nan)
    np.testing.assert_array_equal(shown[10:, 9:], result.xi.T)
    np.testing.assert_array_equal(shown[:10, 9:], result.xi.T[::-1])
    np.testing.assert_array_equal(shown[:, :8], shown[:, :8:-1])
    assert np.isnan(shown[:, 8]).all()
    assert len(chart.collections) > 1  # contours
    assert bar.get_ylabel() == r"$\xi(r_p, \pi)$"
    positive, negative = result.wp > 0, result.wp < 0
    values = [np.asarray(line.get_ydata()) for line in wp.lines]
    np.testing.assert_allclose(values[0], result.wp[positive])
    if negative.any():
        np.testing.assert_allclose(values[1], -result.wp[negative])
        assert wp.lines[1].get_markerfacecolor() == "white"
    for ax, labels in ((gp, ("w_gp", "w_gx")), (pp, ("w_pp", "w_xx"))):
        curves = [line for line in ax.lines if len(line.get_xdata()) == 8]
        for line, name in zip(curves, labels, strict=True):
            np.testing.assert_allclose(line.get_ydata(), result.rp * getattr(result, name))
        assert ax.get_legend() is not None


def test_without_shapes_and_from_zero(clumps) -> None:
    result = projected_correlations(
        clumps[0], boxsize=L, rp_bins="linear:0:20:10", pi_max=20, pi_bins=10
    )
    figure = result.plot()
    assert len(figure.axes) == 3
    shown = figure.axes[0].collections[0].get_array().reshape(20, 20)
    np.testing.assert_array_equal(shown[10:, 10:], result.xi.T)
    assert figure.axes[1].get_xscale() == "linear"


def test_multipoles_times_the_square(clumps) -> None:
    result = multipoles(*clumps, boxsize=L, bins="log:1:25:8")
    axes = result.plot().axes
    assert len(axes) == 3
    for ax, names in zip(
        axes, (("xi0", "xi2", "xi4"), ("gp2", "gp4", "gx2"), ("ii0", "ii2", "ii44")), strict=True
    ):
        curves = [line for line in ax.lines if len(line.get_xdata()) == 8]
        for line, name in zip(curves, names, strict=True):
            np.testing.assert_allclose(line.get_ydata(), result.s**2 * getattr(result, name))
    cross = multipoles(*clumps, boxsize=L, bins="log:1:25:8", second=clumps[0][:500])
    assert len(cross.plot().axes) == 2  # positions without shapes have none to correlate
    assert len(multipoles(clumps[0], boxsize=L, bins="log:1:25:8").plot().axes) == 1


@pytest.mark.parametrize("n", [2, 12])
def test_too_few_pairs_are_said(n: int) -> None:
    rng = np.random.default_rng(2)
    p, axis = rng.uniform(0, L, (n, 3)), rng.normal(size=(n, 3))
    for result in (
        projected_correlations(p, axis, boxsize=L, rp_bins=[0.1, 1, 2], pi_max=10, pi_bins=1),
        multipoles(p, axis, boxsize=L, bins=[0.1, 1, 2]),
    ):
        texts = [text.get_text() for ax in result.plot().axes for text in ax.texts]
        assert "too few pairs" in texts


def test_bins_of_few_pairs_are_left_out_with_a_word() -> None:
    rng = np.random.default_rng(3)
    sample = rng.uniform(0, L, (170, 3)), rng.normal(size=(170, 3))
    for bins, rp, s in (("log:0.5:16:6", 10, 100), ([8, 12, 16], None, None)):
        _chart, wp, *rest = (
            projected_correlations(*sample, boxsize=L, rp_bins=bins, pi_max=20, pi_bins=4)
            .plot()
            .axes
        )
        said = [ax.get_title(loc="right") for ax in (wp, *rest[:2])]
        expected = [f"bins of fewer than {n} pairs left out" if n else "" for n in (rp, s, s)]
        assert said == expected
        for ax in multipoles(*sample, boxsize=L, bins=bins, mu_bins=4).plot().axes:
            assert ax.get_title(loc="right") == expected[1]
