"""Mock data, covariance, the peak and calibrated models: what the samplers start from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from pysoftcorr.core.random import stream
from pysoftcorr.diffhod.experiments.calibration import Calibration, calibrate
from pysoftcorr.diffhod.experiments.checkpoint import read_checkpoint, write_checkpoint
from pysoftcorr.diffhod.experiments.coordinates import Coordinates, OccupationBend
from pysoftcorr.diffhod.experiments.corrected import Corrected, Crowd
from pysoftcorr.diffhod.experiments.exact import ExactPower, mock_covariance
from pysoftcorr.diffhod.experiments.laplace import draw_within, laplace
from pysoftcorr.diffhod.experiments.prepared import Prepared, packed, unpacked
from pysoftcorr.diffhod.experiments.smooth import SmoothPower
from pysoftcorr.diffhod.experiments.target import PRIORS, GaussianLikelihood, Target
from pysoftcorr.diffhod.experiments.workers import Workers, one_thread
from pysoftcorr.mocks.halos import HaloCatalog

__all__ = ["Bench", "prepare"]

FloatArray = npt.NDArray[np.float64]

#: Relaxed points of `DiffHOD` are found once for parameters within so many sigma of the peak.
_REACH = 3.0
#: Draws that a reference occupation is the mean of, from a density this much wider.
_REFERENCES, _WIDER = 64, 1.5
#: Of the points of a calibration, in widths of the density about the peak: some near to it, some
#: as far as tails go.
_SPREAD = (0.5, 2.2)
#: Points from which on whole galaxies, which have most noise, are corrected to second order.
_QUADRATIC = 400

#: Where the posterior is: its center and covariance, as far as they are known.
Near = tuple[FloatArray, FloatArray]


class Bench:
    """The models of an experiment; goes to the workers, which make them when first asked.

    Parameters
    ----------
    halos : HaloCatalog
    path : Path
        Of the file of what `prepare` found.
    identity : mapping
        Settings that all follows from.
    device : str
        Of the model of NUTS.
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
        """Of the noise of a model, or of what is the same whatever the noise."""
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
        """The same, of no history; relaxed trials may be found as they are asked for, too, and
        then depend on where that was in the tenth digit."""
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
            (theta,) = draw_within(PRIORS, near[0], _WIDER**2 * near[1], 1, rng)
            try:
                self.crowd().refuse(theta)
            except ValueError:
                continue
            out.append(theta)
        return np.array(out)

    def exact_target(self) -> Target:
        """Of emcee."""
        return self._target("exact", lambda prepared: self.exact())

    def smooth_target(self) -> Target:
        """Of NUTS."""
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
        """Those that both samplers walk in, about the peak; or those about another place."""
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
                theta = there.theta(rng.uniform(*_SPREAD) * rng.normal(size=len(PRIORS)))
                self.crowd().refuse(theta)
            except ValueError:  # the bend leads nowhere, or too far
                continue
            out.append(theta)
        return np.array(out)

    def prepared(self) -> Prepared:
        """What `prepare` left in the file."""
        found = read_checkpoint(self.path, self.identity)
        if found is None:
            raise FileNotFoundError(f"no such file: {self.path}")
        return unpacked(found)


def _bounds(center: FloatArray, covariance: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Those within which the points of DiffHOD are found once."""
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
        Of this bench.
    say : callable
        Told of each part.
    """
    found = read_checkpoint(bench.path, bench.identity)
    if found is not None:
        return unpacked(found)
    s = bench.identity
    fiducial = np.array(s["fiducial"])
    say(f"covariance of {s['covariance']} realizations of the exact HOD")
    rng = np.random.default_rng(bench.seed("covariance", noise=False))
    near: Near = np.array(PRIORS.mean), np.diag(np.square(PRIORS.sd))
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
    write_checkpoint(bench.path, bench.identity, packed(prepared))
    # Rounded as in the file: what goes on from the file goes on from this.
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
