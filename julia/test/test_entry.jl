# The C entry points and what every long loop shares, without Python.

using Test
import SoftCorr

status(name, types, args...) = ccall_pointer(SoftCorr.entry_pointer(name), types, args...)
ccall_pointer(p, ::Type{Tuple{Int64}}, n) = ccall(Ptr{Cvoid}(p), Int32, (Int64,), n)
ccall_pointer(p, ::Type{Tuple{Float64}}, x) = ccall(Ptr{Cvoid}(p), Int32, (Float64,), x)
ccall_pointer(p, ::Type{Tuple{Int64,Ptr{Int64}}}, n, v) =
    ccall(Ptr{Cvoid}(p), Int32, (Int64, Ptr{Int64}), n, v)
ccall_pointer(p, ::Type{Tuple{Ptr{UInt8},Int64}}, v, n) =
    ccall(Ptr{Cvoid}(p), Int32, (Ptr{UInt8}, Int64), v, n)

function last_error()
    buffer = zeros(UInt8, 200)
    @test status("last_error", Tuple{Ptr{UInt8},Int64}, buffer, length(buffer)) == 0
    return unsafe_string(pointer(buffer))
end

@testset "table" begin
    lines = split(SoftCorr.entry_table(), '\n')
    @test lines[1] == SoftCorr.SOURCE_VERSION
    @test "self_test i64,i64*" in lines
    names = [first(split(line)) for line in lines[2:end]]
    @test allunique(names)
    @test_throws ArgumentError SoftCorr.entry_pointer("no_such_entry")
end

@testset "every entry point compiles" begin
    for entry in SoftCorr.ENTRIES
        @test SoftCorr.entry_pointer(entry.name) != 0
    end
end

@testset "status and text" begin
    caught = [0]
    @test status("self_test", Tuple{Int64,Ptr{Int64}}, 50, caught) == 0
    @test caught[1] == 16 * 50
    @test status("throw_in_loop", Tuple{Int64}, 100) == 1
    @test last_error() == "element 100 of a threaded loop failed on purpose"
    @test SoftCorr.fail(ArgumentError("x must not be 3")) == 2
    @test last_error() == "x must not be 3"
    @test SoftCorr.fail(SoftCorr.Cancelled()) == 3
    @test SoftCorr.fail(OutOfMemoryError()) == 4
end

@testset "cancellation" begin
    SoftCorr.JOB[] = 7
    SoftCorr.CANCEL[] = 7
    @test status("busy", Tuple{Float64}, 60.0) == 3
    SoftCorr.CANCEL[] = 6                       # a late request for an earlier call
    @test status("busy", Tuple{Float64}, 0.0) == 0
end

@testset "chunked covers the range once, whatever the number of chunks" begin
    for n in (0, 1, 5, 16, 17, 1000), parts in (1, 3, 16, 64)
        seen = zeros(Int, n)
        order = fill(0:0, min(n, parts))
        SoftCorr.chunked(n, parts) do chunk, range
            order[chunk] = range
            seen[range] .+= 1
        end
        @test all(==(1), seen)
        @test issorted(first.(order))
    end
end
