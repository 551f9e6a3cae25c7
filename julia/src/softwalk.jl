# The sums of softpairs.jl through a tree, eight pairs at a time. The first pass adds powers of the squared
# chord to moments of the cells of a table (softtable.jl), from which the sums of all bins follow; the
# pull-back takes from that table one polynomial a cotangent. Pairs that are in no cell, because they are
# very close, nearly antipodal or in bins too sharp for a table, are taken by themselves, by the definition.

# So few points are summed pair by pair: a table would take longer.
const FEW_POINTS = 1000

"A set of points in the order of a tree, padded with points without weight."
struct SoftPoints{C,T}
    tree::Tree
    nodes::Vector{Int}
    place::NTuple{3,Vector{T}}      # of the slots
    numbers::NTuple{C,Vector{T}}
    size::Float64                   # sum of |W|
end

function SoftPoints(x::Matrix{T}, p::Matrix{T}, ::Val{C}) where {T,C}
    tree = Tree(permutedims(map(primal, x)), collect(1:size(x, 1)); leafsize = 64)
    place = ntuple(k -> T[x[i, k] for i in tree.order], Val(3))
    numbers = ntuple(c -> T[r * p[i, c] for (i, r) in zip(tree.order, tree.real)], Val(C))
    return SoftPoints{C,T}(tree, leaf_nodes(tree), place, numbers, sum(abs, map(primal, view(p, :, C))))
end

last_slot(points::SoftPoints, J) = points.tree.first[J] + points.tree.count[J] - 1
at_slot(points::SoftPoints, s) = map(a -> (@inbounds a[s]), points.place)
numbers_at(points::SoftPoints, s) = map(a -> (@inbounds a[s]), points.numbers)

"""
    SoftPairs(form, geometry, bins, sets)

Points of two `PointSets` made ready for passes over their pairs, with the table of the `bins` where it is
worth it. `sums!` must come before `pullback`. Generic in the number type.
"""
mutable struct SoftPairs{F<:PairForm,G<:Geometry,C,T}
    form::F
    geometry::G
    bins::SoftBins
    first::SoftPoints{C,T}
    second::SoftPoints{C,T}
    auto::Bool
    table::SoftTable
    all::Float64                    # sum of |W_i W_j| over all pairs
    den::Vector{Float64}
    exact::Vector{Int}              # bins that are summed pair by pair
end

function SoftPairs(form::PairForm, geometry::Geometry, bins::SoftBins, sets::PointSets)
    C = Val(size(sets.p1, 2))
    first = SoftPoints(sets.x1, sets.p1, C)
    second = sets.auto ? first : SoftPoints(sets.x2, sets.p2, C)
    reach2 = reach2_of(geometry, bins, eachindex(bins.lo), FAR)[2]
    table = soft_table(geometry, bins, min(extent2(geometry, sets), reach2))
    all = sets.auto ? first.size^2 / 2 : first.size * second.size
    return SoftPairs(form, geometry, bins, first, second, sets.auto, table, all, zeros(0), Int[])
end

"Squared chord beyond which there are no pairs."
function extent2(::Geometry, sets::PointSets)
    x, y = map(primal, sets.x1), map(primal, sets.x2)
    most = max.(maximum(x, dims = 1), maximum(y, dims = 1))
    return sum(abs2, most .- min.(minimum(x, dims = 1), minimum(y, dims = 1))) * (1 + 1e-9)
end
extent2(box::PeriodicBox, sets::PointSets) = sum(abs2, box.sides) / 4 * (1 + 1e-9)

"Squared chords between which some of the bins `which` have weights above exp(-depth)."
function reach2_of(geometry, bins, which, depth)
    ends = [bin_reach(bins, b, depth) for b in which]
    near, far = minimum(first, ends), maximum(last, ends)
    return near <= 0 ? 0.0 : chord2_of(geometry, near), chord2_of(geometry, far)
end

"Few points, whose pairs are summed by the definition."
struct FewPairs{F<:PairForm,G<:Geometry,T}
    form::F
    geometry::G
    bins::SoftBins
    sets::PointSets{T}
