"""Neighbors of sites of galaxies: in other halos, and in their own."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from pysoftcorr.mocks import checks
from pysoftcorr.mocks.tabulated.nodes import MassNodes
from pysoftcorr.mocks.tabulated.shells import HaloPairKernels, enclosed

__all__ = [
    "MOMENTS", "Neighbors", "components", "frames", "of_own_central", "of_own_satellites",
]  # fmt: skip

FloatArray = npt.NDArray[np.float64]
SingleArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

#: Moments of the neighbors of a site in a bin: their number; (a . D)^2 - 1/3 of their references a
#: with the separation D; five components each of D D - 1/3 and of a a - 1/3 (see `components`).
MOMENTS = 12
#: Sites at once.
_CHUNK = 32


def frames(h: FloatArray) -> FloatArray:
    """Orthonormal axes (S, 3, 3), the first of them h."""
    least = np.eye(3)[np.abs(h).argmin(axis=1)]
    u = np.cross(h, least)
    u /= np.linalg.norm(u, axis=1)[:, None]
    return np.stack([h, u, np.cross(h, u)], axis=1)


def components(frame: FloatArray, a: FloatArray) -> FloatArray:
    """a a - 1/3 in frames: by h h; by h u and h v; by (u u - v v)/2 and u v; shape (5, n)."""
    x, y, z = np.einsum("nij,nj->in", frame, a)
    return np.stack([x * x - 1 / 3, x * y, x * z, (y * y - z * z) / 2, y * z])


class Neighbors:
    """Moments of the neighbors of sites in other halos, whose satellites are in spheres.

    Parameters
    ----------
    halos : HaloCatalog
    counts : ndarray, shape (N,)
        Halos that each stands for.
    nodes : MassNodes
        Of the neighbors.
    edges, steps : ndarray
        Bins, and fine steps of separation, Mpc/h.
    kernels : HaloPairKernels
    """

    def __init__(
        self, halos: Any, counts: FloatArray, nodes: MassNodes, edges: FloatArray,
        steps: FloatArray, kernels: HaloPairKernels,
    ) -> None:  # fmt: skip
        self.halos, self.counts, self.edges, self.steps = halos, counts, edges, steps
        self.number = len(nodes)
        logm = np.log10(halos.mass)
        self.below, self.part = nodes.place(np.clip(logm, nodes.logm[0], nodes.logm[-1]))
        profile = _profile(halos, self.below, self.part, self.number, kernels.shells)
        self.smooth = [
            np.tensordot(profile, kernel, (1, 1))  # K, steps, b
            for kernel in (kernels.number, kernels.along_d, kernels.along_z, kernels.d_z)
        ]
        self.sides = checks.box_sides(halos.boxsize)
        self.tree = cKDTree(halos.position, boxsize=self.sides)
        self.reach = min(float(edges[-1] + halos.radius.max()), float(steps[-1]))

    def __call__(
        self, host: IntArray, place: FloatArray, frame: FloatArray, parts: int = 5
    ) -> tuple[SingleArray, SingleArray]:
        """Moments of the centers of other halos, and of their satellites, (K, S, 2 + 2 `parts`, b).

        Parameters
        ----------
        host : ndarray of int, shape (S,)
            Row of the halo of each site.
        place : ndarray, shape (S, 3)
            Mpc/h, within the box.
        frame : ndarray, shape (S, 3, 3)
            `frames` of the references.
        parts : int
            How many of the `components`, the first ones.
        """
        size = (self.number, host.size, 2 + 2 * parts, self.edges.size - 1)
        centers, around = np.zeros(size, dtype=np.float32), np.zeros(size, dtype=np.float32)
        for start in range(0, host.size, _CHUNK):
            some = slice(start, start + _CHUNK)
            fine, hard, coarse = self._sums(host[some], place[some], frame[some], parts)
            z, a = slice(2, 2 + parts), slice(2 + parts, None)
            centers[:, some, 0], centers[:, some, z] = hard[:, :, 0], hard[:, :, 1:]
            centers[:, some, 1], centers[:, some, a] = coarse[:, :, 0], coarse[:, :, 1:]
            number, along_d, along_z, d_z = self.smooth
            around[:, some, 0] = fine[:, :, 0] @ number
            around[:, some, 1] = fine[:, :, 0] @ along_d
            around[:, some, z] = fine[:, :, 1:] @ along_z[:, None]
            around[:, some, a] = fine[:, :, 1:] @ d_z[:, None]
        return centers, around

    def _sums(
        self, host: IntArray, sites: FloatArray, frame: FloatArray, parts: int
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Sums over directions of neighbors by steps and by bins, and over their axes by bins."""
        edges, steps, halos = self.edges, self.steps, self.halos
        bins, number = edges.size - 1, self.number
        found = self.tree.query_ball_point(sites, self.reach)
        row = np.repeat(np.arange(len(sites)), [len(one) for one in found])
        j = np.concatenate([np.asarray(one, dtype=np.int64) for one in found])
        other = j != host[row]
        row, j = row[other], j[other]
        d = halos.position[j] - sites[row]
        d -= self.sides * np.rint(d / self.sides)
        r = np.sqrt((d * d).sum(axis=1))
        apart = r > 0
        row, j, d, r = row[apart], j[apart], d[apart], r[apart]
        z = d / r[:, None]
        turn = frame[row]
        step = np.minimum(np.searchsorted(steps, r) - 1, steps.size - 2)
        counts, below, part = self.counts[j], self.below[j], self.part[j]
        of_z = counts * np.concatenate([np.ones((1, r.size)), components(turn, z)[:parts]])
        fine = _hats(of_z, row, step, below, part, (number, len(sites), steps.size - 1))
        axis = halos.axis[j]
        along = np.einsum("ni,ni->n", axis, z) ** 2 - 1 / 3
        of_a = counts * np.concatenate([along[None], components(turn, axis)[:parts]])
        b = np.searchsorted(edges, r) - 1
        within = (b >= 0) & (b < bins)
        coarse = _hats(
            of_a[:, within], row[within], b[within], below[within], part[within],
            (number, len(sites), bins),
        )  # fmt: skip
        total = np.concatenate([np.zeros((*fine.shape[:3], 1)), np.cumsum(fine, axis=3)], axis=3)
        return fine, np.diff(total[..., np.searchsorted(steps, edges)], axis=3), coarse


