"""Soft-binned sums of all pairs on a GPU, and their gradient."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pysoftcorr.sky.device.blocks import (
    BLOCK,
    TILE,
    Reach,
    bins_in_reach,
    in_blocks,
    in_reach,
    parts,
    terms,
)

if TYPE_CHECKING:
    import torch

__all__ = ["Pairs", "reaches"]

FloatArray = npt.NDArray[np.float64]

#: Exponent beyond which a weight is left out: e^-40, below the rounding of a sum.
NEGLIGIBLE = 40.0
#: As TILE, of the gradient, which needs more registers.
PULL = {"COLUMNS": 4, "num_warps": 4}
#: Bins whose weights sum to less have no pairs, as in Julia.
NO_PAIRS = 1e-290
ARCMIN = 10800 / math.pi


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
            "GAUSS": gauss, "DROP": drop or minus, "BLOCK": BLOCK, **TILE,
        }  # fmt: skip
        self.columns = torch.from_numpy(np.ascontiguousarray(objects)).to(device)
        self.bins = torch.from_numpy(np.ascontiguousarray(bins)).to(device)
        self.reaches = reaches(bins, flat=flat, gauss=gauss)
        self._sort()

    def _sort(self) -> None:
        """Objects in blocks: x, y, z, M1, M2, W by slot in `points` (6, n)."""
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
        self.blocks = in_blocks(place)
        self.points = torch.cat(
            [self.blocks.xyz, self.blocks.fill(torch.stack([w * g1, w * g2, w]))]
        )

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

        from pysoftcorr.sky.device.triton_soft import soft_sums

        blocks = self.blocks
        grid = (blocks.number, parts(blocks.number))
        total = torch.zeros((self.nbins, 2), dtype=torch.float64, device=self.device)
        met = torch.zeros(grid, dtype=torch.int32, device=self.device)
        out = torch.zeros((2, *grid), dtype=torch.float64, device=self.device)
        for b, reach in enumerate(self.reaches):
            first, lists = in_reach(blocks, blocks, reach, after=True)
            soft_sums[grid](
                self.points, blocks.size, first, lists, self.bins, out, met,
                bin=b, COUNT=False, TERMS=terms(reach.high), **self.options,
            )  # fmt: skip
            total[b] = out.sum((1, 2))
        if min(r.low for r in self.reaches) > 0:
            return total[:, 0], total[:, 1], 0
        first, lists = in_reach(blocks, blocks, Reach(0.0, 1e-14), after=True)
        soft_sums[grid](
            self.points, blocks.size, first, lists, self.bins, out, met,
            bin=0, COUNT=True, TERMS=terms(0.0), **self.options,
        )  # fmt: skip
        return total[:, 0], total[:, 1], int(met.sum())

    def pull(self, by_num: torch.Tensor, by_den: torch.Tensor) -> torch.Tensor:
        """Gradients (5, R, N) by the objects, of cotangents (R, nbins) of the sums."""
        import torch

        from pysoftcorr.sky.device.triton_soft import soft_pull

        blocks = self.blocks
        grid = (blocks.number, parts(blocks.number))
        out = torch.empty((grid[1], 6, blocks.size), dtype=torch.float64, device=self.device)
        wanted = ((by_num != 0) | (by_den != 0)).cpu().numpy()
        back = out.new_empty((5, len(wanted), self.columns.shape[1]))
        for some in np.unique(wanted, axis=0):
            chosen = np.flatnonzero(some)
            reaches = [self.reaches[b] for b in chosen]
            lists = bins_in_reach(blocks, blocks, reaches)
            bins = self.bins[:, chosen].contiguous()
            high = max((reach.high for reach in reaches), default=0.0)
            for r in np.flatnonzero((wanted == some).all(axis=1)):
                soft_pull[grid](
                    self.points, blocks.size, *lists, bins,
                    by_num[r, chosen].contiguous(), by_den[r, chosen].contiguous(), out,
                    **(self.options | PULL | {"nbins": len(chosen), "TERMS": terms(high)}),
                )  # fmt: skip
                back[:, r] = self._by_objects(out.sum(0)[:, blocks.place])
        return back

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
