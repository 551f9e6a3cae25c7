# Hard-binned pair sums on the sphere or in a plane: counts, count-shear, shear-shear. What comes
# first is the definition, pair by pair and generic in the number type; the fast twin goes through
# trees.

"Kind of a pair sum: positions, K shears around positions, or K shears with shears."
abstract type Kind end
struct NN <: Kind end
struct NG{K} <: Kind end
struct GG{K,Combos} <: Kind end         # Combos: tuple of pairs of field numbers

nfields(::NN) = 0
nfields(::NG{K}) where {K} = K
nfields(::GG{K}) where {K} = K
combos(::GG{K,C}) where {K,C} = C

# Sums of one bin: pairs, weight, weight * theta, weight * ln theta, then the products.
nproducts(::NN) = 0
nproducts(::NG{K}) where {K} = 2K                       # tangential, cross of each field
nproducts(::GG{K,C}) where {K,C} = 4 * length(C)        # xi+ and xi-, real and imaginary
nsums(kind::Kind) = 4 + nproducts(kind)

"Squared-chord bin of `t`, or 0: bins are [lo, hi)."
@inline function find_bin(edges, t)
    (t >= edges[1] && t < edges[end]) || return 0
    b = 1
    while t >= edges[b + 1]
        b += 1
    end
    return b
end

# Minus infinity would turn the padding's zero weights into NaN; sums this low read as -Inf.
const LOG_ZERO = -1e300
log_of(theta) = iszero(theta) ? oftype(theta, LOG_ZERO) : log(theta)

"""
    pair_sums_brute(kind, edges, xyz1, w1, g1, xyz2, w2, g2; auto, geometry = Sphere(),
                    objects = axes(xyz1, 2))

Sums (nsums, nbins + 1) over all pairs of the first with the second set, or over each unordered pair
of one set (`auto`). Positions (3, N) are those of the `geometry`, shears (2K, N) alternate g1 and g2
of each field, `edges` are squared chords. Products of two different fields of one set are taken in
both orders. The last column holds the coincident pairs of the first bin, which the others leave
out: products that need their direction mean nothing. `objects` are those of the first set.
"""
function pair_sums_brute(kind::Kind, edges, xyz1, w1, g1, xyz2, w2, g2; auto::Bool,
                         geometry::Geometry = Sphere(), objects = axes(xyz1, 2))
    T = promote_type(eltype(xyz1), eltype(xyz2), eltype(w1), eltype(g1), eltype(g2))
    sums = zeros(T, nsums(kind), length(edges))
    for i in objects, j in (auto ? i + 1 : 1):size(xyz2, 2)
        # A weight of 0 still counts where its derivative is asked for.
        (vanishes(w1[i]) || vanishes(w2[j])) && continue
        u = (xyz1[1, i], xyz1[2, i], xyz1[3, i])
        v = (xyz2[1, j], xyz2[2, j], xyz2[3, j])
        t = chord2(u, v)
        b = find_bin(edges, t)
        b == 0 && continue
        t <= COINCIDENT && (b = length(edges))
        ww = w1[i] * w2[j]
        theta = separation(geometry, u, v)
        sums[1, b] += !iszero(primal(w1[i])) && !iszero(primal(w2[j]))
        sums[2, b] += ww
        sums[3, b] += ww * theta
        sums[4, b] += ww * log_of(theta)
        products!(view(sums, :, b), kind, geometry, u, v, ww, g1, i, g2, j, auto)
    end
    return sums
end

shear(g, f, i) = complex(g[2f - 1, i], g[2f, i])

products!(s, ::NN, geometry, u, v, ww, g1, i, g2, j, auto) = nothing

function products!(s, ::NG{K}, geometry, u, v, ww, g1, i, g2, j, auto) where {K}
    phase = double_phase(projections(geometry, u, v)[2])
    for f in 1:K
        g = -ww * shear(g2, f, j) * phase
        s[3 + 2f] += real(g)
        s[4 + 2f] += imag(g)
    end
end

function products!(s, kind::GG, geometry, u, v, ww, g1, i, g2, j, auto)
    a, b = projections(geometry, u, v)
    pa, pb = double_phase(a), double_phase(b)
    for (n, (e, f)) in enumerate(combos(kind))
        plus = shear(g1, e, i) * pa * conj(shear(g2, f, j) * pb)
        minus = shear(g1, e, i) * pa * shear(g2, f, j) * pb
        if auto         # the mean of both orders of the pair
            plus = (plus + shear(g2, e, j) * pb * conj(shear(g1, f, i) * pa)) / 2
            minus = (minus + shear(g2, e, j) * pb * shear(g1, f, i) * pa) / 2
        end
        s[4n + 1] += ww * real(plus)
        s[4n + 2] += ww * imag(plus)
        s[4n + 3] += ww * real(minus)
        s[4n + 4] += ww * imag(minus)
    end
end

# ---- theta and ln(theta) of eight squared chords, by series --------------------------------------

