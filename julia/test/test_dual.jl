# Forward-mode numbers: our own against finite differences, and the ones in use.

using Test
import SoftCorr

const Own = SoftCorr.OwnDual

# Central differences of big floats: good to far more digits than the 16 compared.
function slope(f, x)
    h = big"1e-20"
    setprecision(BigFloat, 256) do
        Float64((f(big(x) + h) - f(big(x) - h)) / 2h)
    end
end

const POINTS = Dict(:acosh => (1.3, 4.0), :asin => (-0.7, 0.2), :acos => (-0.7, 0.2),
                    :atanh => (-0.7, 0.2), :log => (0.3, 5.0), :log2 => (0.3, 5.0),
                    :log10 => (0.3, 5.0), :sqrt => (0.3, 5.0), :log1p => (-0.4, 2.0))

@testset "forward-mode numbers" begin

@testset "own Dual: one argument, $name" for (name, _) in Own.UNARY
    f = getfield(Base, name)
    for x in get(POINTS, name, (-1.7, 0.6))
        @test Own.derivative(f, x) ≈ slope(f, x) rtol = 1e-14
        @test Own.value(f(Own.Dual(x, 1.0))) == f(x)
        second = Own.derivative(y -> Own.derivative(f, y), x)
        @test second ≈ slope(y -> Own.derivative(f, y), x) rtol = 1e-13 atol = 1e-15
    end
end

@testset "own Dual: two arguments, $name" for (name, _, _) in Own.BINARY
    f = getfield(Base, name)
    for (x, y) in ((1.7, 0.6), (0.4, 2.3))
        @test Own.derivative(a -> f(a, y), x) ≈ slope(a -> f(a, big(y)), x) rtol = 1e-14
        @test Own.derivative(b -> f(x, b), y) ≈ slope(b -> f(big(x), b), y) rtol = 1e-14
        both = Own.gradient(p -> f(p[1], p[2]), [x, y])
        @test both ≈ [Own.derivative(a -> f(a, y), x), Own.derivative(b -> f(x, b), y)] rtol = 1e-15
        cross = Own.derivative(a -> Own.derivative(b -> f(a, b), y), x)
        @test cross ≈ slope(a -> Own.derivative(b -> f(a, b), big(y)), x) rtol = 1e-13 atol = 1e-15
    end
end

