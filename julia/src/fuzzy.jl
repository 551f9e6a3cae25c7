# Fuzzy c-means (Bezdek 1984; Berman et al. 2025, eqs. 15-18) on unit vectors (three rows,
# centers renormalized) or in a plane (two rows).
#
# The distance is the chord: the objective that it defines is the one that the renormalized
# mean of unit vectors minimizes, so that the objective cannot rise.
#
# Objects are columns, x (D, N). Centers are rows, v (c, D), so that a loop over centers is
# contiguous. The fuzziness m is a number, or Val(2) where the powers reduce to squares.

"Number of pieces that sums over n objects are cut into: a function of n alone."
pieces(n) = clamp(n >> 7, 1, 64)

@inline raise(r, ::Val{2}) = r * r
@inline raise(r, m) = r^m
fuzziness(m) = m == 2 ? Val(2) : m

@inline function distance2(x, i, v, k)
    @inbounds d2 = (x[1, i] - v[k, 1])^2 + (x[2, i] - v[k, 2])^2
    size(v, 2) == 2 && return d2
    return @inbounds d2 + (x[3, i] - v[k, 3])^2
end

"""
    memberships!(u, x, i, v, m) -> sum_k u_k^m d_k^2

Memberships of object `i` in all centers, into `u`: (d_min/d_k)^(2/(m-1)), normalized, so that
nothing overflows; an object that lies on one or more centers belongs to these alone, in equal
parts.
"""
@inline function memberships!(u, x, i, v, m)
    low = typemax(eltype(u))
    @inbounds @simd for k in eachindex(u)
        d2 = distance2(x, i, v, k)
        u[k] = d2
        low = ifelse(d2 < low, d2, low)
    end
    iszero(low) && return share!(u)
    total = ratios!(u, low, m)
    inverse = inv(total)
    @inbounds @simd for k in eachindex(u)
        u[k] *= inverse
    end
    # sum_k u_k^m d_k^2 in closed form
    return low * lessen(inverse, m)
end

function share!(u)
    on = count(iszero, u)
    for k in eachindex(u)
        u[k] = iszero(u[k]) ? one(eltype(u)) / on : zero(eltype(u))
    end
    return zero(eltype(u))
end

@inline function ratios!(u, low, ::Val{2})
    total = zero(eltype(u))
    @inbounds @simd for k in eachindex(u)
        r = low / u[k]
        u[k] = r
        total += r
    end
    return total
end

@inline function ratios!(u, low, m)
    total = zero(eltype(u))
    power = 1 / (m - 1)
    @inbounds for k in eachindex(u)
        u[k] = (low / u[k])^power
        total += u[k]
    end
    return total
end

@inline lessen(inverse, ::Val{2}) = inverse
@inline lessen(inverse, m) = inverse^(m - 1)

"""
    sweep!(u, sums, x, w, v, m) -> (objective, change)

One pass over the objects: memberships in the centers `v`, replacing `u` (c, N); the sums
sum_i w_i u_ik^m x_i, and sum_i w_i u_ik^m in the last column, of each piece into `sums`
(c, D + 1, pieces); the objective; and the squared Frobenius norm of the change of `u`.
"""
function sweep!(u, sums, x, w, v, m)
    parts = size(sums, 3)
    objective = zeros(eltype(u), parts)
    change = zeros(eltype(u), parts)
    chunked(size(x, 2), parts) do part, range
        row = Vector{eltype(u)}(undef, size(v, 1))
        s = sums[:, :, part]
        fill!(s, 0)
        J = zero(eltype(u))
        moved = zero(eltype(u))
        for i in range
            J += w[i] * memberships!(row, x, i, v, m)
            moved += gather!(s, u, row, x, i, w[i], m)
        end
        sums[:, :, part] = s
        objective[part] = J
        change[part] = moved
    end
    return sum(objective), sum(change)
end

@inline function gather!(s, u, row, x, i, weight, m)
    moved = zero(eltype(u))
    last = size(s, 2)
    @inbounds x1, x2, x3 = x[1, i], x[2, i], x[last - 1, i]
    @inbounds @simd for k in eachindex(row)
        r = row[k]
        moved += (r - u[k, i])^2
        u[k, i] = r
        a = weight * raise(r, m)
        row[k] = a
        s[k, 1] += a * x1
        s[k, 2] += a * x2
    end
    @inbounds @simd for k in eachindex(row)
        s[k, last] += row[k]
    end
    if last == 4
        @inbounds @simd for k in eachindex(row)
            s[k, 3] += row[k] * x3
        end
    end
    return moved
