"""Tables written to disk in every format that a catalog is read from."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from astropy.table import Table

N = 6


def columns():
    rng = np.random.default_rng(7)
    return {
        "ra": rng.uniform(10, 12, N),
        "dec": rng.uniform(-3, 3, N),
        "g1": rng.normal(0, 0.1, N),
        "g2": rng.normal(0, 0.1, N),
        "w": rng.uniform(0.5, 2, N),
        "mag": np.array([20.0, 21.0, 22.0, 23.0, 24.0, 25.0]),
        "flags": np.array([0, 1, 2, 4, 0, 6]),
    }


def write(path: Path, data: dict) -> Path:
    """A file of these columns, of the kind its name says."""
    name = path.name
    if name.endswith((".fits", ".fits.gz")):
        Table(data).write(path)
    elif name == "group.h5":
        with h5py.File(path, "w") as root:
            for key, values in data.items():
                root[f"catalog/{key}"] = values
    elif name == "root.h5":
        with h5py.File(path, "w") as root:
            for key, values in data.items():
                root[key] = values
    elif name == "astropy.hdf5":
        Table(data).write(path, path="stars", serialize_meta=True)
    elif name == "compound.hdf5":
        with h5py.File(path, "w") as root:
            root["a/b"] = Table(data).as_array()
    elif name.endswith(".ecsv"):
        Table(data).write(path)
    elif name.endswith(".csv"):
        Table(data).write(path, format="ascii.csv")
    elif name.endswith(".txt"):
        Table(data).write(path, format="ascii.commented_header")
    elif name.endswith(".parquet"):
        arrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
        from pyarrow import parquet

        parquet.write_table(arrow.table(data), path)
    elif name.endswith(".npy"):
        np.save(path, Table(data).as_array())
    elif name.endswith(".npz"):
        np.savez(path, **data)
    return path
