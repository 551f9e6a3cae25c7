"""The C entry points of the Julia sources, and the turning of Python arguments into C ones."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pysoftcorr._julia.errors import JuliaUnavailable
from pysoftcorr.core import options

__all__ = ["ENTRIES", "check_table", "convert", "parse_table", "prototype"]

_PAIR_SET = "f64*,f64*,f64*,i64,i64,i64"
_BOX_SET = "f64*,f64*,f64*,f64*,i64*,f64*,i64"
_BOX_REGIONS = "f64*,f64*,f64*,f64*,i64*,i64*,i64"
_SIGHT_SET = "f64*,f64*,f64*,i64"
_STATISTIC = "i64,i64*,f64*,i64,f64*,i64,f64*,i64,f64*"
_ESTIMATOR = "i64,f64*,i64,f64*,f64*,i64*,f64*,i64,f64*"

#: Name -> argument types of every entry point, by the file of ``julia/src/entries`` that defines
#: it: ``f64`` and ``i64`` are numbers, the rest pointers. Start-up compares it with Julia's own.
ENTRIES = {
    # entry.jl: the runtime itself
    "last_error": "u8*,i64",
    "self_test": "i64,i64*",
    "throw_in_loop": "i64",
    "busy": "f64",
    # clustering.jl
    "seed_centers": "f64*,i64,i64,f64*,i64,f64*,f64*",
    "fuzzy_cmeans": "f64*,i64,i64,f64*,i64,f64,f64,i64,i64,f64*,f64*,f64*,i64*",
    "sparse_cmeans": "f64*,i64,i64,f64*,i64,f64,f64,i64,i64,f64*,f64*,f64*,i64*",
    "centers_pullback": "f64*,i64,i64,f64*,i64,f64,f64*,f64*,f64,i64,f64*,f64*,f64*",
    "membership_sums": "f64*,i64,i64,i64,f64,f64*,f64*,f64*",
    "assign_places": "f64*,i64,i64,i64,f64,f64*,i64,f64*,i64*",
    "memberships": "f64*,i64,i64,i64,f64,f64*,f64*",
    "assign_greedy": "f64*,i64,i64,i64*",
    "assign_sampled": "f64*,i64,i64,i64,f64*,i64*",
    "assign_gumbel": "f64*,i64,i64,f64*,f64,i64,f64*",
    "label_means": "i64,f64*,i64,f64*,i64,f64*,i64,i64*,i64,i64,i64,f64*,f64*,f64*",
    "share_means": "i64,f64*,i64,f64*,i64,f64*,i64,f64*,i64,f64*,f64*,f64*",
    # pairs.jl
    "pair_sums_of": f"i64,i64,i64,i64,{_PAIR_SET},{_PAIR_SET},f64*,i64,f64*",
    # gravity.jl
    "gravity_simulate": (
        "i64,f64*,f64*,f64,f64,f64,f64,f64,i64,f64*,i64,f64*,f64*,f64*,f64*,f64*,f64*,i64*,i64*"
    ),
    # box.jl
    "box_pair_sums": f"{_BOX_SET},{_BOX_SET},i64,i64,i64,i64,f64*,f64*,i64,f64*",
    "box_region_sums": (f"{_BOX_REGIONS},{_BOX_REGIONS},i64,i64,i64,i64,f64*,f64*,i64,f64*,f64*"),
    # tabulate.jl
    "hat_pair_sums": "f64*,f64*,i64*,f64*,i64,f64*,f64*,i64,i64,f64*",
    "place_pair_sums": "f64*,f64*,f64*,i64*,i64*,f64*,i64,f64*,f64*,i64,i64,f64*",
    "sight_hat_pair_sums": "f64*,f64*,i64*,f64*,i64,f64*,f64*,i64,f64*,i64,f64*,i64,f64,i64,f64*",
    # anisotropic.jl
    "sight_pair_sums": f"{_SIGHT_SET},{_SIGHT_SET},i64,i64,i64,f64*,f64*,i64,f64*,i64,f64*",
    # softcorr.jl
    "softcorr_centers": "i64,i64,f64*,i64,f64,i64,i64,i64,f64*,i64*,f64*",
    "softcorr_value": f"{_ESTIMATOR},f64*,f64*",
    "softcorr_vjp": f"{_ESTIMATOR},i64,f64*,f64*,f64*,i64*,f64*",
    "softcorr_jvp": f"{_ESTIMATOR},f64*,f64*,f64*",
    "softcorr_hvp": f"{_ESTIMATOR},f64*,i64,f64*,f64*,f64*,f64*,f64*,i64*,f64*",
    "soft_bin_weights": "i64,f64*,i64,i64,f64*,f64*",
    # softstatistics.jl
    "soft_statistic": f"{_STATISTIC},i64,f64*,f64*,f64*,f64*",
    "soft_statistic_weights": f"{_STATISTIC},f64*,f64*,f64*",
    "soft_statistic_pullback": (
        f"{_STATISTIC},i64,f64*,i64,f64*,f64*,f64*,f64*,f64*,f64*,f64*,f64*"
    ),
}

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


def parse_table(text: str) -> tuple[str, dict[str, str]]:
    """Version and table from what Julia's ``entry_table()`` says."""
    version, *lines = text.splitlines()
    found = {}
    for line in lines:
        name, _, signature = line.partition(" ")
        found[name] = signature
    return version, found


def check_table(text: str, *, version: str, wanted: Mapping[str, str] = ENTRIES) -> None:
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
            f"the Julia sources are of version {julia_version}, the Python package of {version}",
            "reinstall pysoftcorr",
        )
    for name, signature in wanted.items():
        if name not in found:
            raise JuliaUnavailable(
                f"the Julia sources have no entry point {name}({signature})", "reinstall pysoftcorr"
            )
        if found[name] != signature:
            raise JuliaUnavailable(
                f"entry point {name} takes ({found[name]}) in Julia and ({signature}) in Python",
                "reinstall pysoftcorr",
            )


@functools.cache
def prototype(signature: str) -> Any:
    """The ctypes prototype of a signature; a call through it releases the interpreter lock."""
    types = [C_TYPES[code] for code in signature.split(",") if code]
    return ctypes.CFUNCTYPE(ctypes.c_int32, *types)


def _integer(value: Any, where: str) -> int:
    return options.integer(where, value, least=INT64.min, most=INT64.max)


def _float(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{where} = {value!r}: must be a number")
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
