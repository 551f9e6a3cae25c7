"""Second-order Lagrangian perturbation theory (2LPT) on a periodic mesh."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage

from pysoftcorr.mocks.cosmology import Cosmology

FloatArray = npt.NDArray[np.float64]
Grid = npt.NDArray[np.float32]
Modes = npt.NDArray[np.complex64]

MESH_MIN, MESH_MAX = 8, 1024


def white_modes(mesh: int, rng: np.random.Generator) -> Modes:
    """Fourier modes of white noise of unit variance, large scales first.

    Modes are drawn in cubic shells of growing wave number: from the same stream, a finer mesh
    has the same large-scale modes and more small-scale ones. The mean and the Nyquist planes
    of an even mesh are 0.

    Parameters
    ----------
    mesh : int
        Cells along a side.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of complex64, shape (mesh, mesh, mesh//2 + 1)
        As `scipy.fft.rfftn` orders them, Hermitian.
    """
    modes = np.zeros((mesh, mesh, mesh // 2 + 1), dtype=np.complex64)
    for s in range(1, (mesh + 1) // 2):
        full, inner, depth = np.arange(-s, s + 1), np.arange(1 - s, s), np.arange(s)
        ends = np.array([-s, s])
        for face in (
            np.ix_(full, full, ends[1:]),
            np.ix_(ends, full, depth),
            np.ix_(inner, ends, depth),
        ):
            shape = np.broadcast_shapes(*(axis.shape for axis in face))
            pair = rng.standard_normal((*shape, 2), dtype=np.float32)
            modes[face] = pair.view(np.complex64)[..., 0] * np.float32(np.sqrt(0.5))
    # A real field has conjugate modes at k and -k; both lie in the plane kz = 0.
    plane = modes[:, :, 0]
    mirrored = np.conj(np.roll(plane[::-1, ::-1], (1, 1), axis=(0, 1)))
    index = np.rint(np.fft.fftfreq(mesh) * mesh)
    kept = (index[:, None] > 0) | ((index[:, None] == 0) & (index[None, :] > 0))
    modes[:, :, 0] = np.where(kept, plane, mirrored)
    return modes


class LPTField:
    """A Gaussian density field and its second-order Lagrangian displacements.

    Parameters
    ----------
    boxsize : float
        Side of the periodic cube in comoving Mpc/h.
    modes : ndarray of complex64, shape (mesh, mesh, mesh//2 + 1)
        The linear density contrast as `scipy.fft.rfftn` gives it, without Nyquist modes.
    second : float
        Minus the second-order growth factor over the first-order one squared, about 3/7.

    Notes
    -----
    With the linear density contrast delta at this redshift, laplacian(phi1) = delta and
    laplacian(phi2) = sum_{i<j} (phi1_ii phi1_jj - phi1_ij^2), the displacement is
    psi = -grad(phi1) - (3/7) Om(z)^(-1/143) grad(phi2) (Bouchet et al. 1995, A&A 296, 575,
    with their D1 within phi1). Fields are float32; a point of the mesh is the centre of its cell.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr.mocks.cosmology import Cosmology
    >>> from pysoftcorr.mocks.lpt import LPTField
    >>> field = LPTField.draw(100.0, 16, Cosmology("planck18"), 0.0, np.random.default_rng(1))
    >>> field.density().shape, abs(float(field.density().mean())) < 1e-6
    ((16, 16, 16), True)
    """

    def __init__(self, boxsize: float, modes: Modes, second: float) -> None:
        self.boxsize, self.mesh = float(boxsize), len(modes)
        self.modes = modes
        self.cell = self.boxsize / self.mesh
        self.fundamental = 2.0 * np.pi / self.boxsize
        self._second = second
        self._squares = _squares(self.mesh)
        whole, half = _wave_numbers(self.mesh)
        along = np.float32(self.fundamental)
        self._k = [
            along * whole[:, None, None],
            along * whole[None, :, None],
            along * half[None, None, :],
        ]

    @classmethod
    def draw(
        cls,
        boxsize: float,
        mesh: int,
        cosmology: Cosmology,
        redshift: float,
        rng: np.random.Generator,
    ) -> LPTField:
        """A field of the linear power spectrum at `redshift`, its modes drawn by `white_modes`."""
        # <|delta_k|^2> = P(k) N^2 / V in the convention of scipy.fft.
        table = _table(
            boxsize,
            mesh,
            lambda k: np.sqrt(cosmology.power(k, redshift) / boxsize**3) * float(mesh) ** 3,
        )
        modes = white_modes(mesh, rng)
        modes *= table[_squares(mesh)]
        second = 3.0 / 7.0 * cosmology.matter_fraction(redshift) ** (-1.0 / 143.0)
        return cls(boxsize, modes, second)

    def coarse(self, mesh: int) -> LPTField:
        """The same field with the modes of a coarser mesh alone, displacements included."""
        if mesh >= self.mesh:
            return self
        half = (mesh + 1) // 2
        kept = np.r_[0:half, self.mesh - half + 1 : self.mesh]
        target = np.r_[0:half, mesh - half + 1 : mesh]
        fields = []
        for modes in (self.modes, self._source):
            part = np.zeros((mesh, mesh, mesh // 2 + 1), dtype=np.complex64)
            part[np.ix_(target, target, np.arange(half))] = modes[
                np.ix_(kept, kept, np.arange(half))
            ] * np.float32((mesh / self.mesh) ** 3)
            fields.append(part)
        other = LPTField(self.boxsize, fields[0], self._second)
        # What the small scales add to the large ones at second order was known here alone.
        other.__dict__["_source"] = fields[1]
        return other

    # ------------------------------------------------------------------ fields in real space
    def linear(self, radius: float = 0.0) -> Grid:
        """Linear density contrast, (mesh, mesh, mesh), in spheres of `radius` (Mpc/h)."""
        return self._real(self.modes * self._kernel(lambda k: _top_hat(k * radius)))

    def tidal(self, radius: float = 0.0) -> Iterator[tuple[int, int, Grid]]:
        """The components (i, j, d_i d_j phi1), i <= j, one at a time; their trace is `linear`."""
        potential = self.modes * self._kernel(lambda k: _top_hat(k * radius) / k**2)
        for i in range(3):
            for j in range(i, 3):
                yield i, j, self._real(potential * (self._k[i] * self._k[j]))

    def displacement(self, radius: float = 0.0, *, order: int = 2) -> Iterator[Grid]:
        """The three components of psi in Mpc/h, one at a time, averaged in spheres."""
        if order not in (1, 2):
            raise ValueError(f"order = {order!r}: must be 1 (Zel'dovich) or 2")
        source = self._source if order == 2 else self.modes
        potential = source * self._kernel(lambda k: _top_hat(k * radius) / k**2)
        for axis in range(3):
            yield self._real(potential * (np.complex64(1j) * self._k[axis]))

    def density(self, *, order: int = 2) -> FloatArray:
        """Density contrast of the displaced matter, by cloud-in-cell, (mesh, mesh, mesh)."""
        corner = np.indices((self.mesh,) * 3, dtype=np.float64) * self.cell
        for axis, psi in enumerate(self.displacement(order=order)):
            corner[axis] += psi
        return cloud_in_cell(corner.reshape(3, -1).T, self.boxsize, self.mesh)

    def at(self, grid: Grid, position: FloatArray) -> FloatArray:
        """A field at positions (N, 3) in Mpc/h, by linear interpolation, (N,)."""
        return ndimage.map_coordinates(
            grid, position.T / self.cell, order=1, mode="grid-wrap", output=np.float64
        )

    # ------------------------------------------------------------------ Fourier space
    @cached_property
    def _source(self) -> Modes:
        """delta + (3/7) Om^(-1/143) laplacian(phi2): psi is i k / k^2 times this."""
        potential = self.modes * self._kernel(lambda k: 1.0 / k**2)

        def shear(i: int, j: int) -> Grid:
            return self._real(potential * (self._k[i] * self._k[j]))

        first, second = shear(0, 0), shear(1, 1)
        total = first * second
        first += second
        total += first * shear(2, 2)
        for i, j in ((0, 1), (0, 2), (1, 2)):
            total -= shear(i, j) ** 2
        source = fft.rfftn(total, workers=workers())
        source *= np.float32(self._second)
        source += self.modes
        # A product has Nyquist modes, whose derivative is no real field, and a mean.
        if self.mesh % 2 == 0:
            ny = self.mesh // 2
            source[ny], source[:, ny], source[:, :, ny] = 0.0, 0.0, 0.0
        source[0, 0, 0] = 0.0
        return source

    def _real(self, modes: Modes) -> Grid:
        return fft.irfftn(modes, s=(self.mesh,) * 3, workers=workers(), overwrite_x=True)

    def _kernel(self, function: Callable[[FloatArray], FloatArray]) -> Grid:
        return _table(self.boxsize, self.mesh, function)[self._squares]


def _wave_numbers(mesh: int) -> tuple[Grid, Grid]:
    """Of a whole axis and of the halved one, in units of the fundamental."""
    whole = np.rint(np.fft.fftfreq(mesh) * mesh).astype(np.float32)
    return whole, np.arange(mesh // 2 + 1, dtype=np.float32)


def _squares(mesh: int) -> npt.NDArray[np.int32]:
    """Squared wave numbers in units of the fundamental: few values, hence tables."""
    whole, half = (k.astype(np.int32) for k in _wave_numbers(mesh))
    return whole[:, None, None] ** 2 + whole[None, :, None] ** 2 + half**2


def _table(boxsize: float, mesh: int, function: Callable[[FloatArray], FloatArray]) -> Grid:
    """A function of k (h/Mpc) at every squared wave number of the mesh; 0 at k = 0."""
    last = 3 * (mesh // 2) ** 2
    values = np.zeros(last + 1, dtype=np.float32)
    values[1:] = function(2.0 * np.pi / boxsize * np.sqrt(np.arange(1, last + 1)))
    return values


def _top_hat(x: FloatArray) -> FloatArray:
    """Fourier transform of a sphere of mean 1, at k R."""
    small = x < 1e-2
    safe = np.where(small, 1.0, x)
    exact = 3.0 * (np.sin(safe) - safe * np.cos(safe)) / safe**3
    return np.where(small, 1.0 - x**2 / 10.0, exact)


def cloud_in_cell(position: FloatArray, boxsize: float, mesh: int) -> FloatArray:
    """Density contrast of points (N, 3) in a periodic box, (mesh, mesh, mesh), by cloud-in-cell.

    A point of the mesh is the centre of its cell, at ``index * boxsize / mesh``.
    """
    total = np.zeros(mesh**3)
    for start in range(0, len(position), 1 << 20):  # bounded memory
        scaled = position[start : start + (1 << 20)] * (mesh / boxsize)
        corner = np.floor(scaled)
        offset = scaled - corner
        low = corner.astype(np.int64) % mesh
        high = (low + 1) % mesh
        for step in np.ndindex(2, 2, 2):
            weight = np.prod(np.where(step, offset, 1.0 - offset), axis=1)
            cell = np.where(step, high, low)
            index = (cell[:, 0] * mesh + cell[:, 1]) * mesh + cell[:, 2]
            total += np.bincount(index, weights=weight, minlength=mesh**3)
    return (total / (len(position) / mesh**3) - 1.0).reshape((mesh,) * 3)


def workers() -> int:
    """Processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
