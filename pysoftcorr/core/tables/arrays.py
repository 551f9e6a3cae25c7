"""NumPy's files: a structured array, or an archive of one array a column or a table."""

from __future__ import annotations

import zipfile
from contextlib import ExitStack
from typing import Any

import numpy as np

from pysoftcorr.core.expressions import nearest
from pysoftcorr.core.tables.container import Container
from pysoftcorr.core.tables.source import TableSource, Unreadable


def container(path: str, content: Any, stack: ExitStack) -> Container:
    """The tables of a .npy or .npz file."""
    data = np.load(content, allow_pickle=False)
    if isinstance(data, np.ndarray):
        if data.dtype.names is None:
            raise Unreadable(
                f"{path} holds a plain array of shape {data.shape}; a catalog needs named "
                "columns: a structured array, or a .npz file of one array a column"
            )
        table = TableSource(path, list(data.dtype.names), data.__getitem__, length=len(data))
        return Container(path, "", [table])
    archive = stack.enter_context(data)
    headers = _headers(archive)
    stated = {
        name: archive[name]
        for name, (shape, dtype) in headers.items()
        if dtype.names is None and shape in ((), (3,))
    }
    tables = [
        _structured(path, name, archive, shape, stated)
        for name, (shape, dtype) in headers.items()
        if dtype.names is not None
    ]
    columns = [n for n, (shape, dtype) in headers.items() if dtype.names is None and shape]
    if any(len(headers[n][0]) == 1 for n in columns) or (columns and not tables):
        lengths = {headers[n][0][0] for n in columns}
        tables.insert(
            0,
            TableSource(
                path if len(tables) == 0 else f"{path} [plain arrays]",
                columns,
                archive.__getitem__,
                place="key '/' (the plain arrays)",
                name="/",
                length=lengths.pop() if len(lengths) == 1 else None,
                meta=stated,
            ),
        )

    def absent(choice: int | str) -> Unreadable:
        name = str(choice)
        return Unreadable(f"{path} has no table {name!r}{nearest(name, [t.name for t in tables])}")

    return Container(path, "key", tables, none=f"{path} holds no table: no array", absent=absent)


def _structured(
    path: str, name: str, archive: Any, shape: tuple[int, ...], stated: dict[str, Any]
) -> TableSource:
    whole: dict[str, np.ndarray] = {}

    def load(column: str) -> np.ndarray:
        if name not in whole:
            whole[name] = archive[name]
        return whole[name][column]

    names = list(_headers(archive)[name][1].names or ())
    return TableSource(
        f"{path} [{name}]", names, load, place=f"key {name!r}", name=name,
        length=shape[0] if shape else 1, meta=stated,
    )  # fmt: skip


def _headers(archive: Any) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """Shape and type of each array of an archive, without reading the arrays."""
    found = {}
    zipped: zipfile.ZipFile = archive.zip
    for name in zipped.namelist():
        with zipped.open(name) as stream:
            version = np.lib.format.read_magic(stream)
            read = {(1, 0): np.lib.format.read_array_header_1_0}.get(
                version, np.lib.format.read_array_header_2_0
            )
            shape, _, dtype = read(stream)
        found[name.removesuffix(".npy")] = (shape, dtype)
    return found
