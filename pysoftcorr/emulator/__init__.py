"""The intrinsic-alignment emulator: xi, omega, eta of seven parameters, with both errors."""

from __future__ import annotations

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


def require_torch() -> None:
    """ImportError, with the command that mends it, where torch is missing."""
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "pysoftcorr.emulator needs torch; install it with: pip install 'pysoftcorr[torch]'"
        ) from error


__getattr__, __dir__ = lazy(__name__, _PUBLIC, before=require_torch)
