# Fuzzy c-means of many objects in many clusters: near centers one by one, far ones through the
# expansions of farfield.jl, so that a sweep costs the same for each object whatever their number.
#
# With p = 1/(m - 1) and W_i = sum_k d_ik^(-2p), an object's part of the objective is
# J_i = W_i^(-1/p), its memberships are d_ik^(-2p)/W_i. A center moves by the slope of
# G(v) = sum_i a_i d(x_i, v)^(-2p), a_i = w_i W_i^(-m): with u_ik^m w_i = a_i d_ik^(-2p-2),
#   T_k = sum_i w_i u_ik^m (x_i - v_k) = grad G/(2p),   A_k = sum_i w_i u_ik^m = laplace G/(4p^2).
# Centers feel objects through the transpose of what objects feel of centers: both are slopes of one
# function, the objective with its far field rounded, which falls as the exact one does.
#
# The sphere is taken to a plane by the stereographic projection, under which chords are
# d^2 = 4 |a - b|^2/((1 + |a|^2)(1 + |b|^2)): powers of distances in the plane times a factor of the
# object, s, and one of the center, q.

# Largest p: beyond it powers of small distances leave the range of numbers.
const STEEPEST = 10.0
# Degrees of the expansions: for most sweeps, whose totals are right to 1e-5; for nearly all sweeps of
# few centers, to 1e-8; for those that the answer is held against, to 1e-10.
const ROUGH, MIDDLING, FINE = 8, 14, 18
const LEAF_CENTERS = 6
const LEAF_OBJECTS = 16

"Objects in Morton order in the plane, in units of `unit` from `origin`; the way there and back."
struct Chart{G<:Geometry}
    geometry::G
    frame::Matrix{Float64}      # rows: axes, the last through the middle of the field
    origin::NTuple{2,Float64}
    unit::Float64
end

function Chart(::Plane, x)
    (a, b), (c, d) = extrema(view(x, 1, :)), extrema(view(x, 2, :))
    unit = max(b - a, d - c)
    return Chart(Plane(), zeros(0, 0), ((a + b) / 2, (c + d) / 2), iszero(unit) ? 1.0 : unit)
end

function Chart(::Sphere, x)
    z = [sum(view(x, d, :)) for d in 1:3]
    # Objects all around: any direction serves whose opposite is free.
    sqrt(sum(abs2, z)) < 1e-3 * size(x, 2) && (z = [0.3, -0.5, 0.8])
    for _ in 1:50
        z ./= sqrt(sum(abs2, z))
        minimum(z[1] * x[1, i] + z[2] * x[2, i] + z[3] * x[3, i] for i in axes(x, 2)) > -1 + 1e-12 && break
        z .+= [0.01, 0.02, -0.015]
    end
    e, f = tangent_frames(Sphere(), permutedims(z))
    frame = vcat(e, f, permutedims(z))
    chart = Chart(Sphere(), frame, (0.0, 0.0), 1.0)
    far = maximum(sqrt(sum(abs2, flattened(chart, x[1, i], x[2, i], x[3, i]))) for i in axes(x, 2))
    return Chart(Sphere(), frame, (0.0, 0.0), iszero(far) ? 1.0 : far)
end

flattened(c::Chart{Plane}, x, y, _) = ((x - c.origin[1]) / c.unit, (y - c.origin[2]) / c.unit)
function flattened(c::Chart{Sphere}, x, y, z)
    a, b, d = (c.frame[k, 1] * x + c.frame[k, 2] * y + c.frame[k, 3] * z for k in 1:3)
    scale = d > 0 ? inv(1 + d) : (1 - d) / (a^2 + b^2)
    return a * scale / c.unit, b * scale / c.unit
end

# In the frame of the chart.
function lifted(c::Chart{Sphere}, a, b)
    a, b = a * c.unit, b * c.unit
    r = a^2 + b^2
    return (2a / (1 + r), 2b / (1 + r), (1 - r) / (1 + r))
end

function lifted!(v, c::Chart{Sphere}, b)
    for k in axes(v, 1)
        p = lifted(c, b[k, 1], b[k, 2])
        for d in 1:3
            v[k, d] = sum(c.frame[j, d] * p[j] for j in 1:3)
        end
    end
