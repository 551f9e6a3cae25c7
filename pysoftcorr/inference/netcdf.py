"""netCDF files of ArviZ that a full disk cannot crash."""

from __future__ import annotations

from os import PathLike
from typing import Any

from pysoftcorr.core.extras import need
from pysoftcorr.core.streams import hdf5_stream

__all__ = ["write"]


def write(data: Any, path: str | PathLike[str]) -> None:
    """Write an ArviZ ``InferenceData`` into a new file, as its ``to_netcdf`` does.

    Parameters
    ----------
    data : arviz.InferenceData
    path : path
        Of a file that is not there.

    Raises
    ------
    OSError
        If it cannot be written, as on a full disk.
    """
    h5netcdf = need("h5netcdf", "a posterior")
    xarray = need("xarray", "a posterior")
    store = need("xarray.backends", "a posterior").H5NetCDFStore
    with hdf5_stream(path) as stream, h5netcdf.File(stream, "w") as file:
        xarray.Dataset(attrs=data.attrs).dump_to_store(store(file))
        for group in data.groups():
            part = data[group]
            packed = {
                name: {"zlib": True}
                for name, values in part.variables.items()
                if values.dtype.kind in "biufc"
            }
            part.dump_to_store(store(file, group=f"/{group}"), encoding=packed)
