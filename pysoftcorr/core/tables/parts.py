"""Several tables read as one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import astropy.units as u
import numpy as np

from pysoftcorr.core.checks import SHOWN, FloatArray, IntArray, Origin, angle_unit
from pysoftcorr.core.expressions import Expression
from pysoftcorr.core.tables.source import TableSource, Unreadable
from pysoftcorr.core.tables.values import joined


@dataclass
class PartsOrigin(Origin):
    """Where columns of several tables came from: rows are counted in each table by itself."""

    where: Callable[[int], str] = str

    def keep(self, mask: np.ndarray) -> PartsOrigin:
        """The origin of the kept rows alone."""
        kept = super().keep(mask)
        return PartsOrigin(kept.source, kept.labels, kept.rows, kept.names, self.where)

    def show(self, index: IntArray, values: FloatArray) -> str:
        """``rows 3 of a.fits (nan), 7 of b.fits (inf), ... and 12 more``."""
        rows = index if self.rows is None else self.rows[index]
        shown = ", ".join(
            f"{self.where(int(row))} ({float(values[i]):.6g})"
            for row, i in zip(rows[:SHOWN], index[:SHOWN], strict=True)
        )
        more = f" and {index.size - SHOWN} more" if index.size > SHOWN else ""
        return f"row{'s' if index.size > 1 else ''} {shown}{more} (counted from 0)"


@dataclass
class Parts(TableSource):
    """Tables one after the other, with the columns of all.

    A column must be in every part, with values of one kind. Where its unit differs, it is
    converted to that of the first part; where that cannot be, it is refused.
    """

    parts: Sequence[TableSource] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)

    def where(self, row: int) -> str:
        """A row of the whole as a row of its part."""
        starts = np.cumsum([0, *self.lengths])
        k = int(np.searchsorted(starts, row, side="right")) - 1
        return f"{row - int(starts[k])} of {self.parts[k].label}"

    def origin(self, labels: Mapping[str, str], rows: IntArray | None = None) -> Origin:
        """Where columns came from, for messages: their texts, and their rows in the parts."""
        return PartsOrigin(self.label, labels, rows, self.names, self.where)

    def check_one_unit(self, text: str, argument: str) -> None:
        """ValueError where the parts store a column of the text in different units."""
        for name in (text,) if text in self.names else Expression(text).names:
            units = {_unit(p.units.get(name, "")): p for p in reversed(self.parts)}
            if len(units) > 1:
                raise ValueError(
                    f"{argument} says one unit for all, but the tables store {name!r} in several: "
                    f"{_listed(units.values(), name)}; leave {argument} out"
                )


def join(parts: Sequence[TableSource]) -> TableSource:
    """One table of several; the part itself where there is one."""
    if len(parts) == 1:
        return parts[0]
    names = list(dict.fromkeys(name for part in parts for name in part.names))
    units = {
        name: next(p.units[name] for p in parts if name in p.units)
        for name in names
        if any(name in p.units for p in parts)
    }
    labels = [part.label for part in parts]
    shown = labels if len(labels) <= 3 else [*labels[:2], f"{len(labels) - 2} more"]
    whole = Parts(f"{', '.join(shown[:-1])} and {shown[-1]}", names, lambda name: None, units,
                  parts=parts)  # fmt: skip
    whole.load = lambda name: _load(whole, name)
    return whole


def _load(whole: Parts, name: str) -> np.ndarray:
    lacking = [part.label for part in whole.parts if name not in part.names]
    if lacking:
        more = f" and {len(lacking) - 3} more" if len(lacking) > 3 else ""
        raise Unreadable(
            f"no column {name!r} in {', '.join(lacking[:3])}{more}, unlike in the other tables; "
            "read them one by one, each with its own columns, and concatenate the catalogs"
        )
    pieces = [part.fetch(name) for part in whole.parts]
    for part, piece in zip(whole.parts, pieces, strict=True):
        if piece.ndim == 0:
            raise Unreadable(f"{name!r} of {part.label} is one value, not a column")
    lengths = [len(piece) for piece in pieces]
    if not whole.lengths:
        whole.lengths = lengths
    for part, length, first in zip(whole.parts, lengths, whole.lengths, strict=True):
        if length != first:
            raise Unreadable(f"column {name!r} has {length} rows in {part.label}, others {first}")
    try:
        return joined(list(_in_one_unit(whole, name, pieces)), [p.label for p in whole.parts],
                      f"column {name!r}")  # fmt: skip
    except ValueError as error:
        raise Unreadable(str(error)) from None


def _in_one_unit(whole: Parts, name: str, pieces: list[np.ndarray]) -> Iterator[np.ndarray]:
    wanted = _unit(whole.units.get(name, ""))
    for part, piece in zip(whole.parts, pieces, strict=True):
        unit = _unit(part.units.get(name, ""))
        if unit == wanted or piece.size == 0:
            yield piece
            continue
        units = {_unit(p.units.get(name, "")): p for p in reversed(whole.parts)}
        try:
            factor = u.Unit(unit).to(u.Unit(wanted)) if unit and wanted else None
        except (u.UnitConversionError, ValueError, TypeError):
            factor = None
        if factor is None:
            raise Unreadable(
                f"the unit of column {name!r} differs: {_listed(units.values(), name)}; read the "
                "tables one by one, each with its unit, and concatenate the catalogs"
            )
        yield piece * factor


def _listed(parts: Iterable[TableSource], name: str) -> str:
    return " and ".join(f"{p.units.get(name, 'none')!r} in {p.label}" for p in parts)


def _unit(text: str) -> object:
    """A unit that compares equal to the same one written otherwise."""
    try:
        return angle_unit(text, "unit")
    except ValueError:
        unit = u.Unit(text.strip(), parse_strict="silent")
        return str(unit) if isinstance(unit, u.UnrecognizedUnit) else unit