end
function lifted!(v, c::Chart{Plane}, b)
    for k in axes(v, 1), d in 1:2
        v[k, d] = c.origin[d] + c.unit * b[k, d]
    end
end

flattened(c::Chart, points) = (b = zeros(size(points, 1), 2);
    foreach(k -> b[k, :] .= flattened(c, points[k, 1], points[k, 2], points[k, end]), axes(points, 1)); b)

object_factor(c::Chart{Sphere}, p, x, y) = ((1 + c.unit^2 * (x^2 + y^2)) / (4 * c.unit^2))^p
center_factor(c::Chart{Sphere}, p, x, y) = (1 + c.unit^2 * (x^2 + y^2))^p
object_factor(c::Chart{Plane}, p, x, y) = c.unit^(-2p)
center_factor(c::Chart{Plane}, p, x, y) = 1.0
# Relative change of the factor of a center that moves.
factor_change(c::Chart{Sphere}, p, x, y, dx, dy) =
    2p * c.unit^2 * (x * dx + y * dy) / (1 + c.unit^2 * (x^2 + y^2))
factor_change(::Chart{Plane}, p, x, y, dx, dy) = 0.0

"A clustering at work; of objects all arrays are in Morton order."
mutable struct Sparse{C<:Chart,P}
    chart::C
    m::Float64
    p::Float64
    power::P                    # Val(2), or m
    square::Square
    objects::Places
    s::Vector{Float64}
    w::Vector{Float64}
    E::Expansion                # the one in use
    table::Matrix{Float64}
    rough::Expansion
    fine::Expansion
    tree::Quadtree
    centers::Places             # as the tree was made for
    crowd_of::Vector{Vector{Int}}
    guest_of::Vector{Vector{Int}}
    total::Vector{Float64}      # W of the objects in the last sweep
    fields::Matrix{Float64}     # of each center: potential, its slopes, its Laplacian, own
    made::Int                   # trees made
end

function Sparse(x, w, m, b, chart; degrees = (ROUGH, FINE))
    n = size(x, 2)
    px, py = Vector{Float64}(undef, n), Vector{Float64}(undef, n)
    for i in 1:n
        px[i], py[i] = flattened(chart, x[1, i], x[2, i], x[end, i])
    end
    square = square_around(vcat(px, b[:, 1]), vcat(py, b[:, 2]))
    objects = Places(square, px, py)
    p = 1 / (m - 1)
    s = [object_factor(chart, p, a, c) for (a, c) in zip(objects.x, objects.y)]
    rough, fine = (Expansion(p, degree) for degree in degrees)
    centers = Places(square, b[:, 1], b[:, 2])
    tree = Quadtree(square, objects, centers, LEAF_CENTERS, LEAF_OBJECTS, rough.order^2)
    S = Sparse(chart, float(m), p, fuzziness(m), square, objects, s, w[objects.order], rough, node_table(rough),
               rough, fine, tree,
               centers, [Int[]], [Int[]], zeros(n), zeros(size(b, 1), 5), 0)
    return planted!(S)
end

function planted!(S::Sparse)
    t = S.tree
    S.crowd_of, S.guest_of = [Int[] for _ in 1:ncells(t)], [Int[] for _ in 1:ncells(t)]
    for cell in 1:ncells(t)
        foreach(other -> push!(S.crowd_of[other], cell), t.crowds[cell])
        foreach(other -> push!(S.guest_of[other], cell), t.guests[cell])
    end
    S.made += 1
    return S
end

"A new tree where a center has left the box of its cell."
function follow!(S::Sparse, b)
    fits = all(1:size(b, 1)) do slot
        k, cell = S.centers.order[slot], S.tree.home[slot]
        (x, y), h = middle(S.tree, cell), WIDER * half(S.tree, cell)
        abs(b[k, 1] - x) <= h && abs(b[k, 2] - y) <= h
    end
    fits && return false
    if !all(k -> inside(S.square, b[k, 1], b[k, 2]), axes(b, 1))
        S.square = square_around(vcat(S.objects.x, b[:, 1]), vcat(S.objects.y, b[:, 2]))
        old = S.objects
        moved = Places(S.square, old.x, old.y)
        S.s, S.w, S.total = S.s[moved.order], S.w[moved.order], S.total[moved.order]
        S.objects = Places(moved.keys, old.order[moved.order], moved.x, moved.y)
    end
    S.centers = Places(S.square, b[:, 1], b[:, 2])
    S.tree = Quadtree(S.square, S.objects, S.centers, LEAF_CENTERS, LEAF_OBJECTS, S.rough.order^2)
    planted!(S)
    return true
