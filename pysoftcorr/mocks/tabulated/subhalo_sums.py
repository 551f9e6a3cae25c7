"""Pairs of galaxies whose satellites are on subhalos, and where those of like halos are beyond."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr.core.random import stream
from pysoftcorr.mocks.subhalo_places import borrowed_offsets, offsets
from pysoftcorr.mocks.tabulated.pair_sums import place_sums
from pysoftcorr.mocks.tabulated.places import place_numbers
from pysoftcorr.mocks.tabulated.ranks import LARGEST_RANK, NUMBERS, RankKinds, RankSlots

__all__ = ["SubhaloPlaces"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

#: Least and most borrowed places in a halo, powers of two.
_FEWEST, _MOST = 2, 64
#: Within one halo: so many times as many, at least so many in all, and at most so many in one;
#: each with so many subhalos.
_ONE, _IN_ALL, _MOST_ONE, _EACH = 8, 2_000_000, 2**18, 8
#: Pairs at once.
_PAIRS = 2_000_000


@dataclass(frozen=True, eq=False)
class SubhaloPlaces:
    """Places of satellites on subhalos, and borrowed ones of satellites of higher rank.

    Attributes
    ----------
    number : ndarray of int, shape (N,)
        Subhalos of each halo.
    host, rank : ndarray of int, shape (M,)
        Of the subhalos, in this order.
    offset : ndarray, shape (M, 3)
        From the center of the halo, Mpc/h.
    borrower : ndarray of int, shape (B,)
        Halos of the borrowed places, rising.
    borrowed : ndarray, shape (B, 3)
        Places of satellites without a subhalo.
    borrower_one : ndarray of int, shape (C,)
        Halos of the borrowed places that pairs within a halo are taken of, rising.
    borrowed_one : ndarray, shape (2, C, 3)
        Two independent ones each.
    """

    number: IntArray
    host: IntArray
    rank: IntArray
    offset: FloatArray
    borrower: IntArray
    borrowed: FloatArray
    borrower_one: IntArray
    borrowed_one: FloatArray

    @classmethod
    def of(cls, halos: Any, places: int, seed: int = 0) -> SubhaloPlaces:
        """All subhalos, and `places` borrowed places in a halo on average."""
        sub = halos.subhalos
        kept = sub.rank <= LARGEST_RANK
        every = offsets(halos)
        rng = stream(seed, "borrowed places")
        copies = place_numbers(halos.mass, places, _FEWEST, _MOST)
        borrower, borrowed = _drawn(halos, every, copies, rng)
        # Within a halo it is pairs that count, which go with the square of mass.
        many = max(_ONE * places, _IN_ALL // copies.size)
        copies = place_numbers(halos.mass**2, many, _FEWEST, _MOST_ONE)
        one = [_drawn(halos, every, copies, rng, even) for even in (True, False)]
        number = np.bincount(sub.host[kept], minlength=copies.size)
        return cls(
            number, sub.host[kept], sub.rank[kept], every[kept], borrower, borrowed, one[0][0],
            np.stack([places for _, places in one]),
        )  # fmt: skip

    @classmethod
    def within(
        cls, halos: Any, rows: IntArray, draws: int, rng: np.random.Generator
    ) -> SubhaloPlaces:
        """Subhalos of these of the halos, rising and numbered anew, for pairs within each halo.

        With `draws` borrowed places, an even number, in each, and none for pairs of two halos.
        """
        sub, every = halos.subhalos, offsets(halos)
        number, copies = np.full((2, halos.mass.size), -1)
        number[rows] = np.arange(len(rows))
        copies[:], copies[rows] = 0, draws
        host = number[sub.host]
        kept = (host >= 0) & (sub.rank <= LARGEST_RANK)
        one = [_drawn(halos, every, copies, rng, even) for even in (True, False)]
        return cls(
            np.bincount(host[kept], minlength=len(rows)), host[kept], sub.rank[kept], every[kept],
            np.zeros(0, dtype=np.int64), np.zeros((0, 3)), number[one[0][0]],
            np.stack([places for _, places in one]),
        )  # fmt: skip

    # ------------------------------------------------------------------ two halos
    def kinds(self, below: IntArray, nodes: int) -> RankKinds:
        """Kinds of places in halos between these nodes."""
        return RankKinds.of(nodes, below, self.number)

    def two_halo(
        self, halos: Any, below: IntArray, part: FloatArray, kinds: RankKinds, edges: FloatArray,
        progress: str | None,
    ) -> FloatArray:  # fmt: skip
        """Number, and sums of the axis of the first and of both, (3, kinds, kinds, b)."""
        held = self.number[self.borrower]
        low = np.searchsorted(NUMBERS, held, side="right") - 1
        up = (held - NUMBERS[low]) / (NUMBERS[low + 1] - NUMBERS[low])
        share = 1.0 / np.bincount(self.borrower, minlength=len(below))[self.borrower]
        between = up > 0
        node = below[self.borrower]
        host = np.concatenate([self.host, self.borrower, self.borrower[between]])
        kind = np.concatenate([
            kinds.of_rank(self.rank, below[self.host]),
            kinds.of_number(low, node),
            kinds.of_number(low[between] + 1, node[between]),
        ])  # fmt: skip
        weight = np.concatenate([np.ones(self.host.size), share * (1 - up), (share * up)[between]])
        offset = np.concatenate([self.offset, self.borrowed, self.borrowed[between]])
        sums = place_sums(
            halos, below, part, host, kind, part[host], weight, offset, kinds.number, edges,
            progress,
        )  # fmt: skip
        return np.ascontiguousarray(np.moveaxis(sums, 3, 0))

    # ------------------------------------------------------------------ one halo
    def one_halo(self, halos: Any, cell: IntArray, cells: int, edges: FloatArray) -> RankSlots:
        """Pairs within the halos of each cell of mass."""
        top = np.zeros(cells, dtype=np.int64)
        np.maximum.at(top, cell, self.number)
        bins, n = edges.size - 1, int(top.sum())
        first = np.cumsum(top) - top
        central = np.zeros((n + 2 * cells, 2, bins))
        pairs = np.zeros((n + 2 * cells, 3, bins))
        of_cell = n + np.arange(cells)

        def add(out: FloatArray, slot: IntArray, found: tuple[IntArray, FloatArray]) -> None:
            b, values = found
            some = (b >= 0) & (b < bins)
            place = slot[some] * bins + b[some]
            for term, value in enumerate(values):
                out[:, term] += np.bincount(
                    place, weights=value[some], minlength=out.shape[0] * bins
                ).reshape(-1, bins)

        # Subhalos: with the center, and each two of a halo, at the higher of their ranks.
        slot = first[cell[self.host]] + self.rank - 1
        add(central, slot, _about(halos.axis[self.host], self.offset, edges))
        begin = np.cumsum(self.number) - self.number
        for i, j in _each_two(self.number, begin):
            add(pairs, slot[j], _between(self.offset[i], self.offset[j], 2.0, edges))
        # Borrowed places: of all ranks above the number of subhalos.
        host = self.borrower_one
        share = 1.0 / np.bincount(host, minlength=len(cell))[host]
        ranks = [(np.zeros_like(central), np.zeros_like(pairs)) for _ in range(2)]
        # Where the ranks above begin, if there are any in this cell.
        start = np.where(self.number < top[cell], first[cell] + self.number, of_cell[cell])[host]
        for k in range(0, host.size, _PAIRS):
            some = slice(k, k + _PAIRS)
            x, y = self.borrowed_one[:, some]
            b, values = _about(halos.axis[host[some]], x, edges)
            add(ranks[0][0], start[some], (b, values * share[some]))
            # A rank j makes 2 (j - 1 - n) pairs with lower borrowed ones, and 2 n with subhalos.
            b, values = _between(x, y, 2.0, edges)
            values *= share[some]
            add(ranks[1][1], start[some], (b, values))
            add(ranks[0][1], start[some], (b, -values * self.number[host[some]]))
            # With some of the subhalos, which stand for all of them.
            held = self.number[host[some]]
            for turn in range(_EACH):
                i = np.flatnonzero(held > turn)
                few = np.minimum(held[i], _EACH)
                # The i-th place begins elsewhere than the one before.
                j = (turn * held[i] + i % np.maximum(held[i], 1)) // few % held[i]
                j = begin[host[some][i]] + j
                b, values = _between(self.offset[j], x[i], 2.0, edges)
                times = share[some][i] * held[i] / few
                add(ranks[0][1], start[some][i], (b, values * times))
        rank = np.arange(n) - np.repeat(first, top)
        for power, sums in enumerate(ranks):
            for out, found in zip((central, pairs), sums, strict=True):
                for one in np.flatnonzero(top):
                    some = slice(first[one], first[one] + top[one])
                    every = np.cumsum(found[some], axis=0)
                    out[some] += every * (rank[some, None, None] if power else 1.0)
                    found[of_cell[one]] += every[-1]
                out[n + power * cells : n + (power + 1) * cells] += found[n : n + cells]
        return RankSlots(top, central, pairs)


def _drawn(
    halos: Any, every: FloatArray, copies: IntArray, rng: np.random.Generator, even: bool = True
) -> tuple[IntArray, FloatArray]:
    """Borrowed places in each halo, and its row.

    Each two are of one donor, on either side of the axis; donors are even over their masses, or
    else each by chance.
    """
    borrower = np.repeat(np.arange(copies.size), copies)
    index = np.arange(borrower.size) - np.repeat(np.cumsum(copies) - copies, copies)
    u = rng.random((2, borrower.size))[:, np.arange(borrower.size) // 2 * 2]
    donor = (index // 2 + u[0]) / (copies[borrower] // 2) if even else u[0]
    return borrower, borrowed_offsets(halos, every, borrower, donor, (u[1] + 0.5 * (index % 2)) % 1)


def _about(axis: FloatArray, offset: FloatArray, edges: FloatArray) -> tuple[IntArray, FloatArray]:
    """Bin of the distance from the center, 1, and (a . d)^2 - 1/3."""
    square = np.einsum("ni,ni->n", offset, offset)
    along = np.einsum("ni,ni->n", axis, offset) ** 2 / square - 1 / 3
    return np.searchsorted(edges**2, square) - 1, np.stack([np.ones_like(along), along])


def _between(
    x: FloatArray, y: FloatArray, times: float, edges: FloatArray
) -> tuple[IntArray, FloatArray]:
    """Bin of the separation, and `times` 1, the mean (d . D)^2 - 1/3 of both, (d . d')^2 - 1/3."""
    apart = y - x
    square = np.einsum("ni,ni->n", apart, apart)
    xx, yy, xy = (np.einsum("ni,ni->n", a, b) for a, b in ((x, x), (y, y), (x, y)))
    some = np.maximum(square, 1e-300)
    along = ((xy - xx) ** 2 / (xx * some) + (yy - xy) ** 2 / (yy * some)) / 2 - 1 / 3
    values = np.stack([np.ones_like(along), along, xy**2 / (xx * yy) - 1 / 3])
    return np.searchsorted(edges**2, square) - 1, times * values


def _each_two(number: IntArray, begin: IntArray) -> Any:
    """Pairs (lower, higher) of subhalos of one halo, in parts."""
    for size in np.unique(number[number > 1]).tolist():
        i, j = np.triu_indices(size, 1)
        start = begin[number == size]
        at_once = max(_PAIRS // i.size, 1)
        for k in range(0, start.size, at_once):
            some = start[k : k + at_once, None]
            yield (some + i).ravel(), (some + j).ravel()
