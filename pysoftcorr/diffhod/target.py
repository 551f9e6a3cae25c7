"""The target of the samplers: priors, likelihood, and the coordinates that NUTS walks in."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from pysoftcorr.diffhod._torch import torch
from pysoftcorr.mocks.design import PARAMETERS

__all__ = ["PRIORS", "SIGMA_LEAST", "Coordinates", "GaussianLikelihood", "Priors", "Target"]

FloatArray = npt.NDArray[np.float64]

#: sigma_logM below this is a step between one halo and the next; the prior ends there.
SIGMA_LEAST = 0.01
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
    >>> from pysoftcorr.diffhod.target import PRIORS
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


#: Those of Horowitz et al. (2022); the width of the step is above `SIGMA_LEAST`.
PRIORS = Priors(
    names=PARAMETERS[2:],
    mean=(12.0, 0.25, 11.25, 13.2, 1.0),
    sd=(0.5, 0.2, 0.5, 0.5, 0.2),
    low=(-math.inf, SIGMA_LEAST, -math.inf, -math.inf, -math.inf),
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
    >>> from pysoftcorr.diffhod.target import GaussianLikelihood
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


class Coordinates:
    """Unbounded coordinates u, near to standard normal, of bounded parameters theta.

    theta_j = f_j(c_j + (L u)_j) with L the Cholesky factor of a covariance. f is the identity for
    a parameter without bounds, low + s ln(1 + exp((x - low)/s)) for one bounded below (the
    identity far above the bound), and low + (high - low)/(1 + exp(-x)) for one bounded on both
    sides.

    Parameters
    ----------
    priors : Priors
        Their bounds and widths; s is a quarter of the width.
    centre : array_like, shape (d,)
        theta where u = 0.
    covariance : array_like, shape (d, d)
        Of theta about there.

    Raises
    ------
    ValueError
        If the centre lies out of bounds, or the covariance is not positive definite.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr.diffhod.target import PRIORS, Coordinates
    >>> there = Coordinates(PRIORS, PRIORS.mean, np.diag(np.square(PRIORS.sd)))
    >>> theta = there.theta([0.3, -3.0, 0.1, 0.0, 2.0])
    >>> bool(theta[1] > 0), there.u(theta).round(9).tolist()
    (True, [0.3, -3.0, 0.1, 0.0, 2.0])
    """

    def __init__(self, priors: Priors, centre: npt.ArrayLike, covariance: npt.ArrayLike) -> None:
        self.priors = priors
        self._low, self._high = np.array(priors.low), np.array(priors.high)
        self._soft = 0.25 * np.array(priors.sd)
        self._both = np.isfinite(self._low) & np.isfinite(self._high)
        self._below = np.isfinite(self._low) & ~self._both
        if (np.isfinite(self._high) & ~self._both).any():
            raise ValueError("a prior bounded above alone is not known here")
        at = np.array(centre, dtype=np.float64)
        if not ((at > self._low) & (at < self._high)).all():
            raise ValueError(f"centre = {at.tolist()}: must lie within the bounds of the priors")
        self.centre = self._unbounded(at)
        slope = np.exp(self._log_slope(self.centre))
        try:
            self.lower = np.linalg.cholesky(
                np.asarray(covariance, dtype=np.float64) / np.outer(slope, slope)
            )
        except np.linalg.LinAlgError:
            raise ValueError("covariance of the coordinates: must be positive definite") from None

    def theta(self, u: npt.ArrayLike) -> FloatArray:
        """Parameters of coordinates, shapes (..., d)."""
        x = self.centre + np.asarray(u, dtype=np.float64) @ self.lower.T
        theta = x.copy()
        for j in np.flatnonzero(self._below):
            y = (x[..., j] - self._low[j]) / self._soft[j]
            theta[..., j] = self._low[j] + self._soft[j] * np.logaddexp(0, y)
        for j in np.flatnonzero(self._both):
            theta[..., j] = self._low[j] + (self._high[j] - self._low[j]) * expit(x[..., j])
        return theta

    def u(self, theta: npt.ArrayLike) -> FloatArray:
        """Coordinates of parameters, shapes (..., d); within the bounds."""
        x = self._unbounded(np.asarray(theta, dtype=np.float64)) - self.centre
        return np.asarray(np.linalg.solve(self.lower, x.T).T)

    def _unbounded(self, theta: FloatArray) -> FloatArray:
        x = theta.copy()
        for j in np.flatnonzero(self._below):
            y = (theta[..., j] - self._low[j]) / self._soft[j]
            # ln(e^y - 1), which is y where y is large
            x[..., j] = self._low[j] + self._soft[j] * (y + np.log(-np.expm1(-y)))
        for j in np.flatnonzero(self._both):
            part = (theta[..., j] - self._low[j]) / (self._high[j] - self._low[j])
            x[..., j] = np.log(part) - np.log1p(-part)
        return x

    def _log_slope(self, x: FloatArray) -> FloatArray:
        """ln of d theta/d x, elementwise."""
        out = np.zeros_like(x)
        for j in np.flatnonzero(self._below):
            out[..., j] = -np.logaddexp(0, -(x[..., j] - self._low[j]) / self._soft[j])
        for j in np.flatnonzero(self._both):
            t = x[..., j]
            out[..., j] = np.log(self._high[j] - self._low[j]) - np.abs(t)
            out[..., j] -= 2 * np.log1p(np.exp(-np.abs(t)))
        return out

    def forward(self, u: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Parameters and ln |d theta/d u| but for a constant, differentiable; u of shape (d,)."""
        x = torch.as_tensor(self.centre, dtype=u.dtype)
        x = x + torch.as_tensor(self.lower, dtype=u.dtype) @ u
        parts, log_slope = [], u.new_zeros(())
        softplus = torch.nn.functional.softplus
        for j in range(len(self.priors)):
            xj = x[j]
            if self._below[j]:
                low, s = float(self._low[j]), float(self._soft[j])
                y = (xj - low) / s
                parts.append(low + s * softplus(y, threshold=40.0))
                log_slope = log_slope - softplus(-y, threshold=40.0)
            elif self._both[j]:
                low, high = float(self._low[j]), float(self._high[j])
                parts.append(low + (high - low) * torch.sigmoid(xj))
                log_slope = log_slope + math.log(high - low) - softplus(-xj) - softplus(xj)
            else:
                parts.append(xj)
        return torch.stack(parts), log_slope


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
        Those in which `potential` is asked for.

    Attributes
    ----------
    refused : int
        Points at which the model raised ValueError; their density is 0.
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

    def potential(self, u: torch.Tensor) -> torch.Tensor:
        """-ln of the density in the coordinates u, differentiable; infinite where it is 0."""
        assert self.coordinates is not None
        theta, log_slope = self.coordinates.forward(u)
        prior = -0.5 * (((theta - self._mean) / self._sd) ** 2).sum()
        try:
            found = self.likelihood(self.model(theta))
        except ValueError:
            self.refused += 1
            return (u * 0).sum() + math.inf
        return -(found.to(u) + prior + log_slope)