end

@inline power8(r, ::Val{2}, _) = r
@inline power8(r, _, p) = map(e -> VecElement(e.value^p), r)
@inline lanes(v::Vec) = map(e -> e.value, v)
@inline totals8(W, m::Val{2}) = (i = vdiv(splat8(1.0), W); (i, vmul(i, i)))     # W^(1-m), W^-m
@inline totals8(W, m) = (map(e -> VecElement(e.value^(1 - m)), W), map(e -> VecElement(e.value^(-m)), W))

# Moments of the centers with charges; with `turn` (c, 2), of how they change as the centers move so.
function center_moments!(M, S::Sparse, b, charge, turn = nothing)
    t, E = S.tree, S.E
    fill!(M, 0)
    for slot in eachindex(S.centers.order)
        k, cell = S.centers.order[slot], t.home[slot]
        (x, y), h = middle(t, cell), WIDER * half(t, cell)
        tx, ty = chebyshev(E.order, (b[k, 1] - x) / h), chebyshev(E.order, (b[k, 2] - y) / h)
        if turn !== nothing
            dx, dy = slopes(tx, (b[k, 1] - x) / h), slopes(ty, (b[k, 2] - y) / h)
            own = factor_change(S.chart, S.p, b[k, 1], b[k, 2], turn[k, 1], turn[k, 2])
            for d in 0:E.order, j in 0:(E.order - d)
                M[E.at[d + 1] + j + 1, cell] += charge[k] * (own * tx[j + 1] * ty[d + 1] +
                    (turn[k, 1] * dx[j + 1] * ty[d + 1] + turn[k, 2] * tx[j + 1] * dy[d + 1]) / h)
            end
            continue
        end
        for d in 0:E.order, j in 0:(E.order - d)
            M[E.at[d + 1] + j + 1, cell] += charge[k] * tx[j + 1] * ty[d + 1]
        end
    end
    lift_all!(E, t, M)
    return M
end

# Far fields of cells with objects, from moments of centers.
function object_fields!(L, M, S::Sparse, b, charge, turn = nothing)
    t, E = S.tree, S.E
    fill!(L, 0)
    translate!(E, t, L, M, t.by_objects)
    for cell in 1:ncells(t)
        isempty(t.guests[cell]) && continue
        px, py = nodes_of(E, t, cell)
        values = zeros(length(px) * length(py))
        for other in t.guests[cell], slot in t.centers[other]
            k = S.centers.order[slot]
            for d in eachindex(py), j in eachindex(px)
                dx, dy = px[j] - b[k, 1], py[d] - b[k, 2]
                factor = turn === nothing ? 1.0 :
                    2 * E.p * (dx * turn[k, 1] + dy * turn[k, 2]) / (dx^2 + dy^2) +
                    factor_change(S.chart, S.p, b[k, 1], b[k, 2], turn[k, 1], turn[k, 2])
                values[length(px) * (d - 1) + j] += factor * charge[k] * (dx^2 + dy^2)^(-E.p)
            end
        end
        L[:, cell] .+= S.table * values
    end
    lower_all!(E, t, L)
    return L
end

# What the block of eight objects of a leaf is worked on with.
struct FaceBench
    tx::Vector{Float64}
    ty::Vector{Float64}
    pw::Vector{Float64}
    ri::Vector{Float64}
    acc::Vector{Float64}
    moments::Vector{Float64}
    block::Vector{Float64}      # x, y, s, w, 1 of eight objects each
    near::Vector{Int}
    c::Matrix{Float64}          # of each near center: x, y, q, its motion twice, change of q
    nodes::Vector{Float64}      # of crowds: x, y, charge
