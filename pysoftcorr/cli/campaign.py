"""The command ``campaign``: correlations over the training design."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pysoftcorr.cli import mocks, output
from pysoftcorr.cli.messages import say
from pysoftcorr.cli.output import only_json, wrote
from pysoftcorr.cli.settings import Setting, resolve

_DESIGN, _MACHINES, _OUTPUT = "Design", "Machines", "Output"
_OWN = (
    Setting("points", int, None, "Points of the design; needed.", _DESIGN, least=1),
    Setting("realizations", int, None, "Catalogs for each point; needed.", _DESIGN, least=1),
    Setting("seed", int, None, "Seed of everything random; by default a new one, or that of the "
            "unfinished campaign.", _DESIGN, least=0),
    Setting("sampling", str, "sobol", "How the points fill the space.", _DESIGN,
            choices=("sobol", "random")),
    Setting("logmmin", str, "11:15", "Range of log Mmin in the design.", _DESIGN,
            metavar="LO:HI"),
    Setting("bins", str, "log:0.1:16:20", "Bins of r in Mpc/h: linear:LO:HI:N, log:LO:HI:N "
            "or edges:E0,E1,...", _DESIGN, metavar="BINS"),
    Setting("modulate", bool, False, "Multiply the mean number of satellites by that of "
            "central galaxies.", _DESIGN),
    Setting("workers", int, None, "Processes on this machine; one a core by default.", _MACHINES,
            least=1),
    Setting("scheduler", str, None, "A running dask scheduler instead, as tcp://host:8786.",
            _MACHINES, metavar="ADDRESS"),
    Setting("out", str, None, "Write the campaign: .h5; needed. The same command goes on with an "
            "unfinished one.", _OUTPUT, metavar="FILE"),
    Setting("overwrite", bool, False, "Replace a campaign of other settings.", _OUTPUT),
)  # fmt: skip
_TAKEN = {setting.name for setting in _OWN}
SETTINGS = {"campaign": (*_OWN, *(s for s in mocks._READING if s.name not in _TAKEN))}


def campaign(
    paths: list[str], given: Mapping[str, Any], *, config: str | None, as_json: bool
) -> None:
    """xi, omega and eta over the training design of an emulator, on every core or a cluster."""
    settings, explicit = resolve("campaign", given, config)
    mocks._needed(settings, "points", "realizations", "out")
    with only_json(as_json):
        output.check_out({**settings, "plot": None, "overwrite": True}, suffixes=(".h5", ".hdf5"))
        from pysoftcorr.mocks import run_campaign

        halos = mocks._read_halos(paths[0], settings, explicit)
        span = _range(settings["logmmin"])
        names = ("points", "realizations", "bins", "seed", "sampling", "modulate", "workers",
                 "scheduler", "out", "overwrite", "cosmology")  # fmt: skip
        try:
            made = run_campaign(halos, logMmin=span, **{n: settings[n] for n in names})
        except KeyboardInterrupt as interrupt:
            say("interrupted", str(interrupt) or "nothing was done")
            raise SystemExit(130) from None
        if not as_json:
            print(made.summary())
        wrote([made.path])
    if as_json:
        print(json.dumps(made.to_dict()))


def _range(text: str) -> tuple[float, float]:
    try:
        low, high = (float(part) for part in text.split(":"))
    except ValueError:
        raise ValueError(f"--logmmin {text}: must be LO:HI, as 11:15") from None
    return low, high
