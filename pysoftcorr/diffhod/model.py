"""DiffHOD: galaxies of a halo catalog as weighted points, smooth in the HOD's parameters."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from pysoftcorr.core import options
from pysoftcorr.core.random import Seed, root_seed
from pysoftcorr.core.torch import check_device, check_dtype, ordered_sum
from pysoftcorr.diffhod.occupation import HIDDEN, check_parameters, log_mean_nsat, log_odds_central
from pysoftcorr.diffhod.pairs import WeightedCorrelations, WeightedPairs
from pysoftcorr.diffhod.points import (
    PointSet,
    WeightedGalaxies,
    check_density,
    check_reference,
    draw_points,
    draw_reference,
    most_log_odds,
    realization_seed,
    reference_rates,
    satellite_trials,
    weighted_galaxies,
)
from pysoftcorr.diffhod.power import CUBES, CloudInCell, ModeBins, check_mesh, k_bin_edges
from pysoftcorr.diffhod.relaxed import (
    HIGHEST,
    PLAIN,
    REACH,
    _table,
    calibrated,
    check_tau,
    trial_weights,
)
from pysoftcorr.mocks.box import radial_edges
from pysoftcorr.mocks.checks import cube_side
from pysoftcorr.mocks.hod import check_halos
from pysoftcorr.sky.binning import Bins

__all__ = ["ClippedTrials", "DiffHOD", "Draw", "ReferenceDraw", "Region", "Regions", "RelaxedDraw"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


class Draw(Protocol):
    """Points of a halo catalog, and their weights.

    `everywhere` says that the points are the same for all parameters; `trials` of each halo are
    those for satellites; `clipped` counts halos of more satellites than trials.
    """

    everywhere: bool
    trials: IntArray
    clipped: int

    def points(self, order: IntArray, seed: int, lower: FloatArray, upper: FloatArray) -> PointSet:
        """Points that can have a weight for parameters within bounds."""
        ...

    def weights(self, region: Any, params: torch.Tensor, *, hard: bool) -> torch.Tensor:
        """Weights of the points of a `Region`, at five parameters."""
        ...


class RelaxedDraw:
    """Trials whose noise is drawn once, relaxed at a temperature."""

    everywhere = False

    def __init__(
        self,
        halos: Any,
        trials: IntArray,
        *,
        tau: float,
        modulate: bool,
        calibrate: bool,
        chunk: int,
    ) -> None:
        self._halos, self.trials = halos, trials
        self._tau, self._modulate, self._calibrate = tau, modulate, calibrate
        self._chunk = chunk
        self._reach = REACH if calibrate else PLAIN
        self.clipped = 0

    def points(self, order: IntArray, seed: int, lower: FloatArray, upper: FloatArray) -> PointSet:
        """Trials that are not lost for all parameters within bounds."""
        odds = most_log_odds(self._halos.mass, self.trials, lower, upper, modulate=self._modulate)
        # Calibration lowers the odds of rare trials and raises those of frequent ones.
        shift = float(np.abs(_table(self._tau)[0]).max()) if self._calibrate else 0.0
        return draw_points(
            self._halos, order, self.trials, odds, least=-self._tau * self._reach - shift,
            seed=seed, chunk=self._chunk,
        )  # fmt: skip

    def weights(self, region: Any, params: torch.Tensor, *, hard: bool) -> torch.Tensor:
        """Relaxed weights or, if `hard`, 0 and 1."""
        odds = self._log_odds(region, params)
        if hard:
            return (odds[region.halo] + region.draw > 0).to(region.draw.dtype)
        if self._calibrate:
            odds = calibrated(odds, self._tau)
        return trial_weights(odds, region.draw, region.halo, tau=self._tau, reach=self._reach)

    def _log_odds(self, region: Any, params: torch.Tensor) -> torch.Tensor:
        """Log-odds of the halos' trials, centrals' first."""
        central = log_odds_central(region.log_mass[0], params)
        mean = log_mean_nsat(region.log_mass[1], params, modulate=self._modulate)
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
        self, halos: Any, reference: FloatArray, density: float, *, modulate: bool
    ) -> None:
        self._halos, self._modulate = halos, modulate
        self._rates = reference_rates(halos.mass, reference, density, modulate=modulate)
        self.trials = np.ones(len(halos.mass), dtype=np.int64)

    def points(self, order: IntArray, seed: int, lower: FloatArray, upper: FloatArray) -> PointSet:
        """Points of the reference, the same for all bounds."""
        return draw_reference(self._halos, order, self._rates, seed=seed)

    def weights(self, region: Any, params: torch.Tensor, *, hard: bool) -> torch.Tensor:
        """Weights of the points: occupation over rate."""
        if hard:
            raise ValueError("hard = True: points of a reference are no whole galaxies")
        central = torch.sigmoid(log_odds_central(region.log_mass[0], params))
        satellite = log_mean_nsat(region.log_mass[1], params, modulate=self._modulate).exp()
        return torch.cat([central, satellite]).index_select(0, region.halo) * region.draw


#: How far parameters may move from where points were chosen, in the order of HOD_PARAMETERS.
_REACH = np.array([0.15, 0.1, 0.3, 0.15, 0.1])
#: A region follows a walk until it is this many times as wide as a new one.
_WIDEST = 3.0


@dataclass
class Region:
    """Points of some realizations for parameters within bounds, as tensors.

    `halo` counts the halos of centrals first, then those of satellites.
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

    def holds(self, params: FloatArray) -> bool:
        """Whether points were chosen for these parameters."""
        return bool((params >= self.lower).all() and (params <= self.upper).all())


