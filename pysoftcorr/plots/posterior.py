"""Posteriors: contours, correlation functions, traces; and the descent of a minimization."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from pysoftcorr.core.extras import need
from pysoftcorr.plots.figures import new_figure, subplots
from pysoftcorr.plots.sky import ALEATORIC, EPISTEMIC, NAIVE, log_axis

if TYPE_CHECKING:
    from pysoftcorr.diffhod.experiments.power import PowerExperiment
    from pysoftcorr.diffhod.experiments.strengths import StrengthExperiment
    from pysoftcorr.inference import Minimization, Observation, Posterior

FloatArray = npt.NDArray[np.float64]

#: Parts of the posterior within 1, 2 and 3 sigma.
LEVELS = (0.6827, 0.9545, 0.9973)
LABELS = {
    "mu_cen": r"$\mu_\mathrm{cen}$",
    "mu_sat": r"$\mu_\mathrm{sat}$",
    "logMmin": r"$\log M_\mathrm{min}$",
    "sigma_logM": r"$\sigma_{\log M}$",
    "logM0": r"$\log M_0$",
    "logM1": r"$\log M_1$",
    "alpha": r"$\alpha$",
    "beta": r"$\beta$",
    "eta": r"$\eta$",
}
SYMBOLS = {"xi": r"$\xi$", "omega": r"$\omega$", "eta": r"$\eta$"}
_COLORS = (ALEATORIC, EPISTEMIC, "#4b7f52", "#7a5195")
_CELLS = 60


def plot_corner(
    posteriors: Posterior | Mapping[str, Posterior],
    *,
    truth: Mapping[str, float] | None = None,
    levels: Sequence[float] = LEVELS,
    names: Sequence[str] | None = None,
) -> Figure:
    """Marginal distributions of every parameter and pair, with contours (B25, Fig. 12).

    Drawn by the package ``corner``; medians and 68 % intervals stand above the diagonal, of the
    first posterior.

    Parameters
    ----------
    posteriors : Posterior, or mapping of str to Posterior
        Several are drawn over one another, with their labels.
    truth : mapping of str to float, optional
        Marked with lines.
    levels : sequence of float
        Parts of the posterior that the contours enclose: 1, 2 and 3 sigma by default, 68.3,
        95.4 and 99.7 %.
    names : sequence of str, optional
        Parameters to draw; by default all that every posterior has.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If there is nothing to draw, a name is unknown or a level is not between 0 and 1.
    ImportError
        If corner is not installed.
    """
    corner = need("corner", "a corner plot")
    every = {"": posteriors} if not isinstance(posteriors, Mapping) else dict(posteriors)
    if not every:
        raise ValueError("posteriors is empty: there is nothing to draw")
    if not levels or not all(0 < level < 1 for level in levels):
        raise ValueError(f"levels = {tuple(levels)}: must be between 0 and 1")
    first = next(iter(every.values()))
    shared = [n for n in first.names if all(n in p.names for p in every.values())]
    chosen = shared if names is None else list(names)
    unknown = [name for name in chosen if name not in shared]
    if unknown or not chosen:
        raise ValueError(f"names: {', '.join(unknown) or 'none'} of {', '.join(shared)} to draw")
    draws = [p.flat[:, [p.names.index(n) for n in chosen]] for p in every.values()]
    if min(map(len, draws)) < len(chosen):
        raise ValueError(f"{min(map(len, draws))} draws of {len(chosen)} parameters are too few")
    ranges = [_range(name, [rows[:, k] for rows in draws], every) for k, name in enumerate(chosen)]
    colors = _cycle(len(every))
    figure = new_figure(figsize=(2.6 * len(chosen) + 0.6, 2.5 * len(chosen) + 0.4))
    highest = np.zeros(len(chosen))
    for rows, color in zip(draws, colors, strict=True):
        smooth = _smoothing(len(rows))
        corner.corner(
            rows, bins=_CELLS, range=ranges, levels=levels, color=color, smooth=smooth,
            smooth1d=smooth, weights=np.full(len(rows), 1 / len(rows)), quiet=True,
            labels=[LABELS.get(name, name) for name in chosen], quantiles=[0.16, 0.5, 0.84],
            show_titles=rows is draws[0], plot_datapoints=False, plot_density=False,
            fill_contours=True, no_fill_contours=True,
            contourf_kwargs={"colors": _fills(color, len(levels))}, max_n_ticks=4, fig=figure,
        )  # fmt: skip
        # corner fits the height to the posterior drawn last.
        tops = [figure.axes[k * (len(chosen) + 1)].get_ylim()[1] for k in range(len(chosen))]
        highest = np.maximum(highest, tops)
    for k, top in enumerate(highest):
        figure.axes[k * (len(chosen) + 1)].set_ylim(0, top)
    marks = [] if truth is None else [truth.get(name) for name in chosen]
    style: dict[str, Any] = {"color": "black", "lw": 0.9, "ls": "--"}
    if len(marks) == 1 and marks[0] is not None:  # corner wants two panels or more
        figure.axes[0].axvline(marks[0], **style)
    elif len(marks) > 1:
        corner.overplot_lines(figure, marks, **style)
    _legend(figure, list(every), colors, levels)
    return figure


def plot_posterior_correlations(
    posterior: Posterior, *, statistics: Sequence[str] | None = None
) -> Figure:
    """Correlation functions at draws of the posterior, beside the data (B25, Fig. 13).

    Bands hold 68 and 95 % of the posterior of the mean; around them, in outline, 68 % with the
    aleatoric scatter of one observation.

    Parameters
    ----------
    posterior : Posterior
    statistics : sequence of str, optional
        By default all that are modeled.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If one is not modeled, or the posterior is of no correlation functions.
    """
    seen = posterior.observation
    if seen is None:
        raise ValueError("posterior: its data are no correlation functions")
    there = [name for name in SYMBOLS if name in posterior.curves]
    chosen = there if statistics is None else list(statistics)
    lacking = [name for name in chosen if name not in there]
    if lacking:
        raise ValueError(f"statistics: {', '.join(lacking)} not among {', '.join(there)}")
    figure, axes = subplots(1, len(chosen), figsize=(4.8 * len(chosen), 4.2), squeeze=False)
    for ax, name in zip(axes[0], chosen, strict=True):
        mean, std = posterior.curves[name], posterior.curves[f"{name}_std"]
        q = np.quantile(mean, [0.025, 0.16, 0.5, 0.84, 0.975], axis=0)
        r = seen.r
        ax.fill_between(r, q[0], q[4], color=EPISTEMIC, alpha=0.2, lw=0, label="95 %")
        ax.fill_between(r, q[1], q[3], color=EPISTEMIC, alpha=0.45, lw=0, label="68 %")
        ax.plot(r, q[2], color=EPISTEMIC, lw=1.4, label="median")
        scatter = np.sqrt((std**2).mean(axis=0) + mean.var(axis=0))
        for k, sign in enumerate((-1, 1)):
            ax.plot(r, mean.mean(axis=0) + sign * scatter, color=EPISTEMIC, lw=0.8, ls=":",
                    label="with aleatoric scatter" if k else None)  # fmt: skip
        if name in seen.values:
            ax.errorbar(r, seen.values[name], yerr=_data_errors(seen, name), fmt="o", ms=4,
                        lw=1.1, capsize=2, color="black", label="data", zorder=4)  # fmt: skip
        ax.set_xscale("log")
        low = float(seen.edges[0]) or float(seen.edges[1]) / 10
        log_axis(ax.xaxis, low, float(seen.edges[-1]))
        ax.set_xlim(low, seen.edges[-1])
        ax.set_xlabel(r"$r$ [$h^{-1}\,$Mpc]")
        ax.set_ylabel(rf"{SYMBOLS[name]}$(r)$")
        if name == "xi" and (q > 0).all():
            ax.set_yscale("log")
        else:
            ax.axhline(0.0, color="0.7", lw=0.8, zorder=0)
    axes[0][0].legend(frameon=False, fontsize="small")
    return figure


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
    for k, name in enumerate(posterior.names):
        trace, ranks = axes[k]
        x = posterior.draws[:, :, k]
        order = np.argsort(np.argsort(x.ravel(), kind="stable")).reshape(x.shape)
        for c, color in zip(range(chains), _cycle(chains), strict=True):
            trace.plot(x[c], lw=0.5, color=color, alpha=0.8)
            ranks.hist(order[c], bins=bins, range=(0, x.size), histtype="step", color=color, lw=1.2)
        at = np.flatnonzero(diverging.any(axis=0))
        trace.plot(at, np.full(at.size, x.min()), "|", color="black", ms=8)
        ranks.axhline(draws / bins, color=NAIVE, lw=0.8, ls="--")
        trace.set_ylabel(LABELS.get(name, name))
        trace.set_xlim(0, draws)
        ranks.set_ylabel("draws")
    axes[-1][0].set_xlabel("draw")
    axes[-1][1].set_xlabel("rank among all chains")
    return figure


def plot_minimization(found: Minimization) -> Figure:
    """Loss and parameters against the step of a descent.

    Parameters
    ----------
    found : Minimization

    Returns
    -------
    Figure
    """
    figure, axes = subplots(1, 2, figsize=(9.6, 3.8))
    steps = np.arange(len(found.loss))
    axes[0].plot(steps, found.loss, color=ALEATORIC, lw=1.3)
    if (found.loss > 0).all() and found.loss.max() > 100 * found.loss.min():
        axes[0].set_yscale("log")
    axes[0].set_ylabel(str(found.settings.get("objective", "loss")))
    for k, (name, color) in enumerate(zip(found.names, _cycle(len(found.names)), strict=True)):
        axes[1].plot(steps, found.trace[:, k], color=color, lw=1.3, label=LABELS.get(name, name))
    axes[1].set_ylabel("parameter")
    axes[1].legend(frameon=False)
    for ax in axes:
        ax.set_xlabel("step")
    return figure


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
    corner = need("corner", "a corner plot")
    figure, (left, right) = subplots(1, 2, figsize=(11.0, 4.8))
    names = ("mu_cen", "mu_sat")
    every, levels = experiment.posteriors, (0.68, 0.95)
    truth = [getattr(experiment.settings, name) for name in names]
    ranges = []
    for k, name in enumerate(names):
        columns = [posterior.flat[:, k] for posterior in every.values()]
        ranges.append(_range(name, [*columns, np.array([truth[k]])], every))
    for color, (label, posterior) in zip(_cycle(len(every)), every.items(), strict=True):
        corner.hist2d(
            *posterior.flat.T, bins=_CELLS, range=ranges, levels=levels, color=color, ax=left,
            smooth=_smoothing(len(posterior.flat)), quiet=True, plot_datapoints=False,
            plot_density=False, fill_contours=True, no_fill_contours=True,
            contourf_kwargs={"colors": _fills(color, len(levels))},
        )  # fmt: skip
        left.plot([], [], color=color, lw=2, label=label)
    left.plot(*truth, marker="+", ms=14, mew=2, color=NAIVE, ls="none", label="truth")
    left.set_xlabel(LABELS["mu_cen"])
    left.set_ylabel(LABELS["mu_sat"])
    left.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, fontsize=9)
    right.errorbar(
        experiment.r, experiment.omega, yerr=experiment.error, fmt="o", ms=4, lw=1.2, capsize=2,
        color="black",
    )  # fmt: skip
    right.axhline(0.0, color="0.7", lw=0.8, zorder=0)
    right.set_xscale("log")
    log_axis(right.xaxis, float(experiment.r[0]), float(experiment.r[-1]))
    right.set_xlabel(r"$r$ [$h^{-1}\,$Mpc]")
    right.set_ylabel(r"$\omega(r)$ of the mock catalog")
    return figure


# ---------------------------------------------------------------------- parts
def _cycle(number: int) -> list[str]:
    return [_COLORS[k % len(_COLORS)] for k in range(number)]


def _range(name: str, columns: list[FloatArray], every: Mapping[str, Any]) -> tuple[float, float]:
    """All draws with a margin, but not beyond the priors."""
    low, high = min(c.min() for c in columns), max(c.max() for c in columns)
    margin = 0.08 * (high - low) or max(abs(low), 1.0) * 1e-3
    records = [posterior.priors.get(name, {}) for posterior in every.values()]
    ends = [(record.get("low"), record.get("high")) for record in records]
    least = min(-np.inf if end is None else end for end, _ in ends)
    most = max(np.inf if end is None else end for _, end in ends)
    return float(max(low - margin, least)), float(min(high + margin, most))


def _smoothing(n: int) -> float:
    """Cells that a density is smoothed over: fewer draws want more."""
    return float(np.clip(2.2 * (4000 / max(n, 1)) ** (1 / 6), 1.5, 5.0))


def _fills(color: str, number: int) -> list[tuple[float, float, float, float]]:
    """Colors outside the contours and between them, translucent so that several can be seen."""
    return [to_rgba(color, alpha) for alpha in (0.0, *np.linspace(0.1, 0.45, number))]


def _legend(
    figure: Figure, labels: Sequence[str], colors: Sequence[str], levels: Sequence[float]
) -> None:
    """Labels of the posteriors, if they have any, and parts that the contours enclose."""
    handles: list[Artist] = [
        Line2D([], [], color=color, lw=2, label=label)
        for label, color in zip(labels, colors, strict=True)
        if label
    ]
    if len(figure.axes) == 1:  # no contours
        if handles:
            figure.axes[0].legend(handles=handles, frameon=False, loc="upper right")
        return
    tone = colors[0] if len(colors) == 1 else "black"
    fills = _fills(tone, len(levels))[1:]
    handles += [
        Patch(facecolor=fill, edgecolor=tone, label=f"{100 * level:.4g} %")
        for fill, level in zip(fills, sorted(levels, reverse=True), strict=True)
    ]
    figure.legend(handles=handles, frameon=False, loc="upper right", bbox_to_anchor=(0.98, 0.98))


def _data_errors(seen: Observation, name: str) -> FloatArray | None:
    """One standard deviation of the data of a statistic; None where they bring none."""
    if seen.covariance is None:
        return None
    bins = seen.edges.size - 1
    errors = np.full(len(seen.statistics) * bins, np.nan)
    errors[seen.rows] = np.sqrt(np.diag(seen.covariance))
    start = seen.statistics.index(name) * bins
    return errors[start : start + bins]
