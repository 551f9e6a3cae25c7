# The derivative of converged fuzzy c-means, by the implicit function theorem.
#
# The centers are a fixed point v = F(v, y) of a sweep, F_k = S_k/|S_k|, S_k = sum_i a_ik x_i,
# a_ik = w_i u_ik^m. In coordinates on the tangent planes at the centers
#   I - dF/dv = diag(1/|S|) H,   H = diag(|S|) - D + Q   (2c x 2c),
# with D_k = 2mp sum_i (a_ik/d_ik^2) t_ik t_ik', Q_kl = 2mp sum_i (a_ik u_il/d_il^2) t_ik t_il',
# p = 1/(m-1), t_ik the tangent part of x_i at v_k. Since u_il/d_il^2 = u_il^m/J_i with J_i the
# object's objective, H is symmetric: half the Hessian of the objective in the centers alone, and
# positive definite at a minimum. An adjoint lambda of the centers therefore becomes an adjoint
# of the sums S by one Cholesky solve, H s = dxi/dv, for all right-hand sides at once; a step of
# Newton's method is the solve H dv = t, t_k the tangent part of S_k.
#
# In the plane a center is F_k = S_k/A_k, A_k = sum_i a_ik, the tangent part is the whole of x_i - v_k,
# and A_k stands for |S_k| throughout.
#
# An object that lies on a center has no derivative of its memberships there other than 0 (for
# m < 3: the limit; above, the memberships have a cusp and 0 is the value between its sides).

"First and second tangent vector of each row of `v` (c, 3): (c, 3) each, orthonormal, by a fixed rule."
function tangent_frames(::Sphere, v)
    first, second = similar(v), similar(v)
    for k in axes(v, 1)
        x, y, z = v[k, 1], v[k, 2], v[k, 3]
        # The cross product with the axis that is furthest from v.
        ax, ay, az = abs(x), abs(y), abs(z)
        e = az <= ax && az <= ay ? (y, -x, zero(x)) : ay <= ax ? (-z, zero(x), x) : (zero(x), z, -y)
        n = sqrt(e[1]^2 + e[2]^2 + e[3]^2)
        e = (e[1] / n, e[2] / n, e[3] / n)
        first[k, :] .= e
        second[k, :] .= (y * e[3] - z * e[2], z * e[1] - x * e[3], x * e[2] - y * e[1])
    end
    return first, second
end

function tangent_frames(::Plane, v)
    first, second = zero(v), zero(v)
    first[:, 1] .= 1
    second[:, 2] .= 1
    return first, second
end

"Coordinates (2c) of vectors `t` (c, 3) on the tangent planes."
flat((e, f), t) = vcat(vec(sum(e .* t, dims = 2)), vec(sum(f .* t, dims = 2)))
"Vectors (c, 3) of coordinates on the tangent planes: undoes `flat`."
round_up((e, f), q) = (c = size(e, 1); e .* q[1:c] .+ f .* q[(c + 1):2c])

"Sum of the pieces of a threaded loop, in their order."
function add_pieces(pieces)
    total = copy(pieces[1])
    for piece in pieces[2:end]
        total .+= piece
    end
    return total
end

# Pieces of a loop over n objects whose accumulators hold `numbers` numbers each.
object_parts(n, numbers) = min(pieces(n), clamp(div(1 << 23, max(numbers, 1)), 2, 64))

"""
    pulls(x, w, v, m) -> (T, A, J)

T_k = sum_i w_i u_ik^m (x_i - v_k), (c, 3), and A_k = sum_i w_i u_ik^m; S_k = T_k + A_k v_k. Built
from differences, so that a small field keeps its digits. J is the objective. Generic in the number
type.
"""
function pulls(x, w, v, m)
    N = promote_type(eltype(x), eltype(w), eltype(v))
    c, n = size(v, 1), size(x, 2)
    power = fuzziness(m)
    parts = object_parts(n, 4c)
    found = [zeros(N, 0, 0) for _ in 1:parts]
    chunked(n, parts) do part, range
        s = zeros(N, c, 5)
        u = Vector{N}(undef, c)
        for i in range
            cancelled() && return nothing
            s[1, 5] += w[i] * memberships!(u, x, i, v, power)
            add_pulls!(s, u, x, i, w[i], v, power)
        end
        found[part] = s
    end
    total = add_pieces(found)
    return total[:, 1:3], total[:, 4], total[1, 5]
