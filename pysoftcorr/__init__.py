"""Correlation functions that know how sure they are, can be differentiated, and emulated.

Importing the package starts nothing: Julia starts with the first call that needs it.
"""

from __future__ import annotations

from pysoftcorr._lazy import lazy
from pysoftcorr._version import __version__

# Public name -> module; loaded when first used, so that the import stays light.
_PUBLIC = {
    "Binning": "binning",
    "Catalog": "catalog",
    "Clustering": "clustering",
    "Correlation": "result",
    "CorrelationSet": "result",
    "GravitySimulation": "gravity",
    "JuliaError": "_julia",
    "JuliaUnavailable": "_julia",
    "SimulationResult": "gravity",
    "SoftClustering": "clustering",
    "SoftCorrelation": "differentiable",
    "StarCatalog": "catalog",
    "bootstrap": "errors",
    "gamma_t": "correlation",
    "jackknife": "errors",
    "julia_module": "_julia",
    "landy_szalay": "correlation",
    "leave_out": "errors",
    "rho_statistics": "correlation",
    "xi_pm": "correlation",
}

__all__ = ["__version__", *_PUBLIC]

__getattr__, __dir__ = lazy(__name__, _PUBLIC)
