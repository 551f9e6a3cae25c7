"""Shapes of halos: ratios of their axes by mass, minor axes, and the frame of the three."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

from pysoftcorr.core.cautions import caution
from pysoftcorr.core.random import uniforms
from pysoftcorr.mocks.alignment import watson_axes
from pysoftcorr.mocks.cosmology import Cosmology

__all__ = ["Shapes", "across", "axis_ratios", "caution_of_assumptions", "draw_shapes", "shapes_of"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

#: Mean c/a at M*, its slope with mass and its scatter (Allgood et al. 2006, abstract).
_MEAN, _SLOPE, _SCATTER = 0.54, -0.05, 0.1
#: Ratios of halos; the normal distribution is cut there.
_RANGE = 0.1, 1.0
#: The highest redshift of the fit.
_HIGHEST_REDSHIFT = 3.0
#: Least ratio of the minor to the intermediate axis, but for halos with a lower c/a.
_LEAST_C_TO_B = 0.5


class Shapes(NamedTuple):
    """Ellipsoids of N halos.

    Attributes
    ----------
    frame : ndarray, shape (N, 3, 3)
        Unit vectors along the major, the intermediate and the minor axis.
    b_to_a, c_to_a : ndarray, shape (N,)
        Ratios of the intermediate and of the minor to the major axis.
    """

    frame: FloatArray
    b_to_a: FloatArray
    c_to_a: FloatArray

    def stretched(self, sphere: FloatArray) -> FloatArray:
        """Points (N, 3) of unit spheres moved into the ellipsoids, whose volumes are the same."""
        length = np.stack([np.ones_like(self.b_to_a), self.b_to_a, self.c_to_a], axis=1)
        length /= np.cbrt(self.b_to_a * self.c_to_a)[:, None]
        moved: FloatArray = np.einsum("ni,nij->nj", sphere * length, self.frame)
        return moved


def axis_ratios(
    mass: npt.ArrayLike,
    u_c: npt.ArrayLike,
    u_b: npt.ArrayLike,
    *,
    cosmology: Cosmology,
    redshift: float = 0.0,
) -> tuple[FloatArray, FloatArray]:
    """Ratios of the axes of halos by their mass, from two uniform numbers each.

    Parameters
    ----------
    mass : array_like, shape (N,)
        Virial mass, Msun/h.
    u_c, u_b : array_like, shape (N,)
        In (0, 1): quantiles of c/a, and of c/b at this c/a.
    cosmology : Cosmology
    redshift : float
        Above 3, the end of the fit, ratios are those of z = 3.

    Returns
    -------
    b_to_a, c_to_a : ndarray, shape (N,)

    Notes
    -----
    c/a is normal with mean 0.54 (M/M*)^-0.05 and a scatter of 0.1, cut at 0.1 and 1 (Allgood et al.
    2006, MNRAS 367, 1781, at 0.3 Rvir, for 9e11 to 2e14 Msun/h; M* is the mass with sigma(M*, z) =
    1.686, so that redshift and sigma8 are in it). c/b follows p = 3/(2 (1 - r)) [1 - ((2 c/b - 1 -
    r)/(1 - r))^2] between r = max(c/a, 1/2) and 1 (Jing & Suto 2002, ApJ 574, 538, eq. 19).

    Examples
    --------
    >>> from pysoftcorr.mocks.cosmology import Cosmology
    >>> from pysoftcorr.mocks.shapes import axis_ratios
    >>> b, c = axis_ratios([1e12, 1e15], [0.5, 0.5], [0.5, 0.5], cosmology=Cosmology("planck18"))
    >>> b.round(2).tolist(), c.round(2).tolist()
    ([0.73, 0.55], [0.58, 0.41])
    """
    least, most = _RANGE
    star = cosmology.nonlinear_mass(min(redshift, _HIGHEST_REDSHIFT))
    mean = _MEAN * (np.asarray(mass, dtype=np.float64) / star) ** _SLOPE
    low, high = special.ndtr((least - mean) / _SCATTER), special.ndtr((most - mean) / _SCATTER)
    c_to_a = mean + _SCATTER * special.ndtri(low + np.asarray(u_c) * (high - low))
    c_to_a = np.clip(c_to_a, least, most)
    lowest = np.maximum(c_to_a, _LEAST_C_TO_B)
    # The quantile of 6 x (1 - x) is a root of a cubic.
    part = 0.5 - np.sin(np.arcsin(1 - 2 * np.asarray(u_b, dtype=np.float64)) / 3)
    b_to_a = np.clip(c_to_a / (lowest + (1 - lowest) * part), c_to_a, 1.0)
    return b_to_a, c_to_a


def across(axis: FloatArray, u: FloatArray) -> FloatArray:
    """Unit vectors (N, 3) at right angles to axes (N, 3), turned about them by `u` in (0, 1)."""
    return watson_axes(axis, -1.0, np.full(len(axis), 0.5), u)


def draw_shapes(
    mass: FloatArray, axis: FloatArray, seed: int, world: Cosmology, redshift: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """b/a, c/a and minor axes of the halos of a catalog, drawn by their rows.

    Raises
    ------
    ValueError
        If the cosmology gives no M* at this redshift.
    """
    row = np.arange(len(mass))
    return *_ratios(mass, row, seed, world, redshift), _minor(axis, row, seed)


def _ratios(
    mass: FloatArray, row: IntArray, seed: int, world: Cosmology, redshift: float
) -> tuple[FloatArray, FloatArray]:
    u = [uniforms(seed, f"halo {name}", row) for name in ("c to a", "c to b")]
    return axis_ratios(mass, *u, cosmology=world, redshift=redshift)


def _minor(axis: FloatArray, row: IntArray, seed: int) -> FloatArray:
    return across(axis, uniforms(seed, "halo minor axis", row))


def shapes_of(halos: Any, row: IntArray, seed: int) -> Shapes:
    """Shapes of halos of a catalog, with what it lacks drawn by the row of each.

    Parameters
    ----------
    halos : HaloCatalog
        Or anything with its ``axis`` and ``mass``, and those of ``minor_axis``, ``b_to_a``,
        ``c_to_a``, ``cosmology`` and ``meta`` that there are.
    row : ndarray of int, shape (N,)
        Rows of the catalog.
    seed : int

    Returns
    -------
    Shapes
    """
    axis, minor = halos.axis[row], getattr(halos, "minor_axis", None)
    third = _minor(axis, row, seed) if minor is None else minor[row]
    frame = np.stack([axis, np.cross(third, axis), third], axis=1)
    b_to_a, c_to_a = (getattr(halos, name, None) for name in ("b_to_a", "c_to_a"))
    if b_to_a is not None and c_to_a is not None:
        return Shapes(frame, b_to_a[row], c_to_a[row])
    ratios = _ratios(halos.mass[row], row, seed, _world(halos), _redshift(halos) or 0.0)
    return Shapes(frame, *ratios)


def caution_of_assumptions(halos: Any) -> None:
    """A warning where ratios must be drawn, and the halos do not say of which universe.

    Raises
    ------
    ValueError
        If they state a cosmology that is none.
    """
    if getattr(halos, "b_to_a", None) is not None:
        return
    _world(halos)
    assumed = {}
    if getattr(halos, "cosmology", None) is None:
        assumed["cosmology"] = "planck18"
    if _redshift(halos) is None:
        assumed["redshift"] = "0"
    if assumed:
        listed = " and ".join(f"{name} {value}" for name, value in assumed.items())
        caution(
            "halos: the catalog has no b_to_a and c_to_a; they are drawn by mass (Allgood et al. "
            f"2006) for {listed}, which it does not say: where the halos are read, "
            "pass columns={'b_to_a': ..., 'c_to_a': ...}, or "
            + " and ".join(f"{name}=..." for name in assumed)
        )


def _world(halos: Any) -> Cosmology:
    stated = getattr(halos, "cosmology", None)
    try:
        return Cosmology("planck18" if stated is None else stated)
    except ValueError as error:
        raise ValueError(
            "halos: the catalog has no b_to_a and c_to_a, and for drawing them by mass its "
            f"cosmology does not do ({error}); give it the columns, or a known cosmology"
        ) from None


def _redshift(halos: Any) -> float | None:
    value = (getattr(halos, "meta", None) or {}).get("redshift")
    return None if value is None else float(value)
