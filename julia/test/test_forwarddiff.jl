# Which forward-mode number is used, in fresh processes: with and without ForwardDiff on the load
# path, included and as a precompiled package. A stand-in of the same identity, fields and
# functions takes the place of ForwardDiff, so that this runs where it is not installed.

using Test

const PACKAGE = dirname(@__DIR__)

const PROBE = """
x, v = [1.0 0.5; 0.0 0.4; 0.0 0.3], [0.0 0.2; 1.0 -0.8; 0.1 0.7]
ra(G) = SoftCorr.simulate(x, v; G = G, t_max = 3.0, observer = (9.0, 1.0, 2.0))[3]
h = 1e-5
difference = (ra(1 + h) - ra(1 - h)) / 2h
close(d) = maximum(abs, d - difference) < 1e-6
print(SoftCorr.has_forwarddiff(), " ", close(SoftCorr.derivative(ra, 1.0)))
"""
const AGAIN = """
print(SoftCorr.has_forwarddiff(), " ", close(SoftCorr.derivative(ra, 1.0)))
"""
const LATE = """
import ForwardDiff
print(" ", close(ForwardDiff.derivative(ra, 1.0)))
"""

function write_stand_in(folder)
    own = read(joinpath(PACKAGE, "src", "dual.jl"), String)
    own = own[first(findfirst("module OwnDual", own)):last(findfirst("end # module OwnDual", own))]
    mkpath(joinpath(folder, "ForwardDiff", "src"))
    write(joinpath(folder, "ForwardDiff", "Project.toml"), """
        name = "ForwardDiff"
        uuid = "f6369f11-7733-5829-9624-2563aa707210"
        version = "0.0.1"
        """)
    # ForwardDiff keeps its partials in a struct around the tuple.
    own = replace(own, "    partials::NTuple{N,V}\n" => "    partials::Partials{N,V}\n")
    own = replace(own, "convert(NTuple{N,V}, p))\nend" =>
        "Partials{N,V}(convert(NTuple{N,V}, p)))\nend")
    own = replace(own, r"\b([abdxy])\.partials\b" => s"\1.partials.values")
    own = replace(own, "struct Dual{" => "struct Partials{N,V}\n    values::NTuple{N,V}\nend\n\nstruct Dual{")
    write(joinpath(folder, "ForwardDiff", "src", "ForwardDiff.jl"),
          "module ForwardDiff\n$own\nusing .OwnDual: Dual, derivative, gradient, value\nend\n")
end

function julia(script, load_path, depot, options...)
    withenv("JULIA_LOAD_PATH" => join(load_path, Sys.iswindows() ? ";" : ":"),
            "JULIA_DEPOT_PATH" => depot, "JULIA_PROJECT" => nothing) do
        read(`$(joinpath(Sys.BINDIR, "julia")) --startup-file=no $options -e $script`, String)
    end
end

@testset "which Dual" begin
    mktempdir() do folder
        packages, depot = joinpath(folder, "packages"), joinpath(folder, "depot")
        write_stand_in(packages)
        source = "include($(repr(joinpath(PACKAGE, "src", "SoftCorr.jl"))))\n"
        with, without = ["@", packages, "@stdlib"], ["@", "@stdlib"]
        @test julia(source * PROBE, without, depot) == "false true"
        @test julia(source * PROBE, with, depot) == "true true"

        # As a package: precompiled without ForwardDiff, with it, and without it again.
        project = "--project=" * PACKAGE
        package = "using SoftCorr\n"
        @test julia(package * PROBE, without, depot, project) == "false true"
        # ForwardDiff comes in after SoftCorr was loaded: its numbers are understood all the same.
        late = "using SoftCorr\npush!(LOAD_PATH, $(repr(packages)))\n"
        @test julia(late * PROBE * LATE, without, depot, project) == "false true true"
        other = joinpath(folder, "other")
        @test julia(package * PROBE, with, other, project) == "true true"
        @test julia(package * PROBE * LATE, with, other, project) == "true true true"
        @test julia(package * PROBE, without, other, project) == "false true"
        # The extension of newer Julia, loaded by hand: from then on derivatives are ForwardDiff's,
        # in functions that were compiled before too.
        extension = "include($(repr(joinpath(PACKAGE, "ext", "SoftCorrForwardDiffExt.jl"))))\n"
        @test julia(late * PROBE * "print(' ')\n" * extension * AGAIN, without, depot, project) ==
            "false true true true"
    end
end
