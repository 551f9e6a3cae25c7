"""Draws from a posterior with their diagnostics, and their file."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr.core.files import FileFormat, check_output, whole_file
from pysoftcorr.core.torch import need
from pysoftcorr.inference.observation import STATISTICS, Observation

__all__ = ["Posterior"]

FloatArray = npt.NDArray[np.float64]

_FORMAT = FileFormat("pysoftcorr posterior", "posterior")
_SUFFIXES = (".nc", ".h5", ".hdf5")


@dataclass(frozen=True, eq=False)
class Posterior:
    """Draws of several chains, made by `sample_posterior`.

    Attributes
    ----------
    names : tuple of str
        Free parameters.
    samples : ndarray, shape (chains, draws, p)
        In physical units.
    stats : dict of str to ndarray, shape (chains, draws)
        ``lp`` (ln of the density, in the sampler's variables), ``energy``, ``acceptance_rate``,
        ``step_size``, ``tree_depth``, ``n_steps`` and ``diverging``.
    priors : dict
        By parameter.
    fixed : dict of str to float
    observation : Observation
    curves : dict of str to ndarray, shape (n, nbins)
        ``xi``, ``omega``, ``eta`` and such as ``omega_std`` (aleatoric) at n of the draws.
    settings : dict
        All that the draws follow from: sampler, model, noise, seed, version; and seconds.
    """

    names: tuple[str, ...]
    samples: FloatArray
    stats: dict[str, npt.NDArray[Any]]
    priors: dict[str, Any]
    fixed: dict[str, float]
    observation: Observation
    curves: dict[str, FloatArray]
    settings: dict[str, Any]
    _cache: dict[str, Any] = field(default_factory=dict, repr=False)

    def __repr__(self) -> str:
        chains, draws, _ = self.samples.shape
        return f"<Posterior of {', '.join(self.names)}: {chains} chains of {draws} draws>"

    # ------------------------------------------------------------------ numbers
    @property
    def flat(self) -> FloatArray:
        """All draws of all chains, shape (chains draws, p)."""
        return self.samples.reshape(-1, self.samples.shape[-1])

    @property
    def divergences(self) -> int:
        """Draws whose trajectory diverged, after the warm-up."""
        return int(self.stats["diverging"].sum())

    @property
    def acceptance(self) -> float:
        """Mean acceptance after the warm-up."""
        return float(self.stats["acceptance_rate"].mean())

    def diagnostics(self) -> dict[str, dict[str, float]]:
        """Mean, sd, 16, 50 and 84 %, Monte-Carlo error, r-hat and effective sizes by parameter.

        r-hat and the sizes are those of Vehtari et al. 2021, rank-normalized and split; r-hat is
        NaN of a single draw, and compares the halves of a single chain.
        """
        if "diagnostics" not in self._cache:
            arviz = need("arviz", "a posterior")
            out = {}
            for k, name in enumerate(self.names):
                x = self.samples[:, :, k]
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

    def problems(self) -> list[str]:
        """What speaks against these draws, in words; empty if nothing does."""
        out = []
        rows = self.diagnostics()
        r_hat = {n: row["r_hat"] for n, row in rows.items() if not row["r_hat"] <= 1.01}
        if r_hat:
            texts = ", ".join(f"{name} {value:.3f}" for name, value in r_hat.items())
            out.append(f"r-hat above 1.01: {texts}; draw more")
        small = {
            name: min(row["ess_bulk"], row["ess_tail"])
            for name, row in rows.items()
            if not min(row["ess_bulk"], row["ess_tail"]) >= 100 * len(self.samples)
        }
        if small:
            texts = ", ".join(f"{name} {value:.0f}" for name, value in small.items())
            out.append(f"effective draws below 100 a chain: {texts}; draw more")
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
        deepest = int(self.settings.get("max_tree_depth", 10))
        full = float((self.stats["tree_depth"] >= deepest).mean())
        if full > 0.01:
            out.append(f"{100 * full:.0f} % of the trajectories reach the greatest tree depth")
        return out

    def summary(self) -> str:
        """A few lines for a terminal: every parameter, and how the chains did."""
        chains, draws, _ = self.samples.shape
        titles = ("", "mean", "sd", "16 %", "50 %", "84 %", "MC error", "r-hat", "ESS bulk",
                  "ESS tail")  # fmt: skip
        rows = [
            (
                name,
                *(f"{row[key]:.4g}" for key in ("mean", "sd", "q16", "median", "q84")),
                f"{row['mcse']:.2g}",
                f"{row['r_hat']:.4f}",
                *(f"{row[key]:.0f}" for key in ("ess_bulk", "ess_tail")),
            )
            for name, row in self.diagnostics().items()
        ]
        widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
        table = "\n".join(
            "  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True))
            for row in (titles, *rows)
        )
        steps = self.stats["n_steps"]
        says = [
            table,
            "",
            f"{chains} chains of {self.settings.get('warmup', 0)} + {draws} draws in "
            f"{self.settings.get('seconds', float('nan')):.1f} s; acceptance "
            f"{self.acceptance:.3f}, {self.divergences} divergences, {steps.mean():.1f} steps a "
            f"draw, step size {', '.join(f'{s:.2g}' for s in self.stats['step_size'][:, -1])}",
        ]
        return "\n".join(says)

    def to_dict(self) -> dict[str, Any]:
        """Diagnostics and settings, as JSON can hold them: NaN is None."""
        return {
            "parameters": {
                name: {key: None if v != v else v for key, v in row.items()}
                for name, row in self.diagnostics().items()
            },
            "correlation": np.atleast_2d(np.corrcoef(self.flat.T)).tolist(),
            "chains": self.samples.shape[0],
            "draws": self.samples.shape[1],
            "divergences": self.divergences,
            "acceptance": self.acceptance,
            "step_size": self.stats["step_size"][:, -1].tolist(),
            "steps_per_draw": float(self.stats["n_steps"].mean()),
            "problems": self.problems(),
            "priors": self.priors,
            "fixed": self.fixed,
            "statistics": list(self.observation.statistics),
            "settings": self.settings,
        }

    # ------------------------------------------------------------------ files
    def to_inference_data(self) -> Any:
        """An ArviZ ``InferenceData``.

        Groups: ``posterior``, ``sample_stats``, ``predictions`` (the correlation functions at
        some draws), ``observed_data`` and ``constant_data`` (edges and covariance).
        """
        arviz = need("arviz", "a posterior")
        seen = self.observation
        record = {
            **_FORMAT.header(),
            "names": list(self.names),
            "priors": self.priors,
            "fixed": self.fixed,
            "settings": self.settings,
            "statistics": list(seen.statistics),
            "source": seen.source,
        }
        constant: dict[str, Any] = {"edges": seen.edges}
        dims = {"edges": ["edge"]}
        if seen.covariance is not None:
            constant["covariance"] = seen.covariance
            dims["covariance"] = ["value", "value_too"]
        curves = {name: value[None] for name, value in self.curves.items()}
        coords = {"r": seen.r}
        data = arviz.from_dict(
            posterior={name: self.samples[:, :, k] for k, name in enumerate(self.names)},
            sample_stats=self.stats,
            predictions=curves,
            observed_data=dict(seen.values),
            constant_data=constant,
            coords=coords,
            dims={
                **dims,
                **{name: ["r"] for name in (*STATISTICS, *(f"{s}_std" for s in STATISTICS))},
            },
            pred_coords=coords,
            pred_dims={name: ["r"] for name in curves},
        )
        data.attrs["pysoftcorr"] = json.dumps(record)
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
            data.to_netcdf(str(temporary), engine="h5netcdf")

    @classmethod
    def read(cls, path: str | PathLike[str]) -> Posterior:
        """Read a file of `write`; FileNotFoundError, or ValueError where it is none."""
        source = _FORMAT.existing(path)
        arviz = need("arviz", "a posterior")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                data = arviz.from_netcdf(str(source), engine="h5netcdf").load()
            record = json.loads(data.attrs["pysoftcorr"])
        except Exception as error:  # xarray's readers raise of every kind, for one reason
            raise _FORMAT.foreign(source, error) from None
        with _FORMAT.damage(source):
            _FORMAT.check(source, record)
            return cls._from(data, record)

    @classmethod
    def _from(cls, data: Any, record: Mapping[str, Any]) -> Posterior:
        names = tuple(record["names"])
        values = {name: data.observed_data[name].values for name in record["statistics"]}
        seen = Observation(
            data.constant_data["edges"].values, **values, on_bad="drop", source=record["source"]
        )
        if "covariance" in data.constant_data:
            seen.covariance = data.constant_data["covariance"].values
        return cls(
            names=names,
            samples=np.stack([data.posterior[name].values for name in names], axis=-1),
            stats={name: data.sample_stats[name].values for name in data.sample_stats.data_vars},
            priors=record["priors"],
            fixed=record["fixed"],
            observation=seen,
            curves={name: data.predictions[name].values[0] for name in data.predictions.data_vars},
            settings=record["settings"],
        )


def check_posterior_path(path: str | PathLike[str], *, overwrite: bool = False) -> Path:
    """Find out whether a posterior could be written here; raises as `Posterior.write`."""
    return check_output(path, suffixes=_SUFFIXES, overwrite=overwrite)
