# Test particles in the field of a point mass: the forward model that a correlation function is
# differentiated through (Berman et al. 2025, arXiv:2504.06174, section 3.2).

# ---- the Runge-Kutta pair ----------------------------------------------------------------------

# The Runge-Kutta pair of Dormand & Prince of order 8(5,3), for x'' = a(x) written as x' = v,
# v' = a(x). Coefficients and error estimate: Hairer, Norsett & Wanner, Solving Ordinary
# Differential Equations I, 2nd ed., section II.10. The equation does not hold the time, so the
# nodes are not needed.

const Coefficients = Vector{Tuple{Int,Float64}}

# Stage i + 1 from the stages before it; zeros are left out.
const DOP853_STAGES = Coefficients[
    [(1, 0.05260015195876773)],
    [(1, 0.0197250569845379), (2, 0.0591751709536137)],
    [(1, 0.02958758547680685), (3, 0.08876275643042054)],
    [(1, 0.2413651341592667), (3, -0.8845494793282861), (4, 0.924834003261792)],
    [(1, 0.037037037037037035), (4, 0.17082860872947386), (5, 0.12546768756682242)],
    [(1, 0.037109375), (4, 0.17025221101954405), (5, 0.06021653898045596), (6, -0.017578125)],
    [(1, 0.03709200011850479), (4, 0.17038392571223998), (5, 0.10726203044637328),
     (6, -0.015319437748624402), (7, 0.008273789163814023)],
    [(1, 0.6241109587160757), (4, -3.3608926294469414), (5, -0.868219346841726),
     (6, 27.59209969944671), (7, 20.154067550477894), (8, -43.48988418106996)],
    [(1, 0.47766253643826434), (4, -2.4881146199716677), (5, -0.590290826836843),
     (6, 21.230051448181193), (7, 15.279233632882423), (8, -33.28821096898486),
     (9, -0.020331201708508627)],
    [(1, -0.9371424300859873), (4, 5.186372428844064), (5, 1.0914373489967295),
     (6, -8.149787010746927), (7, -18.52006565999696), (8, 22.739487099350505),
     (9, 2.4936055526796523), (10, -3.0467644718982196)],
    [(1, 2.273310147516538), (4, -10.53449546673725), (5, -2.0008720582248625),
     (6, -17.9589318631188), (7, 27.94888452941996), (8, -2.8589982771350235),
     (9, -8.87285693353063), (10, 12.360567175794303), (11, 0.6433927460157636)],
]
# The new value from the twelve stages.
const DOP853_STEP = Coefficients[[
    (1, 0.054293734116568765), (6, 4.450312892752409), (7, 1.8915178993145003),
    (8, -5.801203960010585), (9, 0.3111643669578199), (10, -0.1521609496625161),
    (11, 0.20136540080403034), (12, 0.04471061572777259)]][1]
# Its differences from a third- and a fifth-order value.
const DOP853_ERROR3 = Coefficients[[
    (1, -0.18980075407240762), (6, 4.450312892752409), (7, 1.8915178993145003),
    (8, -5.801203960010585), (9, -0.4226823213237919), (10, -0.1521609496625161),
    (11, 0.20136540080403034), (12, 0.02265179219836082)]][1]
const DOP853_ERROR5 = Coefficients[[
    (1, 0.01312004499419488), (6, -1.2251564463762044), (7, -0.4957589496572502),
    (8, 1.6643771824549864), (9, -0.35032884874997366), (10, 0.3341791187130175),
    (11, 0.08192320648511571), (12, -0.022355307863886294)]][1]

const Vec3{T} = NTuple{3,T}

"The stages of one step: velocities and accelerations, which are the slopes of x and v."
struct Stages{T<:Real}
    v::Vector{Vec3{T}}
    a::Vector{Vec3{T}}
end
Stages{T}() where {T} = Stages{T}(Vector{Vec3{T}}(undef, 12), Vector{Vec3{T}}(undef, 12))

@inline function weighted(row::Coefficients, k::Vector{Vec3{T}}) where {T}
    j, c = row[1]
    s = c .* k[j]
    for l in 2:length(row)
        j, c = row[l]
        s = s .+ c .* k[j]
    end
    return s
end

@inline norm3(x::Vec3) = sqrt(x[1] * x[1] + x[2] * x[2] + x[3] * x[3])