end

function add_pulls!(s, u, x, i, weight, v, m)
    @inbounds x1, x2, x3 = x[1, i], x[2, i], x[3, i]
    @inbounds @simd for k in eachindex(u)
        a = weight * raise(u[k], m)
        s[k, 1] += a * (x1 - v[k, 1])
        s[k, 2] += a * (x2 - v[k, 2])
        s[k, 3] += a * (x3 - v[k, 3])
        s[k, 4] += a
    end
end

row_norms(s) = [(q = s[k, 1]^2 + s[k, 2]^2 + s[k, 3]^2; iszero(q) ? q : sqrt(q)) for k in axes(s, 1)]

"Lengths |S_k| of the sums S = T + A v, or A_k in the plane."
lengths_of(::Sphere, T, A, v) = row_norms(T .+ A .* v)
lengths_of(::Plane, T, A, v) = A

"One plain sweep, F(v, y); a center without objects stays."
function sweep_centers(::Plane, x, w, v, m)
    T, A = pulls(x, w, v, m)
    return [iszero(A[k]) ? v[k, d] + zero(T[k, d]) : v[k, d] + T[k, d] / A[k] for k in axes(v, 1), d in 1:3]
end

function sweep_centers(::Sphere, x, w, v, m)
    T, A = pulls(x, w, v, m)
    S = T .+ A .* v
    norms = row_norms(S)
    return [iszero(norms[k]) ? v[k, d] + zero(S[k, d]) : S[k, d] / norms[k] for k in axes(v, 1), d in 1:3]
end

# ---- the Hessian and its factorizations ----------------------------------------------------------

# Half the Hessian of the clustering objective in the centers alone, as a sum of outer products over
# the objects, and its factorizations. Written out here and not left to
# LAPACK, whose bits may depend on its own threads.

const HESSIAN_BLOCK = 256       # objects at a time: their vectors stay in the cache

"""
    hessian(geometry, x, w, v, m) -> (H, lengths)

H (lower triangle, in the coordinates of `tangent_frames`, first all first ones) and `lengths_of`.
"""
function hessian(geometry, x, w, v, m)
    c, n = size(v, 1), size(x, 2)
    rows = 8 * cld(2c, 8)
    frames = tangent_frames(geometry, v)
    power = fuzziness(m)
    Z = zeros(rows * HESSIAN_BLOCK)
    H = zeros(rows, rows)
    parts = 8
    sums = [zeros(c, 7) for _ in 1:parts]
    for start in 1:HESSIAN_BLOCK:n
        block = min(HESSIAN_BLOCK, n - start + 1)
        chunked(block, parts) do part, range
            u = zeros(c)
            for i in range
                weight = w[start + i - 1]
                J = memberships!(u, x, start + i - 1, v, power)
                add_pulls!(sums[part], u, x, start + i - 1, weight, v, power)
                hessian_vectors!(Z, rows * (i - 1), rows, sums[part], u, x, start + i - 1, v, frames,
                                 weight, J, m)
            end
        end
        tiles = div(rows, 8)
        chunked(tiles, tiles) do _, range
            for tile in range
                rank_update!(H, Z, rows, block, tile)
            end
        end
    end
    total = add_pieces(sums)
    lengths = lengths_of(geometry, total[:, 1:3], total[:, 4], v)
    for k in 1:c
        H[k, k] += lengths[k] - total[k, 5]
        H[c + k, k] -= total[k, 6]
        H[c + k, c + k] += lengths[k] - total[k, 7]
    end
    return H[1:2c, 1:2c], lengths
