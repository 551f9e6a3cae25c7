"""Mean occupation of halos and its log-odds, smooth to the last digit in the parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from pysoftcorr.core.torch import as_tensor, spread
from pysoftcorr.mocks.hod import HOD_PARAMETERS, PARAMETERS, HODModel

__all__ = [
    "check_parameters",
    "log_mean_nsat",
    "log_odds_central",
    "mean_ncen",
    "mean_nsat",
    "nfw_radius",
]

_LN10 = math.log(10.0)


#: Why there are no transforms of `torch.func` here.
HIDDEN = (
    "params: the values must be known, which torch.func hides; use torch.autograd (grad, "
    "functional.jacobian, functional.hessian), and a loop over several points"
)


def check_parameters(params: Any, like: torch.Tensor, *, alignment: bool = False) -> torch.Tensor:
    """The five parameters of the occupation, or all seven, as a tensor of `like`'s kind.

    Seven values are mu_cen and mu_sat before the five. A mapping may hold them by name.

    Raises
    ------
    TypeError
        If they are no numbers, or inside a transform of `torch.func`.
    ValueError
        If there are not five or seven, one is not finite, sigma_logM is not above 0 or a
        strength lies outside [-1, 1].
    """
    names = PARAMETERS if alignment else HOD_PARAMETERS
    if isinstance(params, Mapping):
        missing = [n for n in names if n not in params]
        if missing:
            raise ValueError(f"params has no {', '.join(missing)}")
        values = [as_tensor(n, params[n], like) for n in names]
        params = torch.stack([v.reshape(()).to(like) for v in values])
    tensor = as_tensor("params", params, like).to(like)
    if tensor.ndim != 1 or tensor.numel() not in ((7,) if alignment else (5, 7)):
        wanted = "the seven" if alignment else "the five (or seven)"
        raise ValueError(
            f"params must be {wanted} parameters {', '.join(names)}, not of shape "
            f"{tuple(tensor.shape)}"
        )
    tensor = tensor[-len(names) :]
    try:
        known = tensor.tolist()
    except RuntimeError as error:
        raise TypeError(HIDDEN) from error
    try:
        HODModel(**dict(zip(names, known, strict=True)))  # which checks the values
    except ValueError as error:
        raise ValueError(f"params: {error}") from None
    return tensor


def _spread(params: torch.Tensor, log_mass: torch.Tensor) -> list[torch.Tensor]:
    """Each of the parameters for all halos; gradients of a million are added in one order."""
    return [spread(p, log_mass.numel()).view(log_mass.shape) for p in params]


def log_odds_central(log_mass: torch.Tensor, params: torch.Tensor) -> torch.Tensor:
    """log(p/(1 - p)) of a central galaxy, p = erfc((logMmin - log M)/sigma)/2: never rounded to 0.

    Parameters
    ----------
    log_mass : Tensor, shape (H,)
        log10 of Msun/h.
    params : Tensor, shape (5,)

    Examples
    --------
    >>> import torch
    >>> from pysoftcorr.diffhod.occupation import log_odds_central
    >>> params = torch.tensor([12.0, 0.2, 11.3, 13.2, 1.0], dtype=torch.float64)
    >>> [round(x, 2) for x in log_odds_central(torch.tensor([10.0, 12.0]), params).tolist()]
    [-103.57, 0.0]
    """
    log_min, sigma = _spread(params[:2], log_mass)
    x = (log_mass - log_min) / sigma * math.sqrt(2.0)
    return torch.special.log_ndtr(x) - torch.special.log_ndtr(-x)


def log_mean_nsat(
    log_mass: torch.Tensor, params: torch.Tensor, *, modulate: bool = False
) -> torch.Tensor:
    """ln <Nsat>, -inf (with derivative 0) at and below M0.

    Parameters
    ----------
    log_mass : Tensor, shape (H,)
        log10 of Msun/h.
    params : Tensor, shape (5,)
    modulate : bool
        Whether <Nsat> is multiplied by <Ncen>.
    """
    # 1 - M0/M by expm1 keeps its digits near the cut-off.
    log_min, sigma, log_0, log_1, alpha = _spread(params, log_mass)
    depth = _LN10 * (log_0 - log_mass)
    above = depth < 0
    excess = torch.log(-torch.expm1(torch.where(above, depth, -1.0)))
    value = alpha * (_LN10 * (log_mass - log_1) + excess)
    if modulate:
        value = value + torch.special.log_ndtr((log_mass - log_min) / sigma * math.sqrt(2.0))
    return torch.where(above, value, -torch.inf)


def _masses(mass: Any, params: torch.Tensor) -> torch.Tensor:
    tensor = as_tensor("mass", mass, params).to(params)
    if not bool((tensor > 0).all()):
        raise ValueError("mass must be above 0 (Msun/h)")
    return torch.log10(tensor)


def mean_ncen(mass: Any, params: Any) -> torch.Tensor:
    """Mean number of central galaxies (Zheng et al. 2007), differentiable in `params`.

    Parameters
    ----------
    mass : array_like or Tensor
        Msun/h.
    params : array_like or Tensor, shape (5,) or (7,)

    Raises
    ------
    ValueError
        If a mass is not above 0, or a parameter is out of range.

    Examples
    --------
    >>> from pysoftcorr.diffhod.occupation import mean_ncen
    >>> mean_ncen([1e11, 1e12, 1e13], [12, 0.2, 11.3, 13.2, 1]).numpy().round(4).tolist()
    [0.0, 0.5, 1.0]
    """
    like = params if isinstance(params, torch.Tensor) else torch.zeros(0, dtype=torch.float64)
    t = check_parameters(params, like)
    return torch.sigmoid(log_odds_central(_masses(mass, t), t))


def mean_nsat(mass: Any, params: Any, *, modulate: bool = False) -> torch.Tensor:
    """Mean number of satellites (Zheng et al. 2007), differentiable in `params`.

    Parameters
    ----------
    mass : array_like or Tensor
        Msun/h.
    params : array_like or Tensor, shape (5,) or (7,)
    modulate : bool
        Whether it is multiplied by the mean number of centrals.

    Examples
    --------
    >>> from pysoftcorr.diffhod.occupation import mean_nsat
    >>> mean_nsat([1e11, 1e13, 1e15], [12, 0.2, 11.0, 13.0, 1.0]).numpy().round(4).tolist()
    [0.0, 0.99, 99.99]
    """
    like = params if isinstance(params, torch.Tensor) else torch.zeros(0, dtype=torch.float64)
    t = check_parameters(params, like)
    return torch.exp(log_mean_nsat(_masses(mass, t), t, modulate=modulate))


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
        if torch.is_grad_enabled():
            y, mass = c * _Radius.apply(u, c), _enclosed(torch.log1p(c))
        # m'(y) = y/(1 + y)^2; at the center r rises as the root of u, which has no slope there.
        out = y > 0
        safe = torch.where(out, y, 1.0)
        finite = (1 + safe) ** 2 / safe
        inner = torch.where(out, finite, torch.inf)
        by_u = torch.where(~out & (cotangent == 0), 0.0, cotangent * mass * inner / c)
        rise = torch.where(out, u * finite, 0.0) * c / (1 + c) ** 2
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
        In [0, 1]; differentiable twice in both.

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
    `pysoftcorr.mocks.satellites.nfw_radius`.

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
