# Soft-binned pair sums of shears (Berman et al. 2025, arXiv:2504.06174, eqs. 22 and 23) and their
# hand-written reverse derivative.
#
# A point k (an object or a cluster) has a place x_k, a weight W_k and a weighted shear
# M_k = sum w g. In bin b, with theta in arcmin (in the plane, in the unit of x and y) and Phi the turn
# of both shears to the line that joins them,
#   num_b = sum_{k<l} B_b(theta) Re[M_k M_l' Phi],  den_b = sum_{k<l} B_b(theta) W_k W_l,
# where ' is the conjugate for xi+ and nothing for xi-, and xi_b = num_b / den_b. Nothing is
# divided by a point's weight, so that empty clusters need no care.
#
# Points are rows: x (n, 3), M (n, 2), W (n).

"""
    SoftBins(edges, sharpness; gaussian = false, minus = false, drop = minus)
    SoftBins(lo, hi, sharpness, gaussian, minus, drop)

Bins of separation with soft edges (Berman et al. 2025, arXiv:2504.06174, eq. 23): limits `edges`
(or `lo` and `hi` of each bin) in arcmin; `sharpness`, one number or one a bin, of the sigmoid edges
(1/arcmin) or, with `gaussian`, of a Gaussian about the middle (1/arcmin^2); `minus` for xi-
instead of xi+; `drop` leaves out coincident pairs, which have no direction: xi- always does.

# Example
```julia
SoftBins([0, 20, 45, 80], 20 ./ [20, 25, 35]).hi == [20, 45, 80]
```
"""
struct SoftBins
    lo::Vector{Float64}
    hi::Vector{Float64}
    sharpness::Vector{Float64}
    gaussian::Bool
    minus::Bool
    drop::Bool
    SoftBins(lo, hi, sharpness, gaussian, minus, drop) =
        new(lo, hi, sharpness, gaussian, minus, drop || minus)
end

function SoftBins(edges::AbstractVector, sharpness; gaussian = false, minus = false, drop = minus)
    limits = fixed("SoftBins", "edges", edges, VALUES_ONLY)
    steep = fixed("SoftBins", "sharpness", sharpness, VALUES_ONLY)
    n = length(limits) - 1
    n >= 1 && all(diff(limits) .> 0) || throw(ArgumentError("edges must increase; they are $limits"))
    all(steep .> 0) || throw(ArgumentError("sharpness must be above 0; it is $steep"))
    length(steep) in (1, n) || throw(DimensionMismatch(
        "sharpness must be one number or $n, one a bin; there are $(length(steep))"))
    return SoftBins(limits[1:n], limits[2:end], steep .* ones(n), gaussian, minus, drop)
end

nbins(bins::SoftBins) = length(bins.lo)

Base.getindex(bins::SoftBins, which) = SoftBins(bins.lo[which], bins.hi[which], bins.sharpness[which],
                                                bins.gaussian, bins.minus, bins.drop)

const ARCMIN = 10800 / pi                 # arcmin in a radian
# exp(-745.2) is below the least positive number: beyond this a weight is exactly 0.
const UNDERFLOW = 745.2
# A bin whose weights sum to less has no pairs.
const NO_PAIRS = 1e-290

"1/(1 + exp(-t)), written so that neither it nor its derivative overflows."
@inline function sigmoid(t)
    t >= 0 && return inv(1 + exp(-t))
    e = exp(t)
    return e / (1 + e)
end

# Most pairs are far outside of most bins: nothing else need be computed for them.
@inline underflows(s, lo, hi, theta) = s * min(theta - lo, hi - theta) < -UNDERFLOW

"Weight of a pair at `theta` arcmin in bin `b`."
@inline function bin_weight(bins::SoftBins, b, theta)
    @inbounds s, lo, hi = bins.sharpness[b], bins.lo[b], bins.hi[b]
    bins.gaussian && return exp(-s * (theta - (lo + hi) / 2)^2)
    underflows(s, lo, hi, primal(theta)) && return zero(s * theta)
    return sigmoid(s * (theta - lo)) * sigmoid(s * (hi - theta))
