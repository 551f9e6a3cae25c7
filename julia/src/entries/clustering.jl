# C entry points of fuzzy c-means and of the assignments. Coordinates are (3, N) unit vectors or
# (2, N) plane ones, for the means (3, N) with a third of 0; centers travel as (c, D), memberships as
# (c, N).

"The geometries that Python asks for, by number; of any type, so that only the one in use is compiled."
const GEOMETRIES = Any[Sphere(), Plane()]

@entry function seed_centers(xyz::Ptr{Float64}, dims::Int64, n::Int64, w::Ptr{Float64}, c::Int64,
                             draws::Ptr{Float64}, centers::Ptr{Float64})
    seed!(unsafe_wrap(Array, centers, (c, dims)), unsafe_wrap(Array, xyz, (dims, n)),
          unsafe_wrap(Array, w, n), unsafe_wrap(Array, draws, c))
end

# `history` is (max_iter, 2): objective and ||dU||; `outcome` gets the number of sweeps and 1
# where they converged.
@entry function fuzzy_cmeans(xyz::Ptr{Float64}, dims::Int64, n::Int64, w::Ptr{Float64}, c::Int64,
                             m::Float64, tol::Float64, max_iter::Int64, accelerate::Int64,
                             centers::Ptr{Float64}, u::Ptr{Float64}, history::Ptr{Float64},
                             outcome::Ptr{Int64})
    objectives, changes, converged = fuzzy_cmeans!(
        unsafe_wrap(Array, centers, (c, dims)), unsafe_wrap(Array, u, (c, n)),
        unsafe_wrap(Array, xyz, (dims, n)), unsafe_wrap(Array, w, n), m, tol, max_iter;
        accelerate = accelerate != 0)
    out = unsafe_wrap(Array, history, (max_iter, 2))
    out[eachindex(objectives), 1] = objectives
    out[eachindex(changes), 2] = changes
    unsafe_store!(outcome, length(objectives), 1)
    unsafe_store!(outcome, converged, 2)
end

# The same for many clusters; `totals` (N) gets the sum of d^(-2/(m-1)) over all centers.
@entry function sparse_cmeans(xyz::Ptr{Float64}, dims::Int64, n::Int64, w::Ptr{Float64}, c::Int64,
                              m::Float64, tol::Float64, max_iter::Int64, accelerate::Int64,
                              centers::Ptr{Float64}, totals::Ptr{Float64}, history::Ptr{Float64},
                              outcome::Ptr{Int64})
    objectives, changes, converged, found = sparse_cmeans!(
        unsafe_wrap(Array, centers, (c, dims)), unsafe_wrap(Array, xyz, (dims, n)),
        unsafe_wrap(Array, w, n), m, tol, max_iter; accelerate = accelerate != 0)
    copyto!(unsafe_wrap(Array, totals, n), found)
    out = unsafe_wrap(Array, history, (max_iter, 2))
    out[eachindex(objectives), 1] = objectives
    out[eachindex(changes), 2] = changes
    unsafe_store!(outcome, length(objectives), 1)
    unsafe_store!(outcome, converged, 2)
end

# Cotangents (c, D) of converged centers back to those of the objects (D, N) and of their weights (N).
# `report`: steps, what is left of the residual, whether the centers are at no minimum.
@entry function centers_pullback(xyz::Ptr{Float64}, dims::Int64, n::Int64, w::Ptr{Float64}, c::Int64,
                                 m::Float64, centers::Ptr{Float64}, cotangent::Ptr{Float64},
                                 tol::Float64, max_iter::Int64, places::Ptr{Float64},
                                 weights::Ptr{Float64}, report::Ptr{Float64})
    x_, w_, steps, residual, downward = sparse_pullback(
        unsafe_wrap(Array, centers, (c, dims)), unsafe_wrap(Array, xyz, (dims, n)),
        unsafe_wrap(Array, w, n), m, unsafe_wrap(Array, cotangent, (c, dims)), tol, max_iter)
    copyto!(unsafe_wrap(Array, places, (dims, n)), x_)
    copyto!(unsafe_wrap(Array, weights, n), w_)
    copyto!(unsafe_wrap(Array, report, 3), [steps, residual, downward])
end

# Entropy of each object's memberships (N), and the sum of each cluster's (c).
@entry function membership_sums(xyz::Ptr{Float64}, dims::Int64, n::Int64, c::Int64, m::Float64,
                                centers::Ptr{Float64}, entropy::Ptr{Float64}, sizes::Ptr{Float64})
    membership_sums!(unsafe_wrap(Array, entropy, n), unsafe_wrap(Array, sizes, c),
                     unsafe_wrap(Array, xyz, (dims, n)), unsafe_wrap(Array, centers, (c, dims)), m)
end

