# The differentiable correlation function (Berman et al. 2025, arXiv:2504.06174, sections 4 and 6):
# objects -> centers -> clusters -> soft-binned pair sums, its value for any number type and its
# reverse derivative.

# Which objects are paired: all; clusters by shares U; clusters of nearest objects; relaxed draws.
const NAIVE, SOFT, HARD, GUMBEL = 0, 1, 2, 3
const APPROACHES = (naive = NAIVE, soft = SOFT, hard = HARD, gumbel = GUMBEL)
# How the centers are differentiated: not at all; through one sweep; through the fixed point; through
# every sweep from the start.
const FROZEN, ONE_STEP, IMPLICIT, UNROLLED = 0, 1, 2, 3
const THROUGH = (frozen = FROZEN, one_step = ONE_STEP, implicit = IMPLICIT, unrolled = UNROLLED)

"""
    SoftEstimator(bins; approach = :soft, through = :implicit, m = 2.0, tau = 0.1,
                  noise = zeros(0, 0), straight = false, literal = false, weighted = false,
                  max_iter = 5000, plane = false)

Settings of [`soft_xi`](@ref): what is estimated in the [`SoftBins`](@ref) `bins` and how it is
differentiated (Berman et al. 2025, arXiv:2504.06174, sections 4 and 6).

# Arguments
- `approach`: which points are paired. `:naive` all objects; `:soft` clusters to which objects
  belong in parts, by their memberships; `:hard` clusters of the nearest objects; `:gumbel` clusters
  by a relaxed random draw.
- `through`: how the centers of clusters are differentiated. `:frozen` not at all; `:one_step`
  through one sweep; `:implicit` through the fixed point, exact; `:unrolled` through every sweep.
- `m`: fuzziness, above 1.
- `tau`: temperature of `:gumbel`, which takes Gumbel numbers `noise` (c, N) as well.
- `straight`: of `:gumbel`, the value of the one cluster that an object would fall into and the
  derivative of the relaxed draw.
- `literal`: of `:hard`, each object gets the gradient of its cluster.
- `weighted`: whether the clustering itself honors the weights; all objects count alike without it.
- `max_iter`: largest number of sweeps.
- `plane`: positions are x and y in a plane, in any unit, and so are the bins (their sharpness in its
  inverse).

# Example
```julia
SoftEstimator(SoftBins([0, 20, 45, 80], 0.5); approach = :hard).m == 2
```
"""
struct SoftEstimator{G<:Geometry}
    geometry::G
    bins::SoftBins
    approach::Int
    through::Int
    m::Float64
    tau::Float64
    noise::Matrix{Float64}
    straight::Bool
    literal::Bool
    weighted::Bool
    max_iter::Int
end

function SoftEstimator(bins::SoftBins; approach::Symbol = :soft, through::Symbol = :implicit,
                       m::Real = 2.0, tau::Real = 0.1, noise = zeros(0, 0), straight = false,
                       literal = false, weighted = false, max_iter = 5000,
                       plane::Bool = false)
    for (name, value, known) in (("approach", approach, keys(APPROACHES)),
                                 ("through", through, keys(THROUGH)))
        value in known || throw(ArgumentError(
            "$name must be one of :$(join(known, ", :")); it is :$value"))
    end
    m, tau = (fixed("SoftEstimator", name, q, VALUES_ONLY) for (name, q) in (("m", m), ("tau", tau)))
    m > 1 || throw(ArgumentError("m must be above 1; it is $m"))
    tau > 0 || throw(ArgumentError("tau must be above 0; it is $tau"))
    return SoftEstimator(plane ? Plane() : Sphere(), bins, APPROACHES[approach], THROUGH[through], m,
                         tau, noise, straight, literal, weighted, max_iter)
end

# Sweeps of UNROLLED end when no center moves by more than this (radians).
const UNROLLED_TOL = 1e-15

"Weights of the objects in the clustering."
clustering_weights(est::SoftEstimator, w) = est.weighted ? w : ones(length(w))

moves_centers(est::SoftEstimator) = est.approach == SOFT || est.approach == GUMBEL

