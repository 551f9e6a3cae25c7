# Pair sums about a line of sight against their definition.

using Random
using Test
import SoftCorr

function sight_objects(rng, n, sides; clump = 0.0)
    position = rand(rng, 3, n) .* sides
    if clump > 0
        position = mod.(position[:, rand(rng, 1:max(1, n ÷ 6), n)] .+ clump * randn(rng, 3, n), sides)
    end
    return SoftCorr.SightObjects(position, randn(rng, 2, n), rand(rng, n))
end

@testset "about a line of sight" begin

@testset "sums of $n and $m in $sides, periodic = $periodic, clumps of $clump" for
        (n, m, sides, rmax, zmax) in ((250, 200, [50.0, 40, 70], 16.0, 35.0),
                                      (150, 1, [30.0, 30, 30], 9.9, 5.0),
                                      (2, 3, [10.0, 10, 20], 4.99, 9.99),
                                      (60, 400, [200.0, 150, 60], 16.0, 29.9),
                                      (400, 350, [12.0, 16, 9], 5.9, 4.4)),
        periodic in (true, false), clump in (0.0, 0.7)
    rng = MersenneTwister(n + m)
    a, b = sight_objects(rng, n, sides; clump = clump), sight_objects(rng, m, sides; clump = clump)
    short = min(rmax, minimum(sides) / 2 - 0.01)
    for (edges, inner, cosine) in ((10 .^ range(-1, log10(rmax), length = 9), [0, zmax / 3, zmax], false),
                                   ([0.0, rmax / 2, rmax], collect(range(0, zmax, length = 22)), false),
                                   ([0.3, rmax], [1.0, zmax], false),
                                   (10 .^ range(-1, log10(short), length = 9),
                                    collect(range(0, 1, length = 11)), true),
                                   ([0.0, short], [0.2, 0.7], true)),
            (second, auto) in ((a, true), (b, false))
        how = (cosine = cosine, auto = auto, periodic = periodic)
        brute = SoftCorr.sight_sums_brute(a, second, edges, inner, sides; how...)
        fast = SoftCorr.sight_sums(a, second, edges, inner, sides; how...)
        @test fast[1, :, :] == brute[1, :, :]
        scale = max.(maximum(abs.(brute), dims = (2, 3)), 1e-300)
        # The direction of a pair 0.01 apart in a box of 50 has 12 digits.
        @test maximum(abs.(fast - brute) ./ scale) < 1e-11
    end
end

@testset "pairs along and across the line of sight" begin
    sides = [20.0, 20, 20]
    position = [5.0 5 8; 5 5 5; 5 7 5]
    a = SoftCorr.SightObjects(position, [1.0 1 1; 0 0 0], ones(3))
    for sums in (SoftCorr.sight_sums, SoftCorr.sight_sums_brute)
        s = sums(a, a, [0.0, 2, 3, 4], [0.0, 0.5, 1], sides; cosine = true, auto = true, periodic = true)
        # (0, 0, 2) has no direction on the sky; (3, 0, 0) lies along the shapes.
        @test s[:, 1, 2] == [1, 1, 2, 0, 0, 0, 0, 0]
        @test s[:, 2, 1] ≈ [1, 1, 3, 2, 0, 1, 0, 0]
        @test sum(s[1, :, :]) == 3
        s = sums(a, a, [0.0, 4.0], [0.0, 1.0, 2.0], sides; cosine = false, auto = true, periodic = true)
        @test s[1, 1, :] == [1, 1]
    end
end

@testset "a lattice, whose pairs lie on the edges of bins" begin
    sides = [6.0, 8.0, 10.0]
    place = reduce(hcat, [[x, y, z] .- 1.0 for x in 1:6 for y in 1:8 for z in 1:10])
    n = size(place, 2)
    a = SoftCorr.SightObjects(place, [cos.(1:n) sin.(1:n)]'[:, :], ones(n))
    for (edges, inner, cosine) in (([0.0, 1, 2, 2.5], [0.0, 1, 2, 4], false),
                                   ([0.0, 1, sqrt(2), 2.9], [0.0, 0.5, sqrt(0.5), 1], true),
                                   ([1.0, 2.9], [0.5, 1.0], true)), periodic in (true, false)
        how = (cosine = cosine, auto = true, periodic = periodic)
        brute = SoftCorr.sight_sums_brute(a, a, edges, inner, sides; how...)
        fast = SoftCorr.sight_sums(a, a, edges, inner, sides; how...)
        @test fast[1, :, :] == brute[1, :, :]
        @test fast ≈ brute rtol = 1e-12
    end
end

@testset "the same bits again" begin
    a = sight_objects(MersenneTwister(8), 5000, [60.0, 50, 70]; clump = 0.5)
    edges, inner = 10 .^ range(-1, 1.2, length = 21), collect(0:2.0:34)
    sums() = SoftCorr.sight_sums(a, a, edges, inner, [60.0, 50, 70]; cosine = false, auto = true,
                                 periodic = true)
    @test sums() == sums()
end

end
