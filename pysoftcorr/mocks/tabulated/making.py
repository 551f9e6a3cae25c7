"""Tables of the halos of one or several boxes, made with the same nodes and bins."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pysoftcorr.core.options import choice, flag, integer
from pysoftcorr.mocks.box import radial_edges
from pysoftcorr.mocks.hod import check_halos
from pysoftcorr.mocks.satellites import SATELLITES, check_places
from pysoftcorr.mocks.tabulated.assembly import check_assembly
from pysoftcorr.mocks.tabulated.box import BoxTables, Grid
from pysoftcorr.mocks.tabulated.cosmic import cut_box
from pysoftcorr.mocks.tabulated.ellipsoids import EllipsoidPlaces
from pysoftcorr.mocks.tabulated.nodes import choose_nodes
from pysoftcorr.mocks.tabulated.projected import Projection
from pysoftcorr.mocks.tabulated.sites import place_sites
from pysoftcorr.mocks.tabulated.subhalo_sums import SubhaloPlaces
from pysoftcorr.sky.binning import Bins

__all__ = ["TabulatedBoxes", "tabulated_boxes"]

FloatArray = npt.NDArray[np.float64]

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
) -> TabulatedBoxes:
    """Boxes by the options of `HaloTables.tabulate`, which says what is raised."""
    choice("satellites", satellites, SATELLITES)
    flag("progress", progress)
    integer("sites", sites, least=0)
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
    title = f"halo pairs ({grid.gigabytes:.1f} GB)" if progress else None
    where = [
        None if satellites == "nfw" else _PLACES[satellites].of(one, places, k)
        for k, one in enumerate(catalogs)
    ]
    boxes = [grid.tabulate(one, title, w) for one, w in zip(catalogs, where, strict=True)]
    span = (float(chosen.logm[0]), float(chosen.logm[-1]))
    for k, one in enumerate(catalogs):
        # Of subhalos the ranks taken depend on one another: no sum over independent galaxies.
        if sites and satellites != "subhalos":
            drawn = place_sites(
                one, span, edges, grid.steps, grid.kernels,
                max(sites // len(catalogs), 100), k, satellites,
            )  # fmt: skip
            boxes[k] = replace(boxes[k], sites=drawn)
        if subvolumes:
            # Differences between parts are those of ellipsoids, for satellites on subhalos too.
            cut = where[k]
            if isinstance(cut, SubhaloPlaces):
                check_places(one, "triaxial")
                cut = EllipsoidPlaces.of(one, places, k)
            extremes = (min(radii), max(radii))
            parts = cut_box(one, subvolumes, span, edges, extremes, title, cut)
            boxes[k] = replace(boxes[k], subvolumes=parts)
    record = {"cosmology": _cosmology(catalogs[0]), "meta": getattr(catalogs[0], "meta", {})}
    return TabulatedBoxes(chosen.logm, edges, boxes, projection, record)


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