class Regions:
    """Regions of a model, by realizations and purpose.

    Parameters
    ----------
    halos : HaloCatalog
    draw : Draw
        Gives the points.
    seed : int
    realizations : int
    dtype, device
        Type and device of the tensors.
    """

    def __init__(
        self,
        halos: Any,
        draw: Draw,
        *,
        seed: int,
        realizations: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self._halos, self._draw = halos, draw
        self._seed, self._realizations = seed, realizations
        self._dtype, self._device = dtype, device
        # The heaviest first; equal ones by row.
        self._order = np.argsort(-halos.mass, kind="stable")
        self._known: dict[tuple[Any, ...], Region] = {}

    def chosen(self, realization: int | Sequence[int] | None) -> tuple[int, ...]:
        """Checked numbers of realizations."""
        if realization is None:
            return tuple(range(self._realizations))
        values = [realization] if np.ndim(realization) == 0 else list(realization)  # type: ignore[arg-type]
        if not values:
            raise ValueError("realization is empty: name at least one")
        last = self._realizations - 1
        return tuple(options.integer("realization", r, least=0, most=last) for r in values)

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

    def at(self, params: FloatArray, chosen: tuple[int, ...], purpose: str = "power") -> Region:
        """The region that holds `params`; widened or moved if the known one does not.

        Pairs of points are many more than points: for them a region begins as the one place, and
        is a third as wide.
        """
        if self._draw.everywhere:
            return self.fix(chosen, params, params)
        old = self._known.get((purpose, *chosen))
        if old is not None and old.holds(params):
            return old
        reach = _REACH if purpose == "power" else _REACH / 3
        margin = reach if purpose == "power" or old is not None else 0 * reach
        low, high = params - margin, params + margin
        # A narrow step is narrower than the margin.
        low[1] = max(low[1], 0.25 * params[1])
        if old is not None:
            both = np.minimum(old.lower, low), np.maximum(old.upper, high)
            # A walk is followed; after a jump the old region is left.
            if (both[1] - both[0] <= _WIDEST * 2 * reach).all():
                low, high = both
        for k in (0, 2, 3):
            low[k], high[k] = max(low[k], -20.0), min(high[k], 20.0)
        return self.fix(chosen, low, high, purpose)

    def _found(self, chosen: tuple[int, ...], lower: FloatArray, upper: FloatArray) -> Region:
        halos = self._halos
        seeds = [realization_seed(self._seed, r) for r in chosen]
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
                real(np.log10(halos.mass[centrals])),
                real(np.log10(halos.mass[satellites])),
            ),
            log_trials=real(np.log(self._draw.trials[satellites])),
        )


