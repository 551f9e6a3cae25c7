"""Draws from a posterior with their diagnostics, and their file."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from pysoftcorr.core.extras import need
from pysoftcorr.core.files import FileFormat, check_output, whole_file
from pysoftcorr.core.lazy import plots
from pysoftcorr.core.notebook import html_rows
from pysoftcorr.core.sealed import check_hdf5, seal_hdf5
from pysoftcorr.core.text import aligned_rows
from pysoftcorr.core.version import __version__
from pysoftcorr.inference import netcdf
from pysoftcorr.inference.data import STATISTICS
from pysoftcorr.inference.observation import Observation, said_of

__all__ = ["Posterior", "check_posterior_path", "warn_of_problems"]

FloatArray = npt.NDArray[np.float64]

_FORMAT = FileFormat("pysoftcorr posterior", "posterior")
_SUFFIXES = (".nc", ".h5", ".hdf5")

#: Name of the log-likelihood of the values, one after the other.
_POINTWISE = "values"

#: Draws that count as independent: of each chain, and of an ensemble, whose walkers are not
#: independent chains, in all (Vehtari et al. 2021).
_LEAST_OF_A_CHAIN, _LEAST_OF_AN_ENSEMBLE = 100, 400


#: Columns of the table of parameters.
_TITLES = ("", "mean", "sd", "16 %", "50 %", "84 %", "MC error", "r-hat", "ESS bulk", "ESS tail")


@dataclass(frozen=True, eq=False)
class Posterior:
    """Draws of several chains of NUTS, or of the walkers of an ensemble, and their diagnostics.

    Attributes
    ----------
    names : tuple of str
        Free parameters.
    draws : ndarray, shape (chains, draws, p)
        After the warm-up, in physical units.
    stats : dict of str to ndarray, shape (chains, draws)
        ``lp``, ln of the density in the sampler's variables; of NUTS ``n_steps``, evaluations of
        the gradient, and ``diverging``; of `sample_posterior` also ``energy``,
        ``acceptance_rate``, ``step_size`` and ``tree_depth``.
    settings : dict
        All that the draws follow from: sampler, model, noise, seed, version; and ``seconds``.
    priors : dict
        By parameter.
    fixed : dict of str to float
    observation : Observation or None
    data : dict of str to ndarray
        What is observed where it is no `Observation`, such as "power", P(k).
    curves : dict of str to ndarray, shape (n, nbins)
        ``xi``, ``omega``, ``eta`` and such as ``omega_std`` (aleatoric) at n of the draws.
    log_likelihood : ndarray, shape (chains, draws, n), or None
        ln density of each of the n values of the observation given all the others: what
        leave-one-out cross-validation wants of correlated values.
    predictive : dict of str to ndarray, shape (chains, draws, nbins)
        Data drawn at each draw, by statistic; NaN in bins that are not used.
    """

    names: tuple[str, ...]
    draws: FloatArray
    stats: dict[str, npt.NDArray[Any]]
    settings: dict[str, Any]
    priors: dict[str, Any] = field(default_factory=dict)
    fixed: dict[str, float] = field(default_factory=dict)
    observation: Observation | None = None
    data: dict[str, FloatArray] = field(default_factory=dict)
    curves: dict[str, FloatArray] = field(default_factory=dict)
    log_likelihood: FloatArray | None = None
    predictive: dict[str, FloatArray] = field(default_factory=dict)
    _cache: dict[str, Any] = field(default_factory=dict, repr=False)

    def __repr__(self) -> str:
        chains, draws, _ = self.draws.shape
        return f"<Posterior of {', '.join(self.names)}: {chains} {self._kind} of {draws} draws>"

    # ------------------------------------------------------------------ numbers
    @property
    def flat(self) -> FloatArray:
        """All draws of all chains, shape (chains draws, p)."""
        return self.draws.reshape(-1, self.draws.shape[-1])

    @property
    def sampler(self) -> str:
        """Name of the sampler: "NUTS" or "emcee"."""
        return str(self.settings["sampler"]).split()[0]

    @property
    def _kind(self) -> str:
        return "walkers" if self.sampler == "emcee" else "chains"

    @property
    def divergences(self) -> int | None:
        """Draws whose trajectory diverged, after the warm-up; None of an ensemble."""
        diverging = self.stats.get("diverging")
        return None if diverging is None else int(diverging.sum())

    @property
    def acceptance(self) -> float:
        """Mean acceptance after the warm-up."""
        rate = self.stats.get("acceptance_rate", self.settings.get("acceptance", np.nan))
        return float(np.mean(rate))

    def diagnostics(self) -> dict[str, dict[str, float]]:
        """Mean, sd, 16, 50 and 84 %, Monte-Carlo error, r-hat and effective sizes by parameter.

        r-hat and the sizes are those of Vehtari et al. 2021, rank-normalized and split; r-hat is
        NaN of fewer than four draws, and compares the halves of a single chain.
        """
        if "diagnostics" not in self._cache:
            arviz = need("arviz", "a posterior")
            out = {}
            for k, name in enumerate(self.names):
                x = self.draws[:, :, k]
                low, middle, high = np.quantile(x, [0.16, 0.5, 0.84])
                row = {
                    "mean": float(x.mean()),
                    "sd": float(x.std(ddof=1)) if x.size > 1 else float("nan"),
                    "q16": float(low),
                    "median": float(middle),
                    "q84": float(high),
                }
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # of short chains: NaN says it
                    enough = x.shape[1] >= 4
                    for key, function, options in (
                        ("mcse", arviz.mcse, {}),
                        ("r_hat", arviz.rhat, {}),
                        ("ess_bulk", arviz.ess, {"method": "bulk"}),
                        ("ess_tail", arviz.ess, {"method": "tail"}),
                    ):
                        row[key] = float(function(x, **options)) if enough else float("nan")
                out[name] = row
            self._cache["diagnostics"] = out
        found: dict[str, dict[str, float]] = self._cache["diagnostics"]
        return found

    def efficiency(self) -> dict[str, Any]:
        """What the draws cost, and effective ones (the least bulk size of the parameters) for it.

        Returns
        -------
        dict
            ``chains``, ``draws`` of all chains, ``evaluations`` of the density, of NUTS with its
            gradient, ``seconds`` after the warm-up and ``seconds_warmup`` (0 where it was not
            timed apart), ``ess_bulk``, ``ess_tail``, the largest ``r_hat``, ``divergences``, and
            ``ess_per_draw``, ``ess_per_evaluation``, ``ess_per_second`` and
            ``ess_per_second_with_warmup``.
        """
        rows = self.diagnostics().values()
        bulk = min(row["ess_bulk"] for row in rows)
        number = self.draws.shape[0] * self.draws.shape[1]
        every, warmup = self.settings["seconds"], self.settings.get("seconds_warmup", 0.0)
        evaluations = self.settings.get("evaluations")
        if evaluations is None:
            evaluations = int(self.stats["n_steps"].sum())
        return {
            "chains": self.draws.shape[0],
            "draws": number,
            "evaluations": evaluations,
            "seconds": every - warmup,
            "seconds_warmup": warmup,
            "ess_bulk": bulk,
            "ess_tail": min(row["ess_tail"] for row in rows),
            "ess_per_draw": bulk / number,
            "ess_per_evaluation": bulk / evaluations,
            "ess_per_second": bulk / (every - warmup),
            "ess_per_second_with_warmup": bulk / every,
            "r_hat": max(row["r_hat"] for row in rows),
            "divergences": self.divergences,
        }

    def problems(self) -> list[str]:
        """What speaks against these draws, in words; empty if nothing does."""
        out = []
        rows = self.diagnostics()
        known = ("r_hat", "ess_bulk", "ess_tail")
        if any(math.isnan(row[name]) for row in rows.values() for name in known):
            out.append(
                f"r-hat and effective draws are not defined: the {self.draws.shape[1]} draws of "
                "each chain are too few, or all the same; draw more, at least 4 and better 1000"
            )
        r_hat = {n: row["r_hat"] for n, row in rows.items() if row["r_hat"] > 1.01}
        if r_hat:
            texts = ", ".join(f"{name} {value:.3f}" for name, value in r_hat.items())
            out.append(f"r-hat above 1.01: {texts}; draw more")
        least, of = _LEAST_OF_A_CHAIN * len(self.draws), f"{_LEAST_OF_A_CHAIN} a chain"
        if self.sampler == "emcee":
            least, of = _LEAST_OF_AN_ENSEMBLE, f"{_LEAST_OF_AN_ENSEMBLE}"
        sizes = {name: min(row["ess_bulk"], row["ess_tail"]) for name, row in rows.items()}
        small = [f"{name} {size:.0f}" for name, size in sizes.items() if size < least]
        if small:
            out.append(f"effective draws below {of}: {', '.join(small)}; draw more")
        if self.divergences:
            out.append(
                f"{self.divergences} divergent trajectories; raise target_accept "
                f"(now {self.settings.get('target_accept', 0.8):g})"
            )
        outside = float(self.settings.get("outside", 0.0))
        if outside > 0.01:
            out.append(
                f"{100 * outside:.0f} % of the draws are outside the region the emulator was "
                "trained in; give narrower priors"
            )
        depth = self.stats.get("tree_depth")
        if depth is not None:
            full = float((depth >= int(self.settings.get("max_tree_depth", 10))).mean())
            if full > 0.01:
                out.append(f"{100 * full:.0f} % of the trajectories reach the greatest tree depth")
        return out

    def summary(self) -> str:
        """A few lines for a terminal: every parameter, and how the chains did."""
        rows = [(name, *numbers) for name, numbers in self._lines().items()]
        return "\n".join([aligned_rows([_TITLES, *rows]), "", *self._notes()])

    def _repr_html_(self) -> str:
        """The table of `summary`, for notebooks."""
        rows = ((name, *numbers) for name, numbers in self._lines().items())
        return html_rows(_TITLES, rows, notes=self._notes())

    def _lines(self) -> dict[str, list[str]]:
        """The numbers of each parameter, by the titles of the table."""
        return {
            name: [
                *(f"{row[key]:.4g}" for key in ("mean", "sd", "q16", "median", "q84")),
                f"{row['mcse']:.2g}",
                f"{row['r_hat']:.4f}",
                *(f"{row[key]:.0f}" for key in ("ess_bulk", "ess_tail")),
            ]
            for name, row in self.diagnostics().items()
        }

    def _notes(self) -> list[str]:
        """How the chains did, and what they were given."""
        chains, draws, _ = self.draws.shape
        text = (
            f"{chains} {self._kind} of {self.settings.get('warmup', 0)} + {draws} draws in "
            f"{self.settings.get('seconds', float('nan')):.1f} s; acceptance {self.acceptance:.3f}"
        )
        if self.divergences is not None:
            sizes = ", ".join(f"{size:.2g}" for size in self._step_size)
            text += (
                f", {self.divergences} divergences, {self.stats['n_steps'].mean():.1f} steps a "
                f"draw, step size {sizes}"
            )
        return [text, *([said_of(self.settings)] if "data" in self.settings else [])]

    @property
    def _step_size(self) -> list[float]:
        """Step size of each chain, at its end."""
        if "step_size" in self.stats:
            return list(self.stats["step_size"][:, -1].tolist())
        return list(self.settings.get("step_size", ()))

    def to_dict(self) -> dict[str, Any]:
        """Diagnostics and settings, as JSON can hold them: NaN is None."""
        steps = self.stats.get("n_steps")
        seen = self.observation
        return {
            "parameters": {
                name: {key: None if v != v else v for key, v in row.items()}
                for name, row in self.diagnostics().items()
            },
            "correlation": np.atleast_2d(np.corrcoef(self.flat.T)).tolist(),
            "chains": self.draws.shape[0],
            "draws": self.draws.shape[1],
            "divergences": self.divergences,
            "acceptance": self.acceptance,
            "step_size": self._step_size,
            "steps_per_draw": None if steps is None else float(steps.mean()),
            "problems": self.problems(),
            "priors": self.priors,
            "fixed": self.fixed,
            "statistics": list(self.data if seen is None else seen.statistics),
            "settings": self.settings,
        }

    # ------------------------------------------------------------------ figures
    def plot_corner(
        self, *, truth: Mapping[str, float] | None = None, names: Sequence[str] | None = None
    ) -> Any:
        """Draw `pysoftcorr.plots.plot_corner` of these draws; gives the figure."""
        return plots().plot_corner(self, truth=truth, names=names)

    def plot_trace(self) -> Any:
        """Draw `pysoftcorr.plots.plot_trace` of these chains; gives the figure."""
        return plots().plot_trace(self)

    # ------------------------------------------------------------------ files
    def to_inference_data(self) -> Any:
        """An ArviZ ``InferenceData``.

        Groups: ``posterior``, ``sample_stats``, ``log_likelihood`` (of each value given the
        others, so that ``arviz.loo`` runs), ``posterior_predictive`` (data drawn at each draw,
        for ``arviz.plot_ppc``), ``predictions`` (the correlation functions at some draws),
        ``observed_data`` (NaN in bins that are not used) and ``constant_data`` (edges, all values,
        places of those that are used, covariance), as far as there are any.
        """
        arviz = need("arviz", "a posterior")
        seen = self.observation
        record = {
            **_FORMAT.header(),
            "names": list(self.names),
            "priors": self.priors,
            "fixed": self.fixed,
            "settings": self.settings,
        }
        groups: dict[str, Any] = {"observed_data": dict(self.data)} if self.data else {}
        if seen is not None:
            record |= {"statistics": list(seen.statistics), "source": seen.source}
            record["data"] = seen.describe()
            groups = _observed_groups(seen, self.curves, self.log_likelihood, self.predictive)
        with warnings.catch_warnings():
            # More walkers than draws of each are no mistake.
            warnings.filterwarnings("ignore", "More chains")
            data = arviz.from_dict(
                posterior={name: self.draws[:, :, k] for k, name in enumerate(self.names)},
                sample_stats=self.stats,
                **groups,
            )
        data.attrs["pysoftcorr"] = json.dumps(record)
        data.attrs["inference_library"] = {"NUTS": "pyro"}.get(self.sampler, self.sampler)
        data.attrs["created_by"] = f"pysoftcorr {__version__}"
        return data

    def write(self, path: str | PathLike[str], *, overwrite: bool = False) -> None:
        """Write the ``InferenceData`` as netCDF-4, which is HDF5, whole or not at all.

        ``arviz.from_netcdf`` reads it, and so does `read`.

        Raises
        ------
        ValueError
            If the suffix is none of .nc, .h5, .hdf5.
        FileExistsError
            If the file is there and `overwrite` is not set.
        FileNotFoundError, OSError
            If nothing can be written there.
        """
        target = check_posterior_path(path, overwrite=overwrite)
        data = self.to_inference_data()
        with whole_file(target, overwrite=overwrite) as temporary, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            netcdf.write(data, temporary)
            seal_hdf5(temporary, _FORMAT.name)

    @classmethod
    def read(cls, path: str | PathLike[str]) -> Posterior:
        """Read a file of `write`; FileNotFoundError, or ValueError where it is none."""
        source = _FORMAT.existing(path)
        arviz = need("arviz", "a posterior")
        with _FORMAT.damage(source):
            if check_hdf5(source) != _FORMAT.name:
                why = "it is no HDF5 file" if not h5py.is_hdf5(source) else "it has no checksums"
                raise _FORMAT.foreign(source, why)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                data = arviz.from_netcdf(str(source), engine="h5netcdf").load()
            record = json.loads(data.attrs["pysoftcorr"])
            _FORMAT.check(source, record)
            return cls._from(data, record)

    @classmethod
    def _from(cls, data: Any, record: Mapping[str, Any]) -> Posterior:
        names = tuple(record["names"])
        observed = {}
        if "observed_data" in data:
            observed = {n: v.values for n, v in data.observed_data.data_vars.items()}
        seen = None
        if "constant_data" in data:
            constant = data.constant_data
            values = {name: constant[f"{name}_all"].values for name in record["statistics"]}
            seen = Observation(
                constant["edges"].values, **values, on_bad="drop", source=record["source"]
            ).restored(
                constant["rows"].values,
                constant["covariance"].values if "covariance" in constant else None,
                record["data"],
            )
        pointwise = None
        if "log_likelihood" in data:
            pointwise = data.log_likelihood[_POINTWISE].values
        predictive = {}
        if "posterior_predictive" in data:
            drawn = data.posterior_predictive
            predictive = {n: v.values for n, v in drawn.data_vars.items()}
        curves = {}
        if "predictions" in data:
            curves = {n: v.values[0] for n, v in data.predictions.data_vars.items()}
        return cls(
            names=names,
            draws=np.stack([data.posterior[name].values for name in names], axis=-1),
            stats={name: data.sample_stats[name].values for name in data.sample_stats.data_vars},
            priors=record["priors"],
            fixed=record["fixed"],
            observation=seen,
            data=observed if seen is None else {},
            curves=curves,
            log_likelihood=pointwise,
            predictive=predictive,
            settings=record["settings"],
        )


def _observed_groups(
    seen: Observation,
    curves: Mapping[str, FloatArray],
    pointwise: FloatArray | None,
    predictive: Mapping[str, FloatArray],
) -> dict[str, Any]:
    """Groups of an ``InferenceData`` that follow from an observation."""
    bins = seen.edges.size - 1
    used = np.isin(np.arange(len(seen.statistics) * bins), seen.rows).reshape(-1, bins)
    shown = {
        name: np.where(used[k], seen.values[name], np.nan) for k, name in enumerate(seen.statistics)
    }
    constant: dict[str, Any] = {"edges": seen.edges, "rows": seen.rows}
    constant |= {f"{name}_all": value for name, value in seen.values.items()}
    dims = {"edges": ["edge"], "rows": ["value"], _POINTWISE: ["value"]}
    if seen.covariance is not None:
        constant["covariance"] = seen.covariance
        dims["covariance"] = ["value", "value_too"]
    for name in STATISTICS:
        dims |= {label: ["r"] for label in (name, f"{name}_std", f"{name}_all")}
    value = [f"{seen.statistics[row // bins]} {seen.r[row % bins]:.4g}" for row in seen.rows]
    coords = {"r": seen.r, "value": value}
    groups: dict[str, Any] = {
        "observed_data": shown,
        "constant_data": constant,
        "predictions": {name: curve[None] for name, curve in curves.items()},
        "coords": coords,
        "dims": dims,
        "pred_coords": {"r": seen.r},
        "pred_dims": {name: ["r"] for name in curves},
    }
    if pointwise is not None:
        groups["log_likelihood"] = {_POINTWISE: pointwise}
    if predictive:
        groups["posterior_predictive"] = dict(predictive)
    return groups


def check_posterior_path(path: str | PathLike[str], *, overwrite: bool = False) -> Path:
    """Find out whether a posterior could be written here; raises as `Posterior.write`."""
    return check_output(path, suffixes=_SUFFIXES, overwrite=overwrite)


def warn_of_problems(posterior: Posterior, title: str) -> None:
    """One UserWarning for each of the problems; every sampler calls this with what it drew.

    Parameters
    ----------
    posterior : Posterior
    title : str
        Whose draws they are, at the head of each message.
    """
    for problem in posterior.problems():
        warnings.warn(f"{title}: {problem}", UserWarning, stacklevel=3)
