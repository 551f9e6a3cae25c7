"""What a catalog's columns must be, and the errors that name the column and the rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import astropy.units as u
import numpy as np
import numpy.typing as npt

from pysoftcorr.core import three_valued
from pysoftcorr.core.cautions import caution
from pysoftcorr.core.expressions import quoted
from pysoftcorr.core.options import choice, shown

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

#: How many offending rows a message shows.
SHOWN = 5

_UNIT_ALIASES = {
    **dict.fromkeys(("deg", "degs", "degree", "degrees", "deg.", "\N{DEGREE SIGN}"), "deg"),
    **dict.fromkeys(("rad", "rads", "radian", "radians"), "rad"),
    **dict.fromkeys(("hour", "hours", "hr", "hrs", "h", "hourangle"), "hourangle"),
    **dict.fromkeys(("arcmin", "arcmins", "arcminute", "arcminutes"), "arcmin"),
    **dict.fromkeys(("arcsec", "arcsecs", "arcsecond", "arcseconds"), "arcsec"),
    "mas": "mas",
}
#: Relative rounding of pi in float32, and of some steps in float64 or of twelve digits of text.
_FLOAT32, _FLOAT64 = 2.0**-24, 1e-11
_SEXAGESIMAL = "text such as '10:00:28.6' must be made into numbers, by astropy.coordinates.Angle"


@dataclass
class Origin:
    """Where columns came from, for messages: source, column texts, row numbers, all its columns."""

    source: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    rows: IntArray | None = None
    names: Collection[str] = ()

    def term(self, name: str) -> str:
        """What a field was read from, as a part of an expression."""
        label = self.labels.get(name, name)
        if label in self.names:
            return quoted(label)
        return label if label.isidentifier() else f"({label})"

    def column(self, name: str) -> str:
        """``g1`` or, with a source, ``g1 (column 'e1' of stars.fits)``."""
        label = self.labels.get(name)
        if label is None:
            return name
        return f"{name} (column {label!r} of {self.source})"

    def keep(self, mask: npt.NDArray[np.bool_]) -> Origin:
        """The origin of the kept rows alone."""
        rows = np.arange(mask.size) if self.rows is None else self.rows
        return Origin(self.source, self.labels, rows[mask], self.names)

    def show(self, index: IntArray, values: FloatArray) -> str:
        """``rows 3 (nan), 7 (inf), ... and 12 more`` for offending rows and their values."""
        rows = index if self.rows is None else self.rows[index]
        shown = ", ".join(
            f"{row} ({float(values[i]):.6g})"
            for row, i in zip(rows[:SHOWN], index[:SHOWN], strict=True)
        )
        more = f" and {index.size - SHOWN} more" if index.size > SHOWN else ""
        return f"row{'s' if index.size > 1 else ''} {shown}{more} (counted from 0)"


def angle_unit(unit: Any, argument: str) -> u.UnitBase:
    """The astropy unit of an angle; ValueError where it is none."""
    if not isinstance(unit, (str, u.UnitBase)):
        raise TypeError(
            f"{argument} = {shown(unit)}: must be a unit of an angle, such as 'deg' or 'arcmin'"
        )
    if isinstance(unit, str):
        name = unit.strip().strip("[]").strip()
        name = _UNIT_ALIASES.get(name.lower(), name)
        try:
            unit = u.Unit(name)
        except ValueError:
            unit = u.UnrecognizedUnit(name)
    if not isinstance(unit, u.UnitBase) or not unit.is_equivalent(u.rad):
        raise ValueError(
            f"{argument} = {str(unit)!r} is no unit of an angle; "
            "use 'deg', 'rad', 'hourangle', 'arcmin' or 'arcsec'"
        )
    return unit


def as_float(name: str, values: Any, origin: Origin) -> tuple[FloatArray, u.UnitBase | None]:
    """A fresh float64 column, masked values as NaN, and its unit where it has one."""
    unit = None
    if isinstance(values, u.Quantity):
        if values.unit.is_equivalent(u.one):
            values = values.to(u.one)  # per cent and the like
        values, unit = values.value, values.unit
    elif isinstance(getattr(values, "unit", None), u.UnitBase):
        unit = values.unit
    what = origin.column(name)
    masked = np.ma.is_masked(values)
    mask = np.ma.getmaskarray(values) if masked else None
    try:
        array = np.asarray(np.ma.getdata(values) if masked else values)
    except ValueError as error:
        raise ValueError(f"{what} is not a column of numbers: {error}") from None
    if array.dtype.kind == "O":
        # None and pandas' NA are missing among objects, and the rest may be of one kind.
        try:
            read = three_valued.read(array)
        except OverflowError:
            raise ValueError(f"{what} holds an integer beyond the range of float64") from None
        if read.data.dtype.kind == "O":
            raise TypeError(f"{what} must be real numbers; it holds other objects")
        array = read.data
        if read.unknown is not None:
            mask = read.unknown if mask is None else mask | read.unknown
    if array.dtype.kind not in "biuf":
        kind = {"S": "text", "U": "text", "c": "complex numbers"}.get(
            array.dtype.kind, f"values of type {array.dtype}"
        )
        hint = f"; {_SEXAGESIMAL}" if kind == "text" and name in ("ra", "dec") else ""
        odd = _odd_cells(array) if kind == "text" else ""
        hint = f" where {odd}; empty such cells, or leave the column out" if odd else hint
        raise TypeError(f"{what} must be real numbers; it holds {kind}{hint}")
    if array.ndim == 2 and array.shape[1] == 1:
        array, mask = array[:, 0], None if mask is None else mask[:, 0]
    if array.ndim != 1:
        raise ValueError(f"{what} must have one dimension, not shape {array.shape}")
    with np.errstate(over="ignore"):  # of long doubles; what becomes infinite is refused
        column = np.array(array, dtype=np.float64)
    if mask is not None:
        column[mask] = np.nan
    return column, unit


def _odd_cells(array: Any) -> str:
    """The few cells of a text column that are no numbers; empty where most are none."""
    cells = [str(cell) for cell in np.ravel(array).tolist()]
    odd = [k for k, cell in enumerate(cells) if not _is_number(cell)]
    if not odd or 2 * len(odd) > len(cells):
        return ""
    return f"the others are numbers, {cells[odd[0]]!r} in row {odd[0]} (counted from 0)"


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def equal_lengths(columns: Mapping[str, FloatArray]) -> int:
    """The common length; ValueError where lengths differ or are 0."""
    lengths = {name: values.size for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {n}" for name, n in lengths.items())
        raise ValueError(f"columns differ in length: {listed}")
    n = next(iter(lengths.values()))
    if n == 0:
        raise ValueError("the catalog is empty: it has no rows")
    return n


def finite_rows(
    columns: Mapping[str, FloatArray], origin: Origin, on_bad: str
) -> npt.NDArray[np.bool_]:
    """Which rows are finite in every column; an error or a warning where some are not."""
    choice("on_bad", on_bad, ("error", "drop"))
    good = np.ones(next(iter(columns.values())).size, dtype=bool)
    bad: dict[str, IntArray] = {}
    for name, values in columns.items():
        finite = np.isfinite(values)
        if not finite.all():
            bad[name] = np.flatnonzero(~finite)
            good &= finite
    if not bad:
        return good
    if on_bad == "error":
        listed = "; ".join(
            f"{origin.column(name)}: {origin.show(index, columns[name])}"
            for name, index in bad.items()
        )
        raise ValueError(
            f"NaN, infinite or masked values in {listed}. "
            "Pass on_bad='drop' to leave such rows out, or correct them"
        )
    if not good.any():
        raise ValueError(
            "the catalog is empty: every row has a NaN, infinite or masked value in "
            + ", ".join(origin.column(name) for name in bad)
        )
    listed = ", ".join(f"{name} {index.size}" for name, index in bad.items())
    caution(
        f"dropped {np.count_nonzero(~good)} of {good.size} rows with NaN, infinite or masked "
        f"values ({listed})"
    )
    return good


def positions(
    ra: FloatArray, dec: FloatArray, units: Mapping[str, u.UnitBase], origin: Origin
) -> tuple[FloatArray, FloatArray]:
    """Right ascension and declination in degrees, refused where no unit mix-up is harmless."""
    ra_unit, dec_unit = units["ra"], units["dec"]
    # A survey may run from -60 to 60 or on past 360 deg; in radians or hours no such custom
    # exists, and a value past one turn there is a column of degrees.
    low, high = (-360.0, 360.0) if ra_unit in (u.rad, u.hourangle) else (-360.0, 720.0)
    ra_deg, dec_deg = _degrees(ra, ra_unit), _degrees(dec, dec_unit)
    # A pole, or a whole turn, may be off by the rounding of its unit: in radians that of float32.
    pole, turn = (90.0 * (1.0 + (_FLOAT32 if unit == u.rad else _FLOAT64)) for unit in
                  (dec_unit, ra_unit))  # fmt: skip
    at_pole = (np.abs(dec_deg) > 90.0) & (np.abs(dec_deg) <= pole)
    if at_pole.any():
        dec_deg = np.where(at_pole, np.copysign(90.0, dec_deg), dec_deg)
    low, high = low * turn / 90.0, high * turn / 90.0
    beyond = np.flatnonzero(np.abs(dec_deg) > 90.0)
    if beyond.size:
        raise ValueError(
            f"{origin.column('dec')} is beyond 90 degrees in {origin.show(beyond, dec)}, read as "
            f"{dec_unit}; {_code_hint(beyond, dec, origin) or _dec_hint(ra_deg, dec, dec_unit)}"
        )
    beyond = np.flatnonzero((ra_deg < low) | (ra_deg > high))
    if beyond.size:
        peak = float(np.abs(ra).max())
        guess = (
            "'deg'" if ra_unit in (u.rad, u.hourangle) and peak <= 360 else ("'arcsec' or 'arcmin'")
        )
        raise ValueError(
            f"{origin.column('ra')} is outside {low:g} to {high:g} degrees in "
            f"{origin.show(beyond, ra)}, read as {ra_unit}; is ra_unit wrong ({guess}?)"
        )
    return ra_deg, dec_deg


def _degrees(values: FloatArray, unit: u.UnitBase) -> FloatArray:
    if unit == u.deg:
        return values
    if unit == u.rad:
        return np.rad2deg(values)
    return values * unit.to(u.deg)


def _code_hint(beyond: IntArray, dec: FloatArray, origin: Origin) -> str:
    """What to do where a few values, such as -99, -999 or 1e20, stand for what is missing."""
    codes = np.unique(dec[beyond])
    if 4 * beyond.size > dec.size or codes.size > 1:
        return ""
    cure = f", select='abs({origin.term('dec')}) < {abs(codes[0]):g}'" if origin.labels else ""
    return f"if {codes[0]:g} stands for a missing position, leave those rows out{cure}"


def _dec_hint(ra_deg: FloatArray, dec: FloatArray, unit: u.UnitBase) -> str:
    peak = float(np.abs(dec).max())
    if np.abs(ra_deg).max() <= 90 and dec.min() >= -360 and peak <= 360 and unit == u.deg:
        return "are ra and dec swapped?"
    if unit != u.deg and peak <= 90:
        return "dec_unit looks wrong: these values would fit 'deg'"
    if peak <= 90 * 60:
        return "dec_unit looks wrong: these values would fit 'arcmin'"
    if peak <= 90 * 3600:
        return "dec_unit looks wrong: these values would fit 'arcsec'"
    if peak <= 90 * 3.6e6 and dec.min() > -90 * 3.6e6 and np.abs(ra_deg).max() > 90 * 3600:
        return "dec_unit looks wrong: these values would fit 'mas'"
    return "no unit of an angle makes a declination of them; is this the right column?"


def weights(w: FloatArray, origin: Origin) -> None:
    """ValueError where weights are all zero."""
    if not w.any():
        raise ValueError(f"{origin.column('w')} is zero in every row; at least one must not be")


def not_negative(w: FloatArray, whose: str, why: str, cure: str) -> None:
    """ValueError where weights of a catalog are negative, and so of no use for what is asked.

    Parameters
    ----------
    w : ndarray, shape (N,)
    whose, why, cure : str
        As in "SoftClustering: catalog", "clusters are weighted means", "leave those rows out".
    """
    bad = np.flatnonzero(w < 0)
    if bad.size:
        raise ValueError(
            f"{whose}: w must not be negative ({why}); it is in {Origin().show(bad, w)}: {cure}"
        )


def ellipticities(
    columns: Mapping[str, FloatArray], first: str, second: str, origin: Origin
) -> None:
    """A warning where an ellipticity exceeds 1: most often a code for 'not measured'."""
    size = np.hypot(columns[first], columns[second])
    bad = np.flatnonzero(size > 1)
    if bad.size:
        caution(
            f"|{first} + i {second}| exceeds 1 in {origin.show(bad, size)}; if these are codes "
            f"for missing values, leave the rows out{_select(origin, first, second)}"
        )


def positive(name: str, values: FloatArray, origin: Origin) -> None:
    """ValueError where a size is not above 0."""
    bad = np.flatnonzero(values <= 0)
    if bad.size:
        raise ValueError(
            f"{origin.column(name)} must be above 0; it is not in {origin.show(bad, values)}. "
            + (
                f"To leave such rows out, pass select='{origin.term(name)} > 0'"
                if origin.labels
                else "Leave such rows out, with select= when reading a file"
            )
        )


def _select(origin: Origin, first: str, second: str) -> str:
    """How to read without ellipticities above 1, where that is short to say."""
    one, other = origin.term(first), origin.term(second)
    if not origin.labels or len(one) + len(other) > 60:
        return ""
    return f", select='hypot({one}, {other}) <= 1'"
