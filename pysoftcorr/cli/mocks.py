"""The commands of mock universes: ``halos``, ``mock``, ``boxcorr`` and ``campaign``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import log10
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
HOD = ("logMmin", "sigma_logM", "logM0", "logM1", "alpha")
BINS_MPC = {"default": "log:0.1:16:20", "help": f"Bins of r in Mpc/h: {BINS}"}


#: Options of every table of a box.
_BOX_TABLE: dict[str, dict[str, Any]] = {
    "boxsize": {"help": "Side of the box in Mpc/h, where the file does not say."},
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
    only=("boxsize", "columns", "select", "on_bad", "hosts", "axes", "wrap", "mdef", "redshift",
          "cosmology", "key", "hdu"),
    columns={"default": {}, "help": "Column or expression of a field (x, y, z, mass, radius, "
             "concentration, axis=A,B,C, ...); may be given several times."},
    select={"metavar": "EXPRESSION", "help": "Condition that rows must meet, as 'Mvir > 1e12'."},
    on_bad={"help": "Rows with values that no halo has: refuse, or drop and count."},
    hosts={"help": "Keep host halos alone, by the column of their parents."},
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
             "axis=A,B,C, velocity=A,B,C); may be given several times."},
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
    seed={"default": 1, "least": 0, "help": "Seed of everything random."},
)
#: Parameters of an HOD and its alignments; none has a default here, a preset may give it.
OCCUPATION = derive(
    "pysoftcorr.mocks.hod:HODModel",
    only=(*HOD, "mu_cen", "mu_sat", "gamma", "modulate"),
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
)  # fmt: skip
_PRESET = Option("preset", str, None, "A fixed HOD, by the least stellar mass; options change it.",
                 choices=PRESETS)  # fmt: skip
_DESIGN = derive(
    "pysoftcorr.mocks.campaign.run:run_campaign",
    only=("points", "realizations", "seed", "sampling", "logMmin", "bins", "modulate", "workers",
          "scheduler"),
    points={"kind": int, "least": 1, "help": "Points of the design; needed."},
    realizations={"least": 1, "help": "Catalogs for each point; needed."},
    seed={"least": 0, "help": "Seed of everything random; by default a new one, or that of the "
          "unfinished campaign."},
    sampling={"choices": ("sobol", "random"), "help": "How the points fill the space."},
    logMmin={"name": "logmmin", "default": "11:15", "metavar": "LO:HI",
             "help": "Range of log Mmin in the design."},
    bins=BINS_MPC,
    modulate={"help": "Multiply the mean number of satellites by that of central galaxies."},
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
    galaxies: str, *, settings: Mapping[str, Any], explicit: set[str], as_json: bool
) -> dict[str, Any]:
    """xi, omega and eta of mock galaxies, of one halo and of two, or of any table."""
    output.use_threads(settings["threads"])
    output.check_out(settings, suffixes=(".ecsv",))
    from pysoftcorr.mocks import box_correlations, expected_correlations
    from pysoftcorr.mocks.box import radial_edges

    edges = radial_edges(settings["bins"])
    found = read_galaxies(galaxies, settings, explicit)
    if not edges[-1] <= found.boxsize / 2:
        raise ValueError(
            f"--bins {settings['bins']}: r_max = {edges[-1]:g} Mpc/h must be at most half of "
            f"the box, {found.boxsize / 2:g} Mpc/h; lower the last edge"
        )
    expected = None
    if settings["expected"]:
        expected = expected_correlations(found, **_strengths(found, galaxies), bins=edges)
    result = box_correlations(found, bins=edges)
    files: list[Any] = []
    if settings["out"] is not None:
        result.write(settings["out"], overwrite=settings["overwrite"])
        files.append(settings["out"])
    if not as_json:
        print(galaxies_text(found), _table(result, expected), sep="\n\n")
    files += output.draw(
        settings,
        lambda plots: {
            "correlations": lambda: plots.plot_box_correlations(result, expected=expected),
            "slice": lambda: plots.plot_box_slice(found),
        },
    )
    output.wrote(files)
    return {
        **result.to_dict(),
        "galaxies": _galaxies(found),
        "expected": None if expected is None else _plain(expected),
    }


def campaign(
    halos: str | list[str], *, settings: Mapping[str, Any], explicit: set[str], as_json: bool
) -> dict[str, Any]:
    """xi, omega and eta over the training design of an emulator, on every core or a cluster."""
    needed(settings, "points", "realizations", "out")
    from pysoftcorr.core.files import HDF5

    no_figures = {"plot": None, "plot_format": None}
    output.check_out({**settings, **no_figures, "overwrite": True}, suffixes=HDF5)
    from pysoftcorr.mocks import run_campaign

    names = [o.name for o in _DESIGN if o.name != "logmmin"]
    made = run_campaign(
        read_halos(halos, settings, explicit),
        logMmin=_range(settings["logmmin"]),
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
    if GalaxyCatalog.is_own(path):
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
        # Vectors are three columns, or one of shape (N, 3).
        vectors = ("position", "axis", "velocity")
        options["columns"] = {
            field: tuple(text.split(",")) if field in vectors and "," in text else text
            for field, text in options["columns"].items()
        }
    return options


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
        raise ValueError(f"--logmmin {text}: must be LO:HI, as 11:15") from None
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
        "boxsize": halos.boxsize,
        "mass": [float(halos.mass.min()), float(halos.mass.max())],
        "number_density": len(halos) / halos.boxsize**3,
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
    central = int(galaxies.central.sum())
    return {
        "galaxies": len(galaxies),
        "centrals": central,
        "satellites": len(galaxies) - central,
        "satellite_fraction": 1.0 - central / len(galaxies),
        "number_density": len(galaxies) / galaxies.boxsize**3,
        "boxsize": galaxies.boxsize,
        "params": galaxies.params,
        "seed": galaxies.seed,
        "version": galaxies.version,
    }


def galaxies_text(galaxies: GalaxyCatalog) -> str:
    says = _galaxies(galaxies)
    params = ", ".join(f"{name} = {value}" for name, value in galaxies.params.items())
    return (
        f"{says['galaxies']} galaxies in a box of {galaxies.boxsize:g} Mpc/h "
        f"({says['number_density']:.3g} per (Mpc/h)^3)\n"
        f"  centrals    {says['centrals']}\n"
        f"  satellites  {says['satellites']} ({100 * says['satellite_fraction']:.1f} %)\n"
        f"  seed        {galaxies.seed}\n"
        f"  HOD         {params or 'not known'}"
    )


def _table(result: BoxCorrelations, expected: ExpectedCorrelations | None) -> str:
    """All pairs, then the one- and two-halo parts."""
    bins = [
        f"{low:.4g} to {high:.4g}"
        for low, high in zip(result.edges[:-1], result.edges[1:], strict=True)
    ]
    columns = [("bin [Mpc/h]", bins), ("r", _numbers(result.r)), _counts("pairs", result.npairs)]
    columns += [(n, _numbers(getattr(result, n))) for n in ("xi", "omega", "eta")]
    if expected is not None:
        columns += [(f"<{n}>", _numbers(getattr(expected, n))) for n in ("omega", "eta")]
    parts = [("r", _numbers(result.r))]
    for part in ("1h", "2h"):
        parts.append(_counts(f"pairs {part}", getattr(result, f"npairs_{part}")))
        parts += [
            (f"{n} {part}", _numbers(getattr(result, f"{n}_{part}")))
            for n in ("xi", "omega", "eta")
        ]
    tables = []
    for chosen in (columns, parts):
        titles, values = zip(*chosen, strict=True)
        tables.append(aligned_rows([titles, *zip(*values, strict=True)]))
    return "\n\n".join(tables)


def _numbers(values: Any) -> list[str]:
    return ["-" if v != v else f"{v:.4g}" for v in values.tolist()]


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
        (Argument("galaxies", "Galaxies of mock, or any table of positions and axes."),),
        (
            *READING_GALAXIES,
            *derive("pysoftcorr.mocks.box:box_correlations", only=("bins",), bins=BINS_MPC),
            Option("expected", bool, False, "Also the mean of omega and eta over all draws of the "
                   "axes, at the strengths of the catalog."),
            THREADS,
            out("Write the table: .ecsv."),
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