const DEGREE = 17

"Theta and ln(theta) as power series about the middle of a range of squared chords."
mutable struct Series
    middle::Float64
    inverse::Float64        # of half the range
    degree::Int
    theta::Vector{Float64}
    logtheta::Vector{Float64}
end
Series() = Series(0.0, 0.0, 0, zeros(DEGREE + 1), zeros(DEGREE + 1))

"""
Expand about the middle of [low, high] to eleven digits; false where the range comes too near
theta = 0 or pi for that.

theta = 2 asin(sqrt(t)/2), so theta' = y = (t (4 - t))^(-1/2), and q y' = -q' y / 2 with
q = t (4 - t) gives the coefficients of y one from another; those of ln(theta) follow from
(ln theta)' = theta'/theta. Chebyshev's economization then drops the terms that are not needed.
In the plane theta = sqrt(t) and q = 4t.
"""
function expand!(geometry, s::Series, low, high)
    middle = (low + high) / 2
    half = max((high - low) / 2, 1e-12 * middle)
    ratio = half / room(geometry, middle)
    ratio < 0.22 || return false
    s.middle = middle
    s.inverse = 1 / half
    # What is left out of the power series falls as ratio^k, of Chebyshev's as (ratio/2)^k.
    lost = log(ratio)
    last = min(ceil(Int, -28.0 / lost), DEGREE)
    s.degree = clamp(ceil(Int, -24.0 / (lost - log(2.0))), 2, last)
    q0, q1, q2 = quadratic(geometry, middle, half)
    by_q0 = 1 / q0
    previous, y = 0.0, sqrt(by_q0)
    @inbounds begin
        theta0 = angle_of(geometry, middle)
        s.theta[1], s.logtheta[1] = theta0, log(theta0)
        inverse = 1 / theta0
        for k in 0:(last - 1)
            s.theta[k + 2] = half * y * INVERSES[k + 1]
            y, previous = -((k + 0.5) * q1 * y + k * q2 * previous) * (by_q0 * INVERSES[k + 1]), y
        end
        for k in 1:last
            rest = k * s.theta[k + 1]
            for j in 1:(k - 1)
                rest -= j * s.logtheta[j + 1] * s.theta[k - j + 1]
            end
            s.logtheta[k + 1] = rest * inverse * INVERSES[k]
        end
    end
    economize!(s.theta, s.degree, last)
    economize!(s.logtheta, s.degree, last)
    return true
end

# Divisions are slow, and each of these would wait for the one before.
const INVERSES = ntuple(k -> 1 / k, DEGREE)

# Distance to the nearest singular point; q at middle + half x; theta.
room(::Sphere, middle) = min(middle, 4 - middle)
room(::Plane, middle) = middle
quadratic(::Sphere, middle, half) = (middle * (4 - middle), (4 - 2middle) * half, -half^2)
quadratic(::Plane, middle, half) = (4middle, 4half, 0.0)
angle_of(::Sphere, t) = 2 * asin(sqrt(t) / 2)
angle_of(::Plane, t) = sqrt(t)

# T_k(x) 2^(1-k) without its leading x^k, from the constant on.
const CHEBYSHEV = let T = [[1.0], [0.0, 1.0]]
    for k in 2:DEGREE
        push!(T, [0.0; 2 .* T[k]] .- [T[k - 1]; 0.0; 0.0])
    end
    [t[1:(end - 1)] ./ t[end] for t in T]
end

"Take the terms from `last` to above `degree` off a power series on [-1, 1], with the least change to its values."
function economize!(a, degree, last)
    @inbounds for k in last:-1:(degree + 1)
        t, top = CHEBYSHEV[k + 1], a[k + 1]
        for j in (k - 1):-2:1
            a[j] -= top * t[j]
        end
    end
end

"Ways to find theta and ln(theta) of eight pairs: by the series, near zero, or one by one later."
abstract type Angles end
struct BySeries <: Angles end
struct NearZero <: Angles end
struct OneByOne <: Angles end

@inline function angles(geometry, ::BySeries, s::Series, t::Vec)
    x = vmul(vsub(t, splat8(s.middle)), splat8(s.inverse))
    k = s.degree
    @inbounds a, b = splat8(s.theta[k + 1]), splat8(s.logtheta[k + 1])
    @inbounds while k > 0
        a = vfma(a, x, splat8(s.theta[k]))
        b = vfma(b, x, splat8(s.logtheta[k]))
        k -= 1
    end
    return a, b
end

# theta/sqrt(t) = 1 + t/24 + 3 t^2/640 + ..., and its logarithm, to the last digit for t < NEAR
const NEAR = 0.01
const NEAR_THETA = (1.0, 1 / 24, 3 / 640, 5 / 7168, 35 / 294912, 63 / 2883584)
const NEAR_LOG = (0.0, 1 / 24, 11 / 2880, 191 / 362880, 2497 / 29030400, 14797 / 958003200)

