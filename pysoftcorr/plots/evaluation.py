"""Accuracy, calibration and errors of an emulator; its learning curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from pysoftcorr.plots.figures import subplots
from pysoftcorr.plots.series import log_limits, scale_values
from pysoftcorr.plots.sky import ALEATORIC, EPISTEMIC, NAIVE, log_axis
from pysoftcorr.plots.styles import styled

if TYPE_CHECKING:
    from pysoftcorr.emulator.evaluation import Evaluation, StatisticEvaluation

FloatArray = npt.NDArray[np.float64]

_SYMBOLS = {"xi": r"\xi", "omega": r"\omega", "eta": r"\eta"}
_BAND = (16, 50, 84)  # percentiles
_FEW = 500


@styled
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
        upper.set_xlabel(rf"${symbol}$, {_truth(evaluation)}")
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
        lower.plot(r, middle, color=ALEATORIC, lw=1.2, marker=".", label="median")
        lower.plot(r, a.per_bin["fractional"], color="black", lw=1.4, marker=".", label="mean")
        if one.accuracy_expected is not None:
            lower.plot(r, one.accuracy_expected.per_bin["fractional"], color=EPISTEMIC, lw=1.4,
                       label="mean, against exact means")  # fmt: skip
        lower.set_yscale("log")
        lower.yaxis.set_major_formatter(PercentFormatter(1.0))
        lower.set_ylabel(rf"fractional error of ${symbol}$")
        _separations(lower, r)
        lower.legend()
    return figure


@styled
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
        scatter = "a universe held out" if evaluation.universes else (
            f"{evaluation.realizations} realizations")  # fmt: skip
        upper.set_xlabel(rf"$\sigma$ of ${symbol}$, {scatter}")
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
        lower.legend(loc="lower left")
    return figure


@styled
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
        shown: list[FloatArray] = []
        for label, values, color in (
            ("aleatoric", one.sigma, ALEATORIC),
            ("epistemic", one.sigma_epistemic, EPISTEMIC),
        ):
            low, middle, high = np.nanpercentile(values, _BAND, axis=0)
            shown += [low, middle, high]
            some = middle > 0  # a single network knows no epistemic error
            ax.fill_between(r, np.where(some, low, np.nan), high, color=color, alpha=0.25, lw=0)
            ax.plot(r, np.where(some, middle, np.nan), color=color, lw=1.5, marker=".", ms=4,
                    label=label if some.any() else f"{label} is 0")  # fmt: skip
        drawn = np.nanmedian(one.empirical, axis=0)
        label = "universes held out" if evaluation.universes else "realizations"
        ax.plot(r, drawn, "o", ms=4, color="black", label=label)
        log_limits(ax, [*shown, drawn], [*shown, drawn])
        symbol = rf"\log\xi" if name == "xi" else _SYMBOLS[name]  # noqa: F541
        ax.set_ylabel(rf"$\sigma$ of ${symbol}$")
        _separations(ax, r)
        ax.legend()
    return figure


@styled
def plot_learning_curves(training: Mapping[str, Any]) -> Figure:
    """Losses and validation errors by epoch, of all epochs of a training that was resumed too.

    Parameters
    ----------
    training : mapping
        ``emulator.description["training"]``.

    Returns
    -------
    Figure
        Panels for the loss of the training set with the score of the validation set, which
        chooses the epoch, and for its mean squared error, its negative log likelihood and its
        fractional errors. Panels are logarithmic; one with values below 0, as of a likelihood, is
        linear, or linear about 0 and logarithmic beyond. The epoch that was kept is marked.

    Raises
    ------
    ValueError
        If it holds no curves.
    """
    curves = {name: _numbers(values) for name, values in (training.get("curves") or {}).items()}
    if not any(np.isfinite(values).any() for values in curves.values()):
        raise ValueError("training holds no learning curves")
    figure, axes = subplots(1, 4, figsize=(16.4, 4.0))
    kept = int(training["best_epoch"])
    for ax, names, label in (
        (axes[0], {"loss": "training, loss", "score": "validation, score"}, "loss"),
        (axes[1], {"mse": "validation"}, "mean squared error"),
        (axes[2], {"nll": "validation"}, "negative log likelihood"),
        (axes[3], {f"error_{n}": rf"${_SYMBOLS[n]}$" for n in _SYMBOLS}, "fractional error"),
    ):
        shown = {name: curves[name] for name in names if name in curves}
        for (name, values), color in zip(
            shown.items(), (ALEATORIC, EPISTEMIC, NAIVE), strict=False
        ):
            epochs = np.arange(1, len(values) + 1)
            ax.plot(epochs, values, color=color, lw=1.2, label=names[name],
                    marker="." if len(values) < 30 else None)  # fmt: skip
            if 1 <= kept <= len(values):
                ax.plot(kept, values[kept - 1], "o", ms=5, mfc="white", color=color, zorder=4)
        scale_values(ax, list(shown.values()))
        ax.axvline(kept, color="black", lw=0.8, ls=":", label=f"kept: epoch {kept}")
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        ax.set_xlabel("epoch")
        ax.set_ylabel(label)
        ax.legend()
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
    good = np.isfinite(x) & np.isfinite(y)
    log = one.name == "xi" and bool((x[good] > 0).all() and (y[good] > 0).all())
    if log:
        ax.set_xscale("log")
        ax.set_yscale("log")
    else:
        ax.set_xscale("symlog", linthresh=0.01)
        ax.set_yscale("symlog", linthresh=0.01)
    # Few points must be seen, many must not hide one another.
    few = x.size < _FEW
    kwargs: dict[str, Any] = {"s": 14 if few else 3, "lw": 0, "rasterized": True}
    kwargs["alpha"] = 0.8 if few else 0.35
    noise = good & ~one.counts
    if noise.any():
        ax.scatter(x[noise], y[noise], color="0.75", label="does not count", **kwargs)
    kept = good & one.counts
    ax.scatter(x[kept], y[kept], color=ALEATORIC, label="counts", **kwargs)
    if good.any():
        ends = min(x[good].min(), y[good].min()), max(x[good].max(), y[good].max())
        ax.plot(ends, ends, color="black", lw=0.8, ls="--", label="equal")
    ax.legend(markerscale=1.5 if few else 4, loc="upper left")


def _density(ax: Axes, x: FloatArray, y: FloatArray) -> None:
    if not x.size:
        ax.text(0.5, 0.5, "no errors above 0", transform=ax.transAxes, ha="center", va="center",
                color=NAIVE)  # fmt: skip
        return
    low, high = np.percentile(np.concatenate([x, y]), (0.05, 99.95))
    edges = np.geomspace(low / 1.02, high * 1.02, 71)
    counts, _, _ = np.histogram2d(x, y, bins=[edges, edges])
    image = ax.pcolormesh(edges, edges, np.where(counts > 0, counts, np.nan).T, cmap="viridis_r",
                          norm=LogNorm(1, max(2.0, counts.max())), rasterized=True)  # fmt: skip
    bar = ax.figure.colorbar(image, ax=ax, label="elements in a cell")
    log_axis(bar.ax.yaxis, 1.0, max(2.0, counts.max()))
    ax.plot(edges[[0, -1]], edges[[0, -1]], color="black", lw=0.9, ls="--", label="equal")
    ax.legend(loc="upper left")
    ax.set_xscale("log")
    ax.set_yscale("log")
    for axis in (ax.xaxis, ax.yaxis):
        log_axis(axis, edges[0], edges[-1])


def _truth(evaluation: Evaluation) -> str:
    if evaluation.universes:
        return f"{evaluation.universes} universes held out"
    return f"mean of {evaluation.realizations} realizations"
