"""Sub-volumes of a box that a jackknife leaves out and a bootstrap draws."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr.core.options import integer
from pysoftcorr.sky.resampling import Bootstrap, Jackknife, LeaveOut, as_resampling

__all__ = ["SubVolumes", "as_plan", "shape_of"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

#: Sub-volumes that a bootstrap draws where it does not say how many.
_BOOTSTRAPPED = 27
#: The sums of pairs of two sub-volumes of more than these take a gigabyte.
MOST = 1000
#: Longest side of a sub-volume over its shortest, where their number alone is given.
_LONGEST = 1.5
#: Points of the averages over directions (in each angle of an octant) and over a bin.
_DIRECTIONS, _RADII = 48, 5


@dataclass(frozen=True)
class SubVolumes:
    """Equal cells of a box.

    Attributes
    ----------
    shape : tuple of int, (3,)
        Number along x, y and z.
    sides : ndarray, shape (3,)
        Sides of the box, Mpc/h.
    periodic : bool
    """

    shape: tuple[int, int, int]
    sides: FloatArray
    periodic: bool

    @property
    def n(self) -> int:
        """Number of cells."""
        return int(np.prod(self.shape))

    @property
    def cell(self) -> FloatArray:
        """Sides of a cell, (3,), Mpc/h."""
        return self.sides / self.shape

    def __str__(self) -> str:
        return "x".join(str(k) for k in self.shape)

    def labels(self, position: FloatArray) -> IntArray:
        """Number of the cell, from 0, of each position (N, 3) in the box."""
        counts = np.array(self.shape)
        place = np.floor(position / self.sides * counts).astype(np.int64)
        x, y, z = np.clip(place, 0, counts - 1).T
        return np.ascontiguousarray((x * self.shape[1] + y) * self.shape[2] + z)

    def pair_fractions(self, edges: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Parts of the pairs of uniform points that lie in each two cells.

        Returns
        -------
        fractions : ndarray, shape (nbins, n, n)
            Of those whose separation lies in a bin, with the first point in one and the second in
            another cell; a bin's parts add up to 1.
        retained : ndarray, shape (nbins,)
            Mean part of a shell around a point of the box that lies in the box.

        Notes
        -----
        For a separation d the part of two cells is the
        product over the axes of the overlap of one cell's side, moved by d, with the other's. It
        is averaged over directions and over the bin with the weight r^2 dr.
        """
        nodes, weights = np.polynomial.legendre.leggauss(_DIRECTIONS)
        mu, phi = (nodes + 1) / 2, (nodes + 1) * np.pi / 4
        ring = np.sqrt(1 - mu**2)
        # Signs of each component are averaged in `_overlap`: an octant is enough.
        direction = np.stack([
            np.outer(ring, np.cos(phi)), np.outer(ring, np.sin(phi)), np.outer(mu, phi**0)
        ]).reshape(3, -1)  # fmt: skip
        solid = np.outer(weights, weights).ravel()
        inner, part = np.polynomial.legendre.leggauss(_RADII)
        offsets = [
            np.abs(np.subtract.outer(ids, ids)) for ids in np.indices(self.shape).reshape(3, -1)
        ]
        out = np.empty((len(edges) - 1, self.n, self.n))
        retained = np.empty(len(edges) - 1)
        for b, (low, high) in enumerate(pairwise(edges)):
            r = (low + high) / 2 + (high - low) / 2 * inner
            d = (direction[:, None] * r[:, None]).reshape(3, -1)
            w = np.outer(part * r**2, solid).ravel()
            x, y, z = (self._overlap(axis, d[axis]) for axis in range(3))
            table = np.einsum("xk,yzk->xyz", x * w, y[:, None] * z)
            out[b] = table[offsets[0], offsets[1], offsets[2]]
            retained[b] = out[b].sum() / w.sum()
            out[b] /= out[b].sum()
        return out, retained

    def _overlap(self, axis: int, d: FloatArray) -> FloatArray:
        """Part of a side that lies in one cell and, moved by +-d, in that k cells on, (k, ...)."""
        k, width = self.shape[axis], self.cell[axis]
        gaps = np.arange(k) * width
        images = (-self.sides[axis], 0.0, self.sides[axis]) if self.periodic else (0.0,)
        total = np.zeros((k, d.size))
        for image in images:
            for sign in (-1, 1):
                total += np.maximum(0.0, width - np.abs(sign * d - gaps[:, None] + image))
        return total / (2 * self.sides[axis])


@dataclass(frozen=True)
class Plan:
    """How a box is resampled: the way, and the cells that it resamples."""

    way: Jackknife | Bootstrap
    cells: SubVolumes

    def __str__(self) -> str:
        weight = self.way.cross_patch_weight
        tail = "" if weight == "simple" else f":{weight}"
        if isinstance(self.way, Jackknife):
            return f"jackknife:{self.cells}{tail}"
        return f"bootstrap:{self.way.n}:{self.cells}{tail}"


