"""The command ``diffhod``: an HOD, or alignment strengths, recovered through the catalog."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pysoftcorr.cli import mocks, output
from pysoftcorr.cli.options import Command, Option, needed


def _whole(name: str, text: str, least: int = 1) -> Option:
    return Option(name, int, None, text, least=least)


_OWN = (
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
    Option("covariance", int, None, "Realizations of the covariance [default: 100].",
            least=4),
    Option("seed", int, 1, "Seed of everything random.", least=0),
    Option("galaxies", str, None, "Galaxies of DiffHOD: points drawn once and weighted, or "
            "relaxed trials; power alone [default: reweighted].",
            choices=("reweighted", "relaxed")),
    Option("density", float, None, "Reweighted points for each galaxy [default: 16]."),
    Option("tau", float, None, "Temperature of relaxed trials [default: 0.3; omega: 0.1]."),
    Option("mesh", int, None, "Cells along a side [default: 32; paper: 64].", least=4),
    Option("k_max", float, None, "Largest wavenumber, h/Mpc [default: 1]."),
    Option("modulate", bool, None, "Multiply the mean number of satellites by that of central "
            "galaxies."),
    Option("realizations", int, None, "Sets of fixed random numbers that the exact HOD and "
            "relaxed trials average over [default: 4; paper: 16; omega: 12].", least=1),
    Option("calibration", int, None, "Points at which the bias of these is measured; 0: it stays "
            "[default: 150; paper: 2000].", least=0),
    Option("noise_sets", int, 0, "Other sets to repeat NUTS with, to see what they do to it.",
            least=0),
    _whole("chains", "Chains of NUTS [default: 3]."),
    _whole("warmup", "Draws of warm-up of each [default: 100; paper: 300; omega: 60]."),
    _whole("draws", "Draws of each after it [default: 120; paper: 700; omega: 300]."),
    Option("target_accept", float, None, "Acceptance that the step size aims at [default: 0.97]."),
    Option("emcee", bool, True, "Run emcee on the exact HOD, too."),
    _whole("walkers", "Walkers of emcee [default: 10]."),
    _whole("walker_warmup", "Draws of warm-up of each [default: 100; paper: 1000].", 0),
    _whole("walker_draws", "Draws of each after it [default: 400; paper: 5000]."),
    Option("device", str, None, "Where DiffHOD computes P(k): cpu or cuda; power alone [default: "
            "cpu]."),
    Option("workers", int, None, "Processes; one a core by default.", least=1),
    Option("out", str, None, "Folder of chains, posteriors, tables and figures; needed. The same "
            "command resumes an unfinished run.", metavar="DIR"),
    Option("overwrite", bool, False, "Restart, whatever the folder holds of an earlier run."),
)  # fmt: skip
_TAKEN = {option.name for option in _OWN}
_HOD = ("logMmin", "sigma_logM", "logM0", "logM1", "alpha")
_POWER = ("galaxies", "density", "tau", "modulate", "mesh", "k_max", "realizations", "calibration",
          "covariance", "chains", "warmup", "draws", "target_accept", "walkers", "walker_warmup",
          "walker_draws", "device")  # fmt: skip
_OMEGA = ("mu_cen", "mu_sat", "tau", "realizations", "covariance", "chains", "warmup", "draws")
# Of P(k) alone, though they have a default for both.
_POWER_RUN = {"preset", "emcee", "noise_sets", "workers"}


def diffhod(
    halos: str, *, settings: Mapping[str, Any], explicit: set[str], as_json: bool
) -> dict[str, Any]:
    """Recover an HOD through its differentiable catalog: NUTS beside emcee."""
    needed(settings, "out")
    omega = settings["statistic"] == "omega"
    named = [n for n in (*_HOD, *_POWER, "mu_cen", "mu_sat") if settings[n] is not None]
    foreign = [n for n in named if n not in _HOD and n not in (_OMEGA if omega else _POWER)]
    if omega:
        foreign += sorted(_POWER_RUN & explicit)
    else:
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
        f if settings[n] is None else settings[n] for n, f in zip(_HOD, FIDUCIAL, strict=True)
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
    folder = output.figures_folder(settings["out"])
    from pysoftcorr import plots

    figure = plots.save_figure(plots.plot_diffhod_posteriors(made), folder / "posteriors.png")
    return made.to_dict(), [*made.files, figure]


def _strengths(halos: Any, settings: Mapping[str, Any], as_json: bool) -> tuple[Any, list[Any]]:
    from pysoftcorr.diffhod.experiments.strengths import StrengthSettings, run_strength_experiment

    changes = {n: settings[n] for n in _OMEGA if settings[n] is not None}
    hod = [
        f if settings[n] is None else settings[n]
        for n, f in zip(_HOD, StrengthSettings().hod, strict=True)
    ]
    made = run_strength_experiment(
        halos, settings["out"],
        settings=StrengthSettings(hod=tuple(hod), seed=settings["seed"], **changes),
        overwrite=settings["overwrite"], tell=_tell,
    )  # fmt: skip
    if not as_json:
        print(made.summary())
    folder = output.figures_folder(settings["out"])
    from pysoftcorr import plots

    figure = plots.save_figure(plots.plot_strengths(made), folder / "strengths.png")
    return made.to_dict(), [*made.files, figure]


COMMANDS = {
    "diffhod": Command(
        diffhod, (mocks.HALOS,), (*_OWN, *(o for o in mocks.READING if o.name not in _TAKEN))
    )
}
