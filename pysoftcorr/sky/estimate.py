"""The common course of every estimator: value, epistemic draws, resamples, result."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr.core.checks import Origin
from pysoftcorr.core.farm.blocks import Farm, farm_of, one_farm
from pysoftcorr.core.farm.connection import check_workers
from pysoftcorr.core.options import choice, count, positive, shown
from pysoftcorr.core.random import Seed, root_seed, stream
from pysoftcorr.sky import treecorr as _treecorr
from pysoftcorr.sky.binning import Binning
from pysoftcorr.sky.catalog import Catalog
from pysoftcorr.sky.clustering import ASSIGNMENTS, Clustering, SoftClustering, check_weights
from pysoftcorr.sky.device.blocks import check_device
from pysoftcorr.sky.geometry import check_together
from pysoftcorr.sky.pairs import Objects, Source
from pysoftcorr.sky.resampling import Bootstrap, Jackknife, Resamples, Resampling, as_resampling
from pysoftcorr.sky.result import Correlation, CorrelationSet
from pysoftcorr.sky.two_scales import Split

FloatArray = npt.NDArray[np.float64]
Clusters = int | SoftClustering | Clustering | Sequence[Clustering] | None


@dataclass(frozen=True)
class Measured:
    """One statistic of R versions of the objects; arrays are (R, nbins).

    ``coincident``, (R,), counts the pairs of objects at one place, and ``undirected`` says that the
    statistic needs a direction, which these have not.
    """

    value: npt.NDArray[np.complex128]
    npairs: FloatArray
    weight: FloatArray
    theta: FloatArray
    logtheta: FloatArray
    varshot: FloatArray
    coincident: FloatArray
    undirected: bool = False

    def rows(self, chosen: slice) -> Measured:
        """Some of the versions."""
        parts = {f.name: getattr(self, f.name) for f in fields(self)}
        cut: dict[str, Any] = {
            name: part[chosen] for name, part in parts.items() if isinstance(part, np.ndarray)
        }
        return replace(self, **cut)


#: What xi+ and the rho statistics do with pairs of objects at one place.
COINCIDENT = ("keep", "drop")

Measure = Callable[[Sequence[Objects], Binning, str | None], dict[str, Measured]]


@dataclass(frozen=True, kw_only=True)
class Options:
    """Checked options that all estimators share; see `pysoftcorr.sky.correlation.xi_pm`."""

    clusters: Clusters
    assignment: str
    assignments: int
    resampling: Resampling | str | None
    seed: Seed
    method: str = "pairs"
    device: str = "cpu"
    split: float | None = None
    scheduler: str | None = None
    workers: int | None = None

    def __post_init__(self) -> None:
        if count("assignments", self.assignments, least=0, most=1_000_000) == 1:
            raise ValueError("assignments = 1: must be 0 (none) or at least 2")
        choice("assignment", self.assignment, [k for k in ASSIGNMENTS if k != "gumbel"])
        self._set("clusters", _clusters(self.clusters))
        self._set("resampling", as_resampling(self.resampling))
        if self.assignments and self.naive:
            raise ValueError(
                f"assignments = {self.assignments}: the epistemic error comes from assigning "
                "objects to clusters; ask for clusters too, or for assignments=0"
            )
        if self.split is not None:
            self._set("split", positive("split", self.split))
            if self.naive:
                raise ValueError(
                    f"split = {self.split:g}: is where pairs of clusters take the place of those "
                    "of objects; ask for clusters too, or leave it out"
                )
        self._check_method()
        self._set("device", check_device(self.device))
        self._check_workers()
        self._set("seed", root_seed(self.seed))

    def _check_method(self) -> None:
        way = self.resampling
        by_patch = isinstance(way, Jackknife) or (
            isinstance(way, Bootstrap) and way.patches is not None
        )
        if isinstance(way, Bootstrap) and by_patch and not self.naive:
            raise ValueError(
                f"resampling = {str(way)!r}: patches are drawn for all pairs of objects alone; "
                "take resampling='jackknife:25', or no clusters, clusters=0"
            )
        choice("method", self.method, ("pairs", "treecorr"))
        if self.method == "pairs":
            return
        if str(self.device) != "cpu":
            raise ValueError(
                f"device = {str(self.device)!r}: TreeCorr counts on the CPU; take "
                "method='pairs', or device='cpu'"
            )
        if not self.naive:
            raise ValueError(
                "method = 'treecorr': takes all pairs of objects; leave out clusters and "
                "assignments, or use method='pairs'"
            )
        if way is not None and not by_patch:
            raise ValueError(
                f"method = 'treecorr': resamples patches, not objects ({str(way)!r}); use "
                "resampling='jackknife:25', resampling='bootstrap:100:25' or method='pairs'"
            )

    def _check_workers(self) -> None:
        self._set("workers", check_workers(self.scheduler, self.workers))
        for name in ("scheduler", "workers"):
            given = getattr(self, name)
            if given is None:
                continue
            if self.method == "treecorr":
                raise ValueError(
                    f"{name} = {given!r}: TreeCorr counts in this process; take method='pairs', "
                    f"or leave out {name}"
                )
            if self.device != "cpu":
                raise ValueError(
                    f"{name} = {given!r}: workers count on CPUs; take device='cpu', or leave out "
                    f"{name}"
                )

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    @property
    def naive(self) -> bool:
        """All pairs of objects, no clusters."""
        return self.clusters is None or (isinstance(self.clusters, int) and self.clusters == 0)

    def resamples(self, catalogs: Sequence[Catalog], fixed: Sequence[int] = ()) -> Resamples | None:
        """The resamples asked for; only the jackknife touches the catalogs numbered `fixed`."""
        way = self.resampling
        assert not isinstance(way, str)
        return None if way is None else way.resample(*catalogs, seed=self.seed, fixed=fixed)

    def clusterings(self, catalogs: Sequence[Catalog]) -> list[Clustering | None]:
        """One clustering per catalog, or none."""
        given = self.clusters
        if given is None or self.naive:
            return [None] * len(catalogs)
        for catalog in catalogs:
            check_weights(f"clusters of {catalog!r}", catalog)
        if isinstance(given, int):
            given = SoftClustering(n_clusters=given, seed=self.seed, device=self.device)
        if isinstance(given, SoftClustering):
            return [given.fit(catalog) for catalog in catalogs]
        fits = (given,) if isinstance(given, Clustering) else given
        if len(fits) != len(catalogs):
            raise ValueError(
                f"clusters: {len(fits)} given, one Clustering for each of the {len(catalogs)} "
                "catalogs is needed"
            )
        for fit, catalog in zip(fits, catalogs, strict=True):
            if fit.geometry != catalog.geometry:
                raise ValueError(
                    f"clusters: a Clustering of a catalog with geometry {fit.geometry!r} does not "
                    f"belong to {catalog!r}, {catalog.geometry!r}"
                )
            if len(fit.memberships) != len(catalog):
                raise ValueError(
                    f"clusters: a Clustering of {len(fit.memberships)} objects does not belong "
                    f"to a catalog of {len(catalog)}"
                )
        return list(fits)

    def record(self) -> dict[str, Any]:
        """Plain values for the record of the result."""
        given = self.clusters
        if isinstance(given, tuple):
            clusters: Any = [fit.settings for fit in given]
        elif isinstance(given, (SoftClustering, Clustering)):
            clusters = given.settings
        else:
            clusters = given
        return {
            "device": self.device,
            "clusters": clusters, "assignment": None if self.naive else self.assignment,
            "assignments": self.assignments,
            "resampling": None if self.resampling is None else str(self.resampling),
        }  # fmt: skip


def _clusters(given: Any) -> Clusters:
    """What ``clusters=`` may be, several clusterings as a tuple."""
    wanted = "must be an integer, a SoftClustering, or a Clustering per catalog"
    if isinstance(given, (list, tuple)):
        wrong = [type(fit).__name__ for fit in given if not isinstance(fit, Clustering)]
        if wrong:
            raise TypeError(f"clusters {wanted}, not a {type(given).__name__} with {wrong[0]}")
        return tuple(given)
    if isinstance(given, np.integer):
        given = int(given)
    if given is not None and (
        isinstance(given, bool) or not isinstance(given, (int, SoftClustering, Clustering))
    ):
        raise TypeError(f"clusters = {shown(given)}: {wanted}")
    if isinstance(given, int):
        return count("clusters", given, least=0)
    return given


def check_catalogs(name: str, bins: Binning, *, least: int = 2, **catalogs: Catalog) -> None:
    """At least `least` objects each, all of one geometry, and bins in its unit."""
    for argument, catalog in catalogs.items():
        if not isinstance(catalog, Catalog):
            raise TypeError(f"{name}: {argument} must be a Catalog, not {type(catalog).__name__}")
        if len(catalog) < least:
            raise ValueError(
                f"{name}: {argument} has one object; pairs need at least two "
                "(was the catalog cut too hard?)"
            )
    check_together(name, bins, **catalogs)


def check_shears(name: str, **catalogs: Catalog) -> None:
    """Ellipticities present."""
    for argument, catalog in catalogs.items():
        if catalog.g1 is None:
            raise ValueError(f"{name}: {argument} has no g1 and g2; give both columns")


def check_positive(name: str, **catalogs: Catalog) -> None:
    """A sum of weights above 0: counts are taken relative to it."""
    for argument, catalog in catalogs.items():
        total = catalog.w.sum()
        if total <= 0:
            negative = np.flatnonzero(catalog.w < 0)
            raise ValueError(
                f"{name}: {argument}: the weights w sum to {total:.6g}, which must be above 0; "
                f"they are negative in {Origin().show(negative, catalog.w)}"
            )


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
    jackknife cuts its patches out of all. With a split, bins of objects and bins of clusters are
    two runs of the same resamples.
    """
    if options.split is None:
        return _run(name, sources, measure, bins, options, settings, fixed)
    cut = Split.of(name, bins, options.split)
    catalogs = [source.catalog for source in sources]
    fits = tuple(fit for fit in options.clusterings(catalogs) if fit is not None)
    broad = options.assignments > 0 or options.assignment != "greedy"
    cut.warn(name, catalogs, fits, broad=broad)
    objects = replace(options, clusters=None, assignment="greedy", assignments=0, split=None)
    clusters = replace(options, clusters=fits, split=None)
    record = options.record() | {"split": cut.edge, "cluster_radius": cut.radius(catalogs, fits)}
    with one_farm(name, options.scheduler, options.workers):
        near = _run(name, sources, measure, cut.near, objects, settings, fixed)
        far = _run(name, sources, measure, cut.far, clusters, settings, fixed)
    return cut.joined(near, far, record)


