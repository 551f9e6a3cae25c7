# The derivative of centers that sparse.jl has converged, by the implicit function theorem: the slope g of
# the objective J in the centers stays 0 as objects change, so cotangents c of the centers give
# -d(s g)/dy of the objects, with H s = c and H the second derivative of J. H is never made: H s costs
# as much as a sweep, and conjugate gradients find s.
#
# With W'_i the change of W_i as the centers move along s,
#   s g = -(m - 1) sum_i w_i W_i^(-m) W'_i,
#   (H s)_k = (m - 1) grad_k [sum_i m w_i W_i^(-m-1) W'_i d_ik^(-2p)] - (m - 1) grad grad G_k s_k.

"Second derivatives (xx, xy, yy) of G_k in each center, with charges as after `face!`."
function bends(S::Sparse, b, q)
    t, E, p = S.tree, S.E, S.p
    c, cells = size(b, 1), ncells(t)
    e = [isinf(W) ? 0.0 : w * W^(-S.m) * s for (w, W, s) in zip(S.w, S.total, S.s)]
    near, C = zeros(3, c), zeros(E.terms, cells)
    for cell in 1:cells
        t.leaf[cell] || continue
        (x, y), h = middle(t, cell), WIDER * half(t, cell)
        for i in t.objects[cell]
            tx, ty = chebyshev(E.order, (S.objects.x[i] - x) / h), chebyshev(E.order, (S.objects.y[i] - y) / h)
            for d in 0:E.order, j in 0:(E.order - d)
                C[E.at[d + 1] + j + 1, cell] += e[i] * tx[j + 1] * ty[d + 1]
            end
            for other in t.near[cell], slot in t.centers[other]
                k = S.centers.order[slot]
                add_bends!(near, k, e[i], S.objects.x[i] - b[k, 1], S.objects.y[i] - b[k, 2], p)
            end
        end
    end
    lift_all!(E, t, C)
    L = zeros(E.terms, cells)
    center_fields!(S, b, C, zeros(5, c), i -> e[i]; L = L)
    found = zeros(3, c)
    for slot in eachindex(S.centers.order)
        k, cell = S.centers.order[slot], t.home[slot]
        (x, y), h = middle(t, cell), WIDER * half(t, cell)
        u, v = (b[k, 1] - x) / h, (b[k, 2] - y) / h
        tx, ty = chebyshev(E.order, u), chebyshev(E.order, v)
        dx, dy = slopes(tx, u), slopes(ty, v)
        ddx, ddy = second_slopes(tx, dx, u), second_slopes(ty, dy, v)
        for d in 0:E.order, j in 0:(E.order - d)
            l = L[E.at[d + 1] + j + 1, cell] / h^2
            near[1, k] += l * ddx[j + 1] * ty[d + 1]
            near[2, k] += l * dx[j + 1] * dy[d + 1]
            near[3, k] += l * tx[j + 1] * ddy[d + 1]
        end
        for other in S.guest_of[cell]
            px, py = nodes_of(E, t, other)
            charges = S.table' * view(C, :, other)
            for d in eachindex(py), j in eachindex(px)
                add_bends!(near, k, charges[length(px) * (d - 1) + j], px[j] - b[k, 1], py[d] - b[k, 2], p)
            end
        end
    end
    return near
end

function second_slopes(t, d, x)
    dd = zero(t)
    for j in 3:length(t)
        dd[j] = 4d[j - 1] + 2x * dd[j - 1] - dd[j - 2]
    end
    return dd
end

@inline function add_bends!(f, k, e, dx, dy, p)
    r2 = dx^2 + dy^2
    iszero(r2) && return nothing
    g = 2p * e * r2^(-p - 1)
    h = 2 * (p + 1) / r2
    f[1, k] += g * (h * dx^2 - 1)
    f[2, k] += g * h * dx * dy
    f[3, k] += g * (h * dy^2 - 1)
    return nothing
