# Pairs of two sets and of all forms in soft bins: through a tree against the definition, and the definition's
# reverse derivative against numbers that carry derivatives.

module SoftForms

using Random
using Test
import SoftCorr

const SC = SoftCorr
const OD = SoftCorr.OwnDual
const SPHERE, PLANE = SC.Sphere(), SC.Plane()
const BOX = SC.PeriodicBox((0.9, 0.7, 0.8))
const FORMS = ((SC.RHO, 7), (SC.TANGENTIAL, 3), (SC.XI_MINUS, 3), (SC.Counts(), 1))

place(::SC.Sphere, rng, n) = permutedims(SC.directions(200 .+ 3 .* rand(rng, n), 3 .* rand(rng, n)))
place(::SC.Plane, rng, n) = hcat(rand(rng, n, 2), zeros(n))
place(box::SC.PeriodicBox, rng, n) = rand(rng, n, 3) .* [box.sides...]' .- 0.3
on(::SC.Sphere, x) = x ./ sqrt.(sum(abs2, x, dims = 2))
on(::SC.Geometry, x) = x
tangent(::SC.Sphere, x, x_) = x_ .- x .* sum(x_ .* x, dims = 2)
tangent(::SC.Plane, x, x_) = x_ .* [1 1 0]
tangent(::SC.PeriodicBox, x, x_) = x_
worst(a, b) = maximum(abs.(a .- b)) / maximum(abs.(b))

edges_of(::SC.Sphere) = [1.0, 20, 60, 130]
edges_of(::SC.Plane) = [0.02, 0.1, 0.3, 0.5]
edges_of(::SC.PeriodicBox) = [0.01, 0.05, 0.1, 0.2]
bins_of(geometry, gaussian) = (e = edges_of(geometry);
    SC.SoftBins(e, gaussian ? 4 * log(2) ./ diff(e) .^ 2 : 20 ./ diff(e); gaussian = gaussian))

function sets(geometry, C, n, m; seed = 1)
    rng = MersenneTwister(seed)
    one = place(geometry, rng, n), randn(rng, n, C)
    one[2][:, C] .= 0.5 .+ rand(rng, n)
    one[1][3, :] = one[1][4, :]                 # at one place
    m == 0 && return SC.PointSets(one...)
    two = place(geometry, rng, m), randn(rng, m, C)
    two[2][:, C] .= 0.5 .+ rand(rng, m)
    two[1][5, :] = one[1][7, :]
    return SC.PointSets(one..., two...)
end

"Tree against definition; and the definition's derivative."
function check(form, geometry, bins, s)
    rng = MersenneTwister(2)
    sums, met = SC.pair_sums_brute(form, geometry, bins, s)
    pairs = SC.SoftPairs(form, geometry, bins, s)
    found, met_too = SC.sums!(pairs)
    @test pairs.table.cells > 0
    @test met == met_too
    @test all(k -> worst(found[k, :], sums[k, :]) < 1e-11, axes(sums, 1))
    sums_ = randn(rng, size(sums)..., 1)
    back = SC.pair_pullback_brute(form, geometry, bins, s, sums_)
    for (a, b, x) in zip(SC.pullback(pairs, sums_), back, (s.x1, s.x2))
        @test worst(tangent(geometry, x, a[:, 1:3, 1]), tangent(geometry, x, b[:, 1:3, 1])) < 1e-10
        @test worst(a[:, 4:end, 1], b[:, 4:end, 1]) < 1e-11
    end
    # points at one place stay together: there a turn has no derivative
    move(n) = (d = randn(rng, n, 3); d[3, :] = d[4, :]; d)
    dx1, dp1 = tangent(geometry, s.x1, move(size(s.x1, 1))), randn(rng, size(s.p1)...)
    dx2, dp2 = tangent(geometry, s.x2, move(size(s.x2, 1))), randn(rng, size(s.p2)...)
    s.auto || (dx2[5, :] = dx1[7, :])
    function moved(t)
        one = on(geometry, s.x1 .+ t .* dx1), s.p1 .+ t .* dp1
        s.auto && return SC.PointSets(one...)
        return SC.PointSets(one..., on(geometry, s.x2 .+ t .* dx2), s.p2 .+ t .* dp2)
    end
    slope(way) = OD.derivative(t -> vec(way(moved(t))), 0.0)
    expected = slope(q -> SC.pair_sums_brute(form, geometry, bins, q)[1])
    @test worst(slope(q -> SC.sums!(SC.SoftPairs(form, geometry, bins, q))[1]), expected) < 1e-9
    total(part, dx, dp) = sum(part[:, 1:3, 1] .* dx) + sum(part[:, 4:end, 1] .* dp)
    along = total(back[1], dx1, dp1) + (s.auto ? 0.0 : total(back[2], dx2, dp2))
    @test along ≈ sum(vec(sums_) .* expected) rtol = 1e-8
