"""HDF5 and FITS written so that a full disk is an error: by themselves, the first ends the process
with a segmentation fault, and the second leaves a file that is cut short without a word.
"""

from __future__ import annotations

import gzip
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

import h5py
from astropy.io import fits

__all__ = ["hdf5_file", "hdf5_stream", "write_fits"]


class _Deferred(io.RawIOBase):
    """A file for the HDF5 library in which nothing ever fails: the first error is kept instead.

    Where a write fails while a file is closed, HDF5 leaves its objects half closed, and ends the
    process with a segmentation fault when it closes them again. What comes after an error goes
    nowhere.
    """

    def __init__(self, path: str | PathLike[str], new: bool) -> None:
        super().__init__()
        flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT | os.O_EXCL if new else 0)
        self._fd = os.open(path, flags, 0o666)
        self._place, self._size = 0, os.fstat(self._fd).st_size
        self.error: OSError | None = None

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence]
        self._place = base + offset
        return self._place

    def tell(self) -> int:
        return self._place

    def truncate(self, size: int | None = None, /) -> int:
        self._size = self._place if size is None else size
        if self.error is None:
            try:
                os.ftruncate(self._fd, self._size)
            except OSError as error:
                self.error = error
        return self._size

    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer).cast("B")
        got = 0
        while got < len(view):
            part = os.pread(self._fd, len(view) - got, self._place + got)
            if not part:
                view[got:] = bytes(len(view) - got)
                break
            view[got : got + len(part)] = part
            got += len(part)
        self._place += len(view)
        return len(view)

    def write(self, data: Any, /) -> int:
        view = memoryview(data).cast("B")
        written = 0
        while self.error is None and written < len(view):
            try:
                written += os.pwrite(self._fd, view[written:], self._place + written)
            except OSError as error:
                self.error = error
        self._place += len(view)
        self._size = max(self._size, self._place)
        return len(view)

    def close(self) -> None:
        if not self.closed:
            os.close(self._fd)
        super().close()


@contextmanager
def hdf5_stream(path: str | PathLike[str], *, new: bool = True) -> Iterator[Any]:
    """A stream that `h5py` and `h5netcdf` write a file through.

    Parameters
    ----------
    path : path
    new : bool
        Whether the file is made; otherwise it is there and is changed.

    Raises
    ------
    OSError
        At the end of the block, if anything could not be written, such as on a full disk.
    """
    stream = _Deferred(path, new)
    try:
        yield stream
    except Exception:
        # What HDF5 says of a file that is cut short follows from the first error.
        if stream.error is None:
            raise
    finally:
        stream.close()
    if stream.error is not None:
        raise stream.error


@contextmanager
def hdf5_file(path: str | PathLike[str], *, new: bool = True) -> Iterator[h5py.File]:
    """An HDF5 file to write to, new or there already; raises as `hdf5_stream`."""
    with hdf5_stream(path, new=new) as stream, h5py.File(stream, "w" if new else "r+") as file:
        yield file


def write_fits(hdus: fits.HDUList, path: str | PathLike[str]) -> None:
    """Write HDUs with their checksums, packed where the path ends in .gz; OSError if it cannot."""
    made = io.BytesIO()
    hdus.writeto(made, checksum=True)
    data = made.getbuffer()
    packed = os.fspath(path).lower().endswith(".gz")
    Path(path).write_bytes(gzip.compress(data, mtime=0) if packed else data)
