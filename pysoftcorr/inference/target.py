"""Density of a model with a Gaussian likelihood, and the coordinates that samplers walk in."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from pysoftcorr.inference.covariance import whitening
from pysoftcorr.inference.priors import Priors

__all__ = ["Bend", "Coordinates", "GaussianLikelihood", "Target", "laplace"]

FloatArray = npt.NDArray[np.float64]

#: Gauss-Newton steps of `laplace`, at most, and how far from the bounds it stays, in widths.
_ITERATIONS = 30
_MARGIN = 0.5


class GaussianLikelihood:
    """Normal likelihood of data with a known covariance: -1/2 (x - d)^T C^-1 (x - d).

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
    >>> from pysoftcorr.inference.target import GaussianLikelihood
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
            self.whiten = whitening(self.covariance)[0]
        except np.linalg.LinAlgError:
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


class Bend(Protocol):
    """Smooth and invertible change of parameters, that straightens the ridges of a posterior."""

    def straight(self, params: npt.ArrayLike) -> FloatArray:
        """z of parameters, shapes (..., d)."""
        ...

    def jacobian(self, params: FloatArray) -> FloatArray:
        """dz/d(params), shape (d, d)."""
        ...

    def forward(self, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Parameters of z, (..., d), and ln |d(params)/dz|; ValueError where there are none."""
        ...


class Coordinates:
    """Unbounded coordinates u, near to standard normal, of bounded parameters.

    params = bend(f(c + L u)) with L the Cholesky factor of a covariance. f_j is the identity for a
    parameter without bounds, low + s ln(1 + exp((x - low)/s)) for one bounded below (the identity
    far above the bound), and low + (high - low)/(1 + exp(-x)) for one bounded on both sides.

    Parameters
    ----------
    priors : Priors
        Their bounds and widths; s is a quarter of the width.
    center : array_like, shape (d,)
        Parameters where u = 0.
    covariance : array_like, shape (d, d)
        Covariance of the parameters about there.
    bend : Bend, optional
        Leaves parameters with bounds alone.

    Raises
    ------
    ValueError
        If the center lies out of bounds, the covariance is not positive definite, or a prior is
        bounded above alone.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr.inference import Normal, Priors, TruncatedNormal
    >>> from pysoftcorr.inference.target import Coordinates
    >>> priors = Priors({"logMmin": Normal(12, 0.5), "alpha": TruncatedNormal(1, 0.2, low=0)})
    >>> there = Coordinates(priors, priors.mean, np.diag(priors.sd**2))
    >>> params = there.params([0.3, -9.0])
    >>> bool(params[1] > 0), there.u(params).round(9).tolist()
    (True, [0.3, -9.0])
    """

    def __init__(
        self,
        priors: Priors,
        center: npt.ArrayLike,
        covariance: npt.ArrayLike,
        *,
        bend: Bend | None = None,
    ) -> None:
        self.priors, self.bend = priors, bend
        self._low, self._high = priors.low, priors.high
        self._soft = 0.25 * priors.sd
        self._both = priors.bounded
        self._below = np.isfinite(self._low) & ~self._both
        if (np.isfinite(self._high) & ~self._both).any():
            raise ValueError("priors: one is bounded above alone; give it a lower bound as well")
        at = np.array(center, dtype=np.float64)
        if not ((at > self._low) & (at < self._high)).all():
            raise ValueError(f"center = {at.tolist()}: must lie within the bounds of the priors")
        spread = np.asarray(covariance, dtype=np.float64)
        if bend is not None:
            slopes = bend.jacobian(at)
            spread = slopes @ spread @ slopes.T
        self.center = self._unbounded(at)
        slope = np.exp(self._log_slope(self.center))
        try:
            self.lower = np.linalg.cholesky(spread / np.outer(slope, slope))
        except np.linalg.LinAlgError:
            raise ValueError("covariance of the coordinates: must be positive definite") from None

    def params(self, u: npt.ArrayLike) -> FloatArray:
        """Parameters of coordinates, shapes (..., d)."""
        found = self.forward(torch.as_tensor(np.asarray(u, dtype=np.float64)))[0]
        return np.asarray(found)

    def u(self, params: npt.ArrayLike) -> FloatArray:
        """Coordinates of parameters, shapes (..., d); within the bounds."""
        x = self._unbounded(params) - self.center
        return np.asarray(np.linalg.solve(self.lower, x.T).T)

    def _unbounded(self, params: npt.ArrayLike) -> FloatArray:
        """x of parameters, shapes (..., d)."""
        value = np.asarray(params, dtype=np.float64)
        z = value if self.bend is None else self.bend.straight(value)
        x = z.copy()
        for j in np.flatnonzero(self._below):
            y = (z[..., j] - self._low[j]) / self._soft[j]
            # ln(e^y - 1), which is y where y is large
            x[..., j] = self._low[j] + self._soft[j] * (y + np.log(-np.expm1(-y)))
        for j in np.flatnonzero(self._both):
            part = (z[..., j] - self._low[j]) / (self._high[j] - self._low[j])
            x[..., j] = np.log(part) - np.log1p(-part)
        return x

    def _log_slope(self, x: FloatArray) -> FloatArray:
        """ln of df/dx, elementwise."""
        out = np.zeros_like(x)
        for j in np.flatnonzero(self._below):
            out[..., j] = -np.logaddexp(0, -(x[..., j] - self._low[j]) / self._soft[j])
        for j in np.flatnonzero(self._both):
            t = x[..., j]
            out[..., j] = np.log(self._high[j] - self._low[j]) - np.abs(t)
            out[..., j] -= 2 * np.log1p(np.exp(-np.abs(t)))
        return out

    def forward(self, u: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Parameters of u, shapes (..., d), and ln |d(params)/du| but for a constant, (...);
        differentiable.

        Raises
        ------
        ValueError
            If the bend leads nowhere.
        """
        x = torch.as_tensor(self.center, dtype=u.dtype)
        x = x + u @ torch.as_tensor(self.lower, dtype=u.dtype).T
        parts, log_slope = [], u.new_zeros(u.shape[:-1])
        softplus = torch.nn.functional.softplus
        for j in range(len(self.priors)):
            xj = x[..., j]
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
        params = torch.stack(parts, dim=-1)
        if self.bend is not None:
            params, from_bend = self.bend.forward(params)
            log_slope = log_slope + from_bend
        return params, log_slope


class Target:
    """Posterior density: a model of the data, a likelihood and priors.

    Parameters
    ----------
    model : callable
        Data expected at parameters of shape (d,): an array for an array and, for NUTS, a
        differentiable tensor for a tensor. A fixed function: its random numbers do not change
        from call to call.
    likelihood : GaussianLikelihood
    priors : Priors
    coordinates : Coordinates, optional
        Coordinates in which the samplers walk; the parameters themselves by default.

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
        self._mean = torch.tensor(priors.mean)
        self._sd = torch.tensor(priors.sd)

    def log_posterior(self, params: Sequence[float] | FloatArray) -> float:
        """ln of prior times likelihood at parameters, but for a constant; -inf where it is 0."""
        at = np.asarray(params, dtype=np.float64)
        priors = self.priors
        if not ((at > priors.low) & (at < priors.high)).all():
            return -math.inf
        prior = float(-0.5 * (((at - priors.mean) / priors.sd) ** 2).sum())
        try:
            expected = self.model(at)
        except ValueError:  # no galaxies at all, or too many for any memory
            self.refused += 1
            return -math.inf
        value = prior + float(self.likelihood(expected))
        return value if math.isfinite(value) else -math.inf

    def log_density(self, u: FloatArray) -> float:
        """ln of the density in the coordinates that the samplers walk in; -inf where it is 0."""
        if self.coordinates is None:
            return self.log_posterior(u)
        try:
            params, log_slope = self.coordinates.forward(torch.as_tensor(u))
        except ValueError:
            self.refused += 1
            return -math.inf
        return self.log_posterior(params.numpy()) + float(log_slope)

    def potential(self, u: torch.Tensor) -> torch.Tensor:
        """-ln of the density in the coordinates u, differentiable; infinite where it is 0."""
        assert self.coordinates is not None
        try:
            params, log_slope = self.coordinates.forward(u)
            prior = -0.5 * (((params - self._mean) / self._sd) ** 2).sum()
            found = self.likelihood(self.model(params))
        except ValueError:
            self.refused += 1
            return (u * 0).sum() + math.inf
        return -(found.to(u) + prior + log_slope)


def laplace(target: Target, start: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Peak of a posterior by Gauss-Newton steps, and the covariance of the normal about it.

    Parameters
    ----------
    target : Target
        With a `GaussianLikelihood`, and a model that torch can differentiate.
    start : array_like, shape (d,)

    Returns
    -------
    peak : ndarray, shape (d,)
        Within the bounds of the priors by half a width at least: nearer to a bound the density
        about it is not normal, and its curvature says nothing of its extent.
    covariance : ndarray, shape (d, d)
        (J^T C^-1 J + prior)^-1 there, without regard to bounds.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr.inference import Normal, Priors
    >>> from pysoftcorr.inference.target import GaussianLikelihood, Target, laplace
    >>> likelihood = GaussianLikelihood([2.0], [[1.0]])
    >>> target = Target(lambda params: params, likelihood, Priors({"a": Normal(0, 1)}))
    >>> peak, covariance = laplace(target, [0.3])
    >>> peak.round(6).tolist(), covariance.round(6).tolist()
    ([1.0], [[0.5]])
    """
    priors, likelihood = target.priors, target.likelihood
    prior = 1 / np.square(priors.sd)
    at = priors.inside(start, margin=_MARGIN)
    value = target.log_posterior(at)
    if not np.isfinite(value):
        raise ValueError(f"the posterior density is 0 at the start, {at.tolist()}")
    for _ in range(_ITERATIONS):
        expected, jacobian = _jacobian(target.model, at)
        whitened = likelihood.whiten @ jacobian
        left = likelihood.whiten @ (likelihood.data - expected)
        precision = whitened.T @ whitened + np.diag(prior)
        slope = whitened.T @ left - prior * (at - priors.mean)
        step = np.linalg.solve(precision, slope)
        for _ in range(8):
            new = priors.inside(at + step, margin=_MARGIN)
            found = target.log_posterior(new)
            if found > value:
                break
            step = step / 2
        else:
            break
        gained, at, value = found - value, new, found
        if gained < 1e-3:
            break
    _, jacobian = _jacobian(target.model, at)
    whitened = likelihood.whiten @ jacobian
    return at, np.linalg.inv(whitened.T @ whitened + np.diag(prior))


def _jacobian(model: Any, at: FloatArray) -> tuple[FloatArray, FloatArray]:
    params = torch.tensor(at, dtype=torch.float64, requires_grad=True)
    expected = model(params)
    rows = [torch.autograd.grad(x, params, retain_graph=True)[0] for x in expected]
    values = expected.detach().cpu().numpy().astype(np.float64)
    return values, torch.stack(rows).cpu().numpy().astype(np.float64)
