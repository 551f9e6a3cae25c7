# Moments of halo pairs between nodes of mass about a line of sight, the z axis: what wp, w_g+ and w_++
# of an HOD need of the halos. `sight_hat_sums_brute` is the definition, `sight_hat_sums` the fast twin.
#
# An ordered pair at rp across and s = |dz| along the line of sight, with e_+ and e_+' of both axes about
# the direction on the sky (anisotropic.jl), adds
#   1, e_+, e_+ e_+',
# times the product of parts, to the step (lo, hi] of rp if s <= pi_max. Galaxies about halo centers cross
# that limit: if z is symmetric about 0 and G(t) the chance of z > t, they are within it by the chance
#   [s <= pi_max] - sign(u) G(|u|) - G(pi_max + s) + G(side - pi_max - s), u = pi_max - s.
# G, linear between the offsets t_1 = 0 < ... < t_P < depth and 0 from depth on, is what follows in the
# tables; so the pair adds these signs, by the parts of its two offsets, to the coarse step of rp of each
# offset. Rows are the steps, then the coarse steps of every offset.

"Steps of rp across a line of sight, and offsets from the limits along it."
struct SightSteps{T}
    edges::Vector{T}
    coarse::Vector{T}
    offsets::Vector{T}      # the last one is the depth
    pi_max::T
end

sight_rows(steps::SightSteps) =
    length(steps.edges) - 1 + (length(steps.coarse) - 1) * (length(steps.offsets) - 1)

"The limits near a pair at `s` along the line of sight: sign and distance."
@inline sight_limits(pi_max, s, side) =
    ((ifelse(s <= pi_max, -1.0, 1.0), abs(pi_max - s)), (-1.0, pi_max + s), (1.0, side - pi_max - s))

"""
    sight_hat_sums_brute(objects, nodes, steps, sides)

Sums (3, rows, nodes of the second, nodes of the first) over all ordered pairs of different objects.
"""
function sight_hat_sums_brute(objects::HatObjects{T}, nodes, steps::SightSteps{T}, sides) where {T}
    sums = zeros(T, HAT_MOMENTS, sight_rows(steps), nodes, nodes)
    fine, coarse, offsets = length(steps.edges) - 1, length(steps.coarse) - 1, steps.offsets
    for i in 1:length(objects), j in 1:length(objects)
        i == j && continue
        d = nearest_image.(objects.position[:, j] - objects.position[:, i], collect(sides))
        across, s = d[1]^2 + d[2]^2, abs(d[3])
        step = searchsortedfirst(steps.edges .^ 2, across) - 1
        1 <= step <= fine || continue
        turn = across == 0 ? zero(Complex{T}) : complex(d[1], -d[2])^2 / across
        e, f = (real(complex(objects.axis[1, k], objects.axis[2, k])^2 * turn) for k in (i, j))
        rows = Tuple{Int,T}[]
        s <= steps.pi_max && push!(rows, (step, one(T)))
        wide = searchsortedfirst(steps.coarse .^ 2, across) - 1
        for (sign, t) in sight_limits(steps.pi_max, s, sides[3])
            t < offsets[end] || continue
            p = searchsortedlast(offsets, t)
            upper = (t - offsets[p]) / (offsets[p + 1] - offsets[p])
            push!(rows, (fine + (p - 1) * coarse + wide, sign * (1 - upper)))
            p + 1 < length(offsets) && push!(rows, (fine + p * coarse + wide, sign * upper))
        end
        for (row, weight) in rows, (k, p) in ((0, 1 - objects.part[i]), (1, objects.part[i])),
            (l, q) in ((0, 1 - objects.part[j]), (1, objects.part[j]))

            sums[:, row, objects.node[j] + l, objects.node[i] + k] .+= weight * p * q .* (1, e, e * f)
        end
    end
    return sums
end

"Pairs about a line of sight, for `hat_walk`."
struct HatSight
    steps::SightSteps{Float64}
    table::BinTable
    wide::BinTable
    sides::NTuple{3,Vec}
    side::Float64           # along the line of sight
    depth::Float64
end

function HatSight(steps::SightSteps{Float64}, sides)
    steps.coarse[1] == steps.edges[1] && steps.coarse[end] == steps.edges[end] ||
        throw(ArgumentError("coarse steps must begin and end where the others do"))
    depth = min(steps.pi_max + steps.offsets[end], prevfloat(sides[3] / 2))
    return HatSight(steps, fine_table(steps.edges), fine_table(steps.coarse), map(splat8, sides), sides[3],
                    depth)
end

hat_rows(pairs::HatSight) = sight_rows(pairs.steps)
hat_reach2(pairs::HatSight) = pairs.table.edges2[end]
hat_depth(pairs::HatSight) = pairs.depth

function hat_find!(pairs::HatSight, bench, n, a, ux, uy, uz, start, stop)
    x, y = splat8(ux), splat8(uy)
    low, high = splat8(pairs.table.edges2[1]), splat8(pairs.table.edges2[end])
    packed = pointer(PACKED)
    s = start
    while s <= stop
        dx, dy = vsub(vload(a.x, s), x), vsub(vload(a.y, s), y)
        mask = within8(vfma(dy, dy, vmul(dx, dx)), low, high)
        left = stop - s
        mask &= 0xff >> ifelse(left < 7, 7 - left, 0)
        store_packed!(pointer(bench.found, n + 1), packed + 8 * Int(mask), s)
        n += count_ones(mask)
        s += 8
    end
    return n
