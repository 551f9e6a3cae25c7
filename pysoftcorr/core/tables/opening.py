"""From a path, a list, a pattern or a table in memory to the table behind one interface."""

from __future__ import annotations

import bz2
import glob
import gzip
import io
import lzma
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from pysoftcorr.core.cautions import caution
from pysoftcorr.core.expressions import suggestion
from pysoftcorr.core.extras import MissingExtra
from pysoftcorr.core.files import no_file
from pysoftcorr.core.memory import available_memory, refuse_beyond_memory, size_text
from pysoftcorr.core.tables import arrays, fits, hdf5, parquet, text, votable
from pysoftcorr.core.tables.container import Choice, Container, Suits
from pysoftcorr.core.tables.memory import in_memory
from pysoftcorr.core.tables.parts import join
from pysoftcorr.core.tables.source import TableSource, Unreadable, first_line

_SUFFIXES = {
    ".fits": "FITS",
    ".fit": "FITS",
    ".fts": "FITS",
    ".h5": "HDF5",
    ".hdf5": "HDF5",
    ".hdf": "HDF5",
    ".parquet": "Parquet",
    ".parq": "Parquet",
    ".pq": "Parquet",
    ".feather": "Feather",
    ".arrow": "Feather",
    ".npy": "NumPy",
    ".npz": "NumPy",
    ".vot": "VOTable",
    ".votable": "VOTable",
    ".ecsv": "ecsv",
}
_MAGIC = (
    (b"SIMPLE  =", "FITS"),
    (b"\x89HDF", "HDF5"),
    (b"PAR1", "Parquet"),
    (b"ARROW1", "Feather"),
    (b"\x93NUMPY", "NumPy"),
)
_PACKED: tuple[tuple[bytes, Callable[[Any], Any]], ...] = (
    (b"\x1f\x8b", gzip.open),
    (b"BZh", bz2.open),
    (b"\xfd7zXZ\0", lzma.open),
)
#: What is known by its first bytes, and cannot be read.
_FOREIGN = (
    (b"PK\x03\x04", "a ZIP archive (or a spreadsheet); unpack it, or save the sheet as CSV"),
    (b"\x1f\x9d", "packed by compress (.Z); unpack it"),
    (b"(\xb5/\xfd", "packed by Zstandard; unpack it"),
    (b"7z\xbc\xaf", "a 7-Zip archive; unpack it"),
    (b"root", "a ROOT file; convert it to Parquet or FITS"),
    (b"#ASDF", "an ASDF file; write its table as FITS, Parquet or ECSV"),
    (b"\xd0\xcf\x11\xe0", "a spreadsheet; save it as CSV"),
    (b"%PDF", "a PDF, no table"),
    (b"\x80\x04\x95", "a pickle, which could run anything; write the table as Parquet or FITS"),
    (b"\x80\x05\x95", "a pickle, which could run anything; write the table as Parquet or FITS"),
)
#: Bytes of a column above which its memory is said.
_MUCH = 2.0**30
#: Formats of which single columns are read; files of the others are read as a whole.
_BY_COLUMN = ("FITS", "HDF5", "Parquet")
_PIECE = 2**24


@contextmanager
def open_table(
    source: Any, *, hdu: Choice = None, key: Choice = None, suits: Suits | None = None
) -> Iterator[TableSource]:
    """Open files, or wrap a table already in memory, for the time of a ``with`` block.

    Parameters
    ----------
    source : path, pattern, list of these, or a table in memory
        A file's format follows from its first bytes, or else from its suffix; packed ones
        (gzip, bzip2, xz) are unpacked. A folder is one of Parquet files. A pattern such as
        ``"chip*.fits"`` stands for the files that match, sorted. Tables in memory are astropy's,
        pandas' or Arrow's, a mapping of columns or a structured array. Of several, one table is
        made.
    hdu : int, str or sequence of these, optional
        FITS extension by number or name, several to be read as one table, or "all".
    key : str, int or sequence of these, optional
        Table of an HDF5 file, a VOTable or an archive of NumPy, in the same way.
    suits : callable, optional
        Called with a table: raises ValueError where it lacks what is asked for. Of several tables
        of a file, the one that suits is read where nothing is chosen.

    Raises
    ------
    FileNotFoundError
        If a file is not there, or none matches the pattern.
    ValueError
        If one cannot be read as what it seems to be or holds no table, or several tables would
        do and none is chosen.
    TypeError
        If `source` is nothing of the above.
    """
    with ExitStack() as stack:
        tables: list[TableSource] = []
        for part in several(source):
            if isinstance(part, (str, os.PathLike)):
                tables += _tables(part, hdu, key, suits, stack)
            elif hdu is not None or key is not None:
                raise ValueError("hdu and key are for files, not for tables in memory")
            else:
                number = f"table {len(tables)}" if isinstance(source, (list, tuple)) else None
                tables.append(in_memory(part, number))
        whole = join(tables)
        _say_size(whole, sum(t.length or 0 for t in tables))
        yield whole


