# Soft-binned pair sums, the derivative of fuzzy c-means, and their composition, against forward-mode
# numbers that flow through the same definitions.

using LinearAlgebra
using Random
using Test
import SoftCorr

const SC = SoftCorr
const OD = SoftCorr.OwnDual

arrays(n; seed = 1, width = 1.5, ra = 359.2, dec = 50.0) = (r = MersenneTwister(seed);
    (ra .+ width .* rand(r, n), dec .+ width .* rand(r, n), 0.2 .* randn(r, n), 0.2 .* randn(r, n),
     0.5 .+ rand(r, n)))
const SPHERE, PLANE = SC.Sphere(), SC.Plane()
"The same bins for positions in degrees of a plane."
in_degrees(b) = SC.SoftBins(b.lo ./ 60, b.hi ./ 60, b.sharpness .* (b.gaussian ? 3600 : 60), b.gaussian, b.minus, b.drop)
bins_in(geometry; options...) = geometry === SPHERE ? bins_of(; options...) : in_degrees(bins_of(; options...))
"Arrays of objects; in a plane, whose largest coordinate is to be about 1, near the origin."
arrays_in(geometry, n; seed = 1) =
    geometry === SPHERE ? arrays(n; seed = seed) : arrays(n; seed = seed, ra = -0.3, dec = 0.2)
start_in(geometry, ra, dec, c) = permutedims(SC.places(geometry, ra, dec))[1:c, :]
bins_of(; gaussian = false, minus = false) = SC.SoftBins([0.0, 20.0, 45.0], [20.0, 45.0, 80.0],
    gaussian ? [0.01, 0.008, 0.004] : [0.8, 0.6, 0.5], gaussian, minus, false)
start_of(ra, dec, c) = permutedims(SC.directions(ra, dec))[1:c, :]
on_sphere(a) = collect(SC.unit_vector(a[1], a[2]))

@testset "soft correlation" begin

@testset "bin weights and their slopes" begin
    for gaussian in (false, true), b in 1:3, theta in (0.0, 3.0, 20.0, 44.0, 90.0, 1e4)
        bins = bins_of(gaussian = gaussian)
        weight, slope = SC.bin_weight_slope(bins, b, theta)
        @test weight == SC.bin_weight(bins, b, theta)
        @test slope ≈ OD.derivative(t -> SC.bin_weight(bins, b, t), theta) rtol = 1e-9 atol = 1e-14
        @test isfinite(OD.derivative(t -> SC.bin_weight(bins, b, t), theta))
    end
end

