# Gradients as a user of ForwardDiff asks for them, through the public functions with plain arrays,
# against central differences: by ForwardDiff where it is loaded, and by SoftCorr's own numbers.

# A module of its own: the names of SoftCorr stand here as they do for its users.
module UserGradients

using Random
using Test
using SoftCorr

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
    # Memberships of clusters that follow the objects.
    memberships(p) = sum(abs2, fuzzy_cmeans(directions(p[1] .* ra, p[2] .* dec), start).memberships)
    @test isapprox(name.gradient(memberships, [1.0, 1.1]), central(memberships, [1.0, 1.1]); rtol = 1e-4)
    # xi of soft bins: of all pairs, and through clusters.
    for approach in (:naive, :soft)
        estimator = SoftEstimator(SoftBins([0.0, 20, 60], 0.3); approach = approach)
        loss(p) = sum(abs2, soft_xi(estimator, p[1] .* ra, p[2] .* dec, p[3] .* g1, g2; start = start))
        p = [1.0, 1.1, 0.9]
        @test isapprox(name.gradient(loss, p), central(loss, p); rtol = 1e-6)
    end
    # The whole chain: a simulation, the sky, and xi of what is seen there.
    x, v = [1.0 0.5; 0.0 0.4; 0.0 0.3], [0.0 0.2; 1.0 -0.8; 0.1 0.7]
    estimator = SoftEstimator(SoftBins([0.0, 6000.0], 0.3); approach = :naive)
    function seen(p)
        sky = simulate(x, v; G = p[1], mass = p[2], t_max = 1.0, observer = (9.0, 1.0, 2.0))
        return sum(soft_xi(estimator, sky[3], sky[4], [0.1, 0.2], [0.0, 0.1]))
    end
    @test isapprox(name.gradient(seen, [1.0, 1.2]), central(seen, [1.0, 1.2]); rtol = 1e-6)
end

end
