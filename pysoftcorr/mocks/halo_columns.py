"""Columns of halo tables: values of each field in Mpc/h, Msun/h and km/s, and whole numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from pysoftcorr.core import three_valued, unit_flow
from pysoftcorr.core.checks import FloatArray, Origin, as_float
from pysoftcorr.core.expressions import Expression
from pysoftcorr.core.tables import TableSource
from pysoftcorr.mocks import checks as halo_checks
from pysoftcorr.mocks.halo_schemes import VECTORS
from pysoftcorr.mocks.halo_units import factor
from pysoftcorr.sky.reading import full


def column_of(
    table: TableSource,
    name: str,
    texts: tuple[str, ...],
    n: int,
    origin: Origin,
    unit: str | None = None,
) -> FloatArray:
    """(n,) for a scalar field, (n, 3) for a vector, in Mpc/h, Msun/h or km/s.

    `unit` is that of columns of which the table does not say one.
    """
    values = []
    for text in texts:
        try:
            values.append(table.evaluate(text)[0])
        except (TypeError, ValueError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"{name}: {error}") from None
    scale = [factor(table, name, text, unit) for text in texts]
    if name in VECTORS and len(values) == 1:
        array: Any = np.ma.asarray(values[0])
        if array.shape != (n, 3):
            raise ValueError(
                f"{name}: {texts[0]!r} has shape {array.shape}, not ({n}, 3); name three columns"
            )
        if array.dtype.kind in "biuf":
            array = np.ma.filled(array.astype(np.float64), np.nan)
        return halo_checks.vectors(name, array) * scale[0]
    plain = Origin(origin.source, origin.labels)
    done = [
        as_float(name, full(value, n, name, text), plain)[0] * times
        for value, text, times in zip(values, texts, scale, strict=True)
    ]
    return done[0] if len(done) == 1 else np.stack(done, axis=1)


def check_scale(
    table: TableSource, chosen: Mapping[str, tuple[str, ...]], given: tuple[str, ...]
) -> None:
    """ValueError where the radius is an expression, and the scale radius a column by its name."""
    names = ("radius", "scale_radius")
    if not all(name in chosen for name in names) or {"concentration"} & set(chosen):
        return
    by_hand = [name for name in names if name in given and chosen[name][0] not in table.names]
    taken = [name for name in names if name not in given]
    if len(by_hand) != 1 or len(taken) != 1:
        return
    (one,), (other,) = by_hand, taken
    column = chosen[other][0]
    if column in table.units:
        return  # it is converted to Mpc/h, and so is the result of an expression
    text = chosen[one][0]
    alike = unit_flow.of_text(text, table.units, table.names).number
    if alike == 1:
        return
    cure = f"{column} scaled in the same way"
    used = Expression(text).names
    if len(used) == 1 and used[0].isidentifier() and column.isidentifier():
        cure = re.sub(rf"\b{used[0]}\b", column, text)
    raise ValueError(
        f"{other}: {column!r} of {table.label} is taken as it is, while {one} is {text!r}; both "
        f"must be in Mpc/h. Pass columns={{'{other}': '{cure}'}} too, "
        f"or columns={{'{other}': '{column}'}} if it is in Mpc/h already"
    )


def whole_numbers(table: TableSource, name: str, text: str, n: int) -> np.ma.MaskedArray:
    """A column of whole numbers of their own type, missing ones masked."""
    try:
        value = full(table.evaluate(text)[0], n, name, text)
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{name}: {error}") from None
    read = three_valued.read(value)
    if read.data.dtype.kind not in "biuf":
        raise TypeError(f"{name} must be numbers; {text!r} of {table.label} holds text or objects")
    mask = np.zeros(n, dtype=bool) if read.unknown is None else read.unknown.copy()
    if read.data.dtype.kind == "f":
        mask |= ~np.isfinite(read.data)
    return np.ma.MaskedArray(read.data, mask=mask)
