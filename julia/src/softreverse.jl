# The reverse derivative of the differentiable correlation function: each function undoes one of the
# steps of softcorrelation.jl. Generic in the number type, so that a number that carries a derivative
# gives the derivative of the gradient.

"Cotangents of the objects, R at a time: of directions (3, N, R), shears (2, N, R), weights (N, R)."
struct Cotangents{T}
    x::Array{T,3}
    g::Array{T,3}
    w::Matrix{T}
end
Cotangents(T, n, R) = Cotangents{T}(zeros(T, 3, n, R), zeros(T, 2, n, R), zeros(T, n, R))

"""
Cotangents `e` of the shares of an object, back through its distances: adds to those of the
centers, `v_[:, :, r]`, and returns those of the object's direction. Only differences of `e` from
that of the largest share enter, so that nothing is lost where one share is nearly 1.
"""
@inline function distances_pullback!(v_, r, e, s, f, best, x, i, v)
    @inbounds base = e[best]
    mean = zero(base)
    @inbounds @simd for k in eachindex(e)
        e[k] -= base
        mean += s[k] * e[k]
    end
    @inbounds x1, x2, x3 = x[1, i], x[2, i], x[3, i]
    a = b = c = zero(base)
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
What second derivatives get from an object that lies on a center, as `distances_pullback!` returns it:
for m = 2 a membership has a slope of 0 there, which changes as the object moves. (It does not for
m < 2, nor do relaxed draws; for m > 2 there is a cusp, and 0 stands for both its sides.) To be called
after it, with its `e`.
"""
@inline touching!(v_, d, r, e, best, x, i, v, power) = d
function touching!(v_, d, r, e, best, x, i, v, ::Val{2})
    iszero(distance2(x, i, v, best)) || return d
    total = zero(eltype(e))
    for k in eachindex(e)
        k == best && continue
        d2 = distance2(x, i, v, k)
        iszero(d2) && return d
        total += e[k] / d2
    end
    scale = 2 * total
    h = ntuple(q -> scale * (v[best, q] - x[q, i]), 3)
    for q in 1:3
        v_[best, q, r] += h[q]
    end
    return d .- h
end
touching!(v_::Array{Float64}, d, r, e, best, x, i, v, ::Val{2}) = d

"""
    share_pullback!(to, est, x, g, w, v, X_, M_, W_) -> cotangent of v (c, 3, R)