end
FaceBench(E) = FaceBench(zeros(8 * (E.order + 1)), zeros(8 * (E.order + 1)), Float64[], Float64[], Float64[],
                 zeros(8 * E.terms), zeros(40), Int[], zeros(6, 0), Float64[])

function chebyshev8!(t, n, x)
    vstore!(t, 1, splat8(1.0))
    n == 0 && return nothing
    vstore!(t, 9, x)
    twice = vadd(x, x)
    a, b = splat8(1.0), x
    for j in 2:n
        a, b = b, vsub(vmul(twice, b), a)
        vstore!(t, 8j + 1, b)
    end
end

@inline function field8(E, L, base, tx, ty)
    total = splat8(0.0)
    for k in 0:E.order
        row = splat8(0.0)
        at = base + E.at[k + 1] + 1
        @inbounds for j in 0:(E.order - k)
            row = vfma(splat8(L[at + j]), vload(tx, 8j + 1), row)
        end
        total = vfma(row, vload(ty, 8k + 1), total)
    end
    return total
end

@inline function add_moments8!(E, moments, e, tx, ty)
    for k in 0:E.order
        f = vmul(e, vload(ty, 8k + 1))
        at = 8 * E.at[k + 1] + 1
        @inbounds for j in 0:(E.order - k)
            vstore!(moments, at + 8j, vfma(f, vload(tx, 8j + 1), vload(moments, at + 8j)))
        end
    end
end

"""
    face!(S, b, db, q) -> (objective, change2)

Objects against centers `b`: total W of each object, and the fields of all centers. `db` is
the motion of the centers since the last sweep, which `change2` = ||dU||^2 is taken from, to first
order and of near centers; without one, change2 is ||U||^2.
"""
function face!(S::Sparse, b, db, q)
    t, E = S.tree, S.E
    cells, c = ncells(t), size(b, 1)
    M, L = zeros(E.terms, cells), zeros(E.terms, cells)
    center_moments!(M, S, b, q)
    object_fields!(L, M, S, b, q)
    C = zeros(E.terms, cells)       # moments of the objects
    leaves = [cell for cell in 1:cells if t.leaf[cell] && !isempty(t.objects[cell])]
    parts = clamp(length(leaves) >> 2, 1, 32)
    sums = [zeros(0, 0) for _ in 1:parts]
    objective, change = zeros(parts), zeros(parts)
    chunked(length(leaves), parts) do part, range
        found, bench = zeros(5, c), FaceBench(E)
        for l in range
            cancelled() && return nothing
            J, moved = face_leaf!(S, leaves[l], b, db, q, M, L, C, found, bench)
            objective[part] += J
            change[part] += moved
        end
        sums[part] = found
    end
    near = add_pieces(sums)
    lift_all!(E, t, C)
    center_fields!(S, b, C, near, i -> isinf(S.total[i]) ? 0.0 : S.w[i] * S.total[i]^(-S.m) * S.s[i])
    return sum(objective), sum(change)
end

function gather_near!(S::Sparse, cell, b, db, q, K)
    t = S.tree
    empty!(K.near)
    for other in t.near[cell], slot in t.centers[other]
        push!(K.near, S.centers.order[slot])
    end
    n = length(K.near)
    size(K.c, 2) < n && (K = FaceBench(K.tx, K.ty, zeros(16n), zeros(16n), zeros(64n), K.moments, K.block, K.near,
                                   zeros(6, 2n), K.nodes))
    for (j, k) in enumerate(K.near)
        K.c[1, j], K.c[2, j], K.c[3, j] = b[k, 1], b[k, 2], q[k]
        if db !== nothing
            K.c[4, j], K.c[5, j] = 2 * S.p * db[k, 1], 2 * S.p * db[k, 2]
            K.c[6, j] = factor_change(S.chart, S.p, b[k, 1], b[k, 2], db[k, 1], db[k, 2])
        end
    end
    return K
end

function gather_crowds!(S::Sparse, cell, M, K)
    empty!(K.nodes)
    for other in S.tree.crowds[cell]
        px, py = nodes_of(S.E, S.tree, other)
        charges = S.table' * view(M, :, other)
        for d in eachindex(py), j in eachindex(px)
            push!(K.nodes, px[j], py[d], charges[length(px) * (d - 1) + j])
        end
    end
