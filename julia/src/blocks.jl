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
    low::NTuple{3,Vector{Float64}}      # longer by eight, so that eight may be read from any block
    high::NTuple{3,Vector{Float64}}
    count::Vector{Int}
    bottom::Float64                     # of all in z
    top::Float64
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
    low, high = ntuple(_ -> fill(OUTSIDE, n + 8), 3), ntuple(_ -> fill(OUTSIDE, n + 8), 3)
    count = Vector{Int}(undef, n)
    # At least a page: such arrays begin at a multiple of 64 bytes, and so does every field.
    data = Vector{Float64}(undef, 8 * fields * max(n, 8))
    chunked(prod(number), 64) do _, range
        for c in range, b in first[c]:(first[c + 1] - 1)
            begins = start[c] + 8 * (b - first[c])
            count[b] = min(8, start[c + 1] - begins)
            least, most = fill_block!(data, 8 * fields * (b - 1), objects, order, begins, count[b], drawn,
                                      regional)
            for k in 1:3
                low[k][b], high[k][b] = least[k], most[k]
            end
        end
    end
    return Blocks(number, width, origin, first, low, high, count,
                  minimum(view(low[3], 1:n)), maximum(view(high[3], 1:n)), fields, data)
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
    bottom, top = a.low[3][a.first[ca]], a.high[3][a.first[ca + 1] - 1]
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
            (b.high[3][last] + shift[3] < bottom - high || b.low[3][first] + shift[3] > top + high) &&
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
const LISTED = 512

# A block is known by its address, and so is an object: by that of its first number.
@inline of_block(at::Int, k) = unsafe_load(Ptr{Vec}(at + 64 * (k - 1)))
@inline of_object(at::Int, k) = splat8(unsafe_load(Ptr{Float64}(at + 64 * (k - 1))))
@inline whole_of_block(at::Int, k) = unsafe_load(Ptr{IntVec}(at + 64 * (k - 1)))
@inline whole_of_object(at::Int, k) = splat8(unsafe_load(Ptr{Int64}(at + 64 * (k - 1))))
@inline address(b::Blocks, block) = Int(pointer(b.data)) + 64 * b.fields * (block - 1)

"""
Append the objects of block `own` that have a lane of block `at` in reach: behind the first `n` of `found`
where all lanes are beyond `cut`, else behind the first `m` of `close`. The address of a block is a multiple
of 64, and the number of an object, from 0, is added to it.
"""
@inline function list_in_reach!(found, n, close, m, own::Int, at::Int, cut, high)
    x, y, z = of_block(at, X), of_block(at, Y), of_block(at, Z)
    Base.Cartesian.@nexprs 8 k -> begin
        i = own + 8 * (k - 1)
        dx, dy, dz = vsub(x, of_object(i, X)), vsub(y, of_object(i, Y)), vsub(z, of_object(i, Z))
        t = dot8(dx, dy, dz, dx, dy, dz)
        unsafe_store!(pointer(found, n + 1), at + k - 1)
        unsafe_store!(pointer(close, m + 1), at + k - 1)
        below = vleast_bits(t, cut) != 0x00
        n += (vleast_bits(t, high) != 0x00) & !below
        m += below
    end
    return n, m
end

# What stands beside the number of an object that is listed with its own block: pairs are those with the
# lanes behind it.
const OWN = 8

"Append the objects `lanes` of a block, each with the block itself."
function list_own!(close, m, own::Int, lanes, at::Int)
    for k in 1:8
        (lanes >> (k - 1)) & 0x01 == 0x01 || continue
        close[m += 1] = at + k - 1 + OWN
    end
    return m
end

# Distance of two ranges of one axis, eight times, or less where they overlap.
@inline apart(low, high, b, k, at) =
    vgreatest(vsub(vload(b.low[k], at), splat8(high[k])), vsub(splat8(low[k]), vload(b.high[k], at)))