Back through `share_sums`.
"""
function share_pullback!(to::Cotangents{T}, est, x, g, w, v, X_, M_, W_) where {T}
    c, n, R = size(v, 1), size(x, 2), size(W_, 2)
    power = fuzziness(est.m)
    parts = object_parts(n, 3 * c * R)
    found = [zeros(T, 0, 0, 0) for _ in 1:parts]
    chunked(n, parts) do part, range
        v_ = zeros(T, c, 3, R)
        s, f, e, t = zeros(T, c), zeros(T, c), zeros(T, c), zeros(T, c)
        for i in range
            cancelled() && return nothing
            best = share_row!(s, f, x, i, v, est, power)
            for k in 1:c
                t[k] = taken(s[k], k, best, est.straight)
            end
            for r in 1:R
                share_cotangents!(to, e, t, x, g, w[i], i, r, X_, M_, W_)
                d = distances_pullback!(v_, r, e, s, f, best, x, i, v)
                est.approach == SOFT && (d = touching!(v_, d, r, e, best, x, i, v, power))
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
    a = b = c = p = q = z = zero(eltype(e))
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
function sweep_pullback!(to::Cotangents{T}, geometry, m, x, w, v, S_, next) where {T}
    c, n, R = size(v, 1), size(x, 2), size(S_, 3)
    power = fuzziness(m)
    # S_k . x_i from the difference x_i - v_k, and the rest, which is 0 at a fixed point
    base = along_sums(geometry, v, next)
    rest = [S_[k, 1, r] * base[k, 1] + S_[k, 2, r] * base[k, 2] + S_[k, 3, r] * base[k, 3]
            for k in 1:c, r in 1:R]
    parts = object_parts(n, 3 * c * R)
    found = [zeros(T, 0, 0, 0) for _ in 1:parts]
    chunked(n, parts) do part, range
        v_ = zeros(T, c, 3, R)
        u, f, e, um = zeros(T, c), zeros(T, c), zeros(T, c), zeros(T, c)
        for i in range
            cancelled() && return nothing
            J = memberships!(u, x, i, v, power)
            factor = iszero(J) ? zero(J) : inv(J) / (m - 1)
            best = argmax(u)
            @inbounds @simd for k in 1:c
                um[k] = raise(u[k], power)
                f[k] = factor * um[k]
            end
            for r in 1:R
                sum_cotangents!(to, e, u, um, x, w[i], i, r, v, S_, rest, m, power)
                d = touching!(v_, distances_pullback!(v_, r, e, u, f, best, x, i, v), r, e, best, x, i, v,
                              power)
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
    a = b = c = z = zero(eltype(e))
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
    [iszero(lengths[k]) ? zero(n_[k, d, r] / lengths[k]) : n_[k, d, r] / lengths[k] for k in axes(n_, 1), d in 1:3, r in axes(n_, 3)]

"Back through the normalization n = X/|X|; 0 where X is."
function unit_pullback(n, norms, n_)
    X_ = zeros(promote_type(eltype(n), eltype(norms), eltype(n_)), size(n_))
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

"Carry the cotangent of the last of `iterates`, the centers (c, 3, R), back to the objects."
function centers_pullback!(to::Cotangents, report, est, iterates, x, w, v_)
    est.through == FROZEN && return nothing
    if est.through == IMPLICIT
        v = iterates[end]
        S_ = timed(() -> implicit_sums(report, est.geometry, est.m, v, x, w, v_), report, 4)
        timed(() -> sweep_pullback!(to, est.geometry, est.m, x, w, v, S_, v), report, 3)
        return nothing
    end
    timed(() -> unrolled_pullback!(to, est.geometry, est.m, iterates, x, w, v_), report, 3)
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

"""
Cotangents of the sums S from those of the fixed point: H s = v_ on the tangent planes. H is factored
in plain numbers; what else the numbers carry follows by one correction a layer of derivatives.
"""
function implicit_sums(report, geometry, m, v, x, w, v_)
    plain = map(primal, x), map(primal, w), map(primal, v)
    f = factor(hessian(geometry, plain..., m)...)
    report.kind, report.rcond = f.kind, f.rcond
    frames = tangent_frames(geometry, v)
    S_ = zeros(promote_type(eltype(x), eltype(w), eltype(v), eltype(v_)), size(v_))
    for r in axes(v_, 3)
        b = flat(frames, v_[:, :, r])
        all(vanishes, b) && continue
        s = solve(f, b)
        for _ in 1:layers(eltype(S_))
            left = solve(f, b .- hessian_times(geometry, x, w, v, m, frames, s))
            # The value is that of the solve; where H is singular, it is a regularized one.
            s = s .+ (left .- map(primal, left))
        end
        S_[:, :, r] = round_up(frames, s)
    end
    return S_
end

"""
    hessian_times(geometry, x, w, v, m, frames, q) -> H q (2c)

The product of the `hessian` and a vector in tangent coordinates. Generic in the number type.
"""
function hessian_times(geometry, x, w, v, m, frames, q)
    N = promote_type(eltype(x), eltype(w), eltype(v), eltype(q))
    c, n = size(v, 1), size(x, 2)
    power = fuzziness(m)
    s_ = round_up(frames, q)                   # tangent vectors (c, 3)
    parts = object_parts(n, 4c)
    found = [zeros(N, 0, 0) for _ in 1:parts]
    chunked(n, parts) do part, range
        out = zeros(N, c, 3)
        u, along = zeros(N, c), zeros(N, c)
        for i in range
            cancelled() && return nothing
            J = memberships!(u, x, i, v, power)
            iszero(J) && continue
            factor = 2 * m / (m - 1) * w[i] / J
            best = argmax(u)
            others, apart = zero(N), zero(N)        # sum of u_l^m t_l.s_l, and of u_l, but for the best
            for k in 1:c
                along[k] = sum(s_[k, d] * (x[d, i] - v[k, d]) for d in 1:3)
                k == best && continue
                others += raise(u[k], power) * along[k]
                apart += u[k]
            end
            total = others + raise(u[best], power) * along[best]
            for k in 1:c
                # u_k^m (sum_l u_l^m t_l.s_l - u_k^(m-1) t_k.s_k), of Q and of D. Close to a center
                # its own terms cancel, by 1 - u = `apart`, and their factor is large.
                um, less = raise(u[k], power), lessen(u[k], power)
                h = factor * um * (k == best ? others - less * apart * along[k] : total - less * along[k])
                for d in 1:3
                    out[k, d] += h * (x[d, i] - v[k, d])
                end
            end
        end
        found[part] = out
    end
    T, A, _ = pulls(x, w, v, m)
    lengths = lengths_of(geometry, T, A, v)
    # As `factor` has it: the identity for a cluster without objects.
    scale = [iszero(s) ? one(s) : s for s in lengths]
    return flat(frames, add_pieces(found)) .+ vcat(scale, scale) .* q
end

"""
    soft_correlation_pullback(est, v, ra, dec, g, w, cotangent)
        -> (xi, ra_, dec_, g_, w_, report, coincident)