# ---- shares ----------------------------------------------------------------------------------

"""
    share_row!(s, f, x, i, v, est, power)

Shares of object `i` in all clusters into `s`, and into `f` the size of their slopes: with
q the exponent of 1/d^2, q s_k/d_k^2, and 0 for an object on a center. Returns the largest.
"""
@inline function share_row!(s, f, x, i, v, est, power)
    est.approach == GUMBEL && return gumbel_row!(s, f, x, i, v, est)
    J = memberships!(s, x, i, v, power)
    factor = iszero(J) ? zero(J) : inv(J) / (est.m - 1)
    best, high = 1, s[1]
    @inbounds @simd for k in eachindex(s)
        f[k] = factor * raise(s[k], power)
    end
    @inbounds for k in eachindex(s)
        s[k] > high && ((best, high) = (k, s[k]))
    end
    return best
end

function gumbel_row!(s, f, x, i, v, est)
    T = eltype(s)
    q = 1 / (est.m - 1)
    low = typemax(T)
    for k in eachindex(s)
        f[k] = distance2(x, i, v, k)
        low = min(low, f[k])
    end
    best, high = 1, typemin(T)
    for k in eachindex(s)
        s[k] = iszero(low) ? (iszero(f[k]) ? T(est.noise[k, i] / est.tau) : typemin(T)) :
            (q * log(low / f[k]) + est.noise[k, i]) / est.tau
        s[k] > high && ((best, high) = (k, s[k]))
    end
    total = zero(T)
    for k in eachindex(s)
        s[k] = s[k] == typemin(T) ? zero(T) : exp(s[k] - high)
        total += s[k]
    end
    for k in eachindex(s)
        s[k] /= total
        f[k] = iszero(low) ? zero(T) : q / est.tau * s[k] / f[k]
    end
    return best
end

"Value of a share: itself, or all or nothing with the derivative of itself."
@inline taken(s, k, best, straight) =
    straight ? (s - primal(s)) + (k == best) : s

"""
    share_sums(est, x, g, w, v) -> (X, M, W)

sum s w x (c, 3), sum s w g (c, 2) and sum s w (c) of the clusters, with s the shares. Generic.
"""
function share_sums(est, x, g, w, v)
    T = promote_type(eltype(x), eltype(g), eltype(w), eltype(v))
    c, n = size(v, 1), size(x, 2)
    power = fuzziness(est.m)
    parts = object_parts(n, 6c)
    found = [zeros(T, 0, 0) for _ in 1:parts]
    chunked(n, parts) do part, range
        sums = zeros(T, c, 6)
        s, f = Vector{T}(undef, c), Vector{T}(undef, c)
        for i in range
            cancelled() && return nothing
            best = share_row!(s, f, x, i, v, est, power)
            add_shares!(sums, s, best, est.straight, x, g, w, i)
        end
        found[part] = sums
    end
    total = add_pieces(found)
    return total[:, 1:3], total[:, 4:5], total[:, 6]
end

function add_shares!(sums, s, best, straight, x, g, w, i)
    @inbounds weight, x1, x2, x3, g1, g2 = w[i], x[1, i], x[2, i], x[3, i], g[1, i], g[2, i]
    @inbounds @simd for k in eachindex(s)
        a = weight * taken(s[k], k, best, straight)
        sums[k, 1] += a * x1
        sums[k, 2] += a * x2
        sums[k, 3] += a * x3
        sums[k, 4] += a * g1
        sums[k, 5] += a * g2
        sums[k, 6] += a
    end
end

"Nearest center of each object: the greedy assignment."
function nearest_centers(x, v)
    labels = zeros(Int, size(x, 2))
    for i in eachindex(labels)
        best, low = 1, distance2(x, i, v, 1)
        for k in 2:size(v, 1)
            d2 = distance2(x, i, v, k)
            d2 < low && ((best, low) = (k, d2))
        end
        labels[i] = best
    end
    return labels
end

