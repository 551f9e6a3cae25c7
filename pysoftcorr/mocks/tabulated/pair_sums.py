"""Sums over pairs of centers and places of satellites, of different halos, by kinds of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr._julia import call
from pysoftcorr.mocks import checks

__all__ = ["place_sums"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def place_sums(
    halos: Any, below: IntArray, part: FloatArray, nodes: int, host: IntArray, kind: IntArray,
    kind_part: FloatArray, weight: FloatArray, offset: FloatArray, kinds: int, edges: FloatArray,
    progress: str | None,
) -> FloatArray:  # fmt: skip
    """Moments of ordered pairs of different halos in each bin, shape (kinds, kinds, b, 3).

    Parameters
    ----------
    halos : HaloCatalog
    below, part : ndarray, shape (N,)
        Node below each halo, and the part of the node above: the kinds of centers, whose
        reference is the major axis.
    nodes : int
        Number of nodes.
    host : ndarray, shape (P,)
        Rows of the halos of places of satellites.
    kind, kind_part : ndarray, shape (P,)
        Kind below each place, and the part of the kind above.
    weight : ndarray, shape (P,)
    offset : ndarray, shape (P, 3)
        From the center of the halo, Mpc/h; its direction is the reference.
    kinds : int
        Number of kinds.
    edges : ndarray, shape (b + 1,)
        Mpc/h.
    progress : str, optional
        Title of a progress bar.

    Returns
    -------
    ndarray
        By kind of the first and of the second: the number, and the sums of (a . D)^2 - 1/3 of the
        reference a of the first with the separation D, and of (a . a')^2 - 1/3.
    """
    n = len(below)
    size = np.linalg.norm(offset, axis=1)
    reference = offset / np.where(size > 0, size, 1.0)[:, None]
    place = checks.wrapped(halos.position[host] + offset, halos.boxsize)
    out = np.zeros((kinds, kinds, edges.size - 1, 3))
    every = n + len(host)
    call(
        "place_pair_sums", np.concatenate([halos.position, place]),
        np.concatenate([halos.axis, reference]), np.concatenate([np.ones(n), weight]),
        np.concatenate([np.arange(n), host]), np.concatenate([below, kind]) + 1,
        np.concatenate([part, kind_part]), every, checks.box_sides(halos.boxsize), edges,
        edges.size - 1, kinds, out, progress=progress,
    )  # fmt: skip
    return out
