"""Accuracy, calibration and errors of an emulator; its learning curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from pysoftcorr.plots.figures import subplots
from pysoftcorr.plots.sky import ALEATORIC, EPISTEMIC, NAIVE, log_axis

if TYPE_CHECKING:
    from pysoftcorr.emulator.evaluation import Evaluation, StatisticEvaluation

FloatArray = npt.NDArray[np.float64]

_SYMBOLS = {"xi": r"\xi", "omega": r"\omega", "eta": r"\eta"}
_BAND = (16, 50, 84)  # percentiles


def plot_accuracy(evaluation: Evaluation) -> Figure:
    """Predicted means against the means of the realizations, and fractional errors by bin.

    Parameters
    ----------
    evaluation : Evaluation

    Returns
    -------
    Figure
        Above, every element of the test set; omega and eta on an axis that is linear within
        0.01 of 0 (there, noise decides). Below, the fractional error by bin over the rows that
        count: mean, median and 16 to 84 %. After figure 3 of Pandya et al. (2025).
    """
    figure, axes = subplots(2, 3, figsize=(13.8, 8.0),
                                height_ratios=(1.3, 1))  # fmt: skip
    for (name, one), upper, lower in zip(evaluation.statistics.items(), *axes, strict=True):
        symbol = _SYMBOLS[name]
        _against(upper, one)
        upper.set_xlabel(rf"${symbol}$, mean of {evaluation.realizations} realizations")
        upper.set_ylabel(rf"${symbol}$, emulator")
        a = one.accuracy
        upper.set_title(
            f"error {a.fractional:.1%}, Spearman {a.spearman:.3f}, NRMSE {a.nrmse:.2f}",
            fontsize="medium",
        )
        error = np.where(one.counts, np.abs(one.mean - one.true) / np.abs(one.true), np.nan)
        found = one.counts.any(axis=0)
        r = evaluation.r
        low, middle, high = _percentiles(error, found)
        lower.fill_between(r, low, high, color=ALEATORIC, alpha=0.25, lw=0, label="16 to 84 %")
        lower.plot(r, middle, color=ALEATORIC, lw=1.2, label="median")
        lower.plot(r, a.per_bin["fractional"], color="black", lw=1.4, label="mean")
        if one.accuracy_expected is not None:
            lower.plot(r, one.accuracy_expected.per_bin["fractional"], color=EPISTEMIC, lw=1.4,
                       label="mean, against exact means")  # fmt: skip
        lower.set_yscale("log")
        lower.yaxis.set_major_formatter(PercentFormatter(1.0))
        lower.set_ylabel(rf"fractional error of ${symbol}$")
        _separations(lower, r)
        lower.legend(frameon=False, fontsize="small")
    return figure


def plot_calibration(evaluation: Evaluation) -> Figure:
    """Predicted aleatoric errors against the scatter of realizations, and coverage by bin.

    Returns
    -------
    Figure
        Above, sigma predicted and found, of log xi for xi; the dashed line is equality. Below,
        the part of the realizations within 1 and 2 sigma, beside 68.3 and 95.4 %. After figure 4
        of Pandya et al. (2025).
    """
    figure, axes = subplots(2, 3, figsize=(13.8, 8.0),
                                height_ratios=(1.3, 1))  # fmt: skip
    for (name, one), upper, lower in zip(evaluation.statistics.items(), *axes, strict=True):
        symbol = rf"\log\xi" if name == "xi" else _SYMBOLS[name]  # noqa: F541
        good = (one.empirical > 0) & (one.sigma > 0)
        x, y = one.empirical[good], one.sigma[good]
        _density(upper, x, y)
        upper.set_xlabel(rf"$\sigma$ of ${symbol}$, {evaluation.realizations} realizations")
        upper.set_ylabel(rf"$\sigma$ of ${symbol}$, emulator")
        c = one.calibration
        upper.set_title(f"bias {c.dex:+.3f} dex, scatter {c.dex_scatter:.2f} dex",
                        fontsize="medium")  # fmt: skip
        r = evaluation.r
        for k, part in ((1, 0.6827), (2, 0.9545)):
            lower.axhline(part, color=NAIVE, lw=0.9, ls="--")
            lower.plot(r, c.per_bin[f"coverage_{k}"], color=ALEATORIC, marker="o", ms=3.5, lw=1.2,
                       label="aleatoric" if k == 1 else None)  # fmt: skip
            lower.plot(r, c.per_bin[f"coverage_total_{k}"], color=EPISTEMIC, marker="s", ms=3,
                       lw=1.0, label="and epistemic" if k == 1 else None)  # fmt: skip
        lower.set_ylim(min(0.5, lower.get_ylim()[0]), 1.005)
        lower.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        lower.set_ylabel(rf"coverage of ${_SYMBOLS[name]}$, 1 and 2 $\sigma$")
        _separations(lower, r)
        lower.legend(frameon=False, fontsize="small", loc="lower left")
    return figure


def plot_uncertainties(evaluation: Evaluation) -> Figure:
    """Epistemic and aleatoric errors by bin: medians over the rows and 16 to 84 %.

    Returns
    -------
    Figure
        The dots are the scatter of realizations, median over the rows. After figure 5 of Pandya
        et al. (2025).
    """
    figure, axes = subplots(1, 3, figsize=(13.8, 4.4))
    for (name, one), ax in zip(evaluation.statistics.items(), axes, strict=True):
        r = evaluation.r
        for label, values, color in (
            ("aleatoric", one.sigma, ALEATORIC),
            ("epistemic", one.sigma_epistemic, EPISTEMIC),
        ):
            low, middle, high = np.percentile(values, _BAND, axis=0)
            ax.fill_between(r, low, high, color=color, alpha=0.25, lw=0)
            ax.plot(r, middle, color=color, lw=1.5, label=label)
        ax.plot(r, np.median(one.empirical, axis=0), "o", ms=4, color="black",
                label="realizations")  # fmt: skip
        ax.set_yscale("log")
        symbol = rf"\log\xi" if name == "xi" else _SYMBOLS[name]  # noqa: F541
        ax.set_ylabel(rf"$\sigma$ of ${symbol}$")
        _separations(ax, r)
        ax.legend(frameon=False, fontsize="small")
    return figure


def plot_learning_curves(training: Mapping[str, Any]) -> Figure:
    """Losses and validation errors by epoch.

    Parameters
    ----------
    training : mapping
        ``emulator.description["training"]``.

    Raises
    ------
    ValueError
        If it holds no curves.
    """
    curves = training.get("curves")
    if not curves:
        raise ValueError("training holds no learning curves")
    figure, axes = subplots(1, 3, figsize=(13.8, 4.0))
    colors = (ALEATORIC, EPISTEMIC, NAIVE)
    for ax, names, label in (
        (axes[0], ("loss", "score"), "loss"),
        (axes[1], ("mse", "nll"), "validation"),
        (axes[2], ("error_xi", "error_omega", "error_eta"), "validation: fractional error"),
    ):
        shown = []
        for name, color in zip(names, colors, strict=False):
            values = _numbers(curves.get(name, ()))
            shown.append(values)
            ax.plot(np.arange(1, len(values) + 1), values, color=color, lw=1.2,
                    label=name.removeprefix("error_"))  # fmt: skip
        if all((v[np.isfinite(v)] > 0).all() for v in shown):
            ax.set_yscale("log")
        ax.axvline(training["best_epoch"], color="black", lw=0.8, ls=":", label="kept")
        ax.set_xlabel("epoch")
        ax.set_ylabel(label)
        ax.legend(frameon=False, fontsize="small")
    axes[0].set_title(f"{training['kind']}, {training['epochs_run']} epochs", fontsize="medium")
    return figure


# ---------------------------------------------------------------------- parts of them
def _numbers(values: Sequence[float | None]) -> FloatArray:
    return np.array([np.nan if v is None else v for v in values], dtype=np.float64)


def _percentiles(values: FloatArray, found: npt.NDArray[np.bool_]) -> FloatArray:
    out = np.full((len(_BAND), values.shape[1]), np.nan)
    if found.any():
        out[:, found] = np.nanpercentile(values[:, found], _BAND, axis=0)
    return out


def _separations(ax: Axes, r: FloatArray) -> None:
    ax.set_xscale("log")
    log_axis(ax.xaxis, r[0], r[-1])
    ax.set_xlabel(r"$r$ [$h^{-1}\,$Mpc]")


def _against(ax: Axes, one: StatisticEvaluation) -> None:
    x, y = one.true, one.mean
    kept, noise = one.counts, ~one.counts
    kwargs: dict[str, Any] = {"s": 3, "lw": 0, "alpha": 0.35, "rasterized": True}
    if noise.any():
        ax.scatter(x[noise], y[noise], color="0.75", label="does not count", **kwargs)
    ax.scatter(x[kept], y[kept], color=ALEATORIC, label="counts", **kwargs)
    low, high = min(x.min(), y.min()), max(x.max(), y.max())
    ax.plot([low, high], [low, high], color="black", lw=0.8, ls="--")
    if one.name == "xi":
        ax.set_xscale("log")
        ax.set_yscale("log")
    else:
        ax.set_xscale("symlog", linthresh=0.01)
        ax.set_yscale("symlog", linthresh=0.01)
        ax.legend(frameon=False, fontsize="small", markerscale=4, loc="upper left")


def _density(ax: Axes, x: FloatArray, y: FloatArray) -> None:
    if not x.size:
        return
    low, high = np.percentile(np.concatenate([x, y]), (0.05, 99.95))
    edges = np.geomspace(low, max(high, 1.01 * low), 71)
    counts, _, _ = np.histogram2d(x, y, bins=[edges, edges])
    ax.pcolormesh(edges, edges, np.where(counts > 0, counts, np.nan).T, cmap="viridis_r",
                  norm=LogNorm(1, max(2.0, counts.max())), rasterized=True)  # fmt: skip
    ax.plot([low, high], [low, high], color="black", lw=0.9, ls="--")
    ax.set_xscale("log")
    ax.set_yscale("log")
    log_axis(ax.xaxis, low, high)
    log_axis(ax.yaxis, low, high)
