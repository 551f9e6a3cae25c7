# Pair sums in a box in bins of two coordinates about a line of sight, the z axis: (rp, |pi|), across
# and along it, or (s, |mu|), separation and cosine; counts, and how projected shapes point at
# positions and at one another. `sight_sums_brute` is the definition; `sight_sums` is the fast twin:
# objects lie in columns along the line of sight, sorted by it, so that the partners of an object in
# a column are one contiguous run, taken eight at a time, as in box.jl.
#
# A pair with separation (dx, dy, dz) from i to j, weight w = w_i w_j and shapes e in the plane of the
# sky has E = e exp(-2i phi), phi the direction of (dx, dy): the real part is positive where the shape
# points along the separation. The pair adds
#   1, w, w r, w Re E_i, w Im E_i, w Re E_i Re E_j, w Im E_i Im E_j,
#   w (Re E_i Im E_j + Im E_i Re E_j)/2
# to its bin, with r = rp or s; of one set E_i + E_j takes the place of E_i alone.
# Bins are (lo, hi] in both; the first of |pi| or |mu| that begins at 0 has 0 in it.

const SIGHT_SUMS = 8

"One set of objects: positions (3, N), projected shapes (2, N), and weights."
struct SightObjects{T}
    position::Matrix{T}
    shape::Matrix{T}
    weight::Vector{T}
end

Base.length(objects::SightObjects) = length(objects.weight)

"""
    sight_sums_brute(first, second, edges, inner, sides; cosine, auto, periodic)

Sums (8, bins of `edges`, bins of `inner`) over all pairs of the first with the second set, or over
each unordered pair of one set (`auto`). `edges` are of rp and `inner` of |pi|; with `cosine` of s and
|mu|. `sides` are those of the box.
"""
function sight_sums_brute(first::SightObjects{T}, second::SightObjects{T}, edges, inner, sides;
                          cosine::Bool, auto::Bool, periodic::Bool) where {T}
    sums = zeros(T, SIGHT_SUMS, length(edges) - 1, length(inner) - 1)
    for i in 1:length(first), j in (auto ? i + 1 : 1):length(second)
        d = second.position[:, j] - first.position[:, i]
        periodic && (d = nearest_image.(d, sides))
        across, along = d[1]^2 + d[2]^2, d[3]^2
        t = cosine ? across + along : across
        u = cosine ? along / t : along
        bin = searchsortedfirst(edges .^ 2, t) - 1
        1 <= bin < length(edges) || continue
        part = u == inner[1] == 0 ? 1 : searchsortedfirst(inner .^ 2, u) - 1
        1 <= part < length(inner) || continue
        turn = across == 0 ? zero(Complex{T}) : complex(d[1], -d[2])^2 / across
        E = complex(first.shape[1, i], first.shape[2, i]) * turn
        F = complex(second.shape[1, j], second.shape[2, j]) * turn
        w = first.weight[i] * second.weight[j]
        G = auto ? E + F : E
        sums[:, bin, part] .+= (1, w, w * sqrt(t), w * real(G), w * imag(G), w * real(E) * real(F),
                                w * imag(E) * imag(F), w * (real(E) * imag(F) + imag(E) * real(F)) / 2)
    end
    return sums
end

# ---- columns along the line of sight -------------------------------------------------------------

"""
Objects sorted by column, and by z within a column; `number` columns of `width` in x and y. Coordinates
are there twice: apart, longer by eight so that a full block may be read from any slot, and in records
of eight numbers (position, shape, weight, two idle ones).
"""
struct SightColumns
    number::NTuple{2,Int}
    width::NTuple{2,Float64}
    origin::NTuple{2,Float64}
    first::Vector{Int}
    x::Vector{Float64}
    y::Vector{Float64}
    z::Vector{Float64}
    records::Vector{Float64}
end

function SightColumns(objects::SightObjects{Float64}, number, width, origin)
    n, position = length(objects), objects.position
    order, first = by_column(position, number, width, origin)
    # At least a page: such arrays begin at a multiple of 64 bytes, and so does every record.
    records = zeros(8 * max(n, 64))
    chunked(n, 64) do _, range
        for s in range
            i = order[s]
            for k in 1:3
                records[8s - 8 + k] = position[k, i]
            end
            records[8s - 4], records[8s - 3] = objects.shape[1, i], objects.shape[2, i]
            records[8s - 2] = objects.weight[i]
        end
    end
    coordinate(k) = append!(position[k, order], zeros(8))
    return SightColumns(number, width, origin, first, coordinate(1), coordinate(2), coordinate(3), records)
end