# Whether pairs up to the squared chord `far` may be taken so.
near_zero(::Sphere, far) = far < NEAR
near_zero(::Plane, far) = true

@inline function angles(::Sphere, ::NearZero, s::Series, t::Vec)
    a, b = splat8(NEAR_THETA[6]), splat8(NEAR_LOG[6])
    k = 5
    while k > 0
        a = vfma(a, t, splat8(NEAR_THETA[k]))
        b = vfma(b, t, splat8(NEAR_LOG[k]))
        k -= 1
    end
    return vmul(a, vmul(t, rsqrt8(t))), vifzero(t, splat8(LOG_ZERO), vfma(splat8(0.5), vlog(t), b))
end

@inline angles(::Plane, ::NearZero, s::Series, t::Vec) =
    (vmul(t, rsqrt8(t)), vifzero(t, splat8(LOG_ZERO), vmul(splat8(0.5), vlog(t))))

@inline angles(geometry, ::OneByOne, s::Series, t::Vec) = (t, t)

# ---- through trees -------------------------------------------------------------------------------

# Leaves out of range are skipped, eight pairs are taken at a time, and where two leaves meet in
# three bins at most (most pairs of a large catalog do) the sums of each bin stay in registers.

"Weights and weighted shears of a tree's slots; `real` is 1 where the weight is not 0."
struct Load
    real::Vector{Float64}
    w::Vector{Float64}
    g::Vector{Vector{Float64}}      # w g1, w g2 of field 1, of field 2, ...
end

function Load(t::Tree, w, g)
    weight = [t.real[s] * w[t.order[s]] for s in eachindex(t.order)]
    return Load(Float64.(.!iszero.(weight)), weight,
                [[weight[s] * g[f, t.order[s]] for s in eachindex(t.order)] for f in axes(g, 1)])
end

"Two trees (the same one where `auto`) and the squared-chord bins of their pairs."
struct Pairing{G<:Geometry}
    geometry::G
    first::Tree
    second::Tree
    auto::Bool
    edges::Vector{Float64}
end

"Work space of one thread's share: eight lanes per sum and bin, coincident pairs in one more bin."
struct Bench
    sums::Vector{Float64}       # of all objects: nsums x nbins
    lanes::Vector{Float64}      # of eight pairs: two numbers each
    series::Series
end

# Values of a pair that are summed before they meet the first object: real, w, w theta,
# w ln(theta), then two (count-shear) or four (shear-shear) numbers per field.
nvalues(::NN) = 4
nvalues(::NG{K}) where {K} = 4 + 2K
nvalues(::GG{K}) where {K} = 4 + 4K

Bench(kind::Kind, bins) = Bench(zeros(8 * nsums(kind) * bins), zeros(16), Series())

@inline function differences(u::NTuple{3,Vec}, v::NTuple{3,Vec})
    dx, dy, dz = vsub(v[1], u[1]), vsub(v[2], u[2]), vsub(v[3], u[3])
    t = vfma(dz, dz, vfma(dy, dy, vmul(dx, dx)))
    return dx, dy, dz, t
end

# For a number over its squared modulus n: 1 where n is 0 and 0 elsewhere, so that nothing is
# divided by 0 and the square comes out as 1; and 1/n.
@inline function guarded(n::Vec)
    one_if = vifzero(n, splat8(1.0), splat8(0.0))
    return one_if, vdiv(splat8(1.0), vadd(n, one_if))
end

# Squared chord and the phases of the pair: none; (re, im) of the turn of the second shear; or
# (re, -im) of F+ and of F-, the turns of g1 conj(g2) and g1 g2.
@inline turns(geometry, ::NN, u, v) = (differences(u, v)[4], ())

@inline function turns(::Sphere, ::NG, u, v)
    dx, dy, dz, t = differences(u, v)
    h = vmul(t, splat8(0.5))
    c = vfnma(u[2], dx, vmul(u[1], dy))
    q = vsub(vmul(v[3], h), dz)
    cc, qq = vmul(c, c), vmul(q, q)
    one_if, inverse = guarded(vadd(cc, qq))
    return t, (vfma(vsub(cc, qq), inverse, one_if), vmul(vmul(c, q), vmul(inverse, splat8(-2.0))))
end

@inline function turns(::Sphere, ::GG, u, v)
    dx, dy, dz, t = differences(u, v)
    h = vmul(t, splat8(0.5))
    c = vfnma(u[2], dx, vmul(u[1], dy))
    p = vfma(u[3], h, dz)
    q = vsub(vmul(v[3], h), dz)
    # (c + ip) conj(-c + iq) = a - ia' and -(c + ip)(-c + iq) = b - ib': equal in modulus, so that
    # one division does
    cc, pq = vmul(c, c), vmul(p, q)
    a, a_ = vsub(pq, cc), vmul(c, vadd(p, q))
    b, b_ = vadd(pq, cc), vmul(c, vsub(q, p))
    aa, aa_ = vmul(a, a), vmul(a_, a_)
    one_if, inverse = guarded(vadd(aa, aa_))
    twice = vadd(inverse, inverse)
    return t, (vfma(vsub(aa, aa_), inverse, one_if), vmul(vmul(a, a_), twice),
               vfma(vfnma(b_, b_, vmul(b, b)), inverse, one_if), vmul(vmul(b, b_), twice))
