"""Means of wp, w_g+ and w_++ from tables of halos, in torch: differentiable in all parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from pysoftcorr.mocks.anisotropic import projected_fraction
from pysoftcorr.mocks.hod import PARAMETERS
from pysoftcorr.mocks.strengths import order_parameter
from pysoftcorr.mocks.tabulated.means import CellTables
from pysoftcorr.mocks.tabulated.nfw import TERMS
from pysoftcorr.mocks.tabulated.projected import ProjectedBox, Projection

__all__ = ["ProjectedMeanTables", "ProjectedMeans"]

FloatArray = npt.NDArray[np.float64]


class ProjectedMeans(NamedTuple):
    """What is expected at points (...), Mpc/h.

    Attributes
    ----------
    wp, w_gp, w_pp : Tensor, shape (..., b)
    """

    wp: torch.Tensor
    w_gp: torch.Tensor
    w_pp: torch.Tensor


class _Sums(NamedTuple):
    """Expected sums over pairs, and their covariances with the number of galaxies."""

    centrals: torch.Tensor
    mixed: torch.Tensor
    satellites: torch.Tensor
    own: torch.Tensor
    pairs: torch.Tensor


class ProjectedMeanTables:
    """Sums over halos and pairs of halos about a line of sight, ready for evaluation.

    Parameters
    ----------
    tables : CellTables
        Of the same boxes: cells and nodes of mass.
    boxes : sequence of ProjectedBox
    some : ndarray of bool, shape (cells,)
        Cells that have halos.
    projection : Projection
    volume : float
        Of all boxes together, (Mpc/h)^3.

    Notes
    -----
    The ellipticity of an axis n is (n1 + i n2)^2, linear in n n^T: about its reference it is on
    average the order parameter times that of the reference, as for omega. A central's axis towards
    its own satellites averages to exactly 0, also on the sky.
    """

    def __init__(
        self, tables: CellTables, boxes: Sequence[ProjectedBox], some: npt.NDArray[np.bool_],
        projection: Projection, volume: float,
    ) -> None:  # fmt: skip
        self.tables, self.pi_max = tables, projection.pi_max
        edges = projection.edges
        self.bins, self.nodes = edges.size - 1, tables.nodes
        side = float(np.cbrt(volume))
        fraction = projected_fraction(
            edges, np.array([0.0, self.pi_max]), np.full(3, side), periodic=True
        )[:, 0]
        self.rr = torch.tensor(fraction, dtype=torch.float64)
        forms = np.sum([box.forms for box in boxes], axis=0)
        self.of_centrals = self._matrix(forms, ("n_cc", "a_cc", "h_cc"), symmetric=True)
        self.mixed = self._matrix(forms, ("n_cs", "ac_cs", "as_cs", "h_cs"))
        self.of_satellites = self._matrix(forms, ("n_ss", "a_ss", "h_ss"))
        one = np.sum([box.one_halo for box in boxes], axis=0)[:, some]
        flat = torch.tensor(np.concatenate(list(one), axis=1), dtype=torch.float64)
        self.own, self.pairs = flat[:, : 2 * self.bins], flat[:, 2 * self.bins :]

    def _matrix(
        self, forms: FloatArray, names: tuple[str, ...], symmetric: bool = False
    ) -> torch.Tensor:
        """(K of the second, terms x b x K of the first)."""
        stacked = np.stack([forms[TERMS.index(name)] for name in names])
        if symmetric:
            stacked = (stacked + stacked.transpose(0, 2, 1, 3)) / 2
        moved = stacked.transpose(2, 0, 3, 1)
        flat = np.ascontiguousarray(moved.reshape(moved.shape[0], -1))
        return torch.tensor(flat, dtype=torch.float64)

    def _applied(self, matrix: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """(..., terms, b, K of the first)."""
        return (second @ matrix).reshape(*second.shape[:-1], -1, self.bins, self.nodes)

    def __call__(self, params: torch.Tensor) -> ProjectedMeans:
        """Means at parameters (..., 7) in float64."""
        t = self.tables
        p, lam = t.occupation(params)
        variance = p * (1 - p)
        n = ((p + lam) @ t.count)[..., None]
        scatter = ((variance + lam) @ t.count)[..., None]
        order = order_parameter(params[..., :2])
        cen, sat = order[..., :1], order[..., 1:]
        mean, shared = self._sums(p, lam, variance)

        def combined(s: _Sums) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
            cc, cs, ss = (part.unbind(-2) for part in (s.centrals, s.mixed, s.satellites))
            own, along = s.own.split(self.bins, dim=-1)
            pairs, first, both = s.pairs.split(self.bins, dim=-1)
            return (
                cc[0] + 2 * cs[0] + ss[0] + 2 * own + pairs,
                cen * (cc[1] + cs[1]) + sat * (cs[2] + ss[1] + along + first),
                cen * cen * cc[2] + 2 * cen * sat * cs[3] + sat * sat * (ss[2] + both),
            )

        # The mean of a sum over N^2 is not the ratio of means: to first order in 1/N, of each box.
        boxes = t.boxes
        depth = 2 * self.pi_max
        ratios = [
            depth * (s * (1 + 3 * boxes * scatter / n**2) - 2 * boxes * c / n) / (n * n * self.rr)
            for s, c in zip(combined(mean), combined(shared), strict=True)
        ]
        return ProjectedMeans(ratios[0] - depth, ratios[1], ratios[2])

    def slopes(self, params: torch.Tensor) -> torch.Tensor:
        """Derivatives (n, 3, b, 7), in forward mode: rows do not touch each other."""

        def along(direction: torch.Tensor) -> torch.Tensor:
            direction = direction.expand_as(params)
            return torch.stack(torch.func.jvp(self, (params,), (direction,))[1], dim=1)

        unit = torch.eye(params.shape[-1], dtype=params.dtype)[: len(PARAMETERS)]
        return torch.func.vmap(along, out_dims=-1)(unit)

    def _sums(
        self, p: torch.Tensor, lam: torch.Tensor, variance: torch.Tensor
    ) -> tuple[_Sums, _Sums]:
        t = self.tables
        cen, sat, spread = (part @ t.projection for part in (p, lam, variance))
        cc, cs = self._applied(self.of_centrals, cen), self._applied(self.mixed, sat)
        ss = self._applied(self.of_satellites, sat)
        x, y, z = (part[..., None, :, None] for part in (cen, sat, spread))
        mean = _Sums(
            (cc @ x)[..., 0], (cs @ x)[..., 0], (ss @ y)[..., 0], (p * lam) @ self.own,
            (lam * lam) @ self.pairs,
        )  # fmt: skip
        shared = _Sums(
            2 * (cc @ z)[..., 0], (cs @ z)[..., 0] + mean.mixed, 2 * mean.satellites,
            (variance * lam + lam * p) @ self.own, 2 * mean.pairs,
        )  # fmt: skip
        return mean, shared