@testset "turn and separation of pairs" begin
    rng = MersenneTwister(3)
    for size in (1.0, 1e-2, 1e-5), minus in (false, true), _ in 1:5
        a = [6.3 * rand(rng), 2.8 * (rand(rng) - 0.5)]
        b = a .+ size .* randn(rng, 2) ./ 3
        u, v = on_sphere(a), on_sphere(b)
        kind = minus ? Val(:minus) : Val(:plus)
        cosine, sine, re, im, made, inverse = SC.turn_of(SPHERE, kind, u, v)
        p, q = SC.double_phase.(SC.projections(u, v))
        expected = minus ? p * q : p * conj(q)
        @test complex(cosine, sine) ≈ expected atol = 1e-14 / size
        along = SC.turn_back(SPHERE, kind, u, v, re, im, made, inverse)
        apart = SC.separation_slope(SPHERE, u, v)
        for move in (randn(rng, 4), randn(rng, 4))
            f(t) = (x = on_sphere(a .+ t .* move[1:2]); y = on_sphere(b .+ t .* move[3:4]); (x, y))
            du = OD.derivative(t -> f(t)[1], 0.0)
            dv = OD.derivative(t -> f(t)[2], 0.0)
            # the direction of z, from its own derivative in extended precision
            big_a, big_b, big_m = big.(a), big.(b), big.(move)
            z(t) = SC.turn_parts(SPHERE, kind, on_sphere(big_a .+ t .* big_m[1:2]),
                                 on_sphere(big_b .+ t .* big_m[3:4]))[1:2]
            zr, zi = z(big(0.0))
            dz = OD.derivative(t -> collect(z(t)), big(0.0))
            angle = Float64((zr * dz[2] - zi * dz[1]) / (zr^2 + zi^2))
            @test dot(collect(along[1]), du) + dot(collect(along[2]), dv) ≈ angle rtol = 1e-8 atol = 1e-9
            far(t) = SC.separation(on_sphere(big_a .+ t .* big_m[1:2]), on_sphere(big_b .+ t .* big_m[3:4]))
            @test dot(collect(apart[1]), du) + dot(collect(apart[2]), dv) ≈
                Float64(OD.derivative(far, big(0.0))) rtol = 1e-8
        end
    end
    u = on_sphere([1.0, 0.3])
    for v in (u, -u), kind in (Val(:plus), Val(:minus), Val(:tangent))
        @test all(iszero, vcat(collect.(SC.separation_slope(SPHERE, u, v))...))
        @test iszero(SC.turn_of(SPHERE, kind, u, v)[6])
    end
    # the tangential shear is that of a source turned toward its lens, with its sign
    for geometry in (SPHERE, PLANE), _ in 1:5
        u, v = geometry === SPHERE ? (on_sphere(randn(rng, 2)), on_sphere(randn(rng, 2))) :
            ((randn(rng, 2)..., 0.0), (randn(rng, 2)..., 0.0))
        toward = SC.double_phase(SC.projections(geometry, u, v)[2])
        @test complex(SC.turn_of(geometry, Val(:tangent), u, v)[1:2]...) ≈ -toward
        @test complex(SC.turn_of(geometry, Val(:tangent_back), v, u)[1:2]...) ≈ -toward
    end
    # in the plane: xi- turns by four times the direction, xi+ not at all
    for _ in 1:5
        u, v = (randn(rng, 2)..., 0.0), (randn(rng, 2)..., 0.0)
        phase(p, kind) = SC.turn_of(PLANE, Val(kind), (p[1], p[2], 0.0), (p[3], p[4], 0.0))
        direction = atan(v[2] - u[2], v[1] - u[1])
        at = [u[1:2]...; v[1:2]...]
        @test complex(phase(at, :minus)[1:2]...) ≈ cis(-4 * direction)
        @test phase(at, :plus)[1:2] == (1, 0)
        p, q = SC.double_phase.(SC.projections(PLANE, u, v))
        @test p ≈ cis(-2 * direction) && p ≈ q
        for kind in (:minus, :tangent)
            _, _, re, im, made, inverse = phase(at, kind)
            slopes = SC.turn_back(PLANE, Val(kind), u, v, re, im, made, inverse)
            @test vcat(collect.(t[1:2] for t in slopes)...) ≈
                OD.gradient(p -> (z = phase(p, kind); atan(z[4], z[3])), at) rtol = 1e-10
        end
        slopes = SC.separation_slope(PLANE, u, v)
        @test vcat(collect.(t[1:2] for t in slopes)...) ≈
            OD.gradient(p -> SC.separation(PLANE, (p[1], p[2], 0.0), (p[3], p[4], 0.0)), at) rtol = 1e-10
    end
    # nearly antipodal
    a, b = [1.0, 0.3], [1.0 + pi + 1e-6, -0.3 + 2e-6]
    u, v = on_sphere(a), on_sphere(b)
    s = OD.gradient(p -> SC.separation(on_sphere(p[1:2]), on_sphere(p[3:4])), big.([a; b]))
    along = SC.separation_slope(SPHERE, u, v)
    du = OD.derivative(t -> on_sphere(a .+ t .* [0.0, 1.0]), 0.0)
    @test dot(collect(along[1]), du) ≈ Float64(s[2]) rtol = 1e-8
end

@testset "rows are shared out once" begin
    for n in (1, 2, 49, 200), parts in (1, 4, 32)
        @test vcat(collect.(SC.pair_rows(n, parts, p) for p in 1:parts)...) == 1:n
    end
end

