"""Results in files: FITS, HDF5, ECSV and SACC by suffix, written whole or not at all.

Every form holds the same three things: a header (JSON text: bins, names, settings, seed,
version), numbers per bin for each statistic, and its resamples. Covariances are written too,
for readers without this package; reading makes them again from the resamples. Files of SACC and
those with TreeCorr's columns hold the same beside what their readers look for.
"""

from __future__ import annotations

import io
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

from pysoftcorr.core.extras import need
from pysoftcorr.core.files import FileFormat, check_output, suffix_of, whole_file
from pysoftcorr.core.sealed import (
    Damaged,
    check_fits,
    check_hdf5,
    checksum,
    open_fits,
    seal_hdf5,
)
from pysoftcorr.core.streams import hdf5_file, write_fits

PER_BIN = ("theta", "logtheta", "value", "imag", "npairs", "weight", "varshot")
#: Complex numbers per bin that not every result has.
COMPLEX = ("all_pairs",)
RESAMPLES = ("epistemic", "aleatoric")
COVARIANCES = ("cov_epistemic", "cov_aleatoric")

FORMAT = FileFormat("pysoftcorr result", "result")
#: Forms by suffix.
FORMS = {
    ".fits": "fits",
    ".fits.gz": "fits",
    ".h5": "hdf5",
    ".hdf5": "hdf5",
    ".ecsv": "ecsv",
    ".sacc": "fits",
    ".sacc.fits": "fits",
}
#: Suffixes of result files.
SUFFIXES = tuple(FORMS)
#: Forms by suffix of files for other programs; "text" has nothing of ours.
PROGRAMS = {
    "sacc": {".sacc": "fits", ".sacc.fits": "fits", ".fits": "fits"},
    "treecorr": {
        ".fits": "fits",
        ".h5": "hdf5",
        ".hdf5": "hdf5",
        **dict.fromkeys((".txt", ".dat", ".out", ".asc"), "text"),
    },
}

Members = Mapping[str, Mapping[str, np.ndarray]]
#: Gives the arrays of a member, by its name and the number of bins.
Load = Callable[[str, int], dict[str, np.ndarray]]

#: Keyword of the files of this package.
MARK = "SOFTCORR"
# The names below part words by a dot, which no statistic has in its name.


class Foreign(Exception):
    """The file is not one of ours, or not in the form its suffix says."""


def checksums(members: Members) -> dict[str, dict[str, str]]:
    """Hash of each array that a result is made of, the same for every form of file."""
    return {
        name: {
            key: checksum(_canonical(arrays[key]))
            for key in (*PER_BIN, *COMPLEX, *RESAMPLES)
            if key in arrays
        }
        for name, arrays in members.items()
    }


def check_members(header: Mapping[str, Any], members: Members) -> None:
    """`Damaged` where an array is not what was written, by the header of its file."""
    found = checksums(members)
    for name, wanted in header["checksums"].items():
        for key, value in wanted.items():
            if found.get(name, {}).get(key) != value:
                raise Damaged(f"{name}, {key}: its checksum is not that of what was written")


def _canonical(values: np.ndarray) -> np.ndarray:
    """Real numbers with one NaN and one zero: text keeps neither their signs nor their bits."""
    wanted = np.complex128 if np.iscomplexobj(values) else np.float64
    numbers = np.ascontiguousarray(values, dtype=wanted).view(np.float64)
    return np.where(np.isnan(numbers), np.nan, numbers) + 0.0


