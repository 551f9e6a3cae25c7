"""The relaxed HOD against the exact one: P(k) and its derivatives over realizations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from pysoftcorr.core.options import MOST_REALIZATIONS, count, numbers
from pysoftcorr.core.random import Seed, root_seed
from pysoftcorr.diffhod.model import DiffHOD
from pysoftcorr.diffhod.points import realization_seed
from pysoftcorr.diffhod.power import power_spectrum
from pysoftcorr.mocks.hod import HOD_PARAMETERS, HODModel

__all__ = ["STEPS", "PowerComparison", "compare_power"]

FloatArray = npt.NDArray[np.float64]

#: Widths of the finite differences of the exact HOD, in the order of HOD_PARAMETERS.
STEPS = (0.04, 0.03, 0.15, 0.04, 0.04)


@dataclass(frozen=True)
class PowerComparison:
    """P(k) of R realizations of the exact and of the relaxed HOD.

    Attributes
    ----------
    k : ndarray, shape (nk,)
    exact, relaxed : ndarray, shape (R, nk)
        (Mpc/h)^3, without shot noise.
    difference, gradient : ndarray, shape (R, 5, nk), or None
        Derivatives of P(k) by the parameters: finite differences of the exact HOD at common
        random numbers, and autograd.
    tau : float
    """

    k: FloatArray
    exact: FloatArray
    relaxed: FloatArray
    difference: FloatArray | None
    gradient: FloatArray | None
    tau: float

    def ratio(self) -> tuple[FloatArray, FloatArray]:
        """Ratio of the means, relaxed to exact, and its error, each of shape (nk,)."""
        a, b = self.relaxed, self.exact
        error = (a / a.mean(axis=0) - b / b.mean(axis=0)).std(axis=0, ddof=1) / np.sqrt(len(a))
        return a.mean(axis=0) / b.mean(axis=0), error

    def pulls(self) -> FloatArray:
        """Autograd less finite differences, over the error of the mean, shape (5, nk)."""
        if self.gradient is None or self.difference is None:
            raise ValueError("the comparison holds no derivatives: make it with derivatives=True")
        apart = self.gradient - self.difference
        error = apart.std(axis=0, ddof=1) / np.sqrt(len(apart))
        return np.asarray(apart.mean(axis=0) / error)


def compare_power(
    halos: Any,
    params: npt.ArrayLike,
    *,
    realizations: int = 50,
    derivatives: bool = True,
    tau: float = 0.1,
    mesh: int = 64,
    k_max: float | None = None,
    steps: npt.ArrayLike = STEPS,
    seed: Seed = None,
) -> PowerComparison:
    """P(k), and its derivatives, of the exact and the relaxed HOD in the same halos.

    Parameters
    ----------
    halos : HaloCatalog
    params : array_like, shape (5,)
    realizations : int
        At least 2.
    derivatives : bool
        Whether finite differences are taken: ten more catalogs a realization.
    tau, mesh, k_max
        As in `DiffHOD`.
    steps : array_like, shape (5,)
        Half the distance of the two ends of each difference.
    seed : int or numpy.random.Generator, optional

    Returns
    -------
    PowerComparison

    Raises
    ------
    ValueError
        If there are too few realizations, or an argument is out of range.

    Examples
    --------
    >>> from pysoftcorr.diffhod.compare import compare_power
    >>> from pysoftcorr.mocks import HaloCatalog
    >>> halos = HaloCatalog.simulate(40.0, 32, mmin=3e11, seed=1)
    >>> found = compare_power(halos, [12.0, 0.3, 11.4, 13.1, 1.0], realizations=4,
    ...                       derivatives=False, mesh=16, seed=1)
    >>> found.relaxed.shape == found.exact.shape
    True
    """
    count("realizations", realizations, least=2, most=MOST_REALIZATIONS)
    values, widths = (numbers(n, x) for n, x in (("params", params), ("steps", steps)))
    if values.shape != (5,) or widths.shape != (5,):
        raise ValueError(
            f"params and steps must have shape (5,), not {values.shape}, {widths.shape}"
        )
    root = root_seed(seed)

    def power(parameters: FloatArray, number: int) -> FloatArray:
        model = HODModel(**dict(zip(HOD_PARAMETERS, parameters.tolist(), strict=True)))
        place = model.populate(halos, seed=realization_seed(root, number)).position
        found = power_spectrum(place, boxsize=halos.boxsize, mesh=mesh, bins=edges)
        return np.asarray(found.power)

    exact, relaxed, difference, gradient = [], [], [], []
    for number in range(realizations):
        model = DiffHOD(halos, tau=tau, mesh=mesh, k_max=k_max, seed=realization_seed(root, number))
        edges = model.k_edges
        t = torch.tensor(values, requires_grad=True)
        found = model.power(t)[1]
        relaxed.append(found.detach().numpy())
        exact.append(power(values, number))
        if derivatives:
            rows = [torch.autograd.grad(p, t, retain_graph=True)[0].numpy() for p in found]
            gradient.append(np.transpose(rows))
            ends = [(values + d, values - d) for d in np.diag(widths)]
            difference.append(
                [
                    (power(up, number) - power(down, number)) / (2 * width)
                    for (up, down), width in zip(ends, widths, strict=True)
                ]
            )
    return PowerComparison(
        k=model.k.numpy(),
        exact=np.array(exact),
        relaxed=np.array(relaxed),
        difference=np.array(difference) if derivatives else None,
        gradient=np.array(gradient) if derivatives else None,
        tau=model.tau,
    )
