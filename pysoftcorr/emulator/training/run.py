"""Train an emulator: the published recipe for the published network, a leaner one for ours."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pysoftcorr.core.files import HDF5, check_output
from pysoftcorr.core.random import Seed, root_seed
from pysoftcorr.core.torch import check_device
from pysoftcorr.core.version import __version__
from pysoftcorr.emulator.data import EmulatorData, Split, read_data, split_campaign

try:
    import torch

    from pysoftcorr.emulator.domain import Bounds
    from pysoftcorr.emulator.emulator import Emulator
    from pysoftcorr.emulator.network import KINDS, new_network
    from pysoftcorr.emulator.network.base import Network
    from pysoftcorr.emulator.training.calibration import BY, PER, apply_factors, sigma_factors
    from pysoftcorr.emulator.training.checkpoint import checkpoint_path
    from pysoftcorr.emulator.training.loop import Loop, Task, cosine, steps_of_ten
    from pysoftcorr.emulator.training.targets import TARGETS, Targets
    from pysoftcorr.emulator.training.tasks import (
        PublishedTask,
        ResponseTask,
        published_scaling,
        response_scaling,
    )
except ImportError as error:  # pragma: no cover - depends on what is installed
    if getattr(error, "name", None) != "torch":
        raise
    raise ImportError(
        "training an emulator needs torch; install it with: pip install 'pysoftcorr[torch]'"
    ) from error

if TYPE_CHECKING:
    from pysoftcorr.mocks import Campaign

__all__ = ["RECIPES", "Recipe", "train"]


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    Attributes
    ----------
    epochs : int
        At most.
    learning_rate, weight_decay : float
        Of AdamW; the rate is the highest of the schedule.
    batch : int
        Rows, or parameter points where `sufficient`.
    clip : float or None
        Largest norm of the gradient.
    patience : int or None
        Stop after so many epochs without a better score on the validation set.
    targets : {"expected", "drawn"}
        What the means of omega and eta learn from: the exact expectation over all draws of the
        axes, or the mean of what was drawn.
    sufficient : bool
        Train on mean and spread of the realizations of a point: the same loss on average as of
        every realization, in 1/R of the steps. The response network always does.
    tolerance : float
        Response network: the fractional error that is small enough, where it is not noise that
        sets the weight of a target.
    robust : float or None
        Response network: residuals beyond so many of those errors count linearly; None: squares.
    calibrate : {"coverage", "likelihood", "scatter", "none"}
        By what the predicted standard deviations are adjusted on the validation set.
    calibrate_per : {"bin", "statistic"}
    """

    epochs: int
    learning_rate: float
    weight_decay: float
    batch: int
    clip: float | None
    patience: int | None
    targets: str
    sufficient: bool
    tolerance: float = 0.02
    robust: float | None = 3.0
    calibrate: str = "none"
    calibrate_per: str = "bin"


#: The default of each kind of network; that of "published" is the paper's [P25].
RECIPES: dict[str, Recipe] = {
    "published": Recipe(
        epochs=500, learning_rate=0.01, weight_decay=1e-4, batch=128, clip=10.0, patience=100,
        targets="drawn", sufficient=False,
    ),
    "response": Recipe(
        epochs=400, learning_rate=3e-3, weight_decay=1e-4, batch=128, clip=None, patience=None,
        targets="expected", sufficient=True, calibrate="scatter",
    ),
}  # fmt: skip


