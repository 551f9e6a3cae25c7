"""Correlations about a line of sight: a map of xi(rp, pi), projections, multipoles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import SymLogNorm
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from pysoftcorr.plots.figures import new_figure
from pysoftcorr.plots.mocks import FEWEST_COUNTED, FEWEST_PAIRS, nothing, say_left_out
from pysoftcorr.plots.sky import ALEATORIC, EPISTEMIC, NAIVE, log_axis
from pysoftcorr.plots.styles import styled

if TYPE_CHECKING:
    from pysoftcorr.mocks import Multipoles, ProjectedCorrelations

FloatArray = npt.NDArray[np.float64]

#: Contours of xi(rp, pi); below what it is drawn on a linear scale, and the end of the colors.
LEVELS, LINEAR, HIGHEST = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0), 0.05, 30.0


@styled
def plot_projected(result: ProjectedCorrelations) -> Figure:
    """Projected correlations, and xi as a map of both coordinates.

    Parameters
    ----------
    result : ProjectedCorrelations

    Returns
    -------
    Figure
        The map, in all four quadrants as observers draw it, with contours through bins of 10 pairs
        or more; wp, open where it is negative; with shapes w_g+ and w_gx, and w_++ and w_xx. Means
        over fewer than 100 pairs are left out, wp of fewer than 10.
    """
    columns = 4 if result.has_shapes else 2
    figure = new_figure(figsize=(4.6 * columns, 4.2), layout=ConstrainedLayoutEngine(w_pad=0.1))
    panels = figure.subplots(1, columns, squeeze=False)[0]
    _map(figure, panels[0], result)
    pairs = result.npairs.sum(axis=1)
    _signed(panels[1], result, pairs)
    panels[1].set_ylabel(r"$w_p$ [$h^{-1}\,$Mpc]")
    if result.has_shapes:
        kinds = (
            (panels[2], (("w_gp", r"$w_{g+}$"), ("w_gx", r"$w_{g\times}$")), r"$r_p\,w_{g+}$"),
            (panels[3], (("w_pp", r"$w_{++}$"), ("w_xx", r"$w_{\times\times}$")), r"$r_p\,w_{++}$"),
        )
        for ax, statistics, label in kinds:
            _linear(ax, result, statistics, 1, pairs)
            ax.set_ylabel(rf"{label} [$(h^{{-1}}\,$Mpc$)^2$]")
    for ax in panels[1:]:
        ax.set_xlabel(r"$r_p$ [$h^{-1}\,$Mpc]")
    return figure


@styled
def plot_multipoles(result: Multipoles) -> Figure:
    """Multipoles of xi, and with shapes of the alignments, times the separation squared.

    Parameters
    ----------
    result : Multipoles

    Returns
    -------
    Figure
        One panel, or three. Bins of fewer than 100 pairs are left out.
    """
    panels: list[tuple[str, list[tuple[str, str]]]] = [
        (r"$s^2\,\xi_\ell$",
         [("xi0", r"$\xi_0$"), ("xi2", r"$\xi_2$"), ("xi4", r"$\xi_4$")]),
    ]  # fmt: skip
    if result.has_shapes:
        panels.append(
            (r"$s^2\,\xi_{g+}^{\ell,2}$",
             [("gp2", r"$\ell = 2$"), ("gp4", r"$\ell = 4$"), ("gx2", r"$\ell = 2$, cross")])
        )  # fmt: skip
        if np.isfinite(result.xi_pp).any():
            panels.append(
                (r"$s^2\,\xi_{II}^{\ell}$",
                 [("ii0", r"$++$ and $\times\times$, $\ell = 0$"), ("ii2", r"$\ell = 2$"),
                  ("ii44", r"$++$ less $\times\times$, $\ell = 4$")])
            )  # fmt: skip
    figure = new_figure(figsize=(5.0 * len(panels), 4.2), layout=ConstrainedLayoutEngine(w_pad=0.1))
    axes = figure.subplots(1, len(panels), squeeze=False)
    pairs = result.npairs.sum(axis=1)
    for ax, (label, statistics) in zip(axes[0], panels, strict=True):
        _linear(ax, result, statistics, 2, pairs)
        ax.set_xlabel(r"$s$ [$h^{-1}\,$Mpc]")
        ax.set_ylabel(rf"{label} [$(h^{{-1}}\,$Mpc$)^2$]")
    return figure


def _map(figure: Figure, ax: Axes, result: ProjectedCorrelations) -> None:
    """xi in four quadrants; contours through the middle of the bins."""
    rp = np.concatenate([-result.edges[::-1], result.edges])
    pi = np.concatenate([-result.pi_edges[:0:-1], result.pi_edges])
    half = np.concatenate([result.xi[:, ::-1], result.xi], axis=1)
    top = min(max(float(result.xi.max()), 10 * LINEAR), HIGHEST)
    norm = SymLogNorm(LINEAR, vmin=-top, vmax=top, base=10)
    hole = np.full((1, half.shape[1]), np.nan)
    whole = np.concatenate([half[::-1], hole, half])
    if result.edges[0] == 0:  # no hole in the middle
        rp, whole = np.delete(rp, len(result.edges)), np.delete(whole, len(half), axis=0)
    mesh = ax.pcolormesh(rp, pi, whole.T, cmap="RdBu_r", norm=norm, rasterized=True)
    counted = np.where(result.npairs >= FEWEST_COUNTED, result.xi, np.nan)
    levels = [level for level in LEVELS if level < np.nanmax(counted, initial=0.0)]
    if min(counted.shape) > 1 and levels:
        middle, along = _middles(result.edges), _middles(result.pi_edges)
        both = np.concatenate([-along[::-1], along])
        mirrored = np.ma.masked_invalid(np.concatenate([counted[:, ::-1], counted], axis=1))
        for side in (-1, 1):
            ax.contour(side * middle, both, mirrored.T, levels=levels, colors="black",
                       linewidths=0.8)  # fmt: skip
    powers = [10.0**k for k in range(-1, int(np.floor(np.log10(top))) + 1)]
    figure.colorbar(mesh, ax=ax, label=r"$\xi(r_p, \pi)$", extend="both",
                    ticks=[*(-x for x in reversed(powers)), 0.0, *powers])  # fmt: skip
    ax.set_xlabel(r"$r_p$ [$h^{-1}\,$Mpc]")
    ax.set_ylabel(r"$\pi$ [$h^{-1}\,$Mpc]")


def _middles(edges: FloatArray) -> FloatArray:
    return (edges[1:] + edges[:-1]) / 2


def _abscissa(ax: Axes, edges: FloatArray) -> None:
    """A logarithmic axis, but for bins from 0."""
    if edges[0] > 0:
        ax.set_xscale("log")
        log_axis(ax.xaxis, float(edges[0]), float(edges[-1]))
    ax.set_xlim(edges[0], edges[-1])


def _signed(ax: Axes, result: ProjectedCorrelations, pairs: Any) -> None:
    """wp: absolute values on a logarithmic axis, open where it is negative."""
    _abscissa(ax, result.edges)
    good = pairs >= FEWEST_COUNTED
    values, sigma = result.wp, result.errors.get("wp")
    if not (good & (values != 0)).any():
        nothing(ax, "too few pairs")
        return
    for sign, face in ((1, ALEATORIC), (-1, "white")):
        rows = good & (sign * values > 0)
        if rows.any():
            ax.errorbar(
                result.rp[rows], sign * values[rows], None if sigma is None else sigma[rows],
                fmt="o", ms=4.5, lw=1.0, mfc=face, mec=ALEATORIC, color=ALEATORIC, capsize=2,
                label=None if sign > 0 else "negative",
            )  # fmt: skip
    ax.set_yscale("log")
    if ((pairs > 0) & ~good).any():
        say_left_out(ax, FEWEST_COUNTED)
    if (good & (values < 0)).any():
        ax.legend()


def _linear(
    ax: Axes,
    result: ProjectedCorrelations | Multipoles,
    statistics: Sequence[tuple[str, str]],
    power: int,
    pairs: Any,
) -> None:
    """Statistics times a power of the separation, with their errors, in bins of enough pairs."""
    _abscissa(ax, result.edges)
    good = pairs >= FEWEST_PAIRS
    ax.axhline(0.0, color="0.7", lw=0.8, zorder=0)
    if not good.any():
        nothing(ax, "too few pairs")
        return
    r = result.separation[good]
    colors: tuple[tuple[str, str], ...] = ((ALEATORIC, "o"), (EPISTEMIC, "^"), (NAIVE, "s"))
    if len(statistics) == 2:
        colors = (colors[0], colors[2])
    for (name, text), (color, marker) in zip(statistics, colors, strict=True):
        sigma = result.errors.get(name)
        ax.errorbar(
            r, r**power * getattr(result, name)[good],
            None if sigma is None else r**power * sigma[good],
            marker=marker, ms=4, lw=1.0, color=color, capsize=2, label=text,
        )  # fmt: skip
    ax.legend()
    if ((pairs > 0) & ~good).any():
        say_left_out(ax, FEWEST_PAIRS)
