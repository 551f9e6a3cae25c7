"""The commands ``posterior`` and ``minimize``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pysoftcorr.cli import mocks, output
from pysoftcorr.cli.common import OVERWRITE, PLOT, out
from pysoftcorr.cli.emulator import load
from pysoftcorr.cli.options import Command, Option, derive

_PROBLEM = derive(
    "pysoftcorr.inference.density:LogPosterior",
    only=("free", "fixed", "priors", "noise", "likelihood", "epistemic", "jitter", "on_outside"),
    free={"kind": str, "default": "mu_cen,mu_sat", "metavar": "NAMES",
          "help": "Parameters to infer."},
    fixed={"kind": dict, "default": {}, "metavar": "NAME=VALUE",
           "help": "Value of a parameter; may be given several times."},
    priors={"name": "prior", "default": {}, "metavar": "NAME=PRIOR", "help": "Prior of a "
            "parameter: uniform:LO:HI, normal:MEAN:SD or truncated:MEAN:SD:LO:HI; by default "
            "uniform within the bounds of the emulator."},
    noise={"choices": ("auto", "data", "emulator", "model", "both"), "help": "Covariance: of the "
           "data, of one simulated box as the emulator has it, of tables of halos, or of the data "
           "and the other; auto: of the data where they bring one."},
    likelihood={"choices": ("auto", "gaussian", "hartlap", "sellentin-heavens"), "help": "What is "
                "made of a covariance from few realizations: a t distribution "
                "(sellentin-heavens), the Hartlap factor, or nothing; auto: the first where their "
                "number is known."},
    epistemic={"help": "Add the emulator's own uncertainty."},
    on_outside={"choices": ("error", "warn", "ignore"),
                "help": "Priors or values outside the bounds of the emulator."},
)  # fmt: skip
_COMMON = (
    Option("hod", str, None, "Fix the HOD to that of galaxies above a stellar mass.",
           choices=mocks.PRESETS),
    Option("data", str, None, "Correlations (.ecsv of boxcorr, or a table, .ecsv or .csv, or HDF5 "
           "file with a covariance) or galaxies (.h5, .fits of mock). Without them omega = 0 is "
           "observed.", metavar="FILE"),
    Option("model", str, None, "A trained emulator, or tables of halos (tabulate); by default the "
           "emulator that is shipped.", metavar="FILE"),
    Option("statistics", str, None, "Of xi, omega and eta, such as omega,eta; by default omega, "
           "or all of the data.", metavar="NAMES"),
    Option("covariance", str, None, "Covariance of the data: .npy, .csv, .txt, .ecsv or .h5; by "
           "default that of the file, or DATA_cov.csv beside DATA.csv.", metavar="FILE"),
    *derive("pysoftcorr.inference.observation:Observation", only=("covariance_from", "boxsize"),
            covariance_from={"least": 2, "help": "Realizations that the covariance is from, where "
                             "no file says."},
            boxsize={"help": "Side of the box of the data in Mpc/h, or three, where the file does "
                     "not say: the emulator's noise is scaled to its volume."}),
    *derive("pysoftcorr.inference.observation:Observation", only=("on_bad",),
            on_bad={"choices": ("error", "drop"), "help": "Bins with NaN: refuse, or drop."}),
    *derive("pysoftcorr.inference.observation:Observation.cut",
            r_min={"help": "Leave out bins that begin below, Mpc/h."},
            r_max={"help": "Leave out bins that end above, Mpc/h."},
            bins={"help": "Bins to use in Mpc/h, neighbors among those of the emulator."}),
    *_PROBLEM,
)  # fmt: skip
_SAMPLER = derive(
    "pysoftcorr.inference.sampling:sample_posterior",
    only=("chains", "warmup", "draws", "mass", "target_accept", "seed"),
    chains={"least": 1, "help": "Chains of NUTS."},
    warmup={"least": 0, "help": "Draws of warm-up of each."},
    draws={"least": 1, "help": "Draws of each."},
    mass={"choices": ("dense", "diagonal"), "help": "Mass matrix."},
    target_accept={"help": "Acceptance that the step size aims at."},
    seed={"default": 1, "least": 0, "help": "Seed of everything random."},
)
_DESCENT = derive(
    "pysoftcorr.inference.minimization:minimize",
    only=("objective", "method", "start", "max_iter", "learning_rate"),
    objective={"choices": ("chi2", "likelihood", "posterior"), "help": "What is minimized."},
    method={"choices": ("adam", "lbfgs"), "help": "How it is minimized."},
    start={"default": {}, "metavar": "NAME=VALUE",
           "help": "Where a parameter starts; the middle of its bounds by default."},
    max_iter={"least": 1, "help": "Most steps; 500 of adam, 100 of lbfgs."},
    learning_rate={"help": "Step length; 0.1 of adam, 1 of lbfgs by default."},
)  # fmt: skip
_CHECK = (
    Option("check", str, None, "Halos to populate: the same posterior without the emulator, "
           "drawn over it.", metavar="HALOS"),
    Option("realizations", int, 10, "Catalogs of the check.", least=1),
)  # fmt: skip


def posterior(*, settings: Mapping[str, Any], explicit: set[str], as_json: bool) -> dict[str, Any]:
    """Posterior of alignment strengths and HOD parameters, by NUTS on the emulator."""
    output.check_plot(settings)
    if settings["out"] is not None:
        from pysoftcorr.inference.posterior import check_posterior_path

        check_posterior_path(settings["out"], overwrite=settings["overwrite"])
    emulator, seen, options = _problem(settings, explicit)
    if settings["check"] is not None:
        _refuse_check(settings, options)
    from pysoftcorr.inference import sample_posterior

    sampler = {o.name: settings[o.name] for o in _SAMPLER}
    found = sample_posterior(emulator, seen, **options, **sampler)
    every = {"emulator": found}
    if settings["check"] is not None:
        every["simulation"] = _check(settings, emulator, seen, options, sampler)
    files: list[Any] = []
    if settings["out"] is not None:
        found.write(settings["out"], overwrite=settings["overwrite"])
        files.append(settings["out"])
    if not as_json:
        for name, one in every.items():
            title = f"{name}:\n" if len(every) > 1 else ""
            print(f"{title}{one.summary()}\n")
    files += output.draw(settings, lambda plots: _figures(plots, every))
    output.wrote(files)
    document = found.to_dict()
    document["check"] = every["simulation"].to_dict() if len(every) > 1 else None
    return document


def minimize(*, settings: Mapping[str, Any], explicit: set[str], as_json: bool) -> dict[str, Any]:
    """Best alignment strengths and HOD parameters, by gradient descent on the emulator."""
    output.check_out(settings, suffixes=(".ecsv",))
    emulator, seen, options = _problem(settings, explicit)
    from pysoftcorr.inference import LogPosterior
    from pysoftcorr.inference import minimize as descend

    density = LogPosterior(emulator, seen, **options)
    found = descend(
        density,
        start=_numbers("start", settings["start"]),
        **{o.name: settings[o.name] for o in _DESCENT if o.name != "start"},
    )
    files: list[Any] = []
    if settings["out"] is not None:
        found.write(settings["out"], overwrite=settings["overwrite"])
        files.append(settings["out"])
    if not as_json:
        print(found.summary())
    files += output.draw(
        settings, lambda plots: {"minimization": lambda: plots.plot_minimization(found)}
    )
    output.wrote(files)
    return found.to_dict()


# ---------------------------------------------------------------------- what goes in
def _problem(settings: Mapping[str, Any], explicit: set[str]) -> tuple[Any, Any, dict[str, Any]]:
    """The emulator, the observation, and the options of `LogPosterior`."""
    if settings["hod"] is None and settings["data"] is None:
        raise ValueError(
            f"--hod ({', '.join(mocks.PRESETS)}) or --data FILE must be given: the first observes "
            "omega = 0 of these galaxies"
        )
    from pysoftcorr.core.extras import need

    need("pyro.infer", "a posterior")
    from pysoftcorr.inference import Observation
    from pysoftcorr.inference.priors import parse_prior
    from pysoftcorr.mocks import HODModel

    emulator = load(settings["model"])
    boxsize = settings["boxsize"]
    if settings["data"] is None:
        for name in ("covariance", "covariance_from"):
            if settings[name] is not None:
                raise ValueError(f"{name} = {settings[name]}: goes with --data")
        seen = Observation.unaligned(
            emulator.edges, statistics=settings["statistics"] or ("omega",), boxsize=boxsize
        )
    else:
        seen = Observation.read(
            settings["data"],
            statistics=settings["statistics"],
            bins=emulator.edges,
            covariance=settings["covariance"],
            covariance_from=settings["covariance_from"],
            boxsize=boxsize,
            on_bad="drop",  # bins that are cut need no value
        )
    cuts = {name: settings[name] for name in ("r_min", "r_max", "bins")}
    seen = seen.on(emulator.edges).cut(**cuts)
    if settings["on_bad"] == "error" and settings["data"] is not None:
        seen.refuse_gaps()
    free = [name.strip() for name in settings["free"].split(",")]
    fixed = _numbers("fixed", settings["fixed"])
    if settings["hod"] is not None:
        hod = HODModel.preset(settings["hod"]).to_dict()
        fixed = {**{n: hod[n] for n in emulator.names if n in hod and n not in free}, **fixed}
    options = {
        "free": free,
        "fixed": fixed,
        "priors": {name: parse_prior(text) for name, text in settings["prior"].items()},
    }
    rest = [o.name for o in _PROBLEM if o.name not in ("free", "fixed", "prior")]
    return emulator, seen, {**options, **{name: settings[name] for name in rest}}


def _numbers(option: str, texts: Mapping[str, str]) -> dict[str, float]:
    out = {}
    for name, text in texts.items():
        try:
            out[name] = float(text)
        except ValueError:
            raise ValueError(f"--{option} {name}={text}: must be a number") from None
    return out


def _refuse_check(settings: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """ValueError, before the work, where a simulation could not stand for the emulator."""
    if set(options["free"]) - {"mu_cen", "mu_sat"}:
        raise ValueError("--check: the HOD must be fixed; --free may be mu_cen and mu_sat alone")
    if settings["epistemic"]:
        raise ValueError(
            "--check: a simulation has no epistemic uncertainty; leave --epistemic out"
        )
    source = Path(settings["check"]).expanduser()
    if not source.is_file():
        raise FileNotFoundError(f"no such halo catalog: {source}")


def _check(
    settings: Mapping[str, Any],
    emulator: Any,
    seen: Any,
    options: dict[str, Any],
    sampler: dict[str, Any],
) -> Any:
    """The posterior of populated halos, over the noise of the emulator."""
    from pysoftcorr.inference import SimulatedModel, sample_posterior
    from pysoftcorr.mocks import HaloCatalog, HODModel

    hod_names = ("logMmin", "sigma_logM", "logM0", "logM1", "alpha")
    hod = HODModel(
        **{name: options["fixed"][name] for name in hod_names},
        satellites=getattr(emulator, "box", {}).get("satellites", "nfw"),
    )
    model = SimulatedModel.simulate(
        HaloCatalog.read(settings["check"]), hod, noise=emulator,
        realizations=settings["realizations"], seed=settings["seed"],
    )  # fmt: skip
    return sample_posterior(model, seen, **options, **sampler)


# ---------------------------------------------------------------------- what comes out
def _figures(plots: Any, every: Mapping[str, Any]) -> output.Figures:
    found = every["emulator"]
    return {
        "corner": lambda: plots.plot_corner(every if len(every) > 1 else found),
        "correlations": lambda: plots.plot_posterior_correlations(found),
        "trace": lambda: plots.plot_trace(found),
    }


COMMANDS = {
    "posterior": Command(
        posterior,
        options=(
            *_COMMON,
            *_CHECK,
            *_SAMPLER,
            out("Write the draws (ArviZ InferenceData): .nc or .h5."),
            OVERWRITE,
            *PLOT,
        ),
    ),
    "minimize": Command(
        minimize,
        options=(*_COMMON, *_DESCENT, out("Write the trace: .ecsv."), OVERWRITE, *PLOT),
    ),
}