def _say_size(table: TableSource, rows: int) -> None:
    """Refuse what two columns alone would take too much memory for; a warning where it is much."""
    size = 16.0 * rows  # as it is stored, and as numbers of 8 bytes
    refuse_beyond_memory(f"{table.label}: two columns of {rows:,} rows", 2 * size)
    if size > _MUCH:
        caution(
            f"{table.label} has {rows:,} rows: each column takes {size_text(size)} of memory, and "
            f"{size_text(available_memory())} are free"
        )


def several(source: Any) -> list[Any]:
    """The single sources of a list or a pattern: paths, or tables in memory."""
    if isinstance(source, (str, os.PathLike)):
        return list(_matching(source))
    if isinstance(source, (list, tuple)) or _is_iterator(source):
        parts: list[Any] = []
        for each in source:
            parts += _matching(each) if isinstance(each, (str, os.PathLike)) else [each]
        if not parts:
            raise ValueError("no catalog is given: the list of files is empty")
        seen: dict[Path, Any] = {}
        for part in parts:
            if isinstance(part, Path):
                place = part.resolve()
                if place in seen:
                    raise ValueError(f"{part} is given twice; its objects would count twice")
                seen[place] = part
        return parts
    return [source]


def _is_iterator(source: Any) -> bool:
    return isinstance(source, Iterator) and not any(hasattr(source, a) for a in ("columns", "read"))


def _matching(source: str | os.PathLike[str]) -> list[Path]:
    text = os.fspath(source)
    if not text.strip():
        raise ValueError("the path of the catalog is empty")
    if "://" in text:
        raise ValueError(f"{text} is an address; download the file, and give its path")
    path = Path(source).expanduser()
    if _exists(path) or not glob.has_magic(str(path)):
        return [path]
    found = sorted(glob.glob(str(path), recursive=True))
    if not found:
        part = re.fullmatch(r"(.+)\[(\w+)\]", str(path))
        if part and _exists(Path(part[1])):
            raise FileNotFoundError(
                f"no file matches the pattern {str(path)!r}; for a part of {part[1]}, "
                f"pass hdu='{part[2]}'"
            )
        raise FileNotFoundError(f"no file matches the pattern {str(path)!r}")
    return [Path(name) for name in found]


def _tables(
    source: str | os.PathLike[str],
    hdu: Choice,
    key: Choice,
    suits: Suits | None,
    stack: ExitStack,
) -> list[TableSource]:
    path = Path(source).expanduser()
    if not _exists(path):
        name = str(path) if len(str(path)) < 300 else f"{str(path)[:60]!r}..."
        raise FileNotFoundError(f"no such catalog: {name}{_similar_file(path)}")
    if path.is_dir():
        if not parquet.is_folder(path):
            endings = Counter(p.suffix for p in path.iterdir() if p.is_file() and p.suffix)
            ending = endings.most_common(1)[0][0] if endings else ".fits"
            raise ValueError(
                f"{path} is a folder without Parquet files; a catalog is a file, or files by a "
                f"pattern such as {str(path / f'*{ending}')!r}"
            )
        _refuse_choice(path, "Parquet", hdu, key)
        with _reading(path, "Parquet"):
            return parquet.folder(path)
    kind, content = _content(path)
    if kind not in _BY_COLUMN:
        size = path.stat().st_size if isinstance(content, str) else len(content.getbuffer())
        refuse_beyond_memory(f"{path}: its {size:,} bytes, read as a whole", 2.0 * size)
    with _reading(path, kind):
        container = _container(path, kind, content, stack)
    _refuse_choice(path, kind, hdu, key, container.option)
    return container.choose(hdu if container.option == "hdu" else key, suits)


