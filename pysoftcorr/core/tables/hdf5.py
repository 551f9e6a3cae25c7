"""Tables of an HDF5 file: groups of columns, compound datasets, astropy's and pandas' tables."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import h5py
import numpy as np
from astropy.table import Table

from pysoftcorr.core.expressions import nearest
from pysoftcorr.core.tables import pandas_hdf5
from pysoftcorr.core.tables.container import Container
from pysoftcorr.core.tables.memory import of_astropy
from pysoftcorr.core.tables.source import TableSource, Unreadable
from pysoftcorr.core.tables.values import masked

_META = "__table_column_meta__"


def container(path: str, content: Any, stack: ExitStack) -> Container:
    """The tables of an HDF5 file."""
    root = stack.enter_context(h5py.File(content, "r"))
    found: list[tuple[str, Any]] = [("/", root)]

    def gather(name: str, item: Any) -> None:
        found.append((name, item))

    root.visititems(gather)
    frames = [name for name, item in found if pandas_hdf5.is_frame(item)]
    tables = []
    for name, item in found:
        if name in frames:
            tables.append(pandas_hdf5.table(path, name, item))
        elif any(name == f or name.startswith(f"{f}/") for f in frames) or _META in name:
            continue
        elif isinstance(item, h5py.Dataset) and item.dtype.names is not None:
            tables.append(_compound(path, name, item, root))
        elif isinstance(item, h5py.Group) and any(_is_column(n, d) for n, d in item.items()):
            tables.append(_group(path, name, item))

    def absent(choice: int | str) -> Unreadable:
        name = str(choice)
        return Unreadable(f"{path} has no table {name!r}{nearest(name, [t.name for t in tables])}")

    return Container(
        path,
        "key",
        tables,
        none=f"{path} holds no table: neither a group of one-dimensional datasets nor a "
        "compound dataset",
        absent=absent,
    )


def _is_column(name: str, item: Any) -> bool:
    return (
        isinstance(item, h5py.Dataset)
        and (item.ndim == 1 or (item.ndim == 2 and item.shape[1] == 1))
        and item.dtype.names is None
        and _META not in name
    )


def _source(path: str, name: str, **rest: Any) -> TableSource:
    return TableSource(f"{path} [{name}]", place=f"key {name!r}", name=name, **rest)


def _compound(path: str, name: str, item: Any, root: Any) -> TableSource:
    if f"{name}.{_META}" in root:
        # astropy's own: units, masks and the like stand in a dataset of their own.
        table = of_astropy(Table.read(root, path=name, format="hdf5"), "")
        return _source(path, name, names=table.names, load=table.load, units=table.units,
                       length=len(item), meta=_attributes(item) | table.meta)  # fmt: skip
    return _source(
        path,
        name,
        meta=_attributes(item),
        names=list(item.dtype.names),
        load=lambda column: item[column],
        length=item.shape[0] if item.ndim else 1,
    )


def _group(path: str, name: str, group: Any) -> TableSource:
    columns = {
        n: d
        for n, d in group.items()
        if isinstance(d, h5py.Dataset)
        and d.ndim in (1, 2)
        and d.dtype.names is None
        and _META not in n
    }
    units = {}
    for column, dataset in columns.items():
        unit = dataset.attrs.get("unit", dataset.attrs.get("units"))
        if unit is not None and str(unit) not in ("", "b''"):
            units[column] = unit.decode() if isinstance(unit, bytes) else str(unit)
    lengths = {len(d) for n, d in columns.items() if _is_column(n, d)}
    stated = {
        n: d[()]
        for n, d in group.items()
        if isinstance(d, h5py.Dataset) and d.shape in ((), (3,)) and d.dtype.names is None
    }
    return _source(
        path,
        name,
        meta=stated | _attributes(group),
        names=list(columns),
        load=lambda column: _values(columns[column]),
        units=units,
        length=lengths.pop() if len(lengths) == 1 else None,
    )


def _attributes(item: Any) -> dict[str, Any]:
    """Attributes of a table and of the groups that it is in, but those of the whole file."""
    found: dict[str, Any] = {}
    while item.name not in ("/", None):
        found = {**item.attrs, **found}
        item = item.parent
    return found


def _values(dataset: Any) -> np.ndarray:
    values: np.ndarray = dataset[...]
    # netCDF's sign of an entry never written.
    fill = dataset.attrs.get("_FillValue")
    if fill is not None and np.size(fill) == 1 and values.dtype.kind in "iuf":
        return masked(values, values == np.ravel(fill)[0])
    return values
