"""The experiment of Horowitz et al. (2022): an HOD recovered from P(k) by two samplers."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from pysoftcorr.core.cores import usable_cores
from pysoftcorr.core.files import whole_file
from pysoftcorr.core.random import stream
from pysoftcorr.core.version import __version__
from pysoftcorr.diffhod.experiments.chains import run_nuts
from pysoftcorr.diffhod.experiments.checkpoint import FORMAT
from pysoftcorr.diffhod.experiments.ensemble import run_emcee
from pysoftcorr.diffhod.experiments.exact import HOD_NAMES
from pysoftcorr.diffhod.experiments.inference import (
    Posterior,
    compare,
    emcee_posterior,
    nuts_posterior,
    table,
)
from pysoftcorr.diffhod.experiments.laplace import draw_within
from pysoftcorr.diffhod.experiments.preparation import Bench, prepare
from pysoftcorr.diffhod.experiments.prepared import Prepared
from pysoftcorr.diffhod.experiments.settings import PowerSettings
from pysoftcorr.diffhod.experiments.target import PRIORS
from pysoftcorr.diffhod.experiments.workers import Workers
from pysoftcorr.mocks.halos import HaloCatalog

__all__ = ["PowerExperiment", "run_power_experiment"]


@dataclass(eq=False)
class PowerExperiment:
    """What came of it.

    Attributes
    ----------
    settings : PowerSettings
    prepared : Prepared
        Data, covariance, start and calibrations.
    nuts : Posterior
    emcee : Posterior or None
    noise : list of Posterior
        Of NUTS with other fixed random numbers.
    files : list of Path
    """

    settings: PowerSettings
    prepared: Prepared
    nuts: Posterior
    emcee: Posterior | None
    noise: list[Posterior]
    files: list[Path]

    def comparison(self) -> dict[str, Any] | None:
        """As `compare`; None without emcee."""
        if self.emcee is None:
            return None
        return compare(self.nuts, self.emcee, truth=self.settings.fiducial)

    def noise_spread(self) -> dict[str, dict[str, float]] | None:
        """By how much medians differ between sets of fixed random numbers, in sigma; None with
        one set. ``spread`` is their standard deviation, ``expected`` what the finite numbers of
        effective samples alone make of it, ``largest`` the largest distance from their mean."""
        if not self.noise:
            return None
        every = [self.nuts, *self.noise]
        out = {}
        for name in self.nuts.names:
            found = [p.summary()[name] for p in every]
            sigma = math.sqrt(float(np.mean([s["sd"] ** 2 for s in found])))
            medians = np.array([s["median"] for s in found]) / sigma
            chance = [math.pi / 2 / s["ess_bulk"] for s in found]
            out[name] = {
                "spread": float(medians.std(ddof=1)),
                "expected": math.sqrt(float(np.mean(chance))),
                "largest": float(abs(medians - medians.mean()).max()),
            }
        return out

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        comparison = self.comparison()
        samplers = {"NUTS": self.nuts.efficiency()}
        if comparison is not None:
            samplers = comparison["samplers"]
        return {
            "settings": asdict(self.settings),
            "version": __version__,
            "prepared": self.prepared.to_dict(),
            "nuts": self.nuts.summary(),
            "nuts_settings": self.nuts.settings,
            "emcee": None if self.emcee is None else self.emcee.summary(),
            "samplers": samplers,
            "comparison": None if comparison is None else comparison["parameters"],
            "ratio": None if comparison is None else comparison["ratio"],
            "noise": self.noise_spread(),
        }

    def report(self) -> str:
        """Tables in text."""
        p = self.prepared
        parts = [p.text()]
        comparison = self.comparison()
        if comparison is not None:
            parts.append(table(comparison))
        else:
            parts.append(
                "\n".join(
                    f"{name:<12} {s['median']:.3f} +{s['high'] - s['median']:.3f} "
                    f"-{s['median'] - s['low']:.3f}"
                    for name, s in self.nuts.summary().items()
                )
            )
        spread = self.noise_spread()
        if spread is not None:
            lines = [
                f"Medians with {1 + len(self.noise)} sets of fixed random numbers, in sigma "
                "(scatter; what finite chains alone make of it; largest from the mean):"
            ]
            lines += [
                f"  {name:<12} {s['spread']:.2f}  {s['expected']:.2f}  {s['largest']:.2f}"
                for name, s in spread.items()
            ]
            parts.append("\n".join(lines))
        return "\n\n".join(parts)


def run_power_experiment(
    halos: HaloCatalog,
    folder: str | PathLike[str],
    *,
    settings: PowerSettings | None = None,
    workers: int | None = 1,
    emcee: bool = True,
    noise_sets: int = 0,
    overwrite: bool = False,
    tell: Callable[[str], None] | None = None,
) -> PowerExperiment:
    """Recover the HOD of a mock catalog from its P(k): NUTS through DiffHOD, emcee without.

    Everything done is kept in the folder; the same call goes on where an earlier one was ended,
    and its results are the same, bit for bit.

    Parameters
    ----------
    halos : HaloCatalog
    folder : path
        Made if need be. It will hold ``problem.h5``, the chains (``nuts-0.h5``, ``emcee.h5``),
        the posteriors as ArviZ's InferenceData (``nuts.nc``, ``emcee.nc``), ``summary.json`` and
        ``table.txt``.
    settings : PowerSettings, optional
        By default ``PowerSettings.preset("small")``.
    workers : int, optional
        Processes of one thread; None: as many as cores. Results do not depend on it. With more
        than one a script must keep this call under ``if __name__ == "__main__":``.
    emcee : bool
        Whether emcee runs, too.
    noise_sets : int
        Other sets of fixed random numbers to repeat NUTS with.
    overwrite : bool
        Begin anew, whatever the folder holds of an earlier run.
    tell : callable, optional
        Called with a line of text as each part begins.

    Returns
    -------
    PowerExperiment

    Raises
    ------
    ValueError
        If the folder holds a run of other settings or halos, or a setting is out of range.
    ImportError
        If torch, pyro, emcee or arviz is missing.
    """
    _need("pyro", "arviz", "h5netcdf", *(["emcee"] if emcee else []))
    chosen = PowerSettings.preset("small") if settings is None else settings
    place = Path(folder).expanduser()
    place.mkdir(parents=True, exist_ok=True)
    if overwrite:
        _clear(place)
    number = usable_cores() if workers is None else workers
    say = tell or (lambda text: None)
    nuts, walkers, prepared = _one(halos, place, chosen, number, emcee, say)
    others = []
    for n in range(1, noise_sets + 1):
        say(f"other fixed random numbers, set {n} of {noise_sets}")
        own = place / f"noise-{n}"
        own.mkdir(exist_ok=True)
        changed = replace(chosen, noise=chosen.noise + n)
        others.append(_one(halos, own, changed, number, False, say)[0])
    result = PowerExperiment(chosen, prepared, nuts, walkers, others, [])
    data = {"observed_data": {"power": prepared.data}}
    result.files.append(nuts.write(place / "nuts.nc", **data))
    if walkers is not None:
        result.files.append(walkers.write(place / "emcee.nc", **data))
    for name, text in (
        ("summary.json", json.dumps(result.to_dict(), indent=1)),
        ("table.txt", result.report()),
    ):
        with whole_file(place / name, overwrite=True) as temporary:
            temporary.write_text(text + "\n")
        result.files.append(place / name)
    return result


def _one(
    halos: HaloCatalog,
    place: Path,
    settings: PowerSettings,
    number: int,
    emcee: bool,
    say: Callable[[str], None],
) -> tuple[Posterior, Posterior | None, Prepared]:
    plan, ensemble = settings.nuts_plan(), settings.ensemble_plan()
    bench = Bench(halos, place / "problem.h5", _identity(halos, settings), settings.device)
    with Workers(bench, number) as workers:
        prepared = prepare(bench, workers, say)
        rng = stream(settings.seed, f"starts {settings.noise}")
        starts = draw_within(
            PRIORS, prepared.center, prepared.laplace, max(plan.chains, ensemble.walkers), rng
        )
        coordinates = bench.coordinates()
        u = coordinates.u(starts)
        say(f"NUTS through DiffHOD: {plan.chains} chains of {plan.warmup} + {plan.steps} steps")
        chains = run_nuts(workers.of("smooth_target"), plan, u[: plan.chains], folder=place)
        nuts = nuts_posterior(chains, plan, coordinates, HOD_NAMES, workers=number)
        walkers = None
        if emcee:
            say(
                f"emcee on the exact HOD: {ensemble.walkers} walkers of {ensemble.burn} + "
                f"{ensemble.steps} steps"
            )
            arrays = run_emcee(
                workers.of("exact_target"), ensemble, u[: ensemble.walkers], folder=place
            )
            walkers = emcee_posterior(arrays, ensemble, coordinates, HOD_NAMES)
    return nuts, walkers, prepared


def _identity(halos: HaloCatalog, settings: PowerSettings) -> dict[str, Any]:
    left_out = {"chains", "warmup", "steps", "walkers", "burn", "walker_steps", "accept", "device"}
    left_out.add("tau" if settings.draw == "reweighted" else "density")
    kept = [f.name for f in fields(settings) if f.name not in left_out]
    return {
        "format": FORMAT,
        "halos": halos.fingerprint,
        **{n: getattr(settings, n) for n in kept},
    }


def _clear(place: Path) -> None:
    """Remove what an earlier run left, and nothing else."""
    for folder in (place, *place.glob("noise-*")):
        for pattern in ("problem.h5", "nuts-*.h5", "emcee.h5"):
            for path in folder.glob(pattern):
                path.unlink()


def _need(*modules: str) -> None:
    import importlib.util

    missing = [m for m in modules if importlib.util.find_spec(m) is None]
    if missing:
        raise ImportError(
            f"the inference needs {', '.join(missing)}; install with: "
            "pip install 'pysoftcorr[torch]'"
        )
