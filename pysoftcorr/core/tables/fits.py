"""Tables of a FITS file: whole numbers exactly, undefined entries masked."""

from __future__ import annotations

import warnings
from contextlib import ExitStack
from typing import IO, Any

import numpy as np
from astropy.io import fits

from pysoftcorr.core.tables.container import Container
from pysoftcorr.core.tables.memory import stated_in_lines
from pysoftcorr.core.tables.source import TableSource, Unreadable
from pysoftcorr.core.tables.values import masked

_TABLES = (fits.BinTableHDU, fits.TableHDU)
#: SExtractor's FITS_LDAC puts a table of header cards before the table of objects.
_HEADERS = ("LDAC_IMHEAD",)


def container(path: str, content: Any, stack: ExitStack) -> Container:
    """The table HDUs of an open or named FITS file."""
    hdus = stack.enter_context(_open(content))
    everything = ", ".join(f"{i} {h.name or type(h).__name__}" for i, h in enumerate(hdus))
    first = hdus[0].header if len(hdus) else fits.Header()
    tables = [
        _table(path, i, hdu, first)
        for i, hdu in enumerate(hdus)
        if isinstance(hdu, _TABLES) and not isinstance(hdu, fits.CompImageHDU)
    ]

    def absent(choice: int | str) -> Unreadable:
        try:
            hdus[choice]
        except (KeyError, IndexError):
            return Unreadable(f"{path} has no HDU {choice!r}; its HDUs are: {everything}")
        return Unreadable(f"HDU {choice!r} of {path} is no table; its HDUs are: {everything}")

    return Container(
        path,
        "hdu",
        [t for t in tables if t.name not in _HEADERS],
        none=f"{path} holds no table; its HDUs are: {everything}",
        absent=absent,
        number=len(hdus),
        aside=[t for t in tables if t.name in _HEADERS],
    )


def _open(content: str | IO[bytes]) -> fits.HDUList:
    return fits.open(content, memmap=isinstance(content, str), lazy_load_hdus=False)


def _table(path: str, number: int, hdu: Any, first: fits.Header) -> TableSource:
    place = f"HDU {number} {hdu.name}".rstrip()
    label = f"{path} [{place}]"
    units = {c.name: c.unit.strip() for c in hdu.columns if c.unit and c.unit.strip()}
    # Cards of the table itself before those of the file.
    cards = {c.keyword: c for header in (first, hdu.header) for c in header.cards if _says(c)}
    remarks = [str(line) for h in (first, hdu.header) for line in h.get("COMMENT", ())]
    columns = {str(name).lower() for name in hdu.columns.names}
    said = {k: v for k, v in stated_in_lines(remarks).items() if k.lower() not in columns}
    return TableSource(
        label,
        list(hdu.columns.names),
        lambda name: _column(hdu, name, label),
        units,
        place,
        number,
        hdu.name,
        int(hdu.header.get("NAXIS2", 0)),
        meta={**said, **{name: card.value for name, card in cards.items()}},
        notes={name: card.comment for name, card in cards.items() if card.comment},
    )


def _says(card: fits.Card) -> bool:
    """Whether a card has a value of its own, other than those of the format."""
    return card.keyword not in ("", "COMMENT", "HISTORY") and isinstance(
        card.value, (int, float, str)
    )


def _column(hdu: Any, name: str, label: str) -> np.ndarray:
    column = hdu.columns[name]
    raw = hdu.data.view(np.ndarray)[name]
    if isinstance(hdu, fits.TableHDU):
        values = np.asarray(hdu.data[name])
        null = str(column.null).strip() if column.null is not None else None
        return values if null is None else masked(values, np.char.strip(raw) == null.encode())
    kind = column.format.format  # one letter, without the repeat count
    if kind == "L":
        return _logical(raw, name, label)
    if raw.dtype.kind in "iu" and kind in "BIJK":
        return _whole(raw, column, name, label)
    values = np.asarray(hdu.data[name])
    if values.dtype.kind == "O" and kind in "PQ":
        raise Unreadable(
            f"column {name!r} of {label} holds a list of values a row, of different lengths; "
            "write one value a row"
        )
    return values


def _logical(raw: np.ndarray, name: str, label: str) -> np.ndarray:
    """Truth values; the byte 0 is an undefined one, which astropy takes for false."""
    true, undefined = raw == ord("T"), raw == 0
    if not np.all(true | undefined | (raw == ord("F"))):
        raise Unreadable(
            f"column {name!r} of {label} is logical (TFORM L) but holds bytes other than T, F and "
            "0 (undefined); write it as integers"
        )
    return masked(true, undefined)


def _whole(raw: np.ndarray, column: Any, name: str, label: str) -> np.ndarray:
    """Integers with TZERO applied in integers: decimal numbers would lose the last digits."""
    zero = column.bzero or 0
    undefined = np.zeros(raw.shape, bool) if column.null is None else raw == column.null
    scale = column.bscale or 1
    if scale != 1 or zero != int(zero):
        return masked(raw * float(scale) + float(zero), undefined)
    if int(zero) == 0:
        return masked(raw, undefined)
    if column.null is not None and not undefined.any():
        undefined = _astropys_null(raw, column, int(zero), name, label)
    low, high = int(raw.min(initial=0)) + int(zero), int(raw.max(initial=0)) + int(zero)
    unsigned = int(zero) == 2 ** (8 * raw.dtype.itemsize - 1) and raw.dtype.kind == "i"
    if unsigned:
        # The highest bit turned round, in the unsigned type of that width.
        dtype = np.dtype(f"u{raw.dtype.itemsize}")
        native = raw.astype(raw.dtype.newbyteorder("="))
        values = native.view(dtype) ^ dtype.type(int(zero))
    elif raw.dtype == np.uint8 and int(zero) == -128:
        values = (raw.astype(np.int16) - 128).astype(np.int8)
    elif low >= -(2**63) and high < 2**63 and abs(zero) < 2**63:
        values = raw.astype(np.int64) + np.int64(zero)
    else:
        raise Unreadable(
            f"column {name!r} of {label}, with TZERO = {zero}, goes beyond 64-bit integers"
        )
    return masked(values, undefined)


def _astropys_null(raw: np.ndarray, column: Any, zero: int, name: str, label: str) -> np.ndarray:
    """Entries equal to TNULL after TZERO is added, as astropy writes them."""
    stored = int(column.null) - zero
    if not np.iinfo(raw.dtype).min <= stored <= np.iinfo(raw.dtype).max:
        return np.zeros(raw.shape, dtype=bool)
    undefined = raw == stored
    count = int(np.count_nonzero(undefined))
    if count:
        warnings.warn(
            f"column {name!r} of {label} has {count} entries equal to its TNULL, {column.null}, "
            "after TZERO is added; they are taken as missing, as astropy writes them. "
            "Where they are values, delete TNULL from the header",
            stacklevel=2,
        )
    return undefined
