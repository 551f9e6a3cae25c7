"""How good an emulator is: every figure of merit on rows it has not seen."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from math import erf, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pysoftcorr._random import Seed, root_seed
from pysoftcorr.emulator import metrics
from pysoftcorr.emulator.dataset import STATISTICS, EmulatorData
from pysoftcorr.mocks.design import PARAMETERS

if TYPE_CHECKING:
    from pysoftcorr.emulator import Emulator

__all__ = ["Accuracy", "Calibration", "Evaluation", "StatisticEvaluation", "evaluate"]

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

WITHIN = {k: erf(k / sqrt(2)) for k in (1, 2)}


@dataclass(frozen=True, eq=False)
class Accuracy:
    """Predicted means against one truth; definitions in `pysoftcorr.emulator.metrics`.

    Attributes
    ----------
    against : str
        "mean of the realisations" or "exact expectation".
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
    """Predicted errors against the scatter of realisations; of log xi for xi.

    Attributes
    ----------
    dex : float
        Mean of log10(sigma_pred / sigma_emp), corrected for the number of realisations; above 0
        the predicted errors are too large.
    dex_scatter : float
        Standard deviation of the same; R realisations alone give 0.11 at R = 10.
    coverage, coverage_total : dict of float
        By k = 1, 2: the part of the realisations within k aleatoric sigma of the mean; within k
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
        Mean over the realisations.
    empirical : ndarray, shape (n, b)
        Standard deviation among realisations (dividing by R - 1), of log xi for xi.
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
    realisations, passes, seed : int
    left_out : int
        Rows outside the bounds of the emulator, which are not judged.
    description : dict
        Of the data.
    """

    statistics: dict[str, StatisticEvaluation]
    parameters: FloatArray
    edges: FloatArray
    realisations: int
    passes: int
    seed: int
    left_out: int
    description: dict[str, Any]

    def __getitem__(self, name: str) -> StatisticEvaluation:
        return self.statistics[name]

    def __len__(self) -> int:
        return len(self.parameters)

    @property
    def r(self) -> FloatArray:
        """Geometric centres of the bins, Mpc/h."""
        return np.sqrt(self.edges[:-1] * self.edges[1:])

    def to_dict(self) -> dict[str, Any]:
        """Every figure, as JSON can hold it."""
        from pysoftcorr.emulator.report import evaluation_dict

        return evaluation_dict(self)

    def summary(self, *, bins: bool = True) -> str:
        """Tables for a terminal; with the figures of each bin unless ``bins=False``."""
        from pysoftcorr.emulator.report import evaluation_text

        return evaluation_text(self, bins=bins)


def evaluate(
    emulator: Emulator, data: EmulatorData, *, passes: int = 50, seed: Seed = 0
) -> Evaluation:
    """Hold an emulator against measured correlations.

    The truth is the mean of the R realisations of a row, and for omega and eta also the exact
    expectation, which has no noise of drawn axes. Definitions are in
    `pysoftcorr.emulator.metrics`. For xi the errors are judged in log xi, in which the emulator
    is normal: s^2 = ln(1 + (sigma/mean)^2) about ln(mean) - s^2/2.

    Parameters
    ----------
    emulator : Emulator
    data : EmulatorData
        Rows outside the emulator's bounds are left out and counted, in a warning too.
    passes : int
        Monte-Carlo passes of `Emulator.predict`.
    seed : int or numpy.random.Generator, optional
        Of those passes.

    Returns
    -------
    Evaluation

    Raises
    ------
    TypeError
        If `data` is not EmulatorData.
    ValueError
        If the bins are not the emulator's, there are fewer than two rows within its bounds or
        fewer than two realisations.

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
    if data.realisations < 2:
        raise ValueError("data has one realisation of each row; a spread needs at least 2")
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
    prediction = emulator.predict(data.parameters, passes=passes, seed=root, on_outside="ignore")
    return Evaluation(
        statistics={name: _judge(name, getattr(prediction, name), data) for name in STATISTICS},
        parameters=data.parameters,
        edges=data.edges,
        realisations=data.realisations,
        passes=passes,
        seed=root,
        left_out=left_out,
        description=data.description,
    )


def _bounds(emulator: Emulator) -> str:
    return ", ".join(
        f"{name} {emulator.bounds[name][0]:g} to {emulator.bounds[name][1]:g}"
        for name in PARAMETERS
    )


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
        centre, sigma, sigma_e = np.log(mean) - s2 / 2, np.sqrt(s2), epistemic / mean
        values = np.log(drawn)
    else:
        where = metrics.counts(true, error)
        centre, sigma, sigma_e, values = mean, aleatoric, epistemic, drawn
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
        accuracy=_accuracy("mean of the realisations", mean, true, where, error),
        accuracy_expected=(
            None
            if expected is None
            # The same elements, so that the two can be compared.
            else _accuracy("exact expectation", mean, expected, where, np.zeros_like(true))
        ),
        calibration=_calibration(values, centre, sigma, sigma_e, empirical),
    )


def _accuracy(
    against: str, mean: FloatArray, true: FloatArray, where: BoolArray, error: FloatArray
) -> Accuracy:
    every = metrics.fractional_error(mean, true)
    counted = np.where(where, every, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        # The mean size of a normal deviate is sqrt(2/pi) of its standard deviation.
        noise = np.where(where, sqrt(2 / np.pi) * error / np.abs(true), np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a bin of which no row counts: NaN
        per_bin = {
            "fractional": np.nanmean(counted, axis=0),
            "counted": where.mean(axis=0),
            "spearman": metrics.spearman(mean, true, axis=0),
            "nrmse": metrics.nrmse(mean, true, axis=0),
            "smape": metrics.smape(mean, true, axis=0),
        }
        return Accuracy(
            against=against,
            fractional=float(np.nanmean(counted)),
            fractional_median=float(np.nanmedian(counted)),
            fractional_all=float(np.mean(every)),
            counted=float(where.mean()),
            spearman=float(metrics.spearman(mean, true)),
            spearman_rows=float(np.nanmean(metrics.spearman_per_row(mean, true))),
            nrmse=float(metrics.nrmse(mean, true)),
            smape=float(metrics.smape(mean, true)),
            noise=float(np.nanmean(noise)),
            per_bin=per_bin,
        )


def _calibration(
    values: FloatArray,
    centre: FloatArray,
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
        "dex": metrics.dex_bias(sigma, empirical, number, axis=0),
        "epistemic_ratio": np.median(ratio, axis=0),
    }
    for name, width in (("coverage", sigma), ("coverage_total", total)):
        for k in WITHIN:
            per_bin[f"{name}_{k}"] = metrics.coverage(values, centre, width, k=k, axis=(0, 1))
    return Calibration(
        dex=float(metrics.dex_bias(sigma, empirical, number)),
        dex_scatter=float(np.nanstd(dex)),
        coverage={k: float(metrics.coverage(values, centre, sigma, k=k)) for k in WITHIN},
        coverage_total={k: float(metrics.coverage(values, centre, total, k=k)) for k in WITHIN},
        epistemic_ratio=float(np.median(ratio)),
        per_bin=per_bin,
    )
