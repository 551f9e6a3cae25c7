# Warm-up of `entry_clustering.jl`: sphere and plane, fuzziness 2 and other, all assignments.

push!(STEPS, function ()
    n, c, f, r = 300, 4, 6, 3
    xyz, w = directions(n), ones(n)
    for x in (xyz, xyz[1:2, :]), m in (2.0, 1.7), accelerate in (0, 1)
        dims = size(x, 1)
        centers, u = zeros(c, dims), zeros(c, n)
        call("seed_centers", x, dims, n, w, c, collect(uniform(c)), centers)
        call("fuzzy_cmeans", x, dims, n, w, c, m, 1e-3, 40, accelerate, centers, u, zeros(40, 2),
             zeros(Int, 2))
        call("memberships", x, dims, n, c, m, centers, u)
    end
    u = [1.0 / c for k in 1:c, i in 1:n]
    labels = zeros(Int, n, r)
    call("assign_greedy", u, c, n, labels)
    call("assign_sampled", u, c, n, r, reshape(collect(uniform(n * r)), n, r), labels)
    for straight in (0, 1)
        call("assign_gumbel", u, c, n, reshape(collect(uniform(c * n)), c, n), 0.5, straight, zeros(c, n))
    end
    fields, weights = reshape(collect(uniform(f * n)), f, n), ones(n, r)
    call("label_means", xyz, n, fields, f, weights, r, labels, r, c, r, zeros(3, c, r), zeros(c, r),
         zeros(f, c, r))
    call("share_means", xyz, n, fields, f, weights, r, u, c, zeros(3, c, r), zeros(c, r), zeros(f, c, r))
end)
