"""The arguments of a posterior, checked."""

from __future__ import annotations

import copy
import difflib
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr.inference.observation import Observation
from pysoftcorr.inference.priors import Normal, Prior, Priors, Uniform, parse_prior

FloatArray = npt.NDArray[np.float64]

#: The strengths, which have bounds of their own.
ALIGNMENT = ("mu_cen", "mu_sat")
#: A prior may reach beyond the bounds of the emulator by this part of its mass.
_OUTSIDE = 1e-3


def bounds(
    names: tuple[str, ...],
    priors: Priors,
    fixed: Mapping[str, float],
    limits: Mapping[str, tuple[float, float]],
    *,
    on_outside: str,
) -> None:
    """ValueError, or a warning, where fixed values or priors leave the bounds of the emulator."""
    complaints = []
    for name, value in fixed.items():
        low, high = limits[name]
        # A bound itself may have been rounded.
        slack = 1e-6 * max(abs(low), abs(high), 1.0)
        if not low - slack <= value <= high + slack:
            complaints.append(
                f"{name} = {value:g} is outside the bounds of the emulator, [{low:g}, {high:g}]"
            )
    for name, prior in zip(names, priors.members, strict=True):
        low, high = limits[name]
        if name in ALIGNMENT and not (prior.support[0] >= -1 and prior.support[1] <= 1):
            raise ValueError(
                f"prior of {name}: an alignment strength lies in [-1, 1]; take "
                "Uniform(-1, 1), or a TruncatedNormal within"
            )
        slack = 1e-6 * max(abs(low), abs(high), 1.0)
        ends = prior.quantile(np.array([_OUTSIDE / 2, 1 - _OUTSIDE / 2]))
        if ends[0] < low - slack or ends[1] > high + slack:
            hint = " with low and high there" if not isinstance(prior, Normal) else ""
            kind = "Uniform or TruncatedNormal" if not hint else type(prior).__name__
            complaints.append(
                f"prior of {name}: {prior} reaches beyond the bounds of the emulator, "
                f"[{low:g}, {high:g}]; take a {kind} within{hint}"
            )
    if complaints and on_outside == "error":
        raise ValueError("; ".join(complaints))
    if complaints and on_outside == "warn":
        for text in complaints:
            warnings.warn(text, UserWarning, stacklevel=5)


def region(density: Any, *, on_outside: str) -> None:
    """ValueError, or a warning, where a fixed HOD is outside the region trained in.

    That is narrower than the box: the design ties the other parameters to log Mmin.
    """
    if any(name not in ALIGNMENT for name in density.names) or on_outside == "ignore":
        return
    wrong = density.outside(np.zeros((1, len(density.names))))
    if wrong is None or not wrong.any():
        return
    names = [name for name, bad in zip(density.parameters, wrong[0], strict=True) if bad]
    said = ", ".join(f"{name} = {density.fixed[name]:g}" for name in names)
    text = f"{said}: outside the region the emulator was trained in"
    mass = density.fixed.get("logMmin")
    if mass is not None:
        text += f", at logMmin = {mass:g}"
    if on_outside == "error":
        raise ValueError(text)
    warnings.warn(text, UserWarning, stacklevel=4)


def free_names(free: str | Sequence[str], parameters: tuple[str, ...]) -> tuple[str, ...]:
    """The free parameters in the order of the emulator; ValueError for an unknown one."""
    names = [text.strip() for text in free.split(",")] if isinstance(free, str) else list(free)
    for name in names:
        if name not in parameters:
            raise ValueError(f"free: there is no parameter {name!r}{_near(name, parameters)}")
    if not names or len(set(names)) < len(names):
        raise ValueError(f"free = {names}: at least one parameter, and none twice")
    return tuple(name for name in parameters if name in names)


