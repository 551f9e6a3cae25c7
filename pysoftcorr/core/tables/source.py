"""A table behind one interface: names, units, and columns read when asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pysoftcorr.core.checks import IntArray, Origin
from pysoftcorr.core.expressions import Expression, nearest
from pysoftcorr.core.extras import MissingExtra
from pysoftcorr.core.memory import refuse_beyond_memory
from pysoftcorr.core.tables.values import stored


class Unreadable(ValueError):
    """What this package itself finds wrong with a file: the message needs nothing added."""


def first_line(error: BaseException) -> str:
    """What a library says of a failure, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


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
        Gives the values of a named column, as the library that reads them has them.
    units : dict of str to str
        Units of those columns that have one.
    place : str
        What it is called among the tables of its file: ``HDU 2 OBJECTS``.
    number : int, optional
        Its number among the parts of its file, for `hdu`.
    name : str
        Its name there, for `hdu` or `key`.
    length : int, optional
        Number of rows, where that is known without reading a column.
    siblings : list of TableSource
        The other tables of its file.
    meta : dict
        What is stated beside the columns, by name: cards, attributes, comments of text.
    notes : dict of str to str
        Unit or comment beside some of these, by the same names.
    """

    label: str
    names: list[str]
    load: Callable[[str], Any]
    units: dict[str, str] = field(default_factory=dict)
    place: str = ""
    number: int | None = None
    name: str = ""
    length: int | None = None
    siblings: list[TableSource] = field(default_factory=list, repr=False)
    meta: dict[str, Any] = field(default_factory=dict, repr=False)
    notes: dict[str, str] = field(default_factory=dict, repr=False)
    _cache: dict[str, np.ndarray] = field(default_factory=dict, repr=False)

    def column(self, name: str) -> np.ndarray:
        """The values of the column `name`, of their stored type.

        Returns
        -------
        ndarray, or numpy.ma.MaskedArray where entries are missing
            Whole numbers, truth values and text stay what they are.

        Raises
        ------
        ValueError
            If there is no such column (the nearest names are offered), there are two, or it
            cannot be read.
        """
        if name not in self._cache:
            self._cache[name] = self.fetch(name)
        return self._cache[name]

    def fetch(self, name: str) -> np.ndarray:
        """What `column` gives, not kept."""
        self._check(name)
        if self.length is not None:
            # As it is stored, and as numbers of 8 bytes.
            what = f"{self.label}: column {name!r} of {self.length:,} rows"
            refuse_beyond_memory(what, 16.0 * self.length)
        try:
            return stored(self.load(name))
        except (Unreadable, MissingExtra):
            raise
        except Exception as error:  # libraries raise of every kind, for one reason
            raise Unreadable(
                f"{self.label}, column {name!r}, cannot be read: {first_line(error)}"
            ) from None

    def evaluate(self, text: str) -> tuple[Any, tuple[str, ...]]:
        """Value of a column or of an expression, and the names of the columns it used."""
        if text in self.names:
            return self.column(text), (text,)
        expression = Expression(text)
        self.require(text)
        return expression.evaluate(self.column), expression.names

    def require(self, *texts: str | None) -> None:
        """ValueError where a column that one of the texts uses is not there."""
        for text in texts:
            if text is None or text in self.names:
                continue
            for name in Expression(text).names:
                self._check(name, "" if name == text.strip() else f" (in {text!r})")

    def _check(self, name: str, inside: str = "") -> None:
        if name not in self.names:
            raise ValueError(
                f"no column {name!r} in {self.label}{inside}{nearest(name, self.names)}"
                f"{self.elsewhere(name)}"
            )
        count = self.names.count(name)
        if count > 1:
            raise ValueError(
                f"{self.label} has {count} columns called {name!r}; rename all but one"
            )

    def elsewhere(self, name: str | None = None) -> str:
        """Which other tables of the file have a column, as the end of a message.

        All the other tables, where none has it or no name is given.
        """
        having = [t.place for t in self.siblings if name in t.names]
        if having:
            verb = "have" if len(having) > 1 else "has"
            return f". {' and '.join(having[:5])} of the same file {verb} it"
        if self.siblings:
            return f". Other tables of the same file: {listing(self.siblings)}"
        return ""

    def rows(self, text: str) -> int:
        """Number of rows of the columns that an expression uses."""
        used = (text,) if text in self.names else Expression(text).names or self.names[:1]
        if not used:
            return 0
        values = self.column(used[0])
        if values.ndim == 0:
            raise ValueError(f"{used[0]!r} of {self.label} is one value, not a column")
        return len(values)

    def check_one_unit(self, text: str, argument: str) -> None:
        """ValueError where parts of the table store a column of the text in different units."""

    def origin(self, labels: Mapping[str, str], rows: IntArray | None = None) -> Origin:
        """Where columns came from, for messages: their texts, and their rows in this table."""
        return Origin(self.label, labels, rows, self.names)


def listing(tables: Iterable[TableSource], *, limit: int = 12) -> str:
    """``HDU 1 CHIP1 (40 rows), HDU 2 CHIP2 (40 rows)``."""
    shown = [
        t.place
        + (f" ({t.length} row{'' if t.length == 1 else 's'})" if t.length is not None else "")
        for t in tables
    ]
    more = f" and {len(shown) - limit} more" if len(shown) > limit else ""
    return ", ".join(shown[:limit]) + more
