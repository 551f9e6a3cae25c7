"""A campaign of universes in closed form, whose spread and noise are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pysoftcorr.mocks import Universes, training_design, universe_design
from pysoftcorr.mocks.universes.design import RANGES

EDGES = np.geomspace(0.1, 16.0, 6)
#: Standard deviation of ln xi between universes, and of all statistics given the halos.
SPREAD, CHANCE = 0.08, {"xi": 0.05, "omega": 0.01, "eta": 0.004}


def mean_log_xi(hod: np.ndarray, worlds: np.ndarray) -> np.ndarray:
    """ln xi in the mean over universes: of second order in the cosmology; shape (..., 5)."""
    middle = np.array([np.mean(span) for span in RANGES.values()])
    width = np.array([np.ptp(span) for span in RANGES.values()])
    x = (worlds - middle) / width
    r = np.sqrt(EDGES[1:] * EDGES[:-1])
    mass, slope = hod[..., 2:3], hod[..., 6:7]
    level = 1.5 + 0.5 * (mass - 12) + 0.3 * (slope - 1)
    level = level + 0.4 * x[..., 1:2] - 0.5 * x[..., 2:3] * (1 + 0.3 * (mass - 12))
    return level + 0.2 * x[..., 2:3] ** 2 + 0.2 * x[..., :1] - 1.6 * np.log(r)


def toy_universes(number: int = 48, points: int = 64, *, seed: int = 1) -> Universes:
    """Universes, each of one draw of the spread in each bin, the same at all HODs."""
    rng = np.random.default_rng(seed)
    worlds = universe_design(number, seed=seed)
    hod = np.stack([training_design(points, seed=k, logMmin=(11.5, 12.5)) for k in range(number)])
    drawn = SPREAD * rng.normal(size=(number, 1, 5))
    xi = np.exp(mean_log_xi(hod, worlds[:, None]) + drawn)
    r = np.sqrt(EDGES[1:] * EDGES[:-1])
    a = 0.2 * np.exp(0.3 * (hod[..., 2:3] - 12)) / (1 + r)
    parts = np.stack([a, 0.7 * a, a * a, 0.3 * a * a, 0.5 * a * a], axis=2)
    chance = np.zeros((number, 8, 3, 5, 5))
    for k, sigma in enumerate(CHANCE.values()):
        chance[:, :, k] = sigma**2 * (0.7 * np.eye(5) + 0.3)
    settings = {
        "universes": number, "ranges": {n: list(v) for n, v in RANGES.items()}, "boxsize": 250.0,
        "halos": {"boxsize": 250.0, "meta": {"mdef": "vir"}}, "logMmin": [11.5, 12.5],
        "satellites": "nfw", "seed": seed,
    }  # fmt: skip
    return Universes(
        worlds=worlds, parameters=hod, edges=EDGES, pairs=np.full(xi.shape, 1e4), xi=xi,
        response=parts * (1 + drawn[:, :, None]), chance=chance,
        halos=np.full(number, 1000), settings=settings, path=Path("toy.h5"),
    )  # fmt: skip
