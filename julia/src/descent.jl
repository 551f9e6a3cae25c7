# Quasi-Newton descent to the centers of many clusters, where steps of the fixed point stall on saddles.

"Steps `s` and changes of slope `y` that a curvature is known from (Nocedal 1980)."
struct Curvature
    s::Vector{Matrix{Float64}}
    y::Vector{Matrix{Float64}}
    sy::Vector{Float64}
    depth::Int
end
Curvature(depth) = Curvature([], [], [], depth)

inner(a, b) = (t = 0.0; @inbounds(@simd(for i in eachindex(a); t += a[i] * b[i]; end)); t)

function learn!(C::Curvature, s, y, weight)
    sy = inner(s, y)
    # Where the slope falls along a step nothing is known of the valley that it leads to.
    sy > 1e-4 * inner(s, weight .* s) || return nothing
    push!(C.s, s)
    push!(C.y, y)
    push!(C.sy, sy)
    length(C.s) > C.depth && foreach(popfirst!, (C.s, C.y, C.sy))
    return nothing
end

"Direction of descent from a slope."
function direction(C::Curvature, slope, weight)
    d = -slope
    a = zeros(length(C.s))
    for j in length(C.s):-1:1
        a[j] = inner(C.s[j], d) / C.sy[j]
        d .-= a[j] .* C.y[j]
    end
    for k in axes(d, 1)
        iszero(weight[k]) && (d[k, :] .= 0; continue)
        d[k, :] ./= abs(weight[k])
    end
    for j in eachindex(C.s)
        d .+= (a[j] - inner(C.y[j], d) / C.sy[j]) .* C.s[j]
    end
    return d
end

# No center further than its members are from it, G/A = <d^2> in the weights of a step.
function shorten!(along, S::Sparse, q)
    for k in axes(along, 1)
        F = view(S.fields, k, :)
        far = LONGEST * 2 * S.p * sqrt(abs(F[1] / F[4]))
        long = hypot(along[k, 1], along[k, 2])
        long > far && (along[k, :] .*= far / long)
    end
end

# Memberships that change by less than these (root mean square): long steps serve; the fine expansions
# are worth their price.
const CALM, WORTH_FINE = 1e-2, 1e-6
# Differences of the objective below this part of it are rounding.
const LEVEL = 1e-12
# And these between two trees: what the rough expansions leave out.
const GROWN_LEVEL = 1e-8
# Longest step of a center, in distances of its members.
const LONGEST = 0.5

"""
Plain sweeps while memberships change much, then descent along directions of quasi-Newton (L-BFGS;
Liu & Nocedal 1989), with the weights of a plain step for the curvature that is not known yet. All go through
the rough expansions; near the end what these leave out of the slope is added from the fine ones, and
taken anew until the answer holds still.
"""
function descend!(S::Sparse, b, tol, max_iter, accelerate, report)
    n, c = length(S.total), size(b, 1)
    plain, before = similar(b), copy(b)
    slope, weight, missed, missed_at = similar(b), zeros(c), zero(b), copy(b)
    curvature = Curvature(20)
    objectives, changes = Float64[], Float64[]
    from, from_slope, from_J = copy(b), zero(b), Inf
    along, step, downhill = zero(b), 1.0, 0.0      # a line of search, if step > 0
    exact, corrected, searching, calm, stale, shorter = false, false, false, false, false, 0
    for sweeps in 1:max_iter
        grown = follow!(S, b)
        q = center_charges(S, b)
        J, change2 = face!(S, b, sweeps == 1 ? nothing : b .- before, q)
        change = sqrt(max(change2, 0.0))
        stepped!(plain, slope, weight, S, b, q)
        if corrected
            slope .+= missed
            J += inner(missed, b) - inner(missed, missed_at)
        end
        progress(sweeps, max_iter)
        report === nothing || report(sweeps, J, change, grown, exact, step)
        stale = stale || grown
        if searching && shorter < 6 && J > from_J * (1 + (stale ? GROWN_LEVEL : LEVEL))
            # Too far: the minimum of the parabola, within bounds.
            bend = J - from_J - step * downhill
            step *= clamp(-step * downhill / (2 * bend), 0.1, 0.5)
            shorter += 1
            copyto!(before, b)
            b .= from .+ step .* along
            continue
        end
        push!(objectives, J)
        push!(changes, change)
        exact && change < tol && return objectives, changes, true
        shorter == 6 && foreach(empty!, (curvature.s, curvature.y, curvature.sy))
        if searching && !stale && shorter < 6
            # Still as steep as at the start: the valley is further on.
            if inner(slope, along) < 0.9 * downhill && step < 100 && !exact
                from_J = J
                step *= 2
                copyto!(before, b)
                b .= from .+ step .* along
                continue
            end
            learn!(curvature, b .- from, slope .- from_slope, weight)
        end
        exact = change < tol || (corrected ? grown : change < WORTH_FINE * sqrt(n))
        if exact
            use!(S, S.fine)
            rough = corrected ? slope .- missed : copy(slope)
            face!(S, b, nothing, q)
            stepped!(plain, slope, weight, S, b, q)
            use!(S, S.rough)
            missed .= slope .- rough
            copyto!(missed_at, b)
            J = objectives[end]
            corrected = true
        end
        copyto!(before, b)
        copyto!(from, b)
        copyto!(from_slope, slope)
        from_J, stale, shorter = J, false, 0
        calm = calm || (accelerate && change < CALM * sqrt(n))
        searching = calm && !exact
        if searching
            along = direction(curvature, slope, weight)
            shorten!(along, S, q)
            downhill = inner(slope, along)
            if downhill >= 0
                foreach(empty!, (curvature.s, curvature.y, curvature.sy))
                along .= plain .- b
                downhill = inner(slope, along)
            end
            step = 1.0
            b .= from .+ along
        else
            copyto!(b, plain)
        end
    end
    return objectives, changes, false
end
