"""Objects put together into clusters, and derivatives of these back to the objects."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr.sky.catalog import Catalog
from pysoftcorr.sky.clustering import Clustering
from pysoftcorr.sky.geometry import AXES, FLAT, to_plane
from pysoftcorr.sky.nearest import NearestMemberships

__all__ = ["Groups"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_DEGREE = np.pi / 180
#: Shares of objects that are looked at together.
_AT_ONCE = 2_000_000


@dataclass(frozen=True, eq=False)
class Groups:
    """Clusters of a catalog's objects: by labels, or by shares in the nearest centers.

    With labels a cluster stands at the weighted mean of its members. With shares it stands at its
    c-means center; an object's shares are its memberships in the centers that the clustering keeps
    of it, made to sum to 1.

    Attributes
    ----------
    catalog : Catalog
    fit : Clustering
    labels : ndarray of int64, shape (N,), or None
        None: shares.
    """

    catalog: Catalog
    fit: Clustering
    labels: IntArray | None = None

    # ------------------------------------------------------------------ clusters as a catalog
    def clusters(self) -> tuple[Catalog, IntArray]:
        """Clusters with weight, as a catalog, and their numbers.

        Each has the summed weight and the mean shear of what belongs to it.
        """
        catalog, c = self.catalog, self.fit.n_clusters
        sums = np.zeros((6, c))
        e = catalog.e
        columns = [catalog.w, catalog.w * e.real, catalog.w * e.imag]
        if self.labels is not None:
            columns += list((catalog.w[:, None] * catalog.xyz).T)
        for rows, index, share in self._blocks():
            for total, column in zip(sums, columns, strict=False):
                parts = (column[rows, None] * share).ravel()
                total += np.bincount(index.ravel(), parts, minlength=c)
        there = np.flatnonzero(sums[0] > 0)
        w, g1, g2, *x = sums[:, there]
        first, second = self._places(np.stack(x), w, there)
        names = AXES[catalog.geometry]
        unit: dict[str, Any] = {"xy_unit": catalog.xy_unit} if catalog.geometry == FLAT else {}
        found: dict[str, Any] = {names[0]: first, names[1]: second, "g1": g1 / w, "g2": g2 / w}
        with warnings.catch_warnings():
            # The catalog has said it of its objects.
            warnings.filterwarnings("ignore", message=".*exceeds 1 in rows")
            return Catalog(**found, **unit, w=w), there

    def _places(self, x: FloatArray, w: FloatArray, there: IntArray) -> FloatArray:
        """Coordinates (2, clusters) as in the catalog."""
        flat = self.catalog.geometry == FLAT
        if self.labels is None:
            one, two = (self.fit.x, self.fit.y) if flat else (self.fit.ra, self.fit.dec)
            return np.stack([one, two])[:, there]
        if flat:
            return x[:2] / w / to_plane(str(self.catalog.xy_unit))
        ra = np.degrees(np.arctan2(x[1], x[0])) % 360.0
        return np.stack([ra, np.degrees(np.arctan2(x[2], np.hypot(x[0], x[1])))])

    def _blocks(self) -> Iterator[tuple[slice, IntArray, FloatArray]]:
        """Rows of objects, the clusters (rows, k) they have shares in, and the shares."""
        u, n = self.fit.memberships, len(self.catalog)
        width = u.values.shape[1] if isinstance(u, NearestMemberships) else u.shape[1]
        width = 1 if self.labels is not None else width
        step = max(1, _AT_ONCE // width)
        for first in range(0, n, step):
            rows = slice(first, min(first + step, n))
            if self.labels is not None:
                index = self.labels[rows, None]
                yield rows, index, np.ones(index.shape)
            elif isinstance(u, NearestMemberships):
                share = u.values[rows]
                yield rows, u.indices[rows].astype(np.int64), share / share.sum(1, keepdims=True)
            else:
                share = u[rows]
                yield rows, np.broadcast_to(np.arange(u.shape[1]), share.shape), share

    # ------------------------------------------------------------------ back to the objects
    def pull(
        self, clusters: Catalog, there: IntArray, given: dict[str, FloatArray]
    ) -> dict[str, FloatArray]:
        """Gradients by the objects from those by the columns of `clusters`.

        Labels are held. Shares change with the objects and with the centers, which change with the
        objects as `Clustering.vjp` says. Objects in clusters whose weights sum to 0 get 0.
        """
        catalog, c = self.catalog, self.fit.n_clusters
        names = AXES[catalog.geometry]
        place = np.zeros((2, c))
        place[:, there] = [given[name] for name in names]
        shear, weight = np.zeros((2, c)), np.zeros(c)
        w, g = clusters.w, _parts(clusters.e)
        given_g = np.stack([given["g1"], given["g2"]])
        shear[:, there] = given_g / w
        weight[there] = given["w"] - (g * given_g).sum(axis=0) / w
        out = {name: np.zeros(len(catalog)) for name in (*names, "g1", "g2", "w")}
        if self.labels is not None:
            self._pull_means(out, clusters, there, place)
        moved, of_objects = np.zeros((c, 3)), _parts(catalog.e)
        for rows, index, share in self._blocks():
            e = of_objects[:, rows, None]
            of_share = weight[index] + (shear[:, index] * e).sum(axis=0)
            out["w"][rows] += (share * of_share).sum(axis=1)
            for name, part in zip(("g1", "g2"), shear, strict=True):
                out[name][rows] += catalog.w[rows] * (share * part[index]).sum(axis=1)
            if self.labels is None:
                of_share *= catalog.w[rows, None]
                self._pull_shares(out, moved, rows, index, share, of_share)
        if self.labels is None:
            cotangent = place + self._of_vectors(self.fit, moved)
            back = self.fit.vjp(catalog, cotangent.T)
            for name, part in back.items():
                out[name] += part
        return out

    def _pull_means(
        self, out: dict[str, Any], clusters: Catalog, there: IntArray, place: FloatArray
    ) -> None:
        """Through the weighted means of places."""
        catalog, labels = self.catalog, self.labels
        assert labels is not None
        first, second = AXES[catalog.geometry]
        number = np.full(self.fit.n_clusters, -1)
        number[there] = np.arange(len(there))
        group = number[labels]
        inside = group >= 0
        share = np.where(inside, catalog.w / clusters.w[group], 0.0)
        if catalog.geometry == FLAT:
            for name, part in zip((first, second), place, strict=True):
                out[name] += share * part[labels]
                apart = getattr(catalog, name) - getattr(clusters, name)[group]
                out["w"] += np.where(inside, part[labels] * apart / clusters.w[group], 0.0)
            return
        # Along the sum of vectors, whose length the mean is divided by.
        x = np.stack([
            np.bincount(group[inside], (catalog.w * column)[inside], minlength=len(there))
            for column in catalog.xyz.T
        ])  # fmt: skip
        length = np.linalg.norm(x, axis=0)
        vectors = _vectors(clusters, place[:, there]) / length[:, None]
        along = np.where(inside[:, None], vectors[group], 0.0)
        out["w"] += (along * catalog.xyz).sum(axis=1)
        one, two = self._of_vectors(catalog, catalog.w[:, None] * along)
        out[first] += one
        out[second] += two

    def _pull_shares(
        self,
        out: dict[str, Any],
        moved: FloatArray,
        rows: slice,
        index: IntArray,
        share: FloatArray,
        of_share: FloatArray,
    ) -> None:
        """Through the distances that the shares are powers of."""
        at, centers = self.catalog.xyz[rows], self.fit.xyz
        apart = at[:, None] - centers[index]
        squares = (apart**2).sum(axis=2)
        q = 1 / (self.fit.options.fuzziness - 1)
        mean = (share * of_share).sum(axis=1, keepdims=True)
        # An object on a center has all of its shares there, and their slope is 0.
        slope = np.divide(
            -2 * q * share * (of_share - mean), squares, out=np.zeros_like(squares),
            where=squares > 0,
        )  # fmt: skip
        apart *= slope[:, :, None]
        flat = index.ravel()
        for d in range(3):
            moved[:, d] -= np.bincount(flat, apart[:, :, d].ravel(), minlength=len(moved))
        one, two = self._of_vectors(self.catalog, apart.sum(axis=1), rows)
        first, second = AXES[self.catalog.geometry]
        out[first][rows] += one
        out[second][rows] += two

    def _of_vectors(
        self, whose: Catalog | Clustering, vectors: FloatArray, rows: slice = slice(None)
    ) -> FloatArray:
        """Gradients (2, N) by coordinates, from those by the places `xyz`, (N, 3)."""
        if self.catalog.geometry == FLAT:
            return np.asarray(vectors[:, :2].T * to_plane(str(whose.xy_unit)))
        east, north, across = _frame(whose.ra[rows], whose.dec[rows])
        return _DEGREE * np.stack([across * (vectors * east).sum(1), (vectors * north).sum(1)])


def _parts(e: npt.NDArray[np.complex128]) -> FloatArray:
    return np.stack([e.real, e.imag])


def _frame(ra: FloatArray, dec: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Unit vectors to the east and to the north, (N, 3), and the cosine of the declination."""
    a, d = np.radians(ra), np.radians(dec)
    east = np.stack([-np.sin(a), np.cos(a), np.zeros_like(a)], axis=1)
    north = np.stack([-np.sin(d) * np.cos(a), -np.sin(d) * np.sin(a), np.cos(d)], axis=1)
    return east, north, np.cos(d)


def _vectors(clusters: Catalog, place: FloatArray) -> FloatArray:
    """Gradients by unit vectors, (c, 3), from those by right ascension and declination."""
    east, north, across = _frame(clusters.ra, clusters.dec)
    round_ = np.divide(place[0], across, out=np.zeros_like(across), where=across > 0)
    return (round_[:, None] * east + place[1][:, None] * north) / _DEGREE
