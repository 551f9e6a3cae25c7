"""Soft correlation functions and their derivatives, for the graphs of torch and JAX."""

from __future__ import annotations

import copy
import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr.sky.catalog import Catalog
from pysoftcorr.sky.geometry import FLAT, SKY
from pysoftcorr.sky.soft_kernels import FIELDS, SoftKernels, Solution
from pysoftcorr.sky.soft_statistic_kernels import Columns, Pairs, StatisticKernels

__all__ = ["NO_THIRD", "Nodes", "StatisticNodes"]

FloatArray = npt.NDArray[np.float64]

#: Why nothing is differentiated three times.
NO_THIRD = (
    "third derivatives are not given; differentiate soft correlation functions at most "
    "twice, and detach what is not to be differentiated again"
)


class Nodes:
    """An estimate and its derivatives, from arrays of objects in the order of `FIELDS`.

    Objects are clustered once, though a graph comes back to them for each derivative.

    Parameters
    ----------
    estimator : SoftCorrelation
    geometry : {"sky", "flat"}
    units : dict
        Options of `Catalog`.
    """

    #: Sets of objects whose clustering is kept; the oldest is forgotten first.
    KEPT = 64

    def __init__(self, estimator: SoftKernels, geometry: str, units: dict[str, Any]) -> None:
        self.estimator, self.units = estimator, units
        self.fields = FIELDS[geometry]
        self.nbins = estimator.nbins
        self._solutions: OrderedDict[bytes, Solution] = OrderedDict()

    @classmethod
    def of(
        cls,
        estimator: SoftKernels,
        sky: tuple[Any, Any],
        flat: tuple[Any, Any],
        xy_unit: str | None,
    ) -> tuple[Nodes, tuple[Any, Any]]:
        """For positions on the sky or in a plane, and these."""
        geometry = SKY if flat[0] is None and flat[1] is None else FLAT
        if geometry == FLAT and not (sky[0] is None and sky[1] is None):
            raise ValueError("give ra and dec, or x and y, not both")
        units = {} if xy_unit is None else {"xy_unit": xy_unit}
        return cls(estimator, geometry, units), sky if geometry == SKY else flat

    def _at(self, objects: Sequence[FloatArray]) -> Solution:
        self.estimator._begin()
        digest = hashlib.blake2b(digest_size=16)
        for array in objects:
            digest.update(np.ascontiguousarray(array).data)
        key = digest.digest()
        found = self._solutions.get(key)
        if found is None:
            columns: dict[str, Any] = dict(zip(self.fields, objects, strict=True))
            found = self.estimator._solve(Catalog(**columns, **self.units))
            self._solutions[key] = found
            if len(self._solutions) > self.KEPT:
                self._solutions.popitem(last=False)
        return found

    def wanting(self, wanted: Sequence[bool]) -> Nodes:
        """These, whose gradients come all at once, whichever of `FIELDS` are asked for."""
        return self

    def value(self, objects: Sequence[FloatArray]) -> FloatArray:
        """xi, shape (nbins,)."""
        return self.estimator._value(self._at(objects))

    def pull(self, cotangent: FloatArray, objects: Sequence[FloatArray]) -> list[FloatArray]:
        """Gradients of a sum of the bins by each of `FIELDS`, (N,)."""
        _, rows = self.estimator._pull(self._at(objects), cotangent[None, :])
        return [row[0] for row in rows.values()]

    def push(self, tangents: Sequence[FloatArray], objects: Sequence[FloatArray]) -> FloatArray:
        """Derivative of xi along changes of `FIELDS`."""
        return self.estimator._push(self._at(objects), np.stack(tangents))

    def second(
        self,
        cotangent: FloatArray,
        tangents: Sequence[FloatArray],
        objects: Sequence[FloatArray],
    ) -> list[FloatArray]:
        """How `pull` changes along changes of `FIELDS`."""
        rows = self.estimator._second(self._at(objects), np.stack(tangents), cotangent[None, :])
        return list(rows[:, 0])

    def bend(
        self,
        one: Sequence[FloatArray],
        other: Sequence[FloatArray],
        objects: Sequence[FloatArray],
    ) -> FloatArray:
        """Second derivative of each bin along two changes, shape (nbins,)."""
        rows = self.estimator._second(self._at(objects), np.stack(one), np.eye(self.nbins))
        return np.einsum("frn,fn->r", rows, np.stack(other))


