# Sums over pairs in soft bins and their reverse derivative by the definition, pair by pair. In bin b, with theta
# the separation (in arcmin; in a plane or a box in the unit of its coordinates) and N_k of a form,
#   sum_k,b = sum_{i<j} B_b(theta) N_k(i, j), the last of them sum_{i<j} B_b(theta) W_i W_j.
# Nothing is divided by a point's weight, so that empty clusters need no care. Points are rows: places x (n, 3),
# numbers p (n, C).

# ---- splitting the pairs ---------------------------------------------------------------------

"Rows of piece `p` of `parts`, so that the pairs i < j of n points are shared out evenly."
function pair_rows(n, parts, p)
    edge(q) = q >= parts ? n : floor(Int, n * (1 - sqrt(1 - q / parts)))
    return (edge(p - 1) + 1):edge(p)
end

"Number of pieces, of which each keeps `numbers` numbers: a function of the work alone."
pair_parts(n, numbers) = n <= 48 ? 1 : clamp(div(1 << 23, max(numbers, 1)), 4, 32)

@inline point(x, k) = @inbounds (x[k, 1], x[k, 2], x[k, 3])

# ---- values ----------------------------------------------------------------------------------

"Two sets of points, or one and itself: places (n, 3) and numbers (n, C)."
struct PointSets{T}
    x1::Matrix{T}
    p1::Matrix{T}
    x2::Matrix{T}
    p2::Matrix{T}
    auto::Bool
end

function PointSets(x, p)
    T = promote_type(eltype(x), eltype(p))
    y, q = convert(Matrix{T}, x), convert(Matrix{T}, p)
    return PointSets{T}(y, q, y, q, true)
end

function PointSets(x1, p1, x2, p2)
    T = promote_type(eltype(x1), eltype(p1), eltype(x2), eltype(p2))
    return PointSets{T}(x1, p1, x2, p2, false)
end

"Rows of piece `p` of `parts` of pairs of n points of one set, or of two."
part_rows(n, parts, p, auto) = auto ? pair_rows(n, parts, p) : (div((p - 1) * n, parts) + 1):div(p * n, parts)

@inline numbers_of(p, i, ::Val{C}) where {C} = ntuple(c -> (@inbounds p[i, c]), Val(C))

"""
    pair_sums_brute(form, geometry, bins, sets) -> (sums, coincident)

The sums (nsums, nbins) over all pairs of points, and the number of coincident pairs that carry weight: the
definition, pair by pair. Generic in the number type.
"""
function pair_sums_brute(form::PairForm, geometry::Geometry, bins::SoftBins, sets::PointSets{T}) where {T}
    n, nb, C = size(sets.x1, 1), nbins(bins), Val(size(sets.p1, 2))
    parts = pair_parts(n, 2nb)
    sums = zeros(T, nsums(form), nb, parts)
    coincident = zeros(Int, parts)
    reach2 = soft_reach2(geometry, bins)
    chunked(parts, parts) do p, _
        coincident[p] = rows_sums!(view(sums, :, :, p), form, geometry, bins, sets,
                                   part_rows(n, parts, p, sets.auto), reach2, C)
    end
    return dropdims(sum(sums, dims = 3), dims = 3), sum(coincident)
end

function rows_sums!(to, form, geometry, bins, sets::PointSets{T}, rows, reach2, C) where {T}
    s, met = zeros(T, size(to)), 0
    for i in rows
        cancelled() && return met
        u, p = point(sets.x1, i), numbers_of(sets.p1, i, C)
        for j in (sets.auto ? i + 1 : 1):size(sets.x2, 1)
            met += sum_pair!(s, form, geometry, bins, u, point(sets.x2, j), p, numbers_of(sets.p2, j, C), reach2)
        end
    end
    to .= s
    return met
end

"Add a pair to the sums `s` (nsums, nbins); whether it is a coincident one that carries weight."
@inline function sum_pair!(s, form, geometry, bins, u, v, p, q, reach2)
    t = apart(geometry, u, v)[2]
    t > reach2 && return false
    met = false
    if t <= COINCIDENT
        met = !(iszero(p[end]) || iszero(q[end]))
        leaves_out(form, bins) && return met
    end
    theta = soft_separation(geometry, u, v)
    numbers = (pair_numbers(form, p, q, aim(form, geometry, u, v))..., p[end] * q[end])
    for b in 1:nbins(bins)
        weight = bin_weight(bins, b, theta)
        for k in eachindex(numbers)
            @inbounds s[k, b] += weight * numbers[k]
        end
    end
    return met
end

"Quotient of two sums in each bin; NaN where there are no pairs."
soft_ratio(num, den) =
    [primal(d) > NO_PAIRS ? n / d : oftype(n / one(d), NaN) for (n, d) in zip(num, den)]

# ---- reverse derivative ----------------------------------------------------------------------

