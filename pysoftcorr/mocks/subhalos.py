"""Subhalos of the host halos of a catalog: where satellites may live."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr.core.checks import Origin, as_float
from pysoftcorr.mocks import checks

__all__ = ["Subhalos"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


class Subhalos:
    """Subhalos, each with the row of the host halo in its catalog.

    Parameters
    ----------
    position : array_like, shape (M, 3)
        Comoving Mpc/h, in the box of the hosts.
    mass : array_like, shape (M,)
        Msun/h, by which the subhalos of a host are ranked, the heaviest first: the mass at
        infall or the largest one, where the catalog has it.
    host : array_like of int, shape (M,)
        Row of the host halo in the catalog that the subhalos belong to, from 0.
    velocity : array_like, shape (M, 3), optional
        Peculiar velocities, km/s.

    Attributes
    ----------
    position, mass, velocity : ndarray of float64
    host : ndarray of int64
        Sorted by host, and by falling mass within a host.

    Raises
    ------
    ValueError
        If columns differ in length, hold NaN, or masses are not those of halos in Msun/h.
    TypeError
        If a column is of the wrong kind.

    Examples
    --------
    >>> from pysoftcorr.mocks.subhalos import Subhalos
    >>> found = Subhalos([[1, 1, 1], [2, 2, 2], [3, 3, 3]], [1e10, 3e10, 2e11], [4, 4, 0])
    >>> found.host.tolist(), found.mass.tolist(), found.rank.tolist()
    ([0, 4, 4], [200000000000.0, 30000000000.0, 10000000000.0], [1, 1, 2])
    """

    def __init__(self, position: Any, mass: Any, host: Any, *, velocity: Any = None) -> None:
        origin = Origin()
        place = checks.vectors("position of subhalos", position)
        weight = as_float("mass of subhalos", mass, origin)[0]
        row = checks.column("host of subhalos", host, np.int64)
        columns = {"position of subhalos": place, "mass of subhalos": weight}
        if velocity is not None:
            columns["velocity of subhalos"] = checks.vectors("velocity of subhalos", velocity)
        lengths = {name: len(values) for name, values in (*columns.items(), ("host", row))}
        if len(set(lengths.values())) > 1:
            listed = ", ".join(f"{name} {n}" for name, n in lengths.items())
            raise ValueError(f"columns differ in length: {listed}")
        if len(row):
            checks.finite(columns, origin)
            bad = np.flatnonzero(~(weight > 0))
            if bad.size:
                raise ValueError(
                    f"mass of subhalos must be above 0 Msun/h; it is not in "
                    f"{origin.show(bad, weight)}"
                )
            bad = np.flatnonzero(row < 0)
            if bad.size:
                raise ValueError(
                    f"host of subhalos must be rows of the halo catalog, from 0; it is not in "
                    f"{origin.show(bad, row)}"
                )
        order = np.lexsort((-weight, row))
        self.position: FloatArray = np.ascontiguousarray(place[order])
        self.mass: FloatArray = weight[order]
        self.host: IntArray = row[order]
        self.velocity: FloatArray | None = (
            None
            if velocity is None
            else np.ascontiguousarray(columns["velocity of subhalos"][order])
        )

    def __len__(self) -> int:
        return len(self.mass)

    def __repr__(self) -> str:
        return f"<Subhalos: {len(self)} in {len(np.unique(self.host))} halos>"

    def __eq__(self, other: object) -> bool:
        """Whether every number is the same."""
        if not isinstance(other, Subhalos):
            return NotImplemented
        names = ("position", "mass", "host", "velocity")
        return all(_same(getattr(self, n), getattr(other, n)) for n in names)

    __hash__ = None  # type: ignore[assignment]

    @property
    def rank(self) -> IntArray:
        """Place of each subhalo in its host by mass, from 1, shape (M,)."""
        first = np.searchsorted(self.host, self.host)
        return np.arange(len(self)) - first + 1

    def of_rows(self, index: IntArray) -> Subhalos:
        """Subhalos of the hosts at these rows, with hosts numbered as `index` has them.

        A row that occurs twice takes its subhalos along twice.
        """
        start = np.searchsorted(self.host, index, side="left")
        number = np.searchsorted(self.host, index, side="right") - start
        host = np.repeat(np.arange(len(index)), number)
        before = np.repeat(np.cumsum(number) - number, number)
        rows = np.repeat(start, number) + np.arange(host.size) - before
        return Subhalos(
            self.position[rows],
            self.mass[rows],
            host,
            velocity=None if self.velocity is None else self.velocity[rows],
        )


def _same(one: FloatArray | None, other: FloatArray | None) -> bool:
    if one is None or other is None:
        return one is other
    return np.array_equal(one, other)
