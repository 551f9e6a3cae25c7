# Pair sums in a box against their definition.

using LinearAlgebra
using Random
using Test
import SoftCorr

function box_objects(rng, n, L; clump = 0.0, hosts = max(1, n ÷ 5))
    host = rand(rng, 1:hosts, n)
    sides = collect(SoftCorr.box_sides(L))
    position = clump > 0 ?
        mod.((sides .* rand(rng, 3, hosts))[:, host] .+ clump * randn(rng, 3, n), sides) :
        sides .* rand(rng, 3, n)
    axes() = (x = randn(rng, 3, n); x ./ sqrt.(sum(abs2, x, dims = 1)))
    return SoftCorr.BoxObjects(position, axes(), rand(rng, n), randn(rng, n), host, axes())
end

without_drawn(o) = SoftCorr.BoxObjects(o.position, o.axis, o.weight, o.strength, o.host)

# Whose axis comes first is a matter of order where both objects are of one set.
function joined(sums, auto)
    auto || return sums
    return cat(sums[[1, 2, 3, 6, 7, 8], :, :], sums[4:4, :, :] + sums[5:5, :, :], dims = 1)
end

log_edges(lo, hi, n) = 10 .^ range(log10(lo), log10(hi), length = n + 1)

@testset "box" begin

@testset "sums of $n and $m, L = $L, periodic = $periodic, clumps of $clump" for
        (n, m, L, rmax) in ((250, 200, 50.0, 16.0), (150, 1, 30.0, 9.9), (2, 3, 10.0, 3.0),
                            (60, 400, 200.0, 16.0), (400, 350, 12.0, 3.99),
                            (300, 250, (33.0, 50.0, 75.0), 16.4), (350, 300, (40.0, 9.0, 13.0), 4.4),
                            (200, 400, [21.0, 120.0, 20.0], 9.99), (40, 30, (9.0, 9.0, 300.0), 4.0)),
        periodic in (true, false), clump in (0.0, 0.7)
    rng = MersenneTwister(n + m)
    a, b = box_objects(rng, n, L; clump = clump), box_objects(rng, m, L; clump = clump)
    for edges in (log_edges(0.1, rmax, 20), collect(range(0.0, rmax, length = 8)), [1.0, rmax]),
            (second, auto) in ((a, true), (b, false))
        how = (auto = auto, periodic = periodic)
        brute = joined(SoftCorr.box_sums_brute(a, second, edges, L; how...), auto)
        fast = joined(SoftCorr.box_sums(a, second, edges, L; how..., split = true), auto)
        @test fast[1, :, :] == brute[1, :, :]
        scale = max.(maximum(abs.(brute), dims = (2, 3)), 1e-300)
        @test maximum(abs.(fast - brute) ./ scale) < 1e-12
        whole = joined(SoftCorr.box_sums(a, second, edges, L; how..., split = false), auto)
        @test all(iszero, whole[:, :, 2])
        @test whole[1, :, 1] == sum(brute[1, :, :], dims = 2)[:]
        @test whole[:, :, 1] ≈ sum(brute, dims = 3)[:, :, 1] rtol = 1e-13
        bare = without_drawn(a)
        few = SoftCorr.box_sums(bare, auto ? bare : without_drawn(second), edges, L; how...,
                                split = true)
        @test all(iszero, few[7:8, :, :])
        @test few[1:6, :, :] == SoftCorr.box_sums(a, second, edges, L; how..., split = true)[1:6, :, :]
    end
end