function label_sums(labels, c, x, g, w)
    T = promote_type(eltype(x), eltype(g), eltype(w))
    X, M, W = zeros(T, c, 3), zeros(T, c, 2), zeros(T, c)
    for (i, k) in enumerate(labels)
        for d in 1:3
            X[k, d] += w[i] * x[d, i]
        end
        M[k, 1] += w[i] * g[1, i]
        M[k, 2] += w[i] * g[2, i]
        W[k] += w[i]
    end
    return X, M, W
end

"""
Mean places of clusters from their sums X and weights W; an empty cluster, which weighs nothing,
stands at its center `v`.
"""
mean_places(::Plane, X, W, v) =
    [iszero(W[k]) ? v[k, d] + zero(X[k, d]) : X[k, d] / W[k] for k in axes(X, 1), d in 1:3]

function mean_places(::Sphere, X, W, v)
    norms = row_norms(X)
    return [iszero(norms[k]) ? v[k, d] + zero(X[k, d]) : X[k, d] / norms[k] for k in axes(X, 1), d in 1:3]
end

# ---- values ----------------------------------------------------------------------------------

"Centers that carry the derivatives that `est.through` asks for; `v` converged, or a start to unroll."
function carried_centers(est, v, x, w)
    moves_centers(est) || return v
    est.through == IMPLICIT && return carry_centers(est.geometry, v, x, w, est.m)
    est.through == UNROLLED &&
        return unroll_centers(est.geometry, v, x, w, est.m, UNROLLED_TOL, est.max_iter)[1][end]
    est.through == ONE_STEP && promote_type(eltype(x), eltype(w)) !== eltype(v) || return v
    # The value stays that of the converged centers.
    stepped = sweep_centers(est.geometry, x, w, v, est.m)
    return v .+ (stepped .- map(primal, stepped))
end

"Points (X, M, W) whose pairs are summed: clusters by shares stand at their centers, others at their mean."
function paired_points(est, v, x, g, w)
    X, M, W = point_sums(est, v, x, g, w)
    return place_points(est, v, X, W), M, W
end

place_points(est, v, X, W) =
    est.approach == NAIVE ? X : est.approach == SOFT ? v : mean_places(est.geometry, X, W, v)

"Sums X, M, W of the points, before a mean direction is taken. Generic."
function point_sums(est, v, x, g, w)
    est.approach == NAIVE && return permutedims(x), permutedims(g) .* w, w
    est.approach == HARD || return share_sums(est, x, g, w, v)
    return label_sums(nearest_centers(map(primal, x), v), size(v, 1), x, g, w)
end

"""
    soft_correlation_at(est, v, ra, dec, g, w) -> (xi, num, den, coincident)

The estimate at converged centers `v` (c, 3) of the plain values (a start for `UNROLLED`; anything
for `NAIVE`). Angles in degrees (x and y in the plane), g (2, N). Numbers that carry derivatives go through.
"""
function soft_correlation_at(est::SoftEstimator, v, ra, dec, g, w)
    x = places(est.geometry, ra, dec)
    X, M, W = paired_points(est, carried_centers(est, v, x, clustering_weights(est, w)), x, g, w)
    num, den, coincident = soft_pair_sums(est.geometry, est.bins, X, M, W)
    return soft_ratio(num, den), num, den, coincident
end

