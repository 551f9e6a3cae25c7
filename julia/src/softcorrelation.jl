# The differentiable correlation function (Berman et al. 2025, arXiv:2504.06174, sections 4 and 6):
# objects -> centers -> clusters -> soft-binned pair sums, its value for any number type.

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
    sums, coincident = sums!(shear_pairs(est.geometry, est.bins, X, M, W))
    num, den = sums[1, :], sums[2, :]
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
