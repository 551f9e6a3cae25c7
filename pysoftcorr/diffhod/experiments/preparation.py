"""Mock data, covariance, the peak and calibrated models: what the samplers start from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from pysoftcorr.core.random import stream
from pysoftcorr.core.torch import one_thread
from pysoftcorr.diffhod.experiments.exact import ExactPower, mock_covariance
from pysoftcorr.diffhod.experiments.smooth import SmoothPower
from pysoftcorr.diffhod.experiments.targets import (
    PRIORS,
    Calibration,
    Corrected,
    Crowd,
    OccupationBend,
    calibrate,
)
from pysoftcorr.inference.checkpoint import Arrays, read_checkpoint, write_checkpoint
from pysoftcorr.inference.target import Coordinates, GaussianLikelihood, Target, laplace
from pysoftcorr.inference.workers import Workers
from pysoftcorr.mocks.halos import HaloCatalog

__all__ = ["Bench", "Prepared", "prepare"]

FloatArray = npt.NDArray[np.float64]

#: Relaxed points of `DiffHOD` are found once for parameters within so many sigma of the peak.
_REACH = 3.0
#: Draws that a reference occupation is the mean of, from a density this much wider.
_REFERENCES, _WIDER = 64, 1.5
#: Spread of the points of a calibration, in widths of the density about the peak: some near to
#: it, some as far as tails go.
_SPREAD = (0.5, 2.2)
#: Points from which on whole galaxies, which have most noise, are corrected to second order.
_QUADRATIC = 400

#: Where the posterior is: its center and covariance, as far as they are known.
Near = tuple[FloatArray, FloatArray]


@dataclass(frozen=True, eq=False)
class Prepared:
    """Mock data, their covariance, and the peak that the samplers start from.

    Attributes
    ----------
    k, data, mean : ndarray, shape (nk,)
        Wavenumbers, mock data, and the mean of the realizations that the covariance is of.
    covariance : ndarray, shape (nk, nk)
        Covariance of the data, with its floor, without the noise of the models.
    center, laplace : ndarray, shape (d,) and (d, d)
        Peak of the posterior of DiffHOD and covariance about it.
    near_center, near_covariance : ndarray, shape (d,) and (d, d)
        Peak and covariance before the last calibration: what the points of DiffHOD were chosen
        by.
    model_variance : float
        Variance of the models' own noise as a fraction of the covariance of the data: the
        likelihood has (1 + this) times the covariance.
    calibrations : dict
        Calibrations of "smooth" and "exact"; empty without.
    clipped : int
        Halos of more satellites than trials at the peak.
    """

    k: FloatArray
    data: FloatArray
    mean: FloatArray
    covariance: FloatArray
    center: FloatArray
    laplace: FloatArray
    near_center: FloatArray
    near_covariance: FloatArray
    model_variance: float
    calibrations: dict[str, Calibration]
    clipped: int

    def likelihood(self) -> GaussianLikelihood:
        """Likelihood with the noise of the models in its covariance."""
        return GaussianLikelihood(self.data, (1 + self.model_variance) * self.covariance)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "k": self.k.tolist(),
            "data": self.data.tolist(),
            "error": np.sqrt(np.diag(self.covariance)).tolist(),
            "peak": dict(zip(PRIORS.names, self.center.tolist(), strict=True)),
            "model_variance": self.model_variance,
            "calibration": {
                name: {"offset": c.offset, "scatter": c.scatter}
                for name, c in self.calibrations.items()
            },
            "clipped": self.clipped,
        }

    def summary(self) -> str:
        """A few lines for a terminal."""
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
            + (f"; {self.clipped} halos clipped at the peak" if self.clipped else "")
        )
        return "\n".join(lines)


def _packed(p: Prepared) -> dict[str, Any]:
    """Arrays for a file."""
    out: dict[str, Any] = {
        name: getattr(p, name)
        for name in ("k", "data", "mean", "covariance", "center", "laplace", "near_center",
                     "near_covariance", "model_variance", "clipped")
    }  # fmt: skip
    for name, c in p.calibrations.items():
        for part in ("center", "scale", "coefficients"):
            out[f"{name} {part}"] = getattr(c, part)
        scatter = np.nan if c.scatter is None else c.scatter
        out[f"{name} scatter and offset"] = [scatter, c.offset]
    return out


def _unpacked(a: Arrays) -> Prepared:
    """`Prepared` of what `_packed` gave."""
    calibrations = {}
    for name in ("smooth", "exact"):
        if f"{name} center" in a:
            scatter, offset = a[f"{name} scatter and offset"].tolist()
            calibrations[name] = Calibration(
                a[f"{name} center"], a[f"{name} scale"], a[f"{name} coefficients"],
                None if np.isnan(scatter) else scatter, offset,
            )  # fmt: skip
    return Prepared(
        k=a["k"], data=a["data"], mean=a["mean"], covariance=a["covariance"], center=a["center"],
        laplace=a["laplace"], near_center=a["near_center"], near_covariance=a["near_covariance"],
        model_variance=float(a["model_variance"]),
        calibrations=calibrations, clipped=int(a["clipped"]),
    )  # fmt: skip


class Bench:
    """The models of an experiment; goes to the workers, which make them when first asked.

    Parameters
    ----------
    halos : HaloCatalog
    path : Path
        File of what `prepare` found.
    identity : mapping
        Settings that everything follows from, by their names on disk.
    device : str
        Where torch computes the model of NUTS.
    """

    def __init__(
        self, halos: HaloCatalog, path: Path, identity: Mapping[str, Any], device: str = "cpu"
    ) -> None:
        self.halos, self.path, self.identity = halos, path, dict(identity)
        self.device = device
        self._made: dict[str, Any] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_made": {}}

    def target(self) -> Bench:
        """Itself: it has several targets."""
        return self

    def seed(self, purpose: str, *, noise: bool = True) -> int:
        """Seed of the noise of a model, or of what is the same whatever the noise."""
        name = f"{purpose} {self.identity['noise']}" if noise else purpose
        return int(stream(self.identity["seed"], name).integers(2**62))

    def crowd(self) -> Crowd:
        """The number of galaxies at which the priors end."""
        if "crowd" not in self._made:
            s = self.identity
            self._made["crowd"] = Crowd(self.halos.mass, s["fiducial"], s["modulate"])
        return self._made["crowd"]

    def exact(self) -> ExactPower:
        """The model of emcee, as it is."""
        if "exact" not in self._made:
            s = self.identity
            self._made["exact"] = ExactPower(
                self.halos, mesh=s["mesh"], k_max=s["k_max"], realizations=s["realizations"],
                spare=1, seed=self.seed("exact noise"), modulate=s["modulate"],
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

    def new_smooth(self, near: Near, *, bounded: bool = True) -> SmoothPower:
        """Model of NUTS without a history; relaxed trials may be found as they are asked for, too,
        and then depend on where that was in the tenth digit."""
        s = self.identity
        options: dict[str, Any]
        if s["draw"] == "relaxed":
            bounds = _bounds(*near) if bounded else None
            options = {"realizations": s["realizations"], "tau": s["tau"], "bounds": bounds}
        else:
            wide = self._references(near)
            # One set has less noise than several of whole galaxies; a spare one shows how much.
            options = {"spare": 1, "reference": wide, "density": s["density"]}
        return SmoothPower(
            self.halos, seed=self.seed("relaxed noise"),
            modulate=s["modulate"], mesh=s["mesh"], k_max=s["k_max"], device=self.device,
            **options,
        )  # fmt: skip

    def _references(self, near: Near) -> FloatArray:
        """Parameters whose mean occupation the points are drawn from, none of them a crowd: one
        of many galaxies would have all the points."""
        rng = np.random.default_rng(self.seed("reference", noise=False))
        out: list[FloatArray] = []
        while len(out) < _REFERENCES:
            (params,) = PRIORS.draw_about(near[0], _WIDER**2 * near[1], 1, rng)
            try:
                self.crowd().refuse(params)
            except ValueError:
                continue
            out.append(params)
        return np.array(out)

    def exact_target(self) -> Target:
        """Target of emcee."""
        return self._target("exact", lambda prepared: self.exact())

    def smooth_target(self) -> Target:
        """Target of NUTS."""
        return self._target(
            "smooth", lambda prepared: self.smooth((prepared.near_center, prepared.near_covariance))
        )

    def _target(self, name: str, model: Callable[[Prepared], Any]) -> Target:
        key = f"{name} target"
        if key not in self._made:
            prepared = self.prepared()
            calibration = prepared.calibrations.get(name)
            corrected = Corrected(model(prepared), calibration, self.crowd())
            self._made[key] = Target(corrected, prepared.likelihood(), PRIORS, self.coordinates())
        return self._made[key]

    def coordinates(self, near: Near | None = None) -> Coordinates:
        """Coordinates that both samplers walk in, about the peak or about another place."""
        if near is not None:
            center, covariance = PRIORS.inside(near[0]), near[1]
            bend = OccupationBend.about(self.halos.mass, center, covariance)
            return Coordinates(PRIORS, center, covariance, bend=bend)
        if "coordinates" not in self._made:
            prepared = self.prepared()
            self._made["coordinates"] = self.coordinates((prepared.center, prepared.laplace))
        return self._made["coordinates"]

    def points(self, near: Near, number: int, rng: np.random.Generator) -> FloatArray:
        """Parameters spread somewhat wider than the posterior, along its ridges."""
        there = self.coordinates(near)
        out: list[FloatArray] = []
        while len(out) < number:
            try:
                params = there.params(rng.uniform(*_SPREAD) * rng.normal(size=len(PRIORS)))
                self.crowd().refuse(params)
            except ValueError:  # the bend leads nowhere, or too far
                continue
            out.append(params)
        return np.array(out)

    def prepared(self) -> Prepared:
        """What `prepare` left in the file."""
        found = read_checkpoint(self.path, self.identity)
        if found is None:
            raise FileNotFoundError(f"no such file: {self.path}")
        return _unpacked(found)


def _bounds(center: FloatArray, covariance: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Bounds within which the points of DiffHOD are found once."""
    reach = _REACH * np.sqrt(np.diag(covariance))
    low, high = np.maximum(center - reach, PRIORS.low), np.minimum(center + reach, PRIORS.high)
    return low, high


