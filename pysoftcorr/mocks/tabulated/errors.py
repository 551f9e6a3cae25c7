"""Errors of tables of halos: by chance given the halos, by the universe, and both."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch

from pysoftcorr.mocks.tabulated.box import BoxTables
from pysoftcorr.mocks.tabulated.cosmic import (
    between_boxes,
    between_parts,
    mean_tables,
    parts_left,
)
from pysoftcorr.mocks.tabulated.covariance import ChanceCovariance, SiteCovariance
from pysoftcorr.mocks.tabulated.means import CellTables, MeanTables
from pysoftcorr.mocks.tabulated.nodes import MassNodes
from pysoftcorr.mocks.tabulated.ranked_covariance import RankedCovariance
from pysoftcorr.mocks.tabulated.ranked_means import RankedMeanTables

__all__ = ["KINDS", "TableErrors"]

KINDS = ("total", "hod", "cosmic")


class TableErrors:
    """Covariances of xi, omega and eta at any parameters.

    Parameters
    ----------
    boxes : sequence of BoxTables
    nodes : MassNodes
    edges : ndarray, shape (b + 1,)
    """

    def __init__(
        self, boxes: Sequence[BoxTables], nodes: MassNodes, edges: npt.NDArray[np.float64]
    ) -> None:
        self.boxes, self.nodes, self.edges = tuple(boxes), nodes, edges
        self.volumes = [box.volume for box in self.boxes]

    def lacks(self, kind: str) -> str | None:
        """What these tables lack for a covariance of this kind; None if nothing."""
        if any(box.count.size != self.nodes.cells for box in self.boxes):
            return (
                "tables with assembly_split have no covariance; tabulate the halos without it for "
                "one"
            )
        if kind != "cosmic" and any(box.sites is None for box in self.boxes):
            return (
                "these tables were made without sites of galaxies; tabulate the halos with "
                "sites = 800"
            )
        if kind != "hod" and len(self.boxes) == 1 and not self._cut:
            return (
                "one box does not tell how universes differ; tabulate several boxes together, or "
                "with subvolumes = 3, or take kind = 'hod'"
            )
        return None

    @property
    def _cut(self) -> bool:
        return all(box.subvolumes is not None for box in self.boxes)

    @cached_property
    def _means(self) -> list[CellTables]:
        return [mean_tables([box], self.nodes, self.edges) for box in self.boxes]

    @cached_property
    def _chance(self) -> list[SiteCovariance]:
        found: list[SiteCovariance] = []
        for means, box in zip(self._means, self.boxes, strict=True):
            if box.sites is not None and isinstance(means, RankedMeanTables):
                found.append(RankedCovariance(means, box.sites))
            elif box.sites is not None and isinstance(means, MeanTables):
                found.append(ChanceCovariance(means, box.sites))
        return found

    @cached_property
    def _left(self) -> list[list[CellTables]]:
        return [
            parts_left(box.subvolumes, self.edges)
            for box in self.boxes
            if box.subvolumes is not None
        ]

    def __call__(
        self, params: torch.Tensor, kind: str, volume: float | None = None
    ) -> torch.Tensor:
        """Covariance (3 b, 3 b) at parameters (7,) in float64."""
        every = sum(self.volumes)
        if volume is None:
            volume = every / len(self.boxes)
        found = torch.zeros((), dtype=params.dtype)
        if kind != "cosmic":
            # Each box about its own mean: what differs between boxes is cosmic.
            scatter = [
                one(params) * size for one, size in zip(self._chance, self.volumes, strict=True)
            ]
            found = found + torch.stack(scatter).mean(dim=0) / volume
        if kind != "hod":
            found = found + self._cosmic(params) * (1 / volume + 1 / every)
        return found

    def _cosmic(self, params: torch.Tensor) -> torch.Tensor:
        """Cosmic covariance times volume."""
        if self._cut:
            parts = [
                between_parts(left, params) * size
                for left, size in zip(self._left, self.volumes, strict=True)
            ]
            return torch.stack(parts).mean(dim=0)
        return between_boxes(self._means, self.volumes, params)
