"""The target of the samplers: priors, likelihood, and their product."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from pysoftcorr.mocks.design import PARAMETERS

if TYPE_CHECKING:
    from pysoftcorr.diffhod.experiments.coordinates import Coordinates

__all__ = ["ALPHA_LEAST", "PRIORS", "SIGMA_LEAST", "GaussianLikelihood", "Priors", "Target"]

FloatArray = npt.NDArray[np.float64]

#: sigma_logM below this is a step between one halo and the next; the prior ends there.
SIGMA_LEAST = 0.01
#: The slope of a number of satellites that grows with mass.
ALPHA_LEAST = 0.05
_NEGATIVE_INFINITY = -math.inf


@dataclass(frozen=True)
class Priors:
    """Independent normal priors, each cut to a range.

    Attributes
    ----------
    names : tuple of str
    mean, sd : tuple of float
        A width of infinity is a uniform prior; it must have both bounds.
    low, high : tuple of float
        Where the normal distribution is cut off; infinite where it is not.

    Raises
    ------
    ValueError
        If lengths differ, a width is not above 0, or a mean lies outside its range.

    Examples
    --------
    >>> from pysoftcorr.diffhod.experiments.target import PRIORS
    >>> PRIORS.names[0], PRIORS.mean[0], PRIORS.sd[0]
    ('logMmin', 12.0, 0.5)
    >>> PRIORS.log_density([12.0, -0.1, 11.0, 13.0, 1.0])
    -inf
    """

    names: tuple[str, ...]
    mean: tuple[float, ...]
    sd: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    def __post_init__(self) -> None:
        columns = (self.mean, self.sd, self.low, self.high)
        if any(len(column) != len(self.names) for column in columns):
            raise ValueError("priors: names, mean, sd, low and high differ in length")
        for name, mean, sd, low, high in zip(self.names, *columns, strict=True):
            if not sd > 0 or (math.isinf(sd) and not math.isfinite(high - low)):
                raise ValueError(
                    f"prior of {name}: its width {sd} must be above 0, and finite unless both "
                    "bounds are"
                )
            if not low < mean < high:
                raise ValueError(
                    f"prior of {name}: its mean {mean} must lie between {low} and {high}"
                )

    def __len__(self) -> int:
        return len(self.names)

    def log_density(self, theta: npt.ArrayLike) -> float:
        """The logarithm of the density but for a constant; -inf outside the range."""
        t = np.asarray(theta, dtype=np.float64)
        if not ((t > self.low) & (t < self.high)).all():
            return _NEGATIVE_INFINITY
        return float(-0.5 * (((t - self.mean) / np.array(self.sd)) ** 2).sum())

    def inside(self, theta: npt.ArrayLike, *, margin: float = 0.01) -> FloatArray:
        """The nearest point so far within the range: by a part of the width, or of a tenth of the
        range if that is less."""
        width = np.minimum(self.sd, np.subtract(self.high, self.low) / 10)
        low, high = np.array(self.low) + margin * width, np.array(self.high) - margin * width
        return np.asarray(np.clip(theta, low, high), dtype=np.float64)


#: Those of Horowitz et al. (2022), cut off below `SIGMA_LEAST` and `ALPHA_LEAST`.
PRIORS = Priors(
    names=PARAMETERS[2:],
    mean=(12.0, 0.25, 11.25, 13.2, 1.0),
    sd=(0.5, 0.2, 0.5, 0.5, 0.2),
    low=(-math.inf, SIGMA_LEAST, -math.inf, -math.inf, ALPHA_LEAST),
    high=(math.inf,) * 5,
)


class GaussianLikelihood:
    """-1/2 (x - d)^T C^-1 (x - d).

    Parameters
    ----------
    data : array_like, shape (n,)
    covariance : array_like, shape (n, n)

    Raises
    ------
    ValueError
        If the shapes do not fit together, or the covariance is not positive definite.

    Examples
    --------
    >>> from pysoftcorr.diffhod.experiments.target import GaussianLikelihood
    >>> GaussianLikelihood([1.0, 2.0], [[4.0, 0.0], [0.0, 1.0]])([3.0, 2.0])
    -0.5
    """

    def __init__(self, data: npt.ArrayLike, covariance: npt.ArrayLike) -> None:
        self.data = np.array(data, dtype=np.float64)
        self.covariance = np.array(covariance, dtype=np.float64)
        n = self.data.size
        if self.data.shape != (n,) or self.covariance.shape != (n, n):
            raise ValueError(
                f"data of shape {self.data.shape} and covariance of shape "
                f"{self.covariance.shape}: must be (n,) and (n, n)"
            )
        try:
            # The units of the bins differ by orders of magnitude: the scale is taken out first.
            scale = np.sqrt(np.diag(self.covariance))
            lower = np.linalg.cholesky(self.covariance / np.outer(scale, scale))
            self.whiten = np.linalg.inv(lower) / scale
        except (np.linalg.LinAlgError, FloatingPointError):
            raise ValueError("covariance: must be positive definite") from None
        if not np.isfinite(self.whiten).all():
            raise ValueError("covariance: must be positive definite and finite")

    def __call__(self, x: Any) -> Any:
        """The logarithm of the likelihood; a tensor of a tensor."""
        if isinstance(x, torch.Tensor):
            whiten = torch.as_tensor(self.whiten, dtype=x.dtype, device=x.device)
            data = torch.as_tensor(self.data, dtype=x.dtype, device=x.device)
            return -0.5 * ((whiten @ (x - data)) ** 2).sum()
        return float(-0.5 * ((self.whiten @ (np.asarray(x) - self.data)) ** 2).sum())


class Target:
    """A posterior density: a model of the data, a likelihood and priors.

    Parameters
    ----------
    model : callable
        The data expected at parameters theta of shape (d,): an array for an array and, for NUTS,
        a differentiable tensor for a tensor. A fixed function: its random numbers do not change
        from call to call.
    likelihood : GaussianLikelihood
    priors : Priors
    coordinates : Coordinates, optional
        Those in which the samplers walk.

    Attributes
    ----------
    refused : int
        Points at which the model or the coordinates raised ValueError; their density is 0.
    """

    def __init__(
        self,
        model: Callable[[Any], Any],
        likelihood: GaussianLikelihood,
        priors: Priors,
        coordinates: Coordinates | None = None,
    ) -> None:
        self.model, self.likelihood, self.priors = model, likelihood, priors
        self.coordinates = coordinates
        self.refused = 0
        self._mean = torch.tensor(priors.mean, dtype=torch.float64)
        self._sd = torch.tensor(priors.sd, dtype=torch.float64)

    def log_posterior(self, theta: Sequence[float] | FloatArray) -> float:
        """ln of prior times likelihood at theta, but for a constant; -inf where it is 0."""
        at = np.asarray(theta, dtype=np.float64)
        prior = self.priors.log_density(at)
        if prior == _NEGATIVE_INFINITY:
            return prior
        try:
            expected = self.model(at)
        except ValueError:  # no galaxies at all, or too many for any memory
            self.refused += 1
            return _NEGATIVE_INFINITY
        value = prior + float(self.likelihood(expected))
        return value if math.isfinite(value) else _NEGATIVE_INFINITY

    def log_density(self, u: FloatArray) -> float:
        """ln of the density in the coordinates that the samplers walk in; -inf where it is 0."""
        if self.coordinates is None:
            return self.log_posterior(u)
        try:
            theta, log_slope = self.coordinates.forward(torch.as_tensor(u))
        except ValueError:
            self.refused += 1
            return _NEGATIVE_INFINITY
        return self.log_posterior(theta.numpy()) + float(log_slope)

    def potential(self, u: torch.Tensor) -> torch.Tensor:
        """-ln of the density in the coordinates u, differentiable; infinite where it is 0."""
        assert self.coordinates is not None
        try:
            theta, log_slope = self.coordinates.forward(u)
            prior = -0.5 * (((theta - self._mean) / self._sd) ** 2).sum()
            found = self.likelihood(self.model(theta))
        except ValueError:
            self.refused += 1
            return (u * 0).sum() + math.inf
        return -(found.to(u) + prior + log_slope)
