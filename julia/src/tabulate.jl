# Moments of halo pairs between nodes of mass, in fine steps of separation: what the means of an HOD
# need of the halos (Zheng & Guo 2016). `hat_sums_brute` is the definition, `hat_sums` the fast twin:
# one pass over the columns of box.jl.
#
# An object between the nodes k and k + 1 belongs to them by the parts 1 - t and t: hat functions of
# log mass. An ordered pair with separation vector d and axes a of the first and b of the second adds
#   1, (a . d)^2/d^2 - 1/3, (a . b)^2 - 1/3,
# times the product of parts, to the step (lo, hi] of |d|, for every node of the first and of the second.

const HAT_MOMENTS = 3
# What the sums of all chunks may take.
const HAT_BYTES = 2^29

"""
Halos in a periodic box: positions and unit axes (3, N), the node below each, and the part that
belongs to the node above.
"""
struct HatObjects{T}
    position::Matrix{T}
    axis::Matrix{T}
    node::Vector{Int64}
    part::Vector{T}
end

Base.length(objects::HatObjects) = length(objects.node)

"""
    hat_sums_brute(objects, nodes, edges, boxsize)

Sums (3, steps, nodes of the second, nodes of the first) over all ordered pairs of different objects.
`boxsize` is the side of a cube, or three sides.
"""
function hat_sums_brute(objects::HatObjects{T}, nodes, edges, boxsize) where {T}
    sums = zeros(T, HAT_MOMENTS, length(edges) - 1, nodes, nodes)
    third, sides = one(T) / 3, collect(box_sides(boxsize))
    for i in 1:length(objects), j in 1:length(objects)
        i == j && continue
        d = nearest_image.(objects.position[:, j] - objects.position[:, i], sides)
        dd = sum(abs2, d)
        step = searchsortedfirst(edges .^ 2, dd) - 1
        (1 <= step < length(edges)) || continue
        a, b = objects.axis[:, i], objects.axis[:, j]
        for (k, p) in ((0, 1 - objects.part[i]), (1, objects.part[i])),
            (l, q) in ((0, 1 - objects.part[j]), (1, objects.part[j]))

            sums[:, step, objects.node[j] + l, objects.node[i] + k] .+=
                p * q .* (1, sum(a .* d)^2 / dd - third, sum(a .* b)^2 - third)
        end
    end
    return sums
end

# ---- packed sums ---------------------------------------------------------------------------------

# Each unordered pair is added once, in the row of the node of the heavier object: a row k has the
# columns 1 to k + 1, and in each step four numbers a column, so that two neighboring columns are one
# block of eight.
const HAT_NUMBERS = 4       # count, the axis of the row's object, that of the column's, both axes

hat_offset(row, steps) = HAT_NUMBERS * steps * (div((row - 1) * row, 2) + row - 1)
hat_length(nodes, steps) = hat_offset(nodes + 1, steps)
@inline hat_place(row, column, step, steps) =
    hat_offset(row, steps) + HAT_NUMBERS * ((row + 1) * (step - 1) + column - 1) + 1

"Chunks that the sums are apart for, as many as memory allows; the number of threads plays no role."
hat_chunks(n, nodes, steps) =
    clamp(min(div(HAT_BYTES, 8 * hat_length(nodes, steps)), cld(n, 4000)), 1, 64)

"a > b ? x : y."
@inline vifgreater(a::Vec, b::Vec, x::Vec, y::Vec) = Base.llvmcall("""
    %5 = fcmp ogt <8 x double> %0, %1
    %6 = select <8 x i1> %5, <8 x double> %2, <8 x double> %3
    ret <8 x double> %6""", Vec, NTuple{4,Vec}, a, b, x, y)

@inline function add_scaled!(sums::Vector{Float64}, at::Int, value::Vec, factor::Float64)
    place = Ptr{Vec}(pointer(sums, at))
    unsafe_store!(place, vfma(value, splat8(factor), unsafe_load(place)))
    return nothing
end

"The sums of one chunk, and its working memory."
struct HatBench
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

HatBench(nodes, steps) = HatBench(zeros(hat_length(nodes, steps)), zeros(512), zeros(512), zeros(512),
                                  zeros(512), zeros(512), zeros(Int64, GATHERED + 8), Int[], Int[])

