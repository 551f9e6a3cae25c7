# Moments of halo pairs between nodes of mass, in fine steps of separation: what the means of an HOD
# need of the halos (Zheng & Guo 2016). `hat_sums_brute` is the definition, `hat_sums` the fast twin,
# and so they are about a line of sight in tabulate_sight.jl.
#
# An object between the nodes k and k + 1 belongs to them by the parts 1 - t and t: hat functions of
# log mass. An ordered pair with separation vector d and axes a of the first and b of the second adds
#   1, (a . d)^2/d^2 - 1/3, (a . b)^2 - 1/3,
# times the product of parts, to the step (lo, hi] of |d|, for every node of the first and of the second.

const HAT_MOMENTS = 3

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

# ---- node by node --------------------------------------------------------------------------------

# Sums of all nodes are some hundred megabytes, and to add a pair would wait for memory. So first
# objects are taken in the order of their nodes: those between two nodes, a part at a time, add to
# sums of their own, of which what most pairs are added to stays in the cache:
#   (rows, nodes of the second, 8), eight numbers for the node below the first and four for that above,
# each count, axis of the first, of the second, and both. A row is a step of the separation. The two
# nodes of a second object are sixteen numbers in a row.
const HAT_NUMBERS = 8
# What the sums of all parts at work may take, and the most parts.
const HAT_BYTES = 2^28
const HAT_PARTS = 32

@inline hat_place(row, column, nodes) = HAT_NUMBERS * ((row - 1) * nodes + column - 1) + 1

"Parts at work at once; the number of threads plays no role."
hat_parts(nodes, rows) = clamp(div(HAT_BYTES, 8 * HAT_NUMBERS * nodes * rows), 1, HAT_PARTS)

"The sums of one part, and its working memory."
struct HatBench
    sums::Vector{Float64}
    lanes::Vector{Float64}
    squares::Vector{Float64}
    heights::Vector{Float64}
    columns::Vector{Float64}
    parts::Vector{Float64}
    found::Vector{Int64}
    lo::Vector{Int}
    hi::Vector{Int}
    list::Vector{Neighbor}
end

# At least a page: such arrays begin at a multiple of 64 bytes.
HatBench(nodes, rows) =
    HatBench(zeros(max(HAT_NUMBERS * nodes * rows, 512)), zeros(512), zeros(512), zeros(512), zeros(512),
             zeros(512), zeros(Int64, GATHERED + 8), Int[], Int[], Neighbor[])

@inline function add_scaled!(sums::Vector{Float64}, at::Int, value::Vec, factor::Float64)
    place = Ptr{Vec}(pointer(sums, at))
    unsafe_store!(place, vfma(value, splat8(factor), unsafe_load(place)))
    return nothing
end

"Add a pair to a row: a second object by parts `1 - part` and `part`, times a factor."
@inline function add_hats!(sums, row, column, nodes, value, part, factor)
    at = hat_place(row, column, nodes)
    upper = factor * part
    add_scaled!(sums, at, value, factor - upper)
    add_scaled!(sums, at + HAT_NUMBERS, value, upper)
end

"A table of bins for steps of a percent: with more leading bits few entries hold an edge."
fine_table(edges) = BinTable(edges; bits = 9)

"Steps of the distance in a sphere: what `hat_walk` needs to know of the pairs to sum."
struct HatSphere{S}
    table::BinTable
    sides::S            # eight times each, as `Sides`
end

hat_rows(pairs::HatSphere) = length(pairs.table.edges2) - 1
hat_reach2(pairs::HatSphere) = pairs.table.edges2[end]
hat_depth(::HatSphere) = nothing

function hat_find!(pairs::HatSphere, bench, n, a, ux, uy, uz, start, stop)
    low, high = splat8(pairs.table.edges2[1]), splat8(pairs.table.edges2[end])
    return find_in_reach!(bench.found, n, a, ux, uy, uz, start, stop, low, high)
end

# The records have the part in the place of the weight, and the node in that of the strength.
@noinline function hat_add!(pairs::HatSphere, bench::HatBench, nodes::Int, a::Columns, i::Int, n::Int)
    sums, lanes, squares, found = bench.sums, bench.lanes, bench.squares, bench.found
    table, sides = pairs.table, pairs.sides
    at = 8i - 7
    @inbounds begin
        x, y, z = splat8(a.records[at]), splat8(a.records[at + 1]), splat8(a.records[at + 2])
        ex, ey, ez = splat8(a.records[at + 3]), splat8(a.records[at + 4]), splat8(a.records[at + 5])
        above, below = splat8(a.records[at + 6]), splat8(1 - a.records[at + 6])
        third, high = splat8(1 / 3), splat8(table.edges2[end])
        inverse_sides = inverses(sides)
        for k in (n + 1):(n + 8)
            found[k] = found[1]         # fills the last block; not added
        end
        first = 1
        while first <= n
            jx, jy, jz, fx, fy, fz, part2, node2 = gather8(a.records, found, first)
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
            square = transpose8(below, vmul(below, along1), vmul(below, along2), vmul(below, across),
                                above, vmul(above, along1), vmul(above, along2), vmul(above, across))
            for k in 1:8
                unsafe_store!(Ptr{Vec}(pointer(lanes, 8k - 7)), square[k])
            end
            unsafe_store!(Ptr{Vec}(pointer(squares)), t)
            unsafe_store!(Ptr{Vec}(pointer(bench.columns)), node2)
            unsafe_store!(Ptr{Vec}(pointer(bench.parts)), part2)
            for lane in 1:min(8, n - first + 1)
                step = find_bin(table, squares[lane])
                column = unsafe_trunc(Int, bench.columns[lane])
                add_hats!(sums, step, column, nodes, vload(lanes, 8lane - 7), bench.parts[lane], 1.0)
            end
            first += 8
        end
    end
    return nothing
