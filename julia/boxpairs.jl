# Pairs in the box, eight at a time: their bins, which slots are in reach of an object, and their
# sums.

# ---- bins ----------------------------------------------------------------------------------------

"""
Bin of a squared separation without a logarithm: its leading bits index a table of the lowest
bin that numbers with these bits can be in. Hardly any entry holds an edge, so that the search
from there on is almost never taken.
"""
struct BinTable
    edges2::Vector{Float64}
    shift::Int
    base::Int
    start::Vector{Int}
end

leading(t::Float64, shift) = reinterpret(Int64, t) >> shift

function BinTable(edges)
    edges2 = edges .^ 2
    shift = 52 - 7
    base = leading(edges2[2], shift) - 1
    start = map(base:leading(edges2[end], shift)) do key
        bin = searchsortedfirst(edges2, reinterpret(Float64, key << shift)) - 1
        clamp(bin, 1, length(edges) - 1)
    end
    return BinTable(edges2, shift, base, start)
end

"Bin of `t`, which is in one of them."
@inline function find_bin(table::BinTable, t::Float64)
    @inbounds begin
        key = leading(t, table.shift) - table.base
        bin = table.start[ifelse(key > 0, key, 0) + 1]
        while t > table.edges2[bin + 1]
            bin += 1
        end
    end
    return bin
end

# ---- pairs in reach ------------------------------------------------------------------------------

# The lanes of each of the 256 masks, in order: slots in reach are packed without a branch.
const PACKED = [k <= count_ones(mask) ? UInt8(filter(l -> (mask >> l) & 1 == 1, 0:7)[k]) : 0x00
                for k in 1:8, mask in 0:255]

@inline store_packed!(slots::Ptr{Int64}, lanes::Ptr{UInt8}, s::Int64) = Base.llvmcall("""
    %4 = inttoptr i64 %0 to <8 x i64>*
    %5 = inttoptr i64 %1 to <8 x i8>*
    %6 = load <8 x i8>, <8 x i8>* %5, align 1
    %7 = zext <8 x i8> %6 to <8 x i64>
    %8 = insertelement <8 x i64> undef, i64 %2, i32 0
    %9 = shufflevector <8 x i64> %8, <8 x i64> undef, <8 x i32> zeroinitializer
    %10 = add <8 x i64> %7, %9
    store <8 x i64> %10, <8 x i64>* %4, align 8
    ret void""", Cvoid, Tuple{Ptr{Int64},Ptr{UInt8},Int64}, slots, lanes, s)

"Bits of the lanes in which low < t <= high."
@inline within8(t::Vec, low::Vec, high::Vec) = Base.llvmcall("""
    %4 = fcmp ogt <8 x double> %0, %1
    %5 = fcmp ole <8 x double> %0, %2
    %6 = and <8 x i1> %4, %5
    %7 = bitcast <8 x i1> %6 to i8
    ret i8 %7""", UInt8, Tuple{Vec,Vec,Vec}, t, low, high)

"""
Append those of the slots `start:stop` that are in reach of a point to `found`, behind its first `n`
entries; the new number of entries.
"""
@inline function find_in_reach!(found, n, b::Columns, ux, uy, uz, start, stop, low, high)
    x, y, z = splat8(ux), splat8(uy), splat8(uz)
    packed = pointer(PACKED)
    s = start
    while s <= stop
        dx, dy, dz = vsub(vload(b.x, s), x), vsub(vload(b.y, s), y), vsub(vload(b.z, s), z)
        mask = within8(dot8(dx, dy, dz, dx, dy, dz), low, high)
        left = stop - s
        mask &= 0xff >> ifelse(left < 7, 7 - left, 0)
        store_packed!(pointer(found, n + 1), packed + 8 * Int(mask), s)
        n += count_ones(mask)
        s += 8
    end
    return n
end

@inline dot8(ax, ay, az, bx, by, bz) = vfma(az, bz, vfma(ay, by, vmul(ax, bx)))

# ---- eight pairs ---------------------------------------------------------------------------------

