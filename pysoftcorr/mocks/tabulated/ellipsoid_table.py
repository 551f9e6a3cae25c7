"""Pairs within triaxial halos by concentration, shape and distance: a table, and a shipped one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.interpolate import CubicSpline

from pysoftcorr.core.files import FileFormat
from pysoftcorr.mocks.tabulated.ellipsoid_pairs import axis_lengths, ellipsoid_cumulatives

__all__ = ["EllipsoidTable", "PairGrid"]

FloatArray = npt.NDArray[np.float64]
SingleArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

FORMAT = FileFormat("pysoftcorr ellipsoids", "table of pairs within ellipsoids")

#: Widest steps of ln(concentration), of ln(c/a) and of ln(distance); points of ln(b/a)/ln(c/a).
_STEPS, _BETWEEN = (0.32, 0.2, 0.046), 5
#: What the shipped grid covers: concentrations, least c/a, least distance over the halo radius.
_COVERED = (1.0, 200.0), 0.1, 1e-3
#: Points between two of concentration and shape, by splines: straight lines between those of the
#: grid would cost up to a percent of omega.
_FINER = 4
#: Points of the grid beyond a catalog's that its splines know of.
_MARGIN = 3
#: Multiples of these fill a cube evenly (the sequence R3 of Roberts 2018).
_EVEN = 1 / 1.2207440846057596 ** np.arange(1, 4)


@dataclass(frozen=True, eq=False)
class PairGrid:
    """`ellipsoid_cumulatives` on a grid of concentration, shape and distance.

    Attributes
    ----------
    log_c : ndarray, shape (C,)
    log_ratio : ndarray, shape (R,)
        ln(c/a), rising.
    between : ndarray, shape (B,)
        ln(b/a)/ln(c/a), from 0 to 1.
    log_x : ndarray, shape (X,)
        ln of distances in radii of the halo.
    values : ndarray of float32, shape (C, R, B, X, 5)
    """

    log_c: FloatArray
    log_ratio: FloatArray
    between: FloatArray
    log_x: FloatArray
    values: SingleArray

    @classmethod
    def make(cls, c: tuple[float, float], c_to_a: tuple[float, float], least: float) -> PairGrid:
        """Integrals for these ranges, for distances from `least` on: a CPU second a shape."""
        log_c, log_ratio = (
            _spanned(float(np.log(low)), float(np.log(high)), step)
            for (low, high), step in zip((c, c_to_a), _STEPS, strict=False)
        )
        between = np.linspace(0, 1, _BETWEEN)
        ratio, part = (a.ravel() for a in np.meshgrid(log_ratio, between, indexing="ij"))
        most = 2.0002 * float(axis_lengths(np.exp(ratio * part), np.exp(ratio)).max())
        log_x = _spanned(np.log(least), np.log(most), _STEPS[2])
        # Of spheres, whatever b/a stands for.
        first = np.flatnonzero((ratio < -1e-9) | (part == 0))
        values = ellipsoid_cumulatives(
            np.exp(log_c), np.exp(ratio * part)[first], np.exp(ratio)[first], np.exp(log_x)
        )
        of_shape = np.searchsorted(first, np.arange(ratio.size), side="right") - 1
        shape = (log_c.size, log_ratio.size, _BETWEEN, log_x.size, 5)
        return cls(
            log_c, log_ratio, between, log_x,
            values[:, of_shape].reshape(shape).astype(np.float32),
        )  # fmt: skip

    @classmethod
    def shipped(cls) -> PairGrid:
        """The one of the package: concentrations 1 to 200, c/a from 0.1, distances from 0.001."""
        return _shipped()

    @classmethod
    def read(cls, path: Path) -> PairGrid:
        """Inverse of `write`; raises as `FileFormat.reading`."""
        with FORMAT.reading(path) as file:
            names = ("log_c", "log_ratio", "between", "log_x", "values")
            return cls(*(file[name][...] for name in names))

    def write(self, path: Path) -> None:
        """Write an HDF5 file, whole or not at all."""
        with FORMAT.writing(path, overwrite=True) as file:
            for name in ("log_c", "log_ratio", "between", "log_x"):
                file[name] = getattr(self, name)
            file.create_dataset(
                "values", data=self.values, compression="gzip", compression_opts=9, shuffle=True
            )


@lru_cache(maxsize=1)
def _shipped() -> PairGrid:
    with as_file(files("pysoftcorr.data") / "ellipsoids.h5") as path:
        return PairGrid.read(path)


@dataclass(frozen=True, eq=False)
class EllipsoidTable:
    """A `PairGrid` about the halos of a catalog, finer in concentration and shape."""

    log_c: FloatArray
    log_ratio: FloatArray
    between: FloatArray
    log_x: FloatArray
    values: SingleArray

    @classmethod
    def of(
        cls, c: FloatArray, radius: FloatArray, b_to_a: FloatArray, c_to_a: FloatArray, edge: float
    ) -> EllipsoidTable:
        """Table for halos of these concentrations, radii and shapes, from the distance `edge` on.

        The shipped grid is taken where it covers them; integrals of others take a minute.
        """
        of_c, of_shape = ((float(x.min()), float(x.max())) for x in (c, c_to_a))
        least = 0.5 * edge / float(radius.max())
        (low, high), ratio, nearest = _COVERED
        if low <= of_c[0] and of_c[1] <= high and ratio <= of_shape[0] and nearest <= least:
            grid = PairGrid.shipped()
        else:
            grid = PairGrid.make(of_c, of_shape, min(least, 2 * nearest))
        values = grid.values
        fine = []
        known = (grid.log_c, of_c), (grid.log_ratio, of_shape), (grid.between, (1.0, np.e))
        for axis, (points, span) in enumerate(known):
            first, last = np.searchsorted(points, np.log(span))
            kept = slice(max(first - _MARGIN, 0), last + _MARGIN)
            some = points[kept]
            finer = np.linspace(some[0], some[-1], _FINER * (some.size - 1) + 1)
            # A spline is linear in what it goes through.
            matrix = CubicSpline(some, np.eye(some.size))(finer).astype(np.float32)
            part = np.moveaxis(values, axis, 0)[kept]
            values = np.moveaxis(np.tensordot(matrix, part, (1, 0)), 0, axis)
            fine.append(finer)
        return cls(fine[0], fine[1], fine[2], grid.log_x, np.ascontiguousarray(values))

    def within(
        self, c: FloatArray, b_to_a: FloatArray, c_to_a: FloatArray, distance: FloatArray, *,
        first: int | None = None,
    ) -> FloatArray:  # fmt: skip
        """Sums within some distances of each halo.

        Parameters
        ----------
        c, b_to_a, c_to_a : ndarray, shape (n,)
        distance : ndarray, shape (n, e)
            In radii of each halo.
        first : int, optional
            Take one of the eight points about each halo, such that means over many halos are those
            of straight lines between the points: the choice is that of the halos numbered from here
            in an even sequence. By default all eight are taken.

        Returns
        -------
        ndarray, shape (n, e, 5)
        """
        ratio = np.log(c_to_a)
        between = np.divide(np.log(b_to_a), ratio, out=np.zeros_like(ratio), where=ratio < -1e-9)
        corners = [
            _linear(np.log(c), self.log_c),
            _linear(ratio, self.log_ratio),
            _linear(np.clip(between, 0, 1), self.between),
        ]
        step = self.log_x[1] - self.log_x[0]
        at = (np.log(np.clip(distance, np.exp(self.log_x[0]), None)) - self.log_x[0]) / step
        at = np.minimum(at, self.log_x.size - 1.0)
        below = np.clip(at.astype(np.int64) - 1, 0, self.log_x.size - 4)
        t = at - below
        cubic = [
            -(t - 1) * (t - 2) * (t - 3) / 6,
            t * (t - 2) * (t - 3) / 2,
            -t * (t - 1) * (t - 3) / 2,
            t * (t - 1) * (t - 2) / 6,
        ]
        flat = self.values.reshape(-1, 5)
        size = self.values.shape
        out = np.zeros((*distance.shape, 5))
        for picked in self._picked(corners, first):
            (a, p), (b, q), (d, r) = picked
            place = ((a * size[1] + b) * size[2] + d) * size[3]
            weight = np.broadcast_to(p * q * r, len(c))[:, None]
            for m in range(4):
                out += (weight * cubic[m])[..., None] * flat[place[:, None] + below + m]
        return out * np.minimum(distance / np.exp(self.log_x[0]), 1.0)[..., None] ** 2

    @staticmethod
    def _picked(
        corners: list[tuple[IntArray, FloatArray]], first: int | None
    ) -> list[list[tuple[IntArray, FloatArray]]]:
        """Points about each halo, with their weights along each axis."""
        if first is not None:
            n = len(corners[0][0])
            u = (first + np.arange(1, n + 1))[:, None] * _EVEN % 1
            return [[(low + (u[:, k] < part), np.ones(1)) for k, (low, part) in enumerate(corners)]]
        return [
            [
                (low + up, part if up else 1 - part)
                for (low, part), up in zip(corners, which, strict=True)
            ]
            for which in np.ndindex(2, 2, 2)
        ]


def _spanned(low: float, high: float, step: float) -> FloatArray:
    """Even points from one number to another; splines need four."""
    number = max(int(np.ceil((high - low) / step)) + 1, 4)
    return np.linspace(low, max(high, low + 1e-6), number)


def _linear(values: FloatArray, grid: FloatArray) -> tuple[IntArray, FloatArray]:
    """Point of an even grid below, and the part of the one above."""
    at = np.clip((values - grid[0]) / (grid[1] - grid[0]), 0, grid.size - 1)
    low = np.minimum(at.astype(np.int64), grid.size - 2)
    return low, at - low