"""
    soft_xi(estimator, ra, dec, g1, g2; weights = ones(length(ra)), start = zeros(0, 3))
    soft_xi(estimator, ra, dec, g1, g2, weights; start = zeros(0, 3))

Shear correlation function xi of every soft bin, which can be differentiated.

# Arguments
- `estimator`: a [`SoftEstimator`](@ref).
- `ra`, `dec`, `g1`, `g2`: right ascensions and declinations in degrees (x and y, with `plane`), and
  shears, each (N).
- `weights`: (N).
- `start`: centers (c, 3) that the clustering starts from, such as those of
  [`seed_centers`](@ref) (in the plane also (c, 2)); `:naive` needs none.

The arrays of objects may carry derivatives; those of the centers follow from `through` of the
estimator. Bins without pairs hold NaN.

In reverse mode (Zygote and whatever else takes the rules of ChainRules) all five arrays have
cotangents, from one pass over the pairs; weights that matter are then the sixth argument. `start`
is a constant.

# Example
```julia
ra, dec, g1, g2 = [0.1, 0.5, 0.9, 0.4], [0.0, 0.3, 0.2, 0.8], [0.1, 0.2, -0.1, 0.2], zeros(4)
estimator = SoftEstimator(SoftBins([0, 30, 60], 0.5); approach = :naive)
slope = gradient(g -> soft_xi(estimator, ra, dec, g, g2)[1], g1)
length(slope) == 4
```
"""
soft_xi(est::SoftEstimator, ra, dec, g1, g2; weights = ones(length(ra)), start = zeros(0, 3)) =
    soft_xi(est, ra, dec, g1, g2, weights; start = start)

function soft_xi(est::SoftEstimator, ra, dec, g1, g2, weights; start = zeros(0, 3))
    scaled, v, unit = settled(est, ra, dec, g1, g2, weights, start)
    return soft_correlation_at(scaled, v, ra ./ unit, dec ./ unit, permutedims(hcat(g1, g2)), weights)[1]
end

"""
    settled(est, ra, dec, g1, g2, weights, start) -> (est, v, unit)

Checked arguments of `soft_xi`: the estimator in the unit that positions must be divided by, and the
centers that `soft_correlation_at` takes.
"""
function settled(est, ra, dec, g1, g2, weights, start)
    n = length(ra)
    check_objects("soft_xi"; ra = ra, dec = dec, g1 = g1, g2 = g2, weights = weights)
    unit = unit_of(est.geometry, ra, dec)
    v = started(est, fixed("soft_xi", "start", start, "clusters do not depend on where they start; " *
                                                      VALUES_ONLY), unit)
    est.approach == GUMBEL && size(est.noise) != (size(v, 1), n) && throw(DimensionMismatch(
        "soft_xi: noise must be $((size(v, 1), n)), one Gumbel number a center and object; it is " *
        "$(size(est.noise))"))
    est = in_unit(est.geometry, est, unit)
    if est.approach != NAIVE && !(moves_centers(est) && est.through == UNROLLED)
        x0 = places(est.geometry, map(primal, ra) ./ unit, map(primal, dec) ./ unit)
        converge_centers!(est.geometry, v, x0, clustering_weights(est, map(primal, weights)), est.m,
                          est.max_iter)
    end
    return est, v, unit
end

# A copy of the start, as wide as the centers are.
function started(est, start, unit)
    est.approach == NAIVE && return zeros(0, 3)
    columns = est.geometry isa Plane ? (2, 3) : (3,)
    ndims(start) == 2 && size(start, 1) > 0 && size(start, 2) in columns || throw(DimensionMismatch(
        "soft_xi: start must be centers (c, 3); it is $(size(start)): take those of seed_centers"))
    est.geometry isa Sphere && return copy(start)
    return hcat(start[:, 1:2] ./ unit, zeros(size(start, 1)))
end

in_unit(::Sphere, est, unit) = est
function in_unit(::Plane, est, unit)
    b = est.bins
    inverse = b.gaussian ? unit^2 : unit
    bins = SoftBins(b.lo ./ unit, b.hi ./ unit, b.sharpness .* inverse, b.gaussian, b.minus, b.drop)
    return SoftEstimator(est.geometry, bins, est.approach, est.through, est.m, est.tau, est.noise,
                         est.straight, est.literal, est.weighted, est.max_iter)
end

# ---- reverse derivative: each function undoes one of the steps above -----------------------------

"Cotangents of the objects, R at a time: of directions (3, N, R), shears (2, N, R), weights (N, R)."
struct Cotangents
    x::Array{Float64,3}
    g::Array{Float64,3}
    w::Matrix{Float64}
end
Cotangents(n, R) = Cotangents(zeros(3, n, R), zeros(2, n, R), zeros(n, R))