def _run(
    name: str,
    sources: Sequence[Source],
    measure: Measure,
    bins: Binning,
    options: Options,
    settings: dict[str, Any],
    fixed: Sequence[int],
) -> CorrelationSet:
    catalogs = [source.catalog for source in sources]
    with farm_of(name, options.scheduler, options.workers) as farm:
        found = _measure(name, sources, measure, bins, options, fixed, farm)
    fits, resamples, base = found.fits, found.resamples, found.base
    drawn, resampled = found.drawn, found.resampled
    warn_empty(name, bins, *(m[0] for m in _counts(base)))
    warn_negative(name, bins, next(iter(base.values())).weight[0])
    seed = int(options.seed)  # type: ignore[arg-type]
    record = {"estimator": name} | settings | options.record()
    record["geometry"] = catalogs[0].geometry
    record["coincident_pairs"] = _coincident(base)
    warn_coincident(name, base, [m for m in (drawn, resampled) if m is not None], settings, fits)
    if options.method == "treecorr":
        record["treecorr"] = _treecorr.version()
    record["catalogs"] = [{"name": c.name, "rows": len(c)} for c in catalogs]
    return CorrelationSet(
        [
            Correlation(
                name=key, bins=bins, theta=m.theta[0], logtheta=m.logtheta[0],
                value=m.value[0].real, imag=m.value[0].imag, npairs=m.npairs[0],
                weight=m.weight[0], varshot=m.varshot[0],
                epistemic=None if drawn is None else drawn[key].value,
                aleatoric=None if resampled is None else resampled[key].value,
                aleatoric_method=None if resamples is None else resamples.method,
                aleatoric_factor=None if resamples is None else resamples.factor,
                settings=record, seed=seed,
            )
            for key, m in base.items()
        ],
        name=name,
    )  # fmt: skip