end

# z_ik = sqrt(2mp w_i/J_i) u_ik^m t_ik into a column of Z, and the terms of D into sums[:, 5:7].
function hessian_vectors!(Z, offset, rows, sums, u, x, i, v, (e, f), weight, J, m)
    c = length(u)
    if iszero(J)
        fill!(view(Z, (offset + 1):(offset + rows)), 0.0)
        return nothing
    end
    factor = 2 * m / (m - 1) * weight / J
    root = sqrt(factor)
    squared = m == 2
    @inbounds x1, x2, x3 = x[1, i], x[2, i], x[3, i]
    @inbounds @simd for k in 1:c
        d1, d2, d3 = x1 - v[k, 1], x2 - v[k, 2], x3 - v[k, 3]
        s = e[k, 1] * d1 + e[k, 2] * d2 + e[k, 3] * d3
        t = f[k, 1] * d1 + f[k, 2] * d2 + f[k, 3] * d3
        um = squared ? u[k] * u[k] : u[k]^m
        g = factor * (squared ? um * u[k] : u[k]^(2 * m - 1))
        Z[offset + k] = root * um * s
        Z[offset + c + k] = root * um * t
        sums[k, 5] += g * s * s
        sums[k, 6] += g * s * t
        sums[k, 7] += g * t * t
    end
    return nothing
end

# H += Z Z' for the rows of one tile of eight, columns up to its end; four columns at a time.
function rank_update!(H, Z, rows, block, tile)
    row = 8 * (tile - 1)
    GC.@preserve H Z begin
        for column in 0:4:(row + 4)
            a = b = c = d = splat8(0.0)
            at = 0
            @inbounds for _ in 1:block
                z = vload(Z, at + row + 1)
                a = vfma(z, splat8(Z[at + column + 1]), a)
                b = vfma(z, splat8(Z[at + column + 2]), b)
                c = vfma(z, splat8(Z[at + column + 3]), c)
                d = vfma(z, splat8(Z[at + column + 4]), d)
                at += rows
            end
            @inbounds for (q, lanes) in enumerate((a, b, c, d)), r in 1:8
                H[row + r, column + q] += lanes[r].value
            end
        end
    end
end

"""
A factorization of H, scaled by 1/sqrt(|S|) from both sides so that small clusters count as much
as large ones. `kind`: 0 positive definite (Cholesky), 1 indefinite (pivoted LU: the fixed point
is no minimum of the objective), 2 singular (regularized least squares).
"""
struct Factor
    L::Matrix{Float64}
    pivots::Vector{Int}
    scale::Vector{Float64}
    symmetric::Matrix{Float64}      # the scaled H, where it is singular
    kind::Int
    rcond::Float64                  # smallest over largest pivot
end

const SINGULAR = 1e-11          # relative pivot below which H counts as singular
const DAMPING = 1e-7            # of the regularized solve, relative to the largest row sum

"Factor H (lower triangle); a cluster without objects gets the identity."
function factor(H, lengths)
    c, n = length(lengths), size(H, 1)
    scale = [iszero(s) ? 1.0 : inv(sqrt(s)) for s in vcat(lengths, lengths)]
    A = zeros(n, n)
    for j in 1:n, i in j:n
        A[i, j] = H[i, j] * scale[i] * scale[j]
    end
    for k in 1:c
        iszero(lengths[k]) || continue
        A[k, k] = A[c + k, c + k] = 1.0
    end
    all(isfinite, A) || error("the Hessian of the clustering objective is not finite")
    L = copy(A)
    low, high = cholesky!(L)
    low > SINGULAR * high && return Factor(L, Int[], scale, zeros(0, 0), 0, low / high)
    for j in 1:n, i in 1:(j - 1)
        A[i, j] = A[j, i]
    end
    LU = copy(A)
    pivots, low, high = lu!(LU)
    low > SINGULAR * high && return Factor(LU, pivots, scale, zeros(0, 0), 1, low / high)
    damping = DAMPING * maximum(sum(abs, A, dims = 1))
    normal = zeros(n, n)
    for j in 1:n, i in j:n
        normal[i, j] = dot_columns(A, i, j) + (i == j ? damping^2 : 0.0)
    end
    cholesky!(normal)
    return Factor(normal, Int[], scale, A, 2, low / high)
