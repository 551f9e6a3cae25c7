"""The posterior density of HOD and alignment parameters, given correlations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from pysoftcorr._random import stream
from pysoftcorr.inference import arguments
from pysoftcorr.inference._torch import torch_module
from pysoftcorr.inference.arguments import ALIGNMENT
from pysoftcorr.inference.observation import Observation
from pysoftcorr.inference.priors import Prior, Priors

__all__ = ["CorrelationModel", "LogPosterior"]

FloatArray = npt.NDArray[np.float64]


# Draws of the prior, and how many of them by likelihood, that the epistemic covariance is of.
_PRIOR_DRAWS, _EPISTEMIC_DRAWS = 4096, 32


class CorrelationModel(Protocol):
    """What a posterior needs of an emulator; `Emulator` and `SimulatedModel` have it.

    Attributes
    ----------
    names : sequence of str
        Of the parameters, in the order in which they are taken.
    edges : ndarray, shape (nbins + 1,)
        Mpc/h.
    bounds : mapping of str to (float, float)
    """

    @property
    def names(self) -> Sequence[str]: ...

    @property
    def edges(self) -> Any: ...

    @property
    def bounds(self) -> Mapping[str, tuple[float, float]]: ...

    def mean_and_std(self, params: Any) -> Mapping[str, tuple[Any, Any]]:
        """Mean and scatter of each statistic, (..., nbins), at parameters (..., n), in torch."""
        ...


class LogPosterior:
    """ln posterior of the free parameters of an emulator, given an observation.

    The observation is normal about the emulator's mean. Its covariance is that of the data, or
    diag(aleatoric(parameters)^2) + jitter I (Berman et al. 2025, section 7), or the sum of both.

    Parameters
    ----------
    emulator : Emulator
        Or anything with its ``names``, ``edges``, ``bounds`` and ``mean_and_std``.
    observation : Observation
        In the bins of the emulator.
    free : sequence of str
        Parameters that are inferred.
    fixed : HODModel or mapping of str to float, optional
        Values of all others; of a model those that are free are not taken.
    priors : mapping of str to Prior or text, optional
        By default uniform within the bounds of the emulator.
    noise : str
        "data": the covariance of the observation; "emulator": the scatter of one simulated box;
        "both": their sum; "auto": "data" where there is a covariance, else "emulator".
    epistemic : bool
        Add the emulator's epistemic covariance, averaged over the posterior without it.
    jitter : float
        Variance added to the emulator's noise.
    on_outside : str
        A prior with more than 1e-3 of its mass outside the bounds of the emulator, or a fixed
        value outside them: "error", "warn" or "ignore".

    Attributes
    ----------
    names : tuple of str
        Free parameters.
    priors : Priors
    fixed : dict of str to float
    observation : Observation
    noise : str
        "data", "emulator" or "both".

    Raises
    ------
    ValueError
        If bins differ from the emulator's, a parameter is unknown, neither free nor fixed, or
        outside the bounds, or the noise asked for is not there.
    TypeError
        If an argument is of the wrong kind.
    """

    def __init__(
        self,
        emulator: CorrelationModel,
        observation: Observation,
        *,
        free: str | Sequence[str] = ALIGNMENT,
        fixed: Any = None,
        priors: Mapping[str, Prior | str] | None = None,
        noise: str = "auto",
        epistemic: bool = False,
        jitter: float = 1e-6,
        on_outside: str = "error",
    ) -> None:
        torch = torch_module()
        for name in ("names", "edges", "bounds", "mean_and_std"):
            if not hasattr(emulator, name):
                raise TypeError(
                    "emulator must be an Emulator, with names, edges, bounds and mean_and_std; "
                    f"{type(emulator).__name__} has no {name}"
                )
        if not isinstance(observation, Observation):
            raise TypeError(f"observation must be an Observation, not {type(observation).__name__}")
        if on_outside not in ("error", "warn", "ignore"):
            raise ValueError(f"on_outside = {on_outside!r}: must be 'error', 'warn' or 'ignore'")
        self.emulator = emulator
        self.observation = observation
        self.parameters = tuple(emulator.names)
        self.names = arguments.free_names(free, self.parameters)
        self.fixed = arguments.fixed_values(fixed, self.names, self.parameters)
        self.priors = Priors(arguments.priors_of(priors, self.names, emulator.bounds))
        arguments.same_edges(np.asarray(emulator.edges), observation.edges)
        arguments.bounds(
            self.names, self.priors, self.fixed, emulator.bounds, on_outside=on_outside
        )
        self.noise = arguments.noise_kind(noise, observation)
        if not (np.isfinite(jitter) and jitter >= 0):
            raise ValueError(f"jitter = {jitter!r}: must be a number of at least 0")
        self.jitter = float(jitter)
        self.epistemic = bool(epistemic)
        self._model = arguments.in_double(emulator)

        base = [self.fixed.get(name, 0.0) for name in self.parameters]
        places = np.zeros((len(self.names), len(base)))
        for k, name in enumerate(self.names):
            places[k, self.parameters.index(name)] = 1.0
        double = {"dtype": torch.float64}
        self._base, self._places = torch.tensor(base, **double), torch.tensor(places, **double)
        self._data = torch.tensor(observation.vector, **double)
        every = len(observation.statistics) * (observation.edges.size - 1)
        whole = observation.rows.size == every
        self._rows = None if whole else torch.tensor(observation.rows)
        p = self.priors
        self._bounded, self._gaussian = torch.tensor(p.bounded), torch.tensor(p.gaussian)
        self._low, self._width = torch.tensor(p.low, **double), torch.tensor(p.width, **double)
        self._mean, self._sd = torch.tensor(p.mean, **double), torch.tensor(p.sd, **double)
        arguments.region(self, on_outside=on_outside)
        constant = np.zeros((observation.rows.size,) * 2)
        if self.noise in ("data", "both"):
            assert observation.covariance is not None
            constant = constant + observation.covariance
        self._set_covariance(constant)
        self._check_model(torch)
        self._closed = None
        if all(name in ALIGNMENT for name in self.names):
            from pysoftcorr.inference.response import alignment_response

            self._closed = alignment_response(
                self._model, self.parameters, self._base, observation.statistics
            )
        if self.epistemic:
            self._set_covariance(constant + self._epistemic_covariance())

    @property
    def closed_form(self) -> bool:
        """Whether the means follow from response functions: the HOD is fixed, and they do."""
        return self._closed is not None

    # ------------------------------------------------------------------ set up
    def _set_covariance(self, constant: FloatArray) -> None:
        torch = torch_module()
        #: Covariance that does not depend on the parameters; zero where there is none.
        self.constant_covariance = constant
        self._constant = torch.tensor(constant, dtype=torch.float64)
        self._has_constant = bool(constant.any())
        if self.noise == "data":
            lower = np.linalg.cholesky(constant)
            self._whiten = torch.tensor(np.linalg.inv(lower).T.copy(), dtype=torch.float64)
            self._log_det = 2 * float(np.log(np.diag(lower)).sum())

    def _epistemic_covariance(self) -> FloatArray:
        """Averaged over draws of the prior by their likelihood without it.

        At one point it would not do: of omega and eta it is 0 where the strengths are.
        """
        if not hasattr(self.emulator, "epistemic_covariance"):
            raise TypeError(
                f"epistemic: {type(self.emulator).__name__} has no epistemic_covariance"
            )
        rng = stream(0, "epistemic covariance")
        drawn = self.priors.draw(_PRIOR_DRAWS, rng)
        log_weight = self.log_likelihood(drawn)
        weight = np.exp(log_weight - np.nanmax(log_weight))
        weight = np.nan_to_num(weight) / np.nansum(weight)
        rows, counts = np.unique(
            rng.choice(_PRIOR_DRAWS, _EPISTEMIC_DRAWS, p=weight), return_counts=True
        )
        bins = self.observation.edges.size - 1
        every = np.zeros((len(self.observation.statistics) * bins,) * 2)
        for theta, count in zip(drawn[rows], counts, strict=True):
            found = self.emulator.epistemic_covariance(self._full(theta))
            for k, name in enumerate(self.observation.statistics):
                block = slice(k * bins, (k + 1) * bins)
                every[block, block] += count / _EPISTEMIC_DRAWS * np.asarray(found[name])
        return every[np.ix_(self.observation.rows, self.observation.rows)]

    def _check_model(self, torch: Any) -> None:
        """One evaluation, so that what is amiss is said before the work."""
        middle = np.array([m.quantile(0.5) for m in self.priors.members])
        with torch.no_grad():
            found = self._model.mean_and_std(torch.tensor(self._full(middle)))
        bins = self.observation.edges.size - 1
        for name in self.observation.statistics:
            if name not in found:
                raise ValueError(f"statistics: the emulator does not model {name}")
            for kind, values in zip(("mean", "std"), found[name], strict=True):
                if tuple(values.shape) != (bins,):
                    raise ValueError(
                        f"the emulator's {kind} of {name} has shape {tuple(values.shape)}, "
                        f"not ({bins},)"
                    )

    def _full(self, theta: npt.ArrayLike) -> FloatArray:
        """All parameters, (..., n), with these free ones, (..., p)."""
        theta = np.asarray(theta, dtype=np.float64)
        return np.asarray(self._base.numpy() + theta @ self._places.numpy())

    def outside(self, theta: npt.ArrayLike) -> npt.NDArray[np.bool_] | None:
        """Which of all parameters leave the emulator's training region, shape (n, 7).

        Parameters
        ----------
        theta : array_like, shape (n, p)

        Returns
        -------
        ndarray of bool, or None
            None of an emulator that does not say what its region is.
        """
        region = getattr(self.emulator, "training_bounds", None)
        if region is None:
            return None
        return np.asarray(region.outside(self._full(theta)))

    # ------------------------------------------------------------------ torch
    def _prior_terms(self, u: Any) -> tuple[Any, Any]:
        """Parameters at u, and ln of the prior density in u."""
        torch = torch_module()
        logistic = torch.nn.functional.logsigmoid
        log_density = self.priors.log_norm
        if self.priors.bounded.all():
            theta = self._low + self._width * torch.sigmoid(u)
        else:
            theta = torch.where(
                self._bounded, self._low + self._width * torch.sigmoid(u), self._mean + self._sd * u
            )
        if self.priors.bounded.any():
            slope = logistic(u) + logistic(-u)
            log_density = log_density + torch.where(self._bounded, slope, 0.0).sum(-1)
        if self.priors.gaussian.any():
            square = ((theta - self._mean) / self._sd) ** 2
            log_density = log_density - torch.where(self._gaussian, 0.5 * square, 0.0).sum(-1)
        return theta, log_density

    def torch_log_likelihood(self, theta: Any) -> Any:
        """ln likelihood at free parameters (..., p), a float64 tensor; differentiable."""
        chi2, log_det = self._chi2_and_log_det(theta)
        return -0.5 * (chi2 + log_det + self._data.numel() * np.log(2 * np.pi))

    def torch_loss(self, theta: Any, objective: str) -> Any:
        """chi2, -ln likelihood or -ln posterior at free parameters (..., p), not normalised."""
        if objective == "chi2":
            return self._chi2_and_log_det(theta)[0]
        loss = -self.torch_log_likelihood(theta)
        if objective == "posterior" and self.priors.gaussian.any():
            torch = torch_module()
            square = 0.5 * ((theta - self._mean) / self._sd) ** 2
            loss = loss + torch.where(self._gaussian, square, 0.0).sum(-1)
        return loss

    def _chi2_and_log_det(self, theta: Any) -> tuple[Any, Any]:
        torch = torch_module()
        params = self._base + theta @ self._places
        closed = self._closed
        found: Any = None
        if closed is None or (self.noise != "data" and closed.std is None):
            found = self._model.mean_and_std(params)

        def part(name: str, k: int) -> Any:
            if closed is not None and k == 0:
                return closed.mean(name, params)
            if found is None:
                assert closed is not None
                assert closed.std is not None
                return closed.std(name, params)
            return found[name][k].to(torch.float64)

        def column(k: int) -> Any:
            parts = [part(name, k) for name in self.observation.statistics]
            values = parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)
            return values if self._rows is None else values[..., self._rows]

        residual = self._data - column(0)
        if self.noise == "data":
            return (residual @ self._whiten).square().sum(-1), self._log_det
        variance = column(1).square() + self.jitter
        if not self._has_constant:
            return (residual.square() / variance).sum(-1), variance.log().sum(-1)
        lower = torch.linalg.cholesky_ex(self._constant + torch.diag_embed(variance)).L
        white = torch.linalg.solve_triangular(lower, residual.unsqueeze(-1), upper=False)
        log_det = 2 * torch.diagonal(lower, dim1=-2, dim2=-1).log().sum(-1)
        return white.square().sum((-2, -1)), log_det

    def potential(self, u: Any) -> Any:
        """-ln posterior density in the unbounded variables u (..., p), a float64 tensor."""
        theta, log_prior = self._prior_terms(u)
        return -(self.torch_log_likelihood(theta) + log_prior)

    # ------------------------------------------------------------------ numpy
    def log_likelihood(self, theta: npt.ArrayLike) -> FloatArray:
        """ln likelihood at free parameters of shape (..., p)."""
        torch = torch_module()
        values = self._checked(theta)
        flat = values.reshape(-1, values.shape[-1])
        with torch.no_grad():
            parts = [
                self.torch_log_likelihood(torch.tensor(flat[k : k + 4096])).numpy()
                for k in range(0, len(flat), 4096)
            ]
        return np.asarray(np.concatenate(parts).reshape(values.shape[:-1]))

    def __call__(self, theta: npt.ArrayLike) -> FloatArray:
        """ln posterior density, not normalised, at parameters (..., p); -inf outside the priors.

        What an independent sampler, or a grid, is to be given.
        """
        values = self._checked(theta)
        log_prior = self.priors.log_density(values)
        inside = np.isfinite(log_prior)
        out = np.full(values.shape[:-1], -np.inf)
        if inside.any():
            out[inside] = log_prior[inside] + self.log_likelihood(values[inside])
        return out

    def predict(self, theta: npt.ArrayLike) -> dict[str, tuple[FloatArray, FloatArray]]:
        """Mean and aleatoric standard deviation of every statistic at parameters (..., p)."""
        torch = torch_module()
        values = self._checked(theta)
        with torch.no_grad():
            found = self._model.mean_and_std(torch.tensor(self._full(values)))
        return {
            name: (mean.double().numpy(), std.double().numpy())
            for name, (mean, std) in found.items()
        }

    def _checked(self, theta: npt.ArrayLike) -> FloatArray:
        values = np.asarray(theta, dtype=np.float64)
        if values.ndim == 0 or values.shape[-1] != len(self.names):
            raise ValueError(
                f"theta has shape {values.shape}; the last axis is the free parameters, "
                f"{', '.join(self.names)}"
            )
        return values
