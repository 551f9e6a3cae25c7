"""Posteriors: contours, correlation functions, traces; and the descent of a minimization."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from pysoftcorr.plots.sky import ALEATORIC, EPISTEMIC, NAIVE, log_axis

if TYPE_CHECKING:
    from pysoftcorr.inference import Minimization, Posterior

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
    """
    every = {"": posteriors} if not isinstance(posteriors, Mapping) else dict(posteriors)
    if not every:
        raise ValueError("posteriors is empty: there is nothing to draw")
    if not all(0 < level < 1 for level in levels):
        raise ValueError(f"levels = {tuple(levels)}: must be between 0 and 1")
    first = next(iter(every.values()))
    shared = [n for n in first.names if all(n in p.names for p in every.values())]
    chosen = shared if names is None else list(names)
    unknown = [name for name in chosen if name not in shared]
    if unknown or not chosen:
        raise ValueError(f"names: {', '.join(unknown) or 'none'} of {', '.join(shared)} to draw")
    columns = {k: {n: p.flat[:, p.names.index(n)] for n in chosen} for k, p in every.items()}
    ranges = {n: _range(n, [c[n] for c in columns.values()], every) for n in chosen}
    size = len(chosen)
    figure, grid = plt.subplots(
        size, size, figsize=(2.6 * size + 0.6, 2.5 * size + 0.4), squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for row, below in enumerate(chosen):
        for column, across in enumerate(chosen):
            ax = grid[row][column]
            if column > row:
                ax.set_axis_off()
                continue
            for (label, values), color in zip(columns.items(), _cycle(len(every)), strict=True):
                if column == row:
                    _marginal(ax, values[across], ranges[across], color, label)
                else:
                    x, y = values[across], values[below]
                    _contours(ax, x, y, ranges[across], ranges[below], levels, color)
            _mark(ax, truth, across, below if column < row else None)
            ax.set_xlim(*ranges[across])
            if column < row:
                ax.set_ylim(*ranges[below])
            _ticks(ax, row, column, size, LABELS.get(across, across), LABELS.get(below, below))
    if any(every):
        handles = [
            plt.Line2D([], [], color=color, lw=2, label=label)
            for label, color in zip(every, _cycle(len(every)), strict=True)
        ]
        place = grid[0][-1] if size > 1 else grid[0][0]
        place.legend(handles=handles, frameon=False, loc="upper right")
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
        If one is not modeled.
    """
    there = [name for name in SYMBOLS if name in posterior.curves]
    chosen = there if statistics is None else list(statistics)
    lacking = [name for name in chosen if name not in there]
    if lacking:
        raise ValueError(f"statistics: {', '.join(lacking)} not among {', '.join(there)}")
    seen = posterior.observation
    figure, axes = plt.subplots(
        1, len(chosen), figsize=(4.8 * len(chosen), 4.2), squeeze=False, layout="constrained"
    )
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
            ax.errorbar(r, seen.values[name], yerr=_data_errors(posterior, name), fmt="o", ms=4,
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
        Divergent draws are marked below the traces.
    """
    chains, draws, size = posterior.samples.shape
    figure, axes = plt.subplots(
        size, 2, figsize=(11.0, 2.1 * size + 0.5), squeeze=False, layout="constrained",
        width_ratios=(2.4, 1),
    )  # fmt: skip
    diverging = posterior.stats["diverging"]
    bins = int(np.clip(draws // 25, 5, 20))
    for k, name in enumerate(posterior.names):
        trace, ranks = axes[k]
        x = posterior.samples[:, :, k]
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
    figure, axes = plt.subplots(1, 2, figsize=(9.6, 3.8), layout="constrained")
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


# ---------------------------------------------------------------------- parts of the corner
def _cycle(number: int) -> list[str]:
    return [_COLORS[k % len(_COLORS)] for k in range(number)]


def _range(name: str, columns: list[FloatArray], every: Mapping[str, Any]) -> tuple[float, float]:
    """All draws with a margin, but not beyond the priors."""
    low, high = min(c.min() for c in columns), max(c.max() for c in columns)
    margin = 0.08 * (high - low) or max(abs(low), 1.0) * 1e-3
    records = [posterior.priors.get(name, {}) for posterior in every.values()]
    least = min(record.get("low", -np.inf) for record in records)
    most = max(record.get("high", np.inf) for record in records)
    return float(max(low - margin, least)), float(min(high + margin, most))


def _smoothing(n: int) -> float:
    """Cells that a density is smoothed over: fewer draws want more."""
    return float(np.clip(2.2 * (4000 / max(n, 1)) ** (1 / 6), 1.5, 5.0))


def _marginal(ax: Axes, x: FloatArray, limits: tuple[float, float], color: str, label: str) -> None:
    height, edges = np.histogram(x, bins=_CELLS, range=limits, density=True)
    # Reflected at the ends: nothing leaks over a bound.
    smooth = gaussian_filter1d(height, _smoothing(x.size), mode="reflect")
    middle = (edges[:-1] + edges[1:]) / 2
    ax.plot(middle, smooth, color=color, lw=1.5, label=label or None)
    ax.set_ylim(bottom=0.0)
    for value in np.quantile(x, [0.16, 0.84]):
        ax.axvline(value, color=color, lw=0.7, ls=":")


def _contours(
    ax: Axes,
    x: FloatArray,
    y: FloatArray,
    across: tuple[float, float],
    up: tuple[float, float],
    levels: Sequence[float],
    color: str,
) -> None:
    count, x_edges, y_edges = np.histogram2d(x, y, bins=_CELLS, range=(across, up))
    density = gaussian_filter(count, _smoothing(x.size), mode="reflect")
    heights = contour_heights(density, levels)
    middles = [(e[:-1] + e[1:]) / 2 for e in (x_edges, y_edges)]
    # Cells of equal height would make contours of equal level, which matplotlib refuses.
    heights = np.unique(np.maximum(heights, density.max() * 1e-9))
    alphas = np.linspace(0.18, 0.6, heights.size)
    for height, alpha in zip(heights, alphas, strict=True):
        ax.contourf(*middles, density.T, levels=[height, density.max() * 1.001], colors=[color],
                    alpha=0.5 * alpha)  # fmt: skip
    ax.contour(*middles, density.T, levels=heights, colors=[color], linewidths=1.2)


def contour_heights(density: FloatArray, levels: Sequence[float]) -> FloatArray:
    """Heights above which these parts of the sum of `density` lie.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr.plots.posterior import contour_heights
    >>> contour_heights(np.array([4.0, 3.0, 2.0, 1.0]), [0.4, 0.9]).tolist()
    [4.0, 2.0]
    """
    ordered = np.sort(density.ravel())[::-1]
    total = np.cumsum(ordered)
    rows = np.searchsorted(total, np.asarray(levels) * total[-1] * (1 - 1e-12))
    return np.asarray(ordered[np.minimum(rows, ordered.size - 1)])


def _mark(ax: Axes, truth: Mapping[str, float] | None, across: str, below: str | None) -> None:
    for name, line in ((across, ax.axvline), (below, ax.axhline)):
        if truth is not None and name is not None and name in truth:
            line(truth[name], color="black", lw=0.9, ls="--")


def _ticks(ax: Axes, row: int, column: int, size: int, across: str, below: str) -> None:
    if row == size - 1:
        ax.set_xlabel(across)
    else:
        ax.tick_params(labelbottom=False)
    if row == column:
        ax.set_yticks([])
    elif column == 0:
        ax.set_ylabel(below)
    else:
        ax.tick_params(labelleft=False)


def _data_errors(posterior: Posterior, name: str) -> FloatArray | None:
    """One standard deviation of the data of a statistic; None where they bring none."""
    seen = posterior.observation
    if seen.covariance is None:
        return None
    bins = seen.edges.size - 1
    errors = np.full(len(seen.statistics) * bins, np.nan)
    errors[seen.rows] = np.sqrt(np.diag(seen.covariance))
    start = seen.statistics.index(name) * bins
    return errors[start : start + bins]
