# Objects of a box in columns along z, sorted by z within a column and cut there into blocks of eight: the
# partners of a block in a column are one run of blocks. A block is summed whole with each object of
# another, with those lanes masked that are out of reach: nothing is gathered, and nothing is put back.

# Fields of a block, eight numbers each; hosts and regions are whole numbers, by their bits. Regions and
# second axes are there where they are asked for.
const X, Y, Z, EX, EY, EZ, WEIGHT, STRENGTH, HOST, REGION, GX, GY, GZ = 1:13
# Where the lanes stand that hold no object: out of any reach, with a square that is a number.
const OUTSIDE = 1e100

"""
Objects in blocks. Of the `number` of columns along x and y, of `width` along each, column (ix, iy), from
0, is number `ix * number[2] + iy + 1` and holds the blocks `first[c]:first[c + 1] - 1`, whose objects lie
between `low` and `high`. Only the last block of a column holds fewer than eight.
"""
struct Blocks
    number::NTuple{2,Int}
    width::NTuple{2,Float64}
    origin::NTuple{2,Float64}
    first::Vector{Int}
    low::Vector{NTuple{3,Float64}}
    high::Vector{NTuple{3,Float64}}
    count::Vector{Int}
    fields::Int
    data::Vector{Float64}       # 8 x fields x blocks
end

function Blocks(objects::BoxObjects{Float64}, number, width, origin)
    position = objects.position
    order, start = by_column(position, number, width, origin)
    first = cumsum([1; [cld(start[c + 1] - start[c], 8) for c in 1:prod(number)]])
    n = first[end] - 1
    drawn, regional = hasdrawn(objects), !isempty(objects.region)
    fields = drawn ? GZ : regional ? REGION : HOST
    low, high = Vector{NTuple{3,Float64}}(undef, n), Vector{NTuple{3,Float64}}(undef, n)
    count = Vector{Int}(undef, n)
    # At least a page: such arrays begin at a multiple of 64 bytes, and so does every field.
    data = Vector{Float64}(undef, 8 * fields * max(n, 8))
    chunked(prod(number), 64) do _, range
        for c in range, b in first[c]:(first[c + 1] - 1)
            begins = start[c] + 8 * (b - first[c])
            count[b] = min(8, start[c + 1] - begins)
            low[b], high[b] = fill_block!(data, 8 * fields * (b - 1), objects, order, begins, count[b],
                                          drawn, regional)
        end
    end
    return Blocks(number, width, origin, first, low, high, count, fields, data)
end

# Columns are about as wide as the blocks in them are high where objects are spread evenly: so a block
# comes near to a cube, and few of its lanes are out of reach where one is within. Narrower columns hold
# more blocks that are not full; wider ones cost less to walk. Measured, from 1e4 to 1e6 objects.
const CUBES = 0.9
const MOST_BLOCKS = 6

"Number, width and reach (in columns) of the columns of blocks along x and y, and their origin."
function block_layout(first, second, rmax, sides, periodic)
    origin, span, volume = extent(first, second, rmax, sides, periodic)
    density = max(length(first), length(second)) / volume
    return columns_of(clamp(round(Int, CUBES * rmax * cbrt(density / 8)), 1, MOST_BLOCKS), span, rmax)...,
           origin
end

"Fill a block behind `at` with the objects `order[begins]` and on; the range that they take."
function fill_block!(data, at, objects, order, begins, count, drawn, regional)
    position, axis = objects.position, objects.axis
    low, high = (Inf, Inf, Inf), (-Inf, -Inf, -Inf)
    @inbounds for lane in 1:8
        to = at + lane
        if lane > count
            data[to] = data[to + 8] = data[to + 16] = OUTSIDE
            for k in EX:(drawn ? GZ : regional ? REGION : HOST)
                data[to + 8 * (k - 1)] = 0.0
            end
            continue
        end
        i = order[begins + lane - 1]
        place = (position[1, i], position[2, i], position[3, i])
        low, high = min.(low, place), max.(high, place)
        for k in 1:3
            data[to + 8 * (k - 1)] = place[k]
            data[to + 8 * (EX + k - 2)] = axis[k, i]
            drawn && (data[to + 8 * (GX + k - 2)] = objects.drawn[k, i])
        end
        data[to + 8 * (WEIGHT - 1)] = objects.weight[i]
        data[to + 8 * (STRENGTH - 1)] = objects.strength[i]
        data[to + 8 * (HOST - 1)] = reinterpret(Float64, objects.host[i])
        regional && (data[to + 8 * (REGION - 1)] = reinterpret(Float64, objects.region[i]))
    end
    return low, high
