"""Tables of text: the dialect found from the lines themselves, then read by astropy."""

from __future__ import annotations

import csv
import itertools
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import astropy.units as u
import numpy as np
from astropy.io import ascii as astropys

from pysoftcorr.core.checks import angle_unit
from pysoftcorr.core.tables.memory import of_astropy, stated_in_lines
from pysoftcorr.core.tables.source import TableSource, Unreadable
from pysoftcorr.core.tables.values import integers

#: Cells that stand for a missing entry, as pandas, TOPCAT and the archives write them.
MISSING = (
    *("", "null", "NULL", "NA", "N/A", "n/a", "<NA>", "#N/A", "None", "--"),
    *("nan", "NaN", "-nan", "-NaN", "NaT"),
)
_DELIMITERS = ("\t", ";", ",", "|")
_SAMPLE = 200
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eEdD][-+]?\d+)?|[-+]?inf(inity)?", re.IGNORECASE)
#: Angles such as 10:00:28.6, 10h00m28s, and decimal commas.
_LIKE_NUMBER = re.compile(r"[-+]?\d+([:hd°]\s*\d|,\d)", re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"[-+]?\d*,\d+")
_SEXTRACTOR = re.compile(r"#\s*1\s+[A-Za-z]\w*")
_CDS = "byte-by-byte description of file"
_IPAC_TYPE = re.compile(r"(i|int|l|long|d|double|f|float|r|real|c|char|date)$", re.IGNORECASE)
_RULE = re.compile(r"[|+]?[-+=|: ]*---[-+=|: ]*")
_HTML = ("<!doctype html", "<html")


def table(path: str, content: bytes, kind: str) -> TableSource:
    """A table of text.

    Parameters
    ----------
    path : str
        For messages.
    content : bytes
    kind : str
        "ecsv" where the suffix says so; the lines tell of all else.
    """
    lines = _lines(path, content)
    start = next((line.strip() for line in lines if line.strip()), "")
    if not start:
        raise Unreadable(f"{path} is empty")
    if start.lower().startswith(_HTML):
        raise Unreadable(f"{path} is a page of HTML, not a table; was the download refused?")
    if start.startswith(("{", "[{", "[[")):
        raise Unreadable(f"{path} is JSON, not a table; write the table as Parquet, FITS or CSV")
    lines = _unframed(lines)
    start = next((line.strip() for line in lines if line.strip()), "")
    if start.startswith("# %ECSV") or kind == "ecsv":
        return _astropy(path, lines, "ecsv", "ECSV")
    found = _of_lines(path, lines, start)
    comments = itertools.takewhile(lambda line: not line.strip() or _is_comment(line), lines)
    columns = {name.lower() for name in found.names}
    # A comment may as well number the columns: "x = 1, y = 2".
    stated = {k: v for k, v in stated_in_lines(comments).items() if k.lower() not in columns}
    found.meta = stated | found.meta
    return found


def _of_lines(path: str, lines: list[str], start: str) -> TableSource:
    """A table of text other than ECSV, whose first line with text is `start`."""
    if start.startswith(("\\", "|")) and any(line.startswith("|") for line in lines):
        return _astropy(path, lines, "ipac", "an IPAC table")
    head = [line.lower() for line in lines[:_SAMPLE]]
    if any(line.startswith(_CDS) for line in head):
        form = "mrt" if head[0].startswith("title:") else "cds"
        return _astropy(path, lines, form, "a table of the CDS")
    if _SEXTRACTOR.match(start):
        return _astropy(path, lines, "sextractor", "a catalog of SExtractor")
    return _delimited(path, lines)


def _unframed(lines: list[str]) -> list[str]:
    """The lines of a table in a frame, ``| ra | dec |``, without it; others as they are.

    As databases, Markdown and astropy's fixed width write them. Tables of IPAC begin alike, but
    their data do not.
    """
    body = [line.strip() for line in lines if line.strip()]
    rows = [line for line in body if not _RULE.fullmatch(line)]
    if rows and len(rows) < len(body) and re.fullmatch(r"\(\d+ rows?\)", rows[-1]):
        rows.pop()
    if len(rows) < 2 or not all("|" in line for line in rows):
        return lines
    if not all(line.startswith("|") and line.endswith("|") for line in rows):
        return rows if any("+" in line for line in body if _RULE.fullmatch(line)) else lines
    if all(_IPAC_TYPE.match(cell.strip()) for cell in rows[1].strip("|").split("|")):
        return lines  # the header of IPAC's without data
    return [line[1:-1] for line in rows]


def _lines(path: str, content: bytes) -> list[str]:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = content.decode("utf-16")
    elif b"\0" in content[:65536]:
        raise Unreadable(
            f"{path} is no table of a known format: neither FITS, HDF5, Parquet, NumPy nor VOTable "
            "by its first bytes, and not text"
        )
    else:
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = content.decode("latin-1")
    # Not str.splitlines, which also breaks at form feeds and the like.
    return text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n").split("\n")


