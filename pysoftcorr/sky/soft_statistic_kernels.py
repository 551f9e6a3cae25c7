"""Statistics of pairs in soft bins: what they are taken of, and the calls of Julia."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from pysoftcorr._julia import call
from pysoftcorr.sky.binning import Binning

__all__ = ["Columns", "Objects", "Pairs", "StatisticKernels"]

FloatArray = npt.NDArray[np.float64]
Columns = dict[str, FloatArray]


@dataclass(frozen=True)
class Objects:
    """Objects of one catalog as Julia takes them: a row a column, in its order."""

    argument: str  # of the method that was called
    names: tuple[str, ...]
    rows: FloatArray  # (c, N)
    units: FloatArray  # (c,): of the columns' own unit in that of `rows`

    def __len__(self) -> int:
        return self.rows.shape[1]


@dataclass(frozen=True)
class Pairs:
    """Everything that a statistic is taken of: one set of objects or two, bins and settings."""

    objects: tuple[Objects, ...]
    bins: FloatArray  # (3, nbins), in the unit of the rows
    options: tuple[int, ...]  # as julia/src/entries/softstatistics.jl has them
    numbers: FloatArray


class StatisticKernels(ABC):
    """The work of a `SoftStatistic`, whose subclasses say what the catalogs are."""

    #: What is estimated, in the order of the values.
    statistics: ClassVar[tuple[str, ...]]
    #: Names of the catalogs, in the order in which methods take them.
    catalogs: ClassVar[tuple[str, ...]]
    #: Columns that are vectors (N, 3), by the names of their components.
    _vectors: ClassVar[dict[str, tuple[str, ...]]] = {}
    #: Column that may be left out of tensors: 1 then.
    _weights: ClassVar[str] = "w"
    _kind: ClassVar[int]
    #: Why some pairs have no direction, for a warning that counts those that are left out.
    _left_out: ClassVar[str] = ""

    bins: Binning
    weighting: str
    _bins: FloatArray

    @property
    def nbins(self) -> int:
        """Number of bins."""
        return self.bins.nbins

    @property
    def sharpness(self) -> FloatArray:
        """Sharpness of each bin, shape (nbins,)."""
        return self._bins[2].copy()

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the value: (nbins,), or (number of statistics, nbins) of several."""
        several = len(self.statistics) > 1
        return (len(self.statistics), self.nbins) if several else (self.nbins,)

    def __repr__(self) -> str:
        what = ", ".join(self.statistics)
        return f"<{type(self).__name__}: {what} in {self.bins}, {self.weighting}>"

    # ------------------------------------------------------------------ of its subclasses
    @abstractmethod
    def _prepare(self, *catalogs: Any) -> Pairs:
        """Checked catalogs as Julia takes them."""

    @abstractmethod
    def _catalog(self, argument: str, columns: Columns, **units: Any) -> Any:
        """The catalog of some columns: those of tensors."""

    @abstractmethod
    def _columns(self, argument: str, flat: bool) -> tuple[str, ...]:
        """Names of the columns of a catalog, in Julia's order."""

    def _each(self) -> FloatArray:
        size = int(np.prod(self.shape))
        return np.eye(size).reshape(size, *self.shape)

    def _joined(self, columns: Columns) -> Columns:
        """Columns with components in their vectors (..., 3)."""
        out = {}
        for name, parts in self._vectors.items():
            out[name] = np.stack([columns.pop(part) for part in parts], axis=-1)
        return {**out, **columns}

    # ------------------------------------------------------------------ the calls
    def _arguments(self, pairs: Pairs) -> tuple[Any, ...]:
        first, *others = pairs.objects
        second = others[0].rows if others else np.empty((0, 0))
        return (
            self._kind, np.array(pairs.options, dtype=np.int64), pairs.numbers, len(first),
            first.rows, second.shape[1], second, self.nbins, pairs.bins,
        )  # fmt: skip

    @staticmethod
    def _pair_of(along: Sequence[FloatArray] | None) -> tuple[int, FloatArray, FloatArray]:
        if along is None:
            return 0, np.empty(0), np.empty(0)
        first, *others = (np.ascontiguousarray(a) for a in along)
        return 1, first, others[0] if others else np.empty(0)

    def _values(self, pairs: Pairs, along: Sequence[FloatArray] | None = None) -> FloatArray:
        """The value and its derivative along changes of the rows, (2, V, nbins)."""
        out, report = np.empty((2, len(self.statistics), self.nbins)), np.zeros(1)
        call("soft_statistic", *self._arguments(pairs), *self._pair_of(along), out, report)
        self._warn(out[0], report[0])
        return out

    def _pull(
        self, pairs: Pairs, cotangents: FloatArray, along: Sequence[FloatArray] | None = None
    ) -> tuple[FloatArray, list[FloatArray], list[FloatArray]]:
        """The value; gradients (c, R, N) by the columns of each set; how these change along."""
        r = len(cotangents)
        shapes = [(r, *o.rows.shape) for o in pairs.objects]
        back = [np.empty(shape) for shape in shapes]
        more = [np.empty(shape if along is not None else 0) for shape in shapes]
        empty = [np.empty(0)] * (2 - len(shapes))
        value, report = np.empty((len(self.statistics), self.nbins)), np.zeros(1)
        call(
            "soft_statistic_pullback", *self._arguments(pairs), r,
            np.ascontiguousarray(cotangents), *self._pair_of(along), value, *back, *empty, *more,
            *empty, report,
        )  # fmt: skip
        self._warn(value, report[0])
        by_columns = [
            [
                np.swapaxes(part * objects.units[:, None], 0, 1)
                for part, objects in zip(parts, pairs.objects, strict=True)
            ]
            for parts in ((back, more) if along is not None else (back,))
        ]
        return value, by_columns[0], by_columns[-1]

    def _by_weights(self, pairs: Pairs) -> tuple[FloatArray, list[FloatArray]]:
        """The value, and its derivatives (*shape, N) by the weights of each set."""
        value = np.empty((len(self.statistics), self.nbins))
        by = [np.empty((len(o), *value.shape)) for o in pairs.objects]
        empty = [np.empty(0)] * (2 - len(by))
        call("soft_statistic_weights", *self._arguments(pairs), value, *by, *empty)
        self._warn(value, 0)
        parts = []
        for part, objects in zip(by, pairs.objects, strict=True):
            unit = objects.units[objects.names.index(self._weights)]
            parts.append(np.moveaxis(part * unit, 0, -1).reshape(*self.shape, len(objects)))
        return value.reshape(self.shape), parts

    def _warn(self, value: FloatArray, coincident: float) -> None:
        count = int(coincident)
        if count and self._left_out:
            warnings.warn(
                f"{count} pair{'s' if count > 1 else ''} of objects at one place {self._left_out}",
                stacklevel=4,
            )
        empty = np.flatnonzero(np.isnan(value).any(axis=0))
        if empty.size:
            warnings.warn(
                f"no pairs in bin{'s' if empty.size > 1 else ''} "
                f"{', '.join(map(str, empty))} of {self.bins}: the value is NaN, the gradient 0",
                stacklevel=4,
            )