class StatisticNodes:
    """A statistic and its derivatives, from arrays of columns, for the graphs of torch."""

    def __init__(
        self, statistic: StatisticKernels, columns: Sequence[tuple[str, str]], units: dict[str, Any]
    ) -> None:
        self.statistic, self.columns, self.units = statistic, columns, units
        single = len(statistic.catalogs) == 1
        self.fields = tuple(name if single else f"{a}[{name!r}]" for a, name in columns)
        #: Whether the derivatives by weights are kept with the value, which gives them as well.
        self.expecting = False
        self._kept: tuple[list[FloatArray], list[FloatArray]] | None = None
        self._wanted: Sequence[bool] = ()

    def wanting(self, wanted: Sequence[bool]) -> StatisticNodes:
        """These, of whose gradients only some columns' are asked for."""
        nodes = copy.copy(self)
        nodes._wanted = wanted
        return nodes

    def _kept_of(self, arrays: Sequence[FloatArray]) -> list[FloatArray] | None:
        """Derivatives by weights of each set, where they are known and all that is wanted."""
        weights = [name == self.statistic._weights for _, name in self.columns]
        others = any(w and not of for w, of in zip(self._wanted, weights, strict=False))
        if self._kept is None or not self._wanted or others:
            return None
        kept, by = self._kept
        same = all(np.array_equal(a, b) for a, b in zip(kept, arrays, strict=True))
        return by if same else None

    def _at(self, arrays: Sequence[FloatArray]) -> Pairs:
        of_catalogs: dict[str, Columns] = {}
        for (argument, name), array in zip(self.columns, arrays, strict=True):
            of_catalogs.setdefault(argument, {})[name] = array
        made = [self.statistic._catalog(a, c, **self.units) for a, c in of_catalogs.items()]
        return self.statistic._prepare(*made)

    def value(self, arrays: Sequence[FloatArray]) -> FloatArray:
        """The value."""
        if self.expecting:
            value, by = self.statistic._by_weights(self._at(arrays))
            self._kept = list(arrays), by
            return value
        return self.statistic._values(self._at(arrays))[0].reshape(self.statistic.shape)

    def pull(self, cotangent: FloatArray, arrays: Sequence[FloatArray]) -> list[FloatArray]:
        """Gradients of a sum of the values by each column, (N,)."""
        by = self._kept_of(arrays)
        if by is not None:
            axes = tuple(range(cotangent.ndim))
            rows = iter(np.tensordot(cotangent, part, (axes, axes)) for part in by)
            return [
                next(rows) if name == self.statistic._weights else np.zeros_like(array)
                for (_, name), array in zip(self.columns, arrays, strict=True)
            ]
        back = self.statistic._pull(self._at(arrays), cotangent[None])[1]
        return [row[0] for part in back for row in part]

    def push(self, tangents: Sequence[FloatArray], arrays: Sequence[FloatArray]) -> FloatArray:
        """Derivative of the value along changes of the columns."""
        pairs = self._at(arrays)
        found = self.statistic._values(pairs, self._along(pairs, tangents))
        return found[1].reshape(self.statistic.shape)

    def second(
        self,
        cotangent: FloatArray,
        tangents: Sequence[FloatArray],
        arrays: Sequence[FloatArray],
    ) -> list[FloatArray]:
        """How `pull` changes along changes of the columns."""
        pairs = self._at(arrays)
        rows = self.statistic._pull(pairs, cotangent[None], self._along(pairs, tangents))[2]
        return [row[0] for part in rows for row in part]

    def bend(
        self,
        one: Sequence[FloatArray],
        other: Sequence[FloatArray],
        arrays: Sequence[FloatArray],
    ) -> FloatArray:
        """Second derivative of each value along two changes."""
        pairs = self._at(arrays)
        rows = self.statistic._pull(pairs, self.statistic._each(), self._along(pairs, one))[2]
        columns = [row for part in rows for row in part]
        total = sum(row @ change for row, change in zip(columns, other, strict=True))
        return np.asarray(total).reshape(self.statistic.shape)

    @staticmethod
    def _along(pairs: Pairs, tangents: Sequence[FloatArray]) -> list[FloatArray]:
        rest = list(tangents)
        along = []
        for objects in pairs.objects:
            rows, rest = rest[: len(objects.names)], rest[len(objects.names) :]
            along.append(np.stack(rows) * objects.units[:, None])
        return along
