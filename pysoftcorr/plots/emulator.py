"""The emulator: a prediction with both errors, and derivatives by every parameter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from pysoftcorr.emulator.data import bin_centers
from pysoftcorr.mocks.box import radial_edges
from pysoftcorr.plots.figures import subplots
from pysoftcorr.plots.sky import ALEATORIC, EPISTEMIC, log_axis
from pysoftcorr.sky.binning import Bins

if TYPE_CHECKING:
    from pysoftcorr.emulator import Prediction
    from pysoftcorr.mocks import BoxCorrelations

SYMBOLS = {"xi": r"\xi", "omega": r"\omega", "eta": r"\eta"}
PARAMETER_SYMBOLS = {
    "mu_cen": r"\mu_{\rm cen}",
    "mu_sat": r"\mu_{\rm sat}",
    "logMmin": r"\log M_{\rm min}",
    "sigma_logM": r"\sigma_{\log M}",
    "logM0": r"\log M_0",
    "logM1": r"\log M_1",
    "alpha": r"\alpha",
}
#: Okabe & Ito; strengths in full lines, the occupation in broken ones.
_STYLES = (
    ("#0072B2", "-"), ("#D55E00", "-"), ("#000000", "--"), ("#E69F00", "--"), ("#009E73", "--"),
    ("#CC79A7", "--"), ("#56B4E9", "-."),
)  # fmt: skip


def plot_prediction(prediction: Prediction, *, measured: BoxCorrelations | None = None) -> Figure:
    """xi, omega and eta of one point with both errors, a panel each.

    Parameters
    ----------
    prediction : Prediction
        Prediction for one point.
    measured : BoxCorrelations, optional
        Correlations in the same bins of a simulated box; drawn as points.

    Returns
    -------
    Figure
        The mean as a line; bands of one sigma: aleatoric light, epistemic dark. xi is
        logarithmic. As figure 11 of Pandya et al. (2025).

    Raises
    ------
    ValueError
        If the prediction is of more than one point, or `measured` has other bins.
    """
    if prediction.xi.mean.ndim != 1:
        raise ValueError("prediction: a figure is of one point")
    if measured is not None and not (
        len(measured.edges) == len(prediction.edges)
        and np.allclose(measured.edges, prediction.edges, rtol=1e-9)
    ):
        raise ValueError("measured has other bins than the prediction")
    figure, axes = subplots(1, 3, figsize=(14.4, 4.4))
    said = prediction.to_dict()
    for ax, name in zip(axes, SYMBOLS, strict=True):
        values = {kind: np.array(v) for kind, v in said[name].items()}
        mean = values["mean"]
        for kind, color, alpha in (("aleatoric", ALEATORIC, 0.25), ("epistemic", EPISTEMIC, 0.6)):
            low, high = mean - values[kind], mean + values[kind]
            if name == "xi":  # a band below 0 ends at the edge of the panel
                low = np.maximum(low, 1e-3 * mean)
            ax.fill_between(
                prediction.r, low, high, color=color, alpha=alpha, lw=0, label=f"{kind} error"
            )
        ax.plot(prediction.r, mean, color="black", lw=1.3, label="emulator")
        if measured is not None:
            points = getattr(measured, name)
            good = np.isfinite(points) & ((points > 0) | (name != "xi"))
            ax.plot(prediction.r[good], points[good], "o", ms=4, mfc="white", color="black",
                    label="one simulated box")  # fmt: skip
        separation_axis(ax, prediction.edges)
        ax.set_ylabel(rf"${SYMBOLS[name]}(r)$")
        if name == "xi":
            ax.set_yscale("log")
            ax.yaxis.set_minor_formatter(NullFormatter())
        else:
            ax.axhline(0.0, color="0.7", lw=0.8, zorder=0)
    axes[0].legend(frameon=False)
    given = said["parameters"].items()
    figure.suptitle(
        ",  ".join(rf"${PARAMETER_SYMBOLS.get(n, n)} = {v:.4g}$" for n, v in given), fontsize=10
    )
    return figure


def plot_jacobians(
    jacobian: Mapping[str, Any],
    *,
    mean_xi: npt.ArrayLike,
    bins: Bins,
    names: tuple[str, ...],
) -> Figure:
    """Derivatives of ln xi, omega and eta by every parameter against separation.

    Parameters
    ----------
    jacobian : mapping of array_like, shape (b, 7)
        Derivatives at one point, from `Emulator.jacobian`.
    mean_xi : array_like, shape (b,)
        Mean of xi, which its derivatives are divided by: xi spans decades.
    bins : Binning, str or array_like
        Bins in Mpc/h.
    names : tuple of str
        Names of the parameters.

    Returns
    -------
    Figure
        As figure 18 of Pandya et al. (2025).

    Raises
    ------
    ValueError
        If the derivatives are of more than one point, or of other bins.
    """
    edges = radial_edges(bins)
    slopes = {name: np.asarray(jacobian[name], dtype=np.float64) for name in SYMBOLS}
    shape = (len(edges) - 1, len(names))
    for name, values in slopes.items():
        if values.shape != shape:
            raise ValueError(f"jacobian of {name}: shape {values.shape}, must be {shape}")
    slopes["xi"] = slopes["xi"] / np.asarray(mean_xi, dtype=np.float64)[:, None]
    r = bin_centers(edges)
    figure, axes = subplots(1, 3, figsize=(14.4, 4.6))
    for ax, (name, symbol) in zip(axes, SYMBOLS.items(), strict=True):
        for j, parameter in enumerate(names):
            color, line = _STYLES[j % len(_STYLES)]
            ax.plot(r, slopes[name][:, j], color=color, ls=line, lw=1.5,
                    label=f"${PARAMETER_SYMBOLS.get(parameter, parameter)}$")  # fmt: skip
        ax.axhline(0.0, color="0.7", lw=0.8, zorder=0)
        separation_axis(ax, edges)
        what = rf"\ln {symbol}" if name == "xi" else symbol
        ax.set_ylabel(rf"$\partial {what}/\partial p$")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center",
                  ncols=len(names), frameon=False)  # fmt: skip
    return figure


def separation_axis(ax: Axes, edges: npt.NDArray[np.float64]) -> None:
    """Separations on a logarithmic axis, from the first edge to the last."""
    ax.set_xscale("log")
    low = float(edges[0]) if edges[0] > 0 else 0.5 * float(edges[1])
    log_axis(ax.xaxis, low, float(edges[-1]))
    ax.set_xlim(low, float(edges[-1]))
    ax.set_xlabel(r"$r$ [$h^{-1}\,$Mpc]")