@dataclass(frozen=True)
class _Found:
    """What an estimator has measured."""

    fits: list[Clustering | None]
    resamples: Resamples | None
    base: dict[str, Measured]
    drawn: dict[str, Measured] | None
    resampled: dict[str, Measured] | None


def _measure(
    name: str,
    sources: Sequence[Source],
    measure: Measure,
    bins: Binning,
    options: Options,
    fixed: Sequence[int],
    farm: Farm | None,
) -> _Found:
    """The objects of one estimator, their draws and resamples measured."""
    catalogs = [source.catalog for source in sources]
    seed = int(options.seed)  # type: ignore[arg-type]
    fits = options.clusterings(catalogs)
    # Pairs within one catalog; those of lenses and sources may be of one cluster each.
    own = len(catalogs) == 1 or name == "landy_szalay"
    if own and any(fit is not None and fit.n_clusters == 1 for fit in fits):
        raise ValueError(
            f"{name}: clusters = 1: the correlation is one of pairs of clusters, and one cluster "
            "makes none; ask for 2 or more"
        )
    sources = [
        replace(s, clustering=fit, method=options.method, device=options.device, farm=farm)
        for s, fit in zip(sources, fits, strict=True)
    ]
    resamples = options.resamples(catalogs, fixed)
    pairs = None if resamples is None else resamples.pairs
    drawn = resampled = None
    once = options.method == "treecorr" or (farm is not None and options.naive)
    if pairs is not None and once:
        # one walk for the value and all its resamples
        whole = pairs.with_whole()
        both = measure([s.by_patch(whole, k) for k, s in enumerate(sources)], bins, "pairs")
        base = {name: m.rows(slice(0, 1)) for name, m in both.items()}
        resampled = {name: m.rows(slice(1, None)) for name, m in both.items()}
    else:
        base = measure(
            [s.base(options.assignment, _own(seed, "value", k)) for k, s in enumerate(sources)],
            bins, "pairs",
        )  # fmt: skip
    if options.assignments:
        draws = [
            s.drawn(options.assignments, _own(seed, "epistemic", k)) for k, s in enumerate(sources)
        ]
        drawn = measure(draws, bins, "epistemic assignments")
    if resamples is not None and resampled is None:
        versions = (
            [s.resampled(times) for s, times in zip(sources, resamples.drawn, strict=True)]
            if pairs is None
            else [s.by_patch(pairs, k) for k, s in enumerate(sources)]
        )
        resampled = measure(versions, bins, f"{resamples.method} resamples")
    return _Found(fits, resamples, base, drawn, resampled)


