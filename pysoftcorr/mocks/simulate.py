"""Halos of a simulated universe: a 2LPT field, a mass function and a bias relation."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage
from scipy.spatial import cKDTree

from pysoftcorr.core import options
from pysoftcorr.core.cores import usable_cores
from pysoftcorr.core.random import Seed, root_seed, stream
from pysoftcorr.core.version import __version__
from pysoftcorr.mocks.alignment import draw_watson
from pysoftcorr.mocks.checks import cube_side, wrapped
from pysoftcorr.mocks.cosmology import Abundance, Cosmology
from pysoftcorr.mocks.shapes import draw_shapes
from pysoftcorr.mocks.unevolved import draw_subhalos

if TYPE_CHECKING:
    from pysoftcorr.mocks.halos import HaloCatalog

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
    rates : (float, float)
        Logarithmic derivatives of both growth factors with respect to the scale factor; by default
        those of a universe of matter alone.

    Notes
    -----
    With the linear density contrast delta at this redshift, laplacian(phi1) = delta and
    laplacian(phi2) = sum_{i<j} (phi1_ii phi1_jj - phi1_ij^2), the displacement is
    psi = -grad(phi1) - (3/7) Om(z)^(-1/143) grad(phi2) (Bouchet et al. 1995, A&A 296, 575,
    with their D1 within phi1). Fields are float32; a point of the mesh is the center of its cell.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr.mocks.cosmology import Cosmology
    >>> from pysoftcorr.mocks.simulate import LPTField
    >>> field = LPTField.draw(100.0, 16, Cosmology("planck18"), 0.0, np.random.default_rng(1))
    >>> field.density().shape, abs(float(field.density().mean())) < 1e-6
    ((16, 16, 16), True)
    """

    def __init__(
        self, boxsize: float, modes: Modes, second: float, rates: tuple[float, float] = (1.0, 2.0)
    ) -> None:
        self.boxsize, self.mesh = float(boxsize), len(modes)
        self.modes = modes
        self.cell = self.boxsize / self.mesh
        self.fundamental = 2.0 * np.pi / self.boxsize
        self._second, self._rates = second, rates
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
        return cls(boxsize, modes, second, cosmology.growth_rates(redshift))

    def coarse(self, mesh: int) -> LPTField:
        """This field with the modes of a coarser mesh alone, displacements included."""
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
        other = LPTField(self.boxsize, fields[0], self._second, self._rates)
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
        """The three components of psi in Mpc/h, one at a time, averaged in spheres.

        To first `order` (Zel'dovich) or to second.
        """
        options.integer("order", order, least=1, most=2)
        yield from self._gradient(self._source if order == 2 else self.modes, radius)

    def drift(self, radius: float = 0.0) -> Iterator[Grid]:
        """The three components of d psi/d ln a in Mpc/h, one at a time, averaged in spheres.

        Times the Hubble rate and the scale factor they are the peculiar velocity.
        """
        first, second = self._rates
        growing = np.float32(first - second) * self.modes + np.float32(second) * self._source
        yield from self._gradient(growing, radius)

    def _gradient(self, source: Modes, radius: float) -> Iterator[Grid]:
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
        source = fft.rfftn(total, workers=usable_cores())
        source *= np.float32(self._second)
        source += self.modes
        # A product has Nyquist modes, whose derivative is no real field, and a mean.
        if self.mesh % 2 == 0:
            ny = self.mesh // 2
            source[ny], source[:, ny], source[:, :, ny] = 0.0, 0.0, 0.0
        source[0, 0, 0] = 0.0
        return source

    def _real(self, modes: Modes) -> Grid:
        return fft.irfftn(modes, s=(self.mesh,) * 3, workers=usable_cores(), overwrite_x=True)

    def _kernel(self, function: Callable[[FloatArray], FloatArray]) -> Grid:
        return _table(self.boxsize, self.mesh, function)[self._squares]


def _wave_numbers(mesh: int) -> tuple[Grid, Grid]:
    """Wave numbers of a whole axis and of the halved one, in units of the fundamental."""
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

    A point of the mesh is the center of its cell, at ``index * boxsize / mesh``.

    `pysoftcorr.diffhod.paint_cic`, with derivatives and for any device, needs torch, which halos
    must do without. It adds point by point, not corner by corner: the last bits differ.
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


