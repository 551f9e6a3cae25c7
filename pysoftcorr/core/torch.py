"""Tensors, their types and devices, and derivatives of derivatives."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from pysoftcorr.core.options import shown

if TYPE_CHECKING:
    import torch

#: Terms that are added at a time; a sum of so many sums is not split, either.
_AT_ONCE = 4096

__all__ = [
    "as_tensor", "check_device", "check_dtype", "differentiated", "once", "one_thread",
    "one_thread_in_forks", "ordered_sum", "spread", "steady",
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


_lock = threading.Lock()
#: Calls of `one_thread` that have set the number of threads, and what it was before the first.
_held, _before = 0, 1


@contextmanager
def one_thread() -> Iterator[None]:
    """Have torch compute in one thread within the block.

    A product of small matrices is split among threads along what it sums over, so that its last
    bits would be others for another number of them. Blocks may lie within each other, and overlap
    in several threads of Python.
    """
    import torch

    global _held, _before
    if torch.get_num_threads() == 1:
        yield
        return
    with _lock:
        if not _held:
            _before = torch.get_num_threads()
        _held += 1
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _lock:
            _held -= 1
            torch.set_num_threads(_before)


def steady(
    function: Callable[..., Sequence[torch.Tensor]], *inputs: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    """Tensors that a function makes, and later their derivatives, each within `one_thread`.

    Transforms of `torch.func` see no node of autograd: within them derivatives are plain ones.

    Parameters
    ----------
    function : callable
        Of `inputs` alone; what else it knows gets no gradients.
    *inputs : Tensor

    Examples
    --------
    >>> import torch
    >>> from pysoftcorr.core.torch import steady
    >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> (y,) = steady(lambda x: [x @ x], x)
    >>> y.backward()
    >>> x.grad.tolist()
    [2.0, 4.0]
    """
    import torch

    differentiable = torch.is_grad_enabled() and any(t.requires_grad for t in inputs)
    transformed = torch._C._are_functorch_transforms_active()
    if differentiable and not transformed and torch.get_num_threads() > 1:
        made: tuple[torch.Tensor, ...] = _steady().apply(function, *inputs)
        return made
    with one_thread():
        return tuple(function(*inputs))


@cache
def _steady() -> Any:
    import torch

    class Steady(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, function: Any, *inputs: Any) -> Any:
            ctx.function = function
            ctx.set_materialize_grads(False)
            ctx.save_for_backward(*inputs)
            with one_thread(), torch.enable_grad():
                # Apart from the graph around this node: a graph of its own, kept for `backward`.
                ctx.inner = [t.detach().requires_grad_(t.requires_grad) for t in inputs]
                ctx.made = tuple(function(*ctx.inner))
            return tuple(t.detach() for t in ctx.made)

        @staticmethod
        def backward(ctx: Any, *cotangents: Any) -> Any:
            again = torch.is_grad_enabled()  # shall be differentiated itself
            inputs = ctx.saved_tensors if again else ctx.inner
            with one_thread(), torch.enable_grad():
                made = ctx.function(*inputs) if again else ctx.made
                every = zip(made, cotangents, strict=True)
                # What nothing follows from is not asked: 0 times an infinite slope is NaN.
                pairs = [(m, c) for m, c in every if c is not None and m.requires_grad]
                wanted = [t for t in inputs if t.requires_grad]
                found = iter(
                    torch.autograd.grad(
                        [m for m, _ in pairs], wanted, [c for _, c in pairs],
                        create_graph=again, retain_graph=True, allow_unused=True,
                    )
                )  # fmt: skip
            return None, *(next(found) if t.requires_grad else None for t in inputs)

    return Steady


def spread(value: torch.Tensor, number: int) -> torch.Tensor:
    """One value many times, (number,), whose gradient is an `ordered_sum`."""
    made: torch.Tensor = _spread().apply(value, number)
    return made


@cache
def _spread() -> Any:
    import torch

    class Spread(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, value: Any, number: int) -> Any:
            return value.expand(number)

        @staticmethod
        def backward(ctx: Any, cotangent: Any) -> Any:
            return ordered_sum(cotangent), None

    return Spread


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
