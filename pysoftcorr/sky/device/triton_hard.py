"""Hard-binned sums of pairs as a Triton kernel, for GPUs.

What the Julia kernels of pairs.jl do, block by block: a program owns a block of objects of the
first set and goes through its list of blocks of the second, for one bin. Sums over the second
objects stay apart by first object, whose own weight and shear they meet afterward.
"""

# Triton compiles the source of these functions, and reads their annotations.
# mypy: ignore-errors

import triton
import triton.language as tl

from pysoftcorr.sky.device.triton_geometry import ARCMIN, COINCIDENT, geometry, load_points

#: Minus infinity that a weight of 0 may be multiplied with, as in Julia.
LOG_ZERO = tl.constexpr(-1e300)


@triton.jit
def hard_sums(
    points, n, others, m, first, blocks, edges, out,
    bin, nbins,
    SHEARS: tl.constexpr, AUTO: tl.constexpr, MET: tl.constexpr, FLAT: tl.constexpr,
    TERMS: tl.constexpr, BLOCK: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Sums over the second objects of a bin, by first object, into `out` (parts, sums, n).

    points (6, n) and others (6, m): x, y, z, w g1, w g2, w. `first` and `blocks` are lists in
    compressed rows. The sums: pairs of weights other than 0, w, w theta, w ln(theta), then with
    SHEARS = 1 the second shear turned to the pair, with 2 also F- g besides F+ conj(g). With MET of
    coincident pairs, else of those apart.
    """
    own = tl.program_id(0)
    part, parts = tl.program_id(1), tl.num_programs(1)
    STEPS: tl.constexpr = BLOCK // COLUMNS
    i = own * BLOCK + tl.arange(0, BLOCK)[:, None]
    ux, uy = tl.load(points + i), tl.load(points + n + i)
    uz = tl.load(points + 2 * n + i)
    if MET:
        lo, hi = tl.load(edges), tl.load(edges + nbins)
    else:
        lo, hi = tl.load(edges + bin), tl.load(edges + bin + 1)
    number = tl.zeros((BLOCK, COLUMNS), dtype=tl.int32)
    weight = tl.zeros((BLOCK, COLUMNS), dtype=tl.float64)
    angle = tl.zeros((BLOCK, COLUMNS), dtype=tl.float64)
    log = tl.zeros((BLOCK, COLUMNS), dtype=tl.float64)
    pr = tl.zeros((BLOCK, COLUMNS), dtype=tl.float64)
    pi = tl.zeros((BLOCK, COLUMNS), dtype=tl.float64)
    mr = tl.zeros((BLOCK, COLUMNS), dtype=tl.float64)
    mi = tl.zeros((BLOCK, COLUMNS), dtype=tl.float64)
    begin, end = tl.load(first + own) * STEPS, tl.load(first + own + 1) * STEPS
    for k in range(begin + part, end, parts):
        j = tl.load(blocks + k // STEPS) * BLOCK + (k % STEPS) * COLUMNS
        j = j + tl.arange(0, COLUMNS)[None, :]
        vx, vy, vz, c, d, w = load_points(others, m, j)
        d2, theta, _s2, re, im, inverse = geometry(ux, uy, uz, vx, vy, vz, FLAT, SHEARS == 2, TERMS)
        if not FLAT:
            theta = theta * (1.0 / ARCMIN)
        counts = (d2 >= lo) & (d2 < hi) & (w != 0.0)
        counts = counts & (d2 <= COINCIDENT if MET else d2 > COINCIDENT)
        if AUTO:
            counts = counts & (j > i)
        number += counts.to(tl.int32)
        w = tl.where(counts, w, 0.0)
        some = theta > 0.0
        weight += w
        angle += w * theta
        log += w * tl.where(some, tl.log(tl.where(some, theta, 1.0)), LOG_ZERO)
        if SHEARS > 0:
            c, d = tl.where(counts, c, 0.0), tl.where(counts, d, 0.0)
        if SHEARS == 1:
            # direction at the second object toward the first, not as long as 1
            dx, dy = vx - ux, vy - uy
            if FLAT:
                a, b = dx, -dy
            else:
                a, b = ux * dy - uy * dx, (vz - uz) - vz * (0.5 * d2)
            norm = a * a + b * b
            none = norm == 0.0
            over = tl.where(none, 0.0, 1.0 / tl.where(none, 1.0, norm))
            cos = tl.where(none, 1.0, (a * a - b * b) * over)
            sin = 2.0 * a * b * over
            pr += c * cos - d * sin
            pi += c * sin + d * cos
        if SHEARS == 2:
            sin = 2.0 * re * im * inverse
            cos = tl.where(inverse == 0.0, 1.0, (re * re - im * im) * inverse)
            mr += c * cos - d * sin
            mi += c * sin + d * cos
            if FLAT:
                pr += c
                pi += -d
            else:
                # Half the turn of g1 conj(g2): as long as that of g1 g2.
                dx, dy, dz = vx - ux, vy - uy, vz - uz
                h = 0.5 * d2
                e = ux * dy - uy * dx
                a, b = dz + uz * h, dz - vz * h
                re, im = e * e + a * b, e * h * (uz + vz)
                sin = 2.0 * re * im * inverse
                cos = tl.where(inverse == 0.0, 1.0, (re * re - im * im) * inverse)
                pr += c * cos + d * sin
                pi += c * sin - d * cos
    at = own * BLOCK + tl.arange(0, BLOCK)
    row = part * ((4 + 2 * SHEARS) * n) + at
    tl.store(out + row, tl.sum(number, 1).to(tl.float64))
    tl.store(out + row + n, tl.sum(weight, 1))
    tl.store(out + row + 2 * n, tl.sum(angle, 1))
    tl.store(out + row + 3 * n, tl.sum(log, 1))
    if SHEARS > 0:
        tl.store(out + row + 4 * n, tl.sum(pr, 1))
        tl.store(out + row + 5 * n, tl.sum(pi, 1))
    if SHEARS == 2:
        tl.store(out + row + 6 * n, tl.sum(mr, 1))
        tl.store(out + row + 7 * n, tl.sum(mi, 1))
