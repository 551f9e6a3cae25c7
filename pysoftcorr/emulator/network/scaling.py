"""Standardization of an emulator's input and output, fitted to the training split alone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from pysoftcorr.emulator.data import bin_centers
from pysoftcorr.mocks.hod import PARAMETERS, WITH_COSMOLOGY

__all__ = ["PublishedScaling", "ResponseScaling", "Scaling", "likely_scaling"]

FloatArray = npt.NDArray[np.float64]

STATISTICS, RESPONSES = 3, 5
#: A spread of less than this part of the largest is none: a constant feature stays as it is.
_NONE = 1e-12


class Scaling(nn.Module):
    """Buffers that move with the network and are written beside its weights.

    Attributes
    ----------
    input_mean : Tensor, shape (m,)
    input_matrix : Tensor, shape (m, m)
        Standardized parameters are ``(params - input_mean) @ input_matrix.T``.
    """

    input_mean: torch.Tensor
    input_matrix: torch.Tensor

    def __init__(self, values: Mapping[str, npt.ArrayLike]) -> None:
        super().__init__()
        for name, value in values.items():
            self.register_buffer(name, torch.tensor(np.asarray(value), dtype=torch.float32))

    def standardized(self, params: torch.Tensor) -> torch.Tensor:
        """Parameters, shape (..., m), without their units."""
        return (params - self.input_mean) @ self.input_matrix.T


class PublishedScaling(Scaling):
    """Each parameter by its own mean and deviation; one of both for each statistic [P25].

    Attributes
    ----------
    target_mean, target_std : Tensor, shape (3,)
        Mean and deviation of log xi, omega, eta, over all rows and bins.
    """

    target_mean: torch.Tensor
    target_std: torch.Tensor

    @classmethod
    def blank(cls, bins: int) -> PublishedScaling:
        """A scaling that changes nothing, to be filled from a file."""
        return cls(
            {
                "input_mean": np.zeros(len(PARAMETERS)),
                "input_matrix": np.eye(len(PARAMETERS)),
                "target_mean": np.zeros(STATISTICS),
                "target_std": np.ones(STATISTICS),
            }
        )

    @classmethod
    def fit(cls, parameters: npt.ArrayLike, targets: npt.ArrayLike) -> PublishedScaling:
        """Scaling fitted to the training split.

        Parameters
        ----------
        parameters : array_like, shape (n, 7)
        targets : array_like, shape (n, 3, nbins) or (n, R, 3, nbins)
            log xi, omega, eta.

        Raises
        ------
        ValueError
            If shapes do not fit or a value is not finite.
        """
        points, y = _checked(parameters, {"targets": targets})
        if y.ndim not in (3, 4) or y.shape[-2] != STATISTICS:
            raise ValueError(f"targets of shape {y.shape}: must be (n, 3, nbins) or (n, R, 3, b)")
        axes = tuple(k for k in range(y.ndim) if k != y.ndim - 2)
        return cls(
            {
                "input_mean": points.mean(axis=0),
                "input_matrix": np.diag(1 / _spread(points)),
                "target_mean": y.mean(axis=axes),
                "target_std": y.std(axis=axes),
            }
        )


class ResponseScaling(Scaling):
    """HOD parameters made uncorrelated, a mean and a deviation for each function and bin.

    The bounds of the other HOD parameters move with log Mmin, so what is left of them once their
    straight lines on log Mmin are taken off is the better input.

    Attributes
    ----------
    target_mean, target_std : Tensor, shape (6, nbins)
        Mean and deviation of log xi and the responses A, B, C, D, E.
    log_variance : Tensor, shape (3, nbins) or (2, 3, nbins)
        Typical log variance among realizations of log xi, omega, eta; of a network of universes
        that given the halos, and that between universes.
    """

    target_mean: torch.Tensor
    target_std: torch.Tensor
    log_variance: torch.Tensor

    @classmethod
    def blank(cls, bins: int, cosmology: bool = False) -> ResponseScaling:
        """A scaling that changes nothing, to be filled from a file."""
        number = len(WITH_COSMOLOGY if cosmology else PARAMETERS)
        return cls(
            {
                "input_mean": np.zeros(number),
                "input_matrix": np.eye(number),
                "target_mean": np.zeros((1 + RESPONSES, bins)),
                "target_std": np.ones((1 + RESPONSES, bins)),
                "log_variance": np.zeros(
                    (2, STATISTICS, bins) if cosmology else (STATISTICS, bins)
                ),
            }
        )

    @classmethod
    def fit(
        cls,
        parameters: npt.ArrayLike,
        log_xi: npt.ArrayLike,
        responses: npt.ArrayLike,
        variances: npt.ArrayLike,
    ) -> ResponseScaling:
        """Scaling fitted to the training split.

        Parameters
        ----------
        parameters : array_like, shape (n, m)
        log_xi : array_like, shape (n, nbins)
        responses : array_like, shape (n, 5, nbins)
        variances : array_like, shape (n, 3, nbins) or (n, 2, 3, nbins)
            Variances among realizations of log xi and of the drawn omega and eta.

        Raises
        ------
        ValueError
            If shapes do not fit or a value is not finite; or a variance is 0 throughout.
        """
        points, y, a, v = _checked(
            parameters, {"log_xi": log_xi, "responses": responses, "variances": variances}
        )
        b = y.shape[-1]
        for name, array, shape in (
            ("log_xi", y, (b,)),
            ("responses", a, (RESPONSES, b)),
            ("variances", v, (STATISTICS, b)),
        ):
            if array.shape[1:] not in (shape, (2, *shape) if name == "variances" else shape):
                raise ValueError(f"{name} of shape {array.shape}: must be (n, *{shape})")
        mean_variance = v.mean(axis=0)
        if not (mean_variance > 0).all():
            raise ValueError("variances: a bin has none; more than one realization is needed")
        targets = np.concatenate([y[:, None], a], axis=1)
        return cls(
            {
                "input_mean": np.concatenate([[0, 0], points[:, 2:].mean(axis=0)]),
                "input_matrix": _whitening(points),
                "target_mean": targets.mean(axis=0),
                "target_std": _spread(targets),
                "log_variance": np.log(mean_variance),
            }
        )


def _checked(
    parameters: npt.ArrayLike, others: Mapping[str, npt.ArrayLike]
) -> tuple[FloatArray, ...]:
    arrays = {"parameters": np.asarray(parameters, dtype=np.float64)}
    arrays |= {name: np.asarray(value, dtype=np.float64) for name, value in others.items()}
    points = arrays["parameters"]
    columns = (len(PARAMETERS), len(WITH_COSMOLOGY))
    if points.ndim != 2 or points.shape[1] not in columns:
        raise ValueError(f"parameters of shape {points.shape}: must be (n, {columns[0]}), or "
                         f"(n, {columns[1]}) with the cosmology")  # fmt: skip
    for name, array in arrays.items():
        if len(array) != len(points):
            raise ValueError(f"{name} has {len(array)} rows, parameters {len(points)}")
        bad = ~np.isfinite(array.reshape(len(array), -1)).all(axis=1)
        if bad.any():
            raise ValueError(f"{name} is not finite in row {int(np.flatnonzero(bad)[0])}")
    return tuple(arrays.values())


def _spread(values: FloatArray) -> FloatArray:
    """The deviation of each column; 1 where there is none."""
    std = values.std(axis=0)
    size = np.abs(values).max(axis=0)
    return np.where(std > _NONE * size, std, 1.0)


def _whitening(points: FloatArray) -> FloatArray:
    """Lower-triangular, for the HOD parameters; the strengths stay as they are.

    Parameters of the cosmology are scaled alone: they are independent of the others by design.
    """
    last = len(PARAMETERS)
    hod = points[:, 2:last]
    spread = _spread(hod)
    scaled = (hod - hod.mean(axis=0)) / spread
    covariance = scaled.T @ scaled / len(hod)
    # Parameters that are constant, or follow from others, are left alone and not divided by 0.
    covariance += 1e-9 * np.eye(len(spread))
    empty = np.diag(covariance) < 0.5
    covariance[empty, empty] = 1.0
    inverse = np.linalg.inv(np.linalg.cholesky(covariance))
    matrix = np.eye(points.shape[1])
    matrix[2:last, 2:last] = inverse / spread
    matrix[last:, last:] = np.diag(1 / _spread(points[:, last:]))
    return matrix


def likely_scaling(kind: str, edges: FloatArray, points: FloatArray) -> Scaling | None:
    """Scaling of an untrained network: outputs of roughly the size that correlations have.

    None for an unknown kind.
    """
    r = bin_centers(edges)
    log_xi = -1.8 * np.log(r / 5.0)
    if kind == "published":
        rows = np.stack([log_xi, 0.02 / np.sqrt(r), 0.01 / r])
        factor = np.linspace(0.5, 1.5, len(points))[:, None, None]
        return PublishedScaling.fit(points, factor * rows)
    if kind == "response":
        made = ResponseScaling.blank(len(r))
        fitted = ResponseScaling.fit(
            points, np.tile(log_xi, (len(points), 1)), np.zeros((len(points), RESPONSES, len(r))),
            np.full((len(points), 3, len(r)), 1e-4),
        )  # fmt: skip
        made.input_mean, made.input_matrix = fitted.input_mean, fitted.input_matrix
        size = 0.1 / np.sqrt(1.0 + r)
        made.target_mean[:] = torch.as_tensor(np.stack([log_xi, *[0.5 * size] * RESPONSES]))
        made.target_std[:] = torch.as_tensor(np.stack([0 * r + 0.4, *[0.3 * size] * RESPONSES]))
        made.log_variance[:] = torch.as_tensor(np.log(np.stack([0.01 + 0 * r, *[1e-5 / r] * 2])))
        return made
    return None
