# The plane: objects at (x, y, 0), shears with g1 > 0 along x. What the sphere is for small fields, with
# West for x and North for y.

struct Plane <: Geometry end

"Where objects with two coordinates are, (3, N): right ascension and declination in degrees, or x and y."
places(::Sphere, ra, dec) = directions(ra, dec)
places(::Plane, x, y) = permutedims(hcat(x, y, zero(x)))

separation(::Sphere, u, v) = separation(u, v)
@inline function separation(::Plane, u, v)
    t = chord2(u, v)
    return iszero(t) ? zero(t) : sqrt(t)
end

projections(::Sphere, u, v) = projections(u, v)
@inline function projections(::Plane, u, v)
    dx, dy = v[1] - u[1], v[2] - u[2]
    return (complex(dx, -dy), complex(-dx, dy))
end

"""
A power of two near the largest coordinate, or 1: divided by it, positions suit `COINCIDENT`, and no
digit changes.
"""
unit_of(::Sphere, x, y) = 1.0
function unit_of(::Plane, x, y)
    largest = mapreduce(q -> Float64(abs(primal(q))), max, vcat(x, y); init = 0.0)
    return iszero(largest) ? 1.0 : 2.0^exponent(largest)
end
