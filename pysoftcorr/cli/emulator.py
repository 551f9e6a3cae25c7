"""The command ``predict``: the emulator at one point."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pysoftcorr.cli import output
from pysoftcorr.cli.output import only_json, wrote
from pysoftcorr.cli.settings import Setting, resolve

_PARAMETERS, _EMULATOR, _OUTPUT = "Parameters", "Emulator", "Output"
_HODS = ("mstar10.5", "mstar10.0", "mstar9.5", "mstar9.0")
POINT = (
    Setting("hod", str, None, "A fixed HOD, by the least stellar mass, with the strengths fitted "
            "to it; options change it.", _PARAMETERS, choices=_HODS),
    Setting("mu_cen", float, None, "Alignment strength of central galaxies, -1 to 1; 0, or that "
            "of the HOD.", _PARAMETERS),
    Setting("mu_sat", float, None, "Alignment strength of satellites.", _PARAMETERS),
    Setting("logMmin", float, None, "log10 of the mass (Msun/h) where half of the halos have a "
            "central galaxy.", _PARAMETERS),
    Setting("sigma_logM", float, None, "Width of that step.", _PARAMETERS),
    Setting("logM0", float, None, "log10 of the satellites' cut-off.", _PARAMETERS),
    Setting("logM1", float, None, "log10 of the satellites' scale.", _PARAMETERS),
    Setting("alpha", float, None, "Slope of the satellites' power law.", _PARAMETERS),
)  # fmt: skip
MODEL = Setting("model", str, None, "An emulator, as train writes it; that of the package by "
                "default.", _EMULATOR, metavar="FILE")  # fmt: skip
SETTINGS: dict[str, tuple[Setting, ...]] = {
    "predict": (
        *POINT,
        MODEL,
        Setting("passes", int, 50, "Passes of Monte-Carlo dropout.", _EMULATOR, least=2),
        Setting("seed", int, 1, "Seed of dropout.", _EMULATOR, least=0),
        Setting("on_outside", str, "warn", "What to do about parameters outside of the training "
                "bounds.", _EMULATOR, choices=("warn", "error", "ignore")),
        Setting("jacobian", bool, False, "Also the derivatives by every parameter: in the JSON "
                "object, and drawn.", _OUTPUT),
        Setting("out", str, None, "Write the table: .ecsv.", _OUTPUT, metavar="FILE"),
        Setting("overwrite", bool, False, "Replace FILE if it is there.", _OUTPUT),
        Setting("plot", str, None, "Write figures into this folder.", _OUTPUT, metavar="DIR"),
    )
}  # fmt: skip


def predict(
    paths: list[str], given: Mapping[str, Any], *, config: str | None, as_json: bool
) -> None:
    """xi, omega and eta of an HOD with alignments, with both errors, in milliseconds."""
    settings, _ = resolve("predict", given, config)
    params = point(settings)
    with only_json(as_json):
        output.check_out(settings, suffixes=(".ecsv",))
        emulator = load(settings["model"])
        said = emulator.predict(
            params, passes=settings["passes"], seed=settings["seed"],
            on_outside=settings["on_outside"],
        )  # fmt: skip
        slopes = emulator.jacobian(params, on_outside="ignore") if settings["jacobian"] else None
        files: list[Any] = []
        if settings["out"] is not None:
            files.append(said.write(settings["out"], overwrite=settings["overwrite"]))
        if not as_json:
            print(_heading(params), said.summary(), sep="\n\n")
        if settings["plot"] is not None:
            files += _draw(said, slopes, settings["plot"])
        wrote(files)
    if as_json:
        document = said.to_dict()
        if slopes is not None:
            document["jacobian"] = {name: values.tolist() for name, values in slopes.items()}
        print(json.dumps({**document, "kind": emulator.kind}))


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


def load(path: str | None) -> Any:
    """An emulator; ValueError where torch is missing, else as `Emulator.read`."""
    from pysoftcorr.core.torch import need

    try:
        need("torch", "pysoftcorr.emulator")
    except ImportError as error:
        raise ValueError(str(error)) from None
    from pysoftcorr.emulator import Emulator

    return Emulator.read(path)


def _heading(params: Mapping[str, float]) -> str:
    return ", ".join(f"{name} = {value:g}" for name, value in params.items())


def _draw(said: Any, slopes: Mapping[str, Any] | None, place: str) -> list[Any]:
    import matplotlib

    matplotlib.use("Agg")  # files alone: no display is needed
    from pysoftcorr import plots

    target = output.check_folder(place)
    target.mkdir(parents=True, exist_ok=True)
    files = [plots.save_figure(plots.plot_prediction(said), target / "prediction.png")]
    if slopes is not None:
        figure = plots.plot_jacobians(
            slopes, mean_xi=said.xi.mean, bins=said.edges, names=said.names
        )
        files.append(plots.save_figure(figure, target / "jacobians.png"))
    return files
