"""Data that posteriors are conditioned on: names of statistics, their parts, and their files."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import numpy.typing as npt

from pysoftcorr.core.cautions import caution
from pysoftcorr.core.files import no_file
from pysoftcorr.core.options import texts
from pysoftcorr.core.sealed import CHECKSUM, Damaged, check_table
from pysoftcorr.core.tables.source import first_line
from pysoftcorr.inference.boxes import from_settings
from pysoftcorr.inference.covariance import COUNT, beside, count_of, first, read_covariance
from pysoftcorr.mocks.box import box_correlations
from pysoftcorr.mocks.box_files import FORMAT
from pysoftcorr.mocks.galaxies import GalaxyCatalog
from pysoftcorr.mocks.halo_units import length_unit
from pysoftcorr.sky.binning import Bins

if TYPE_CHECKING:
    from pysoftcorr.mocks.box_result import BoxCorrelations

__all__ = ["EDGES_AGREE", "STATISTICS", "block_of", "check_statistics", "read_data", "with_pairs"]

FloatArray = npt.NDArray[np.float64]

STATISTICS = ("xi", "omega", "eta")
#: Edges agree where they round to the same five digits.
EDGES_AGREE = 6e-5
_COLUMNS = {*STATISTICS, *(f"{name}_err" for name in STATISTICS)}


def check_statistics(statistics: str | Sequence[str]) -> tuple[str, ...]:
    """Names of statistics in the order xi, omega, eta; ValueError for one there is not."""
    chosen = texts("statistics", statistics)
    for name in chosen:
        if name not in STATISTICS:
            raise ValueError(f"statistics: {name!r} is none of {', '.join(STATISTICS)}")
    if not chosen:
        raise ValueError(f"statistics: none is given; choose of {', '.join(STATISTICS)}")
    return tuple(name for name in STATISTICS if name in chosen)


def block_of(
    covariance: Any, held: Sequence[str], chosen: Sequence[str], bins: int
) -> npt.ArrayLike | None:
    """The part of a covariance of all that a file holds which is that of chosen statistics."""
    if covariance is None:
        return None
    full = np.asarray(covariance, dtype=np.float64)
    if full.shape != (len(held) * bins,) * 2:
        return full
    rows = np.concatenate([np.arange(bins) + held.index(name) * bins for name in chosen])
    return full[np.ix_(rows, rows)]


def with_pairs(values: Any, npairs: Any) -> FloatArray:
    """Values with NaN where there are no pairs; npairs may be None."""
    array = np.asarray(values, dtype=np.float64)
    return array if npairs is None else np.where(np.asarray(npairs) == 0, np.nan, array)


def read_data(
    path: str | PathLike[str],
    *,
    statistics: str | Sequence[str] | None,
    bins: Bins | None,
    covariance: npt.ArrayLike | None = None,
) -> dict[str, Any] | BoxCorrelations:
    """Edges, values and errors of the statistics asked for, or correlations of galaxies.

    With a covariance, that of the file, or beside it, is not looked at.

    Raises
    ------
    FileNotFoundError
        If it is not there.
    ValueError
        If it holds none of these, or not those asked for.
    """
    source = Path(path).expanduser()
    if not source.exists():
        raise FileNotFoundError(f"no such file: {source}")
    if source.is_dir():
        raise ValueError(f"{source} is a folder; data are one file")
    other = no_file(source)
    if other:
        raise ValueError(f"{source} is {other}; data are read from a file")
    name = source.name.lower()
    if name.endswith((".fits", ".fits.gz")):
        return box_correlations(GalaxyCatalog.read(source), bins=bins)
    if name.endswith((".ecsv", ".csv")):
        found = _table(source)
    elif name.endswith((".h5", ".hdf5")):
        found = _hdf5(source)
        if not found:
            return box_correlations(GalaxyCatalog.read(source), bins=bins)
    else:
        raise ValueError(f"{source}: unknown suffix; data are in .ecsv, .csv, .h5, .hdf5 or .fits")
    there = [s for s in STATISTICS if s in found and np.isfinite(found[s]).any()]
    columns = found.pop("columns", None)
    if not there or "edges" not in found:
        needed = "datasets edges" if columns is None else "columns r_lo and r_hi (Mpc/h)"
        held = sorted(set(found) & {*_COLUMNS, "edges"}) if columns is None else columns
        raise ValueError(
            f"{source} holds no data for a posterior: {needed} and at least one of "
            f"{', '.join(STATISTICS)} are needed, with errors such as omega_err; it holds "
            f"{', '.join(held) or 'none of them'}"
        )
    # What was not asked for may hold anything.
    chosen = tuple(there) if statistics is None else check_statistics(statistics)
    lacking = [s for s in chosen if s not in there]
    if lacking:
        raise ValueError(
            f"{source}: statistics: the data hold {', '.join(there)}, not {', '.join(lacking)}"
        )
    errors = {s: found[f"{s}_err"] for s in chosen if f"{s}_err" in found}
    count = None
    if covariance is None:
        covariance, count = found.get("covariance"), found.get("covariance_from")
        there_too = beside(source)
        if covariance is None and there_too is not None:
            covariance, count = read_covariance(there_too)
    covariance = None if covariance is None else np.asarray(covariance, dtype=np.float64)
    if covariance is None and not errors:
        _warn_of_other_errors(source, columns or ())
    held = [s for s in STATISTICS if s in found]
    nbins = len(found["edges"]) - 1
    for names in (held, there):
        if covariance is not None and covariance.shape == (len(names) * nbins,) * 2:
            covariance = block_of(covariance, names, chosen, nbins)
            break
    return {
        "bins": found["edges"],
        **{s: found[s] for s in chosen},
        "covariance": covariance,
        "errors": errors if errors and covariance is None else None,
        "covariance_from": None if covariance is None or count is None else int(count),
        "box": found.get("box", {}),
    }


def _warn_of_other_errors(source: Path, columns: Sequence[str]) -> None:
    """A caution about columns that look like errors under names that are not read."""
    like = re.compile(r"err|sig|std|var|unc", re.IGNORECASE)
    alike = [name for name in columns if name not in _COLUMNS and like.search(name)]
    if alike:
        caution(
            f"{source}: {', '.join(alike[:4])} {'is' if len(alike) == 1 else 'are'} not read; "
            f"errors are in columns such as omega_err"
        )


def _table(source: Path) -> dict[str, Any]:
    from astropy.table import Table

    kind = source.suffix[1:].lower()
    try:
        if kind == "csv":
            lines, delimiter, notes = _csv_lines(source)
            table = Table.read(lines, format="ascii.csv", delimiter=delimiter)
            table.meta.update(notes)
        else:
            table = Table.read(source, format="ascii.ecsv")
    except Exception as error:  # astropy's readers raise of every kind, for one reason
        raise ValueError(f"{source} is no {kind.upper()} table: {first_line(error)}") from None
    if CHECKSUM in table.meta:
        try:
            check_table(table)
        except Damaged as error:
            raise ValueError(f"{source} is damaged: {error}") from None
    found: dict[str, Any] = {"columns": table.colnames}
    for name in table.colnames:
        if name not in {*_COLUMNS, "r_lo", "r_hi", "npairs"}:
            continue
        try:
            found[name] = np.ma.filled(np.ma.asarray(table[name]).astype(np.float64), np.nan)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{source}: column {name} must be numbers: {error}") from None
    if "npairs" in found:
        _mask_empty(found, found.pop("npairs"))
    low, high = found.pop("r_lo", None), found.pop("r_hi", None)
    if low is not None and high is not None and len(table):
        if not np.allclose(low[1:], high[:-1], rtol=EDGES_AGREE, atol=0):
            raise ValueError(
                f"{source}: the bins of r_lo and r_hi do not join: each row must begin where the "
                "one above ends, of bins without data too (omega = nan)"
            )
        scales = {_in_mpc_h(source, name, table[name].unit) for name in ("r_lo", "r_hi")}
        if len(scales) > 1:
            raise ValueError(f"{source}: r_lo and r_hi are in different units")
        found["edges"] = np.append(low, high[-1]) * scales.pop()
    if "covariance" in table.meta:
        found["covariance"] = np.asarray(table.meta["covariance"], dtype=np.float64)
        found["covariance_from"] = first(table.meta, COUNT)
    found["box"] = from_settings(table.meta)
    if "PYSOFTCORR" in table.meta:
        found["box"] |= from_settings(json.loads(table.meta["PYSOFTCORR"]).get("settings", {}))
    return found


def _csv_lines(source: Path) -> tuple[list[str], str, dict[str, Any]]:
    """Lines of a table, what divides its columns, and notes such as ``# boxsize = 60``.

    Names of columns may stand in the last line of comments above the numbers, as of numpy.savetxt.
    """
    notes: dict[str, Any] = {}
    lines: list[str] = []
    above = ""
    for line in source.read_text(encoding="utf-8-sig").splitlines():
        text = line.strip()
        if not text.startswith("#"):
            lines += [line] if text else []
            continue
        above = text.lstrip("# ") if not lines else above
        key, _, value = text.lstrip("# ").partition("=" if "=" in text else ":")
        if value:
            notes[key.strip()] = _value(value.strip())
    if lines and "r_lo" in above and "r_lo" not in lines[0]:
        lines.insert(0, above)
    first_line = lines[0] if lines else ""
    return lines, next((d for d in ",;\t" if d in first_line), " "), notes


def _value(text: str) -> Any:
    """A note as a number, several, or text."""
    try:
        numbers = [float(part) for part in text.strip("[]()").split(",")]
    except ValueError:
        return text.strip("'\"")
    return numbers[0] if len(numbers) == 1 else numbers


def _in_mpc_h(source: Path, name: str, unit: Any) -> float:
    """What an edge is multiplied by to be in Mpc/h."""
    if unit is None or not str(unit):
        return 1.0
    found = length_unit(str(unit))
    if found is None or not found[1]:
        raise ValueError(f"{source}: column {name} is in {unit}: must be in Mpc/h, or kpc/h")
    return found[0]


def _hdf5(source: Path) -> dict[str, Any]:
    try:
        with h5py.File(source, "r") as file:
            # Another one of ours: galaxies, or nothing that serves here.
            if file.attrs.get("format", FORMAT.name) != FORMAT.name:
                return {}
            wanted = {*_COLUMNS, "edges", "covariance"}
            found = {name: file[name][...] for name in file if name in wanted}
            if "npairs" in file:
                _mask_empty(found, file["npairs"][...])
            if found:
                found["covariance_from"] = count_of(file)
                found["box"] = from_settings(file.attrs)
                if isinstance(file.attrs.get("settings"), str):
                    found["box"] |= from_settings(json.loads(file.attrs["settings"]))
            return found or {"": None}
    except Exception as error:  # h5py raises of every kind, for one reason
        raise ValueError(f"{source} is no HDF5 file: {first_line(error)}") from None


def _mask_empty(found: dict[str, Any], npairs: Any) -> None:
    for name in set(STATISTICS) & set(found):
        found[name] = with_pairs(found[name], npairs)
