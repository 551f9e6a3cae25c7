# The derivative of converged fuzzy c-means on the sphere, by the implicit function theorem.
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
# An object that lies on a center has no derivative of its memberships there other than 0 (for
# m < 3: the limit; above, the memberships have a cusp and 0 is the value between its sides).

"First and second tangent vector of each row of `v` (c, 3): (c, 3) each, orthonormal, by a fixed rule."
function tangent_frames(v)
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

"Coordinates (2c) of vectors `t` (c, 3) on the tangent planes."
flat((e, f), t) = vcat(vec(sum(e .* t, dims = 2)), vec(sum(f .* t, dims = 2)))
"The vectors back."
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
from differences, so that a small field keeps its digits. And the objective. Generic in the number
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

"One plain sweep, F(v, y); a center without objects stays."
function sweep_centers(x, w, v, m)
    T, A = pulls(x, w, v, m)
    S = T .+ A .* v
    norms = row_norms(S)
    return [iszero(norms[k]) ? v[k, d] + zero(S[k, d]) : S[k, d] / norms[k] for k in axes(v, 1), d in 1:3]
end

# ---- to the fixed point, and beyond ----------------------------------------------------------

# ||dU|| at which sweeps hand over to Newton's method, and how many there are before it in any case:
# a step of it costs as much as about c/8 sweeps.
const HANDOVER = 1e-3
handover_sweeps(c) = clamp(c, 30, 200)
const NEWTON_STEPS = 100
# Motion in one more sweep, as a part of the field's extent, that counts as none.
const SETTLED, CONVERGED = 1e-15, 1e-10

"Where the iteration stands: frames, tangent parts of S, largest |F_k(v) - v_k|, objective."
struct Standing
    frames::NTuple{2,Matrix{Float64}}
    q::Vector{Float64}
    residual::Float64
    objective::Float64
end

function standing(x, w, v, m)
    frames, c = tangent_frames(v), size(v, 1)
    T, A, J = pulls(x, w, v, m)
    q, norms = flat(frames, T), row_norms(T .+ A .* v)
    far = maximum(iszero(norms[k]) ? 0.0 : hypot(q[k], q[c + k]) / norms[k] for k in 1:c)
    return Standing(frames, q, far, J)
end

function move(v, frames, q)
    next = v .+ round_up(frames, q)
    return next ./ row_norms(next)
end

"""
    converge_centers!(v, x, w, m, max_sweeps) -> (sweeps, residual, converged)

Fuzzy c-means from the start `v` to the fixed point, to rounding: accelerated sweeps, then Newton's
method, then sweeps again where that did not get there. `residual` is the largest motion (radians)
of a center in one more sweep; it is below 1e-10 of the extent of the field when converged.
"""
function converge_centers!(v, x, w, m, max_sweeps)
    u = zeros(size(v, 1), size(x, 2))
    extent = field_extent(x)
    first = min(handover_sweeps(size(v, 1)), max_sweeps)
    objectives, = fuzzy_cmeans!(v, u, x, w, m, HANDOVER, first)
    sweeps = length(objectives)
    left, steps = newton!(v, x, w, m, extent)
    sweeps += steps
    if left > CONVERGED * extent && sweeps < max_sweeps
        objectives, = fuzzy_cmeans!(v, u, x, w, m, 1e-13, max_sweeps - sweeps)
        left, steps = newton!(v, x, w, m, extent)
        sweeps += length(objectives) + steps
    end
    return sweeps, left, left <= CONVERGED * extent
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
    newton!(v, x, w, m, extent) -> (residual, steps)

Newton's method on the fixed point, damped by mu |S| (Levenberg 1944) while the objective would not
fall: mu large is a short step in the direction of a plain sweep. Near the end the factorization is
kept for a few steps. `v` holds the best centers.
"""
function newton!(v, x, w, m, extent)
    now, mu, steps = standing(x, w, v, m), 0.0, 0
    for _ in 1:NEWTON_STEPS
        now.residual <= SETTLED * extent && break
        H, lengths = hessian(x, w, v, m)
        moved = false
        while !moved && mu < 1e3
            f = factor(damped(H, lengths, mu), lengths)
            # Toward a saddle (kind 1) only where it is already close. The first step, and more
            # where they are quadratic.
            while f.kind == 0 || (f.kind == 1 && iszero(mu) && now.residual < 1e-6 * extent)
                next = move(v, now.frames, solve(f, now.q))
                all(isfinite, next) || break
                then = standing(x, w, next, m)
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
    carry_centers(v, x, w, m) -> centers of the number type of x and w

The derivatives of the converged centers `v` (plain numbers) by the implicit function theorem: as
many steps of Newton's method with the plain Hessian as there are layers of derivatives.
"""
function carry_centers(v, x, w, m)
    N = promote_type(eltype(x), eltype(w))
    N === eltype(v) && return v
    f = factor(hessian(map(primal, x), map(primal, w), v, m)...)
    carried = convert(Matrix{N}, v)
    for _ in 1:layers(N)
        frames = tangent_frames(carried)
        T, _ = pulls(x, w, carried, m)
        carried = move(carried, frames, solve(f, flat(frames, T)))
    end
    return carried
end

"Plain sweeps from `start` until no center moves further than `tol` -> (all iterates, converged)."
function unroll_centers(start, x, w, m, tol, max_sweeps)
    N = promote_type(eltype(x), eltype(w), eltype(start))
    iterates = [convert(Matrix{N}, start)]
    while length(iterates) <= max_sweeps
        push!(iterates, sweep_centers(x, w, iterates[end], m))
        moved = maximum(abs(primal(a) - primal(b)) for (a, b) in zip(iterates[end], iterates[end - 1]))
        PROGRESS[1] = length(iterates)
        moved <= tol && return iterates, true
    end
    return iterates, false
end
