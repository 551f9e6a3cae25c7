# Statistics of pairs of objects in soft bins and their reverse derivatives: rho statistics, tangential shear,
# w(theta), and xi, omega, eta in a periodic box. Objects are rows of columns: angles in degrees (x and y in a
# plane), shears, sizes, weights. Generic in the number type.
#
# Values are (nbins, V), V of them a bin; cotangents (nbins, V, R).

abstract type SoftStatistic end

"rho1 to rho5 of stars: ra, dec, g1, g2, weight, model's g1, g2, size T, model's T."
struct RhoStatistics{G<:Geometry} <: SoftStatistic
    geometry::G
    bins::SoftBins
    reference::Int          # STAR, MODEL or GATTI
end

"Tangential shear about lenses (ra, dec, weight) of sources (ra, dec, g1, g2, weight)."
struct TangentialShear{G<:Geometry} <: SoftStatistic
    geometry::G
    bins::SoftBins
end

"""
w(theta) of Landy & Szalay (1993) of data and randoms (ra, dec, weight). `held` randoms have no derivative;
their weighted pairs `rr` are taken as known where there are any, and left there.
"""
struct LandySzalay{G<:Geometry} <: SoftStatistic
    geometry::G
    bins::SoftBins
    held::Bool
    rr::Vector{Float64}
end

"xi, omega and eta of objects in a box (x, y, z, axis, weight); `shells` are shares of the volume."
struct BoxStatistics <: SoftStatistic
    geometry::PeriodicBox
    bins::SoftBins
    shells::Vector{Float64}
end

# Whose ellipticity and size e and T are, of `StarCatalog.fields`.
const STAR, MODEL, GATTI = 0, 1, 2

nvalues(::RhoStatistics) = 5
nvalues(::Union{TangentialShear,LandySzalay}) = 1
nvalues(::BoxStatistics) = 3

# ---- points of objects -----------------------------------------------------------------------

sky_points(geometry, y) = permutedims(places(geometry, y[:, 1], y[:, 2]))

"Add cotangents x_ (n, 3, R) of points to those of the first two columns."
function sky_points_back!(y_, ::Plane, y, x_)
    y_[:, 1, :] .+= x_[:, 1, :]
    y_[:, 2, :] .+= x_[:, 2, :]
end
function sky_points_back!(y_, ::Sphere, y, x_)
    for i in axes(y, 1)
        a, d = deg2rad(y[i, 1] - 360 * round(primal(y[i, 1]) / 360)), deg2rad(y[i, 2])
        for r in axes(y_, 3)
            ra_, dec_ = sky_part(a, d, x_[i, 1, r], x_[i, 2, r], x_[i, 3, r])
            y_[i, 1, r] += ra_
            y_[i, 2, r] += dec_
        end
    end
end

"Fields and weight of a star: e, de, q, w."
@inline function star_fields(reference, g1, g2, w, m1, m2, T, Tm)
    of_star = reference == STAR
    e1, e2 = of_star ? (g1, g2) : (m1, m2)
    b1, b2, ratio = reference == MODEL ? (m1, m2, (T - Tm) / Tm) : (g1, g2, (T - Tm) / T)
    return e1, e2, g1 - m1, g2 - m2, b1 * ratio, b2 * ratio
end

"Points (x, p) of each set, and the numbers p that an object would have at weight 1."
function rho_points(stat, y)
    p = Matrix{eltype(y)}(undef, size(y, 1), 7)
    for i in axes(y, 1)
        w = y[i, 5]
        fields = star_fields(stat.reference, (y[i, c] for c in 3:9)...)
        for c in 1:6
            p[i, c] = w * fields[c]
        end
        p[i, 7] = w
    end
    return sky_points(stat.geometry, y), p
end

function rho_points_back(stat, y, back)
    y_ = zeros(eltype(back), size(y, 1), 9, size(back, 3))
    sky_points_back!(y_, stat.geometry, y, back)
    for i in axes(y, 1)
        g1, g2, w, m1, m2, T, Tm = (y[i, c] for c in 3:9)
        fields = star_fields(stat.reference, g1, g2, w, m1, m2, T, Tm)
        star, model = stat.reference == STAR, stat.reference == MODEL
        ratio = (T - Tm) / (model ? Tm : T)
        for r in axes(back, 3)
            f = ntuple(c -> w * back[i, 3 + c, r], 6)
            ratio_ = model ? m1 * f[5] + m2 * f[6] : g1 * f[5] + g2 * f[6]
            for k in 1:2
                to_base = ratio * f[4 + k]
                y_[i, 2 + k, r] += f[2 + k] + (star ? f[k] : zero(w)) + (model ? zero(w) : to_base)
                y_[i, 5 + k, r] += -f[2 + k] + (star ? zero(w) : f[k]) + (model ? to_base : zero(w))
            end
            y_[i, 5, r] += back[i, 10, r] + sum_of(ntuple(c -> fields[c] * back[i, 3 + c, r], 6))
            y_[i, 8, r] += ratio_ * (model ? inv(Tm) : Tm / T^2)
            y_[i, 9, r] -= ratio_ * (model ? T / Tm^2 : inv(T))
        end
    end
    return y_
