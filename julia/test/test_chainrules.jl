# The rule of the soft correlation for reverse mode, by the real ChainRulesCore where it is on the load
# path, else by a stand-in with the few names that the extension takes; against central differences.

module ReverseRules

using Random
using Test
using SoftCorr

const STAND_IN = """
    __precompile__(false)
    module ChainRulesCore
    abstract type AbstractZero end
    struct NoTangent <: AbstractZero end
    struct ZeroTangent <: AbstractZero end
    struct ProjectTo{T} end
    ProjectTo(x::Array{T}) where {T} = ProjectTo{T}()
    (::ProjectTo{T})(x) where {T} = convert(Array{T}, x)
    struct Thunk f end
    macro thunk(x) :(Thunk(() -> \$(esc(x)))) end
    unthunk(x) = x
    unthunk(x::Thunk) = x.f()
    rrule(::Any...; keywords...) = nothing
    end
    """
const REAL = Base.find_package("ChainRulesCore") !== nothing
if !REAL
    const FOLDER = mktempdir()
    mkpath(joinpath(FOLDER, "ChainRulesCore", "src"))
    write(joinpath(FOLDER, "ChainRulesCore", "src", "ChainRulesCore.jl"), STAND_IN)
    push!(LOAD_PATH, FOLDER)
end
import ChainRulesCore
# Julia 1.9 and newer have loaded it by themselves where SoftCorr is a package.
if ChainRulesCore.rrule(soft_xi, SoftEstimator(SoftBins([0, 1], 1); approach = :naive), [1.0, 2], zeros(2),
                        ones(2), ones(2)) === nothing
    include(joinpath(@__DIR__, "..", "ext", "SoftCorrChainRulesCoreExt.jl"))
end
REAL || pop!(LOAD_PATH)
@info "the rule of soft_xi is tested with $(REAL ? "ChainRulesCore" : "a stand-in of ChainRulesCore")"

# All is compiled anew for a plane, a minute; Python's tests have these derivatives by an image.
const PLANES = haskey(ENV, "SOFTCORR_LONG") ? (false, true) : (false,)
const RNG = MersenneTwister(7)
const N, C = 40, 5
const ARRAYS = (2 .* rand(RNG, N), 2 .* rand(RNG, N), randn(RNG, N), randn(RNG, N), 0.5 .+ rand(RNG, N))
const DELTA = [0.3, -1.2]
const NOISE = -log.(-log.(rand(RNG, C, N)))

rule(args...; keywords...) = Base.invokelatest(ChainRulesCore.rrule, soft_xi, args...; keywords...)

# One direction for each of the five arrays: forward by differences, back by the rule.
function differences(estimator, arrays, start, direction; h = 1e-6)
    map(1:5) do k
        moved(s) = soft_xi(estimator, (j == k ? a .+ s .* direction : a for (j, a) in enumerate(arrays))...;
                           start = start)
        sum(DELTA .* (moved(h) .- moved(-h))) / 2h
    end
end

@testset "rule of soft_xi, $approach, $through, $(plane ? "plane" : "sphere")" for
        (approach, through) in ((:naive, :frozen), (:soft, :implicit), (:soft, :unrolled), (:hard, :implicit),
                                (:gumbel, :implicit)), plane in PLANES
    unit = plane ? 60 : 1
    arrays = (unit .* ARRAYS[1], unit .* ARRAYS[2], ARRAYS[3:5]...)
    estimator = SoftEstimator(SoftBins([0, 20, 60], 0.3; minus = approach == :soft); approach = approach,
                              through = through, plane = plane, weighted = plane, tau = 0.5,
                              noise = approach == :gumbel ? NOISE : zeros(0, 0))
    start = plane ? hcat(arrays[1:2]...)[1:8:N, :] : permutedims(directions(arrays[1:2]...)[:, 1:8:N])
    xi, back = rule(estimator, arrays...; start = start)
    @test xi == soft_xi(estimator, arrays...; start = start)
    found = back(DELTA)
    @test length(found) == 7 && found[1] isa ChainRulesCore.NoTangent && found[2] isa ChainRulesCore.NoTangent
    direction = randn(MersenneTwister(8), N)
    finite = differences(estimator, arrays, start, direction)
    for k in 1:5
        @test isapprox(sum(found[k + 2] .* direction), finite[k]; rtol = 1e-5, atol = 1e-7 * sum(abs, finite))
    end
    # The same by forward mode, to rounding.
    forward = gradient(p -> sum(DELTA .* soft_xi(estimator, (a .+ p[k] .* direction for (k, a) in
                                                             enumerate(arrays))...; start = start)), zeros(5))
    @test [sum(f .* direction) for f in found[3:7]] ≈ forward rtol = 1e-8
end

# Forward over reverse, as Hessian-vector products are made.
@testset "derivative of the rule, $approach, by $name" for approach in (:naive, :soft, :hard, :gumbel),
        name in unique((SoftCorr.forward_mode(), SoftCorr.OwnDual))
    estimator = SoftEstimator(SoftBins([0, 20, 60], 0.3); approach = approach, tau = 0.5,
                              noise = approach == :gumbel ? NOISE : zeros(0, 0))
    ra, dec, g1, g2, w = ARRAYS
    start = permutedims(directions(ra, dec)[:, 1:8:N])
    function slope(t)
        xi, back = rule(estimator, t .* ra, dec, t .* g1, g2, w; start = start)
        found = back(2 .* xi)
        return sum(found[3] .* ra) + sum(found[5] .* g1) + found[7][1]
    end
    finite = (slope(1.1 + 1e-5) - slope(1.1 - 1e-5)) / 2e-5
    @test isapprox(name.derivative(slope, 1.1), finite; rtol = 1e-6)
end

@testset "what reverse mode is told" begin
    estimator = SoftEstimator(SoftBins([0, 20, 60, 1e4], 0.3); approach = :naive)
    ra, dec, g1, g2, w = ARRAYS
    xi, back = rule(estimator, ra, dec, g1, g2)
    @test length(back(ones(3))) == 6
    @test back(ones(3))[3] ≈ rule(estimator, ra, dec, g1, g2, ones(N))[2](ones(3))[3]
    zeros_back = back(ChainRulesCore.ZeroTangent())
    @test all(part isa ChainRulesCore.AbstractZero for part in zeros_back) && length(zeros_back) == 6
    @test back(ChainRulesCore.@thunk(ones(3))) == back(ones(3))
    # The precision of what was given; whole numbers have derivatives too.
    few = rule(estimator, Float32.(ra), dec, ones(Int, N), range(0.0, 1.0; length = N))[2](ones(3))
    @test eltype(few[3]) == Float32 && eltype(few[5]) == Float64 && length(few[6]) == N
    said = try
        rule(estimator, ra, dec, g1, g2; weights = w)
        ""
    catch err
        err.msg
    end
    @test occursin("sixth argument", said)
end

end
