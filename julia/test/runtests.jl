# softcorr julia exec julia/test/runtests.jl, or Pkg.test("SoftCorr"): every file test_*.jl of this
# folder. One of them alone: softcorr julia exec julia/test/test_pairs.jl.
using Test
import SoftCorr

@testset "SoftCorr" begin
    for file in sort(filter(f -> startswith(f, "test_") && endswith(f, ".jl"), readdir(@__DIR__)))
        @testset "$file" begin
            include(joinpath(@__DIR__, file))
        end
    end
end
