"""Misalignment of galaxies: the Dimroth-Watson distribution of axes about a reference axis.

With t the cosine of the angle to the reference axis, p(t) ~ exp(a t^2) on [-1, 1] and
a = tan(pi mu/2): mu = 1 is aligned, 0 random, -1 perpendicular.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

from pysoftcorr.core.options import number, numbers

__all__ = [
    "concentration",
    "draw_watson",
    "mean_cos2",
    "mean_cos2_derivative",
    "mean_cos4",
    "order_parameter",
    "order_parameter_derivative",
    "satellite_strength",
    "watson_axes",
    "watson_quantile",
]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

#: Largest exponent of the radius, of either sign; measured ones are of order 1.
MOST_GAMMA = 100.0

# Beyond this the asymptotic series of Dawson's integral is exact to rounding.
_LARGE = 50.0
# Newton's method squares the error: after a step this small the next would change nothing.
_LAST_STEP = 1e-8


def _strength(mu: npt.ArrayLike, name: str = "mu") -> FloatArray:
    values = numbers(name, mu)
    bad = ~(np.abs(values) <= 1)
    if bad.any():
        raise ValueError(
            f"{name} = {float(values[bad].flat[0]):g}: an alignment strength lies in [-1, 1], from "
            "perpendicular to aligned"
        )
    return values


def _scalar_or_array(values: FloatArray) -> Any:
    return float(values) if values.ndim == 0 else values


def concentration(mu: npt.ArrayLike) -> Any:
    """a = tan(pi mu/2) of p(t) ~ exp(a t^2): infinite at mu = 1 and -1.

    Examples
    --------
    >>> from pysoftcorr.mocks.alignment import concentration
    >>> concentration(0.0), concentration(-1.0)
    (0.0, -inf)
    """
    values = _strength(mu)
    # By the complement near the ends, where tan(pi mu/2) would lose what mu still says.
    end = 1 - np.abs(values)
    with np.errstate(divide="ignore"):
        a = np.where(end < 0.5, 1 / np.tan(0.5 * np.pi * end), np.tan(0.5 * np.pi * np.abs(values)))
    return _scalar_or_array(np.where(values < 0, -a, a))


def _moments(mu: FloatArray) -> tuple[FloatArray, FloatArray]:
    """<t^2> and d<t^2>/dmu."""
    a = np.atleast_1d(np.asarray(concentration(mu), dtype=np.float64))
    c, slope = np.empty_like(a), np.empty_like(a)  # slope: (1 + a^2) d<t^2>/da

    small = np.abs(a) < 1
    x = a[small]
    m0, m2, m4 = (special.hyp1f1(k + 0.5, k + 1.5, x) / (2 * k + 1) for k in range(3))
    c[small] = m2 / m0
    slope[small] = (1 + x * x) * (m4 / m0 - c[small] ** 2)

    middle = (np.abs(a) >= 1) & (np.abs(a) <= _LARGE)
    x = a[middle]
    root = np.sqrt(np.abs(x))
    # c = (e^a/Z - 1)/(2a), Z the integral of e^(a t^2) from 0 to 1.
    ratio = np.where(
        x > 0,
        root / special.dawsn(root),
        2 * root * np.exp(-np.abs(x)) / (np.sqrt(np.pi) * special.erf(root)),
    )
    c[middle] = (ratio - 1) / (2 * x)
    fourth = c[middle] + (1 - 3 * c[middle]) / (2 * x)
    slope[middle] = (1 + x * x) * (fourth - c[middle] ** 2)

    # D(x) = S/(2x), S = sum of (2k - 1)!!/(2a)^k; c = 1/S - 1/(2a), term by term in 1/a.
    high = a > _LARGE
    inverse = 1 / a[high]
    term, s, t = np.ones_like(inverse), np.ones_like(inverse), np.zeros_like(inverse)
    for k in range(1, 25):
        term = term * (2 * k - 1) * inverse / 2
        s += term
        t += k * term  # -a S'
    c[high] = 1 / s - inverse / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        per_inverse = np.where(inverse > 0, t / inverse, 0.5)  # -a^2 S'
    slope[high] = (1 + inverse**2) * (per_inverse / s**2 + 0.5)

    # e^a is nothing: a normal distribution in t of variance 1/(2|a|).
    low = a < -_LARGE
    inverse = -1 / a[low]
    c[low] = inverse / 2
    slope[low] = (1 + inverse**2) / 2
    shape = np.shape(mu)
    return c.reshape(shape), (0.5 * np.pi * slope).reshape(shape)


def mean_cos2(mu: npt.ArrayLike) -> Any:
    """<t^2> = <cos^2 theta> of axes of strength `mu`.

    Parameters
    ----------
    mu : float or array_like
        In [-1, 1].

    Returns
    -------
    float or ndarray
        1 at mu = 1, 1/3 at 0, 0 at -1.

    Raises
    ------
    ValueError
        If a strength is outside [-1, 1] or NaN.

    Examples
    --------
    >>> from pysoftcorr.mocks.alignment import mean_cos2
    >>> mean_cos2([-1, 0, 0.5, 1]).round(4).tolist()
    [0.0, 0.3333, 0.4292, 1.0]
    """
    return _scalar_or_array(_moments(_strength(mu))[0])


def mean_cos2_derivative(mu: npt.ArrayLike) -> Any:
    """d<t^2>/dmu; at the ends the one-sided derivative, pi/2 at 1 and pi/4 at -1.

    Examples
    --------
    >>> from pysoftcorr.mocks.alignment import mean_cos2_derivative
    >>> round(mean_cos2_derivative(1.0), 6)
    1.570796
    """
    return _scalar_or_array(_moments(_strength(mu))[1])


def mean_cos4(mu: npt.ArrayLike) -> Any:
    """<t^4> = <cos^4 theta> of axes of strength `mu`.

    By d<t^2>/da = <t^4> - <t^2>^2.

    Examples
    --------
    >>> from pysoftcorr.mocks.alignment import mean_cos4
    >>> mean_cos4([-1, 0, 1]).round(9).tolist()
    [0.0, 0.2, 1.0]
    """
    values = _strength(mu)
    square, slope = _moments(values)
    a = np.asarray(concentration(values))
    return _scalar_or_array(square**2 + slope / (0.5 * np.pi * (1 + a * a)))


def order_parameter(mu: npt.ArrayLike) -> Any:
    """(3 <t^2> - 1)/2: 1 for aligned, 0 for random, -1/2 for perpendicular axes.

    Axes e drawn about a reference n have <e e^T> = A n n^T + (1 - A)/3 with this A.

    Examples
    --------
    >>> from pysoftcorr.mocks.alignment import order_parameter
    >>> order_parameter(1.0), order_parameter(-1.0)
    (1.0, -0.5)
    """
    return 1.5 * mean_cos2(mu) - 0.5


def order_parameter_derivative(mu: npt.ArrayLike) -> Any:
    """d/dmu of `order_parameter`.

    Examples
    --------
    >>> from pysoftcorr.mocks.alignment import order_parameter_derivative
    >>> round(order_parameter_derivative(0.0), 6)
    0.20944
    """
    return 1.5 * mean_cos2_derivative(mu)


# ---------------------------------------------------------------------- draws
def watson_quantile(u: npt.ArrayLike, mu: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Cosine and sine of the angle to the reference axis below which a part `u` of the axes are.

    The inverse of the cumulative distribution of t, so that draws at fixed `u` move smoothly
    with `mu`.

    Parameters
    ----------
    u : array_like
        In (0, 1); t rises with u.
    mu : float or array_like of u's shape
        In [-1, 1].

    Returns
    -------
    cos, sin : ndarray
        The sine apart, since it is lost in a cosine near 1.

    Examples
    --------
    >>> from pysoftcorr.mocks.alignment import watson_quantile
    >>> watson_quantile([0.1, 0.75], 0.0)[0].tolist()
    [-0.8, 0.5]
    >>> watson_quantile([0.1, 0.75], 1.0)[0].tolist()
    [-1.0, 1.0]
    """
    u = np.atleast_1d(numbers("u", u))
    a = np.broadcast_to(np.asarray(concentration(mu), dtype=np.float64), u.shape)
    v = 2 * u - 1
    size = np.abs(v)
    cos, sin2 = size.copy(), 1 - size * size

    low = (a < -1e-12) & np.isfinite(a)
    if low.any():
        root = np.sqrt(-a[low])
        x = special.erfinv(size[low] * special.erf(root))
        cos[low] = np.minimum(x / root, 1.0)
        sin2[low] = (1 - cos[low]) * (1 + cos[low])
    high = (a > 1e-12) & np.isfinite(a)
    if high.any():
        cos[high], sin2[high] = _quantile_aligned(size[high], a[high])
    end = np.isinf(a)
    cos[end], sin2[end] = np.where(a[end] > 0, 1.0, 0.0), np.where(a[end] > 0, 0.0, 1.0)
    return np.copysign(cos, v), np.sqrt(sin2)


