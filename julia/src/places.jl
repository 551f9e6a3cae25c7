# Sums over pairs of places of galaxies between kinds of places, in bins of separation: what the means of
# an HOD need where satellites are not spread evenly about their halos. `place_sums_brute` is the
# definition, `place_sums` the fast twin: one pass over the columns of box.jl.
#
# A place of weight w in a host lies between the kinds k and k + 1, to which it belongs by the parts 1 - t
# and t. An ordered pair of different hosts with separation vector d and axes a of the first and b of the
# second adds
#   1, (a . d)^2/d^2 - 1/3, (a . b)^2 - 1/3,
# times weights and parts, to the bin (lo, hi] of |d|, for every kind of the first and of the second.

const PLACE_MOMENTS = 3
# What the sums of all chunks may take.
const PLACE_BYTES = 2^29

"""
Places in a periodic box: positions and unit axes (3, N), weights, hosts, the kind below each, and the part
that belongs to the kind above.
"""
struct PlaceObjects{T}
    position::Matrix{T}
    axis::Matrix{T}
    weight::Vector{T}
    host::Vector{Int64}
    kind::Vector{Int64}
    part::Vector{T}
end

Base.length(objects::PlaceObjects) = length(objects.kind)

"""
    place_sums_brute(objects, kinds, edges, boxsize)

Sums (3, bins, kinds of the second, kinds of the first) over all ordered pairs of different hosts.
`boxsize` is the side of a cube, or three sides.
"""
function place_sums_brute(objects::PlaceObjects{T}, kinds, edges, boxsize) where {T}
    sums = zeros(T, PLACE_MOMENTS, length(edges) - 1, kinds, kinds)
    third, sides = one(T) / 3, collect(box_sides(boxsize))
    for i in 1:length(objects), j in 1:length(objects)
        objects.host[i] == objects.host[j] && continue
        d = nearest_image.(objects.position[:, j] - objects.position[:, i], sides)
        dd = sum(abs2, d)
        bin = searchsortedfirst(edges .^ 2, dd) - 1
        (1 <= bin < length(edges)) || continue
        a, b = objects.axis[:, i], objects.axis[:, j]
        for (k, p) in ((0, 1 - objects.part[i]), (1, objects.part[i])),
            (l, q) in ((0, 1 - objects.part[j]), (1, objects.part[j]))

            p * q == 0 && continue
            sums[:, bin, objects.kind[j] + l, objects.kind[i] + k] .+=
                objects.weight[i] * objects.weight[j] * p * q .*
                (1, sum(a .* d)^2 / dd - third, sum(a .* b)^2 - third)
        end
    end
    return sums
end

# ---- packed sums ---------------------------------------------------------------------------------

# Each unordered pair is added once, in the row of the greater kind: a row k has the columns 1 to k + 1, and
# in each bin four numbers a column, so that two neighboring columns are one block of eight: count, the axis
# of the row's place, that of the column's, both axes.
place_offset(row, bins) = 4 * bins * (div((row - 1) * row, 2) + row - 1)
place_length(kinds, bins) = place_offset(kinds + 2, bins)
@inline place_at(row, column, bin, bins) =
    place_offset(row, bins) + 4 * ((row + 1) * (bin - 1) + column - 1) + 1

"Chunks that the sums are apart for, as many as memory allows; the number of threads plays no role."
place_chunks(n, kinds, bins) =
    clamp(min(div(PLACE_BYTES, 8 * place_length(kinds, bins)), cld(n, 4000)), 1, 64)

"The sums of one chunk, and its working memory."
struct PlaceBench
    sums::Vector{Float64}
    lanes::Vector{Float64}
    squares::Vector{Float64}
    rows::Vector{Float64}
    columns::Vector{Float64}
    parts::Vector{Float64}
    found::Vector{Int64}
    lo::Vector{Int}
    hi::Vector{Int}
end

PlaceBench(kinds, bins) =
    PlaceBench(zeros(place_length(kinds, bins)), zeros(512), zeros(512), zeros(512), zeros(512),
               zeros(512), zeros(Int64, GATHERED + 8), Int[], Int[])

"a > b ? x : y."
@inline vpick(a::Vec, b::Vec, x::Vec, y::Vec) = Base.llvmcall("""
    %5 = fcmp ogt <8 x double> %0, %1
    %6 = select <8 x i1> %5, <8 x double> %2, <8 x double> %3
    ret <8 x double> %6""", Vec, NTuple{4,Vec}, a, b, x, y)