"""
Cotangents `e` of the shares of an object, back through its distances: adds to those of the
centers, `v_[:, :, r]`, and returns those of the object's direction. Only differences of `e` from
that of the largest share enter, so that nothing is lost where one share is nearly 1.
"""
@inline function distances_pullback!(v_, r, e, s, f, best, x, i, v)
    @inbounds base = e[best]
    mean = 0.0
    @inbounds @simd for k in eachindex(e)
        e[k] -= base
        mean += s[k] * e[k]
    end
    @inbounds x1, x2, x3 = x[1, i], x[2, i], x[3, i]
    a = b = c = 0.0
    @inbounds @simd for k in eachindex(e)
        h = 2 * f[k] * (mean - e[k])
        h1, h2, h3 = h * (v[k, 1] - x1), h * (v[k, 2] - x2), h * (v[k, 3] - x3)
        v_[k, 1, r] += h1
        v_[k, 2, r] += h2
        v_[k, 3, r] += h3
        a += h1
        b += h2
        c += h3
    end
    return -a, -b, -c
end

"""
    share_pullback!(to, est, x, g, w, v, X_, M_, W_) -> cotangent of v (c, 3, R)

Back through `share_sums`.
"""
function share_pullback!(to::Cotangents, est, x, g, w, v, X_, M_, W_)
    c, n, R = size(v, 1), size(x, 2), size(W_, 2)
    power = fuzziness(est.m)
    parts = object_parts(n, 3 * c * R)
    found = [zeros(0, 0, 0) for _ in 1:parts]
    chunked(n, parts) do part, range
        v_ = zeros(c, 3, R)
        s, f, e, t = zeros(c), zeros(c), zeros(c), zeros(c)
        for i in range
            cancelled() && return nothing
            best = share_row!(s, f, x, i, v, est, power)
            for k in 1:c
                t[k] = taken(s[k], k, best, est.straight)
            end
            for r in 1:R
                share_cotangents!(to, e, t, x, g, w[i], i, r, X_, M_, W_)
                d = distances_pullback!(v_, r, e, s, f, best, x, i, v)
                for q in 1:3
                    to.x[q, i, r] += d[q]
                end
            end
        end
        found[part] = v_
    end
    return add_pieces(found)
end

@inline function share_cotangents!(to, e, t, x, g, weight, i, r, X_, M_, W_)
    @inbounds x1, x2, x3, g1, g2 = x[1, i], x[2, i], x[3, i], g[1, i], g[2, i]
    a = b = c = p = q = z = 0.0
    @inbounds @simd for k in eachindex(e)
        h = M_[k, 1, r] * g1 + M_[k, 2, r] * g2 + W_[k, r] +
            X_[k, 1, r] * x1 + X_[k, 2, r] * x2 + X_[k, 3, r] * x3
        z += t[k] * h
        p += t[k] * M_[k, 1, r]
        q += t[k] * M_[k, 2, r]
        a += t[k] * X_[k, 1, r]
        b += t[k] * X_[k, 2, r]
        c += t[k] * X_[k, 3, r]
        e[k] = weight * h
    end
    to.w[i, r] += z
    to.g[1, i, r] += weight * p
    to.g[2, i, r] += weight * q
    to.x[1, i, r] += weight * a
    to.x[2, i, r] += weight * b
    to.x[3, i, r] += weight * c
    return nothing
end