def _quantile_aligned(v: FloatArray, a: FloatArray) -> tuple[FloatArray, FloatArray]:
    """t and 1 - t^2 with erfi(sqrt(a) t) = v erfi(sqrt(a)), for v in [0, 1].

    erfi(x) ~ exp(x^2) D(x) with Dawson's D, so the logarithm is solved: nothing overflows.
    """
    root = np.sqrt(a)
    dawson = special.dawsn(root)
    with np.errstate(divide="ignore"):
        log_v = np.log(v)
    t, sin2 = np.zeros_like(v), np.ones_like(v)
    # Near the pole in d = x^2 - a, which is what 1 - t^2 needs.
    near = np.flatnonzero((a > 25) & (log_v > -0.5 * a))

    def step_near(d: FloatArray, k: IntArray) -> FloatArray:
        rows = near[k]
        x = np.sqrt(a[rows] + d)
        dx = special.dawsn(x)
        return d - 2 * x * dx * (d + np.log(dx / dawson[rows]) - log_v[rows])

    d = np.minimum(_newton(step_near, log_v[near]), 0.0)
    sin2[near] = -d / a[near]
    t[near] = np.sqrt((a[near] + d) / a[near])
    # Elsewhere in ln x: there the function is convex, and Newton's method safe from above.
    far = np.flatnonzero(~((a > 25) & (log_v > -0.5 * a)) & (v > 0))
    target = a[far] + np.log(dawson[far]) + log_v[far]

    def step_far(log_x: FloatArray, k: IntArray) -> FloatArray:
        x = np.exp(log_x)
        dx = special.dawsn(x)
        return log_x - dx / x * (x * x + np.log(dx) - target[k])

    log_x = _newton(step_far, np.minimum(np.log(root[far]), target))
    t[far] = np.minimum(np.exp(log_x) / root[far], 1.0)
    sin2[far] = (1 - t[far]) * (1 + t[far])
    return t, sin2


