"""The halo occupation made differentiable: weighted galaxies, their P(k), xi, omega and eta."""

from __future__ import annotations

from pysoftcorr.core.extras import need
from pysoftcorr.core.lazy import lazy

# Public name -> module; loaded when first used, so that the import stays light.
_PUBLIC = {
    "ClippedTrials": "model",
    "DiffHOD": "model",
    "PowerComparison": "compare",
    "PowerSpectrum": "power",
    "WeightedGalaxies": "points",
    "WeightedPairs": "pairs",
    "compare_power": "compare",
    "nfw_radius": "occupation",
    "paint_cic": "power",
    "power_spectrum": "power",
    "relaxed_bernoulli": "relaxed",
    "watson_axes": "alignment",
    "watson_cosine": "alignment",
}

__all__ = sorted(_PUBLIC)

__getattr__, __dir__ = lazy(__name__, _PUBLIC, before=lambda: need("torch", "pysoftcorr.diffhod"))
