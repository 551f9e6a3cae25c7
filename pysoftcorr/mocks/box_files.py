"""Files of correlations in a box: ECSV, HDF5, and CSV for other programs."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import fields
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import numpy.typing as npt
from astropy.table import Table

from pysoftcorr.core.files import HDF5, FileFormat, check_output, suffix_of, whole_file, write_table
from pysoftcorr.mocks.box_errors import STATISTICS

if TYPE_CHECKING:
    from pysoftcorr.mocks.box_result import BoxCorrelations

FORMAT = FileFormat("pysoftcorr correlations in a box", "correlations in a box")
SUFFIXES = (".ecsv", *HDF5, ".csv")

_RECORD = ("settings", "version")
_NOTES = ("resampling", "realizations")


def plain(values: npt.NDArray[Any]) -> list[Any]:
    """Lists of numbers as JSON can hold them: NaN is None."""
    if values.ndim > 1:
        return [plain(row) for row in values]
    return [None if v != v else v for v in values.tolist()]


def to_table(result: BoxCorrelations) -> Table:
    """One row a bin; see `BoxCorrelations.to_table`."""
    table = Table()
    table["r_lo"], table["r_hi"] = result.edges[:-1], result.edges[1:]
    errors = result.errors
    for f in fields(result)[1:]:
        value = getattr(result, f.name)
        if isinstance(value, np.ndarray) and value.ndim == 1:
            table[f.name] = value
            if f.name in errors:
                table[f"{f.name}_err"] = errors[f.name]
    table.meta["PYSOFTCORR"] = json.dumps({name: getattr(result, name) for name in _RECORD})
    if result.covariance is not None:
        table.meta["covariance"] = result.covariance.tolist()
        for name in _NOTES:
            table.meta[name] = getattr(result, name)
    return table


def covariance_beside(path: Path) -> Path:
    """The file of the covariance of a CSV: NAME_cov.csv."""
    return path.with_name(f"{path.stem}_cov.csv")


def write(result: BoxCorrelations, path: str | PathLike[str], *, overwrite: bool) -> list[Path]:
    """Write a result; gives the files. See `BoxCorrelations.write`."""
    target = check_output(path, suffixes=SUFFIXES, overwrite=overwrite)
    kind = suffix_of(target, SUFFIXES)
    if kind in HDF5:
        with FORMAT.writing(target, overwrite=overwrite) as file:
            _write_hdf5(result, file)
        return [target]
    table = to_table(result)
    if kind == ".ecsv":
        write_table(table, target, overwrite=overwrite)
        return [target]
    table.meta.clear()
    made = [target]
    with ExitStack() as stack:
        if result.covariance is None:
            check_beside(target, overwrite=False)
        else:
            beside = check_output(covariance_beside(target), overwrite=overwrite)
            temporary = stack.enter_context(whole_file(beside, overwrite=overwrite))
            rows = [f"# {name} = {getattr(result, name)}" for name in _NOTES]
            rows += [",".join(map(repr, row)) for row in result.covariance.tolist()]
            temporary.write_text("\n".join(rows) + "\n", encoding="utf-8")
            made.append(beside)
        temporary = stack.enter_context(whole_file(target, overwrite=overwrite))
        table.write(temporary, format="ascii.csv")
    return made


def check_beside(path: str | PathLike[str], *, overwrite: bool) -> None:
    """Find out whether the covariance of a CSV could be written beside it, before the work.

    Raises
    ------
    FileExistsError
        If such a file is there and `overwrite` is not set: it would be taken for the covariance
        of the new table.
    """
    target = Path(path).expanduser()
    if target.suffix.lower() == ".csv":
        check_output(covariance_beside(target), overwrite=overwrite)


def _write_hdf5(result: BoxCorrelations, file: h5py.File) -> None:
    for f in fields(result):
        value = getattr(result, f.name)
        if isinstance(value, np.ndarray):
            file[f.name] = value
    for name, sigma in result.errors.items():
        file[f"{name}_err"] = sigma
    for name in _NOTES:
        if getattr(result, name) is not None:
            file.attrs[name] = getattr(result, name)
    file.attrs["settings"] = json.dumps(result.settings)
    file.attrs["version"] = result.version


def read(path: str | PathLike[str]) -> dict[str, Any]:
    """What a file of `write` holds, as `BoxCorrelations` takes it."""
    source = Path(path).expanduser()
    if source.suffix.lower() == ".csv":
        raise ValueError(
            f"{source}: a CSV file does not say how its correlations were made; read the .ecsv or "
            ".h5 of `BoxCorrelations.write`, or give the table to a posterior as it is"
        )
    if source.suffix.lower() in HDF5:
        with FORMAT.reading(source) as file:
            return _from_hdf5(file)
    table = FORMAT.read_table(source)
    with FORMAT.damage(source):
        return _from_table(table)


def _from_hdf5(file: h5py.File) -> dict[str, Any]:
    found = {name: file[name][()] for name in file if not name.endswith("_err")}
    notes: dict[str, Any] = {
        "resampling": file.attrs.get("resampling"),
        "realizations": file.attrs.get("realizations"),
    }
    if notes["realizations"] is not None:
        notes["realizations"] = int(notes["realizations"])
    record = {"settings": json.loads(file.attrs["settings"]), "version": file.attrs["version"]}
    return {**_parts(found), **record, "covariance": found.get("covariance"), **notes}


def _from_table(table: Table) -> dict[str, Any]:
    found = {n: np.ma.filled(np.ma.asarray(table[n]), np.nan) for n in table.colnames}
    found["edges"] = np.append(found.pop("r_lo"), found.pop("r_hi")[-1:])
    covariance = table.meta.get("covariance")
    return {
        **_parts(found),
        **json.loads(table.meta["PYSOFTCORR"]),
        "covariance": None if covariance is None else np.array(covariance, dtype=np.float64),
        **{name: table.meta.get(name) for name in _NOTES},
    }


def _parts(found: dict[str, Any]) -> dict[str, Any]:
    """Arrays of the values, None for parts that there are none of."""
    names = ("npairs", *STATISTICS)
    split = {
        f"{name}_{part}": found.get(f"{name}_{part}") for name in names for part in ("1h", "2h")
    }
    return {name: found[name] for name in ("edges", "r", "weight", "rr", *names)} | split
