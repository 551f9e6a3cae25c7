"""Geometry of a pair in Triton: separation and the turn of its shears, as in Julia's sphere.jl."""

# Triton compiles the source of these functions, and reads their annotations.
# mypy: ignore-errors

import triton
import triton.language as tl

#: Squared chord of two places that are the same but for rounding, as in Julia.
COINCIDENT = tl.constexpr(1.6e-29)
ARCMIN = tl.constexpr(10800 / 3.141592653589793)


@triton.jit
def separation(d2, p2, TERMS: tl.constexpr):
    """Angle in radians of squared chord d2, where p2 is that to the antipode.

    TERMS of a series for small angles, or 0.
    """
    if TERMS > 0:
        # 2 asin(d/2): its terms are positive, so that pairs beyond stay beyond.
        series = d2 * 0.0 + 1.0
        for k in tl.static_range(TERMS):
            # In one expression: a number with a name of its own would be of single precision.
            series = 1.0 + series * d2 * (
                (2.0 * (TERMS - k) - 1.0) * (2.0 * (TERMS - k) - 1.0)
                / (8.0 * (TERMS - k) * (2.0 * (TERMS - k) + 1.0))
            )  # fmt: skip
        theta = tl.sqrt(d2) * series
    else:
        # The tangent of theta/4 from sine and cosine of theta/2, and twice that of half the angle:
        # then the series of the arc tangent has its digits in 14 terms.
        t = tl.sqrt(d2) / (2.0 + tl.sqrt(p2))
        t = t / (1.0 + tl.sqrt(1.0 + t * t))
        t = t / (1.0 + tl.sqrt(1.0 + t * t))
        q = -t * t
        series = t * 0.0 + 1.0 / 27.0
        for k in tl.static_range(13):
            series = series * q + 1.0 / (25.0 - 2.0 * k)
        theta = 16.0 * t * series
    return theta


@triton.jit
def geometry(ux, uy, uz, vx, vy, vz, FLAT: tl.constexpr, MINUS: tl.constexpr, TERMS: tl.constexpr):
    """Squared chord, separation, its squared sine, and the half turn z of the shears.

    Separations are in arcmin, or in the unit of the plane. Of z = re + i im, whose direction is
    half the turn, also 1/|z|^2, or 0 where there is none.
    """
    dx, dy, dz = vx - ux, vy - uy, vz - uz
    d2 = dx * dx + dy * dy + dz * dz
    if FLAT:
        theta = tl.sqrt(d2)
        s2 = d2
        if MINUS:
            re, im = dx * dx - dy * dy, -2.0 * dx * dy
            none = d2 <= COINCIDENT
        else:
            re, im = d2 * 0.0 + 1.0, d2 * 0.0
            none = d2 < 0.0
    else:
        px, py, pz = ux + vx, uy + vy, uz + vz
        p2 = px * px + py * py + pz * pz
        s2 = d2 * p2 * 0.25
        theta = ARCMIN * separation(d2, p2, TERMS)
        h = 0.5 * d2
        c = ux * dy - uy * dx
        a, b = dz + uz * h, dz - vz * h
        if MINUS:
            re, im = a * b - c * c, -c * dz * (2.0 - h)
            none = re * re + im * im < COINCIDENT * COINCIDENT
        else:
            re, im = c * c + a * b, c * h * (uz + vz)
            none = (re * re + im * im < COINCIDENT * COINCIDENT) & (h > 1.0)
    norm = re * re + im * im
    none = none | (norm == 0.0)
    inverse = tl.where(none, 0.0, 1.0 / tl.where(none, 1.0, norm))
    return d2, theta, s2, re, im, inverse


@triton.jit
def load_points(points, n, i):
    """Place, shear and weight of points."""
    x, y, z = tl.load(points + i), tl.load(points + n + i), tl.load(points + 2 * n + i)
    a, b = tl.load(points + 3 * n + i), tl.load(points + 4 * n + i)
    return x, y, z, a, b, tl.load(points + 5 * n + i)
