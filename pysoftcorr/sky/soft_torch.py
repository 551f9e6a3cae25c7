"""Soft correlation functions as nodes of torch graphs, differentiable twice.

Four functions of the objects y, a cotangent c of xi and changes t of the objects: xi(y), its
gradient J(y)' c, its derivative J(y) t, and H(y, c) t with the Hessian H of c . xi. Each derivative
of one is another of them, up to the third.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd import Function

from pysoftcorr.sky.soft_nodes import NO_THIRD, Nodes, StatisticNodes

__all__ = ["xi"]

Tensors = tuple[torch.Tensor, ...]
AnyNodes = Nodes | StatisticNodes


def xi(nodes: AnyNodes, *given: Any) -> torch.Tensor:
    """The value of `nodes` at tensors, one for each of its fields."""
    for name, tensor in zip(nodes.fields, given, strict=True):
        if not isinstance(tensor, torch.Tensor):
            raise TypeError(f"{name} must be a torch tensor, not {type(tensor).__name__}")
        if not tensor.is_floating_point():
            raise TypeError(f"{name} must be a floating tensor, got {tensor.dtype}")
        if tensor.ndim != 1:
            raise ValueError(
                f"{name} has shape {tuple(tensor.shape)}: must be (N,); for a batch of catalogs "
                "use torch.func.vmap"
            )
    result: torch.Tensor = _Value.apply(nodes, *given)
    return result


def _array(tensor: torch.Tensor) -> Any:
    try:
        # Cloned, since the zeros of forward mode have no memory of their own.
        return tensor.detach().clone().to("cpu", torch.float64).numpy()
    except RuntimeError as error:
        # The batches of torch.autograd, older than those of torch.func, know no custom function.
        raise RuntimeError(
            "torch: these tensors have no numbers to work on; for is_grads_batched, "
            "vectorize=True and the like use torch.func (vmap, jacrev, jacfwd, hessian)"
        ) from error


def _arrays(tensors: Any) -> list[Any]:
    return [_array(t) for t in tensors]


def _of_bins(values: Any, objects: Any) -> torch.Tensor:
    """Numbers by bin, on the device and of the widest dtype of the objects."""
    dtype = objects[0].dtype
    for tensor in objects[1:]:
        dtype = torch.promote_types(dtype, tensor.dtype)
    return torch.from_numpy(values).to(objects[0].device, dtype)


def _of_objects(rows: Any, objects: Any) -> Tensors:
    """Numbers by object, each as its own quantity is."""
    return tuple(
        torch.from_numpy(row).to(t.device, t.dtype) for row, t in zip(rows, objects, strict=True)
    )


def _filled(tangents: Any, like: Any) -> Tensors:
    """Zeros for what does not change."""
    return tuple(
        torch.zeros_like(t) if d is None else d for d, t in zip(tangents, like, strict=True)
    )


def _halves(tensors: Any) -> tuple[Any, Any]:
    """Changes of the objects, and the objects."""
    k = len(tensors) // 2
    return tensors[:k], tensors[k:]


class _Node(Function):
    """Tensors are kept for both modes; a batch is done one after the other."""

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.nodes, *tensors = inputs
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)

    @classmethod
    def _each(cls, info: Any, in_dims: Any, args: Any) -> tuple[Any, Any]:
        rows = [
            cls.apply(
                *(a if d is None else a.select(d, i) for a, d in zip(args, in_dims, strict=True))
            )
            for i in range(info.batch_size)
        ]
        if isinstance(rows[0], tuple):
            return tuple(torch.stack(column) for column in zip(*rows, strict=True)), (0,) * len(
                rows[0]
            )
        return torch.stack(rows), 0


class _Value(_Node):
    """xi(y)."""

    @staticmethod
    def forward(nodes: AnyNodes, *objects: torch.Tensor) -> torch.Tensor:
        return _of_bins(nodes.value(_arrays(objects)), objects)

    @staticmethod
    def backward(ctx: Any, cotangent: torch.Tensor) -> Any:
        wanted = ctx.needs_input_grad[1:]
        rows = _Gradient.apply(ctx.nodes.wanting(wanted), cotangent, *ctx.saved_tensors)
        return None, *(row if needed else None for row, needed in zip(rows, wanted, strict=True))

    @staticmethod
    def jvp(ctx: Any, _: None, *tangents: Any) -> torch.Tensor:
        objects = ctx.saved_tensors
        out: torch.Tensor = _Along.apply(ctx.nodes, *_filled(tangents, objects), *objects)
        return out

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> tuple[Any, Any]:
        return _Value._each(info, in_dims, args)


class _Gradient(_Node):
    """J(y)' c."""

    @staticmethod
    def forward(nodes: AnyNodes, cotangent: torch.Tensor, *objects: torch.Tensor) -> Tensors:
        rows = nodes.pull(_array(cotangent), _arrays(objects))
        return _of_objects(rows, objects)

    @staticmethod
    def backward(ctx: Any, *changes: torch.Tensor) -> Any:
        cotangent, *objects = ctx.saved_tensors
        by_cotangent = None
        if ctx.needs_input_grad[1]:
            by_cotangent = _Along.apply(ctx.nodes, *changes, *objects).to(cotangent)
        rows: Any = [None] * len(objects)
        wanted = ctx.needs_input_grad[2:]
        if any(wanted):
            rows = _Second.apply(ctx.nodes, cotangent, *changes, *objects)
        return (
            None,
            by_cotangent,
            *(row if needed else None for row, needed in zip(rows, wanted, strict=True)),
        )

    @staticmethod
    def jvp(ctx: Any, _: None, turn: Any, *tangents: Any) -> Tensors:
        cotangent, *objects = ctx.saved_tensors
        bent = _Second.apply(ctx.nodes, cotangent, *_filled(tangents, objects), *objects)
        if turn is None:
            return tuple(bent)
        turned = _Gradient.apply(ctx.nodes, turn, *objects)
        return tuple(a + b for a, b in zip(bent, turned, strict=True))

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> tuple[Any, Any]:
        return _Gradient._each(info, in_dims, args)


