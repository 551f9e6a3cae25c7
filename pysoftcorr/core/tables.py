"""Tables of every format behind one interface: names, units, and columns read when asked for."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from astropy.io import fits
from astropy.table import Table

from pysoftcorr.core.expressions import Expression, nearest, suggestion
from pysoftcorr.core.extras import need

_FORMATS = {
    ".fits": "fits",
    ".fit": "fits",
    ".fts": "fits",
    ".h5": "hdf5",
    ".hdf5": "hdf5",
    ".hdf": "hdf5",
    ".parquet": "parquet",
    ".parq": "parquet",
    ".pq": "parquet",
    ".npy": "numpy",
    ".npz": "numpy",
    ".ecsv": "ecsv",
    ".csv": "csv",
}
_MAGIC = (
    (b"SIMPLE  =", "fits"),
    (b"\x89HDF", "hdf5"),
    (b"PAR1", "parquet"),
    (b"\x93NUMPY", "numpy"),
    (b"# %ECSV", "ecsv"),
)
_META = "__table_column_meta__"


@dataclass
class TableSource:
    """A table whose columns are read one at a time.

    Attributes
    ----------
    label : str
        What messages call it.
    names : list of str
        Its columns.
    load : callable
        Gives the array of a named column, a masked one where entries are missing.
    units : dict of str to str
        Units of those columns that have one.
    """

    label: str
    names: list[str]
    load: Callable[[str], Any]
    units: dict[str, str] = field(default_factory=dict)
    _cache: dict[str, np.ndarray] = field(default_factory=dict)

    def column(self, name: str) -> np.ndarray:
        """The array of the column `name`; ValueError, with the nearest names, without one."""
        if name not in self.names:
            raise ValueError(f"no column {name!r} in {self.label}{nearest(name, self.names)}")
        if name not in self._cache:
            self._cache[name] = _plain(self.load(name))
        return self._cache[name]

    def evaluate(self, text: str) -> tuple[Any, tuple[str, ...]]:
        """Value of a column or of an expression, and the names of the columns it used."""
        if text in self.names:
            return self.column(text), (text,)
        expression = Expression(text)
        for name in expression.names:
            if name not in self.names:
                inside = "" if name == text.strip() else f" (in {text!r})"
                raise ValueError(
                    f"no column {name!r} in {self.label}{inside}{nearest(name, self.names)}"
                )
        return expression.evaluate(self.column), expression.names

    def rows(self, text: str) -> int:
        """Number of rows of the columns that an expression uses."""
        used = (text,) if text in self.names else Expression(text).names or self.names[:1]
        return len(self.column(used[0])) if used else 0


@contextmanager
def open_table(
    source: Any, *, hdu: int | str | None = None, key: str | None = None
) -> Iterator[TableSource]:
    """Open a file, or wrap a table already in memory, for the time of a ``with`` block.

    Parameters
    ----------
    source : path, astropy Table, pandas DataFrame, mapping or structured array
        A file's format follows from its suffix, or else from its first bytes.
    hdu : int or str, optional
        FITS extension, by number or name; the first table where not given.
    key : str, optional
        HDF5 group of columns, or compound dataset.

    Raises
    ------
    FileNotFoundError
        If the file is not there.
    ValueError
        If it cannot be read as what it seems to be, or holds no table.
    TypeError
        If `source` is nothing of the above.
    """
    if not isinstance(source, (str, os.PathLike)):
        if hdu is not None or key is not None:
            raise ValueError("hdu and key are for files, not for tables in memory")
        yield _in_memory(source)
        return
    path = Path(source).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"no such catalog: {path}{_similar_file(path)}")
    if path.is_dir():
        raise ValueError(f"{path} is a folder; a catalog is one file")
    kind = _format(path)
    if hdu is not None and kind != "fits":
        raise ValueError(f"hdu = {hdu!r} is for FITS files; {path.name} is read as {kind}")
    if key is not None and kind != "hdf5":
        raise ValueError(f"key = {key!r} is for HDF5 files; {path.name} is read as {kind}")
    with ExitStack() as stack:
        if kind == "fits":
            yield _fits(path, hdu, stack)
        elif kind == "hdf5":
            yield _hdf5(path, key, stack)
        elif kind == "parquet":
            yield _parquet(path)
        elif kind == "numpy":
            yield _numpy(path, stack)
        else:
            yield _text(path, kind)


def _format(path: Path) -> str:
    bare = path.name.lower()
    for packed in (".gz", ".bz2", ".xz"):
        bare = bare.removesuffix(packed)
    with open(path, "rb") as stream:
        start = stream.read(16)
    for magic, kind in _MAGIC:
        if start.startswith(magic):
            return kind
    return _FORMATS.get(Path(bare).suffix, "text")


def _similar_file(path: Path) -> str:
    if not path.parent.is_dir():
        return f" (nor is there a folder {path.parent})"
    return suggestion(path.name, (p.name for p in path.parent.iterdir() if p.is_file()))


def _plain(values: Any) -> np.ndarray:
    """The values without their unit, missing ones masked."""
    values = getattr(values, "value", values) if hasattr(values, "unit") else values
    if isinstance(values, np.ma.MaskedArray):
        if np.ma.is_masked(values):
            return np.ma.MaskedArray(np.ma.getdata(values), mask=np.ma.getmaskarray(values))
        return np.asarray(np.ma.getdata(values))
    return np.asarray(values)


# ---------------------------------------------------------------------- tables in memory
def _in_memory(source: Any) -> TableSource:
    if isinstance(source, Table):
        units = {n: str(source[n].unit) for n in source.colnames if _has_unit(source[n])}
        return TableSource("the table", list(source.colnames), source.__getitem__, units)
    if isinstance(source, np.ndarray) and source.dtype.names:
        return TableSource("the array", list(source.dtype.names), source.__getitem__)
    if hasattr(source, "columns") and hasattr(source, "to_numpy"):
        names = [str(c) for c in source.columns]
        original = dict(zip(names, source.columns, strict=True))
        return TableSource("the data frame", names, lambda n: _series(source[original[n]]))
    if isinstance(source, Mapping):
        units = {str(n): str(v.unit) for n, v in source.items() if _has_unit(v)}
        return TableSource("the mapping", [str(n) for n in source], source.__getitem__, units)
    raise TypeError(
        "a catalog is read from a path, an astropy Table, a pandas DataFrame, a mapping of "
        f"columns or a structured array, not from {type(source).__name__}"
    )


def _series(series: Any) -> np.ndarray:
    """A column of a data frame; what is missing in its nullable types masked."""
    kind = getattr(series.dtype, "kind", "O")
    if kind in "biu" and series.isna().any():
        missing = series.isna().to_numpy()
        data = series.fillna(False if kind == "b" else 0).to_numpy()
        return np.ma.MaskedArray(data.astype(series.dtype.numpy_dtype), mask=missing)
    if kind == "f" and series.isna().any():
        return series.to_numpy(dtype=np.float64, na_value=np.nan)
    if kind in "biuf":
        return series.to_numpy(dtype=getattr(series.dtype, "numpy_dtype", None))
    return series.to_numpy()


def _has_unit(values: Any) -> bool:
    return getattr(values, "unit", None) not in (None, "")


# ---------------------------------------------------------------------- files
def _fits(path: Path, hdu: int | str | None, stack: ExitStack) -> TableSource:
    try:
        hdus = stack.enter_context(fits.open(path, memmap=True, lazy_load_hdus=False))
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"{path} cannot be read as FITS: {error}") from None
    listing = ", ".join(f"{i} {h.name or type(h).__name__}" for i, h in enumerate(hdus))
    kinds = (fits.BinTableHDU, fits.TableHDU)
    if hdu is None:
        # SExtractor's FITS_LDAC puts a table of header cards before the table of objects.
        chosen = next(
            (i for i, h in enumerate(hdus) if isinstance(h, kinds) and h.name != "LDAC_IMHEAD"),
            None,
        )
        if chosen is None:
            raise ValueError(f"{path} holds no table; its HDUs are: {listing}")
    else:
        try:
            chosen = hdus.index_of(int(hdu) if str(hdu).lstrip("-").isdigit() else hdu)
            table = hdus[chosen]
        except (KeyError, IndexError):
            raise ValueError(f"{path} has no HDU {hdu!r}; its HDUs are: {listing}") from None
        if not isinstance(table, kinds):
            raise ValueError(f"HDU {hdu!r} of {path} is no table; its HDUs are: {listing}")
    table = hdus[chosen]
    columns = table.columns

    def load(name: str) -> Any:
        try:
            values = table.data[name]
        except (OSError, ValueError, TypeError) as error:
            raise ValueError(f"{path}, column {name!r}: the file is damaged ({error})") from None
        null = columns[name].null
        if isinstance(null, (int, np.integer)) and values.dtype.kind in "iuf":
            blank = null * (columns[name].bscale or 1) + (columns[name].bzero or 0)
            return np.ma.masked_array(values, np.asarray(values) == blank)
        return values

    units = {c.name: c.unit for c in columns if c.unit}
    return TableSource(f"{path} [HDU {chosen}]", list(columns.names), load, units)


def _hdf5(path: Path, key: str | None, stack: ExitStack) -> TableSource:
    try:
        root = stack.enter_context(h5py.File(path, "r"))
    except OSError as error:
        raise ValueError(f"{path} cannot be read as HDF5: {error}") from None
    tables: list[str] = []

    def gather(name: str, item: Any) -> None:
        if _META not in name and _is_hdf5_table(item):
            tables.append(name)

    if _is_hdf5_table(root):
        tables.append("/")
    root.visititems(gather)
    if key is None:
        if len(tables) != 1 and "/" not in tables:
            found = (
                f"several tables; pass key= one of: {', '.join(tables)}"
                if tables
                else (
                    "no table: neither a group of one-dimensional datasets nor a compound dataset"
                )
            )
            raise ValueError(f"{path} holds {found}")
        key = "/" if "/" in tables else tables[0]
    if key not in root or not _is_hdf5_table(root[key]):
        raise ValueError(f"{path} has no table {key!r}{nearest(key, tables)}")
    item = root[key]
    label = f"{path} [{key}]"
    if isinstance(item, h5py.Dataset):
        if f"{key}.{_META}" in root:
            table = Table.read(path, path=key, format="hdf5", character_as_bytes=False)
            source = _in_memory(table)
            return TableSource(label, source.names, source.load, source.units)
        return TableSource(label, list(item.dtype.names), lambda name: item[name])
    names = [n for n, d in item.items() if _is_hdf5_column(d)]
    units = {}
    for name in names:
        unit = item[name].attrs.get("unit", item[name].attrs.get("units"))
        if unit is not None:
            units[name] = unit.decode() if isinstance(unit, bytes) else str(unit)
    return TableSource(label, names, lambda name: item[name][...], units)


def _is_hdf5_column(item: Any) -> bool:
    return isinstance(item, h5py.Dataset) and item.ndim in (1, 2) and item.dtype.names is None


def _is_hdf5_table(item: Any) -> bool:
    if isinstance(item, h5py.Group):
        return any(
            isinstance(d, h5py.Dataset) and d.ndim == 1 and d.dtype.names is None and _META not in n
            for n, d in item.items()
        )
    return isinstance(item, h5py.Dataset) and item.dtype.names is not None


def _parquet(path: Path) -> TableSource:
    what = f"{path} is a Parquet file, and reading it"
    parquet = need("pyarrow.parquet", what, extra="parquet")
    try:
        file = parquet.ParquetFile(path)
    except (need("pyarrow", what).ArrowInvalid, OSError) as error:
        raise ValueError(f"{path} cannot be read as Parquet: {error}") from None
    units = {}
    for column in file.schema_arrow:
        unit = (column.metadata or {}).get(b"unit")
        if unit:
            units[column.name] = unit.decode()

    def load(name: str) -> Any:
        return file.read(columns=[name]).column(name).to_numpy()

    return TableSource(str(path), list(file.schema_arrow.names), load, units)


def _numpy(path: Path, stack: ExitStack) -> TableSource:
    try:
        data = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} cannot be read as NumPy arrays: {error}") from None
    if isinstance(data, np.ndarray):
        if data.dtype.names is None:
            raise ValueError(
                f"{path} holds a plain array of shape {data.shape}; a catalog needs named "
                "columns: a structured array, or a .npz file of one array a column"
            )
        return TableSource(str(path), list(data.dtype.names), data.__getitem__)
    archive = stack.enter_context(data)
    return TableSource(str(path), list(archive.files), archive.__getitem__)


def _text(path: Path, kind: str) -> TableSource:
    formats: Sequence[str] = {"ecsv": ("ascii.ecsv",), "csv": ("ascii.csv",)}.get(kind, ("ascii",))
    try:
        table = Table.read(path, format=formats[0])
    except Exception as error:  # astropy's readers raise of every kind, for one reason
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(f"{path} cannot be read as a table of text: {first}") from None
    source = _in_memory(table)
    return TableSource(str(path), source.names, source.load, source.units)
