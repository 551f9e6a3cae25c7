"""One form for the values of a column: their type kept, missing entries masked."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

BoolArray = npt.NDArray[np.bool_]

#: What lies beneath a mask, by kind of type, for whoever overlooks the mask.
_BENEATH: dict[str, Any] = {"f": np.nan, "c": np.nan, "b": False, "i": 0, "u": 0, "U": ""}


def masked(values: np.ndarray, missing: npt.ArrayLike) -> np.ndarray:
    """The values with entries masked; a plain array where none is.

    Parameters
    ----------
    values : ndarray
    missing : array_like of bool
        Of the same shape, or of one entry a row.
    """
    mask = np.asarray(missing, dtype=bool) | np.ma.getmask(values)
    values = np.ma.getdata(values)
    if mask.shape != values.shape:
        mask = np.broadcast_to(mask.reshape(mask.shape + (1,) * (values.ndim - 1)), values.shape)
    if not mask.any():
        return values
    # Assigned, not by np.where, which would take 64-bit integers through float64.
    beneath = np.array(values)
    if values.dtype.kind in "mM":
        beneath[mask] = np.array("NaT", dtype=values.dtype)
    elif values.dtype.kind != "O":
        beneath[mask] = _BENEATH.get(values.dtype.kind, 0)
    return np.ma.MaskedArray(beneath, mask=mask.copy())


def stored(values: Any) -> np.ndarray:
    """A column as `TableSource` gives it: NumPy's type of it, missing entries masked.

    Units are taken off. Whole numbers, truth values and text keep their type; text is decoded and
    loses blanks and NULs at its end, and an empty text is a missing entry, for many formats have
    no other. Columns of shape (N, 1) become (N,).

    Returns
    -------
    ndarray, or numpy.ma.MaskedArray where entries are missing
    """
    mask: Any = None
    if hasattr(values, "unmasked") and hasattr(values, "mask"):  # astropy's Masked
        mask, values = np.asarray(values.mask), values.unmasked
    if hasattr(values, "unit"):
        values = getattr(values, "value", values)
    if isinstance(values, np.ma.MaskedArray):
        mask, values = np.ma.getmaskarray(values), np.ma.getdata(values)
    array = np.asarray(values)
    if array.dtype.kind == "f" and isinstance(values, (list, tuple)) and array.ndim == 1:
        whole = all(isinstance(x, (int, np.integer)) for x in values)
        array = array if not whole else np.array(values, dtype=object)
    if type(array) is not np.ndarray:
        array = array.view(np.ndarray)
    if array.dtype.kind == "O":
        array, gone = _from_objects(array, mask)
        mask = gone if mask is None else gone | mask
    elif array.dtype.kind == "T":
        array = array.astype(np.str_)
    if array.dtype.kind in "SU":
        array = _text(array)
        mask = (array == "") if mask is None else (array == "") | mask
    elif array.dtype.kind in "mM":
        mask = np.isnat(array) if mask is None else np.isnat(array) | mask
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if mask is not None:
        array = masked(array, mask)
    return array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array


def _text(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind == "S":
        try:
            array = np.char.decode(array, "utf-8")
        except UnicodeDecodeError:
            array = np.char.decode(array, "latin-1")
    if array.size and array.dtype.itemsize:
        # A NUL ends a text of FITS, and of C; what may follow is left over.
        array = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("=")))
        letters = array.view(np.uint32).reshape(*array.shape, -1)
        ended = np.logical_or.accumulate(letters == 0, axis=-1)
        if np.any(letters[ended]):
            letters = np.where(ended, np.uint32(0), letters)
            array = letters.view(array.dtype)[..., 0]
    return np.char.rstrip(array, " ")


def integers(numbers: Sequence[int]) -> np.ndarray | None:
    """Whole numbers as int64 or uint64; None where neither holds them all.

    `numpy.array` makes decimal numbers of those that are partly past int64.
    """
    for kind in (np.int64, np.uint64):
        bounds = np.iinfo(kind)
        if all(bounds.min <= x <= bounds.max for x in numbers):
            return np.array(numbers, dtype=kind)
    return None


def _is_missing(x: Any) -> bool:
    if x is None or x is np.ma.masked:
        return True
    if isinstance(x, (float, np.floating)):
        return bool(x != x)
    if isinstance(x, (np.datetime64, np.timedelta64)):
        return bool(np.isnat(x))
    return type(x).__name__ in ("NAType", "NaTType")


def _from_objects(array: np.ndarray, mask: Any) -> tuple[np.ndarray, BoolArray]:
    """Objects that are all texts, truth values or numbers as such; which of them are missing."""
    flat = array.ravel()
    gone = np.fromiter((_is_missing(x) for x in flat), dtype=bool, count=flat.size)
    if mask is not None:
        gone |= np.broadcast_to(mask, array.shape).ravel()
    rest = [x for x, missing in zip(flat, gone, strict=True) if not missing]
    made: np.ndarray | None
    if not rest:
        made = np.zeros(0)
    elif all(isinstance(x, (str, bytes)) for x in rest):
        made = np.array([x.decode("utf-8", "replace") if isinstance(x, bytes) else x for x in rest])
    elif all(isinstance(x, (bool, np.bool_)) for x in rest):
        made = np.array(rest, dtype=bool)
    elif all(isinstance(x, (int, float, np.number)) and not isinstance(x, bool) for x in rest):
        whole = all(isinstance(x, (int, np.integer)) for x in rest)
        made = integers(rest) if whole else np.array(rest)
    elif all(isinstance(x, datetime.datetime) for x in rest):
        made = np.array(rest, dtype="datetime64[us]")
    else:
        made = None
    if made is None or made.dtype.kind == "O" or made.ndim != 1:
        return array, gone.reshape(array.shape)
    full = np.zeros(flat.size, dtype=made.dtype)
    full[~gone] = made
    return full.reshape(array.shape), gone.reshape(array.shape)


def joined(parts: Sequence[np.ndarray], names: Sequence[str], what: str) -> np.ndarray:
    """Columns of several tables one after the other, no value changed by it.

    Parameters
    ----------
    parts : sequence of ndarray
        As `stored` gives them.
    names : sequence of str
        What messages call the tables.
    what : str
        What messages call the column.

    Raises
    ------
    ValueError
        If kinds or shapes differ, or no type holds the values of all exactly.
    """
    # A column without a value says nothing about its type.
    telling = [k for k, part in enumerate(parts) if np.ma.count(part)]
    shapes = {part.shape[1:]: k for k, part in enumerate(parts) if len(part)}
    if len(shapes) > 1:
        listed = ", ".join(f"{shape or 'one value'} a row in {names[k]}"
                           for shape, k in shapes.items())  # fmt: skip
        raise ValueError(f"{what} differs in shape: {listed}")
    kinds: dict[str, int] = {}
    for k in telling:
        kinds.setdefault(_KINDS.get(parts[k].dtype.kind, "other objects"), k)
    if len(kinds) > 1:
        listed = ", ".join(f"{kind} in {names[k]}" for kind, k in kinds.items())
        raise ValueError(f"{what} is of different kinds: {listed}")
    dtype = _common([parts[k] for k in telling], [names[k] for k in telling], what)
    pieces = [part if dtype is None else _as(part, dtype) for part in parts]
    together = np.ma if any(isinstance(piece, np.ma.MaskedArray) for piece in pieces) else np
    return together.concatenate(pieces)


_KINDS = {"S": "text", "U": "text", "b": "numbers", "i": "numbers", "u": "numbers", "f": "numbers",
          "c": "complex numbers", "M": "dates", "m": "time spans"}  # fmt: skip


def _as(part: np.ndarray, dtype: np.dtype) -> np.ndarray:
    if part.dtype == dtype:
        return part
    if np.ma.count(part) == 0:
        empty = np.zeros(part.shape, dtype=dtype)
        return masked(empty, np.ones(part.shape, dtype=bool)) if part.size else empty
    return part.astype(dtype)


def _common(parts: list[np.ndarray], names: list[str], what: str) -> np.dtype | None:
    if not parts:
        return None
    dtype = np.result_type(*(part.dtype for part in parts))
    whole = [k for k, part in enumerate(parts) if part.dtype.kind in "iu"]
    if dtype.kind != "f" or not whole:
        return dtype
    if len(whole) == len(parts):
        # int64 beside uint64: whichever holds both.
        for kind in (np.dtype(np.int64), np.dtype(np.uint64)):
            bounds = np.iinfo(kind)
            if all(int(p.min()) >= bounds.min and int(p.max()) <= bounds.max for p in parts):
                return kind
    for k in whole:
        values = np.ma.compressed(parts[k])
        if int(values.max()) > 2**53 or int(values.min()) < -(2**53):
            raise ValueError(
                f"{what} holds whole numbers too large for decimal ones in {names[k]}, "
                "and numbers of another kind elsewhere: they cannot be joined exactly"
            )
    return dtype