# `assign_sampled` of memberships that are nowhere kept.
@entry function assign_places(xyz::Ptr{Float64}, dims::Int64, n::Int64, c::Int64, m::Float64,
                              centers::Ptr{Float64}, r::Int64, draws::Ptr{Float64}, labels::Ptr{Int64})
    assign_places!(unsafe_wrap(Array, labels, (n, r)), unsafe_wrap(Array, xyz, (dims, n)),
                   unsafe_wrap(Array, centers, (c, dims)), m, unsafe_wrap(Array, draws, (n, r)))
end

# Memberships of objects in given centers.
@entry function memberships(xyz::Ptr{Float64}, dims::Int64, n::Int64, c::Int64, m::Float64,
                            centers::Ptr{Float64}, u::Ptr{Float64})
    x = unsafe_wrap(Array, xyz, (dims, n))
    v = unsafe_wrap(Array, centers, (c, dims))
    out = unsafe_wrap(Array, u, (c, n))
    power = fuzziness(m)
    chunked(n, pieces(n)) do _, range
        row = zeros(c)
        for i in range
            memberships!(row, x, i, v, power)
            out[:, i] = row
        end
    end
end

@entry function assign_greedy(u::Ptr{Float64}, c::Int64, n::Int64, labels::Ptr{Int64})
    assign_greedy!(unsafe_wrap(Array, labels, n), unsafe_wrap(Array, u, (c, n)))
end

# `draws` and `labels` are (N, R): one column per draw.
@entry function assign_sampled(u::Ptr{Float64}, c::Int64, n::Int64, r::Int64,
                               draws::Ptr{Float64}, labels::Ptr{Int64})
    share = unsafe_wrap(Array, u, (c, n))
    uniform = unsafe_wrap(Array, draws, (n, r))
    out = unsafe_wrap(Array, labels, (n, r))
    chunked(r, r) do _, range
        for k in range
            assign_sampled!(view(out, :, k), share, view(uniform, :, k))
        end
    end
end

@entry function assign_gumbel(u::Ptr{Float64}, c::Int64, n::Int64, noise::Ptr{Float64},
                              tau::Float64, straight::Int64, share::Ptr{Float64})
    assign_gumbel!(unsafe_wrap(Array, share, (c, n)), unsafe_wrap(Array, u, (c, n)),
                   unsafe_wrap(Array, noise, (c, n)), tau; straight = straight != 0)
end

# R sets of clusters: labels (N, RL) and weights (N, RW), where RL and RW are R or 1.
@entry function label_means(geometry::Int64, xyz::Ptr{Float64}, n::Int64, fields::Ptr{Float64}, f::Int64,
                            weights::Ptr{Float64}, rw::Int64, labels::Ptr{Int64}, rl::Int64,
                            c::Int64, r::Int64, cxyz::Ptr{Float64}, cw::Ptr{Float64},
                            cfields::Ptr{Float64})
    x0, g0 = unsafe_wrap(Array, xyz, (3, n)), unsafe_wrap(Array, fields, (f, n))
    w0, l0 = unsafe_wrap(Array, weights, (n, rw)), unsafe_wrap(Array, labels, (n, rl))
    x, w = unsafe_wrap(Array, cxyz, (3, c, r)), unsafe_wrap(Array, cw, (c, r))
    g = unsafe_wrap(Array, cfields, (f, c, r))
    chunked(r, r) do _, range
        for k in range
            cluster_means!(view(x, :, :, k), view(w, :, k), view(g, :, :, k), GEOMETRIES[geometry],
                           view(l0, :, min(k, rl)), x0, view(w0, :, min(k, rw)), g0)
        end
    end
end

# R sets of clusters by memberships in parts, `share` (c, N).
@entry function share_means(geometry::Int64, xyz::Ptr{Float64}, n::Int64, fields::Ptr{Float64}, f::Int64,
                            weights::Ptr{Float64}, r::Int64, share::Ptr{Float64}, c::Int64,
                            cxyz::Ptr{Float64}, cw::Ptr{Float64}, cfields::Ptr{Float64})
    x0, g0 = unsafe_wrap(Array, xyz, (3, n)), unsafe_wrap(Array, fields, (f, n))
    w0, u = unsafe_wrap(Array, weights, (n, r)), unsafe_wrap(Array, share, (c, n))
    x, w = unsafe_wrap(Array, cxyz, (3, c, r)), unsafe_wrap(Array, cw, (c, r))
    g = unsafe_wrap(Array, cfields, (f, c, r))
    chunked(r, r) do _, range
        for k in range
            soft_means!(view(x, :, :, k), view(w, :, k), view(g, :, :, k), GEOMETRIES[geometry], u, x0,
                        view(w0, :, k), g0)
        end
    end
end
