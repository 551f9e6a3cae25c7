"""Rockstar's ASCII halo lists as tables of columns."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pysoftcorr.columns import Expression
from pysoftcorr.tables import TableSource

_OPENERS: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_NUMBER = r"([-+0-9.eE]+)"


@dataclass
class RockstarHeader:
    """What the comment lines say: names of columns, box, redshift, matter density, radii."""

    names: list[str]
    boxsize: float | None = None
    redshift: float | None = None
    radii_in_kpc: bool = True
    omega_m: float | None = None
    h: float | None = None


def read_header(path: Path) -> RockstarHeader | None:
    """The header of a Rockstar list (or a consistent-trees ``hlist``); None for another file.

    Its first line names the columns, X, Y, Z and Mvir (in either case) among them; in an
    ``hlist`` each name is followed by its number in brackets.
    """
    try:
        with _opened(path) as stream:
            first = stream.readline(20000)
            if not first.startswith("#"):
                return None
            names = [re.sub(r"\(\d+\)$", "", name) for name in first[1:].split()]
            if not {"x", "y", "z", "mvir"} <= {name.lower() for name in names}:
                return None
            comments = []
            for line in stream:
                if not line.startswith("#"):
                    break
                comments.append(line)
    except (OSError, EOFError, UnicodeDecodeError):
        return None
    text = "".join(comments)
    header = RockstarHeader(names)
    header.boxsize = _value(rf"[Bb]ox size\s*[:=]\s*{_NUMBER}", text)
    header.omega_m = _value(rf"(?:Om|Omega_M)\s*=\s*{_NUMBER}", text)
    header.h = _value(rf"\bh0?\s*=\s*{_NUMBER}", text)
    scale = _value(rf"(?m)^#\s*a\s*=\s*{_NUMBER}", text)
    if scale:
        header.redshift = max(1.0 / scale - 1.0, 0.0)
    for line in comments:
        if "units" in line.lower() and "radii" in line.lower():
            header.radii_in_kpc = "kpc" in line.lower()
    return header


class Rows:
    """The rows of a Rockstar list, read in one pass for the columns named beforehand."""

    def __init__(self, path: Path, header: RockstarHeader) -> None:
        self._path, self._names = path, header.names
        self._wanted: list[str] = []
        self._read: dict[str, np.ndarray] = {}

    def table(self) -> TableSource:
        """The table; loading a column raises ValueError where a row is damaged."""
        return TableSource(str(self._path), self._names, self._load)

    def prefetch(self, texts: Iterable[str]) -> None:
        """Name columns, or expressions of columns, that will be asked for."""
        for text in texts:
            found = (text,) if text in self._names else Expression(text).names
            self._wanted += [n for n in found if n in self._names and n not in self._wanted]

    def _load(self, name: str) -> np.ndarray:
        if name not in self._read:
            names = list(dict.fromkeys([name, *self._wanted]))
            columns = [self._names.index(n) for n in names]
            try:
                with _opened(self._path) as stream, warnings.catch_warnings():
                    warnings.simplefilter("ignore", UserWarning)  # no rows: told by the caller
                    values = np.loadtxt(stream, comments="#", usecols=columns, ndmin=2)
            except (ValueError, IndexError, OSError, EOFError) as error:
                raise ValueError(f"{self._path}: the file is damaged ({error})") from None
            values = values.reshape(-1, len(names))
            self._read = {n: values[:, i].copy() for i, n in enumerate(names)}
        return self._read[name]


def _opened(path: Path) -> io.TextIOBase:
    return _OPENERS.get(path.suffix, open)(path, "rt", encoding="utf-8")


def _value(pattern: str, text: str) -> float | None:
    found = re.search(pattern, text)
    try:
        return float(found[1]) if found else None
    except ValueError:
        return None