"Put those of the blocks `from:to` that come within a squared distance of a range in `near`; their number."
@inline function near_blocks!(near, b::Blocks, from, to, low, high, most)
    n, at, zero8 = 0, from, splat8(0.0)
    while at <= to
        dx, dy, dz = vgreatest(apart(low, high, b, 1, at), zero8), vgreatest(apart(low, high, b, 2, at), zero8),
                     vgreatest(apart(low, high, b, 3, at), zero8)
        bits = vleast_bits(dot8(dx, dy, dz, dx, dy, dz), most)
        left = to - at
        bits &= 0xff >> ifelse(left < 7, 7 - left, 0)
        store_packed!(pointer(near, n + 1), pointer(PACKED) + 8 * Int(bits), at)
        n += count_ones(bits)
        at += 8
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
    walk_blocks!(add, active, bench, list, cut2, high2, a, b, ca)

The objects of column `ca` with the blocks of the images in `list`: `add(found, n)` sums the pairs of the
first `n` objects, each with a block, that are listed in `found`. Only what `bench.close` lists has squared
separations up to `cut2`, and blocks with themselves. `active` gives the bits of the objects of a block that
take part.
"""
function walk_blocks!(add::F, active::G, bench, list, cut2, high2, a, b, ca) where {F,G}
    lo, hi, found, close, own = bench.lo, bench.hi, bench.found, bench.close, bench.own
    resize!(lo, length(list))
    resize!(hi, length(list))
    for (k, near) in enumerate(list)
        lo[k], hi[k] = near.first, near.first - 1
    end
    cut, high, most = splat8(cut2), splat8(high2), splat8(high2 * (1 + 1e-12))
    here = Int(pointer(own))
    rmax, bottom, top = sqrt(high2) * (1 + 1e-12), b.bottom, b.top
    @inbounds for block in a.first[ca]:(a.first[ca + 1] - 1)
        cancelled() && break
        lanes::UInt8 = active(block)
        lanes == 0x00 && continue
        n, m, image, origin = 0, 0, 0, 8 * a.fields * (block - 1)
        low3, high3 = map(v -> v[block], a.low), map(v -> v[block], a.high)
        copyto!(own, 1, a.data, origin + 1, 8 * a.fields)
        retire!(own, lanes)
        beyond = -1             # an image of the box out of reach of this block along z
        for k in eachindex(list)
            near = list[k]
            near.image == beyond && continue
            shift = near.shift
            if low3[3] - shift[3] - rmax > top || high3[3] - shift[3] + rmax < bottom
                beyond = near.image
                continue
            end
            from, to = lo[k], hi[k]
            while from <= near.last && b.high[3][from] < low3[3] - shift[3] - near.reach
                from += 1
            end
            lo[k] = from
            to = max(to, from - 1)
            while to < near.last && b.low[3][to + 1] <= high3[3] - shift[3] + near.reach
                to += 1
            end
            hi[k] = to
            near.own && (from = block)
            from > to && continue
            if near.image != image
                n, m = add_listed!(add, bench, n, m)
                image = near.image
                for axis in 1:3, lane in 1:8
                    own[8 * (axis - 1) + lane] = a.data[origin + 8 * (axis - 1) + lane] - shift[axis]
                end
                retire!(own, lanes)
            end
            if near.own
                m + 8 > LISTED && ((n, m) = add_listed!(add, bench, n, m))
                m = list_own!(close, m, here, lanes, address(b, block))
                from = block + 1
            end
            low_here, high_here = low3 .- shift, high3 .- shift
            while from <= to
                part = min(to - from + 1, LISTED >> 3)
                few = near_blocks!(bench.near, b, from, from + part - 1, low_here, high_here, most)
                from += part
                max(n, m) + 8few > LISTED && ((n, m) = add_listed!(add, bench, n, m))
                for k in 1:few
                    n, m = list_in_reach!(found, n, close, m, here, address(b, bench.near[k]), cut, high)
                end
            end
        end
        add_listed!(add, bench, n, m)
    end
end

@inline function add_listed!(add::F, bench, n, m) where {F}
    n > 0 && add(bench.found, n)
    m > 0 && add(bench.close, m)
    return 0, 0
end
