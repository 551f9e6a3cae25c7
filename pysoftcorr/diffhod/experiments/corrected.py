"""A model as the samplers ask it: with its calibration, and refused where galaxies are a crowd."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from pysoftcorr.diffhod.experiments.calibration import Calibration
from pysoftcorr.diffhod.experiments.target import PRIORS
from pysoftcorr.diffhod.model import ClippedTrials
from pysoftcorr.mocks.hod import HODModel

__all__ = ["Corrected", "Crowd"]

#: Galaxies expected, for each at the fiducial parameters or at the mean of the priors, whichever
#: has more, at which the priors end.
_CROWD = 20.0


class Crowd:
    """Where the priors end: at so many galaxies that the exact HOD takes minutes for them.

    Parameters
    ----------
    mass : ndarray, shape (H,)
        Of the halos, Msun/h.
    fiducial : sequence of float
        Parameters of the mock data.
    modulate : bool
        As of `HODModel`.
    """

    def __init__(
        self, mass: npt.NDArray[np.float64], fiducial: Sequence[float], modulate: bool
    ) -> None:
        number, edges = np.histogram(np.log10(mass), 200)
        self._mass, self._number = 10 ** ((edges[1:] + edges[:-1]) / 2), number
        self._modulate = modulate
        self._most = _CROWD * max(self._galaxies(fiducial), self._galaxies(PRIORS.mean))

    def _galaxies(self, theta: Any) -> float:
        values = [float(x) for x in theta]
        model = HODModel(**dict(zip(PRIORS.names, values, strict=True)), modulate=self._modulate)
        mean = model.mean_ncen(self._mass) + model.mean_nsat(self._mass)
        return float((self._number * mean).sum())

    def refuse(self, theta: Any) -> None:
        """ValueError if there are too many galaxies."""
        if isinstance(theta, torch.Tensor):
            theta = theta.detach().tolist()
        found = self._galaxies(theta)
        if not found <= self._most:
            raise ValueError(f"{found:.3g} galaxies are expected, the most is {self._most:.3g}")


class Corrected:
    """A model and its calibration, which refuses crowds."""

    def __init__(self, model: Any, calibration: Calibration | None, crowd: Crowd) -> None:
        self.model, self.calibration, self.crowd = model, calibration, crowd

    def __call__(self, theta: Any) -> Any:
        self.crowd.refuse(theta)
        # Trajectories pass where no posterior is; halos clipped at the peak are in the report.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ClippedTrials)
            found = self.model(theta)
        return found if self.calibration is None else self.calibration(theta, found)
