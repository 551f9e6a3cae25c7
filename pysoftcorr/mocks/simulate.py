"""Haloes of a simulated universe: a 2LPT field, a mass function and a bias relation."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import fft

from pysoftcorr._random import Seed, root_seed, stream
from pysoftcorr._version import __version__
from pysoftcorr.mocks.abundance import Abundance
from pysoftcorr.mocks.alignment import draw_watson
from pysoftcorr.mocks.cosmology import Cosmology
from pysoftcorr.mocks.exclusion import Spares, separate
from pysoftcorr.mocks.halo_checks import box_side
from pysoftcorr.mocks.lpt import MESH_MAX, MESH_MIN, Grid, LPTField

if TYPE_CHECKING:
    from pysoftcorr.mocks.halos import HaloCatalog

FloatArray = npt.NDArray[np.float64]

#: Haloes whose Lagrangian radii differ by less than this factor share a smoothing scale.
_SCALE_RATIO = 1.8
#: Cells of a mesh along the radius of a sphere at least; a finer mesh shows nothing more of it.
_CELLS_PER_RADIUS = 2.0
_CONTRAST_BINS = 4096
_BIAS_STEP = 0.01
#: Spare places for haloes that others exclude: for a group of like haloes, and per halo.
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
    seed: Seed = None,
) -> HaloCatalog:
    """Haloes of a simulated universe, without an N-body run.

    The initial density field is Gaussian, of the linear power spectrum, on a mesh. Halo
    masses are a Poisson sample of a published mass function. Each halo forms at a place
    drawn with a probability as exp(b_L delta), delta being the linear contrast averaged in
    the halo's Lagrangian sphere and b_L = b(M) - 1 of a published bias relation: for a
    Gaussian field this gives the bias b(M) on large scales, and the mass function whole.
    It then moves with the mean 2LPT displacement of its sphere. Its major axis is drawn
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
        Draw another place for a halo whose centre lies within the radius of a heavier one
        (it would be no host halo), default True. This moves about one halo in a hundred and
        lowers the bias by about 1 %.
    seed : int or numpy.random.Generator, optional
        Each step (field, masses, places, axes, concentrations) has a stream of its own.

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
    Limits. Nothing is known of a halo's interior or surroundings below the mesh: haloes are
    spread evenly within a cell, and there are no subhaloes. At fixed mass, places depend on
    the density in one sphere alone: no assembly bias, no relation between concentration or
    axis and clustering other than by the tides. Haloes are placed independently of each
    other but for `exclusion`. 2LPT smears structure below a few Mpc/h at low redshift, so
    light haloes cluster less there than in an N-body simulation. The mean density of the
    box is that of the universe, and the number of haloes fluctuates as Poisson's law alone.

    Examples
    --------
    >>> from pysoftcorr.mocks import HaloCatalog
    >>> haloes = HaloCatalog.simulate(50.0, 32, mmin=1e12, seed=1)
    >>> haloes.boxsize, bool(haloes.mass.min() >= 1e12), haloes.meta["mass_function"]
    (50.0, True, 'tinker08')
    """
    check_options(boxsize, mesh, redshift, concentration_scatter, axis_alignment)
    used = root_seed(seed)
    world = Cosmology(cosmology)
    abundance = Abundance(
        world, mmin=mmin, mmax=mmax, redshift=redshift, mdef=mdef, model=mass_function
    )
    mass = abundance.draw(float(boxsize) ** 3, stream(used, "halo masses"))
    # Relations are asked before the field is made: what they refuse is refused at once.
    excess = world.bias(mass, redshift=redshift, mdef=mdef, model=bias) - 1.0
    scatter = concentration_scatter * stream(used, "concentrations").standard_normal(mass.size)
    median = world.concentration(mass, redshift=redshift, mdef=mdef, model=concentration)
    conc = median * 10.0**scatter
    field = LPTField.draw(boxsize, mesh, world, redshift, stream(used, "density field"))
    sphere, radius = world.lagrangian_radius(mass), world.radius(mass, redshift=redshift, mdef=mdef)
    # Spare places are drawn with the others, whether or not they are then needed.
    rows, group = with_spares(sphere, excess, field.cell)
    position, tides = place(field, sphere[rows], excess[rows], stream(used, "halo positions"))
    first = np.diff(rows, prepend=-1) > 0
    spare = Spares(
        position[~first],
        tides[~first],
        group[rows[~first]],
        np.searchsorted(group, group[rows[~first]], side="right") - 1,
    )
    position, tides = position[first], tides[first]
    overlapping = None
    if exclusion:
        overlapping = separate(position, tides, radius, group, spare, field.boxsize)
        if overlapping:
            warnings.warn(
                f"{overlapping} of {mass.size} haloes stay within the radius of a heavier one: "
                "no place outside was found for them",
                stacklevel=2,
            )
    axis = draw_watson(slowest_collapse(tides), axis_alignment, stream(used, "halo axes"))
    return cls(
        position,
        mass,
        radius,
        conc,
        axis,
        boxsize=float(boxsize),
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
        },
    )


def check_options(
    boxsize: float, mesh: int, redshift: float, concentration_scatter: float, axis_alignment: float
) -> None:
    """TypeError or ValueError for options that make no universe."""
    for name, value in (
        ("boxsize", boxsize),
        ("redshift", redshift),
        ("concentration_scatter", concentration_scatter),
        ("axis_alignment", axis_alignment),
    ):
        if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
            raise TypeError(f"{name} = {value!r}: must be a number, not {type(value).__name__}")
        if not np.isfinite(value):
            raise ValueError(f"{name} = {value}: must be finite")
    box_side(boxsize)
    if isinstance(mesh, bool) or not isinstance(mesh, (int, np.integer)):
        raise TypeError(f"mesh = {mesh!r}: must be a whole number of cells along a side")
    if not MESH_MIN <= mesh <= MESH_MAX:
        raise ValueError(f"mesh = {mesh}: must be {MESH_MIN} to {MESH_MAX} cells along a side")
    if not 0 <= redshift <= 20:
        raise ValueError(f"redshift = {redshift:g}: must be 0 to 20")
    if not 0 <= concentration_scatter <= 1:
        raise ValueError(f"concentration_scatter = {concentration_scatter:g}: must be 0 to 1 dex")
    if not -1 <= axis_alignment <= 1:
        raise ValueError(f"axis_alignment = {axis_alignment:g}: must be -1 to 1")


def place(
    field: LPTField, radius: FloatArray, excess: FloatArray, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Positions of haloes in the evolved field, and the tides where they formed.

    A halo forms in a cell of the initial field with a probability that goes as exp(b_L delta),
    delta being the linear contrast in its Lagrangian sphere. For a Gaussian delta the mean
    number of such haloes around any place has the cross-correlation b_L <delta delta'> with
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
    """
    number = radius.size
    position = np.empty((number, 3))
    tides = np.empty((number, 3, 3))
    for rows, scale in smoothing_scales(radius, field.cell):
        enough = _CELLS_PER_RADIUS * field.boxsize / scale if scale else field.mesh
        part = field.coarse(max(fft.next_fast_len(int(np.ceil(enough)), real=True), MESH_MIN))
        cells = _cells(part.linear(scale), excess[rows], rng)
        index = np.stack(np.unravel_index(cells, (part.mesh,) * 3), axis=1)
        origin = (index + rng.random(index.shape) - 0.5) * part.cell
        for axis, psi in enumerate(part.displacement(scale)):
            position[rows, axis] = origin[:, axis] + part.at(psi, origin)
        for i, j, tide in part.tidal(scale):
            tides[rows, i, j] = tides[rows, j, i] = part.at(tide, origin)
    return wrapped(position, field.boxsize), tides


