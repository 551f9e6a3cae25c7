"""Cosmic covariance: how xi, omega and eta differ between universes, of boxes or parts of one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np
import numpy.typing as npt
import torch

from pysoftcorr.mocks import checks
from pysoftcorr.mocks.box import shell_fraction
from pysoftcorr.mocks.tabulated.box import BoxTables, Subvolumes
from pysoftcorr.mocks.tabulated.means import Assembly, CellTables, MeanTables
from pysoftcorr.mocks.tabulated.nodes import MassNodes
from pysoftcorr.mocks.tabulated.ranked_means import RankedMeanTables
from pysoftcorr.mocks.tabulated.ranks import RankKinds, RankSlots

__all__ = ["between_boxes", "between_parts", "mean_tables", "parts_left"]

FloatArray = npt.NDArray[np.float64]


def parts_left(parts: Subvolumes, edges: FloatArray) -> list[CellTables]:
    """A box without each of its sub-volumes, ready for evaluation."""
    boxsize, part = parts.left[0].boxsize, parts.number**-3.0
    # Of unclustered points, pairs with neither in the sub-volume.
    whole = shell_fraction(edges, boxsize, periodic=True)
    sides = tuple((checks.box_sides(boxsize) / parts.number).tolist())
    within = shell_fraction(edges, sides, periodic=False)
    rr = ((1 - 2 * part) * whole + part**2 * within) / (1 - part) ** 2
    nodes = MassNodes(parts.nodes)
    return [mean_tables([one], nodes, edges, rr) for one in parts.left]


def between_parts(means: Sequence[CellTables], params: torch.Tensor) -> torch.Tensor:
    """Covariance (3 b, 3 b) between boxes at parameters (7,), by the jackknife over `parts_left`.

    After Norberg et al. (2009, MNRAS 396, 19), who find it too large on the scale of the
    sub-volumes: a pair across a border goes with either side.
    """
    values = torch.stack([torch.cat(one(params)[:3]) for one in means])
    number = len(means)
    return (number - 1) ** 2 / number * _sample(values)


def between_boxes(
    means: Sequence[CellTables], volumes: Sequence[float], params: torch.Tensor
) -> torch.Tensor:
    """Covariance (3 b, 3 b) between boxes, times their volume, at parameters (7,)."""
    values = torch.stack([torch.cat(one(params)[:3]) for one in means])
    weight = torch.tensor(volumes, dtype=values.dtype)
    center = (weight[:, None] * values).sum(dim=0) / weight.sum()
    return _sample(values, center, weight)


def _sample(
    values: torch.Tensor, center: torch.Tensor | None = None, weight: torch.Tensor | None = None
) -> torch.Tensor:
    """Sample covariance of rows, its correlations shrunk towards none.

    By the part that makes their error least (Schaefer & Strimmer 2005, SAGMB 4, 32, for
    correlations): of few rows many values would else have combinations without any variance.
    """
    number = len(values)
    away = values - (values.mean(dim=0) if center is None else center)
    if weight is not None:
        away = away * weight.sqrt()[:, None]
    variance = away.square().sum(dim=0) / (number - 1)
    error = variance.sqrt()
    scaled = away / error.clamp(min=1e-300)
    every = scaled[:, :, None] * scaled[:, None, :]
    mean = every.mean(dim=0)
    correlation = mean * number / (number - 1)
    spread = number / (number - 1) ** 3 * (every - mean).square().sum(dim=0)
    off = ~torch.eye(len(error), dtype=torch.bool) & torch.isfinite(correlation)
    part = spread[off].sum() / correlation[off].square().sum().clamp(min=1e-300)
    kept = 1 - part.clamp(0, 1)
    correlation = torch.where(torch.eye(len(error), dtype=torch.bool), 1.0, kept * correlation)
    return error[:, None] * correlation * error


def mean_tables(
    boxes: Sequence[BoxTables], nodes: MassNodes, edges: FloatArray, rr: FloatArray | None = None,
    assembly_split: float | None = None,
) -> CellTables:  # fmt: skip
    """Boxes added up, ready for evaluation."""
    count = np.sum([box.count for box in boxes], axis=0)
    logm = np.sum([box.count * box.logm for box in boxes], axis=0)
    some = count > 0
    number = count[some]
    place = np.clip(logm[some] / number, nodes.logm[0], nodes.logm[-1])
    forms, one, ranks = _sums(boxes, some, nodes)
    if rr is None:
        # A shell is the same in every box: of all of them, its part of the whole volume.
        size = float(np.cbrt(sum(box.volume for box in boxes)))
        rr = shell_fraction(edges, size, periodic=True)
    if assembly_split is None:
        projection = nodes.projection(number, place)
        if ranks is not None:
            return RankedMeanTables(place, number, projection, forms, *ranks, rr, len(boxes))
        return MeanTables(place, number, projection, forms, one, rr, len(boxes))
    # Less concentrated halos, then the others: each has nodes of its own.
    upper = np.repeat([False, True], nodes.cells)[some]
    projection = np.zeros((2 * len(nodes), number.size))
    for k, part in enumerate((~upper, upper)):
        rows = slice(k * len(nodes), (k + 1) * len(nodes))
        projection[rows, part] = nodes.projection(number[part], place[part])
    return MeanTables(
        place,
        number,
        projection,
        forms,
        one,
        rr,
        len(boxes),
        assembly=Assembly(upper, assembly_split),
    )


def _sums(
    boxes: Sequence[BoxTables], some: npt.NDArray[np.bool_], nodes: MassNodes
) -> tuple[FloatArray, FloatArray, tuple[RankKinds, RankSlots] | None]:
    """Forms, pairs within halos of some of the cells, and of satellites on subhalos their ranks."""
    ranked = [(box.kinds, box.slots) for box in boxes if box.kinds and box.slots]
    if not ranked:
        one = np.sum([box.one_halo for box in boxes], axis=0)[:, some]
        return np.sum([box.forms for box in boxes], axis=0), one, None
    kinds = reduce(RankKinds.joined, [each[0] for each in ranked])
    slots = reduce(RankSlots.added, [each[1] for each in ranked])
    forms = sum(one.padded(box.forms, kinds) for (one, _), box in zip(ranked, boxes, strict=True))
    slots = slots.of_cells(some).raised(kinds.top(nodes.below_cells[some]))
    return np.asarray(forms), boxes[0].one_halo, (kinds, slots)
