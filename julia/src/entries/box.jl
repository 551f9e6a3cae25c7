# C entry points of the pair sums in a box.

# Two sets of objects, the second ignored with `auto`: positions and unit axes (3, N), weights,
# strengths and hosts (N), and with `drawn` second axes (3, N). Bins are (lo, hi] in the unit of
# the three sides of the box; `out` is (8, nbins, 2).
@entry function box_pair_sums(position1::Ptr{Float64}, axis1::Ptr{Float64}, weight1::Ptr{Float64},
                              strength1::Ptr{Float64}, host1::Ptr{Int64}, drawn1::Ptr{Float64},
                              n1::Int64, position2::Ptr{Float64}, axis2::Ptr{Float64},
                              weight2::Ptr{Float64}, strength2::Ptr{Float64}, host2::Ptr{Int64},
                              drawn2::Ptr{Float64}, n2::Int64, drawn::Int64, auto::Int64,
                              periodic::Int64, split::Int64, sides::Ptr{Float64},
                              edges::Ptr{Float64}, nbins::Int64, out::Ptr{Float64})
    objects(position, axis, weight, strength, host, second_axis, n) =
        BoxObjects(unsafe_wrap(Array, position, (3, n)), unsafe_wrap(Array, axis, (3, n)),
                   unsafe_wrap(Array, weight, n), unsafe_wrap(Array, strength, n),
                   unsafe_wrap(Array, host, n),
                   unsafe_wrap(Array, second_axis, (3, drawn != 0 ? n : 0)))
    first = objects(position1, axis1, weight1, strength1, host1, drawn1, n1)
    second = auto != 0 ? first :
        objects(position2, axis2, weight2, strength2, host2, drawn2, n2)
    unsafe_wrap(Array, out, (BOX_SUMS, nbins, 2)) .=
        box_sums(first, second, unsafe_wrap(Array, edges, nbins + 1),
                 unsafe_wrap(Array, sides, 3);
                 auto = auto != 0, periodic = periodic != 0, split = split != 0)
end

# The same for objects in `regions` regions, whose numbers from 1 (N) stand in place of second axes;
# `pairs` is (8, nbins, regions (regions + 1) / 2), in the order of `region_pair`.
@entry function box_region_sums(position1::Ptr{Float64}, axis1::Ptr{Float64}, weight1::Ptr{Float64},
                                strength1::Ptr{Float64}, host1::Ptr{Int64}, region1::Ptr{Int64},
                                n1::Int64, position2::Ptr{Float64}, axis2::Ptr{Float64},
                                weight2::Ptr{Float64}, strength2::Ptr{Float64}, host2::Ptr{Int64},
                                region2::Ptr{Int64}, n2::Int64, regions::Int64, auto::Int64,
                                periodic::Int64, split::Int64, sides::Ptr{Float64},
                                edges::Ptr{Float64}, nbins::Int64, out::Ptr{Float64},
                                pairs::Ptr{Float64})
    objects(position, axis, weight, strength, host, region, n) =
        BoxObjects(unsafe_wrap(Array, position, (3, n)), unsafe_wrap(Array, axis, (3, n)),
                   unsafe_wrap(Array, weight, n), unsafe_wrap(Array, strength, n),
                   unsafe_wrap(Array, host, n), zeros(3, 0), unsafe_wrap(Array, region, n))
    first = objects(position1, axis1, weight1, strength1, host1, region1, n1)
    second = auto != 0 ? first :
        objects(position2, axis2, weight2, strength2, host2, region2, n2)
    total, found = region_sums(first, second, unsafe_wrap(Array, edges, nbins + 1),
                               unsafe_wrap(Array, sides, 3); auto = auto != 0,
                               periodic = periodic != 0, split = split != 0,
                               regions = Int(regions))
    unsafe_wrap(Array, out, (BOX_SUMS, nbins, 2)) .= total
    unsafe_wrap(Array, pairs, size(found)) .= found
end
