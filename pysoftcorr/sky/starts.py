"""What a clustering is started from: centers of one made before, or coordinates."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr.core.options import at_least_one
from pysoftcorr.sky.catalog import Catalog
from pysoftcorr.sky.clustering import Clustering, SoftClustering
from pysoftcorr.sky.geometry import FLAT, PIXEL, SKY, to_plane

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Start:
    """Centers to start from.

    Attributes
    ----------
    centers : ndarray, shape (c, 2) or (c, 3)
        Coordinates as of the catalog that is clustered, or vectors as of `Catalog.xyz`.
    geometry : {"sky", "flat"} or None
        That of vectors.
    pixels : bool
        Whether vectors of a plane are in pixels.
    """

    centers: FloatArray
    geometry: str | None = None
    pixels: bool = False

    def vectors(self, catalog: Catalog) -> FloatArray:
        """Vectors (c, 3) as of the catalog's `xyz`.

        Raises
        ------
        ValueError
            If these are centers of another geometry.
        """
        if self.geometry is None and catalog.geometry == SKY:
            return Catalog(ra=self.centers[:, 0], dec=self.centers[:, 1]).xyz
        if self.geometry is None:
            flat = self.centers * to_plane(str(catalog.xy_unit))
            return np.ascontiguousarray(np.pad(flat, ((0, 0), (0, 1))))
        pixels = catalog.geometry == FLAT and catalog.xy_unit == PIXEL
        if self.geometry != catalog.geometry or self.pixels != pixels:
            own = "in pixels" if self.pixels else f"of geometry {self.geometry!r}"
            raise ValueError(f"start has centers {own}, which do not belong to {catalog!r}")
        return self.centers


def clustering_of(
    clusters: Any, start: Any, fuzziness: float | None, use_weights: bool, seed: Any
) -> tuple[SoftClustering, Start | None]:
    """Settings of the clustering, and where to start it from, if given."""
    if isinstance(clusters, Clustering):
        if start is not None:
            raise ValueError("clusters is a Clustering, which is a start; leave start out")
        start, clusters = clusters, replace(clusters.options, device="cpu")
    begin = None if start is None else start_of(start)
    if isinstance(clusters, SoftClustering):
        if clusters.metric != "chord":
            raise ValueError(
                f"clusters has metric={clusters.metric!r}: only the chord can be differentiated; "
                "use metric='chord'"
            )
        if fuzziness is not None and fuzziness != clusters.fuzziness:
            raise ValueError(
                f"fuzziness = {fuzziness} but clusters has {clusters.fuzziness}; give it once"
            )
        if clusters.device != "cpu":
            raise ValueError(
                f"clusters has device={clusters.device!r}: clusters that are differentiated are "
                "found on the CPU; use device='cpu'"
            )
        options = clusters
    else:
        if clusters is None:
            clusters = 100 if begin is None else len(begin.centers)
        if isinstance(clusters, bool) or not isinstance(clusters, (int, np.integer)):
            raise TypeError(
                f"clusters = {clusters!r}: must be an integer, a SoftClustering or a Clustering"
            )
        options = SoftClustering(
            n_clusters=at_least_one("clusters", clusters),
            fuzziness=2.0 if fuzziness is None else fuzziness,
            use_weights=use_weights,
            seed=seed,
        )
    if begin is not None and len(begin.centers) != options.n_clusters:
        raise ValueError(
            f"start has {len(begin.centers)} centers but clusters = {options.n_clusters}; "
            "leave clusters out"
        )
    return options, begin


def start_of(start: Any) -> Start:
    """From a Clustering, coordinates (c, 2), or vectors (c, 3) on the sky."""
    if isinstance(start, Clustering):
        return Start(np.ascontiguousarray(start.xyz), start.geometry, start.xy_unit == PIXEL)
    given = np.asarray(start)
    if given.dtype.kind not in "iuf":
        raise TypeError(f"start must hold real numbers, not {given.dtype}")
    if given.ndim != 2 or given.shape[1] not in (2, 3) or len(given) == 0:
        raise ValueError(
            f"start has shape {given.shape}: must be (c, 2), RA and Dec in degrees or x and y, or "
            "(c, 3), vectors"
        )
    numbers = given.astype(np.float64)
    if given.shape[1] == 2:
        if not np.isfinite(numbers).all():
            raise ValueError("start: coordinates must be finite")
        return Start(numbers)
    norm = np.linalg.norm(numbers, axis=1, keepdims=True)
    bad = np.flatnonzero(~(np.isfinite(norm[:, 0]) & (norm[:, 0] > 0)))
    if bad.size:
        raise ValueError(f"start: the vector of row {bad[0]} has no direction")
    return Start(np.ascontiguousarray(numbers / norm), SKY)