def _coincident(measured: dict[str, Measured]) -> int:
    """Most pairs at one place in any version of any statistic."""
    return int(max(m.coincident.max() for m in measured.values()))


def warn_coincident(
    name: str,
    base: dict[str, Measured],
    versions: Sequence[dict[str, Measured]],
    settings: dict[str, Any],
    fits: Sequence[Clustering | None],
) -> None:
    """One warning about pairs that a statistic leaves out for want of a direction."""
    without = [key for key, m in base.items() if m.undirected]
    count = _coincident(base)
    most = max([count, *(_coincident(measured) for measured in versions)])
    if not without or most == 0:
        return
    what = "objects" if fits[0] is None else "clusters"
    if count:
        head = f"{count} pair{'s' if count > 1 else ''} of {what} at one place"
    else:
        head = f"up to {most} pair{'s' if most > 1 else ''} of {what} at one place in a resample"
    kept = ", ".join(key for key in base if key not in without)
    rest = ""
    if kept:
        how = settings["coincident"]
        rest = f"; {kept} {'keeps' if how == 'keep' else 'drops'} them (coincident={how!r})"
    hollow = base[without[0]].npairs[0] == 0
    if kept and (hollow & (next(iter(base.values())).npairs[0] > 0)).any():
        rest += f"; where a bin holds no others {', '.join(without)} is NaN"
    warnings.warn(
        f"{name}: {head} ha{'s' if most == 1 else 've'} no direction, and "
        f"{', '.join(without)} leaves {'it' if most == 1 else 'them'} out{rest}",
        stacklevel=5,
    )


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
        (
            ~without & undefined,
            "no pairs of randoms, or pairs whose weights sum to 0",
            "their value is NaN",
        ),
    ]
    for chosen, what, so in said:
        where = np.flatnonzero(chosen)
        if where.size:
            shown = ", ".join(f"{bins.edges[b]:g}-{bins.edges[b + 1]:g}" for b in where[:4])
            more = ", ..." if where.size > 4 else ""
            warnings.warn(
                f"{name}: {where.size} of {bins.nbins} bins hold {what} "
                f"({shown}{more} {bins.unit}); {so}",
                stacklevel=5,
            )


def warn_negative(name: str, bins: Binning, weight: FloatArray) -> None:
    """A warning about bins in which negative weights prevail."""
    where = np.flatnonzero(weight < 0)
    if where.size:
        shown = ", ".join(f"{bins.edges[b]:g}-{bins.edges[b + 1]:g}" for b in where[:4])
        more = ", ..." if where.size > 4 else ""
        warnings.warn(
            f"{name}: the weights of the pairs sum to less than 0 in {where.size} of {bins.nbins} "
            f"bins ({shown}{more} {bins.unit}); their value is the ratio of two negative sums",
            stacklevel=5,
        )
