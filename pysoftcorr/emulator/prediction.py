"""Predictions of an emulator: means with both errors, kept apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pysoftcorr.core.text import aligned_rows
from pysoftcorr.emulator.data import STATISTICS
from pysoftcorr.mocks.predictions import BinnedPrediction, as_array

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
class Prediction(BinnedPrediction):
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
        out: dict[str, Any] = {
            "parameters": self._parameters(),
            "r": self.r.tolist(),
            "edges": self.edges.tolist(),
            "passes": self.passes,
            "seed": self.seed,
        }
        for name in STATISTICS:
            said = getattr(self, name)
            kinds = ("mean", *_ERRORS)
            out[name] = {kind: as_array(getattr(said, kind)).tolist() for kind in kinds}
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
        self._one("a table")
        columns = {}
        for name in STATISTICS:
            said = getattr(self, name)
            columns[name] = said.mean
            columns |= {f"{name}_{kind}": getattr(said, kind) for kind in _ERRORS}
        return self._tabled(columns, {"passes": self.passes, "seed": self.seed})

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
                row += [f"{as_array(getattr(said, kind))[b]:.3e}" for kind in ("mean", *_ERRORS)]
            rows.append(row)
        return aligned_rows(rows)
