"""Means of xi, omega and eta of satellites on subhalos, in torch."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch

from pysoftcorr.mocks.hod import PARAMETERS
from pysoftcorr.mocks.strengths import order_parameter
from pysoftcorr.mocks.tabulated.means import CellTables, Means
from pysoftcorr.mocks.tabulated.ranks import RankKinds, RankOccupation, RankSlots

__all__ = ["RankedMeanTables"]

FloatArray = npt.NDArray[np.float64]


class RankedMeanTables(CellTables):
    """Sums over halos and pairs of halos with satellites on subhalos, ready for evaluation.

    Parameters
    ----------
    logm, count, projection, rr, boxes
        As of `CellTables`.
    forms : ndarray, shape (3, kinds, kinds, b)
        The number and the sums of the axis of the first and of both, by kind of place of the first
        and of the second.
    kinds : RankKinds
    slots : RankSlots
        Pairs within halos.
    """

    def __init__(
        self, logm: FloatArray, count: FloatArray, projection: FloatArray, forms: FloatArray,
        kinds: RankKinds, slots: RankSlots, rr: FloatArray, boxes: int,
    ) -> None:  # fmt: skip
        super().__init__(logm, count, projection, rr, boxes)
        term = _terms(forms, self.nodes)
        # From the coefficients of the second of a pair to terms and bins, by kind of the first.
        self.of_centrals = self._matrix(term, ("n_cc", "a_cc", "h_cc"))
        self.mixed = self._matrix(term, ("n_cs", "ac_cs", "as_cs", "h_cs"))
        self.of_satellites = self._matrix(term, ("n_ss", "a_ss", "h_ss"))
        self.ranks = RankOccupation(slots.top, kinds, projection)
        every = np.arange(slots.top.size)
        self.cell_of = torch.as_tensor(np.concatenate([np.repeat(every, slots.top), every, every]))
        self.central_one = _tensor(slots.central[:, 0])
        # The reference of a satellite is the separation.
        self.central_axis_one = _tensor(slots.central[:, [1, 1]].reshape(len(slots.central), -1))
        self.satellite_one = _tensor(slots.pairs.reshape(len(slots.pairs), -1))

    @staticmethod
    def _matrix(term: dict[str, FloatArray], names: tuple[str, ...]) -> torch.Tensor:
        """(kinds of the second, terms x b x kinds of the first)."""
        stacked = np.stack([term[name] for name in names])  # terms, first, second, b
        moved = stacked.transpose(2, 0, 3, 1)
        return _tensor(moved.reshape(moved.shape[0], -1))

    def applied(self, matrix: torch.Tensor, second: torch.Tensor, first: int) -> torch.Tensor:
        """(..., terms, b, kinds of the first)."""
        return (second @ matrix).reshape(*second.shape[:-1], -1, self.bins, first)

    # ------------------------------------------------------------------ correlations
    def __call__(self, params: torch.Tensor) -> Means:
        """Means at parameters (..., 7) in float64."""
        p, lam = self.occupation(params)
        variance = p * (1 - p)
        cen, spread = (part @ self.projection for part in (p, variance))
        kinds, slots, kinds_slope, slots_slope = self.ranks(lam)
        cc = self.applied(self.of_centrals, cen, self.nodes)
        cs = self.applied(self.mixed, kinds, self.nodes)
        ss = self.applied(self.of_satellites, kinds, kinds.shape[-1])
        cs_slope = self.applied(self.mixed, kinds_slope, self.nodes)
        cen, sat, slope, spread = (
            part[..., None, :, None] for part in (cen, kinds, kinds_slope, spread)
        )
        n_cc, a_cc, h_cc = (cc @ cen)[..., 0].unbind(-2)
        n_cs, ac_cs, as_cs, h_cs = (cs @ cen)[..., 0].unbind(-2)
        n_ss, a_ss, h_ss = (ss @ sat)[..., 0].unbind(-2)
        held, free = (part[..., self.cell_of] for part in (p, variance))
        own = (held * slots) @ self.central_one
        own_along, own_axes = ((held * slots) @ self.central_axis_one).split(self.bins, dim=-1)
        pairs, along, axes = (slots @ self.satellite_one).split(self.bins, dim=-1)

        centrals, satellites = p @ self.count, lam @ self.count
        dd = n_cc + 2 * n_cs + n_ss + 2 * own + pairs
        # The mean of DD/N^2 is not the ratio of means: to first order in 1/N, of each box.
        n = (centrals + satellites)[..., None]
        scatter = ((variance + lam) @ self.count)[..., None]
        shared = ((cc[..., 0, :, :] + cs[..., 0, :, :]) @ spread[..., 0, :, :])[..., 0]
        shared = shared + (cs_slope[..., 0, :, :] @ cen[..., 0, :, :])[..., 0]
        shared = shared + (ss[..., 0, :, :] @ slope[..., 0, :, :])[..., 0]
        within = free * slots + held * slots_slope
        shared = 2 * shared + 2 * (within @ self.central_one)
        shared = shared + slots_slope @ self.satellite_one[:, : self.bins]
        unbiased = dd * (1 + 3 * self.boxes * scatter / n**2) - 2 * self.boxes * shared / n
        xi = unbiased / (n * n * self.rr) - 1

        order = order_parameter(params[..., :2])
        of_cen, of_sat = order[..., :1], order[..., 1:]
        by_cen = a_cc + ac_cs + own_along
        by_sat = as_cs + a_ss + 2 / 3 * own + along
        omega = _mean(of_cen * by_cen + of_sat * by_sat, dd)
        eta = of_cen * of_cen * h_cc + 2 * of_cen * of_sat * (h_cs + own_axes)
        eta = _mean(eta + of_sat * of_sat * (h_ss + axes), dd)
        return Means(xi, omega, eta, centrals, satellites)

    def slopes(self, params: torch.Tensor) -> torch.Tensor:
        """Derivatives (n, 3, b, 7), in forward mode: rows do not touch each other."""

        def along(direction: torch.Tensor) -> torch.Tensor:
            direction = direction.expand_as(params)
            return torch.stack(torch.func.jvp(self, (params,), (direction,))[1][:3], dim=1)

        unit = torch.eye(len(PARAMETERS), dtype=params.dtype)
        return torch.func.vmap(along, out_dims=-1)(unit)


def _terms(sums: FloatArray, nodes: int) -> dict[str, FloatArray]:
    """`TERMS` of sums by kinds, of which the first are centers at the nodes."""
    c, s = slice(0, nodes), slice(nodes, None)
    n, a, h = sums
    return {
        "n_cc": n[c, c], "n_cs": n[c, s], "n_ss": n[s, s],
        "a_cc": a[c, c], "ac_cs": a[c, s], "as_cs": a[s, c].transpose(1, 0, 2), "a_ss": a[s, s],
        "h_cc": h[c, c], "h_cs": h[c, s], "h_ss": h[s, s],
    }  # fmt: skip


def _mean(total: torch.Tensor, pairs: torch.Tensor) -> torch.Tensor:
    """The ratio; NaN, with derivatives of 0, where there are no pairs."""
    some = pairs > 0
    ratio = total / torch.where(some, pairs, torch.ones_like(pairs))
    return torch.where(some, ratio, torch.full_like(ratio, math.nan))


def _tensor(values: FloatArray) -> torch.Tensor:
    return torch.tensor(np.ascontiguousarray(values), dtype=torch.float64)
