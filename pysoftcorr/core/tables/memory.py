"""Tables already in memory: astropy, pandas, Arrow, mappings of columns, structured arrays."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from astropy.table import Table

from pysoftcorr.core.tables.arrow import of_arrow
from pysoftcorr.core.tables.source import TableSource
from pysoftcorr.core.tables.values import masked, stored

_STATED = re.compile(r"([A-Za-z_][\w .-]*?)\s*[=:]\s*(\S.*)")


def in_memory(source: Any, label: str | None = None) -> TableSource:
    """The table behind the interface of all; TypeError where `source` is none."""
    if isinstance(source, Table):
        return of_astropy(source, label or "the table")
    if isinstance(source, np.ndarray) and source.dtype.names:
        return TableSource(
            label or "the array", list(source.dtype.names), source.__getitem__, length=len(source)
        )
    if hasattr(source, "columns") and hasattr(source, "iloc"):
        return _of_frame(source, label or "the data frame")
    if isinstance(source, Mapping):
        names = [str(n) for n in source]
        if len(set(names)) < len(names):
            raise ValueError("the mapping has two columns of one name")
        original = dict(zip(names, source, strict=True))
        units = {n: str(source[k].unit) for n, k in original.items() if _has_unit(source[k])}
        stated = {n: source[k] for n, k in original.items() if _is_single(source[k])}
        return TableSource(label or "the mapping", names, lambda n: source[original[n]], units,
                           meta=stated)  # fmt: skip
    if hasattr(source, "__arrow_c_stream__"):
        return of_arrow(source, label or "the Arrow table")
    kind = type(source).__name__
    cure = ""
    if hasattr(source, "field_names"):
        cure = f"; {kind}.concatenate joins catalogs"
    elif kind.endswith("HDU"):
        cure = "; pass the path, with hdu=, or the data of the table's HDU"
    elif hasattr(source, "read"):
        cure = "; pass the path of an open file"
    raise TypeError(
        "a catalog is read from a path, a list of paths, an astropy Table, a pandas DataFrame, a "
        f"mapping of columns or a structured array, not from {kind}{cure}"
    )


def _of_frame(frame: Any, label: str) -> TableSource:
    """A pandas data frame; named levels of its index are columns too."""
    names = [str(c) for c in frame.columns]
    place = {name: k for k, name in enumerate(names)}
    levels = {
        str(level): k
        for k, level in enumerate(frame.index.names)
        if level is not None and str(level) not in place
    }

    def load(name: str) -> np.ndarray:
        if name in place:
            return of_series(frame.iloc[:, place[name]])
        return of_series(frame.index.get_level_values(levels[name]).to_series())

    stated = dict(getattr(frame, "attrs", None) or {})
    return TableSource(label, [*names, *levels], load, length=len(frame), meta=stated)


def of_astropy(table: Table, label: str) -> TableSource:
    """An astropy table; the parts of a SkyCoord are columns, ``coord.ra`` and ``coord.dec``."""
    columns: dict[str, Any] = {}
    for name in table.colnames:
        column = table[name]
        parts = getattr(column, "representation_component_names", None)
        if parts is None:
            columns[name] = column
        else:
            columns |= {
                f"{name}.{part}": getattr(column, part)
                for part, component in parts.items()
                if component in column.data.components
            }
    units = {n: str(c.unit) for n, c in columns.items() if _has_unit(c)}
    return TableSource(label, list(columns), columns.__getitem__, units, length=len(table),
                       meta=_stated(table))  # fmt: skip


def _stated(table: Table) -> dict[str, Any]:
    """Meta data of a table, and what its comments state."""
    comments = table.meta.get("comments")
    lines = [line for line in comments if isinstance(line, str)] if comments else []
    columns = {name.lower() for name in table.colnames}
    stated = {k: v for k, v in stated_in_lines(lines).items() if k.lower() not in columns}
    return stated | dict(table.meta)


def stated_in_lines(lines: Iterable[str]) -> dict[str, str]:
    """``name = value`` and ``name: value`` of the lines of a comment, ``;`` or ``,`` between."""
    found = {}
    for line in lines:
        for part in re.split(r";|,(?=\s*[A-Za-z_][\w .-]*[=:])", line.strip().lstrip("#")):
            parts = _STATED.fullmatch(part.strip())
            if parts:
                found[parts[1]] = parts[2]
    return found


def of_series(series: Any) -> np.ndarray:
    """A column of a pandas data frame, entries that pandas calls missing masked."""
    if hasattr(series, "sparse"):
        series = series.sparse.to_dense()
    dtype = series.dtype
    missing = np.asarray(series.isna(), dtype=bool)
    if hasattr(series, "cat"):
        categories = of_series(series.cat.categories.to_series())
        if len(categories) == 0:
            return masked(np.zeros(len(series)), missing)
        return masked(categories[np.maximum(np.asarray(series.cat.codes), 0)], missing)
    kind = getattr(dtype, "kind", "O")
    if kind in "biu" and not isinstance(dtype, np.dtype):
        plain = getattr(dtype, "numpy_dtype", None)
        if isinstance(plain, np.dtype) and plain.kind in "biu":
            fill = False if plain.kind == "b" else 0
            return masked(series.fillna(fill).to_numpy(dtype=plain), missing)
    if kind == "f" and not isinstance(dtype, np.dtype):
        return masked(series.to_numpy(dtype=np.float64, na_value=np.nan), missing)
    values = stored(series.to_numpy())
    if values.dtype.kind == "f":
        return values  # NaN is what NumPy's own floats have in place of a missing value
    return masked(np.ma.getdata(values), missing | np.ma.getmaskarray(values))


def _is_single(values: Any) -> bool:
    """Whether this is one value, or the three of a vector, rather than a column."""
    try:
        return np.shape(values) in ((), (3,))
    except ValueError:  # lists of lists, of different lengths
        return False


def _has_unit(values: Any) -> bool:
    return getattr(values, "unit", None) not in (None, "")
