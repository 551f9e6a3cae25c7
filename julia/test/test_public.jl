# The public names: each documented, each example in its documentation true; and what the functions
# of users add to the kernels that the other files test.

using LinearAlgebra
using Random
using Test
import SoftCorr

const PUBLIC = filter(name -> name != :SoftCorr, names(SoftCorr))

@testset "public names" begin

@testset "documentation of $name" for name in [PUBLIC; :SoftCorr]
    text = string(Docs.doc(Docs.Binding(SoftCorr, name)))
    @test !occursin("No documentation found", text)
    examples = [m[1] for m in eachmatch(r"```julia\n(.*?)```"s, text)]
    @test !isempty(examples)
    for example in examples
        place = Module()
        Core.eval(place, :(using SoftCorr))
        @test include_string(place, example) === true
    end
end

@testset "nothing of the inside is exported" begin
    @test PUBLIC == sort([
        :directions, :separation, :seed_centers, :fuzzy_cmeans, :assign_greedy, :assign_sampled,
        :assign_gumbel, :cluster_means, :xi_pm, :SoftBins, :SoftEstimator, :soft_xi,
        :box_correlations, :simulate, :derivative, :gradient])
end

message(f) = try
    f()
    "nothing thrown"
catch err
    err isa Union{ArgumentError,DimensionMismatch} ? err.msg : rethrow()
end

