"""What the samplers start from: mock data, covariance, the peak, calibrated models."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr._random import stream
from pysoftcorr.diffhod._torch import torch
from pysoftcorr.diffhod.calibration import Calibration, calibrate
from pysoftcorr.diffhod.checkpoint import Arrays, read_checkpoint, write_checkpoint
from pysoftcorr.diffhod.coordinates import Coordinates, OccupationBend
from pysoftcorr.diffhod.exact import ExactPower, mock_covariance
from pysoftcorr.diffhod.laplace import draw_within, laplace
from pysoftcorr.diffhod.model import ClippedTrials
from pysoftcorr.diffhod.smooth import SmoothPower
from pysoftcorr.diffhod.target import PRIORS, GaussianLikelihood, Target
from pysoftcorr.diffhod.workers import Workers, one_thread
from pysoftcorr.mocks.halos import HaloCatalog

__all__ = ["Bench", "Prepared", "prepare"]

FloatArray = npt.NDArray[np.float64]

#: Relaxed points of `DiffHOD` are found once for parameters within so many sigma of the peak.
_REACH = 3.0
#: Draws that a reference occupation is the mean of, from a density this much wider.
_REFERENCES, _WIDER = 64, 1.5

#: Where the posterior is: its centre and covariance, as far as they are known.
Near = tuple[FloatArray, FloatArray]


@dataclass(frozen=True, eq=False)
class Prepared:
    """Data, covariance and start.

    Attributes
    ----------
    k, data, mean : ndarray, shape (nk,)
        Wavenumbers, mock data, and the mean of the realisations that the covariance is of.
    covariance : ndarray, shape (nk, nk)
        Of the data, with its floor, without the noise of the models.
    centre, laplace : ndarray, shape (d,) and (d, d)
        Peak of the posterior of DiffHOD and covariance about it.
    near_centre, near_covariance : ndarray, shape (d,) and (d, d)
        The same before the last calibration: what the points of DiffHOD were chosen by.
    model_variance : float
        That of the models' own noise as a fraction of the covariance of the data: the likelihood
        has (1 + this) times the covariance.
    calibrations : dict
        Of "smooth" and "exact"; empty without calibration.
    clipped : int
        Haloes of more satellites than trials at the peak.
    """

    k: FloatArray
    data: FloatArray
    mean: FloatArray
    covariance: FloatArray
    centre: FloatArray
    laplace: FloatArray
    near_centre: FloatArray
    near_covariance: FloatArray
    model_variance: float
    calibrations: dict[str, Calibration]
    clipped: int

    def likelihood(self) -> GaussianLikelihood:
        """With the noise of the models in the covariance."""
        return GaussianLikelihood(self.data, (1 + self.model_variance) * self.covariance)

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return {
            "k": self.k.tolist(),
            "data": self.data.tolist(),
            "error": np.sqrt(np.diag(self.covariance)).tolist(),
            "peak": dict(zip(PRIORS.names, self.centre.tolist(), strict=True)),
            "model_variance": self.model_variance,
            "calibration": {
                name: {"offset": c.offset, "scatter": c.scatter}
                for name, c in self.calibrations.items()
            },
            "clipped": self.clipped,
        }

    def text(self) -> str:
        """In words."""
        error = np.sqrt(np.diag(self.covariance)) / self.mean
        lines = [
            f"P(k) of the exact HOD in {self.k.size} bins, k = {self.k[0]:.3f} to "
            f"{self.k[-1]:.3f} h/Mpc, errors {100 * error.min():.1f} to {100 * error.max():.1f} %"
        ]
        for name, c in self.calibrations.items():
            left = "" if c.scatter is None else f", {c.scatter**0.5:.2f} of it after"
            lines.append(
                f"bias of fixed random numbers, {name}: {c.offset:.2f} sigma a bin before the "
                f"correction{left}"
            )
        lines.append(
            f"noise of the models in the covariance: 1 + {self.model_variance:.3f}"
            + (f"; {self.clipped} haloes clipped at the peak" if self.clipped else "")
        )
        return "\n".join(lines)


class Bench:
    """The models of an experiment; goes to the workers, which make them when first asked.

    Parameters
    ----------
    haloes : HaloCatalog
    path : Path
        Of the file of what `prepare` found.
    identity : mapping
        Settings that all follows from.
    """

    def __init__(self, haloes: HaloCatalog, path: Path, identity: Mapping[str, Any]) -> None:
        self.haloes, self.path, self.identity = haloes, path, dict(identity)
        self._made: dict[str, Any] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_made": {}}

    def target(self) -> Bench:
        """Itself: it has several targets."""
        return self

    def seed(self, purpose: str, *, noise: bool = True) -> int:
        """Of the noise of a model, or of what is the same whatever the noise."""
        name = f"{purpose} {self.identity['noise']}" if noise else purpose
        return int(stream(self.identity["seed"], name).integers(2**62))

    def exact(self) -> ExactPower:
        """The model of emcee, as it is."""
        if "exact" not in self._made:
            s = self.identity
            self._made["exact"] = ExactPower(
                self.haloes, mesh=s["mesh"], k_max=s["k_max"], realisations=s["realisations"],
                seed=self.seed("exact noise"), modulate=s["modulate"],
            )  # fmt: skip
        return self._made["exact"]

    def smooth(self, near: Near) -> SmoothPower:
        """The model of NUTS, as it is; the last one made is kept."""
        key = near[0].tobytes() + near[1].tobytes()
        kept = self._made.get("smooth")
        if kept is None or kept[0] != key:
            self._made["smooth"] = kept = (key, self.new_smooth(near))
        found: SmoothPower = kept[1]
        return found

    def new_smooth(self, near: Near) -> SmoothPower:
        """The same, of no history."""
        s = self.identity
        options: dict[str, Any]
        if s["draw"] == "relaxed":
            options = {
                "realisations": s["realisations"], "tau": s["tau"], "bounds": _bounds(*near),
            }  # fmt: skip
        else:
            rng = np.random.default_rng(self.seed("reference", noise=False))
            wide = draw_within(PRIORS, near[0], _WIDER**2 * near[1], _REFERENCES, rng)
            # One set has less noise than several of whole galaxies; a spare one shows how much.
            options = {"spare": 1, "reference": wide, "density": s["density"]}
        return SmoothPower(
            self.haloes, seed=self.seed("relaxed noise"),
            modulate=s["modulate"], mesh=s["mesh"], k_max=s["k_max"], **options,
        )  # fmt: skip

    def exact_target(self) -> Target:
        """Corrected by its calibration."""
        if "exact target" not in self._made:
            prepared = self.prepared()
            model = _Corrected(self.exact(), prepared.calibrations.get("exact"))
            self._made["exact target"] = Target(
                model, prepared.likelihood(), PRIORS, self.coordinates()
            )
        return self._made["exact target"]

    def smooth_target(self) -> Target:
        """Corrected by its calibration."""
        if "smooth target" not in self._made:
            prepared = self.prepared()
            near = prepared.near_centre, prepared.near_covariance
            model = _Corrected(self.smooth(near), prepared.calibrations.get("smooth"))
            self._made["smooth target"] = Target(
                model, prepared.likelihood(), PRIORS, self.coordinates()
            )
        return self._made["smooth target"]

    def coordinates(self) -> Coordinates:
        """Those that both samplers walk in."""
        if "coordinates" not in self._made:
            prepared = self.prepared()
            centre, covariance = PRIORS.inside(prepared.centre), prepared.laplace
            bend = OccupationBend.about(self.haloes.mass, centre, covariance)
            self._made["coordinates"] = Coordinates(PRIORS, centre, covariance, bend=bend)
        return self._made["coordinates"]

    def prepared(self) -> Prepared:
        """What `prepare` left in the file."""
        found = read_checkpoint(self.path, self.identity)
        if found is None:
            raise FileNotFoundError(f"no such file: {self.path}")
        return _unpacked(found)


class _Corrected:
    """A model and its calibration."""

    def __init__(self, model: Any, calibration: Calibration | None) -> None:
        self.model, self.calibration = model, calibration

    def __call__(self, theta: Any) -> Any:
        # Trajectories pass where no posterior is; haloes clipped at the peak are in the report.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ClippedTrials)
            found = self.model(theta)
        return found if self.calibration is None else self.calibration(theta, found)


def _bounds(centre: FloatArray, covariance: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Those within which the points of DiffHOD are found once."""
    reach = _REACH * np.sqrt(np.diag(covariance))
    low, high = np.maximum(centre - reach, PRIORS.low), np.minimum(centre + reach, PRIORS.high)
    return low, high


