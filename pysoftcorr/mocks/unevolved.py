"""Subhalos drawn for halos: an unevolved mass function, and places in the halo's ellipsoid."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

from pysoftcorr.core.random import uniforms
from pysoftcorr.mocks.satellites import LARGEST_NUMBER, ellipsoid_places, poisson_quantile
from pysoftcorr.mocks.subhalos import Subhalos

__all__ = ["draw_subhalos", "subhalos_above"]

FloatArray = npt.NDArray[np.float64]

#: dN/dln psi = (g1 psi^a1 + g2 psi^a2) exp(-beta psi^zeta), psi = m/M.
_TERMS = ((0.13, -0.83), (1.33, -0.02))
_BETA, _ZETA = 5.67, 1.19
#: Steps of ln psi between which N(> psi) is inverted.
_STEPS = 8192


def subhalos_above(ratio: npt.ArrayLike) -> FloatArray:
    """Mean number of subhalos of a halo above a mass ratio.

    Parameters
    ----------
    ratio : array_like
        Mass of the subhalo when it fell in over the mass of its host now, above 0; there are none
        above 1.

    Returns
    -------
    ndarray
        The integral of dN/dln psi = (0.13 psi^-0.83 + 1.33 psi^-0.02) exp(-5.67 psi^1.19), that of
        subhalos of the first order (Jiang & van den Bosch 2014, MNRAS 440, 193, eq. 21), in
        incomplete gamma functions.

    Examples
    --------
    >>> from pysoftcorr.mocks.unevolved import subhalos_above
    >>> subhalos_above([0.001, 0.1, 1.0]).round(3).tolist()
    [54.217, 1.24, 0.0]
    """
    psi = np.minimum(np.asarray(ratio, dtype=np.float64), 1.0)
    number = np.zeros(psi.shape)
    for factor, slope in _TERMS:
        a = slope / _ZETA
        upper = _gamma_of(a, _BETA * psi**_ZETA) - _gamma_of(a, np.asarray(_BETA))
        number += factor / _ZETA * _BETA**-a * upper
    return np.maximum(number, 0.0)


def _gamma_of(a: float, x: FloatArray) -> FloatArray:
    """Upper incomplete gamma function of -1 < a < 0, by that of a + 1."""
    above = special.gammaincc(a + 1, x) * special.gamma(a + 1)
    return np.asarray((above - x**a * np.exp(-x)) / a)


def draw_subhalos(halos: Any, seed: int, least: float) -> Subhalos:
    """Subhalos of halos, down to a mass.

    Numbers are Poisson, masses those at infall, of `subhalos_above`. They lie where satellites of
    `HODModel(satellites="triaxial")` do: subhalos by their mass at infall follow the profile of
    their host (Han et al. 2016, MNRAS 457, 1208).

    Parameters
    ----------
    halos : HaloCatalog
    seed : int
        A subhalo follows from it and from the row of its halo.
    least : float
        Least mass, Msun/h.

    Raises
    ------
    ValueError
        If more than 50 million are expected.

    Examples
    --------
    >>> from pysoftcorr.mocks import HaloCatalog
    >>> halos = HaloCatalog([[5, 5, 5]], [1e15], [2.0], [5.0], [[0, 0, 1]], boxsize=10)
    >>> from pysoftcorr.mocks.unevolved import draw_subhalos
    >>> len(draw_subhalos(halos, 1, 1e12))
    64
    """
    row = np.arange(len(halos.mass))
    mean = subhalos_above(least / halos.mass)
    if mean.sum() > LARGEST_NUMBER:
        raise ValueError(
            f"subhalo_mmin = {least:g}: about {mean.sum():.3g} subhalos would be made, more than "
            f"{LARGEST_NUMBER:,}; raise it, or mmin"
        )
    number = poisson_quantile(uniforms(seed, "number of subhalos", row), mean)
    host = np.repeat(row, number)
    rank = np.arange(host.size) - np.repeat(np.cumsum(number) - number, number) + 1
    place = ellipsoid_places(halos, host, rank, seed, "subhalo")[2]
    grid = np.linspace(np.log(min(least / halos.mass.max(), 1.0)), 0.0, _STEPS)
    wanted = uniforms(seed, "subhalo mass", host, rank) * mean[host]
    ratio = np.exp(np.interp(wanted, subhalos_above(np.exp(grid))[::-1], grid[::-1]))
    return Subhalos(place, np.maximum(ratio * halos.mass[host], least), host)
