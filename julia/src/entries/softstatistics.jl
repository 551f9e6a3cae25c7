# C entry points of the statistics of pairs in soft bins.
#
# `kind` chooses the statistic; objects travel as columns (n1, c1) and (n2, c2), bins as (nbins, 3): limits and
# sharpness. `options` are the geometry, Gaussian, whether coincident pairs are dropped, the reference of rho
# statistics, and whether randoms are held; `numbers` those of rr (nbins; NaN where not known, and put there for
# held randoms), or for a box its sides (3) and the shares of shells (nbins). With `derive` objects carry a
# derivative along `along1` and `along2`.

const SOFT_COLUMNS = [(9, 0), (3, 5), (3, 3), (7, 0)]

function wrapped_statistic(kind, options, numbers, nb, bins)
    o, b = unsafe_wrap(Array, options, 5), unsafe_wrap(Array, bins, (nb, 3))
    soft = SoftBins(b[:, 1], b[:, 2], b[:, 3], o[2] != 0, false, o[3] != 0)
    if kind == 4
        box = unsafe_wrap(Array, numbers, 3 + nb)
        return BoxStatistics(PeriodicBox((box[1], box[2], box[3])), soft, box[4:end])
    end
    geometry = GEOMETRIES[o[1]]
    kind == 1 && return RhoStatistics(geometry, soft, o[4])
    kind == 2 && return TangentialShear(geometry, soft)
    return LandySzalay(geometry, soft, o[5] != 0, unsafe_wrap(Array, numbers, nb))
end

function wrapped_objects(kind, n1, one, n2, two)
    c1, c2 = SOFT_COLUMNS[kind]
    return unsafe_wrap(Array, one, (n1, c1)), unsafe_wrap(Array, two, (n2, c2))
end

# `values` (nbins, V, 2): and their derivatives; `report`: coincident pairs.
@entry function soft_statistic(kind::Int64, options::Ptr{Int64}, numbers::Ptr{Float64}, n1::Int64,
                               one::Ptr{Float64}, n2::Int64, two::Ptr{Float64}, nb::Int64, bins::Ptr{Float64},
                               derive::Int64, along1::Ptr{Float64}, along2::Ptr{Float64}, values::Ptr{Float64},
                               report::Ptr{Float64})
    stat = wrapped_statistic(kind, options, numbers, nb, bins)
    objects = wrapped_objects(kind, n1, one, n2, two)
    if derive != 0
        objects = map(along, objects, wrapped_objects(kind, n1, along1, n2, along2))
    end
    found, met = soft_values(stat, objects...)
    v = unsafe_wrap(Array, values, (nb, nvalues(stat), 2))
    v[:, :, 1] = map(primal, found)
    # A bin without pairs has derivative 0.
    v[:, :, 2] = derive == 0 ? zero(v[:, :, 1]) : map(x -> isnan(primal(x)) ? 0.0 : partials(x)[1], found)
    unsafe_store!(report, met)
end

# `cotangents` (nbins, V, R); `back1` and `back2` (n, c, R): gradients; with `derive` also how they change, in
# `second1` and `second2`.
@entry function soft_statistic_pullback(kind::Int64, options::Ptr{Int64}, numbers::Ptr{Float64}, n1::Int64,
                                        one::Ptr{Float64}, n2::Int64, two::Ptr{Float64}, nb::Int64,
                                        bins::Ptr{Float64}, r::Int64, cotangents::Ptr{Float64}, derive::Int64,
                                        along1::Ptr{Float64}, along2::Ptr{Float64}, values::Ptr{Float64},
                                        back1::Ptr{Float64}, back2::Ptr{Float64}, second1::Ptr{Float64},
                                        second2::Ptr{Float64}, report::Ptr{Float64})
    stat = wrapped_statistic(kind, options, numbers, nb, bins)
    objects = wrapped_objects(kind, n1, one, n2, two)
    if derive != 0
        objects = map(along, objects, wrapped_objects(kind, n1, along1, n2, along2))
    end
    found, one_, two_, met = soft_values_pullback(stat, objects...,
                                                  unsafe_wrap(Array, cotangents, (nb, nvalues(stat), r)))
    copyto!(unsafe_wrap(Array, values, (nb, nvalues(stat))), map(primal, found))
    for (a, to, more, n, c) in ((one_, back1, second1, n1, SOFT_COLUMNS[kind][1]),
                                (two_, back2, second2, n2, SOFT_COLUMNS[kind][2]))
        n * c == 0 && continue
        copyto!(unsafe_wrap(Array, to, (n, c, r)), map(primal, a))
        derive == 0 || copyto!(unsafe_wrap(Array, more, (n, c, r)), map(x -> partials(x)[1], a))
    end
    unsafe_store!(report, met)
end

# `by1` (nbins, V, n1) and `by2` (nbins, V, n2): derivatives by weights.
@entry function soft_statistic_weights(kind::Int64, options::Ptr{Int64}, numbers::Ptr{Float64}, n1::Int64,
                                       one::Ptr{Float64}, n2::Int64, two::Ptr{Float64}, nb::Int64,
                                       bins::Ptr{Float64}, values::Ptr{Float64}, by1::Ptr{Float64},
                                       by2::Ptr{Float64})
    stat = wrapped_statistic(kind, options, numbers, nb, bins)
    found, one_, two_ = soft_values_by_weights(stat, wrapped_objects(kind, n1, one, n2, two)...)
    copyto!(unsafe_wrap(Array, values, (nb, nvalues(stat))), found)
    copyto!(unsafe_wrap(Array, by1, (nb, nvalues(stat), n1)), one_)
    n2 == 0 || copyto!(unsafe_wrap(Array, by2, (nb, nvalues(stat), n2)), two_)
end
