"""Posteriors of HOD and alignment parameters from an emulator, and minimisation over them."""

from __future__ import annotations

import importlib
from typing import Any

# Public name -> module; loaded when first used: PyTorch, Pyro and ArviZ take seconds.
_PUBLIC = {
    "LogPosterior": "density",
    "Minimisation": "minimisation",
    "Normal": "priors",
    "Observation": "observation",
    "Posterior": "posterior",
    "SimulatedModel": "simulated",
    "TruncatedNormal": "priors",
    "Uniform": "priors",
    "minimise": "minimisation",
    "sample_posterior": "sampling",
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
