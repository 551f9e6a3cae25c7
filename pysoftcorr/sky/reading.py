"""From a table to the fields of a catalog: rows kept, values and units of each field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import astropy.units as u
import numpy as np
import numpy.typing as npt

from pysoftcorr.core import three_valued, unit_flow
from pysoftcorr.core.cautions import caution
from pysoftcorr.core.checks import angle_unit
from pysoftcorr.core.expressions import Expression, quoted
from pysoftcorr.core.tables import TableSource
from pysoftcorr.core.three_valued import Values
from pysoftcorr.core.unit_flow import Flow
from pysoftcorr.sky.columns import find
from pysoftcorr.sky.geometry import plane_unit
from pysoftcorr.sky.schemes import Scheme

BoolArray = npt.NDArray[np.bool_]


def _named(error: Exception, argument: str) -> Exception:
    """An error of this kind, its message beginning with the argument."""
    # Some subclasses, such as of decoding, cannot be made from a message alone.
    kind = TypeError if isinstance(error, TypeError) else ValueError
    return kind(f"{argument}: {error}")


def row_count(table: TableSource, chosen: Mapping[str, str]) -> int:
    """Number of rows, by the column that holds ra or x; ValueError where it is 0."""
    axis = "x" if "x" in chosen else "ra"
    if axis not in chosen:
        raise ValueError("ra is needed: a catalog has positions, ra and dec or x and y")
    try:
        n = table.rows(chosen[axis])
    except (TypeError, ValueError) as error:
        raise _named(error, axis) from None
    if n == 0:
        raise ValueError(f"the catalog is empty: {table.label} has no rows")
    return n


def full(value: Any, n: int, field: str, text: str) -> np.ndarray:
    """The value as a column of `n` rows; a constant is repeated."""
    array = np.asanyarray(value)
    if array.ndim == 0:
        return np.ma.masked_all(n, array.dtype) if np.ma.is_masked(array) else np.full(n, array)
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
        value = _evaluate(table, text, field)
        values[field] = full(value, n, field, text)[keep]
    return values


def units(
    table: TableSource, chosen: Mapping[str, str], given: Mapping[str, Any]
) -> dict[str, Any]:
    """Unit of each field: the one given, or else what the stored units say; None where nothing.

    See `pysoftcorr.core.unit_flow` for the rule of expressions.

    Raises
    ------
    ValueError
        If an expression of a position scales a column that has a unit and none is given, adds
        values of different units, or is at odds with the unit that is given.
    """
    found: dict[str, Any] = dict(given)
    for field, text in chosen.items():
        try:
            flow = unit_flow.of_text(text, table.units, table.names)
        except ValueError as error:
            raise _named(error, field) from None
        if field in ("ra", "dec", "x", "y"):
            found[field] = _angle(field, text, flow, table, given.get(field))
        elif field in ("T", "T_model", "sigma", "sigma_model"):
            found[field] = flow
    _plane_units(found, chosen, table)
    return found


def _angle(field: str, text: str, flow: Flow, table: TableSource, given: Any) -> u.UnitBase | None:
    """The unit of a position."""
    argument = _argument(field)
    stored = ", ".join(
        f"{name} in {table.units[name]}" for name in _used(text, table) if name in table.units
    )
    if given is not None:
        unit = _position_unit(field, given)
        if flow.kind in ("bare", "scaled"):
            _check_scale(field, text, flow, unit)
        return unit
    if flow.kind in ("number", "bare"):
        return None
    if flow.kind == "unit" and flow.unit is not None:
        try:
            return _position_unit(field, flow.unit)
        except ValueError:
            other = " nor pixels" if field in ("x", "y") else ""
            raise ValueError(
                f"{field}: the unit {str(flow.unit)!r} "
                f"{'stored with' if text in table.names else 'of'} {text!r} in {table.label} is "
                f"no unit of an angle{other}; pass {argument}= to say what it is"
            ) from None
    into = unit_flow.conversion(flow)
    guess = (
        f"; it looks like a conversion into {into}: pass {argument}={into!r}"
        if into
        else (f"; say the unit of the result, as {argument}='deg' does")
    )
    raise ValueError(
        f"{field}: the unit of {text!r} cannot be told: {table.label} has {stored}, and the "
        f"expression scales that or adds a number to it{guess}"
    )


def _argument(field: str) -> str:
    return "xy_unit" if field in ("x", "y") else f"{field}_unit"


def _position_unit(field: str, unit: Any) -> u.UnitBase:
    """An angle's unit, or for x and y pixels; ValueError where it is neither."""
    if field in ("x", "y"):
        return u.Unit(plane_unit(unit))
    return angle_unit(unit, _argument(field))


