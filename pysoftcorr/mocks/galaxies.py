"""Galaxies in a periodic box, with axes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
from astropy.io import fits

from pysoftcorr.core.checks import Origin
from pysoftcorr.core.files import HDF5, FileFormat, check_output, suffix_of, whole_file
from pysoftcorr.core.notebook import html_facts
from pysoftcorr.core.options import choice, mapping, number, text
from pysoftcorr.core.random import Seed, root_seed, uniforms
from pysoftcorr.core.sealed import check_fits, open_fits
from pysoftcorr.core.streams import write_fits
from pysoftcorr.core.version import __version__
from pysoftcorr.mocks import alignment, checks
from pysoftcorr.mocks.checks import BoxSize
from pysoftcorr.mocks.galaxy_tables import from_table as _from_table

__all__ = ["GalaxyCatalog"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

FORMAT = FileFormat("pysoftcorr galaxies", "galaxy catalog")
_SUFFIXES = (*HDF5, ".fits", ".fits.gz")
_COLUMNS = {
    "position": ("Mpc/h", np.float64, 3),
    "axis": ("", np.float64, 3),
    "reference": ("", np.float64, 3),
    "central": ("", np.bool_, 1),
    "host": ("", np.int64, 1),
    "rank": ("", np.int64, 1),
    "scaled_radius": ("", np.float64, 1),
}
#: Of galaxies with axes.
_AXES = ("axis", "reference")
#: Columns that a catalog may lack.
_OPTIONAL = {"velocity": ("km/s", np.float64, 3)}
_RECORD = (
    "boxsize", "params", "seed", "cosmology", "redshift", "mdef", "redshift_space", "version",
)  # fmt: skip


class GalaxyCatalog:
    """Galaxies of an `HODModel`: where they are, how they point, and whose they are.

    Made by `HODModel.populate`, or from arrays.

    Parameters
    ----------
    position : array_like, shape (N, 3)
        Comoving Mpc/h within [0, boxsize).
    axis : array_like, shape (N, 3), or None
        Axes of any length but 0, without head; None takes those of `reference`. Without either the
        galaxies have no axes, and correlations of positions alone.
    reference : array_like, shape (N, 3), optional
        Axes before misalignment: the halo's major axis of a central galaxy, the direction from
        the center of the halo of a satellite. By default `axis`.
    central : array_like of bool, shape (N,), optional
        By default every galaxy is one.
    host : array_like of int, shape (N,), optional
        Row of the halo in its catalog; by default each galaxy has its own.
    rank : array_like of int, shape (N,), optional
        0 for central galaxies; satellites of one halo count from 1.
    scaled_radius : array_like, shape (N,), optional
        r/Rvir from the center of the halo; 0 by default.
    velocity : array_like, shape (N, 3), optional
        Peculiar velocities, km/s.
    boxsize : float, or three of these
        Side of the box in Mpc/h where it is a cube, or its sides along x, y and z.
    params : mapping, optional
        Parameters of the HOD.
    seed : int, optional
    cosmology : optional
        Cosmology of the halos.
    redshift : float, optional
        That of the halos.
    mdef : str, optional
        Definition of their masses.
    redshift_space : {"x", "y", "z"}, optional
        Line of sight along which positions are moved by velocities already; see
        `pysoftcorr.mocks.redshift_space`.

    Attributes
    ----------
    position, axis, reference, central, host, rank, scaled_radius : ndarray
        As above; axes of length 1, or None where there are none.
    velocity : ndarray, or None
    boxsize, params, seed, cosmology, redshift, mdef, redshift_space
    version : str

    Raises
    ------
    ValueError
        If columns differ in length or are empty, hold NaN, lie outside the box or have axes of
        length 0; the message names the column and the first rows.
    TypeError
        If a column is of the wrong kind.

    Examples
    --------
    >>> from pysoftcorr.mocks import GalaxyCatalog
    >>> galaxies = GalaxyCatalog([[1, 2, 3], [4, 5, 6]], [[0, 0, 2], [1, 1, 0]], boxsize=10)
    >>> len(galaxies), galaxies.axis[0].tolist()
    (2, [0.0, 0.0, 1.0])
    """

    def __init__(
        self,
        position: npt.ArrayLike,
        axis: npt.ArrayLike | None = None,
        *,
        boxsize: BoxSize,
        reference: npt.ArrayLike | None = None,
        central: npt.ArrayLike | None = None,
        host: npt.ArrayLike | None = None,
        rank: npt.ArrayLike | None = None,
        scaled_radius: npt.ArrayLike | None = None,
        velocity: npt.ArrayLike | None = None,
        params: Mapping[str, Any] | None = None,
        seed: int | None = None,
        cosmology: Any = None,
        redshift: float | None = None,
        mdef: str | None = None,
        redshift_space: str | None = None,
        version: str = __version__,
    ) -> None:
        origin = Origin()
        self.boxsize = checks.box_size(boxsize)
        place = checks.vectors("position", position)
        n = len(place)
        if n == 0:
            raise ValueError("the galaxy catalog is empty: it has no rows")
        self.reference: FloatArray | None = None
        if axis is not None or reference is not None:
            self.reference = _axes(
                "reference" if reference is not None else "axis",
                axis if reference is None else reference,
                n,
            )
        self.axis: FloatArray | None = self.reference if axis is None else _axes("axis", axis, n)
        self.central: npt.NDArray[np.bool_] = _column("central", central, True, np.bool_, n)
        self.host: IntArray = (
            np.arange(n) if host is None else _column("host", host, 0, np.int64, n)
        )
        self.rank: IntArray = _column("rank", rank, 0, np.int64, n)
        self.scaled_radius: FloatArray = _column("scaled_radius", scaled_radius, 0, np.float64, n)
        checks.finite({"position": place, "scaled_radius": self.scaled_radius}, origin)
        self.velocity: FloatArray | None = None
        if velocity is not None:
            self.velocity = checks.vectors("velocity", velocity)
            _same_length("velocity", len(self.velocity), n)
            checks.finite({"velocity": self.velocity}, origin)
        self.position: FloatArray = checks.boxed(place, self.boxsize, origin)
        self.params: dict[str, Any] = mapping("params", params)
        self.seed = None if seed is None else root_seed(seed)
        self.cosmology = cosmology
        self.redshift = None if redshift is None else number("redshift", redshift, above=-1)
        self.mdef = None if mdef is None else text("mdef", mdef)
        if redshift_space is not None:
            choice("redshift_space", redshift_space, "xyz")
        self.redshift_space = redshift_space
        self.version = text("version", version)

    def __len__(self) -> int:
        return len(self.position)

    def __repr__(self) -> str:
        return (
            f"<GalaxyCatalog: {int(self.central.sum())} centrals and "
            f"{int((~self.central).sum())} satellites in "
            f"{checks.box_text(self.boxsize)} Mpc/h>"
        )

    def __getitem__(self, rows: Any) -> GalaxyCatalog:
        """The chosen galaxies, by a mask, a slice or row numbers, as a catalog."""
        if isinstance(rows, (int, np.integer)) and not isinstance(rows, bool):
            rows = [rows]
        index = np.arange(len(self))[rows]
        return self._with({name: getattr(self, name)[index] for name in self._columns()})

    def __eq__(self, other: object) -> bool:
        """Whether every number and the record are the same."""
        if not isinstance(other, GalaxyCatalog):
            return NotImplemented
        names = self._columns()
        return (
            names == other._columns()
            and all(np.array_equal(getattr(self, k), getattr(other, k)) for k in names)
            and all(getattr(self, k) == getattr(other, k) for k in _RECORD)
        )

    __hash__ = None  # type: ignore[assignment]

    def _columns(self) -> dict[str, Any]:
        """Unit, type and width of the columns that are there."""
        every = {**_COLUMNS, **_OPTIONAL}
        return {k: v for k, v in every.items() if getattr(self, k) is not None}

    @property
    def has_hosts(self) -> bool:
        """Whether it is known which galaxies share a halo: those of an HOD, or any two that do."""
        return bool(self.params) or np.unique(self.host).size < len(self)

    def _with(self, columns: dict[str, Any], **record: Any) -> GalaxyCatalog:
        old = {name: getattr(self, name) for name in (*_COLUMNS, *_OPTIONAL, *_RECORD)}
        return GalaxyCatalog(**{**old, **columns, **record})

    def known(self) -> dict[str, Any]:
        """What is known of the halos: ``cosmology``, ``redshift``, ``mdef``, ``satellites``."""
        found = {
            "cosmology": self.cosmology if isinstance(self.cosmology, (str, Mapping)) else None,
            "redshift": self.redshift,
            "mdef": self.mdef,
            "satellites": self.params.get("satellites"),
        }
        return {name: value for name, value in found.items() if value is not None}

    def realign(
        self, *, mu_cen: float, mu_sat: float, gamma: float = 0.0, seed: Seed = None
    ) -> GalaxyCatalog:
        """These galaxies with axes drawn again about their references.

        Parameters
        ----------
        mu_cen, mu_sat : float
            Alignment strengths in [-1, 1].
        gamma : float
            Strength of satellites by radius, mu_sat (r/Rvir)^gamma.
        seed : int or numpy.random.Generator, optional
            At one seed axes move smoothly with the strengths.

        Returns
        -------
        GalaxyCatalog

        Raises
        ------
        ValueError
            If a strength is outside [-1, 1], or the galaxies have no axes.

        Examples
        --------
        >>> from pysoftcorr.mocks import GalaxyCatalog
        >>> galaxies = GalaxyCatalog([[1, 2, 3]], [[0, 0, 1]], boxsize=10)
        >>> float(galaxies.realign(mu_cen=-1.0, mu_sat=0.0, seed=1).axis[0, 2])
        0.0
        """
        if self.reference is None:
            raise ValueError("these galaxies have no axes to draw others about; give `reference`")
        root = root_seed(seed)
        strength = self.strength(mu_cen=mu_cen, mu_sat=mu_sat, gamma=gamma)
        kinds = {True: "central", False: "satellite"}
        u = np.empty((2, len(self)))
        for flag, kind in kinds.items():
            rows = self.central == flag
            for k, angle in enumerate(("angle", "turn")):
                u[k, rows] = uniforms(
                    root, f"{kind} axis {angle}", self.host[rows], self.rank[rows]
                )
        axis = alignment.watson_axes(self.reference, strength, u[0], u[1])
        params = {**self.params, "mu_cen": mu_cen, "mu_sat": mu_sat, "gamma": gamma}
        return self._with({"axis": axis}, params=params, seed=root)

    def strength(self, *, mu_cen: float, mu_sat: float, gamma: float = 0.0) -> FloatArray:
        """Alignment strength of each galaxy, shape (N,)."""
        satellite = ~self.central
        number("gamma", gamma)
        mu = np.full(len(self), number("mu_cen", mu_cen, least=-1, most=1))
        mu_sat = number("mu_sat", mu_sat, least=-1, most=1)
        mu[satellite] = alignment.satellite_strength(mu_sat, gamma, self.scaled_radius[satellite])[
            0
        ]
        return mu

    # ------------------------------------------------------------------ files
    def write(self, path: str | PathLike[str], *, overwrite: bool = False) -> None:
        """Write to HDF5 or FITS by suffix, whole or not at all; `read` gives an equal catalog.

        Raises
        ------
        ValueError
            If the suffix is none of .h5, .hdf5, .fits, .fits.gz.
        FileExistsError
            If the file is there and `overwrite` is not set.
        FileNotFoundError, OSError
            If nothing can be written there.
        """
        target = check_output(path, suffixes=_SUFFIXES, overwrite=overwrite)
        record = json.dumps(FORMAT.header() | self._record())
        if suffix_of(target, _SUFFIXES) in HDF5:
            with FORMAT.writing(target, overwrite=overwrite) as file:
                file["record.json"] = record
                for name, (unit, _, _) in self._columns().items():
                    file.create_dataset(name, data=getattr(self, name)).attrs["unit"] = unit
            return
        columns = [
            fits.Column(
                name=name,
                format=_fits_format(dtype, width),
                unit=unit or None,
                array=getattr(self, name),
            )
            for name, (unit, dtype, width) in self._columns().items()
        ]
        text = fits.Column(name="json", format=f"{len(record)}A", array=[record])
        hdus = fits.HDUList(
            [
                fits.PrimaryHDU(),
                fits.BinTableHDU.from_columns(columns, name="GALAXIES"),
                fits.BinTableHDU.from_columns([text], name="RECORD"),
            ]
        )
        with whole_file(target, overwrite=overwrite) as temporary:
            write_fits(hdus, temporary)

    from_table = classmethod(_from_table)

    @staticmethod
    def is_own(path: str | PathLike[str]) -> bool:
        """Whether a file is one of this program, and so for `read`, not for `from_table`.

        Raises
        ------
        FileNotFoundError
            If it is not there.
        """
        source = FORMAT.existing(path)
        if h5py.is_hdf5(source):
            with FORMAT.damage(source), h5py.File(source, "r") as file:
                return "format" in file.attrs
        if source.name.lower().endswith((".fits", ".fits.gz")):
            with open(source, "rb") as stream:
                if not stream.read(9).startswith((b"SIMPLE  =", b"\x1f\x8b")):
                    return False
            with FORMAT.damage(source), open_fits(source) as hdus:
                return "RECORD" in hdus
        return False

    def _record(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _RECORD}

    @classmethod
    def read(cls, path: str | PathLike[str]) -> GalaxyCatalog:
        """Read a file of `write`.

        Raises
        ------
        FileNotFoundError
            If the file is not there.
        ValueError
            If it is not one of `write`, is damaged, or of a newer format.
        """
        read = _read_hdf5 if suffix_of(Path(path), _SUFFIXES) in HDF5 else _read_fits
        source = FORMAT.existing(path)
        if not (FORMAT.is_own(source) if read is _read_hdf5 else cls.is_own(source)):
            raise FORMAT.foreign(source)
        with FORMAT.damage(source):
            text, columns = read(source)
            record = json.loads(text)
            FORMAT.check(source, record)
            return cls(**columns, **{k: v for k, v in record.items() if k not in FORMAT.header()})

    def _repr_html_(self) -> str:
        """Numbers, box and columns, as a table for notebooks."""
        centrals = int(self.central.sum())
        return html_facts(
            f"{len(self)} galaxies",
            (
                ("centrals", centrals),
                ("satellites", len(self) - centrals),
                ("box [Mpc/h]", checks.box_text(self.boxsize)),
                ("per (Mpc/h)^3", float(len(self) / checks.volume(self.boxsize))),
                ("columns", ", ".join(self._columns())),
            ),
        )


def _fits_format(dtype: Any, width: int) -> str:
    code = {np.float64: "D", np.int64: "K", np.bool_: "L"}[dtype]
    return f"{width}{code}" if width > 1 else code


def _read_hdf5(path: Path) -> tuple[str, dict[str, Any]]:
    with FORMAT.reading(path) as file:
        names = _names(set(file))
        return file["record.json"][()].decode(), {name: file[name][...] for name in names}


def _read_fits(path: Path) -> tuple[str, dict[str, Any]]:
    with open_fits(path) as hdus:
        check_fits(hdus)
        data = hdus["GALAXIES"].data
        # FITS is big-endian whatever the machine.
        columns: dict[str, Any] = {
            name: np.asarray(data[name]).astype(dtype)
            for name, (_, dtype, _) in {**_COLUMNS, **_OPTIONAL}.items()
            if name in _names(set(data.names))
        }
        return str(hdus["RECORD"].data["json"][0]), columns


def _names(there: set[str]) -> tuple[str, ...]:
    """Columns to read: both of axes or none, and all that no file lacks."""
    bare = not there & set(_AXES)
    return tuple(
        name
        for name in (*_COLUMNS, *_OPTIONAL)
        if name in there or not (name in _OPTIONAL or (bare and name in _AXES))
    )


def _axes(name: str, values: Any, n: int) -> FloatArray:
    axes = checks.vectors(name, values)
    _same_length(name, len(axes), n)
    checks.finite({name: axes}, Origin())
    return checks.unit_axes(axes, Origin(), name)


def _column(name: str, values: Any, fill: Any, dtype: Any, n: int) -> Any:
    if values is None:
        return np.full(n, fill, dtype=dtype)
    array = checks.column(name, values, dtype)
    _same_length(name, array.size, n)
    return array


def _same_length(name: str, length: int, n: int) -> None:
    if length != n:
        raise ValueError(f"columns differ in length: position {n}, {name} {length}")
