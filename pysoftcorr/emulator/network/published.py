"""The published network: a shared encoder, a convolutional decoder for each statistic [P25]."""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F
from torch import nn

from pysoftcorr.core import options
from pysoftcorr.emulator.network.base import Masks, Network, bernoulli
from pysoftcorr.emulator.network.scaling import STATISTICS, PublishedScaling, Scaling
from pysoftcorr.mocks.hod import PARAMETERS

__all__ = ["PublishedNetwork"]

_ENCODER = (len(PARAMETERS), 128, 128, 256, 256, 128)
_CHANNELS = (7, 14, 28, 28, 56, 112, 112)
_STRIDE = 5
# Softplus rounds to 0 far below: a variance stays positive, in standardized units.
_LEAST_VARIANCE = 1e-8


class _Dropout(nn.Module):
    """Dropout that is torch's own while training, and by given masks otherwise."""

    def __init__(self, drop: float) -> None:
        super().__init__()
        self.drop = drop

    def forward(self, h: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        if mask is None:
            return F.dropout(h, self.drop, self.training)
        passes = len(mask)
        parts = h.reshape(passes, -1, *h.shape[1:])
        return (parts * mask[:, None]).reshape(h.shape)


class _Dense(nn.Module):
    """Linear, batch norm, LeakyReLU, dropout; with a shortcut if asked."""

    def __init__(self, inputs: int, outputs: int, drop: float, *, residual: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        self.norm = nn.BatchNorm1d(outputs)
        self.drop = _Dropout(drop)
        self.residual = residual
        self.shortcut = nn.Linear(inputs, outputs) if residual and inputs != outputs else None
        self.shape: tuple[int, ...] = (outputs,)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        h = self.drop(F.leaky_relu(self.norm(self.linear(x))), mask)
        if self.residual:
            h = h + (x if self.shortcut is None else self.shortcut(x))
        return cast(torch.Tensor, h)


class _Convolution(nn.Module):
    """Convolution of kernel 3 at equal length, batch norm, LeakyReLU, dropout."""

    def __init__(self, inputs: int, outputs: int, length: int, drop: float) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, 3, padding=1)
        self.norm = nn.BatchNorm1d(outputs)
        self.drop = _Dropout(drop)
        self.residual = inputs == outputs
        self.shape: tuple[int, ...] = (outputs, length)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        h = self.drop(F.leaky_relu(self.norm(self.conv(x))), mask)
        return cast(torch.Tensor, h + x if self.residual else h)


class _Decoder(nn.Module):
    """From the encoding to a mean and a raw variance in each bin."""

    def __init__(self, bins: int, drop: float) -> None:
        super().__init__()
        length = _STRIDE * bins
        self.length = length
        self.spread = _Dense(_ENCODER[-1], _CHANNELS[0] * length, drop, residual=False)
        self.layers = nn.ModuleList(
            _Convolution(i, o, length, drop) for i, o in pairwise(_CHANNELS)
        )
        self.last = nn.Conv1d(_CHANNELS[-1], 2, _STRIDE, stride=_STRIDE)

    def forward(self, x: torch.Tensor, masks: list[torch.Tensor | None]) -> torch.Tensor:
        h = self.spread(x, masks[0]).reshape(-1, _CHANNELS[0], self.length)
        for layer, mask in zip(self.layers, masks[1:], strict=True):
            h = layer(h, mask)
        return cast(torch.Tensor, self.last(h))


class PublishedNetwork(Network):
    """Encoder 7-128-128-256-256-128, three decoders; 660,602 weights with 20 bins.

    Parameters
    ----------
    scaling : PublishedScaling, optional
    bins : int
    dropout : float

    Notes
    -----
    Pandya et al. (2025), section 3. The residual of the third layer, 128 to 256, has a linear
    shortcut; those of equal width add their input.
    """

    kind = "published"

    def __init__(
        self, scaling: Scaling | None = None, *, bins: int = 20, dropout: float = 0.2
    ) -> None:
        super().__init__()
        self.bins = options.integer("bins", bins, least=1, most=1000)
        drop = options.number("dropout", dropout, least=0, below=1)
        self.config = {"bins": bins, "dropout": drop}
        self.scaling = PublishedScaling.blank(bins) if scaling is None else scaling
        self.encoder = nn.ModuleList(
            _Dense(i, o, drop, residual=k in (2, 3)) for k, (i, o) in enumerate(pairwise(_ENCODER))
        )
        self.decoders = nn.ModuleList(_Decoder(bins, drop) for _ in range(STATISTICS))

    def forward(
        self, standardized: torch.Tensor, masks: Masks | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and variance in standardized units, which is what its loss is made of.

        Parameters
        ----------
        standardized : Tensor, shape (n, 7)
            By ``scaling.standardized``; with masks, the points once for each pass.

        Returns
        -------
        mean, variance : Tensor, shape (n, 3, bins)
        """
        given = iter(masks) if masks is not None else None

        def following(number: int) -> list[torch.Tensor | None]:
            return [None if given is None else next(given) for _ in range(number)]

        h = standardized
        for layer, mask in zip(self.encoder, following(len(self.encoder)), strict=True):
            h = layer(h, mask)
        raw = torch.stack(
            [decoder(h, following(len(_CHANNELS))) for decoder in self.decoders], dim=1
        )
        return raw[:, :, 0], F.softplus(raw[:, :, 1]) + _LEAST_VARIANCE

    def moments(
        self, params: torch.Tensor, masks: Masks | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        passes = 1 if masks is None else len(masks[0])
        x = self.scaling.standardized(params)
        if passes > 1:
            x = x.repeat(passes, 1)
        mean, variance = self(x, masks)
        scaling = cast(PublishedScaling, self.scaling)
        shift, scale = scaling.target_mean[:, None], scaling.target_std[:, None]
        shape = (passes, len(params), STATISTICS, self.bins)
        return (mean * scale + shift).reshape(shape), (variance * scale**2).reshape(shape)

    def draw_masks(self, passes: int, generator: torch.Generator) -> Masks:
        # The order of modules() is that in which they are worked through.
        shapes = [m.shape for m in self.modules() if isinstance(m, (_Dense, _Convolution))]
        drop, like = self.config["dropout"], next(self.parameters())
        return [bernoulli((passes, *shape), drop, generator, like) for shape in shapes]
