"""Files written whole or not at all, and the header that says whose a file is."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from stat import S_ISBLK, S_ISCHR, S_ISFIFO, S_ISSOCK
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
from astropy.table import Table

from pysoftcorr.core.extras import MissingExtra
from pysoftcorr.core.options import shown
from pysoftcorr.core.sealed import (
    Damaged,
    check_hdf5,
    check_table,
    format_of_hdf5,
    seal_hdf5,
    seal_table,
)
from pysoftcorr.core.streams import hdf5_file

__all__ = [
    "HDF5", "FileFormat", "check_output", "fingerprint", "no_file", "suffix_of", "unwritten",
    "whole_file", "write_table",
]  # fmt: skip

#: Suffixes of HDF5 files.
HDF5 = (".h5", ".hdf5")


def suffix_of(path: Path, suffixes: Sequence[str]) -> str:
    """The suffix among `suffixes` that the path ends in; ValueError where it ends in none."""
    name = path.name.lower()
    for suffix in sorted(suffixes, key=len, reverse=True):
        if name.endswith(suffix) and name != suffix:
            return suffix
    *first, last = suffixes
    listed = f"{', '.join(first)} or {last}" if first else last
    raise ValueError(f"{path}: unknown suffix; use {listed}")


def check_output(
    path: str | PathLike[str], *, suffixes: Sequence[str] = (), overwrite: bool = False
) -> Path:
    """Find out whether a file could be written here, before the work that makes it.

    Parameters
    ----------
    path : path
    suffixes : sequence of str
        Those that are possible, in the order in which a message names them; any by default.
    overwrite : bool
        Whether a file that is there may be replaced.

    Raises
    ------
    TypeError
        If it is no path.
    ValueError
        If the suffix is none of `suffixes`.
    FileNotFoundError
        If the folder is not there.
    FileExistsError
        If the file is there and `overwrite` is not set.
    IsADirectoryError, NotADirectoryError, PermissionError, OSError
        If nothing can be written there for another reason.

    Examples
    --------
    >>> from pysoftcorr.core.files import check_output
    >>> check_output("halos.txt", suffixes=(".h5", ".hdf5"))
    Traceback (most recent call last):
        ...
    ValueError: halos.txt: unknown suffix; use .h5 or .hdf5
    """
    if not isinstance(path, (str, os.PathLike)):
        kind = type(path).__name__
        raise TypeError(f"out = {shown(path)}: must be the path of a file, not {kind}")
    target = Path(path).expanduser()
    if suffixes:
        suffix_of(target, suffixes)
    _check_place(target, overwrite)
    probe = _temporary(target)
    try:
        with open(probe, "xb"):
            pass
    except OSError as error:
        raise type(error)(
            error.errno, f"cannot write in {target.parent} ({error.strerror})", str(target)
        ) from None
    probe.unlink()
    return target


@contextmanager
def whole_file(target: Path, *, overwrite: bool) -> Iterator[Path]:
    """A temporary path beside `target`, of its suffix, that takes its place if all goes well.

    Whatever goes wrong within the block, `target` stays as it was and nothing else is left. HDF5 is
    written by `FileFormat.writing` or `pysoftcorr.core.streams.hdf5_file`: a full disk ends the
    process in h5py alone.

    Raises
    ------
    OSError
        If it cannot be written, as on a full disk: with the name of `target`.
    """
    temporary = _temporary(target)
    try:
        yield temporary
        with open(temporary, "rb+") as stream:
            os.fsync(stream.fileno())
        _check_place(target, overwrite)
        os.replace(temporary, target)
    except OSError as error:
        if error.filename not in (None, str(temporary), temporary):
            raise
        if error.errno is None and str(target) in str(error):
            raise  # of this module, in words
        raise unwritten(error, target) from None
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_table(table: Table, target: Path, *, overwrite: bool) -> None:
    """Write a table to ECSV with a checksum, whole or not at all; OSError as `whole_file`."""
    seal_table(table)
    with whole_file(target, overwrite=overwrite) as temporary:
        table.write(temporary, format="ascii.ecsv")


def unwritten(error: OSError, target: Path, hint: str = "") -> OSError:
    """What is said where a file could not be written for want of room, or a like reason."""
    why = error.strerror or str(error).splitlines()[0]
    kept = "; the file that is there is as it was" if target.exists() else ""
    made = type(error) if error.errno is not None else OSError
    return made(error.errno or errno.EIO, f"cannot write ({why}){hint or kept}", str(target))


def no_file(path: Path) -> str | None:
    """What a path is that is not to be opened and read, such as "a pipe"; None for a file."""
    mode = path.stat().st_mode
    return next((what for test, what in _NO_FILES.items() if test(mode)), None)


_NO_FILES = {S_ISFIFO: "a pipe", S_ISSOCK: "a socket", S_ISCHR: "a device", S_ISBLK: "a device"}


def fingerprint(*arrays: npt.ArrayLike) -> str:
    """Hash of the float64 values of arrays: 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for values in arrays:
        digest.update(np.ascontiguousarray(values, dtype=np.float64).tobytes())
    return digest.hexdigest()[:16]