end

function face_leaf!(S::Sparse, cell, b, db, q, M, L, C, found, bench)
    K = gather_near!(S, cell, b, db, q, bench)
    gather_crowds!(S, cell, M, K)
    (x, y), h = middle(S.tree, cell), WIDER * half(S.tree, cell)
    fill!(view(K.acc, 1:(32 * length(K.near))), 0.0)
    fill!(K.moments, 0.0)
    objects = S.tree.objects[cell]
    J, moved = 0.0, 0.0
    for start in first(objects):8:last(objects)
        many = min(8, last(objects) - start + 1)
        load_block!(K.block, S, start, many)
        a, c = face_block!(S, S.power, K, start, many, L, S.E.terms * (cell - 1), x, y, inv(h), db !== nothing,
                           found)
        J += a
        moved += c
    end
    for (j, k) in enumerate(K.near)
        at = 32 * (j - 1)
        for f in 1:4
            found[f, k] += vsum(vload(K.acc, at + 8f - 7))
        end
    end
    for term in 1:S.E.terms
        C[term, cell] = vsum(vload(K.moments, 8term - 7))
    end
    return J, moved
end

function load_block!(block, S, start, many)
    for lane in 1:8
        i = start + min(lane, many) - 1
        block[lane], block[8 + lane] = S.objects.x[i], S.objects.y[i]
        block[16 + lane] = S.s[i]
        block[24 + lane] = lane <= many ? S.w[i] : 0.0
        block[32 + lane] = lane <= many
    end
end

function face_block!(S, power, K, start, many, L, base, x, y, scale, moving, found)
    E, near = S.E, length(K.near)
    GC.@preserve K L begin
        ax, ay, s = vload(K.block, 1), vload(K.block, 9), vload(K.block, 17)
        w, real = vload(K.block, 25), vload(K.block, 33)
        chebyshev8!(K.tx, E.order, vmul(vsub(ax, splat8(x)), splat8(scale)))
        chebyshev8!(K.ty, E.order, vmul(vsub(ay, splat8(y)), splat8(scale)))
        W = field8(E, L, base, K.tx, K.ty)
        for j in 1:3:length(K.nodes)
            dx, dy = vsub(ax, splat8(K.nodes[j])), vsub(ay, splat8(K.nodes[j + 1]))
            r = vdiv(splat8(1.0), vfma(dx, dx, vmul(dy, dy)))
            W = vfma(splat8(K.nodes[j + 2]), power8(r, power, S.p), W)
        end
        @inbounds for j in 1:near
            dx, dy = vsub(ax, splat8(K.c[1, j])), vsub(ay, splat8(K.c[2, j]))
            r = vdiv(splat8(1.0), vfma(dx, dx, vmul(dy, dy)))
            pw = power8(r, power, S.p)
            vstore!(K.ri, 8j - 7, r)
            vstore!(K.pw, 8j - 7, pw)
            W = vfma(splat8(K.c[3, j]), pw, W)
        end
        if !all(isfinite, lanes(W))
            W = apart!(S, K, W, ax, ay, w, found)
        end
        W = vmul(s, W)
        for lane in 1:many
            S.total[start + lane - 1] = W[lane].value
        end
        above, a = totals8(W, S.power)
        J = vmul(w, above)
        e = vmul(vmul(w, a), s)
        add_moments8!(E, K.moments, e, K.tx, K.ty)
        scaled = vdiv(s, W)
        s1 = s2 = s3 = s4 = splat8(0.0)
        @inbounds for j in 1:near
            pw, r = vload(K.pw, 8j - 7), vload(K.ri, 8j - 7)
            dx, dy = vsub(ax, splat8(K.c[1, j])), vsub(ay, splat8(K.c[2, j]))
            g = vmul(e, pw)
            h = vmul(g, r)
            at = 32j - 31
            vstore!(K.acc, at, vadd(vload(K.acc, at), g))
            vstore!(K.acc, at + 8, vfma(h, dx, vload(K.acc, at + 8)))
            vstore!(K.acc, at + 16, vfma(h, dy, vload(K.acc, at + 16)))
            vstore!(K.acc, at + 24, vadd(vload(K.acc, at + 24), h))
            u = vmul(vmul(scaled, splat8(K.c[3, j])), pw)
            if moving
                l = vfma(vfma(dx, splat8(K.c[4, j]), vmul(dy, splat8(K.c[5, j]))), r, splat8(K.c[6, j]))
                ul = vmul(u, l)
                s1 = vadd(s1, ul)
                s2 = vfma(ul, ul, s2)
                s3 = vfma(u, ul, s3)
            end
            s4 = vfma(u, u, s4)
        end
        moving && (s4 = vfma(vmul(s1, s1), s4, vsub(s2, vmul(vadd(s1, s1), s3))))
        return vsum(J), vsum(vmul(real, s4))
    end
