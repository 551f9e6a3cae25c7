# The closed elliptic Kepler orbit, the reference for the integrator. Generic in the number type.

"Position and velocity after time `t` of a bound orbit about a mass with G M = `GM`."
function kepler(x, v, GM, t)
    r = sqrt(sum(abs2, x))
    a = 1 / (2 / r - sum(abs2, v) / GM)
    n = sqrt(GM / a^3)
    sine, cosine = sum(x .* v) / sqrt(GM * a), 1 - r / a          # e sin E0, e cos E0
    M = n * t
    # Kepler's equation for the change D of eccentric anomaly. Newton's steps from a bracketing
    # bisection on the values; the last ones carry any derivatives along.
    f(D) = D - cosine * sin(D) + sine * (1 - cos(D)) - M
    lo, hi = M - 2, M + 2
    for _ in 1:60
        mid = (lo + hi) / 2
        f(mid) > 0 ? (hi = mid) : (lo = mid)
    end
    D = (lo + hi) / 2
    for _ in 1:4
        D -= f(D) / (1 - cosine * cos(D) + sine * sin(D))
    end
    g = t - (D - sin(D)) / n
    F = 1 - a / r * (1 - cos(D))
    xt = F .* x .+ g .* v
    rt = sqrt(sum(abs2, xt))
    vt = (-sqrt(GM * a) * sin(D) / (r * rt)) .* x .+ (1 - a / rt * (1 - cos(D))) .* v
    return xt, vt
end

"Start at the given eccentricity and eccentric anomaly E, semi-major axis 1, tilted orbit."
function kepler_start(e, E, GM)
    b = sqrt(1 - e^2)
    p, q = [0.36, 0.48, 0.8], [0.8, -0.6, 0.0]
    r = 1 - e * cos(E)
    return p .* (cos(E) - e) .+ q .* (b * sin(E)),
           (p .* (-sin(E)) .+ q .* (b * cos(E))) .* (sqrt(GM) / r)
end
