"""The command ``diffhod``: an HOD, or alignment strengths, recovered through the catalog."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pysoftcorr.cli import emulator, mocks, output
from pysoftcorr.cli.common import out
from pysoftcorr.cli.options import Command, Option, derive, needed

# Defaults are those of the preset, which the help names: with None here, it stays.
_SETTINGS = derive(
    "pysoftcorr.diffhod.experiments.settings:PowerSettings",
    only=("covariance", "seed", "galaxies", "density", "tau", "mesh", "k_max", "modulate",
          "realizations", "calibration", "chains", "warmup", "draws", "target_accept", "walkers",
          "walker_warmup", "walker_draws", "device"),
    covariance={"default": None, "least": 4,
                "help": "Realizations of the covariance [default: 100]."},
    seed={"default": 1, "least": 0, "help": "Seed of everything random."},
    galaxies={"default": None, "help": "Galaxies of DiffHOD: points drawn once and weighted, or "
              "relaxed trials; power alone [default: reweighted]."},
    density={"default": None, "help": "Reweighted points for each galaxy [default: 16]."},
    tau={"default": None, "help": "Temperature of relaxed trials [default: 0.3; omega: 0.1]."},
    mesh={"default": None, "least": 4, "help": "Cells along a side [default: 32; paper: 64]."},
    k_max={"default": None, "help": "Largest wavenumber, h/Mpc [default: 1]."},
    modulate={"default": None, "help": "Multiply the mean number of satellites by that of central "
              "galaxies."},
    realizations={"default": None, "least": 1, "help": "Sets of fixed random numbers that the "
                  "exact HOD and relaxed trials average over [default: 4; paper: 16; omega: 12]."},
    calibration={"default": None, "least": 0, "help": "Points at which the bias of these is "
                 "measured; 0: it stays [default: 150; paper: 2000]."},
    chains={"default": None, "least": 1, "help": "Chains of NUTS [default: 3]."},
    warmup={"default": None, "least": 1, "help": "Draws of warm-up of each [default: 100; paper: "
            "300; omega: 60]."},
    draws={"default": None, "least": 1, "help": "Draws of each after it [default: 120; paper: "
           "700; omega: 300]."},
    target_accept={"default": None, "help": "Acceptance that the step size aims at [default: "
                   "0.97]."},
    walkers={"default": None, "least": 1, "help": "Walkers of emcee [default: 10]."},
    walker_warmup={"default": None, "least": 0, "help": "Draws of warm-up of each [default: 100; "
                   "paper: 1000]."},
    walker_draws={"default": None, "least": 1, "help": "Draws of each after it [default: 400; "
                  "paper: 5000]."},
    device={"default": None, "help": "Where DiffHOD computes P(k): cpu or cuda; power alone "
            "[default: cpu]."},
)  # fmt: skip
_RUN = derive(
    "pysoftcorr.diffhod.experiments.power:run_power_experiment",
    only=("emcee", "noise_sets", "workers", "overwrite"),
    emcee={"help": "Run emcee on the exact HOD, too."},
    noise_sets={"least": 0, "help": "Other sets to repeat NUTS with, to see what they do to it."},
    workers={"default": None, "least": 1, "help": "Processes; one a core by default."},
    overwrite={"help": "Restart, whatever the folder holds of an earlier run."},
)
_DATA = (
    Option("statistic", str, "power", "Recover the HOD from P(k), or the alignment strengths "
           "from omega(r).", choices=("power", "omega")),
    Option("preset", str, "small", "Settings: a small run, or chains as in the paper; options "
           "change them.", choices=("small", "paper")),
    Option("logMmin", float, None, "Of the mock data [default: 12.02; omega: 12.54]."),
    Option("sigma_logM", float, None, "Of the mock data [default: 0.26]."),
    Option("logM0", float, None, "Of the mock data [default: 11.38; omega: 12.68]."),
    Option("logM1", float, None, "Of the mock data [default: 13.31; omega: 13.48]."),
    Option("alpha", float, None, "Of the mock data [default: 1.06; omega: 1]."),
    Option("mu_cen", float, None, "Of the mock data; omega alone [default: 0.78]."),
    Option("mu_sat", float, None, "Of the mock data; omega alone [default: 0.33]."),
    Option("model", str, None, "Recover strengths by this emulator, or these tables, of satellites "
           "in spheres as well; omega alone.", metavar="FILE"),
)  # fmt: skip
_OWN = (
    *_DATA,
    *_SETTINGS,
    *_RUN,
    out("Folder of chains, posteriors, tables and figures; needed. The same command resumes "
              "an unfinished run.", "DIR"),
)  # fmt: skip
_TAKEN = {option.name for option in _OWN}
_POWER = tuple(o.name for o in _SETTINGS if o.name != "seed")
_OMEGA = ("mu_cen", "mu_sat", "tau", "realizations", "covariance", "chains", "warmup", "draws")
_MODEL = "model"
# Of P(k) alone, though they have a default for both.
_POWER_RUN = {"preset", "emcee", "noise_sets", "workers"}


def diffhod(
    halos: str | list[str], *, settings: Mapping[str, Any], explicit: set[str], as_json: bool
) -> dict[str, Any]:
    """Recover an HOD through its differentiable catalog: NUTS beside emcee."""
    needed(settings, "out")
    omega = settings["statistic"] == "omega"
    named = [n for n in (*mocks.HOD, *_POWER, "mu_cen", "mu_sat") if settings[n] is not None]
    foreign = [n for n in named if n not in mocks.HOD and n not in (_OMEGA if omega else _POWER)]
    if omega:
        foreign += sorted(_POWER_RUN & explicit)
    else:
        foreign += [_MODEL] if settings[_MODEL] is not None else []
        relaxed = settings["galaxies"] == "relaxed"
        other = "density" if relaxed else "tau"
        if settings[other] is not None:
            raise ValueError(
                f"--{other}: has no meaning with --galaxies "
                f"{'relaxed' if relaxed else 'reweighted'}"
            )
    if foreign:
        raise ValueError(
            f"--{foreign[0].replace('_', '-')}: has no meaning with --statistic "
            f"{settings['statistic']}"
        )
    output.check_folder(settings["out"])
    from pysoftcorr.core.extras import need

    need("torch", "DiffHOD")
    found = mocks.read_halos(halos, settings, explicit)
    run = _strengths if omega else _power
    document, files = run(found, settings, as_json)
    output.wrote(files)
    return document


def _tell(text: str) -> None:
    from pysoftcorr.cli.messages import say

    say("diffhod", text)


def _power(halos: Any, settings: Mapping[str, Any], as_json: bool) -> tuple[Any, list[Any]]:
    from dataclasses import replace

    from pysoftcorr.diffhod.experiments.power import run_power_experiment
    from pysoftcorr.diffhod.experiments.settings import FIDUCIAL, PowerSettings

    changes = {n: settings[n] for n in _POWER if settings[n] is not None}
    fiducial = [
        f if settings[n] is None else settings[n] for n, f in zip(mocks.HOD, FIDUCIAL, strict=True)
    ]
    made = run_power_experiment(
        halos, settings["out"],
        settings=replace(
            PowerSettings.preset(settings["preset"]), fiducial=tuple(fiducial),
            seed=settings["seed"], **changes,
        ),
        workers=settings["workers"], emcee=settings["emcee"], noise_sets=settings["noise_sets"],
        overwrite=settings["overwrite"], tell=_tell,
    )  # fmt: skip
    if not as_json:
        print(made.summary())
    from pysoftcorr import plots

    figures = {"posteriors": lambda: plots.plot_diffhod_posteriors(made)}
    return made.to_dict(), [*made.files, *output.save(figures, settings["out"])]


def _strengths(halos: Any, settings: Mapping[str, Any], as_json: bool) -> tuple[Any, list[Any]]:
    from pysoftcorr.diffhod.experiments.strengths import StrengthSettings, run_strength_experiment

    changes = {n: settings[n] for n in _OMEGA if settings[n] is not None}
    hod = [
        f if settings[n] is None else settings[n]
        for n, f in zip(mocks.HOD, StrengthSettings().hod, strict=True)
    ]
    made = run_strength_experiment(
        halos, settings["out"],
        settings=StrengthSettings(hod=tuple(hod), seed=settings["seed"], **changes),
        model=None if settings[_MODEL] is None else emulator.load(settings[_MODEL]),
        overwrite=settings["overwrite"], tell=_tell,
    )  # fmt: skip
    if not as_json:
        print(made.summary())
    from pysoftcorr import plots

    figures = {"strengths": lambda: plots.plot_strengths(made)}
    return made.to_dict(), [*made.files, *output.save(figures, settings["out"])]


COMMANDS = {
    "diffhod": Command(
        diffhod, (mocks.HALOS,), (*_OWN, *(o for o in mocks.READING if o.name not in _TAKEN))
    )
}
