# C entry points of the moments of halo pairs between nodes of mass, and of places between kinds.

# Positions and unit axes (3, N), the node below each halo, from 1, and the part (N) that belongs to the
# node above, and the sides of the box; `out` is (3, steps, nodes, nodes), the last index that of the first halo of a pair.
@entry function hat_pair_sums(position::Ptr{Float64}, axis::Ptr{Float64}, node::Ptr{Int64},
                              part::Ptr{Float64}, n::Int64, sides::Ptr{Float64}, edges::Ptr{Float64},
                              steps::Int64, nodes::Int64, out::Ptr{Float64})
    objects = HatObjects(unsafe_wrap(Array, position, (3, n)), unsafe_wrap(Array, axis, (3, n)),
                         unsafe_wrap(Array, node, n), unsafe_wrap(Array, part, n))
    unsafe_wrap(Array, out, (HAT_MOMENTS, steps, nodes, nodes)) .=
        hat_sums(objects, nodes, unsafe_wrap(Array, edges, steps + 1),
                 unsafe_wrap(Array, sides, 3))
end

# Positions and unit axes (3, N), weights, hosts, the kind below each place, from 1, and the part (N) that
# belongs to the kind above, and the sides of the box; `out` is (3, bins, kinds, kinds), the last index that
# of the first place of a pair.
@entry function place_pair_sums(position::Ptr{Float64}, axis::Ptr{Float64}, weight::Ptr{Float64},
                                host::Ptr{Int64}, kind::Ptr{Int64}, part::Ptr{Float64}, n::Int64,
                                sides::Ptr{Float64}, edges::Ptr{Float64}, bins::Int64, kinds::Int64,
                                out::Ptr{Float64})
    objects = PlaceObjects(unsafe_wrap(Array, position, (3, n)), unsafe_wrap(Array, axis, (3, n)),
                           unsafe_wrap(Array, weight, n), unsafe_wrap(Array, host, n),
                           unsafe_wrap(Array, kind, n), unsafe_wrap(Array, part, n))
    unsafe_wrap(Array, out, (PLACE_MOMENTS, bins, kinds, kinds)) .=
        place_sums(objects, kinds, unsafe_wrap(Array, edges, bins + 1), unsafe_wrap(Array, sides, 3))
end

# The same about the z axis, in steps of rp, and by `offsets` from the limits of |pi| in `coarse` ones;
# `out` is (3, rows, nodes, nodes) with the rows of tabulate_sight.jl.
@entry function sight_hat_pair_sums(position::Ptr{Float64}, axis::Ptr{Float64}, node::Ptr{Int64},
                                    part::Ptr{Float64}, n::Int64, sides::Ptr{Float64},
                                    edges::Ptr{Float64}, nedges::Int64, coarse::Ptr{Float64},
                                    ncoarse::Int64, offsets::Ptr{Float64}, noffsets::Int64,
                                    pi_max::Float64, nodes::Int64, out::Ptr{Float64})
    objects = HatObjects(unsafe_wrap(Array, position, (3, n)), unsafe_wrap(Array, axis, (3, n)),
                         unsafe_wrap(Array, node, n), unsafe_wrap(Array, part, n))
    steps = SightSteps(unsafe_wrap(Array, edges, nedges), unsafe_wrap(Array, coarse, ncoarse),
                       unsafe_wrap(Array, offsets, noffsets), pi_max)
    unsafe_wrap(Array, out, (HAT_MOMENTS, sight_rows(steps), nodes, nodes)) .=
        sight_hat_sums(objects, nodes, steps, Tuple(unsafe_wrap(Array, sides, 3)))
end