@testset "clusters, from objects to their means" begin
    rng = MersenneTwister(1)
    x = SoftCorr.directions(3 .* rand(rng, 200), 3 .* rand(rng, 200))
    start = SoftCorr.seed_centers(x, 6; draws = rand(rng, 6))
    given = copy(start)
    fit = SoftCorr.fuzzy_cmeans(x, start)
    @test start == given
    @test fit.converged && all(diff(fit.objectives) .<= 1e-13 * fit.objectives[1])
    @test fit.changes[end] < 1e-8
    @test all(sum(fit.memberships, dims = 1) .≈ 1)
    hard = SoftCorr.assign_greedy(fit.memberships)
    means = SoftCorr.cluster_means(hard, 6, x, ones(200), ones(1, 200))
    @test sum(means.weights) == 200 && all(means.fields .== 1)
    share = Float64.(hard' .== 1:6)
    @test SoftCorr.cluster_means(share, x, ones(200), ones(1, 200)) == means
    soft = SoftCorr.assign_gumbel(fit.memberships, -log.(-log.(rand(rng, 6, 200))); tau = 0.3)
    @test all(sum(soft, dims = 1) .≈ 1)
    @test all(l -> l in 1:6, SoftCorr.assign_sampled(fit.memberships))
    @test occursin("start (c, D)", message(() -> SoftCorr.fuzzy_cmeans(x, start[:, 1:2])))
    @test occursin("m must be above 1", message(() -> SoftCorr.fuzzy_cmeans(x, start; m = 1)))
end

@testset "xi of all pairs" begin
    rng = MersenneTwister(2)
    ra, dec, w = 2 .* rand(rng, 60), 2 .* rand(rng, 60), rand(rng, 60)
    g1, g2 = randn(rng, 60), randn(rng, 60)
    edges = [0.0, 20, 50, 200]
    xi = SoftCorr.xi_pm(ra, dec, g1, g2, edges; weights = w)
    x = SoftCorr.directions(ra, dec)
    plus, weight, theta, pairs = zeros(ComplexF64, 3), zeros(3), zeros(3), zeros(Int, 3)
    for i in 1:60, j in (i + 1):60
        u, v = x[:, i], x[:, j]
        t = 60 * rad2deg(SoftCorr.separation(u, v))
        b = searchsortedlast(edges, t)
        b in 1:3 || continue
        p, q = SoftCorr.double_phase.(SoftCorr.projections(u, v))
        a, c = complex(g1[i], g2[i]) * p, complex(g1[j], g2[j]) * q
        pairs[b] += 1
        weight[b] += w[i] * w[j]
        theta[b] += w[i] * w[j] * t
        plus[b] += w[i] * w[j] * real(a * conj(c))
    end
    @test xi.npairs == pairs && xi.weight ≈ weight && xi.theta ≈ theta ./ weight
    @test real(xi.xip) ≈ real(plus ./ weight) rtol = 1e-10
    @test isnan(SoftCorr.xi_pm([0.0], [0.0], [0.1], [0.1], edges).xip[1])
    @test occursin("edges must increase", message(() -> SoftCorr.xi_pm(ra, dec, g1, g2, [1, 1])))
end

@testset "xi in a plane, of plain arrays of any kind" begin
    rng = MersenneTwister(5)
    x, y, g1, g2 = 0.01 .* rand(rng, 80), 0.01 .* rand(rng, 80), randn(rng, 80), randn(rng, 80)
    edges = 0.6 .* [0.0, 0.2, 0.5, 1]
    flat = SoftCorr.xi_pm(x, y, g1, g2, edges ./ 60; plane = true)
    sky = SoftCorr.xi_pm(-x, y, g1, g2, edges)          # West is x
    @test flat.npairs == sky.npairs && 60 .* flat.theta ≈ sky.theta
    @test isapprox(flat.xip, sky.xip; atol = 1e-6) && isapprox(flat.xim, sky.xim; atol = 1e-6)
    for unit in (1e-9, 60, 1e12)                        # in any unit
        scaled = SoftCorr.xi_pm(unit .* x, unit .* y, g1, g2, unit .* edges ./ 60; plane = true)
        @test scaled.npairs == flat.npairs && scaled.theta ≈ unit .* flat.theta && scaled.xim ≈ flat.xim
        estimator(u) = SoftCorr.SoftEstimator(SoftCorr.SoftBins(u .* edges ./ 60, 1000 / u); plane = true)
        start = [x y][1:10:80, :]
        @test SoftCorr.soft_xi(estimator(unit), unit .* x, unit .* y, g1, g2; start = unit .* start) ≈
            SoftCorr.soft_xi(estimator(1), x, y, g1, g2; start = start) rtol = 1e-7
    end
    whole = SoftCorr.xi_pm([0, 1, 3], 0:2, Float32[0.5, 1, 0], (1:3) ./ 4, 0:2:4; weights = [1, 2, 1], plane = true)
    same = SoftCorr.xi_pm([0.0, 1, 3], [0.0, 1, 2], [0.5, 1, 0], [0.25, 0.5, 0.75], [0.0, 2, 4];
                          weights = [1.0, 2, 1], plane = true)
    @test whole == same && whole.npairs == [1, 2]
    @test SoftCorr.directions([0, 90], 0:1)[:, 1] == [1, 0, 0]
    @test occursin("must have one length; they have 3, 2", message(() -> SoftCorr.xi_pm(
        zeros(3), zeros(2), zeros(3), zeros(3), [0, 1])))
    @test occursin("g1 must be finite; number 2 is NaN", message(() -> SoftCorr.xi_pm(
        zeros(3), zeros(3), [0, NaN, 0], zeros(3), [0, 1])))
    @test occursin("to at most 10800 arcmin", message(() -> SoftCorr.xi_pm(x, y, g1, g2, [0, 2e4])))
end

@testset "options of the soft estimate" begin
    bins = SoftCorr.SoftBins([0, 20, 45], 0.5; minus = true)
    @test bins.lo == [0, 20] && bins.hi == [20, 45] && bins.sharpness == [0.5, 0.5] && bins.minus
    @test occursin("edges must increase", message(() -> SoftCorr.SoftBins([0, 0, 1], 1)))
    @test occursin("approach must be one of :naive, :soft, :hard, :gumbel; it is :sof",
                   message(() -> SoftCorr.SoftEstimator(bins; approach = :sof)))
    @test occursin("through must be", message(() -> SoftCorr.SoftEstimator(bins; through = :all)))
    arrays = (rand(9), rand(9), rand(9), rand(9))
    soft = SoftCorr.SoftEstimator(bins)
    @test occursin("start must be centers", message(() -> SoftCorr.soft_xi(soft, arrays...)))
    @test occursin("one length", message(() -> SoftCorr.soft_xi(soft, arrays...; weights = ones(8))))
    gumbel = SoftCorr.SoftEstimator(bins; approach = :gumbel)
    start = SoftCorr.seed_centers(SoftCorr.directions(arrays[1], arrays[2]), 3)
    @test occursin("noise must be (3, 9)",
                   message(() -> SoftCorr.soft_xi(gumbel, arrays...; start = start)))
end

@testset "correlations in a box" begin
    rng = MersenneTwister(3)
    position = 30 .* rand(rng, 3, 500)
    axis = mapslices(normalize, randn(rng, 3, 500), dims = 1)
    edges = [0.5, 2, 4, 9.5]
    box = SoftCorr.box_correlations(position, axis, edges, 30; weights = fill(0.5, 500))
    set = SoftCorr.BoxObjects(position, axis, fill(0.5, 500), ones(500), zeros(Int, 500))
    s = sum(SoftCorr.box_sums_brute(set, set, edges, 30.0; auto = true, periodic = true), dims = 3)
    @test box.npairs == s[1, :, 1]
    @test box.omega ≈ (s[4, :, 1] + s[5, :, 1]) ./ (2 .* s[2, :, 1]) rtol = 1e-9
    @test box.eta ≈ s[6, :, 1] ./ s[2, :, 1] rtol = 1e-9
    @test abs(box.xi[3]) < 0.1                  # not clustered
    lone = SoftCorr.box_correlations(position[:, 1:2] ./ 30, axis[:, 1:2], [5.0, 15.0], 30)
    @test lone.xi == [-1] && isnan(lone.omega[1])
    # A cube stacked on itself has the correlations of the cube.
    twice, kept = hcat(position, position .+ [0, 0, 30]), fill(0.5, 1000)
    tall = SoftCorr.box_correlations(twice, hcat(axis, axis), edges, (30, 30, 60); weights = kept)
    @test tall.npairs == 2 .* box.npairs
    @test tall.xi ≈ box.xi && tall.omega ≈ box.omega && tall.eta ≈ box.eta
    carried = SoftCorr.derivative(t -> SoftCorr.box_correlations(twice, hcat(axis, axis), edges, (30, 30, 60);
                                                                 weights = t .* kept).omega[2], 1.0)
    @test abs(carried) < 1e-12                  # of all weights alike, a mean does not change
    @test occursin("at most boxsize/2", message(() -> SoftCorr.box_correlations(twice, hcat(axis, axis), [1, 15.1], (30, 30, 60))))
    @test occursin("or three sides", message(() -> SoftCorr.box_correlations(position, axis, edges, (30, 30))))
    @test occursin("from 0 to", message(() -> SoftCorr.box_correlations(twice, hcat(axis, axis), edges, (30, 60, 30))))
    @test occursin("in the box", message(() -> SoftCorr.box_correlations(2 .* position, axis, edges, 30)))
    @test occursin("unit vectors; number 1", message(() -> SoftCorr.box_correlations(position, 2 .* axis, edges, 30)))
    @test occursin("boxsize/2", message(() -> SoftCorr.box_correlations(position, axis, [1, 15.1], 30)))
end

end
