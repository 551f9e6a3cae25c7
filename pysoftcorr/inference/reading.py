"""Observations from files: our own correlations and galaxies, and tables with a covariance."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from pysoftcorr.inference.observation import STATISTICS, Observation, check_statistics

__all__ = ["read_observation"]


def read_observation(
    path: str | PathLike[str],
    *,
    statistics: str | Sequence[str] | None,
    edges: npt.ArrayLike | None,
    on_bad: str,
) -> Observation:
    """As `Observation.read`."""
    source = Path(path).expanduser()
    if not source.exists():
        raise FileNotFoundError(f"no such file: {source}")
    if source.is_dir():
        raise ValueError(f"{source} is a folder; data are one file")
    name = source.name.lower()
    if name.endswith((".fits", ".fits.gz")):
        return _galaxies(source, statistics, edges, on_bad)
    if name.endswith(".ecsv"):
        found = _ecsv(source)
    elif name.endswith((".h5", ".hdf5")):
        found = _hdf5(source)
        if not found:
            return _galaxies(source, statistics, edges, on_bad)
    else:
        raise ValueError(f"{source}: unknown suffix; data are in .ecsv, .h5, .hdf5 or .fits")
    there = [s for s in STATISTICS if s in found and np.isfinite(found[s]).any()]
    if not there or "edges" not in found:
        raise ValueError(
            f"{source} holds no data for a posterior: edges (r_lo and r_hi of a table) and at "
            f"least one of {', '.join(STATISTICS)} are needed; it holds "
            f"{', '.join(sorted(found)) or 'none of them'}"
        )
    errors = {s: found[f"{s}_err"] for s in there if f"{s}_err" in found}
    covariance = found.get("covariance")
    values: dict[str, Any] = {s: found[s] for s in there}
    try:
        seen = Observation(
            found["edges"],
            **values,
            covariance=covariance,
            errors=errors if errors and covariance is None else None,
            # What was not asked for may hold NaN.
            on_bad="drop",
            source=str(source),
        )
        chosen = tuple(there) if statistics is None else check_statistics(statistics)
        seen = seen.select(chosen)
        if on_bad == "error" and seen.rows.size < len(chosen) * (seen.edges.size - 1):
            # Once more, for the message that names the bins.
            Observation(seen.edges, **{s: values[s] for s in chosen})
        return seen
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None


def _galaxies(source: Path, statistics: Any, edges: Any, on_bad: str) -> Observation:
    from pysoftcorr.mocks import GalaxyCatalog, box_correlations

    galaxies = GalaxyCatalog.read(source)
    result = box_correlations(galaxies, edges=edges)
    try:
        return Observation.of(result, statistics=statistics, on_bad=on_bad, source=str(source))
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None


def _ecsv(source: Path) -> dict[str, Any]:
    from astropy.table import Table

    try:
        table = Table.read(source, format="ascii.ecsv")
    except Exception as error:  # astropy's readers raise of every kind, for one reason
        raise ValueError(f"{source} is no ECSV table: {error}") from None
    found: dict[str, Any] = {
        name: np.ma.filled(np.ma.asarray(table[name]).astype(np.float64), np.nan)
        for name in table.colnames
        if name in _COLUMNS
    }
    if "r_lo" in table.colnames and "r_hi" in table.colnames and len(table):
        low, high = (np.asarray(table[name], dtype=np.float64) for name in ("r_lo", "r_hi"))
        if not np.allclose(low[1:], high[:-1], rtol=1e-12, atol=0):
            raise ValueError(f"{source}: the bins of r_lo and r_hi do not join")
        found["edges"] = np.append(low, high[-1])
    if "covariance" in table.meta:
        found["covariance"] = np.asarray(table.meta["covariance"], dtype=np.float64)
    return found


_COLUMNS = {*STATISTICS, *(f"{name}_err" for name in STATISTICS)}


def _hdf5(source: Path) -> dict[str, Any]:
    try:
        with h5py.File(source, "r") as file:
            if "format" in file.attrs:  # one of ours: galaxies, or nothing that serves here
                return {}
            wanted = {*_COLUMNS, "edges", "covariance"}
            return {name: file[name][...] for name in file if name in wanted} or {"": None}
    except OSError as error:
        raise ValueError(f"{source} is no HDF5 file: {error}") from None
