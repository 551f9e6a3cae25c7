"""Largest values that a statistic may have, as curves for figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr.plots.statistics import abscissa
from pysoftcorr.sky.result import Correlation

FloatArray = npt.NDArray[np.float64]
_FORMS = (
    "a callable of the separation, a number, a value per bin, a table of separations and values, "
    "or a mapping of these by statistic"
)


def curve(requirement: Any, correlation: Correlation) -> tuple[FloatArray, FloatArray] | None:
    """Separations, in the unit of the bins, and the largest values that are allowed there.

    Parameters
    ----------
    requirement : callable, number, array_like, Table, mapping or None
        A callable of separations in the unit of the bins; one number; an array (nbins,), or (n, 2)
        of separations and values; a table whose first two columns are these; or a mapping of them
        by the name of the statistic, where one that is missing has no requirement.
    correlation : Correlation

    Returns
    -------
    (ndarray, ndarray), both of shape (n,), or None

    Raises
    ------
    ValueError, TypeError
        It is none of these, or not positive and finite.
    """
    if requirement is None:
        return None
    if isinstance(requirement, Mapping) and not _is_table(requirement):
        return curve(requirement.get(correlation.name), correlation)
    edges = correlation.bins.edges
    low = edges[0] if edges[0] > 0 else 0.1 * edges[1]
    if callable(requirement) and not _is_table(requirement):
        theta = np.geomspace(low, edges[-1], 200)
        values = np.broadcast_to(np.asarray(requirement(theta), dtype=float), theta.shape)
    elif np.ndim(requirement) == 0 and not _is_table(requirement):
        theta = np.array([low, edges[-1]])
        values = np.full(2, _numbers(requirement))
    else:
        theta, values = _tabulated(requirement, correlation)
    if not (np.isfinite(values).all() and (values > 0).all()):
        raise ValueError(
            f"requirement of {correlation.name}: must be positive and finite, not "
            f"{values[~(np.isfinite(values) & (values > 0))][0]:g}"
        )
    return theta, values


def _is_table(given: Any) -> bool:
    """Whether it has columns: of astropy, pandas, or a mapping of two arrays."""
    if hasattr(given, "colnames") or hasattr(given, "columns"):
        return True
    return isinstance(given, Mapping) and "theta" in given


def _numbers(given: Any) -> FloatArray:
    try:
        return np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"requirement = {given!r}: must be {_FORMS}") from None


def _tabulated(given: Any, correlation: Correlation) -> tuple[FloatArray, FloatArray]:
    if _is_table(given):
        names = [name for name in (getattr(given, "colnames", None) or list(given))]
        if len(names) < 2:
            raise ValueError(
                "requirement: its table must have a column of separations, then values"
            )
        first = "theta" if "theta" in names else names[0]
        second = next(name for name in names if name != first)
        columns = _numbers(given[first]), _numbers(given[second])
    else:
        array = _numbers(given)
        if array.ndim == 1:
            if array.shape != (correlation.bins.nbins,):
                raise ValueError(
                    f"requirement: {len(array)} values; must be {correlation.bins.nbins}, one a "
                    "bin, or pairs of separation and value"
                )
            columns = abscissa(correlation), array
        elif array.ndim == 2 and array.shape[1] == 2:
            columns = array[:, 0], array[:, 1]
        else:
            raise ValueError(f"requirement has shape {array.shape}: must be {_FORMS}")
    order = np.argsort(columns[0], kind="stable")
    return columns[0][order], columns[1][order]
