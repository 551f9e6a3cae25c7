"""What the emulator's networks have in common, and how one is made by its name."""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy.typing as npt
import torch
from torch import nn

from pysoftcorr._random import Seed, root_seed
from pysoftcorr.emulator.scaling import Scaling

__all__ = ["KINDS", "Masks", "Network", "build", "network_of", "new_network"]

Masks = list[torch.Tensor]
KINDS = ("published", "response")


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

    @abstractmethod
    def moments(
        self, params: torch.Tensor, masks: Masks | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and variance of log xi, omega, eta, in physical units.

        Parameters
        ----------
        params : Tensor, shape (n, 7)
        masks : list of Tensor, optional
            Of `draw_masks`: passes of Monte-Carlo dropout. Without, dropout is off (in eval
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


def build(kind: str, scaling: Scaling | None = None, **config: Any) -> Network:
    """A network of a kind; its weights by torch's default generator.

    Raises
    ------
    ValueError
        If the kind is unknown or a keyword out of range.
    """
    made: type[Any]
    if kind == "published":
        from pysoftcorr.emulator.network_published import PublishedNetwork as made
    elif kind == "response":
        from pysoftcorr.emulator.network_response import ResponseNetwork as made
    else:
        raise ValueError(f"kind = {kind!r}: must be one of {', '.join(KINDS)}")
    network: Network = made(scaling, **config)
    return network


def new_network(
    kind: str, scaling: Scaling | None = None, *, seed: Seed = None, **config: Any
) -> Network:
    """As `build`, with weights by `seed`; torch's own generator is left as it was.

    Examples
    --------
    >>> from pysoftcorr.emulator.network import new_network
    >>> new_network("published", seed=1).n_parameters
    660602
    """
    root = secrets.randbits(62) if seed is None else root_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(root % 2**63)
        return build(kind, scaling, **config)


def network_of(
    kind: str, config: dict[str, Any], weights: dict[str, npt.NDArray[Any]], source: str
) -> Network:
    """A network with weights from a file.

    Raises
    ------
    ValueError
        If kind, keywords and weights do not fit together; it names `source`.
    """
    try:
        with torch.device("meta"):  # shapes alone, until they are known to be right
            network = build(kind, **config)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{source} is damaged: {error}") from None
    wanted = {name: tuple(t.shape) for name, t in network.state_dict().items()}
    for name in sorted(wanted.keys() | weights.keys()):
        if name not in wanted or name not in weights:
            what = "lacks" if name in wanted else "has, beside those of its network,"
            raise ValueError(f"{source} is damaged: it {what} the weights {name}")
        if wanted[name] != weights[name].shape:
            raise ValueError(
                f"{source} is damaged: {name} has the shape {weights[name].shape}, and must have "
                f"{wanted[name]}"
            )
    state = {name: torch.from_numpy(array.copy()) for name, array in weights.items()}
    network.load_state_dict(state, assign=True)
    return network


def whole(name: str, value: Any, least: int, most: int) -> int:
    """A whole number within limits, for the keywords of networks."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} = {value!r}: must be a whole number")
    if not least <= value <= most:
        raise ValueError(f"{name} = {value}: must be from {least} to {most}")
    return value


def probability(name: str, value: Any) -> float:
    """A part in [0, 1) of units to drop."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} = {value!r}: must be a number")
    if not 0 <= value < 1:
        raise ValueError(f"{name} = {value:g}: must be in [0, 1)")
    return float(value)
