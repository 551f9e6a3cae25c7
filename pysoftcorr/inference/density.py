"""The posterior density of HOD and alignment parameters, given correlations."""

from __future__ import annotations

import copy
import difflib
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from pysoftcorr.core.extras import need
from pysoftcorr.core.options import choice, finite_numbers, flag, mapping, number, numbers, texts
from pysoftcorr.core.random import stream
from pysoftcorr.inference.observation import Observation, whitening
from pysoftcorr.inference.priors import Normal, Prior, Priors, Uniform, parse_prior
from pysoftcorr.mocks.design import PARAMETERS

__all__ = ["CorrelationModel", "LogPosterior"]

FloatArray = npt.NDArray[np.float64]

#: The strengths, which have bounds of their own.
ALIGNMENT = PARAMETERS[:2]
#: A prior may reach beyond the bounds of the emulator by this part of its mass.
_OUTSIDE = 1e-3


def bounds(
    names: tuple[str, ...],
    priors: Priors,
    fixed: Mapping[str, float],
    limits: Mapping[str, tuple[float, float]],
    *,
    on_outside: str,
) -> None:
    """ValueError, or a warning, where fixed values or priors leave the bounds of the emulator."""
    complaints = []
    for name, value in fixed.items():
        low, high = limits[name]
        # A bound itself may have been rounded.
        slack = 1e-6 * max(abs(low), abs(high), 1.0)
        if not low - slack <= value <= high + slack:
            complaints.append(
                f"{name} = {value:g} is outside the bounds of the emulator, [{low:g}, {high:g}]"
            )
    for name, prior in zip(names, priors.members, strict=True):
        low, high = limits[name]
        if name in ALIGNMENT and not (prior.support[0] >= -1 and prior.support[1] <= 1):
            raise ValueError(
                f"prior of {name}: an alignment strength lies in [-1, 1]; take "
                "Uniform(-1, 1), or a TruncatedNormal within"
            )
        slack = 1e-6 * max(abs(low), abs(high), 1.0)
        ends = prior.quantile(np.array([_OUTSIDE / 2, 1 - _OUTSIDE / 2]))
        if ends[0] < low - slack or ends[1] > high + slack:
            hint = " with low and high there" if not isinstance(prior, Normal) else ""
            kind = "Uniform or TruncatedNormal" if not hint else type(prior).__name__
            complaints.append(
                f"prior of {name}: {prior} reaches beyond the bounds of the emulator, "
                f"[{low:g}, {high:g}]; take a {kind} within{hint}"
            )
    if complaints and on_outside == "error":
        raise ValueError("; ".join(complaints))
    if complaints and on_outside == "warn":
        for text in complaints:
            warnings.warn(text, UserWarning, stacklevel=5)


def region(density: Any, *, on_outside: str) -> None:
    """ValueError, or a warning, where a fixed HOD is outside the region trained in.

    That is narrower than the box: the design ties the other parameters to log Mmin.
    """
    if any(name not in ALIGNMENT for name in density.names) or on_outside == "ignore":
        return
    wrong = density.outside(np.zeros((1, len(density.names))))
    if wrong is None or not wrong.any():
        return
    names = [name for name, bad in zip(density.parameters, wrong[0], strict=True) if bad]
    said = ", ".join(f"{name} = {density.fixed[name]:g}" for name in names)
    text = f"{said}: outside the region the emulator was trained in"
    mass = density.fixed.get("logMmin")
    if mass is not None:
        text += f", at logMmin = {mass:g}"
    if on_outside == "error":
        raise ValueError(text)
    warnings.warn(text, UserWarning, stacklevel=4)


def free_names(free: str | Sequence[str], parameters: tuple[str, ...]) -> tuple[str, ...]:
    """The free parameters in the order of the emulator; ValueError for an unknown one."""
    names = texts("free", free)
    for name in names:
        if name not in parameters:
            raise ValueError(f"free: there is no parameter {name!r}{_near(name, parameters)}")
    if not names or len(set(names)) < len(names):
        raise ValueError(f"free = {names}: at least one parameter, and none twice")
    return tuple(name for name in parameters if name in names)