IntArray = npt.NDArray[np.int64]


class Spares(NamedTuple):
    """Places for halos that must move: drawn with the others, as likely as theirs.

    `position` (M, 3), `tides` (M, 3, 3), `drift` (M, 3), `group` (M,), and `lightest` (M,), the
    row of the lightest halo of that group.
    """

    position: FloatArray
    tides: FloatArray
    drift: FloatArray
    group: IntArray
    lightest: IntArray


def covered(
    position: FloatArray,
    radius: FloatArray,
    places: FloatArray,
    owner: IntArray,
    boxsize: float,
    *,
    by: IntArray | None = None,
) -> npt.NDArray[np.bool_]:
    """Which places lie within the radius of a halo heavier than the one they are for.

    Parameters
    ----------
    position : ndarray, shape (N, 3)
        Halo centers in [0, boxsize), heaviest first.
    radius : ndarray, shape (N,)
    places : ndarray, shape (M, 3)
    owner : ndarray of int, shape (M,)
        Row of the halo that each place is for.
    boxsize : float
    by : ndarray of int, optional
        Rows of the halos that are asked about; all of them by default.

    Returns
    -------
    ndarray of bool, shape (M,)
    """
    found = np.zeros(len(places), dtype=bool)
    rows = np.arange(len(position)) if by is None else by
    if not (rows.size and len(places)):
        return found
    tree = cKDTree(places, boxsize=boxsize)
    count = tree.query_ball_point(
        position[rows], radius[rows], return_length=True, workers=usable_cores()
    )
    # Most halos cover no place but, where the places are the halos, their own.
    several = count > (1 if places is position else 0)
    rows, count = rows[several], count[several]
    for start in range(0, rows.size, 100_000):
        part = slice(start, start + 100_000)
        lists = tree.query_ball_point(
            position[rows[part]], radius[rows[part]], workers=usable_cores()
        )
        inside = np.concatenate([np.asarray(x, dtype=np.int64) for x in lists])
        coverer = np.repeat(rows[part], count[part])
        found[inside[coverer < owner[inside]]] = True
    return found


def separate(
    position: FloatArray,
    tides: FloatArray,
    drift: FloatArray,
    radius: FloatArray,
    group: IntArray,
    spare: Spares,
    boxsize: float,
) -> int:
    """Move halos out of heavier ones to spare places, in place; the number that none was for.

    Parameters
    ----------
    position, tides, drift : ndarray, shape (N, 3), (N, 3, 3) and (N, 3)
        Heaviest first; rows that move are overwritten.
    radius : ndarray, shape (N,)
    group : ndarray of int, shape (N,)
        Halos of one group are equally likely in every place.
    spare : Spares
        Each is used once at most.
    boxsize : float
    """
    rows = np.arange(len(position))
    unused = np.ones(len(spare.group), dtype=bool)
    inside = np.flatnonzero(covered(position, radius, position, rows, boxsize))
    while inside.size:
        wanted = np.flatnonzero(unused & np.isin(spare.group, group[inside]))
        free = wanted[
            ~covered(position, radius, spare.position[wanted], spare.lightest[wanted], boxsize)
        ]
        which, halo = _matched(spare.group[free], group[inside])
        if not which.size:
            break
        moved, taken = inside[halo], free[which]
        position[moved], tides[moved] = spare.position[taken], spare.tides[taken]
        drift[moved] = spare.drift[taken]
        unused[taken] = False
        # Where they went, the moved ones may cover lighter ones, and one another.
        again = covered(position, radius, position, rows, boxsize, by=np.sort(moved))
        again[np.setdiff1d(inside, moved, assume_unique=True)] = True
        inside = np.flatnonzero(again)
    return int(inside.size)


def _matched(offered: IntArray, asked: IntArray) -> tuple[IntArray, IntArray]:
    """Indices that pair the k-th of each group offered with the k-th of that group asked for."""
    offered_rows = np.argsort(offered, kind="stable")
    asked_rows = np.argsort(asked, kind="stable")

    def key(groups: IntArray) -> IntArray:
        rank = np.arange(groups.size) - np.searchsorted(groups, groups)
        return groups * (offered.size + asked.size + 1) + rank

    _, one, two = np.intersect1d(
        key(offered[offered_rows]), key(asked[asked_rows]), assume_unique=True, return_indices=True
    )
    return offered_rows[one], asked_rows[two]


