# The pair sums of boxsums.jl through blocks of eight objects, and the correlations for users.

"The working memory of one chunk."
struct BoxBench
    rows::Vector{Float64}       # 8 lanes x sums x nbins x 2 x regions
    pairs::Vector{Int}          # nbins x 2 x regions
    squares::Vector{Float64}
    own::Vector{Float64}        # a block
    near::Vector{Int}
    found::Vector{Int}
    close::Vector{Int}
    lo::Vector{Int}
    hi::Vector{Int}
    touched::Vector{Bool}       # regions in which partners were found
end

# Sums of a pair besides its count: w, w |d|, those of the three angles, and the two of second axes.
angles_of(::Val{Drawn}) where {Drawn} = Drawn ? 7 : 5

# At least a page: such arrays begin at a multiple of 64 bytes.
function BoxBench(nbins, regions, drawn)
    rows = 2nbins * max(regions, 1)
    return BoxBench(zeros(max(8 * angles_of(drawn) * rows, 512)), zeros(Int, rows), zeros(512), zeros(512),
                    zeros(Int, LISTED + 8), zeros(Int, LISTED + 8),
                    zeros(Int, LISTED + 8), Int[], Int[], zeros(Bool, regions))
end

# The outermost bins, of which most pairs are, are summed in registers, so many at a time.
const AT_ONCE = 3

"""
How often so many of the outermost bins are summed in registers: while they hold, of objects spread evenly,
half of the pairs that are left.
"""
function rounds(edges)
    n, top = 0, length(edges)
    while n < 2 && top > 1 && 2 * edges[max(top - AT_ONCE, 1)]^3 <= edges[top]^3
        n, top = n + 1, top - AT_ONCE
    end
    return n
end

"Squared separations of an object and those of a block, and the summands."
@inline function eight_in_box(i::Int, at::Int, ::Val{Drawn}) where {Drawn}
    dx, dy, dz = vsub(of_block(at, X), of_object(i, X)), vsub(of_block(at, Y), of_object(i, Y)),
                 vsub(of_block(at, Z), of_object(i, Z))
    ex, ey, ez = of_object(i, EX), of_object(i, EY), of_object(i, EZ)
    fx, fy, fz = of_block(at, EX), of_block(at, EY), of_block(at, EZ)
    third = splat8(1 / 3)
    t = dot8(dx, dy, dz, dx, dy, dz)
    inverse = rsqrt8(t)
    p = vmul(dot8(ex, ey, ez, dx, dy, dz), inverse)
    q = vmul(dot8(fx, fy, fz, dx, dy, dz), inverse)
    c = dot8(ex, ey, ez, fx, fy, fz)
    w, b = vmul(of_block(at, WEIGHT), of_object(i, WEIGHT)), of_block(at, STRENGTH)
    wa = vmul(w, of_object(i, STRENGTH))
    values = (w, vmul(w, vmul(t, inverse)), vmul(wa, vsub(vmul(p, p), third)),
              vmul(vmul(w, b), vsub(vmul(q, q), third)), vmul(vmul(wa, b), vsub(vmul(c, c), third)))
    Drawn || return t, values
    gx, gy, gz = of_object(i, GX), of_object(i, GY), of_object(i, GZ)
    hx, hy, hz = of_block(at, GX), of_block(at, GY), of_block(at, GZ)
    u = vmul(dot8(gx, gy, gz, dx, dy, dz), inverse)
    v = vmul(dot8(hx, hy, hz, dx, dy, dz), inverse)
    s = dot8(gx, gy, gz, hx, hy, hz)
    return t, (values..., vmul(w, vsub(vfma(u, u, vmul(v, v)), splat8(2 / 3))),
               vmul(w, vsub(vmul(s, s), third)))
end

"Add the lanes `bits` of sums to a row."
@inline function add_row!(bench, row, values::NTuple{M,Vec}, bits, pairs) where {M}
    at = 8M * (row - 1) + 1
    for k in 1:M
        p = Ptr{Vec}(pointer(bench.rows, at + 8k - 8))
        unsafe_store!(p, vaddif(unsafe_load(p), values[k], bits))
    end
    @inbounds bench.pairs[row] += pairs
    return nothing
end

