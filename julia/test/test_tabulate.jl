# Moments of halo pairs between nodes of mass, against their definition.

using Random
using Test
import SoftCorr

function hat_objects(rng, n, L, nodes; clump = 0.0)
    L = collect(SoftCorr.box_sides(L))
    centers = L .* rand(rng, 3, max(1, n ÷ 5))
    position = clump > 0 ?
        mod.(centers[:, rand(rng, axes(centers, 2), n)] .+ clump * randn(rng, 3, n), L) :
        L .* rand(rng, 3, n)
    axis = randn(rng, 3, n)
    axis ./= sqrt.(sum(abs2, axis, dims = 1))
    node = rand(rng, 1:(nodes - 1), n)
    part = rand(rng, n)
    part[1:3:end] .= 0.0            # objects on a node
    part[2:7:end] .= 1.0
    return SoftCorr.HatObjects(position, axis, node, part)
end

@testset "tables of halo pairs" begin

@testset "$n objects, $nodes nodes, L = $L, clumps of $clump" for
        (n, nodes, L, rmax) in ((400, 6, 50.0, 20.0), (300, 2, 12.0, 5.9), (400, 5, (30.0, 50.0, 41.0), 14.0), (3, 4, 10.0, 4.0),
                                (1, 3, 10.0, 4.0), (500, 9, 200.0, 30.0)),
        clump in (0.0, 0.7)
    objects = hat_objects(MersenneTwister(n), n, L, nodes; clump = clump)
    for edges in ([0; exp.(range(log(0.1), log(rmax), length = 120))], [0.0, rmax])
        brute = SoftCorr.hat_sums_brute(objects, nodes, edges, L)
        fast = SoftCorr.hat_sums(objects, nodes, edges, L)
        @test size(fast) == size(brute)
        @test maximum(abs.(fast - brute)) <= 1e-12 * max(1, maximum(abs.(brute)))
        # All parts of a pair add up to the pair.
        within = SoftCorr.BoxObjects(objects.position, objects.axis, ones(n), ones(n), zeros(Int, n))
        every = SoftCorr.box_sums(within, within, edges, L; auto = true, periodic = true, split = false)
        @test sum(fast[1, :, :, :], dims = (2, 3))[:] ≈ 2 .* every[1, :, 1] rtol = 1e-12
        @test sum(fast[2, :, :, :]) ≈ sum(every[4:5, :, :]) atol = 1e-9 * n^2
    end
end

@testset "the same bits for any number of tasks" begin
    objects = hat_objects(MersenneTwister(2), 9000, 90.0, 8; clump = 1.0)
    edges = [0; exp.(range(log(0.1), log(20), length = 200))]
    once = SoftCorr.hat_sums(objects, 8, edges, 90.0)
    for workers in (1, 3)
        SoftCorr.WORKERS[] = workers
        @test SoftCorr.hat_sums(objects, 8, edges, 90.0) == once
    end
    SoftCorr.WORKERS[] = 0
end

@testset "memory" begin
    for nodes in (2, 60, 300), rows in (1, 600)
        bytes = 8 * SoftCorr.HAT_NUMBERS * nodes * rows
        @test SoftCorr.hat_parts(nodes, rows) * bytes <= SoftCorr.HAT_BYTES
    end
    @test SoftCorr.hat_parts(1000, 10_000) == 1
end

@testset "$n places, $kinds kinds, L = $L" for
        (n, kinds, L, rmax) in ((400, 6, 50.0, 20.0), (300, 2, 12.0, 5.9), (350, 5, (30.0, 50.0, 41.0), 14.0),
                                (1, 3, 10.0, 4.0))
    rng = MersenneTwister(n)
    hats = hat_objects(rng, n, L, kinds; clump = 0.5)
    objects = SoftCorr.PlaceObjects(hats.position, hats.axis, rand(rng, n), rand(rng, 1:max(1, n ÷ 6), n),
                                    hats.node, hats.part)
    for edges in (exp.(range(log(0.3), log(rmax), length = 9)), [0.0, rmax])
        brute = SoftCorr.place_sums_brute(objects, kinds, edges, L)
        fast = SoftCorr.place_sums(objects, kinds, edges, L)
        @test size(fast) == size(brute)
        @test maximum(abs.(fast - brute)) <= 1e-12 * max(1, maximum(abs.(brute)))
    end
end

@testset "places: the same bits for any number of tasks" begin
    rng = MersenneTwister(2)
    hats = hat_objects(rng, 9000, 90.0, 8; clump = 1.0)
    objects = SoftCorr.PlaceObjects(hats.position, hats.axis, rand(rng, 9000), collect(1:9000), hats.node,
                                    hats.part)
    @test SoftCorr.place_chunks(9000, 8, 20) == 3
    edges = exp.(range(log(0.1), log(20), length = 21))
    once = SoftCorr.place_sums(objects, 8, edges, 90.0)
    for workers in (1, 3)
        SoftCorr.WORKERS[] = workers
        @test SoftCorr.place_sums(objects, 8, edges, 90.0) == once
    end
    SoftCorr.WORKERS[] = 0
    for kinds in (2, 60, 900), bins in (1, 40)
        bytes = 8 * SoftCorr.place_length(kinds, bins)
        @test SoftCorr.place_chunks(10^7, kinds, bins) * bytes <= max(SoftCorr.PLACE_BYTES, bytes)
    end
end

end
