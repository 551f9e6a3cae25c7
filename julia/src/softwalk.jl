# The sums of softpairs.jl through a tree, eight pairs at a time. The first pass adds powers of the squared
# chord to moments of the cells of a table (softtable.jl), from which the sums of all bins follow; the
# pull-back takes from that table one polynomial a cotangent. Pairs that are in no cell, because they are
# very close, nearly antipodal or in bins too sharp for a table, are taken by themselves, by the definition.

# So few points are summed pair by pair: a table would take longer.
const FEW_POINTS = 1000

"""
    SoftPairs(geometry, bins, x, M, W)

Points made ready for passes over their pairs: in the order of a tree, padded with points without
weight, and with the table of the `bins` where it is worth it. `sums!` must come before `pullback`.
Generic in the number type.
"""
mutable struct SoftPairs{G<:Geometry,T}
    geometry::G
    bins::SoftBins
    tree::Tree
    nodes::Vector{Int}
    columns::NTuple{6,Vector{T}}    # of the slots: x, y, z, M1, M2, W
    table::SoftTable
    all::Float64                    # sum of |W_i W_j| over all pairs
    den::Vector{Float64}
    exact::Vector{Int}              # bins that are summed pair by pair
end

function SoftPairs(geometry::Geometry, bins::SoftBins, x, M, W)
    T = promote_type(eltype(x), eltype(M), eltype(W))
    plain = permutedims(map(primal, x))
    n = length(W)
    tree = Tree(plain, collect(1:n); leafsize = 64)
    slots(a) = T[a[i] for i in tree.order]
    weighted(a) = T[r * a[i] for (i, r) in zip(tree.order, tree.real)]
    size = sum(abs, map(primal, W))
    extent2 = sum(abs2, maximum(plain, dims = 2) .- minimum(plain, dims = 2)) * (1 + 1e-9)
    table = soft_table(geometry, bins, min(extent2, reach2_of(geometry, bins, eachindex(bins.lo), FAR)[2]))
    return SoftPairs{typeof(geometry),T}(
        geometry, bins, tree, leaf_nodes(tree),
        (slots(x[:, 1]), slots(x[:, 2]), slots(x[:, 3]), weighted(M[:, 1]), weighted(M[:, 2]), weighted(W)),
        table, size^2 / 2, zeros(0), Int[])
end

"Squared chords between which some of the bins `which` have weights above exp(-depth)."
function reach2_of(geometry, bins, which, depth)
    ends = [bin_reach(bins, b, depth) for b in which]
    near, far = minimum(first, ends), maximum(last, ends)
    return near <= 0 ? 0.0 : chord2_of(geometry, near), chord2_of(geometry, far)
end

"Few points, whose pairs are summed by the definition."
struct FewPairs{G<:Geometry,X,M,W}
    geometry::G
    bins::SoftBins
    x::X
    M::M
    W::W
end

sums!(p::FewPairs) = soft_pair_sums_brute(p.geometry, p.bins, p.x, p.M, p.W)
pullback(p::FewPairs, num_, den_) = soft_pair_pullback_brute(p.geometry, p.bins, p.x, p.M, p.W, num_, den_)

"""
    soft_pairs(geometry, bins, x, M, W)

The pairs of points, for `sums!` and then `pullback`: with a tree and a table, or few of them.
"""
soft_pairs(geometry, bins, x, M, W) =
    (length(W) < FEW_POINTS ? FewPairs : SoftPairs)(geometry, bins, x, M, W)

"""
    soft_pair_sums(geometry, bins, x, M, W) -> (num, den, coincident)

The sums of [`soft_pair_sums_brute`](@ref) to rounding.
"""
soft_pair_sums(geometry::Geometry, bins::SoftBins, x, M, W) = sums!(soft_pairs(geometry, bins, x, M, W))

# ---- the walk --------------------------------------------------------------------------------

