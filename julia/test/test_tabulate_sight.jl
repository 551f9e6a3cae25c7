# Moments of halo pairs about a line of sight, against their definition.

using Random
using Test
import SoftCorr

function sight_hat_objects(rng, n, sides, nodes)
    position = collect(sides) .* rand(rng, 3, n)
    axis = randn(rng, 3, n)
    axis ./= sqrt.(sum(abs2, axis, dims = 1))
    position[1:2, 2] = position[1:2, 1]         # a pair along the line of sight
    return SoftCorr.HatObjects(position, axis, rand(rng, 1:(nodes - 1), n), rand(rng, n))
end

@testset "tables of halo pairs about a line of sight" begin

@testset "pi_max = $pi_max of $sides" for (sides, pi_max) in
        (((40.0, 40.0, 40.0), 12.0), ((40.0, 30.0, 50.0), 25.0), ((40.0, 40.0, 40.0), 19.0),
         ((40.0, 40.0, 30.0), 1.5), ((30.0, 35.0, 400.0), 150.0))
    rng = MersenneTwister(5)
    nodes, n = 5, 400
    objects = sight_hat_objects(rng, n, sides, nodes)
    fine = [0; exp.(range(log(0.2), log(13), length = 60))]
    steps = SoftCorr.SightSteps(fine, fine[[1, 20, 35, 50, end]], [0.0, 0.4, 1.0, 3.0], pi_max)
    brute = SoftCorr.sight_hat_sums_brute(objects, nodes, steps, sides)
    fast = SoftCorr.sight_hat_sums(objects, nodes, steps, sides)
    @test size(fast) == size(brute)
    @test maximum(abs.(fast - brute)) <= 1e-12 * maximum(abs.(brute))
    # Where every pair is within the limits, none crosses them.
    @test (maximum(abs.(brute[:, 61:end, :, :])) > 0) == (pi_max < sides[3] / 2)
    # All parts of a pair add up to the pair.
    e = complex.(objects.axis[1, :], objects.axis[2, :]) .^ 2
    set = SoftCorr.SightObjects(objects.position, permutedims([real(e) imag(e)]), ones(n))
    every = SoftCorr.sight_sums(set, set, fine, [0.0, pi_max], sides; cosine = false, auto = true,
                                periodic = true)
    for (k, l, factor) in ((1, 1, 2), (2, 4, 1), (3, 6, 2))
        @test sum(fast[k, 1:60, :, :], dims = (2, 3))[:] ≈ factor .* every[l, :, 1] rtol = 1e-9 atol = 1e-9
    end
end

@testset "the same bits for any number of tasks" begin
    sides = (60.0, 60.0, 60.0)
    objects = sight_hat_objects(MersenneTwister(3), 5000, sides, 7)
    fine = [0; exp.(range(log(0.2), log(13), length = 100))]
    steps = SoftCorr.SightSteps(fine, fine[[1, 30, 60, end]], [0.0, 1.0, 3.0], 20.0)
    once = SoftCorr.sight_hat_sums(objects, 7, steps, sides)
    for workers in (1, 3)
        SoftCorr.WORKERS[] = workers
        @test SoftCorr.sight_hat_sums(objects, 7, steps, sides) == once
    end
    SoftCorr.WORKERS[] = 0
end

end
