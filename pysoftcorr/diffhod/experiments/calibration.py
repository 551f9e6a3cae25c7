"""Fixed random numbers without their bias: a control variate fitted to independent draws.

A model whose random numbers are fixed is a smooth, repeatable function of the parameters, but it
carries the noise of those numbers: a posterior made with it is shifted as if the data had a
noise of that size more. Here the shift is measured and taken out. At points about the posterior
the model with its fixed numbers is compared with draws of numbers of their own at each point,
and the difference, linear or quadratic in the parameters, is added to the model. What is left, the
part of the noise that is of shorter range, is measured too, as a fraction of the covariance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

__all__ = ["Calibration", "calibrate"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Calibration:
    """A correction quadratic in the parameters, or linear.

    Attributes
    ----------
    center, scale : ndarray, shape (d,)
    coefficients : ndarray, shape (1 + d + d (d + 1)/2, n) or (1 + d, n)
        Of 1, t = (theta - center)/scale, and t_i t_j (i <= j).
    scatter : float
        Variance that the fixed random numbers leave in the corrected model, averaged over the
        points, as a fraction of that of the data: (1/n) trace of C^-1 V. None if it could not
        be measured: there is one set of numbers.
    offset : float
        The same of the correction itself at the points, root mean square: by how many sigma of
        the data the model was off, a bin.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr.diffhod.experiments.calibration import Calibration
    >>> line = Calibration(np.array([1.0]), np.array([2.0]), np.array([[10.0], [4.0]]), None, 0.0)
    >>> line([4.0], np.array([100.0])).tolist()
    [116.0]
    """

    center: FloatArray
    scale: FloatArray
    coefficients: FloatArray
    scatter: float | None
    offset: float

    def __call__(self, theta: Any, model: Any) -> Any:
        """The model at theta, corrected; a tensor of tensors."""
        quadratic = len(self.coefficients) > 1 + len(self.center)
        if isinstance(model, torch.Tensor):
            center, scale, coefficients = (
                torch.as_tensor(v).to(model) for v in (self.center, self.scale, self.coefficients)
            )
            t = (theta.to(model) - center) / scale
            first, second = np.triu_indices(len(t))
            parts = [torch.ones_like(t[:1]), t, *([t[first] * t[second]] if quadratic else [])]
            return model + torch.cat(parts) @ coefficients
        t = (np.asarray(theta) - self.center) / self.scale
        return model + _features(t[None], quadratic)[0] @ self.coefficients


def _features(t: FloatArray, quadratic: bool) -> FloatArray:
    """1, t and, if so wished, t_i t_j of rows t, shape (p, d)."""
    first, second = np.triu_indices(t.shape[1])
    parts = [np.ones((len(t), 1)), t]
    if quadratic:
        parts.append(t[:, first] * t[:, second])
    return np.concatenate(parts, axis=1)


def calibrate(
    points: npt.ArrayLike,
    fixed: npt.ArrayLike,
    drawn: npt.ArrayLike,
    covariance: npt.ArrayLike,
    *,
    used: int | None = None,
    quadratic: bool = False,
) -> Calibration:
    """Fit the correction of a model of fixed random numbers.

    Parameters
    ----------
    points : array_like, shape (p, d)
        Parameters, spread as the posterior.
    fixed : array_like, shape (p, r, n)
        The model there with each of its r fixed sets of random numbers.
    drawn : array_like, shape (p, k, n)
        k draws at each point, with random numbers that no other point shares.
    covariance : array_like, shape (n, n)
        Of the data, to measure by.
    used : int, optional
        How many of the sets, the first, the model averages over; the others serve to measure the
        scatter. All by default.
    quadratic : bool
        Whether the correction is so, not linear: for much noise, and many points; beyond the
        points it goes astray sooner.

    Raises
    ------
    ValueError
        If shapes do not fit together or there are too few points: two for each coefficient.
    """
    at, x, y = (np.asarray(v, dtype=np.float64) for v in (points, fixed, drawn))
    if (
        at.ndim != 2
        or x.ndim != 3
        or y.ndim != 3
        or not len(at) == len(x) == len(y)
        or x.shape[2] != y.shape[2]
    ):
        raise ValueError(
            f"points {at.shape}, fixed {x.shape} and drawn {y.shape}: must be (p, d), (p, r, n) "
            "and (p, k, n)"
        )
    number, d = at.shape
    least = (1 + d) * (2 + d) if quadratic else 2 * (1 + d)
    if number < least:
        raise ValueError(f"{number} points: {d} parameters take at least {least}")
    center, scale = at.mean(axis=0), at.std(axis=0)
    basis = _features((at - center) / scale, quadratic)
    realizations, bins = x.shape[1:]
    used = realizations if used is None else used
    mean = x[:, :used].mean(axis=1)
    coefficients = np.linalg.lstsq(basis, y.mean(axis=1) - mean, rcond=None)[0]
    precision = np.linalg.inv(np.asarray(covariance, dtype=np.float64))

    def size(values: FloatArray) -> float:
        return float(np.einsum("...i,ij,...j->...", values, precision, values).mean())

    scatter = None
    if realizations > 1:
        # How far one set of numbers strays from the others, but for what can be corrected.
        strays = x - x.mean(axis=1)[:, None, :]
        left = strays.reshape(number, -1)
        left = left - basis @ np.linalg.lstsq(basis, left, rcond=None)[0]
        single = size(left.reshape(x.shape)) * realizations / (realizations - 1)
        single *= number / (number - basis.shape[1])
        scatter = single / bins / used
    return Calibration(
        center, scale, coefficients, scatter, float(np.sqrt(size(basis @ coefficients) / bins))
    )
