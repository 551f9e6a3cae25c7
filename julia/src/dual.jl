# Numbers that carry their partial derivatives along, for a Julia without ForwardDiff; forward.jl
# decides between the two. All of it is in this file.

"""
A small forward-mode number in the manner of ForwardDiff's (Revels, Lubin & Papamarkou 2016,
arXiv:1607.07892): a value and N partial derivatives, marked with the derivative they belong to.

Perturbation confusion. Every `derivative(f, x)` has its own mark, `Tag{typeof(f), typeof(x)}`.
Where two marks meet, one is put outside the other by an order that both orders of operands
agree on, and `derivative` looks for its own mark at every depth, so that nested derivatives,
also of functions that capture an outer variable, come out right.

As in ForwardDiff, comparisons look at values alone, and a zero partial times an infinite slope
is NaN: code that must stay finite at such a point has to be written for it, here and there.
"""
module OwnDual

"The mark of one derivative: the function and the number type it is taken at."
struct Tag{F,V} end

struct Dual{T,V<:Real,N} <: Real
    value::V
    partials::NTuple{N,V}
    Dual{T,V,N}(v::Real, p::Tuple) where {T,V<:Real,N} =
        new{T,V,N}(convert(V, v), convert(NTuple{N,V}, p))
end

@inline Dual{T}(v::V, p::NTuple{N,V}) where {T,V<:Real,N} = Dual{T,V,N}(v, p)
@inline function Dual{T}(v::Real, p::Tuple) where {T}
    V = promote_type(typeof(v), map(typeof, p)...)
    return Dual{T,V,length(p)}(v, p)
end
Dual{T}(v::Real, p::Real...) where {T} = Dual{T}(v, p)
Dual(v::Real, p::Real...) = Dual{Nothing}(v, p)

@inline value(x::Real) = x
@inline value(x::Dual) = x.value
@inline partials(x::Real) = ()
@inline partials(x::Dual) = x.partials
@inline partials(x::Dual, i::Integer) = x.partials[i]
@inline partials(x::Real, i::Integer) = zero(x)

# ---- the order of marks ----------------------------------------------------------------------

# How many marks stand inside one another in a type: an inner derivative has the outer one in
# the type of what it captures or of where it is taken.
function nesting(@nospecialize(T))
    T isa DataType || return 0
    depth = 0
    for p in T.parameters
        depth = max(depth, nesting(p))
    end
    return depth + (T <: Tag ? 1 : 0)
end

# Does S come before T, that is, does T stand outside? Any total order gives right derivatives.
@generated function precedes(::Type{S}, ::Type{T}) where {S,T}
    s, t = (nesting(S), objectid(S)), (nesting(T), objectid(T))
    s == t && return :(throw(ArgumentError(
        "two derivatives meet whose marks cannot be ordered: $(S) and $(T)")))
    return s < t
end

# ---- conversion ------------------------------------------------------------------------------

nothing_but(v::V, ::Val{N}) where {V,N} = ntuple(_ -> zero(V), Val(N))

Dual{T,V,N}(x::Dual{T,V,N}) where {T,V<:Real,N} = x
Dual{T,V,N}(x::Dual{T,W,N}) where {T,V<:Real,W<:Real,N} = Dual{T,V,N}(x.value, x.partials)
function Dual{T,V,N}(x::Real) where {T,V<:Real,N}
    v = convert(V, x)
    return Dual{T,V,N}(v, nothing_but(v, Val(N)))
end

(::Type{F})(x::Dual) where {F<:AbstractFloat} = throw(ArgumentError(
    "a Dual cannot become a $F without losing its derivatives; take value(x) if that is meant"))

Base.promote_rule(::Type{Dual{T,V,N}}, ::Type{R}) where {T,V,N,R<:Real} =
    Dual{T,promote_type(V, R),N}
Base.promote_rule(::Type{Bool}, ::Type{Dual{T,V,N}}) where {T,V,N} = Dual{T,V,N}
Base.promote_rule(::Type{BigFloat}, ::Type{Dual{T,V,N}}) where {T,V,N} =
    Dual{T,promote_type(V, BigFloat),N}
Base.promote_rule(::Type{R}, ::Type{Dual{T,V,N}}) where {R<:AbstractIrrational,T,V,N} =
    Dual{T,promote_type(V, R),N}
Base.promote_rule(::Type{Dual{T,V,N}}, ::Type{Dual{T,W,N}}) where {T,V,W,N} =
    Dual{T,promote_type(V, W),N}
