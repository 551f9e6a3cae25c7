"""Posteriors of DiffHOD: both samplers side by side, and alignment strengths by three models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy.ndimage import gaussian_filter

from pysoftcorr.plots.sky import ALEATORIC, EPISTEMIC, NAIVE, log_axis

if TYPE_CHECKING:
    from pysoftcorr.diffhod.experiments.experiment import PowerExperiment
    from pysoftcorr.diffhod.experiments.inference import Posterior
    from pysoftcorr.diffhod.experiments.strengths import StrengthExperiment

FloatArray = npt.NDArray[np.float64]

_LABELS = {
    "logMmin": r"$\log M_{\min}$", "sigma_logM": r"$\sigma_{\log M}$", "logM0": r"$\log M_0$",
    "logM1": r"$\log M_1$", "alpha": r"$\alpha$", "mu_cen": r"$\mu_{\rm cen}$",
    "mu_sat": r"$\mu_{\rm sat}$",
}  # fmt: skip
_COLORS = (ALEATORIC, EPISTEMIC, "#009E73")
#: Parts of the samples within the contours.
_INSIDE = (0.68, 0.95)


def plot_diffhod_posteriors(experiment: PowerExperiment) -> Figure:
    """Posteriors of NUTS through DiffHOD and of emcee on the exact HOD (H22, Fig. 5).

    Parameters
    ----------
    experiment : PowerExperiment

    Returns
    -------
    Figure
        One- and two-dimensional marginal densities, contours at 68 and 95 %; the parameters of
        the mock data in gray.
    """
    every = {"DiffHOD, NUTS": experiment.nuts}
    if experiment.emcee is not None:
        every["exact HOD, emcee"] = experiment.emcee
    return _corner(every, experiment.settings.fiducial)


def plot_strengths(experiment: StrengthExperiment) -> Figure:
    """Posteriors of the alignment strengths by each model, and the mock omega(r).

    Parameters
    ----------
    experiment : StrengthExperiment

    Returns
    -------
    Figure
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(11.0, 4.8), layout="constrained")
    for color, (label, posterior) in zip(_COLORS, experiment.posteriors.items(), strict=False):
        x, y = (posterior.draws[..., j].ravel() for j in (0, 1))
        _contours(left, x, y, color, bounds=(-1.0, 1.0))
        left.plot([], [], color=color, lw=2, label=label)
    truth = (experiment.settings.mu_cen, experiment.settings.mu_sat)
    left.plot(*truth, marker="+", ms=14, mew=2, color=NAIVE, ls="none", label="truth")
    left.set_xlabel(_LABELS["mu_cen"])
    left.set_ylabel(_LABELS["mu_sat"])
    for j, limit in enumerate((left.set_xlim, left.set_ylim)):
        every = np.concatenate([p.draws[..., j].ravel() for p in experiment.posteriors.values()])
        low, high = np.quantile(np.append(every, truth[j]), [0.002, 0.998])
        pad = 0.1 * (max(high, truth[j]) - min(low, truth[j]))
        limit(max(min(low, truth[j]) - pad, -1.0), min(max(high, truth[j]) + pad, 1.0))
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


def _corner(posteriors: Mapping[str, Posterior], truth: Any) -> Figure:
    names = next(iter(posteriors.values())).names
    n = len(names)
    figure, axes = plt.subplots(n, n, figsize=(2.1 * n, 2.1 * n), squeeze=False)
    figure.subplots_adjust(wspace=0.08, hspace=0.08, left=0.1, right=0.98, bottom=0.1, top=0.98)
    limits = []
    for j in range(n):
        every = np.concatenate([p.draws[..., j].ravel() for p in posteriors.values()])
        low, high = np.quantile(every, [0.002, 0.998])
        limits.append((low - 0.08 * (high - low), high + 0.08 * (high - low)))
    for i in range(n):
        for j in range(n):
            ax = axes[i, j]
            if j > i:
                ax.set_visible(False)
                continue
            for color, posterior in zip(_COLORS, posteriors.values(), strict=False):
                x, y = (posterior.draws[..., k].ravel() for k in (j, i))
                if i == j:
                    _density(ax, x, limits[j], color)
                else:
                    _contours(ax, x, y, color)
            ax.axvline(truth[j], color=NAIVE, lw=0.9, ls="--")
            if i != j:
                ax.axhline(truth[i], color=NAIVE, lw=0.9, ls="--")
                ax.set_ylim(*limits[i])
            ax.set_xlim(*limits[j])
            ax.xaxis.set_major_locator(MaxNLocator(3, prune="both"))
            ax.yaxis.set_major_locator(MaxNLocator(3, prune="both"))
            if i == j:
                ax.set_yticks([])
            elif j == 0:
                ax.set_ylabel(_LABELS.get(names[i], names[i]))
            if j > 0:
                ax.set_yticklabels([])
            if i == n - 1:
                ax.set_xlabel(_LABELS.get(names[j], names[j]))
            else:
                ax.set_xticklabels([])
    handles = [plt.Line2D([], [], color=c, lw=2) for c, _ in zip(_COLORS, posteriors, strict=False)]
    figure.legend(handles, list(posteriors), loc="upper right", frameon=False, fontsize=12)
    return figure


def _density(ax: Axes, x: FloatArray, limits: tuple[float, float], color: str) -> None:
    height, edges = np.histogram(x, bins=60, range=limits, density=True)
    smooth = gaussian_filter(height, 1.5)
    ax.plot((edges[1:] + edges[:-1]) / 2, smooth, color=color, lw=1.5)
    # The axes hold the curves of all samplers so far.
    ax.set_ylim(0, max(ax.get_ylim()[1] if len(ax.lines) > 1 else 0.0, 1.05 * smooth.max()))


def _contours(
    ax: Axes,
    x: FloatArray,
    y: FloatArray,
    color: str,
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> None:
    """Contours that hold 68 and 95 % of the samples, of a smoothed histogram within bounds."""
    ranges = [
        tuple(
            np.clip([v.min() - 0.1 * np.ptp(v) - 1e-12, v.max() + 0.1 * np.ptp(v) + 1e-12], *bounds)
        )
        for v in (x, y)
    ]
    height, ex, ey = np.histogram2d(x, y, bins=50, range=ranges)
    height = gaussian_filter(height, 2.0)
    order = np.sort(height.ravel())[::-1]
    held = np.cumsum(order) / order.sum()
    levels = sorted({float(order[np.searchsorted(held, part)]) for part in _INSIDE})
    middle = [(e[1:] + e[:-1]) / 2 for e in (ex, ey)]
    ax.contour(
        *middle, height.T, levels=levels, colors=[color], linewidths=[0.9, 1.6][: len(levels)]
    )
    if len(levels) == 2:
        ax.contourf(*middle, height.T, levels=[levels[1], height.max() + 1], colors=[color],
                    alpha=0.25)  # fmt: skip