"Number, width and reach (in columns) of the columns in x and y, and their origin."
function sight_layout(first, second, rmax, zmax, sides, periodic)
    if periodic
        origin, span, depth = (0.0, 0.0), (sides[1], sides[2]), sides[3]
    else
        low = min.(minimum(first.position, dims = 2), minimum(second.position, dims = 2))
        high = max.(maximum(first.position, dims = 2), maximum(second.position, dims = 2))
        origin = (low[1], low[2])
        span = (max(high[1] - low[1], rmax), max(high[2] - low[2], rmax))
        depth = max(high[3] - low[3], zmax / 8)
    end
    density = max(length(first), length(second)) / (span[1] * span[2] * depth)
    reach = clamp(round(Int, sqrt(density * rmax^2 * zmax / RUN)), 1, MAX_REACH)
    side = map(s -> max(1, floor(Int, min(reach * s / rmax, 1024.0))), span)
    width = span ./ side
    return side, width, map(w -> min(reach, ceil(Int, rmax / w * (1 + 1e-12))), width), origin
end

# ---- pairs in reach, eight at a time -------------------------------------------------------------

"The working memory of one chunk, and how many pairs its rows hold."
mutable struct SightBench
    rows::Vector{Float64}       # 8 x bins
    lanes::Vector{Float64}
    separations::Vector{Float64}
    inner::Vector{Float64}
    found::Vector{Int64}
    lo::Vector{Int}
    hi::Vector{Int}
    held::Int
end

SightBench(bins) = SightBench(zeros(8 * max(bins, 8)), zeros(512), zeros(512), zeros(512),
                              zeros(Int64, GATHERED + 8), Int[], Int[], 0)

"Slots `start:stop` in reach of a point, appended to `found` behind its first `n`; their new number."
@inline function find_about_sight!(found, n, b::SightColumns, ux, uy, uz, start, stop, low, high,
                                   ::Val{Cosine}) where {Cosine}
    x, y, z = splat8(ux), splat8(uy), splat8(uz)
    packed = pointer(PACKED)
    s = start
    while s <= stop
        dx, dy = vsub(vload(b.x, s), x), vsub(vload(b.y, s), y)
        t = vfma(dy, dy, vmul(dx, dx))
        if Cosine
            dz = vsub(vload(b.z, s), z)
            t = vfma(dz, dz, t)
        end
        mask = within8(t, low, high)
        left = stop - s
        mask &= 0xff >> ifelse(left < 7, 7 - left, 0)
        store_packed!(pointer(found, n + 1), packed + 8 * Int(mask), s)
        n += count_ones(mask)
        s += 8
    end
    return n
end

"Add the pairs of slot `i` of the first set with the `n` slots found in the second."
@noinline function sum_about_sight!(bench::SightBench, outer::BinTable, inner::BinTable, ::Val{Cosine},
                                    ::Val{Auto}, a::SightColumns, b::SightColumns, i::Int, n::Int,
                                    image) where {Cosine,Auto}
    rows, lanes, found = bench.rows, bench.lanes, bench.found
    nouter, at = length(outer.edges2) - 1, 8i - 7
    top, bottom = inner.edges2[end], inner.edges2[1]
    bench.held += n
    @inbounds begin
        x, y, z = splat8(a.records[at]), splat8(a.records[at + 1]), splat8(a.records[at + 2])
        e1, e2, weight = splat8(a.records[at + 3]), splat8(a.records[at + 4]), splat8(a.records[at + 5])
        one8, half, high = splat8(1.0), splat8(0.5), splat8(outer.edges2[end])
        for k in (n + 1):(n + 8)
            found[k] = found[1]         # fills the last block; not added
        end
        first = 1
        while first <= n
            jx, jy, jz, f1, f2, w2, _, _ = gather8(b.records, found, first)
            dx, dy, dz = vsub(jx, x), vsub(jy, y), vsub(jz, z)
            if image !== nothing
                dx = nearest_image8(dx, image[1], vdiv(one8, image[1]))
                dy = nearest_image8(dy, image[2], vdiv(one8, image[2]))
                dz = nearest_image8(dz, image[3], vdiv(one8, image[3]))
            end
            across, along = vfma(dy, dy, vmul(dx, dx)), vmul(dz, dz)
            # Along the line of sight there is no direction: dx = dy = 0 make cos and sin 0.
            inverse = rsqrt8(vadd(across, splat8(1e-300)))
            c, s = vmul(dx, inverse), vmul(dy, inverse)
            cos2, sin2 = vfnma(s, s, vmul(c, c)), vmul(vadd(c, c), s)
            p, q = vfma(e2, sin2, vmul(e1, cos2)), vfnma(e1, sin2, vmul(e2, cos2))
            u, v = vfma(f2, sin2, vmul(f1, cos2)), vfnma(f1, sin2, vmul(f2, cos2))
            w = vmul(weight, w2)
            # Rounded otherwise than when it was found, a pair at the outer edge stays inside.
            t = vleast(Cosine ? vadd(across, along) : across, high)
            length8 = rsqrt8(t)
            # Divided, not by the reciprocal root: cosines at an edge stay there.
            second = Cosine ? vleast(vdiv(along, t), one8) : along
            plus, cross = Auto ? (vadd(p, u), vadd(q, v)) : (p, q)
            square = transpose8(one8, w, vmul(w, vmul(t, length8)), vmul(w, plus), vmul(w, cross),
                                vmul(w, vmul(p, u)), vmul(w, vmul(q, v)),
                                vmul(vmul(w, half), vfma(q, u, vmul(p, v))))
            for k in 1:8
                unsafe_store!(Ptr{Vec}(pointer(lanes, 8k - 7)), square[k])
            end
            unsafe_store!(Ptr{Vec}(pointer(bench.separations)), t)
            unsafe_store!(Ptr{Vec}(pointer(bench.inner)), second)
            for lane in 0:min(7, n - first)
                h = bench.inner[lane + 1]
                (h <= top && (h > bottom || bottom == 0)) || continue
                bin = find_bin(outer, bench.separations[lane + 1]) + nouter * (find_bin(inner, h) - 1)
                add_at!(rows, 8 * (bin - 1) + 1, vload(lanes, 8lane + 1))
            end
            first += 8
        end
    end
    return nothing
