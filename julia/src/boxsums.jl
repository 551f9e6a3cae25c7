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