def _hats(
    values: FloatArray, row: IntArray, step: IntArray, below: IntArray, part: FloatArray,
    size: tuple[int, int, int],
) -> FloatArray:  # fmt: skip
    """Sums of each of the values (m, n) by node, site and step: (K, sites, m, steps)."""
    number, sites, steps = size
    out = np.zeros((number, sites, len(values), steps))
    for node, share in ((below, 1 - part), (below + 1, part)):
        at = (node * sites + row) * steps + step
        for m, value in enumerate(values):
            sums = np.bincount(at, weights=share * value, minlength=number * sites * steps)
            out[:, :, m] += sums.reshape(number, sites, steps)
    return out


def _profile(
    halos: Any, below: IntArray, part: FloatArray, number: int, shells: FloatArray
) -> FloatArray:
    """Mean profile at each node, of at most some thousand halos each; shape (K, Q)."""
    sums, total = np.zeros((number, shells.size - 1)), np.zeros(number)
    for k in range(number - 1):
        rows = np.flatnonzero(below == k)
        rows = rows[:: max(rows.size // 2000, 1)]
        inside = np.diff(
            enclosed(shells / halos.radius[rows, None], halos.concentration[rows, None]), axis=1
        )
        for node, weight in ((k, 1 - part[rows]), (k + 1, part[rows])):
            sums[node] += weight @ inside
            total[node] += weight.sum()
    return sums / np.maximum(total, 1e-300)[:, None]


def of_own_central(
    axis: FloatArray, radius: FloatArray, frame: FloatArray, edges: FloatArray
) -> SingleArray:
    """Moments of the central of the own halo, seen from a satellite, (S, 12, b).

    Parameters
    ----------
    axis : ndarray, shape (S, 3)
        Of the central.
    radius : ndarray, shape (S,)
        Of the satellites, Mpc/h.
    frame : ndarray, shape (S, 3, 3)
    edges : ndarray, shape (b + 1,)
    """
    bins = edges.size - 1
    out = np.zeros((radius.size, MOMENTS, bins), dtype=np.float32)
    b = np.searchsorted(edges, radius) - 1
    rows = np.flatnonzero((b >= 0) & (b < bins))
    b = b[rows]
    parts = components(frame[rows], axis[rows])
    out[rows, 0, b] = 1
    out[rows, 1, b] = parts[0]  # the separation is the satellite's own reference
    out[rows, 2, b] = 2 / 3
    out[rows[:, None], np.arange(7, 12), b[:, None]] = parts.T
    return out


def of_own_satellites(
    places: FloatArray, away: FloatArray, frame: FloatArray, edges: FloatArray
) -> SingleArray:
    """Moments of a satellite of the own halo, a mean over places (n, 3), for a site, (12, b).

    `away` (3,) is the site's own place from the center of the halo.
    """
    bins = edges.size - 1
    d = places - away
    r = np.linalg.norm(d, axis=1)
    b = np.searchsorted(edges, r) - 1
    some = (b >= 0) & (b < bins) & (r > 0)
    b, z = b[some], d[some] / r[some, None]
    a = places[some] / np.linalg.norm(places[some], axis=1)[:, None]
    turn = np.broadcast_to(frame, (b.size, 3, 3))
    along = np.einsum("ni,ni->n", a, z) ** 2 - 1 / 3
    values = [np.ones(b.size), along, *components(turn, z), *components(turn, a)]
    sums = [np.bincount(b, weights=value, minlength=bins) for value in values]
    return np.asarray(np.stack(sums) / len(places), dtype=np.float32)