end

"New centers from the sums of a sweep; a center that no object belongs to stays where it is."
function centers!(next, sums, v)
    dims = size(v, 2)
    for k in axes(v, 1)
        total = sum(sums[k, dims + 1, p] for p in axes(sums, 3))
        square = zero(total)
        for d in 1:dims
            next[k, d] = sum(sums[k, d, p] for p in axes(sums, 3))
            square += next[k, d]^2
        end
        scale = dims == 3 ? (iszero(square) ? square : sqrt(square)) : total
        for d in 1:dims
            next[k, d] = iszero(scale) ? v[k, d] : next[k, d] / scale
        end
    end
    return next
end

const SETTLED_CHANGE = 1e-3

"""
    fuzzy_cmeans!(v, u, x, w, m, tol, max_iter; accelerate) -> (objectives, changes, converged)

Iterate memberships and centers from the start `v` until ||dU||_F < tol. `v` and `u` hold the
answer, with `u` the memberships in `v`. One objective and one ||dU||_F per accepted sweep.

With `accelerate`, the centers are extrapolated from the last sweeps (Anderson 1965) once
memberships change by less than `SETTLED_CHANGE` (root mean square over the objects): before that
a long step may lead to another of the many minima. A step that would raise the objective is undone
and replaced by the plain one, so that the objective falls either way.
"""
function fuzzy_cmeans!(v, u, x, w, m, tol, max_iter; accelerate = true)
    T = eltype(v)
    power = fuzziness(m)
    sums = zeros(T, size(v, 1), size(v, 2) + 1, pieces(size(x, 2)))
    plain = similar(v)
    history = Anderson(T, length(v), 6)
    objectives, changes = T[], T[]
    fill!(u, 0)
    extrapolated = false
    sweeps = 0
    while sweeps < max_iter
        J, change = sweep!(u, sums, x, w, v, power)
        sweeps += 1
        if extrapolated && !isempty(objectives) && J > objectives[end]
            copyto!(v, plain)
            forget!(history)
            extrapolated = false
            continue
        end
        push!(objectives, J)
        push!(changes, sqrt(change))
        changes[end] < tol && return objectives, changes, true
        centers!(plain, sums, v)
        settled = changes[end] < SETTLED_CHANGE * sqrt(size(x, 2))
        extrapolated = accelerate && settled && extrapolate!(v, plain, history)
        extrapolated || copyto!(v, plain)
        extrapolated && size(v, 2) == 3 && normalize_rows!(v)
        progress(sweeps, max_iter)
    end
    return objectives, changes, false
end

function normalize_rows!(v)
    for k in axes(v, 1)
        norm = sqrt(v[k, 1]^2 + v[k, 2]^2 + v[k, 3]^2)
        for d in 1:3
            v[k, d] /= norm
        end
    end
end

"The last sweeps, as differences of steps and of their results."
mutable struct Anderson{T}
    steps::Vector{Vector{T}}        # differences of F(v) - v
    results::Vector{Vector{T}}      # differences of F(v)
    step::Vector{T}
    result::Vector{T}
    depth::Int
    filled::Bool
end
Anderson(T, n, depth) = Anderson{T}(Vector{T}[], Vector{T}[], zeros(T, n), zeros(T, n), depth, false)

function forget!(h::Anderson)
    empty!(h.steps)
    empty!(h.results)
    h.filled = false
end

"Extrapolate `v` from its plain successor `plain`; false while there is nothing to go by."
function extrapolate!(v, plain, h::Anderson)
    step = Base.vec(plain .- v)
    result = copy(Base.vec(plain))
    if h.filled
        push!(h.steps, step .- h.step)
        push!(h.results, result .- h.result)
        if length(h.steps) > h.depth
            popfirst!(h.steps)
            popfirst!(h.results)
        end
    end
    h.step, h.result, h.filled = step, result, true
    isempty(h.steps) && return false
    coefficients = least_squares(h.steps, step)
    for k in eachindex(v)
        v[k] = plain[k]
    end
    for (a, r) in zip(coefficients, h.results)
        for k in eachindex(v)
            v[k] -= a * r[k]
        end
    end
    return all(isfinite, v)
