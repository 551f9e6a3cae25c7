"""PyTorch and Pyro, imported where they are needed."""

from __future__ import annotations

import importlib
import warnings
from typing import Any


def torch_module() -> Any:
    """The module torch; ImportError that says how to get it."""
    return _module("torch")


def pyro_module() -> Any:
    """The module pyro.infer; ImportError that says how to get it."""
    return _module("pyro.infer")


def arviz_module() -> Any:
    """The module arviz; ImportError that says how to get it."""
    return _module("arviz")


def _module(name: str) -> Any:
    try:
        with warnings.catch_warnings():
            # Announcements of coming versions, at every import.
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        if error.name is not None and error.name.partition(".")[0] != package:
            raise
        raise ImportError(
            f"posteriors need {package}, which is not installed: pip install 'pysoftcorr[torch]'"
        ) from None
