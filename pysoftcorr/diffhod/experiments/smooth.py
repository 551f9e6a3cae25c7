"""P(k) of `DiffHOD` as the model of a posterior: realizations averaged, repeatable."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from pysoftcorr.core.options import MOST_REALIZATIONS, count
from pysoftcorr.core.random import Seed, root_seed
from pysoftcorr.diffhod.model import DiffHOD
from pysoftcorr.mocks.halos import HaloCatalog

__all__ = ["SmoothPower"]

FloatArray = npt.NDArray[np.float64]


class SmoothPower:
    """Mean P(k) of some realizations of `DiffHOD`, a fixed function of the parameters.

    Parameters
    ----------
    halos : HaloCatalog
    realizations : int
        Sets of noise that are averaged over.
    spare : int
        Further sets, which `each` gives too.
    seed : int or numpy.random.Generator, optional
        Seed of the noise.
    bounds : tuple of array_like, optional
        Lowest and highest parameters for which points are found beforehand. Parameters out of
        bounds are taken with bounds widened to hold them, which takes a moment. A value then
        depends on nothing but its parameters; without bounds it does, in the tenth digit, on
        where the model was called before. Points of a reference are the same for all.
    tau, reference, density, modulate, mesh, k_max, device
        As of `DiffHOD`.

    Attributes
    ----------
    k : ndarray, shape (nk,)

    Examples
    --------
    >>> from pysoftcorr.diffhod.experiments.smooth import SmoothPower
    >>> from pysoftcorr.mocks import HaloCatalog
    >>> halos = HaloCatalog.simulate(50.0, 16, mmin=3e12, seed=1)
    >>> smooth = SmoothPower(halos, realizations=2, seed=1, mesh=16, k_max=0.6)
    >>> smooth([12.5, 0.26, 11.4, 13.3, 1.06]).shape
    (4,)
    """

    def __init__(
        self,
        halos: HaloCatalog,
        *,
        realizations: int = 1,
        spare: int = 0,
        seed: Seed = None,
        bounds: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
        tau: float = 0.1,
        reference: npt.ArrayLike | None = None,
        density: float = 16.0,
        modulate: bool = False,
        mesh: int = 64,
        k_max: float | None = None,
        device: Any = "cpu",
    ) -> None:
        self._options: dict[str, Any] = {
            "tau": tau, "reference": reference, "density": density, "modulate": modulate,
            "mesh": mesh, "k_max": k_max, "device": device,
        }  # fmt: skip
        self.halos = halos
        self.number = count("realizations", realizations, most=MOST_REALIZATIONS)
        root = root_seed(seed)
        self.model = DiffHOD(halos, realizations=self.number + spare, seed=root, **self._options)
        self.k: FloatArray = self.model.k.cpu().numpy().astype(np.float64)
        self._bounds: tuple[FloatArray, FloatArray] | None = None
        self._known: dict[int, bytes] = {}  # by number of sets: bounds of the points there are
        if bounds is not None:
            low, high = (np.array(b, dtype=np.float64) for b in bounds)
            self._bounds = (low, high)

    def each(self, params: Any) -> torch.Tensor:
        """P(k) of each set of noise, shape (realizations + spare, nk), differentiable."""
        return self._first(params, self.model.realizations)

    def _first(self, params: Any, number: int) -> torch.Tensor:
        chosen = range(number)
        tensor = torch.as_tensor(params, dtype=torch.float64)
        if self._bounds is not None:
            at = tensor.detach().cpu().numpy()
            low, high = np.minimum(self._bounds[0], at), np.maximum(self._bounds[1], at)
            wanted = low.tobytes() + high.tobytes()
            if wanted != self._known.get(number):
                self.model.prepare(low, high, realization=chosen)
                self._known[number] = wanted
        return self.model.power(tensor, realization=chosen)[1]

    def __call__(self, params: Any) -> Any:
        """The mean; a differentiable tensor for a tensor, else an array."""
        if isinstance(params, torch.Tensor):
            return self._first(params, self.number).mean(dim=0)
        with torch.no_grad():
            return self._first(params, self.number).mean(dim=0).cpu().numpy().astype(np.float64)

    def spectra(self, params: npt.ArrayLike, seeds: npt.ArrayLike) -> FloatArray:
        """P(k) with noise of its own for each seed, shape (len(seeds), nk)."""
        out = []
        for seed in np.asarray(seeds).tolist():
            own = DiffHOD(self.halos, seed=int(seed), **self._options)
            own.prepare(params, params)
            with torch.no_grad():
                out.append(own.power(params)[1].cpu().numpy().astype(np.float64))
        return np.array(out)