"""
    ratio_pullback(cotangent, num, den) -> (num_, den_)

Cotangents (nbins, R) of the sums from those of their quotient; a bin without pairs has gradient 0.
"""
function ratio_pullback(cotangent, num, den)
    T = promote_type(eltype(cotangent), eltype(num), eltype(den))
    num_, den_ = zeros(T, size(cotangent)), zeros(T, size(cotangent))
    for r in axes(cotangent, 2), b in axes(cotangent, 1)
        den[b] > NO_PAIRS || continue
        vanishes(cotangent[b, r]) && continue
        num_[b, r] = cotangent[b, r] / den[b]
        den_[b, r] = -num_[b, r] * (num[b] / den[b])
    end
    return num_, den_
end

"Cotangents (sums, nbins, R) of sums from those of each (nbins, R)."
sums_cotangent(parts...) = permutedims(cat(parts..., dims = 3), (3, 1, 2))

"""
    pair_pullback_brute(form, geometry, bins, sets, sums_) -> (first, second)

Cotangents (n, 3 + C, R) of the places and numbers of both sets from those of the sums, `sums_` (nsums,
nbins, R); of one set, `second` is `first`. Only the tangent parts of places mean something. Generic in the
number type.
"""
function pair_pullback_brute(form::PairForm, geometry::Geometry, bins::SoftBins, sets::PointSets{S},
                             sums_) where {S}
    T = promote_type(S, eltype(sums_))
    n, m, C, R = size(sets.x1, 1), size(sets.x2, 1), size(sets.p1, 2), size(sums_, 3)
    parts = pair_parts(n, (3 + C) * max(n, m) * R)
    pieces = [zeros(T, 0, 0, 0) for _ in 1:parts], [zeros(T, 0, 0, 0) for _ in 1:parts]
    reach2, single = soft_reach2(geometry, bins), one_bin_each(sums_)
    chunked(parts, parts) do p, _
        acc1 = zeros(T, n, 3 + C, R)
        acc2 = sets.auto ? acc1 : zeros(T, m, 3 + C, R)
        rows_pull!(acc1, acc2, form, geometry, bins, sets, sums_, part_rows(n, parts, p, sets.auto), reach2,
                   single, Val(C))
        pieces[1][p], pieces[2][p] = acc1, acc2
    end
    first = add_pieces(pieces[1])
    return first, sets.auto ? first : add_pieces(pieces[2])
end

function rows_pull!(acc1, acc2, form, geometry, bins, sets, sums_, rows, reach2, single, C)
    scratch = zeros(eltype(acc1), nbins(bins)), zeros(eltype(acc1), nbins(bins))
    for i in rows
        cancelled() && return nothing
        u, p = point(sets.x1, i), numbers_of(sets.p1, i, C)
        for j in (sets.auto ? i + 1 : 1):size(sets.x2, 1)
            pull_pair!(acc1, acc2, scratch, form, geometry, bins, i, j, u, point(sets.x2, j), p,
                       numbers_of(sets.p2, j, C), sums_, reach2, single)
        end
    end
end

# One cotangent a bin, as in the whole Jacobian: each needs its own bin only.
one_bin_each(sums_) = size(sums_, 2) == size(sums_, 3) &&
    all(b == r || all(vanishes, view(sums_, :, b, r)) for b in axes(sums_, 2), r in axes(sums_, 3))

@inline plus_times(n, weight, sums_, b, r) = ntuple(k -> (@inbounds n[k] + weight * sums_[k, b, r]), Val(length(n)))
@inline times_numbers(numbers, sums_, b, r) = ntuple(k -> (@inbounds sums_[k, b, r] * numbers[k]), Val(length(numbers)))

"Add what a pair gives to the cotangents (n, 3 + C, R) of its points i and j."
@inline function pull_pair!(acc1, acc2, (weight, slope), form, geometry, bins, i, j, u, v, p, q, sums_, reach2,
                            single)
    nb = nbins(bins)
    t = apart(geometry, u, v)[2]
    (t > reach2 || (leaves_out(form, bins) && t <= COINCIDENT)) && return nothing
    theta = soft_separation(geometry, u, v)
    seen = false
    @inbounds for b in 1:nb
        weight[b], slope[b] = bin_weight_slope(bins, b, theta)
        seen |= !iszero(weight[b])
    end
    seen || return nothing
    aimed = aim(form, geometry, u, v)
    numbers = (pair_numbers(form, p, q, aimed)..., p[end] * q[end])
    tu, tv = separation_slope(geometry, u, v)
    C = length(p)
    @inbounds for r in axes(sums_, 3)
        of_bins = single ? (r:r) : (1:nb)
        n = map(_ -> zero(eltype(acc1)), numbers)
        t_ = zero(eltype(acc1))
        for b in of_bins
            n = plus_times(n, weight[b], sums_, b, r)
            t_ += slope[b] * sum_of(times_numbers(numbers, sums_, b, r))
        end
        t_ *= theta_unit(geometry)
        du, dv, dp, dq = pair_slopes(form, geometry, u, v, p, q, aimed, n)
        for k in 1:3
            acc1[i, k, r] += t_ * tu[k] + du[k]
            acc2[j, k, r] += t_ * tv[k] + dv[k]
        end
        for c in 1:C
            acc1[i, 3 + c, r] += dp[c]
            acc2[j, 3 + c, r] += dq[c]
        end
        acc1[i, 3 + C, r] += n[end] * q[end]
        acc2[j, 3 + C, r] += n[end] * p[end]
    end
    return nothing
end
