"""DiffHOD: galaxies of a halo catalogue as weighted points, smooth in the HOD's parameters."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr import _options
from pysoftcorr._random import Seed, root_seed
from pysoftcorr.diffhod._torch import check_dtype, torch
from pysoftcorr.diffhod.cic import CloudInCell, check_mesh
from pysoftcorr.diffhod.draws import Draw, ReferenceDraw, RelaxedDraw
from pysoftcorr.diffhod.occupation import check_parameters
from pysoftcorr.diffhod.pairs import WeightedCorrelations, WeightedPairs
from pysoftcorr.diffhod.points import (
    WeightedGalaxies,
    realisation_seed,
    satellite_trials,
    weighted_galaxies,
)
from pysoftcorr.diffhod.power import ModeBins, k_bin_edges
from pysoftcorr.diffhod.region import Region, Regions
from pysoftcorr.diffhod.relaxed import check_tau
from pysoftcorr.diffhod.reweighted import check_density, check_reference
from pysoftcorr.mocks._pairs import check_edges
from pysoftcorr.mocks.hod import _check_haloes

__all__ = ["ClippedTrials", "DiffHOD"]

FloatArray = npt.NDArray[np.float64]

#: Beyond this many points cells are worked out anew at every call.
_STORED = 4_000_000


class ClippedTrials(UserWarning):
    """Some haloes hold more satellites than they have trials."""


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
    gamma : float
        Strength of satellites by radius: mu_sat (r/Rvir)^gamma, kept within [-1, 1].
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
    reference : array_like, shape (5,) or (J, 5), optional
        Instead of relaxed trials, points drawn once from the mean occupation of these parameters,
        with the weight occupation/rate: as unbiased, and as smooth as the occupation is, for
        parameters near the reference. `tau`, `trials` and `calibrate` then have no meaning.
    density : float
        Points for each galaxy of the reference, but one at most for the central of a halo; noise
        falls as one over it.
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
        Trials drawn at a time. It bounds memory; results do not depend on it.

    Attributes
    ----------
    k : Tensor, shape (nk,)
        Mean wavenumber of each bin, h/Mpc.
    modes : Tensor of int, shape (nk,)
    k_edges : ndarray, shape (nk + 1,)
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

    Trials that cannot have a weight for any parameters near those asked for are left out. Where
    the parameters leave this region it is widened and the points found anew, which takes a
    moment; `prepare` does so beforehand. Points of a reference are the same everywhere.

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
        gamma: float = 0.0,
        mesh: int = 64,
        k_edges: npt.ArrayLike | None = None,
        k_max: float | None = None,
        window: str | None = "cic",
        shot_noise: str = "subtract",
        reference: npt.ArrayLike | None = None,
        density: float = 16.0,
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
        self.density = check_density(density)
        self.modulate = _options.flag("modulate", modulate)
        self.calibrate = _options.flag("calibrate", calibrate)
        self.gamma = float(gamma)
        self.realisations = _options.at_least_one("realisations", realisations)
        self.chunk = _options.at_least_one("chunk", chunk)
        self.dtype, self.device = check_dtype(dtype), _options.device(device)
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
        self.k, self.modes, self.k_edges = self._bins.k, self._bins.modes, self._bins.edges
        self.clipped = 0
        self._warned = False
        self.reference: FloatArray | None = None
        self._draw: Draw
        if reference is None:
            self._draw = RelaxedDraw(
                haloes, self.trials, tau=self.tau, modulate=self.modulate,
                calibrate=self.calibrate, chunk=self.chunk,
            )  # fmt: skip
        else:
            self.reference = check_reference(reference)
            self._draw = ReferenceDraw(haloes, self.reference, self.density, modulate=self.modulate)
        self._regions = Regions(
            haloes, self._draw, seed=self.seed, realisations=self.realisations, dtype=self.dtype,
            device=self.device,
        )  # fmt: skip
        self._like = torch.zeros(0, dtype=self.dtype, device=self.device)

    def __repr__(self) -> str:
        kind = f"tau = {self.tau:g}"
        if self.reference is not None:
            kind = f"{self.density:g} points a galaxy of a reference"
        return (
            f"<DiffHOD: {len(self.haloes)} haloes in {self.boxsize:g} Mpc/h, {kind}, "
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
        chosen = self._regions.chosen(realisation)
        like = torch.zeros(0, dtype=torch.float64)
        low, high = (check_parameters(b, like).numpy().copy() for b in (lower, upper))
        if (low > high).any():
            raise ValueError(f"lower = {low.tolist()} must not be above upper = {high.tolist()}")
        return len(self._regions.fix(chosen, low, high))

    def _region(self, theta: torch.Tensor, chosen: tuple[int, ...], purpose: str) -> Region:
        place = theta.detach().to("cpu", torch.float64).numpy()
        return self._regions.at(place, chosen, purpose)

    def _weights(self, region: Region, theta: torch.Tensor, *, hard: bool = False) -> torch.Tensor:
        weight = self._draw.weights(region, theta, hard=hard)
        self.clipped = self._draw.clipped
        if self.clipped and not self._warned:
            self._warned = True
            warnings.warn(
                f"{self.clipped} haloes hold more satellites than they have trials: the number is "
                "clipped there; raise trials (said once; DiffHOD.clipped counts them)",
                ClippedTrials,
                stacklevel=3,
            )
        return weight

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
            the same seed, and so are their axes.

        Returns
        -------
        WeightedGalaxies
            Centrals first.

        Raises
        ------
        ValueError
            If a parameter is out of range or there is no such realisation.
        """
        t, mu = self._parameters(theta)
        chosen = self._regions.chosen(int(realisation))
        region = self._region(t, chosen, "power")
        weight = self._weights(region, t, hard=hard)
        rows = torch.nonzero(weight.detach() > 0)[:, 0]
        seed = realisation_seed(self.seed, chosen[0])
        found = weighted_galaxies(region.sets[0], rows, weight[rows], seed, self.boxsize)
        if mu is None:
            return found
        return replace(found, axis=found.axes(mu[0], mu[1], gamma=self.gamma))

    def correlations(
        self, theta: Any, *, edges: npt.ArrayLike | None = None, realisation: int = 0
    ) -> WeightedCorrelations:
        """xi, omega and eta of the weighted points, differentiable once in the parameters.

        Parameters
        ----------
        theta : array_like or Tensor, shape (7,)
            mu_cen, mu_sat, logMmin, sigma_logM, logM0, logM1, alpha.
        edges : array_like, optional
            Of the bins (lo, hi] in Mpc/h; by default 20 bins, even in the logarithm from 0.1 to 16.
        realisation : int

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
        t, mu = self._parameters(theta)
        if mu is None:
            raise ValueError("theta must be all seven parameters, with mu_cen and mu_sat first")
        chosen = self._regions.chosen(int(realisation))
        region = self._region(t, chosen, "pairs")
        bounds = check_edges(edges, self.boxsize, periodic=True)
        if region.pairs is None or region.pairs[0] != bounds.tobytes():
            pairs = WeightedPairs(
                region.sets[0].position, boxsize=self.boxsize, edges=bounds, dtype=self.dtype,
                device=self.device,
            )  # fmt: skip
            region.pairs = bounds.tobytes(), pairs
        weight = self._weights(region, t)
        if region.galaxies is None:
            rows = torch.arange(len(region), device=self.device)
            seed = realisation_seed(self.seed, chosen[0])
            region.galaxies = weighted_galaxies(
                region.sets[0], rows, weight.detach(), seed, self.boxsize
            )
        axis = region.galaxies.axes(mu[0], mu[1], gamma=self.gamma)
        return region.pairs[1].correlations(weight, axis)

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
        chosen = self._regions.chosen(realisation)
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
            weight2 = (weight * weight).sum()[None]
        else:
            weight2 = torch.zeros(len(chosen), dtype=self.dtype, device=self.device)
            weight2 = weight2.index_add(0, region.field, weight * weight)
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
