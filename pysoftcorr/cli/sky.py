"""The commands of correlation functions on the sky: ``rho``, ``xi``, ``wtheta``, ``gammat``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pysoftcorr.cli import cluster, output, reading
from pysoftcorr.cli.common import (
    BINS,
    FORMAT,
    OVERWRITE,
    PLOT,
    PLOT_STYLE,
    SEED,
    THREADS,
    UNIT,
    WORKERS,
    out,
)
from pysoftcorr.cli.options import Argument, Command, Option, arguments, derive

if TYPE_CHECKING:
    from pysoftcorr.sky.assessment import Finding
    from pysoftcorr.sky.catalog import Catalog
    from pysoftcorr.sky.clustering import Clustering
    from pysoftcorr.sky.result import CorrelationSet


@dataclass(frozen=True)
class Source:
    """A catalog of a statistic: the argument it is, the prefix of its options, what it holds."""

    argument: str
    prefix: str = ""
    shears: bool = True
    stars: bool = False


@dataclass(frozen=True)
class Statistic:
    """A command: its function in `pysoftcorr.sky.correlation`, its catalogs, clusters by default.

    Amplitudes of clusters are not those of all pairs (w changes by a third for 200 lenses), so
    that clusters are the default of ``rho`` alone, whose table has both side by side.
    """

    function: str
    sources: tuple[Source, ...]
    clusters: int = 0

    @property
    def target(self) -> str:
        """The function, as `derive` takes it."""
        return f"pysoftcorr.sky.correlation:{self.function}"


STATISTICS = {
    "rho": Statistic("rho_statistics", (Source("stars", stars=True),), clusters=100),
    "xi": Statistic("xi_pm", (Source("catalog"), Source("catalog2", "catalog2"))),
    "wtheta": Statistic(
        "landy_szalay", (Source("data", shears=False), Source("randoms", "randoms", shears=False))
    ),
    "gammat": Statistic("gamma_t", (Source("lenses", shears=False), Source("sources", "sources"))),
}
# What becomes of these is more than to be handed on.
_OWN = ("bins", "clusters", "split", "assignment", "assignments", "resampling")


# ---------------------------------------------------------------------- options
def _measuring(statistic: Statistic) -> tuple[Option, ...]:
    """Options of an estimator: every argument of the function but its catalogs, and clustering."""
    catalogs = {source.argument for source in statistic.sources}
    changes: dict[str, Any] = {
        "bins": {"default": "linear:0:45:8", "help": f"Bins of separation: {BINS}"},
        "clusters": {
            "kind": int, "default": statistic.clusters, "least": 0, "metavar": "N",
            "help": "Number of soft clusters; 0: all pairs of objects, which have no epistemic "
            "error.",
        },
        "assignments": {
            "default": 100, "least": 0, "help": "Sampled cluster assignments for the epistemic "
            "error; 0: none. All pairs have none.",
        },
        "resampling": {
            "default": "bootstrap:100",
            "help": "Resampling of the objects for the aleatoric error: bootstrap:N, or that of "
            "patches, bootstrap:N:PATCHES; jackknife:PATCHES, or jackknife:PATCHES:match; "
            "leave-out:FRACTION:N; none.",
        },
        "split": {"metavar": "SEPARATION", "help": "With clusters: bins that begin below "
                  "this separation are of all pairs of objects, the others of clusters."},
        "method": {"help": "treecorr: values of all pairs by TreeCorr, for many objects."},
        "seed": {"default": SEED.default, "least": SEED.least, "help": SEED.help},
        **WORKERS,
    }  # fmt: skip
    there = arguments(statistic.target)
    derived = derive(
        statistic.target, skip=[name for name in there if name in catalogs],
        **{name: change for name, change in changes.items() if name in there},
    )  # fmt: skip
    made = {option.name: option for option in derived}
    naive = Option(
        "naive", bool, True, "With clusters, also all pairs, beside them in table, JSON object and "
        "file; long for a great many objects.",
    )  # fmt: skip
    first = [made.pop(name) for name in _OWN]
    return (first[0], UNIT, *first[1:], naive, *made.values(), *cluster.CLUSTERING)


def _options(name: str) -> tuple[Option, ...]:
    statistic = STATISTICS[name]
    read = [
        reading.options(shears=source.shears, prefix=source.prefix) for source in statistic.sources
    ]
    return (
        *_measuring(statistic),
        *read[0],
        *([CATALOG2] if name == "xi" else []),
        *(option for part in read[1:] for option in part),
        THREADS,
        out("Write the result: .h5, .fits, .ecsv or .sacc."),
        # No file of TreeCorr holds all five.
        replace(FORMAT, choices=("sacc",)) if name == "rho" else FORMAT,
        OVERWRITE,
        *PLOT,
        PLOT_STYLE,
    )


CATALOG2 = Option(
    "catalog2", str, None, "A second catalog of shears: pairs of one object of each.",
    metavar="CATALOG2",
)  # fmt: skip


# ---------------------------------------------------------------------- the commands
def rho(catalog: str | list[str], **chosen: Any) -> dict[str, Any]:
    """Rho statistics of a PSF model, rho1 to rho5, with both errors.

    The stars are put into soft clusters, whose assignment has an error of its own; the values of
    all pairs of stars, which have none, stand beside them in table, JSON object and file. With
    --clusters 0 there are all pairs alone.
    """
    return _statistics("rho", [catalog], **chosen)


def xi(catalog: str | list[str], **chosen: Any) -> dict[str, Any]:
    """Shear-shear correlation functions xi+ and xi-, of one catalog or of two.

    All pairs of objects count, unless --clusters asks for soft clusters, which add an error and
    change the amplitude.
    """
    second = chosen["settings"]["catalog2"]
    if second is None:
        lost = [name for name in sorted(chosen["explicit"]) if name.startswith("catalog2_")]
        if lost:
            raise ValueError(f"--{lost[0].replace('_', '-')}: has no meaning without --catalog2")
    return _statistics("xi", [catalog, *([] if second is None else [second])], **chosen)


def wtheta(data: str, randoms: str, **chosen: Any) -> dict[str, Any]:
    """Angular correlation function w(theta) of positions, by Landy and Szalay.

    All pairs of objects count, unless --clusters asks for soft clusters, which add an error and
    change the amplitude (by a third for 200 lenses). --columns, --hdu, --select and the like are of
    DATA alone; RANDOMS have their own, --randoms-columns and so on.
    """
    return _statistics("wtheta", [data, randoms], **chosen)


def gammat(lenses: str, sources: str, **chosen: Any) -> dict[str, Any]:
    """Tangential shear of sources around lenses.

    All pairs of objects count, unless --clusters asks for soft clusters, which add an error and
    change the amplitude. --columns, --hdu, --select and the like are of LENSES alone; SOURCES have
    their own, --sources-columns and so on.
    """
    return _statistics("gammat", [lenses, sources], **chosen)


def demo(*, settings: Mapping[str, Any], explicit: set[str], as_json: bool) -> dict[str, Any]:
    """The main job on a small simulated star catalog: rho statistics with both errors."""
    folder = output.check_folder(settings["out"])
    output.use_threads(settings["threads"])
    from pysoftcorr.sky.stars import demo_stars_path

    own = {option.name: option.default for option in COMMANDS["rho"].options}
    outcome = measure("rho", [str(demo_stars_path())], own, set())
    folder.mkdir(parents=True, exist_ok=True)
    result = folder / "rho.h5"
    outcome.result.write(result, overwrite=True)
    drawn = output.draw({"plot": folder, "plot_format": None}, lambda p: _figures(p, outcome))
    return _report(outcome, [result, *drawn], as_json)


@dataclass(frozen=True)
class Outcome:
    """What a command has found."""

    settings: dict[str, Any]
    catalogs: list[Catalog]
    fits: list[Clustering]
    result: CorrelationSet
    naive: CorrelationSet | None
    finding: Finding | None


def _statistics(
    command: str,
    places: list[Any],
    *,
    settings: Mapping[str, Any],
    explicit: set[str],
    as_json: bool,
) -> dict[str, Any]:
    output.use_threads(settings["threads"])
    output.check_result(settings)
    if settings["format"] == "treecorr":
        refuse_edges(settings["bins"])
    outcome = measure(command, places, settings, explicit)
    files: list[Any] = []
    if settings["out"] is not None:
        outcome.result.write(
            settings["out"], format=settings["format"], overwrite=settings["overwrite"]
        )
        files.append(settings["out"])
    files += output.draw(settings, lambda plots: _figures(plots, outcome))
    return _report(outcome, files, as_json)


def refuse_edges(bins: str) -> None:
    """ValueError where TreeCorr has no such bins: said before the work."""
    if bins.strip().lower().startswith("edges"):
        raise ValueError(
            f"bins = {bins!r}: --format treecorr takes linear or log bins; choose these, or "
            "another format"
        )


def measure(
    command: str, places: list[Any], settings: Mapping[str, Any], explicit: set[str]
) -> Outcome:
    """Read, cluster, measure and weigh the errors.

    Without clusters there is nothing to assign, and TreeCorr gives no errors: the defaults then
    give way, while what was asked for is left for the estimators to refuse.
    """
    from pysoftcorr.core.farm.blocks import one_farm
    from pysoftcorr.sky import correlation
    from pysoftcorr.sky.assessment import find
    from pysoftcorr.sky.binning import Binning
    from pysoftcorr.sky.catalog import Catalog
    from pysoftcorr.sky.resampling import as_resampling
    from pysoftcorr.sky.stars import StarCatalog

    statistic = STATISTICS[command]
    sources = statistic.sources[: len(places)]
    function = getattr(correlation, statistic.function)
    bins = Binning.parse(settings["bins"], settings["unit"])
    treecorr = settings.get("method") == "treecorr"
    if not any(value for name, value in settings.items() if name.endswith("patches")):
        as_resampling(settings["resampling"])  # a fault is said before anything is read
    cluster.check_split(statistic.function, bins, settings["split"])
    soft = cluster.soft_clustering(settings) if settings["clusters"] else None
    found = [
        reading.read(
            place, settings, StarCatalog if s.stars else Catalog, shears=s.shears, prefix=s.prefix
        )
        for place, s in zip(places, sources, strict=True)
    ]
    catalogs = {s.argument: catalog for s, (catalog, _) in zip(sources, found, strict=True)}
    resampling = reading.resampling(
        settings["resampling"] if "resampling" in explicit else "",
        [labels for _, labels in found], [s.prefix for s in sources],
    )  # fmt: skip
    if resampling == "":
        resampling = None if treecorr else settings["resampling"]
    if treecorr and "clusters" not in explicit:
        soft = None
    fits = [] if soft is None else [soft.fit(catalog) for catalog in catalogs.values()]
    assignments = settings["assignments"]
    if not fits and "assignments" not in explicit:
        assignments = 0
    handed = {
        o.name: settings[o.name]
        for o in _measuring(statistic)
        if o.name in arguments(statistic.target) and o.name not in _OWN
    }

    def estimate(fitted: list[Clustering], **more: Any) -> CorrelationSet:
        clusters = tuple(fitted) if fitted else None
        if fitted or not fits:  # beside clusters there are all pairs, without a split
            more["split"] = settings["split"]
        result: CorrelationSet = function(
            **catalogs, bins=bins, clusters=clusters, **handed, **more
        )
        return result

    with one_farm(command, handed["scheduler"], handed["workers"]):
        result = estimate(
            fits, assignment=settings["assignment"] if fits else "greedy", assignments=assignments,
            resampling=resampling,
        )  # fmt: skip
        naive = finding = None
        if fits and settings["naive"]:
            naive = estimate([])
            finding = find(result, naive=naive, soft=estimate(fits, assignment="soft"))
            result = result.with_all_pairs(naive)
        elif fits:
            finding = find(result)
    return Outcome(dict(settings), list(catalogs.values()), fits, result, naive, finding)


def _report(outcome: Outcome, files: list[Any], as_json: bool) -> dict[str, Any]:
    """Print the table and the finding; the statistics by name, then how they were made."""
    result, finding = outcome.result, outcome.finding
    if not as_json:
        for catalog in outcome.catalogs:
            print(catalog.summary(), end="\n\n")
        print(result.summary())
        if finding is not None:
            print(f"\n{finding.summary()}")
    output.wrote(files)
    return {
        **result.to_dict(),
        "bins": result.bins.to_dict(),
        "finding": None if finding is None else finding.to_dict(),
        "settings": {"command": outcome.settings, **result.settings},
        "seed": result.seed,
        "version": result.version,
    }


def _figures(plots: Any, outcome: Outcome) -> output.Figures:
    """Every figure that the outcome of a command has the data for, the statistics first."""
    from pysoftcorr.sky.stars import StarCatalog

    catalog, result = outcome.catalogs[0], outcome.result
    style = outcome.settings["plot_style"]
    naive = outcome.naive if style == "default" else None
    figures: dict[str, Any] = {
        result.name: lambda: plots.plot_correlation_set(result, naive=naive, style=style)
    }
    if any(item.cov is not None for item in result.values()):
        figures["covariance"] = lambda: plots.plot_covariance(result)
    sheared = [c for c in outcome.catalogs if c.g1 is not None]
    if isinstance(catalog, StarCatalog):
        figures["shapes"] = lambda: plots.plot_star_shapes(catalog)
    elif sheared and result.name != "landy_szalay":
        figures["shapes"] = lambda: plots.plot_shapes(sheared[-1])
    if outcome.fits:
        figures |= cluster.figures(plots, catalog, outcome.fits[0])
        if result[next(iter(result))].npairs.any():
            figures["pair_crossing"] = lambda: plots.plot_pair_crossing(
                catalog, outcome.fits[0], result.bins
            )
    return figures


COMMANDS = {
    "rho": Command(
        rho,
        (Argument("catalog", "Stars and PSF model, files of one catalog: FITS, HDF5, Parquet, "
                  "text.", many=True),),
        _options("rho"),
    ),
    "xi": Command(
        xi,
        (Argument("catalog", "Positions and shears, files of one catalog.", many=True),),
        _options("xi"),
    ),
    "wtheta": Command(
        wtheta,
        (Argument("data", "Positions."), Argument("randoms", "Random points.")),
        _options("wtheta"),
    ),
    "gammat": Command(
        gammat,
        (Argument("lenses", "Positions."), Argument("sources", "Positions and shears.")),
        _options("gammat"),
    ),
    "demo": Command(
        demo,
        options=(
            Option("out", str, "demo-output", "Folder of the figures and of the result.",
                   metavar="DIR"),
            THREADS,
        ),
        common=("json", "quiet", "log", "debug"),
    ),
}  # fmt: skip