@testset "sums by regions: $n and $m, L = $L, $regions regions, periodic = $periodic" for
        (n, m, L, rmax, regions) in ((250, 200, 50.0, 16.0, 8), (300, 200, 30.0, 9.9, 27),
                                     (60, 400, 200.0, 16.0, 5), (400, 350, 12.0, 3.99, 2),
                                     (3, 2, 10.0, 3.0, 4), (250, 200, (30.0, 50.0, 40.0), 13.0, 9)),
        periodic in (true, false)
    rng = MersenneTwister(n + regions)
    # Layers across z and numbers at random: objects of one column lie in many regions.
    layers(o) = floor.(Int, regions / L[end] .* o.position[3, :]) .+ 1
    a, b = box_objects(rng, n, L; clump = 0.7), box_objects(rng, m, L; clump = 0.7)
    edges = log_edges(0.1, rmax, 12)
    for number in (layers, o -> rand(rng, 1:regions, length(o))), (x, y, auto) in ((a, a, true), (a, b, false))
        of(o) = SoftCorr.BoxObjects(o.position, o.axis, o.weight, o.strength, o.host, zeros(3, 0),
                                    number(o))
        first = of(x)
        second = auto ? first : of(y)
        how = (auto = auto, periodic = periodic)
        brute = joined(SoftCorr.region_sums_brute(first, second, edges, L; how..., regions = regions), auto)
        total, sums = SoftCorr.region_sums(first, second, edges, L; how..., split = true, regions = regions)
        @test joined(sums, auto)[1, :, :] == brute[1, :, :]
        @test joined(sums, auto) ≈ brute rtol = 1e-12
        plain = SoftCorr.box_sums(without_drawn(x), without_drawn(y), edges, L; how..., split = true)
        @test total[1, :, :] == plain[1, :, :]
        @test total ≈ plain rtol = 1e-13
        again = SoftCorr.region_sums(first, second, edges, L; how..., split = false, regions = regions)[2]
        @test again ≈ sums rtol = 1e-13
    end
end

@testset "the table of bins" begin
    for edges in (log_edges(0.1, 16, 20), collect(range(0, 16, length = 301)),
                  [2.0, 2.0000001, 3.0], [0.0, 1e-6, 16.0], log_edges(1e-3, 1e3, 200))
        table = SoftCorr.BinTable(edges)
        e2 = edges .^ 2
        inner = [e2[2:end]; prevfloat.(e2[2:end]); nextfloat.(e2[1:(end - 1)]);
                 e2[1] .+ (e2[end] - e2[1]) .* (1 .- rand(MersenneTwister(1), 2000))]
        @test all(SoftCorr.find_bin(table, t) == searchsortedfirst(e2, t) - 1 for t in inner)
    end
end

@testset "eight at a time" begin
    rng = MersenneTwister(5)
    vec8(x) = ntuple(k -> VecElement(x[k]), 8)
    numbers(v) = [e.value for e in v]
    square = rand(rng, 8, 8)
    turned = SoftCorr.transpose8((vec8(square[:, k]) for k in 1:8)...)
    @test [turned[i][k].value for i in 1:8, k in 1:8] == square
    x = 10 .^ (20 .* rand(rng, 8) .- 10)
    @test numbers(SoftCorr.rsqrt8(vec8(x))) ≈ 1 ./ sqrt.(x) rtol = 4eps()
    @test SoftCorr.within8(vec8(1.0:8.0), SoftCorr.splat8(2.0), SoftCorr.splat8(5.0)) == 0b00011100
    d, L = 40 .* rand(rng, 8) .- 20, 20.0
    @test numbers(SoftCorr.nearest_image8(vec8(d), SoftCorr.splat8(L), SoftCorr.splat8(1 / L))) ≈
        SoftCorr.nearest_image.(d, L) rtol = 1e-13
end

@testset "the same bits again" begin
    a = box_objects(MersenneTwister(8), 5000, 60.0; clump = 0.5)
    edges = log_edges(0.1, 16, 20)
    sums() = SoftCorr.box_sums(a, a, edges, 60.0; auto = true, periodic = true, split = true)
    @test sums() == sums()
end

@testset "number types" begin
    a = box_objects(MersenneTwister(9), 40, 10.0)
    exact = SoftCorr.BoxObjects(big.(a.position), big.(a.axis), big.(a.weight), big.(a.strength),
                                a.host, big.(a.drawn))
    edges = [0.5, 1.5, 3.0]
    how = (auto = true, periodic = true)
    sums = SoftCorr.box_sums_brute(exact, exact, big.(edges), big(10.0); how...)
    @test eltype(sums) == BigFloat
    @test joined(SoftCorr.box_sums(a, a, edges, 10.0; how..., split = true), true) ≈
        Float64.(joined(sums, true)) rtol = 1e-13
end

end
