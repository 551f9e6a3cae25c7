"""The commands of mock universes: ``halos``, ``mock``, ``boxcorr`` and ``campaign``."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from glob import glob, has_magic
from math import log10
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pysoftcorr.cli import output
from pysoftcorr.cli.common import BINS, OVERWRITE, PLOT, SEED, THREADS, out
from pysoftcorr.cli.options import Argument, Command, Option, derive, needed
from pysoftcorr.core.text import aligned_rows

if TYPE_CHECKING:
    from pysoftcorr.mocks import (
        BoxCorrelations,
        ExpectedCorrelations,
        GalaxyCatalog,
        HaloCatalog,
        HODModel,
    )
    from pysoftcorr.mocks.halo_statistics import MassFunction

# ---------------------------------------------------------------------- options
HALOS = Argument("halos", "Halos: of simulate, halotools, Rockstar, TNG, AHF, or a table; "
                 "several files, or a pattern in quotes, are one catalog.", many=True)  # fmt: skip
PRESETS = ("mstar10.5", "mstar10.0", "mstar9.5", "mstar9.0")
PLACES = ("nfw", "triaxial", "subhalos")
HOD = ("logMmin", "sigma_logM", "logM0", "logM1", "alpha")
BINS_MPC = {"default": "log:0.1:16:20", "help": f"Bins of r in Mpc/h: {BINS}"}


#: Options of every table of a box.
_BOX_TABLE: dict[str, dict[str, Any]] = {
    "boxsize": {
        "help": "Side of the box in Mpc/h, or its sides along x, y and z, where the file "
        "does not say."
    },
    "wrap": {"help": "Move positions outside the box by whole boxes."},
    "key": {"kind": list, "metavar": "KEY,...", "help": "HDF5 groups or datasets, or all."},
    "hdu": {
        "kind": list,
        "metavar": "HDU,...",
        "help": "FITS extensions by number or name, or all.",
    },
}
#: Options for a catalog that this program did not write; given to `HaloCatalog.read` as they are.
READING = derive(
    "pysoftcorr.mocks.halo_tables:from_table",
    only=("boxsize", "columns", "select", "on_bad", "hosts", "subhalos", "axes", "wrap", "mdef",
          "redshift", "cosmology", "key", "hdu"),
    columns={"default": {}, "help": "Column or expression of a field (x, y, z, mass, radius, "
             "concentration, axis=A,B,C, ...), or none to leave it out; may be given several "
             "times."},
    select={"metavar": "EXPRESSION", "help": "Condition that rows must meet, as 'Mvir > 1e12'."},
    on_bad={"help": "Rows with values that no halo has: refuse, or drop and count."},
    hosts={"help": "Keep host halos alone, by the column of their parents."},
    subhalos={"help": "Keep subhalos, with the host halo of each."},
    axes={"help": "Draw the major axes at random."},
    mdef={"help": "Mass definition, of columns and of what is filled in: vir, 200m, 200c, ..."},
    redshift={"help": "Redshift, where the file does not say."},
    cosmology={"help": "Name of the cosmology, as colossus has it."},
    **_BOX_TABLE,
)  # fmt: skip
#: The same for galaxies of other programs.
READING_GALAXIES = derive(
    "pysoftcorr.mocks.galaxy_tables:from_table", skip=("source",),
    columns={"default": {}, "help": "Column or expression of a field (x, y, z, position=A,B,C, "
             "axis=A,B,C, velocity=A,B,C), or none to leave it out; may be given several times."},
    select={"metavar": "EXPRESSION", "help": "Condition that rows must meet."},
    on_bad={"help": "Rows with NaN, infinity or no axis: refuse, or drop and count."},
    **_BOX_TABLE,
)  # fmt: skip
_SIMULATION = derive(
    "pysoftcorr.mocks.simulate:simulate",
    boxsize={"help": "Side of the periodic box in Mpc/h; needed."},
    mesh={"help": "Cells along a side."},
    cosmology={"help": "Name of the cosmology, as colossus has it."},
    redshift={"help": "Redshift."},
    mmin={"help": "Lowest mass in Msun/h."},
    mmax={"help": "Highest mass in Msun/h; none by default."},
    mdef={"help": "Mass definition: vir, 200m, 200c, ..."},
    mass_function={"help": "Mass function, by colossus' name."},
    bias={"help": "Bias relation, by colossus' name."},
    concentration={"help": "Concentration, by colossus' name."},
    concentration_scatter={"help": "Scatter of the concentration in dex."},
    axis_alignment={"help": "Strength, -1 to 1, of major axes about the tidal direction."},
    exclusion={"help": "Keep halos out of heavier ones."},
    subhalos={"help": "Draw subhalos as well, for satellites on them."},
    subhalo_mmin={"help": "Lowest mass of a subhalo in Msun/h; that of halos by default."},
    seed={"default": 1, "least": 0, "help": "Seed of everything random."},
)
#: Parameters of an HOD and its alignments; none has a default here, a preset may give it.
OCCUPATION = derive(
    "pysoftcorr.mocks.hod:HODModel",
    only=(*HOD, "mu_cen", "mu_sat", "gamma", "modulate", "satellites", "assembly_cen",
          "assembly_sat", "assembly_split"),
    logMmin={"help": "log10 of the mass (Msun/h) where half of the halos have a central galaxy."},
    sigma_logM={"help": "Width of that step."},
    logM0={"help": "log10 of the satellites' cut-off."},
    logM1={"help": "log10 of the satellites' scale."},
    alpha={"help": "Slope of the satellites' power law."},
    mu_cen={"default": None, "help": "Alignment strength of central galaxies, -1 to 1; 0, or that "
            "of the preset."},
    mu_sat={"default": None, "help": "Alignment strength of satellites."},
    gamma={"default": None, "help": "Strength of satellites by radius, mu_sat (r/Rvir)^gamma."},
    modulate={"default": None, "help": "Multiply the mean number of satellites by that of central "
              "galaxies."},
    satellites={"default": None, "choices": PLACES, "help": "Where satellites live: in a sphere "
                "(nfw; the default), in the halo's ellipsoid, or on its subhalos."},
    assembly_cen={"default": None, "help": "Assembly bias of central galaxies, -1 to 1: more in "
                  "concentrated halos of a mass if positive."},
    assembly_sat={"default": None, "help": "Assembly bias of satellites."},
    assembly_split={"default": None, "help": "Part of the halos of a mass that are not "
                    "concentrated; 0.5 by default."},
)  # fmt: skip
_PRESET = Option("preset", str, None, "A fixed HOD, by the least stellar mass; options change it.",
                 choices=PRESETS)  # fmt: skip
_DESIGN = derive(
    "pysoftcorr.mocks.campaign.run:run_campaign",
    only=("points", "realizations", "seed", "sampling", "logMmin", "bins", "modulate",
          "satellites", "workers", "scheduler"),
    points={"kind": int, "least": 1, "help": "Points of the design; needed."},
    realizations={"least": 1, "help": "Catalogs for each point; needed."},
    seed={"least": 0, "help": "Seed of everything random; by default a new one, or that of the "
          "unfinished campaign."},
    sampling={"choices": ("sobol", "random"), "help": "How the points fill the space."},
    logMmin={"default": "11:15", "metavar": "LO:HI",
             "help": "Range of log Mmin in the design."},
    bins=BINS_MPC,
    modulate={"help": "Multiply the mean number of satellites by that of central galaxies."},
    satellites={"choices": PLACES, "help": "Where satellites live: in a sphere, in the halo's "
                "ellipsoid, or on its subhalos."},
    workers={"least": 1, "help": "Processes on this machine; one a core by default."},
    scheduler={"metavar": "ADDRESS", "help": "A running dask scheduler instead, as "
               "tcp://host:8786."},
)  # fmt: skip


# ---------------------------------------------------------------------- the commands
def simulate(*, settings: Mapping[str, Any], explicit: set[str], as_json: bool) -> dict[str, Any]:
    """Halos of a simulated universe: a 2LPT field, a mass function, bias, tidal axes."""
    needed(settings, "boxsize", "out")
    from pysoftcorr.core.files import HDF5

    output.check_out(settings, suffixes=HDF5)
    from pysoftcorr.mocks import HaloCatalog

    halos = HaloCatalog.simulate(**{o.name: settings[o.name] for o in _SIMULATION})
    halos.write(settings["out"], overwrite=settings["overwrite"])
    return _halos(halos, settings, as_json, files=[settings["out"]])


def info(
    halos: str | list[str], *, settings: Mapping[str, Any], explicit: set[str], as_json: bool
) -> dict[str, Any]:
    """What a halo catalog holds, and its mass function beside theory."""
    output.check_plot(settings)
    return _halos(read_halos(halos, settings, explicit), settings, as_json, files=[])


def mock(
    halos: str | list[str], *, settings: Mapping[str, Any], explicit: set[str], as_json: bool
) -> dict[str, Any]:
    """Galaxies with intrinsic alignments in the halos of a catalog."""
    needed(settings, "out")
    model = _model(settings, explicit)
    output.check_out(settings, suffixes=(".h5", ".hdf5", ".fits", ".fits.gz"))
    found = read_halos(halos, settings, explicit)
    galaxies = model.populate(found, seed=settings["seed"])
    galaxies.write(settings["out"], overwrite=settings["overwrite"])
    files: list[Any] = [settings["out"]]
    if not as_json:
        print(galaxies_text(galaxies))
    files += output.draw(
        settings, lambda plots: {"slice": lambda: plots.plot_box_slice(galaxies, halos=found)}
    )
    output.wrote(files)
    return {**_galaxies(galaxies), "halos": len(found)}


def boxcorr(
    galaxies: str | list[str], *, settings: Mapping[str, Any], explicit: set[str], as_json: bool
) -> dict[str, Any]:
    """xi, omega and eta of mock galaxies, of one halo and of two, or of any table.

    Several files are realizations: their mean, with the covariance of their scatter. With a
    resampling the covariance is that of sub-volumes, of several files its mean.
    """
    paths = _realizations([galaxies] if isinstance(galaxies, str) else galaxies)
    resampling = _resampling(settings)
    output.use_threads(settings["threads"])
    from pysoftcorr.mocks import BoxCorrelations, box_files, expected_correlations
    from pysoftcorr.mocks.box import radial_edges

    output.check_out(settings, suffixes=box_files.SUFFIXES)
    if settings["out"] is not None and (resampling is not None or len(paths) > 1):
        box_files.check_beside(settings["out"], overwrite=settings["overwrite"])
    twice = {path for path in paths if paths.count(path) > 1}
    if twice:
        raise ValueError(f"GALAXIES: {min(twice)} is given twice; each file is a realization")
    if settings["expected"] and len(paths) > 1:
        raise ValueError("--expected: is of one catalog; give one file, or leave it out")
    edges = radial_edges(settings["bins"])
    # Of the others nothing is drawn.
    first = read_galaxies(paths[0], settings, explicit)
    with warnings.catch_warnings():
        if len(paths) > 1:  # that of all boxes together is what counts
            warnings.filterwarnings("ignore", message="the covariance of")
        results, catalogs = [_correlated(first, edges, settings, resampling)], [_galaxies(first)]
        for path in paths[1:]:
            found = read_galaxies(path, settings, explicit)
            results.append(_correlated(found, edges, settings, resampling))
            catalogs.append(_galaxies(found))
    expected = None
    if settings["expected"]:
        expected = expected_correlations(first, **_strengths(first, paths[0]), bins=edges)
    result = results[0]
    if len(results) > 1:
        errors = "scatter" if resampling is None else "resampling"
        result = combined(lambda: BoxCorrelations.combine(results, errors=errors), paths)
    files: list[Any] = []
    if settings["out"] is not None:
        files += box_files.write(result, settings["out"], overwrite=settings["overwrite"])
    if not as_json:
        head = galaxies_text(first) if len(paths) == 1 else _boxes_text(paths, catalogs)
        print(head, _table(result, expected), sep="\n\n")

    def figures(plots: Any) -> dict[str, Any]:
        made = {"correlations": lambda: plots.plot_box_correlations(result, expected=expected)}
        if result.covariance is not None:
            made["covariance"] = lambda: plots.plot_covariance(result)
        return {**made, "slice": lambda: plots.plot_box_slice(first)}

    files += output.draw(settings, figures)
    output.wrote(files)
    return {
        **result.to_dict(),
        "galaxies": catalogs[0] if len(catalogs) == 1 else catalogs,
        "expected": None if expected is None else _plain(expected),
    }


def combined(combine: Callable[[], Any], paths: list[str]) -> Any:
    """The mean of several boxes; errors name their files."""
    try:
        return combine()
    except ValueError as error:
        said = re.sub(r"results\[(\d+)\]", lambda found: paths[int(found[1])], str(error))
        raise ValueError(said) from None


def _realizations(paths: list[str]) -> list[str]:
    """Files of catalogs; of those that `mock` wrote a pattern is of realizations."""
    from pysoftcorr.mocks import GalaxyCatalog

    found = []
    for path in paths:
        files = _matches(path)
        own = files and all(GalaxyCatalog.is_own(file) for file in files)
        found += files if own else [path]
    return found


def _matches(path: str) -> list[str]:
    """Files that a pattern stands for; none where it is no pattern."""
    if Path(path).expanduser().exists():
        return []
    return sorted(glob(str(Path(path).expanduser()))) if has_magic(path) else []


def _correlated(
    galaxies: GalaxyCatalog, edges: Any, settings: Mapping[str, Any], resampling: str | None
) -> BoxCorrelations:
    from pysoftcorr.mocks import box_correlations, checks

    half = min(checks.box_sides(galaxies.boxsize)) / 2
    if not edges[-1] <= half:
        of = "the shortest side of the box" if isinstance(galaxies.boxsize, tuple) else "the box"
        raise ValueError(
            f"--bins {settings['bins']}: r_max = {edges[-1]:g} Mpc/h must be at most half of "
            f"{of}, {half:g} Mpc/h; lower the last edge"
        )
    return box_correlations(galaxies, bins=edges, resampling=resampling, seed=settings["seed"])


def _resampling(settings: Mapping[str, Any]) -> str | None:
    """What is resampled, by that of three options which is given."""
    ways = {
        "resampling": settings["resampling"],
        "jackknife": settings["jackknife"] and f"jackknife:{settings['jackknife']}",
        "bootstrap": settings["bootstrap"] and f"bootstrap:{settings['bootstrap']}",
    }
    given = [name for name, text in ways.items() if text is not None]
    if len(given) > 1:
        raise ValueError(f"--{given[0]} and --{given[1]}: give one of them")
    return ways[given[0]] if given else None


def campaign(
    halos: str | list[str], *, settings: Mapping[str, Any], explicit: set[str], as_json: bool
) -> dict[str, Any]:
    """xi, omega and eta over the training design of an emulator, on every core or a cluster."""
    needed(settings, "points", "realizations", "out")
    from pysoftcorr.core.files import HDF5

    no_figures = {"plot": None, "plot_format": None}
    output.check_out({**settings, **no_figures, "overwrite": True}, suffixes=HDF5)
    from pysoftcorr.mocks import run_campaign

    names = [o.name for o in _DESIGN if o.name != "logMmin"]
    made = run_campaign(
        read_halos(halos, settings, explicit),
        logMmin=_range(settings["logMmin"]),
        **{name: settings[name] for name in (*names, "out", "overwrite", "cosmology")},
    )
    if not as_json:
        print(made.summary())
    output.wrote([made.path])
    return made.to_dict()


# ---------------------------------------------------------------------- what goes in
def read_halos(
    path: str | list[str], settings: Mapping[str, Any], explicit: set[str]
) -> HaloCatalog:
    """The halo catalog of a file, with those options of `READING` that were given."""
    from pysoftcorr.mocks import HaloCatalog

    options = _given(READING, settings, explicit)
    if options.get("axes"):
        options["seed"] = settings["seed"]
    return HaloCatalog.read(path, **options)


def read_galaxies(path: str, settings: Mapping[str, Any], explicit: set[str]) -> GalaxyCatalog:
    """The galaxies of `mock`, or of any table."""
    from pysoftcorr.mocks import GalaxyCatalog

    options = _given(READING_GALAXIES, settings, explicit)
    if not _matches(path) and GalaxyCatalog.is_own(path):
        if options:
            name = next(iter(options)).replace("_", "-")
            raise ValueError(f"--{name}: {path} was written by softcorr and is read as it is")
        return GalaxyCatalog.read(path)
    return GalaxyCatalog.from_table(path, **options)


def _given(
    among: Iterable[Option], settings: Mapping[str, Any], explicit: set[str]
) -> dict[str, Any]:
    """Options of reading that were given, as the function behind them takes them."""
    options = {o.name: settings[o.name] for o in among if o.name in explicit}
    if "hdu" in options:
        options["hdu"] = [int(t) if t.lstrip("-").isdecimal() else t for t in options["hdu"]]
    for name in ("hdu", "key"):
        if len(options.get(name, ())) == 1:
            options[name] = options[name][0]
    if "columns" in options:
        options["columns"] = {k: _texts(k, text) for k, text in options["columns"].items()}
    return options


def _texts(field: str, text: str | None) -> str | tuple[str, ...] | None:
    """The columns of a field: of a vector three, or one of shape (N, 3)."""
    from pysoftcorr.mocks.halo_schemes import VECTORS

    if text is None or text.lower() == "none":
        return None
    return tuple(text.split(",")) if field in VECTORS and "," in text else text


def _model(settings: Mapping[str, Any], explicit: set[str]) -> HODModel:
    from pysoftcorr.mocks import HODModel

    chosen = {o.name: settings[o.name] for o in OCCUPATION if o.name in explicit}
    if settings["preset"] is not None:
        return HODModel.preset(settings["preset"]).with_parameters(**chosen)
    lacking = [name for name in HOD if name not in chosen]
    if lacking:
        listed = ", ".join("--" + name.replace("_", "-") for name in lacking)
        raise ValueError(f"{listed}: must be given, or a --preset such as mstar10.5")
    return HODModel(**chosen)


def _range(text: str) -> tuple[float, float]:
    try:
        low, high = (float(part) for part in text.split(":"))
    except ValueError:
        raise ValueError(f"--logMmin {text}: must be LO:HI, as 11:15") from None
    return low, high


def _strengths(galaxies: GalaxyCatalog, path: str) -> dict[str, float]:
    names = ("mu_cen", "mu_sat")
    if any(name not in galaxies.params for name in names):
        raise ValueError(f"--expected: {path} does not say the alignment strengths of its galaxies")
    return {
        **{name: float(galaxies.params[name]) for name in names},
        "gamma": float(galaxies.params.get("gamma", 0.0)),
    }


# ---------------------------------------------------------------------- what comes out
def _halos(
    halos: HaloCatalog, settings: Mapping[str, Any], as_json: bool, *, files: list[Any]
) -> dict[str, Any]:
    """Print the catalog and its mass function, draw them if asked; the JSON document."""
    from pysoftcorr.mocks.checks import volume
    from pysoftcorr.mocks.halo_statistics import mass_function

    table = mass_function(halos)
    if not as_json:
        print(halos.summary(), _mass_table(table), sep="\n\n", flush=True)
    files += output.draw(
        settings,
        lambda plots: {
            "halos": lambda: plots.plot_halo_statistics(halos),
            "halo_slice": lambda: plots.plot_box_slice(halos, halos=halos),
        },
    )
    output.wrote(files)
    return {
        "halos": len(halos),
        "subhalos": None if halos.subhalos is None else len(halos.subhalos),
        "boxsize": halos.boxsize,
        "mass": [float(halos.mass.min()), float(halos.mass.max())],
        "number_density": len(halos) / volume(halos.boxsize),
        "cosmology": halos.cosmology,
        "meta": halos.meta,
        "mass_function": table.to_dict(),
    }


def _mass_table(table: MassFunction) -> str:
    titles = ["log10 M", "halos", "dn/dlog10 M", "+-"]
    if table.theory is not None:
        titles.append(table.model)
    rows = []
    for b, count in enumerate(table.count):
        low, high = log10(table.edges[b]), log10(table.edges[b + 1])
        row = [f"{low:.2f} to {high:.2f}", str(count), f"{table.density[b]:.3e}",
               f"{table.error[b]:.1e}"]  # fmt: skip
        rows.append(row if table.theory is None else [*row, f"{table.theory[b]:.3e}"])
    return aligned_rows([titles, *rows])


def _galaxies(galaxies: GalaxyCatalog) -> dict[str, Any]:
    from pysoftcorr.mocks.checks import volume

    central = int(galaxies.central.sum()) if galaxies.has_hosts else None
    return {
        "galaxies": len(galaxies),
        "centrals": central,
        "satellites": None if central is None else len(galaxies) - central,
        "satellite_fraction": None if central is None else 1.0 - central / len(galaxies),
        "number_density": len(galaxies) / volume(galaxies.boxsize),
        "boxsize": galaxies.boxsize,
        "params": galaxies.params,
        "seed": galaxies.seed,
        "version": galaxies.version,
    }


def galaxies_text(galaxies: GalaxyCatalog) -> str:
    from pysoftcorr.mocks.checks import box_text

    says = _galaxies(galaxies)
    params = ", ".join(f"{name} = {value}" for name, value in galaxies.params.items())
    first = (
        f"{says['galaxies']} galaxies in a box of {box_text(galaxies.boxsize)} Mpc/h "
        f"({says['number_density']:.3g} per (Mpc/h)^3)"
    )
    if not galaxies.has_hosts:  # of a table, which does not say who is central
        return first
    return (
        f"{first}\n"
        f"  centrals    {says['centrals']}\n"
        f"  satellites  {says['satellites']} ({100 * says['satellite_fraction']:.1f} %)\n"
        f"  seed        {galaxies.seed}\n"
        f"  HOD         {params or 'not known'}"
    )


def _boxes_text(paths: list[str], catalogs: list[dict[str, Any]]) -> str:
    """A line for each of several boxes."""
    from pysoftcorr.mocks.checks import box_text

    rows = [("box", "galaxies", "size [Mpc/h]")]
    rows += [
        (path, str(says["galaxies"]), box_text(says["boxsize"]))
        for path, says in zip(paths, catalogs, strict=True)
    ]
    return aligned_rows(rows)


def _of_errors(result: BoxCorrelations) -> str:
    """What the errors of a table are."""
    boxes = result.settings.get("boxes", 1)
    way = str(result.resampling)
    if way.startswith("realizations"):
        said = f"+- is the error of the mean of {boxes} boxes, by their scatter"
        return f"{said}; that of one box is {boxes**0.5:.3g} times as large"
    of = "" if boxes == 1 else f" of the mean of {boxes} boxes"
    return f"+- is the error{of} by sub-volumes of the box, {way}"


def _table(result: BoxCorrelations, expected: ExpectedCorrelations | None) -> str:
    """All pairs, then the one- and two-halo parts."""
    bins = [
        f"{low:.4g} to {high:.4g}"
        for low, high in zip(result.edges[:-1], result.edges[1:], strict=True)
    ]
    columns = [("bin [Mpc/h]", bins), ("r", _numbers(result.r)), _counts("pairs", result.npairs)]
    for n in ("xi", "omega", "eta"):
        columns.append((n, _numbers(getattr(result, n))))
        if n in result.errors:
            columns.append(("+-", _numbers(result.errors[n], digits=2)))
    if expected is not None:
        columns += [(f"<{n}>", _numbers(getattr(expected, n))) for n in ("omega", "eta")]
    parts = [("r", _numbers(result.r))]
    for part in ("1h", "2h") if result.npairs_1h is not None else ():
        parts.append(_counts(f"pairs {part}", getattr(result, f"npairs_{part}")))
        parts += [
            (f"{n} {part}", _numbers(getattr(result, f"{n}_{part}")))
            for n in ("xi", "omega", "eta")
        ]
    tables = []
    for chosen in (columns, parts) if result.npairs_1h is not None else (columns,):
        titles, values = zip(*chosen, strict=True)
        tables.append(aligned_rows([titles, *zip(*values, strict=True)]))
    if result.covariance is not None:
        tables[0] += "\n" + _of_errors(result)
    return "\n\n".join(tables)


def _numbers(values: Any, digits: int = 4) -> list[str]:
    return ["-" if v != v else f"{v:.{digits}g}" for v in values.tolist()]


def _counts(title: str, values: Any) -> tuple[str, list[str]]:
    return title, [str(v) for v in values.tolist()]


def _plain(expected: ExpectedCorrelations) -> dict[str, Any]:
    """Plain values for JSON: None for NaN."""
    return {
        name: [None if v != v else v for v in value.tolist()] if hasattr(value, "tolist") else value
        for name, value in vars(expected).items()
    }


COMMANDS: dict[str, Any] = {
    "halos": {
        "simulate": Command(
            simulate, options=(*_SIMULATION, out("Write the halos: .h5; needed."), OVERWRITE, *PLOT)
        ),
        "info": Command(info, (HALOS,), (*READING, SEED, *PLOT)),
    },
    "mock": Command(
        mock,
        (HALOS,),
        (_PRESET, *OCCUPATION, SEED, *READING, out("Write the galaxies: .h5 or .fits; needed."),
         OVERWRITE, *PLOT),
    ),
    "boxcorr": Command(
        boxcorr,
        (Argument("galaxies", "Galaxies of mock, or any table of positions and axes (--columns "
                  "axis=none for positions alone). Several are "
                  "realizations; a pattern in quotes stands for several of mock, or for tables "
                  "that are one catalog.", many=True),),
        (
            *READING_GALAXIES,
            *derive(
                "pysoftcorr.mocks.box:box_correlations", only=("bins", "resampling"), bins=BINS_MPC,
                resampling={"help": "Errors by sub-volumes of the box, as jackknife:27, "
                            "jackknife:3x3x6, jackknife:27:match or bootstrap:100:64."},
            ),
            Option("jackknife", str, None, "Errors by as many sub-volumes, each left out once; 27 "
                   "or a shape such as 3x3x3: short for --resampling jackknife:N.", metavar="N"),
            Option("bootstrap", str, None, "Errors by as many draws of sub-volumes: short for "
                   "--resampling bootstrap:N.", metavar="N"),
            SEED,
            Option("expected", bool, False, "Also the mean of omega and eta over all draws of the "
                   "axes, at the strengths of the catalog."),
            THREADS,
            out("Write the table, errors and covariance: .ecsv, .h5, or .csv (covariance in "
                "NAME_cov.csv)."),
            OVERWRITE,
            *PLOT,
        ),
    ),
    "campaign": Command(
        campaign,
        (HALOS,),
        (
            *_DESIGN,
            out("Write the campaign: .h5; needed. The same command resumes an unfinished one."),
            Option("overwrite", bool, False, "Replace a campaign of other settings."),
            *(o for o in READING if o.name != "seed"),
        ),
    ),
}  # fmt: skip
