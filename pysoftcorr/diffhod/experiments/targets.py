"""What P(k) models need to be targets of samplers: priors, coordinates, corrections.

A model whose random numbers are fixed is a smooth, repeatable function of the parameters, but it
carries the noise of those numbers: a posterior made with it is shifted as if the data had a
noise of that size more. `calibrate` measures the shift, and `Calibration` takes it out. At points
about the posterior the model with its fixed numbers is compared with draws of numbers of their own
at each point, and the difference, linear or quadratic in the parameters, is added to the model.
What is left, the part of the noise that is of shorter range, is measured too, as a fraction of the
covariance.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from pysoftcorr.diffhod.model import ClippedTrials
from pysoftcorr.inference.priors import Normal, Priors, TruncatedNormal
from pysoftcorr.mocks.hod import HODModel

__all__ = ["PRIORS", "Calibration", "Corrected", "Crowd", "OccupationBend", "calibrate"]

FloatArray = npt.NDArray[np.float64]

#: Priors of Horowitz et al. (2022), cut off where sigma_logM is a step between one halo and the
#: next, and where the number of satellites hardly grows with mass.
PRIORS = Priors(
    {
        "logMmin": Normal(12.0, 0.5),
        "sigma_logM": TruncatedNormal(0.25, 0.2, low=0.01),
        "logM0": Normal(11.25, 0.5),
        "logM1": Normal(13.2, 0.5),
        "alpha": TruncatedNormal(1.0, 0.2, low=0.05),
    }
)

_LN10 = math.log(10.0)
#: Bins of mass in `OccupationBend`.
_BINS = 100
#: Galaxies expected, for each at the fiducial parameters or at the mean of the priors, whichever
#: has more, at which the priors end.
_CROWD = 20.0


class OccupationBend:
    """Parameters of an HOD in which its degeneracies are straight.

    Clustering knows the number of satellites in the largest halos relative to all galaxies, and
    the mean bias, better than it knows any parameter: the ridges of a posterior are surfaces of
    these, and bend. With f the part of galaxies that are satellites, c their number were <Nsat> 1
    at 10^pivot Msun/h, and m = logMmin - curve sigma_logM^2, on which the number of centrals of a
    falling mass function depends, one walks in (1 - f) (threshold - m) instead of logMmin and in
    q = log10(f/c) instead of logM1; c, f and the slope of the way back have closed forms. Numbers
    are of halos in bins of mass, with soft steps, so that all is smooth.

    Attributes
    ----------
    curve, pivot, threshold : float

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr.diffhod.experiments.targets import OccupationBend
    >>> bend = OccupationBend(1e11 * np.linspace(0.01, 1, 10_000) ** -1.1, 0.5, 15.0, 12.4)
    >>> params = [12.0, 0.4, 11.3, 13.0, 1.1]
    >>> bend.bent(bend.straight(params)).round(9).tolist()
    [12.0, 0.4, 11.3, 13.0, 1.1]
    """

    def __init__(self, mass: FloatArray, curve: float, pivot: float, threshold: float) -> None:
        self.curve, self.pivot, self.threshold = curve, pivot, threshold
        number, edges = np.histogram(np.log10(mass), _BINS)
        self._log_mass = torch.as_tensor((edges[1:] + edges[:-1]) / 2)
        self._number = torch.as_tensor(number.astype(np.float64))
        self._soft = 2 * float(edges[1] - edges[0])

    @classmethod
    def about(cls, mass: FloatArray, center: FloatArray, covariance: FloatArray) -> OccupationBend:
        """Bend for halos of `mass` (Msun/h) whose pairs do not covary near a peak: m and
        sigma_logM, (1 - f) (threshold - m) and f."""
        _, sigma, _, log_m1, alpha = center
        c = covariance
        curve = float(c[0, 1] / (2 * sigma * c[1, 1]))
        pivot = float(log_m1 + alpha * c[3, 4] / c[4, 4])
        rough = cls(mass, curve, pivot, 0.0)

        def pair(params: torch.Tensor) -> torch.Tensor:
            m = params[0] - curve * params[1] ** 2
            return torch.stack([m, rough._satellites(params)[0]])

        at = torch.as_tensor(center)
        slopes = torch.autograd.functional.jacobian(pair, at).numpy()
        both = slopes @ covariance @ slopes.T
        m, part = pair(at).tolist()
        return cls(mass, curve, pivot, m - (1 - part) * float(both[0, 1] / both[1, 1]))

    def _centrals(self, log_mmin: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        """log10 of the number of centrals."""
        width = torch.sqrt(sigma**2 + self._soft**2)[..., None]
        part = 0.5 * torch.special.erfc((log_mmin[..., None] - self._log_mass) / width)
        return torch.log10((part * self._number).sum(dim=-1))

    def _at_pivot(self, log_m0: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
        """log10 of the number of satellites if <Nsat> is 1 at the pivot."""
        power = alpha[..., None] * (self._log_mass - self.pivot) * _LN10
        cut = torch.exp(_LN10 * (log_m0[..., None] - self._log_mass))
        return torch.logsumexp(power - cut + torch.log(self._number + 1e-300), dim=-1) / _LN10

    def _satellites(self, params: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """f, and log10 of c."""
        log_mmin, sigma, log_m0, log_m1, alpha = params.unbind(-1)
        log_c = self._at_pivot(log_m0, alpha)
        log_ratio = alpha * (self.pivot - log_m1) + log_c - self._centrals(log_mmin, sigma)
        return torch.sigmoid(_LN10 * log_ratio), log_c

    def _straight(self, params: torch.Tensor) -> torch.Tensor:
        log_mmin, sigma, log_m0, _, alpha = params.unbind(-1)
        part, log_c = self._satellites(params)
        first = (1 - part) * (self.threshold - log_mmin + self.curve * sigma**2)
        return torch.stack([first, sigma, log_m0, torch.log10(part) - log_c, alpha], dim=-1)

    def forward(self, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Parameters of z, shapes (..., 5), and ln |d(params)/dz|, differentiable.

        Raises
        ------
        ValueError
            If all galaxies, or more, would be satellites, or a mass out of all proportion: no
            parameters are so.
        """
        first, sigma, log_m0, q, alpha = z.unbind(-1)
        log_c = self._at_pivot(log_m0, alpha)
        rest = -torch.expm1(_LN10 * (q + log_c))
        if not bool((rest > 1e-9).all()):
            raise ValueError("satellites would be more than all galaxies")
        log_mmin = self.threshold - first / rest + self.curve * sigma**2
        s = q + self._centrals(log_mmin, sigma) - torch.log10(rest)
        params = torch.stack([log_mmin, sigma, log_m0, self.pivot - s / alpha, alpha], dim=-1)
        if not bool((params[..., 0].abs() < 20).all() and (params[..., 3].abs() < 20).all()):
            raise ValueError("logMmin and logM1 would be no masses")
        return params, -torch.log(alpha) - 2 * torch.log(rest)

    def straight(self, params: npt.ArrayLike) -> FloatArray:
        """z of parameters, shapes (..., 5)."""
        return np.asarray(self._straight(torch.as_tensor(np.asarray(params, dtype=np.float64))))

    def bent(self, z: npt.ArrayLike) -> FloatArray:
        """Parameters of z, shapes (..., 5); ValueError as `forward`."""
        return np.asarray(self.forward(torch.as_tensor(np.asarray(z, dtype=np.float64)))[0])

    def jacobian(self, params: FloatArray) -> FloatArray:
        """dz/d(params), shape (5, 5)."""
        found = torch.autograd.functional.jacobian(self._straight, torch.as_tensor(params))
        return np.asarray(found)


