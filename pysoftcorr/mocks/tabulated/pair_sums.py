"""Sums over pairs of halos, and over pairs of places of galaxies in them, by kinds of either."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr._julia import call
from pysoftcorr.mocks import checks

__all__ = ["Places", "halo_moments", "place_sums"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def halo_moments(
    position: FloatArray, axis: FloatArray, kind: IntArray, part: FloatArray, kinds: int,
    sides: FloatArray, steps: FloatArray, progress: str | None,
) -> FloatArray:  # fmt: skip
    """Moments of ordered pairs of halos in each step, shape (kinds, kinds, steps, 3).

    Parameters
    ----------
    position, axis : ndarray, shape (N, 3)
    kind, part : ndarray, shape (N,)
        Kind below each halo, and the part of the kind above.
    kinds : int
        Number of kinds.
    sides : ndarray, shape (3,)
        Of the box, Mpc/h.
    steps : ndarray, shape (steps + 1,)
        Edges of steps of the separation, Mpc/h.
    progress : str, optional
        Title of a progress bar.

    Returns
    -------
    ndarray
        By kind of the first and of the second: the number, and the sums of (a . D)^2 - 1/3 of the
        axis a of the first with the separation D, and of (a . a')^2 - 1/3.
    """
    out = np.zeros((kinds, kinds, steps.size - 1, 3))
    call(
        "hat_pair_sums", np.ascontiguousarray(position), np.ascontiguousarray(axis), kind + 1,
        np.ascontiguousarray(part), len(kind), sides, steps, steps.size - 1, kinds, out,
        progress=progress,
    )  # fmt: skip
    return out


@dataclass(frozen=True, eq=False)
class Places:
    """Centers of halos, and places of satellites in them.

    Attributes
    ----------
    position : ndarray, shape (P, 3)
        Mpc/h, within the box.
    reference : ndarray, shape (P, 3)
        Unit vectors: the major axis of a center, the radius of a satellite.
    weight : ndarray, shape (P,)
    host : ndarray, shape (P,)
        Rows of their halos; two of one halo are no pair.
    kind, part : ndarray, shape (P,)
        Kind below each place, and the part of the kind above.
    """

    position: FloatArray
    reference: FloatArray
    weight: FloatArray
    host: IntArray
    kind: IntArray
    part: FloatArray

    @classmethod
    def of(
        cls, halos: Any, below: IntArray, part: FloatArray, host: IntArray, kind: IntArray,
        kind_part: FloatArray, weight: FloatArray, offset: FloatArray,
    ) -> Places:  # fmt: skip
        """Centers of all halos, and satellites.

        Parameters
        ----------
        halos : HaloCatalog
        below, part : ndarray, shape (N,)
            Node below each halo, and the part of the node above: the kinds of centers.
        host : ndarray, shape (S,)
            Rows of the halos of the satellites.
        kind, kind_part : ndarray, shape (S,)
            Kind below each satellite, and the part of the kind above.
        weight : ndarray, shape (S,)
        offset : ndarray, shape (S, 3)
            From the center of the halo, Mpc/h.
        """
        n = len(below)
        size = np.linalg.norm(offset, axis=1)
        reference = offset / np.where(size > 0, size, 1.0)[:, None]
        place = checks.wrapped(halos.position[host] + offset, halos.boxsize)
        return cls(
            np.concatenate([halos.position, place]), np.concatenate([halos.axis, reference]),
            np.concatenate([np.ones(n), weight]), np.concatenate([np.arange(n), host]),
            np.concatenate([below, kind]), np.concatenate([part, kind_part]),
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.host)

    def of_rows(self, rows: IntArray) -> Places:
        """Some of them."""
        return Places(*(getattr(self, field.name)[rows] for field in fields(self)))

    def moments(
        self, kinds: int, sides: FloatArray, edges: FloatArray, progress: str | None
    ) -> FloatArray:
        """Moments of ordered pairs of different halos in each bin, shape (kinds, kinds, b, 3).

        Parameters
        ----------
        kinds : int
            Number of kinds.
        sides : ndarray, shape (3,)
            Of the box, Mpc/h.
        edges : ndarray, shape (b + 1,)
            Mpc/h.
        progress : str, optional
            Title of a progress bar.

        Returns
        -------
        ndarray
            As those of `halo_moments`, of references.
        """
        out = np.zeros((kinds, kinds, edges.size - 1, 3))
        call(
            "place_pair_sums", self.position, self.reference, self.weight, self.host,
            self.kind + 1, self.part, len(self), sides, edges, edges.size - 1, kinds, out,
            progress=progress,
        )  # fmt: skip
        return out


def place_sums(
    halos: Any, below: IntArray, part: FloatArray, host: IntArray, kind: IntArray,
    kind_part: FloatArray, weight: FloatArray, offset: FloatArray, kinds: int, edges: FloatArray,
    progress: str | None,
) -> FloatArray:  # fmt: skip
    """`Places.moments` of `Places.of` these."""
    places = Places.of(halos, below, part, host, kind, kind_part, weight, offset)
    return places.moments(kinds, checks.box_sides(halos.boxsize), edges, progress)
