"""Posteriors by Pyro's NUTS."""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr.core.random import Seed, root_seed, stream
from pysoftcorr.core.torch import need
from pysoftcorr.core.version import __version__
from pysoftcorr.inference.density import LogPosterior
from pysoftcorr.inference.observation import Observation
from pysoftcorr.inference.posterior import Posterior

__all__ = ["sample_posterior"]

FloatArray = npt.NDArray[np.float64]
#: Draws at which the correlation functions are kept.
_CURVES = 500
_TRIES = 100


def sample_posterior(
    target: Any,
    observation: Observation | None = None,
    *,
    chains: int = 4,
    warmup: int = 1000,
    draws: int = 1000,
    mass: str = "dense",
    target_accept: float = 0.8,
    max_tree_depth: int = 10,
    seed: Seed = None,
    compiled: bool = True,
    progress: bool | None = None,
    **options: Any,
) -> Posterior:
    """Draw the free parameters of an emulator from their posterior, given an observation.

    Parameters
    ----------
    target : Emulator, or LogPosterior
        An emulator, or `SimulatedModel`, goes with an observation; a `LogPosterior` has one.
    observation : Observation, optional
    chains : int
        They start from the prior, independently.
    warmup, draws : int
        Of each chain; in the warm-up the step size and the mass matrix are adapted.
    mass : str
        Mass matrix: "dense" or "diagonal".
    target_accept : float
        Mean acceptance that the step size aims at, between 0 and 1.
    max_tree_depth : int
        A trajectory has at most 2^max_tree_depth steps.
    seed : int or numpy.random.Generator, optional
    compiled : bool
        Record the potential and its gradient in one graph (see `ValueAndGradient`).
    progress : bool, optional
        A progress bar; by default on a terminal alone.
    **options
        Those of `LogPosterior`: free, fixed, priors, noise, epistemic, jitter, on_outside.

    Returns
    -------
    Posterior

    Raises
    ------
    ValueError
        If a number is out of range, as `LogPosterior`, or where no chain finds a start of
        finite density.
    TypeError
        If an argument is of the wrong kind.
    ImportError
        If PyTorch or Pyro is not installed.

    Notes
    -----
    Hoffman & Gelman 2014; Betancourt 2017. Setting of Berman et al. 2025, section 7: the
    default likelihood, omega = 0 observed, 1000 + 1000 draws.

    Examples
    --------
    >>> from pysoftcorr.emulator import Emulator
    >>> from pysoftcorr.inference import Observation, sample_posterior
    >>> from pysoftcorr.mocks import HODModel
    >>> emulator = Emulator.untrained("response", bins=[0.1, 1, 4, 16], seed=1)
    >>> posterior = sample_posterior(
    ...     emulator, Observation.unaligned(emulator.edges), fixed=HODModel.preset("mstar10.0"),
    ...     chains=2, warmup=20, draws=10, seed=1, compiled=False)
    >>> posterior.samples.shape, posterior.names
    ((2, 10, 2), ('mu_cen', 'mu_sat'))
    """
    if isinstance(target, LogPosterior):
        if observation is not None or options:
            given = ", ".join([*options, *(["observation"] if observation is not None else [])])
            raise TypeError(f"{given}: a LogPosterior has its own")
        density = target
    else:
        if observation is None:
            raise TypeError("observation must be given with an emulator")
        density = LogPosterior(target, observation, **options)
    counts = {"chains": (chains, 1), "warmup": (warmup, 0), "draws": (draws, 1)}
    counts["max_tree_depth"] = (max_tree_depth, 1)
    for name, (value, least) in counts.items():
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
            raise TypeError(f"{name} = {value!r}: must be a whole number")
        if value < least:
            raise ValueError(f"{name} = {value}: must be at least {least}")
    if mass not in ("dense", "diagonal"):
        raise ValueError(f"mass = {mass!r}: must be 'dense' or 'diagonal'")
    if not 0 < target_accept < 1:
        raise ValueError(f"target_accept = {target_accept}: must be between 0 and 1")
    root = root_seed(seed)
    return _run(
        density,
        chains=int(chains),
        warmup=int(warmup),
        draws=int(draws),
        mass=mass,
        target_accept=float(target_accept),
        max_tree_depth=int(max_tree_depth),
        root=root,
        compiled=compiled,
        progress=sys.stderr.isatty() if progress is None else progress,
    )


