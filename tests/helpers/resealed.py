"""Changes to files of the package whose checksums are made anew: other faults come to light."""

from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike

import h5py

from pysoftcorr.core.sealed import format_of_hdf5, seal_hdf5


@contextmanager
def changed(path: str | PathLike[str]) -> Iterator[h5py.File]:
    """An HDF5 file of the package to change within the block."""
    name = format_of_hdf5(path)
    assert name is not None
    with h5py.File(path, "r+") as file:
        yield file
    seal_hdf5(path, name)
