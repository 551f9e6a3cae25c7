"""Series of a panel: bands that show single bins, points of either sign, scales, common legends."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.ticker import (
    AutoLocator,
    FuncFormatter,
    LogFormatterSciNotation,
    LogLocator,
    NullFormatter,
)

FloatArray = npt.NDArray[np.float64]

#: Decades below the largest value that a logarithmic axis shows at most of values near 0.
DEPTH = 6.0


def band(
    ax: Axes, x: FloatArray, low: FloatArray, high: FloatArray, *, edges: FloatArray, **style: Any
) -> None:
    """Fill between two curves of bins; a bin without neighbors is filled over its width.

    Bins where a limit is not finite are left out.
    """
    good = np.isfinite(low) & np.isfinite(high)
    alone = good & ~np.r_[False, good[:-1]] & ~np.r_[good[1:], False]
    at, below, above = [], [], []
    for k in range(len(x)):
        places = (edges[k] or 0.5 * x[k], edges[k + 1]) if alone[k] else (x[k],)
        for place in places:
            at.append(place)
            below.append(low[k] if good[k] else np.nan)
            above.append(high[k] if good[k] else np.nan)
    ax.fill_between(at, below, above, lw=0, **style)


def signed_points(
    ax: Axes,
    x: FloatArray,
    y: FloatArray,
    error: FloatArray | None,
    *,
    label: str,
    color: str,
    log: bool,
    **style: Any,
) -> list[FloatArray]:
    """Points with errors; on a logarithmic axis absolute values, open where they are negative.

    Values that are not finite are left out, on a logarithmic axis those that are 0 too; an error
    that is not known has no bar. Gives absolute values and the ends of their bars above 0.
    """
    finite = np.isfinite(y)
    kinds = [(finite, label, color)]
    if log:
        kinds = [
            (finite & (y > 0), label, color),
            (finite & (y < 0), f"{label}, negative", "white"),
        ]
    for there, said, face in kinds:
        if there.any():
            ax.errorbar(
                x[there], np.abs(y[there]) if log else y[there],
                yerr=None if error is None else np.nan_to_num(error[there]), ls="none", color=color,
                mfc=face, label=said, **style,
            )  # fmt: skip
    size = np.abs(y)
    if error is None:
        return [size]
    bar = np.nan_to_num(error)
    return [size, size + bar, np.where(size > bar, size - bar, 0.6 * size)]


def scale_values(ax: Axes, values: Iterable[FloatArray]) -> str:
    """Scale the ordinate by its values; gives "log", "symlog" or "linear".

    Logarithmic where all values are positive; where some are not, linear, or linear about 0 and
    logarithmic beyond if they span decades.
    """
    every = np.concatenate([np.ravel(v) for v in values] or [np.empty(0)])
    every = every[np.isfinite(every)]
    if not every.size:
        return "linear"
    if (every > 0).all():
        log_values(ax, float(every.min()), float(every.max()))
        return "log"
    size = np.abs(every)
    typical = float(np.median(size)) or float(size.max())
    if size.max() > 30.0 * typical > 0.0:
        power = 10.0 ** np.ceil(np.log10(2.0 * typical))
        ax.set_yscale("symlog", linthresh=power)
        return "symlog"
    ax.ticklabel_format(axis="y", style="sci", scilimits=(-3, 4), useMathText=True)
    return "linear"


def log_values(ax: Axes, low: float, high: float) -> None:
    """A logarithmic ordinate with labels at 1, 2 and 5 where decades alone would be too few."""
    ax.set_yscale("log")
    axis, decades = ax.yaxis, np.log10(high / low) if low > 0 else np.inf
    if decades >= 2.5:
        axis.set_major_locator(LogLocator(numticks=8))
        axis.set_major_formatter(LogFormatterSciNotation())
    else:
        narrow = decades < 0.5
        axis.set_major_locator(AutoLocator() if narrow else LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.6g}"))
    axis.set_minor_formatter(NullFormatter())


def log_limits(ax: Axes, low: Sequence[FloatArray], high: Sequence[FloatArray]) -> None:
    """Scale the ordinate logarithmically, so that it holds these values with a margin.

    Values near 0, more than `DEPTH` decades below the largest, do not widen it.
    """
    below, above = np.concatenate(low), np.concatenate(high)
    below, above = below[np.isfinite(below) & (below > 0)], above[np.isfinite(above) & (above > 0)]
    if not (below.size and above.size):
        return
    top = float(max(above.max(), below.max()))
    bottom = max(float(below.min()), top * 10.0**-DEPTH)
    margin = max((top / bottom) ** 0.06, 1.1)
    log_values(ax, bottom / margin, top * margin)
    ax.set_ylim(bottom / margin, top * margin)


def entries(panels: Iterable[Axes]) -> tuple[list[Any], list[str]]:
    """Entries of a legend of several panels, each label once, points with errors first."""
    found: dict[str, Any] = {}
    for ax in panels:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    pairs = sorted(found.items(), key=lambda pair: not isinstance(pair[1], ErrorbarContainer))
    return [handle for _, handle in pairs], [label for label, _ in pairs]


def held(ax: Axes) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """Limits of axes that show something already, for `widen`; None of empty ones."""
    return (ax.get_xlim(), ax.get_ylim()) if ax.has_data() else None


def widen(ax: Axes, before: tuple[tuple[float, float], tuple[float, float]] | None) -> None:
    """Let limits that were set hold what the axes showed before too."""
    if before is None:
        return
    for axis, old in zip((ax.xaxis, ax.yaxis), before, strict=True):
        now = axis.get_view_interval()
        which = "x" if axis is ax.xaxis else "y"
        if ax.get_autoscalex_on() if which == "x" else ax.get_autoscaley_on():
            continue
        log = axis.get_scale() == "log"
        ends = [v for v in (*old, *now) if v > 0 or not log]
        low, high = (min(ends), max(ends)) if now[0] <= now[1] else (max(ends), min(ends))
        (ax.set_xlim if which == "x" else ax.set_ylim)(low, high)


def same_unit(ax: Axes, unit: str) -> None:
    """Refuse axes whose abscissa has another unit, as its label says.

    Raises
    ------
    ValueError
        If it has.
    """
    found = re.search(r"\[([^\]]*)\]\s*$", ax.get_xlabel())
    if ax.has_data() and found is not None and found[1] != unit:
        raise ValueError(
            f"ax: its abscissa is in {found[1]}, this is in {unit}: must be one unit; draw on "
            "other axes, or convert it first"
        )
