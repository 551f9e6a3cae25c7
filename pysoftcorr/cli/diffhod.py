"""The command ``diffhod``: an HOD, or alignment strengths, recovered through the catalog."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pysoftcorr.cli import mocks, output
from pysoftcorr.cli.output import only_json, wrote
from pysoftcorr.cli.settings import Setting, resolve

_DATA, _MODEL, _SAMPLERS, _OUTPUT = "Mock data", "Models", "Samplers", "Output"


def _whole(name: str, text: str, least: int = 1) -> Setting:
    return Setting(name, int, None, text, _SAMPLERS, least=least)


_OWN = (
    Setting("statistic", str, "power", "Recover the HOD from P(k), or the alignment strengths "
            "from omega(r).", _DATA, choices=("power", "omega")),
    Setting("preset", str, "small", "Settings: a small run, or chains as in the paper; options "
            "change them.", _DATA, choices=("small", "paper")),
    Setting("logMmin", float, None, "Of the mock data [default: 12.02; omega: 12.54].", _DATA),
    Setting("sigma_logM", float, None, "Of the mock data [default: 0.26].", _DATA),
    Setting("logM0", float, None, "Of the mock data [default: 11.38; omega: 12.68].", _DATA),
    Setting("logM1", float, None, "Of the mock data [default: 13.31; omega: 13.48].", _DATA),
    Setting("alpha", float, None, "Of the mock data [default: 1.06; omega: 1].", _DATA),
    Setting("mu_cen", float, None, "Of the mock data; omega alone [default: 0.78].", _DATA),
    Setting("mu_sat", float, None, "Of the mock data; omega alone [default: 0.33].", _DATA),
    Setting("covariance", int, None, "Realizations of the covariance [default: 100].", _DATA,
            least=4),
    Setting("seed", int, 1, "Seed of everything random.", _DATA, least=0),
    Setting("galaxies", str, None, "Galaxies of DiffHOD: points drawn once and weighted, or "
            "relaxed trials; power alone [default: reweighted].", _MODEL,
            choices=("reweighted", "relaxed")),
    Setting("density", float, None, "Reweighted points for each galaxy [default: 16].", _MODEL),
    Setting("tau", float, None, "Temperature of relaxed trials [default: 0.3; omega: 0.1].",
            _MODEL),
    Setting("mesh", int, None, "Cells along a side [default: 32; paper: 64].", _MODEL, least=4),
    Setting("k_max", float, None, "Largest wavenumber, h/Mpc [default: 1].", _MODEL),
    Setting("modulate", bool, None, "Multiply the mean number of satellites by that of central "
            "galaxies.", _MODEL),
    Setting("realizations", int, None, "Sets of fixed random numbers that the exact HOD and "
            "relaxed trials average over [default: 4; paper: 16; omega: 12].", _MODEL, least=1),
    Setting("calibration", int, None, "Points at which the bias of these is measured; 0: it stays "
            "[default: 150; paper: 2000].", _MODEL, least=0),
    Setting("noise_sets", int, 0, "Other sets to repeat NUTS with, to see what they do to it.",
            _MODEL, least=0),
    _whole("chains", "Chains of NUTS [default: 3]."),
    _whole("warmup", "Draws of warm-up of each [default: 100; paper: 300; omega: 60]."),
    _whole("draws", "Draws of each after it [default: 120; paper: 700; omega: 300]."),
    Setting("target_accept", float, None, "Acceptance that the step size aims at [default: 0.97].",
            _SAMPLERS),
    Setting("emcee", bool, True, "Run emcee on the exact HOD, too.", _SAMPLERS),
    _whole("walkers", "Walkers of emcee [default: 10]."),
    _whole("walker_warmup", "Draws of warm-up of each [default: 100; paper: 1000].", 0),
    _whole("walker_draws", "Draws of each after it [default: 400; paper: 5000]."),
    Setting("device", str, None, "Where DiffHOD computes P(k): cpu or cuda; power alone [default: "
            "cpu].", _OUTPUT),
    Setting("workers", int, None, "Processes; one a core by default.", _OUTPUT, least=1),
    Setting("out", str, None, "Folder of chains, posteriors, tables and figures; needed. The same "
            "command resumes an unfinished run.", _OUTPUT, metavar="DIR"),
    Setting("overwrite", bool, False, "Restart, whatever the folder holds of an earlier run.",
            _OUTPUT),
)  # fmt: skip
_TAKEN = {setting.name for setting in _OWN}
SETTINGS = {"diffhod": (*_OWN, *(s for s in mocks._READING if s.name not in _TAKEN))}
_HOD = ("logMmin", "sigma_logM", "logM0", "logM1", "alpha")
_POWER = ("galaxies", "density", "tau", "modulate", "mesh", "k_max", "realizations", "calibration",
          "covariance", "chains", "warmup", "draws", "target_accept", "walkers", "walker_warmup",
          "walker_draws", "device")  # fmt: skip
_OMEGA = ("mu_cen", "mu_sat", "tau", "realizations", "covariance", "chains", "warmup", "draws")
# Of P(k) alone, though they have a default for both.
_POWER_RUN = {"preset", "emcee", "noise_sets", "workers"}


def diffhod(
    paths: list[str], given: Mapping[str, Any], *, config: str | None, as_json: bool
) -> None:
    """Recover an HOD through its differentiable catalog: NUTS beside emcee."""
    settings, explicit = resolve("diffhod", given, config)
    mocks._needed(settings, "out")
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
    with only_json(as_json):
        output.check_folder(settings["out"])
        halos = mocks._read_halos(paths[0], settings, explicit)
        run = _strengths if omega else _power
        document, files = run(halos, settings, as_json)
        wrote(files)
    if as_json:
        print(json.dumps(document))


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
    folder = mocks._folder(settings["out"])
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
    folder = mocks._folder(settings["out"])
    from pysoftcorr import plots

    figure = plots.save_figure(plots.plot_strengths(made), folder / "strengths.png")
    return made.to_dict(), [*made.files, figure]