"""
    each_leaf_pair(f, pairs, leaves, stack, (near2, far2))

Call `f(I, J)` for the leaves J from I on that may hold a pair with a squared chord in a range.
"""
function each_leaf_pair(f::F, pairs::SoftPairs, I, stack, (near2, far2)) where {F}
    tree, nodes = pairs.tree, pairs.nodes
    rmin, rmax = sqrt(near2), sqrt(far2)
    center, radius = tree.center[nodes[I]], tree.radius[nodes[I]]
    empty!(stack)
    push!(stack, 1)
    while !isempty(stack)
        node = pop!(stack)
        tree.hi[node] < I && continue
        middle = sqrt(chord2(center, tree.center[node]))
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
walk_parts(pairs, numbers) = min(clamp(div(1 << 23, max(numbers, 1)), 8, 32), nleaves(pairs.tree))

last_slot(tree, J) = tree.first[J] + tree.count[J] - 1
at_slot(pairs, s) = @inbounds (pairs.columns[1][s], pairs.columns[2][s], pairs.columns[3][s])
shear_at(pairs, s) = @inbounds (pairs.columns[4][s], pairs.columns[5][s])

# ---- eight pairs -----------------------------------------------------------------------------

"""
What eight pairs share: squared chord, differences, and z of `pair_turn` with what it is made of.
"""
@inline function soft_turns(::Sphere, ::Val{minus}, u, v) where {minus}
    dx, dy, dz, t = differences(u, v)
    h = vmul(t, splat8(0.5))
    c = vfnma(u[2], dx, vmul(u[1], dy))
    a, b = vfma(u[3], h, dz), vfnma(v[3], h, dz)
    if minus
        k = vmul(dz, vsub(splat8(2.0), h))
        re, im = vfnma(c, c, vmul(a, b)), vsub(splat8(0.0), vmul(c, k))
    else
        k = vmul(h, vadd(u[3], v[3]))
        re, im = vfma(a, b, vmul(c, c)), vmul(c, k)
    end
    return t, (dx, dy, dz, h, c, a, b, k), re, im
end

@inline function soft_turns(::Plane, ::Val{minus}, u, v) where {minus}
    dx, dy, dz, t = differences(u, v)
    zero8 = splat8(0.0)
    minus || return t, (dx, dy, dz, zero8, zero8, zero8, zero8, zero8), splat8(1.0), zero8
    re, im = vfnma(dy, dy, vmul(dx, dx)), vmul(splat8(-2.0), vmul(dx, dy))
    return t, (dx, dy, dz, zero8, zero8, zero8, zero8, zero8), re, im
end

"cos and sin of twice the direction, and 1/|z|^2."
@inline function soft_phase(re, im)
    rr = vmul(re, re)
    inverse = vdiv(splat8(1.0), vguard(vfma(im, im, rr), splat8(1.0)))
    return vmul(vfnma(im, im, rr), inverse), vmul(vmul(re, im), vadd(inverse, inverse)), inverse
end

"Real and imaginary part of M_i M_j' Phi."
@inline function soft_product(::Val{minus}, (a, b), (c, d), cosine, sine) where {minus}
    g, h = minus ? (vfnma(b, d, vmul(a, c)), vfma(a, d, vmul(b, c))) :
        (vfma(b, d, vmul(a, c)), vfnma(a, d, vmul(b, c)))
    return vfnma(h, sine, vmul(g, cosine)), vfma(h, cosine, vmul(g, sine))
end

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

# A row of 2 TERMS numbers, the coefficients or moments of two polynomials: 0 to 7 of the first, of the
# second, then 8 to 11 of both.
const ROW = 2 * TERMS
row_index(q, k) = k <= 8 ? 8 * (q - 1) + k : 16 + 4 * (q - 1) + k - 8

# ---- values ----------------------------------------------------------------------------------

"Work space of one part of the first pass."
struct SumsBench{T}
    moments::Vector{T}      # ROW of each cell, of N and D
    apart::Matrix{T}        # (2, nbins): pairs by themselves
    cell::Vector{Int64}
    lanes::Vector{Float64}  # x, N, D of eight pairs
end