end

# q phi with its slopes and second derivatives from those of phi, in a chart.
function with_factor(S::Sparse{Chart{Plane}}, b, k, q, f, fx, fy, xx, xy, yy)
    return (fx, fy, xx, xy, yy)
end
function with_factor(S::Sparse{Chart{Sphere}}, b, k, q, f, fx, fy, xx, xy, yy)
    p, u2 = S.p, S.chart.unit^2
    x, y = b[k, 1], b[k, 2]
    r = 1 + u2 * (x^2 + y^2)
    a, d = 2p * u2 * r^(p - 1), 4p * (p - 1) * u2^2 * r^(p - 2)
    qx, qy = a * x, a * y
    return (q * fx + qx * f, q * fy + qy * f, q * xx + 2 * qx * fx + (a + d * x^2) * f,
            q * xy + qx * fy + qy * fx + d * x * y * f, q * yy + 2 * qy * fy + (a + d * y^2) * f)
end

"""
    turn!(turned, S, b, q, s) -> slopes (c, 2)

Change W' of the objects' totals, into `turned`, as centers move along `s` (c, 2), and the slopes at the
centers of sum_i m w_i W_i^(-m-1) W'_i d^(-2p).
"""
function turn!(turned, S::Sparse, b, q, s)
    t, E = S.tree, S.E
    cells, c = ncells(t), size(b, 1)
    M, L, C = zeros(E.terms, cells), zeros(E.terms, cells), zeros(E.terms, cells)
    center_moments!(M, S, b, q, s)
    object_fields!(L, M, S, b, q, s)
    leaves = [cell for cell in 1:cells if t.leaf[cell] && !isempty(t.objects[cell])]
    parts = clamp(length(leaves) >> 2, 1, 32)
    sums = [zeros(0, 0) for _ in 1:parts]
    chunked(length(leaves), parts) do part, range
        found, bench = zeros(5, c), FaceBench(E)
        for l in range
            cancelled() && return nothing
            turn_leaf!(turned, S, leaves[l], b, s, q, M, L, C, found, bench)
        end
        sums[part] = found
    end
    near = add_pieces(sums)
    lift_all!(E, t, C)
    center_fields!(S, b, C, near, i -> pulled(S, turned, i))
    out = zeros(c, 2)
    for k in 1:c
        F = view(S.fields, k, :)
        out[k, 1], out[k, 2] = with_factor(S, b, k, q[k], F[1], F[2], F[3], 0.0, 0.0, 0.0)
    end
    return out
end

pulled(S, turned, i) =
    isinf(S.total[i]) ? 0.0 : S.m * S.w[i] * S.total[i]^(-S.m - 1) * turned[i] * S.s[i]

function turn_leaf!(turned, S::Sparse, cell, b, s, q, M, L, C, found, bench)
    K = gather_near!(S, cell, b, s, q, bench)
    gather_crowds!(S, cell, M, K)
    (x, y), h = middle(S.tree, cell), WIDER * half(S.tree, cell)
    fill!(view(K.acc, 1:(32 * length(K.near))), 0.0)
    fill!(K.moments, 0.0)
    objects = S.tree.objects[cell]
    for start in first(objects):8:last(objects)
        many = min(8, last(objects) - start + 1)
        load_block!(K.block, S, start, many)
        turn_block!(turned, S, S.power, K, start, many, L, S.E.terms * (cell - 1), x, y, inv(h))
    end
    for (j, k) in enumerate(K.near), f in 1:3
        found[f, k] += vsum(vload(K.acc, 32 * (j - 1) + 8f - 7))
    end
    for term in 1:S.E.terms
        C[term, cell] = vsum(vload(K.moments, 8term - 7))
    end
end

