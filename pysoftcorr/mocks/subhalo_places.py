"""Satellites on subhalos: the j-th satellite of a halo on its j-th heaviest subhalo."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

from pysoftcorr.core.cautions import caution
from pysoftcorr.core.checks import Origin
from pysoftcorr.core.random import uniforms
from pysoftcorr.mocks.checks import wrapped
from pysoftcorr.mocks.shapes import across
from pysoftcorr.mocks.subhalos import Subhalos

__all__ = [
    "borrowed_offsets", "caution_of_borrowed", "check_subhalos", "offsets",
    "part_without_subhalos", "subhalo_places",
]  # fmt: skip

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

#: Hosts of like mass differ by no more (dex); where they have fewer subhalos than so many, those
#: of the next ones are taken as well.
_LIKE_MASS, _FEWEST = 0.1, 50
#: Part of the satellites for which there are no subhalos of their own, above which it is said.
_MANY_BORROWED = 0.1
#: Distances from the center below this, in units of the radius of the host, are none.
_NO_DISTANCE = 1e-9


def subhalo_places(
    halos: Any, host: IntArray, rank: IntArray, seed: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Places of satellites on subhalos.

    A satellite whose rank is above the number of subhalos of its halo is put where a random
    subhalo of a halo of like mass is, relative to the radius and the major axis of its own halo:
    at the same angle to it, and turned about it at random.

    Parameters
    ----------
    halos : HaloCatalog
        With subhalos, as `check_subhalos` passes them.
    host, rank : ndarray of int, shape (N,)
        Rows of halos, and ranks from 1.
    seed : int

    Returns
    -------
    direction : ndarray, shape (N, 3)
        Unit vectors from the center of the halo, by the minimum image.
    scaled_radius : ndarray, shape (N,)
    position : ndarray, shape (N, 3)
        Mpc/h, within the box.
    """
    sub = halos.subhalos
    first = np.searchsorted(sub.host, host)
    own = np.flatnonzero(rank <= np.searchsorted(sub.host, host, side="right") - first)
    other = np.setdiff1d(np.arange(host.size), own, assume_unique=True)
    offset, position = np.empty((host.size, 3)), np.empty((host.size, 3))
    every = offsets(halos)
    chosen = first[own] + rank[own] - 1
    offset[own], position[own] = every[chosen], sub.position[chosen]
    offset[other] = _borrowed(halos, every, host[other], rank[other], seed)
    position[other] = wrapped(halos.position[host[other]] + offset[other], halos.boxsize)
    distance = np.linalg.norm(offset, axis=1)
    return offset / distance[:, None], distance / halos.radius[host], position


def offsets(halos: Any) -> FloatArray:
    """Vectors (M, 3) from the center of its host to each subhalo, by the minimum image."""
    sub: Subhalos = halos.subhalos
    d = sub.position - halos.position[sub.host]
    side = np.asarray(halos.boxsize, dtype=np.float64)
    return np.asarray(d - side * np.round(d / side))


def _borrowed(
    halos: Any, every: FloatArray, host: IntArray, rank: IntArray, seed: int
) -> FloatArray:
    """Offsets of satellites, from those of subhalos of halos of like mass."""
    if not host.size:
        return np.empty((0, 3))
    u = [uniforms(seed, f"satellite {name}", host, rank) for name in ("donor", "turn")]
    return borrowed_offsets(halos, every, host, *u)


def borrowed_offsets(
    halos: Any, every: FloatArray, host: IntArray, u_donor: FloatArray, u_turn: FloatArray
) -> FloatArray:
    """Offsets (N, 3) in halos, Mpc/h, like those of subhalos of halos of like mass.

    Parameters
    ----------
    halos : HaloCatalog
        With subhalos.
    every : ndarray, shape (M, 3)
        `offsets` of the subhalos.
    host : ndarray of int, shape (N,)
        Rows of the halos.
    u_donor, u_turn : ndarray, shape (N,)
        In (0, 1): which subhalo, and where about the major axis.
    """
    donor = halos.subhalos.host
    order = np.argsort(halos.mass[donor], kind="stable")
    there, wanted = np.log10(halos.mass[donor[order]]), np.log10(halos.mass[host])
    low = np.searchsorted(there, wanted - _LIKE_MASS)
    high = np.searchsorted(there, wanted + _LIKE_MASS, side="right")
    wider = np.maximum(_FEWEST - (high - low), 0)
    low, high = np.maximum(low - wider, 0), np.minimum(high + wider, order.size)
    chosen = order[low + (u_donor * (high - low)).astype(np.int64)]
    away = every[chosen] / halos.radius[donor[chosen], None]
    along = np.einsum("ij,ij->i", away, halos.axis[donor[chosen]])
    beside = np.sqrt(np.maximum(np.einsum("ij,ij->i", away, away) - along**2, 0.0))
    axis = halos.axis[host]
    turned = across(axis, u_turn)
    return halos.radius[host, None] * (along[:, None] * axis + beside[:, None] * turned)


def check_subhalos(halos: Any) -> None:
    """ValueError where halos have no subhalos that satellites can be put on."""
    sub = getattr(halos, "subhalos", None)
    if sub is None or not len(sub):
        none = "has no subhalos" if sub is None else "holds not one subhalo"
        raise ValueError(
            f"satellites = 'subhalos': the halo catalog {none}: read it with subhalos=True where "
            "the file has them, simulate one with subhalos=True, or choose 'triaxial' or 'nfw'"
        )
    distance = np.linalg.norm(offsets(halos), axis=1)
    bad = np.flatnonzero(distance <= _NO_DISTANCE * halos.radius[sub.host])
    if bad.size:
        raise ValueError(
            "satellites = 'subhalos': subhalos lie at the very center of their host, in "
            f"{Origin().show(bad, distance)} (the distance in Mpc/h); leave them out, they are the "
            "hosts themselves"
        )


def part_without_subhalos(halos: Any, mean_nsat: FloatArray) -> float:
    """Expected part of the satellites for which their halos have no subhalo left.

    Parameters
    ----------
    halos : HaloCatalog
        N halos with subhalos.
    mean_nsat : ndarray, shape (N,)
        Means of their Poisson numbers of satellites.
    """
    number = np.bincount(halos.subhalos.host, minlength=len(mean_nsat))
    total = float(mean_nsat.sum())
    # E[max(N - k, 0)] = m P(N >= k) - k P(N > k) of a Poisson number N with mean m
    reach = np.where(number > 0, special.pdtrc(np.maximum(number - 1, 0), mean_nsat), 1.0)
    beyond = mean_nsat * reach - number * special.pdtrc(number, mean_nsat)
    return float(beyond.sum()) / total if total > 0 else 0.0


def caution_of_borrowed(part: float, where: str = "") -> None:
    """A warning where many satellites have no subhalo of their own halo."""
    if part > _MANY_BORROWED:
        caution(
            f"satellites = 'subhalos': {where}for {100 * part:.2g} % of the satellites their halos "
            "have no subhalo left, and they are put where subhalos of halos of like mass are; take "
            "subhalos down to a lower mass, or raise logM1"
        )