"""
    sums!(pairs) -> (num, den, coincident)

The first pass. It finds, for the second, the bins that the table is not good enough for.
"""
function sums!(pairs::SoftPairs)
    bins, table = pairs.bins, pairs.table
    range = table.cells == 0 ? (0.0, soft_reach2(pairs.geometry, bins)) :
        (0.0, reach2_of(pairs.geometry, bins, 1:nbins(bins), FAR)[2])
    num, den, met = sums_in_range(pairs, table, bins, range)
    pairs.exact = table.cells == 0 ? Int[] : exact_bins(pairs, map(primal, den), range[2])
    if !isempty(pairs.exact)
        few = bins[pairs.exact]
        near, far = reach2_of(pairs.geometry, few, 1:nbins(few), UNDERFLOW)
        num[pairs.exact], den[pairs.exact], _ = sums_in_range(pairs, SoftTable(few), few, (near, far))
    end
    pairs.den = map(primal, den)
    return num, den, met
end

"Bins in which more than a share `MISSED` could be missing."
function exact_bins(pairs, den, far2)
    bins = pairs.bins
    far = far2 == Inf ? Inf : separation_of(pairs.geometry, far2)
    missed(b) = max(exp(-FAINT), isfinite(far) ? bin_weight(bins, b, far) : 0.0) * pairs.all
    return [b for b in 1:nbins(bins) if !(missed(b) <= MISSED * den[b])]
end

function sums_in_range(pairs::SoftPairs, table, bins, range)
    T, tree = eltype(pairs.columns[1]), pairs.tree
    parts = walk_parts(pairs, 1 << 19)
    found, met = [zeros(T, 0, 0) for _ in 1:parts], zeros(Int, parts)
    turn = Val(bins.minus)
    chunked(parts, parts) do p, _
        bench = SumsBench(zeros(T, ROW * table.cells), zeros(T, 2, nbins(bins)), zeros(Int64, 8), zeros(24))
        stack = Int[]
        for I in pair_rows(nleaves(tree), parts, p)
            cancelled() && return nothing
            each_leaf_pair(pairs, I, stack, range) do J
                met[p] += leaf_sums!(bench, pairs, table, bins, turn, range[2], I, J)
            end
        end
        found[p] = bench.apart .+ from_moments(bench.moments, table, nbins(bins))
    end
    total = add_pieces(found)
    return total[1, :], total[2, :], sum(met)
end

"Sums (2, nbins) from the moments of all cells."
function from_moments(moments, table, nb)
    sums = zeros(eltype(moments), 2, nb)
    @inbounds for k in 1:table.cells, b in table.from[k]:table.to[k]
        base = ROW * (k - 1)
        for q in 1:2
            s = zero(eltype(moments))
            for term in 1:TERMS
                s += table.coefficients[term, b, k] * moments[base + row_index(q, term)]
            end
            sums[q, b] += s
        end
    end
    return sums
end

function leaf_sums!(bench::SumsBench{Float64}, pairs::SoftPairs, table, bins, turn, far2, I, J)
    tree = pairs.tree
    X, Y, Z, A, B, W = pairs.columns
    cells = Cells(table)
    met = 0
    @inbounds for s in tree.first[I]:last_slot(tree, I)
        u = splat8(X[s]), splat8(Y[s]), splat8(Z[s])
        Mi, Wi = (splat8(A[s]), splat8(B[s])), splat8(W[s])
        after, stop = I == J ? s : 0, last_slot(tree, J)
        for at in tree.first[J]:8:stop
            at + 7 <= after && continue
            t, _, re, im = soft_turns(pairs.geometry, turn, u, (vload(X, at), vload(Y, at), vload(Z, at)))
            cosine, sine, _ = soft_phase(re, im)
            N = soft_product(turn, Mi, (vload(A, at), vload(B, at)), cosine, sine)[1]
            store_at!(bench.lanes, 1, place8(cells, t))
            store_at!(bench.lanes, 9, N)
            store_at!(bench.lanes, 17, vmul(Wi, vload(W, at)))
            unsafe_store!(Ptr{IntVec}(pointer(bench.cell)), cell8(cells, t))
            for lane in max(1, after - at + 2):min(8, stop - at + 1)
                k = bench.cell[lane]
                if k < table.cells
                    spread!(bench.moments, ROW * k + 1, bench.lanes[lane], bench.lanes[8 + lane],
                            bench.lanes[16 + lane])
                else
                    met += by_itself!(bench.apart, pairs, bins, s, at + lane - 1, far2)
                end
            end
        end
    end
    return met
