"""Means of xi, omega and eta from tables of halos, in torch: differentiable in all parameters."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from pysoftcorr.mocks.assembly import decoration
from pysoftcorr.mocks.hod import PARAMETERS
from pysoftcorr.mocks.strengths import order_parameter
from pysoftcorr.mocks.tabulated.nfw import TERMS
from pysoftcorr.mocks.tabulated.ranks import RankKinds, RankOccupation, RankSlots

__all__ = ["Assembly", "MeanTables", "Means", "mean_numbers"]

FloatArray = npt.NDArray[np.float64]

_LN10 = math.log(10.0)


class Means(NamedTuple):
    """What is expected at points (...).

    Attributes
    ----------
    xi, omega, eta : Tensor, shape (..., b)
    centrals, satellites : Tensor, shape (...)
        Mean numbers in all boxes together.
    """

    xi: torch.Tensor
    omega: torch.Tensor
    eta: torch.Tensor
    centrals: torch.Tensor
    satellites: torch.Tensor


class Assembly(NamedTuple):
    """Cells of halos that are kept apart by concentration.

    Attributes
    ----------
    upper : ndarray of bool, shape (F,)
        Whether they are those of more concentrated halos.
    split : float
        Part of the halos of a mass that are not.
    """

    upper: npt.NDArray[np.bool_]
    split: float


class MeanTables:
    """Sums over halos and pairs of halos, ready for evaluation.

    Parameters
    ----------
    logm, count : ndarray, shape (F,)
        Cells of mass.
    projection : ndarray, shape (K, F)
        To coefficients of the nodes.
    forms : ndarray, shape (10, K, K, b) or (3, kinds, kinds, b)
        `TERMS`, over both orders of a pair; or, with `ranks`, the number and the sums of the axis
        of the first and of both, by kind of the first and of the second.
    one_halo : ndarray, shape (6, F, b)
        As `OneHalo`.
    rr : ndarray, shape (b,)
        Pairs that one pair of unclustered galaxies would make in each bin, all boxes together.
    boxes : int
        Boxes that the sums are over.
    ranks : (RankKinds, RankSlots), optional
        Of satellites on subhalos: kinds of places, and pairs within halos, in the place of
        `one_halo`.
    assembly : Assembly, optional
        Where halos are kept apart by concentration; parameters then may have two more columns,
        `assembly_cen` and `assembly_sat`.

    Notes
    -----
    After Zheng & Guo (2016) and Lange et al. (2019), with orientations. Centrals are Bernoulli with
    mean p, satellites Poisson with mean l and independent of them, so that <Ncen Nsat> = p l and
    <Nsat (Nsat - 1)> = l^2; axes of strength mu have <e e^T> - 1/3 = S (n n^T - 1/3) about their
    reference n, S the order parameter. Of isotropic satellites the axis of a central towards its
    own ones, and its axis with theirs, average to exactly 0; of others they do not.
    """

    def __init__(
        self, logm: FloatArray, count: FloatArray, projection: FloatArray, forms: FloatArray,
        one_halo: FloatArray, rr: FloatArray, boxes: int,
        ranks: tuple[RankKinds, RankSlots] | None = None, assembly: Assembly | None = None,
    ) -> None:  # fmt: skip
        def tensor(values: FloatArray) -> torch.Tensor:
            return torch.tensor(np.ascontiguousarray(values), dtype=torch.float64)

        self.logm, self.count, self.rr = tensor(logm), tensor(count), tensor(rr)
        self.boxes, self.assembly = boxes, assembly
        self.upper = None if assembly is None else torch.tensor(assembly.upper)
        self.projection = tensor(projection.T)
        self.bins, self.nodes = rr.size, projection.shape[0]
        term = _terms(forms, self.nodes) if ranks else dict(zip(TERMS, forms, strict=True))
        # From the coefficients of the second of a pair to terms and bins, by node of the first.
        self.of_centrals = self._matrix(term, ("n_cc", "a_cc", "h_cc"), tensor)
        self.mixed = self._matrix(term, ("n_cs", "ac_cs", "as_cs", "h_cs"), tensor)
        self.of_satellites = self._matrix(term, ("n_ss", "a_ss", "h_ss"), tensor)
        if ranks is None:
            self.ranks, self.cell_of = None, None
            self.central_one, *of_central, pairs, along, axes = (tensor(part) for part in one_halo)
            self.central_axis_one = torch.cat(of_central, dim=1)
            self.satellite_one = torch.cat([pairs, along, axes], dim=1)
        else:
            kinds, slots = ranks
            self.ranks = RankOccupation(slots.top, kinds, projection)
            every = np.arange(slots.top.size)
            self.cell_of = torch.as_tensor(
                np.concatenate([np.repeat(every, slots.top), every, every])
            )
            self.central_one = tensor(slots.central[:, 0])
            # The reference of a satellite is the separation.
            self.central_axis_one = tensor(slots.central[:, [1, 1]].reshape(len(slots.central), -1))
            self.satellite_one = tensor(slots.pairs.reshape(len(slots.pairs), -1))

    @staticmethod
    def _matrix(
        term: dict[str, FloatArray],
        names: tuple[str, ...],
        tensor: Callable[[FloatArray], torch.Tensor],
    ) -> torch.Tensor:
        """(K of the second, terms x b x K of the first)."""
        stacked = np.stack([term[name] for name in names])  # terms, first, second, b
        moved = stacked.transpose(2, 0, 3, 1)
        return tensor(moved.reshape(moved.shape[0], -1))

    def _applied(
        self, matrix: torch.Tensor, second: torch.Tensor, first: int | None = None
    ) -> torch.Tensor:
        """(..., terms, b, kinds of the first); these are `first`, by default the nodes."""
        width = self.nodes if first is None else first
        return (second @ matrix).reshape(*second.shape[:-1], -1, self.bins, width)

    def _satellites(self, lam: torch.Tensor) -> _Satellites:
        if self.ranks is None:
            square = lam * lam
            sat = lam @ self.projection
            return _Satellites(sat, sat, lam, lam, square, 2 * square)
        kinds, slots, kinds_slope, slots_slope = self.ranks(lam)
        return _Satellites(kinds, kinds_slope, slots, slots_slope, slots, slots_slope)

    # ------------------------------------------------------------------ occupation
    def occupation(self, params: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean centrals and satellites of the cells at parameters (..., 7 or 9), each (..., F)."""
        central, satellite = mean_numbers(params, self.logm)
        if self.assembly is None or self.upper is None or params.shape[-1] == len(PARAMETERS):
            return central, satellite
        upper, split = self.upper, self.assembly.split
        by_cen, by_sat = params[..., 7:8], params[..., 8:9]
        return (
            central + decoration(central, by_cen, upper, split, 1.0, torch),
            satellite + decoration(satellite, by_sat, upper, split, math.inf, torch),
        )

    # ------------------------------------------------------------------ correlations
    def __call__(self, params: torch.Tensor) -> Means:
        """Means at parameters (..., 7) in float64."""
        p, lam = self.occupation(params)
        variance = p * (1 - p)
        cen, spread = (part @ self.projection for part in (p, variance))
        by = self._satellites(lam)
        cc = self._applied(self.of_centrals, cen)
        cs = self._applied(self.mixed, by.kinds)
        ss = self._applied(self.of_satellites, by.kinds, by.kinds.shape[-1])
        cs_slope = cs
        if by.slopes is not by.kinds:
            cs_slope = self._applied(self.mixed, by.slopes)
        cen, sat, slope, spread = (
            part[..., None, :, None] for part in (cen, by.kinds, by.slopes, spread)
        )
        n_cc, a_cc, h_cc = (cc @ cen)[..., 0].unbind(-2)
        n_cs, ac_cs, as_cs, h_cs = (cs @ cen)[..., 0].unbind(-2)
        n_ss, a_ss, h_ss = (ss @ sat)[..., 0].unbind(-2)
        held, free = (part if self.cell_of is None else part[..., self.cell_of]
                      for part in (p, variance))  # fmt: skip
        own = (held * by.own) @ self.central_one
        own_along, own_axes = ((held * by.own) @ self.central_axis_one).split(self.bins, dim=-1)
        pairs, along, axes = (by.pairs @ self.satellite_one).split(self.bins, dim=-1)

        centrals, satellites = p @ self.count, lam @ self.count
        dd = n_cc + 2 * n_cs + n_ss + 2 * own + pairs
        # The mean of DD/N^2 is not the ratio of means: to first order in 1/N, of each box.
        n = (centrals + satellites)[..., None]
        scatter = ((variance + lam) @ self.count)[..., None]
        shared = ((cc[..., 0, :, :] + cs[..., 0, :, :]) @ spread[..., 0, :, :])[..., 0]
        shared = shared + (cs_slope[..., 0, :, :] @ cen[..., 0, :, :])[..., 0]
        shared = shared + (ss[..., 0, :, :] @ slope[..., 0, :, :])[..., 0]
        within = free * by.own + held * by.own_slope
        shared = 2 * shared + 2 * (within @ self.central_one)
        shared = shared + by.pairs_slope @ self.satellite_one[:, : self.bins]
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


