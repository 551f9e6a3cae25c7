"""The tables that one file holds, and the choice among them."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any

import numpy as np

from pysoftcorr.core.tables.source import TableSource, Unreadable, listing

#: Raises ValueError or TypeError where a table lacks what is asked for; gives True where it has it
#: by a guess alone, which counts only where no other table fits.
Suits = Callable[[TableSource], object]
Choice = int | str | Sequence[int | str] | None


@dataclass
class Container:
    """The tables of one file.

    Attributes
    ----------
    path : str
    option : "hdu", "key" or ""
        The argument that chooses a table; "" where a file of this kind holds one alone.
    tables : list of TableSource
        Those that a catalog could be read from.
    none : str
        What to say where there is none.
    absent : callable
        The error of a choice that is no table.
    number : int
        How many parts the file counts, for numbers from the end; 0 where they have no numbers.
    aside : list of TableSource
        Further tables, taken only where they are named.
    """

    path: str
    option: str
    tables: list[TableSource]
    none: str = ""
    absent: Callable[[int | str], Unreadable] | None = None
    number: int = 0
    aside: list[TableSource] = field(default_factory=list)

    def __post_init__(self) -> None:
        for table in self.tables:
            table.siblings = [other for other in self.tables if other is not table]

    def choose(self, choice: Choice, suits: Suits | None) -> list[TableSource]:
        """The tables chosen: by number, by name, several of these, all, or the one that fits.

        Raises
        ------
        ValueError
            If there is no such table, a name is that of several, or nothing is chosen and not
            exactly one table fits.
        """
        if choice is None:
            return [self._fitting(suits)]
        choice = self._known(choice)
        if not isinstance(choice, (str, int)) and len(choice) == 1:
            choice = choice[0]
        if isinstance(choice, str) and choice.strip().lower() == "all":
            if not self.tables:
                raise Unreadable(self.none)
            self._check_all(suits)
            return self.tables
        choices = [choice] if isinstance(choice, (str, int)) else choice
        chosen = [table for each in choices for table in self._matching(each)]
        if not chosen:
            raise ValueError(f"{self.option} = []: must name at least one table")
        for k, table in enumerate(chosen):
            if any(table is other for other in chosen[:k]):
                raise ValueError(
                    f"{self.option}: {table.place} of {self.path} stands twice in the list"
                )
        return chosen

    def _known(self, choice: Any) -> int | str | Sequence[int | str]:
        """The choice with NumPy's integers as Python's; TypeError where it is none."""
        single = isinstance(choice, (str, bytes))
        parts = [choice] if single or not isinstance(choice, Iterable) else choice
        found: list[int | str] = []
        for part in parts:
            if isinstance(part, (bool, np.bool_)) or not isinstance(part, (str, Integral)):
                raise TypeError(
                    f"{self.option} = {choice!r}: must be a number, a name, a list of these or "
                    "'all'"
                )
            found.append(part if isinstance(part, str) else int(part))
        return found[0] if parts is not choice else found

    def _matching(self, choice: int | str) -> list[TableSource]:
        """The tables of a number, a name, or a pattern of names such as ``"CCD*"``."""
        bare = _bare(choice).lower() if isinstance(choice, str) else ""
        every = [*self.tables, *self.aside]
        if not set("*?[") & set(bare) or any(_bare(t.name).lower() == bare for t in every):
            return [self._named(choice)]
        found = [t for t in self.tables if fnmatch.fnmatchcase(_bare(t.name).lower(), bare)]
        if not found:
            assert self.absent is not None
            raise self.absent(choice)
        return found

    def _named(self, choice: int | str) -> TableSource:
        every = [*self.tables, *self.aside]
        wanted: int | str = choice
        found: list[TableSource] = []
        if isinstance(wanted, str):
            bare = _bare(wanted)
            found = [t for t in every if _bare(t.name) == bare]
            if not found and self.option == "hdu":
                found = [t for t in every if _bare(t.name).lower() == bare.lower()]
            if not found and self.number and bare.lstrip("-").isdigit():
                wanted = int(bare)
        if isinstance(wanted, int):
            place = wanted + self.number if wanted < 0 else wanted
            found = [t for t in every if t.number == place]
        if not found:
            assert self.absent is not None
            raise self.absent(wanted if isinstance(wanted, int) else choice)
        if len(found) > 1:
            raise ValueError(
                f"{self.option} = {choice!r}: {self.path} has several tables of this name: "
                f"{listing(found)}; pass a number, a list of numbers, or 'all'"
            )
        return found[0]

    def _fitting(self, suits: Suits | None) -> TableSource:
        if not self.tables:
            raise Unreadable(self.none)
        if len(self.tables) == 1:
            return self.tables[0]
        found = [_lacking(table, suits) for table in self.tables]
        reasons = {k: reason for k, (reason, _) in enumerate(found)}
        fitting = [self.tables[k] for k, reason in reasons.items() if not reason]
        fitting = [self.tables[k] for k, fit in enumerate(found) if fit == ("", False)] or fitting
        # An empty table adds nothing to one with rows, and so leaves no choice.
        fitting = [t for t in fitting if t.length != 0] or fitting
        if len(fitting) == 1:
            return fitting[0]
        if not fitting:
            raise ValueError(
                f"none of the {len(self.tables)} tables of {self.path} holds what is needed. "
                + _grouped({self.tables[k].place: reason for k, reason in reasons.items()})
            )
        first = self._choice(fitting)[0]
        # "all" is advice that works only where no table lacks what is needed.
        several = (
            f"{self.option} = 'all' all of them as one catalog, a list some of them"
            if len(fitting) == len(self.tables)
            else "a list of them, or a pattern of names, several as one catalog"
        )
        raise ValueError(
            f"{self.path} holds several tables that would do: {listing(fitting)}. Choose: "
            f"{self.option} = {first!r} reads one, {several}"
        )

    def _check_all(self, suits: Suits | None) -> None:
        lacking = {t.place: _lacking(t, suits)[0] for t in self.tables}
        bad = {place: reason for place, reason in lacking.items() if reason}
        if bad and len(self.tables) > 1:
            good = listing(t for t in self.tables if not lacking[t.place])
            listed = _grouped(bad)
            raise ValueError(
                f"{self.option} = 'all': not every table of {self.path} holds what is needed. "
                f"{listed}."
                + (
                    f" Those that do: {good}; name these, or give a pattern of names"
                    if good
                    else ""
                )
            )

    def _choice(self, tables: list[TableSource]) -> list[int | str]:
        """What chooses each table: its name where no other has it, or else its number."""
        names = [t.name.lower() for t in (*self.tables, *self.aside)]
        return [
            t.name
            if t.number is None or (names.count(t.name.lower()) == 1 and t.name)
            else t.number
            for t in tables
        ]


def _grouped(reasons: Mapping[str, str], *, limit: int = 6) -> str:
    """``HDU 1 A, HDU 2 B: reason; HDU 3 C: another``."""
    places: dict[str, list[str]] = {}
    for place, reason in reasons.items():
        places.setdefault(reason, []).append(place)
    listed = []
    for why, found in places.items():
        rest = f" and {len(found) - limit} more" if len(found) > limit else ""
        listed.append(f"{', '.join(found[:limit])}{rest}: {why}")
    more = f"; and {len(listed) - limit} more" if len(listed) > limit else ""
    return "; ".join(listed[:limit]) + more


def _bare(name: str) -> str:
    return name.strip().strip("/")


def _lacking(table: TableSource, suits: Suits | None) -> tuple[str, bool]:
    """Why a table does not fit, shortly, or "" where it does; and whether by a guess alone."""
    if suits is None:
        return "", False
    try:
        return "", bool(suits(table))
    except (TypeError, ValueError) as error:
        text = str(error)
        for tail in ("; pass columns=", ". Other tables of the same", ". Available:", "; did you"):
            text = text.partition(tail)[0]
        return text.replace(f" of {table.label}", "").replace(f" in {table.label}", ""), False
