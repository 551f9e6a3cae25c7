"""Parquet and Feather files and folders through pyarrow."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table, meta

from pysoftcorr.core.extras import need
from pysoftcorr.core.tables.memory import of_astropy
from pysoftcorr.core.tables.source import TableSource, Unreadable
from pysoftcorr.core.tables.values import masked, stored

_ASTROPY = b"table_meta_yaml"


def parquet(path: str, content: Any) -> TableSource:
    """A Parquet file."""
    what = f"{path} is a Parquet file, and reading it"
    module = need("pyarrow.parquet", what, extra="parquet")
    file = module.ParquetFile(content)
    if _ASTROPY in (file.schema_arrow.metadata or {}):
        with_masks = _astropys(content, file.schema_arrow)
        if with_masks is not None:
            return of_astropy(with_masks, path)
    return TableSource(
        path,
        list(file.schema_arrow.names),
        lambda name: values(file.read(columns=[name], use_pandas_metadata=False).column(0), name),
        _units(file.schema_arrow),
        length=file.metadata.num_rows,
    )


def feather(path: str, content: Any) -> TableSource:
    """A Feather (Arrow IPC) file."""
    module = need("pyarrow.feather", f"{path} is a Feather file, and reading it", extra="parquet")
    return of_arrow(module.read_table(content, memory_map=False), path)


def of_arrow(source: Any, label: str) -> TableSource:
    """A table of pyarrow, or of a library that hands out the like (polars, DuckDB)."""
    arrow = need("pyarrow", f"{label} is of Arrow, and reading it", extra="parquet")
    table = source if isinstance(source, arrow.Table) else arrow.table(source)
    return TableSource(
        label,
        list(table.column_names),
        lambda name: values(table.column(name), name),
        _units(table.schema),
        length=table.num_rows,
    )


def is_folder(path: Path) -> bool:
    """Whether a folder is a Parquet data set: files of that suffix, perhaps in folders of keys."""
    return any(_fragments(path))


def folder(path: Path) -> list[TableSource]:
    """The files of a Parquet data set, in the order of their names, folders of keys as columns."""
    what = f"{path} is a folder of Parquet files, and reading it"
    dataset = need("pyarrow.dataset", what, extra="parquet")
    whole = dataset.dataset(
        [str(p) for p in _fragments(path)],
        format="parquet",
        partitioning=dataset.HivePartitioning.discover(),
        partition_base_dir=str(path),
    )
    tables = []
    for fragment in sorted(whole.get_fragments(), key=lambda f: _natural(f.path)):
        table = parquet(fragment.path, fragment.path)
        keys = dataset.get_partition_keys(fragment.partition_expression)
        for name, value in keys.items():
            if name not in table.names:
                _add_constant(table, name, value, whole.schema.field(name).type)
        tables.append(table)
    return tables


def _add_constant(table: TableSource, name: str, value: Any, kind: Any) -> None:
    """A column that the name of a folder gives: one value in all rows of the file."""
    arrow = need("pyarrow", "a column", extra="parquet")
    load, length = table.load, table.length or 0
    column = arrow.chunked_array([arrow.array([value] * length, type=kind)])
    table.names.append(name)
    table.load = lambda wanted: values(column, name) if wanted == name else load(wanted)


def _fragments(path: Path) -> list[Path]:
    found = (p for suffix in ("parquet", "parq", "pq") for p in path.rglob(f"*.{suffix}"))
    hidden = ("_", ".")
    return sorted(
        (p for p in found if p.is_file()
         and not any(part.startswith(hidden) for part in p.relative_to(path).parts)),
        key=lambda p: _natural(str(p)),
    )  # fmt: skip


def _natural(text: str) -> list[tuple[int, int, str]]:
    """Sorts part-10 behind part-9."""
    parts = re.split(r"(\d+)", text)
    return [(0, int(p), "") if p.isdigit() else (1, 0, p) for p in parts]


def _units(schema: Any) -> dict[str, str]:
    units = {}
    stored_table = (schema.metadata or {}).get(_ASTROPY)
    if stored_table is not None:
        header = meta.get_header_from_yaml(stored_table.decode().split("\n"))
        units = {c["name"]: str(c["unit"]) for c in header["datatype"] if c.get("unit")}
    for column in schema:
        unit = (column.metadata or {}).get(b"unit")
        if unit:
            units[column.name] = unit.decode()
    return units


def _astropys(content: Any, schema: Any) -> Table | None:
    """A table that astropy wrote with columns of its own kinds, such as masks beside the values."""
    header = meta.get_header_from_yaml(schema.metadata[_ASTROPY].decode().split("\n"))
    if "__serialized_columns__" not in header.get("meta", {}):
        return None
    return Table.read(content, format="parquet")


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
    length = lengths.pop() if lengths else 0
    flat = arrow.chunked_array(
        [chunk.flatten() for chunk in column.chunks], type=column.type.value_type
    )
    return values(flat, name).reshape(-1, length)
