"""Order parameter of alignment strengths in torch, with derivatives."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from pysoftcorr.mocks import alignment

__all__ = ["fourth_moment", "order_parameter"]

# Value and slope to 1e-14 and 1e-10; the function turns quickly only near mu = 0.95.
_PIECES, _DEGREE = 4096, 4


@cache
def _table(name: str) -> np.ndarray:
    """Coefficients of a function of mu by piece, highest power first; (pieces, degree + 1)."""
    k = np.arange(_DEGREE + 1)
    nodes = np.cos(np.pi * (k + 0.5) / (_DEGREE + 1))
    mu = -1.0 + (2.0 * np.arange(_PIECES)[:, None] + 1.0 + nodes) / _PIECES
    q = _FUNCTIONS[name](mu)
    return np.linalg.solve(np.vander(nodes), q.T).T


def _quotient(mu: npt.NDArray[np.float64]) -> Any:
    """A(mu)/mu: by A = mu q the order parameter of random axes is 0 exactly."""
    return alignment.order_parameter(mu) / mu


_FUNCTIONS = {"order": _quotient, "fourth": alignment.mean_cos4}


def order_parameter(mu: torch.Tensor) -> torch.Tensor:
    """(3 <t^2> - 1)/2 of axes of strength `mu`; `pysoftcorr.mocks.alignment` for torch.

    Dawson's integral is not among torch's functions, so the exact values are interpolated, by
    polynomials in 4096 pieces: every transform of torch goes through, on any device, and all
    derivatives are finite.

    Parameters
    ----------
    mu : Tensor
        In [-1, 1]; beyond, the last piece is continued.

    Returns
    -------
    Tensor
        Shape, dtype and device are those of `mu`; in float64 right to 1e-13, its derivative
        to 1e-9. Exactly 0 at 0.

    Examples
    --------
    >>> import torch
    >>> from pysoftcorr.mocks.strengths import order_parameter
    >>> order_parameter(torch.tensor([-1.0, 0.0, 1.0])).tolist()
    [-0.5, 0.0, 1.0]
    """
    return mu * _interpolated("order", mu)


def fourth_moment(mu: torch.Tensor) -> torch.Tensor:
    """<t^4> of axes of strength `mu`: `pysoftcorr.mocks.alignment.mean_cos4` for torch.

    Parameters
    ----------
    mu : Tensor
        In [-1, 1]; beyond, the last piece is continued.

    Examples
    --------
    >>> import torch
    >>> from pysoftcorr.mocks.strengths import fourth_moment
    >>> fourth_moment(torch.tensor([0.0, 1.0], dtype=torch.float64)).round(decimals=9).tolist()
    [0.2, 1.0]
    """
    return _interpolated("fourth", mu)


def _interpolated(name: str, mu: torch.Tensor) -> torch.Tensor:
    table = torch.as_tensor(_table(name), dtype=mu.dtype, device=mu.device)
    place = (mu + 1.0) * (0.5 * _PIECES)
    piece = place.detach().floor().clamp(0, _PIECES - 1).nan_to_num(0.0)
    t = 2.0 * (place - piece) - 1.0
    # An index of one axis at least: vmap would ask a single number for its value.
    q, *lower = table[piece.long()[..., None]][..., 0, :].unbind(-1)
    for coefficient in lower:
        q = torch.addcmul(coefficient, q, t)
    return q
