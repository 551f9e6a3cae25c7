"""Correlation functions with the aleatoric and the epistemic error side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.ticker import AutoMinorLocator, ScalarFormatter

from pysoftcorr.core.options import choice
from pysoftcorr.plots import paper
from pysoftcorr.plots.figures import LABEL, subplots
from pysoftcorr.plots.requirement import curve
from pysoftcorr.plots.series import entries, held, same_unit, widen
from pysoftcorr.plots.sky import ALEATORIC, EPISTEMIC, NAIVE, axes_of, log_axis
from pysoftcorr.plots.statistics import abscissa, beside, symbol
from pysoftcorr.plots.styles import styled
from pysoftcorr.sky.result import Correlation

#: Middles of series on the same axes about the separations, in bins: first beside one another.
_MIDDLES = (0.0, 0.34, -0.34, 0.17, -0.17, 0.42, -0.42)
#: Colors of what comes upon axes with curves already.
FURTHER = ("#56B4E9", "#CC79A7", "#009E73", "#E69F00", "#000000")


@styled
def plot_correlation(
    correlation: Correlation,
    *,
    ax: Axes | None = None,
    naive: Correlation | None = None,
    color: Any = None,
    label: str | None = None,
    style: str = "default",
    requirement: Any = None,
) -> Axes:
    """Plot a correlation against separation, its two errors side by side.

    Each bin has a filled point with the aleatoric error and, a little to the right, an open one
    with the epistemic error (Berman et al. 2025, figs. 8 and 14 to 17); where there are no
    resamples, one point with the shot noise. Bins without pairs are left out. The value from all
    pairs, where the correlation has it (`all_pairs`), is a diamond beside them.

    Parameters
    ----------
    correlation : Correlation
    ax : Axes, optional
        Axes to draw on; a new figure by default.
    naive : Correlation, optional
        The same statistic of all pairs, drawn as a line.
    color : matplotlib color, optional
        One color for both errors; by default one for each, or on axes with curves already the
        next of the cycle.
    label : str, optional
        Name in the legend; the statistic's symbol by default.
    style : {"default", "paper"}
        "paper": the absolute value with its total error on logarithmic axes, filled where positive
        and open where negative, in a figure as wide as a column of a journal (3.4 in).
    requirement : callable, number, array_like, Table or mapping, optional
        The largest value that is allowed, drawn as a band: a callable of separations in the unit of
        the bins, a number, a value per bin, an array (n, 2) or a table of separations and values,
        or a mapping of these by statistic.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError, TypeError
        A style or a requirement that is not possible; with "paper", options that it has not.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import numpy as np
    >>> from pysoftcorr.sky.binning import Binning
    >>> from pysoftcorr.sky.result import Correlation
    >>> columns = ("theta", "logtheta", "value", "imag", "npairs", "weight", "varshot")
    >>> xip = Correlation(name="xip", bins=Binning.linear(0, 2, 2),
    ...                   **dict.fromkeys(columns, [0.5, 1.5]))
    >>> xip.plot().get_xlabel()
    'separation [arcmin]'
    """
    if choice("style", style, ("default", "paper")) == "paper":
        _only_default(naive=naive, color=color, label=label)
        if ax is None:
            ax = axes_of(None, figsize=(paper.WIDTH, 2.7))
            ax.figure.set_label(LABEL)
        same_unit(ax, correlation.bins.unit)
        paper.draw(ax, [correlation], requirement)
        return ax
    ax = axes_of(ax, figsize=(5.6, 4.0))
    same_unit(ax, correlation.bins.unit)
    name = symbol(correlation.name) if label is None else label
    before, limits = len(ax.containers), held(ax)
    if naive is not None:
        _line(ax, naive, f"{name}, all pairs")
    theta = abscissa(correlation)
    good = np.isfinite(theta) & np.isfinite(correlation.value)
    errors = [
        (f"aleatoric ({correlation.aleatoric_method})", correlation.sigma_aleatoric, ALEATORIC),
        ("epistemic", correlation.sigma_epistemic, EPISTEMIC),
    ]
    shown = [e for e in errors if e[1] is not None]
    if not shown:
        shown = [("shot noise", correlation.sigma_shot, ALEATORIC)]
    series = -(-before // len(shown))
    if color is None and before:
        color = FURTHER[(series - 1) % len(FURTHER)]
    middle = _MIDDLES[series % len(_MIDDLES)]
    for k, (kind, sigma, own) in enumerate(shown):
        first = k == 0 and kind != "epistemic"
        at = beside(correlation, theta, middle + 0.16 * (k - 0.5 * (len(shown) - 1)))
        ax.errorbar(
            at[good],
            correlation.value[good],
            yerr=None if sigma is None else np.nan_to_num(sigma[good]),
            fmt="o" if first else "s",
            mfc=None if first else "white",
            ms=4.5,
            lw=1.4,
            capsize=3,
            color=own if color is None else color,
            label=f"{name}, {kind}",
            zorder=3,
        )
    if naive is None and correlation.all_pairs is not None:
        values = correlation.all_pairs.real
        there = np.isfinite(theta) & np.isfinite(values)
        at = beside(correlation, theta, middle + 0.16 * (0.5 * (len(shown) - 1) + 1.2))
        ax.plot(
            at[there], values[there], ls="", marker="D", ms=3.5, zorder=3,
            color=NAIVE if color is None else color, label=f"{name}, all pairs",
        )  # fmt: skip
    required = curve(requirement, correlation)
    if required is not None:
        once = "allowed" not in ax.get_legend_handles_labels()[1]
        ax.fill_between(
            required[0], -required[1], required[1], color=NAIVE, alpha=0.15, lw=0, zorder=0,
            label="allowed" if once else None,
        )  # fmt: skip
    if not good.any() and not before:
        ax.text(0.5, 0.5, "no bin has a value", transform=ax.transAxes, ha="center", color=NAIVE)
    _dress(ax, correlation)
    widen(ax, limits)
    if ax.get_xscale() == "log":
        log_axis(ax.xaxis, *ax.get_xlim())
    ax.legend(*_entries(ax))
    return ax


@styled
def plot_correlation_set(
    correlations: Mapping[str, Correlation],
    *,
    naive: Mapping[str, Correlation] | None = None,
    title: str | None = None,
    style: str = "default",
    requirement: Any = None,
) -> Figure:
    """Plot every statistic in a panel of its own, both errors side by side.

    Parameters
    ----------
    correlations : CorrelationSet or mapping of str to Correlation
    naive : CorrelationSet or mapping, optional
        The same statistics of all pairs, drawn as lines.
    title : str, optional
    style : {"default", "paper"}
        "paper": absolute values with their total errors on logarithmic axes, filled where positive
        and open where negative; statistics that are compared share a panel (rho1, rho3 and rho4;
        rho2 and rho5), and the figure is as wide as a column of a journal (3.4 in).
    requirement : callable, number, array_like, Table or mapping of str to these, optional
        The largest value that is allowed, drawn as a band; see `plot_correlation`.

    Returns
    -------
    Figure
        With a panel for each statistic and one legend for all of them, or as `style` says.

    Raises
    ------
    ValueError, TypeError
        A style or a requirement that is not possible; with "paper", options that it has not.
    """
    if choice("style", style, ("default", "paper")) == "paper":
        _only_default(naive=naive)
        return paper.draw_set(correlations, requirement, title)
    n = len(correlations)
    if not n:
        raise ValueError("correlations is empty: there is nothing to draw")
    columns = min(n, 3)
    # One panel is kept for the legend where a row would otherwise end in an empty place.
    rows = math.ceil(n / columns)
    figure, grid = subplots(
        rows,
        columns,
        figsize=(4.1 * columns, 3.3 * rows + (0.5 if rows * columns == n else 0.0)),
        squeeze=False,
    )
    panels = list(grid.flat)
    for ax, (name, item) in zip(panels, correlations.items(), strict=False):
        other = None if naive is None else naive.get(name)
        plot_correlation(item, ax=ax, naive=other, label="", requirement=requirement)
        legend = ax.get_legend()
        assert legend is not None
        legend.remove()
        ax.set_title(symbol(name))
    handles, labels = entries(panels[:n])
    labels = [text.removeprefix(", ") for text in labels]
    if n < len(panels):
        for ax in panels[n:]:
            ax.axis("off")
        panels[n].legend(handles, labels, loc="center")
    else:
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    if title:
        figure.suptitle(title)
    return figure


def _only_default(**given: Any) -> None:
    """Refuse options that the style "paper" has not."""
    for name, value in given.items():
        if value is not None:
            raise ValueError(
                f"{name}: must be left out with style = 'paper', which draws the values of all "
                "pairs that a result brings (with_all_pairs) and has its own colors and labels"
            )


def _entries(ax: Axes) -> tuple[list[Any], list[str]]:
    """Entries of the legend: points with errors first, then what stands beside them."""
    pairs = list(zip(*ax.get_legend_handles_labels(), strict=True))
    pairs.sort(key=lambda pair: not isinstance(pair[0], ErrorbarContainer))
    return [handle for handle, _ in pairs], [text for _, text in pairs]


def _line(ax: Axes, naive: Correlation, label: str) -> None:
    theta = abscissa(naive)
    good = np.isfinite(naive.value)
    ax.plot(theta[good], naive.value[good], color=NAIVE, lw=1.3, marker=".", label=label, zorder=2)
    if np.isfinite(naive.varshot[good]).all() and (naive.varshot[good] > 0).any():
        low, high = naive.value - naive.sigma_shot, naive.value + naive.sigma_shot
        ax.fill_between(
            theta[good], low[good], high[good], color=NAIVE, alpha=0.18, lw=0,
            label=f"{label}, shot noise",
        )  # fmt: skip


def _dress(ax: Axes, correlation: Correlation) -> None:
    bins, data = correlation.bins, ax.dataLim.intervalx
    if bins.kind == "log" or ax.get_xscale() == "log":
        ax.set_xscale("log")
        # A point beside its separation may lie beyond the last edge.
        low = min(v for v in (bins.edges[0], data[0], bins.edges[-1]) if v > 0)
        ax.set_xlim(low, max(bins.edges[-1], data[1]))
    else:
        ax.set_xlim(bins.edges[0] - 0.02 * (bins.edges[-1] - bins.edges[0]),
                    max(bins.edges[-1], data[1]))  # fmt: skip
        ax.xaxis.set_minor_locator(AutoMinorLocator(2))
    ax.axhline(0.0, color="0.6", lw=0.8, ls=":", zorder=1)
    formatter = ScalarFormatter(useMathText=True)
    formatter.set_powerlimits((-2, 3))
    ax.yaxis.set_major_formatter(formatter)
    ax.set_xlabel(f"separation [{bins.unit}]")
    ax.set_ylabel(symbol(correlation.name) if not ax.get_ylabel() else "correlation")