end

@inline function turns(::Plane, ::NG, u, v)
    dx, dy, _, t = differences(u, v)
    one_if, inverse = guarded(t)
    re = vmul(vsub(vmul(dx, dx), vmul(dy, dy)), inverse)
    return t, (vadd(re, one_if), vmul(vmul(dx, dy), vmul(inverse, splat8(-2.0))))
end

@inline function turns(::Plane, ::GG, u, v)
    dx, dy, _, t = differences(u, v)
    one_if, inverse = guarded(t)
    # cos and sin of twice the direction; both frames are the same, so that F+ = 1
    a = vmul(vsub(vmul(dx, dx), vmul(dy, dy)), inverse)
    b = vmul(vmul(dx, dy), vadd(inverse, inverse))
    ab = vmul(a, b)
    return t, (splat8(1.0), splat8(0.0), vadd(vfnma(b, b, vmul(a, a)), one_if), vadd(ab, ab))
end

# Running sums of one field of the second objects: turned shear, or F+ conj(g) and F- g.
@inline function add_field(::NG, (re, im), (sr, si), g1, g2)
    return vfnma(im, g2, vfma(re, g1, sr)), vfma(im, g1, vfma(re, g2, si))
end

@inline function add_field(::GG, (pr, pi, mr, mi), (spr, spi, smr, smi), g1, g2)
    return vfnma(pi, g2, vfma(pr, g1, spr)), vfnma(pi, g1, vfnma(pr, g2, spi)),
           vfma(mi, g2, vfma(mr, g1, smr)), vfnma(mi, g1, vfma(mr, g2, smi))
end

# Written out field by field: a closure here would be boxed for every eight pairs.
@generated function add_fields(kind::K, phases, sums, load, s) where {K<:Kind}
    fields = map(1:nfields(K())) do f
        n = div(nvalues(K()) - 4, nfields(K()))
        own = [:(sums[$(4 + n * (f - 1) + k)]) for k in 1:n]
        :(add_field(kind, phases, ($(own...),), vload(load.g[$(2f - 1)], s), vload(load.g[$(2f)], s))...)
    end
    return :(Base.@_inline_meta; @inbounds ($(fields...),))
end

"Add the eight pairs of `u` with the slots from `s` on to the running sums; their squared chords."
@inline function eight_pairs(sums, kind, geometry, how, u, tree, load, s, series)
    v = (vload(tree.x, s), vload(tree.y, s), vload(tree.z, s))
    t, phases = turns(geometry, kind, u, v)
    w = vload(load.w, s)
    theta, logtheta = angles(geometry, how, series, t)
    return t, (vadd(sums[1], vload(load.real, s)), vadd(sums[2], w), vfma(w, theta, sums[3]),
               vfma(w, logtheta, sums[4]), add_fields(kind, phases, sums, load, s)...)
end

@inline no_sums(kind) = ntuple(_ -> splat8(0.0), Val(nvalues(kind)))

# ---- few bins: sums in registers ---------------------------------------------------------------

# The first sums are over all pairs, the next over those below each cut.
@inline cumulate(acc::NTuple{2}, t, values::NTuple{M}, cuts) where {M} =
    (ntuple(k -> vadd(acc[1][k], values[k]), Val(M)),
     ntuple(k -> vaddless(acc[2][k], values[k], t, cuts[1]), Val(M)))
@inline cumulate(acc::NTuple{3}, t, values::NTuple{M}, cuts) where {M} =
    (ntuple(k -> vadd(acc[1][k], values[k]), Val(M)),
     ntuple(k -> vaddless(acc[2][k], values[k], t, cuts[1]), Val(M)),
     ntuple(k -> vaddless(acc[3][k], values[k], t, cuts[2]), Val(M)))

"""
The object in slot `s` with `nblocks` blocks of the second tree from slot `start` on, which meet
in the `B` bins from `low` on (0 and nbins + 1: outside).
"""
@noinline function few_bins!(bench, kind, how, ::Val{B}, pairing, load1, load2, s, start, nblocks,
                           low) where {B}
    a, b = pairing.first, pairing.second
    edges = pairing.edges
    nbins = length(edges) - 1
    # the cut between the first and second bin, and that between the second and third
    @inbounds cuts = (splat8(B > 1 ? edges[low + 1] : 0.0), splat8(B > 2 ? edges[low + 2] : 0.0))
    @inbounds u = (splat8(a.x[s]), splat8(a.y[s]), splat8(a.z[s]))
    acc = ntuple(_ -> no_sums(kind), Val(B))
    for block in 0:(nblocks - 1)
        at = start + 8block
        if B == 1
            acc = (eight_pairs(acc[1], kind, pairing.geometry, how, u, b, load2, at, bench.series)[2],)
        else
            t, values = eight_pairs(no_sums(kind), kind, pairing.geometry, how, u, b, load2, at,
                                    bench.series)
            acc = cumulate(acc, t, values, cuts)
        end
    end
    flush_bins!(bench.sums, kind, acc, low, nbins, load1, s, pairing.auto)
    return nothing