end

lens_points(geometry, y) = sky_points(geometry, y), hcat(y[:, 3], zero(y[:, 3]), y[:, 3])
function lens_points_back(geometry, y, back)
    y_ = zeros(eltype(back), size(y, 1), 3, size(back, 3))
    sky_points_back!(y_, geometry, y, back)
    y_[:, 3, :] .= back[:, 4, :] .+ back[:, 6, :]
    return y_
end

source_points(geometry, y) = sky_points(geometry, y), hcat(y[:, 3] .* y[:, 5], y[:, 4] .* y[:, 5], y[:, 5])
function source_points_back(geometry, y, back)
    y_ = zeros(eltype(back), size(y, 1), 5, size(back, 3))
    sky_points_back!(y_, geometry, y, back)
    y_[:, 3, :] .= y[:, 5] .* back[:, 4, :]
    y_[:, 4, :] .= y[:, 5] .* back[:, 5, :]
    y_[:, 5, :] .= back[:, 6, :] .+ y[:, 3] .* back[:, 4, :] .+ y[:, 4] .* back[:, 5, :]
    return y_
end

counted_points(geometry, y) = sky_points(geometry, y), y[:, 3:3]
function counted_points_back(geometry, y, back)
    y_ = zeros(eltype(back), size(y, 1), 3, size(back, 3))
    sky_points_back!(y_, geometry, y, back)
    y_[:, 3, :] .= back[:, 4, :]
    return y_
end

axis_length(y, i) = sqrt(y[i, 4]^2 + y[i, 5]^2 + y[i, 6]^2)

function box_points(y)
    p = y[:, 4:7]
    for i in axes(y, 1), k in 1:3
        p[i, k] = y[i, 3 + k] / axis_length(y, i)
    end
    return y[:, 1:3], p
end

function box_points_back(y, back)
    y_ = copy(back)
    _, p = box_points(y)
    for r in axes(back, 3), i in axes(y, 1)
        along = sum(p[i, k] * back[i, 3 + k, r] for k in 1:3)
        for k in 1:3
            y_[i, 3 + k, r] = (back[i, 3 + k, r] - p[i, k] * along) / axis_length(y, i)
        end
    end
    return y_
end

# ---- pairs and values ------------------------------------------------------------------------

pairs_of(stat::RhoStatistics, one, two) = (soft_pairs(RHO, stat.geometry, stat.bins, PointSets(rho_points(stat, one)...)),)
pairs_of(stat::TangentialShear, one, two) =
    (soft_pairs(TANGENTIAL, stat.geometry, stat.bins,
                PointSets(lens_points(stat.geometry, one)..., source_points(stat.geometry, two)...)),)
pairs_of(stat::BoxStatistics, one, two) = (soft_pairs(AxisPairs(), stat.geometry, stat.bins, PointSets(box_points(one)...)),)

function pairs_of(stat::LandySzalay, one, two)
    data, randoms = counted_points(stat.geometry, one), counted_points(stat.geometry, two)
    counts(points...) = soft_pairs(Counts(), stat.geometry, stat.bins, PointSets(points...))
    within_data, across = counts(data...), counts(data..., randoms...)
    known(stat) && return within_data, across
    return within_data, across, counts(randoms...)
end

known(stat::LandySzalay) = stat.held && !isnan(stat.rr[1])

"The sums of all pairs; and how many are coincident."
function sums_of(stat::SoftStatistic, pairs)
    found = map(sums!, pairs)
    return map(first, found), found[1][2]
end

function sums_of(stat::LandySzalay, pairs)
    found = map(sums!, pairs)
    known(stat) && return (found[1][1], found[2][1], permutedims(stat.rr)), found[1][2]
    stat.held && (stat.rr .= map(primal, found[3][1][1, :]))
    return map(first, found), found[1][2]
end

"Values (nbins, V) from the sums."
quotients(sums) = hcat((soft_ratio(sums[k, :], sums[end, :]) for k in 1:(size(sums, 1) - 1))...)
values_of(::Union{RhoStatistics,TangentialShear}, (sums,), one, two) = quotients(sums)

