"""Alignment strengths inferred from mocks of fresh universes with tables of others."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pysoftcorr.inference import LogPosterior, Observation
from pysoftcorr.mocks import HaloCatalog, HaloTables, HODModel, box_correlations


class Inferred(NamedTuple):
    """Truth, posterior mean and sd, and part below truth, by mock and strength, (mocks, 2)."""

    truth: np.ndarray
    mean: np.ndarray
    sd: np.ndarray
    below: np.ndarray

    @property
    def z(self) -> np.ndarray:
        return (self.truth - self.mean) / self.sd

    @property
    def covered(self) -> np.ndarray:
        """Part of the truths within the central 68.27 % of the posterior."""
        return (np.abs(self.below - 0.5) < 0.6827 / 2).mean(axis=0)


def universe(side: float, mmin: float, seed: int) -> HaloCatalog:
    """Halos that point well along the tidal field: their omega says something of few galaxies."""
    return HaloCatalog.simulate(side, 32, mmin=mmin, axis_alignment=0.9, seed=seed)


def infer(
    tables: HaloTables, halos: HaloCatalog, hod: HODModel, truth: np.ndarray, seed: int,
    statistics=("omega",), points: int = 61,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Mean, sd and part below the truth of both strengths, from a grid of the posterior."""
    model = hod.with_parameters(mu_cen=float(truth[0]), mu_sat=float(truth[1]))
    found = box_correlations(model.populate(halos, seed=seed), bins=tables.edges)
    values = {name: getattr(found, name) for name in statistics}
    seen = Observation(tables.edges, **values, boxsize=halos.boxsize, on_bad="drop")
    density = LogPosterior(tables, seen, fixed=hod, on_outside="warn")
    assert density.noise == "model"
    low, high = np.full(2, -1.0), np.full(2, 1.0)
    for _ in range(4):  # closer about the mass each time
        share = (np.arange(points) + 0.5) / points
        axes = [low[k] + (high[k] - low[k]) * share for k in range(2)]
        log = density(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1))
        weight = np.exp(log - log.max())
        weight /= weight.sum()
        mean, sd, below = np.zeros(2), np.zeros(2), np.zeros(2)
        for k in range(2):
            part = weight.sum(axis=1 - k)
            mean[k] = part @ axes[k]
            sd[k] = np.sqrt(part @ (axes[k] - mean[k]) ** 2)
            edges = np.linspace(low[k], high[k], points + 1)
            below[k] = np.interp(truth[k], edges, np.concatenate([[0], np.cumsum(part)]))
        reach = 7 * np.maximum(sd, (high - low) / points)
        low, high = np.maximum(mean - reach, -1), np.minimum(mean + reach, 1)
    return mean, sd, below


def calibrate(
    tables: HaloTables, hod: HODModel, universes, *, seed: int, statistics=("omega",)
) -> Inferred:
    """Strengths drawn from the prior, a mock of each universe, and what is inferred of it.

    Over truths drawn from the prior, calibrated posteriors cover them as they say, and z has a
    variance of 1, whatever the prior and however little a mock says.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for k, halos in enumerate(universes):
        truth = rng.uniform(-1, 1, 2)
        rows.append([truth, *infer(tables, halos, hod, truth, seed + k, statistics)])
    return Inferred(*np.array(rows).transpose(1, 0, 2))
