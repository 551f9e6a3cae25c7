# The reverse derivative of `softcorrelation.jl`: each function undoes one of the steps there.

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
    sweep_pullback!(to, m, x, w, v, S_) -> cotangent of v (c, 3, R)

Back through the sums S_k = sum_i w_i u_ik^m x_i of a sweep, from their cotangents `S_` (c, 3, R).
"""
function sweep_pullback!(to::Cotangents, m, x, w, v, S_)
    c, n, R = size(v, 1), size(x, 2), size(S_, 3)
    power = fuzziness(m)
    # S_k . x_i from the difference x_i - v_k, and the rest, which is 0 at a fixed point
    rest = [S_[k, 1, r] * v[k, 1] + S_[k, 2, r] * v[k, 2] + S_[k, 3, r] * v[k, 3] for k in 1:c, r in 1:R]
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

"What a reverse pass tells besides: seconds (clusters, pairs, back, solve), the kind of the solve and its rcond."
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

"Cotangent of the (last) centers (c, 3, R) on to the objects."
function centers_pullback!(to::Cotangents, report, est, iterates, x, w, v_)
    est.through == FROZEN && return nothing
    if est.through == IMPLICIT
        v = iterates[end]
        S_ = timed(() -> implicit_sums(report, est.m, v, x, w, v_), report, 4)
        timed(() -> sweep_pullback!(to, est.m, x, w, v, S_), report, 3)
        return nothing
    end
    timed(report, 3) do
        est.through == UNROLLED ? unrolled_pullback!(to, est.m, iterates, x, w, v_) :
            sweep_pullback!(to, est.m, x, w, iterates[end],
                            step_sums(est.m, iterates[end], iterates[end], x, w, v_)[1])
    end
    return nothing
end

"Cotangents of the sums of a sweep from `v` to `next`, and which centers have no objects and stay."
function step_sums(m, v, next, x, w, v_)
    T, A = pulls(x, w, v, m)
    norms = row_norms(T .+ A .* v)
    return unit_pullback(next, norms, v_), map(iszero, norms)
end

function unrolled_pullback!(to::Cotangents, m, iterates, x, w, v_)
    for j in (length(iterates) - 1):-1:1
        S_, stays = step_sums(m, iterates[j], iterates[j + 1], x, w, v_)
        v_ = sweep_pullback!(to, m, x, w, iterates[j], S_) .+ stays .* v_
    end
end

"Cotangents of the sums S from those of the fixed point: H s = v_ on the tangent planes."
function implicit_sums(report, m, v, x, w, v_)
    f = factor(hessian(x, w, v, m)...)
    report.kind, report.rcond = f.kind, f.rcond
    frames = tangent_frames(v)
    S_ = zero(v_)
    for r in axes(v_, 3)
        b = flat(frames, v_[:, :, r])
        all(iszero, b) || (S_[:, :, r] = round_up(frames, solve(f, b)))
    end
    return S_
end

"""
    soft_correlation_pullback(est, v, ra, dec, g, w, cotangent) -> (xi, ra_, dec_, g_, w_, report)

Reverse derivative: from cotangents (nbins, R) of xi those of right ascension and declination
(N, R), per degree, of g (2, N, R) and w (N, R). Arguments as for `soft_correlation_at`.
"""
function soft_correlation_pullback(est::SoftEstimator, v, ra, dec, g, w, cotangent)
    report = Report()
    x = directions(ra, dec)
    to = Cotangents(length(w), size(cotangent, 2))
    share = clustering_weights(est, w)
    iterates = timed(() -> swept_centers(est, v, x, share), report, 1)
    last = iterates[end]
    X, M, W = timed(() -> point_sums(est, last, x, g, w), report, 1)
    place = place_points(est, last, X)
    num, den = timed(() -> soft_pair_sums(est.bins, place, M, W), report, 2)
    points = timed(report, 2) do
        soft_pair_pullback(est.bins, place, M, W, ratio_pullback(cotangent, num, den)...)
    end
    v_ = timed(() -> points_pullback!(to, est, last, x, g, w, X, M, W, place, points...), report, 3)
    if moves_centers(est)
        into = est.weighted ? to : Cotangents(to.x, to.g, zero(to.w))
        centers_pullback!(into, report, est, iterates, x, share, v_)
    end
    ra_, dec_ = sky_cotangents(to, ra, dec)
    if est.approach == HARD && est.literal
        literal_sky!(ra_, dec_, nearest_centers(x, last), place, points[1])
    end
    return soft_ratio(num, den), ra_, dec_, to.g, to.w, report
end

swept_centers(est, v, x, w) = moves_centers(est) && est.through == UNROLLED ?
    unroll_centers(v, x, w, est.m, UNROLLED_TOL, est.max_sweeps)[1] : [v]

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
    X_ = unit_pullback(place, row_norms(X), x_)
    est.approach == GUMBEL && return share_pullback!(to, est, x, g, w, v, X_, M_, W_)
    labels = nearest_centers(x, v)
    if est.literal
        literal_pullback!(to, labels, M, W, M_, W_)
    else
        label_pullback!(to, labels, x, g, w, X_, M_, W_)
    end
    return x_
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

# Likewise for its cluster's right ascension and declination.
function literal_sky!(ra_, dec_, labels, place, x_)
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

function sky_cotangents(to::Cotangents, ra, dec)
    n, R = size(to.w)
    ra_, dec_ = zeros(n, R), zeros(n, R)
    for r in 1:R, i in 1:n
        a = deg2rad(ra[i] - 360 * round(ra[i] / 360))
        ra_[i, r], dec_[i, r] = sky_part(a, deg2rad(dec[i]), to.x[1, i, r], to.x[2, i, r], to.x[3, i, r])
    end
    return ra_, dec_
end