"Add the lanes `bits` of a block bin by bin, hosts and regions apart."
@inline function scatter_block!(bench, table, at, t, values, bits, same, ::Val{Regional}) where {Regional}
    nbins = length(table.edges2) - 1
    unsafe_store!(Ptr{Vec}(pointer(bench.squares)), t)
    @inbounds while bits != 0x00
        lane = trailing_zeros(bits)
        bin = find_bin(table, bench.squares[lane + 1])
        here = bits & within8(t, splat8(table.edges2[bin]), splat8(table.edges2[bin + 1]))
        twin = (same >> lane) & 0x01 == 0x01
        here &= twin ? same : ~same
        row = twin ? bin + nbins : bin
        if Regional
            regions = whole_of_block(at, REGION)
            region = unsafe_load(Ptr{Int64}(at + 64 * (REGION - 1)), lane + 1)
            here &= vequal(regions, splat8(region))
            bench.touched[region] = true
            row += 2nbins * (region - 1)
        end
        add_row!(bench, row, values, here, count_ones(here))
        bits &= ~here
    end
    return nothing
end

# Lists of what has pairs in the outermost bins alone, and of all else.
struct Far end
struct Close end

"""
Add the pairs of the first `n` objects, each with a block, that are listed in `found`, in the `AT_ONCE` bins
up to `top`; the number of those that have pairs in lower ones, which then come first in the list.
"""
@noinline function sum_blocks!(bench::BoxBench, table::BinTable, ::Val{Split}, drawn::Val{Drawn}, which, top,
                               found, n::Int) where {Split,Drawn}
    edges2, nbins, here, left = table.edges2, length(table.edges2) - 1, Int(pointer(bench.own)), 0
    @inbounds begin
        low, outside = splat8(edges2[1]), splat8(OUTSIDE)
        cuts = ntuple(k -> splat8(edges2[max(top + 2 - k, 1)]), Val(AT_ONCE + 1))
        sums = ntuple(_ -> ntuple(_ -> splat8(0.0), Val(Drawn ? 7 : 5)), Val(AT_ONCE))
        pairs = ntuple(_ -> 0, Val(AT_ONCE))
        for k in 1:n
            entry = found[k]
            at, t, values = listed_pairs(here, entry, drawn, which)
            if Split
                same = same_host(here, entry, at) & within8(t, cuts[AT_ONCE + 1], cuts[1])
                if same != 0x00
                    scatter_block!(bench, table, at, t, values, same, same, Val(false))
                    t = vput(t, outside, same)
                end
            end
            sums, pairs = outermost(sums, pairs, values, t, cuts)
            if which isa Close
                found[left + 1] = entry
                left += within8(t, low, cuts[AT_ONCE + 1]) != 0x00
            end
        end
        for k in 1:min(AT_ONCE, top)
            add_row!(bench, top + 1 - k, sums[k], 0xff, pairs[k])
        end
    end
    return left
end

"Add the pairs of the same up to the bin `top`, one bin of a block after the other."
@noinline function scatter_blocks!(bench::BoxBench, table::BinTable, ::Val{Split}, drawn, regional, top,
                                   found, n::Int) where {Split}
    here = Int(pointer(bench.own))
    low, high = splat8(table.edges2[1]), splat8(table.edges2[top + 1])
    @inbounds for k in 1:n
        at, t, values = listed_pairs(here, found[k], drawn, Close())
        same = Split ? same_host(here, found[k], at) : 0x00
        bits = within8(t, low, high)
        bits != 0x00 && scatter_block!(bench, table, at, t, values, bits, same, regional)
    end
    return nothing
end

"Address of the block of an entry of a list, its squared separations and summands."
@inline function listed_pairs(here, entry, drawn, which)
    lane, at = entry & 7, entry & -64
    t, values = eight_in_box(here + 8lane, at, drawn)
    # Of its own block an object is summed with the lanes behind it.
    which isa Close && (t = vput(t, splat8(OUTSIDE), ifelse(entry & OWN == 0, 0x00, 0xff >> (7 - lane))))
    return at, t, values
end

@inline same_host(here, entry, at) =
    vequal(whole_of_block(at, HOST), whole_of_object(here + 8 * (entry & 7), HOST))

"Add the pairs that are listed: of the outermost bins in registers, of what is left bin by bin."
function sum_listed!(bench, table, rounds, split, drawn, regional, found, n)
    top = length(table.edges2) - 1
    if found === bench.found
        rounds > 0 && sum_blocks!(bench, table, split, drawn, Far(), top, found, n)
        return nothing
    end
    for _ in 1:rounds
        n = sum_blocks!(bench, table, split, drawn, Close(), top, found, n)
        top = max(top - AT_ONCE, 0)
    end
    n > 0 && top > 0 && scatter_blocks!(bench, table, split, drawn, regional, top, found, n)
    return nothing
