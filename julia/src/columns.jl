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
            sort!(view(order, first[c]:(first[c + 1] - 1)), by = i -> (position[3, i], i))
        end
    end
    return order, first
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
