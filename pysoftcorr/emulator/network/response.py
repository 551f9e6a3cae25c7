"""A lean ensemble that learns how omega and eta respond to alignment, not their values.

At given positions omega = a_c A + a_s B and eta = a_c^2 C + a_c a_s D + a_s^2 E exactly, where
a_c and a_s are the order parameters of centrals and satellites, and A to E depend on the HOD
alone. The network gives log xi and A to E; the rest is closed form.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F
from torch import nn

from pysoftcorr.core import options
from pysoftcorr.emulator.network.base import Masks, Network, bernoulli
from pysoftcorr.emulator.network.scaling import RESPONSES, STATISTICS, ResponseScaling, Scaling
from pysoftcorr.mocks.hod import COSMOLOGY, PARAMETERS, WITH_COSMOLOGY
from pysoftcorr.mocks.strengths import order_parameter

__all__ = ["ResponseNetwork", "polynomial"]

_HOD = len(PARAMETERS) - 2
#: Terms of first and second order in the parameters of the cosmology.
_POLYNOMIAL = len(COSMOLOGY) * (len(COSMOLOGY) + 3) // 2
# Far from the training data the logarithm of a variance goes no further than this from typical.
_MOST_LOG_VARIANCE = 20.0


def polynomial(x: torch.Tensor) -> torch.Tensor:
    """Terms of first and second order of standardized parameters (..., 3), shape (..., 9)."""
    first, second = torch.triu_indices(x.shape[-1], x.shape[-1])
    return torch.cat([x, x[..., first] * x[..., second]], dim=-1)


class _Perceptrons(nn.Module):
    """One multilayer perceptron for each member, all in one pass of batched products."""

    def __init__(
        self, members: int, inputs: int, width: int, depth: int, outputs: int, drop: float
    ) -> None:
        super().__init__()
        self.members, self.width, self.drop = members, width, drop
        sizes = [inputs, *[width] * depth, outputs]
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for k, (i, o) in enumerate(pairwise(sizes)):
            weight, bias = torch.empty(members, i, o), torch.zeros(members, 1, o)
            # SiLU halves what goes in; the last layer begins near the mean of the targets.
            gain = 0.3 if k == depth else math.sqrt(2.0)
            nn.init.normal_(weight, std=gain / math.sqrt(i))
            if k == 0:
                nn.init.uniform_(bias, -1.0, 1.0)
            self.weights.append(weight)
            self.biases.append(bias)

    def forward(self, x: torch.Tensor, masks: Masks | None = None) -> torch.Tensor:
        """Outputs (members or passes, n, outputs) of inputs (n, inputs) or (members, n, inputs)."""
        weights, biases = list(self.weights), list(self.biases)
        if masks is not None:
            # Passes take the members in turn; to drop a unit is to drop what goes out of it.
            member = torch.arange(len(masks[0]), device=x.device) % self.members
            weights, biases = ([p[member] for p in every] for every in (weights, biases))
            weights[1:] = [w * m[..., None] for w, m in zip(weights[1:], masks, strict=True)]
        if x.dim() == 2:
            x = x.expand(len(weights[0]), *x.shape)
        h = F.silu(torch.baddbmm(biases[0], x, weights[0]))
        for weight, bias in zip(weights[1:-1], biases[1:-1], strict=True):
            h = h + F.silu(torch.baddbmm(bias, self._dropped(h), weight))
        return torch.baddbmm(biases[-1], self._dropped(h), weights[-1])

    @property
    def mask_number(self) -> int:
        """Layers whose input is dropped: all but the first."""
        return len(self.weights) - 1

    def _dropped(self, h: torch.Tensor) -> torch.Tensor:
        return F.dropout(h, self.drop, self.training) if self.training else h

    def draw_masks(self, passes: int, generator: torch.Generator) -> Masks:
        return [
            bernoulli((passes, self.width), self.drop, generator, self.weights[0])
            for _ in range(self.mask_number)
        ]


class ResponseNetwork(Network):
    """An ensemble for log xi and the response functions, and one for the variances.

    Parameters
    ----------
    scaling : ResponseScaling, optional
    bins : int
    members : int
        Networks of the ensemble.
    width, depth : int
        Hidden units and hidden layers of the trunk, which gives the means.
    variance_width, variance_depth : int
        Hidden units and layers of the two networks of variances, that of log xi and that of
        omega and eta.
    dropout : float
    cosmology : bool
        Also of Omega_m, sigma_8 and z: the means are polynomials of second order in them, whose
        coefficients depend on the HOD.
    cosmology_width : int
        Hidden units of the two layers that give the coefficients.

    Notes
    -----
    omega and eta are exactly 0 where both strengths are: no network can get that wrong.
    """

    kind = "response"

    def __init__(
        self,
        scaling: Scaling | None = None,
        *,
        bins: int = 20,
        members: int = 6,
        width: int = 128,
        depth: int = 3,
        variance_width: int = 64,
        variance_depth: int = 2,
        dropout: float = 0.005,
        cosmology: bool = False,
        cosmology_width: int = 48,
    ) -> None:
        super().__init__()
        self.bins = options.integer("bins", bins, least=1, most=1000)
        options.integer("members", members, least=1, most=64)
        drop = options.number("dropout", dropout, least=0, below=1)
        options.flag("cosmology", cosmology)
        for name, value in (
            ("width", width), ("variance_width", variance_width),
            ("cosmology_width", cosmology_width),
        ):  # fmt: skip
            options.integer(name, value, least=1, most=4096)
        for name, value in (("depth", depth), ("variance_depth", variance_depth)):
            options.integer(name, value, least=1, most=32)
        self.config = {
            "bins": bins, "members": members, "width": width, "depth": depth,
            "variance_width": variance_width, "variance_depth": variance_depth, "dropout": drop,
        }  # fmt: skip
        if cosmology:
            self.config |= {"cosmology": True, "cosmology_width": cosmology_width}
        self.cosmology = cosmology
        self.scaling = ResponseScaling.blank(bins, cosmology) if scaling is None else scaling
        self.trunk = _Perceptrons(members, _HOD, width, depth, (1 + RESPONSES) * bins, drop)
        more, parts = (len(COSMOLOGY), 2) if cosmology else (0, 1)
        if cosmology:
            # A universe is one draw: what a few dozen of them say of a smooth dependence is a
            # polynomial, not a network, which would learn each universe by heart.
            self.slopes = _Perceptrons(
                members, _HOD, cosmology_width, 2, _POLYNOMIAL * (1 + RESPONSES) * bins, drop
            )
        # Where galaxies are does not depend on how they are aligned: nor does xi, to the digit.
        self.variance_xi = _Perceptrons(
            members, _HOD + more, variance_width, variance_depth, parts * bins, drop
        )
        self.variance_axes = _Perceptrons(
            members, _HOD + more + 4, variance_width, variance_depth,
            parts * (STATISTICS - 1) * bins, drop,
        )  # fmt: skip

    @property
    def names(self) -> tuple[str, ...]:
        return WITH_COSMOLOGY if self.cosmology else PARAMETERS

    # ------------------------------------------------------------------ parts, for training
    def responses(self, params: torch.Tensor, masks: Masks | None = None) -> torch.Tensor:
        """Mean of log xi and A, B, C, D, E, in standardized units.

        Parameters
        ----------
        params : Tensor, shape (n, m) or (members, n, m)
            Physical; with a leading axis each member has points of its own.

        Returns
        -------
        Tensor, shape (members or passes, n, 6, bins)
            ``(physical - scaling.target_mean) / scaling.target_std``.
        """
        x = self.scaling.standardized(params)[..., 2:]
        hod, universe = x[..., :_HOD], x[..., _HOD:]
        number = self.trunk.mask_number
        first, second = (None, None) if masks is None else (masks[:number], masks[number:])
        out = self.trunk(hod, first)
        if self.cosmology:
            by = self.slopes(hod, second)
            by = by.reshape(*by.shape[:-1], _POLYNOMIAL, -1)
            out = out + (polynomial(universe).unsqueeze(-2) @ by).squeeze(-2)
        return out.reshape(*out.shape[:-1], 1 + RESPONSES, self.bins)

    def physical(self, responses: torch.Tensor) -> torch.Tensor:
        """`responses` in physical units."""
        scaling = cast(ResponseScaling, self.scaling)
        return responses * scaling.target_std + scaling.target_mean

    def log_variances(self, params: torch.Tensor, masks: Masks | None = None) -> torch.Tensor:
        """Log variance of log xi, omega, eta, physical; shape (members or passes, n, 3, bins).

        Of a network of universes (..., n, 2, 3, bins): that given the halos, of galaxies and their
        axes, and that between universes.
        """
        strengths = params[..., :2]
        hod = self.scaling.standardized(params)[..., 2:]
        x = torch.cat([hod, order_parameter(strengths), strengths], dim=-1)
        number = self.variance_xi.mask_number
        first, second = (None, None) if masks is None else (masks[:number], masks[number:])
        parts = (2,) if self.cosmology else ()
        every = (self.variance_xi(hod, first), self.variance_axes(x, second))
        out = torch.cat(
            [out.reshape(*out.shape[:-1], *parts, -1, self.bins) for out in every], dim=-2
        )
        out = _MOST_LOG_VARIANCE * torch.tanh(out / _MOST_LOG_VARIANCE)
        return out + cast(ResponseScaling, self.scaling).log_variance

    @staticmethod
    def means(params: torch.Tensor, physical: torch.Tensor) -> torch.Tensor:
        """Mean of log xi, omega, eta from the physical responses, (..., n, 6, bins)."""
        a = order_parameter(params[..., :2])
        cen, sat = a[..., 0:1], a[..., 1:2]
        log_xi, one, two, three, four, five = physical.unbind(dim=-2)
        omega = cen * one + sat * two
        eta = cen * (cen * three + sat * four) + sat * sat * five
        return torch.stack([log_xi, omega, eta], dim=-2)

    # ------------------------------------------------------------------ as every network
    def moments(
        self, params: torch.Tensor, masks: Masks | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        number = self.trunk.mask_number + (self.slopes.mask_number if self.cosmology else 0)
        trunk, variances = (None, None) if masks is None else (masks[:number], masks[number:])
        mean = self.means(params, self.physical(self.responses(params, trunk)))
        variance = self.log_variances(params, variances).exp()
        if not self.cosmology:
            return mean, variance
        # What is learned is the log of the mean of xi over galaxies, not the mean of its log.
        log_xi = mean[..., :1, :] - 0.5 * variance[..., 0, :1, :]
        return torch.cat([log_xi, mean[..., 1:, :]], dim=-2), variance.sum(dim=-3)

    def variances(self, params: torch.Tensor) -> torch.Tensor:
        """Variance of log xi, omega, eta, of every kind together; (members, n, 3, bins)."""
        variance = self.log_variances(params).exp()
        return variance.sum(dim=-3) if self.cosmology else variance

    def draw_masks(self, passes: int, generator: torch.Generator) -> Masks:
        parts = (self.trunk, *((self.slopes,) if self.cosmology else ()), self.variance_xi,
                 self.variance_axes)  # fmt: skip
        return [mask for part in parts for mask in part.draw_masks(passes, generator)]

    @property
    def rows_at_once(self) -> int:
        return 32768

    @property
    def members(self) -> int:
        return int(self.config["members"])
