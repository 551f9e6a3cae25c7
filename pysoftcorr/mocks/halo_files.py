"""Files of halos: their headers and their tables."""

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
from typing import Any

import h5py
import numpy as np

from pysoftcorr.core.cautions import caution
from pysoftcorr.core.expressions import Expression
from pysoftcorr.core.tables import TableSource, Unreadable, join, open_table, several
from pysoftcorr.core.tables.source import first_line
from pysoftcorr.mocks.halo_headers import Header, common, merged, of_mapping, of_table

_OPENERS: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_NUMBER = r"([-+0-9.eE]+)"
_MPC_IN_CM, _SUN_IN_G = 3.0856775814913673e24, 1.98841e33
#: Boxes of SUBFIND above this are in kpc/h where the header does not say its unit.
_LARGEST_IN_MPC = 3500.0


@dataclass
class Opened:
    """A table of halos, and what its file states beside it."""

    table: TableSource
    header: Header
    prefetch: Callable[[Iterable[str]], None] = lambda texts: None
    groups: Groups | None = None


@dataclass
class Groups:
    """Files of SUBFIND, in which groups and subhalos are numbered through all files.

    Attributes
    ----------
    files : list of Path
        Those with subhalos, in their order.
    lacking : bool
        Whether files before the last one that is read are not among those.
    """

    files: list[Path]
    lacking: bool = False


# ---------------------------------------------------------------------- Rockstar lists
@dataclass
class RockstarHeader(Header):
    """Content of the comment lines, names of columns included."""

    names: list[str] = field(default_factory=list)


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
            comments, row = [], ""
            for line in stream:
                if not line.startswith("#"):
                    row = line
                    break
                comments.append(line)
    except Exception:  # of every kind, where a packed file is damaged: told by who reads its rows
        return None
    text = "".join(comments)
    header = RockstarHeader(names=names)
    header.boxsize = _value(rf"[Bb]ox size\s*[:=]\s*{_NUMBER}", text)
    header.box_unit = "Mpc/h"
    header.omega_m = _value(rf"(?:Om|Omega_M)\s*=\s*{_NUMBER}", text)
    header.h = _value(rf"\bh0?\s*=\s*{_NUMBER}", text)
    scale = _value(rf"(?m)^#\s*a\s*=\s*{_NUMBER}", text)
    lower = [name.lower() for name in names]
    if scale is None and "scale" in lower and row:
        # A list of consistent-trees says it in every row.
        cells = row.split()
        where = lower.index("scale")
        scale = _value(_NUMBER, cells[where]) if where < len(cells) else None
    if scale is None:
        scale = _value(rf"^hlist_{_NUMBER}\.list", path.name)
    if scale:
        header.redshift = max(1.0 / scale - 1.0, 0.0)
    in_kpc = True
    for line in comments:
        if "units" in line.lower() and "radii" in line.lower():
            in_kpc = "kpc" in line.lower()
    header.units = {n: "kpc/h" for n in names if re.fullmatch(r"r(s|vir|\d+[bcm])", n.lower())}
    if not in_kpc:
        header.units = dict.fromkeys(header.units, "Mpc/h")
    known = {"simulation_omega_m": header.omega_m, "simulation_h": header.h}
    header.meta = {k: v for k, v in known.items() if v is not None}
    return header


class Rows:
    """The rows of a Rockstar list, read in one pass for the columns named beforehand."""

    def __init__(self, path: Path, header: RockstarHeader) -> None:
        self._path, self._names, self._units = path, header.names, header.units
        self._wanted: list[str] = []
        self._read: dict[str, np.ndarray] = {}

    def table(self) -> TableSource:
        """The table; loading a column raises ValueError where a row is damaged."""
        return TableSource(str(self._path), self._names, self._load, dict(self._units))

    def prefetch(self, texts: Iterable[str]) -> None:
        """Name columns, or expressions of columns, that will be asked for."""
        for text in texts:
            found = (text,) if text in self._names else Expression(text).names
            self._wanted += [n for n in found if n in self._names and n not in self._wanted]

    def _load(self, name: str) -> np.ndarray:
        if name not in self._read:
            names = list(dict.fromkeys([name, *self._wanted]))
            columns = [self._names.index(n) for n in names]
            kinds = [(n, "S21" if n.lower().endswith("id") else "f8") for n in names]
            try:
                with _opened(self._path) as stream, warnings.catch_warnings():
                    warnings.simplefilter("ignore", UserWarning)  # no rows: told by the caller
                    values = np.loadtxt(
                        stream, comments="#", usecols=columns, ndmin=1, dtype=np.dtype(kinds)
                    )
                self._read = {n: _identifiers(values[n]) for n in names}
            except Exception as error:  # of every kind, where a packed file is damaged
                raise Unreadable(f"{self._path}: damaged ({first_line(error)})") from None
        return self._read[name]