end

"An image of a column in reach of another: its blocks, its displacement and the greatest |dz|."
struct Near
    first::Int
    last::Int
    west::Float64       # its lower corner
    south::Float64
    image::Int          # 0: not displaced
    shift::NTuple{3,Float64}
    reach::Float64
    own::Bool           # the column itself: partners are behind each object
end

"Images of columns within `rmax` of column `ca`, those not displaced first; of one set (`auto`), half."
function near!(list, a, b, ca, reach, rmax, sides, auto, periodic)
    empty!(list)
    nx, ny = b.number
    ix, iy = divrem(ca - 1, ny)
    bottom, top = a.low[a.first[ca]][3], a.high[a.first[ca + 1] - 1][3]
    for jx in (auto ? 0 : -reach[1]):reach[1], jy in (auto && jx == 0 ? 0 : -reach[2]):reach[2]
        gap = hypot(b.width[1] * max(abs(jx) - 1, 0), b.width[2] * max(abs(jy) - 1, 0))
        gap < rmax || continue
        high = sqrt(rmax^2 - gap^2) * (1 + 1e-12)
        kx, ky = ix + jx, iy + jy
        inside = 0 <= kx < nx && 0 <= ky < ny
        inside || periodic || continue
        wx, wy = fld(kx, nx), fld(ky, ny)
        cb = (kx - wx * nx) * ny + (ky - wy * ny) + 1
        first, last = b.first[cb], b.first[cb + 1] - 1
        first > last && continue
        own = auto && jx == 0 && jy == 0
        for wz in (periodic ? (-1:1) : (0:0))
            own && wz == -1 && continue
            shift = (wx, wy, wz) .* sides
            (b.high[last][3] + shift[3] < bottom - high || b.low[first][3] + shift[3] > top + high) &&
                continue
            image = wx == wy == wz == 0 ? 0 : 100 + 9wx + 3wy + wz
            push!(list, Near(first, last, b.origin[1] + b.width[1] * kx, b.origin[2] + b.width[2] * ky,
                             image, shift, high, own && wz == 0))
        end
    end
    sort!(list, by = k -> k.image, alg = MergeSort)
    return list
end

# ---- blocks in reach -----------------------------------------------------------------------------

# Objects with a block in reach of each that are listed before they are summed.
const LISTED = 1024

# A block is known by its address, and so is an object: by that of its first number.
@inline of_block(at::Int, k) = unsafe_load(Ptr{Vec}(at + 64 * (k - 1)))
@inline of_object(at::Int, k) = splat8(unsafe_load(Ptr{Float64}(at + 64 * (k - 1))))
@inline whole_of_block(at::Int, k) = unsafe_load(Ptr{IntVec}(at + 64 * (k - 1)))
@inline whole_of_object(at::Int, k) = splat8(unsafe_load(Ptr{Int64}(at + 64 * (k - 1))))
@inline address(b::Blocks, block) = Int(pointer(b.data)) + 64 * b.fields * (block - 1)

"""
Append the objects of block `own` that have a lane of block `at` in reach, behind the first `n`: the address
of a block is a multiple of eight, and the number of an object, from 0, is added to it.
"""
@inline function list_in_reach!(found, n, own::Int, at::Int, high)
    x, y, z = of_block(at, X), of_block(at, Y), of_block(at, Z)
    Base.Cartesian.@nexprs 8 k -> begin
        i = own + 8 * (k - 1)
        dx, dy, dz = vsub(x, of_object(i, X)), vsub(y, of_object(i, Y)), vsub(z, of_object(i, Z))
        unsafe_store!(pointer(found, n + 1), at + k - 1)
        n += vleast_bits(dot8(dx, dy, dz, dx, dy, dz), high) != 0x00
    end
    return n
