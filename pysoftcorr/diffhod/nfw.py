"""Radii of satellites as smooth functions of uniform numbers and concentrations."""

from __future__ import annotations

from typing import Any

from pysoftcorr.diffhod._torch import as_tensor, torch

__all__ = ["nfw_radius"]


def _enclosed(t: torch.Tensor) -> torch.Tensor:
    """t - 1 + e^-t, by its series where the terms cancel."""
    small = t.clamp(max=0.5)
    series = torch.zeros_like(t)
    for k in range(15, 2, -1):  # t^2/2 (1 - t/3 (1 - t/4 (1 - ...)))
        series = (1 - series) * small / k
    series = small * small / 2 * (1 - series)
    return torch.where(t < 0.5, series, t + torch.expm1(-t))


class _Radius(torch.autograd.Function):
    """y/c with m(y) = u m(c); the derivative by the implicit function theorem."""

    @staticmethod
    def forward(ctx: Any, u: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        mass = _enclosed(torch.log1p(c))
        m = u * mass
        # t = ln(1 + y) = -ln(-W) with W = W0(-exp(-1 - m)) solves t - 1 + e^-t = m. The left
        # side is convex: Newton's method cannot fail, and the series is a good start.
        root = torch.sqrt(2 * m)
        t = torch.minimum(root * (1 + root * (1 / 6 + root / 36)), m + 1)
        positive = m > 0
        for _ in range(5):
            slope = torch.where(positive, -torch.expm1(-t), 1.0)
            t = t - (_enclosed(t) - m) / slope
        y = torch.where(positive, torch.expm1(t), 0.0)
        ctx.save_for_backward(u, c, y, mass)
        return (y / c).clamp(max=1.0)

    @staticmethod
    def backward(ctx: Any, cotangent: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        u, c, y, mass = ctx.saved_tensors
        # m'(y) = y/(1 + y)^2; at the centre r rises as the root of u, which has no slope there.
        inner = torch.where(y > 0, (1 + y) ** 2 / y, torch.inf)
        by_u = torch.where(cotangent == 0, 0.0, cotangent * mass * inner / c)
        rise = torch.where(y > 0, u * inner, 0.0) * c / (1 + c) ** 2
        by_c = cotangent * (rise - y / c) / c
        return by_u, by_c


def nfw_radius(u: Any, concentration: Any) -> torch.Tensor:
    """r/Rvir within which a part `u` of the mass of an NFW halo lies: the exact inverse CDF.

    Parameters
    ----------
    u : array_like or Tensor
        In [0, 1].
    concentration : array_like or Tensor
        Above 0; broadcast against `u`.

    Returns
    -------
    Tensor
        In [0, 1]; differentiable once in both.

    Raises
    ------
    ValueError
        If a number is out of range.
    TypeError
        If an argument is no number.

    Notes
    -----
    y = -1 - 1/W0(-exp(-1 - u m(c))) with Lambert's W, m(c) = ln(1 + c) - c/(1 + c), y = c r/Rvir;
    solved in t = -ln(-W0), where nothing cancels. dy/dc = u m'(c)/m'(y). The twin in numpy is
    `pysoftcorr.mocks.draw.nfw_radius`.

    Examples
    --------
    >>> import torch
    >>> from pysoftcorr.diffhod import nfw_radius
    >>> c = torch.tensor(7.0, dtype=torch.float64, requires_grad=True)
    >>> r = nfw_radius(torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64), c)
    >>> [round(x, 6) for x in r.tolist()]
    [0.0, 0.402998, 1.0]
    >>> r[1].backward()
    >>> round(c.grad.item(), 5)
    -0.01714
    """
    like = next((x for x in (u, concentration) if isinstance(x, torch.Tensor)), None)
    a, c = as_tensor("u", u, like), as_tensor("concentration", concentration, like)
    for name, good in (
        ("u", (a >= 0) & (a <= 1)),
        ("concentration", (c > 0) & torch.isfinite(c)),
    ):
        if not bool(good.all()):
            values = (a if name == "u" else c).detach()[~good]
            wanted = "lie in [0, 1]" if name == "u" else "be above 0 and finite"
            raise ValueError(f"{name} must {wanted}; it is {values.flatten()[0].item():g}")
    common = torch.promote_types(a.dtype, c.dtype)
    a, c = torch.broadcast_tensors(a.to(common), c.to(a.device, common))
    result: torch.Tensor = _Radius.apply(a, c)
    return result
