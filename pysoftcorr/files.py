"""Results in files: FITS, HDF5 and ECSV by suffix, written whole or not at all.

Every form holds the same three things: a header (JSON text: bins, names, settings, seed,
version), numbers per bin for each statistic, and its resamples. Covariances are written too,
for readers without this package; reading makes them again from the resamples.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from pysoftcorr import _formats
from pysoftcorr._correlation import Correlation
from pysoftcorr._correlation_set import CorrelationSet
from pysoftcorr.binning import Binning

Result = Correlation | CorrelationSet

FORMAT_VERSION = 1
_SUFFIXES = {
    ".fits": "fits",
    ".fits.gz": "fits",
    ".h5": "hdf5",
    ".hdf5": "hdf5",
    ".ecsv": "ecsv",
}
_HEADER_KEYS = ("name", "aleatoric_method", "aleatoric_factor", "settings", "seed", "version")


def check_output(path: str | PathLike[str], *, overwrite: bool = False) -> Path:
    """Find out whether a result could be written here, before the work that makes it.

    Raises
    ------
    ValueError
        If the suffix is none of .fits, .fits.gz, .h5, .hdf5, .ecsv.
    FileNotFoundError
        If the folder is not there.
    FileExistsError
        If the file is there and `overwrite` is not set.
    IsADirectoryError, NotADirectoryError, PermissionError, OSError
        If nothing can be written there for another reason.

    Examples
    --------
    >>> from pysoftcorr.files import check_output
    >>> check_output("result.txt")
    Traceback (most recent call last):
        ...
    ValueError: result.txt: unknown suffix; use .fits, .fits.gz, .h5, .hdf5 or .ecsv
    """
    target = Path(path).expanduser()
    _suffix(target)
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


def write_result(result: Result, path: str | PathLike[str], *, overwrite: bool = False) -> None:
    """Write a `Correlation` or a `CorrelationSet`; as `Correlation.write`."""
    if not isinstance(result, (Correlation, CorrelationSet)):
        raise TypeError(f"a result is needed, not {type(result).__name__}")
    target = check_output(path, overwrite=overwrite)
    header, members = _taken_apart(result)
    with whole_file(target, overwrite=overwrite) as temporary:
        _formats.WRITERS[_SUFFIXES[_suffix(target)]](temporary, header, members)


def read_result(path: str | PathLike[str]) -> Result:
    """Read a `Correlation` or a `CorrelationSet`, whichever the file holds.

    Raises
    ------
    FileNotFoundError
        If the file is not there.
    ValueError
        If its suffix is unknown, it was not written by pysoftcorr, or it is damaged.
    """
    source = Path(path).expanduser()
    if not source.exists():
        raise FileNotFoundError(f"no such result: {source}")
    if source.is_dir():
        raise ValueError(f"{source} is a folder; a result is one file")
    kind = _SUFFIXES[_suffix(source)]
    try:
        text, load = _formats.READERS[kind](source)
    except _formats.Foreign as error:
        raise ValueError(f"{source} holds no result written by pysoftcorr: {error}") from None
    try:
        return _put_together(json.loads(text), load)
    except _NewerFormat as error:
        raise ValueError(f"{source}: {error}") from None
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ValueError(f"{source} is damaged: {error}") from None


@contextmanager
def whole_file(target: Path, *, overwrite: bool) -> Iterator[Path]:
    """A temporary path beside `target`, of its suffix, that takes its place if all goes well.

    Whatever goes wrong within the block, `target` stays as it was and nothing else is left.
    """
    temporary = _temporary(target)
    try:
        yield temporary
        with open(temporary, "rb+") as stream:
            os.fsync(stream.fileno())
        _check_place(target, overwrite)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


class _NewerFormat(Exception):
    pass


def _suffix(path: Path) -> str:
    name = path.name.lower()
    for suffix in sorted(_SUFFIXES, key=len, reverse=True):
        if name.endswith(suffix) and name != suffix:
            return suffix
    raise ValueError(f"{path}: unknown suffix; use .fits, .fits.gz, .h5, .hdf5 or .ecsv")


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


# ---------------------------------------------------------------------- to and from plain parts
def _taken_apart(result: Result) -> tuple[str, dict[str, dict[str, np.ndarray]]]:
    """The header as JSON text, and the arrays of each member by name."""
    items = [result] if isinstance(result, Correlation) else list(result.values())
    header = {
        "format": "pysoftcorr result",
        "format_version": FORMAT_VERSION,
        "kind": type(result).__name__,
        "name": result.name,
        "bins": items[0].bins.to_dict(),
        "members": [{key: getattr(item, key) for key in _HEADER_KEYS} for item in items],
    }
    members = {}
    for item in items:
        arrays = {
            "theta_lo": np.array(item.bins.edges[:-1]),
            "theta_hi": np.array(item.bins.edges[1:]),
        }
        arrays |= {name: getattr(item, name) for name in _formats.PER_BIN}
        for name in (*_formats.RESAMPLES, *_formats.COVARIANCES):
            value = getattr(item, name)
            if value is not None:
                arrays[name] = value
        members[item.name] = arrays
    return json.dumps(header, indent=1), members


def _put_together(header: dict[str, Any], load: _formats.Load) -> Result:
    if header["format_version"] > FORMAT_VERSION:
        raise _NewerFormat(
            f"its format, {header['format_version']}, is newer than this pysoftcorr knows "
            f"({FORMAT_VERSION}); upgrade pysoftcorr"
        )
    bins = Binning.from_dict(header["bins"])
    items = []
    for member in header["members"]:
        arrays: dict[str, Any] = dict(load(member["name"], bins.nbins))
        items.append(Correlation(bins=bins, **arrays, **member))
    if header["kind"] == "Correlation":
        return items[0]
    return CorrelationSet(items, name=header["name"])
