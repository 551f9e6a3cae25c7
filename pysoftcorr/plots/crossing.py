"""One pair of objects whose cluster assignment carries it across the edges of bins."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from pysoftcorr.plots.figures import subplots
from pysoftcorr.plots.series import entries
from pysoftcorr.plots.sky import ALEATORIC, CLUSTERS, NAIVE, frame_of, log_axis
from pysoftcorr.plots.styles import styled
from pysoftcorr.sky.binning import RADIANS, Binning
from pysoftcorr.sky.catalog import Catalog
from pysoftcorr.sky.clustering import Clustering
from pysoftcorr.sky.geometry import FLAT

FloatArray = npt.NDArray[np.float64]
#: Centers of smaller membership are not drawn.
FAINT = 0.03


def bin_probabilities(fit: Clustering, bins: Binning, pair: tuple[int, int]) -> FloatArray:
    """Probability that a pair, put at the centers drawn for it, falls in each bin.

    Parameters
    ----------
    fit : Clustering
    bins : Binning
    pair : (int, int)
        Rows of the two objects.

    Returns
    -------
    ndarray, shape (nbins,)
        Sum of ``U_ik U_jl`` over the pairs of centers k, l whose separation is in the bin; what
        is left to 1 falls outside all bins.
    """
    i, j = pair
    joint = np.outer(fit.memberships[i], fit.memberships[j])
    apart = _separations(fit.xyz, fit.xyz, bins, fit.geometry)
    which = np.searchsorted(bins.edges, apart, side="right") - 1
    inside = (which >= 0) & (which < bins.nbins)
    total = np.bincount(which[inside], joint[inside], minlength=bins.nbins)
    return total.astype(np.float64)


def crossing_pair(catalog: Catalog, fit: Clustering, bins: Binning) -> tuple[int, int]:
    """The pair near a bin's edge that is likeliest put on either side of it.

    Among the pairs within an eighth of a bin of an inner edge (a few hundred objects are looked
    at), that whose second likeliest bin is likeliest and whose objects both waver.

    Raises
    ------
    ValueError
        If no pair lies in the bins.
    """
    rows = np.unique(np.linspace(0, len(catalog) - 1, min(len(catalog), 300)).astype(int))
    theta = _separations(catalog.xyz[rows], catalog.xyz[rows], bins, catalog.geometry)
    upper = np.triu(np.ones(theta.shape, dtype=bool), 1)
    upper &= (theta >= bins.edges[0]) & (theta < bins.edges[-1])
    if not upper.any():
        raise ValueError(f"no pair of the {len(catalog)} objects has a separation in {bins}")
    inner = bins.edges[1:-1] if bins.nbins > 1 else bins.edges[1:]
    narrow = np.minimum(bins.widths[:-1], bins.widths[1:]) if bins.nbins > 1 else bins.widths
    away = (np.abs(theta[..., None] - inner) / narrow).min(axis=-1)
    nearest = np.where(upper, away, np.inf)
    order = np.argsort(nearest, axis=None)[:400]
    order = order[nearest.flat[order] <= max(0.125, float(nearest.min()))]
    pairs = [(int(rows[k // len(rows)]), int(rows[k % len(rows)])) for k in order]
    return max(pairs, key=lambda pair: _hop(fit, bins, pair))


def _hop(fit: Clustering, bins: Binning, pair: tuple[int, int]) -> float:
    """How well a pair shows the crossing: its second bin is likely, and both objects waver."""
    second = np.sort(np.r_[0.0, bin_probabilities(fit, bins, pair)])[-2]
    return float(second * (1.0 - fit.max_membership[list(pair)]).min())


@styled
def plot_pair_crossing(
    catalog: Catalog,
    fit: Clustering,
    bins: Binning | str,
    *,
    pair: tuple[int, int] | None = None,
) -> Figure:
    """A pair near a bin's edge, and the bins that its cluster assignment may put it in.

    This is where the epistemic error comes from (Berman et al. 2025, fig. 2): the two objects
    have one separation, the centers they are assigned to have others.

    Parameters
    ----------
    catalog : Catalog
    fit : Clustering
        Its clustering.
    bins : Binning or str
        The bins; text is read by `Binning.parse`.
    pair : (int, int), optional
        Rows of the two objects; by default the one likeliest to cross.

    Returns
    -------
    Figure
        Left, the pair and the centers it may be assigned to, as large as the membership. Right,
        the probability of each bin and the separation of the objects themselves.

    Raises
    ------
    ValueError
        If no pair lies in the bins.
    """
    bins = Binning.parse(bins) if isinstance(bins, str) else bins
    pair = crossing_pair(catalog, fit, bins) if pair is None else pair
    both = catalog[list(pair)]
    theta = float(_separations(both.xyz[:1], both.xyz[1:], bins, both.geometry)[0, 0])
    figure, (left, right) = subplots(1, 2, figsize=(10.5, 4.4), width_ratios=(1.0, 1.1))

    u = fit.memberships[list(pair)]
    shown = (u > FAINT).any(axis=0)
    near = replace(fit, centers=fit.centers[shown], memberships=u[:, shown])
    frame = frame_of(both, near)
    (x, y), (vx, vy) = frame.points(both), frame.points(fit)
    for k, color in enumerate((ALEATORIC, "#009E73")):
        for center in np.flatnonzero(u[k] > FAINT):
            at = [x[k], vx[center]], [y[k], vy[center]]
            left.plot(*at, color=color, lw=6 * u[k, center] + 0.6, alpha=0.8, zorder=2)
    left.plot(x, y, color=NAIVE, ls="--", lw=1.2, zorder=1)
    left.scatter(
        vx[shown], vy[shown], s=60, marker="x", lw=1.8, color=CLUSTERS, zorder=3,
        label="cluster centers",
    )  # fmt: skip
    left.scatter(
        x, y, s=55, c=[ALEATORIC, "#009E73"], edgecolors="white", zorder=4,
        label="the pair; lines as thick as memberships",
    )  # fmt: skip
    frame.draw(left, square=True)

    probability = bin_probabilities(fit, bins, pair)
    right.bar(
        bins.edges[:-1], probability, width=bins.widths, align="edge", color=CLUSTERS, alpha=0.75,
        edgecolor="white", label="once assigned to clusters",
    )  # fmt: skip
    right.axvline(theta, color=NAIVE, ls="--", lw=1.5,
                  label=f"the objects themselves, {theta:.4g} {bins.unit}")  # fmt: skip
    if bins.kind == "log":
        right.set_xscale("log")
        log_axis(right.xaxis, bins.edges[0], bins.edges[-1])
    right.set_xlim(bins.edges[0], bins.edges[-1])
    right.set_ylim(0.0, 1.1 * max(float(probability.max()), 0.1))
    right.set_xlabel(f"separation [{bins.unit}]")
    right.set_ylabel("probability of the pair's bin")
    figure.legend(*entries((left, right)), loc="outside upper center", ncols=2)
    return figure


def _separations(a: FloatArray, b: FloatArray, bins: Binning, geometry: str) -> FloatArray:
    """Separations of all rows of `a` and `b`, as of `Catalog.xyz`, in the unit of the bins."""
    if geometry == FLAT:
        apart = np.linalg.norm(a[:, None] - b[None], axis=-1)
        return np.asarray(apart * (bins.edges[-1] / bins.edges_flat[-1]))
    cross = np.linalg.norm(np.cross(a[:, None], b[None]), axis=-1)
    return np.arctan2(cross, a @ b.T) / RADIANS[bins.unit]