function Base.promote_rule(::Type{Dual{S,V,M}}, ::Type{Dual{T,W,N}}) where {S,V,M,T,W,N}
    A, B = Dual{S,V,M}, Dual{T,W,N}
    S === T && throw(ArgumentError("Duals of one derivative with $M and $N partials meet"))
    return precedes(S, T) ? Dual{T,promote_type(A, W),N} : Dual{S,promote_type(V, B),M}
end

Base.float(x::Dual{T}) where {T} = Dual{T}(float(x.value), map(float, x.partials))
Base.float(::Type{Dual{T,V,N}}) where {T,V,N} = Dual{T,float(V),N}
Base.zero(::Type{D}) where {D<:Dual} = D(0)
Base.one(::Type{D}) where {D<:Dual} = D(1)
Base.zero(x::Dual) = zero(typeof(x))
Base.one(x::Dual) = one(typeof(x))
Base.rtoldefault(::Type{Dual{T,V,N}}) where {T,V,N} = Base.rtoldefault(V)
for f in (:eps, :typemin, :typemax, :floatmin, :floatmax)
    @eval Base.$f(::Type{Dual{T,V,N}}) where {T,V,N} = Dual{T,V,N}($f(V))
end
Base.eps(x::Dual) = eps(x.value)
for f in (:isnan, :isinf, :isfinite, :isinteger, :iszero, :isone, :signbit, :iseven, :isodd)
    @eval Base.$f(x::Dual) = $f(x.value)
end
for f in (:floor, :ceil, :trunc, :round)
    @eval Base.$f(x::Dual) = convert(typeof(x), $f(x.value))
    @eval Base.$f(::Type{I}, x::Dual) where {I<:Integer} = $f(I, x.value)
end
Base.sign(x::Dual) = convert(typeof(x), sign(x.value))
Base.hash(x::Dual, h::UInt) = hash(x.value, h)
Base.show(io::IO, x::Dual) = print(io, "Dual(", join((x.value, x.partials...), ", "), ")")

# ---- arithmetic ------------------------------------------------------------------------------

@inline scaled(s, p::Tuple) = map(q -> s * q, p)
@inline combined(s, p::NTuple{N,Any}, t, q::NTuple{N,Any}) where {N} =
    map((a, b) -> s * a + t * b, p, q)
combined(s, p::Tuple, t, q::Tuple) = throw(ArgumentError(
    "Duals of one derivative with $(length(p)) and $(length(q)) partials meet"))

# Functions of one number and their slopes; x is the argument's value, y the function's.
const UNARY = (
    (:+, :(one(x))), (:-, :(-one(x))), (:inv, :(-(y * y))), (:abs, :(signbit(x) ? -one(x) : one(x))),
    (:abs2, :(x + x)), (:sqrt, :(inv(y + y))), (:cbrt, :(inv(3 * y * y))),
    (:exp, :y), (:exp2, :(y * log(oftype(y, 2)))), (:exp10, :(y * log(oftype(y, 10)))),
    (:expm1, :(y + one(y))), (:log, :(inv(x))), (:log2, :(inv(x * log(oftype(y, 2))))),
    (:log10, :(inv(x * log(oftype(y, 10))))), (:log1p, :(inv(one(x) + x))),
    (:sin, :(cos(x))), (:cos, :(-sin(x))), (:tan, :(one(y) + y * y)),
    (:asin, :(inv(sqrt((one(x) - x) * (one(x) + x))))),
    (:acos, :(-inv(sqrt((one(x) - x) * (one(x) + x))))), (:atan, :(inv(one(x) + x * x))),
    (:sinh, :(cosh(x))), (:cosh, :(sinh(x))), (:tanh, :(one(y) - y * y)),
    (:asinh, :(inv(hypot(one(x), x)))), (:acosh, :(inv(sqrt((x - one(x)) * (x + one(x)))))),
    (:atanh, :(inv((one(x) - x) * (one(x) + x)))),
    (:deg2rad, :(deg2rad(one(y)))), (:rad2deg, :(rad2deg(one(y)))),
)

for (f, slope) in UNARY
    @eval @inline function Base.$f(d::Dual{T}) where {T}
        x = d.value
        y = $f(x)
        return Dual{T}(y, scaled($slope, d.partials))
    end
end

