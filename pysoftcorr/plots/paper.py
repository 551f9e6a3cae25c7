"""Correlations for a column of a journal: absolute values on logarithmic axes.

Filled points are positive, open ones negative, as rho statistics are commonly published (Jarvis et
al. 2021, fig. 10); what is required of them is a band.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, NullFormatter

from pysoftcorr.plots.figures import LABEL, subplots
from pysoftcorr.plots.requirement import curve
from pysoftcorr.plots.series import held, widen
from pysoftcorr.plots.sky import NAIVE, log_axis
from pysoftcorr.plots.statistics import abscissa, symbol
from pysoftcorr.plots.styles import PALETTE
from pysoftcorr.sky.result import Correlation

FloatArray = npt.NDArray[np.float64]

#: Width of a column of a journal, in inches.
WIDTH = 3.4
_SIZE = 8.0
#: Statistics that are compared in one panel, in the order of the panels.
_TOGETHER = (
    ("rho1", "rho3", "rho4"), ("rho0", "rho2", "rho5"), ("tau0", "tau2", "tau5"), ("xip", "xim"),
)  # fmt: skip
#: Apart for the color-blind (Okabe & Ito), and by shape in gray.
_STYLES = tuple(zip((*PALETTE[:4], "#000000"), "os^Dv", strict=True))
#: What axes show already.
_DRAWN: WeakKeyDictionary[Axes, list[Correlation]] = WeakKeyDictionary()
#: Decades below the largest value that are shown at most.
_DEPTH = 5.0


def panels(names: Sequence[str]) -> list[list[str]]:
    """The statistics of each panel: those that are compared together, others by themselves."""
    known = [[name for name in group if name in names] for group in _TOGETHER]
    grouped = {name for group in known for name in group}
    return [group for group in known if group] + [[n] for n in names if n not in grouped]


def draw_set(
    correlations: Mapping[str, Correlation], requirement: Any, title: str | None
) -> Figure:
    """A panel above the other for every group of statistics that are compared."""
    groups = panels(list(correlations))
    figure, axes = subplots(
        len(groups), 1, figsize=(WIDTH, 0.45 + 2.1 * len(groups)), sharex=True, squeeze=False
    )
    figure.set_label(LABEL)
    for ax, group in zip(axes.flat, groups, strict=True):
        draw(ax, [correlations[name] for name in group], requirement)
        if ax is not axes.flat[-1]:
            ax.set_xlabel("")
    if title:
        figure.suptitle(title, fontsize=_SIZE + 1)
    return figure


def draw(ax: Axes, items: Sequence[Correlation], requirement: Any) -> None:
    """The absolute values of some statistics on one panel, beside those it shows already."""
    handles: list[Any] = []
    notes: list[Any] = []
    earlier = _DRAWN.get(ax, []) if ax.containers else []
    before, limits = len(earlier), held(ax)
    every = [*earlier, *items]
    _DRAWN[ax] = every
    all_pairs = any(item.all_pairs is not None for item in every)
    negative = any((item.value < 0).any() for item in every)
    slots = len(items) * (2 if any(item.all_pairs is not None for item in items) else 1)
    step = min(0.16, 0.84 / slots)
    for k, item in enumerate(items):
        color, marker = _STYLES[(before + k) % len(_STYLES)]
        theta = abscissa(item)
        slot = k * (slots // len(items)) - 0.5 * (slots - 1) + slots * _beside(before)
        at = _shifted(item, theta, step * slot)
        sigma = item.sigma_shot if item.sigma is None else item.sigma
        for positive in (True, False):
            there = np.isfinite(item.value) & ((item.value > 0) == positive) & (item.value != 0)
            ax.errorbar(
                at[there], np.abs(item.value[there]), yerr=np.nan_to_num(sigma[there]), fmt=marker,
                ms=3.8, mew=0.9, lw=0.9, capsize=1.5, color=color,
                mfc=color if positive else "white", zorder=4,
            )  # fmt: skip
        if item.all_pairs is not None:
            _without_errors(
                ax, _shifted(item, theta, step * (slot + 1)), item.all_pairs.real, color
            )
    # Limits by the values: errors longer than they reach below every axis.
    low, high = _limits(every)
    for k, item in enumerate(every):
        color, marker = _STYLES[k % len(_STYLES)]
        handles.append(
            Line2D([], [], ls="", marker=marker, ms=3.8, color=color, label=symbol(item.name))
        )
    if not any(np.isfinite(item.value).any() for item in every):
        ax.text(0.5, 0.5, "no bin has a value", transform=ax.transAxes, ha="center", color=NAIVE,
                fontsize=_SIZE)  # fmt: skip
    curves = _required(ax, items, requirement)
    if curves:
        high = max(high, *(float(c.max()) for c in curves))
        low = min(low, *(float(c.min()) for c in curves))
        notes.append(_handle(len(curves)))
    _dress(ax, every, low, high)
    widen(ax, limits)
    log_axis(ax.xaxis, *ax.get_xlim())
    if negative:
        notes.append(
            Line2D([], [], marker="o", ms=3.8, mfc="white", label="negative", ls="", color="0.4")
        )
    if all_pairs:
        notes.append(Line2D([], [], marker="d", ms=3.4, label="all pairs", ls="", color="0.4"))
    _legend(ax, handles, notes)


def _beside(before: int) -> int:
    """Places to the right, or left, of so many that are on the axes already: 0, 1, -1, 2, ..."""
    return (before + 1) // 2 * (1 if before % 2 else -1)


def _legend(ax: Axes, handles: list[Any], notes: list[Any]) -> None:
    """The statistics in one row, what holds for all in the next; one row if that suffices."""
    parts = [handles + notes] if len(handles + notes) <= 4 else [handles, notes]
    columns = max(len(part) for part in parts)
    nothing = Line2D([], [], ls="", label=" ")
    rows = [part + [nothing] * (columns - len(part)) for part in parts]
    ax.legend(
        handles=[handle for column in zip(*rows, strict=True) for handle in column],
        fontsize=_SIZE - 1, ncols=columns, loc="upper right", handletextpad=0.2,
        columnspacing=0.9, borderaxespad=0.2,
    )  # fmt: skip


def _shifted(item: Correlation, theta: FloatArray, part: float) -> FloatArray:
    """The separations moved by a part of a bin, as long anywhere on a logarithmic axis."""
    edges = item.bins.edges[item.bins.edges > 0]
    width = float(np.median(np.diff(np.log(edges)))) if edges.size > 1 else 0.5
    return np.asarray(theta * np.exp(part * width))


def _without_errors(ax: Axes, theta: FloatArray, values: FloatArray, color: str) -> None:
    """Values of all pairs, filled and open as the others are."""
    for there, face in ((values > 0, color), (values < 0, "white")):
        ax.plot(theta[there], np.abs(values[there]), ls="", marker="d", ms=3.4, mew=0.7,
                color=color, mfc=face, zorder=3)  # fmt: skip


def _limits(items: Sequence[Correlation]) -> tuple[float, float]:
    """Smallest and largest absolute value that the panel shows, with what lies above by errors."""
    sizes, tops = [], []
    for item in items:
        sigma = np.nan_to_num(item.sigma_shot if item.sigma is None else item.sigma)
        sizes.append(np.abs(item.value[np.isfinite(item.value) & (item.value != 0)]))
        if item.all_pairs is not None:
            tops.append(np.abs(item.all_pairs.real[np.isfinite(item.all_pairs.real)]))
        good = np.isfinite(item.value)
        tops.append(np.abs(item.value[good]) + sigma[good])
    every, top = np.concatenate(sizes), np.concatenate(tops)
    if not every.size:
        return 0.1, 1.0
    high = float(max(every.max(), top.max()))
    return max(float(every.min()), high * 10.0**-_DEPTH), high


def _required(ax: Axes, items: Sequence[Correlation], requirement: Any) -> list[FloatArray]:
    """Draw what is required: one band, or a line for each statistic where they differ."""
    found = [(k, curve(requirement, item)) for k, item in enumerate(items)]
    drawn: list[tuple[int, FloatArray, FloatArray]] = []
    for k, pair in found:
        if pair is None:
            continue
        theta, values = pair
        if not any(np.array_equal(values, v) and np.array_equal(theta, t) for _, t, v in drawn):
            drawn.append((k, theta, values))
    for k, theta, values in drawn:
        single = len(drawn) == 1
        color = NAIVE if single else _STYLES[k % len(_STYLES)][0]
        ax.plot(theta, values, color=color, lw=0.9, ls="--", zorder=2)
        if single:
            ax.fill_between(theta, np.full(theta.shape, np.finfo(float).tiny), values, color=NAIVE,
                            alpha=0.15, lw=0, zorder=1)  # fmt: skip
    return [values for *_, values in drawn]


def _handle(number: int) -> Any:
    if number == 1:
        return Patch(facecolor=NAIVE, alpha=0.3, label="allowed")
    return Line2D([], [], color="0.4", lw=0.9, ls="--", label="allowed")


def _dress(ax: Axes, items: Sequence[Correlation], low: float, high: float) -> None:
    edges = np.concatenate([item.bins.edges for item in items])
    bins = items[0].bins
    ax.set_xscale("log")
    ax.set_yscale("log", nonpositive="clip")
    theta = np.concatenate([abscissa(item) for item in items])
    start = float(edges[edges > 0].min())
    if edges.min() <= 0:  # bins from 0 on
        start = min(start, 0.6 * float(theta[theta > 0].min()))
    # Markers beside one another need room at the last bin too, which may be a narrow one.
    end = max(edges.max(), 1.15 * theta[theta > 0].max())
    ax.set_xlim(start, end)
    log_axis(ax.xaxis, start, end)
    # Room above for the legend.
    decades = np.log10(high / low) + 0.3
    ax.set_ylim(low / 1.6, high * 10 ** (0.1 + 0.28 * decades))
    ax.yaxis.set_major_locator(LogLocator(numticks=8))
    ax.yaxis.set_minor_locator(LogLocator(subs=tuple(range(2, 10)), numticks=80))
    ax.yaxis.set_minor_formatter(NullFormatter())
    names = ", ".join(symbol(item.name).strip("$") for item in items)
    ax.set_xlabel(rf"$\theta$ [{bins.unit}]", fontsize=_SIZE + 1)
    ax.set_ylabel(rf"$|{names}(\theta)|$" if len(items) == 1 else rf"$|{_stem(items)}(\theta)|$",
                  fontsize=_SIZE + 1)  # fmt: skip
    ax.tick_params(which="both", direction="in", top=True, right=True, labelsize=_SIZE)


def _stem(items: Sequence[Correlation]) -> str:
    """What the symbols of a panel have in common."""
    stems = {symbol(item.name).strip("$").partition("_")[0] for item in items}
    return rf"{stems.pop()}_i" if len(stems) == 1 else r"\mathrm{correlation}"
