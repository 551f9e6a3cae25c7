"""The commands ``projected`` and ``multipoles``: correlations about a line of sight in a box."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pysoftcorr.cli import output
from pysoftcorr.cli.common import BINS, OVERWRITE, PLOT, THREADS, out
from pysoftcorr.cli.mocks import BINS_MPC, GALAXIES, READING_GALAXIES, galaxies_text, read_galaxies
from pysoftcorr.cli.options import Command, Option, derive
from pysoftcorr.core.text import aligned_rows

if TYPE_CHECKING:
    from pysoftcorr.mocks import GalaxyCatalog, Multipoles, ProjectedCorrelations

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
    galaxies: str, *, settings: Mapping[str, Any], explicit: set[str], as_json: bool
) -> dict[str, Any]:
    """xi(rp, pi), wp and the projected alignments w_g+, w_++ of mock galaxies, or of any table."""
    from pysoftcorr.mocks import projected_correlations

    found = _galaxies(galaxies, settings, explicit)
    options = {"pi_max": settings["pi_max"]} if "pi_max" in explicit else {}
    result = projected_correlations(
        found,
        rp_bins=settings["rp_bins"],
        pi_bins=_count_or_bins(settings["pi_bins"]),
        line_of_sight=settings["line_of_sight"],
        **options,
    )
    return _done(found, result, settings, as_json, "projected")


def multipoles(
    galaxies: str, *, settings: Mapping[str, Any], explicit: set[str], as_json: bool
) -> dict[str, Any]:
    """Multipoles of xi and of the alignments of mock galaxies, or of any table."""
    from pysoftcorr.mocks import multipoles as measured

    found = _galaxies(galaxies, settings, explicit)
    result = measured(
        found,
        bins=settings["bins"],
        mu_bins=settings["mu_bins"],
        line_of_sight=settings["line_of_sight"],
    )
    return _done(found, result, settings, as_json, "multipoles")


def _galaxies(path: str, settings: Mapping[str, Any], explicit: set[str]) -> GalaxyCatalog:
    """Galaxies of a file, in redshift space where that is asked for."""
    output.use_threads(settings["threads"])
    output.check_out(settings, suffixes=(".ecsv",))
    from pysoftcorr.mocks import redshift_space

    given = {name for name in ("redshift", "cosmology") if name in explicit}
    if given and not settings["redshift_space"]:
        raise ValueError(f"--{min(given)}: has no meaning without --redshift-space")
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


def _done(
    galaxies: GalaxyCatalog,
    result: ProjectedCorrelations | Multipoles,
    settings: Mapping[str, Any],
    as_json: bool,
    name: str,
) -> dict[str, Any]:
    files: list[Any] = []
    if settings["out"] is not None:
        result.write(settings["out"], overwrite=settings["overwrite"])
        files.append(settings["out"])
    if not as_json:
        print(galaxies_text(galaxies), _table(result), sep="\n\n", flush=True)
    files += output.draw(
        settings,
        lambda plots: {
            name: result.plot,
            "slice": lambda: plots.plot_box_slice(galaxies),
        },
    )
    output.wrote(files)
    return result.to_dict()


def _table(result: ProjectedCorrelations | Multipoles) -> str:
    """One line a bin of rp, or s: what follows from all bins of the other coordinate."""
    shapes = ("g", "i") if result.has_shapes else ()
    table = result.to_table()
    coordinate = table.colnames[2]
    names = [n for n in result.derived if n == "wp" or n.startswith(("xi", "w_", *shapes))]
    if not shapes:
        names = [n for n in names if not n.startswith("w_")]
    rows = [["bin [Mpc/h]", coordinate, "pairs", *names]]
    for k, pairs in enumerate(result.npairs.sum(axis=1).tolist()):
        low, high = result.edges[k], result.edges[k + 1]
        values = [float(table[n][k]) for n in (coordinate, *names)]
        shown = ["-" if v != v else f"{v:.4g}" for v in values]
        rows.append([f"{low:.4g} to {high:.4g}", shown[0], str(pairs), *shown[1:]])
    return aligned_rows(rows)


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
