"""Names of the statistics in figures, and where their bins are drawn."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pysoftcorr.sky.result import Correlation

FloatArray = npt.NDArray[np.float64]

#: How the statistics are written in the literature.
SYMBOLS = {
    "xip": r"$\xi_+$",
    "xim": r"$\xi_-$",
    "w": r"$w$",
    "xi": r"$\xi$",
    "omega": r"$\omega$",
    "eta": r"$\eta$",
    "gamma_t": r"$\gamma_t$",
    **{f"rho{k}": rf"$\rho_{k}$" for k in range(6)},
    **{f"tau{k}": rf"$\tau_{k}$" for k in (0, 2, 5)},
}


def symbol(name: str) -> str:
    """The statistic as it is written in the literature; its own name where that is not known."""
    return SYMBOLS.get(name, name)


def abscissa(correlation: Correlation) -> FloatArray:
    """Mean separation of the pairs, the middle of the bin where that is not known."""
    return np.where(np.isfinite(correlation.theta), correlation.theta, correlation.bins.centers)


def beside(correlation: Correlation, theta: FloatArray, part: float) -> FloatArray:
    """The separations moved to the right by a part of the bin's width."""
    if correlation.bins.kind == "log":
        return np.asarray(theta * np.exp(part * np.diff(np.log(correlation.bins.edges))))
    return theta + part * correlation.bins.widths
