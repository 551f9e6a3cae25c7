"""Pairs of galaxies in triaxial halos: of one halo by a table, of two by places in each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import qmc

from pysoftcorr.core.random import stream
from pysoftcorr.mocks import checks
from pysoftcorr.mocks.satellites import directions, nfw_radius
from pysoftcorr.mocks.shapes import Shapes, shapes_of
from pysoftcorr.mocks.tabulated.ellipsoid_table import EllipsoidTable
from pysoftcorr.mocks.tabulated.nfw import TERMS, OneHalo
from pysoftcorr.mocks.tabulated.pair_sums import Places
from pysoftcorr.mocks.tabulated.places import place_numbers

__all__ = ["EllipsoidPlaces", "ellipsoid_forms", "of_sample"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

#: Least and most places in a halo, both powers of two.
_FEWEST, _MOST = 2, 4096
#: From so many on, places are reflected at all three planes of the ellipsoid.
_OCTANTS = 8
#: Most shapes of a halo for which they are drawn.
_SHAPES = 64
#: Halos of a cell that are gone through within one halo; the others are like these.
_ENOUGH = 1000
_CHUNK = 20_000
#: Halos of a cell that each take one of the points of the table about them; of fewer, all points.
_ROUNDED = 256
#: Multiples of it are in no order.
_GOLDEN = 0.6180339887498949


@dataclass(frozen=True, eq=False)
class EllipsoidPlaces:
    """Places of satellites in the ellipsoids of halos, and where they would be in spheres.

    Attributes
    ----------
    host : ndarray, shape (P,)
        Rows of halos, rising.
    weight : ndarray, shape (P,)
        They add up to 1 in each halo.
    sphere, ellipsoid : ndarray, shape (P, 3)
        From the center of the halo, Mpc/h.
    shape_host, shape_weight : ndarray, shape (S,)
        Halos of the shapes, of which there are several where they are drawn.
    b_to_a, c_to_a : ndarray, shape (S,)
    """

    host: IntArray
    weight: FloatArray
    sphere: FloatArray
    ellipsoid: FloatArray
    shape_host: IntArray
    shape_weight: FloatArray
    b_to_a: FloatArray
    c_to_a: FloatArray

    @classmethod
    def of(cls, halos: Any, places: int, seed: int = 0) -> EllipsoidPlaces:
        """Places in all halos, of which each has `places` on average, in proportion to mass.

        They are even in the enclosed mass and over directions (a Sobol sequence, of which each
        halo has a block), with their mirror images about the center or all planes of the halo.
        """
        number = place_numbers(halos.mass, places, _FEWEST, _MOST)
        images = np.where(number < _OCTANTS, 2, 8)
        base = number // images
        # A block of a power of two, at a multiple of it, is even by itself.
        order = np.argsort(-base, kind="stable")
        host = np.repeat(order, base[order])
        which = np.arange(host.size) - np.repeat(np.cumsum(base[order]) - base[order], base[order])
        engine = qmc.Sobol(3, scramble=True, seed=stream(seed, "places in ellipsoids"))
        u = engine.random_base2(max(int(host.size - 1).bit_length(), 1))[: host.size]
        sphere = (
            directions(u[:, 1], u[:, 2]) * nfw_radius(u[:, 0], halos.concentration[host])[:, None]
        )
        shapes = _drawn(halos, host, which, seed)
        times = images[host]
        first = np.repeat(np.arange(host.size), times)
        image = np.arange(first.size) - np.repeat(np.cumsum(times) - times, times)
        mirror = 1.0 - 2.0 * ((image[:, None] >> np.arange(3)) & 1)
        mirror[times[first] == 2] = (1.0 - 2.0 * image[times[first] == 2])[:, None]
        scaled = sphere[first] * mirror * halos.radius[host[first], None]
        shapes = Shapes(*(values[first] for values in shapes))
        away = shapes.stretched(scaled)
        round_ = np.einsum("ni,nij->nj", scaled, shapes.frame)
        rows = host[first]
        by_host = np.argsort(rows, kind="stable")
        some = (which < _SHAPES) if _is_drawn(halos) else (which == 0)
        of_shape, kept = host[some], np.flatnonzero(some)
        weight = 1.0 / np.bincount(of_shape, minlength=len(number))[of_shape]
        chosen = np.searchsorted(first, kept)  # the first image of each
        return cls(
            rows[by_host], (1.0 / number[rows])[by_host], round_[by_host], away[by_host],
            of_shape, weight, shapes.b_to_a[chosen], shapes.c_to_a[chosen],
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.host)

    def pairs_within(
        self, halos: Any, cell: IntArray, cells: int, edges: FloatArray,
        label: IntArray | None = None, labels: int = 1,
    ) -> tuple[FloatArray, FloatArray]:  # fmt: skip
        """Sums over pairs within halos of each part and cell of mass, and how many halos these are.

        Of the many halos of a cell they are some, see `of_sample`.

        Parameters
        ----------
        halos : HaloCatalog
        cell : ndarray, shape (N,)
        cells : int
            Number of cells.
        edges : ndarray, shape (b + 1,)
            Mpc/h.
        label : ndarray, shape (N,), optional
            Part of the halos that each belongs to, of `labels` that are summed apart.

        Returns
        -------
        sums : ndarray, shape (labels, cells, 5, b)
            As `ellipsoid_cumulatives`.
        halos : ndarray, shape (labels, cells)
        """
        # Of many halos of a cell some are enough.
        order = np.lexsort((self.shape_host * _GOLDEN % 1, cell[self.shape_host]))
        of_cell = cell[self.shape_host[order]]
        start = np.searchsorted(of_cell, of_cell)
        kept = np.sort(order[np.arange(order.size) - start < _ENOUGH])
        host, weight = self.shape_host[kept], self.shape_weight[kept]
        key = cell if label is None else label * cells + cell
        there = np.bincount(key[host], weights=weight, minlength=labels * cells)
        shape = self.b_to_a[kept], self.c_to_a[kept]
        table = EllipsoidTable.of(
            halos.concentration[host], halos.radius[host], *shape, float(edges[edges > 0][0])
        )
        bins = edges.size - 1
        sums = np.zeros((labels * cells, 5, bins))
        many = np.bincount(cell[host], minlength=cells)[cell[host]] >= _ROUNDED
        for rounded in (False, True):
            rows_of = np.flatnonzero(many == rounded)
            # In each cell a run of the even sequence.
            rows_of = rows_of[np.argsort(cell[host[rows_of]], kind="stable")]
            for k in range(0, rows_of.size, _CHUNK):
                some = rows_of[k : k + _CHUNK]
                rows = host[some]
                found = table.within(
                    halos.concentration[rows], shape[0][some], shape[1][some],
                    edges / halos.radius[rows, None], first=k if rounded else None,
                )  # fmt: skip
                found = np.diff(found, axis=1) * weight[some, None, None]
                place, of = np.unique(key[rows], return_inverse=True)
                for term in range(5):
                    for b in range(bins):
                        sums[place, term, b] += np.bincount(of, weights=found[:, b, term])
        return sums.reshape(labels, cells, 5, bins), np.array(there, float).reshape(labels, cells)

    def both(self, halos: Any, below: IntArray, part: FloatArray, nodes: int) -> Iterator[Places]:
        """Centers and satellites, of 2 `nodes` kinds: in ellipsoids, and in spheres.

        Parameters
        ----------
        below, part : ndarray, shape (N,)
            Node below each halo, and the part of the node above.
        """
        for offset in (self.ellipsoid, self.sphere):
            yield Places.of(
                halos, below, part, self.host, below[self.host] + nodes, part[self.host],
                self.weight, offset,
            )  # fmt: skip

    def two_halo(
        self, halos: Any, below: IntArray, part: FloatArray, nodes: int, edges: FloatArray,
        progress: str | None,
    ) -> FloatArray:  # fmt: skip
        """What ellipsoids add to the forms `TERMS` of spheres, shape (10, K, K, b).

        The same places are taken in both, so that hardly any of their noise is left.
        """
        sides = checks.box_sides(halos.boxsize)
        ellipsoid, sphere = (
            places.moments(2 * nodes, sides, edges, progress)
            for places in self.both(halos, below, part, nodes)
        )
        return ellipsoid_forms(ellipsoid - sphere)


def ellipsoid_forms(d: FloatArray) -> FloatArray:
    """Forms `TERMS` of centers and satellites, (10, K, K, b), by their moments (2 K, 2 K, b, 3)."""
    nodes, bins = len(d) // 2, d.shape[2]
    c, s = slice(0, nodes), slice(nodes, None)
    term = {name: np.zeros((nodes, nodes, bins)) for name in TERMS}
    term["n_cs"], term["ac_cs"], term["h_cs"] = np.moveaxis(d[c, s], 3, 0)
    term["as_cs"] = d[s, c, :, 1].transpose(1, 0, 2)
    term["n_ss"], term["a_ss"], term["h_ss"] = np.moveaxis(d[s, s], 3, 0)
    return np.stack([term[name] for name in TERMS])


def of_sample(sums: FloatArray, there: FloatArray, number: FloatArray) -> OneHalo:
    """Pairs within the `number` of halos of each cell, by sums (cells, 5, b) over some of them."""
    scaled = sums * (number / np.maximum(there, 1e-300))[:, None, None]
    central, axis, pairs, along, axes = (scaled[:, term].copy() for term in range(5))
    return OneHalo(central, axis, axis.copy(), pairs, along, axes)


def _is_drawn(halos: Any) -> bool:
    return any(getattr(halos, name, None) is None for name in ("b_to_a", "c_to_a", "minor_axis"))


def _drawn(halos: Any, host: IntArray, which: IntArray, seed: int) -> Shapes:
    """Shapes of halos, drawn anew for each of their places where the catalog lacks them."""
    if not _is_drawn(halos):
        return shapes_of(halos, host, seed)
    frame, b_to_a, c_to_a = np.empty((host.size, 3, 3)), np.empty(host.size), np.empty(host.size)
    which = which % _SHAPES
    order = np.argsort(which, kind="stable")
    for draw, rows in enumerate(np.split(order, np.flatnonzero(np.diff(which[order])) + 1)):
        found = shapes_of(halos, host[rows], seed + draw)
        frame[rows], b_to_a[rows], c_to_a[rows] = found
    return Shapes(frame, b_to_a, c_to_a)
