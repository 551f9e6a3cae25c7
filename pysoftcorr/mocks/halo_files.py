"""Halo catalogues in HDF5, as `HaloCatalog.write` makes them."""

from __future__ import annotations

import json
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np

from pysoftcorr.files import check_output, whole_file

if TYPE_CHECKING:
    from pysoftcorr.mocks.halos import HaloCatalog

FORMAT = "pysoftcorr haloes"
FORMAT_VERSION = 1
_UNITS = {
    "position": "Mpc/h",
    "mass": "Msun/h",
    "radius": "Mpc/h",
    "concentration": "",
    "axis": "",
}


def write(haloes: HaloCatalog, path: str | PathLike[str], *, overwrite: bool) -> None:
    """As `HaloCatalog.write`."""
    if Path(path).suffix.lower() not in (".h5", ".hdf5"):
        raise ValueError(f"{path}: halo catalogues are written as HDF5; use .h5 or .hdf5")
    target = check_output(path, overwrite=overwrite)
    with whole_file(target, overwrite=overwrite) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["format"] = FORMAT
        file.attrs["format_version"] = FORMAT_VERSION
        file.attrs["boxsize"] = haloes.boxsize
        file.attrs["cosmology"] = json.dumps(haloes.cosmology)
        file.attrs["meta"] = json.dumps(haloes.meta)
        for name, unit in _UNITS.items():
            data = file.create_dataset(name, data=getattr(haloes, name))
            data.attrs["unit"] = unit


def is_own(path: str | PathLike[str]) -> bool:
    """Whether the file is one of `write`; FileNotFoundError where there is none."""
    source = Path(path).expanduser()
    if not source.exists():
        raise FileNotFoundError(f"no such halo catalogue: {source}")
    if source.is_dir() or not h5py.is_hdf5(source):
        return False
    with h5py.File(source, "r") as file:
        return file.attrs.get("format") == FORMAT


def read_own(path: str | PathLike[str]) -> HaloCatalog:
    """Read a file of `write`; ValueError where it is damaged or of a newer format."""
    from pysoftcorr.mocks.halos import HaloCatalog

    source = Path(path).expanduser()
    try:
        with h5py.File(source, "r") as file:
            version = int(file.attrs["format_version"])
            if version > FORMAT_VERSION:
                raise ValueError(
                    f"its format, {version}, is newer than this pysoftcorr knows "
                    f"({FORMAT_VERSION}); upgrade pysoftcorr"
                )
            return HaloCatalog(
                *(np.asarray(file[name]) for name in _UNITS),
                boxsize=float(file.attrs["boxsize"]),
                cosmology=json.loads(file.attrs["cosmology"]),
                meta=json.loads(file.attrs["meta"]),
            )
    except (KeyError, OSError, TypeError, ValueError) as error:
        raise ValueError(f"{source} cannot be read: {error}") from None
