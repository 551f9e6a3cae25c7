"""Halo exclusion: no host halo has its centre within the radius of a heavier one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from pysoftcorr.mocks.lpt import workers

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

#: New places tried for a halo at once, and how often.
_CANDIDATES = 8
_ROUNDS = 4


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
    boxsize: float,
    draw: Callable[[IntArray], tuple[FloatArray, FloatArray]],
) -> int:
    """Move haloes out of heavier ones, in place; the number of those that no try moved out.

    Parameters
    ----------
    position, tides : ndarray, shape (N, 3) and (N, 3, 3)
        Heaviest first; rows that move are overwritten.
    radius : ndarray, shape (N,)
    boxsize : float
    draw : callable
        New positions and tides for rows of haloes, in rising order with repetitions.
    """
    rows = np.arange(len(position))
    inside = np.flatnonzero(covered(position, radius, position, rows, boxsize))
    for _ in range(_ROUNDS):
        if not inside.size:
            break
        owner = np.repeat(inside, _CANDIDATES)
        places, their_tides = draw(owner)
        free = np.flatnonzero(~covered(position, radius, places, owner, boxsize))
        moved, first = np.unique(owner[free], return_index=True)
        position[moved], tides[moved] = places[free[first]], their_tides[free[first]]
        # Where they went, the moved ones may cover lighter ones, and one another.
        again = covered(position, radius, position, rows, boxsize, by=moved)
        again[np.setdiff1d(inside, moved, assume_unique=True)] = True
        inside = np.flatnonzero(again)
    return int(inside.size)