"""
    dop853_step!(stages, acceleration, x, v, a, h)

One step of length `h` from position `x` and velocity `v`, where the acceleration is `a`:
returns them at its end. The stages are kept for the error estimate.
"""
function dop853_step!(s::Stages{T}, acceleration::F, x::Vec3{T}, v::Vec3{T}, a::Vec3{T},
                      h) where {T,F}
    s.v[1] = v
    s.a[1] = a
    for i in 2:12
        row = DOP853_STAGES[i - 1]
        xi = x .+ h .* weighted(row, s.v)
        s.v[i] = v .+ h .* weighted(row, s.a)
        s.a[i] = acceleration(xi)
    end
    xnew = x .+ h .* weighted(DOP853_STEP, s.v)
    vnew = v .+ h .* weighted(DOP853_STEP, s.a)
    return xnew, vnew, acceleration(xnew)
end

# ---- the size of an error --------------------------------------------------------------------

# |error| against what it is an error of, the largest over the value and every partial
# derivative, each against its own scale: the larger, over both ends of the step, of |q| and
# unit |a|, `unit` turning an acceleration into the kind of q. So the choice of units of a
# parameter changes nothing, and a partial that starts at zero is measured by what drives it.
function relative_error(err::Vec3{V}, q0::Vec3{V}, q1::Vec3{V}, a0::Vec3{V}, a1::Vec3{V},
                        unit, least) where {V<:AbstractFloat}
    size = norm3(err)
    iszero(size) && return size
    scale = max(least, norm3(q0), norm3(q1), unit * norm3(a0), unit * norm3(a1))
    return size / scale
end

function relative_error(err::Vec3{V}, q0::Vec3{V}, q1::Vec3{V}, a0::Vec3{V}, a1::Vec3{V},
                        unit, least) where {V<:Real}
    vectors = (err, q0, q1, a0, a1)
    worst = relative_error(map(q -> map(value, q), vectors)..., unit, least)
    for k in 1:length(partials(err[1]))
        part = relative_error(map(q -> map(c -> partials(c)[k], q), vectors)..., unit, zero(least))
        worst = isnan(part) ? part : max(worst, part)
    end
    return worst
end

"""
    dop853_error(stages, h, x0, v0, a0, x1, v1, a1, time2, xleast, vleast)

Estimated relative error of the step just made. `time2` is the square of the local dynamical
time, and the last two are the least scales of position and velocity.
"""
function dop853_error(s::Stages, h, x0, v0, a0, x1, v1, a1, time2, xleast, vleast)
    measure(row) = max(
        relative_error(weighted(row, s.v), x0, x1, a0, a1, time2, xleast),
        relative_error(weighted(row, s.a), v0, v1, a0, a1, sqrt(time2), vleast))
    e5, e3 = measure(DOP853_ERROR5), measure(DOP853_ERROR3)
    iszero(e5) && return e5
    return h * e5 * (e5 / sqrt(e5 * e5 + e3 * e3 / 100))
end

# ---- test particles ------------------------------------------------------------------------------

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
center of an eccentric orbit), and are not differentiated themselves. A `t_max` that carries
derivatives is honored by a last step of length zero that carries them.
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

# Arguments
- `x0`, `v0`: positions and velocities at time 0, (3, N).
- `G`, `mass`, `softening`, `t_max`: in any units that fit together.
- `rtol`: largest estimated relative error of a step.
- `max_steps`: largest number of steps of a particle.
- `observer`: three coordinates.

Returns `(position, velocity, ra, dec, steps)`: (3, N), (3, N), and N right ascensions and
declinations in degrees as seen by `observer`, and the number of steps of each particle. Every
argument may carry derivatives.

The integrator is an adaptive Runge-Kutta pair of order 8(5,3). Throws `ArgumentError` where an
argument is out of range and where a particle reaches the center (closer than $CENTER_FRACTION
of its starting radius, without softening), needs too many steps, or ends where it has no
direction on the sky.

# Example
```julia
x0, v0 = reshape([1.0, 0, 0], 3, 1), reshape([0.0, 1, 0], 3, 1)    # a circular orbit
position, = simulate(x0, v0; t_max = pi / 2, observer = (9, 0, 0))
slope = derivative(G -> simulate(x0, v0; G = G, t_max = 1.0, observer = (9, 0, 0))[3][1], 1.0)
isapprox(position, [0, 1, 0]; atol = 1e-12) && isfinite(slope)
```
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