"""
    sweep_pullback!(to, geometry, m, x, w, v, S_, next) -> cotangent of v (c, 3, R)

Back through the sums S_k = sum_i w_i u_ik^m x_i of a sweep from `v` to `next`, from their cotangents
`S_` (c, 3, R). In the plane these are cotangents of S_k - A_k next_k: that A_k is divided by.
"""
function sweep_pullback!(to::Cotangents, geometry, m, x, w, v, S_, next)
    c, n, R = size(v, 1), size(x, 2), size(S_, 3)
    power = fuzziness(m)
    # S_k . x_i from the difference x_i - v_k, and the rest, which is 0 at a fixed point
    base = along_sums(geometry, v, next)
    rest = [S_[k, 1, r] * base[k, 1] + S_[k, 2, r] * base[k, 2] + S_[k, 3, r] * base[k, 3]
            for k in 1:c, r in 1:R]
    parts = object_parts(n, 3 * c * R)
    found = [zeros(0, 0, 0) for _ in 1:parts]
    chunked(n, parts) do part, range
        v_ = zeros(c, 3, R)
        u, f, e, um = zeros(c), zeros(c), zeros(c), zeros(c)
        for i in range
            cancelled() && return nothing
            J = memberships!(u, x, i, v, power)
            factor = iszero(J) ? 0.0 : inv(J) / (m - 1)
            best = argmax(u)
            @inbounds @simd for k in 1:c
                um[k] = raise(u[k], power)
                f[k] = factor * um[k]
            end
            for r in 1:R
                sum_cotangents!(to, e, u, um, x, w[i], i, r, v, S_, rest, m, power)
                d = distances_pullback!(v_, r, e, u, f, best, x, i, v)
                for q in 1:3
                    to.x[q, i, r] += d[q]
                end
            end
        end
        found[part] = v_
    end
    return add_pieces(found)
end

along_sums(::Sphere, v, next) = v
along_sums(::Plane, v, next) = v .- next

# d(u^m)/du
@inline slope(u, m, ::Val{2}) = 2 * u
@inline slope(u, m, power) = m * u^(m - 1)

@inline function sum_cotangents!(to, e, u, um, x, weight, i, r, v, S_, rest, m, power)
    @inbounds x1, x2, x3 = x[1, i], x[2, i], x[3, i]
    a = b = c = z = 0.0
    @inbounds @simd for k in eachindex(e)
        h = S_[k, 1, r] * (x1 - v[k, 1]) + S_[k, 2, r] * (x2 - v[k, 2]) +
            S_[k, 3, r] * (x3 - v[k, 3]) + rest[k, r]
        z += um[k] * h
        a += um[k] * S_[k, 1, r]
        b += um[k] * S_[k, 2, r]
        c += um[k] * S_[k, 3, r]
        e[k] = weight * slope(u[k], m, power) * h
    end
    to.w[i, r] += z
    to.x[1, i, r] += weight * a
    to.x[2, i, r] += weight * b
    to.x[3, i, r] += weight * c
    return nothing
end

"""
    divided_pullback(geometry, next, lengths, n_) -> cotangents of S

Back through `next` = S/lengths; 0 where the length is.
"""
divided_pullback(::Sphere, next, lengths, n_) = unit_pullback(next, lengths, n_)
divided_pullback(::Plane, next, lengths, n_) =
    [iszero(lengths[k]) ? 0.0 : n_[k, d, r] / lengths[k] for k in axes(n_, 1), d in 1:3, r in axes(n_, 3)]

"Back through the normalization n = X/|X|; 0 where X is."
function unit_pullback(n, norms, n_)
    X_ = zero(n_)
    for r in axes(n_, 3), k in axes(n_, 1)
        iszero(norms[k]) && continue
        along = sum(n[k, d] * n_[k, d, r] for d in 1:3)
        for d in 1:3
            X_[k, d, r] = (n_[k, d, r] - n[k, d] * along) / norms[k]
        end
    end
    return X_
end

function label_pullback!(to::Cotangents, labels, x, g, w, X_, M_, W_)
    for r in axes(W_, 2), (i, k) in enumerate(labels)
        to.w[i, r] += W_[k, r] + sum(M_[k, d, r] * g[d, i] for d in 1:2) +
            sum(X_[k, d, r] * x[d, i] for d in 1:3)
        for d in 1:3
            to.x[d, i, r] += w[i] * X_[k, d, r]
        end
        for d in 1:2
            to.g[d, i, r] += w[i] * M_[k, d, r]
        end
    end
end

"Record of a reverse pass: seconds (clusters, pairs, back, solve), kind of the solve, reciprocal condition."
mutable struct Report
    seconds::Vector{Float64}
    kind::Int
    rcond::Float64
end
Report() = Report(zeros(4), 0, 1.0)

