"""Soft-binned sums of all pairs on a GPU: objects in blocks, and blocks in reach of a bin."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pysoftcorr.core.extras import need

if TYPE_CHECKING:
    import torch

__all__ = ["Pairs", "check_device"]

FloatArray = npt.NDArray[np.float64]

#: Objects of a block; a program owns one, and keeps sums of BLOCK^2 pairs in registers.
BLOCK = 32
WARPS = 8
#: Exponent beyond which a weight is left out: e^-40, below the rounding of a sum.
NEGLIGIBLE = 40.0
#: Chord up to which the series of the separation holds.
NARROW = 0.35
#: Bins whose weights sum to less have no pairs, as in Julia.
NO_PAIRS = 1e-290
ARCMIN = 10800 / math.pi


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


class Blocks(NamedTuple):
    """Points in blocks of near ones, and what bounds the blocks.

    Attributes
    ----------
    place : tensor of int64, shape (N,)
        Slot of each of the N points; other slots, without weight, fill the blocks up.
    points : tensor, shape (6, n)
        x, y, z, M1, M2, W.
    center, radius : tensor, shape (n / BLOCK, 3) and (n / BLOCK,)
    """

    place: torch.Tensor
    points: torch.Tensor
    center: torch.Tensor
    radius: torch.Tensor


def in_blocks(points: torch.Tensor) -> Blocks:
    """Points (6, n) split in halves along their widest side until a block is left."""
    import torch

    n = points.shape[1]
    levels = max(0, math.ceil(math.log2(max(n, 1) / BLOCK)))
    size = BLOCK << levels
    order = torch.arange(size, device=points.device)
    filled = points[:, order.clamp(max=n - 1)]
    filled[3:, n:] = 0.0
    for level in range(levels):
        places = filled[:3].view(3, 1 << level, -1)
        width = places.amax(2) - places.amin(2)
        widest = width.argmax(0)
        key = places.gather(0, widest[None, :, None].expand(1, -1, places.shape[2]))[0]
        inner = key.argsort(dim=1, stable=True)
        rows = (inner + torch.arange(1 << level, device=key.device)[:, None] * key.shape[1]).view(
            -1
        )
        order, filled = order[rows], filled[:, rows]
    blocks = filled[:3].view(3, -1, BLOCK)
    center = blocks.mean(2)
    radius = (blocks - center[:, :, None]).square().sum(0).sqrt().amax(1)
    place = torch.empty_like(order)
    place[order] = torch.arange(size, device=order.device)
    return Blocks(place[:n], filled.contiguous(), center.T.contiguous(), radius)


class Reach(NamedTuple):
    """Chords between which a bin has weight."""

    low: float
    high: float


def reaches(bins: FloatArray, *, flat: bool, gauss: bool) -> list[Reach]:
    """Chords between which each bin (3, nbins) has weight."""
    lo, hi, s = bins
    if gauss:
        far = np.sqrt(NEGLIGIBLE / s)
        low, high = (lo + hi) / 2 - far, (lo + hi) / 2 + far
    else:
        low, high = lo - NEGLIGIBLE / s, hi + NEGLIGIBLE / s
    low = np.maximum(low, 0.0)
    if not flat:
        low, high = (2 * np.sin(np.minimum(t / ARCMIN, np.pi) / 2) for t in (low, high))
        # An angle of 180 degrees or more has no chord that it could be compared with.
        high = np.where(high >= 2 * (1 - 1e-12), np.inf, high)
    return [Reach(float(a), float(b)) for a, b in zip(low, high, strict=True)]


def in_reach(blocks: Blocks, reach: Reach, *, after: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Blocks in reach of each, as lists in compressed rows; with `after` not those before it."""
    import torch

    number = len(blocks.center)
    step = max(1, (1 << 26) // number)
    counts, lists = [], []
    index = torch.arange(number, device=blocks.center.device)
    # Rounding of a distance of points on the unit sphere or in a plane of such units.
    slack = 1e-12
    for start in range(0, number, step):
        rows = slice(start, min(start + step, number))
        apart = torch.cdist(
            blocks.center[rows], blocks.center, compute_mode="donot_use_mm_for_euclid_dist"
        )
        wide = blocks.radius[rows, None] + blocks.radius + slack
        near = (apart - wide <= reach.high) & (apart + wide >= reach.low)
        if after:
            near &= index >= index[rows, None]
        counts.append(near.sum(1))
        lists.append(near.nonzero()[:, 1].to(torch.int32))
    first = torch.zeros(number + 1, dtype=torch.int64, device=index.device)
    first[1:] = torch.cumsum(torch.cat(counts), 0)
    return first, torch.cat(lists)


class Pairs:
    """Soft pairs of objects on a device.

    Parameters
    ----------
    objects : ndarray, shape (5, N)
        Two coordinates (degrees, or in a plane), g1, g2 and w.
    bins : ndarray, shape (3, nbins)
        Edges and sharpness: in arcmin, or in the unit of the plane.
    flat, minus, gauss, drop : bool
        Geometry, xi- instead of xi+, Gaussian bins, and whether coincident pairs are left out.
    device : str
    """

    def __init__(
        self,
        objects: FloatArray,
        bins: FloatArray,
        *,
        flat: bool,
        minus: bool,
        gauss: bool,
        drop: bool,
        device: str,
    ) -> None:
        import torch

        self.flat, self.minus = flat, minus
        self.device = device
        self.nbins = bins.shape[1]
        self.options = {
            "nbins": self.nbins, "FLAT": flat, "MINUS": minus,
            "GAUSS": gauss, "DROP": drop or minus, "BLOCK": BLOCK, "num_warps": WARPS,
        }  # fmt: skip
        self.columns = torch.from_numpy(np.ascontiguousarray(objects)).to(device)
        self.bins = torch.from_numpy(np.ascontiguousarray(bins)).to(device)
        self.reaches = reaches(bins, flat=flat, gauss=gauss)
        self.blocks = in_blocks(self._points())

    def _points(self) -> torch.Tensor:
        import torch

        a, b, g1, g2, w = self.columns
        if self.flat:
            place = torch.stack([a, b, torch.zeros_like(a)])
        else:
            # Whole turns are taken off in degrees, where that is exact.
            ra, dec = torch.deg2rad(a - 360 * torch.round(a / 360)), torch.deg2rad(b)
            place = torch.stack(
                [torch.cos(dec) * torch.cos(ra), torch.cos(dec) * torch.sin(ra), torch.sin(dec)]
            )
        return torch.cat([place, torch.stack([w * g1, w * g2, w])])

    def value(self) -> tuple[FloatArray, int]:
        """xi (nbins,), NaN where there are no pairs, and the number of coincident pairs."""
        num, den, met = self.sums()
        return _ratio(num, den), met

    def gradients(self, cotangents: FloatArray) -> tuple[FloatArray, FloatArray, int]:
        """xi, its gradients (5, R, N) for cotangents (R, nbins), and the coincident pairs."""
        import torch

        num, den, met = self.sums()
        xi = _ratio(num, den)
        bottom = den.cpu().numpy()
        some = bottom > NO_PAIRS
        by_num = np.where(some, cotangents / np.where(some, bottom, 1.0), 0.0)
        by_den = np.where(some & (by_num != 0), -by_num * np.where(some, xi, 0.0), 0.0)
        back = self.pull(
            torch.from_numpy(by_num).to(self.device), torch.from_numpy(by_den).to(self.device)
        )
        return xi, back.cpu().numpy(), met

    def sums(self) -> tuple[torch.Tensor, torch.Tensor, int]:
        """Sums of products and of weights, (nbins,), and the number of coincident pairs."""
        import torch

        from pysoftcorr.sky.triton_pairs import soft_sums

        blocks = self.blocks
        programs = len(blocks.center)
        total = torch.zeros((self.nbins, 2), dtype=torch.float64, device=self.device)
        met = torch.zeros(programs, dtype=torch.int32, device=self.device)
        for b, reach in enumerate(self.reaches):
            first, lists = in_reach(blocks, reach, after=True)
            out = torch.zeros((2, programs), dtype=torch.float64, device=self.device)
            soft_sums[(programs,)](
                blocks.points, blocks.points.shape[1], first, lists, self.bins, out, met,
                bin=b, COUNT=False, NARROW=reach.high < NARROW, **self.options,
            )  # fmt: skip
            total[b] = out.sum(1)
        if min(r.low for r in self.reaches) > 0:
            return total[:, 0], total[:, 1], 0
        first, lists = in_reach(blocks, Reach(0.0, 1e-14), after=True)
        soft_sums[(programs,)](
            blocks.points, blocks.points.shape[1], first, lists, self.bins,
            torch.zeros((2, programs), dtype=torch.float64, device=self.device), met,
            bin=0, COUNT=True, NARROW=True, **self.options,
        )  # fmt: skip
        return total[:, 0], total[:, 1], int(met.sum())

    def pull(self, by_num: torch.Tensor, by_den: torch.Tensor) -> torch.Tensor:
        """Gradients (5, R, N) by the objects, of cotangents (R, nbins) of the sums."""
        import torch

        from pysoftcorr.sky.triton_pairs import soft_pull

        blocks = self.blocks
        size = blocks.points.shape[1]
        rows = [torch.zeros((6, size), dtype=torch.float64, device=self.device) for _ in by_num]
        wanted = (by_num != 0) | (by_den != 0)
        for b, reach in enumerate(self.reaches):
            if not wanted[:, b].any():
                continue
            first, lists = in_reach(blocks, reach, after=False)
            for r, out in enumerate(rows):
                if wanted[r, b]:
                    soft_pull[(len(blocks.center),)](
                        blocks.points, size, first, lists, self.bins,
                        by_num[r].contiguous(), by_den[r].contiguous(), out,
                        bin=b, NARROW=reach.high < NARROW, **self.options,
                    )  # fmt: skip
        return torch.stack([self._by_objects(out[:, blocks.place]) for out in rows], dim=1)

    def _by_objects(self, by_points: torch.Tensor) -> torch.Tensor:
        """Gradient (5, N) by the columns from that by the points, (6, N)."""
        import torch

        a, b, g1, g2, w = self.columns
        gx, gy, gz, m1, m2, by_w = by_points
        if self.flat:
            first, second = gx, gy
        else:
            ra, dec = torch.deg2rad(a - 360 * torch.round(a / 360)), torch.deg2rad(b)
            ca, sa, cd, sd = torch.cos(ra), torch.sin(ra), torch.cos(dec), torch.sin(dec)
            first = math.radians(1) * cd * (-sa * gx + ca * gy)
            second = math.radians(1) * (-sd * (ca * gx + sa * gy) + cd * gz)
        return torch.stack([first, second, w * m1, w * m2, by_w + g1 * m1 + g2 * m2])


def _ratio(num: Any, den: Any) -> FloatArray:
    top, bottom = num.cpu().numpy(), den.cpu().numpy()
    out = np.full(top.shape, np.nan)
    return np.divide(top, bottom, out=out, where=bottom > NO_PAIRS)