end

sums!(p::FewPairs) = pair_sums_brute(p.form, p.geometry, p.bins, p.sets)
pullback(p::FewPairs, sums_) = pair_pullback_brute(p.form, p.geometry, p.bins, p.sets, sums_)

"""
    soft_pairs(form, geometry, bins, sets)

The pairs of points, for `sums!` and then `pullback`: with a tree and a table, or few of them.
"""
function soft_pairs(form, geometry, bins, sets::PointSets)
    few = min(size(sets.x1, 1), size(sets.x2, 1)) == 0 ||
          size(sets.x1, 1) * size(sets.x2, 1) < FEW_POINTS^2
    return (few ? FewPairs : SoftPairs)(form, geometry, bins, sets)
end

# ---- the walk --------------------------------------------------------------------------------

"""
    each_leaf_pair(f, pairs, I, stack, (near2, far2))

Call `f(J)` for the leaves J of the second set (of one set, from I on) that may hold a pair with leaf I of the
first and a squared chord in a range.
"""
function each_leaf_pair(f::F, pairs::SoftPairs, I, stack, (near2, far2); from = pairs.auto ? I : 1) where {F}
    first, tree = pairs.first.tree, pairs.second.tree
    node = pairs.first.nodes[I]
    rmin, rmax = sqrt(near2), sqrt(far2)
    center, radius = first.center[node], first.radius[node]
    empty!(stack)
    push!(stack, 1)
    while !isempty(stack)
        node = pop!(stack)
        tree.hi[node] < from && continue
        middle = sqrt(apart(pairs.geometry, center, tree.center[node])[2])
        reach = radius + tree.radius[node]
        (middle - reach > rmax || middle + reach < rmin) && continue
        if tree.left[node] == 0
            f(tree.lo[node])
        else
            push!(stack, tree.right[node])
            push!(stack, tree.left[node])
        end
    end
end

"Parts of a pass over the leaves, a function of the work alone."
walk_parts(pairs, numbers) = min(clamp(div(1 << 23, max(numbers, 1)), 8, 32), nleaves(pairs.first.tree))

"Call `f(I)` for the leaves of a part of the first set."
function each_leaf(f::F, pairs, parts, p) where {F}
    for I in part_rows(nleaves(pairs.first.tree), parts, p, pairs.auto)
        cancelled() && return nothing
        f(I)
    end
end

# ---- eight pairs -----------------------------------------------------------------------------

"Bits of a squared chord that choose its cell and place it there."
struct Cells
    drop::IntVec
    from::IntVec
    most::IntVec
    bits::IntVec
end
Cells(table::SoftTable) = Cells(splat8(52 - table.bits), splat8(table.offset), splat8(table.cells),
                                splat8(table.bits))
@inline cell8(cells::Cells, t) = vcell(t, cells.drop, cells.from, cells.most)
@inline place8(cells::Cells, t) = vfma(vfraction(t, cells.bits), splat8(2.0), splat8(-3.0))

@inline splatted(a, s) = map(column -> Lanes(@inbounds column[s]), a)
@inline loaded(a, at) = map(column -> Lanes(vload(column, at)), a)

# A row of 2 TERMS numbers, the coefficients or moments of two polynomials: 0 to 7 of the first, of the
# second, then 8 to 11 of both. A cell has a row for every two sums; of an odd number of sums half of the
# last is idle.
const ROW = 2 * TERMS
rows_of(sums) = cld(sums, 2)
function row_index(sum, term)
    row, second = divrem(sum - 1, 2)
    return ROW * row + (term <= 8 ? 8 * second + term : 16 + 4 * second + term - 8)
end

# ---- values ----------------------------------------------------------------------------------

"Work space of one part of the first pass."
struct SumsBench{T}
    moments::Vector{T}      # rows of each cell
    apart::Matrix{T}        # (nsums, nbins): pairs by themselves
    cell::Vector{Int64}
    lanes::Vector{Float64}  # x and the terms of eight pairs
end

