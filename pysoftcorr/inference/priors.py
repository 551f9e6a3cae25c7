"""Priors of single parameters, and the change to variables that know no bounds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special, stats

__all__ = ["Normal", "Prior", "Priors", "TruncatedNormal", "Uniform", "parse_prior"]

FloatArray = npt.NDArray[np.float64]


def _number(owner: object, name: str) -> None:
    value = getattr(owner, name)
    kind = type(owner).__name__
    if isinstance(value, (bool, np.bool_)) or not isinstance(
        value, (int, float, np.integer, np.floating)
    ):
        raise TypeError(f"{kind}: {name} = {value!r} must be a number")
    if not math.isfinite(value):
        raise ValueError(f"{kind}: {name} = {value} must be finite")
    object.__setattr__(owner, name, float(value))


def _in_order(owner: Uniform | TruncatedNormal) -> None:
    if not owner.low < owner.high:
        raise ValueError(
            f"{type(owner).__name__}: low = {owner.low:g} must be below high = {owner.high:g}"
        )


def _positive(owner: Normal | TruncatedNormal) -> None:
    if owner.sd <= 0:
        raise ValueError(f"{type(owner).__name__}: sd = {owner.sd:g} must be above 0")


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
        for name in ("low", "high"):
            _number(self, name)
        _in_order(self)

    @property
    def support(self) -> tuple[float, float]:
        """Where the density is not 0."""
        return self.low, self.high

    def quantile(self, u: npt.ArrayLike) -> FloatArray:
        """The value below which a part `u` of the prior lies."""
        return self.low + (self.high - self.low) * np.asarray(u, dtype=np.float64)

    def log_density(self, x: npt.ArrayLike) -> FloatArray:
        """ln p(x); -inf outside."""
        x = np.asarray(x, dtype=np.float64)
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
        for name in ("mean", "sd"):
            _number(self, name)
        _positive(self)

    @property
    def support(self) -> tuple[float, float]:
        """Where the density is not 0: everywhere."""
        return -math.inf, math.inf

    def quantile(self, u: npt.ArrayLike) -> FloatArray:
        """The value below which a part `u` of the prior lies."""
        return np.asarray(self.mean + self.sd * special.ndtri(np.asarray(u, dtype=np.float64)))

    def log_density(self, x: npt.ArrayLike) -> FloatArray:
        """ln p(x)."""
        return np.asarray(stats.norm.logpdf(x, self.mean, self.sd))


@dataclass(frozen=True)
class TruncatedNormal:
    """Normal distribution between two bounds, normalized there.

    Parameters
    ----------
    mean, sd : float
        Of the normal distribution before it is cut.
    low, high : float

    Raises
    ------
    ValueError, TypeError
        If one is no finite number, `sd` is not above 0, or `low` is not below `high`.

    Examples
    --------
    >>> from pysoftcorr.inference import TruncatedNormal
    >>> round(TruncatedNormal(0.0, 1.0, 0.0, 4.0).quantile(0.5).item(), 4)
    0.6744
    """

    mean: float
    sd: float
    low: float
    high: float

    def __post_init__(self) -> None:
        for name in ("mean", "sd", "low", "high"):
            _number(self, name)
        _positive(self)
        _in_order(self)

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
    """Independent priors of the free parameters, and variables u without bounds for samplers.

    A bounded parameter is low + (high - low)/(1 + exp(-u)), an unbounded one mean + sd u.

    Parameters
    ----------
    priors : mapping of str to Prior
        In the order of the free parameters.

    Attributes
    ----------
    names : tuple of str
    members : tuple of Prior

    Examples
    --------
    >>> from pysoftcorr.inference import Normal, Uniform
    >>> from pysoftcorr.inference.priors import Priors
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
            if not isinstance(prior, (Uniform, Normal, TruncatedNormal)):
                raise TypeError(
                    f"prior of {name}: must be Uniform, Normal or TruncatedNormal, "
                    f"not {type(prior).__name__}"
                )
        support = [prior.support for prior in self.members]
        self.bounded = np.array([math.isfinite(low) for low, _ in support])
        self.low = np.array([low if math.isfinite(low) else 0.0 for low, _ in support])
        high = np.array([high if math.isfinite(high) else 1.0 for _, high in support])
        self.width = high - self.low
        self.gaussian = np.array([not isinstance(prior, Uniform) for prior in self.members])
        self.mean = np.array([getattr(prior, "mean", 0.0) for prior in self.members])
        self.sd = np.array([getattr(prior, "sd", 1.0) for prior in self.members])
        # What ln of the density in u has besides ln of the logistic slope and -((x - mean)/sd)^2/2.
        middle = np.array([prior.quantile(0.5) for prior in self.members])
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

    def log_density(self, theta: npt.ArrayLike) -> FloatArray:
        """Sum of ln p over the last axis; -inf outside the support."""
        theta = np.asarray(theta, dtype=np.float64)
        return np.sum(
            [prior.log_density(theta[..., k]) for k, prior in enumerate(self.members)], axis=0
        )

    def physical(self, u: npt.ArrayLike) -> FloatArray:
        """Parameters at unbounded variables."""
        u = np.asarray(u, dtype=np.float64)
        bounded = self.low + self.width * special.expit(u)
        return np.where(self.bounded, bounded, self.mean + self.sd * u)

    def unbounded(self, theta: npt.ArrayLike) -> FloatArray:
        """Unbounded variables of parameters; a bound itself is moved inside by 1e-12 widths."""
        theta = np.asarray(theta, dtype=np.float64)
        part = np.clip((theta - self.low) / self.width, 1e-12, 1 - 1e-12)
        return np.where(self.bounded, special.logit(part), (theta - self.mean) / self.sd)

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """As JSON can hold them."""
        return {
            name: {"kind": type(prior).__name__, **asdict(prior)}
            for name, prior in zip(self.names, self.members, strict=True)
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Mapping[str, Any]]) -> Priors:
        """From `to_dict`."""
        kinds = {kind.__name__: kind for kind in _KINDS.values()}
        priors: dict[str, Prior] = {}
        for name, values in record.items():
            numbers = {key: value for key, value in values.items() if key != "kind"}
            priors[name] = kinds[values["kind"]](**numbers)
        return cls(priors)
