# Pair sums in a box, periodic or not: counts, separations, and the alignment of axes with
# separations and with one another. `box_sums_brute` is the definition; `box_sums` is the fast
# twin: objects lie in square columns along z, sorted by z, so that the partners of an object in
# a column are one contiguous run, taken eight at a time.
#
# A pair with separation vector d from i to j, weight w = w_i w_j, and strengths a adds
#   1, w, w |d|, w a_i ((e_i . d)^2/d^2 - 1/3), w a_j ((e_j . d)^2/d^2 - 1/3),
#   w a_i a_j ((e_i . e_j)^2 - 1/3)
# to the bin (lo, hi] that d^2 falls in, apart for objects of different (1) and of the
# same (2) host; where objects have second axes g, in the same pass also
#   w ((g_i . d)^2/d^2 - 1/3) + w ((g_j . d)^2/d^2 - 1/3), w ((g_i . g_j)^2 - 1/3).
#
# Where objects lie in regions (sub-volumes of the box), the same pass also gives the sums over the pairs
# of every two regions: `region_sums_brute` and `region_sums`.

const BOX_SUMS = 8

"""
One set of objects in the box: positions and unit axes (3, N), weights, strengths, hosts, and second
axes (3, N), or (3, 0) where there are none; and numbers of regions, from 1, none where there are none.
"""
struct BoxObjects{T}
    position::Matrix{T}
    axis::Matrix{T}
    weight::Vector{T}
    strength::Vector{T}
    host::Vector{Int64}
    drawn::Matrix{T}
    region::Vector{Int64}
end

BoxObjects(position::Matrix{T}, axis, weight, strength, host, drawn = zeros(T, 3, 0)) where {T} =
    BoxObjects(position, axis, weight, strength, host, drawn, Int64[])

hasdrawn(objects::BoxObjects) = size(objects.drawn, 2) == length(objects) > 0

Base.length(objects::BoxObjects) = length(objects.weight)

nearest_image(d, side) = d - side * round(d / side)

"The sides of a box along x, y and z: of one number those of a cube."
box_sides(boxsize::Real) = (boxsize, boxsize, boxsize)
box_sides(boxsize) = (boxsize[1], boxsize[2], boxsize[3])

is_cube(sides) = sides[1] == sides[2] == sides[3]

"""
    box_sums_brute(first, second, edges, boxsize; auto, periodic)

Sums (8, nbins, 2) over all pairs of the first with the second set, or over each unordered pair
of one set (`auto`). `boxsize` is the side of a cube, or three sides.
"""
function box_sums_brute(first::BoxObjects{T}, second::BoxObjects{T}, edges, boxsize;
                        auto::Bool, periodic::Bool) where {T}
    sums = zeros(T, BOX_SUMS, length(edges) - 1, 2)
    third, sides = one(T) / 3, collect(box_sides(boxsize))
    for i in 1:length(first), j in (auto ? i + 1 : 1):length(second)
        d = second.position[:, j] - first.position[:, i]
        periodic && (d = nearest_image.(d, sides))
        dd = sum(abs2, d)
        bin = searchsortedfirst(edges .^ 2, dd) - 1
        (1 <= bin < length(edges)) || continue
        e, f = first.axis[:, i], second.axis[:, j]
        a, b = first.strength[i], second.strength[j]
        w = first.weight[i] * second.weight[j]
        part = first.host[i] == second.host[j] ? 2 : 1
        along, across = zero(T), zero(T)
        if hasdrawn(first) && hasdrawn(second)
            g, h = first.drawn[:, i], second.drawn[:, j]
            along = w * ((sum(g .* d)^2 + sum(h .* d)^2) / dd - 2third)
            across = w * (sum(g .* h)^2 - third)
        end
        sums[:, bin, part] .+= (1, w, w * sqrt(dd), w * a * (sum(e .* d)^2 / dd - third),
                                w * b * (sum(f .* d)^2 / dd - third),
                                w * a * b * (sum(e .* f)^2 - third), along, across)
    end
    return sums
