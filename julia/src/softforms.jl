# What is summed over pairs of points in soft bins. A point has a place and numbers p, of which the last is
# its weight W; the pairs i, j of one set (each once) or of two add to the sums of bin b, by its weight B_b,
#   B_b N_k(i, j) for each k, and B_b W_i W_j.
# A form says what N is. Formulas are written once, for numbers, for numbers that carry derivatives and for
# eight pairs at a time (`Lanes`).

abstract type PairForm end

"""
Products of shears: N_k = Re[M_i M_j' Phi], with M the weighted shears of a field (two numbers of p each).
`turn` is `:plus` (of xi+: ' the conjugate, Phi the turn of both shears to the line that joins them),
`:minus` (of xi-: no conjugate), `:tangent` (the shear of j is turned, to its tangential part, and M_i is the
weight of a lens) or `:tangent_back` (that of i, about a lens j; values alone). `products` are pairs of fields (a, b), symmetric in i and j.
"""
struct Shears{turn,products} <: PairForm end

const XI_PLUS, XI_MINUS = Shears{:plus,((1, 1),)}(), Shears{:minus,((1, 1),)}()
const TANGENTIAL, TANGENTIAL_BACK = Shears{:tangent,((1, 1),)}(), Shears{:tangent_back,((1, 1),)}()
# Of the fields e, de, q (Rowe 2010; Jarvis et al. 2021; Berman et al. 2025, eqs. 2 to 6).
const RHO = Shears{:plus,((2, 2), (1, 2), (3, 3), (2, 3), (1, 3))}()

"Sums of weights alone."
struct Counts <: PairForm end

"""
Axes e (three numbers of p) with the unit vector r from i to j and with one another: N_1 =
W_i W_j ([(e_i.r)^2 + (e_j.r)^2]/2 - 1/3), N_2 = W_i W_j [(e_i.e_j)^2 - 1/3].
"""
struct AxisPairs <: PairForm end

products(::Shears{turn,pairs}) where {turn,pairs} = pairs
turn_kind(::Shears{turn}) where {turn} = Val(turn)

nsums(form::Shears) = length(products(form)) + 1
nsums(::Counts) = 1
nsums(::AxisPairs) = 3
"Whether pairs of points at one place are left out."
leaves_out(::Shears{turn}, bins) where {turn} = bins.drop || turn !== :plus
leaves_out(::Counts, bins) = bins.drop
leaves_out(::AxisPairs, bins) = true

# What follows has no derivative with respect to positions where sin^2(theta) is below COINCIDENT:
# such points are the same to rounding, or antipodal, and nothing can be said of the direction from
# one to the other.

# ---- turns of shears -------------------------------------------------------------------------

"""
    turn_parts(geometry, kind, u, v) -> (re, im, parts)

A complex number z whose direction is half the turn Phi = z^2/|z|^2 of a pair, and what it is made of. For
xi+ and xi- it is the product of the two `projections` (the first with the conjugate of the second for xi+)
with what cancels for close pairs already cancelled; for tangential shears that of v (or u) alone, times i.
"""
@inline function turn_parts(geometry::Sphere, ::Val{kind}, u, v) where {kind}
    (dx, dy, dz), t = apart(geometry, u, v)
    h = t * 0.5
    c = u[1] * dy - u[2] * dx
    a, b = dz + u[3] * h, dz - v[3] * h
    if kind === :plus
        k = h * (u[3] + v[3])
        re, im = c * c + a * b, c * k
    elseif kind === :minus
        k = dz * (2 - h)
        re, im = a * b - c * c, -(c * k)
    else
        k = h
        re, im = kind === :tangent ? b : a, -c
    end
    return re, im, (dx, dy, dz, h, c, a, b, k)
end

@inline function turn_parts(geometry::Plane, ::Val{kind}, u, v) where {kind}
    (dx, dy, dz), t = apart(geometry, u, v)
    kind === :plus && return one(t), zero(t), (dx, dy, t)
    kind === :minus && return dx * dx - dy * dy, -2 * (dx * dy), (dx, dy, t)
    return dy, dx, (dx, dy, t)
end

