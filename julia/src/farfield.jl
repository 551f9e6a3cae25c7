# Sums over far points of 1/r^(2p), the powers that fuzzy c-means is made of, by a fast multipole
# method (Greengard & Rokhlin 1987; adaptive as Carrier et al. 1988; kernel expanded in Chebyshev
# polynomials, Fong & Darve 2009). Objects and centers share one quadtree in the plane.
#
# In a cell, (x, y) in [-1, 1]^2, the far field is sum_jk L_jk T_j(x) T_k(y), j + k <= order, and
# the points of a cell act through their moments M_jk = sum_i e_i T_j(x_i) T_k(y_i). Between cells
# of one size that do not touch, L = h^(-2p) D M, with h half their size and D a matrix of the
# offset alone: the coefficients of the kernel itself.

# Boxes of the polynomials are wider than their cells by this, so that centers may move a little
# before the tree has to grow anew.
const WIDER = 1.06

"The kernel 1/r^(2p) in polynomials of degree `order` in all."
struct Expansion
    p::Float64
    order::Int
    terms::Int                  # a multiple of eight; those beyond the polynomials are 0
    at::Vector{Int}             # T_j T_k is term at[k + 1] + j + 1
    shift::Array{Float64,3}     # [l, j, side]: T_j of the parent in T_l of its child
    far::Array{Float64,3}       # D of each offset, (terms, terms, 49)
end

chebyshev(n, x) = (t = zeros(n + 1); t[1] = 1; n > 0 && (t[2] = x);
                   foreach(k -> t[k + 1] = 2x * t[k] - t[k - 1], 2:n); t)

# (n, nodes): from values at the nodes to coefficients.
function projection(n, nodes)
    z = [cos((2i - 1) * pi / (2nodes)) for i in 1:nodes]
    C = zeros(n + 1, nodes)
    for i in 1:nodes
        C[:, i] = chebyshev(n, z[i]) .* (2 / nodes)
    end
    C[1, :] ./= 2
    return C, z
end

offset_index(dx, dy) = 7 * (dy + 3) + dx + 4

function Expansion(p, order)
    at = zeros(Int, order + 1)
    count = 0
    for k in 0:order
        at[k + 1] = count
        count += order - k + 1
    end
    terms = 8 * cld(count, 8)
    C, z = projection(order, order + 1)
    shift = zeros(order + 1, order + 1, 2)
    for (side, sign) in ((1, -1), (2, 1)), (i, x) in enumerate(z)
        shift[:, :, side] .+= C[:, i] .* chebyshev(order, (x + sign / WIDER) / 2)'
    end
    far = zeros(terms, terms, 49)
    C, z = projection(order, order + 6)
    for dx in 2:3, dy in 0:dx
        add_offset!(far, kernel_coefficients(p, C, z, dx, dy), at, order, dx, dy)
    end
    return Expansion(p, order, terms, at, shift, far)
end

# Coefficients [j, k, l, m] of the kernel between a cell and one dx, dy cells away, halves of 1.
function kernel_coefficients(p, C, z, dx, dy)
    n, q = length(z), size(C, 1)
    K = [((WIDER * (z[a] - z[c]) - 2dx)^2 + (WIDER * (z[b] - z[d]) - 2dy)^2)^(-p)
         for a in 1:n, b in 1:n, c in 1:n, d in 1:n]
    for _ in 1:4    # the first index to coefficients, and to the back
        rest = reshape(C * reshape(K, n, :), q, div(length(K), n))
        K = permutedims(rest)
        n = length(z)
    end
    return reshape(K, q, q, q, q)
end

# D of an offset and of its mirror images.
function add_offset!(far, K, at, order, dx, dy)
    for sx in (1, -1), sy in (1, -1), swapped in (false, true)
        ox, oy = swapped ? (sy * dy, sx * dx) : (sx * dx, sy * dy)
        D = view(far, :, :, offset_index(ox, oy))
        for k in 0:order, j in 0:(order - k), m in 0:order, l in 0:(order - m)
            a, b, c, d = swapped ? (k, j, m, l) : (j, k, l, m)
            mirrored = (sx < 0 && isodd(a + c)) != (sy < 0 && isodd(b + d))
            D[at[k + 1] + j + 1, at[m + 1] + l + 1] =
                mirrored ? -K[a + 1, b + 1, c + 1, d + 1] : K[a + 1, b + 1, c + 1, d + 1]
        end
    end
