"""NUTS by Pyro, in blocks: what a block leaves is all that the next one starts from."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from pysoftcorr.core.random import stream
from pysoftcorr.diffhod.experiments.checkpoint import Arrays, read_checkpoint, write_checkpoint
from pysoftcorr.diffhod.experiments.target import Target
from pysoftcorr.diffhod.experiments.workers import Workers

__all__ = ["NutsPlan", "nuts_block", "run_nuts"]

FloatArray = npt.NDArray[np.float64]

#: Weight, in steps, of the metric one starts from against that of the steps done.
_METRIC_PRIOR = 10.0


@dataclass(frozen=True, kw_only=True)
class NutsPlan:
    """How many steps, and how they are made.

    Attributes
    ----------
    chains : int
    warmup : int
        Steps in which the step size and the metric are learned; not part of the result.
    steps : int
        Steps of each chain after those.
    block : int
        Steps between two writings of the state of a chain.
    accept : float
        Acceptance that the step size is adapted to.
    depth : int
        Most doublings of a trajectory.
    seed : int

    Raises
    ------
    ValueError
        If a number is out of range.

    Examples
    --------
    >>> from pysoftcorr.diffhod.experiments.chains import NutsPlan
    >>> NutsPlan(chains=3, warmup=60, steps=100, block=50, seed=1).blocks()
    [(9, 'step'), (39, 'metric'), (12, 'step'), (50, 'sample'), (50, 'sample')]
    """

    chains: int
    warmup: int
    steps: int
    block: int = 25
    accept: float = 0.8
    depth: int = 10
    seed: int

    def __post_init__(self) -> None:
        for name, least in (("chains", 1), ("warmup", 10), ("steps", 4), ("block", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} = {getattr(self, name)}: must be at least {least}")
        if not 0 < self.accept < 1:
            raise ValueError(f"accept = {self.accept}: must lie between 0 and 1")
        if not 1 <= self.depth <= 20:
            raise ValueError(f"depth = {self.depth}: must be 1 to 20")

    def blocks(self) -> list[tuple[int, str]]:
        """Steps and kind of each block: the step size alone is adapted in the first and the last
        of the warm-up, the metric is learned at the end of those between."""
        first, last = math.ceil(0.15 * self.warmup), math.ceil(0.2 * self.warmup)
        between = self.warmup - first - last
        longest = max(self.block, 25)
        parts = max(1, round(between / longest))
        middle = [between // parts + (i < between % parts) for i in range(parts)]
        found = [(first, "step")]
        found += [(n, "metric") for n in middle if n]
        found.append((last, "step"))
        full, rest = divmod(self.steps, self.block)
        return found + [(self.block, "sample")] * full + [(rest, "sample")] * (rest > 0)


def nuts_block(
    target: Target,
    u: FloatArray,
    metric: FloatArray,
    step_size: float,
    steps: int,
    adapt: bool,
    seed: int,
    accept: float,
    depth: int,
) -> Arrays:
    """Some steps of one chain: a function of its arguments alone, bit for bit.

    Parameters
    ----------
    target : Target
        With coordinates.
    u : ndarray, shape (d,)
        Where it starts.
    metric : ndarray, shape (d, d)
        Lower Cholesky factor of the covariance that the trajectories are scaled by.
    step_size : float
    steps : int
    adapt : bool
        Whether the step size is adapted.
    seed : int
    accept, depth
        As of `NutsPlan`.

    Returns
    -------
    dict of ndarray
        ``u`` (steps, d), ``potential``, ``gradients`` (evaluations of the potential with its
        gradient) and ``diverging`` by step; ``step_size``, ``acceptance``, ``extra`` (gradients
        before the first step) and ``seconds``.
    """
    import pyro
    from pyro.infer import NUTS

    begun = time.perf_counter()
    lower = torch.as_tensor(metric)
    seen: dict[bytes, float] = {}
    calls = 0

    def potential(z: dict[str, torch.Tensor]) -> torch.Tensor:
        nonlocal calls
        calls += 1
        value = target.potential(lower @ z["v"])
        seen[z["v"].detach().numpy().tobytes()] = float(value.detach())
        return value

    kernel = NUTS(
        potential_fn=potential,
        step_size=step_size,
        adapt_step_size=adapt,
        adapt_mass_matrix=False,  # the metric is in the coordinates v
        target_accept_prob=accept,
        max_tree_depth=depth,
    )
    position = {"v": torch.linalg.solve_triangular(lower, torch.as_tensor(u)[:, None], upper=False)}
    position["v"] = position["v"][:, 0].contiguous()
    kernel.initial_params = position
    out: dict[str, list[Any]] = {"u": [], "potential": [], "gradients": []}
    # Pyro draws from torch's own generator, which others shall find as they left it.
    with torch.random.fork_rng(devices=[]), pyro.validation_enabled(False):
        torch.manual_seed(seed)
        kernel.setup(steps if adapt else 0)
        extra = calls
        for _ in range(steps):
            here = position["v"].detach().numpy().tobytes()
            seen_here, before = seen[here], calls
            seen.clear()
            seen[here] = seen_here
            position = kernel.sample(position)
            v = position["v"].detach()
            out["u"].append((lower @ v).numpy())
            out["potential"].append(seen[v.numpy().tobytes()])
            out["gradients"].append(calls - before)
    diverging = np.zeros(steps, dtype=bool)
    if not adapt:
        diverging[kernel.diagnostics()["divergences"]] = True
    return {
        "u": np.array(out["u"]),
        "potential": np.array(out["potential"]),
        "gradients": np.array(out["gradients"]),
        "diverging": diverging,
        "step_size": np.array(float(kernel.step_size)),
        "acceptance": np.array(float(kernel.logging()["acc. prob"])),
        "extra": np.array(extra),
        "seconds": np.array(time.perf_counter() - begun),
    }


class _Chain:
    """One chain: its arrays, and what its next block starts from."""

    def __init__(self, number: int, plan: NutsPlan, start: FloatArray, path: Path | None) -> None:
        self.number, self.plan, self.path = number, plan, path
        self.blocks = plan.blocks()
        d = start.size
        self.identity = {
            **asdict(plan),
            "chain": number,
            "start": start.tolist(),
            "kind": "nuts",
        }
        # Chains may be made longer: what is there already does not depend on how many there are.
        self.identity.pop("steps")
        self.identity.pop("chains")
        self.arrays: Arrays = {
            "u": np.empty((0, d)),
            "potential": np.empty(0),
            "gradients": np.empty(0, dtype=np.int64),
            "diverging": np.empty(0, dtype=bool),
            "block": np.empty(0, dtype=np.int64),
            "block_steps": np.empty(0, dtype=np.int64),
            "block_step_size": np.empty(0),
            "block_acceptance": np.empty(0),
            "block_extra": np.empty(0, dtype=np.int64),
            "block_seconds": np.empty(0),
            "start": start,
        }
        found = None if path is None else read_checkpoint(path, self.identity)
        if found is not None:
            self.arrays = found
            done = found["block_steps"].tolist()
            if done != [n for n, _ in self.blocks[: len(done)]]:
                raise ValueError(
                    f"{path} holds a chain of blocks that a chain of {plan.steps} steps has not; "
                    "pass overwrite=True to begin anew"
                )

    @property
    def done(self) -> int:
        return len(self.arrays["block_steps"])

    @property
    def finished(self) -> bool:
        return self.done >= len(self.blocks)

    def submit(self, workers: Workers) -> Future[Any]:
        b, a = self.done, self.arrays
        steps, kind = self.blocks[b]
        seed = int(stream(self.plan.seed, f"nuts chain {self.number} block {b}").integers(2**62))
        step_size = self._sampling_step() if kind == "sample" else self._last_step()
        return workers.submit(
            nuts_block, a["u"][-1] if b else a["start"], self._metric(), step_size, steps,
            kind != "sample", seed, self.plan.accept, self.plan.depth,
        )  # fmt: skip

    def _last_step(self) -> float:
        return float(self.arrays["block_step_size"][-1]) if self.done else 0.5

    def _sampling_step(self) -> float:
        """The mean, of logarithms, over the later two thirds of the warm-up: one block sees but a
        part of the posterior, and others may be narrower."""
        kinds = [kind for _, kind in self.blocks]
        warmup = kinds.index("sample")
        later = slice(warmup - math.ceil(2 * warmup / 3), warmup)
        steps = self.arrays["block_steps"][later]
        logs = np.log(self.arrays["block_step_size"][later])
        return float(np.exp((steps * logs).sum() / steps.sum()))

    def _metric(self) -> FloatArray:
        """Of the steps of the metric blocks done so far, drawn toward the identity."""
        d = self.arrays["start"].size
        learned = [
            b for b in range(min(self.done, len(self.blocks))) if self.blocks[b][1] == "metric"
        ]
        used = np.isin(self.arrays["block"], learned)
        number = int(used.sum())
        if number < 2:
            return np.eye(d)
        found = np.cov(self.arrays["u"][used].T).reshape(d, d)
        found = (number * found + _METRIC_PRIOR * np.eye(d)) / (number + _METRIC_PRIOR)
        return np.asarray(np.linalg.cholesky(found))

    def add(self, block: Arrays) -> None:
        a, b = self.arrays, self.done
        for name in ("u", "potential", "gradients", "diverging"):
            a[name] = np.concatenate([a[name], block[name]])
        steps = len(block["u"])
        a["block"] = np.concatenate([a["block"], np.full(steps, b)])
        a["block_steps"] = np.append(a["block_steps"], steps)
        for name in ("step_size", "acceptance", "extra", "seconds"):
            key = f"block_{name}"
            a[key] = np.append(a[key], block[name])
        if self.path is not None:
            write_checkpoint(self.path, self.identity, a)


def run_nuts(
    workers: Workers,
    plan: NutsPlan,
    starts: npt.ArrayLike,
    *,
    folder: Path | None = None,
    tell: Callable[[str], None] | None = None,
) -> list[Arrays]:
    """Chains of NUTS; with a folder, they go on where an earlier run was ended.

    Parameters
    ----------
    workers : Workers
        Of a problem whose target has coordinates.
    plan : NutsPlan
    starts : array_like, shape (chains, d)
        In the coordinates u.
    folder : Path, optional
        Where the state of each chain is written after each block, ``nuts-0.h5`` and so on. A run
        that was killed and goes on gives the same bits as one that was not.
    tell : callable, optional
        Called with the name of a chain when it is finished.

    Returns
    -------
    list of dict
        For each chain the arrays of `nuts_block` of all its blocks, warm-up among them, and
        ``block``, the number of the block of each step.

    Raises
    ------
    ValueError
        If the starts do not fit, or a file in the folder is of another run.
    """
    begin = np.array(starts, dtype=np.float64)
    if begin.ndim != 2 or len(begin) != plan.chains:
        raise ValueError(f"starts of shape {begin.shape}: must be ({plan.chains}, parameters)")
    chains = [
        _Chain(c, plan, begin[c], None if folder is None else folder / f"nuts-{c}.h5")
        for c in range(plan.chains)
    ]
    total = sum(n for n, _ in plan.blocks()) * plan.chains
    bar = tqdm(
        total=total, initial=sum(len(c.arrays["u"]) for c in chains), unit="step", desc="NUTS",
        disable=not sys.stderr.isatty(),
    )  # fmt: skip
    with bar:
        running: dict[Future[Any], _Chain] = {}
        waiting = [c for c in chains if not c.finished]
        while waiting or running:
            # Chains in turn, so that all of them move on with fewer workers than chains.
            waiting.sort(key=lambda c: (c.done, c.number))
            while waiting and len(running) < workers.number:
                chain = waiting.pop(0)
                running[chain.submit(workers)] = chain
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                chain = running.pop(future)
                chain.add(future.result())
                bar.update(int(chain.arrays["block_steps"][-1]))
                if not chain.finished:
                    waiting.append(chain)
                elif tell is not None:
                    tell(f"nuts-{chain.number}")
    return [c.arrays for c in chains]
