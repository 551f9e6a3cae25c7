"""Correlation functions that know how sure they are, can be differentiated, and emulated.

Importing the package starts nothing: Julia starts with the first call that needs it.
"""

from __future__ import annotations

from pysoftcorr.core.lazy import lazy
from pysoftcorr.core.version import __version__

# Public name -> module; loaded when first used, so that the import stays light.
_PUBLIC = {
    "Binning": "sky.binning",
    "Bootstrap": "sky.resampling",
    "Catalog": "sky.catalog",
    "Clustering": "sky.clustering",
    "Correlation": "sky.result",
    "CorrelationSet": "sky.result",
    "GravitySimulation": "sky.gravity",
    "Jackknife": "sky.resampling",
    "JuliaError": "_julia",
    "JuliaUnavailable": "_julia",
    "Leakage": "sky.leakage",
    "LeaveOut": "sky.resampling",
    "SimulationResult": "sky.gravity",
    "SoftClustering": "sky.clustering",
    "SoftCorrelation": "sky.differentiable",
    "SoftGammaT": "sky.soft_statistics",
    "SoftLandySzalay": "sky.soft_statistics",
    "SoftRhoStatistics": "sky.soft_statistics",
    "StarCatalog": "sky.stars",
    "TwoScaleCorrelation": "sky.two_scale_gradients",
    "demo_stars": "sky.stars",
    "demo_stars_path": "sky.stars",
    "fit_leakage": "sky.leakage",
    "gamma_t": "sky.correlation",
    "julia_module": "_julia",
    "landy_szalay": "sky.correlation",
    "rho_statistics": "sky.correlation",
    "tau_statistics": "sky.tau",
    "xi_pm": "sky.correlation",
}

_PACKAGES = ("diffhod", "emulator", "inference", "mocks", "plots", "sky")

__all__ = ["__version__", *_PACKAGES, *_PUBLIC]

__getattr__, __dir__ = lazy(__name__, _PUBLIC, packages=_PACKAGES)