def train(
    data: Campaign | EmulatorData | Split | str | PathLike[str],
    *,
    kind: str = "response",
    out: str | PathLike[str] | None = None,
    seed: Seed = 0,
    split_seed: Seed = 0,
    device: str | torch.device | None = None,
    network: Mapping[str, Any] | None = None,
    resume: bool = True,
    checkpoint_every: float = 60.0,
    overwrite: bool = False,
    **recipe: Any,
) -> Emulator:
    """Train an emulator on a campaign.

    Parameters
    ----------
    data : Campaign, EmulatorData, Split or path-like
        The last: the file of any of them. What is no `Split` is split 70/10/20 by parameter
        point with `split_seed`. The network sees the training part, early stopping and
        calibration the validation part, and nothing the test part.
    kind : {"response", "published"}
    out : path-like, optional
        Write the model there (.h5). A checkpoint is kept beside it until it is written, and the
        same call goes on from it.
    seed : int or numpy.random.Generator, optional
        Of the first weights, the shuffles and dropout.
    split_seed : int or numpy.random.Generator, optional
    device : str or torch.device, optional
        "cuda" where there is one, else "cpu".
    network : mapping, optional
        Keywords of the network: ``members``, ``width``, ``dropout``, ...
    resume : bool
        Go on from a checkpoint, if it is there; else begin anew.
    checkpoint_every : float
        Seconds between checkpoints.
    overwrite : bool
        Replace `out` if it is there.
    **recipe
        Fields of `Recipe`, in the place of the defaults of `RECIPES`.

    Returns
    -------
    Emulator
        On the CPU; ``description["training"]`` holds the recipe, the seeds, the learning curves,
        the epoch it is of and the calibration.

    Raises
    ------
    ValueError
        If the data are not enough or lack what the recipe needs, a keyword is out of range, or
        the checkpoint is of another run.
    TypeError
        If a keyword is unknown or of a wrong kind.
    FileNotFoundError, FileExistsError, OSError
        If a file is not there, or `out` cannot be written.

    References
    ----------
    Pandya et al. 2025 (arXiv:2504.05235).

    Notes
    -----
    On CPUs the same seed gives the same bits with the same number of threads and version of
    torch, whether the run was cut off and resumed or not. GPUs add in no fixed order.
    """
    if kind not in KINDS:
        raise ValueError(f"kind = {kind!r}: must be one of {', '.join(KINDS)}")
    chosen = _recipe(kind, recipe)
    target = None if out is None else check_output(out, suffixes=HDF5, overwrite=overwrite)
    split, source = _split(data, split_seed)
    root = root_seed(seed)
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    where = check_device(device)
    settings = {
        "kind": kind, "seed": root, "recipe": asdict(chosen), "network": dict(network or {}),
        "rows": [len(part) for part in split],
        "parameters": float(np.abs(split.train.parameters).sum()),
    }  # fmt: skip
    parts = [Targets.of(part, chosen.targets) for part in (split.train, split.validation)]
    if kind == "response" and parts[0].response is None:
        raise ValueError("data has no response functions, which kind='response' learns")
    made = _network(kind, parts[0], split.train.nbins, root, network or {}).to(where)
    loop = Loop(
        task=_task(made, chosen, *(part.to(where) for part in parts)),
        optimizer=torch.optim.AdamW(
            made.parameters(), lr=chosen.learning_rate, weight_decay=chosen.weight_decay
        ),
        epochs=chosen.epochs,
        rate=steps_of_ten if kind == "published" else cosine,
        seed=root % 2**63,
        clip=chosen.clip,
        patience=chosen.patience,
        checkpoint=None if target is None else checkpoint_path(target),
        every=checkpoint_every,
        settings=settings,
        resume=resume,
        label=f"training ({kind})",
    )
    loop.run()
    made.cpu()
    factors = sigma_factors(made, parts[1], by=chosen.calibrate, per=chosen.calibrate_per)
    if chosen.calibrate != "none":
        apply_factors(made, factors)
    record = {
        **settings,
        "network": made.config,
        "split_seed": split.train.description.get("split_seed"),
        "fractions": split.train.description.get("fractions"),
        "data": source,
        "best_epoch": loop.best_epoch + 1,
        "epochs_run": loop.epoch,
        "stopped": loop.stopped or "every epoch was run",
        "seconds": round(loop.seconds, 1),
        "sigma_factors": factors.tolist(),
        # Of what is no number JSON has no word: a part of no elements, for one.
        "curves": {
            name: [x if math.isfinite(x) else None for x in curve]
            for name, curve in loop.curves.items()
        },
        "device": _device_name(where),
        "torch": torch.__version__,
    }
    emulator = _emulator(made, split, record)
    if target is not None:
        emulator.save(target, overwrite=overwrite)
        checkpoint_path(target).unlink(missing_ok=True)
    return emulator