end

"Call `few_bins!` for each object of the leaf `I`."
function leaf_few_bins!(bench, kind, bins, pairing, load1, load2, I, start, nblocks, low)
    a = pairing.first
    for s in a.first[I]:(a.first[I] + a.count[I] - 1)
        @inbounds iszero(load1.w[s]) && continue
        few_bins!(bench, kind, BySeries(), bins, pairing, load1, load2, s, start, nblocks, low)
    end
end

# Sums of each bin from the sums below each cut, joined one after the other: in a loop they would go
# through memory, which takes as long as some blocks of pairs.
@inline join_bin!(sums, kind, bin, nbins, values, load, s, auto) =
    (1 <= bin <= nbins && flush!(sums, kind, bin, values, load, s, auto); nothing)

@inline flush_bins!(sums, kind, acc::NTuple{1}, low, nbins, load, s, auto) =
    join_bin!(sums, kind, low, nbins, acc[1], load, s, auto)

@inline function flush_bins!(sums, kind, acc::NTuple{2}, low, nbins, load, s, auto)
    join_bin!(sums, kind, low, nbins, acc[2], load, s, auto)
    join_bin!(sums, kind, low + 1, nbins, less(acc[1], acc[2]), load, s, auto)
end

@inline function flush_bins!(sums, kind, acc::NTuple{3}, low, nbins, load, s, auto)
    join_bin!(sums, kind, low, nbins, acc[2], load, s, auto)
    join_bin!(sums, kind, low + 1, nbins, less(acc[3], acc[2]), load, s, auto)
    join_bin!(sums, kind, low + 2, nbins, less(acc[1], acc[3]), load, s, auto)
end

@inline less(a::NTuple{M}, b::NTuple{M}) where {M} = ntuple(k -> vsub(a[k], b[k]), Val(M))

@inline function add_at!(sums, i, v::Vec)
    p = Ptr{Vec}(pointer(sums, i))
    unsafe_store!(p, vadd(unsafe_load(p), v))
end

"Sums of one bin: those over second objects joined with the first object."
@generated function joined(kind::K, values, load, s, auto) where {K<:Kind}
    k = K()
    sums = Any[:(values[1]), :(vmul(w, values[2])), :(vmul(w, values[3])), :(vmul(w, values[4]))]
    if k isa NG
        append!(sums, (:(vsub(splat8(0.0), vmul(w, values[$(4 + n)]))) for n in 1:nproducts(k)))
    elseif k isa GG
        for (e, f) in combos(k)
            push!(sums, :(joined_fields(load, s, $e, $f, values[$(4f + 1)], values[$(4f + 2)],
                                        values[$(4f + 3)], values[$(4f + 4)], values[$(4e + 1)],
                                        values[$(4e + 2)], values[$(4e + 3)], values[$(4e + 4)], auto)...))
        end
    end
    return :(Base.@_inline_meta; @inbounds w = splat8(load.w[s]); ($(sums...),))
end

# Fields e of the first with f of the second object; for one set also f of the first with e of the
# second, the mean of the two orders. (fr, fi) is the sum of F+ conj(g_f), (fR, fI) that of F- g_f.
@inline function joined_fields(load, s, e, f, fr, fi, fR, fI, er, ei, eR, eI, auto)
    @inbounds a, b = splat8(load.g[2e - 1][s]), splat8(load.g[2e][s])
    plus_re, plus_im = vfnma(b, fi, vmul(a, fr)), vfma(b, fr, vmul(a, fi))
    minus_re, minus_im = vfnma(b, fI, vmul(a, fR)), vfma(b, fR, vmul(a, fI))
    if auto
        half = splat8(0.5)
        @inbounds c, d = splat8(load.g[2f - 1][s]), splat8(load.g[2f][s])
        plus_re = vmul(half, vadd(plus_re, vfnma(d, ei, vmul(c, er))))
        plus_im = vmul(half, vsub(plus_im, vfma(d, er, vmul(c, ei))))
        minus_re = vmul(half, vadd(minus_re, vfnma(d, eI, vmul(c, eR))))
        minus_im = vmul(half, vadd(minus_im, vfma(d, eR, vmul(c, eI))))
    end
    return plus_re, plus_im, minus_re, minus_im
end

