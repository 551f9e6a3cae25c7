"""The intrinsic-alignment emulator: xi, omega, eta of seven parameters, with both errors."""

from __future__ import annotations

import importlib
from typing import Any

# Public name -> module; loaded when first used, so that the import stays light.
_PUBLIC = {
    "Bounds": "bounds",
    "Emulator": "emulator",
    "EmulatorData": "dataset",
    "Evaluation": "evaluation",
    "OutsideBounds": "bounds",
    "Predicted": "prediction",
    "Prediction": "prediction",
    "Split": "dataset",
    "evaluate": "evaluation",
    "read_data": "data_file",
    "split_campaign": "dataset",
    "train": "training",
}

__all__ = sorted(_PUBLIC)


def require_torch() -> None:
    """ImportError, with the command that mends it, where torch is missing."""
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "pysoftcorr.emulator needs torch; install it with: pip install 'pysoftcorr[torch]'"
        ) from error


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    require_torch()
    value = getattr(importlib.import_module(f"{__name__}.{_PUBLIC[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
