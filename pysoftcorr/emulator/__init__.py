"""The intrinsic-alignment emulator: xi, omega, eta of seven parameters, with both errors."""

from __future__ import annotations

from pysoftcorr._lazy import lazy

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


__getattr__, __dir__ = lazy(__name__, _PUBLIC, before=require_torch)