# Rows of a square of 8 x 8 numbers from its columns: three rounds of exchanges.
function transpose_ir()
    lines = String[]
    names = ["%$k" for k in 0:7]
    for (round, distance) in enumerate((1, 2, 4))
        next = copy(names)
        for k in 0:7
            k & distance == 0 || continue
            for (m, target) in ((0, k), (1, k + distance))
                mask = [(lane & distance == 0 ? lane + m * distance :
                         8 + lane - distance + m * distance) for lane in 0:7]
                name = "%r$(round)_$(target)"
                push!(lines, string(name, " = shufflevector <8 x double> ", names[k + 1],
                                    ", <8 x double> ", names[k + distance + 1], ", <8 x i32> <",
                                    join(("i32 $i" for i in mask), ", "), ">"))
                next[target + 1] = name
            end
        end
        names = next
    end
    value = "undef"
    for k in 0:7
        push!(lines, string("%a$k = insertvalue [8 x <8 x double>] $value, <8 x double> ",
                            names[k + 1], ", $k"))
        value = "%a$k"
    end
    push!(lines, "ret [8 x <8 x double>] $value")
    return join(lines, "\n")
end

@eval @inline transpose8(a::Vec, b::Vec, c::Vec, d::Vec, e::Vec, f::Vec, g::Vec, h::Vec) =
    Base.llvmcall($(transpose_ir()), NTuple{8,Vec}, Tuple{Vec,Vec,Vec,Vec,Vec,Vec,Vec,Vec},
                  a, b, c, d, e, f, g, h)

"Lane by lane the lesser one."
@inline vleast(a::Vec, b::Vec) = Base.llvmcall("""
    %3 = fcmp olt <8 x double> %0, %1
    %4 = select <8 x i1> %3, <8 x double> %0, <8 x double> %1
    ret <8 x double> %4""", Vec, Tuple{Vec,Vec}, a, b)

const RSQRT_SEED = 0x5fe6eb50c7b537a9

@eval @inline rsqrt_seed(a::Vec) = Base.llvmcall($("""
    %2 = bitcast <8 x double> %0 to <8 x i64>
    %3 = lshr <8 x i64> %2, $(splat_ir(1))
    %4 = sub <8 x i64> $(splat_ir(Int64(RSQRT_SEED))), %3
    %5 = bitcast <8 x i64> %4 to <8 x double>
    ret <8 x double> %5"""), Vec, Tuple{Vec}, a)

"1/sqrt(a) of normal numbers, to two units in the last place: each round squares the error of 3 %."
@inline function rsqrt8(a::Vec)
    half, y = vmul(a, splat8(0.5)), rsqrt_seed(a)
    for _ in 1:4
        y = vmul(y, vfnma(half, vmul(y, y), splat8(1.5)))
    end
    return y
end


# d less the nearest whole number of boxes: adding and taking away ROUNDER leaves a whole number.
const ROUNDER = 1.5 * 2.0^52
@inline nearest_image8(d::Vec, ::Nothing, inverse) = d
@inline nearest_image8(d::Vec, boxsize::Vec, inverse::Vec) =
    vfnma(boxsize, vsub(vadd(vmul(d, inverse), splat8(ROUNDER)), splat8(ROUNDER)), d)

# Sums of a bin take eight numbers, so that a pair is added at once; neighboring lanes add to
# different copies, so that one addition need not wait for the one before.
const COPIES = 4

"The working memory of one chunk."
struct BoxBench
    rows::Vector{Float64}       # 8 x COPIES x nbins x 2
    lanes::Vector{Float64}
    squares::Vector{Float64}
    found::Vector{Int64}
    lo::Vector{Int}
    hi::Vector{Int}
end

# Pairs of one object that are gathered before they are summed.
const GATHERED = 1024

BoxBench(nbins) = BoxBench(zeros(8 * COPIES * max(2nbins, 8)), zeros(512), zeros(512),
                           zeros(Int64, GATHERED + 8), Int[], Int[])

@inline record8(records, slot::Int64) = vload(records, 8slot - 7)