end

# Objects on centers belong to these alone, in equal parts: nothing pulls them, and they weigh on no
# other center. Their W is infinite.
function apart!(S, K, W, ax, ay, w, found)
    x, y, sums = collect(lanes(ax)), collect(lanes(ay)), collect(lanes(W))
    for lane in 1:8
        on = [j for j in eachindex(K.near) if K.c[1, j] == x[lane] && K.c[2, j] == y[lane]]
        isempty(on) && continue
        sums[lane] = Inf
        for j in eachindex(K.near)
            K.pw[8j - 8 + lane] = K.ri[8j - 8 + lane] = 0.0
        end
        for j in on
            found[5, K.near[j]] += w[lane].value * (1 / length(on))^S.m
        end
    end
    return ntuple(i -> VecElement(sums[i]), Val(8))
end

# Fields of the centers: near parts, and far ones from moments of the objects, which have `charge`.
function center_fields!(S::Sparse, b, C, near, charge; L = zeros(S.E.terms, ncells(S.tree)))
    t, E, p = S.tree, S.E, S.p
    translate!(E, t, L, C, t.by_centers)
    for cell in 1:ncells(t)
        isempty(S.crowd_of[cell]) && continue
        px, py = nodes_of(E, t, cell)
        values = zeros(length(px) * length(py))
        for other in S.crowd_of[cell], i in t.objects[other]
            e = charge(i)
            for d in eachindex(py), j in eachindex(px)
                values[length(px) * (d - 1) + j] +=
                    e * ((px[j] - S.objects.x[i])^2 + (py[d] - S.objects.y[i])^2)^(-p)
            end
        end
        L[:, cell] .+= S.table * values
    end
    lower_all!(E, t, L)
    F = S.fields
    for slot in eachindex(S.centers.order)
        k, cell = S.centers.order[slot], t.home[slot]
        F[k, 1], F[k, 5] = near[1, k], near[5, k]
        F[k, 2], F[k, 3], F[k, 4] = 2p * near[2, k], 2p * near[3, k], 4p^2 * near[4, k]
        (x, y), h = middle(t, cell), WIDER * half(t, cell)
        add_slopes!(view(F, k, :), E, L, cell, (b[k, 1] - x) / h, (b[k, 2] - y) / h, h)
        for other in S.guest_of[cell]   # smaller far cells of objects, as so many points
            px, py = nodes_of(E, t, other)
            charges = S.table' * view(C, :, other)
            for d in eachindex(py), j in eachindex(px)
                dx, dy, e = px[j] - b[k, 1], py[d] - b[k, 2], charges[length(px) * (d - 1) + j]
                r = inv(dx^2 + dy^2)
                g = e * r^p
                F[k, 1] += g
                F[k, 2] += 2p * g * r * dx
                F[k, 3] += 2p * g * r * dy
                F[k, 4] += 4p^2 * g * r
            end
        end
    end
    return F
end

# Slopes of Chebyshev polynomials `t` at x.
function slopes(t, x)
    d = zero(t)
    for j in 2:length(t)
        d[j] = j == 2 ? 1.0 : 2t[j - 1] + 2x * d[j - 1] - d[j - 2]
    end
    return d
end