#: Halos whose Lagrangian radii differ by less than this factor share a smoothing scale.
_SCALE_RATIO = 1.8
#: Cells of a mesh along the radius of a sphere at least; a finer mesh shows nothing more of it.
_CELLS_PER_RADIUS = 2.0
_CONTRAST_BINS = 4096
_BIAS_STEP = 0.01
#: Spare places for halos that others exclude: for a group of like halos, and per halo.
_SPARES, _SPARE_FRACTION = 8, 0.05


def simulate(
    cls: type[HaloCatalog],
    boxsize: float,
    mesh: int = 128,
    *,
    cosmology: Any = "planck18",
    redshift: float = 0.0,
    mmin: float = 3e10,
    mmax: float | None = None,
    mdef: str = "vir",
    mass_function: str = "tinker08",
    bias: str = "tinker10",
    concentration: str = "diemer19",
    concentration_scatter: float = 0.16,
    axis_alignment: float = 0.5,
    exclusion: bool = True,
    subhalos: bool = False,
    subhalo_mmin: float | None = None,
    seed: Seed = None,
) -> HaloCatalog:
    """Halos of a simulated universe, without an N-body run.

    The initial density field is Gaussian, of the linear power spectrum, on a mesh. Halo
    masses are a Poisson sample of a published mass function. Each halo forms at a place
    drawn with a probability as exp(b_L delta), delta being the linear contrast averaged in
    the halo's Lagrangian sphere and b_L = b(M) - 1 of a published bias relation: for a
    Gaussian field this gives the bias b(M) on large scales, and the mass function whole.
    It then moves with the mean 2LPT displacement of its sphere, which also gives its peculiar
    velocity. Its major axis is drawn
    about the direction of slowest collapse, the eigenvector of the smallest eigenvalue of
    the tidal tensor d_i d_j phi of that sphere, along which its matter falls in last.

    Parameters
    ----------
    boxsize : float
        Side of the periodic cube in comoving Mpc/h.
    mesh : int
        Cells along a side, 8 to 1024 (default 128); about 50 bytes of memory a cell. The
        same seed at a finer mesh keeps the large-scale modes.
    cosmology : str, mapping, astropy or colossus cosmology
        Default "planck18"; see `pysoftcorr.mocks.cosmology.Cosmology`.
    redshift : float
        Default 0.
    mmin, mmax : float
        Lowest mass (default 3e10) and highest (default None: no limit) in Msun/h.
    mdef : str
        Mass definition of masses, radii and concentrations, default "vir" (Bryan & Norman
        1998, as Rockstar's); "200m", "200c", ...
    mass_function, bias, concentration : str
        Relations by colossus' names; defaults "tinker08" (Tinker et al. 2008, ApJ 688,
        709), "tinker10" (Tinker et al. 2010, ApJ 724, 878) and "diemer19" (Diemer & Joyce
        2019, ApJ 871, 168).
    concentration_scatter : float
        Log-normal scatter about the median concentration in dex, default 0.16.
    axis_alignment : float
        Dimroth-Watson strength mu of major axes about the tidal direction, -1 to 1:
        1 along it, 0 at random. Default 0.5 (<cos^2> = 0.43), a moderate alignment.
    exclusion : bool
        Draw another place for a halo whose center lies within the radius of a heavier one
        (it would be no host halo), default True. This moves about one halo in a hundred and
        lowers the bias by about 1 %.
    subhalos : bool
        Draw subhalos as well: Poisson numbers of the unevolved mass function of Jiang & van
        den Bosch (2014), with masses at infall, in the ellipsoid of their halo (see
        `pysoftcorr.mocks.unevolved`). Default False.
    subhalo_mmin : float
        Lowest mass of a subhalo in Msun/h; `mmin` by default.
    seed : int or numpy.random.Generator, optional
        Each step (field, masses, places, axes, concentrations, shapes, subhalos) has a
        stream of its own.

    Returns
    -------
    HaloCatalog
        Heaviest first; `meta` holds every option and the seed.

    Raises
    ------
    ValueError
        If an option makes no universe, a relation does not hold for these masses, no halo
        or too many would be made; known before the field is made.
    TypeError
        If an option is of the wrong kind.

    Notes
    -----
    Limits. Nothing is known of a halo's interior or surroundings below the mesh: halos are
    spread evenly within a cell. Ratios of axes know the mass alone, minor axes nothing of the
    tides, and subhalos only their host: they have no subhalos and no velocities, and were
    neither stripped nor lost. At fixed mass, places depend on
    the density in one sphere alone: no assembly bias, no relation between concentration or
    axis and clustering other than by the tides. Halos are placed independently of each
    other but for `exclusion`. 2LPT smears structure below a few Mpc/h at low redshift, so
    light halos cluster less there than in an N-body simulation. The mean density of the
    box is that of the universe, and the number of halos fluctuates as Poisson's law alone.

    Examples
    --------
    >>> from pysoftcorr.mocks import HaloCatalog
    >>> halos = HaloCatalog.simulate(50.0, 32, mmin=1e12, seed=1)
    >>> halos.boxsize, bool(halos.mass.min() >= 1e12), halos.meta["mass_function"]
    (50.0, True, 'tinker08')
    """
    return simulated(
        cls, boxsize, mesh, cosmology=cosmology, redshift=redshift, mmin=mmin, mmax=mmax,
        mdef=mdef, mass_function=mass_function, bias=bias, concentration=concentration,
        concentration_scatter=concentration_scatter, axis_alignment=axis_alignment,
        exclusion=exclusion, subhalos=subhalos, subhalo_mmin=subhalo_mmin, seed=seed,
    )  # fmt: skip


