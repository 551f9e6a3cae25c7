"""
Correlation functions of objects on the sphere and in a box: fuzzy clustering, pair sums,
their derivatives, and the gravity simulation they are differentiated through.

Files are included in the order in which they depend on one another. All numerics are
generic in the number type. `entry.jl` holds the only functions that Python calls.
"""
module SoftCorr

const SOURCE_VERSION = "0.1.0"

include("control.jl")      # cancellation, progress, deterministic threading
include("dual.jl")         # forward-mode numbers: ForwardDiff's or our own
include("sphere.jl")       # unit vectors, tangent frames, separations
include("fuzzy.jl")        # fuzzy c-means
include("assign.jl")       # memberships -> clusters
include("simd.jl")         # eight numbers at a time
include("tree.jl")         # a k-d tree on the sphere
include("pairs.jl")        # hard-binned pair sums: the definition
include("angles.jl")       # separations of eight pairs
include("pairtree.jl")     # and through trees
include("softpairs.jl")    # soft-binned pair sums and their reverse derivative
include("hessian.jl")      # second derivatives of the clustering objective
include("implicit.jl")     # the fixed point of fuzzy c-means, and its derivative
include("softcorrelation.jl")   # objects -> clusters -> soft bins
include("softpullback.jl") # and its reverse derivative
include("dop853.jl")       # the Runge-Kutta pair of the simulation
include("gravity.jl")      # test particles in the field of a point mass
include("box.jl")          # pair sums in a box: the definition, and columns
include("boxpairs.jl")     # eight pairs at a time
include("boxwalk.jl")      # from column to column
include("entry.jl")        # the C entry points
include("entry_clustering.jl")
include("entry_pairs.jl")
include("entry_gravity.jl")
include("entry_box.jl")
include("entry_softcorr.jl")

end
