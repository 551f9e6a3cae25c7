"""Results in files: FITS, HDF5 and ECSV by suffix, written whole or not at all.

Every form holds the same three things: a header (JSON text: bins, names, settings, seed,
version), numbers per bin for each statistic, and its resamples. Covariances are written too,
for readers without this package; reading makes them again from the resamples.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import astropy.units as u
import h5py
import numpy as np
from astropy.io import fits
from astropy.table import Table

from pysoftcorr.core.files import FileFormat, check_output, suffix_of, whole_file

PER_BIN = ("theta", "logtheta", "value", "imag", "npairs", "weight", "varshot")
RESAMPLES = ("epistemic", "aleatoric", "all_pairs")
COVARIANCES = ("cov_epistemic", "cov_aleatoric")

FORMAT = FileFormat("pysoftcorr result", "result")
_SUFFIXES = {
    ".fits": "fits",
    ".fits.gz": "fits",
    ".h5": "hdf5",
    ".hdf5": "hdf5",
    ".ecsv": "ecsv",
}
#: Suffixes of result files.
SUFFIXES = tuple(_SUFFIXES)

Members = Mapping[str, Mapping[str, np.ndarray]]
#: Gives the arrays of a member, by its name and the number of bins.
Load = Callable[[str, int], dict[str, np.ndarray]]

_MARK = "SOFTCORR"
# The names below part words by a dot, which no statistic has in its name.


class Foreign(Exception):
    """The file is not one of ours, or not in the form its suffix says."""


# ---------------------------------------------------------------------- FITS
def _write_fits(path: Path, header: str, members: Members) -> None:
    primary = fits.PrimaryHDU()
    primary.header[_MARK] = (1, "result of pysoftcorr; see HDU HEADER.JSON")
    # Lines of JSON, each its own row: they hold no line breaks and end in no space.
    lines = header.splitlines()
    width = max(map(len, lines))
    text = fits.Column(name="json", format=f"{width}A", array=np.array(lines, dtype=f"S{width}"))
    hdus = [primary, fits.BinTableHDU.from_columns([text], name="HEADER.JSON")]
    for name, arrays in members.items():
        columns = [
            fits.Column(name=key, format="D", array=arrays[key])
            for key in ("theta_lo", "theta_hi", *PER_BIN)
        ]
        hdus.append(fits.BinTableHDU.from_columns(columns, name=name))
        for key in RESAMPLES:
            if key in arrays:
                values = arrays[key]
                column = fits.Column(name=key, format=f"{values.shape[1]}M", array=values)
                hdus.append(fits.BinTableHDU.from_columns([column], name=f"{name}.{key}"))
        for key in COVARIANCES:
            if key in arrays:
                hdus.append(fits.ImageHDU(arrays[key], name=f"{name}.{key}"))
    fits.HDUList(hdus).writeto(path)


def _read_fits(path: Path) -> tuple[str, Load]:
    try:
        with fits.open(path, memmap=False) as hdus:
            if _MARK not in hdus[0].header:
                raise Foreign(f"its first header has no {_MARK}")
            text = "\n".join(str(line) for line in hdus["HEADER.JSON"].data["json"])
            tables = {
                h.name: {n: np.array(h.data[n]) for n in h.columns.names}
                for h in hdus
                if isinstance(h, fits.BinTableHDU)
            }
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise Foreign(f"it cannot be read as FITS ({error})") from None

    def load(name: str, nbins: int) -> dict[str, np.ndarray]:
        table = tables[name.upper()]
        arrays = {key: _native(table[key]) for key in PER_BIN}
        for key in RESAMPLES:
            extension = f"{name}.{key}".upper()
            if extension in tables:
                arrays[key] = _native(tables[extension][key]).reshape(-1, nbins)
        return arrays

    return text, load


def _native(values: np.ndarray) -> np.ndarray:
    """FITS is big-endian whatever the machine."""
    return values.astype(values.dtype.newbyteorder("="))


# ---------------------------------------------------------------------- HDF5
def _write_hdf5(path: Path, header: str, members: Members) -> None:
    with h5py.File(path, "x") as root:
        root.attrs[_MARK] = 1
        # A dataset, not an attribute: attributes end at 64 kB.
        root.create_dataset("header.json", data=header)
        for name, arrays in members.items():
            group = root.create_group(name)
            for key, values in arrays.items():
                group.create_dataset(key, data=values)


def _read_hdf5(path: Path) -> tuple[str, Load]:
    try:
        with h5py.File(path, "r") as root:
            if _MARK not in root.attrs:
                raise Foreign(f"it has no attribute {_MARK}")
            text = root["header.json"][()].decode()
            groups = {
                name: {key: item[...] for key, item in group.items()}
                for name, group in root.items()
                if isinstance(group, h5py.Group)
            }
    except (OSError, KeyError) as error:
        raise Foreign(f"it cannot be read as HDF5 ({error})") from None

    def load(name: str, nbins: int) -> dict[str, np.ndarray]:
        group = groups[name]
        there = [key for key in RESAMPLES if key in group]
        return {key: group[key] for key in (*PER_BIN, *there)}

    return text, load


# ---------------------------------------------------------------------- ECSV
def _write_ecsv(path: Path, header: str, members: Members) -> None:
    """One row a bin; resamples and covariances are columns of several numbers a row."""
    table = Table()
    for name, arrays in members.items():
        for key, values in arrays.items():
            if key in RESAMPLES:
                # ECSV has no complex numbers.
                table[f"{name}.{key}_real"] = np.ascontiguousarray(values.real.T)
                table[f"{name}.{key}_imag"] = np.ascontiguousarray(values.imag.T)
            else:
                table[f"{name}.{key}"] = values
    table.meta[_MARK] = header
    table.write(path, format="ascii.ecsv")


def _read_ecsv(path: Path) -> tuple[str, Load]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", u.UnitsWarning)
            table = Table.read(path, format="ascii.ecsv")
    except Exception as error:  # astropy's readers raise of every kind, for one reason
        raise Foreign(f"it cannot be read as ECSV ({_first_line(error)})") from None
    if _MARK not in table.meta:
        raise Foreign(f"its header has no {_MARK}")

    def load(name: str, nbins: int) -> dict[str, np.ndarray]:
        arrays = {key: _numbers(table[f"{name}.{key}"]) for key in PER_BIN}
        for key in RESAMPLES:
            if f"{name}.{key}_real" in table.colnames:
                real = _numbers(table[f"{name}.{key}_real"]).reshape(nbins, -1)
                imag = _numbers(table[f"{name}.{key}_imag"]).reshape(nbins, -1)
                resamples = np.empty(real.T.shape, dtype=np.complex128)
                # By parts: NaN in one would spread to the other in real + 1j imag.
                resamples.real, resamples.imag = real.T, imag.T
                arrays[key] = resamples
        return arrays

    return str(table.meta[_MARK]), load


def _numbers(column: Any) -> np.ndarray:
    return np.ma.filled(np.ma.asarray(column, dtype=np.float64), np.nan)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


_WRITERS: dict[str, Callable[[Path, str, Members], None]] = {
    "fits": _write_fits,
    "hdf5": _write_hdf5,
    "ecsv": _write_ecsv,
}
_READERS: dict[str, Callable[[Path], tuple[str, Load]]] = {
    "fits": _read_fits,
    "hdf5": _read_hdf5,
    "ecsv": _read_ecsv,
}


def write(
    path: str | PathLike[str],
    header: Mapping[str, Any],
    members: Members,
    *,
    overwrite: bool = False,
) -> None:
    """Write a header and the arrays of each member in the form that the suffix says.

    Raises
    ------
    ValueError, OSError
        As `pysoftcorr.core.files.check_output`.
    """
    target = check_output(path, suffixes=SUFFIXES, overwrite=overwrite)
    text = json.dumps(FORMAT.header() | dict(header), indent=1)
    with whole_file(target, overwrite=overwrite) as temporary:
        _WRITERS[_SUFFIXES[suffix_of(target, SUFFIXES)]](temporary, text, members)


def read(path: str | PathLike[str]) -> tuple[Path, dict[str, Any], Load]:
    """The path, the header, and what gives the arrays of a member.

    Raises
    ------
    FileNotFoundError
        If the file is not there.
    ValueError
        If its suffix is unknown, it was not written by pysoftcorr, or its format is newer.
    """
    source = FORMAT.existing(path)
    try:
        text, load = _READERS[_SUFFIXES[suffix_of(source, SUFFIXES)]](source)
    except Foreign as error:
        raise FORMAT.foreign(source, error) from None
    with FORMAT.damage(source):
        header = json.loads(text)
        FORMAT.check(source, header)
    return source, header, load
