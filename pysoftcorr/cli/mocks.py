"""The commands of mock universes: ``halos simulate``, ``halos info``, ``mock``, ``boxcorr``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import log10
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pysoftcorr.cli import output
from pysoftcorr.cli.output import only_json, wrote
from pysoftcorr.cli.settings import Setting, resolve

if TYPE_CHECKING:
    from pysoftcorr.mocks import (
        BoxCorrelations,
        ExpectedCorrelations,
        GalaxyCatalog,
        HaloCatalog,
        HODModel,
    )
    from pysoftcorr.mocks.halo_statistics import MassFunction

_UNIVERSE, _OCCUPATION, _OUTPUT = "Universe", "Occupation and alignment", "Output"
_SEED = Setting("seed", int, 1, "Seed of everything random.", _UNIVERSE, least=0)
_OVERWRITE = Setting("overwrite", bool, False, "Replace FILE if it is there.", _OUTPUT)
_PLOT = Setting("plot", str, None, "Write figures into this folder.", _OUTPUT, metavar="DIR")
_THREADS = Setting("threads", int, None, "Threads; every core by default.", _OUTPUT, least=1)


def _out(text: str) -> Setting:
    return Setting("out", str, None, text, _OUTPUT, metavar="FILE")


# Of a catalog that this program did not write; given to HaloCatalog.read as they are.
_READING = (
    Setting("boxsize", float, None, "Side of the box in Mpc/h, where the file does not say.",
            _UNIVERSE),
    Setting("columns", dict, {}, "Column or expression of a field (x, y, z, mass, radius, "
            "concentration, axis=A,B,C, ...); may be given several times.", _UNIVERSE,
            metavar="FIELD=COLUMN"),
    Setting("axes", str, None, "Draw the major axes at random.", _UNIVERSE, choices=("random",)),
    Setting("wrap", bool, False, "Move positions outside the box by whole boxes.", _UNIVERSE),
    Setting("cosmology", str, None, "Name of the cosmology, as colossus has it.", _UNIVERSE),
    Setting("key", str, None, "HDF5 group or dataset.", _UNIVERSE),
    Setting("hdu", str, None, "FITS extension, number or name.", _UNIVERSE),
)  # fmt: skip
#: The settings of each command, in the order of its help.
SETTINGS: dict[str, tuple[Setting, ...]] = {
    "halos simulate": (
        Setting("boxsize", float, None, "Side of the periodic box in Mpc/h; needed.", _UNIVERSE),
        Setting("mesh", int, 128, "Cells along a side.", _UNIVERSE),
        _SEED,
        Setting("cosmology", str, "planck18", "Name of the cosmology, as colossus has it.",
                _UNIVERSE),
        Setting("redshift", float, 0.0, "Redshift.", _UNIVERSE),
        Setting("mmin", float, 3e10, "Lowest mass in Msun/h.", _UNIVERSE),
        Setting("mmax", float, None, "Highest mass in Msun/h; none by default.", _UNIVERSE),
        Setting("mdef", str, "vir", "Mass definition: vir, 200m, 200c, ...", _UNIVERSE),
        Setting("mass_function", str, "tinker08", "Mass function, by colossus' name.", _UNIVERSE),
        Setting("bias", str, "tinker10", "Bias relation, by colossus' name.", _UNIVERSE),
        Setting("concentration", str, "diemer19", "Concentration, by colossus' name.", _UNIVERSE),
        Setting("concentration_scatter", float, 0.16, "Its scatter in dex.", _UNIVERSE),
        Setting("axis_alignment", float, 0.5, "Strength, -1 to 1, of major axes about the tidal "
                "direction.", _UNIVERSE),
        Setting("exclusion", bool, True, "Keep halos out of heavier ones.", _UNIVERSE),
        _out("Write the halos: .h5; needed."),
        _OVERWRITE,
        _PLOT,
    ),
    "halos info": (*_READING, _SEED, _PLOT),
    "mock": (
        Setting("preset", str, None, "A fixed HOD, by the least stellar mass; options change it.",
                _OCCUPATION, choices=("mstar10.5", "mstar10.0", "mstar9.5", "mstar9.0")),
        Setting("logMmin", float, None, "log10 of the mass (Msun/h) where half of the halos "
                "have a central galaxy.", _OCCUPATION),
        Setting("sigma_logM", float, None, "Width of that step.", _OCCUPATION),
        Setting("logM0", float, None, "log10 of the satellites' cut-off.", _OCCUPATION),
        Setting("logM1", float, None, "log10 of the satellites' scale.", _OCCUPATION),
        Setting("alpha", float, None, "Slope of the satellites' power law.", _OCCUPATION),
        Setting("mu_cen", float, None, "Alignment strength of central galaxies, -1 to 1; "
                "0, or that of the preset.", _OCCUPATION),
        Setting("mu_sat", float, None, "Alignment strength of satellites.", _OCCUPATION),
        Setting("gamma", float, None, "Strength of satellites by radius, mu_sat (r/Rvir)^gamma.",
                _OCCUPATION),
        Setting("modulate", bool, None, "Multiply the mean number of satellites by that of "
                "central galaxies.", _OCCUPATION),
        _SEED,
        *_READING,
        _out("Write the galaxies: .h5 or .fits; needed."),
        _OVERWRITE,
        _PLOT,
    ),
    "boxcorr": (
        Setting("bins", str, "log:0.1:16:20", "Bins of r in Mpc/h: linear:LO:HI:N, log:LO:HI:N "
                "or edges:E0,E1,...", _UNIVERSE, metavar="BINS"),
        Setting("expected", bool, False, "Also the mean of omega and eta over all draws of the "
                "axes, at the strengths of the catalog.", _UNIVERSE),
        _THREADS,
        _out("Write the table: .ecsv."),
        _OVERWRITE,
        _PLOT,
    ),
}  # fmt: skip


def simulate(
    paths: list[str], given: Mapping[str, Any], *, config: str | None, as_json: bool
) -> None:
    """Halos of a simulated universe: a 2LPT field, a mass function, bias, tidal axes."""
    settings, _ = resolve("halos simulate", given, config)
    _needed(settings, "boxsize", "out")
    with only_json(as_json):
        output.check_out(settings, suffixes=(".h5", ".hdf5"))
        from pysoftcorr.mocks import HaloCatalog

        names = [s.name for s in SETTINGS["halos simulate"] if s.group == _UNIVERSE]
        halos = HaloCatalog.simulate(**{name: settings[name] for name in names})
        halos.write(settings["out"], overwrite=settings["overwrite"])
        document = _halos(halos, settings, as_json, files=[settings["out"]])
    if as_json:
        print(json.dumps(document))


def info(paths: list[str], given: Mapping[str, Any], *, config: str | None, as_json: bool) -> None:
    """What a halo catalog holds, and its mass function beside theory."""
    settings, explicit = resolve("halos info", given, config)
    with only_json(as_json):
        if settings["plot"] is not None:
            output.check_folder(settings["plot"])
        halos = _read_halos(paths[0], settings, explicit)
        document = _halos(halos, settings, as_json, files=[])
    if as_json:
        print(json.dumps(document))


def mock(paths: list[str], given: Mapping[str, Any], *, config: str | None, as_json: bool) -> None:
    """Galaxies with intrinsic alignments in the halos of a catalog."""
    settings, explicit = resolve("mock", given, config)
    _needed(settings, "out")
    model = _model(settings, explicit)
    with only_json(as_json):
        output.check_out(settings, suffixes=(".h5", ".hdf5", ".fits", ".fits.gz"))
        halos = _read_halos(paths[0], settings, explicit)
        galaxies = model.populate(halos, seed=settings["seed"])
        galaxies.write(settings["out"], overwrite=settings["overwrite"])
        files: list[Any] = [settings["out"]]
        if not as_json:
            print(_galaxies_text(galaxies))
        if settings["plot"] is not None:
            from pysoftcorr import plots

            target = _folder(settings["plot"])
            figure = plots.plot_box_slice(galaxies, halos=halos).figure
            files.append(plots.save_figure(figure, target / "slice.png"))  # type: ignore[arg-type]
        wrote(files)
    if as_json:
        print(json.dumps({**_galaxies(galaxies), "halos": len(halos)}))


def boxcorr(
    paths: list[str], given: Mapping[str, Any], *, config: str | None, as_json: bool
) -> None:
    """xi, omega and eta of mock galaxies, of one halo and of two."""
    settings, _ = resolve("boxcorr", given, config)
    output.use_threads(settings["threads"])
    with only_json(as_json):
        output.check_out(settings, suffixes=(".ecsv",))
        from pysoftcorr.mocks import GalaxyCatalog, box_correlations, expected_correlations
        from pysoftcorr.mocks.box import radial_edges

        edges = radial_edges(settings["bins"])
        galaxies = GalaxyCatalog.read(paths[0])
        if not edges[-1] < galaxies.boxsize / 3:
            raise ValueError(
                f"--bins {settings['bins']}: r_max = {edges[-1]:g} Mpc/h must be below a third of "
                f"the box, {galaxies.boxsize / 3:g} Mpc/h; lower the last edge"
            )
        expected = None
        if settings["expected"]:
            strengths = _strengths(galaxies, paths[0])
            expected = expected_correlations(galaxies, **strengths, bins=edges)
        result = box_correlations(galaxies, bins=edges)
        files: list[Any] = []
        if settings["out"] is not None:
            result.write(settings["out"], overwrite=settings["overwrite"])
            files.append(settings["out"])
        if not as_json:
            print(_galaxies_text(galaxies), _table(result, expected), sep="\n\n")
        if settings["plot"] is not None:
            from pysoftcorr import plots

            target = _folder(settings["plot"])
            drawn = plots.plot_box_correlations(result, expected=expected)
            files.append(plots.save_figure(drawn, target / "correlations.png"))
            figure = plots.plot_box_slice(galaxies).figure
            files.append(plots.save_figure(figure, target / "slice.png"))  # type: ignore[arg-type]
        wrote(files)
    if as_json:
        document = {**result.to_dict(), "galaxies": _galaxies(galaxies)}
        document["expected"] = None if expected is None else _plain(expected)
        print(json.dumps(document))


# ---------------------------------------------------------------------- what goes in
def _needed(settings: Mapping[str, Any], *names: str) -> None:
    lacking = ["--" + name.replace("_", "-") for name in names if settings[name] is None]
    if lacking:
        raise ValueError(f"{' and '.join(lacking)}: must be given")


def _read_halos(path: str, settings: Mapping[str, Any], explicit: set[str]) -> HaloCatalog:
    from pysoftcorr.mocks import HaloCatalog

    options = {s.name: settings[s.name] for s in _READING if s.name in explicit}
    if "columns" in options:
        # Vectors are three columns, or one of shape (N, 3).
        options["columns"] = {
            field: tuple(text.split(",")) if field in ("position", "axis") and "," in text else text
            for field, text in options["columns"].items()
        }
    if options.get("axes"):
        options["seed"] = settings["seed"]
    return HaloCatalog.read(path, **options)


def _model(settings: Mapping[str, Any], explicit: set[str]) -> HODModel:
    from pysoftcorr.mocks import HODModel

    names = [s.name for s in SETTINGS["mock"] if s.group == _OCCUPATION and s.name != "preset"]
    chosen = {name: settings[name] for name in names if name in explicit}
    if settings["preset"] is not None:
        return HODModel.preset(settings["preset"]).with_parameters(**chosen)
    lacking = [n for n in ("logMmin", "sigma_logM", "logM0", "logM1", "alpha") if n not in chosen]
    if lacking:
        listed = ", ".join("--" + name.replace("_", "-") for name in lacking)
        raise ValueError(f"{listed}: must be given, or a --preset such as mstar10.5")
    return HODModel(**chosen)


def _strengths(galaxies: GalaxyCatalog, path: str) -> dict[str, float]:
    names = ("mu_cen", "mu_sat")
    if any(name not in galaxies.params for name in names):
        raise ValueError(f"--expected: {path} does not say the alignment strengths of its galaxies")
    return {
        **{name: float(galaxies.params[name]) for name in names},
        "gamma": float(galaxies.params.get("gamma", 0.0)),
    }


def _folder(path: str) -> Path:
    import matplotlib

    matplotlib.use("Agg")  # files alone: no display is needed
    target = Path(path).expanduser()
    target.mkdir(parents=True, exist_ok=True)
    return target


# ---------------------------------------------------------------------- what comes out
def _halos(
    halos: HaloCatalog, settings: Mapping[str, Any], as_json: bool, *, files: list[Any]
) -> dict[str, Any]:
    """Print the catalog and its mass function, draw them if asked; the JSON document."""
    from pysoftcorr.mocks.halo_statistics import mass_function

    table = mass_function(halos)
    if not as_json:
        print(halos.summary(), _mass_table(table), sep="\n\n", flush=True)
    if settings["plot"] is not None:
        target = _folder(settings["plot"])
        from pysoftcorr import plots

        figure = plots.plot_halo_statistics(halos)
        files.append(plots.save_figure(figure, target / "halos.png"))
        slab = plots.plot_box_slice(halos, halos=halos).figure
        files.append(plots.save_figure(slab, target / "halo_slice.png"))  # type: ignore[arg-type]
    wrote(files)
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
    return _aligned(titles, rows)


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


def _galaxies_text(galaxies: GalaxyCatalog) -> str:
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
        tables.append(_aligned(titles, list(zip(*values, strict=True))))
    return "\n\n".join(tables)


def _numbers(values: Any) -> list[str]:
    return ["-" if v != v else f"{v:.4g}" for v in values.tolist()]


def _counts(title: str, values: Any) -> tuple[str, list[str]]:
    return title, [str(v) for v in values.tolist()]


def _aligned(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    return "\n".join(
        "  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True))
        for row in (titles, *rows)
    )


def _plain(expected: ExpectedCorrelations) -> dict[str, Any]:
    """As plain values for JSON: NaN is None."""
    return {
        name: [None if v != v else v for v in value.tolist()] if hasattr(value, "tolist") else value
        for name, value in vars(expected).items()
    }