# ---------------------------------------------------------------------- what workers do
Job = tuple[FloatArray, int, Near]


def _exact_draw(bench: Bench, job: Job) -> FloatArray:
    return bench.exact().spectra(job[0], [job[1]])


def _exact_group(bench: Bench, job: Job) -> FloatArray:
    return bench.exact().drawn(job[0], job[1])[None]


def _exact_fixed(bench: Bench, job: Job) -> FloatArray:
    return bench.exact().each(job[0])


def _smooth_draw(bench: Bench, job: Job) -> FloatArray:
    return bench.smooth(job[2]).spectra(job[0], [job[1]])


def _smooth_fixed(bench: Bench, job: Job) -> FloatArray:
    with torch.no_grad():
        return np.asarray(bench.smooth(job[2]).each(job[0]).cpu().numpy(), dtype=np.float64)


_JOBS: dict[str, tuple[Callable[..., FloatArray], Callable[..., FloatArray]]] = {
    "smooth": (_smooth_fixed, _smooth_draw),
    "exact": (_exact_fixed, _exact_group),
}


def prepare(bench: Bench, workers: Workers, say: Callable[[str], None]) -> Prepared:
    """Make the mock data and all that the samplers start from, or read it from the file.

    Parameters
    ----------
    bench : Bench
    workers : Workers
        Workers of this bench.
    say : callable
        Told of each part.
    """
    found = read_checkpoint(bench.path, bench.identity)
    if found is not None:
        return _unpacked(found)
    s = bench.identity
    fiducial = np.array(s["fiducial"])
    say(f"covariance of {s['covariance']} realizations of the exact HOD")
    rng = np.random.default_rng(bench.seed("covariance", noise=False))
    near: Near = PRIORS.mean, np.diag(np.square(PRIORS.sd))
    jobs = [(fiducial, int(x), near) for x in rng.integers(2**62, size=s["covariance"])]
    mocks = np.concatenate(workers.map(_exact_draw, jobs))
    mean, covariance = mock_covariance(mocks, floor=s["floor"])
    with one_thread():
        data = bench.exact().mock(fiducial, seed=bench.seed("data", noise=False))
    variance = 1 / s["realizations"]
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
        # One set of relaxed trials cannot tell what noise the correction leaves; it has not more
        # than it had.
        variance = max(variance if c.scatter is None else c.scatter for c in calibrations.values())
        likelihood = GaussianLikelihood(data, (1 + variance) * covariance)
        peak, curvature, clipped = _peak(bench, likelihood, calibrations["smooth"], near, peak)
    prepared = Prepared(
        bench.exact().k, data, mean, covariance, peak, curvature, *previous, variance,
        calibrations, clipped,
    )  # fmt: skip
    write_checkpoint(bench.path, bench.identity, _packed(prepared))
    # As it is in the file: what is resumed from the file starts from this.
    return bench.prepared()


def _peak(
    bench: Bench,
    likelihood: GaussianLikelihood,
    calibration: Calibration | None,
    near: Near,
    start: FloatArray,
) -> tuple[FloatArray, FloatArray, int]:
    """Peak, covariance about it, and the halos that are clipped there."""
    with one_thread():
        # At first that is all the priors hold, more trials than memory does.
        model = bench.new_smooth(near, bounded=False)
        center, curvature = laplace(
            Target(Corrected(model, calibration, bench.crowd()), likelihood, PRIORS), start
        )
        model(center)
    return center, curvature, model.model.clipped


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
    points = bench.points(near, number, rng)
    out = {}
    for name in names:
        fixed, draw = _JOBS[name]
        seeds = rng.integers(2**62, size=number).tolist()
        jobs = [(p, s, near) for p, s in zip(points, seeds, strict=True)]
        used = bench.smooth(near).number if name == "smooth" else 1
        quadratic = name == "exact" and number >= _QUADRATIC
        out[name] = calibrate(
            points, workers.map(fixed, jobs), workers.map(draw, jobs), covariance, used=used,
            quadratic=quadratic,
        )  # fmt: skip
    return out