def as_plan(resampling: Any, sides: FloatArray, *, periodic: bool) -> Plan:
    """The way to resample a box, of an option ``resampling=``.

    Parameters
    ----------
    resampling : Jackknife, Bootstrap or str
        The number of patches is that of sub-volumes. In text it may be a shape: "jackknife:3x3x3",
        "bootstrap:100:3x3x6".
    sides : ndarray, shape (3,)
        Sides of the box, Mpc/h.
    periodic : bool

    Raises
    ------
    TypeError, ValueError
        If it is none of these, or the box has no such sub-volumes.
    """
    shape: tuple[int, ...] | None = None
    given, default = resampling, _nearest(sides, _BOOTSTRAPPED)[-1]
    if isinstance(given, str):
        given = given.strip().lower()
        found = re.search(r"(?<![\w.])\d+(x\d+)+(?![\w.])", given)
        if found:
            shape = tuple(int(k) for k in found[0].split("x"))
            given = given.replace(found[0], str(int(np.prod(shape))))
        given = re.sub(r"^(bootstrap:\d+):(?=[a-z])", rf"\1:{default}:", given)
    try:
        way = as_resampling(given)
    except ValueError:
        raise ValueError(
            f"resampling = {resampling!r}: must be 'jackknife:N' with N sub-volumes of the box, "
            "2 or more, or a shape such as 'jackknife:3x3x3' (behind it ':match' or ':mean'), or "
            "'bootstrap:R' or 'bootstrap:R:N' with R draws of them (behind it ':mean' or ':geom')"
        ) from None
    if way is None or isinstance(way, LeaveOut):
        raise ValueError(
            f"resampling = {str(resampling)!r}: a box is resampled by its sub-volumes; take "
            "resampling='jackknife:27' or resampling='bootstrap:100'"
        )
    number = way.n if isinstance(way, Jackknife) else way.patches
    if isinstance(way, Bootstrap) and number is None:
        shape = shape_of(default, sides)
    elif not isinstance(number, int):
        raise ValueError(
            f"resampling = {str(way)!r}: sub-volumes of a box are cells of one size, which no "
            "labels are needed for; give their number or shape, as resampling='jackknife:3x3x3'"
        )
    if shape is None:
        assert isinstance(number, int)
        shape = shape_of(number, sides, name=f"resampling = {str(resampling)!r}")
    if len(shape) != 3 or min(shape) < 1 or not 2 <= np.prod(shape) <= MOST:
        raise ValueError(
            f"resampling = {str(resampling)!r}: the shape of the sub-volumes must be three whole "
            f"numbers, as in 'jackknife:3x3x3', of 2 to {MOST:,} in all"
        )
    return Plan(way, SubVolumes((shape[0], shape[1], shape[2]), sides, periodic))


def shape_of(n: int, sides: FloatArray, *, name: str = "n") -> tuple[int, int, int]:
    """Shape of n equal sub-volumes of a box, nearest to cubes.

    Raises
    ------
    ValueError
        If n is no product of three numbers that makes them nearly cubes, the same along equal
        sides; the nearest that are possible are named.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr.mocks.subvolumes import shape_of
    >>> shape_of(27, np.array([100.0, 100.0, 100.0])), shape_of(16, np.array([50.0, 50.0, 100.0]))
    ((3, 3, 3), (2, 2, 4))
    """
    integer(name, n, least=2, most=MOST)
    shape = _shape(n, sides)
    if shape is None:
        near = [f"{m} ({'x'.join(map(str, _shape(m, sides) or ()))})" for m in _nearest(sides, n)]
        box = "x".join(f"{side:g}" for side in sides)
        raise ValueError(
            f"{name}: {n} sub-volumes of a box of {box} Mpc/h are no cubes, nor nearly; take "
            f"{' or '.join(near)}, or give a shape of your own, as 'jackknife:4x3x3'"
        )
    return shape


def _shape(n: int, sides: FloatArray) -> tuple[int, int, int] | None:
    best: tuple[float, tuple[int, int, int]] | None = None
    for k in range(1, n + 1):
        if n % k:
            continue
        for m in range(1, n // k + 1):
            if (n // k) % m:
                continue
            shape = (k, m, n // (k * m))
            alike = ((0, 1), (1, 2), (0, 2))
            if any(sides[a] == sides[b] and shape[a] != shape[b] for a, b in alike):
                continue
            cell = sides / shape
            ratio = float(cell.max() / cell.min())
            if ratio <= _LONGEST and (best is None or ratio < best[0]):
                best = ratio, shape
    return None if best is None else best[1]


def _nearest(sides: FloatArray, n: int) -> list[int]:
    """The possible number at or below n and the next above it; one where there is but one."""
    below = next((m for m in range(n, 1, -1) if _shape(m, sides)), None)
    above = next((m for m in range(max(n, 2), MOST + 1) if _shape(m, sides)), None)
    found = [m for m in (below, above) if m is not None]
    return sorted(set(found))
