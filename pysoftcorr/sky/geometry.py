"""Geometry of catalogs: directions on the sky, or positions in a plane, in angles or pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import astropy.units as u
import numpy as np
import numpy.typing as npt

from pysoftcorr.core.checks import angle_unit

if TYPE_CHECKING:
    from pysoftcorr.sky.binning import Binning
    from pysoftcorr.sky.catalog import Catalog

SKY, FLAT = "sky", "flat"
#: Numbers of `GEOMETRIES` in julia/src/entries/clustering.jl.
NUMBERS = {SKY: 1, FLAT: 2}
#: Names of the two coordinates.
AXES = {SKY: ("ra", "dec"), FLAT: ("x", "y")}
PIXEL = "pixel"
_PIXEL_NAMES = ("pixel", "pixels", "pix", "px")
#: Degrees beyond which a plane is no part of the sky, and its unit most likely another.
WIDE = 40.0


def plane_unit(unit: Any, argument: str = "xy_unit") -> str:
    """Name of the unit of x and y: "pixel", or that of an angle.

    Raises
    ------
    ValueError
        If it is neither.
    """
    if unit == u.pix or (isinstance(unit, str) and unit.strip().lower() in _PIXEL_NAMES):
        return PIXEL
    try:
        return str(angle_unit(unit, argument))
    except ValueError:
        raise ValueError(
            f"{argument} = {str(unit)!r}: must be the unit of an angle, such as 'arcmin', 'arcsec' "
            "or 'deg', or 'pixel'"
        ) from None


def to_plane(unit: str) -> float:
    """What coordinates in `unit` are multiplied by: arcmin is the unit of a plane of angles."""
    return 1.0 if unit in (PIXEL, "arcmin") else float(u.Unit(unit).to(u.arcmin))


def unit_between(one: str, other: str) -> float:
    """What coordinates in the unit `one` are multiplied by for those in `other`."""
    return 1.0 if one == other else to_plane(one) / to_plane(other)


def plane_scale(*positions: npt.NDArray[np.float64]) -> float:
    """Power of two at or above the largest coordinate, by which a plane's are divided for Julia.

    Nothing is rounded by it, and what is one place to rounding, 4e-15 of the largest coordinate, is
    there the same number as on the unit sphere.
    """
    largest = max((float(np.abs(xyz).max()) for xyz in positions if xyz.size), default=0.0)
    return 2.0 ** int(np.frexp(largest)[1]) if largest > 0 else 1.0


def where(catalog: Catalog) -> str:
    """The geometry in words: "on the sky", "flat, in pixels", "flat, in angles"."""
    if catalog.geometry == SKY:
        return "on the sky"
    return "flat, in pixels" if catalog.xy_unit == PIXEL else "flat, in angles"


def check_together(name: str, bins: Binning | None, **catalogs: Catalog) -> None:
    """Refuse catalogs of different geometries, and bins in a unit that is not theirs.

    Raises
    ------
    ValueError
        Sky beside flat, angles beside pixels.
    """
    prefix = f"{name}: " if name else ""
    (first, catalog), *others = catalogs.items()
    for argument, other in others:
        if where(other) != where(catalog):
            raise ValueError(
                f"{prefix}{first} is {where(catalog)}, {argument} {where(other)}: both must be of "
                "one kind; give positions as ra and dec or as x and y in both, with one xy_unit"
            )
    if bins is None:
        return
    pixels = catalog.geometry == FLAT and catalog.xy_unit == PIXEL
    if pixels and bins.unit != PIXEL:
        raise ValueError(
            f"{prefix}bins are in {bins.unit} but {first} is in pixels: name the unit, as in "
            "'linear:0:2000:10:pixel'"
        )
    if bins.unit == PIXEL and not pixels:
        raise ValueError(
            f"{prefix}bins are in pixels but {first} is {where(catalog)}: give the bins in an "
            "angle, or a catalog with x, y and xy_unit='pixel'"
        )
