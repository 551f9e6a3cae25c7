"""Sites of galaxies where satellites are on subhalos: the places of a halo's satellites are fixed.

How many there are is chance, and which of the places are taken follows from it.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr.core.random import stream
from pysoftcorr.mocks import checks
from pysoftcorr.mocks.subhalo_places import borrowed_offsets, offsets
from pysoftcorr.mocks.tabulated.shells import HaloPairKernels
from pysoftcorr.mocks.tabulated.site_neighbors import (
    MOMENTS,
    Neighbors,
    frames,
    of_own_central,
    of_own_satellites,
)
from pysoftcorr.mocks.tabulated.sites import SiteLists, Sites, neighbor_nodes, sample_halos
from pysoftcorr.mocks.tabulated.subhalo_sums import SubhaloPlaces

__all__ = ["place_listed_sites"]

FloatArray = npt.NDArray[np.float64]
SingleArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

#: Borrowed places drawn in each halo, for its own pairs, each twice.
_DRAWN = 1000
#: Places in each halo that means over its subhalos, and over borrowed ones, are of at most.
_EACH = 8


def place_listed_sites(
    halos: Any, span: tuple[float, float], edges: FloatArray, steps: FloatArray,
    kernels: HaloPairKernels, number: int, seed: int = 0,
) -> Sites:  # fmt: skip
    """Draw sites in halos of all masses whose satellites are on subhalos.

    About `number` halos, of each the center, a subhalo and a borrowed place (more where there are
    few halos of a mass), and what all subhalos of the halo add up to. Parameters as of
    `pysoftcorr.mocks.tabulated.sites.place_sites`.
    """
    rng = stream(seed, "sites of galaxies")
    nodes = neighbor_nodes(span)
    rows, weight, copies = sample_halos(np.log10(halos.mass), number, rng)
    order = np.argsort(rows)
    rows, weight, copies = rows[order], weight[order], copies[order]
    every, counts = offsets(halos), np.ones(halos.mass.size)
    places = SubhaloPlaces.within(halos, rows, _DRAWN, rng)
    top = places.number
    first = np.cumsum(top) - top
    having = np.flatnonzero(top)

    # Sites: ranks even in their logarithm, since it is the first ones that are taken most.
    own = np.repeat(having, copies[having])
    u = (rng.permutation(own.size) + rng.random(own.size)) / max(own.size, 1)
    rank = np.minimum(((top[own] + 1.0) ** u).astype(np.int64), top[own])
    other = np.repeat(np.arange(rows.size), copies)
    away = np.concatenate([
        np.zeros((rows.size, 3)), places.offset[first[own] + rank - 1],
        borrowed_offsets(halos, every, rows[other], *rng.random((2, other.size))),
    ])  # fmt: skip
    host = np.concatenate([np.arange(rows.size), own, other])
    place_of = np.arange(host.size)
    central, borrowed = place_of < rows.size, place_of >= rows.size + own.size
    weight = np.where(central, 1.0, 1.0 / copies[host]) * weight[host]

    around = Neighbors(halos, counts, nodes, edges, steps, kernels)
    place, frame = _set(halos, rows[host], away)
    others = around(rows[host], place, frame)
    of_own = np.zeros((2, host.size, MOMENTS, edges.size - 1), dtype=np.float32)
    sat = ~central
    of_own[0, sat] = of_own_central(
        np.asarray(halos.axis)[rows[host[sat]]], np.linalg.norm(away[sat], axis=1), frame[sat],
        edges,
    )  # fmt: skip
    # Satellites of the own halo are where those of like ones are, on average over their lists.
    start = np.searchsorted(places.borrower_one, np.arange(rows.size + 1))
    for k, h in enumerate(host):
        drawn = places.borrowed_one[:, start[h] : start[h + 1]].reshape(-1, 3)
        of_own[1, k] = of_own_satellites(drawn, away[k], frame[k], edges)

    # Means over the places of each halo.
    few = [_spread(int(top[h])) for h in having]
    listed = np.repeat(having, [len(ranks) for ranks in few])
    ranks = np.concatenate([np.zeros(0, dtype=np.int64), *few])
    fixed = _means(halos, around, rows, listed, places.offset[first[listed] + ranks - 1])
    listed = np.repeat(np.arange(rows.size), _EACH)
    drawn = borrowed_offsets(halos, every, rows[listed], *rng.random((2, listed.size)))
    free = _means(halos, around, rows, listed, drawn)
    slots = places.one_halo(
        SimpleNamespace(axis=np.asarray(halos.axis)[rows]), np.arange(rows.size), rows.size, edges
    )
    of_centrals, of_satellites = (
        np.concatenate(two, axis=1) for two in zip(fixed, free, strict=True)
    )
    lists = SiteLists(
        host, borrowed, of_centrals, of_satellites, top, slots.central, slots.pairs
    )  # fmt: skip
    return Sites(
        central, np.log10(halos.mass[rows[host]]), weight, nodes.logm, *others, of_own, lists
    )


def _spread(number: int) -> IntArray:
    """Some of the ranks from 1 to a number, even in their logarithm."""
    if number <= _EACH:
        return np.arange(1, number + 1)
    return np.unique(np.rint(np.geomspace(1, number, _EACH)).astype(np.int64))


def _set(halos: Any, row: IntArray, away: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Places (n, 3) in the box, and frames (n, 3, 3) of the references, of these halos."""
    distance = np.linalg.norm(away, axis=1)[:, None]
    axis = np.asarray(halos.axis, dtype=np.float64)[row]
    reference = np.where(distance > 0, away / np.where(distance > 0, distance, 1.0), axis)
    return checks.wrapped(halos.position[row] + away, halos.boxsize), frames(reference)


def _means(
    halos: Any, around: Neighbors, rows: IntArray, host: IntArray, away: FloatArray
) -> tuple[SingleArray, SingleArray]:
    """Moments of the neighbors, of centers and of satellites, on average in each halo.

    `host` rises; halos without any have 0.
    """
    place, frame = _set(halos, rows[host], away)
    having, first, number = np.unique(host, return_index=True, return_counts=True)
    out = []
    for found in around(rows[host], place, frame, parts=1):
        mean = np.zeros((found.shape[0], rows.size, *found.shape[2:]), dtype=np.float32)
        if having.size:
            sums = np.add.reduceat(found, first, axis=1)
            mean[:, having] = sums / number[:, None, None]
        out.append(mean)
    return out[0], out[1]