end

"The weight and its derivative with respect to `theta`."
@inline function bin_weight_slope(bins::SoftBins, b, theta)
    @inbounds s, lo, hi = bins.sharpness[b], bins.lo[b], bins.hi[b]
    if bins.gaussian
        t = theta - (lo + hi) / 2
        weight = exp(-s * t^2)
        return weight, -2 * s * t * weight
    end
    underflows(s, lo, hi, primal(theta)) && return zero(s * theta), zero(s * theta)
    rise, fall = sigmoid(s * (theta - lo)), sigmoid(s * (hi - theta))
    weight = rise * fall
    return weight, s * weight * (fall - rise)
end

# Unit of theta in that of `separation`.
theta_unit(::Sphere) = ARCMIN
theta_unit(::Plane) = 1.0

"Squared chord beyond which every weight is 0."
function soft_reach2(geometry::Geometry, bins::SoftBins)
    far = maximum(bins.gaussian ?
        (bins.lo .+ bins.hi) ./ 2 .+ sqrt.(UNDERFLOW ./ bins.sharpness) :
        bins.hi .+ UNDERFLOW ./ bins.sharpness)
    return chord2_of(geometry, far)
end

chord2_of(::Sphere, theta) = theta >= 180 * 60 ? Inf : 4 * sin(theta / ARCMIN / 2)^2
chord2_of(::Plane, theta) = theta^2

# What follows has no derivative with respect to positions where sin^2(theta) is below COINCIDENT:
# such points are the same to rounding, or antipodal, and nothing can be said of the direction from
# one to the other.

"""
    pair_turn(geometry, u, v, minus) -> (re, im)

A complex number z whose direction is half the turn of a pair of shears: Phi = z^2/|z|^2. It is
the product of the two `projections` (the first with the conjugate of the second for xi+) with
what cancels for close pairs already cancelled. It is 0 for antipodal pairs and, for xi-, coincident
ones; of these, xi+ only needs the turn from one frame to the other, at a pole.
"""
@inline function pair_turn(::Sphere, u, v, minus)
    dx, dy, dz = v[1] - u[1], v[2] - u[2], v[3] - u[3]
    h = (dx^2 + dy^2 + dz^2) / 2
    c = u[1] * dy - u[2] * dx
    a, b = dz + u[3] * h, dz - v[3] * h
    re, im = minus ? (a * b - c^2, -c * dz * (2 - h)) : (c^2 + a * b, c * h * (u[3] + v[3]))
    # |z| is about sin^2(theta): what is left of it for such points is rounding.
    primal(re)^2 + primal(im)^2 < COINCIDENT^2 || return re, im
    minus || primal(h) > 1 ? (zero(re), zero(im)) : (primal(re) + zero(re), primal(im) + zero(im))
end

@inline function pair_turn(::Plane, u, v, minus)
    dx, dy = v[1] - u[1], v[2] - u[2]
    minus || return one(dx), zero(dx)
    primal(dx)^2 + primal(dy)^2 <= COINCIDENT && return zero(dx), zero(dx)
    return dx^2 - dy^2, -2 * dx * dy
end

"""
    turn_slope(geometry, u, v, minus, re, im) -> (along u, along v)

Derivatives of the direction of z, arg(z), with respect to `u` and `v`, as vectors of which only
the parts tangent to the sphere mean something; 0 for coincident and antipodal pairs.
"""
@inline function turn_slope(::Sphere, u, v, minus, re, im)
    zero3 = (zero(re), zero(re), zero(re))
    n = re^2 + im^2
    n < COINCIDENT^2 && return zero3, zero3
    dx, dy, dz = v[1] - u[1], v[2] - u[2], v[3] - u[3]
    h = (dx^2 + dy^2 + dz^2) / 2
    c = u[1] * dy - u[2] * dx
    a, b = dz + u[3] * h, dz - v[3] * h
    # Reverse through the lines of `pair_turn`.
    re_, im_ = -im / n, re / n
    s = minus ? -one(c) : one(c)
    a_, b_ = re_ * b, re_ * a
    c_ = 2 * s * re_ * c
    if minus
        c_ -= im_ * dz * (2 - h)
        h_ = im_ * c * dz
        dz_ = -im_ * c * (2 - h) + a_ + b_
        u3_ = v3_ = zero(c)
    else
        c_ += im_ * h * (u[3] + v[3])
        h_ = im_ * c * (u[3] + v[3])
        dz_ = a_ + b_
        u3_ = v3_ = im_ * c * h
    end
    h_ += a_ * u[3] - b_ * v[3]
    u3_ += a_ * h
    v3_ -= b_ * h
    px, py, pz = h_ * dx, h_ * dy, h_ * dz + dz_
    # c = u1 v2 - u2 v1, the same number as above
    return (c_ * v[2] - px, -c_ * v[1] - py, u3_ - pz), (px - c_ * u[2], py + c_ * u[1], v3_ + pz)
