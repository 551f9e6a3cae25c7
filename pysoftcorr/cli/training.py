"""The commands ``train`` and ``evaluate``: an emulator from a campaign, and how good it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pysoftcorr.cli import mocks, output
from pysoftcorr.cli.messages import say
from pysoftcorr.cli.output import only_json, wrote
from pysoftcorr.cli.settings import Setting, resolve

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pysoftcorr.emulator import Emulator, EmulatorData, Evaluation

#: The word for the model, and the test split, that come with the package.
SHIPPED = "shipped"
_TRAINING, _NETWORK, _OUTPUT = "Training", "Network", "Output"
_AS_KIND = "by default as the kind has it"
_PLOT = Setting("plot", str, None, "Write figures into this folder.", _OUTPUT, metavar="DIR")
SETTINGS: dict[str, tuple[Setting, ...]] = {
    "train": (
        Setting("kind", str, "response", "published: the network and recipe of the paper; "
                "response: an ensemble for the response to alignment.", _TRAINING,
                choices=("response", "published")),
        Setting("epochs", int, None, f"At most; {_AS_KIND}.", _TRAINING, least=1),
        Setting("learning_rate", float, None, f"The highest of the schedule; {_AS_KIND}.",
                _TRAINING),
        Setting("weight_decay", float, None, f"Of AdamW; {_AS_KIND}.", _TRAINING),
        Setting("batch", int, None, f"Rows of a batch; {_AS_KIND}.", _TRAINING, least=2),
        Setting("patience", int, None, f"Stop after so many epochs without a better validation "
                f"score; {_AS_KIND}.", _TRAINING, least=1),
        Setting("targets", str, None, "What the means of omega and eta learn from: exact means "
                f"over all axes, or those of drawn axes; {_AS_KIND}.", _TRAINING,
                choices=("expected", "drawn")),
        Setting("sufficient", bool, None, "Train on mean and spread of the realizations instead "
                f"of each; {_AS_KIND}.", _TRAINING),
        Setting("calibrate", str, None, "By what predicted errors are adjusted on the validation "
                f"set; {_AS_KIND}.", _TRAINING,
                choices=("coverage", "likelihood", "scatter", "none")),
        Setting("seed", int, 0, "Seed of weights, shuffles and dropout.", _TRAINING, least=0),
        Setting("split_seed", int, 0, "Seed of the split 70/10/20 by parameter point.", _TRAINING,
                least=0),
        Setting("device", str, None, "cpu or cuda; cuda by default where there is one.",
                _TRAINING),
        Setting("resume", bool, True, "Go on from the checkpoint of an unfinished run.",
                _TRAINING),
        Setting("checkpoint_every", float, 60.0, "Seconds between checkpoints.", _TRAINING),
        Setting("members", int, None, "Networks of the ensemble (response).", _NETWORK, least=1),
        Setting("width", int, None, "Units of a hidden layer (response).", _NETWORK, least=1),
        Setting("depth", int, None, "Hidden layers (response).", _NETWORK, least=1),
        Setting("dropout", float, None, f"Part of the units dropped; {_AS_KIND}.", _NETWORK),
        Setting("out", str, None, "Write the model: .h5; needed. The same command goes on with "
                "an unfinished one.", _OUTPUT, metavar="FILE"),
        Setting("test_out", str, None, "Write the test part of the split too: .h5.", _OUTPUT,
                metavar="FILE"),
        Setting("overwrite", bool, False, "Replace files that are there.", _OUTPUT),
        _PLOT,
    ),
    "evaluate": (
        Setting("part", str, "auto", "Of a campaign or split: auto is its test part for the "
                "campaign that the model was trained on, else all.", _TRAINING,
                choices=("auto", "test", "validation", "train", "all")),
        Setting("passes", int, 50, "Passes of Monte-Carlo dropout.", _NETWORK, least=2),
        Setting("seed", int, 0, "Seed of dropout.", _NETWORK, least=0),
        Setting("bins", bool, True, "Also the figures of each bin.", _OUTPUT),
        _PLOT,
    ),
}  # fmt: skip
_RECIPE = ("epochs", "learning_rate", "weight_decay", "batch", "patience", "targets",
           "sufficient", "calibrate")  # fmt: skip
_SHAPE = ("members", "width", "depth", "dropout")


def train(paths: list[str], given: Mapping[str, Any], *, config: str | None, as_json: bool) -> None:
    """Train an emulator on a campaign, with checkpoints; the same command goes on."""
    settings, explicit = resolve("train", given, config)
    mocks._needed(settings, "out")
    with only_json(as_json):
        output.check_out(settings, suffixes=(".h5", ".hdf5"))
        if settings["test_out"] is not None:
            output.check_out({**settings, "out": settings["test_out"], "plot": None},
                             suffixes=(".h5", ".hdf5"))  # fmt: skip
        from pysoftcorr.emulator import Split, read_data, split_campaign
        from pysoftcorr.emulator import train as work

        data: Any = read_data(paths[0])
        if not isinstance(data, Split):
            data = split_campaign(data, seed=settings["split_seed"])
        elif "split_seed" in explicit:
            raise ValueError(f"{paths[0]} is split already: --split-seed has no meaning")
        try:
            emulator = work(
                data,
                kind=settings["kind"],
                out=settings["out"],
                seed=settings["seed"],
                device=settings["device"],
                resume=settings["resume"],
                checkpoint_every=settings["checkpoint_every"],
                overwrite=settings["overwrite"],
                **{n: settings[n] for n in (*_RECIPE, *_SHAPE)},
            )
        except KeyboardInterrupt as interrupt:
            say("interrupted", str(interrupt) or "nothing was done")
            raise SystemExit(130) from None
        files: list[Any] = [settings["out"]]
        if settings["test_out"] is not None:
            data.test.write(settings["test_out"], overwrite=settings["overwrite"])
            files.append(settings["test_out"])
        record = emulator.description["training"]
        if not as_json:
            print(_trained(emulator, record))
        if settings["plot"] is not None:
            figures = {"learning_curves": _plots().plot_learning_curves(record)}
            files += _save(figures, settings)
        wrote(files)
    if as_json:
        print(json.dumps({"model": str(settings["out"]), "training": record}))


def evaluate(
    paths: list[str], given: Mapping[str, Any], *, config: str | None, as_json: bool
) -> None:
    """Every figure of merit of an emulator on rows that it has not seen."""
    settings, _ = resolve("evaluate", given, config)
    with only_json(as_json):
        if settings["plot"] is not None:
            output.check_folder(settings["plot"])
        from pysoftcorr.emulator import Emulator
        from pysoftcorr.emulator import evaluate as work

        emulator = Emulator.read(None if paths[0] == SHIPPED else paths[0])
        data, words = _rows(emulator, paths[1], settings["part"])
        judged = work(emulator, data, passes=settings["passes"], seed=settings["seed"])
        if not as_json:
            print(f"{emulator!r}\n{words}\n{judged.summary(per_bin=settings['bins'])}")
        if settings["plot"] is not None:
            wrote(_draw(emulator, judged, settings))
    if as_json:
        document = judged.to_dict()
        print(json.dumps({**document, "kind": emulator.kind, "judged": words}))


def _rows(emulator: Emulator, path: str, part: str) -> tuple[EmulatorData, str]:
    """The rows to judge by, and what they are in words."""
    from pysoftcorr.emulator import EmulatorData, Split, read_data, split_campaign
    from pysoftcorr.emulator.data import shipped_test_split

    source = shipped_test_split() if path == SHIPPED else Path(path).expanduser()
    found: Any = read_data(source)
    if isinstance(found, EmulatorData):
        if part not in ("auto", "all", found.description.get("part")):
            raise ValueError(f"--part {part}: {source} is {found.description.get('part')} alone")
        return found, f"{source.name}"
    trained = emulator.description.get("training", {})
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
    lines = [
        repr(emulator),
        f"  {record['epochs_run']} epochs in {record['seconds']:g} s on {record['device']}, "
        f"{record['stopped']}",
        f"  kept: epoch {record['best_epoch']}, validation score {curves['score'][kept]:.4g}",
    ]
    errors = {n: curves[f"error_{n}"][kept] for n in ("xi", "omega", "eta")}
    lines.append(
        "  validation: "
        + ", ".join(f"{n} {'-' if v is None else f'{v:.2%}'}" for n, v in errors.items())
    )
    return "\n".join(lines)


def _draw(emulator: Emulator, judged: Evaluation, settings: Mapping[str, Any]) -> list[Path]:
    plots = _plots()
    figures = {
        "accuracy": plots.plot_accuracy(judged),
        "calibration": plots.plot_calibration(judged),
        "uncertainties": plots.plot_uncertainties(judged),
    }
    record = emulator.description.get("training")
    if record:
        figures["learning_curves"] = plots.plot_learning_curves(record)
    return _save(figures, settings)


def _plots() -> Any:
    import matplotlib

    matplotlib.use("Agg")  # files alone: no display is needed
    from pysoftcorr import plots

    return plots


def _save(figures: Mapping[str, Figure], settings: Mapping[str, Any]) -> list[Path]:
    folder = Path(settings["plot"]).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    return [
        _plots().save_figure(figure, folder / f"{name}.png") for name, figure in figures.items()
    ]
