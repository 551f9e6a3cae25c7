"""Points drawn once from a reference occupation, to be weighted for any other.

Relaxed trials come and go as parameters change, so that at fixed random numbers a statistic is
rough on the scale of their temperature. Here the points are drawn once, at a rate r of each halo,
and have the weight <N>/r, the mean over all draws of a trial instead of one of them. Its mean is
<N> for any parameters, that of products over different points too, and it is as smooth as <N>.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr.diffhod._torch import torch
from pysoftcorr.diffhod.occupation import HOD_PARAMETERS, check_parameters
from pysoftcorr.diffhod.points import PointSet, placed
from pysoftcorr.mocks._uniforms import uniforms
from pysoftcorr.mocks.draw import LARGEST_NUMBER, poisson_quantile
from pysoftcorr.mocks.hod import HODModel

__all__ = ["check_density", "check_reference", "draw_reference", "reference_rates"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

#: Fewest points a halo has in the mean, of each kind, so that no parameters are without any.
_LEAST_RATE = 0.02
# Masses at which reference occupations are worked out. A rate need not be exact, but positive.
_NODES = 512


def check_density(density: Any) -> float:
    """Points for each galaxy of a reference."""
    if isinstance(density, (bool, np.bool_)) or not isinstance(density, (int, float, np.number)):
        raise TypeError(f"density must be a number, got {type(density).__name__}")
    if not 0.1 <= density <= 1e4:
        raise ValueError(f"density = {float(density):g}: must be 0.1 to 10000 points a galaxy")
    return float(density)


def check_reference(reference: Any) -> FloatArray:
    """Reference occupations, shape (J, 5)."""
    try:
        array = np.atleast_2d(np.array(reference, dtype=np.float64))
    except (TypeError, ValueError):
        raise TypeError(
            f"reference must be numbers {', '.join(HOD_PARAMETERS)}, or rows of them"
        ) from None
    if array.ndim != 2 or array.shape[1] != len(HOD_PARAMETERS) or not len(array):
        raise ValueError(
            f"reference must have shape (5,) or (J, 5), {', '.join(HOD_PARAMETERS)}; it has "
            f"{np.shape(reference)}"
        )
    for row in array:
        check_parameters(row, torch.zeros(0, dtype=torch.float64))
    return array


def reference_rates(
    mass: FloatArray, reference: FloatArray, density: float, *, modulate: bool
) -> tuple[FloatArray, FloatArray]:
    """Mean number of points of each halo, for its central (1 at most) and for satellites.

    Parameters
    ----------
    mass : ndarray, shape (H,)
        Msun/h.
    reference : ndarray, shape (J, 5)
        Occupations whose mean the points follow.
    density : float
        Points for each galaxy of it.
    modulate : bool

    Raises
    ------
    ValueError
        If that is more points than memory should be asked for.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr.diffhod.reweighted import reference_rates
    >>> theta = np.array([[12.0, 0.2, 11.3, 13.0, 1.0]])
    >>> central, satellite = reference_rates(np.array([1e11, 1e12, 1e14]), theta, 8.0,
    ...                                      modulate=False)
    >>> central.round(3).tolist(), satellite.round(1).tolist()
    ([0.02, 1.0, 1.0], [0.0, 0.6, 79.8])
    """
    log_mass = np.log10(mass)
    nodes = np.linspace(log_mass.min() - 1e-3, log_mass.max() + 1e-3, _NODES)
    central, satellite = np.zeros((2, _NODES))
    for row in reference:
        model = HODModel(**dict(zip(HOD_PARAMETERS, row.tolist(), strict=True)), modulate=modulate)
        central += model.mean_ncen(10.0**nodes) / len(reference)
        satellite += model.mean_nsat(10.0**nodes) / len(reference)
    rates = [
        np.maximum(density * np.interp(log_mass, nodes, n), _LEAST_RATE)
        for n in (central, satellite)
    ]
    if not rates[1].sum() <= LARGEST_NUMBER:
        raise ValueError(
            f"reference and density = {density:g} ask for {rates[1].sum():.2g} points of "
            f"satellites, the most is {LARGEST_NUMBER:.2g}: lower density, or leave out "
            "references of many satellites (low logM1, high alpha)"
        )
    return np.minimum(rates[0], 1.0), rates[1]


def draw_reference(
    haloes: Any, order: IntArray, rates: tuple[FloatArray, FloatArray], *, seed: int
) -> PointSet:
    """Points at these rates; the `draw` of each is one over its rate.

    Parameters
    ----------
    haloes : HaloCatalog
    order : ndarray of int, shape (H,)
        Rows of the haloes in the order they are taken.
    rates : tuple of two ndarray, shape (H,)
        As of `reference_rates`, by row.
    seed : int
        Numbers are those of ``HODModel.populate``.
    """
    rate = rates[0][order]
    keep = uniforms(seed, "centrals", order) < rate
    central = order[keep]
    mean = rates[1][order]
    number = poisson_quantile(uniforms(seed, "number of satellites", order), mean)
    host = np.repeat(order, number)
    rank = np.arange(host.size) - np.repeat(np.cumsum(number) - number, number) + 1
    return placed(
        haloes, central, 1 / rate[keep], host, rank, np.repeat(1 / mean, number),
        seed=seed, purpose="satellite",
    )  # fmt: skip
