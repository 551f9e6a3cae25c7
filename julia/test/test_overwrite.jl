# A method that overwrites another (a constructor with the arguments of the default one) breaks the
# precompilation of the package on newer Julia.

using Test

@testset "no method is overwritten" begin
    main = joinpath(@__DIR__, "..", "src", "SoftCorr.jl")
    code = "include($(repr(main)))"
    said = IOBuffer()
    command = `$(Base.julia_cmd()) --warn-overwrite=yes --startup-file=no -e $code`
    run(pipeline(command, stdout = devnull, stderr = said))
    @test !occursin("overwritten", String(take!(said)))
end