function turn_block!(turned, S, power, K, start, many, L, base, x, y, scale)
    E, near = S.E, length(K.near)
    one8, zero8 = splat8(1.0), splat8(0.0)
    GC.@preserve K L begin
        ax, ay = vload(K.block, 1), vload(K.block, 9)
        chebyshev8!(K.tx, E.order, vmul(vsub(ax, splat8(x)), splat8(scale)))
        chebyshev8!(K.ty, E.order, vmul(vsub(ay, splat8(y)), splat8(scale)))
        V = field8(E, L, base, K.tx, K.ty)
        for j in 1:3:length(K.nodes)
            dx, dy = vsub(ax, splat8(K.nodes[j])), vsub(ay, splat8(K.nodes[j + 1]))
            r = vdiv(one8, vfma(dx, dx, vmul(dy, dy)))
            V = vfma(splat8(K.nodes[j + 2]), power8(r, power, S.p), V)
        end
        @inbounds for j in 1:near
            dx, dy = vsub(ax, splat8(K.c[1, j])), vsub(ay, splat8(K.c[2, j]))
            r2 = vfma(dx, dx, vmul(dy, dy))
            r = vifzero(r2, zero8, vdiv(one8, r2))
            pw = power8(r, power, S.p)
            vstore!(K.ri, 8j - 7, r)
            vstore!(K.pw, 8j - 7, pw)
            l = vfma(vfma(dx, splat8(K.c[4, j]), vmul(dy, splat8(K.c[5, j]))), r, splat8(K.c[6, j]))
            V = vfma(vmul(splat8(K.c[3, j]), pw), l, V)
        end
        for lane in 1:8
            i = start + min(lane, many) - 1
            lane <= many && (turned[i] = isinf(S.total[i]) ? 0.0 : V[lane].value * S.s[i])
            K.block[24 + lane] = lane <= many ? pulled(S, turned, i) : 0.0
        end
        e = vload(K.block, 25)
        add_moments8!(E, K.moments, e, K.tx, K.ty)
        @inbounds for j in 1:near
            dx, dy = vsub(ax, splat8(K.c[1, j])), vsub(ay, splat8(K.c[2, j]))
            g = vmul(e, vload(K.pw, 8j - 7))
            h = vmul(g, vload(K.ri, 8j - 7))
            at = 32j - 31
            vstore!(K.acc, at, vadd(vload(K.acc, at), g))
            vstore!(K.acc, at + 8, vfma(h, dx, vload(K.acc, at + 8)))
            vstore!(K.acc, at + 16, vfma(h, dy, vload(K.acc, at + 16)))
        end
    end
    return nothing
end

"""
    solve_centers(S, b, q, c, tol) -> (s, steps, residual, downward)

H s = c by conjugate gradients, scaled by the weights of a plain step; `downward` says that H is not
positive: the centers are at no minimum.
"""
function solve_centers(S::Sparse, b, q, cotangent, tol, max_iter)
    c = size(b, 1)
    weight, slope = zeros(c), similar(b)
    stepped!(similar(b), slope, weight, S, b, q)
    phi = copy(S.fields)        # `bends` leaves its own there
    second = bends(S, b, q)
    blocks = [with_factor(S, b, k, q[k], phi[k, 1], phi[k, 2], phi[k, 3], second[1, k], second[2, k], second[3, k])
              for k in 1:c]
    bare = weight .== 0
    turned = zeros(length(S.total))
    function times_hessian(s)
        y = turn!(turned, S, b, q, s)
        for k in 1:c
            _, _, xx, xy, yy = blocks[k]
            y[k, 1] -= xx * s[k, 1] + xy * s[k, 2]
            y[k, 2] -= xy * s[k, 1] + yy * s[k, 2]
            y[k, :] .*= S.m - 1
            # An object on a center weighs on it without a pull.
            phi[k, 5] > 0 && (y[k, :] .+= 2 * phi[k, 5] * own_scale(S, b, k) .* s[k, :])
            bare[k] && (y[k, :] .= 0)
        end
        return y
    end
    s, r = zero(b), copy(cotangent)
    r[bare, :] .= 0
    z = r ./ ifelse.(bare, 1.0, abs.(weight))
    d, rz = copy(z), inner(r, z)
    first_rz, downward, steps = rz, false, 0
    while steps < max_iter && rz > tol^2 * first_rz
        Hd = times_hessian(d)
        dHd = inner(d, Hd)
        downward |= dHd <= 0
        iszero(dHd) && break
        a = rz / dHd
        s .+= a .* d
        r .-= a .* Hd
        z = r ./ ifelse.(bare, 1.0, abs.(weight))
        was, rz = rz, inner(r, z)
        d .= z .+ (rz / was) .* d
        steps += 1
    end
    turn!(turned, S, b, q, s)
    return s, turned, steps, iszero(first_rz) ? 0.0 : sqrt(rz / first_rz), downward
