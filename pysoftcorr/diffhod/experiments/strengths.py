"""Recovery of alignment strengths from omega(r): through the catalog, exactly, by a model."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from pysoftcorr.core.documents import json_text
from pysoftcorr.core.random import stream
from pysoftcorr.core.text import aligned_rows
from pysoftcorr.core.torch import once, one_thread
from pysoftcorr.core.version import __version__
from pysoftcorr.diffhod.experiments.exact import HOD_NAMES
from pysoftcorr.diffhod.experiments.power import interval, write_results
from pysoftcorr.diffhod.model import DiffHOD
from pysoftcorr.diffhod.pairs import WeightedPairs
from pysoftcorr.inference.checkpoint import FORMAT, Arrays, read_checkpoint, write_checkpoint
from pysoftcorr.inference.nuts import NutsPlan, nuts_posterior, run_nuts
from pysoftcorr.inference.posterior import Posterior
from pysoftcorr.inference.priors import Priors, Uniform
from pysoftcorr.inference.target import Coordinates, GaussianLikelihood, Target, laplace
from pysoftcorr.inference.workers import Workers
from pysoftcorr.mocks.box import box_correlations, radial_edges
from pysoftcorr.mocks.expected import AlignmentSums, alignment_sums
from pysoftcorr.mocks.halos import HaloCatalog
from pysoftcorr.mocks.hod import HODModel

__all__ = ["STRENGTHS", "StrengthExperiment", "StrengthSettings", "run_strength_experiment"]

FloatArray = npt.NDArray[np.float64]

#: Priors of the strengths.
STRENGTHS = Priors({"mu_cen": Uniform(-1, 1), "mu_sat": Uniform(-1, 1)})


@dataclass(frozen=True, kw_only=True)
class StrengthSettings:
    """Everything but the halos that the experiment follows from.

    Attributes
    ----------
    hod : tuple of float
        logMmin, sigma_logM, logM0, logM1, alpha: known.
    mu_cen, mu_sat : float
        Strengths in the mock data, to be recovered.
    tau : float
        Temperature of `DiffHOD`.
    realizations : int
        Catalogs that the models average over.
    covariance : int
        Realizations that the covariance of omega is of.
    chains, warmup, draws : int
        Chains of NUTS and draws of each, the same for every model.
    seed : int
    """

    hod: tuple[float, ...] = (12.54, 0.26, 12.68, 13.48, 1.0)
    mu_cen: float = 0.78
    mu_sat: float = 0.33
    tau: float = 0.1
    realizations: int = 12
    covariance: int = 100
    chains: int = 3
    warmup: int = 60
    draws: int = 300
    seed: int = 1

    def plan(self) -> NutsPlan:
        """Plan of the chains."""
        return NutsPlan(
            chains=self.chains, warmup=self.warmup, draws=self.draws, block=50, seed=self.seed
        )

    def root(self, purpose: str) -> int:
        """Seed of the mock data or of the noise of a model."""
        return int(stream(self.seed, f"strengths {purpose}").integers(2**62))

    def model(self) -> HODModel:
        """HOD of the mock data."""
        values: dict[str, Any] = dict(zip(HOD_NAMES, self.hod, strict=True))
        return HODModel(**values, mu_cen=self.mu_cen, mu_sat=self.mu_sat)


class _Catalog:
    """Mean omega of the weighted points of DiffHOD over realizations."""

    def __init__(self, halos: HaloCatalog, settings: StrengthSettings, used: Any, seed: int):
        model = DiffHOD(halos, tau=settings.tau, realizations=settings.realizations, seed=seed)
        params = (settings.mu_cen, settings.mu_sat, *settings.hod)
        self.used = torch.as_tensor(used)
        self.parts = []
        for r in range(settings.realizations):
            galaxies = model.galaxies(params, realization=r)
            pairs = WeightedPairs(galaxies.position, boxsize=galaxies.boxsize)
            self.parts.append((galaxies, pairs.orientation(galaxies.weight.detach())))

    def each(self, mu: torch.Tensor) -> torch.Tensor:
        return torch.stack([p.omega(g.axes(mu[0], mu[1]))[self.used] for g, p in self.parts])

    def __call__(self, mu: Any) -> Any:
        if isinstance(mu, torch.Tensor):
            return self.each(mu).mean(dim=0)
        with torch.no_grad():
            return self.each(torch.as_tensor(mu)).mean(dim=0).numpy()


class _Expected(torch.autograd.Function):
    """Exact means over all draws of the axes, with their exact derivatives."""

    @staticmethod
    def forward(ctx: Any, mu: torch.Tensor, sums: list[AlignmentSums], used: Any) -> torch.Tensor:
        ctx.save_for_backward(mu)
        found = [s.at(*mu.detach().tolist()) for s in sums]
        slopes = [[f.domega_dmu_cen[used], f.domega_dmu_sat[used]] for f in found]
        ctx.slopes = torch.as_tensor(np.mean(slopes, axis=0))
        return torch.as_tensor(np.mean([f.omega[used] for f in found], axis=0))

    @staticmethod
    def backward(ctx: Any, cotangent: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (mu,) = ctx.saved_tensors
        return once("the exact mean of omega", ctx.slopes @ cotangent, mu, cotangent), None, None


class _Exact:
    """Mean omega of whole galaxies, exactly averaged over all draws of the axes."""

    def __init__(self, halos: HaloCatalog, settings: StrengthSettings, used: Any, seed: int):
        self.used = used
        seeds = np.random.default_rng(seed).integers(2**62, size=settings.realizations)
        self.sums = [alignment_sums(settings.model().populate(halos, seed=int(s))) for s in seeds]

    def __call__(self, mu: Any) -> Any:
        if isinstance(mu, torch.Tensor):
            return _Expected.apply(mu, self.sums, self.used)
        return _Expected.apply(torch.as_tensor(mu), self.sums, self.used).numpy()


class _Modeled:
    """omega of an emulator or of tables of halos."""

    def __init__(self, settings: StrengthSettings, used: Any, model: Any):
        self.used, self.model = torch.as_tensor(used), model
        self.hod = torch.tensor(settings.hod, dtype=torch.float64)

    def __call__(self, mu: Any) -> Any:
        if isinstance(mu, torch.Tensor):
            params = torch.cat([mu, self.hod])
            return self.model.mean_and_std(params)["omega"][0][self.used]
        with torch.no_grad():
            return self(torch.as_tensor(mu)).numpy()


@dataclass(eq=False)
class StrengthExperiment:
    """Results of `run_strength_experiment`.

    Attributes
    ----------
    settings : StrengthSettings
    r, omega, error : ndarray, shape (nbins,)
        Mock data.
    posteriors : dict of Posterior
        By model: "DiffHOD", "exact expectation" and, where one is given, "emulator" or "tables".
    setup_seconds : dict of float
        Time that each model took to be made ready.
    files : list of Path
    """

    settings: StrengthSettings
    r: FloatArray
    omega: FloatArray
    error: FloatArray
    posteriors: dict[str, Posterior]
    setup_seconds: dict[str, float]
    files: list[Path]

    def rows(self) -> dict[str, dict[str, Any]]:
        """Diagnostics by model and strength with the bias in sigma, and what the draws cost."""
        out: dict[str, dict[str, Any]] = {}
        for label, posterior in self.posteriors.items():
            out[label] = {
                **posterior.efficiency(), "setup_seconds": self.setup_seconds[label]
            }  # fmt: skip
            for name, row in posterior.diagnostics().items():
                bias = (row["median"] - getattr(self.settings, name)) / row["sd"]
                out[label][name] = {**row, "bias": bias}
        return out

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "settings": asdict(self.settings),
            "version": __version__,
            "r": self.r.tolist(),
            "omega": self.omega.tolist(),
            "error": self.error.tolist(),
            "models": self.rows(),
        }

    def summary(self) -> str:
        """Table for a terminal."""
        lines = [
            ("model", "mu_cen", "bias/sigma", "mu_sat", "bias/sigma", "r-hat", "effective/draw",
             "effective/s")
        ]  # fmt: skip
        for label, row in self.rows().items():
            lines.append(
                (
                    label,
                    interval(row["mu_cen"]), f"{row['mu_cen']['bias']:+.2f}",
                    interval(row["mu_sat"]), f"{row['mu_sat']['bias']:+.2f}",
                    f"{row['r_hat']:.3f}", f"{row['ess_per_draw']:.3f}",
                    f"{row['ess_per_second']:.1f}",
                )
            )  # fmt: skip
        truth = f"truth: mu_cen = {self.settings.mu_cen:g}, mu_sat = {self.settings.mu_sat:g}"
        return truth + "\n" + aligned_rows(lines, first=str.ljust)


class _Problem:
    def __init__(self, target: Target) -> None:
        self._target = target

    def target(self) -> Target:
        return self._target


def run_strength_experiment(
    halos: HaloCatalog,
    folder: str | PathLike[str],
    *,
    settings: StrengthSettings | None = None,
    model: Any = None,
    overwrite: bool = False,
    tell: Callable[[str], None] | None = None,
) -> StrengthExperiment:
    """Recover the alignment strengths of a mock catalog from omega(r), by three models.

    NUTS through the catalog itself (`DiffHOD`, its axes drawn with fixed random numbers and
    differentiable in the strengths), through the exact expectations over all draws of the axes,
    and through an emulator or tables, where these are given. Data, covariance, priors and chains
    are the same.

    Parameters
    ----------
    halos : HaloCatalog
        In a box of more than 48 Mpc/h, so that the bins up to 16 Mpc/h fit.
    folder : path
        Will hold ``strengths.json``, ``strengths.txt``, the posteriors (.nc), and the chains: the
        same call resumes one that was ended.
    settings : StrengthSettings, optional
    model : Emulator or HaloTables, optional
        Of satellites in spheres, as those of DiffHOD, in the bins of `box_correlations`.
    overwrite : bool
        Restart, whatever the folder holds of an earlier run.
    tell : callable, optional
        Called with a line of text as each part begins.

    Returns
    -------
    StrengthExperiment

    Raises
    ------
    ValueError
        If a setting is out of range, the folder holds a run of other settings or halos, the box
        is too small, no bin has pairs in all realizations, or the model is of satellites or bins
        elsewhere.
    """
    s = StrengthSettings() if settings is None else settings
    if model is not None:
        _check(model, halos.boxsize)
    say = tell or (lambda text: None)
    place = Path(folder).expanduser()
    place.mkdir(parents=True, exist_ok=True)
    if overwrite:
        for pattern in ("problem.h5", "*/nuts-*.h5"):
            for path in place.glob(pattern):
                path.unlink()
    identity = {"format": FORMAT, "halos": halos.fingerprint, "statistic": "omega", **asdict(s)}
    # Chains may be made longer.
    del identity["chains"], identity["draws"]
    kept = read_checkpoint(place / "problem.h5", identity)
    if kept is None:
        say(f"omega(r) of a mock catalog, covariance of {s.covariance} realizations")
        kept = _mocks(halos, s)
        write_checkpoint(place / "problem.h5", identity, kept)
    used, omega = kept["used"], kept["omega"]
    # Models that average n catalogs have 1/n of the scatter of one.
    covariance = kept["covariance"] * (1 + 1 / s.realizations)
    likelihood = GaussianLikelihood(omega, covariance)
    makers: dict[str, Callable[[], Any]] = {
        "DiffHOD": lambda: _Catalog(halos, s, used, s.root("relaxed")),
        "exact expectation": lambda: _Exact(halos, s, used, s.root("exact")),
    }
    if model is not None:
        label = "tables" if model.kind == "tables" else "emulator"
        makers[label] = lambda: _Modeled(s, used, model)
    posteriors, setup = {}, {}
    for label, make in makers.items():
        say(f"NUTS by {label}")
        begun = time.perf_counter()
        with one_thread():
            target = Target(make(), likelihood, STRENGTHS)
            center, curvature = laplace(target, (0.1, 0.1))
        target.coordinates = Coordinates(STRENGTHS, STRENGTHS.inside(center), curvature)
        setup[label] = time.perf_counter() - begun
        starts = STRENGTHS.draw_about(
            center, curvature, s.chains, stream(s.seed, f"strengths starts {label}")
        )
        own = place / label.replace(" ", "-")
        own.mkdir(exist_ok=True)
        with Workers(_Problem(target)) as workers:
            chains = run_nuts(workers, s.plan(), target.coordinates.u(starts), folder=own)
        posteriors[label] = nuts_posterior(
            chains, s.plan(), target.coordinates, title=f"NUTS by {label}", data={"omega": omega}
        )
    result = StrengthExperiment(
        s, kept["r"], omega, np.sqrt(np.diag(covariance)), posteriors, setup, []
    )
    named = {f"{label.replace(' ', '-')}.nc": found for label, found in posteriors.items()}
    texts = {
        "strengths.json": json_text(result.to_dict(), indent=1),
        "strengths.txt": result.summary(),
    }
    result.files.extend(write_results(place, named, texts))
    return result


def _mocks(halos: HaloCatalog, s: StrengthSettings) -> Arrays:
    """Mock omega, its covariance, and the bins used, which have pairs in every mock."""
    model = s.model()
    data = box_correlations(model.populate(halos, seed=s.root("data")))
    seeds = np.random.default_rng(s.root("covariance")).integers(2**62, size=s.covariance)
    mocks = np.array([box_correlations(model.populate(halos, seed=int(x))).omega for x in seeds])
    used = np.flatnonzero(np.isfinite(mocks).all(axis=0) & np.isfinite(data.omega))
    if not used.size or len(mocks) < used.size + 2:
        raise ValueError(
            f"{used.size} bins have pairs in all of {len(mocks)} realizations; there must be some, "
            "and two more realizations than bins: take more halos or more realizations"
        )
    covariance = np.cov(mocks[:, used].T).reshape(used.size, used.size)
    return {
        "used": used, "r": data.r[used], "omega": data.omega[used], "covariance": covariance
    }  # fmt: skip


def _check(model: Any, boxsize: Any) -> None:
    there = model.box.get("satellites")
    if there not in (None, "nfw"):
        raise ValueError(f"model: satellites = {there!r}: must be 'nfw', as those of DiffHOD")
    bins = radial_edges(None, boxsize)
    if model.edges.shape != bins.shape or not np.allclose(model.edges, bins, rtol=1e-5):
        raise ValueError(
            f"model: bins = {len(model.edges) - 1} of {model.edges[0]:g} to {model.edges[-1]:g} "
            f"Mpc/h: must be the {len(bins) - 1} of {bins[0]:g} to {bins[-1]:g} Mpc/h"
        )
