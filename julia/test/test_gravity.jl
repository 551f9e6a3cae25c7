# The gravity simulation against the closed Kepler orbit, in values and derivatives.

using LinearAlgebra
using Test
import SoftCorr
include("kepler.jl")

const FAR = (40.0, 1.0, 2.0)
column(x) = reshape(x, 3, 1)
one_particle(x, v; kwargs...) = SoftCorr.simulate(column(x), column(v); observer = FAR, kwargs...)
state(args...; kwargs...) = vcat(vec.(one_particle(args...; kwargs...)[1:2])...)

@testset "gravity" begin

@testset "the Kepler reference solves the equation of motion" begin
    x, v = kepler_start(big"0.6", big"0.4", big"1.3")
    path(t) = kepler(x, v, big"1.3", t)[1]
    for t in (big"0.5", big"3.1")
        velocity = SoftCorr.OwnDual.derivative(path, t)
        force = SoftCorr.OwnDual.derivative(s -> SoftCorr.OwnDual.derivative(path, s), t)
        y, w = kepler(x, v, big"1.3", t)
        @test velocity ≈ w rtol = 1e-30
        @test force ≈ -big"1.3" .* y ./ norm(y)^3 rtol = 1e-30
    end
end

@testset "Kepler orbit, e = $e, E = $E, $part of a period" for e in (0.0, 0.5, 0.9, 0.99),
        E in (0.3, 3.1), part in (1.0, 0.63)
    GM = 1.3
    x, v = kepler_start(e, E, GM)
    t = 2pi / sqrt(GM) * part
    y, w, _, _, steps = one_particle(x, v; G = GM, t_max = t)
    ky, kw = kepler(big.(x), big.(v), big(GM), big(t))
    # The semi-major axis is 1.
    @test norm(y - ky) < 1e-10
    @test norm(w - kw) < 1e-9 * max(1, norm(kw))
    @test 10 < steps[1] < 1000
    d = SoftCorr.derivative(G -> state(x, v; G = G, t_max = t), GM)
    k = SoftCorr.derivative(G -> vcat(kepler(big.(x), big.(v), G, big(t))...), big(GM))
    @test norm(d[1:3] - k[1:3]) < 1e-8 * norm(k[1:3])
    @test norm(d[4:6] - k[4:6]) < 1e-8 * norm(k[4:6])
end

@testset "derivatives with respect to everything else" begin
    x, v = kepler_start(0.5, 0.7, 1.0)
    function run(p)
        T = eltype(p)
        state(p[1:3], p[4:6]; G = p[7], mass = p[8], t_max = p[9])
    end
    p = [x; v; 1.0; 1.0; 4.0]
    for component in 1:6
        ours = SoftCorr.gradient(q -> run(q)[component], p)
        closed = SoftCorr.gradient(
            q -> vcat(kepler(q[1:3], q[4:6], q[7] * q[8], q[9])...)[component], big.(p))
        @test ours ≈ closed rtol = 1e-10
    end
    # The end of the run alone: the velocity there.
    d = SoftCorr.derivative(t -> state(x, v; t_max = t), 4.0)
    y, w, = one_particle(x, v; t_max = 4.0)
    @test d[1:3] ≈ vec(w) rtol = 1e-14
    @test d[4:6] ≈ -vec(y) ./ norm(y)^3 rtol = 1e-13
    # Second derivatives.
    second = SoftCorr.derivative(H -> SoftCorr.derivative(G -> state(x, v; G = G, t_max = 4.0), H), 1.0)
    closed = SoftCorr.derivative(H -> SoftCorr.derivative(
        G -> vcat(kepler(big.(x), big.(v), G, big"4.0")...), H), big"1.0")
    @test second ≈ closed rtol = 1e-8
    # The choice of units of a parameter changes neither steps nor result.
    scaled = SoftCorr.derivative(u -> state(x, v; G = u / 1e9, t_max = 4.0), 1e9)
    plain = SoftCorr.derivative(G -> state(x, v; G = G, t_max = 4.0), 1.0)
    @test scaled .* 1e9 ≈ plain rtol = 1e-12
end

