"""Catalogs of the exact HOD whose random numbers are spread evenly among them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr.core.random import stream, uniforms
from pysoftcorr.mocks.satellites import (
    DrawnGalaxies,
    place_galaxies,
    poisson_quantile,
    refuse_number,
)

__all__ = ["StratifiedDraws"]

FloatArray = npt.NDArray[np.float64]


class StratifiedDraws:
    """Catalogs of `HODModel`: each a fair draw, together nearer to the mean than independent.

    A halo has a central galaxy where a uniform number u is below <Ncen>, and its number of
    satellites is the Poisson quantile of another. Catalog r of n takes u + r/n, modulo 1: one
    in each n-th of the unit interval, so that of n catalogs n <Ncen>, but for less than one,
    have a central. Within a catalog halos are independent. Places of satellites are
    independent, too.

    Parameters
    ----------
    halos : HaloCatalog
    number : int
        Of catalogs.
    seed : int

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr.diffhod.experiments.strata import StratifiedDraws
    >>> from pysoftcorr.mocks import HaloCatalog
    >>> halos = HaloCatalog.simulate(50.0, 16, mmin=3e12, seed=1)
    >>> draws = StratifiedDraws(halos, 4, seed=2)
    >>> half, none = np.full(len(halos), 0.5), np.zeros(len(halos))
    >>> found = np.concatenate([draws.draw(r, half, none).centrals for r in range(4)])
    >>> bool((np.bincount(found) == 2).all())
    True
    """

    def __init__(self, halos: Any, number: int, seed: int) -> None:
        self.halos, self.number = halos, number
        row = np.arange(len(halos))
        shift = np.arange(number)[:, None] / number
        self._central = (uniforms(seed, "strata of centrals", row) + shift) % 1.0
        self._satellites = (uniforms(seed, "strata of satellites", row) + shift) % 1.0
        with np.errstate(divide="ignore"):
            self._least = -np.log(self._satellites)  # a mean below this makes no satellite
        self._seeds = stream(seed, "strata").integers(2**62, size=number).tolist()

    def draw(self, r: int, mean_ncen: FloatArray, mean_nsat: FloatArray) -> DrawnGalaxies:
        """Catalog r at these mean numbers of the halos.

        Raises
        ------
        ValueError
            If more satellites than fit in memory would be made.
        """
        refuse_number(float(mean_nsat.sum()))
        centrals = np.flatnonzero(self._central[r] < mean_ncen)
        some = np.flatnonzero(mean_nsat > self._least[r])
        n_sat = poisson_quantile(self._satellites[r, some], mean_nsat[some])
        return place_galaxies(self.halos, centrals, some, n_sat, self._seeds[r])
