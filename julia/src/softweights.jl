# Values of statistics in soft bins with their derivatives by all weights, from passes over the pairs of each
# object: sums are linear in each weight, so that the pass that gives the value gives them as well.

"""
    sums_by_object(form, geometry, bins, own, others; same) -> (nsums, nbins, n)

Sums of each object of `own`, places and numbers at weight 1, with all of `others`; but for itself, where both
are the `same` objects.
"""
function sums_by_object(form, geometry, bins, own, others; same)
    found = of_objects(soft_pairs(form, geometry, bins, PointSets(own..., others...)))
    same || return found
    C, reach2 = Val(size(own[2], 2)), soft_reach2(geometry, bins)
    itself = zeros(size(found, 1), size(found, 2))
    for i in axes(found, 3)
        fill!(itself, 0.0)
        u = point(own[1], i)
        sum_pair!(itself, form, geometry, bins, u, u, numbers_of(own[2], i, C), numbers_of(others[2], i, C), reach2)
        found[:, :, i] .-= itself
    end
    return found
end

function of_objects(p::FewPairs)
    n, C = size(p.sets.x1, 1), Val(size(p.sets.p1, 2))
    found = zeros(nsums(p.form), nbins(p.bins), n)
    reach2 = soft_reach2(p.geometry, p.bins)
    chunked(n, 64) do _, range
        for i in range
            rows_sums!(view(found, :, :, i), p.form, p.geometry, p.bins, p.sets, i:i, reach2, C)
        end
    end
    return found
end

function of_objects(pairs::SoftPairs)
    bins, table = pairs.bins, pairs.table
    far2 = table.cells == 0 ? soft_reach2(pairs.geometry, bins) :
        reach2_of(pairs.geometry, bins, 1:nbins(bins), FAR)[2]
    found = slots_in_range(pairs, table, bins, (0.0, far2))
    exact = table.cells == 0 ? Int[] : exact_bins(pairs, vec(sum(found[end, :, :], dims = 2)), far2)
    if !isempty(exact)
        few = bins[exact]
        found[:, exact, :] = slots_in_range(pairs, SoftTable(few), few,
                                            reach2_of(pairs.geometry, few, 1:nbins(few), UNDERFLOW))
    end
    return found
end

function slots_in_range(pairs::SoftPairs, table, bins, range)
    tree, S = pairs.first.tree, nsums(pairs.form)
    found = zeros(S, nbins(bins), count(!iszero, tree.real))
    parts = walk_parts(pairs, 1 << 19)
    chunked(parts, parts) do p, _
        bench = SumsBench(Float64, S, table, bins)
        stack = Int[]
        each_leaf(pairs, parts, p) do I
            for s in tree.first[I]:last_slot(pairs.first, I)
                fill!(bench.moments, 0.0)
                fill!(bench.apart, 0.0)
                each_leaf_pair(pairs, I, stack, range) do J
                    slot_sums!(bench, pairs, table, bins, range[2], s, J, 0)
                end
                found[:, :, tree.order[s]] = bench.apart .+ from_moments(bench.moments, table, S, nbins(bins))
            end
        end
    end
    return found
end

# ---- statistics ------------------------------------------------------------------------------

"Objects as they would be at weight 1."
at_weight_one(y, column) = (z = copy(y); z[:, column] .= 1; z)

"Sums of all pairs of one set, from those of its objects."
half_sum(found, w) = dropdims(sum(found .* reshape(w, 1, 1, :), dims = 3), dims = 3) ./ 2

"Derivatives (nbins, V, n) of quotients by the weights of objects, from their sums."
function quotients_by(found, sums)
    V, nb = size(sums, 1) - 1, size(sums, 2)
    out = zeros(nb, V, size(found, 3))
    for i in axes(out, 3), k in 1:V, b in 1:nb
        sums[end, b] > NO_PAIRS || continue
        out[b, k, i] = (found[k, b, i] - sums[k, b] / sums[end, b] * found[end, b, i]) / sums[end, b]
    end
    return out
