"""Soft-binned sums of all pairs and their gradient as Triton kernels, for GPUs.

What the Julia kernels of softpairs.jl do, block by block: a program owns a block of objects and
goes through a list of blocks in reach of its bins. Points have a place x, a weight W and a weighted
shear M; a pair of weight B(theta) in a bin adds B Re[M_1 M_2' Phi] and B W_1 W_2.
"""

# Triton compiles the source of these functions, and reads their annotations.
# mypy: ignore-errors

import triton
import triton.language as tl

from pysoftcorr.sky.device.triton_geometry import ARCMIN, COINCIDENT, geometry, load_points


@triton.jit
def _weight(theta, lo, hi, s, GAUSS: tl.constexpr):
    """Weight in a bin, and its derivative by theta."""
    t = theta - 0.5 * (lo + hi)
    if GAUSS:
        weight = tl.exp(-s * t * t)
        slope = -2.0 * s * t * weight
    else:
        # With f = e^(s (|t| - width/2)) and k = e^(-s width) the two sigmoids are 1/(1 + f) and
        # 1/(1 + k/f): one exponential and one division.
        far = tl.abs(t)
        k = tl.exp(s * (lo - hi))
        f = tl.exp(tl.minimum(tl.maximum(s * (far - 0.5 * (hi - lo)), -300.0), 300.0))
        inverse = 1.0 / (f * (1.0 + k) + f * f + k)
        weight = f * inverse
        slope = s * weight * (k - f * f) * inverse
        slope = tl.where(t < 0.0, -slope, slope)
    return weight, slope


