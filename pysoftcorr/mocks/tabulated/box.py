"""Tables of one box: sums over its halos and pairs of halos."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr.core.files import fingerprint
from pysoftcorr.mocks import checks
from pysoftcorr.mocks.assembly import concentrated
from pysoftcorr.mocks.checks import BoxSize
from pysoftcorr.mocks.tabulated.ellipsoids import EllipsoidPlaces, of_sample
from pysoftcorr.mocks.tabulated.nfw import one_halo, profiles, two_halo
from pysoftcorr.mocks.tabulated.nodes import Cells, MassNodes
from pysoftcorr.mocks.tabulated.pair_sums import halo_moments
from pysoftcorr.mocks.tabulated.projected import ProjectedBox, Projection, SkyGrid
from pysoftcorr.mocks.tabulated.ranks import RankKinds, RankSlots
from pysoftcorr.mocks.tabulated.shells import HaloPairKernels, separation_steps
from pysoftcorr.mocks.tabulated.sites import Sites
from pysoftcorr.mocks.tabulated.subhalo_sums import SubhaloPlaces

__all__ = ["LARGEST", "BoxTables", "Grid", "Subvolumes", "Tabulation"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

#: Most GB that the moments of halo pairs may take, of nodes x nodes x steps.
LARGEST = 8.0
#: Of the lesser of the first edge and the smallest radius: shells of satellites begin here.
_CENTER = 0.02


@dataclass(frozen=True, eq=False)
class BoxTables:
    """Sums over the halos of one box.

    Where halos are kept apart by concentration (`assembly_split`), cells and nodes are those of the
    less concentrated halos, then those of the others: 2 K stands for K.

    Attributes
    ----------
    count, logm : ndarray, shape (cells,)
        Halos in each cell of mass, and their mean log10 mass (Msun/h).
    one_halo : ndarray, shape (6, cells, b)
        As `pysoftcorr.mocks.tabulated.nfw.OneHalo`.
    forms : ndarray, shape (10, K, K, b)
        As `pysoftcorr.mocks.tabulated.nfw.TERMS`.
    boxsize : float or tuple of three
        Side of a cube, or three sides, Mpc/h.
    fingerprint : str
        Hash of the halos.
    kinds : RankKinds, optional
        Kinds of places of satellites on subhalos; `forms` are then number, and sums of the axis of
        the first and of both, (3, kinds, kinds, b).
    slots : RankSlots, optional
        Pairs within halos of satellites on subhalos; `one_halo` is then empty.
    sites : Sites, optional
        What the covariance of galaxies given the halos needs.
    subvolumes : Subvolumes, optional
        What the cosmic covariance of one box needs.
    projected : ProjectedBox, optional
        The sums in bins of rp.
    """

    count: FloatArray
    logm: FloatArray
    one_halo: FloatArray
    forms: FloatArray
    boxsize: BoxSize
    fingerprint: str
    kinds: RankKinds | None = None
    slots: RankSlots | None = None
    sites: Sites | None = None
    subvolumes: Subvolumes | None = None
    projected: ProjectedBox | None = None

    @property
    def halos(self) -> int:
        """Number of halos."""
        return round(float(self.count.sum()))

    @property
    def volume(self) -> float:
        """(Mpc/h)^3."""
        return checks.volume(self.boxsize)


@dataclass(frozen=True, eq=False)
class Subvolumes:
    """Tables of a box without each of its sub-volumes.

    Attributes
    ----------
    number : int
        Along a side.
    nodes : ndarray, shape (K,)
        log10 masses of their nodes.
    left : tuple of BoxTables
        What is left without each of them.
    """

    number: int
    nodes: FloatArray
    left: tuple[BoxTables, ...]


class Grid:
    """What the tables of several boxes share: nodes, bins, and steps of separation.

    Parameters
    ----------
    nodes : MassNodes
    edges : ndarray, shape (b + 1,)
        Mpc/h.
    least, most : float
        Radii of the smallest and of the largest halo, Mpc/h.
    groups : int
        Groups of concentration.
    projection : Projection, optional
        Bins of rp and what belongs to them.
    assembly_split : float, optional
        Keep halos apart that are more and less concentrated than this part of those of their mass.
    """

    def __init__(
        self, nodes: MassNodes, edges: FloatArray, least: float, most: float, groups: int = 1,
        projection: Projection | None = None, assembly_split: float | None = None,
    ) -> None:  # fmt: skip
        self.nodes, self.edges, self.assembly_split = nodes, edges, assembly_split
        self.groups = groups if assembly_split is None else 2
        self.reach = 2 * most * (1 + 1e-6)
        self.steps = separation_steps(edges, self.reach)
        first = float(edges[edges > 0][0])
        center = _CENTER * min(first, least)
        self.kernels = HaloPairKernels.of(edges, self.steps, center, self.reach)
        self.sky: SkyGrid | None = None
        if projection is not None:
            self.sky = SkyGrid(projection, self.groups * len(nodes), least, most)

    def of_nodes(self, nodes: MassNodes) -> Grid:
        """Grid with other nodes for these bins and steps, without groups or projection."""
        other = copy(self)
        other.nodes, other.groups, other.sky, other.assembly_split = nodes, 1, None, None
        return other

    @property
    def gigabytes(self) -> float:
        """GB that the moments of pairs take: twice the table, and the chunks of a pass."""
        plain = 2 * 24e-9 * (self.groups * len(self.nodes)) ** 2 * self.steps.size + 0.6
        return plain if self.sky is None else max(plain, self.sky.gigabytes)

    def check_reach(self, boxsize: BoxSize) -> None:
        """Raise ValueError where the box is too small for its halos and bins."""
        needed = float(self.edges[-1] + self.reach)
        shortest = float(checks.box_sides(boxsize).min())
        if needed > shortest / 2:
            raise ValueError(
                f"bins: pairs of halos are needed to {needed:.4g} Mpc/h, the last edge and twice "
                f"the largest halo radius, which must be at most half of the shortest side of the "
                f"box, {shortest / 2:g} Mpc/h; lower the last edge, or take a larger box"
            )

    def tabulate(
        self,
        halos: Any,
        progress: str | None,
        places: EllipsoidPlaces | SubhaloPlaces | None = None,
    ) -> BoxTables:
        """Tables of one box.

        Parameters
        ----------
        halos : HaloCatalog
        progress : str, optional
            Title of a progress bar.
        places : EllipsoidPlaces or SubhaloPlaces, optional
            Places of satellites in its halos; by default they are in spheres.

        Raises
        ------
        ValueError
            If the box is too small for its halos and bins, or memory for the nodes.
        """
        self.check_reach(halos.boxsize)
        if self.gigabytes > LARGEST:
            raise ValueError(
                f"nodes: {len(self.nodes)} nodes, {self.groups} concentration_groups and "
                f"{self.steps.size} steps of separation take {self.gigabytes:.3g} GB, more than "
                f"{LARGEST:g}; take fewer"
            )
        logm = np.log10(halos.mass)
        cells = self.nodes.cell(logm)
        below, part = self.nodes.place(logm)
        if isinstance(places, SubhaloPlaces):
            return self._on_subhalos(halos, cells, below, part, places, progress)
        # Each group has nodes of its own in the pass, and is added up after the convolution, or
        # kept apart, with cells of its own.
        if self.assembly_split is None:
            group = concentration_rank(below, halos, self.groups)
            number = self.nodes.cells
        else:
            upper = concentrated(halos.mass, halos.concentration, self.assembly_split)
            group, number = upper.astype(np.int64), 2 * self.nodes.cells
            cells = self.nodes.cell(logm, group, 2)
        kind = below + len(self.nodes) * group
        kinds = self.groups * len(self.nodes)
        moments = halo_moments(
            halos.position, halos.axis, kind, part, kinds, checks.box_sides(halos.boxsize),
            self.steps, progress,
        )  # fmt: skip
        profile = profiles(halos, kind, part, kinds, self.kernels.shells)
        forms = two_halo(profile, moments, self.edges, self.steps, self.kernels)
        forms = self._of_all_groups(forms)
        if places is None:
            one = one_halo(halos, cells.of_halo, number, self.edges)
        else:
            (sums,), (some,) = places.pairs_within(halos, cells.of_halo, number, self.edges)
            one = of_sample(sums, some, cells.number)
            forms += places.two_halo(halos, below, part, len(self.nodes), self.edges, progress)
        projected = None
        if self.sky is not None:
            projected = self.sky.tabulate(halos, kind, part, cells.of_halo, number, progress)
            projected = replace(projected, forms=self._of_all_groups(projected.forms))
        return BoxTables(
            cells.number, cells.logm, np.stack(one), forms,
            checks.box_size(halos.boxsize), _fingerprint(halos), projected=projected,
        )  # fmt: skip

    def _on_subhalos(
        self, halos: Any, cells: Cells, below: IntArray, part: FloatArray, places: SubhaloPlaces,
        progress: str | None,
    ) -> BoxTables:  # fmt: skip
        kinds = places.kinds(below, len(self.nodes))
        bins = self.edges.size - 1
        size = 2 * 24e-9 * kinds.number**2 * bins + 0.6
        if size > LARGEST:
            raise ValueError(
                f"nodes: {len(self.nodes)} nodes and {kinds.number} kinds of places on subhalos "
                f"take {size:.3g} GB, more than {LARGEST:g}; take fewer"
            )
        forms = places.two_halo(halos, below, part, kinds, self.edges, progress)
        slots = places.one_halo(halos, cells.of_halo, self.nodes.cells, self.edges)
        return BoxTables(
            cells.number, cells.logm, np.zeros((6, 0, bins)), forms, checks.box_size(halos.boxsize),
            _fingerprint(halos), kinds, slots,
        )  # fmt: skip

    def _of_all_groups(self, forms: FloatArray) -> FloatArray:
        """Sum over the groups of both halos of a pair, unless they are kept apart."""
        if self.assembly_split is not None:
            return forms
        shape = (len(forms), self.groups, len(self.nodes), self.groups, len(self.nodes), -1)
        return np.asarray(forms.reshape(shape).sum(axis=(1, 3)))


@dataclass(frozen=True, eq=False)
class Tabulation:
    """Tables to be made of one box, by a call with the title of a progress bar, or None.

    Attributes
    ----------
    grid : Grid
    halos : HaloCatalog
    places : EllipsoidPlaces or SubhaloPlaces, optional
        As in `Grid.tabulate`.
    """

    grid: Grid
    halos: Any
    places: EllipsoidPlaces | SubhaloPlaces | None = None

    def __call__(self, title: str | None) -> BoxTables:
        """`Grid.tabulate`."""
        return self.grid.tabulate(self.halos, title, self.places)


def concentration_rank(below: IntArray, halos: Any, groups: int) -> IntArray:
    """Group of each halo, from 0: by concentration, of equal numbers between two nodes."""
    order = np.lexsort((halos.concentration, below))
    number = np.bincount(below)
    first = np.cumsum(number) - number
    sorted_below = below[order]
    place = np.arange(order.size) - first[sorted_below]
    rank = np.empty(order.size, dtype=np.int64)
    rank[order] = place * groups // number[sorted_below]
    return rank


def _fingerprint(halos: Any) -> str:
    """Hash of the numbers that tables are made of."""
    return fingerprint(
        halos.position, halos.mass, halos.radius, halos.concentration, halos.axis,
        checks.box_sides(halos.boxsize),
    )  # fmt: skip