# ---------------------------------------------------------------------- FITS
def _write_fits(path: Path, header: str, members: Members) -> None:
    primary = fits.PrimaryHDU()
    primary.header[MARK] = (1, "result of pysoftcorr; see HDU HEADER.JSON")
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
        columns += [
            fits.Column(name=key, format="M", array=arrays[key]) for key in COMPLEX if key in arrays
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
    write_fits(fits.HDUList(hdus), path)


def _read_fits(path: Path) -> tuple[str, Load]:
    try:
        with open_fits(path) as hdus:
            first = hdus[0]
            if MARK not in first.header:
                raise Foreign(_without_mark(first.header))
            check_fits(hdus)
            if first.data is None:
                return _content(hdus)
            # A SACC file, which carries ours as the data of its first HDU.
            with fits.open(io.BytesIO(first.data.tobytes())) as own:
                return _content(own)
    except (Foreign, Damaged):
        raise
    except Exception as error:  # of every kind, where a header is damaged
        raise Foreign(f"it cannot be read as FITS ({_first_line(error)})") from None


def _without_mark(header: fits.Header) -> str:
    if "SACCFVER" in header:
        return (
            "it is a SACC file that another program wrote, or wrote again; read it with "
            "sacc.Sacc.load_fits"
        )
    return f"its first header has no {MARK}"


def _content(hdus: fits.HDUList) -> tuple[str, Load]:
    text = "\n".join(str(line) for line in hdus["HEADER.JSON"].data["json"])
    tables = {
        h.name: {n: np.array(h.data[n]) for n in h.columns.names}
        for h in hdus
        if isinstance(h, fits.BinTableHDU)
    }

    def load(name: str, nbins: int) -> dict[str, np.ndarray]:
        table = tables[name.upper()]
        there = [key for key in COMPLEX if key in table]
        arrays = {key: _native(table[key]) for key in (*PER_BIN, *there)}
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
    with hdf5_file(path) as root:
        root.attrs[MARK] = 1
        # A dataset, not an attribute: attributes end at 64 kB.
        root.create_dataset("header.json", data=header)
        for name, arrays in members.items():
            group = root.create_group(name)
            for key, values in arrays.items():
                group.create_dataset(key, data=values)


def _read_hdf5(path: Path) -> tuple[str, Load]:
    check_hdf5(path)
    try:
        with h5py.File(path, "r") as root:
            if MARK not in root.attrs:
                raise Foreign(f"it has no attribute {MARK}")
            text = root["header.json"][()].decode()
            groups = {
                name: {key: item[...] for key, item in group.items()}
                for name, group in root.items()
                if isinstance(group, h5py.Group)
            }
    except Foreign:
        raise
    except Exception as error:  # of every kind, where the file is damaged
        raise Foreign(f"it cannot be read as HDF5 ({_first_line(error)})") from None

    def load(name: str, nbins: int) -> dict[str, np.ndarray]:
        group = groups[name]
        there = [key for key in (*COMPLEX, *RESAMPLES) if key in group]
        return {key: group[key] for key in (*PER_BIN, *there)}

    return text, load


# ---------------------------------------------------------------------- ECSV
def _write_ecsv(path: Path, header: str, members: Members) -> None:
    """One row a bin; resamples and covariances are columns of several numbers a row."""
    table = Table()
    for name, arrays in members.items():
        for key, values in arrays.items():
            if key in RESAMPLES or key in COMPLEX:
                # ECSV has no complex numbers.
                table[f"{name}.{key}_real"] = np.ascontiguousarray(values.real.T)
                table[f"{name}.{key}_imag"] = np.ascontiguousarray(values.imag.T)
            else:
                table[f"{name}.{key}"] = values
    table.meta[MARK] = header
    table.write(path, format="ascii.ecsv")


def _read_ecsv(path: Path) -> tuple[str, Load]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", u.UnitsWarning)
            table = Table.read(path, format="ascii.ecsv")
    except Exception as error:  # astropy's readers raise of every kind, for one reason
        raise Foreign(f"it cannot be read as ECSV ({_first_line(error)})") from None
    if MARK not in table.meta:
        raise Foreign(f"its header has no {MARK}")

    def load(name: str, nbins: int) -> dict[str, np.ndarray]:
        arrays = {key: _numbers(table[f"{name}.{key}"]) for key in PER_BIN}
        for key in (*COMPLEX, *RESAMPLES):
            if f"{name}.{key}_real" in table.colnames:
                real = _numbers(table[f"{name}.{key}_real"]).reshape(nbins, -1)
                imag = _numbers(table[f"{name}.{key}_imag"]).reshape(nbins, -1)
                values = np.empty(real.T.shape, dtype=np.complex128)
                # By parts: NaN in one would spread to the other in real + 1j imag.
                values.real, values.imag = real.T, imag.T
                arrays[key] = values[0] if key in COMPLEX else values
        return arrays

    return str(table.meta[MARK]), load


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


def program(path: str | PathLike[str], form: str | None) -> str | None:
    """The program that the file is for: "sacc", "treecorr" or None; ValueError for another."""
    if form is None:
        suffix = suffix_of(Path(path), SUFFIXES)
        return "sacc" if suffix in (".sacc", ".sacc.fits") else None
    if form not in PROGRAMS:
        raise ValueError(
            f"format = {form!r}: must be 'sacc' or 'treecorr'; FITS, HDF5 and ECSV go by suffix"
        )
    return form


def check(path: str | PathLike[str], *, format: str | None = None, overwrite: bool = False) -> Path:
    """Find out whether a result could be written here, before the work that makes it.

    Parameters
    ----------
    path : path
    format : {"sacc", "treecorr"}, optional
        As `pysoftcorr.sky.result.Correlation.write`.
    overwrite : bool
        Whether a file that is there may be replaced.

    Raises
    ------
    ValueError, OSError
        As `pysoftcorr.core.files.check_output`; or the format is another.
    MissingExtra
        If a SACC file is wanted and the package ``sacc`` is not installed.
    """
    made_for = program(path, format)
    if made_for == "sacc":
        need("sacc", "a SACC file", extra="sacc")
    forms = FORMS if made_for is None else PROGRAMS[made_for]
    return check_output(path, suffixes=tuple(forms), overwrite=overwrite)


def write(
    path: str | PathLike[str],
    header: Mapping[str, Any],
    members: Members,
    *,
    overwrite: bool = False,
    program: str | None = None,
    wrap: Callable[[Path], None] | None = None,
) -> None:
    """Write a header and the arrays of each member in the form that the suffix says.

    Parameters
    ----------
    path : path
    header : mapping
    members : mapping of str to mapping of str to ndarray
    overwrite : bool
    program : {"sacc", "treecorr"}, optional
        Whose file it is.
    wrap : callable, optional
        Makes our file, at a path, into the one of the program, which holds ours besides.

    Raises
    ------
    ValueError, OSError
        As `pysoftcorr.core.files.check_output`.
    """
    suffixes = FORMS if program is None else PROGRAMS[program]
    target = check_output(path, suffixes=tuple(suffixes), overwrite=overwrite)
    whole = {**FORMAT.header(), "checksums": checksums(members), **header}
    text = json.dumps({**whole, "checksum": _of_header(whole)}, indent=1)
    form = suffixes[suffix_of(target, tuple(suffixes))]
    with whole_file(target, overwrite=overwrite) as temporary:
        if form != "text":
            _WRITERS[form](temporary, text, members)
        if wrap is not None:
            wrap(temporary)
        if form == "hdf5":
            seal_hdf5(temporary, FORMAT.name)


def _of_header(header: Mapping[str, Any]) -> str:
    return checksum(json.loads(json.dumps(header)))


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
    with FORMAT.damage(source):
        try:
            text, load = _READERS[FORMS[suffix_of(source, SUFFIXES)]](source)
        except Foreign as error:
            raise FORMAT.foreign(source, error) from None
        header = json.loads(text)
        FORMAT.check(source, header)
        if header.pop("checksum", None) != _of_header(header):
            raise Damaged("its header: the checksum is not that of what was written")
    return source, header, load
