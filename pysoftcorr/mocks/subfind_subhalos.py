"""The table of subhalos of SUBFIND, beside that of its groups in the same HDF5 files."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from pysoftcorr.core.checks import IntArray
from pysoftcorr.core.tables import TableSource, open_table
from pysoftcorr.mocks.halo_columns import column_of, whole_numbers
from pysoftcorr.mocks.halo_files import Groups
from pysoftcorr.mocks.halo_schemes import SUBFIND_SUBHALOS
from pysoftcorr.mocks.subhalo_tables import Members

BoolArray = npt.NDArray[np.bool_]
#: Units of columns of which the header does not say one.
_UNITS = {"subhalo_mass": "1e10 Msun/h", "velocity": "km/s"}


def of_subfind(
    groups: Groups | None,
    units: Mapping[str, str],
    table: TableSource,
    mass: str | None,
    count: int,
) -> Members:
    """The subhalos of SUBFIND, all but the first of each group, which is the central one.

    Parameters
    ----------
    groups : Groups or None
        The files that hold them.
    units : mapping
        Units of columns by the header.
    table : TableSource
        The table of groups.
    mass : str or None
        Column or expression for the ranking; by default ``SubhaloMass``.
    count : int
        Number of groups.

    Raises
    ------
    ValueError
        If there is no table of subhalos, or it does not belong to the groups.
    """
    if groups is None:
        raise ValueError(
            f"subhalos=True: {table.label} has groups without a table of subhalos; give the HDF5 "
            "files that hold both, Group and Subhalo"
        )
    if groups.lacking:
        raise ValueError(
            f"subhalos=True: {table.label} is a part of a snapshot, and subhalos name their groups "
            "by the row in all files; give all its files, as by a pattern with * for their number"
        )
    first = _optional(table, "GroupFirstSub", count)
    number = _optional(table, "GroupNsubs", count)
    with open_table([str(path) for path in groups.files], key="Subhalo") as subhalos:
        for part in (subhalos, *getattr(subhalos, "parts", ())):
            for name in set(units) & set(part.names):
                part.units.setdefault(name, units[name])
        return _members(subhalos, mass, first, number, count, table.label)


def _members(
    table: TableSource,
    mass: str | None,
    first: IntArray | None,
    number: IntArray | None,
    count: int,
    label: str,
) -> Members:
    """The subhalos of an open table; the central ones are the first of their groups."""
    found = _columns(table)
    if mass is not None:
        found["subhalo_mass"] = mass
    for name in ("group", "position", "subhalo_mass"):
        if name not in found:
            raise ValueError(
                f"subhalos=True: {table.label} has no column {' or '.join(SUBFIND_SUBHALOS[name])}"
            )
    n = table.rows(found["group"])
    host = whole_numbers(table, "group", found["group"], n).data.astype(np.int64)
    texts: dict[str, str] = {
        k: found[k] for k in ("position", "subhalo_mass", "velocity") if k in found
    }
    origin = table.origin(texts)
    columns = {
        name: column_of(table, name, (text,), n, origin, _UNITS.get(name))
        for name, text in texts.items()
    }
    central = _centrals(host, first, number, count, label)
    if first is None and "rank" in found:
        central = whole_numbers(table, "rank", found["rank"], n).data == 0
    keep, left_out = ~central, {}
    if "flag" in found:
        strange = keep & (whole_numbers(table, "flag", found["flag"], n).data == 0)
        if strange.any():
            why = f"of {found['flag']} = 0 (not of cosmological origin)"
            left_out[why] = int(np.count_nonzero(strange))
        keep &= ~strange
    host = np.where((host >= 0) & (host < count), host, -1)
    return Members(
        {name: values[keep] for name, values in columns.items()},
        host[keep],
        origin.keep(keep),
        table.label,
        {name: [text] for name, text in texts.items()},
        left_out,
    )


def _columns(table: TableSource) -> dict[str, str]:
    """The column of each field, of those that are there."""
    lower = {name.lower(): name for name in reversed(table.names)}
    found = {}
    for name, candidates in SUBFIND_SUBHALOS.items():
        there = [lower[c.lower()] for c in candidates if c.lower() in lower]
        if there:
            found[name] = there[0]
    return found


def _centrals(
    host: IntArray, first: IntArray | None, number: IntArray | None, count: int, label: str
) -> BoolArray:
    """Which subhalos are the first of their group; ValueError where tables do not fit together."""
    central = np.zeros(len(host), dtype=bool)
    if first is None:
        # In a group they stand together, the central one first.
        central[np.unique(host, return_index=True)[1]] = True
        return central
    there = (first >= 0) & (first < len(host))
    there &= np.isin(np.arange(count), host) if number is None else number > 0
    group = np.flatnonzero(there)
    wrong = np.count_nonzero(host[first[there]] != group)
    if wrong:
        raise ValueError(
            f"subhalos=True: GroupFirstSub and SubhaloGrNr contradict each other in {wrong} of "
            f"{count} groups of {label}: are these all files of one snapshot, in their order?"
        )
    central[first[there]] = True
    return central


def _optional(table: TableSource, name: str, n: int) -> IntArray | None:
    """Whole numbers of a column, if the table has it."""
    if name not in table.names:
        return None
    found = whole_numbers(table, name, name, n).data
    whole: IntArray = found.astype(np.int64)
    if found.dtype.kind == "u":
        whole[found == np.iinfo(found.dtype).max] = -1  # without a sign
    return whole
