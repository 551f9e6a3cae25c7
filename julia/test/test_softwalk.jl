# Soft-binned pair sums through a tree and a table, against the definition pair by pair; and their
# derivatives of all kinds.

module SoftWalk

using Random
using Test
import SoftCorr

const SC = SoftCorr
const OD = SoftCorr.OwnDual
const SPHERE, PLANE = SC.Sphere(), SC.Plane()

"`n` points within `width` degrees (of a plane, within 1), half of them in a clump."
function points(geometry, n, width; seed = 1)
    rng = MersenneTwister(seed)
    scale = [rand(rng) < 0.5 ? 1.0 : 0.1 for _ in 1:n]
    a, b = width .* scale .* rand(rng, n), width .* scale .* (rand(rng, n) .- 0.5)
    geometry === PLANE && ((a, b) = (a, b) ./ width)
    x = permutedims(SC.places(geometry, 200 .* (geometry === SPHERE) .+ a, b))
    w = 0.5 .+ rand(rng, n)
    w[7] = 0
    return x, 0.2 .* randn(rng, n, 2) .* w, w
end

log_edges(lo, hi, n) = exp.(range(log(lo), log(hi), length = n + 1))

"Bins of the kind, in arcmin, or for a plane in a unit that makes them as wide."
function bins_of(geometry, edges, gaussian, minus; sharper = 1.0)
    unit = geometry === PLANE ? 180.0 : 1.0
    w = diff(edges) ./ unit
    return SC.SoftBins(edges ./ unit, sharper .* (gaussian ? 4 * log(2.0) ./ w .^ 2 : 20 ./ w);
                       gaussian = gaussian, minus = minus)
end

tangent(::SC.Plane, x, x_) = x_[:, 1:2, :]
tangent(::SC.Sphere, x, x_) = x_ .- x .* sum(x_ .* x, dims = 2)
worst(a, b) = maximum(abs.(a .- b)) / maximum(abs.(b))

points_of(x, M, W) = SC.PointSets(x, hcat(M, W))
walk(geometry, bins, x, M, W) = SC.SoftPairs(SC.xi_form(bins), geometry, bins, points_of(x, M, W))
"Sums of products and of weights, and coincident pairs."
apart((sums, met)) = sums[1, :], sums[2, :], met
summed(geometry, bins, x, M, W) = apart(SC.sums!(walk(geometry, bins, x, M, W)))
brute(geometry, bins, x, M, W) = apart(SC.pair_sums_brute(SC.xi_form(bins), geometry, bins, points_of(x, M, W)))
parts(back) = back[1][:, 1:3, :], back[1][:, 4:5, :], back[1][:, 6, :]
pulled(pairs, num_, den_) = parts(SC.pullback(pairs, SC.sums_cotangent(num_, den_)))
brute_pulled(geometry, bins, x, M, W, num_, den_) =
    parts(SC.pair_pullback_brute(SC.xi_form(bins), geometry, bins, points_of(x, M, W), SC.sums_cotangent(num_, den_)))

"Values and pull-backs of both ways; sums of weights, and of shears as shares of those of their sizes."
function same(geometry, bins, x, M, W; tolerance = 1e-12)
    num, den, met = brute(geometry, bins, x, M, W)
    size = brute(geometry, bins, x, hcat(sqrt.(sum(abs2, M, dims = 2)), zero(W)), W)[2]
    pairs = walk(geometry, bins, x, M, W)
    found = apart(SC.sums!(pairs))
    some = den .> SC.NO_PAIRS
    @test found[3] == met
    @test found[2][some] ≈ den[some] rtol = tolerance
    @test all(abs.(found[1] .- num)[some] .<= tolerance .* (0.04 .* den)[some])
    @test (found[2] .> SC.NO_PAIRS) == some
    rng = MersenneTwister(2)
    num_, den_ = SC.ratio_pullback(randn(rng, SC.nbins(bins), 2), num, den)
    a, b = pulled(pairs, num_, den_), brute_pulled(geometry, bins, x, M, W, num_, den_)
    @test worst(tangent(geometry, x, a[1]), tangent(geometry, x, b[1])) < 10 * tolerance
    @test worst(a[2], b[2]) < tolerance
    @test worst(a[3], b[3]) < tolerance
    return pairs
end

@testset "soft pairs through a tree" begin

@testset "$geometry, $kind, $(minus ? "xi-" : "xi+"), gaussian = $gaussian" for geometry in (SPHERE, PLANE),
        (kind, edges) in (("log bins", log_edges(0.5, 200, 12)), ("linear bins", collect(0:20.0:160))),
        minus in (false, true), gaussian in (false, true)
    x, M, W = points(geometry, 700, 3.0)
    pairs = same(geometry, bins_of(geometry, edges, gaussian, minus), x, M, W)
    @test pairs.table.cells > 0
end

@testset "the whole sky" begin
    rng = MersenneTwister(4)
    x, M, W = points(SPHERE, 500, 360.0)
    x[1:20, :] .= -x[41:60, :]                  # antipodes
    nearly = copy(x)
    nearly[21:40, :] .= -x[61:80, :] .+ 1e-7 .* randn(rng, 20, 3)
    nearly ./= sqrt.(sum(abs2, nearly, dims = 2))
    for minus in (false, true), gaussian in (false, true)
        bins = bins_of(SPHERE, collect(0:1200.0:10800), gaussian, minus)
        same(SPHERE, bins, x, M, W)
        # whose directions are rounded to 1e-16 over 1e-7, and otherwise seen from the other one
        same(SPHERE, bins, nearly, M, W; tolerance = 1e-8)
    end
end