end

@testset "forms in soft bins" begin

@testset "$form, $geometry, $(m == 0 ? "one set" : "two")" for (form, C) in FORMS, geometry in (SPHERE, PLANE),
        m in (0, 90)
    form === SC.TANGENTIAL && m == 0 && continue
    check(form, geometry, bins_of(geometry, m == 0), sets(geometry, C, 150, m))
end

@testset "a periodic box, $form" for (form, C) in ((SC.AxisPairs(), 4), (SC.Counts(), 1)), m in (0, 90)
    check(form, BOX, bins_of(BOX, m == 0), sets(BOX, C, 150, m))
end

@testset "two sets are one and another, $form" for (form, C) in ((SC.RHO, 7), (SC.Counts(), 1))
    s, bins = sets(SPHERE, C, 120, 80), bins_of(SPHERE, false)
    sums(q) = SC.sums!(SC.SoftPairs(form, SPHERE, bins, q))[1]
    both = SC.PointSets(vcat(s.x1, s.x2), vcat(s.p1, s.p2))
    one, two = SC.PointSets(s.x1, s.p1), SC.PointSets(s.x2, s.p2)
    @test sums(both) ≈ sums(one) .+ sums(two) .+ sums(s) rtol = 1e-10
end

@testset "fields of rho statistics are those of shears" begin
    s, bins = sets(SPHERE, 7, 100, 0), bins_of(SPHERE, false)
    rho = SC.pair_sums_brute(SC.RHO, SPHERE, bins, s)[1]
    xi(p) = SC.pair_sums_brute(SC.XI_PLUS, SPHERE, bins, SC.PointSets(s.x1, hcat(p, s.p1[:, 7])))[1][1, :]
    e, de, q = s.p1[:, 1:2], s.p1[:, 3:4], s.p1[:, 5:6]
    mixed(a, b) = (xi(a .+ b) .- xi(a .- b)) ./ 4
    expected = (xi(de), mixed(e, de), xi(q), mixed(de, q), mixed(e, q))
    for k in 1:5
        @test rho[k, :] ≈ expected[k] rtol = 1e-9
    end
end

@testset "nearest images" begin
    u, v = (0.05, 0.6, 0.5), (0.85, -0.2, 1.2)
    d, t = SC.apart(BOX, u, v)
    @test collect(d) ≈ [-0.1, -0.1, -0.1] && t ≈ 0.03
    d8, t8 = SC.apart(BOX, map(SC.Lanes, u), map(SC.Lanes, v))
    @test all(k -> d8[k].v[1].value ≈ d[k], 1:3) && t8.v[8].value ≈ t
end

@testset "the same bits for any number of tasks" begin
    s, bins = sets(BOX, 4, 700, 400), bins_of(BOX, false)
    function all_of(workers)
        SC.WORKERS[] = workers
        pairs = SC.SoftPairs(SC.AxisPairs(), BOX, bins, s)
        return SC.sums!(pairs), SC.pullback(pairs, ones(3, 3, 1))
    end
    found = [all_of(workers) for workers in (1, 2, 5)]
    SC.WORKERS[] = 0
    @test found[1] == found[2] == found[3]
end

end

end
