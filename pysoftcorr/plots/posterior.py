"""Posteriors: correlation functions, traces, alignment strengths; the descent of a minimization."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pysoftcorr.core.options import texts
from pysoftcorr.plots.corner import (
    LABELS,
    cycle,
    draw_contours,
    level_handles,
    plot_corner,
    span,
)
from pysoftcorr.plots.figures import subplots
from pysoftcorr.plots.series import band, entries, log_limits, scale_values, signed_points
from pysoftcorr.plots.sky import EPISTEMIC, NAIVE, log_axis
from pysoftcorr.plots.styles import styled

if TYPE_CHECKING:
    from pysoftcorr.diffhod.experiments.power import PowerExperiment
    from pysoftcorr.diffhod.experiments.strengths import StrengthExperiment
    from pysoftcorr.inference import Minimization, Observation, Posterior

FloatArray = npt.NDArray[np.float64]

SYMBOLS = {"xi": r"$\xi$", "omega": r"$\omega$", "eta": r"$\eta$"}


@styled
def plot_posterior_correlations(
    posterior: Posterior, *, statistics: Sequence[str] | None = None
) -> Figure:
    """Correlation functions at draws of the posterior, beside the data (B25, Fig. 13).

    Bands hold 68 and 95 % of the posterior of the mean; around them, in outline, 68 % with the
    aleatoric scatter of one observation. Data have their errors, and where they bring none those
    of the model's noise; bins that the posterior leaves out are gray.

    Parameters
    ----------
    posterior : Posterior
    statistics : sequence of str, optional
        By default all that are modeled.

    Returns
    -------
    Figure
        One legend for all panels. xi is logarithmic where its band is positive; data below 0 are
        open there, at their absolute values.

    Raises
    ------
    ValueError
        If one is not modeled, or the posterior is of no correlation functions.
    """
    seen = posterior.observation
    if seen is None:
        raise ValueError("posterior: its data are no correlation functions")
    there = [name for name in SYMBOLS if name in posterior.curves]
    chosen = there if statistics is None else texts("statistics", statistics)
    lacking = [name for name in chosen if name not in there]
    if lacking or not chosen:
        raise ValueError(
            f"statistics: {', '.join(lacking) or 'none'} not among {', '.join(there) or 'none'}"
        )
    figure, axes = subplots(1, len(chosen), figsize=(4.8 * len(chosen), 4.6), squeeze=False)
    for ax, name in zip(axes[0], chosen, strict=True):
        mean, std = posterior.curves[name], posterior.curves[f"{name}_std"]
        q = np.quantile(mean, [0.025, 0.16, 0.5, 0.84, 0.975], axis=0)
        r, middle = seen.r, mean.mean(axis=0)
        finite = q[:, np.isfinite(q).all(axis=0)]
        log = name == "xi" and finite.size > 0 and bool((finite > 0).all())
        for low, high, alpha, label in ((0, 4, 0.2, "95 %"), (1, 3, 0.45, "68 %")):
            band(ax, r, q[low], q[high], edges=seen.edges, color=EPISTEMIC, alpha=alpha,
                 label=f"{label} of the model")  # fmt: skip
        ax.plot(r, q[2], color=EPISTEMIC, lw=1.4, marker=".", ms=4, label="median")
        scatter = np.sqrt((std**2).mean(axis=0) + mean.var(axis=0))
        for sign in (-1, 1):
            ax.plot(r, middle + sign * scatter, color=EPISTEMIC, lw=0.8, ls=":",
                    marker="_", ms=4, label="with aleatoric scatter")  # fmt: skip
        if log:
            ax.set_yscale("log")
        noise = np.sqrt((std**2).mean(axis=0))
        ends = [] if name not in seen.values else _data(ax, seen, name, noise, log=log)
        if log:
            least = np.where(middle > scatter, middle - scatter, 0.3 * q[0])
            log_limits(ax, [least, q[0], *ends], [q[4], middle + scatter, *ends])
        _abscissa(ax, seen.edges)
        ax.set_ylabel(rf"{SYMBOLS[name]}$(r)$")
        if not log:
            ax.axhline(0.0, color="0.7", lw=0.8, zorder=0)
    handles, labels = entries(axes[0])
    figure.legend(handles, labels, loc="outside upper center",
                  ncols=min(len(labels), 2 + len(chosen)))  # fmt: skip
    return figure


@styled
def plot_trace(posterior: Posterior) -> Figure:
    """Draws of every chain one after the other, and their ranks among all (flat if mixed).

    Parameters
    ----------
    posterior : Posterior

    Returns
    -------
    Figure
        Divergent draws of NUTS are marked below the traces.
    """
    chains, draws, size = posterior.draws.shape
    figure, axes = subplots(
        size, 2, figsize=(11.0, 2.1 * size + 0.5), squeeze=False,
        width_ratios=(2.4, 1),
    )  # fmt: skip
    diverging = posterior.stats.get("diverging", np.zeros((chains, draws), dtype=bool))
    bins = int(np.clip(draws // 25, 5, 20))
    marker = "." if draws < 30 else None
    for k, name in enumerate(posterior.names):
        trace, ranks = axes[k]
        x = posterior.draws[:, :, k]
        order = np.argsort(np.argsort(x.ravel(), kind="stable")).reshape(x.shape)
        for c, color in zip(range(chains), cycle(chains), strict=True):
            trace.plot(x[c], lw=0.5, color=color, alpha=0.8, marker=marker, label=f"chain {c + 1}")
            ranks.hist(order[c], bins=bins, range=(0, x.size), histtype="step", color=color, lw=1.2)
        at = np.flatnonzero(diverging.any(axis=0))
        if at.size:
            trace.plot(at, np.full(at.size, x.min()), "|", color="black", ms=8, label="divergent")
        ranks.axhline(draws / bins, color=NAIVE, lw=0.8, ls="--", label="mixed")
        trace.set_ylabel(LABELS.get(name, name))
        trace.set_xlim(-0.5, draws - 0.5)
        ranks.set_ylabel("draws")
    axes[-1][0].set_xlabel("draw")
    axes[-1][1].set_xlabel("rank among all chains")
    handles, labels = entries([axes[0][0], axes[0][1]])
    if chains > 6:  # walkers of an ensemble, more than there are colors
        kept = [k for k, label in enumerate(labels) if not label.startswith("chain ")]
        handles, labels = [handles[k] for k in kept], [labels[k] for k in kept]
    figure.legend(handles, labels, loc="outside upper center", ncols=8)
    return figure


@styled
def plot_minimization(found: Minimization) -> Figure:
    """Loss and every parameter against the step of a descent.

    Parameters
    ----------
    found : Minimization

    Returns
    -------
    Figure
        A panel for the loss, logarithmic where it spans decades, and one for each parameter. The
        step where the loss was lowest is marked.
    """
    panels = 1 + len(found.names)
    columns = min(panels, 4)
    rows = -(-panels // columns)
    figure, grid = subplots(rows, columns, figsize=(3.9 * columns, 3.0 * rows + 0.4), squeeze=False)
    steps, best = np.arange(len(found.loss)), int(np.nanargmin(found.loss))
    curves = [(str(found.settings.get("objective", "loss")), found.loss)]
    curves += [(LABELS.get(n, n), found.trace[:, k]) for k, n in enumerate(found.names)]
    for ax, (label, values), color in zip(
        grid.flat, curves, [NAIVE, *cycle(len(found.names))], strict=False
    ):
        ax.plot(steps, values, color=color, lw=1.3, marker="." if len(steps) < 30 else None)
        ax.plot(steps[best], values[best], "o", ms=6, mfc="white", color="black", zorder=4,
                label=f"lowest loss, step {best}: {values[best]:.4g}")  # fmt: skip
        ax.set_xlabel("step")
        ax.set_ylabel(label)
        ax.legend()
    finite = found.loss[np.isfinite(found.loss)]
    if finite.max() - finite.min() > 100 * np.abs(finite).min():
        scale_values(grid.flat[0], [finite])
    for ax in grid.flat[panels:]:
        ax.axis("off")
    return figure


@styled
def plot_diffhod_posteriors(experiment: PowerExperiment) -> Figure:
    """Posteriors of NUTS through DiffHOD and of emcee on the exact HOD (H22, Fig. 5).

    Parameters
    ----------
    experiment : PowerExperiment

    Returns
    -------
    Figure
        Corner plot with contours at 68 and 95 %; lines are the parameters of the mock data.
    """
    every = {"DiffHOD, NUTS": experiment.nuts}
    if experiment.emcee is not None:
        every["exact HOD, emcee"] = experiment.emcee
    truth = dict(zip(experiment.nuts.names, experiment.settings.fiducial, strict=True))
    return plot_corner(every, truth=truth, levels=(0.68, 0.95))


@styled
def plot_strengths(experiment: StrengthExperiment) -> Figure:
    """Posteriors of the alignment strengths by each model, and the mock omega(r).

    Parameters
    ----------
    experiment : StrengthExperiment

    Returns
    -------
    Figure
        Contours at 68 and 95 %.
    """
    figure, (left, right) = subplots(1, 2, figsize=(11.0, 4.8))
    names = ("mu_cen", "mu_sat")
    every, levels = experiment.posteriors, (0.68, 0.95)
    truth = [getattr(experiment.settings, name) for name in names]
    corners = [truth]
    for color, (label, posterior) in zip(cycle(len(every)), every.items(), strict=True):
        x, y = posterior.flat.T
        ranges = [span(name, values, posterior) for name, values in zip(names, (x, y), strict=True)]
        draw_contours(left, x, y, ranges, levels, color)
        left.plot(np.median(x), np.median(y), "o", ms=4, color=color, mec="white", zorder=5)
        left.plot([], [], color=color, lw=2, label=label)
        corners += [[low for low, _ in ranges], [high for _, high in ranges]]
    left.plot(*truth, marker="+", ms=14, mew=2, color=NAIVE, ls="none", label="truth")
    low, high = np.min(corners, axis=0), np.max(corners, axis=0)
    margin = 0.02 * (high - low)
    left.set_xlim(low[0] - margin[0], high[0] + margin[0])
    left.set_ylim(low[1] - margin[1], high[1] + margin[1])
    left.set_xlabel(LABELS["mu_cen"])
    left.set_ylabel(LABELS["mu_sat"])
    handles = left.get_legend_handles_labels()[0] + [
        Line2D([], [], ls="", marker="o", ms=4, color="black", label="median"),
        *level_handles("black", levels),
    ]
    left.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 1.0),
                ncols=4)  # fmt: skip
    right.errorbar(
        experiment.r, experiment.omega, yerr=experiment.error, fmt="o", ms=4, lw=1.2, capsize=2,
        color="black", label="mock data",
    )  # fmt: skip
    right.axhline(0.0, color="0.7", lw=0.8, zorder=0)
    right.set_xscale("log")
    log_axis(right.xaxis, float(experiment.r[0]), float(experiment.r[-1]))
    right.set_xlabel(r"$r$ [$h^{-1}\,$Mpc]")
    right.set_ylabel(r"$\omega(r)$ of the mock catalog")
    right.legend()
    return figure


# ---------------------------------------------------------------------- parts
def _data(
    ax: Axes, seen: Observation, name: str, noise: FloatArray, *, log: bool
) -> list[FloatArray]:
    """Data with their errors, or those of the model's noise; bins that are not used in gray.

    Gives what `signed_points` gives.
    """
    errors, label = _data_errors(seen, name), "data"
    if errors is None:
        errors, label = noise, "data, errors of the model"
    used = np.isin(np.arange(errors.size) + seen.statistics.index(name) * errors.size, seen.rows)
    values = seen.values[name]
    ends = []
    for there, said, color in ((used, label, "black"), (~used, "data, not used", "0.6")):
        ends += signed_points(
            ax, seen.r, np.where(there, values, np.nan), errors, label=said, color=color, log=log,
            marker="o", ms=4, capsize=2, elinewidth=1.1, zorder=4,
        )  # fmt: skip
    return ends


def _abscissa(ax: Axes, edges: FloatArray) -> None:
    ax.set_xscale("log")
    low = float(edges[0]) or float(edges[1]) / 10
    log_axis(ax.xaxis, low, float(edges[-1]))
    ax.set_xlim(low, edges[-1])
    ax.set_xlabel(r"$r$ [$h^{-1}\,$Mpc]")


def _data_errors(seen: Observation, name: str) -> FloatArray | None:
    """One standard deviation of the data of a statistic; None where they bring none."""
    if seen.covariance is None:
        return None
    bins = seen.edges.size - 1
    errors = np.full(len(seen.statistics) * bins, np.nan)
    errors[seen.rows] = np.sqrt(np.diag(seen.covariance))
    start = seen.statistics.index(name) * bins
    return errors[start : start + bins]