end

"Number of the pair of two regions, in either order."
region_pair(p, q) = (max(p, q) * (max(p, q) - 1)) ÷ 2 + min(p, q)

"""
    region_sums_brute(first, second, edges, boxsize; auto, periodic, regions)

Sums (8, nbins, regions (regions + 1) / 2) over the pairs of every two regions, of which the first set's
object may lie in either.
"""
function region_sums_brute(first::BoxObjects{T}, second::BoxObjects{T}, edges, boxsize;
                           auto::Bool, periodic::Bool, regions::Int) where {T}
    part(o, p) = (k = findall(==(p), o.region);
                  BoxObjects(o.position[:, k], o.axis[:, k], o.weight[k], o.strength[k], o.host[k]))
    sums = zeros(T, BOX_SUMS, length(edges) - 1, region_pair(regions, regions))
    for p in 1:regions, q in 1:regions
        auto && q < p && continue
        within = auto && p == q
        found = box_sums_brute(part(first, p), part(second, q), edges, boxsize; auto = within,
                               periodic = periodic)
        sums[:, :, region_pair(p, q)] .+= dropdims(sum(found, dims = 3), dims = 3)
    end
    return sums
end

# ---- columns -------------------------------------------------------------------------------------

"""
Objects sorted by column, and by z within a column. Of the `number` of columns along x and y, of
`width` along each, column (ix, iy), from 0, is number `ix * number[2] + iy + 1`. Coordinates are there twice: apart, longer by eight so that a full block may
be read from any slot, and in records of eight numbers (position, axis, weight, strength). Second
axes have records of their own, of which five numbers are idle; none where there are none.
"""
struct Columns
    number::NTuple{2,Int}
    width::NTuple{2,Float64}
    origin::NTuple{2,Float64}
    first::Vector{Int}
    x::Vector{Float64}
    y::Vector{Float64}
    z::Vector{Float64}
    records::Vector{Float64}
    drawn::Vector{Float64}
    host::Vector{Int64}
    region::Vector{Int64}
end

function Columns(objects::BoxObjects{Float64}, number, width, origin)
    n = length(objects)
    position = objects.position
    order, first = by_column(position, number, width, origin)
    # At least a page: such arrays begin at a multiple of 64 bytes, and so does every record.
    records = zeros(8 * max(n, 64))
    drawn = zeros(hasdrawn(objects) ? 8 * max(n, 64) : 0)
    chunked(n, 64) do _, range
        for s in range
            i = order[s]
            for k in 1:3
                records[8s - 8 + k] = position[k, i]
                records[8s - 5 + k] = objects.axis[k, i]
                isempty(drawn) || (drawn[8s - 8 + k] = objects.drawn[k, i])
            end
            records[8s - 1] = objects.weight[i]
            records[8s] = objects.strength[i]
        end
    end
    coordinate(k) = append!(position[k, order], zeros(8))
    return Columns(number, width, origin, first, coordinate(1), coordinate(2), coordinate(3), records,
                   drawn, objects.host[order],
                   isempty(objects.region) ? objects.region : objects.region[order])
end

"Number, width and reach (in columns) of the columns along x and y, and their origin."
function layout(first, second, rmax, sides, periodic)
    if periodic
        origin, span = (0.0, 0.0), (sides[1], sides[2])
        volume = prod(sides)
    else
        low = min.(minimum(first.position, dims = 2), minimum(second.position, dims = 2))
        high = max.(maximum(first.position, dims = 2), maximum(second.position, dims = 2))
        wide = max(high[1] - low[1], high[2] - low[2], rmax)
        origin, span = (low[1], low[2]), (wide, wide)
        volume = prod(max.(high - low, rmax / 8))
    end
    density = max(length(first), length(second)) / volume
    most = clamp(round(Int, sqrt(density * rmax^3 / RUN)), 1, MAX_REACH)
    number = map(s -> max(1, floor(Int, min(most * s / rmax, 1024.0))), span)
    reach = map((n, s) -> min(most, ceil(Int, rmax * n / s * (1 + 1e-12))), number, span)
    return number, span ./ number, reach, origin