@dataclass(frozen=True, eq=False)
class Calibration:
    """A correction quadratic in the parameters, or linear.

    Attributes
    ----------
    center, scale : ndarray, shape (d,)
    coefficients : ndarray, shape (1 + d + d (d + 1)/2, n) or (1 + d, n)
        Factors of 1, t = (params - center)/scale, and t_i t_j (i <= j).
    scatter : float
        Variance that the fixed random numbers leave in the corrected model, averaged over the
        points, as a fraction of that of the data: (1/n) trace of C^-1 V. None if it could not
        be measured: there is one set of numbers.
    offset : float
        Root mean square of the correction at the points, in sigma of the data, a bin: how far
        the model was off.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr.diffhod.experiments.targets import Calibration
    >>> line = Calibration(np.array([1.0]), np.array([2.0]), np.array([[10.0], [4.0]]), None, 0.0)
    >>> line([4.0], np.array([100.0])).tolist()
    [116.0]
    """

    center: FloatArray
    scale: FloatArray
    coefficients: FloatArray
    scatter: float | None
    offset: float

    def __call__(self, params: Any, model: Any) -> Any:
        """Correct what the model gave at these parameters; a tensor of tensors."""
        quadratic = len(self.coefficients) > 1 + len(self.center)
        if isinstance(model, torch.Tensor):
            center, scale, coefficients = (
                torch.as_tensor(v).to(model) for v in (self.center, self.scale, self.coefficients)
            )
            t = (params.to(model) - center) / scale
            first, second = np.triu_indices(len(t))
            parts = [torch.ones_like(t[:1]), t, *([t[first] * t[second]] if quadratic else [])]
            return model + torch.cat(parts) @ coefficients
        t = (np.asarray(params) - self.center) / self.scale
        return model + _features(t[None], quadratic)[0] @ self.coefficients


def _features(t: FloatArray, quadratic: bool) -> FloatArray:
    """1, t and, if so wished, t_i t_j of rows t, shape (p, d)."""
    first, second = np.triu_indices(t.shape[1])
    parts = [np.ones((len(t), 1)), t]
    if quadratic:
        parts.append(t[:, first] * t[:, second])
    return np.concatenate(parts, axis=1)