def simulated(
    cls: type[HaloCatalog], boxsize: float, mesh: int, *, cosmology: Any, redshift: float,
    mmin: float, mmax: float | None, mdef: str, mass_function: str, bias: str,
    concentration: str, concentration_scatter: float, axis_alignment: float, exclusion: bool,
    subhalos: bool, subhalo_mmin: float | None, seed: Seed,
    thinned: tuple[float, float] | None = None,
) -> HaloCatalog:  # fmt: skip
    """Halos as `simulate` makes them; or, `thinned` = (mass, part), not all of the light ones.

    Each halo below that mass is there with the probability `part`, independently: what makes
    sums over them of that sample must weigh them by 1/part. Raises as `simulate`.
    """
    if np.ndim(boxsize) == 0:
        options.number("boxsize", boxsize)
    boxsize = cube_side(boxsize, "other boxes are not simulated")
    options.integer("mesh", mesh, least=MESH_MIN, most=MESH_MAX)
    options.number("redshift", redshift, least=0, most=20)
    options.number("concentration_scatter", concentration_scatter, least=0, most=1)
    options.number("axis_alignment", axis_alignment, least=-1, most=1)
    options.flag("exclusion", exclusion)
    options.flag("subhalos", subhalos)
    if subhalo_mmin is not None:
        options.number("subhalo_mmin", subhalo_mmin, least=1e6, most=1e16)
        if not subhalos:
            raise ValueError(f"subhalo_mmin = {subhalo_mmin:g}: pass subhalos=True as well")
    options.number("mmin", mmin, above=0)
    if mmax is not None:
        options.number("mmax", mmax, above=0)
    options.text("mdef", mdef)
    for name, model in (
        ("mass_function", mass_function), ("bias", bias), ("concentration", concentration)
    ):  # fmt: skip
        options.text(name, model)
    used = root_seed(seed)
    world = Cosmology(cosmology)
    abundance = Abundance(
        world, mmin=mmin, mmax=mmax, redshift=redshift, mdef=mdef, model=mass_function
    )
    mass = abundance.draw(boxsize**3, stream(used, "halo masses"))
    if thinned is not None:
        light, part = thinned
        mass = mass[(mass >= light) | (stream(used, "light halos").random(mass.size) < part)]
    # Relations are asked before the field is made: what they refuse is refused at once.
    excess = world.bias(mass, redshift=redshift, mdef=mdef, model=bias) - 1.0
    scatter = concentration_scatter * stream(used, "concentrations").standard_normal(mass.size)
    median = world.concentration(mass, redshift=redshift, mdef=mdef, model=concentration)
    conc = median * 10.0**scatter
    field = LPTField.draw(boxsize, mesh, world, redshift, stream(used, "density field"))
    sphere, radius = world.lagrangian_radius(mass), world.radius(mass, redshift=redshift, mdef=mdef)
    # Spare places are drawn with the others, whether or not they are then needed.
    rows, group = with_spares(sphere, excess, field.cell)
    placed = place(field, sphere[rows], excess[rows], stream(used, "halo positions"))
    first = np.diff(rows, prepend=-1) > 0
    position, tides, drift = (values[first] for values in placed)
    spare = Spares(
        position=placed[0][~first],
        tides=placed[1][~first],
        drift=placed[2][~first],
        group=group[rows[~first]],
        lightest=np.searchsorted(group, group[rows[~first]], side="right") - 1,
    )
    overlapping = None
    if exclusion:
        overlapping = separate(position, tides, drift, radius, group, spare, field.boxsize)
        if overlapping:
            warnings.warn(
                f"{overlapping} of {mass.size} halos stay within the radius of a heavier one: "
                "no place outside was found for them",
                stacklevel=2,
            )
    axis = draw_watson(slowest_collapse(tides), axis_alignment, stream(used, "halo axes"))
    b_to_a, c_to_a, minor_axis = draw_shapes(mass, axis, used, world, redshift)
    least = float(mmin if subhalo_mmin is None else subhalo_mmin)
    halos = cls(
        position,
        mass,
        radius,
        conc,
        axis,
        minor_axis=minor_axis,
        b_to_a=b_to_a,
        c_to_a=c_to_a,
        velocity=drift * (world.hubble(redshift) / (1.0 + redshift)),
        boxsize=boxsize,
        cosmology=world.to_dict(),
        meta={
            "source": "HaloCatalog.simulate",
            "version": __version__,
            "seed": used,
            "mesh": int(mesh),
            "redshift": float(redshift),
            "mmin": float(mmin),
            "mmax": None if mmax is None else float(mmax),
            "mdef": mdef,
            "mass_function": mass_function,
            "bias": bias,
            "concentration": concentration,
            "concentration_scatter": float(concentration_scatter),
            "axis_alignment": float(axis_alignment),
            "exclusion": bool(exclusion),
            "overlapping": overlapping,
            "axis_ratios": "allgood06",
            "subhalo_mmin": least if subhalos else None,
        },
    )
    if subhalos:
        halos.subhalos = draw_subhalos(halos, used, least)
    return halos


