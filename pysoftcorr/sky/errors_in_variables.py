"""Linear fits ``y = M(x) theta`` in which the design matrix M is measured and noisy, as y is.

With x and y of the joint covariance S, the residual ``r = y - M(x) theta`` has the covariance
``C(theta) = J S J^T``, J its derivatives with respect to (x, y). The most likely theta, for the
most likely true x, minimizes ``chi2 = r^T C(theta)^-1 r``. Generalized least squares with M taken
as exact pulls theta toward 0, since noise in M looks like signal; this estimate has no such bias.

In the language of econometrics it is the continuously updating estimator (Hansen, Heaton & Yaron
1996), and its covariance is the one that stays right for a noisy M (Newey & Windmeijer 2009,
Econometrica 77, 687): ``H^-1 (D^T C^-1 D) H^-1``, with H the Hessian of chi2/2 and D the design at
the most likely x.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

__all__ = ["Estimate", "Problem"]


@dataclass(frozen=True)
class Estimate:
    """What a fit finds; arrays of k parameters, n values of y, m values of x.

    Attributes
    ----------
    theta : ndarray, shape (k,)
    covariance : ndarray, shape (k, k)
        NaN where the data do not hold the parameters.
    chi2 : float
    response : ndarray, shape (k, n)
        Change of theta with the residual r, to first order.
    x : ndarray, shape (m,)
        The most likely x.
    sharpness : float
        Least ratio of curvature to spread over directions of theta: 1 where M is exact, near or
        below 0 where its noise hides it.
    bound : float
        chi2 of infinite theta, of the direction where it is least, less that of the best theta: how
        well the data say that theta is finite, as the square of a number of sigmas.
    """

    theta: FloatArray
    covariance: FloatArray
    chi2: float
    response: FloatArray
    x: FloatArray
    sharpness: float
    bound: float


@dataclass(frozen=True)
class Problem:
    """The covariance, and where in x the design matrix finds its entries.

    Attributes
    ----------
    index : ndarray of int64, shape (n, k)
        ``M(x) = x[index]``.
    covariance : ndarray, shape (m + n, m + n)
        Of x, then y.
    noisy : bool
        Whether x is noisy; else its part of the covariance is not looked at.
    """

    index: IntArray
    covariance: FloatArray
    noisy: bool = True

    @property
    def size(self) -> int:
        """Number m of values of x."""
        return len(self.covariance) - len(self.index)

    def jacobian(self, theta: FloatArray) -> FloatArray:
        """Derivatives of the residual with respect to x and y, shape (n, m + n)."""
        rows = np.arange(len(self.index))
        made = np.zeros((len(rows), len(self.covariance)))
        made[rows, self.size + rows] = 1.0
        if self.noisy:
            for j, value in enumerate(theta):
                np.subtract.at(made, (rows, self.index[:, j]), value)
        return made

    def fit(self, x: FloatArray, y: FloatArray) -> Estimate:
        """The most likely parameters of measured x and y, with their errors."""
        start = self._exact(x, y)
        if not self.noisy:
            return start
        unit = np.sqrt(np.diag(start.covariance))
        try:
            theta = self._least(x, y, start.theta, unit)
            return self._estimate(x, y, theta, unit)
        except np.linalg.LinAlgError:  # theta ran away, beyond what numbers can hold
            nothing = np.full((len(unit), len(unit) + len(y)), np.nan)
            covariance, response = nothing[:, : len(unit)], nothing[:, len(unit) :]
            return Estimate(nothing[:, 0], covariance, start.chi2, response, x, 0.0, 0.0)

    def theta(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """The most likely parameters alone."""
        start = self._exact(x, y)
        if not self.noisy:
            return start.theta
        return self._least(x, y, start.theta, np.sqrt(np.diag(start.covariance)))

    def _least(
        self, x: FloatArray, y: FloatArray, start: FloatArray, unit: FloatArray
    ) -> FloatArray:
        """Where chi2 is least; in units of the errors, so that one step length fits all."""
        found = minimize(
            lambda t: self._objective(x, y, t * unit, unit), start / unit, jac=True,
            method="BFGS", options={"gtol": 1e-7},
        )  # fmt: skip
        return np.asarray(found.x * unit)

    def _far(self, x: FloatArray, theta: FloatArray, unit: FloatArray) -> float:
        """Least chi2 of infinite theta, of any direction: of M(x) theta = 0 for the noise of x."""
        covariance = self.covariance.copy()
        covariance[self.size :] = covariance[:, self.size :] = 0.0
        alone, nothing = Problem(self.index, covariance), np.zeros(len(self.index))
        least = np.inf
        for start in (theta, *np.diag(unit)):
            if not start.any():
                continue
            start = start / np.linalg.norm(start / unit)
            try:
                found = alone._least(x, nothing, start, unit)
                least = min(least, 2 * alone._objective(x, nothing, found, unit)[0])
            except np.linalg.LinAlgError:  # x is known exactly in this direction
                continue
        return least

    def _exact(self, x: FloatArray, y: FloatArray) -> Estimate:
        """Generalized least squares with the covariance of y alone."""
        design = x[self.index]
        factor = cho_factor(self.covariance[self.size :, self.size :])
        weighted = cho_solve(factor, design)
        covariance = np.linalg.inv(design.T @ weighted)
        response = covariance @ weighted.T
        theta = response @ y
        residual = y - design @ theta
        chi2 = float(residual @ cho_solve(factor, residual))
        return Estimate(theta, covariance, chi2, response, x, 1.0, np.inf)

    def _parts(
        self, x: FloatArray, y: FloatArray, theta: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """r, C^-1 r, the most likely x for this theta, and C^-1 times the design there."""
        jacobian = self.jacobian(theta)
        spread = self.covariance @ jacobian.T
        factor = cho_factor(jacobian @ spread)
        residual = y - x[self.index] @ theta
        weighted = cho_solve(factor, residual)
        likely = x - spread[: self.size] @ weighted
        return residual, weighted, likely, cho_solve(factor, likely[self.index])

    def _objective(
        self, x: FloatArray, y: FloatArray, theta: FloatArray, unit: FloatArray
    ) -> tuple[float, FloatArray]:
        """chi2/2 and its gradient, which the design at the most likely x makes short."""
        residual, weighted, likely, _ = self._parts(x, y, theta)
        return 0.5 * float(residual @ weighted), -(likely[self.index].T @ weighted) * unit

    def _estimate(
        self, x: FloatArray, y: FloatArray, theta: FloatArray, unit: FloatArray
    ) -> Estimate:
        residual, weighted, likely, weighted_design = self._parts(x, y, theta)
        step = 1e-4
        hessian = np.empty((len(theta), len(theta)))
        for j in range(len(theta)):
            shift = np.zeros(len(theta))
            shift[j] = step * unit[j]
            above, below = (self._objective(x, y, theta + s, unit)[1] for s in (shift, -shift))
            hessian[j] = (above - below) / (2 * step)
        hessian = 0.5 * (hessian + hessian.T)
        spread = (likely[self.index].T @ weighted_design) * np.outer(unit, unit)
        root = np.linalg.inv(np.linalg.cholesky(spread))
        sharpness = float(np.linalg.eigvalsh(root @ hessian @ root.T)[0])
        if sharpness > 0:
            response = unit[:, None] * np.linalg.solve(hessian, unit[:, None] * weighted_design.T)
            inner = np.linalg.solve(hessian, np.linalg.solve(hessian, spread).T)
            covariance = inner * np.outer(unit, unit)
        else:
            response = np.full((len(theta), len(y)), np.nan)
            covariance = np.full((len(theta), len(theta)), np.nan)
        chi2 = float(residual @ weighted)
        bound = self._far(x, theta, unit) - chi2
        return Estimate(theta, covariance, chi2, response, likely, sharpness, bound)