# A far field and its slopes at one place: value, d/dx, d/dy, Laplacian.
function add_slopes!(f, E, L, cell, x, y, h)
    n = E.order
    tx, ty = chebyshev(n, x), chebyshev(n, y)
    dx, dy, ddx, ddy = zeros(n + 1), zeros(n + 1), zeros(n + 1), zeros(n + 1)
    for (z, t, d, dd) in ((x, tx, dx, ddx), (y, ty, dy, ddy)), j in 1:n
        d[j + 1] = j == 1 ? 1.0 : 2t[j] + 2z * d[j] - d[j - 1]
        dd[j + 1] = j == 1 ? 0.0 : 4d[j] + 2z * dd[j] - dd[j - 1]
    end
    for k in 0:n, j in 0:(n - k)
        l = L[E.at[k + 1] + j + 1, cell]
        f[1] += l * tx[j + 1] * ty[k + 1]
        f[2] += l * dx[j + 1] * ty[k + 1] / h
        f[3] += l * tx[j + 1] * dy[k + 1] / h
        f[4] += l * (ddx[j + 1] * ty[k + 1] + tx[j + 1] * ddy[k + 1]) / h^2
    end
end

"""
    stepped!(next, slope, weight, S, b, q)

Centers after a plain step, from the fields at `b` (one that nothing belongs to stays); the slope of
the objective in `b`, and the curvature whose quotient with it is the plain step.
"""
function stepped!(next, slope, weight, S::Sparse{Chart{Plane}}, b, q)
    p, F, unit = S.p, S.fields, S.chart.unit
    for k in axes(b, 1)
        # Potentials are in units of the chart here: T of length 1/unit of that of A.
        A = F[k, 4] / (4p^2) + F[k, 5] * unit^2
        weight[k] = 2A
        for d in 1:2
            slope[k, d] = -(S.m - 1) * F[k, d + 1]
            next[k, d] = iszero(A) ? b[k, d] : b[k, d] + F[k, d + 1] / (2p) / A
        end
    end
    return next
end

function stepped!(next, slope, weight, S::Sparse{Chart{Sphere}}, b, q)
    p, F, c = S.p, S.fields, S.chart
    for k in axes(b, 1)
        x, y = b[k, 1] * c.unit, b[k, 2] * c.unit
        r = 1 + x^2 + y^2
        phi, fx, fy, ff = F[k, 1], F[k, 2] / c.unit, F[k, 3] / c.unit, F[k, 4] / c.unit^2
        qx, qy = 2p * x * r^(p - 1), 2p * y * r^(p - 1)
        qq = 4p * r^(p - 1) + 4p * (p - 1) * (r - 1) * r^(p - 2)
        G = q[k] * phi
        gx, gy = q[k] * fx + qx * phi, q[k] * fy + qy * phi
        gg = q[k] * ff + 2 * (qx * fx + qy * fy) + qq * phi
        # On the sphere: lengths are those of the plane times 2/r.
        A = (gg * r^2 / 4 + p * (p - 1) * G) / (4p^2) + F[k, 5]
        ahead = A - G / 2
        tx, ty = gx * r / 2 / (2p), gy * r / 2 / (2p)
        slope[k, 1], slope[k, 2] = -(S.m - 1) * c.unit * gx, -(S.m - 1) * c.unit * gy
        weight[k] = 8 * ahead * c.unit^2 / r^2
        if iszero(A)
            next[k, :] .= b[k, :]
            continue
        end
        # v, and the directions in which x and y grow there
        v = (2x / r, 2y / r, (2 - r) / r)
        e = (1 - 2x^2 / r, -2x * y / r, -2x / r)
        f = (-2x * y / r, 1 - 2y^2 / r, -2y / r)
        S1, S2, S3 = (ahead * v[i] + tx * e[i] + ty * f[i] for i in 1:3)
        norm = sqrt(S1^2 + S2^2 + S3^2)
        if norm > 0 && hypot(tx, ty) < 0.1 * abs(ahead) && ahead > 0
            # As a difference, so that a small field keeps its digits.
            turn = turn_by(x, y, r, tx / ahead, ty / ahead)
            next[k, 1], next[k, 2] = b[k, 1] + turn[1] / c.unit, b[k, 2] + turn[2] / c.unit
        else
            d = S3 / norm
            scale = d > 0 ? inv(norm + S3) : (norm - S3) / (S1^2 + S2^2)
            next[k, 1], next[k, 2] = S1 * scale / c.unit, S2 * scale / c.unit
        end
    end
    return next