end

@inline function turn_slope(::Plane, u, v, minus, re, im)
    dx, dy = v[1] - u[1], v[2] - u[2]
    t = dx^2 + dy^2
    flat = zero(t)
    (!minus || t <= COINCIDENT) && return (flat, flat, flat), (flat, flat, flat)
    # arg(z) is minus twice the direction of v seen from u
    return (-2 * dy / t, 2 * dx / t, flat), (2 * dy / t, -2 * dx / t, flat)
end

"`separation` in units of the bins, without derivative where `separation_slope` is 0."
@inline function soft_separation(::Sphere, u, v)
    t = chord2(u, v)
    near = primal(t * (4 - t)) < 4 * COINCIDENT
    return ARCMIN * (near ? separation(map(primal, u), map(primal, v)) + zero(t) : separation(u, v))
end

@inline function soft_separation(geometry::Plane, u, v)
    t = chord2(u, v)
    return primal(t) <= COINCIDENT ? sqrt(primal(t)) + zero(t) : sqrt(t)
end

"""
    separation_slope(geometry, u, v) -> (along u, along v)

Derivatives of the `separation` as vectors of which only the tangent parts mean something;
0 for a coincident or antipodal pair.
"""
@inline function separation_slope(::Sphere, u, v)
    cx = u[2] * v[3] - u[3] * v[2]
    cy = u[3] * v[1] - u[1] * v[3]
    cz = u[1] * v[2] - u[2] * v[1]
    s2 = cx^2 + cy^2 + cz^2
    zero3 = (zero(s2), zero(s2), zero(s2))
    s2 < COINCIDENT && return zero3, zero3
    f = inv(sqrt(s2))
    if u[1] * v[1] + u[2] * v[2] + u[3] * v[3] >= 0
        # -v and u - v have the same tangent part at u; the second keeps the digits of close pairs
        d = ((u[1] - v[1]) * f, (u[2] - v[2]) * f, (u[3] - v[3]) * f)
        return d, (-d[1], -d[2], -d[3])
    end
    d = (-(u[1] + v[1]) * f, -(u[2] + v[2]) * f, -(u[3] + v[3]) * f)
    return d, d
end

@inline function separation_slope(::Plane, u, v)
    dx, dy = u[1] - v[1], u[2] - v[2]
    t = dx^2 + dy^2
    flat = zero(t)
    t <= COINCIDENT && return (flat, flat, flat), (flat, flat, flat)
    f = inv(sqrt(t))
    return (dx * f, dy * f, flat), (-dx * f, -dy * f, flat)
end

"cos and sin of twice the direction of (re, im); no turn where that is 0."
@inline function double_angle(re, im)
    n = re^2 + im^2
    iszero(n) && return one(n), zero(n)
    return (re^2 - im^2) / n, 2 * re * im / n
end

# ---- splitting the pairs ---------------------------------------------------------------------

"Rows of piece `p` of `parts`, so that the pairs i < j of n points are shared out evenly."
function pair_rows(n, parts, p)
    edge(q) = q >= parts ? n : floor(Int, n * (1 - sqrt(1 - q / parts)))
    return (edge(p - 1) + 1):edge(p)
end