def _astropy(path: str, lines: list[str], form: str, what: str) -> TableSource:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            read = astropys.read(lines, format=form, guess=False)
        except Exception as error:
            raise _unreadable(path, what, error) from None
    return of_astropy(read, path)


def _unreadable(path: str, what: str, error: Exception) -> Unreadable:
    said = [line.strip() for line in str(error).splitlines() if line.strip()]
    first = said[0] if said else type(error).__name__
    return Unreadable(f"{path} cannot be read as {what}: {first}")


# ---------------------------------------------------------------------- delimited text
@dataclass
class _Dialect:
    """How a table of text is laid out."""

    delimiter: str
    names: list[str]
    data: list[str]
    numbers: list[int]
    units: dict[str, str]


def _delimited(path: str, lines: list[str]) -> TableSource:
    dialect = _dialect(path, lines)
    if not dialect.data:
        empty: dict[str, np.ndarray] = {name: np.zeros(0) for name in dialect.names}
        return TableSource(path, list(empty), empty.__getitem__, dialect.units, length=0)
    names = [f"c{k}" for k in range(len(dialect.names))]
    text = "\n".join([dialect.delimiter.join(names), *dialect.data])
    if dialect.delimiter == "\t":
        text = re.sub(r" *\t *", "\t", text)
    if not text.isascii():
        text = re.sub(r"[^\x00-\x7f]", lambda m: f"\x1a{ord(m[0]):x};", text)
    with warnings.catch_warnings():
        # Whole numbers past 64 bits are taken care of below.
        warnings.simplefilter("ignore")
        try:
            read = astropys.read(
                text,
                format="tab" if dialect.delimiter == "\t" else "basic",
                delimiter=dialect.delimiter,
                fill_values=[(cell, "0") for cell in MISSING],
                guess=False,
                fast_reader={"enable": "force", "use_fast_converter": False},
            )
        except Exception as error:
            raise _ragged(path, dialect) or _unreadable(path, "a table of text", error) from None

    def load(name: str) -> Any:
        values = _typed(read.columns[dialect.names.index(name)])
        there = np.ma.compressed(values) if values.dtype.kind == "U" else np.zeros(0)
        if there.size and all(_DECIMAL_COMMA.fullmatch(cell) for cell in there.tolist()):
            raise Unreadable(
                f"column {name!r} of {path} has commas in its numbers ({str(there[0])!r}); write "
                "decimal points"
            )
        return values

    return TableSource(path, dialect.names, load, dialect.units, length=len(read))


def _ragged(path: str, dialect: _Dialect) -> Unreadable | None:
    """The error of the first line that has more or fewer cells than the header."""
    for line, number in zip(dialect.data, dialect.numbers, strict=True):
        cells = len(_split(line, dialect.delimiter))
        if cells != len(dialect.names):
            return Unreadable(
                f"{path} cannot be read as a table of text: line {number + 1} has {cells} cells "
                f"where the header has {len(dialect.names)}: {line.strip()[:60]!r}"
            )
    return None


def _typed(column: Any) -> np.ndarray:
    """Truth values, Fortran's decimal numbers and whole numbers past int64, read as text so far."""
    values = np.ma.asarray(column) if hasattr(column, "mask") else np.asarray(column)
    if values.dtype.kind != "U":
        return values
    if any("\x1a" in text for text in np.ma.getdata(values).tolist()):
        # The C parser takes ASCII alone.
        back = [re.sub(r"\x1a([0-9a-f]+);", lambda m: chr(int(m[1], 16)), t)
                for t in np.ma.getdata(values).tolist()]  # fmt: skip
        return np.ma.MaskedArray(np.array(back), mask=np.ma.getmaskarray(values))
    mask = np.ma.getmaskarray(values)
    there = np.ma.getdata(values)[~mask]
    made: np.ndarray | None = None
    if there.size == 0:
        return np.ma.MaskedArray(np.zeros(values.shape), mask=True)
    if set(np.unique(np.char.lower(there))) <= {"true", "false"}:
        made = np.char.lower(there) == "true"
    elif all(re.fullmatch(r"[-+]?\d+", text) for text in there):
        made = integers([int(text) for text in there])
        if made is None:
            return values  # no type of 64 bits holds them
    elif all(_NUMBER.fullmatch(text) for text in there[:_SAMPLE]):
        try:
            made = np.array([float(re.sub("[dD]", "e", text)) for text in there])
        except ValueError:
            made = None
    if made is None:
        return values
    full = np.zeros(values.shape, dtype=made.dtype)
    full[~mask] = made
    return np.ma.MaskedArray(full, mask=mask) if mask.any() else full


