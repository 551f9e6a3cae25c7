"""The common course of every estimator: value, epistemic draws, resamples, result."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr import errors
from pysoftcorr._pairs import Objects, Source
from pysoftcorr._random import Seed, root_seed
from pysoftcorr.binning import Binning
from pysoftcorr.catalog import Catalog
from pysoftcorr.clustering import ASSIGNMENTS, Clustering, SoftClustering
from pysoftcorr.result import Correlation, CorrelationSet

FloatArray = npt.NDArray[np.float64]
Clusters = int | SoftClustering | Clustering | tuple[Clustering, ...] | None


@dataclass(frozen=True)
class Measured:
    """One statistic of R versions of the objects; arrays are (R, nbins)."""

    value: npt.NDArray[np.complex128]
    npairs: FloatArray
    weight: FloatArray
    theta: FloatArray
    logtheta: FloatArray
    varshot: FloatArray


Measure = Callable[[Sequence[Objects], Binning, str | None], dict[str, Measured]]


@dataclass(frozen=True, kw_only=True)
class Options:
    """What all estimators can be asked for; see `pysoftcorr.correlation`."""

    clusters: Clusters = None
    assignment: str = "greedy"
    samples: int = 0
    bootstrap: int = 0
    jackknife: Any = 0
    leave_out: float | tuple[float, int] | None = None
    seed: Seed = None

    def __post_init__(self) -> None:
        for name in ("samples", "bootstrap"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
                raise TypeError(f"{name} = {value!r}: must be an integer")
            if value < 0 or value == 1:
                raise ValueError(f"{name} = {value}: must be 0 (none) or at least 2")
        kinds = [k for k in ASSIGNMENTS if k != "gumbel"]
        if self.assignment not in kinds:
            raise ValueError(f"assignment = {self.assignment!r}: must be one of {kinds}")
        asked = self.resampling_asked
        if len(asked) > 1:
            raise ValueError(f"{' and '.join(asked)}: choose one way to resample the objects")
        if self.samples and self.naive:
            raise ValueError(
                f"samples = {self.samples}: the epistemic error comes from assigning objects to "
                "clusters; ask for clusters too, or for samples=0"
            )
        object.__setattr__(self, "seed", root_seed(self.seed))

    @property
    def resampling_asked(self) -> list[str]:
        """The ways to resample that are asked for."""
        return [name for name in ("bootstrap", "jackknife", "leave_out") if self._asks(name)]

    def _asks(self, name: str) -> bool:
        value = getattr(self, name)
        return value is not None and not (isinstance(value, (int, float)) and value == 0)

    @property
    def naive(self) -> bool:
        """All pairs of objects, no clusters."""
        return self.clusters is None or (isinstance(self.clusters, int) and self.clusters == 0)

    def resampling(self, catalogs: Sequence[Catalog]) -> errors.Resampling | None:
        """The resamples asked for."""
        seed = self.seed
        if self._asks("bootstrap"):
            return errors.bootstrap(*catalogs, n=self.bootstrap, seed=seed)
        if self._asks("jackknife"):
            if isinstance(self.jackknife, (int, np.integer)):
                return errors.jackknife(*catalogs, n=int(self.jackknife), seed=seed)
            return errors.jackknife(*catalogs, labels=self.jackknife, seed=seed)
        if self._asks("leave_out"):
            part = self.leave_out if isinstance(self.leave_out, tuple) else (self.leave_out, 100)
            return errors.leave_out(*catalogs, fraction=part[0], n=part[1], seed=seed)  # type: ignore[arg-type]
        return None

    def clusterings(self, catalogs: Sequence[Catalog]) -> list[Clustering | None]:
        """One clustering per catalogue, or none."""
        given = self.clusters
        if self.naive:
            return [None] * len(catalogs)
        if isinstance(given, (int, np.integer)) and not isinstance(given, bool):
            given = SoftClustering(n_clusters=int(given), seed=self.seed)
        if isinstance(given, SoftClustering):
            return [given.fit(catalog) for catalog in catalogs]
        fits = [
            fit
            for fit in (given if isinstance(given, tuple) else (given,))
            if isinstance(fit, Clustering)
        ]
        if not fits:
            raise TypeError(
                "clusters must be a number, a SoftClustering, or a Clustering per catalogue, "
                f"not {type(given).__name__}"
            )
        if len(fits) != len(catalogs):
            raise ValueError(f"clusters: {len(catalogs)} catalogues need as many Clusterings")
        for fit, catalog in zip(fits, catalogs, strict=True):
            if len(fit.memberships) != len(catalog):
                raise ValueError(
                    f"clusters: a Clustering of {len(fit.memberships)} objects does not belong "
                    f"to a catalogue of {len(catalog)}"
                )
        return list(fits)

    def record(self) -> dict[str, Any]:
        """As plain values, for the result."""
        given = self.clusters
        if isinstance(given, tuple):
            clusters: Any = [fit.settings for fit in given]
        else:
            clusters = given if isinstance(given, (int, type(None))) else given.settings
        jackknife = self.jackknife if isinstance(self.jackknife, int) else "labels"
        leave = list(self.leave_out) if isinstance(self.leave_out, tuple) else self.leave_out
        return {
            "clusters": clusters, "assignment": None if self.naive else self.assignment,
            "samples": self.samples, "bootstrap": self.bootstrap, "jackknife": jackknife,
            "leave_out": leave,
        }  # fmt: skip


def as_binning(bins: Binning | str) -> Binning:
    """Bins, or what their text means."""
    return Binning.parse(bins) if isinstance(bins, str) else bins


def check_catalogs(name: str, **catalogs: Catalog) -> None:
    """At least two objects each."""
    for argument, catalog in catalogs.items():
        if not isinstance(catalog, Catalog):
            raise TypeError(f"{name}: {argument} must be a Catalog, not {type(catalog).__name__}")
        if len(catalog) < 2:
            raise ValueError(
                f"{name}: {argument} has one object; pairs need at least two "
                "(was the catalogue cut too hard?)"
            )


def check_shears(name: str, **catalogs: Catalog) -> None:
    """Ellipticities present."""
    for argument, catalog in catalogs.items():
        if catalog.g1 is None:
            raise ValueError(f"{name}: {argument} has no g1 and g2; give both columns")


def run(
    name: str,
    sources: Sequence[Source],
    measure: Measure,
    bins: Binning,
    options: Options,
    settings: dict[str, Any],
    *,
    fixed: Sequence[int] = (),
) -> CorrelationSet:
    """Value, epistemic draws and resamples of one estimator.

    `fixed` lists the sources that independent resampling leaves alone (random points); the
    jackknife cuts its patches out of all.
    """
    catalogs = [source.catalog for source in sources]
    seed = int(options.seed)  # type: ignore[arg-type]
    fits = options.clusterings(catalogs)
    sources = [replace(s, clustering=fit) for s, fit in zip(sources, fits, strict=True)]
    base = measure([s.base(options.assignment, seed) for s in sources], bins, "pairs")
    _warn_empty(name, bins, next(iter(base.values())))
    drawn = resampled = resampling = None
    if options.samples:
        draws = [s.drawn(options.samples, seed + k) for k, s in enumerate(sources)]
        drawn = measure(draws, bins, "epistemic samples")
    resampling = options.resampling(catalogs)
    if resampling is not None:
        versions = []
        for k, (source, times) in enumerate(zip(sources, resampling.multiplicity, strict=True)):
            if k in fixed and resampling.method != "jackknife":
                times = np.ones((1, len(source.catalog)))
            versions.append(source.resampled(times))
        resampled = measure(versions, bins, f"{resampling.method} resamples")
    record = {"estimator": name} | settings | options.record()
    record["catalogs"] = [{"name": c.name, "rows": len(c)} for c in catalogs]
    return CorrelationSet(
        [
            Correlation(
                name=key, bins=bins, theta=m.theta[0], logtheta=m.logtheta[0],
                value=m.value[0].real, imag=m.value[0].imag, npairs=m.npairs[0],
                weight=m.weight[0], varshot=m.varshot[0],
                epistemic=None if drawn is None else drawn[key].value,
                aleatoric=None if resampled is None else resampled[key].value,
                aleatoric_method=None if resampling is None else resampling.method,
                aleatoric_factor=None if resampling is None else resampling.factor,
                settings=record, seed=seed,
            )
            for key, m in base.items()
        ],
        name=name,
    )  # fmt: skip


def _warn_empty(name: str, bins: Binning, measured: Measured) -> None:
    empty = np.flatnonzero(measured.npairs[0] == 0)
    if len(empty) == 0:
        return
    shown = ", ".join(f"{bins.edges[b]:g}-{bins.edges[b + 1]:g}" for b in empty[:4])
    more = ", ..." if len(empty) > 4 else ""
    warnings.warn(
        f"{name}: {len(empty)} of {bins.nbins} bins hold no pairs ({shown}{more} {bins.unit}); "
        "their value is NaN and their count 0",
        stacklevel=4,
    )
