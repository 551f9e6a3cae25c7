"""Mock universes: haloes, galaxies with intrinsic alignments, and their correlations in the box."""

from __future__ import annotations

import importlib
from typing import Any

# Public name -> module; loaded when first used, so that the import stays light.
_PUBLIC = {
    "AlignmentSums": "expected",
    "BoxCorrelations": "box",
    "Campaign": "campaign_file",
    "ExpectedCorrelations": "expected",
    "GalaxyCatalog": "galaxies",
    "HODModel": "hod",
    "HaloCatalog": "halos",
    "alignment_sums": "expected",
    "box_correlations": "box",
    "expected_correlations": "expected",
    "run_campaign": "campaign",
    "training_design": "design",
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
