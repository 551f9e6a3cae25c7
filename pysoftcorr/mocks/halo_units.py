"""Units of lengths and masses as halo catalogs write them, in Mpc/h and Msun/h."""

from __future__ import annotations

import re

from pysoftcorr.core.tables import TableSource

_LENGTHS = {"position": 1, "radius": 1, "scale_radius": 1}
_WITH_H = re.compile(r"/\(?h|h\^?-1|h\*\*-1|littleh|h_?inv", re.IGNORECASE)
_PREFIX = {"k": 1e-3, "m": 1.0, "g": 1e3}


def factor(table: TableSource, name: str, text: str, otherwise: str | None = None) -> float:
    """What a column is multiplied by to be in Mpc/h or Msun/h; 1 for an expression.

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
        If the unit is of no length or mass, or lacks the h.
    """
    mass = name == "mass"
    if text not in table.names or not (mass or name in _LENGTHS):
        return 1.0
    unit = table.units.get(text, otherwise)
    if unit is None or unit.strip() in ("", "1", "dimensionless"):
        return 1.0
    found = _mass_unit(unit) if mass else length_unit(unit)
    wanted = "Msun/h" if mass else "Mpc/h"
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
