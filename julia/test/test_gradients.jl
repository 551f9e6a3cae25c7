# Gradients as a user of ForwardDiff asks for them, through the public functions with plain arrays,
# against central differences: by ForwardDiff where it is loaded, and by SoftCorr's own numbers.

# A module of its own: the names of SoftCorr stand here as they do for its users.
module UserGradients

using Random
using Test
using SoftCorr

# Soft bins are compiled anew for a plane, a minute; Python's tests have these derivatives by an image.
const PLANES = haskey(ENV, "SOFTCORR_LONG") ? (false, true) : (false,)

central(f, p, h = 1e-5) = [(f(p .+ h .* (eachindex(p) .== i)) - f(p .- h .* (eachindex(p) .== i))) / 2h
                           for i in eachindex(p)]

@testset "gradients, by $name" for name in unique((SoftCorr.forward_mode(), SoftCorr.OwnDual))
    rng = MersenneTwister(1)
    n = 60
    ra, dec = 2 .* rand(rng, n), 2 .* rand(rng, n)
    g1, g2 = randn(rng, n), randn(rng, n)
    start = permutedims(directions(ra, dec)[:, 1:12:n])

    @test isapprox(name.gradient(p -> sum(separation(directions([p[1]], [p[2]])[:, 1], [1.0, 0, 0])), [3.0, 4.0]),
                   central(p -> separation(directions([p[1]], [p[2]])[:, 1], [1.0, 0, 0]), [3.0, 4.0]); rtol = 1e-8)
    # Memberships, centers and means of clusters that follow the objects; in the plane too.
    memberships(p) = sum(abs2, fuzzy_cmeans(directions(p[1] .* ra, p[2] .* dec), start;
                                            weights = exp.(p[3] .* ra), tol = 1e-12).memberships)
    @test isapprox(name.gradient(memberships, [1.0, 1.1, 0.3]), central(memberships, [1.0, 1.1, 0.3]); rtol = 1e-7)
    inside(p) = sum(abs2, fuzzy_cmeans(permutedims([p[1] .* ra p[2] .* dec]), [0.5 0.5; 1.5 1.5; 0.4 1.4];
                                       tol = 1e-12, m = 1.7).centers)
    @test isapprox(name.gradient(inside, [1.0, 1.1]), central(inside, [1.0, 1.1]); rtol = 1e-6)
    function means(p)
        x = directions(p[1] .* ra, p[2] .* dec)
        found = cluster_means(fuzzy_cmeans(x, start; tol = 1e-12).memberships, x, ones(n), [p[1] .* g1 g2]')
        return sum(abs2, found.fields) + found.weights[1]
    end
    @test isapprox(name.gradient(means, [1.0, 1.1]), central(means, [1.0, 1.1]); rtol = 1e-5)
    seeds(p) = sum(abs2, seed_centers(directions(p[1] .* ra, p[2] .* dec), 3; draws = [0.1, 0.2, 0.3])[:, 2:3])
    @test isapprox(name.gradient(seeds, [1.0, 1.1]), central(seeds, [1.0, 1.1]); rtol = 1e-7)
    shares(p) = sum(abs2, assign_gumbel([p[1] 0.2; 1 - p[1] 0.8], [0.1 0.2; 0.3 0]; tau = p[2]))
    @test isapprox(name.gradient(shares, [0.3, 0.7]), central(shares, [0.3, 0.7]); rtol = 1e-7)
    # xi of hard bins: of shears and weights, one of which is 0.
    edges, w = [0.0, 20, 60], rand(rng, n)
    w[3] = 0
    summed(xi) = sum(abs2, xi.xip) + sum(real, xi.xim) + sum(xi.theta) / 100 + sum(xi.weight) / 100
    for plane in (false, true)
        hard(p) = summed(xi_pm(60 .^ plane .* ra, 60 .^ plane .* dec, p[1] .* g1 .+ p[2] .* dec, p[2] .* g2, edges;
                               weights = exp.(p[3] .* ra), plane = plane))
        @test isapprox(name.gradient(hard, [1.0, 0.7, 0.2]), central(hard, [1.0, 0.7, 0.2]); rtol = 1e-7)
    end
    weighed(p) = sum(real, xi_pm(ra, dec, g1, g2, edges; weights = p).xip)
    @test isapprox(name.gradient(weighed, w), central(weighed, w); rtol = 1e-6)
    @test SoftCorr.value(weighed([name.Dual{:mark}(q, 0.0) for q in w])) ≈ weighed(w) rtol = 1e-12
    # The box: axes and weights.
    position, axis = 30 .* rand(rng, 3, 100), randn(rng, 3, 100)
    unit(a) = a ./ sqrt.(sum(abs2, a, dims = 1))
    function box(p)
        found = box_correlations(position, unit(axis .+ p[2] .* position ./ 30), [0.5, 4.0, 9], 30;
                                 weights = exp.(p[1] .* position[1, :] ./ 30))
        return sum(found.eta) + 2 * sum(found.omega) + sum(found.r) + sum(found.xi)
    end
    @test isapprox(name.gradient(box, [0.3, 0.1]), central(box, [0.3, 0.1]); rtol = 1e-6)
    # xi of soft bins: of all pairs, and through clusters; on the sphere and in a plane of any unit.
    for (approach, through) in ((:naive, :implicit), (:soft, :implicit), (:soft, :unrolled)), plane in PLANES
        estimator = SoftEstimator(SoftBins(edges, 0.3); approach = approach, through = through, plane = plane)
        from = plane ? 60 .* [ra dec][1:12:n, :] : start
        scale = plane ? 60 : 1
        loss(p) = sum(abs2, soft_xi(estimator, scale .* p[1] .* ra, scale .* p[2] .* dec, p[3] .* g1, g2;
                                    weights = exp.(p[4] .* ra), start = from))
        p = [1.0, 1.1, 0.9, 0.1]
        @test isapprox(name.gradient(loss, p), central(loss, p); rtol = 1e-6)
    end
    # Second derivatives: a derivative in the other one's argument.
    twice(s) = name.derivative(t -> sum(soft_xi(SoftEstimator(SoftBins(edges, 0.3)), t .* ra, s .* dec, g1, s .* g2;
                                               start = start)), 1.1)
    @test isapprox(name.derivative(twice, 0.9), (twice(0.9 + 1e-5) - twice(0.9 - 1e-5)) / 2e-5; rtol = 1e-6)
    # The whole chain: a simulation, the sky, and xi of what is seen there.
    x, v = [1.0 0.5; 0.0 0.4; 0.0 0.3], [0.0 0.2; 1.0 -0.8; 0.1 0.7]
    estimator = SoftEstimator(SoftBins([0.0, 6000.0], 0.3); approach = :naive)
    function seen(p)
        sky = simulate(x, v; G = p[1], mass = p[2], t_max = 1.0, observer = (9.0, 1.0, 2.0))
        return sum(soft_xi(estimator, sky[3], sky[4], [0.1, 0.2], [0.0, 0.1]))
    end
    @test isapprox(name.gradient(seen, [1.0, 1.2]), central(seen, [1.0, 1.2]); rtol = 1e-6)
end

message(f) = try
    f()
    "nothing thrown"
catch err
    err isa ArgumentError ? err.msg : rethrow()
end

@testset "what has no derivative says so, by $name" for name in unique((SoftCorr.forward_mode(), SoftCorr.OwnDual))
    said(f, x) = message(() -> name.derivative(f, x))
    ra, dec, g = [0.1, 0.5, 0.9], [0.2, 0.1, 0.4], [0.1, 0.2, -0.1]
    hard(ra, dec, edges; plane = false) = xi_pm(ra, dec, g, g, edges; plane = plane).xip
    @test occursin("xi_pm: ra must be plain", said(t -> hard(t .* ra, dec, [0, 60]), 1.0))
    @test occursin("soft_xi", said(t -> hard(ra, t .* dec, [0, 60]), 1.0))
    @test occursin("xi_pm: x must be plain", said(t -> hard(t .* ra, dec, [0, 1]; plane = true), 1.0))
    @test occursin("xi_pm: edges must be plain", said(t -> hard(ra, dec, [0, t]), 60.0))
    axis, position = [1.0 0; 0 1; 0 0], [1.0 2; 1 2; 1 2]
    @test occursin("position must be plain", said(t -> box_correlations(t .* position, axis, [1, 2], 9).eta, 1.0))
    @test occursin("edges must be plain", said(t -> box_correlations(position, axis, [1, t], 9).eta, 2.0))
    @test occursin("boxsize must be plain", said(t -> box_correlations(position, axis, [1, 2], t).eta, 9.0))
    x = directions(ra, dec)
    start = permutedims(x[:, 1:2])
    @test occursin("m must be plain", said(t -> fuzzy_cmeans(x, start; m = t).centers, 2.0))
    @test occursin("edges must be plain", said(t -> SoftBins([0, t], 1.0).lo, 2.0))
    @test occursin("sharpness must be plain", said(t -> SoftBins([0, 1], t).lo, 2.0))
    @test occursin("tau must be plain", said(t -> SoftEstimator(SoftBins([0, 1], 1); tau = t).m, 2.0))
    @test occursin("start must be plain", said(t -> soft_xi(SoftEstimator(SoftBins([0, 1], 1)), ra, dec, g, g;
                                                            start = t .* start), 1.0))
    # Where a constant is meant.
    @test name.derivative(t -> real(hard(SoftCorr.primal.(t .* ra), dec, [0, 60])[1]) + t, 1.0) == 1
end

end