# The records have the part in the place of the weight, the kind in that of the
# strength, and axes as long as the root of the weight, so that the weight is their square.
@noinline function sum_places!(bench::PlaceBench, table::BinTable, a::Columns, i::Int, n::Int,
                               sides::Sides)
    sums, lanes, squares, found = bench.sums, bench.lanes, bench.squares, bench.found
    bins = length(table.edges2) - 1
    at = 8i - 7
    @inbounds begin
        host = a.host[i]
        x, y, z = splat8(a.records[at]), splat8(a.records[at + 1]), splat8(a.records[at + 2])
        ex, ey, ez = splat8(a.records[at + 3]), splat8(a.records[at + 4]), splat8(a.records[at + 5])
        part1, kind1 = splat8(a.records[at + 6]), splat8(a.records[at + 7])
        one8, third = splat8(1.0), splat8(1 / 3)
        weight1 = dot8(ex, ey, ez, ex, ey, ez)
        high = splat8(table.edges2[end])
        inverse_sides = inverses(sides)
        for k in (n + 1):(n + 8)
            found[k] = found[1]         # fills the last block; not added
        end
        first = 1
        while first <= n
            jx, jy, jz, fx, fy, fz, part2, kind2 = gather8(a.records, found, first)
            dx = nearest_image8(vsub(jx, x), along_axis(sides, 1), along_axis(inverse_sides, 1))
            dy = nearest_image8(vsub(jy, y), along_axis(sides, 2), along_axis(inverse_sides, 2))
            dz = nearest_image8(vsub(jz, z), along_axis(sides, 3), along_axis(inverse_sides, 3))
            t = vleast(dot8(dx, dy, dz, dx, dy, dz), high)
            inverse = rsqrt8(t)
            weight2 = dot8(fx, fy, fz, fx, fy, fz)
            both = vmul(weight1, weight2)
            p = vmul(dot8(ex, ey, ez, dx, dy, dz), inverse)
            q = vmul(dot8(fx, fy, fz, dx, dy, dz), inverse)
            c = dot8(ex, ey, ez, fx, fy, fz)
            along1 = vfnma(both, third, vmul(weight2, vmul(p, p)))
            along2 = vfnma(both, third, vmul(weight1, vmul(q, q)))
            across = vfnma(both, third, vmul(c, c))
            row, column = vpick(kind2, kind1, kind2, kind1), vpick(kind2, kind1, kind1, kind2)
            of_row, of_column = vpick(kind2, kind1, along2, along1), vpick(kind2, kind1, along1, along2)
            above = vpick(kind2, kind1, part1, part2)       # of the column's place
            below = vsub(one8, above)
            square = transpose8(vmul(below, both), vmul(below, of_row), vmul(below, of_column),
                                vmul(below, across), vmul(above, both), vmul(above, of_row),
                                vmul(above, of_column), vmul(above, across))
            for k in 1:8
                unsafe_store!(Ptr{Vec}(pointer(lanes, 8k - 7)), square[k])
            end
            unsafe_store!(Ptr{Vec}(pointer(squares)), t)
            unsafe_store!(Ptr{Vec}(pointer(bench.rows)), row)
            unsafe_store!(Ptr{Vec}(pointer(bench.columns)), column)
            unsafe_store!(Ptr{Vec}(pointer(bench.parts)), vpick(kind2, kind1, part2, part1))
            for lane in 0:min(7, n - first)
                a.host[found[first + lane]] == host && continue
                bin = find_bin(table, squares[lane + 1])
                r, k = unsafe_trunc(Int, bench.rows[lane + 1]), unsafe_trunc(Int, bench.columns[lane + 1])
                part, value = bench.parts[lane + 1], vload(lanes, 8lane + 1)
                add_scaled!(sums, place_at(r, k, bin, bins), value, 1.0 - part)
                part == 0.0 || add_scaled!(sums, place_at(r + 1, k, bin, bins), value, part)
            end
            first += 8
        end
    end
    return nothing
end

"""
    place_sums(objects, kinds, edges, boxsize)

The sums of `place_sums_brute`, through columns.
"""
function place_sums(objects::PlaceObjects{Float64}, kinds, edges, boxsize)
    bins = length(edges) - 1
    total = zeros(place_length(kinds, bins))
    n = length(objects)
    if n > 1
        set = BoxObjects(objects.position, objects.axis .* sqrt.(objects.weight)', objects.part,
                         convert(Vector{Float64}, objects.kind), objects.host)
        sides = map(Float64, box_sides(boxsize))
        number, width, reach, origin = layout(set, set, edges[end], sides, true)
        a, columns = Columns(set, number, width, origin), prod(number)
        table = BinTable(edges)
        image = is_cube(sides) ? splat8(sides[1]) : map(splat8, sides)
        chunks = min(columns, place_chunks(n, kinds, bins))
        benches = [PlaceBench(kinds, bins) for _ in 1:chunks]
        done = Threads.Atomic{Int}(0)
        chunked(columns, chunks) do chunk, range
            bench, list = benches[chunk], Neighbor[]
            low, high = splat8(table.edges2[1]), splat8(table.edges2[end])
            find(n, ux, uy, uz, start, stop) =
                find_in_reach!(bench.found, n, a, ux, uy, uz, start, stop, low, high)
            add(i, n) = sum_places!(bench, table, a, i, n, image)
            for ca in range
                cancelled() && break
                slots = a.first[ca]:(a.first[ca + 1] - 1)
                if !isempty(slots)
                    neighbors!(list, a, a, ca, reach, edges[end], sides, true, true)
                    walk_column!(find, add, bench, list, edges[end]^2 * (1 + 1e-12), a, a, slots)
                end
                progress(Threads.atomic_add!(done, 1) + 1, columns)
            end
        end
        for bench in benches
            total .+= bench.sums
        end
    end
    sums = zeros(PLACE_MOMENTS, bins, kinds, kinds)
    for row in 1:kinds, bin in 1:bins, column in 1:min(row + 1, kinds)
        at = place_at(row, column, bin, bins)
        count, of_row, of_column, across = total[at], total[at + 1], total[at + 2], total[at + 3]
        sums[:, bin, column, row] .+= (count, of_row, across)
        sums[:, bin, row, column] .+= (count, of_column, across)
    end
    return sums
end