SumsBench(T, sums, table, bins) =
    SumsBench(zeros(T, ROW * rows_of(sums) * table.cells), zeros(T, sums, nbins(bins)), zeros(Int64, 8),
              zeros(8 * (2 * rows_of(sums) + 1)))

number_type(::SoftPairs{F,G,C,T}) where {F,G,C,T} = T

"""
    sums!(pairs) -> (sums, coincident)

The first pass. It finds, for the second, the bins that the table is not good enough for.
"""
function sums!(pairs::SoftPairs)
    bins, table = pairs.bins, pairs.table
    range = table.cells == 0 ? (0.0, soft_reach2(pairs.geometry, bins)) :
        (0.0, reach2_of(pairs.geometry, bins, 1:nbins(bins), FAR)[2])
    sums, met = sums_in_range(pairs, table, bins, range)
    pairs.exact = table.cells == 0 ? Int[] : exact_bins(pairs, map(primal, sums[end, :]), range[2])
    if !isempty(pairs.exact)
        few = bins[pairs.exact]
        sums[:, pairs.exact] = sums_in_range(pairs, SoftTable(few), few,
                                             reach2_of(pairs.geometry, few, 1:nbins(few), UNDERFLOW))[1]
    end
    pairs.den = map(primal, sums[end, :])
    return sums, met
end

"Bins in which more than a share `MISSED` could be missing."
function exact_bins(pairs, den, far2)
    bins = pairs.bins
    far = far2 == Inf ? Inf : separation_of(pairs.geometry, far2)
    missed(b) = max(exp(-FAINT), isfinite(far) ? bin_weight(bins, b, far) : 0.0) * pairs.all
    return [b for b in 1:nbins(bins) if !(missed(b) <= MISSED * den[b])]
end

function sums_in_range(pairs::SoftPairs, table, bins, range)
    T, S = number_type(pairs), nsums(pairs.form)
    parts = walk_parts(pairs, 1 << 19)
    found, met = [zeros(T, 0, 0) for _ in 1:parts], zeros(Int, parts)
    chunked(parts, parts) do p, _
        bench = SumsBench(T, S, table, bins)
        stack = Int[]
        each_leaf(pairs, parts, p) do I
            each_leaf_pair(pairs, I, stack, range) do J
                met[p] += leaf_sums!(bench, pairs, table, bins, range[2], I, J)
            end
        end
        found[p] = bench.apart .+ from_moments(bench.moments, table, S, nbins(bins))
    end
    return add_pieces(found), sum(met)
end

"Sums (nsums, nbins) from the moments of all cells."
function from_moments(moments, table, sums, nb)
    found = zeros(eltype(moments), sums, nb)
    stride = ROW * rows_of(sums)
    @inbounds for k in 1:table.cells, b in table.from[k]:table.to[k], q in 1:sums
        base = stride * (k - 1)
        s = zero(eltype(moments))
        for term in 1:TERMS
            s += table.coefficients[term, b, k] * moments[base + row_index(q, term)]
        end
        found[q, b] += s
    end
    return found
end

function leaf_sums!(bench::SumsBench, pairs::SoftPairs, table, bins, far2, I, J)
    met = 0
    for s in pairs.first.tree.first[I]:last_slot(pairs.first, I)
        met += slot_sums!(bench, pairs, table, bins, far2, s, J, pairs.auto && I == J ? s : 0)
    end
    return met
end