# Called by `box_column!`. The records have the part in the place of the weight, and the node in that
# of the strength.
@noinline function sum_found!(bench::HatBench, table::BinTable, split, drawn, regional, a::Columns,
                              b::Columns, i::Int, n::Int, sides::Sides)
    sums, lanes, squares, found = bench.sums, bench.lanes, bench.squares, bench.found
    steps = length(table.edges2) - 1
    at = 8i - 7
    @inbounds begin
        x, y, z = splat8(a.records[at]), splat8(a.records[at + 1]), splat8(a.records[at + 2])
        ex, ey, ez = splat8(a.records[at + 3]), splat8(a.records[at + 4]), splat8(a.records[at + 5])
        part1, node1 = splat8(a.records[at + 6]), splat8(a.records[at + 7])
        one8, third = splat8(1.0), splat8(1 / 3)
        high = splat8(table.edges2[end])
        inverse_sides = inverses(sides)
        for k in (n + 1):(n + 8)
            found[k] = found[1]         # fills the last block; not added
        end
        first = 1
        while first <= n
            jx, jy, jz, fx, fy, fz, part2, node2 = gather8(b.records, found, first)
            dx = nearest_image8(vsub(jx, x), along_axis(sides, 1), along_axis(inverse_sides, 1))
            dy = nearest_image8(vsub(jy, y), along_axis(sides, 2), along_axis(inverse_sides, 2))
            dz = nearest_image8(vsub(jz, z), along_axis(sides, 3), along_axis(inverse_sides, 3))
            t = vleast(dot8(dx, dy, dz, dx, dy, dz), high)
            inverse = rsqrt8(t)
            p = vmul(dot8(ex, ey, ez, dx, dy, dz), inverse)
            q = vmul(dot8(fx, fy, fz, dx, dy, dz), inverse)
            c = dot8(ex, ey, ez, fx, fy, fz)
            along1, along2 = vsub(vmul(p, p), third), vsub(vmul(q, q), third)
            across = vsub(vmul(c, c), third)
            row, column = vifgreater(node2, node1, node2, node1), vifgreater(node2, node1, node1, node2)
            of_row = vifgreater(node2, node1, along2, along1)
            of_column = vifgreater(node2, node1, along1, along2)
            above = vifgreater(node2, node1, part1, part2)      # of the column's object
            below = vsub(one8, above)
            square = transpose8(below, vmul(below, of_row), vmul(below, of_column), vmul(below, across),
                                above, vmul(above, of_row), vmul(above, of_column), vmul(above, across))
            for k in 1:8
                unsafe_store!(Ptr{Vec}(pointer(lanes, 8k - 7)), square[k])
            end
            unsafe_store!(Ptr{Vec}(pointer(squares)), t)
            unsafe_store!(Ptr{Vec}(pointer(bench.rows)), row)
            unsafe_store!(Ptr{Vec}(pointer(bench.columns)), column)
            unsafe_store!(Ptr{Vec}(pointer(bench.parts)), vifgreater(node2, node1, part2, part1))
            for lane in 0:min(7, n - first)
                step = find_bin(table, squares[lane + 1])
                r, k = unsafe_trunc(Int, bench.rows[lane + 1]), unsafe_trunc(Int, bench.columns[lane + 1])
                part, value = bench.parts[lane + 1], vload(lanes, 8lane + 1)
                add_scaled!(sums, hat_place(r, k, step, steps), value, 1.0 - part)
                add_scaled!(sums, hat_place(r + 1, k, step, steps), value, part)
            end
            first += 8
        end
    end
    return nothing
end

"A table of bins for steps of a percent: with more leading bits few entries hold an edge."
function fine_table(edges; bits = 9)
    edges2, shift = edges .^ 2, 52 - bits
    base = leading(edges2[2], shift) - 1
    start = map(base:leading(edges2[end], shift)) do key
        clamp(searchsortedfirst(edges2, reinterpret(Float64, key << shift)) - 1, 1, length(edges) - 1)
    end
    return BinTable(edges2, shift, base, start)
end

"""
    hat_sums(objects, nodes, edges, boxsize)

The sums of `hat_sums_brute`, through columns.
"""
function hat_sums(objects::HatObjects{Float64}, nodes, edges, boxsize)
    steps = length(edges) - 1
    total = zeros(hat_length(nodes, steps))
    n = length(objects)
    if n > 1
        set = BoxObjects(objects.position, objects.axis, objects.part,
                         convert(Vector{Float64}, objects.node), zeros(Int64, n))
        sides = map(Float64, box_sides(boxsize))
        number, width, reach, origin = layout(set, set, edges[end], sides, true)
        a, columns = Columns(set, number, width, origin), prod(number)
        table = fine_table(edges)
        image = is_cube(sides) ? splat8(sides[1]) : map(splat8, sides)
        chunks = min(columns, hat_chunks(n, nodes, steps))
        benches = [HatBench(nodes, steps) for _ in 1:chunks]
        done = Threads.Atomic{Int}(0)
        chunked(columns, chunks) do chunk, range
            bench, list = benches[chunk], Neighbor[]
            for ca in range
                cancelled() && break
                slots = a.first[ca]:(a.first[ca + 1] - 1)
                if !isempty(slots)
                    neighbors!(list, a, a, ca, reach, edges[end], sides, true, true)
                    box_column!(bench, list, table, Val(false), Val(false), Val(false), a, a, slots,
                                image)
                end
                progress(Threads.atomic_add!(done, 1) + 1, columns)
            end
        end
        for bench in benches
            total .+= bench.sums
        end
    end
    return unpacked(total, nodes, steps)
end

"Sums over ordered pairs, (3, steps, nodes, nodes), from the packed ones."
function unpacked(packed, nodes, steps)
    sums = zeros(HAT_MOMENTS, steps, nodes, nodes)
    for row in 1:nodes, step in 1:steps, column in 1:min(row + 1, nodes)
        at = hat_place(row, column, step, steps)
        count, of_row, of_column, both = packed[at], packed[at + 1], packed[at + 2], packed[at + 3]
        sums[1, step, column, row] += count
        sums[2, step, column, row] += of_row
        sums[3, step, column, row] += both
        sums[1, step, row, column] += count
        sums[2, step, row, column] += of_column
        sums[3, step, row, column] += both
    end
    return sums
end
