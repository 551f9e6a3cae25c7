"""Networks of the emulator, the published one and the response network, by name."""

from __future__ import annotations

import secrets
from typing import Any

import numpy.typing as npt
import torch

from pysoftcorr.core.random import Seed, root_seed
from pysoftcorr.emulator.network.base import Masks, Network
from pysoftcorr.emulator.network.published import PublishedNetwork
from pysoftcorr.emulator.network.response import ResponseNetwork
from pysoftcorr.emulator.network.scaling import Scaling

__all__ = ["KINDS", "Masks", "Network", "build", "network_of", "new_network"]

KINDS: dict[str, Any] = {"published": PublishedNetwork, "response": ResponseNetwork}


def build(kind: str, scaling: Scaling | None = None, **config: Any) -> Network:
    """A network of a kind; its weights by torch's default generator.

    Raises
    ------
    ValueError
        If the kind is unknown or a keyword out of range.
    """
    if kind not in KINDS:
        raise ValueError(f"kind = {kind!r}: must be one of {', '.join(KINDS)}")
    return KINDS[kind](scaling, **config)


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
