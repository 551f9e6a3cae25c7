"""
Correlation functions of objects on the sphere, in a plane and in a box: fuzzy clustering, pair sums, their
derivatives, and the gravity simulation that they are differentiated through.

Everything is generic in the number type: derivatives are taken by ForwardDiff where it is loaded
(before Julia 1.9: on the load path), else by numbers of the same kind that SoftCorr brings along
([`derivative`](@ref), [`gradient`](@ref)).

| | |
| --- | --- |
| sky | [`directions`](@ref), [`separation`](@ref) |
| clusters | [`seed_centers`](@ref), [`fuzzy_cmeans`](@ref), [`assign_greedy`](@ref), [`assign_sampled`](@ref), [`assign_gumbel`](@ref), [`cluster_means`](@ref) |
| correlation functions | [`xi_pm`](@ref), [`soft_xi`](@ref) with [`SoftEstimator`](@ref) and [`SoftBins`](@ref), [`box_correlations`](@ref) |
| simulation | [`simulate`](@ref) |

# Example
```julia
ra, dec = [1.0, 3.0, 7.0, 8.0], [2.0, 9.0, 4.0, 5.0]
xi_pm(ra, dec, fill(0.01, 4), zeros(4), [0, 300, 600]).npairs == [1, 5]
```
"""
module SoftCorr

export directions, separation
export seed_centers, fuzzy_cmeans, assign_greedy, assign_sampled, assign_gumbel, cluster_means
export xi_pm, SoftBins, SoftEstimator, soft_xi, box_correlations
export simulate
export derivative, gradient

const SOURCE_VERSION = "0.1.0"

# Each file uses what stands before it.
include("control.jl")           # cancellation, progress, deterministic threading
include("dual.jl")              # forward-mode numbers of our own
include("forward.jl")           # those or ForwardDiff's
include("sphere.jl")            # unit vectors, tangent frames, separations
include("plane.jl")             # the same in a plane
include("fuzzy.jl")             # fuzzy c-means
include("assign.jl")            # memberships -> clusters
include("simd.jl")              # eight numbers at a time
include("rows.jl")              # memberships that are nowhere kept
include("tree.jl")              # a k-d tree
include("pairs.jl")             # hard-binned pair sums
include("softbins.jl")          # soft bins of separation
include("softforms.jl")         # what is summed over pairs of points in them
include("softpairs.jl")         # the sums and their reverse derivative, pair by pair
include("softtable.jl")         # the weights of soft bins in cells of separation
include("softwalk.jl")          # the same sums through a tree, eight pairs at a time
include("implicit.jl")          # the fixed point of fuzzy c-means, and its derivative
include("farfield.jl")          # sums over far points
include("sparse.jl")            # fuzzy c-means of many objects in many clusters
include("descent.jl")           # and its quasi-Newton descent
include("sparseimplicit.jl")    # the derivative of its centers
include("seeding.jl")           # the k-means++ start of many clusters
include("softcorrelation.jl")   # objects -> clusters -> soft bins
include("softreverse.jl")       # and back: the reverse derivative
include("softstatistics.jl")    # rho, tangential shear, w(theta), a box: values and derivatives in soft bins
include("softweights.jl")       # and their derivatives by weights, from the pass of the values
include("gravity.jl")           # test particles in the field of a point mass
include("boxsums.jl")           # pair sums in a box, as they are defined
include("columns.jl")           # objects in columns, and their partners in reach
include("blocks.jl")            # the same in blocks of eight
include("box.jl")               # pair sums in a box through blocks
include("tabulate.jl")          # moments of halo pairs between nodes of mass
include("places.jl")            # sums over pairs of places between kinds of them
include("anisotropic.jl")       # pair sums in bins along and across a line of sight
include("tabulate_sight.jl")    # the same about a line of sight
# The C entry points, the only functions that Python calls.
include("entries/entry.jl")
include("entries/clustering.jl")
include("entries/pairs.jl")
include("entries/gravity.jl")
include("entries/box.jl")
include("entries/tabulate.jl")
include("entries/anisotropic.jl")
include("entries/softcorr.jl")
include("entries/softstatistics.jl")

# A package of Julia 1.9 or newer keeps machine code: of the entry points, which are called here.
if VERSION >= v"1.9" && HAS_EXTENSIONS && ccall(:jl_generating_output, Cint, ()) == 1
    include("precompile/warmup.jl")
    Warmup.run()
end

end