end

"Add the lanes between two cuts to the sums and the number of pairs of that bin."
@inline outermost(sums::NTuple{K}, pairs, values::NTuple{M}, t, cuts) where {K,M} =
    (ntuple(k -> ntuple(m -> vaddwithin(sums[k][m], values[m], t, cuts[k + 1], cuts[k]), Val(M)), Val(K)),
     ntuple(k -> pairs[k] + count_ones(within8(t, cuts[k + 1], cuts[k])), Val(K)))

# ---- from column to column -----------------------------------------------------------------------

"The objects of a column with those of the images in `list`."
function box_column!(active::F, bench, list, table, rounds, split, drawn, regional, a, b, ca) where {F}
    add(found, n) = sum_listed!(bench, table, rounds, split, drawn, regional, found, n)
    # Without rounds all is close.
    cut2 = rounds == 0 ? table.edges2[end] : table.edges2[max(end - AT_ONCE, 1)]
    walk_blocks!(add, active, bench, list, cut2, table.edges2[end], a, b, ca)
end

"Add a row of a bench to the sums of its bin, and empty it."
function collect_row!(into, bench, row, m)
    into[1] += bench.pairs[row]
    bench.pairs[row] = 0
    for k in 1:m
        at = 8 * (m * (row - 1) + k - 1) + 1
        into[k + 1] += vsum(vload(bench.rows, at))
        unsafe_store!(Ptr{Vec}(pointer(bench.rows, at)), splat8(0.0))
    end
end

"Add the sums of a column to those of its chunk: short sums, so that rounding stays small."
function collect_rows!(sums, bench, m)
    nbins = size(sums, 2)
    for part in 1:2, bin in 1:nbins
        row = nbins * (part - 1) + bin
        bench.pairs[row] == 0 || collect_row!(view(sums, :, bin, part), bench, row, m)
    end
end

"""
Add the sums of objects of region `p` to those of their chunk, and to those of the pairs of regions, of
which only few have pairs.
"""
function collect_regions!(sums, pairs, bench, p, m)
    nbins, one_row = size(sums, 2), zeros(BOX_SUMS)
    for q in eachindex(bench.touched)
        bench.touched[q] || continue
        into = get!(() -> zeros(BOX_SUMS, nbins), pairs, region_pair(p, q))
        for part in 1:2, bin in 1:nbins
            row = nbins * (2 * (q - 1) + part - 1) + bin
            bench.pairs[row] == 0 && continue
            fill!(one_row, 0.0)
            collect_row!(one_row, bench, row, m)
            view(sums, :, bin, part) .+= one_row
            view(into, :, bin) .+= one_row
        end
        bench.touched[q] = false
    end
end

"The objects of column `ca`, those of one region after those of another."
function region_column!(sums, pairs, bench, list, table, split, drawn, a, b, ca)
    whole = reinterpret(Int64, a.data)
    region(block, lane) = whole[8 * (a.fields * (block - 1) + REGION - 1) + lane]
    bits(block, p) = foldl(|, (UInt8(region(block, lane) == p) << (lane - 1) for lane in 1:a.count[block]))
    blocks = a.first[ca]:(a.first[ca + 1] - 1)
    for p in sort!(unique(region(block, lane) for block in blocks for lane in 1:a.count[block]))
        box_column!(block -> bits(block, p), bench, list, table, 0, split, drawn, Val(true), a, b, ca)
        collect_regions!(sums, pairs, bench, p, angles_of(drawn))
    end
end

"Sums of the columns `range` of the first set."
function column_sums(table, rounds, split, drawn, a, b, range, reach, sides, periodic, auto, done,
                     pairs, regions)
    nbins = length(table.edges2) - 1
    bench, list = BoxBench(nbins, regions, drawn), Near[]
    sums = zeros(BOX_SUMS, nbins, 2)
    for ca in range
        cancelled() && break
        if a.first[ca] < a.first[ca + 1]
            near!(list, a, b, ca, reach, sqrt(table.edges2[end]), sides, auto, periodic)
            if regions == 0
                box_column!(block -> 0xff >> (8 - a.count[block]), bench, list, table, rounds, split, drawn,
                            Val(false), a, b, ca)
                collect_rows!(sums, bench, angles_of(drawn))
            else
                region_column!(sums, pairs, bench, list, table, split, drawn, a, b, ca)
            end
        end
        progress(Threads.atomic_add!(done, 1) + 1, prod(a.number))
    end
    return sums
