"""The file of a campaign of universes: HDF5, written whole from the journal."""

from __future__ import annotations

import json
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr.core.files import FileFormat
from pysoftcorr.core.notebook import html_text
from pysoftcorr.mocks.hod import WITH_COSMOLOGY

__all__ = ["Universes", "read_universes_settings", "write_universes"]

FloatArray = npt.NDArray[np.float64]

FORMAT = FileFormat("pysoftcorr universes", "campaign of universes")


@dataclass(frozen=True, eq=False)
class Universes:
    """Expectations of xi, omega and eta in many universes, at HODs of each one's own.

    U universes, n points of the HOD design in each, b bins.

    Attributes
    ----------
    worlds : ndarray, shape (U, 3)
        Omega_m, sigma_8 and z of each universe.
    parameters : ndarray, shape (U, n, 7)
        As of `training_design`.
    edges : ndarray, shape (b + 1,)
        Mpc/h.
    pairs : ndarray, shape (U, n, b)
        Pairs of galaxies, in expectation.
    xi : ndarray, shape (U, n, b)
        In expectation over galaxies, their places and axes, given the halos.
    response : ndarray, shape (U, n, 5, b)
        A, B, C, D, E of omega = a_cen A + a_sat B and
        eta = a_cen^2 C + a_cen a_sat D + a_sat^2 E, with the order parameters a.
    chance : ndarray, shape (U, c, 3, b, b)
        At the first c points of each universe, covariance between bins of log xi, omega and eta
        of one box, given its halos; NaN of universes where it was not found.
    halos : ndarray of int, shape (U,)
        Halos of each universe, those that a sample stands for included.
    settings : dict
        Everything that the campaign follows from.
    path : Path
    """

    worlds: FloatArray
    parameters: FloatArray
    edges: FloatArray
    pairs: FloatArray
    xi: FloatArray
    response: FloatArray
    chance: FloatArray
    halos: npt.NDArray[np.int64]
    settings: dict[str, Any]
    path: Path

    def __len__(self) -> int:
        return len(self.worlds)

    @classmethod
    def read(cls, path: str | PathLike[str]) -> Universes:
        """Read the file of a finished campaign of universes.

        Raises
        ------
        FileNotFoundError
            If it is not there.
        ValueError
            If it is none, damaged, or of a newer format.
        """
        source = Path(path).expanduser()
        names = ("worlds", "parameters", "edges", "pairs", "xi", "response", "chance", "halos")
        with FORMAT.reading(source) as file:
            arrays: dict[str, Any] = {name: file[name][...] for name in names}
            settings = json.loads(file.attrs["settings"])
        return cls(**arrays, settings=settings, path=source)

    def to_dict(self) -> dict[str, Any]:
        """Numbers of universes and points, settings and the file, as JSON can hold them."""
        return {
            "file": str(self.path),
            "universes": len(self),
            "points": self.xi.shape[1],
            "halos": int(self.halos.sum()),
            "settings": self.settings,
        }

    def summary(self) -> str:
        """A few lines for a terminal."""
        size = self.settings["boxsize"]
        known = int(np.isfinite(self.chance).any(axis=(1, 2, 3, 4)).sum())
        low, high = self.worlds.min(axis=0), self.worlds.max(axis=0)
        spans = ", ".join(
            f"{name} {a:.3g} to {b:.3g}"
            for name, a, b in zip(WITH_COSMOLOGY[7:], low, high, strict=True)
        )
        return (
            f"{len(self)} universes of {size:g} Mpc/h, {self.xi.shape[1]} HODs in each, "
            f"{int(self.halos.sum()):,} halos in all\n  {spans}\n  covariance given the halos in "
            f"{known} of them"
        )

    def _repr_html_(self) -> str:
        """The summary, for notebooks."""
        return html_text(self.summary())


def read_universes_settings(path: Path) -> dict[str, Any]:
    """Settings of a finished campaign of universes; raises as `Universes.read`."""
    with FORMAT.reading(path) as file:
        settings: dict[str, Any] = json.loads(file.attrs["settings"])
        return settings


def write_universes(
    target: Path, records: npt.NDArray[Any], *, worlds: FloatArray, edges: FloatArray,
    settings: dict[str, Any],
) -> None:  # fmt: skip
    """Write the universes in the order of the design; whole, or `target` stays as it was."""
    order = np.argsort(records["row"], kind="stable")
    with FORMAT.writing(target, overwrite=True) as file:
        file.attrs["settings"] = json.dumps(settings)
        file["worlds"], file["edges"] = worlds, edges
        file["edges"].attrs["unit"] = "Mpc/h"
        file["worlds"].attrs["columns"] = list(WITH_COSMOLOGY[7:])
        for name in ("parameters", "pairs", "xi", "response", "chance", "halos"):
            shape = (len(records), *records[name].shape[1:])
            made = file.create_dataset(name, shape, records[name].dtype)
            for place, row in enumerate(order):
                made[place] = records[row][name]
        file["parameters"].attrs["columns"] = list(WITH_COSMOLOGY[:7])
