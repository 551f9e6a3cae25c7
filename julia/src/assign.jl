# From memberships to clusters (Berman et al. 2025, section 2.3): each object to one cluster, or
# in parts to all, and the cluster's position and quantities as weighted means of its members.
# A cluster carries the sum of its members' weights; an empty one carries none and adds nothing.

"Label of each object: the first cluster of largest membership. `u` is (c, N)."
function assign_greedy!(labels, u)
    for i in eachindex(labels)
        best = 1
        for k in 2:size(u, 1)
            u[k, i] > u[best, i] && (best = k)
        end
        labels[i] = best
    end
    return labels
end

"Label of each object drawn from its memberships by one uniform number."
function assign_sampled!(labels, u, draws)
    for i in eachindex(labels)
        target = draws[i] * sum(view(u, :, i))
        running = zero(target)
        label = 0
        for k in axes(u, 1)
            u[k, i] > 0 || continue
            running += u[k, i]
            label = k
            running > target && break
        end
        labels[i] = label
    end
    return labels
end

"""
    assign_gumbel!(out, u, noise, tau; straight)

Relaxed draw, softmax((log u + g)/tau), of each object, with Gumbel numbers `noise` (c, N); with
`straight`, the one cluster that it would fall into as tau goes to 0.
"""
function assign_gumbel!(out, u, noise, tau; straight = false)
    for i in axes(u, 2)
        high = typemin(eltype(out))
        best = 0
        for k in axes(u, 1)
            out[k, i] = iszero(u[k, i]) ? typemin(eltype(out)) : (log(u[k, i]) + noise[k, i]) / tau
            if out[k, i] > high
                high = out[k, i]
                best = k
            end
        end
        total = zero(eltype(out))
        for k in axes(u, 1)
            out[k, i] = straight ? (k == best ? one(high) : zero(high)) : exp(out[k, i] - high)
            total += out[k, i]
        end
        for k in axes(u, 1)
            out[k, i] /= total
        end
    end
    return out
end

"""
    cluster_means!(x, w, fields, geometry, labels, x0, w0, fields0)

Clusters of labeled objects: mean places `x` (3, c), weights `w` (c) and weighted means of
the fields (F, c), from objects `x0` (3, N), `w0` (N), `fields0` (F, N).
"""
function cluster_means!(x, w, fields, geometry, labels, x0, w0, fields0)
    fill!(x, 0)
    fill!(w, 0)
    fill!(fields, 0)
    @inbounds for i in eachindex(labels)
        k = labels[i]
        add_member!(x, w, fields, k, w0[i], i, x0, fields0)
    end
    return finish_means!(x, w, fields, geometry)
end

"Clusters of objects that belong in parts, by `share` (c, N); arguments as for `cluster_means!`."
function soft_means!(x, w, fields, geometry, share, x0, w0, fields0)
    fill!(x, 0)
    fill!(w, 0)
    fill!(fields, 0)
    @inbounds for i in axes(share, 2), k in axes(share, 1)
        iszero(share[k, i]) && continue
        add_member!(x, w, fields, k, w0[i] * share[k, i], i, x0, fields0)
    end
    return finish_means!(x, w, fields, geometry)
end

@inline function add_member!(x, w, fields, k, weight, i, x0, fields0)
    @inbounds begin
        w[k] += weight
        for d in 1:3
            x[d, k] += weight * x0[d, i]
        end
        for f in axes(fields, 1)
            fields[f, k] += weight * fields0[f, i]
        end
    end
end

function finish_means!(x, w, fields, geometry)
    for k in eachindex(w)
        iszero(w[k]) && continue
        for f in axes(fields, 1)
            fields[f, k] /= w[k]
        end
        scale = mean_scale(geometry, x, w, k)
        for d in 1:3
            x[d, k] /= scale
        end
    end
    return nothing
end

mean_scale(::Sphere, x, w, k) = sqrt(x[1, k]^2 + x[2, k]^2 + x[3, k]^2)
mean_scale(::Plane, x, w, k) = w[k]

# ---- for users -----------------------------------------------------------------------------------

"""
    assign_greedy(u)

Label (N) of each object: the first cluster of largest membership, from memberships `u` (c, N).

# Example
```julia
assign_greedy([0.9 0.2; 0.1 0.8]) == [1, 2]
```
"""
assign_greedy(u::AbstractMatrix) = assign_greedy!(Vector{Int}(undef, size(u, 2)), u)

"""
    assign_sampled(u; draws = rand(N))

Label (N) of each object, drawn from its memberships `u` (c, N) by one uniform number in [0, 1) each.

# Example
```julia
assign_sampled([0.9 0.2; 0.1 0.8]; draws = [0.95, 0.95]) == [2, 2]
```
"""
assign_sampled(u::AbstractMatrix; draws = rand(size(u, 2))) =
    assign_sampled!(Vector{Int}(undef, size(u, 2)), u, draws)

"""
    assign_gumbel(u, noise; tau, straight = false)

Shares (c, N) of a relaxed random draw from memberships `u` (c, N): softmax((log u + noise)/tau) of
each object, with Gumbel numbers `noise` (c, N) and temperature `tau`. With `straight` the whole
object goes to the cluster that it would fall into as tau goes to 0.

# Example
```julia
assign_gumbel([0.9 0.2; 0.1 0.8], zeros(2, 2); tau = 1) ≈ [0.9 0.2; 0.1 0.8]
```
"""
assign_gumbel(u::AbstractMatrix, noise::AbstractMatrix; tau::Real, straight::Bool = false) =
    assign_gumbel!(zeros(float(promote_type(eltype(u), eltype(noise), typeof(tau))), size(u)), u, noise, tau;
                   straight = straight)

"""
    cluster_means(labels, c, x, weights, fields)
    cluster_means(share, x, weights, fields)

Clusters of objects by their labels (N), from 1 to `c`, or by shares (c, N). Objects are unit
vectors `x` (3, N), `weights` (N) and any `fields` (F, N).

Returns `(x, weights, fields)` of the clusters: mean directions (3, c), sums of weights (c) and
weighted means of the fields (F, c). An empty cluster has weight 0.

# Example
```julia
cluster_means([1, 2, 2], 2, directions([0.0, 9, 11], zeros(3)), ones(3), [1.0 2 4]).fields == [1 3]
```
"""
cluster_means(labels::AbstractVector{<:Integer}, c::Integer, x, weights, fields) =
    cluster_means(cluster_means!, labels, c, x, weights, fields)
cluster_means(share::AbstractMatrix, x, weights, fields) =
    cluster_means(soft_means!, share, size(share, 1), x, weights, fields)

function cluster_means(means!::Function, members, c, x0, weights, fields0)
    T = float(promote_type(eltype(x0), eltype(weights), eltype(fields0), eltype(members)))
    x, w, fields = zeros(T, 3, c), zeros(T, c), zeros(T, size(fields0, 1), c)
    means!(x, w, fields, Sphere(), members, x0, weights, fields0)
    return (x = x, weights = w, fields = fields)
end
