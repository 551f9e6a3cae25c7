"""What the options of a call must be, and the errors that name them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

__all__ = ["at_least_one", "choice", "device", "flag", "positive"]


def choice(name: str, value: Any, among: dict[str, int]) -> str:
    """`value` if it is one of the names; ValueError or TypeError otherwise."""
    if not isinstance(value, str):
        raise TypeError(f"{name} = {value!r}: must be text, one of {', '.join(among)}")
    if value not in among:
        raise ValueError(f"{name} = {value!r}: must be one of {', '.join(among)}")
    return value


def flag(name: str, value: Any) -> bool:
    """`value` if it is a bool."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} = {value!r}: must be True or False")
    return bool(value)


def positive(name: str, value: Any) -> float:
    """`value` as a positive finite float."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
        raise TypeError(f"{name} = {value!r}: must be a number")
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} = {value}: must be finite and above 0")
    return float(value)


def at_least_one(name: str, value: Any) -> int:
    """`value` as a whole number of 1 or more."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} = {value!r}: must be a whole number")
    if value < 1:
        raise ValueError(f"{name} = {value}: must be at least 1")
    return int(value)


def device(value: Any) -> Any:
    """A torch device that is there; ValueError otherwise."""
    import torch

    try:
        found = torch.device(value)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(
            f"device = {str(value)!r}: torch cannot use it ({reason}); 'cpu' is always there"
        ) from None
    return found
