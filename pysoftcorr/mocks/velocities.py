"""Peculiar velocities of galaxies, and redshift space."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import integrate, interpolate, special

from pysoftcorr.core.cautions import caution
from pysoftcorr.core.options import choice, number
from pysoftcorr.core.random import uniforms
from pysoftcorr.mocks import checks
from pysoftcorr.mocks.satellites import DrawnGalaxies

if TYPE_CHECKING:
    from pysoftcorr.mocks.galaxies import GalaxyCatalog

__all__ = [
    "galaxy_velocities",
    "nfw_dispersion",
    "redshift_of",
    "redshift_space",
    "virial_velocity",
]

FloatArray = npt.NDArray[np.float64]

#: Newton's constant in Mpc (km/s)^2 / Msun.
_G = 4.30091e-9
#: Range and number of the nodes of the table of the Jeans integral, in ln(r/rs).
_LOW, _HIGH, _NODES = np.log(1e-7), np.log(1e4), 600


# ---------------------------------------------------------------------- in halos
def virial_velocity(mass: npt.ArrayLike, radius: npt.ArrayLike, redshift: float = 0.0) -> Any:
    """Circular velocity at the radius of a halo, sqrt(G M / R), in km/s.

    Parameters
    ----------
    mass : array_like
        Msun/h.
    radius : array_like
        Comoving Mpc/h.
    redshift : float

    Examples
    --------
    >>> from pysoftcorr.mocks.velocities import virial_velocity
    >>> round(float(virial_velocity(1e14, 0.95)), 1)
    672.9
    """
    m, r = np.asarray(mass, dtype=np.float64), np.asarray(radius, dtype=np.float64)
    return np.sqrt(_G * m / r * (1.0 + redshift))


def nfw_dispersion(scaled_radius: npt.ArrayLike, concentration: npt.ArrayLike) -> FloatArray:
    """Velocity dispersion along a line in an NFW halo, in units of its virial velocity.

    The isotropic solution of Jeans' equation, with the profile taken to infinity: with
    x = c r/Rvir and m(x) = ln(1 + x) - x/(1 + x),
    sigma^2 = c/m(c) x (1 + x)^2 times the integral of m(y)/(y^3 (1 + y)^2) from x on.

    Parameters
    ----------
    scaled_radius : array_like
        r/Rvir, at least 0.
    concentration : array_like
        Above 0.

    Notes
    -----
    Lokas & Mamon 2001, MNRAS 321, 155, eq. 14; More et al. 2009, MNRAS 392, 801, eq. 24; halotools'
    ``NFWPhaseSpace`` has the same.

    Examples
    --------
    >>> from pysoftcorr.mocks.velocities import nfw_dispersion
    >>> nfw_dispersion([0.01, 0.1, 1.0], 7.0).round(4).tolist()
    [0.5387, 0.7399, 0.5562]
    """
    r = np.asarray(scaled_radius, dtype=np.float64)
    c = np.asarray(concentration, dtype=np.float64)
    x = np.clip(c * r, np.exp(_LOW), np.exp(_HIGH))
    mass = np.log1p(c) - c / (1 + c)
    square = c / mass * x * (1 + x) ** 2 * np.exp(_jeans_table()(np.log(x)))
    return np.asarray(np.sqrt(square))


@cache
def _jeans_table() -> interpolate.CubicSpline:
    """ln of the integral of m(y)/(y^3 (1 + y)^2) from x on, by ln x."""
    nodes = np.linspace(_LOW, _HIGH, _NODES)

    def density(q: float) -> float:
        y = np.exp(q)
        # m(y), which cancels where y is small.
        m = y * y * (0.5 - y * (2 / 3 - 0.75 * y)) if y < 1e-4 else np.log1p(y) - y / (1 + y)
        return float(m / (y * (1 + y)) ** 2)

    parts = [integrate.quad(density, a, b, epsrel=1e-12, epsabs=0.0)[0] for a, b in pairwise(nodes)]
    beyond = integrate.quad(density, nodes[-1], nodes[-1] + 12.0, epsrel=1e-10, epsabs=0.0)[0]
    inside = np.append(np.cumsum(parts[::-1])[::-1], 0.0)
    return interpolate.CubicSpline(nodes, np.log(inside + beyond))


def redshift_of(halos: Any) -> float | None:
    """Redshift of a halo catalog, None where it does not say."""
    z = dict(getattr(halos, "meta", None) or {}).get("redshift")
    return None if z is None else float(z)


def galaxy_velocities(
    halos: Any, drawn: DrawnGalaxies, seed: int, *, on_subhalos: bool = False
) -> FloatArray | None:
    """Peculiar velocities of drawn galaxies, centrals first, in km/s.

    Centrals move with their halo. A satellite has a normal velocity in each direction about that
    of its halo, of the dispersion `nfw_dispersion` at its radius; with `on_subhalos`, one that is
    on a subhalo of its own halo moves with it.

    Parameters
    ----------
    halos : HaloCatalog
    drawn : DrawnGalaxies
    seed : int
        Random numbers are of streams of their own, a row of the halo and a rank each.
    on_subhalos : bool
        Whether the satellite of rank j is on the j-th subhalo, as far as there are so many.

    Returns
    -------
    ndarray, shape (N, 3), or None
        None where the halos have no velocities.

    Warns
    -----
    UserWarning
        If the halos do not say their redshift: it is taken as 0.
    """
    mean = getattr(halos, "velocity", None)
    if mean is None:
        return None
    host, rank = drawn.host, drawn.rank
    redshift = redshift_of(halos)
    if redshift is None and host.size:
        caution(
            "velocities of satellites are for redshift 0: the halo catalog does not say its own; "
            "pass redshift= where it is read"
        )
    speed = virial_velocity(halos.mass[host], halos.radius[host], redshift or 0.0)
    speed = speed * nfw_dispersion(drawn.scaled_radius, halos.concentration[host])
    normal = [special.ndtri(uniforms(seed, f"satellite velocity {k}", host, rank)) for k in "xyz"]
    moving = mean[host] + speed[:, None] * np.stack(normal, axis=1)
    subhalos = getattr(halos, "subhalos", None) if on_subhalos else None
    if subhalos is not None and subhalos.velocity is not None:
        first = np.searchsorted(subhalos.host, host)
        own = rank <= np.searchsorted(subhalos.host, host, side="right") - first
        moving[own] = subhalos.velocity[(first + rank - 1)[own]]
    return np.concatenate([mean[drawn.centrals], moving])


# ---------------------------------------------------------------------- redshift space
def redshift_space(
    galaxies: GalaxyCatalog,
    *,
    line_of_sight: str = "z",
    redshift: float | None = None,
    cosmology: Any = None,
) -> GalaxyCatalog:
    """Galaxies where their redshifts put them: moved by their velocities along a line of sight.

    Along that side s = x + v (1 + z)/H(z), in comoving Mpc/h and back into the periodic box. Axes
    stay as they are.

    Parameters
    ----------
    galaxies : GalaxyCatalog
        With velocities, as of `HODModel.populate` where the halos have them.
    line_of_sight : {"z", "x", "y"}
        Side of the box that is the line of sight (a distant observer).
    redshift : float, optional
        By default that of the catalog.
    cosmology : str, mapping, astropy or colossus cosmology, optional
        By default that of the catalog; its matter and dark energy say H(z).

    Returns
    -------
    GalaxyCatalog
        Its ``redshift_space`` is the line of sight, which correlations then ask for.

    Raises
    ------
    ValueError
        If there are no velocities, the galaxies are in redshift space already, or redshift or
        cosmology are not known, or differ from what the catalog says.
    TypeError
        If an argument is of the wrong kind.

    Notes
    -----
    Kaiser 1987, MNRAS 227, 1; Hamilton 1998, "Linear redshift distortions: a review", section 2.

    Examples
    --------
    >>> from pysoftcorr.mocks import GalaxyCatalog, redshift_space
    >>> galaxies = GalaxyCatalog(
    ...     [[1, 2, 3], [4, 5, 9]], [[0, 0, 1], [1, 0, 0]], boxsize=10, redshift=0.0,
    ...     velocity=[[0, 0, 100], [0, 0, 300]], cosmology="planck18")
    >>> redshift_space(galaxies).position.tolist()
    [[1.0, 2.0, 4.0], [4.0, 5.0, 2.0]]
    """
    from pysoftcorr.mocks.cosmology import Cosmology
    from pysoftcorr.mocks.galaxies import GalaxyCatalog

    if not isinstance(galaxies, GalaxyCatalog):
        raise TypeError(f"galaxies must be a GalaxyCatalog, not {type(galaxies).__name__}")
    side = "xyz".index(choice("line_of_sight", line_of_sight, ("z", "x", "y")))
    if galaxies.redshift_space is not None:
        raise ValueError(
            f"redshift_space: these galaxies are in redshift space along "
            f"{galaxies.redshift_space!r} already; take them as they were made"
        )
    if galaxies.velocity is None:
        raise ValueError(
            "redshift_space: these galaxies have no velocities; make them of halos with "
            "velocities, simulated or read with the columns of their velocities"
        )
    z = galaxies.redshift if redshift is None else number("redshift", redshift, above=-1, most=1e4)
    if z is None:
        raise ValueError(
            "redshift_space: the galaxies do not say their redshift; pass redshift=, such as 0.5"
        )
    if galaxies.redshift is not None and z != galaxies.redshift:
        raise ValueError(
            f"redshift = {z:g}: differs from that of the galaxies, {galaxies.redshift:g}; leave it "
            "out"
        )
    known = galaxies.cosmology if cosmology is None else cosmology
    if known is None:
        raise ValueError(
            "redshift_space: the galaxies do not say their cosmology; pass cosmology=, such as "
            "'planck18'"
        )
    shift = galaxies.velocity[:, side] * ((1.0 + z) / Cosmology(known).hubble(z))
    position = galaxies.position.copy()
    position[:, side] += shift
    position = checks.wrapped(position, galaxies.boxsize)
    return galaxies._with({"position": position}, redshift=z, redshift_space=line_of_sight)
