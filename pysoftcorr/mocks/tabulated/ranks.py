"""Which ranks of satellites are taken, of Poisson numbers: kinds of places and ranks of halos.

The j-th satellite of a halo is there where the number N of satellites is j or more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

__all__ = ["LARGEST_RANK", "RankKinds", "RankOccupation", "RankSlots"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

#: Subhalos of higher rank are like borrowed ones.
LARGEST_RANK = 400


def _rising(factor: float) -> IntArray:
    """Whole numbers from 1 that grow by a factor, to the largest rank, and one beyond."""
    found = [1]
    while found[-1] < LARGEST_RANK:
        found.append(min(max(found[-1] + 1, round(found[-1] * factor)), LARGEST_RANK))
    return np.array([*found, LARGEST_RANK + 1])


#: First rank of each group, and one beyond: a group is taken as a whole.
GROUPS = _rising(1.25)
#: Numbers of subhalos between which what is borrowed is interpolated.
NUMBERS = np.concatenate([[0], _rising(1.25)])


@dataclass(frozen=True, eq=False)
class RankKinds:
    """Kinds of places: by node of mass, of centers, by group of rank and by number of subhalos.

    Attributes
    ----------
    nodes : int
    own : ndarray of int, shape (groups, 2)
        First node, and the one behind the last, at which there are subhalos of each group of rank.
    borrowed : ndarray of int, shape (numbers, 2)
        The same of halos with so many subhalos: of places beyond them.
    """

    nodes: int
    own: IntArray
    borrowed: IntArray

    @classmethod
    def of(cls, nodes: int, below: IntArray, number: IntArray) -> RankKinds:
        """Kinds for halos between these nodes, with so many subhalos."""
        found = []
        for least in GROUPS[:-1]:
            found.append(_span(below[number >= least]))
        near = []
        for low, middle, high in zip(
            np.concatenate([[-1], NUMBERS[:-2]]), NUMBERS[:-1], NUMBERS[1:], strict=True
        ):
            near.append(_span(below[(number > low) & (number < high) | (number == middle)]))
        return cls(nodes, np.array(found), np.array(near))

    def joined(self, other: RankKinds) -> RankKinds:
        """Kinds of both."""
        return RankKinds(
            self.nodes, _joined(self.own, other.own), _joined(self.borrowed, other.borrowed)
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RankKinds):
            return NotImplemented
        return (
            self.nodes == other.nodes
            and np.array_equal(self.own, other.own)
            and np.array_equal(self.borrowed, other.borrowed)
        )

    __hash__ = None  # type: ignore[assignment]

    @property
    def spans(self) -> IntArray:
        """Nodes of all kinds of satellites, shape (groups + numbers, 2)."""
        return np.concatenate([self.own, self.borrowed])

    @property
    def first(self) -> IntArray:
        """Number of the kind of node 0, were it there, of each of `spans`, and one beyond."""
        size = np.diff(self.spans, axis=1)[:, 0]
        return self.nodes + np.concatenate([[0], np.cumsum(size)]) - np.append(self.spans[:, 0], 0)

    @property
    def number(self) -> int:
        """Number of kinds, those of centers among them."""
        return self.nodes + int(np.diff(self.spans, axis=1).sum())

    def of_rank(self, rank: IntArray, below: IntArray) -> IntArray:
        """Kind below each subhalo, of a halo with this node below."""
        group = np.searchsorted(GROUPS, rank, side="right") - 1
        return self.first[group] + below

    def of_number(self, place: IntArray, below: IntArray) -> IntArray:
        """Kind below each borrowed place, by the place of a number in `NUMBERS`."""
        return self.first[len(self.own) + place] + below

    @property
    def members(self) -> tuple[IntArray, IntArray]:
        """Node, and place in `spans`, of each kind of satellites."""
        spans = self.spans
        node = np.concatenate([np.arange(*span) for span in spans])
        return node.astype(np.int64), np.repeat(np.arange(len(spans)), np.diff(spans)[:, 0])

    def top(self, below: IntArray) -> IntArray:
        """Ranks that must be apart in cells of mass with these nodes below.

        Those of the kinds at nodes nearby, since occupations are projected on the nodes, and
        never fewer than in lighter cells.
        """
        most = np.zeros(self.nodes, dtype=np.int64)
        ranks = np.concatenate([GROUPS[1:] - 1, NUMBERS[:-1]])
        for rank, (start, stop) in zip(ranks, self.spans, strict=True):
            most[start:stop] = np.maximum(most[start:stop], rank)
        most = np.maximum.accumulate(most)
        return np.asarray(most[np.minimum(below + 2, self.nodes - 1)])

    def padded(self, sums: FloatArray, other: RankKinds) -> FloatArray:
        """Sums (..., kinds, kinds, b) of these kinds among those of `other`, which has them all."""
        node, span = self.members
        at = np.concatenate([np.arange(self.nodes), other.first[span] + node])
        out = np.zeros((sums.shape[0], other.number, other.number, sums.shape[-1]))
        out[:, at[:, None], at] = sums
        return out


def _span(below: IntArray) -> tuple[int, int]:
    return (int(below.min()), int(below.max()) + 2) if below.size else (0, 0)


def _joined(a: IntArray, b: IntArray) -> IntArray:
    out = np.where(np.diff(a) > 0, a, b)
    both = (np.diff(a) > 0) & (np.diff(b) > 0)
    hull = np.stack([np.minimum(a[:, 0], b[:, 0]), np.maximum(a[:, 1], b[:, 1])], axis=1)
    return np.where(both, hull, out)


@dataclass(frozen=True, eq=False)
class RankSlots:
    """Pairs within the halos of each cell of mass, by the higher rank of the two.

    Attributes
    ----------
    top : ndarray of int, shape (cells,)
        Ranks of each cell that are apart.
    central : ndarray, shape (slots, 2, b)
        Of a central and the satellite of a rank: number, and (a . D)^2 - 1/3 of the central's
        axis and the separation, which is the reference of the satellite as well. Slots are the
        ranks 1 to `top` of each cell, then for each cell what goes with the number of satellites
        of higher rank, then what goes with the sum of their ranks less 1.
    pairs : ndarray, shape (slots, 3, b)
        Of ordered pairs of satellites: number, (d . D)^2 - 1/3 of the first, (d . d')^2 - 1/3.
    """

    top: IntArray
    central: FloatArray
    pairs: FloatArray

    def raised(self, top: IntArray) -> RankSlots:
        """Sums with more ranks apart: those of higher rank are all alike."""
        cells, n = len(self.top), int(self.top.sum())
        top = np.maximum(self.top, top)
        cell = np.repeat(np.arange(cells), top)
        rank = np.arange(cell.size) - np.repeat(np.cumsum(top) - top, top) + 1
        there = rank <= self.top[cell]
        at = (np.cumsum(self.top) - self.top)[cell] + rank - 1
        out = []
        for sums in (self.central, self.pairs):
            values = sums[n:][cell] + (rank - 1)[:, None, None] * sums[n + cells :][cell]
            values[there] = sums[at[there]]
            out.append(np.concatenate([values, sums[n:]]))
        return RankSlots(top, *out)

    def added(self, other: RankSlots) -> RankSlots:
        """Sums of both."""
        top = np.maximum(self.top, other.top)
        a, b = self.raised(top), other.raised(top)
        return RankSlots(top, a.central + b.central, a.pairs + b.pairs)

    def of_cells(self, some: npt.NDArray[np.bool_]) -> RankSlots:
        """Sums of some of the cells."""
        kept = np.concatenate([np.repeat(some, self.top), some, some])
        return RankSlots(self.top[some], self.central[kept], self.pairs[kept])


class RankOccupation:
    """Ranks taken in cells of mass, as functions of the mean number of satellites there.

    Parameters
    ----------
    top : ndarray of int, shape (F,)
        Ranks apart, of each cell.
    kinds : RankKinds
    projection : ndarray, shape (K, F)
        To coefficients of the nodes.
    """

    def __init__(self, top: IntArray, kinds: RankKinds, projection: FloatArray) -> None:
        size = top + 1  # with the probability of none
        cell = np.repeat(np.arange(top.size), size)
        start = np.cumsum(size) - size
        rank = np.arange(cell.size) - start[cell]
        self.cell, self.rank = torch.as_tensor(cell), torch.as_tensor(rank.astype(np.float64))
        self.log_factorial = torch.lgamma(self.rank + 1)
        self.start = torch.as_tensor(start[cell])
        self.one = torch.as_tensor(np.flatnonzero(rank > 0))
        self.of_rank = torch.as_tensor(cell[rank > 0])
        self.projection = torch.as_tensor(np.ascontiguousarray(projection.T))
        groups = len(kinds.own)
        low = np.minimum(GROUPS[:-1, None], top + 1)
        high = np.minimum(GROUPS[1:, None], top + 1)
        # Sums over ranks below these, from those over all ranks up to each.
        self.low, self.high = (torch.as_tensor(start + x - 1) for x in (low, high))
        self.below = torch.as_tensor(start + np.minimum(NUMBERS[:-1, None], top))
        self.zero = torch.as_tensor(start)
        self.last = torch.as_tensor(start + top)
        self.width = torch.as_tensor(np.diff(GROUPS).astype(np.float64))[:, None]
        node, span = kinds.members
        self.kind = torch.as_tensor(span * len(projection) + node)
        self.groups = groups

    def __call__(self, lam: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Coefficients of kinds and of slots, and lam d/dlam of either, at means (..., F)."""
        mean = lam[..., self.cell]
        log = torch.log(mean.clamp(min=1e-290))
        chance = torch.exp(self.rank * log - mean - self.log_factorial)
        # Next to 0 the power of no satellite is 1, and all others 0.
        sums = torch.cumsum(chance, dim=-1)
        before = sums - chance
        taken = 1 - (before - before[..., self.start])
        taken = torch.where(self.rank > 0, taken, torch.zeros_like(taken))
        slope = self.rank * chance
        out = []
        for values, weighted in ((taken, lam), (slope, lam)):
            out.append(self._kinds(values, weighted))
        # Higher ranks: their number, and the sum of their ranks less 1.
        out.append(self._slots(taken, lam, lam * lam / 2))
        out.append(self._slots(slope, lam, lam * lam))
        return out[0], out[2], out[1], out[3]

    def _kinds(self, values: torch.Tensor, total: torch.Tensor) -> torch.Tensor:
        sums = torch.cumsum(values, dim=-1)
        own = (sums[..., self.high] - sums[..., self.low]) / self.width
        lower = sums[..., self.below] - sums[..., self.zero][..., None, :]
        borrowed = total[..., None, :] - lower
        found = torch.cat([own, borrowed], dim=-2) @ self.projection
        return found.flatten(-2)[..., self.kind]

    def _slots(
        self, values: torch.Tensor, number: torch.Tensor, pairs: torch.Tensor
    ) -> torch.Tensor:
        sums = torch.cumsum(torch.stack([values, values * (self.rank - 1)]), dim=-1)
        below = sums[..., self.last] - sums[..., self.zero]
        beyond = torch.stack([number, pairs]) - below
        return torch.cat([values[..., self.one], beyond[0], beyond[1]], dim=-1)
