"""Misaligned axes as smooth functions of the alignment strength, at fixed uniform numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from pysoftcorr.core.torch import as_tensor, once, ordered_sum
from pysoftcorr.mocks import alignment

__all__ = ["watson_axes", "watson_cosine"]

# Below this |a| the derivative is taken from its series, above this from its limit.
_SMALL, _LARGE = 2e-5, 1e7


def _slope(t: torch.Tensor, sin2: torch.Tensor, v: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
    """(1 + a^2) dt/da at fixed v, for t and v in [0, 1].

    With F(t) = v the cumulative distribution of |t|, dF/da and dF/dt share every integral, and
    dt/da = (v exp(a (1 - t^2)) - t)/(2 a).
    """
    tiny = torch.finfo(t.dtype).tiny
    log_v = torch.log(v.clamp(min=tiny))
    middle = (a.abs() >= _SMALL) & (a.abs() <= _LARGE)
    safe = torch.where(middle, a, 1.0)
    rise = torch.where(v > 0, torch.exp(torch.where(middle, safe * sin2 + log_v, 0.0)), 0.0)
    between = (rise - t) / (2 * safe) * (1 + safe * safe)
    third = v * (1 - v) * (1 + v) / 3
    series = third + 2 * a * (v * (1 - v**4) / 10 - v * v * third)
    # The ends: t = 1 + ln v/(2 a), and t ~ 1/sqrt(-a).
    up = torch.where(v > 0, -log_v / 2, 0.0)
    down = torch.where(torch.isfinite(a), -t * a / 2, 0.0)
    ends = torch.where(a > 0, up, down)
    return torch.where(middle, between, torch.where(a.abs() < _SMALL, series, ends))


class _Cosine(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: torch.Tensor, mu: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        flat_u = u.detach().to("cpu", torch.float64).numpy().ravel()
        strength = mu.detach().to("cpu", torch.float64).numpy()
        each = strength if strength.ndim == 0 else np.broadcast_to(strength, u.shape).ravel()
        cos, sin = (x.reshape(tuple(u.shape)) for x in alignment.watson_quantile(flat_u, each))
        a = torch.as_tensor(np.asarray(alignment.concentration(strength)))
        t, s = torch.from_numpy(cos), torch.from_numpy(sin)
        v = torch.from_numpy(np.abs(2 * flat_u - 1).reshape(tuple(u.shape)))
        slope = torch.copysign(0.5 * math.pi * _slope(t.abs(), s * s, v, a.expand_as(t)), t)
        ctx.mu_shape = mu.shape
        # At mu = 1 the sine begins as a square root, which has no slope.
        by_sin = torch.where(s > 0, -t / torch.where(s > 0, s, 1.0), 0.0) * slope
        ctx.save_for_backward(slope.to(u), by_sin.to(u), mu)
        return t.to(u), s.to(u)

    @staticmethod
    def backward(ctx: Any, by_cos: torch.Tensor, by_sin: torch.Tensor) -> tuple[None, torch.Tensor]:
        cos_slope, sin_slope, mu = ctx.saved_tensors
        gradient = by_cos * cos_slope + by_sin * sin_slope
        gradient = gradient.sum_to_size(ctx.mu_shape) if ctx.mu_shape else ordered_sum(gradient)
        return None, once("watson_cosine", gradient.to(mu), mu, by_cos, by_sin)


def watson_cosine(u: Any, mu: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosine and sine of the angle to the reference axis, drawn by inverse CDF.

    Parameters
    ----------
    u : array_like or Tensor
        Uniform numbers in (0, 1).
    mu : float or Tensor
        Alignment strength in [-1, 1], one or one for each u.

    Returns
    -------
    cos, sin : Tensor
        Same shape as `u`; differentiable once in `mu`, a second time is refused.

    Raises
    ------
    ValueError
        If a strength is outside [-1, 1].
    TypeError
        If an argument is no number.

    Notes
    -----
    The quantile is that of `pysoftcorr.mocks.alignment.watson_quantile`. By the implicit function
    theorem dt/da = -(dF/da)/(dF/dt) = (v exp(a (1 - t^2)) - t)/(2 a) with v = |2u - 1|, and
    a = tan(pi mu/2). At mu = -1 and 1 cosine and sine begin as square roots of the distance from
    the end: their infinite slopes are given as 0.

    Examples
    --------
    >>> import torch
    >>> from pysoftcorr.diffhod import watson_cosine
    >>> mu = torch.tensor(0.0, dtype=torch.float64, requires_grad=True)
    >>> cos, sin = watson_cosine(torch.tensor([0.1, 0.75], dtype=torch.float64), mu)
    >>> cos.tolist()
    [-0.8, 0.5]
    >>> cos[1].backward()
    >>> round(mu.grad.item(), 6)
    0.19635
    """
    like = next((x for x in (u, mu) if isinstance(x, torch.Tensor)), None)
    numbers = as_tensor("u", u, like)
    strength = as_tensor("mu", mu, numbers).to(numbers.device)
    if not bool(((numbers > 0) & (numbers < 1)).all()):
        raise ValueError("u must lie within 0 and 1, both excluded")
    if not bool((strength.abs() <= 1).all()):
        bad = strength.detach()[~(strength.abs() <= 1)].flatten()[0].item()
        raise ValueError(f"mu = {bad:g}: an alignment strength lies in [-1, 1]")
    cos, sin = _Cosine.apply(numbers, strength)
    return cos, sin