function timed(f, report, stage)
    start = time_ns()
    result = f()
    report.seconds[stage] += (time_ns() - start) / 1e9
    return result
end

"Carry the cotangent of the (last) centers (c, 3, R) back to the objects."
function centers_pullback!(to::Cotangents, report, est, iterates, x, w, v_)
    est.through == FROZEN && return nothing
    if est.through == IMPLICIT
        v = iterates[end]
        S_ = timed(() -> implicit_sums(report, est.geometry, est.m, v, x, w, v_), report, 4)
        timed(() -> sweep_pullback!(to, est.geometry, est.m, x, w, v, S_, v), report, 3)
        return nothing
    end
    timed(report, 3) do
        est.through == UNROLLED ? unrolled_pullback!(to, est.geometry, est.m, iterates, x, w, v_) :
            sweep_pullback!(to, est.geometry, est.m, x, w, iterates[end],
                            step_sums(est.geometry, est.m, iterates[end], iterates[end], x, w, v_)[1],
                            iterates[end])
    end
    return nothing
end

"Cotangents of the sums of a sweep from `v` to `next`, and which centers have no objects and stay."
function step_sums(geometry, m, v, next, x, w, v_)
    T, A = pulls(x, w, v, m)
    lengths = lengths_of(geometry, T, A, v)
    return divided_pullback(geometry, next, lengths, v_), map(iszero, lengths)
end

function unrolled_pullback!(to::Cotangents, geometry, m, iterates, x, w, v_)
    for j in (length(iterates) - 1):-1:1
        S_, stays = step_sums(geometry, m, iterates[j], iterates[j + 1], x, w, v_)
        v_ = sweep_pullback!(to, geometry, m, x, w, iterates[j], S_, iterates[j + 1]) .+ stays .* v_
    end
end

"Cotangents of the sums S from those of the fixed point: H s = v_ on the tangent planes."
function implicit_sums(report, geometry, m, v, x, w, v_)
    f = factor(hessian(geometry, x, w, v, m)...)
    report.kind, report.rcond = f.kind, f.rcond
    frames = tangent_frames(geometry, v)
    S_ = zero(v_)
    for r in axes(v_, 3)
        b = flat(frames, v_[:, :, r])
        all(iszero, b) || (S_[:, :, r] = round_up(frames, solve(f, b)))
    end
    return S_
end

"""
    soft_correlation_pullback(est, v, ra, dec, g, w, cotangent)
        -> (xi, ra_, dec_, g_, w_, report, coincident)

Reverse derivative: from cotangents (nbins, R) of xi those of right ascension and declination
(N, R), per degree (or of x and y), of g (2, N, R) and w (N, R). Arguments as for `soft_correlation_at`.
"""
function soft_correlation_pullback(est::SoftEstimator, v, ra, dec, g, w, cotangent)
    report = Report()
    x = places(est.geometry, ra, dec)
    to = Cotangents(length(w), size(cotangent, 2))
    share = clustering_weights(est, w)
    iterates = timed(() -> swept_centers(est, v, x, share), report, 1)
    last = iterates[end]
    X, M, W = timed(() -> point_sums(est, last, x, g, w), report, 1)
    place = place_points(est, last, X, W)
    num, den, coincident = timed(() -> soft_pair_sums(est.geometry, est.bins, place, M, W), report, 2)
    points = timed(report, 2) do
        soft_pair_pullback(est.geometry, est.bins, place, M, W, ratio_pullback(cotangent, num, den)...)
    end
    v_ = timed(() -> points_pullback!(to, est, last, x, g, w, X, M, W, place, points...), report, 3)
    if moves_centers(est)
        into = est.weighted ? to : Cotangents(to.x, to.g, zero(to.w))
        centers_pullback!(into, report, est, iterates, x, share, v_)
    end
    ra_, dec_ = sky_cotangents(est.geometry, to, ra, dec)
    if est.approach == HARD && est.literal
        literal_sky!(est.geometry, ra_, dec_, nearest_centers(x, last), place, points[1])
    end
    return soft_ratio(num, den), ra_, dec_, to.g, to.w, report, coincident
