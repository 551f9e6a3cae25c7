"""The soft correlation functions of Julia: what they are taken at, and the calls."""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr._julia import call
from pysoftcorr.core.checks import not_negative
from pysoftcorr.core.farm.blocks import Farm, farm_of
from pysoftcorr.core.random import stream
from pysoftcorr.sky.binning import Binning
from pysoftcorr.sky.catalog import Catalog
from pysoftcorr.sky.clustering import SoftClustering
from pysoftcorr.sky.device.soft import Pairs
from pysoftcorr.sky.geometry import (
    AXES,
    FLAT,
    NUMBERS,
    PIXEL,
    SKY,
    check_together,
    plane_scale,
    to_plane,
)  # fmt: skip
from pysoftcorr.sky.soft_bins import WEIGHTINGS
from pysoftcorr.sky.soft_jacobian import bins_at_once
from pysoftcorr.sky.starts import Start

__all__ = ["FIELDS", "SoftKernels", "Solution"]

FloatArray = npt.NDArray[np.float64]

#: The quantities of an object that the estimate depends on, in the order Julia takes them.
FIELDS = {geometry: (*axes, "g1", "g2", "w") for geometry, axes in AXES.items()}

APPROACHES = {"naive": 0, "soft": 1, "hard": 2, "gumbel": 3}
THROUGH = {"frozen": 0, "one-step": 1, "implicit": 2, "unrolled": 3}
STATISTICS = {"xip": 0, "xim": 1}
RULES = {"exact": 0, "literal": 1}
COINCIDENT = {"keep": 0, "drop": 1}


def seed_numbers(seed: int, n_clusters: int) -> FloatArray:
    """Uniform numbers of the k-means++ start, those that `SoftClustering.fit` draws."""
    return stream(seed, "k-means++").random(n_clusters)


def gumbel_numbers(seed: int, n: int, n_clusters: int) -> FloatArray:
    """Gumbel numbers (N, c), those that ``Clustering.assign("gumbel", seed=seed)`` draws."""
    return stream(seed, "gumbel").gumbel(size=(n, n_clusters))


#: Of the work that workers share: each block goes over the pairs once for its values.
_BINS_OF_A_BLOCK = 2

# Below this reciprocal condition of the implicit solve its answer has lost half its digits.
ILL_CONDITIONED = 1e-8


@dataclass(frozen=True)
class Solution:
    """What an estimate is taken at: objects, the start, and the converged centers.

    Positions in a plane, and with them centers and bins, are in units of the power of two above the
    largest coordinate.
    """

    geometry: str
    objects: FloatArray  # (5, N): ra, dec or x, y; g1, g2 and w in units of `scale`
    bins: FloatArray  # (3, nbins): edges and sharpness
    scale: float
    start: FloatArray  # (3, c)
    centers: FloatArray  # (3, c)
    noise: FloatArray  # (N, c), or empty
    unit: float = 1.0  # arcmin or pixels in the unit of x and y
    per: float = 1.0  # units of `objects` in one of the catalog's

    def of_columns(self, rows: FloatArray) -> FloatArray:
        """Changes (5, ...) of the catalog's own columns as those of `objects`, in place; the same
        for gradients by `objects`, as those per unit of the columns."""
        if self.per != 1.0:
            rows[:2] *= self.per
        rows[4] /= self.scale
        return rows


@dataclass(frozen=True)
class _Bins:
    """Value and gradients (5, R, N) of the bins from one on, and how they were found."""

    first: int
    value: FloatArray
    rows: FloatArray
    kind: int
    report: FloatArray


def _of_bins(estimator: SoftKernels, solution: Solution, block: tuple[slice, FloatArray]) -> _Bins:
    """Gradients of some bins, in a worker."""
    cut, cotangents = block
    some = replace(solution, bins=np.ascontiguousarray(solution.bins[:, cut]))
    return _Bins(cut.start, *estimator._pulled(some, cotangents))


