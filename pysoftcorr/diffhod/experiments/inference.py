"""What chains amount to: medians and intervals, r-hat, effective samples, ArviZ's files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr.core.files import whole_file
from pysoftcorr.core.version import __version__
from pysoftcorr.diffhod.experiments.chains import NutsPlan
from pysoftcorr.diffhod.experiments.checkpoint import Arrays
from pysoftcorr.diffhod.experiments.coordinates import Coordinates
from pysoftcorr.diffhod.experiments.ensemble import EnsemblePlan

__all__ = ["Posterior", "compare", "emcee_posterior", "nuts_posterior", "table"]

FloatArray = npt.NDArray[np.float64]


@dataclass(eq=False)
class Posterior:
    """Draws of a posterior, and what they cost.

    Attributes
    ----------
    sampler : str
        "NUTS" or "emcee".
    names : tuple of str
        Parameters.
    draws : ndarray, shape (chains, steps, d)
        Without burn-in; a chain of emcee is a walker.
    stats : dict of ndarray
        By chain and step: ``lp``, the logarithm of the density in the coordinates, and of NUTS
        ``diverging`` and ``n_steps``, gradients of the step.
    evaluations : int
        Of the density for these draws; those of NUTS come with the gradient.
    seconds : float
        That these draws took, wall clock, with the workers there were.
    burn_seconds : float
        Of warm-up or burn-in.
    settings : dict
    """

    sampler: str
    names: tuple[str, ...]
    draws: FloatArray
    stats: dict[str, npt.NDArray[Any]]
    evaluations: int
    seconds: float
    burn_seconds: float
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        """Of all chains together."""
        return int(self.draws.shape[0] * self.draws.shape[1])

    @property
    def divergences(self) -> int | None:
        """Of NUTS."""
        found = self.stats.get("diverging")
        return None if found is None else int(found.sum())

    def inference_data(self, **groups: Any) -> Any:
        """As ArviZ's InferenceData, with other groups if wanted, such as ``observed_data``."""
        import arviz

        data = arviz.from_dict(
            posterior={n: self.draws[..., j] for j, n in enumerate(self.names)},
            sample_stats=self.stats,
            attrs={
                "inference_library": {"NUTS": "pyro", "emcee": "emcee"}[self.sampler],
                "created_by": f"pysoftcorr {__version__}",
                "sampling_time": self.seconds,
                "burn_in_time": self.burn_seconds,
                "evaluations": self.evaluations,
            },
            **groups,
        )
        return data

    def write(self, path: Path, **groups: Any) -> Path:
        """Write `inference_data` to a NetCDF file (.nc), whole or not at all."""
        with whole_file(path, overwrite=True) as temporary:
            self.inference_data(**groups).to_netcdf(str(temporary), engine="h5netcdf")
        return path

    def summary(self) -> dict[str, dict[str, float]]:
        """By parameter: median, low and high (16 and 84 %), sd, r_hat, ess_bulk, ess_tail."""
        import arviz

        out = {}
        for j, name in enumerate(self.names):
            x = self.draws[..., j]
            low, median, high = np.quantile(x, [0.16, 0.5, 0.84])
            out[name] = {
                "median": float(median),
                "low": float(low),
                "high": float(high),
                "sd": float(x.std(ddof=1)),
                "r_hat": float(arviz.rhat(x)),
                "ess_bulk": float(arviz.ess(x, method="bulk")),
                "ess_tail": float(arviz.ess(x, method="tail")),
            }
        return out

    def efficiency(self) -> dict[str, Any]:
        """Effective samples (the least bulk value of the parameters) per step and so on."""
        summary = self.summary()
        bulk = min(s["ess_bulk"] for s in summary.values())
        tail = min(s["ess_tail"] for s in summary.values())
        return {
            "chains": int(self.draws.shape[0]),
            "steps": self.steps,
            "evaluations": self.evaluations,
            "seconds": self.seconds,
            "burn_seconds": self.burn_seconds,
            "ess_bulk": bulk,
            "ess_tail": tail,
            "ess_per_step": bulk / self.steps,
            "ess_per_evaluation": bulk / self.evaluations,
            "ess_per_second": bulk / self.seconds,
            "ess_per_second_with_burn_in": bulk / (self.seconds + self.burn_seconds),
            "r_hat": max(s["r_hat"] for s in summary.values()),
            "divergences": self.divergences,
        }


def nuts_posterior(
    chains: Sequence[Arrays],
    plan: NutsPlan,
    coordinates: Coordinates,
    names: Sequence[str],
    *,
    workers: int = 1,
) -> Posterior:
    """The draws of `run_nuts`, in parameters."""
    kinds = [kind for _, kind in plan.blocks()]
    first = kinds.index("sample")
    kept = [c["block"] >= first for c in chains]
    u = np.stack([c["u"][k] for c, k in zip(chains, kept, strict=True)])
    by_step = {
        name: np.stack([c[key][k] for c, k in zip(chains, kept, strict=True)])
        for name, key in (("n_steps", "gradients"), ("diverging", "diverging"))
    }
    by_step["lp"] = -np.stack([c["potential"][k] for c, k in zip(chains, kept, strict=True)])
    seconds, burn_seconds = (
        _elapsed([c["block_seconds"][part] for c in chains], min(workers, len(chains)))
        for part in (slice(first, None), slice(0, first))
    )
    extra = sum(int(c["block_extra"][first:].sum()) for c in chains)
    return Posterior(
        sampler="NUTS",
        names=tuple(names),
        draws=coordinates.theta(u),
        stats=by_step,
        evaluations=int(by_step["n_steps"].sum()) + extra,
        seconds=seconds,
        burn_seconds=burn_seconds,
        settings={
            "step_size": [float(c["block_step_size"][-1]) for c in chains],
            "acceptance": [float(c["block_acceptance"][first:].mean()) for c in chains],
        },
    )


