"""The points that can become galaxies: their places and noise, drawn once, by address.

Each halo has one trial for a central galaxy and a number of trials for satellites that fits its
mass. Nearly all of these have so unlucky a noise that no parameters within some bounds would give
them a weight; only the others are kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import special

from pysoftcorr.core.options import integer, number, numbers
from pysoftcorr.core.random import stream, uniforms
from pysoftcorr.core.torch import as_tensor, spread
from pysoftcorr.diffhod.alignment import watson_axes
from pysoftcorr.diffhod.occupation import check_parameters
from pysoftcorr.diffhod.relaxed import HIGHEST
from pysoftcorr.mocks.checks import BoxSize, wrapped
from pysoftcorr.mocks.hod import HOD_PARAMETERS, HODModel
from pysoftcorr.mocks.satellites import LARGEST_NUMBER, directions, nfw_radius, poisson_quantile

__all__ = [
    "PointSet",
    "WeightedGalaxies",
    "check_density",
    "check_reference",
    "draw_points",
    "draw_reference",
    "most_log_odds",
    "placed",
    "reference_rates",
    "satellite_trials",
    "weighted_galaxies",
]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

#: Trials a halo of 1e13 Msun/h has, in proportion to mass, and how many the lightest have. Pairs
#: of satellites are 1 - 1/trials of those of a Poisson number.
_TRIALS_AT_1E13, _FEWEST_TRIALS = 64.0, 8


@dataclass(frozen=True)
class WeightedGalaxies:
    """Weighted points that stand for the galaxies of a catalog; rows of P tensors.

    Attributes
    ----------
    position : Tensor, shape (P, 3)
        Mpc/h, in the box.
    weight : Tensor, shape (P,)
        From 0 to 1, of relaxed trials; from 0, of reweighted points. Differentiable in the
        parameters.
    central : Tensor of bool, shape (P,)
    host : Tensor of int, shape (P,)
        Row of the halo in its catalog.
    rank : Tensor of int, shape (P,)
        0 for centrals; the number of the trial for satellites, from 1.
    reference : Tensor, shape (P, 3)
        Unit axes before misalignment.
    scaled_radius : Tensor, shape (P,)
        r/Rvir from the center of the halo; 0 for centrals.
    angle, turn : Tensor, shape (P,)
        Uniform numbers of the axes: the angle to the reference, and about it.
    axis : Tensor, shape (P, 3) or None
        Unit axes; None where no alignment was given. Differentiable in mu_cen and mu_sat.
    boxsize : float, or tuple of three float where the box is no cube
    """

    position: torch.Tensor
    weight: torch.Tensor
    central: torch.Tensor
    host: torch.Tensor
    rank: torch.Tensor
    reference: torch.Tensor
    scaled_radius: torch.Tensor
    angle: torch.Tensor
    turn: torch.Tensor
    axis: torch.Tensor | None
    boxsize: BoxSize

    def __len__(self) -> int:
        return len(self.weight)

    def axes(self, mu_cen: Any, mu_sat: Any, *, gamma: float = 0.0) -> torch.Tensor:
        """Axes at these strengths, from the same uniform numbers, shape (P, 3).

        Parameters
        ----------
        mu_cen, mu_sat : float or Tensor
            Alignment strengths in [-1, 1]; the axes are differentiable once in them.
        gamma : float
            Strength of satellites by radius: mu_sat (r/Rvir)^gamma, kept within [-1, 1].

        Raises
        ------
        ValueError
            If a strength is outside [-1, 1].
        """
        n = int(self.central.sum())
        parts = []
        for mu, rows in ((mu_cen, slice(0, n)), (mu_sat, slice(n, len(self)))):
            strength = as_tensor("mu", mu, self.weight).to(self.weight)
            if gamma != 0 and rows.start == n:
                radius = self.scaled_radius[rows]
                strength = (spread(strength, radius.numel()) * radius**gamma).clamp(-1, 1)
            parts.append(
                watson_axes(self.reference[rows], strength, self.angle[rows], self.turn[rows])
            )
        return torch.cat(parts)


def weighted_galaxies(
    points: PointSet, rows: torch.Tensor, weight: torch.Tensor, seed: int, boxsize: BoxSize
) -> WeightedGalaxies:
    """Some of the points, with their weights, as galaxies without axes."""
    kept = rows.cpu().numpy()
    central, host, rank = kept < points.n_central, points.host[kept], points.rank[kept]
    n = int(central.sum())

    def tensor(values: Any, kind: torch.dtype = weight.dtype) -> torch.Tensor:
        return torch.as_tensor(values, dtype=kind, device=weight.device)

    # Centrals' axes are those of `GalaxyCatalog.realign`.
    angle, turn = (
        np.concatenate(
            [
                uniforms(seed, f"central axis {name}", host[:n], rank[:n]),
                uniforms(seed, f"relaxed satellite axis {name}", host[n:], rank[n:]),
            ]
        )
        for name in ("angle", "turn")
    )
    if weight.dtype == torch.float32:  # where 1 - 1e-10 would be 1
        angle = np.clip(angle, 1e-7, 1 - 1e-7)
    return WeightedGalaxies(
        position=tensor(points.position[kept]),
        weight=weight,
        central=tensor(central, torch.bool),
        host=tensor(host, torch.int64),
        rank=tensor(rank, torch.int64),
        reference=tensor(points.direction[kept]),
        scaled_radius=tensor(points.scaled_radius[kept]),
        angle=tensor(angle),
        turn=tensor(turn),
        axis=None,
        boxsize=boxsize,
    )


@dataclass(frozen=True)
class PointSet:
    """Points of one realization that can have a weight; centrals first.

    `draw` is the logistic noise of relaxed trials, one over the rate of points of a reference.
    `halo` counts halos that have a point of that kind: row ``centrals[halo]`` of the catalog
    for the first `n_central` points, ``satellites[halo]`` for the others.
    """

    position: FloatArray
    draw: FloatArray
    halo: IntArray
    rank: IntArray
    n_central: int
    centrals: IntArray
    satellites: IntArray
    scaled_radius: FloatArray
    direction: FloatArray

    def __len__(self) -> int:
        return len(self.draw)

    @property
    def host(self) -> IntArray:
        """Row of each point's halo in its catalog."""
        n = self.n_central
        first, rest = self.centrals[self.halo[:n]], self.satellites[self.halo[n:]]
        return np.concatenate([first, rest])