@triton.jit
def soft_sums(
    points, n, first, blocks, bins, out, met,
    bin, nbins,
    FLAT: tl.constexpr, MINUS: tl.constexpr, GAUSS: tl.constexpr, DROP: tl.constexpr,
    TERMS: tl.constexpr, COUNT: tl.constexpr, BLOCK: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Sums of one bin, of each block of objects with those of its list.

    points (6, n): x, y, z, M1, M2, W. `first` and `blocks` are lists in compressed rows, of blocks
    not before the own one, each shared out to the programs of the second axis. `out`
    (2, programs), `met` (programs) coincident pairs.
    """
    own = tl.program_id(0)
    part, parts = tl.program_id(1), tl.num_programs(1)
    STEPS: tl.constexpr = BLOCK // COLUMNS
    i = own * BLOCK + tl.arange(0, BLOCK)[:, None]
    ux, uy, uz, a, b, w = load_points(points, n, i)
    lo, hi = tl.load(bins + bin), tl.load(bins + nbins + bin)
    s = tl.load(bins + 2 * nbins + bin)
    num = tl.zeros((BLOCK, COLUMNS), dtype=tl.float64)
    den = tl.zeros((BLOCK, COLUMNS), dtype=tl.float64)
    same = tl.zeros((BLOCK, COLUMNS), dtype=tl.int32)
    begin, end = tl.load(first + own) * STEPS, tl.load(first + own + 1) * STEPS
    for k in range(begin + part, end, parts):
        j = tl.load(blocks + k // STEPS) * BLOCK + (k % STEPS) * COLUMNS
        j = j + tl.arange(0, COLUMNS)[None, :]
        vx, vy, vz, c, d, v = load_points(points, n, j)
        d2, theta, _, re, im, inverse = geometry(ux, uy, uz, vx, vy, vz, FLAT, MINUS, TERMS)
        sin = 2.0 * re * im * inverse
        cos = tl.where(inverse == 0.0, 1.0, (re * re - im * im) * inverse)
        if MINUS:
            g, h = a * c - b * d, a * d + b * c
        else:
            g, h = a * c + b * d, b * c - a * d
        weight, _ = _weight(theta, lo, hi, s, GAUSS)
        counts = j > i
        if DROP:
            counts = counts & (d2 > COINCIDENT)
        weight = tl.where(counts, weight, 0.0)
        num += weight * (g * cos - h * sin)
        den += weight * (w * v)
        if COUNT:
            same += ((d2 <= COINCIDENT) & (j > i) & (w * v != 0.0)).to(tl.int32)
    row, rows = own * parts + part, tl.num_programs(0) * parts
    tl.store(out + row, tl.sum(tl.sum(num, 1), 0))
    tl.store(out + rows + row, tl.sum(tl.sum(den, 1), 0))
    if COUNT:
        tl.store(met + row, tl.sum(tl.sum(same, 1), 0))


@triton.jit
def soft_pull(
    points, n, first, blocks, low, high, bins, by_num, by_den, out,
    nbins,
    FLAT: tl.constexpr, MINUS: tl.constexpr, GAUSS: tl.constexpr, DROP: tl.constexpr,
    TERMS: tl.constexpr, BLOCK: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Gradient by the points of a block, into `out` (parts, 6, n), by all in its list.

    Each entry of the lists is in reach of the bins from `low` up to `high`, whose weights are
    joined before the pair is turned to a gradient. `by_num` and `by_den` (nbins,) are the
    cotangents of the sums.
    """
    own = tl.program_id(0)
    part, parts = tl.program_id(1), tl.num_programs(1)
    STEPS: tl.constexpr = BLOCK // COLUMNS
    i = own * BLOCK + tl.arange(0, BLOCK)[:, None]
    ux, uy, uz, a, b, w = load_points(points, n, i)
    gx = tl.zeros((BLOCK, COLUMNS), dtype=tl.float64)
    gy = tl.zeros((BLOCK, COLUMNS), dtype=tl.float64)
    gz = tl.zeros((BLOCK, COLUMNS), dtype=tl.float64)
    ga = tl.zeros((BLOCK, COLUMNS), dtype=tl.float64)
    gb = tl.zeros((BLOCK, COLUMNS), dtype=tl.float64)
    gw = tl.zeros((BLOCK, COLUMNS), dtype=tl.float64)
    begin, end = tl.load(first + own) * STEPS, tl.load(first + own + 1) * STEPS
    for k in range(begin + part, end, parts):
        entry = k // STEPS
        j = tl.load(blocks + entry) * BLOCK + (k % STEPS) * COLUMNS
        j = j + tl.arange(0, COLUMNS)[None, :]
        vx, vy, vz, c, d, v = load_points(points, n, j)
        d2, theta, s2, re, im, inverse = geometry(ux, uy, uz, vx, vy, vz, FLAT, MINUS, TERMS)
        sin = 2.0 * re * im * inverse
        cos = tl.where(inverse == 0.0, 1.0, (re * re - im * im) * inverse)
        if MINUS:
            g, h = a * c - b * d, a * d + b * c
            ia, ib = c * cos - d * sin, -d * cos - c * sin
        else:
            g, h = a * c + b * d, b * c - a * d
            ia, ib = c * cos + d * sin, d * cos - c * sin
        product, turned = g * cos - h * sin, g * sin + h * cos
        both = w * v
        num = tl.zeros((BLOCK, COLUMNS), dtype=tl.float64)
        den = tl.zeros((BLOCK, COLUMNS), dtype=tl.float64)
        along = tl.zeros((BLOCK, COLUMNS), dtype=tl.float64)
        for bin in range(tl.load(low + entry), tl.load(high + entry)):
            lo, hi = tl.load(bins + bin), tl.load(bins + nbins + bin)
            s = tl.load(bins + 2 * nbins + bin)
            cn, cd = tl.load(by_num + bin), tl.load(by_den + bin)
            weight, slope = _weight(theta, lo, hi, s, GAUSS)
            num += cn * weight
            den += cd * weight
            along += slope * (cn * product + cd * both)
        counts = j != i
        if DROP:
            counts = counts & (d2 > COINCIDENT)
        num, den = tl.where(counts, num, 0.0), tl.where(counts, den, 0.0)
        along = tl.where(counts, along, 0.0)
        ga += num * ia
        gb += num * ib
        gw += den * v
        about = -2.0 * turned * num
        dx, dy, dz = vx - ux, vy - uy, vz - uz
        if FLAT:
            some = d2 > COINCIDENT
            f = tl.where(some, along * tl.rsqrt(tl.where(some, d2, 1.0)), 0.0)
            gx += -f * dx
            gy += -f * dy
            if MINUS:
                q = tl.where(some, about * inverse * d2, 0.0)
                gx += -2.0 * dy * q
                gy += 2.0 * dx * q
        else:
            some = s2 >= COINCIDENT
            f = tl.where(some, ARCMIN * along * tl.rsqrt(tl.where(some, s2, 1.0)), 0.0)
            near = ux * vx + uy * vy + uz * vz >= 0.0
            gx += f * tl.where(near, -dx, -(ux + vx))
            gy += f * tl.where(near, -dy, -(uy + vy))
            gz += f * tl.where(near, -dz, -(uz + vz))
            turns = re * re + im * im >= COINCIDENT * COINCIDENT
            q = tl.where(turns, about * inverse, 0.0)
            hh = 0.5 * d2
            cc = ux * dy - uy * dx
            ab, ba = dz + uz * hh, dz - vz * hh
            # reverse through the lines of `geometry`
            re_, im_ = -im * q, re * q
            a_, b_ = re_ * ba, re_ * ab
            if MINUS:
                c_ = -2.0 * re_ * cc - im_ * dz * (2.0 - hh)
                h_ = im_ * cc * dz
                dz_ = -im_ * cc * (2.0 - hh) + a_ + b_
                uz_ = a_ * hh
            else:
                c_ = 2.0 * re_ * cc + im_ * hh * (uz + vz)
                h_ = im_ * cc * (uz + vz)
                dz_ = a_ + b_
                uz_ = im_ * cc * hh + a_ * hh
            h_ += a_ * uz - b_ * vz
            gx += c_ * vy - h_ * dx
            gy += -c_ * vx - h_ * dy
            gz += uz_ - h_ * dz - dz_
    row = part * (6 * n) + own * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + row, tl.sum(gx, 1))
    tl.store(out + n + row, tl.sum(gy, 1))
    tl.store(out + 2 * n + row, tl.sum(gz, 1))
    tl.store(out + 3 * n + row, tl.sum(ga, 1))
    tl.store(out + 4 * n + row, tl.sum(gb, 1))
    tl.store(out + 5 * n + row, tl.sum(gw, 1))
