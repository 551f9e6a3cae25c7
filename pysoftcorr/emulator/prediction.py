"""Predictions of an emulator: means with both errors, kept apart."""

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
from pysoftcorr.emulator.data import STATISTICS

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["Predicted", "Prediction"]

_ERRORS = ("aleatoric", "epistemic")


@dataclass(frozen=True, eq=False)
class Predicted:
    """One statistic at one point, arrays of shape (b,), or at n points, (n, b).

    Attributes
    ----------
    mean : ndarray or Tensor
    aleatoric : ndarray or Tensor
        Standard deviation among realizations of the box: what no training can take away.
    epistemic : ndarray or Tensor
        Standard deviation of the mean over passes of the network: what it does not know.
    """

    mean: Any
    aleatoric: Any
    epistemic: Any

    @property
    def total(self) -> Any:
        """Both errors added in quadrature: the scatter of one realization about `mean`."""
        return (self.aleatoric**2 + self.epistemic**2) ** 0.5


@dataclass(frozen=True, eq=False)
class Prediction:
    """xi, omega and eta with both errors, in physical units.

    Attributes
    ----------
    xi, omega, eta : Predicted
    r : ndarray, shape (b,)
        Geometric centers of the bins, Mpc/h.
    edges : ndarray, shape (b + 1,)
        Mpc/h.
    parameters : ndarray or Tensor, shape (7,) or (n, 7)
    names : tuple of str
        Names of the parameters.
    passes, seed : int
    """

    xi: Predicted
    omega: Predicted
    eta: Predicted
    r: np.ndarray
    edges: np.ndarray
    parameters: Any
    names: tuple[str, ...]
    passes: int
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """Parameters, bins and predictions as plain lists, for JSON."""
        columns = _array(self.parameters).T.tolist()
        out: dict[str, Any] = {
            "parameters": dict(zip(self.names, columns, strict=True)),
            "r": self.r.tolist(),
            "edges": self.edges.tolist(),
            "passes": self.passes,
            "seed": self.seed,
        }
        for name in STATISTICS:
            said = getattr(self, name)
            out[name] = {kind: _array(getattr(said, kind)).tolist() for kind in ("mean", *_ERRORS)}
        return out

    def to_table(self) -> Table:
        """A row for each bin, of a prediction for one point.

        Returns
        -------
        astropy.table.Table
            Columns r_lo, r_hi, r (Mpc/h), and for each statistic its mean, ``_aleatoric`` and
            ``_epistemic``.

        Raises
        ------
        ValueError
            If there is more than one point.
        """
        from astropy.table import Table

        self._one("a table")
        table = Table({"r_lo": self.edges[:-1], "r_hi": self.edges[1:], "r": self.r})
        for name in ("r_lo", "r_hi", "r"):
            table[name].description = "Mpc/h"
        for name in STATISTICS:
            said = getattr(self, name)
            table[name] = _array(said.mean)
            for kind in _ERRORS:
                table[f"{name}_{kind}"] = _array(getattr(said, kind))
        record = {
            "parameters": dict(zip(self.names, _array(self.parameters).tolist(), strict=True)),
            "passes": self.passes,
            "seed": self.seed,
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
        """Means with both errors as text, a line for each bin; of one point."""
        self._one("a table")
        rows = [
            ["r [Mpc/h]", *(t for n in STATISTICS for t in (n, "+- aleatoric", "+- epistemic"))]
        ]
        for b, r in enumerate(self.r):
            row = [f"{r:.4g}"]
            for name in STATISTICS:
                said = getattr(self, name)
                row += [f"{_array(getattr(said, kind))[b]:.3e}" for kind in ("mean", *_ERRORS)]
            rows.append(row)
        return aligned_rows(rows)

    def _one(self, what: str) -> None:
        if self.xi.mean.ndim != 1:
            raise ValueError(f"{what} is of one point; this prediction has {len(self.xi.mean)}")


def _array(values: Any) -> np.ndarray:
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)
