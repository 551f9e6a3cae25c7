"""Halo exclusion: no host halo has its centre within the radius of a heavier one."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from pysoftcorr.mocks.lpt import workers

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


class Spares(NamedTuple):
    """Places for haloes that must move: drawn with the others, as likely as theirs.

    `position` (M, 3), `tides` (M, 3, 3), `group` (M,), and `lightest` (M,), the row of the
    lightest halo of that group.
    """

    position: FloatArray
    tides: FloatArray
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
        Halo centres in [0, boxsize), heaviest first.
    radius : ndarray, shape (N,)
    places : ndarray, shape (M, 3)
    owner : ndarray of int, shape (M,)
        Row of the halo that each place is for.
    boxsize : float
    by : ndarray of int, optional
        Rows of the haloes that are asked about; all of them by default.

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
        position[rows], radius[rows], return_length=True, workers=workers()
    )
    # Most haloes cover no place but, where the places are the haloes, their own.
    several = count > (1 if places is position else 0)
    rows, count = rows[several], count[several]
    for start in range(0, rows.size, 100_000):
        part = slice(start, start + 100_000)
        lists = tree.query_ball_point(position[rows[part]], radius[rows[part]], workers=workers())
        inside = np.concatenate([np.asarray(x, dtype=np.int64) for x in lists])
        coverer = np.repeat(rows[part], count[part])
        found[inside[coverer < owner[inside]]] = True
    return found


def separate(
    position: FloatArray,
    tides: FloatArray,
    radius: FloatArray,
    group: IntArray,
    spare: Spares,
    boxsize: float,
) -> int:
    """Move haloes out of heavier ones to spare places, in place; the number that none was for.

    Parameters
    ----------
    position, tides : ndarray, shape (N, 3) and (N, 3, 3)
        Heaviest first; rows that move are overwritten.
    radius : ndarray, shape (N,)
    group : ndarray of int, shape (N,)
        Haloes of one group are equally likely in every place.
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