"""
    turn_back(geometry, kind, u, v, re, im, parts, f) -> (along u, along v)

Derivatives of the direction of z, arg(z), times f |z|^2, as vectors of which only the parts tangent to the
sphere mean something.
"""
@inline function turn_back(::Sphere, ::Val{kind}, u, v, re, im, (dx, dy, dz, h, c, a, b, k), f) where {kind}
    re_, im_ = -(f * im), f * re
    # Reverse through the lines of `turn_parts`.
    if kind === :tangent
        b_, c_ = re_, -im_
        h_, z_ = -(b_ * v[3]), b_
        u3_, v3_ = zero(h), -(b_ * h)
    else
        a_, b_ = re_ * b, re_ * a
        z_ = a_ + b_
        twice, ic = 2 * (re_ * c), im_ * c
        if kind === :plus
            c_ = twice + im_ * k
            h_ = ic * (u[3] + v[3])
            u3_ = v3_ = ic * h
        else
            c_ = -(twice + im_ * k)
            h_ = ic * dz
            z_ -= ic * (2 - h)
            u3_ = v3_ = zero(h)
        end
        h_ += a_ * u[3] - b_ * v[3]
        u3_, v3_ = u3_ + a_ * h, v3_ - b_ * h
    end
    px, py, pz = h_ * dx, h_ * dy, h_ * dz + z_
    # c = u1 v2 - u2 v1, the same number as above
    return (c_ * v[2] - px, -(c_ * v[1] + py), u3_ - pz), (px - c_ * u[2], py + c_ * u[1], v3_ + pz)
end

@inline function turn_back(::Plane, ::Val{kind}, u, v, re, im, (dx, dy, t), f) where {kind}
    flat = zero(t)
    kind === :plus && return (flat, flat, flat), (flat, flat, flat)
    # arg(z) is minus the direction of v seen from u, or twice that, where |z|^2 is t^2.
    f_ = kind === :minus ? 2 * (f * t) : f
    a, b = f_ * dy, f_ * dx
    return (-a, b, flat), (a, -b, flat)
end

# |z| is about sin^2(theta), or sin(theta): what is left of it for such points is rounding.
nothing_left(::Val{kind}) where {kind} = kind === :plus || kind === :minus ? COINCIDENT^2 : COINCIDENT

"""
    turn_of(geometry, kind, u, v) -> (cosine, sine, re, im, parts, inverse)

The turn Phi, and for `turn_back` z with its parts and 1/|z|^2. For antipodal pairs and, but for xi+,
coincident ones Phi is 1, without slope; of coincident ones xi+ only needs the turn from one frame to the
other, at a pole.
"""
@inline function turn_of(geometry, kind, u, v)
    re, im, parts = turn_parts(geometry, kind, u, v)
    n = re^2 + im^2
    if primal(n) <= nothing_left(kind)
        inverse = zero(n)
        kind === Val(:plus) && primal(parts[4]) <= 1 || return one(n), zero(n), re, im, parts, inverse
        re, im = primal(re) + zero(re), primal(im) + zero(im)
        n = re^2 + im^2
        iszero(n) && return one(n), zero(n), re, im, parts, inverse
        return (re^2 - im^2) / n, 2 * re * im / n, re, im, parts, inverse
    end
    return (re^2 - im^2) / n, 2 * re * im / n, re, im, parts, inv(n)
end

@inline function turn_of(geometry, kind, u::NTuple{3,Lanes}, v)
    re, im, parts = turn_parts(geometry, kind, u, v)
    rr = re * re
    inverse = guarded_inverse(rr + im * im)
    return (rr - im * im) * inverse, re * im * (inverse + inverse), re, im, parts, inverse
end

# ---- shears ----------------------------------------------------------------------------------

@inline shear(p, field) = @inbounds (p[2field - 1], p[2field])

"Real part of M_i M_j' Phi."
@inline function real_product((a, b), (c, d), re, im, conjugate)
    conjugate && return (a * c + b * d) * re - (b * c - a * d) * im
    return (a * c - b * d) * re - (a * d + b * c) * im
end

"Imaginary part."
@inline function imaginary_product((a, b), (c, d), re, im, conjugate)
    conjugate && return (b * c - a * d) * re + (a * c + b * d) * im
    return (a * d + b * c) * re + (a * c - b * d) * im
end

"Derivatives of the real part with respect to M_i, from M_j, and to M_j, from M_i."
@inline function product_slopes((a, b), (c, d), re, im, conjugate)
    conjugate && return (c * re + d * im, d * re - c * im), (a * re - b * im, b * re + a * im)
    return (c * re - d * im, -(d * re + c * im)), (a * re - b * im, -(b * re + a * im))
end

conjugates(::Shears{turn}) where {turn} = turn === :plus