def _newton(step: Callable[[FloatArray, IntArray], FloatArray], start: FloatArray) -> FloatArray:
    """Each element until its own step is small: its bits do not depend on the others."""
    x, rows = start.copy(), np.arange(start.size)
    for _ in range(100):
        if not rows.size:
            break
        old = x[rows]
        x[rows] = new = step(old, rows)
        rows = rows[~(np.abs(new - old) <= _LAST_STEP * np.minimum(np.abs(old), 1.0))]
    return x


def watson_axes(
    reference: npt.ArrayLike, mu: npt.ArrayLike, u1: npt.ArrayLike, u2: npt.ArrayLike
) -> FloatArray:
    """Axes about reference axes from two uniform numbers each: angle to it, and angle about it.

    Parameters
    ----------
    reference : array_like, shape (N, 3)
        Unit vectors.
    mu : float or array_like, shape (N,)
    u1, u2 : array_like, shape (N,)

    Returns
    -------
    ndarray, shape (N, 3)
        Unit vectors.

    Examples
    --------
    >>> from pysoftcorr.mocks.alignment import watson_axes
    >>> watson_axes([[0.0, 0.6, 0.8]], 1.0, [0.7], [0.2]).tolist()
    [[0.0, 0.6, 0.8]]
    """
    n = numbers("reference", reference)
    cos, sin = watson_quantile(u1, mu)
    x, y, z = n[:, 0], n[:, 1], n[:, 2]
    # Two axes square to n, without a case that loses digits (Duff et al. 2017, JCGT 6, 1).
    sign = np.copysign(1.0, z)
    b = -1.0 / (sign + z)
    c = x * y * b
    phi = 2 * np.pi * np.asarray(u2, dtype=np.float64)
    p, q = sin * np.cos(phi), sin * np.sin(phi)
    out = np.empty_like(n)
    out[:, 0] = cos * x + p * (1 + sign * x * x * b) + q * c
    out[:, 1] = cos * y + p * sign * c + q * (sign + y * y * b)
    out[:, 2] = cos * z - p * sign * x - q * y
    return out


