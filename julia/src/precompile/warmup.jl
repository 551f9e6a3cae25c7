# Calls every C entry point with a few objects, so that all it needs is compiled: for a system
# image, and for the package's cache. Each file of `entries/` has a step in `STEPS`.
module Warmup

import ..SoftCorr

# What stands for an argument of an entry point, by its code.
const CONVERTED = Dict("f64" => Float64, "i64" => Int64, "f64*" => pointer, "i64*" => pointer,
                       "u8*" => pointer)

const STEPS = Function[]
const CALLED = Set{String}()

"""
Call the function behind an entry point, as its C pointer would, which is made too; another status
than the one expected is an error.
"""
function call(name, args...; status = 0)
    push!(CALLED, name)
    entry = SoftCorr.ENTRIES[findfirst(e -> e.name == name, SoftCorr.ENTRIES)]
    codes = split(entry.signature, ',')
    length(codes) == length(args) || error("$name takes $(length(codes)) arguments")
    SoftCorr.entry_pointer(name)
    f = getfield(SoftCorr, Symbol(:entry_, name))
    got = GC.@preserve args f((CONVERTED[code](arg) for (code, arg) in zip(codes, args))...)
    got == status || error("$name: status $got instead of $status: $(SoftCorr.LAST_ERROR[])")
    return nothing
end

"`n` numbers in [0, 1), evenly spread and not random: they are the same with every Julia."
uniform(n, k = 1) = mod.((1:n) .* sqrt(k + 1), 1)

"`n` unit vectors (3, n): most within two degrees, the rest all over the sphere."
function directions(n)
    xyz = zeros(3, n)
    for (i, a, b) in zip(1:n, uniform(n, 1), uniform(n, 2))
        lon, z = i % 10 == 0 ? (2pi * a, 2b - 1) : (0.035a, 0.035b)
        xyz[:, i] = [sqrt(1 - z^2) * cos(lon), sqrt(1 - z^2) * sin(lon), z]
    end
    return xyz
end

# ---- the runtime itself --------------------------------------------------------------------------

push!(STEPS, function ()
    call("self_test", 4, [0])
    call("throw_in_loop", 20; status = 1)
    call("last_error", zeros(UInt8, 100), 100)
    call("busy", 0.01)
    SoftCorr.JOB[] = SoftCorr.CANCEL[]          # a call that is told to stop
    call("busy", 10.0; status = 3)
    SoftCorr.JOB[] = 0
    for error in (ArgumentError("x"), DimensionMismatch("x"), OutOfMemoryError(), ErrorException("x"))
        SoftCorr.fail(error)
    end
    # what the host asks for at its start
    foreach(string, (SoftCorr.entry_table(), SoftCorr.control_addresses(), SoftCorr.runtime_info(),
                     SoftCorr.gc_addresses()))
end)

# ---- clustering: sphere and plane, fuzziness 2 and other, all assignments ------------------------

