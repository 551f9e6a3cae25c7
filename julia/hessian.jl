# Half the Hessian of the clustering objective in the centers alone (see `implicit.jl`), as a sum
# of outer products over the objects, and its factorizations. Written out here and not left to
# LAPACK, whose bits may depend on its own threads.

const HESSIAN_BLOCK = 256       # objects at a time: their vectors stay in the cache

"""
    hessian(x, w, v, m) -> (H, lengths)

H (lower triangle, in the coordinates of `tangent_frames`, first all first ones) and |S_k|.
"""
function hessian(x, w, v, m)
    c, n = size(v, 1), size(x, 2)
    rows = 8 * cld(2c, 8)
    frames = tangent_frames(v)
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
    S = total[:, 1:3] .+ total[:, 4] .* v
    lengths = row_norms(S)
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

