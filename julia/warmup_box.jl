# Warm-up of `entry_box.jl`: one set and two, with and without the periodic edge, the split and
# second axes.

push!(STEPS, function ()
    n, edges = 400, Float64[0.1, 0.5, 1, 2, 3]
    set = (3 .* directions(n) .+ 4, directions(n), ones(n), fill(0.5, n), [div(i, 2) for i in 1:n],
           directions(n), n)
    for auto in (1, 0), periodic in (1, 0), split in (1, 0), drawn in (1, 0)
        call("box_pair_sums", set..., set..., drawn, auto, periodic, split, 10.0, edges,
             length(edges) - 1, zeros(SoftCorr.BOX_SUMS, length(edges) - 1, 2))
    end
end)
