"""An evaluation in words and as JSON."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from pysoftcorr.emulator import metrics

if TYPE_CHECKING:
    from pysoftcorr.emulator.evaluation import Accuracy, Calibration, Evaluation

__all__ = ["PUBLISHED", "evaluation_dict", "evaluation_text"]

#: Of the test set of Pandya et al. (2025), for comparison.
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


def evaluation_dict(evaluation: Evaluation) -> dict[str, Any]:
    """As `Evaluation.to_dict`: NaN and infinity become None, which JSON can hold."""
    found: dict[str, Any] = {}
    for name, one in evaluation.statistics.items():
        entry: dict[str, Any] = {"mean of the realisations": _accuracy(one.accuracy)}
        if one.accuracy_expected is not None:
            entry["exact expectation"] = _accuracy(one.accuracy_expected)
        entry["calibration"] = _calibration(one.calibration)
        entry["published"] = PUBLISHED[name]
        found[name] = entry
    return {
        "rows": len(evaluation),
        "left_out": evaluation.left_out,
        "realisations": evaluation.realisations,
        "passes": evaluation.passes,
        "seed": evaluation.seed,
        "edges": evaluation.edges.tolist(),
        "near_zero": {
            "statistics": ["omega", "eta"],
            "least": metrics.NEAR_ZERO,
            "standard_errors": metrics.STANDARD_ERRORS,
        },
        "statistics": found,
        "data": {
            key: evaluation.description[key]
            for key in ("part", "split_seed")
            if key in evaluation.description
        },
    }


def evaluation_text(evaluation: Evaluation, *, bins: bool = True) -> str:
    """As `Evaluation.summary`."""
    part = evaluation.description.get("part")
    rows = f"{len(evaluation)} rows" + (f" ({part})" if part else "")
    lines = [
        f"{rows} x {evaluation.realisations} realisations, {evaluation.passes} passes"
        + (f"; {evaluation.left_out} rows outside of the bounds" if evaluation.left_out else ""),
        "",
        f"{'':<8}{'against':<15}{'fract.':>8}{'noise':>8}{'median':>8}{'all':>9}{'counted':>9}"
        f"{'Spearman':>10}{'by row':>8}{'NRMSE':>8}{'SMAPE':>8}",
    ]
    for name, one in evaluation.statistics.items():
        for label, accuracy in (("mean of real.", one.accuracy),
                                ("expectation", one.accuracy_expected)):  # fmt: skip
            if accuracy is not None:
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
    for name, one in evaluation.statistics.items():
        c = one.calibration
        lines.append(
            f"{name:<8}{c.dex:>+8.3f}{c.dex_scatter:>9.3f}{c.coverage[1]:>9.1%}"
            f"{c.coverage[2]:>9.1%}{c.coverage_total[1]:>9.1%}{c.coverage_total[2]:>9.1%}"
            f"{c.epistemic_ratio:>10.3f}"
        )
    lines += [
        "",
        "fract.: mean |pred - true|/|true| over the elements that count (omega, eta: |true| > "
        f"{metrics.NEAR_ZERO:g} and",
        f"> {metrics.STANDARD_ERRORS:g} standard errors); noise: that of the truth itself; all: "
        "without the rule. Spearman, NRMSE, SMAPE: pooled.",
        "dex: mean log10(sigma_pred/sigma_emp), corrected for the number of realisations; xi in "
        "log xi. 1, 2 sigma: part of",
        "the realisations within (normal: 68.3 %, 95.4 %); both: aleatoric and epistemic together.",
    ]
    if bins:
        lines += _bins_text(evaluation)
    return "\n".join(lines)


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


def _accuracy(a: Accuracy) -> dict[str, Any]:
    found: dict[str, Any] = {name: _number(getattr(a, name)) for name in _ACCURACY}
    return {**found, "per_bin": _per_bin(a.per_bin)}


def _calibration(c: Calibration) -> dict[str, Any]:
    return {
        "dex": _number(c.dex),
        "dex_scatter": _number(c.dex_scatter),
        "coverage": {str(k): value for k, value in c.coverage.items()},
        "coverage_total": {str(k): value for k, value in c.coverage_total.items()},
        "epistemic_ratio": _number(c.epistemic_ratio),
        "per_bin": _per_bin(c.per_bin),
    }
