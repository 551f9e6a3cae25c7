"""Predicted errors brought into line with the scatter on the validation set.

A network's variances are fitted to the rows it trained on. One number for each statistic, or for
each statistic and bin, multiplies its standard deviations afterward.
"""

from __future__ import annotations

import torch

from pysoftcorr.core.options import choice
from pysoftcorr.emulator.evaluation import log_sd_bias
from pysoftcorr.emulator.network.base import Network
from pysoftcorr.emulator.network.scaling import ResponseScaling
from pysoftcorr.emulator.training.tasks import Targets

__all__ = ["BY", "PER", "apply_factors", "sigma_factors"]

Tensor = torch.Tensor

BY = ("coverage", "likelihood", "scatter", "none")
PER = ("bin", "statistic")
#: Part of a normal distribution within one standard deviation.
_ONE_SIGMA = 0.6826894921370859


def sigma_factors(
    network: Network, validation: Targets, *, by: str = "coverage", per: str = "bin"
) -> Tensor:
    """Factors that bring the predicted standard deviations into line, shape (3, b).

    Parameters
    ----------
    network : Network
    validation : Targets
    by : {"coverage", "likelihood", "scatter", "none"}
        So that 68.3 % of the drawn realizations are within one sigma of the mean; that the
        likelihood is highest; that the mean of log10(sigma_pred/sigma_emp) is 0; or 1 throughout.
    per : {"bin", "statistic"}
        A factor for each bin of a statistic, or one for all of its bins.

    Raises
    ------
    ValueError
        If `by` or `per` is none of these.
    """
    choice("calibrate", by, BY)
    choice("calibrate_per", per, PER)
    drawn = validation.drawn.double()
    if by == "none":
        return torch.ones(drawn.shape[2:], dtype=torch.float64)
    network.eval()
    with torch.no_grad():
        parts = [network.moments(p) for p in validation.params.split(network.rows_at_once)]
    mean = torch.cat([m.double().mean(dim=0) for m, _ in parts])
    sigma = torch.cat([v.double().mean(dim=0) for _, v in parts]).sqrt()
    if by == "scatter":
        ratio = torch.log10(drawn.std(dim=1, correction=1).clamp_min(1e-30) / sigma)
        ratio = ratio - log_sd_bias(drawn.shape[1])
        pooled = ratio.movedim(0, -1) if per == "bin" else ratio.movedim(1, 0).flatten(1)
        factor = 10 ** pooled.mean(dim=-1)
    else:
        z = ((drawn - mean[:, None]) / sigma[:, None]).abs()  # (n, R, 3, b)
        by_bin = z.movedim((2, 3), (0, 1)).flatten(2)
        pooled = by_bin if per == "bin" else by_bin.flatten(1)
        if by == "likelihood":
            factor = pooled.square().mean(dim=-1).sqrt()
        else:
            place = max(0, round(_ONE_SIGMA * pooled.shape[-1]) - 1)
            factor = pooled.sort(dim=-1).values[..., place]
    if per == "statistic":
        factor = factor[:, None].expand(drawn.shape[2:])
    return factor.contiguous()


def apply_factors(network: Network, factors: Tensor) -> None:
    """Multiply the standard deviations of a response network, shape (3, b), for good.

    Raises
    ------
    TypeError
        If the network has no typical variance to multiply.
    """
    if not isinstance(network.scaling, ResponseScaling):
        raise TypeError(f"a network of kind {network.kind!r} cannot be calibrated")
    with torch.no_grad():
        typical = network.scaling.log_variance
        typical += 2 * factors.log().to(typical.device, typical.dtype)
