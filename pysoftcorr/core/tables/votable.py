"""Tables of a VOTable through astropy."""

from __future__ import annotations

import warnings
from typing import Any

from astropy.io import votable

from pysoftcorr.core.expressions import nearest
from pysoftcorr.core.tables.container import Container
from pysoftcorr.core.tables.memory import of_astropy
from pysoftcorr.core.tables.source import TableSource, Unreadable


def container(path: str, content: Any) -> Container:
    """The tables of a VOTable, by name, by ID or by number from 0."""
    with warnings.catch_warnings():
        # astropy remarks on every way in which public VOTables break the standard.
        warnings.simplefilter("ignore")
        document = votable.parse(content, verify="ignore")
    parts = list(document.iter_tables())
    params = list(document.iter_fields_and_params())
    tables = [_table(path, k, part, len(parts)) for k, part in enumerate(parts)]
    for table in tables:
        stated = {p.name: p for p in params if hasattr(p, "value")}
        table.meta |= {name: p.value for name, p in stated.items()}
        table.notes |= {name: str(p.unit) for name, p in stated.items() if p.unit}

    def absent(choice: int | str) -> Unreadable:
        names = [t.name or str(t.number) for t in tables]
        return Unreadable(f"{path} has no table {choice!r}{nearest(str(choice), names)}")

    return Container(
        path,
        "key",
        tables,
        none=f"{path} is a VOTable without a table",
        absent=absent,
        number=len(parts),
    )


def _table(path: str, number: int, part: Any, count: int) -> TableSource:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = part.to_table(use_names_over_ids=True)
    name = str(part.name or part.ID or "")
    place = f"table {number} {name}".rstrip()
    source = of_astropy(table, path if count == 1 else f"{path} [{place}]")
    source.place, source.number, source.name = place, number, name
    return source