"Add the pairs of slot `s` with those of leaf J that come after the slot `after`."
function slot_sums!(bench::SumsBench{Float64}, pairs::SoftPairs, table, bins, far2, s, J, after)
    form, geometry, second = pairs.form, pairs.geometry, pairs.second
    cells, lanes = Cells(table), bench.lanes
    sums = nsums(form)
    stride = ROW * rows_of(sums)
    u, p = splatted(pairs.first.place, s), splatted(pairs.first.numbers, s)
    begun, stop = second.tree.first[J], last_slot(second, J)
    met = 0
    @inbounds for at in begun:8:stop
        at + 7 <= after && continue
        v, q = loaded(second.place, at), loaded(second.numbers, at)
        t = apart(geometry, u, v)[2].v
        numbers = (pair_numbers(form, p, q, aim(form, geometry, u, v))..., p[end] * q[end])
        store_at!(lanes, 1, place8(cells, t))
        for k in 1:sums
            store_at!(lanes, 8k + 1, numbers[k].v)
        end
        unsafe_store!(Ptr{IntVec}(pointer(bench.cell)), cell8(cells, t))
        for lane in max(1, after - at + 2):min(8, stop - at + 1)
            k = bench.cell[lane]
            if k < table.cells
                spread!(bench.moments, stride * k + 1, lanes, lane, rows_of(sums))
            else
                met += by_itself!(bench.apart, pairs, bins, s, at + lane - 1, far2)
            end
        end
    end
    return met
end

@noinline by_itself!(apart, pairs, bins, s, r, far2) =
    sum_pair!(apart, pairs.form, pairs.geometry, bins, at_slot(pairs.first, s), at_slot(pairs.second, r),
              numbers_at(pairs.first, s), numbers_at(pairs.second, r), far2)

@inline store_at!(lanes, i, v::Vec) = unsafe_store!(Ptr{Vec}(pointer(lanes, i)), v)

"Add the terms of a pair times the powers of x to the rows of moments from `at` on."
@inline function spread!(moments, at, lanes, lane, rows)
    @inbounds x1 = splat8(lanes[lane])
    x2 = vmul(x1, x1)
    x4 = vmul(x2, x2)
    powers = vmul(vmul(vodd(x1), vpairs(x2)), vhalf(x4))
    more = vmul(vfirst(powers, powers), vmul(x4, x4))
    p = Ptr{Vec}(pointer(moments, at))
    @inbounds for row in 1:rows
        n, d = splat8(lanes[16row - 8 + lane]), splat8(lanes[16row + lane])
        unsafe_store!(p, vfma(powers, n, unsafe_load(p)))
        unsafe_store!(p + 64, vfma(powers, d, unsafe_load(p + 64)))
        unsafe_store!(p + 128, vfma(more, vfirst(n, d), unsafe_load(p + 128)))
        p += 8ROW
    end
    return nothing
end

# Numbers that carry derivatives, one pair after the other.
function slot_sums!(bench::SumsBench, pairs::SoftPairs, table, bins, far2, s, J, after)
    form, second, moments = pairs.form, pairs.second, bench.moments
    u, p = at_slot(pairs.first, s), numbers_at(pairs.first, s)
    stride = ROW * rows_of(nsums(form))
    met = 0
    @inbounds for r in max(second.tree.first[J], after + 1):last_slot(second, J)
        v = at_slot(second, r)
        t = apart(pairs.geometry, u, v)[2]
        k = cell_of(table, t)
        if !(1 <= k <= table.cells)
            met += by_itself!(bench.apart, pairs, bins, s, r, far2)
            continue
        end
        q = numbers_at(second, r)
        numbers = (pair_numbers(form, p, q, aim(form, pairs.geometry, u, v))..., p[end] * q[end])
        x = in_cell(table, t, k)[1]
        power = one(x)
        for term in 1:TERMS
            for i in eachindex(numbers)
                moments[stride * (k - 1) + row_index(i, term)] += power * numbers[i]
            end
            power *= x
        end
    end
    return met
end

# ---- reverse derivative ----------------------------------------------------------------------

"""
    pullback(pairs, sums_) -> (first, second)

The second pass, once a cotangent: (n, 3 + C, R) of each set from `sums_` (nsums, nbins, R).
"""
function pullback(pairs::SoftPairs{F,G,C,S}, sums_) where {F,G,C,S}
    T = promote_type(S, eltype(sums_))
    of_points(points) = zeros(T, count(!iszero, points.tree.real), 3 + C, size(sums_, 3))
    first = of_points(pairs.first)
    second = pairs.auto ? first : of_points(pairs.second)
    for r in axes(sums_, 3)
        slots = pull_one(pairs, sums_[:, :, r])
        into_order!(first, r, slots[1], pairs.first.tree)
        pairs.auto || into_order!(second, r, slots[2], pairs.second.tree)
    end
    return first, second
