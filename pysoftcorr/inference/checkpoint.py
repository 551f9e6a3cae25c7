"""Arrays of an unfinished run in a file, so that the same call resumes it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr.core.files import FileFormat

__all__ = ["FORMAT", "read_checkpoint", "write_checkpoint"]

Arrays = dict[str, npt.NDArray[Any]]

#: To be raised where the same settings no longer lead to the same chains.
FORMAT = 1

_FILE = FileFormat("pysoftcorr checkpoint", "checkpoint", hint="; pass overwrite=True to restart")


def write_checkpoint(path: Path, identity: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
    """Write arrays, whole or not at all, in the place of what was there.

    Parameters
    ----------
    path : Path
        .h5.
    identity : mapping
        Everything that the arrays follow from, as JSON can hold it.
    arrays : mapping of array_like
    """
    with _FILE.writing(path, overwrite=True) as file:
        file.attrs["identity"] = json.dumps(dict(identity), sort_keys=True)
        for name, values in arrays.items():
            file.create_dataset(name, data=np.asarray(values))


def read_checkpoint(path: Path, identity: Mapping[str, Any]) -> Arrays | None:
    """Arrays of an earlier run of the same identity; None if there is no such file.

    Raises
    ------
    ValueError
        If the file is of other settings, which are named, or damaged.
    """
    if not path.exists():
        return None
    with _FILE.reading(path) as file:
        found = json.loads(file.attrs["identity"])
        if not isinstance(found, dict):
            raise ValueError("its identity is no mapping")
        arrays = {name: file[name][...] for name in file}
    wanted = json.loads(json.dumps(dict(identity)))
    other = sorted(k for k in found.keys() | wanted.keys() if found.get(k) != wanted.get(k))
    if other:
        name = other[0]
        raise ValueError(
            f"{path} holds a run of other settings ({name} = {found.get(name)!r} there, "
            f"{wanted.get(name)!r} here); pass overwrite=True to restart, or another folder"
        )
    return arrays
