"""Parquet and Feather files and folders through pyarrow."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from astropy.table import Table, meta

from pysoftcorr.core.extras import need
from pysoftcorr.core.tables.arrow import ASTROPY, of_arrow, stated_in, units_of, values
from pysoftcorr.core.tables.memory import of_astropy
from pysoftcorr.core.tables.source import TableSource

_SUFFIXES = (".parquet", ".parq", ".pq")
_HIDDEN = ("_", ".")
_DEPTH = 6


def parquet(path: str, content: Any) -> TableSource:
    """A Parquet file."""
    what = f"{path} is a Parquet file, and reading it"
    module = need("pyarrow.parquet", what, extra="parquet")
    file = module.ParquetFile(content)
    if ASTROPY in (file.schema_arrow.metadata or {}):
        with_masks = _astropys(content, file.schema_arrow)
        if with_masks is not None:
            return of_astropy(with_masks, path)
    return TableSource(
        path,
        list(file.schema_arrow.names),
        lambda name: values(file.read(columns=[name], use_pandas_metadata=False).column(0), name),
        units_of(file.schema_arrow),
        length=file.metadata.num_rows,
        meta=stated_in(file.schema_arrow),
    )


def feather(path: str, content: Any) -> TableSource:
    """A Feather (Arrow IPC) file."""
    module = need("pyarrow.feather", f"{path} is a Feather file, and reading it", extra="parquet")
    return of_arrow(module.read_table(content, memory_map=False), path)


def is_folder(path: Path) -> bool:
    """Whether a folder is a Parquet data set: files of that suffix, perhaps in folders of keys."""
    return next(_files(path), None) is not None


def folder(path: Path) -> list[TableSource]:
    """The files of a Parquet data set, in the order of their names, folders of keys as columns."""
    what = f"{path} is a folder of Parquet files, and reading it"
    dataset = need("pyarrow.dataset", what, extra="parquet")
    whole = dataset.dataset(
        sorted(map(str, _files(path))),
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


def _files(path: Path) -> Iterator[Path]:
    """Parquet files of a folder and of a few levels of folders of keys, hidden ones left out."""
    for folder, within, names in os.walk(path):
        depth = len(Path(folder).relative_to(path).parts)
        within[:] = [n for n in within if not n.startswith(_HIDDEN)] if depth < _DEPTH else []
        for name in names:
            if name.endswith(_SUFFIXES) and not name.startswith(_HIDDEN):
                yield Path(folder, name)


def _natural(text: str) -> list[tuple[int, int, str]]:
    """Sorts part-10 behind part-9."""
    parts = re.split(r"(\d+)", text)
    return [(0, int(p), "") if p.isdigit() else (1, 0, p) for p in parts]


def _astropys(content: Any, schema: Any) -> Table | None:
    """A table that astropy wrote with columns of its own kinds, such as masks beside the values."""
    header = meta.get_header_from_yaml(schema.metadata[ASTROPY].decode().split("\n"))
    if "__serialized_columns__" not in header.get("meta", {}):
        return None
    return Table.read(content, format="parquet")
