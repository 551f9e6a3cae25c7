"""Checksums of what a file holds, written with it and compared when it is read.

Files of HDF5 have theirs behind the last byte of HDF5, where other programs do not look: one for
each dataset, and for what is between. They are compared before HDF5 sees the file, which can
end the process where it meets a damaged one. FITS has its own (``CHECKSUM``, ``DATASUM``), and a
table one of its columns and meta data.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import IO, Any

import h5py
import numpy as np
from astropy.io import fits
from astropy.table import Table

__all__ = ["CHECKSUM", "Damaged", "check_fits", "check_hdf5", "check_table", "checksum",
           "format_of_hdf5", "open_fits", "seal_hdf5", "seal_table"]  # fmt: skip

#: Name of the meta entry of a table.
CHECKSUM = "checksum"
_BLOCK = 2**24  # bytes at a time
#: The last bytes of a file, after the list of checksums, the checksum of that list and its length.
_MAGIC = b"\npysoftcorr checksums 1\n"
_DIGITS = 12
_MOST_CHUNKS = 10_000


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
def seal_hdf5(path: str | PathLike[str], kind: str) -> None:
    """Write the checksums behind a finished HDF5 file, in the place of those that are there.

    Parameters
    ----------
    path : path
    kind : str
        The format of the file, which `check_hdf5` gives back.

    Raises
    ------
    OSError
        If they cannot be written.
    """
    with open(path, "rb+") as stream:
        end = _read_list(stream)[1]
        with h5py.File(path, "r") as file:
            extents = sorted(_extents(file))
        parts: list[tuple[str, int, int]] = []
        start = 0
        for low, high, dataset in [*extents, (end, end, "")]:
            # Of two datasets at one place, which HDF5 does not make, the second is left out.
            if low >= start:
                parts += [("", start, low), (dataset, low, high)]
                start = high
        listed = [(*part, _of_bytes(stream, *part[1:])) for part in parts if part[1] < part[2]]
        text = json.dumps({"format": kind, "parts": listed}).encode()
        stream.seek(end)
        stream.write(text + checksum(text).encode() + b"%0*d" % (_DIGITS, len(text)) + _MAGIC)
        stream.truncate()


def check_hdf5(path: str | PathLike[str]) -> str | None:
    """The format that `seal_hdf5` was told; None where a file has no checksums.

    Raises
    ------
    Damaged
        If a dataset, or what is between, is not what was written.
    """
    with open(path, "rb") as stream:
        listed, end = _read_list(stream)
        if listed is None:
            return None
        for name, low, high, wanted in listed["parts"]:
            if high > end or _of_bytes(stream, low, high) != wanted:
                what = f"dataset {name}" if name else "its structure"
                raise Damaged(f"{what}: the checksum is not that of what was written")
        return str(listed["format"])


def format_of_hdf5(path: str | PathLike[str]) -> str | None:
    """Name of the format of a file with checksums, None without; its content is not compared."""
    with open(path, "rb") as stream:
        listed = _read_list(stream)[0]
        return None if listed is None else str(listed["format"])


def _read_list(stream: IO[bytes]) -> tuple[dict[str, Any] | None, int]:
    """The list of checksums, and where the file of HDF5 before it ends."""
    end = stream.seek(0, 2)
    last = 32 + _DIGITS + len(_MAGIC)
    stream.seek(max(0, end - last))
    tail = stream.read()
    if len(tail) < last or not tail.endswith(_MAGIC):
        return None, end
    digits = tail[32 : 32 + _DIGITS]
    start = end - last - int(digits) if digits.isdigit() else -1
    text = b""
    if start >= 0:
        stream.seek(start)
        text = stream.read(int(digits))
    if checksum(text).encode() != tail[:32]:
        raise Damaged("its list of checksums is not what was written")
    return json.loads(text), start


def _extents(file: h5py.File) -> list[tuple[int, int, str]]:
    """First and last byte of the numbers of each dataset."""
    found: list[tuple[int, int, str]] = []

    def gather(name: str, item: Any) -> None:
        if not isinstance(item, h5py.Dataset):
            return
        start = item.id.get_offset()
        if start is not None:
            found.append((start, start + item.id.get_storage_size(), name))
        elif item.chunks is not None and item.id.get_num_chunks() <= _MOST_CHUNKS:
            for k in range(item.id.get_num_chunks()):
                chunk = item.id.get_chunk_info(k)
                found.append((chunk.byte_offset, chunk.byte_offset + chunk.size, name))

    file.visititems(gather)
    return found


def _of_bytes(stream: IO[bytes], start: int, end: int) -> str:
    digest = hashlib.blake2b(digest_size=16)
    stream.seek(start)
    while start < end:
        data = stream.read(min(_BLOCK, end - start))
        if not data:
            break
        digest.update(data)
        start += len(data)
    return digest.hexdigest()


# ---------------------------------------------------------------------- FITS
def open_fits(path: str | PathLike[str]) -> fits.HDUList:
    """A FITS file of ours, whole in memory: a packed one unpacked, by its own checksum, first.

    What a damaged packed header says of the size of the data would be looked for without an end.
    """
    data = Path(path).read_bytes()
    if data.startswith(b"\x1f\x8b"):
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise Damaged(f"it cannot be unpacked ({error})") from None
    return fits.open(io.BytesIO(data), memmap=False)


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