end

# ---- the tree ------------------------------------------------------------------------------------

const DEEPEST = 24

"Points of a plane in Morton order within a square: their keys, and which of them stands where."
struct Places
    keys::Vector{UInt64}
    order::Vector{Int}
    x::Vector{Float64}
    y::Vector{Float64}
end

struct Square
    x::Float64      # corner
    y::Float64
    size::Float64
end

"A square around points, with room for centers that stray."
function square_around(x, y)
    (x0, x1), (y0, y1) = extrema(x), extrema(y)
    size = max(x1 - x0, y1 - y0)
    iszero(size) && (size = max(abs(x0), abs(y0), 1.0) * 1e-6)
    return Square((x0 + x1) / 2 - 0.53 * size, (y0 + y1) / 2 - 0.53 * size, 1.06 * size)
end

inside(s::Square, x, y) = s.x <= x < s.x + s.size && s.y <= y < s.y + s.size

@inline function spread_bits(q::UInt64)
    q = (q | (q << 16)) & 0x0000ffff0000ffff
    q = (q | (q << 8)) & 0x00ff00ff00ff00ff
    q = (q | (q << 4)) & 0x0f0f0f0f0f0f0f0f
    q = (q | (q << 2)) & 0x3333333333333333
    return (q | (q << 1)) & 0x5555555555555555
end

function morton(s::Square, x, y)
    cells = 1 << DEEPEST
    a = clamp(floor(Int, (x - s.x) / s.size * cells), 0, cells - 1)
    b = clamp(floor(Int, (y - s.y) / s.size * cells), 0, cells - 1)
    return spread_bits(UInt64(a)) | (spread_bits(UInt64(b)) << 1)
end

function Places(square::Square, x, y)
    keys = morton.(Ref(square), x, y)
    order = sortperm(keys)
    return Places(keys[order], order, x[order], y[order])
end

"""
Quadtree of objects and centers. A cell of a level has whole coordinates `ix`, `iy`, the objects and
centers `first:last` of its Morton order, and `child` (0 where there is none).
"""
struct Quadtree
    square::Square
    level::Vector{Int}
    ix::Vector{Int}
    iy::Vector{Int}
    objects::Vector{UnitRange{Int}}
    centers::Vector{UnitRange{Int}}
    child::Matrix{Int}                  # (4, cells)
    parent::Vector{Int}
    leaf::Vector{Bool}
    home::Vector{Int}                   # leaf of each center, in their order
    # Far cells in pairs: objects of `target[i]` feel centers of `source[i]`, `offset[i]`.
    by_objects::Vector{Vector{NTuple{2,Int}}}   # of each cell: (cell of centers, offset)
    by_centers::Vector{Vector{NTuple{2,Int}}}   # of each cell: (cell of objects, offset)
    near::Vector{Vector{Int}}           # of each leaf: cells whose centers its objects face singly
    crowds::Vector{Vector{Int}}         # of each leaf: smaller far cells that act on its objects as a whole
    guests::Vector{Vector{Int}}         # of each cell: larger far leaves whose few centers act on the cell
end

ncells(t::Quadtree) = length(t.level)
half(t::Quadtree, cell) = t.square.size / (1 << (t.level[cell] + 1))
middle(t::Quadtree, cell) = (h = half(t, cell);
    (t.square.x + h * (2t.ix[cell] + 1), t.square.y + h * (2t.iy[cell] + 1)))

"Tree whose leaves have at most `most` centers, unless they have fewer than `few` objects."
function Quadtree(square::Square, objects::Places, centers::Places, most, few, crowd)
    t = Quadtree(square, Int[], Int[], Int[], UnitRange{Int}[], UnitRange{Int}[], zeros(Int, 4, 0), Int[],
                 Bool[], zeros(Int, length(centers.keys)), [], [], [], [], [])
    children = NTuple{4,Int}[]
    sprout!(t, children, objects.keys, centers.keys, 0, 0, 0, 0, 1:length(objects.keys),
            1:length(centers.keys), most, few)
    n = ncells(t)
    child = Matrix{Int}(undef, 4, n)
    for (q, four) in enumerate(children)
        child[:, q] .= four
    end
    empties() = [NTuple{2,Int}[] for _ in 1:n]
    lists() = [Int[] for _ in 1:n]
    t = Quadtree(square, t.level, t.ix, t.iy, t.objects, t.centers, child, t.parent, t.leaf, t.home,
                 empties(), empties(), lists(), lists(), lists())
    meet!(t, 1, 1, crowd)
    return t
