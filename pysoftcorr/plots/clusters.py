"""Soft clusterings: centers on the sky, the membership matrix, and how sure memberships are."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from pysoftcorr.plots.figures import subplots
from pysoftcorr.plots.series import held, widen
from pysoftcorr.plots.sky import ALEATORIC, CLUSTERS, EPISTEMIC, axes_of, frame_of
from pysoftcorr.plots.styles import styled
from pysoftcorr.sky.catalog import Catalog
from pysoftcorr.sky.clustering import Clustering
from pysoftcorr.sky.geometry import FLAT
from pysoftcorr.sky.nearest import NearestMemberships

#: Colors of objects and centers: of the first clustering on axes, of the next ones.
_PAIRS = ((ALEATORIC, CLUSTERS), ("#009E73", "#000000"), ("#CC79A7", "#E69F00"))
#: Memberships below this are drawn as this: they say no more than "hardly".
FLOOR = 1e-3
#: Rows of a matrix too large to be kept whole that are drawn.
ROWS = 1000


@styled
def plot_centers(catalog: Catalog, fit: Clustering, *, ax: Axes | None = None) -> Axes:
    """Cluster centers over the objects (Berman et al. 2025, fig. 5).

    Parameters
    ----------
    catalog : Catalog
        The clustered objects.
    fit : Clustering
    ax : Axes, optional
        Axes to draw on; a new figure by default.

    Returns
    -------
    Axes
    """
    ax = axes_of(ax, figsize=(6.0, 6.0))
    before, frame = held(ax), frame_of(catalog, ax=ax)
    earlier = sum(isinstance(drawn, PathCollection) for drawn in ax.collections) // 2
    objects, centers = _PAIRS[earlier % len(_PAIRS)]
    size = float(np.clip(3e4 / len(catalog), 1.0, 14.0))
    ax.scatter(
        *frame.points(catalog),
        s=size,
        color=objects,
        alpha=0.75,
        lw=0,
        label=f"{len(catalog)} objects",
    )
    ax.scatter(
        *frame.points(fit),
        s=45,
        marker="x",
        lw=1.6,
        color=centers,
        label=f"{fit.n_clusters} cluster centers",
    )
    frame.draw(ax)
    widen(ax, before)
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return ax


@styled
def plot_memberships(fit: Clustering, *, ax: Axes | None = None) -> Axes:
    """The membership matrix (Berman et al. 2025, fig. 6), one row an object.

    Clusters are put in the order of their declination (or y), objects in that of their likeliest
    cluster, so that the sharp part of the matrix is a diagonal band. Where the clustering keeps the
    nearest centers alone, every so many objects are drawn, a thousand in all.

    Parameters
    ----------
    fit : Clustering
    ax : Axes, optional
        Axes to draw on; a new figure by default.

    Returns
    -------
    Axes
    """
    ax = axes_of(ax, figsize=(6.0, 5.6))
    order = np.argsort(fit.y if fit.geometry == FLAT else fit.dec, kind="stable")
    u, some = fit.memberships, ""
    if isinstance(u, NearestMemberships):
        drawn = np.unique(np.linspace(0, len(u) - 1, min(ROWS, len(u))).astype(np.int64))
        some = f" ({len(drawn)} of {len(u)})" if len(drawn) < len(u) else ""
        u = u[drawn]
    u = u[:, order]
    best = u.argmax(axis=1)
    rows = np.lexsort((-u.max(axis=1), best))
    image = ax.imshow(
        np.clip(u[rows], FLOOR, 1.0),
        norm=LogNorm(FLOOR, 1.0),
        cmap="viridis",
        aspect="auto",
        interpolation="nearest",
        origin="lower",
    )
    ax.figure.colorbar(image, ax=ax, label="membership", extend="min")
    ax.set_xlabel(f"cluster, in order of {'y' if fit.geometry == FLAT else 'declination'}")
    ax.set_ylabel(f"object{some}, in order of its likeliest cluster")
    return ax


@styled
def plot_membership_histograms(fit: Clustering) -> Figure:
    """Histograms of the largest membership and of the entropy (Berman et al. 2025, fig. 9).

    Parameters
    ----------
    fit : Clustering

    Returns
    -------
    Figure
        With two panels; the medians are marked, and the entropy of equal memberships.
    """
    figure, (left, right) = subplots(1, 2, figsize=(9.0, 3.6))
    c = fit.n_clusters
    limit = np.log(c) if c > 1 else 1.0
    for ax, values, top, color, text in (
        (left, fit.max_membership, 1.0, ALEATORIC, "largest membership"),
        (right, fit.entropy, limit, EPISTEMIC, "entropy of the memberships [nats]"),
    ):
        ax.hist(values, bins=np.linspace(0.0, top, 26), color=color, alpha=0.8)
        median = float(np.median(values))
        ax.axvline(median, color="black", lw=1.2, ls="--", label=f"median {median:.2f}")
        ax.set_xlabel(text)
        ax.set_ylabel("objects")
        ax.set_xlim(0.0, 1.04 * top)
    if c > 1:
        right.axvline(limit, color="0.5", lw=1.2, ls=":", label=f"{c} equal parts {limit:.2f}")
    for ax in (left, right):
        # Room above the bars, so that the legend lies on none of them.
        ax.set_ylim(0.0, 1.3 * ax.get_ylim()[1])
        ax.legend(loc="upper left", ncols=2)
    return figure
