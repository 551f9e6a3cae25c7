"""What files of halos and galaxies state beside their columns: box, redshift and cosmology."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from colossus.cosmology import cosmology as _cosmologies

from pysoftcorr.core.checks import FloatArray
from pysoftcorr.core.tables import TableSource
from pysoftcorr.mocks.halo_units import length_unit

_MPC_IN_CM = 3.0856775814913673e24
#: Cosmologies of the simulations that halotools ships, by its names.
SIMULATIONS = {"bolshoi": "bolshoi", "bolplanck": "multidark-planck", "multidark": "bolshoi"}

# Names are compared in small letters, without underscores, hyphens and spaces.
_BOX = ("lbox", "boxsize", "boxlength", "boxlen", "boxside", "boxwidth", "boxsidelength", "period",
        "box")  # fmt: skip
#: What may follow the name of the box, and the unit that it states.
_BOX_UNITS = {"": "", "mpch": "Mpc/h", "hmpc": "Mpc/h", "kpch": "kpc/h", "mpc": "Mpc", "kpc": "kpc"}
_SIDES = (
    ("lx", "ly", "lz"),
    *(tuple(f"{name}{end}" for end in ends) for name in _BOX for ends in ("xyz", "123", "012")),
    *(tuple(f"{letter}{name}" for letter in "xyz") for name in ("boxsize", "lbox", "box")),
)
_REDSHIFT = ("redshift", "redshft", "zsnap", "snapz", "zred", "z")
_SCALE = ("scalefactor", "expansionfactor", "aexp", "aexpn", "ascale", "expansion", "a")
_OMEGA = ("omega0", "omegam", "om0", "omegamatter", "omegam0", "omega0m", "omegamatter0",
          "om")  # fmt: skip
_H = ("hubbleparam", "hubbleparameter", "hubblepa", "h0", "h", "hubble", "hubble0",
      "hubbleconstant", "hubbleconst", "littleh", "h100")  # fmt: skip
_COSMOLOGY = ("cosmology", "cosmo", "cosmologyname")
#: Groups of meta data that are looked through too.
_GROUPS = ("header", "cosmology", "parameters", "params", "simulation", "sim", "meta", "attrs")
#: A unit of length in a comment: "box size in Mpc/h", "[h^-1 kpc]".
_LENGTH = re.compile(
    r"(h\^?\{?-1\}?[\s*.]*)?(?<![a-z])c?[kMG]pc\b(\s*/\s*(h|littleh)\b|[\s*.]*h\^?\{?-1\}?|/h)?",
    re.I,
)
#: Numbers that a text begins with, and not the 3 of "3rd".
_FIRST_NUMBERS = re.compile(
    r"[\s\[(]*([-+0-9.eE]+(?:[\s,;x]+[-+0-9.eE]+)*)(?=[\s\])]|$|c?[kMG]pc)[\])]*\s*(.*)", re.I
)
#: What may stand before a name.
_PREFIX = re.compile(r"^(simulation|sim|snapshot|snap)")


@dataclass
class Header:
    """What a file says of its halos; None where it does not.

    Attributes
    ----------
    boxsize : float or ndarray, shape (3,)
        Mpc/h.
    box_unit : str
        The unit that the file states of it; empty where it is taken to be in Mpc/h.
    redshift, omega_m, h : float
    cosmology : str
        Name of the cosmology, where the file names it or a simulation.
    units : dict of str to str
        Units of columns, by column.
    length : str
        Unit of lengths, where one holds for all.
    meta : dict
        For the record.
    """

    boxsize: Any = None
    box_unit: str = ""
    redshift: float | None = None
    omega_m: float | None = None
    h: float | None = None
    cosmology: str | None = None
    units: dict[str, str] = field(default_factory=dict)
    length: str | None = None
    meta: dict[str, Any] = field(default_factory=dict)


def of_mapping(
    attributes: Mapping[Any, Any], notes: Mapping[str, str] | None = None, label: str = ""
) -> Header:
    """The header in attributes, cards or meta data, by the names that simulations use.

    Lengths are in Mpc/h, but where a unit beside them, in their name or ``UnitLength_in_cm``
    says otherwise. Values that none has, such as a box of 0, count as not stated.

    Parameters
    ----------
    attributes : mapping
        Numbers, text, arrays, quantities, or mappings of these.
    notes : mapping of str to str, optional
        Units or comments by the names of attributes.
    label : str
        The file, for messages.

    Raises
    ------
    ValueError
        If the box is in a unit without h, and no Hubble constant is stated.
    """
    stated = _flat(attributes)
    said = {_plain(str(k)): _length_in(v) for k, v in (notes or {}).items()}

    def first(names: Sequence[str], low: float, high: float) -> float | None:
        for name in names:
            value = _numbers(stated.get(name))[0]
            if value is not None and value.size and low <= value[0] <= high:
                return float(value[0])
        return None

    redshift = first(_REDSHIFT, -1e-3, 1e4)
    scale = first(_SCALE, 1e-5, 1.001)
    if redshift is None and scale is not None:
        redshift = 1.0 / scale - 1.0
    h = first(_H, 0.1, 200.0)
    if h is not None and h > 2:
        h /= 100.0  # H0 in km/s/Mpc
    header = Header(
        redshift=None if redshift is None else max(redshift, 0.0),
        omega_m=first(_OMEGA, 1e-3, 2.0),
        h=h,
        cosmology=_cosmology(stated),
    )
    centimeters = first(("unitlengthincm",), 1.0, np.inf)
    for name, sides, unit in _boxes(stated, said):
        if centimeters is not None and not unit:
            scaled = centimeters / _MPC_IN_CM
            header.length = "kpc/h" if abs(scaled / 1e-3 - 1) < 1e-2 else "Mpc/h"
            header.boxsize, header.box_unit = sides * round(scaled, 6), header.length
        else:
            header.boxsize = sides * _in_mpc_h(name, sides, unit, h, label)
            header.box_unit = unit
        if (header.boxsize == header.boxsize[0]).all():
            header.boxsize = header.boxsize[0]
        break
    for name in ("simname", "halo_finder", "version_name"):
        value = stated.get(_plain(name))
        if value is not None:
            header.meta[name] = _text(value)
    return header


def of_table(table: TableSource) -> Header:
    """What the table itself says, or all of its parts; ValueError where these differ."""
    parts = getattr(table, "parts", ()) or (table,)
    return common({part.label: of_mapping(part.meta, part.notes, part.label) for part in parts})


def merged(nearer: Header, farther: Header) -> Header:
    """What a table says, and what it does not say itself as its file has it."""
    chosen = {
        name: getattr(farther, name) if getattr(nearer, name) is None else getattr(nearer, name)
        for name in ("boxsize", "redshift", "omega_m", "h", "cosmology", "length")
    }
    if nearer.boxsize is None:
        chosen["box_unit"] = farther.box_unit
    meta = {**farther.meta, **nearer.meta}
    return replace(nearer, **chosen, units={**farther.units, **nearer.units}, meta=meta)


def common(headers: Mapping[str, Header]) -> Header:
    """The header of all files; ValueError where they are of different simulations or times."""
    if not headers:
        return Header()
    first_path, first = next(iter(headers.items()))
    whole = first
    for path, other in headers.items():
        for name, shown in (("redshift", "z"), ("boxsize", "L"), ("omega_m", "Om")):
            a, b = getattr(first, name), getattr(other, name)
            if a is None or b is None:
                continue
            difference = np.abs(np.asarray(a) - np.asarray(b))
            if np.any(difference > 1e-3 * np.maximum(1.0, np.abs(a))):
                raise ValueError(
                    f"{path} is of {shown} = {_shown(b)}, {first_path} of {shown} = {_shown(a)}: "
                    "they are not parts of one catalog; read them one by one"
                )
        whole = merged(whole, other)
    return whole


# ---------------------------------------------------------------------- names and values
def _plain(name: str) -> str:
    return re.sub(r"[\s_\-.\[\]/]", "", name).lower()


def _flat(attributes: Mapping[Any, Any]) -> dict[str, Any]:
    """Attributes by their plain names, those of groups among them where none is outside.

    Also by their names without a prefix such as ``simulation_``.
    """
    found: dict[str, Any] = {}
    inner: dict[str, Any] = {}
    for key, value in attributes.items():
        name = _plain(str(key))
        if isinstance(value, Mapping):
            if name in _GROUPS:
                inner |= _flat(value)
        else:
            found[name] = value
    found = {**inner, **found}
    return {_PREFIX.sub("", name): value for name, value in found.items()} | found


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _numbers(value: Any) -> tuple[FloatArray | None, str]:
    """Finite numbers of a value, and the unit that it states; None where it is no number."""
    if value is None or isinstance(value, (bool, np.bool_)):
        return None, ""
    unit = str(getattr(value, "unit", "") or "")
    value = getattr(value, "value", value)
    if isinstance(value, np.ndarray) and value.dtype.kind in "SU" and value.size == 1:
        value = value.reshape(-1)[0]
    if isinstance(value, (str, bytes)):
        parts = _FIRST_NUMBERS.fullmatch(_text(value).strip())
        if parts is None:
            return None, ""
        value = [text for text in re.split(r"[\s,;x]+", parts[1]) if text]
        unit = _length_in(parts[2])
    try:
        array = np.ravel(np.asarray(value, dtype=np.float64))
    except (TypeError, ValueError):
        return None, ""
    return (array, unit) if array.size and np.isfinite(array).all() else (None, "")


def _length_in(text: str) -> str:
    """The unit of length that a comment names; empty where it names none."""
    found = _LENGTH.search(text)
    return found[0] if found else ""


def _boxes(
    stated: Mapping[str, Any], units: Mapping[str, str]
) -> Iterator[tuple[str, FloatArray, str]]:
    """Boxes that attributes state: name, one or three sides, unit; those in Mpc/h first."""
    for name in _BOX:
        for end, implied in _BOX_UNITS.items():
            sides, unit = _numbers(stated.get(name + end))
            if sides is not None and sides.size in (1, 3) and (sides > 0).all():
                yield name + end, sides, unit or implied or units.get(name + end, "")
    for names in _SIDES:
        found = [_numbers(stated.get(name)) for name in names]
        values = [value for value, _ in found if value is not None and value.size == 1]
        if len(values) == 3:
            sides = np.concatenate(values)
            if (sides > 0).all():
                yield names[0], sides, found[0][1] or units.get(names[0], "")


def _in_mpc_h(name: str, sides: FloatArray, unit: str, h: float | None, label: str) -> float:
    """What a box in this unit is multiplied by to be in Mpc/h."""
    if not unit.strip():
        return 1.0
    found = length_unit(unit)
    of = f" of {label}" if label else ""
    if found is None:
        raise ValueError(
            f"{name}{of} is in {unit!r}, which is no unit of length: state it in Mpc/h or kpc/h"
        )
    factor, with_h = found
    if with_h:
        return factor
    if h is None:
        raise ValueError(
            f"{name}{of} is {_shown(sides)} {unit}, and no Hubble constant says how much that is "
            "in Mpc/h: state the box in Mpc/h, or h beside it"
        )
    return factor * h


def _cosmology(stated: Mapping[str, Any]) -> str | None:
    """The cosmology that is named, by colossus' name, or that of the simulation that is."""
    for name in _COSMOLOGY:
        value = stated.get(name)
        if isinstance(value, (str, bytes)):
            wanted = re.sub(r"20(?=\d\d$)", "", _plain(_text(value)))
            for known in _cosmologies.cosmologies:
                if _plain(known) == wanted and known != "powerlaw":
                    return str(known)
    return SIMULATIONS.get(_text(stated.get("simname", "")).lower())


def _shown(value: Any) -> str:
    sides = np.ravel(np.asarray(value, dtype=np.float64))
    return f"{sides[0]:g}" if sides.size == 1 else f"({', '.join(f'{s:g}' for s in sides)})"
