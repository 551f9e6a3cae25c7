# Pair sums in a box, periodic or not: counts, separations, and the alignment of axes with
# separations and with one another. `box_sums_brute` is the definition; `box_sums` is the fast
# twin: objects lie in square columns along z, sorted by z, so that the partners of an object in
# a column are one contiguous run, taken eight at a time.
#
# Of a pair with separation vector d from i to j, weight w = w_i w_j, and strengths a:
#   1, w, w |d|, w a_i ((e_i . d)^2/d^2 - 1/3), w a_j ((e_j . d)^2/d^2 - 1/3),
#   w a_i a_j ((e_i . e_j)^2 - 1/3)
# are added to the bin (lo, hi] that d^2 falls in, apart for objects of different (1) and of the
# same (2) host; where objects have second axes g, in the same pass also
#   w ((g_i . d)^2/d^2 - 1/3) + w ((g_j . d)^2/d^2 - 1/3), w ((g_i . g_j)^2 - 1/3).

const BOX_SUMS = 8

"""
One set of objects in the box: positions and unit axes (3, N), weights, strengths, hosts, and second
axes (3, N), or (3, 0) where there are none.
"""
struct BoxObjects{T}
    position::Matrix{T}
    axis::Matrix{T}
    weight::Vector{T}
    strength::Vector{T}
    host::Vector{Int64}
    drawn::Matrix{T}
end

BoxObjects(position::Matrix{T}, axis, weight, strength, host) where {T} =
    BoxObjects(position, axis, weight, strength, host, zeros(T, 3, 0))

hasdrawn(objects::BoxObjects) = size(objects.drawn, 2) == length(objects) > 0

Base.length(objects::BoxObjects) = length(objects.weight)

nearest_image(d, boxsize) = d - boxsize * round(d / boxsize)

"""
    box_sums_brute(first, second, edges, boxsize; auto, periodic)

Sums (8, nbins, 2) over all pairs of the first with the second set, or over each unordered pair
of one set (`auto`).
"""
function box_sums_brute(first::BoxObjects{T}, second::BoxObjects{T}, edges, boxsize;
                        auto::Bool, periodic::Bool) where {T}
    sums = zeros(T, BOX_SUMS, length(edges) - 1, 2)
    third = one(T) / 3
    for i in 1:length(first), j in (auto ? i + 1 : 1):length(second)
        d = second.position[:, j] - first.position[:, i]
        periodic && (d = nearest_image.(d, boxsize))
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

# ---- columns -------------------------------------------------------------------------------------

"""
Objects sorted by column, and by z within a column. Column (ix, iy), from 0, is number
`ix * side + iy + 1`. Coordinates are there twice: apart, longer by eight so that a full block may
be read from any slot, and in records of eight numbers (position, axis, weight, strength). Second
axes have records of their own, of which five numbers are idle; none where there are none.
"""
struct Columns
    side::Int
    width::Float64
    origin::NTuple{2,Float64}
    first::Vector{Int}
    x::Vector{Float64}
    y::Vector{Float64}
    z::Vector{Float64}
    records::Vector{Float64}
    drawn::Vector{Float64}
    host::Vector{Int64}
end

column_of(c::Float64, origin, width, side) = clamp(floor(Int, (c - origin) / width), 0, side - 1)

function Columns(objects::BoxObjects{Float64}, side::Int, width::Float64, origin)
    n = length(objects)
    position = objects.position
    column = Vector{Int}(undef, n)
    first = zeros(Int, side^2 + 1)
    for i in 1:n
        ix = column_of(position[1, i], origin[1], width, side)
        iy = column_of(position[2, i], origin[2], width, side)
        column[i] = ix * side + iy + 1
        first[column[i] + 1] += 1
    end
    first[1] = 1
    cumsum!(first, first)
    order, next = Vector{Int}(undef, n), copy(first)
    for i in 1:n
        order[next[column[i]]] = i
        next[column[i]] += 1
    end
    # At least a page: such arrays begin at a multiple of 64 bytes, and so does every record.
    records = zeros(8 * max(n, 64))
    drawn = zeros(hasdrawn(objects) ? 8 * max(n, 64) : 0)
    chunked(side^2, 64) do _, range
        for c in range
            slots = first[c]:(first[c + 1] - 1)
            sort!(view(order, slots), by = i -> (position[3, i], i))
            for s in slots
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
    end
    coordinate(k) = append!(position[k, order], zeros(8))
    return Columns(side, width, origin, first, coordinate(1), coordinate(2), coordinate(3), records,
                   drawn, objects.host[order])
end

# Columns in the reach of r_max: more of them fit the sphere better, and leave runs too short to
# pay for finding where they begin. Found by trial.
const RUN = 64
const MAX_REACH = 4

"Number, width and reach (in columns) of the columns, and their origin."
function layout(first, second, rmax, boxsize, periodic)
    if periodic
        origin, span = (0.0, 0.0), boxsize
        volume = boxsize^3
    else
        low = min.(minimum(first.position, dims = 2), minimum(second.position, dims = 2))
        high = max.(maximum(first.position, dims = 2), maximum(second.position, dims = 2))
        origin, span = (low[1], low[2]), max(high[1] - low[1], high[2] - low[2], rmax)
        volume = prod(max.(high - low, rmax / 8))
    end
    density = max(length(first), length(second)) / volume
    reach = clamp(round(Int, sqrt(density * rmax^3 / RUN)), 1, MAX_REACH)
    side = max(1, floor(Int, min(reach * span / rmax, 1024.0)))
    return side, span / side, min(reach, ceil(Int, rmax * side / span * (1 + 1e-12))), origin
end
