# The warm-up as the workload of a package that is precompiled: in Julia 1.9 and newer it is SoftCorr's
# own; here the same is done by a package around SoftCorr's sources, with any Julia.

using Test

# Two minutes.
haskey(ENV, "SOFTCORR_LONG") && @testset "the warm-up while a package is precompiled" begin
    mktempdir() do folder
        package = joinpath(folder, "Around")
        mkpath(joinpath(package, "src"))
        write(joinpath(package, "Project.toml"),
              "name = \"Around\"\nuuid = \"7a1d9c52-51a3-4d0c-9a7b-3f0c9d1e2b60\"\nversion = \"0.1.0\"\n")
        source(parts...) = repr(joinpath(dirname(@__DIR__), "src", parts...))
        write(joinpath(package, "src", "Around.jl"), """
            module Around
            include($(source("SoftCorr.jl")))
            include($(source("precompile", "warmup.jl")))
            ccall(:jl_generating_output, Cint, ()) == 1 && Warmup.run()
            end
            """)
        # In the process that loads what was precompiled nothing of the workload is left.
        probe = """
            using Around
            S = Around.SoftCorr
            print(isempty(Around.Warmup.missed()), S.JOB[], S.CANCEL[], S.PROGRESS, repr(S.LAST_ERROR[]))
            f = S.ENTRIES[findfirst(e -> e.name == "self_test", S.ENTRIES)]
            caught = [0]
            status = ccall(Ptr{Cvoid}(S.entry_pointer("self_test")), Int32, (Int64, Ptr{Int64}), 10, caught)
            print(" ", status, caught)
            """
        said = withenv("JULIA_LOAD_PATH" => join([folder, "@stdlib"], Sys.iswindows() ? ";" : ":"),
                       "JULIA_DEPOT_PATH" => joinpath(folder, "depot"), "JULIA_PROJECT" => nothing) do
            read(`$(joinpath(Sys.BINDIR, "julia")) --startup-file=no -e $probe`, String)
        end
        @test said == "true0-1[0, 0]\"\" 0[160]"
    end
end