end

@noinline function hat_add!(pairs::HatSight, bench::HatBench, nodes::Int, a::Columns, i::Int, n::Int)
    sums, lanes, found, steps = bench.sums, bench.lanes, bench.found, pairs.steps
    sides, depth2 = pairs.sides, pairs.depth^2
    inner2, pi_max2 = max(steps.pi_max - steps.offsets[end], 0.0)^2, steps.pi_max^2
    # Beyond the limit at -pi_max, and that of the next image, some pairs are near two of them.
    twice = steps.pi_max < steps.offsets[end] || pairs.side / 2 - steps.pi_max < steps.offsets[end]
    at = 8i - 7
    @inbounds begin
        x, y, z = splat8(a.records[at]), splat8(a.records[at + 1]), splat8(a.records[at + 2])
        ex, ey = splat8(a.records[at + 3]), splat8(a.records[at + 4])
        above, below = splat8(a.records[at + 6]), splat8(1 - a.records[at + 6])
        high = splat8(pairs.table.edges2[end])
        inverse_sides = inverses(sides)
        for k in (n + 1):(n + 8)
            found[k] = found[1]         # fills the last block; not added
        end
        first = 1
        while first <= n
            jx, jy, jz, fx, fy, _, part2, node2 = gather8(a.records, found, first)
            dx = nearest_image8(vsub(jx, x), sides[1], inverse_sides[1])
            dy = nearest_image8(vsub(jy, y), sides[2], inverse_sides[2])
            dz = nearest_image8(vsub(jz, z), sides[3], inverse_sides[3])
            t = vleast(vfma(dy, dy, vmul(dx, dx)), high)
            # Along the line of sight there is no direction, and nothing of axes.
            inverse = rsqrt8(vadd(t, splat8(1e-300)))
            c, s = vmul(dx, inverse), vmul(dy, inverse)
            p, q = vfma(ey, s, vmul(ex, c)), vfnma(ex, s, vmul(ey, c))
            u, v = vfma(fy, s, vmul(fx, c)), vfnma(fx, s, vmul(fy, c))
            plus1, plus2 = vfnma(q, q, vmul(p, p)), vfnma(v, v, vmul(u, u))
            both = vmul(plus1, plus2)
            square = transpose8(below, vmul(below, plus1), vmul(below, plus2), vmul(below, both),
                                above, vmul(above, plus1), vmul(above, plus2), vmul(above, both))
            for k in 1:8
                unsafe_store!(Ptr{Vec}(pointer(lanes, 8k - 7)), square[k])
            end
            unsafe_store!(Ptr{Vec}(pointer(bench.squares)), t)
            unsafe_store!(Ptr{Vec}(pointer(bench.heights)), vmul(dz, dz))
            unsafe_store!(Ptr{Vec}(pointer(bench.columns)), node2)
            unsafe_store!(Ptr{Vec}(pointer(bench.parts)), part2)
            for lane in 1:min(8, n - first + 1)
                height = bench.heights[lane]
                height <= depth2 || continue
                column, part = unsafe_trunc(Int, bench.columns[lane]), bench.parts[lane]
                value = vload(lanes, 8lane - 7)
                if height <= pi_max2
                    step = find_bin(pairs.table, bench.squares[lane])
                    add_hats!(sums, step, column, nodes, value, part, 1.0)
                end
                if height > inner2 || twice
                    wide = find_bin(pairs.wide, bench.squares[lane])
                    add_limits!(sums, pairs, wide, sqrt(height), column, nodes, value, part)
                end
            end
            first += 8
        end
    end
    return nothing
end

"Add a pair to the coarse steps of the offsets of the limits that it is near."
function add_limits!(sums, pairs::HatSight, wide, s, column, nodes, value, part)
    steps, offsets = pairs.steps, pairs.steps.offsets
    fine, coarse, planes = length(steps.edges) - 1, length(steps.coarse) - 1, length(offsets) - 1
    for (sign, t) in sight_limits(steps.pi_max, s, pairs.side)
        t < offsets[end] || continue
        p = 1
        while t >= offsets[p + 1]
            p += 1
        end
        upper = (t - offsets[p]) / (offsets[p + 1] - offsets[p])
        row = fine + (p - 1) * coarse + wide
        add_hats!(sums, row, column, nodes, value, part, sign * (1 - upper))
        p < planes && add_hats!(sums, row + coarse, column, nodes, value, part, sign * upper)
    end
end

"""
    sight_hat_sums(objects, nodes, steps, sides)

The sums of `sight_hat_sums_brute`, through columns.
"""
function sight_hat_sums(objects::HatObjects{Float64}, nodes, steps::SightSteps{Float64}, sides)
    length(objects) > 1 || return zeros(HAT_MOMENTS, sight_rows(steps), nodes, nodes)
    pairs = HatSight(steps, sides)
    layout = sight_layout(objects, objects, steps.edges[end], pairs.depth, sides, true)
    return hat_walk(pairs, HatColumns(objects, nodes, layout), nodes, sides)
end
