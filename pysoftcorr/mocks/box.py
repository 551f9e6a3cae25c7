"""Correlations of galaxies in a box: xi, omega and eta from one pass over the pairs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr._julia import call
from pysoftcorr.core.cautions import caution
from pysoftcorr.core.checks import Origin
from pysoftcorr.core.options import flag, numbers
from pysoftcorr.core.random import Seed, root_seed
from pysoftcorr.mocks import box_errors, checks
from pysoftcorr.mocks.box_errors import ratio
from pysoftcorr.mocks.box_result import BoxCorrelations
from pysoftcorr.mocks.checks import BoxSize
from pysoftcorr.mocks.galaxies import GalaxyCatalog
from pysoftcorr.mocks.subvolumes import Plan, as_plan
from pysoftcorr.sky.binning import BOX_UNIT, Binning, Bins
from pysoftcorr.sky.resampling import Bootstrap, Jackknife

__all__ = ["DEFAULT_BINS", "Bins", "box_correlations", "radial_edges"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

#: Bins of separation in comoving Mpc/h: a Binning of that unit, its text, or edges.
#: Bins of the published training sets.
#: Of a galaxy: products of weights of pairs, and their sums, stay within the floats.
LARGEST_WEIGHT = 1e100
DEFAULT_BINS = "log:0.1:16:20"

#: Order of the sums of a bin.
COUNT, WEIGHT, SEPARATION, OMEGA1, OMEGA2, ETA, DRAWN_OMEGA, DRAWN_ETA = range(8)


@dataclass(frozen=True)
class BoxSet:
    """One set of objects: positions and unit axes (N, 3), weights, strengths, hosts (N,).

    With second axes `drawn` (N, 3) the sums of both are made in one pass.
    """

    position: FloatArray
    axis: FloatArray
    weight: FloatArray
    strength: FloatArray
    host: IntArray
    has_axes: bool
    has_host: bool
    drawn: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.position)

    def rows(self, mask: npt.NDArray[np.bool_]) -> BoxSet:
        """Some of the objects."""
        names = ("position", "axis", "weight", "strength", "host")
        chosen: dict[str, Any] = {n: np.ascontiguousarray(getattr(self, n)[mask]) for n in names}
        if self.drawn is not None:
            chosen["drawn"] = np.ascontiguousarray(self.drawn[mask])
        return replace(self, **chosen)

    def scaled(self, strength: FloatArray) -> BoxSet:
        """These objects with other strengths."""
        return replace(self, strength=np.ascontiguousarray(strength))


def box_set(
    position: Any,
    axis: Any,
    weights: Any,
    host: Any,
    *,
    boxsize: BoxSize,
    wrap: bool,
    prefix: str = "",
) -> BoxSet:
    """Check arrays and make a set of them; `prefix` goes before the names in messages."""
    origin = Origin()
    place = checks.vectors(f"{prefix}position", position)
    n = len(place)
    if n == 0:
        raise ValueError(f"{prefix}position is empty: it has no rows")
    columns: dict[str, npt.NDArray[Any]] = {f"{prefix}position": place}
    if axis is None:
        axes = np.tile([1.0, 0.0, 0.0], (n, 1))
    else:
        axes = checks.vectors(f"{prefix}axis", axis)
        columns[f"{prefix}axis"] = axes
    if weights is None:
        w = np.ones(n)
    else:
        w = checks.column(f"{prefix}weights", weights, np.float64)
        columns[f"{prefix}weights"] = w
    if host is None:
        hosts = np.zeros(n, dtype=np.int64)
    else:
        hosts = checks.column(f"{prefix}host", host, np.int64)
        columns[f"{prefix}host"] = hosts
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {size}" for name, size in lengths.items())
        raise ValueError(f"arguments differ in length: {listed}")
    checks.finite(columns, origin)
    negative = np.flatnonzero(w < 0)
    if negative.size:
        raise ValueError(
            f"{prefix}weights must not be negative; it is in {origin.show(negative, w)}"
        )
    if not w.any():
        raise ValueError(f"{prefix}weights is zero in every row; at least one must not be")
    if w.max() > LARGEST_WEIGHT:
        raise ValueError(f"{prefix}weights holds {w.max():g}: must be at most {LARGEST_WEIGHT:g}")
    place = _boxed(f"{prefix}position", place, boxsize, wrap)
    return BoxSet(
        np.ascontiguousarray(place),
        np.ascontiguousarray(checks.unit_axes(axes, origin, f"{prefix}axis")),
        np.ascontiguousarray(w),
        np.ones(n),
        np.ascontiguousarray(hosts),
        axis is not None,
        host is not None,
    )


def _boxed(name: str, place: FloatArray, boxsize: BoxSize, wrap: bool) -> FloatArray:
    sides = checks.box_sides(boxsize)
    outside = (place < 0) | (place > sides)
    if not outside.any():
        return place
    if wrap:
        return checks.boxed(place, boxsize, Origin(), wrap=True)
    rows = np.flatnonzero(outside.any(axis=1))
    column = int(np.flatnonzero(outside[rows[0]])[0])
    values = place[:, column].copy()
    raise ValueError(
        f"{name} is outside the box, [0, {sides[column]:g}] Mpc/h, in {rows.size} of "
        f"{len(place)} rows, as {'xyz'[column]} of {Origin().show(rows[:1], values)}: is boxsize "
        "right, in the unit of the positions? Pass wrap=True to move positions by whole boxes"
    )


def caution_of_no_pairs(npairs: npt.NDArray[Any], edges: FloatArray) -> None:
    """Warn where no bin holds a pair."""
    if not npairs.any():
        caution(
            f"bins of {edges[0]:g} to {edges[-1]:g} Mpc/h hold no pair of these positions: xi is "
            "-1 and all else NaN; are the positions and the bins in one unit, and not all the same?"
        )


def radial_edges(
    bins: Bins | None = None, boxsize: BoxSize | None = None, *, periodic: bool = True
) -> FloatArray:
    """Edges of bins of separation in a box, (lo, hi] each.

    Parameters
    ----------
    bins : Binning, str or array_like, shape (nbins + 1,), optional
        Bins with the unit Mpc/h, text such as "log:0.1:16:20", or edges in Mpc/h; by default
        `DEFAULT_BINS`, 20 bins even in the logarithm from 0.1 to 16.
    boxsize : float, or three of these, optional
        Side of the box in Mpc/h that the bins must fit, or its three sides.
    periodic : bool
        Whether separations are taken to the nearest image: bins must then end at half the
        shortest side or below, up to where a pair has one nearest image; otherwise below it.

    Returns
    -------
    ndarray, shape (nbins + 1,)
        Mpc/h.

    Raises
    ------
    ValueError
        If the bins are of angles, do not increase from 0 or more, or do not fit the box.
    TypeError
        If they are none.

    Examples
    --------
    >>> from pysoftcorr.mocks.box import radial_edges
    >>> radial_edges("linear:0:6:3").tolist()
    [0.0, 2.0, 4.0, 6.0]
    """
    if bins is None:
        bins = DEFAULT_BINS
    if isinstance(bins, str):
        bins = Binning.parse(bins, BOX_UNIT)
    if isinstance(bins, Binning):
        if bins.unit != BOX_UNIT:
            raise ValueError(
                f"bins = {bins}: in a box they are of separations; give them unit='{BOX_UNIT}'"
            )
        bins = bins.edges
    try:
        array = np.array(numbers("bins", bins))
    except TypeError:
        raise TypeError(
            f"bins must be a Binning, text such as '{DEFAULT_BINS}' or edges in Mpc/h, "
            f"not {type(bins).__name__}"
        ) from None
    if array.ndim != 1 or array.size < 2:
        raise ValueError(f"bins must have at least two edges, not the shape {array.shape}")
    if not np.isfinite(array).all() or array[0] < 0:
        raise ValueError(f"bins must be finite and not negative, got {array.tolist()}")
    falls = np.flatnonzero(np.diff(array) <= 0)
    if falls.size:
        i = int(falls[0])
        raise ValueError(
            f"bins must increase; edge {i + 1} ({array[i + 1]:g}) does not after {array[i]:g}"
        )
    if boxsize is None:
        return array
    rmax, size = float(array[-1]), checks.box_size(boxsize)
    shortest = float(np.min(size))
    of = "the shortest side of the periodic" if isinstance(size, tuple) else "the periodic"
    if periodic and not rmax <= shortest / 2:
        raise ValueError(
            f"bins reach to r_max = {rmax:g} Mpc/h, which must be at most half of {of} "
            f"box, {shortest / 2:g} Mpc/h: lower the last edge, pass bins= of your own, or correct "
            "boxsize"
        )
    if not periodic and not rmax < shortest:
        what = "the shortest side of " if isinstance(size, tuple) else ""
        raise ValueError(
            f"bins reach to r_max = {rmax:g} Mpc/h, which must be below {what}boxsize = "
            f"{checks.box_text(size)}"
        )
    return array


def pair_sums(
    first: BoxSet,
    second: BoxSet | None,
    edges: FloatArray,
    *,
    boxsize: BoxSize,
    periodic: bool,
    split: bool,
) -> FloatArray:
    """Sums (2, nbins, 8) over pairs of different (0) and of the same host (1).

    Without `second` each unordered pair of the first set counts once.
    """
    out = np.zeros((2, len(edges) - 1, 8))
    edges, sides = _counted(edges, boxsize, periodic), checks.box_sides(boxsize)
    other = first if second is None else second
    drawn = first.drawn is not None and other.drawn is not None

    def arguments(s: BoxSet) -> tuple[Any, ...]:
        second_axis = s.axis if s.drawn is None else s.drawn
        return (s.position, s.axis, s.weight, s.strength, s.host, second_axis, len(s))

    call(
        "box_pair_sums",
        *arguments(first),
        *arguments(other),
        int(drawn),
        int(second is None),
        int(periodic),
        int(split),
        sides,
        edges,
        len(edges) - 1,
        out,
    )
    return out


def region_sums(
    first: BoxSet,
    second: BoxSet | None,
    edges: FloatArray,
    labels: tuple[IntArray, ...],
    n: int,
    *,
    boxsize: BoxSize,
    periodic: bool,
    split: bool,
) -> tuple[FloatArray, FloatArray]:
    """Sums of `pair_sums`, and those of the pairs of each two of n regions, from one pass.

    Parameters
    ----------
    labels : tuple of ndarray of int64, each of shape (N,)
        Region of each object, 0 to n - 1; an array per set.
    n : int
        Number of regions.

    Returns
    -------
    sums : ndarray, shape (2, nbins, 8)
    pairs : ndarray, shape (n (n + 1)/2, nbins, 8)
        Of the regions 00, 01, 11, 02, 12, 22, ..., both orders of two together.
    """
    out = np.zeros((2, len(edges) - 1, 8))
    pairs = np.zeros((n * (n + 1) // 2, len(edges) - 1, 8))
    sets = (first, first if second is None else second)
    arguments: list[Any] = []
    for s, own in zip(sets, (labels[0], labels[-1]), strict=True):
        arguments += [s.position, s.axis, s.weight, s.strength, s.host, own + 1, len(s)]
    call(
        "box_region_sums",
        *arguments,
        n,
        int(second is None),
        int(periodic),
        int(split),
        checks.box_sides(boxsize),
        _counted(edges, boxsize, periodic),
        len(edges) - 1,
        out,
        pairs,
    )
    return out, pairs


def _counted(edges: FloatArray, boxsize: BoxSize, periodic: bool) -> FloatArray:
    """Edges of the pairs that are counted.

    At exactly half a side a pair has two images, of which neither is the nearest.
    """
    if periodic and edges[-1] == checks.box_sides(boxsize).min() / 2:
        return np.append(edges[:-1], np.nextafter(edges[-1], 0.0))
    return edges


def shell_fraction(edges: FloatArray, boxsize: BoxSize, *, periodic: bool) -> FloatArray:
    """Probability that two points uniform in the box are a distance in each bin apart.

    In a box of sides a, b, c that is not periodic, a separation of length r fits in a part
    1 - r/2 (1/a + 1/b + 1/c) + 2r^2/(3 pi) (1/ab + 1/bc + 1/ca) - r^3/(4 pi abc) of it, on average
    over directions, for r below the shortest side.
    """
    sides = checks.box_sides(boxsize)
    length = sides[0] if (sides == sides[0]).all() else np.cbrt(checks.volume(boxsize))
    x = edges / length
    volume = 4 * np.pi / 3 * x**3
    if not periodic:
        a, b, c = length / sides  # 1, 1, 1 for a cube
        one, two = (a + b + c) / 3, (a * b + b * c + c * a) / 3
        volume = volume - 1.5 * np.pi * one * x**4 + 1.6 * two * x**5 - x**6 / 6
    return np.diff(volume)


def box_correlations(
    galaxies: GalaxyCatalog | npt.ArrayLike,
    axis: npt.ArrayLike | None = None,
    *,
    boxsize: BoxSize | None = None,
    bins: Bins | None = None,
    weights: npt.ArrayLike | None = None,
    host: npt.ArrayLike | None = None,
    second: GalaxyCatalog | npt.ArrayLike | None = None,
    second_axis: npt.ArrayLike | None = None,
    second_weights: npt.ArrayLike | None = None,
    second_host: npt.ArrayLike | None = None,
    periodic: bool = True,
    wrap: bool = False,
    resampling: Jackknife | Bootstrap | str | None = None,
    seed: Seed = None,
) -> BoxCorrelations:
    """xi, omega and eta of galaxies in a box, of one set or of two.

    - xi = DD/RR - 1, RR analytic: (sum of w)^2 V_shell/V, of two sets the product of their sums;
      -1 where there are no pairs;
    - omega = mean of (e_i . r_ij)^2/r_ij^2 - 1/3 over ordered pairs: how axes point at positions.
      With two sets, axes are those of the first and positions those of the second;
    - eta = mean of (e_i . e_j)^2 - 1/3: how axes point alike.

    Means are weighted by w_i w_j. A random axis gives 0, a parallel one 2/3, a square one -1/3.

    Parameters
    ----------
    galaxies : GalaxyCatalog, or array_like, shape (N, 3)
        Galaxies, or positions in comoving Mpc/h; a catalog brings axes, hosts and box.
    axis : array_like, shape (N, 3), optional
        Axes of any length but 0, without head. Without them omega and eta are NaN.
    boxsize : float, or three of these
        Side of the cube in Mpc/h, or the sides of the box along x, y and z.
    bins : Binning, str or array_like, optional
        Bins (lo, hi] in Mpc/h, as `radial_edges` takes them; by default "log:0.1:16:20".
    weights : array_like, shape (N,), optional
        1 by default; not negative.
    host : array_like of int, shape (N,), optional
        Number of the halo; splits the result into pairs of the same and of different hosts.
    second, second_axis, second_weights, second_host : optional
        The second set; its hosts are numbered as those of the first. Pairs at distance 0, such
        as an object that is in both sets, count only where an edge is below 0: never.
    periodic : bool
        Whether separations are taken to the nearest image. If not, RR is that of a box without
        images, exactly.
    wrap : bool
        Move positions outside the box by whole boxes instead of refusing them.
    resampling : Jackknife, Bootstrap or str, optional
        Sub-volumes of the box that are resampled for the covariance of xi, omega and eta, equal
        cells: ``Jackknife(27)`` or "jackknife:27" leaves out one of 3 x 3 x 3 at a time,
        ``Bootstrap(100)`` or "bootstrap:100" draws 27 with replacement 100 times,
        "bootstrap:100:64" draws 64, and "jackknife:3x3x6" gives a shape. Pairs of two sub-volumes
        count by their ``cross_patch_weight``, behind it in text ("jackknife:27:match").
    seed : int, numpy.random.Generator or None
        Of a bootstrap; by default another one each time.

    Returns
    -------
    BoxCorrelations

    Raises
    ------
    ValueError
        If arrays differ in length, hold NaN, positions lie outside the box, an axis has length
        0, weights are negative or all 0, r_max is above half of the shortest side of a periodic
        box, or the box has no such sub-volumes.
    TypeError
        If an argument is of the wrong kind.
    KeyboardInterrupt
        If the call is interrupted.

    Notes
    -----
    Definitions as in Pandya et al. 2025, eq. 1 to 3, and as halotools' ``tpcf`` (Natural),
    ``ed_3d`` and ``ee_3d``, which end at a third of the box. A pair at exactly half a side has
    two nearest images and is not counted. The bits of a result do not depend on the number of
    threads.

    A resample has a mean density of its own: with W the weight of what a jackknife leaves of the
    volume V without v, RR is (W V/(V - v))^2 V_shell/V times the part of uniform pairs outside v,
    which the overlap of a cell with itself, moved by r, gives. DD/RR - 1 of a cut box scatters at
    first order in the density beside the cut, tenfold the error at large r, where the whole box
    has none; so that DR is taken off, (DD - 2 DR + RR)/RR (Landy & Szalay 1993), known without
    random points from the parts of shells that lie in each cell, and from the angles of omega
    what cut shells add. omega and eta are ratios of the sums of each resample. The jackknife's
    variance of noise alone is up to twofold with pairs of two sub-volumes left out ("simple"),
    and right with "match" (Mohammad & Percival 2022, arXiv:2109.07071). Modes larger than the box
    are in neither.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr.mocks import box_correlations
    >>> rng = np.random.default_rng(1)
    >>> position, axis = rng.uniform(0, 60, (20_000, 3)), rng.normal(size=(20_000, 3))
    >>> result = box_correlations(position, axis, boxsize=60, bins=[2, 4, 8, 16])
    >>> bool(np.abs([result.xi, result.omega, result.eta]).max() < 0.01)
    True
    """
    flag("periodic", periodic)
    flag("wrap", wrap)
    sets = []
    if isinstance(galaxies, GalaxyCatalog):
        boxsize = _same_box(boxsize, galaxies)
    side = checks.box_size(boxsize)
    edges = radial_edges(bins, side, periodic=periodic)
    sets.append(_as_set("", galaxies, axis, weights, host, side, wrap))
    if second is not None:
        if isinstance(second, GalaxyCatalog):
            _same_box(side, second)
        sets.append(
            _as_set("second_", second, second_axis, second_weights, second_host, side, wrap)
        )
    elif any(x is not None for x in (second_axis, second_weights, second_host)):
        raise ValueError("second_axis, second_weights or second_host is given without second")
    plan = None if resampling is None else _plan(resampling, side, edges, periodic)
    split = all(s.has_host for s in sets)
    cross = sets[1] if second is not None else None
    settings: dict[str, Any] = {"boxsize": checks.box_record(side), "periodic": bool(periodic)}
    settings |= {
        "auto": second is None,
        "n": len(sets[0]),
        "weighted": weights is not None or second_weights is not None,
    }
    if second is not None:
        settings["n_second"] = len(sets[1])
    if isinstance(galaxies, GalaxyCatalog):
        settings |= galaxies.known()
    if plan is None:
        sums = pair_sums(sets[0], cross, edges, boxsize=side, periodic=periodic, split=split)
        return _correlations(
            sums, sets, edges, side, periodic=periodic, split=split, settings=settings
        )
    root = root_seed(seed)
    if isinstance(plan.way, Bootstrap):
        settings["seed"] = root
    labels = tuple(plan.cells.labels(s.position) for s in sets)
    sums, pairs = region_sums(
        sets[0], cross, edges, labels, plan.cells.n, boxsize=side, periodic=periodic, split=split
    )
    result = _correlations(
        sums, sets, edges, side, periodic=periodic, split=split, settings=settings
    )
    return _with_covariance(result, pairs, sets, labels, plan, root)


def _correlations(
    sums: FloatArray,
    sets: list[BoxSet],
    edges: FloatArray,
    boxsize: BoxSize,
    *,
    periodic: bool,
    split: bool,
    settings: dict[str, Any],
) -> BoxCorrelations:
    auto = len(sets) == 1
    totals = float(sets[0].weight.sum()) * float(sets[-1].weight.sum())
    rr = totals * shell_fraction(edges, boxsize, periodic=periodic)
    order = 2.0 if auto else 1.0  # ordered pairs of one set

    def statistics(s: FloatArray) -> dict[str, Any]:
        pairs = s[:, WEIGHT]
        omega = (s[:, OMEGA1] + s[:, OMEGA2]) / 2 if auto else s[:, OMEGA1]
        empty = np.full(len(pairs), np.nan)
        return {
            "npairs": np.rint(s[:, COUNT]).astype(np.int64),
            "xi": ratio(order * pairs, rr),
            "omega": ratio(omega, pairs) if sets[0].has_axes else empty,
            "eta": ratio(s[:, ETA], pairs) if all(x.has_axes for x in sets) else empty,
        }

    whole = sums.sum(axis=0)
    result = statistics(whole)
    caution_of_no_pairs(whole[:, COUNT], edges)
    result["xi"] = result["xi"] - 1
    if split:
        two, one = statistics(sums[0]), statistics(sums[1])
        two["xi"] = two["xi"] - 1
    parts: dict[str, Any] = {}
    for name in result:
        parts[f"{name}_1h"] = one[name] if split else None
        parts[f"{name}_2h"] = two[name] if split else None
    return BoxCorrelations(
        edges=edges,
        r=ratio(whole[:, SEPARATION], whole[:, WEIGHT]),
        weight=order * whole[:, WEIGHT],
        rr=rr,
        settings=settings,
        **result,
        **parts,
    )


def _plan(resampling: Any, boxsize: BoxSize, edges: FloatArray, periodic: bool) -> Plan:
    sides = checks.box_sides(boxsize)
    plan = as_plan(resampling, sides, periodic=periodic)
    smallest = float(plan.cells.cell.min())
    if smallest < edges[-1]:
        fewer = int(max(np.min(sides // edges[-1]), 1))
        caution(
            f"resampling = '{plan}': sub-volumes of {smallest:.4g} Mpc/h are smaller than r_max = "
            f"{edges[-1]:.4g} Mpc/h, and their pairs beyond that belong to several: errors there "
            f"are not to be trusted. Lower the last edge, or take at most {fewer} sub-volumes "
            "along a side"
        )
    return plan


def _with_covariance(
    result: BoxCorrelations,
    pairs: FloatArray,
    sets: list[BoxSet],
    labels: tuple[IntArray, ...],
    plan: Plan,
    seed: int,
) -> BoxCorrelations:
    """The result with the covariance of its sub-volumes."""
    auto = len(sets) == 1
    weights, scale = box_errors.pair_weights(plan, labels, seed)
    order = 2.0 if auto else 1.0
    omega = (pairs[:, :, OMEGA1] + pairs[:, :, OMEGA2]) / 2 if auto else pairs[:, :, OMEGA1]
    chosen = np.stack([pairs[:, :, COUNT], pairs[:, :, WEIGHT], omega, pairs[:, :, ETA]], axis=2)
    sums = box_errors.resampled_sums(weights, chosen)
    resamples = box_errors.resampled_statistics(
        weights,
        plan.cells,
        result.edges,
        sums[..., 0],
        order * sums[..., 1:] / result.rr[:, None],
        [
            box_errors.Placed(own, s.position, s.weight, s.axis if s.has_axes else None)
            for own, s in zip(labels, sets, strict=True)
        ],
    )
    known = {name: np.isfinite(getattr(result, name)) & (result.npairs > 0) for name in resamples}
    # Pairs of one place are all there or not at all: their means do not scatter.
    several = (pairs[:, :, COUNT] > 0).sum(axis=0) > 1
    known |= {name: known[name] & several for name in ("omega", "eta")}
    covariance = box_errors.joint_covariance(resamples, known, scale)
    samples = min(weights.n, plan.cells.n)
    box_errors.warn_of_rank(covariance, samples, "sub-volumes")
    return replace(result, covariance=covariance, resampling=str(plan), realizations=samples)


def _same_box(boxsize: Any, galaxies: GalaxyCatalog) -> BoxSize:
    if boxsize is not None and checks.box_size(boxsize) != galaxies.boxsize:
        raise ValueError(
            f"boxsize = {checks.box_text(boxsize)} differs from that of the galaxies, "
            f"{checks.box_text(galaxies.boxsize)} Mpc/h"
        )
    return galaxies.boxsize


def _as_set(
    prefix: str, objects: Any, axis: Any, weights: Any, host: Any, boxsize: BoxSize, wrap: bool
) -> BoxSet:
    if isinstance(objects, GalaxyCatalog):
        axis = objects.axis if axis is None else axis
        if host is None and objects.has_hosts:
            host = objects.host
        objects = objects.position
    return box_set(objects, axis, weights, host, boxsize=boxsize, wrap=wrap, prefix=prefix)
