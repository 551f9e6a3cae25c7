"""Mean occupation of haloes and its log-odds, smooth to the last digit in the parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pysoftcorr.diffhod._torch import as_tensor, torch

__all__ = [
    "HOD_PARAMETERS",
    "check_parameters",
    "log_mean_nsat",
    "log_odds_central",
    "mean_ncen",
    "mean_nsat",
]

#: Order of the occupation's parameters.
HOD_PARAMETERS = ("logMmin", "sigma_logM", "logM0", "logM1", "alpha")
_ALIGNMENT = ("mu_cen", "mu_sat")
_LN10 = math.log(10.0)


def check_parameters(theta: Any, like: torch.Tensor, *, alignment: bool = False) -> torch.Tensor:
    """The five parameters of the occupation, or all seven, as a tensor of `like`'s kind.

    Seven values are mu_cen and mu_sat before the five. A mapping may hold them by name.

    Raises
    ------
    TypeError
        If they are no numbers.
    ValueError
        If there are not five or seven, one is not finite, sigma_logM is not above 0 or a
        strength lies outside [-1, 1].
    """
    names = (*_ALIGNMENT, *HOD_PARAMETERS) if alignment else HOD_PARAMETERS
    if isinstance(theta, Mapping):
        missing = [n for n in names if n not in theta]
        if missing:
            raise ValueError(f"theta has no {', '.join(missing)}")
        values = [as_tensor(n, theta[n], like) for n in names]
        theta = torch.stack([v.reshape(()).to(like) for v in values])
    tensor = as_tensor("theta", theta, like).to(like)
    if tensor.ndim != 1 or tensor.numel() not in ((7,) if alignment else (5, 7)):
        wanted = "the seven" if alignment else "the five (or seven)"
        raise ValueError(
            f"theta must be {wanted} parameters {', '.join(names)}, not of shape "
            f"{tuple(tensor.shape)}"
        )
    tensor = tensor[-len(names) :]
    found = dict(zip(names, tensor.tolist(), strict=True))
    bad = [n for n, v in found.items() if not math.isfinite(v)]
    if bad:
        raise ValueError(f"{bad[0]} = {found[bad[0]]}: must be finite")
    if found["sigma_logM"] <= 0:
        raise ValueError(f"sigma_logM = {found['sigma_logM']:g}: must be above 0")
    for name in ("logMmin", "logM0", "logM1"):
        if not -20 <= found[name] <= 20:
            raise ValueError(f"{name} = {found[name]:g}: must be the log10 of a mass in Msun/h")
    for name in _ALIGNMENT:
        if abs(found.get(name, 0.0)) > 1:
            raise ValueError(f"{name} = {found[name]:g}: must lie in [-1, 1]")
    return tensor


def log_odds_central(log_mass: torch.Tensor, theta: torch.Tensor) -> torch.Tensor:
    """log(p/(1 - p)) of a central galaxy, p = erfc((logMmin - log M)/sigma)/2: never rounded to 0.

    Parameters
    ----------
    log_mass : Tensor, shape (H,)
        log10 of Msun/h.
    theta : Tensor, shape (5,)

    Examples
    --------
    >>> import torch
    >>> from pysoftcorr.diffhod.occupation import log_odds_central
    >>> theta = torch.tensor([12.0, 0.2, 11.3, 13.2, 1.0], dtype=torch.float64)
    >>> [round(x, 2) for x in log_odds_central(torch.tensor([10.0, 12.0]), theta).tolist()]
    [-103.57, 0.0]
    """
    x = (log_mass - theta[0]) / theta[1] * math.sqrt(2.0)
    return torch.special.log_ndtr(x) - torch.special.log_ndtr(-x)


def log_mean_nsat(
    log_mass: torch.Tensor, theta: torch.Tensor, *, modulate: bool = False
) -> torch.Tensor:
    """ln <Nsat>, -inf (with derivative 0) at and below M0.

    Parameters
    ----------
    log_mass : Tensor, shape (H,)
        log10 of Msun/h.
    theta : Tensor, shape (5,)
    modulate : bool
        Whether <Nsat> is multiplied by <Ncen>.
    """
    # 1 - M0/M by expm1 keeps its digits near the cut-off.
    depth = _LN10 * (theta[2] - log_mass)
    above = depth < 0
    excess = torch.log(-torch.expm1(torch.where(above, depth, -1.0)))
    value = theta[4] * (_LN10 * (log_mass - theta[3]) + excess)
    if modulate:
        value = value + torch.special.log_ndtr((log_mass - theta[0]) / theta[1] * math.sqrt(2.0))
    return torch.where(above, value, -torch.inf)


def _masses(mass: Any, theta: torch.Tensor) -> torch.Tensor:
    tensor = as_tensor("mass", mass, theta).to(theta)
    if not bool((tensor > 0).all()):
        raise ValueError("mass must be above 0 (Msun/h)")
    return torch.log10(tensor)


def mean_ncen(mass: Any, theta: Any) -> torch.Tensor:
    """Mean number of central galaxies (Zheng et al. 2007), differentiable in `theta`.

    Parameters
    ----------
    mass : array_like or Tensor
        Msun/h.
    theta : array_like or Tensor, shape (5,) or (7,)

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
    like = theta if isinstance(theta, torch.Tensor) else torch.zeros(0, dtype=torch.float64)
    t = check_parameters(theta, like)
    return torch.sigmoid(log_odds_central(_masses(mass, t), t))


def mean_nsat(mass: Any, theta: Any, *, modulate: bool = False) -> torch.Tensor:
    """Mean number of satellites (Zheng et al. 2007), differentiable in `theta`.

    Parameters
    ----------
    mass : array_like or Tensor
        Msun/h.
    theta : array_like or Tensor, shape (5,) or (7,)
    modulate : bool
        Whether it is multiplied by the mean number of centrals.

    Examples
    --------
    >>> from pysoftcorr.diffhod.occupation import mean_nsat
    >>> mean_nsat([1e11, 1e13, 1e15], [12, 0.2, 11.0, 13.0, 1.0]).numpy().round(4).tolist()
    [0.0, 0.99, 99.99]
    """
    like = theta if isinstance(theta, torch.Tensor) else torch.zeros(0, dtype=torch.float64)
    t = check_parameters(theta, like)
    return torch.exp(log_mean_nsat(_masses(mass, t), t, modulate=modulate))
