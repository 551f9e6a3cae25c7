"""Files of training and test sets: HDF5, compressed, correlations rounded to what noise allows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import numpy.typing as npt

from pysoftcorr.emulator.dataset import (
    DRAWN,
    MANTISSA_BITS,
    MEANS,
    PARTS,
    RESPONSES,
    EmulatorData,
    Split,
)
from pysoftcorr.files import check_output, whole_file
from pysoftcorr.mocks.design import PARAMETERS

if TYPE_CHECKING:
    from pysoftcorr.mocks import Campaign

__all__ = ["read_data", "write_data"]

FloatArray = npt.NDArray[np.float64]

FORMAT = "pysoftcorr emulator data"
FORMAT_VERSION = 1


def read_data(path: str | PathLike[str]) -> Campaign | EmulatorData | Split:
    """Read whichever the file holds: a campaign, one part of it, or a split.

    Raises
    ------
    FileNotFoundError
        If it is not there.
    ValueError
        If it is none of these, damaged, or of a newer format.
    """
    source = Path(path).expanduser()
    if not source.exists():
        raise FileNotFoundError(f"no such data: {source}")
    if source.is_dir():
        raise ValueError(f"{source} is a folder; emulator data is one file")
    try:
        with h5py.File(source, "r") as file:
            if file.attrs.get("format") != FORMAT:
                from pysoftcorr.mocks import Campaign

                return Campaign.read(source)
            version = int(file.attrs["format_version"])
            if version > FORMAT_VERSION:
                raise ValueError(
                    f"its format, {version}, is newer than this pysoftcorr knows "
                    f"({FORMAT_VERSION}); upgrade pysoftcorr"
                )
            if "parameters" in file:
                return _read_part(file)
            return Split(*(_read_part(file[part]) for part in PARTS))
    except (KeyError, OSError, TypeError, ValueError) as error:
        if str(source) in str(error):
            raise
        raise ValueError(f"{source} holds no emulator data of pysoftcorr: {error}") from None


def _rounded(values: FloatArray, bits: int) -> npt.NDArray[np.float32]:
    """The nearest float32 with so many bits of the mantissa; the rest compresses to nothing."""
    drop = 23 - bits
    word = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    if drop:
        half = np.uint32(1 << (drop - 1))
        word = (word + half) & np.uint32(0xFFFFFFFF ^ ((1 << drop) - 1))
    return word.view(np.float32)


def write_data(
    path: str | PathLike[str],
    parts: Mapping[str, EmulatorData],
    *,
    responses: bool = False,
    mantissa_bits: int = MANTISSA_BITS,
    overwrite: bool = False,
) -> None:
    """Write one part, under the name "", or several; as `EmulatorData.write`."""
    bits = mantissa_bits
    if isinstance(bits, bool) or not isinstance(bits, int) or not 1 <= bits <= 23:
        raise ValueError(f"mantissa_bits = {bits!r}: must be a whole number from 1 to 23")
    target = check_output(path, overwrite=overwrite)
    if not target.name.lower().endswith((".h5", ".hdf5")):
        raise ValueError(f"{target}: unknown suffix; use .h5 or .hdf5")
    names = [*DRAWN, *MEANS, *(RESPONSES if responses else ())]
    packed: dict[str, Any] = {"compression": "gzip", "compression_opts": 9, "shuffle": True}
    with whole_file(target, overwrite=overwrite) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["format"] = FORMAT
        file.attrs["format_version"] = FORMAT_VERSION
        for part, data in parts.items():
            group = file.require_group(part) if part else file
            group.attrs["description"] = json.dumps(data.description)
            group.attrs["mantissa_bits"] = bits
            for name in ("parameters", "edges", "row"):
                group.create_dataset(name, data=getattr(data, name), **packed)
            group["parameters"].attrs["columns"] = list(PARAMETERS)
            group["edges"].attrs["unit"] = "Mpc/h"
            for name in names:
                values = getattr(data, name)
                if values is not None:
                    group.create_dataset(name, data=_rounded(values, bits), **packed)


def _read_part(group: h5py.Group) -> EmulatorData:
    columns = [str(name) for name in group["parameters"].attrs["columns"]]
    if columns != list(PARAMETERS):
        raise ValueError(f"its parameters are {', '.join(columns)}, not {', '.join(PARAMETERS)}")
    names = [n for n in (*DRAWN, *MEANS, *RESPONSES) if n in group or n in DRAWN]
    return EmulatorData(
        parameters=group["parameters"][...],
        edges=group["edges"][...],
        row=group["row"][...],
        description=json.loads(group.attrs["description"]),
        **{name: group[name][...] for name in names},
    )
