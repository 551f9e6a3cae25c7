"""What is known of the boxes that data and a model are from: compared, and scaled by volume."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from typing import Any

from pysoftcorr.core.options import choice, number
from pysoftcorr.mocks import checks
from pysoftcorr.mocks.cosmology import Cosmology

__all__ = ["BOX", "box_record", "check_boxes", "from_settings", "same_box", "world_of"]

#: What a box may be known by.
BOX = ("boxsize", "redshift", "cosmology", "mdef", "satellites", "boxes")
_SATELLITES = ("nfw", "triaxial", "subhalos")
#: Parameters of a cosmology that are compared, and how closely; redshifts absolutely.
_PARAMETERS = ("H0", "Om0", "Ob0", "sigma8", "ns", "w0", "wa")
_COSMOLOGY_AGREES = 2e-3
_REDSHIFT_AGREES = 0.01
_VOLUME_AGREES = 1e-6


def box_record(given: Mapping[str, Any], *, name: str = "box") -> dict[str, Any]:
    """What is known of a box, checked.

    Parameters
    ----------
    given : mapping
        Of ``boxsize`` (Mpc/h, or three sides), ``redshift``, ``cosmology`` (as `Cosmology` takes
        it, or some of its parameters), ``mdef``, ``satellites`` and ``boxes``, how many the data
        are the mean of. None is not known.
    name : str
        Of the argument, for messages.

    Returns
    -------
    dict

    Raises
    ------
    ValueError, TypeError
        If a value is none of its kind, or a name is another.
    """
    out: dict[str, Any] = {}
    for key, value in given.items():
        if key not in BOX:
            raise ValueError(f"{name}: {key!r} is none of {', '.join(BOX)}")
        if value is None:
            continue
        if key == "boxsize":
            out[key] = checks.box_size(value)
        elif key == "redshift":
            out[key] = number("redshift", value, above=-1)
        elif key == "boxes":
            out[key] = int(number("boxes", value, least=1))
        elif key == "satellites":
            out[key] = choice("satellites", value, _SATELLITES)
        elif key == "cosmology":
            out[key] = _cosmology(value)
        else:
            out[key] = str(value)
    return out


def from_settings(settings: Any) -> dict[str, Any]:
    """Record of a box from a table's or result's settings, meta data or attributes."""
    found: dict[str, Any] = {}
    for key in BOX:
        for spelled in (key, key.upper()):
            if spelled in settings and key not in found:
                value = settings[spelled]
                found[key] = value.tolist() if hasattr(value, "tolist") else value
    text = found.get("cosmology")
    if isinstance(text, str) and text.startswith("{"):
        found["cosmology"] = json.loads(text)
    return found


def _cosmology(value: Any) -> dict[str, Any]:
    """Parameters by name; of a mapping those that it has."""
    if isinstance(value, Mapping) and set(value) & set(_PARAMETERS):
        return dict(value)
    if isinstance(value, Mapping) and set(value) <= {"name"}:
        value = value.get("name")
    return Cosmology(value).to_dict()


def world_of(data: Mapping[str, Any]) -> dict[str, float]:
    """Omega_m, sigma_8 and z of a box, as far as its record says."""
    cosmology = data.get("cosmology") or {}
    known = {
        "Omega_m": cosmology.get("Om0"),
        "sigma_8": cosmology.get("sigma8"),
        "z": data.get("redshift"),
    }
    return {name: float(value) for name, value in known.items() if value is not None}


def same_box(
    data: Mapping[str, Any], model: Mapping[str, Any], *, on_outside: str, inputs: bool = False
) -> None:
    """Compare redshift, cosmology, mass definition and satellites, where both are known.

    `inputs` says that the cosmology and the redshift are parameters of the model.

    Raises
    ------
    ValueError
        If they differ; with ``on_outside="warn"`` that is a warning, with "ignore" nothing.
    """
    wrong = []
    here, there = data.get("redshift"), model.get("redshift")
    if here is not None and there is not None and abs(here - there) > _REDSHIFT_AGREES:
        wrong.append(f"redshift {here:g}, the emulator {there:g}")
    if "cosmology" in data and "cosmology" in model:
        said = _differences(data["cosmology"], _cosmology(model["cosmology"]))
        if said:
            wrong.append(f"a cosmology of {said}")
    for key, words in (("mdef", "mass definition"), ("satellites", "satellites placed as")):
        if key in data and key in model and data[key] != model[key]:
            wrong.append(f"{words} {data[key]}, the emulator {model[key]}")
    if not wrong or on_outside == "ignore":
        return
    other = (
        "satellites" in data and "satellites" in model and data["satellites"] != model["satellites"]
    )
    ways = []
    if len(wrong) > other:
        ways.append(
            "leave Omega_m, sigma_8 and z out of fixed, so that they are those of the data"
            if inputs
            else "train one on such halos (softcorr campaign, softcorr train), tabulate them "
            "(softcorr tabulate)"
        )
    if other:
        ways.append(
            f"tabulate halos with satellites={data['satellites']!r} (softcorr tabulate), make "
            f"mocks with satellites={model['satellites']!r} (HODModel, softcorr mock)"
        )
    way = "; ".join(ways)
    text = (
        f"the data have {'; '.join(wrong)}: the emulator's correlations are others; {way}, or "
        "pass on_outside='warn'"
    )
    if on_outside == "error":
        raise ValueError(text)
    warnings.warn(text, UserWarning, stacklevel=4)


def _differences(here: Mapping[str, Any], there: Mapping[str, Any]) -> str:
    texts = []
    for key in _PARAMETERS:
        if key not in here or key not in there:
            continue
        a, b = float(here[key]), float(there[key])
        if abs(a - b) > _COSMOLOGY_AGREES * max(abs(a), abs(b)):
            texts.append(f"{key} {a:g}, the emulator {b:g}")
    return ", ".join(texts)


def check_boxes(data: Mapping[str, Any], model: Mapping[str, Any], *, supposed: bool) -> float:
    """Factor of the noise of a model's box that makes it that of the data's: V_model/V_data.

    Parameters
    ----------
    data, model : mapping
        Records of `box_record`.
    supposed : bool
        Whether nothing was measured, so that data without a box are of one like the model's.

    Warns
    -----
    UserWarning
        Where the factor is not 1, and where the data do not say their box.
    """
    if "boxsize" not in model:
        return 1.0
    size = f"{checks.box_text(model['boxsize'])} Mpc/h"
    if "boxsize" not in data:
        if not supposed:
            warnings.warn(
                f"the data do not say their box: their noise is taken as that of the emulator's, "
                f"{size}; to give it, pass boxsize=SIDE",
                UserWarning,
                stacklevel=4,
            )
        return 1.0
    boxes = data.get("boxes", 1)
    factor = checks.volume(model["boxsize"]) / (boxes * checks.volume(data["boxsize"]))
    if abs(factor - 1) <= _VOLUME_AGREES:
        return 1.0
    mean = f"{boxes} boxes" if boxes > 1 else "a box"
    warnings.warn(
        f"the data are of {mean} of {checks.box_text(data['boxsize'])} Mpc/h, the emulator's noise "
        f"is of one of {size}: its covariance is multiplied by {factor:.4g}, the ratio of the "
        "volumes",
        UserWarning,
        stacklevel=4,
    )
    return factor


def data_volume(
    data: Mapping[str, Any], model: Mapping[str, Any], *, supposed: bool
) -> float | None:
    """Volume of the data, (Mpc/h)^3; None, that of a box of the model, if they do not say.

    Warns
    -----
    UserWarning
        Where they do not, and something was measured.
    """
    if "boxsize" in data:
        return float(data.get("boxes", 1) * checks.volume(data["boxsize"]))
    if not supposed:
        size = f", {checks.box_text(model['boxsize'])} Mpc/h" if "boxsize" in model else ""
        warnings.warn(
            "the data do not say their box: their noise is taken as that of one box of the "
            f"tables{size}; to give it, pass boxsize=SIDE",
            UserWarning,
            stacklevel=4,
        )
    return None