end

function dot_columns(A, i, j)
    s = 0.0
    @inbounds @simd for k in axes(A, 1)
        s += A[k, i] * A[k, j]
    end
    return s
end

"Cholesky factor into the lower triangle -> (smallest, largest pivot); stops at one that is not positive."
function cholesky!(A)
    n = size(A, 1)
    low, high = Inf, 0.0
    j = 1
    @inbounds while j <= n
        # A panel of columns at a time, so that the rest of the matrix is passed over less often.
        last = min(j + 15, n)
        for k in j:last
            pivot = A[k, k]
            low, high = min(low, pivot), max(high, pivot)
            (pivot > 0 && isfinite(pivot)) || return (-Inf, high)
            inverse = inv(sqrt(pivot))
            @simd for i in k:n
                A[i, k] *= inverse
            end
            for q in (k + 1):last
                eliminate!(A, k, q, n)
            end
        end
        eliminate_panel!(A, j, last, n)
        j = last + 1
    end
    return low, high
end

function eliminate_panel!(A, from, to, n)
    # Threads only where they have enough to do.
    chunked(n - to, n - to < 256 ? 1 : div(n - to, 32)) do _, range
        for q in range, k in from:4:to
            eliminate!(A, k, min(k + 3, to), to + q, n)
        end
    end
end

function eliminate!(A, k, q, n)
    a = A[q, k]
    @inbounds @simd for i in q:n
        A[i, q] -= a * A[i, k]
    end
end

function eliminate!(A, from, to, q, n)
    if to - from != 3
        for k in from:to
            eliminate!(A, k, q, n)
        end
        return nothing
    end
    @inbounds a, b, c, d = A[q, from], A[q, from + 1], A[q, from + 2], A[q, from + 3]
    @inbounds @simd for i in q:n
        A[i, q] -= a * A[i, from] + b * A[i, from + 1] + c * A[i, from + 2] + d * A[i, from + 3]
    end
    return nothing
end

"LU factors with row exchanges -> (pivots, smallest, largest pivot)."
function lu!(A)
    n = size(A, 1)
    pivots = collect(1:n)
    low, high = Inf, 0.0
    @inbounds for k in 1:n
        best = k
        for i in (k + 1):n
            abs(A[i, k]) > abs(A[best, k]) && (best = i)
        end
        pivots[k] = best
        if best != k
            for j in 1:n
                A[k, j], A[best, j] = A[best, j], A[k, j]
            end
        end
        pivot = A[k, k]
        low, high = min(low, abs(pivot)), max(high, abs(pivot))
        iszero(pivot) && return pivots, 0.0, max(high, 1.0)
        for i in (k + 1):n
            A[i, k] /= pivot
        end
        for j in (k + 1):n
            a = A[k, j]
            @simd for i in (k + 1):n
                A[i, j] -= a * A[i, k]
            end
        end
        k % 64 == 0 && checkpoint()
    end
    return pivots, low, high
end

"Solution of H q = b for one right-hand side of any number type."
function solve(f::Factor, b)
    q = f.scale .* b
    if f.kind == 1
        q = lu_solve!(f.L, f.pivots, q)
    else
        q = cholesky_solve!(f.L, f.kind == 2 ? times(f.symmetric, q) : q)
    end
    return f.scale .* q
end

times(S, q) = [sum(S[i, j] * q[j] for j in eachindex(q)) for i in eachindex(q)]

