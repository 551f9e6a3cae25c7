"""Nodes of mass: hat functions in log mass, cells of halos, and occupations in that basis."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pysoftcorr.core.options import integer, numbers

__all__ = ["Cells", "MassNodes", "choose_nodes"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

#: The heaviest halos are nodes each: no function of mass is smooth among so few.
_HEAVIEST = 22
#: Widest cell, in dex: occupations are taken at its mean log mass.
_CELL = 0.01
#: Added to the normal equations, for nodes that no halo is near of.
_RIDGE = 1e-12


class Cells(NamedTuple):
    """Halos by cells of mass: the cell of each halo, and number and mean log mass of each cell."""

    of_halo: IntArray
    number: FloatArray
    logm: FloatArray


class MassNodes:
    """Hat functions of log mass.

    Parameters
    ----------
    logm : array_like, shape (K,)
        log10 of Msun/h, rising; at least two.

    Attributes
    ----------
    logm : ndarray, shape (K,)
    cells : int
        Cells of mass, none of which has a node within.

    Examples
    --------
    >>> from pysoftcorr.mocks.tabulated.nodes import MassNodes
    >>> nodes = MassNodes([12.0, 12.5, 14.0])
    >>> below, part = nodes.place([12.0, 12.25, 14.0])
    >>> below.tolist(), part.round(6).tolist()
    ([0, 0, 1], [0.0, 0.5, 1.0])
    """

    def __init__(self, logm: npt.ArrayLike) -> None:
        self.logm: FloatArray = numbers("nodes", logm).copy()
        if self.logm.ndim != 1 or self.logm.size < 2 or not (np.diff(self.logm) > 0).all():
            raise ValueError("nodes: must be two masses at least, as log10 of Msun/h, rising")
        self._cells = np.maximum(np.ceil(np.diff(self.logm) / _CELL - 1e-6), 1).astype(np.int64)
        self._first = np.concatenate([[0], np.cumsum(self._cells)])

    def __len__(self) -> int:
        return self.logm.size

    @property
    def cells(self) -> int:
        """Number of cells."""
        return int(self._first[-1])

    @property
    def below_cells(self) -> IntArray:
        """Node below each cell."""
        return np.repeat(np.arange(len(self) - 1), self._cells)

    def place(self, logm: npt.ArrayLike) -> tuple[IntArray, FloatArray]:
        """Node below each mass, and the part that belongs to the node above.

        Raises
        ------
        ValueError
            If a mass lies beyond the nodes.
        """
        x = np.asarray(logm, dtype=np.float64)
        beyond = (x < self.logm[0]) | (x > self.logm[-1])
        if beyond.any():
            raise ValueError(
                f"nodes: {int(beyond.sum())} of {x.size} halos have masses beyond them, from "
                f"10**{self.logm[0]:.4g} to 10**{self.logm[-1]:.4g} Msun/h, as "
                f"10**{x[beyond][0]:.4g}; tabulate all boxes in one call, or give wider nodes"
            )
        below = np.clip(np.searchsorted(self.logm, x, side="right") - 1, 0, len(self) - 2)
        low, high = self.logm[below], self.logm[below + 1]
        return below.astype(np.int64), (x - low) / (high - low)

    def cell(self, logm: npt.ArrayLike, group: IntArray | None = None, groups: int = 1) -> Cells:
        """Cells of halos of these masses; those of each group by themselves, in turn."""
        below, part = self.place(logm)
        number = self._cells[below]
        of_halo = self._first[below] + np.minimum((part * number).astype(np.int64), number - 1)
        if group is not None:
            of_halo = of_halo + self.cells * group
        every = groups * self.cells
        count = np.bincount(of_halo, minlength=every).astype(np.float64)
        total = np.bincount(of_halo, weights=np.asarray(logm), minlength=every)
        middle = np.tile(np.repeat(self.logm[:-1], self._cells), groups)
        mean = np.divide(total, count, out=middle, where=count > 0)
        return Cells(of_halo, count, np.clip(mean, self.logm[0], self.logm[-1]))

    def projection(self, count: FloatArray, logm: FloatArray) -> FloatArray:
        """Matrix (K, cells) from a function of mass to its least-squares coefficients."""
        below, part = self.place(logm)
        hats = np.zeros((logm.size, len(self)))
        rows = np.arange(logm.size)
        hats[rows, below] = 1 - part
        hats[rows, below + 1] += part
        weighted = hats * count[:, None]
        normal = hats.T @ weighted + _RIDGE * np.eye(len(self))
        return np.linalg.solve(normal, weighted.T)


def choose_nodes(logm: FloatArray, nodes: Any) -> MassNodes:
    """Nodes for halos of these log masses: even ones, and the heaviest halos each.

    Parameters
    ----------
    logm : ndarray, shape (N,)
    nodes : int or array_like
        Number of even ones, or all nodes as log10 of Msun/h.
    """
    if np.ndim(nodes) == 1:
        return MassNodes(nodes)
    number = integer("nodes", nodes, least=2, most=1000)
    unique = np.unique(logm)
    if unique.size == 1:
        return MassNodes([unique[0], unique[0] + _CELL])
    if unique.size <= number + _HEAVIEST:
        return MassNodes(unique)
    heavy = unique[-_HEAVIEST:]
    return MassNodes(np.concatenate([np.linspace(unique[0], heavy[0], number), heavy[1:]]))