end

own_scale(S::Sparse{Chart{Plane}}, b, k) = S.chart.unit^2
own_scale(S::Sparse{Chart{Sphere}}, b, k) =
    4 * S.chart.unit^2 / (1 + S.chart.unit^2 * (b[k, 1]^2 + b[k, 2]^2))^2

"Slopes of -s g in the places (2, N) and weights (N) of the objects, in Morton order."
function pull_objects(S::Sparse, b, q, s, turned)
    t, E, p, m = S.tree, S.E, S.p, S.m
    cells, n = ncells(t), length(S.total)
    M, L, N, K = (zeros(E.terms, cells) for _ in 1:4)
    center_moments!(M, S, b, q)
    object_fields!(L, M, S, b, q)
    center_moments!(N, S, b, q, s)
    object_fields!(K, N, S, b, q, s)
    places, weights = zeros(2, n), zeros(n)
    own = [factor_change(S.chart, p, b[k, 1], b[k, 2], s[k, 1], s[k, 2]) for k in axes(b, 1)]
    chunked(cells, 64) do _, range
        for cell in range
            t.leaf[cell] || continue
            cancelled() && return nothing
            nodes = [(nodes_of(E, t, other)..., S.table' * view(M, :, other), S.table' * view(N, :, other))
                     for other in t.crowds[cell]]
            for i in t.objects[cell]
                W = S.total[i]
                isinf(W) && continue
                f = object_slopes(S, cell, i, b, q, s, own, L, K, nodes)
                x, y = S.objects.x[i], S.objects.y[i]
                ox, oy = object_change(S.chart, p, x, y)
                for (d, o, P, V) in ((1, ox, f[2], f[5]), (2, oy, f[3], f[6]))
                    dW = S.s[i] * (o * f[1] + P)
                    dT = S.s[i] * (o * f[4] + V)
                    places[d, i] = (m - 1) * S.w[i] * (W^(-m) * dT - m * W^(-m - 1) * turned[i] * dW)
                end
                weights[i] = (m - 1) * W^(-m) * turned[i]
            end
        end
    end
    return places, weights
end