function cholesky_solve!(L, q)
    n = length(q)
    @inbounds for j in 1:n
        q[j] /= L[j, j]
        a = q[j]
        @simd for i in (j + 1):n
            q[i] -= L[i, j] * a
        end
    end
    @inbounds for j in n:-1:1
        s = q[j]
        @simd for i in (j + 1):n
            s -= L[i, j] * q[i]
        end
        q[j] = s / L[j, j]
    end
    return q
end

function lu_solve!(LU, pivots, q)
    n = length(q)
    @inbounds for k in 1:n      # all exchanges first: `lu!` exchanged whole rows
        p = pivots[k]
        q[k], q[p] = q[p], q[k]
    end
    @inbounds for k in 1:n, i in (k + 1):n
        q[i] -= LU[i, k] * q[k]
    end
    @inbounds for k in n:-1:1
        q[k] /= LU[k, k]
        for i in 1:(k - 1)
            q[i] -= LU[i, k] * q[k]
        end
    end
    return q
end

# ---- to the fixed point, and beyond ----------------------------------------------------------

# ||dU|| at which sweeps hand over to Newton's method, and how many there are before it in any case:
# a step of it costs as much as about c/8 sweeps.
const HANDOVER = 1e-3
handover_sweeps(c) = clamp(c, 30, 200)
const NEWTON_STEPS = 100
# Motion in one more sweep, as a part of the field's extent, that counts as none.
const SETTLED, CONVERGED = 1e-15, 1e-10

"State of the iteration: frames, tangent parts of S, largest |F_k(v) - v_k|, objective."
struct Standing
    frames::NTuple{2,Matrix{Float64}}
    q::Vector{Float64}
    residual::Float64
    objective::Float64
end

function standing(geometry, x, w, v, m)
    frames, c = tangent_frames(geometry, v), size(v, 1)
    T, A, J = pulls(x, w, v, m)
    q, norms = flat(frames, T), lengths_of(geometry, T, A, v)
    far = maximum(iszero(norms[k]) ? 0.0 : hypot(q[k], q[c + k]) / norms[k] for k in 1:c)
    return Standing(frames, q, far, J)
end

move(::Plane, v, frames, q) = v .+ round_up(frames, q)
function move(::Sphere, v, frames, q)
    next = v .+ round_up(frames, q)
    return next ./ row_norms(next)
end

"""
    converge_centers!(geometry, v, x, w, m, max_iter) -> (sweeps, residual, converged)

Fuzzy c-means from the start `v` to the fixed point, to rounding: accelerated sweeps, then Newton's
method, then sweeps again where that did not get there. `residual` is the largest motion (radians)
of a center in one more sweep; it is below 1e-10 of the extent of the field when converged.
"""
function converge_centers!(geometry, v, x, w, m, max_iter)
    u = zeros(size(v, 1), size(x, 2))
    extent = field_extent(x)
    first = min(handover_sweeps(size(v, 1)), max_iter)
    objectives, = cmeans!(geometry, v, u, x, w, m, HANDOVER, first)
    sweeps = length(objectives)
    left, steps = newton!(geometry, v, x, w, m, extent)
    sweeps += steps
    if left > CONVERGED * extent && sweeps < max_iter
        objectives, = cmeans!(geometry, v, u, x, w, m, 1e-13, max_iter - sweeps)
        left, steps = newton!(geometry, v, x, w, m, extent)
        sweeps += length(objectives) + steps
    end
    return sweeps, left, left <= CONVERGED * extent
end

cmeans!(::Sphere, v, u, x, w, m, tol, max_iter) = fuzzy_cmeans!(v, u, x, w, m, tol, max_iter)
function cmeans!(::Plane, v, u, x, w, m, tol, max_iter)
    inside = v[:, 1:2]
    found = fuzzy_cmeans!(inside, u, x[1:2, :], w, m, tol, max_iter)
    v[:, 1:2] = inside
    return found
end

