"""Boxes of tables of halos in HDF5."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from pysoftcorr.mocks import checks
from pysoftcorr.mocks.tabulated.box import BoxTables, Subvolumes
from pysoftcorr.mocks.tabulated.projected import ProjectedBox
from pysoftcorr.mocks.tabulated.ranks import RankKinds, RankSlots
from pysoftcorr.mocks.tabulated.sites import SiteLists, Sites

__all__ = ["read_box", "same_box", "write_box"]

_ARRAYS = ("count", "logm", "one_halo", "forms")
_KINDS = tuple(field.name for field in fields(RankKinds))
_SLOTS = tuple(field.name for field in fields(RankSlots))
_PROJECTED = ("one_halo", "forms")
_SITES = tuple(field.name for field in fields(Sites) if field.name != "lists")
_LISTS = tuple(field.name for field in fields(SiteLists))


def write_box(group: h5py.Group, box: BoxTables) -> None:
    """Write a box into a group."""
    group.attrs["boxsize"], group.attrs["fingerprint"] = box.boxsize, box.fingerprint
    for name in _ARRAYS:
        values = getattr(box, name)
        if box.kinds is None or not values.size:
            group.create_dataset(name, data=values, fletcher32=values.size > 0)
        else:
            _compressed(group, name, values)
    if box.kinds is not None and box.slots is not None:
        inner = group.create_group("ranks")
        for name in _KINDS:
            inner[name] = getattr(box.kinds, name)
        for name in _SLOTS:
            _compressed(inner, name, getattr(box.slots, name))
    if box.projected is not None:
        inner = group.create_group("projected")
        for name in _PROJECTED:
            inner.create_dataset(name, data=getattr(box.projected, name), fletcher32=True)
    if box.sites is not None:
        inner = group.create_group("sites")
        for name in _SITES:
            _compressed(inner, name, getattr(box.sites, name))
        if box.sites.lists is not None:
            for name in _LISTS:
                _compressed(inner.require_group("lists"), name, getattr(box.sites.lists, name))
    if box.subvolumes is not None:
        inner = group.create_group("subvolumes")
        inner.attrs["number"] = box.subvolumes.number
        inner["nodes"] = box.subvolumes.nodes
        for name in _ARRAYS:
            _compressed(inner, name, np.stack([getattr(b, name) for b in box.subvolumes.left]))


def _compressed(group: h5py.Group, name: str, values: npt.NDArray[Any]) -> None:
    group.create_dataset(
        name, data=values, compression="gzip", compression_opts=1, shuffle=True, fletcher32=True
    )


def read_box(group: h5py.Group) -> BoxTables:
    """Read what `write_box` wrote.

    Raises
    ------
    ValueError
        If numbers are not finite.
    """
    boxsize = checks.box_size(group.attrs["boxsize"])
    sites = subvolumes = kinds = slots = projected = None
    if "ranks" in group:
        inner = group["ranks"]
        kinds = RankKinds(int(inner["nodes"][()]), *(np.asarray(inner[n]) for n in _KINDS[1:]))
        arrays = {name: np.asarray(inner[name]) for name in _SLOTS}
        _finite(inner.name, arrays)
        slots = RankSlots(**arrays)
    if "projected" in group:
        arrays = {name: np.asarray(group["projected"][name]) for name in _PROJECTED}
        _finite(group["projected"].name, arrays)
        projected = ProjectedBox(**arrays)
    if "sites" in group:
        inner, lists = group["sites"], None
        arrays = {name: np.asarray(inner[name]) for name in _SITES}
        _finite(inner.name, arrays)
        if "lists" in inner:
            of_lists = {name: np.asarray(inner["lists"][name]) for name in _LISTS}
            _finite(inner["lists"].name, of_lists)
            lists = SiteLists(**of_lists)
        sites = Sites(**arrays, lists=lists)
    if "subvolumes" in group:
        inner = group["subvolumes"]
        arrays = {name: np.asarray(inner[name], dtype=np.float64) for name in _ARRAYS}
        _finite(inner.name, arrays)
        left = tuple(
            BoxTables(**{name: arrays[name][k] for name in _ARRAYS}, boxsize=boxsize,
                      fingerprint="")
            for k in range(len(arrays["count"]))
        )  # fmt: skip
        subvolumes = Subvolumes(int(inner.attrs["number"]), np.asarray(inner["nodes"]), left)
    arrays = {name: np.asarray(group[name], dtype=np.float64) for name in _ARRAYS}
    _finite(group.name, arrays)
    return BoxTables(
        **arrays, boxsize=boxsize, fingerprint=str(group.attrs["fingerprint"]), kinds=kinds,
        slots=slots, sites=sites, subvolumes=subvolumes, projected=projected,
    )  # fmt: skip


def _finite(name: str, arrays: dict[str, npt.NDArray[Any]]) -> None:
    if not all(np.isfinite(values).all() for values in arrays.values()):
        raise ValueError(f"numbers of {name.lstrip('/')} are not finite")


def same_box(a: BoxTables, b: BoxTables) -> bool:
    """Whether every number is the same."""
    if (a.boxsize, a.fingerprint) != (b.boxsize, b.fingerprint):
        return False
    if not _equal(a, b, _ARRAYS) or not _equal(a.sites, b.sites, _SITES):
        return False
    lists, others = (None if box.sites is None else box.sites.lists for box in (a, b))
    if not _equal(lists, others, _LISTS):
        return False
    if not _equal(a.kinds, b.kinds, _KINDS) or not _equal(a.slots, b.slots, _SLOTS):
        return False
    if not _equal(a.projected, b.projected, _PROJECTED):
        return False
    one, other = a.subvolumes, b.subvolumes
    if one is None or other is None:
        return one is other
    return (
        _equal(one, other, ("number", "nodes"))
        and len(one.left) == len(other.left)
        and all(_equal(x, y, _ARRAYS) for x, y in zip(one.left, other.left, strict=True))
    )


def _equal(a: Any, b: Any, names: tuple[str, ...]) -> bool:
    if a is None or b is None:
        return a is b
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in names)
