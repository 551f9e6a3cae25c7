"""Means of xi, omega and eta from tables of halos, in torch: differentiable in all parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from pysoftcorr.mocks.assembly import decoration
from pysoftcorr.mocks.hod import PARAMETERS
from pysoftcorr.mocks.strengths import order_parameter
from pysoftcorr.mocks.tabulated.nfw import TERMS

__all__ = ["Assembly", "CellTables", "MeanTables", "Means", "mean_numbers", "products"]

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


class CellTables:
    """Cells of mass, and how many galaxies their halos hold.

    Parameters
    ----------
    logm, count : ndarray, shape (F,)
        Cells of mass.
    projection : ndarray, shape (K, F)
        To coefficients of the nodes.
    rr : ndarray, shape (b,)
        Pairs that one pair of unclustered galaxies would make in each bin, all boxes together.
    boxes : int
        Boxes that the sums are over.
    assembly : Assembly, optional
        Where halos are kept apart by concentration; parameters then may have two more columns,
        `assembly_cen` and `assembly_sat`.

    Notes
    -----
    After Zheng & Guo (2016) and Lange et al. (2019), with orientations. Centrals are Bernoulli with
    mean p, satellites Poisson with mean l and independent of them; axes of strength mu have
    <e e^T> - 1/3 = S (n n^T - 1/3) about their reference n, S the order parameter.
    """

    def __init__(
        self, logm: FloatArray, count: FloatArray, projection: FloatArray, rr: FloatArray,
        boxes: int, assembly: Assembly | None = None,
    ) -> None:  # fmt: skip
        self.logm, self.count, self.rr = _tensor(logm), _tensor(count), _tensor(rr)
        self.boxes, self.assembly = boxes, assembly
        self.concentrated = None if assembly is None else torch.tensor(assembly.upper)
        self.projection = _tensor(projection.T)
        self.bins, self.nodes = rr.size, projection.shape[0]

    def occupation(self, params: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean centrals and satellites of the cells at parameters (..., 7 or 9), each (..., F)."""
        return self._occupied(params, self.logm, self.concentrated)

    def _occupied(
        self, params: torch.Tensor, logm: torch.Tensor, concentrated: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        central, satellite = mean_numbers(params, logm)
        if self.assembly is None or concentrated is None or params.shape[-1] == len(PARAMETERS):
            return central, satellite
        split, by_cen, by_sat = self.assembly.split, params[..., 7:8], params[..., 8:9]
        return (
            central + decoration(central, by_cen, concentrated, split, 1.0, torch),
            satellite + decoration(satellite, by_sat, concentrated, split, math.inf, torch),
        )

    def __call__(self, params: torch.Tensor) -> Means:
        """Means at parameters (..., 7 or 9) in float64."""
        raise NotImplementedError

    def slopes(self, params: torch.Tensor) -> torch.Tensor:
        """Derivatives (n, 3, b, 7) of xi, omega and eta by the seven parameters."""
        raise NotImplementedError


class MeanTables(CellTables):
    """Sums over halos and pairs of halos whose satellites have a profile, ready for evaluation.

    Parameters
    ----------
    logm, count, projection, rr, boxes, assembly
        As of `CellTables`.
    forms : ndarray, shape (10, K, K, b)
        `TERMS`, over both orders of a pair.
    one_halo : ndarray, shape (6, F, b)
        As `OneHalo`.

    Notes
    -----
    <Ncen Nsat> = p l and <Nsat (Nsat - 1)> = l^2. Of isotropic satellites the axis of a central
    towards its own ones, and its axis with theirs, average to exactly 0; of others they do not.
    """

    def __init__(
        self, logm: FloatArray, count: FloatArray, projection: FloatArray, forms: FloatArray,
        one_halo: FloatArray, rr: FloatArray, boxes: int, assembly: Assembly | None = None,
    ) -> None:  # fmt: skip
        super().__init__(logm, count, projection, rr, boxes, assembly)
        term = dict(zip(TERMS, forms, strict=True))
        central, own_along, own_axes, pairs, along, axes = one_halo
        self.forms, self.one_halo = term, one_halo
        first, second = np.triu_indices(self.nodes)
        self.halves = torch.tensor(first), torch.tensor(second)

        def halves(name: str) -> FloatArray:
            """(K (K + 1)/2, b): either order of two nodes is one row."""
            both = (term[name] + term[name].transpose(1, 0, 2))[first, second]
            return np.where((first == second)[:, None], both / 2, both)

        def flat(name: str) -> FloatArray:
            return term[name].reshape(-1, self.bins)

        # From products of numbers, of two nodes and of cells, to terms x bins. What an evaluation
        # costs is to read these; eta has its own, so that a posterior without it reads no others.
        self.number_cc, self.along_cc = _tensor(halves("n_cc")), _tensor(halves("a_cc"))
        self.axes_cc = _tensor(halves("h_cc"))
        self.number_cs = _tensor(np.vstack([flat("n_cs"), central]))
        of_cen, of_sat = [flat("ac_cs"), own_along], [flat("as_cs"), 2 / 3 * central]
        self.along_cs = _tensor(np.hstack([np.vstack(of_cen), np.vstack(of_sat)]))
        self.axes_cs = _tensor(np.vstack([flat("h_cs"), own_axes]))
        number, turned = np.vstack([halves("n_ss"), pairs]), np.vstack([halves("a_ss"), along])
        self.number_ss = _tensor(np.hstack([number, turned]))
        self.axes_ss = _tensor(np.vstack([halves("h_ss"), axes]))

    # ------------------------------------------------------------------ correlations
    def __call__(self, params: torch.Tensor) -> Means:
        """Means at parameters (..., 7 or 9) in float64."""
        numbers = self._numbers(*self.occupation(params))
        total = numbers @ self.count
        order = order_parameter(params[..., :2])
        xi, omega, eta = self._ratios(self._sums(numbers), total[..., None], order[..., None])
        return Means(xi, omega, eta, total[..., 0], total[..., 1])

    def slopes(self, params: torch.Tensor) -> torch.Tensor:
        """Derivatives (..., 3, b, 7) of xi, omega and eta; 0 where there are no pairs.

        A chain of three parts: cells have their numbers, and bins their ratios, each for itself, so
        that one backward pass has the derivatives of all; sums over pairs are quadratic in the
        numbers, so that the difference of two is exact.
        """
        again = torch.is_grad_enabled() and params.requires_grad
        with torch.enable_grad():
            # Every cell with parameters of its own.
            own = params[..., None, :].expand(*params.shape[:-1], self.logm.numel(), -1)
            own = own if own.requires_grad else own.detach().requires_grad_(True)
            of_cell = None if self.concentrated is None else self.concentrated[:, None]
            held = self._occupied(own, self.logm[:, None], of_cell)
            numbers = self._numbers(*(x[..., 0] for x in held))
            parts = numbers.unbind(-2)
            along = [torch.autograd.grad(x.sum(), own, create_graph=True)[0] for x in parts]
            tangent = torch.stack(along, dim=-1)[..., 2:7, :].movedim(-3, -1)  # ..., 5, 3, F

            strengths = params[..., :2]
            strengths = strengths if again else strengths.detach().requires_grad_(True)
            order = order_parameter(strengths)
            (turn,) = torch.autograd.grad(order.sum(), strengths, create_graph=True)
            total, change = numbers @ self.count, tangent @ self.count
            here = numbers[..., None, :, :]
            rows = torch.cat([here, here + tangent, here - tangent], dim=-3)
            sums = torch.stack(self._sums(rows), dim=-2)
            there, up, down = sums.split([1, 5, 5], dim=-3)
            bins = (*total.shape, self.bins)
            inputs = [there[..., 0, :, :], total[..., None].expand(bins),
                      order[..., None].expand(*bins[:-2], 2, self.bins)]  # fmt: skip
            inputs = [x if again else x.detach().requires_grad_(True) for x in inputs]
            found = []
            for one in self._ratios(inputs[0].unbind(-2), *inputs[1:]):
                value = torch.where(one.isnan(), 0.0, one).sum()
                by_sum, by_total, by_order = torch.autograd.grad(
                    value, inputs, create_graph=again, retain_graph=True, allow_unused=True
                )
                slope = torch.einsum("...kb,...pkb->...bp", by_sum, (up - down) / 2)
                if by_total is not None:
                    slope = slope + torch.einsum("...kb,...pk->...bp", by_total, change)
                turned = torch.zeros_like(slope[..., :2])
                if by_order is not None:
                    turned = by_order.transpose(-1, -2) * turn[..., None, :]
                found.append(torch.cat([turned, slope], dim=-1))
            made = torch.stack(found, dim=-3)
        return made if again else made.detach()

    @staticmethod
    def _numbers(p: torch.Tensor, lam: torch.Tensor) -> torch.Tensor:
        """Centrals, satellites, and the variance of centrals, (..., 3, F)."""
        return torch.stack([p, lam, p - p * p], dim=-2)

    def _sums(self, numbers: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Seven sums over pairs (..., b), quadratic in numbers (..., 3, F).

        Pairs; those that the numbers of galaxies are correlated with; (a . s)^2 - 1/3 of centrals
        and of satellites; (a . a')^2 - 1/3 of two centrals, one of each, two satellites.
        """
        p, lam, variance = numbers.unbind(-2)
        cen, sat, spread = (numbers @ self.projection).unbind(-2)
        first, second = (cen.index_select(-1, rows) for rows in self.halves)
        other, another = (spread.index_select(-1, rows) for rows in self.halves)
        two = first * second
        both = torch.stack([two, (first * another + other * second) / 2], dim=-2)
        n_cc, shared = (both @ self.number_cc).unbind(-2)
        a_cc, h_cc = two @ self.along_cc, two @ self.axes_cc
        two = torch.cat([products(cen, sat), p * lam], dim=-1)
        other = torch.cat([products(spread, sat), variance * lam], dim=-1)
        n_cs, more = (torch.stack([two, other], dim=-2) @ self.number_cs).unbind(-2)
        ac_cs, as_cs = (two @ self.along_cs).split(self.bins, dim=-1)
        h_cs = two @ self.axes_cs
        first, second = (sat.index_select(-1, rows) for rows in self.halves)
        two = torch.cat([first * second, lam * lam], dim=-1)
        n_ss, a_ss = (two @ self.number_ss).split(self.bins, dim=-1)
        h_ss = two @ self.axes_ss
        dd, shared = n_cc + 2 * n_cs + n_ss, shared + more + n_cs + n_ss
        return dd, shared, a_cc + ac_cs, as_cs + a_ss, h_cc, h_cs, h_ss

    def _ratios(
        self, sums: Sequence[torch.Tensor], number: torch.Tensor, order: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """xi, omega and eta (..., b) of `_sums`, numbers (..., 3, 1) and orders (..., 2, 1)."""
        dd, shared, of_cen, of_sat, h_cc, h_cs, h_ss = sums
        centrals, satellites, variance = number.unbind(-2)
        # The mean of DD/N^2 is not the ratio of means: to first order in 1/N, of each box.
        n = centrals + satellites
        square, scatter = n * n, (3 * self.boxes) * (variance + satellites)
        unbiased = dd * (1 + scatter / square) - (4 * self.boxes) * shared / n
        xi = unbiased / (square * self.rr) - 1
        cen, sat = order.unbind(-2)
        omega = cen * of_cen + sat * of_sat
        eta = cen * (cen * h_cc + 2 * sat * h_cs) + sat * sat * h_ss
        some = dd > 0
        # NaN, with derivatives of 0, where there are no pairs.
        pairs = torch.where(some, dd, 1.0)
        omega, eta = (torch.where(some, total / pairs, math.nan) for total in (omega, eta))
        return xi, omega, eta


def products(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Products of numbers at the nodes of the first and of the second, (..., K x K)."""
    return (first[..., :, None] * second[..., None, :]).flatten(-2)


def mean_numbers(params: torch.Tensor, logm: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean centrals and satellites of halos of log10 masses (F,), each of shape (..., F)."""
    log_min, sigma, log_0, log_1, alpha = params[..., 2:7, None].unbind(-2)
    central = 0.5 * torch.erfc((log_min - logm) / sigma)
    depth = _LN10 * (log_0 - logm)
    above = depth < 0
    # ln(1 - M0/M), with a slope of 0 below M0 instead of none.
    left = torch.log(-torch.expm1(torch.where(above, depth, -1.0)))
    power = alpha * (_LN10 * (logm - log_1) + left)
    return central, torch.where(above, torch.exp(power), 0.0)


def _tensor(values: FloatArray) -> torch.Tensor:
    return torch.tensor(np.ascontiguousarray(values), dtype=torch.float64)
