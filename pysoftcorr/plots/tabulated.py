"""Predictions of tables of halos."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from pysoftcorr.plots.emulator import PARAMETER_SYMBOLS, SYMBOLS, separation_axis
from pysoftcorr.plots.figures import subplots

if TYPE_CHECKING:
    from pysoftcorr.mocks import BoxCorrelations
    from pysoftcorr.mocks.tabulated.prediction import TabulatedPrediction

__all__ = ["plot_tabulated_prediction"]


def plot_tabulated_prediction(
    prediction: TabulatedPrediction, *, measured: BoxCorrelations | None = None
) -> Figure:
    """xi, omega and eta in expectation at one point, a panel each.

    Parameters
    ----------
    prediction : TabulatedPrediction
        Prediction for one point.
    measured : BoxCorrelations, optional
        Correlations in the same bins of a simulated box; drawn as points.

    Returns
    -------
    Figure
        xi is logarithmic; below 0 it is drawn broken, as its absolute value.

    Raises
    ------
    ValueError
        If the prediction is of more than one point, or `measured` has other bins.
    """
    if prediction.xi.mean.ndim != 1:
        raise ValueError("prediction: a figure is of one point")
    edges = prediction.edges
    if measured is not None and not (
        len(measured.edges) == len(edges) and np.allclose(measured.edges, edges, rtol=1e-9)
    ):
        raise ValueError("measured has other bins than the prediction")
    said = prediction.to_dict()
    figure, axes = subplots(1, 3, figsize=(14.4, 4.4))
    for ax, (name, symbol) in zip(axes, SYMBOLS.items(), strict=True):
        mean = np.array(said[name]["mean"])
        if name == "xi":
            ax.plot(prediction.r, np.where(mean > 0, mean, np.nan), color="black", lw=1.5,
                    label="expected")  # fmt: skip
            ax.plot(prediction.r, np.where(mean < 0, -mean, np.nan), color="black", lw=1.5, ls="--")
            ax.set_yscale("log")
            ax.yaxis.set_minor_formatter(NullFormatter())
        else:
            ax.plot(prediction.r, mean, color="black", lw=1.5)
            ax.axhline(0.0, color="0.7", lw=0.8, zorder=0)
        if measured is not None:
            points = getattr(measured, name)
            good = np.isfinite(points) & ((points > 0) | (name != "xi"))
            ax.plot(prediction.r[good], points[good], "o", ms=4, mfc="white", color="#0072B2",
                    label="one simulated box")  # fmt: skip
        separation_axis(ax, edges)
        ax.set_ylabel(rf"${symbol}(r)$")
    axes[0].legend(frameon=False)
    given = said["parameters"].items()
    figure.suptitle(
        ",  ".join(rf"${PARAMETER_SYMBOLS.get(n, n)} = {v:.4g}$" for n, v in given), fontsize=10
    )
    return figure
