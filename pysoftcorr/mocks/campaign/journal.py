"""The journal of an unfinished campaign, to which finished rows are appended one by one.

A header (a magic line and the settings as a line of JSON), then records of one length, each with
its CRC-32. A record that a kill has cut short is the last one, is known by its length or its
checksum, and is cut off when the campaign resumes: no row is lost but the one being written, and
none is there twice. A row before others that is damaged is passed over, and done again.

SQLite would survive kills as well, and was tried. But a database cut short by a full or failing
disk loses every row, where a journal of records loses the last; a flipped bit in a row is read as
another number, where a checksum finds it; and the locks it relies on do not hold on many network
file systems of clusters.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import zlib
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr.core.cautions import caution

__all__ = ["DamagedJournal", "Journal", "difference", "journal_path", "read_settings"]

_MAGIC = b"pysoftcorr campaign journal 1\n"
_CHECK_BYTES = 4


class DamagedJournal(ValueError):
    """A journal of this package whose settings cannot be read."""


def journal_path(out: Path) -> Path:
    """Where the finished rows of an unfinished campaign are."""
    return out.with_name(out.name + ".part")


def read_settings(path: Path) -> dict[str, Any] | None:
    """Settings of a journal; None where there is none or it ends within its header.

    Raises
    ------
    ValueError
        If the file is no journal.
    """
    try:
        with open(path, "rb") as stream:
            return _header(stream.read(len(_MAGIC)), stream.readline(), path)[0]
    except FileNotFoundError:
        return None


def _header(magic: bytes, line: bytes, path: Path) -> tuple[dict[str, Any] | None, int]:
    if not _MAGIC.startswith(magic):
        raise ValueError(
            f"{path} is there and no journal of a campaign: move it away, or choose another out"
        )
    if not line.endswith(b"\n"):
        return None, 0
    try:
        return dict(json.loads(line)), len(magic) + len(line)
    except (TypeError, ValueError):
        raise DamagedJournal(
            f"{path} is damaged: its settings cannot be read; pass overwrite=True to restart, or "
            "move it away"
        ) from None


def difference(wanted: dict[str, Any], there: dict[str, Any]) -> str | None:
    """The first setting that differs, in words; None where all are the same."""
    for name in dict.fromkeys((*wanted, *there)):
        ours, theirs = wanted.get(name), there.get(name)
        if ours == theirs:
            continue
        if isinstance(ours, dict) and isinstance(theirs, dict):
            inner = difference(ours, theirs)
            return f"{name}: {inner}"
        return f"{name} = {_short(ours)} here and {_short(theirs)} there"
    return None


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


class Journal:
    """Opened for one process at a time; a context manager.

    Parameters
    ----------
    path : Path
    settings : dict
        Written into a new journal; must be those of one that is there.
    dtype : dtype
        Type of a record.

    Attributes
    ----------
    done : set of int
        Rows that are finished.

    Raises
    ------
    ValueError
        If the journal there is of other settings, or the file is none.
    BlockingIOError
        If another process is at work on it.
    OSError
        If it cannot be written.
    """

    def __init__(self, path: Path, settings: dict[str, Any], dtype: np.dtype[Any]) -> None:
        self.path, self.dtype = path, dtype
        self._size = dtype.itemsize + _CHECK_BYTES
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise type(error)(error.errno, "cannot write there", str(path)) from None
        try:
            self._lock()
            self._open(settings)
        except BaseException:
            os.close(self._fd)
            raise

    def _lock(self) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BlockingIOError(
                errno.EAGAIN, "another process is at work on this campaign", str(self.path)
            ) from None
        except OSError as error:
            # Some network file systems have no locks: then the user alone keeps watch.
            if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
                raise

    def _open(self, settings: dict[str, Any]) -> None:
        with open(self.path, "rb") as stream:
            there, self._start = _header(stream.read(len(_MAGIC)), stream.readline(), self.path)
        if there is None:
            os.ftruncate(self._fd, 0)
            header = _MAGIC + json.dumps(settings).encode() + b"\n"
            self._end = 0
            self._write(header)
            self._start = len(header)
        else:
            other = difference(settings, there)
            if other is not None:
                raise ValueError(
                    f"the unfinished campaign {self.path} has other settings: {other}; give the "
                    "same settings to resume it, another out, or overwrite=True to restart"
                )
        good = self._checked()
        # What a kill has cut short is at the end; a damaged row before others is done again.
        whole = int(np.flatnonzero(good)[-1]) + 1 if good.any() else 0
        self._bad = np.flatnonzero(~good[:whole])
        if self._bad.size:
            rows = "a row" if self._bad.size == 1 else f"{self._bad.size} rows"
            caution(f"{self.path}: {rows} of {whole} damaged on the disk; done again")
        self._end = self._start + whole * self._size
        os.ftruncate(self._fd, self._end)
        self.done = {int(row) for row in self.records()["row"]}

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Bring what was written to the disk, and let others at the file."""
        if self._fd >= 0:
            try:
                os.fsync(self._fd)
            finally:
                os.close(self._fd)
                self._fd = -1

    def _raw(self) -> npt.NDArray[Any]:
        """Records with their checksums, read from the file as they are asked for."""
        dtype = np.dtype([("record", self.dtype), ("check", "<u4")])
        count = (os.fstat(self._fd).st_size - self._start) // self._size
        if not count:
            return np.zeros(0, dtype)
        return np.memmap(self.path, dtype, "r", self._start, (count,))

    def _checked(self) -> npt.NDArray[np.bool_]:
        return np.array(
            [zlib.crc32(e["record"].tobytes()) == int(e["check"]) for e in self._raw()], dtype=bool
        )

    def records(self) -> npt.NDArray[Any]:
        """Every finished row, in the order in which they were finished."""
        found = self._raw()["record"]
        return np.delete(found, self._bad) if self._bad.size else found

    def append(self, record: bytes) -> None:
        """Add a row.

        Raises
        ------
        OSError
            If it cannot be written; the rows before it stay.
        ValueError
            If the row is there already.
        """
        row = int(np.frombuffer(record, self.dtype)["row"][0])
        if row in self.done:
            raise ValueError(f"row {row} is in {self.path} already")
        self._write(record + zlib.crc32(record).to_bytes(_CHECK_BYTES, "little"))
        self.done.add(row)

    def _write(self, data: bytes) -> None:
        written = 0
        try:
            while written < len(data):
                written += os.pwrite(self._fd, data[written:], self._end + written)
        except OSError as error:
            os.ftruncate(self._fd, self._end)
            raise type(error)(
                error.errno,
                f"cannot write ({error.strerror}); finished rows are kept: make room and give the "
                "same command again",
                str(self.path),
            ) from None
        self._end += len(data)