end

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

# d less the nearest whole number of sides: adding and taking away ROUNDER leaves a whole number.
const ROUNDER = 1.5 * 2.0^52
@inline nearest_image8(d::Vec, ::Nothing, inverse) = d
@inline nearest_image8(d::Vec, side::Vec, inverse::Vec) =
    vfnma(side, vsub(vadd(vmul(d, inverse), splat8(ROUNDER)), splat8(ROUNDER)), d)

# The sides of a periodic box, eight times each. A cube has one vector for all axes, and so its
# loop the registers that two more would take; without images there is none.
const Sides = Union{Nothing,Vec,NTuple{3,Vec}}
@inline along_axis(sides::Union{Nothing,Vec}, k) = sides
@inline along_axis(sides::NTuple{3,Vec}, k) = sides[k]
@inline inverses(::Nothing) = nothing
@inline inverses(side::Vec) = vdiv(splat8(1.0), side)
@inline inverses(sides::NTuple{3,Vec}) = map(inverses, sides)

# Sums of a bin take eight numbers, so that a pair is added at once; neighboring lanes add to
# different copies, so that one addition need not wait for the one before.
const COPIES = 4

"The working memory of one chunk."
struct BoxBench
    rows::Vector{Float64}       # 8 x COPIES x nbins x 2 x regions
    lanes::Vector{Float64}
    squares::Vector{Float64}
    found::Vector{Int64}
    lo::Vector{Int}
    hi::Vector{Int}
    touched::Vector{Bool}       # regions in which partners were found
end


BoxBench(nbins, regions) =
    BoxBench(zeros(8 * COPIES * max(2nbins * max(regions, 1), 8)), zeros(512), zeros(512),
             zeros(Int64, GATHERED + 8), Int[], Int[], zeros(Bool, regions))

@inline record8(records, slot::Int64) = vload(records, 8slot - 7)

# The records of eight objects as eight vectors, one of each number.
@inline gather8(records, found, first) = @inbounds transpose8(
    record8(records, found[first]), record8(records, found[first + 1]),
    record8(records, found[first + 2]), record8(records, found[first + 3]),
    record8(records, found[first + 4]), record8(records, found[first + 5]),
    record8(records, found[first + 6]), record8(records, found[first + 7]))

"Add the pairs of slot `i` of the first set with the `n` slots found in the second."
@noinline function sum_found!(bench::BoxBench, table::BinTable, ::Val{Split}, ::Val{Drawn},
                              ::Val{Regional}, a::Columns, b::Columns, i::Int, n::Int,
                              sides::Sides) where {Split,Drawn,Regional}
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
        inverse_sides = inverses(sides)
        for k in (n + 1):(n + 8)
            found[k] = found[1]         # fills the last block; not added
        end
        first = 1
        while first <= n
            jx, jy, jz, fx, fy, fz, w2, a2 = gather8(b.records, found, first)
            dx = nearest_image8(vsub(jx, x), along_axis(sides, 1), along_axis(inverse_sides, 1))
            dy = nearest_image8(vsub(jy, y), along_axis(sides, 2), along_axis(inverse_sides, 2))
            dz = nearest_image8(vsub(jz, z), along_axis(sides, 3), along_axis(inverse_sides, 3))
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
                if Regional
                    region = b.region[found[first + lane]]
                    bench.touched[region] = true
                    bin += 2nbins * (region - 1)
                end
                add_at!(rows, 8 * (COPIES * (bin - 1) + (lane & (COPIES - 1))) + 1,
                        vload(lanes, 8lane + 1))
            end
            first += 8
        end
    end
    return nothing
end

# ---- from column to column -----------------------------------------------------------------------

