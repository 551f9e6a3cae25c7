"""The training design: points in the space of HOD parameters and alignment strengths."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import qmc

from pysoftcorr.core.options import choice, count, number, shown
from pysoftcorr.core.random import Seed, root_seed, stream
from pysoftcorr.mocks.hod import PARAMETERS

__all__ = ["LOG_MMIN_RANGE", "SIGMA_LEAST", "parameter_bounds", "training_design"]

FloatArray = npt.NDArray[np.float64]

LOG_MMIN_RANGE = (11.0, 15.0)
#: The fit less four RMSE is below 0 for light halos, where no HOD has a width.
SIGMA_LEAST = 0.01

#: Zheng, Coil & Zehavi 2007, table 1.
_Z07 = {
    "logMmin": (11.35, 11.46, 11.60, 11.75, 12.02, 12.30, 12.79, 13.38, 14.22),
    "sigma_logM": (0.25, 0.24, 0.26, 0.28, 0.26, 0.21, 0.39, 0.51, 0.77),
    "logM0": (11.20, 10.59, 11.49, 11.69, 11.38, 11.84, 11.92, 13.94, 14.00),
    "logM1": (12.40, 12.68, 12.83, 13.01, 13.31, 13.58, 13.94, 13.91, 14.69),
    "alpha": (0.83, 0.97, 1.02, 1.06, 1.06, 1.12, 1.15, 1.04, 0.87),
}
_HALF_WIDTH = 4.0  # in RMSE of the fit


def parameter_bounds(logMmin: npt.ArrayLike) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Lowest and highest values of the other four HOD parameters at `logMmin`.

    Each is the straight-line fit on log Mmin to the nine samples of Zheng, Coil & Zehavi (2007,
    table 1) less and plus four times the RMSE of that fit; sigma_logM is at least 0.01.

    Parameters
    ----------
    logMmin : array_like
        log10 of Msun/h.

    Returns
    -------
    dict of (low, high)
        By name, of the shape of `logMmin`.

    Examples
    --------
    >>> from pysoftcorr.mocks.design import parameter_bounds
    >>> low, high = parameter_bounds(12.0)["logM1"]
    >>> round(float(low), 3), round(float(high), 3)
    (12.459, 13.823)
    """
    at = np.asarray(logMmin, dtype=np.float64)
    x = np.array(_Z07["logMmin"])
    bounds = {}
    for name in PARAMETERS[3:]:
        y = np.array(_Z07[name])
        slope, start = np.polyfit(x, y, 1)
        rmse = float(np.sqrt(np.mean((y - start - slope * x) ** 2)))
        fit = start + slope * at
        low, high = fit - _HALF_WIDTH * rmse, fit + _HALF_WIDTH * rmse
        if name == "sigma_logM":
            low = np.maximum(low, SIGMA_LEAST)
        bounds[name] = (low, high)
    return bounds


def training_design(
    points: int,
    *,
    seed: Seed = None,
    sampling: str = "sobol",
    logMmin: tuple[float, float] = LOG_MMIN_RANGE,
) -> FloatArray:
    """Points of the training design of Pandya et al. (2025).

    log Mmin is uniform in `logMmin`, by default [11, 15], the other HOD parameters uniform within
    `parameter_bounds`, mu_cen and mu_sat uniform in [-1, 1].

    Parameters
    ----------
    points : int
        How many. With one seed, fewer points are the first of more.
    seed : int or numpy.random.Generator, optional
    sampling : str
        "sobol": a scrambled Sobol sequence, which fills the space evenly, best of all where
        `points` is a power of two; "random": independent points.
    logMmin : (float, float)
        Lowest and highest log Mmin. A small box has too few galaxies to fill the bins at the
        upper end of the published range.

    Returns
    -------
    ndarray, shape (points, 7)
        Columns in the order of `PARAMETERS`: mu_cen, mu_sat, logMmin, sigma_logM, logM0, logM1,
        alpha.

    Raises
    ------
    ValueError
        If `points` is not at least 1, `sampling` is unknown, or `logMmin` is no range.
    TypeError
        If `points` is no whole number, or `logMmin` no pair of numbers.

    Examples
    --------
    >>> from pysoftcorr.mocks import training_design
    >>> design = training_design(64, seed=1)
    >>> design.shape, bool((abs(design[:, :2]) <= 1).all())
    ((64, 7), True)
    """
    number = count("points", points, most=10_000_000, each=300.0)
    rng = stream(root_seed(seed), "training design")
    if choice("sampling", sampling, ("sobol", "random")) == "sobol":
        # A whole power of two is drawn: the sequence is balanced there, and a prefix is a prefix.
        power = (number - 1).bit_length()
        u = qmc.Sobol(len(PARAMETERS), scramble=True, seed=rng).random_base2(power)[:number]
    else:
        u = rng.random((number, len(PARAMETERS)))
    design = np.empty_like(u)
    design[:, :2] = 2 * u[:, :2] - 1
    low, high = log_mmin_range(logMmin)
    design[:, 2] = low + (high - low) * u[:, 2]
    for column, (name, bounds) in enumerate(parameter_bounds(design[:, 2]).items(), start=3):
        assert PARAMETERS[column] == name
        design[:, column] = bounds[0] + (bounds[1] - bounds[0]) * u[:, column]
    return design


def log_mmin_range(logMmin: Any) -> tuple[float, float]:
    """A checked range of log Mmin; raises as `training_design`."""
    try:
        low, high = (number("logMmin", end, least=0, most=100) for end in logMmin)
    except TypeError:
        raise TypeError(
            f"logMmin = {shown(logMmin)}: must be two numbers, the lowest and the highest"
        ) from None
    except ValueError as error:
        if str(error).startswith("logMmin"):
            raise
        raise ValueError(
            f"logMmin = {shown(logMmin)}: must be two numbers, the lowest and the highest"
        ) from None
    if not (np.isfinite([low, high]).all() and 0 < low < high):
        raise ValueError(f"logMmin = ({low:g}, {high:g}): the second must be above the first")
    return low, high
