# The k-means++ start of many clusters: a new center is compared with the tiles of objects that it may
# be nearest to, and sums of masses over blocks of objects are kept up to date, so that its draw
# need not pass over all. The draw is that of `seed_centers!`, in the order of the objects.

const TILE, TILES, BLOCK = 64, 64, 1024

"Tiles of objects that lie together: centers (D, tiles), radii, and the largest nearest distance^2."
struct Tiles
    middle::Matrix{Float64}
    radius::Vector{Float64}
    far::Vector{Float64}
end

function tiled(x, order, many)
    count = cld(length(order), many)
    tiles = Tiles(zeros(size(x, 1), count), zeros(count), fill(Inf, count))
    for tile in 1:count
        own = view(order, ((tile - 1) * many + 1):min(tile * many, length(order)))
        for i in own, d in axes(x, 1)
            tiles.middle[d, tile] += x[d, i] / length(own)
        end
        reach = maximum(sum((x[d, i] - tiles.middle[d, tile])^2 for d in axes(x, 1)) for i in own)
        tiles.radius[tile] = sqrt(reach) * (1 + 1e-12) + 1e-15
    end
    return tiles
end

# Whether the center k may be nearer to an object of the tile than all before it.
@inline function within(tiles::Tiles, tile, v, k)
    isinf(tiles.far[tile]) && return true
    d = sqrt(sum((v[k, a] - tiles.middle[a, tile])^2 for a in axes(v, 2))) - tiles.radius[tile]
    return d <= 0 || d^2 <= tiles.far[tile] * (1 + 1e-12)
end

"""
    seed_many!(v, x, w, draws) -> numbers of the objects taken

`seed_centers!`, for many objects and centers: the same draws, but for rounding of their sums.
"""
function seed_many!(v, x, w, draws)
    n = size(x, 2)
    chart = Chart(size(x, 1) == 3 ? Sphere() : Plane(), x)
    places = flattened(chart, permutedims(x))
    px, py = places[:, 1], places[:, 2]
    order = Places(square_around(px, py), px, py).order
    small, large = tiled(x, order, TILE), tiled(x, order, TILE * TILES)
    nearest, mass, free = fill(Inf, n), float.(w), ones(n)
    sums, alive = zeros(cld(n, BLOCK)), zeros(Int, cld(n, BLOCK))
    for i in 1:n
        sums[cld(i, BLOCK)] += mass[i]
        alive[cld(i, BLOCK)] += !iszero(mass[i])
    end
    taken = zeros(Int, size(v, 1))
    for k in axes(v, 1)
        i = draw_blocked(mass, sums, alive, draws[k])
        i == 0 && (i = draw(free, draws[k]))
        taken[k] = i
        v[k, :] = x[:, i]
        free[i] = 0
        for tile in eachindex(large.far)
            within(large, tile, v, k) || continue
            far = 0.0
            for part in ((tile - 1) * TILES + 1):min(tile * TILES, length(small.far))
                within(small, part, v, k) && nearer!(nearest, mass, sums, alive, small, part, order, free, x, w, v, k)
                far = max(far, small.far[part])
            end
            large.far[tile] = far
        end
        k % 64 == 0 && checkpoint()
    end
    return taken
end

function nearer!(nearest, mass, sums, alive, tiles, tile, order, free, x, w, v, k)
    far = 0.0
    @inbounds for slot in ((tile - 1) * TILE + 1):min(tile * TILE, length(order))
        j = order[slot]
        d2 = distance2(x, j, v, k)
        if d2 < nearest[j]
            nearest[j] = d2
            block = cld(j, BLOCK)
            now = free[j] * w[j] * d2
            sums[block] += now - mass[j]
            alive[block] += !iszero(now) - !iszero(mass[j])
            mass[j] = now
        end
        far = max(far, nearest[j])
    end
    tiles.far[tile] = far
end

# `draw`, by blocks. Sums that are kept up to date carry rounding: what counts as empty is counted.
function draw_blocked(mass, sums, alive, uniform)
    total = 0.0
    for block in eachindex(sums)
        alive[block] > 0 && (total += sums[block])
    end
    target, running, last = uniform * total, 0.0, 0
    for block in eachindex(sums)
        alive[block] > 0 || continue
        last = block
        running + sums[block] > target && break
        running += sums[block]
    end
    last == 0 && return 0
    found = 0
    for i in ((last - 1) * BLOCK + 1):min(last * BLOCK, length(mass))
        iszero(mass[i]) && continue
        running += mass[i]
        found = i
        running > target && break
    end
    return found
end

# Objects times centers from which on tiles pay.
const MANY = 10^7

"k-means++ centers into `v`, by whichever way is faster -> numbers of the objects taken."
seed!(v, x, w, draws) =
    size(x, 2) * size(v, 1) > MANY ? seed_many!(v, x, w, draws) : seed_centers!(v, x, w, draws)
