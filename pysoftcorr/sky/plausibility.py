"""Positions that are possible and yet look like a mistake: each warned of, with the likely cure.

What is healthy must stay silent: a small field anywhere, a stripe along the equator, half the
sky. So a box on the sky is only doubted where it is filled just as all of the sky would fill it
in another unit, or where its objects would stand closer together than any survey sees them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import astropy.units as u
import numpy as np

from pysoftcorr.core.cautions import caution
from pysoftcorr.core.checks import FloatArray, Origin, angle_unit
from pysoftcorr.sky.geometry import PIXEL, WIDE, to_plane

#: More objects per square arcminute than catalogs have, in fields below a width in degrees. In
#: radians these are fields below 5 degrees, below 11 degrees, and any.
CROWDED = ((0.09, 5.0), (0.2, 30.0), (math.inf, 300.0))
#: Names of columns that say their unit.
_IN_RADIANS = re.compile(r"^\w+_(rad|rads|radian|radians)$", re.IGNORECASE)
_IN_HOURS = re.compile(r"^\w+_(h|hr|hrs|hour|hours|hourangle)$", re.IGNORECASE)
#: Separation in degrees below which two places are one.
SAME = 1e-10
#: Cosine of the declination below which directions are wrong by 1e-6 and more.
POLAR = 1e-10


def doubt(ra: FloatArray, dec: FloatArray, units: Mapping[str, Any], origin: Origin) -> None:
    """Warn where positions in degrees look wrong.

    Parameters
    ----------
    ra, dec : ndarray, shape (N,)
        Degrees.
    units : mapping
        What was said of the unit of "ra" and "dec", by the caller, the file or a Quantity; None
        where nothing was, so that they were taken to be degrees. What was said is believed.
    origin : Origin
        Where the columns came from.
    """
    if _one_place(ra, dec, origin) or len(ra) < 2:
        return
    _at_zero(ra, dec, origin)
    silent = {axis: units.get(axis) is None for axis in ("ra", "dec")}
    if silent["ra"] and silent["dec"] and _radians(ra, dec, origin):
        return
    if _one_unit(ra, dec, units):
        return
    if silent["ra"]:
        _turn(ra, dec, origin)
    if silent["dec"]:
        _declination(ra, dec)


def _one_unit(ra: FloatArray, dec: FloatArray, units: Mapping[str, Any]) -> bool:
    """Whether one axis is said to be in radians and the other may well be too; says so."""
    for said, other, values, limit in (
        ("ra", "dec", dec, math.pi / 2),
        ("dec", "ra", ra, 2 * math.pi),
    ):
        if units.get(other) is not None or units.get(said) is None:
            continue
        if (
            angle_unit(units[said], f"{said}_unit") == u.rad
            and np.abs(values).max() <= limit + 1e-6
        ):
            caution(
                f"{said} is in radians, and {other}, of which no unit is said, is read in degrees "
                f"although its values would do for radians; pass {other}_unit='rad', or "
                f"{other}_unit='deg' if it is in degrees"
            )
            return True
    return False


def _one_place(ra: FloatArray, dec: FloatArray, origin: Origin) -> bool:
    if len(ra) < 2 or np.ptp(ra) > SAME or np.ptp(dec) > SAME:
        return False
    zero = ra[0] == 0 and dec[0] == 0
    if not zero and len(ra) < 3:
        return True  # two exposures of one object
    where = "ra = dec = 0" if zero else f"one place, ra {ra[0]:g}, dec {dec[0]:g}"
    cure = (
        "name the columns of the positions, columns={'ra': ..., 'dec': ...}"
        if origin.source
        else "are these the arrays of the positions?"
    )
    if origin.source:
        cure = f"they were read from {_column(origin, 'ra')} and {_column(origin, 'dec')}; {cure}"
    caution(f"all {len(ra)} objects are at {where}; {cure}")
    return True


def _column(origin: Origin, axis: str) -> str:
    return repr(origin.labels.get(axis, axis))


def _at_zero(ra: FloatArray, dec: FloatArray, origin: Origin) -> None:
    count = int(np.count_nonzero((ra == 0) & (dec == 0)))
    if count < 2:
        return
    cure = "if that stands for a missing position, leave them out"
    if origin.source:
        cure += f", select='{origin.term('ra')} != 0 or {origin.term('dec')} != 0'"
    caution(f"{count} of {len(ra)} objects are at ra = dec = 0; {cure}")


def doubt_poles(dec: FloatArray, unit: u.UnitBase, origin: Origin) -> None:
    """Warn of shears so near a pole that rounding decides where east is.

    The unit vector, from which directions follow, holds the right ascension to 1e-16 / cos(dec).

    Parameters
    ----------
    dec : ndarray, shape (N,)
        Degrees.
    unit : astropy unit
        That of the column in the table.
    origin : Origin
        Where the columns came from.
    """
    rows = np.flatnonzero(np.cos(np.radians(dec)) < POLAR)
    if rows.size == 0:
        return
    shown = ", ".join(str(row) for row in rows[:5]) + (", ..." if rows.size > 5 else "")
    cure = "leave them out"
    if origin.source and unit == u.deg:
        cure += f", select='abs({origin.labels.get('dec', 'dec')}) < 89.999999'"
    elif not origin.source:
        cure += ", as catalog[abs(catalog.dec) < 89.999999] does"
    caution(
        f"dec is +-90 degrees in {rows.size} row{'s' if rows.size > 1 else ''} ({shown}), where "
        f"no direction is east: the shears of these mean nothing; {cure}"
    )


def _term(label: str) -> str:
    return label if label.isidentifier() else f"({label})"


def _radians(ra: FloatArray, dec: FloatArray, origin: Origin) -> bool:
    """Whether both may be radians; says so."""
    inside = (
        ra.min() >= -math.pi - 1e-6
        and ra.max() <= 2 * math.pi + 1e-6
        and np.abs(dec).max() <= math.pi / 2 + 1e-6
    )
    if not inside:
        return False
    reason = ""
    if origin.labels.get("ra", "").lower() == "coord_ra":
        reason = (
            "'coord_ra' is in radians in the tables of the LSST pipelines and in degrees in those "
            "of its data releases; no unit is stored, and all values would do for radians"
        )
    elif _IN_RADIANS.search(origin.labels.get("ra", "")):
        reason = f"{_column(origin, 'ra')} is called a column of radians"
    elif len(ra) >= 10 and np.ptp(ra) > _filled(ra) * 2 * math.pi and np.ptp(dec) > 1.0:
        reason = "ra and dec fill the range that an all-sky catalog has in radians"
    elif _crowded(ra, dec):
        reason = (
            f"{len(ra)} objects in {60 * np.ptp(ra):.3g} x {60 * np.ptp(dec):.3g} arcmin stand "
            "closer together than in real catalogs, as they do where radians are read as degrees"
        )
    if reason:
        caution(
            f"{reason}; if they are radians, pass ra_unit='rad', dec_unit='rad', and "
            "ra_unit='deg', dec_unit='deg' if they are degrees"
        )
    return bool(reason)


def _filled(values: FloatArray) -> float:
    """What part of a range values that are even in it cover at least, most often."""
    return min(0.93, 1 - 5 / (len(values) + 1))


def _crowded(ra: FloatArray, dec: FloatArray) -> bool:
    width, height = float(np.ptp(ra)), float(np.ptp(dec))
    if len(ra) < 10 or min(width, height) <= 0.05 * max(width, height):
        return False
    # Simulated fields lie at the origin, or begin there.
    if all(x.min() - 0.05 * np.ptp(x) <= 0 <= x.max() + 0.05 * np.ptp(x) for x in (ra, dec)):
        return False
    density = len(ra) / (width * height * 3600.0)
    return density > next(limit for below, limit in CROWDED if max(width, height) < below)


def _turn(ra: FloatArray, dec: FloatArray, origin: Origin) -> None:
    """Right ascensions that fill one turn in another unit, beside declinations in degrees."""
    if _IN_HOURS.search(origin.labels.get("ra", "")) and ra.min() >= -24 and ra.max() <= 24:
        caution(
            f"{_column(origin, 'ra')} is called a column of hours; if it is in hours, pass "
            "ra_unit='hourangle', and ra_unit='deg' if it is in degrees"
        )
        return
    if np.ptp(dec) < 45 or len(ra) < 10:
        return
    for unit, name, turn in (("hourangle", "hours", 24.0), ("rad", "radians", 2 * math.pi)):
        for start in (0.0, -turn / 2):
            within = ra.min() >= start - 1e-6 and ra.max() <= start + turn + 1e-6
            if within and np.ptp(ra) > _filled(ra) * turn:
                caution(
                    f"ra fills {start:.4g} to {start + turn:.4g} while dec spans "
                    f"{np.ptp(dec):.0f} degrees, as it does in {name}; if it is in {name}, pass "
                    f"ra_unit='{unit}', and ra_unit='deg' if it is in degrees"
                )
                return


def _declination(ra: FloatArray, dec: FloatArray) -> None:
    """Declinations that fill the sphere in radians, beside right ascensions in degrees."""
    quarter = math.pi / 2
    if np.ptp(ra) < 180 or dec.max() > quarter + 1e-6 or dec.min() < -quarter - 1e-6:
        return
    # On the sphere their density falls as the cosine; in a stripe along the equator it is even.
    round_sky = np.mean(dec**2) < 0.65
    if dec.max() > 1.45 and dec.min() < -1.45 and round_sky and len(dec) >= 20:
        caution(
            "dec fills -pi/2 to pi/2, thinning out toward the ends as on the whole sky in radians; "
            "if it is in radians, pass dec_unit='rad', and dec_unit='deg' if it is in degrees"
        )


def doubt_plane(x: FloatArray, y: FloatArray, unit: str) -> None:
    """Warn where x and y span more of the sky than a plane is good for."""
    if len(x) >= 3 and np.ptp(x) == 0 and np.ptp(y) == 0:
        caution(
            f"all {len(x)} objects are at one place, x {x[0]:g}, y {y[0]:g}; are x and y the "
            "positions?"
        )
    if unit == PIXEL:
        return
    span = float(max(np.ptp(x), np.ptp(y))) * to_plane(unit) / 60.0
    if span > WIDE:
        caution(
            f"x and y span {span:.4g} degrees, read as {unit}: too wide for a plane; pass "
            "xy_unit='pixel', or the unit they are in, and ra and dec instead for the sky"
        )
