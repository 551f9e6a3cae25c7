"""The commands ``predict``, ``train`` and ``evaluate``: the emulator and how good it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pysoftcorr.cli import mocks, output
from pysoftcorr.cli.common import OVERWRITE, PLOT, out
from pysoftcorr.cli.options import Argument, Command, Option, derive, needed

if TYPE_CHECKING:
    from pysoftcorr.emulator import Emulator, EmulatorData, Evaluation

#: The word for the model, and the test split, that come with the package.
SHIPPED = "shipped"
_HOD = Option("hod", str, None, "A fixed HOD, by the least stellar mass, with the strengths "
              "fitted to it; options change it.", choices=mocks.PRESETS)  # fmt: skip
_POINT = tuple(
    o
    for o in mocks.OCCUPATION
    if o.name not in ("gamma", "modulate", "satellites", "assembly_split")
)
_WORLD = (
    Option("Omega_m", float, None, "Density of matter today; Planck 2018 by default."),
    Option("sigma_8", float, None, "Rms of the linear density today in 8 Mpc/h; Planck 2018 by "
           "default."),
    Option("z", float, None, "Redshift; 0 by default."),
)  # fmt: skip
_MODEL = Option("model", str, None, "An emulator, as train writes it, or tables of halos, as "
                "tabulate does; by default the emulator of the package.",
                metavar="FILE")  # fmt: skip
_DROPOUT = derive(
    "pysoftcorr.emulator.emulator:Emulator.predict",
    only=("passes", "seed"),
    passes={"least": 2, "help": "Passes of Monte-Carlo dropout."},
    seed={"default": 1, "least": 0, "help": "Seed of dropout."},
)
_OUTSIDE = derive("pysoftcorr.emulator.emulator:Emulator.predict", only=("on_outside",))
_AS_KIND = "by default as the kind has it"
_TRAINING = derive(
    "pysoftcorr.emulator.training.run:train",
    only=("kind", "epochs", "learning_rate", "weight_decay", "batch", "patience", "targets",
          "sufficient", "calibrate", "seed", "device", "resume", "checkpoint_every", "members",
          "width", "depth", "dropout"),
    kind={"choices": ("response", "published"), "help": "published: the network and recipe of the "
          "paper; response: an ensemble for the response to alignment."},
    epochs={"least": 1, "help": f"Most epochs; {_AS_KIND}."},
    learning_rate={"help": f"The highest of the schedule; {_AS_KIND}."},
    weight_decay={"help": f"Weight decay of AdamW; {_AS_KIND}."},
    batch={"least": 2, "help": f"Rows of a batch; {_AS_KIND}."},
    patience={"least": 1, "help": "Stop after so many epochs without a better validation score; "
              f"{_AS_KIND}."},
    targets={"choices": ("expected", "drawn"), "help": "What the means of omega and eta learn "
             f"from: exact means over all axes, or those of drawn axes; {_AS_KIND}."},
    sufficient={"help": "Train on mean and spread of the realizations instead of each; "
                f"{_AS_KIND}."},
    calibrate={"choices": ("coverage", "likelihood", "scatter", "none"), "help": "By what "
               f"predicted errors are adjusted on the validation set; {_AS_KIND}."},
    seed={"least": 0, "help": "Seed of weights, shuffles and dropout."},
    device={"help": "cpu or cuda; cuda by default where there is one."},
    resume={"help": "Resume an unfinished run from its checkpoint."},
    checkpoint_every={"help": "Seconds between checkpoints."},
    members={"least": 1, "help": "Networks of the ensemble (response)."},
    width={"least": 1, "help": "Units of a hidden layer (response)."},
    depth={"least": 1, "help": "Hidden layers (response)."},
    dropout={"help": f"Part of the units dropped; {_AS_KIND}."},
)  # fmt: skip


def predict(*, settings: Mapping[str, Any], explicit: set[str], as_json: bool) -> dict[str, Any]:
    """xi, omega and eta of an HOD with alignments, by an emulator or tables of halos."""
    params = point(settings)
    output.check_out(settings, suffixes=(".ecsv",))
    emulator = load(settings["model"])
    params |= world(settings, emulator)
    said, draw = _predicted(emulator, params, settings, explicit)
    slopes = None
    if settings["jacobian"]:
        slopes = emulator.jacobian(params, on_outside="ignore", **_assembly(emulator, settings))
    files: list[Any] = []
    if settings["out"] is not None:
        files.append(said.write(settings["out"], overwrite=settings["overwrite"]))
    if not as_json:
        heading = ", ".join(f"{name} = {value:g}" for name, value in params.items())
        print(heading, said.summary(), sep="\n\n")

    def figures(plots: Any) -> output.Figures:
        drawn: output.Figures = {"prediction": lambda: getattr(plots, draw)(said)}
        if slopes is None:
            return drawn
        options = {"mean_xi": said.xi.mean, "bins": said.edges, "names": said.names}
        return {**drawn, "jacobians": lambda: plots.plot_jacobians(slopes, **options)}

    output.wrote([*files, *output.draw(settings, figures)])
    document = said.to_dict()
    if slopes is not None:
        document["jacobian"] = {name: values.tolist() for name, values in slopes.items()}
    return {**document, "kind": emulator.kind}


def train(
    data: str, *, settings: Mapping[str, Any], explicit: set[str], as_json: bool
) -> dict[str, Any]:
    """Train an emulator on a campaign, with checkpoints; the same command resumes."""
    needed(settings, "out")
    from pysoftcorr.core.files import HDF5

    # A model that is there may be that of this very run, finished before.
    output.check_out({**settings, "overwrite": True}, suffixes=HDF5)
    again = Path(settings["out"]).expanduser().exists() and not settings["overwrite"]
    if settings["test_out"] is not None:
        place = {**settings, "out": settings["test_out"]}
        output.check_out(place | {"overwrite": again or settings["overwrite"]}, suffixes=HDF5)
    from pysoftcorr.emulator import Split, read_data, split_campaign
    from pysoftcorr.emulator import train as work

    rows: Any = read_data(data)
    if not isinstance(rows, Split):
        rows = split_campaign(rows, seed=settings["split_seed"])
    elif "split_seed" in explicit:
        raise ValueError(f"{data} is split already: --split-seed has no meaning")
    options = {o.name: settings[o.name] for o in _TRAINING}
    emulator = work(rows, out=settings["out"], overwrite=settings["overwrite"], **options)
    files: list[Any] = [settings["out"]]
    if settings["test_out"] is not None:
        if not (again and _is_written(rows.test, settings["test_out"])):
            rows.test.write(settings["test_out"], overwrite=settings["overwrite"])
        files.append(settings["test_out"])
    record = emulator.description["training"]
    if not as_json:
        print(_trained(emulator, record))
    files += output.draw(
        settings, lambda plots: {"learning_curves": lambda: plots.plot_learning_curves(record)}
    )
    output.wrote(files[1:] if again else files)
    timing = emulator.description["timing"]
    return {"model": str(settings["out"]), "training": record, "timing": timing}


def _is_written(rows: EmulatorData, path: str) -> bool:
    """Whether a file holds these rows already."""
    from pysoftcorr.emulator import EmulatorData, read_data

    if not Path(path).expanduser().exists():
        return False
    found: Any = read_data(path)
    return (
        isinstance(found, EmulatorData)
        and found.description == rows.description
        and found.row.tolist() == rows.row.tolist()
    )


def evaluate(
    model: str, data: str, *, settings: Mapping[str, Any], explicit: set[str], as_json: bool
) -> dict[str, Any]:
    """Every figure of merit of an emulator on rows that it has not seen."""
    output.check_plot(settings)
    from pysoftcorr.emulator import evaluate as work

    emulator = load(None if model == SHIPPED else model)
    if emulator.kind == "tables":
        raise ValueError(f"{model} holds tables of halos, which nothing was trained for")
    rows, words = _rows(emulator, data, settings["part"])
    judged = work(emulator, rows, passes=settings["passes"], seed=settings["seed"])
    if not as_json:
        print(f"{emulator!r}\n{words}\n{judged.summary(per_bin=settings['bins'])}")
    output.wrote(output.draw(settings, lambda plots: _figures(plots, emulator, judged)))
    return {**judged.to_dict(), "kind": emulator.kind, "judged": words}


def point(settings: Mapping[str, Any]) -> dict[str, float]:
    """The seven parameters by name, in the emulator's order, from the settings of `POINT`.

    Raises
    ------
    ValueError
        If some are neither given nor of a fixed HOD.
    """
    from pysoftcorr.mocks.design import PARAMETERS

    known: dict[str, float] = {"mu_cen": 0.0, "mu_sat": 0.0}
    if settings["hod"] is not None:
        from pysoftcorr.mocks import HODModel

        known = HODModel.preset(settings["hod"]).to_dict()
    known |= {n: settings[n] for n in PARAMETERS if settings[n] is not None}
    lacking = [name for name in PARAMETERS if name not in known]
    if lacking:
        listed = ", ".join("--" + name.replace("_", "-") for name in lacking)
        raise ValueError(f"{listed}: must be given, or a --hod such as mstar10.5")
    return {name: float(known[name]) for name in PARAMETERS}


def world(settings: Mapping[str, Any], emulator: Any) -> dict[str, float]:
    """Omega_m, sigma_8 and z, where the emulator takes them; Planck 2018 today if not given.

    Raises
    ------
    ValueError
        If one is given that the emulator does not take.
    """
    from pysoftcorr.mocks.hod import PLANCK18

    given = {name: settings[name] for name in PLANCK18 if settings[name] is not None}
    known = [name for name in PLANCK18 if name in emulator.names]
    for name in given:
        if name not in known:
            kind = "tables are of one universe" if emulator.kind == "tables" else (
                "this emulator is of one universe")  # fmt: skip
            raise ValueError(f"{name} = {given[name]:g}: {kind}, whose cosmology and redshift "
                             "do not change")  # fmt: skip
    return {name: float({**PLANCK18, **given}[name]) for name in known}


def load(path: str | None) -> Any:
    """An emulator, that of the package by default, or tables of halos; raises as their `read`."""
    import h5py

    from pysoftcorr.emulator import Emulator, model_file
    from pysoftcorr.mocks.tabulated.tables import FORMAT, HaloTables

    if path is not None and Path(path).expanduser().is_file():
        if FORMAT.is_own(path):
            return HaloTables.read(path)
        if h5py.is_hdf5(Path(path).expanduser()) and not model_file.FORMAT.is_own(path):
            raise ValueError(f"{path} holds no emulator or tables of halos written by pysoftcorr")
    return Emulator.read(path)


def _predicted(
    model: Any, params: Mapping[str, float], settings: Mapping[str, Any], explicit: set[str]
) -> tuple[Any, str]:
    """A prediction, and the name of the function that draws it."""
    if model.kind != "tables":
        _assembly(model, settings)
        options = {name: settings[name] for name in ("passes", "seed", "on_outside")}
        return model.predict(params, **options), "plot_prediction"
    for name in ("passes", "seed"):
        if name in explicit:
            raise ValueError(f"--{name}: tables of halos have no dropout")
    said = model.predict(params, on_outside=settings["on_outside"], **_assembly(model, settings))
    return said, "plot_tabulated_prediction"


def _assembly(model: Any, settings: Mapping[str, Any]) -> dict[str, float]:
    """Assembly bias that was asked for; ValueError where the model is no tables of halos."""
    names = ("assembly_cen", "assembly_sat")
    given = {name: settings[name] for name in names if settings[name] is not None}
    for name, value in given.items():
        if model.kind != "tables":
            raise ValueError(
                f"{name} = {value:g}: must be left out, since an emulator knows no assembly bias; "
                "take tables of halos made with assembly_split = 0.5"
            )
    return given


def _rows(emulator: Emulator, path: str, part: str) -> tuple[EmulatorData, str]:
    """The rows to judge by, and what they are in words."""
    from pysoftcorr.emulator import EmulatorData, Split, read_data, split_campaign
    from pysoftcorr.emulator.data import shipped_test_split
    from pysoftcorr.mocks import Universes

    source = shipped_test_split() if path == SHIPPED else Path(path).expanduser()
    found: Any = read_data(source)
    if isinstance(found, EmulatorData):
        if part not in ("auto", "all", found.description.get("part")):
            raise ValueError(f"--part {part}: {source} is {found.description.get('part')} alone")
        return found, f"{source.name}"
    trained = emulator.description.get("training", {})
    if isinstance(found, Universes):
        if part == "all":
            return EmulatorData.from_universes(found), f"{source.name}, all universes"
        found = split_campaign(found)
    if not isinstance(found, Split):
        everything = EmulatorData.from_campaign(found)
        of = emulator.description.get("campaign")
        own = of == everything.description["campaign"]
        seed = trained.get("split_seed")
        if part == "all" or (part == "auto" and not (own and seed is not None)):
            known = "; it was trained on part of them" if own else ""
            return everything, f"{source.name}, all usable rows{known}"
        if not own or seed is None:
            raise ValueError(
                f"--part {part}: the model was not trained on {source}, so no row of it is in one "
                "of its parts; use --part all"
            )
        found = split_campaign(everything, seed=seed, fractions=tuple(trained["fractions"]))
    if part == "all":
        raise ValueError(f"--part all: {source} is a split; choose train, validation or test")
    chosen = "test" if part == "auto" else part
    return getattr(found, chosen), f"{source.name}, {chosen} part"


def _trained(emulator: Emulator, record: Mapping[str, Any]) -> str:
    curves = record["curves"]
    kept = record["best_epoch"] - 1
    seconds = emulator.description["timing"]["seconds"]
    lines = [
        repr(emulator),
        f"  {record['epochs_run']} epochs in {seconds:g} s on {record['device']}, "
        f"{record['stopped']}",
        f"  kept: epoch {record['best_epoch']}, validation score {curves['score'][kept]:.4g}",
    ]
    errors = {n: curves[f"error_{n}"][kept] for n in ("xi", "omega", "eta")}
    lines.append(
        "  validation: "
        + ", ".join(f"{n} {'-' if v is None else f'{v:.2%}'}" for n, v in errors.items())
    )
    if emulator.correlation is not None:
        number = {n: len(emulator.correlation.matrices.get(n, ())) for n in errors}
        said = ", ".join(f"{n} {k or 'none'}" for n, k in number.items())
        lines.append(f"  matrices of the correlation between bins: {said}")
    return "\n".join(lines)


def _figures(plots: Any, emulator: Emulator, judged: Evaluation) -> output.Figures:
    figures: dict[str, Any] = {
        "accuracy": lambda: plots.plot_accuracy(judged),
        "calibration": lambda: plots.plot_calibration(judged),
        "uncertainties": lambda: plots.plot_uncertainties(judged),
    }
    record = emulator.description.get("training")
    if record:
        figures["learning_curves"] = lambda: plots.plot_learning_curves(record)
    return figures


COMMANDS = {
    "predict": Command(
        predict,
        options=(
            _HOD,
            *_POINT,
            *_WORLD,
            _MODEL,
            *_DROPOUT,
            *_OUTSIDE,
            Option("jacobian", bool, False, "Also the derivatives by every parameter: in the JSON "
                   "object, and drawn."),
            out("Write the table: .ecsv."),
            OVERWRITE,
            *PLOT,
        ),
    ),
    "train": Command(
        train,
        (Argument("data", "A campaign, or a split of one."),),
        (
            *_TRAINING,
            Option("split_seed", int, 0, "Seed of the split 70/10/20 by parameter point.",
                   least=0),
            out("Write the model: .h5; needed. The same command resumes an unfinished run."),
            Option("test_out", str, None, "Write the test part of the split too: .h5.",
                   metavar="FILE"),
            Option("overwrite", bool, False, "Replace files that are there."),
            *PLOT,
        ),
    ),
    "evaluate": Command(
        evaluate,
        (
            Argument("model", "An emulator, or the word shipped.", SHIPPED),
            Argument("data", "A campaign, or a part of one; or the word shipped.", SHIPPED),
        ),
        (
            Option("part", str, "auto", "Of a campaign or split: auto is its test part for the "
                   "campaign that the model was trained on, else all.",
                   choices=("auto", "test", "validation", "train", "all")),
            _DROPOUT[0],
            replace(_DROPOUT[1], default=0),
            Option("bins", bool, True, "Also the figures of each bin."),
            *PLOT,
        ),
    ),
}  # fmt: skip