def _dialect(path: str, lines: list[str]) -> _Dialect:
    """Delimiter, names of columns and lines of data."""
    body = [k for k, line in enumerate(lines) if line.strip() and not _is_comment(line)]
    comments = [line.strip() for line in lines[: body[0] if body else None] if _is_comment(line)]
    if not body:
        header = [line.lstrip("# ") for line in comments if line.lstrip("# ")]
        names = _split(header[-1], _delimiter([header[-1]])) if header else []
        return _Dialect(" ", _named(names), [], [], {})
    data = [lines[k] for k in body]
    delimiter = _delimiter(data[:_SAMPLE])
    # TOPCAT quotes text with blanks in it by either mark.
    requoted = [re.sub(r"(?<!\S)'([^'\"]*)'(?!\S)", r'"\1"', line) for line in data]
    requoted = [re.sub(r'(?<!\S)""(?!\S)', "null", line) for line in requoted]
    if requoted != data and _delimiter(requoted[:_SAMPLE]) == " ":
        data, delimiter = requoted, " "
    first = _split(data[0], delimiter)
    if not any(_is_value(cell) for cell in first):
        rest, skip = data[1:3], 1
        units: dict[str, str] = {}
        names = _named(first)
        if len(rest) > 1 and _are_dashes(_split(rest[1], delimiter)):
            # VizieR: names, units, dashes.
            cells = _split(rest[0], delimiter)
            units = {n: c for n, c in zip(names, cells, strict=False) if c and '"h:m:s"' not in c}
            skip = 3
        elif rest and all(re.fullmatch(r"\d*[SNM]", c) for c in _split(rest[0], delimiter)):
            skip = 2  # RDB: names, types
        elif len(rest) > 1 and _are_units(_split(rest[0], delimiter), _split(rest[1], delimiter)):
            cells = _split(rest[0], delimiter)
            units = {n: c for n, c in zip(names, cells, strict=False) if c}
            skip = 2
        elif rest and _are_dashes(_split(rest[0], delimiter)):
            skip = 2
        return _Dialect(delimiter, names, data[skip:], body[skip:], units)
    found = _commented(comments, delimiter, len(first))
    if found is None:
        raise Unreadable(
            f"{path} has no line of column names: its first line is {data[0].strip()[:60]!r}. "
            "Write the names into a first line, or into a comment line before the data, such as "
            "'# ra dec g1 g2'"
        )
    return _Dialect(delimiter, _named(found), data, body, {})


def _is_comment(line: str) -> bool:
    return line.lstrip().startswith("#")


def _delimiter(sample: Sequence[str]) -> str:
    """The character that cuts all lines into as many cells; blanks where none does."""
    for delimiter in _DELIMITERS:
        counts = {len(row) for row in csv.reader(sample, delimiter=delimiter)}
        if len(counts) == 1 and counts.pop() > 1:
            return delimiter
    counts = {len(_split(line, " ")) for line in sample}
    if (len(counts) == 1 and counts.pop() > 1) or not any(d in sample[0] for d in _DELIMITERS):
        return " "
    # No way of cutting suits all lines: that of the first line, so that the error names a line.
    return max(_DELIMITERS, key=sample[0].count)


def _split(line: str, delimiter: str) -> list[str]:
    line = line.strip() if delimiter == " " else line
    row = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
    cells = [cell.strip() for cell in row]
    return [c for c in cells if c] if delimiter == " " else cells


def _is_value(cell: str) -> bool:
    """Whether a cell is of data rather than of a header."""
    return bool(_NUMBER.fullmatch(cell) or _LIKE_NUMBER.match(cell) or (cell and cell in MISSING))


def _are_dashes(cells: list[str]) -> bool:
    # A single dash may be an entry that is missing.
    dashes = all(re.fullmatch(r"-+", cell) for cell in cells)
    return dashes and any(len(cell) > 2 for cell in cells)


def _are_units(cells: list[str], following: list[str]) -> bool:
    """Whether a line below the names is one of units: no numbers in it, but in the next line."""
    if not any(cells) or not any(_is_value(c) for c in following if c not in MISSING):
        return False
    return all(not cell or _is_unit(cell) for cell in cells)


def _is_unit(cell: str) -> bool:
    try:
        angle_unit(cell, "unit")
    except ValueError:
        try:
            u.Unit(cell)
        except ValueError:
            return False
    return not _is_value(cell)


def _commented(comments: list[str], delimiter: str, count: int) -> list[str] | None:
    """The names in a comment line: the last that has as many, none of them a number."""
    # A line cut as the data are comes before one cut by blanks, which could be a remark.
    for by in dict.fromkeys((delimiter, " ", ",")):
        for line in reversed(comments):
            cells = _split(line.lstrip("#").strip(), by)
            if len(cells) == count and not any(_is_value(cell) for cell in cells):
                return cells
    return None


def _named(cells: list[str]) -> list[str]:
    """Names of columns; one without a name, such as pandas' index, is called by its number."""
    numbered = [re.fullmatch(r"(.+)\((\d+)\)", cell) for cell in cells]
    counts = [int(found[2]) for found in numbered if found]
    if len(counts) == len(cells) > 1 and counts == list(range(counts[0], counts[0] + len(counts))):
        # As AHF has them: ID(1) hostHalo(2) ...
        cells = [found[1] for found in numbered if found]
    return [cell or f"col{k + 1}" for k, cell in enumerate(cells)]
