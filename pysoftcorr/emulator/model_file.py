"""A trained emulator in one HDF5 file: numbers and JSON text, nothing that could be run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from pysoftcorr.core.files import HDF5, FileFormat, check_output
from pysoftcorr.core.version import __version__
from pysoftcorr.emulator.correlation import BinCorrelation
from pysoftcorr.emulator.domain import Bounds
from pysoftcorr.mocks.hod import COSMOLOGY, PARAMETERS, WITH_COSMOLOGY

__all__ = ["FORMAT", "ModelFile", "read_model", "shipped_model", "write_model"]

FORMAT = FileFormat("pysoftcorr emulator", "emulator")
# A model is a few MB: more is no model, whatever the file says.
_MOST_NUMBERS = 200_000_000


@dataclass(frozen=True, eq=False)
class ModelFile:
    """Content of the file of a model.

    Attributes
    ----------
    kind : str
        Kind of the network.
    config : dict
        Keywords of the network.
    weights : dict of ndarray
        The state of the network, scaling included; float32.
    edges : ndarray, shape (b + 1,)
        Mpc/h.
    bounds : Bounds
    description : dict
        Training data and training, as JSON has it.
    correlation : BinCorrelation, optional
        Of the bins of a realization.
    version : str
        Version of the package that wrote it.
    """

    kind: str
    config: dict[str, Any]
    weights: dict[str, npt.NDArray[Any]]
    edges: npt.NDArray[np.float64]
    bounds: Bounds
    description: dict[str, Any]
    correlation: BinCorrelation | None = None
    version: str = __version__


def shipped_model() -> Path:
    """The model that comes with the package.

    Raises
    ------
    FileNotFoundError
        If this installation has none.
    """
    path = Path(__file__).with_name("weights") / "emulator.h5"
    if not path.is_file():
        raise FileNotFoundError(
            f"this installation of pysoftcorr has no trained emulator ({path}); give the path of "
            "one, as softcorr train writes it"
        )
    return path


def write_model(model: ModelFile, path: str | PathLike[str], *, overwrite: bool = False) -> Path:
    """Write a model, whole or not at all; gives the path.

    Raises
    ------
    ValueError
        If the suffix is neither .h5 nor .hdf5, or a weight is not finite.
    OSError
        As `pysoftcorr.core.files.check_output`.
    """
    target = check_output(path, suffixes=HDF5, overwrite=overwrite)
    _check_finite(model.weights, "cannot write the model")
    with FORMAT.writing(target, overwrite=overwrite) as file:
        file.attrs["version"] = model.version
        file.attrs["kind"] = model.kind
        file.attrs["config"] = json.dumps(model.config)
        file.attrs["parameters"] = json.dumps(list(model.bounds.names))
        # Data, not an attribute: those are limited to 64 kB, a training record is not.
        file.create_dataset("description", data=json.dumps(model.description),
                            dtype=h5py.string_dtype())  # fmt: skip
        file["edges"] = np.asarray(model.edges, dtype=np.float64)
        file["edges"].attrs["unit"] = "Mpc/h"
        for name, array in model.bounds.arrays().items():
            file[f"bounds/{name}"] = array
        for name, array in model.weights.items():
            kind = np.float32 if np.issubdtype(array.dtype, np.floating) else np.int64
            file[f"weights/{name}"] = array.astype(kind)
        if model.correlation is not None:
            _write_correlation(file.create_group("correlation"), model.correlation)
    return target


def _write_correlation(group: h5py.Group, found: BinCorrelation) -> None:
    group.attrs["record"] = json.dumps(found.record)
    group["mean"], group["whiten"] = found.mean, found.whiten
    for name, matrices in found.matrices.items():
        group.create_dataset(f"{name}/matrices", data=matrices, fletcher32=True)
        group.create_dataset(f"{name}/gates", data=found.gates[name], fletcher32=True)


def _read_correlation(file: h5py.File) -> BinCorrelation | None:
    if "correlation" not in file:
        return None
    group = file["correlation"]
    names = [name for name, item in group.items() if isinstance(item, h5py.Group)]
    return BinCorrelation(
        mean=group["mean"][...],
        whiten=group["whiten"][...],
        matrices={name: group[name]["matrices"][...] for name in names},
        gates={name: group[name]["gates"][...] for name in names},
        record=json.loads(group.attrs["record"]),
    )


def read_model(path: str | PathLike[str]) -> ModelFile:
    """Read a model.

    Raises
    ------
    FileNotFoundError
        If it is not there.
    ValueError
        If it is none, damaged, of a newer format, or for other parameters.
    """
    with FORMAT.reading(path) as file:
        return _read(file)


def _read(file: h5py.File) -> ModelFile:
    names = json.loads(file.attrs["parameters"])
    if tuple(names) not in (PARAMETERS, WITH_COSMOLOGY):
        raise ValueError(
            f"its parameters are {', '.join(map(str, names))}; this pysoftcorr has "
            f"{', '.join(PARAMETERS)}, and {', '.join(COSMOLOGY)}"
        )
    weights: dict[str, npt.NDArray[Any]] = {}

    def take(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            if item.size is None or item.size > _MOST_NUMBERS:
                raise ValueError(f"{name} has {item.size} numbers")
            weights[name] = item[()] if item.ndim else np.array(item[()])

    file["weights"].visititems(take)
    _check_finite(weights, "weights")
    edges = np.asarray(file["edges"][...], dtype=np.float64)
    if edges.ndim != 1 or len(edges) < 2 or not (np.diff(edges) > 0).all() or edges[0] < 0:
        raise ValueError("edges of bins that do not rise")
    correlation = _read_correlation(file)
    for name, matrices in ({} if correlation is None else correlation.matrices).items():
        if matrices.shape[-1] != len(edges) - 1:
            raise ValueError(f"correlation of {matrices.shape[-1]} bins of {name}")
    return ModelFile(
        kind=str(file.attrs["kind"]),
        config=dict(json.loads(file.attrs["config"])),
        weights=weights,
        edges=edges,
        bounds=Bounds.from_arrays({name: item[...] for name, item in file["bounds"].items()}),
        description=dict(json.loads(file["description"].asstr()[()])),
        correlation=correlation,
        version=str(file.attrs["version"]),
    )


def _check_finite(weights: dict[str, npt.NDArray[Any]], what: str) -> None:
    for name, array in weights.items():
        if not np.isfinite(array).all():
            bad = int((~np.isfinite(array)).sum())
            raise ValueError(f"{what}: {bad} of {array.size} numbers of {name} are not finite")
