"""The file of a finished campaign: HDF5, written whole from the journal."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from pysoftcorr.core.files import FileFormat, unwritten
from pysoftcorr.core.notebook import html_text
from pysoftcorr.core.sealed import seal_hdf5
from pysoftcorr.core.streams import hdf5_file
from pysoftcorr.mocks.alignment import order_parameter
from pysoftcorr.mocks.campaign.rows import GOOD, STATUS
from pysoftcorr.mocks.hod import PARAMETERS

__all__ = ["STATISTICS", "Campaign", "read_campaign_settings", "write_campaign"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

FORMAT = FileFormat("pysoftcorr campaign", "campaign", version=2)
STATISTICS = ("xi", "omega", "eta")
#: Coefficients of omega in the order parameters (a_cen, a_sat), and of eta in their products.
RESPONSE = ("cen", "sat", "cen_cen", "cen_sat", "sat_sat")
_PER_ROW = {
    "kept": np.bool_,
    "status": np.int8,
    "seed": np.int64,
    "n_central": np.int64,
    "n_satellite": np.int64,
    "npairs": np.int64,
    "r": np.float64,
}
_BLOCK = 256  # rows at a time


@dataclass(frozen=True, eq=False)
class Campaign:
    """Correlations over a training design; n points, R realizations each.

    Attributes
    ----------
    parameters : ndarray, shape (n, 7)
        Columns in the order of `pysoftcorr.mocks.hod.PARAMETERS`.
    edges : ndarray, shape (nbins + 1,)
        Mpc/h.
    xi, omega, eta : ndarray, shape (n, R, nbins)
        Measured with the drawn axes. In bins without pairs xi is -1, and omega and eta are NaN;
        a row with such a bin is not kept, since there is no log xi to train with.
    response : ndarray, shape (n, R, 5, nbins)
        Coefficients A, B, C, D, E of the mean over all draws of the axes at the same positions:
        omega = a_cen A + a_sat B and eta = a_cen^2 C + a_cen a_sat D + a_sat^2 E, with the
        order parameters a of the two strengths.
    npairs, r : ndarray, shape (n, R, nbins)
        Pairs and their mean separation in Mpc/h.
    n_central, n_satellite, seed : ndarray of int64, shape (n, R)
    status : ndarray of int8, shape (n, R)
        Status of each realization: 0 good, 1 no galaxies, 2 empty bins, 3 xi above the limit,
        4 too many galaxies.
    kept : ndarray of bool, shape (n,)
        Rows to train with: every realization is good.
    reason : ndarray of str, shape (n,)
        Why a row is not kept; empty for those that are.
    xi_matter : ndarray, shape (nbins,)
        The nonlinear correlation function of matter at the centers of the bins.
    settings : dict
        Everything that the campaign follows from: halos, points, realizations, seed, cosmology,
        version.
    """

    parameters: FloatArray
    edges: FloatArray
    xi: FloatArray
    omega: FloatArray
    eta: FloatArray
    response: FloatArray
    npairs: IntArray
    r: FloatArray
    n_central: IntArray
    n_satellite: IntArray
    seed: IntArray
    status: npt.NDArray[np.int8]
    kept: npt.NDArray[np.bool_]
    reason: npt.NDArray[np.str_]
    xi_matter: FloatArray
    settings: dict[str, Any]
    path: Path

    def __len__(self) -> int:
        return len(self.parameters)

    @classmethod
    def read(cls, path: str | PathLike[str]) -> Campaign:
        """Read the file of a finished campaign.

        Raises
        ------
        FileNotFoundError
            If it is not there.
        ValueError
            If it is none, damaged, or of a newer format.
        """
        source = Path(path).expanduser()
        with FORMAT.reading(source) as file:
            every: dict[str, Any] = {name: file[name][...] for name in _PER_ROW}
            for i, name in enumerate(STATISTICS):
                every[name] = file["measured"][:, :, i]
            every["response"] = file["response"][...]
            every["reason"] = np.array(file["reason"].asstr()[...], dtype=np.str_)
            for name in ("parameters", "edges", "xi_matter"):
                every[name] = file[name][...]
            settings = json.loads(file.attrs["settings"])
        return cls(settings=settings, path=source, **every)

    @property
    def expected_omega(self) -> FloatArray:
        """omega averaged over all draws of the axes, shape (n, R, nbins)."""
        cen, sat = self._order()
        return cen * self.response[:, :, 0] + sat * self.response[:, :, 1]

    @property
    def expected_eta(self) -> FloatArray:
        """eta averaged over all draws of the axes, shape (n, R, nbins)."""
        cen, sat = self._order()
        c, d, e = np.moveaxis(self.response[:, :, 2:], 2, 0)
        return cen * cen * c + cen * sat * d + sat * sat * e

    def _order(self) -> tuple[FloatArray, FloatArray]:
        cen, sat = (order_parameter(self.parameters[:, i])[:, None, None] for i in (0, 1))
        return cen, sat

    def dropped(self) -> dict[str, int]:
        """How many rows are not kept, by what befell them (a row may be in more than one)."""
        return {
            text: int((self.status == code).any(axis=1).sum())
            for code, text in enumerate(STATUS)
            if code != GOOD and (self.status == code).any()
        }

    def to_dict(self) -> dict[str, Any]:
        """Numbers of rows, settings and the file, as JSON can hold them."""
        return {
            "file": str(self.path),
            "points": len(self),
            "realizations": self.status.shape[1],
            "kept": int(self.kept.sum()),
            "dropped": int((~self.kept).sum()),
            "reasons": self.dropped(),
            "galaxies": int(self.n_central.sum() + self.n_satellite.sum()),
            "settings": self.settings,
        }

    def summary(self) -> str:
        """A few lines for a terminal."""
        n, realizations = self.status.shape
        counts = self.dropped()
        lines = [
            f"{n} points x {realizations} realizations, "
            f"{int(self.n_central.sum() + self.n_satellite.sum()):,} galaxies in all",
            f"  kept     {int(self.kept.sum())}",
            f"  dropped  {int((~self.kept).sum())}"
            + (" (a row may have more than one reason)" if len(counts) > 1 else ""),
        ]
        return "\n".join(lines + [f"    {text:<20} {number}" for text, number in counts.items()])

    def _repr_html_(self) -> str:
        """The summary, for notebooks."""
        return html_text(self.summary())


def read_campaign_settings(path: Path) -> dict[str, Any]:
    """Settings of a finished campaign; raises as `Campaign.read`."""
    with FORMAT.reading(path) as file:
        settings: dict[str, Any] = json.loads(file.attrs["settings"])
        return settings


def write_campaign(
    target: Path,
    records: npt.NDArray[Any],
    *,
    parameters: FloatArray,
    edges: FloatArray,
    xi_matter: FloatArray,
    settings: dict[str, Any],
) -> None:
    """Write the rows in the order of the design; whole, or `target` stays as it was.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    # One name, so that a file left by a kill is written over by the next attempt.
    temporary = target.with_name(f".{target.name}.merging")
    order = np.argsort(records["row"], kind="stable")
    try:
        temporary.unlink(missing_ok=True)
        with hdf5_file(temporary) as file:
            file.attrs.update(FORMAT.header())
            file.attrs["settings"] = json.dumps(settings)
            file.attrs["version"] = settings["version"]
            file.attrs["cosmology"] = json.dumps(settings["cosmology"])
            file.attrs["halos"] = json.dumps(settings["halos"])
            file["parameters"] = parameters
            file["parameters"].attrs["columns"] = list(PARAMETERS)
            for name, values in (("edges", edges), ("xi_matter", xi_matter)):
                file[name] = values
            file["edges"].attrs["unit"] = "Mpc/h"
            kinds = {**_PER_ROW, "measured": np.float64, "response": np.float64}
            sets = {
                name: file.create_dataset(name, (len(records), *records[name].shape[1:]), kind)
                for name, kind in kinds.items()
            }
            sets["r"].attrs["unit"] = "Mpc/h"
            sets["status"].attrs["meaning"] = list(STATUS)
            sets["measured"].attrs["statistics"] = list(STATISTICS)
            sets["response"].attrs["coefficients"] = list(RESPONSE)
            for start in range(0, len(records), _BLOCK):
                rows = records[order[start : start + _BLOCK]]
                for name, dataset in sets.items():
                    dataset[start : start + len(rows)] = rows[name]
            reason = [text.decode() for text in records["reason"][order]]
            file.create_dataset("reason", data=reason, dtype=h5py.string_dtype())
        seal_hdf5(temporary, FORMAT.name)
        with open(temporary, "rb+") as stream:
            os.fsync(stream.fileno())
        os.replace(temporary, target)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        hint = "; every row is kept: make room and give the same command again"
        raise unwritten(error, target, hint) from None