end

function into_order!(out, r, slots, tree)
    for (s, i) in enumerate(tree.order)
        iszero(tree.real[s]) || (out[i, :, r] = slots[s, :])
    end
end

"Cotangents of the slots of both sets from those of the sums, (nsums, nbins)."
function pull_one(pairs::SoftPairs{F,G,C,S}, sums_) where {F,G,C,S}
    wanted = [b for b in axes(sums_, 2) if !all(vanishes, view(sums_, :, b))]
    T = promote_type(S, eltype(sums_))
    isempty(wanted) && return map(p -> zeros(T, length(p.tree.order), 3 + C), (pairs.first, pairs.second))
    pairs.table.cells == 0 && return pull_apart(pairs, sums_, wanted)
    exact = intersect(wanted, pairs.exact)
    tabled = setdiff(wanted, exact)
    isempty(tabled) && return pull_apart(pairs, sums_, exact)
    out = pull_in_range(pairs, pairs.table, pairs.bins[tabled], sums_[:, tabled], tabled,
                        reach_of_sums(pairs, tabled))
    return isempty(exact) ? out : map(+, out, pull_apart(pairs, sums_, exact))
end

pull_apart(pairs, sums_, which) =
    pull_in_range(pairs, SoftTable(pairs.bins[which]), pairs.bins[which], sums_[:, which], which,
                  reach2_of(pairs.geometry, pairs.bins, which, UNDERFLOW))

"Range of squared chords outside of which bins miss no more than a share `MISSED` of their sums."
function reach_of_sums(pairs, which)
    ends = map(which) do b
        depth = max(FAR, log(pairs.all / pairs.den[b] / MISSED))
        reach2_of(pairs.geometry, pairs.bins, b:b, depth)
    end
    return minimum(first, ends), maximum(last, ends)
end

function pull_in_range(pairs::SoftPairs{F,G,C,S}, table, bins, sums_, which, range) where {F,G,C,S}
    T = promote_type(S, eltype(sums_))
    slots = map(p -> length(p.tree.order), (pairs.first, pairs.second))
    parts = walk_parts(pairs, (3 + C) * maximum(slots))
    rows = cotangent_rows(T, table, sums_, which)
    pieces = [zeros(T, 0, 0) for _ in 1:parts], [zeros(T, 0, 0) for _ in 1:parts]
    each_sums_ = reshape(sums_, size(sums_)..., 1)
    chunked(parts, parts) do p, _
        acc1 = zeros(T, slots[1], 3 + C, 1)
        acc2 = pairs.auto ? acc1 : zeros(T, slots[2], 3 + C, 1)
        bench = PullBench(rows, acc1, acc2, (zeros(T, nbins(bins)), zeros(T, nbins(bins))), zeros(Int64, 8))
        stack = Int[]
        each_leaf(pairs, parts, p) do I
            each_leaf_pair(pairs, I, stack, range) do J
                leaf_pull!(bench, pairs, table, bins, each_sums_, range[2], I, J)
            end
        end
        pieces[1][p], pieces[2][p] = dropdims(acc1, dims = 3), dropdims(acc2, dims = 3)
    end
    first = add_pieces(pieces[1])
    return first, pairs.auto ? first : add_pieces(pieces[2])
end

"Work space of one part of the second pass."
struct PullBench{T}
    rows::Vector{T}         # rows of each cell: sums over bins of cotangents times the weight; and of none
    acc1::Array{T,3}        # (slots, 3 + C, 1)
    acc2::Array{T,3}
    scratch::Tuple{Vector{T},Vector{T}}
    cell::Vector{Int64}
end

function cotangent_rows(T, table, sums_, which)
    stride = ROW * rows_of(size(sums_, 1))
    rows = zeros(T, stride * (table.cells + 1))
    @inbounds for k in 1:table.cells, (q, b) in enumerate(which)
        table.from[k] <= b <= table.to[k] || continue
        for term in 1:TERMS, i in axes(sums_, 1)
            rows[stride * (k - 1) + row_index(i, term)] += table.coefficients[term, b, k] * sums_[i, q]
        end
    end
    return rows
