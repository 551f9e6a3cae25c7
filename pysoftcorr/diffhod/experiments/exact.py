"""P(k) of the exact halo occupation: mock data, their covariance, and the model for emcee."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from pysoftcorr.core.options import MOST_REALIZATIONS, count
from pysoftcorr.core.random import Seed, root_seed, stream, uniforms
from pysoftcorr.diffhod.power import CUBES, ModeBins, k_bin_edges, paint_cic
from pysoftcorr.mocks.checks import cube_side
from pysoftcorr.mocks.design import PARAMETERS
from pysoftcorr.mocks.halos import HaloCatalog
from pysoftcorr.mocks.hod import HODModel, check_halos
from pysoftcorr.mocks.satellites import (
    DrawnGalaxies,
    draw_galaxies,
    place_galaxies,
    poisson_quantile,
    refuse_number,
)

__all__ = ["COVARIANCE_FLOOR", "HOD_NAMES", "ExactPower", "StratifiedDraws", "mock_covariance"]

FloatArray = npt.NDArray[np.float64]

#: On the diagonal of the normalized covariance (Horowitz et al. 2022): 0.9 % of P(k).
COVARIANCE_FLOOR = 8e-5
HOD_NAMES = PARAMETERS[2:]


class StratifiedDraws:
    """Catalogs of `HODModel`, each a fair draw, together nearer to the mean than independent.

    A halo has a central galaxy where a uniform number u is below <Ncen>, and its number of
    satellites is the Poisson quantile of another. Catalog r of n takes u + r/n, modulo 1: one
    in each n-th of the unit interval, so that of n catalogs n <Ncen>, but for less than one,
    have a central. Within a catalog halos are independent. Places of satellites are
    independent, too.

    Parameters
    ----------
    halos : HaloCatalog
    number : int
        Catalogs.
    seed : int

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr.diffhod.experiments.exact import StratifiedDraws
    >>> from pysoftcorr.mocks import HaloCatalog
    >>> halos = HaloCatalog.simulate(50.0, 16, mmin=3e12, seed=1)
    >>> draws = StratifiedDraws(halos, 4, seed=2)
    >>> half, none = np.full(len(halos), 0.5), np.zeros(len(halos))
    >>> found = np.concatenate([draws.draw(r, half, none).centrals for r in range(4)])
    >>> bool((np.bincount(found) == 2).all())
    True
    """

    def __init__(self, halos: Any, number: int, seed: int) -> None:
        self.halos, self.number = halos, number
        row = np.arange(len(halos))
        shift = np.arange(number)[:, None] / number
        self._central = (uniforms(seed, "strata of centrals", row) + shift) % 1.0
        self._satellites = (uniforms(seed, "strata of satellites", row) + shift) % 1.0
        with np.errstate(divide="ignore"):
            self._least = -np.log(self._satellites)  # a mean below this makes no satellite
        self._seeds = stream(seed, "strata").integers(2**62, size=number).tolist()

    def draw(self, r: int, mean_ncen: FloatArray, mean_nsat: FloatArray) -> DrawnGalaxies:
        """Catalog r at these mean numbers of the halos.

        Raises
        ------
        ValueError
            If more satellites than fit in memory would be made.
        """
        refuse_number(float(mean_nsat.sum()))
        centrals = np.flatnonzero(self._central[r] < mean_ncen)
        some = np.flatnonzero(mean_nsat > self._least[r])
        n_sat = poisson_quantile(self._satellites[r, some], mean_nsat[some])
        return place_galaxies(self.halos, centrals, some, n_sat, self._seeds[r])


class ExactPower:
    """P(k) of galaxies of `HODModel.populate`, painted and transformed as those of `DiffHOD`.

    Parameters
    ----------
    halos : HaloCatalog
    mesh : int
        Cells a side.
    k_max : float
        h/Mpc; bins of the width of the fundamental mode end there.
    realizations : int
        Catalogs whose P(k) is averaged in a call: `StratifiedDraws`.
    spare : int
        Further groups of as many, which `each` gives too.
    seed : int or numpy.random.Generator, optional
        Seed of the random numbers that every call shares: a call is a fixed function of the
        parameters, with a step wherever one galaxy comes or goes.
    modulate : bool
        Whether <Nsat> is multiplied by <Ncen>.

    Attributes
    ----------
    k : ndarray, shape (nk,)
        Mean wavenumber of the modes of each bin, h/Mpc.

    Raises
    ------
    ValueError, TypeError
        If an option is out of range or of the wrong kind.

    Examples
    --------
    >>> from pysoftcorr.diffhod.experiments.exact import ExactPower
    >>> from pysoftcorr.mocks import HaloCatalog
    >>> halos = HaloCatalog.simulate(50.0, 16, mmin=3e12, seed=1)
    >>> exact = ExactPower(halos, mesh=16, k_max=0.6, seed=2)
    >>> params = [12.5, 0.26, 11.4, 13.3, 1.06]
    >>> bool((exact(params) == exact(params)).all()), exact.k.shape
    (True, (4,))
    """

    def __init__(
        self,
        halos: HaloCatalog,
        *,
        mesh: int = 64,
        k_max: float = 1.0,
        realizations: int = 1,
        spare: int = 0,
        seed: Seed = None,
        modulate: bool = False,
    ) -> None:
        check_halos(halos)
        self.halos, self.mesh, self.modulate = halos, mesh, modulate
        self.realizations = count("realizations", realizations, most=MOST_REALIZATIONS)
        side = cube_side(halos.boxsize, CUBES)
        self.bins = ModeBins(k_bin_edges(side, mesh, k_max=k_max), boxsize=side, mesh=mesh)
        self.k: FloatArray = self.bins.k.numpy()
        seeds = stream(root_seed(seed), "exact realisations").integers(2**62, size=1 + spare)
        self._groups = [StratifiedDraws(halos, self.realizations, int(s)) for s in seeds]

    def _model(self, params: npt.ArrayLike) -> tuple[HODModel, tuple[FloatArray, FloatArray]]:
        """HODModel with mean numbers of centrals and satellites per halo."""
        values = np.asarray(params, dtype=np.float64)
        if values.shape != (len(HOD_NAMES),):
            raise ValueError(f"params must be {', '.join(HOD_NAMES)}, not of shape {values.shape}")
        model = HODModel(
            **dict(zip(HOD_NAMES, values.tolist(), strict=True)), modulate=self.modulate
        )
        mass = self.halos.mass
        return model, (model.mean_ncen(mass), model.mean_nsat(mass))

    def _power(self, model: HODModel, drawn: DrawnGalaxies) -> FloatArray:
        model._refuse_none(drawn, self.halos.mass)
        place = torch.from_numpy(drawn.position)
        painted = paint_cic(place, boxsize=self.bins.boxsize, mesh=self.mesh)
        weight2 = torch.tensor([float(len(place))], dtype=torch.float64)
        found: FloatArray = self.bins.power(painted[None], weight2)[0][0].numpy()
        return found

    def spectra(self, params: npt.ArrayLike, seeds: npt.ArrayLike) -> FloatArray:
        """P(k) of one independent catalog for each seed, shape (len(seeds), nk).

        Raises
        ------
        ValueError
            If the parameters make no galaxies, or too many.
        """
        model, means = self._model(params)
        # As `populate` does, without its axes, and its look at the halos each time.
        return np.array(
            [
                self._power(model, draw_galaxies(self.halos, *means, seed))
                for seed in np.asarray(seeds).tolist()
            ]
        )

    def group(self, params: npt.ArrayLike, draws: StratifiedDraws) -> FloatArray:
        """P(k) averaged over the catalogs of a group; (nk,)."""
        model, means = self._model(params)
        found = [self._power(model, draws.draw(r, *means)) for r in range(draws.number)]
        return np.asarray(np.mean(found, axis=0))

    def drawn(self, params: npt.ArrayLike, seed: int) -> FloatArray:
        """P(k) averaged over a group of random numbers of its own; (nk,)."""
        return self.group(params, StratifiedDraws(self.halos, self.realizations, seed))

    def each(self, params: npt.ArrayLike) -> FloatArray:
        """P(k) of the shared group and of the spare ones, shape (1 + spare, nk)."""
        return np.array([self.group(params, g) for g in self._groups])

    def __call__(self, params: npt.ArrayLike) -> FloatArray:
        """P(k) with the shared random numbers, averaged over the realizations; (nk,)."""
        return self.group(params, self._groups[0])

    def mock(self, params: npt.ArrayLike, *, seed: Seed = None) -> FloatArray:
        """P(k) of one catalog of its own random numbers: data; (nk,)."""
        own = stream(root_seed(seed), "mock data").integers(2**62, size=1)
        return np.asarray(self.spectra(params, own)[0])


def mock_covariance(
    spectra: npt.ArrayLike, *, floor: float = COVARIANCE_FLOOR
) -> tuple[FloatArray, FloatArray]:
    """Mean and covariance of realizations, with a floor.

    The covariance is normalized by the mean, C_ij/(P_i P_j), `floor` is added to its diagonal,
    and the normalization undone: 8e-5 stands for an error of 0.9 % in each bin, about that of the
    relaxed occupation.

    Parameters
    ----------
    spectra : array_like, shape (n, nk)
    floor : float

    Returns
    -------
    mean : ndarray, shape (nk,)
    covariance : ndarray, shape (nk, nk)

    Raises
    ------
    ValueError
        If there are not at least two more realizations than bins, so that the covariance could
        be inverted, or the floor is negative.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr.diffhod.experiments.exact import mock_covariance
    >>> same = np.full((5, 2), 10.0)
    >>> mock_covariance(same, floor=0.01)[1].tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    values = np.asarray(spectra, dtype=np.float64)
    if values.ndim != 2 or len(values) < values.shape[1] + 2:
        raise ValueError(
            f"spectra of shape {values.shape}: a covariance of n bins takes at least n + 2 "
            "realizations"
        )
    if not floor >= 0:
        raise ValueError(f"floor = {floor}: must not be negative")
    mean = values.mean(axis=0)
    covariance = np.cov(values.T).reshape(mean.size, mean.size)
    return mean, covariance + floor * np.diag(mean**2)
