"""Predictions of tables of halos."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from pysoftcorr.plots.emulator import PARAMETER_SYMBOLS, SYMBOLS, separation_axis
from pysoftcorr.plots.figures import subplots
from pysoftcorr.plots.styles import styled

if TYPE_CHECKING:
    from pysoftcorr.mocks import BoxCorrelations
    from pysoftcorr.mocks.tabulated.prediction import TabulatedPrediction

__all__ = ["plot_tabulated_prediction"]


@styled
def plot_tabulated_prediction(
    prediction: TabulatedPrediction, *, measured: BoxCorrelations | None = None
) -> Figure:
    """xi, omega and eta in expectation at one point, a panel each; wp, w_g+ and w_++ if tabulated.

    Parameters
    ----------
    prediction : TabulatedPrediction
        Prediction for one point.
    measured : BoxCorrelations, optional
        Correlations in the same bins of a simulated box; drawn as points.

    Returns
    -------
    Figure
        xi and wp are logarithmic; below 0 they are drawn broken, as their absolute values. w_g+
        and w_++ are times rp.

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
    rows = 1 if prediction.projection is None else 2
    figure, panels = subplots(rows, 3, figsize=(14.4, 4.4 * rows), squeeze=False)
    axes = panels[0]
    for ax, (name, symbol) in zip(axes, SYMBOLS.items(), strict=True):
        mean = np.array(said[name]["mean"])
        (_signed if name == "xi" else _linear)(ax, prediction.r, mean)
        if measured is not None:
            points = getattr(measured, name)
            good = np.isfinite(points) & ((points > 0) | (name != "xi"))
            ax.plot(prediction.r[good], points[good], "o", ms=4, mfc="white", color="#0072B2",
                    label="one simulated box")  # fmt: skip
        separation_axis(ax, edges)
        ax.set_ylabel(rf"${symbol}(r)$")
    axes[0].legend()
    if rows == 2:
        _projected(panels[1], prediction)
    given = said["parameters"].items()
    figure.suptitle(
        ",  ".join(rf"${PARAMETER_SYMBOLS.get(n, n)} = {v:.4g}$" for n, v in given),
        fontsize="medium",
    )
    return figure


def _signed(ax: Axes, r: npt.NDArray[np.float64], mean: npt.NDArray[np.float64]) -> None:
    """On a logarithmic axis, broken where negative."""
    ax.plot(r, np.where(mean > 0, mean, np.nan), color="black", lw=1.5, label="expected")
    ax.plot(r, np.where(mean < 0, -mean, np.nan), color="black", lw=1.5, ls="--")
    ax.set_yscale("log")
    ax.yaxis.set_minor_formatter(NullFormatter())


def _linear(ax: Axes, r: npt.NDArray[np.float64], mean: npt.NDArray[np.float64]) -> None:
    ax.plot(r, mean, color="black", lw=1.5)
    ax.axhline(0.0, color="0.7", lw=0.8, zorder=0)


def _projected(axes: npt.NDArray[np.object_], prediction: TabulatedPrediction) -> None:
    """wp, and w_g+ and w_++ times rp."""
    rp, edges = prediction.rp, prediction.rp_edges
    if rp is None or edges is None:
        return
    said = prediction.to_dict()
    for ax, (name, label) in zip(axes, _PROJECTED.items(), strict=True):
        mean = np.array(said[name]["mean"])
        if name == "wp":
            _signed(ax, rp, mean)
        else:
            _linear(ax, rp, rp * mean)
        separation_axis(ax, edges)
        ax.set_xlabel(r"$r_p$ [$h^{-1}\,$Mpc]")
        ax.set_ylabel(label)


_PROJECTED = {
    "wp": r"$w_p$ [$h^{-1}\,$Mpc]",
    "w_gp": r"$r_p\,w_{g+}$ [$(h^{-1}\,$Mpc$)^2$]",
    "w_pp": r"$r_p\,w_{++}$ [$(h^{-1}\,$Mpc$)^2$]",
}
