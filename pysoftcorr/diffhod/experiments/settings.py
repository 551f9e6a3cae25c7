"""Settings of the experiment that recovers an HOD from P(k), and its presets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from pysoftcorr.core.options import MOST_REALIZATIONS, choice, count
from pysoftcorr.core.torch import check_device
from pysoftcorr.diffhod.experiments.exact import COVARIANCE_FLOOR, HOD_NAMES
from pysoftcorr.diffhod.occupation import check_parameters
from pysoftcorr.diffhod.points import check_density
from pysoftcorr.diffhod.power import check_mesh
from pysoftcorr.diffhod.relaxed import check_tau
from pysoftcorr.inference.ensemble import EnsemblePlan
from pysoftcorr.inference.nuts import NutsPlan

__all__ = ["FIDUCIAL", "PRESETS", "PowerSettings"]

#: Zheng, Coil & Zehavi 2007, the sample of M_r < -20.
FIDUCIAL = (12.02, 0.26, 11.38, 13.31, 1.06)


@dataclass(frozen=True, kw_only=True)
class PowerSettings:
    """Everything but the halos that the experiment follows from.

    Attributes
    ----------
    fiducial : tuple of float
        logMmin, sigma_logM, logM0, logM1 and alpha of the mock data.
    galaxies : {"reweighted", "relaxed"}
        Galaxies of `DiffHOD` for NUTS: points drawn once from a reference about the posterior and
        weighted, or relaxed trials.
    density : float
        Points of the reference for each galaxy; "reweighted" alone.
    tau : float
        Temperature; "relaxed" alone. Weights have the right mean at any; the density of the
        posterior at fixed random numbers is rough where it is low, and NUTS takes small steps
        there.
    modulate : bool
        Whether <Nsat> is multiplied by <Ncen>.
    mesh : int
        Cells a side, for both.
    k_max : float
        h/Mpc.
    realizations : int
        Sets of fixed random numbers that P(k) of the exact HOD, and of relaxed trials, is averaged
        over, those of the exact HOD `StratifiedDraws`; reweighted points have one.
    calibration : int
        Points at which the bias of the fixed random numbers is measured; 0: it is left in.
    covariance : int
        Realizations of the exact HOD that the covariance is of.
    floor : float
        Added to the diagonal of the normalized covariance.
    chains, warmup, draws : int
        Chains of NUTS, and draws of each.
    walkers, walker_warmup, walker_draws : int
        Walkers of emcee, and draws of each.
    target_accept : float
        Acceptance that the step size of NUTS is adapted to: high, as where satellites are many a
        posterior is up to ten times as narrow as at its peak.
    seed : int
        Seed of data, covariance, starts and chains.
    noise : int
        With another number the models have other fixed random numbers, and another calibration,
        for the same data.
    device : str
        Where torch computes P(k) of `DiffHOD`, as "cpu" or "cuda"; the exact HOD is on the CPU.

    Raises
    ------
    ValueError
        If a setting is out of range.
    """

    fiducial: tuple[float, ...] = FIDUCIAL
    galaxies: str = "reweighted"
    density: float = 16.0
    tau: float = 0.3
    modulate: bool = False
    mesh: int = 64
    k_max: float = 1.0
    realizations: int = 4
    calibration: int = 200
    covariance: int = 100
    floor: float = COVARIANCE_FLOOR
    chains: int = 3
    warmup: int = 100
    draws: int = 150
    walkers: int = 10
    walker_warmup: int = 150
    walker_draws: int = 600
    target_accept: float = 0.97
    seed: int = 1
    noise: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        object.__setattr__(self, "fiducial", tuple(float(x) for x in self.fiducial))
        if len(self.fiducial) != len(HOD_NAMES):
            raise ValueError(f"fiducial must be {', '.join(HOD_NAMES)}, got {self.fiducial}")
        choice("galaxies", self.galaxies, ("reweighted", "relaxed"))
        if self.calibration and self.calibration < 2 * (1 + len(HOD_NAMES)):
            raise ValueError(
                f"calibration = {self.calibration}: must be 0 or at least "
                f"{2 * (1 + len(HOD_NAMES))}"
            )
        check_parameters(self.fiducial, torch.zeros(0, dtype=torch.float64))
        check_tau(self.tau)
        check_density(self.density)
        check_mesh(self.mesh)
        check_device(self.device)
        count("realizations", self.realizations, most=MOST_REALIZATIONS)
        self.nuts_plan()
        self.ensemble_plan()

    @classmethod
    def preset(cls, name: str) -> PowerSettings:
        """Settings by name, "small" (minutes) or "paper" (its chains).

        Examples
        --------
        >>> from dataclasses import replace
        >>> from pysoftcorr.diffhod.experiments.settings import PowerSettings
        >>> paper = replace(PowerSettings.preset("paper"), mesh=32)
        >>> paper.chains, paper.draws, paper.walkers, paper.mesh
        (3, 700, 10, 32)
        """
        if name not in PRESETS:
            raise ValueError(f"no preset named {name!r}; there are {', '.join(PRESETS)}")
        return cls(**PRESETS[name])

    def nuts_plan(self) -> NutsPlan:
        """Plan of the chains."""
        return NutsPlan(
            chains=self.chains, warmup=self.warmup, draws=self.draws,
            target_accept=self.target_accept, seed=self.seed,
        )  # fmt: skip

    def ensemble_plan(self) -> EnsemblePlan:
        """Plan of the walkers."""
        return EnsemblePlan(
            walkers=self.walkers, warmup=self.walker_warmup, draws=self.walker_draws,
            seed=self.seed,
        )  # fmt: skip


#: Horowitz et al. have 3 chains of 1000 steps, 300 of them warm-up, and 10 walkers of 6000 steps.
PRESETS: dict[str, dict[str, Any]] = {
    "small": {
        "mesh": 32,
        "calibration": 150,
        "warmup": 100,
        "draws": 120,
        "walker_warmup": 100,
        "walker_draws": 400,
    },
    "paper": {
        "realizations": 16, "calibration": 2000, "warmup": 300, "draws": 700,
        "walker_warmup": 1000, "walker_draws": 5000,
    },
}  # fmt: skip