end

function sprout!(t, children, okeys, ckeys, parent, level, ix, iy, objects, centers, most, few)
    push!(t.level, level)
    push!(t.ix, ix)
    push!(t.iy, iy)
    push!(t.objects, objects)
    push!(t.centers, centers)
    push!(t.parent, parent)
    push!(children, (0, 0, 0, 0))
    cell = length(t.level)
    leaf = length(centers) <= most || length(objects) < few || level == DEEPEST
    push!(t.leaf, leaf)
    if leaf
        t.home[centers] .= cell
        return cell
    end
    bits = 2 * (DEEPEST - level - 1)
    four = (0, 0, 0, 0)
    ostart, cstart = first(objects), first(centers)
    for q in 0:3
        oend = quarter_end(okeys, ostart, last(objects), bits, q)
        cend = quarter_end(ckeys, cstart, last(centers), bits, q)
        if oend >= ostart || cend >= cstart
            made = sprout!(t, children, okeys, ckeys, cell, level + 1, 2ix + (q & 1), 2iy + (q >> 1),
                           ostart:oend, cstart:cend, most, few)
            four = Base.setindex(four, made, q + 1)
        end
        ostart, cstart = oend + 1, cend + 1
    end
    children[cell] = four
    return cell
end

# The last of the sorted keys from:to in a quarter, by bisection; the quarters before it are left out.
function quarter_end(keys, from, to, bits, q)
    low, high = from, to + 1
    while low < high
        mid = (low + high) >> 1
        ((keys[mid] >> bits) & 3) <= q ? (low = mid + 1) : (high = mid)
    end
    return low - 1
end

"Sort the objects of cell `a` against the centers of cell `b`: near, far, or by their parts."
function meet!(t::Quadtree, a, b, crowd)
    isempty(t.objects[a]) && return nothing
    isempty(t.centers[b]) && return nothing
    la, lb = t.level[a], t.level[b]
    if touch(t, a, b)
        if t.leaf[a] && t.leaf[b]
            push!(t.near[a], b)
        elseif t.leaf[a] || (!t.leaf[b] && lb < la)
            foreach(q -> q > 0 && meet!(t, a, q, crowd), view(t.child, :, b))
        elseif t.leaf[b] || la < lb
            foreach(q -> q > 0 && meet!(t, q, b, crowd), view(t.child, :, a))
        else
            for p in view(t.child, :, a), q in view(t.child, :, b)
                p > 0 && q > 0 && meet!(t, p, q, crowd)
            end
        end
    elseif la == lb
        push!(t.by_objects[a], (b, offset_index(t.ix[b] - t.ix[a], t.iy[b] - t.iy[a])))
        push!(t.by_centers[b], (a, offset_index(t.ix[a] - t.ix[b], t.iy[a] - t.iy[b])))
    elseif la < lb      # a is a larger leaf
        push!(length(t.centers[b]) <= crowd ? t.near[a] : t.crowds[a], b)
    elseif length(t.objects[a]) <= crowd
        near_leaves!(t, a, b)
    else
        push!(t.guests[a], b)
    end
    return nothing
end

near_leaves!(t, a, b) =
    t.leaf[a] ? push!(t.near[a], b) : foreach(q -> q > 0 && near_leaves!(t, q, b), view(t.child, :, a))

function touch(t, a, b)
    la, lb = t.level[a], t.level[b]
    la > lb && return touch(t, b, a)
    k = lb - la      # b is as small or smaller
    reach(i, j) = (i << k) - 1 <= j <= ((i + 1) << k)
    return reach(t.ix[a], t.ix[b]) && reach(t.iy[a], t.iy[b])
end

# ---- moments and far fields ----------------------------------------------------------------------