"Largest chord between the first object and another."
function field_extent(x)
    far = 0.0
    for i in axes(x, 2)
        far = max(far, (x[1, i] - x[1, 1])^2 + (x[2, i] - x[2, 1])^2 + (x[3, i] - x[3, 1])^2)
    end
    return iszero(far) ? 1.0 : sqrt(far)
end

"""
    newton!(geometry, v, x, w, m, extent) -> (residual, steps)

Newton's method on the fixed point, damped by mu |S| (Levenberg 1944) while the objective would not
fall: mu large is a short step in the direction of a plain sweep. Near the end the factorization is
kept for a few steps. `v` holds the best centers.
"""
function newton!(geometry, v, x, w, m, extent)
    now, mu, steps = standing(geometry, x, w, v, m), 0.0, 0
    for _ in 1:NEWTON_STEPS
        now.residual <= SETTLED * extent && break
        H, lengths = hessian(geometry, x, w, v, m)
        moved = false
        while !moved && mu < 1e3
            f = factor(damped(H, lengths, mu), lengths)
            # Toward a saddle (kind 1) only where it is already close. The first step, and more
            # where they are quadratic.
            while f.kind == 0 || (f.kind == 1 && iszero(mu) && now.residual < 1e-6 * extent)
                next = move(geometry, v, now.frames, solve(f, now.q))
                all(isfinite, next) || break
                then = standing(geometry, x, w, next, m)
                steps += 1
                gain = then.residual / now.residual
                falls = f.kind == 0 && then.objective < now.objective * (1 - 1e-13)
                falls || gain < 0.1 || (f.kind == 0 && gain < 0.7 && settles(then, now)) || break
                copyto!(v, next)
                now, moved = then, true
                gain < 0.03 && iszero(mu) && now.residual > SETTLED * extent || break
            end
            moved || (mu = max(4 * mu, 0.01))
            # What is left is rounding.
            !moved && now.residual <= 1e-13 * extent && return now.residual, steps
        end
        moved || break
        mu = mu < 5e-3 ? 0.0 : mu / 4
    end
    return now.residual, steps
end

# The objectives cannot be told apart.
settles(then, now) = then.objective <= now.objective * (1 + 1e-12)

function damped(H, lengths, mu)
    iszero(mu) && return H
    c, D = length(lengths), copy(H)
    for k in 1:c
        D[k, k] += mu * lengths[k]
        D[c + k, c + k] += mu * lengths[k]
    end
    return D
end

# Layers of derivatives that a number type carries.
layers(::Type{T}) where {T} = (x = one(T); typeof(value(x)) === T ? 0 : 1 + layers(typeof(value(x))))

"""
    carry_centers(geometry, v, x, w, m) -> centers of the number type of x and w

The derivatives of the converged centers `v` (plain numbers) by the implicit function theorem: as
many steps of Newton's method with the plain Hessian as there are layers of derivatives.
"""
function carry_centers(geometry, v, x, w, m)
    N = promote_type(eltype(x), eltype(w))
    N === eltype(v) && return v
    f = factor(hessian(geometry, map(primal, x), map(primal, w), v, m)...)
    carried = convert(Matrix{N}, v)
    for _ in 1:layers(N)
        frames = tangent_frames(geometry, carried)
        T, _ = pulls(x, w, carried, m)
        carried = move(geometry, carried, frames, solve(f, flat(frames, T)))
    end
    return carried
end

"Plain sweeps from `start` until no center moves further than `tol` -> (all iterates, converged)."
function unroll_centers(geometry, start, x, w, m, tol, max_iter)
    N = promote_type(eltype(x), eltype(w), eltype(start))
    iterates = [convert(Matrix{N}, start)]
    while length(iterates) <= max_iter
        push!(iterates, sweep_centers(geometry, x, w, iterates[end], m))
        moved = maximum(abs(primal(a) - primal(b)) for (a, b) in zip(iterates[end], iterates[end - 1]))
        PROGRESS[1] = length(iterates)
        moved <= tol && return iterates, true
    end
    return iterates, false
end
