# Hard-binned pair sums on the sphere: counts, count-shear, shear-shear. What is written here is
# the definition, pair by pair and generic in the number type; `pairtree.jl` is the fast twin.

"What is summed over the pairs: positions, K shears around positions, or K shears with shears."
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
    pair_sums_brute(kind, edges, xyz1, w1, g1, xyz2, w2, g2; auto)

Sums (nsums, nbins) over all pairs of the first with the second set, or over each unordered pair
of one set (`auto`). Positions (3, N) are unit vectors, shears (2K, N) alternate g1 and g2 of
each field, `edges` are squared chords. Products of two different fields of one set are taken in
both orders.
"""
function pair_sums_brute(kind::Kind, edges, xyz1, w1, g1, xyz2, w2, g2; auto::Bool)
    T = promote_type(eltype(xyz1), eltype(xyz2), eltype(w1), eltype(g1), eltype(g2))
    sums = zeros(T, nsums(kind), length(edges) - 1)
    for i in axes(xyz1, 2), j in (auto ? i + 1 : 1):size(xyz2, 2)
        (iszero(w1[i]) || iszero(w2[j])) && continue
        u = (xyz1[1, i], xyz1[2, i], xyz1[3, i])
        v = (xyz2[1, j], xyz2[2, j], xyz2[3, j])
        b = find_bin(edges, chord2(u, v))
        b == 0 && continue
        ww = w1[i] * w2[j]
        theta = separation(u, v)
        sums[1, b] += 1
        sums[2, b] += ww
        sums[3, b] += ww * theta
        sums[4, b] += ww * log_of(theta)
        products!(view(sums, :, b), kind, u, v, ww, g1, i, g2, j, auto)
    end
    return sums
end

shear(g, f, i) = complex(g[2f - 1, i], g[2f, i])

products!(s, ::NN, u, v, ww, g1, i, g2, j, auto) = nothing

function products!(s, ::NG{K}, u, v, ww, g1, i, g2, j, auto) where {K}
    phase = double_phase(projections(u, v)[2])
    for f in 1:K
        g = -ww * shear(g2, f, j) * phase
        s[3 + 2f] += real(g)
        s[4 + 2f] += imag(g)
    end
end

function products!(s, kind::GG, u, v, ww, g1, i, g2, j, auto)
    a, b = projections(u, v)
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
