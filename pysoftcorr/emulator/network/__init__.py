"""Networks of the emulator, the published one and the response network, by name."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

import numpy.typing as npt
import torch

from pysoftcorr.core.options import choice
from pysoftcorr.core.random import Seed, root_seed
from pysoftcorr.emulator.network.base import Masks, Network
from pysoftcorr.emulator.network.published import PublishedNetwork
from pysoftcorr.emulator.network.response import ResponseNetwork
from pysoftcorr.emulator.network.scaling import Scaling

__all__ = ["KINDS", "Masks", "Network", "build", "network_config", "network_of", "new_network"]

KINDS: dict[str, Any] = {"published": PublishedNetwork, "response": ResponseNetwork}


def network_config(
    *,
    members: int | None = None,
    width: int | None = None,
    depth: int | None = None,
    variance_width: int | None = None,
    variance_depth: int | None = None,
    dropout: float | None = None,
) -> dict[str, Any]:
    """Keywords of a network: those that are given."""
    given = {
        "members": members, "width": width, "depth": depth, "variance_width": variance_width,
        "variance_depth": variance_depth, "dropout": dropout,
    }  # fmt: skip
    return {name: value for name, value in given.items() if value is not None}


def build(kind: str, config: Mapping[str, Any], scaling: Scaling | None = None) -> Network:
    """A network of a kind, with the keywords of its class; weights by torch's default generator.

    Raises
    ------
    ValueError
        If the kind is unknown or a keyword out of range.
    """
    return KINDS[choice("kind", kind, KINDS)](scaling, **config)


def new_network(
    kind: str,
    config: Mapping[str, Any] | None = None,
    scaling: Scaling | None = None,
    *,
    seed: Seed = None,
) -> Network:
    """A network of a kind with weights by `seed`; torch's own generator is left as it was.

    Examples
    --------
    >>> from pysoftcorr.emulator.network import new_network
    >>> new_network("published", seed=1).n_parameters
    660602
    """
    root = secrets.randbits(62) if seed is None else root_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(root % 2**63)
        return build(kind, config or {}, scaling)


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
            network = build(kind, config)
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
