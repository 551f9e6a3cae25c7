# Objects in columns along z: sorted by z within a column, so that the partners of an object in a
# column are one contiguous run. What passes over pairs in a box have in common; what is summed of a
# pair is their own.

# Columns in the reach of r_max: more of them fit the sphere better, and leave runs too short to
# pay for finding where they begin. Found by trial.
const RUN = 64
const MAX_REACH = 4

# Pairs of one object that are gathered before they are summed.
const GATHERED = 1024

column_of(c::Float64, origin, width, side) = clamp(floor(Int, (c - origin) / width), 0, side - 1)

"""
    by_column(position, number, width, origin) -> (order, first)

Objects in the order of their columns, and of z within; where each column begins in it. Column (ix, iy),
from 0, is number `ix * number[2] + iy + 1`.
"""
function by_column(position, number, width, origin)
    n = size(position, 2)
    column = Vector{Int}(undef, n)
    first = zeros(Int, prod(number) + 1)
    for i in 1:n
        ix = column_of(position[1, i], origin[1], width[1], number[1])
        iy = column_of(position[2, i], origin[2], width[2], number[2])
        column[i] = ix * number[2] + iy + 1
        first[column[i] + 1] += 1
    end
    first[1] = 1
    cumsum!(first, first)
    order, next = Vector{Int}(undef, n), copy(first)
    for i in 1:n
        order[next[column[i]]] = i
        next[column[i]] += 1
    end
    chunked(prod(number), 64) do _, range
        for c in range
            sort_by_height!(view(order, first[c]:(first[c + 1] - 1)), position)
        end
    end
    return order, first
end

"Objects in ascending order of z, those of equal z by their number."
function sort_by_height!(objects, position)
    heights = [(position[3, i], i) for i in objects]
    sort!(heights; alg = QuickSort)
    for (k, (_, i)) in enumerate(heights)
        objects[k] = i
    end
end

"An image of a column in reach of another: its displacement and the greatest |dz|."
struct Neighbor
    first::Int          # its slots
    last::Int
    west::Float64       # its lower corner
    south::Float64
    shift::NTuple{3,Float64}
    reach::Float64
    own::Bool           # the column itself: partners are behind each object
end

"""
Neighbors of column `ca` within `rmax`; of one set (`auto`), half of them. With `zmax` the reach along z
is that, in a cylinder about the column, and not what a sphere leaves of it.
"""
function neighbors!(list, a, b, ca, reach, rmax, sides, auto, periodic; zmax = nothing)
    empty!(list)
    nx, ny = b.number
    ix, iy = divrem(ca - 1, ny)
    for jx in (auto ? 0 : -reach[1]):reach[1], jy in (auto && jx == 0 ? 0 : -reach[2]):reach[2]
        gap = hypot(b.width[1] * max(abs(jx) - 1, 0), b.width[2] * max(abs(jy) - 1, 0))
        gap < rmax || continue
        high = (zmax === nothing ? sqrt(rmax^2 - gap^2) : zmax) * (1 + 1e-12)
        kx, ky = ix + jx, iy + jy
        inside = 0 <= kx < nx && 0 <= ky < ny
        inside || periodic || continue
        wx, wy = fld(kx, nx), fld(ky, ny)
        cb = (kx - wx * nx) * ny + (ky - wy * ny) + 1
        b.first[cb] == b.first[cb + 1] && continue
        own = auto && jx == 0 && jy == 0
        for wz in (periodic ? (-1:1) : (0:0))
            own && wz == -1 && continue
            push!(list, Neighbor(b.first[cb], b.first[cb + 1] - 1, b.origin[1] + b.width[1] * kx,
                                  b.origin[2] + b.width[2] * ky, (wx, wy, wz) .* sides, high,
                                  own && wz == 0))
        end
    end
    return list
end

"Distance of `c` from the range [low, low + width]; 0 within."
@inline outside(c, low, width) =
    ifelse(c < low, low - c, ifelse(c > low + width, c - low - width, 0.0))

"The first of the slots `low:high`, in the order of z, that is not below `least`; or `high + 1`."
function first_from(z, low, high, least)
    while low <= high
        middle = (low + high) >>> 1
        z[middle] < least ? (low = middle + 1) : (high = middle - 1)
    end
    return low
end

