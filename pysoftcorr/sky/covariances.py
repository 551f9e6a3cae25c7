"""Covariances from resamples, and what their errors are worth without a signal."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from pysoftcorr.sky.result import Correlation

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
    >>> from pysoftcorr.sky.covariances import covariance
    >>> covariance(np.array([[1.0], [3.0]]), 1.0)
    array([[2.]])
    """
    x = np.asarray(resamples, dtype=np.float64)
    n = len(x)
    finite = np.isfinite(x)
    if n < 2:
        return np.full((x.shape[1], x.shape[1]), np.nan)
    if finite.all():
        centered = x - x.mean(axis=0)
        return scale * (centered.T @ centered)
    # Sums about each bin's own mean over all its draws lose no digits to a large mean; the
    # means over the draws that two bins share then follow from the shared sums.
    here = finite.astype(np.float64)
    count = here.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(finite, x, 0.0).sum(axis=0) / count
        centered = np.where(finite, x - mean, 0.0)
        shared = here.T @ here
        sums = centered.T @ here
        about = centered.T @ centered - sums * sums.T / shared
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


def noise_excess(method: str, n: int, scale: float) -> float:
    """How many times too large a resampled error of pairs comes out where there is no signal.

    The noise of a pair of objects that count m_i and m_j times enters a resample as m_i m_j.
    Its variance is 3 for draws with replacement (Mo, Jing & Boerner 1992), and each pair is left
    out of two of the delete-one samples (2; Efron & Stein 1981), or with both chances of leaving
    out a fraction f, ``(2 - f)/(1 - f)``. These are the limits for many objects or patches.

    Parameters
    ----------
    method : {"bootstrap", "jackknife", "leave-out"}
    n : int
        Number of resamples.
    scale : float
        What their sum of squares about the mean is multiplied by; ``(1 - f)/(f n)`` tells f of
        "leave-out".

    Returns
    -------
    float
        Ratio of standard deviations, NaN where `scale` does not tell it.

    Examples
    --------
    >>> from pysoftcorr.sky.covariances import noise_excess
    >>> round(noise_excess("bootstrap", 100, 1 / 99) ** 2, 12)
    3.0
    >>> f = 0.3
    >>> round(noise_excess("leave-out", 50, (1 - f) / (f * 50)) ** 2 - (2 - f) / (1 - f), 12)
    0.0
    """
    if method == "bootstrap":
        return math.sqrt(3.0)
    if method == "jackknife":
        return math.sqrt(2.0)
    return math.sqrt(2.0 + 1.0 / (scale * n)) if scale * n > 0 else float("nan")


def kinds_of(results: Iterable[Correlation]) -> list[str]:
    """The kinds of resamples that any of the results has."""
    items = list(results)
    return [
        kind
        for kind in ("epistemic", "aleatoric")
        if any(getattr(item, kind) is not None for item in items)
    ]


def joint(results: Iterable[Correlation], kind: str) -> FloatArray:
    """Joint covariance of statistics; see `pysoftcorr.sky.result.CorrelationSet.covariance`."""
    chosen = list(results)
    if not chosen:
        raise ValueError("names: at least one statistic is needed")
    if kind == "total":
        there = kinds_of(chosen)
        if not there:
            raise ValueError("there are no resamples, hence no covariance")
        parts = [joint(chosen, k) for k in there]
        return sum(parts[1:], start=parts[0])
    if kind not in ("aleatoric", "epistemic"):
        raise ValueError(f"kind = {kind!r}: must be 'total', 'aleatoric' or 'epistemic'")
    names = ", ".join(c.name for c in chosen)
    resamples = [getattr(c, kind) for c in chosen]
    lacking = [c.name for c, r in zip(chosen, resamples, strict=True) if r is None]
    if lacking:
        raise ValueError(f"{', '.join(lacking)}: no {kind} resamples, hence no covariance")
    ways = {
        (len(r), *((c.aleatoric_method, c.aleatoric_factor) if kind == "aleatoric" else ()))
        for c, r in zip(chosen, resamples, strict=True)
    }
    # A single resample has the factor NaN, which is unequal to itself.
    if len({repr(k) for k in ways}) > 1:
        raise ValueError(f"the {kind} resamples of {names} differ")
    scale = factor(kind, len(resamples[0])) if kind == "epistemic" else chosen[0].aleatoric_factor
    assert scale is not None
    return covariance(np.hstack([r.real for r in resamples]), scale)
