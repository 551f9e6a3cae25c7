"""Settings of the soft-binned estimator: checked, and as Julia takes them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr._random import stream
from pysoftcorr.binning import RADIANS, Binning
from pysoftcorr.catalog import Catalog
from pysoftcorr.clustering import Clustering, SoftClustering

FloatArray = npt.NDArray[np.float64]

#: The quantities of an object that the estimate depends on, in the order Julia takes them.
FIELDS = ("ra", "dec", "g1", "g2", "w")

APPROACHES = {"naive": 0, "soft": 1, "hard": 2, "gumbel": 3}
THROUGH = {"frozen": 0, "one-step": 1, "implicit": 2, "unrolled": 3}
WEIGHTINGS = {"sigmoid": 0, "gaussian": 1}
STATISTICS = {"xip": 0, "xim": 1}
RULES = {"exact": 0, "literal": 1}

#: Default sharpness of a sigmoid times the bin's width: 10 e-folds from an edge to the middle.
SIGMOID_WIDTHS = 20.0


def soft_bins(bins: Binning | str, weighting: str, sharpness: Any) -> tuple[Binning, FloatArray]:
    """The bins, and (3, nbins) lower edges, upper edges (arcmin) and sharpness."""
    binning = Binning.parse(bins) if isinstance(bins, str) else bins
    if not isinstance(binning, Binning):
        raise TypeError(
            f"bins must be a Binning or text such as 'linear:0:45:8', not {type(bins).__name__}"
        )
    edges = binning.edges
    if binning.unit != "arcmin":
        edges = edges * (RADIANS[binning.unit] / RADIANS["arcmin"])
    widths = np.diff(edges)
    if sharpness is None:
        sharp = (
            SIGMOID_WIDTHS / widths if weighting == "sigmoid" else 4.0 * math.log(2.0) / widths**2
        )
    else:
        given = np.asarray(sharpness)
        if given.dtype.kind not in "iuf":
            raise TypeError(f"sharpness must hold real numbers, not {given.dtype}")
        if given.shape not in ((), (binning.nbins,)):
            raise ValueError(
                f"sharpness has shape {given.shape}: must be one number or one a bin, "
                f"({binning.nbins},)"
            )
        sharp = np.broadcast_to(given.astype(np.float64), (binning.nbins,))
        bad = np.flatnonzero(~(np.isfinite(sharp) & (sharp > 0)))
        if bad.size:
            raise ValueError(
                f"sharpness = {sharp[bad[0]]:g} of bin {bad[0]}: must be finite and above 0"
            )
    return binning, np.ascontiguousarray(np.stack([edges[:-1], edges[1:], sharp]))


def clustering_of(
    clusters: Any, start: Any, fuzziness: float | None, use_weights: bool, seed: Any
) -> tuple[SoftClustering, FloatArray | None]:
    """Settings of the clustering, and unit vectors (c, 3) to start it from, if given."""
    if isinstance(clusters, Clustering):
        if start is not None:
            raise ValueError("clusters is a Clustering, which is a start; leave start out")
        start, clusters = clusters, clusters.options
    centres = None if start is None else start_of(start)
    if isinstance(clusters, SoftClustering):
        if clusters.geometry != "sphere":
            raise ValueError(
                f"clusters has geometry={clusters.geometry!r}: only clusters on the sphere can "
                "be differentiated; use geometry='sphere'"
            )
        if fuzziness is not None and fuzziness != clusters.fuzziness:
            raise ValueError(
                f"fuzziness = {fuzziness} but clusters has {clusters.fuzziness}; give it once"
            )
        options = clusters
    else:
        if clusters is None:
            clusters = 100 if centres is None else len(centres)
        if isinstance(clusters, bool) or not isinstance(clusters, (int, np.integer)):
            raise TypeError(
                f"clusters = {clusters!r}: must be an integer, a SoftClustering or a Clustering"
            )
        if clusters < 1:
            raise ValueError(f"clusters = {clusters}: must be at least 1")
        options = SoftClustering(
            n_clusters=int(clusters),
            fuzziness=2.0 if fuzziness is None else fuzziness,
            use_weights=use_weights,
            seed=seed,
        )
    if centres is not None and len(centres) != options.n_clusters:
        raise ValueError(
            f"start has {len(centres)} centres but clusters = {options.n_clusters}; "
            "leave clusters out"
        )
    return options, centres


def start_of(start: Any) -> FloatArray:
    """Unit vectors of centres given as a Clustering, RA and Dec (c, 2), or vectors (c, 3)."""
    if isinstance(start, Clustering):
        return np.ascontiguousarray(start.xyz)
    given = np.asarray(start)
    if given.dtype.kind not in "iuf":
        raise TypeError(f"start must hold real numbers, not {given.dtype}")
    if given.ndim != 2 or given.shape[1] not in (2, 3) or len(given) == 0:
        raise ValueError(
            f"start has shape {given.shape}: must be (c, 2), RA and Dec in degrees, or (c, 3), "
            "vectors"
        )
    if given.shape[1] == 2:
        return np.ascontiguousarray(Catalog(ra=given[:, 0], dec=given[:, 1]).xyz)
    vectors = given.astype(np.float64)
    norm = np.linalg.norm(vectors, axis=1, keepdims=True)
    bad = np.flatnonzero(~(np.isfinite(norm[:, 0]) & (norm[:, 0] > 0)))
    if bad.size:
        raise ValueError(f"start: the vector of row {bad[0]} has no direction")
    return np.ascontiguousarray(vectors / norm)


def seed_numbers(seed: int, n_clusters: int) -> FloatArray:
    """Uniform numbers of the k-means++ start, those that `SoftClustering.fit` draws."""
    return stream(seed, "k-means++").random(n_clusters)


def gumbel_numbers(seed: int, n: int, n_clusters: int) -> FloatArray:
    """Gumbel numbers (N, c), those that ``Clustering.assign("gumbel", seed=seed)`` draws."""
    return stream(seed, "gumbel").gumbel(size=(n, n_clusters))
