"""Separations on the sky of points about halo centers: how many fall in a bin, how axes point."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Pairs", "SkyKernels", "pair_shells", "sky_parts", "sky_shells"]

FloatArray = npt.NDArray[np.float64]

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(8)
#: Three points of Gauss in a step.
_PLACES, _PLACE_WEIGHTS = np.array([-np.sqrt(0.6), 0, np.sqrt(0.6)]), np.array([5.0, 8.0, 5.0])


class SkyKernels(NamedTuple):
    """From pairs of halos on the sky to pairs of galaxies about them.

    With D the separation on the sky of two galaxies, of which one is at a distance rho on the sky
    from its halo's center, in a direction d, and z that of the other halo; cos2 twice the angle.

    Attributes
    ----------
    number, turn, plus, turn_plus, plus_plus : ndarray, shape (steps, R, b)
        Part of the pairs in each bin of |D|, and means there of cos2(z, D), cos2(d, D), their
        product, and cos2(d, D)^2; by step of the separation of the halos and by rho.
    """

    number: FloatArray
    turn: FloatArray
    plus: FloatArray
    turn_plus: FloatArray
    plus_plus: FloatArray

    @classmethod
    def of(cls, edges: FloatArray, steps: FloatArray, rho: FloatArray) -> SkyKernels:
        """Kernels for bins, steps of the separation, and distances (R,) on the sky."""
        out = np.zeros((5, steps.size - 1, rho.size, edges.size - 1))
        for i, (low, high) in enumerate(pairwise(steps.tolist())):
            s = (low + high) / 2 + _PLACES * (high - low) / 2
            weight = _PLACE_WEIGHTS * s
            found = _ring_moments(rho[:, None], s[:, None, None], edges[:-1], edges[1:])
            out[:, i] = np.tensordot(found, weight / weight.sum(), (1, 0))
        return cls(*out)


def _ring_moments(r: FloatArray, s: FloatArray, lo: FloatArray, hi: FloatArray) -> FloatArray:
    """Moments of `SkyKernels` over directions on the sky, shape (5, places, R, b)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        top = (hi * hi - r * r - s * s) / (2 * r * s)
        bottom = (lo * lo - r * r - s * s) / (2 * r * s)
    # By angle from the direction of the other halo, where |D| is largest, to the opposite one.
    first = np.arccos(np.clip(np.nan_to_num(top, nan=1.0), -1, 1))
    last = np.arccos(np.clip(np.nan_to_num(bottom, nan=-1.0), -1, 1))
    some = last > first
    h, middle = ((last - first) / 2)[some], ((last + first) / 2)[some]
    rr, ss = (np.broadcast_to(a, some.shape)[some] for a in (r, s))
    sums = np.zeros((4, h.size))
    for node, weight in zip(_NODES, _WEIGHTS, strict=True):
        cos = np.cos(middle + h * node)
        square = np.maximum(rr * rr + ss * ss + 2 * rr * ss * cos, 1e-30)
        turn = 2 * (ss + rr * cos) ** 2 / square - 1
        plus = 2 * (ss * cos + rr) ** 2 / square - 1
        sums += weight * np.stack([turn, plus, turn * plus, plus * plus])
    out = np.zeros((5, *some.shape))
    out[0][some] = 2 * h / np.pi
    out[1:, some] = sums * h / np.pi
    return out


def sky_shells(
    distance: FloatArray, shells: FloatArray, beyond: float | None = None
) -> list[FloatArray]:
    """Directions in space by distance on the sky: from shells to rings.

    Parameters
    ----------
    distance : ndarray, shape (Q,)
        Distances from a center.
    shells : ndarray, shape (R + 1,)
        Edges of rings on the sky.
    beyond : float, optional
        Count only those farther than it along the line of sight, to one side; not below 0.

    Returns
    -------
    list of ndarray, shape (Q, R)
        Parts in each ring, and means there of sin^2 and sin^4 of the angle with the line of sight.
    """
    q = distance[:, None]
    # By cosine: from the outer edge of a ring to the inner one, and up from the limit.
    cosine = np.sqrt(np.clip(1 - (shells / q) ** 2, 0, 1))
    if beyond is not None:
        cosine = np.maximum(cosine, np.minimum(beyond / q, 1))
    half = 1.0 if beyond is None else 0.5
    return [half * -np.diff(moment, axis=1) for moment in _sine_moments(cosine)]


