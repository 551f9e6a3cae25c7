"""Predictions of tables of halos."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pysoftcorr.core.text import aligned_rows
from pysoftcorr.mocks.predictions import BinnedPrediction, as_array
from pysoftcorr.mocks.tabulated.projected import Projection

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["PROJECTED", "STATISTICS", "Mean", "TabulatedPrediction"]

STATISTICS = ("xi", "omega", "eta")
#: Those about a line of sight, where they were tabulated.
PROJECTED = ("wp", "w_gp", "w_pp")


@dataclass(frozen=True, eq=False)
class Mean:
    """One statistic in expectation.

    Attributes
    ----------
    mean : ndarray or Tensor, shape (b,) or (n, b)
    """

    mean: Any


@dataclass(frozen=True, eq=False)
class TabulatedPrediction(BinnedPrediction):
    """xi, omega and eta in expectation over galaxies, places and orientations.

    Attributes
    ----------
    xi, omega, eta : Mean
    number_density : ndarray or Tensor, shape () or (n,)
        Galaxies per (Mpc/h)^3.
    satellite_fraction : ndarray or Tensor
    centrals, satellites : ndarray or Tensor
        Mean numbers in one box.
    r : ndarray, shape (b,)
        Geometric centers of the bins, Mpc/h.
    edges : ndarray, shape (b + 1,)
        Mpc/h.
    parameters : ndarray or Tensor, shape (7,) or (n, 7)
    names : tuple of str
        Names of the parameters.
    wp, w_gp, w_pp : Mean, optional
        In bins of rp, Mpc/h, where these were tabulated; as of `ProjectedCorrelations`.
    projection : Projection, optional
        Their bins, pi_max and line of sight.
    """

    xi: Mean
    omega: Mean
    eta: Mean
    number_density: Any
    satellite_fraction: Any
    centrals: Any
    satellites: Any
    r: np.ndarray
    edges: np.ndarray
    parameters: Any
    names: tuple[str, ...]
    wp: Mean | None = None
    w_gp: Mean | None = None
    w_pp: Mean | None = None
    projection: Projection | None = None

    @property
    def rp(self) -> np.ndarray | None:
        """Geometric centers of the bins of rp, Mpc/h, shape (b,); None without them."""
        return None if self.projection is None else self.projection.rp

    @property
    def rp_edges(self) -> np.ndarray | None:
        """Edges of the bins of rp, Mpc/h, shape (b + 1,); None without them."""
        return None if self.projection is None else self.projection.edges.copy()

    def _projected(self) -> dict[str, np.ndarray]:
        """Means in bins of rp by name; none if they were not tabulated."""
        found = {name: getattr(self, name) for name in PROJECTED}
        return {name: as_array(one.mean) for name, one in found.items() if one is not None}

    def to_dict(self) -> dict[str, Any]:
        """Parameters, bins and means as plain lists, for JSON."""
        out: dict[str, Any] = {
            "parameters": self._parameters(),
            "r": self.r.tolist(),
            "edges": self.edges.tolist(),
        }
        out |= {name: {"mean": as_array(getattr(self, name).mean).tolist()} for name in STATISTICS}
        if self.projection is not None:
            out |= {"rp": self.projection.rp.tolist(), "rp_edges": self.projection.edges.tolist()}
            out |= self._limits()
        out |= {name: {"mean": mean.tolist()} for name, mean in self._projected().items()}
        return out | {name: as_array(getattr(self, name)).tolist() for name in _NUMBERS}

    def _limits(self) -> dict[str, Any]:
        if self.projection is None:
            return {}
        return {"pi_max": self.projection.pi_max, "line_of_sight": self.projection.line_of_sight}

    def to_table(self) -> Table:
        """A row for each bin, of a prediction for one point.

        Returns
        -------
        astropy.table.Table
            Columns r_lo, r_hi, r (Mpc/h), xi, omega and eta; where they were tabulated also rp_lo,
            rp_hi, rp, wp, w_gp and w_pp (Mpc/h). If there are more bins of the one than of the
            other, the rest of a column is masked.

        Raises
        ------
        ValueError
            If there is more than one point.
        """
        self._one("a table")
        numbers = {name: float(as_array(getattr(self, name))) for name in _NUMBERS}
        columns = {name: getattr(self, name).mean for name in STATISTICS}
        table = self._tabled(columns, numbers | self._limits())
        if self.projection is None:
            return table
        edges = self.projection.edges
        projected = {"rp_lo": edges[:-1], "rp_hi": edges[1:], "rp": self.projection.rp}
        return _side_by_side(table, projected | self._projected())

    def summary(self) -> str:
        """Numbers of galaxies and a line for each bin as text; of one point."""
        self._one("a table")
        rows = [["r [Mpc/h]", *STATISTICS]]
        for b, r in enumerate(self.r):
            means = (as_array(getattr(self, name).mean)[b] for name in STATISTICS)
            rows.append([f"{r:.4g}", *(f"{value:.4e}" for value in means)])
        numbers = (
            f"{float(as_array(self.number_density)):.4g} galaxies per (Mpc/h)^3, "
            f"{100 * float(as_array(self.satellite_fraction)):.3g} % of them satellites"
        )
        text = f"{numbers}\n\n{aligned_rows(rows)}"
        if self.projection is None:
            return text
        found = self._projected()
        rows = [["rp [Mpc/h]", *(f"{name} [Mpc/h]" for name in found)]]
        for b, rp in enumerate(self.projection.rp):
            rows.append([f"{rp:.4g}", *(f"{mean[b]:.4e}" for mean in found.values())])
        limits = (
            f"|pi| <= {self.projection.pi_max:g} Mpc/h, line of sight "
            f"{self.projection.line_of_sight}"
        )
        return f"{text}\n\n{limits}\n\n{aligned_rows(rows)}"


_NUMBERS = ("number_density", "satellite_fraction", "centrals", "satellites")


def _side_by_side(table: Table, columns: dict[str, np.ndarray]) -> Table:
    """Columns of another length beside those of a table, masked where they end."""
    from astropy.table import MaskedColumn, Table

    more = len(next(iter(columns.values())))
    length = max(len(table), more)

    def padded(values: Any) -> Any:
        values = np.asarray(values)
        if len(values) == length:
            return values
        mask = np.arange(length) >= len(values)
        return MaskedColumn(np.pad(values, (0, length - len(values))), mask=mask)

    given = {name: table[name] for name in table.colnames} | columns
    out = Table({name: padded(values) for name, values in given.items()}, meta=table.meta)
    for name in ("r_lo", "r_hi", "r", *columns):
        out[name].description = "Mpc/h"
    return out