class _Satellites(NamedTuple):
    """Satellites at mean numbers lam, and lam d/dlam, which is the covariance with their number.

    Of the kinds of places; of each with a central of the halo; and of pairs within a halo.
    """

    kinds: torch.Tensor
    slopes: torch.Tensor
    own: torch.Tensor
    own_slope: torch.Tensor
    pairs: torch.Tensor
    pairs_slope: torch.Tensor


def _terms(sums: FloatArray, nodes: int) -> dict[str, FloatArray]:
    """`TERMS` of sums by kinds, of which the first are centers at the nodes."""
    c, s = slice(0, nodes), slice(nodes, None)
    n, a, h = sums
    return {
        "n_cc": n[c, c], "n_cs": n[c, s], "n_ss": n[s, s],
        "a_cc": a[c, c], "ac_cs": a[c, s], "as_cs": a[s, c].transpose(1, 0, 2), "a_ss": a[s, s],
        "h_cc": h[c, c], "h_cs": h[c, s], "h_ss": h[s, s],
    }  # fmt: skip


def mean_numbers(params: torch.Tensor, logm: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean centrals and satellites of halos of log10 masses (F,), each of shape (..., F)."""
    log_min, sigma, log_0, log_1, alpha = (params[..., k : k + 1] for k in range(2, 7))
    central = 0.5 * torch.erfc((log_min - logm) / sigma)
    depth = _LN10 * (log_0 - logm)
    above = depth < 0
    # ln(1 - M0/M), with a slope of 0 below M0 instead of none.
    left = torch.log(-torch.expm1(torch.where(above, depth, -torch.ones_like(depth))))
    power = alpha * (_LN10 * (logm - log_1) + left)
    return central, torch.where(above, torch.exp(power), torch.zeros_like(power))


def _mean(total: torch.Tensor, pairs: torch.Tensor) -> torch.Tensor:
    """The ratio; NaN, with derivatives of 0, where there are no pairs."""
    some = pairs > 0
    ratio = total / torch.where(some, pairs, torch.ones_like(pairs))
    return torch.where(some, ratio, torch.full_like(ratio, math.nan))