class SoftKernels:
    """The work of `SoftCorrelation`, whose settings it reads."""

    approach: str
    through: str
    weighting: str
    statistic: str
    rule: str
    coincident: str
    temperature: float
    straight_through: bool
    max_iter: int
    bins: Binning
    clustering: SoftClustering
    timings: dict[str, float]
    _bins: FloatArray
    _start: Start | None
    device: str
    scheduler: str | None
    workers: int | None

    @property
    def nbins(self) -> int:
        """Number of bins."""
        return self.bins.nbins

    def _begin(self) -> float:
        self.timings = dict.fromkeys(("clustering", "solve", "pairs", "clusters", "total"), 0.0)
        return time.perf_counter()

    def _solve(self, catalog: Catalog) -> Solution:
        """Objects and converged centers."""
        if not isinstance(catalog, Catalog):
            raise TypeError(f"catalog must be a Catalog, not {type(catalog).__name__}")
        if catalog.g1 is None or catalog.g2 is None:
            raise ValueError(f"{catalog!r} has no ellipticities; give g1 and g2")
        not_negative(
            catalog.w, "SoftCorrelation: catalog", "its sums of weights must be above 0",
            "leave those rows out, or use xi_pm",
        )  # fmt: skip
        check_together("", self.bins, catalog=catalog)
        n, c = len(catalog), self.clustering.n_clusters
        # The estimate does not depend on the unit of the weights; products of them must not
        # leave the range of numbers.
        scale = float(catalog.w.max())
        geometry, unit, per = catalog.geometry, 1.0, 1.0
        places = [getattr(catalog, axis) for axis in AXES[geometry]]
        bins = self._bins
        if geometry == FLAT:
            unit = plane_scale(catalog.xyz)
            per = to_plane(str(catalog.xy_unit)) / unit
            places = [place * per for place in places]
            power = 1 if self.weighting == "sigmoid" else 2
            bins = bins * np.array([[1 / unit], [1 / unit], [unit**power]])
        objects = np.stack([*places, catalog.g1, catalog.g2, catalog.w / scale])
        empty = np.empty(0)
        if self.approach == "naive":
            return Solution(geometry, objects, bins, scale, empty, empty, empty, unit, per)
        if c > n:
            raise ValueError(
                f"clusters = {c}: more than the {n} objects of the catalog; ask for at most {n}"
            )
        if self._start is not None:
            start = np.ascontiguousarray(self._start.vectors(catalog).T / unit)
        else:
            start = np.empty((3, c))
            shares = objects[4] if self.clustering.use_weights else np.ones(n)
            seed = int(self.clustering.seed)  # type: ignore[arg-type]
            draws = seed_numbers(seed, c)
            at = catalog.xyz if unit == 1.0 else np.ascontiguousarray(catalog.xyz / unit)
            call("seed_centers", at, 3, n, shares, c, draws, start)
        centers = start.copy()
        outcome, left = np.zeros(2, dtype=np.int64), np.zeros(2)
        plain = self.through == "unrolled" and self.approach != "hard"
        call(
            "softcorr_centers", NUMBERS[geometry], n, objects, c, self.clustering.fuzziness,
            int(self.clustering.use_weights), int(plain), self.max_iter, centers, outcome, left,
        )  # fmt: skip
        self.timings["clustering"] = float(left[1])
        if not outcome[1]:
            warnings.warn(
                f"fuzzy c-means did not converge in {outcome[0]} steps: centers still move by "
                f"{_moved(left[0], unit, catalog)} a sweep, and derivatives are not exact; "
                "raise max_iter or ask for fewer clusters",
                stacklevel=3,
            )
        noise = empty
        if self.approach == "gumbel":
            noise = gumbel_numbers(int(self.clustering.seed), n, c)  # type: ignore[arg-type]
        return Solution(geometry, objects, bins, scale, start, centers, noise, unit, per)

    def _arguments(self, solution: Solution, *, derivative: bool) -> tuple[Any, ...]:
        """The arguments that describe objects and estimator to Julia."""
        unrolled = self.through == "unrolled" and self.approach in ("soft", "gumbel")
        # The value is that of the converged centers whatever they are differentiated through.
        through = self.through if derivative else "implicit"
        options = np.array(
            [
                APPROACHES[self.approach],
                THROUGH[through],
                WEIGHTINGS[self.weighting],
                STATISTICS[self.statistic],
                self.straight_through,
                RULES[self.rule],
                self.clustering.use_weights,
                self.max_iter,
                COINCIDENT[self.coincident],
                NUMBERS[solution.geometry],
            ],
            dtype=np.int64,
        )
        numbers = np.array([self.clustering.fuzziness, self.temperature])
        centers = solution.start if unrolled and derivative else solution.centers
        c = 0 if self.approach == "naive" else self.clustering.n_clusters
        return (
            solution.objects.shape[1], solution.objects, c, centers, solution.noise, options,
            numbers, solution.bins.shape[1], solution.bins,
        )  # fmt: skip

    def _pairs(self, solution: Solution) -> Pairs:
        """All pairs of the objects, on the device."""
        return Pairs(
            solution.objects,
            solution.bins,
            flat=solution.geometry == FLAT,
            minus=self.statistic == "xim",
            gauss=self.weighting == "gaussian",
            drop=self.coincident == "drop",
            device=self.device,
        )

    def _value(self, solution: Solution) -> FloatArray:
        if self.device != "cpu":
            begun = time.perf_counter()
            xi, met = self._pairs(solution).value()
            self.timings["pairs"] = time.perf_counter() - begun
            self._warn(xi, met)
            return xi
        sums, report = np.empty((3, self.nbins)), np.zeros(2)
        call("softcorr_value", *self._arguments(solution, derivative=False), sums, report)
        self.timings["pairs"] = float(report[1])
        self._warn(sums[0], report[0])
        return sums[0]

    def _pull(
        self, solution: Solution, cotangents: FloatArray
    ) -> tuple[FloatArray, dict[str, FloatArray]]:
        """xi, and the gradients (R, N) of R cotangents (R, nbins)."""
        if self.device != "cpu":
            begun = time.perf_counter()
            xi, back, met = self._pairs(solution).gradients(cotangents)
            self.timings["pairs"] = time.perf_counter() - begun
            self._warn(xi, met)
            return xi, dict(zip(FIELDS[solution.geometry], solution.of_columns(back), strict=True))
        value, rows, kind, report = self._pulled(solution, cotangents)
        self._warn(value, report[5])
        self._report(kind, report)
        return value, dict(zip(FIELDS[solution.geometry], rows, strict=True))

    def _pulled(
        self, solution: Solution, cotangents: FloatArray
    ) -> tuple[FloatArray, FloatArray, int, FloatArray]:
        """xi, gradients (5, R, N), the kind of the solve, and the report of Julia."""
        r, n, nbins = len(cotangents), solution.objects.shape[1], solution.bins.shape[1]
        value, out = np.empty(nbins), np.empty((5, r, n))
        kind, report = np.zeros(1, dtype=np.int64), np.zeros(6)
        call(
            "softcorr_vjp", *self._arguments(solution, derivative=True), r,
            np.ascontiguousarray(cotangents), value, out, kind, report,
        )  # fmt: skip
        return value, solution.of_columns(out), int(kind[0]), report

    def _shared(self, farm: Farm, solution: Solution, cotangents: FloatArray) -> Iterator[_Bins]:
        """What workers make of some bins after the other, of cotangents (R, nbins).

        With one cotangent a bin, those of the same bins; the gradients of others add up.
        """
        alone = copy.copy(self)
        alone.scheduler = alone.workers = None
        cuts = [slice(b, b + _BINS_OF_A_BLOCK) for b in range(0, self.nbins, _BINS_OF_A_BLOCK)]
        one_each = len(cotangents) > 1
        blocks = [(cut, cotangents[cut, cut] if one_each else cotangents[:, cut]) for cut in cuts]
        kinds, reports, values = [], [], []
        for found in farm.each(_of_bins, (alone, solution), blocks, title="gradients"):
            kinds.append(found.kind)
            reports.append(found.report)
            values.append(found.value)
            yield found
        whole = np.array(reports)
        report = np.concatenate([whole[:, :4].sum(axis=0), [whole[:, 4].min(), whole[:, 5].max()]])
        self._warn(np.concatenate(values), report[5])
        self._report(max(kinds), report)

    def _stream(
        self,
        solution: Solution,
        receiving: AbstractContextManager[Callable[[int, FloatArray], None]],
    ) -> FloatArray:
        """xi; the gradients of all bins go where they are received, some bins after the other."""
        step = bins_at_once(solution.objects.shape[1], self.nbins)
        each = np.eye(self.nbins)
        with farm_of("SoftCorrelation.jacobian", self.scheduler, self.workers) as farm:
            if farm is not None:
                values = []
                with receiving as receive:
                    for found in self._shared(farm, solution, each):
                        receive(found.first, np.ascontiguousarray(found.rows.swapaxes(0, 1)))
                        values.append(found.value)
                return np.concatenate(values)
        clustering = self.timings["clustering"]
        spent = dict.fromkeys(self.timings, 0.0)
        said: list[warnings.WarningMessage] = []
        with receiving as receive:
            for first in range(0, self.nbins, step):
                # Every part would warn alike.
                with warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("always")
                    value, rows = self._pull(solution, each[first : first + step])
                said = said or caught
                receive(first, np.stack(list(rows.values()), axis=1))
                for stage, seconds in self.timings.items():
                    spent[stage] += seconds
        self.timings = {**spent, "clustering": clustering}
        for message in said:
            warnings.warn(message.message, stacklevel=4)
        return value

    def _push(self, solution: Solution, along: FloatArray) -> FloatArray:
        """Derivative of xi along changes (5, N) of the columns."""
        literal = self.approach == "hard" and self.rule == "literal"
        if literal or self.device != "cpu":
            _, rows = self._pull(solution, np.eye(self.nbins))
            return np.sum([row @ along[k] for k, row in enumerate(rows.values())], axis=0)
        out, report = np.empty((2, self.nbins)), np.zeros(1)
        call(
            "softcorr_jvp", *self._arguments(solution, derivative=True),
            solution.of_columns(along.copy()), out, report,
        )  # fmt: skip
        self._warn(out[0], report[0])
        return out[1]

    def _second(self, solution: Solution, along: FloatArray, cotangents: FloatArray) -> FloatArray:
        """How the gradients of R cotangents (R, nbins) change along (5, N), shape (5, R, N)."""
        if self.approach == "hard" and self.rule == "literal":
            raise ValueError(
                "rule = 'literal': is the gradient of no function and has no second derivatives; "
                "use rule='exact'"
            )
        r, n = len(cotangents), solution.objects.shape[1]
        value, first, out = np.empty(self.nbins), np.empty((5, r, n)), np.empty((5, r, n))
        kind, report = np.zeros(1, dtype=np.int64), np.zeros(6)
        call(
            "softcorr_hvp", *self._arguments(solution, derivative=True),
            solution.of_columns(along.copy()), r, np.ascontiguousarray(cotangents),
            np.zeros((r, self.nbins)), value, first, out, kind, report,
        )  # fmt: skip
        self._warn(value, report[5])
        self._report(int(kind[0]), report)
        return solution.of_columns(out)

    def _report(self, kind: int, report: FloatArray) -> None:
        """Times of a reverse pass, and its warnings."""
        self.timings.update(
            clusters=float(report[0] + report[2]), pairs=float(report[1]), solve=float(report[3])
        )
        if kind == 2 or report[4] < ILL_CONDITIONED:
            warnings.warn(
                "the implicit solve is ill-conditioned (reciprocal condition "
                f"{report[4]:.0e}): centers are not determined by the objects, and gradients are "
                "those of a regularized least-squares solution; ask for fewer clusters",
                stacklevel=4,
            )
        elif kind == 1:
            warnings.warn(
                "the fixed point of fuzzy c-means is no minimum of its objective (coincident "
                "centers?): gradients are those of this fixed point, which sweeps from a start "
                "nearby may leave; ask for fewer clusters or another seed",
                stacklevel=4,
            )

    def _warn(self, value: FloatArray, coincident: float) -> None:
        """Warnings about bins without pairs, and about pairs that xi- leaves out."""
        if coincident and self.statistic == "xim":
            what = "objects" if self.approach == "naive" else "clusters"
            warnings.warn(
                f"{int(coincident)} pair{'s' if coincident > 1 else ''} of {what} at one place "
                f"ha{'s' if coincident == 1 else 've'} no direction, and xim leaves "
                f"{'it' if coincident == 1 else 'them'} out",
                stacklevel=4,
            )
        empty = np.flatnonzero(np.isnan(value))
        if empty.size:
            warnings.warn(
                f"no pairs in bin{'s' if empty.size > 1 else ''} "
                f"{', '.join(map(str, empty))} of {self.bins}: the value is NaN, the gradient 0",
                stacklevel=4,
            )


def _moved(distance: float, unit: float, catalog: Catalog) -> str:
    if catalog.geometry == SKY:
        return f"{np.degrees(distance) * 60:.1e} arcmin"
    return f"{distance * unit:.1e} {'pixel' if catalog.xy_unit == PIXEL else 'arcmin'}"
