"""The commands of the sky: ``rho``, ``xi``, ``wtheta``, ``cluster`` and ``demo``."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pysoftcorr.cli import output
from pysoftcorr.cli.options import Argument, Command, Option, derive

if TYPE_CHECKING:
    from astropy.table import Table

    from pysoftcorr.sky.assessment import Finding
    from pysoftcorr.sky.catalog import Catalog
    from pysoftcorr.sky.clustering import Clustering
    from pysoftcorr.sky.result import CorrelationSet

# ---------------------------------------------------------------------- options
_UNITS = "deg, rad, hourangle, arcmin or arcsec; that stored with the column, or else degrees"
_FIELD = "Column or expression of a field, such as g1='e1 - 0.01'; may be given several times."
_READING = derive(
    "pysoftcorr.sky.catalog:Catalog.read",
    only=("columns", "hdu", "key", "select", "flag", "on_bad", "ra_unit", "dec_unit", "xy_unit"),
    columns={"help": _FIELD, "default": {}},
    hdu={"kind": str, "help": "FITS extension, number or name.", "metavar": "HDU"},
    select={"metavar": "EXPRESSION"},
    flag={"metavar": "EXPRESSION"},
    on_bad={"help": "Rows with NaN or infinity: refuse, or drop and count."},
    ra_unit={"help": f"Unit of ra: {_UNITS}.", "metavar": "UNIT"},
    dec_unit={"help": "Unit of dec.", "metavar": "UNIT"},
    xy_unit={
        "help": "Unit of flat positions x and y: that of an angle, or pixel.",
        "metavar": "UNIT",
    },
)
_FLIPS = derive(
    "pysoftcorr.sky.catalog:Catalog.read",
    only=("flip_g1", "flip_g2"),
    flip_g1={"help": "Change the sign of g1."},
    flip_g2={"help": "Change the sign of g2."},
)
_CLUSTERS = Option(
    "clusters", int, 100, "Number of soft clusters; 0: none, all pairs (naive).", least=0
)
_SEED = Option("seed", int, 1, "Seed of everything random.", least=0)
_CLUSTERING = derive(
    "pysoftcorr.sky.clustering:SoftClustering",
    only=("fuzziness", "metric", "max_iter"),
    metric={"help": "Distance of objects from centers."},
    max_iter={"least": 1},
)
UNIT = Option(
    "unit", str, "arcmin", "Unit of the bins.", choices=("arcmin", "arcsec", "deg", "rad", "pixel")
)
BINS = "linear:LO:HI:N, log:LO:HI:N or edges:E0,E1,..."
THREADS = Option("threads", int, None, "Threads; every core by default.", least=1)
PLOT = Option("plot", str, None, "Write figures into this folder.", metavar="DIR")
OVERWRITE = Option("overwrite", bool, False, "Replace FILE if it is there.")
_OUTPUT = (
    THREADS,
    Option("out", str, None, "Write the result: .h5, .fits or .ecsv.", metavar="FILE"),
    OVERWRITE,
    PLOT,
)
_NAIVE = Option(
    "naive", bool, True,
    "Also all pairs, to set beside the clusters; long for a great many objects.",
)  # fmt: skip


def _measuring(function: str, *first: str) -> tuple[Option, ...]:
    """Options of an estimator: bins and errors, then its own."""
    bins, assignment, assignments, resampling, method = derive(
        f"pysoftcorr.sky.correlation:{function}",
        only=("bins", "assignment", "assignments", "resampling", "method"),
        bins={"default": "linear:0:45:8", "help": BINS},
        assignments={
            "default": 100, "least": 0,
            "help": "Sampled cluster assignments for the epistemic error; 0: none.",
        },
        resampling={
            "default": "bootstrap:100",
            "help": "Resampling of the objects for the aleatoric error: bootstrap:N, jackknife:N "
            "(N patches), leave-out:FRACTION:N or none.",
        },
        method={"help": "treecorr: the naive value alone, by TreeCorr."},
    )  # fmt: skip
    own = derive(f"pysoftcorr.sky.correlation:{function}", only=first) if first else ()
    return (bins, UNIT, assignment, assignments, resampling, method, _NAIVE, *own,
            _CLUSTERS, *_CLUSTERING, _SEED)  # fmt: skip


# ---------------------------------------------------------------------- rho, xi, wtheta
def rho(catalog: str, **chosen: Any) -> dict[str, Any]:
    """Rho statistics of a PSF model, rho1 to rho5, with both errors."""
    return _statistics("rho", [catalog], **chosen)


def xi(catalog: str, **chosen: Any) -> dict[str, Any]:
    """Shear-shear correlation functions xi+ and xi-, with both errors."""
    return _statistics("xi", [catalog], **chosen)


def wtheta(data: str, randoms: str, **chosen: Any) -> dict[str, Any]:
    """Angular correlation function w(theta) of positions, with both errors."""
    return _statistics("wtheta", [data, randoms], **chosen)


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
    files = [result, *_draw(outcome, folder)]
    return _report(outcome, files, as_json)


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
    paths: list[str],
    *,
    settings: Mapping[str, Any],
    explicit: set[str],
    as_json: bool,
) -> dict[str, Any]:
    output.use_threads(settings["threads"])
    from pysoftcorr.sky.formats import SUFFIXES

    output.check_out(settings, suffixes=SUFFIXES)
    outcome = measure(command, paths, settings, explicit)
    files: list[Any] = []
    if settings["out"] is not None:
        outcome.result.write(settings["out"], overwrite=settings["overwrite"])
        files.append(settings["out"])
    if settings["plot"] is not None:
        files += _draw(outcome, output.figures_folder(settings["plot"]))
    return _report(outcome, files, as_json)


def measure(
    command: str, paths: list[str], settings: Mapping[str, Any], explicit: set[str]
) -> Outcome:
    """Read, cluster, measure and weigh the errors.

    Without clusters there is nothing to assign, and TreeCorr gives no errors: the defaults then
    give way, while what was asked for is left for the estimators to refuse.
    """
    from pysoftcorr.sky.assessment import find
    from pysoftcorr.sky.binning import Binning
    from pysoftcorr.sky.catalog import Catalog
    from pysoftcorr.sky.stars import StarCatalog

    bins = Binning.parse(settings["bins"], settings["unit"])
    treecorr = settings["method"] == "treecorr"
    soft = _soft(settings) if settings["clusters"] else None
    kind = StarCatalog if command == "rho" else Catalog
    flips = () if command == "wtheta" else _FLIPS
    catalogs = [read(path, settings, kind, flips=flips) for path in paths]
    if treecorr and "clusters" not in explicit:
        soft = None
    fits = [] if soft is None else [soft.fit(catalog) for catalog in catalogs]
    again = {name: settings[name] for name in ("assignments", "resampling")}
    if "assignments" not in explicit and (treecorr or not settings["clusters"]):
        again["assignments"] = 0
    if "resampling" not in explicit and treecorr:
        again["resampling"] = None

    def estimate(fitted: list[Clustering], **options: Any) -> CorrelationSet:
        clusters = tuple(fitted) if fitted else None
        return _estimator(command, settings)(*catalogs, bins, clusters=clusters, **options)

    result = estimate(fits, assignment=settings["assignment"] if fits else "greedy", **again)
    naive = finding = None
    if fits and settings["naive"]:
        naive = estimate([])
        finding = find(result, naive=naive, soft=estimate(fits, assignment="soft"))
    elif fits:
        finding = find(result)
    return Outcome(dict(settings), catalogs, fits, result, naive, finding)


def _estimator(command: str, settings: Mapping[str, Any]) -> Callable[..., CorrelationSet]:
    from pysoftcorr.sky import correlation

    functions: dict[str, tuple[Any, tuple[str, ...]]] = {
        "rho": (correlation.rho_statistics, ("reference", "coincident")),
        "xi": (correlation.xi_pm, ("coincident",)),
        "wtheta": (correlation.landy_szalay, ()),
    }
    function, own = functions[command]
    options = {name: settings[name] for name in (*own, "seed", "method")}
    return lambda *arguments, **more: function(*arguments, **options, **more)


def read(
    path: str, settings: Mapping[str, Any], kind: type[Catalog], *, flips: tuple[Option, ...] = ()
) -> Catalog:
    """The catalog in a file, as the settings say."""
    return kind.read(path, **{o.name: settings[o.name] for o in (*_READING, *flips)})


def _soft(settings: Mapping[str, Any]) -> Any:
    """The clustering that the settings ask for."""
    from pysoftcorr.sky.clustering import SoftClustering

    own = {option.name: settings[option.name] for option in _CLUSTERING}
    return SoftClustering(n_clusters=settings["clusters"], seed=settings["seed"], **own)


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


# ---------------------------------------------------------------------- cluster
@dataclass(frozen=True)
class Memberships:
    """A clustered catalog.

    Attributes
    ----------
    catalog : Catalog
    fit : Clustering
    objects : Table
        ra, dec (or x, y), w, ``label`` (greedy, from 0), ``max_membership``, ``entropy`` (nats),
        ``memberships`` (c,) and, if any were drawn, ``sampled`` labels (n,).
    clusters : Table
        ra, dec (or x, y), ``members`` (greedy), and ``size``, the sum of memberships.
    made : dict
        How: settings, sweeps, convergence, objective, seed, version.
    """

    catalog: Catalog
    fit: Clustering
    objects: Table
    clusters: Table
    made: dict[str, Any]

    def text(self) -> str:
        """A few lines for a terminal."""
        made, members = self.made, self.clusters["members"]
        state = "converged in" if made["converged"] else "did not converge in"
        return "\n".join(
            [
                f"{len(self.clusters)} clusters; {state} {made['n_iter']} sweeps, "
                f"J = {made['objective']:.6g}",
                f"largest membership  median {self.median('max_membership'):.3f}",
                f"entropy             median {self.median('entropy'):.3f} nats",
                f"members (greedy)    {members.min()} to {members.max()}",
            ]
        )

    def median(self, column: str) -> float:
        """Median over the objects."""
        import numpy as np

        return float(np.median(self.objects[column]))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        clusters = {name: self.clusters[name].tolist() for name in self.clusters.colnames}
        return {
            "n_objects": len(self.objects),
            "clusters": clusters,
            "label": self.objects["label"].tolist(),
            "max_membership": self.objects["max_membership"].tolist(),
            "entropy": self.objects["entropy"].tolist(),
            **self.made,
        }

    def write(self, path: str | Path, *, overwrite: bool) -> Path:
        """Write both tables, as HDUs or groups ``objects`` and ``clusters``."""
        from pysoftcorr.core.files import HDF5, whole_file

        target = Path(path).expanduser()
        with whole_file(target, overwrite=overwrite) as temporary:
            form = _hdf5 if target.name.lower().endswith(HDF5) else _fits
            form(temporary, self.objects, self.clusters, self.made)
        return target


def cluster(
    catalog: str, *, settings: Mapping[str, Any], explicit: set[str], as_json: bool
) -> dict[str, Any]:
    """Soft clusters of a catalog: centers and memberships."""
    output.use_threads(settings["threads"])
    output.check_out(settings, suffixes=(".fits", ".fits.gz", ".h5", ".hdf5"))
    made = _clustered(catalog, settings)
    files = []
    if settings["out"] is not None:
        files.append(made.write(settings["out"], overwrite=settings["overwrite"]))
    if settings["plot"] is not None:
        figures = _cluster_figures(made.catalog, made.fit)
        files += output.save(figures, output.figures_folder(settings["plot"]))
    if not as_json:
        print(made.catalog.summary(), made.text(), sep="\n\n")
    output.wrote(files)
    return made.to_dict()


def _clustered(path: str, settings: Mapping[str, Any]) -> Memberships:
    """Read a catalog and cluster it."""
    import numpy as np
    from astropy.table import Table

    from pysoftcorr.core.version import __version__
    from pysoftcorr.sky.catalog import Catalog
    from pysoftcorr.sky.geometry import AXES

    if settings["clusters"] < 1:
        raise ValueError("--clusters 0: at least one cluster is needed")
    soft = _soft(settings)
    catalog = read(path, settings, Catalog)
    fit = soft.fit(catalog)
    labels = fit.assign("greedy")
    axes = AXES[catalog.geometry]
    objects = Table({**{a: getattr(catalog, a) for a in axes}, "w": catalog.w, "label": labels})
    objects["max_membership"] = fit.max_membership
    objects["entropy"] = fit.entropy
    objects["memberships"] = fit.memberships
    if settings["assignments"]:
        sampled = fit.assign("sampled", n=settings["assignments"], seed=settings["seed"])
        objects["sampled"] = np.ascontiguousarray(sampled.T)
    clusters = Table({a: getattr(fit, a) for a in axes})
    clusters["members"] = np.bincount(labels, minlength=fit.n_clusters)
    clusters["size"] = fit.memberships.sum(axis=0)
    for table in (objects, clusters):
        for axis in axes:
            table[axis].unit = catalog.xy_unit or "deg"
    made = {
        "settings": {"command": dict(settings), **fit.settings},
        "n_iter": fit.n_iter,
        "converged": bool(fit.converged),
        "objective": float(fit.objective[-1]),
        "seed": settings["seed"],
        "version": __version__,
    }
    return Memberships(catalog, fit, objects, clusters, made)


def _fits(path: Path, objects: Table, clusters: Table, made: dict[str, Any]) -> None:
    from astropy.io import fits

    hdus = fits.HDUList([fits.PrimaryHDU()])
    for name, table in (("OBJECTS", objects), ("CLUSTERS", clusters)):
        hdu = fits.table_to_hdu(table)
        hdu.name = name
        hdus.append(hdu)
    hdus[0].header["MADE"] = json.dumps(made)
    hdus.writeto(path)


def _hdf5(path: Path, objects: Table, clusters: Table, made: dict[str, Any]) -> None:
    import h5py
    import numpy as np

    with h5py.File(path, "w") as file:
        file.attrs["made"] = json.dumps(made)
        for name, table in (("objects", objects), ("clusters", clusters)):
            group = file.create_group(name)
            for column in table.colnames:
                item = group.create_dataset(column, data=np.asarray(table[column]))
                if table[column].unit is not None:
                    item.attrs["unit"] = str(table[column].unit)


# ---------------------------------------------------------------------- figures
def _cluster_figures(catalog: Catalog, fit: Clustering) -> dict[str, Any]:
    """Centers, membership matrix and histograms."""
    from pysoftcorr import plots

    return {
        "centers": plots.plot_centers(catalog, fit).figure,
        "memberships": plots.plot_memberships(fit).figure,
        "membership_histograms": plots.plot_membership_histograms(fit),
    }


def _draw(outcome: Outcome, folder: Path) -> list[Path]:
    """Every figure that the outcome of a command has the data for."""
    folder = output.figures_folder(folder)
    from pysoftcorr import plots
    from pysoftcorr.sky.stars import StarCatalog

    catalog, result = outcome.catalogs[0], outcome.result
    figures = {result.name: plots.plot_correlation_set(result, naive=outcome.naive)}
    if isinstance(catalog, StarCatalog):
        figures["shapes"] = plots.plot_star_shapes(catalog)
    elif catalog.g1 is not None and result.name == "xi_pm":
        figures["shapes"] = plots.plot_shapes(catalog).figure  # type: ignore[assignment]
    if outcome.fits:
        figures |= _cluster_figures(catalog, outcome.fits[0])
        if result[next(iter(result))].npairs.any():
            crossing = plots.plot_pair_crossing(catalog, outcome.fits[0], result.bins)
            figures["pair_crossing"] = crossing
    return output.save(figures, folder)


_HAND = Option("assignments", int, 0, "Sampled cluster assignments to write too.", least=0)
COMMANDS = {
    "rho": Command(
        rho,
        (Argument("catalog", "Stars and PSF model: FITS, HDF5, Parquet, text."),),
        (*_measuring("rho_statistics", "reference", "coincident"), *_READING, *_FLIPS, *_OUTPUT),
    ),
    "xi": Command(
        xi,
        (Argument("catalog", "Positions and shears."),),
        (*_measuring("xi_pm", "coincident"), *_READING, *_FLIPS, *_OUTPUT),
    ),
    "wtheta": Command(
        wtheta,
        (Argument("data", "Positions."), Argument("randoms", "Random points.")),
        (*_measuring("landy_szalay"), *_READING, *_OUTPUT),
    ),
    "cluster": Command(
        cluster,
        (Argument("catalog", "Positions."),),
        (_CLUSTERS, *_CLUSTERING, _SEED, _HAND, *_READING, *_OUTPUT),
    ),
    "demo": Command(
        demo,
        options=(
            Option("out", str, "demo-output", "Folder of the figures and of the result.",
                   metavar="DIR"),
            THREADS,
        ),
        common=("json", "debug"),
    ),
}  # fmt: skip
