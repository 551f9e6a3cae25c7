"""What an estimate in soft bins is taken at, and its derivatives for nodes of torch and JAX."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pysoftcorr.sky.catalog import Catalog
from pysoftcorr.sky.geometry import AXES, FLAT, SKY

if TYPE_CHECKING:
    from pysoftcorr.sky.differentiable import SoftCorrelation

__all__ = ["FIELDS", "Nodes", "Solution"]

FloatArray = npt.NDArray[np.float64]

#: The quantities of an object that the estimate depends on, in the order Julia takes them.
FIELDS = {geometry: (*axes, "g1", "g2", "w") for geometry, axes in AXES.items()}

#: Why nothing is differentiated three times.
NO_THIRD = (
    "SoftCorrelation: third derivatives are not given; differentiate xi at most twice, and detach "
    "what is not to be differentiated again"
)


@dataclass(frozen=True)
class Solution:
    """What an estimate is taken at: objects, the start, and the converged centers.

    Positions in a plane, and with them centers and bins, are in units of the power of two above the
    largest coordinate.
    """

    geometry: str
    objects: FloatArray  # (5, N): ra, dec or x, y; g1, g2 and w in units of `scale`
    bins: FloatArray  # (3, nbins): edges and sharpness
    scale: float
    start: FloatArray  # (3, c)
    centers: FloatArray  # (3, c)
    noise: FloatArray  # (N, c), or empty
    unit: float = 1.0  # arcmin or pixels in the unit of x and y
    per: float = 1.0  # units of `objects` in one of the catalog's

    def of_columns(self, rows: FloatArray) -> FloatArray:
        """Changes (5, ...) of the catalog's own columns as those of `objects`, in place; the same
        for gradients by `objects`, as those per unit of the columns."""
        if self.per != 1.0:
            rows[:2] *= self.per
        rows[4] /= self.scale
        return rows


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

    def __init__(self, estimator: SoftCorrelation, geometry: str, units: dict[str, Any]) -> None:
        self.estimator, self.units = estimator, units
        self.fields = FIELDS[geometry]
        self.nbins = estimator.nbins
        self._solutions: OrderedDict[bytes, Solution] = OrderedDict()

    @classmethod
    def of(
        cls,
        estimator: SoftCorrelation,
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
