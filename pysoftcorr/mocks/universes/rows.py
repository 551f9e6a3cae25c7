"""One universe as a row of a campaign: its tables, asked at points of the training design."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from pysoftcorr.core.farm.tasks import use_threads_of_worker
from pysoftcorr.mocks.box import shell_fraction
from pysoftcorr.mocks.design import training_design
from pysoftcorr.mocks.simulate import MESH_MIN
from pysoftcorr.mocks.tabulated.tables import HaloTables
from pysoftcorr.mocks.universes.chance import ChanceTables, whole_side
from pysoftcorr.mocks.universes.one import thinned_halos, thinned_tables, universe_cosmology

__all__ = ["UniversePlan", "expected_row", "measure_universe", "universe_dtype", "work"]

FloatArray = npt.NDArray[np.float64]

#: Strengths (mu_cen, mu_sat) that omega and eta follow from at any: 1 is the order parameter 1.
_STRENGTHS = ((1.0, 0.0), (0.0, 1.0), (1.0, 1.0))
_RESPONSES = 5
#: Universes of a campaign are fewer: seeds of two of them differ.
_APART = 1000
#: Seeds of the smaller boxes are others.
_OTHER = 10**9


@dataclass(frozen=True)
class UniversePlan:
    """Settings that every universe shares.

    Attributes
    ----------
    seed : int
    points : int
        Of the HOD design in each universe, with strengths.
    chance_points : int
        Of those, the first, where the covariance given the halos is found.
    edges : ndarray, shape (b + 1,)
        Mpc/h.
    boxsize : float
        Mpc/h.
    mesh : int
    mmin : float
        Lightest halos, Msun/h.
    thinned : (float, float)
        Below this mass (Msun/h), only this part of the halos is made, and counts for all.
    logMmin : (float, float)
    satellites : {"triaxial", "nfw"}
    places, sites : int
        As of `HaloTables.tabulate`; without sites there is no covariance given the halos.
    """

    seed: int
    points: int
    chance_points: int
    edges: FloatArray
    boxsize: float
    mesh: int
    mmin: float
    thinned: tuple[float, float]
    logMmin: tuple[float, float]
    satellites: str
    places: int
    sites: int


def universe_dtype(plan: UniversePlan) -> np.dtype[Any]:
    """A universe as one record of fixed length, little-endian on every machine."""
    n, c, b = plan.points, plan.chance_points, len(plan.edges) - 1
    return np.dtype(
        [
            ("row", "<i8"),
            ("halos", "<i8"),
            ("parameters", "<f8", (n, 7)),
            ("pairs", "<f4", (n, b)),
            ("xi", "<f8", (n, b)),
            ("response", "<f8", (n, _RESPONSES, b)),
            ("chance", "<f4", (c, 3, b, b)),
        ]
    )


def universe_seed(plan: UniversePlan, row: int) -> int:
    """Seed of the universe of a row."""
    return _APART * plan.seed + row


def measure_universe(plan: UniversePlan, row: int, world: FloatArray) -> npt.NDArray[Any]:
    """Simulate a universe, tabulate its halos, and ask the tables.

    Parameters
    ----------
    plan : UniversePlan
    row : int
    world : ndarray, shape (3,)
        Omega_m, sigma_8, z.
    """
    seed = universe_seed(plan, row)
    cosmology, redshift = universe_cosmology(world[0], world[1]), float(world[2])
    halos = thinned_halos(
        cosmology, redshift, boxsize=plan.boxsize, mesh=plan.mesh, mmin=plan.mmin,
        thinned=plan.thinned, seed=seed,
    )  # fmt: skip
    tables = thinned_tables(
        halos, plan.thinned, plan.edges, satellites=plan.satellites, places=plan.places
    )
    chance = None
    if plan.sites:
        light, part = plan.thinned
        whole = None
        if part < 1:
            side = whole_side(plan.boxsize, plan.edges)
            whole = thinned_halos(
                cosmology, redshift, boxsize=side, mmin=plan.mmin, thinned=(light, 1.0),
                mesh=max(MESH_MIN, round(plan.mesh * side / plan.boxsize)), seed=_OTHER + seed,
            )  # fmt: skip
        chance = ChanceTables(tables, halos, whole, plan.thinned, plan.sites)
    return expected_row(plan, row, tables, chance)


def expected_row(
    plan: UniversePlan, row: int, tables: HaloTables, chance: ChanceTables | None = None
) -> npt.NDArray[Any]:
    """Record of a universe from its tables.

    Returns
    -------
    ndarray of `universe_dtype`, shape ()
        NaN where there is no pair, and `chance` where none is given. That is the covariance
        between bins of log xi, omega and eta in one box, given its halos.
    """
    record = np.zeros((), dtype=universe_dtype(plan))
    points = training_design(plan.points, seed=universe_seed(plan, row), logMmin=plan.logMmin)
    record["row"], record["parameters"] = row, points
    record["halos"] = round(float(sum(box.count.sum() for box in tables.boxes)))
    found = []
    for strengths in _STRENGTHS:
        at = points.copy()
        at[:, :2] = strengths
        found.append(tables.predict(at, on_outside="ignore"))
    cen, sat, both = found
    record["xi"] = cen.xi.mean
    number = (cen.centrals + cen.satellites)[:, None]
    shell = shell_fraction(plan.edges, plan.boxsize, periodic=True)
    record["pairs"] = 0.5 * number**2 * shell * (1 + cen.xi.mean)
    mixed = both.eta.mean - cen.eta.mean - sat.eta.mean
    parts = (cen.omega.mean, sat.omega.mean, cen.eta.mean, mixed, sat.eta.mean)
    record["response"] = np.stack(parts, axis=1)
    record["chance"] = np.nan
    if chance is not None:
        record["chance"] = chance_rows(plan, chance, points, record["xi"])
    return record


def chance_rows(
    plan: UniversePlan, chance: ChanceTables, points: FloatArray, xi: FloatArray
) -> FloatArray:
    """Covariance of log xi, omega and eta at the first points, shape (c, 3, b, b)."""
    bins = len(plan.edges) - 1
    out = np.empty((plan.chance_points, 3, bins, bins))
    for k in range(plan.chance_points):
        every = chance(points[k], plan.boxsize**3)
        out[k] = [every[i : i + bins, i : i + bins] for i in range(0, 3 * bins, bins)]
        out[k, 0] /= xi[k, :, None] * xi[k]
    return out


def work(shared: Any, plan: UniversePlan, row: int, world: FloatArray) -> bytes:
    """`measure_universe` in a worker; the record as bytes."""
    use_threads_of_worker()
    torch.set_num_threads(1)
    # What dask has sent lies anywhere in its message, and Julia takes whole words alone.
    plan = replace(plan, edges=np.require(plan.edges, requirements="A"))
    return measure_universe(plan, row, world).tobytes()
