"""Leakage of the point-spread function into galaxy shapes: alpha, beta and eta from tau and rho."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from pysoftcorr.core.files import HDF5, FileFormat, check_output
from pysoftcorr.core.lazy import plots
from pysoftcorr.core.notebook import html_rows
from pysoftcorr.core.options import choice, count, flag, number, numbers, texts
from pysoftcorr.core.random import Seed, root_seed, stream
from pysoftcorr.core.text import aligned_rows
from pysoftcorr.core.version import __version__
from pysoftcorr.sky.binning import Binning
from pysoftcorr.sky.errors_in_variables import Estimate, Problem
from pysoftcorr.sky.result import CorrelationSet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["TERMS", "Leakage", "fit_leakage"]

FloatArray = npt.NDArray[np.float64]

#: The parameters, in the order of the fields p, q, w that they stand before.
TERMS = ("alpha", "beta", "eta")
#: The tau that each one's field makes with the galaxies.
TAU_OF = {"alpha": "tau0", "beta": "tau2", "eta": "tau5"}
#: The rho of each two of the fields: tau_i = sum_j rho_ij theta_j.
RHO_OF = (("rho0", "rho2", "rho5"), ("rho2", "rho1", "rho4"), ("rho5", "rho4", "rho3"))
#: Below this, 3 sigma, errors were found unreliable in simulated data.
DETECTED = 9.0
FORMAT = FileFormat("pysoftcorr leakage", "leakage fit")


def rho_of(first: str, second: str) -> str:
    """Name of the rho of the fields of two terms."""
    return RHO_OF[TERMS.index(first)][TERMS.index(second)]


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Leakage:
    """Leakage parameters, how well they fit, and what they add to xi+; made by `fit_leakage`.

    Attributes
    ----------
    terms : tuple of str
        The k parameters fitted, of "alpha", "beta", "eta".
    values : ndarray, shape (k,)
    covariance : ndarray, shape (k, k)
        NaN where the data do not hold the parameters.
    chi2 : float
        Of the tau statistics, with the Hartlap factor where one is used.
    dof : int
        Number of values of tau less k.
    p_value : float
        Probability of a larger chi2, by Hotelling's distribution for a covariance from resamples.
    detection : float
        chi2 of infinite parameters less that of the best ones; infinity where rho is exact. Below
        9, rho is too noisy to bound the parameters at 3 sigma.
    bins : Binning
    used : ndarray of bool, shape (nbins,)
        Bins that the fit was made in.
    theta : ndarray, shape (nbins,)
        Mean separation, in ``bins.unit``.
    rho, tau, tau_error : dict of str to ndarray, shape (nbins,)
        The data by name; the error of tau is NaN where it is not known.
    xi_sys : ndarray, shape (nbins,)
        What the leakage adds to xi+: the quadratic form of the parameters in the rho's.
    xi_sys_covariance : ndarray, shape (nbins, nbins)
        With the noise of the parameters, to second order, and of rho.
    samples : ndarray, shape (n_samples, k), or None
        Parameters of data drawn anew.
    settings : dict
    seed : int or None
    version : str
    """

    terms: tuple[str, ...]
    values: FloatArray
    covariance: FloatArray
    chi2: float
    dof: int
    p_value: float
    detection: float
    bins: Binning
    used: npt.NDArray[np.bool_]
    theta: FloatArray
    rho: dict[str, FloatArray]
    tau: dict[str, FloatArray]
    tau_error: dict[str, FloatArray]
    xi_sys: FloatArray
    xi_sys_covariance: FloatArray
    samples: FloatArray | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    seed: int | None = None
    version: str = __version__

    # ------------------------------------------------------------------ numbers
    @property
    def errors(self) -> FloatArray:
        """Standard deviation of each parameter, shape (k,)."""
        return np.sqrt(np.diag(self.covariance))

    @property
    def value(self) -> dict[str, float]:
        """The parameters by name."""
        return dict(zip(self.terms, map(float, self.values), strict=True))

    @property
    def error(self) -> dict[str, float]:
        """Their standard deviations by name."""
        return dict(zip(self.terms, map(float, self.errors), strict=True))

    @property
    def correlation(self) -> FloatArray:
        """Correlation matrix of the parameters, shape (k, k)."""
        return self.covariance / np.outer(self.errors, self.errors)

    @property
    def xi_sys_error(self) -> FloatArray:
        """Standard deviation of `xi_sys`, shape (nbins,)."""
        return np.sqrt(np.diag(self.xi_sys_covariance))

    @property
    def xi_sys_bias(self) -> FloatArray:
        """What the noise of the parameters adds to `xi_sys` on average, shape (nbins,).

        The square of a noisy number is too large by its variance: the trace of the covariance
        with the rho's.
        """
        return np.einsum("ijb,ij->b", self._matrix(), self.covariance)

    def parts(self) -> dict[str, dict[str, FloatArray]]:
        """Each term's part of each tau at the best fit, (nbins,), by tau and term."""
        return {
            TAU_OF[one]: {t: self.rho[rho_of(one, t)] * v for t, v in self.value.items()}
            for one in self.terms
        }

    def model(self) -> dict[str, FloatArray]:
        """Each tau at the best fit, shape (nbins,)."""
        return {name: sum(parts.values(), np.zeros(len(self.bins)))
                for name, parts in self.parts().items()}  # fmt: skip

    def _matrix(self) -> FloatArray:
        return np.array([[self.rho[rho_of(a, b)] for b in self.terms] for a in self.terms])

    # ------------------------------------------------------------------ showing
    def __repr__(self) -> str:
        found = ", ".join(
            f"{t} = {v:.4g} +- {e:.2g}"
            for t, v, e in zip(self.terms, self.values, self.errors, strict=True)
        )
        return f"<Leakage: {found}; chi2 = {self.chi2:.3g} for {self.dof} degrees of freedom>"

    def summary(self) -> str:
        """Parameters, quality of the fit, and xi_sys, as text."""
        rows = [("term", "value", "error", "value/error")]
        for t, v, e in zip(self.terms, self.values, self.errors, strict=True):
            rows.append((t, f"{v:+.4g}", _number(e, ".3g"), _number(v / e, "+.2f")))
        bins = [(f"theta [{self.bins.unit}]", "xi_sys", "error", "fitted")]
        for k in range(len(self.bins)):
            lo, hi = self.bins.edges[k : k + 2]
            bins.append((
                f"{_number(self.theta[k], '.4g')} [{lo:.4g}, {hi:.4g})",
                _number(self.xi_sys[k], "+.3e"), _number(self.xi_sys_error[k], ".2e"),
                "yes" if self.used[k] else "no",
            ))  # fmt: skip
        return "\n".join([
            f"leakage ({self.settings.get('noise', '')})", aligned_rows(rows, first=str.ljust),
            f"chi2 = {self.chi2:.4g} for {self.dof} degrees of freedom, "
            f"p = {_number(self.p_value, '.3g')}",
            "", "part of xi+ that leaks in", aligned_rows(bins),
        ])  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; None for what is not a number."""
        return {
            "terms": list(self.terms), "value": _plain(self.value), "error": _plain(self.error),
            "covariance": _plain(self.covariance), "chi2": self.chi2, "dof": self.dof,
            "p_value": _plain(self.p_value), "detection": _plain(self.detection),
            "used": self.used.tolist(), "theta": _plain(self.theta),
            "xi_sys": _plain(self.xi_sys), "xi_sys_error": _plain(self.xi_sys_error),
            "xi_sys_bias": _plain(self.xi_sys_bias),
            "settings": self.settings, "seed": self.seed, "version": self.version,
        }  # fmt: skip

    def plot(self) -> Figure:
        """Contours of the parameters and xi_sys, by `pysoftcorr.plots.plot_leakage`."""
        figure: Figure = plots().plot_leakage(self)
        return figure

    def plot_tau(self) -> Figure:
        """The tau statistics with the best fit, by `pysoftcorr.plots.plot_tau`."""
        figure: Figure = plots().plot_tau(self)
        return figure

    # ------------------------------------------------------------------ files
    def write(self, path: str | PathLike[str], *, overwrite: bool = False) -> None:
        """Write to HDF5 (.h5, .hdf5), whole or not at all.

        Raises
        ------
        ValueError, OSError
            As `pysoftcorr.core.files.check_output`.
        """
        target = check_output(path, suffixes=HDF5, overwrite=overwrite)
        header = {name: getattr(self, name) for name in _HEADER} | {"bins": self.bins.to_dict()}
        with FORMAT.writing(target, overwrite=overwrite) as file:
            file.create_dataset("header.json", data=json.dumps(header))
            for name in _ARRAYS:
                if getattr(self, name) is not None:
                    file.create_dataset(name, data=getattr(self, name))
            for name in _GROUPS:
                for key, values in getattr(self, name).items():
                    file.create_dataset(f"{name}/{key}", data=values)

    @classmethod
    def read(cls, path: str | PathLike[str]) -> Leakage:
        """Read what `write` wrote.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If it holds no leakage fit written by pysoftcorr.
        """
        with FORMAT.reading(path) as file:
            header = json.loads(file["header.json"][()])
            bins = Binning.from_dict(header.pop("bins"))
            arrays = {name: file[name][...] for name in _ARRAYS if name in file}
            groups = {n: {k: v[...] for k, v in file[n].items()} for n in _GROUPS}
            header["terms"] = tuple(header["terms"])
            every: dict[str, Any] = {**header, **arrays, **groups}
            return cls(bins=bins, **every)

    def _repr_html_(self) -> str:
        """Parameters and quality of the fit, as a table for notebooks."""
        rows = (
            (t, f"{v:+.4g}", _number(e, ".3g"), _number(v / e, "+.2f"))
            for t, v, e in zip(self.terms, self.values, self.errors, strict=True)
        )
        quality = (
            f"chi2 = {self.chi2:.4g} for {self.dof} degrees of freedom, "
            f"p = {_number(self.p_value, '.3g')}"
        )
        return html_rows(("term", "value", "error", "value/error"), rows, notes=[quality])


_GROUPS = ("rho", "tau", "tau_error")
_ARRAYS = (
    "values", "covariance", "used", "theta", "xi_sys", "xi_sys_covariance", "samples",
)  # fmt: skip
_HEADER = tuple(
    f.name for f in fields(Leakage) if f.name not in (*_GROUPS, *_ARRAYS, "bins")
)  # fmt: skip


def _number(x: float, form: str) -> str:
    return format(x, form) if math.isfinite(x) else "-"


def _plain(x: Any) -> Any:
    """Lists and numbers, None for what is not finite."""
    if isinstance(x, dict):
        return {key: _plain(value) for key, value in x.items()}
    if isinstance(x, np.ndarray):
        return [_plain(part) for part in x]
    return float(x) if math.isfinite(x) else None


# ---------------------------------------------------------------------- the fit
def fit_leakage(
    result: CorrelationSet,
    *,
    terms: Sequence[str] = TERMS,
    covariance: str | npt.ArrayLike = "joint",
    theta_min: float | None = None,
    theta_max: float | None = None,
    hartlap: bool = True,
    n_samples: int = 0,
    seed: Seed = None,
) -> Leakage:
    """Fit of the leakage parameters alpha, beta and eta to tau statistics.

    The model ``e_gal = gamma + alpha p + beta q + eta w`` makes the tau statistics linear in its
    parameters: tau0 = alpha rho0 + beta rho2 + eta rho5, tau2 = alpha rho2 + beta rho1 + eta rho4,
    tau5 = alpha rho5 + beta rho4 + eta rho3 (Gatti et al. 2021, section 6; Guerrini et al. 2025).
    It adds to xi+ the part xi_sys = alpha^2 rho0 + beta^2 rho1 + eta^2 rho3 + 2 alpha beta rho2 +
    2 alpha eta rho5 + 2 beta eta rho4.

    Parameters
    ----------
    result : CorrelationSet
        Of `tau_statistics`, with resamples.
    terms : sequence of str
        Parameters to fit, the others being 0; each brings its own tau: alpha tau0, beta tau2,
        eta tau5.
    covariance : {"joint", "tau"} or array_like
        "joint": rho is as noisy as its resamples say, and the most likely parameters are found
        for the covariance of tau - M(rho) theta (`pysoftcorr.sky.errors_in_variables`). "tau":
        rho is taken as exact, as is common; where it is noisy, parameters then come out too near
        to 0. Or the covariance of the taus of `terms`, shape (k nbins, k nbins), with rho exact;
        or that of the whole set in its order, shape (9 nbins, 9 nbins), as "joint".
    theta_min, theta_max : float, optional
        Fit bins that lie between these separations alone, in the unit of the bins.
    hartlap : bool
        For a covariance from n resamples, multiply its inverse by (n - d - 2)/(n - 1), d the
        number of values of tau (Hartlap et al. 2007), and the covariance of the parameters by the
        factor of Percival et al. (2014, eq. 18).
    n_samples : int
        Further fits to data drawn anew about the best fit, from the covariance; 0: none.
    seed : int, numpy.random.Generator or None
        Seed of these.

    Returns
    -------
    Leakage

    Raises
    ------
    ValueError, TypeError
        Statistics that are not there, no resamples or too few, no bins left, or an option that
        is not possible.

    Warns
    -----
    UserWarning
        Bins that are left out for a lack of pairs; rho too noisy to tell the parameters.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr import Catalog, demo_stars, fit_leakage, tau_statistics
    >>> stars, rng = demo_stars(), np.random.default_rng(1)
    >>> noise = rng.normal(0, 1e-4, (2, len(stars)))
    >>> galaxies = Catalog(ra=stars.ra, dec=stars.dec + 1e-3, g1=0.1 * stars.g1_model + noise[0],
    ...                    g2=0.1 * stars.g2_model + noise[1])
    >>> tau = tau_statistics(galaxies, stars, "linear:1:41:3", resampling="jackknife:20", seed=1)
    >>> fit_leakage(tau, terms=["alpha"], covariance="tau").values.round(2)
    array([0.1])
    """
    if not isinstance(result, CorrelationSet):
        raise TypeError(
            f"fit_leakage: result must be a CorrelationSet, not {type(result).__name__}"
        )
    data = _Data.of(result, _terms(terms), covariance)
    used = data.within(_limit("theta_min", theta_min), _limit("theta_max", theta_max))
    count("n_samples", n_samples, least=0, most=100_000_000, each=400.0)
    root = None if seed is None and not n_samples else root_seed(seed)
    size, k = data.k * int(used.sum()), data.k
    if size <= k:
        raise ValueError(
            f"fit_leakage: {size} values of tau for {k} parameters: use more bins or fewer terms"
        )
    precision, spread = _finite(data.resamples, size, k, flag("hartlap", hartlap))
    problem = Problem(data.index(used), data.part(used), data.noisy)
    x, y = data.x[:, used].ravel(), data.y[:, used].ravel()
    try:
        found = problem.fit(x, y)
    except np.linalg.LinAlgError:
        raise ValueError(
            "fit_leakage: the covariance of the tau statistics has no inverse: use more "
            "resamples, fewer bins or fewer terms"
        ) from None
    detection = precision * found.bound
    if detection < DETECTED:
        warnings.warn(_hidden(data.terms, detection, found), stacklevel=2)
    dof = size - k
    samples = None
    if n_samples:
        samples = _samples(problem, found, n_samples, stream(int(root or 0), "leakage"))
        samples = found.theta + math.sqrt(spread) * (samples - found.theta)
    xi_sys, xi_cov = data.contamination(found, problem, used, spread)
    return Leakage(
        terms=data.terms, values=found.theta, covariance=spread * found.covariance,
        chi2=precision * found.chi2, dof=dof,
        p_value=_p_value(found.chi2, dof, data.resamples if hartlap else None),
        detection=detection, bins=result.bins, used=used, theta=data.theta,
        rho=dict(zip(data.rho_names, data.x, strict=True)),
        tau=dict(zip(data.tau_names, data.y, strict=True)), tau_error=data.tau_errors(),
        xi_sys=xi_sys, xi_sys_covariance=xi_cov, samples=samples, seed=root,
        settings={
            "noise": data.noise, "covariance": covariance if isinstance(covariance, str) else
            "given", "theta_min": theta_min, "theta_max": theta_max, "hartlap": hartlap,
            "n_samples": n_samples, "tau": result.settings,
        },
    )  # fmt: skip


def _terms(given: Sequence[str]) -> tuple[str, ...]:
    names = texts("terms", given)
    for name in names:
        choice("terms", name, TERMS)
    if not names or len(set(names)) < len(names):
        raise ValueError(
            f"terms = {', '.join(names) or 'none'}: must be different, and at least one"
        )
    return tuple(t for t in TERMS if t in names)


def _limit(name: str, value: float | None) -> float | None:
    return None if value is None else number(name, value, least=0)


@dataclass(frozen=True)
class _Data:
    """The statistics of a fit in all bins: x the rho's, y the tau's, their joint covariance."""

    terms: tuple[str, ...]
    rho_names: tuple[str, ...]
    tau_names: tuple[str, ...]
    bins: Binning
    theta: FloatArray
    x: FloatArray
    y: FloatArray
    covariance: FloatArray
    noisy: bool
    resamples: int | None
    noise: str

    @classmethod
    def of(
        cls, result: CorrelationSet, terms: tuple[str, ...], covariance: str | npt.ArrayLike
    ) -> _Data:
        tau_names = tuple(TAU_OF[t] for t in terms)
        rho_names = tuple(sorted({rho_of(a, b) for a in terms for b in terms}))
        names = [*rho_names, *tau_names]
        lacking = [name for name in names if name not in result]
        if lacking:
            raise ValueError(
                f"fit_leakage: {', '.join(lacking)} not in the result, which has "
                f"{', '.join(result)}; measure them with tau_statistics"
            )
        nbins, m = result.bins.nbins, len(rho_names) * result.bins.nbins
        noisy, resamples = True, None
        if isinstance(covariance, str):
            noisy = choice("covariance", covariance, ("joint", "tau")) == "joint"
            first = result[tau_names[0]]
            there = [r for r in (first.aleatoric, first.epistemic) if r is not None]
            if not there:
                raise ValueError(
                    "fit_leakage: result has no resamples, hence no covariance: measure it with "
                    "resampling='jackknife:N', or give the covariance"
                )
            resamples = min(map(len, there))
            matrix = result.covariance(names=names)
            kind = first.aleatoric_method or "assignment"
            noise = f"{resamples} {kind} resamples of {'tau and rho' if noisy else 'tau'}"
        else:
            sizes = {len(terms) * nbins: list(tau_names), len(result) * nbins: list(result)}
            given = numbers("covariance", covariance)
            if given.ndim != 2 or given.shape[0] != given.shape[1] or len(given) not in sizes:
                shapes = " or ".join(f"({s}, {s})" for s in sizes)
                raise ValueError(
                    f"covariance: must have shape {shapes} (of {', '.join(tau_names)}, or of the "
                    f"whole result), not {given.shape}"
                )
            order = sizes[len(given)]
            noisy = order != list(tau_names)
            matrix = np.zeros((len(names) * nbins,) * 2)
            here = [k for k, name in enumerate(names) if name in order]
            rows = np.concatenate([k * nbins + np.arange(nbins) for k in here])
            from_ = [order.index(names[k]) * nbins + np.arange(nbins) for k in here]
            columns = np.concatenate(from_)
            matrix[np.ix_(rows, rows)] = given[np.ix_(columns, columns)]
            noise = f"covariance of {'tau and rho' if noisy else 'tau'} as given"
        if not noisy:
            matrix = matrix.copy()
            matrix[:m] = matrix[:, :m] = 0.0
        x, y = (np.array([result[n].value for n in part]) for part in (rho_names, tau_names))
        theta = result[tau_names[0]].theta
        return cls(terms, rho_names, tau_names, result.bins, theta, x, y, matrix, noisy,
                   resamples, noise)  # fmt: skip

    @property
    def k(self) -> int:
        """Number of parameters."""
        return len(self.terms)

    @property
    def good(self) -> npt.NDArray[np.bool_]:
        """Bins in which all is known, shape (nbins,)."""
        known = np.isfinite(np.diag(self.covariance)).reshape(-1, self.bins.nbins)
        every = np.vstack([np.isfinite(self.x), np.isfinite(self.y), known])
        return np.asarray(every.all(axis=0))

    def within(self, low: float | None, high: float | None) -> npt.NDArray[np.bool_]:
        """Bins to fit, shape (nbins,)."""
        edges = self.bins.edges
        inside = np.ones(self.bins.nbins, dtype=bool)
        # A limit that is an edge but for its last digit is that edge.
        room = 1e-9 * edges[-1]
        if low is not None:
            inside &= edges[:-1] >= low - room
        if high is not None:
            inside &= edges[1:] <= high + room
        if not inside.any():
            given = {"theta_min": low, "theta_max": high}
            limits = ", ".join(f"{k} = {v}" for k, v in given.items() if v is not None)
            raise ValueError(
                f"{limits}: no bin lies within; edges are "
                f"{', '.join(f'{e:.4g}' for e in edges)} {self.bins.unit}"
            )
        bad = inside & ~self.good
        if bad.any():
            shown = ", ".join(f"{edges[b]:.4g}-{edges[b + 1]:.4g}" for b in np.flatnonzero(bad)[:4])
            warnings.warn(
                f"fit_leakage: {bad.sum()} of {inside.sum()} bins are left out, which have no "
                f"pairs or no resamples with pairs ({shown} {self.bins.unit})",
                stacklevel=3,
            )
        return inside & self.good

    def rows(self, chosen: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        """Places of the bins `chosen` in the covariance."""
        nbins, here = self.bins.nbins, np.flatnonzero(chosen)
        every = len(self.rho_names) + len(self.tau_names)
        return (nbins * np.arange(every)[:, None] + here).ravel()

    def part(self, chosen: npt.NDArray[np.bool_]) -> FloatArray:
        """Covariance of the bins `chosen`."""
        rows = self.rows(chosen)
        return self.covariance[np.ix_(rows, rows)]

    def index(self, chosen: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        """Where in x, of the bins `chosen`, the design matrix has its entries."""
        n = int(chosen.sum())
        place = np.array([[self.rho_names.index(rho_of(a, b)) for b in self.terms]
                          for a in self.terms])  # fmt: skip
        return (n * place[:, None, :] + np.arange(n)[None, :, None]).reshape(-1, self.k)

    def tau_errors(self) -> dict[str, FloatArray]:
        """Error of each tau in each bin."""
        variance = np.diag(self.covariance).reshape(-1, self.bins.nbins)[len(self.rho_names) :]
        return dict(zip(self.tau_names, np.sqrt(variance), strict=True))

    def contamination(
        self, found: Estimate, problem: Problem, used: npt.NDArray[np.bool_], spread: float
    ) -> tuple[FloatArray, FloatArray]:
        """xi_sys in every bin, and its covariance."""
        theta, nbins = found.theta, self.bins.nbins
        matrix = np.array([[self.x[self.rho_names.index(rho_of(a, b))] for b in self.terms]
                           for a in self.terms])  # fmt: skip
        value = np.einsum("i,ijb,j->b", theta, matrix, theta)
        # The square of a noisy slope is too large by its variance, which for parameters near 0
        # would make the error far too large: they are taken as long as they are without noise.
        length2 = (
            float(theta @ np.linalg.pinv(spread * found.covariance) @ theta)
            if np.isfinite(found.covariance).all()
            else np.inf
        )
        likely = theta * math.sqrt(max(0.0, 1 - self.k / length2)) if length2 else theta
        slope = 2 * np.einsum("ijb,j->bi", matrix, likely)
        # Through the parameters, which follow from the bins used, and through rho itself.
        through = np.zeros((nbins, len(self.covariance)))
        through[:, self.rows(used)] = slope @ (found.response @ problem.jacobian(theta))
        direct = np.zeros_like(through)
        bins = np.arange(nbins)
        for i, a in enumerate(self.terms):
            for j, b in enumerate(self.terms):
                place = self.rho_names.index(rho_of(a, b)) * nbins
                direct[bins, place + bins] += likely[i] * likely[j]
        known = np.isfinite(self.covariance)
        noise = np.where(known, self.covariance, 0.0)
        total = through + direct
        covariance = total @ noise @ total.T + (spread - 1) * (through @ noise @ through.T)
        # A quadratic form of Gaussian numbers has 2 tr(R V R' V) beyond the first order.
        turned = np.einsum("ijb,jk->bik", matrix, spread * found.covariance)
        covariance += 2 * np.einsum("bik,cki->bc", turned, turned)
        covariance[~self.good] = covariance[:, ~self.good] = np.nan
        return value, covariance


def _finite(n: int | None, d: int, k: int, hartlap: bool) -> tuple[float, float]:
    """Factors of chi2 and of the parameters' covariance for a covariance from n resamples."""
    if n is None:
        return 1.0, 1.0
    least = d + 5 if hartlap else d + 2
    if n < least:
        raise ValueError(
            f"fit_leakage: the inverse covariance of {d} values of tau needs at least {least} "
            f"resamples, and there are {n}: use more resamples, fewer bins or terms, or give the "
            "covariance"
        )
    if not hartlap:
        return 1.0, 1.0
    precision = (n - d - 2) / (n - 1)
    scale = (n - d - 1) * (n - d - 4)
    a, b = 2 / scale, (n - d - 2) / scale
    return precision, (1 + b * (d - k)) / (1 + a + b * (k + 1)) / precision


