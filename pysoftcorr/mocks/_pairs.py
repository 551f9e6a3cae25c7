"""Pair sums in the box, and what goes into them: checked sets of objects, bins, random pairs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr._checks import Origin
from pysoftcorr._julia import call
from pysoftcorr.mocks import halo_checks as checks

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

#: Bins of the published training sets: comoving Mpc/h.
DEFAULT_EDGES = np.geomspace(0.1, 16.0, 21)

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
        """The same objects with other strengths."""
        return replace(self, strength=np.ascontiguousarray(strength))


def box_set(
    position: Any,
    axis: Any,
    weights: Any,
    host: Any,
    *,
    boxsize: float,
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
        w = _column(f"{prefix}weights", weights, "iufb").astype(np.float64)
        columns[f"{prefix}weights"] = w
    if host is None:
        hosts = np.zeros(n, dtype=np.int64)
    else:
        hosts = _column(f"{prefix}host", host, "iu").astype(np.int64)
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
    place = _boxed(f"{prefix}position", place, boxsize, wrap)
    length = np.linalg.norm(axes, axis=1)
    zero = np.flatnonzero(length == 0)
    if zero.size:
        raise ValueError(
            f"{prefix}axis has no direction (length 0) in {origin.show(zero, length)}; leave such "
            "rows out"
        )
    length[np.abs(length - 1) < 1e-14] = 1.0
    return BoxSet(
        np.ascontiguousarray(place),
        np.ascontiguousarray(axes / length[:, None]),
        np.ascontiguousarray(w),
        np.ones(n),
        np.ascontiguousarray(hosts),
        axis is not None,
        host is not None,
    )


def _boxed(name: str, place: FloatArray, boxsize: float, wrap: bool) -> FloatArray:
    outside = (place < 0) | (place > boxsize)
    if not outside.any():
        return place
    if wrap:
        return checks.boxed(place, boxsize, Origin(), wrap=True)
    rows = np.flatnonzero(outside.any(axis=1))
    column = int(np.flatnonzero(outside[rows[0]])[0])
    values = place[:, column].copy()
    raise ValueError(
        f"{name} is outside the box, [0, {boxsize:g}] Mpc/h, in {rows.size} of {len(place)} rows, "
        f"as {'xyz'[column]} of {Origin().show(rows[:1], values)}: is boxsize right, in the unit "
        "of the positions? Pass wrap=True to move positions by whole boxes"
    )


def _column(name: str, values: Any, kinds: str) -> npt.NDArray[Any]:
    array = np.asarray(values)
    if array.dtype.kind not in kinds:
        wanted = "whole numbers" if kinds == "iu" else "real numbers"
        raise TypeError(f"{name} must be {wanted}; it holds {array.dtype}")
    if array.ndim != 1:
        raise ValueError(f"{name} must have one dimension, not shape {array.shape}")
    return array


def check_edges(edges: Any, boxsize: float, *, periodic: bool) -> FloatArray:
    """Edges of the bins in Mpc/h; ValueError where they are none or reach too far."""
    if edges is None:
        array = DEFAULT_EDGES.copy()
    else:
        try:
            array = np.array(edges, dtype=np.float64)
        except (TypeError, ValueError):
            raise TypeError("edges must be an array of numbers in Mpc/h") from None
    if array.ndim != 1 or array.size < 2:
        raise ValueError(f"edges must be at least two numbers, not of shape {array.shape}")
    if not np.isfinite(array).all() or array[0] < 0:
        raise ValueError(f"edges must be finite and not negative, got {array.tolist()}")
    falls = np.flatnonzero(np.diff(array) <= 0)
    if falls.size:
        i = int(falls[0])
        raise ValueError(
            f"edges must increase; edge {i + 1} ({array[i + 1]:g}) does not after {array[i]:g}"
        )
    rmax = float(array[-1])
    if periodic and not rmax < boxsize / 3:
        raise ValueError(
            f"edges reach to r_max = {rmax:g} Mpc/h, which must be below a third of the periodic "
            f"box, {boxsize / 3:g} Mpc/h: lower the last edge, or pass edges= of your own"
        )
    if not periodic and not rmax < boxsize:
        raise ValueError(
            f"edges reach to r_max = {rmax:g} Mpc/h, which must be below boxsize = {boxsize:g}"
        )
    return array


def pair_sums(
    first: BoxSet,
    second: BoxSet | None,
    edges: FloatArray,
    *,
    boxsize: float,
    periodic: bool,
    split: bool,
) -> FloatArray:
    """Sums (2, nbins, 8) over pairs of different (0) and of the same host (1).

    Without `second` each unordered pair of the first set counts once.
    """
    out = np.zeros((2, len(edges) - 1, 8))
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
        float(boxsize),
        edges,
        len(edges) - 1,
        out,
    )
    return out


def shell_fraction(edges: FloatArray, boxsize: float, *, periodic: bool) -> FloatArray:
    """Probability that two points uniform in the box are a distance in each bin apart.

    In a box that is not periodic, a separation of length r fits in a part
    1 - 3r/2L + 2r^2/(pi L^2) - r^3/(4 pi L^3) of it, on average over directions, for r < L.
    """
    x = edges / boxsize
    volume = 4 * np.pi / 3 * x**3
    if not periodic:
        volume = volume - 1.5 * np.pi * x**4 + 1.6 * x**5 - x**6 / 6
    return np.diff(volume)


def ratio(a: FloatArray, b: FloatArray) -> FloatArray:
    """a/b, NaN where b is 0."""
    out = np.full(np.broadcast(a, b).shape, np.nan)
    return np.divide(a, b, out=out, where=b != 0)
