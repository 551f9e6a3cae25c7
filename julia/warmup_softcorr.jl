# Warm-up of `entry_softcorr.jl`: every approach, through every treatment of the centers.

push!(STEPS, function ()
    n, nb, r = 120, 3, 2
    objects = hcat(uniform(n, 1), uniform(n, 2), 0.1 * uniform(n, 4), 0.1 * uniform(n, 5), ones(n))
    start(c) = permutedims(directions(c + 1)[:, 1:c])
    for c in (3, 40), m in (2.0, 1.7), weighted in (0, 1), plain in (0, 1)
        call("softcorr_centers", n, objects, c, m, weighted, plain, 60, start(c), zeros(Int, 2), zeros(2))
    end
    c = 3
    noise = reshape(-log.(-log.(0.9 .* uniform(c * n) .+ 0.05)), c, n)
    bins = [0.0 20 40; 20 40 60; 1 1 1]'
    for approach in 0:3, through in 0:3, m in (2.0, 1.7), other in (0, 1)
        # Gaussian bins of xi-, straight-through and literal as well; weighted too.
        options = [approach, through, other, other, other, other, other, 60]
        estimator = (n, objects, c, start(c), noise, options, [m, 0.1], nb, Matrix(bins))
        call("softcorr_value", estimator..., zeros(nb, 3), zeros(1))
        call("softcorr_vjp", estimator..., r, ones(nb, r), zeros(nb), zeros(n, r, 5), zeros(Int, 1),
             zeros(5))
        call("softcorr_jvp", estimator..., ones(n, 5), zeros(nb, 2))
    end
    call("soft_bin_weights", n, collect(uniform(n)), 0, nb, Matrix(bins), zeros(n, nb))
    call("soft_bin_weights", n, collect(uniform(n)), 1, nb, Matrix(bins), zeros(n, nb))
end)
