"""The halo occupation made differentiable: weighted galaxies, their P(k), xi, omega and eta."""

from __future__ import annotations

import importlib
from typing import Any

# Public name -> module; loaded when first used, so that the import stays light.
_PUBLIC = {
    "ClippedTrials": "model",
    "DiffHOD": "model",
    "PowerComparison": "compare",
    "PowerSpectrum": "power",
    "WeightedGalaxies": "points",
    "WeightedPairs": "pairs",
    "compare_power": "compare",
    "nfw_radius": "nfw",
    "paint_cic": "cic",
    "power_spectrum": "power",
    "relaxed_bernoulli": "relaxed",
    "watson_axes": "alignment",
    "watson_cosine": "alignment",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_PUBLIC[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