def _identifiers(values: np.ndarray) -> np.ndarray:
    """Text as whole numbers of 64 bits, exact, or as decimal ones; numbers as they are."""
    if values.dtype.kind != "S":
        return values.copy()
    for kind in (np.int64, np.uint64):
        try:
            # -1 without a sign is -1.
            return values.astype("U21").astype(kind).view(np.int64)
        except (ValueError, OverflowError):
            continue
    return values.astype(np.float64)


def _opened(path: Path) -> io.TextIOBase:
    return _OPENERS.get(path.suffix, open)(path, "rt", encoding="utf-8")


def _value(pattern: str, text: str) -> float | None:
    found = re.search(pattern, text)
    try:
        return float(found[1]) if found else None
    except ValueError:
        return None


# ---------------------------------------------------------------------- HDF5
def _hdf5_header(path: Path) -> tuple[Header, dict[str, int]]:
    """Attributes of an HDF5 file and of its group ``Header``, and the counts of its chunks."""
    with _damage(path), h5py.File(path, "r") as file:
        attributes = dict(file.attrs)
        gadget = "Header" in file and isinstance(file["Header"], h5py.Group)
        for name in ("Parameters", "Units", "Header"):
            if name in file and isinstance(file[name], h5py.Group):
                attributes.update(file[name].attrs)
        swift = _Swift.of(file)
        groups = [
            name
            for part in ("Group", "Subhalo")
            if isinstance(file.get(part), h5py.Group)
            for name in file[part]
        ]
        subhalos = len(file["Subhalo"]) if isinstance(file.get("Subhalo"), h5py.Group) else 0
    header = of_mapping(attributes)
    if swift is not None:
        if "BoxSize" in attributes:
            attributes["BoxSize"] = np.asarray(attributes["BoxSize"]) * swift.length
        header = of_mapping(attributes | swift.cosmology, {"BoxSize": "Mpc"}, str(path))
        header.units = swift.units
    counts = {
        name: int(np.ravel(attributes[key])[0])
        for name, key in (
            ("files", "NumFiles"),
            ("files", "NumFilesPerSnapshot"),
            ("rows", "Ngroups_ThisFile"),
            ("total", "Ngroups_Total"),
        )
        if key in attributes
    }
    if gadget and swift is None:
        counts["columns of subhalos"] = subhalos
        if header.length is None and header.boxsize is not None:
            header.length = "Mpc/h" if np.max(header.boxsize) < _LARGEST_IN_MPC else "kpc/h"
            header.box_unit = header.length
            if header.length == "kpc/h":
                header.boxsize = header.boxsize / 1000.0
        header.units = {
            name: header.length or "Mpc/h"
            for name in groups
            if name in ("GroupPos", "GroupCM", "SubhaloPos") or name.startswith("Group_R")
        }
        header.units |= {name: "1e10 Msun/h" for name in groups if name.startswith("Group_M")}
        header.units |= dict.fromkeys(set(groups) & {"GroupMass", "SubhaloMass"}, "1e10 Msun/h")
    return header, counts


@dataclass
class _Swift:
    """What files of SWIFT, and of SOAP (FLAMINGO, COLIBRE), say of units: none has an h.

    Attributes
    ----------
    length : float
        Unit of the box in Mpc.
    cosmology : dict
        Attributes of the group of that name.
    units : dict of str to str
        Units of columns that are comoving lengths, masses or velocities.
    """

    length: float
    cosmology: dict[str, Any]
    units: dict[str, str]

    @classmethod
    def of(cls, file: h5py.File) -> _Swift | None:
        """None for a file of another program, by the cosmology with its h in a group."""
        cosmology, units = file.get("Cosmology"), file.get("Units")
        if not isinstance(cosmology, h5py.Group) or "h" not in cosmology.attrs:
            return None
        stated = units.attrs if isinstance(units, h5py.Group) else {}
        cgs = [
            float(np.ravel(stated.get(f"Unit {name} in cgs ({short})", usual))[0])
            for name, short, usual in (
                ("length", "U_L", _MPC_IN_CM),
                ("mass", "U_M", 1e10 * _SUN_IN_G),
                ("time", "U_t", _MPC_IN_CM / 1e5),
            )
        ]
        length = round(cgs[0] / _MPC_IN_CM, 6)
        known: dict[tuple[float, ...], str] = {
            (1, 0, 0, 1): f"{length:g} Mpc",
            (0, 1, 0, 0): f"{10.0 ** round(np.log10(cgs[1] / _SUN_IN_G), 3):g} Msun",
            (1, 0, -1, 0): f"{round(cgs[0] / cgs[2] / 1e5, 4):g} km/s",
        }
        found: dict[str, str] = {}

        def see(path: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset) and "U_L exponent" in item.attrs:
                names = ("U_L exponent", "U_M exponent", "U_t exponent", "a-scale exponent")
                powers = tuple(float(np.ravel(item.attrs.get(n, 0))[0]) for n in names)
                if powers in known:
                    found[path.rpartition("/")[2]] = known[powers]

        file.visititems(see)
        return cls(length, dict(cosmology.attrs), found)


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    """Errors of HDF5 with the name of the file."""
    try:
        yield
    except Exception as error:  # h5py raises of every kind, for one reason
        raise Unreadable(f"{path}: damaged ({first_line(error)})") from None


