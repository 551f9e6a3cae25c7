# Run by `julia --output-o` to make a system image with SoftCorr in it, all compiled.

# Nothing has been initialized yet where an image is being made; a process that starts with the
# image does all this again.
Base.reinit_stdio()
Base.Sys.__init__()
Base.init_depot_path()
Base.init_load_path()

include("../SoftCorr.jl")
include("warmup.jl")
Warmup.run()

# What belongs to this machine and this moment stays out of the image.
empty!(LOAD_PATH)
empty!(DEPOT_PATH)