end

"""
    soft_values_by_weights(stat, one, two) -> (values, one_, two_)

Values (nbins, V) and their derivatives (nbins, V, n) by the weights of each set.
"""
function soft_values_by_weights(stat::RhoStatistics, one, two)
    found = sums_by_object(RHO, stat.geometry, stat.bins, rho_points(stat, at_weight_one(one, 5)),
                           rho_points(stat, one); same = true)
    sums = half_sum(found, one[:, 5])
    return quotients(sums), quotients_by(found, sums), zeros(stat_size(stat)..., 0)
end

stat_size(stat) = (nbins(stat.bins), nvalues(stat))

function soft_values_by_weights(stat::TangentialShear, one, two)
    geometry = stat.geometry
    lenses, sources = lens_points(geometry, one), source_points(geometry, two)
    of_lenses = sums_by_object(TANGENTIAL, geometry, stat.bins, lens_points(geometry, at_weight_one(one, 3)),
                               sources; same = false)
    of_sources = sums_by_object(TANGENTIAL_BACK, geometry, stat.bins,
                                source_points(geometry, at_weight_one(two, 5)), lenses; same = false)
    sums = 2 .* half_sum(of_lenses, one[:, 3])
    return quotients(sums), quotients_by(of_lenses, sums), quotients_by(of_sources, sums)
end

function soft_values_by_weights(stat::BoxStatistics, one, two)
    found = sums_by_object(AxisPairs(), stat.geometry, stat.bins, box_points(at_weight_one(one, 7)),
                           box_points(one); same = true)
    sums, total = half_sum(found, one[:, 7]), sum(one[:, 7])
    per = 2 ./ (total^2 .* stat.shells)
    of_xi = per .* found[3, :, :] .- 2 / total .* per .* sums[3, :]
    one_ = cat(reshape(of_xi, length(per), 1, :), quotients_by(found, sums), dims = 2)
    return values_of(stat, (sums,), one, two), one_, zeros(stat_size(stat)..., 0)
end

function soft_values_by_weights(stat::LandySzalay, one, two)
    data, randoms = counted_points(stat.geometry, one), counted_points(stat.geometry, two)
    unit(y) = counted_points(stat.geometry, at_weight_one(y, 3))
    by(own, others, same) = sums_by_object(Counts(), stat.geometry, stat.bins, own, others; same = same)[1, :, :]
    dd, dr = by(unit(one), data, true), by(unit(one), randoms, false)
    sums = dd * one[:, 3] ./ 2, dr * one[:, 3]
    total, ratio = sum(one[:, 3]), sum(two[:, 3]) / sum(one[:, 3])
    if stat.held
        known(stat) || (stat.rr .= sums!(soft_pairs(Counts(), stat.geometry, stat.bins, PointSets(randoms...)))[1][1, :])
        rr, rr_each, rd = stat.rr, zeros(nbins(stat.bins), 0), zeros(nbins(stat.bins), 0)
    else
        rr_each, rd = by(unit(two), randoms, true), by(unit(two), data, false)
        rr = rr_each * two[:, 3] ./ 2
    end
    inverse = [q > NO_PAIRS ? inv(q) : 0.0 for q in rr]
    by_ratio = inverse .* (2 .* ratio .* sums[1] .- sums[2])
    one_ = inverse .* (ratio^2 .* dd .- ratio .* dr) .- by_ratio .* (ratio / total)
    two_ = zeros(nbins(stat.bins), size(two, 1))
    if !stat.held
        two_ .= -inverse .* ratio .* rd .- inverse .^ 2 .* (ratio^2 .* sums[1] .- ratio .* sums[2]) .* rr_each .+
            by_ratio ./ total
    end
    values = values_of(stat, map(permutedims, (sums[1], sums[2], rr)), one, two)
    return values, reshape(one_, nbins(stat.bins), 1, :), reshape(two_, nbins(stat.bins), 1, :)
end