def smoothing_scales(radius: FloatArray, cell: float) -> Iterator[tuple[slice, float]]:
    """Rows of haloes of about one Lagrangian radius, and that radius (Mpc/h), 0 below the mesh.

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
    """Rows of haloes, some of them twice for a spare place, and the group of every halo.

    Haloes of a group share a smoothing scale and a bias: `place` puts any of them anywhere with
    the same probability. Groups are numbered in the order of the haloes.
    """
    group = np.zeros(radius.size, dtype=np.int64)
    rounded = _rounded(excess)
    for rows, _ in smoothing_scales(radius, cell):
        group[rows.start :] += 1
    # Bias need not rise with mass everywhere: a group is a run of neighbours.
    group += np.cumsum(np.diff(rounded, prepend=rounded[0]) != 0)
    start = np.flatnonzero(np.diff(group, prepend=-1))
    size = np.diff(start, append=radius.size)
    spares = _SPARES + (size * _SPARE_FRACTION).astype(np.int64)
    # More spares than haloes make no harm: they are copies of the first haloes of the group.
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
    # Haloes of nearly one bias share a table; the rounding is unbiased and 1e-2 at most.
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
    along that of the smallest; haloes stay longest there, along their filament (Porciani,
    Dekel & Hoffman 2002, MNRAS 332, 339).
    """
    return np.ascontiguousarray(np.linalg.eigh(tides)[1][:, :, 0])


def wrapped(position: FloatArray, boxsize: float) -> FloatArray:
    """Positions moved by whole boxes into [0, boxsize)."""
    inside = np.mod(position, boxsize)
    # A small negative number plus boxsize rounds to boxsize itself.
    inside[inside >= boxsize] = 0.0
    return inside
