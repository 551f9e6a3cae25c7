# A k-d tree over unit vectors whose leaves are runs of full vectors: what the pair sums walk.

"""
Objects in the order of the leaves. Leaf `l` holds the slots `first[l]:first[l]+count[l]-1`;
slots up to the next multiple of eight repeat its last object and carry no weight. A node covers
the leaves `lo:hi` and lies within `radius` (chord) of `center`; `left` is 0 for a leaf.
"""
struct Tree
    order::Vector{Int}          # slot -> object
    real::Vector{Float64}       # 1 for an object, 0 for padding
    x::Vector{Float64}
    y::Vector{Float64}
    z::Vector{Float64}
    first::Vector{Int}
    count::Vector{Int}
    lo::Vector{Int}
    hi::Vector{Int}
    left::Vector{Int}
    right::Vector{Int}
    center::Vector{NTuple{3,Float64}}
    radius::Vector{Float64}
end

nleaves(t::Tree) = length(t.first)
blocks(t::Tree, leaf) = cld(t.count[leaf], 8)

"Tree over the objects `keep` of `xyz` (3, N), with at most `leafsize` >= 8 objects in a leaf."
function Tree(xyz::AbstractMatrix{Float64}, keep::Vector{Int}; leafsize = 32)
    t = Tree(Int[], Float64[], Float64[], Float64[], Float64[], Int[], Int[], Int[], Int[], Int[],
             Int[], NTuple{3,Float64}[], Float64[])
    isempty(keep) || grow!(t, xyz, copy(keep), leafsize)
    return t
end

function grow!(t::Tree, xyz, objects, leafsize)
    n = length(objects)
    node = length(t.lo) + 1
    center = ntuple(d -> sum(xyz[d, i] for i in objects) / n, 3)
    reach = maximum(chord2(center, (xyz[1, i], xyz[2, i], xyz[3, i])) for i in objects)
    push!(t.lo, nleaves(t) + 1)
    push!(t.hi, 0)
    push!(t.left, 0)
    push!(t.right, 0)
    push!(t.center, center)
    push!(t.radius, sqrt(reach) * (1 + 1e-12) + 1e-15)
    if n <= leafsize
        add_leaf!(t, xyz, objects)
    else
        extent(d) = (r = extrema(xyz[d, i] for i in objects); r[2] - r[1])
        axis = argmax([extent(1), extent(2), extent(3)])
        # Full vectors on the left, so that only the last leaf of a branch is padded.
        half = 8 * cld(n, 16)
        partialsort!(objects, half, by = i -> (xyz[axis, i], i))
        t.left[node] = grow!(t, xyz, objects[1:half], leafsize)
        t.right[node] = grow!(t, xyz, objects[(half + 1):n], leafsize)
    end
    t.hi[node] = nleaves(t)
    return node
end

function add_leaf!(t::Tree, xyz, objects)
    push!(t.first, length(t.order) + 1)
    push!(t.count, length(objects))
    for s in 1:(8 * cld(length(objects), 8))
        i = objects[min(s, length(objects))]
        push!(t.order, i)
        push!(t.real, s <= length(objects))
        push!(t.x, xyz[1, i])
        push!(t.y, xyz[2, i])
        push!(t.z, xyz[3, i])
    end
end
