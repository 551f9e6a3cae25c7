# A variable that a closure and its surroundings both assign is shared by all threads that run the
# closure. Julia keeps such a variable in a `Core.Box`: no function here may need one.

using Test
import SoftCorr

boxed(code::Core.CodeInfo) = occursin("Core.Box", string(code))

@testset "no variable is shared between threads by accident" begin
    found = String[]
    for name in names(SoftCorr, all = true)
        isdefined(SoftCorr, name) || continue
        f = getfield(SoftCorr, name)
        f isa Function && parentmodule(f) == SoftCorr || continue
        for method in methods(f)
            method.module == SoftCorr || continue
            isdefined(method, :generator) && continue
            boxed(Base.uncompressed_ast(method)) && push!(found, string(method.name))
        end
    end
    @test found == String[]
end