def fixed_values(
    fixed: Any, free: tuple[str, ...], parameters: tuple[str, ...]
) -> dict[str, float]:
    """Values of all parameters that are not free, from an HODModel or a mapping."""
    if hasattr(fixed, "with_parameters"):  # an HODModel
        if fixed.gamma != 0:
            raise ValueError(f"fixed: gamma = {fixed.gamma:g} is not among the emulator's inputs")
        values = {name: getattr(fixed, name) for name in parameters if name not in free}
    elif fixed is None or isinstance(fixed, Mapping):
        values = dict(fixed or {})
    else:
        raise TypeError(f"fixed must be an HODModel or a mapping, not {type(fixed).__name__}")
    for name, value in values.items():
        if name not in parameters:
            raise ValueError(f"fixed: there is no parameter {name!r}{_near(name, parameters)}")
        if name in free:
            raise ValueError(f"{name} is both free and fixed")
        number(f"fixed: {name}", value)
    lacking = [name for name in parameters if name not in free and name not in values]
    if lacking:
        raise ValueError(
            f"{', '.join(lacking)}: neither free nor fixed; fix them, as by "
            "HODModel.preset('mstar10.0'), or add them to free"
        )
    return {name: float(values[name]) for name in parameters if name in values}


def priors_of(
    priors: Mapping[str, Prior | str] | None,
    free: tuple[str, ...],
    bounds: Mapping[str, tuple[float, float]],
) -> dict[str, Prior]:
    """A prior for each free parameter, by default uniform within the bounds."""
    given = mapping("priors", priors)
    for name in given:
        if name not in free:
            raise ValueError(f"prior of {name}: it is not free; free are {', '.join(free)}")
    out: dict[str, Prior] = {}
    for name in free:
        prior = given.get(name)
        if prior is None:
            low, high = (float(end) for end in bounds[name])
            if not low < high:
                raise ValueError(f"{name} cannot be free: this model has it at {low:g} alone")
            prior = Uniform(low, high)
        out[name] = parse_prior(prior) if isinstance(prior, str) else prior
        support = np.isfinite(getattr(out[name], "support", (0, 0)))
        if support[0] != support[1]:
            raise ValueError(f"prior of {name}: {out[name]} has one bound; give it both, or none")
    return out


def noise_kind(noise: str, observation: Observation) -> str:
    """Noise that the likelihood has: of the data, the emulator or both."""
    choice("noise", noise, ("auto", "data", "emulator", "both"))
    if noise == "auto":
        return "emulator" if observation.covariance is None else "data"
    if noise != "emulator" and observation.covariance is None:
        raise ValueError(f"noise = {noise!r}: the data bring no covariance; take 'emulator'")
    return noise


def in_double(emulator: Any) -> Any:
    """A copy in float64: gradients of single precision make a rough landscape."""
    if not hasattr(emulator, "double"):
        return emulator
    twin = copy.deepcopy(emulator)
    if hasattr(twin, "to"):
        twin = twin.to("cpu") or twin
    return twin.double() or twin


def _near(name: str, names: Sequence[str]) -> str:
    close = difflib.get_close_matches(str(name), names, n=1)
    return (f"; did you mean {close[0]}?" if close else "") + f" (of {', '.join(names)})"


# Draws of the prior, and how many of them by likelihood, that the epistemic covariance is of.
_PRIOR_DRAWS, _EPISTEMIC_DRAWS = 4096, 32


