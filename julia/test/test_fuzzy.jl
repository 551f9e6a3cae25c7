# Fuzzy c-means against the formulas written plainly, and at its edges.

using Random
using Test
import SoftCorr

"Memberships and objective of objects (D, N) in centers (c, D), as the formula has them."
function plain_memberships(x, w, v, m)
    c, n = size(v, 1), size(x, 2)
    u = zeros(c, n)
    J = 0.0
    for i in 1:n
        d2 = [sum(abs2, x[:, i] .- v[k, :]) for k in 1:c]
        for k in 1:c
            u[k, i] = any(iszero, d2) ? iszero(d2[k]) / count(iszero, d2) :
                      1 / sum((d2[k] / d2[j])^(1 / (m - 1)) for j in 1:c)
        end
        J += w[i] * sum(u[:, i] .^ m .* d2)
    end
    return u, J
end

directions(rng, n) = (x = randn(rng, 3, n); x ./ sqrt.(sum(abs2, x, dims = 1)))

function fit(x, w, start, m; accelerate = true, tol = 1e-11, sweeps = 20_000)
    v, u = copy(start), zeros(size(start, 1), size(x, 2))
    J, change, done = SoftCorr.fuzzy_cmeans!(v, u, x, w, m, tol, sweeps; accelerate = accelerate)
    return v, u, J, change, done
end

@testset "a sweep, m = $m, $dims dimensions" for m in (2, 1.5, 3, 2.5, 1.01), dims in (2, 3)
    rng = MersenneTwister(1)
    x = dims == 3 ? directions(rng, 300) : rand(rng, 2, 300)
    w = rand(rng, 300)
    v = permutedims(x[:, 1:12])                 # on objects
    v[5, :] = v[4, :]                           # and two in one place
    u = zeros(12, 300)
    sums = zeros(12, dims + 1, SoftCorr.pieces(300))
    J, change = SoftCorr.sweep!(u, sums, x, w, v, SoftCorr.fuzziness(m))
    expected, objective = plain_memberships(x, w, v, m)
    @test maximum(abs.(u .- expected)) < 1e-12
    @test abs(J / objective - 1) < 1e-12
    @test abs(change / sum(abs2, expected) - 1) < 1e-12
    @test u[4, 4] == u[5, 4] == 0.5
    mean = [sum(w .* expected[k, :] .^ m .* x[d, :]) for k in 1:12, d in 1:dims]
    @test maximum(abs.(dropdims(sum(sums, dims = 3), dims = 3)[:, 1:dims] .- mean)) < 1e-11
end

@testset "the objective never rises, one fixed point, m = $m" for m in (2, 1.5, 2.5)
    rng = MersenneTwister(2)
    x, w = directions(rng, 400), ones(400)
    start = permutedims(directions(rng, 9))
    v, u, J, change, done = fit(x, w, start, m)
    v0, u0, J0, _, done0 = fit(x, w, start, m; accelerate = false)
    @test done && done0
    @test all(diff(J) .<= 1e-13 * J[1]) && all(diff(J0) .<= 1e-13 * J0[1])
    @test maximum(abs.(v .- v0)) < 1e-8 && maximum(abs.(u .- u0)) < 1e-8
    @test length(J) <= length(J0)
    @test change[end] < 1e-11
end

@testset "a center without members stays" begin
    x = [1.0 1.0; 0.0 0.0; 0.0 0.0]
    v, u, J, _, done = fit(x, ones(2), [1.0 0 0; 0 1 0], 2)
    @test done && v == [1.0 0 0; 0 1 0] && u == [1.0 1; 0 0] && all(iszero, J)
end

@testset "k-means++ starts on objects of weight, all different where there are enough" begin
    rng = MersenneTwister(3)
    x = directions(rng, 50)
    w = ones(50)
    w[1:10] .= 0
    v = zeros(40, 3)
    SoftCorr.seed_centers!(v, x, w, rand(rng, 40))
    @test sort([findfirst(i -> x[:, i] == v[k, :], 1:50) for k in 1:40]) == 11:50
    same = repeat(x[:, 1:1], 1, 5)              # all in one place: still one object per center
    SoftCorr.seed_centers!(view(v, 1:5, :), same, ones(5), rand(rng, 5))
    @test all(v[k, :] == x[:, 1] for k in 1:5)
end

@testset "least squares through dependent columns" begin
    rng = MersenneTwister(4)
    columns = [randn(rng, 30) for _ in 1:4]
    push!(columns, copy(columns[1]))
    b = randn(rng, 30)
    a = SoftCorr.least_squares(columns, b)
    rest = b .- sum(a[j] .* columns[j] for j in 1:5)
    @test maximum(abs(sum(rest .* c)) for c in columns) < 1e-12
end

@testset "assignments" begin
    u = [0.5 0.2 1.0; 0.5 0.7 0.0; 0.0 0.1 0.0]
    labels = zeros(Int, 3)
    @test SoftCorr.assign_greedy!(labels, u) == [1, 2, 1]
    @test SoftCorr.assign_sampled!(labels, u, [0.49, 0.1999, 0.999999]) == [1, 1, 1]
    @test SoftCorr.assign_sampled!(labels, u, [0.51, 0.2001, 0.0]) == [2, 2, 1]
    @test SoftCorr.assign_sampled!(labels, u, [prevfloat(1.0), 0.95, 0.5]) == [2, 3, 1]
    out = zeros(3, 3)
    SoftCorr.assign_gumbel!(out, u, zeros(3, 3), 1.0)
    @test out ≈ u                               # no noise, temperature 1
    SoftCorr.assign_gumbel!(out, u, [0 0 5.0; 1 0 9; 9 0 9], 1e-300; straight = false)
    @test out == [0 0 1.0; 1 1 0; 0 0 0]
end

@testset "cluster means" begin
    rng = MersenneTwister(5)
    x, w, g = directions(rng, 30), rand(rng, 30), randn(rng, 2, 30)
    labels = rand(rng, 1:4, 30)
    cx, cw, cg = zeros(3, 5), zeros(5), zeros(2, 5)
    SoftCorr.cluster_means!(cx, cw, cg, SoftCorr.Sphere(), labels, x, w, g)
    for k in 1:4
        own = labels .== k
        total = x[:, own] * w[own]
        @test cw[k] ≈ sum(w[own])
        @test cx[:, k] ≈ total ./ sqrt(sum(abs2, total))
        @test cg[:, k] ≈ g[:, own] * w[own] ./ sum(w[own])
    end
    @test cw[5] == 0 && all(iszero, cg[:, 5])
    share = zeros(5, 30)
    foreach(i -> share[labels[i], i] = 1, 1:30)
    sx, sw, sg = zeros(3, 5), zeros(5), zeros(2, 5)
    SoftCorr.soft_means!(sx, sw, sg, SoftCorr.Sphere(), share, x, w, g)
    @test (sx, sw, sg) == (cx, cw, cg)
end
