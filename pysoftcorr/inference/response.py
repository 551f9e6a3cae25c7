"""Alignments in closed form, where the HOD is fixed: the network is left out of the means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from pysoftcorr.emulator.network.response import order_parameter

__all__ = ["AlignmentResponse", "alignment_response", "responses_of"]

#: Relative to the largest value of a statistic: what rounding may amount to in float64.
_ROUNDING = 1e-11
_STRENGTHS = ("mu_cen", "mu_sat")


def responses_of(means: Any) -> Any:
    """The responses A, B, C, D, E, shape (5, nbins), of omega and eta at (1, 0), (0, 1), (1, 1).

    Parameters
    ----------
    means : dict of str to Tensor, shape (3, nbins)
        "omega" and "eta" at these strengths of centrals and satellites.
    """
    a, b = means["omega"][0], means["omega"][1]
    c, e = means["eta"][0], means["eta"][1]
    return torch.stack([a, b, c, means["eta"][2] - c - e, e])


class AlignmentResponse:
    """omega = a_c A + a_s B and eta = a_c^2 C + a_c a_s D + a_s^2 E, with a of the strengths.

    Parameters
    ----------
    xi : Tensor, shape (nbins,), or None
    responses : Tensor, shape (5, nbins)
    columns : tuple of int
        Those of mu_cen and mu_sat among the parameters.

    Attributes
    ----------
    std : callable or None
        Standard deviations of a statistic at parameters (..., n), where the network that gives
        them is known apart from that of the means.
    """

    def __init__(self, xi: Any, responses: Any, columns: tuple[int, int]) -> None:
        self.xi = xi
        self.std: Callable[[str, Any], Any] | None = None
        self.omega, self.eta = responses[:2], responses[2:]
        self.columns = list(columns)

    def mean(self, name: str, params: Any) -> Any:
        """Mean of a statistic at parameters (..., n), shape (..., nbins)."""
        if name == "xi":
            return self.xi.expand(*params.shape[:-1], -1)
        order = order_parameter(params[..., self.columns])
        if name == "omega":
            return order @ self.omega
        cen, sat = order[..., :1], order[..., 1:]
        return torch.cat([cen * cen, cen * sat, sat * sat], dim=-1) @ self.eta


def alignment_response(
    model: Any, names: tuple[str, ...], base: Any, statistics: tuple[str, ...]
) -> AlignmentResponse | None:
    """The closed form of a model at a fixed HOD; None for one that does not follow it.

    Whether it does is found out, not taken for granted: at 16 strengths besides the three that
    the responses are solved from.

    Parameters
    ----------
    model : CorrelationModel
    names : tuple of str
    base : Tensor, shape (n,)
        All parameters; the strengths in it play no role.
    statistics : tuple of str
        Which means matter.
    """
    if any(name not in names for name in _STRENGTHS):
        return None
    columns = (names.index("mu_cen"), names.index("mu_sat"))
    # Multiples of irrational numbers: spread evenly, and the same every time.
    k = torch.arange(16, dtype=torch.float64)
    tried = torch.stack(
        [2 * ((k * x) % 1) - 1 for x in (0.6180339887498949, 0.7548776662466927)], 1
    )
    strengths = torch.cat([torch.tensor([[1.0, 0], [0, 1], [1, 1]], dtype=torch.float64), tried])
    params = base.repeat(len(strengths), 1)
    params[:, list(columns)] = strengths
    with torch.no_grad():
        found = model.mean_and_std(params)
        means = {name: pair[0].double() for name, pair in found.items()}
        zeros = torch.zeros_like(next(iter(means.values())))
        solved = responses_of({name: means.get(name, zeros)[:3] for name in ("omega", "eta")})
        xi = means["xi"][0] if "xi" in means else None
        closed = AlignmentResponse(xi, solved, columns)
        for name in statistics:
            scale = float(means[name].abs().max())
            differ = float((closed.mean(name, params) - means[name]).abs().max())
            if not differ <= _ROUNDING * scale:  # nor NaN
                return None
        closed.std = _variance_network(model, statistics, params, found)
    return closed


def _variance_network(
    model: Any, statistics: tuple[str, ...], params: Any, found: Any
) -> Callable[[str, Any], Any] | None:
    """Standard deviations by the `ResponseNetwork`'s own part for them; None if they differ."""
    # A `SimulatedModel` has the noise of an emulator.
    network: Any = getattr(getattr(model, "noise", model), "network", None)
    # That of xi, a log-normal's, needs the mean.
    if not hasattr(network, "log_variances") or "xi" in statistics:
        return None
    rows = {"omega": 1, "eta": 2}

    def std(name: str, params: Any) -> Any:
        points = params.reshape(-1, params.shape[-1])
        log_variance = network.log_variances(points)[..., rows[name], :]
        values = log_variance.exp().mean(dim=0).sqrt()
        return values.reshape(*params.shape[:-1], values.shape[-1])

    for name in statistics:
        if not torch.allclose(std(name, params), found[name][1], rtol=1e-10, atol=0):
            return None
    return std
