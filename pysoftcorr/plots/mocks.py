"""Mock universes: mass function and bias, a slice of the box, correlations in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection, LineCollection
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import NullFormatter

from pysoftcorr.core.options import integer
from pysoftcorr.mocks.checks import box_sides
from pysoftcorr.plots.figures import new_figure, subplots
from pysoftcorr.plots.sky import ALEATORIC, EPISTEMIC, NAIVE, axes_of, log_axis

if TYPE_CHECKING:
    from pysoftcorr.mocks import (
        BoxCorrelations,
        ExpectedCorrelations,
        GalaxyCatalog,
        HaloCatalog,
    )

ONE_HALO, TWO_HALO = EPISTEMIC, ALEATORIC
#: A mean over this few pairs is noise: random axes scatter by 0.3/sqrt(pairs).
#: xi of very few pairs says how many halos there happen to be.
FEWEST_PAIRS, FEWEST_COUNTED = 100, 10
#: Halos drawn in a slice, and how many whiskers make it crowded.
MOST_HALOS, CROWDED = 2000, 1500


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
    upper.legend(frameon=False)
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
        ax.legend(frameon=False, loc="upper left")
    return figure


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
    thick = sides[axis] / 10 if depth is None else float(depth)
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
        kinds = [
            ("satellites", here & ~central, EPISTEMIC),
            ("central galaxies", here & central, ALEATORIC),
        ]
    crowd = max(1.0, np.count_nonzero(here) / CROWDED)
    reach = min(wide, high) / 60 / crowd**0.25 if length is None else float(length)
    for name, chosen, color in kinds:
        middle = objects.position[chosen][:, across]
        half = 0.5 * reach * objects.axis[chosen][:, across]
        ax.add_collection(
            LineCollection(
                list(np.stack([middle - half, middle + half], axis=1)), colors=color,
                lw=0.9 / crowd**0.25, label=f"{int(chosen.sum())} {name}", zorder=2,
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
        loc="left", fontsize=10,
    )  # fmt: skip
    # Above a slice that is narrow the title alone has room.
    narrow = wide < 0.8 * high
    ax.legend(
        loc="upper left" if narrow else "lower right", bbox_to_anchor=(1.0, 1.0),
        ncols=1 if narrow else 2, frameon=False, fontsize="small", borderaxespad=0.1,
    )  # fmt: skip
    return ax


def plot_box_correlations(
    result: BoxCorrelations, *, expected: ExpectedCorrelations | None = None
) -> Figure:
    """xi, omega and eta against separation, with their one- and two-halo parts.

    Parameters
    ----------
    result : BoxCorrelations
    expected : ExpectedCorrelations, optional
        omega and eta averaged over all draws of the axes, in the same bins; drawn as lines.

    Returns
    -------
    Figure
        Three panels. xi is logarithmic: where it is not positive it is left out. So are xi
        of fewer than 10 pairs, and means, omega and eta, over fewer than 100.

    Raises
    ------
    ValueError
        If `expected` has other bins.
    """
    if expected is not None and not np.array_equal(expected.edges, result.edges):
        raise ValueError("expected has other bins than the correlations")
    figure, axes = subplots(1, 3, figsize=(14.4, 4.4))
    symbols = {"xi": r"$\xi$", "omega": r"$\omega$", "eta": r"$\eta$"}
    for ax, (name, text) in zip(axes, symbols.items(), strict=True):
        drawn = _curves(ax, result, name)
        if expected is not None and name != "xi":
            values = getattr(expected, name)
            good = np.isfinite(values) & (result.npairs >= FEWEST_PAIRS)
            ax.plot(
                expected.r[good], values[good], color="black", lw=1.4, ls="--", zorder=4,
                label="mean of all draws",
            )  # fmt: skip
            drawn.append(values[good])
        ax.set_xscale("log")
        log_axis(ax.xaxis, float(max(result.edges[0], 1e-3)), float(result.edges[-1]))
        ax.set_xlim(result.edges[0] or None, result.edges[-1])
        ax.set_xlabel(r"$r$ [$h^{-1}\,$Mpc]")
        ax.set_ylabel(rf"{text}$(r)$")
        every = np.concatenate(drawn) if drawn else np.empty(0)
        if name == "xi":
            if every.size:
                ax.set_yscale("log")
                ax.yaxis.set_minor_formatter(NullFormatter())
        else:
            ax.axhline(0.0, color="0.7", lw=0.8, zorder=0)
            if not every.size:
                _nothing(ax)
    axes[0].legend(frameon=False)
    if expected is not None:
        axes[1].legend(
            handles=[line for line in axes[1].lines if line.get_label() == "mean of all draws"],
            frameon=False,
        )
    return figure


def _curves(ax: Axes, result: BoxCorrelations, name: str) -> list[Any]:
    """Draw a statistic and its parts; gives the values that were drawn."""
    kinds: list[tuple[str, str, dict[str, Any]]] = [
        ("", "all pairs", {"color": "black", "marker": "o", "lw": 1.2, "zorder": 3}),
        ("_1h", "one halo", {"color": ONE_HALO, "marker": "^", "lw": 1.0}),
        ("_2h", "two halos", {"color": TWO_HALO, "marker": "s", "mfc": "white", "lw": 1.0}),
    ]
    drawn = []
    for suffix, label, style in kinds:
        values, pairs = getattr(result, name + suffix), getattr(result, "npairs" + suffix)
        if values is None:
            continue
        good = np.isfinite(values) & (pairs >= (FEWEST_COUNTED if name == "xi" else FEWEST_PAIRS))
        if name == "xi":
            good &= values > 0
        if good.any():
            ax.plot(result.r[good], values[good], ms=4, label=label, **style)
            drawn.append(values[good])
    return drawn


def _nothing(ax: Axes) -> None:
    ax.text(0.5, 0.5, "no pairs with axes", transform=ax.transAxes, ha="center", va="center",
            color=NAIVE)  # fmt: skip
