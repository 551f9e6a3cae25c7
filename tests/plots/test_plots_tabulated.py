"""The figure of a prediction of tables of halos."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest

from pysoftcorr.mocks import GalaxyCatalog, box_correlations
from pysoftcorr.mocks.hod import PARAMETERS
from pysoftcorr.mocks.tabulated.prediction import Mean, TabulatedPrediction
from pysoftcorr.plots import plot_tabulated_prediction

EDGES = np.geomspace(0.5, 8, 6)


def prediction(xi, parameters=(0.5, 0.2, 12.0, 0.3, 12.0, 13.0, 1.0)) -> TabulatedPrediction:
    values = np.linspace(0.02, -0.01, 5)
    return TabulatedPrediction(
        Mean(np.asarray(xi)), Mean(values), Mean(values**2), 1e-3, 0.2, 80.0, 20.0,
        np.sqrt(EDGES[1:] * EDGES[:-1]), EDGES, np.array(parameters), PARAMETERS,
    )  # fmt: skip


def test_lines_and_points():
    rng = np.random.default_rng(1)
    n = 300
    galaxies = GalaxyCatalog(rng.uniform(0, 20, (n, 3)), rng.normal(size=(n, 3)), boxsize=20)
    measured = box_correlations(galaxies, bins=EDGES)
    said = prediction([30.0, 5.0, 1.0, 0.1, -0.02])
    figure = plot_tabulated_prediction(said, measured=measured)
    xi, omega, eta = figure.axes
    solid, broken, points = xi.get_lines()
    np.testing.assert_array_equal(solid.get_ydata(), [30.0, 5.0, 1.0, 0.1, np.nan])
    np.testing.assert_array_equal(broken.get_ydata(), [*[np.nan] * 4, 0.02])
    assert len(points.get_xdata()) == (measured.xi > 0).sum()
    np.testing.assert_array_equal(omega.get_lines()[0].get_ydata(), said.omega.mean)
    assert len(eta.get_lines()[2].get_xdata()) == np.isfinite(measured.eta).sum()
    assert [t.get_text() for t in xi.get_legend().get_texts()] == ["expected", "one simulated box"]
    assert all(ax.get_xscale() == "log" for ax in figure.axes)
    plt.close(figure)


def test_what_is_refused():
    with pytest.raises(ValueError, match="of one point"):
        plot_tabulated_prediction(prediction(np.ones((2, 5))))
    rng = np.random.default_rng(1)
    other = box_correlations(
        GalaxyCatalog(rng.uniform(0, 20, (9, 3)), rng.normal(size=(9, 3)), boxsize=20),
        bins=EDGES[1:],
    )
    with pytest.raises(ValueError, match="other bins"):
        plot_tabulated_prediction(prediction(np.ones(5)), measured=other)