end

"Value and slope of the polynomials of eight rows, each of other coefficients."
@inline function horner8(c::NTuple{TERMS,Vec}, x)
    p, slope = c[12], splat8(0.0)
    Base.Cartesian.@nexprs 11 q -> begin
        slope = vfma(slope, x, p)
        p = vfma(p, x, c[12 - q])
    end
    return p, slope
end

@inline function rows8(rows, cell, first, stride)
    p = pointer(rows, first)
    r = Base.Cartesian.@ntuple 8 lane -> unsafe_load(Ptr{Vec}(p + 8stride * @inbounds(cell[lane])))
    return vtranspose(r...)
end

"Values and slopes of the two polynomials of row `row` of eight cells."
@inline function both8(rows, cell, x, row, stride)
    f = rows8(rows, cell, ROW * (row - 1) + 1, stride)
    g = rows8(rows, cell, ROW * (row - 1) + 9, stride)
    fg = rows8(rows, cell, ROW * (row - 1) + 17, stride)
    return horner8((f..., fg[1], fg[2], fg[3], fg[4]), x), horner8((g..., fg[5], fg[6], fg[7], fg[8]), x)
end

"Values and slopes of the polynomials of all sums."
@inline function cotangents8(bench, x, ::Val{sums}) where {sums}
    of_rows = ntuple(row -> both8(bench.rows, bench.cell, x, row, ROW * rows_of(sums)), Val(rows_of(sums)))
    return ntuple(k -> Lanes(of_rows[(k + 1) >> 1][2 - k % 2][1]), Val(sums)),
           ntuple(k -> Lanes(of_rows[(k + 1) >> 1][2 - k % 2][2]), Val(sums))
end

function leaf_pull!(bench::PullBench{Float64}, pairs::SoftPairs{F,G,C}, table, bins, sums_, far2, I, J) where {F,G,C}
    form, geometry, first, second = pairs.form, pairs.geometry, pairs.first, pairs.second
    acc1, acc2 = bench.acc1, bench.acc2
    slots = size(acc2, 1)
    cells = Cells(table)
    within = pairs.auto && I == J
    stop = last_slot(second, J)
    @inbounds for s in first.tree.first[I]:last_slot(first, I)
        u, p = splatted(first.place, s), splatted(first.numbers, s)
        own = ntuple(_ -> Lanes(0.0), Val(3 + C))
        after = within ? s : 0
        for at in second.tree.first[J]:8:stop
            at + 7 <= after && continue
            v, q = loaded(second.place, at), loaded(second.numbers, at)
            d, t = apart(geometry, u, v)
            cell, found = bench.cell, cell8(cells, t.v)
            unsafe_store!(Ptr{IntVec}(pointer(cell)), found)
            if at <= after || !iszero(vequal(found, cells.most))
                begun, done = max(1, after - at + 2), min(8, stop - at + 1)
                for lane in begun:done
                    cell[lane] == table.cells && pull_by_itself!(bench, pairs, bins, sums_, far2, s, at + lane - 1)
                end
                for lane in 1:(begun - 1)
                    cell[lane] = table.cells
                end
            end
            aimed = aim(form, geometry, u, v)
            numbers = (pair_numbers(form, p, q, aimed)..., p[end] * q[end])
            n, slope = cotangents8(bench, place8(cells, t.v), Val(nsums(form)))
            # 2 d/dt of both: the width of a cell is that of its octave over 2^bits
            # (in this order: the last factor is 2^1023 where points meet)
            t_ = sum_of(map(*, slope, numbers)) * 2.0^(table.bits + 2) * Lanes(vinverse2(t.v))
            du, dv, dp, dq = pair_slopes(form, geometry, u, v, p, q, aimed, n)
            along = map(x -> t_ * x, d)
            own = map(+, own, (map(-, du, along)..., with_weight(dp, n[end] * q[end])...))
            add_all!(acc2, at, slots, (map(+, dv, along)..., with_weight(dq, n[end] * p[end])...))
        end
        for k in 1:(3 + C)
            acc1[s, k, 1] += vsum(own[k].v)
        end
    end
    return nothing
