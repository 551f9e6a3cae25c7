"""Units of lengths, masses and velocities as halo catalogs write them, in Mpc/h, Msun/h, km/s."""

from __future__ import annotations

import re

import astropy.units as u

from pysoftcorr.core.tables import TableSource

_LENGTHS = {"position": 1, "radius": 1, "scale_radius": 1}
_WITH_H = re.compile(r"/\(?h|h\^?-1|h\*\*-1|littleh|h_?inv", re.IGNORECASE)
_PREFIX = {"k": 1e-3, "m": 1.0, "g": 1e3}


_MASSES = ("mass", "subhalo_mass")
_LOGARITHM = re.compile(r"\b(dex|log(10)?)\b", re.IGNORECASE)
#: Velocities of groups of SUBFIND, to be divided by the scale factor.
_BY_SCALE = re.compile(r"(\(km/s\)|km/s|kms-1|kms\*\*-1)/a")


def by_scale(table: TableSource, text: str, otherwise: str | None) -> bool:
    """Whether a column of velocities is in km/s times the scale factor."""
    unit = table.units.get(text, otherwise) if text in table.names else None
    return unit is not None and bool(_BY_SCALE.fullmatch(unit.replace(" ", "")))


def factor(table: TableSource, name: str, text: str, otherwise: str | None = None) -> float:
    """What a column is multiplied by to be in Mpc/h, Msun/h or km/s; 1 for an expression.

    Parameters
    ----------
    table : TableSource
    name : str
        The field.
    text : str
        A column, whose unit the table may say, or an expression.
    otherwise : str, optional
        Unit of a column without one.

    Raises
    ------
    ValueError
        If the unit is of no length, mass or velocity, or lacks the h.
    """
    mass = name in _MASSES
    if text not in table.names or not (mass or name in _LENGTHS or name == "velocity"):
        return 1.0
    unit = table.units.get(text, otherwise)
    if unit is None or unit.strip() in ("", "1", "dimensionless"):
        return 1.0
    if name == "velocity":
        return _of_velocity(table, text, unit)
    found = _mass_unit(unit) if mass else length_unit(unit)
    wanted = "Msun/h" if mass else "Mpc/h"
    if _LOGARITHM.search(unit):
        raise ValueError(
            f"{name}: column {text!r} of {table.label} is in {unit!r}, a logarithm; pass "
            f"columns={{'{name}': '10**value({text})'}}"
            + ("" if _WITH_H.search(unit) else f", times h if the {wanted[:4]} have none")
        )
    if found is None:
        raise ValueError(
            f"{name}: column {text!r} of {table.label} is in {unit!r}, and {wanted} is needed; "
            f"pass columns={{'{name}': 'value({text})'}} if it is in {wanted} all the same"
        )
    times, with_h = found
    if not with_h:
        scaled = f"*{times:g}" if times != 1 else ""
        raise ValueError(
            f"{name}: column {text!r} of {table.label} is in {unit!r}, without h, and {wanted} is "
            f"needed; pass columns={{'{name}': '0.7*value({text}){scaled}'}} with h in place of "
            f"0.7, or columns={{'{name}': 'value({text}){scaled}'}} if it is in {wanted} all the "
            "same"
        )
    return times


def _of_velocity(table: TableSource, text: str, unit: str) -> float:
    """What velocities are multiplied by to be in km/s; the scale factor is left to the caller."""
    if by_scale(table, text, unit):
        return 1.0
    parsed = u.Unit(unit.strip().strip("[]"), parse_strict="silent")
    if isinstance(parsed, u.UnrecognizedUnit) or not parsed.is_equivalent(u.km / u.s):
        raise ValueError(
            f"velocity: column {text!r} of {table.label} is in {unit!r}, and km/s is needed; "
            f"pass columns={{'velocity': ...}} with value() around columns that are in km/s all "
            "the same, or columns={'velocity': None} to read without them"
        )
    return float(parsed.to(u.km / u.s))


def length_unit(unit: str) -> tuple[float, bool] | None:
    """What a length is multiplied by to be in Mpc/h, or in Mpc, and whether the unit has the h.

    None for another kind of unit.
    """
    text, times, with_h = _parts(unit)
    found = re.search(r"([kmg])pc", text, re.IGNORECASE)
    return (times * _PREFIX[found[1].lower()], with_h) if found else None


def _mass_unit(unit: str) -> tuple[float, bool] | None:
    text, times, with_h = _parts(unit)
    solar = re.search(r"M_?(sun|solar|odot|\u2299)|solMass", text, re.I)
    return (times, with_h) if solar else None


def _parts(unit: str) -> tuple[str, float, bool]:
    """A unit without blanks, the number that it begins with, and whether it has the h."""
    text = re.sub(r"[\s\[\]]|comoving", "", unit)
    number = re.match(r"(10\^|10\*\*)?([0-9.]+(?:[eE][+-]?[0-9]+)?)\*?", text)
    times = 1.0
    if number:
        times = float(number[2])
        times = 10.0**times if number[1] else times
    return text, times, bool(_WITH_H.search(text))
