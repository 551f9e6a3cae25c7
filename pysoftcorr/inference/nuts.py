"""Pyro's NUTS for two kinds of density: chains that step together, and chains in blocks.

A density that costs less than Pyro's own work, 0.2 ms a step for its tree of dictionaries of small
tensors, is sampled by `LockstepNUTS`: a trajectory is a generator in NumPy that asks for the
potential at one point after the other, so that one call of it serves all chains. One that takes
milliseconds is sampled by `run_nuts`: each chain in blocks of steps of Pyro's own kernel, which
several processes share and which are kept in files, so that a run that was ended is resumed. In
both, what a chain does depends on its own random numbers alone. The two draw their numbers from
different generators: neither can replace the other without changing every chain.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyro
import torch
from pyro.infer import NUTS
from tqdm import tqdm

from pysoftcorr.core.options import MOST_CHAINS, MOST_DRAWS, count, integer, number
from pysoftcorr.core.progress import watched
from pysoftcorr.core.random import stream
from pysoftcorr.core.torch import once
from pysoftcorr.core.version import __version__
from pysoftcorr.inference.checkpoint import Arrays, read_checkpoint, write_checkpoint
from pysoftcorr.inference.compiled import ValueAndGradient
from pysoftcorr.inference.posterior import Posterior, warn_of_problems
from pysoftcorr.inference.target import Coordinates, Target
from pysoftcorr.inference.workers import Workers

__all__ = [
    "Draw",
    "LockstepNUTS",
    "NutsPlan",
    "nuts_block",
    "nuts_posterior",
    "run_lockstep",
    "run_nuts",
]

FloatArray = npt.NDArray[np.float64]
#: Asks for the potential at a point, and is sent its value and gradient there.
Steps = Generator[FloatArray, tuple[float, FloatArray], Any]

#: Weight, in steps, of the metric that one starts from against that of the steps done.
_METRIC_PRIOR = 10.0


class Draw(NamedTuple):
    """One draw of one chain."""

    point: FloatArray
    potential: float
    energy: float
    acceptance: float
    step_size: float
    depth: int
    steps: int
    diverging: bool


class _State(NamedTuple):
    """A place on a trajectory: position, momentum and gradient, all in whitened coordinates."""

    q: FloatArray
    rho: FloatArray
    gradient: FloatArray


class _Tree(NamedTuple):
    left: _State
    right: _State
    proposal: tuple[FloatArray, float, FloatArray]
    rho_sum: FloatArray
    log_weight: float
    turning: bool
    diverging: bool
    acceptance: float
    steps: int


class _Potential(torch.autograd.Function):
    """The potential as Pyro wants it when it sets itself up."""

    @staticmethod
    def forward(ctx: Any, u: Any, evaluate: Any) -> Any:
        value, gradient = evaluate(u.detach().numpy()[None])
        ctx.save_for_backward(u, torch.tensor(gradient[0]))
        return torch.tensor(value[0])

    @staticmethod
    def backward(ctx: Any, *outer: Any) -> Any:
        u, gradient = ctx.saved_tensors
        return once("the potential of NUTS", outer[0] * gradient, u, outer[0]), None


class LockstepNUTS(NUTS):
    """`pyro.infer.NUTS` of one chain, whose transitions are generators.

    Multinomial sampling along the trajectory, as Pyro's default (Betancourt 2017, appendix A).

    Parameters
    ----------
    potential : ValueAndGradient
    start : ndarray, shape (p,)
    rng : numpy.random.Generator
        All that is random in this chain.
    warmup : int
    dense : bool
        Dense mass matrix, or a diagonal one.
    target_accept : float
    max_tree_depth : int
    covariance : ndarray, shape (p, p), optional
        What the mass matrix starts from, before draws have taught another; the identity.
    """

    def __init__(
        self,
        potential: ValueAndGradient,
        start: FloatArray,
        rng: np.random.Generator,
        *,
        warmup: int,
        dense: bool = True,
        target_accept: float = 0.8,
        max_tree_depth: int = 10,
        covariance: FloatArray | None = None,
    ) -> None:
        super().__init__(
            potential_fn=lambda z: _Potential.apply(z["u"], potential),
            full_mass=dense,
            target_accept_prob=target_accept,
            max_tree_depth=max_tree_depth,
        )
        self._evaluate = potential
        self._rng = rng
        self._metric: Any = None
        self._lower: FloatArray = np.eye(len(start))
        self._dense = dense
        self._here = (start, *self._at(start))
        self.initial_params = {"u": torch.tensor(start)}
        self.setup(warmup)
        if covariance is not None:
            known = covariance if dense else np.diag(covariance)
            self.mass_matrix_adapter.inverse_mass_matrix = {("u",): torch.tensor(known)}
            self._adapter.reset_step_size_adaptation(self.initial_params)

    def _at(self, point: FloatArray) -> tuple[float, FloatArray]:
        value, gradient = self._evaluate(point[None])
        return float(value[0]), gradient[0].copy()

    def _whitening(self) -> FloatArray:
        """L with inverse mass matrix L L^T: points are L q, and q has unit mass."""
        (metric,) = self.inverse_mass_matrix.values()
        if metric is not self._metric:
            self._metric = metric
            values = metric.numpy()
            self._lower = (
                np.linalg.cholesky(values) if values.ndim == 2 else np.diag(np.sqrt(values))
            )
        return self._lower

    def _find_reasonable_step_size(self, z: Any) -> float:
        """Double or halve the step until the acceptance of one crosses 0.8, like Pyro."""
        lower = self._whitening()
        point, value, gradient = self._here
        size = float(self.step_size)
        previous = 0
        while self._min_stepsize < size < self._max_stepsize:
            rho = self._rng.standard_normal(point.size)
            half = rho - 0.5 * size * (lower.T @ gradient)
            after, slope = self._at(point + size * (lower @ half))
            end = half - 0.5 * size * (lower.T @ slope)
            change = after + 0.5 * end @ end - value - 0.5 * rho @ rho
            direction = 1 if self._direction_threshold < -change else -1
            if previous not in (0, direction):
                break
            previous = direction
            size *= 2.0**direction
        return min(max(size, self._min_stepsize), self._max_stepsize)

    # ------------------------------------------------------------------ a transition
    def transition(self) -> Steps:
        """One draw: yields points, is sent (potential, gradient) of each; gives a `Draw`."""
        lower = self._whitening()
        point, value, gradient = self._here
        step_size = float(self.step_size)
        rho = self._rng.standard_normal(point.size)
        energy = value + 0.5 * float(rho @ rho)
        # q is counted from the present point.
        left = right = _State(np.zeros_like(point), rho, lower.T @ gradient)
        chosen, chosen_value, chosen_gradient = np.zeros_like(point), value, gradient
        moved, diverging = False, False
        rho_sum, log_weight = rho, 0.0
        acceptance, steps, depth = 0.0, 0, 0
        while depth < self._max_tree_depth:
            forward = self._rng.random() < 0.5
            signed = step_size if forward else -step_size
            start = right if forward else left
            tree = yield from self._grow(start, signed, depth, energy, point, lower)
            if forward:
                right = tree.right
            else:
                left = tree.left
            acceptance, steps = acceptance + tree.acceptance, steps + tree.steps
            if tree.diverging or tree.turning:
                diverging = tree.diverging
                break
            depth += 1
            if self._rng.random() < math.exp(min(tree.log_weight - log_weight, 0.0)):
                chosen, chosen_value, chosen_gradient = tree.proposal
                moved = True
            rho_sum = rho_sum + tree.rho_sum
            if _turning(left.rho, right.rho, rho_sum):
                break
            log_weight = _log_sum(log_weight, tree.log_weight)
        if moved:
            self._here = (point + lower @ chosen, chosen_value, chosen_gradient)
        return self._finished(acceptance / steps, energy, step_size, depth, steps, diverging)

    def _finished(
        self,
        acceptance: float,
        energy: float,
        step_size: float,
        depth: int,
        steps: int,
        diverging: bool,
    ) -> Draw:
        """Adapt, while that is to be done, and record the draw."""
        self._t += 1
        if self._t <= self._warmup_steps:
            place = {"u": torch.tensor(self._here[0])}
            self._adapter.step(self._t, place, torch.tensor(acceptance, dtype=torch.float64))
        point, value, _ = self._here
        return Draw(point, value, energy, acceptance, step_size, depth, steps, diverging)

    def _grow(
        self,
        state: _State,
        step: float,
        depth: int,
        energy: float,
        origin: FloatArray,
        lower: FloatArray,
    ) -> Steps:
        """A tree of 2^depth leapfrog steps in one direction; gives a `_Tree`."""
        if depth == 0:
            half = state.rho - (0.5 * step) * state.gradient
            q = state.q + step * half
            value, gradient = yield origin + lower @ q
            slope = lower.T @ gradient
            rho = half - (0.5 * step) * slope
            change = value + 0.5 * float(rho @ rho) - energy
            if change != change:
                change = math.inf
            here = _State(q, rho, slope)
            return _Tree(
                left=here,
                right=here,
                proposal=(q, value, gradient),
                rho_sum=rho,
                log_weight=-change,
                turning=False,
                diverging=change > self._max_sliced_energy,
                acceptance=math.exp(min(-change, 0.0)),
                steps=1,
            )
        near = yield from self._grow(state, step, depth - 1, energy, origin, lower)
        if near.turning or near.diverging:
            return near
        edge = near.right if step > 0 else near.left
        far = yield from self._grow(edge, step, depth - 1, energy, origin, lower)
        log_weight = _log_sum(near.log_weight, far.log_weight)
        take_far = self._rng.random() < math.exp(min(far.log_weight - log_weight, 0.0))
        left, right = (near.left, far.right) if step > 0 else (far.left, near.right)
        rho_sum = near.rho_sum + far.rho_sum
        return _Tree(
            left=left,
            right=right,
            proposal=far.proposal if take_far else near.proposal,
            rho_sum=rho_sum,
            log_weight=log_weight,
            turning=far.turning or _turning(left.rho, right.rho, rho_sum),
            diverging=far.diverging,
            acceptance=near.acceptance + far.acceptance,
            steps=near.steps + far.steps,
        )


def _turning(left: FloatArray, right: FloatArray, total: FloatArray) -> bool:
    between = total - 0.5 * (left + right)
    return bool(left @ between <= 0 or right @ between <= 0)


def _log_sum(a: float, b: float) -> float:
    high, low = (a, b) if a > b else (b, a)
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))


def run_lockstep(
    kernels: list[LockstepNUTS],
    potential: Callable[[FloatArray], tuple[FloatArray, FloatArray]],
    *,
    draws: int,
    done: Callable[[], None] = lambda: None,
) -> list[list[Draw]]:
    """Let every chain make this many draws, all asking for the potential together.

    Parameters
    ----------
    kernels : list of LockstepNUTS
    potential : callable
        Values and gradients at points of shape (n, p).
    draws : int
    done : callable
        Called after each draw of any chain.

    Returns
    -------
    list of list of Draw
        By chain.
    """
    out: list[list[Draw]] = [[] for _ in kernels]

    def chain(k: int) -> Generator[FloatArray, tuple[float, FloatArray], None]:
        for _ in range(draws):
            out[k].append((yield from kernels[k].transition()))
            done()

    running = [chain(k) for k in range(len(kernels))] if draws else []
    points = [next(each) for each in running]
    while running:
        values, gradients = potential(np.array(points))
        going, wanted = [], []
        for k, each in enumerate(running):
            try:
                wanted.append(each.send((float(values[k]), gradients[k])))
                going.append(each)
            except StopIteration:
                pass
        running, points = going, wanted
    return out


# ---------------------------------------------------------------------- chains in blocks
@dataclass(frozen=True, kw_only=True)
class NutsPlan:
    """How many draws `run_nuts` makes, and how.

    Attributes
    ----------
    chains : int
    warmup : int
        Draws in which the step size and the metric are learned; not part of the result.
    draws : int
        Draws of each chain after those.
    block : int
        Draws between two writings of the state of a chain.
    target_accept : float
        Acceptance that the step size is adapted to.
    max_tree_depth : int
        Most doublings of a trajectory.
    seed : int

    Raises
    ------
    ValueError
        If a number is out of range.

    Examples
    --------
    >>> from pysoftcorr.inference.nuts import NutsPlan
    >>> NutsPlan(chains=3, warmup=60, draws=100, block=50, seed=1).blocks()
    [(9, 'step'), (39, 'metric'), (12, 'step'), (50, 'sample'), (50, 'sample')]
    """

    chains: int
    warmup: int
    draws: int
    block: int = 25
    target_accept: float = 0.8
    max_tree_depth: int = 10
    seed: int

    def __post_init__(self) -> None:
        for name, least in (("chains", 1), ("warmup", 10), ("draws", 4), ("block", 1)):
            most = MOST_CHAINS if name == "chains" else MOST_DRAWS
            count(name, getattr(self, name), least=least, most=most)
        number("target_accept", self.target_accept, above=0, below=1)
        integer("max_tree_depth", self.max_tree_depth, least=1, most=20)

    def blocks(self) -> list[tuple[int, str]]:
        """Draws and kind of each block: the step size alone is adapted in the first and the last
        of the warm-up, the metric is learned at the end of those between."""
        first, last = math.ceil(0.15 * self.warmup), math.ceil(0.2 * self.warmup)
        between = self.warmup - first - last
        longest = max(self.block, 25)
        parts = max(1, round(between / longest))
        middle = [between // parts + (i < between % parts) for i in range(parts)]
        found = [(first, "step")]
        found += [(n, "metric") for n in middle if n]
        found.append((last, "step"))
        full, rest = divmod(self.draws, self.block)
        return found + [(self.block, "sample")] * full + [(rest, "sample")] * (rest > 0)


def nuts_block(
    target: Target,
    u: FloatArray,
    metric: FloatArray,
    step_size: float,
    *,
    draws: int,
    adapt: bool,
    seed: int,
    target_accept: float = 0.8,
    max_tree_depth: int = 10,
) -> Arrays:
    """Some draws of one chain: a function of its arguments alone, bit for bit.

    Parameters
    ----------
    target : Target
        With coordinates.
    u : ndarray, shape (d,)
        Where it starts.
    metric : ndarray, shape (d, d)
        Lower Cholesky factor of the covariance that the trajectories are scaled by.
    step_size : float
    draws : int
    adapt : bool
        Whether the step size is adapted.
    seed : int
    target_accept, max_tree_depth
        As of `NutsPlan`.

    Returns
    -------
    dict of ndarray
        ``u`` (draws, d), ``potential``, ``gradients`` (evaluations of the potential with its
        gradient) and ``diverging`` by draw; ``step_size``, ``acceptance``, ``extra`` (gradients
        before the first draw) and ``seconds``.
    """
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
        target_accept_prob=target_accept,
        max_tree_depth=max_tree_depth,
    )
    position = {"v": torch.linalg.solve_triangular(lower, torch.as_tensor(u)[:, None], upper=False)}
    position["v"] = position["v"][:, 0].contiguous()
    kernel.initial_params = position
    out: dict[str, list[Any]] = {"u": [], "potential": [], "gradients": []}
    # Pyro draws from torch's own generator, which others shall find as they left it.
    with torch.random.fork_rng(devices=[]), pyro.validation_enabled(False):
        torch.manual_seed(seed)
        kernel.setup(draws if adapt else 0)
        extra = calls
        for _ in range(draws):
            here = position["v"].detach().numpy().tobytes()
            seen_here, before = seen[here], calls
            seen.clear()
            seen[here] = seen_here
            position = kernel.sample(position)
            v = position["v"].detach()
            out["u"].append((lower @ v).numpy())
            out["potential"].append(seen[v.numpy().tobytes()])
            out["gradients"].append(calls - before)
    diverging = np.zeros(draws, dtype=bool)
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
        # Not the numbers of chains and draws: chains may be made longer. Keys are those on disk.
        self.identity = {
            "kind": "nuts",
            "warmup": plan.warmup,
            "block": plan.block,
            "accept": plan.target_accept,
            "depth": plan.max_tree_depth,
            "seed": plan.seed,
            "chain": number,
            "start": start.tolist(),
        }
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
                    f"{path} holds a chain of blocks that a chain of {plan.draws} draws has not; "
                    "pass overwrite=True to restart"
                )

    @property
    def done(self) -> int:
        return len(self.arrays["block_steps"])

    @property
    def finished(self) -> bool:
        return self.done >= len(self.blocks)

    def submit(self, workers: Workers) -> Future[Any]:
        b, a = self.done, self.arrays
        draws, kind = self.blocks[b]
        seed = int(stream(self.plan.seed, f"nuts chain {self.number} block {b}").integers(2**62))
        step_size = self._sampling_step() if kind == "sample" else self._last_step()
        block = partial(
            nuts_block, draws=draws, adapt=kind != "sample", seed=seed,
            target_accept=self.plan.target_accept, max_tree_depth=self.plan.max_tree_depth,
        )  # fmt: skip
        return workers.submit(block, a["u"][-1] if b else a["start"], self._metric(), step_size)

    def _last_step(self) -> float:
        return float(self.arrays["block_step_size"][-1]) if self.done else 0.5

    def _sampling_step(self) -> float:
        """Mean, of logarithms, over the later two thirds of the warm-up: one block sees but a
        part of the posterior, and others may be narrower."""
        kinds = [kind for _, kind in self.blocks]
        warmup = kinds.index("sample")
        later = slice(warmup - math.ceil(2 * warmup / 3), warmup)
        steps = self.arrays["block_steps"][later]
        logs = np.log(self.arrays["block_step_size"][later])
        return float(np.exp((steps * logs).sum() / steps.sum()))

    def _metric(self) -> FloatArray:
        """Lower Cholesky factor of the covariance of the metric blocks so far, drawn to unity."""
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
    """Chains of NUTS in blocks; with a folder, one that was ended is resumed.

    Parameters
    ----------
    workers : Workers
        Workers of a problem whose target has coordinates.
    plan : NutsPlan
    starts : array_like, shape (chains, d)
        In the coordinates u.
    folder : Path, optional
        Where the state of each chain is written after each block, ``nuts-0.h5`` and so on. A run
        that was killed and is resumed gives the same bits as one that was not.
    tell : callable, optional
        Called with the name of a chain when it is finished.

    Returns
    -------
    list of dict
        For each chain the arrays of `nuts_block` of all its blocks, warm-up among them, and
        ``block``, the number of the block of each draw.

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
        total=total, initial=sum(len(c.arrays["u"]) for c in chains), unit="draw", desc="NUTS",
        disable=not watched(),
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