end

# Motion (x, y) in the plane of a point that goes from (x, y) along the tangent (t, s), by
# an angle whose tangent is its length: in the turn_by frame the point is w = tan(angle/2) away, and
# Moebius' z + (1 + |z|^2) w/(1 - conj(z) w) brings it back.
function turn_by(x, y, r, t, s)
    l2 = t^2 + s^2
    w = complex(t, s) / (1 + sqrt(1 + l2))
    z = complex(x, y)
    dz = r * w / (1 - conj(z) * w)
    return real(dz), imag(dz)
end

center_charges(S, b) = [center_factor(S.chart, S.p, b[k, 1], b[k, 2]) for k in axes(b, 1)]

use!(S::Sparse, E) = (S.E = E; S.table = node_table(E); S)

"""
    sparse_cmeans!(v, x, w, m, tol, max_iter; accelerate) -> (objectives, changes, converged, totals)

`fuzzy_cmeans!` for many clusters, without memberships: `totals` are sum_k d_ik^(-2p) of each object.

Up to `most` centers the iteration is that of `fuzzy_cmeans!`, but for the last few sweeps. Extrapolation of that kind leads to
saddles too and is undone there; among thousands of centers some pair is always at one. So more centers
descend by a quasi-Newton method.
"""
function sparse_cmeans!(v, x, w, m, tol, max_iter; accelerate = true, most = FEW, degrees = (ROUGH, FINE),
                        report = nothing)
    chart = Chart(size(x, 1) == 3 ? Sphere() : Plane(), x)
    b = flattened(chart, v)
    few = size(v, 1) <= most
    S = Sparse(x, w, m, b, chart; degrees = few ? (MIDDLING, degrees[2]) : degrees)
    objectives, changes, converged =
        few ? settle!(S, b, tol, max_iter, accelerate, report) : (Float64[], Float64[], false)
    if !few || (converged && length(objectives) < max_iter)
        # The first of these sweeps has no change of memberships before it.
        more, moved, converged =
            descend!(S, b, tol, max_iter - length(objectives), accelerate, report)
        append!(objectives, few ? more[2:end] : more)
        append!(changes, few ? moved[2:end] : moved)
    end
    use!(S, S.fine)
    J, _ = face!(S, b, nothing, center_charges(S, b))
    converged && (objectives[end] = J)
    lifted!(v, chart, b)
    totals = similar(S.total)
    totals[S.objects.order] = S.total
    return objectives, changes, converged, totals
end

const FEW = 500

"The sweeps of `fuzzy_cmeans!`."
function settle!(S::Sparse, b, tol, max_iter, accelerate, report)
    n = length(S.total)
    plain, before, slope, weight = similar(b), copy(b), similar(b), zeros(size(b, 1))
    history = Anderson(Float64, length(b), 6)
    objectives, changes = Float64[], Float64[]
    extrapolated = false
    sweeps = 0
    while sweeps < max_iter
        grown = follow!(S, b)
        q = center_charges(S, b)
        J, change2 = face!(S, b, sweeps == 0 ? nothing : b .- before, q)
        sweeps += 1
        report === nothing || report(sweeps, J, sqrt(max(change2, 0.0)), grown, false, extrapolated)
        if extrapolated && J > objectives[end]
            copyto!(b, plain)
            forget!(history)
            extrapolated = false
            continue
        end
        push!(objectives, J)
        push!(changes, sqrt(max(change2, 0.0)))
        changes[end] < tol && return objectives, changes, true
        stepped!(plain, slope, weight, S, b, q)
        copyto!(before, b)
        settled = changes[end] < SETTLED_CHANGE * sqrt(n)
        extrapolated = accelerate && settled && extrapolate!(b, plain, history)
        extrapolated || copyto!(b, plain)
        progress(sweeps, max_iter)
    end
    return objectives, changes, false
end
