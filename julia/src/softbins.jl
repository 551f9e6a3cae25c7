# Bins of separation with soft edges (Berman et al. 2025, arXiv:2504.06174, eqs. 22 and 23), and separations
# with their slopes.

"""
    SoftBins(edges, sharpness; gaussian = false, minus = false, drop = minus)
    SoftBins(lo, hi, sharpness, gaussian, minus, drop)

Bins of separation with soft edges (Berman et al. 2025, arXiv:2504.06174, eq. 23): limits `edges`
(or `lo` and `hi` of each bin) in arcmin; `sharpness`, one number or one a bin, of the sigmoid edges
(1/arcmin) or, with `gaussian`, of a Gaussian about the middle (1/arcmin^2); `minus` for xi-
instead of xi+; `drop` leaves out coincident pairs, which have no direction: xi- always does.

# Example
```julia
SoftBins([0, 20, 45, 80], 20 ./ [20, 25, 35]).hi == [20, 45, 80]
```
"""
struct SoftBins
    lo::Vector{Float64}
    hi::Vector{Float64}
    sharpness::Vector{Float64}
    gaussian::Bool
    minus::Bool
    drop::Bool
    SoftBins(lo, hi, sharpness, gaussian, minus, drop) =
        new(lo, hi, sharpness, gaussian, minus, drop || minus)
end

function SoftBins(edges::AbstractVector, sharpness; gaussian = false, minus = false, drop = minus)
    limits = fixed("SoftBins", "edges", edges, VALUES_ONLY)
    steep = fixed("SoftBins", "sharpness", sharpness, VALUES_ONLY)
    n = length(limits) - 1
    n >= 1 && all(diff(limits) .> 0) || throw(ArgumentError("edges must increase; they are $limits"))
    all(steep .> 0) || throw(ArgumentError("sharpness must be above 0; it is $steep"))
    length(steep) in (1, n) || throw(DimensionMismatch(
        "sharpness must be one number or $n, one a bin; there are $(length(steep))"))
    return SoftBins(limits[1:n], limits[2:end], steep .* ones(n), gaussian, minus, drop)
end

nbins(bins::SoftBins) = length(bins.lo)

Base.getindex(bins::SoftBins, which) = SoftBins(bins.lo[which], bins.hi[which], bins.sharpness[which],
                                                bins.gaussian, bins.minus, bins.drop)

const ARCMIN = 10800 / pi                 # arcmin in a radian
# exp(-745.2) is below the least positive number: beyond this a weight is exactly 0.
const UNDERFLOW = 745.2
# A bin whose weights sum to less has no pairs.
const NO_PAIRS = 1e-290

"1/(1 + exp(-t)), written so that neither it nor its derivative overflows."
@inline function sigmoid(t)
    t >= 0 && return inv(1 + exp(-t))
    e = exp(t)
    return e / (1 + e)
end

# Most pairs are far outside of most bins: nothing else need be computed for them.
@inline underflows(s, lo, hi, theta) = s * min(theta - lo, hi - theta) < -UNDERFLOW

"Weight of a pair at `theta` arcmin in bin `b`."
@inline function bin_weight(bins::SoftBins, b, theta)
    @inbounds s, lo, hi = bins.sharpness[b], bins.lo[b], bins.hi[b]
    bins.gaussian && return exp(-s * (theta - (lo + hi) / 2)^2)
    underflows(s, lo, hi, primal(theta)) && return zero(s * theta)
    return sigmoid(s * (theta - lo)) * sigmoid(s * (hi - theta))
end

"The weight and its derivative with respect to `theta`."
@inline function bin_weight_slope(bins::SoftBins, b, theta)
    @inbounds s, lo, hi = bins.sharpness[b], bins.lo[b], bins.hi[b]
    if bins.gaussian
        t = theta - (lo + hi) / 2
        weight = exp(-s * t^2)
        return weight, -2 * s * t * weight
    end
    underflows(s, lo, hi, primal(theta)) && return zero(s * theta), zero(s * theta)
    rise, fall = sigmoid(s * (theta - lo)), sigmoid(s * (hi - theta))
    weight = rise * fall
    return weight, s * weight * (fall - rise)
