"""The interface of the emulator's networks, and the masks of Monte-Carlo dropout."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import nn

from pysoftcorr.emulator.network.scaling import Scaling
from pysoftcorr.mocks.hod import PARAMETERS

__all__ = ["Masks", "Network", "bernoulli"]

Masks = list[torch.Tensor]


class Network(nn.Module, ABC):
    """Means and variances of log xi, omega and eta in each bin, from the seven parameters.

    Attributes
    ----------
    kind : str
    config : dict
        The keywords that make another of the same shape.
    bins : int
    scaling : Scaling
        Part of the network's state.
    """

    kind: ClassVar[str]
    config: dict[str, Any]
    bins: int
    scaling: Scaling

    @property
    def names(self) -> tuple[str, ...]:
        """Parameters that it takes, in their order."""
        return PARAMETERS

    @abstractmethod
    def moments(
        self, params: torch.Tensor, masks: Masks | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and variance of log xi, omega, eta, in physical units.

        Parameters
        ----------
        params : Tensor, shape (n, 7)
        masks : list of Tensor, optional
            From `draw_masks`: passes of Monte-Carlo dropout. Without, dropout is off (in eval
            mode), and there is a pass for each member of an ensemble.

        Returns
        -------
        mean, variance : Tensor, shape (passes, n, 3, bins)
        """

    @abstractmethod
    def draw_masks(self, passes: int, generator: torch.Generator) -> Masks:
        """Which units each pass keeps, scaled by 1/(1 - p): one tensor a dropout layer.

        A pass is one draw of the network, the same for every point: points do not depend on
        what else is in their batch.
        """

    @property
    def rows_at_once(self) -> int:
        """Rows times passes that are worked on together, for the sake of memory and caches."""
        return 1024

    @property
    def members(self) -> int:
        """Networks of an ensemble, which passes take in turn."""
        return 1

    @property
    def n_parameters(self) -> int:
        """Number of weights that are trained."""
        return sum(p.numel() for p in self.parameters())


def bernoulli(
    shape: tuple[int, ...], drop: float, generator: torch.Generator, like: torch.Tensor
) -> torch.Tensor:
    """A dropout mask, drawn on the generator's device and moved to that of `like`."""
    u = torch.rand(shape, generator=generator, device=generator.device)
    return ((u >= drop).to(like.dtype) / (1.0 - drop)).to(like.device)