push!(STEPS, function ()
    n, c, f, r = 300, 4, 6, 3
    xyz, w = directions(n), ones(n)
    for x in (xyz, xyz[1:2, :]), m in (2.0, 1.7), accelerate in (0, 1)
        dims = size(x, 1)
        centers, u = zeros(c, dims), zeros(c, n)
        call("seed_centers", x, dims, n, w, c, collect(uniform(c)), centers)
        call("fuzzy_cmeans", x, dims, n, w, c, m, 1e-3, 40, accelerate, centers, u, zeros(40, 2),
             zeros(Int, 2))
        call("memberships", x, dims, n, c, m, centers, u)
        call("sparse_cmeans", x, dims, n, w, c, m, 1e-3, 40, accelerate, centers, zeros(n),
             zeros(40, 2), zeros(Int, 2))
        call("centers_pullback", x, dims, n, w, c, m, centers, ones(c, dims), 1e-3, 5, zeros(dims, n),
             zeros(n), zeros(3))
        call("membership_sums", x, dims, n, c, m, centers, zeros(n), zeros(c))
        call("assign_places", x, dims, n, c, m, centers, r, reshape(collect(uniform(n * r)), n, r),
             zeros(Int, n, r))
        # many clusters: the descent, and the start by tiles
        many = permutedims(x[:, 1:100])
        SoftCorr.sparse_cmeans!(many, x, w, m, 1e-3, 20; accelerate = accelerate != 0, most = 0)
        SoftCorr.seed_many!(many, x, w, collect(uniform(100)))
    end
    u = [1.0 / c for k in 1:c, i in 1:n]
    labels = zeros(Int, n, r)
    call("assign_greedy", u, c, n, labels)
    call("assign_sampled", u, c, n, r, reshape(collect(uniform(n * r)), n, r), labels)
    for straight in (0, 1)
        call("assign_gumbel", u, c, n, reshape(collect(uniform(c * n)), c, n), 0.5, straight, zeros(c, n))
    end
    fields, weights = reshape(collect(uniform(f * n)), f, n), ones(n, r)
    for geometry in eachindex(SoftCorr.GEOMETRIES)
        call("label_means", geometry, xyz, n, fields, f, weights, r, labels, r, c, r, zeros(3, c, r),
             zeros(c, r), zeros(f, c, r))
        call("share_means", geometry, xyz, n, fields, f, weights, r, u, c, zeros(3, c, r), zeros(c, r),
             zeros(f, c, r))
    end
end)

# ---- pairs: every kind of pair sum, of one set and of two, once and repeated ---------------------

push!(STEPS, function ()
    n = 250
    edges = Float64[0, 1e-7, 1e-5, 1e-4, 2e-3, 0.5, 3, 4]
    bins = length(edges) - 1
    for kind in eachindex(SoftCorr.KINDS), geometry in eachindex(SoftCorr.GEOMETRIES), auto in (1, 0),
        (r, moving) in ((1, false), (2, false), (2, true))

        which = SoftCorr.KINDS[kind]
        which isa SoftCorr.NG && auto == 1 && continue      # shears around other positions alone
        versions = moving ? r : 1
        xyz = repeat(directions(n), 1, 1, versions)
        fields = 2 * SoftCorr.nfields(which)
        g = repeat(reshape(collect(uniform(fields * n)), fields, n), 1, 1, versions)
        set = (xyz, ones(n, r), g, n, versions, r)
        call("pair_sums_of", kind, geometry, auto, r, set..., set..., edges, bins,
             zeros(SoftCorr.nsums(which), bins + 1, r))
    end
end)

# ---- gravity: with and without the derivative ----------------------------------------------------

push!(STEPS, function ()
    n = 3
    x0, v0 = [1.0 0 0; 0 1.5 0; 0.2 0 2]', [0 1.0 0; 0.8 0 0.1; 0 0.5 0.3]'
    for derivative in (0, 1)
        call("gravity_simulate", n, Matrix(x0), Matrix(v0), 1.0, 1.0, 0.0, 1.0, 1e-9, 10_000,
             [10.0, 1.0, 1.0], derivative, zeros(3, n), zeros(3, n), zeros(n, 2), zeros(3, n),
             zeros(3, n), zeros(n, 2), zeros(Int, n), zeros(Int, n))
    end
end)

# ---- box: one set and two, with and without the periodic edge, the split and second axes, in a
# ---- cube and in another box ----------------------------------------------------------------------

push!(STEPS, function ()
    n, edges = 400, Float64[0.1, 0.5, 1, 2, 3]
    set = (3 .* directions(n) .+ 4, directions(n), ones(n), fill(0.5, n), [div(i, 2) for i in 1:n],
           directions(n), n)
    for auto in (1, 0), split in (1, 0), drawn in (1, 0),
        (periodic, height) in ((1, 10.0), (0, 10.0), (1, 12.0))

        call("box_pair_sums", set..., set..., drawn, auto, periodic, split, [10.0, 10.0, height],
             edges, length(edges) - 1, zeros(SoftCorr.BOX_SUMS, length(edges) - 1, 2))
    end
    within = (set[1:5]..., [1 + i % 2 for i in 1:n], n)
    for auto in (1, 0), split in (1, 0), (periodic, height) in ((1, 10.0), (0, 10.0), (1, 12.0))
        call("box_region_sums", within..., within..., 2, auto, periodic, split, [10.0, 10.0, height], edges,
             length(edges) - 1, zeros(SoftCorr.BOX_SUMS, length(edges) - 1, 2),
             zeros(SoftCorr.BOX_SUMS, length(edges) - 1, 3))
    end
end)

