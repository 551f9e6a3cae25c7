"""The peak of a posterior and its curvature there: where chains start, and in which units."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from pysoftcorr.diffhod.experiments.target import Target

__all__ = ["draw_within", "laplace"]

FloatArray = npt.NDArray[np.float64]

_ITERATIONS = 30
_MARGIN = 0.5


def laplace(target: Target, start: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """The peak by Gauss-Newton steps, and the covariance of the normal density about it.

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
    >>> from pysoftcorr.diffhod.experiments.laplace import laplace
    >>> from pysoftcorr.diffhod.experiments.target import GaussianLikelihood, Priors, Target
    >>> priors = Priors(("a",), (0.0,), (1.0,), (-np.inf,), (np.inf,))
    >>> likelihood = GaussianLikelihood([2.0], [[1.0]])
    >>> peak, covariance = laplace(Target(lambda t: t, likelihood, priors), [0.3])
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
    theta = torch.tensor(at, dtype=torch.float64, requires_grad=True)
    expected = model(theta)
    rows = [torch.autograd.grad(x, theta, retain_graph=True)[0] for x in expected]
    values = expected.detach().cpu().numpy().astype(np.float64)
    return values, torch.stack(rows).cpu().numpy().astype(np.float64)


def draw_within(
    priors: Any, center: FloatArray, covariance: FloatArray, number: int, rng: np.random.Generator
) -> FloatArray:
    """Points of a normal density, those out of the priors' bounds drawn anew; (number, d)."""
    lower = np.linalg.cholesky(covariance)
    out: list[FloatArray] = []
    for _ in range(10_000 * number):
        point = center + lower @ rng.normal(size=center.size)
        if ((point > priors.low) & (point < priors.high)).all():
            out.append(point)
            if len(out) == number:
                return np.array(out)
    raise ValueError("the normal density about the peak lies out of the priors' bounds")
