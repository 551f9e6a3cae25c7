"""Predictions of tables of halos."""

from __future__ import annotations

import json
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pysoftcorr.core.files import check_output, write_table
from pysoftcorr.core.text import aligned_rows
from pysoftcorr.core.version import __version__

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
class TabulatedPrediction:
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
        columns = _array(self.parameters).T.tolist()
        out: dict[str, Any] = {
            "parameters": dict(zip(self.names, columns, strict=True)),
            "r": self.r.tolist(),
            "edges": self.edges.tolist(),
        }
        out |= {name: {"mean": _array(getattr(self, name).mean).tolist()} for name in STATISTICS}
        return out | {name: _array(getattr(self, name)).tolist() for name in _NUMBERS}

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
        from astropy.table import Table

        self._one()
        table = Table({"r_lo": self.edges[:-1], "r_hi": self.edges[1:], "r": self.r})
        for name in ("r_lo", "r_hi", "r"):
            table[name].description = "Mpc/h"
        for name in STATISTICS:
            table[name] = _array(getattr(self, name).mean)
        record = {
            "parameters": dict(zip(self.names, _array(self.parameters).tolist(), strict=True)),
            **{name: float(_array(getattr(self, name))) for name in _NUMBERS},
            "version": __version__,
        }
        table.meta["PYSOFTCORR"] = json.dumps(record)
        return table

    def write(self, path: str | PathLike[str], *, overwrite: bool = False) -> Path:
        """Write `to_table` to ECSV, whole or not at all; gives the path.

        Raises
        ------
        ValueError
            If the suffix is not .ecsv, or there is more than one point.
        FileExistsError
            If the file is there and `overwrite` is not set.
        OSError
            If nothing can be written there.
        """
        table = self.to_table()
        target = check_output(path, suffixes=(".ecsv",), overwrite=overwrite)
        write_table(table, target, overwrite=overwrite)
        return target

    def summary(self) -> str:
        """Numbers of galaxies and a line for each bin as text; of one point."""
        self._one()
        rows = [["r [Mpc/h]", *STATISTICS]]
        for b, r in enumerate(self.r):
            means = (_array(getattr(self, name).mean)[b] for name in STATISTICS)
            rows.append([f"{r:.4g}", *(f"{value:.4e}" for value in means)])
        numbers = (
            f"{float(_array(self.number_density)):.4g} galaxies per (Mpc/h)^3, "
            f"{100 * float(_array(self.satellite_fraction)):.3g} % of them satellites"
        )
        return f"{numbers}\n\n{aligned_rows(rows)}"

    def _one(self) -> None:
        if self.xi.mean.ndim != 1:
            raise ValueError(f"a table is of one point; this prediction has {len(self.xi.mean)}")


_NUMBERS = ("number_density", "satellite_fraction", "centrals", "satellites")


def _array(values: Any) -> np.ndarray:
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)