end

"Columns, and the slots of their objects in the order of nodes; where those of each node begin."
struct HatColumns
    columns::Columns
    reach::NTuple{2,Int}
    slots::Vector{Int}
    first::Vector{Int}
end

function HatColumns(objects::HatObjects, nodes, (number, width, reach, origin))
    n = length(objects)
    set = BoxObjects(objects.position, objects.axis, objects.part,
                     convert(Vector{Float64}, objects.node), zeros(Int64, n))
    columns = Columns(set, number, width, origin)
    node = [unsafe_trunc(Int, columns.records[8s]) for s in 1:n]
    first = cumsum([1; [count(==(k), node) for k in 1:nodes]])
    return HatColumns(columns, reach, sortperm(node; alg = MergeSort), first)
end

"Pairs of the first objects `slots`, in ascending order and with one node below, with all others."
function hat_part!(pairs, bench, nodes, set::HatColumns, slots, sides)
    a, list, rmax = set.columns, bench.list, sqrt(hat_reach2(pairs))
    find(n, ux, uy, uz, start, stop) = hat_find!(pairs, bench, n, a, ux, uy, uz, start, stop)
    add(i, n) = hat_add!(pairs, bench, nodes, a, i, n)
    first = 1
    while first <= length(slots) && !cancelled()
        ca = searchsortedlast(a.first, slots[first])
        last = first
        while last < length(slots) && slots[last + 1] < a.first[ca + 1]
            last += 1
        end
        neighbors!(list, a, a, ca, set.reach, rmax, sides, true, true; zmax = hat_depth(pairs))
        walk_column!(find, add, bench, list, hat_reach2(pairs) * (1 + 1e-12), a, a,
                     view(slots, first:last))
        first = last + 1
    end
end

"""
    hat_walk(pairs, set, nodes, sides)

Sums (3, rows, nodes of the second, nodes of the first) over ordered pairs. The bits do not depend on the
number of threads: parts and the order in which they are added up do not.
"""
function hat_walk(pairs, set::HatColumns, nodes, sides)
    rows, n = hat_rows(pairs), length(set.slots)
    sums = zeros(HAT_MOMENTS, rows, nodes, nodes)
    size = max(cld(n, 64), 500)
    parts = [(node, range) for node in 1:nodes
             for range in Iterators.partition(set.first[node]:(set.first[node + 1] - 1), size)]
    benches = [HatBench(nodes, rows) for _ in 1:min(hat_parts(nodes, rows), length(parts))]
    done = Threads.Atomic{Int}(0)
    for wave in Iterators.partition(1:length(parts), length(benches))
        chunked(length(wave), length(wave)) do k, _
            node, range = parts[wave[k]]
            hat_part!(pairs, benches[k], nodes, set, view(set.slots, range), sides)
            progress(Threads.atomic_add!(done, length(range)) + length(range), n)
        end
        # Parts of one node first, so that each is spread over the sums once.
        k = 1
        while k <= length(wave)
            node, total = parts[wave[k]][1], benches[k].sums
            while k < length(wave) && parts[wave[k + 1]][1] == node
                k += 1
                total .+= benches[k].sums
                fill!(benches[k].sums, 0.0)
            end
            spread_hats!(sums, total, node, nodes, rows)
            fill!(total, 0.0)
            k += 1
        end
    end
    return sums
end

"Add sums of first objects between a node and the next to those over both orders of a pair."
function spread_hats!(sums, part, node, nodes, rows)
    @inbounds for k in 0:min(1, nodes - node), column in 1:nodes, row in 1:rows
        at = hat_place(row, column, nodes) + 4k
        count = part[at]
        count == 0 && continue
        first, second, both = part[at + 1], part[at + 2], part[at + 3]
        sums[1, row, column, node + k] += count
        sums[2, row, column, node + k] += first
        sums[3, row, column, node + k] += both
        sums[1, row, node + k, column] += count
        sums[2, row, node + k, column] += second
        sums[3, row, node + k, column] += both
    end
end

"""
    hat_sums(objects, nodes, edges, boxsize)

The sums of `hat_sums_brute`, through columns.
"""
function hat_sums(objects::HatObjects{Float64}, nodes, edges, boxsize)
    length(objects) > 1 || return zeros(HAT_MOMENTS, length(edges) - 1, nodes, nodes)
    sides = map(Float64, box_sides(boxsize))
    set = HatColumns(objects, nodes, layout(objects, objects, edges[end], sides, true))
    image = is_cube(sides) ? splat8(sides[1]) : map(splat8, sides)
    return hat_walk(HatSphere(fine_table(edges), image), set, nodes, sides)
end
