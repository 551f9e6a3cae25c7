"""Tensors, their types and devices, and derivatives of derivatives."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from pysoftcorr.core.options import shown

if TYPE_CHECKING:
    import torch

#: Terms that are added at a time; a sum of so many sums is not split, either.
_AT_ONCE = 4096

__all__ = [
    "as_tensor", "check_device", "check_dtype", "differentiated", "once", "one_thread_in_forks",
    "ordered_sum",
]  # fmt: skip


@cache
def one_thread_in_forks() -> None:
    """Have torch compute in one thread in processes that are forked from this one.

    Its other threads are not there in a forked process, and would be waited for without end;
    torch's own DataLoader does as much for its workers.
    """
    import torch

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


def ordered_sum(values: torch.Tensor, dim: int | None = None) -> torch.Tensor:
    """Sum of all values, or along the last axis, whose last bits no number of threads changes.

    Torch splits a long sum among its threads, one of several sums not. Differentiable.
    """
    flat = values.reshape(1, -1) if dim is None else values
    assert dim in (None, -1)
    rest = -flat.shape[-1] % _AT_ONCE
    parts = flat if rest == 0 else _padded(flat, rest)
    found = parts.reshape(*flat.shape[:-1], -1, _AT_ONCE).sum(dim=-1).sum(dim=-1)
    return found[0] if dim is None else found


def _padded(flat: torch.Tensor, rest: int) -> torch.Tensor:
    import torch

    return torch.nn.functional.pad(flat, (0, rest))


def check_device(value: Any) -> torch.device:
    """A torch device that is there; ValueError otherwise."""
    import torch

    try:
        found = torch.device(value)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError, TypeError, ValueError, OverflowError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(
            f"device = {shown(value)}: torch cannot use it ({reason}); 'cpu' is always there"
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
            raise TypeError(f"{name} must be a floating tensor, not one of {values.dtype}")
        return values
    dtype = torch.float64 if like is None else like.dtype
    device = None if like is None else like.device
    try:
        # Torch takes no arrays of another byte order, nor steps backwards through memory.
        given = np.asarray(values)
        if given.dtype.kind in "biuf":
            values = np.array(given, dtype=np.float64, order="C")
        elif given.dtype.kind != "O":
            raise TypeError
        return torch.as_tensor(values, dtype=dtype, device=device)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise TypeError(
            f"{name} = {shown(values)}: must be real numbers, not {type(values).__name__}"
        ) from None


def differentiated(
    plain: Callable[..., torch.Tensor], inputs: Sequence[torch.Tensor], cotangent: torch.Tensor
) -> tuple[torch.Tensor | None, ...]:
    """Gradients of `plain` as a graph, for a backward pass that shall be differentiated itself.

    Parameters
    ----------
    plain : callable
        What the node computes, in operations that torch can differentiate.
    inputs : sequence of Tensor
        As saved by the node; those that need no gradient get None.
    cotangent : Tensor
    """
    import torch

    wanted = [t for t in inputs if t.requires_grad]
    with torch.enable_grad():
        found = iter(torch.autograd.grad(plain(*inputs), wanted, cotangent, create_graph=True))
    return tuple(next(found) if t.requires_grad else None for t in inputs)


def once(what: str, gradient: torch.Tensor, *of: torch.Tensor) -> torch.Tensor:
    """A gradient that a node has worked out without a graph; to differentiate it is an error.

    Without this, what does not depend on anything for torch has second derivatives of 0.

    Parameters
    ----------
    what : str
        Name of the node, for the message.
    gradient : Tensor
    *of : Tensor
        What it depends on: the inputs and the cotangents.

    Examples
    --------
    >>> import torch
    >>> from pysoftcorr.core.torch import once
    >>> x = torch.ones(2, requires_grad=True)
    >>> once("the node", 2 * x.detach(), x).sum().backward()
    Traceback (most recent call last):
        ...
    RuntimeError: the node: second derivatives are not given; differentiate it once, without \
create_graph=True, or detach its gradient
    """
    import torch

    if not (torch.is_grad_enabled() and any(t.requires_grad for t in of)):
        return gradient
    result: torch.Tensor = _once().apply(what, gradient, *of)
    return result


@cache
def _once() -> Any:
    import torch

    class Once(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, what: str, gradient: torch.Tensor, *of: torch.Tensor) -> Any:
            ctx.what = what
            return gradient.clone()

        @staticmethod
        def backward(ctx: Any, *cotangents: torch.Tensor) -> Any:
            raise RuntimeError(
                f"{ctx.what}: second derivatives are not given; differentiate it once, without "
                "create_graph=True, or detach its gradient"
            )

    return Once
