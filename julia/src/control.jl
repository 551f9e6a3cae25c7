# What every long loop shares: a way to be stopped, a way to say how far it is, and a way to
# use threads that gives the same bits for any number of them.

"The running call was told to stop."
struct Cancelled <: Exception end

Base.showerror(io::IO, ::Cancelled) = print(io, "cancelled")

# Shared with the host by address. The host numbers its calls: JOB is the one running, CANCEL
# the last one told to stop, so that a late request never stops the next call.
const JOB = Ref{Int64}(0)
const CANCEL = Threads.Atomic{Int64}(-1)
# Work done and work in all of the running call, for a progress bar.
const PROGRESS = Int64[0, 0]

"Say how much of the running call is done; shown where the caller asks for a progress bar."
progress(done, total) = (PROGRESS[2] = total; PROGRESS[1] = done; nothing)

# Tasks that a loop is shared among; 0: one for each thread. The warm-up of a system image sets it,
# since both ways through a loop must be compiled, on one thread.
const WORKERS = Ref{Int}(0)

cancelled() = CANCEL[] == JOB[]
checkpoint() = (cancelled() && throw(Cancelled()); nothing)

"""
    chunked(f, n, nchunks)

Call `f(chunk, range)` for `nchunks` contiguous ranges that cover `1:n`, on all threads, and
stop early when the call is cancelled. The split depends on `n` and `nchunks` alone: a caller
that keeps one accumulator per chunk and adds them in order gets the same bits for any number
of threads.
"""
function chunked(f::F, n::Integer, nchunks::Integer) where {F}
    n <= 0 && return nothing
    parts = min(Int(nchunks), Int(n))
    next = Threads.Atomic{Int}(1)
    workers = min(WORKERS[] == 0 ? Threads.nthreads() : WORKERS[], parts)
    function work()
        while true
            chunk = Threads.atomic_add!(next, 1)
            (chunk > parts || cancelled()) && return nothing
            f(chunk, (div((chunk - 1) * n, parts) + 1):div(chunk * n, parts))
        end
    end
    if workers == 1
        work()
    else
        @sync for _ in 1:workers
            Threads.@spawn work()
        end
    end
    checkpoint()
    return nothing
end
