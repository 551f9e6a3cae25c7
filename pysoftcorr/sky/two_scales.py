"""Two scales in one correlation: pairs of objects below a separation, pairs of clusters above it.

The bins decide. Those that begin below the `split` are sums over all pairs of objects, those that
begin at it or above are sums over pairs of clusters. So a value has one source and one meaning of
its errors; what stands below is exact and moves with no assignment; and the pairs of objects are
summed once, whatever the number of assignments drawn. A pair of objects is counted in the bin of
its own separation below, and in that of its two clusters above; within a bin never twice.

Above, both ends of a pair are smeared over their clusters. For clusters of rms radius r a function
theta^-p comes out ``1 + p^2 r^2/(2 theta^2)`` times as large, to the lowest order in r/theta, and
one of spin 4, such as xi-, ``1 + (p^2 - 16) r^2/(2 theta^2)``.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr.sky.binning import Binning
from pysoftcorr.sky.catalog import Catalog
from pysoftcorr.sky.clustering import Clustering
from pysoftcorr.sky.geometry import FLAT
from pysoftcorr.sky.result import Correlation, CorrelationSet

__all__ = ["Split", "distances"]

FloatArray = npt.NDArray[np.float64]

#: Part of the weight beyond half the split from its cluster at which a warning is due.
_FAR = 0.01
#: Objects whose memberships are looked at.
_LOOKED_AT = 200
#: An edge counts as the split but for rounding.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Split:
    """Bins cut in two.

    Attributes
    ----------
    bins : Binning
    near, far : Binning
        The bins of objects and those of clusters.
    """

    bins: Binning
    near: Binning
    far: Binning

    @classmethod
    def of(cls, name: str, bins: Binning, split: float) -> Split:
        """Bins that begin below `split` (in their unit), and the others.

        Raises
        ------
        ValueError
            If no bin is left on one side.
        """
        first = int(np.searchsorted(bins.edges[:-1], split * (1 - _ROUNDING)))
        if first == 0:
            raise ValueError(
                f"{name}: split = {split:g}: must be above {bins.edges[0]:g} {bins.unit}, where "
                "the first bin begins; for clusters alone leave it out"
            )
        if first == bins.nbins:
            raise ValueError(
                f"{name}: split = {split:g}: must be at most {bins.edges[-2]:g} {bins.unit}, where "
                "the last bin begins; for pairs of objects alone leave it out, and clusters too"
            )
        near, far = bins.edges[: first + 1], bins.edges[first:]
        return cls(bins, Binning(near, bins.kind, bins.unit), Binning(far, bins.kind, bins.unit))

    @property
    def edge(self) -> float:
        """Where the bins of clusters begin."""
        return float(self.far.edges[0])

    def radius(self, catalogs: Sequence[Catalog], fits: Sequence[Clustering]) -> float:
        """Rms distance of an object from the center of its most likely cluster, of the largest."""
        found = [
            np.average(distances(c, fit, fit.assign()) ** 2, weights=c.w)
            for c, fit in zip(catalogs, fits, strict=True)
            if c.w.sum() > 0
        ]
        return float(np.sqrt(max(found, default=0.0))) * self._per

    @property
    def _per(self) -> float:
        """Units of the bins in an arcmin, or a pixel."""
        return float(self.bins.edges[-1] / self.bins.edges_flat[-1])

    def warn(
        self, name: str, catalogs: Sequence[Catalog], fits: Sequence[Clustering], *, broad: bool
    ) -> None:
        """Warnings where clusters are wide for the split.

        That is, where more than a percent of the weight lies further than half the split from its
        cluster: pairs of two such objects may be nowhere near the separation of their clusters.
        `broad`: also where the memberships are.
        """
        half = self.edge / self._per / 2
        for k, (catalog, fit) in enumerate(zip(catalogs, fits, strict=True)):
            of = "" if len(fits) == 1 else f" of catalog {k + 1}"
            if catalog.w.sum() <= 0:
                continue
            away = distances(catalog, fit, fit.assign())
            beyond = np.average(away > half, weights=catalog.w)
            if beyond > _FAR:
                least = 2.1 * np.quantile(away, 1 - _FAR) * self._per
                warnings.warn(
                    f"{name}: split = {self.edge:g}: {100 * beyond:.0f} % of the objects{of} lie "
                    f"further than half of it from the center of their cluster; take a split of "
                    f"{least:.2g} {self.bins.unit} or more, or more clusters",
                    stacklevel=4,
                )
            elif broad and (strays := _strays(catalog, fit, half)) > _FAR:
                warnings.warn(
                    f"{name}: memberships are broad: of the objects{of} drawn into clusters "
                    f"{100 * strays:.0f} % are further than half of the split, {self.edge:g} "
                    f"{self.bins.unit}, from the center of theirs, and what is drawn is smeared; "
                    "take a SoftClustering of a lower fuzziness "
                    f"(it is {fit.options.fuzziness:g}), such as 1.3",
                    stacklevel=4,
                )

    def joined(self, near: CorrelationSet, far: CorrelationSet, record: dict[str, Any]
               ) -> CorrelationSet:  # fmt: skip
        """Both halves in one, the settings of the second and `record`."""
        record = {
            **far.settings, **record,
            "coincident_pairs": max(s.settings["coincident_pairs"] for s in (near, far)),
        }  # fmt: skip
        return CorrelationSet(
            [self._one(near[name], item, record) for name, item in far.items()], name=far.name
        )

    def _one(self, near: Correlation, far: Correlation, record: dict[str, Any]) -> Correlation:
        names = ("theta", "logtheta", "value", "imag", "npairs", "weight", "varshot")
        epistemic = aleatoric = None
        if far.epistemic is not None:
            still = np.empty(near.bins.nbins, dtype=np.complex128)
            still.real, still.imag = near.value, near.imag
            still = np.broadcast_to(still, (len(far.epistemic), len(still)))
            epistemic = np.hstack([still, far.epistemic])
        if far.aleatoric is not None:
            assert near.aleatoric is not None
            aleatoric = np.hstack([near.aleatoric, far.aleatoric])
        parts: dict[str, Any] = {
            n: np.concatenate([getattr(near, n), getattr(far, n)]) for n in names
        }
        return replace(
            far, bins=self.bins, **parts, epistemic=epistemic, aleatoric=aleatoric, settings=record
        )


def distances(catalog: Catalog, fit: Clustering, labels: npt.NDArray[np.int64]) -> FloatArray:
    """Separation of each object from a center, in arcmin or pixels, shape (N,)."""
    return _separations(catalog, catalog.xyz, fit.xyz[labels])


def _separations(catalog: Catalog, one: FloatArray, other: FloatArray) -> FloatArray:
    chord = np.linalg.norm(one - other, axis=-1)
    if catalog.geometry == FLAT:
        return np.asarray(chord)
    return np.asarray(np.degrees(2 * np.arcsin(np.minimum(chord / 2, 1))) * 60)


def _strays(catalog: Catalog, fit: Clustering, reach: float) -> float:
    """Expected part of the objects that are drawn into clusters further away than `reach`."""
    rows = np.unique(np.linspace(0, len(catalog) - 1, _LOOKED_AT).astype(int))
    u = fit.memberships[rows]
    away = _separations(catalog, catalog.xyz[rows, None], fit.xyz[None])
    return float(np.average((u * (away > reach)).sum(axis=1)))
