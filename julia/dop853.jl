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
