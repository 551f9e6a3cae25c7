"""Checks of halos and galaxies: finite, in the box, and in Mpc/h and Msun/h by their range."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pysoftcorr.core.cautions import caution
from pysoftcorr.core.checks import SHOWN, FloatArray, IntArray, Origin
from pysoftcorr.core.options import numbers, shown

#: A periodic box in Mpc/h: the side of a cube, or its sides along x, y and z.
BoxSize: TypeAlias = float | tuple[float, float, float]

MASS_RANGE = 1e6, 1e17
#: Concentrations of halos, fits to a few particles included; 7 in mixed units is .007 or 7000.
CONCENTRATION_RANGE = 0.1, 300.0
#: Halos have 3 or more in the median at any mass and redshift; log10(c) is 1.3 at most.
_LOWEST_MEDIAN = 1.5
#: Radii beside those of 200 times the mean density: 2500c is at .28, and scale radii are lower.
_RADIUS_RANGE = 0.15, 3.0
#: Peculiar velocity in km/s; halos of simulations have up to 4000.
_FASTEST = 2e4
#: Cosine of the angle of two axes of a halo that are printed with a few digits.
_RIGHT_ANGLE = 2e-3
SMALLEST_BOX = 1e-6  # Mpc/h
LARGEST_BOX = 3e4  # Mpc/h; wider than any simulation made, and any observable universe
#: So many objects leave no half of the box empty by chance, and so few no nine tenths.
_MANY, _SOME = 100, 10
#: Comoving mean matter density (Msun/h per (Mpc/h)^3) for Om = 0.3, for orders of magnitude.
_DENSITY = 0.3 * 2.775e11


def box_size(boxsize: Any) -> BoxSize:
    """The box as catalogs keep it, Mpc/h: one side of a cube, or else three sides.

    Raises
    ------
    ValueError
        If there are neither one nor three sides, or one is not above 0 or larger than any
        simulation.
    TypeError
        If it is no number.
    """
    if boxsize is None:
        raise ValueError("boxsize must be given: the side of the periodic box in Mpc/h, or three")
    try:
        sides = np.atleast_1d(numbers("boxsize", boxsize))
    except (TypeError, ValueError):
        raise TypeError(
            f"boxsize = {shown(boxsize)}: must be a number in Mpc/h, or three: (Lx, Ly, Lz)"
        ) from None
    if sides.shape not in ((1,), (3,)):
        raise ValueError(
            f"boxsize = {boxsize!r}: must be the side of a cube in Mpc/h, or three: (Lx, Ly, Lz)"
        )
    found: BoxSize = tuple(sides.tolist())
    if (sides == sides[0]).all():
        found = float(sides[0])
    if not np.isfinite(sides).all() or (sides <= 0).any():
        raise ValueError(f"boxsize = {box_text(found)}: must be finite and above 0 (Mpc/h)")
    if sides.min() < SMALLEST_BOX:
        raise ValueError(f"boxsize = {box_text(found)}: must be at least {SMALLEST_BOX:g} Mpc/h")
    if sides.max() > LARGEST_BOX:
        raise ValueError(
            f"boxsize = {box_text(found)} Mpc/h is larger than any simulation; is it in kpc/h?"
        )
    return found


def box_sides(boxsize: Any) -> FloatArray:
    """The three sides of a box in Mpc/h, shape (3,); raises as `box_size`."""
    return np.array(np.broadcast_to(np.asarray(box_size(boxsize), dtype=np.float64), 3))


def volume(boxsize: Any) -> float:
    """Volume of a box in (Mpc/h)^3; raises as `box_size`."""
    size = box_size(boxsize)
    return size[0] * size[1] * size[2] if isinstance(size, tuple) else size**3


def cube_side(boxsize: Any, why: str) -> float:
    """The side of a cube in Mpc/h; ValueError where the box is none, with the reason."""
    size = box_size(boxsize)
    if isinstance(size, tuple):
        raise ValueError(f"boxsize = {box_text(size)}: must be the side of a cube: {why}")
    return size


def box_text(boxsize: Any) -> str:
    """``100``, or ``(100, 100, 200)``."""
    sides = np.atleast_1d(np.asarray(boxsize, dtype=np.float64))
    texts = [f"{side:g}" for side in sides]
    return texts[0] if len(texts) == 1 else f"({', '.join(texts)})"


def box_record(boxsize: BoxSize) -> float | list[float]:
    """The box as JSON gives it back."""
    return list(boxsize) if isinstance(boxsize, tuple) else boxsize


def boxed(
    position: FloatArray, boxsize: BoxSize, origin: Origin, *, wrap: bool | None = None
) -> FloatArray:
    """Positions (N, 3) within [0, boxsize), moved there only if `wrap`.

    None where the caller has no such option.
    """
    sides = box_sides(boxsize)
    outside = (position < 0) | (position >= sides)
    if not outside.any():
        return position
    if wrap:
        return wrapped(position, boxsize)
    axis = int(np.flatnonzero(outside.any(axis=0))[0])
    rows = np.flatnonzero(outside[:, axis])
    raise ValueError(
        f"{origin.column('xyz'[axis])} is outside [0, {sides[axis]:g}) Mpc/h in "
        f"{origin.show(rows, position[:, axis])}; {_position_hint(position, boxsize, origin, wrap)}"
    )


def wrapped(position: FloatArray, boxsize: BoxSize) -> FloatArray:
    """Positions (N, 3) moved by whole boxes into [0, boxsize)."""
    inside: FloatArray = np.mod(position, boxsize)
    # A small negative number plus the side may round to it.
    inside[inside >= np.asarray(boxsize)] = 0.0
    return inside


def _position_hint(
    position: FloatArray, boxsize: BoxSize, origin: Origin, wrap: bool | None
) -> str:
    # In sides of the box, of whatever shape.
    reach = position / box_sides(boxsize)
    top, low = float(reach.max()), float(reach.min())
    move = "pass wrap=True to move positions by whole boxes"
    if wrap is None:
        move = f"take them modulo {box_text(boxsize)}"
    if low < 0 and low >= -0.5001 and top <= 0.5001:
        return f"centered on 0? {move[0].upper()}{move[1:]}"
    if 300 < top <= 1001:
        how = ""
        if all(name in origin.labels for name in "xyz"):
            fields = ", ".join(f"'{name}': '{origin.term(name)}/1000'" for name in "xyz")
            how = f", as by columns={{{fields}}}"
        elif "position" in origin.labels:
            how = f", as by columns={{'position': '{origin.term('position')}/1000'}}"
        return f"are positions in kpc/h? Give them in Mpc/h{how}"
    if isinstance(boxsize, tuple) and low >= 0 and _other_order(position, boxsize):
        return "are the sides of boxsize in the order x, y, z?"
    if low >= 0 and 1.2 < top <= 2.0:
        return "are positions in Mpc, not Mpc/h, or boxsize wrong?"
    return f"is boxsize right? If so, {move}"


def warn_of_an_empty_box(
    position: FloatArray, boxsize: BoxSize, origin: Origin, objects: str
) -> None:
    """A warning where `objects` leave more than half of the box empty along an axis."""
    if len(position) < _SOME:
        return
    width = np.ptp(position, axis=0)
    part = width / box_sides(boxsize)
    if not (part < 0.5).any() or (len(position) < _MANY and part.max() > 0.1):
        return
    spanned = f"{width.max():.4g} Mpc/h"
    hint = "is boxsize right?"
    if 0.5 < position.max() <= 1.0 and position.min() >= 0:
        hint = "are positions in units of the box? Multiply them by its side"
    elif 5e-4 < part.max() < 1.1e-3:
        hint = "are positions in Gpc/h, or boxsize in kpc/h?"
    elif not (part < 0.5).all():
        spanned = " x ".join(f"{w:.4g}" for w in width) + " Mpc/h"
        hint = "is boxsize right? A box that is no cube is boxsize=(Lx, Ly, Lz)"
    caution(
        f"{origin.column('position')}: {len(position)} {objects} lie within {spanned} of a box of "
        f"{box_text(boxsize)} Mpc/h; {hint}"
    )


def _other_order(position: FloatArray, boxsize: tuple[float, float, float]) -> bool:
    """Whether positions lie within a box of these sides in another order."""
    top = position.max(axis=0)
    return any(bool((top < np.array(sides)).all()) for sides in itertools.permutations(boxsize))


@dataclass(frozen=True)
class Fault:
    """Rows whose values no halo has, and what is wrong with them.

    Attributes
    ----------
    name : str
        The column.
    rows : ndarray of int
    text : str
        The message.
    """

    name: str
    rows: IntArray
    text: str


def _refuse(fault: Fault | None) -> None:
    if fault is not None:
        raise ValueError(fault.text)


def masses(mass: FloatArray, origin: Origin) -> None:
    """ValueError where masses cannot be in Msun/h."""
    _refuse(mass_fault(mass, origin))


def radii(radius: FloatArray, mass: FloatArray, origin: Origin, name: str = "radius") -> None:
    """ValueError where radii are not above 0, or not those of such masses in Mpc/h."""
    _refuse(radius_fault(radius, mass, origin, name))


def concentrations(conc: FloatArray, origin: Origin, *, source: str = "") -> None:
    """ValueError where a concentration is one that no halo has."""
    _refuse(concentration_fault(conc, origin, source=source))


def mass_fault(mass: FloatArray, origin: Origin, name: str = "mass") -> Fault | None:
    """Rows in which masses cannot be in Msun/h."""
    bad = np.flatnonzero((mass < MASS_RANGE[0]) | (mass > MASS_RANGE[1]))
    if not bad.size:
        return None
    top, low = float(mass.max()), float(mass.min())
    if low > 5 and top < 20:
        hint = "these look like log10(M); give 10**column"
    elif low > 0 and np.median(mass) >= 1e-3 and top < 1e6:
        hint = "these look like units of 1e10 Msun/h; give 1e10*column"
    elif low > 1e36:
        hint = "these look like grams or kilograms"
    else:
        hint = correct_rows(origin)
    return Fault(
        name,
        bad,
        f"{origin.column(name)} must be {MASS_RANGE[0]:.0e} to {MASS_RANGE[1]:.0e} Msun/h; it is "
        f"not in {origin.show(bad, mass)}: {hint}",
    )


def radius_fault(
    radius: FloatArray, mass: FloatArray, origin: Origin, name: str = "radius"
) -> Fault | None:
    """Rows in which a radius is not above 0, or not that of such a mass in Mpc/h."""
    bad = np.flatnonzero(radius <= 0)
    if bad.size:
        return Fault(
            name,
            bad,
            f"{origin.column(name)} must be above 0; it is not in {origin.show(bad, radius)}: "
            f"{correct_rows(origin)}",
        )
    expected = np.cbrt(3.0 * mass / (4.0 * np.pi * 200.0 * _DENSITY))
    ratio = radius / expected
    bad = np.flatnonzero((ratio < _RADIUS_RANGE[0]) | (ratio > _RADIUS_RANGE[1]))
    if not bad.size:
        return None
    typical = float(np.median(ratio[bad]))
    hint = f"is this the radius that belongs to the mass? If so, {correct_rows(origin)}"
    if 300 <= typical <= 3000:
        hint = "it looks like kpc/h; give column/1000"
        if name in origin.labels:
            # Both at once, as a scale radius is in the unit of the radius.
            both = [k for k in (name, "scale_radius") if k in origin.labels]
            fields = ", ".join(f"'{k}': '{origin.term(k)}/1000'" for k in both)
            hint = f"it looks like kpc/h; pass columns={{{fields}}}"
    elif 3e-4 <= typical <= 3e-3:
        hint = "it looks 1000 times too small; was it divided by 1000 without need?"
    if 2 * bad.size <= len(radius):
        looks, found, _ = hint.partition(";")
        hint = f"{looks}; {correct_rows(origin)}" if found else hint
    row = bad[:1]
    return Fault(
        name,
        bad,
        f"{origin.column(name)} is in {bad.size} of {len(radius)} rows not what a halo of such a "
        f"mass has in Mpc/h, as in {origin.show(row, radius)}, where about "
        f"{expected[row[0]]:.2g} is expected: {hint}",
    )


def concentration_fault(conc: FloatArray, origin: Origin, *, source: str = "") -> Fault | None:
    """Rows in which a concentration is none that a halo has.

    Parameters
    ----------
    source : str
        What it was calculated from, such as "radius / scale_radius".
    """
    low, high = CONCENTRATION_RANGE
    bad = np.flatnonzero((conc < low) | (conc > high))
    if not bad.size:
        return None
    name = f"{origin.column('concentration')}" + (f" = {source}" if source else "")
    if (conc[bad] <= 0).any():
        worst = np.flatnonzero(conc <= 0)
        limit, hint = "above 0", correct_rows(origin)
    else:
        worst, limit = bad, f"{low:g} to {high:g}"
        typical = float(np.median(conc[bad]))
        hint = correct_rows(origin)
        if len(bad) * 2 > len(conc):
            hint = f"are they concentrations? If some are, {hint}"
            if 3e-4 <= typical <= 0.1 or 300 <= typical <= 1e5:
                hint = (
                    "radius and scale_radius must be in one unit, and one of them looks to be in "
                    "kpc/h: give columns={'radius': ..., 'scale_radius': ...} both in Mpc/h"
                    if source
                    else "they look like radii, or ratios of radii in different units"
                )
    return Fault(
        "concentration",
        bad,
        f"{name} must be {limit}; it is not in {origin.show(worst, conc)}: {hint}",
    )


def warn_of_logarithms(conc: FloatArray, origin: Origin) -> None:
    """A warning where concentrations are those of no halos, but may be their logarithms."""
    middle = float(np.median(conc))
    if middle < _LOWEST_MEDIAN:
        caution(
            f"{origin.column('concentration')} is {middle:.3g} in the median, lower than halos "
            f"have: if it is log10(c), pass columns={{'concentration': "
            f"'10**{origin.term('concentration')}'}}"
        )


def axis_fault(
    axis: FloatArray, origin: Origin, name: str = "axis", *, hint: str = ""
) -> Fault | None:
    """Rows in which an axis has no direction: length 0, or a code for a missing one."""
    largest = np.abs(axis[:, 0])
    for k in (1, 2):
        np.maximum(largest, np.abs(axis[:, k]), out=largest)
    bad = np.flatnonzero((largest > 1e100) | ((largest < 1e-100) & (largest > 0)))
    if bad.size:
        return Fault(
            name,
            bad,
            f"{origin.column(name)} must have components of 1e-100 to 1e100; its largest is "
            f"{origin.show(bad, largest)}: {correct_rows(origin)}{hint}",
        )
    length = lengths(axis)
    bad = np.flatnonzero(length == 0)
    if bad.size:
        return Fault(
            name,
            bad,
            f"{origin.column(name)} has no direction (length 0) in {origin.show(bad, length)}: "
            f"{correct_rows(origin)}{hint}",
        )
    # Three equal components of -9 or less are no direction, but -99 and the like.
    code = axis[:, 0]
    bad = np.flatnonzero(code <= -9)
    bad = bad[(axis[bad] == code[bad, None]).all(axis=1)]
    if bad.size:
        return Fault(
            name,
            bad,
            f"{origin.column(name)} has one number in all three components, which looks like a "
            f"code for a missing axis, in {origin.show(bad, code)}: {correct_rows(origin)}{hint}",
        )
    return None


def axis_ratios(b_to_a: FloatArray, c_to_a: FloatArray, origin: Origin) -> None:
    """ValueError where ratios of axes are not those of an ellipsoid, a >= b >= c > 0."""
    _refuse(axis_ratio_fault(b_to_a, c_to_a, origin))


def axis_ratio_fault(
    b_to_a: FloatArray, c_to_a: FloatArray, origin: Origin, *, hint: str = ""
) -> Fault | None:
    """Rows in which ratios of axes are not those of an ellipsoid, a >= b >= c > 0."""
    for name, values in (("b_to_a", b_to_a), ("c_to_a", c_to_a)):
        bad = np.flatnonzero(~((values > 0) & (values <= 1)))
        if bad.size:
            return Fault(
                name,
                bad,
                f"{origin.column(name)} must be in (0, 1]; it is not in "
                f"{origin.show(bad, values)}: {correct_rows(origin)}{hint}",
            )
    bad = np.flatnonzero(c_to_a > b_to_a)
    if not bad.size:
        return None
    return Fault(
        "c_to_a",
        bad,
        f"{origin.column('c_to_a')} must not be above {origin.column('b_to_a')}; it is in "
        f"{origin.show(bad, c_to_a)}: {correct_rows(origin)}{hint}",
    )


def right_angle_fault(cosine: FloatArray, origin: Origin, *, hint: str = "") -> Fault | None:
    """Rows in which the minor axis is not at right angles to the major one."""
    bad = np.flatnonzero(np.abs(cosine) > _RIGHT_ANGLE)
    if not bad.size:
        return None
    return Fault(
        "minor_axis",
        bad,
        f"{origin.column('minor_axis')} is not at right angles to {origin.column('axis')} in "
        f"{origin.show(bad, cosine)} (the cosine of the angle); {correct_rows(origin)}{hint}",
    )


def velocity_fault(velocity: FloatArray, origin: Origin, *, hint: str = "") -> Fault | None:
    """Rows in which velocities cannot be peculiar ones in km/s."""
    speed = np.linalg.norm(velocity, axis=1)
    bad = np.flatnonzero(speed > _FASTEST)
    if not bad.size:
        return None
    return Fault(
        "velocity",
        bad,
        f"{origin.column('velocity')} must be at most {_FASTEST:g} km/s; it is not in "
        f"{origin.show(bad, speed)}: are they in km/s? If most are, {correct_rows(origin)}{hint}",
    )


def correct_rows(origin: Origin) -> str:
    """The way to mend single rows: by an option where they come from a table."""
    if origin.source:
        return "correct such rows, or pass on_bad='drop' to leave them out"
    return "correct such rows, or leave them out"


def lengths(vectors: FloatArray) -> FloatArray:
    """Lengths (N,) of vectors (N, 3): the bits of ``numpy.linalg.norm`` in a third of the time."""
    squares = vectors[:, 0] * vectors[:, 0]
    for k in (1, 2):
        squares += vectors[:, k] * vectors[:, k]
    return np.sqrt(squares, out=squares)


def unit_axes(
    axis: FloatArray, origin: Origin, name: str = "axis", *, hint: str = ""
) -> FloatArray:
    """Axes (N, 3) of length 1; ValueError where one has no direction."""
    _refuse(axis_fault(axis, origin, name, hint=hint))
    length = lengths(axis)
    # What is of length 1 already stays bit for bit as it is.
    length[np.abs(length - 1.0) < 1e-14] = 1.0
    return axis / length[:, None]


def vectors(name: str, values: Any) -> FloatArray:
    """A fresh float64 array of shape (N, 3)."""
    try:
        array = np.array(numbers(name, values), order="C")
    except TypeError:
        raise TypeError(f"{name} must be real numbers of shape (N, 3)") from None
    if array.ndim != 2 or array.shape[1] != 3:
        raise ValueError(f"{name} must have shape (N, 3), not {array.shape}")
    return array


def column(name: str, values: Any, dtype: type[np.generic]) -> npt.NDArray[Any]:
    """A fresh array (N,) of bool, int64 or float64."""
    kinds, wanted = {
        np.bool_: ("b", "True or False"),
        np.int64: ("iu", "whole numbers"),
        np.float64: ("iufb", "real numbers"),
    }[dtype]
    array = np.asarray(values)
    if array.dtype.kind not in kinds:
        raise TypeError(f"{name} must be {wanted}; it holds {array.dtype}")
    if array.ndim != 1:
        raise ValueError(f"{name} must have one dimension, not shape {array.shape}")
    return np.array(array, dtype=dtype)


def finite(
    columns: Mapping[str, npt.NDArray[Any]], origin: Origin, *, hint: str = ""
) -> npt.NDArray[np.bool_]:
    """Which rows are finite in every column; columns may be (N,) or (N, 3)."""
    good: npt.NDArray[np.bool_] | None = None
    said = []
    for name, values in columns.items():
        each = np.isfinite(values)
        if each.all():  # by rows it takes ten times as long
            rows_good = np.ones(len(values), dtype=bool)
        else:
            rows_good = each if values.ndim == 1 else each.all(axis=1)
            bad = np.flatnonzero(~rows_good)
            first = values if values.ndim == 1 else np.where(rows_good, 0.0, np.nan)
            said.append(f"{origin.column(name)}: {origin.show(bad, first)}")
        good = rows_good if good is None else good & rows_good
    if said:
        raise ValueError(
            f"NaN, infinite or masked values in {'; '.join(said[:SHOWN])}: "
            f"{correct_rows(origin)}{hint}"
        )
    assert good is not None
    return good
