"""Checkpoints of a training run: HDF5 files, never a pickle, from which it resumes bit for bit.

A state is a nested dict of tensors, numbers, text, lists and None. Tensors become datasets and
the rest JSON, whose floats read back as the same bits.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

from pysoftcorr.core.files import FileFormat

__all__ = ["checkpoint_path", "differences", "read_checkpoint", "write_checkpoint"]

FORMAT = FileFormat(
    "pysoftcorr training checkpoint", "checkpoint", hint="; delete it to start again"
)


def checkpoint_path(model: str | PathLike[str]) -> Path:
    """Path of the checkpoint of a model: beside it, under a name of its own.

    Examples
    --------
    >>> from pysoftcorr.emulator.training.checkpoint import checkpoint_path
    >>> checkpoint_path("runs/model.h5").name
    'model.checkpoint.h5'
    """
    path = Path(model).expanduser()
    return path.with_name(f"{path.stem}.checkpoint.h5")


def write_checkpoint(path: str | PathLike[str], state: Mapping[str, Any]) -> None:
    """Write a state; whole, or the checkpoint before it stays.

    Raises
    ------
    OSError
        If it cannot be written.
    TypeError
        If something in it can be neither a dataset nor JSON.
    """
    tensors: dict[str, torch.Tensor] = {}
    plain = _plain(state, "", tensors)
    target = Path(path).expanduser()
    with FORMAT.writing(target, overwrite=True) as file:
        # A dataset: an attribute holds 64 kB at most, and curves may be longer.
        file["state"] = json.dumps(plain)
        for number, tensor in enumerate(tensors.values()):
            file[f"tensors/{number}"] = tensor.detach().cpu().numpy()


def read_checkpoint(path: str | PathLike[str]) -> dict[str, Any]:
    """The state of a checkpoint, tensors on the CPU.

    Raises
    ------
    FileNotFoundError
        If it is not there.
    ValueError
        If it is no checkpoint, damaged, or of a newer format.
    """
    with FORMAT.reading(path) as file:
        state: dict[str, Any] = _filled(json.loads(file["state"].asstr()[()]), file)
        return state


def _plain(value: Any, name: str, tensors: dict[str, torch.Tensor]) -> Any:
    if isinstance(value, torch.Tensor):
        tensors[name] = value
        return {"tensor": len(tensors) - 1}
    if isinstance(value, Mapping):
        # Pairs, so that whole-number keys, as optimizers have, stay whole numbers.
        return {"items": [[key, _plain(item, f"{name}/{key}", tensors)] for key, item in
                          value.items()]}  # fmt: skip
    if isinstance(value, (list, tuple)):
        return [_plain(item, f"{name}/{i}", tensors) for i, item in enumerate(value)]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"{name}: {type(value).__name__} cannot be kept in a checkpoint")


def _filled(value: Any, file: h5py.File) -> Any:
    if isinstance(value, dict) and "tensor" in value:
        return torch.from_numpy(np.asarray(file[f"tensors/{value['tensor']}"][()]))
    if isinstance(value, dict):
        return {key: _filled(item, file) for key, item in value["items"]}
    if isinstance(value, list):
        return [_filled(item, file) for item in value]
    return value


def differences(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[str]:
    """Differences between two sets of settings, in words."""
    for key in sorted({*mine, *theirs}):
        if mine.get(key) != theirs.get(key):
            yield f"{key} is {theirs.get(key)!r} there and {mine.get(key)!r} here"