# ---- about a line of sight: one set and two, of both coordinates, with and without the edge ------

push!(STEPS, function ()
    n, edges, inner = 400, Float64[0.1, 0.5, 1, 2, 3], Float64[0, 0.5, 1]
    set = (3 .* directions(n) .+ 4, directions(n)[1:2, :], ones(n), n)
    for cosine in (0, 1), auto in (1, 0), periodic in (1, 0)
        call("sight_pair_sums", set..., set..., cosine, auto, periodic, [10.0, 10.0, 10.0], edges,
             length(edges) - 1, inner, length(inner) - 1,
             zeros(SoftCorr.SIGHT_SUMS, length(edges) - 1, length(inner) - 1))
    end
end)

# ---- tables of halo pairs ------------------------------------------------------------------------

push!(STEPS, function ()
    n, nodes, edges = 400, 5, Float64[0, 0.1, 0.5, 1, 2, 3]
    for height in (10.0, 12.0)
        call("hat_pair_sums", 3 .* directions(n) .+ 4, directions(n),
             [mod(i, nodes - 1) + 1 for i in 1:n], collect(uniform(n)), n, [10.0, 10.0, height],
             edges, length(edges) - 1, nodes,
             zeros(SoftCorr.HAT_MOMENTS, length(edges) - 1, nodes, nodes))
        call("place_pair_sums", 3 .* directions(n) .+ 4, directions(n), uniform(n), collect(1:n),
             [mod(i, nodes - 1) + 1 for i in 1:n], collect(uniform(n)), n, [10.0, 10.0, height],
             edges, length(edges) - 1, nodes,
             zeros(SoftCorr.PLACE_MOMENTS, length(edges) - 1, nodes, nodes))
        call("sight_hat_pair_sums", 3 .* directions(n) .+ 4, directions(n),
             [mod(i, nodes - 1) + 1 for i in 1:n], collect(uniform(n)), n, [10.0, 10.0, height],
             edges, length(edges), edges, length(edges), [0.0, 0.5, 1.0], 3, 3.0, nodes,
             zeros(SoftCorr.HAT_MOMENTS, 3 * (length(edges) - 1), nodes, nodes))
    end
end)

# ---- softcorr: every approach, through every treatment of the centers ----------------------------

