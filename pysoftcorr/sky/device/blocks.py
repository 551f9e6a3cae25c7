"""Objects in blocks of near ones on a GPU, and the pairs of blocks in reach of a bin."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from pysoftcorr.core.extras import need

if TYPE_CHECKING:
    import torch

__all__ = [
    "Blocks",
    "Reach",
    "bins_in_reach",
    "check_device",
    "in_blocks",
    "in_reach",
    "parts",
    "terms",
]

#: Objects of a block; a program owns one.
BLOCK = 32
#: Objects of another block that it meets at a time, and warps of 32 threads.
TILE = {"COLUMNS": 32, "num_warps": 16}
#: Blocks of a group: groups out of reach are left out before their blocks are looked at.
GROUP = 32
#: Numbers that a step over pairs of blocks holds at once.
STEP = 1 << 25
#: Programs that fill a large GPU; with fewer blocks each list is shared out.
PROGRAMS = 4096


def check_device(device: Any) -> str:
    """Name of a device that pairs can be summed on, as torch spells it.

    Raises
    ------
    ImportError
        torch or Triton is not installed, for another device than the CPU.
    ValueError
        There is no such device.
    """
    name = str(device)
    if name == "cpu":
        return name
    torch = need("torch", f"device = {name!r}", extra="gpu")
    kind = name.split(":")[0]
    if kind != "cuda":
        raise ValueError(f"device = {name!r}: must be 'cpu' or a CUDA device such as 'cuda'")
    if not torch.cuda.is_available():
        raise ValueError(
            f"device = {name!r}: torch sees no CUDA device here; 'cpu' is always there"
        )
    try:
        torch.device(name)
        index = torch.device(name).index or 0
    except RuntimeError as error:
        raise ValueError(f"device = {name!r}: {error}") from None
    if index >= torch.cuda.device_count():
        raise ValueError(f"device = {name!r}: there are {torch.cuda.device_count()} CUDA devices")
    need("triton", f"device = {name!r}", extra="gpu")
    return name


@dataclass(frozen=True, eq=False)
class Blocks:
    """Places in blocks of near ones, and what bounds the blocks and groups of them.

    Attributes
    ----------
    place : tensor of int64, shape (N,)
        Slot of each of the N objects; other slots fill the blocks up.
    xyz : tensor, shape (3, n)
        Places by slot; the fillers have that of an object.
    center, radius : tensor, shape (n / BLOCK, 3) and (n / BLOCK,)
    group : int
        Blocks of a group: GROUP, or all where there are fewer.
    outer_center, outer_radius : tensor, shape (groups, 3) and (groups,)
    """

    place: torch.Tensor
    xyz: torch.Tensor
    center: torch.Tensor
    radius: torch.Tensor
    group: int
    outer_center: torch.Tensor
    outer_radius: torch.Tensor

    @property
    def size(self) -> int:
        """Number of slots."""
        return self.xyz.shape[1]

    @property
    def number(self) -> int:
        """Number of blocks."""
        return len(self.center)

    def fill(self, columns: torch.Tensor) -> torch.Tensor:
        """Columns (K, N) of the objects by slot, (K, n): 0 in those that fill up."""
        out = columns.new_zeros((len(columns), self.size))
        out[:, self.place] = columns
        return out


def in_blocks(xyz: torch.Tensor) -> Blocks:
    """Places (3, N) split in halves along their widest side until a block is left."""
    import torch

    n = xyz.shape[1]
    levels = max(0, math.ceil(math.log2(max(n, 1) / BLOCK)))
    size = BLOCK << levels
    order = torch.arange(size, device=xyz.device)
    filled = xyz[:, order.clamp(max=n - 1)]
    for level in range(levels):
        places = filled.view(3, 1 << level, -1)
        width = places.amax(2) - places.amin(2)
        widest = width.argmax(0)
        key = places.gather(0, widest[None, :, None].expand(1, -1, places.shape[2]))[0]
        inner = key.argsort(dim=1, stable=True)
        rows = (inner + torch.arange(1 << level, device=key.device)[:, None] * key.shape[1]).view(
            -1
        )
        order, filled = order[rows], filled[:, rows]
    blocks = filled.view(3, -1, BLOCK)
    center = blocks.mean(2)
    radius = (blocks - center[:, :, None]).square().sum(0).sqrt().amax(1)
    group = min(GROUP, 1 << levels)
    groups = center.view(3, -1, group)
    outer = groups.mean(2)
    apart = (groups - outer[:, :, None]).square().sum(0).sqrt()
    place = torch.empty_like(order)
    place[order] = torch.arange(size, device=order.device)
    return Blocks(
        place[:n], filled.contiguous(), center.T.contiguous(), radius, group,
        outer.T.contiguous(), (apart + radius.view(-1, group)).amax(1),
    )  # fmt: skip


class Reach(NamedTuple):
    """Chords between which a bin has weight."""

    low: float
    high: float


def in_reach(
    first: Blocks, second: Blocks, reach: Reach, *, after: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Blocks of `second` in reach of each of `first`, as lists in compressed rows.

    With `after` (where both are one) those before the block itself are left out.
    """
    import torch

    device = first.center.device
    outer = []
    step = max(1, STEP // len(second.outer_center))
    for start in range(0, len(first.outer_center), step):
        rows = slice(start, start + step)
        near = _near(
            first.outer_center[rows, None], first.outer_radius[rows, None],
            second.outer_center[None], second.outer_radius[None], reach,
        )  # fmt: skip
        pairs = near.nonzero()
        pairs[:, 0] += start
        outer.append(pairs[pairs[:, 1] >= pairs[:, 0]] if after else pairs)
    groups = torch.cat(outer)
    m, k = first.group, second.group
    centers, radii = first.center.view(-1, m, 3), first.radius.view(-1, m)
    others, wide = second.center.view(-1, k, 3), second.radius.view(-1, k)
    own, lists = [], []
    for some in groups.split(max(1, STEP // (m * k))):
        i, j = some.T
        near = _near(
            centers[i][:, :, None],
            radii[i][:, :, None],
            others[j][:, None],
            wide[j][:, None],
            reach,
        )
        row, one, other = near.nonzero().T
        one, other = i[row] * m + one, j[row] * k + other
        if after:
            one, other = one[other >= one], other[other >= one]
        own.append(one)
        lists.append(other.to(torch.int32))
    counts = torch.zeros(first.number + 1, dtype=torch.int64, device=device)
    if not own:
        return counts, torch.zeros(0, dtype=torch.int32, device=device)
    rows_of, order = torch.cat(own).sort(stable=True)
    counts[1:] = torch.bincount(rows_of, minlength=first.number)
    return torch.cumsum(counts, 0), torch.cat(lists)[order]


def _near(
    one: torch.Tensor, radius: torch.Tensor, other: torch.Tensor, wide: torch.Tensor, reach: Reach
) -> torch.Tensor:
    """Whether spheres hold a pair of points in reach; not by torch.cdist, slow in float64."""
    # Rounding of a distance of points on the unit sphere or in a plane of such units.
    slack = 1e-12
    d2 = (one[..., 0] - other[..., 0]).square()
    for k in (1, 2):
        d2 += (one[..., k] - other[..., k]).square()
    apart, both = d2.sqrt_(), radius + wide + slack
    return (apart - both <= reach.high) & (apart + both >= reach.low)


def bins_in_reach(
    first: Blocks, second: Blocks, reaches: Sequence[Reach]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Blocks in reach of any bin, as from `in_reach`, and the bins of each entry.

    Those from the third tensor up to the fourth, which is left out.
    """
    import torch

    device = first.center.device
    if not reaches:
        none = torch.zeros(0, dtype=torch.int32, device=device)
        return torch.zeros(first.number + 1, dtype=torch.int64, device=device), none, none, none
    widest = Reach(min(r.low for r in reaches), max(r.high for r in reaches))
    rows, lists = in_reach(first, second, widest, after=False)
    own = torch.repeat_interleave(torch.arange(first.number, device=device), rows.diff())
    low = torch.full_like(lists, len(reaches))
    high = torch.zeros_like(lists)
    for start in range(0, len(lists), STEP):
        part = slice(start, start + STEP)
        i, j = own[part], lists[part]
        bounds = first.center[i], first.radius[i], second.center[j], second.radius[j]
        for b, reach in enumerate(reaches):
            near = _near(*bounds, reach)
            high[part][near] = b + 1
            low[part][near & (low[part] > b)] = b
    return rows, lists, low, high


def parts(number: int) -> int:
    """Programs that share the list of each of a number of blocks."""
    return max(1, min(32, PROGRAMS // number))


def terms(high: float) -> int:
    """Terms of the series of the separation up to the chord `high`; 0 where it is of no use.

    The k-th is below (high/2)^(2k).
    """
    if high >= 0.35:
        return 0
    return next(k for k in (3, 4, 6, 14) if k == 14 or (high / 2) ** (2 * k + 2) < 1e-17)
