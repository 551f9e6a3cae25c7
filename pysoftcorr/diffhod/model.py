"""DiffHOD: galaxies of a halo catalogue as weighted points, smooth in the HOD's parameters."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr._random import Seed, root_seed
from pysoftcorr.diffhod._torch import check_device, check_dtype, torch
from pysoftcorr.diffhod.cic import CloudInCell, check_mesh
from pysoftcorr.diffhod.occupation import check_parameters, log_mean_nsat, log_odds_central
from pysoftcorr.diffhod.points import (
    PointSet,
    WeightedGalaxies,
    draw_points,
    most_log_odds,
    realisation_seed,
    satellite_trials,
)
from pysoftcorr.diffhod.power import ModeBins, k_bin_edges
from pysoftcorr.diffhod.relaxed import HIGHEST, _table, calibrated, check_tau, trial_weights
from pysoftcorr.mocks.hod import _check_haloes

__all__ = ["ClippedTrials", "DiffHOD"]

FloatArray = npt.NDArray[np.float64]

#: How far parameters may move from where points were chosen, in the order of HOD_PARAMETERS.
REACH = (0.15, 0.1, 0.3, 0.15, 0.1)
#: Beyond this many points cells are worked out anew at every call.
_STORED = 4_000_000


class ClippedTrials(UserWarning):
    """Some haloes hold more satellites than they have trials."""


@dataclass
class _Active:
    """Points of some realisations for parameters within bounds, as tensors."""

    lower: FloatArray
    upper: FloatArray
    sets: list[PointSet]
    noise: torch.Tensor
    field: torch.Tensor
    halo: torch.Tensor  # centrals' haloes, then satellites', one after the other
    log_mass: tuple[torch.Tensor, torch.Tensor]
    log_trials: torch.Tensor
    position: torch.Tensor
    cells: CloudInCell | None = None

    def holds(self, theta: FloatArray) -> bool:
        return bool((theta >= self.lower).all() and (theta <= self.upper).all())


class DiffHOD:
    """A halo catalogue whose galaxies are weighted points, smooth in the parameters of the HOD.

    Each halo has a trial for its central galaxy and some for satellites, of probability <Ncen>
    and <Nsat>/trials. A trial is not won or lost: its point has the weight
    sigmoid((g(logit p) + eps)/tau), with eps drawn once and for all from the seed, and g such
    that the mean of the weight is p exactly. Every result is then a deterministic function of the
    parameters, smooth, and as a mean over seeds unbiased.

    Parameters
    ----------
    haloes : HaloCatalog
    tau : float
        Temperature, 0.001 to 0.95: the lower, the nearer to whole galaxies, and the rougher.
    trials : int or "auto"
        For satellites of a halo: a number, 48 in Horowitz et al. (2022); by default 64 for
        1e13 Msun/h, in proportion to mass, and 8 at least. Where <Nsat> is above it, it is
        clipped, counted in `clipped` and warned of once.
    modulate : bool
        Whether <Nsat> is multiplied by <Ncen>.
    mesh : int
        Cells a side of the mesh of `power`.
    k_edges : array_like, optional
        Of the bins of `power`; by default linear ones, one fundamental mode wide.
    k_max : float, optional
        Where the default bins end, h/Mpc: 1, or the Nyquist frequency if that is less.
    window : {"cic", None}
    shot_noise : {"subtract", "keep", "poisson"}
        As for `power_spectrum`. Relaxed weights have less shot noise than galaxies (sum w^2 is
        below sum w), pairs of different points are unbiased: compare with galaxies by
        "subtract" for both, or by "poisson" here and "keep" or "poisson" there.
    calibrate : bool
        Whether means are exact; without it rare trials have 1.7 % too much at tau = 0.1.
    realisations : int
        Independent sets of noise.
    dtype : torch.dtype
        float32 or float64.
    device : str or torch.device
    seed : int or numpy.random.Generator, optional
        Of the noise.
    chunk : int
        Trials and points taken at a time. It bounds memory; results do not depend on it.

    Attributes
    ----------
    k : Tensor, shape (nk,)
        Mean wavenumber of each bin, h/Mpc.
    modes : Tensor of int, shape (nk,)
    clipped : int
        Haloes with more satellites than trials at the last evaluation.
    trials : ndarray of int, shape (H,)
        For satellites, by row of the catalogue.

    Raises
    ------
    ValueError
        If an argument is out of range, or the haloes hold what haloes do not.
    TypeError
        If one is of the wrong kind.

    Notes
    -----
    Horowitz et al. 2022 (arXiv:2211.03852); alignments as Pandya & Blazek 2026
    (arXiv:2602.04977). Parameters are in the order of `pysoftcorr.mocks.design.PARAMETERS`:
    mu_cen, mu_sat, logMmin, sigma_logM, logM0, logM1, alpha; five are the last five.

    Points that cannot have a weight above 2e-9 for any parameters near those asked for are left
    out. Where the parameters leave this region it is widened and the points found anew, which
    takes a moment; `prepare` does so beforehand.

    Examples
    --------
    >>> import torch
    >>> from pysoftcorr.diffhod import DiffHOD
    >>> from pysoftcorr.mocks import HaloCatalog
    >>> haloes = HaloCatalog.simulate(50.0, 32, mmin=3e11, seed=1)
    >>> model = DiffHOD(haloes, mesh=32, seed=1)
    >>> theta = torch.tensor([12.0, 0.25, 11.3, 13.2, 1.0], dtype=torch.float64,
    ...                      requires_grad=True)
    >>> k, power = model.power(theta)
    >>> gradient, = torch.autograd.grad(power.sum(), theta)
    >>> power.shape == k.shape, gradient.shape
    (True, torch.Size([5]))
    """

    def __init__(
        self,
        haloes: Any,
        *,
        tau: float = 0.1,
        trials: int | str = "auto",
        modulate: bool = False,
        mesh: int = 64,
        k_edges: npt.ArrayLike | None = None,
        k_max: float | None = None,
        window: str | None = "cic",
        shot_noise: str = "subtract",
        calibrate: bool = True,
        realisations: int = 1,
        dtype: Any = torch.float64,
        device: Any = "cpu",
        seed: Seed = None,
        chunk: int = 1 << 20,
    ) -> None:
        _check_haloes(haloes)
        self.haloes = haloes
        self.boxsize = float(haloes.boxsize)
        self.tau, self.mesh = check_tau(tau), check_mesh(mesh)
        self.modulate, self.calibrate = _flag("modulate", modulate), _flag("calibrate", calibrate)
        self.realisations = _count("realisations", realisations)
        self.chunk = _count("chunk", chunk)
        self.dtype, self.device = check_dtype(dtype), check_device(device)
        self.seed = root_seed(seed)
        self.trials = satellite_trials(haloes.mass, trials)
        if k_edges is not None and k_max is not None:
            raise ValueError("k_edges and k_max are both given; k_max is of the default bins")
        if k_edges is None:
            nyquist = math.pi * self.mesh / self.boxsize
            top = min(1.0, nyquist) if k_max is None else k_max
            k_edges = k_bin_edges(self.boxsize, self.mesh, k_max=top)
        self._bins = ModeBins(
            k_edges, boxsize=self.boxsize, mesh=self.mesh, window=window, shot_noise=shot_noise,
            dtype=self.dtype, device=self.device,
        )  # fmt: skip
        self.k, self.modes = self._bins.k, self._bins.modes
        self.clipped = 0
        self._warned = False
        # The heaviest first; equal ones by row.
        self._order = np.argsort(-haloes.mass, kind="stable")
        self._active: dict[tuple[int, ...], _Active] = {}
        self._like = torch.zeros(0, dtype=self.dtype, device=self.device)

    def __repr__(self) -> str:
        return (
            f"<DiffHOD: {len(self.haloes)} haloes in {self.boxsize:g} Mpc/h, tau = {self.tau:g}, "
            f"{self.realisations} realisation{'s' * (self.realisations > 1)}>"
        )

    # ------------------------------------------------------------------ points
    def prepare(self, lower: npt.ArrayLike, upper: npt.ArrayLike, *, realisation: Any = 0) -> int:
        """Find the points for all parameters within bounds, and say how many there are.

        Parameters
        ----------
        lower, upper : array_like, shape (5,)
        realisation : int, sequence of int or None
            As for `power`.

        Raises
        ------
        ValueError
            If a lower bound is above the upper one, or a bound is no HOD.
        """
        names = self._chosen(realisation)
        like = torch.zeros(0, dtype=torch.float64)
        low, high = (check_parameters(b, like).numpy().copy() for b in (lower, upper))
        if (low > high).any():
            raise ValueError(f"lower = {low.tolist()} must not be above upper = {high.tolist()}")
        self._active[names] = self._draw(names, low, high)
        return int(self._active[names].noise.numel())

    def _draw(self, chosen: tuple[int, ...], lower: FloatArray, upper: FloatArray) -> _Active:
        odds = most_log_odds(self.haloes.mass, self.trials, lower, upper, modulate=self.modulate)
        # Calibration lowers the odds of rare trials and raises those of frequent ones.
        shift = float(np.abs(_table(self.tau)[0]).max()) if self.calibrate else 0.0
        sets = [
            draw_points(
                self.haloes, self._order, self.trials, odds, tau=self.tau, shift=shift,
                seed=realisation_seed(self.seed, r), chunk=self.chunk,
            )
            for r in chosen
        ]  # fmt: skip
        centrals = np.concatenate([s.centrals for s in sets])
        satellites = np.concatenate([s.satellites for s in sets])
        halo, c, s = [], 0, centrals.size
        for points in sets:
            first, rest = points.halo[: points.n_central] + c, points.halo[points.n_central :] + s
            halo += [first, rest]
            c, s = c + points.centrals.size, s + points.satellites.size
        log_mass = np.log10(self.haloes.mass)
        lengths = [len(points) for points in sets]

        def tensor(values: Any) -> torch.Tensor:
            return torch.as_tensor(values, dtype=self.dtype, device=self.device)

        def whole(values: Any) -> torch.Tensor:
            return torch.as_tensor(values, dtype=torch.int64, device=self.device)

        return _Active(
            lower=lower,
            upper=upper,
            sets=sets,
            noise=tensor(np.concatenate([p.noise for p in sets])),
            field=whole(np.repeat(np.arange(len(sets)), lengths)),
            halo=whole(np.concatenate(halo)),
            log_mass=(tensor(log_mass[centrals]), tensor(log_mass[satellites])),
            log_trials=tensor(np.log(self.trials[satellites])),
            position=tensor(np.concatenate([p.position for p in sets])),
        )

    def _chosen(self, realisation: Any) -> tuple[int, ...]:
        if realisation is None:
            return tuple(range(self.realisations))
        single = isinstance(realisation, (int, np.integer))
        values = [realisation] if single else list(realisation)
        for r in values:
            if isinstance(r, bool) or not isinstance(r, (int, np.integer)):
                raise TypeError(f"realisation = {realisation!r}: must be whole numbers or None")
            if not 0 <= r < self.realisations:
                raise ValueError(
                    f"realisation = {int(r)}: there are {self.realisations}, counted from 0"
                )
        if not values:
            raise ValueError("realisation is empty: name at least one")
        return tuple(int(r) for r in values)

    def _at(self, theta: torch.Tensor, chosen: tuple[int, ...]) -> _Active:
        """Points for these parameters; found anew where they lie outside the known region."""
        place = theta.detach().to("cpu", torch.float64).numpy()
        old = self._active.get(chosen)
        if old is not None and old.holds(place):
            return old
        reach = np.array(REACH)
        low, high = place - reach, place + reach
        # At a narrow step the bound is of the order of the width itself.
        low[1] = max(low[1], 0.25 * place[1])
        if old is not None:
            both = np.minimum(old.lower, low), np.maximum(old.upper, high)
            # A walk is followed; after a jump the old region is left.
            if (both[1] - both[0] <= 6 * reach).all():
                low, high = both
        low[[0, 2, 3]] = np.maximum(low[[0, 2, 3]], -20)
        high[[0, 2, 3]] = np.minimum(high[[0, 2, 3]], 20)
        self._active[chosen] = self._draw(chosen, low, high)
        return self._active[chosen]

    def _log_odds(self, active: _Active, theta: torch.Tensor) -> torch.Tensor:
        """Calibrated log-odds of the haloes' trials, centrals' first."""
        central = log_odds_central(active.log_mass[0], theta)
        mean = log_mean_nsat(active.log_mass[1], theta, modulate=self.modulate)
        log_p = mean - active.log_trials
        # ln p = -log1p(e^-l): beyond HIGHEST p is 1 to nine digits.
        top = -math.log1p(math.exp(-HIGHEST))
        self._report(int((log_p[: active.sets[0].satellites.size] > 0).sum()))
        some = log_p > -torch.inf
        log_p = torch.where(some, log_p, -1.0).clamp(max=top)
        satellite = torch.where(some, log_p - torch.log(-torch.expm1(log_p)), -1e4)
        return torch.cat([central, satellite])

    def _weights(self, active: _Active, theta: torch.Tensor, *, hard: bool = False) -> torch.Tensor:
        odds = self._log_odds(active, theta)
        if hard:
            return (odds[active.halo] + active.noise > 0).to(self.dtype)
        if self.calibrate:
            odds = calibrated(odds, self.tau)
        return trial_weights(odds, active.noise, active.halo, tau=self.tau, chunk=self.chunk)

    def _report(self, clipped: int) -> None:
        self.clipped = clipped
        if clipped and not self._warned:
            self._warned = True
            warnings.warn(
                f"{clipped} haloes hold more satellites than they have trials: the number is "
                "clipped there; raise trials (said once; DiffHOD.clipped counts them)",
                ClippedTrials,
                stacklevel=4,
            )

    # ------------------------------------------------------------------ results
    def galaxies(self, theta: Any, *, realisation: int = 0, hard: bool = False) -> WeightedGalaxies:
        """The weighted points: those with weight above 0.

        Parameters
        ----------
        theta : array_like or Tensor, shape (5,) or (7,)
            With seven the points have axes, too.
        realisation : int
        hard : bool
            Whole galaxies instead, weights 0 or 1 of the same noise: the limit of temperature 0,
            the HOD itself, without derivatives. Centrals are those of ``HODModel.populate`` of
            the same seed.

        Raises
        ------
        ValueError
            If a parameter is out of range or there is no such realisation.
        """
        t, _ = self._parameters(theta)
        chosen = self._chosen(int(realisation))
        active = self._at(t, chosen)
        weight = self._weights(active, t, hard=hard)
        rows = torch.nonzero(weight.detach() > 0)[:, 0]
        points = active.sets[0]
        kept = rows.cpu().numpy()

        def tensor(values: Any, kind: torch.dtype) -> torch.Tensor:
            return torch.as_tensor(values[kept], dtype=kind, device=self.device)

        reference = tensor(points.direction, self.dtype)
        central = np.arange(len(points)) < points.n_central
        return WeightedGalaxies(
            position=active.position[rows],
            weight=weight[rows],
            central=tensor(central, torch.bool),
            host=tensor(points.host, torch.int64),
            rank=tensor(points.rank, torch.int64),
            reference=reference,
            axis=None,
            boxsize=self.boxsize,
        )

    def power(
        self, theta: Any, *, realisation: int | Sequence[int] | None = 0
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """P(k) of the weighted points, differentiable once in the parameters.

        Parameters
        ----------
        theta : array_like or Tensor, shape (5,) or (7,)
            In the order of `pysoftcorr.mocks.design.PARAMETERS`; the strengths do not matter.
        realisation : int, sequence of int or None
            Which sets of noise; None is all.

        Returns
        -------
        k : Tensor, shape (nk,)
            h/Mpc.
        power : Tensor, shape (nk,), or (R, nk) for several realisations
            (Mpc/h)^3.

        Raises
        ------
        ValueError
            If a parameter is out of range, there is no such realisation, or no galaxies are made.
        """
        t, _ = self._parameters(theta)
        chosen = self._chosen(realisation)
        active = self._at(t, chosen)
        weight = self._weights(active, t)
        if active.cells is None:
            active.cells = CloudInCell(
                active.position, mesh=self.mesh, boxsize=self.boxsize, fields=len(chosen),
                field=active.field if len(chosen) > 1 else None,
                store=weight.numel() <= _STORED,
            )  # fmt: skip
        painted = active.cells.paint(weight)
        if len(chosen) == 1:
            weight2 = (weight * weight).sum()[None]
        else:
            weight2 = torch.zeros(len(chosen), dtype=self.dtype, device=self.device)
            weight2 = weight2.index_add(0, active.field, weight * weight)
        if not bool((painted.detach().flatten(1).sum(dim=1) > 0).all()):
            raise ValueError(f"theta = {t.tolist()} makes no galaxies in these haloes")
        power, _ = self._bins.power(painted, weight2)
        return self.k, power[0] if isinstance(realisation, (int, np.integer)) else power

    def _parameters(self, theta: Any) -> tuple[torch.Tensor, torch.Tensor | None]:
        if isinstance(theta, dict):
            seven = "mu_cen" in theta and "mu_sat" in theta
        else:
            seven = len(theta) == 7
        t = check_parameters(theta, self._like, alignment=seven)
        return t[-5:], t[:2] if seven else None


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} = {value!r}: must be True or False")
    return bool(value)


def _count(name: str, value: Any) -> int:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} = {value!r}: must be a whole number")
    if value < 1:
        raise ValueError(f"{name} = {value}: must be at least 1")
    return int(value)
