"""A box without each of its sub-volumes in turn, of one pass over its pairs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise, product
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pysoftcorr.mocks import checks
from pysoftcorr.mocks.tabulated.box import LARGEST, BoxTables, Grid, Subvolumes
from pysoftcorr.mocks.tabulated.ellipsoids import EllipsoidPlaces, ellipsoid_forms, of_sample
from pysoftcorr.mocks.tabulated.nfw import OneHalo, one_halo, profile_sums, two_halo
from pysoftcorr.mocks.tabulated.nodes import MassNodes
from pysoftcorr.mocks.tabulated.pair_sums import Places, halo_moments

__all__ = ["CutBox"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

#: Nodes of mass of what is left of a box: differences between such tables need no more.
_NODES = 16
#: Parts whose pairs are kept apart at once, besides all others: memory goes with the square.
_AT_ONCE = 9


class CutBox:
    """A box from which one of number**3 sub-volumes is left out.

    What is left is the whole less the sums over what touches the part: halos in it, and pairs of
    which one or both are. All parts together take about two passes over the pairs.

    Parameters
    ----------
    halos : HaloCatalog
    number : int
        Along a side.
    grid : Grid
        Of the whole; fewer nodes are taken over the same masses.
    places : EllipsoidPlaces, optional
        Places of satellites in the halos; by default they are in spheres.

    Raises
    ------
    ValueError
        If a sub-volume is smaller than the bins, or holds all halos, or they need too much memory.
    """

    def __init__(
        self, halos: Any, number: int, grid: Grid, places: EllipsoidPlaces | None = None
    ) -> None:
        logm = grid.nodes.logm
        span = float(logm[0]), max(float(logm[-1]), float(logm[0]) + 0.01)
        self.grid = grid.of_nodes(MassNodes(np.linspace(*span, _NODES)))
        self.halos, self.number, self.places = halos, number, places
        self.sides = checks.box_sides(halos.boxsize)
        sides, last = self.sides / number, grid.edges[-1]
        if sides.min() < last:
            raise ValueError(
                f"subvolumes = {number}: parts of {sides.min():.4g} Mpc/h along a side are smaller "
                f"than the last edge, {last:g}; take fewer, a larger box, or lower the last edge"
            )
        if self.gigabytes > LARGEST:
            raise ValueError(
                f"subvolumes = {number}: sums of {len(self)} parts take {self.gigabytes:.3g} GB, "
                f"more than {LARGEST:g}; take fewer"
            )
        self.cell = np.minimum((halos.position / sides).astype(np.int64), number - 1)
        self.label = (self.cell[:, 0] * number + self.cell[:, 1]) * number + self.cell[:, 2]
        if (self.label == self.label[0]).all():
            raise ValueError(f"subvolumes = {number}: all halos are in one of them")

    def __len__(self) -> int:
        return self.number**3

    @property
    def gigabytes(self) -> float:
        """GB that the sums take: of the parts at once, and what is kept of each."""
        grid, bins = self.grid, self.grid.edges.size - 1
        at_once = 48e-9 * ((_AT_ONCE + 1) * _NODES) ** 2 * grid.steps.size
        moments = 24e-9 * _NODES**2 * (grid.steps.size + 8 * bins)
        tables = 8e-9 * bins * (10 * _NODES**2 + 12 * grid.nodes.cells)
        return at_once + len(self) * (moments + tables) + 0.6

    def tabulate(self, progress: str | None) -> Subvolumes:
        """Tables of what is left without each sub-volume.

        Parameters
        ----------
        progress : str, optional
            Title of a progress bar.
        """
        self.grid.check_reach(self.halos.boxsize)
        nodes, boxsize = self.grid.nodes, checks.box_size(self.halos.boxsize)
        cells = nodes.cell(np.log10(self.halos.mass), self.label, len(self))
        number, logm = (x.reshape(len(self), -1) for x in (cells.number, cells.logm))
        count, mass = _Sums.of(number), _Sums.of(number * logm)
        one = self._one_halo(cells.of_halo - nodes.cells * self.label)
        forms = self._two_halo(progress)

        def without(k: int) -> BoxTables:
            some = count.without(k)
            # Where nothing is left another part has none either, and the middle of the cell.
            mean = np.divide(mass.without(k), some, out=logm[k - 1].copy(), where=some > 0)
            mean = np.clip(mean, nodes.logm[0], nodes.logm[-1])
            return BoxTables(some, mean, np.stack(one(k, some)), forms(k), boxsize, "")

        there = number.sum(axis=1) > 0
        # Without a part that has no halos the whole is left.
        whole = None if there.all() else without(int(np.argmin(there)))
        left = [without(k) if there[k] or whole is None else whole for k in range(len(self))]
        return Subvolumes(self.number, nodes.logm, tuple(left))

    def _one_halo(self, cell: IntArray) -> Callable[[int, FloatArray], OneHalo]:
        """Pairs within halos, without part k; of how many of them in each cell, (cells,)."""
        cells, edges = self.grid.nodes.cells, self.grid.edges
        if self.places is not None:
            return self._one_halo_of_sample(self.places, cell)
        found = one_halo(self.halos, cell + cells * self.label, cells * len(self), edges)
        terms = [_Sums.of(x.reshape(len(self), cells, -1)) for x in found]
        return lambda k, _: OneHalo(*(term.without(k) for term in terms))

    def _one_halo_of_sample(
        self, places: EllipsoidPlaces, cell: IntArray
    ) -> Callable[[int, FloatArray], OneHalo]:
        found = places.pairs_within(
            self.halos, cell, self.grid.nodes.cells, self.grid.edges, self.label, len(self)
        )
        sums, there = (_Sums.of(x) for x in found)

        def without(k: int, number: FloatArray) -> OneHalo:
            left, values = there.without(k), sums.without(k)
            # Where all of a sample are of part k, the others are like them.
            none = left < 1e-9 * there.whole
            left[none], values[none] = there.whole[none], sums.whole[none]
            return of_sample(values, left, number)

        return without

    def _two_halo(self, progress: str | None) -> Callable[[int], FloatArray]:
        """Forms `TERMS` of pairs of different halos, without part k."""
        grid, halos, number = self.grid, self.halos, len(self.grid.nodes)
        below, part = grid.nodes.place(np.log10(halos.mass))

        def of_halos(rows: IntArray, kind: IntArray, kinds: int, _: BoolArray) -> FloatArray:
            return halo_moments(
                halos.position[rows], halos.axis[rows], kind, part[rows], kinds, self.sides,
                grid.steps, progress,
            )  # fmt: skip

        pairs = self._sums(
            of_halos, halos.position, self.cell, below, (number, grid.steps.size - 1),
            float(grid.steps[-1]),
        )  # fmt: skip
        apart = None
        if self.places is not None:
            away = max(float(np.abs(x).max()) for x in (self.places.ellipsoid, self.places.sphere))
            found, sphere = (
                self._sums(
                    partial(self._place_moments, places, progress), places.position,
                    self.cell[places.host], places.kind, (2 * number, grid.edges.size - 1),
                    float(grid.edges[-1]) + away,
                )
                for places in self.places.both(halos, below, part, number)
            )  # fmt: skip
            apart = found.less(sphere)
        in_nodes = profile_sums(
            halos, below + number * self.label, part, number * len(self), grid.kernels.shells
        )
        shells, total = (_Sums.of(x.reshape(len(self), number, -1)) for x in in_nodes)

        def without(k: int) -> FloatArray:
            left = total.without(k)
            some = left > 1e-9 * total.whole
            profile = np.where(some, shells.without(k) / np.where(some, left, 1.0), 0.0)
            forms = two_halo(profile, pairs.without(k), grid.edges, grid.steps, grid.kernels)
            return forms if apart is None else forms + ellipsoid_forms(apart.without(k))

        return without

    def _place_moments(
        self, places: Places, progress: str | None, rows: IntArray, kind: IntArray, kinds: int,
        aside: BoolArray,
    ) -> FloatArray:  # fmt: skip
        some = places.of_rows(rows)
        # Two that are in no part at work are no pair, as if they were of one halo.
        host = np.where(aside, len(self.label), some.host)
        some = replace(some, host=host, kind=kind)
        return some.moments(kinds, self.sides, self.grid.edges, progress)

    def _sums(
        self, moments: Callable[[IntArray, IntArray, int, BoolArray], FloatArray],
        position: FloatArray, cell: IntArray, kind: IntArray, size: tuple[int, int], reach: float,
    ) -> _Sums:  # fmt: skip
        """Moments of all ordered pairs, and of those that touch each part, (K, K, b, 3).

        Parameters
        ----------
        moments : callable
            Moments (k, k, b, 3) of pairs of some rows, of the kinds below them, of which there are
            k, and of which rows are in no part at work, whose pairs are not asked for.
        position : ndarray, shape (N, 3)
        cell : ndarray, shape (N, 3)
            Part of each row along each side.
        kind : ndarray, shape (N,)
            Kind below each row.
        size : tuple of int
            K and b.
        reach : float
            Pairs that are further apart along a side are none.
        """
        kinds, bins = size
        whole = np.zeros((kinds, kinds, bins, 3))
        touching = np.zeros((self.number,) * 3 + whole.shape)
        shape = self._block(reach)
        width, parts = shape * self.sides / self.number, int(shape.prod())
        for corner in product(*(range(0, self.number, step) for step in shape.tolist())):
            place = cell - corner
            inside = ((place >= 0) & (place < shape)).all(axis=1)
            if not inside.any():
                continue
            away = (position - np.array(corner) * self.sides / self.number) % self.sides
            near = ((away <= width + reach) | (away >= self.sides - reach)).all(axis=1)
            # A part each is a group of its own, and all others are the last one.
            group = np.where(inside, (place[:, 0] * shape[1] + place[:, 1]) * shape[2], parts)
            group[inside] += place[inside, 2]
            rows = np.flatnonzero(inside | near)
            below = kind[rows] + kinds * group[rows]
            used = np.union1d(below, below + 1)
            found = moments(rows, np.searchsorted(used, below), used.size, group[rows] == parts)
            first = np.searchsorted(used, kinds * np.arange(parts + 2))
            groups = [slice(a, b) for a, b in pairwise(first.tolist())]
            of = used % kinds
            for mine, at in zip(groups[:-1], np.ndindex(*shape.tolist()), strict=True):
                if mine.start == mine.stop:
                    continue
                touch = touching[tuple(np.add(corner, at))]
                for other in groups:
                    pair = np.ix_(of[mine], of[other])
                    whole[pair] += found[mine, other]
                    touch[pair] += found[mine, other]
                    if other != mine:
                        touch[np.ix_(of[other], of[mine])] += found[other, mine]
        return _Sums(whole, touching.reshape(len(self), *whole.shape))

    def _block(self, reach: float) -> IntArray:
        """Parts along each side that are taken at once: such that the fewest halos are near."""
        side = self.sides / self.number

        def near(shape: IntArray) -> float:
            blocks = np.ceil(self.number / shape)
            return float(np.prod(blocks * np.minimum(shape * side + 2 * reach, self.sides)))

        every = np.array(list(product(range(1, self.number + 1), repeat=3)))
        return min(every[every.prod(axis=1) <= _AT_ONCE], key=near)


class _Sums(NamedTuple):
    """Sums over a box, and over what touches each part of it, (parts, ...)."""

    whole: FloatArray
    touching: FloatArray

    @classmethod
    def of(cls, parts: FloatArray) -> _Sums:
        """Sums over objects, each of which is in one part."""
        return cls(parts.sum(axis=0), parts)

    def without(self, k: int) -> FloatArray:
        """Sums over what does not touch part k."""
        return np.asarray(self.whole - self.touching[k])

    def less(self, other: _Sums) -> _Sums:
        """Differences, in the memory of these."""
        np.subtract(self.touching, other.touching, out=self.touching)
        return _Sums(self.whole - other.whole, self.touching)
