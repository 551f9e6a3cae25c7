"""Correlations along and across a line of sight: xi(rp, pi), wp, w_g+, w_++ and multipoles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr._julia import call
from pysoftcorr.core.checks import Origin
from pysoftcorr.core.options import choice, flag, integer, number
from pysoftcorr.mocks import checks
from pysoftcorr.mocks.anisotropic_results import Multipoles, ProjectedCorrelations
from pysoftcorr.mocks.box import (
    DEFAULT_BINS,
    BoxSet,
    box_set,
    caution_of_no_pairs,
    radial_edges,
    ratio,
)
from pysoftcorr.mocks.galaxies import GalaxyCatalog
from pysoftcorr.sky.binning import Bins

__all__ = ["DEFAULT_MU_BINS", "DEFAULT_PI_MAX", "TURNED", "multipoles", "named_edges",
           "projected_correlations", "projected_fraction", "projected_shapes"]  # fmt: skip

FloatArray = npt.NDArray[np.float64]

#: Mpc/h; what surveys integrate to.
DEFAULT_PI_MAX = 40.0
#: Even bins of |mu| from 0 to 1.
DEFAULT_MU_BINS = 40

#: Columns of positions that become x, y (the plane of the sky) and z, for each line of sight.
TURNED = {"x": [1, 2, 0], "y": [2, 0, 1], "z": [0, 1, 2]}
#: Order of the sums of a bin.
COUNT, WEIGHT, SEPARATION, PLUS, CROSS, PLUS_PLUS, CROSS_CROSS, PLUS_CROSS = range(8)


@dataclass(frozen=True)
class _Sample:
    """One set of objects, the line of sight along z: positions (N, 3), shapes (N, 2), weights."""

    position: FloatArray
    shape: FloatArray
    weight: FloatArray
    has_shapes: bool


def projected_shapes(
    axis: npt.ArrayLike, *, line_of_sight: str = "z"
) -> npt.NDArray[np.complex128]:
    """Ellipticities on the plane of the sky of axes in three dimensions.

    With n the unit axis and n1, n2 its components on the sky, e = (n1 + i n2)^2: of modulus
    1 - n_los^2, twice the position angle of the projected axis as phase. It is the trace-free part
    of the projected tensor n n, and 0 of an axis along the line of sight.

    Parameters
    ----------
    axis : array_like, shape (N, 3)
        Axes of any length but 0, without head.
    line_of_sight : {"z", "x", "y"}
        The sky is the plane (x, y), (y, z) or (z, x); angles count from the first axis named to
        the second.

    Returns
    -------
    ndarray of complex128, shape (N,)

    Raises
    ------
    ValueError
        If an axis has length 0 or is not finite, or there is no such line of sight.

    Examples
    --------
    >>> from pysoftcorr.mocks.anisotropic import projected_shapes
    >>> projected_shapes([[1, 0, 0], [0, 2, 0], [0, 0, 1], [1, 0, 1]]).round(6).real.tolist()
    [1.0, -1.0, 0.0, 0.5]
    """
    choice("line_of_sight", line_of_sight, TURNED)
    vectors = checks.vectors("axis", axis)
    checks.finite({"axis": vectors}, Origin())
    first, second, _ = TURNED[line_of_sight]
    unit = checks.unit_axes(vectors, Origin())
    return np.asarray((unit[:, first] + 1j * unit[:, second]) ** 2)


def projected_correlations(
    galaxies: GalaxyCatalog | npt.ArrayLike,
    axis: npt.ArrayLike | None = None,
    *,
    boxsize: float | None = None,
    rp_bins: Bins | None = None,
    pi_max: float = DEFAULT_PI_MAX,
    pi_bins: int | Bins | None = None,
    line_of_sight: str = "z",
    ellipticity: npt.ArrayLike | None = None,
    weights: npt.ArrayLike | None = None,
    second: GalaxyCatalog | npt.ArrayLike | None = None,
    second_axis: npt.ArrayLike | None = None,
    second_ellipticity: npt.ArrayLike | None = None,
    second_weights: npt.ArrayLike | None = None,
    periodic: bool = True,
    wrap: bool = False,
) -> ProjectedCorrelations:
    """xi(rp, pi), wp and the alignments w_g+, w_++ and w_xx of galaxies in a box.

    - xi = DD/RR - 1 in bins of rp, across the line of sight, and |pi|, along it, with RR analytic;
      wp = 2 sum of xi dpi.
    - With e the ellipticity of a galaxy and phi the direction to another on the sky,
      e exp(-2i phi) = e_plus + i e_cross: plus is positive where galaxies point at others (radial
      alignment), so that it is minus the tangential shear of lensing (TreeCorr's gamma_t is
      -e_plus).
    - xi_gp = S+D/RR, xi_pp = S+S+/RR, xi_xx = SxSx/RR: sums of w_i w_j times e_plus of i, or of
      both, over ordered pairs; their projections are w_g+, w_++ and w_xx.

    Parameters
    ----------
    galaxies : GalaxyCatalog, or array_like, shape (N, 3)
        Galaxies, or positions in comoving Mpc/h; a catalog brings axes and box. For redshift
        space, those of `redshift_space`.
    axis : array_like, shape (N, 3), optional
        Axes in three dimensions, of any length but 0; shapes are `projected_shapes` of them.
    boxsize : float, or three of them
        Sides of the box in Mpc/h.
    rp_bins : Binning, str or array_like, optional
        Bins (lo, hi] of rp in Mpc/h; by default "log:0.1:16:20".
    pi_max : float
        Largest |pi| in Mpc/h.
    pi_bins : int, Binning, str or array_like, optional
        Number of even bins of |pi| from 0 to `pi_max`, or their edges, from 0 (then `pi_max` is
        the last one); by default about 1 Mpc/h each.
    line_of_sight : {"z", "x", "y"}
        Side of the box that is the line of sight (a distant observer).
    ellipticity : array_like of complex, shape (N,), optional
        Shapes on the sky in place of those of axes: phase twice the position angle, counted from
        x to y (line of sight z), from y to z (x), or from z to x (y).
    weights : array_like, shape (N,), optional
        1 by default; not negative.
    second, second_axis, second_ellipticity, second_weights : optional
        The second set: then shapes are those of the first and positions those of the second; plus-
        plus and cross-cross take shapes of both.
    periodic : bool
        Whether separations are taken to the nearest image. If not, RR is that of a cuboid without
        images, exactly.
    wrap : bool
        Move positions outside the box by whole boxes instead of refusing them.

    Returns
    -------
    ProjectedCorrelations

    Raises
    ------
    ValueError
        If arrays differ in length, hold NaN, positions lie outside the box, an axis has length 0,
        weights are negative or all 0, or bins reach beyond half of a periodic box: of the
        shorter side of the sky, or along the line of sight.
    TypeError
        If an argument is of the wrong kind.
    KeyboardInterrupt
        If the call is interrupted.

    Notes
    -----
    Estimators as in Mandelbaum et al. 2006, MNRAS 367, 611, and Joachimi et al. 2011, A&A 527,
    A26, with analytic RR and without random shapes, as halotools' ``wp``, ``gi_plus_projected`` and
    ``ii_plus_projected`` in a periodic box. Shapes are not divided by a responsivity. A pair at
    exactly half a side has two nearest images and is not counted. The bits of a result do not
    depend on the number of threads.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr.mocks import projected_correlations
    >>> rng = np.random.default_rng(1)
    >>> position, axis = rng.uniform(0, 60, (20_000, 3)), rng.normal(size=(20_000, 3))
    >>> result = projected_correlations(position, axis, boxsize=60, rp_bins=[4, 8, 16], pi_max=20)
    >>> bool(np.abs(result.wp).max() < 0.5), bool(np.abs(result.w_gp).max() < 0.5)
    (True, True)
    """
    sides, samples, settings = _prepared(
        galaxies, axis, ellipticity, weights, second, second_axis, second_ellipticity,
        second_weights, boxsize, line_of_sight, periodic, wrap,
    )  # fmt: skip
    edges = named_edges("rp_bins", DEFAULT_BINS if rp_bins is None else rp_bins)
    inner = _pi_edges(pi_bins, pi_max)
    _fits("rp_bins", float(edges[-1]), float(sides[:2].min()), periodic, "shorter side of the sky")
    name = "pi_max" if not _is_edges(pi_bins) else "pi_bins"
    _fits(name, float(inner[-1]), float(sides[2]), periodic, "side along the line of sight")
    sums = _pair_sums(samples, edges, inner, sides, cosine=False, periodic=periodic)
    fraction = projected_fraction(edges, inner, sides, periodic=periodic)
    found = _statistics(samples, sums, fraction)
    caution_of_no_pairs(found["npairs"], edges)
    return ProjectedCorrelations(edges=edges, inner_edges=inner, settings=settings, **found)


def multipoles(
    galaxies: GalaxyCatalog | npt.ArrayLike,
    axis: npt.ArrayLike | None = None,
    *,
    boxsize: float | None = None,
    bins: Bins | None = None,
    mu_bins: int | npt.ArrayLike = DEFAULT_MU_BINS,
    line_of_sight: str = "z",
    ellipticity: npt.ArrayLike | None = None,
    weights: npt.ArrayLike | None = None,
    second: GalaxyCatalog | npt.ArrayLike | None = None,
    second_axis: npt.ArrayLike | None = None,
    second_ellipticity: npt.ArrayLike | None = None,
    second_weights: npt.ArrayLike | None = None,
    periodic: bool = True,
    wrap: bool = False,
) -> Multipoles:
    """Multipoles of xi and of the alignments about a line of sight, from bins of s and |mu|.

    Parameters
    ----------
    galaxies : GalaxyCatalog, or array_like, shape (N, 3)
        Galaxies, or positions in comoving Mpc/h; a catalog brings axes and box. For redshift
        space, those of `redshift_space`.
    axis : array_like, shape (N, 3), optional
        Axes in three dimensions, of any length but 0; shapes are `projected_shapes` of them.
    boxsize : float, or three of them
        Sides of the box in Mpc/h.
    bins : Binning, str or array_like, optional
        Bins (lo, hi] of the separation s in Mpc/h; by default "log:0.1:16:20".
    mu_bins : int or array_like
        Number of even bins of |mu| = |pi|/s from 0 to 1, or their edges.
    line_of_sight : {"z", "x", "y"}
        Side of the box that is the line of sight (a distant observer).
    ellipticity, weights, second, second_axis, second_ellipticity, second_weights : optional
    periodic, wrap : bool
        As of `projected_correlations`.

    Returns
    -------
    Multipoles

    Raises
    ------
    ValueError
        As `projected_correlations`; bins of s must end at half of the shortest side or below.
    TypeError
        If an argument is of the wrong kind.
    KeyboardInterrupt
        If the call is interrupted.

    Notes
    -----
    Estimators as of `projected_correlations`. A pair along the line of sight has no direction on
    the sky, and adds nothing to the alignments. halotools' ``s_mu_tpcf`` and ``tpcf_multipole``
    take the Legendre polynomial at the middle of each bin of mu, where it is integrated here.

    Examples
    --------
    >>> from pysoftcorr.mocks import multipoles
    >>> result = multipoles([[5.0, 5, 1], [5, 5, 4]], boxsize=20, bins=[2, 4], mu_bins=2)
    >>> result.npairs.tolist(), result.s.tolist()
    ([[0, 1]], [3.0])
    """
    sides, samples, settings = _prepared(
        galaxies, axis, ellipticity, weights, second, second_axis, second_ellipticity,
        second_weights, boxsize, line_of_sight, periodic, wrap,
    )  # fmt: skip
    edges = radial_edges(DEFAULT_BINS if bins is None else bins)
    inner = _mu_edges(mu_bins)
    _fits("bins", float(edges[-1]), float(sides.min()), periodic, "shortest side of the box")
    sums = _pair_sums(samples, edges, inner, sides, cosine=True, periodic=periodic)
    fraction = cosine_fraction(edges, inner, sides, periodic=periodic)
    found = _statistics(samples, sums, fraction)
    caution_of_no_pairs(found["npairs"], edges)
    return Multipoles(edges=edges, inner_edges=inner, settings=settings, **found)


# ---------------------------------------------------------------------- random pairs
def projected_fraction(
    edges: FloatArray, pi_edges: FloatArray, sides: FloatArray, *, periodic: bool
) -> FloatArray:
    """Probability that two points uniform in the box fall in each bin of rp and |pi|.

    In a box without images a separation (dx, dy, dz) fits in a part (1 - |dx|/Lx)(1 - |dy|/Ly)
    (1 - |dz|/Lz) of it, here integrated over circles of radius up to the shorter of Lx and Ly.

    Parameters
    ----------
    edges, pi_edges : ndarray, shape (nrp + 1,) and (npi + 1,)
    sides : ndarray, shape (3,)
        The line of sight is the last.
    periodic : bool

    Returns
    -------
    ndarray, shape (nrp, npi)
    """
    x, y, z = sides
    across, along = np.pi * edges**2, 2 * pi_edges
    if not periodic:
        across = across - 4 / 3 * edges**3 * (1 / x + 1 / y) + edges**4 / (2 * x * y)
        along = along - pi_edges**2 / z
    return np.outer(np.diff(across), np.diff(along)) / (x * y * z)


def cosine_fraction(
    edges: FloatArray, mu_edges: FloatArray, sides: FloatArray, *, periodic: bool
) -> FloatArray:
    """Probability that two points uniform in the box fall in each bin of s and |mu|.

    Parameters
    ----------
    edges, mu_edges : ndarray, shape (ns + 1,) and (nmu + 1,)
    sides : ndarray, shape (3,)
        The line of sight is the last.
    periodic : bool
        If not, as `projected_fraction`, for s up to the shortest side.

    Returns
    -------
    ndarray, shape (ns, nmu)
    """
    x, y, z = sides

    def shells(power: int) -> FloatArray:
        return np.diff(edges**power) / power

    mu = mu_edges
    total = 4 * np.pi * np.outer(shells(3), np.diff(mu))
    if not periodic:
        # With c = sqrt(1 - mu^2): [2 pi - 4 s c (1/x + 1/y) + 2 s^2 c^2/(x y)] (1 - s mu/z).
        c2 = 1 - mu**2
        root = (mu * np.sqrt(c2) + np.arcsin(mu)) / 2
        one, two = 1 / x + 1 / y, 1 / (x * y)
        total = total - 8 * one * np.outer(shells(4), np.diff(root))
        total = total + 4 * two * np.outer(shells(5), np.diff(mu - mu**3 / 3))
        total = total - 2 * np.pi / z * np.outer(shells(4), np.diff(mu**2))
        total = total - 8 * one / (3 * z) * np.outer(shells(5), np.diff(c2**1.5))
        total = total - 4 * two / z * np.outer(shells(6), np.diff(mu**2 / 2 - mu**4 / 4))
    return total / (x * y * z)


# ---------------------------------------------------------------------- what goes in
def named_edges(name: str, bins: Bins) -> FloatArray:
    """Edges as `radial_edges` gives them; errors name the argument."""
    try:
        return radial_edges(bins)
    except (TypeError, ValueError) as error:
        text = str(error)
        if text.startswith("bins = "):
            raise type(error)(text.replace("bins", name, 1)) from None
        raise type(error)(f"{name}: {text.removeprefix('bins ')}") from None


def _is_edges(pi_bins: Any) -> bool:
    return pi_bins is not None and not isinstance(pi_bins, (int, np.integer))


def _pi_edges(pi_bins: Any, pi_max: float) -> FloatArray:
    number("pi_max", pi_max, above=1e-6, most=1e6)
    if not _is_edges(pi_bins):
        asked = max(1, round(pi_max)) if pi_bins is None else pi_bins
        count = integer("pi_bins", asked, least=1, most=1_000_000)
        return np.linspace(0.0, float(pi_max), count + 1)
    edges = named_edges("pi_bins", pi_bins)
    if edges[0] != 0:
        raise ValueError(
            f"pi_bins: begin at {edges[0]:g} Mpc/h; they must begin at 0, since projections are "
            "over every |pi| up to the last edge"
        )
    if pi_max not in (DEFAULT_PI_MAX, edges[-1]):
        raise ValueError(
            f"pi_max = {pi_max:g}: pi_bins end at {edges[-1]:g} Mpc/h; give one of the two"
        )
    return edges


def _mu_edges(mu_bins: Any) -> FloatArray:
    if isinstance(mu_bins, (bool, int, np.integer)):
        return np.linspace(0.0, 1.0, integer("mu_bins", mu_bins, least=1) + 1)
    if isinstance(mu_bins, str):
        raise TypeError(f"mu_bins = {mu_bins!r}: must be a whole number, or edges from 0 to 1")
    edges = named_edges("mu_bins", mu_bins)
    if edges[0] != 0 or edges[-1] != 1:
        raise ValueError(
            f"mu_bins: from {edges[0]:g} to {edges[-1]:g}; multipoles need all of |mu|, 0 to 1"
        )
    return edges


def _fits(name: str, reach: float, side: float, periodic: bool, what: str) -> None:
    """ValueError where bins are longer than pairs in the box can be."""
    if periodic and not reach <= side / 2:
        raise ValueError(
            f"{name}: reach to {reach:g} Mpc/h, which must be at most half of the {what}, "
            f"{side / 2:g} Mpc/h: lower {'it' if name == 'pi_max' else 'the last edge'}"
        )
    if not periodic and not reach < side:
        raise ValueError(
            f"{name}: reach to {reach:g} Mpc/h, which must be below the {what}, {side:g} Mpc/h"
        )


def _prepared(
    galaxies: Any,
    axis: Any,
    ellipticity: Any,
    weights: Any,
    second: Any,
    second_axis: Any,
    second_ellipticity: Any,
    second_weights: Any,
    boxsize: Any,
    line_of_sight: str,
    periodic: bool,
    wrap: bool,
) -> tuple[FloatArray, list[_Sample], dict[str, Any]]:
    """Sides of the box and samples, turned so that z is the line of sight; the record."""
    choice("line_of_sight", line_of_sight, TURNED)
    flag("periodic", periodic)
    flag("wrap", wrap)
    box = galaxies.boxsize if isinstance(galaxies, GalaxyCatalog) else boxsize
    sides = _sides(box)
    for given, objects in ((boxsize, galaxies), (None, second)):
        _same_box(sides, given)
        if isinstance(objects, GalaxyCatalog):
            _same_box(sides, objects.boxsize)
    # A number where the sides are equal, as catalogs have it.
    side: Any = float(sides[0]) if (sides == sides[0]).all() else tuple(sides.tolist())
    turn = TURNED[line_of_sight]
    samples = [_sample("", galaxies, axis, ellipticity, weights, side, turn, wrap)]
    if second is not None:
        more = (second, second_axis, second_ellipticity, second_weights)
        samples.append(_sample("second_", *more, side, turn, wrap))
    elif any(x is not None for x in (second_axis, second_ellipticity, second_weights)):
        raise ValueError(
            "second_axis, second_ellipticity or second_weights is given without second"
        )
    settings: dict[str, Any] = {
        "boxsize": side if isinstance(side, float) else list(side),
        "line_of_sight": line_of_sight,
        "periodic": bool(periodic),
        "auto": second is None,
        "n": len(samples[0].weight),
        "weighted": weights is not None or second_weights is not None,
    }
    if second is not None:
        settings["n_second"] = len(samples[1].weight)
    if isinstance(galaxies, GalaxyCatalog):
        settings |= galaxies.known()
    space = _same_space([x for x in (galaxies, second) if isinstance(x, GalaxyCatalog)])
    if space is not None:
        settings["redshift_space"] = space
        if space != line_of_sight:
            raise ValueError(
                f"line_of_sight = {line_of_sight!r}: these galaxies are in redshift space along "
                f"{space!r}; take that line of sight"
            )
    return sides[turn], samples, settings


def _sides(boxsize: Any) -> FloatArray:
    """Sides of a box along x, y and z."""
    return checks.box_sides(boxsize)


def _same_box(sides: FloatArray, boxsize: Any) -> None:
    if boxsize is not None and not np.array_equal(_sides(boxsize), sides):
        raise ValueError(
            f"boxsize = {boxsize!r}: differs from that of the galaxies, "
            f"{', '.join(f'{side:g}' for side in np.unique(sides))} Mpc/h"
        )


def _same_space(catalogs: list[GalaxyCatalog]) -> str | None:
    """Line of sight of galaxies in redshift space, None of those that are not."""
    spaces = {galaxies.redshift_space for galaxies in catalogs}
    if len(spaces) > 1:
        raise ValueError(
            "second: one catalog is in redshift space and the other is not, or along another line "
            "of sight; take both through redshift_space, or none"
        )
    return spaces.pop() if spaces else None


def _sample(
    prefix: str,
    objects: Any,
    axis: Any,
    ellipticity: Any,
    weights: Any,
    boxsize: Any,
    turn: list[int],
    wrap: bool,
) -> _Sample:
    if axis is not None and ellipticity is not None:
        raise ValueError(f"{prefix}axis and {prefix}ellipticity are both given; leave one out")
    if isinstance(objects, GalaxyCatalog):
        axis = objects.axis if axis is None and ellipticity is None else axis
        objects = objects.position
    found: BoxSet = box_set(objects, axis, weights, None, boxsize=boxsize, wrap=wrap, prefix=prefix)
    if ellipticity is not None:
        e = _ellipticities(f"{prefix}ellipticity", ellipticity, len(found))
    elif axis is not None:
        e = (found.axis[:, turn[0]] + 1j * found.axis[:, turn[1]]) ** 2
    else:
        e = np.zeros(len(found), dtype=np.complex128)
    return _Sample(
        np.ascontiguousarray(found.position[:, turn]),
        np.stack([e.real, e.imag], axis=1),
        found.weight,
        axis is not None or ellipticity is not None,
    )


def _ellipticities(name: str, values: Any, n: int) -> npt.NDArray[np.complex128]:
    try:
        e = np.array(values, dtype=np.complex128)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"{name} must be complex numbers of shape (N,)") from None
    if e.ndim != 1:
        raise ValueError(f"{name} must have shape (N,), not {e.shape}: e1 + 1j*e2")
    if e.size != n:
        raise ValueError(f"{name} has {e.size} rows, and position {n}")
    checks.finite({name: np.stack([e.real, e.imag], axis=1)}, Origin())
    return e


# ---------------------------------------------------------------------- sums
def _pair_sums(
    samples: list[_Sample],
    edges: FloatArray,
    inner: FloatArray,
    sides: FloatArray,
    *,
    cosine: bool,
    periodic: bool,
) -> FloatArray:
    """Sums (ninner, nouter, 8) over pairs; of one sample each unordered pair counts once."""
    out = np.zeros((len(inner) - 1, len(edges) - 1, 8))
    if periodic:
        # At exactly half a side a pair has two images, of which neither is the nearest.
        shortest = sides.min() if cosine else sides[:2].min()
        edges = _below(edges, shortest / 2)
        inner = inner if cosine else _below(inner, sides[2] / 2)
    arguments = [(s.position, s.shape, s.weight, len(s.weight)) for s in samples]
    call(
        "sight_pair_sums",
        *arguments[0],
        *arguments[-1],
        int(cosine),
        int(len(samples) == 1),
        int(periodic),
        np.ascontiguousarray(sides, dtype=np.float64),
        edges,
        len(edges) - 1,
        inner,
        len(inner) - 1,
        out,
    )
    return out


def _below(edges: FloatArray, limit: float) -> FloatArray:
    if edges[-1] < limit:
        return edges
    return np.append(edges[:-1], np.nextafter(limit, 0.0))


def _statistics(samples: list[_Sample], sums: FloatArray, fraction: FloatArray) -> dict[str, Any]:
    """Fields of a result, but for edges and settings."""
    by_bin = sums.transpose(1, 0, 2)
    # Ordered pairs of one set; the kernel adds shapes of both ends of its pairs.
    order = 2.0 if len(samples) == 1 else 1.0
    rr = float(samples[0].weight.sum()) * float(samples[-1].weight.sum()) * fraction
    weight = order * by_bin[..., WEIGHT]
    nothing = np.full(rr.shape, np.nan)
    pointing = samples[0].has_shapes
    alike = all(s.has_shapes for s in samples)
    both = order * by_bin / rr[..., None]
    return {
        "separation": ratio(by_bin[..., SEPARATION].sum(axis=1), by_bin[..., WEIGHT].sum(axis=1)),
        "npairs": np.rint(by_bin[..., COUNT]).astype(np.int64),
        "weight": weight,
        "rr": rr,
        "xi": weight / rr - 1,
        "xi_gp": by_bin[..., PLUS] / rr if pointing else nothing,
        "xi_gx": by_bin[..., CROSS] / rr if pointing else nothing,
        "xi_pp": both[..., PLUS_PLUS] if alike else nothing,
        "xi_xx": both[..., CROSS_CROSS] if alike else nothing,
        "xi_px": both[..., PLUS_CROSS] if alike else nothing,
    }
