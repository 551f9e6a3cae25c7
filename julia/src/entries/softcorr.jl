# C entry points of the differentiable correlation function.
#
# Objects travel as (N, 5): right ascension, declination (degrees), or x and y, then g1, g2, weight;
# centers as (c, 3), Gumbel numbers as (c, N) or nothing, bins as (nbins, 3): limits and sharpness.
# `options` are approach, through, Gaussian, xi-, straight-through, literal, weighted, max_iter,
# whether coincident pairs are dropped, and the geometry; `numbers` are the fuzziness and the
# temperature.

# The mark of a derivative along one given direction.
struct AlongTangent end

"Numbers that carry their derivative along one direction."
along(y, t) = [forward_mode().Dual{AlongTangent}(y[i], (t[i],)) for i in CartesianIndices(y)]

function wrapped_estimator(c, n, noise, options, numbers, bins, nb)
    o, b = unsafe_wrap(Array, options, 10), unsafe_wrap(Array, bins, (nb, 3))
    m, tau = unsafe_wrap(Array, numbers, 2)
    draws = o[1] == GUMBEL ? unsafe_wrap(Array, noise, (c, n)) : zeros(0, 0)
    soft = SoftBins(b[:, 1], b[:, 2], b[:, 3], o[3] != 0, o[4] != 0, o[9] != 0)
    return SoftEstimator(GEOMETRIES[o[10]], soft, o[1], o[2], m, tau, draws,
                         o[5] != 0, o[6] != 0, o[7] != 0, o[8])
end

shears(objects) = permutedims(objects[:, 3:4])

# Centers in, converged centers out. `plain` asks for plain sweeps, as `UNROLLED` differentiates
# them. `outcome`: steps, converged; `left`: motion of a center in one more sweep, and seconds.
@entry function softcorr_centers(geometry::Int64, n::Int64, objects::Ptr{Float64}, c::Int64, m::Float64,
                                 weighted::Int64, plain::Int64, max_iter::Int64,
                                 centers::Ptr{Float64}, outcome::Ptr{Int64}, left::Ptr{Float64})
    begun = time_ns()
    y = unsafe_wrap(Array, objects, (n, 5))
    sweeps, residual, converged = settle_centers!(
        GEOMETRIES[geometry], unsafe_wrap(Array, centers, (c, 3)), y[:, 1], y[:, 2],
        weighted != 0 ? y[:, 5] : ones(n), m, plain != 0, max_iter)
    unsafe_store!(outcome, sweeps, 1)
    unsafe_store!(outcome, converged, 2)
    unsafe_store!(left, residual, 1)
    unsafe_store!(left, (time_ns() - begun) / 1e9, 2)
end

# A function of its own, so that it is compiled for each geometry.
function settle_centers!(geometry, v, a, b, w, m, plain, max_iter)
    x = places(geometry, a, b)
    plain || return converge_centers!(geometry, v, x, w, m, max_iter)
    iterates, settled = unroll_centers(geometry, v, x, w, m, UNROLLED_TOL, max_iter)
    copyto!(v, iterates[end])
    residual = standing(geometry, x, w, v, m).residual
    return length(iterates) - 1, residual, settled || residual <= CONVERGED * field_extent(x)
end

# `sums` (nbins, 3): xi, numerator, denominator; `report`: coincident pairs, seconds.
@entry function softcorr_value(n::Int64, objects::Ptr{Float64}, c::Int64, centers::Ptr{Float64},
                               noise::Ptr{Float64}, options::Ptr{Int64}, numbers::Ptr{Float64},
                               nb::Int64, bins::Ptr{Float64}, sums::Ptr{Float64},
                               report::Ptr{Float64})
    begun = time_ns()
    y = unsafe_wrap(Array, objects, (n, 5))
    est = wrapped_estimator(c, n, noise, options, numbers, bins, nb)
    xi, num, den, coincident = soft_correlation_at(
        est, unsafe_wrap(Array, centers, (c, 3)), y[:, 1], y[:, 2], shears(y), y[:, 5])
    copyto!(unsafe_wrap(Array, sums, (nb, 3)), hcat(xi, num, den))
    unsafe_store!(report, coincident, 1)
    unsafe_store!(report, (time_ns() - begun) / 1e9, 2)
end