def _run(
    density: LogPosterior,
    *,
    chains: int,
    warmup: int,
    draws: int,
    mass: str,
    target_accept: float,
    max_tree_depth: int,
    root: int,
    compiled: bool,
    progress: bool,
) -> Posterior:
    need("pyro.infer", "a posterior")
    torch = need("torch", "a posterior")
    from tqdm import tqdm

    from pysoftcorr.inference.compiled import ValueAndGradient
    from pysoftcorr.inference.nuts import LockstepNUTS, run_chains

    p = len(density.names)
    began = time.perf_counter()
    threads = torch.get_num_threads()
    try:
        # The tensors are small: threads would wait for one another.
        torch.set_num_threads(1)
        starts = _starts(density, chains, root)
        potential = ValueAndGradient(
            density.potential, p, batch=chains, probes=starts, compiled=compiled
        )
        ready = time.perf_counter()
        kernels = [
            LockstepNUTS(
                potential,
                starts[k],
                stream(root, f"chain {k}"),
                warmup=warmup,
                dense=mass == "dense",
                target_accept=target_accept,
                max_tree_depth=max_tree_depth,
            )
            for k in range(chains)
        ]
        total = chains * (warmup + draws)
        with tqdm(total=total, unit="draw", disable=not progress) as bar:
            made = run_chains(kernels, potential, draws=warmup + draws, done=bar.update)
    finally:
        torch.set_num_threads(threads)
    ended = time.perf_counter()
    kept = [chain[warmup:] for chain in made]
    samples = density.priors.physical(np.array([[d.point for d in chain] for chain in kept]))

    def of_draws(name: str, dtype: Any = np.float64) -> Any:
        return np.array([[getattr(d, name) for d in chain] for chain in kept], dtype=dtype)

    stats = {
        "lp": -of_draws("potential"),
        "energy": of_draws("energy"),
        "acceptance_rate": of_draws("acceptance"),
        "step_size": of_draws("step_size"),
        "tree_depth": of_draws("depth", np.int64),
        "n_steps": of_draws("steps", np.int64),
        "diverging": of_draws("diverging", np.bool_),
    }
    outside = density.outside(samples.reshape(-1, p))
    settings = {
        "sampler": "NUTS (pyro)",
        "chains": chains,
        "warmup": warmup,
        "draws": draws,
        "mass": mass,
        "target_accept": target_accept,
        "max_tree_depth": max_tree_depth,
        "seed": root,
        "noise": density.noise,
        "epistemic": density.epistemic,
        "jitter": density.jitter,
        "model": _describe(density.emulator),
        "compiled": potential.compiled,
        "closed_form": density.closed_form,
        "outside": 0.0 if outside is None else float(outside.any(axis=1).mean()),
        "seconds": ended - began,
        "seconds_setup": ready - began,
        "version": __version__,
    }
    return Posterior(
        names=density.names,
        samples=samples,
        stats=stats,
        priors=density.priors.to_dict(),
        fixed=density.fixed,
        observation=density.observation,
        curves=_curves(density, samples, root),
        settings=settings,
    )


def _starts(density: LogPosterior, chains: int, root: int) -> FloatArray:
    """A start of finite density for each chain, drawn from the prior; unbounded variables."""
    rng = stream(root, "starts")
    found: list[FloatArray] = []
    for _ in range(_TRIES):
        theta = density.priors.draw(chains, rng)
        good = np.isfinite(density(theta))
        found.extend(theta[good])
        if len(found) >= chains:
            return density.priors.unbounded(np.array(found[:chains]))
    raise ValueError(
        f"the posterior density is 0 or NaN at {_TRIES * chains} draws of the prior: the priors, "
        "the emulator and the data do not go together"
    )


def _curves(density: LogPosterior, samples: FloatArray, root: int) -> dict[str, FloatArray]:
    """The correlation functions at some of the draws: ``omega`` and ``omega_std``, and so on."""
    flat = samples.reshape(-1, samples.shape[-1])
    chosen = np.sort(stream(root, "curves").permutation(len(flat))[:_CURVES])
    out: dict[str, FloatArray] = {}
    for name, (mean, std) in density.predict(flat[chosen]).items():
        out[name], out[f"{name}_std"] = np.array(mean), np.array(std)
    return out


def _describe(emulator: Any) -> dict[str, Any]:
    out: dict[str, Any] = {"class": type(emulator).__name__}
    for name in ("kind", "realizations"):
        if isinstance(getattr(emulator, name, None), (str, int)):
            out[name] = getattr(emulator, name)
    return out
