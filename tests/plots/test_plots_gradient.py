"""Figures of the differentiable correlation function hold the right data."""

from __future__ import annotations

import numpy as np
import pytest

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.quiver import Quiver  # noqa: E402

from pysoftcorr import plots  # noqa: E402
from pysoftcorr.plots.gradient import MULTIPLES  # noqa: E402
from pysoftcorr.sky.binning import Binning  # noqa: E402
from pysoftcorr.sky.catalog import Catalog  # noqa: E402

BINS = Binning.linear(0, 60, 2)


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture
def three():
    return Catalog(ra=[10.0, 10.4, 11.0], dec=[60.0, 60.2, 60.1], g1=[0.1, 0, 0], g2=[0, 0.1, 0])


def curves(ax):
    return [line for line in ax.lines if line.get_marker() == "None" and line.get_ls() == "-"]


def test_bin_weights_follow_eqs_22_and_23():
    axes = np.reshape(plots.plot_bin_weights(BINS).axes, (2, len(MULTIPLES)))
    for column, multiple in enumerate(MULTIPLES):
        for row in range(2):
            # The gray edges come first.
            drawn = [line for line in curves(axes[row, column]) if len(line.get_xdata()) > 2]
            assert len(drawn) == BINS.nbins
            for line, (a, b) in zip(drawn, [(0, 30), (30, 60)], strict=True):
                x = line.get_xdata()
                if row == 0:
                    s = multiple * 20 / 30
                    want = 1 / (1 + np.exp(-s * (x - a))) / (1 + np.exp(s * (x - b)))
                else:
                    want = np.exp(-multiple * 4 * np.log(2) / 900 * (x - (a + b) / 2) ** 2)
                np.testing.assert_allclose(line.get_ydata(), want, rtol=1e-9, atol=1e-14)


def test_bin_weights_sum_is_inside_the_panel_and_units_are_arcmin():
    figure = plots.plot_bin_weights(Binning.linear(0, 1, 2, unit="deg"), multiples=[0.1])
    for ax in figure.axes:
        total = next(line for line in ax.lines if line.get_ls() == "--")
        assert total.get_ydata().max() < ax.get_ylim()[1]
    assert 60 < figure.axes[0].get_xlim()[1] < 80
    assert "arcmin" in figure.axes[-1].get_xlabel()


def test_bin_weights_refuses_a_sharpness_of_nothing():
    with pytest.raises(ValueError, match="sharpness"):
        plots.plot_bin_weights(BINS, multiples=[0.0])


def test_tangent_touches_the_curve():
    G = np.linspace(1.9, 2.1, 5)
    xi = np.stack([G**2, -G], axis=1)
    figure = plots.plot_xi_of_G(
        [("wide", G, xi), ("narrow", G, xi)], 2.0, [4.0, -2.0], [4.0, -1.0], BINS, naive=xi + 7.0
    )
    assert len(figure.axes) == 4
    for ax, value, slope in zip(figure.axes, [4.0, -2.0] * 2, [4.0, -1.0] * 2, strict=True):
        (tangent,) = [line for line in ax.lines if line.get_ls() == "--"]
        np.testing.assert_allclose(tangent.get_xdata(), [-5, -2.5, 0, 2.5, 5], atol=1e-9)
        np.testing.assert_allclose(tangent.get_ydata(), value + slope * (G - 2.0))
        points = next(line for line in ax.lines if line.get_marker() == ".")
        np.testing.assert_allclose(points.get_ydata()[2], value)
    # All pairs in the first row alone, brought to the point.
    naive = [line for line in figure.axes[0].lines if line.get_label() == "all pairs, shifted"]
    np.testing.assert_allclose(naive[0].get_ydata(), G**2)
    assert not any("all pairs" in line.get_label() for line in figure.axes[2].lines)


def test_xi_of_G_of_an_empty_bin_and_of_many():
    G, bins = np.linspace(0.9, 1.1, 3), Binning.linear(0, 90, 9)
    xi = np.ones((3, 9))
    xi[:, 0] = np.nan
    figure = plots.plot_xi_of_G([("all", G, xi)], 1.0, xi[0], np.zeros(9), bins)
    assert [ax.get_title().split()[0] for ax in figure.axes] == ["0", "30", "50", "80"]
    figure.canvas.draw()


def test_arrows_point_along_the_gradient_on_the_sky(three):
    ra, dec = np.zeros((2, 3)), np.zeros((2, 3))
    ra[0, 0] = 6e-3  # per degree of right ascension, which is half a degree on the sky here
    dec[0, 1], dec[1, 2] = -3e-3, 1e-3
    figure = plots.plot_gradient_arrows(three, ra, dec, BINS, centers=([10.2], [60.1]))
    drawn = [next(c for c in ax.collections if isinstance(c, Quiver)) for ax in figure.axes[:2]]
    columns = drawn[0].U, drawn[0].V, drawn[0].get_array()
    where = map(tuple, drawn[0].get_offsets().round(9).tolist())
    arrows = dict(zip(where, zip(*columns, strict=True), strict=True))
    u, v, size = arrows[(10.0, 60.0)]
    assert u < 0  # east is to the left
    assert v == 0
    assert size == pytest.approx(2 * 6e-3 / 60, rel=0.05)
    u, v, size = arrows[(10.4, 60.2)]
    assert u == 0
    assert v < 0
    assert size == pytest.approx(3e-3 / 60, rel=1e-9)
    assert arrows[(11.0, 60.1)][:2] == (0, 0)
    assert np.count_nonzero(drawn[1].V) == 1
    figure.canvas.draw()


def test_arrows_of_no_gradient_at_all(three):
    nothing = np.zeros((2, 3))
    plots.plot_gradient_arrows(three, nothing, nothing, BINS).canvas.draw()


def test_shapes_are_checked(three):
    with pytest.raises(ValueError, match=r"\(2, 3\), got \(3,\)"):
        plots.plot_gradient_arrows(three, np.zeros(3), np.zeros(3), BINS)
    with pytest.raises(ValueError, match=r"shape \(2,\)"):
        plots.plot_xi_of_G([("a", [1.0], np.zeros((1, 2)))], 1.0, [1.0], [1.0, 2.0], BINS)
    with pytest.raises(ValueError, match="'a' has shape"):
        plots.plot_xi_of_G([("a", [1.0], np.zeros((1, 3)))], 1.0, [1.0, 1.0], [1.0, 2.0], BINS)


def test_values_of_G_in_any_order():
    G = np.linspace(0.9, 1.1, 5)[[3, 0, 4, 1, 2]]
    xi = np.stack([G**2, -G], axis=1)
    ax = plots.plot_xi_of_G([("all", G, xi)], 1.0, [1.0, -1.0], [2.0, -1.0], BINS, naive=xi).axes[0]
    for line in ax.lines[:2]:
        np.testing.assert_allclose(line.get_xdata(), [-10, -5, 0, 5, 10], atol=1e-9)
        np.testing.assert_allclose(line.get_ydata(), np.linspace(0.9, 1.1, 5) ** 2)
    assert ax.get_xlim() == pytest.approx((-10, 10))