end

"Coefficients a that minimize |b - sum_j a_j columns_j|, by modified Gram-Schmidt, newest first."
function least_squares(columns, b)
    n = length(columns)
    T = eltype(b)
    q = Vector{T}[]
    R = zeros(T, n, n)
    kept = Int[]
    for j in n:-1:1                     # newest first: the oldest are dropped where dependent
        column = copy(columns[j])
        size0 = sum(abs2, column)
        for (p, direction) in enumerate(q)
            R[p, length(q) + 1] = sum(direction .* column)
            column .-= R[p, length(q) + 1] .* direction
        end
        size1 = sum(abs2, column)
        size1 <= 1e-20 * size0 && continue
        push!(kept, j)
        p = length(q) + 1
        R[p, p] = sqrt(size1)
        push!(q, column ./ R[p, p])
    end
    rest = copy(b)
    a = zeros(T, n)
    y = zeros(T, length(q))
    for (p, direction) in enumerate(q)
        y[p] = sum(direction .* rest)
        rest .-= y[p] .* direction
    end
    for p in length(q):-1:1
        for s in (p + 1):length(q)
            y[p] -= R[p, s] * y[s]
        end
        y[p] /= R[p, p]
        a[kept[p]] = y[p]
    end
    return a
end

"""
    seed_centers!(v, x, w, draws) -> numbers of the objects taken

k-means++ start (Arthur & Vassilvitskii 2007): each center an object, drawn in proportion to its
squared distance from the centers before it (times its weight); `draws` are uniform numbers. Where
every object lies on a center, the rest are drawn among the objects not yet taken.
"""
function seed_centers!(v, x, w, draws)
    n, taken = size(x, 2), zeros(Int, size(v, 1))
    nearest = fill(typemax(eltype(x)), n)
    mass = float.(w)
    free = fill(one(eltype(x)), n)
    for k in axes(v, 1)
        i = draw(mass, draws[k])
        i == 0 && (i = draw(free, draws[k]))
        free[i] = 0
        taken[k] = i
        v[k, :] = x[:, i]
        @inbounds @simd for j in 1:n
            d2 = distance2(x, j, v, k)
            nearest[j] = ifelse(d2 < nearest[j], d2, nearest[j])
            mass[j] = free[j] * w[j] * nearest[j]
        end
        checkpoint()
    end
    return taken
end

"Index drawn in proportion to `mass` by one uniform number; 0 where there is no mass."
function draw(mass, uniform)
    total = sum(mass)
    target = uniform * total
    running = zero(target)
    last = 0
    @inbounds for i in eachindex(mass)
        iszero(mass[i]) && continue
        running += mass[i]
        last = i
        running > target && return i
    end
    return last
end

# ---- for users -----------------------------------------------------------------------------------

"""
    seed_centers(x, c; weights = ones(N), draws = rand(c))

Centers (c, D) to start [`fuzzy_cmeans`](@ref) from, by k-means++ (Arthur & Vassilvitskii 2007):
objects, drawn in proportion to their weight and their squared distance from the centers before.

# Arguments
- `x`: objects (D, N): unit vectors (D = 3) or points of a plane (D = 2).
- `c`: number of centers.
- `weights`: (N).
- `draws`: c uniform numbers in [0, 1).

Where objects carry derivatives, centers carry those of the objects that they are.

# Example
```julia
seed_centers(directions([0.0, 10.0], [0.0, 0.0]), 2; draws = [0.1, 0.1]) ≈ [1 0 0; cosd(10) sind(10) 0]
```
"""
function seed_centers(x::AbstractMatrix, c::Integer; weights = ones(size(x, 2)), draws = rand(c))
    n = size(x, 2)
    1 <= c <= n || throw(ArgumentError("seed_centers: c must lie between 1 and the number of objects, " *
                                       "$n; it is $c"))
    length(weights) == n && length(draws) >= c || throw(DimensionMismatch(
        "seed_centers: weights must be $n and draws $c; they are $(length(weights)) and $(length(draws))"))
    places = float.(map(primal, x))
    taken = seed!(zeros(eltype(places), c, size(x, 1)), places, map(primal, weights), draws)
    return permutedims(float.(x[:, taken]))
end