# Functions of two numbers and their slopes in each; z is the function's value.
const BINARY = (
    (:+, :(one(z)), :(one(z))), (:-, :(one(z)), :(-one(z))), (:*, :y, :x),
    (:/, :(inv(y)), :(-(z / y))),
    (:^, :(iszero(y) ? zero(z) : y * x^(y - one(y))), :(iszero(x) && y > 0 ? zero(z) : z * log(x))),
    (:atan, :(y / (x * x + y * y)), :(-x / (x * x + y * y))),
    (:hypot, :(x / z), :(y / z)),
    (:max, :(x > y ? one(z) : zero(z)), :(x > y ? zero(z) : one(z))),
    (:min, :(x > y ? zero(z) : one(z)), :(x > y ? one(z) : zero(z))),
    (:mod, :(one(z)), :(-floor(x / y))), (:rem, :(one(z)), :(-trunc(x / y))),
)
# The wide type and those for which Base has methods that would compete with it.
const PLAIN = (:Real, :AbstractFloat, :Integer, :Rational, :AbstractIrrational, :Bool)

for (f, dx, dy) in BINARY
    @eval begin
        @inline function Base.$f(a::Dual{T}, b::Dual{T}) where {T}
            x, y = a.value, b.value
            z = $f(x, y)
            return Dual{T}(z, combined($dx, a.partials, $dy, b.partials))
        end
        @inline function left(::typeof($f), a::Dual{T}, y::Real) where {T}
            x = a.value
            z = $f(x, y)
            return Dual{T}(z, scaled($dx, a.partials))
        end
        @inline function right(::typeof($f), x::Real, b::Dual{T}) where {T}
            y = b.value
            z = $f(x, y)
            return Dual{T}(z, scaled($dy, b.partials))
        end
        @inline Base.$f(a::Dual{S}, b::Dual{T}) where {S,T} =
            precedes(S, T) ? right($f, a, b) : left($f, a, b)
    end
    for R in PLAIN
        @eval @inline Base.$f(a::Dual, b::$R) = left($f, a, b)
        @eval @inline Base.$f(a::$R, b::Dual) = right($f, a, b)
    end
end
@inline Base.:^(::Irrational{:ℯ}, b::Dual) = exp(b)

for f in (:(==), :<, :<=, :isequal, :isless)
    @eval Base.$f(a::Dual, b::Dual) = $f(a.value, b.value)
    for R in PLAIN
        @eval Base.$f(a::Dual, b::$R) = $f(a.value, b)
        @eval Base.$f(a::$R, b::Dual) = $f(a, b.value)
    end
end

@inline Base.sincos(x::Dual) = (sin(x), cos(x))
@inline Base.copysign(x::Dual, y::Real) = signbit(x) == signbit(y) ? x : -x
@inline Base.flipsign(x::Dual, y::Real) = signbit(y) ? -x : x
@inline Base.fma(x::D, y::D, z::D) where {T,D<:Dual{T}} =
    Dual{T}(fma(x.value, y.value, z.value),
            map(+, combined(y.value, x.partials, x.value, y.partials), z.partials))
@inline Base.muladd(x::D, y::D, z::D) where {D<:Dual} = x * y + z

# ---- derivatives -----------------------------------------------------------------------------

# The i-th partial that carries the mark T, at whatever depth it stands.
part(::Type{T}, y::Real, i) where {T} = zero(y)
part(::Type{T}, y::Dual{T}, i) where {T} = y.partials[i]
part(::Type{T}, y::Dual{S}, i) where {S,T} =
    Dual{S}(part(T, y.value, i), map(p -> part(T, p, i), y.partials))
part(::Type{T}, y::Union{Tuple,AbstractArray}, i) where {T} = map(q -> part(T, q, i), y)

"f'(x), of a function that returns a number, or an array or tuple of numbers."
function derivative(f::F, x::Real) where {F}
    v = float(x)
    T = Tag{F,typeof(v)}
    return part(T, f(Dual{T}(v, (one(v),))), 1)
end

const CHUNK = 8

"Gradient in the shape of `x`; at most `CHUNK` partial derivatives are carried in one sweep."
gradient(f, x::AbstractArray{<:Real}) = gradient(f, x, Val(clamp(length(x), 1, CHUNK)))

function gradient(f::F, x::AbstractArray{<:Real}, ::Val{N}) where {F,N}
    v = map(float, x)
    V = eltype(v)
    T = Tag{F,V}
    sweep(first) = f(reshape([Dual{T}(v[i], ntuple(k -> i == first + k - 1 ? one(V) : zero(V), Val(N)))
                              for i in 1:length(v)], size(v)))
    return reshape(reduce(vcat, [begin
        y = sweep(first)
        y isa Real || throw(ArgumentError("gradient needs a function that returns a number; " *
                                          "this one returns a $(typeof(y))"))
        [part(T, y, k) for k in 1:min(N, length(v) - first + 1)]
    end for first in 1:N:length(v)]; init = V[]), size(v))
end

end # module OwnDual