end

# Unit of theta in that of `separation`.
theta_unit(::Sphere) = ARCMIN
theta_unit(::Geometry) = 1.0

"""
A periodic box, whose positions lie anywhere in units that make its longest side about 1: separations are
those of nearest images.
"""
struct PeriodicBox <: Geometry
    sides::NTuple{3,Float64}
end

"From u to v: the vector, and its square, of which `chord2` is the same but for rounding."
@inline function apart(::Geometry, u, v)
    dx, dy, dz = v[1] - u[1], v[2] - u[2], v[3] - u[3]
    return (dx, dy, dz), dx * dx + dy * dy + dz * dz
end

@inline function apart(box::PeriodicBox, u, v)
    dx, dy, dz = nearest_of(v[1] - u[1], box.sides[1]), nearest_of(v[2] - u[2], box.sides[2]),
                 nearest_of(v[3] - u[3], box.sides[3])
    return (dx, dy, dz), dx * dx + dy * dy + dz * dz
end

@inline nearest_of(d, side) = d - side * round(primal(d) / side)
# Adding and taking away 1.5 * 2^52 leaves a whole number.
@inline nearest_of(d::Lanes, side) = d - side * ((d * inv(side) + 1.5 * 2.0^52) - 1.5 * 2.0^52)

"Squared chord beyond which every weight is 0."
function soft_reach2(geometry::Geometry, bins::SoftBins)
    far = maximum(bins.gaussian ?
        (bins.lo .+ bins.hi) ./ 2 .+ sqrt.(UNDERFLOW ./ bins.sharpness) :
        bins.hi .+ UNDERFLOW ./ bins.sharpness)
    return chord2_of(geometry, far)
end

chord2_of(::Sphere, theta) = theta >= 180 * 60 ? Inf : 4 * sin(theta / ARCMIN / 2)^2
chord2_of(::Geometry, theta) = theta^2

# What follows has no derivative with respect to positions where sin^2(theta) is below COINCIDENT:
# such points are the same to rounding, or antipodal, and nothing can be said of the direction from
# one to the other.

"`separation` in units of the bins, without derivative where `separation_slope` is 0."
@inline function soft_separation(::Sphere, u, v)
    t = chord2(u, v)
    near = primal(t * (4 - t)) < 4 * COINCIDENT
    return ARCMIN * (near ? separation(map(primal, u), map(primal, v)) + zero(t) : separation(u, v))
end

@inline function soft_separation(geometry::Geometry, u, v)
    t = apart(geometry, u, v)[2]
    return primal(t) <= COINCIDENT ? sqrt(primal(t)) + zero(t) : sqrt(t)
end

"""
    separation_slope(geometry, u, v) -> (along u, along v)

Derivatives of the `separation` as vectors of which only the tangent parts mean something;
0 for a coincident or antipodal pair.
"""
@inline function separation_slope(::Sphere, u, v)
    cx = u[2] * v[3] - u[3] * v[2]
    cy = u[3] * v[1] - u[1] * v[3]
    cz = u[1] * v[2] - u[2] * v[1]
    s2 = cx^2 + cy^2 + cz^2
    zero3 = (zero(s2), zero(s2), zero(s2))
    s2 < COINCIDENT && return zero3, zero3
    f = inv(sqrt(s2))
    if u[1] * v[1] + u[2] * v[2] + u[3] * v[3] >= 0
        # -v and u - v have the same tangent part at u; the second keeps the digits of close pairs
        d = ((u[1] - v[1]) * f, (u[2] - v[2]) * f, (u[3] - v[3]) * f)
        return d, (-d[1], -d[2], -d[3])
    end
    d = (-(u[1] + v[1]) * f, -(u[2] + v[2]) * f, -(u[3] + v[3]) * f)
    return d, d
end

@inline function separation_slope(geometry::Geometry, u, v)
    (dx, dy, dz), t = apart(geometry, u, v)
    flat = zero(t)
    t <= COINCIDENT && return (flat, flat, flat), (flat, flat, flat)
    f = inv(sqrt(t))
    return (-dx * f, -dy * f, -dz * f), (dx * f, dy * f, dz * f)
end