# Potential and its slopes in the object's place, and the same of its change along s.
function object_slopes(S, cell, i, b, q, s, own, L, K, nodes)
    t, E, p = S.tree, S.E, S.p
    x, y = S.objects.x[i], S.objects.y[i]
    f = zeros(6)
    (mx, my), h = middle(t, cell), WIDER * half(t, cell)
    tx, ty = chebyshev(E.order, (x - mx) / h), chebyshev(E.order, (y - my) / h)
    dx, dy = slopes(tx, (x - mx) / h), slopes(ty, (y - my) / h)
    for d in 0:E.order, j in 0:(E.order - d), (first, A) in ((1, L), (4, K))
        l = A[E.at[d + 1] + j + 1, cell]
        f[first] += l * tx[j + 1] * ty[d + 1]
        f[first + 1] += l * dx[j + 1] * ty[d + 1] / h
        f[first + 2] += l * tx[j + 1] * dy[d + 1] / h
    end
    for (px, py, charges, turns) in nodes, d in eachindex(py), j in eachindex(px)
        ux, uy = x - px[j], y - py[d]
        r = inv(ux^2 + uy^2)
        for (first, e) in ((1, charges[length(px) * (d - 1) + j]), (4, turns[length(px) * (d - 1) + j]))
            g = e * r^p
            f[first] += g
            f[first + 1] -= 2p * g * r * ux
            f[first + 2] -= 2p * g * r * uy
        end
    end
    for other in t.near[cell], slot in t.centers[other]
        k = S.centers.order[slot]
        ux, uy = x - b[k, 1], y - b[k, 2]
        r = inv(ux^2 + uy^2)
        g = q[k] * r^p
        along = ux * s[k, 1] + uy * s[k, 2]
        f[1] += g
        f[2] -= 2p * g * r * ux
        f[3] -= 2p * g * r * uy
        f[4] += g * (own[k] + 2p * r * along)
        f[5] += 2p * g * r * (s[k, 1] - (own[k] + 2 * (p + 1) * r * along) * ux)
        f[6] += 2p * g * r * (s[k, 2] - (own[k] + 2 * (p + 1) * r * along) * uy)
    end
    return f
end

# Relative slopes of the factor of an object.
object_change(::Chart{Plane}, p, x, y) = (0.0, 0.0)
object_change(c::Chart{Sphere}, p, x, y) =
    (a = 2p * c.unit^2 / (1 + c.unit^2 * (x^2 + y^2)); (a * x, a * y))

"""
    sparse_pullback(v, x, w, m, cotangent, tol, max_iter) -> (x_, w_, steps, residual, downward)

Cotangents of converged centers `v` (c, D), as vectors (c, D), back to the objects: vectors (D, N), and
weights (N).
"""
function sparse_pullback(v, x, w, m, cotangent, tol, max_iter; degree = MIDDLING)
    chart = Chart(size(x, 1) == 3 ? Sphere() : Plane(), x)
    b = flattened(chart, v)
    S = Sparse(x, w, m, b, chart; degrees = (degree, degree))
    q = center_charges(S, b)
    face!(S, b, nothing, q)
    given = similar(b)
    for k in axes(b, 1)
        e, f = directions_of(chart, b[k, 1], b[k, 2])
        given[k, 1] = sum(e[d] * cotangent[k, d] for d in axes(v, 2))
        given[k, 2] = sum(f[d] * cotangent[k, d] for d in axes(v, 2))
    end
    s, turned, steps, residual, downward = solve_centers(S, b, q, given, tol, max_iter)
    # The fields of the centers are those of the last product, the totals still those of `face!`.
    places, weights = pull_objects(S, b, q, s, turned)
    x_, w_ = zeros(size(x)), zeros(size(x, 2))
    for (slot, i) in enumerate(S.objects.order)
        e, f = directions_of(chart, S.objects.x[slot], S.objects.y[slot])
        n2 = sum(abs2, e)
        for d in axes(x, 1)
            x_[d, i] = (places[1, slot] * e[d] + places[2, slot] * f[d]) / n2
        end
        w_[i] = weights[slot]
    end
    return x_, w_, steps, residual, downward
end

"Vectors that a place moves along as each of its coordinates in the chart grows: of equal length."
directions_of(c::Chart{Plane}, x, y) = ((c.unit, 0.0), (0.0, c.unit))
function directions_of(c::Chart{Sphere}, x, y)
    x, y = x * c.unit, y * c.unit
    r = 1 + x^2 + y^2
    a = 2 * c.unit / r
    e = (a * (1 - 2x^2 / r), -a * 2x * y / r, -a * 2x / r)
    f = (-a * 2x * y / r, a * (1 - 2y^2 / r), -a * 2y / r)
    back(g) = ntuple(d -> sum(c.frame[j, d] * g[j] for j in 1:3), 3)
    return back(e), back(f)
end
