"""From a table to the fields of a catalog: rows kept, values and units of each field."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import astropy.units as u
import numpy as np
import numpy.typing as npt

from pysoftcorr.core.checks import angle_unit
from pysoftcorr.core.tables import TableSource
from pysoftcorr.sky.columns import Scheme, find

BoolArray = npt.NDArray[np.bool_]


def _named(error: Exception, argument: str) -> Exception:
    """An error of this kind, its message beginning with the argument."""
    # Some subclasses, such as of decoding, cannot be made from a message alone.
    kind = TypeError if isinstance(error, TypeError) else ValueError
    return kind(f"{argument}: {error}")


def row_count(table: TableSource, chosen: Mapping[str, str]) -> int:
    """Number of rows, by the column that holds ra; ValueError where it is 0."""
    if "ra" not in chosen:
        raise ValueError("ra is needed: a catalog has positions")
    try:
        n = table.rows(chosen["ra"])
    except (TypeError, ValueError) as error:
        raise _named(error, "ra") from None
    if n == 0:
        raise ValueError(f"the catalog is empty: {table.label} has no rows")
    return n


def full(value: Any, n: int, field: str, text: str) -> np.ndarray:
    """The value as a column of `n` rows; a constant is repeated."""
    array = np.ma.asanyarray(value) if isinstance(value, np.ma.MaskedArray) else np.asarray(value)
    if array.ndim == 0:
        return np.full(n, array)
    if array.ndim > 1:
        raise ValueError(
            f"{field}: {text!r} has shape {array.shape}, several values a row; "
            f"take one, as in {text}[0]"
        )
    if len(array) != n:
        raise ValueError(f"{field}: {text!r} has {len(array)} rows, the table {n}")
    return array


def fields(
    table: TableSource, chosen: Mapping[str, str], n: int, keep: BoolArray
) -> dict[str, np.ndarray]:
    """The kept rows of each field's column or expression."""
    values = {}
    for field, text in chosen.items():
        try:
            value, _ = table.evaluate(text)
        except (TypeError, ValueError) as error:
            raise _named(error, field) from None
        values[field] = full(value, n, field, text)[keep]
    return values


def units(
    table: TableSource, chosen: Mapping[str, str], given: Mapping[str, Any]
) -> dict[str, Any]:
    """Unit of each field: the one given, or else the one stored with its column.

    An expression takes the unit its columns share.
    """
    found: dict[str, Any] = dict(given)
    for field, text in chosen.items():
        if found.get(field) is not None or field not in (
            *("ra", "dec", "T", "T_model"),
            *("sigma", "sigma_model"),
        ):
            continue
        used = table.evaluate(text)[1]
        stored = {table.units[name] for name in used if name in table.units}
        if field in ("ra", "dec"):
            found[field] = _stored_angle(field, text, stored, table.label)
        elif used == (text,) and stored:
            found[field] = stored.pop()
    return found


def _stored_angle(field: str, text: str, stored: set[str], label: str) -> u.UnitBase:
    if not stored:
        return u.deg
    if len(stored) > 1:
        raise ValueError(
            f"{field}: the columns of {text!r} in {label} have different units "
            f"({', '.join(sorted(stored))}); pass {field}_unit="
        )
    unit = stored.pop()
    try:
        return angle_unit(unit, f"{field}_unit")
    except ValueError:
        raise ValueError(
            f"{field}: the unit {unit!r} stored with {text!r} in {label} is no unit of an angle; "
            f"pass {field}_unit= to say what it is"
        ) from None


def kept_rows(
    table: TableSource, n: int, select: str | None, flag: str | None
) -> tuple[BoolArray, tuple[int, int]]:
    """Which rows are selected and not flagged; how many were not selected, and flagged.

    Raises
    ------
    ValueError
        If none is left.
    TypeError
        If `select` is not a condition.
    """
    keep = np.ones(n, dtype=bool)
    if select is not None:
        chosen = full(_evaluate(table, select, "select"), n, "select", select)
        if chosen.dtype != bool:
            raise TypeError(
                f"select = {select!r} gives numbers, not true or false; write a condition "
                "such as 'mag < 24'"
            )
        keep &= np.ma.filled(chosen, False)
        if not keep.any():
            raise ValueError(f"the catalog is empty: no row has {select}")
    unselected = n - int(np.count_nonzero(keep))
    if flag is not None:
        flags = full(_evaluate(table, flag, "flag"), n, "flag", flag)
        if flags.dtype.kind not in "biuf":
            raise TypeError(f"flag = {flag!r} must give numbers, 0 for the rows to keep")
        # A masked or NaN flag is not 0: such a row is not known to be good.
        keep &= np.ma.filled(flags == 0, False)
        if not keep.any():
            raise ValueError(f"the catalog is empty: every row is flagged by {flag}")
    return keep, (unselected, n - unselected - int(np.count_nonzero(keep)))


def _evaluate(table: TableSource, text: str, argument: str) -> Any:
    try:
        return table.evaluate(text)[0]
    except (TypeError, ValueError) as error:
        raise _named(error, argument) from None


def warn_of_flags(table: TableSource, scheme: Scheme, n: int) -> None:
    """A warning where the scheme's own flags mark rows and no one asked to leave them out."""
    names = [name for name in (find(flag, table.names) for flag in scheme.flags) if name]
    marked = np.zeros(n, dtype=bool)
    for name in names:
        marked |= full(table.column(name), n, "flag", name) != 0
    count = int(np.count_nonzero(marked))
    if count:
        warnings.warn(
            f"{count} of {n} rows of {table.label} are flagged by "
            f"{' or '.join(names)}; pass flag={' | '.join(names)!r} to leave them out, or "
            "flag='0' to keep them",
            stacklevel=3,
        )