# `cotangents` (nbins, R) in, (N, R, 5) out; `solve_kind` as of `Factor`; `report`: seconds of
# clusters, pairs, back and solve, the solve's reciprocal condition, and the coincident pairs.
@entry function softcorr_vjp(n::Int64, objects::Ptr{Float64}, c::Int64, centers::Ptr{Float64},
                             noise::Ptr{Float64}, options::Ptr{Int64}, numbers::Ptr{Float64},
                             nb::Int64, bins::Ptr{Float64}, r::Int64, cotangents::Ptr{Float64},
                             value::Ptr{Float64}, out::Ptr{Float64}, solve_kind::Ptr{Int64},
                             report::Ptr{Float64})
    y = unsafe_wrap(Array, objects, (n, 5))
    est = wrapped_estimator(c, n, noise, options, numbers, bins, nb)
    xi, ra_, dec_, g_, w_, found, coincident = soft_correlation_pullback(
        est, unsafe_wrap(Array, centers, (c, 3)), y[:, 1], y[:, 2], shears(y), y[:, 5],
        unsafe_wrap(Array, cotangents, (nb, r)))
    copyto!(unsafe_wrap(Array, value, nb), xi)
    o = unsafe_wrap(Array, out, (n, r, 5))
    o[:, :, 1], o[:, :, 2], o[:, :, 5] = ra_, dec_, w_
    o[:, :, 3], o[:, :, 4] = g_[1, :, :], g_[2, :, :]
    unsafe_store!(solve_kind, found.kind)
    copyto!(unsafe_wrap(Array, report, 6), vcat(found.seconds, found.rcond, coincident))
end

# Forward derivative along `tangents` (N, 5); `out` (nbins, 2): xi and its derivative; `report`: the
# coincident pairs.
@entry function softcorr_jvp(n::Int64, objects::Ptr{Float64}, c::Int64, centers::Ptr{Float64},
                             noise::Ptr{Float64}, options::Ptr{Int64}, numbers::Ptr{Float64},
                             nb::Int64, bins::Ptr{Float64}, tangents::Ptr{Float64},
                             out::Ptr{Float64}, report::Ptr{Float64})
    y, t = unsafe_wrap(Array, objects, (n, 5)), unsafe_wrap(Array, tangents, (n, 5))
    est = wrapped_estimator(c, n, noise, options, numbers, bins, nb)
    carried = along(y, t)
    xi, num, den, coincident = soft_correlation_at(
        est, unsafe_wrap(Array, centers, (c, 3)), carried[:, 1], carried[:, 2], shears(carried),
        carried[:, 5])
    unsafe_store!(report, coincident)
    o = unsafe_wrap(Array, out, (nb, 2))
    for b in 1:nb
        o[b, 1] = value(xi[b])
        # A bin without pairs has derivative 0.
        o[b, 2] = value(den[b]) > NO_PAIRS ? partials(xi[b])[1] : 0.0
    end
end

# The derivative of `softcorr_vjp` as objects change along `tangents` (N, 5) and its cotangents along
# `turns` (nbins, R): Hessian-vector products. `first` and `out` (N, R, 5): the gradients, and their
# derivatives; the rest as for `softcorr_vjp`.
@entry function softcorr_hvp(n::Int64, objects::Ptr{Float64}, c::Int64, centers::Ptr{Float64},
                             noise::Ptr{Float64}, options::Ptr{Int64}, numbers::Ptr{Float64},
                             nb::Int64, bins::Ptr{Float64}, tangents::Ptr{Float64}, r::Int64,
                             cotangents::Ptr{Float64}, turns::Ptr{Float64}, value::Ptr{Float64},
                             first::Ptr{Float64}, out::Ptr{Float64}, solve_kind::Ptr{Int64},
                             report::Ptr{Float64})
    est = wrapped_estimator(c, n, noise, options, numbers, bins, nb)
    y = along(unsafe_wrap(Array, objects, (n, 5)), unsafe_wrap(Array, tangents, (n, 5)))
    z = along(unsafe_wrap(Array, cotangents, (nb, r)), unsafe_wrap(Array, turns, (nb, r)))
    xi, ra_, dec_, g_, w_, found, coincident = soft_correlation_pullback(
        est, unsafe_wrap(Array, centers, (c, 3)), y[:, 1], y[:, 2], shears(y), y[:, 5], z)
    copyto!(unsafe_wrap(Array, value, nb), map(primal, xi))
    o, d = unsafe_wrap(Array, first, (n, r, 5)), unsafe_wrap(Array, out, (n, r, 5))
    for (q, rows) in enumerate((ra_, dec_, g_[1, :, :], g_[2, :, :], w_))
        o[:, :, q] = map(primal, rows)
        d[:, :, q] = map(x -> partials(x)[1], rows)
    end
    unsafe_store!(solve_kind, found.kind)
    copyto!(unsafe_wrap(Array, report, 6), vcat(found.seconds, found.rcond, coincident))
end

# `theta` in arcmin; `out` (n, nbins).
@entry function soft_bin_weights(n::Int64, theta::Ptr{Float64}, gaussian::Int64, nb::Int64,
                                 bins::Ptr{Float64}, out::Ptr{Float64})
    b = unsafe_wrap(Array, bins, (nb, 3))
    soft = SoftBins(b[:, 1], b[:, 2], b[:, 3], gaussian != 0, false, false)
    o = unsafe_wrap(Array, out, (n, nb))
    for k in 1:nb, i in 1:n
        o[i, k] = bin_weight(soft, k, unsafe_load(theta, i))
    end
end
