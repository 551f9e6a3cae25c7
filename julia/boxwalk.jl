# From column to column: which meet, in which image, and the sums over all of them.

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

"Neighbors of column `ca`; of one set (`auto`), half of them."
function neighbors!(list, a, b, ca, reach, rmax, boxsize, auto, periodic)
    empty!(list)
    ix, iy = divrem(ca - 1, a.side)
    for jx in (auto ? 0 : -reach):reach, jy in (auto && jx == 0 ? 0 : -reach):reach
        gap = b.width * hypot(max(abs(jx) - 1, 0), max(abs(jy) - 1, 0))
        gap < rmax || continue
        high = sqrt(rmax^2 - gap^2) * (1 + 1e-12)
        kx, ky = ix + jx, iy + jy
        inside = 0 <= kx < b.side && 0 <= ky < b.side
        inside || periodic || continue
        wx, wy = fld(kx, b.side), fld(ky, b.side)
        cb = (kx - wx * b.side) * b.side + (ky - wy * b.side) + 1
        b.first[cb] == b.first[cb + 1] && continue
        own = auto && jx == 0 && jy == 0
        for wz in (periodic ? (-1:1) : (0:0))
            own && wz == -1 && continue
            push!(list, Neighbor(b.first[cb], b.first[cb + 1] - 1, b.origin[1] + b.width * kx,
                                  b.origin[2] + b.width * ky, (wx, wy, wz) .* boxsize, high,
                                  own && wz == 0))
        end
    end
    return list
end

"How far `c` is outside of [low, low + width]."
@inline outside(c, low, width) =
    ifelse(c < low, low - c, ifelse(c > low + width, c - low - width, 0.0))

"Every object of column `ca` with those of the neighbors."
function box_column!(bench, list, table, split, drawn, a, b, ca, image)
    slots = a.first[ca]:(a.first[ca + 1] - 1)
    rmax2 = table.edges2[end] * (1 + 1e-12)
    low, high = splat8(table.edges2[1]), splat8(table.edges2[end])
    found, lo, hi = bench.found, bench.lo, bench.hi
    resize!(lo, length(list))
    resize!(hi, length(list))
    for (k, near) in enumerate(list)
        lo[k] = hi[k] = near.first
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
            # The nearest point of the column's square: often beyond reach.
            gap2 = outside(a.x[i], near.west, b.width)^2 + outside(a.y[i], near.south, b.width)^2
            gap2 > rmax2 && continue
            ux, uy = a.x[i] - near.shift[1], a.y[i] - near.shift[2]
            while start < stop
                part = min(stop - start, GATHERED >> 1)
                if n + part > GATHERED
                    sum_found!(bench, table, split, drawn, a, b, i, n, image)
                    n = 0
                end
                n = find_in_reach!(found, n, b, ux, uy, uz, start, start + part - 1, low, high)
                start += part
            end
        end
        n > 0 && sum_found!(bench, table, split, drawn, a, b, i, n, image)
    end
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

"Sums of the columns `range` of the first set."
function column_sums(table, split, drawn, a, b, range, reach, rmax, boxsize, image, auto, done)
    bench, list = BoxBench(length(table.edges2) - 1), Neighbor[]
    sums = zeros(BOX_SUMS, length(table.edges2) - 1, 2)
    for ca in range
        cancelled() && break
        if a.first[ca] < a.first[ca + 1]
            neighbors!(list, a, b, ca, reach, rmax, boxsize, auto, image !== nothing)
            box_column!(bench, list, table, split, drawn, a, b, ca, image)
            collect_rows!(sums, bench)
        end
        progress(Threads.atomic_add!(done, 1) + 1, a.side^2)
    end
    return sums
end

"""
The sums of `box_sums_brute`, through columns; without `split` pairs of one host are not told
apart from others.
"""
function box_sums(first::BoxObjects{Float64}, second::BoxObjects{Float64}, edges, boxsize;
                  auto::Bool, periodic::Bool, split::Bool)
    total = zeros(BOX_SUMS, length(edges) - 1, 2)
    (length(first) == 0 || length(second) == 0) && return total
    side, width, reach, origin = layout(first, second, edges[end], boxsize, periodic)
    a = Columns(first, side, width, origin)
    b = auto ? a : Columns(second, side, width, origin)
    drawn = hasdrawn(first) && hasdrawn(second)
    table = BinTable(edges)
    image = periodic ? splat8(boxsize) : nothing
    parts = min(side^2, 256)
    partial = [zeros(0, 0, 0) for _ in 1:parts]
    done = Threads.Atomic{Int}(0)
    chunked(side^2, parts) do part, range
        partial[part] = column_sums(table, Val(split), Val(drawn), a, b, range, reach, edges[end],
                                    boxsize, image, auto, done)
    end
    for p in partial
        total .+= p
    end
    return total
end