end

"Slopes of numbers, and what the sum of weights adds to that of the last."
@inline with_weight(slopes::NTuple{C,Any}, more) where {C} = ntuple(c -> c == C ? slopes[c] + more : slopes[c], Val(C))

@inline add_all!(acc, at, slots, columns::Tuple{}) = nothing
@inline function add_all!(acc, at, slots, columns::Tuple)
    add_at!(acc, at, columns[1].v)
    add_all!(acc, at + slots, slots, Base.tail(columns))
end

@noinline pull_by_itself!(bench, pairs, bins, sums_, far2, s, r) =
    pull_pair!(bench.acc1, bench.acc2, bench.scratch, pairs.form, pairs.geometry, bins, s, r,
               at_slot(pairs.first, s), at_slot(pairs.second, r), numbers_at(pairs.first, s),
               numbers_at(pairs.second, r), sums_, far2, false)

# Numbers that carry derivatives, one pair after the other.
function leaf_pull!(bench::PullBench, pairs::SoftPairs{F,G,C}, table, bins, sums_, far2, I, J) where {F,G,C}
    form, geometry, first, second = pairs.form, pairs.geometry, pairs.first, pairs.second
    acc1, acc2 = bench.acc1, bench.acc2
    @inbounds for s in first.tree.first[I]:last_slot(first, I)
        u, p = at_slot(first, s), numbers_at(first, s)
        for j in (pairs.auto && I == J ? s + 1 : second.tree.first[J]):last_slot(second, J)
            v = at_slot(second, j)
            d, t = apart(geometry, u, v)
            k = cell_of(table, t)
            if !(1 <= k <= table.cells)
                pull_by_itself!(bench, pairs, bins, sums_, far2, s, j)
                continue
            end
            q = numbers_at(second, j)
            x, steep = in_cell(table, t, k)
            aimed = aim(form, geometry, u, v)
            numbers = (pair_numbers(form, p, q, aimed)..., p[end] * q[end])
            n, slope = cotangents_of(bench.rows, k, x, Val(nsums(form)))
            t_ = 2 * steep * sum_of(map(*, slope, numbers))
            du, dv, dp, dq = pair_slopes(form, geometry, u, v, p, q, aimed, n)
            for i in 1:3
                acc1[s, i, 1] += du[i] - t_ * d[i]
                acc2[j, i, 1] += dv[i] + t_ * d[i]
            end
            for c in 1:C
                acc1[s, 3 + c, 1] += dp[c]
                acc2[j, 3 + c, 1] += dq[c]
            end
            acc1[s, 3 + C, 1] += n[end] * q[end]
            acc2[j, 3 + C, 1] += n[end] * p[end]
        end
    end
    return nothing
end

"Values and slopes of the polynomials of all sums in cell `k`."
@inline function cotangents_of(rows, k, x, ::Val{sums}) where {sums}
    of_sums = ntuple(q -> horner(rows, ROW * rows_of(sums) * (k - 1), q, x), Val(sums))
    return map(first, of_sums), map(last, of_sums)
end

"Value and slope of polynomial `q` of the rows behind `base`."
@inline function horner(rows, base, q, x)
    @inbounds p = rows[base + row_index(q, TERMS)] + zero(x)
    slope = zero(p)
    @inbounds for term in (TERMS - 1):-1:1
        slope = slope * x + p
        p = p * x + rows[base + row_index(q, term)]
    end
    return p, slope
end

# ---- shear pairs of one set of points --------------------------------------------------------

xi_form(bins::SoftBins) = bins.minus ? XI_MINUS : XI_PLUS

"The pairs of points with weighted shears M (n, 2) and weights W, for xi+ or xi- as `bins` have it."
shear_pairs(geometry, bins, x, M, W) = soft_pairs(xi_form(bins), geometry, bins, PointSets(x, hcat(M, W)))
