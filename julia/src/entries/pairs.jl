# C entry point of the pair sums.

# The kinds that Python asks for, by number: counts, count-shear, xi+- of one field, the five rho
# statistics of the fields e, de, q, the six with <e* e> before them, and field by field for the tau
# statistics. Untyped, so that only the kind in use is compiled.
const KINDS = Any[NN(), NG{1}(), GG{1,((1, 1),)}(),
                  GG{3,((2, 2), (2, 1), (3, 3), (3, 2), (3, 1))}(),
                  GG{3,((1, 1), (2, 2), (2, 1), (3, 3), (3, 2), (3, 1))}(),
                  GG{3,((1, 1), (2, 2), (3, 3))}()]

"""
One of the two sets of objects of R pair sums: positions and fields change from one to the next, or
only the weights do.
"""
struct Sets
    xyz::Array{Float64,3}
    w::Matrix{Float64}
    g::Array{Float64,3}
end

moving(s::Sets) = size(s.xyz, 3) > 1
xyz(s::Sets, k) = s.xyz[:, :, min(k, size(s.xyz, 3))]
weights(s::Sets, k) = s.w[:, min(k, size(s.w, 2))]
fields(s::Sets, k) = s.g[:, :, min(k, size(s.g, 3))]

leafsize(n) = n < 30_000 ? 32 : 64

function tree(s::Sets, k)
    w = moving(s) ? view(s.w, :, min(k, size(s.w, 2))) : s.w
    keep = [i for i in axes(w, 1) if any(!iszero, view(w, i, :))]
    return Tree(xyz(s, k), keep; leafsize = leafsize(length(keep)))
end

"Sums (nsums, nbins + 1, R) of R weightings, drawings or both of the same objects."
function repeated_pair_sums!(out, kind::Kind, geometry::Geometry, a::Sets, b::Sets, auto, edges)
    R = size(out, 3)
    tree1 = moving(a) ? nothing : tree(a, 1)
    tree2 = auto ? tree1 : moving(b) ? nothing : tree(b, 1)
    function pairing(k)
        first = tree1 === nothing ? tree(a, k) : tree1
        return Pairing(geometry, first, auto ? first : tree2 === nothing ? tree(b, k) : tree2, auto, edges)
    end
    function loads(p, k)
        first = Load(p.first, weights(a, k), fields(a, k))
        return first, auto ? first : Load(p.second, weights(b, k), fields(b, k))
    end
    if R == 1
        whole = pairing(1)
        out[:, :, 1] = pair_sums(kind, whole, loads(whole, 1)...)
        return nothing
    end
    done = Threads.Atomic{Int}(0)
    chunked(R, R) do k, _
        p = pairing(k)
        nleaves(p.first) == 0 || nleaves(p.second) == 0 ? out[:, :, k] .= 0 :
            (out[:, :, k] = leaf_sums(kind, p, loads(p, k)..., 1:nleaves(p.first), leaf_nodes(p.first)))
        progress(Threads.atomic_add!(done, 1) + 1, R)
    end
    return nothing
end

# Two sets of n1, n2 objects: positions (3, N, RX), weights (N, RW) and fields (F, N, RX), where RX
# and RW are R or 1; `auto` takes the second set to be the first. Edges are squared chords; `out`
# is (nsums, nbins + 1, R), coincident pairs of the first bin apart in the last.
@entry function pair_sums_of(kind::Int64, geometry::Int64, auto::Int64, r::Int64,
                             xyz1::Ptr{Float64}, w1::Ptr{Float64}, g1::Ptr{Float64}, n1::Int64,
                             rx1::Int64, rw1::Int64, xyz2::Ptr{Float64}, w2::Ptr{Float64},
                             g2::Ptr{Float64}, n2::Int64, rx2::Int64, rw2::Int64,
                             edges::Ptr{Float64}, nbins::Int64, out::Ptr{Float64})
    which = KINDS[kind]
    which isa NG && auto != 0 &&
        throw(ArgumentError("count-shear pairs are of two sets: lenses and sources"))
    f = 2 * nfields(which)
    first = Sets(unsafe_wrap(Array, xyz1, (3, n1, rx1)), unsafe_wrap(Array, w1, (n1, rw1)),
                 unsafe_wrap(Array, g1, (which isa NG ? 0 : f, n1, rx1)))
    second = auto != 0 ? first :
        Sets(unsafe_wrap(Array, xyz2, (3, n2, rx2)), unsafe_wrap(Array, w2, (n2, rw2)),
             unsafe_wrap(Array, g2, (f, n2, rx2)))
    repeated_pair_sums!(unsafe_wrap(Array, out, (nsums(which)::Int, nbins + 1, r)), which,
                        GEOMETRIES[geometry], first, second, auto != 0, unsafe_wrap(Array, edges, nbins + 1))
end