class CorrelationModel(Protocol):
    """What a posterior needs of an emulator; `Emulator` and `SimulatedModel` have it.

    Attributes
    ----------
    names : sequence of str
        Parameters, in the order in which they are taken.
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
        torch = need("torch", "a posterior")
        for name in ("names", "edges", "bounds", "mean_and_std"):
            if not hasattr(emulator, name):
                raise TypeError(
                    "emulator must be an Emulator, with names, edges, bounds and mean_and_std; "
                    f"{type(emulator).__name__} has no {name}"
                )
        if not isinstance(observation, Observation):
            raise TypeError(f"observation must be an Observation, not {type(observation).__name__}")
        choice("on_outside", on_outside, ("error", "warn", "ignore"))
        self.emulator = emulator
        self.observation = observation
        self.parameters = tuple(emulator.names)
        self.names = free_names(free, self.parameters)
        self.fixed = fixed_values(fixed, self.names, self.parameters)
        self.priors = Priors(priors_of(priors, self.names, emulator.bounds))
        observation = self.observation = observation.on(np.asarray(emulator.edges))
        bounds(self.names, self.priors, self.fixed, emulator.bounds, on_outside=on_outside)
        self.noise = noise_kind(noise, observation)
        self.jitter = number("jitter", jitter, least=0)
        self.epistemic = flag("epistemic", epistemic)
        self._model = in_double(emulator)

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
        self._low, self._width = torch.tensor(p.offset, **double), torch.tensor(p.width, **double)
        self._mean, self._sd = torch.tensor(p.mean, **double), torch.tensor(p.scale, **double)
        region(self, on_outside=on_outside)
        constant = np.zeros((observation.rows.size,) * 2)
        if self.noise in ("data", "both"):
            assert observation.covariance is not None
            constant = constant + observation.covariance
        self._set_covariance(constant)
        self._check_model(torch)
        self._closed = None
        if all(name in ALIGNMENT for name in self.names):
            from pysoftcorr.inference.simulated import alignment_response

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
        torch = need("torch", "a posterior")
        #: Covariance that does not depend on the parameters; zero where there is none.
        self.constant_covariance = constant
        self._constant = torch.tensor(constant, dtype=torch.float64)
        self._has_constant = bool(constant.any())
        if self.noise == "data":
            white, self._log_det = whitening(constant)
            self._whiten = torch.tensor(white.T.copy(), dtype=torch.float64)

    def _epistemic_covariance(self) -> FloatArray:
        """Epistemic covariance, averaged over draws of the prior by their likelihood without it.

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
        for params, count in zip(drawn[rows], counts, strict=True):
            found = self.emulator.epistemic_covariance(self._full(params))
            for k, name in enumerate(self.observation.statistics):
                block = slice(k * bins, (k + 1) * bins)
                every[block, block] += count / _EPISTEMIC_DRAWS * np.asarray(found[name])
        return every[np.ix_(self.observation.rows, self.observation.rows)]

    def _check_model(self, torch: Any) -> None:
        """Evaluate the model once, so that what is amiss is said before the work."""
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

    def _full(self, params: npt.ArrayLike) -> FloatArray:
        """All parameters, (..., n), with these free ones, (..., p)."""
        params = numbers("params", params)
        return np.asarray(self._base.numpy() + params @ self._places.numpy())

    def outside(self, params: npt.ArrayLike) -> npt.NDArray[np.bool_] | None:
        """Which of all parameters leave the emulator's training region, shape (n, 7).

        Parameters
        ----------
        params : array_like, shape (n, p)

        Returns
        -------
        ndarray of bool, or None
            None of an emulator that does not say what its region is.
        """
        region = getattr(self.emulator, "training_bounds", None)
        if region is None:
            return None
        return np.asarray(region.outside(self._full(params)))

    # ------------------------------------------------------------------ torch
    def _prior_terms(self, u: Any) -> tuple[Any, Any]:
        """Parameters at u, and ln of the prior density in u."""
        torch = need("torch", "a posterior")
        logistic = torch.nn.functional.logsigmoid
        log_density = self.priors.log_norm
        if self.priors.bounded.all():
            params = self._low + self._width * torch.sigmoid(u)
        else:
            params = torch.where(
                self._bounded, self._low + self._width * torch.sigmoid(u), self._mean + self._sd * u
            )
        if self.priors.bounded.any():
            slope = logistic(u) + logistic(-u)
            log_density = log_density + torch.where(self._bounded, slope, 0.0).sum(-1)
        if self.priors.gaussian.any():
            square = ((params - self._mean) / self._sd) ** 2
            log_density = log_density - torch.where(self._gaussian, 0.5 * square, 0.0).sum(-1)
        return params, log_density

    def torch_log_likelihood(self, params: Any) -> Any:
        """ln likelihood at free parameters (..., p), a float64 tensor; differentiable."""
        chi2, log_det = self._chi2_and_log_det(params)
        return -0.5 * (chi2 + log_det + self._data.numel() * np.log(2 * np.pi))

    def torch_loss(self, params: Any, objective: str) -> Any:
        """chi2, -ln likelihood or -ln posterior at free parameters (..., p), not normalized."""
        if objective == "chi2":
            return self._chi2_and_log_det(params)[0]
        loss = -self.torch_log_likelihood(params)
        if objective == "posterior" and self.priors.gaussian.any():
            torch = need("torch", "a posterior")
            square = 0.5 * ((params - self._mean) / self._sd) ** 2
            loss = loss + torch.where(self._gaussian, square, 0.0).sum(-1)
        return loss

    def _chi2_and_log_det(self, params: Any) -> tuple[Any, Any]:
        torch = need("torch", "a posterior")
        full = self._base + params @ self._places
        closed = self._closed
        found: Any = None
        if closed is None or (self.noise != "data" and closed.std is None):
            found = self._model.mean_and_std(full)

        def part(name: str, k: int) -> Any:
            if closed is not None and k == 0:
                return closed.mean(name, full)
            if found is None:
                assert closed is not None
                assert closed.std is not None
                return closed.std(name, full)
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
        params, log_prior = self._prior_terms(u)
        return -(self.torch_log_likelihood(params) + log_prior)

    # ------------------------------------------------------------------ numpy
    def log_likelihood(self, params: npt.ArrayLike) -> FloatArray:
        """ln likelihood at free parameters of shape (..., p)."""
        torch = need("torch", "a posterior")
        values = self._checked(params)
        flat = values.reshape(-1, values.shape[-1])
        with torch.no_grad():
            parts = [
                self.torch_log_likelihood(torch.tensor(flat[k : k + 4096])).numpy()
                for k in range(0, len(flat), 4096)
            ]
        return np.asarray(np.concatenate(parts).reshape(values.shape[:-1]))

    def __call__(self, params: npt.ArrayLike) -> FloatArray:
        """ln posterior density, not normalized, at parameters (..., p); -inf outside the priors.

        What an independent sampler, or a grid, is to be given.
        """
        values = self._checked(params)
        log_prior = self.priors.log_density(values)
        inside = np.isfinite(log_prior)
        out = np.full(values.shape[:-1], -np.inf)
        if inside.any():
            out[inside] = log_prior[inside] + self.log_likelihood(values[inside])
        return out

    def predict(self, params: npt.ArrayLike) -> dict[str, tuple[FloatArray, FloatArray]]:
        """Mean and aleatoric standard deviation of every statistic at parameters (..., p)."""
        torch = need("torch", "a posterior")
        values = self._checked(params)
        with torch.no_grad():
            found = self._model.mean_and_std(torch.tensor(self._full(values)))
        return {
            name: (mean.double().numpy(), std.double().numpy())
            for name, (mean, std) in found.items()
        }

    def _checked(self, params: npt.ArrayLike) -> FloatArray:
        values = finite_numbers("params", params)
        if values.ndim == 0 or values.shape[-1] != len(self.names):
            raise ValueError(
                f"params has shape {values.shape}; the last axis is the free parameters, "
                f"{', '.join(self.names)}"
            )
        if values.size == 0:
            raise ValueError(f"params has shape {values.shape}: must hold at least one point")
        return values