end

@noinline by_itself!(apart, pairs, bins, s, r, far2) =
    sum_pair!(apart, pairs.geometry, bins, at_slot(pairs, s), at_slot(pairs, r), shear_at(pairs, s),
              shear_at(pairs, r), pairs.columns[6][s], pairs.columns[6][r], far2)

@inline store_at!(lanes, i, v::Vec) = unsafe_store!(Ptr{Vec}(pointer(lanes, i)), v)

"Add N and D times the powers of x to a row of moments."
@inline function spread!(moments, at, x, N, D)
    x1, n, d = splat8(x), splat8(N), splat8(D)
    x2 = vmul(x1, x1)
    x4 = vmul(x2, x2)
    powers = vmul(vmul(vodd(x1), vpairs(x2)), vhalf(x4))
    more = vmul(vfirst(powers, powers), vmul(x4, x4))
    p = Ptr{Vec}(pointer(moments, at))
    unsafe_store!(p, vfma(powers, n, unsafe_load(p)))
    unsafe_store!(p + 64, vfma(powers, d, unsafe_load(p + 64)))
    unsafe_store!(p + 128, vfma(more, vfirst(n, d), unsafe_load(p + 128)))
    return nothing
end

# Numbers that carry derivatives, one pair after the other.
function leaf_sums!(bench::SumsBench, pairs::SoftPairs, table, bins, turn, far2, I, J)
    tree = pairs.tree
    moments, W = bench.moments, pairs.columns[6]
    met = 0
    @inbounds for s in tree.first[I]:last_slot(tree, I)
        u = at_slot(pairs, s)
        for r in (I == J ? s + 1 : tree.first[J]):last_slot(tree, J)
            v = at_slot(pairs, r)
            t = chord2(u, v)
            k = cell_of(table, t)
            if !(1 <= k <= table.cells)
                met += by_itself!(bench.apart, pairs, bins, s, r, far2)
                continue
            end
            re, im = double_angle(pair_turn(pairs.geometry, u, v, bins.minus)...)
            N = product(shear_at(pairs, s), shear_at(pairs, r), re, im, bins.minus)[1]
            D = W[s] * W[r]
            x = in_cell(table, t, k)[1]
            base = ROW * (k - 1)
            for term in 1:TERMS
                moments[base + row_index(1, term)] += N
                moments[base + row_index(2, term)] += D
                N *= x
                D *= x
            end
        end
    end
    return met
end

# ---- reverse derivative ----------------------------------------------------------------------

"""
    pullback(pairs, num_, den_) -> (x_, M_, W_)

The second pass, once a cotangent: (n, 3, R), (n, 2, R) and (n, R).
"""
function pullback(pairs::SoftPairs, num_, den_)
    T = promote_type(eltype(pairs.columns[1]), eltype(num_), eltype(den_))
    n, R = count(!iszero, pairs.tree.real), size(num_, 2)
    x_, M_, W_ = zeros(T, n, 3, R), zeros(T, n, 2, R), zeros(T, n, R)
    for r in 1:R
        of_slots = pull_one(pairs, num_[:, r], den_[:, r])
        for (s, i) in enumerate(pairs.tree.order)
            iszero(pairs.tree.real[s]) && continue
            x_[i, 1, r], x_[i, 2, r], x_[i, 3, r] = of_slots[s, 1], of_slots[s, 2], of_slots[s, 3]
            M_[i, 1, r], M_[i, 2, r], W_[i, r] = of_slots[s, 4], of_slots[s, 5], of_slots[s, 6]
        end
    end
    return x_, M_, W_
end

