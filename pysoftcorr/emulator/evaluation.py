"""Figures of merit of an emulator, on rows it has not seen."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from math import erf, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from pysoftcorr.core.notebook import html_text
from pysoftcorr.core.random import Seed, root_seed
from pysoftcorr.emulator.data import STATISTICS, EmulatorData, bin_centers

if TYPE_CHECKING:
    from pysoftcorr.emulator import Emulator

__all__ = [
    "NEAR_ZERO",
    "PUBLISHED",
    "STANDARD_ERRORS",
    "Accuracy",
    "Calibration",
    "Evaluation",
    "StatisticEvaluation",
    "counts",
    "coverage",
    "dex_bias",
    "evaluate",
    "fractional_error",
    "log_sd_bias",
    "nrmse",
    "smape",
    "spearman",
    "spearman_per_row",
]

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

#: Size of omega and eta below which a fractional error is not taken.
NEAR_ZERO = 0.01
STANDARD_ERRORS = 3.0


def counts(
    true: FloatArray,
    error: FloatArray,
    *,
    least: float = NEAR_ZERO,
    standard_errors: float = STANDARD_ERRORS,
) -> BoolArray:
    """Where a fractional error is taken: |true| above `least` and so many of its errors.

    Parameters
    ----------
    true : ndarray, shape (n, b)
        The mean over realizations.
    error : ndarray, shape (n, b)
        Its standard error.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr.emulator.evaluation import counts
    >>> counts(np.array([0.005, 0.02, 0.02]), np.array([1e-4, 1e-3, 0.01])).tolist()
    [False, True, False]
    """
    size = np.abs(true)
    return (size > least) & (size > standard_errors * error)


def fractional_error(
    predicted: FloatArray, true: FloatArray, where: BoolArray | None = None
) -> FloatArray:
    """|pred - true| / |true| of each element; NaN where it does not count.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr.emulator.evaluation import fractional_error
    >>> fractional_error(np.array([1.1, 3.0]), np.array([1.0, 2.0])).round(3).tolist()
    [0.1, 0.5]
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.abs(predicted - true) / np.abs(true)
    return ratio if where is None else np.where(where, ratio, np.nan)


