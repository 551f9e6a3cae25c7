# Weights of soft bins as polynomials of the squared chord t, in cells so small that the weights come out
# to the last digits. Sums of weights times anything then need no weights, only powers of t in each cell;
# and a sum over bins of weights times cotangents is one polynomial more.

# Coefficients of a polynomial.
const TERMS = 12
# A weight below exp(-FAINT) counts as 0 in a table, one below exp(-FAR) as too far away to look for. The
# sums know the largest share that could be missing (`exact_bins`); a bin in which that is more than
# MISSED is summed pair by pair.
const FAINT = 64.0
const FAR = 46.0
const MISSED = 1e-17
# Octaves of t below the largest that are in a table: a pair in 4096 is closer.
const OCTAVES = 12
# Cells of an octave, as powers of two; bins so sharp that they need more are summed pair by pair.
const FINEST = 11
# Largest t of a table: near the antipode t says little about the separation.
widest(::Sphere) = 3.5
widest(::Geometry) = Inf

"""
Cells of the squared chord: 2^`bits` in each octave, from `offset` on (a number with its last
`52 - bits` bits cut off), `cells` of them. In cell `k` the bins `from[k]:to[k]` have weights, polynomials
with `coefficients` (TERMS, nbins, cells) of a coordinate that runs from -1 to 1.
"""
struct SoftTable
    bits::Int
    offset::Int
    cells::Int
    from::Vector{Int}
    to::Vector{Int}
    coefficients::Array{Float64,3}
end

"No cells: every pair is taken by itself."
SoftTable(bins::SoftBins) = SoftTable(0, 0, 0, Int[], Int[], zeros(TERMS, nbins(bins), 0))

top_bits(t::Float64, bits) = reinterpret(Int64, t) >> (52 - bits)
cell_of(table::SoftTable, t) = top_bits(primal(t), table.bits) - table.offset + 1
"Lower edge and width of the cell of a `number`, the bits of its squared chords that they share."
@inline function cell_edges(bits, number)
    low = number << (52 - bits)
    # the power of two in it, over 2^bits
    octave = low & reinterpret(Int64, Inf)
    return reinterpret(Float64, low), reinterpret(Float64, octave - bits << 52)
end

"Coordinate of `t` in its cell, and its slope."
@inline function in_cell(table::SoftTable, t, k)
    low, width = cell_edges(table.bits, table.offset + k - 1)
    return 2 * ((t - low) / width) - 1, 2 / width
end

"Separations, in the unit of the bins, at which bin `b` has a weight of exp(-depth)."
function bin_reach(bins::SoftBins, b, depth)
    s, lo, hi = bins.sharpness[b], bins.lo[b], bins.hi[b]
    if bins.gaussian
        far = sqrt(depth / s)
        return (lo + hi) / 2 - far, (lo + hi) / 2 + far
    end
    return lo - depth / s, hi + depth / s
end

separation_of(::Sphere, t) = ARCMIN * 2 * asin(min(sqrt(t) / 2, 1.0))
separation_of(::Geometry, t) = sqrt(t)

# Chebyshev nodes; the polynomials T_j there, scaled so that sums with values at the nodes are the
# coefficients of a Chebyshev series; and what takes these to powers of x. (At once the two would lose
# three digits.)
const NODES = [cos(pi * (2k - 1) / (2 * TERMS)) for k in 1:TERMS]
const SERIES = [(j == 0 ? 1 : 2) / TERMS * cos(pi * j * (2k - 1) / (2 * TERMS)) for j in 0:(TERMS - 1), k in 1:TERMS]
const POWERS = let T = zeros(TERMS, TERMS)
    T[1, 1] = T[2, 2] = 1
    for j in 3:TERMS
        T[:, j] = 2 .* [0.0; T[1:(end - 1), j - 1]] .- T[:, j - 2]
    end
    T
end

"Coefficients `c` of the polynomial that has `values` at the nodes; `series` is for work."
function interpolate!(c, series, values)
    @inbounds for j in 1:TERMS
        series[j] = 0.0
        for k in 1:TERMS
            series[j] += SERIES[j, k] * values[k]
        end
    end
    @inbounds for power in 1:TERMS
        c[power] = 0.0
        for j in power:2:TERMS
            c[power] += POWERS[power, j] * series[j]
        end
    end
end
# Where the error of the polynomial is largest: extrema between the nodes.
const CHECKS = (-1.0, cos(pi * 5 / TERMS), 1.0)

evaluate(c, x) = foldr((a, b) -> muladd(b, x, a), c)

"""
    soft_table(geometry, bins, top)

The table of all squared chords up to `top` but for the smallest.
"""
function soft_table(geometry::Geometry, bins::SoftBins, top)
    top = min(top, widest(geometry))
    top > 1e-20 || return SoftTable(bins)
    reach = [bin_reach(bins, b, FAINT) for b in 1:nbins(bins)]
    for bits in 3:FINEST
        offset = top_bits(2.0^(exponent(top) - OCTAVES), bits)
        cells = top_bits(top, bits) - offset + 1
        table = SoftTable(bits, offset, cells, fill(1, cells), zeros(Int, cells),
                          zeros(TERMS, nbins(bins), cells))
        # From the largest on, where most pairs are and cells are widest.
        all(fill_cell!(table, geometry, bins, reach, k) for k in cells:-1:1) && return table
    end
    return SoftTable(bins)
end

"Put the weights in a cell into the table; false where a polynomial is not good enough."
function fill_cell!(table, geometry, bins, reach, k)
    low, width = cell_edges(table.bits, table.offset + k - 1)
    at(x) = separation_of(geometry, low + width * (x + 1) / 2)
    near, far = at(-1.0), at(1.0)
    first, last = typemax(Int), 0
    for b in 1:nbins(bins)
        reach[b][1] <= far && near <= reach[b][2] && ((first, last) = (min(first, b), b))
    end
    last == 0 && return true
    table.from[k], table.to[k] = first, last
    thetas, values, series, checks = map(at, NODES), zeros(TERMS), zeros(TERMS), map(at, CHECKS)
    for b in first:last
        reach[b][1] <= far && near <= reach[b][2] || continue
        values .= bin_weight.(Ref(bins), b, thetas)
        c = view(table.coefficients, :, b, k)
        interpolate!(c, series, values)
        largest = max(maximum(values), 1e-300)
        # To what the exponent, and the separations that are taken off one another in it, are rounded;
        # a faint weight need not be known as well.
        steep = bins.sharpness[b] * (bins.gaussian ? 2 * maximum(abs, thetas .- (bins.lo[b] + bins.hi[b]) / 2) : 1)
        allowed = 3eps() * largest * (8 - log(largest) + steep * far) + 1e-17 * sqrt(largest)
        for (x, theta) in zip(CHECKS, checks)
            abs(evaluate(c, x) - bin_weight(bins, b, theta)) <= allowed || return false
        end
    end
    return true
end