end

"""
The sums of `box_sums_brute`, through columns; without `split` pairs of one host are not told
apart from others.
"""
box_sums(first::BoxObjects{Float64}, second::BoxObjects{Float64}, edges, boxsize;
         auto::Bool, periodic::Bool, split::Bool) =
    columns_summed(first, second, edges, boxsize; auto = auto, periodic = periodic,
                   split = split, regions = 0)[1]

"""
The sums of `box_sums`, and those of `region_sums_brute`, from one pass.
"""
function region_sums(first::BoxObjects{Float64}, second::BoxObjects{Float64}, edges, boxsize;
                     auto::Bool, periodic::Bool, split::Bool, regions::Int)
    total, partial = columns_summed(first, second, edges, boxsize; auto = auto,
                                    periodic = periodic, split = split, regions = regions)
    sums = zeros(BOX_SUMS, length(edges) - 1, region_pair(regions, regions))
    for chunk in partial, (k, found) in chunk       # in the order of the chunks for every k
        view(sums, :, :, k) .+= found
    end
    return total, sums
end

"Sums of all columns, and of each chunk of them those of the pairs of regions, by `region_pair`."
function columns_summed(first, second, edges, boxsize; auto, periodic, split, regions)
    total = zeros(BOX_SUMS, length(edges) - 1, 2)
    (length(first) == 0 || length(second) == 0) && return total, Dict{Int,Matrix{Float64}}[]
    sides = map(Float64, box_sides(boxsize))
    number, width, reach, origin = block_layout(first, second, edges[end], sides, periodic)
    a = Blocks(first, number, width, origin)
    b = auto ? a : Blocks(second, number, width, origin)
    drawn = Val(hasdrawn(first) && hasdrawn(second))
    table, often = BinTable(edges), rounds(edges)
    parts = min(prod(number), 256)
    partial = [zeros(0, 0, 0) for _ in 1:parts]
    regional = [Dict{Int,Matrix{Float64}}() for _ in 1:(regions == 0 ? 0 : parts)]
    none = Dict{Int,Matrix{Float64}}()
    done = Threads.Atomic{Int}(0)
    GC.@preserve a b chunked(prod(number), parts) do part, range
        pairs = regions == 0 ? none : regional[part]
        partial[part] = column_sums(table, often, Val(split), drawn, a, b, range, reach, sides,
                                    periodic, auto, done, pairs, regions)
    end
    for p in partial
        total .+= p
    end
    return total, regional
end

"""
    box_sums_carried(position, axis, weight, edges, boxsize)

The first six of the sums of `box_sums_brute`, (6, nbins), of one set in a periodic box, all strengths 1;
axes and weights may carry derivatives.
"""
function box_sums_carried(position, axis, weight, edges, boxsize)
    n, squares, sides = length(weight), edges .^ 2, box_sides(boxsize)
    parts = clamp(n, 1, 128)
    T = promote_type(eltype(axis), eltype(weight))
    partial = [zeros(T, 6, length(edges) - 1) for _ in 1:parts]
    chunked(n, parts) do part, range
        sums = partial[part]
        for i in range
            cancelled() && return nothing
            e = (axis[1, i], axis[2, i], axis[3, i])
            for j in (i + 1):n
                d = ntuple(k -> nearest_image(position[k, j] - position[k, i], sides[k]), Val(3))
                dd = sum(abs2, d)
                squares[1] < dd <= squares[end] || continue
                bin = searchsortedfirst(squares, dd) - 1
                f = (axis[1, j], axis[2, j], axis[3, j])
                w = weight[i] * weight[j]
                sums[1, bin] += 1
                sums[2, bin] += w
                sums[3, bin] += w * sqrt(dd)
                sums[4, bin] += w * (sum(e .* d)^2 / dd - 1 / 3)
                sums[5, bin] += w * (sum(f .* d)^2 / dd - 1 / 3)
                sums[6, bin] += w * (sum(e .* f)^2 - 1 / 3)
            end
        end
    end
    return sum(partial)
end

