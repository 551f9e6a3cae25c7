"""The points that matter for parameters in a region, kept and found anew as it moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr.diffhod._torch import torch
from pysoftcorr.diffhod.cic import CloudInCell
from pysoftcorr.diffhod.draws import Draw
from pysoftcorr.diffhod.pairs import WeightedPairs
from pysoftcorr.diffhod.points import PointSet, WeightedGalaxies, realisation_seed

__all__ = ["Region", "Regions"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

#: How far parameters may move from where points were chosen, in the order of HOD_PARAMETERS.
_REACH = np.array([0.15, 0.1, 0.3, 0.15, 0.1])
#: A region follows a walk until it is this many times as wide as a new one.
_WIDEST = 3.0


@dataclass
class Region:
    """Points of some realisations for parameters within bounds, as tensors.

    `halo` counts the haloes of centrals first, then those of satellites.
    """

    lower: FloatArray
    upper: FloatArray
    sets: list[PointSet]
    position: torch.Tensor
    draw: torch.Tensor
    field: torch.Tensor
    halo: torch.Tensor
    log_mass: tuple[torch.Tensor, torch.Tensor]
    log_trials: torch.Tensor
    cells: CloudInCell | None = None
    pairs: tuple[bytes, WeightedPairs] | None = None
    galaxies: WeightedGalaxies | None = None

    def __len__(self) -> int:
        return int(self.draw.numel())

    def holds(self, theta: FloatArray) -> bool:
        """Whether points were chosen for these parameters."""
        return bool((theta >= self.lower).all() and (theta <= self.upper).all())


class Regions:
    """Regions of a model, by realisations and purpose.

    Parameters
    ----------
    haloes : HaloCatalog
    draw : Draw
        Gives the points.
    seed : int
    realisations : int
    dtype, device
        Of the tensors.
    """

    def __init__(
        self,
        haloes: Any,
        draw: Draw,
        *,
        seed: int,
        realisations: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self._haloes, self._draw = haloes, draw
        self._seed, self._realisations = seed, realisations
        self._dtype, self._device = dtype, device
        # The heaviest first; equal ones by row.
        self._order = np.argsort(-haloes.mass, kind="stable")
        self._known: dict[tuple[Any, ...], Region] = {}

    def chosen(self, realisation: int | Sequence[int] | None) -> tuple[int, ...]:
        """Numbers of realisations, checked."""
        if realisation is None:
            return tuple(range(self._realisations))
        single = isinstance(realisation, (int, np.integer))
        values: list[Any] = [realisation] if single else list(realisation)  # type: ignore[arg-type]
        for r in values:
            if isinstance(r, bool) or not isinstance(r, (int, np.integer)):
                raise TypeError(f"realisation = {realisation!r}: must be whole numbers or None")
            if not 0 <= r < self._realisations:
                raise ValueError(
                    f"realisation = {int(r)}: there are {self._realisations}, counted from 0"
                )
        if not values:
            raise ValueError("realisation is empty: name at least one")
        return tuple(int(r) for r in values)

    def fix(
        self, chosen: tuple[int, ...], lower: FloatArray, upper: FloatArray, purpose: str = "power"
    ) -> Region:
        """The region within bounds, from now on."""
        if self._draw.everywhere:
            everywhere = np.full(5, np.inf)
            lower, upper, purpose = -everywhere, everywhere, "all"
        key = (purpose, *chosen)
        if not (self._draw.everywhere and key in self._known):
            self._known[key] = self._found(chosen, lower, upper)
        return self._known[key]

    def at(self, theta: FloatArray, chosen: tuple[int, ...], purpose: str = "power") -> Region:
        """The region that holds `theta`; widened or moved if the known one does not.

        Pairs of points are many more than points: for them a region begins as the one place, and
        is a third as wide.
        """
        if self._draw.everywhere:
            return self.fix(chosen, theta, theta)
        old = self._known.get((purpose, *chosen))
        if old is not None and old.holds(theta):
            return old
        reach = _REACH if purpose == "power" else _REACH / 3
        margin = reach if purpose == "power" or old is not None else 0 * reach
        low, high = theta - margin, theta + margin
        # A narrow step is narrower than the margin.
        low[1] = max(low[1], 0.25 * theta[1])
        if old is not None:
            both = np.minimum(old.lower, low), np.maximum(old.upper, high)
            # A walk is followed; after a jump the old region is left.
            if (both[1] - both[0] <= _WIDEST * 2 * reach).all():
                low, high = both
        for k in (0, 2, 3):
            low[k], high[k] = max(low[k], -20.0), min(high[k], 20.0)
        return self.fix(chosen, low, high, purpose)

    def _found(self, chosen: tuple[int, ...], lower: FloatArray, upper: FloatArray) -> Region:
        haloes = self._haloes
        seeds = [realisation_seed(self._seed, r) for r in chosen]
        sets = [self._draw.points(self._order, seed, lower, upper) for seed in seeds]
        centrals = np.concatenate([s.centrals for s in sets])
        satellites = np.concatenate([s.satellites for s in sets])
        halo, c, s = [], 0, centrals.size
        for points in sets:
            halo += [points.halo[: points.n_central] + c, points.halo[points.n_central :] + s]
            c, s = c + points.centrals.size, s + points.satellites.size

        def real(values: Any) -> torch.Tensor:
            return torch.as_tensor(values, dtype=self._dtype, device=self._device)

        def whole(values: Any) -> torch.Tensor:
            return torch.as_tensor(values, dtype=torch.int32, device=self._device)

        return Region(
            lower=lower,
            upper=upper,
            sets=sets,
            position=real(np.concatenate([p.position for p in sets])),
            draw=real(np.concatenate([p.draw for p in sets])),
            field=whole(np.repeat(np.arange(len(sets)), [len(points) for points in sets])),
            halo=whole(np.concatenate(halo)),
            log_mass=(
                real(np.log10(haloes.mass[centrals])),
                real(np.log10(haloes.mass[satellites])),
            ),
            log_trials=real(np.log(self._draw.trials[satellites])),
        )
