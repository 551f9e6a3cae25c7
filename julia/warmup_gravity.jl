# Warm-up of `entry_gravity.jl`: with and without the derivative.

push!(STEPS, function ()
    n = 3
    x0, v0 = [1.0 0 0; 0 1.5 0; 0.2 0 2]', [0 1.0 0; 0.8 0 0.1; 0 0.5 0.3]'
    for derivative in (0, 1)
        call("gravity_simulate", n, Matrix(x0), Matrix(v0), 1.0, 1.0, 0.0, 1.0, 1e-9, 10_000,
             [10.0, 1.0, 1.0], derivative, zeros(3, n), zeros(3, n), zeros(n, 2), zeros(3, n),
             zeros(3, n), zeros(n, 2), zeros(Int, n), zeros(Int, n))
    end
end)