"Add sums of eight lanes to those of a bin."
@inline function flush!(sums, kind, bin, values, load, s, auto)
    found = joined(kind, values, load, s, auto)
    base = 8 * nsums(kind) * (bin - 1) + 1
    for k in 1:length(found)
        add_at!(sums, base + 8 * (k - 1), found[k])
    end
    return nothing
end

# ---- many bins, close pairs, a leaf with itself --------------------------------------------------

"""
All pairs of two leaves that meet in many bins, from `least` to `most`; of one leaf with itself, each pair once. Seen from
one object the other leaf spans fewer bins than from all, often few enough.
"""
function many_bins!(bench, kind, how, pairing, load1, load2, I, J, node, least, most)
    a, b = pairing.first, pairing.second
    own = pairing.auto && I == J
    center, reach = b.center[node], b.radius[node]
    start, nblocks = b.first[J], blocks(b, J)
    for s in a.first[I]:(a.first[I] + a.count[I] - 1)
        @inbounds iszero(load1.w[s]) && continue
        @inbounds middle = sqrt(chord2((a.x[s], a.y[s], a.z[s]), center))
        low, high = bins_between(pairing.edges, max(middle - reach, 0.0)^2, (middle + reach)^2, least, most)
        # Where pairs may coincide, ln(theta) must not be had as a difference: it holds LOG_ZERO.
        few = own || how isa OneByOne || middle - reach <= sqrt(COINCIDENT) ? 0 : high - low + 1
        if few == 1
            few_bins!(bench, kind, how, Val(1), pairing, load1, load2, s, start, nblocks, low)
        elseif few == 2
            few_bins!(bench, kind, how, Val(2), pairing, load1, load2, s, start, nblocks, low)
        elseif few == 3
            few_bins!(bench, kind, how, Val(3), pairing, load1, load2, s, start, nblocks, low)
        else
            each_bin!(bench, kind, how, pairing, load1, load2, s, own ? s : 0, start, nblocks, low, high)
        end
    end
end

"""
The object in slot `s` with those behind slot `after` of a leaf, each pair into its bin, from the bin `low`
to `high`.
"""
function each_bin!(bench, kind, how, pairing, load1, load2, s, after, start, nblocks, low, high)
    a, b, edges = pairing.first, pairing.second, pairing.edges
    nbins = length(edges) - 1
    @inbounds u = (splat8(a.x[s]), splat8(a.y[s]), splat8(a.z[s]))
    coincident, outside = splat8(COINCIDENT), splat8(Inf)
    least = splat8(edges[1])
    for block in (after > start ? (after - start) >> 3 : 0):(nblocks - 1)
        at = start + 8block
        t, values = eight_pairs(no_sums(kind), kind, pairing.geometry, how, u, b, load2, at,
                                bench.series)
        how isa OneByOne && (values = (values[1], values[2], one_by_one!(bench, pairing, load2, s, at)...,
                                       Base.tail(Base.tail(Base.tail(Base.tail(values))))...))
        after >= at && (t = vput(t, outside, 0xff >> (7 - (after - at))))
        sums = joined(kind, values, load1, s, pairing.auto)
        same = vleast_bits(t, coincident)
        if same != 0x00
            scatter!(bench.sums, nbins + 1, sums, same & vleast_bits(least, t))
            t = vput(t, outside, same)
        end
        for bin in max(low, 1):min(high, nbins)
            @inbounds bits = vleast_bits(splat8(edges[bin]), t) & ~vleast_bits(splat8(edges[bin + 1]), t)
            bits == 0x00 || scatter!(bench.sums, bin, sums, bits)
        end
    end
end

"Add the lanes `bits` of sums to those of a bin."
@inline function scatter!(into, bin, sums::NTuple{M,Vec}, bits) where {M}
    for k in 1:M
        p = Ptr{Vec}(pointer(into, 8 * (M * (bin - 1) + k - 1) + 1))
        unsafe_store!(p, vaddif(unsafe_load(p), sums[k], bits))
    end
end

"w theta and w ln(theta) of a slot with eight others, not by 2 asin(sqrt(t)/2), which loses half the
digits near theta = pi."
function one_by_one!(bench, pairing, load, s, at)
    a, b, lanes = pairing.first, pairing.second, bench.lanes
    @inbounds for lane in 1:8
        slot = at + lane - 1
        theta = separation(pairing.geometry, (a.x[s], a.y[s], a.z[s]), (b.x[slot], b.y[slot], b.z[slot]))
        lanes[lane] = load.w[slot] * theta
        lanes[8 + lane] = load.w[slot] * log_of(theta)
    end
    return vload(lanes, 1), vload(lanes, 9)
end

# ---- the walk ------------------------------------------------------------------------------------

"Last bin whose lower edge is at or below `t`: 0 below all bins, nbins + 1 above."
@inline outer_bin(edges, t) = searchsortedlast(edges, t)

"The same of two squared chords between the bins `least` and `most`: counted, where a search would guess."
@inline function bins_between(edges, near, far, least, most)
    low, high = least, least
    @inbounds for bin in (least + 1):min(most, length(edges))
        low += edges[bin] <= near
        high += edges[bin] <= far
    end
    return low, high
