# The pair sums through trees against the definition, pair by pair.

using Random
using Test
import SoftCorr
const S = SoftCorr

"Squared chords of angles."
chords(theta) = 4 .* sin.(theta ./ 2) .^ 2

"Unit vectors in a box of the given width about a direction; all over the sky where it is large."
function sky(rng, n, width)
    x = width > 2 ? randn(rng, 3, n) : [0.3, -0.5, 0.8] .+ width .* (rand(rng, 3, n) .- 0.5)
    return x ./ sqrt.(sum(abs2, x, dims = 1))
end

"Largest differences: pairs; weight, mean theta and mean ln(theta); mean products."
function differences(kind, edges, x1, w1, g1, x2, w2, g2, auto, leafsize; geometry = S.Sphere())
    a = S.pair_sums_brute(kind, edges, x1, w1, g1, x2, w2, g2; auto = auto, geometry = geometry)
    b = S.pair_sums(kind, edges, x1, w1, g1, x2, w2, g2; auto = auto, leafsize = leafsize, geometry = geometry)
    worst = zeros(3)
    for k in axes(a, 2)
        weight = max(a[2, k], 1e-300)
        worst[1] = max(worst[1], abs(a[1, k] - b[1, k]))
        # where pairs coincide nothing is made of their logarithms, nor of what needs a direction
        lost = k == size(a, 2)
        theta = a[3, k] / weight
        for n in (lost ? (2:3) : (2:4))
            scale = n == 3 && theta > 0 ? theta : 1.0
            worst[2] = max(worst[2], abs(a[n, k] - b[n, k]) / weight / scale)
        end
        for n in 5:size(a, 1)
            lost && (kind isa S.NG || (n - 5) % 4 > 1) && continue
            worst[3] = max(worst[3], abs(a[n, k] - b[n, k]) / weight)
        end
    end
    return worst
end

const EDGES = [
    [chords(range(0, 3.1, length = 13)); 4.1],           # to beyond half a turn
    chords(exp.(range(log(1e-4), log(0.02), length = 21))),
    chords(range(0, 0.013, length = 9)),
    [0.0, 4.1],
    [1e-3, 2.0, 3.9],
    chords(range(0.001, 0.02, length = 200)),
]
const RHO = S.GG{3,((2, 2), (2, 1), (3, 3), (3, 2), (3, 1))}()
const KINDS = [S.NN(), S.NG{1}(), S.GG{1,((1, 1),)}(), RHO]

@testset "trees give the sums of the definition: $n objects, width $width" for
        n in (2, 7, 8, 9, 32, 33, 65, 97, 210, 420), width in (0.005, 0.05, 4)
    rng = MersenneTwister(n)
    leafsize = n > 200 ? 32 : 8
    x = sky(rng, n, width)
    if n > 8                            # coincident objects, in one leaf and in different ones
        x[:, 5], x[:, n] = x[:, 1], x[:, 2]
    end
    w = rand(rng, n)
    n > 5 && (w[4] = 0)
    y = sky(rng, max(1, n ÷ 3), width)
    y[:, 1] = x[:, 1]
    v = rand(rng, size(y, 2))
    for edges in EDGES, kind in KINDS
        n > 400 && kind === RHO && continue
        f = 2 * S.nfields(kind)
        g, h = randn(rng, f, n), randn(rng, f, size(y, 2))
        g1 = kind isa S.NG ? zeros(0, n) : g
        if !(kind isa S.NG)
            @test all(differences(kind, edges, x, w, g, x, w, g, true, leafsize) .< [1, 1e-10, 1e-10])
        end
        @test all(differences(kind, edges, x, w, g1, y, v, h, false, leafsize) .< [1, 1e-10, 1e-10])
        @test all(differences(kind, edges, x, w, g1, x, w, g, false, leafsize) .< [1, 1e-10, 1e-10])
    end
end

@testset "in the plane: $n objects, side $side" for n in (2, 8, 9, 33, 97, 210, 420), side in (0.003, 1.0)
    rng = MersenneTwister(n)
    leafsize = n > 200 ? 32 : 8
    place(k) = vcat(side .* rand(rng, 2, k) .- 0.3, zeros(1, k))
    x, y = place(n), place(max(1, n ÷ 3))
    n > 8 && (x[:, 5] = x[:, 1]; x[:, n] = x[:, 2])
    y[:, 1] = x[:, 1]
    w, v = rand(rng, n), rand(rng, size(y, 2))
    # bins of few and of many objects, and all pairs
    for edges in (side .* range(0, 1.5, length = 9), side .* exp.(range(-6, 0.5, length = 30)), [0.0, 9.0]), kind in KINDS
        n > 400 && kind === RHO && continue
        f = 2 * S.nfields(kind)
        g, h = randn(rng, f, n), randn(rng, f, size(y, 2))
        worst(args...) = differences(kind, collect(edges) .^ 2, args..., leafsize; geometry = S.Plane())
        kind isa S.NG || @test all(worst(x, w, g, x, w, g, true) .< [1, 1e-10, 1e-10])
        @test all(worst(x, w, kind isa S.NG ? zeros(0, n) : g, y, v, h, false) .< [1, 1e-10, 1e-10])
    end
