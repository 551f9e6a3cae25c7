# The unit sphere: right ascension and declination in radians, unit vectors, separations.

"Unit vector of a direction (radians)."
@inline function unit_vector(ra, dec)
    sa, ca = sincos(ra)
    sd, cd = sincos(dec)
    return (cd * ca, cd * sa, sd)
end

"Squared chord, 4 sin^2(theta/2): the ordering of separations without a root."
@inline chord2(u, v) = (u[1] - v[1])^2 + (u[2] - v[2])^2 + (u[3] - v[3])^2

"""
    separation(u, v)

Angle between two unit vectors, atan2(|u x v|, u.v): stable from 0 to pi, with a finite
derivative (zero) where the two coincide or are antipodal.
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
