"""Pairs of galaxies in NFW halos with isotropic satellites: of one halo, and of two."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.interpolate import CubicSpline

from pysoftcorr.mocks.tabulated.shells import HaloPairKernels, enclosed, shell_moments

__all__ = [
    "TERMS", "OneHalo", "ProfileGrid", "one_halo", "profile_sums", "profiles", "sphere_pairs",
    "two_halo",
]  # fmt: skip

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

#: Quadratic forms of two-halo pairs in the mean numbers at the nodes: of pairs (n), of the axis of
#: the first with the separation (a; ac of the central, as of the satellite), and of both axes (h),
#: for two centrals (cc), a central and a satellite (cs), and two satellites (ss).
TERMS = ("n_cc", "n_cs", "n_ss", "a_cc", "ac_cs", "as_cs", "a_ss", "h_cc", "h_cs", "h_ss")

#: Grids of concentration and of ln Rvir, and shells of the profile.
_CONCENTRATIONS, _LOG_RADIUS, _SHELLS = 28, 0.015, 120
#: Pairs of nodes at once.
_PAIRS = 512
#: Radii of the grid at once: halos of like radius are of few kinds.
_RADII = 8
#: Halos at once.
_CHUNK = 100_000


class OneHalo(NamedTuple):
    """Sums over the halos of each cell of mass, shape (cells, b).

    Attributes
    ----------
    central : ndarray
        Probability that a satellite is in the bin from the center.
    central_along, central_axes : ndarray
        (a . D)^2 - 1/3 of the central's axis and the separation, and (a . d)^2 - 1/3 of it and the
        reference of the satellite, 0 out of the bin: in spheres they average to 0.
    pairs : ndarray
        Probability that two satellites are in the bin from one another.
    along : ndarray
        (d . D)^2 - 1/3 of the first of them, and 0 out of the bin.
    axes : ndarray
        (d . d')^2 - 1/3 of both.
    """

    central: FloatArray
    central_along: FloatArray
    central_axes: FloatArray
    pairs: FloatArray
    along: FloatArray
    axes: FloatArray


def one_halo(halos: Any, cell: IntArray, cells: int, edges: FloatArray) -> OneHalo:
    """Pairs within the halos of each cell.

    Those of two satellites are tabulated in concentration and radius; a halo takes its part of
    four by four neighbors.
    """
    bins = edges.size - 1
    central = np.zeros((cells, bins))
    for start in range(0, cell.size, _CHUNK):
        rows = slice(start, start + _CHUNK)
        c, radius = halos.concentration[rows, None], halos.radius[rows, None]
        inside = np.diff(enclosed(edges / radius, c), axis=1)
        for b in range(bins):
            central[:, b] += np.bincount(cell[rows], weights=inside[:, b], minlength=cells)
    grid = ProfileGrid.of(halos)
    pairs = _satellite_pairs(grid.c, grid.radius, edges)
    sums = grid.sums(cell, cells, pairs.reshape(*pairs.shape[:2], 3 * bins))
    none = np.zeros_like(central)
    return OneHalo(central, none, none, *(sums[:, k * bins : (k + 1) * bins] for k in range(3)))


def _satellite_pairs(c: FloatArray, radius: FloatArray, edges: FloatArray) -> FloatArray:
    """Moments (concentrations, radii, 3, b) of two satellites of a halo in each bin."""
    low = min(2e-3, 0.5 * float(edges[edges > 0][0] / radius.max()))
    x, parts = _sphere_moments(c, low)
    within = CubicSpline(np.log(x), np.cumsum(parts, axis=2), axis=2)
    scaled = edges / radius[:, None]
    value = within(np.log(np.clip(scaled, x[0], 2.0)))  # concentrations, 3, radii, edges
    # Below the first point the number goes with the volume.
    value = value * np.minimum(scaled / x[0], 1.0) ** 3
    return np.ascontiguousarray(np.moveaxis(np.diff(value, axis=3), 1, 2), dtype=np.float64)


def _sphere_moments(c: FloatArray, low: float) -> tuple[FloatArray, FloatArray]:
    """Distances of two satellites in Rvir, from `low` to 2, and their moments (c, 3, X) in steps.

    All pairs are within the last one.
    """
    x = np.geomspace(low, 2.0, 200)
    shells = np.concatenate([[0.0], x])
    borders = np.linspace(0, 1, _SHELLS + 1) ** 1.5
    r = (borders[:-1] + borders[1:]) / 2
    share = np.diff(enclosed(borders, c[:, None]), axis=1)  # concentrations, shells
    parts = np.empty((c.size, 3, x.size))
    for k in range(x.size):
        n, dD, _, dz = shell_moments(r[:, None], r, shells[k], shells[k + 1])
        for moment, of_pair in enumerate((n, dD - n / 3, dz - n / 3)):
            parts[:, moment, k] = np.einsum("ci,ci->c", share @ of_pair, share)
    return x, parts


def sphere_pairs(c: FloatArray, low: float) -> tuple[FloatArray, FloatArray]:
    """Distances in Rvir, and the part (C, X) of pairs of satellites that are closer."""
    x, parts = _sphere_moments(c, low)
    return x, np.cumsum(parts[:, 0], axis=1)


class ProfileGrid(NamedTuple):
    """Grid of concentration and radius, and the halos on it: first of four neighbors, and parts."""

    c: FloatArray
    radius: FloatArray
    first: tuple[IntArray, IntArray]
    parts: tuple[list[FloatArray], list[FloatArray]]

    @classmethod
    def of(cls, halos: Any) -> ProfileGrid:
        log_c, log_r = np.log(halos.concentration), np.log(halos.radius)
        grid_c = _even(log_c, number=_CONCENTRATIONS)
        grid_r = _even(log_r, step=_LOG_RADIUS)
        first_c, part_c = _cubic(log_c, grid_c)
        first_r, part_r = _cubic(log_r, grid_r)
        return cls(np.exp(grid_c), np.exp(grid_r), (first_c, first_r), (part_c, part_r))

    def sums(
        self, kind: IntArray, kinds: int, values: FloatArray, weight: FloatArray | None = None
    ) -> FloatArray:
        """Sums over the halos of each kind, shape (kinds, n).

        Parameters
        ----------
        kind : ndarray, shape (N,)
        kinds : int
        values : ndarray, shape (concentrations, radii, n)
            On the grid; a halo has those interpolated to its place.
        weight : ndarray, shape (N,), optional
        """
        number, columns = self.c.size, values.shape[2]
        out = np.zeros((kinds, columns))
        (first_c, first_r), (parts_c, parts_r) = self.first, self.parts
        group = first_r // _RADII
        order = np.argsort(group, kind="stable")
        for rows in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
            low = int(first_r[rows].min())
            width = int(first_r[rows].max()) - low + 4
            some, of = np.unique(kind[rows], return_inverse=True)
            share = np.zeros(some.size * number * width)
            for i, part_c in enumerate(parts_c):
                scaled = part_c[rows] if weight is None else part_c[rows] * weight[rows]
                at = (of * number + first_c[rows] + i) * width + first_r[rows] - low
                for j, part_r in enumerate(parts_r):
                    share += np.bincount(
                        at + j, weights=scaled * part_r[rows], minlength=share.size
                    )
            near = values[:, low : low + width].reshape(-1, columns)
            out[some] += share.reshape(some.size, -1) @ near
        return out


def _even(values: FloatArray, *, number: int = 0, step: float = 0.0) -> FloatArray:
    """Even points over the range of values, with one more at either end."""
    low, high = float(values.min()), float(values.max())
    if step:
        number = int(np.ceil((high - low) / step)) + 2
    step = max((high - low) / (number - 1), 1e-3)
    return low - step + step * np.arange(number + 2, dtype=np.float64)


def _cubic(values: FloatArray, grid: FloatArray) -> tuple[IntArray, list[FloatArray]]:
    """First of four neighbors on an even grid, and their parts in Lagrange's polynomial."""
    step = grid[1] - grid[0]
    place = (values - grid[0]) / step
    first = np.clip(place.astype(np.int64) - 1, 0, grid.size - 4)
    t = place - first
    parts = [
        -(t - 1) * (t - 2) * (t - 3) / 6,
        t * (t - 2) * (t - 3) / 2,
        -t * (t - 1) * (t - 3) / 2,
        t * (t - 1) * (t - 2) / 6,
    ]
    return first, parts


def two_halo(
    profile: FloatArray, moments: FloatArray, edges: FloatArray, steps: FloatArray,
    kernels: HaloPairKernels,
) -> FloatArray:  # fmt: skip
    """Forms `TERMS` of pairs of galaxies of different halos, shape (10, K, K, b).

    Parameters
    ----------
    profile : ndarray, shape (K, Q)
        As `profiles`.
    moments : ndarray, shape (K, K, steps, 3)
        Of pairs of halos: number, and of the axis of the first (the first index) and of both.
    """
    count, axis, both = (np.ascontiguousarray(moments[..., k]) for k in range(3))
    nodes = len(moments)
    out = np.empty((len(TERMS), nodes, nodes, edges.size - 1))
    term = dict(zip(TERMS, out, strict=True))
    first = np.searchsorted(steps, edges)
    for name, sums in (("n_cc", count), ("a_cc", axis), ("h_cc", both)):
        below = np.concatenate([np.zeros((*sums.shape[:2], 1)), np.cumsum(sums, axis=2)], axis=2)
        term[name][:] = np.diff(below[..., first], axis=2)
    # The first of a pair is the central, the second the host of the satellite.
    for name, sums, kernel in (
        ("n_cs", count, kernels.number),
        ("ac_cs", axis, kernels.along_z),
        ("as_cs", count, kernels.along_d),
        ("h_cs", axis, kernels.d_z),
    ):
        smooth = np.matmul(profile, kernel).transpose(1, 0, 2)  # K, steps, b
        term[name][:] = np.matmul(sums.transpose(1, 0, 2), smooth).transpose(1, 0, 2)
    flat = count.reshape(nodes**2, -1)
    for kernel, terms in (
        (kernels.number, (("n_ss", kernels.two_number), ("h_ss", kernels.two_axes))),
        (kernels.along_d, (("a_ss", kernels.two_along),)),
    ):
        apart = [
            np.matmul(profile, np.tensordot(profile, two, (1, 0))).reshape(nodes**2, 1, -1)
            for _, two in terms
        ]  # of satellites of two nodes, if the centers were one: K K, 1, Q
        for k in range(0, nodes**2, _PAIRS):
            some = slice(k, k + _PAIRS)
            values = flat[some] @ kernel.reshape(len(kernel), -1)
            values = values.reshape(-1, *kernel.shape[1:])  # pairs of nodes, Q, b
            for (name, _), between in zip(terms, apart, strict=True):
                sums = np.matmul(between[some], values)[:, 0]
                term[name].reshape(nodes**2, -1)[some] = sums
    return out


def profiles(
    halos: Any, below: IntArray, part: FloatArray, nodes: int, shells: FloatArray
) -> FloatArray:
    """Mean profile at each node: part of the satellites in each shell, shape (K, Q).

    Parameters
    ----------
    below, part : ndarray, shape (N,)
        Node below each halo, and the part of the node above.
    """
    sums, total = profile_sums(halos, below, part, nodes, shells)
    return sums / np.where(total > 1e-12, total, 1.0)[:, None]


def profile_sums(
    halos: Any, below: IntArray, part: FloatArray, nodes: int, shells: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Sums over halos of their profiles, (K, Q), and the number of halos at each node, (K,)."""
    grid = ProfileGrid.of(halos)
    inside = np.diff(enclosed(shells / grid.radius[:, None], grid.c[:, None, None]), axis=-1)
    sums, total = np.zeros((nodes, inside.shape[2])), np.zeros(nodes)
    for node, weight in ((below, 1 - part), (below + 1, part)):
        sums += grid.sums(node, nodes, inside, weight)
        total += np.bincount(node, weights=weight, minlength=nodes)
    return sums, total
