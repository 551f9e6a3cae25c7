"""Posteriors of an emulator's parameters by Pyro's NUTS."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pysoftcorr.core.extras import need
from pysoftcorr.core.options import MOST_CHAINS, MOST_DRAWS, choice, count, flag, integer, number
from pysoftcorr.core.progress import watched
from pysoftcorr.core.random import Seed, root_seed, stream
from pysoftcorr.core.torch import one_thread
from pysoftcorr.core.version import __version__
from pysoftcorr.inference.density import ALIGNMENT, CorrelationModel, LogPosterior
from pysoftcorr.inference.observation import Observation
from pysoftcorr.inference.posterior import Posterior, warn_of_problems
from pysoftcorr.inference.priors import Prior

if TYPE_CHECKING:
    from pysoftcorr.inference.compiled import ValueAndGradient

__all__ = ["sample_posterior"]

FloatArray = npt.NDArray[np.float64]
#: Draws at which the correlation functions are kept.
_CURVES = 500
_TRIES = 100
#: Draws of the prior, of which one begins a chain or the best a descent; step of its gradients'
#: differences; least curvature, near that of a logistic density; potential where there is none.
_TRIED, _STEP, _FLAT, _HIGH = 64, 1e-4, 0.1, 1e10
#: Descents at least.
_DESCENTS = 4


def sample_posterior(
    target: CorrelationModel | LogPosterior,
    observation: Observation | None = None,
    *,
    free: str | Sequence[str] = ALIGNMENT,
    fixed: Any = None,
    priors: Mapping[str, Prior | str] | None = None,
    noise: str = "auto",
    likelihood: str = "auto",
    epistemic: bool = False,
    jitter: float | None = None,
    on_outside: str = "error",
    chains: int = 4,
    warmup: int = 1000,
    draws: int = 1000,
    mass: str = "dense",
    target_accept: float = 0.8,
    max_tree_depth: int = 10,
    seed: Seed = None,
    compiled: bool = True,
    progress: bool | None = None,
) -> Posterior:
    """Draw the free parameters of an emulator from their posterior, given an observation.

    Warns where r-hat, effective draws, divergences and such speak against the draws:
    `Posterior.problems`.

    Parameters
    ----------
    target : Emulator, or LogPosterior
        An emulator, or `SimulatedModel`, goes with an observation; a `LogPosterior` has one.
    observation : Observation, optional
    free, fixed, priors, noise, likelihood, epistemic, jitter, on_outside
        As of `LogPosterior`, which has its own if it is the target.
    chains : int
        They start at draws of the prior, taken by the likelihood.
    warmup, draws : int
        Numbers of draws of each chain; in the warm-up the step size and the mass matrix are
        adapted.
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
    >>> posterior.draws.shape, posterior.names
    ((2, 10, 2), ('mu_cen', 'mu_sat'))
    """
    if isinstance(target, LogPosterior):
        given = {
            "observation": observation is not None,
            "free": free is not ALIGNMENT,
            "fixed": fixed is not None,
            "priors": priors is not None,
            "noise": noise != "auto",
            "likelihood": likelihood != "auto",
            "epistemic": epistemic,
            "jitter": jitter is not None,
            "on_outside": on_outside != "error",
        }
        if any(given.values()):
            names = ", ".join(name for name, is_given in given.items() if is_given)
            raise TypeError(f"{names}: a LogPosterior has its own")
        density = target
    else:
        if observation is None:
            raise TypeError("observation must be given with an emulator")
        density = LogPosterior(
            target, observation, free=free, fixed=fixed, priors=priors, noise=noise,
            likelihood=likelihood, epistemic=epistemic, jitter=jitter, on_outside=on_outside,
        )  # fmt: skip
    chains = count("chains", chains, most=MOST_CHAINS)
    warmup = count("warmup", warmup, least=0, most=MOST_DRAWS)
    # Coordinates, density and five numbers on the way to it of every draw.
    draws = count("draws", draws, most=MOST_DRAWS, each=8.0 * (len(density.names) + 6) * chains)
    with one_thread():  # the tensors are small, too: threads would wait for one another
        posterior = _run(
            density,
            chains=chains,
            warmup=warmup,
            draws=draws,
            mass=choice("mass", mass, ("dense", "diagonal")),
            target_accept=number("target_accept", target_accept, above=0, below=1),
            max_tree_depth=integer("max_tree_depth", max_tree_depth, least=1, most=20),
            root=root_seed(seed),
            compiled=flag("compiled", compiled),
            progress=watched() if progress is None else flag("progress", progress),
        )
    warn_of_problems(posterior, f"NUTS on {type(density.emulator).__name__}")
    return posterior


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
    from tqdm import tqdm

    from pysoftcorr.inference.compiled import ValueAndGradient
    from pysoftcorr.inference.nuts import LockstepNUTS, run_lockstep

    p = len(density.names)
    began = time.perf_counter()
    starts = _starts(density, chains, root)
    potential = ValueAndGradient(
        density.potential, p, batch=chains, probes=starts, compiled=compiled
    )
    covariances: list[FloatArray | None] = [None] * chains
    if any(name not in ALIGNMENT for name in density.names):
        starts, covariances = _feet(density, potential, chains, root)
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
            covariance=covariances[k],
        )
        for k in range(chains)
    ]
    total = chains * (warmup + draws)
    with tqdm(total=total, unit="draw", disable=not progress) as bar:
        made = run_lockstep(kernels, potential, draws=warmup + draws, done=bar.update)
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
        "noise_scale": density.noise_scale,
        "covariance_at": density.reference,
        "likelihood": density.likelihood,
        "epistemic": density.epistemic,
        "jitter": density.jitter,
        "model": _describe(density.emulator),
        "data": density.observation.describe(),
        "compiled": potential.compiled,
        "closed_form": density.closed_form,
        "outside": 0.0 if outside is None else float(outside.any(axis=1).mean()),
        "seconds": ended - began,
        "seconds_setup": ready - began,
        "version": __version__,
    }
    return Posterior(
        names=density.names,
        draws=samples,
        stats=stats,
        priors=density.priors.to_dict(),
        fixed=density.fixed,
        observation=density.observation,
        curves=_curves(density, samples, root),
        log_likelihood=density.log_likelihood_pointwise(samples),
        predictive=density.draw_data(samples, seed=root),
        settings=settings,
    )


def _starts(density: LogPosterior, chains: int, root: int) -> FloatArray:
    """Starts of the chains: draws of the prior, taken by the density there; unbounded variables.

    A chain that begins anywhere may stay in a corner of the prior for ever, where the scatter that
    a model predicts falls faster than the data recede.
    """
    rng = stream(root, "starts")
    for _ in range(_TRIES):
        params = density.priors.draw(chains * _TRIED, rng)
        value = density(params) - density.priors.log_density(params)
        value[~np.isfinite(value)] = -np.inf
        if np.isfinite(value).any():
            weight = np.exp(value - value.max())
            chosen = rng.choice(len(params), chains, p=weight / weight.sum())
            return density.priors.unbounded(params[chosen])
    raise ValueError(
        f"the posterior density is 0 or NaN at {_TRIES * chains * _TRIED} draws of the prior: the "
        "priors, the emulator and the data do not go together"
    )


def _feet(
    density: LogPosterior, potential: ValueAndGradient, chains: int, root: int
) -> tuple[FloatArray, list[FloatArray | None]]:
    """Starts of the chains about the feet of descents, and the covariances there.

    With an occupation free the posterior is narrow in some directions and wide in others: a chain
    that is to learn that from its own draws makes trajectories of a thousand steps first, and one
    that is caught in a side valley stays there. So each descends from the best of some draws of the
    prior, and chains begin at the feet by the mass of the normal density about each.
    """
    torch = need("torch", "a posterior")
    rng = stream(root, "feet of descents")
    number = max(chains, _DESCENTS)
    drawn = density.priors.draw(number * _TRIED, rng)
    value = np.nan_to_num(density(drawn), nan=-np.inf).reshape(number, _TRIED)
    best = drawn.reshape(number, _TRIED, -1)[np.arange(number), value.argmax(axis=1)]
    feet = [_foot(potential, point) for point in density.priors.unbounded(best)]

    def heights(u: FloatArray) -> FloatArray:
        with torch.no_grad():
            return np.nan_to_num(density.potential(torch.tensor(u)).numpy(), nan=np.inf)

    height = heights(np.array([foot for foot, _ in feet]))
    mass = np.array([0.5 * np.linalg.slogdet(covariance)[1] for _, covariance in feet]) - height
    weight = np.exp(mass - mass.max())
    starts, covariances = [], []
    for k in rng.choice(number, chains, p=weight / weight.sum()):
        foot, covariance = feet[k]
        tried = foot + rng.standard_normal((_TRIED, foot.size)) @ np.linalg.cholesky(covariance).T
        # Within reach: of a bent posterior the covariance at the foot says little farther out.
        near = heights(tried) - height[k] < 2 * foot.size
        starts.append(tried[near.argmax()] if near.any() else foot)
        covariances.append(covariance)
    return np.array(starts), covariances


def _foot(potential: ValueAndGradient, start: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Minimum of a potential, and the inverse of its curvature there where that is positive."""
    from scipy.optimize import minimize

    def at(u: FloatArray) -> tuple[float, FloatArray]:
        value, gradient = potential(u[None])
        if not (np.isfinite(value[0]) and np.isfinite(gradient).all()):
            return _HIGH, np.zeros_like(u)
        return float(value[0]), gradient[0]

    found = minimize(at, start, jac=True, method="L-BFGS-B", options={"maxiter": 300}).x
    steps = _STEP * np.eye(found.size)
    rows = [at(found + step)[1] - at(found - step)[1] for step in steps]
    curvature = np.array(rows) / (2 * _STEP)
    value, axes = np.linalg.eigh((curvature + curvature.T) / 2)
    return found, (axes / np.maximum(value, _FLAT)) @ axes.T


def _curves(density: LogPosterior, samples: FloatArray, root: int) -> dict[str, FloatArray]:
    """Correlation functions at some of the draws: ``omega`` and ``omega_std``, and so on."""
    flat = samples.reshape(-1, samples.shape[-1])
    chosen = np.sort(stream(root, "curves").permutation(len(flat))[:_CURVES])
    out: dict[str, FloatArray] = {}
    if hasattr(density.emulator, "covariance"):
        # Errors of tables take 20 ms a point, and hardly differ from draw to draw.
        error = {name: std for name, (_, std) in density.predict(flat.mean(axis=0)).items()}
        for name, mean in density.means(flat[chosen]).items():
            out[name], out[f"{name}_std"] = mean, np.broadcast_to(error[name], mean.shape).copy()
        return out
    for name, (mean, std) in density.predict(flat[chosen]).items():
        out[name], out[f"{name}_std"] = np.array(mean), np.array(std)
    return out


def _describe(emulator: Any) -> dict[str, Any]:
    out: dict[str, Any] = {"class": type(emulator).__name__}
    for name in ("kind", "realizations"):
        if isinstance(getattr(emulator, name, None), (str, int)):
            out[name] = getattr(emulator, name)
    return out