end

@testset "clumps: half the pairs within 1e-9" begin
    rng = MersenneTwister(2)
    x = repeat(sky(rng, 20, 0.01), 1, 20) .+ 1e-9 .* randn(rng, 3, 400)
    x ./= sqrt.(sum(abs2, x, dims = 1))
    w, g = rand(rng, 400), randn(rng, 2, 400)
    for edges in (EDGES[3], chords(exp.(range(log(1e-10), log(0.02), length = 12))))
        # the cross product in `separation` knows an angle of 1e-9 to 1e-7 of itself
        @test all(differences(KINDS[3], edges, x, w, g, x, w, g, true, 32) .< [1, 1e-7, 1e-10])
    end
end

@testset "antipodal pairs" begin
    rng = MersenneTwister(3)
    x = sky(rng, 200, 4)
    x[:, 101:200] .= .-x[:, 1:100]
    w = rand(rng, 200)
    edges = [3.9, 3.99999, 4.1]
    # which great circle joins them is undefined, so no shears
    @test all(differences(S.NN(), edges, x, w, zeros(0, 200), x, w, zeros(0, 200), true, 8) .< [1, 1e-14, 1])
    sums = S.pair_sums(S.NN(), edges, x, w, zeros(0, 200), x, w, zeros(0, 200); auto = true)
    @test sums[1, 2] >= 100
end

@testset "bins are [lo, hi)" begin
    x = [1.0 0 0 -1; 0 1 0 0; 0 0 1 0]          # squared chords of 2 and 4, exactly
    w, g = ones(4), zeros(0, 4)
    for f in (S.pair_sums, S.pair_sums_brute)
        counts(edges) = f(S.NN(), edges, x, w, g, x, w, g; auto = true)[1, :]
        @test counts([0.0, 2.0, 4.0]) == [0, 5, 0]
        @test counts([2.0, 4.0, 5.0]) == [5, 1, 0]
        @test counts([1.0, 2.0]) == [0, 0]
    end
end

@testset "coincident pairs stand apart" begin
    # equal, one unit in the last place apart, 1e-13 apart; at a pole, with frames turned by 90 degrees
    x = S.directions([10.0, 10.0, nextfloat(10.0), 10 + 1e-11, 0, 90], [0.0, 0, 0, 0, 90, 90])
    w = [1.0, 2, 4, 8, 16, 32]
    g = [0.1 0.2 0.3 0.4 0.5 0.6; 0 0.1 0 0.1 0 0.1]
    for f in (S.pair_sums, S.pair_sums_brute)
        sums = f(S.GG{1,((1, 1),)}(), [0.0, 4.1], x, w, g, x, w, g; auto = true)
        @test sums[1, :] == [11, 4]
        @test sums[2, 2] ≈ 2 + 4 + 8 + 16 * 32
        plus(i, j) = w[i] * w[j] * complex(g[1, i], g[2, i]) * complex(g[1, j], -g[2, j])
        kept = real(plus(1, 2) + plus(1, 3) + plus(2, 3) - plus(5, 6))
        @test sums[5, 2] ≈ kept rtol = 1e-12
        @test all(isfinite, sums)
    end
end

@testset "empty and single sets" begin
    x = [1.0 0; 0 1; 0 0]
    e = [0.0, 3.0]
    none, g = zeros(2), zeros(0, 2)
    @test S.pair_sums(S.NN(), e, x, none, g, x, none, g; auto = true) == zeros(4, 2)
    @test S.pair_sums(S.NN(), e, x, none, g, x, ones(2), g; auto = false) == zeros(4, 2)
    @test S.pair_sums(S.NN(), e, x, [1.0, 0], g, x, [1.0, 0], g; auto = true) == zeros(4, 2)
    @test S.pair_sums(S.NN(), e, x, [1.0, 0], g, x, [0, 2.0], g; auto = false)[1:3] ≈ [1, 2, pi]
end

@testset "the tree holds every object once" begin
    rng = MersenneTwister(4)
    for n in (1, 7, 8, 31, 32, 33, 100, 1000), leafsize in (8, 32)
        x = sky(rng, n, 4)
        t = S.Tree(x, collect(1:n); leafsize = leafsize)
        @test sort(t.order[t.real .== 1]) == 1:n
        @test sum(t.count) == n && maximum(t.count) <= leafsize
        for node in eachindex(t.lo)
            stop = t.first[t.hi[node]] + t.count[t.hi[node]] - 1
            inside = t.order[t.first[t.lo[node]]:stop]
            @test all(sqrt(S.chord2(x[:, i], t.center[node])) <= t.radius[node] for i in inside)
        end
    end
end

@testset "logarithm of eight numbers" begin
    rng = MersenneTwister(5)
    for _ in 1:500
        a = exp.(40 .* randn(rng, 8))
        got = S.vlog(ntuple(k -> VecElement(a[k]), 8))
        @test all(abs(got[k].value - log(a[k])) <= 4eps(max(abs(log(a[k])), 0.5)) for k in 1:8)
    end
end