def _refuse_choice(path: Path, kind: str, hdu: Choice, key: Choice, option: str = "") -> None:
    name = {"ecsv": "ECSV"}.get(kind, kind)
    if hdu is not None and option != "hdu":
        raise ValueError(f"hdu = {hdu!r} is for FITS files; {path.name} is read as {name}")
    if key is not None and option != "key":
        raise ValueError(
            f"key = {key!r} is for HDF5 files, VOTables and archives of NumPy; {path.name} is "
            f"read as {name}"
        )


def _container(path: Path, kind: str, content: Any, stack: ExitStack) -> Container:
    name = str(path)
    if kind == "FITS":
        return fits.container(name, content, stack)
    if kind == "HDF5":
        return hdf5.container(name, content, stack)
    if kind == "NumPy":
        return arrays.container(name, content, stack)
    if kind == "VOTable":
        return votable.container(name, content)
    if kind == "Parquet":
        return Container(name, "", [parquet.parquet(name, content)])
    if kind == "Feather":
        return Container(name, "", [parquet.feather(name, content)])
    bytes_ = content.read() if hasattr(content, "read") else Path(content).read_bytes()
    return Container(name, "", [text.table(name, bytes_, kind)])


def _content(path: Path) -> tuple[str, Any]:
    """The format of a file, and its path or, where it is packed, its unpacked content."""
    what = no_file(path)
    if what:
        raise ValueError(f"{path} is {what}; a catalog is read from a file")
    bare = path.name.lower()
    for packed in (".gz", ".bz2", ".xz"):
        bare = bare.removesuffix(packed)
    suffix = Path(bare).suffix
    content: Any = str(path)
    with open(path, "rb") as stream:
        start = stream.read(4096)
    if not start:
        raise ValueError(f"{path} is empty")
    for magic, unpack in _PACKED:
        if start.startswith(magic):
            try:
                with unpack(path) as stream:
                    content = _unpacked(path, stream)
            except (PermissionError, _TooLarge):
                raise
            except Exception as error:  # zlib.error, LZMAError, EOFError, ...
                what = f"{path} is damaged and cannot be unpacked: {first_line(error)}"
                raise ValueError(what) from None
            start = content.getvalue()[:4096]
    for magic, kind in _MAGIC:
        if start.startswith(magic):
            return kind, content
    if b"<VOTABLE" in start or b"<vot:VOTABLE" in start:
        return "VOTable", content
    if suffix == ".npz":
        return "NumPy", content
    for magic, what in _FOREIGN:
        if start.startswith(magic):
            raise ValueError(f"{path} is {what}")
    if start.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"<?xml"):
        return "VOTable", content
    return _SUFFIXES.get(suffix, "text"), content


class _TooLarge(ValueError):
    """A packed file holds more than there is memory for."""


def _unpacked(path: Path, stream: Any) -> io.BytesIO:
    """The content of a packed file, as far as there is memory for it."""
    content = io.BytesIO()
    while piece := stream.read(_PIECE):
        content.write(piece)
        try:
            refuse_beyond_memory(f"{path}: its unpacked content", float(content.tell()))
        except ValueError as error:
            raise _TooLarge(*error.args) from None
    content.seek(0)
    return content


@contextmanager
def _reading(path: Path, kind: str) -> Iterator[None]:
    """Turn whatever a library raises of a file into one error that names file and format."""
    try:
        yield
    except (Unreadable, MissingExtra, FileNotFoundError, PermissionError):
        raise
    except Exception as error:  # every kind of them, for one reason
        what = {"text": "a table of text", "ecsv": "ECSV", "NumPy": "NumPy arrays"}.get(kind, kind)
        raise Unreadable(f"{path} cannot be read as {what}: {first_line(error)}") from None


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # too long, or with a NUL: a text that is no path
        return False


def _similar_file(path: Path) -> str:
    if not _exists(path.parent) or not path.parent.is_dir():
        return f" (nor is there a folder {path.parent})" if len(str(path)) < 300 else ""
    return suggestion(path.name, (p.name for p in path.parent.iterdir() if p.is_file()))
