"""The posterior density of HOD and alignment parameters, given correlations."""

from __future__ import annotations

import copy
import difflib
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from pysoftcorr.core.extras import need
from pysoftcorr.core.options import choice, finite_numbers, flag, mapping, number, numbers, texts
from pysoftcorr.core.random import Seed, root_seed, stream
from pysoftcorr.core.torch import one_thread
from pysoftcorr.inference.boxes import box_record, check_boxes, data_volume, same_box, world_of
from pysoftcorr.inference.noise import Noise, likelihood_kind, noise_kind
from pysoftcorr.inference.observation import Observation
from pysoftcorr.inference.priors import Normal, Prior, Priors, Uniform, parse_prior
from pysoftcorr.mocks import checks
from pysoftcorr.mocks.design import PARAMETERS
from pysoftcorr.mocks.hod import COSMOLOGY, PLANCK18

__all__ = ["CorrelationModel", "LogPosterior"]

FloatArray = npt.NDArray[np.float64]

#: The strengths, which have bounds of their own.
ALIGNMENT = PARAMETERS[:2]
#: A prior may reach beyond the bounds of the emulator by this part of its mass.
_OUTSIDE = 1e-3
#: Order in which a model's covariance has them.
_STATISTICS = ("xi", "omega", "eta")
#: Draws of the prior to start from where a covariance is sought that fits its own posterior; most
#: rounds; and by how much of ln its variances change in the last one.
_STARTS, _ROUNDS, _SETTLED = 256, 5, 0.02
#: Variance added to an emulator's, in a box of this side (Mpc/h) or a smaller one.
_JITTER, _JITTER_SIDE = 1e-6, 100.0
#: -ln density where there is none.
_NOWHERE = 1e10


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
    fixed: Any, free: tuple[str, ...], parameters: tuple[str, ...],
    world: Mapping[str, float] | None = None,
) -> dict[str, float]:  # fmt: skip
    """Values of all parameters that are not free, from an HODModel or a mapping.

    Parameters of the cosmology that are lacking are those of `world`, or of Planck 2018 today.
    """
    if hasattr(fixed, "with_parameters"):  # an HODModel
        if fixed.gamma != 0:
            raise ValueError(f"fixed: gamma = {fixed.gamma:g} is not among the emulator's inputs")
        for name in ("assembly_cen", "assembly_sat"):
            if getattr(fixed, name, 0) != 0:
                raise ValueError(
                    f"fixed: {name} = {getattr(fixed, name):g} is not among the emulator's inputs"
                )
        hod = [name for name in parameters if name not in (*free, *COSMOLOGY)]
        values = {name: getattr(fixed, name) for name in hod}
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
    known = {**PLANCK18, **(world or {})}
    values |= {n: known[n] for n in COSMOLOGY if n in parameters and n not in (*free, *values)}
    lacking = [name for name in parameters if name not in free and name not in values]
    if lacking:
        raise ValueError(
            f"{', '.join(lacking)}: neither free nor fixed; fix them, as by "
            "HODModel.preset('mstar10.0'), or add them to free"
        )
    return {name: float(values[name]) for name in parameters if name in values}


def _same_satellites(fixed: Any, box: Mapping[str, Any]) -> None:
    """ValueError where an HODModel has satellites elsewhere than the emulator's galaxies."""
    there = box.get("satellites")
    if there is not None and getattr(fixed, "satellites", there) != there:
        raise ValueError(
            f"fixed: satellites = {fixed.satellites!r}: the emulator's galaxies have "
            f"satellites={there!r}; pass fixed=model.with_parameters(satellites={there!r}), or "
            "on_outside='warn'"
        )


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


def in_double(emulator: Any) -> Any:
    """A copy in float64: gradients of single precision make a rough landscape."""
    if not hasattr(emulator, "double"):
        return emulator
    twin = copy.deepcopy(emulator)
    if hasattr(twin, "to"):
        twin = twin.to("cpu") or twin
    return twin.double() or twin


