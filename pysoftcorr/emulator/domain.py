"""The part of parameter space that an emulator was trained in."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr.core.options import choice, count
from pysoftcorr.core.random import Seed, root_seed, stream
from pysoftcorr.mocks.design import log_mmin_range, parameter_bounds
from pysoftcorr.mocks.hod import PARAMETERS, WITH_COSMOLOGY
from pysoftcorr.mocks.points import in_rows

__all__ = ["Bounds", "OutsideBounds"]

FloatArray = npt.NDArray[np.float64]

_KNOTS = 257
# Of the width of the bounds: what rounding and the straight lines between knots may amount to.
_TOLERANCE = 1e-3


class OutsideBounds(UserWarning):
    """Parameters outside of the training bounds of an emulator, where its errors say nothing."""


@dataclass(frozen=True, eq=False)
class Bounds:
    """Lowest and highest values of the parameters, those of four of them by log Mmin.

    Attributes
    ----------
    box : ndarray, shape (7, 2) or (10, 2)
        The least box that holds them all, in the order of `names`: `PARAMETERS`, or
        `WITH_COSMOLOGY`.
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

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters."""
        return WITH_COSMOLOGY[: len(self.box)]

    @classmethod
    def design(cls, logMmin: tuple[float, float], cosmology: npt.ArrayLike | None = None) -> Bounds:
        """Bounds of `pysoftcorr.mocks.training_design` for log Mmin in the range given.

        `cosmology` are those of `COSMOLOGY`, shape (3, 2), where they are parameters.

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
        if cosmology is not None:
            box += [(float(a), float(b)) for a, b in np.asarray(cosmology)]
        return cls(np.array(box), knots, low, high)

    @classmethod
    def of(cls, params: npt.ArrayLike) -> Bounds:
        """Bounds of a set of training points, shape (n, m).

        The range of log Mmin is that of the points; where all of them lie within the design's
        bounds, the other bounds are the design's, otherwise the least box about the points.
        """
        points = np.asarray(params, dtype=np.float64)
        least, most = points.min(axis=0), points.max(axis=0)
        if most[2] > least[2]:
            rest = np.stack([least, most], axis=1)[len(PARAMETERS) :]
            design = cls.design((least[2], most[2]), rest if len(rest) else None)
            if not design.outside(points).any():
                return design
        box = np.stack([least, most], axis=1)
        box[:2] = -1.0, 1.0
        ones = np.ones((2, 1))
        own = slice(3, len(PARAMETERS))
        return cls(box, least[2] + ones[:, 0] * [0, most[2] - least[2]], ones * least[own],
                   ones * most[own])  # fmt: skip

    def to_dict(self) -> dict[str, tuple[float, float]]:
        """The box by the names of the parameters."""
        return {name: (float(a), float(b)) for name, (a, b) in zip(self.names, self.box,
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
        """Lowest and highest values for each row of `params`, both of its shape (n, m)."""
        low, high = (np.tile(self.box[:, i], (len(params), 1)) for i in (0, 1))
        for j, bounds in enumerate(self.at(params[:, 2]).values(), start=3):
            low[:, j], high[:, j] = bounds
        return low, high

    def outside(self, params: FloatArray) -> npt.NDArray[np.bool_]:
        """Which of `params`, shape (n, m), lie outside."""
        low, high = self.limits(params)
        room = _TOLERANCE * (high - low)
        return (params < low - room) | (params > high + room)

    def check(self, params: FloatArray, on_outside: str) -> None:
        """Say which of `params`, shape (n, m), lie outside.

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
            given = f" at logMmin = {params[i, 2]:g}" if 2 < j < len(PARAMETERS) else ""
            said.append(
                f"{self.names[j]} = {params[i, j]:g} is outside of "
                f"[{low[i, j]:.4g}, {high[i, j]:.4g}]{given}{in_rows(rows, len(params))}"
            )
        text = f"outside of the training bounds, where the emulator guesses: {'; '.join(said)}"
        if on_outside == "error":
            raise ValueError(text)
        warnings.warn(text, OutsideBounds, stacklevel=4)

    def sample(self, points: int, *, seed: Seed = None) -> FloatArray:
        """Points uniform within the bounds, shape (points, m)."""
        number_of = count("points", points, most=100_000_000, each=300.0)
        u = stream(root_seed(seed), "points within bounds").random((number_of, len(self.box)))
        out = self.box[:, 0] + u * (self.box[:, 1] - self.box[:, 0])
        low, high = self.limits(out)
        own = slice(3, len(PARAMETERS))
        out[:, own] = (low + u * (high - low))[:, own]
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
        if (
            box.shape not in ((number, 2), (len(WITH_COSMOLOGY), 2))
            or knots.ndim != 1
            or len(knots) < 2
        ):
            raise ValueError(f"bounds of shapes {box.shape} and {knots.shape}")
        if low.shape != (len(knots), number - 3) or high.shape != low.shape:
            raise ValueError(f"bounds of shapes {low.shape} and {high.shape}")
        if not all(np.isfinite(a).all() for a in (box, knots, low, high)):
            raise ValueError("bounds that are not finite")
        if (box[:, 0] > box[:, 1]).any() or (low > high).any() or (np.diff(knots) < 0).any():
            raise ValueError("bounds with the highest below the lowest")
        return cls(box, knots, low, high)