class _Along(_Node):
    """J(y) t."""

    @staticmethod
    def forward(nodes: AnyNodes, *tensors: torch.Tensor) -> torch.Tensor:
        tangents, objects = _halves(tensors)
        return _of_bins(nodes.push(_arrays(tangents), _arrays(objects)), objects)

    @staticmethod
    def backward(ctx: Any, cotangent: torch.Tensor) -> Any:
        tangents, objects = _halves(ctx.saved_tensors)
        k = len(objects)
        rows: list[Any] = [None] * (2 * k)
        if any(ctx.needs_input_grad[1 : 1 + k]):
            rows[:k] = _Gradient.apply(ctx.nodes, cotangent, *objects)
        if any(ctx.needs_input_grad[1 + k :]):
            rows[k:] = _Second.apply(ctx.nodes, cotangent, *tangents, *objects)
        wanted = ctx.needs_input_grad[1:]
        return None, *(row if needed else None for row, needed in zip(rows, wanted, strict=True))

    @staticmethod
    def jvp(ctx: Any, _: None, *changes: Any) -> torch.Tensor:
        tangents, objects = _halves(ctx.saved_tensors)
        turned, moved = _halves(changes)
        turns, moves = _filled(turned, objects), _filled(moved, objects)
        along = _Along.apply(ctx.nodes, *turns, *objects)
        out: torch.Tensor = along + _Bend.apply(ctx.nodes, *tangents, *moves, *objects)
        return out

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> tuple[Any, Any]:
        return _Along._each(info, in_dims, args)


class _Last(_Node):
    """A node that has no derivative of its own, and says so."""

    @staticmethod
    def backward(ctx: Any, *cotangents: torch.Tensor) -> Any:
        raise RuntimeError(NO_THIRD)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        raise RuntimeError(NO_THIRD)


class _Second(_Last):
    """H(y, c) t."""

    @staticmethod
    def forward(nodes: AnyNodes, cotangent: torch.Tensor, *tensors: torch.Tensor) -> Tensors:
        tangents, objects = _halves(tensors)
        rows = nodes.second(_array(cotangent), _arrays(tangents), _arrays(objects))
        return _of_objects(rows, objects)

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> tuple[Any, Any]:
        return _Second._each(info, in_dims, args)


class _Bend(_Last):
    """t' H_b(y) s of each bin b."""

    @staticmethod
    def forward(nodes: AnyNodes, *tensors: torch.Tensor) -> torch.Tensor:
        k = len(tensors) // 3
        one, other, objects = tensors[:k], tensors[k : 2 * k], tensors[2 * k :]
        return _of_bins(nodes.bend(_arrays(one), _arrays(other), _arrays(objects)), objects)

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> tuple[Any, Any]:
        return _Bend._each(info, in_dims, args)
