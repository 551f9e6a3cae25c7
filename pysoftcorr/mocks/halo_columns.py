"""Which columns of a table are what of a halo: halotools' names, Rockstar's, or a map."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr._checks import FloatArray, Origin, as_float
from pysoftcorr._reading import full
from pysoftcorr.columns import nearest
from pysoftcorr.mocks import halo_checks
from pysoftcorr.tables import TableSource

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
    """Texts of each field's column or columns, and the scheme they follow."""
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
            f"{table.label} names no parent haloes (halo_upid, upid, PID, or columns={{'parent': "
            "...}): every row is taken as a host halo; pass hosts=False if that is so",
            stacklevel=5,
        )
        return np.ones(n, dtype=bool)
    parent = column_of(table, "parent", chosen["parent"], n, origin)
    halo_checks.finite({"parent": parent}, origin)
    keep = parent == -1
    if not keep.any():
        raise ValueError(
            f"the halo catalogue is empty: no row has {origin.column('parent')} = -1 "
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
