"""Columns and tables of Arrow in NumPy's types."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import numpy as np
from astropy.table import meta

from pysoftcorr.core.extras import need
from pysoftcorr.core.tables.source import TableSource, Unreadable
from pysoftcorr.core.tables.values import masked, stored

#: Where astropy keeps units, and columns of its own kinds, in the metadata of a schema.
ASTROPY = b"table_meta_yaml"


def of_arrow(source: Any, label: str) -> TableSource:
    """A table of pyarrow, or of a library that hands out the like (polars, DuckDB)."""
    arrow = need("pyarrow", f"{label} is of Arrow, and reading it", extra="parquet")
    table = source if isinstance(source, arrow.Table) else arrow.table(source)
    return TableSource(
        label,
        list(table.column_names),
        lambda name: values(table.column(name), name),
        units_of(table.schema),
        length=table.num_rows,
        meta=stated_in(table.schema),
    )


def units_of(schema: Any) -> dict[str, str]:
    """Units of columns: astropy's, or the metadata ``unit`` of a column."""
    units = {}
    stored_table = (schema.metadata or {}).get(ASTROPY)
    if stored_table is not None:
        header = meta.get_header_from_yaml(stored_table.decode().split("\n"))
        units = {c["name"]: str(c["unit"]) for c in header["datatype"] if c.get("unit")}
    for column in schema:
        unit = (column.metadata or {}).get(b"unit")
        if unit:
            units[column.name] = unit.decode()
    return units


def stated_in(schema: Any) -> dict[str, Any]:
    """What the metadata of a schema state: astropy's, pandas' ``attrs``, and plain text."""
    found: dict[str, Any] = {}
    for key, value in (schema.metadata or {}).items():
        name, text = key.decode("utf-8", "replace"), value.decode("utf-8", "replace")
        if key == ASTROPY:
            found |= meta.get_header_from_yaml(text.split("\n")).get("meta", {})
        elif name in ("pandas", "PANDAS_ATTRS"):
            found |= _attrs_of_pandas(text)
        elif not name.startswith("ARROW:"):
            found[name] = text
    return found


def _attrs_of_pandas(text: str) -> dict[str, Any]:
    try:
        stated = json.loads(text)
    except ValueError:
        return {}
    # Of the description of a frame the attributes alone.
    stated = stated.get("attributes", {}) if "columns" in stated else stated
    return stated if isinstance(stated, dict) else {}


def values(column: Any, name: str) -> np.ndarray:
    """A chunked column of Arrow in NumPy's type of it, nulls masked."""
    arrow = need("pyarrow", "a column", extra="parquet")
    kinds, kind = arrow.types, column.type
    if kinds.is_dictionary(kind):
        return values(column.cast(kind.value_type), name)
    missing = np.asarray(column.is_null().to_numpy(), dtype=bool)
    if kinds.is_boolean(kind) or kinds.is_integer(kind):
        fill = arrow.scalar(False if kinds.is_boolean(kind) else 0, type=kind)
        filled = column.fill_null(fill) if missing.any() else column
        return masked(filled.to_numpy().astype(kind.to_pandas_dtype(), copy=False), missing)
    if kinds.is_floating(kind):
        return masked(column.to_numpy().astype(kind.to_pandas_dtype(), copy=False), missing)
    if kinds.is_decimal(kind):
        whole = kind.scale <= 0
        numbers = [None if x is None else _number(x, whole) for x in column.to_pylist()]
        return stored(np.array([*numbers, None], dtype=object)[:-1])
    if kinds.is_list(kind) or kinds.is_large_list(kind) or kinds.is_fixed_size_list(kind):
        return _lists(column, name)
    return masked(stored(np.asarray(column.to_numpy())), missing)


def _number(x: Decimal, whole: bool) -> int | float:
    return int(x) if whole else float(x)


def _lists(column: Any, name: str) -> np.ndarray:
    """Lists of one length as an array of shape (N, length)."""
    arrow = need("pyarrow", "a column", extra="parquet")
    lengths = {None if x is None else len(x) for x in column}
    if len(lengths) > 1 or None in lengths:
        raise Unreadable(
            f"column {name!r} holds a list of values a row, of different lengths; "
            "write one value a row"
        )
    length = max((n for n in lengths if n is not None), default=0)
    flat = arrow.chunked_array(
        [chunk.flatten() for chunk in column.chunks], type=column.type.value_type
    )
    return values(flat, name).reshape(-1, length)