def draw_watson(
    reference: npt.ArrayLike, mu: npt.ArrayLike, rng: np.random.Generator
) -> FloatArray:
    """Axes drawn from the Dimroth-Watson distribution about reference axes.

    Parameters
    ----------
    reference : array_like, shape (N, 3)
        Reference axes, of any length but 0.
    mu : float or array_like, shape (N,)
        Alignment strength in [-1, 1].
    rng : numpy.random.Generator

    Returns
    -------
    ndarray, shape (N, 3)
        Unit vectors; an axis and its opposite are equally likely.

    Raises
    ------
    ValueError
        If a strength is outside [-1, 1] or a reference axis has no direction.
    TypeError
        If `rng` is no Generator.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr.mocks.alignment import draw_watson
    >>> axes = draw_watson(np.tile([0.0, 0.0, 1.0], (100_000, 1)), 0.7, np.random.default_rng(2))
    >>> bool(abs((axes[:, 2] ** 2).mean() - 0.5275) < 0.004)
    True
    """
    from pysoftcorr.core.checks import Origin
    from pysoftcorr.mocks import checks

    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng must be a numpy.random.Generator, not {type(rng).__name__}")
    vectors = checks.vectors("reference", reference)
    checks.finite({"reference": vectors}, Origin())
    length = np.linalg.norm(vectors, axis=1)
    bad = np.flatnonzero(length == 0)
    if bad.size:
        raise ValueError(f"reference has no direction (length 0) in {Origin().show(bad, length)}")
    u1, u2 = rng.random((2, len(vectors)))
    return watson_axes(vectors / length[:, None], mu, u1, u2)


def satellite_strength(
    mu_sat: float, gamma: float, scaled_radius: npt.ArrayLike
) -> tuple[FloatArray, FloatArray]:
    """mu_sat (r/Rvir)^gamma of each satellite, kept within [-1, 1], and its d/dmu_sat.

    Examples
    --------
    >>> from pysoftcorr.mocks.alignment import satellite_strength
    >>> satellite_strength(0.8, -0.5, [1.0, 0.25])[0].tolist()
    [0.8, 1.0]
    """
    _strength(mu_sat, "mu_sat")
    gamma = number("gamma", gamma, least=-MOST_GAMMA, most=MOST_GAMMA)
    r = numbers("scaled_radius", scaled_radius)
    with np.errstate(over="ignore", divide="ignore"):
        factor = np.ones_like(r) if gamma == 0 else r**gamma
    mu = mu_sat * factor if mu_sat else np.zeros_like(r)
    return np.clip(mu, -1, 1), np.where(np.abs(mu) <= 1, factor, 0.0)
