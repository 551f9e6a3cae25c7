"""The command ``universes``: a campaign of universes for an emulator of cosmology and redshift."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pysoftcorr.cli import output
from pysoftcorr.cli.common import out
from pysoftcorr.cli.mocks import BINS_MPC
from pysoftcorr.cli.options import Command, Option, derive, needed

_DESIGN = derive(
    "pysoftcorr.mocks.universes.run:run_universes",
    only=("universes", "points", "seed", "boxsize", "mesh", "mmin", "satellites", "places",
          "chance_points", "sites", "bins", "workers", "scheduler"),
    universes={"least": 1, "help": "Points of the design in Omega_m, sigma_8 and z; a power of two "
               "makes it a Latin hypercube."},
    points={"least": 1, "help": "HODs in each universe."},
    seed={"least": 0, "help": "Seed of everything random; by default a new one, or that of the "
          "unfinished campaign."},
    boxsize={"help": "Side of each box, Mpc/h."},
    mesh={"help": "Cells of the density field along a side."},
    mmin={"help": "Lightest halos, Msun/h."},
    chance_points={"least": 1, "help": "HODs of each universe where the covariance given the halos "
                   "is found."},
    satellites={"choices": ("triaxial", "nfw"), "help": "Where satellites live: in the ellipsoids "
                "of halos, or in spheres."},
    places={"least": 3, "help": "Places of satellites in a halo on average, in ellipsoids."},
    sites={"help": "Halos that stand for the others in that covariance."},
    bins=BINS_MPC,
    workers={"least": 1, "help": "Processes on this machine; one a core by default."},
    scheduler={"metavar": "ADDRESS", "help": "A running dask scheduler instead, as "
               "tcp://host:8786."},
)  # fmt: skip


def universes(*, settings: Mapping[str, Any], explicit: set[str], as_json: bool) -> dict[str, Any]:
    """Simulate and tabulate many universes, and ask each for xi, omega and eta at many HODs."""
    needed(settings, "out")
    from pysoftcorr.core.files import HDF5

    no_figures = {"plot": None, "plot_format": None}
    output.check_out({**settings, **no_figures, "overwrite": True}, suffixes=HDF5)
    from pysoftcorr.mocks import run_universes

    made = run_universes(
        logMmin=_pair("logMmin", settings["logMmin"]),
        thinned=_pair("thinned", settings["thinned"]),
        **{name: settings[name] for name in (*(o.name for o in _DESIGN), "out", "overwrite")},
    )
    if not as_json:
        print(made.summary())
    output.wrote([made.path])
    return made.to_dict()


def _pair(name: str, text: str) -> tuple[float, float]:
    try:
        first, second = (float(part) for part in text.split(":"))
    except ValueError:
        shape = "LO:HI, as 11:14" if name == "logMmin" else "MASS:PART, as 1e12:0.05"
        raise ValueError(f"{name} = {text}: must be {shape}") from None
    return first, second


COMMANDS = {
    "universes": Command(
        universes,
        options=(
            *_DESIGN,
            Option("logMmin", str, "11:14", "Range of log Mmin in the HODs.",
                   metavar="LO:HI"),
            Option("thinned", str, "1e12:0.05", "Below this mass (Msun/h) only this part of the "
                   "halos is made, and counts for all.", metavar="MASS:PART"),
            out("Write the campaign: .h5; needed. The same command resumes an unfinished one."),
            Option("overwrite", bool, False, "Replace a campaign of other settings."),
        ),
    ),
}  # fmt: skip