# How far from 1 the length of a unit axis may be: single precision, and steps of finite differences.
const UNIT_AXIS = 1e-3

"""
    box_correlations(position, axis, edges, boxsize; weights = ones(N))

Clustering and alignment of objects in a periodic box: xi, omega and eta from one pass over the
pairs.

# Arguments
- `position`, `axis`: positions and unit axes (3, N); the sign of an axis has no meaning.
- `edges`: of the bins (lo, hi] of separation, in the unit of the positions; the last one at most
  half the shortest side of the box.
- `boxsize`: side of the box where it is a cube, or its three sides.
- `weights`: (N).

Returns `(npairs, r, xi, omega, eta)`, each of one number a bin: pairs, mean separations, and with e
the axes and d the unit separation, averages over pairs, xi = DD/RR - 1,
omega = <(e_i . d)^2> - 1/3 and eta = <(e_i . e_j)^2> - 1/3. In a bin without pairs xi is -1, and the averages are NaN.

Axes and weights may carry derivatives; every pair is then visited, N^2/2 of them. Positions, edges
and `boxsize` may not, since pairs fall into hard bins.

# Example
```julia
position, axis = [1.0 1; 1 1; 0.5 29.5], [0.0 1; 0 0; 1 0]
box = box_correlations(position, axis, [0.5, 2], 30)
turned(t) = [sin(t) cos(t); 0 0; cos(t) -sin(t)]
slope = derivative(t -> box_correlations(position, turned(t), [0.5, 2], 30).omega[1], 0.3)
box.npairs == [1] && box.r ≈ [1] && box.omega ≈ [1 / 6] && box.eta ≈ [-1 / 3] && abs(slope) < 1e-12
```
"""
function box_correlations(position::AbstractMatrix, axis::AbstractMatrix, edges, boxsize;
                          weights = ones(size(position, 2)))
    size(position) == size(axis) == (3, length(weights)) || throw(DimensionMismatch(
        "box_correlations: position and axis must be (3, N) and weights (N); they are " *
        "$(size(position)), $(size(axis)) and $(size(weights))"))
    jump = "pairs jump from one bin to the next, which no derivative sees; axis and weights may carry " *
           "derivatives; " * VALUES_ONLY
    place, limits, L = (fixed("box_correlations", name, q, jump) for (name, q) in
                        (("position", position), ("edges", edges), ("boxsize", boxsize)))
    (L isa Number || length(L) == 3) && all(s -> isfinite(s) && s > 0, L) || throw(ArgumentError(
        "box_correlations: boxsize must be the side of a cube, or three sides, above 0; it is $L"))
    sides = box_sides(L)
    length(limits) >= 2 && all(diff(limits) .> 0) && limits[1] >= 0 &&
        2 * limits[end] <= minimum(sides) ||
        throw(ArgumentError("box_correlations: edges must increase from 0 or more to at " *
                            "most boxsize/2; they are $limits"))
    all(k -> all(p -> 0 <= p <= sides[k], view(place, k, :)), 1:3) || throw(ArgumentError(
        "box_correlations: position must lie in the box, from 0 to $L"))
    e, w = collect(axis), collect(weights)
    check_objects("box_correlations"; weights = w)
    long = findfirst(i -> !(abs(sum(k -> primal(e[k, i])^2, 1:3) - 1) < 2 * UNIT_AXIS), axes(e, 2))
    long === nothing || throw(ArgumentError(
        "box_correlations: axis must hold unit vectors; number $long is $(map(primal, e[:, long]))"))
    s = if carries(e) || carries(w)
        box_sums_carried(place, e, w, limits, sides)
    else
        n = length(w)
        set = BoxObjects(place, convert(Matrix{Float64}, e), convert(Vector{Float64}, w), ones(n),
                         zeros(Int64, n))
        box_sums(set, set, limits, sides; auto = true, periodic = true, split = false)[:, :, 1]
    end
    mean(k) = s[k, :] ./ s[2, :]
    RR = sum(w)^2 .* diff(4pi / 3 .* (limits ./ (is_cube(sides) ? sides[1] : cbrt(prod(sides)))) .^ 3)
    return (npairs = [round(Int, primal(n)) for n in s[1, :]], r = mean(3),
            xi = 2 .* s[2, :] ./ RR .- 1,
            omega = (mean(4) .+ mean(5)) ./ 2, eta = mean(6))
end