def _plane_units(found: dict[str, Any], chosen: Mapping[str, str], table: TableSource) -> None:
    """The unit of x and y where none is known: pixels for SExtractor's, else arcmin, and said."""
    texts = [chosen[axis] for axis in ("x", "y") if axis in chosen]
    if len(texts) < 2 or any(found[axis] is not None for axis in ("x", "y")):
        return
    if all(text.lower().endswith("_image") for text in texts):
        found["x"] = found["y"] = u.pix
        return
    found["x"] = found["y"] = u.arcmin
    caution(
        f"x and y: {table.label} has no unit for {' and '.join(texts)}, which are read as arcmin; "
        "pass xy_unit='arcmin', or what they are in, such as xy_unit='pixel'"
    )


def _check_scale(field: str, text: str, flow: Flow, unit: u.UnitBase) -> None:
    """ValueError where an expression turns a unit into another one than is given."""
    # Without a stored unit: 180/pi beside radians says that the column was in radians.
    start = flow.unit if flow.kind == "scaled" else unit
    into = unit_flow.conversion(flow, start)
    if into is None or u.Unit(into) == unit:
        return
    if flow.kind == "bare" and into != "deg":
        return
    raise ValueError(
        f"{field}: {text!r} turns {start} into {into}, and {_argument(field)} = '{unit}', the "
        f"unit of the result, says otherwise; pass {_argument(field)}='{into}', or "
        "the column as it is"
    )


def _used(text: str, table: TableSource) -> tuple[str, ...]:
    return (text,) if text in table.names else Expression(text).names


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
        chosen = _evaluated(table, select, "select", n)
        if chosen.data.dtype != bool:
            what = "text" if chosen.is_text else "numbers"
            example = f"{_inner(table, select)} == 'r'" if chosen.is_text else "mag < 24"
            raise TypeError(
                f"select = {select!r} gives {what}, not true or false; write a condition such as "
                f"{example!r}"
            )
        keep &= chosen.data
        if chosen.unknown is not None:
            keep &= ~chosen.unknown
        doubtful = _doubtful(table, select, chosen)
        if not keep.any():
            why = f"; it is unknown in {doubtful}" if doubtful else ""
            raise ValueError(f"the catalog is empty: no row has {select}{why}")
        if doubtful:
            caution(
                f"select = {select!r} is unknown in {doubtful}, which are left out; to keep rows "
                f"where it is missing, pass select='{_or_missing(table, select, chosen.unknown)}'"
            )
    unselected = n - int(np.count_nonzero(keep))
    if flag is not None:
        flags = _evaluated(table, flag, "flag", n)
        if flags.data.dtype.kind not in "biuf":
            raise TypeError(f"flag = {flag!r} must give numbers, 0 for the rows to keep")
        # A masked or NaN flag is not 0: such a row is not known to be good.
        good = three_valued.compare("==", flags, Values(np.asarray(0)))
        unknown = None if good.unknown is None else good.unknown & keep
        doubtful = _doubtful(table, flag, Values(good.data, unknown))
        keep &= good.data
        if not keep.any():
            why = f"; it is unknown in {doubtful}" if doubtful else ""
            raise ValueError(f"the catalog is empty: every row is flagged by {flag}{why}")
        if doubtful:
            assert unknown is not None
            known = " and ".join(f"isfinite({t})" for t in _terms(table, flag, unknown))
            inner = _inner(table, flag)
            caution(
                f"flag = {flag!r} is unknown in {doubtful}, which are left out as a missing flag "
                "is not 0; to keep rows where it is missing, "
                f"pass flag='where({known}, {inner}, 0)'"
            )
    return keep, (unselected, n - unselected - int(np.count_nonzero(keep)))


