"""The loop of a training run: batches, schedule, checkpoints, early stopping, for any network."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from tqdm import tqdm

from pysoftcorr.emulator.training.checkpoint import differences, read_checkpoint, write_checkpoint

__all__ = ["Loop", "Task", "cosine", "steps_of_ten"]

Tensor = torch.Tensor
State = dict[str, Any]


def steps_of_ten(progress: float) -> float:
    """Rate of Pandya et al. (2025): a tenth from a third of the epochs on, a hundredth from two.

    Examples
    --------
    >>> from pysoftcorr.emulator.training.loop import steps_of_ten
    >>> [round(steps_of_ten(x), 3) for x in (0.0, 0.4, 0.9)]
    [1.0, 0.1, 0.01]
    """
    return float(0.1 ** min(2, int(3 * progress + 1e-9)))


def cosine(progress: float, *, warm: float = 0.05, least: float = 1e-3) -> float:
    """Rate that rises in a straight line over the first part, then falls as half a cosine.

    Examples
    --------
    >>> from pysoftcorr.emulator.training.loop import cosine
    >>> [round(cosine(x), 3) for x in (0.05, 0.525, 1.0)]
    [1.0, 0.5, 0.001]
    """
    if progress < warm:
        return max(least, progress / warm)
    angle = math.pi * min(1.0, (progress - warm) / (1 - warm))
    return least + (1 - least) * 0.5 * (1 + math.cos(angle))


class Task(Protocol):
    """A network with the data and losses that `Loop` trains it on."""

    @property
    def network(self) -> torch.nn.Module:
        """Network whose weights are trained."""

    def batches(self, generator: torch.Generator) -> Iterator[Tensor]:
        """Row numbers of the batches of one epoch, shuffled by `generator`."""

    def loss(self, batch: Tensor, epoch: int) -> Tensor:
        """Loss of one batch."""

    def validate(self) -> dict[str, float]:
        """Figures on the validation set; ``score`` is what is brought down."""


@dataclass
class Loop:
    """Train the network of a task; ends with the weights of the best epoch in it.

    Every random number comes from `seed`, the global state of torch is as before afterward, and
    a run that was cut off resumes from its checkpoint as if it had not been (bit for bit on CPUs
    with the same number of threads).

    Attributes
    ----------
    task : Task
    optimizer : torch.optim.Optimizer
        Its learning rates are those at the height of `rate`.
    epochs : int
        At most.
    rate : callable
        Factor of the learning rate at a part of the run, 0 to 1.
    clip : float or None
        Largest norm of the gradient.
    patience : int or None
        Stop after so many epochs without a better score.
    seed : int
    checkpoint : Path or None
    every : float
        Seconds between checkpoints.
    settings : dict
        A checkpoint of other settings is refused.
    resume : bool
        Resume from a checkpoint that is there; otherwise restart.
    last : bool
        Keep the last epoch, whatever the score.
    """

    task: Task
    optimizer: torch.optim.Optimizer
    epochs: int
    rate: Callable[[float], float]
    seed: int
    clip: float | None = None
    patience: int | None = None
    checkpoint: Path | None = None
    every: float = 60.0
    settings: Mapping[str, Any] = field(default_factory=dict)
    resume: bool = True
    last: bool = False
    label: str = "training"

    def __post_init__(self) -> None:
        # A checkpoint gives lists for tuples.
        self.settings = json.loads(json.dumps(dict(self.settings)))
        self.curves: dict[str, list[float]] = {}
        self.epoch = 0
        self.best: State = {}
        self.best_epoch = -1
        self.best_score = math.inf
        self.seconds = 0.0
        self.resumed_at = 0
        self.stopped = ""
        self._shuffle = torch.Generator()
        self._rates = [group["lr"] for group in self.optimizer.param_groups]
        self._device = next(self.task.network.parameters()).device

    def run(self) -> None:
        """Train.

        Raises
        ------
        KeyboardInterrupt
            When interrupted; the checkpoint is of the last whole epoch.
        ValueError
            If the checkpoint is of other settings, or the loss stops being a number.
        """
        cuda = [self._device] if self._device.type == "cuda" else []
        with torch.random.fork_rng(devices=cuda):
            torch.manual_seed(self.seed)
            self._shuffle.manual_seed(self.seed)
            self._resume()
            try:
                self._epochs()
            finally:
                if self.best:
                    self.task.network.load_state_dict(self.best)
                self.task.network.eval()

    def _epochs(self) -> None:
        written = begun = time.monotonic()
        kept: State | None = None
        before = self.seconds
        bar = tqdm(
            total=self.epochs, initial=self.epoch, desc=self.label, unit="epoch", disable=None
        )
        try:
            with bar:
                while self.epoch < self.epochs and not self._stop():
                    self._one_epoch()
                    self.seconds = before + time.monotonic() - begun
                    bar.set_postfix(score=f"{self.curves['score'][-1]:.4g}", refresh=False)
                    bar.update()
                    if self.checkpoint is not None:
                        # Whole epochs only: an interrupt may come between any two steps.
                        kept = self._state()
                        if time.monotonic() - written >= self.every:
                            write_checkpoint(self.checkpoint, kept)
                            written = time.monotonic()
            if self.checkpoint is not None and kept is not None:
                write_checkpoint(self.checkpoint, kept)
        except KeyboardInterrupt:
            if self.checkpoint is None or kept is None:
                raise
            write_checkpoint(self.checkpoint, kept)
            raise KeyboardInterrupt(
                f"{kept['epoch']} of {self.epochs} epochs are kept in {self.checkpoint}; "
                "give the same command again to resume"
            ) from None

    def _stop(self) -> bool:
        if self.patience is not None and self.epoch - 1 - self.best_epoch >= self.patience:
            self.stopped = f"no better score for {self.patience} epochs"
            return True
        return False

    def _one_epoch(self) -> None:
        network = self.task.network
        network.train()
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        batches = list(self.task.batches(self._shuffle))
        total = torch.zeros((), device=self._device, dtype=torch.float64)
        for step, batch in enumerate(batches):
            factor = self.rate((self.epoch + step / len(batches)) / self.epochs)
            for group, height in zip(self.optimizer.param_groups, self._rates, strict=True):
                group["lr"] = height * factor
            loss = self.task.loss(batch, self.epoch)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            if self.clip is not None:
                torch.nn.utils.clip_grad_norm_(parameters, self.clip)
            self.optimizer.step()
            total += loss.detach()
        network.eval()
        with torch.no_grad():
            figures = {"loss": float(total) / len(batches), **self.task.validate()}
        for name, value in figures.items():
            self.curves.setdefault(name, []).append(float(value))
        if not math.isfinite(figures["loss"]):
            raise ValueError(
                f"the loss is {figures['loss']} in epoch {self.epoch + 1}: the learning rate, "
                f"{self._rates[0]:g}, may be too high"
            )
        if self.last or figures["score"] < self.best_score:
            self.best_score, self.best_epoch = figures["score"], self.epoch
            self.best = copy.deepcopy(network.state_dict())
        self.epoch += 1

    # ------------------------------------------------------------------ checkpoints
    def _state(self) -> State:
        state = {
            "settings": dict(self.settings),
            "epoch": self.epoch,
            "seconds": self.seconds,
            "curves": {name: list(values) for name, values in self.curves.items()},
            "best_epoch": self.best_epoch,
            "best_score": self.best_score if self.best else None,
            "best": self.best,
            "network": self.task.network.state_dict(),
            "optimizer": self.optimizer.state_dict()["state"],
            "shuffle": self._shuffle.get_state(),
            "random": torch.get_rng_state(),
        }
        if self._device.type == "cuda":
            state["random_cuda"] = torch.cuda.get_rng_state(self._device)
        return copy.deepcopy(state)

    def _resume(self) -> None:
        if self.checkpoint is None or not self.checkpoint.exists():
            return
        if not self.resume:
            self.checkpoint.unlink()
            return
        state = read_checkpoint(self.checkpoint)
        other = list(differences(self.settings, state["settings"]))
        if other:
            raise ValueError(
                f"{self.checkpoint} is of another run ({'; '.join(other)}); use its settings, "
                "restart with resume=False, or delete it"
            )
        self.task.network.load_state_dict(state["network"])
        if state["optimizer"]:
            whole = self.optimizer.state_dict()
            self.optimizer.load_state_dict({**whole, "state": state["optimizer"]})
        self.epoch = self.resumed_at = state["epoch"]
        self.seconds = state["seconds"]
        self.curves = state["curves"]
        self.best_epoch, self.best = state["best_epoch"], state["best"]
        self.best_score = math.inf if state["best_score"] is None else state["best_score"]
        self._shuffle.set_state(state["shuffle"])
        torch.set_rng_state(state["random"])
        if "random_cuda" in state and self._device.type == "cuda":
            torch.cuda.set_rng_state(state["random_cuda"], self._device)
