"""Host halos in a periodic box."""

from __future__ import annotations

import json
from collections.abc import Mapping
from glob import has_magic
from os import PathLike
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from pysoftcorr.core.checks import Origin, as_float
from pysoftcorr.core.files import HDF5, FileFormat, check_output, fingerprint
from pysoftcorr.core.notebook import html_facts
from pysoftcorr.core.options import mapping, number, shown
from pysoftcorr.core.random import Seed
from pysoftcorr.mocks import checks
from pysoftcorr.mocks.checks import BoxSize
from pysoftcorr.mocks.cosmology import Cosmology
from pysoftcorr.mocks.halo_tables import from_table as _from_table
from pysoftcorr.mocks.simulate import simulate as _simulate
from pysoftcorr.mocks.subhalos import Subhalos

FloatArray = npt.NDArray[np.float64]

FORMAT = FileFormat("pysoftcorr haloes", "halo catalog")
_UNITS = {
    "position": "Mpc/h",
    "mass": "Msun/h",
    "radius": "Mpc/h",
    "concentration": "",
    "axis": "",
}
#: Columns that a catalog may lack.
_OPTIONAL = {"minor_axis": "", "b_to_a": "", "c_to_a": "", "velocity": "km/s"}
_OF_SUBHALOS = {"position": "Mpc/h", "mass": "Msun/h", "host": "", "velocity": "km/s"}


