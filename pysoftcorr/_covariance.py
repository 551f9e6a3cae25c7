"""Covariances of resampled correlations, where a resample may lack pairs in a bin."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


def factor(method: str, n: int) -> float:
    """What the sum of squares about the mean of `n` resamples is multiplied by.

    ``1/(n - 1)`` for independent draws and the bootstrap, ``(n - 1)/n`` for the
    delete-one jackknife. NaN where a single resample says nothing.
    """
    if n < 2:
        return float("nan")
    if method == "jackknife":
        return (n - 1) / n
    return 1.0 / (n - 1)


def covariance(resamples: npt.NDArray[np.floating], scale: float) -> FloatArray:
    """``scale * sum (x - mean)(x - mean)^T`` over resamples, bin pair by bin pair.

    Parameters
    ----------
    resamples : ndarray, shape (n, nbins)
        Real values; NaN where a resample had no pairs in a bin.
    scale : float
        See `factor`.

    Returns
    -------
    ndarray, shape (nbins, nbins)
        Where some resamples lack one of the two bins, the entry is made of the m others with
        their own means, times (n - 1)/(m - 1), so that the mean square keeps its meaning; NaN
        where m < 2. A matrix made so need not be positive definite.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr._covariance import covariance
    >>> covariance(np.array([[1.0], [3.0]]), 1.0)
    array([[2.]])
    """
    x = np.asarray(resamples, dtype=np.float64)
    n = len(x)
    finite = np.isfinite(x)
    if n < 2:
        return np.full((x.shape[1], x.shape[1]), np.nan)
    if finite.all():
        centred = x - x.mean(axis=0)
        return scale * (centred.T @ centred)
    # Sums about each bin's own mean over all its draws lose no digits to a large mean; the
    # means over the draws that two bins share then follow from the shared sums.
    here = finite.astype(np.float64)
    count = here.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(finite, x, 0.0).sum(axis=0) / count
        centred = np.where(finite, x - mean, 0.0)
        shared = here.T @ here
        sums = centred.T @ here
        about = centred.T @ centred - sums * sums.T / shared
        result = scale * (n - 1) / (shared - 1) * about
    result[shared < 2] = np.nan
    # Draws that are all alike must not get a variance of minus one rounding.
    variances = np.diag(result)
    np.fill_diagonal(result, np.where(variances < 0, 0.0, variances))
    return result


def mean(resamples: npt.NDArray[np.floating]) -> FloatArray:
    """Mean of each bin over the resamples that have pairs in it; NaN where none has."""
    x = np.asarray(resamples, dtype=np.float64)
    finite = np.isfinite(x)
    count = finite.sum(axis=0)
    total = np.where(finite, x, 0.0).sum(axis=0)
    return np.divide(total, count, out=np.full(x.shape[1], np.nan), where=count > 0)
