"""Tensors, their types and devices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

__all__ = ["as_tensor", "check_device", "check_dtype"]


def check_device(value: Any) -> torch.device:
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


def check_dtype(dtype: Any) -> torch.dtype:
    """float32 or float64, by torch's type or its name; ValueError for others."""
    import torch

    known = {"float32": torch.float32, "float64": torch.float64}
    for name, kind in known.items():
        if isinstance(dtype, (str, torch.dtype)) and dtype in (name, kind):
            return kind
    raise ValueError(f"dtype = {dtype!r}: must be torch.float32 or torch.float64")


def as_tensor(name: str, values: Any, like: torch.Tensor | None = None) -> torch.Tensor:
    """A floating tensor of `values`, of the type and device of `like` if it is none already.

    Raises
    ------
    TypeError
        If they are no real numbers.
    """
    import torch

    if isinstance(values, torch.Tensor):
        if not values.is_floating_point():
            raise TypeError(f"{name} must be a floating tensor, got {values.dtype}")
        return values
    dtype = torch.float64 if like is None else like.dtype
    device = None if like is None else like.device
    try:
        return torch.as_tensor(values, dtype=dtype, device=device)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"{name} must be real numbers, not {type(values).__name__}") from None