def spearman(predicted: FloatArray, true: FloatArray, axis: int | None = None) -> FloatArray:
    """Rank correlation along an axis, ties by their mean rank; pooled with ``axis=None``.

    NaN where one of the two does not vary.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr.emulator.evaluation import spearman
    >>> float(spearman(np.array([1.0, 2.0, 9.0]), np.array([0.1, 0.2, 0.3])))
    1.0
    """
    x = stats.rankdata(predicted, axis=axis)
    y = stats.rankdata(true, axis=axis)
    x = x - x.mean(axis=axis, keepdims=True)
    y = y - y.mean(axis=axis, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(
            (x * y).sum(axis) / np.sqrt((x * x).sum(axis) * (y * y).sum(axis)), dtype=np.float64
        )


def spearman_per_row(predicted: FloatArray, true: FloatArray) -> FloatArray:
    """Rank correlation across the bins of each row, shape (n,)."""
    return spearman(predicted, true, axis=1)


def nrmse(predicted: FloatArray, true: FloatArray, axis: int | None = None) -> FloatArray:
    """Root mean squared error over the standard deviation of the truth.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr.emulator.evaluation import nrmse
    >>> float(nrmse(np.array([0.0, 2.0]), np.array([-1.0, 1.0])))
    1.0
    """
    error = np.sqrt(np.mean((predicted - true) ** 2, axis=axis))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(error / np.std(true, axis=axis), dtype=np.float64)


def smape(predicted: FloatArray, true: FloatArray, axis: int | None = None) -> FloatArray:
    """Symmetric fractional error, 0 to 2; 0 where both are 0.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr.emulator.evaluation import smape
    >>> float(smape(np.array([3.0]), np.array([1.0])))
    1.0
    """
    total = np.abs(predicted) + np.abs(true)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(total > 0, 2 * np.abs(predicted - true) / total, 0.0)
    return np.asarray(ratio.mean(axis=axis), dtype=np.float64)


def log_sd_bias(realizations: int) -> float:
    """Mean of log10(s/sigma), s the unbiased-variance standard deviation of R normal draws.

    [psi(k/2) - ln(k/2)] / (2 ln 10), k = R - 1: -0.025 at R = 10.

    Raises
    ------
    ValueError
        If there are fewer than two realizations.

    Examples
    --------
    >>> from pysoftcorr.emulator.evaluation import log_sd_bias
    >>> round(log_sd_bias(10), 4)
    -0.025
    """
    if realizations < 2:
        raise ValueError(f"realizations = {realizations}: a spread needs at least 2")
    half = (realizations - 1) / 2
    return float((special.digamma(half) - np.log(half)) / (2 * np.log(10)))


def dex_bias(
    predicted: FloatArray, empirical: FloatArray, realizations: int, axis: int | None = None
) -> FloatArray:
    """Mean of log10(sigma_pred / sigma_emp), corrected for the small number of realizations.

    Above 0 the predicted errors are too large. Elements whose realizations do not vary at all
    are left out.

    Parameters
    ----------
    predicted : ndarray, shape (n, b)
        Predicted standard deviations.
    empirical : ndarray, shape (n, b)
        Standard deviations among `realizations` (dividing by R - 1).
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(empirical > 0, np.log10(predicted / empirical), np.nan)
    mean = np.asarray(np.nanmean(ratio, axis=axis), dtype=np.float64)
    # sigma_emp is low on average, so the raw ratio is high by as much.
    return mean + log_sd_bias(realizations)


def coverage(
    drawn: FloatArray,
    mean: FloatArray,
    sigma: FloatArray,
    *,
    k: float = 1.0,
    axis: int | tuple[int, ...] | None = None,
) -> FloatArray:
    """Part of drawn realizations within k sigma of the mean.

    Parameters
    ----------
    drawn : ndarray, shape (n, R, b)
    mean, sigma : ndarray, shape (n, b)
    k : float
    axis : int or tuple of int, optional
        Axes of (n, R, b) to average over; all by default.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr.emulator.evaluation import coverage
    >>> drawn = np.array([-0.5, 0.5, 3.0, 0.9]).reshape(1, 4, 1)
    >>> float(coverage(drawn, np.zeros((1, 1)), np.ones((1, 1))))
    0.75
    """
    inside = np.abs(drawn - mean[:, None]) <= k * sigma[:, None]
    return np.asarray(inside.mean(axis=axis), dtype=np.float64)


#: Figures of the test set of Pandya et al. (2025), for comparison.
PUBLISHED: dict[str, dict[str, float]] = {
    "xi": {"fractional": 0.032, "spearman": 0.99, "nrmse": 0.19, "smape": 0.10},
    "omega": {"fractional": 0.049, "spearman": 0.98, "nrmse": 0.19, "smape": 0.30, "dex": 0.34},
    "eta": {"fractional": 0.54, "spearman": 0.55, "nrmse": 0.69, "smape": 1.11, "dex": 0.18},
}
_ACCURACY = (
    "fractional",
    "fractional_median",
    "fractional_all",
    "counted",
    "noise",
    "spearman",
    "spearman_rows",
    "nrmse",
    "smape",
)


def _accuracy_row(a: Accuracy) -> str:
    return (
        f"{a.fractional:>8.1%}{a.noise:>8.1%}{a.fractional_median:>8.1%}"
        f"{_percent(a.fractional_all):>9}{a.counted:>9.1%}{a.spearman:>10.4f}"
        f"{a.spearman_rows:>8.3f}{a.nrmse:>8.3f}{a.smape:>8.3f}"
    )


def _percent(value: float) -> str:
    return f"{value:.1%}" if value < 100 else f"{100 * value:.1e}%"


def _bins_text(evaluation: Evaluation) -> list[str]:
    lines: list[str] = []
    for name, one in evaluation.statistics.items():
        a, c = one.accuracy.per_bin, one.calibration.per_bin
        lines += [
            "",
            f"{name}: r in Mpc/h, over rows of each bin",
            f"{'r':>8}{'fract.':>9}{'counted':>9}{'Spearman':>10}{'NRMSE':>8}{'SMAPE':>8}"
            f"{'dex':>8}{'1 sigma':>9}{'2 sigma':>9}{'epi/alea':>10}",
        ]
        for i, r in enumerate(evaluation.r):
            fraction = a["fractional"][i]
            lines.append(
                f"{r:>8.3f}{'-' if np.isnan(fraction) else _percent(fraction):>9}"
                f"{a['counted'][i]:>9.1%}{a['spearman'][i]:>10.4f}{a['nrmse'][i]:>8.3f}"
                f"{a['smape'][i]:>8.3f}{c['dex'][i]:>+8.3f}{c['coverage_1'][i]:>9.1%}"
                f"{c['coverage_2'][i]:>9.1%}{c['epistemic_ratio'][i]:>10.3f}"
            )
    return lines


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _per_bin(values: dict[str, Any]) -> dict[str, list[float | None]]:
    return {key: [_number(x) for x in array] for key, array in values.items()}


def _accuracy_text(a: Accuracy) -> dict[str, Any]:
    found: dict[str, Any] = {name: _number(getattr(a, name)) for name in _ACCURACY}
    return {**found, "per_bin": _per_bin(a.per_bin)}


def _calibration_text(c: Calibration) -> dict[str, Any]:
    return {
        "dex": _number(c.dex),
        "dex_scatter": _number(c.dex_scatter),
        "coverage": {str(k): value for k, value in c.coverage.items()},
        "coverage_total": {str(k): value for k, value in c.coverage_total.items()},
        "epistemic_ratio": _number(c.epistemic_ratio),
        "per_bin": _per_bin(c.per_bin),
    }


_OF_REALIZATIONS = (
    "fract.: mean |pred - true|/|true| over the elements that count (omega, eta: |true| > "
    f"{NEAR_ZERO:g} and",
    f"> {STANDARD_ERRORS:g} standard errors); noise: that of the truth itself; all: "
    "without the rule. Spearman, NRMSE, SMAPE: pooled.",
    "dex: mean log10(sigma_pred/sigma_emp), corrected for the number of realizations; xi "
    "in log xi. 1, 2 sigma: part of",
    "the realizations within (normal: 68.3 %, 95.4 %); both: aleatoric and epistemic together.",
)
_OF_UNIVERSES = (
    "fract.: mean |pred - true|/|true| against the expectation in a universe (omega, eta: |true| > "
    f"{NEAR_ZERO:g}); noise:",
    "what a perfect mean over universes would have, by the spread between them. Spearman, NRMSE, "
    "SMAPE: pooled. dex: minus",
    "log10 of the rms of (measured - predicted)/sigma_pred; scatter: of that among universes. 1, 2 "
    "sigma: part of measurements",
    "of such a box within (normal: 68.3 %, 95.4 %); both: aleatoric and epistemic together.",
)
WITHIN = {k: erf(k / sqrt(2)) for k in (1, 2)}


@dataclass(frozen=True, eq=False)
class Accuracy:
    """Predicted means against one truth; definitions in `pysoftcorr.emulator.evaluation`.

    Attributes
    ----------
    against : str
        "mean of the realizations" or "exact expectation".
    fractional : float
        Mean over the elements that count, of all bins.
    fractional_median, fractional_all : float
        The median over those that count; the mean over every element.
    counted : float
        The part of the elements that count.
    spearman, nrmse, smape : float
        Pooled over rows and bins.
    spearman_rows : float
        Mean over rows of the rank correlation across the bins of a row.
    per_bin : dict of ndarray, shape (b,)
        fractional, counted, spearman, nrmse, smape of each bin, over the rows.
    noise : float
        Fractional error that a perfect emulator would have: that of the truth itself, from its
        standard error, over the elements that count; 0 for what has none.
    """

    against: str
    fractional: float
    fractional_median: float
    fractional_all: float
    counted: float
    spearman: float
    spearman_rows: float
    nrmse: float
    smape: float
    noise: float
    per_bin: dict[str, FloatArray]


@dataclass(frozen=True, eq=False)
class Calibration:
    """Predicted errors against the scatter of realizations; of log xi for xi.

    Attributes
    ----------
    dex : float
        Mean of log10(sigma_pred / sigma_emp), corrected for the number of realizations; above 0
        the predicted errors are too large.
    dex_scatter : float
        Standard deviation of the same; R realizations alone give 0.11 at R = 10.
    coverage, coverage_total : dict of float
        By k = 1, 2: the part of the realizations within k aleatoric sigma of the mean; within k
        sigma of aleatoric and epistemic together.
    epistemic_ratio : float
        Median of epistemic over aleatoric sigma.
    per_bin : dict of ndarray, shape (b,)
        dex, coverage_1, coverage_2, coverage_total_1, coverage_total_2, epistemic_ratio.
    """

    dex: float
    dex_scatter: float
    coverage: dict[int, float]
    coverage_total: dict[int, float]
    epistemic_ratio: float
    per_bin: dict[str, FloatArray]


@dataclass(frozen=True, eq=False)
class StatisticEvaluation:
    """One statistic: what was predicted, what was measured, and the figures.

    Attributes
    ----------
    name : str
    mean, aleatoric, epistemic : ndarray, shape (n, b)
        Predicted, in physical units.
    true : ndarray, shape (n, b)
        Mean over the realizations.
    empirical : ndarray, shape (n, b)
        Standard deviation among realizations (dividing by R - 1), of log xi for xi.
    sigma, sigma_epistemic : ndarray, shape (n, b)
        Predicted standard deviations in the space of `empirical`.
    counts : ndarray of bool, shape (n, b)
        Elements of which a fractional error is taken.
    expected : ndarray, shape (n, b), or None
        The exact mean over all axes.
    accuracy, accuracy_expected : Accuracy
        The second, against `expected`, is None for xi.
    calibration : Calibration
    """

    name: str
    mean: FloatArray
    aleatoric: FloatArray
    epistemic: FloatArray
    true: FloatArray
    empirical: FloatArray
    sigma: FloatArray
    sigma_epistemic: FloatArray
    counts: BoolArray
    expected: FloatArray | None
    accuracy: Accuracy
    accuracy_expected: Accuracy | None
    calibration: Calibration


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Figures of merit of xi, omega and eta.

    Attributes
    ----------
    statistics : dict of StatisticEvaluation
        By name.
    parameters : ndarray, shape (n, 7)
    edges : ndarray, shape (b + 1,)
        Mpc/h.
    realizations, passes, seed : int
    left_out : int
        Rows outside the bounds of the emulator, which are not judged.
    description : dict
        Description of the data.
    universes : int
        Universes that the rows are of; 0 of rows of one.
    """

    statistics: dict[str, StatisticEvaluation]
    parameters: FloatArray
    edges: FloatArray
    realizations: int
    passes: int
    seed: int
    left_out: int
    description: dict[str, Any]
    universes: int = 0

    def __getitem__(self, name: str) -> StatisticEvaluation:
        return self.statistics[name]

    def __len__(self) -> int:
        return len(self.parameters)

    @property
    def r(self) -> FloatArray:
        """Geometric centers of the bins, Mpc/h."""
        return bin_centers(self.edges)

    def to_dict(self) -> dict[str, Any]:
        """Every figure, as JSON can hold it: NaN and infinity become None."""
        found: dict[str, Any] = {}
        for name, one in self.statistics.items():
            entry: dict[str, Any] = {"mean of the realizations": _accuracy_text(one.accuracy)}
            if one.accuracy_expected is not None:
                entry["exact expectation"] = _accuracy_text(one.accuracy_expected)
            entry["calibration"] = _calibration_text(one.calibration)
            entry["published"] = PUBLISHED[name]
            found[name] = entry
        return {
            "rows": len(self),
            "left_out": self.left_out,
            "realizations": self.realizations,
            "universes": self.universes,
            "passes": self.passes,
            "seed": self.seed,
            "edges": self.edges.tolist(),
            "near_zero": {
                "statistics": ["omega", "eta"],
                "least": NEAR_ZERO,
                "standard_errors": STANDARD_ERRORS,
            },
            "statistics": found,
            "data": {
                key: self.description[key]
                for key in ("part", "split_seed")
                if key in self.description
            },
        }

    def summary(self, *, per_bin: bool = True) -> str:
        """Tables for a terminal; with the figures of each bin unless ``per_bin=False``."""
        part = self.description.get("part")
        rows = f"{len(self)} rows" + (f" ({part})" if part else "")
        lines = [
            (
                f"{rows} in {self.universes} universes that nothing was trained on"
                if self.universes
                else f"{rows} x {self.realizations} realizations"
            )
            + f", {self.passes} passes"
            + (f"; {self.left_out} rows outside of the bounds" if self.left_out else ""),
            "",
            f"{'':<8}{'against':<15}{'fract.':>8}{'noise':>8}{'median':>8}{'all':>9}{'counted':>9}"
            f"{'Spearman':>10}{'by row':>8}{'NRMSE':>8}{'SMAPE':>8}",
        ]
        for name, one in self.statistics.items():
            for label, accuracy in (("mean of real.", one.accuracy),
                                    ("expectation", one.accuracy_expected)):  # fmt: skip
                if accuracy is not None:
                    if self.universes:
                        label = "universes"
                    lines.append(f"{name:<8}{label:<15}{_accuracy_row(accuracy)}")
            paper = PUBLISHED[name]
            lines.append(
                f"{'':<8}{'published':<15}{paper['fractional']:>8.1%}{'':>8}{'':>8}{'':>9}{'':>9}"
                f"{paper['spearman']:>10.2f}{'':>8}{paper['nrmse']:>8.2f}{paper['smape']:>8.2f}"
            )
        lines += [
            "",
            f"{'':<8}{'dex':>8}{'scatter':>9}{'1 sigma':>9}{'2 sigma':>9}{'1 both':>9}{'2 both':>9}"
            f"{'epi/alea':>10}",
        ]
        for name, one in self.statistics.items():
            c = one.calibration
            lines.append(
                f"{name:<8}{c.dex:>+8.3f}{c.dex_scatter:>9.3f}{c.coverage[1]:>9.1%}"
                f"{c.coverage[2]:>9.1%}{c.coverage_total[1]:>9.1%}{c.coverage_total[2]:>9.1%}"
                f"{c.epistemic_ratio:>10.3f}"
            )
        lines += ["", *(_OF_UNIVERSES if self.universes else _OF_REALIZATIONS)]
        if per_bin:
            lines += _bins_text(self)
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """The summary, for notebooks."""
        return html_text(self.summary())


def evaluate(
    emulator: Emulator, data: EmulatorData, *, passes: int = 50, seed: Seed = 0
) -> Evaluation:
    """Hold an emulator against measured correlations.

    The truth is the mean of the R realizations of a row, and for omega and eta also the exact
    expectation, which has no noise of drawn axes. Definitions are in
    `pysoftcorr.emulator.evaluation`. For xi the errors are judged in log xi, in which the emulator
    is normal: s^2 = ln(1 + (sigma/mean)^2) about ln(mean) - s^2/2.

    Parameters
    ----------
    emulator : Emulator
    data : EmulatorData
        Rows outside the emulator's bounds are left out and counted, in a warning too.
    passes : int
        Monte-Carlo passes of `Emulator.predict`.
    seed : int or numpy.random.Generator, optional
        Seed of those passes.

    Returns
    -------
    Evaluation

    Raises
    ------
    TypeError
        If `data` is not EmulatorData.
    ValueError
        If the bins are not the emulator's, there are fewer than two rows within its bounds or
        fewer than two realizations.

    References
    ----------
    Pandya et al. 2025 (arXiv:2504.05235), Figs. 3 to 5.
    """
    if not isinstance(data, EmulatorData):
        raise TypeError(f"data must be EmulatorData, not {type(data).__name__}")
    edges = np.asarray(emulator.edges, dtype=np.float64)
    if edges.shape != data.edges.shape or not np.allclose(edges, data.edges, rtol=1e-6, atol=0):
        raise ValueError(
            f"data has {data.nbins} bins from {data.edges[0]:g} to {data.edges[-1]:g} Mpc/h and "
            f"the emulator {len(edges) - 1} from {edges[0]:g} to {edges[-1]:g}: they must be the "
            "same; measure in the emulator's bins"
        )
    if data.universe is not None:
        if data.chance_row is None:
            raise ValueError("data of universes have no covariance given the halos")
        data = data.take(np.unique(data.chance_row))
    elif data.realizations < 2:
        raise ValueError("data has one realization of each row; a spread needs at least 2")
    inside = ~emulator.training_bounds.outside(data.parameters).any(axis=1)
    left_out = int((~inside).sum())
    if inside.sum() < 2:
        raise ValueError(
            f"{int(inside.sum())} of {len(data)} rows are within the emulator's bounds "
            f"({_bounds(emulator)}); at least 2 are needed"
        )
    if left_out:
        warnings.warn(
            f"{left_out} of {len(data)} rows are outside the emulator's bounds and are not judged",
            UserWarning,
            stacklevel=2,
        )
        data = data.take(inside)
    root = root_seed(seed)
    judge = _judge if data.universe is None else _judge_universes
    prediction = emulator.predict(data.parameters, passes=passes, seed=root, on_outside="ignore")
    return Evaluation(
        statistics={name: judge(name, getattr(prediction, name), data) for name in STATISTICS},
        parameters=data.parameters,
        edges=data.edges,
        realizations=data.realizations,
        passes=passes,
        seed=root,
        left_out=left_out,
        description=data.description,
        universes=0 if data.universe is None else np.unique(data.universe).size,
    )


def _bounds(emulator: Emulator) -> str:
    return ", ".join(f"{name} {a:g} to {b:g}" for name, (a, b) in emulator.bounds.items())


def _judge_universes(name: str, predicted: Any, data: EmulatorData) -> StatisticEvaluation:
    """Universes held out: each differs from the mean, and its galaxies from its expectation."""
    assert data.chance is not None
    assert data.universe is not None
    mean, aleatoric, epistemic = (
        np.asarray(getattr(predicted, part), dtype=np.float64)
        for part in ("mean", "aleatoric", "epistemic")
    )
    true = getattr(data, name)[:, 0]
    chance = np.diagonal(data.chance[:, STATISTICS.index(name)], axis1=1, axis2=2)
    if name == "xi":
        s2 = np.log1p((aleatoric / mean) ** 2)
        center, sigma, sigma_e = np.log(mean) - s2 / 2, np.sqrt(s2), epistemic / mean
        away, scale = np.log(true) - chance / 2 - center, np.ones_like(true)
        where = np.ones(true.shape, dtype=bool)
    else:
        away, sigma, sigma_e, scale = true - mean, aleatoric, epistemic, np.abs(true)
        where = counts(true, np.zeros_like(true))
    between = np.sqrt(np.maximum(sigma**2 - chance, 0)) * np.abs(true) / scale
    square = away**2 + chance
    within = {
        f"{label}_{k}": _expected_coverage(away, chance, k * width)
        for label, width in (("coverage", sigma), ("coverage_total", np.hypot(sigma, sigma_e)))
        for k in WITHIN
    }
    z2 = square / sigma**2
    by_universe = np.array([z2[data.universe == u].mean() for u in np.unique(data.universe)])
    ratio = sigma_e / sigma
    calibration = Calibration(
        dex=float(-0.5 * np.log10(z2.mean())),
        dex_scatter=float(np.std(0.5 * np.log10(by_universe))),
        coverage={k: float(within[f"coverage_{k}"].mean()) for k in WITHIN},
        coverage_total={k: float(within[f"coverage_total_{k}"].mean()) for k in WITHIN},
        epistemic_ratio=float(np.median(ratio)),
        per_bin={
            "dex": -0.5 * np.log10(z2.mean(axis=0)),
            "epistemic_ratio": np.median(ratio, axis=0),
            **{key: value.mean(axis=0) for key, value in within.items()},
        },
    )
    return StatisticEvaluation(
        name=name, mean=mean, aleatoric=aleatoric, epistemic=epistemic, true=true,
        empirical=np.sqrt(square), sigma=sigma, sigma_epistemic=sigma_e, counts=where,
        expected=None, accuracy=_accuracy("universes held out", mean, true, where, between),
        accuracy_expected=None, calibration=calibration,
    )  # fmt: skip


def _expected_coverage(away: FloatArray, variance: FloatArray, width: FloatArray) -> FloatArray:
    """Part of normal values about `away` that are within `width` of 0."""
    scale = np.sqrt(np.maximum(variance, 1e-300))
    return np.asarray(special.ndtr((width - away) / scale) - special.ndtr((-width - away) / scale))


def _judge(name: str, predicted: Any, data: EmulatorData) -> StatisticEvaluation:
    drawn = getattr(data, name)
    mean, aleatoric, epistemic = (
        np.asarray(getattr(predicted, part), dtype=np.float64)
        for part in ("mean", "aleatoric", "epistemic")
    )
    true = drawn.mean(axis=1)
    error = drawn.std(axis=1, ddof=1) / sqrt(drawn.shape[1])
    if name == "xi":
        where = np.ones(true.shape, dtype=bool)
        s2 = np.log1p((aleatoric / mean) ** 2)
        center, sigma, sigma_e = np.log(mean) - s2 / 2, np.sqrt(s2), epistemic / mean
        values = np.log(drawn)
    else:
        where = counts(true, error)
        center, sigma, sigma_e, values = mean, aleatoric, epistemic, drawn
    empirical = values.std(axis=1, ddof=1)
    expected = getattr(data, f"expected_{name}", None)
    return StatisticEvaluation(
        name=name,
        mean=mean,
        aleatoric=aleatoric,
        epistemic=epistemic,
        true=true,
        empirical=empirical,
        sigma=sigma,
        sigma_epistemic=sigma_e,
        counts=where,
        expected=expected,
        accuracy=_accuracy("mean of the realizations", mean, true, where, error),
        accuracy_expected=(
            None
            if expected is None
            # The same elements, so that the two can be compared.
            else _accuracy("exact expectation", mean, expected, where, np.zeros_like(true))
        ),
        calibration=_calibration(values, center, sigma, sigma_e, empirical),
    )


def _accuracy(
    against: str, mean: FloatArray, true: FloatArray, where: BoolArray, error: FloatArray
) -> Accuracy:
    every = fractional_error(mean, true)
    counted = np.where(where, every, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        # The mean size of a normal deviate is sqrt(2/pi) of its standard deviation.
        noise = np.where(where, sqrt(2 / np.pi) * error / np.abs(true), np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a bin of which no row counts: NaN
        per_bin = {
            "fractional": np.nanmean(counted, axis=0),
            "counted": where.mean(axis=0),
            "spearman": spearman(mean, true, axis=0),
            "nrmse": nrmse(mean, true, axis=0),
            "smape": smape(mean, true, axis=0),
        }
        return Accuracy(
            against=against,
            fractional=float(np.nanmean(counted)),
            fractional_median=float(np.nanmedian(counted)),
            fractional_all=float(np.mean(every)),
            counted=float(where.mean()),
            spearman=float(spearman(mean, true)),
            spearman_rows=float(np.nanmean(spearman_per_row(mean, true))),
            nrmse=float(nrmse(mean, true)),
            smape=float(smape(mean, true)),
            noise=float(np.nanmean(noise)),
            per_bin=per_bin,
        )


def _calibration(
    values: FloatArray,
    center: FloatArray,
    sigma: FloatArray,
    sigma_epistemic: FloatArray,
    empirical: FloatArray,
) -> Calibration:
    number = values.shape[1]
    total = np.hypot(sigma, sigma_epistemic)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = sigma_epistemic / sigma
        dex = np.where(empirical > 0, np.log10(sigma / empirical), np.nan)
    per_bin = {
        "dex": dex_bias(sigma, empirical, number, axis=0),
        "epistemic_ratio": np.median(ratio, axis=0),
    }
    for name, width in (("coverage", sigma), ("coverage_total", total)):
        for k in WITHIN:
            per_bin[f"{name}_{k}"] = coverage(values, center, width, k=k, axis=(0, 1))
    return Calibration(
        dex=float(dex_bias(sigma, empirical, number)),
        dex_scatter=float(np.nanstd(dex)),
        coverage={k: float(coverage(values, center, sigma, k=k)) for k in WITHIN},
        coverage_total={k: float(coverage(values, center, total, k=k)) for k in WITHIN},
        epistemic_ratio=float(np.median(ratio)),
        per_bin=per_bin,
    )