@testset "order of convergence" begin
    x, v = kepler_start(0.3, 0.2, 1.0)
    X, V = Tuple(x), Tuple(v)
    field(q) = SoftCorr.acceleration(q, 1.0, 0.0)
    exact = vcat(kepler(big.(x), big.(v), big"1.0", big"4.0")...)
    errors = map((32, 64)) do n
        stages = SoftCorr.Stages{Float64}()
        y, w, a = X, V, field(X)
        for _ in 1:n
            y, w, a = SoftCorr.dop853_step!(stages, field, y, w, a, 4.0 / n)
        end
        norm([y..., w...] - exact)
    end
    @test 7.6 < log2(errors[1] / errors[2]) < 9.5
    # The error estimates: the first step's, of order 6 and 4 in the step.
    function estimates(h)
        stages = SoftCorr.Stages{Float64}()
        SoftCorr.dop853_step!(stages, field, X, V, field(X), h)
        h .* (norm(SoftCorr.weighted(SoftCorr.DOP853_ERROR5, stages.v)),
              norm(SoftCorr.weighted(SoftCorr.DOP853_ERROR3, stages.v)))
    end
    coarse, fine = estimates(0.05), estimates(0.025)
    @test 5.7 < log2(coarse[1] / fine[1]) < 6.6
    @test 3.7 < log2(coarse[2] / fine[2]) < 4.6
    # A tolerance looser by 1e4 costs accuracy and saves steps.
    tight, loose = one_particle(x, v; t_max = 4.0), one_particle(x, v; t_max = 4.0, rtol = 1e-9)
    @test loose[5][1] < 0.6 * tight[5][1]
    @test norm(vec(loose[1]) - exact[1:3]) > 10 * norm(vec(tight[1]) - exact[1:3])
    @test norm(vec(loose[1]) - exact[1:3]) < 1e-6
end

@testset "conserved quantities, softening, unbound orbits" begin
    energy(x, v, GM, eps) = norm(v)^2 / 2 - GM / sqrt(norm(x)^2 + eps^2)
    for (x, v, GM, eps, t) in (([1.0, 0.2, -0.3], [0.1, 0.8, 0.3], 2.0, 0.0, 20.0),
                               ([1.0, 0.2, -0.3], [0.1, 0.3, 0.3], 2.0, 0.3, 20.0),
                               ([1.0, 0.2, -0.3], [-1.0, 2.5, 0.3], 2.0, 0.0, 20.0),
                               ([1.0, 0.0, 0.0], [0.0, 0.0, 0.0], 2.0, 0.3, 20.0))
        y, w, = one_particle(x, v; G = GM, softening = eps, t_max = t)
        @test energy(vec(y), vec(w), GM, eps) ≈ energy(x, v, GM, eps) rtol = 1e-11
        @test cross(vec(y), vec(w)) ≈ cross(x, v) rtol = 1e-11 atol = 1e-13
        back = one_particle(vec(y), -vec(w); G = GM, softening = eps, t_max = t)
        @test vec(back[1]) ≈ x atol = 1e-9
    end
    # Softened, a particle may pass through the center and start there.
    d = SoftCorr.derivative(G -> state([0.0, 0.0, 0.0], [0.3, 0.0, 0.1]; G = G, softening = 0.5,
                                       t_max = 3.0), 1.0)
    h = 1e-5
    at(G) = state([0.0, 0.0, 0.0], [0.3, 0.0, 0.1]; G = G, softening = 0.5, t_max = 3.0)
    @test d ≈ (at(1 + h) - at(1 - h)) / 2h rtol = 1e-7
end

