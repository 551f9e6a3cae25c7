"""Catalogs and extra columns put together from several."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pysoftcorr.core.checks import FloatArray
from pysoftcorr.core.tables import joined
from pysoftcorr.sky.geometry import AXES, FLAT, PIXEL, unit_between

if TYPE_CHECKING:
    from pysoftcorr.sky.catalog import Catalog


def name_of_source(source: Any) -> str | None:
    """What a catalog is called by default: its file's name; None for a table in memory."""
    if isinstance(source, (str, PathLike)):
        return Path(source).name
    if isinstance(source, (list, tuple)) and source and isinstance(source[0], (str, PathLike)):
        more = f" and {len(source) - 1} more" if len(source) > 1 else ""
        return f"{Path(source[0]).name}{more}"
    return None


def extra_column(name: str, values: np.ndarray) -> np.ndarray:
    """A column of one value a row, of a type that files and expressions know.

    Raises
    ------
    ValueError
        If it has several values a row.
    TypeError
        If it holds other objects.
    """
    if values.ndim != 1:
        raise ValueError(
            f"extra column {name!r} must have one dimension, not shape {values.shape}; "
            f"take one value a row, as in {name}[0]"
        )
    if values.dtype.kind not in "biufcUmM":
        raise TypeError(
            f"extra column {name!r} must hold numbers, truth values, text or dates, not "
            f"{values.dtype}"
        )
    return values.copy()


def joined_columns(
    cls: type[Catalog], catalogs: Sequence[Catalog]
) -> tuple[dict[str, FloatArray], dict[str, np.ndarray]]:
    """Fields and extra columns of catalogs of one kind, one after the other.

    Raises
    ------
    ValueError
        If there is none, or one lacks what another has.
    TypeError
        If they are not all of the class.
    """
    if not catalogs:
        raise ValueError("there is no catalog to concatenate")
    for k, catalog in enumerate(catalogs):
        if type(catalog) is not cls:
            raise TypeError(
                f"{cls.__name__}.concatenate takes catalogs of its own kind alone; number {k} is "
                f"of type {type(catalog).__name__}"
            )
    names = [_called(k, catalog) for k, catalog in enumerate(catalogs)]
    kinds = {c.geometry: name for c, name in reversed(list(zip(catalogs, names, strict=True)))}
    if len(kinds) > 1:
        listed = " and ".join(f"{kind} in {name}" for kind, name in kinds.items())
        raise ValueError(f"geometry is {listed}; catalogs that are put together need one")
    _same([set(c.field_names) for c in catalogs], names, "field")
    _same([set() if c.unweighted else {"w"} for c in catalogs], names, "weights")
    # Positions in a plane keep the unit of the first, as those of several files do.
    planes = {str(c.xy_unit): k for k, c in reversed(list(enumerate(catalogs)))}
    if len(planes) > 1 and PIXEL in planes:
        listed = " and ".join(f"{unit} in {names[k]}" for unit, k in planes.items())
        raise ValueError(
            f"x and y are in {listed}; catalogs that are put together need one unit: "
            "catalog.replace(x=..., y=..., xy_unit=...) makes one of another"
        )
    _same([set(c.extra) for c in catalogs], names, "extra column")
    columns = {
        field: np.concatenate([_in_unit(c, field, catalogs[0].xy_unit) for c in catalogs])
        for field in catalogs[0].field_names
    }
    extra = {
        name: joined([c.extra[name] for c in catalogs], names, f"extra column {name!r}")
        for name in catalogs[0].extra
    }
    return columns, extra


def _in_unit(catalog: Catalog, field: str, unit: str | None) -> FloatArray:
    """A column, x and y in `unit`."""
    values: FloatArray = catalog._columns[field]
    if field not in AXES[FLAT] or unit is None or catalog.xy_unit == unit:
        return values
    return values * unit_between(str(catalog.xy_unit), unit)


def joined_record(catalogs: Sequence[Catalog]) -> dict[str, Any]:
    """Source, counts of rows left out, and what the catalogs have in common of the rest."""
    first = catalogs[0]
    counts = ("n_dropped", "n_flagged", "n_unselected")
    record: dict[str, Any] = {key: sum(getattr(c, key) for c in catalogs) for key in counts}
    record["source"] = ", ".join(dict.fromkeys(c.source for c in catalogs if c.source))
    same = all(c.columns == first.columns for c in catalogs)
    record["columns"] = first.columns if same else type(first.columns)({})
    record["scheme"] = first.scheme if all(c.scheme == first.scheme for c in catalogs) else None
    return record


def _called(k: int, catalog: Catalog) -> str:
    return f"catalog {k}" + (f" ({catalog.name})" if catalog.name else "")


def _same(sets: Sequence[set[str]], names: Sequence[str], what: str) -> None:
    for item in sorted(set().union(*sets)):
        having = [n for n, s in zip(names, sets, strict=True) if item in s]
        lacking = [n for n, s in zip(names, sets, strict=True) if item not in s]
        if lacking:
            raise ValueError(
                f"{what} {item!r}: in {having[0]}, but not in {', '.join(lacking[:3])}; catalogs "
                "that are put together must hold the same"
            )
