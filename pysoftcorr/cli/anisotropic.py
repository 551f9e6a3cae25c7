"""The commands ``projected`` and ``multipoles``: correlations about a line of sight in a box."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pysoftcorr.cli import output
from pysoftcorr.cli.common import BINS, OVERWRITE, PLOT, THREADS, out
from pysoftcorr.cli.mocks import (
    BINS_MPC,
    READING_GALAXIES,
    combined,
    galaxies_text,
    read_galaxies,
)
from pysoftcorr.cli.options import Argument, Command, Option, derive
from pysoftcorr.core.text import aligned_rows

if TYPE_CHECKING:
    from pysoftcorr.mocks import GalaxyCatalog, Multipoles, ProjectedCorrelations

GALAXIES = Argument(
    "galaxies",
    "Galaxies of mock, or any table of positions and axes (--columns axis=none for positions "
    "alone). Several are realizations; the files of one catalog are a pattern in quotes.",
    many=True,
)
_PI_MAX = 40.0  # DEFAULT_PI_MAX, without its imports
_SPACE = (
    Option("redshift_space", bool, False, "Move galaxies by their velocities along the line of "
           "sight first."),
    *derive(
        "pysoftcorr.mocks.velocities:redshift_space", only=("redshift", "cosmology"),
        redshift={"help": "Redshift, where the galaxies do not say."},
        cosmology={"help": "Name of the cosmology, as colossus has it, where they do not say."},
    ),
)  # fmt: skip
_SIGHT = {"help": "Side of the box that is the line of sight."}


def projected(
    galaxies: str | list[str], *, settings: Mapping[str, Any], explicit: set[str], as_json: bool
) -> dict[str, Any]:
    """xi(rp, pi), wp and the projected alignments w_g+, w_++ of mock galaxies, or of any table.

    Several files are realizations: their mean, with the covariance of their scatter.
    """
    from pysoftcorr.mocks import projected_correlations

    options = {"pi_max": settings["pi_max"]} if "pi_max" in explicit else {}

    def measured(found: GalaxyCatalog) -> ProjectedCorrelations:
        return projected_correlations(
            found,
            rp_bins=settings["rp_bins"],
            pi_bins=_count_or_bins(settings["pi_bins"]),
            line_of_sight=settings["line_of_sight"],
            **options,
        )

    return _run("projected", galaxies, measured, settings, explicit, as_json)


def multipoles(
    galaxies: str | list[str], *, settings: Mapping[str, Any], explicit: set[str], as_json: bool
) -> dict[str, Any]:
    """Multipoles of xi and of the alignments of mock galaxies, or of any table.

    Several files are realizations: their mean, with the covariance of their scatter.
    """
    from pysoftcorr.mocks import multipoles as of_galaxies

    def measured(found: GalaxyCatalog) -> Multipoles:
        return of_galaxies(
            found,
            bins=settings["bins"],
            mu_bins=settings["mu_bins"],
            line_of_sight=settings["line_of_sight"],
        )

    return _run("multipoles", galaxies, measured, settings, explicit, as_json)


def _galaxies(path: str, settings: Mapping[str, Any], explicit: set[str]) -> GalaxyCatalog:
    """Galaxies of a file, in redshift space where that is asked for."""
    from pysoftcorr.mocks import redshift_space

    found = read_galaxies(path, settings, explicit)
    if not settings["redshift_space"]:
        return found
    return redshift_space(
        found,
        line_of_sight=settings["line_of_sight"],
        redshift=settings["redshift"],
        cosmology=settings["cosmology"],
    )


def _count_or_bins(text: str | None) -> int | str | None:
    return int(text) if text is not None and text.isdecimal() else text


def _run(
    name: str,
    galaxies: str | list[str],
    measured: Callable[[GalaxyCatalog], Any],
    settings: Mapping[str, Any],
    explicit: set[str],
    as_json: bool,
) -> dict[str, Any]:
    """Measure every file, combine several, and give out what was found."""
    output.use_threads(settings["threads"])
    output.check_out(settings, suffixes=(".ecsv",))
    given = {option for option in ("redshift", "cosmology") if option in explicit}
    if given and not settings["redshift_space"]:
        raise ValueError(f"--{min(given)}: has no meaning without --redshift-space")
    paths = [galaxies] if isinstance(galaxies, str) else galaxies
    twice = {path for path in paths if paths.count(path) > 1}
    if twice:
        raise ValueError(f"GALAXIES: {min(twice)} is given twice; each file is a realization")
    first = _galaxies(paths[0], settings, explicit)
    results = [measured(first)]
    results += [measured(_galaxies(path, settings, explicit)) for path in paths[1:]]
    result = results[0]
    if len(results) > 1:
        result = combined(lambda: type(results[0]).combine(results), paths)
    files: list[Any] = []
    if settings["out"] is not None:
        result.write(settings["out"], overwrite=settings["overwrite"])
        files.append(settings["out"])
    if not as_json:
        head = galaxies_text(first) if len(paths) == 1 else f"mean of {len(paths)} boxes"
        print(head, _table(result), sep="\n\n", flush=True)
    files += output.draw(
        settings, lambda plots: {name: result.plot, "slice": lambda: plots.plot_box_slice(first)}
    )
    output.wrote(files)
    return dict(result.to_dict())


def _table(result: ProjectedCorrelations | Multipoles) -> str:
    """One line a bin of rp, or s: what follows from all bins of the other coordinate."""
    table, errors = result.to_table(), result.errors
    coordinate = table.colnames[2]
    titles = ["bin [Mpc/h]", coordinate, "pairs"]
    for name in result.statistics:
        titles += [name, "+-"] if name in errors else [name]
    rows = [titles]
    for k, pairs in enumerate(result.npairs.sum(axis=1).tolist()):
        row = [f"{result.edges[k]:.4g} to {result.edges[k + 1]:.4g}",
               _number(result.separation[k]), str(pairs)]  # fmt: skip
        for name in result.statistics:
            row.append(_number(getattr(result, name)[k]))
            if name in errors:
                row.append(_number(errors[name][k], 2))
        rows.append(row)
    said = aligned_rows(rows)
    if errors:
        boxes = result.settings["boxes"]
        said += (
            f"\n+- is the error of the mean of {boxes} boxes, by their scatter; that of one box is "
            f"{boxes**0.5:.3g} times as large"
        )
    return said


def _number(value: float, digits: int = 4) -> str:
    return "-" if value != value else f"{value:.{digits}g}"


_SHARED = (
    *READING_GALAXIES,
    *derive(
        "pysoftcorr.mocks.anisotropic:projected_correlations", only=("line_of_sight",),
        line_of_sight=_SIGHT,
    ),
    *_SPACE,
    THREADS,
    out("Write the result: .ecsv."),
    OVERWRITE,
    *PLOT,
)  # fmt: skip

COMMANDS: dict[str, Any] = {
    "projected": Command(
        projected,
        (GALAXIES,),
        (
            *derive(
                "pysoftcorr.mocks.anisotropic:projected_correlations",
                only=("rp_bins", "pi_max", "pi_bins"),
                rp_bins={"default": "log:0.1:16:20", "help": f"Bins of rp in Mpc/h: {BINS}"},
                pi_max={"default": _PI_MAX, "help": "Largest |pi| in Mpc/h."},
                pi_bins={"kind": str, "metavar": "N|BINS", "help": "Number of even bins of |pi| up "
                         "to --pi-max, about 1 Mpc/h each by default, or their edges as of "
                         "--rp-bins, from 0."},
            ),
            *_SHARED,
        ),
    ),
    "multipoles": Command(
        multipoles,
        (GALAXIES,),
        (
            *derive(
                "pysoftcorr.mocks.anisotropic:multipoles",
                only=("bins", "mu_bins"),
                bins={**BINS_MPC, "help": f"Bins of s in Mpc/h: {BINS}"},
                mu_bins={"kind": int, "least": 1, "help": "Number of even bins of |mu|."},
            ),
            *_SHARED,
        ),
    ),
}  # fmt: skip
