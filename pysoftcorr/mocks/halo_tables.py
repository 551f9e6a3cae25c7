"""Halo catalogs out of tables: halotools' columns, Rockstar's, or a map of columns."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import numpy.typing as npt

from pysoftcorr.core.checks import FloatArray, Origin, as_float, positive
from pysoftcorr.core.expressions import Expression, nearest
from pysoftcorr.core.options import choice, flag
from pysoftcorr.core.random import Seed, root_seed, stream
from pysoftcorr.core.tables import TableSource, Unreadable, open_table
from pysoftcorr.mocks import checks as halo_checks
from pysoftcorr.mocks.cosmology import Cosmology
from pysoftcorr.sky.reading import full

if TYPE_CHECKING:
    from pysoftcorr.mocks.halos import HaloCatalog

_SCALARS = ("x", "y", "z", "mass", "radius", "scale_radius", "concentration", "parent")
_KEYS = (*_SCALARS, "position", "axis")
#: Columns by scheme; a name of several candidates takes the first that is there.
_SCHEMES: dict[str, dict[str, Sequence[str] | tuple[Sequence[str], ...]]] = {
    "halotools": {
        "x": ("halo_x",),
        "y": ("halo_y",),
        "z": ("halo_z",),
        "mass": ("halo_mvir",),
        "radius": ("halo_rvir",),
        "scale_radius": ("halo_rs",),
        "concentration": ("halo_nfw_conc",),
        "axis": (("halo_axisa_x",), ("halo_axisa_y",), ("halo_axisa_z",)),
        "parent": ("halo_upid",),
    },
    "rockstar": {
        "x": ("x",),
        "y": ("y",),
        "z": ("z",),
        "mass": ("mvir",),
        "radius": ("rvir",),
        "scale_radius": ("rs",),
        "axis": (("a[x]",), ("a[y]",), ("a[z]",)),
        "parent": ("upid", "pid"),
    },
}


def choose(
    table: TableSource, columns: Mapping[str, Any] | None
) -> tuple[str | None, dict[str, tuple[str, ...]]]:
    """Column texts of each field, and the naming scheme they follow."""
    lower: dict[str, str] = {}
    for name in table.names:
        lower.setdefault(name.lower(), name)
    chosen: dict[str, tuple[str, ...]] = {}
    scheme = next(
        (s for s, c in _SCHEMES.items() if all(c[k][0] in lower for k in ("x", "y", "z", "mass"))),
        None,
    )
    if scheme is not None:
        known = _SCHEMES[scheme]
        for name, candidates in known.items():
            parts = [candidates] if isinstance(candidates[0], str) else list(candidates)
            texts = [next((lower[c] for c in part if c in lower), None) for part in parts]
            if None not in texts:
                chosen[name] = tuple(t for t in texts if t is not None)
    elif columns is None:
        raise ValueError(
            f"{table.label} has neither halotools' columns (halo_x, halo_mvir, ...) nor "
            f"Rockstar's (X, Mvir, ...); pass columns={nearest('', table.names)}"
        )
    given = dict(columns or {})
    for name, value in given.items():
        if name not in _KEYS:
            raise ValueError(f"columns: no field {name!r}{nearest(str(name), _KEYS)}")
        if name in ("x", "y", "z"):
            chosen.pop("position", None)
        if value is None:
            chosen.pop(name, None)
        elif isinstance(value, str):
            chosen[name] = (value,)
        elif name in ("position", "axis") and len(tuple(value)) == 3:
            chosen[name] = tuple(str(v) for v in value)
        else:
            many = "three or one" if name in ("position", "axis") else "one"
            raise ValueError(f"columns[{name!r}] = {value!r}: must be {many} columns")
    if "position" not in given and all(k in chosen for k in "xyz"):
        chosen["position"] = (*chosen["x"], *chosen["y"], *chosen["z"])
    for name in "xyz":
        chosen.pop(name, None)
    # A concentration named by the user or the table comes before one from a scale radius.
    if "concentration" in chosen and not ("scale_radius" in given and "concentration" not in given):
        chosen.pop("scale_radius", None)
    elif "scale_radius" in chosen:
        chosen.pop("concentration", None)
    return scheme, chosen


def host_rows(
    table: TableSource,
    chosen: Mapping[str, tuple[str, ...]],
    n: int,
    hosts: bool,
    origin: Origin,
) -> npt.NDArray[np.bool_]:
    if not hosts:
        return np.ones(n, dtype=bool)
    if "parent" not in chosen:
        warnings.warn(
            f"{table.label} names no parent halos (halo_upid, upid, PID, or columns={{'parent': "
            "...}): every row is taken as a host halo; pass hosts=False if that is so",
            stacklevel=5,
        )
        return np.ones(n, dtype=bool)
    parent = column_of(table, "parent", chosen["parent"], n, origin)
    halo_checks.finite({"parent": parent}, origin)
    keep = parent == -1
    if not keep.any():
        raise ValueError(
            f"the halo catalog is empty: no row has {origin.column('parent')} = -1 "
            "(a host halo); pass hosts=False to keep all"
        )
    return keep


def column_of(
    table: TableSource, name: str, texts: tuple[str, ...], n: int, origin: Origin
) -> FloatArray:
    """(n,) for a scalar field, (n, 3) for position and axis."""
    values = []
    for text in texts:
        try:
            values.append(table.evaluate(text)[0])
        except (TypeError, ValueError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"{name}: {error}") from None
    if name in ("position", "axis") and len(values) == 1:
        array = np.asarray(values[0])
        if array.shape != (n, 3):
            raise ValueError(
                f"{name}: {texts[0]!r} has shape {array.shape}, not ({n}, 3); name three columns"
            )
        return halo_checks.vectors(name, array)
    plain = Origin(origin.source, origin.labels)
    done = [
        as_float(name, full(value, n, name, text), plain)[0]
        for value, text in zip(values, texts, strict=True)
    ]
    return done[0] if len(done) == 1 else np.stack(done, axis=1)


_OPENERS: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_NUMBER = r"([-+0-9.eE]+)"


@dataclass
class RockstarHeader:
    """Content of the comment lines: names of columns, box, redshift, matter density, radii."""

    names: list[str]
    boxsize: float | None = None
    redshift: float | None = None
    radii_in_kpc: bool = True
    omega_m: float | None = None
    h: float | None = None


def read_header(path: Path) -> RockstarHeader | None:
    """The header of a Rockstar list (or a consistent-trees ``hlist``); None for another file.

    Its first line names the columns, X, Y, Z and Mvir (in either case) among them; in an
    ``hlist`` each name is followed by its number in brackets.
    """
    try:
        with _opened(path) as stream:
            first = stream.readline(20000)
            if not first.startswith("#"):
                return None
            names = [re.sub(r"\(\d+\)$", "", name) for name in first[1:].split()]
            if not {"x", "y", "z", "mvir"} <= {name.lower() for name in names}:
                return None
            comments = []
            for line in stream:
                if not line.startswith("#"):
                    break
                comments.append(line)
    except (OSError, EOFError, UnicodeDecodeError):
        return None
    text = "".join(comments)
    header = RockstarHeader(names)
    header.boxsize = _value(rf"[Bb]ox size\s*[:=]\s*{_NUMBER}", text)
    header.omega_m = _value(rf"(?:Om|Omega_M)\s*=\s*{_NUMBER}", text)
    header.h = _value(rf"\bh0?\s*=\s*{_NUMBER}", text)
    scale = _value(rf"(?m)^#\s*a\s*=\s*{_NUMBER}", text)
    if scale:
        header.redshift = max(1.0 / scale - 1.0, 0.0)
    for line in comments:
        if "units" in line.lower() and "radii" in line.lower():
            header.radii_in_kpc = "kpc" in line.lower()
    return header


class Rows:
    """The rows of a Rockstar list, read in one pass for the columns named beforehand."""

    def __init__(self, path: Path, header: RockstarHeader) -> None:
        self._path, self._names = path, header.names
        self._wanted: list[str] = []
        self._read: dict[str, np.ndarray] = {}

    def table(self) -> TableSource:
        """The table; loading a column raises ValueError where a row is damaged."""
        return TableSource(str(self._path), self._names, self._load)

    def prefetch(self, texts: Iterable[str]) -> None:
        """Name columns, or expressions of columns, that will be asked for."""
        for text in texts:
            found = (text,) if text in self._names else Expression(text).names
            self._wanted += [n for n in found if n in self._names and n not in self._wanted]

    def _load(self, name: str) -> np.ndarray:
        if name not in self._read:
            names = list(dict.fromkeys([name, *self._wanted]))
            columns = [self._names.index(n) for n in names]
            try:
                with _opened(self._path) as stream, warnings.catch_warnings():
                    warnings.simplefilter("ignore", UserWarning)  # no rows: told by the caller
                    values = np.loadtxt(stream, comments="#", usecols=columns, ndmin=2)
            except (ValueError, IndexError, OSError, EOFError) as error:
                raise Unreadable(f"{self._path}: the file is damaged ({error})") from None
            values = values.reshape(-1, len(names))
            self._read = {n: values[:, i].copy() for i, n in enumerate(names)}
        return self._read[name]


def _opened(path: Path) -> io.TextIOBase:
    return _OPENERS.get(path.suffix, open)(path, "rt", encoding="utf-8")


def _value(pattern: str, text: str) -> float | None:
    found = re.search(pattern, text)
    try:
        return float(found[1]) if found else None
    except ValueError:
        return None


@dataclass
class _Opened:
    """A table, with the box, redshift and units that its file states."""

    table: TableSource
    boxsize: float | None = None
    redshift: float | None = None
    radius_factor: float = 1.0
    prefetch: Callable[[Iterable[str]], None] = lambda texts: None
    meta: dict[str, Any] = field(default_factory=dict)


def from_table(
    cls: type[HaloCatalog],
    source: Any,
    *,
    columns: Mapping[str, Any] | None = None,
    boxsize: float | None = None,
    hosts: bool = True,
    wrap: bool = False,
    axes: str | None = None,
    seed: Seed = None,
    mdef: str = "vir",
    concentration: str = "diemer19",
    cosmology: Any = None,
    redshift: float | None = None,
    key: str | None = None,
    hdu: int | str | None = None,
) -> HaloCatalog:
    """Halos of a table: halotools' columns, Rockstar's, or a map of columns.

    Parameters
    ----------
    source : path, astropy Table, pandas DataFrame, mapping or structured array
        A file may be HDF5, FITS, Parquet, NumPy, ECSV, CSV or text, or a Rockstar list
        (``out_*.list``, ``hlist_*``: column names in its first line), whose radii are
        converted from its kpc/h.
    columns : mapping, optional
        Where the columns of the table are not named as halotools or Rockstar do: what is
        what, of ``x``, ``y``, ``z`` (or ``position``), ``mass``, ``radius``,
        ``scale_radius``, ``concentration``, ``axis`` and ``parent``. Each is a column or an
        expression of columns, such as ``"1e10 * m"``; ``position`` and ``axis`` are three
        of these, or one column of shape (N, 3). None for a name leaves that column out.
    boxsize : float, optional
        Side in Mpc/h; needed where the file does not say (halotools' ``Lbox``, Rockstar's
        header).
    hosts : bool
        Keep host halos alone: those whose ``parent`` is -1 (halotools' ``halo_upid``,
        Rockstar's ``upid`` or ``PID``). Without such a column all are kept, with a warning.
    wrap : bool
        Move positions outside the box by whole boxes instead of refusing them.
    axes : {"random"}, optional
        Draw all major axes at random, with `seed`.
    seed : int or numpy.random.Generator, optional
        For `axes`.
    mdef : str
        Mass definition, for what is filled in.
    concentration : str
        Relation that fills in a missing concentration (median, without scatter), by
        colossus' name; a missing radius follows from mass and `mdef`. Both are recorded in
        ``meta["filled"]`` and warned of.
    cosmology : as `Cosmology` takes it, optional
        For what is filled in ("planck18" where not given), and for the record.
    redshift : float, optional
        For what is filled in: the file's own, or else 0.
    key, hdu
        HDF5 table and FITS extension, where a file has several.

    Raises
    ------
    FileNotFoundError
        If the file is not there.
    ValueError
        If a column is missing, has a bad value or is not in Mpc/h or Msun/h by its range,
        positions are outside the box, or major axes are missing and not asked for at random.

    Examples
    --------
    >>> from pysoftcorr.mocks import HaloCatalog
    >>> table = {"px": [1.0, 4.0], "py": [2.0, 5.0], "pz": [3.0, 6.0], "lgm": [12.0, 13.0],
    ...          "r": [210.0, 450.0], "c": [9.0, 7.0], "ax": [1.0, 0.0], "ay": [0.0, 1.0],
    ...          "az": [0.0, 0.0], "up": [-1, -1]}
    >>> halos = HaloCatalog.from_table(table, boxsize=10.0, columns={
    ...     "x": "px", "y": "py", "z": "pz", "mass": "10**lgm", "radius": "r/1000",
    ...     "concentration": "c", "axis": ("ax", "ay", "az"), "parent": "up"})
    >>> halos.mass.tolist()
    [1000000000000.0, 10000000000000.0]
    """
    if axes is not None:
        choice("axes", axes, ("random",))
    flag("hosts", hosts)
    flag("wrap", wrap)
    if axes == "random" and seed is None:
        raise ValueError("axes = 'random' needs a seed, so that the axes can be drawn again")
    if axes is None and seed is not None:
        raise ValueError("seed is for axes='random'; nothing else here is random")
    world = None if cosmology is None else Cosmology(cosmology)

    def suits(table: TableSource) -> None:
        table.require(*(text for texts in _needed(table, columns)[1].values() for text in texts))

    with _open(source, key, hdu, suits) as opened:
        table = opened.table
        scheme, chosen = _needed(table, columns)
        side = _side(boxsize, opened.boxsize, table.label)
        if "axis" not in chosen and axes is None:
            raise ValueError(
                f"{table.label} has no major axes: name them in columns={{'axis': (...)}}, or pass "
                "axes='random' with a seed to draw them at random"
            )
        opened.prefetch(text for texts in chosen.values() for text in texts)
        try:
            n = table.rows(chosen["mass"][0])
        except ValueError as error:
            raise ValueError(f"mass: {error}") from None
        if n == 0:
            raise ValueError(f"the halo catalog is empty: {table.label} has no rows")
        labels = {name: ", ".join(texts) for name, texts in chosen.items()}
        if len(chosen["position"]) == 3:
            labels |= dict(zip("xyz", chosen["position"], strict=True))
        origin = table.origin(labels)
        keep = host_rows(table, chosen, n, hosts, origin)
        origin = origin.keep(keep)
        found = {
            name: column_of(table, name, texts, n, origin)[keep]
            for name, texts in chosen.items()
            if name != "parent" and not (name == "axis" and axes == "random")
        }
    for name in ("radius", "scale_radius"):
        if name in found:
            found[name] *= opened.radius_factor
    halo_checks.finite(found, origin)
    halo_checks.masses(found["mass"], origin)
    meta: dict[str, Any] = {
        "source": str(source) if isinstance(source, (str, os.PathLike)) else table.label,
        "columns": {k: list(v) for k, v in chosen.items()},
        "scheme": scheme,
        "hosts": bool(hosts and "parent" in chosen),
        "mdef": mdef,
        "redshift": redshift if redshift is not None else opened.redshift,
        **opened.meta,
    }
    filler = _Filler(world, mdef, concentration, float(meta["redshift"] or 0.0))
    radius = found.get("radius")
    if radius is None:
        radius = filler.radius(found["mass"])
    halo_checks.radii(radius, found["mass"], origin)
    conc = found.get("concentration")
    if conc is None and "scale_radius" in found:
        positive("scale_radius", found["scale_radius"], origin)
        conc = radius / found["scale_radius"]
        meta["concentration_from"] = "radius / scale_radius"
    if conc is None:
        conc = filler.concentration(found["mass"])
    if axes == "random":
        used = root_seed(seed)
        found["axis"] = random_axes(len(radius), stream(used, "halo axes"))
        filler.filled["axis"] = f"random, seed {used}"
    meta["filled"] = filler.filled
    filler.warn(table.label)
    record = filler.world if filler.world is not None else world
    return cls(
        found["position"],
        found["mass"],
        radius,
        conc,
        found["axis"],
        boxsize=side,
        cosmology=None if record is None else record.to_dict(),
        meta=meta,
        wrap=wrap,
        _origin=origin,
    )


def _needed(
    table: TableSource, columns: Mapping[str, Any] | None
) -> tuple[str | None, dict[str, tuple[str, ...]]]:
    """What `choose` finds; ValueError where masses or positions are not among it."""
    scheme, chosen = choose(table, columns)
    if "mass" not in chosen or "position" not in chosen:
        lacking = "mass" if "mass" not in chosen else "x, y and z (or position)"
        raise ValueError(
            f"{table.label}: which column is {lacking}? Pass columns= with it"
            f"{nearest('', table.names)}{table.elsewhere()}"
        )
    return scheme, chosen


def random_axes(number: int, rng: np.random.Generator) -> FloatArray:
    """Unit vectors (number, 3), evenly over the sphere."""
    axis = rng.standard_normal((number, 3))
    return axis / np.linalg.norm(axis, axis=1)[:, None]


class _Filler:
    """Fills in what a table lacks, and remembers what and how."""

    def __init__(self, world: Cosmology | None, mdef: str, relation: str, redshift: float) -> None:
        self.world, self.mdef, self.relation, self.redshift = world, mdef, relation, redshift
        self.filled: dict[str, str] = {}

    def _needed(self) -> Cosmology:
        if self.world is None:
            self.world = Cosmology("planck18")
        return self.world

    def radius(self, mass: FloatArray) -> FloatArray:
        world = self._needed()
        self.filled["radius"] = (
            f"from mass, definition {self.mdef!r}, {world.name} at z = {self.redshift:g}"
        )
        return world.radius(mass, redshift=self.redshift, mdef=self.mdef)

    def concentration(self, mass: FloatArray) -> FloatArray:
        world = self._needed()
        self.filled["concentration"] = (
            f"median of {self.relation!r} for {self.mdef!r}, {world.name} at "
            f"z = {self.redshift:g}, no scatter"
        )
        return world.concentration(
            mass, redshift=self.redshift, mdef=self.mdef, model=self.relation
        )

    def warn(self, label: str) -> None:
        missing = {k: v for k, v in self.filled.items() if k != "axis"}
        if missing:
            listed = "; ".join(f"{name}: {how}" for name, how in missing.items())
            warnings.warn(f"{label}: filled in what it lacks ({listed})", stacklevel=4)


# ---------------------------------------------------------------------- opening
@contextmanager
def _open(
    source: Any, key: str | None, hdu: int | str | None, suits: Callable[[TableSource], object]
) -> Iterator[_Opened]:
    if isinstance(source, (str, os.PathLike)):
        path = Path(source).expanduser()
        header = read_header(path) if path.is_file() else None
        if header is not None:
            known = {
                "simulation_omega_m": header.omega_m,
                "simulation_h": header.h,
            }
            rows = Rows(path, header)
            yield _Opened(
                rows.table(),
                header.boxsize,
                header.redshift,
                1e-3 if header.radii_in_kpc else 1.0,
                rows.prefetch,
                {k: v for k, v in known.items() if v is not None},
            )
            return
        with open_table(path, key=key, hdu=hdu, suits=suits) as table:
            opened = _Opened(table)
            if h5py.is_hdf5(path):
                _halotools_attributes(path, opened)
            yield opened
        return
    with open_table(source, key=key, hdu=hdu, suits=suits) as table:
        yield _Opened(table)


def _halotools_attributes(path: Path, opened: _Opened) -> None:
    """Box, redshift and origin from the attributes halotools gives its files."""
    with h5py.File(path, "r") as file:
        attributes = dict(file.attrs)
    if "Lbox" in attributes:
        opened.boxsize = halo_checks.box_side(attributes["Lbox"])
    if "redshift" in attributes:
        opened.redshift = float(np.ravel(attributes["redshift"])[0])
    for name in ("simname", "halo_finder", "version_name"):
        value = attributes.get(name)
        if value is not None:
            opened.meta[name] = value.decode() if isinstance(value, bytes) else str(value)


def _side(given: float | None, stored: float | None, label: str) -> float:
    if given is None and stored is None:
        raise ValueError(
            f"boxsize must be given: {label} does not say the side of its periodic box (Mpc/h)"
        )
    side = halo_checks.box_side(stored if given is None else given)
    if stored is not None and abs(side - stored) > 1e-3 * stored:
        raise ValueError(f"boxsize = {side:g}: {label} says {stored:g} Mpc/h; leave boxsize out")
    return side
