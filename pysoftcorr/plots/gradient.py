"""Differentiable correlation functions: soft bins, xi(G) with its tangent, gradients on the sky."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from pysoftcorr.plots.figures import subplots
from pysoftcorr.plots.sky import CLUSTERS, NAIVE, SkyFrame, frame_of
from pysoftcorr.plots.statistics import symbol
from pysoftcorr.plots.styles import styled
from pysoftcorr.sky.binning import PIXEL, Binning
from pysoftcorr.sky.catalog import Catalog
from pysoftcorr.sky.differentiable import SoftCorrelation
from pysoftcorr.sky.geometry import FLAT
from pysoftcorr.sky.soft_bins import soft_bins

#: Colors of bins, in their order (Okabe & Ito).
BINS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
#: Sharpnesses drawn by default, as multiples of the estimator's own.
MULTIPLES = (0.25, 1.0, 4.0)
#: Bins with a panel of their own; of more, as many evenly chosen.
PANELS = 4


@styled
def plot_bin_weights(
    bins: Binning | str, *, multiples: Sequence[float] = MULTIPLES, points: int = 1001
) -> Figure:
    """Weight of a separation in every soft bin (Berman et al. 2025, fig. 7).

    Parameters
    ----------
    bins : Binning or str
    multiples : sequence of float
        Sharpnesses, as multiples of the default one of each weighting.
    points : int
        Separations at which the weights are taken.

    Returns
    -------
    Figure
        One row a weighting, sigmoids (eq. 22) above Gaussians (eq. 23), one column a sharpness,
        one color a bin. Gray lines are the edges of the bins, the dashed line the sum of all.

    Raises
    ------
    ValueError
        If a multiple is not positive, or the bins are not possible.
    """
    binning, _ = soft_bins(bins, "sigmoid", None)
    edges, unit = binning.edges_flat, PIXEL if binning.unit == PIXEL else "arcmin"
    margin = 0.25 * float(np.mean(np.diff(edges)))
    theta = np.linspace(max(edges[0] - margin, 0.0), edges[-1] + margin, points)
    figure, axes = subplots(
        2, len(multiples), figsize=(3.7 * len(multiples), 5.4),
        sharex=True, sharey="row", squeeze=False,
    )  # fmt: skip
    for row, (weighting, power) in zip(axes, (("sigmoid", 1), ("gaussian", 2)), strict=True):
        own, highest = soft_bins(binning, weighting, None)[1][2], 1.0
        for ax, multiple in zip(row, multiples, strict=True):
            estimator = SoftCorrelation(
                binning, approach="naive", weighting=weighting, sharpness=multiple * own
            )
            weights = estimator.bin_weights(theta)
            for edge in edges:
                ax.axvline(edge, color="0.8", lw=0.8, zorder=0)
            for b, weight in enumerate(weights):
                ax.plot(theta, weight, color=BINS[b % len(BINS)], lw=1.6)
            ax.plot(theta, weights.sum(axis=0), color=NAIVE, lw=1.0, ls="--", label="sum")
            highest = max(highest, float(weights.sum(axis=0).max()))
            per = f"{unit}$^{{-{power}}}$"
            ax.set_ylim(0.0, 1.08 * highest)
            ax.set_title(f"{weighting}, s = {_range(estimator.sharpness)} {per}", fontsize="medium")
    axes[0, 0].legend(loc="lower center")
    axes[0, 0].set_xlim(theta[0], theta[-1])
    for ax in axes[-1]:
        ax.set_xlabel(f"separation [{unit}]")
    for ax in axes[:, 0]:
        ax.set_ylabel("weight in the bin")
    return figure


@styled
def plot_xi_of_G(
    runs: Sequence[tuple[str, npt.ArrayLike, npt.ArrayLike]],
    at: float,
    value: npt.ArrayLike,
    slope: npt.ArrayLike,
    bins: Binning,
    *,
    naive: npt.ArrayLike | None = None,
    statistic: str = "xip",
) -> Figure:
    """xi of each bin against G, with the tangent that its derivative gives.

    Fig. 10 of Berman et al. 2025 shows dxi/dG at G = 1 alone, which cannot be judged by eye. A
    tangent can: it has to touch the curve, and how far it stays with it says over what range of
    G the derivative means something. So there are two rows of panels, a wide range of G and a
    narrow one. With many clusters the wide one shows steps, where the fuzzy clustering leaves one
    of its minima for another: between two of them the derivative is exact, across them no
    derivative is of use.

    Parameters
    ----------
    runs : sequence of (str, array_like (n,), array_like (n, nbins))
        For each row of panels a title, values of G and xi there.
    at : float
        G where the derivative was taken.
    value, slope : array_like, shape (nbins,)
        xi and dxi/dG there.
    bins : Binning
    naive : array_like, shape (n, nbins), optional
        xi of all pairs at the values of G of the first row, drawn shifted to `value`.
    statistic : str

    Returns
    -------
    Figure
        One column a bin, of at most four bins.

    Raises
    ------
    ValueError
        If shapes do not fit together.
    """
    xi, dxi = np.asarray(value, dtype=float), np.asarray(slope, dtype=float)
    if xi.shape != (bins.nbins,) or dxi.shape != (bins.nbins,):
        raise ValueError(f"value and slope must be of shape ({bins.nbins},), got {xi.shape} and "
                         f"{dxi.shape}")  # fmt: skip
    shown = _shown(bins)
    figure, axes = subplots(
        len(runs), len(shown), figsize=(3.6 * len(shown), 2.9 * len(runs)),
        squeeze=False,
    )  # fmt: skip
    for k, (row, (title, of_G, of_xi)) in enumerate(zip(axes, runs, strict=True)):
        G, curves = np.asarray(of_G, dtype=float), np.asarray(of_xi, dtype=float)
        if curves.shape != (G.size, bins.nbins):
            raise ValueError(f"xi of {title!r} has shape {curves.shape}, must be "
                             f"({G.size}, {bins.nbins})")  # fmt: skip
        order = np.argsort(G, kind="stable")
        G, curves = G[order], curves[order]
        x = (G / at - 1.0) * 100.0
        for b, ax in zip(shown, row, strict=True):
            color = BINS[b % len(BINS)]
            if naive is not None and k == 0:
                other = np.asarray(naive, dtype=float)[order, b]
                other = other - np.interp(at, G, other) + xi[b]
                ax.plot(x, other, color=NAIVE, lw=1.0, label="all pairs, shifted")
            ax.plot(x, curves[:, b], color=color, lw=1.2, marker=".", ms=4, label=symbol(statistic))
            low, high = _limits(ax.dataLim.y0, ax.dataLim.y1)
            ax.plot(x, xi[b] + dxi[b] * (G - at), color="black", lw=1.1, ls="--", label="tangent")
            ax.plot(0.0, xi[b], "o", color="black", ms=4.5)
            if np.isfinite([low, high]).all():
                ax.set_ylim(low, high)
            if x.size > 1:
                ax.set_xlim(x.min(), x.max())
            ax.xaxis.set_major_locator(MaxNLocator(5))
            ax.ticklabel_format(axis="y", style="sci", scilimits=(-2, 2), useMathText=True)
            ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
            if k == 0:
                lo, hi = bins.edges[b : b + 2]
                ax.set_title(f"{lo:.4g} to {hi:.4g} {bins.unit}", fontsize="medium", pad=16)
        row[0].set_ylabel(f"{symbol(statistic)}, {title}")
    for ax in axes[-1]:
        ax.set_xlabel(f"change of G from {at:g} [%]")
    axes[0, 0].legend()
    return figure


@styled
def plot_gradient_arrows(
    catalog: Catalog,
    ra_gradient: npt.ArrayLike,
    dec_gradient: npt.ArrayLike,
    bins: Binning,
    *,
    centers: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    statistic: str = "xip",
) -> Figure:
    """Which way each object would have to move to raise xi, one panel a bin, of at most four.

    Parameters
    ----------
    catalog : Catalog
    ra_gradient, dec_gradient : array_like, shape (nbins, N)
        dxi/dra and dxi/ddec, per degree of the coordinate, as
        :meth:`pysoftcorr.sky.differentiable.SoftCorrelation.jacobian` gives them; with respect to
        x and y for a flat catalog.
    bins : Binning
    centers : tuple of two array_like, shape (c,), optional
        RA and Dec, or x and y, of cluster centers, drawn as crosses.
    statistic : str

    Returns
    -------
    Figure
        Arrows point along the gradient on the sky. Sizes of gradients differ by orders of
        magnitude: the length of an arrow grows with its square root, up to the longest of its
        panel, and its color tells the size, per arcmin on the sky (per unit of x and y).

    Raises
    ------
    ValueError
        If shapes do not fit together.
    """
    want = (bins.nbins, len(catalog))
    east = np.asarray(ra_gradient, dtype=float)
    north = np.asarray(dec_gradient, dtype=float)
    if east.shape != want or north.shape != want:
        raise ValueError(f"gradients must be of shape {want}, got {east.shape} and {north.shape}")
    unit = "arcmin"
    if catalog.geometry == FLAT:
        unit, east = str(catalog.xy_unit), -east  # x is to the right
    else:
        # A step of one arcmin on the sky changes right ascension by 1/cos(dec) of it.
        east = east / np.cos(np.deg2rad(catalog.dec)) / 60.0
        north = north / 60.0
    size = np.hypot(east, north)
    known = np.isfinite(size)
    east, north, size = (np.where(known, values, 0.0) for values in (east, north, size))
    shown = _shown(bins)
    # Without any gradient there is nothing to draw, and any scale will do.
    longest = [float(np.percentile(size[b], 99.0)) or float(size[b].max()) for b in shown]
    top = max(longest) or 1.0
    norm = LogNorm(top / 1000.0, top)
    figure, axes = subplots(
        1, len(shown), figsize=(4.6 * len(shown) + 0.8, 4.8),
        sharex=True, sharey=True, squeeze=False,
    )  # fmt: skip
    frame = frame_of(catalog)
    x, y = frame.points(catalog)
    if centers is not None:
        first, second = (np.asarray(c, dtype=float) for c in centers)
        first = frame.x(first) if isinstance(frame, SkyFrame) else first
    for b, ax, long in zip(shown, axes[0], longest, strict=True):
        drawn = np.sqrt(np.minimum(size[b], long) / (long or 1.0))
        along = np.divide(drawn, size[b], out=np.zeros_like(drawn), where=size[b] > 0)
        order = np.argsort(size[b])  # the largest on top
        ax.scatter(x, y, s=2.0, color="0.75", lw=0, zorder=1)
        if centers is not None:
            ax.scatter(
                first, second, s=14, marker="x", lw=0.8, color=CLUSTERS, alpha=0.8, zorder=2,
                label="cluster centers",
            )  # fmt: skip
        ax.quiver(
            x[order], y[order], -(east[b] * along)[order], (north[b] * along)[order],
            np.clip(size[b][order], norm.vmin, norm.vmax), norm=norm, cmap="viridis_r",
            angles="uv", units="width", scale_units="width", scale=14.0, width=0.0035,
            headwidth=3.5, headlength=4.0, headaxislength=3.6, zorder=3,
        )  # fmt: skip
        if not size[b].any():
            ax.text(0.5, 0.5, "no gradient", transform=ax.transAxes, ha="center", color=NAIVE)
        frame.draw(ax)
        lo, hi = bins.edges[b : b + 2]
        ax.set_title(f"{lo:.4g} to {hi:.4g} {bins.unit}", fontsize="medium")
    for ax in axes[0, 1:]:
        ax.set_ylabel("")
    if centers is not None:
        axes[0, 0].legend(loc="upper left", framealpha=0.8, handletextpad=0.2)
    figure.colorbar(
        ScalarMappable(norm, "viridis_r"), ax=axes,
        label=f"|d{symbol(statistic)}/dx| [{unit}$^{{-1}}$]", extend="both", pad=0.01,
        aspect=30,
    )  # fmt: skip
    return figure


def _shown(bins: Binning) -> list[int]:
    return [round(b) for b in np.linspace(0, bins.nbins - 1, min(bins.nbins, PANELS))]


def _range(values: npt.NDArray[np.float64]) -> str:
    low, high = f"{values.min():.2g}", f"{values.max():.2g}"
    return low if low == high else f"{low} to {high}"


def _limits(low: float, high: float) -> tuple[float, float]:
    """Limits of the curves alone: a steep tangent leaves the panel."""
    pad = 0.12 * (high - low) or 0.12 * abs(high) or 1e-12
    return low - pad, high + pad
