"""The emulator: a prediction with both errors, and derivatives by every parameter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pysoftcorr.emulator.data import bin_centers
from pysoftcorr.mocks.box import radial_edges
from pysoftcorr.plots.figures import subplots
from pysoftcorr.plots.series import band, entries, log_limits, signed_points
from pysoftcorr.plots.sky import ALEATORIC, EPISTEMIC, log_axis
from pysoftcorr.plots.styles import styled
from pysoftcorr.sky.binning import Bins

if TYPE_CHECKING:
    from pysoftcorr.emulator import Prediction
    from pysoftcorr.mocks import BoxCorrelations

FloatArray = npt.NDArray[np.float64]

SYMBOLS = {"xi": r"\xi", "omega": r"\omega", "eta": r"\eta"}
PARAMETER_SYMBOLS = {
    "mu_cen": r"\mu_{\rm cen}",
    "mu_sat": r"\mu_{\rm sat}",
    "logMmin": r"\log M_{\rm min}",
    "sigma_logM": r"\sigma_{\log M}",
    "logM0": r"\log M_0",
    "logM1": r"\log M_1",
    "alpha": r"\alpha",
    "Omega_m": r"\Omega_{\rm m}",
    "sigma_8": r"\sigma_8",
    "z": "z",
}
#: Okabe & Ito; strengths in full lines, the occupation in broken ones, the universe in dotted ones.
_STYLES = (
    ("#0072B2", "-"), ("#D55E00", "-"), ("#000000", "--"), ("#E69F00", "--"), ("#009E73", "--"),
    ("#CC79A7", "--"), ("#56B4E9", "-."), ("#0072B2", ":"), ("#D55E00", ":"), ("#000000", ":"),
)  # fmt: skip


@styled
def plot_prediction(prediction: Prediction, *, measured: BoxCorrelations | None = None) -> Figure:
    """xi, omega and eta of one point with both errors, and below the errors over the mean.

    Parameters
    ----------
    prediction : Prediction
        Prediction for one point.
    measured : BoxCorrelations, optional
        Correlations in the same bins of a simulated box; drawn as points, with errors where they
        have some.

    Returns
    -------
    Figure
        Six panels. Above, the mean as a line with bands of one sigma: aleatoric light, epistemic
        dark. xi is logarithmic; measured values below 0 are open there, at their absolute values.
        Below, both errors over the absolute mean, which tell the epistemic one where its band is
        thinner than a line; of a mean that is 0 throughout, the errors themselves. As figure 11
        of Pandya et al. (2025).

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
    figure, axes = subplots(2, 3, figsize=(14.4, 6.6), height_ratios=(5, 2), sharex="col")
    said, r = prediction.to_dict(), prediction.r
    for upper, lower, name in zip(*axes, SYMBOLS, strict=True):
        values = {kind: np.array(v) for kind, v in said[name].items()}
        mean = values["mean"]
        log = name == "xi" and bool((mean[np.isfinite(mean)] > 0).all())
        shown = []
        for kind, color, alpha in (("aleatoric", ALEATORIC, 0.25), ("epistemic", EPISTEMIC, 0.6)):
            low, high = mean - values[kind], mean + values[kind]
            if log:  # a band below 0 ends at the edge of the panel
                shown.append(np.where(low > 0, low, 0.3 * mean))
                low = np.maximum(low, 1e-6 * mean)
            band(upper, r, low, high, edges=prediction.edges, color=color, alpha=alpha,
                 label=f"{kind} error")  # fmt: skip
            shown.append(high)
        upper.plot(r, mean, color="black", lw=1.0, marker=".", ms=3, label="emulator")
        if measured is not None:
            points = getattr(measured, name)
            error = (getattr(measured, "errors", None) or {}).get(name)
            if points is not None:
                shown += signed_points(
                    upper, r, points, error,
                    label="one simulated box", color="black", log=log, marker="o", ms=4,
                    elinewidth=1.0, capsize=2, zorder=4,
                )  # fmt: skip
        if log:
            log_limits(upper, shown, shown)
        else:
            upper.axhline(0.0, color="0.7", lw=0.8, zorder=0)
        upper.set_ylabel(rf"${SYMBOLS[name]}(r)$")
        _errors(lower, r, values, SYMBOLS[name])
        separation_axis(lower, prediction.edges)
        upper.tick_params(labelbottom=False)
    handles, labels = entries(axes[0])
    axes[0, 0].legend(handles, labels)
    given = said["parameters"].items()
    figure.suptitle(
        ",  ".join(rf"${PARAMETER_SYMBOLS.get(n, n)} = {v:.4g}$" for n, v in given),
        fontsize="medium",
    )
    return figure


def _errors(ax: Axes, r: FloatArray, values: Mapping[str, FloatArray], symbol: str) -> None:
    """Both errors over the absolute mean; the errors themselves where the mean is 0."""
    size = np.abs(values["mean"])
    zero = not (size > 0).any()
    shown = []
    for kind, color, mark in (("aleatoric", ALEATORIC, "o"), ("epistemic", EPISTEMIC, "s")):
        error = values[kind]
        if not zero:
            error = np.divide(error, size, out=np.full(size.shape, np.nan), where=size > 0)
        none = " is 0" if not (error > 0).any() else ""
        ax.plot(r, np.where(error > 0, error, np.nan), color=color, marker=mark, ms=3, lw=1.2,
                label=f"{kind}{none}")  # fmt: skip
        shown.append(error)
    log_limits(ax, shown, shown)
    ax.set_ylabel(rf"$\sigma$ of ${symbol}$ (mean is 0)" if zero else rf"$\sigma/|{symbol}|$")
    ax.legend(ncols=2)


@styled
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
            ax.plot(r, slopes[name][:, j], color=color, ls=line, lw=1.5, marker=".", ms=4,
                    label=f"${PARAMETER_SYMBOLS.get(parameter, parameter)}$")  # fmt: skip
        ax.axhline(0.0, color="0.7", lw=0.8, zorder=0)
        separation_axis(ax, edges)
        what = rf"\ln {symbol}" if name == "xi" else symbol
        ax.set_ylabel(rf"$\partial {what}/\partial p$")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center",
                  ncols=len(names))  # fmt: skip
    return figure


def separation_axis(ax: Axes, edges: npt.NDArray[np.float64]) -> None:
    """Separations on a logarithmic axis, from the first edge to the last."""
    ax.set_xscale("log")
    low = float(edges[0]) if edges[0] > 0 else 0.5 * float(edges[1])
    log_axis(ax.xaxis, low, float(edges[-1]))
    ax.set_xlim(low, float(edges[-1]))
    ax.set_xlabel(r"$r$ [$h^{-1}\,$Mpc]")