class HaloCatalog:
    """Host halos in a periodic box, with what an HOD with alignments asks of them.

    Parameters
    ----------
    position : array_like, shape (N, 3)
        Comoving Mpc/h, within [0, boxsize).
    mass : array_like, shape (N,)
        Msun/h.
    radius : array_like, shape (N,)
        Comoving halo radius in Mpc/h, of the same definition as the mass.
    concentration : array_like, shape (N,)
        Concentration of the NFW profile within `radius`.
    axis : array_like, shape (N, 3)
        Major axes, of any length but 0; they are normalized, and have no head.
    minor_axis : array_like, shape (N, 3), optional
        Minor axes, at right angles to the major ones.
    b_to_a, c_to_a : array_like, shape (N,), optional
        Ratios of the intermediate and of the minor to the major axis, in (0, 1], with
        c_to_a <= b_to_a; both or none.
    velocity : array_like, shape (N, 3), optional
        Peculiar velocities, km/s.
    subhalos : Subhalos, optional
        Subhalos, whose `host` are rows of this catalog.
    boxsize : float, or three of these
        Side of the box in Mpc/h where it is a cube, or its sides along x, y and z.
    cosmology : mapping or str, optional
        Name or parameters of the cosmology, kept for the record.
    meta : mapping, optional
        How the halos were made; as JSON can hold it.
    wrap : bool
        Move positions outside the box by whole boxes instead of refusing them.

    Attributes
    ----------
    position, mass, radius, concentration, axis : ndarray of float64
        As above, C-contiguous.
    minor_axis, b_to_a, c_to_a, velocity : ndarray of float64, or None
        As above.
    subhalos : Subhalos or None
    boxsize : float, or tuple of three float where the box is no cube
    cosmology : dict, str or None
    meta : dict

    Raises
    ------
    ValueError
        If columns differ in length or are empty, hold NaN, lie outside the box, have a range
        that Mpc/h and Msun/h do not give, or an axis of length 0; the message names the column
        and the first rows.
    TypeError
        If a column is not of numbers.

    Examples
    --------
    >>> from pysoftcorr.mocks import HaloCatalog
    >>> halos = HaloCatalog(
    ...     [[1.0, 2.0, 3.0], [9.0, 0.0, 5.0]], [1e13, 1e12], [0.45, 0.21], [7.0, 9.0],
    ...     [[0.0, 0.0, 2.0], [1.0, 1.0, 0.0]], boxsize=10.0)
    >>> len(halos), halos.axis[0].tolist()
    (2, [0.0, 0.0, 1.0])
    >>> len(halos[halos.mass > 5e12])
    1
    """

    def __init__(
        self,
        position: Any,
        mass: Any,
        radius: Any,
        concentration: Any,
        axis: Any,
        *,
        boxsize: BoxSize,
        minor_axis: Any = None,
        b_to_a: Any = None,
        c_to_a: Any = None,
        velocity: Any = None,
        subhalos: Subhalos | None = None,
        cosmology: Mapping[str, Any] | str | None = None,
        meta: Mapping[str, Any] | None = None,
        wrap: bool = False,
        _origin: Origin | None = None,
    ) -> None:
        origin = _origin or Origin()
        self.boxsize = checks.box_size(boxsize)
        vectors = {"position": checks.vectors("position", position)}
        vectors["axis"] = checks.vectors("axis", axis)
        columns = {
            name: as_float(name, values, origin)[0]
            for name, values in (
                ("mass", mass),
                ("radius", radius),
                ("concentration", concentration),
            )
        }
        for name, given in (("minor_axis", minor_axis), ("velocity", velocity)):
            if given is not None:
                vectors[name] = checks.vectors(name, given)
        if (b_to_a is None) != (c_to_a is None):
            raise ValueError("b_to_a and c_to_a belong together: give both, or none")
        for name, given in (("b_to_a", b_to_a), ("c_to_a", c_to_a)):
            if given is not None:
                columns[name] = as_float(name, given, origin)[0]
        every = {**vectors, **columns}
        lengths = {name: len(values) for name, values in every.items()}
        if len(set(lengths.values())) > 1:
            listed = ", ".join(f"{name} {n}" for name, n in lengths.items())
            raise ValueError(f"columns differ in length: {listed}")
        if not len(columns["mass"]):
            raise ValueError("the halo catalog is empty: it has no rows")
        checks.finite(every, origin)
        checks.masses(columns["mass"], origin)
        checks.radii(columns["radius"], columns["mass"], origin)
        source = mapping("meta", meta).get("concentration_from", "")
        checks.concentrations(columns["concentration"], origin, source=source)
        self.position = checks.boxed(vectors["position"], self.boxsize, origin, wrap=wrap)
        self.axis = checks.unit_axes(vectors["axis"], origin)
        self.minor_axis: FloatArray | None = None
        if "minor_axis" in vectors:
            minor = checks.unit_axes(vectors["minor_axis"], origin, "minor_axis")
            self.minor_axis = _at_right_angles(minor, self.axis, origin)
        self.velocity: FloatArray | None = vectors.get("velocity")
        self.b_to_a: FloatArray | None = columns.get("b_to_a")
        self.c_to_a: FloatArray | None = columns.get("c_to_a")
        if self.b_to_a is not None and self.c_to_a is not None:
            checks.axis_ratios(self.b_to_a, self.c_to_a, origin)
        self.subhalos = _of_hosts(subhalos, len(columns["mass"]), self.boxsize)
        self.mass: FloatArray = columns["mass"]
        self.radius: FloatArray = columns["radius"]
        self.concentration: FloatArray = columns["concentration"]
        self.cosmology = _plain_json("cosmology", cosmology)
        self.meta: dict[str, Any] = _plain_json("meta", mapping("meta", meta))

    def __len__(self) -> int:
        return len(self.mass)

    def __repr__(self) -> str:
        return (
            f"<HaloCatalog: {len(self)} halos of {self.mass.min():.3g} to "
            f"{self.mass.max():.3g} Msun/h in {checks.box_text(self.boxsize)} Mpc/h>"
        )

    def __getitem__(self, rows: Any) -> HaloCatalog:
        """The chosen halos, by a mask, a slice or row numbers, as a catalog."""
        if isinstance(rows, (int, np.integer)) and not isinstance(rows, bool):
            rows = [rows]
        index = np.arange(len(self))[rows]
        chosen: dict[str, Any] = {
            name: getattr(self, name)[index]
            for name in _OPTIONAL
            if getattr(self, name) is not None
        }
        return HaloCatalog(
            self.position[index],
            self.mass[index],
            self.radius[index],
            self.concentration[index],
            self.axis[index],
            boxsize=self.boxsize,
            **chosen,
            subhalos=None if self.subhalos is None else self.subhalos.of_rows(index),
            cosmology=self.cosmology,
            meta=self.meta,
        )

    def __eq__(self, other: object) -> bool:
        """Whether every number and the record are the same."""
        if not isinstance(other, HaloCatalog):
            return NotImplemented
        return (
            self.boxsize == other.boxsize
            and self.cosmology == other.cosmology
            and self.meta == other.meta
            and self.subhalos == other.subhalos
            and all(_same(getattr(self, n), getattr(other, n)) for n in (*_UNITS, *_OPTIONAL))
        )

    __hash__ = None  # type: ignore[assignment]

    def summary(self) -> str:
        """A few lines on the halos: number, masses, box, how they were made."""
        volume = checks.volume(self.boxsize)
        lines = [
            f"{len(self)} host halos in a box of {checks.box_text(self.boxsize)} Mpc/h "
            f"({len(self) / volume:.3g} per (Mpc/h)^3)",
            f"  mass           {self.mass.min():.3g} to {self.mass.max():.3g} Msun/h "
            f"(median {np.median(self.mass):.3g})",
            f"  radius         {self.radius.min():.3g} to {self.radius.max():.3g} Mpc/h",
            f"  concentration  {self.concentration.min():.3g} to {self.concentration.max():.3g} "
            f"(median {np.median(self.concentration):.3g})",
        ]
        lines += self._optional_lines()
        if self.cosmology is not None:
            name = self.cosmology if isinstance(self.cosmology, str) else self.cosmology["name"]
            lines.append(f"  cosmology      {name}")
        lines += [
            f"  {key:<14} {value}"
            for key, value in self.meta.items()
            if value is not None and key != "subhalos"
        ]
        return "\n".join(lines)

    def _optional_lines(self) -> list[str]:
        """Lines of `summary` on what a catalog may lack."""
        lines = []
        if self.b_to_a is not None and self.c_to_a is not None:
            lines.append(
                f"  axis ratios    b/a {np.median(self.b_to_a):.3g}, c/a "
                f"{np.median(self.c_to_a):.3g} (medians)"
            )
        if self.minor_axis is not None:
            lines.append("  minor axes     of every halo")
        if self.velocity is not None:
            speed = np.sqrt(np.mean(self.velocity**2))
            lines.append(f"  velocities     {speed:.4g} km/s along an axis (rms)")
        if self.subhalos is not None:
            found = self.subhalos
            masses = ""
            if len(found):
                masses = f", {found.mass.min():.3g} to {found.mass.max():.3g} Msun/h"
            read = self.meta.get("subhalos")
            if isinstance(read, dict) and "columns" in read:
                masses += f" by {read['columns']['subhalo_mass'][0]}"
                left = sum(read["left_out"].values())
                masses += f"; {left} left out on reading" if left else ""
            lines.append(
                f"  subhalos       {len(found)} in {len(np.unique(found.host))} halos{masses}"
            )
        return lines

    # ------------------------------------------------------------------ files
    @property
    def fingerprint(self) -> str:
        """Hash of the halo catalog: every number that galaxies are drawn from."""
        more = [getattr(self, name) for name in _OPTIONAL]
        sub = self.subhalos
        if sub is not None:
            more += [sub.position, sub.mass, sub.host, sub.velocity]
        return fingerprint(
            self.position, self.mass, self.radius, self.concentration, self.axis,
            np.atleast_1d(self.boxsize),
            *(values for values in more if values is not None),
        )  # fmt: skip

    def write(self, path: str | PathLike[str], *, overwrite: bool = False) -> None:
        """Write the catalog to HDF5, whole or not at all; `read` gives an equal one.

        Raises
        ------
        ValueError
            If the suffix is neither .h5 nor .hdf5.
        FileExistsError
            If the file is there and `overwrite` is not set.
        FileNotFoundError, OSError
            If nothing can be written there.
        """
        target = check_output(path, suffixes=HDF5, overwrite=overwrite)
        with FORMAT.writing(target, overwrite=overwrite) as file:
            file.attrs["boxsize"] = self.boxsize
            file.attrs["cosmology"] = json.dumps(self.cosmology)
            file.attrs["meta"] = json.dumps(self.meta)
            for name, unit in {**_UNITS, **_OPTIONAL}.items():
                if getattr(self, name) is not None:
                    data = file.create_dataset(name, data=getattr(self, name))
                    data.attrs["unit"] = unit
            if self.subhalos is not None:
                group = file.create_group("subhalos")
                for name, unit in _OF_SUBHALOS.items():
                    if getattr(self.subhalos, name) is not None:
                        data = group.create_dataset(name, data=getattr(self.subhalos, name))
                        data.attrs["unit"] = unit

    @classmethod
    def read(
        cls,
        path: Any,
        *,
        columns: Mapping[str, Any] | None = None,
        boxsize: BoxSize | None = None,
        select: str | None = None,
        on_bad: str = "error",
        hosts: bool = True,
        subhalos: bool = False,
        wrap: bool = False,
        axes: str | None = None,
        seed: Seed = None,
        mdef: str = "vir",
        concentration: str = "diemer19",
        cosmology: Any = None,
        redshift: float | None = None,
        key: Any = None,
        hdu: Any = None,
    ) -> HaloCatalog:
        """Read a file of `write`, of halotools, Rockstar, SUBFIND (TNG), AHF, or any table.

        Parameters
        ----------
        path : path, pattern, or list of these
        columns, boxsize, select, on_bad, hosts, subhalos, wrap, axes, seed, mdef : optional
        concentration, cosmology, redshift, key, hdu : optional
            Options of `from_table`, for files that `write` did not make.

        Raises
        ------
        FileNotFoundError
            If the file is not there.
        ValueError
            As `from_table`; also if an option is given for a file of `write`, but for a
            cosmology or redshift that it does not hold.
        """
        options: dict[str, Any] = {
            "columns": columns, "boxsize": boxsize, "select": select, "on_bad": on_bad,
            "hosts": hosts, "subhalos": subhalos, "wrap": wrap, "axes": axes,
            "seed": seed, "mdef": mdef, "concentration": concentration, "cosmology": cosmology,
            "redshift": redshift, "key": key, "hdu": hdu,
        }  # fmt: skip
        several = not isinstance(path, (str, PathLike)) or (
            has_magic(str(path)) and not Path(path).expanduser().exists()
        )
        if several or not FORMAT.is_own(path):
            return cls.from_table(path, **options)
        defaults: dict[str, Any] = cls.read.__kwdefaults__ or {}
        del options["subhalos"]  # they are there, or are not
        found = _read_own(path)
        # What the file does not say may be said.
        if found.cosmology is None and options["cosmology"] is not None:
            found.cosmology = Cosmology(options.pop("cosmology")).to_dict()
        if found.meta.get("redshift") is None and options["redshift"] is not None:
            found.meta["redshift"] = number("redshift", options.pop("redshift"), least=0.0)
        given = [name for name, value in options.items() if np.any(value != defaults[name])]
        if given:
            raise ValueError(
                f"{path} was written by HaloCatalog.write and is read as it is, without "
                f"{', '.join(given)}"
            )
        if subhalos and found.subhalos is None:
            raise ValueError(
                f"subhalos=True: {path} was written without subhalos; read the table that it came "
                "from with subhalos=True, and write that"
            )
        return found

    from_table = classmethod(_from_table)
    simulate = classmethod(_simulate)

    def _repr_html_(self) -> str:
        """What `summary` says, as a table for notebooks."""
        head, *lines = self.summary().splitlines()
        pairs = (line.strip().split(maxsplit=1) for line in lines)
        return html_facts(head, ((name, "".join(rest)) for name, *rest in pairs))


