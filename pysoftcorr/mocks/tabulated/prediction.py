"""Predictions of tables of halos."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pysoftcorr.core.text import aligned_rows
from pysoftcorr.mocks.predictions import BinnedPrediction, as_array

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["STATISTICS", "Mean", "TabulatedPrediction"]

STATISTICS = ("xi", "omega", "eta")


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

    def to_dict(self) -> dict[str, Any]:
        """Parameters, bins and means as plain lists, for JSON."""
        out: dict[str, Any] = {
            "parameters": self._parameters(),
            "r": self.r.tolist(),
            "edges": self.edges.tolist(),
        }
        out |= {name: {"mean": as_array(getattr(self, name).mean).tolist()} for name in STATISTICS}
        return out | {name: as_array(getattr(self, name)).tolist() for name in _NUMBERS}

    def to_table(self) -> Table:
        """A row for each bin, of a prediction for one point.

        Returns
        -------
        astropy.table.Table
            Columns r_lo, r_hi, r (Mpc/h), xi, omega and eta.

        Raises
        ------
        ValueError
            If there is more than one point.
        """
        self._one("a table")
        numbers = {name: float(as_array(getattr(self, name))) for name in _NUMBERS}
        return self._tabled({name: getattr(self, name).mean for name in STATISTICS}, numbers)

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
        return f"{numbers}\n\n{aligned_rows(rows)}"


_NUMBERS = ("number_density", "satellite_fraction", "centrals", "satellites")
