"""Checksums of what a file holds, written with it and compared when it is read.

Of HDF5, each dataset has that of its numbers and attributes, and each group that of its own
attributes and of everything in it: a flipped byte is found, and the dataset named. FITS has its own
(``CHECKSUM``, ``DATASUM``), and a table one of its columns and meta data.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np
from astropy.io import fits
from astropy.table import Table

__all__ = ["Damaged", "check_fits", "check_hdf5", "check_table", "checksum", "seal_hdf5",
           "seal_table"]  # fmt: skip

#: Name of the attribute, and of the meta entry of a table.
CHECKSUM = "checksum"
#: References between variables of netCDF: addresses within a file, which a copy changes.
_ADDRESSES = ("DIMENSION_LIST", "REFERENCE_LIST")
_BLOCK = 2**24  # bytes at a time
#: Deflate makes no more of a byte.
_PACKED_AT_MOST = 1032


class Damaged(ValueError):
    """A part of a file is not what was written; the message begins with what it is."""


def checksum(*parts: Any) -> str:
    """Hash of texts, bytes, arrays and plain data (as JSON has them): 32 hexadecimal digits."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        _feed(digest, part)
    return digest.hexdigest()


def _feed(digest: Any, value: Any) -> None:
    if isinstance(value, (dict, list, tuple)):
        value = json.dumps(value, sort_keys=True)
    if isinstance(value, (str, bytes)):
        data = value.encode() if isinstance(value, str) else value
        digest.update(b"%d:" % len(data) + data)
        return
    array = np.asarray(value)
    digest.update(f"{array.dtype.str}{array.shape};".encode())
    if array.dtype.kind in "OU":
        for each in array.ravel():
            _feed(digest, each if isinstance(each, bytes) else str(each))
    else:
        digest.update(np.ascontiguousarray(array).tobytes())


# ---------------------------------------------------------------------- HDF5
def seal_hdf5(file: h5py.File) -> None:
    """Write the checksum of every dataset and group; the last thing that is done to a file."""
    _walk(file, set(), write=True)


def check_hdf5(file: h5py.File) -> None:
    """`Damaged` where a dataset, or what a group holds, is not what was written."""
    if CHECKSUM not in file.attrs:
        raise Damaged("it has no checksum, which files of early versions lack: write it again")
    _walk(file, set(), write=False)


def _walk(item: Any, seen: set[Any], *, write: bool) -> str:
    place = h5py.h5o.get_info(item.id)
    if (place.fileno, place.addr) in seen:
        raise Damaged(f"{item.name}: it is in the file twice")
    seen.add((place.fileno, place.addr))
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(item.attrs):
        if name != CHECKSUM and name not in _ADDRESSES:
            _feed(digest, name)
            _feed(digest, _attribute(item.attrs[name]))
    if isinstance(item, h5py.Dataset):
        _feed_dataset(digest, item)
    else:
        for name in sorted(item):
            _feed(digest, name)
            _feed(digest, _walk(item[name], seen, write=write))
    found = digest.hexdigest()
    if write:
        item.attrs[CHECKSUM] = found
    elif item.attrs.get(CHECKSUM) != found:
        what = "dataset" if isinstance(item, h5py.Dataset) else "group"
        raise Damaged(f"{what} {item.name}: its checksum is not that of what was written")
    return found


def _attribute(value: Any) -> Any:
    return "" if isinstance(value, h5py.Empty) else value


def _feed_dataset(digest: Any, item: h5py.Dataset) -> None:
    _feed(digest, f"{item.dtype.str}{item.shape}")
    if item.shape is None:
        return
    if not item.shape:
        _feed(digest, item[()])
        return
    row = max(1, item.dtype.itemsize * math.prod(item.shape[1:]))
    if row * item.shape[0] > _PACKED_AT_MOST * item.id.get_storage_size() + _BLOCK:
        raise Damaged(f"dataset {item.name}: its shape, {item.shape}, is more than the file holds")
    rows = max(1, _BLOCK // row)
    for start in range(0, item.shape[0], rows):
        _feed(digest, item[start : start + rows])


# ---------------------------------------------------------------------- FITS
def check_fits(hdus: fits.HDUList) -> None:
    """`Damaged` where an HDU lacks its checksums or is not what was written."""
    for number, hdu in enumerate(hdus):
        if hdu.verify_datasum() != 1 or hdu.verify_checksum() != 1:
            name = f"HDU {number} {hdu.name}".rstrip()
            raise Damaged(f"{name}: its checksum is not that of what was written")


# ---------------------------------------------------------------------- tables of text
def seal_table(table: Table) -> None:
    """Write the checksum of columns and meta data into the meta data."""
    table.meta[CHECKSUM] = _of_table(table, table.meta)


def check_table(table: Table) -> None:
    """`Damaged` where columns or meta data are not what was written."""
    if table.meta.pop(CHECKSUM, None) != _of_table(table, table.meta):
        raise Damaged("its numbers: their checksum is not that of what was written")


def _of_table(table: Table, meta: Mapping[str, Any]) -> str:
    rest = {key: value for key, value in meta.items() if key != CHECKSUM}
    parts: list[Any] = [json.dumps(rest, sort_keys=True, default=str)]
    for name in table.colnames:
        values = np.ma.filled(np.ma.asarray(table[name]), np.nan) if _masked(table[name]) else (
            np.asarray(table[name]))  # fmt: skip
        if values.dtype.kind == "f":
            # Text keeps neither the bits of NaN nor the sign of zero.
            values = np.where(np.isnan(values), np.nan, values) + 0.0
        parts += [name, str(table[name].unit or ""), values]
    return checksum(*parts)


def _masked(column: Any) -> bool:
    return bool(np.any(getattr(column, "mask", False)))