"Cotangents of the slots (slots, 6) from those of the sums, (nbins,)."
function pull_one(pairs::SoftPairs, num_, den_)
    wanted = [b for b in eachindex(num_) if !(vanishes(num_[b]) && vanishes(den_[b]))]
    isempty(wanted) && return zeros(promote_type(eltype(pairs.columns[1]), eltype(num_), eltype(den_)),
                                    length(pairs.tree.order), 6)
    pairs.table.cells == 0 && return pull_apart(pairs, num_, den_, wanted)
    exact = intersect(wanted, pairs.exact)
    tabled = setdiff(wanted, exact)
    isempty(tabled) && return pull_apart(pairs, num_, den_, exact)
    out = pull_in_range(pairs, pairs.table, pairs.bins[tabled], num_[tabled], den_[tabled], tabled,
                        reach_of_sums(pairs, tabled))
    return isempty(exact) ? out : out .+ pull_apart(pairs, num_, den_, exact)
end

pull_apart(pairs, num_, den_, which) =
    pull_in_range(pairs, SoftTable(pairs.bins[which]), pairs.bins[which], num_[which], den_[which], which,
                  reach2_of(pairs.geometry, pairs.bins, which, UNDERFLOW))

"Range of squared chords outside of which bins miss no more than a share `MISSED` of their sums."
function reach_of_sums(pairs, which)
    ends = map(which) do b
        depth = max(FAR, log(pairs.all / pairs.den[b] / MISSED))
        reach2_of(pairs.geometry, pairs.bins, b:b, depth)
    end
    return minimum(first, ends), maximum(last, ends)
end

function pull_in_range(pairs::SoftPairs, table, bins, num_, den_, which, range)
    T = promote_type(eltype(pairs.columns[1]), eltype(num_), eltype(den_))
    tree = pairs.tree
    slots = length(tree.order)
    parts = walk_parts(pairs, 6 * slots)
    rows = cotangent_rows(T, table, num_, den_, which)
    pieces = [zeros(T, 0, 0) for _ in 1:parts]
    turn = Val(bins.minus)
    chunked(parts, parts) do p, _
        acc = zeros(T, slots, 6, 1)
        bench = PullBench(rows, acc, (zeros(T, nbins(bins)), zeros(T, nbins(bins))), zeros(Int64, 8))
        stack = Int[]
        for I in pair_rows(nleaves(tree), parts, p)
            cancelled() && return nothing
            each_leaf_pair(pairs, I, stack, range) do J
                leaf_pull!(bench, pairs, table, bins, turn, num_, den_, range[2], I, J)
            end
        end
        pieces[p] = dropdims(acc, dims = 3)
    end
    return add_pieces(pieces)
end

"Work space of one part of the second pass."
struct PullBench{T}
    rows::Vector{T}         # ROW of each cell: sums over bins of num_ and den_ times the weight; and of none
    acc::Array{T,3}
    scratch::Tuple{Vector{T},Vector{T}}
    cell::Vector{Int64}
end

function cotangent_rows(T, table, num_, den_, which)
    rows = zeros(T, ROW * (table.cells + 1))
    @inbounds for k in 1:table.cells, (q, b) in enumerate(which)
        table.from[k] <= b <= table.to[k] || continue
        for term in 1:TERMS
            c = table.coefficients[term, b, k]
            rows[ROW * (k - 1) + row_index(1, term)] += c * num_[q]
            rows[ROW * (k - 1) + row_index(2, term)] += c * den_[q]
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

@inline function rows8(rows, cell, first)
    p = pointer(rows, first)
    r = Base.Cartesian.@ntuple 8 lane -> unsafe_load(Ptr{Vec}(p + 8ROW * @inbounds(cell[lane])))
    return vtranspose(r...)
end