@inline aim(form::Shears, geometry, u, v) = turn_of(geometry, turn_kind(form), u, v)

@generated function pair_numbers(form::Shears{turn,pairs}, p, q, aimed) where {turn,pairs}
    one_of(a, b) = :(real_product(shear(p, $a), shear(q, $b), re, im, $(turn === :plus)))
    terms = [a == b ? one_of(a, b) : :(0.5 * ($(one_of(a, b)) + $(one_of(b, a)))) for (a, b) in pairs]
    return quote
        $(Expr(:meta, :inline))
        re, im = aimed[1], aimed[2]
        return ($(terms...),)
    end
end

"What each field of the other point is multiplied by in sum_k n_k N_k: a complex number a field."
@generated function partners(::Shears{turn,pairs}, q, n) where {turn,pairs}
    fields = map(1:maximum(maximum, pairs)) do field
        part(r) = foldl((x, y) -> :($x + $y),
                        [:($(a == b ? :(n[$k]) : :(0.5 * n[$k])) * q[$(2 * (a == field ? b : a) - 2 + r)])
                         for (k, (a, b)) in enumerate(pairs) if field in (a, b)])
        :(($(part(1)), $(part(2))))
    end
    return quote
        $(Expr(:meta, :inline))
        return ($(fields...),)
    end
end

@inline function pair_slopes(form::Shears, geometry, u, v, p, q, aimed, n)
    re, im, zr, zi, parts, inverse = aimed
    conjugate = conjugates(form)
    mine, other = partners(form, p, n), partners(form, q, n)
    slopes = map((m, o) -> product_slopes(m, o, re, im, conjugate), mine, other)
    # sum_k n_k N_k is the sum over fields of Re[M_i o' Phi].
    turned = sum_of(ntuple(f -> imaginary_product(shear(p, f), other[f], re, im, conjugate), Val(length(other))))
    du, dv = turn_back(geometry, turn_kind(form), u, v, zr, zi, parts, -2 * (turned * inverse))
    return du, dv, (flattened(map(first, slopes))..., zero(turned)), (flattened(map(last, slopes))..., zero(turned))
end

@inline sum_of(a::Tuple{Any}) = a[1]
@inline sum_of(a::Tuple) = a[1] + sum_of(Base.tail(a))
@inline flattened(a::Tuple{}) = ()
@inline flattened(a::Tuple) = (a[1]..., flattened(Base.tail(a))...)

# ---- counts ----------------------------------------------------------------------------------

@inline aim(::Counts, geometry, u, v) = ()
@inline pair_numbers(::Counts, p, q, aimed) = ()
@inline function pair_slopes(::Counts, geometry, u, v, p, q, aimed, n)
    none = zero(p[1])
    return (none, none, none), (none, none, none), (none,), (none,)
end

# ---- axes ------------------------------------------------------------------------------------

@inline function aim(::AxisPairs, geometry, u, v)
    d, t = apart(geometry, u, v)
    return d, primal(t) <= COINCIDENT ? zero(t) : inv(t)
end
@inline function aim(::AxisPairs, geometry, u::NTuple{3,Lanes}, v)
    d, t = apart(geometry, u, v)
    return d, guarded_inverse(t)
end

@inline dot3(a, b) = a[1] * b[1] + a[2] * b[2] + a[3] * b[3]

@inline function pair_numbers(::AxisPairs, p, q, (d, inverse))
    w, i, j, c = p[4] * q[4], dot3(p, d), dot3(q, d), dot3(p, q)
    return w * (0.5 * inverse * (i * i + j * j) - 1 / 3), w * (c * c - 1 / 3)
end

@inline function pair_slopes(::AxisPairs, geometry, u, v, p, q, (d, inverse), n)
    w, i, j, c = p[4] * q[4], dot3(p, d), dot3(q, d), dot3(p, q)
    both = inverse * (i * i + j * j)
    along, across = n[1] * w * inverse, 2 * (n[2] * w * c)
    dv = ntuple(k -> along * (i * p[k] + j * q[k] - both * d[k]), Val(3))
    f = n[1] * (0.5 * both - 1 / 3) + n[2] * (c * c - 1 / 3)
    dp = ntuple(k -> along * i * d[k] + across * q[k], Val(3))
    dq = ntuple(k -> along * j * d[k] + across * p[k], Val(3))
    return map(-, dv), dv, (dp..., f * q[4]), (dq..., f * p[4])
end