#: Beyond this many points cells are worked out again at every call.
_STORED = 4_000_000


class ClippedTrials(UserWarning):
    """Some halos hold more satellites than they have trials."""


class DiffHOD:
    """A halo catalog whose galaxies are weighted points, smooth in the parameters of the HOD.

    Each halo has a trial for its central galaxy and some for satellites, of probability <Ncen>
    and <Nsat>/trials. A trial is not won or lost: its point has the weight
    sigmoid((g(logit p) + eps)/tau), with eps drawn once and for all from the seed, and g such
    that the mean of the weight is p exactly. Every result is then a deterministic function of the
    parameters, smooth, and as a mean over seeds unbiased. Satellites follow spherical NFW profiles,
    those of ``HODModel(satellites="nfw")``.

    Parameters
    ----------
    halos : HaloCatalog
    tau : float
        Temperature, 0.001 to 0.95: the lower, the nearer to whole galaxies, and the rougher.
    trials : int or "auto"
        For satellites of a halo: a number, 48 in Horowitz et al. (2022); by default 64 for
        1e13 Msun/h, in proportion to mass, and 8 at least. Where <Nsat> is above it, it is
        clipped, counted in `clipped` and warned of once.
    modulate : bool
        Whether <Nsat> is multiplied by <Ncen>.
    gamma : float
        Strength of satellites by radius: mu_sat (r/Rvir)^gamma, kept within [-1, 1].
    mesh : int
        Cells a side of the mesh of `power`.
    k_bins : str or array_like, optional
        Bins of `power` in h/Mpc: edges, or text such as "linear:0.05:1:19"; by default linear
        ones, one fundamental mode wide.
    k_max : float, optional
        Where the default bins end, h/Mpc: 1, or the Nyquist frequency if that is less.
    window : {"cic", None}
    shot_noise : {"subtract", "keep", "poisson"}
        As for `power_spectrum`. Relaxed weights have less shot noise than galaxies (sum w^2 is
        below sum w), pairs of different points are unbiased: compare with galaxies by
        "subtract" for both, or by "poisson" here and "keep" or "poisson" there.
    reference : array_like, shape (5,) or (J, 5), optional
        Instead of relaxed trials, points drawn once from the mean occupation of these parameters,
        with the weight occupation/rate: as unbiased, and as smooth as the occupation is, for
        parameters near the reference. `tau`, `trials` and `calibrate` then have no meaning.
    density : float
        Points for each galaxy of the reference, but one at most for the central of a halo; noise
        falls as one over it.
    calibrate : bool
        Whether means are exact; without it rare trials have 1.7 % too much at tau = 0.1.
    realizations : int
        Independent sets of noise.
    dtype : torch.dtype
        float32 or float64.
    device : str or torch.device
    seed : int or numpy.random.Generator, optional
        Seed of the noise.
    chunk : int
        Trials drawn at a time. It bounds memory; results do not depend on it.

    Attributes
    ----------
    k : Tensor, shape (nk,)
        Mean wavenumber of each bin, h/Mpc.
    modes : Tensor of int, shape (nk,)
    k_edges : ndarray, shape (nk + 1,)
    clipped : int
        Halos with more satellites than trials at the last evaluation.
    trials : ndarray of int, shape (H,)
        For satellites, by row of the catalog.

    Raises
    ------
    ValueError
        If an argument is out of range, or the halos hold what halos do not.
    TypeError
        If one is of the wrong kind.

    Notes
    -----
    Horowitz et al. 2022 (arXiv:2211.03852); alignments as Pandya & Blazek 2026
    (arXiv:2602.04977). Parameters are in the order of `pysoftcorr.mocks.hod.PARAMETERS`:
    mu_cen, mu_sat, logMmin, sigma_logM, logM0, logM1, alpha; five are the last five.

    Trials that cannot have a weight for any parameters near those asked for are left out. Where
    the parameters leave this region it is widened and the points found again, which takes a
    moment; `prepare` does so beforehand. Points of a reference are the same everywhere.

    Examples
    --------
    >>> import torch
    >>> from pysoftcorr.diffhod import DiffHOD
    >>> from pysoftcorr.mocks import HaloCatalog
    >>> halos = HaloCatalog.simulate(50.0, 32, mmin=3e11, seed=1)
    >>> model = DiffHOD(halos, mesh=32, seed=1)
    >>> params = torch.tensor([12.0, 0.25, 11.3, 13.2, 1.0], dtype=torch.float64,
    ...                      requires_grad=True)
    >>> k, power = model.power(params)
    >>> gradient, = torch.autograd.grad(power.sum(), params)
    >>> power.shape == k.shape, gradient.shape
    (True, torch.Size([5]))
    """

    def __init__(
        self,
        halos: Any,
        *,
        tau: float = 0.1,
        trials: int | str = "auto",
        modulate: bool = False,
        gamma: float = 0.0,
        mesh: int = 64,
        k_bins: str | npt.ArrayLike | None = None,
        k_max: float | None = None,
        window: str | None = "cic",
        shot_noise: str = "subtract",
        reference: npt.ArrayLike | None = None,
        density: float = 16.0,
        calibrate: bool = True,
        realizations: int = 1,
        dtype: Any = torch.float64,
        device: Any = "cpu",
        seed: Seed = None,
        chunk: int = 1 << 20,
    ) -> None:
        check_halos(halos)
        self.halos = halos
        self.boxsize = cube_side(halos.boxsize, CUBES)
        self.tau, self.mesh = check_tau(tau), check_mesh(mesh)
        self.density = check_density(density)
        self.modulate = options.flag("modulate", modulate)
        self.calibrate = options.flag("calibrate", calibrate)
        self.gamma = options.number("gamma", gamma)
        self.realizations = options.count(
            "realizations", realizations, most=options.MOST_REALIZATIONS
        )
        self.chunk = options.at_least_one("chunk", chunk)
        self.dtype, self.device = check_dtype(dtype), check_device(device)
        self.seed = root_seed(seed)
        self.trials = satellite_trials(halos.mass, trials)
        if k_bins is not None and k_max is not None:
            raise ValueError("k_bins and k_max are both given; k_max is where the default bins end")
        if k_bins is None:
            nyquist = math.pi * self.mesh / self.boxsize
            top = min(1.0, nyquist) if k_max is None else k_max
            k_bins = k_bin_edges(self.boxsize, self.mesh, k_max=top)
        self._bins = ModeBins(
            k_bins, boxsize=self.boxsize, mesh=self.mesh, window=window, shot_noise=shot_noise,
            dtype=self.dtype, device=self.device,
        )  # fmt: skip
        self.k, self.modes, self.k_edges = self._bins.k, self._bins.modes, self._bins.edges
        self.clipped = 0
        self._warned = False
        self.reference: FloatArray | None = None
        self._draw: Draw
        if reference is None:
            self._draw = RelaxedDraw(
                halos, self.trials, tau=self.tau, modulate=self.modulate,
                calibrate=self.calibrate, chunk=self.chunk,
            )  # fmt: skip
        else:
            self.reference = check_reference(reference)
            self._draw = ReferenceDraw(halos, self.reference, self.density, modulate=self.modulate)
        self._regions = Regions(
            halos, self._draw, seed=self.seed, realizations=self.realizations, dtype=self.dtype,
            device=self.device,
        )  # fmt: skip
        self._like = torch.zeros(0, dtype=self.dtype, device=self.device)

    def __repr__(self) -> str:
        kind = f"tau = {self.tau:g}"
        if self.reference is not None:
            kind = f"{self.density:g} points a galaxy of a reference"
        return (
            f"<DiffHOD: {len(self.halos)} halos in {self.boxsize:g} Mpc/h, {kind}, "
            f"{self.realizations} realization{'s' * (self.realizations > 1)}>"
        )

    # ------------------------------------------------------------------ points
    def prepare(self, lower: npt.ArrayLike, upper: npt.ArrayLike, *, realization: Any = 0) -> int:
        """Find the points for all parameters within bounds, and say how many there are.

        Parameters
        ----------
        lower, upper : array_like, shape (5,)
        realization : int, sequence of int or None
            As for `power`.

        Raises
        ------
        ValueError
            If a lower bound is above the upper one, or a bound is no HOD.
        """
        chosen = self._regions.chosen(realization)
        like = torch.zeros(0, dtype=torch.float64)
        low, high = (check_parameters(b, like).numpy().copy() for b in (lower, upper))
        if (low > high).any():
            raise ValueError(f"lower = {low.tolist()} must not be above upper = {high.tolist()}")
        return len(self._regions.fix(chosen, low, high))

    def _region(self, params: torch.Tensor, chosen: tuple[int, ...], purpose: str) -> Region:
        place = params.detach().to("cpu", torch.float64).numpy()
        return self._regions.at(place, chosen, purpose)

    def _weights(self, region: Region, params: torch.Tensor, *, hard: bool = False) -> torch.Tensor:
        weight = self._draw.weights(region, params, hard=hard)
        self.clipped = self._draw.clipped
        if self.clipped and not self._warned:
            self._warned = True
            warnings.warn(
                f"{self.clipped} halos hold more satellites than they have trials: the number is "
                "clipped there; raise trials (said once; DiffHOD.clipped counts them)",
                ClippedTrials,
                stacklevel=3,
            )
        return weight

    # ------------------------------------------------------------------ results
    def galaxies(
        self, params: Any, *, realization: int = 0, hard: bool = False
    ) -> WeightedGalaxies:
        """The weighted points: those with weight above 0.

        Parameters
        ----------
        params : array_like or Tensor, shape (5,) or (7,)
            With seven the points have axes, too.
        realization : int
        hard : bool
            Whole galaxies instead, weights 0 or 1 of the same noise: the limit of temperature 0,
            the HOD itself, without derivatives. Centrals are those of ``HODModel.populate`` of
            the same seed, and so are their axes.

        Returns
        -------
        WeightedGalaxies
            Centrals first.

        Raises
        ------
        ValueError
            If a parameter is out of range or there is no such realization.
        """
        t, mu = self._parameters(params)
        chosen = self._regions.chosen(realization)
        region = self._region(t, chosen, "power")
        weight = self._weights(region, t, hard=options.flag("hard", hard))
        rows = torch.nonzero(weight.detach() > 0)[:, 0]
        seed = realization_seed(self.seed, chosen[0])
        found = weighted_galaxies(region.sets[0], rows, weight[rows], seed, self.boxsize)
        if mu is None:
            return found
        return replace(found, axis=found.axes(mu[0], mu[1], gamma=self.gamma))

    def correlations(
        self, params: Any, *, bins: Bins | None = None, realization: int = 0
    ) -> WeightedCorrelations:
        """xi, omega and eta of the weighted points, differentiable once in the parameters.

        Parameters
        ----------
        params : array_like or Tensor, shape (7,)
            mu_cen, mu_sat, logMmin, sigma_logM, logM0, logM1, alpha.
        bins : Binning, str or array_like, optional
            Bins (lo, hi] in Mpc/h, as in `box_correlations`; by default "log:0.1:16:20".
        realization : int

        Returns
        -------
        WeightedCorrelations
            xi, omega, eta, each of shape (nbins,).

        Raises
        ------
        ValueError
            If a parameter is out of range, there are not seven, or the bins do not fit the box.

        Notes
        -----
        Pairs of points are found once and kept while the parameters of the occupation stay near;
        for changing strengths at one occupation, `WeightedPairs.orientation` is faster by far.
        """
        t, mu = self._parameters(params)
        if mu is None:
            raise ValueError("params must be all seven parameters, with mu_cen and mu_sat first")
        chosen = self._regions.chosen(realization)
        region = self._region(t, chosen, "pairs")
        edges = radial_edges(bins, self.boxsize)
        if region.pairs is None or region.pairs[0] != edges.tobytes():
            pairs = WeightedPairs(
                region.sets[0].position, boxsize=self.boxsize, bins=edges, dtype=self.dtype,
                device=self.device,
            )  # fmt: skip
            region.pairs = edges.tobytes(), pairs
        weight = self._weights(region, t)
        if region.galaxies is None:
            rows = torch.arange(len(region), device=self.device)
            seed = realization_seed(self.seed, chosen[0])
            region.galaxies = weighted_galaxies(
                region.sets[0], rows, weight.detach(), seed, self.boxsize
            )
        axis = region.galaxies.axes(mu[0], mu[1], gamma=self.gamma)
        return region.pairs[1].correlations(weight, axis)

    def power(
        self, params: Any, *, realization: int | Sequence[int] | None = 0
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """P(k) of the weighted points, differentiable twice in the parameters.

        Parameters
        ----------
        params : array_like or Tensor, shape (5,) or (7,)
            In the order of `pysoftcorr.mocks.hod.PARAMETERS`; the strengths do not matter.
        realization : int, sequence of int or None
            Sets of noise; None is all.

        Returns
        -------
        k : Tensor, shape (nk,)
            h/Mpc.
        power : Tensor, shape (nk,), or (R, nk) for several realizations
            (Mpc/h)^3.

        Raises
        ------
        ValueError
            If a parameter is out of range, there is no such realization, or no galaxies are made.
        TypeError
            Inside a transform of `torch.func`, which hides the values that decide which points
            there are; `torch.autograd.functional` has ``jacobian`` and ``hessian``.
        """
        t, _ = self._parameters(params)
        chosen = self._regions.chosen(realization)
        region = self._region(t, chosen, "power")
        weight = self._weights(region, t)
        if region.cells is None:
            region.cells = CloudInCell(
                region.position, mesh=self.mesh, boxsize=self.boxsize, fields=len(chosen),
                field=region.field if len(chosen) > 1 else None,
                store=weight.numel() <= _STORED,
            )  # fmt: skip
        painted = region.cells.paint(weight)
        if len(chosen) == 1:
            weight2 = ordered_sum(weight * weight)[None]
        else:
            weight2 = torch.zeros(len(chosen), dtype=self.dtype, device=self.device)
            weight2 = weight2.index_add(0, region.field, weight * weight)
        if not bool((painted.detach().flatten(1).sum(dim=1) > 0).all()):
            raise ValueError(f"params = {t.tolist()} makes no galaxies in these halos")
        power, _ = self._bins.power(painted, weight2)
        return self.k, power[0] if isinstance(realization, (int, np.integer)) else power

    def _parameters(self, params: Any) -> tuple[torch.Tensor, torch.Tensor | None]:
        if isinstance(params, dict):
            seven = "mu_cen" in params and "mu_sat" in params
        else:
            # numpy.size of a tensor is a method.
            seven = (torch.is_tensor(params) and params.numel() == 7) or np.size(params) == 7
        t = check_parameters(params, self._like, alignment=seven)
        try:
            t.data_ptr()  # a tensor of torch.func has no memory
        except RuntimeError as error:
            raise TypeError(HIDDEN) from error
        return t[-5:], t[:2] if seven else None
