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
    cluster_means!(x, w, fields, labels, x0, w0, fields0)

Clusters of labeled objects: mean directions `x` (3, c), weights `w` (c) and weighted means of
the fields (F, c), from objects `x0` (3, N), `w0` (N), `fields0` (F, N).
"""
function cluster_means!(x, w, fields, labels, x0, w0, fields0)
    fill!(x, 0)
    fill!(w, 0)
    fill!(fields, 0)
    @inbounds for i in eachindex(labels)
        k = labels[i]
        add_member!(x, w, fields, k, w0[i], i, x0, fields0)
    end
    return finish_means!(x, w, fields)
end

"The same for memberships in parts, `share` (c, N)."
function soft_means!(x, w, fields, share, x0, w0, fields0)
    fill!(x, 0)
    fill!(w, 0)
    fill!(fields, 0)
    @inbounds for i in axes(share, 2), k in axes(share, 1)
        iszero(share[k, i]) && continue
        add_member!(x, w, fields, k, w0[i] * share[k, i], i, x0, fields0)
    end
    return finish_means!(x, w, fields)
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

function finish_means!(x, w, fields)
    for k in eachindex(w)
        iszero(w[k]) && continue
        for f in axes(fields, 1)
            fields[f, k] /= w[k]
        end
        norm = sqrt(x[1, k]^2 + x[2, k]^2 + x[3, k]^2)
        for d in 1:3
            x[d, k] /= norm
        end
    end
    return nothing
end
