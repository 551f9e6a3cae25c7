"""One universe of a campaign: its halos, light ones thinned, and their tables."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr.mocks.cosmology import Cosmology
from pysoftcorr.mocks.halos import HaloCatalog
from pysoftcorr.mocks.simulate import simulated
from pysoftcorr.mocks.tabulated.box import BoxTables, Grid
from pysoftcorr.mocks.tabulated.ellipsoids import EllipsoidPlaces
from pysoftcorr.mocks.tabulated.nodes import MassNodes, choose_nodes
from pysoftcorr.mocks.tabulated.tables import HaloTables

__all__ = ["thinned_halos", "thinned_tables", "universe_cosmology"]

FloatArray = npt.NDArray[np.float64]

#: Nodes of light and of heavier halos, besides the heaviest ones. A node each side of the border,
#: so that halos of different weights are never at one node.
_LIGHT_NODES, _HEAVY_NODES = 7, 24
_GAP = 1e-6
#: Of the mass function of Tinker et al. (2008), as colossus rounds it.
_LEAST_OVERDENSITY = 199.6


def universe_cosmology(Omega_m: float, sigma_8: float) -> dict[str, Any]:
    """Planck 2018 with another density of matter, flat, and another sigma_8."""
    planck = Cosmology("planck18").to_dict()
    return {**planck, "name": "universe", "Om0": float(Omega_m), "sigma8": float(sigma_8)}


def thinned_halos(
    cosmology: Any, redshift: float, *, boxsize: float, mesh: int, mmin: float,
    thinned: tuple[float, float], seed: int, subhalos: bool = False,
) -> HaloCatalog:  # fmt: skip
    """Halos of a universe; below ``thinned[0]`` only a part ``thinned[1]`` of them.

    Masses are virial. Where that is less than 200 times the mean density, the least that the mass
    function knows of (in the corner of the design with most matter and the highest redshifts: 197
    at the least), they are those of 200 times, by less than 0.5 % others.
    """
    return simulated(
        HaloCatalog, boxsize, mesh, cosmology=cosmology, redshift=redshift, mmin=mmin, mmax=None,
        mdef=_mass_definition(cosmology, redshift), mass_function="tinker08", bias="tinker10",
        concentration="diemer19", concentration_scatter=0.16, axis_alignment=0.5, exclusion=True,
        subhalos=subhalos, subhalo_mmin=None, seed=seed, thinned=thinned,
    )  # fmt: skip


def _mass_definition(cosmology: Any, redshift: float) -> str:
    """Virial (Bryan & Norman 1998), or 200 times the mean density where that is more."""
    matter = Cosmology(cosmology).matter_fraction(redshift)
    virial = (18 * np.pi**2 + 82 * (matter - 1) - 39 * (matter - 1) ** 2) / matter
    return "vir" if virial > _LEAST_OVERDENSITY else "200m"


def thinned_tables(
    halos: HaloCatalog, thinned: tuple[float, float], edges: FloatArray, *,
    satellites: str = "nfw", places: int = 4,
) -> HaloTables:  # fmt: skip
    """Tables of halos of which the light ones are a sample: they count for 1/part.

    Sums over pairs of halos i, j count for w_i w_j. A halo and itself is no pair, so that the
    expectation over samples is the sum over all halos. `satellites` and `places` are as of
    `HaloTables.tabulate`.
    """
    light, part = np.log10(thinned[0]), thinned[1]
    logm = np.log10(halos.mass)
    heavy = choose_nodes(logm[logm >= light], _HEAVY_NODES).logm
    low = np.linspace(logm.min(), light - _GAP, _LIGHT_NODES)
    nodes = MassNodes(np.concatenate([low, heavy]))
    grid = Grid(nodes, edges, float(halos.radius.min()), float(halos.radius.max()))
    where = EllipsoidPlaces.of(halos, places) if satellites == "triaxial" else None
    box = grid.tabulate(halos, None, where)
    weight = np.where(nodes.logm < light, 1 / part, 1.0)
    box = _weighted(box, nodes, weight)
    record = {"cosmology": halos.cosmology, "meta": halos.meta}
    return HaloTables(nodes.logm, edges, [box], satellites=satellites, record=record)


def _weighted(box: BoxTables, nodes: MassNodes, weight: FloatArray) -> BoxTables:
    """Sums of a box with a weight of each node's halos."""
    below, _ = nodes.place(np.clip(box.logm, nodes.logm[0], nodes.logm[-1]))
    cells = weight[below]
    return replace(
        box, count=box.count * cells, one_halo=box.one_halo * cells[:, None],
        forms=box.forms * weight[:, None, None] * weight[None, :, None],
    )  # fmt: skip
