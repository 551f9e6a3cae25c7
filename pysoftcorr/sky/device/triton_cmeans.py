"""A sweep of fuzzy c-means as Triton kernels, for GPUs; see fuzzy.jl.

Memberships are not kept: two numbers an object, the least squared distance and the inverse of the
sum of ratios to it, give them again wherever they are needed.
"""

# Triton compiles the source of these functions, and reads their annotations.
# mypy: ignore-errors

import triton
import triton.language as tl


@triton.jit
def _load(places, n, i, inside, DIMS: tl.constexpr):
    """Coordinates (D, n) of objects or centers."""
    x = tl.load(places + i, mask=inside, other=0.0)
    y = tl.load(places + n + i, mask=inside, other=0.0)
    z = tl.load(places + 2 * n + i, mask=inside, other=0.0) if DIMS == 3 else x * 0.0
    return x, y, z


@triton.jit
def _ratio(x, y, z, a, b, c, low, power, SQUARE: tl.constexpr):
    """(low/d^2)^power, between 0 and 1; 1 on a center."""
    dx, dy, dz = x - a, y - b, z - c
    d2 = dx * dx + dy * dy + dz * dz
    on = d2 == 0.0
    ratio = tl.where(on, 1.0, low / tl.where(on, 1.0, d2))
    if not SQUARE:
        some = ratio > 0.0
        ratio = tl.where(some, tl.exp(power * tl.log(tl.where(some, ratio, 1.0))), 0.0)
    return ratio


@triton.jit
def normalize(
    x, n, v, c, powers, low, inverse,
    DIMS: tl.constexpr, SQUARE: tl.constexpr, OBJECTS: tl.constexpr, CENTERS: tl.constexpr,
):  # fmt: skip
    """Least squared distance of each object to a center, and 1 over the sum of ratios to it.

    x (D, n) and v (D, c); `powers` holds 1/(m - 1) and m.
    """
    rows = tl.program_id(0) * OBJECTS + tl.arange(0, OBJECTS)
    i = rows[:, None]
    px, py, pz = _load(x, n, i, i < n, DIMS)
    least = tl.full((OBJECTS, CENTERS), float("inf"), dtype=tl.float64)
    for start in range(0, c, CENTERS):
        k = start + tl.arange(0, CENTERS)[None, :]
        qx, qy, qz = _load(v, c, k, k < c, DIMS)
        dx, dy, dz = px - qx, py - qy, pz - qz
        d2 = dx * dx + dy * dy + dz * dz
        least = tl.where(k < c, tl.minimum(least, d2), least)
    smallest = tl.min(least, 1)
    power = tl.load(powers)
    total = tl.zeros((OBJECTS, CENTERS), dtype=tl.float64)
    for start in range(0, c, CENTERS):
        k = start + tl.arange(0, CENTERS)[None, :]
        qx, qy, qz = _load(v, c, k, k < c, DIMS)
        ratio = _ratio(px, py, pz, qx, qy, qz, smallest[:, None], power, SQUARE)
        total += tl.where(k < c, ratio, 0.0)
    tl.store(low + rows, smallest, mask=rows < n)
    tl.store(inverse + rows, 1.0 / tl.sum(total, 1), mask=rows < n)


@triton.jit
def gather(
    x, w, n, v, low, inverse, before, low_before, inverse_before, c, powers, sums, moved,
    FIRST: tl.constexpr, DIMS: tl.constexpr, SQUARE: tl.constexpr,
    OBJECTS: tl.constexpr, CENTERS: tl.constexpr,
):  # fmt: skip
    """Sums over the objects of a piece for each center, and the squared change of memberships.

    `sums` (4, pieces, c) gets those of w u^m x, y, z and w u^m; `moved` (pieces, programs) that of
    (u - u before)^2, where the centers were at `before`; of u^2 with FIRST.
    """
    piece, pieces = tl.program_id(1), tl.num_programs(1)
    centers = tl.program_id(0) * CENTERS + tl.arange(0, CENTERS)
    k = centers[None, :]
    qx, qy, qz = _load(v, c, k, k < c, DIMS)
    ox, oy, oz = _load(before, c, k, k < c, DIMS)
    power, m = tl.load(powers), tl.load(powers + 1)
    sx = tl.zeros((OBJECTS, CENTERS), dtype=tl.float64)
    sy = tl.zeros((OBJECTS, CENTERS), dtype=tl.float64)
    sz = tl.zeros((OBJECTS, CENTERS), dtype=tl.float64)
    sw = tl.zeros((OBJECTS, CENTERS), dtype=tl.float64)
    change = tl.zeros((OBJECTS, CENTERS), dtype=tl.float64)
    for start in range(piece * OBJECTS, n, pieces * OBJECTS):
        i = start + tl.arange(0, OBJECTS)[:, None]
        inside = i < n
        px, py, pz = _load(x, n, i, inside, DIMS)
        least = tl.load(low + i, mask=inside, other=0.0)
        u = _ratio(px, py, pz, qx, qy, qz, least, power, SQUARE)
        u = u * tl.load(inverse + i, mask=inside, other=0.0)
        if FIRST:
            step = u
        else:
            least = tl.load(low_before + i, mask=inside, other=0.0)
            old = _ratio(px, py, pz, ox, oy, oz, least, power, SQUARE)
            step = u - old * tl.load(inverse_before + i, mask=inside, other=0.0)
        change += tl.where(inside & (k < c), step * step, 0.0)
        if SQUARE:
            a = u * u
        else:
            some = u > 0.0
            a = tl.where(some, tl.exp(m * tl.log(tl.where(some, u, 1.0))), 0.0)
        a = a * tl.load(w + i, mask=inside, other=0.0)
        sx += a * px
        sy += a * py
        sz += a * pz
        sw += a
    row = piece * c + centers
    tl.store(sums + row, tl.sum(sx, 0), mask=centers < c)
    tl.store(sums + pieces * c + row, tl.sum(sy, 0), mask=centers < c)
    tl.store(sums + 2 * pieces * c + row, tl.sum(sz, 0), mask=centers < c)
    tl.store(sums + 3 * pieces * c + row, tl.sum(sw, 0), mask=centers < c)
    tl.store(moved + piece * tl.num_programs(0) + tl.program_id(0), tl.sum(tl.sum(change, 1), 0))


@triton.jit
def shares(
    x, n, v, low, inverse, c, powers, start, rows, u,
    DIMS: tl.constexpr, SQUARE: tl.constexpr, OBJECTS: tl.constexpr, CENTERS: tl.constexpr,
):  # fmt: skip
    """Memberships u (rows, c) of the objects from `start` on."""
    at = tl.program_id(0) * OBJECTS + tl.arange(0, OBJECTS)[:, None]
    i = start + at
    k = tl.program_id(1) * CENTERS + tl.arange(0, CENTERS)[None, :]
    inside = (at < rows) & (i < n)
    px, py, pz = _load(x, n, i, inside, DIMS)
    qx, qy, qz = _load(v, c, k, k < c, DIMS)
    least = tl.load(low + i, mask=inside, other=0.0)
    ratio = _ratio(px, py, pz, qx, qy, qz, least, tl.load(powers), SQUARE)
    ratio = ratio * tl.load(inverse + i, mask=inside, other=0.0)
    tl.store(u + at.to(tl.int64) * c + k, ratio, mask=inside & (k < c))