"Number of pieces, of which each keeps `numbers` numbers: a function of the work alone."
pair_parts(n, numbers) = n <= 48 ? 1 : clamp(div(1 << 23, max(numbers, 1)), 4, 32)

@inline point(x, k) = @inbounds (x[k, 1], x[k, 2], x[k, 3])

# ---- values ----------------------------------------------------------------------------------

"""
    soft_pair_sums_brute(geometry, bins, x, M, W) -> (num, den, coincident)

The sums of each bin over all pairs of points, and the number of coincident pairs that carry weight:
the definition, pair by pair. Generic in the number type.
"""
function soft_pair_sums_brute(geometry::Geometry, bins::SoftBins, x, M, W)
    T = promote_type(eltype(x), eltype(M), eltype(W))
    n, nb = length(W), nbins(bins)
    parts = pair_parts(n, 2nb)
    sums = zeros(T, 2, nb, parts)
    coincident = zeros(Int, parts)
    reach2 = soft_reach2(geometry, bins)
    chunked(parts, parts) do p, _
        s = zeros(T, 2, nb)
        for i in pair_rows(n, parts, p)
            cancelled() && return nothing
            u = point(x, i)
            @inbounds for j in (i + 1):n
                coincident[p] += sum_pair!(s, geometry, bins, u, point(x, j), (M[i, 1], M[i, 2]),
                                           (M[j, 1], M[j, 2]), W[i], W[j], reach2)
            end
        end
        sums[:, :, p] = s
    end
    total = [sum(sums[q, b, p] for p in 1:parts) for q in 1:2, b in 1:nb]
    return total[1, :], total[2, :], sum(coincident)
end

"Add a pair to the sums `s` (2, nbins); whether it is a coincident one that carries weight."
@inline function sum_pair!(s, geometry, bins, u, v, Mi, Mj, Wi, Wj, reach2)
    t = chord2(u, v)
    t > reach2 && return false
    met = false
    if t <= COINCIDENT
        met = !(iszero(Wi) || iszero(Wj))
        bins.drop && return met
    end
    theta = soft_separation(geometry, u, v)
    re, im = double_angle(pair_turn(geometry, u, v, bins.minus)...)
    N = product(Mi, Mj, re, im, bins.minus)[1]
    D = Wi * Wj
    for b in 1:nbins(bins)
        weight = bin_weight(bins, b, theta)
        @inbounds s[1, b] += weight * N
        @inbounds s[2, b] += weight * D
    end
    return met
end

"Real and imaginary part of M_i M_j' Phi."
@inline function product(Mi, Mj, re, im, minus)
    a, b, c, d = Mi[1], Mi[2], Mj[1], minus ? Mj[2] : -Mj[2]
    g, h = a * c - b * d, a * d + b * c
    return g * re - h * im, g * im + h * re
end

"xi of each bin; NaN where there are no pairs."
soft_ratio(num, den) =
    [primal(d) > NO_PAIRS ? n / d : oftype(n / one(d), NaN) for (n, d) in zip(num, den)]

# ---- reverse derivative ----------------------------------------------------------------------

"""
    ratio_pullback(cotangent, num, den) -> (num_, den_)

Cotangents (nbins, R) of the sums from those of xi; a bin without pairs has gradient 0.
"""
function ratio_pullback(cotangent, num, den)
    T = promote_type(eltype(cotangent), eltype(num), eltype(den))
    num_, den_ = zeros(T, size(cotangent)), zeros(T, size(cotangent))
    for r in axes(cotangent, 2), b in axes(cotangent, 1)
        den[b] > NO_PAIRS || continue
        vanishes(cotangent[b, r]) && continue
        num_[b, r] = cotangent[b, r] / den[b]
        den_[b, r] = -num_[b, r] * (num[b] / den[b])
    end
    return num_, den_
end

