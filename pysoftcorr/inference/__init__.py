"""Posteriors of HOD and alignment parameters, their samplers, and minimization."""

from __future__ import annotations

from pysoftcorr.core.lazy import lazy

# Public name -> module; loaded when first used: PyTorch, Pyro and ArviZ take seconds.
_PUBLIC = {
    "LogPosterior": "density",
    "Minimization": "minimization",
    "Normal": "priors",
    "Observation": "observation",
    "Posterior": "posterior",
    "Priors": "priors",
    "SimulatedModel": "simulated",
    "TruncatedNormal": "priors",
    "Uniform": "priors",
    "minimize": "minimization",
    "sample_posterior": "sampling",
}

__all__ = sorted(_PUBLIC)

__getattr__, __dir__ = lazy(__name__, _PUBLIC)
