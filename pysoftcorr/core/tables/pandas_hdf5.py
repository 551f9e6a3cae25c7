"""Data frames in HDF5 as pandas writes them, read without PyTables and without unpickling.

pandas keeps a frame of the "fixed" format as blocks of columns of one type, and one of the "table"
format as a compound dataset; the names of columns in a block stand in a pickled list, of which only
the texts are taken here (pandas, ``pandas/io/pytables.py``).
"""

from __future__ import annotations

import pickletools
from typing import Any

import h5py
import numpy as np

from pysoftcorr.core.tables.source import TableSource, Unreadable
from pysoftcorr.core.tables.values import masked

#: Opcodes of a pickled list of texts; any other is not looked at.
_LIST_OF_TEXTS = frozenset(
    [
        "PROTO",
        "FRAME",
        "MARK",
        "LIST",
        "EMPTY_LIST",
        "PUT",
        "BINPUT",
        "LONG_BINPUT",
        "MEMOIZE",
        "APPEND",
        "APPENDS",
        "STOP",
        "UNICODE",
        "BINUNICODE",
        "SHORT_BINUNICODE",
        "BINUNICODE8",
    ]
)
_WAY_OUT = (
    "write it as Parquet, with frame.to_parquet, or pass pandas.read_hdf(path) in its place, "
    "if you trust the file"
)


def is_frame(item: Any) -> bool:
    """Whether a group holds a data frame of pandas."""
    return isinstance(item, h5py.Group) and _attribute(item, "pandas_type") in (
        "frame",
        "frame_table",
        "appendable_frame",
    )


def table(path: str, name: str, group: Any) -> TableSource:
    """The data frame in `group`."""
    read = _fixed if _attribute(group, "pandas_type") == "frame" else _table
    label = f"{path} [{name}]"
    try:
        columns, length = read(group, label)
    except (KeyError, AttributeError, TypeError) as error:
        raise Unreadable(
            f"{label} is a data frame of pandas in a form not known here ({error}); {_WAY_OUT}"
        ) from None
    return TableSource(
        label,
        list(columns),
        lambda column: columns[column](),
        place=f"key {name!r}",
        name=name,
        length=length,
    )


def _attribute(item: Any, name: str) -> str:
    try:
        value = item.attrs.get(name)
    except OSError:
        return ""
    return value.decode() if isinstance(value, bytes) else str(value)


def _texts(values: np.ndarray) -> list[str]:
    return [v.decode() if isinstance(v, bytes) else str(v) for v in values]


def _fixed(group: Any, label: str) -> tuple[dict[str, Any], int]:
    names = _texts(group["axis0"][...])
    length = len(group["axis1"])
    columns: dict[str, Any] = {}
    number = 0
    while f"block{number}_items" in group:
        items = _texts(group[f"block{number}_items"][...])
        values = group[f"block{number}_values"]
        for k, name in enumerate(items):
            columns[name] = _block(values, k, name, len(items), length, label)
        number += 1
    return {name: columns[name] for name in names}, length


def _block(values: Any, k: int, name: str, width: int, length: int, label: str) -> Any:
    def load() -> np.ndarray:
        if values.dtype.kind == "O" or values.ndim != 2:
            raise Unreadable(
                f"column {name!r} of {label} holds pickled objects (text, in pandas' fixed "
                f"format), which are not read; {_WAY_OUT}"
            )
        if values.shape == (length, width):
            return _typed(values[:, k], values)
        raise Unreadable(f"column {name!r} of {label}: its block has shape {values.shape}")

    return load


def _typed(values: np.ndarray, dataset: Any) -> np.ndarray:
    kind = _attribute(dataset, "value_type")
    if kind.startswith(("datetime64", "timedelta64")):
        return values.view(kind if "[" in kind else f"{kind}[ns]")
    return values.astype(bool) if _is_bitfield(dataset) else values


def _is_bitfield(dataset: Any, field: str | None = None) -> bool:
    """Whether values are truth values of PyTables, which h5py reads as whole numbers."""
    kind = dataset.id.get_type()
    if field is not None:
        kind = kind.get_member_type(kind.get_member_index(field.encode()))
        kind = kind.get_super() if isinstance(kind, h5py.h5t.TypeArrayID) else kind
    return isinstance(kind, h5py.h5t.TypeBitfieldID)


def _table(group: Any, label: str) -> tuple[dict[str, Any], int]:
    dataset = group["table"]
    columns: dict[str, Any] = {}
    for field in dataset.dtype.names:
        if field == "index" or field.startswith("level_"):
            continue
        if field.startswith("values_block_"):
            names = _names(dataset, field, label)
            for k, name in enumerate(names):
                columns[name] = _of_block(dataset, field, k)
        else:
            columns[field] = _of_block(dataset, field, None, group)
    return columns, len(dataset)


def _of_block(dataset: Any, field: str, k: int | None, group: Any = None) -> Any:
    def load() -> np.ndarray:
        values = dataset[field]
        if _is_bitfield(dataset, field):
            values = values.astype(bool)
        values = values[:, 0 if k is None else k] if values.ndim == 2 else values
        meta = f"meta/{field}/meta" if k is None else ""
        if group is not None and meta in group:
            raise Unreadable(
                f"column {field!r} of {dataset.file.filename} is one of categories, which are not "
                f"read; {_WAY_OUT}"
            )
        kind = _attribute(dataset, f"{field}_dtype")
        if kind.startswith(("datetime64", "timedelta64")):
            return values.view(kind if "[" in kind else f"{kind}[ns]")
        if values.dtype.kind == "S":
            # pandas' sign of a missing text.
            return masked(values, values == b"nan")
        return values

    return load


def _names(dataset: Any, field: str, label: str) -> list[str]:
    """Names of the columns of a block: the texts of a pickled list, nothing of it run."""
    try:
        raw = dataset.attrs[f"{field}_kind"]
        data = raw.tobytes() if isinstance(raw, (np.void, np.ndarray)) else bytes(raw)
        texts = []
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name not in _LIST_OF_TEXTS:
                raise ValueError(f"a pickle with {opcode.name}")
            if isinstance(argument, str):
                texts.append(argument)
    except (KeyError, ValueError, TypeError, OSError) as error:
        raise Unreadable(
            f"{label} is a data frame of pandas whose column names cannot be read ({error}); "
            f"write it with data_columns=True, {_WAY_OUT}"
        ) from None
    return texts