@testset "coincident, empty and odd bins" begin
    x, M, W = points(SPHERE, 700, 3.0)
    x[1:5, :] .= x[6:10, :]
    edges = [0.0, 1e-3, 2e-3, 5.0, 40.0, 600.0, 700.0]       # no pairs in three of them
    for minus in (false, true), gaussian in (false, true)
        bins = bins_of(SPHERE, edges, gaussian, minus)
        pairs = same(SPHERE, bins, x, M, W)
        # In a bin whose weights come from far outside of it, and in one that has none at all
        @test 6 in pairs.exact
    end
    @test summed(SPHERE, bins_of(SPHERE, edges, false, true), x, M, W)[3] == 4    # one weighs 0
    # No pairs in any bin, with a table and without one
    for sharpness in (1.0, 1e6)
        pairs = walk(SPHERE, SC.SoftBins([5000.0, 5100], sharpness), x, M, W)
        num, den, _ = apart(SC.sums!(pairs))
        @test num == den == [0]
        @test all(all(iszero, a) for a in pulled(pairs, SC.ratio_pullback(ones(1, 1), num, den)...))
    end
    # Bins that overlap, in no order, of very different sharpness
    odd = SC.SoftBins([30.0, 2.0, 1.0], [60.0, 90.0, 3.0], [0.2, 4.0, 30.0], false, false, false)
    same(SPHERE, odd, x, M, W)
    same(SPHERE, odd[[2]], x, M, W)
end

@testset "sharper and sharper bins become hard ones" begin
    x, M, W = points(SPHERE, 700, 3.0)
    edges = log_edges(0.5, 200, 12)
    limits = [SC.edge2(SPHERE, e, 1.0) for e in edges]
    hard = SC.pair_sums(SC.GG{1,((1, 1),)}(), limits, permutedims(x), W,
                        permutedims(M ./ ifelse.(W .== 0, 1.0, W)), permutedims(x), W,
                        permutedims(M ./ ifelse.(W .== 0, 1.0, W)); auto = true)
    for minus in (false, true)
        bins = bins_of(SPHERE, edges, false, minus; sharper = 1e9)
        pairs = same(SPHERE, bins, x, M, W)
        @test pairs.table.cells == 0
        num, den, _ = apart(SC.sums!(pairs))
        @test den ≈ hard[2, 1:12] rtol = 1e-12
        @test num ≈ hard[minus ? 7 : 5, 1:12] atol = 1e-12 * maximum(den)
        # A table can still be had up to some sharpness, and the limit is approached from there.
        between = summed(SPHERE, bins_of(SPHERE, edges, false, minus; sharper = 10.0), x, M, W)[2]
        @test maximum(abs.(between ./ den .- 1)) <
            maximum(abs.(summed(SPHERE, bins_of(SPHERE, edges, false, minus), x, M, W)[2] ./ den .- 1))
    end
end

@testset "numbers that carry derivatives, $geometry, $(minus ? "xi-" : "xi+")" for geometry in (SPHERE, PLANE),
        minus in (false, true)
    x, M, W = points(geometry, 200, 3.0)
    rng = MersenneTwister(3)
    bins = bins_of(geometry, log_edges(0.5, 200, 5), minus, minus)
    moves = randn(rng, 200, 3) .* [1 1 geometry === SPHERE], randn(rng, 200, 2), randn(rng, 200)
    at(t) = (y = x .+ t .* moves[1]; geometry === SPHERE ? y ./ sqrt.(sum(abs2, y, dims = 2)) : y)
    moved(way, t) = way(geometry, bins, at(t), M .+ t .* moves[2], W .+ t .* moves[3])
    slope(way) = OD.derivative(t -> vcat(moved(way, t)[1:2]...), 0.0)
    @test slope(summed) ≈ slope(brute) rtol = 1e-10
    curved(way) = OD.derivative(s -> OD.derivative(t -> vcat(moved(way, s + t)[1:2]...), 0.0), 0.0)
    @test curved(summed) ≈ curved(brute) rtol = 1e-8
    # The derivative of the pull-back, and of one whose cotangents alone carry any
    num_, den_ = randn(rng, 5, 1), randn(rng, 5, 1)
    function tree_pulled(t, along)
        pairs = walk(geometry, bins, at(along * t), M .+ along .* t .* moves[2], W .+ along .* t .* moves[3])
        SC.sums!(pairs)
        return pulled(pairs, num_ .* (1 + t), den_ .* (1 - t))
    end
    pairwise(t, along) = brute_pulled(geometry, bins, at(along * t), M .+ along .* t .* moves[2],
                                                  W .+ along .* t .* moves[3], num_ .* (1 + t), den_ .* (1 - t))
    both(f, along) = OD.derivative(t -> (p = f(t, along); vcat(vec(tangent(geometry, at(along * t), p[1])),
                                                               vec(p[2]), vec(p[3]))), 0.0)
    for along in (0.0, 1.0)
        @test worst(both(tree_pulled, along), both(pairwise, along)) < 1e-9
    end
end

@testset "the same bits for any number of tasks" begin
    x, M, W = points(SPHERE, 3000, 3.0)
    bins = bins_of(SPHERE, log_edges(0.5, 200, 12), false, false)
    function all_of(workers)
        SC.WORKERS[] = workers
        pairs = walk(SPHERE, bins, x, M, W)
        sums = SC.sums!(pairs)
        return sums, pulled(pairs, ones(12, 1), ones(12, 1))
    end
    found = [all_of(workers) for workers in (1, 2, 5)]
    SC.WORKERS[] = 0
    @test found[1] == found[2] == found[3]
end

end

end
