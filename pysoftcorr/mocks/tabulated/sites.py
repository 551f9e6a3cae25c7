"""Sites of galaxies in a sample of halos: what one galaxy more adds to the sums over pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from pysoftcorr.core.random import stream
from pysoftcorr.mocks import checks
from pysoftcorr.mocks.satellites import directions, nfw_radius
from pysoftcorr.mocks.shapes import Shapes, shapes_of
from pysoftcorr.mocks.tabulated.nodes import MassNodes
from pysoftcorr.mocks.tabulated.shells import HaloPairKernels, enclosed, shell_moments

__all__ = ["MOMENTS", "Sites", "place_sites"]

FloatArray = npt.NDArray[np.float64]
SingleArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

#: Moments of the neighbors of a site in a bin: their number; (a . D)^2 - 1/3 of their references a
#: with the separation D; five components each of D D - 1/3 and of a a - 1/3 (see `_components`).
MOMENTS = 12
#: Nodes of the mass of neighbors: what a galaxy's surroundings are depends on it smoothly.
_NODES = 12
#: Strata of mass that halos are sampled from.
_STRATA = 16
_SHELLS = 100
#: Satellites drawn in the ellipsoid of each site.
_DRAWN = 2000
#: Sites at once.
_CHUNK = 32


@dataclass(frozen=True, eq=False)
class Sites:
    """Places of galaxies, drawn in a sample of the halos, and their neighbors by bins.

    Attributes
    ----------
    central : ndarray of bool, shape (S,)
        Whether a site is a halo's center; the others are places of satellites.
    logm : ndarray, shape (S,)
        log10 mass (Msun/h) of its halo.
    weight : ndarray, shape (S,)
        Halos that it stands for.
    nodes : ndarray, shape (K,)
        log10 masses of the nodes of the neighbors' halos.
    of_centrals, of_satellites : ndarray of float32, shape (K, S, 12, b)
        `MOMENTS` of the centers of other halos and of the satellites about them, by node.
    own : ndarray of float32, shape (2, S, 12, b)
        Those of the central and of a satellite of its own halo.
    """

    central: npt.NDArray[np.bool_]
    logm: FloatArray
    weight: FloatArray
    nodes: FloatArray
    of_centrals: SingleArray
    of_satellites: SingleArray
    own: SingleArray

    def __len__(self) -> int:
        return len(self.logm)


def place_sites(
    halos: Any, span: tuple[float, float], edges: FloatArray, steps: FloatArray,
    kernels: HaloPairKernels, number: int, seed: int = 0, satellites: str = "nfw",
    counts: FloatArray | None = None,
) -> Sites:  # fmt: skip
    """Draw sites in halos of all masses, and go through their neighbors.

    Parameters
    ----------
    halos : HaloCatalog
    span : tuple of float
        Lowest and highest log10 mass of the nodes.
    edges, steps : ndarray
        Bins, and fine steps of separation, Mpc/h.
    kernels : HaloPairKernels
    number : int
        About so many centers, and as many places of satellites.
    seed : int
    satellites : {"nfw", "triaxial"}
        Where satellites live. Those of other halos are in spheres in any case: how triaxial they
        are plays hardly a role for what one galaxy more adds.
    counts : ndarray, shape (N,), optional
        Halos that each stands for, where some are a sample; 1 by default.
    """
    rng = stream(seed, "sites of galaxies")
    logm = np.log10(halos.mass)
    nodes = MassNodes(np.linspace(span[0], max(span[1], span[0] + 0.01), _NODES))
    rows, weight, copies = _sample(logm, max(number // _STRATA, 2), rng)
    host = np.concatenate([rows, np.repeat(rows, copies)])
    central = np.arange(host.size) < rows.size
    counts = np.ones(logm.size) if counts is None else counts
    weight = np.concatenate([weight, np.repeat(weight / copies, copies)]) * counts[host]
    n = int((~central).sum())
    # Radii even in the enclosed mass, so that few places stand for a profile.
    u = (rng.permutation(n) + rng.random(n)) / max(n, 1)
    radius = np.zeros(host.size)
    radius[~central] = nfw_radius(u, halos.concentration[host[~central]])
    reference = np.array(halos.axis[host], dtype=np.float64)
    reference[~central] = directions(rng.random(n), rng.random(n))
    shapes = shapes_of(halos, host, seed) if satellites == "triaxial" else None
    if shapes is not None:
        moved = Shapes(*(x[~central] for x in shapes)).stretched(
            reference[~central] * radius[~central, None]
        )
        radius[~central] = np.linalg.norm(moved, axis=1)
        reference[~central] = moved / radius[~central, None]
    place = halos.position[host] + reference * (radius * halos.radius[host])[:, None]
    place = checks.wrapped(place, halos.boxsize)
    frame = _frames(reference)
    others = _neighbors(halos, counts, logm, nodes, host, place, frame, edges, steps, kernels)
    own = _own(halos, host, central, radius, frame, edges)
    if shapes is not None:
        away = reference * (radius * halos.radius[host])[:, None]
        own[1] = _satellites_of_ellipsoids(halos, host, away, frame, shapes, edges, rng)
    return Sites(central, logm[host], weight, nodes.logm, *others, own)


def _sample(
    logm: FloatArray, number: int, rng: np.random.Generator
) -> tuple[IntArray, FloatArray, IntArray]:
    """Rows of halos, halos that each stands for, and places of satellites in each."""
    stratum = ((logm - logm.min()) / max(np.ptp(logm), 1e-6) * _STRATA).astype(np.int64)
    order = rng.permutation(logm.size)
    rows, weight, copies = [], [], []
    for k in range(_STRATA + 1):
        there = order[stratum[order] == k]
        some = there[:number]
        if some.size:
            rows.append(some)
            weight.append(np.full(some.size, there.size / some.size))
            copies.append(np.full(some.size, -(-number // some.size)))
    return np.concatenate(rows), np.concatenate(weight), np.concatenate(copies)


def _frames(h: FloatArray) -> FloatArray:
    """Orthonormal axes (S, 3, 3), the first of them h."""
    least = np.eye(3)[np.abs(h).argmin(axis=1)]
    u = np.cross(h, least)
    u /= np.linalg.norm(u, axis=1)[:, None]
    return np.stack([h, u, np.cross(h, u)], axis=1)


def _components(frame: FloatArray, a: FloatArray) -> FloatArray:
    """a a - 1/3 in frames: by h h; by h u and h v; by (u u - v v)/2 and u v; shape (5, n)."""
    x, y, z = np.einsum("nij,nj->in", frame, a)
    return np.stack([x * x - 1 / 3, x * y, x * z, (y * y - z * z) / 2, y * z])


def _neighbors(
    halos: Any, counts: FloatArray, logm: FloatArray, nodes: MassNodes, host: IntArray,
    place: FloatArray, frame: FloatArray, edges: FloatArray, steps: FloatArray,
    kernels: HaloPairKernels,
) -> tuple[SingleArray, SingleArray]:  # fmt: skip
    """Moments of the neighbors in other halos: of their centers, and of their satellites."""
    sides = checks.box_sides(halos.boxsize)
    below, part = nodes.place(np.clip(logm, nodes.logm[0], nodes.logm[-1]))
    profile = _profile(halos, below, part, len(nodes), kernels.shells)
    smooth = [
        np.tensordot(profile, kernel, (1, 1))  # K, steps, b
        for kernel in (kernels.number, kernels.along_d, kernels.along_z, kernels.d_z)
    ]
    tree = cKDTree(halos.position, boxsize=sides)
    reach = min(float(edges[-1] + halos.radius.max()), float(steps[-1]))
    bins, number, first = edges.size - 1, len(nodes), np.searchsorted(steps, edges)
    size = (number, host.size, MOMENTS, bins)
    centers, around = np.zeros(size, dtype=np.float32), np.zeros(size, dtype=np.float32)
    for start in range(0, host.size, _CHUNK):
        some = slice(start, start + _CHUNK)
        sites = place[some]
        found = tree.query_ball_point(sites, reach)
        row = np.repeat(np.arange(len(sites)), [len(one) for one in found])
        j = np.concatenate([np.asarray(one, dtype=np.int64) for one in found])
        other = j != host[some][row]
        row, j = row[other], j[other]
        d = halos.position[j] - sites[row]
        d -= sides * np.rint(d / sides)
        r = np.sqrt((d * d).sum(axis=1))
        apart = r > 0
        row, j, d, r = row[apart], j[apart], d[apart], r[apart]
        z = d / r[:, None]
        turn = frame[some][row]
        step = np.minimum(np.searchsorted(steps, r) - 1, steps.size - 2)
        of_z = counts[j] * np.concatenate([np.ones((1, r.size)), _components(turn, z)])
        fine = _hats(of_z, row, step, below[j], part[j], (number, len(sites), steps.size - 1))
        axis = halos.axis[j]
        along = np.einsum("ni,ni->n", axis, z) ** 2 - 1 / 3
        of_a = counts[j] * np.concatenate([along[None], _components(turn, axis)])
        b = np.searchsorted(edges, r) - 1
        within = (b >= 0) & (b < bins)
        coarse = _hats(
            of_a[:, within], row[within], b[within], below[j][within], part[j][within],
            (number, len(sites), bins),
        )  # fmt: skip
        total = np.concatenate([np.zeros((*fine.shape[:3], 1)), np.cumsum(fine, axis=3)], axis=3)
        hard = np.diff(total[..., first], axis=3)
        centers[:, some, 0], centers[:, some, 2:7] = hard[:, :, 0], hard[:, :, 1:]
        centers[:, some, 1], centers[:, some, 7:] = coarse[:, :, 0], coarse[:, :, 1:]
        around[:, some, 0] = fine[:, :, 0] @ smooth[0]
        around[:, some, 1] = fine[:, :, 0] @ smooth[1]
        around[:, some, 2:7] = fine[:, :, 1:] @ smooth[2][:, None]
        around[:, some, 7:] = fine[:, :, 1:] @ smooth[3][:, None]
    return centers, around


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


def _own(
    halos: Any, host: IntArray, central: npt.NDArray[np.bool_], radius: FloatArray,
    frame: FloatArray, edges: FloatArray,
) -> SingleArray:  # fmt: skip
    """Moments of the central and of a satellite of the own halo, (2, S, 12, b)."""
    bins = edges.size - 1
    out = np.zeros((2, host.size, MOMENTS, bins), dtype=np.float32)
    c, scale = halos.concentration[host], halos.radius[host]
    # Satellites about a central, the reference of each along its separation.
    scaled = edges / scale[central, None]
    inside = np.diff(enclosed(scaled, c[central, None]), axis=1)
    out[1, central, 0], out[1, central, 1] = inside, 2 / 3 * inside
    # The central of a satellite.
    sat = np.flatnonzero(~central)
    b = np.searchsorted(edges, radius[sat] * scale[sat]) - 1
    within = (b >= 0) & (b < bins)
    rows, b = sat[within], b[within]
    axis = np.asarray(halos.axis)[host[rows]]
    parts = _components(frame[rows], axis)
    out[0, rows, 0, b] = 1
    out[0, rows, 1, b] = parts[0]  # the separation is the satellite's own reference
    out[0, rows, 2, b] = 2 / 3
    out[0, rows[:, None], np.arange(7, 12), b[:, None]] = parts.T
    # Other satellites of it.
    borders = np.linspace(0, 1, _SHELLS + 1) ** 1.5
    q = (borders[:-1] + borders[1:]) / 2
    for start in range(0, sat.size, _CHUNK):
        some = sat[start : start + _CHUNK]
        share = np.diff(enclosed(borders, c[some, None]), axis=1)
        at = (edges / scale[some, None])[:, None]
        n, dD, zD, dz = (
            np.einsum("sq,sqb->sb", share, part)
            for part in shell_moments(
                q[:, None], radius[some, None, None], at[..., :-1], at[..., 1:]
            )
        )
        out[1, some, 0], out[1, some, 1] = n, dD - n / 3
        out[1, some, 2], out[1, some, 7] = zD - n / 3, dz - n / 3
    return out


def _satellites_of_ellipsoids(
    halos: Any, host: IntArray, away: FloatArray, frame: FloatArray, shapes: Shapes,
    edges: FloatArray, rng: np.random.Generator,
) -> SingleArray:  # fmt: skip
    """Moments of a satellite of the own halo about sites away from its center, (S, 12, b)."""
    bins = edges.size - 1
    out = np.zeros((host.size, MOMENTS, bins), dtype=np.float32)
    for k, row in enumerate(host):
        # Radii even in the enclosed mass.
        u = (np.arange(_DRAWN) + rng.random(_DRAWN)) / _DRAWN
        radius = nfw_radius(u, np.full(_DRAWN, halos.concentration[row])) * halos.radius[row]
        ball = directions(*rng.random((2, _DRAWN))) * radius[:, None]
        drawn = Shapes(*(np.repeat(x[k : k + 1], _DRAWN, axis=0) for x in shapes)).stretched(ball)
        d = drawn - away[k]
        r = np.linalg.norm(d, axis=1)
        b = np.searchsorted(edges, r) - 1
        some = (b >= 0) & (b < bins)
        b, z = b[some], d[some] / r[some, None]
        a = drawn[some] / np.linalg.norm(drawn[some], axis=1)[:, None]
        turn = np.broadcast_to(frame[k], (b.size, 3, 3))
        along = np.einsum("ni,ni->n", a, z) ** 2 - 1 / 3
        values = [np.ones(b.size), along, *_components(turn, z), *_components(turn, a)]
        for m, value in enumerate(values):
            out[k, m] = np.bincount(b, weights=value, minlength=bins) / _DRAWN
    return out
