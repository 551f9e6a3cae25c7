"""Train an emulator: the published recipe for the published network, a leaner one for ours."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pysoftcorr.core import options
from pysoftcorr.core.cautions import caution
from pysoftcorr.core.files import HDF5, check_output, fingerprint
from pysoftcorr.core.random import Seed, root_seed
from pysoftcorr.core.torch import check_device
from pysoftcorr.core.version import __version__
from pysoftcorr.emulator.correlation import fit_correlation
from pysoftcorr.emulator.data import EmulatorData, Split, read_data, split_campaign
from pysoftcorr.emulator.domain import Bounds
from pysoftcorr.emulator.emulator import Emulator
from pysoftcorr.emulator.network import KINDS, network_config, new_network
from pysoftcorr.emulator.network.base import Network
from pysoftcorr.emulator.training.calibration import BY, PER, apply_factors, sigma_factors
from pysoftcorr.emulator.training.checkpoint import checkpoint_path, differences
from pysoftcorr.emulator.training.loop import Loop, Task, cosine, steps_of_ten
from pysoftcorr.emulator.training.tasks import (
    TARGETS,
    PublishedTask,
    ResponseTask,
    Targets,
    published_scaling,
    response_scaling,
)
from pysoftcorr.emulator.training.universes import UniversesTask

if TYPE_CHECKING:
    from pysoftcorr.mocks import Campaign
    from pysoftcorr.mocks.universes import Universes

__all__ = ["RECIPES", "Recipe", "train"]

#: Of universes there are more rows, without noise.
_WIDTH_OF_UNIVERSES = 96
_OF_UNIVERSES: dict[str, Any] = {
    "epochs": 24, "batch": 128, "tolerance": 0.04, "calibrate": "none",
}  # fmt: skip


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    Attributes
    ----------
    epochs : int
        At most.
    learning_rate, weight_decay : float
        Options of AdamW; the rate is the highest of the schedule.
    batch : int
        Rows, or parameter points where `sufficient`.
    clip : float or None
        Largest norm of the gradient; None: any.
    patience : int or None
        Stop after so many epochs without a better score on the validation set.
    targets : {"expected", "drawn"}
        Targets of the means of omega and eta: the exact expectation over all draws of the
        axes, or the mean of what was drawn.
    sufficient : bool
        Train on mean and spread of the realizations of a point: the loss is on average that of
        every realization, in 1/R of the steps. The response network always does.
    tolerance : float
        Response network: the fractional error that is small enough, where it is not noise that
        sets the weight of a target.
    robust : float or None
        Response network: residuals beyond so many of those errors count linearly; None: squares.
    calibrate : {"coverage", "likelihood", "scatter", "none"}
        How the predicted standard deviations are adjusted on the validation set.
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

    def changed(self, kind: str, given: Mapping[str, Any]) -> Recipe:
        """This recipe with the fields of `given` that are not None, checked for a network."""
        chosen = replace(self, **{name: v for name, v in given.items() if v is not None})
        if chosen.clip == math.inf:
            chosen = replace(chosen, clip=None)
        if chosen.robust == math.inf:
            chosen = replace(chosen, robust=None)
        for name, least in (("epochs", 1), ("batch", 2), ("patience", 1)):
            if getattr(chosen, name) is not None:
                options.count(name, getattr(chosen, name), least=least)
        for name in ("learning_rate", "clip", "tolerance", "robust"):
            if getattr(chosen, name) is not None:
                options.positive(name, getattr(chosen, name))
        options.number("weight_decay", chosen.weight_decay, least=0)
        options.flag("sufficient", chosen.sufficient)
        for name, among in (("targets", TARGETS), ("calibrate", BY), ("calibrate_per", PER)):
            options.choice(name, getattr(chosen, name), among)
        if kind == "response":
            if not chosen.sufficient:
                raise ValueError(
                    "sufficient = False: the response network trains on mean and spread"
                )
            return chosen
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
        return chosen


#: Default recipe of each kind of network; that of "published" is the paper's [P25].
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
    data: Campaign | Universes | EmulatorData | Split | str | PathLike[str],
    *,
    kind: str = "response",
    out: str | PathLike[str] | None = None,
    seed: Seed = 0,
    split_seed: Seed = 0,
    device: str | torch.device | None = None,
    epochs: int | None = None,
    learning_rate: float | None = None,
    weight_decay: float | None = None,
    batch: int | None = None,
    clip: float | None = None,
    patience: int | None = None,
    targets: str | None = None,
    sufficient: bool | None = None,
    tolerance: float | None = None,
    robust: float | None = None,
    calibrate: str | None = None,
    calibrate_per: str | None = None,
    members: int | None = None,
    width: int | None = None,
    depth: int | None = None,
    variance_width: int | None = None,
    variance_depth: int | None = None,
    dropout: float | None = None,
    resume: bool = True,
    checkpoint_every: float = 60.0,
    overwrite: bool = False,
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
        same call resumes from it; of a finished run it gives the model, with a warning.
    seed : int or numpy.random.Generator, optional
        Seed of the first weights, the shuffles and dropout.
    split_seed : int or numpy.random.Generator, optional
    device : str or torch.device, optional
        "cuda" where there is one, else "cpu".
    epochs, batch, patience : int, optional
    learning_rate, weight_decay, clip, tolerance, robust : float, optional
    targets, calibrate, calibrate_per : str, optional
    sufficient : bool, optional
        Fields of `Recipe`, in the place of those of ``RECIPES[kind]``. An infinite `clip`
        leaves gradients as they are, an infinite `robust` takes squares.
    members, width, depth, variance_width, variance_depth : int, optional
        Shape of a response network, as `ResponseNetwork` takes them.
    dropout : float, optional
        Part of the units dropped in a pass.
    resume : bool
        Resume from a checkpoint, if it is there; otherwise restart.
    checkpoint_every : float
        Seconds between checkpoints.
    overwrite : bool
        Replace `out` if it is there.

    Returns
    -------
    Emulator
        On the CPU; ``description["training"]`` holds the recipe, the seeds, the learning curves,
        the best epoch and the calibration, and ``description["timing"]`` the seconds.

    Raises
    ------
    ValueError
        If the data are not enough or lack what the recipe needs, an option is out of range, or
        the checkpoint is of another run.
    TypeError
        If an option is of the wrong kind.
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
    options.choice("kind", kind, KINDS)
    given = {
        "epochs": epochs, "learning_rate": learning_rate, "weight_decay": weight_decay,
        "batch": batch, "clip": clip, "patience": patience, "targets": targets,
        "sufficient": sufficient, "tolerance": tolerance, "robust": robust,
        "calibrate": calibrate, "calibrate_per": calibrate_per,
    }  # fmt: skip
    chosen = RECIPES[kind].changed(kind, given)
    shape = network_config(
        members=members, width=width, depth=depth, variance_width=variance_width,
        variance_depth=variance_depth, dropout=dropout,
    )  # fmt: skip
    # A model that is there may be this very run's, finished before.
    target = None if out is None else check_output(out, suffixes=HDF5, overwrite=True)
    there = None if target is None or overwrite else _there(target, resume)
    split, source = _split(data, split_seed)
    universes = split.train.universe is not None
    if universes:
        chosen = _of_universes(kind, chosen, given)
        shape = {"cosmology": True, "width": _WIDTH_OF_UNIVERSES, **shape}
    options.number("checkpoint_every", checkpoint_every, least=0)
    root = root_seed(seed)
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    where = check_device(device)
    settings = {
        "kind": kind, "seed": root, "recipe": asdict(chosen), "network": shape,
        "rows": [len(part) for part in split],
        "values": fingerprint(*(v for part in split[:2] for v in _values(part))),
    }  # fmt: skip
    parts = [Targets.of(part, chosen.targets) for part in (split.train, split.validation)]
    if kind == "response" and parts[0].response is None:
        raise ValueError("data has no response functions, which kind='response' learns")
    scaling = published_scaling(parts[0]) if kind == "published" else response_scaling(parts[0])
    made = new_network(kind, {"bins": split.train.nbins, **shape}, scaling, seed=root).to(where)
    described = {
        **settings,
        "network": made.config,
        "split_seed": split.train.description.get("split_seed"),
        "fractions": split.train.description.get("fractions"),
    }
    if target is not None and there is not None:
        return _finished(target, there, described)
    loop = Loop(
        task=_task(made, chosen, parts[0].to(where), parts[1].to(where), root),
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
        # A handful of universes that are watched differ more than one epoch from another.
        last=universes and chosen.patience is None,
        label=f"training ({kind})",
    )
    loop.run()
    made.cpu()
    factors = torch.ones(parts[1].drawn.shape[2:], dtype=torch.float64)
    if not universes:
        factors = sigma_factors(made, parts[1], by=chosen.calibrate, per=chosen.calibrate_per)
    if chosen.calibrate != "none":
        apply_factors(made, factors)
    record = {
        **described,
        "data": source,
        "best_epoch": loop.best_epoch + 1,
        "epochs_run": loop.epoch,
        "stopped": loop.stopped or "every epoch was run",
        "sigma_factors": factors.tolist(),
        # JSON has no NaN, which the mean over no elements is.
        "curves": {
            name: [x if math.isfinite(x) else None for x in curve]
            for name, curve in loop.curves.items()
        },
        "device": _device_name(where),
        "torch": torch.__version__,
    }
    emulator = _emulator(made, split, record, {"seconds": round(loop.seconds, 1)})
    emulator.correlation = fit_correlation(emulator, split.train, split.validation, seed=root)
    if target is not None:
        emulator.write(target, overwrite=overwrite)
        checkpoint_path(target).unlink(missing_ok=True)
    return emulator


# ---------------------------------------------------------------------- parts of it
def _split(
    data: Campaign | Universes | EmulatorData | Split | str | PathLike[str], seed: Seed
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


def _of_universes(kind: str, chosen: Recipe, given: Mapping[str, Any]) -> Recipe:
    """The recipe for a campaign of universes."""
    if kind != "response":
        raise ValueError(f"kind = {kind!r}: a campaign of universes is learned by 'response'")
    if given["calibrate"] not in (None, "none"):
        raise ValueError(
            f"calibrate = {given['calibrate']!r}: errors of universes are learned from the "
            "residuals of each; take 'none'"
        )
    usual = {name: value for name, value in _OF_UNIVERSES.items() if given[name] is None}
    return replace(chosen, **usual)


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads"


def _task(network: Any, recipe: Recipe, rows: Targets, validation: Targets, seed: int) -> Task:
    if rows.universe is not None:
        return UniversesTask(
            network,
            rows,
            validation,
            batch=recipe.batch,
            tolerance=recipe.tolerance,
            robust=recipe.robust,
            seed=seed,
        )
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


def _values(part: EmulatorData) -> list[np.ndarray]:
    return [part.parameters, part.edges, part.xi, part.omega, part.eta]


def _there(target: Path, resume: bool) -> Emulator | None:
    """The model that is there, if the same run may have written it."""
    if not target.exists():
        return None
    if resume:
        with suppress(ValueError):
            return Emulator.read(target)
    check_output(target, overwrite=False)
    return None


def _finished(target: Path, there: Emulator, wanted: Mapping[str, Any]) -> Emulator:
    """The model of a run that has ended; FileExistsError where it is of another one."""
    found = there.description.get("training", {})
    other = list(differences(json.loads(json.dumps(wanted)), {k: found.get(k) for k in wanted}))
    if other:
        raise FileExistsError(
            f"{target} is there already, of another run ({'; '.join(other)}); pass overwrite=True "
            "to replace it"
        )
    checkpoint_path(target).unlink(missing_ok=True)
    caution(
        f"{target} is the finished model of this run: nothing is left to train; pass "
        "overwrite=True to train again"
    )
    return there


def _emulator(
    network: Network, split: Split, record: Mapping[str, Any], timing: Mapping[str, float]
) -> Emulator:
    campaign = split.train.description.get("campaign", {})
    points = np.concatenate([part.parameters for part in split])
    span = campaign.get("logMmin")
    # Bounds of the design, where it states them: the least and greatest points fall short.
    ranges = campaign.get("ranges")  # of a campaign of universes
    worlds = None if ranges is None else [ranges[name] for name in network.names[-len(ranges) :]]
    bounds = Bounds.of(points) if span is None else Bounds.design(tuple(span), worlds)
    if bounds.outside(points).any():
        bounds = Bounds.of(points)
    # What was timed stands apart: the rest is the same, whether the run was resumed or not.
    description = {
        "campaign": campaign, "training": record, "timing": timing, "version": __version__
    }  # fmt: skip
    return Emulator(
        network,
        bins=split.train.edges,
        bounds=bounds,
        description=json.loads(json.dumps(description)),
    )
