# Test particles in the field of a point mass: the forward model that a correlation function is
# differentiated through (Berman et al. 2025, arXiv:2504.06174, section 3.2).

# What became of a particle.
const ARRIVED, CENTER, STUCK, AT_POLE, AT_OBSERVER = Int64(0), Int64(1), Int64(2), Int64(3), Int64(4)

const FATES = Dict(
    CENTER => "reach the center of the field, where the acceleration has no bound; give them " *
              "angular momentum, a shorter t_max or a softening",
    STUCK => "take more than max_steps steps or steps that vanish; raise max_steps, loosen rtol " *
             "or shorten t_max",
    AT_POLE => "end at the pole of the observer's sky, where right ascension is not defined; " *
               "move the observer",
    AT_OBSERVER => "end at the observer; move the observer",
)

# Closer to the center than this fraction of the starting radius a particle counts as lost: its
# orbit could not be carried on to the precision promised.
const CENTER_FRACTION = 1e-8
const OBSERVER_FRACTION = 1e-9

"""
    acceleration(x, GM, softening2)

-GM x / (|x|^2 + softening2)^(3/2).
"""
@inline function acceleration(x::Vec3, GM, softening2)
    s2 = x[1] * x[1] + x[2] * x[2] + x[3] * x[3] + softening2
    return (-GM / (s2 * sqrt(s2))) .* x
end

"""
    integrate(x, v, GM, softening2, t_max, rtol, max_steps, stages)

Carry one particle from time 0 to `t_max` with its own step sizes. Returns position, velocity,
number of steps and what became of it (`ARRIVED`, ...).

Step sizes are plain numbers: they are chosen so that the estimated error of the values *and of
every partial derivative* stays below `rtol` per step, each against its own size (less, near the
center of an eccentric orbit), and are not differentiated themselves. A `t_max` that carries derivatives is honored by a last step of
length zero that carries them.
"""
function integrate(x::Vec3{T}, v::Vec3{T}, GM, softening2, t_max, rtol, max_steps,
                   stages::Stages{T}) where {T}
    field(q) = acceleration(q, GM, softening2)
    P = typeof(primal(zero(T)))
    gm, soft2, stop = P(primal(GM)), P(primal(softening2)), P(primal(t_max))
    a = field(x)
    r2 = primal(sum(abs2, x))
    center2 = iszero(soft2) ? r2 * CENTER_FRACTION^2 : -one(r2)
    t = zero(stop)
    h = t
    # Deep in the well a relative error of the velocity is a large error of the orbital energy, and
    # so of the phase ever after: there the tolerance shrinks with the distance. The orbit's own
    # length is its semi-major axis or, if it is hardly bound, how far it falls in the time given.
    s0 = sqrt(r2 + soft2)
    orbit = min(inv(abs(2 / s0 - primal(sum(abs2, v)) / gm)), cbrt(gm * stop * stop))
    finest = 4 * eps(P)
    steps, rejected = Int64(0), false
    while t < stop
        r2 <= center2 && return x, v, steps, CENTER
        s2 = r2 + soft2
        time2 = s2 * sqrt(s2) / gm
        speed = sqrt(primal(sum(abs2, v)))
        size, pace = sqrt(s2), max(speed, sqrt(s2 / time2))
        iszero(h) && (h = size / pace / 20)
        last = t + h >= stop
        last && (h = stop - t)
        (steps >= max_steps || !(t + h > t) || !isfinite(h)) && return x, v, steps, STUCK
        xn, vn, an = dop853_step!(stages, field, x, v, a, h)
        err = dop853_error(stages, h, x, v, a, xn, vn, an, time2, size, pace)
        err /= max(finest, rtol * min(one(P), size / orbit))
        if err <= 1
            growth = iszero(err) ? 6.0 : clamp(0.9 * err^(-1 / 8), 1 / 3, rejected ? 1.0 : 6.0)
            t = last ? stop : t + h
            x, v, a, r2 = xn, vn, an, primal(sum(abs2, xn))
            steps += 1
            rejected = false
            h *= growth
            steps % 1024 == 0 && checkpoint()
        else
            h *= isfinite(err) ? max(0.9 * err^(-1 / 8), 0.2) : 0.2
            rejected = true
        end
    end
    r2 <= center2 && return x, v, steps, CENTER
    rest = t_max - stop
    if !(rest isa AbstractFloat)
        x, v, a = dop853_step!(stages, field, x, v, a, rest)
    end
    return x, v, steps, ARRIVED
end

"""
    sky(x, observer)

Right ascension in [0, 360) and declination in degrees of position `x` as `observer` sees it, on
axes parallel to those of the simulation.
"""
function sky(x::Vec3, observer::Vec3)
    d = x .- observer
    # atan2 of z and the distance from the axis is asin(z / r) with no loss near the poles.
    ra = rad2deg(atan(d[2], d[1]))
    dec = rad2deg(atan(d[3], sqrt(d[1] * d[1] + d[2] * d[2])))
    primal(ra) < 0 && (ra = ra + 360)
    primal(ra) >= 360 && (ra = ra - 360)
    return ra, dec
end