"The objects `slots` of column `ca` with those of the neighbors."
function box_column!(bench, list, table, split, drawn, regional, a, b, slots, image)
    low, high = splat8(table.edges2[1]), splat8(table.edges2[end])
    find(n, ux, uy, uz, start, stop) =
        find_in_reach!(bench.found, n, b, ux, uy, uz, start, stop, low, high)
    add(i, n) = sum_found!(bench, table, split, drawn, regional, a, b, i, n, image)
    walk_column!(find, add, bench, list, table.edges2[end] * (1 + 1e-12), a, b, slots)
end

"Add the sums of a column to those of its chunk: short sums, so that rounding stays small."
function collect_rows!(sums, bench)
    nbins = size(sums, 2)
    for part in 1:2, bin in 1:nbins, copy in 1:COPIES
        row = COPIES * (nbins * (part - 1) + bin - 1) + copy
        for k in 1:BOX_SUMS
            sums[k, bin, part] += bench.rows[8 * (row - 1) + k]
        end
    end
    fill!(bench.rows, 0.0)
end

"""
Add the sums of objects of region `p` to those of their chunk, and to those of the pairs of regions, of
which only few have pairs.
"""
function collect_regions!(sums, pairs, bench, p)
    nbins = size(sums, 2)
    for q in eachindex(bench.touched)
        bench.touched[q] || continue
        into = get!(() -> zeros(BOX_SUMS, nbins), pairs, region_pair(p, q))
        for part in 1:2, bin in 1:nbins, copy in 1:COPIES
            row = COPIES * (nbins * (2 * (q - 1) + part - 1) + bin - 1) + copy
            for k in 1:BOX_SUMS
                found = bench.rows[8 * (row - 1) + k]
                sums[k, bin, part] += found
                into[k, bin] += found
                bench.rows[8 * (row - 1) + k] = 0.0
            end
        end
        bench.touched[q] = false
    end
end

"The objects of column `ca`, those of one region after those of another."
function region_column!(sums, pairs, bench, list, table, split, drawn, a, b, ca, image)
    slots = collect(a.first[ca]:(a.first[ca + 1] - 1))
    sort!(slots, by = s -> (a.region[s], s))
    from = 1
    while from <= length(slots)
        p = a.region[slots[from]]
        to = searchsortedlast(view(a.region, slots), p)
        box_column!(bench, list, table, split, drawn, Val(true), a, b, view(slots, from:to), image)
        collect_regions!(sums, pairs, bench, p)
        from = to + 1
    end
end

"Sums of the columns `range` of the first set."
function column_sums(table, split, drawn, a, b, range, reach, rmax, sides, image, auto, done,
                     pairs, regions)
    bench, list = BoxBench(length(table.edges2) - 1, regions), Neighbor[]
    sums = zeros(BOX_SUMS, length(table.edges2) - 1, 2)
    for ca in range
        cancelled() && break
        if a.first[ca] < a.first[ca + 1]
            neighbors!(list, a, b, ca, reach, rmax, sides, auto, image !== nothing)
            if regions == 0
                slots = a.first[ca]:(a.first[ca + 1] - 1)
                box_column!(bench, list, table, split, drawn, Val(false), a, b, slots, image)
                collect_rows!(sums, bench)
            else
                region_column!(sums, pairs, bench, list, table, split, drawn, a, b, ca, image)
            end
        end
        progress(Threads.atomic_add!(done, 1) + 1, prod(a.number))
    end
    return sums
end

"""
The sums of `box_sums_brute`, through columns; without `split` pairs of one host are not told
apart from others.
"""
box_sums(first::BoxObjects{Float64}, second::BoxObjects{Float64}, edges, boxsize;
         auto::Bool, periodic::Bool, split::Bool) =
    columns_summed(first, second, edges, boxsize; auto = auto, periodic = periodic,
                   split = split, regions = 0)[1]

