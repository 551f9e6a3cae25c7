# C entry point of the gravity simulation.

# The mark of d/dG in the numbers below.
struct WithRespectToG end

gravity_number(G, with_derivative) =
    iszero(with_derivative) ? G : forward_mode().Dual{WithRespectToG}(G, (one(G),))

function store!(to::Ptr, ::Ptr, from::Array{Float64})
    for i in 1:length(from)
        unsafe_store!(to, from[i], i)
    end
end
function store!(to::Ptr, derivative_to::Ptr, from::Array{<:Real})
    for i in 1:length(from)
        unsafe_store!(to, value(from[i]), i)
        unsafe_store!(derivative_to, partials(from[i])[1], i)
    end
end

# A function of its own, so that it is compiled for each kind of G.
function gravity_run(G::T, n, x0, v0, mass, softening, t_max, rtol, max_steps, observer, values,
                     derivatives, steps, fate) where {T}
    position, velocity = zeros(T, 3, n), zeros(T, 3, n)
    ra, dec = zeros(T, n), zeros(T, n)
    simulate!(position, velocity, ra, dec, steps, fate, x0, v0, G * mass, softening^2, t_max, rtol,
              max_steps, observer)
    foreach(store!, values, derivatives, (position, velocity, ra, dec))
    return nothing
end

# Positions and velocities are (N, 3) in Python, the sky (2, N): right ascensions, declinations.
# The three arrays of derivatives are only written when `with_derivative` is not 0. `fate` says
# of each particle what became of it; nothing is thrown for a lost one.
@entry function gravity_simulate(n::Int64, x0::Ptr{Float64}, v0::Ptr{Float64}, G::Float64,
                                 mass::Float64, softening::Float64, t_max::Float64, rtol::Float64,
                                 max_steps::Int64, observer::Ptr{Float64}, with_derivative::Int64,
                                 position::Ptr{Float64}, velocity::Ptr{Float64},
                                 sky::Ptr{Float64}, dposition::Ptr{Float64},
                                 dvelocity::Ptr{Float64}, dsky::Ptr{Float64}, steps::Ptr{Int64},
                                 fate::Ptr{Int64})
    o = unsafe_wrap(Array, observer, 3)
    gravity_run(gravity_number(G, with_derivative), n, unsafe_wrap(Array, x0, (3, n)),
                unsafe_wrap(Array, v0, (3, n)), mass, softening, t_max, rtol, max_steps,
                (o[1], o[2], o[3]), (position, velocity, sky, sky + 8n),
                (dposition, dvelocity, dsky, dsky + 8n), unsafe_wrap(Array, steps, n),
                unsafe_wrap(Array, fate, n))
end