"to += scale * D * from."
function add_far!(to, ot, from, of, far, offset, scale, terms)
    base = terms * terms * (offset - 1)
    GC.@preserve to from far for b in 1:4:terms
        p, q = splat8(scale * from[of + b]), splat8(scale * from[of + b + 1])
        r, s = splat8(scale * from[of + b + 2]), splat8(scale * from[of + b + 3])
        column = base + terms * (b - 1)
        for a in 1:8:terms
            v = load8(to, ot + a)
            v = vfma(load8(far, column + a), p, v)
            v = vfma(load8(far, column + terms + a), q, v)
            v = vfma(load8(far, column + 2terms + a), r, v)
            v = vfma(load8(far, column + 3terms + a), s, v)
            vstore!(to, ot + a, v)
        end
    end
end

@inline load8(a::Array{Float64}, i::Int) = unsafe_load(Ptr{Vec}(pointer(a, i)))
@inline vstore!(a::Array{Float64}, i::Int, v::Vec) = unsafe_store!(Ptr{Vec}(pointer(a, i)), v)

# Moments of a child to its parent, and the parent's far field to a child: each the transpose of the
# other.
function lift!(E::Expansion, M, parent, child, sx, sy, row)
    n = E.order
    for m in 0:n                # first along x: row[j] = sum_l shift[l, j] M[l, m]
        for j in 0:(n - m)
            s = 0.0
            for l in 0:j
                s += E.shift[l + 1, j + 1, sx] * M[E.at[m + 1] + l + 1, child]
            end
            row[j + 1] = s
        end
        for k in m:n, j in 0:(n - k)
            M[E.at[k + 1] + j + 1, parent] += E.shift[m + 1, k + 1, sy] * row[j + 1]
        end
    end
end

function lower!(E::Expansion, L, parent, child, sx, sy, row)
    n = E.order
    for m in 0:n
        for j in 0:(n - m)
            s = 0.0
            for k in m:(n - j)
                s += E.shift[m + 1, k + 1, sy] * L[E.at[k + 1] + j + 1, parent]
            end
            row[j + 1] = s
        end
        for l in 0:(n - m)
            s = 0.0
            for j in l:(n - m)
                s += E.shift[l + 1, j + 1, sx] * row[j + 1]
            end
            L[E.at[m + 1] + l + 1, child] += s
        end
    end
end

sides(t, cell) = (1 + (t.ix[cell] & 1), 1 + (t.iy[cell] & 1))

# Cells come after their parents.
function lift_all!(E, t, M)
    row = zeros(E.order + 1)
    for cell in ncells(t):-1:2
        lift!(E, M, t.parent[cell], cell, sides(t, cell)..., row)
    end
end

function lower_all!(E, t, L)
    row = zeros(E.order + 1)
    for cell in 2:ncells(t)
        lower!(E, L, t.parent[cell], cell, sides(t, cell)..., row)
    end
end

"Far fields L of cells from moments M of the cells that `lists` names."
function translate!(E, t, L, M, lists)
    chunked(ncells(t), 64) do _, range
        for cell in range
            isempty(lists[cell]) && continue
            scale = half(t, cell)^(-2 * E.p)
            for (other, offset) in lists[cell]
                add_far!(L, E.terms * (cell - 1), M, E.terms * (other - 1), E.far, offset, scale, E.terms)
            end
        end
    end
end

# Nodes of a cell with charges that have its moments: a whole cell as so many points.
function nodes_of(E, t, cell)
    n = E.order + 1
    z = [cos((2i - 1) * pi / (2n)) for i in 1:n]
    (x, y), h = middle(t, cell), WIDER * half(t, cell)
    return x .+ h .* z, y .+ h .* z
end

# (terms, n^2): T_j T_k at the nodes, weighted so that charges are its transpose times moments, and
# a far field is it times values at the nodes.
function node_table(E::Expansion)
    C, _ = projection(E.order, E.order + 1)
    n = E.order + 1
    table = zeros(E.terms, n * n)
    for k in 0:E.order, j in 0:(E.order - k), b in 1:n, a in 1:n
        table[E.at[k + 1] + j + 1, n * (b - 1) + a] = C[j + 1, a] * C[k + 1, b]
    end
    return table
end