"""
The sums of `box_sums`, and those of `region_sums_brute`, from one pass.
"""
function region_sums(first::BoxObjects{Float64}, second::BoxObjects{Float64}, edges, boxsize;
                     auto::Bool, periodic::Bool, split::Bool, regions::Int)
    total, partial = columns_summed(first, second, edges, boxsize; auto = auto,
                                    periodic = periodic, split = split, regions = regions)
    sums = zeros(BOX_SUMS, length(edges) - 1, region_pair(regions, regions))
    for chunk in partial, (k, found) in chunk       # in the order of the chunks for every k
        view(sums, :, :, k) .+= found
    end
    return total, sums
end

"Sums of all columns, and of each chunk of them those of the pairs of regions, by `region_pair`."
function columns_summed(first, second, edges, boxsize; auto, periodic, split, regions)
    total = zeros(BOX_SUMS, length(edges) - 1, 2)
    (length(first) == 0 || length(second) == 0) && return total, Dict{Int,Matrix{Float64}}[]
    sides = map(Float64, box_sides(boxsize))
    number, width, reach, origin = layout(first, second, edges[end], sides, periodic)
    a = Columns(first, number, width, origin)
    b = auto ? a : Columns(second, number, width, origin)
    drawn = hasdrawn(first) && hasdrawn(second)
    table = BinTable(edges)
    image = !periodic ? nothing : is_cube(sides) ? splat8(sides[1]) : map(splat8, sides)
    parts = min(prod(number), 256)
    partial = [zeros(0, 0, 0) for _ in 1:parts]
    regional = [Dict{Int,Matrix{Float64}}() for _ in 1:(regions == 0 ? 0 : parts)]
    none = Dict{Int,Matrix{Float64}}()
    done = Threads.Atomic{Int}(0)
    chunked(prod(number), parts) do part, range
        pairs = regions == 0 ? none : regional[part]
        partial[part] = column_sums(table, Val(split), Val(drawn), a, b, range, reach, edges[end],
                                    sides, image, auto, done, pairs, regions)
    end
    for p in partial
        total .+= p
    end
    return total, regional
end

"""
    box_sums_carried(position, axis, weight, edges, boxsize)

The first six of the sums of `box_sums_brute`, (6, nbins), of one set in a periodic box, all strengths 1;
axes and weights may carry derivatives.
"""
function box_sums_carried(position, axis, weight, edges, boxsize)
    n, squares, sides = length(weight), edges .^ 2, box_sides(boxsize)
    parts = clamp(n, 1, 128)
    T = promote_type(eltype(axis), eltype(weight))
    partial = [zeros(T, 6, length(edges) - 1) for _ in 1:parts]
    chunked(n, parts) do part, range
        sums = partial[part]
        for i in range
            cancelled() && return nothing
            e = (axis[1, i], axis[2, i], axis[3, i])
            for j in (i + 1):n
                d = ntuple(k -> nearest_image(position[k, j] - position[k, i], sides[k]), Val(3))
                dd = sum(abs2, d)
                squares[1] < dd <= squares[end] || continue
                bin = searchsortedfirst(squares, dd) - 1
                f = (axis[1, j], axis[2, j], axis[3, j])
                w = weight[i] * weight[j]
                sums[1, bin] += 1
                sums[2, bin] += w
                sums[3, bin] += w * sqrt(dd)
                sums[4, bin] += w * (sum(e .* d)^2 / dd - 1 / 3)
                sums[5, bin] += w * (sum(f .* d)^2 / dd - 1 / 3)
                sums[6, bin] += w * (sum(e .* f)^2 - 1 / 3)
            end
        end
    end
    return sum(partial)
end

# How far from 1 the length of a unit axis may be: single precision, and steps of finite differences.
const UNIT_AXIS = 1e-3

