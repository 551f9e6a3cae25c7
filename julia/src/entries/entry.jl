# The only functions that Python calls: numbers and pointers in, a status out, nothing thrown.
#
# Status: 0 done, 1 failed, 2 bad argument, 3 cancelled, 4 out of memory. The text of the last
# failure is fetched with `last_error`.

struct Entry
    name::String
    signature::String
    pointer::Function       # makes the C pointer when it is first asked for: compilation is not free
end

const ENTRIES = Entry[]
const LAST_ERROR = Ref{String}("")

const TYPE_CODES = Dict("Float64" => "f64", "Int64" => "i64",
                        "Ptr{Float64}" => "f64*", "Ptr{Int64}" => "i64*", "Ptr{UInt8}" => "u8*")

innermost(e) = e isa TaskFailedException ? innermost(e.task.exception) :
    e isa CompositeException ? innermost(first(e.exceptions)) :
    e isa CapturedException ? innermost(e.ex) : e

function fail(err)
    err = innermost(err)
    LAST_ERROR[] = try
        err isa ArgumentError || err isa DimensionMismatch ? String(err.msg) : sprint(showerror, err)
    catch
        "an error that cannot be printed"
    end
    err isa Cancelled && return Int32(3)
    err isa InterruptException && return Int32(3)
    (err isa ArgumentError || err isa DimensionMismatch) && return Int32(2)
    err isa OutOfMemoryError && return Int32(4)
    return Int32(1)
end

"""
    @entry function name(arg::Type, ...) ... end

Define a C entry point: the function, `entry_name` in this module, is wrapped so that nothing
leaves it but a status, and is put into the table that the host reads by name.
"""
macro entry(def)
    call, body = def.args
    name = call.args[1]
    wrapper = Symbol(:entry_, name)
    types = [arg.args[2] for arg in call.args[2:end]]
    signature = join([TYPE_CODES[string(t)] for t in types], ",")
    guarded = quote
        function $(wrapper)($(call.args[2:end]...))::Int32
            try
                $body
                return Int32(0)
            catch err
                return fail(err)
            end
        end
    end
    pointer = :(() -> @cfunction($wrapper, Int32, ($(types...),)))
    return esc(quote
        $guarded
        push!(ENTRIES, Entry($(string(name)), $signature, $pointer))
    end)
end

"One line per entry point: `name signature`; the first line is the version of these sources."
entry_table() = join(vcat(SOURCE_VERSION, [string(e.name, " ", e.signature) for e in ENTRIES]), "\n")

function entry_pointer(name::AbstractString)
    for e in ENTRIES
        e.name == name && return UInt(e.pointer())
    end
    throw(ArgumentError("no entry point named $name"))
end

"Addresses of JOB, CANCEL and PROGRESS, one per line."
control_addresses() = join(string.(UInt.((Base.unsafe_convert(Ptr{Int64}, JOB),
                                          Base.unsafe_convert(Ptr{Int64}, CANCEL),
                                          pointer(PROGRESS)))), "\n")

"""
Addresses of the functions with which a thread says that others may collect garbage without it, that
it takes part again, and with which it asks whether Julia knows it: one per line, and none before
Julia 1.9, where a thread that has not started Julia cannot call it. Asked here since `libjulia`
does not export the first two.
"""
gc_addresses() = VERSION < v"1.9" ? "" :
    join(string.(UInt.((cglobal(:jl_gc_safe_enter), cglobal(:jl_gc_safe_leave),
                        cglobal(:jl_get_pgcstack)))), "\n")

"Version, threads, processor and the like of this Julia, one `key=value` a line."
function runtime_info()
    forwarddiff = has_forwarddiff() ? pathof(forward_mode()) : nothing
    options = Base.JLOptions()
    word(p) = p == C_NULL ? "" : unsafe_string(p)
    return join(("version=$VERSION", "threads=$(Threads.nthreads())", "cpu=$(Sys.CPU_NAME)",
                 "cpu_target=$(word(options.cpu_target))",
                 "forwarddiff=$(forwarddiff === nothing ? "" : forwarddiff)",
                 "image=$(word(options.image_file))"), "\n")
end

# ---- entry points of the runtime itself --------------------------------------------------------

@entry function last_error(buffer::Ptr{UInt8}, size::Int64)
    text = codeunits(LAST_ERROR[])
    n = min(length(text), size - 1)
    for i in 1:n
        unsafe_store!(buffer, text[i], i)
    end
    unsafe_store!(buffer, 0x00, n + 1)
end

# The self-test: exceptions thrown and caught on every thread, and a garbage collection. Both
# crash the process where the runtime's libraries do not fit together.
@entry function self_test(rounds::Int64, caught::Ptr{Int64})
    hits = zeros(Int64, 16)
    chunked(16, 16) do chunk, _
        for r in 1:rounds
            try
                r % 2 == 0 ? error("thrown on purpose") : (Int[])[r]
            catch
                hits[chunk] += 1
            end
        end
    end
    GC.gc()
    unsafe_store!(caught, sum(hits))
end

# For tests: fails on one thread of a threaded loop.
@entry function throw_in_loop(n::Int64)
    chunked(n, 16) do _, range
        for i in range
            i == n && error("element $i of a threaded loop failed on purpose")
        end
    end
end

# For tests: works until the given number of seconds has passed or the call is cancelled.
@entry function busy(seconds::Float64)
    start = time()
    chunked(16, 16) do chunk, _
        while (elapsed = time() - start) < seconds && !cancelled()
            sum(sin, 1:2000)
            chunk == 1 && progress(floor(Int64, 100 * elapsed / seconds), 100)
        end
    end
end
