# The warm-up that fills a system image: it must reach every entry point.

using Test
import SoftCorr

include(joinpath(@__DIR__, "..", "src", "precompile", "warmup.jl"))

@testset "what the warm-up calls" begin
    text = read(joinpath(@__DIR__, "..", "src", "precompile", "warmup.jl"), String)
    # An entry point that is named here wants a call in src/precompile/warmup.jl.
    @test [e.name for e in SoftCorr.ENTRIES if !occursin("call(\"$(e.name)\"", text)] == String[]
end

# A minute, which whoever compiles an image spends anyway.
haskey(ENV, "SOFTCORR_LONG") && @testset "warm-up" begin
    SoftCorr.JOB[] = 3
    Warmup.run()
    @test Warmup.missed() == String[]
    @test SoftCorr.WORKERS[] == 0
    @test SoftCorr.JOB[] == 0
    @test SoftCorr.CANCEL[] == -1
    @test SoftCorr.PROGRESS == [0, 0]
    @test SoftCorr.LAST_ERROR[] == ""
    @test_throws ErrorException Warmup.call("throw_in_loop", 1)
    SoftCorr.LAST_ERROR[] = ""
end
