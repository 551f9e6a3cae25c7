"""Checks of the options of a call, with messages that name the option and its value."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["array", "at_least_one", "choice", "flag", "integer", "number", "positive"]


def choice(name: str, value: Any, among: Iterable[str]) -> str:
    """`value` if it is one of the names; TypeError where it is no text, ValueError for others."""
    names = list(among)
    if not isinstance(value, str):
        raise TypeError(f"{name} = {value!r}: must be text, one of {', '.join(names)}")
    if value not in names:
        raise ValueError(f"{name} = {value!r}: must be one of {', '.join(names)}")
    return value


def flag(name: str, value: Any) -> bool:
    """`value` if it is a bool."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} = {value!r}: must be True or False")
    return bool(value)


def integer(name: str, value: Any, *, least: int | None = None, most: int | None = None) -> int:
    """`value` as a whole number from `least` to `most`, as far as these are given.

    Examples
    --------
    >>> from pysoftcorr.core.options import integer
    >>> integer("chains", 0, least=1)
    Traceback (most recent call last):
        ...
    ValueError: chains = 0: must be at least 1
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} = {value!r}: must be a whole number")
    _within(name, value, least, most)
    return int(value)


def number(
    name: str,
    value: Any,
    *,
    least: float | None = None,
    most: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> float:
    """`value` as a finite float within limits, which belong to the range or, last two, do not."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.number)):
        raise TypeError(f"{name} = {value!r}: must be a number")
    if isinstance(value, (complex, np.complexfloating)):
        raise TypeError(f"{name} = {value!r}: must be a real number")
    if not math.isfinite(value):
        limit = "" if above is None else f" and above {above:g}"
        raise ValueError(f"{name} = {value}: must be finite{limit}")
    if above is not None and not value > above:
        raise ValueError(f"{name} = {value}: must be finite and above {above:g}")
    if below is not None and not value < below:
        raise ValueError(f"{name} = {value}: must be below {below:g}")
    _within(name, value, least, most)
    return float(value)


def _within(name: str, value: Any, least: float | None, most: float | None) -> None:
    if least is not None and most is not None and not least <= value <= most:
        raise ValueError(f"{name} = {value}: must be from {_shown(least)} to {_shown(most)}")
    if least is not None and value < least:
        raise ValueError(f"{name} = {value}: must be at least {_shown(least)}")
    if most is not None and value > most:
        raise ValueError(f"{name} = {value}: must be at most {_shown(most)}")


def _shown(limit: float) -> str:
    return f"{limit:,}" if isinstance(limit, int) else f"{limit:g}"


def positive(name: str, value: Any) -> float:
    """`value` as a finite float above 0."""
    return number(name, value, above=0)


def at_least_one(name: str, value: Any) -> int:
    """`value` as a whole number of 1 or more."""
    return integer(name, value, least=1)


def array(
    name: str, values: Any, shape: tuple[int | None, ...], dtype: Any = np.float64
) -> npt.NDArray[Any]:
    """A fresh C-ordered array of this shape, where None stands for any length.

    Raises
    ------
    TypeError
        If the values cannot be made into `dtype`.
    ValueError
        If the shape is another, or a length is 0.
    """
    try:
        made = np.array(values, dtype=dtype, order="C")
    except (TypeError, ValueError):
        kind = np.dtype(dtype).name
        raise TypeError(f"{name} must be an array of {kind}, not {type(values).__name__}") from None
    fits = made.ndim == len(shape) and all(
        want is None or have == want for have, want in zip(made.shape, shape, strict=True)
    )
    if not fits or 0 in made.shape:
        wanted = ", ".join("n" if s is None else str(s) for s in shape)
        wanted = f"({wanted},)" if len(shape) == 1 else f"({wanted})"
        raise ValueError(f"{name} must have shape {wanted}, not {made.shape}")
    return made