# ---------------------------------------------------------------------- what workers do
Job = tuple[FloatArray, int, Near]


def _exact_draw(bench: Bench, job: Job) -> FloatArray:
    return np.asarray(bench.exact().spectra(job[0], [job[1]])[0])


def _exact_fixed(bench: Bench, job: Job) -> FloatArray:
    exact = bench.exact()
    return exact.spectra(job[0], exact.seeds)


def _smooth_draw(bench: Bench, job: Job) -> FloatArray:
    return np.asarray(bench.smooth(job[2]).spectra(job[0], [job[1]])[0])


def _smooth_fixed(bench: Bench, job: Job) -> FloatArray:
    with torch.no_grad():
        return np.asarray(bench.smooth(job[2]).each(job[0]).cpu().numpy(), dtype=np.float64)


_JOBS: dict[str, tuple[Callable[..., FloatArray], Callable[..., FloatArray]]] = {
    "smooth": (_smooth_fixed, _smooth_draw),
    "exact": (_exact_fixed, _exact_draw),
}


def prepare(bench: Bench, workers: Workers, say: Callable[[str], None]) -> Prepared:
    """Make the mock data and all that the samplers start from, or read it from the file.

    Parameters
    ----------
    bench : Bench
    workers : Workers
        Of this bench.
    say : callable
        Told of each part.
    """
    found = read_checkpoint(bench.path, bench.identity)
    if found is not None:
        return _unpacked(found)
    s = bench.identity
    fiducial = np.array(s["fiducial"])
    say(f"covariance of {s['covariance']} realisations of the exact HOD")
    rng = np.random.default_rng(bench.seed("covariance", noise=False))
    near: Near = np.array(PRIORS.mean), np.diag(np.square(PRIORS.sd))
    jobs = [(fiducial, int(x), near) for x in rng.integers(2**62, size=s["covariance"])]
    mean, covariance = mock_covariance(workers.map(_exact_draw, jobs), floor=s["floor"])
    with one_thread():
        data = bench.exact().mock(fiducial, seed=bench.seed("data", noise=False))
    variance = 1 / s["realisations"]
    likelihood = GaussianLikelihood(data, (1 + variance) * covariance)
    say("the peak of the posterior, by the derivatives of DiffHOD")
    # Twice: the first time by points for all that the priors hold.
    peak = near[0]
    for _ in range(2):
        peak, curvature, clipped = _peak(bench, likelihood, None, near, peak)
        previous, near = near, (peak, curvature)
    calibrations: dict[str, Calibration] = {}
    if s["calibration"]:
        number = s["calibration"]
        # A rough correction moves the peak to where the points of the final one shall lie.
        rough = max(2 * (1 + len(PRIORS)), number // 4)
        say(f"bias of the fixed random numbers, at {rough} and {number} points")
        calibrations = _calibrated(bench, workers, ("smooth",), near, rough, covariance, "rough")
        peak, curvature, _ = _peak(bench, likelihood, calibrations["smooth"], near, peak)
        near = previous = peak, curvature
        calibrations = _calibrated(
            bench, workers, ("smooth", "exact"), near, number, covariance, "final"
        )
        scatters = [c.scatter for c in calibrations.values() if c.scatter is not None]
        if scatters:
            variance = max(scatters)
        likelihood = GaussianLikelihood(data, (1 + variance) * covariance)
        peak, curvature, clipped = _peak(bench, likelihood, calibrations["smooth"], near, peak)
    prepared = Prepared(
        bench.exact().k, data, mean, covariance, peak, curvature, *previous, variance,
        calibrations, clipped,
    )  # fmt: skip
    write_checkpoint(bench.path, bench.identity, _packed(prepared))
    # Rounded as in the file: what goes on from the file goes on from this.
    return bench.prepared()


def _peak(
    bench: Bench,
    likelihood: GaussianLikelihood,
    calibration: Calibration | None,
    near: Near,
    start: FloatArray,
) -> tuple[FloatArray, FloatArray, int]:
    """Peak, covariance about it, and the haloes that are clipped there."""
    with one_thread():
        model = bench.new_smooth(near)
        centre, curvature = laplace(
            Target(_Corrected(model, calibration), likelihood, PRIORS), start
        )
        model(centre)
    return centre, curvature, model.model.clipped


def _calibrated(
    bench: Bench,
    workers: Workers,
    names: tuple[str, ...],
    near: Near,
    number: int,
    covariance: FloatArray,
    purpose: str,
) -> dict[str, Calibration]:
    rng = np.random.default_rng(bench.seed(f"calibration {purpose}"))
    points = draw_within(PRIORS, *near, number, rng)
    out = {}
    for name in names:
        fixed, draw = _JOBS[name]
        seeds = rng.integers(2**62, size=number).tolist()
        jobs = [(p, s, near) for p, s in zip(points, seeds, strict=True)]
        used = bench.smooth(near).number if name == "smooth" else None
        out[name] = calibrate(
            points, workers.map(fixed, jobs), workers.map(draw, jobs), covariance, used=used
        )
    return out


def _packed(p: Prepared) -> dict[str, Any]:
    out: dict[str, Any] = {
        name: getattr(p, name)
        for name in ("k", "data", "mean", "covariance", "centre", "laplace", "near_centre",
                     "near_covariance", "model_variance", "clipped")
    }  # fmt: skip
    for name, c in p.calibrations.items():
        out[f"{name} centre"], out[f"{name} coefficients"] = c.centre, c.coefficients
        scatter = np.nan if c.scatter is None else c.scatter
        out[f"{name} scatter and offset"] = [scatter, c.offset]
    return out


def _unpacked(a: Arrays) -> Prepared:
    calibrations = {}
    for name in _JOBS:
        if f"{name} centre" in a:
            scatter, offset = a[f"{name} scatter and offset"].tolist()
            calibrations[name] = Calibration(
                a[f"{name} centre"], a[f"{name} coefficients"],
                None if np.isnan(scatter) else scatter, offset,
            )  # fmt: skip
    return Prepared(
        k=a["k"], data=a["data"], mean=a["mean"], covariance=a["covariance"], centre=a["centre"],
        laplace=a["laplace"], near_centre=a["near_centre"], near_covariance=a["near_covariance"],
        model_variance=float(a["model_variance"]),
        calibrations=calibrations, clipped=int(a["clipped"]),
    )  # fmt: skip