@testset "pull-back of the pair sums, $geometry, $(minus ? "xi-" : "xi+"), gaussian = $gaussian" for
        geometry in (SPHERE, PLANE), minus in (false, true), gaussian in (false, true)
    ra, dec, g1, g2, w = arrays(60)
    x, M = permutedims(SC.places(geometry, ra, dec)), hcat(g1, g2) .* w
    bins = bins_in(geometry; gaussian = gaussian, minus = minus)
    rng = MersenneTwister(5)
    num_, den_ = randn(rng, 3, 2), randn(rng, 3, 2)
    form = SC.xi_form(bins)
    function pulled(num_, den_)
        back = SC.pair_pullback_brute(form, geometry, bins, SC.PointSets(x, hcat(M, w)),
                                      SC.sums_cotangent(num_, den_))[1]
        return back[:, 1:3, :], back[:, 4:5, :], back[:, 6, :]
    end
    both, one = pulled(num_, den_), pulled(num_[:, 2:2], den_[:, 2:2])
    for (a, b) in zip(both, one)
        @test selectdim(a, ndims(a), 2) ≈ selectdim(b, ndims(b), 1) rtol = 1e-13
    end
    moves = (randn(rng, 60, 3), randn(rng, 60, 2), randn(rng, 60))
    tangent = geometry === SPHERE ? moves[1] .- x .* sum(moves[1] .* x, dims = 2) : moves[1] .* [1 1 0]
    at(y) = geometry === SPHERE ? y ./ sqrt.(sum(abs2, y, dims = 2)) : y
    moved(t) = SC.PointSets(at(x .+ t .* tangent), hcat(M .+ t .* moves[2], w .+ t .* moves[3]))
    slope = OD.derivative(t -> vec(SC.pair_sums_brute(form, geometry, bins, moved(t))[1]), 0.0)
    dnum, dden = slope[1:2:end], slope[2:2:end]
    for r in 1:2
        back = sum(both[1][:, :, r] .* tangent) + sum(both[2][:, :, r] .* moves[2]) + sum(both[3][:, r] .* moves[3])
        @test back ≈ dot(num_[:, r], dnum) + dot(den_[:, r], dden) rtol = 1e-11
    end
    apart = pulled(Matrix(Diagonal(num_[:, 1])), Matrix(Diagonal(den_[:, 1])))
    whole = pulled(num_[:, 1:1], den_[:, 1:1])
    for (a, b) in zip(apart, whole)
        @test sum(a, dims = ndims(a)) ≈ b rtol = 1e-12
    end
end

@testset "Hessian of the clustering objective, $geometry, m = $m" for
        geometry in (SPHERE, PLANE), m in (1.4, 2.0, 2.8)
    ra, dec, _, _, w = arrays_in(geometry, 300; seed = 2)
    x = SC.places(geometry, ra, dec)
    v = start_in(geometry, ra, dec, 7) .+ [1e-3 1e-3 (geometry === SPHERE ? 1e-3 : 0)]
    geometry === SPHERE && (v ./= sqrt.(sum(abs2, v, dims = 2)))
    _, left, converged = SC.converge_centers!(geometry, v, x, w, m, 5000)
    @test converged && left < (geometry === SPHERE ? 1e-15 : 1e-14)
    H, lengths = SC.hessian(geometry, x, w, v, m)
    frames = SC.tangent_frames(geometry, v)
    # I - dF/dv from forward-mode numbers through a sweep
    J = zeros(14, 14)
    for j in 1:14
        step(t) = SC.sweep_centers(geometry, x, w, SC.move(geometry, v, frames, [k == j ? t : zero(t) for k in 1:14]), m)
        J[:, j] = SC.flat(frames, OD.derivative(step, 0.0))
    end
    @test Symmetric(H, :L) ≈ Diagonal(vcat(lengths, lengths)) * (I - J) rtol = 1e-9
    b = randn(MersenneTwister(1), 14)
    f = SC.factor(H, lengths)
    @test f.kind == 0
    @test SC.solve(f, b) ≈ Symmetric(H, :L) \ b rtol = 1e-10
    # the objective is at a minimum along every direction
    objective(t) = SC.pulls(x, w, SC.move(geometry, v, frames, t .* b), m)[3]
    @test OD.derivative(objective, 0.0) ≈ 0 atol = (geometry === SPHERE ? 1e-13 : 1e-11)
    @test OD.derivative(t -> OD.derivative(objective, t), 0.0) ≈ 2 * dot(b, Symmetric(H, :L) * b) rtol = 1e-8
