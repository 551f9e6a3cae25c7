"""Sites of galaxies in a sample of halos: what one galaxy more adds to the sums over pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr.core.random import stream
from pysoftcorr.mocks import checks
from pysoftcorr.mocks.satellites import directions, nfw_radius
from pysoftcorr.mocks.shapes import Shapes, shapes_of
from pysoftcorr.mocks.tabulated.nodes import MassNodes
from pysoftcorr.mocks.tabulated.shells import HaloPairKernels, enclosed, shell_moments
from pysoftcorr.mocks.tabulated.site_neighbors import (
    MOMENTS,
    Neighbors,
    frames,
    of_own_central,
    of_own_satellites,
)

__all__ = ["SiteLists", "Sites", "neighbor_nodes", "place_sites", "sample_halos"]

FloatArray = npt.NDArray[np.float64]
SingleArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

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
class SiteLists:
    """What the fixed places of satellites on subhalos make of the halos that sites are in.

    Attributes
    ----------
    host : ndarray of int, shape (S,)
        Halo of each site, from 0 to H; its center is the site of that number.
    borrowed : ndarray of bool, shape (S,)
        Sites that satellites without a subhalo of their own are put at.
    of_centrals, of_satellites : ndarray of float32, shape (K, 2 H, 4, b)
        Moments as of `Sites`, the first component alone of either kind: means over the subhalos of
        each halo, 0 where there are none, then over places of satellites without one.
    top : ndarray of int, shape (H,)
        Subhalos of each halo.
    central, pairs : ndarray, shape (slots, 2, b) and (slots, 3, b)
        Pairs within each halo, as of `pysoftcorr.mocks.tabulated.ranks.RankSlots`.
    """

    host: IntArray
    borrowed: npt.NDArray[np.bool_]
    of_centrals: SingleArray
    of_satellites: SingleArray
    top: IntArray
    central: FloatArray
    pairs: FloatArray


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
    lists : SiteLists, optional
        Of satellites on subhalos.
    """

    central: npt.NDArray[np.bool_]
    logm: FloatArray
    weight: FloatArray
    nodes: FloatArray
    of_centrals: SingleArray
    of_satellites: SingleArray
    own: SingleArray
    lists: SiteLists | None = None

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
    nodes = neighbor_nodes(span)
    rows, weight, copies = sample_halos(logm, number, rng)
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
    frame = frames(reference)
    others = Neighbors(halos, counts, nodes, edges, steps, kernels)(host, place, frame)
    own = np.zeros((2, host.size, MOMENTS, edges.size - 1), dtype=np.float32)
    own[0, ~central] = of_own_central(
        np.asarray(halos.axis)[host[~central]], (radius * halos.radius[host])[~central],
        frame[~central], edges,
    )  # fmt: skip
    if shapes is None:
        _add_satellites_of_spheres(own[1], halos, host, central, radius, edges)
    else:
        away = reference * (radius * halos.radius[host])[:, None]
        for k, row in enumerate(host):
            shape = Shapes(*(x[k : k + 1] for x in shapes))
            drawn = _in_ellipsoid(halos, row, shape, rng)
            own[1, k] = of_own_satellites(drawn, away[k], frame[k], edges)
    return Sites(central, logm[host], weight, nodes.logm, *others, own)


def neighbor_nodes(span: tuple[float, float]) -> MassNodes:
    """Nodes of the neighbors' halos between the lowest and the highest log10 mass."""
    return MassNodes(np.linspace(span[0], max(span[1], span[0] + 0.01), _NODES))


def sample_halos(
    logm: FloatArray, number: int, rng: np.random.Generator
) -> tuple[IntArray, FloatArray, IntArray]:
    """Rows of about `number` halos, those that each stands for, and places of satellites in each.

    As many of each stratum of mass, as far as there are.
    """
    number = max(number // _STRATA, 2)
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


def _add_satellites_of_spheres(
    out: SingleArray, halos: Any, host: IntArray, central: npt.NDArray[np.bool_],
    radius: FloatArray, edges: FloatArray,
) -> None:  # fmt: skip
    """Moments of a satellite of the own halo, added to `out` (S, 12, b)."""
    c, scale = halos.concentration[host], halos.radius[host]
    # About a central, the reference of each along its separation.
    scaled = edges / scale[central, None]
    inside = np.diff(enclosed(scaled, c[central, None]), axis=1)
    out[central, 0], out[central, 1] = inside, 2 / 3 * inside
    # About a satellite.
    sat = np.flatnonzero(~central)
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
        out[some, 0], out[some, 1] = n, dD - n / 3
        out[some, 2], out[some, 7] = zD - n / 3, dz - n / 3


def _in_ellipsoid(halos: Any, row: int, shape: Shapes, rng: np.random.Generator) -> FloatArray:
    """Places (n, 3) of satellites in an ellipsoid, from its center."""
    # Radii even in the enclosed mass.
    u = (np.arange(_DRAWN) + rng.random(_DRAWN)) / _DRAWN
    radius = nfw_radius(u, np.full(_DRAWN, halos.concentration[row])) * halos.radius[row]
    ball = directions(*rng.random((2, _DRAWN))) * radius[:, None]
    return Shapes(*(np.repeat(x, _DRAWN, axis=0) for x in shape)).stretched(ball)
