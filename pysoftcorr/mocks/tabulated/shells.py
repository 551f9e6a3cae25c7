"""Separations of points about halo centers: how many fall in a bin, and how axes point there."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["HaloPairKernels", "enclosed", "radial_grid", "separation_steps", "shell_moments"]

FloatArray = npt.NDArray[np.float64]

#: Widest step of the separation of two halos: 3 % would shift xi by up to 1 %.
_STEP = 0.01
#: Mpc/h; below this, and below the bins, hardly any two halos are.
_CLOSE, _CLOSE_STEPS = 0.1, 8
#: Ratio of neighboring radii within halos.
_RADIAL = 1.057
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(6)


def enclosed(scaled_radius: FloatArray, concentration: FloatArray) -> FloatArray:
    """Fraction of an NFW halo within r/Rvir; 1 beyond 1."""
    y = np.minimum(scaled_radius, 1.0) * concentration
    return (np.log1p(y) - y / (1 + y)) / (
        np.log1p(concentration) - concentration / (1 + concentration)
    )


def separation_steps(edges: FloatArray, reach: float, step: float = _STEP) -> FloatArray:
    """Edges of fine steps from 0 to the last of `edges` plus `reach`; all `edges` among them.

    `step` is the widest in log, from 0.1 Mpc/h or the first edge on.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr.mocks.tabulated.shells import separation_steps
    >>> steps = separation_steps(np.array([0.1, 1.0, 10.0]), 2.0)
    >>> float(steps[0]), round(float(steps[-1]), 6), {0.1, 1.0, 10.0} <= set(steps.tolist())
    (0.0, 12.0, True)
    """
    positive = edges[edges > 0]
    low = min(_CLOSE, float(positive[0]))
    marks = np.unique(np.concatenate([[low], positive, [edges[-1] + reach]]))
    parts = [np.linspace(0, low, _CLOSE_STEPS + 1)[:-1]]
    for a, b in pairwise(marks.tolist()):
        number = int(np.ceil(np.log(b / a) / step))
        part = np.geomspace(a, b, number + 1)[:-1]
        part[0] = a
        parts.append(part)
    return np.concatenate([*parts, marks[-1:]])


def radial_grid(least: float, most: float) -> FloatArray:
    """Edges of shells about a center, from 0 to `most`, the first one `least`."""
    number = int(np.ceil(np.log(most / least) / np.log(_RADIAL))) + 1
    return np.concatenate([[0.0], np.geomspace(least, most, number)])


def shell_moments(r: FloatArray, s: FloatArray, lo: FloatArray, hi: FloatArray) -> list[FloatArray]:
    """Moments of D = r d - s z where lo < |D| <= hi, over directions d, for unit vectors d and z.

    Parameters
    ----------
    r, s, lo, hi : ndarray
        They broadcast.

    Returns
    -------
    list of ndarray
        Means of 1, (d . D)^2/D^2, (z . D)^2/D^2 and (d . z)^2, each 0 where D is outside.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        top = (r * r + s * s - lo * lo) / (2 * r * s)
        bottom = (r * r + s * s - hi * hi) / (2 * r * s)
    top = np.clip(np.nan_to_num(top, nan=1.0), -1, 1)
    bottom = np.clip(np.nan_to_num(bottom, nan=-1.0), -1, 1)
    shape = np.broadcast_shapes(np.shape(r), np.shape(s), top.shape, bottom.shape)
    half = np.broadcast_to((top - bottom) / 2, shape)
    some = half > 0
    h = half[some]
    middle = np.broadcast_to((top + bottom) / 2, shape)[some]
    rr, ss = (np.broadcast_to(a, shape)[some] for a in (r, s))
    sums = [np.zeros(h.shape) for _ in range(3)]
    # The measure is d cos/2, and the weights add up to 2.
    for node, weight in zip(_NODES, _WEIGHTS, strict=True):
        cos = middle + h * node
        square = np.maximum(rr * rr + ss * ss - 2 * rr * ss * cos, 1e-30)
        sums[0] += weight * (rr - ss * cos) ** 2 / square
        sums[1] += weight * (rr * cos - ss) ** 2 / square
        sums[2] += weight * cos * cos
    out = [half.copy()]
    for total in sums:
        full = np.zeros(shape)
        full[some] = total * h / 2
        out.append(full)
    return out


class HaloPairKernels(NamedTuple):
    """From pairs of halos to pairs of galaxies about them.

    With z the direction of the other halo, d that of a satellite from its own, D that of the two
    galaxies; P2(x) = (3 x^2 - 1)/2.

    Attributes
    ----------
    shells : ndarray, shape (Q + 1,)
        Edges of shells of the distance from a halo's center, Mpc/h.
    number, along_d, along_z, d_z : ndarray, shape (steps, Q, b)
        Part of the pairs in each bin, and means there of (d . D)^2 - 1/3, P2(z . D), P2(d . z), by
        step of the separation of the halos and distance of the satellite.
    two_number, two_along, two_axes : ndarray, shape (Q, Q, Q)
        Of two satellites at distances i and j from a center each, the distribution of the distance
        between them, and means of P2 of the first one's direction and that vector, and of
        (d . d')^2 - 1/3.
    """

    shells: FloatArray
    number: FloatArray
    along_d: FloatArray
    along_z: FloatArray
    d_z: FloatArray
    two_number: FloatArray
    two_along: FloatArray
    two_axes: FloatArray

    @classmethod
    def of(cls, edges: FloatArray, steps: FloatArray, least: float, most: float) -> HaloPairKernels:
        """Kernels for bins, fine steps, and satellites between two distances."""
        shells = radial_grid(least, most)
        q = np.concatenate([[shells[1] / 2], np.sqrt(shells[1:-1] * shells[2:])])
        size = (steps.size - 1, q.size, edges.size - 1)
        number, along_d, along_z, d_z = (np.zeros(size) for _ in range(4))
        # Three points of Gauss in each step, weighted by volume.
        places = np.array([-np.sqrt(0.6), 0, np.sqrt(0.6)])
        for i, (low, high) in enumerate(pairwise(steps.tolist())):
            s = (low + high) / 2 + places * (high - low) / 2
            weight = np.array([5, 8, 5]) * s**2
            n, dD, zD, dz = (
                np.tensordot(weight / weight.sum(), part, (0, 0))
                for part in shell_moments(q[None, :, None], s[:, None, None], edges[:-1], edges[1:])
            )
            number[i], along_d[i] = n, dD - n / 3
            along_z[i], d_z[i] = 1.5 * zD - 0.5 * n, 1.5 * dz - 0.5 * n
        two = [np.zeros((q.size,) * 3) for _ in range(3)]
        for i in range(q.size):
            n, dD, _, dz = shell_moments(q[i], q[:, None], shells[:-1], shells[1:])
            two[0][i], two[1][i], two[2][i] = n, 1.5 * dD - 0.5 * n, dz - n / 3
        return cls(shells, number, along_d, along_z, d_z, *two)
