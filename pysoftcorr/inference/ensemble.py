"""emcee's ensemble of walkers, in blocks, so that a run that was killed can be resumed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from pysoftcorr.core.options import MOST_DRAWS, count
from pysoftcorr.core.progress import watched
from pysoftcorr.core.random import stream
from pysoftcorr.core.version import __version__
from pysoftcorr.inference.checkpoint import Arrays, read_checkpoint, write_checkpoint
from pysoftcorr.inference.posterior import Posterior, warn_of_problems
from pysoftcorr.inference.priors import Priors
from pysoftcorr.inference.target import Coordinates, Target
from pysoftcorr.inference.workers import Workers

__all__ = ["EnsemblePlan", "emcee_posterior", "run_emcee"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class EnsemblePlan:
    """How many walkers and draws.

    Attributes
    ----------
    walkers : int
        Even, and at least twice the parameters.
    warmup : int
        Draws of each walker that are not part of the result.
    draws : int
        Draws of each walker after those.
    block : int
        Draws between two writings of the state.
    seed : int

    Raises
    ------
    ValueError
        If a number is out of range.
    """

    walkers: int
    warmup: int
    draws: int
    block: int = 50
    seed: int

    def __post_init__(self) -> None:
        for name, least in (("walkers", 4), ("warmup", 0), ("draws", 4), ("block", 1)):
            count(name, getattr(self, name), least=least, most=MOST_DRAWS)
        if self.walkers % 2:
            raise ValueError(f"walkers = {self.walkers}: must be even")


def _log_density(target: Target, u: FloatArray) -> float:
    return target.log_density(u)


class _Pool:
    """Pool of processes as emcee asks for it."""

    def __init__(self, workers: Workers) -> None:
        self.workers = workers
        self.evaluations = 0

    def map(self, function: Callable[..., Any], points: Iterable[FloatArray]) -> list[float]:
        chosen = list(points)
        self.evaluations += len(chosen)
        return self.workers.map(_log_density, chosen)


def run_emcee(
    workers: Workers,
    plan: EnsemblePlan,
    starts: npt.ArrayLike,
    *,
    folder: Path | None = None,
) -> Arrays:
    """Affine-invariant stretch moves; with a folder, a run that was ended is resumed.

    Parameters
    ----------
    workers : Workers
    plan : EnsemblePlan
    starts : array_like, shape (walkers, d)
        In the coordinates of the target; parameters, if it has none.
    folder : Path, optional
        Where the state is written after each block, as ``emcee.h5``. A run that was killed and is
        resumed gives the same bits as one that was not.

    Returns
    -------
    dict of ndarray
        ``u`` (draws, walkers, d), coordinates, and ``log_density`` (draws, walkers), warm-up first;
        ``accepted``, the moves taken of each draw; ``block_seconds``, ``block_evaluations`` and
        ``block_steps``.

    Raises
    ------
    ValueError
        If the starts do not fit, have no density, or a file in the folder is of another run or
        holds more draws.

    Notes
    -----
    Foreman-Mackey et al. 2013; Goodman & Weare 2010.
    """
    import emcee

    begin = np.array(starts, dtype=np.float64)
    if begin.ndim != 2 or len(begin) != plan.walkers:
        raise ValueError(f"starts of shape {begin.shape}: must be ({plan.walkers}, parameters)")
    d = begin.shape[1]
    if plan.walkers < 2 * d:
        raise ValueError(f"walkers = {plan.walkers}: {d} parameters take at least {2 * d}")
    path = None if folder is None else folder / "emcee.h5"
    # Keys are those on disk. emcee's own HDF5 backend appends to its file in place, so that a kill
    # while it writes spoils it, and knows neither settings nor random numbers of the run.
    identity = {
        "kind": "emcee",
        "walkers": plan.walkers,
        "burn": plan.warmup,
        "block": plan.block,
        "seed": plan.seed,
        "starts": begin.tolist(),
    }
    arrays: Arrays = {
        "u": np.empty((0, plan.walkers, d)),
        "log_density": np.empty((0, plan.walkers)),
        "accepted": np.empty(0, dtype=np.int64),
        "block_steps": np.empty(0, dtype=np.int64),
        "block_seconds": np.empty(0),
        "block_evaluations": np.empty(0, dtype=np.int64),
        "random_keys": np.empty(0, dtype=np.uint32),
        "random_place": np.empty(0),
    }
    found = None if path is None else read_checkpoint(path, identity)
    if found is not None:
        arrays = found
        if len(arrays["u"]) > plan.warmup + plan.draws:
            raise ValueError(
                f"{path} holds {len(arrays['u'])} draws, more than {plan.warmup} + {plan.draws}; "
                "ask for as many, or pass overwrite=True to restart"
            )
    pool = _Pool(workers)
    # emcee asks for a function although the pool has it already.
    sampler = emcee.EnsembleSampler(plan.walkers, d, _log_density, pool=pool)
    if len(arrays["u"]):
        place = arrays["random_place"]
        random = ("MT19937", arrays["random_keys"], int(place[0]), int(place[1]), float(place[2]))
        state = emcee.State(
            arrays["u"][-1], log_prob=arrays["log_density"][-1], random_state=random
        )
    else:
        first = int(stream(plan.seed, "emcee").integers(2**32))
        state = emcee.State(begin, random_state=np.random.RandomState(first).get_state())
    total = plan.warmup + plan.draws
    bar = tqdm(
        total=total, initial=len(arrays["u"]), unit="draw", desc="emcee",
        disable=not watched(),
    )  # fmt: skip
    with bar:
        while len(arrays["u"]) < total:
            done = len(arrays["u"])
            # A block ends where the warm-up does, so that its time is known.
            end = plan.warmup if done < plan.warmup else total
            steps = min(plan.block, end - done)
            clock, asked = time.perf_counter(), pool.evaluations
            if state.log_prob is None:
                state.log_prob = np.array(pool.map(_log_density, state.coords))
                _refuse_dead(state.log_prob)
            sampler.reset()
            before = np.zeros(plan.walkers)
            taken = []
            for sample in sampler.sample(
                state, iterations=steps, skip_initial_state_check=True, store=True
            ):
                taken.append(int((sampler.backend.accepted - before).sum()))
                before = np.array(sampler.backend.accepted)
                state = sample
                bar.update(1)
            state = emcee.State(state, copy=True)
            arrays["u"] = np.concatenate([arrays["u"], sampler.get_chain()])
            arrays["log_density"] = np.concatenate([arrays["log_density"], sampler.get_log_prob()])
            arrays["accepted"] = np.append(arrays["accepted"], np.array(taken, dtype=np.int64))
            arrays["block_steps"] = np.append(arrays["block_steps"], steps)
            arrays["block_seconds"] = np.append(
                arrays["block_seconds"], time.perf_counter() - clock
            )
            arrays["block_evaluations"] = np.append(
                arrays["block_evaluations"], pool.evaluations - asked
            )
            _, keys, *rest = state.random_state
            arrays["random_keys"], arrays["random_place"] = np.array(keys), np.array(rest)
            if path is not None:
                write_checkpoint(path, identity, arrays)
    return arrays


def _refuse_dead(log_posterior: FloatArray) -> None:
    dead = np.flatnonzero(~np.isfinite(log_posterior))
    if dead.size:
        raise ValueError(
            f"walkers {dead.tolist()} start where the posterior density is 0: the HOD makes no "
            "galaxies there, or a crowd of them, or the point is out of bounds"
        )


def emcee_posterior(
    arrays: Arrays,
    plan: EnsemblePlan,
    priors: Priors,
    coordinates: Coordinates | None,
    *,
    title: str,
    data: Mapping[str, FloatArray] | None = None,
) -> Posterior:
    """Make a `Posterior` of what `run_emcee` gave, a walker as a chain; warns of what is amiss.

    Parameters
    ----------
    arrays, plan
        What `run_emcee` gave, and took.
    priors : Priors
    coordinates : Coordinates or None
        Coordinates that the walkers walked in; None for the parameters themselves.
    title : str
        Head of the warnings.
    data : mapping of str to ndarray, optional
        What was observed, for the record.
    """
    u = np.moveaxis(arrays["u"][plan.warmup :], 0, 1)
    warming = np.cumsum(arrays["block_steps"]) <= plan.warmup
    posterior = Posterior(
        names=priors.names,
        draws=u if coordinates is None else coordinates.params(u),
        stats={"lp": arrays["log_density"][plan.warmup :].T},
        priors=priors.to_dict(),
        data=dict(data or {}),
        settings={
            "sampler": "emcee",
            "walkers": plan.walkers,
            "warmup": plan.warmup,
            "draws": plan.draws,
            "block": plan.block,
            "seed": plan.seed,
            "acceptance": float(arrays["accepted"][plan.warmup :].mean() / plan.walkers),
            "evaluations": int(arrays["block_evaluations"][~warming].sum()),
            "seconds": float(arrays["block_seconds"].sum()),
            "seconds_warmup": float(arrays["block_seconds"][warming].sum()),
            "version": __version__,
        },
    )
    warn_of_problems(posterior, title)
    return posterior