end

"Leaf `I` of the first tree with every leaf of the second (of one tree: from itself on)."
function walk!(bench, stack, kind, pairing, load1, load2, I, leafnode)
    a, b, edges, geometry = pairing.first, pairing.second, pairing.edges, pairing.geometry
    rmin, rmax = sqrt(edges[1]), sqrt(edges[end])
    center, radius = a.center[leafnode[I]], a.radius[leafnode[I]]
    empty!(stack)
    push!(stack, 1)
    while !isempty(stack)
        node = pop!(stack)
        pairing.auto && b.hi[node] < I && continue
        middle = sqrt(chord2(center, b.center[node]))
        reach = radius + b.radius[node]
        (middle - reach > rmax || middle + reach < rmin) && continue
        near, far = max(middle - reach, 0.0)^2, farthest(geometry, middle + reach)^2
        low, high = outer_bin(edges, near), outer_bin(edges, far)
        own = pairing.auto && b.lo[node] <= I
        distinct = near > COINCIDENT
        if !own && high - low < registers(b, node) && distinct &&
           expand!(geometry, bench.series, near, far)
            start, nblocks = b.first[b.lo[node]], node_blocks(b, node)
            if high == low
                leaf_few_bins!(bench, kind, Val(1), pairing, load1, load2, I, start, nblocks, low)
            elseif high == low + 1
                leaf_few_bins!(bench, kind, Val(2), pairing, load1, load2, I, start, nblocks, low)
            else
                leaf_few_bins!(bench, kind, Val(3), pairing, load1, load2, I, start, nblocks, low)
            end
        elseif b.left[node] == 0
            J = b.lo[node]
            if distinct && expand!(geometry, bench.series, near, far)
                many_bins!(bench, kind, BySeries(), pairing, load1, load2, I, J, node, low, high)
            elseif near_zero(geometry, far)
                many_bins!(bench, kind, NearZero(), pairing, load1, load2, I, J, node, low, high)
            else
                many_bins!(bench, kind, OneByOne(), pairing, load1, load2, I, J, node, low, high)
            end
        else
            push!(stack, b.right[node])
            push!(stack, b.left[node])
        end
    end
end

# Nothing on the sphere is further apart than two antipodes.
farthest(::Sphere, chord) = min(chord, 2.0)
farthest(::Plane, distance) = distance

node_blocks(t::Tree, node) = (t.first[t.hi[node]] - t.first[t.lo[node]]) >> 3 + blocks(t, t.hi[node])

"Number of bins in which a node may meet a leaf to be taken whole: splitting it is worth one bin less."
function registers(t::Tree, node)
    leaves = t.hi[node] - t.lo[node] + 1
    return leaves == 1 ? 3 : leaves == 2 ? 2 : leaves <= 16 ? 1 : 0
end

"Node of each leaf."
function leaf_nodes(t::Tree)
    nodes = zeros(Int, nleaves(t))
    for node in eachindex(t.lo)
        t.left[node] == 0 && (nodes[t.lo[node]] = node)
    end
    return nodes
end

"Sums (nsums, nbins + 1) of the leaves `range` of the first tree with the second."
function leaf_sums(kind::Kind, pairing::Pairing, load1, load2, range, nodes)
    bench = Bench(kind, length(pairing.edges))
    stack = Int[]
    for I in range
        cancelled() && break
        walk!(bench, stack, kind, pairing, load1, load2, I, nodes)
    end
    lanes = reshape(bench.sums, 8, nsums(kind), :)
    return dropdims(sum(lanes, dims = 1), dims = 1)
end

"The sums of `pair_sums_brute`, through trees."
function pair_sums(kind::Kind, edges, xyz1, w1, g1, xyz2, w2, g2; auto::Bool, leafsize = 32,
                   geometry::Geometry = Sphere())
    first = Tree(xyz1, findall(!iszero, w1); leafsize = leafsize)
    second = auto ? first : Tree(xyz2, findall(!iszero, w2); leafsize = leafsize)
    pairing = Pairing(geometry, first, second, auto, edges)
    load1 = Load(first, w1, g1)
    load2 = auto ? load1 : Load(second, w2, g2)
    return pair_sums(kind, pairing, load1, load2)
end

function pair_sums(kind::Kind, pairing::Pairing, load1, load2)
    total = zeros(nsums(kind), length(pairing.edges))
    (nleaves(pairing.first) == 0 || nleaves(pairing.second) == 0) && return total
    nodes = leaf_nodes(pairing.first)
    parts = clamp(nleaves(pairing.first), 1, 128)
    partial = [zeros(0, 0) for _ in 1:parts]
    chunked(nleaves(pairing.first), parts) do part, range
        partial[part] = leaf_sums(kind, pairing, load1, load2, range, nodes)
    end
    for p in partial
        total .+= p
    end
    return total