"""
    box_correlations(position, axis, edges, boxsize; weights = ones(N))

Clustering and alignment of objects in a periodic box: xi, omega and eta from one pass over the
pairs.

# Arguments
- `position`, `axis`: positions and unit axes (3, N); the sign of an axis has no meaning.
- `edges`: of the bins (lo, hi] of separation, in the unit of the positions; the last one at most
  half the shortest side of the box.
- `boxsize`: side of the box where it is a cube, or its three sides.
- `weights`: (N).

Returns `(npairs, r, xi, omega, eta)`, each of one number a bin: pairs, mean separations, and with e
the axes and d the unit separation, averages over pairs, xi = DD/RR - 1,
omega = <(e_i . d)^2> - 1/3 and eta = <(e_i . e_j)^2> - 1/3. In a bin without pairs xi is -1, and the averages are NaN.

Axes and weights may carry derivatives; every pair is then visited, N^2/2 of them. Positions, edges
and `boxsize` may not, since pairs fall into hard bins.

# Example
```julia
position, axis = [1.0 1; 1 1; 0.5 29.5], [0.0 1; 0 0; 1 0]
box = box_correlations(position, axis, [0.5, 2], 30)
turned(t) = [sin(t) cos(t); 0 0; cos(t) -sin(t)]
slope = derivative(t -> box_correlations(position, turned(t), [0.5, 2], 30).omega[1], 0.3)
box.npairs == [1] && box.r ≈ [1] && box.omega ≈ [1 / 6] && box.eta ≈ [-1 / 3] && abs(slope) < 1e-12
```
"""
function box_correlations(position::AbstractMatrix, axis::AbstractMatrix, edges, boxsize;
                          weights = ones(size(position, 2)))
    size(position) == size(axis) == (3, length(weights)) || throw(DimensionMismatch(
        "box_correlations: position and axis must be (3, N) and weights (N); they are " *
        "$(size(position)), $(size(axis)) and $(size(weights))"))
    jump = "pairs jump from one bin to the next, which no derivative sees; axis and weights may carry " *
           "derivatives; " * VALUES_ONLY
    place, limits, L = (fixed("box_correlations", name, q, jump) for (name, q) in
                        (("position", position), ("edges", edges), ("boxsize", boxsize)))
    (L isa Number || length(L) == 3) && all(s -> isfinite(s) && s > 0, L) || throw(ArgumentError(
        "box_correlations: boxsize must be the side of a cube, or three sides, above 0; it is $L"))
    sides = box_sides(L)
    length(limits) >= 2 && all(diff(limits) .> 0) && limits[1] >= 0 &&
        2 * limits[end] <= minimum(sides) ||
        throw(ArgumentError("box_correlations: edges must increase from 0 or more to at " *
                            "most boxsize/2; they are $limits"))
    all(k -> all(p -> 0 <= p <= sides[k], view(place, k, :)), 1:3) || throw(ArgumentError(
        "box_correlations: position must lie in the box, from 0 to $L"))
    e, w = collect(axis), collect(weights)
    check_objects("box_correlations"; weights = w)
    long = findfirst(i -> !(abs(sum(k -> primal(e[k, i])^2, 1:3) - 1) < 2 * UNIT_AXIS), axes(e, 2))
    long === nothing || throw(ArgumentError(
        "box_correlations: axis must hold unit vectors; number $long is $(map(primal, e[:, long]))"))
    s = if carries(e) || carries(w)
        box_sums_carried(place, e, w, limits, sides)
    else
        n = length(w)
        set = BoxObjects(place, convert(Matrix{Float64}, e), convert(Vector{Float64}, w), ones(n),
                         zeros(Int64, n))
        box_sums(set, set, limits, sides; auto = true, periodic = true, split = false)[:, :, 1]
    end
    mean(k) = s[k, :] ./ s[2, :]
    RR = sum(w)^2 .* diff(4pi / 3 .* (limits ./ (is_cube(sides) ? sides[1] : cbrt(prod(sides)))) .^ 3)
    return (npairs = [round(Int, primal(n)) for n in s[1, :]], r = mean(3),
            xi = 2 .* s[2, :] ./ RR .- 1,
            omega = (mean(4) .+ mean(5)) ./ 2, eta = mean(6))
end
