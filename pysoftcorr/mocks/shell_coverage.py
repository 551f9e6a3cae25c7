"""Parts of the shells around objects that lie in sub-volumes of a box.

Pairs of objects with uniform points, known without random points: what Landy & Szalay 1993 call DR,
and the same with the directions of axes. A sub-volume that is left out cuts the shells around the
objects beside it; the noise that comes of it, of first order in their density, is that of no pair
in the whole box, where shells are whole.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import spherical_jn

from pysoftcorr.mocks.subvolumes import SubVolumes

FloatArray = npt.NDArray[np.float64]

#: Mesh points along the side of a cube; fewer where an open box is padded.
_MESH, _PADDED = 48, 36
#: Steps of a cell along an axis at least, by which coverage is interpolated.
_STEPS = 4
#: Entries of a symmetric matrix, and how often each is there.
_ENTRIES = ((0, 0, 1.0), (1, 1, 1.0), (2, 2, 1.0), (0, 1, 2.0), (0, 2, 2.0), (1, 2, 2.0))


def covered_pairs(
    cells: SubVolumes,
    edges: FloatArray,
    uniform: tuple[FloatArray, FloatArray],
    position: FloatArray,
    weight: FloatArray,
    axis: FloatArray | None,
) -> tuple[FloatArray, FloatArray | None]:
    """Weighted pairs of objects in one cell and uniform points in another.

    Parameters
    ----------
    cells : SubVolumes
    edges : ndarray, shape (nbins + 1,)
        Mpc/h.
    uniform : tuple of ndarray
        Of `SubVolumes.pair_fractions` for these edges.
    position : ndarray, shape (N, 3)
        In the box, Mpc/h.
    weight : ndarray, shape (N,)
    axis : ndarray, shape (N, 3), optional
        Unit axes.

    Returns
    -------
    pairs : ndarray, shape (nbins, n, n)
        Part, of all pairs of uniform points at separations in the bin, of those of the objects in
        the first cell with points in the second: about 1 in all.
    aligned : ndarray, shape (nbins, n, n), or None
        The same with (e . d)^2/d^2 - 1/3 of the objects' axes.
    """
    n = cells.n
    steps = _steps(cells)
    held = _deposited(cells, steps, position, weight, axis)
    fractions, retained = uniform
    turns = np.array(cells.shape) * (1 if cells.periodic else 2)
    windows = _Windows(cells, steps, turns)
    ids = np.indices(cells.shape).reshape(3, -1)
    # Where a cell is, as seen from another, in cells from 0 and round the (padded) box.
    seen = np.mod(ids[:, :, None] - ids[:, None, :], turns[:, None, None])
    offset = np.ravel_multi_index(tuple(seen), tuple(turns))
    parts = np.zeros((len(edges) - 1, len(held), n, n))
    for b in range(len(edges) - 1):
        some = np.unique(offset[fractions[b] > 0])
        place = np.zeros(turns.prod(), dtype=np.int64)
        place[some] = np.arange(len(some))
        known = np.zeros(turns.prod())
        known[offset] = fractions[b] * n * retained[b]
        for k, of in enumerate(windows.of_bin(edges[b], edges[b + 1], len(held) > 1)):
            around = _around(of, turns, steps)[some]
            if k == 0:
                around = _scaled(around, known[some], _trapezoid(steps))
            # einsum and not BLAS, whose bits depend on the number of threads.
            sums = np.einsum("pu,ou->po", held[k], around)
            sums = np.take_along_axis(sums, place[offset], axis=1)
            parts[b, k] = np.where(fractions[b] > 0, sums, 0.0)
    parts /= weight.sum() * retained[:, None, None, None]
    if axis is None:
        return parts[:, 0], None
    times = np.array([count for _, _, count in _ENTRIES])
    return parts[:, 0], np.einsum("bkpq,k->bpq", parts[:, 1:], times)


def _steps(cells: SubVolumes) -> npt.NDArray[np.int64]:
    """Steps of the mesh along the sides of a cell."""
    size = float(np.cbrt(cells.sides.prod())) / (_MESH if cells.periodic else _PADDED)
    return np.maximum(np.ceil(cells.cell / size - 1e-9), _STEPS).astype(np.int64)


def _deposited(
    cells: SubVolumes,
    steps: npt.NDArray[np.int64],
    position: FloatArray,
    weight: FloatArray,
    axis: FloatArray | None,
) -> FloatArray:
    """Objects on the mesh points of their cells, corners included, shape (1 or 7, n, points).

    Weights, then weights times the entries of e e - 1/3. A function on the points, summed with
    these, is that function interpolated at the objects.
    """
    points = steps + 1
    label = cells.labels(position)
    corner = np.array(np.unravel_index(label, cells.shape)).T
    inside = np.clip(position / cells.cell - corner, 0.0, 1.0) * steps
    low = np.minimum(np.floor(inside).astype(np.int64), steps - 1)
    part = inside - low
    fields = [weight]
    if axis is not None:
        fields += [weight * (axis[:, a] * axis[:, b] - (a == b) / 3) for a, b, _ in _ENTRIES]
    size = int(points.prod())
    out = np.zeros((len(fields), cells.n * size))
    for step in np.ndindex(2, 2, 2):
        share = np.where(step, part, 1 - part).prod(axis=1)
        at = label * size + np.ravel_multi_index(tuple((low + step).T), tuple(points))
        for k, field in enumerate(fields):
            out[k] += np.bincount(at, weights=share * field, minlength=out.shape[1])
    return out.reshape(len(fields), cells.n, size)


class _Windows:
    """Coverage of shells by the first cell, around every mesh point of the (padded) box."""

    def __init__(
        self, cells: SubVolumes, steps: npt.NDArray[np.int64], turns: npt.NDArray[np.int64]
    ) -> None:
        self.mesh = tuple((steps * turns).tolist())
        step = cells.cell / steps
        k = [2 * np.pi * np.fft.fftfreq(m, h) for m, h in zip(self.mesh, step, strict=True)]
        k[2] = 2 * np.pi * np.fft.rfftfreq(self.mesh[2], step[2])
        self.k = np.meshgrid(*k, indexing="ij", sparse=True)
        self.length = np.sqrt(sum(c**2 for c in self.k))
        # The cell itself, exactly: its transform, of a corner at 0.
        self.cell: npt.NDArray[np.complex128] = np.ones(self.length.shape, dtype=np.complex128)
        for c, width in zip(self.k, cells.cell, strict=True):
            self.cell *= np.sinc(c * width / (2 * np.pi)) * np.exp(-0.5j * c * width)
        self.cell *= np.prod(steps)
        self.table = np.linspace(0.0, float(self.length.max()), 4096)

    def of_bin(self, low: float, high: float, tensor: bool) -> list[FloatArray]:
        """Part of the shell in the cell, then, with `tensor`, the mean of d d/d^2 - 1/3 there."""
        nodes = 16 + int(np.ceil(self.table[-1] * (high - low) / 2))
        inner, part = np.polynomial.legendre.leggauss(nodes)
        r = (low + high) / 2 + (high - low) / 2 * inner
        w = part * r**2 / (part * r**2).sum()
        kr = self.table[:, None] * r
        scalar = np.interp(self.length, self.table, spherical_jn(0, kr) @ w)
        out = [np.fft.irfftn(self.cell * scalar, s=self.mesh, axes=(0, 1, 2))]
        if not tensor:
            return out
        # A plane wave averaged over directions with d d/d^2 - 1/3 is -j2(k r) (k k/k^2 - 1/3).
        turned = -self.cell * np.interp(self.length, self.table, spherical_jn(2, kr) @ w)
        square = np.where(self.length > 0, self.length, 1.0) ** 2
        for a, b, _ in _ENTRIES:
            angle = self.k[a] * self.k[b] / square - (a == b) / 3
            out.append(np.fft.irfftn(turned * angle, s=self.mesh, axes=(0, 1, 2)))
        return out


def _around(
    field: FloatArray, turns: npt.NDArray[np.int64], steps: npt.NDArray[np.int64]
) -> FloatArray:
    """Values at the points of every cell, corners included, shape (cells, points)."""
    for axis in range(3):
        first = np.arange(turns[axis])[:, None] * steps[axis] + np.arange(steps[axis] + 1)
        moved = np.moveaxis(field, 2 * axis, -1)
        taken = moved[..., np.mod(first, moved.shape[-1])]
        field = np.moveaxis(taken, (-2, -1), (2 * axis, 2 * axis + 1))
    return field.transpose(0, 2, 4, 1, 3, 5).reshape(int(turns.prod()), -1)


def _scaled(around: FloatArray, known: FloatArray, mean: FloatArray) -> FloatArray:
    """Coverage with the mean over a cell that it is known to have.

    The mesh blurs it; where it sees next to nothing, what there is has no place.
    """
    found = (around * mean).sum(axis=1)
    seen = found > known / 3
    ratio = np.divide(known, found, out=np.zeros_like(known), where=seen)
    return np.where(seen[:, None], around * ratio[:, None], known[:, None])


def _trapezoid(steps: npt.NDArray[np.int64]) -> FloatArray:
    """Weights of the points of a cell in a mean over it."""
    each = []
    for m in steps:
        w = np.ones(m + 1)
        w[[0, -1]] = 0.5
        each.append(w / m)
    return np.einsum("x,y,z->xyz", *each).ravel()
