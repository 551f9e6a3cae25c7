# Separations, and the turn of shears to the great circle of a pair.

using Random
using Test
import SoftCorr

@testset "separation is right from 0 to pi" begin
    for theta in [0.0, 1e-12, 1e-8, 1e-3, 1.0, pi / 2, 3.0, pi - 1e-8, Float64(pi)]
        for dec in (-1.2, 0.0, 0.9)
            # along the meridian, over the pole where it must be
            u, v = SoftCorr.unit_vector(0.3, dec), SoftCorr.unit_vector(0.3, dec + theta)
            @test abs(SoftCorr.separation(u, v) - theta) < 1e-15
            @test abs(SoftCorr.chord2(u, v) - 4 * sin(theta / 2)^2) < 2e-15
        end
    end
    u = SoftCorr.unit_vector(1.0, 0.5)
    @test SoftCorr.separation(u, u) == 0
end

@testset "the great circle's direction" begin
    rng = MersenneTwister(1)
    for _ in 1:200
        ra1, ra2 = 2pi .* rand(rng, 2)
        d1, d2 = asin.(2 .* rand(rng, 2) .- 1)
        u, v = SoftCorr.unit_vector(ra1, d1), SoftCorr.unit_vector(ra2, d2)
        a, b = SoftCorr.projections(u, v)
        east, north = cos(d2) * sin(ra2 - ra1), cos(d1) * sin(d2) - sin(d1) * cos(d2) * cos(ra2 - ra1)
        @test abs(a / abs(a) - complex(east, north) / hypot(east, north)) < 1e-12
        back, _ = SoftCorr.projections(v, u)
        @test abs(b - back) < 1e-14
        @test abs(abs2(SoftCorr.double_phase(a)) - 1) < 1e-14
    end
    @test SoftCorr.double_phase(0.0 + 0.0im) == 1
end
