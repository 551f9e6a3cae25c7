"""Priors of single parameters, and the change to variables that know no bounds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from pysoftcorr.core.options import number, numbers

__all__ = ["Normal", "Prior", "Priors", "TruncatedNormal", "Uniform", "parse_prior"]

FloatArray = npt.NDArray[np.float64]


def _checked(owner: Prior, *names: str) -> None:
    """Make these numbers floats; ValueError, TypeError where one is none or out of place."""
    kind = type(owner).__name__
    for name in names:
        value = getattr(owner, name)
        # A normal distribution may be cut off on one side alone.
        endless = (
            name in ("low", "high") and "sd" in names and isinstance(value, float)
            and math.isinf(value)
        )  # fmt: skip
        if not endless:
            value = number(f"{kind}: {name}", value)
        object.__setattr__(owner, name, float(value))
    low, high, sd = (getattr(owner, name, default) for name, default in
                     (("low", -math.inf), ("high", math.inf), ("sd", 1.0)))  # fmt: skip
    if sd <= 0:
        raise ValueError(f"{kind}: sd = {sd:g} must be above 0")
    if not low < high:
        raise ValueError(f"{kind}: low = {low:g} must be below high = {high:g}")


@dataclass(frozen=True)
class Uniform:
    """Uniform between two bounds.

    Parameters
    ----------
    low, high : float

    Raises
    ------
    ValueError, TypeError
        If one is no finite number, or `low` is not below `high`.

    Examples
    --------
    >>> from pysoftcorr.inference import Uniform
    >>> Uniform(-1, 1).support
    (-1.0, 1.0)
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        _checked(self, "low", "high")

    @property
    def support(self) -> tuple[float, float]:
        """Where the density is not 0."""
        return self.low, self.high

    def quantile(self, u: npt.ArrayLike) -> FloatArray:
        """The value below which a part `u` of the prior lies."""
        return self.low + (self.high - self.low) * numbers("u", u)

    def log_density(self, x: npt.ArrayLike) -> FloatArray:
        """ln p(x); -inf outside."""
        x = numbers("x", x)
        inside = (x >= self.low) & (x <= self.high)
        return np.where(inside, -math.log(self.high - self.low), -np.inf)


@dataclass(frozen=True)
class Normal:
    """Normal distribution.

    Parameters
    ----------
    mean, sd : float

    Raises
    ------
    ValueError, TypeError
        If one is no finite number, or `sd` is not above 0.

    Examples
    --------
    >>> from pysoftcorr.inference import Normal
    >>> Normal(12.0, 0.5).quantile(0.5).item()
    12.0
    """

    mean: float
    sd: float

    def __post_init__(self) -> None:
        _checked(self, "mean", "sd")

    @property
    def support(self) -> tuple[float, float]:
        """Where the density is not 0: everywhere."""
        return -math.inf, math.inf

    def quantile(self, u: npt.ArrayLike) -> FloatArray:
        """The value below which a part `u` of the prior lies."""
        return np.asarray(self.mean + self.sd * special.ndtri(numbers("u", u)))

    def log_density(self, x: npt.ArrayLike) -> FloatArray:
        """ln p(x)."""
        return np.asarray(stats.norm.logpdf(x, self.mean, self.sd))


@dataclass(frozen=True)
class TruncatedNormal:
    """Normal distribution between two bounds, normalized there.

    Parameters
    ----------
    mean, sd : float
        Mean and standard deviation before it is cut.
    low, high : float, optional
        Bounds; without one the distribution is cut on the other side alone.

    Raises
    ------
    ValueError, TypeError
        If one is no number, mean or sd is not finite, `sd` is not above 0, or `low` is not below
        `high`.

    Examples
    --------
    >>> from pysoftcorr.inference import TruncatedNormal
    >>> round(TruncatedNormal(0.0, 1.0, 0.0, 4.0).quantile(0.5).item(), 4)
    0.6744
    """

    mean: float
    sd: float
    low: float = -math.inf
    high: float = math.inf

    def __post_init__(self) -> None:
        _checked(self, "mean", "sd", "low", "high")

    @property
    def support(self) -> tuple[float, float]:
        """Where the density is not 0."""
        return self.low, self.high

    @property
    def _frozen(self) -> Any:
        ends = [(end - self.mean) / self.sd for end in (self.low, self.high)]
        return stats.truncnorm(*ends, loc=self.mean, scale=self.sd)

    def quantile(self, u: npt.ArrayLike) -> FloatArray:
        """The value below which a part `u` of the prior lies."""
        return np.asarray(self._frozen.ppf(u))

    def log_density(self, x: npt.ArrayLike) -> FloatArray:
        """ln p(x); -inf outside."""
        return np.asarray(self._frozen.logpdf(x))


Prior = Uniform | Normal | TruncatedNormal
_KINDS: dict[str, type[Uniform] | type[Normal] | type[TruncatedNormal]] = {
    "uniform": Uniform,
    "normal": Normal,
    "truncated": TruncatedNormal,
}
_FORMS = "uniform:LOW:HIGH, normal:MEAN:SD or truncated:MEAN:SD:LOW:HIGH"


def parse_prior(text: str) -> Prior:
    """A prior from text: ``uniform:-1:1``, ``normal:12:0.5``, ``truncated:12:0.5:11:13``.

    Raises
    ------
    ValueError
        If the text is none of these forms.

    Examples
    --------
    >>> from pysoftcorr.inference.priors import parse_prior
    >>> parse_prior("normal:12:0.5")
    Normal(mean=12.0, sd=0.5)
    """
    kind, *numbers = str(text).strip().split(":")
    wanted = {"uniform": 2, "normal": 2, "truncated": 4}.get(kind)
    try:
        values = [float(number) for number in numbers]
    except ValueError:
        values = []
    if wanted is None or len(values) != wanted:
        raise ValueError(f"prior {text!r}: must read {_FORMS}")
    return _KINDS[kind](*values)