def refuse_no_noise(model: Any, noise: str) -> None:
    """ValueError where the noise shall be that of tables that do not know it."""
    if noise in ("model", "both") and not getattr(model, "has_noise", True):
        raise ValueError(
            f"noise = {noise!r}: these tables of halos do not tell how universes differ; tabulate "
            "several boxes, or one with subvolumes = 3; or give data with a covariance, and "
            "noise = 'data'"
        )


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
    D R D with D^2 = aleatoric(parameters)^2 + jitter and the correlations R between the bins, or
    the sum of both. Berman et al. 2025, section 7, have R = 1, which takes information for more
    than it is where bins share galaxies.

    Parameters
    ----------
    emulator : Emulator
        Or anything with its ``names``, ``edges``, ``bounds`` and ``mean_and_std``, and, if it has
        them, ``correlation`` (`BinCorrelation`) and ``box``; or with ``means`` and ``covariance``,
        as `HaloTables`.
    observation : Observation
        In the bins of the emulator.
    free : sequence of str
        Parameters that are inferred.
    fixed : HODModel or mapping of str to float, optional
        Values of all others; of a model those that are free are not taken.
    priors : mapping of str to Prior or text, optional
        By default uniform within the bounds of the emulator.
    noise : str
        "data": the covariance of the observation; "emulator": the scatter of one simulated box,
        times the ratio of its volume to that of the data's; "model": the covariance of tables of
        halos for the volume of the data, at the highest posterior density that it leads to itself;
        "both": that of the data and of the emulator or model; "auto": "data" where there is a
        covariance, else "emulator" or "model", whichever it is.
    likelihood : str
        What is made of a covariance from `Observation.covariance_from` realizations, which has
        noise of its own: "sellentin-heavens", a multivariate t, marginal over the true covariance;
        "hartlap", a normal distribution with the factor that makes the inverse unbiased;
        "gaussian", neither. "auto": "sellentin-heavens" where the number is known ("hartlap" where
        other covariances are added), else "gaussian".
    epistemic : bool
        Add the emulator's epistemic covariance, averaged over the posterior without it.
    jitter : float, optional
        Variance added to the emulator's noise; by default 1e-6 (Berman et al. 2025) in a box of 100
        Mpc/h or smaller, less in larger ones as their volume says.
    on_outside : str
        A prior with more than 1e-3 of its mass outside the bounds of the emulator, a fixed
        value outside them, or data of another redshift, cosmology, mass definition or kind of
        satellites: "error", "warn" or "ignore".

    Attributes
    ----------
    names : tuple of str
        Free parameters.
    priors : Priors
    fixed : dict of str to float
    observation : Observation
    noise : str
        "data", "emulator", "model" or "both".
    reference : dict of str to float, or None
        All parameters at which the covariance is a model's.
    likelihood : str
        "gaussian", "hartlap" or "sellentin-heavens".
    noise_scale : float
        Factor of the emulator's covariance: the ratio of the volumes.

    Raises
    ------
    ValueError
        If bins differ from the emulator's, a parameter is unknown, neither free nor fixed, or
        outside the bounds, the noise asked for is not there, the data are of other halos, or their
        covariance of too few realizations.
    TypeError
        If an argument is of the wrong kind.

    Warns
    -----
    UserWarning
        Where the emulator's noise is scaled to the volume of the data, their box is not known, or
        the emulator knows no correlation between bins.
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
        likelihood: str = "auto",
        epistemic: bool = False,
        jitter: float | None = None,
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
        if on_outside == "error":
            _same_satellites(fixed, getattr(emulator, "box", {}))
        world = world_of(observation.box)
        self.fixed = fixed_values(fixed, self.names, self.parameters, world)
        self.priors = Priors(priors_of(priors, self.names, emulator.bounds))
        observation = self.observation = observation.on(np.asarray(emulator.edges))
        bounds(self.names, self.priors, self.fixed, emulator.bounds, on_outside=on_outside)
        self.noise = noise_kind(noise, observation, emulator)
        refuse_no_noise(emulator, self.noise)
        given = None if jitter is None else number("jitter", jitter, least=0)
        self.epistemic = flag("epistemic", epistemic)
        self.likelihood = likelihood_kind(
            likelihood, observation, noise=self.noise, epistemic=self.epistemic
        )
        self.noise_scale = self._compared(on_outside)
        self.jitter: float = self._jitter() if given is None else given
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
        self._check_model(torch)
        self._closed: Any = None
        self.reference: dict[str, float] | None = None
        with one_thread():
            self._prepare()

    @property
    def constant_covariance(self) -> FloatArray:
        """Covariance that does not depend on the parameters; zero where there is none."""
        return self._noise.constant

    @property
    def closed_form(self) -> bool:
        """Whether the means follow from response functions: the HOD is fixed, and they do."""
        return self._closed is not None

    # ------------------------------------------------------------------ set up
    def _prepare(self) -> None:
        """Response functions and noise, as far as they do not depend on free parameters."""
        if all(name in ALIGNMENT for name in self.names):
            from pysoftcorr.inference.simulated import alignment_response

            self._closed = alignment_response(
                self._model, self.parameters, self._base, self.observation.statistics
            )
        if self.noise != "data" and hasattr(self.emulator, "covariance"):
            self._settle()
        else:
            self._noise = self._made_noise()
        if self.epistemic:
            self._noise.add(self._epistemic_covariance())

    def _jitter(self) -> float:
        """Small beside the noise of a box of the size of the data."""
        size = (getattr(self.emulator, "box", None) or {}).get("boxsize")
        if size is None:
            return _JITTER
        return _JITTER * min(1.0, _JITTER_SIDE**3 * self.noise_scale / checks.volume(size))

    def _made_noise(self, of_model: FloatArray | None = None) -> Noise:
        correlation = getattr(self.emulator, "correlation", None)
        hod_free = any(name not in ALIGNMENT for name in self.names)
        return Noise(
            self.observation, self.noise, likelihood=self.likelihood, jitter=self.jitter,
            scale=self.noise_scale, correlation=None if correlation is None else correlation.at,
            at=None if hod_free else self._base, of_model=of_model,
        )  # fmt: skip

    def _settle(self) -> None:
        """Covariance of the model at the highest posterior density, which depends on it in turn."""
        torch = need("torch", "a posterior")
        point = np.array([m.quantile(0.5) for m in self.priors.members])
        known = self._model_covariance(point)
        self._noise = self._made_noise(known)
        drawn = self.priors.draw(_STARTS, stream(0, "start of the covariance"))
        point = drawn[int(np.nanargmax(self.log_likelihood(drawn)))]
        for _ in range(_ROUNDS):
            known = self._model_covariance(point)
            self._noise = self._made_noise(known)
            u = torch.tensor(self.priors.unbounded(point), requires_grad=True)
            descent = torch.optim.LBFGS([u], max_iter=60, line_search_fn="strong_wolfe")

            def loss(u: Any = u, descent: Any = descent) -> Any:
                descent.zero_grad()
                value = self.potential(u)
                value.backward()
                return value

            descent.step(loss)
            found = self.priors.physical(u.detach().numpy())
            if not np.isfinite(found).all():
                break
            point = found
            new = self._model_covariance(point)
            change = np.abs(np.log(np.diag(new) / np.diag(known))).max()
            known = new
            self._noise = self._made_noise(known)
            if change < _SETTLED:
                break
        if any(name not in ALIGNMENT for name in self.names):
            point = self._likeliest(point)
            self._noise = self._made_noise(self._model_covariance(point))
        full = self._full(point)
        self.reference = dict(zip(self.parameters, full.tolist(), strict=True))

    def _likeliest(self, point: FloatArray) -> FloatArray:
        """Peak of the posterior whose covariance is that of the parameters everywhere.

        With an occupation free a covariance that leads to itself is not enough: with more galaxies
        than the data have it is smaller, and pulls there.
        """
        from scipy.optimize import minimize

        torch = need("torch", "a posterior")
        of_data = torch.tensor(self._noise.constant - self._model_covariance(point))
        rows = torch.tensor(self._model_rows())

        def loss(values: FloatArray) -> tuple[float, FloatArray]:
            u = torch.tensor(values, requires_grad=True)
            params, log_prior = self._prior_terms(u)
            full = self._base + params @ self._places
            made = self.emulator.covariance(full, volume=self._volume)  # type: ignore[attr-defined]
            lower, wrong = torch.linalg.cholesky_ex(made[rows][:, rows] + of_data)
            residual = (self._data - self._mean_and_std(full)[0])[:, None]
            white = torch.linalg.solve_triangular(lower, residual, upper=False)
            log_det = 2 * lower.diagonal().log().sum()
            value = 0.5 * (white.square().sum() + log_det) - log_prior
            (slope,) = torch.autograd.grad(value, u)
            if wrong or not (torch.isfinite(value) and torch.isfinite(slope).all()):
                return _NOWHERE, np.zeros_like(values)
            return float(value.detach()), slope.numpy()

        start = self.priors.unbounded(point)
        found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 60})
        return np.asarray(self.priors.physical(found.x))

    def _model_rows(self) -> npt.NDArray[np.intp]:
        """Values that are used among all of the model's covariance."""
        bins = self.observation.edges.size - 1
        places = [_STATISTICS.index(name) * bins for name in self.observation.statistics]
        rows = np.concatenate([first + np.arange(bins) for first in places])
        return np.asarray(rows[self.observation.rows])

    def _model_covariance(self, point: FloatArray) -> FloatArray:
        """Covariance of the values that are used, by the model at free parameters (p,)."""
        every = np.asarray(
            self.emulator.covariance(self._full(point), volume=self._volume)  # type: ignore[attr-defined]
        )
        bins, rows = self.observation.edges.size - 1, self._model_rows()
        made = every[np.ix_(rows, rows)]
        bad = np.flatnonzero(~np.isfinite(np.diag(made)))
        if bad.size:
            b = int(rows[bad[0]] % bins)
            low, high = self.observation.edges[b : b + 2]
            raise ValueError(
                f"noise = 'model': the halos of the tables make no pairs of {low:.4g} to "
                f"{high:.4g} Mpc/h; leave such bins out with r_min or r_max"
            )
        return made

    def _compared(self, on_outside: str) -> float:
        """Compare the box of the data with the emulator's; factor of the emulator's noise."""
        there = getattr(self.emulator, "box", None) or {}
        model = box_record({name: there.get(name) for name in there}, name="emulator.box")
        data = self.observation.box
        if "z" in self.fixed:
            model["redshift"] = self.fixed["z"]
        if {"Omega_m", "sigma_8"} <= set(self.fixed):
            model["cosmology"] = {
                "Om0": self.fixed["Omega_m"], "sigma8": self.fixed["sigma_8"]
            }  # fmt: skip
        same_box(data, model, on_outside=on_outside, inputs="z" in self.parameters)
        self._volume: float | None = None
        if self.noise == "data":
            return 1.0
        if hasattr(self.emulator, "covariance"):
            self._volume = data_volume(data, model, supposed=self.observation.supposed)
            return 1.0
        if getattr(self.emulator, "correlation", ()) is None:
            warnings.warn(
                "the emulator knows no correlation between bins, without which posteriors are too "
                "narrow: train it again, or bring a covariance",
                UserWarning,
                stacklevel=4,
            )
        return check_boxes(data, model, supposed=self.observation.supposed)

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
        with one_thread(), torch.no_grad():
            found = self._found(torch.tensor(self._full(middle)))
        bins = self.observation.edges.size - 1
        for name in self.observation.statistics:
            if name not in found:
                raise ValueError(f"statistics: the emulator does not model {name}")
            for kind, values in zip(("mean", "std"), found[name], strict=False):
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
        return self._noise.log_density(*self._chi2_and_log_det(params))

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
        full = self._base + params @ self._places
        mean, std = self._mean_and_std(full)
        return self._noise.chi2_and_log_det(self._data - mean, std, full)

    def _found(self, full: Any) -> Mapping[str, tuple[Any, ...]]:
        """Means and standard deviations of the model; of one with its own covariance, means."""
        if hasattr(self._model, "covariance"):
            return {name: (mean,) for name, mean in self._model.means(full).items()}
        return self._model.mean_and_std(full)

    def _mean_and_std(self, full: Any) -> tuple[Any, Any]:
        """Mean and standard deviation of the values used; None of a constant covariance."""
        torch = need("torch", "a posterior")
        closed = self._closed
        found: Any = None
        constant = self._noise.is_constant
        if closed is None or (not constant and closed.std is None):
            found = self._found(full)

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

        return column(0), None if constant else column(1)

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
        with one_thread(), torch.no_grad():
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
        with one_thread(), torch.no_grad():
            found = self._model.mean_and_std(torch.tensor(self._full(values)))
        return {
            name: (mean.double().numpy(), std.double().numpy())
            for name, (mean, std) in found.items()
        }

    def means(self, params: npt.ArrayLike) -> dict[str, FloatArray]:
        """Mean of every statistic at parameters (..., p)."""
        torch = need("torch", "a posterior")
        with one_thread(), torch.no_grad():
            found = self._found(torch.tensor(self._full(self._checked(params))))
        return {name: values[0].double().numpy() for name, values in found.items()}

    def log_likelihood_pointwise(self, params: npt.ArrayLike) -> FloatArray:
        """ln density of each value given all the others, at parameters (..., p), shape (..., n).

        What leave-one-out cross-validation wants of values that are correlated (`Noise.pointwise`);
        their sum is not the likelihood.
        """
        return self._of_values(
            params, lambda mean, std, full: self._noise.pointwise(self._data - mean, std, full)
        )

    def draw_data(self, params: npt.ArrayLike, *, seed: Seed = None) -> dict[str, FloatArray]:
        """Data drawn about the model at parameters (..., p), (..., nbins) by statistic.

        NaN in bins that are not used.
        """
        rng = stream(root_seed(seed), "drawn data")
        drawn = self._of_values(
            params, lambda mean, std, full: self._noise.draw(mean, std, full, rng)
        )
        bins = self.observation.edges.size - 1
        names = self.observation.statistics
        every = np.full((*drawn.shape[:-1], len(names) * bins), np.nan)
        every[..., self.observation.rows] = drawn
        return {name: every[..., k * bins : (k + 1) * bins] for k, name in enumerate(names)}

    def _of_values(self, params: npt.ArrayLike, function: Callable[..., Any]) -> FloatArray:
        """A function of means and standard deviations of the values, some points at a time."""
        torch = need("torch", "a posterior")
        values = self._checked(params)
        flat = values.reshape(-1, values.shape[-1])
        parts = []
        with one_thread(), torch.no_grad():
            for k in range(0, len(flat), 1024):
                full = torch.tensor(self._full(flat[k : k + 1024]))
                parts.append(function(*self._mean_and_std(full), full).numpy())
        made = np.concatenate(parts)
        return np.asarray(made.reshape(*values.shape[:-1], made.shape[-1]))

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