def satellite_trials(mass: FloatArray, trials: int | str) -> IntArray:
    """Trials for satellites of halos of `mass` (Msun/h).

    Parameters
    ----------
    mass : ndarray, shape (H,)
    trials : int or "auto"
        A number, the same in every halo; or 64 for 1e13 Msun/h, in proportion to mass, and 8 at
        least.

    Raises
    ------
    ValueError, TypeError
        If `trials` is neither.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr.diffhod.points import satellite_trials
    >>> satellite_trials(np.array([1e11, 1e13, 1e15]), "auto").tolist()
    [8, 64, 6400]
    """
    if isinstance(trials, str):
        if trials != "auto":
            raise ValueError(f"trials = {trials!r}: must be a whole number or 'auto'")
        fitted = np.ceil(_TRIALS_AT_1E13 * (mass / 1e13) - 1e-9)
        return np.maximum(fitted, _FEWEST_TRIALS).astype(np.int64)
    fixed = integer("trials", trials, least=1, most=100_000)
    return np.full(mass.shape, fixed, dtype=np.int64)


def most_log_odds(
    mass: FloatArray, trials: IntArray, lower: FloatArray, upper: FloatArray, *, modulate: bool
) -> tuple[FloatArray, FloatArray]:
    """Largest log-odds of a central and of a satellite's trial in a box of the five parameters.

    Occupations are monotone in each parameter at fixed others (in sigma and alpha rising or
    falling with the mass), so they are largest at a corner.
    """
    central, satellite = np.full((2, mass.size), -np.inf)
    lowest = {"logMmin": lower[0], "logM0": lower[2], "logM1": lower[3]}
    log_mass = np.log10(mass)
    for sigma, alpha in product((lower[1], upper[1]), (lower[4], upper[4])):
        model = HODModel(sigma_logM=sigma, alpha=alpha, modulate=modulate, **lowest)
        x = np.sqrt(2.0) / sigma * (log_mass - lowest["logMmin"])
        odds = special.log_ndtr(x) - special.log_ndtr(-x)
        central = np.maximum(central, odds)
        p = np.minimum(model.mean_nsat(mass) / trials, special.expit(HIGHEST))
        satellite = np.maximum(satellite, special.logit(p))
    return central, satellite


