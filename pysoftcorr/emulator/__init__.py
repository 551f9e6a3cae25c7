"""The intrinsic-alignment emulator: xi, omega, eta of seven parameters, with both errors."""

from __future__ import annotations

from pysoftcorr.core.extras import need
from pysoftcorr.core.lazy import lazy

# Public name -> module; loaded when first used, so that the import stays light.
_PUBLIC = {
    "Bounds": "domain",
    "Emulator": "emulator",
    "EmulatorData": "data",
    "Evaluation": "evaluation",
    "OutsideBounds": "domain",
    "Predicted": "prediction",
    "Prediction": "prediction",
    "Split": "data",
    "evaluate": "evaluation",
    "read_data": "data",
    "split_campaign": "data",
    "train": "training.run",
}

__all__ = sorted(_PUBLIC)


__getattr__, __dir__ = lazy(__name__, _PUBLIC, before=lambda: need("torch", "pysoftcorr.emulator"))
