"""Pairs of galaxies in triaxial halos: of one halo by quadrature, of two by places in each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.interpolate import CubicSpline
from scipy.stats import qmc

from pysoftcorr.core.random import stream
from pysoftcorr.mocks.satellites import directions, nfw_radius
from pysoftcorr.mocks.shapes import Shapes, shapes_of
from pysoftcorr.mocks.tabulated.nfw import TERMS, OneHalo, sphere_pairs
from pysoftcorr.mocks.tabulated.pair_sums import place_sums
from pysoftcorr.mocks.tabulated.places import place_numbers
from pysoftcorr.mocks.tabulated.shells import enclosed

__all__ = ["EllipsoidPlaces", "ellipsoid_cumulatives"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

#: Least and most places in a halo, both powers of two.
_FEWEST, _MOST = 2, 4096
#: From so many on, places are reflected at all three planes of the ellipsoid.
_OCTANTS = 8
#: Most shapes of a halo for which they are drawn.
_SHAPES = 64
#: Halos of a cell that are gone through within one halo; the others are like these.
_ENOUGH = 1000
#: Grids of concentration, of ln(c/a) (widest step), of ln(b/a)/ln(c/a), and of distance.
_CONCENTRATIONS, _LOG_RATIO, _BETWEEN, _DISTANCES = 12, 0.2, 5, 200
#: Points between two of concentration and shape, by splines.
_FINER = 4
#: Gauss points of each angle of a satellite from the center.
_FINE = 16
#: Gauss points: of each angle of a separation, of distance on either side of 1, of both radii,
#: and about it: half of these where axes differ by less than a factor.
_ANGLES, _APART, _RADII, _ABOUT, _LONG = 10, 14, 16, 32, 2.5
_CHUNK = 20_000
#: Multiples of it are in no order.
_GOLDEN = 0.6180339887498949


@dataclass(frozen=True, eq=False)
class EllipsoidPlaces:
    """Places of satellites in the ellipsoids of halos, and where they would be in spheres.

    Attributes
    ----------
    host : ndarray, shape (P,)
        Rows of halos, rising.
    weight : ndarray, shape (P,)
        They add up to 1 in each halo.
    sphere, ellipsoid : ndarray, shape (P, 3)
        From the center of the halo, Mpc/h.
    shape_host, shape_weight : ndarray, shape (S,)
        Halos of the shapes, of which there are several where they are drawn.
    b_to_a, c_to_a : ndarray, shape (S,)
    """

    host: IntArray
    weight: FloatArray
    sphere: FloatArray
    ellipsoid: FloatArray
    shape_host: IntArray
    shape_weight: FloatArray
    b_to_a: FloatArray
    c_to_a: FloatArray

    @classmethod
    def of(cls, halos: Any, places: int, seed: int = 0) -> EllipsoidPlaces:
        """Places in all halos, of which each has `places` on average, in proportion to mass.

        They are even in the enclosed mass and over directions (a Sobol sequence, of which each
        halo has a block), with their mirror images about the center or all planes of the halo.
        """
        number = place_numbers(halos.mass, places, _FEWEST, _MOST)
        images = np.where(number < _OCTANTS, 2, 8)
        base = number // images
        # A block of a power of two, at a multiple of it, is even by itself.
        order = np.argsort(-base, kind="stable")
        host = np.repeat(order, base[order])
        which = np.arange(host.size) - np.repeat(np.cumsum(base[order]) - base[order], base[order])
        engine = qmc.Sobol(3, scramble=True, seed=stream(seed, "places in ellipsoids"))
        u = engine.random_base2(max(int(host.size - 1).bit_length(), 1))[: host.size]
        sphere = (
            directions(u[:, 1], u[:, 2]) * nfw_radius(u[:, 0], halos.concentration[host])[:, None]
        )
        shapes = _drawn(halos, host, which, seed)
        times = images[host]
        first = np.repeat(np.arange(host.size), times)
        image = np.arange(first.size) - np.repeat(np.cumsum(times) - times, times)
        mirror = 1.0 - 2.0 * ((image[:, None] >> np.arange(3)) & 1)
        mirror[times[first] == 2] = (1.0 - 2.0 * image[times[first] == 2])[:, None]
        scaled = sphere[first] * mirror * halos.radius[host[first], None]
        shapes = Shapes(*(values[first] for values in shapes))
        away = shapes.stretched(scaled)
        round_ = np.einsum("ni,nij->nj", scaled, shapes.frame)
        rows = host[first]
        by_host = np.argsort(rows, kind="stable")
        some = (which < _SHAPES) if _is_drawn(halos) else (which == 0)
        of_shape, kept = host[some], np.flatnonzero(some)
        weight = 1.0 / np.bincount(of_shape, minlength=len(number))[of_shape]
        chosen = np.searchsorted(first, kept)  # the first image of each
        return cls(
            rows[by_host], (1.0 / number[rows])[by_host], round_[by_host], away[by_host],
            of_shape, weight, shapes.b_to_a[chosen], shapes.c_to_a[chosen],
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.host)

    def of_rows(self, rows: IntArray, halos: int) -> EllipsoidPlaces:
        """Places in these of the halos, numbered anew."""
        number = np.full(halos, -1)
        number[rows] = np.arange(len(rows))
        host, shape = number[self.host], number[self.shape_host]
        a, b = host >= 0, shape >= 0
        return EllipsoidPlaces(
            host[a], self.weight[a], self.sphere[a], self.ellipsoid[a], shape[b],
            self.shape_weight[b], self.b_to_a[b], self.c_to_a[b],
        )  # fmt: skip

    def one_halo(self, halos: Any, cell: IntArray, cells: int, edges: FloatArray) -> OneHalo:
        """Pairs within the halos of each cell of mass."""
        # Of many halos of a cell some are enough.
        order = np.lexsort((self.shape_host * _GOLDEN % 1, cell[self.shape_host]))
        of_cell = cell[self.shape_host[order]]
        start = np.searchsorted(of_cell, of_cell)
        kept = np.sort(order[np.arange(order.size) - start < _ENOUGH])
        host, weight = self.shape_host[kept], self.shape_weight[kept]
        there = np.bincount(cell[host], weights=weight, minlength=cells)
        every = np.bincount(cell, minlength=cells)
        weight = weight * (every / np.maximum(there, 1e-300))[cell[host]]
        shape = self.b_to_a[kept], self.c_to_a[kept]
        table = _Table.of(halos.concentration[host], halos.radius[host], *shape, edges)
        bins = edges.size - 1
        sums = np.zeros((5, cells, bins))
        for k in range(0, host.size, _CHUNK):
            some = slice(k, k + _CHUNK)
            rows = host[some]
            found = table.within(
                halos.concentration[rows], halos.radius[rows], shape[0][some], shape[1][some], edges
            )
            found = np.diff(found, axis=1) * weight[some, None, None]
            for term in range(5):
                for b in range(bins):
                    sums[term, :, b] += np.bincount(
                        cell[rows], weights=found[:, b, term], minlength=cells
                    )
        central, axis, pairs, along, axes = sums
        return OneHalo(central, axis, axis.copy(), pairs, along, axes)

    def two_halo(
        self, halos: Any, below: IntArray, part: FloatArray, nodes: int, edges: FloatArray,
        progress: str | None,
    ) -> FloatArray:  # fmt: skip
        """What ellipsoids add to the forms `TERMS` of spheres, shape (10, K, K, b).

        The same places are taken in both, so that hardly any of their noise is left.
        """
        found = [
            place_sums(
                halos, below, part, nodes, self.host, below[self.host] + nodes, part[self.host],
                self.weight, offset, 2 * nodes, edges, progress,
            )
            for offset in (self.ellipsoid, self.sphere)
        ]  # fmt: skip
        d = found[0] - found[1]
        c, s = slice(0, nodes), slice(nodes, None)
        term = {name: np.zeros((nodes, nodes, edges.size - 1)) for name in TERMS}
        term["n_cs"], term["ac_cs"], term["h_cs"] = np.moveaxis(d[c, s], 3, 0)
        term["as_cs"] = d[s, c, :, 1].transpose(1, 0, 2)
        term["n_ss"], term["a_ss"], term["h_ss"] = np.moveaxis(d[s, s], 3, 0)
        return np.stack([term[name] for name in TERMS])


def _is_drawn(halos: Any) -> bool:
    return any(getattr(halos, name, None) is None for name in ("b_to_a", "c_to_a", "minor_axis"))


def _drawn(halos: Any, host: IntArray, which: IntArray, seed: int) -> Shapes:
    """Shapes of halos, drawn anew for each of their places where the catalog lacks them."""
    if not _is_drawn(halos):
        return shapes_of(halos, host, seed)
    frame, b_to_a, c_to_a = np.empty((host.size, 3, 3)), np.empty(host.size), np.empty(host.size)
    which = which % _SHAPES
    order = np.argsort(which, kind="stable")
    for draw, rows in enumerate(np.split(order, np.flatnonzero(np.diff(which[order])) + 1)):
        found = shapes_of(halos, host[rows], seed + draw)
        frame[rows], b_to_a[rows], c_to_a[rows] = found
    return Shapes(frame, b_to_a, c_to_a)


# ---------------------------------------------------------------------- within one halo
def _lengths(b_to_a: FloatArray, c_to_a: FloatArray) -> FloatArray:
    """Half axes of ellipsoids of volume 1 (in that of the sphere), shape (..., 3)."""
    a = np.cbrt(b_to_a * c_to_a)
    return np.stack([1 / a, b_to_a / a, c_to_a / a], axis=-1)


def _gauss(number: int, low: float, high: float) -> tuple[FloatArray, FloatArray]:
    x, w = np.polynomial.legendre.leggauss(number)
    return (low + high) / 2 + x * (high - low) / 2, w * (high - low) / 2


def _octant(angles: int) -> tuple[FloatArray, FloatArray]:
    """Directions (D, 3) in an octant, and their weights."""
    cos, of_cos = _gauss(angles, 0, 1)
    phi, of_phi = _gauss(angles, 0, np.pi / 2)
    z, p = (x.ravel() for x in np.meshgrid(cos, phi, indexing="ij"))
    s = np.sqrt(1 - z * z)
    return np.stack([z, s * np.cos(p), s * np.sin(p)], axis=1), np.outer(
        of_cos, of_phi / (np.pi / 2)
    ).ravel()


class _Apart:
    """Pairs of points of a sphere at some distances along directions, by their two radii.

    With S = r1 + r2 and T = r1 - r2 the distribution at a distance w is r1 r2 rho(r1) rho(r2)
    over w < S < 2 - |T| and |T| < min(w, 2 - w).
    """

    def __init__(self, c: FloatArray, direction: FloatArray) -> None:
        # Means have a kink at 1, beyond which the surface cuts pairs off.
        t = _gauss(_APART, 0, 1)[0]
        self.w: FloatArray = np.concatenate([t**2, 1 + t**2])
        x, of_x = _gauss(_RADII, -1, 1)
        y, of_y = _gauss(_RADII, 0, 1)
        w = self.w[:, None, None]
        # Points are dense where one of the two is at the center.
        widest = np.minimum(w, 2 - w)
        apart = widest * np.sin(np.pi / 2 * x[:, None])
        most = 2 - np.abs(apart)
        total = w + (most - w) * y**2
        measure = widest * np.cos(np.pi / 2 * x[:, None]) * of_x[:, None]
        measure = measure * (most - w) * y * of_y
        r1, r2 = (total + apart) / 2, (total - apart) / 2
        self.shape = w.shape[0], -1
        scale = 1 / c[:, None, None, None]
        weight = measure / ((scale + r1) * (scale + r2)) ** 2
        self.weight = weight.reshape(c.size, *self.shape)
        self.weight /= self.weight.sum(axis=2, keepdims=True)
        along = (w * w + r1 * r1 - r2 * r2) / (2 * w)
        beside = np.sqrt(np.maximum(r1 * r1 - along**2, 0))
        self.along, self.beside = (a.reshape(self.shape) for a in (along, beside))
        self.direction = direction
        least = np.eye(3)[np.abs(direction).argmin(axis=1)]
        e = np.cross(direction, least)
        e /= np.linalg.norm(e, axis=1)[:, None]
        f = np.cross(direction, e)
        phi = 2 * np.pi * (np.arange(_ABOUT) + 0.5) / _ABOUT
        self.turn = np.cos(phi)[:, None, None] * e + np.sin(phi)[:, None, None] * f

    def interpolated(self, lengths: FloatArray, at: FloatArray) -> FloatArray:
        """`moments` at rising distances `at`."""
        known = self.moments(lengths)
        near = at < 1
        return np.concatenate(
            [
                CubicSpline(self.w[part], known[:, :, part], axis=2)(x)
                for part, x in (
                    (slice(None, _APART), at[near]),
                    (slice(_APART, None), at[~near]),
                )
            ],
            axis=2,
        )

    def moments(self, lengths: FloatArray) -> FloatArray:
        """Means (2, c, w, D) of (d . D)^2 - 1/3 and (d . d')^2 - 1/3 in an ellipsoid."""
        out = np.empty((2, self.weight.shape[0], self.w.size, len(self.direction)))
        about = self.turn if lengths.max() > _LONG * lengths.min() else self.turn[::2]
        for k, h in enumerate(self.direction):
            D = h * lengths
            size = np.linalg.norm(D)
            q = np.zeros((2, *self.along.shape))
            for turn in about[:, k]:
                x = [self.along * h[i] + self.beside * turn[i] for i in range(3)]
                y = [x[i] - self.w[:, None] * h[i] for i in range(3)]
                x, y = ([v[i] * lengths[i] for i in range(3)] for v in (x, y))
                xx, yy = (np.maximum(sum(a * a for a in v), 1e-30) for v in (x, y))
                xD = sum(a * b for a, b in zip(x, D, strict=True)) / size
                xy = sum(a * b for a, b in zip(x, y, strict=True))
                q[0] += xD**2 / xx
                q[1] += xy**2 / (xx * yy)
            q = q / len(about) - 1 / 3
            out[..., k] = np.einsum("cwn,qwn->qcw", self.weight, q)
        return out


def ellipsoid_cumulatives(
    c: FloatArray, b_to_a: FloatArray, c_to_a: FloatArray, x: FloatArray
) -> FloatArray:
    """Sums within a separation, of pairs of one halo of radius 1.

    Parameters
    ----------
    c : ndarray, shape (C,)
        Concentrations.
    b_to_a, c_to_a : ndarray, shape (S,)
    x : ndarray, shape (X,)
        Separations, above 0.

    Returns
    -------
    ndarray, shape (C, S, X, 5)
        Of the center and a satellite: 1, and (a . d)^2 - 1/3 of the major axis and the direction
        of the satellite, which is that of the separation; of two satellites: 1, (d . D)^2 - 1/3
        and (d . d')^2 - 1/3.

    Notes
    -----
    The separation of two points of an ellipsoid is that of two of a sphere, stretched.
    """
    direction, share = _octant(_ANGLES)
    fine, of_fine = _octant(_FINE)
    pairs = _Apart(c, direction)
    knots, inside = sphere_pairs(c, min(2e-3, float(x.min()) / 4))
    number = CubicSpline(np.log(knots), inside, axis=1)
    # The first step is from 0, each other one in three.
    at = np.interp(np.arange(3 * knots.size - 2) / 3, np.arange(knots.size), np.log(knots))
    middle = np.exp(np.concatenate([[at[0] - 0.5], (at[:-1] + at[1:]) / 2]))
    steps = np.diff(number(at), axis=1, prepend=0)
    out = np.empty((c.size, b_to_a.size, x.size, 5))
    for k, lengths in enumerate(_lengths(b_to_a, c_to_a)):
        # The profile ends at the surface, where fine angles are wanted.
        size = np.sqrt(((fine * lengths) ** 2).sum(axis=1))
        major = (fine[:, 0] * lengths[0] / size) ** 2 - 1 / 3
        central = enclosed(x[:, None] / size, c[:, None, None])
        out[:, k, :, 0], out[:, k, :, 1] = central @ of_fine, central @ (of_fine * major)
        size = np.sqrt(((direction * lengths) ** 2).sum(axis=1))
        scaled = x[:, None] / size  # X, D
        at = np.log(np.clip(scaled, knots[0], knots[-1]))
        small = np.minimum(scaled / knots[0], 1.0) ** 3
        out[:, k, :, 2] = (number(at) * small) @ share
        q = pairs.interpolated(lengths, middle)  # 2, c, knots, D
        sums = np.cumsum(steps[None, :, :, None] * q, axis=2)[:, :, ::3]
        out[:, k, :, 3:] = 0
        for d in range(len(direction)):
            value = CubicSpline(np.log(knots), sums[..., d], axis=2)(at[:, d]) * small[:, d]
            out[:, k, :, 3:] += share[d] * np.moveaxis(value, 0, 2)
    return out


@dataclass(frozen=True, eq=False)
class _Table:
    """`ellipsoid_cumulatives` on a grid of concentration, shape and distance."""

    log_c: FloatArray
    log_ratio: FloatArray
    between: FloatArray
    log_x: FloatArray
    values: FloatArray  # c, ratio, between, x, 5

    @classmethod
    def of(
        cls, c: FloatArray, radius: FloatArray, b_to_a: FloatArray, c_to_a: FloatArray,
        edges: FloatArray,
    ) -> _Table:  # fmt: skip
        log_c = _spanned(np.log(c), number=_CONCENTRATIONS)
        log_ratio = _spanned(np.log(c_to_a), step=_LOG_RATIO)
        between = np.linspace(0, 1, _BETWEEN)
        ratio, part = (a.ravel() for a in np.meshgrid(log_ratio, between, indexing="ij"))
        low = min(2e-3, 0.5 * float(edges[edges > 0][0] / radius.max()))
        stretch = float(_lengths(np.exp(ratio * part), np.exp(ratio)).max())
        log_x = np.linspace(np.log(low), np.log(2 * stretch), _DISTANCES)
        values = ellipsoid_cumulatives(
            np.exp(log_c), np.exp(ratio * part), np.exp(ratio), np.exp(log_x)
        )
        values = values.reshape(log_c.size, log_ratio.size, _BETWEEN, log_x.size, 5)
        # Straight lines between these points would cost up to a percent of omega.
        fine = [
            np.linspace(grid[0], grid[-1], _FINER * (grid.size - 1) + 1)
            for grid in (log_c, log_ratio, between)
        ]
        for axis, (grid, points) in enumerate(zip((log_c, log_ratio, between), fine, strict=True)):
            values = CubicSpline(grid, values, axis=axis)(points)
        return cls(fine[0], fine[1], fine[2], log_x, values)

    def within(
        self, c: FloatArray, radius: FloatArray, b_to_a: FloatArray, c_to_a: FloatArray,
        edges: FloatArray,
    ) -> FloatArray:  # fmt: skip
        """Sums within each edge of each halo, shape (n, edges, 5)."""
        ratio = np.log(c_to_a)
        between = np.divide(np.log(b_to_a), ratio, out=np.zeros_like(ratio), where=ratio < -1e-9)
        corners = [
            _linear(np.log(c), self.log_c),
            _linear(ratio, self.log_ratio),
            _linear(np.clip(between, 0, 1), self.between),
        ]
        scaled = edges / radius[:, None]
        at = (np.log(np.clip(scaled, np.exp(self.log_x[0]), None)) - self.log_x[0]) / (
            self.log_x[1] - self.log_x[0]
        )
        at = np.minimum(at, self.log_x.size - 1.0)
        first = np.clip(at.astype(np.int64) - 1, 0, self.log_x.size - 4)
        t = at - first
        cubic = [
            -(t - 1) * (t - 2) * (t - 3) / 6,
            t * (t - 2) * (t - 3) / 2,
            -t * (t - 1) * (t - 3) / 2,
            t * (t - 1) * (t - 2) / 6,
        ]
        flat = self.values.reshape(-1, 5)
        size = self.values.shape
        out = np.zeros((*scaled.shape, 5))
        for i in (0, 1):
            for j in (0, 1):
                for k in (0, 1):
                    (a, p), (b, q), (d, r) = (
                        (low + up, part if up else 1 - part)
                        for (low, part), up in zip(corners, (i, j, k), strict=True)
                    )
                    place = ((a * size[1] + b) * size[2] + d) * size[3]
                    weight = (p * q * r)[:, None]
                    for m in range(4):
                        out += (weight * cubic[m])[..., None] * flat[place[:, None] + first + m]
        return out * np.minimum(scaled / np.exp(self.log_x[0]), 1.0)[..., None] ** 2


def _spanned(values: FloatArray, *, number: int = 0, step: float = 0.0) -> FloatArray:
    """Even points over the range of values."""
    low, high = float(values.min()), float(values.max())
    if step:
        number = int(np.ceil((high - low) / step)) + 2
    return np.linspace(low, max(high, low + 1e-6), number)


def _linear(values: FloatArray, grid: FloatArray) -> tuple[IntArray, FloatArray]:
    """Point of an even grid below, and the part of the one above."""
    at = np.clip((values - grid[0]) / (grid[1] - grid[0]), 0, grid.size - 1)
    low = np.minimum(at.astype(np.int64), grid.size - 2)
    return low, at - low
