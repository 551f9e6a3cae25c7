# The unit sphere: unit vectors of right ascensions and declinations, and separations.

"""
Where objects are, chosen when the code is compiled: on the `Sphere`, as unit vectors, or in the
`Plane`, as (x, y, 0) in units that make the largest coordinate about 1.
"""
abstract type Geometry end
struct Sphere <: Geometry end

"""
Squared chord up to which two places are the same but for rounding: (4e-15)^2, four units in the
last place of a right ascension of 360 degrees, or of the largest coordinate of a plane. Nothing can
be said of the direction from one to the other.
"""
const COINCIDENT = 1.6e-29

"Unit vector of a direction (radians)."
@inline function unit_vector(ra, dec)
    sa, ca = sincos(ra)
    sd, cd = sincos(dec)
    return (cd * ca, cd * sa, sd)
end

"Squared chord, 4 sin^2(theta/2): the ordering of separations without a root."
@inline chord2(u, v) = (u[1] - v[1])^2 + (u[2] - v[2])^2 + (u[3] - v[3])^2

"""
    directions(ra, dec)

Unit vectors (3, N) of right ascensions and declinations, both (N) and in degrees.

# Example
```julia
directions([0.0, 90.0], [0.0, 0.0]) ≈ [1 0; 0 1; 0 0]
```
"""
function directions(ra, dec)
    length(ra) == length(dec) || throw(DimensionMismatch(
        "directions: ra and dec must have one length; they have $(length(ra)) and $(length(dec))"))
    x = Matrix{float(promote_type(eltype(ra), eltype(dec)))}(undef, 3, length(ra))
    for i in eachindex(ra, dec)
        # Whole turns are taken off in degrees, where that is exact.
        x[:, i] .= unit_vector(deg2rad(ra[i] - 360 * round(primal(ra[i]) / 360)), deg2rad(dec[i]))
    end
    return x
end

"""
    separation(u, v)

Angle in radians between two unit vectors, atan2(|u x v|, u.v): stable from 0 to pi, with a finite
derivative (zero) where the two coincide or are antipodal.

# Example
```julia
separation((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)) ≈ pi / 2
```
"""
@inline function separation(u, v)
    cx = u[2] * v[3] - u[3] * v[2]
    cy = u[3] * v[1] - u[1] * v[3]
    cz = u[1] * v[2] - u[2] * v[1]
    s2 = cx^2 + cy^2 + cz^2
    s = iszero(s2) ? zero(s2) : sqrt(s2)
    return atan(s, u[1] * v[1] + u[2] * v[2] + u[3] * v[3])
end

"""
    projections(u, v) -> (a, b)

Directions (East + i North components, not normalized) of the great circle that joins u and v:
at u toward v, and at v toward u. Built from differences, so that close pairs keep their digits.
Their `double_phase` turns a shear at u, and one at v, to the great circle.
"""
@inline function projections(u, v)
    dx, dy, dz = v[1] - u[1], v[2] - u[2], v[3] - u[3]
    h = (dx^2 + dy^2 + dz^2) / 2
    c = u[1] * dy - u[2] * dx
    return (complex(c, dz + u[3] * h), complex(-c, v[3] * h - dz))
end

"Unit complex number z^2/|z|^2; 1 where z = 0 (a coincident or antipodal pair, a pole)."
@inline function double_phase(z)
    n = abs2(z)
    return iszero(n) ? one(z) : z * z / n
end
