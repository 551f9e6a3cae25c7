"""The soft-binned correlation function as a node of a torch graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pysoftcorr.sky.catalog import Catalog

try:
    import torch
    from torch.autograd.function import once_differentiable
except ImportError as error:  # pragma: no cover - depends on what is installed
    raise ImportError(
        "SoftCorrelation.torch needs torch; install it with: pip install 'pysoftcorr[torch]'"
    ) from error

if TYPE_CHECKING:
    from pysoftcorr.sky.differentiable import SoftEstimator

__all__ = ["soft_correlation"]


class _SoftCorrelation(torch.autograd.Function):
    """xi of the Julia kernels forward, their vector-Jacobian product backward."""

    @staticmethod
    def forward(ctx: Any, estimator: SoftEstimator, *inputs: torch.Tensor) -> torch.Tensor:
        ra, dec, g1, g2, w = (t.detach().to("cpu", torch.float64).numpy() for t in inputs)
        catalog = Catalog(ra=ra, dec=dec, g1=g1, g2=g2, w=w)
        estimator._begin()
        ctx.estimator, ctx.solution = estimator, estimator._solve(catalog)
        ctx.like = [(t.dtype, t.device) for t in inputs]
        value = estimator._value(ctx.solution)
        dtype = inputs[0].dtype
        for tensor in inputs[1:]:
            dtype = torch.promote_types(dtype, tensor.dtype)
        return torch.from_numpy(value).to(inputs[0].device, dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, cotangent: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        given = cotangent.detach().to("cpu", torch.float64).numpy()
        _, rows = ctx.estimator._pull(ctx.solution, np.array(given)[None, :])
        out: list[torch.Tensor | None] = [None]
        wanted = ctx.needs_input_grad[1:]
        for needed, row, (dtype, device) in zip(wanted, rows.values(), ctx.like, strict=True):
            out.append(torch.from_numpy(row[0]).to(device, dtype) if needed else None)
        return tuple(out)


def soft_correlation(
    estimator: SoftEstimator,
    ra: torch.Tensor,
    dec: torch.Tensor,
    g1: torch.Tensor,
    g2: torch.Tensor,
    w: torch.Tensor | None,
) -> torch.Tensor:
    """See :meth:`pysoftcorr.sky.differentiable.SoftCorrelation.torch`."""
    if isinstance(ra, torch.Tensor) and w is None:
        w = torch.ones_like(ra)
    for name, tensor in (("ra", ra), ("dec", dec), ("g1", g1), ("g2", g2), ("w", w)):
        if not isinstance(tensor, torch.Tensor):
            raise TypeError(f"{name} must be a torch tensor, not {type(tensor).__name__}")
        if not tensor.is_floating_point():
            raise TypeError(f"{name} must be a floating tensor, got {tensor.dtype}")
    result: torch.Tensor = _SoftCorrelation.apply(estimator, ra, dec, g1, g2, w)
    return result