def _p_value(chi2: float, dof: int, n: int | None) -> float:
    """Probability of a larger chi2: Hotelling's T^2 for a covariance from n resamples."""
    if n is None:
        return float(stats.chi2.sf(chi2, dof))
    free = n - dof
    return float(stats.f.sf(chi2 * free / ((n - 1) * dof), dof, free))


def _samples(problem: Problem, found: Estimate, n: int, rng: np.random.Generator) -> FloatArray:
    """Parameters of data drawn about the best fit, shape (n, k)."""
    values, vectors = np.linalg.eigh(problem.covariance)
    root = vectors * np.sqrt(np.clip(values, 0, None))
    middle = np.concatenate([found.x, found.x[problem.index] @ found.theta])
    drawn = middle + rng.standard_normal((n, len(middle))) @ root.T
    return np.array([problem.theta(z[: problem.size], z[problem.size :]) for z in drawn])


def _hidden(terms: Sequence[str], detection: float, found: Estimate) -> str:
    known = np.isfinite(found.covariance).all()
    errors = "their errors are not to be trusted" if known else "they have no errors"
    way = "leave out one of them, " if len(terms) > 1 else ""
    return (
        f"fit_leakage: rho is too noisy to bound {', '.join(terms)} (at "
        f"{math.sqrt(max(detection, 0)):.1f} sigma), so that {errors}: {way}use fewer, wider bins, "
        "or covariance='tau', whose values come out too near to 0"
    )