"""
    soft_pair_pullback_brute(geometry, bins, x, M, W, num_, den_) -> (x_, M_, W_)

Cotangents (n, 3, R), (n, 2, R) and (n, R) of the points from `num_`, `den_` (nbins, R) of the
sums. Only the tangent parts of `x_` mean something. Generic in the number type.
"""
function soft_pair_pullback_brute(geometry::Geometry, bins::SoftBins, x, M, W, num_, den_)
    T = promote_type(eltype(x), eltype(M), eltype(W), eltype(num_), eltype(den_))
    n, R = length(W), size(num_, 2)
    parts = pair_parts(n, 6 * n * R)
    pieces = [zeros(T, 0, 0, 0) for _ in 1:parts]
    reach2 = soft_reach2(geometry, bins)
    single = one_bin_each(num_, den_)
    chunked(parts, parts) do p, _
        acc = zeros(T, n, 6, R)
        scratch = zeros(T, nbins(bins)), zeros(T, nbins(bins))
        for i in pair_rows(n, parts, p)
            cancelled() && return nothing
            u = point(x, i)
            @inbounds for j in (i + 1):n
                pull_pair!(acc, scratch, geometry, bins, i, j, u, point(x, j), (M[i, 1], M[i, 2]),
                           (M[j, 1], M[j, 2]), W[i], W[j], num_, den_, reach2, single)
            end
        end
        pieces[p] = acc
    end
    total = add_pieces(pieces)
    return total[:, 1:3, :], total[:, 4:5, :], total[:, 6, :]
end

# One cotangent a bin, as in the whole Jacobian: each needs its own bin only.
one_bin_each(num_, den_) = size(num_, 1) == size(num_, 2) &&
    all(b == r || (vanishes(num_[b, r]) && vanishes(den_[b, r]))
        for b in axes(num_, 1), r in axes(num_, 2))

"Add what a pair gives to the cotangents `acc` (n, 6, R) of its points i and j."
@inline function pull_pair!(acc, (weight, slope), geometry, bins, i, j, u, v, Mi, Mj, Wi, Wj, num_, den_,
                            reach2, single)
    nb, R = size(num_)
    minus = bins.minus
    t = chord2(u, v)
    (t > reach2 || (bins.drop && t <= COINCIDENT)) && return nothing
    theta = soft_separation(geometry, u, v)
    seen = false
    @inbounds for b in 1:nb
        weight[b], slope[b] = bin_weight_slope(bins, b, theta)
        seen |= !iszero(weight[b])
    end
    seen || return nothing
    zr, zi = pair_turn(geometry, u, v, minus)
    re, im = double_angle(zr, zi)
    N, Q = product(Mi, Mj, re, im, minus)
    D = Wi * Wj
    tu, tv = separation_slope(geometry, u, v)
    fu, fv = turn_slope(geometry, u, v, minus, zr, zi)
    di, dj = product_slopes(Mi, Mj, re, im, minus)
    @inbounds for r in 1:R
        if single
            n_ = weight[r] * num_[r, r]
            d_ = weight[r] * den_[r, r]
            t_ = slope[r] * (num_[r, r] * N + den_[r, r] * D)
        else
            n_ = d_ = t_ = zero(eltype(acc))
            for q in 1:nb
                n_ += weight[q] * num_[q, r]
                d_ += weight[q] * den_[q, r]
                t_ += slope[q] * (num_[q, r] * N + den_[q, r] * D)
            end
        end
        t_ *= theta_unit(geometry)
        f_ = -2 * Q * n_
        for q in 1:3
            acc[i, q, r] += t_ * tu[q] + f_ * fu[q]
            acc[j, q, r] += t_ * tv[q] + f_ * fv[q]
        end
        for q in 1:2
            acc[i, 3 + q, r] += n_ * di[q]
            acc[j, 3 + q, r] += n_ * dj[q]
        end
        acc[i, 6, r] += d_ * Wj
        acc[j, 6, r] += d_ * Wi
    end
    return nothing
end

"Derivatives of Re[M_i M_j' Phi] with respect to M_i and to M_j."
@inline function product_slopes((a, b), (c, d), re, im, minus)
    sign = minus ? -1.0 : 1.0
    return (c * re + sign * d * im, sign * d * re - c * im), (a * re - b * im, sign * (b * re + a * im))
end
