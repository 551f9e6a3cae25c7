"""The part of parameter space that an emulator was trained in."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from pysoftcorr.core.options import choice, count, shown
from pysoftcorr.core.random import Seed, root_seed, stream
from pysoftcorr.mocks.design import log_mmin_range, parameter_bounds
from pysoftcorr.mocks.hod import PARAMETERS

__all__ = ["Bounds", "OutsideBounds", "check_values", "table_of"]

FloatArray = npt.NDArray[np.float64]

_KNOTS = 257
# Of the width of the bounds: what rounding and the straight lines between knots may amount to.
_TOLERANCE = 1e-3
#: Rows that a message lists.
_SHOWN = 5


class OutsideBounds(UserWarning):
    """Parameters outside of the training bounds of an emulator, where its errors say nothing."""


@dataclass(frozen=True, eq=False)
class Bounds:
    """Lowest and highest values of the seven parameters, those of four of them by log Mmin.

    Attributes
    ----------
    box : ndarray, shape (7, 2)
        The least box that holds them all, in the order of `PARAMETERS`.
    logMmin : ndarray, shape (k,)
        Where the bounds of the last four parameters are written down; straight lines between.
    low, high : ndarray, shape (k, 4)

    Examples
    --------
    >>> from pysoftcorr.emulator.domain import Bounds
    >>> bounds = Bounds.design((11.0, 13.2))
    >>> bounds.to_dict()["logMmin"]
    (11.0, 13.2)
    >>> low, high = bounds.at(12.0)["logM1"]
    >>> round(float(low), 3), round(float(high), 3)
    (12.459, 13.823)
    """

    box: FloatArray
    logMmin: FloatArray
    low: FloatArray
    high: FloatArray

    @classmethod
    def design(cls, logMmin: tuple[float, float]) -> Bounds:
        """Bounds of `pysoftcorr.mocks.training_design` for log Mmin in the range given.

        Raises
        ------
        ValueError
            If the range is empty or not finite.
        """
        least, most = log_mmin_range(logMmin)
        knots = np.linspace(least, most, _KNOTS)
        by_name = parameter_bounds(knots)
        low, high = (np.stack([by_name[n][i] for n in PARAMETERS[3:]], axis=1) for i in (0, 1))
        box = [(-1.0, 1.0), (-1.0, 1.0), (least, most)]
        box += list(zip(low.min(axis=0).tolist(), high.max(axis=0).tolist(), strict=True))
        return cls(np.array(box), knots, low, high)

    @classmethod
    def of(cls, params: npt.ArrayLike) -> Bounds:
        """Bounds of a set of training points, shape (n, 7).

        The range of log Mmin is that of the points; where all of them lie within the design's
        bounds, the other bounds are the design's, otherwise the least box about the points.
        """
        points = np.asarray(params, dtype=np.float64)
        least, most = points.min(axis=0), points.max(axis=0)
        if most[2] > least[2]:
            design = cls.design((least[2], most[2]))
            if not design.outside(points).any():
                return design
        box = np.stack([least, most], axis=1)
        box[:2] = -1.0, 1.0
        ones = np.ones((2, 1))
        return cls(box, least[2] + ones[:, 0] * [0, most[2] - least[2]], ones * least[3:],
                   ones * most[3:])  # fmt: skip

    def to_dict(self) -> dict[str, tuple[float, float]]:
        """The box by the names of the parameters."""
        return {name: (float(a), float(b)) for name, (a, b) in zip(PARAMETERS, self.box,
                                                                   strict=True)}  # fmt: skip

    def at(self, logMmin: npt.ArrayLike) -> dict[str, tuple[FloatArray, FloatArray]]:
        """Bounds of the last four parameters at `logMmin`, as `parameter_bounds` has them."""
        x = np.asarray(logMmin, dtype=np.float64)
        return {
            name: (
                np.interp(x, self.logMmin, self.low[:, j]),
                np.interp(x, self.logMmin, self.high[:, j]),
            )
            for j, name in enumerate(PARAMETERS[3:])
        }

    def limits(self, params: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Lowest and highest values for each row of `params`, both of its shape (n, 7)."""
        low, high = (np.tile(self.box[:, i], (len(params), 1)) for i in (0, 1))
        for j, bounds in enumerate(self.at(params[:, 2]).values(), start=3):
            low[:, j], high[:, j] = bounds
        return low, high

    def outside(self, params: FloatArray) -> npt.NDArray[np.bool_]:
        """Which of `params`, shape (n, 7), lie outside."""
        low, high = self.limits(params)
        room = _TOLERANCE * (high - low)
        return (params < low - room) | (params > high + room)

    def check(self, params: FloatArray, on_outside: str) -> None:
        """Say which of `params`, shape (n, 7), lie outside.

        Parameters
        ----------
        on_outside : {"warn", "error", "ignore"}

        Raises
        ------
        ValueError
            If some do, and `on_outside` is "error"; or it is none of the three.
        """
        if choice("on_outside", on_outside, ("warn", "error", "ignore")) == "ignore":
            return
        outside = self.outside(params)
        if not outside.any():
            return
        low, high = self.limits(params)
        said = []
        for j in np.flatnonzero(outside.any(axis=0)):
            rows = np.flatnonzero(outside[:, j])
            i = rows[0]
            given = f" at logMmin = {params[i, 2]:g}" if j > 2 else ""
            said.append(
                f"{PARAMETERS[j]} = {params[i, j]:g} is outside of "
                f"[{low[i, j]:.4g}, {high[i, j]:.4g}]{given}{_in_rows(rows, len(params))}"
            )
        text = f"outside of the training bounds, where the emulator guesses: {'; '.join(said)}"
        if on_outside == "error":
            raise ValueError(text)
        warnings.warn(text, OutsideBounds, stacklevel=4)

    def sample(self, points: int, *, seed: Seed = None) -> FloatArray:
        """Points uniform within the bounds, shape (points, 7)."""
        number_of = count("points", points, most=100_000_000, each=300.0)
        u = stream(root_seed(seed), "points within bounds").random((number_of, len(PARAMETERS)))
        out = self.box[:, 0] + u * (self.box[:, 1] - self.box[:, 0])
        low, high = self.limits(out)
        out[:, 3:] = (low + u * (high - low))[:, 3:]
        return out

    def arrays(self) -> dict[str, FloatArray]:
        """Arrays by name, for a file."""
        return {name: getattr(self, name) for name in ("box", "logMmin", "low", "high")}

    @classmethod
    def from_arrays(cls, arrays: dict[str, Any]) -> Bounds:
        """The inverse of `arrays`; ValueError where they do not fit together."""
        box, knots, low, high = (np.asarray(arrays[n], dtype=np.float64) for n in
                                 ("box", "logMmin", "low", "high"))  # fmt: skip
        number = len(PARAMETERS)
        if box.shape != (number, 2) or knots.ndim != 1 or len(knots) < 2:
            raise ValueError(f"bounds of shapes {box.shape} and {knots.shape}")
        if low.shape != (len(knots), number - 3) or high.shape != low.shape:
            raise ValueError(f"bounds of shapes {low.shape} and {high.shape}")
        if not all(np.isfinite(a).all() for a in (box, knots, low, high)):
            raise ValueError("bounds that are not finite")
        if (box[:, 0] > box[:, 1]).any() or (low > high).any() or (np.diff(knots) < 0).any():
            raise ValueError("bounds with the highest below the lowest")
        return cls(box, knots, low, high)


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
        raise ValueError(f"params: {PARAMETERS[j]} is {value}{_in_rows(rows, len(table))}")
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
        raise ValueError(f"params: {name} = {value:g}{_in_rows(rows, len(table))}: {why}{hint}")


def _other_order(row: FloatArray) -> bool:
    """Whether more than one value makes no sense, as where the columns are mixed up."""
    lows, highs = (np.array([v[k] for v in _SENSE.values()], dtype=float) for k in (0, 1))
    return int(((row < lows) | (row > highs)).sum()) > 1


def _in_rows(rows: npt.NDArray[np.intp], number: int) -> str:
    """Text " in rows 3, 4 and 2 more"; empty where there is one row in all."""
    if number == 1:
        return ""
    listed = ", ".join(map(str, rows[:_SHOWN].tolist()))
    more = f" and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
    return f" in row{'s' if len(rows) > 1 else ''} {listed}{more}"
