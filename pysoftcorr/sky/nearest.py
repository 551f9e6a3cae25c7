"""Memberships of many objects in many clusters, kept for the nearest centers of each object."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from pysoftcorr._julia import call
from pysoftcorr._julia.settings import threads
from pysoftcorr.core.frozen import Frozen, frozen_array
from pysoftcorr.core.memory import refuse_beyond_memory

__all__ = ["NearestMemberships"]

FloatArray = npt.NDArray[np.float64]
#: Objects whose neighbors are looked up at a time.
_BATCH = 100_000
#: Memberships among thousands of centers, whose sums come from expansions, are kept to 1e-9: a
#: number so close to the end of one is left to all centers.
_ROUNDING = 1e-8


@dataclass(frozen=True, kw_only=True, eq=False)
class NearestMemberships(Frozen):
    """Memberships U of N objects in c clusters, without the (N, c) matrix.

    Those of the nearest centers are kept; they are exact parts of the whole, and `rest` says what
    an object's other centers share. Rows of the matrix are computed where they are asked for:
    ``memberships[rows]``.

    Attributes
    ----------
    indices : ndarray of int32, shape (N, k)
        The nearest centers of each object, nearest first.
    values : ndarray, shape (N, k)
        Memberships in these.
    places : ndarray, shape (N, D)
        Coordinates of the objects, as of `centers`.
    centers : ndarray, shape (c, D)
    fuzziness : float

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr import Catalog, SoftClustering
    >>> rng = np.random.default_rng(1)
    >>> cat = Catalog(ra=rng.uniform(10, 11, 500), dec=rng.uniform(0, 1, 500))
    >>> u = SoftClustering(n_clusters=40, neighbors=8, seed=1).fit(cat).memberships
    >>> u.shape, u.values.shape, u[[3, 5]].shape
    ((500, 40), (500, 8), (2, 40))
    >>> bool(np.allclose(u.values.sum(axis=1) + u.rest, 1))
    True
    """

    indices: npt.NDArray[np.int32]
    values: FloatArray
    places: FloatArray
    centers: FloatArray
    fuzziness: float

    def __post_init__(self) -> None:
        for name in ("indices", "values", "places", "centers"):
            object.__setattr__(self, name, frozen_array(getattr(self, name)))

    @classmethod
    def of(
        cls, places: FloatArray, centers: FloatArray, fuzziness: float, totals: FloatArray, k: int
    ) -> NearestMemberships:
        """From the sums over all centers of ``d^(-2/(m-1))`` of each object, shape (N,)."""
        n, k = len(places), min(k, len(centers))
        tree = cKDTree(centers)
        indices, values = np.empty((n, k), dtype=np.int32), np.empty((n, k))
        for start in range(0, n, _BATCH):
            rows = slice(start, min(start + _BATCH, n))
            distance, found = tree.query(places[rows], k=range(1, k + 1), workers=threads())
            indices[rows] = found
            with np.errstate(divide="ignore", invalid="ignore"):
                u = distance ** (-2 / (fuzziness - 1)) / totals[rows, None]
            # An object on one or more centers, but for rounding, belongs to these alone.
            on = np.isinf(totals[rows]) | (distance[:, 0] == 0)
            hit = distance[on] <= distance[on, :1] + 1e-14 * np.abs(centers).max()
            u[on] = hit / hit.sum(axis=1, keepdims=True)
            values[rows] = u
        return cls(
            indices=indices, values=values, places=places, centers=centers, fuzziness=fuzziness
        )

    @property
    def shape(self) -> tuple[int, int]:
        """(N, c)."""
        return len(self.places), len(self.centers)

    def __len__(self) -> int:
        return len(self.places)

    @property
    def rest(self) -> FloatArray:
        """Sum of each object's memberships in all centers that are not kept, shape (N,)."""
        rest: FloatArray = np.maximum(1 - self.values.sum(axis=1), 0.0)
        return rest

    def __getitem__(self, rows: Any) -> FloatArray:
        """Memberships in all centers, (c,) of one object or (M, c) of several.

        Raises
        ------
        IndexError
            Columns too: take rows first.
        ValueError
            More rows than fit into memory.
        """
        if isinstance(rows, tuple):
            raise IndexError(
                "memberships: only rows can be taken, as memberships[rows]; take columns of these"
            )
        places = np.ascontiguousarray(np.atleast_2d(self.places[rows]))
        n, c = len(places), len(self.centers)
        refuse_beyond_memory(f"memberships of {n} objects in {c} clusters", 8.0 * n * c)
        u = np.empty((n, c))
        v = np.ascontiguousarray(self.centers.T)
        call("memberships", places, places.shape[1], n, c, float(self.fuzziness), v, u)
        return u[0] if np.ndim(self.places[rows]) == 1 else u

    def toarray(self) -> FloatArray:
        """The whole matrix, shape (N, c).

        Raises
        ------
        ValueError
            It does not fit into memory.
        """
        return self[:]

    @cached_property
    def _sums(self) -> tuple[FloatArray, FloatArray]:
        n, c = self.shape
        entropy, sizes = np.empty(n), np.empty(c)
        v = np.ascontiguousarray(self.centers.T)
        call("membership_sums", self.places, self.places.shape[1], n, c, float(self.fuzziness), v,
             entropy, sizes)  # fmt: skip
        return frozen_array(entropy), frozen_array(sizes)

    @property
    def entropy(self) -> FloatArray:
        """Shannon entropy of each object's memberships in nats, shape (N,)."""
        return self._sums[0]

    @property
    def sizes(self) -> FloatArray:
        """Sum of the memberships in each cluster, shape (c,)."""
        return self._sums[1]

    def sampled(self, uniform: FloatArray) -> npt.NDArray[np.int64]:
        """Clusters drawn from the memberships by uniform numbers (n, N), in all centers.

        A number u is in the cluster where the memberships, added up in the order of the centers,
        pass u. Those that are not kept add between none and `rest` to the sum before a center: for
        most numbers that decides nothing, and all centers are asked for the others alone.
        """
        labels = np.empty(uniform.shape, dtype=np.int64)
        for start in range(0, len(self), _BATCH):
            rows = slice(start, min(start + _BATCH, len(self)))
            u = uniform[:, rows]
            labels[:, rows], certain = self._drawn_of_kept(rows, u)
            open_rows = np.flatnonzero(~certain.all(axis=0))
            if open_rows.size:
                labels[:, start + open_rows] = self._drawn_of_all(
                    self.places[rows][open_rows], u[:, open_rows]
                )
        return labels

    def _drawn_of_kept(
        self, rows: slice, uniform: FloatArray
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """Clusters among the kept ones, and whether these are certain."""
        order = np.argsort(self.indices[rows], axis=1)
        centers = np.take_along_axis(self.indices[rows], order, axis=1)
        end = np.cumsum(np.take_along_axis(self.values[rows], order, axis=1), axis=1)
        start = np.concatenate([np.zeros((len(end), 1)), end], axis=1)
        latest = start + (np.maximum(1 - end[:, -1], 0.0) + _ROUNDING)[:, None]
        every, last = np.arange(len(end)), end.shape[1] - 1
        labels = np.empty(uniform.shape, dtype=np.int64)
        certain = np.empty(uniform.shape, dtype=np.bool_)
        for k, u in enumerate(uniform):
            found = (u[:, None] >= end).sum(axis=1)
            at = np.minimum(found, last)
            labels[k] = centers[every, at]
            certain[k] = (
                (found <= last) & (u >= latest[every, at]) & (u < end[every, at] - _ROUNDING)
            )
            # Before the first of all centers there is nothing.
            certain[k] |= (u < end[:, 0] - _ROUNDING) & (centers[:, 0] == 0)
        return labels, certain

    def _drawn_of_all(self, places: FloatArray, uniform: FloatArray) -> npt.NDArray[np.int64]:
        places, uniform = np.ascontiguousarray(places), np.ascontiguousarray(uniform)
        (n, dims), c = places.shape, len(self.centers)
        labels = np.empty(uniform.shape, dtype=np.int64)
        v = np.ascontiguousarray(self.centers.T)
        call("assign_places", places, dims, n, c, float(self.fuzziness), v, len(uniform), uniform,
             labels)  # fmt: skip
        return labels - 1

    def __repr__(self) -> str:
        (n, c), k = self.shape, self.values.shape[1]
        return f"<NearestMemberships: {n} objects in {c} clusters, {k} kept each>"
