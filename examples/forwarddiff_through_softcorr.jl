# ForwardDiff straight through SoftCorr: d xi / dG of simulated galaxies, simulate -> correlate.
#
#     softcorr julia exec examples/forwarddiff_through_softcorr.jl
#
# or any Julia from 1.5 on that has SoftCorr. Everything in SoftCorr is generic in the number type,
# so a derivative is asked for like that of any other Julia function, even of one that the Python
# package does not offer: here the sum of squares of xi over all bins. `derivative` is ForwardDiff's;
# where that is not installed, SoftCorr's own numbers of the same kind take its place.

using Random
using SoftCorr

println(SoftCorr.has_forwarddiff() ? "derivatives by ForwardDiff" :
        "derivatives by SoftCorr's own Dual (ForwardDiff is not installed)")

const N, CLUSTERS = 300, 40
const OBSERVER = (25.0, 0.0, 0.0)

# Particles on circles about a mass at the origin, each in a plane of its own.
function particles(rng)
    x, v = zeros(3, N), zeros(3, N)
    for i in 1:N
        a, b = randn(rng, 3), randn(rng, 3)
        a ./= sqrt(sum(abs2, a))
        b .-= sum(a .* b) .* a
        b ./= sqrt(sum(abs2, b))
        r = cbrt(0.125 + 0.875 * rand(rng))
        x[:, i], v[:, i] = r .* a, b ./ sqrt(r)
    end
    return x, v
end

const RNG = MersenneTwister(1)
const X, V = particles(RNG)
const G1, G2 = 0.2 .* randn(RNG, N), 0.2 .* randn(RNG, N)
const BINS = SoftBins([0.0, 60.0, 120.0, 180.0], 0.3)

"Right ascension and declination at the end of one orbit, in degrees."
sky(G) = simulate(X, V; G = G, t_max = 4.0, observer = OBSERVER)[3:4]

"xi+ of the soft bins, of galaxies that moved in a field of strength G."
function xi(G, estimator, start)
    ra, dec = sky(G)
    return soft_xi(estimator, ra, dec, G1, G2; start = start)
end

"Centers of converged clusters at G = 1, from every seventh galaxy: where all clusterings start."
function start_at(estimator)
    x = directions(sky(1.0)...)
    return fuzzy_cmeans(x, permutedims(x[:, 1:7:(7 * CLUSTERS)]); m = estimator.m).centers
end

"Central difference with Richardson's extrapolation."
function difference(f, h = 1e-6)
    d(h) = (f(1 + h) - f(1 - h)) ./ 2h
    return (4 .* d(h / 2) .- d(h)) ./ 3
end

function main()
    worst = 0.0
    for (name, approach) in (("all pairs", :naive), ("soft clusters", :soft))
        estimator = SoftEstimator(BINS; approach = approach)
        start = approach == :naive ? zeros(0, 3) : start_at(estimator)
        curve = G -> xi(G, estimator, start)
        exact, finite = derivative(curve, 1.0), difference(curve)
        error = maximum(abs.(exact .- finite) ./ abs.(finite))
        println(name)
        println("  xi               ", curve(1.0))
        println("  dxi/dG           ", exact)
        println("  finite difference ", finite)
        println("  relative error   ", error)
        # A loss of one's own: the derivative goes through whatever is written round xi.
        loss = G -> sum(abs2, curve(G))
        slope, chain = derivative(loss, 1.0), 2 * sum(curve(1.0) .* exact)
        println("  d sum(xi^2)/dG   ", slope, " = 2 sum(xi dxi/dG) ", chain)
        worst = max(worst, error, abs(slope / chain - 1))
    end
    return worst < 1e-6 ? 0 : 1
end

exit(main())
