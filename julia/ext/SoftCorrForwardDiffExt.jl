# Loaded by Julia 1.9 and newer as soon as both packages are: derivatives are ForwardDiff's then.
module SoftCorrForwardDiffExt

import ForwardDiff
import SoftCorr

SoftCorr.forward_mode(::Nothing) = ForwardDiff

# What Python calls for derivatives is compiled again, for ForwardDiff's numbers.
if ccall(:jl_generating_output, Cint, ()) == 1 && isdefined(SoftCorr, :Warmup)
    SoftCorr.Warmup.run()
end

end