def calibrate(
    points: npt.ArrayLike,
    fixed: npt.ArrayLike,
    drawn: npt.ArrayLike,
    covariance: npt.ArrayLike,
    *,
    used: int | None = None,
    quadratic: bool = False,
) -> Calibration:
    """Fit the correction of a model of fixed random numbers.

    Parameters
    ----------
    points : array_like, shape (p, d)
        Parameters, spread as the posterior.
    fixed : array_like, shape (p, r, n)
        The model there with each of its r fixed sets of random numbers.
    drawn : array_like, shape (p, k, n)
        k draws at each point, with random numbers that no other point shares.
    covariance : array_like, shape (n, n)
        Covariance of the data, to measure by.
    used : int, optional
        How many of the sets, the first, the model averages over; the others serve to measure the
        scatter. All by default.
    quadratic : bool
        Whether the correction is so, not linear: for much noise, and many points; beyond the
        points it goes astray sooner.

    Raises
    ------
    ValueError
        If shapes do not fit together or there are too few points: two for each coefficient.
    """
    at, x, y = (np.asarray(v, dtype=np.float64) for v in (points, fixed, drawn))
    if (
        at.ndim != 2
        or x.ndim != 3
        or y.ndim != 3
        or not len(at) == len(x) == len(y)
        or x.shape[2] != y.shape[2]
    ):
        raise ValueError(
            f"points {at.shape}, fixed {x.shape} and drawn {y.shape}: must be (p, d), (p, r, n) "
            "and (p, k, n)"
        )
    number, d = at.shape
    least = (1 + d) * (2 + d) if quadratic else 2 * (1 + d)
    if number < least:
        raise ValueError(f"{number} points: {d} parameters take at least {least}")
    center, scale = at.mean(axis=0), at.std(axis=0)
    basis = _features((at - center) / scale, quadratic)
    realizations, bins = x.shape[1:]
    used = realizations if used is None else used
    mean = x[:, :used].mean(axis=1)
    coefficients = np.linalg.lstsq(basis, y.mean(axis=1) - mean, rcond=None)[0]
    precision = np.linalg.inv(np.asarray(covariance, dtype=np.float64))

    def size(values: FloatArray) -> float:
        return float(np.einsum("...i,ij,...j->...", values, precision, values).mean())

    scatter = None
    if realizations > 1:
        # How far one set of numbers strays from the others, but for what can be corrected.
        strays = x - x.mean(axis=1)[:, None, :]
        left = strays.reshape(number, -1)
        left = left - basis @ np.linalg.lstsq(basis, left, rcond=None)[0]
        single = size(left.reshape(x.shape)) * realizations / (realizations - 1)
        single *= number / (number - basis.shape[1])
        scatter = single / bins / used
    return Calibration(
        center, scale, coefficients, scatter, float(np.sqrt(size(basis @ coefficients) / bins))
    )


class Crowd:
    """End of the priors: at so many galaxies that the exact HOD takes minutes for them.

    Parameters
    ----------
    mass : ndarray, shape (H,)
        Masses of the halos, Msun/h.
    fiducial : sequence of float
        Parameters of the mock data.
    modulate : bool
        Whether <Nsat> is multiplied by <Ncen>.
    """

    def __init__(
        self, mass: npt.NDArray[np.float64], fiducial: Sequence[float], modulate: bool
    ) -> None:
        number, edges = np.histogram(np.log10(mass), 200)
        self._mass, self._number = 10 ** ((edges[1:] + edges[:-1]) / 2), number
        self._modulate = modulate
        self._most = _CROWD * max(self._galaxies(fiducial), self._galaxies(PRIORS.mean))

    def _galaxies(self, params: Any) -> float:
        values: dict[str, Any] = dict(zip(PRIORS.names, map(float, params), strict=True))
        model = HODModel(**values, modulate=self._modulate)
        mean = model.mean_ncen(self._mass) + model.mean_nsat(self._mass)
        return float((self._number * mean).sum())

    def refuse(self, params: Any) -> None:
        """ValueError if there are too many galaxies."""
        if isinstance(params, torch.Tensor):
            params = params.detach().tolist()
        found = self._galaxies(params)
        if not found <= self._most:
            raise ValueError(f"{found:.3g} galaxies are expected, the most is {self._most:.3g}")


class Corrected:
    """Model with its calibration, which refuses crowds."""

    def __init__(self, model: Any, calibration: Calibration | None, crowd: Crowd) -> None:
        self.model, self.calibration, self.crowd = model, calibration, crowd

    def __call__(self, params: Any) -> Any:
        self.crowd.refuse(params)
        # Trajectories pass where no posterior is; halos clipped at the peak are in the report.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ClippedTrials)
            found = self.model(params)
        return found if self.calibration is None else self.calibration(params, found)