function leaf_pull!(bench::PullBench{Float64}, pairs::SoftPairs, table, bins, turn, num_, den_, far2, I, J)
    tree, acc = pairs.tree, bench.acc
    slots = size(acc, 1)
    X, Y, Z, A, B, W = pairs.columns
    cells = Cells(table)
    @inbounds for s in tree.first[I]:last_slot(tree, I)
        u = splat8(X[s]), splat8(Y[s]), splat8(Z[s])
        Mi, Wi = (splat8(A[s]), splat8(B[s])), splat8(W[s])
        own = Base.Cartesian.@ntuple 6 q -> splat8(0.0)
        after, stop = I == J ? s : 0, last_slot(tree, J)
        for at in tree.first[J]:8:stop
            at + 7 <= after && continue
            v = vload(X, at), vload(Y, at), vload(Z, at)
            Mj, Wj = (vload(A, at), vload(B, at)), vload(W, at)
            t, parts, re, im = soft_turns(pairs.geometry, turn, u, v)
            cell, found = bench.cell, cell8(cells, t)
            unsafe_store!(Ptr{IntVec}(pointer(cell)), found)
            if at <= after || !iszero(vequal(found, cells.most))
                begun, done = max(1, after - at + 2), min(8, stop - at + 1)
                for lane in begun:done
                    cell[lane] == table.cells &&
                        pull_by_itself!(bench, pairs, bins, num_, den_, far2, s, at + lane - 1)
                end
                for lane in 1:(begun - 1)
                    cell[lane] = table.cells
                end
            end
            cosine, sine, inverse = soft_phase(re, im)
            N, Q = soft_product(turn, Mi, Mj, cosine, sine)
            x = place8(cells, t)
            f = rows8(bench.rows, cell, 1)
            g = rows8(bench.rows, cell, 9)
            fg = rows8(bench.rows, cell, 17)
            n_, nt = horner8((f..., fg[1], fg[2], fg[3], fg[4]), x)
            d_, dt = horner8((g..., fg[5], fg[6], fg[7], fg[8]), x)
            # 2 d/dt of both: the width of a cell is that of its octave over 2^bits
            t_ = vmul(vmul(vfma(nt, N, vmul(dt, vmul(Wi, Wj))), splat8(2.0^(table.bits + 2))), vinverse2(t))
            f_ = vmul(vmul(Q, n_), splat8(-2.0))
            fu, fv = soft_turn_slope(pairs.geometry, turn, u, v, parts, re, im, vmul(f_, inverse))
            di, dj = soft_product_slopes(turn, Mi, Mj, vmul(n_, cosine), vmul(n_, sine))
            dx, dy, dz = parts
            own = (vadd(own[1], vfnma(t_, dx, fu[1])), vadd(own[2], vfnma(t_, dy, fu[2])),
                   vadd(own[3], vfnma(t_, dz, fu[3])), vadd(own[4], di[1]), vadd(own[5], di[2]),
                   vfma(d_, Wj, own[6]))
            add_at!(acc, at, vfma(t_, dx, fv[1]))
            add_at!(acc, at + slots, vfma(t_, dy, fv[2]))
            add_at!(acc, at + 2slots, vfma(t_, dz, fv[3]))
            add_at!(acc, at + 3slots, dj[1])
            add_at!(acc, at + 4slots, dj[2])
            add_at!(acc, at + 5slots, vmul(d_, Wi))
        end
        Base.Cartesian.@nexprs 6 q -> (acc[s, q, 1] += vsum(own[q]))
    end
    return nothing
end

"`product_slopes` of eight pairs."
@inline function soft_product_slopes(::Val{minus}, (a, b), (c, d), re, im) where {minus}
    minus && return (vfnma(d, im, vmul(c, re)), vsub(splat8(0.0), vfma(d, re, vmul(c, im)))),
                    (vfnma(b, im, vmul(a, re)), vsub(splat8(0.0), vfma(b, re, vmul(a, im))))
    return (vfma(d, im, vmul(c, re)), vfnma(c, im, vmul(d, re))),
           (vfnma(b, im, vmul(a, re)), vfma(b, re, vmul(a, im)))
end

"`turn_slope` of eight pairs times a number; `f` is that number over |z|^2."
@inline function soft_turn_slope(::Sphere, ::Val{minus}, u, v, (dx, dy, dz, h, c, a, b, k), re, im,
                                 f) where {minus}
    im_, re_ = vmul(f, re), vsub(splat8(0.0), vmul(f, im))
    a_, b_ = vmul(re_, b), vmul(re_, a)
    rc = vmul(vadd(re_, re_), c)
    ic = vmul(im_, c)
    z_ = vadd(a_, b_)
    if minus
        c_ = vsub(splat8(0.0), vfma(im_, k, rc))
        h_ = vmul(ic, dz)
        z_ = vfnma(ic, vsub(splat8(2.0), h), z_)
        u3_ = v3_ = splat8(0.0)
    else
        c_ = vfma(im_, k, rc)
        h_ = vmul(ic, vadd(u[3], v[3]))
        u3_ = v3_ = vmul(ic, h)
    end
    h_ = vadd(h_, vfnma(b_, v[3], vmul(a_, u[3])))
    u3_, v3_ = vfma(a_, h, u3_), vfnma(b_, h, v3_)
    px, py, pz = vmul(h_, dx), vmul(h_, dy), vfma(h_, dz, z_)
    return (vfnma(px, splat8(1.0), vmul(c_, v[2])), vsub(splat8(0.0), vfma(c_, v[1], py)), vsub(u3_, pz)),
           (vfnma(c_, u[2], px), vfma(c_, u[1], py), vadd(v3_, pz))
