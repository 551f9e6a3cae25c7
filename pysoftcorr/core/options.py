"""Checks of the options of a call, with messages that name the option and its value."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr.core.memory import refuse_beyond_memory

__all__ = [
    "MOST", "MOST_CHAINS", "MOST_DRAWS", "MOST_REALIZATIONS", "MOST_WORKERS", "array",
    "at_least_one", "choice", "count", "finite_numbers", "flag", "integer", "mapping", "number",
    "numbers", "positive", "several", "shown", "text", "texts",
]  # fmt: skip

#: Largest count of anything, such as objects or steps; more cannot be meant.
MOST = 1_000_000_000
#: Draws of a chain, chains, processes and realizations.
MOST_DRAWS, MOST_CHAINS, MOST_WORKERS, MOST_REALIZATIONS = 10_000_000, 10_000, 4096, 100_000
_INT64 = np.iinfo(np.int64)


def shown(value: Any) -> str:
    """A value as a message shows it: its repr in one line, cut where it is long."""
    if isinstance(value, (int, np.integer)) and not isinstance(value, (bool, np.bool_)):
        # Python refuses to print integers of more than 4300 digits.
        bits, sign = int(value).bit_length(), "-" if value < 0 else ""
        return str(value) if bits <= 130 else f"{sign}10^{int(bits * 0.30103)}"
    try:
        words = " ".join(repr(value).split())
    except Exception:  # whatever the object of a user raises
        words = f"an object of type {type(value).__name__}"
    return words if len(words) <= 80 else f"{words[:70]} ..."


def text(name: str, value: Any) -> str:
    """`value` if it is a text that is not empty."""
    if not isinstance(value, str):
        raise TypeError(f"{name} = {shown(value)}: must be text")
    if not value.strip():
        raise ValueError(f"{name} = {value!r}: must not be empty")
    return value


def choice(name: str, value: Any, among: Iterable[str]) -> str:
    """`value` if it is one of the names; TypeError where it is no text, ValueError for others."""
    names = list(among)
    if not isinstance(value, str):
        raise TypeError(f"{name} = {shown(value)}: must be text, one of {', '.join(names)}")
    if value not in names:
        raise ValueError(f"{name} = {shown(value)}: must be one of {', '.join(names)}")
    return value


def flag(name: str, value: Any) -> bool:
    """`value` if it is a bool."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} = {shown(value)}: must be True or False")
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
        raise TypeError(f"{name} = {shown(value)}: must be a whole number")
    _within(name, value, least, most)
    if not _INT64.min <= value <= _INT64.max:
        raise ValueError(f"{name} = {shown(value)}: must be a whole number of at most 64 bits")
    return int(value)


def count(name: str, value: Any, *, least: int = 1, most: int = MOST, each: float = 0.0) -> int:
    """`value` as a number of things, with a limit, that fit into the memory there is.

    Parameters
    ----------
    name : str
    value : object
    least, most : int
        Both are allowed.
    each : float
        Bytes that one of them takes.

    Raises
    ------
    TypeError
        If it is no whole number.
    ValueError
        If it is beyond a limit, or takes more memory than there is.
    """
    number_of = integer(name, value, least=least)
    _within(name, number_of, None, most)
    refuse_beyond_memory(f"{name} = {number_of}", number_of * each)
    return number_of


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
        raise TypeError(f"{name} = {shown(value)}: must be a number")
    if isinstance(value, (complex, np.complexfloating)):
        raise TypeError(f"{name} = {shown(value)}: must be a real number")
    given = value
    try:
        value = float(value)
    except OverflowError:  # an integer beyond the floats
        raise ValueError(
            f"{name} = {shown(given)}: must be a number that a float64 can hold"
        ) from None
    said = shown(given) if isinstance(given, (int, np.integer)) else str(given)
    if not math.isfinite(value):
        limit = "" if above is None else f" and above {above:g}"
        raise ValueError(f"{name} = {said}: must be finite{limit}")
    if above is not None and not value > above:
        raise ValueError(f"{name} = {said}: must be finite and above {above:g}")
    if below is not None and not value < below:
        raise ValueError(f"{name} = {said}: must be below {below:g}")
    _within(name, value, least, most, said)
    return value