def watson_axes(reference: Any, mu: Any, u1: Any, u2: Any) -> torch.Tensor:
    """Axes about reference axes from two uniform numbers each, differentiable in strength.

    Parameters
    ----------
    reference : array_like or Tensor, shape (N, 3)
        Unit vectors.
    mu : float or Tensor, shape () or (N,)
        Alignment strength in [-1, 1].
    u1, u2 : array_like or Tensor, shape (N,)
        In (0, 1): for the angle to the reference, and about it.

    Returns
    -------
    Tensor, shape (N, 3)
        Unit vectors; differentiable in `mu` and `reference`.

    Raises
    ------
    ValueError
        If shapes do not fit together, or a number is out of range.

    Examples
    --------
    >>> from pysoftcorr.diffhod import watson_axes
    >>> watson_axes([[0.0, 0.6, 0.8]], 1.0, [0.7], [0.2]).tolist()
    [[0.0, 0.6, 0.8]]
    """
    like = next((x for x in (reference, u1, u2, mu) if isinstance(x, torch.Tensor)), None)
    n = as_tensor("reference", reference, like)
    if n.ndim != 2 or n.shape[1] != 3:
        raise ValueError(f"reference must have shape (N, 3), not {tuple(n.shape)}")
    first, second = as_tensor("u1", u1, n), as_tensor("u2", u2, n)
    for name, values in (("u1", first), ("u2", second)):
        if values.shape != n.shape[:1]:
            raise ValueError(
                f"{name} must have shape ({len(n)},) as the axes have, not {tuple(values.shape)}"
            )
    cos, sin = watson_cosine(first, mu)
    x, y, z = n.unbind(1)
    # Two axes square to n, without a case that loses digits (Duff et al. 2017, JCGT 6, 1).
    sign = torch.where(torch.signbit(z.detach()), -1.0, 1.0).to(n)
    b = -1.0 / (sign + z)
    c = x * y * b
    phi = 2 * math.pi * second
    p, q = sin * torch.cos(phi), sin * torch.sin(phi)
    return torch.stack(
        [
            cos * x + p * (1 + sign * x * x * b) + q * c,
            cos * y + p * sign * c + q * (sign + y * y * b),
            cos * z - p * sign * x - q * y,
        ],
        dim=1,
    )
