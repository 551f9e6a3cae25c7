# Forward-mode derivatives: by ForwardDiff where there is one, else by SoftCorr's own numbers.
#
# From Julia 1.9 on ForwardDiff is a weak dependency, and ext/SoftCorrForwardDiffExt.jl, which is
# loaded with it, adds the method of `forward_mode` that decides. Where there are no extensions
# (an older Julia, or SoftCorr included as a file) it is looked for on the load path, once.

forward_mode(::Any) = OwnDual

"""
    forward_mode()

The module whose `Dual`, `derivative` and `gradient` are used: ForwardDiff, or `SoftCorr.OwnDual`.
"""
forward_mode() = forward_mode(nothing)

"Whether derivatives are taken by ForwardDiff."
has_forwarddiff() = forward_mode() !== OwnDual

const HAS_EXTENSIONS = VERSION >= v"1.9" && Base.PkgId(@__MODULE__).uuid !== nothing

# By its identity, since SoftCorr must load and precompile without it.
function find_forwarddiff()
    id = try
        Base.identify_package("ForwardDiff")
    catch
        nothing
    end
    id isa Base.PkgId || return nothing
    string(id.uuid) == "f6369f11-7733-5829-9624-2563aa707210" || return nothing
    return try
        Base.require(id)
    catch err
        @warn "ForwardDiff is on the load path but does not load; SoftCorr uses its own Dual" err
        nothing
    end
end

if !HAS_EXTENSIONS
    # A precompiled SoftCorr remembers what was found: it depends on the manifests, where
    # ForwardDiff comes and goes.
    for project in Base.load_path(), name in ("Manifest.toml", "JuliaManifest.toml")
        manifest = joinpath(dirname(project), name)
        isfile(project) && isfile(manifest) && include_dependency(manifest)
    end
    const FOUND_FORWARDDIFF = find_forwarddiff()
    if FOUND_FORWARDDIFF isa Module
        forward_mode(::Nothing) = FOUND_FORWARDDIFF
    end
end

"""
    derivative(f, x)

f'(x) of a function of one real number that returns a number or an array of numbers: ForwardDiff's,
or, where that is not loaded, that of SoftCorr's own numbers of the same kind.

# Example
```julia
derivative(x -> x^3, 2.0) == 12.0
```
"""
derivative(f::F, x::Real) where {F} = forward_mode().derivative(f, x)

"""
    gradient(f, x)

The gradient of a function of an array that returns a number, in the shape of `x`: ForwardDiff's, or
that of SoftCorr's own numbers.

# Example
```julia
gradient(x -> x[1]^2 * x[2], [3.0, 2.0]) == [12.0, 9.0]
```
"""
gradient(f::F, x::AbstractArray{<:Real}) where {F} = forward_mode().gradient(f, x)

# Known by its fields and not by its name: a ForwardDiff that is loaded after SoftCorr brings
# numbers that must be understood too.
is_dual(T::DataType) = :value in fieldnames(T) && :partials in fieldnames(T)

"""
    value(x)

The value of a number that may carry derivatives, one layer of them taken off.
"""
@generated value(x::Real) = is_dual(x) ? :(getfield(x, :value)) : :x

"""
    partials(x)

The partial derivatives that `x` carries, a tuple; empty for a plain number.
"""
@generated function partials(x::Real)
    is_dual(x) || return :(())
    return fieldtype(x, :partials) <: Tuple ? :(getfield(x, :partials)) :
           :(getfield(x, :partials).values)
end

"Whether numbers of type `T` carry derivatives, in one layer or more."
carries(::Type{T}) where {T} = isconcretetype(T) && is_dual(T)
@generated carries(x::Number) = carries(x)
carries(x) = carries(eltype(x)) || (!isconcretetype(eltype(x)) && any(carries, x))

"Whether a number and all that it carries are 0; `iszero` of numbers with derivatives sees the value."
@inline vanishes(x::Real) = carries(x) ? vanishes(value(x)) && all(vanishes, partials(x)) : iszero(x)

"""
    fixed(what, name, x, instead) -> Vector{Float64} or Float64

The argument `name` of the function `what`, whose numbers may not carry derivatives; `instead` says
why, or what does.
"""
function fixed(what, name, x, instead)
    carries(x) && throw(ArgumentError("$what: $name must be plain numbers, without derivatives: $instead"))
    return x isa Number ? Float64(x) : convert(Array{Float64}, collect(x))
end

const VALUES_ONLY = "strip them with SoftCorr.primal.(...) where a constant is meant"

# Arrays of one length, finite.
function check_objects(what; arrays...)
    lengths = map(length, values(arrays))
    all(isequal(first(lengths)), lengths) || throw(DimensionMismatch(
        "$what: $(join(keys(arrays), ", ", " and ")) must have one length; they have " *
        join(lengths, ", ")))
    for (name, array) in pairs(arrays)
        bad = findfirst(q -> !isfinite(primal(q)), collect(array))
        bad === nothing || throw(ArgumentError(
            "$what: $name must be finite; number $bad is $(primal(array[bad]))"))
    end
end

"""
    primal(x)

The plain number at the bottom of `x`, all layers of derivatives taken off.
"""
@inline primal(x::Real) = primal(x, value(x))
@inline primal(x::T, ::T) where {T<:Real} = x
@inline primal(::Real, v::Real) = primal(v)
