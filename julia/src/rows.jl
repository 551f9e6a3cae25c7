# What is asked of all memberships where there is no room for them: an object's are made, used and
# forgotten.

"Entropy (nats) of the memberships `u`, whose length is a multiple of eight, with zeros beyond them."
function entropy8(u)
    total = splat8(0.0)
    GC.@preserve u for k in 1:8:length(u)
        a = vload(u, k)
        # An entry of 0 counts for nothing: log 1.
        total = vfma(a, vlog(vifzero(a, splat8(1.0), a)), total)
    end
    return -vsum(total)
end

"""
    membership_sums!(entropy, sizes, x, v, m)

Entropy of the memberships of each object, and the sum of those in each cluster.
"""
function membership_sums!(entropy, sizes, x, v, m)
    n, c = size(x, 2), size(v, 1)
    power, parts = fuzziness(m), pieces(n)
    sums = [zeros(0) for _ in 1:parts]
    chunked(n, parts) do part, range
        u, own = zeros(8 * cld(c, 8)), zeros(c)
        row = view(u, 1:c)
        for i in range
            cancelled() && return nothing
            memberships!(row, x, i, v, power)
            entropy[i] = entropy8(u)
            own .+= row
        end
        sums[part] = own
    end
    copyto!(sizes, add_pieces(sums))
    return nothing
end

"`assign_sampled!` at places `x` (D, N), `draws` and `labels` (N, R)."
function assign_places!(labels, x, v, m, draws)
    n, c = size(x, 2), size(v, 1)
    power = fuzziness(m)
    chunked(n, pieces(n)) do _, range
        u, running = zeros(c), zeros(c)
        for i in range
            cancelled() && return nothing
            memberships!(u, x, i, v, power)
            total, last, reached = sum(u), 0, 0.0
            for k in 1:c
                reached += u[k]
                running[k] = reached
                u[k] > 0 && (last = k)
            end
            for r in axes(draws, 2)
                labels[i, r] = min(searchsortedlast(running, draws[i, r] * total) + 1, last)
            end
        end
    end
    return labels
end
