"""Pairs of galaxies within one triaxial halo, by quadrature over its ellipsoid."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.interpolate import CubicSpline

from pysoftcorr.mocks.tabulated.nfw import sphere_pairs
from pysoftcorr.mocks.tabulated.shells import enclosed

__all__ = ["axis_lengths", "ellipsoid_cumulatives"]

FloatArray = npt.NDArray[np.float64]

#: Gauss points of each angle of a satellite from the center.
_FINE = 16
#: Gauss points: of each angle of a separation, of distance on either side of 1, of both radii,
#: and about it: half of these where axes differ by less than a factor.
_ANGLES, _APART, _RADII, _ABOUT, _LONG = 10, 14, 16, 32, 2.5


def axis_lengths(b_to_a: FloatArray, c_to_a: FloatArray) -> FloatArray:
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
        self.points = w.size, _RADII * _RADII
        scale = 1 / c[:, None, None, None]
        weight = measure / ((scale + r1) * (scale + r2)) ** 2
        self.weight = weight.reshape(c.size, *self.points)
        self.weight /= self.weight.sum(axis=2, keepdims=True)
        along = (w * w + r1 * r1 - r2 * r2) / (2 * w)
        beside = np.sqrt(np.maximum(r1 * r1 - along**2, 0))
        # Products of the points x and y = x - w d are of second order in lengths along d and across
        # it: their parts by the squares of both and the mixed one.
        beyond = along - w
        self.forms = np.stack([
            [along * along, beyond * beyond, along * beyond],
            [2 * along * beside, 2 * beyond * beside, (along + beyond) * beside],
            [beside * beside] * 3,
        ]).reshape(3, -1)  # fmt: skip
        self.lines = np.stack([along, beside]).reshape(2, -1)
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
            D, across = h * lengths, about[:, k] * lengths
            square = np.full(len(across), D @ D)
            mixed, other = across @ D, (across * across).sum(axis=1)
            products = np.stack([square, mixed, other], axis=1) @ self.forms
            products = products.reshape(len(across), 3, -1)
            np.maximum(products[:, :2], 1e-30, out=products[:, :2])
            xx, yy, xy = np.moveaxis(products, 1, 0)
            xD = np.stack([square, mixed], axis=1) @ self.lines
            of_axis = (xD * xD / xx).mean(axis=0) / (D @ D)
            of_both = (xy * xy / (xx * yy)).mean(axis=0)
            q = np.stack([of_axis, of_both]).reshape(2, *self.points) - 1 / 3
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
    for k, lengths in enumerate(axis_lengths(b_to_a, c_to_a)):
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