end

# ---- from column to column -----------------------------------------------------------------------

"Every object of column `ca` with those of the neighbors."
function sight_column!(bench, list, outer, inner, cosine, auto, a, b, ca, image)
    low, high = splat8(outer.edges2[1]), splat8(outer.edges2[end])
    find(n, ux, uy, uz, start, stop) =
        find_about_sight!(bench.found, n, b, ux, uy, uz, start, stop, low, high, cosine)
    add(i, n) = sum_about_sight!(bench, outer, inner, cosine, auto, a, b, i, n, image)
    slots = a.first[ca]:(a.first[ca + 1] - 1)
    walk_column!(find, add, bench, list, outer.edges2[end] * (1 + 1e-12), a, b, slots)
end

# Pairs a bin, on average, after which rows are added to the sums: so rounding stays small, at a cost
# that does not count.
const HELD = 64

"Add the rows of a bench to the sums of its chunk."
function collect_held!(sums, bench)
    for k in eachindex(sums)
        @inbounds sums[k] += bench.rows[k]
    end
    fill!(bench.rows, 0.0)
    bench.held = 0
end

"Sums of the columns `range` of the first set."
function sight_columns_sums(outer, inner, cosine, auto::Val{Auto}, a, b, range, reach, rmax, zmax, sides,
                            image, done) where {Auto}
    bins = (length(outer.edges2) - 1) * (length(inner.edges2) - 1)
    bench, list, sums = SightBench(bins), Neighbor[], zeros(SIGHT_SUMS * bins)
    for ca in range
        cancelled() && break
        if a.first[ca] < a.first[ca + 1]
            neighbors!(list, a, b, ca, reach, rmax, sides, Auto, image !== nothing; zmax = zmax)
            sight_column!(bench, list, outer, inner, cosine, auto, a, b, ca, image)
            bench.held > HELD * bins && collect_held!(sums, bench)
        end
        progress(Threads.atomic_add!(done, 1) + 1, prod(a.number))
    end
    collect_held!(sums, bench)
    return sums
end

"The sums of `sight_sums_brute`, through columns along the line of sight."
function sight_sums(first::SightObjects{Float64}, second::SightObjects{Float64}, edges, inner, sides;
                    cosine::Bool, auto::Bool, periodic::Bool)
    shape = (SIGHT_SUMS, length(edges) - 1, length(inner) - 1)
    (length(first) == 0 || length(second) == 0) && return zeros(shape)
    rmax, zmax = edges[end], cosine ? nothing : inner[end]
    side, width, reach, origin = sight_layout(first, second, rmax, something(zmax, rmax), sides, periodic)
    a = SightColumns(first, side, width, origin)
    b = auto ? a : SightColumns(second, side, width, origin)
    outer, along = BinTable(edges), BinTable(inner)
    image = periodic ? map(splat8, (sides[1], sides[2], sides[3])) : nothing
    # Sums of many bins are large: of fewer chunks then.
    parts = min(prod(side), clamp(2^18 ÷ prod(shape[2:3]), 16, 256))
    partial = [zeros(0) for _ in 1:parts]
    done = Threads.Atomic{Int}(0)
    chunked(prod(side), parts) do part, range
        partial[part] = sight_columns_sums(outer, along, Val(cosine), Val(auto), a, b, range, reach, rmax,
                                           zmax, (sides[1], sides[2], sides[3]), image, done)
    end
    total = zeros(prod(shape))
    for p in partial
        total .+= p
    end
    return reshape(total, shape)
end