@testset "number types" begin
    x, v = kepler_start(0.5, 0.7, 1.0)
    y, = one_particle(big.(x), big.(v); t_max = big"4.0", rtol = 1e-13)
    @test eltype(y) == BigFloat
    @test Float64.(y) ≈ one_particle(x, v; t_max = 4.0)[1] rtol = 1e-11
    @test one_particle([1, 0, 0], [0, 1, 0]; G = 1, t_max = 2)[1] ≈ [cos(2), sin(2), 0] rtol = 1e-11
    # Our own numbers, whichever are in use.
    d = SoftCorr.OwnDual.derivative(G -> state(x, v; G = G, t_max = 4.0), 1.0)
    @test d ≈ SoftCorr.derivative(G -> state(x, v; G = G, t_max = 4.0), 1.0) rtol = 1e-12
    GD = SoftCorr.forward_mode().Dual{:G}(1.0, (1.0,))
    stages = SoftCorr.Stages{typeof(GD)}()
    convert3(q) = ntuple(k -> convert(typeof(GD), q[k]), 3)
    @test (@inferred SoftCorr.integrate(convert3(x), convert3(v), GD, 0.0, 4.0, 1e-13, 1000, stages)) isa
        Tuple
end

@testset "the sky" begin
    for (d, ra, dec) in (([1.0, 0.0, 0.0], 0.0, 0.0), ([0.0, 2.0, 0.0], 90.0, 0.0),
                         ([-1.0, 0.0, 0.0], 180.0, 0.0), ([-1.0, -1.0, sqrt(2)], 225.0, 45.0),
                         ([1.0, -1e-300, 0.0], 0.0, 0.0), ([3.0, -3.0, -sqrt(18)], 315.0, -45.0))
        o = (1.0, 2.0, 3.0)
        got = SoftCorr.sky(Tuple(d), (0.0, 0.0, 0.0))
        @test 0 <= got[1] < 360
        @test collect(got) ≈ [ra, dec] atol = 1e-13
        @test collect(SoftCorr.sky(Tuple(d .+ o), o)) ≈ [ra, dec] atol = 1e-13
    end
    # Along the sight line nothing moves; across it RA grows by 1 / (distance cos dec).
    x, o = (-3.0, 0.5, 1.2), (2.0, 0.1, 0.2)
    d = x .- o
    slope(u) = SoftCorr.OwnDual.derivative(t -> SoftCorr.sky(x .+ t .* u, o), 0.0)
    @test all(abs.(slope(d)) .< 1e-13)
    rho = hypot(d[1], d[2])
    east = (-d[2], d[1], 0.0) ./ rho
    @test slope(east)[1] ≈ rad2deg(1 / rho)
    @test abs(slope(east)[2]) < 1e-13
    north = (-d[1] * d[3], -d[2] * d[3], rho^2) ./ (rho * norm(d))
    @test slope(north)[2] ≈ rad2deg(1 / norm(d))
end

@testset "errors" begin
    x, v = [1.0 0.5; 0.0 0.1; 0.0 0.2], [0.0 0.2; 1.0 0.1; 0.0 1.0]
    go(x, v; kwargs...) = SoftCorr.simulate(x, v; t_max = 3.0, observer = FAR, kwargs...)
    message(f) = try
        f()
        "nothing thrown"
    catch err
        err isa Union{ArgumentError,DimensionMismatch} ? err.msg : rethrow()
    end
    @test occursin("G must be", message(() -> go(x, v; G = 0.0)))
    @test occursin("G must be", message(() -> go(x, v; G = NaN)))
    @test occursin("mass", message(() -> go(x, v; mass = -1.0)))
    @test occursin("softening", message(() -> go(x, v; softening = -1.0)))
    @test occursin("rtol", message(() -> go(x, v; rtol = 0.0)))
    @test occursin("t_max", message(() -> SoftCorr.simulate(x, v; t_max = Inf, observer = FAR)))
    @test occursin("no particles", message(() -> go(zeros(3, 0), zeros(3, 0))))
    @test occursin("3 x N", message(() -> go(x, v[:, 1:1])))
    @test occursin("x0 holds", message(() -> go(x .* NaN, v)))
    fall = copy(v)
    fall[:, 2] .= 0.0
    text = message(() -> go(x, fall))
    @test occursin("1 of 2 particles (first: 2) reach the center", text)
    @test occursin("max_steps", message(() -> go(x, v; max_steps = 5)))
    @test occursin("pole", message(() -> SoftCorr.simulate(x, v; t_max = 0.0, observer = (1.0, 0.0, 5.0))))
    @test occursin("end at the observer",
                   message(() -> SoftCorr.simulate(x, v; t_max = 0.0, observer = (1.0, 0.0, 0.0))))
end

end