end

@inline function soft_turn_slope(::Plane, ::Val{minus}, u, v, (dx, dy, dz), re, im, f) where {minus}
    zero8 = splat8(0.0)
    minus || return (zero8, zero8, zero8), (zero8, zero8, zero8)
    # |z| = t, and arg(z) is minus twice the direction of v seen from u
    twice = vmul(vadd(f, f), vfma(dx, dx, vmul(dy, dy)))
    a, b = vmul(twice, dy), vmul(twice, dx)
    return (vsub(zero8, a), b, zero8), (a, vsub(zero8, b), zero8)
end

@noinline pull_by_itself!(bench, pairs, bins, num_, den_, far2, s, r) =
    pull_pair!(bench.acc, bench.scratch, pairs.geometry, bins, s, r, at_slot(pairs, s), at_slot(pairs, r),
               shear_at(pairs, s), shear_at(pairs, r), pairs.columns[6][s], pairs.columns[6][r],
               reshape(num_, :, 1), reshape(den_, :, 1), far2, false)

# Numbers that carry derivatives, one pair after the other.
function leaf_pull!(bench::PullBench, pairs::SoftPairs, table, bins, turn, num_, den_, far2, I, J)
    tree, acc, W = pairs.tree, bench.acc, pairs.columns[6]
    @inbounds for s in tree.first[I]:last_slot(tree, I)
        u, Mi = at_slot(pairs, s), shear_at(pairs, s)
        for j in (I == J ? s + 1 : tree.first[J]):last_slot(tree, J)
            v, Mj = at_slot(pairs, j), shear_at(pairs, j)
            t = chord2(u, v)
            k = cell_of(table, t)
            if !(1 <= k <= table.cells)
                pull_by_itself!(bench, pairs, bins, num_, den_, far2, s, j)
                continue
            end
            x, steep = in_cell(table, t, k)
            (n_, nt), (d_, dt) = horner(bench.rows, k, 1, x), horner(bench.rows, k, 2, x)
            zr, zi = pair_turn(pairs.geometry, u, v, bins.minus)
            re, im = double_angle(zr, zi)
            N, Q = product(Mi, Mj, re, im, bins.minus)
            t_ = 2 * steep * (nt * N + dt * W[s] * W[j])
            f_ = -2 * Q * n_
            fu, fv = turn_slope(pairs.geometry, u, v, bins.minus, zr, zi)
            di, dj = product_slopes(Mi, Mj, re, im, bins.minus)
            for q in 1:3
                d = t_ * (u[q] - v[q])
                acc[s, q, 1] += d + f_ * fu[q]
                acc[j, q, 1] += f_ * fv[q] - d
            end
            for q in 1:2
                acc[s, 3 + q, 1] += n_ * di[q]
                acc[j, 3 + q, 1] += n_ * dj[q]
            end
            acc[s, 6, 1] += d_ * W[j]
            acc[j, 6, 1] += d_ * W[s]
        end
    end
    return nothing
end

"Value and slope of polynomial `q` of a row."
@inline function horner(rows, k, q, x)
    base = ROW * (k - 1)
    @inbounds p = rows[base + row_index(q, TERMS)] + zero(x)
    slope = zero(p)
    @inbounds for term in (TERMS - 1):-1:1
        slope = slope * x + p
        p = p * x + rows[base + row_index(q, term)]
    end
    return p, slope
end