function sky_fate(x::Vec3, observer::Vec3)
    d = map(primal, x .- observer)
    size = max(norm3(map(primal, x)), norm3(map(primal, observer)))
    norm3(d) <= OBSERVER_FRACTION * size && return AT_OBSERVER
    return iszero(d[1]) && iszero(d[2]) ? AT_POLE : ARRIVED
end

"""
    simulate!(position, velocity, ra, dec, steps, fate, x0, v0, GM, softening2, t_max, rtol,
              max_steps, observer)

The work of [`simulate`](@ref), into given arrays. Every particle is integrated on its own, so
the result does not depend on the number of threads.
"""
function simulate!(position, velocity, ra, dec, steps, fate, x0, v0, GM, softening2, t_max,
                   rtol, max_steps, observer)
    D = eltype(position)
    chunked(size(x0, 2), 256) do _, range
        stages = Stages{D}()
        for i in range
            cancelled() && return nothing
            x = ntuple(k -> convert(D, x0[k, i]), Val(3))
            v = ntuple(k -> convert(D, v0[k, i]), Val(3))
            x, v, steps[i], fate[i] = integrate(x, v, GM, softening2, t_max, rtol, max_steps, stages)
            for k in 1:3
                position[k, i] = x[k]
                velocity[k, i] = v[k]
            end
            fate[i] == ARRIVED && (fate[i] = sky_fate(x, observer))
            fate[i] == ARRIVED && ((ra[i], dec[i]) = sky(x, observer))
        end
    end
    return nothing
end

"The largest number type that the arguments ask for, a floating-point one of at least 64 bit."
state_type(args...) = promote_type(Float64, map(a -> a isa Number ? typeof(a) : eltype(a), args)...)

"""
    simulate(x0, v0; G = 1.0, mass = 1.0, softening = 0.0, t_max, rtol = 1e-13,
             max_steps = 200_000, observer)

Carry independent test particles through the field of a mass at the origin, x' = v,
v' = -G M x/(|x|^2 + softening^2)^(3/2), from time 0 to `t_max`.

`x0` and `v0` are 3 x N. Returns `(position, velocity, ra, dec, steps)`: 3 x N, 3 x N, and N
right ascensions and declinations in degrees as seen by `observer`, and the number of steps of
each particle. Every argument may carry derivatives, so that
`derivative(G -> simulate(x0, v0; G = G, t_max = 6.0, observer = o)[3], 1.0)` is d ra / dG at
fixed starting points, velocities and `t_max`.

The integrator is an adaptive Runge-Kutta pair of order 8(5,3). Throws `ArgumentError` where an
argument is out of range and where a particle reaches the center (closer than $CENTER_FRACTION
of its starting radius, without softening), needs too many steps, or ends where it has no
direction on the sky.
"""
function simulate(x0::AbstractMatrix, v0::AbstractMatrix; G::Real = 1.0, mass::Real = 1.0,
                  softening::Real = 0.0, t_max::Real, rtol::Real = 1e-13,
                  max_steps::Integer = 200_000, observer)
    n = size(x0, 2)
    n > 0 || throw(ArgumentError("no particles: x0 is $(size(x0, 1)) x 0"))
    size(x0) == size(v0) == (3, n) || throw(DimensionMismatch(
        "x0 and v0 must both be 3 x N; they are $(size(x0)) and $(size(v0))"))
    length(observer) == 3 || throw(DimensionMismatch("observer must have 3 coordinates"))
    (isfinite(primal(G)) && G > 0) || throw(ArgumentError("G must be finite and > 0; it is $G"))
    (isfinite(primal(mass)) && mass > 0) || throw(ArgumentError("mass must be finite and > 0; it is $mass"))
    (isfinite(primal(softening)) && softening >= 0) ||
        throw(ArgumentError("softening must be finite and >= 0; it is $softening"))
    (isfinite(primal(t_max)) && t_max >= 0) || throw(ArgumentError("t_max must be finite and >= 0; it is $t_max"))
    0 < rtol < 1 || throw(ArgumentError("rtol must lie between 0 and 1; it is $rtol"))
    for (name, q) in (("x0", x0), ("v0", v0), ("observer", observer))
        all(c -> isfinite(primal(c)), q) || throw(ArgumentError("$name holds numbers that are not finite"))
    end
    T = state_type(x0, v0, G, mass, softening, t_max, observer)
    position, velocity = Matrix{T}(undef, 3, n), Matrix{T}(undef, 3, n)
    ra, dec = Vector{T}(undef, n), Vector{T}(undef, n)
    steps, fate = zeros(Int64, n), zeros(Int64, n)
    simulate!(position, velocity, ra, dec, steps, fate, x0, v0, G * mass, softening^2, t_max, rtol,
              max_steps, (observer[1], observer[2], observer[3]))
    for (what, text) in sort(collect(FATES))
        lost = findall(isequal(what), fate)
        isempty(lost) || throw(ArgumentError(string(length(lost), " of ", n, " particles (first: ",
            join(lost[1:min(end, 5)], ", "), ") ", text)))
    end
    return position, velocity, ra, dec, steps
end
