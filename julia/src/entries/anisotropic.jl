# C entry point of the pair sums about a line of sight.

# Two sets of objects, the second ignored with `auto`: positions (3, N), the line of sight along z,
# projected shapes (2, N), weights. `sides` of the box, three; `edges` of rp and `inner` of |pi|, with
# `cosine` of s and |mu|; `out` is (8, nouter, ninner).
@entry function sight_pair_sums(position1::Ptr{Float64}, shape1::Ptr{Float64}, weight1::Ptr{Float64},
                                n1::Int64, position2::Ptr{Float64}, shape2::Ptr{Float64},
                                weight2::Ptr{Float64}, n2::Int64, cosine::Int64, auto::Int64,
                                periodic::Int64, sides::Ptr{Float64}, edges::Ptr{Float64},
                                nouter::Int64, inner::Ptr{Float64}, ninner::Int64, out::Ptr{Float64})
    objects(position, shape, weight, n) =
        SightObjects(unsafe_wrap(Array, position, (3, n)), unsafe_wrap(Array, shape, (2, n)),
                     unsafe_wrap(Array, weight, n))
    first = objects(position1, shape1, weight1, n1)
    second = auto != 0 ? first : objects(position2, shape2, weight2, n2)
    unsafe_wrap(Array, out, (SIGHT_SUMS, nouter, ninner)) .=
        sight_sums(first, second, unsafe_wrap(Array, edges, nouter + 1),
                   unsafe_wrap(Array, inner, ninner + 1), unsafe_wrap(Array, sides, 3);
                   cosine = cosine != 0, auto = auto != 0, periodic = periodic != 0)
end
