"""A soft correlation function and its derivatives, for the graphs of torch and JAX."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr.sky.catalog import Catalog
from pysoftcorr.sky.geometry import FLAT, SKY
from pysoftcorr.sky.soft_kernels import FIELDS, SoftKernels, Solution

__all__ = ["NO_THIRD", "Nodes"]

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
