"""The design of a campaign of universes: a Latin hypercube in Omega_m, sigma_8 and z."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.stats import qmc

from pysoftcorr.core.options import count
from pysoftcorr.core.random import Seed, root_seed, stream

__all__ = ["RANGES", "held_out", "universe_design"]

FloatArray = npt.NDArray[np.float64]

#: Lowest and highest values, around Planck 2018.
RANGES = {"Omega_m": (0.26, 0.36), "sigma_8": (0.72, 0.90), "z": (0.0, 1.0)}


def universe_design(universes: int, *, seed: Seed = None) -> FloatArray:
    """Universes spread evenly in Omega_m, sigma_8 and z.

    A scrambled Sobol sequence, which is a Latin hypercube where their number is a power of two:
    each of as many slices of each parameter has one.

    Parameters
    ----------
    universes : int
        How many. With one seed, fewer are the first of more of the next power of two.
    seed : int or numpy.random.Generator, optional

    Returns
    -------
    ndarray, shape (universes, 3)
        Omega_m, sigma_8, z.

    Raises
    ------
    ValueError
        If `universes` is not at least 1.
    TypeError
        If it is no whole number.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr.mocks.universes import universe_design
    >>> design = universe_design(16, seed=1)
    >>> np.unique((design[:, 2] * 16).astype(int)).size
    16
    """
    number = count("universes", universes, most=1000)
    rng = stream(root_seed(seed), "design of universes")
    power = (number - 1).bit_length()
    u = qmc.Sobol(len(RANGES), scramble=True, seed=rng).random_base2(power)[:number]
    low, high = np.array(list(RANGES.values())).T
    return np.asarray(low + (high - low) * u)


def held_out(universes: int, part: float = 0.25) -> range:
    """Numbers of the universes that nothing trains on: the last quarter.

    A run of a Sobol sequence is itself spread evenly.
    """
    return range(universes - max(round(part * universes), 1), universes)