def place(
    field: LPTField, radius: FloatArray, excess: FloatArray, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Positions of halos in the evolved field, the tides where they formed, and how they move.

    A halo forms in a cell of the initial field with a probability that goes as exp(b_L delta),
    delta being the linear contrast in its Lagrangian sphere. For a Gaussian delta the mean
    number of such halos around any place has the cross-correlation b_L <delta delta'> with
    the linear field to every order (a Gaussian integral), so b_L is their Lagrangian bias and
    1 + b_L their Eulerian one once they have moved with the matter. The displacement is the
    mean one of the sphere, as of a body that moves whole.

    Parameters
    ----------
    field : LPTField
    radius : ndarray, shape (N,)
        Lagrangian radii in Mpc/h, in falling order.
    excess : ndarray, shape (N,)
        Lagrangian bias b_L = b - 1.
    rng : numpy.random.Generator

    Returns
    -------
    position : ndarray, shape (N, 3)
        Mpc/h, within [0, boxsize).
    tides : ndarray, shape (N, 3, 3)
        Tidal tensor d_i d_j phi of the linear field in the Lagrangian sphere.
    drift : ndarray, shape (N, 3)
        Growth of the displacement by the logarithm of the scale factor, Mpc/h.
    """
    number = radius.size
    position = np.empty((number, 3))
    tides = np.empty((number, 3, 3))
    drift = np.empty((number, 3))
    for rows, scale in smoothing_scales(radius, field.cell):
        enough = _CELLS_PER_RADIUS * field.boxsize / scale if scale else field.mesh
        part = field.coarse(max(fft.next_fast_len(int(np.ceil(enough)), real=True), MESH_MIN))
        cells = _cells(part.linear(scale), excess[rows], rng)
        index = np.stack(np.unravel_index(cells, (part.mesh,) * 3), axis=1)
        origin = (index + rng.random(index.shape) - 0.5) * part.cell
        for axis, psi in enumerate(part.displacement(scale)):
            position[rows, axis] = origin[:, axis] + part.at(psi, origin)
        for axis, change in enumerate(part.drift(scale)):
            drift[rows, axis] = part.at(change, origin)
        for i, j, tide in part.tidal(scale):
            tides[rows, i, j] = tides[rows, j, i] = part.at(tide, origin)
    return wrapped(position, field.boxsize), tides, drift


def smoothing_scales(radius: FloatArray, cell: float) -> Iterator[tuple[slice, float]]:
    """Rows of halos of about one Lagrangian radius, and that radius (Mpc/h), 0 below the mesh.

    `radius` is in falling order. A sphere smaller than a cell cannot be resolved: there the
    field is taken as the mesh has it.
    """
    resolved = (3.0 / (4.0 * np.pi)) ** (1.0 / 3.0) * cell
    start = 0
    while start < radius.size:
        if radius[start] <= resolved:
            yield slice(start, radius.size), 0.0
            return
        floor = max(radius[start] / _SCALE_RATIO, resolved)
        stop = int(np.searchsorted(-radius, -floor, side="left"))
        stop = max(stop, start + 1)
        yield slice(start, stop), float(np.exp(np.log(radius[start:stop]).mean()))
        start = stop


def with_spares(
    radius: FloatArray, excess: FloatArray, cell: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Rows of halos, some of them twice for a spare place, and the group of every halo.

    Halos of a group share a smoothing scale and a bias: `place` puts any of them anywhere with
    the same probability. Groups are numbered in the order of the halos.
    """
    group = np.zeros(radius.size, dtype=np.int64)
    rounded = _rounded(excess)
    for rows, _ in smoothing_scales(radius, cell):
        group[rows.start :] += 1
    # Bias need not rise with mass everywhere: a group is a run of neighbors.
    group += np.cumsum(np.diff(rounded, prepend=rounded[0]) != 0)
    start = np.flatnonzero(np.diff(group, prepend=-1))
    size = np.diff(start, append=radius.size)
    spares = _SPARES + (size * _SPARE_FRACTION).astype(np.int64)
    # More spares than halos make no harm: they are copies of the first halos of the group.
    offset = np.arange(spares.sum()) - np.repeat(np.cumsum(spares) - spares, spares)
    copies = np.repeat(start, spares) + offset % np.repeat(size, spares)
    return np.sort(np.concatenate([np.arange(radius.size), copies])), group


def _rounded(excess: FloatArray) -> npt.NDArray[np.int64]:
    """Bias in steps small enough that the rounding is of no account."""
    return np.rint(excess / _BIAS_STEP).astype(np.int64)


def _cells(contrast: Grid, excess: FloatArray, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """A cell for each halo, with probability as exp(excess * contrast of the cell)."""
    flat = contrast.reshape(-1)
    low, high = float(flat.min()), float(flat.max())
    # Cells of nearly one contrast (2e-3 of its standard deviation) are equally likely.
    level = ((flat - low) * ((_CONTRAST_BINS - 1) / max(high - low, 1e-30))).astype(np.uint16)
    count = np.bincount(level, minlength=_CONTRAST_BINS)
    mean = np.bincount(level, weights=flat, minlength=_CONTRAST_BINS) / np.maximum(count, 1)
    order = np.argsort(level, kind="stable")
    first = np.cumsum(count) - count
    # Halos of nearly one bias share a table; the rounding is unbiased and 1e-2 at most.
    rounded = _rounded(excess)
    which, within = rng.random(excess.size), rng.random(excess.size)
    chosen = np.empty(excess.size, dtype=np.int64)
    for value in np.unique(rounded):
        rows = np.flatnonzero(rounded == value)
        exponent = value * _BIAS_STEP * mean
        table = np.cumsum(count * np.exp(exponent - exponent[count > 0].max()))
        chosen[rows] = np.searchsorted(table, which[rows] * table[-1], side="right")
    return order[first[chosen] + (within * count[chosen]).astype(np.int64)]


def slowest_collapse(tides: FloatArray) -> FloatArray:
    """Unit eigenvectors (N, 3) of the smallest eigenvalue of tidal tensors (N, 3, 3).

    Matter collapses first along the axis of the largest eigenvalue of d_i d_j phi and last
    along that of the smallest; halos stay longest there, along their filament (Porciani,
    Dekel & Hoffman 2002, MNRAS 332, 339).
    """
    return np.ascontiguousarray(np.linalg.eigh(tides)[1][:, :, 0])
