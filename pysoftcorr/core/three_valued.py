"""Column values of which some are missing, and the logic of SQL: true, false, unknown.

A comparison with a missing value or NaN is unknown; ``and``, ``or``, ``not`` pass that on unless
the other side decides (Kleene 1938); arithmetic with a missing value is missing.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

BoolArray = npt.NDArray[np.bool_]

#: Rows that a message shows.
SHOWN = 5
_BLANKS = " \0"
_COMPARISONS: dict[str, Callable[..., Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_BITS: dict[str, Callable[..., Any]] = {
    "&": np.bitwise_and,
    "|": np.bitwise_or,
    "^": np.bitwise_xor,
    "<<": np.left_shift,
    ">>": np.right_shift,
}


@dataclass(frozen=True)
class Values:
    """Data and, where some are missing or unknown, a mask of the same shape."""

    data: np.ndarray
    unknown: BoolArray | None = None

    @property
    def is_text(self) -> bool:
        """Whether it holds text."""
        return self.data.dtype.kind == "U"

    def plain(self) -> Any:
        """An array, masked where something is unknown; a scalar for a single value."""
        if self.unknown is not None and self.unknown.any():
            shape = np.broadcast_shapes(self.data.shape, self.unknown.shape)
            mask = np.broadcast_to(self.unknown, shape).copy()
            return np.ma.MaskedArray(np.broadcast_to(self.data, shape).copy(), mask=mask)
        return self.data[()]


# ---------------------------------------------------------------------- columns
def read(values: Any) -> Values:
    """Values of a column as any table hands it out.

    This machine's byte order; byte strings decoded, and blanks at the end of text taken off, as
    FITS pads it; None, NaT and pandas' NA among objects are missing, and so is an empty text.
    """
    mask = None
    if isinstance(values, np.ma.MaskedArray):
        if np.ma.is_masked(values):
            mask = np.ma.getmaskarray(values)
        values = np.ma.getdata(values)
    array = np.asarray(values)
    if array.dtype.kind == "O":
        array, absent = _from_objects(array)
        mask = absent if mask is None else mask | absent
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8", "replace")
    if array.dtype.kind == "U":
        array = np.char.rstrip(array, _BLANKS)
        # Files that have no mark for a missing text leave it empty.
        absent = array == ""
        mask = absent if mask is None else mask | absent
    elif array.dtype.kind == "M":
        absent = np.isnat(array)
        mask = absent if mask is None else mask | absent
    elif not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    return Values(array, mask if mask is not None and mask.any() else None)


def _missing(item: Any) -> bool:
    if item is None or item is np.ma.masked or type(item).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(item, float) and item != item


def _from_objects(array: np.ndarray) -> tuple[np.ndarray, BoolArray]:
    """Objects of one kind as an array of that kind, and which of them are missing."""
    flat = list(array.ravel())
    absent = np.array([_missing(item) for item in flat], dtype=bool)
    there = [item for item, out in zip(flat, absent, strict=True) if not out]
    kinds: tuple[tuple[Any, Any, Any], ...] = (
        ((str, bytes), np.str_, ""),
        ((bool, np.bool_), np.bool_, False),
        ((int, np.integer), None, 0),
        ((int, float, Decimal, np.integer, np.floating), np.float64, 0.0),
    )
    for types, dtype, blank in kinds:
        mixed_in = dtype is not np.bool_ and any(isinstance(x, (bool, np.bool_)) for x in there)
        if not mixed_in and all(isinstance(item, types) for item in there):
            filled = [blank if out else item for item, out in zip(flat, absent, strict=True)]
            if dtype is np.str_:
                filled = [x.decode("utf-8", "replace") if isinstance(x, bytes) else x
                          for x in filled]  # fmt: skip
            made = np.array(filled, dtype=dtype)
            if made.dtype.kind != "O":
                return made.reshape(array.shape), absent.reshape(array.shape)
    return array, absent.reshape(array.shape)


def kind_of(array: np.ndarray) -> str:
    """What an array holds, for messages."""
    if array.dtype.kind in "biuf":
        return f"numbers of type {array.dtype}"
    return "text" if array.dtype.kind in "SU" else f"values of type {array.dtype}"


def _rows(bad: BoolArray, data: np.ndarray) -> str:
    """``row 3 (2.5)`` for the first offending rows."""
    if not bad.ndim:
        return f"it is {data[()]}"
    index = np.flatnonzero(bad if bad.ndim == 1 else bad.any(axis=tuple(range(1, bad.ndim))))
    shown = ", ".join(f"{k} ({np.ravel(data[k])[0]})" for k in index[:SHOWN])
    more = f" and {index.size - SHOWN} more" if index.size > SHOWN else ""
    return f"row{'s' if index.size > 1 else ''} {shown}{more} (counted from 0)"


# ---------------------------------------------------------------------- kinds
def real(value: Values) -> Values:
    """Values in float64; TypeError for what is no number."""
    if value.data.dtype.kind not in "biuf":
        raise TypeError(f"does arithmetic on {kind_of(value.data)}")
    return Values(value.data.astype(np.float64), value.unknown)


def whole(value: Values) -> Values:
    """Truth values or 64-bit integers, of decimal numbers that are whole too; NaN is unknown."""
    data, unknown = value.data, value.unknown
    if data.dtype.kind == "b":
        return value
    if data.dtype.kind == "f":
        missing = np.isnan(data)
        if unknown is not None:
            missing = missing | unknown
        good = missing | (np.isfinite(data) & (np.floor(data) == data) & (np.abs(data) < 2.0**63))
        if not np.all(good):
            raise TypeError(
                f"needs whole numbers or truth values here, not {kind_of(data)} that are not "
                f"whole: {_rows(~good, data)}; compare it with something first"
            )
        return Values(
            np.where(missing, 0, data).astype(np.int64), missing if missing.any() else None
        )
    if data.dtype.kind not in "iu":
        raise TypeError(
            f"needs whole numbers or truth values here, not {kind_of(data)}; "
            "compare it with something first"
        )
    if data.dtype == np.uint64 and data.size and data.max() > np.iinfo(np.int64).max:
        return value
    return Values(data.astype(np.int64), unknown)


def truth(value: Values) -> Values:
    """Truth values; whole numbers are true where they are not 0."""
    value = whole(value)
    return Values(value.data != 0, value.unknown)


def either(*values: Values) -> BoolArray | None:
    """Unknown where any of the values is."""
    masks = [v.unknown for v in values if v.unknown is not None]
    if not masks:
        return None
    union = masks[0]
    for mask in masks[1:]:
        union = union | mask
    return union


def _together(left: Values, right: Values) -> tuple[np.ndarray, np.ndarray]:
    """Two arrays of integers as one type."""
    a, b = left.data, right.data
    if np.uint64 in (a.dtype, b.dtype) and a.dtype != b.dtype:
        if min(a.min(initial=0), b.min(initial=0)) < 0:
            raise TypeError("combines negative numbers with numbers beyond 2**63")
        return a.astype(np.uint64), b.astype(np.uint64)
    return a, b


def _wide(value: Values) -> Values:
    """Whole numbers in 64 bits, truth values as 0 and 1."""
    if value.data.dtype == np.uint64:
        return value
    return Values(value.data.astype(np.int64), value.unknown)


# ---------------------------------------------------------------------- operations
def logical_and(left: Values, right: Values) -> Values:
    """``and``: false where either side is false, else unknown where either is."""
    return logical_not(logical_or(logical_not(left), logical_not(right)))


def logical_or(left: Values, right: Values) -> Values:
    """``or``: true where either side is true, else unknown where either is."""
    left, right = truth(left), truth(right)
    doubtful = either(left, right)
    if doubtful is None:
        return Values(left.data | right.data)
    true = np.zeros(np.broadcast_shapes(left.data.shape, right.data.shape), dtype=bool)
    for side in (left, right):
        true |= side.data if side.unknown is None else side.data & ~side.unknown
    return Values(true, doubtful & ~true)


def logical_not(value: Values) -> Values:
    """``not``: unknown stays unknown."""
    value = truth(value)
    return Values(~value.data, value.unknown)


def bits(sign: str, left: Values, right: Values) -> Values:
    """``&  |  ^  <<  >>`` bit by bit on whole numbers; on truth values as and, or, exclusive or."""
    if sign == "^" and "f" in (left.data.dtype.kind, right.data.dtype.kind):
        raise TypeError("^ is the exclusive or of whole numbers; a power is written **")
    left, right = whole(left), whole(right)
    if left.data.dtype.kind == right.data.dtype.kind == "b" and sign in "&|":
        return (logical_and if sign == "&" else logical_or)(left, right)
    if sign in ("<<", ">>"):
        left, right = (Values(v.data.astype(np.int64), v.unknown) for v in (left, right))
        bad = (right.data < 0) | (right.data > 63)
        if right.unknown is not None:
            bad = bad & ~right.unknown
        if np.any(bad):
            raise ValueError(
                f"shifts by less than 0 or more than 63 bits: {_rows(bad, right.data)}"
            )
    a, b = _together(left, right)
    return Values(np.asarray(_BITS[sign](a, b)), either(left, right))


def invert(value: Values) -> Values:
    """``~``: every bit of a whole number; ``not`` of a truth value."""
    value = whole(value)
    return Values(np.invert(value.data), value.unknown)


def remainder(left: Values, right: Values) -> Values:
    """``%`` with the sign of the divisor; whole numbers stay whole; missing where it is 0."""
    unknown = either(left, right)
    if all(v.data.dtype.kind in "biu" for v in (left, right)):
        a, b = _together(_wide(left), _wide(right))
        zero = b == 0
        if np.any(zero):
            unknown = zero if unknown is None else unknown | zero
        return Values(np.asarray(np.mod(a, np.where(zero, 1, b).astype(b.dtype))), unknown)
    return Values(np.asarray(np.mod(real(left).data, real(right).data)), unknown)


def compare(sign: str, left: Values, right: Values) -> Values:
    """A comparison; unknown where a side is missing or NaN."""
    if left.is_text != right.is_text:
        raise TypeError(f"compares text with a number{_such_as(left if left.is_text else right)}")
    if left.is_text and sign not in ("==", "!="):
        raise TypeError("can compare text only by ==, != or in")
    for side in (left, right):
        if side.data.dtype.kind not in "biufU":
            raise TypeError(f"compares {kind_of(side.data)}")
    result = np.asarray(_COMPARISONS[sign](left.data, right.data))
    return _settled(result, left, right)


def _such_as(value: Values) -> str:
    """The first cell of a column of text that is no number, which made it text."""
    for cell in np.ravel(value.data).tolist() if value.data.ndim else []:
        try:
            float(cell or "nan")
        except ValueError:
            return f"; the column holds text such as {cell!r}"
    return ""


def is_in(value: Values, choices: Sequence[Any], *, negated: bool) -> Values:
    """Membership in a list of constants; unknown where the value is missing or NaN."""
    texts = [isinstance(choice, str) for choice in choices]
    if any(texts) != all(texts):
        raise TypeError("lists text and numbers together")
    if value.is_text != texts[0]:
        raise TypeError("compares text with a number")
    if value.data.dtype.kind not in "biufU":
        raise TypeError(f"compares {kind_of(value.data)}")
    found = np.zeros(value.data.shape, dtype=bool)
    for choice in choices:
        found |= value.data == (choice.rstrip(_BLANKS) if isinstance(choice, str) else choice)
    return _settled(~found if negated else found, value)


def _settled(result: np.ndarray, *sides: Values) -> Values:
    unknown = either(*sides)
    for side in sides:
        if side.data.dtype.kind == "f" and np.any(nan := np.isnan(side.data)):
            unknown = nan if unknown is None else unknown | nan
    return Values(result if unknown is None else result & ~unknown, unknown)


def is_finite(value: Values) -> Values:
    """Whether there is a finite number, or a text; never unknown."""
    finite = np.ones(value.data.shape, dtype=bool)
    if value.data.dtype.kind == "f":
        finite = np.isfinite(value.data)
    elif value.data.dtype.kind not in "biuU":
        raise TypeError(f"does arithmetic on {kind_of(value.data)}")
    return Values(np.asarray(finite if value.unknown is None else finite & ~value.unknown))


def is_missing(value: Values) -> Values:
    """Whether there is neither a number, infinite ones among them, nor a text; never unknown."""
    nan = np.zeros(value.data.shape, dtype=bool)
    if value.data.dtype.kind == "f":
        nan = np.isnan(value.data)
    elif value.data.dtype.kind not in "biuU":
        raise TypeError(f"does arithmetic on {kind_of(value.data)}")
    return Values(np.asarray(nan if value.unknown is None else nan | value.unknown))


def choose(condition: Values, first: Values, second: Values) -> Values:
    """``where``: missing where the condition is unknown or the value chosen is missing.

    Whole numbers stay whole.
    """
    condition = truth(condition)
    if all(v.data.dtype.kind in "biu" for v in (first, second)):
        if {first.data.dtype.kind, second.data.dtype.kind} != {"b"}:
            numbers = [_wide(v) for v in (first, second)]
            a, b = _together(*numbers)
            first, second = Values(a, first.unknown), Values(b, second.unknown)
    else:
        first, second = real(first), real(second)
    data = np.where(condition.data, first.data, second.data)
    if either(condition, first, second) is None:
        return Values(data)
    lost = [np.False_ if v.unknown is None else v.unknown for v in (first, second)]
    unknown = np.where(condition.data, *lost)
    if condition.unknown is not None:
        unknown = unknown | condition.unknown
    return Values(data, unknown)


def apply(function: Callable[..., Any], *values: Values) -> Values:
    """A function of real numbers, missing where an argument is."""
    numbers = [real(value) for value in values]
    return Values(np.asarray(function(*(v.data for v in numbers))), either(*numbers))


#: Whole numbers up to here are exact in float64.
_EXACT = 2**53


def arithmetic(function: Callable[..., Any], *values: Values) -> Values:
    """Result of `apply`, whole numbers that float64 would round kept where 64 bits hold them."""
    if function is not np.divide and all(v.data.dtype.kind in "biu" for v in values):
        rough = apply(function, *values)
        sizes = [*(v.data for v in values), rough.data]
        largest = max(float(np.abs(d.astype(np.float64)).max(initial=0.0)) for d in sizes)
        if largest > _EXACT:
            exact = [v.data.astype(object) for v in values]
            made = function(*exact) if largest < 2.0**80 else None
            bits = None if made is None else _fitting(np.asarray(made, dtype=object))
            if bits is not None:
                return Values(bits, rough.unknown)
    return apply(function, *values)


def _fitting(made: np.ndarray) -> np.ndarray | None:
    """Whole numbers of any size as int64 or uint64; None where neither holds them."""
    for dtype in (np.int64, np.uint64):
        limits = np.iinfo(dtype)
        flat = made.ravel().tolist()
        if all(isinstance(x, int) and limits.min <= x <= limits.max for x in flat):
            return np.array(flat, dtype=dtype).reshape(made.shape)
    return None