"""
    walk_column!(find, add, bench, list, rmax2, a, b, slots)

Objects `slots` of a column, in ascending order, with those of the neighbors in `list`:
`find(n, ux, uy, uz, start, stop)` appends slots in reach of a place to those that the bench holds, and
gives their number; `add(i, n)` sums the pairs of slot `i` with them.
"""
function walk_column!(find::F, add::G, bench, list, rmax2, a, b, slots) where {F,G}
    lo, hi = bench.lo, bench.hi
    resize!(lo, length(list))
    resize!(hi, length(list))
    isempty(slots) && return nothing
    uz = a.z[first(slots)]
    for (k, near) in enumerate(list)
        middle = uz - near.shift[3]
        lo[k] = first_from(b.z, near.first, near.last, middle - near.reach)
        hi[k] = first_from(b.z, lo[k], near.last, middle + near.reach)
    end
    @inbounds for i in slots
        cancelled() && break
        n = 0
        for k in eachindex(list)
            near = list[k]
            uz = a.z[i] - near.shift[3]
            start, stop = lo[k], hi[k]
            while start <= near.last && b.z[start] < uz - near.reach
                start += 1
            end
            lo[k] = start
            while stop <= near.last && b.z[stop] <= uz + near.reach
                stop += 1
            end
            hi[k] = stop
            near.own && (start = i + 1)
            start < stop || continue
            # The nearest point of the column's rectangle: often beyond reach.
            gap2 = outside(a.x[i], near.west, b.width[1])^2 +
                   outside(a.y[i], near.south, b.width[2])^2
            gap2 > rmax2 && continue
            ux, uy = a.x[i] - near.shift[1], a.y[i] - near.shift[2]
            while start < stop
                part = min(stop - start, GATHERED >> 1)
                if n + part > GATHERED
                    add(i, n)
                    n = 0
                end
                n = find(n, ux, uy, uz, start, start + part - 1)
                start += part
            end
        end
        n > 0 && add(i, n)
    end
end

# ---- columns -------------------------------------------------------------------------------------

"""
Objects sorted by column, and by z within a column. Of the `number` of columns along x and y, of
`width` along each, column (ix, iy), from 0, is number `ix * number[2] + iy + 1`. Coordinates are there
twice: apart, longer by eight so that a full block may be read from any slot, and in records of eight
numbers (position, axis, weight, strength).
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
    host::Vector{Int64}
end

function Columns(objects::BoxObjects{Float64}, number, width, origin)
    n = length(objects)
    position = objects.position
    order, first = by_column(position, number, width, origin)
    # At least a page: such arrays begin at a multiple of 64 bytes, and so does every record.
    records = zeros(8 * max(n, 64))
    chunked(n, 64) do _, range
        for s in range
            i = order[s]
            for k in 1:3
                records[8s - 8 + k] = position[k, i]
                records[8s - 5 + k] = objects.axis[k, i]
            end
            records[8s - 1] = objects.weight[i]
            records[8s] = objects.strength[i]
        end
    end
    coordinate(k) = append!(position[k, order], zeros(8))
    return Columns(number, width, origin, first, coordinate(1), coordinate(2), coordinate(3), records,
                   objects.host[order])
end

"Lower corner of all objects in x and y, and the range and the volume that they take."
function extent(first, second, rmax, sides, periodic)
    periodic && return (0.0, 0.0), (sides[1], sides[2]), prod(sides)
    low = min.(minimum(first.position, dims = 2), minimum(second.position, dims = 2))
    high = max.(maximum(first.position, dims = 2), maximum(second.position, dims = 2))
    wide = max(high[1] - low[1], high[2] - low[2], rmax)
    return (low[1], low[2]), (wide, wide), prod(max.(high - low, rmax / 8))
end

"Number, width and reach of columns of which `most` are within `rmax`."
function columns_of(most, span, rmax)
    number = map(s -> max(1, floor(Int, min(most * s / rmax, 1024.0))), span)
    return number, span ./ number, map((n, s) -> min(most, ceil(Int, rmax * n / s * (1 + 1e-12))), number, span)
end

"Number, width and reach (in columns) of the columns along x and y, and their origin."
function layout(first, second, rmax, sides, periodic)
    origin, span, volume = extent(first, second, rmax, sides, periodic)
    density = max(length(first), length(second)) / volume
    return columns_of(clamp(round(Int, sqrt(density * rmax^3 / RUN)), 1, MAX_REACH), span, rmax)..., origin
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
    start::Vector{Int32}
end

leading(t::Float64, shift) = reinterpret(Int64, t) >> shift

function BinTable(edges; bits = 7)
    edges2 = edges .^ 2
    shift = 52 - bits
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
        bin = Int(table.start[ifelse(key > 0, key, 0) + 1])
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

@inline record8(records, slot::Int64) = vload(records, 8slot - 7)

# The records of eight objects as eight vectors, one of each number.
@inline gather8(records, found, first) = @inbounds transpose8(
    record8(records, found[first]), record8(records, found[first + 1]),
    record8(records, found[first + 2]), record8(records, found[first + 3]),
    record8(records, found[first + 4]), record8(records, found[first + 5]),
    record8(records, found[first + 6]), record8(records, found[first + 7]))