Reverse derivative: from cotangents (nbins, R) of xi those of right ascension and declination
(N, R), per degree (or of x and y), of g (2, N, R) and w (N, R). Arguments as for `soft_correlation_at`.
Numbers and cotangents that carry derivatives give those of the gradient: second derivatives. What
the centers carry then follows from `est.through`, as in `carried_centers`.
"""
function soft_correlation_pullback(est::SoftEstimator, v, ra, dec, g, w, cotangent)
    report = Report()
    x = places(est.geometry, ra, dec)
    T = promote_type(eltype(x), eltype(g), eltype(w), eltype(cotangent))
    to = Cotangents(T, length(w), size(cotangent, 2))
    share = clustering_weights(est, w)
    iterates = timed(() -> swept_centers(est, v, x, share), report, 1)
    last = iterates[end]
    X, M, W = timed(() -> point_sums(est, last, x, g, w), report, 1)
    place = place_points(est, last, X, W)
    pairs = timed(() -> shear_pairs(est.geometry, est.bins, place, M, W), report, 2)
    sums, coincident = timed(() -> sums!(pairs), report, 2)
    num, den = sums[1, :], sums[2, :]
    num_, den_ = ratio_pullback(cotangent, num, den)
    back = timed(() -> pullback(pairs, sums_cotangent(num_, den_))[1], report, 2)
    points = back[:, 1:3, :], back[:, 4:5, :], back[:, 6, :]
    v_ = timed(() -> points_pullback!(to, est, last, x, g, w, X, M, W, place, points...), report, 3)
    if moves_centers(est)
        into = est.weighted ? to : Cotangents(to.x, to.g, zero(to.w))
        centers_pullback!(into, report, est, iterates, x, share, v_)
    end
    ra_, dec_ = sky_cotangents(est.geometry, to, ra, dec)
    if est.approach == HARD && est.literal
        literal_sky!(est.geometry, ra_, dec_, nearest_centers(map(primal, x), last), place, points[1])
    end
    return soft_ratio(num, den), ra_, dec_, to.g, to.w, report, coincident
end

"Centers from the first to the last of the sweeps that are differentiated."
function swept_centers(est, v, x, w)
    moves_centers(est) && est.through == UNROLLED &&
        return unroll_centers(est.geometry, v, x, w, est.m, UNROLLED_TOL, est.max_iter)[1]
    last = carried_centers(est, v, x, w)
    moves_centers(est) && est.through == ONE_STEP || return [last]
    return [convert(typeof(last), v), last]
end

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
    labels = nearest_centers(map(primal, x), v)
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
function sky_cotangents(::Sphere, to::Cotangents{T}, ra, dec) where {T}
    n, R = size(to.w)
    ra_, dec_ = zeros(T, n, R), zeros(T, n, R)
    for r in 1:R, i in 1:n
        a = deg2rad(ra[i] - 360 * round(primal(ra[i]) / 360))
        ra_[i, r], dec_[i, r] = sky_part(a, deg2rad(dec[i]), to.x[1, i, r], to.x[2, i, r], to.x[3, i, r])
    end
    return ra_, dec_
end
