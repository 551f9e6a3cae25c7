"""What an emulator says: means with both errors, kept apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Predicted", "Prediction"]


@dataclass(frozen=True, eq=False)
class Predicted:
    """One statistic at one point, arrays of shape (b,), or at n points, (n, b).

    Attributes
    ----------
    mean : ndarray or Tensor
    aleatoric : ndarray or Tensor
        Standard deviation among realisations of the box: what no training can take away.
    epistemic : ndarray or Tensor
        Standard deviation of the mean over passes of the network: what it does not know.
    """

    mean: Any
    aleatoric: Any
    epistemic: Any

    @property
    def total(self) -> Any:
        """Both errors added in quadrature: the scatter of one realisation about `mean`."""
        return (self.aleatoric**2 + self.epistemic**2) ** 0.5


@dataclass(frozen=True, eq=False)
class Prediction:
    """xi, omega and eta with both errors, in physical units.

    Attributes
    ----------
    xi, omega, eta : Predicted
    r : ndarray, shape (b,)
        Geometric centres of the bins, Mpc/h.
    edges : ndarray, shape (b + 1,)
        Mpc/h.
    parameters : ndarray or Tensor, shape (7,) or (n, 7)
    names : tuple of str
        Of the parameters.
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
        """As plain lists, for JSON."""
        out: dict[str, Any] = {
            "parameters": dict(zip(self.names, np.asarray(self.parameters).T.tolist(),
                                   strict=True)),
            "r": self.r.tolist(),
            "edges": self.edges.tolist(),
            "passes": self.passes,
            "seed": self.seed,
        }  # fmt: skip
        for name in ("xi", "omega", "eta"):
            said = getattr(self, name)
            out[name] = {
                kind: np.asarray(getattr(said, kind)).tolist()
                for kind in ("mean", "aleatoric", "epistemic")
            }
        return out
