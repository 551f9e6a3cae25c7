"""The common course of every estimator: value, epistemic draws, resamples, result."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr.core.random import Seed, root_seed, stream
from pysoftcorr.sky import resampling as errors
from pysoftcorr.sky.binning import Binning
from pysoftcorr.sky.catalog import Catalog
from pysoftcorr.sky.clustering import ASSIGNMENTS, Clustering, SoftClustering
from pysoftcorr.sky.pairs import Objects, Source
from pysoftcorr.sky.result import Correlation, CorrelationSet

FloatArray = npt.NDArray[np.float64]
Clusters = int | SoftClustering | Clustering | Sequence[Clustering] | None


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
    """What all estimators can be asked for; see `pysoftcorr.sky.correlation`."""

    clusters: Clusters = None
    assignment: str = "greedy"
    samples: int = 0
    bootstrap: int = 0
    jackknife: Any = 0
    leave_out: float | Sequence[float] | None = None
    seed: Seed = None

    @classmethod
    def of(cls, estimator: str, options: dict[str, Any]) -> Options:
        """From the keywords of an estimator; TypeError naming one that is none."""
        known = [f.name for f in fields(cls)]
        for name in options:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
                raise TypeError(f"{estimator}: unknown option {name!r}; {hint}")
        return cls(**options)

    def __post_init__(self) -> None:
        for name in ("samples", "bootstrap"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
                raise TypeError(f"{name} = {value!r}: must be an integer")
            if value < 0 or value == 1:
                raise ValueError(f"{name} = {value}: must be 0 (none) or at least 2")
            object.__setattr__(self, name, int(value))
        for name in ("clusters", "jackknife"):
            if isinstance(getattr(self, name), np.integer):
                object.__setattr__(self, name, int(getattr(self, name)))
        self._check_clusters()
        self._check_resampling()
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

    def _check_clusters(self) -> None:
        given = self.clusters
        wanted = "must be an integer, a SoftClustering, or a Clustering per catalog"
        if isinstance(given, (list, tuple)):
            wrong = [type(fit).__name__ for fit in given if not isinstance(fit, Clustering)]
            if wrong:
                raise TypeError(f"clusters {wanted}, not a {type(given).__name__} with {wrong[0]}")
            object.__setattr__(self, "clusters", tuple(given))
        elif given is not None and (
            isinstance(given, bool) or not isinstance(given, (int, SoftClustering, Clustering))
        ):
            raise TypeError(f"clusters = {given!r}: {wanted}")

    def _check_resampling(self) -> None:
        given = self.jackknife
        if given is None:
            object.__setattr__(self, "jackknife", 0)
        elif isinstance(given, (bool, float, str)):
            raise TypeError(
                f"jackknife = {given!r}: must be a number of patches (an integer) or the patch of "
                "every object"
            )
        elif isinstance(given, int) and (given < 0 or given == 1):
            raise ValueError(f"jackknife = {given}: must be 0 (none) or at least 2 patches")
        part = self.leave_out
        if isinstance(part, (list, tuple)):
            if len(part) != 2:
                raise ValueError(f"leave_out = {part!r}: must be a fraction, or fraction and count")
            object.__setattr__(self, "leave_out", tuple(part))
            part = part[0]
        if part is not None and (
            isinstance(part, bool) or not isinstance(part, (int, float, np.number))
        ):
            raise TypeError(
                f"leave_out = {self.leave_out!r}: must be a fraction, or fraction and count"
            )

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

    def resampling(
        self, catalogs: Sequence[Catalog], fixed: Sequence[int] = ()
    ) -> errors.Resampling | None:
        """The resamples asked for; only the jackknife touches the catalogs numbered `fixed`."""
        seed = self.seed
        if self._asks("jackknife"):
            if isinstance(self.jackknife, int):
                return errors.jackknife(*catalogs, n=self.jackknife, seed=seed)
            return errors.jackknife(*catalogs, labels=self.jackknife, seed=seed)
        drawn = [c for k, c in enumerate(catalogs) if k not in fixed]
        if self._asks("bootstrap"):
            done = errors.bootstrap(*drawn, n=self.bootstrap, seed=seed)
        elif self._asks("leave_out"):
            part: Any = (
                self.leave_out if isinstance(self.leave_out, tuple) else (self.leave_out, 100)
            )
            done = errors.leave_out(*drawn, fraction=part[0], n=part[1], seed=seed)
        else:
            return None
        rows = iter(done.multiplicity)
        times = [np.ones((1, len(c))) if k in fixed else next(rows) for k, c in enumerate(catalogs)]
        return replace(done, multiplicity=tuple(times))

    def clusterings(self, catalogs: Sequence[Catalog]) -> list[Clustering | None]:
        """One clustering per catalog, or none."""
        given = self.clusters
        if given is None or self.naive:
            return [None] * len(catalogs)
        if isinstance(given, int):
            given = SoftClustering(n_clusters=given, seed=self.seed)
        if isinstance(given, SoftClustering):
            return [given.fit(catalog) for catalog in catalogs]
        fits = (given,) if isinstance(given, Clustering) else given
        if len(fits) != len(catalogs):
            raise ValueError(
                f"clusters: {len(fits)} given, one Clustering for each of the {len(catalogs)} "
                "catalogs is needed"
            )
        for fit, catalog in zip(fits, catalogs, strict=True):
            if len(fit.memberships) != len(catalog):
                raise ValueError(
                    f"clusters: a Clustering of {len(fit.memberships)} objects does not belong "
                    f"to a catalog of {len(catalog)}"
                )
        return list(fits)

    def record(self) -> dict[str, Any]:
        """As plain values, for the result."""
        given = self.clusters
        if isinstance(given, tuple):
            clusters: Any = [fit.settings for fit in given]
        elif isinstance(given, (SoftClustering, Clustering)):
            clusters = given.settings
        else:
            clusters = given
        jackknife = self.jackknife if isinstance(self.jackknife, int) else "labels"
        leave = list(self.leave_out) if isinstance(self.leave_out, tuple) else self.leave_out
        return {
            "clusters": clusters, "assignment": None if self.naive else self.assignment,
            "samples": self.samples, "bootstrap": self.bootstrap, "jackknife": jackknife,
            "leave_out": leave,
        }  # fmt: skip


def as_binning(bins: Binning | str) -> Binning:
    """Bins, or what their text means."""
    if isinstance(bins, str):
        return Binning.parse(bins)
    if not isinstance(bins, Binning):
        raise TypeError(
            f"bins must be a Binning or text such as 'linear:0:45:8', not {type(bins).__name__}; "
            "Binning.explicit takes edges"
        )
    return bins


def check_catalogs(name: str, *, least: int = 2, **catalogs: Catalog) -> None:
    """At least `least` objects each."""
    for argument, catalog in catalogs.items():
        if not isinstance(catalog, Catalog):
            raise TypeError(f"{name}: {argument} must be a Catalog, not {type(catalog).__name__}")
        if len(catalog) < least:
            raise ValueError(
                f"{name}: {argument} has one object; pairs need at least two "
                "(was the catalog cut too hard?)"
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
    base = measure(
        [s.base(options.assignment, _own(seed, "value", k)) for k, s in enumerate(sources)],
        bins, "pairs",
    )  # fmt: skip
    warn_empty(name, bins, *(m[0] for m in _counts(base)))
    drawn = resampled = resampling = None
    if options.samples:
        draws = [
            s.drawn(options.samples, _own(seed, "epistemic", k)) for k, s in enumerate(sources)
        ]
        drawn = measure(draws, bins, "epistemic samples")
    resampling = options.resampling(catalogs, fixed)
    if resampling is not None:
        versions = [
            source.resampled(times)
            for source, times in zip(sources, resampling.multiplicity, strict=True)
        ]
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


def _own(seed: int, purpose: str, number: int) -> int:
    """A seed for the assignments of one catalog for one purpose."""
    return int(stream(seed, f"{purpose} {number}").integers(2**62))


def _counts(measured: dict[str, Measured]) -> tuple[FloatArray, FloatArray]:
    first = next(iter(measured.values()))
    return first.npairs, first.value.real


def warn_empty(name: str, bins: Binning, npairs: FloatArray, value: FloatArray) -> None:
    """A warning about bins without pairs, and about those whose value is NaN all the same."""
    without, undefined = npairs == 0, np.isnan(value)
    said = [
        (without & undefined, "no pairs", "their value is NaN and their count 0"),
        (without & ~undefined, "no pairs of data", "their count is 0"),
        (~without & undefined, "no pairs of randoms or no weight", "their value is NaN"),
    ]
    for chosen, what, so in said:
        where = np.flatnonzero(chosen)
        if where.size:
            shown = ", ".join(f"{bins.edges[b]:g}-{bins.edges[b + 1]:g}" for b in where[:4])
            more = ", ..." if where.size > 4 else ""
            warnings.warn(
                f"{name}: {where.size} of {bins.nbins} bins hold {what} "
                f"({shown}{more} {bins.unit}); {so}",
                stacklevel=4,
            )
