"""Tables of the halos of one or several boxes, made with the same nodes and bins."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from pysoftcorr.core.farm.blocks import farm_of
from pysoftcorr.core.farm.connection import check_workers
from pysoftcorr.core.options import choice, flag, integer
from pysoftcorr.mocks.box import radial_edges
from pysoftcorr.mocks.hod import check_halos
from pysoftcorr.mocks.satellites import SATELLITES, check_places
from pysoftcorr.mocks.tabulated.assembly import check_assembly
from pysoftcorr.mocks.tabulated.box import BoxTables, Grid, Tabulation
from pysoftcorr.mocks.tabulated.cut_box import CutBox
from pysoftcorr.mocks.tabulated.ellipsoids import EllipsoidPlaces
from pysoftcorr.mocks.tabulated.listed_sites import place_listed_sites
from pysoftcorr.mocks.tabulated.nodes import choose_nodes
from pysoftcorr.mocks.tabulated.projected import Projection
from pysoftcorr.mocks.tabulated.sites import Sites, place_sites
from pysoftcorr.mocks.tabulated.subhalo_sums import SubhaloPlaces
from pysoftcorr.sky.binning import Bins

__all__ = ["TabulatedBoxes", "tabulated_boxes"]

FloatArray = npt.NDArray[np.float64]

#: Products of matrices would have other last bits for another number of threads.
_steady = threadpool_limits.wrap(limits=1, user_api="blas")

_PLACES: dict[str, type[EllipsoidPlaces] | type[SubhaloPlaces]] = {
    "triaxial": EllipsoidPlaces, "subhalos": SubhaloPlaces
}  # fmt: skip


class TabulatedBoxes(NamedTuple):
    """Boxes that were tabulated together.

    Attributes
    ----------
    nodes : ndarray, shape (K,)
        log10 masses (Msun/h).
    edges : ndarray, shape (b + 1,)
        Mpc/h.
    boxes : list of BoxTables
    projection : Projection, optional
    record : dict
        Cosmology and the record of the halos.
    """

    nodes: FloatArray
    edges: FloatArray
    boxes: list[BoxTables]
    projection: Projection | None
    record: dict[str, Any]


@_steady
def tabulated_boxes(
    halos: Any,
    *,
    bins: Bins | None,
    rp_bins: Bins | None,
    pi_max: float | None,
    line_of_sight: str,
    satellites: str,
    nodes: int | npt.ArrayLike,
    concentration_groups: int,
    assembly_split: float | None,
    places: int,
    sites: int,
    subvolumes: int,
    progress: bool,
    scheduler: str | None,
    workers: int | None,
) -> TabulatedBoxes:
    """Boxes by the options of `HaloTables.tabulate`, which says what is raised."""
    choice("satellites", satellites, SATELLITES)
    flag("progress", progress)
    integer("sites", sites, least=0)
    workers = check_workers(scheduler, workers)
    if integer("subvolumes", subvolumes, least=0, most=10) == 1:
        raise ValueError("subvolumes = 1: must be 0, or 2 and more along a side")
    catalogs = [halos] if hasattr(halos, "position") else _listed(halos)
    # Each halo has two: of no more, none would be left for the heavy ones.
    integer("places", places, least=3, most=1000)
    for one in catalogs:
        check_halos(one)
        check_places(one, satellites)
    if len({json.dumps(_cosmology(one), sort_keys=True) for one in catalogs}) > 1:
        raise ValueError("halos: boxes of different cosmologies; tabulate each by itself")
    edges = radial_edges(bins)
    chosen = choose_nodes(np.concatenate([np.log10(one.mass) for one in catalogs]), nodes)
    radii = [float(f(one.radius)) for one in catalogs for f in (np.min, np.max)]
    groups = integer("concentration_groups", concentration_groups, least=1, most=20)
    if satellites == "subhalos" and groups > 1:
        raise ValueError(
            f"concentration_groups = {groups}: must be 1, since satellites on subhalos follow "
            "no profile"
        )
    projection = Projection.of(rp_bins, pi_max, line_of_sight)
    if satellites != "nfw":
        for name, given in (("rp_bins", rp_bins), ("assembly_split", assembly_split)):
            if given is not None:
                raise ValueError(
                    f"satellites = {satellites!r}: must be 'nfw' with {name}, of which tables "
                    "know satellites in spheres alone"
                )
    if assembly_split is not None:
        sites = 0
        check_assembly(assembly_split, groups, subvolumes)
    grid = Grid(chosen, edges, min(radii), max(radii), groups, projection, assembly_split)
    needed = grid.gigabytes
    where = [
        None if satellites == "nfw" else _PLACES[satellites].of(one, places, k)
        for k, one in enumerate(catalogs)
    ]
    span = (float(chosen.logm[0]), float(chosen.logm[-1]))
    jobs = _Jobs()
    for k, one in enumerate(catalogs):
        jobs.add("whole", k, partial(Tabulation, grid, one, where[k]))
        if sites:
            each = max(sites // len(catalogs), 100)
            jobs.add("sites", k, partial(_SiteJob, one, span, grid, each, k, satellites))
        if subvolumes:
            # Differences between parts are those of ellipsoids, for satellites on subhalos too.
            cut = where[k]
            if isinstance(cut, SubhaloPlaces):
                check_places(one, "triaxial")
                cut = EllipsoidPlaces.of(one, places, k)
            parts = CutBox(one, subvolumes, grid, cut)
            needed = max(needed, parts.gigabytes)
            jobs.add("subvolumes", k, partial(_given, parts.tabulate))
    title = f"halo pairs ({needed:.1f} GB)" if progress else None
    with farm_of("HaloTables.tabulate", scheduler, workers) as farm:
        if farm is None:
            found = [job(title) for job in jobs]
        else:
            # A catalog goes with the work on it alone: that on other boxes does without.
            found = farm.map(_untitled, (), jobs, title=title, large=True)
    there: dict[tuple[str, int], list[Any]] = {}
    for of, made in zip(jobs.of, found, strict=True):
        there.setdefault(of, []).append(made)
    boxes = []
    for k in range(len(catalogs)):
        (box,) = there["whole", k]
        for drawn in there.get(("sites", k), []):
            box = replace(box, sites=drawn)
        for left in there.get(("subvolumes", k), []):
            box = replace(box, subvolumes=left)
        boxes.append(box)
    record = {"cosmology": _cosmology(catalogs[0]), "meta": getattr(catalogs[0], "meta", {})}
    return TabulatedBoxes(chosen.logm, edges, boxes, projection, record)


@dataclass(frozen=True)
class _SiteJob:
    """The sites of one box."""

    halos: Any
    span: tuple[float, float]
    grid: Grid
    number: int
    seed: int
    satellites: str

    def __call__(self, title: str | None) -> Sites:
        grid = self.grid
        if self.satellites == "subhalos":
            return place_listed_sites(
                self.halos, self.span, grid.edges, grid.steps, grid.kernels, self.number, self.seed
            )
        return place_sites(
            self.halos, self.span, grid.edges, grid.steps, grid.kernels, self.number, self.seed,
            self.satellites,
        )  # fmt: skip


class _Jobs(Sequence[Any]):
    """What is to be made, each job brought forth when its turn comes, with its part of the halos.

    Attributes
    ----------
    of : list of (str, int)
        What a job makes, and of which box.
    """

    def __init__(self) -> None:
        self.of: list[tuple[str, int]] = []
        self._makers: list[Callable[[], Callable[[str | None], Any]]] = []

    def add(self, what: str, box: int, maker: Callable[[], Callable[[str | None], Any]]) -> None:
        """One more; the maker gives a function of the title of a progress bar."""
        self.of.append((what, box))
        self._makers.append(maker)

    def __len__(self) -> int:
        return len(self.of)

    def __getitem__(self, k: Any) -> Any:
        return self._makers[k]()


def _given(job: Callable[[str | None], Any]) -> Callable[[str | None], Any]:
    return job


@_steady
def _untitled(job: Callable[[str | None], Any]) -> Any:
    """A job in a worker."""
    return job(None)


def _listed(halos: Any) -> list[Any]:
    try:
        found = list(halos)
    except TypeError:
        found = []
    if not found:
        raise TypeError(
            f"halos must be a HaloCatalog or a list of them, not {type(halos).__name__}"
        )
    return found


def _cosmology(halos: Any) -> Any:
    return getattr(halos, "cosmology", None)
