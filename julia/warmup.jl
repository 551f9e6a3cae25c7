# Calls every C entry point with a few objects, as Python does, so that all it needs is compiled:
# for a system image. Not a part of the module. Each feature has a file `warmup_<feature>.jl` that
# adds its steps to `STEPS`.
module Warmup

import Main: SoftCorr

const C_TYPES = Dict("f64" => Float64, "i64" => Int64, "f64*" => Ptr{Float64},
                     "i64*" => Ptr{Int64}, "u8*" => Ptr{UInt8})

const STEPS = Function[]
const CALLED = Set{String}()

"Call an entry point through its C pointer; another status than the one expected is an error."
function call(name, args...; status = 0)
    push!(CALLED, name)
    entry = SoftCorr.ENTRIES[findfirst(e -> e.name == name, SoftCorr.ENTRIES)]
    types = [C_TYPES[code] for code in split(entry.signature, ',')]
    length(types) == length(args) || error("$name takes $(length(types)) arguments")
    # In a module of its own, so that nothing of it stays in the image.
    caller = Core.eval(Module(), :((p, a) ->
        ccall(p, Int32, ($(types...),), $([:(a[$i]) for i in eachindex(types)]...))))
    got = Base.invokelatest(caller, Ptr{Cvoid}(SoftCorr.entry_pointer(name)), args)
    got == status || error("$name: status $got instead of $status: $(SoftCorr.LAST_ERROR[])")
    return nothing
end

"`n` numbers in [0, 1), evenly spread and not random: they are the same with every Julia."
uniform(n, k = 1) = mod.((1:n) .* sqrt(k + 1), 1)

"`n` unit vectors (3, n): most within two degrees, the rest all over the sphere."
function directions(n)
    xyz = zeros(3, n)
    for (i, a, b) in zip(1:n, uniform(n, 1), uniform(n, 2))
        lon, z = i % 10 == 0 ? (2pi * a, 2b - 1) : (0.035a, 0.035b)
        xyz[:, i] = [sqrt(1 - z^2) * cos(lon), sqrt(1 - z^2) * sin(lon), z]
    end
    return xyz
end

# ---- of the runtime itself -------------------------------------------------------------------

push!(STEPS, function ()
    call("self_test", 4, [0])
    call("throw_in_loop", 20; status = 1)
    call("last_error", zeros(UInt8, 100), 100)
    call("busy", 0.01)
    SoftCorr.JOB[] = SoftCorr.CANCEL[]          # a call that is told to stop
    call("busy", 10.0; status = 3)
    SoftCorr.JOB[] = 0
    for error in (ArgumentError("x"), DimensionMismatch("x"), OutOfMemoryError(), ErrorException("x"))
        SoftCorr.fail(error)
    end
    # what the host asks for at its start
    foreach(string, (SoftCorr.entry_table(), SoftCorr.control_addresses(), SoftCorr.runtime_info(),
                     SoftCorr.gc_safe_address()))
end)

# ---- all of it -------------------------------------------------------------------------------

for file in sort(filter(f -> startswith(f, "warmup_") && endswith(f, ".jl"), readdir(@__DIR__)))
    include(joinpath(@__DIR__, file))
end

"Entry points that no step calls."
missed() = [e.name for e in SoftCorr.ENTRIES if !(e.name in CALLED)]

"All steps, without and with tasks; the module is left as it was loaded."
function run()
    for workers in (1, 2), step in STEPS
        SoftCorr.WORKERS[] = workers
        step()
    end
    SoftCorr.WORKERS[] = 0
    SoftCorr.JOB[] = 0
    SoftCorr.CANCEL[] = -1
    fill!(SoftCorr.PROGRESS, 0)
    SoftCorr.LAST_ERROR[] = ""
    return nothing
end

end
