"""The table of C entry points, and the turning of Python arguments into C ones."""

from __future__ import annotations

import ctypes
import functools
import importlib
import pkgutil
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pysoftcorr._julia import entries
from pysoftcorr._julia.errors import JuliaUnavailable

__all__ = ["check_table", "convert", "expected", "prototype"]

C_TYPES: dict[str, Any] = {
    "f64": ctypes.c_double,
    "i64": ctypes.c_int64,
    "f64*": ctypes.c_void_p,
    "i64*": ctypes.c_void_p,
    "u8*": ctypes.c_void_p,
}
DTYPES = {
    "f64*": np.dtype(np.float64),
    "i64*": np.dtype(np.int64),
    "u8*": np.dtype(np.uint8),
}
INT64 = np.iinfo(np.int64)


@functools.cache
def expected() -> dict[str, str]:
    """Name -> argument types of every entry point, over all features."""
    table: dict[str, str] = {}
    for module in pkgutil.iter_modules(entries.__path__):
        feature = importlib.import_module(f"{entries.__name__}.{module.name}").ENTRIES
        for name, signature in feature.items():
            if name in table:
                raise ValueError(f"entry point {name} is listed twice, again in {module.name}")
            table[name] = signature
    return table


def parse_table(text: str) -> tuple[str, dict[str, str]]:
    """Version and table from what Julia's ``entry_table()`` says."""
    version, *lines = text.splitlines()
    found = {}
    for line in lines:
        name, _, signature = line.partition(" ")
        found[name] = signature
    return version, found


def check_table(text: str, *, version: str, wanted: dict[str, str]) -> None:
    """Compare Julia's table with ours.

    An entry point that only Julia has does no harm at run time; the tests hold the two tables
    equal.

    Raises
    ------
    JuliaUnavailable
        The version, a name or a type differs; the message names the first difference.
    """
    julia_version, found = parse_table(text)
    if julia_version != version:
        raise JuliaUnavailable(
            f"the Julia sources are of version {julia_version}, the Python package of {version}: "
            "reinstall pysoftcorr"
        )
    for name, signature in wanted.items():
        if name not in found:
            raise JuliaUnavailable(f"the Julia sources have no entry point {name}({signature})")
        if found[name] != signature:
            raise JuliaUnavailable(
                f"entry point {name} takes ({found[name]}) in Julia and ({signature}) in Python"
            )


@functools.cache
def prototype(signature: str) -> Any:
    """The ctypes prototype of a signature; a call through it releases the interpreter lock."""
    types = [C_TYPES[code] for code in signature.split(",") if code]
    return ctypes.CFUNCTYPE(ctypes.c_int32, *types)


def _integer(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{where} must be an int, got {type(value).__name__}")
    if not INT64.min <= value <= INT64.max:
        raise ValueError(f"{where} must fit in 64 bits, got {value}")
    return int(value)


def _float(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{where} must be a float, got {type(value).__name__}")
    return float(value)


def _address(value: Any, code: str, where: str) -> int:
    dtype = DTYPES[code]
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{where} must be a NumPy array of {dtype}, got {type(value).__name__}")
    if value.dtype != dtype:
        raise TypeError(f"{where} must be a NumPy array of {dtype}, got one of {value.dtype}")
    if not value.flags.c_contiguous:
        raise TypeError(f"{where} must be C-contiguous; use numpy.ascontiguousarray")
    return int(value.ctypes.data)


CONVERTERS: dict[str, Callable[[Any, str], Any]] = {"i64": _integer, "f64": _float}


def convert(name: str, signature: str, args: Sequence[Any]) -> list[Any]:
    """C arguments of a call.

    Raises
    ------
    TypeError
        Wrong number of arguments, or an argument of the wrong kind; the message names the entry
        point and the argument's index, from 0.
    """
    codes = [code for code in signature.split(",") if code]
    if len(args) != len(codes):
        raise TypeError(
            f"{name} takes {len(codes)} arguments ({signature}), {len(args)} were given"
        )
    out = []
    for index, (code, value) in enumerate(zip(codes, args, strict=True)):
        where = f"{name}: argument {index}"
        if code in CONVERTERS:
            out.append(CONVERTERS[code](value, where))
        else:
            out.append(_address(value, code, where))
    return out
