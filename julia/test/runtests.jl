# julia julia/test/runtests.jl: every file test_*.jl of this folder.
using Test

if !isdefined(Main, :SoftCorr)
    include(joinpath(@__DIR__, "..", "SoftCorr.jl"))
end

@testset "SoftCorr" begin
    for file in sort(filter(f -> startswith(f, "test_") && endswith(f, ".jl"), readdir(@__DIR__)))
        @testset "$file" begin
            include(joinpath(@__DIR__, file))
        end
    end
end