def fixed_values(
    fixed: Any, free: tuple[str, ...], parameters: tuple[str, ...]
) -> dict[str, float]:
    """Values of all that are not free, of an HODModel or a mapping."""
    if hasattr(fixed, "with_parameters"):  # an HODModel
        if fixed.gamma != 0:
            raise ValueError(f"fixed: gamma = {fixed.gamma:g} is not among the emulator's inputs")
        values = {name: getattr(fixed, name) for name in parameters if name not in free}
    elif fixed is None or isinstance(fixed, Mapping):
        values = dict(fixed or {})
    else:
        raise TypeError(f"fixed must be an HODModel or a mapping, not {type(fixed).__name__}")
    for name, value in values.items():
        if name not in parameters:
            raise ValueError(f"fixed: there is no parameter {name!r}{_near(name, parameters)}")
        if name in free:
            raise ValueError(f"{name} is both free and fixed")
        if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
            raise TypeError(f"fixed: {name} = {value!r} must be a number")
        if not np.isfinite(value):
            raise ValueError(f"fixed: {name} = {value} must be finite")
    lacking = [name for name in parameters if name not in free and name not in values]
    if lacking:
        raise ValueError(
            f"{', '.join(lacking)}: neither free nor fixed; fix them, as by "
            "HODModel.preset('mstar10.0'), or add them to free"
        )
    return {name: float(values[name]) for name in parameters if name in values}


def priors_of(
    priors: Mapping[str, Prior | str] | None,
    free: tuple[str, ...],
    bounds: Mapping[str, tuple[float, float]],
) -> dict[str, Prior]:
    """A prior for each free parameter, by default uniform within the bounds."""
    given = dict(priors or {})
    for name in given:
        if name not in free:
            raise ValueError(f"prior of {name}: it is not free; free are {', '.join(free)}")
    out: dict[str, Prior] = {}
    for name in free:
        prior = given.get(name)
        if prior is None:
            low, high = (float(end) for end in bounds[name])
            if not low < high:
                raise ValueError(f"{name} cannot be free: this model has it at {low:g} alone")
            prior = Uniform(low, high)
        out[name] = parse_prior(prior) if isinstance(prior, str) else prior
    return out


def same_edges(own: FloatArray, data: FloatArray) -> None:
    """ValueError where the data have other bins than the emulator."""
    if own.shape == data.shape and np.allclose(own, data, rtol=1e-6, atol=0):
        return
    raise ValueError(
        f"the data have {data.size - 1} bins from {data[0]:g} to {data[-1]:g} Mpc/h, the emulator "
        f"{own.size - 1} from {own[0]:g} to {own[-1]:g} Mpc/h: the bins must be equal; correlate "
        "the data in those of the emulator (its edges)"
        + (
            f"; edge {int(np.argmax(~np.isclose(own, data, rtol=1e-6, atol=0)))} is the first "
            "that differs"
            if own.shape == data.shape
            else ""
        )
    )


def noise_kind(noise: str, observation: Observation) -> str:
    """Whose noise: data, emulator or both."""
    if noise not in ("auto", "data", "emulator", "both"):
        raise ValueError(f"noise = {noise!r}: must be 'auto', 'data', 'emulator' or 'both'")
    if noise == "auto":
        return "emulator" if observation.covariance is None else "data"
    if noise != "emulator" and observation.covariance is None:
        raise ValueError(f"noise = {noise!r}: the data bring no covariance; take 'emulator'")
    return noise


def in_double(emulator: Any) -> Any:
    """A copy in float64: gradients of single precision make a rough landscape."""
    if not hasattr(emulator, "double"):
        return emulator
    twin = copy.deepcopy(emulator)
    if hasattr(twin, "to"):
        twin = twin.to("cpu") or twin
    return twin.double() or twin


def _near(name: str, names: Sequence[str]) -> str:
    close = difflib.get_close_matches(str(name), names, n=1)
    return (f"; did you mean {close[0]}?" if close else "") + f" (of {', '.join(names)})"