# ---------------------------------------------------------------------- parts of it
def _recipe(kind: str, given: Mapping[str, Any]) -> Recipe:
    known = {item.name for item in fields(Recipe)}
    unknown = sorted(set(given) - known)
    if unknown:
        raise TypeError(f"{unknown[0]} is no keyword of train; there are {', '.join(known)}")
    chosen = replace(RECIPES[kind], **given)
    for name in ("epochs", "batch", "patience"):
        value = getattr(chosen, name)
        if value is None and name == "patience":
            continue
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{name} = {value!r}: must be a whole number")
        if value < (2 if name == "batch" else 1):
            raise ValueError(f"{name} = {value}: must be at least {2 if name == 'batch' else 1}")
    for name in ("learning_rate", "weight_decay", "clip", "tolerance", "robust"):
        value = getattr(chosen, name)
        if value is None and name in ("clip", "robust"):
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise TypeError(f"{name} = {value!r}: must be a number")
        if not (value > 0 or (value == 0 and name == "weight_decay")) or value == float("inf"):
            raise ValueError(f"{name} = {value:g}: must be positive")
    for name, choices in (("targets", TARGETS), ("calibrate", BY), ("calibrate_per", PER)):
        if getattr(chosen, name) not in choices:
            raise ValueError(
                f"{name} = {getattr(chosen, name)!r}: must be one of {', '.join(choices)}"
            )
    if kind == "published":
        if chosen.targets == "expected" and not chosen.sufficient:
            raise ValueError(
                "targets = 'expected' needs sufficient=True: an exact mean is of a parameter "
                "point, not of one realization"
            )
        if chosen.calibrate != "none":
            raise ValueError(
                f"calibrate = {chosen.calibrate!r}: the published network is not calibrated; "
                "use 'none'"
            )
    elif not chosen.sufficient:
        raise ValueError("sufficient = False: the response network trains on mean and spread")
    return chosen


def _split(
    data: Campaign | EmulatorData | Split | str | PathLike[str], seed: Seed
) -> tuple[Split, str]:
    source = ""
    if isinstance(data, (str, PathLike)):
        source = Path(data).name
        data = read_data(data)
    if isinstance(data, Split):
        return data, source
    if isinstance(data, EmulatorData) and data.description.get("part") in ("validation", "test"):
        raise ValueError(
            f"data is the {data.description['part']} part of a split, which nothing may train on"
        )
    return split_campaign(data, seed=seed), source


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads"


def _network(
    kind: str, rows: Targets, bins: int, seed: int, keywords: Mapping[str, Any]
) -> Network:
    if "bins" in keywords:
        raise ValueError("network: bins are those of the data")
    scaling = published_scaling(rows) if kind == "published" else response_scaling(rows)
    return new_network(kind, scaling, seed=seed, bins=bins, **keywords)


def _task(network: Any, recipe: Recipe, rows: Targets, validation: Targets) -> Task:
    if network.kind == "published":
        return PublishedTask(
            network,
            rows,
            validation,
            epochs=recipe.epochs,
            batch=recipe.batch,
            sufficient=recipe.sufficient,
        )
    return ResponseTask(
        network,
        rows,
        validation,
        batch=recipe.batch,
        targets=recipe.targets,
        tolerance=recipe.tolerance,
        robust=recipe.robust,
    )


def _emulator(network: Network, split: Split, record: Mapping[str, Any]) -> Emulator:
    campaign = split.train.description.get("campaign", {})
    points = np.concatenate([part.parameters for part in split])
    span = campaign.get("logMmin")
    # Those of the design, where it says so; the least and greatest point fall short of them.
    bounds = Bounds.of(points) if span is None else Bounds.design(tuple(span))
    if bounds.outside(points).any():
        bounds = Bounds.of(points)
    description = {"campaign": campaign, "training": record, "version": __version__}
    return Emulator(
        network,
        edges=split.train.edges,
        bounds=bounds,
        description=json.loads(json.dumps(description)),
    )
