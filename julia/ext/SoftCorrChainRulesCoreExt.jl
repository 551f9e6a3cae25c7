# The reverse derivative of the soft correlation as a rule of ChainRules: Julia 1.9 and newer load it as
# soon as both packages are, and Zygote and others find it.
module SoftCorrChainRulesCoreExt

import ChainRulesCore
import SoftCorr

using ChainRulesCore: NoTangent, ProjectTo, unthunk
using SoftCorr: SoftEstimator, carries, settled, soft_correlation_at, soft_correlation_pullback, soft_xi

const NONE = zeros(0, 3)

# A cotangent of the same precision, unless it carries derivatives itself; whole numbers and ranges have
# that of the numbers that they stand for.
projector(x::Array{<:AbstractFloat}) = part -> carries(part) ? part : ProjectTo(x)(part)
projector(x) = identity

# Weights as the sixth argument have a cotangent; keywords never do.
function ChainRulesCore.rrule(::typeof(soft_xi), est::SoftEstimator, ra, dec, g1, g2, weights;
                              start = NONE)
    scaled, v, unit = settled(est, ra, dec, g1, g2, weights, start)
    a, b, g = ra ./ unit, dec ./ unit, permutedims(hcat(g1, g2))
    xi = soft_correlation_at(scaled, v, a, b, g, weights)[1]
    projects = map(projector, (ra, dec, g1, g2, weights))
    function soft_xi_pullback(cotangent)
        turned = unthunk(cotangent)
        turned isa ChainRulesCore.AbstractZero && return ntuple(_ -> turned, 7)
        column = reshape(collect(turned), :, 1)
        _, a_, b_, g_, w_, _, _ = soft_correlation_pullback(scaled, v, a, b, g, weights, column)
        parts = (a_[:, 1] ./ unit, b_[:, 1] ./ unit, g_[1, :, 1], g_[2, :, 1], w_[:, 1])
        return (NoTangent(), NoTangent(), map((p, part) -> p(part), projects, parts)...)
    end
    return xi, soft_xi_pullback
end

function ChainRulesCore.rrule(::typeof(soft_xi), est::SoftEstimator, ra, dec, g1, g2; start = NONE,
                              weights = nothing)
    weights === nothing || throw(ArgumentError(
        "soft_xi: in reverse mode keywords have no cotangents, which would be lost in silence: give the " *
        "weights as the sixth argument, soft_xi(estimator, ra, dec, g1, g2, weights; start = start)"))
    xi, back = ChainRulesCore.rrule(soft_xi, est, ra, dec, g1, g2, ones(length(ra)); start = start)
    return xi, cotangent -> back(cotangent)[1:6]
end

end