# ---------------------------------------------------------------------- opening
@contextmanager
def open_halos(
    source: Any,
    key: Any,
    hdu: Any,
    suits: Callable[[TableSource], object],
) -> Iterator[Opened]:
    """The table of a file, of several, or in memory, with what its header says.

    Raises
    ------
    FileNotFoundError
        If a file is not there.
    ValueError
        If files are of different boxes or redshifts, or as `open_table`.
    """
    if not isinstance(source, (str, os.PathLike, list, tuple, Iterator)):
        if hasattr(source, "halo_table"):  # a catalog of halotools, with what it says of itself
            stated = {name: getattr(source, name, None) for name in _OF_HALOTOOLS}
            header = of_mapping({k: v for k, v in stated.items() if v is not None})
            with open_table(source.halo_table, key=key, hdu=hdu, suits=suits) as table:
                yield _with_units(table, header)
            return
        with open_table(source, key=key, hdu=hdu, suits=suits) as table:
            yield _with_units(table, of_table(table))
        return
    parts = _in_order(several(source))
    headers: dict[str, Header] = {}
    rows: list[Rows] = []
    kept: list[Any] = []
    counted: list[tuple[Path, dict[str, int]]] = []
    for part in parts:
        path = Path(part).expanduser() if isinstance(part, (str, os.PathLike)) else None
        if path is None or not path.is_file():
            kept.append(part)
            continue
        rockstar = read_header(path)
        if rockstar is not None:
            headers[str(path)] = rockstar
            rows.append(Rows(path, rockstar))
        elif h5py.is_hdf5(path):
            headers[str(path)], counts = _hdf5_header(path)
            counted.append((path, counts))
            if counts.get("rows") == 0 and len(parts) > 1:
                continue  # a chunk without groups has no columns
        kept.append(part)
    header = common(headers)
    if rows and len(rows) == len(parts):
        if hdu is not None or key is not None:
            name = "hdu" if hdu is not None else "key"
            raise ValueError(f"{name} is not for a Rockstar list, which is one table of text")

        def prefetch(texts: Iterable[str]) -> None:
            asked = list(texts)
            for each in rows:
                each.prefetch(asked)

        yield Opened(join([each.table() for each in rows]), header, prefetch)
        return
    _check_chunks(counted)
    single = len(kept) == 1 and len(parts) == 1
    with open_table(kept[0] if single else kept, key=key, hdu=hdu, suits=suits) as table:
        opened = _with_units(table, merged(of_table(table), header))
        opened.groups = _groups(counted)
        yield opened


#: Attributes of a catalog of halotools that say what a file's header does.
_OF_HALOTOOLS = ("Lbox", "redshift", "simname", "halo_finder", "version_name")
_NUMBERED = re.compile(r"(|.*\D)(\d+)(\.(?:hdf5|h5))")


def _chunk(part: Any) -> tuple[str, int] | None:
    """The common part of a chunk's name, and its number: 10 of ``tab_099.10.hdf5``."""
    if not isinstance(part, (str, os.PathLike)):
        return None
    found = _NUMBERED.fullmatch(os.fspath(part))
    return (found[1], int(found[2])) if found else None


def _in_order(parts: list[Any]) -> list[Any]:
    """The chunks of one snapshot by their numbers: 10 comes after 9."""
    chunks = [_chunk(part) for part in parts]
    if any(c is None for c in chunks) or len({c[0] for c in chunks if c}) > 1:
        return parts
    return sorted(parts, key=lambda part: _chunk(part) or ("", 0))


def _groups(counted: Sequence[tuple[Path, Mapping[str, int]]]) -> Groups | None:
    """The files of SUBFIND among those read."""
    having = [path for path, counts in counted if counts.get("columns of subhalos")]
    if not having:
        return None
    numbers = [c[1] if c else None for c in (_chunk(path) for path, _ in counted)]
    rows = [counts.get("rows", 0) for _, counts in counted]
    whole = sum(rows) >= counted[0][1].get("total", 0)
    return Groups(having, not whole and numbers != list(range(len(numbers))))


def _with_units(table: TableSource, header: Header) -> Opened:
    for part in (table, *getattr(table, "parts", ())):
        for name, unit in header.units.items():
            if name in part.names:
                part.units.setdefault(name, unit)
    return Opened(table, header)


def _check_chunks(counted: Sequence[tuple[Path, Mapping[str, int]]]) -> None:
    """A warning where chunks of a snapshot are lacking, by what their headers say."""
    known = [(path, c) for path, c in counted if {"rows", "total"} <= set(c)]
    if not known or len(known) != len(counted):
        return
    path, first = known[0]
    rows = sum(c["rows"] for _, c in known)
    if rows < first["total"]:
        chunks = f" in {first['files']} files" if first.get("files", 1) > 1 else ""
        caution(
            f"{path.name} is a part of a catalog of {first['total']} groups{chunks}; "
            f"{rows} are read. Give all its files, as by a pattern with * for their number"
        )
