"""Points in the space of HOD parameters and strengths, as arrays, tensors or mappings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from pysoftcorr.core.options import shown
from pysoftcorr.mocks.hod import PARAMETERS

__all__ = ["check_values", "in_rows", "table_of"]

FloatArray = npt.NDArray[np.float64]

#: Rows that a message lists.
_SHOWN = 5
_ORDER = ", ".join(PARAMETERS)
#: Outside of these a value has no meaning, or is not in the units it must be in.
_SENSE = {
    "mu_cen": (-1.0, 1.0, "an alignment strength lies in [-1, 1]"),
    "mu_sat": (-1.0, 1.0, "an alignment strength lies in [-1, 1]"),
    "logMmin": (8.0, 18.0, "it is log10 of a mass in Msun/h"),
    "sigma_logM": (0.0, 5.0, "a width is above 0, in dex"),
    "logM0": (0.0, 18.0, "it is log10 of a mass in Msun/h"),
    "logM1": (8.0, 20.0, "it is log10 of a mass in Msun/h"),
    "alpha": (-5.0, 10.0, "it is the slope of a power law"),
}


def table_of(params: Any) -> tuple[Any, bool, bool]:
    """Parameters as an array or a tensor of shape (n, 7).

    Parameters
    ----------
    params : array_like or Tensor, shape (7,) or (n, 7); or mapping of names to values

    Returns
    -------
    table : ndarray of float64, or Tensor
        Shape (n, 7).
    single : bool
        One point was given, without an axis for points.
    is_tensor : bool

    Raises
    ------
    ValueError
        If the shape is wrong, a name of a mapping is unknown or missing.
    TypeError
        If they are no numbers.
    """
    if isinstance(params, Mapping):
        params = _from_mapping(params)
    if isinstance(params, torch.Tensor):
        table: Any = params.contiguous()
        if not params.is_floating_point():
            raise TypeError(f"params: a tensor of {params.dtype}; must be of floating point")
    else:
        try:
            if np.ma.is_masked(params):
                raise TypeError
            given = np.asarray(params)
            if given.dtype.kind not in "biufO":
                raise TypeError
            # The order in memory would set that of the sums, and so their last bits.
            table = np.array(given, dtype=np.float64, order="C")
        except (TypeError, ValueError, OverflowError):
            raise TypeError(
                f"params = {shown(params)}: must be numbers of shape (7,) or (n, 7), or a mapping"
            ) from None
    if table.ndim not in (1, 2) or table.shape[-1] != len(PARAMETERS):
        raise ValueError(
            f"params: shape {tuple(table.shape)}; must be (7,) or (n, 7), in the order {_ORDER}"
        )
    if table.ndim == 2 and len(table) == 0:
        raise ValueError("params: no points, shape (0, 7)")
    single = table.ndim == 1
    return (table[None] if single else table), single, isinstance(table, torch.Tensor)


def _from_mapping(params: Mapping[str, Any]) -> Any:
    unknown = [str(name) for name in params if name not in PARAMETERS]
    lacking = [name for name in PARAMETERS if name not in params]
    if unknown or lacking:
        parts = [f"unknown {', '.join(unknown)}"] * bool(unknown)
        parts += [f"missing {', '.join(lacking)}"] * bool(lacking)
        raise ValueError(f"params: {' and '.join(parts)}; they are {_ORDER}")
    columns = [params[name] for name in PARAMETERS]
    if any(isinstance(c, torch.Tensor) for c in columns):
        first = next(c for c in columns if isinstance(c, torch.Tensor) and c.is_floating_point())
        made = [torch.as_tensor(c, dtype=first.dtype, device=first.device) for c in columns]
        return torch.stack(torch.broadcast_tensors(*made), dim=-1)
    try:
        arrays = np.broadcast_arrays(*(np.asarray(c, dtype=np.float64) for c in columns))
    except (TypeError, ValueError) as error:
        raise ValueError(f"params: values that do not go together: {error}") from None
    return np.stack(arrays, axis=-1)


def check_values(table: FloatArray) -> None:
    """ValueError for NaN, infinity and what has no meaning in rows of `table`, shape (n, 7)."""
    bad = ~np.isfinite(table)
    for j in np.flatnonzero(bad.any(axis=0)).tolist():
        rows = np.flatnonzero(bad[:, j])
        value = table[rows[0], j]
        raise ValueError(f"params: {PARAMETERS[j]} is {value}{in_rows(rows, len(table))}")
    for j, (name, (least, most, why)) in enumerate(_SENSE.items()):
        x = table[:, j]
        rows = np.flatnonzero((x < least) | (x > most) | ((name == "sigma_logM") & (x == 0)))
        if not rows.size:
            continue
        value, hint = float(x[rows[0]]), ""
        if name.startswith("logM") and value > 1e6:
            hint = f"; give its logarithm, {np.log10(value):.4g}"
        elif _other_order(table[rows[0]]):
            hint = f"; is the order {_ORDER}?"
        raise ValueError(f"params: {name} = {value:g}{in_rows(rows, len(table))}: {why}{hint}")


def _other_order(row: FloatArray) -> bool:
    """Whether more than one value makes no sense, as where the columns are mixed up."""
    lows, highs = (np.array([v[k] for v in _SENSE.values()], dtype=float) for k in (0, 1))
    return int(((row < lows) | (row > highs)).sum()) > 1


def in_rows(rows: npt.NDArray[np.intp], number: int) -> str:
    """Text " in rows 3, 4 and 2 more"; empty where there is one row in all."""
    if number == 1:
        return ""
    listed = ", ".join(map(str, rows[:_SHOWN].tolist()))
    more = f" and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
    return f" in row{'s' if len(rows) > 1 else ''} {listed}{more}"