def sky_parts(distance: FloatArray, edges: FloatArray, pi_max: float) -> list[FloatArray]:
    """Parts of the pairs a distance apart, in any direction, in bins of rp with |pi| <= pi_max.

    Parameters
    ----------
    distance : ndarray, shape (..., Q)
    edges : ndarray, shape (b + 1,)
    pi_max : float

    Returns
    -------
    list of ndarray, shape (..., Q, b)
        Their parts, and means there of sin^2 and sin^4 of the angle with the line of sight.
    """
    q = np.asarray(distance)[..., None]
    most = np.minimum(pi_max / q, 1)
    cosine = np.minimum(np.sqrt(np.clip(1 - (edges / q) ** 2, 0, 1)), most)
    return [-np.diff(moment, axis=-1) for moment in _sine_moments(cosine)]


def _sine_moments(cosine: FloatArray) -> Sequence[FloatArray]:
    """Integrals from 0 of 1, sin^2 and sin^4 over the cosine."""
    cube = cosine**3
    return cosine, cosine - cube / 3, cosine - 2 / 3 * cube + cube * cosine**2 / 5


class Pairs(NamedTuple):
    """Two satellites by the distance between them: their number, and how they point.

    With d and d' their directions from the centers of their halos and Q the vector between them,
    c and c' the cosines with Q, p and p' the parts of d and d' at right angles to it.

    Attributes
    ----------
    number : ndarray
    along : ndarray
        P2(c) of the first.
    both : ndarray
        P2(c) P2(c').
    mixed : ndarray
        c c' p p'.
    across : ndarray
        (p p')^2.
    """

    number: FloatArray
    along: FloatArray
    both: FloatArray
    mixed: FloatArray
    across: FloatArray

    @property
    def plus_plus(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Factors of 1, of sin^2 and of (sin^2 cos2)^2 in e_+ e_+' about a direction on the sky.

        The angles are those of Q, with the line of sight and with that direction.
        """
        return (
            self.across / 2,
            2 * self.mixed - self.across / 2,
            self.both - 2 * self.mixed + self.across / 8,
        )


def pair_shells(r: FloatArray, s: FloatArray, lo: FloatArray, hi: FloatArray) -> Pairs:
    """Moments of Q = r d - s d' where lo < |Q| <= hi, over both directions.

    Of `Pairs` the first satellite is that at `s`.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        top = (r * r + s * s - lo * lo) / (2 * r * s)
        bottom = (r * r + s * s - hi * hi) / (2 * r * s)
    top = np.clip(np.nan_to_num(top, nan=1.0), -1, 1)
    bottom = np.clip(np.nan_to_num(bottom, nan=-1.0), -1, 1)
    some = top > bottom
    h, middle = ((top - bottom) / 2)[some], ((top + bottom) / 2)[some]
    rr, ss = (np.broadcast_to(a, some.shape)[some] for a in (r, s))
    sums = np.zeros((4, h.size))
    for node, weight in zip(_NODES, _WEIGHTS, strict=True):
        cos = middle + h * node
        square = np.maximum(rr * rr + ss * ss - 2 * rr * ss * cos, 1e-30)
        near, far = (rr * cos - ss) ** 2 / square, (rr - ss * cos) ** 2 / square
        product = (rr * cos - ss) * (rr - ss * cos) / square
        aside = cos - product
        along = 1.5 * near - 0.5
        sums += weight * np.stack(
            [along, along * (1.5 * far - 0.5), product * aside, aside * aside]
        )
    out = np.zeros((5, *some.shape))
    out[0][some] = h
    out[1:, some] = sums * h / 2
    return Pairs(*out)
