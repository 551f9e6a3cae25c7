"""Hard-binned pair sums on a GPU, bin by bin over the blocks in its reach."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pysoftcorr.sky.device.blocks import BLOCK, TILE, Reach, in_blocks, in_reach, parts, terms

if TYPE_CHECKING:
    import torch

    from pysoftcorr.sky.device.blocks import Blocks

__all__ = ["Versions", "hard_pair_sums"]

FloatArray = npt.NDArray[np.float64]

#: Products of each kind of pair sum: of which fields of the two objects, as in Julia.
COMBINATIONS: dict[str, tuple[tuple[int, int], ...]] = {
    "gg": ((0, 0),),
    "rho": ((1, 1), (1, 0), (2, 2), (2, 1), (2, 0)),
    "psf": ((0, 0), (1, 1), (1, 0), (2, 2), (2, 1), (2, 0)),
    "tau": ((0, 0), (1, 1), (2, 2)),
}
#: Beyond squared chords of which bins of half a turn end.
EVERYTHING = 4.0


class Versions(NamedTuple):
    """R versions of n objects, or one with R sets of weights.

    Attributes
    ----------
    xyz : ndarray, shape (1 or R, n, 3)
        Unit vectors; in a plane x, y and 0, the largest about 1.
    w : ndarray, shape (1 or R, n)
    fields : ndarray, shape (1 or R, n, 2K)
        g1 and g2 of each of K fields, in turn.
    """

    xyz: FloatArray
    w: FloatArray
    fields: FloatArray


class Side:
    """One of two sets on the device: blocks of one version, columns of one set of weights."""

    def __init__(self, versions: Versions, k: int, device: str) -> None:
        import torch

        self.versions, self.device = versions, device
        xyz = versions.xyz[min(k, len(versions.xyz) - 1)]
        self.blocks: Blocks = in_blocks(torch.from_numpy(np.array(xyz.T, order="C")).to(device))
        fields = versions.fields[min(k, len(versions.fields) - 1)]
        self.fields = torch.from_numpy(np.array(fields.T, order="C")).to(device)
        self.number = len(fields.T) // 2

    def load(self, r: int) -> Load:
        """Weights and weighted fields by slot."""
        import torch

        w = self.versions.w[min(r, len(self.versions.w) - 1)]
        weight = torch.from_numpy(np.array(w)).to(self.device)
        fields = self.blocks.fill(self.fields * weight)
        return Load(self.blocks, self.blocks.fill(weight[None])[0], fields)


class Load(NamedTuple):
    """Weights (n,) and weighted fields (2K, n) of the slots of `blocks`."""

    blocks: Blocks
    w: torch.Tensor
    fields: torch.Tensor

    def points(self, field: int) -> torch.Tensor:
        """x, y, z, w g1, w g2 and w of one field, (6, n)."""
        import torch

        own = self.fields[2 * field : 2 * field + 2]
        if not len(own):
            own = torch.zeros_like(self.blocks.xyz[:2])
        return torch.cat([self.blocks.xyz, own, self.w[None]])

    def shear(self, field: int) -> torch.Tensor:
        """Weighted complex field, (n,)."""
        import torch

        return torch.complex(self.fields[2 * field], self.fields[2 * field + 1])


def hard_pair_sums(
    kind: str,
    first: Versions,
    second: Versions | None,
    edges: FloatArray,
    *,
    flat: bool,
    device: str,
) -> FloatArray:
    """Sums (R, nbins + 1, nsums) over the pairs of two sets, or of one, as from Julia.

    Parameters
    ----------
    kind : {"nn", "ng", "gg", "rho", "psf", "tau"}
    first, second : Versions
        Pairs within `first` where `second` is None.
    edges : ndarray, shape (nbins + 1,)
        Squared chords, or squares in the plane. Coincident pairs are in one more bin.
    flat : bool
    device : str
    """
    other = first if second is None else second
    moving = max(len(first.xyz), len(other.xyz))
    number = max(moving, len(first.w), len(other.w))
    nbins = len(edges) - 1
    out = np.zeros((number, nbins + 1, 4 + _products(kind)))
    # Only what changes from one version to the next is sorted again.
    versions = [range(number)] if moving == 1 else [range(k, k + 1) for k in range(number)]
    one = two = None
    for rows in versions:
        if one is None or len(first.xyz) > 1:
            one = Side(first, rows[0], device)
        if second is None:
            two = one
        elif two is None or len(second.xyz) > 1:
            two = Side(second, rows[0], device)
        assert two is not None
        bins = list(_lists(one.blocks, two.blocks, edges, auto=second is None, flat=flat))
        for r in rows:
            load = one.load(r)
            loads = (load, load if second is None else two.load(r))
            for b, lists in bins:
                out[r, b] = _bin(kind, loads, lists, edges, b, auto=second is None, flat=flat)
    return out


def _products(kind: str) -> int:
    return {"nn": 0, "ng": 2}.get(kind, 4 * len(COMBINATIONS.get(kind, ())))


class Lists(NamedTuple):
    """Blocks of the second set in reach of each of the first, and terms of the separation."""

    first: torch.Tensor
    blocks: torch.Tensor
    terms: int


def _lists(
    one: Blocks, two: Blocks, edges: FloatArray, *, auto: bool, flat: bool
) -> Iterator[tuple[int, Lists]]:
    """Number of each bin and its lists, coincident pairs last; none where there are no blocks."""
    chords = np.sqrt(edges)
    high = np.where((not flat) & (edges >= EVERYTHING), np.inf, chords)
    bins = [Reach(float(low), float(top)) for low, top in zip(chords, high[1:], strict=False)]
    if edges[0] <= 1.6e-29:
        bins.append(Reach(0.0, 1e-14))
    for b, reach in enumerate(bins):
        first, blocks = in_reach(one, two, reach, after=auto)
        if len(blocks):
            yield b, Lists(first, blocks, terms(reach.high))


def _bin(
    kind: str,
    loads: tuple[Load, Load],
    lists: Lists,
    edges: FloatArray,
    b: int,
    *,
    auto: bool,
    flat: bool,
) -> FloatArray:
    """Sums (nsums,) of one bin; of the coincident pairs where it is the one behind all."""
    import torch

    one, two = loads
    shears = {"nn": 0, "ng": 1}.get(kind, 2)
    device = one.w.device
    limits = torch.from_numpy(np.ascontiguousarray(edges)).to(device)
    options: dict[str, Any] = {
        "SHEARS": shears, "AUTO": auto, "MET": b == len(edges) - 1, "FLAT": flat,
        "TERMS": lists.terms, "BLOCK": BLOCK, **TILE,
    }  # fmt: skip
    combinations = COMBINATIONS.get(kind, ())
    fields = sorted({f for pair in combinations for f in pair}) or [0]
    points = one.points(0)
    rows = {f: _rows(points, two.points(f), lists, limits, b, one.blocks, options) for f in fields}
    row = next(iter(rows.values()))
    sums = [row[0][one.w != 0].sum(), *((one.w * row[k]).sum() for k in (1, 2, 3))]
    if kind == "ng":
        sums += [-(one.w * row[k]).sum() for k in (4, 5)]
    turned = {
        f: (torch.complex(row[4], row[5]), torch.complex(row[6], row[7]))
        for f, row in rows.items()
        if shears == 2
    }
    for e, f in combinations:
        plus = (one.shear(e) * turned[f][0]).sum()
        minus = (one.shear(e) * turned[f][1]).sum()
        if auto:  # the mean of both orders of a pair
            plus = (plus + (one.shear(f) * turned[e][0]).sum().conj()) / 2
            minus = (minus + (one.shear(f) * turned[e][1]).sum()) / 2
        sums += [plus.real, plus.imag, minus.real, minus.imag]
    return np.asarray(torch.stack(sums).cpu().numpy())


def _rows(
    points: torch.Tensor,
    others: torch.Tensor,
    lists: Lists,
    edges: torch.Tensor,
    b: int,
    blocks: Blocks,
    options: dict[str, Any],
) -> torch.Tensor:
    """Sums (4 + 2 SHEARS, n) over the second objects, by slot of the first."""
    import torch

    from pysoftcorr.sky.device.triton_hard import hard_sums

    share = parts(blocks.number)
    out = torch.empty(
        (share, 4 + 2 * options["SHEARS"], blocks.size), dtype=torch.float64, device=points.device
    )
    hard_sums[(blocks.number, share)](
        points, blocks.size, others, others.shape[1], lists.first, lists.blocks, edges, out,
        bin=b, nbins=len(edges) - 1, **options,
    )  # fmt: skip
    return out.sum(0)