end

"The sums of `pair_sums_brute` over all pairs of one set, for numbers that carry derivatives."
function pair_sums_carried(kind::Kind, edges, x, w, g; geometry::Geometry)
    parts = clamp(size(x, 2), 1, 128)
    partial = [zeros(promote_type(eltype(w), eltype(g)), nsums(kind), length(edges)) for _ in 1:parts]
    chunked(size(x, 2), parts) do part, range
        partial[part] = pair_sums_brute(kind, edges, x, w, g, x, w, g; auto = true,
                                        geometry = geometry, objects = range)
    end
    return sum(partial)
end

# ---- for users -----------------------------------------------------------------------------------

# Units of the edges in those of `separation`, and edges as squared chords.
edge2(::Sphere, edge, unit) = 4 * sin(deg2rad(edge / 60) / 2)^2
edge2(::Plane, edge, unit) = (edge / unit)^2
from_separation(::Sphere, theta, unit) = 60 * rad2deg(theta)
from_separation(::Plane, theta, unit) = unit * theta

const HARD_EDGES = "pairs jump from one bin to the next as objects move, which no derivative sees; soft_xi " *
                   "has bins with soft edges for that, or " * VALUES_ONLY

"""
    xi_pm(ra, dec, g1, g2, edges; weights = ones(length(ra)), plane = false)

Shear correlation functions xi+ and xi- of all pairs of different objects.

# Arguments
- `ra`, `dec`, `g1`, `g2`: right ascensions and declinations in degrees, and shears, each (N).
- `edges`: of the bins [lo, hi) of separation, in arcmin.
- `weights`: (N).
- `plane`: positions are x and y in a plane, in any unit, and the edges in the same; g1 > 0 is along x.

Returns `(npairs, weight, theta, xip, xim)`, each of one number a bin: pairs, sums of w_i w_j, mean
separations in the unit of the edges, and xi+ and xi- (complex; the imaginary parts vanish on
average). Bins without pairs hold NaN. Pairs of coincident objects have no direction: xi- leaves them
out.

Shears and weights may carry derivatives; every pair is then visited, N^2/2 of them. Positions and
edges may not, since pairs fall into hard bins: [`soft_xi`](@ref) is for those.

# Example
```julia
ra, dec, g1, g2 = [0.0, 0.5, 2.0], zeros(3), [0.1, 0.2, 0.0], zeros(3)
xi = xi_pm(ra, dec, g1, g2, [0, 60, 150])
slope = gradient(g -> real(xi_pm(ra, dec, g, g2, [0, 60]).xip[1]), g1)
xi.npairs == [1, 2] && real(xi.xip[1]) ≈ 0.02 && slope ≈ [0.2, 0.1, 0]
```
"""
function xi_pm(ra, dec, g1, g2, edges; weights = ones(length(ra)), plane::Bool = false)
    geometry = plane ? Plane() : Sphere()
    first, second = plane ? ("x", "y") : ("ra", "dec")
    a, b = fixed("xi_pm", first, ra, HARD_EDGES), fixed("xi_pm", second, dec, HARD_EDGES)
    limits = fixed("xi_pm", "edges", edges, HARD_EDGES)
    check_objects("xi_pm"; Symbol(first) => a, Symbol(second) => b, g1 = g1, g2 = g2, weights = weights)
    check_edges("xi_pm", limits, plane ? Inf : 180 * 60, "10800 arcmin")
    unit = unit_of(geometry, a, b)
    x, squares = places(geometry, a ./ unit, b ./ unit), [edge2(geometry, edge, unit) for edge in limits]
    g, w, kind = permutedims(hcat(g1, g2)), collect(weights), GG{1,((1, 1),)}()
    if carries(g) || carries(w)
        s = pair_sums_carried(kind, squares, x, w, g; geometry = geometry)
    else
        g, w = convert(Matrix{Float64}, g), convert(Vector{Float64}, w)
        s = pair_sums(kind, squares, x, w, g, x, w, g; auto = true, geometry = geometry)
    end
    directed, every = s[:, 1:(end - 1)], s[:, 1:(end - 1)]
    every[:, 1] .+= s[:, end]
    mean(sums, k) = sums[k, :] ./ sums[2, :]
    return (npairs = [round(Int, primal(n)) for n in every[1, :]], weight = every[2, :],
            theta = [from_separation(geometry, theta, unit) for theta in mean(every, 3)],
            xip = complex.(mean(every, 5), mean(every, 6)),
            xim = complex.(mean(directed, 7), mean(directed, 8)))
end

function check_edges(what, limits, most, words)
    length(limits) >= 2 && all(isfinite, limits) && all(diff(limits) .> 0) && limits[1] >= 0 &&
        limits[end] <= most || throw(ArgumentError(
            "$what: edges must increase from 0 or more" * (isfinite(most) ? " to at most $words" : "") *
            "; they are $limits"))
end