function values_of(stat::BoxStatistics, (sums,), one, two)
    total = sum(one[:, 7])
    return hcat(2 .* sums[3, :] ./ (total^2 .* stat.shells) .- 1, quotients(sums))
end

function values_of(::LandySzalay, (dd, dr, rr), one, two)
    ratio = sum(two[:, 3]) / sum(one[:, 3])
    w = soft_ratio(ratio^2 .* dd[1, :] .- ratio .* dr[1, :] .+ rr[1, :], rr[1, :])
    return reshape(w, :, 1)
end

"""
    soft_values(stat, one, two) -> (values, coincident)

Values (nbins, V) of objects `one` and `two` (of which some statistics have none).
"""
function soft_values(stat::SoftStatistic, one, two)
    sums, met = sums_of(stat, pairs_of(stat, one, two))
    return values_of(stat, sums, one, two), met
end

# ---- reverse derivative ----------------------------------------------------------------------

"""
    soft_values_pullback(stat, one, two, cotangent) -> (values, one_, two_, coincident)

From cotangents (nbins, V, R) those of the columns, (n, c, R).
"""
function soft_values_pullback(stat::SoftStatistic, one, two, cotangent)
    pairs = pairs_of(stat, one, two)
    sums, met = sums_of(stat, pairs)
    return (values_of(stat, sums, one, two), objects_pullback(stat, pairs, sums, one, two, cotangent)..., met)
end

"Cotangents of the sums of quotients."
function quotients_pullback(sums, cotangent)
    each = [ratio_pullback(cotangent[:, k, :], sums[k, :], sums[end, :]) for k in axes(cotangent, 2)]
    return sums_cotangent(map(first, each)..., sum(map(last, each)))
end

function objects_pullback(stat::RhoStatistics, (pairs,), (sums,), one, two, cotangent)
    back, _ = pullback(pairs, quotients_pullback(sums, cotangent))
    return rho_points_back(stat, one, back), zeros(eltype(back), 0, 0, size(cotangent, 3))
end

function objects_pullback(stat::TangentialShear, (pairs,), (sums,), one, two, cotangent)
    lenses, sources = pullback(pairs, quotients_pullback(sums, cotangent))
    return lens_points_back(stat.geometry, one, lenses), source_points_back(stat.geometry, two, sources)
end

function objects_pullback(stat::BoxStatistics, (pairs,), (sums,), one, two, cotangent)
    sums_ = quotients_pullback(sums, cotangent[:, 2:3, :])
    total = sum(one[:, 7])
    per = 2 ./ (total^2 .* stat.shells)
    sums_[3, :, :] .+= per .* cotangent[:, 1, :]
    back, _ = pullback(pairs, sums_)
    one_ = box_points_back(one, back)
    for r in axes(cotangent, 3)
        one_[:, 7, r] .-= 2 / total * sum(cotangent[:, 1, r] .* per .* sums[3, :])
    end
    return one_, zeros(eltype(back), 0, 0, size(cotangent, 3))
end

function objects_pullback(stat::LandySzalay, pairs, (dd, dr, rr), one, two, cotangent)
    c = cotangent[:, 1, :] .* [primal(q) > NO_PAIRS ? inv(q) : zero(inv(q)) for q in rr[1, :]]
    data, randoms = sum(one[:, 3]), sum(two[:, 3])
    ratio = randoms / data
    each(x) = reshape(x, 1, size(x)...)
    one_ = counted_points_back(stat.geometry, one, pullback(pairs[1], each(ratio^2 .* c))[1])
    first, second = pullback(pairs[2], each(-ratio .* c))
    one_ .+= counted_points_back(stat.geometry, one, first)
    ratio_ = sum(c .* (2 .* ratio .* dd[1, :] .- dr[1, :]), dims = 1)
    one_[:, 3, :] .-= ratio_ .* (ratio / data)
    stat.held && return one_, zeros(eltype(one_), size(two, 1), 3, size(c, 2))
    two_ = counted_points_back(stat.geometry, two, second)
    # sums of randoms that have no pairs have none to divide by either
    over = [primal(q) > NO_PAIRS ? (ratio^2 * a - ratio * b) / q : zero(q * a) for (a, b, q) in zip(dd[1, :], dr[1, :], rr[1, :])]
    two_ .+= counted_points_back(stat.geometry, two, pullback(pairs[3], each(-over .* c))[1])
    two_[:, 3, :] .+= ratio_ ./ data
    return one_, two_
end