end

"Distance of two ranges of one axis, 0 where they overlap."
@inline apart(low1, high1, low2, high2) =
    ifelse(low2 > high1, low2 - high1, ifelse(low1 > high2, low1 - high2, 0.0))

"""
Those of the blocks `from:to` that come within a squared distance of a range, behind the first `n`; the new
number. Without a branch, which would be foreseen half of the time.
"""
@inline function near_blocks!(near, b::Blocks, from, to, low, high, most)
    n = 0
    @inbounds for block in from:to
        l, h = b.low[block], b.high[block]
        dx, dy, dz = apart(low[1], high[1], l[1], h[1]), apart(low[2], high[2], l[2], h[2]),
                     apart(low[3], high[3], l[3], h[3])
        near[n + 1] = block
        n += dx * dx + dy * dy + dz * dz <= most
    end
    return n
end

"Put the objects of a block that take no part out of reach."
function retire!(block, lanes::UInt8)
    lanes == 0xff && return nothing
    for lane in 1:8
        (lanes >> (lane - 1)) & 0x01 == 0x01 || (block[lane] = -OUTSIDE)
    end
end

"""
    walk_blocks!(add, active, bench, list, high2, a, b, ca)

The objects of column `ca` with the blocks of the images in `list`: `add(n, own)` sums the pairs of the
first `n` objects, each with a block, that the bench lists; with `own` of a block with itself. `active`
gives the bits of the objects of a block that take part.
"""
function walk_blocks!(add::F, active::G, bench, list, high2, a, b, ca) where {F,G}
    lo, hi, found, own = bench.lo, bench.hi, bench.found, bench.own
    resize!(lo, length(list))
    resize!(hi, length(list))
    for (k, near) in enumerate(list)
        lo[k], hi[k] = near.first, near.first - 1
    end
    high, most = splat8(high2), high2 * (1 + 1e-12)
    here = Int(pointer(own))
    @inbounds for block in a.first[ca]:(a.first[ca + 1] - 1)
        cancelled() && break
        lanes::UInt8 = active(block)
        lanes == 0x00 && continue
        n, image, origin = 0, 0, 8 * a.fields * (block - 1)
        low3, high3 = a.low[block], a.high[block]
        copyto!(own, 1, a.data, origin + 1, 8 * a.fields)
        retire!(own, lanes)
        for k in eachindex(list)
            near = list[k]
            shift = near.shift
            from, to = lo[k], hi[k]
            while from <= near.last && b.high[from][3] < low3[3] - shift[3] - near.reach
                from += 1
            end
            lo[k] = from
            to = max(to, from - 1)
            while to < near.last && b.low[to + 1][3] <= high3[3] - shift[3] + near.reach
                to += 1
            end
            hi[k] = to
            near.own && (from = block)
            from > to && continue
            if near.image != image
                n > 0 && add(n, Val(false))
                n, image = 0, near.image
                for axis in 1:3, lane in 1:8
                    own[8 * (axis - 1) + lane] = a.data[origin + 8 * (axis - 1) + lane] - shift[axis]
                end
                retire!(own, lanes)
            end
            if near.own
                n > 0 && add(n, Val(false))
                n = list_in_reach!(found, 0, here, address(b, block), high)
                n > 0 && add(n, Val(true))
                n, from = 0, block + 1
            end
            low_here, high_here = low3 .- shift, high3 .- shift
            while from <= to
                part = min(to - from + 1, LISTED >> 3)
                few = near_blocks!(bench.near, b, from, from + part - 1, low_here, high_here, most)
                from += part
                if n + 8few > LISTED
                    add(n, Val(false))
                    n = 0
                end
                for k in 1:few
                    n = list_in_reach!(found, n, here, address(b, bench.near[k]), high)
                end
            end
        end
        n > 0 && add(n, Val(false))
    end
end