class Priors:
    """Independent priors of parameters, and variables u without bounds for samplers.

    A parameter with two bounds is low + (high - low)/(1 + exp(-u)), one without mean + sd u.

    Parameters
    ----------
    priors : mapping of str to Prior
        By parameter, in the order that samplers take.

    Attributes
    ----------
    names : tuple of str
    members : tuple of Prior
    low, high : ndarray, shape (p,)
        Bounds; infinite where there is none.
    mean, sd : ndarray, shape (p,)
        Parameters of the normal densities; of a uniform one the middle, and infinity.

    Examples
    --------
    >>> from pysoftcorr.inference import Normal, Priors, Uniform
    >>> priors = Priors({"mu_cen": Uniform(-1, 1), "logM1": Normal(13, 0.5)})
    >>> priors.physical([0.0, 2.0]).tolist()
    [0.0, 14.0]
    >>> priors.unbounded([0.0, 14.0]).tolist()
    [0.0, 2.0]
    """

    def __init__(self, priors: Mapping[str, Prior]) -> None:
        self.names = tuple(priors)
        self.members = tuple(priors.values())
        for name, prior in priors.items():
            if not isinstance(prior, Prior):
                raise TypeError(
                    f"prior of {name}: must be Uniform, Normal or TruncatedNormal, "
                    f"not {type(prior).__name__}"
                )
        self.low, self.high = np.array([prior.support for prior in self.members]).T
        middle = np.array([prior.quantile(0.5) for prior in self.members])
        self.gaussian = np.array([not isinstance(prior, Uniform) for prior in self.members])
        self.mean = np.array(
            [getattr(p, "mean", m) for p, m in zip(self.members, middle, strict=True)]
        )
        self.sd = np.array([getattr(prior, "sd", np.inf) for prior in self.members])
        self.bounded = np.isfinite(self.low) & np.isfinite(self.high)
        # Finite throughout: torch differentiates both sides of a choice.
        self.scale = np.where(self.gaussian, self.sd, 1.0)
        self.offset = np.where(self.bounded, self.low, 0.0)
        self.width = np.where(self.bounded, self.high, 1.0) - self.offset
        # What ln of the density in u has besides ln of the logistic slope and -((x - mean)/sd)^2/2.
        square = np.where(self.gaussian, 0.5 * ((middle - self.mean) / self.sd) ** 2, 0.0)
        scale = np.log(np.where(self.bounded, self.width, self.sd))
        self.log_norm = float(self.log_density(middle) + (square + scale).sum())

    def __len__(self) -> int:
        return len(self.names)

    def draw(self, number: int, rng: np.random.Generator) -> FloatArray:
        """Parameters drawn from the priors, shape (number, p)."""
        u = rng.random((number, len(self)))
        columns = [prior.quantile(u[:, k]) for k, prior in enumerate(self.members)]
        return np.stack(columns, axis=1)

    def log_density(self, params: npt.ArrayLike) -> FloatArray:
        """Sum of ln p over the last axis; -inf outside the support."""
        params = numbers("params", params)
        return np.sum(
            [prior.log_density(params[..., k]) for k, prior in enumerate(self.members)], axis=0
        )

    def inside(self, params: npt.ArrayLike, *, margin: float = 0.01) -> FloatArray:
        """The nearest parameters within all bounds, away from them by a part of the width.

        Parameters
        ----------
        params : array_like, shape (..., p)
        margin : float
            In units of sd, or of a tenth of the range where that is less.
        """
        width = np.minimum(self.sd, (self.high - self.low) / 10)
        return np.asarray(np.clip(params, self.low + margin * width, self.high - margin * width))

    def draw_about(
        self, center: FloatArray, covariance: FloatArray, number: int, rng: np.random.Generator
    ) -> FloatArray:
        """Points of a normal density within the bounds, shape (number, p).

        Raises
        ------
        ValueError
            If hardly any of the density lies within.
        """
        lower = np.linalg.cholesky(covariance)
        out: list[FloatArray] = []
        for _ in range(10_000 * number):
            point = center + lower @ rng.normal(size=center.size)
            if ((point > self.low) & (point < self.high)).all():
                out.append(point)
                if len(out) == number:
                    return np.array(out)
        raise ValueError("the normal density about the peak lies out of the priors' bounds")

    def physical(self, u: npt.ArrayLike) -> FloatArray:
        """Parameters at unbounded variables."""
        u = numbers("u", u)
        bounded = self.offset + self.width * special.expit(u)
        return np.where(self.bounded, bounded, self.mean + self.scale * u)

    def unbounded(self, params: npt.ArrayLike) -> FloatArray:
        """Unbounded variables of parameters; a bound itself is moved inside by 1e-12 widths."""
        params = numbers("params", params)
        part = np.clip((params - self.offset) / self.width, 1e-12, 1 - 1e-12)
        return np.where(self.bounded, special.logit(part), (params - self.mean) / self.scale)

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Plain values for JSON: a bound that is not there is None."""
        return {
            name: {
                "kind": type(prior).__name__,
                **{k: v if math.isfinite(v) else None for k, v in asdict(prior).items()},
            }
            for name, prior in zip(self.names, self.members, strict=True)
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Mapping[str, Any]]) -> Priors:
        """From `to_dict`."""
        kinds = {kind.__name__: kind for kind in _KINDS.values()}
        priors: dict[str, Prior] = {}
        for name, values in record.items():
            numbers = {k: v for k, v in values.items() if k != "kind" and v is not None}
            priors[name] = kinds[values["kind"]](**numbers)
        return cls(priors)
