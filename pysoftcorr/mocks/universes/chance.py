"""Covariance given the halos, of a universe of which light halos are a sample."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from pysoftcorr.mocks.halos import HaloCatalog
from pysoftcorr.mocks.tabulated.box import BoxTables, Grid
from pysoftcorr.mocks.tabulated.means import mean_numbers
from pysoftcorr.mocks.tabulated.nodes import MassNodes
from pysoftcorr.mocks.tabulated.sites import Sites, place_sites
from pysoftcorr.mocks.tabulated.tables import HaloTables

__all__ = ["ChanceTables", "whole_side"]

FloatArray = npt.NDArray[np.float64]

#: Side of the smaller box that has all halos, Mpc/h, and the least one in units of its last edge.
_SIDE, _REACHES = 125.0, 5.0
#: Part of the galaxies in light halos from which on the smaller box is asked.
_SHARE = 0.01


def whole_side(boxsize: float, edges: FloatArray) -> float:
    """Side of a box of all halos that is large enough for the surroundings of a galaxy, Mpc/h."""
    return float(min(boxsize, max(_SIDE, _REACHES * edges[-1])))


class ChanceTables:
    """Covariance of galaxies and axes given the halos of one universe.

    What a galaxy adds to the pairs counts squared. Where its neighbors in light halos are a sample
    that counts for all, their squares are too large: by 1/part where they are few. HODs that live
    in light halos are therefore asked at sites of a smaller box that has all of these, those of
    heavier halos at sites of the large box, which has more of the heaviest ones.

    Parameters
    ----------
    tables : HaloTables
        Of the universe, one box.
    halos : HaloCatalog
        Its halos.
    whole : HaloCatalog or None
        All halos of a smaller box of such a universe; None where `halos` are all.
    thinned : (float, float)
        Mass below which halos are a sample, Msun/h, and their part.
    sites : int
        As of `HaloTables.tabulate`, in each of the boxes.
    """

    def __init__(
        self, tables: HaloTables, halos: HaloCatalog, whole: HaloCatalog | None,
        thinned: tuple[float, float], sites: int,
    ) -> None:  # fmt: skip
        (box,) = tables.boxes
        self._light, part = np.log10(thinned[0]), thinned[1]
        counts = np.where(halos.mass < thinned[0], 1 / part, 1.0)
        self._large = _with_sites(tables, box, _sites(tables, halos, sites, counts))
        self._small = self._large
        if whole is not None:
            drawn = _sites(tables, whole, sites, None)
            volume = box.volume / float(whole.boxsize) ** 3  # type: ignore[arg-type]
            self._small = _with_sites(tables, box, replace(drawn, weight=drawn.weight * volume))
        self._count, self._logm = box.count, torch.as_tensor(box.logm)

    def light_share(self, params: FloatArray) -> float:
        """Part of the galaxies that are in light halos."""
        central, satellites = mean_numbers(torch.as_tensor(params), self._logm)
        number = self._count * (central + satellites).numpy()
        return float(number[self._logm.numpy() < self._light].sum() / number.sum())

    def __call__(self, params: FloatArray, volume: float) -> FloatArray:
        """Covariance of xi, omega and eta, shape (3 b, 3 b)."""
        tables = self._small if self.light_share(params) > _SHARE else self._large
        return np.asarray(tables.covariance(params, "hod", volume=volume))


def _sites(tables: HaloTables, halos: HaloCatalog, number: int, counts: Any) -> Sites:
    logm = np.log10(halos.mass)
    span = (
        min(float(tables.nodes.min()), float(logm.min())),
        max(float(tables.nodes.max()), float(logm.max())),
    )
    grid = Grid(
        MassNodes(tables.nodes), tables.edges, float(halos.radius.min()), float(halos.radius.max())
    )
    return place_sites(
        halos, span, tables.edges, grid.steps, grid.kernels, number,
        satellites=tables.satellites, counts=counts,
    )  # fmt: skip


def _with_sites(tables: HaloTables, box: BoxTables, sites: Sites) -> HaloTables:
    return HaloTables(
        tables.nodes, tables.edges, [replace(box, sites=sites)], satellites=tables.satellites,
        record=tables.record,
    )  # fmt: skip
