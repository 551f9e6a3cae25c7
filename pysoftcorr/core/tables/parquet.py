"""Parquet and Feather files and folders through pyarrow."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from astropy.table import Table, meta

from pysoftcorr.core.extras import need
from pysoftcorr.core.tables.arrow import ASTROPY, of_arrow, units_of, values
from pysoftcorr.core.tables.memory import of_astropy
from pysoftcorr.core.tables.source import TableSource


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
    )


def feather(path: str, content: Any) -> TableSource:
    """A Feather (Arrow IPC) file."""
    module = need("pyarrow.feather", f"{path} is a Feather file, and reading it", extra="parquet")
    return of_arrow(module.read_table(content, memory_map=False), path)


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


def _astropys(content: Any, schema: Any) -> Table | None:
    """A table that astropy wrote with columns of its own kinds, such as masks beside the values."""
    header = meta.get_header_from_yaml(schema.metadata[ASTROPY].decode().split("\n"))
    if "__serialized_columns__" not in header.get("meta", {}):
        return None
    return Table.read(content, format="parquet")
