"""Points in the space of HOD parameters and strengths, as arrays, tensors or mappings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from pysoftcorr.core.options import shown
from pysoftcorr.mocks.hod import PARAMETERS, PLANCK18

__all__ = ["check_values", "in_rows", "table_of", "with_cosmology"]

FloatArray = npt.NDArray[np.float64]

#: Rows that a message lists.
_SHOWN = 5
#: Outside of these a value has no meaning, or is not in the units it must be in.
_SENSE = {
    "mu_cen": (-1.0, 1.0, "an alignment strength lies in [-1, 1]"),
    "mu_sat": (-1.0, 1.0, "an alignment strength lies in [-1, 1]"),
    "logMmin": (8.0, 18.0, "it is log10 of a mass in Msun/h"),
    "sigma_logM": (0.0, 5.0, "a width is above 0, in dex"),
    "logM0": (0.0, 18.0, "it is log10 of a mass in Msun/h"),
    "logM1": (8.0, 20.0, "it is log10 of a mass in Msun/h"),
    "alpha": (-5.0, 10.0, "it is the slope of a power law"),
    "Omega_m": (0.01, 1.0, "it is the density of matter today over the critical one"),
    "sigma_8": (0.1, 3.0, "it is the rms of the linear density today in 8 Mpc/h"),
    "z": (0.0, 20.0, "it is a redshift"),
}


def table_of(params: Any, names: tuple[str, ...] = PARAMETERS) -> tuple[Any, bool, bool]:
    """Parameters as an array or a tensor of shape (n, m), a column for each of m names.

    Parameters
    ----------
    params : array_like or Tensor, shape (m,) or (n, m); or mapping of names to values
        `COSMOLOGY`, the last three of ten names, may be left out: then it is `PLANCK18`.
    names : tuple of str
        `PARAMETERS` or `WITH_COSMOLOGY`.

    Returns
    -------
    table : ndarray of float64, or Tensor
        Shape (n, m).
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
    m = len(names)
    if isinstance(params, Mapping):
        params = _from_mapping(params, names)
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
                f"params = {shown(params)}: must be numbers of shape ({m},) or (n, {m}), or a "
                "mapping"
            ) from None
    if table.ndim not in (1, 2) or table.shape[-1] not in (m, len(PARAMETERS)):
        few = f"; the first {len(PARAMETERS)} will do" if m > len(PARAMETERS) else ""
        raise ValueError(
            f"params: shape {tuple(table.shape)}; must be ({m},) or (n, {m}), in the order "
            f"{', '.join(names)}{few}"
        )
    if table.ndim == 2 and len(table) == 0:
        raise ValueError(f"params: no points, shape (0, {table.shape[1]})")
    table = with_cosmology(table, names)
    single = table.ndim == 1
    return (table[None] if single else table), single, isinstance(table, torch.Tensor)


def with_cosmology(table: Any, names: tuple[str, ...]) -> Any:
    """A table (..., 7) with the columns of `PLANCK18`, where `names` have them and it has not."""
    if table.shape[-1] == len(names):
        return table
    known = list(PLANCK18.values())
    if isinstance(table, torch.Tensor):
        more = torch.tensor(known, dtype=table.dtype, device=table.device)
        return torch.cat([table, more.expand(*table.shape[:-1], -1)], dim=-1)
    return np.concatenate([table, np.broadcast_to(known, (*table.shape[:-1], len(known)))], axis=-1)


def _from_mapping(params: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    unknown = [str(name) for name in params if name not in names]
    lacking = [name for name in PARAMETERS if name not in params]
    if unknown or lacking:
        parts = [f"unknown {', '.join(unknown)}"] * bool(unknown)
        parts += [f"missing {', '.join(lacking)}"] * bool(lacking)
        raise ValueError(f"params: {' and '.join(parts)}; they are {', '.join(names)}")
    columns = [params[name] if name in params else PLANCK18[name] for name in names]
    if any(isinstance(c, torch.Tensor) for c in columns):
        first = next(c for c in columns if isinstance(c, torch.Tensor) and c.is_floating_point())
        made = [torch.as_tensor(c, dtype=first.dtype, device=first.device) for c in columns]
        return torch.stack(torch.broadcast_tensors(*made), dim=-1)
    try:
        arrays = np.broadcast_arrays(*(np.asarray(c, dtype=np.float64) for c in columns))
    except (TypeError, ValueError) as error:
        raise ValueError(f"params: values that do not go together: {error}") from None
    return np.stack(arrays, axis=-1)


def check_values(table: FloatArray, names: tuple[str, ...] = PARAMETERS) -> None:
    """ValueError for NaN, infinity and what has no meaning in rows of `table`, shape (n, m)."""
    bad = ~np.isfinite(table)
    for j in np.flatnonzero(bad.any(axis=0)).tolist():
        rows = np.flatnonzero(bad[:, j])
        value = table[rows[0], j]
        where = in_rows(rows, len(table))
        raise ValueError(f"params: {names[j]} = {value}{where}: must be finite")
    for j, name in enumerate(names):
        least, most, why = _SENSE[name]
        x = table[:, j]
        rows = np.flatnonzero((x < least) | (x > most) | ((name == "sigma_logM") & (x == 0)))
        if not rows.size:
            continue
        value, hint = float(x[rows[0]]), ""
        if name.startswith("logM") and value > 1e6:
            hint = f"; give its logarithm, {np.log10(value):.4g}"
        elif _other_order(table[rows[0]], names):
            hint = f"; is the order {', '.join(names)}?"
        raise ValueError(f"params: {name} = {value:g}{in_rows(rows, len(table))}: {why}{hint}")


def _other_order(row: FloatArray, names: tuple[str, ...]) -> bool:
    """Whether more than one value makes no sense, as where the columns are mixed up."""
    lows, highs = (np.array([_SENSE[n][k] for n in names], dtype=float) for k in (0, 1))
    return int(((row < lows) | (row > highs)).sum()) > 1


def in_rows(rows: npt.NDArray[np.intp], number: int) -> str:
    """Text " in rows 3, 4 and 2 more"; empty where there is one row in all."""
    if number == 1:
        return ""
    listed = ", ".join(map(str, rows[:_SHOWN].tolist()))
    more = f" and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
    return f" in row{'s' if len(rows) > 1 else ''} {listed}{more}"
