"""What stands behind :class:`pysoftcorr.differentiable.SoftCorrelation`: its settings and calls."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr import _options, _softbins
from pysoftcorr._julia import call
from pysoftcorr._random import Seed
from pysoftcorr._softbins import FIELDS
from pysoftcorr.binning import Binning
from pysoftcorr.catalog import Catalog
from pysoftcorr.clustering import Clustering, SoftClustering

__all__ = ["SoftEstimator", "Solution"]

FloatArray = npt.NDArray[np.float64]

# Below this reciprocal condition of the implicit solve its answer has lost half its digits.
ILL_CONDITIONED = 1e-8


@dataclass(frozen=True)
class Solution:
    """What an estimate is taken at: objects, the start, and the converged centres."""

    objects: FloatArray  # (5, N): ra, dec, g1, g2 and w in units of `scale`
    scale: float
    start: FloatArray  # (3, c)
    centres: FloatArray  # (3, c)
    noise: FloatArray  # (N, c), or empty


class SoftEstimator:
    """Checked settings, and the calls that cluster, estimate and differentiate."""

    def __init__(
        self,
        bins: Binning | str,
        *,
        approach: str = "soft",
        clusters: int | SoftClustering | Clustering | None = None,
        through: str = "implicit",
        weighting: str = "sigmoid",
        sharpness: float | npt.ArrayLike | None = None,
        statistic: str = "xip",
        fuzziness: float | None = None,
        temperature: float = 0.1,
        straight_through: bool = False,
        rule: str = "exact",
        use_weights: bool = False,
        seed: Seed = None,
        start: npt.ArrayLike | Clustering | None = None,
        max_iter: int = 5000,
    ) -> None:
        self.approach = _options.choice("approach", approach, _softbins.APPROACHES)
        self.through = _options.choice("through", through, _softbins.THROUGH)
        self.weighting = _options.choice("weighting", weighting, _softbins.WEIGHTINGS)
        self.statistic = _options.choice("statistic", statistic, _softbins.STATISTICS)
        self.rule = _options.choice("rule", rule, _softbins.RULES)
        self.temperature = _options.positive("temperature", temperature)
        self.straight_through = _options.flag("straight_through", straight_through)
        if self.straight_through and self.approach != "gumbel":
            raise ValueError(
                f"straight_through is of approach='gumbel', not of {self.approach!r}; leave it out"
            )
        if self.rule == "literal" and self.approach != "hard":
            raise ValueError(
                f"rule='literal' is of approach='hard', not of {self.approach!r}; leave it out"
            )
        use_weights = _options.flag("use_weights", use_weights)
        if isinstance(max_iter, bool) or not isinstance(max_iter, (int, np.integer)):
            raise TypeError(f"max_iter = {max_iter!r}: must be an integer")
        if max_iter < 1:
            raise ValueError(f"max_iter = {max_iter}: must be at least 1")
        self.max_iter = int(max_iter)
        self.bins, self._bins = _softbins.soft_bins(bins, self.weighting, sharpness)
        self.clustering, self._start = _softbins.clustering_of(
            clusters, start, fuzziness, use_weights, seed
        )
        self.timings: dict[str, float] = {}

    @property
    def nbins(self) -> int:
        """Number of bins."""
        return self.bins.nbins

    @property
    def sharpness(self) -> FloatArray:
        """Sharpness of each bin, shape (nbins,)."""
        return self._bins[2].copy()

    def __repr__(self) -> str:
        kind = self.approach
        if kind != "naive":
            kind += f", {self.clustering.n_clusters} clusters"
        if kind.startswith(("soft", "gumbel")):
            kind += f", {self.through}"
        return f"<SoftCorrelation: {self.statistic} in {self.bins}, {self.weighting}, {kind}>"

    # ------------------------------------------------------------------ the work
    def _begin(self) -> float:
        self.timings = dict.fromkeys(("clustering", "solve", "pairs", "clusters", "total"), 0.0)
        return time.perf_counter()

    def _solve(self, catalog: Catalog) -> Solution:
        """Objects and converged centres."""
        if not isinstance(catalog, Catalog):
            raise TypeError(f"catalog must be a Catalog, not {type(catalog).__name__}")
        if catalog.g1 is None or catalog.g2 is None:
            raise ValueError(f"{catalog!r} has no ellipticities; give g1 and g2")
        n, c = len(catalog), self.clustering.n_clusters
        # The estimate does not depend on the unit of the weights; products of them must not
        # leave the range of numbers.
        scale = float(catalog.w.max())
        objects = np.stack([catalog.ra, catalog.dec, catalog.g1, catalog.g2, catalog.w / scale])
        empty = np.empty(0)
        if self.approach == "naive":
            return Solution(objects, scale, empty, empty, empty)
        if c > n:
            raise ValueError(
                f"clusters = {c}: more than the {n} objects of the catalogue; ask for at most {n}"
            )
        if self._start is not None:
            start = np.ascontiguousarray(self._start.T)
        else:
            start = np.empty((3, c))
            shares = objects[4] if self.clustering.use_weights else np.ones(n)
            seed = int(self.clustering.seed)  # type: ignore[arg-type]
            draws = _softbins.seed_numbers(seed, c)
            call("seed_centres", catalog.xyz, 3, n, shares, c, draws, start)
        centres = start.copy()
        outcome, left = np.zeros(2, dtype=np.int64), np.zeros(2)
        plain = self.through == "unrolled" and self.approach != "hard"
        call(
            "softcorr_centres", n, objects, c, self.clustering.fuzziness,
            int(self.clustering.use_weights), int(plain), self.max_iter, centres, outcome, left,
        )  # fmt: skip
        self.timings["clustering"] = float(left[1])
        if not outcome[1]:
            warnings.warn(
                f"fuzzy c-means did not converge in {outcome[0]} steps: centres still move by "
                f"{np.degrees(left[0]) * 60:.1e} arcmin a sweep, and derivatives are not exact; "
                "raise max_iter or ask for fewer clusters",
                stacklevel=3,
            )
        noise = empty
        if self.approach == "gumbel":
            noise = _softbins.gumbel_numbers(int(self.clustering.seed), n, c)  # type: ignore[arg-type]
        return Solution(objects, scale, start, centres, noise)

    def _arguments(self, solution: Solution, *, derivative: bool) -> tuple[Any, ...]:
        """The arguments that describe objects and estimator to Julia."""
        unrolled = self.through == "unrolled" and self.approach in ("soft", "gumbel")
        # The value is that of the converged centres whatever they are differentiated through.
        through = self.through if derivative else "implicit"
        options = np.array(
            [
                _softbins.APPROACHES[self.approach],
                _softbins.THROUGH[through],
                _softbins.WEIGHTINGS[self.weighting],
                _softbins.STATISTICS[self.statistic],
                self.straight_through,
                _softbins.RULES[self.rule],
                self.clustering.use_weights,
                self.max_iter,
            ],
            dtype=np.int64,
        )
        numbers = np.array([self.clustering.fuzziness, self.temperature])
        centres = solution.start if unrolled and derivative else solution.centres
        c = 0 if self.approach == "naive" else self.clustering.n_clusters
        return (
            solution.objects.shape[1], solution.objects, c, centres, solution.noise, options,
            numbers, self.nbins, self._bins,
        )  # fmt: skip

    def _value(self, solution: Solution) -> FloatArray:
        sums, seconds = np.empty((3, self.nbins)), np.zeros(1)
        call("softcorr_value", *self._arguments(solution, derivative=False), sums, seconds)
        self.timings["pairs"] = float(seconds[0])
        self._warn_of_empty_bins(sums[0])
        return sums[0]

    def _pull(
        self, solution: Solution, cotangents: FloatArray
    ) -> tuple[FloatArray, dict[str, FloatArray]]:
        """xi, and the gradients (R, N) of R cotangents (R, nbins)."""
        r, n = len(cotangents), solution.objects.shape[1]
        value, out = np.empty(self.nbins), np.empty((5, r, n))
        kind, report = np.zeros(1, dtype=np.int64), np.zeros(5)
        call(
            "softcorr_vjp", *self._arguments(solution, derivative=True), r,
            np.ascontiguousarray(cotangents), value, out, kind, report,
        )  # fmt: skip
        self.timings.update(
            clusters=float(report[0] + report[2]), pairs=float(report[1]), solve=float(report[3])
        )
        out[4] /= solution.scale
        self._warn_of_empty_bins(value)
        if kind[0] == 2 or report[4] < ILL_CONDITIONED:
            warnings.warn(
                "the implicit solve is ill-conditioned (reciprocal condition "
                f"{report[4]:.0e}): centres are not determined by the objects, and gradients are "
                "those of a regularised least-squares solution; ask for fewer clusters",
                stacklevel=3,
            )
        elif kind[0] == 1:
            warnings.warn(
                "the fixed point of fuzzy c-means is no minimum of its objective (coincident "
                "centres?): gradients are those of this fixed point, which sweeps from a start "
                "nearby may leave; ask for fewer clusters or another seed",
                stacklevel=3,
            )
        return value, dict(zip(FIELDS, out, strict=True))

    def _warn_of_empty_bins(self, value: FloatArray) -> None:
        empty = np.flatnonzero(np.isnan(value))
        if empty.size:
            warnings.warn(
                f"no pairs in bin{'s' if empty.size > 1 else ''} "
                f"{', '.join(map(str, empty))} of {self.bins}: the value is NaN, the gradient 0",
                stacklevel=4,
            )
