"""Subhalos out of halo tables: rows that are no hosts, and their places in the catalog."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr.core.cautions import caution
from pysoftcorr.core.checks import FloatArray, IntArray, Origin
from pysoftcorr.core.tables import TableSource
from pysoftcorr.mocks import checks as halo_checks
from pysoftcorr.mocks.halo_columns import column_of, whole_numbers
from pysoftcorr.mocks.halo_parents import only_hosts, top_hosts
from pysoftcorr.mocks.subhalos import Subhalos

BoolArray = npt.NDArray[np.bool_]
#: Subhalos lie within the radius of their host, or the group of particles that reaches farther.
_FARTHEST = 2.0


@dataclass
class Members:
    """Rows that are subhalos, before it is known which hosts the catalog keeps.

    Attributes
    ----------
    columns : dict of ndarray
        ``position`` in Mpc/h, ``subhalo_mass`` in Msun/h, and ``velocity`` in km/s where there is
        one.
    host : ndarray of int
        Row of the host in the table of halos, -1 where it is not there.
    origin : Origin
        Where the columns came from.
    label : str
        What messages call the table.
    texts : dict of str to list of str
        Columns or expressions that they were read from.
    left_out : dict of str to int
        Numbers of subhalos that are no such, by the reason.
    """

    columns: dict[str, FloatArray]
    host: IntArray
    origin: Origin
    label: str
    texts: dict[str, list[str]]
    left_out: dict[str, int] = field(default_factory=dict)


def check_asked(table: TableSource, chosen: Mapping[str, tuple[str, ...]], hosts: bool) -> None:
    """ValueError where subhalos cannot be told from hosts, or both are kept as halos."""
    if not hosts:
        raise ValueError(
            "subhalos=True keeps subhalos with their hosts, and hosts=False takes them for halos; "
            "leave one of them out"
        )
    if "parent" in chosen and "id" not in chosen:
        raise ValueError(
            f"subhalos=True needs the identifiers of halos, by which {chosen['parent'][0]!r} names "
            f"hosts: {table.label} has none that is known; pass columns={{'id': ...}}"
        )
    if "parent" in chosen or chosen["position"][0].lower() == "grouppos":
        return
    if only_hosts(chosen):
        raise ValueError(f"subhalos=True: {table.label} has none, as CompaSO finds halos alone")
    raise ValueError(
        f"subhalos=True: {table.label} names no parent halos, by which subhalos are known "
        "(halo_upid, upid, PID, hostHalo); pass columns={'parent': ...}"
    )


def of_table(
    table: TableSource,
    chosen: Mapping[str, tuple[str, ...]],
    whole: Mapping[str, FloatArray],
    mass_unit: str | None,
    host: BoolArray,
    selected: BoolArray,
    origin: Origin,
) -> Members:
    """The subhalos among the rows of a table of halos.

    Parameters
    ----------
    table, chosen
        Table and column texts of each field.
    whole : mapping
        Columns of every row, ``position`` and perhaps ``velocity`` among them.
    mass_unit : str or None
        Unit of the masses by which they are ranked, where the table does not say one.
    host, selected : ndarray of bool, shape (n,)
        Which rows are host halos, and which are selected.
    origin : Origin
        Where the columns came from.
    """
    n = len(host)
    top = top_hosts(table, chosen, host, selected, origin)
    parent = whole_numbers(table, "parent", chosen["parent"][0], n)
    rows = selected & ~host & ~np.asarray(parent.mask)
    name = "subhalo_mass" if "subhalo_mass" in chosen else "mass"
    mass = whole["mass"] if name == "mass" else column_of(
        table, name, chosen[name], n, origin, mass_unit
    )  # fmt: skip
    columns = {"position": whole["position"][rows], "subhalo_mass": mass[rows]}
    if "velocity" in whole:
        columns["velocity"] = whole["velocity"][rows]
    labels = {**origin.labels, "subhalo_mass": chosen[name][0]}
    texts = {k: list(chosen["mass" if k not in chosen else k]) for k in columns}
    return Members(
        columns, top[rows], replace(origin, labels=labels).keep(rows), table.label, texts
    )


def attach(
    members: Members,
    rows: IntArray,
    selected: BoolArray,
    position: FloatArray,
    radius: FloatArray,
    *,
    boxsize: Any,
    wrap: bool,
    on_bad: str,
) -> tuple[Subhalos, dict[str, Any]]:
    """Subhalos with the rows of their hosts in the catalog, and what is recorded of them.

    Parameters
    ----------
    members : Members
    rows : ndarray of int, shape (N,)
        Row in the table of each halo of the catalog.
    selected : ndarray of bool, shape (n,)
        Which rows of the table met the selection.
    position, radius : ndarray, shape (N, 3) and (N,)
        Halos of the catalog, Mpc/h.
    boxsize, wrap, on_bad
        As of `from_table`.

    Raises
    ------
    ValueError
        If a subhalo has a bad value, unless these are to be dropped, or is outside the box, or
        none has its host in the table.
    """
    if len(members.host) and (members.host < 0).all():
        raise ValueError(
            f"subhalos=True: none of the {len(members.host)} subhalos of {members.label} names a "
            "host that is in the table: does the column of parents hold identifiers of hosts?"
        )
    place = np.full(len(selected) + 1, -1)  # the last is that of -1
    place[rows] = np.arange(len(rows))
    host = place[members.host]
    lost = members.host < 0
    cut = ~lost & ~selected[members.host]
    left_out = {
        "whose host is not in the table": int(np.count_nonzero(lost)),
        "whose host is not selected": int(np.count_nonzero(cut)),
        "whose host was left out for its values": int(np.count_nonzero((host < 0) & ~lost & ~cut)),
    }
    keep = host >= 0
    columns = {name: values[keep] for name, values in members.columns.items()}
    origin, host = members.origin.keep(keep), host[keep]
    good = _good(columns, origin, on_bad)
    left_out["with NaN, infinite, masked or impossible values"] = int(np.count_nonzero(~good))
    left_out = {why: many for why, many in {**members.left_out, **left_out}.items() if many}
    columns = {name: values[good] for name, values in columns.items()}
    host, origin = host[good], origin.keep(good)
    total = len(members.host) + sum(members.left_out.values())
    if left_out:
        listed = ", ".join(f"{many} {why}" for why, many in left_out.items())
        caution(f"left out {sum(left_out.values())} of {total} subhalos: {listed}")
    if not total:
        caution(f"{members.label} has no subhalos: every row is a host halo")
    inside = columns["position"]
    if len(host):
        inside = halo_checks.boxed(inside, boxsize, origin, wrap=wrap)
        _warn_of_far_ones(inside, position[host], radius[host], boxsize, origin)
    made = Subhalos(inside, columns["subhalo_mass"], host, velocity=columns.get("velocity"))
    record = {"number": len(made), "columns": members.texts, "left_out": left_out}
    return made, record


def _good(columns: Mapping[str, FloatArray], origin: Origin, on_bad: str) -> BoolArray:
    """Which subhalos have values that a subhalo can have; others are refused unless dropped."""
    if on_bad == "error":
        halo_checks.finite(columns, origin)
        for fault in (halo_checks.mass_fault(columns["subhalo_mass"], origin, "subhalo_mass"),
                      _fast(columns, origin)):  # fmt: skip
            if fault:
                raise ValueError(fault.text)
    finite = [np.isfinite(v if v.ndim == 1 else v.sum(axis=1)) for v in columns.values()]
    good: BoolArray = np.logical_and.reduce(finite)
    for find in (lambda c, o: halo_checks.mass_fault(c["subhalo_mass"], o, "subhalo_mass"), _fast):
        at = np.flatnonzero(good)
        fault = find({name: values[at] for name, values in columns.items()}, origin.keep(good))
        if fault and 2 * len(fault.rows) > len(at):
            # A unit, not single rows.
            raise ValueError(fault.text.replace(", or pass on_bad='drop' to leave them out", ""))
        if fault:
            good[at[fault.rows]] = False
    return good


def _fast(columns: Mapping[str, FloatArray], origin: Origin) -> halo_checks.Fault | None:
    if "velocity" not in columns:
        return None
    return halo_checks.velocity_fault(columns["velocity"], origin)


def _warn_of_far_ones(
    position: FloatArray, center: FloatArray, radius: FloatArray, boxsize: Any, origin: Origin
) -> None:
    """A warning where most subhalos are not where their host is."""
    sides = np.broadcast_to(np.asarray(boxsize, dtype=np.float64), (3,))
    apart = position - center
    apart -= sides * np.round(apart / sides)
    distance = np.linalg.norm(apart, axis=1) / radius
    far = int(np.count_nonzero(distance > _FARTHEST))
    if 2 * far > len(distance):
        caution(
            f"{far} of {len(distance)} subhalos lie outside {_FARTHEST:g} radii of their host, at "
            f"{np.median(distance):.3g} radii in the median: are {origin.column('position')} and "
            "the radii of hosts in one unit, and the identifiers of hosts right?"
        )
