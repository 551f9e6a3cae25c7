# Theta and ln(theta) of eight squared chords at a time, by series.

const DEGREE = 17

"Theta and ln(theta) as power series about the middle of a range of squared chords."
mutable struct Series
    middle::Float64
    inverse::Float64        # of half the range
    degree::Int
    theta::Vector{Float64}
    logtheta::Vector{Float64}
end
Series() = Series(0.0, 0.0, 0, zeros(DEGREE + 1), zeros(DEGREE + 1))

"""
Expand about the middle of [low, high] to eleven digits; false where the range comes too near
theta = 0 or pi for that.

theta = 2 asin(sqrt(t)/2), so theta' = y = (t (4 - t))^(-1/2), and q y' = -q' y / 2 with
q = t (4 - t) gives the coefficients of y one from another; those of ln(theta) follow from
(ln theta)' = theta'/theta. Chebyshev's economization then drops the terms that are not needed.
"""
function expand!(s::Series, low, high)
    middle = (low + high) / 2
    half = max((high - low) / 2, 1e-12 * middle)
    ratio = half / min(middle, 4 - middle)
    ratio < 0.22 || return false
    s.middle = middle
    s.inverse = 1 / half
    q0, q1, q2 = middle * (4 - middle), (4 - 2middle) * half, -half^2
    previous, y = 0.0, 1 / sqrt(q0)
    @inbounds begin
        s.theta[1] = 2 * asin(sqrt(middle) / 2)
        for k in 0:(DEGREE - 1)
            s.theta[k + 2] = half * y / (k + 1)
            y, previous = -((k + 0.5) * q1 * y + k * q2 * previous) / (q0 * (k + 1)), y
        end
        s.logtheta[1] = log(s.theta[1])
        inverse = 1 / s.theta[1]
        for k in 1:DEGREE
            rest = k * s.theta[k + 1]
            for j in 1:(k - 1)
                rest -= j * s.logtheta[j + 1] * s.theta[k - j + 1]
            end
            s.logtheta[k + 1] = rest * inverse / k
        end
    end
    s.degree = clamp(ceil(Int, -24.0 / log(ratio / 2)), 2, DEGREE)
    economize!(s.theta, s.degree)
    economize!(s.logtheta, s.degree)
    return true
end

# T_k(x) 2^(1-k) without its leading x^k, from the constant on.
const CHEBYSHEV = let T = [[1.0], [0.0, 1.0]]
    for k in 2:DEGREE
        push!(T, [0.0; 2 .* T[k]] .- [T[k - 1]; 0.0; 0.0])
    end
    [t[1:(end - 1)] ./ t[end] for t in T]
end

"Take the terms above `degree` off a power series on [-1, 1], with the least change to its values."
function economize!(a, degree)
    @inbounds for k in DEGREE:-1:(degree + 1)
        t, top = CHEBYSHEV[k + 1], a[k + 1]
        for j in (k - 1):-2:1
            a[j] -= top * t[j]
        end
    end
end

"How theta and ln(theta) of eight pairs are found: by the series, near zero, or one by one later."
abstract type Angles end
struct BySeries <: Angles end
struct NearZero <: Angles end
struct OneByOne <: Angles end

@inline function angles(::BySeries, s::Series, t::Vec)
    x = vmul(vsub(t, splat8(s.middle)), splat8(s.inverse))
    k = s.degree
    @inbounds a, b = splat8(s.theta[k + 1]), splat8(s.logtheta[k + 1])
    @inbounds while k > 0
        a = vfma(a, x, splat8(s.theta[k]))
        b = vfma(b, x, splat8(s.logtheta[k]))
        k -= 1
    end
    return a, b
end

# theta/sqrt(t) = 1 + t/24 + 3 t^2/640 + ..., and its logarithm, to the last digit for t < NEAR
const NEAR = 0.01
const NEAR_THETA = (1.0, 1 / 24, 3 / 640, 5 / 7168, 35 / 294912, 63 / 2883584)
const NEAR_LOG = (0.0, 1 / 24, 11 / 2880, 191 / 362880, 2497 / 29030400, 14797 / 958003200)

@inline function angles(::NearZero, s::Series, t::Vec)
    a, b = splat8(NEAR_THETA[6]), splat8(NEAR_LOG[6])
    k = 5
    while k > 0
        a = vfma(a, t, splat8(NEAR_THETA[k]))
        b = vfma(b, t, splat8(NEAR_LOG[k]))
        k -= 1
    end
    return vmul(a, vsqrt(t)), vifzero(t, splat8(LOG_ZERO), vfma(splat8(0.5), vlog(t), b))
end

@inline angles(::OneByOne, s::Series, t::Vec) = (t, t)