def nuts_posterior(
    chains: Sequence[Arrays],
    plan: NutsPlan,
    coordinates: Coordinates,
    *,
    title: str,
    data: Mapping[str, FloatArray] | None = None,
    workers: int = 1,
) -> Posterior:
    """Make a `Posterior` of what `run_nuts` gave, in parameters; warns of what is amiss.

    Parameters
    ----------
    chains, plan
        What `run_nuts` gave, and took.
    coordinates : Coordinates
        Coordinates that the chains walked in.
    title : str
        Head of the warnings.
    data : mapping of str to ndarray, optional
        What was observed, for the record.
    workers : int
        Processes that there were: what seconds are counted by.
    """
    kinds = [kind for _, kind in plan.blocks()]
    first = kinds.index("sample")
    kept = [c["block"] >= first for c in chains]

    def of_draws(key: str) -> npt.NDArray[Any]:
        return np.stack([c[key][k] for c, k in zip(chains, kept, strict=True)])

    warmup, drawing = (
        _elapsed([c["block_seconds"][part] for c in chains], min(workers, len(chains)))
        for part in (slice(0, first), slice(first, None))
    )
    gradients = of_draws("gradients")
    extra = sum(int(c["block_extra"][first:].sum()) for c in chains)
    posterior = Posterior(
        names=coordinates.priors.names,
        draws=coordinates.params(of_draws("u")),
        stats={
            "n_steps": gradients,
            "diverging": of_draws("diverging"),
            "lp": -of_draws("potential"),
        },
        priors=coordinates.priors.to_dict(),
        data=dict(data or {}),
        settings={
            "sampler": "NUTS (pyro)",
            "chains": plan.chains,
            "warmup": plan.warmup,
            "draws": plan.draws,
            "block": plan.block,
            "target_accept": plan.target_accept,
            "max_tree_depth": plan.max_tree_depth,
            "seed": plan.seed,
            "step_size": [float(c["block_step_size"][-1]) for c in chains],
            "acceptance": [float(c["block_acceptance"][first:].mean()) for c in chains],
            "evaluations": int(gradients.sum()) + extra,
            "seconds": warmup + drawing,
            "seconds_warmup": warmup,
            "version": __version__,
        },
    )
    warn_of_problems(posterior, title)
    return posterior


def _elapsed(blocks: list[FloatArray], workers: int) -> float:
    """Wall clock of chains shared among workers: never less than the longest of them. Workers are
    busy but for the end, when there are fewer chains than workers left."""
    each = [float(b.sum()) for b in blocks]
    return max(sum(each) / workers, *each)
