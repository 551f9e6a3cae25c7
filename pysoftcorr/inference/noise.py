"""Noise of an observation about a model's mean: its covariance, and the likelihood with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr.core.extras import need
from pysoftcorr.core.options import choice
from pysoftcorr.inference.covariance import (
    check_covariance,
    hartlap_factor,
    sellentin_heavens_constant,
    whitening,
)
from pysoftcorr.inference.observation import Observation

__all__ = ["LIKELIHOODS", "Noise", "likelihood_kind", "noise_kind"]

FloatArray = npt.NDArray[np.float64]

LIKELIHOODS = ("auto", "gaussian", "hartlap", "sellentin-heavens")


def noise_kind(noise: str, observation: Observation, model: Any) -> str:
    """Noise that the likelihood has: of the data, the emulator or model, or both.

    Raises
    ------
    ValueError
        If the data, or the model, have none of the kind.
    """
    choice("noise", noise, ("auto", "data", "emulator", "model", "both"))
    of_model = "model" if hasattr(model, "covariance") else "emulator"
    if noise == "auto":
        return of_model if observation.covariance is None else "data"
    if noise in ("emulator", "model") and noise != of_model:
        raise ValueError(
            f"noise = {noise!r}: {type(model).__name__} "
            + ("has the covariance of its means" if of_model == "model" else
               "has standard deviations and correlations of an emulator")
            + f"; take {of_model!r}"
        )  # fmt: skip
    if noise in ("data", "both") and observation.covariance is None:
        raise ValueError(f"noise = {noise!r}: the data bring no covariance; take {of_model!r}")
    return noise


def likelihood_kind(
    likelihood: str, observation: Observation, *, noise: str, epistemic: bool
) -> str:
    """Likelihood that goes with the noise and with what is known of its covariance.

    Raises
    ------
    ValueError
        If it needs a number of realizations that is not known or is too small, or a covariance
        of the data alone.
    """
    choice("likelihood", likelihood, LIKELIHOODS)
    count = observation.covariance_from
    if noise in ("emulator", "model"):
        if likelihood in ("auto", "gaussian"):
            return "gaussian"
        raise ValueError(
            f"likelihood = {likelihood!r}: the covariance is that of the {noise} (noise = "
            f"{noise!r}), which is from no realizations; take 'gaussian'"
        )
    alone = noise == "data" and not epistemic
    if likelihood == "auto":
        if count is None:
            return "gaussian"
        likelihood = "sellentin-heavens" if alone else "hartlap"
    if likelihood == "gaussian":
        return likelihood
    if count is None:
        raise ValueError(
            f"likelihood = {likelihood!r}: the data do not say how many realizations their "
            "covariance is from; pass covariance_from=N"
        )
    if likelihood == "sellentin-heavens" and not alone:
        raise ValueError(
            "likelihood = 'sellentin-heavens': is for a sample covariance alone; with noise = "
            "'both' or epistemic errors take 'hartlap'"
        )
    hartlap_factor(count, observation.rows.size)  # refuses too few
    return likelihood


class Noise:
    """Covariance of an observation, constant or of a model, and the density of its residuals.

    constant + D R D, where D are the model's standard deviations and R their correlations.

    Parameters
    ----------
    observation : Observation
    kind : str
        "data", "emulator", "model" or "both".
    likelihood : str
        "gaussian"; "hartlap", whose constant covariance is divided by the factor; or
        "sellentin-heavens".
    jitter : float
        Variance added to the model's.
    scale : float
        Factor of the model's variance.
    correlation : callable, optional
        Correlation matrix of a statistic's bins at all parameters (..., m), (..., nbins, nbins);
        None of a statistic whose bins are uncorrelated.
    at : Tensor, optional
        All parameters where the correlation is the same for all that are free.
    of_model : ndarray, shape (n, n), optional
        Covariance of a model, of the values that are used, in place of an emulator's.
    """

    def __init__(
        self,
        observation: Observation,
        kind: str,
        *,
        likelihood: str,
        jitter: float,
        scale: float,
        correlation: Callable[[str, Any], Any] | None = None,
        at: Any = None,
        of_model: FloatArray | None = None,
    ) -> None:
        #: Whether no part of the covariance depends on the parameters.
        self.is_constant = kind == "data" or of_model is not None
        self.kind, self.likelihood = kind, likelihood
        self.jitter, self.scale = jitter, scale
        self.values = observation.rows.size
        self._torch = need("torch", "a posterior")
        self._rows = self._torch.tensor(observation.rows)
        self._statistics = observation.statistics
        self._bins = observation.edges.size - 1
        self._count = observation.covariance_from
        self._constant_of_density = -0.5 * self.values * np.log(2 * np.pi)
        data = np.zeros((self.values, self.values))
        if kind in ("data", "both"):
            assert observation.covariance is not None
            data = data + check_covariance(observation.covariance, self.values)
        if likelihood == "hartlap":
            assert self._count is not None
            data = data / hartlap_factor(self._count, self.values)
        if of_model is not None:
            data = data + of_model
        if likelihood == "sellentin-heavens":
            assert self._count is not None
            self._constant_of_density = sellentin_heavens_constant(self._count, self.values)
        self._correlation = None if self.is_constant else correlation
        self._fixed: Any = None
        if self._correlation is not None and at is not None:
            self._fixed = self._correlations(at)
            white, self._log_det_fixed = whitening(self._fixed.numpy())
            self._white_fixed = self._torch.tensor(white.T.copy())
        self.add(data)

    def add(self, covariance: FloatArray) -> None:
        """Add a covariance that does not depend on the parameters."""
        torch = self._torch
        known = getattr(self, "constant", 0.0)
        #: Covariance that does not depend on the parameters; zero where there is none.
        self.constant: FloatArray = known + covariance
        self._constant = torch.tensor(self.constant)
        self._has_constant = bool(self.constant.any())
        if self.is_constant:
            white, self._log_det = whitening(self.constant)
            self._whiten = torch.tensor(white.T.copy())

    # ------------------------------------------------------------------ density
    def chi2_and_log_det(self, residual: Any, std: Any, full: Any) -> tuple[Any, Any]:
        """chi2 and ln det C of residuals (..., n).

        Parameters
        ----------
        residual, std : Tensor, shape (..., n)
            `std` is not looked at where the covariance is constant.
        full : Tensor, shape (..., m)
            All parameters.
        """
        if self.is_constant:
            return (residual @ self._whiten).square().sum(-1), self._log_det
        torch = self._torch
        variance = self._variance(std)
        if not self._has_constant and self._fixed is not None:
            white = (residual / variance.sqrt()) @ self._white_fixed
            return white.square().sum(-1), variance.log().sum(-1) + self._log_det_fixed
        if not self._has_constant and self._correlation is None:
            return (residual.square() / variance).sum(-1), variance.log().sum(-1)
        lower = torch.linalg.cholesky_ex(self._covariance(variance, full)).L
        white = torch.linalg.solve_triangular(lower, residual.unsqueeze(-1), upper=False)
        log_det = 2 * torch.diagonal(lower, dim1=-2, dim2=-1).log().sum(-1)
        return white.square().sum((-2, -1)), log_det

    def log_density(self, chi2: Any, log_det: Any) -> Any:
        """ln of the likelihood."""
        if self.likelihood == "sellentin-heavens":
            assert self._count is not None
            tail = self._count * self._torch.log1p(chi2 / (self._count - 1))
            return self._constant_of_density - 0.5 * (log_det + tail)
        return self._constant_of_density - 0.5 * (chi2 + log_det)

    # ------------------------------------------------------------------ parts of the data
    def covariance(self, std: Any, full: Any) -> Any:
        """C, shape (..., n, n); of "sellentin-heavens" the scale matrix of the multivariate t."""
        if not self.is_constant:
            return self._covariance(self._variance(std), full)
        made = self._constant.expand(*full.shape[:-1], -1, -1)
        if self._degrees is None:
            return made
        assert self._count is not None
        return made * ((self._count - 1) / self._degrees)

    def pointwise(self, residual: Any, std: Any, full: Any) -> Any:
        """ln density of each value given all the others, shape (..., n).

        Of a normal distribution these are normal (Buerkner, Gabry & Vehtari 2021, Comput. Stat.
        36, 1243, eq. 13), of a multivariate t a t with n - 1 more degrees of freedom.
        """
        torch = self._torch
        lower = torch.linalg.cholesky(self.covariance(std, full))
        precision = torch.cholesky_inverse(lower)
        slope = (precision @ residual.unsqueeze(-1)).squeeze(-1)
        inverse = torch.diagonal(precision, dim1=-2, dim2=-1)
        square = slope.square() / inverse
        if self._degrees is None:
            return 0.5 * (inverse.log() - np.log(2 * np.pi) - square)
        more = self._degrees + self.values - 1
        rest = self._degrees + (residual * slope).sum(-1, keepdim=True) - square
        constant = torch.lgamma(torch.tensor((more + 1) / 2, dtype=torch.float64))
        constant = constant - torch.lgamma(torch.tensor(more / 2, dtype=torch.float64))
        scale = 0.5 * (inverse.log() - (np.pi * rest).log())
        return constant + scale - 0.5 * (more + 1) * torch.log1p(square / rest)

    def draw(self, mean: Any, std: Any, full: Any, rng: np.random.Generator) -> Any:
        """Data drawn about means (..., n)."""
        torch = self._torch
        lower = torch.linalg.cholesky(self.covariance(std, full))
        normal = torch.tensor(rng.normal(size=tuple(mean.shape)))
        away = (lower @ normal.unsqueeze(-1)).squeeze(-1)
        if self._degrees is not None:
            chi2 = torch.tensor(rng.chisquare(self._degrees, size=tuple(mean.shape[:-1])))
            away = away * (self._degrees / chi2).sqrt().unsqueeze(-1)
        return mean + away

    @property
    def _degrees(self) -> int | None:
        """Degrees of freedom of a multivariate t; None of a normal distribution."""
        if self.likelihood != "sellentin-heavens":
            return None
        assert self._count is not None
        return self._count - self.values

    # ------------------------------------------------------------------ of the model
    def _variance(self, std: Any) -> Any:
        return std.square() * self.scale + self.jitter

    def _covariance(self, variance: Any, full: Any) -> Any:
        torch = self._torch
        if self._correlation is None:
            own = torch.diag_embed(variance)
        else:
            matrix = self._correlations(full) if self._fixed is None else self._fixed
            error = variance.sqrt()
            own = error.unsqueeze(-1) * matrix * error.unsqueeze(-2)
        return self._constant + own

    def _correlations(self, full: Any) -> Any:
        """Correlation matrix of the values that are used, (..., n, n)."""
        torch = self._torch
        assert self._correlation is not None
        blocks = []
        number, lead = len(self._statistics), full.shape[:-1]
        for k, name in enumerate(self._statistics):
            block = self._correlation(name, full)
            if block is None:
                block = torch.eye(self._bins, dtype=full.dtype).expand(*lead, -1, -1)
            parts = [full.new_zeros((*lead, self._bins, self._bins))] * number
            parts[k] = block
            blocks.append(torch.cat(parts, dim=-1))
        every = torch.cat(blocks, dim=-2)
        return every[..., self._rows[:, None], self._rows]