end

@testset "factorizations" begin
    rng = MersenneTwister(4)
    for n in (2, 30, 66, 300)
        B = randn(rng, n, n)
        lengths = 0.1 .+ rand(rng, div(n, 2))
        b = randn(rng, n)
        positive = B * B' + I
        f = SC.factor(positive, lengths)
        @test f.kind == 0
        @test SC.solve(f, b) ≈ positive \ b rtol = 1e-8
        indefinite = Matrix(Symmetric(B + B'))
        indefinite[1, 1] = -1.0
        g = SC.factor(indefinite, lengths)
        @test g.kind == 1
        @test indefinite * SC.solve(g, b) ≈ b rtol = 1e-6
    end
    # One direction that nothing decides: a finite answer, right in the others.
    n = 12
    Q = Matrix(qr(randn(rng, n, n)).Q)
    singular = Q * Diagonal([0.0; 1.0:(n - 1)]) * Q'
    f = SC.factor(Matrix(Symmetric(singular)), ones(6))
    @test f.kind == 2 && f.rcond < 1e-11
    b = Q[:, 2:end] * randn(rng, n - 1)
    @test singular * SC.solve(f, b) ≈ b rtol = 1e-6
    @test norm(SC.solve(f, b + 1e-9 * Q[:, 1])) < 10 * norm(b)
    # A cluster without objects
    H = zeros(4, 4)
    H[2, 2] = H[4, 4] = 3.0
    @test SC.solve(SC.factor(H, [0.0, 2.0]), [0.0, 3.0, 0.0, 6.0]) ≈ [0.0, 1.0, 0.0, 2.0]
end

@testset "rank updates" begin
    rng = MersenneTwister(6)
    Z = randn(rng, 24, 50)
    H = zeros(24, 24)
    for tile in 1:3
        SC.rank_update!(H, vec(Z), 24, 50, tile)
    end
    @test tril(H) ≈ tril(Z * Z') rtol = 1e-13
end

@testset "the whole estimate, $geometry, approach $approach, through $through" for geometry in (SPHERE, PLANE),
        (approach, through) in ((:naive, :implicit), (:soft, :implicit), (:hard, :implicit), (:gumbel, :implicit),
                                (:soft, :unrolled), (:gumbel, :unrolled), (:soft, :frozen), (:gumbel, :frozen),
                                (:soft, :one_step), (:gumbel, :one_step))
    n, c = 40, 5
    ra, dec, g1, g2, w = arrays_in(geometry, n; seed = 7)
    noise = -log.(-log.(rand(MersenneTwister(8), c, n)))
    est = SC.SoftEstimator(bins_in(geometry); approach = approach, through = through, noise = noise, tau = 0.4,
                           weighted = true, plane = geometry === PLANE, max_iter = through === :unrolled ? 30 : 5000)
    start = start_in(geometry, ra, dec, c)
    # Off the objects: forward mode sees no second derivative of a membership where they coincide.
    start = SC.move(geometry, start, SC.tangent_frames(geometry, start), 1e-3 .* randn(MersenneTwister(12), 2c))
    v = copy(start)
    through === :unrolled || SC.converge_centers!(geometry, v, SC.places(geometry, ra, dec), w, 2.0, 5000)
    xi, ra_, dec_, g_, w_, _ = SC.soft_correlation_pullback(
        est, v, ra, dec, permutedims(hcat(g1, g2)), w, Matrix(1.0I, 3, 3))
    @test xi ≈ SC.soft_xi(est, ra, dec, g1, g2; weights = w, start = start) rtol = 1e-11
    # gradients by forward mode through the public function: ours or ForwardDiff's numbers
    wrt(b) = SC.gradient(y -> SC.soft_xi(est, (y[:, q] for q in 1:4)...; weights = y[:, 5], start = start)[b],
                         hcat(ra, dec, g1, g2, w))
    @test wrt(2) ≈ hcat(ra_[:, 2], dec_[:, 2], g_[1, :, 2], g_[2, :, 2], w_[:, 2]) rtol = 1e-9
    # the derivative of the gradient along all that goes in: forward twice, and the gradient a step ahead
    tangent, turn = randn(MersenneTwister(10), n, 5), randn(MersenneTwister(11), 3, 1)
    tangent[:, 1:2] .*= 0.1
    y = hcat(ra, dec, g1, g2, w)
    function back(y, z)
        at = copy(start)
        through === :unrolled || SC.converge_centers!(geometry, at, SC.places(geometry, map(SC.primal, y[:, 1]),
            map(SC.primal, y[:, 2])), map(SC.primal, y[:, 5]), 2.0, 5000)
        out = SC.soft_correlation_pullback(est, at, y[:, 1], y[:, 2], permutedims(y[:, 3:4]), y[:, 5], z)
        return hcat(out[2], out[3], permutedims(out[4][:, :, 1]), out[5])
    end
    curved(turn) = map(q -> SC.partials(q)[1], back(SC.along(y, tangent), SC.along(ones(3, 1), turn)))
    summed(s) = sum(SC.soft_xi(est, (y[:, q] .+ s .* tangent[:, q] for q in 1:4)...;
                               weights = y[:, 5] .+ s .* tangent[:, 5], start = start))
    @test sum(tangent .* curved(zeros(3, 1))) ≈ OD.derivative(t -> OD.derivative(summed, t), 0.0) rtol = 1e-7
    if through === :implicit || through === :unrolled
        h = geometry === SPHERE ? 1e-3 : 1e-4
        jump(k) = (back(y .+ k * h .* tangent, 1 .+ k * h .* turn) .-
                   back(y .- k * h .* tangent, 1 .- k * h .* turn)) ./ (2 * k * h)
        @test curved(turn) ≈ (4 .* jump(0.5) .- jump(1.0)) ./ 3 rtol = 1e-5
    end
    through === :implicit || continue
    # second derivatives through the fixed point
    p = randn(MersenneTwister(9), n)
    first(t) = OD.derivative(s -> SC.soft_xi(est, ra .+ s .* p, dec, g1, g2; weights = w, start = start)[1], t)
    second = OD.derivative(first, 0.0)
    h = geometry === SPHERE ? 1e-3 : 1e-4
    step(k) = (first(k * h) - first(-k * h)) / (2 * k * h)
    @test second ≈ (4 * step(0.5) - step(1.0)) / 3 rtol = 1e-5
end

@testset "derivatives on an object, and without pairs, are finite" begin
    ra, dec, g1, g2, w = arrays(30; seed = 3)
    est = SC.SoftEstimator(bins_of())
    on = copy(start_of(ra, dec, 4))
    g = permutedims(hcat(g1, g2))
    _, ra_, dec_, g_, w_, _ = SC.soft_correlation_pullback(est, on, ra, dec, g, w, Matrix(1.0I, 3, 3))
    @test all(isfinite, ra_) && all(isfinite, dec_) && all(isfinite, g_) && all(isfinite, w_)
    # The limit of an object that comes closer and closer
    near = on .+ 1e-9 .* randn(MersenneTwister(1), 4, 3)
    near ./= sqrt.(sum(abs2, near, dims = 2))
    close = SC.soft_correlation_pullback(est, near, ra, dec, g, w, Matrix(1.0I, 3, 3))
    @test close[2] ≈ ra_ rtol = 1e-4
    far = SC.SoftEstimator(SC.SoftBins([5000.0, 0.0], [6000.0, 90.0], [1.0, 1.0], false, false, false); approach = :naive)
    xi, ra_, _, _, w_, _ = SC.soft_correlation_pullback(far, zeros(0, 3), ra, dec, g, w, Matrix(1.0I, 2, 2))
    @test isnan(xi[1]) && isfinite(xi[2])
    @test all(iszero, ra_[:, 1]) && all(iszero, w_[:, 1]) && !all(iszero, ra_[:, 2])
end

end
