"""Figures of merit of an emulator, each as a function of plain arrays.

Arrays are (n, b): n rows (parameter points), b bins; `true` is what the prediction is held
against. Per bin, a figure is taken over the rows of that bin; overall, over all rows and bins
together ("pooled"). The papers whose figures these are (Pandya et al. 2025) do not write all of
their definitions down, so they are written down here.

Definitions
-----------
fractional error
    mean of |pred - true| / |true|. It has no meaning where the truth is noise about zero, so that
    a mask says which elements count (`counts`): |true| > 0.01 and |true| > 3 times the standard
    error of that mean, for omega and eta; every element for xi, which is positive. The median, and
    the mean without the rule, are given beside it.
Spearman
    rank correlation of pred and true.
NRMSE
    sqrt(mean (pred - true)^2) / standard deviation of true.
SMAPE
    mean of 2 |pred - true| / (|pred| + |true|), between 0 and 2.
calibration in dex
    mean of log10(sigma_pred / sigma_emp), where sigma_emp is the standard deviation among R
    realisations, less `log_sd_bias(R)`, by which the log of a standard deviation of few normal
    draws is low on average.
coverage
    the part of the drawn realisations within k predicted standard deviations of the mean.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import special, stats

__all__ = [
    "NEAR_ZERO",
    "STANDARD_ERRORS",
    "counts",
    "coverage",
    "dex_bias",
    "fractional_error",
    "log_sd_bias",
    "nrmse",
    "smape",
    "spearman",
    "spearman_per_row",
]

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

#: Of omega and eta: below this a fractional error is not taken.
NEAR_ZERO = 0.01
STANDARD_ERRORS = 3.0


def counts(
    true: FloatArray,
    error: FloatArray,
    *,
    least: float = NEAR_ZERO,
    standard_errors: float = STANDARD_ERRORS,
) -> BoolArray:
    """Where a fractional error is taken: |true| above `least` and so many of its errors.

    Parameters
    ----------
    true : ndarray, shape (n, b)
        The mean over realisations.
    error : ndarray, shape (n, b)
        Its standard error.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr.emulator.metrics import counts
    >>> counts(np.array([0.005, 0.02, 0.02]), np.array([1e-4, 1e-3, 0.01])).tolist()
    [False, True, False]
    """
    size = np.abs(true)
    return (size > least) & (size > standard_errors * error)


def fractional_error(
    predicted: FloatArray, true: FloatArray, where: BoolArray | None = None
) -> FloatArray:
    """|pred - true| / |true| of each element; NaN where it does not count.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr.emulator.metrics import fractional_error
    >>> fractional_error(np.array([1.1, 3.0]), np.array([1.0, 2.0])).round(3).tolist()
    [0.1, 0.5]
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.abs(predicted - true) / np.abs(true)
    return ratio if where is None else np.where(where, ratio, np.nan)


def spearman(predicted: FloatArray, true: FloatArray, axis: int | None = None) -> FloatArray:
    """Rank correlation along an axis, ties by their mean rank; pooled with ``axis=None``.

    NaN where one of the two does not vary.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr.emulator.metrics import spearman
    >>> float(spearman(np.array([1.0, 2.0, 9.0]), np.array([0.1, 0.2, 0.3])))
    1.0
    """
    x = stats.rankdata(predicted, axis=axis)
    y = stats.rankdata(true, axis=axis)
    x = x - x.mean(axis=axis, keepdims=True)
    y = y - y.mean(axis=axis, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(
            (x * y).sum(axis) / np.sqrt((x * x).sum(axis) * (y * y).sum(axis)), dtype=np.float64
        )


def spearman_per_row(predicted: FloatArray, true: FloatArray) -> FloatArray:
    """Rank correlation across the bins of each row, shape (n,)."""
    return spearman(predicted, true, axis=1)


def nrmse(predicted: FloatArray, true: FloatArray, axis: int | None = None) -> FloatArray:
    """Root mean squared error over the standard deviation of the truth.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr.emulator.metrics import nrmse
    >>> float(nrmse(np.array([0.0, 2.0]), np.array([-1.0, 1.0])))
    1.0
    """
    error = np.sqrt(np.mean((predicted - true) ** 2, axis=axis))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(error / np.std(true, axis=axis), dtype=np.float64)


def smape(predicted: FloatArray, true: FloatArray, axis: int | None = None) -> FloatArray:
    """Symmetric fractional error, 0 to 2; 0 where both are 0.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr.emulator.metrics import smape
    >>> float(smape(np.array([3.0]), np.array([1.0])))
    1.0
    """
    total = np.abs(predicted) + np.abs(true)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(total > 0, 2 * np.abs(predicted - true) / total, 0.0)
    return np.asarray(ratio.mean(axis=axis), dtype=np.float64)


def log_sd_bias(realisations: int) -> float:
    """Mean of log10(s/sigma), s the unbiased-variance standard deviation of R normal draws.

    [psi(k/2) - ln(k/2)] / (2 ln 10), k = R - 1: -0.025 at R = 10.

    Raises
    ------
    ValueError
        If there are fewer than two realisations.

    Examples
    --------
    >>> from pysoftcorr.emulator.metrics import log_sd_bias
    >>> round(log_sd_bias(10), 4)
    -0.025
    """
    if realisations < 2:
        raise ValueError(f"realisations = {realisations}: a spread needs at least 2")
    half = (realisations - 1) / 2
    return float((special.digamma(half) - np.log(half)) / (2 * np.log(10)))


def dex_bias(
    predicted: FloatArray, empirical: FloatArray, realisations: int, axis: int | None = None
) -> FloatArray:
    """Mean of log10(sigma_pred / sigma_emp), corrected for the small number of realisations.

    Above 0 the predicted errors are too large. Elements whose realisations do not vary at all
    are left out.

    Parameters
    ----------
    predicted : ndarray, shape (n, b)
        Predicted standard deviations.
    empirical : ndarray, shape (n, b)
        Standard deviations among `realisations` (dividing by R - 1).
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(empirical > 0, np.log10(predicted / empirical), np.nan)
    mean = np.asarray(np.nanmean(ratio, axis=axis), dtype=np.float64)
    # sigma_emp is low on average, so the raw ratio is high by as much.
    return mean + log_sd_bias(realisations)


def coverage(
    drawn: FloatArray,
    mean: FloatArray,
    sigma: FloatArray,
    *,
    k: float = 1.0,
    axis: int | tuple[int, ...] | None = None,
) -> FloatArray:
    """Part of drawn realisations within k sigma of the mean.

    Parameters
    ----------
    drawn : ndarray, shape (n, R, b)
    mean, sigma : ndarray, shape (n, b)
    k : float
    axis : int or tuple of int, optional
        Of (n, R, b), to average over; all by default.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr.emulator.metrics import coverage
    >>> drawn = np.array([-0.5, 0.5, 3.0, 0.9]).reshape(1, 4, 1)
    >>> float(coverage(drawn, np.zeros((1, 1)), np.ones((1, 1))))
    0.75
    """
    inside = np.abs(drawn - mean[:, None]) <= k * sigma[:, None]
    return np.asarray(inside.mean(axis=axis), dtype=np.float64)