@testset "own Dual: powers, signs, rounding" begin
    for n in -3:4
        @test Own.derivative(x -> x^n, -1.3) ≈ n * (-1.3)^(n - 1)
    end
    @test Own.derivative(x -> x^0, 0.0) == 0.0
    @test Own.derivative(x -> x^2, 0.0) == 0.0
    @test Own.derivative(x -> x^2.5, 0.0) == 0.0
    @test Own.derivative(x -> 0.0^x, 2.0) == 0.0
    @test Own.derivative(x -> ℯ^x, 1.2) ≈ exp(1.2)
    @test Own.derivative(x -> 2^x, 1.2) ≈ log(2) * 2^1.2
    @test Own.derivative(x -> (1 // 2) * x + π, 1.0) == 0.5
    @test Own.derivative(abs, -2.0) == -1.0
    @test Own.derivative(x -> clamp(x, 0, 1), 0.3) == 1.0
    @test Own.derivative(x -> clamp(x, 0, 1), 1.3) == 0.0
    @test Own.derivative(x -> copysign(x, -1.0), 0.3) == -1.0
    @test Own.derivative(x -> flipsign(x, -1.0), 0.3) == -1.0
    @test Own.derivative(x -> x * floor(x) + round(x) + sign(x), 2.6) == 2.0
    @test Own.derivative(x -> muladd(x, x, x), 3.0) == 7.0
    @test Own.derivative(x -> fma(x, x, x), 3.0) == 7.0
    @test Own.derivative(x -> fma(x, 2.0, 1.0), 3.0) == 2.0
    @test Own.derivative(x -> sum(sincos(x)), 0.4) ≈ cos(0.4) - sin(0.4)
    @test floor(Int, Own.Dual(2.6, 1.0)) === 2
    @test eps(Own.Dual(2.6, 1.0)) == eps(2.6)
    @test typemax(Own.Dual{:t,Float64,2}) == Inf
end

@testset "own Dual: comparisons, kinds, conversion" begin
    d = Own.Dual(2.0, 1.0, 5.0)
    @test d > 1 && 1 < d && d == 2 && 2 == d && d != 3.0 && d <= 2 && d < π && d < 5 // 2
    @test isfinite(d) && !isnan(d) && isnan(Own.Dual(NaN, 0.0)) && isinf(Own.Dual(Inf, 0.0))
    @test max(d, 3) == 3 && min(d, 3.0) === d
    @test zero(d) === Own.Dual(0.0, 0.0, 0.0) && one(typeof(d)) === Own.Dual(1.0, 0.0, 0.0)
    @test promote_type(typeof(d), Int) == typeof(d)
    @test promote_type(Own.Dual{Nothing,Float32,2}, Float64) == typeof(d)
    @test convert(typeof(d), 3) === Own.Dual(3.0, 0.0, 0.0)
    @test [d, 1, 2.5] isa Vector{typeof(d)}
    @test Own.partials(d) === (1.0, 5.0) && Own.partials(d, 2) === 5.0 && Own.partials(1.0) === ()
    @test isapprox(d, 2 + 1e-12)
    @test sprint(show, d) == "Dual(2.0, 1.0, 5.0)"
    @test_throws ArgumentError Float64(d)
    @test_throws ArgumentError d + Own.Dual(1.0, 1.0)
    @test (@inferred d * d + 1 / d - sqrt(d)) isa typeof(d)
end

@testset "own Dual: nested derivatives keep apart" begin
    D = Own.derivative
    @test D(x -> x * D(y -> x + y, 1.0), 1.0) == 1.0
    @test D(x -> x * D(y -> x * y, 2.0), 3.0) == 6.0
    @test D(x -> D(y -> y^3 * x, x), 2.0) == 36.0
    @test D(x -> D(y -> D(z -> sin(x * y * z), 0.5), 0.7), 0.3) ≈
        let p = 0.3 * 0.5 * 0.7          # d3/dxdydz sin(xyz)
            cos(p) - 3p * sin(p) - p^2 * cos(p)
        end
    f(x) = D(y -> x * y^2, x)
    @test (@inferred D(f, 1.3)) ≈ 4 * 1.3
    # One function inside itself, at another number type.
    g(x) = x isa Own.Dual ? x^2 : D(g, x)
    @test g(3.0) == 6.0
    # Marks seen for the first time from the inside out must not be confused.
    inner(a) = D(b -> a * b^2, 1.0)
    @test inner(2.0) == 4.0
    @test D(a -> a * inner(a), 3.0) == 12.0
    # A Hessian by a gradient of derivatives, over more numbers than one sweep carries.
    x = collect(range(0.1, 1.0; length = 11))
    q(v) = sum(v[i] * v[i + 1]^2 for i in 1:10)
    hessian = hcat([Own.gradient(v -> D(t -> q([i == k ? v[i] + t : v[i] for i in 1:11]), 0.0), x)
                    for k in 1:11]...)
    expected = zeros(11, 11)
    for i in 1:10
        expected[i, i + 1] = expected[i + 1, i] = 2 * x[i + 1]
        expected[i + 1, i + 1] = 2 * x[i]
    end
    @test hessian ≈ expected
end

@testset "own gradient: shapes and chunks" begin
    @test Own.gradient(x -> sum(abs2, x) + prod(x), [1.0 2.0; 3.0 4.0]) == [26.0 16.0; 14.0 14.0]
    x = collect(1:19)
    @test Own.gradient(v -> sum(v .^ 3), x) == 3.0 .* x .^ 2
    @test Own.gradient(v -> 1.0, Float64[]) == Float64[]
    @test Own.gradient(v -> 1.0, [1.0, 2.0]) == [0.0, 0.0]
    @test Own.derivative(x -> [x, x^2], 3.0) == [1.0, 6.0]
    @test Own.derivative(x -> (x, x^2), 3) === (1.0, 6.0)
    @test_throws ArgumentError Own.gradient(v -> v, [1.0, 2.0])
end

# With Base alone: numbers of two packages may well leave open which of them stands outside.
@testset "own Dual: no ambiguous methods" begin
    ours(m) = m.module === Own
    known(m) = ours(m) || Base.moduleroot(m.module) in (Base, Core)
    @test isempty(filter(pair -> any(ours, pair) && all(known, pair), detect_ambiguities(Own, Base)))
end

@testset "the numbers in use" begin
    D = SoftCorr.forward_mode().Dual
    d = D{:t}(3.0, (1.0, 2.0))
    @test SoftCorr.value(d) === 3.0 && SoftCorr.partials(d) === (1.0, 2.0)
    @test SoftCorr.value(2.5) === 2.5 && SoftCorr.partials(2.5) === () && SoftCorr.value(2) === 2
    nested = D{:outer}(d, (one(d),))
    @test SoftCorr.primal(nested) === 3.0 && SoftCorr.primal(1.5) === 1.5
    @test SoftCorr.derivative(x -> x^3, 2.0) == 12.0
    @test SoftCorr.gradient(x -> x[1]^2 * x[2], [3.0, 2.0]) == [12.0, 9.0]
    @test (@inferred SoftCorr.value(d)) === 3.0
    # The choice costs nothing: which numbers are used is known when a caller is compiled.
    cube(x) = x^3
    @test (@inferred SoftCorr.derivative(cube, 2.0)) == 12.0
end

if SoftCorr.has_forwarddiff()
    @testset "own Dual against ForwardDiff" begin
        FD = SoftCorr.forward_mode()
        for (name, _) in Own.UNARY, x in get(POINTS, name, (-1.7, 0.6))
            f = getfield(Base, name)
            @test Own.derivative(f, x) ≈ FD.derivative(f, x) rtol = 1e-14
        end
        for (name, _, _) in Own.BINARY
            f = getfield(Base, name)
            g(p) = f(p[1], p[2])
            @test Own.gradient(g, [1.7, 0.6]) ≈ FD.gradient(g, [1.7, 0.6]) rtol = 1e-14
        end
    end
else
    @info "own Dual against ForwardDiff: skipped, ForwardDiff is not on the load path"
end

end