def _within(
    name: str, value: Any, least: float | None, most: float | None, said: str | None = None
) -> None:
    said = shown(value) if said is None else said
    if least is not None and most is not None and not least <= value <= most:
        raise ValueError(f"{name} = {said}: must be from {_shown(least)} to {_shown(most)}")
    if least is not None and value < least:
        raise ValueError(f"{name} = {said}: must be at least {_shown(least)}")
    if most is not None and value > most:
        raise ValueError(f"{name} = {said}: must be at most {_shown(most)}")


def _shown(limit: float) -> str:
    return f"{limit:,}" if isinstance(limit, int) else f"{limit:g}"


def positive(name: str, value: Any) -> float:
    """`value` as a finite float above 0."""
    return number(name, value, above=0)


def at_least_one(name: str, value: Any) -> int:
    """`value` as a whole number of 1 or more, and at most `MOST`."""
    return count(name, value)


def numbers(name: str, values: Any, dtype: Any = np.float64) -> npt.NDArray[Any]:
    """An array of any shape, C-ordered and in the byte order of the machine; it may be no copy.

    Raises
    ------
    TypeError
        If they are text, complex or objects that are no numbers, or a list that is no array.
    ValueError
        If entries are masked, or beyond what `dtype` holds.
    """
    kind = "whole numbers" if np.dtype(dtype).kind in "iu" else "real numbers"
    if np.ma.is_masked(values):
        raise ValueError(f"{name} has masked entries: must be {kind}; fill them or leave them out")
    try:
        given = np.asarray(values)
        # NumPy reads numbers in text, cuts complex ones, and takes None for NaN.
        known = "biufO" + "c" * (np.dtype(dtype).kind == "c")
        wrong = given.dtype.kind not in known or (
            given.dtype.kind == "O" and any(x is None or isinstance(x, (str, bytes))
                                            for x in given.flat)
        )  # fmt: skip
        if not wrong:
            with np.errstate(over="ignore"):
                return np.require(given, dtype=dtype, requirements="C")
    except OverflowError:
        raise ValueError(f"{name} = {shown(values)}: must be within {np.dtype(dtype)}") from None
    except (TypeError, ValueError):
        pass
    raise TypeError(f"{name} = {shown(values)}: must be an array of {kind}")


def finite_numbers(name: str, values: Any) -> npt.NDArray[np.float64]:
    """Numbers in float64, as `numbers` has them; ValueError where one is NaN or infinite, too."""
    found = numbers(name, values)
    if not np.isfinite(found).all():
        bad = found[~np.isfinite(found)].flat[0]
        raise ValueError(f"{name} {'holds' if found.ndim else '='} {bad}: must be finite")
    return found


def mapping(name: str, value: Any) -> dict[Any, Any]:
    """A fresh dict of a mapping; an empty one of None."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} = {shown(value)}: must be a mapping, such as a dict")
    return dict(value)


def several(name: str, value: Any, kind: type) -> list[Any]:
    """A list of objects of one class, from a list, tuple or iterator of them."""
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping)):
        found = list(value)
        for k, one in enumerate(found):
            if not isinstance(one, kind):
                raise TypeError(f"{name}[{k}] must be {kind.__name__}, not {type(one).__name__}")
        return found
    raise TypeError(f"{name} = {shown(value)}: must be a list of {kind.__name__}")


def texts(name: str, value: Any) -> list[str]:
    """Several texts, from a list of them or one text with commas."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",")]
    if not isinstance(value, (list, tuple, set, frozenset)) or not all(
        isinstance(part, str) for part in value
    ):
        raise TypeError(f"{name} = {shown(value)}: must be text, or a list of texts")
    return list(value)


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
    made = np.array(numbers(name, values, dtype), order="C")
    fits = made.ndim == len(shape) and all(
        want is None or have == want for have, want in zip(made.shape, shape, strict=True)
    )
    if not fits or 0 in made.shape:
        wanted = ", ".join("n" if s is None else str(s) for s in shape)
        wanted = f"({wanted},)" if len(shape) == 1 else f"({wanted})"
        raise ValueError(f"{name} must have shape {wanted}, not {made.shape}")
    return made
