"""Predictions from the moments of a network: over its members, and over passes of dropout."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from pysoftcorr.emulator.network.base import Masks, Network

__all__ = ["PassMoments", "ensemble", "over_passes", "pass_means", "root"]

# Passes whose masks are held at a time: those of the published network take 0.4 MB each.
_MASKS_AT_ONCE = 64
# Beyond this a log-normal's variance would overflow; nothing trained comes near it.
_MOST_LOG_SPREAD = 20.0


def root(x: torch.Tensor) -> torch.Tensor:
    """Square root with a derivative of 0 at 0, where the error of an exact 0 is."""
    positive = x > 0
    return torch.where(positive, torch.where(positive, x, 1.0).sqrt(), 0.0)


def physical(mean: torch.Tensor, variance: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and variance of xi, omega, eta from those of log xi, omega, eta, (..., 3, bins).

    xi is log-normal: its mean is exp(m + s2/2), its variance (exp(s2) - 1) exp(2m + s2).
    """
    m, s2 = mean[..., :1, :], variance[..., :1, :].clamp(max=_MOST_LOG_SPREAD)
    xi = torch.exp(m + 0.5 * s2)
    return (
        torch.cat([xi, mean[..., 1:, :]], dim=-2),
        torch.cat([torch.expm1(s2) * xi * xi, variance[..., 1:, :]], dim=-2),
    )


def ensemble(network: Network, params: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and aleatoric variance with dropout off, averaged over members.

    Parameters
    ----------
    params : Tensor, shape (n, 7)

    Returns
    -------
    mean, variance : Tensor, shape (n, 3, bins)
    """
    size = max(1, network.rows_at_once // network.members)
    parts = []
    for chunk in params.split(size):
        mean, variance = physical(*network.moments(chunk))
        parts.append((mean.mean(dim=0), variance.mean(dim=0)))
    if len(parts) == 1:
        return parts[0]
    means, variances = zip(*parts, strict=True)
    return torch.cat(means), torch.cat(variances)


@dataclass(frozen=True, eq=False)
class PassMoments:
    """Moments over passes of Monte-Carlo dropout; each of shape (n, 3, bins).

    Attributes
    ----------
    mean : Tensor
        Mean of the passes' means.
    spread : Tensor
        Variance of the passes' means, of passes - 1 degrees of freedom.
    variance : Tensor
        Mean of the passes' variances.
    """

    mean: torch.Tensor
    spread: torch.Tensor
    variance: torch.Tensor


def _groups(network: Network, passes: int, seed: int) -> Iterator[tuple[int, Masks]]:
    """Masks of all the passes, not too many at a time; every group begins with member 0."""
    generator = torch.Generator("cpu").manual_seed(seed % 2**63)
    most = max(1, _MASKS_AT_ONCE // network.members) * network.members
    for start in range(0, passes, most):
        number = min(most, passes - start)
        yield number, network.draw_masks(number, generator)


def over_passes(network: Network, params: torch.Tensor, passes: int, seed: int) -> PassMoments:
    """Moments over passes for points of shape (n, 7); no point depends on the others."""
    done = 0
    mean = spread = variance = torch.zeros((), dtype=params.dtype, device=params.device)
    for number, masks in _groups(network, passes, seed):
        parts = []
        for chunk in params.split(max(1, network.rows_at_once // number)):
            each, inner = physical(*network.moments(chunk, masks))
            middle = each.mean(dim=0)
            parts.append((middle, ((each - middle) ** 2).sum(dim=0), inner.sum(dim=0)))
        here, squares, inners = (torch.cat(p) for p in zip(*parts, strict=True))
        # Moments of two groups together (Chan et al. 1983): no difference of great numbers.
        total = done + number
        shift = here - mean
        mean = mean + shift * (number / total)
        spread = spread + squares + shift * shift * (done * number / total)
        variance = variance + inners
        done = total
    return PassMoments(mean, spread / (passes - 1), variance / passes)


def pass_means(network: Network, params: torch.Tensor, passes: int, seed: int) -> torch.Tensor:
    """Mean of every pass, shape (passes, n, 3, bins)."""
    groups = []
    for number, masks in _groups(network, passes, seed):
        chunks = params.split(max(1, network.rows_at_once // number))
        parts = [physical(*network.moments(chunk, masks))[0] for chunk in chunks]
        groups.append(torch.cat(parts, dim=1))
    return torch.cat(groups)
