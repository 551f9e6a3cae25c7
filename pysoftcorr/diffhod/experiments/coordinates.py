"""Coordinates that the samplers walk in: unbounded, whitened, along the ridges of an HOD."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch

from pysoftcorr.diffhod.experiments.target import Priors

__all__ = ["Coordinates", "OccupationBend"]

FloatArray = npt.NDArray[np.float64]

_LN10 = math.log(10.0)
# Of mass, in `OccupationBend`.
_BINS = 100


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
    >>> from pysoftcorr.diffhod.experiments.coordinates import OccupationBend
    >>> bend = OccupationBend(1e11 * np.linspace(0.01, 1, 10_000) ** -1.1, 0.5, 15.0, 12.4)
    >>> theta = [12.0, 0.4, 11.3, 13.0, 1.1]
    >>> bend.bent(bend.straight(theta)).round(9).tolist()
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
        """The one for halos of `mass` (Msun/h) whose pairs do not covary near a peak: m and
        sigma_logM, (1 - f) (threshold - m) and f."""
        _, sigma, _, log_m1, alpha = center
        c = covariance
        curve = float(c[0, 1] / (2 * sigma * c[1, 1]))
        pivot = float(log_m1 + alpha * c[3, 4] / c[4, 4])
        rough = cls(mass, curve, pivot, 0.0)

        def pair(theta: torch.Tensor) -> torch.Tensor:
            m = theta[0] - curve * theta[1] ** 2
            return torch.stack([m, rough._satellites(theta)[0]])

        at = torch.as_tensor(center)
        slopes = torch.autograd.functional.jacobian(pair, at).numpy()
        both = slopes @ covariance @ slopes.T
        m, part = pair(at).tolist()
        return cls(mass, curve, pivot, m - (1 - part) * float(both[0, 1] / both[1, 1]))

    def _centrals(self, log_mmin: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        """log10 of their number."""
        width = torch.sqrt(sigma**2 + self._soft**2)[..., None]
        part = 0.5 * torch.special.erfc((log_mmin[..., None] - self._log_mass) / width)
        return torch.log10((part * self._number).sum(dim=-1))

    def _at_pivot(self, log_m0: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
        """log10 of the number of satellites if <Nsat> is 1 at the pivot."""
        power = alpha[..., None] * (self._log_mass - self.pivot) * _LN10
        cut = torch.exp(_LN10 * (log_m0[..., None] - self._log_mass))
        return torch.logsumexp(power - cut + torch.log(self._number + 1e-300), dim=-1) / _LN10

    def _satellites(self, theta: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """f, and log10 of c."""
        log_mmin, sigma, log_m0, log_m1, alpha = theta.unbind(-1)
        log_c = self._at_pivot(log_m0, alpha)
        log_ratio = alpha * (self.pivot - log_m1) + log_c - self._centrals(log_mmin, sigma)
        return torch.sigmoid(_LN10 * log_ratio), log_c

    def _straight(self, theta: torch.Tensor) -> torch.Tensor:
        log_mmin, sigma, log_m0, _, alpha = theta.unbind(-1)
        part, log_c = self._satellites(theta)
        first = (1 - part) * (self.threshold - log_mmin + self.curve * sigma**2)
        return torch.stack([first, sigma, log_m0, torch.log10(part) - log_c, alpha], dim=-1)

    def forward(self, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Parameters of z, shapes (..., 5), and ln |d(theta)/dz|, differentiable.

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
        theta = torch.stack([log_mmin, sigma, log_m0, self.pivot - s / alpha, alpha], dim=-1)
        if not bool((theta[..., 0].abs() < 20).all() and (theta[..., 3].abs() < 20).all()):
            raise ValueError("logMmin and logM1 would be no masses")
        return theta, -torch.log(alpha) - 2 * torch.log(rest)

    def straight(self, theta: npt.ArrayLike) -> FloatArray:
        """z of parameters, shapes (..., 5)."""
        return np.asarray(self._straight(torch.as_tensor(np.asarray(theta, dtype=np.float64))))

    def bent(self, z: npt.ArrayLike) -> FloatArray:
        """Parameters of z, shapes (..., 5); ValueError as `forward`."""
        return np.asarray(self.forward(torch.as_tensor(np.asarray(z, dtype=np.float64)))[0])

    def jacobian(self, theta: FloatArray) -> FloatArray:
        """dz/d(theta), shape (5, 5)."""
        found = torch.autograd.functional.jacobian(self._straight, torch.as_tensor(theta))
        return np.asarray(found)


class Coordinates:
    """Unbounded coordinates u, near to standard normal, of bounded parameters theta.

    theta = bend(f(c + L u)) with L the Cholesky factor of a covariance. f_j is the identity for a
    parameter without bounds,
    low + s ln(1 + exp((x - low)/s)) for one bounded below (the identity far above the bound), and
    low + (high - low)/(1 + exp(-x)) for one bounded on both sides.

    Parameters
    ----------
    priors : Priors
        Their bounds and widths; s is a quarter of the width.
    center : array_like, shape (d,)
        theta where u = 0.
    covariance : array_like, shape (d, d)
        Of theta about there.
    bend : OccupationBend, optional
        It leaves parameters with bounds alone.

    Raises
    ------
    ValueError
        If the center lies out of bounds, or the covariance is not positive definite.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr.diffhod.experiments.coordinates import Coordinates
    >>> from pysoftcorr.diffhod.experiments.target import PRIORS
    >>> there = Coordinates(PRIORS, PRIORS.mean, np.diag(np.square(PRIORS.sd)))
    >>> theta = there.theta([0.3, -3.0, 0.1, 0.0, 2.0])
    >>> bool(theta[1] > 0), there.u(theta).round(9).tolist()
    (True, [0.3, -3.0, 0.1, 0.0, 2.0])
    """

    def __init__(
        self,
        priors: Priors,
        center: npt.ArrayLike,
        covariance: npt.ArrayLike,
        *,
        bend: OccupationBend | None = None,
    ) -> None:
        self.priors, self.bend = priors, bend
        self._low, self._high = np.array(priors.low), np.array(priors.high)
        self._soft = 0.25 * np.array(priors.sd)
        self._both = np.isfinite(self._low) & np.isfinite(self._high)
        self._below = np.isfinite(self._low) & ~self._both
        if (np.isfinite(self._high) & ~self._both).any():
            raise ValueError("a prior bounded above alone is not known here")
        at = np.array(center, dtype=np.float64)
        if not ((at > self._low) & (at < self._high)).all():
            raise ValueError(f"center = {at.tolist()}: must lie within the bounds of the priors")
        spread = np.asarray(covariance, dtype=np.float64)
        if bend is not None:
            slopes = bend.jacobian(at)
            spread = slopes @ spread @ slopes.T
        self.center = self._unbounded(at)
        slope = np.exp(self._log_slope(self.center))
        try:
            self.lower = np.linalg.cholesky(spread / np.outer(slope, slope))
        except np.linalg.LinAlgError:
            raise ValueError("covariance of the coordinates: must be positive definite") from None

    def theta(self, u: npt.ArrayLike) -> FloatArray:
        """Parameters of coordinates, shapes (..., d)."""
        found = self.forward(torch.as_tensor(np.asarray(u, dtype=np.float64)))[0]
        return np.asarray(found)

    def u(self, theta: npt.ArrayLike) -> FloatArray:
        """Coordinates of parameters, shapes (..., d); within the bounds."""
        x = self._unbounded(theta) - self.center
        return np.asarray(np.linalg.solve(self.lower, x.T).T)

    def _unbounded(self, theta: npt.ArrayLike) -> FloatArray:
        """x of parameters, shapes (..., d)."""
        value = np.asarray(theta, dtype=np.float64)
        z = value if self.bend is None else self.bend.straight(value)
        x = z.copy()
        for j in np.flatnonzero(self._below):
            y = (z[..., j] - self._low[j]) / self._soft[j]
            # ln(e^y - 1), which is y where y is large
            x[..., j] = self._low[j] + self._soft[j] * (y + np.log(-np.expm1(-y)))
        for j in np.flatnonzero(self._both):
            part = (z[..., j] - self._low[j]) / (self._high[j] - self._low[j])
            x[..., j] = np.log(part) - np.log1p(-part)
        return x

    def _log_slope(self, x: FloatArray) -> FloatArray:
        """ln of df/dx, elementwise."""
        out = np.zeros_like(x)
        for j in np.flatnonzero(self._below):
            out[..., j] = -np.logaddexp(0, -(x[..., j] - self._low[j]) / self._soft[j])
        for j in np.flatnonzero(self._both):
            t = x[..., j]
            out[..., j] = np.log(self._high[j] - self._low[j]) - np.abs(t)
            out[..., j] -= 2 * np.log1p(np.exp(-np.abs(t)))
        return out

    def forward(self, u: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Parameters of u, shapes (..., d), and ln |d theta/d u| but for a constant, (...);
        differentiable.

        Raises
        ------
        ValueError
            If the bend leads nowhere.
        """
        x = torch.as_tensor(self.center, dtype=u.dtype)
        x = x + u @ torch.as_tensor(self.lower, dtype=u.dtype).T
        parts, log_slope = [], u.new_zeros(u.shape[:-1])
        softplus = torch.nn.functional.softplus
        for j in range(len(self.priors)):
            xj = x[..., j]
            if self._below[j]:
                low, s = float(self._low[j]), float(self._soft[j])
                y = (xj - low) / s
                parts.append(low + s * softplus(y, threshold=40.0))
                log_slope = log_slope - softplus(-y, threshold=40.0)
            elif self._both[j]:
                low, high = float(self._low[j]), float(self._high[j])
                parts.append(low + (high - low) * torch.sigmoid(xj))
                log_slope = log_slope + math.log(high - low) - softplus(-xj) - softplus(xj)
            else:
                parts.append(xj)
        theta = torch.stack(parts, dim=-1)
        if self.bend is not None:
            theta, from_bend = self.bend.forward(theta)
            log_slope = log_slope + from_bend
        return theta, log_slope
