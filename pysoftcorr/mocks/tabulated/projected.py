"""Tables of one box for wp, w_g+ and w_++: pairs in bins of rp, within pi_max of one another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.interpolate import CubicSpline

from pysoftcorr._julia import call
from pysoftcorr.core.options import choice, number
from pysoftcorr.mocks import checks
from pysoftcorr.mocks.anisotropic import DEFAULT_PI_MAX, TURNED, named_edges
from pysoftcorr.mocks.tabulated.nfw import TERMS, ProfileGrid, profiles
from pysoftcorr.mocks.tabulated.shells import enclosed, radial_grid, separation_steps
from pysoftcorr.mocks.tabulated.sky_kernels import (
    Pairs,
    SkyKernels,
    pair_shells,
    sky_parts,
    sky_shells,
)
from pysoftcorr.sky.binning import Bins

__all__ = ["ProjectedBox", "Projection", "SkyGrid"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

#: Distances from a limit of |pi|, in twice the largest radius, between which the part of the pairs
#: that cross it is linear; and the steps of rp there, since as many come in as go out.
_OFFSETS = np.array([0, 1, 2, 4, 6, 8, 12, 16, 24, 32, 64]) / 64
_COARSE = 0.1
#: Of the lesser of the first edge and the smallest radius: shells of satellites begin here.
_CENTER = 0.02
#: Shells of the distance of two satellites, as they are tabulated and as they are projected.
_SEPARATIONS, _FINE, _SHELLS = 200, 1500, 120


@dataclass(frozen=True, eq=False)
class Projection:
    """What is fixed when projected correlations are tabulated.

    Attributes
    ----------
    edges : ndarray, shape (b + 1,)
        Edges of the bins of rp, Mpc/h.
    pi_max : float
        Mpc/h.
    line_of_sight : {"z", "x", "y"}
    """

    edges: FloatArray
    pi_max: float
    line_of_sight: str

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Projection):
            return NotImplemented
        return (
            np.array_equal(self.edges, other.edges)
            and self.pi_max == other.pi_max
            and self.line_of_sight == other.line_of_sight
        )

    __hash__ = None  # type: ignore[assignment]

    @classmethod
    def of(
        cls, rp_bins: Bins | None, pi_max: float | None, line_of_sight: str
    ) -> Projection | None:
        """From the options of `HaloTables.tabulate`; None without bins.

        Raises
        ------
        ValueError, TypeError
            If there are no such bins, length or line of sight, or any of them without bins.
        """
        choice("line_of_sight", line_of_sight, TURNED)
        most = DEFAULT_PI_MAX if pi_max is None else number("pi_max", pi_max, above=0)
        if rp_bins is None:
            if pi_max is not None or line_of_sight != "z":
                name, value = ("line_of_sight", repr(line_of_sight))
                if pi_max is not None:
                    name, value = ("pi_max", f"{pi_max:g}")
                raise ValueError(
                    f"{name} = {value}: must come with bins of wp, such as "
                    "rp_bins = 'log:0.1:16:20'"
                )
            return None
        return cls(named_edges("rp_bins", rp_bins), float(most), line_of_sight)

    @property
    def rp(self) -> FloatArray:
        """Geometric centers of the bins, Mpc/h; an edge at 0 counts as a quarter of the next."""
        low = np.where(self.edges[:-1] > 0, self.edges[:-1], self.edges[1:] / 4)
        return np.asarray(np.sqrt(low * self.edges[1:]))


@dataclass(frozen=True, eq=False)
class ProjectedBox:
    """Sums over the halos of one box, in bins of rp.

    Attributes
    ----------
    one_halo : ndarray, shape (5, cells, b)
        Sums over halos of the part of satellites in a bin from the center, of sin^2 there of the
        angle with the line of sight (e_+ of their directions), of the part of pairs of two
        satellites, and of e_+ of the first and e_+ e_+' of both.
    forms : ndarray, shape (10, K, K, b)
        As `pysoftcorr.mocks.tabulated.nfw.TERMS`, with e_+ for the axis and e_+ e_+' for both.
    """

    one_halo: FloatArray
    forms: FloatArray


class SkyGrid:
    """What the tables of several boxes share about a line of sight.

    Parameters
    ----------
    projection : Projection
    nodes : int
        Nodes of mass, of all groups.
    least, most : float
        Radii of the smallest and of the largest halo, Mpc/h.
    """

    def __init__(self, projection: Projection, nodes: int, least: float, most: float) -> None:
        self.projection, self.nodes = projection, nodes
        edges = projection.edges
        self.reach = 2 * most * (1 + 1e-6)
        self.steps = separation_steps(edges, self.reach)
        self.coarse = separation_steps(edges, self.reach, _COARSE)
        self.offsets = self.reach * _OFFSETS
        self.shells = radial_grid(_CENTER * min(float(edges[edges > 0][0]), least), self.reach)
        #: Centers of the shells, of distances in space and on the sky.
        self.distance = np.concatenate(
            [[self.shells[1] / 2], np.sqrt(self.shells[1:-1] * self.shells[2:])]
        )

    @property
    def rows(self) -> int:
        """Steps of separation, and coarse ones at each offset from the limits."""
        return self.steps.size - 1 + (self.coarse.size - 1) * (self.offsets.size - 1)

    @property
    def gigabytes(self) -> float:
        """GB that the moments of pairs take."""
        return 2 * 24e-9 * self.nodes**2 * self.rows + 0.6

    def tabulate(
        self, halos: Any, kind: IntArray, part: FloatArray, cell: IntArray, cells: int,
        progress: str | None,
    ) -> ProjectedBox:  # fmt: skip
        """Tables of one box.

        Parameters
        ----------
        kind, part : ndarray, shape (N,)
            Node below each halo, and the part of the node above.
        cell : ndarray, shape (N,)
            Cell of mass of each halo.
        """
        self._fits(checks.box_sides(halos.boxsize))
        moments = self._moments(halos, kind, part, progress)
        forms = self._two_halo(profiles(halos, kind, part, self.nodes, self.shells), moments)
        one = sky_one_halo(halos, cell, cells, self.projection.edges, self.projection.pi_max)
        return ProjectedBox(one, forms)

    def _fits(self, sides: FloatArray) -> None:
        turned = sides[TURNED[self.projection.line_of_sight]]
        across, along = float(turned[:2].min()), float(turned[2])
        needed = float(self.projection.edges[-1] + self.reach)
        if needed > across / 2:
            raise ValueError(
                f"rp_bins: pairs of halos are needed to {needed:.4g} Mpc/h, the last edge and "
                "twice the largest halo radius, which must be at most half of the shorter side of "
                f"the sky, {across / 2:g} Mpc/h; lower the last edge, or take a larger box"
            )
        if self.projection.pi_max > along / 2:
            raise ValueError(
                f"pi_max = {self.projection.pi_max:g}: must be at most half of the side along the "
                f"line of sight, {along / 2:g} Mpc/h"
            )

    def _moments(
        self, halos: Any, kind: IntArray, part: FloatArray, progress: str | None
    ) -> FloatArray:
        """Moments of pairs of halos, shape (K, K, rows, 3)."""
        turn = TURNED[self.projection.line_of_sight]
        sides = checks.box_sides(halos.boxsize)[turn]
        # At exactly half a side a pair has two images, of which neither is the nearest.
        pi_max = min(self.projection.pi_max, float(np.nextafter(sides[2] / 2, 0)))
        out = np.zeros((self.nodes, self.nodes, self.rows, 3))
        call(
            "sight_hat_pair_sums", np.ascontiguousarray(halos.position[:, turn]),
            np.ascontiguousarray(halos.axis[:, turn]), kind + 1, np.ascontiguousarray(part),
            len(kind), np.ascontiguousarray(sides), self.steps, self.steps.size, self.coarse,
            self.coarse.size, self.offsets, self.offsets.size, pi_max, self.nodes, out,
            progress=progress,
        )  # fmt: skip
        return out

    def _two_halo(self, profile: FloatArray, moments: FloatArray) -> FloatArray:
        """Forms of pairs of galaxies of different halos, shape (10, K, K, b)."""
        edges, nodes, fine = self.projection.edges, self.nodes, self.steps.size - 1
        out = np.zeros((len(TERMS), nodes, nodes, edges.size - 1))
        hard = moments[:, :, :fine]
        first = np.searchsorted(self.steps, edges)
        for k, name in enumerate(("n_cc", "a_cc", "h_cc")):
            sums = np.cumsum(hard[..., k], axis=2)
            below = np.concatenate([np.zeros((nodes, nodes, 1)), sums], axis=2)
            out[TERMS.index(name)] = np.diff(below[..., first], axis=2)
        between = self._between(profile)
        kernels = SkyKernels.of(edges, self.steps, self.distance)
        self._convolve(out, hard, profile, between, sky_shells(self.distance, self.shells), kernels)
        planes = moments[:, :, fine:].reshape(nodes, nodes, len(self.offsets) - 1, -1, 3)
        kernels = SkyKernels.of(edges, self.coarse, self.distance)
        for k, offset in enumerate(self.offsets[:-1].tolist()):
            rings = sky_shells(self.distance, self.shells, offset)
            self._convolve(out, planes[:, :, k], profile, between, rings, kernels)
        return out

    def _between(self, profile: FloatArray) -> Pairs:
        """Satellites of every two nodes by their distance if the centers were one, (K, K, Q)."""
        q = self.distance
        tables = Pairs(*(np.zeros((q.size,) * 3) for _ in Pairs._fields))
        for i in range(q.size):
            found = pair_shells(q[:, None], q[i : i + 1], self.shells[:-1], self.shells[1:])
            for table, values in zip(tables, found, strict=True):
                table[i] = values
        return Pairs(*(np.matmul(profile, np.tensordot(profile, t, (1, 0))) for t in tables))

    def _convolve(
        self, out: FloatArray, moments: FloatArray, profile: FloatArray, between: Pairs,
        rings: list[FloatArray], kernels: SkyKernels,
    ) -> None:  # fmt: skip
        """Add pairs with satellites, of halo pairs in steps, to the forms."""
        count, axis = (np.ascontiguousarray(moments[..., k]) for k in range(2))
        # The first of a pair is the central, the second the host of the satellite.
        for name, sums, kernel, power in (
            ("n_cs", count, kernels.number, 0),
            ("ac_cs", axis, kernels.turn, 0),
            ("as_cs", count, kernels.plus, 1),
            ("h_cs", axis, kernels.turn_plus, 1),
        ):
            smooth = np.tensordot(profile @ rings[power], kernel, (1, 1))  # K, steps, b
            found = np.matmul(sums.transpose(1, 0, 2), smooth)
            out[TERMS.index(name)] += found.transpose(1, 0, 2)
        flat = count.reshape(self.nodes**2, -1)
        even, wide, steep = between.plus_plus
        by_kernel = (
            (kernels.number, (("n_ss", between.number, 0), ("h_ss", even, 0), ("h_ss", wide, 1))),
            (kernels.plus, (("a_ss", between.along, 1),)),
            (kernels.plus_plus, (("h_ss", steep, 2),)),
        )
        for kernel, terms in by_kernel:
            on_sky = [
                (TERMS.index(name), pairs.reshape(self.nodes**2, -1) @ rings[power])
                for name, pairs, power in terms
            ]
            for b in range(kernel.shape[2]):
                used = np.flatnonzero(np.abs(kernel[:, :, b]).max(axis=1) > 0)
                values = flat[:, used] @ kernel[used, :, b]
                for place, pairs in on_sky:
                    out[place, ..., b] += np.einsum("mr,mr->m", values, pairs).reshape(
                        self.nodes, -1
                    )


def sky_one_halo(
    halos: Any, cell: IntArray, cells: int, edges: FloatArray, pi_max: float
) -> FloatArray:
    """Pairs within the halos of each cell, as `ProjectedBox.one_halo`.

    Tabulated in concentration and radius; a halo takes its part of four by four neighbors.
    """
    grid = ProfileGrid.of(halos)
    x, center, pairs = _pairs_by_distance(grid.c)
    even, wide, steep = pairs.plus_plus
    bins = edges.size - 1
    values = np.empty((grid.c.size, grid.radius.size, 5, bins))
    for k, radius in enumerate(grid.radius.tolist()):
        part, square, fourth = sky_parts(x * radius, edges, pi_max)
        # In a halo the direction of the pair on the sky is its own: cos2 is 1.
        of_grid = (
            center @ part,
            center @ square,
            pairs.number @ part,
            pairs.along @ square,
            even @ part + wide @ square + steep @ fourth,
        )
        values[:, k] = np.stack(of_grid, axis=1)
    sums = grid.sums(cell, cells, values.reshape(*values.shape[:2], 5 * bins))
    return np.ascontiguousarray(np.moveaxis(sums.reshape(cells, 5, bins), 1, 0))


def _pairs_by_distance(c: FloatArray) -> tuple[FloatArray, FloatArray, Pairs]:
    """Distances in Rvir (X,), satellites there, and pairs of two of them, (concentrations, X)."""
    borders = np.linspace(0, 1, _SHELLS + 1) ** 1.5
    r = (borders[:-1] + borders[1:]) / 2
    share = np.diff(enclosed(borders, c[:, None]), axis=1)  # concentrations, shells
    # In ln of the distance in Rvir; up to 2, where all pairs are within.
    coarse = np.geomspace(2e-3, 2.0, _SEPARATIONS)
    shells = np.concatenate([[0.0], coarse])
    parts = np.empty((c.size, len(Pairs._fields), coarse.size))
    for k in range(coarse.size):
        found = pair_shells(r[:, None], r, shells[k : k + 1], shells[k + 1 : k + 2])
        for moment, of_pair in enumerate(found):
            parts[:, moment, k] = np.einsum("ci,ci->c", share @ of_pair, share)
    within = CubicSpline(np.log(coarse), np.cumsum(parts, axis=2), axis=2)
    fine = np.geomspace(coarse[0] / 10, 2.0, _FINE)
    # Below the first point the number goes with the volume.
    volume = np.minimum(fine / coarse[0], 1.0) ** 3
    below = within(np.log(np.clip(fine, coarse[0], 2.0))) * volume
    sums = np.diff(below, axis=2, prepend=0.0)
    edges = np.concatenate([[0.0], fine])
    x = np.concatenate([[fine[0] / 2], np.sqrt(fine[:-1] * fine[1:])])
    center = np.diff(enclosed(edges, c[:, None]), axis=1)
    return x, center, Pairs(*(sums[:, k] for k in range(len(Pairs._fields))))
