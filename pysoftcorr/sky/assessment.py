"""What the two errors say about clustering: is it worth it for these objects?"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr.core.text import aligned_rows
from pysoftcorr.sky.result import Correlation

__all__ = ["TOLERANCE", "Finding", "find"]

FloatArray = npt.NDArray[np.float64]

#: What clustering may add to the total error, and change in a detected amplitude: 10 %.
TOLERANCE = 0.1


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Epistemic against aleatoric error, the amplitudes, and a verdict; made by `find`.

    Attributes
    ----------
    bins : ndarray, shape (nbins + 1,)
        Edges, in `unit`.
    unit : str
    ratio : dict of str to ndarray, shape (nbins,)
        sigma_epistemic / sigma_aleatoric of each statistic; NaN where one of them is not known.
    median : dict of str to float
        Its median over bins, NaN where no bin has both errors.
    amplitude : dict of str to dict of str to float
        For "greedy", "sampled", "soft": amplitude of each statistic against that of all pairs.
    detected : dict of str to bool
        Whether the statistic of all pairs is above its shot noise.
    skip : bool or None
        Whether clustering should be skipped; None where nothing speaks for or against.
    verdict : str
        The same in words.
    """

    bins: FloatArray
    unit: str
    ratio: dict[str, FloatArray]
    median: dict[str, float]
    amplitude: dict[str, dict[str, float]] = field(default_factory=dict)
    detected: dict[str, bool] = field(default_factory=dict)
    skip: bool | None
    verdict: str

    def summary(self) -> str:
        """A table for a terminal, and the verdict below it."""
        head = ["statistic", *(f"{lo:.4g}-{hi:.4g}" for lo, hi in pairwise(self.bins))]
        head += ["median", *self.amplitude]
        rows = []
        for name, ratio in self.ratio.items():
            row = [name, *(_short(r) for r in ratio), _short(self.median[name])]
            mark = "" if self.detected.get(name, True) else "*"
            row += [_short(values[name]) + mark for values in self.amplitude.values()]
            rows.append(row)
        lines = [f"sigma_epistemic / sigma_aleatoric in bins of separation [{self.unit}]"]
        if self.amplitude:
            lines[0] += f"; amplitude of {', '.join(self.amplitude)} clusters / all pairs"
        lines.append(aligned_rows([head, *rows]))
        if not all(self.detected.values()):
            lines.append("* not above the shot noise: its amplitude has no part in the verdict")
        return "\n".join([*lines, "", textwrap.fill(f"Finding: {self.verdict}", 100)])

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; None for what is not a number."""
        return {
            "ratio": {name: [_plain(r) for r in ratio] for name, ratio in self.ratio.items()},
            "median_ratio": {name: _plain(r) for name, r in self.median.items()},
            "amplitude": {
                kind: {name: _plain(a) for name, a in values.items()}
                for kind, values in self.amplitude.items()
            },
            "detected": self.detected,
            "skip_clustering": self.skip,
            "verdict": self.verdict,
        }


def find(
    result: Mapping[str, Correlation],
    *,
    naive: Mapping[str, Correlation] | None = None,
    soft: Mapping[str, Correlation] | None = None,
) -> Finding:
    """Weigh epistemic against aleatoric error, and clustered against naive amplitudes.

    The rule, after Berman et al. 2025 (sections 5 and 8), who compare the two errors bin by bin:
    clustering should be **skipped**

    - if it adds more than 10 % to the total error, both in quadrature: that is if
      sigma_epistemic / sigma_aleatoric, median over the bins of a statistic and then over the
      statistics, is above ``sqrt(1.1^2 - 1) = 0.46``; or
    - if it changes the amplitude of the detected statistics by more than 10 % (median over
      them): an error that no resampling of the clustered objects shows.

    Otherwise it does **little harm**. Without both errors and without `naive` nothing is said.

    The amplitude A of a clustered statistic c against the naive n minimizes
    ``sum (c - A n)^2 / sigma^2`` over bins, sigma the shot noise of n. A statistic is detected
    if ``sum n^2 / sigma^2`` is above its expectation for noise, the number of bins, by more than
    three of its standard deviations, ``sqrt(2 nbins)``.

    Parameters
    ----------
    result : CorrelationSet or mapping of str to Correlation
        The clustered statistics with their resamples.
    naive : mapping of str to Correlation, optional
        The same statistics of all pairs.
    soft : mapping of str to Correlation, optional
        The same statistics with ``assignment="soft"``: broad memberships attenuate them.

    Returns
    -------
    Finding

    Raises
    ------
    ValueError
        If there is no statistic, or `naive` or `soft` lack one.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr.sky.binning import Binning
    >>> from pysoftcorr.sky.assessment import find
    >>> from pysoftcorr.sky.result import Correlation
    >>> zeros = dict.fromkeys(
    ...     ("theta", "logtheta", "value", "imag", "npairs", "weight", "varshot"), [0.0, 0.0])
    >>> draws = np.array([[-1.0, -1.0], [1.0, 1.0]])
    >>> rho1 = Correlation(name="rho1", bins=Binning.linear(0, 2, 2), epistemic=draws,
    ...                    aleatoric=2 * draws, aleatoric_method="bootstrap", **zeros)
    >>> found = find({"rho1": rho1})
    >>> found.ratio["rho1"], found.skip
    (array([0.5, 0.5]), True)
    """
    if not result:
        raise ValueError("result: at least one statistic is needed")
    for argument, others in (("naive", naive), ("soft", soft)):
        lacking = [name for name in result if others is not None and name not in others]
        if lacking:
            raise ValueError(f"{argument} lacks {', '.join(lacking)}")
    first = next(iter(result.values()))
    ratio = {name: _ratio(item) for name, item in result.items()}
    median = {name: _median(values) for name, values in ratio.items()}
    amplitude: dict[str, dict[str, float]] = {}
    detected: dict[str, bool] = {}
    if naive is not None:
        detected = {name: _detected(naive[name]) for name in result}
        kind = str(first.settings.get("assignment") or "greedy")
        amplitude[kind] = {name: _amplitude(item, naive[name]) for name, item in result.items()}
        if soft is not None:
            amplitude["soft"] = {name: _amplitude(soft[name], naive[name]) for name in result}
    skip, verdict = _verdict(median, next(iter(amplitude.values()), {}), detected)
    return Finding(
        bins=first.bins.edges,
        unit=first.bins.unit,
        ratio=ratio,
        median=median,
        amplitude=amplitude,
        detected=detected,
        skip=skip,
        verdict=verdict,
    )


def _verdict(
    median: Mapping[str, float], amplitude: Mapping[str, float], detected: Mapping[str, bool]
) -> tuple[bool | None, str]:
    overall = _median(np.array(list(median.values())))
    shift = _median(np.array([a - 1.0 for name, a in amplitude.items() if detected[name]]))
    reasons, grows = [], 0.0
    if np.isfinite(overall):
        grows = float(np.hypot(1.0, overall)) - 1.0
        reasons.append(
            f"the epistemic error is {overall:.2f} of the aleatoric one (median over bins and "
            f"statistics), which adds {100 * grows:.0f} % to the total error"
        )
    if np.isfinite(shift):
        reasons.append(
            f"clustering changes the amplitude of the detected statistics by {100 * shift:+.0f} %"
        )
    if not reasons:
        return None, "without both errors and without all pairs nothing can be said of clustering."
    skip = bool(grows > TOLERANCE or abs(shift) > TOLERANCE)
    head = "skip the clustering" if skip else "the clustering does little harm"
    tail = "All pairs (the naive estimator) have no epistemic error" + (
        ": take them for these objects." if skip else " at all."
    )
    return skip, f"{head}: {'; '.join(reasons)}. {tail}"


def _ratio(item: Correlation) -> FloatArray:
    epistemic, aleatoric = item.sigma_epistemic, item.sigma_aleatoric
    empty = np.full(item.bins.nbins, np.nan)
    if epistemic is None or aleatoric is None:
        return empty
    return np.divide(epistemic, aleatoric, out=empty, where=aleatoric > 0)


def _usable(item: Correlation) -> npt.NDArray[np.bool_]:
    return np.isfinite(item.value) & np.isfinite(item.varshot) & (item.varshot > 0)


def _amplitude(item: Correlation, naive: Correlation) -> float:
    good = _usable(naive) & np.isfinite(item.value)
    c, n, weight = item.value[good], naive.value[good], 1.0 / naive.varshot[good]
    power = float(np.sum(weight * n**2))
    return float(np.sum(weight * c * n)) / power if power > 0 else float("nan")


def _detected(naive: Correlation) -> bool:
    good = _usable(naive)
    chi2 = float(np.sum(naive.value[good] ** 2 / naive.varshot[good]))
    count = int(good.sum())
    return count > 0 and chi2 > count + 3.0 * math.sqrt(2.0 * count)


def _median(values: FloatArray) -> float:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else float("nan")


def _short(x: float) -> str:
    return f"{x:.2f}" if np.isfinite(x) else "-"


def _plain(x: float) -> float | None:
    return float(x) if np.isfinite(x) else None