def realization_seed(seed: int, realization: int) -> int:
    """Seed of a realization; the first has the seed itself."""
    if realization == 0:
        return seed
    return int(stream(seed, f"realisation {realization}").integers(2**62))


def draw_points(
    halos: Any,
    order: IntArray,
    trials: IntArray,
    odds: tuple[FloatArray, FloatArray],
    *,
    least: float,
    seed: int,
    chunk: int,
) -> PointSet:
    """Points whose log-odds and noise together can be `least`, for log-odds up to `odds`.

    Parameters
    ----------
    halos : HaloCatalog
    order : ndarray of int, shape (H,)
        Rows of the halos in the order they are taken, the heaviest first.
    trials : ndarray of int, shape (H,)
        For satellites, by row.
    odds : tuple of two ndarray, shape (H,)
        Largest log-odds, of the central and of a satellite, by row.
    least : float
        Where weights begin.
    seed : int
        Every number follows from it, the row of the halo and the trial alone.
    chunk : int
        Trials taken at a time: memory, and nothing else, depends on it.
    """
    u = uniforms(seed, "centrals", order)
    # `HODModel.populate` draws a central where u is below its probability.
    eps = -special.logit(u)
    keep = odds[0][order] + eps >= least
    central, central_eps = order[keep], eps[keep]

    rows, ranks, noises = [], [], []
    candidates = order[odds[1][order] > -np.inf]
    for part in _parts(trials[candidates], chunk):
        row = candidates[part]
        host = np.repeat(row, trials[row])
        start = np.cumsum(trials[row]) - trials[row]
        rank = np.arange(host.size) - np.repeat(start, trials[row]) + 1
        eps = -special.logit(uniforms(seed, "relaxed satellite", host, rank))
        keep = np.flatnonzero(odds[1][host] + eps >= least)
        rows.append(host[keep])
        ranks.append(rank[keep])
        noises.append(eps[keep])
    empty = np.empty(0, dtype=np.int64)
    return placed(
        halos, central, central_eps, np.concatenate([empty, *rows]),
        np.concatenate([empty, *ranks]), np.concatenate([np.empty(0), *noises]), seed=seed,
        purpose="relaxed satellite",
    )  # fmt: skip


def placed(
    halos: Any,
    central: IntArray,
    central_draw: FloatArray,
    host: IntArray,
    rank: IntArray,
    draw: FloatArray,
    *,
    seed: int,
    purpose: str,
) -> PointSet:
    """Points of the halos `central` and satellites of those in `host`, at places of their own."""
    u = [
        uniforms(seed, f"{purpose} {name}", host, rank) for name in ("radius", "height", "azimuth")
    ]
    scaled = nfw_radius(u[0], halos.concentration[host])
    direction = directions(u[1], u[2])
    place = halos.position[host] + direction * (scaled * halos.radius[host])[:, None]
    place = wrapped(place, halos.boxsize)

    first, first_halo = _numbered(central)
    rest, rest_halo = _numbered(host)
    n = central.size
    return PointSet(
        position=np.concatenate([halos.position[central], place]),
        draw=np.concatenate([central_draw, draw]),
        halo=np.concatenate([first_halo, rest_halo]),
        rank=np.concatenate([np.zeros(n, dtype=np.int64), rank]),
        n_central=n,
        centrals=first,
        satellites=rest,
        scaled_radius=np.concatenate([np.zeros(n), scaled]),
        direction=np.concatenate([halos.axis[central], direction]),
    )


def _parts(sizes: IntArray, chunk: int) -> Iterator[slice]:
    """Runs of halos that have at most `chunk` trials together, or are one halo."""
    ends = np.cumsum(sizes)
    start = 0
    while start < sizes.size:
        before = ends[start] - sizes[start]
        stop = max(start + 1, int(np.searchsorted(ends, before + chunk, side="right")))
        yield slice(start, stop)
        start = stop


def _numbered(rows: IntArray) -> tuple[IntArray, IntArray]:
    """Different rows in their order (equal ones stand together), and which of them each is."""
    if not rows.size:
        return rows, rows
    new = np.concatenate([[True], rows[1:] != rows[:-1]])
    return rows[new], np.cumsum(new) - 1