def _plain_json(name: str, value: Any) -> Any:
    """The value as JSON gives it back; TypeError where JSON cannot hold it."""
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except ValueError:
        raise ValueError(
            f"{name} = {shown(value)}: must be of finite numbers, not within itself"
        ) from None
    except (TypeError, RecursionError):
        raise TypeError(
            f"{name} = {shown(value)}: must be of text, numbers, lists and dicts"
        ) from None


def _same(one: FloatArray | None, other: FloatArray | None) -> bool:
    if one is None or other is None:
        return one is other
    return np.array_equal(one, other)


def _at_right_angles(minor: FloatArray, axis: FloatArray, origin: Origin) -> FloatArray:
    """Minor axes at exactly right angles to the major ones; ValueError where they are far off."""
    cosine = np.einsum("ij,ij->i", minor, axis)
    fault = checks.right_angle_fault(cosine, origin)
    if fault:
        raise ValueError(fault.text)
    # What is at right angles already stays bit for bit as it is.
    off = np.abs(cosine) > 1e-14
    straight = minor[off] - cosine[off, None] * axis[off]
    minor[off] = straight / np.linalg.norm(straight, axis=1)[:, None]
    return minor


def _of_hosts(subhalos: Subhalos | None, number: int, boxsize: BoxSize) -> Subhalos | None:
    if subhalos is None:
        return None
    if not isinstance(subhalos, Subhalos):
        raise TypeError(f"subhalos must be Subhalos, not {type(subhalos).__name__}")
    if len(subhalos) and subhalos.host[-1] >= number:
        raise ValueError(
            f"subhalos: host = {subhalos.host[-1]} is no row of a catalog of {number} halos"
        )
    if len(subhalos):
        inside = checks.wrapped(subhalos.position, boxsize)
        if not np.array_equal(inside, subhalos.position):
            subhalos = Subhalos(inside, subhalos.mass, subhalos.host, velocity=subhalos.velocity)
    return subhalos


def _read_own(path: str | PathLike[str]) -> HaloCatalog:
    """Read a file of `write`; ValueError where it is damaged or of a newer format."""
    with FORMAT.reading(path) as file:
        more: dict[str, Any] = {n: np.asarray(file[n]) for n in _OPTIONAL if n in file}
        return HaloCatalog(
            *(np.asarray(file[name]) for name in _UNITS),
            **more,
            subhalos=_read_subhalos(file),
            boxsize=file.attrs["boxsize"],
            cosmology=json.loads(file.attrs["cosmology"]),
            meta=json.loads(file.attrs["meta"]),
        )


def _read_subhalos(file: h5py.File) -> Subhalos | None:
    if "subhalos" not in file:
        return None
    found = {name: np.asarray(file["subhalos"][name]) for name in file["subhalos"]}
    velocity = found.pop("velocity", None)
    return Subhalos(found["position"], found["mass"], found["host"], velocity=velocity)