# The records of eight objects as eight vectors, one of each number.
@inline gather8(records, found, first) = @inbounds transpose8(
    record8(records, found[first]), record8(records, found[first + 1]),
    record8(records, found[first + 2]), record8(records, found[first + 3]),
    record8(records, found[first + 4]), record8(records, found[first + 5]),
    record8(records, found[first + 6]), record8(records, found[first + 7]))

"Add the pairs of slot `i` of the first set with the `n` slots found in the second."
@noinline function sum_found!(bench::BoxBench, table::BinTable, ::Val{Split}, ::Val{Drawn},
                              a::Columns, b::Columns, i::Int, n::Int,
                              boxsize) where {Split,Drawn}
    rows, lanes, squares, found = bench.rows, bench.lanes, bench.squares, bench.found
    nbins = length(table.edges2) - 1
    at = 8i - 7
    @inbounds begin
        host = a.host[i]
        x, y, z = splat8(a.records[at]), splat8(a.records[at + 1]), splat8(a.records[at + 2])
        ex, ey, ez = splat8(a.records[at + 3]), splat8(a.records[at + 4]), splat8(a.records[at + 5])
        weight, strength = splat8(a.records[at + 6]), splat8(a.records[at + 7])
        one8, zero8, third = splat8(1.0), splat8(0.0), splat8(1 / 3)
        third2 = splat8(2 / 3)
        gx, gy, gz = Drawn ? (splat8(a.drawn[at]), splat8(a.drawn[at + 1]),
                              splat8(a.drawn[at + 2])) : (zero8, zero8, zero8)
        high = splat8(table.edges2[end])
        inverse_size = boxsize === nothing ? zero8 : vdiv(one8, boxsize)
        for k in (n + 1):(n + 8)
            found[k] = found[1]         # fills the last block; not added
        end
        first = 1
        while first <= n
            jx, jy, jz, fx, fy, fz, w2, a2 = gather8(b.records, found, first)
            dx = nearest_image8(vsub(jx, x), boxsize, inverse_size)
            dy = nearest_image8(vsub(jy, y), boxsize, inverse_size)
            dz = nearest_image8(vsub(jz, z), boxsize, inverse_size)
            # Rounded otherwise than when it was found, a pair at the outer edge stays inside.
            t = vleast(dot8(dx, dy, dz, dx, dy, dz), high)
            inverse = rsqrt8(t)
            p = vmul(dot8(ex, ey, ez, dx, dy, dz), inverse)
            q = vmul(dot8(fx, fy, fz, dx, dy, dz), inverse)
            c = dot8(ex, ey, ez, fx, fy, fz)
            w = vmul(weight, w2)
            wa, wb = vmul(w, strength), vmul(w, a2)
            along, across = zero8, zero8
            if Drawn
                hx, hy, hz, _, _, _, _, _ = gather8(b.drawn, found, first)
                u = vmul(dot8(gx, gy, gz, dx, dy, dz), inverse)
                v = vmul(dot8(hx, hy, hz, dx, dy, dz), inverse)
                s = dot8(gx, gy, gz, hx, hy, hz)
                along = vmul(w, vsub(vfma(u, u, vmul(v, v)), third2))
                across = vmul(w, vsub(vmul(s, s), third))
            end
            square = transpose8(one8, w, vmul(w, vmul(t, inverse)),
                                vmul(wa, vsub(vmul(p, p), third)),
                                vmul(wb, vsub(vmul(q, q), third)),
                                vmul(vmul(wb, strength), vsub(vmul(c, c), third)), along, across)
            for k in 1:8
                unsafe_store!(Ptr{Vec}(pointer(lanes, 8k - 7)), square[k])
            end
            unsafe_store!(Ptr{Vec}(pointer(squares)), t)
            for lane in 0:min(7, n - first)
                bin = find_bin(table, squares[lane + 1])
                Split && b.host[found[first + lane]] == host && (bin += nbins)
                add_at!(rows, 8 * (COPIES * (bin - 1) + (lane & (COPIES - 1))) + 1,
                        vload(lanes, 8lane + 1))
            end
            first += 8
        end
    end
    return nothing
end