#: Fewest points a halo has in the mean, of each kind, so that no parameters are without any.
_LEAST_RATE = 0.02
# Masses at which reference occupations are worked out. A rate need not be exact, but positive.
_NODES = 512


def check_density(density: Any) -> float:
    """Points for each galaxy of a reference, 0.1 to 10,000; TypeError or ValueError otherwise."""
    return number("density", density, least=0.1, most=1e4)


def check_reference(reference: Any) -> FloatArray:
    """Reference occupations, shape (J, 5)."""
    try:
        array = np.atleast_2d(np.array(numbers("reference", reference)))
    except (TypeError, ValueError):
        raise TypeError(
            f"reference must be numbers {', '.join(HOD_PARAMETERS)}, or rows of them"
        ) from None
    if array.ndim != 2 or array.shape[1] != len(HOD_PARAMETERS) or not len(array):
        raise ValueError(
            f"reference must have shape (5,) or (J, 5), {', '.join(HOD_PARAMETERS)}; it has "
            f"{np.shape(reference)}"
        )
    for row in array:
        check_parameters(row, torch.zeros(0, dtype=torch.float64))
    return array


def reference_rates(
    mass: FloatArray, reference: FloatArray, density: float, *, modulate: bool
) -> tuple[FloatArray, FloatArray]:
    """Mean number of points of each halo, for its central (1 at most) and for satellites.

    Parameters
    ----------
    mass : ndarray, shape (H,)
        Msun/h.
    reference : ndarray, shape (J, 5)
        Occupations whose mean the points follow.
    density : float
        Points for each galaxy of it.
    modulate : bool

    Raises
    ------
    ValueError
        If that is more points than memory should be asked for.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr.diffhod.points import reference_rates
    >>> params = np.array([[12.0, 0.2, 11.3, 13.0, 1.0]])
    >>> central, satellite = reference_rates(np.array([1e11, 1e12, 1e14]), params, 8.0,
    ...                                      modulate=False)
    >>> central.round(3).tolist(), satellite.round(1).tolist()
    ([0.02, 1.0, 1.0], [0.0, 0.6, 79.8])
    """
    log_mass = np.log10(mass)
    nodes = np.linspace(log_mass.min() - 1e-3, log_mass.max() + 1e-3, _NODES)
    central, satellite = np.zeros((2, _NODES))
    for row in reference:
        model = HODModel(**dict(zip(HOD_PARAMETERS, row.tolist(), strict=True)), modulate=modulate)
        central += model.mean_ncen(10.0**nodes) / len(reference)
        satellite += model.mean_nsat(10.0**nodes) / len(reference)
    rates = [
        np.maximum(density * np.interp(log_mass, nodes, n), _LEAST_RATE)
        for n in (central, satellite)
    ]
    if not rates[1].sum() <= LARGEST_NUMBER:
        raise ValueError(
            f"reference and density = {density:g} ask for {rates[1].sum():.2g} points of "
            f"satellites, the most is {LARGEST_NUMBER:.2g}: lower density, or leave out "
            "references of many satellites (low logM1, high alpha)"
        )
    return np.minimum(rates[0], 1.0), rates[1]


def draw_reference(
    halos: Any, order: IntArray, rates: tuple[FloatArray, FloatArray], *, seed: int
) -> PointSet:
    """Points at these rates; the `draw` of each is one over its rate.

    Parameters
    ----------
    halos : HaloCatalog
    order : ndarray of int, shape (H,)
        Rows of the halos in the order they are taken.
    rates : tuple of two ndarray, shape (H,)
        Rates by row, from `reference_rates`.
    seed : int
        Numbers are those of ``HODModel.populate``.
    """
    rate = rates[0][order]
    keep = uniforms(seed, "centrals", order) < rate
    central = order[keep]
    mean = rates[1][order]
    number = poisson_quantile(uniforms(seed, "number of satellites", order), mean)
    host = np.repeat(order, number)
    rank = np.arange(host.size) - np.repeat(np.cumsum(number) - number, number) + 1
    return placed(
        halos, central, 1 / rate[keep], host, rank, np.repeat(1 / mean, number),
        seed=seed, purpose="satellite",
    )  # fmt: skip