def _evaluated(table: TableSource, text: str, argument: str, n: int) -> Values:
    """The values of an expression, one a row."""
    return three_valued.read(full(_evaluate(table, text, argument), n, argument, text))


def _without(table: TableSource, text: str, unknown: BoolArray) -> list[str]:
    """The columns of an expression that are missing in some of the rows where it is unknown."""
    found = []
    for name in _used(text, table):
        values = three_valued.read(table.column(name))
        lacking = three_valued.is_finite(values) if values.data.dtype.kind in "biufU" else None
        if lacking is not None and lacking.data.ndim == 1 and np.any(~lacking.data & unknown):
            found.append(name)
    return found


def _doubtful(table: TableSource, text: str, values: Values) -> str:
    """``3 of 40 rows, where mag is missing`` for a condition that is unknown; empty without."""
    if values.unknown is None or not values.unknown.any():
        return ""
    count = int(np.count_nonzero(values.unknown))
    names = _without(table, text, values.unknown)
    where = f", where {' or '.join(names)} is missing" if names else ", where it has no answer"
    return f"{count} of {len(values.unknown)} rows{where}"


def _terms(table: TableSource, text: str, unknown: BoolArray) -> list[str]:
    """What is missing where an expression is unknown, as an expression has it."""
    names = _without(table, text, unknown)
    return [quoted(name) for name in names] or [f"({_inner(table, text)})"]


def _or_missing(table: TableSource, text: str, unknown: Any) -> str:
    """The condition, or else that one of the missing columns is missing."""
    lacking = [f"not isfinite({term})" for term in _terms(table, text, unknown)]
    return " or ".join([f"({_inner(table, text)})", *lacking])


def _inner(table: TableSource, text: str) -> str:
    """A column or an expression as a part of another, without single quotes."""
    return quoted(text) if text in table.names else text.replace("'", '"')


def _evaluate(table: TableSource, text: str, argument: str) -> Any:
    try:
        unit_flow.of_text(text, table.units, table.names)
        return table.evaluate(text)[0]
    except (TypeError, ValueError) as error:
        raise _named(error, argument) from None


def warn_of_flags(table: TableSource, scheme: Scheme, keep: BoolArray) -> None:
    """A warning where the scheme's own flags mark kept rows and no one asked to leave them out."""
    n = len(keep)
    marked = np.zeros(n, dtype=bool)
    names, whole = [], True
    for name in (find(flag, table.names) for flag in scheme.flags):
        if name is None:
            continue
        values = three_valued.read(full(table.column(name), n, "flag", name))
        if values.data.dtype.kind not in "biuf":
            continue
        names.append(quoted(name))
        good = three_valued.compare("==", values, Values(np.asarray(0)))
        marked |= ~good.data
        whole = whole and values.data.dtype.kind in "iu"
    marked &= keep
    count = int(np.count_nonzero(marked))
    if not count:
        return
    flag = " | ".join(names if whole or len(names) == 1 else [f"({name} != 0)" for name in names])
    kept = int(np.count_nonzero(keep))
    cure = f"pass flag='{flag}' to leave them out, or flag='0' to keep them"
    if count == kept:
        cure = "pass flag='0' if that is no reason to leave them out"
    caution(f"{count} of {kept} rows of {table.label} are flagged by {' or '.join(names)}; {cure}")
