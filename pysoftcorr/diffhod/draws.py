"""How the galaxies of `DiffHOD` are drawn: relaxed trials, or points of a reference."""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from pysoftcorr.diffhod._torch import torch
from pysoftcorr.diffhod.occupation import log_mean_nsat, log_odds_central
from pysoftcorr.diffhod.points import PointSet, draw_points, most_log_odds
from pysoftcorr.diffhod.relaxed import HIGHEST, PLAIN, REACH, _table, calibrated, trial_weights
from pysoftcorr.diffhod.reweighted import draw_reference, reference_rates

__all__ = ["Draw", "ReferenceDraw", "RelaxedDraw"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


class Draw(Protocol):
    """Points of a halo catalogue, and their weights.

    `everywhere` says that the points are the same for all parameters; `trials` of each halo are
    those for satellites; `clipped` counts haloes of more satellites than trials.
    """

    everywhere: bool
    trials: IntArray
    clipped: int

    def points(self, order: IntArray, seed: int, lower: FloatArray, upper: FloatArray) -> PointSet:
        """Those that can have a weight for parameters within bounds."""
        ...

    def weights(self, region: Any, theta: torch.Tensor, *, hard: bool) -> torch.Tensor:
        """Of the points of a `Region`, at five parameters."""
        ...


class RelaxedDraw:
    """Trials whose noise is drawn once, relaxed at a temperature."""

    everywhere = False

    def __init__(
        self,
        haloes: Any,
        trials: IntArray,
        *,
        tau: float,
        modulate: bool,
        calibrate: bool,
        chunk: int,
    ) -> None:
        self._haloes, self.trials = haloes, trials
        self._tau, self._modulate, self._calibrate = tau, modulate, calibrate
        self._chunk = chunk
        self._reach = REACH if calibrate else PLAIN
        self.clipped = 0

    def points(self, order: IntArray, seed: int, lower: FloatArray, upper: FloatArray) -> PointSet:
        """Trials that are not lost for all parameters within bounds."""
        odds = most_log_odds(self._haloes.mass, self.trials, lower, upper, modulate=self._modulate)
        # Calibration lowers the odds of rare trials and raises those of frequent ones.
        shift = float(np.abs(_table(self._tau)[0]).max()) if self._calibrate else 0.0
        return draw_points(
            self._haloes, order, self.trials, odds, least=-self._tau * self._reach - shift,
            seed=seed, chunk=self._chunk,
        )  # fmt: skip

    def weights(self, region: Any, theta: torch.Tensor, *, hard: bool) -> torch.Tensor:
        """Relaxed, or 0 and 1."""
        odds = self._log_odds(region, theta)
        if hard:
            return (odds[region.halo] + region.draw > 0).to(region.draw.dtype)
        if self._calibrate:
            odds = calibrated(odds, self._tau)
        return trial_weights(odds, region.draw, region.halo, tau=self._tau, reach=self._reach)

    def _log_odds(self, region: Any, theta: torch.Tensor) -> torch.Tensor:
        """Of the haloes' trials, centrals' first."""
        central = log_odds_central(region.log_mass[0], theta)
        mean = log_mean_nsat(region.log_mass[1], theta, modulate=self._modulate)
        log_p = mean - region.log_trials
        self.clipped = int((log_p[: region.sets[0].satellites.size] > 0).sum())
        # ln p = -log1p(e^-l): beyond HIGHEST p is 1 to nine digits.
        top = -math.log1p(math.exp(-HIGHEST))
        some = log_p > -torch.inf
        log_p = torch.where(some, log_p, -1.0).clamp(max=top)
        satellite = torch.where(some, log_p - torch.log(-torch.expm1(log_p)), -1e4)
        return torch.cat([central, satellite])


class ReferenceDraw:
    """Points drawn once at rates of a reference, with the weight occupation/rate."""

    everywhere = True
    clipped = 0

    def __init__(
        self, haloes: Any, reference: FloatArray, density: float, *, modulate: bool
    ) -> None:
        self._haloes, self._modulate = haloes, modulate
        self._rates = reference_rates(haloes.mass, reference, density, modulate=modulate)
        self.trials = np.ones(len(haloes.mass), dtype=np.int64)

    def points(self, order: IntArray, seed: int, lower: FloatArray, upper: FloatArray) -> PointSet:
        """The same for all bounds."""
        return draw_reference(self._haloes, order, self._rates, seed=seed)

    def weights(self, region: Any, theta: torch.Tensor, *, hard: bool) -> torch.Tensor:
        """Occupation over rate."""
        if hard:
            raise ValueError("hard = True: points of a reference are no whole galaxies")
        central = torch.sigmoid(log_odds_central(region.log_mass[0], theta))
        satellite = log_mean_nsat(region.log_mass[1], theta, modulate=self._modulate).exp()
        return torch.cat([central, satellite]).index_select(0, region.halo) * region.draw
