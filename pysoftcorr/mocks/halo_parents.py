"""Host halos and what lies in them, by the column of parents of a halo table."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from pysoftcorr.core.cautions import caution
from pysoftcorr.core.checks import IntArray, Origin
from pysoftcorr.core.tables import TableSource
from pysoftcorr.mocks import checks as halo_checks
from pysoftcorr.mocks.halo_columns import whole_numbers

BoolArray = npt.NDArray[np.bool_]

_TOP = {np.dtype(f"u{k}"): np.iinfo(f"u{k}").max for k in (4, 8)}


def host_rows(
    table: TableSource,
    chosen: Mapping[str, tuple[str, ...]],
    selected: BoolArray,
    hosts: bool,
    on_bad: str,
    origin: Origin,
) -> BoolArray:
    """Which rows are host halos, by the column of their parents."""
    n = len(selected)
    if not hosts:
        return np.ones(n, dtype=bool)
    if "parent" not in chosen:
        if not only_hosts(chosen):
            caution(
                f"{table.label} names no parent halos (halo_upid, upid, PID, or columns="
                "{'parent': ...}): every row is taken as a host halo; pass hosts=False if that is "
                "so"
            )
        return np.ones(n, dtype=bool)
    parent = whole_numbers(table, "parent", chosen["parent"][0], n)
    if _missing_is_none(table, chosen, parent):
        caution(
            f"{origin.column('parent')} is missing in {np.count_nonzero(parent.mask)} of {n} rows, "
            "and marks no row as a host halo otherwise: these are taken as the host halos"
        )
        return np.asarray(parent.mask)
    unknown = np.asarray(parent.mask)
    if on_bad == "error":
        halo_checks.finite(
            {"parent": np.where(unknown, np.nan, 0.0)[selected]}, origin.keep(selected)
        )
    elif (unknown & selected).any():
        caution(
            f"left out {np.count_nonzero(unknown & selected)} of {np.count_nonzero(selected)} rows "
            f"whose {origin.column('parent')} is missing"
        )
    selected = selected & ~unknown
    values = parent.data
    keep = _marked(values)
    own = None
    if "id" in chosen:
        own = whole_numbers(table, "id", chosen["id"][0], n).data
        keep |= values == own
    zero = values == 0
    if zero.any() and not (keep & ~zero & ~unknown).any():
        if own is not None and (own == 0).any():
            raise ValueError(
                f"{origin.column('parent')} is 0 in {np.count_nonzero(zero)} rows, and 0 is "
                "also the id of a halo: say which rows are hosts, as "
                f"columns={{'parent': 'where(level == 0, -1, {origin.term('parent')})'}}, or by "
                "select="
            )
        keep = zero
    if not (keep & selected).any():
        known = "" if own is not None else "name the identifiers, columns={'id': ...}, or "
        if values.dtype.kind in "if" and (values[selected] < 0).any():
            term = origin.term("parent")
            mend = f"columns={{'parent': 'where({term} < 0, -1, {term})'}}"
            known = f"if hosts are below 0, pass {mend}, or "
        raise ValueError(
            f"the halo catalog is empty: no row has {origin.column('parent')} = -1, 0 or its own "
            f"id (a host halo); {known}pass hosts=False to keep all"
        )
    return np.asarray(keep & ~unknown)


def warn_of_twins(
    table: TableSource, chosen: Mapping[str, tuple[str, ...]], keep: BoolArray, origin: Origin
) -> None:
    """A warning where rows that are kept have one identifier, as in tables of several snapshots."""
    if "id" not in chosen or len(getattr(table, "parts", [])) > 1:
        return  # files may number their halos each for itself
    own = whole_numbers(table, "id", chosen["id"][0], len(keep))
    if own.data.dtype.kind == "f":
        return  # large ones are not told apart
    rows = np.flatnonzero(keep & ~np.asarray(own.mask))
    values = own.data[rows]
    order = np.argsort(values, kind="stable")
    twins = rows[order][1:][values[order][1:] == values[order][:-1]]
    if 2 * twins.size >= rows.size - 1 and twins.size:
        caution(
            f"{origin.column('id')} is that of another row in {twins.size} of {rows.size} halos: "
            "where the table holds several snapshots, choose one by select="
        )


def _marked(values: np.ndarray) -> BoolArray:
    """Rows whose parent is -1, with a sign or without, also through decimal numbers."""
    keep: BoolArray = values == -1
    if values.dtype in _TOP:
        keep |= values == _TOP[values.dtype]
    if values.dtype.kind == "f":
        keep |= values == float(2**64 - 1)
    return keep


def _missing_is_none(
    table: TableSource, chosen: Mapping[str, tuple[str, ...]], parent: np.ma.MaskedArray
) -> bool:
    """Whether parents are missing in rows of hosts, as databases and pandas have it.

    Hosts are marked in one way: there is no such mark besides, and all others name a halo.
    """
    missing = np.asarray(parent.mask)
    values = parent.data[~missing]
    if not missing.any() or not values.size or "id" not in chosen:
        return False
    own = whole_numbers(table, "id", chosen["id"][0], len(missing))
    if _marked(values).any() or (values == 0).any() or (values == own.data[~missing]).any():
        return False
    return bool(np.isin(values, own.compressed()).all())


def top_hosts(
    table: TableSource,
    chosen: Mapping[str, tuple[str, ...]],
    host: BoolArray,
    selected: BoolArray,
    origin: Origin,
) -> IntArray:
    """Row of the host halo in which each row lies, itself for a host; -1 where there is none.

    Parents that are no hosts are followed to theirs.

    Parameters
    ----------
    table, chosen
        Table and column texts of each field.
    host : ndarray of bool, shape (n,)
        Which rows are host halos.
    selected : ndarray of bool, shape (n,)
        Rows to look in where identifiers occur twice, as in tables of several snapshots.
    origin : Origin

    Returns
    -------
    ndarray of int, shape (n,)

    Raises
    ------
    ValueError
        If identifiers do not tell halos apart.
    TypeError
        If they are truth values.
    """
    n = len(host)
    own = whole_numbers(table, "id", chosen["id"][0], n)
    parent = whole_numbers(table, "parent", chosen["parent"][0], n)
    known = ~np.asarray(own.mask)
    keys, wanted = _bits("id", own, known, origin), _bits("parent", parent, ~host, origin)
    for among in (known, known & selected):
        rows = np.flatnonzero(among)
        rows = rows[np.argsort(keys[rows], kind="stable")]
        same = keys[rows][1:] == keys[rows][:-1]
        if not same.any():
            break
    else:
        twice = rows[1:][same]
        raise ValueError(
            f"{origin.column('id')} must be one for each halo, so that subhalos find their host; "
            f"another row has the same in {origin.show(twice, own.data)}. Where the table holds "
            "several snapshots, choose one by select="
        )
    up = np.full(n + 1, n)  # the last row stands for none
    if rows.size:
        at = np.minimum(np.searchsorted(keys[rows], wanted), rows.size - 1)
        up[:n] = np.where(keys[rows][at] == wanted, rows[at], n)
    up[:n][np.asarray(parent.mask)] = n
    up[:n][host] = np.flatnonzero(host)
    # Each pass doubles the steps; a ring of parents never ends, and leads to no host.
    for _ in range(64):
        further = up[up]
        if np.array_equal(further, up):
            break
        up = further
    is_host = np.append(host, False)
    return np.where(is_host[up[:n]], up[:n], -1)


def _bits(
    name: str, values: np.ma.MaskedArray, used: BoolArray, origin: Origin
) -> npt.NDArray[np.int64]:
    """Identifiers as 64 bits, so that those with and without a sign compare."""
    data = values.data
    if data.dtype.kind == "b":
        raise TypeError(
            f"{origin.column(name)} must be identifiers of halos, so that subhalos find their "
            "host; it holds True and False"
        )
    if data.dtype.kind != "f":
        return data.astype(np.uint64).view(np.int64)
    exactly = 2.0 ** (np.finfo(data.dtype).nmant + 1)
    bad = np.flatnonzero(used & ~np.asarray(values.mask) & (np.abs(data) >= exactly))
    if bad.size:
        raise ValueError(
            f"{origin.column(name)} is of decimal numbers, which do not tell such large "
            f"identifiers apart, in {origin.show(bad, data)}; store them as whole numbers"
        )
    exact = np.where(np.isfinite(data) & (np.abs(data) < exactly), data, -2.0)
    return np.where(exact == np.floor(exact), exact, -2.0).astype(np.int64)


def only_hosts(chosen: Mapping[str, tuple[str, ...]]) -> bool:
    """Whether the finder keeps its subhalos in another table, as SUBFIND and CompaSO do."""
    return chosen["position"][0].lower() in ("grouppos", "x_l2com")
