"""Galaxies drawn in halos: from uniform numbers to satellites, their number, place and radius.

Satellites live in one of three places, `SATELLITES`: in a spherical NFW profile ("nfw"), in one of
the halo's ellipsoid ("triaxial"), or on the subhalos of the halo ("subhalos").
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

from pysoftcorr.core.checks import Origin
from pysoftcorr.core.random import uniforms
from pysoftcorr.mocks import checks
from pysoftcorr.mocks.shapes import Shapes, caution_of_assumptions, shapes_of
from pysoftcorr.mocks.subhalo_places import check_subhalos, subhalo_places

__all__ = [
    "LARGEST_NUMBER", "SATELLITES", "DrawnGalaxies", "NoGalaxies", "NotPopulated",
    "TooManyGalaxies", "check_places", "directions", "draw_galaxies", "ellipsoid_places",
    "nfw_radius", "place_galaxies", "poisson_quantile", "refuse_number",
]  # fmt: skip

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

#: Where satellites live.
SATELLITES = ("nfw", "triaxial", "subhalos")
#: Most satellites in a catalog.
LARGEST_NUMBER = 50_000_000
#: Means below which Poisson quantiles are counted.
_FEW = 20


class NotPopulated(ValueError):
    """Halos of which an HOD makes no catalog, with the reason and what to do about it."""

    def __init__(self, reason: str, advice: str) -> None:
        super().__init__(reason, advice)
        self.reason = reason

    def __str__(self) -> str:
        return ": ".join(self.args)


class NoGalaxies(NotPopulated):
    """No halo holds a galaxy."""


class TooManyGalaxies(NotPopulated):
    """More satellites than fit in memory are expected."""


class DrawnGalaxies(NamedTuple):
    """Galaxies as they are drawn.

    `centrals` are rows of halos; satellites have one row each of `host`, `rank`, `direction` and
    `scaled_radius`; `position` is that of all galaxies, centrals first.
    """

    centrals: IntArray
    host: IntArray
    rank: IntArray
    direction: FloatArray
    scaled_radius: FloatArray
    position: FloatArray


def check_places(halos: Any, satellites: str) -> None:
    """ValueError where halos lack what such satellites need, and a warning of what is assumed."""
    if satellites == "subhalos":
        check_subhalos(halos)
    if satellites == "triaxial":
        caution_of_assumptions(halos)


def draw_galaxies(
    halos: Any,
    mean_ncen: FloatArray,
    mean_nsat: FloatArray,
    seed: int,
    *,
    satellites: str = "nfw",
) -> DrawnGalaxies:
    """The draw of `HODModel.populate` at these mean numbers, of halos that are in order.

    Raises
    ------
    TooManyGalaxies
        If more satellites than fit in memory would be made.
    """
    row = np.arange(len(mean_ncen))
    refuse_number(float(mean_nsat.sum()))
    centrals = np.flatnonzero(uniforms(seed, "centrals", row) < mean_ncen)
    n_sat = poisson_quantile(uniforms(seed, "number of satellites", row), mean_nsat)
    return place_galaxies(halos, centrals, row, n_sat, seed, satellites=satellites)


def place_galaxies(
    halos: Any,
    centrals: IntArray,
    row: IntArray,
    n_sat: IntArray,
    seed: int,
    *,
    satellites: str = "nfw",
) -> DrawnGalaxies:
    """Galaxies of these rows of halos: `centrals`, and `n_sat` satellites in each of `row`."""
    host = np.repeat(row, n_sat)
    rank = np.arange(host.size) - np.repeat(np.cumsum(n_sat) - n_sat, n_sat) + 1
    places = {"nfw": _sphere_places, "triaxial": ellipsoid_places, "subhalos": subhalo_places}
    direction, scaled, place = places[satellites](halos, host, rank, seed)
    position = np.concatenate([halos.position[centrals], place])
    return DrawnGalaxies(centrals, host, rank, direction, scaled, position)


Places = tuple[FloatArray, FloatArray, FloatArray]


def _sphere_places(halos: Any, host: IntArray, rank: IntArray, seed: int) -> Places:
    """Directions, r/Rvir and positions of satellites of spherical halos."""
    direction, scaled = _in_sphere(halos, host, rank, seed, "satellite")
    return direction, scaled, _placed(halos, host, direction, scaled)


def ellipsoid_places(
    halos: Any, host: IntArray, rank: IntArray, seed: int, kind: str = "satellite"
) -> Places:
    """Directions, r/Rvir and positions of what follows the ellipsoids of halos.

    The density is that of the NFW profile at the ellipsoidal radius m, m^2 = (b c)^(2/3) (x^2 +
    y^2/b^2 + z^2/c^2) with b and c in units of the major axis. Each shell of the sphere becomes
    one of the same volume: halos keep their mean density, by which their mass is defined, and
    one-halo pairs about their number at a separation; r is at most Rvir (b c)^(-1/3).
    """
    sphere, m = _in_sphere(halos, host, rank, seed, kind)
    rows, which = np.unique(host, return_inverse=True)
    shapes = shapes_of(halos, rows, seed)
    vector = Shapes(*(values[which] for values in shapes)).stretched(sphere)
    length = np.linalg.norm(vector, axis=1)
    direction, scaled = vector / length[:, None], m * length
    return direction, scaled, _placed(halos, host, direction, scaled)


def _in_sphere(
    halos: Any, host: IntArray, rank: IntArray, seed: int, kind: str
) -> tuple[FloatArray, FloatArray]:
    u = {
        name: uniforms(seed, f"{kind} {name}", host, rank)
        for name in ("radius", "height", "azimuth")
    }
    scaled = nfw_radius(u["radius"], halos.concentration[host])
    return directions(u["height"], u["azimuth"]), scaled


def _placed(halos: Any, host: IntArray, direction: FloatArray, scaled: FloatArray) -> FloatArray:
    place = halos.position[host] + direction * (scaled * halos.radius[host])[:, None]
    return checks.boxed(place, checks.box_size(halos.boxsize), Origin(), wrap=True)


def nfw_radius(u: npt.ArrayLike, concentration: npt.ArrayLike) -> FloatArray:
    """r/Rvir within which a part `u` of the mass of an NFW halo lies: the exact inverse CDF.

    y = -1 - 1/W(-exp(-1 - u m(c))) with W the principal branch of Lambert's function,
    m(c) = ln(1 + c) - c/(1 + c) and y = c r/Rvir.

    Parameters
    ----------
    u : array_like
        In [0, 1].
    concentration : array_like
        Above 0.

    Examples
    --------
    >>> from pysoftcorr.mocks.satellites import nfw_radius
    >>> nfw_radius([0.0, 0.5, 1.0], 7.0).round(6).tolist()
    [0.0, 0.402998, 1.0]
    """
    u = np.asarray(u, dtype=np.float64)
    c = np.asarray(concentration, dtype=np.float64)
    m = u * _nfw_mass(c)
    with np.errstate(divide="ignore", invalid="ignore"):
        y = -1 - 1 / special.lambertw(-np.exp(-1 - m)).real
    # At the branch point W loses half its digits: there by the series, and a step of Newton's
    # method on m(y) puts both right.
    root = np.sqrt(2 * m)
    y = np.where(m < 1e-3, root * (1 + root * (2 / 3 + root * 13 / 36)), y)
    for _ in range(2):
        positive = np.where(y > 0, y, 1.0)
        step = (_nfw_mass(positive) - m) * (1 + positive) ** 2 / positive
        y = np.where(y > 0, y - step, 0.0)
    return np.asarray(np.clip(y / c, 0.0, 1.0))


def _nfw_mass(y: FloatArray) -> FloatArray:
    # Below 0.02 the difference cancels; y^2/2 - 2 y^3/3 + ... does not.
    series = np.zeros_like(y)
    small = np.minimum(y, 0.02)
    for k in range(11, 1, -1):
        series = series * -small + (k - 1) / k
    return np.where(y < 0.02, series * small * small, np.log1p(y) - y / (1 + y))


def _counted(u: FloatArray, mean: FloatArray) -> FloatArray:
    """`poisson_quantile` by adding terms: faster than the inverse where means are small."""
    number = np.zeros(u.shape)
    term = np.exp(-mean)
    total = term.copy()
    left = np.flatnonzero(total < u)
    k = 0
    while left.size:
        k += 1
        term[left] *= mean[left] / k
        total[left] += term[left]
        number[left] = k
        left = left[total[left] < u[left]]
    return number


def poisson_quantile(u: FloatArray, mean: FloatArray) -> IntArray:
    """The least number whose cumulative Poisson probability is not below `u`."""
    number = np.zeros(u.shape, dtype=np.int64)
    some = u > np.exp(-mean)
    if some.any():
        v, lam = u[some], mean[some]
        k = np.empty(v.shape)
        # Next to 1, where a step is below the rounding of a sum, terms cannot tell.
        few = (lam < _FEW) & (v < 1 - 1e-9)
        k[few] = _counted(v[few], lam[few])
        k[~few] = np.ceil(special.pdtrik(v[~few], lam[~few]))
        # Both may round to the wrong side of a whole number.
        k = np.where((k > 0) & (special.pdtr(np.maximum(k - 1, 0), lam) >= v), k - 1, k)
        number[some] = np.where(special.pdtr(k, lam) < v, k + 1, k)
    return number


def directions(u1: FloatArray, u2: FloatArray) -> FloatArray:
    """Unit vectors, shape (N, 3), evenly over the sphere, from two uniform numbers each."""
    z, phi = 2 * u1 - 1, 2 * np.pi * u2
    s = np.sqrt((1 - z) * (1 + z))
    return np.stack([s * np.cos(phi), s * np.sin(phi), z], axis=1)


def refuse_number(mean: float) -> None:
    """TooManyGalaxies where so many satellites are expected."""
    if not mean < LARGEST_NUMBER:
        raise TooManyGalaxies(
            f"this HOD makes about {mean:.3g} satellites, more than {LARGEST_NUMBER:,}",
            "raise logM1, lower alpha, or leave the lightest halos out",
        )