"""
    fuzzy_cmeans(x, start; weights = ones(N), m = 2.0, tol = 1e-8, max_iter = 2000,
                 accelerate = true)

Fuzzy c-means (Bezdek 1984; Berman et al. 2025, arXiv:2504.06174, eqs. 15 to 18) from the centers
`start` (c, D), of objects `x` (D, N): unit vectors (D = 3) or points of a plane (D = 2).

Returns `(centers, memberships, objectives, changes, converged)`: (c, D); (c, N), whose columns sum
to 1; the objective and ||dU|| of every sweep; and whether ||dU|| fell below `tol` within `max_iter`
sweeps. `m` is the fuzziness, above 1; `accelerate` extrapolates from the last sweeps.

Objects and weights may carry derivatives. Those of centers and memberships are then of the fixed
point, by the implicit function theorem, and `start` does not matter to them; only where it was not
reached they go through the sweeps, with a warning.

# Example
```julia
x = directions([0.0, 0.1, 9.9, 10.0], zeros(4))
start = seed_centers(x, 2; draws = [0.1, 0.9])
fit = fuzzy_cmeans(x, start)
spread = derivative(t -> fuzzy_cmeans(directions([0.0, t, 9.9, 10.0], zeros(4)), start).centers[1, 2], 0.1)
fit.converged && assign_greedy(fit.memberships) == [1, 1, 2, 2] && spread > 0
```
"""
function fuzzy_cmeans(x::AbstractMatrix, start::AbstractMatrix; weights = ones(size(x, 2)),
                      m::Real = 2.0, tol::Real = 1e-8, max_iter::Integer = 2000,
                      accelerate::Bool = true)
    size(x, 1) == size(start, 2) && size(x, 1) in (2, 3) || throw(DimensionMismatch(
        "fuzzy_cmeans: x must be (D, N) and start (c, D) with D = 2 or 3; they are $(size(x)) and " *
        "$(size(start))"))
    size(start, 1) > 0 || throw(ArgumentError("fuzzy_cmeans: start must have a center or more"))
    check_objects("fuzzy_cmeans"; weights = weights)
    length(weights) == size(x, 2) || throw(DimensionMismatch(
        "fuzzy_cmeans: weights must be $(size(x, 2)), one an object; they are $(length(weights))"))
    power = fixed("fuzzy_cmeans", "m", m, VALUES_ONLY)
    power > 1 || throw(ArgumentError("fuzzy_cmeans: m must be above 1; it is $power"))
    run(x, start, weights) = sweeps_of(x, start, weights, power, tol, max_iter, accelerate)
    objects = carries(x) || carries(weights)
    objects || carries(start) || return run(x, start, weights)
    plain = run(map(primal, x), map(primal, start), map(primal, weights))
    if !plain.converged
        @warn "fuzzy_cmeans: the clustering has not converged; derivatives go through its sweeps: raise max_iter" maxlog = 1
        return run(x, start, weights)
    end
    geometry, wide = geometry_of(Val(size(x, 1))), size(x, 1) == 3 ? identity : with_third
    carried = carry_centers(geometry, permutedims(wide(permutedims(plain.centers))), wide(x), weights, power)
    # The values stay those of the sweeps.
    centers = plain.centers .+ (carried .- map(primal, carried))[:, axes(start, 2)]
    memberships = Matrix{eltype(centers)}(undef, size(plain.memberships))
    for i in axes(x, 2)
        memberships!(view(memberships, :, i), x, i, centers, fuzziness(power))
    end
    return (centers = centers, memberships = memberships, objectives = plain.objectives,
            changes = plain.changes, converged = true)
end

# Points of a plane as `carry_centers` takes them.
with_third(x) = vcat(x, zero(x[1:1, :]))
geometry_of(::Val{3}) = Sphere()
geometry_of(::Val{2}) = Plane()

function sweeps_of(x, start, weights, m, tol, max_iter, accelerate)
    T = promote_type(float(eltype(x)), float(eltype(start)), eltype(weights))
    centers, memberships = convert(Matrix{T}, copy(start)), zeros(T, size(start, 1), size(x, 2))
    objectives, changes, converged =
        fuzzy_cmeans!(centers, memberships, x, weights, m, tol, max_iter; accelerate = accelerate)
    return (centers = centers, memberships = memberships, objectives = objectives,
            changes = changes, converged = converged)
end