def _check_place(target: Path, overwrite: bool) -> None:
    if not target.parent.exists():
        raise FileNotFoundError(f"cannot write {target}: there is no folder {target.parent}")
    if not target.parent.is_dir():
        raise NotADirectoryError(f"cannot write {target}: {target.parent} is not a folder")
    if target.is_dir():
        raise IsADirectoryError(f"cannot write {target}: it is a folder")
    if target.exists() and not overwrite:
        raise FileExistsError(f"{target} is there already; pass overwrite=True to replace it")


def _temporary(target: Path) -> Path:
    # The suffix is kept: the writers go by it, .gz among them.
    return target.with_name(f".{secrets.token_hex(8)}{''.join(target.suffixes)}")


class _Refused(ValueError):
    """What `FileFormat` itself finds wrong with a file: its message needs nothing added."""


@dataclass(frozen=True)
class FileFormat:
    """A kind of file of this package, and the header by which one is known.

    Attributes
    ----------
    name : str
        Kept in the file, such as "pysoftcorr galaxies".
    what : str
        What the file holds, for messages: "galaxy catalog".
    version : int
        The newest one that can be read.
    hint : str
        What to do about a file that cannot be read, at the end of its message.
    """

    name: str
    what: str
    version: int = 1
    hint: str = ""

    def header(self) -> dict[str, Any]:
        """Name and version, as they are written."""
        return {"format": self.name, "format_version": self.version}

    @contextmanager
    def writing(self, target: Path, *, overwrite: bool) -> Iterator[h5py.File]:
        """A new HDF5 file of this format, written whole, with checksums, at the end of the block.

        Raises
        ------
        OSError
            As `whole_file`.
        """
        with whole_file(target, overwrite=overwrite) as temporary:
            with hdf5_file(temporary) as file:
                file.attrs.update(self.header())
                yield file
            seal_hdf5(temporary, self.name)

    def check(self, source: Path, header: Mapping[str, Any]) -> None:
        """ValueError where the header is of another format, or of a newer version."""
        if header.get("format") != self.name:
            raise self.foreign(source)
        version = int(header["format_version"])
        if version > self.version:
            raise _Refused(
                f"{source}: its format, {version}, is newer than this pysoftcorr knows "
                f"({self.version}); upgrade pysoftcorr"
            )

    def foreign(self, source: Path, why: object = "") -> ValueError:
        """The error of a file that is none of ours."""
        reason = f": {why}" if why else ""
        return _Refused(f"{source} holds no {self.what} written by pysoftcorr{reason}{self.hint}")

    def existing(self, path: str | PathLike[str]) -> Path:
        """The path of a file that is there.

        Raises
        ------
        FileNotFoundError
            If there is none.
        ValueError
            If it is a folder.
        """
        source = Path(path).expanduser()
        if not source.exists():
            raise FileNotFoundError(f"no such {self.what}: {source}")
        if source.is_dir():
            raise ValueError(f"{source} is a folder; give the {self.what} file itself")
        other = no_file(source)
        if other:
            raise ValueError(f"{source} is {other}; give a file")
        return source

    def is_own(self, path: str | PathLike[str]) -> bool:
        """Whether the HDF5 file is of this format; raises as `reading` where it is damaged."""
        if Path(path).expanduser().is_dir():
            return False
        source = self.existing(path)
        if not h5py.is_hdf5(source):
            return False
        with self.damage(source):
            known = format_of_hdf5(source)
            if known is not None:
                return known == self.name
            with h5py.File(source, "r") as file:
                return bool(file.attrs.get("format") == self.name)

    @contextmanager
    def reading(self, path: str | PathLike[str]) -> Iterator[h5py.File]:
        """An HDF5 file of this format, open within the block, after its checksums are compared.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If it is a folder, of another format or a newer version, or damaged: whatever h5py,
            JSON or a class made of the content finds wrong within the block.
        """
        source = self.existing(path)
        with self.damage(source):
            sealed = check_hdf5(source)
            if not h5py.is_hdf5(source):
                raise self.foreign(source, "it is no HDF5 file")
            with h5py.File(source, "r") as file:
                self.check(source, file.attrs)
                if sealed is None:
                    raise Damaged(
                        "it has no checksums: it is cut short, was changed by another program, or "
                        "an early version wrote it"
                    )
                yield file

    def read_table(self, path: str | PathLike[str]) -> Table:
        """A table of `write_table` after its checksum is compared.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If it is a folder, no table written by pysoftcorr, or damaged.
        """
        source = self.existing(path)
        try:
            table = Table.read(source, format="ascii.ecsv")
        except Exception as error:  # astropy's readers raise of every kind, for one reason
            raise self.foreign(source, str(error).strip().split("\n")[0]) from None
        if "PYSOFTCORR" not in table.meta:
            raise self.foreign(source, "its meta data have no PYSOFTCORR")
        with self.damage(source):
            check_table(table)
        return table

    @contextmanager
    def damage(self, source: Path) -> Iterator[None]:
        """Turn what goes wrong while a file is read into a ValueError that names it."""
        try:
            yield
        except (_Refused, MissingExtra, MemoryError):
            raise
        except PermissionError as error:
            raise type(error)(error.errno, "cannot be read", str(source)) from None
        except Exception as error:  # libraries raise of every kind, for one reason
            why = str(error).strip() or type(error).__name__
            raise _Refused(f"{source} is damaged: {why.splitlines()[0]}{self.hint}") from None
