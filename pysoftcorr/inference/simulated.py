"""The expected correlations of simulated galaxies in the place of an emulator's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr.core.random import Seed, root_seed
from pysoftcorr.core.torch import need
from pysoftcorr.inference.observation import STATISTICS

__all__ = ["SimulatedModel"]

FloatArray = npt.NDArray[np.float64]
_STRENGTHS = ("mu_cen", "mu_sat")


class SimulatedModel:
    """xi, omega and eta of one HOD at any alignment strengths, without an emulator.

    The mean over all draws of the axes is exact at fixed positions; positions are averaged over
    the catalogs that are given. A check on an emulator: it goes where an `Emulator` does.

    Parameters
    ----------
    sums : sequence of AlignmentSums
        Of realizations of one HOD, in the same bins: ``alignment_sums(galaxies, bins=edges)``.
    hod : HODModel or mapping of str to float
        What they were populated by.
    noise : Emulator or mapping of str to array_like, shape (nbins,)
        Where the standard deviations come from: an emulator's aleatoric ones, so that two
        posteriors differ by their means alone; or numbers.

    Attributes
    ----------
    names : tuple of str
        mu_cen, mu_sat and the parameters of the HOD.
    edges : ndarray, shape (nbins + 1,)
    bounds : dict of str to (float, float)
        [-1, 1] of the strengths; of the HOD its values.
    noise : Emulator or mapping
    realizations : int
    responses : ndarray, shape (realizations, 5, nbins)
        A, B, C, D, E of omega = a_c A + a_s B and eta = a_c^2 C + a_c a_s D + a_s^2 E, where a is
        `pysoftcorr.mocks.alignment.order_parameter` of the strength.
    xi : ndarray, shape (realizations, nbins)

    Raises
    ------
    ValueError
        If there are no sums, their bins differ, or a bin is empty.
    TypeError
        If `sums` are none, or `noise` is of the wrong kind.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr.inference import SimulatedModel
    >>> from pysoftcorr.mocks import GalaxyCatalog, HODModel, alignment_sums
    >>> galaxies = GalaxyCatalog([[1, 1, 1], [1, 1, 3]], [[0, 0, 1], [0, 0, 1]], boxsize=30)
    >>> model = SimulatedModel([alignment_sums(galaxies, bins=[1, 3])],
    ...                        HODModel.preset("mstar10.0"), noise={"omega": [0.1]})
    >>> model.responses[0].round(4).ravel().tolist()
    [0.6667, 0.0, 0.6667, 0.0, 0.0]
    """

    def __init__(self, sums: Sequence[Any], hod: Any, *, noise: Any) -> None:
        torch = need("torch", "a posterior")
        if isinstance(sums, (str, bytes)) or not hasattr(sums, "__len__") or not len(sums):
            raise ValueError("sums must be at least one result of alignment_sums, in a list")
        for k, one in enumerate(sums):
            if not hasattr(one, "eta_cen_sat"):
                raise TypeError(f"sums[{k}] is no AlignmentSums, but {type(one).__name__}")
            if not np.array_equal(one.edges, sums[0].edges):
                raise ValueError(f"sums[{k}] has other bins than sums[0]")
            empty = np.flatnonzero(one.weight.sum(axis=0) == 0)
            if empty.size:
                raise ValueError(
                    f"sums[{k}] has no pairs in bins {empty[:5].tolist()}: take a larger box, or "
                    "wider bins"
                )
        values = hod if isinstance(hod, Mapping) else hod.to_dict()
        hod_names = ("logMmin", "sigma_logM", "logM0", "logM1", "alpha")
        self.hod = {name: float(values[name]) for name in hod_names}
        self.names: tuple[str, ...] = (*_STRENGTHS, *hod_names)
        self.edges: FloatArray = np.asarray(sums[0].edges)
        self.bounds: dict[str, tuple[float, float]] = {
            **{name: (-1.0, 1.0) for name in _STRENGTHS},
            **{name: (value, value) for name, value in self.hod.items()},
        }
        self.realizations = len(sums)
        self.responses: FloatArray = np.array([_responses(one) for one in sums])
        self.xi: FloatArray = np.array([2 * s.weight.sum(axis=0) / s.rr - 1 for s in sums])

        from pysoftcorr.inference.response import AlignmentResponse

        double = {"dtype": torch.float64}
        self._closed = AlignmentResponse(
            torch.tensor(self.xi.mean(axis=0), **double),
            torch.tensor(self.responses.mean(axis=0), **double),
            (0, 1),
        )
        self.noise = noise
        self._std: dict[str, Any] = {}
        if isinstance(noise, Mapping):
            bins = self.edges.size - 1
            for name, std in noise.items():
                array = np.asarray(std, dtype=np.float64)
                if name not in STATISTICS:
                    raise ValueError(f"noise: {name!r} is none of {', '.join(STATISTICS)}")
                if array.shape != (bins,) or not (array > 0).all():
                    raise ValueError(f"noise of {name}: must be {bins} numbers above 0")
                self._std[name] = torch.tensor(array, **double)
        elif not hasattr(noise, "mean_and_std"):
            raise TypeError(f"noise must be an Emulator or a mapping, not {type(noise).__name__}")
        elif not np.allclose(np.asarray(noise.edges), self.edges, rtol=1e-6, atol=0):
            raise ValueError("noise: the emulator has other bins than the sums; use its edges")

    @classmethod
    def simulate(
        cls,
        halos: Any,
        hod: Any,
        *,
        noise: Any,
        realizations: int = 10,
        seed: Seed = None,
        edges: npt.ArrayLike | None = None,
    ) -> SimulatedModel:
        """Populate halos several times, and take the sums of each.

        Parameters
        ----------
        halos : HaloCatalog
        hod : HODModel
        noise
            As of `SimulatedModel`.
        realizations : int
        seed : int or numpy.random.Generator, optional
        edges : array_like, optional
            Of the bins; by default those of `noise` if that is an emulator.

        Raises
        ------
        ValueError, TypeError
            As `SimulatedModel`, `HODModel.populate` and `alignment_sums`.
        """
        from pysoftcorr.mocks import alignment_sums

        if isinstance(realizations, bool) or not isinstance(realizations, (int, np.integer)):
            raise TypeError(f"realizations = {realizations!r}: must be a whole number")
        if realizations < 1:
            raise ValueError(f"realizations = {realizations}: must be at least 1")
        if edges is None and hasattr(noise, "edges"):
            edges = noise.edges
        root = root_seed(seed)
        seeds = np.random.SeedSequence(root).generate_state(realizations, np.uint32).tolist()
        sums = [alignment_sums(hod.populate(halos, seed=s), bins=edges) for s in seeds]
        return cls(sums, hod, noise=noise)

    def double(self) -> SimulatedModel:
        """Itself, with the noise in float64."""
        if hasattr(self.noise, "double"):
            self.noise = self.noise.double() or self.noise
        return self

    def mean_and_std(self, params: Any) -> dict[str, tuple[Any, Any]]:
        """Mean and standard deviation of each statistic, torch, at parameters (..., 7).

        Those of the HOD are not looked at: `bounds` says which they are.
        """
        if self._std:
            std = {name: value.expand(*params.shape[:-1], -1) for name, value in self._std.items()}
        else:
            std = {name: pair[1] for name, pair in self.noise.mean_and_std(params).items()}
        return {name: (self._closed.mean(name, params), std[name]) for name in std}


def _responses(sums: Any) -> FloatArray:
    weight = 2 * sums.weight.sum(axis=0)
    parts = (sums.omega_cen, sums.omega_sat, sums.eta_cen_cen, sums.eta_cen_sat, sums.eta_sat_sat)
    return np.array([part.sum(axis=0) / weight for part in parts])
