"""Predictions of xi, omega and eta in bins, as tables and files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pysoftcorr.core.files import check_output, write_table
from pysoftcorr.core.notebook import html_table, html_text
from pysoftcorr.core.version import __version__

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["BinnedPrediction", "as_array"]


class BinnedPrediction:
    """What predictions of an emulator and of tables of halos have in common."""

    xi: Any
    r: np.ndarray
    edges: np.ndarray
    parameters: Any
    names: tuple[str, ...]

    def to_table(self) -> Table:
        """A row for each bin, of a prediction for one point."""
        raise NotImplementedError

    def write(self, path: str | PathLike[str], *, overwrite: bool = False) -> Path:
        """Write `to_table` to ECSV, whole or not at all; gives the path.

        Raises
        ------
        ValueError
            If the suffix is not .ecsv, or there is more than one point.
        FileExistsError
            If the file is there and `overwrite` is not set.
        OSError
            If nothing can be written there.
        """
        table = self.to_table()
        target = check_output(path, suffixes=(".ecsv",), overwrite=overwrite)
        write_table(table, target, overwrite=overwrite)
        return target

    def _parameters(self) -> dict[str, Any]:
        """Values of each parameter as plain numbers or lists."""
        columns = as_array(self.parameters).T.tolist()
        return dict(zip(self.names, columns, strict=True))

    def _tabled(self, columns: Mapping[str, Any], record: Mapping[str, Any]) -> Table:
        """Bins and these columns, with parameters, a record and the version in the meta data."""
        from astropy.table import Table

        table = Table({"r_lo": self.edges[:-1], "r_hi": self.edges[1:], "r": self.r})
        for name in ("r_lo", "r_hi", "r"):
            table[name].description = "Mpc/h"
        for name, values in columns.items():
            table[name] = as_array(values)
        record = {"parameters": self._parameters(), **record, "version": __version__}
        table.meta["PYSOFTCORR"] = json.dumps(record)
        return table

    def _one(self, what: str) -> None:
        if self.xi.mean.ndim != 1:
            raise ValueError(f"{what} is of one point; this prediction has {len(self.xi.mean)}")

    def _repr_html_(self) -> str:
        """The table of one point, or how many points there are, for notebooks."""
        points = as_array(self.parameters)
        if points.ndim > 1:
            return html_text(f"{len(points)} points of {', '.join(self.names)}")
        given = ", ".join(f"{k} = {v:.4g}" for k, v in self._parameters().items())
        table = self.to_table()
        columns = [name for name in table.colnames if name != "r"]
        return html_table(table, columns=columns, caption="lengths in Mpc/h", notes=[given])


def as_array(values: Any) -> np.ndarray:
    """Numbers of an array or a tensor as an array."""
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)