push!(STEPS, function ()
    n, nb, r = 120, 3, 2
    objects = hcat(uniform(n, 1), uniform(n, 2), 0.1 * uniform(n, 4), 0.1 * uniform(n, 5), ones(n))
    start(c) = permutedims(directions(c + 1)[:, 1:c])
    for geometry in eachindex(SoftCorr.GEOMETRIES), c in (3, 40), m in (2.0, 1.7), weighted in (0, 1),
        plain in (0, 1)

        call("softcorr_centers", geometry, n, objects, c, m, weighted, plain, 60, start(c), zeros(Int, 2),
             zeros(2))
    end
    c = 3
    noise = reshape(-log.(-log.(0.9 .* uniform(c * n) .+ 0.05)), c, n)
    bins = Matrix([0.0 20 40; 20 40 60; 1 1 1]')
    for geometry in eachindex(SoftCorr.GEOMETRIES), approach in 0:3, through in 0:3, m in (2.0, 1.7),
        other in (0, 1)

        # Gaussian bins of xi-, straight-through and literal as well; weighted too.
        options = [approach, through, other, other, other, other, other, 60, other, geometry]
        estimator = (n, objects, c, start(c), noise, options, [m, 0.1], nb, Matrix(bins))
        call("softcorr_value", estimator..., zeros(nb, 3), zeros(2))
        call("softcorr_vjp", estimator..., r, ones(nb, r), zeros(nb), zeros(n, r, 5), zeros(Int, 1),
             zeros(6))
        call("softcorr_jvp", estimator..., ones(n, 5), zeros(nb, 2), zeros(1))
        call("softcorr_hvp", estimator..., ones(n, 5), r, ones(nb, r), ones(nb, r), zeros(nb),
             zeros(n, r, 5), zeros(n, r, 5), zeros(Int, 1), zeros(6))
    end
    # So many objects that their pairs are found by a tree
    n = SoftCorr.FEW_POINTS
    objects = hcat(uniform(n, 1), uniform(n, 2), 0.1 * uniform(n, 4), 0.1 * uniform(n, 5), ones(n))
    for geometry in eachindex(SoftCorr.GEOMETRIES), other in (0, 1)
        estimator = (n, objects, 0, zeros(0), zeros(0), [0, 2, other, other, 0, 0, 0, 60, other, geometry],
                     [2.0, 0.1], nb, bins)
        call("softcorr_value", estimator..., zeros(nb, 3), zeros(2))
        call("softcorr_vjp", estimator..., 1, ones(nb, 1), zeros(nb), zeros(n, 1, 5), zeros(Int, 1), zeros(6))
        call("softcorr_jvp", estimator..., ones(n, 5), zeros(nb, 2), zeros(1))
        call("softcorr_hvp", estimator..., ones(n, 5), 1, ones(nb, 1), ones(nb, 1), zeros(nb),
             zeros(n, 1, 5), zeros(n, 1, 5), zeros(Int, 1), zeros(6))
    end
    n = 120
    call("soft_bin_weights", n, collect(uniform(n)), 0, nb, Matrix(bins), zeros(n, nb))
    call("soft_bin_weights", n, collect(uniform(n)), 1, nb, Matrix(bins), zeros(n, nb))
end)

# ---- statistics in soft bins: few objects with all derivatives, many with the first ones ---------

push!(STEPS, function ()
    nb, r = 3, 2
    bins = Matrix([0.0 20 40; 20 40 60; 1 1 1]')
    for kind in 1:4, geometry in (kind == 4 ? (1:1) : eachindex(SoftCorr.GEOMETRIES)), n in (120, SoftCorr.FEW_POINTS)
        v, (c1, c2) = (5, 1, 1, 3)[kind], SoftCorr.SOFT_COLUMNS[kind]
        m = c2 == 0 ? 0 : n
        objects(n, c) = hcat((collect(uniform(n, k)) for k in 1:c)...)
        one, two = objects(n, c1), m == 0 ? zeros(0, 0) : objects(m, c2)
        # in a box of side 1
        numbers, b = kind == 4 ? (ones(3 + nb), bins ./ [100 100 0.01]) : (fill(NaN, nb), bins)
        for randoms in (kind == 3 ? (0:1) : (0:0))
            statistic = (kind, [geometry, 0, 0, 0, randoms], numbers, n, one, m, two, nb, b)
            for derive in 0:1
                call("soft_statistic", statistic..., derive, one, two, zeros(nb, v, 2), zeros(1))
                derive == 1 && n > 120 && continue
                out(n, c) = zeros(n, c, r)
                call("soft_statistic_pullback", statistic..., r, ones(nb, v, r), derive, one, two, zeros(nb, v),
                     out(n, c1), out(m, c2), out(n, c1), out(m, c2), zeros(1))
            end
            call("soft_statistic_weights", statistic..., zeros(nb, v), zeros(nb, v, n), zeros(nb, v, m))
        end
    end
end)

# ---- all of it -------------------------------------------------------------------------------

"Entry points that no step calls."
missed() = [e.name for e in SoftCorr.ENTRIES if !(e.name in CALLED)]

"All steps, without and with tasks; the module is left as it was loaded."
function run()
    for workers in (1, 2), step in STEPS
        SoftCorr.WORKERS[] = workers
        step()
    end
    SoftCorr.WORKERS[] = 0
    SoftCorr.JOB[] = 0
    SoftCorr.CANCEL[] = -1
    fill!(SoftCorr.PROGRESS, 0)
    SoftCorr.LAST_ERROR[] = ""
    return nothing
end

end
