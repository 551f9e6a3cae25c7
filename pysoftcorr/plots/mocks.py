"""Mock universes: mass function and bias, a slice of the box, correlations in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection, LineCollection
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import NullFormatter

from pysoftcorr.core.options import integer, number
from pysoftcorr.mocks.checks import box_sides
from pysoftcorr.plots.figures import new_figure, subplots
from pysoftcorr.plots.sky import ALEATORIC, EPISTEMIC, NAIVE, axes_of, log_axis
from pysoftcorr.plots.statistics import symbol
from pysoftcorr.plots.styles import PALETTE, styled

if TYPE_CHECKING:
    from pysoftcorr.mocks import (
        BoxCorrelations,
        ExpectedCorrelations,
        GalaxyCatalog,
        HaloCatalog,
    )

ONE_HALO, TWO_HALO = EPISTEMIC, ALEATORIC
#: Colors (Okabe & Ito) and markers of several results.
SEVERAL = ("#000000", *(color for color in PALETTE if color != "#000000"))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
#: A mean over this few pairs is noise: random axes scatter by 0.3/sqrt(pairs).
#: xi of very few pairs says how many halos there happen to be.
FEWEST_PAIRS, FEWEST_COUNTED = 100, 10
#: Halos drawn in a slice, and how many whiskers make it crowded.
MOST_HALOS, CROWDED = 2000, 1500


@styled
def plot_halo_statistics(halos: HaloCatalog) -> Figure:
    """Mass function and large-scale bias of halos, beside the published relations.

    Parameters
    ----------
    halos : HaloCatalog

    Returns
    -------
    Figure
        With one panel where the bias cannot be had: halos that `HaloCatalog.simulate` did not
        make. Below the mass function, its ratio to theory.
    """
    # colossus takes a second to import, and most figures do without it.
    from pysoftcorr.mocks.halo_statistics import halo_bias, mass_function

    bias = halo_bias(halos)
    columns = 1 if bias is None else 2
    figure = new_figure(figsize=(5.6 * columns, 4.6), layout=ConstrainedLayoutEngine(w_pad=0.12))
    grid = figure.add_gridspec(2, columns, height_ratios=(3, 1))
    upper = figure.add_subplot(grid[0, 0])
    lower = figure.add_subplot(grid[1, 0], sharex=upper)
    table = mass_function(halos)
    middle = np.sqrt(table.edges[:-1] * table.edges[1:])
    found = table.count > 0
    upper.errorbar(
        middle[found], table.density[found], yerr=table.error[found], fmt="o", ms=4, lw=1.2,
        capsize=2, color=ALEATORIC, label="halos", zorder=3,
    )  # fmt: skip
    if table.theory is not None:
        upper.plot(middle, table.theory, color=NAIVE, lw=1.4, label=table.model)
        lower.errorbar(
            middle[found], (table.density / table.theory)[found],
            yerr=(table.error / table.theory)[found], fmt="o", ms=4, lw=1.2, capsize=2,
            color=ALEATORIC,
        )  # fmt: skip
        lower.axhline(1.0, color=NAIVE, lw=1.2)
        # The rare end, of a few halos, would hide how well the others agree.
        well = table.count >= 10
        far = np.abs(table.density / table.theory - 1.0)[well].max(initial=0.1)
        lower.set_ylim(1.0 - 1.4 * far, 1.0 + 1.4 * far)
    else:
        known = halos.cosmology is not None
        why = "no published mass function" if known else "cosmology not known"
        lower.text(0.5, 0.5, why, transform=lower.transAxes,
                   ha="center", va="center", color=NAIVE)  # fmt: skip
    upper.set_xscale("log")
    upper.set_yscale("log")
    upper.tick_params(labelbottom=False)
    upper.set_ylabel(r"d$n$/dlog$_{10}M$ [$(h^{-1}\,$Mpc$)^{-3}$]")
    lower.set_ylabel("ratio")
    lower.set_xlabel(r"$M$ [$h^{-1}\,M_\odot$]")
    upper.legend()
    if bias is not None:
        ax = figure.add_subplot(grid[:, 1])
        ax.errorbar(
            bias.mass, bias.bias, yerr=bias.error, fmt="o", ms=5, lw=1.2, capsize=3,
            color=ALEATORIC, label=rf"halos, $k < {bias.k_max:.2g}\,h$/Mpc", zorder=3,
        )  # fmt: skip
        ax.plot(bias.mass, bias.theory, color=NAIVE, lw=1.4, label=bias.model)
        ax.set_xscale("log")
        ax.set_xlabel(r"median $M$ of the bin [$h^{-1}\,M_\odot$]")
        ax.set_ylabel(r"bias $P_{hm}/P_{mm}$")
        ax.set_ylim(bottom=0.0)
        ax.legend(loc="upper left")
    return figure


@styled
def plot_box_slice(
    objects: GalaxyCatalog | HaloCatalog,
    *,
    halos: HaloCatalog | None = None,
    axis: int = 2,
    start: float = 0.0,
    depth: float | None = None,
    length: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """A slice of the box with the axes of its galaxies, or halos, as whiskers.

    Parameters
    ----------
    objects : GalaxyCatalog or HaloCatalog
        Central galaxies and satellites have a color each. Of halos the heaviest 2000.
    halos : HaloCatalog, optional
        Drawn as circles of their radius; the heaviest 300.
    axis : {0, 1, 2}
        The direction one looks along.
    start, depth : float, optional
        Where the slice begins and how thick it is, Mpc/h; by default a tenth of the box from 0.
    length : float, optional
        Length of the whisker of an axis that lies in the plane, Mpc/h; 1/60 of the box (of its
        shorter side) by default, less where it is crowded. Others are foreshortened.
    ax : Axes, optional
        Axes to draw on; a new figure by default.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If the direction is none, or the slice does not lie in the box.
    """
    sides = box_sides(objects.boxsize)
    integer("axis", axis, least=0, most=2)
    start = number("start", start)
    if length is not None:
        number("length", length, above=0)
    thick = sides[axis] / 10 if depth is None else number("depth", depth, above=0)
    if not (thick > 0 and start >= 0 and start + thick <= sides[axis]):
        raise ValueError(
            f"start = {start:g} and depth = {thick:g}: must lie in the box of {sides[axis]:g} Mpc/h"
        )
    across = [k for k in range(3) if k != axis]
    wide, high = sides[across]
    shape = min(1.0, wide / high), min(1.0, high / wide)
    ax = axes_of(ax, figsize=(max(4.8, 7.2 * shape[0]), max(2.4, 7.0 * shape[1])))

    def within(position: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        return (position[:, axis] >= start) & (position[:, axis] < start + thick)

    if halos is not None:
        rows = np.flatnonzero(within(halos.position))
        rows = rows[np.argsort(-halos.mass[rows], kind="stable")[:300]]
        size = 2 * halos.radius[rows]
        ax.add_collection(
            EllipseCollection(
                size, size, np.zeros(rows.size), units="xy", facecolor="0.92", edgecolor="0.75",
                lw=0.6, offsets=halos.position[rows][:, across], transOffset=ax.transData,
                zorder=1,
            )
        )  # fmt: skip
    here = within(objects.position)
    central = getattr(objects, "central", None)
    if central is None:
        heaviest = np.flatnonzero(here)
        heaviest = heaviest[np.argsort(-objects.mass[heaviest], kind="stable")[:MOST_HALOS]]
        name = "halos" if heaviest.size == here.sum() else f"heaviest of {here.sum()} halos"
        here = np.zeros_like(here)
        here[heaviest] = True
        kinds = [(name, here, ALEATORIC)]
    else:
        kinds = [("galaxies", here, ALEATORIC)]
        if objects.has_hosts:
            kinds = [
                ("satellites", here & ~central, EPISTEMIC),
                ("central galaxies", here & central, ALEATORIC),
            ]
    crowd = max(1.0, np.count_nonzero(here) / CROWDED)
    reach = min(wide, high) / 60 / crowd**0.25 if length is None else length
    for name, chosen, color in kinds:
        middle = objects.position[chosen][:, across]
        label = f"{int(chosen.sum())} {name}"
        if objects.axis is None:
            ax.plot(*middle.T, ".", color=color, ms=3 / crowd**0.25, label=label, zorder=2)
            continue
        half = 0.5 * reach * objects.axis[chosen][:, across]
        ax.add_collection(
            LineCollection(
                list(np.stack([middle - half, middle + half], axis=1)), colors=color,
                lw=0.9 / crowd**0.25, label=label, zorder=2,
            )
        )  # fmt: skip
    ax.set_xlim(0, wide)
    ax.set_ylim(0, high)
    ax.set_aspect("equal")
    names = "xyz"
    ax.set_xlabel(rf"{names[across[0]]} [$h^{{-1}}\,$Mpc]")
    ax.set_ylabel(rf"{names[across[1]]} [$h^{{-1}}\,$Mpc]")
    ax.set_title(
        rf"{start:g} $\leq$ {names[axis]} < {start + thick:g} $h^{{-1}}\,$Mpc",
        loc="left", fontsize="medium",
    )  # fmt: skip
    # Above a slice that is narrow the title alone has room.
    narrow = wide < 0.8 * high
    ax.legend(
        loc="upper left" if narrow else "lower right", bbox_to_anchor=(1.0, 1.0),
        ncols=1 if narrow else 2, borderaxespad=0.1,
    )  # fmt: skip
    return ax


@styled
def plot_box_correlations(
    result: BoxCorrelations | Sequence[BoxCorrelations] | Mapping[str, BoxCorrelations],
    *,
    expected: ExpectedCorrelations | None = None,
) -> Figure:
    """xi, omega and eta against separation, with their errors.

    Parameters
    ----------
    result : BoxCorrelations, sequence of them, or mapping of str to them
        One with its one- and two-halo parts, or several beside each other, by their names.
    expected : ExpectedCorrelations, optional
        omega and eta averaged over all draws of the axes, in the same bins; drawn as lines.

    Returns
    -------
    Figure
        Three panels. xi is logarithmic, of the absolute value: markers are hollow where xi is
        negative. Bins without pairs are left out, and where errors are not known, as those of the
        parts, xi of fewer than 10 pairs and means, omega and eta, over fewer than 100.

    Raises
    ------
    ValueError
        If there is no result, `expected` has other bins, or it is given with several results.
    """
    named = _named(result)
    single = len(named) == 1
    if expected is not None and not single:
        raise ValueError("expected: is of one result; leave it out of a figure of several")
    first = next(iter(named.values()))
    if expected is not None and not np.array_equal(expected.edges, first.edges):
        raise ValueError("expected has other bins than the correlations")
    figure, axes = subplots(1, 3, figsize=(14.4, 4.4))
    low = min(float(max(item.edges[0], 1e-3)) for item in named.values())
    high = max(float(item.edges[-1]) for item in named.values())
    for ax, name in zip(axes, ("xi", "omega", "eta"), strict=True):
        drawn = []
        for k, (label, item) in enumerate(named.items()):
            if single:
                drawn += _parts(ax, item, name, label or "all pairs")
            else:
                shift = 0.12 * (k - 0.5 * (len(named) - 1))
                style = {"color": SEVERAL[k % len(SEVERAL)], "marker": MARKERS[k % len(MARKERS)]}
                drawn += _series(ax, item, name, "", label, style, shift=shift)
        if expected is not None and name != "xi":
            values = getattr(expected, name)
            good = np.isfinite(values) & (first.npairs >= FEWEST_PAIRS)
            ax.plot(
                expected.r[good], values[good], color="black", lw=1.4, ls="--", zorder=4,
                label="mean of all draws",
            )  # fmt: skip
            drawn.append(values[good])
        ax.set_xscale("log")
        log_axis(ax.xaxis, low, high)
        ax.set_xlim(low, high)
        ax.set_xlabel(r"$r$ [$h^{-1}\,$Mpc]")
        bar = "|" if name == "xi" else ""
        ax.set_ylabel(rf"{bar}{symbol(name)}$(r)${bar}")
        every = np.concatenate(drawn) if drawn else np.empty(0)
        if name == "xi":
            _log_xi(ax, every)
        else:
            ax.axhline(0.0, color="0.7", lw=0.8, zorder=0)
        parts = ("", "_1h", "_2h") if single else ("",)
        hidden = any(_drawn(item, name, q)[1].any() for item in named.values() for q in parts)
        if not every.size:
            nothing(ax, "too few pairs" if name == "xi" or hidden else "no pairs with axes")
        elif hidden:
            say_left_out(ax, FEWEST_COUNTED if name == "xi" else FEWEST_PAIRS)
    entries = list(zip(*axes[0].get_legend_handles_labels(), strict=True))
    entries.sort(key=lambda entry: entry[1] == "negative")
    if entries:
        axes[0].legend(*zip(*entries, strict=True))
    if expected is not None:
        axes[1].legend(
            handles=[line for line in axes[1].lines if line.get_label() == "mean of all draws"],
        )
    return figure


def _named(result: Any) -> dict[str, BoxCorrelations]:
    """Results by their names; a single one has none."""
    if isinstance(result, Mapping):
        named = dict(result)
    elif isinstance(result, Sequence):
        named = {str(k + 1): item for k, item in enumerate(result)}
    else:
        named = {"": result}
    if not named:
        raise ValueError("result: there is none to draw")
    return named


def _parts(ax: Axes, result: BoxCorrelations, name: str, label: str) -> list[Any]:
    """Draw a statistic and its one- and two-halo parts; gives the values that were drawn."""
    drawn = _series(ax, result, name, "", label, {"color": "black", "marker": "o", "zorder": 3})
    drawn += _series(ax, result, name, "_1h", "one halo", {"color": ONE_HALO, "marker": "^"})
    drawn += _series(ax, result, name, "_2h", "two halos", {"color": TWO_HALO, "marker": "s"})
    return drawn


def _drawn(result: BoxCorrelations, name: str, part: str) -> tuple[Any, Any]:
    """Which bins of a statistic, or of a part of it, are drawn, and which have too few pairs."""
    values, pairs = getattr(result, name + part), getattr(result, "npairs" + part)
    if values is None:
        return (np.zeros(len(result.edges) - 1, dtype=bool),) * 2
    sigma = result.errors.get(name) if part == "" else None
    known = np.zeros(len(values), dtype=bool) if sigma is None else np.isfinite(sigma)
    enough = known | (pairs >= (FEWEST_COUNTED if name == "xi" else FEWEST_PAIRS))
    there = np.isfinite(values) & (pairs > 0)
    return there & enough, there & ~enough


def _series(
    ax: Axes,
    result: BoxCorrelations,
    name: str,
    part: str,
    label: str,
    style: dict[str, Any],
    *,
    shift: float = 0.0,
) -> list[Any]:
    """Draw a statistic, or a part of it, moved by a part of the bins; gives what was drawn."""
    values = getattr(result, name + part)
    good, _ = _drawn(result, name, part)
    if not good.any():
        return []
    sigma = result.errors.get(name) if part == "" else None
    with np.errstate(divide="ignore"):
        width = np.diff(np.log(np.maximum(result.edges, 1e-3)))
    r = result.r * np.exp(shift * width)
    hollow = good & (values < 0) & (name == "xi")
    shown = np.abs(values) if name == "xi" else values
    full = {"ms": 4, "lw": 1.0, "label": label, **style}
    filled = good & ~hollow
    # Where all are hollow the name is in the legend all the same.
    other = {"mfc": "white", "ls": "", "label": "_" if filled.any() else label}
    for chosen, more in ((filled, {}), (hollow, other)):
        if not chosen.any():
            continue
        if sigma is None:
            ax.plot(r[chosen], shown[chosen], **{**full, **more})
        else:
            # Where there are errors points need no lines.
            bars = np.where(np.isfinite(sigma), sigma, 0.0)[chosen]
            ax.errorbar(
                r[chosen], shown[chosen], yerr=bars, capsize=2.5, elinewidth=1.0,
                **{**full, "ls": "", **more},
            )  # fmt: skip
    if hollow.any() and not any(line.get_label() == "negative" for line in ax.lines):
        ax.plot([], [], marker="o", mfc="white", ls="", color=NAIVE, ms=4, label="negative")
    return [shown[good]]


def _log_xi(ax: Axes, values: npt.NDArray[np.float64]) -> None:
    """A logarithmic axis that errors reaching to 0 do not stretch."""
    values = values[values > 0]
    if not values.size:
        return
    ax.set_yscale("log", nonpositive="clip")
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.set_ylim(0.4 * values.min(), max(ax.get_ylim()[1], 2 * values.max()))


def say_left_out(ax: Axes, fewest: int) -> None:
    """Say above a panel that bins of fewer pairs are not in it."""
    ax.set_title(
        f"bins of fewer than {fewest} pairs left out", loc="right", fontsize="small", color=NAIVE
    )


def nothing(ax: Axes, why: str) -> None:
    """Say in an empty panel why it is."""
    ax.text(0.5, 0.5, why, transform=ax.transAxes, ha="center", va="center",
            color=NAIVE)  # fmt: skip