def _elapsed(blocks: list[FloatArray], workers: int) -> float:
    """Wall clock of chains shared among workers: never less than the longest of them. Workers are
    busy but for the end, when there are fewer chains than workers left."""
    each = [float(b.sum()) for b in blocks]
    return max(sum(each) / workers, *each)


def emcee_posterior(
    arrays: Arrays,
    plan: EnsemblePlan,
    coordinates: Coordinates | None,
    names: Sequence[str],
) -> Posterior:
    """The draws of `run_emcee`, in parameters, a walker as a chain."""
    u = np.moveaxis(arrays["u"][plan.burn :], 0, 1)
    ends = np.cumsum(arrays["block_steps"])
    burning = ends <= plan.burn
    return Posterior(
        sampler="emcee",
        names=tuple(names),
        draws=u if coordinates is None else coordinates.theta(u),
        stats={"lp": arrays["log_density"][plan.burn :].T},
        evaluations=int(arrays["block_evaluations"][~burning].sum()),
        seconds=float(arrays["block_seconds"][~burning].sum()),
        burn_seconds=float(arrays["block_seconds"][burning].sum()),
        settings={"acceptance": float(arrays["accepted"][plan.burn :].mean() / plan.walkers)},
    )


def compare(
    nuts: Posterior, other: Posterior, truth: npt.ArrayLike | None = None
) -> dict[str, Any]:
    """Two posteriors side by side.

    Parameters
    ----------
    nuts, other : Posterior
        Of the same parameters.
    truth : array_like, shape (d,), optional
        Parameters of the mock data.

    Returns
    -------
    dict
        ``parameters``: for each its truth, both summaries, and ``difference``, that of the
        medians in units of the root mean square of both standard deviations, with
        ``difference_error``, its error by the finite numbers of effective samples; ``samplers``:
        the efficiency of each; ``ratio``: that of the first to the second per step, evaluation
        and second.

    Raises
    ------
    ValueError
        If they are not of the same parameters.
    """
    if nuts.names != other.names:
        raise ValueError(f"posteriors of {nuts.names} and of {other.names} cannot be compared")
    a, b = nuts.summary(), other.summary()
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
    keys = ("ess_per_step", "ess_per_evaluation", "ess_per_second", "ess_per_second_with_burn_in")
    return {
        "parameters": rows,
        "samplers": {nuts.sampler: ea, other.sampler: eb},
        "ratio": {k: ea[k] / eb[k] for k in keys},
    }


def table(comparison: Mapping[str, Any]) -> str:
    """The comparison in words and numbers, as table 1 of Horowitz et al. (2022)."""
    first, second = comparison["samplers"]
    lines = [
        ("parameter", "truth", f"DiffHOD, {first}", f"exact HOD, {second}", "difference/sigma")
    ]
    for name, found in comparison["parameters"].items():
        truth = "-" if found["truth"] is None else f"{found['truth']:.3f}"
        lines.append(
            (name, truth, _interval(found[first]), _interval(found[second]),
             f"{found['difference']:+.2f} +- {found['difference_error']:.2f}")
        )  # fmt: skip
    text = _aligned(lines)
    rows: list[tuple[str, ...]] = [("", first, second, "ratio")]
    a, b = comparison["samplers"][first], comparison["samplers"][second]

    def row(title: str, key: str, form: str, ratio: bool = False) -> None:
        values = ["-" if x[key] is None else format(x[key], form) for x in (a, b)]
        rows.append((title, *values, f"{a[key] / b[key]:.1f}" if ratio else ""))

    row("chains or walkers", "chains", "d")
    row("steps of all", "steps", "d")
    row("gradients or evaluations", "evaluations", "d")
    row("seconds", "seconds", ".1f")
    row("  and of burn-in", "burn_seconds", ".1f")
    row("effective samples, bulk", "ess_bulk", ".0f")
    row("                   tail", "ess_tail", ".0f")
    row("  per step", "ess_per_step", ".4f", ratio=True)
    row("  per gradient or evaluation", "ess_per_evaluation", ".4f", ratio=True)
    row("  per second", "ess_per_second", ".3f", ratio=True)
    row("largest r-hat", "r_hat", ".4f")
    row("divergences", "divergences", "d")
    return text + "\n\n" + _aligned(rows)


def _interval(s: Mapping[str, float]) -> str:
    m = s["median"]
    return f"{m:.3f} +{s['high'] - m:.3f} -{m - s['low']:.3f}"


def _aligned(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            text.ljust(w) if i == 0 else text.rjust(w)
            for i, (text, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