end

swept_centers(est, v, x, w) = moves_centers(est) && est.through == UNROLLED ?
    unroll_centers(est.geometry, v, x, w, est.m, UNROLLED_TOL, est.max_iter)[1] : [v]

"From cotangents of the points to those of the objects; returns that of the centers (c, 3, R)."
function points_pullback!(to::Cotangents, est, v, x, g, w, X, M, W, place, x_, M_, W_)
    if est.approach == NAIVE
        to.x .+= permutedims(x_, (2, 1, 3))
        to.g .+= permutedims(M_ .* w, (2, 1, 3))
        to.w .+= W_ .+ M_[:, 1, :] .* g[1, :] .+ M_[:, 2, :] .* g[2, :]
        return x_
    end
    if est.approach == SOFT
        return x_ .+ share_pullback!(to, est, x, g, w, v, zero(x_), M_, W_)
    end
    X_, W_ = places_pullback(est.geometry, place, X, W, x_, W_)
    est.approach == GUMBEL && return share_pullback!(to, est, x, g, w, v, X_, M_, W_)
    labels = nearest_centers(x, v)
    if est.literal
        literal_pullback!(to, labels, M, W, M_, W_)
    else
        label_pullback!(to, labels, x, g, w, X_, M_, W_)
    end
    return x_
end

"Back through `mean_places`: cotangents of the sums X, and those of the weights with what they get."
places_pullback(geometry::Sphere, place, X, W, x_, W_) = (unit_pullback(place, row_norms(X), x_), W_)
function places_pullback(geometry::Plane, place, X, W, x_, W_)
    X_ = divided_pullback(geometry, place, W, x_)
    return X_, W_ .- dropdims(sum(X_ .* place, dims = 2), dims = 2)
end

# The paper's rule: an object's gradient is that of its cluster's mean shear and weight.
function literal_pullback!(to::Cotangents, labels, M, W, M_, W_)
    for r in axes(W_, 2), (i, k) in enumerate(labels)
        iszero(W[k]) && continue
        to.w[i, r] = W_[k, r] + (M_[k, 1, r] * M[k, 1] + M_[k, 2, r] * M[k, 2]) / W[k]
        to.g[1, i, r] = W[k] * M_[k, 1, r]
        to.g[2, i, r] = W[k] * M_[k, 2, r]
    end
end

# The paper's rule for positions: right ascension and declination of the cluster.
function literal_sky!(::Plane, x_, y_, labels, place, place_)
    for r in axes(x_, 2), (i, k) in enumerate(labels)
        x_[i, r], y_[i, r] = place_[k, 1, r], place_[k, 2, r]
    end
end

function literal_sky!(::Sphere, ra_, dec_, labels, place, x_)
    for r in axes(ra_, 2), (i, k) in enumerate(labels)
        a, d = atan(place[k, 2], place[k, 1]), atan(place[k, 3], hypot(place[k, 1], place[k, 2]))
        ra_[i, r], dec_[i, r] = sky_part(a, d, x_[k, 1, r], x_[k, 2, r], x_[k, 3, r])
    end
end

"Components of a cotangent of a direction along right ascension and declination, per degree."
@inline function sky_part(ra, dec, x, y, z)
    sa, ca = sincos(ra)
    sd, cd = sincos(dec)
    return deg2rad(cd * (ca * y - sa * x)), deg2rad(cd * z - sd * (ca * x + sa * y))
end

sky_cotangents(::Plane, to::Cotangents, x, y) = (to.x[1, :, :], to.x[2, :, :])
function sky_cotangents(::Sphere, to::Cotangents, ra, dec)
    n, R = size(to.w)
    ra_, dec_ = zeros(n, R), zeros(n, R)
    for r in 1:R, i in 1:n
        a = deg2rad(ra[i] - 360 * round(ra[i] / 360))
        ra_[i, r], dec_[i, r] = sky_part(a, deg2rad(dec[i]), to.x[1, i, r], to.x[2, i, r], to.x[3, i, r])
    end
    return ra_, dec_
end
