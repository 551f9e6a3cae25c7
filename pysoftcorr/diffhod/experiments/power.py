"""Recovery of an HOD from P(k) by two samplers, the experiment of Horowitz et al. (2022)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr.core.cores import usable_cores
from pysoftcorr.core.documents import json_text
from pysoftcorr.core.extras import need
from pysoftcorr.core.files import whole_file
from pysoftcorr.core.random import stream
from pysoftcorr.core.text import aligned_rows
from pysoftcorr.core.version import __version__
from pysoftcorr.diffhod.experiments.preparation import Bench, Prepared, prepare
from pysoftcorr.diffhod.experiments.settings import PowerSettings
from pysoftcorr.diffhod.experiments.targets import PRIORS
from pysoftcorr.inference.checkpoint import FORMAT
from pysoftcorr.inference.ensemble import emcee_posterior, run_emcee
from pysoftcorr.inference.nuts import nuts_posterior, run_nuts
from pysoftcorr.inference.posterior import Posterior
from pysoftcorr.inference.workers import Workers
from pysoftcorr.mocks.halos import HaloCatalog

__all__ = ["PowerExperiment", "compare", "interval", "run_power_experiment", "table"]


@dataclass(eq=False)
class PowerExperiment:
    """Results of `run_power_experiment`.

    Attributes
    ----------
    settings : PowerSettings
    prepared : Prepared
        Data, covariance, start and calibrations.
    nuts : Posterior
    emcee : Posterior or None
    noise : list of Posterior
        Posteriors of NUTS with other fixed random numbers.
    files : list of Path
    """

    settings: PowerSettings
    prepared: Prepared
    nuts: Posterior
    emcee: Posterior | None
    noise: list[Posterior]
    files: list[Path]

    def comparison(self) -> dict[str, Any] | None:
        """`compare` of both samplers; None without emcee."""
        if self.emcee is None:
            return None
        return compare(self.nuts, self.emcee, truth=self.settings.fiducial)

    def noise_spread(self) -> dict[str, dict[str, float]] | None:
        """Scatter of the medians between sets of fixed random numbers, in sigma; None with one
        set. ``spread`` is their standard deviation, ``expected`` what the finite numbers of
        effective samples alone make of it, ``largest`` the largest distance from their mean."""
        if not self.noise:
            return None
        every = [self.nuts, *self.noise]
        out = {}
        for name in self.nuts.names:
            found = [p.diagnostics()[name] for p in every]
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
        """Plain values for JSON."""
        comparison = self.comparison()
        samplers = {"NUTS": self.nuts.efficiency()}
        if comparison is not None:
            samplers = comparison["samplers"]
        return {
            "settings": asdict(self.settings),
            "version": __version__,
            "prepared": self.prepared.to_dict(),
            "nuts": self.nuts.diagnostics(),
            "nuts_settings": self.nuts.settings,
            "emcee": None if self.emcee is None else self.emcee.diagnostics(),
            "samplers": samplers,
            "comparison": None if comparison is None else comparison["parameters"],
            "ratio": None if comparison is None else comparison["ratio"],
            "noise": self.noise_spread(),
        }

    def summary(self) -> str:
        """Tables for a terminal."""
        parts = [self.prepared.summary()]
        comparison = self.comparison()
        if comparison is not None:
            parts.append(table(comparison))
        else:
            rows = self.nuts.diagnostics().items()
            parts.append("\n".join(f"{name:<12} {interval(row)}" for name, row in rows))
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

    Everything done is kept in the folder; the same call resumes one that was ended, and its
    results are the same, bit for bit. Warns where r-hat, effective draws or divergences speak
    against the draws.

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
        Processes of one thread; None: one for each core. Results do not depend on it. With more
        than one a script must keep this call under ``if __name__ == "__main__":``.
    emcee : bool
        Whether emcee runs, too.
    noise_sets : int
        Other sets of fixed random numbers to repeat NUTS with.
    overwrite : bool
        Restart, whatever the folder holds of an earlier run.
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
    for module in ("pyro", "arviz", "h5netcdf", *(["emcee"] if emcee else [])):
        need(module, "the inference")
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
    posteriors = {"nuts.nc": nuts, **({} if walkers is None else {"emcee.nc": walkers})}
    texts = {"summary.json": json_text(result.to_dict(), indent=1), "table.txt": result.summary()}
    result.files.extend(write_results(place, posteriors, texts))
    return result


def write_results(
    place: Path, posteriors: Mapping[str, Posterior], texts: Mapping[str, str]
) -> list[Path]:
    """Write posteriors and texts by their file names, in place of earlier ones; gives the paths."""
    for name, posterior in posteriors.items():
        posterior.write(place / name, overwrite=True)
    for name, text in texts.items():
        with whole_file(place / name, overwrite=True) as temporary:
            temporary.write_text(text + "\n")
    return [place / name for name in (*posteriors, *texts)]


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
        starts = PRIORS.draw_about(
            prepared.center, prepared.laplace, max(plan.chains, ensemble.walkers), rng
        )
        coordinates = bench.coordinates()
        u = coordinates.u(starts)
        data = {"power": prepared.data}
        say(f"NUTS through DiffHOD: {plan.chains} chains of {plan.warmup} + {plan.draws} draws")
        chains = run_nuts(workers.of("smooth_target"), plan, u[: plan.chains], folder=place)
        nuts = nuts_posterior(
            chains, plan, coordinates, title="NUTS through DiffHOD", data=data, workers=number
        )
        walkers = None
        if emcee:
            say(
                f"emcee on the exact HOD: {ensemble.walkers} walkers of {ensemble.warmup} + "
                f"{ensemble.draws} draws"
            )
            arrays = run_emcee(
                workers.of("exact_target"), ensemble, u[: ensemble.walkers], folder=place
            )
            walkers = emcee_posterior(
                arrays, ensemble, PRIORS, coordinates, title="emcee on the exact HOD", data=data
            )
    return nuts, walkers, prepared


def _identity(halos: HaloCatalog, settings: PowerSettings) -> dict[str, Any]:
    """Everything that the problem follows from, by its names on disk."""
    reweighted = settings.galaxies == "reweighted"
    names = ("fiducial", "density" if reweighted else "tau", "modulate", "mesh", "k_max",
             "realizations", "calibration", "covariance", "floor", "seed", "noise")  # fmt: skip
    return {
        "format": FORMAT,
        "halos": halos.fingerprint,
        "draw": settings.galaxies,
        **{name: getattr(settings, name) for name in names},
    }


def _clear(place: Path) -> None:
    """Remove what an earlier run left in a folder, and nothing else."""
    for folder in (place, *place.glob("noise-*")):
        for pattern in ("problem.h5", "nuts-*.h5", "emcee.h5"):
            for path in folder.glob(pattern):
                path.unlink()


# ---------------------------------------------------------------------- both samplers
def compare(
    nuts: Posterior, other: Posterior, truth: npt.ArrayLike | None = None
) -> dict[str, Any]:
    """Compare two posteriors side by side.

    Parameters
    ----------
    nuts, other : Posterior
        Posteriors of the same parameters.
    truth : array_like, shape (d,), optional
        Parameters of the mock data.

    Returns
    -------
    dict
        ``parameters``: for each its truth, both diagnostics, and ``difference``, that of the
        medians in units of the root mean square of both standard deviations, with
        ``difference_error``, its error by the finite numbers of effective samples; ``samplers``:
        the efficiency of each; ``ratio``: that of the first to the second per draw, evaluation
        and second.

    Raises
    ------
    ValueError
        If they are not of the same parameters.
    """
    if nuts.names != other.names:
        raise ValueError(f"posteriors of {nuts.names} and of {other.names} cannot be compared")
    a, b = nuts.diagnostics(), other.diagnostics()
    rows = {}
    for j, name in enumerate(nuts.names):
        x, y = a[name], b[name]
        sigma = float(np.sqrt((x["sd"] ** 2 + y["sd"] ** 2) / 2))
        # The median of a normal sample has pi/2 times the variance of its mean.
        error = np.sqrt(np.pi / 2 * sum((s["sd"] / sigma) ** 2 / s["ess_bulk"] for s in (x, y)))
        rows[name] = {
            "truth": None if truth is None else float(np.asarray(truth)[j]),
            nuts.sampler: x,
            other.sampler: y,
            "difference": (x["median"] - y["median"]) / sigma,
            "difference_error": float(error),
        }
    ea, eb = nuts.efficiency(), other.efficiency()
    keys = ("ess_per_draw", "ess_per_evaluation", "ess_per_second", "ess_per_second_with_warmup")
    return {
        "parameters": rows,
        "samplers": {nuts.sampler: ea, other.sampler: eb},
        "ratio": {k: ea[k] / eb[k] for k in keys},
    }


def table(comparison: Mapping[str, Any]) -> str:
    """Table of a comparison, as table 1 of Horowitz et al. (2022)."""
    first, second = comparison["samplers"]
    lines = [
        ("parameter", "truth", f"DiffHOD, {first}", f"exact HOD, {second}", "difference/sigma")
    ]
    for name, found in comparison["parameters"].items():
        truth = "-" if found["truth"] is None else f"{found['truth']:.3f}"
        lines.append(
            (name, truth, interval(found[first]), interval(found[second]),
             f"{found['difference']:+.2f} +- {found['difference_error']:.2f}")
        )  # fmt: skip
    text = aligned_rows(lines, first=str.ljust)
    rows: list[tuple[str, ...]] = [("", first, second, "ratio")]
    a, b = comparison["samplers"][first], comparison["samplers"][second]

    def row(title: str, key: str, form: str, ratio: bool = False) -> None:
        values = ["-" if x[key] is None else format(x[key], form) for x in (a, b)]
        rows.append((title, *values, f"{a[key] / b[key]:.1f}" if ratio else ""))

    row("chains or walkers", "chains", "d")
    row("draws of all", "draws", "d")
    row("gradients or evaluations", "evaluations", "d")
    row("seconds", "seconds", ".1f")
    row("  and of warm-up", "seconds_warmup", ".1f")
    row("effective draws, bulk", "ess_bulk", ".0f")
    row("                 tail", "ess_tail", ".0f")
    row("  per draw", "ess_per_draw", ".4f", ratio=True)
    row("  per gradient or evaluation", "ess_per_evaluation", ".4f", ratio=True)
    row("  per second", "ess_per_second", ".3f", ratio=True)
    row("largest r-hat", "r_hat", ".4f")
    row("divergences", "divergences", "d")
    return text + "\n\n" + aligned_rows(rows, first=str.ljust)


def interval(row: Mapping[str, float]) -> str:
    """Median and 68 % interval of a parameter, from a row of `Posterior.diagnostics`."""
    middle = row["median"]
    return f"{middle:.3f} +{row['q84'] - middle:.3f} -{middle - row['q16']:.3f}"
