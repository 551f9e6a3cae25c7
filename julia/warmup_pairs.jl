# Warm-up of `entry_pairs.jl`: every kind of pair sum, of one set and of two, once and repeated.

push!(STEPS, function ()
    n = 250
    edges = Float64[0, 1e-7, 1e-5, 1e-4, 2e-3, 0.5, 3, 4]
    bins = length(edges) - 1
    for kind in eachindex(SoftCorr.KINDS), auto in (1, 0), (r, moving) in ((1, false), (2, false), (2, true))
        which = SoftCorr.KINDS[kind]
        which isa SoftCorr.NG && auto == 1 && continue      # shears around other positions alone
        versions = moving ? r : 1
        xyz = repeat(directions(n), 1, 1, versions)
        fields = 2 * SoftCorr.nfields(which)
        g = repeat(reshape(collect(uniform(fields * n)), fields, n), 1, 1, versions)
        set = (xyz, ones(n, r), g, n, versions, r)
        call("pair_sums_of", kind, auto, r, set..., set..., edges, bins,
             zeros(SoftCorr.nsums(which), bins, r))
    end
end)
