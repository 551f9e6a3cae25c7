"""Galaxies of any table with positions, axes unless they are left out, and velocities if any."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from pysoftcorr.core.cautions import caution
from pysoftcorr.core.expressions import nearest
from pysoftcorr.core.options import choice, flag
from pysoftcorr.core.tables import TableSource
from pysoftcorr.mocks import checks
from pysoftcorr.mocks.checks import BoxSize
from pysoftcorr.mocks.halo_columns import column_of
from pysoftcorr.mocks.halo_files import open_halos
from pysoftcorr.mocks.halo_fill import world_of
from pysoftcorr.mocks.halo_schemes import SCHEMES
from pysoftcorr.mocks.halo_tables import side_of_box
from pysoftcorr.sky.reading import kept_rows

if TYPE_CHECKING:
    from pysoftcorr.mocks.galaxies import GalaxyCatalog

_FIELDS = ("position", "axis", "velocity")
#: What a table may lack, and what may be left out.
_OPTIONAL, _LEFT_OUT = ("velocity",), ("axis", "velocity")
#: Names that tables give the columns, in small letters; the first that are there are taken. Those
#: of halos come after those of galaxies, which stand beside them in tables of halotools.
_KNOWN: dict[str, tuple[tuple[str, ...], ...]] = {
    "position": (
        ("x", "y", "z"),
        ("position",),
        ("pos",),
        ("halo_x", "halo_y", "halo_z"),
        ("xc", "yc", "zc"),
        ("x_l2com",),
        ("subhalopos",),
        ("grouppos",),
    ),
    "axis": (
        ("galaxy_axisa_x", "galaxy_axisa_y", "galaxy_axisa_z"),
        ("axis_x", "axis_y", "axis_z"),
        ("axis",),
        ("halo_axisa_x", "halo_axisa_y", "halo_axisa_z"),
        ("a[x]", "a[y]", "a[z]"),
        ("ax", "ay", "az"),
        ("a_x", "a_y", "a_z"),
        ("eax", "eay", "eaz"),
        ("sigmar_eigenvecsmaj_l2com",),
        ("sigman_eigenvecsmaj_l2com",),
    ),
    "velocity": (("vx", "vy", "vz"), ("velocity",), ("vel",)),
}


def from_table(
    cls: type[GalaxyCatalog],
    source: Any,
    *,
    columns: Mapping[str, Any] | None = None,
    boxsize: BoxSize | None = None,
    select: str | None = None,
    on_bad: str = "error",
    wrap: bool = False,
    key: Any = None,
    hdu: Any = None,
) -> GalaxyCatalog:
    """Galaxies of a table of positions and axes, such as of halotools or of a simulation.

    The table does not say which halo a galaxy is in, so that correlations are not split into those
    of one halo and of two. Cosmology and redshift are those that the file states, if any.

    Parameters
    ----------
    source : path, pattern, list of these, or a table in memory
        As of `HaloCatalog.from_table`, units and header included.
    columns : mapping, optional
        Columns or expressions of ``position`` (three, or one of shape (N, 3)) or ``x``, ``y``,
        ``z``, of ``axis``, and, if any, of ``velocity`` in km/s; by default those named x, y, z,
        galaxy_axisA_x, axis_x or axis, vx, and so on, or those of halos, as
        `HaloCatalog.from_table` knows them. ``velocity: None`` leaves velocities out,
        and ``axis: None`` axes: galaxies of which there are positions alone.
    boxsize : float, or three of these, optional
        Side of the box in Mpc/h, or its sides along x, y and z; needed where the file does not
        say.
    select : str, optional
        Condition on columns of the table that rows must meet.
    on_bad : {"error", "drop"}
        Whether rows with NaN, infinite or masked values, or an axis of length 0, are refused
        or left out, with a warning that counts them.
    wrap : bool
        Move positions outside the box by whole boxes instead of refusing them.
    key, hdu
        HDF5 table and FITS extension, where a file has several; a list of these, or "all".

    Raises
    ------
    FileNotFoundError
        If the file is not there.
    ValueError
        If a column is missing or has a bad value, or positions are outside the box.
    TypeError
        If an argument or a column is of the wrong kind.

    Examples
    --------
    >>> from pysoftcorr.mocks import GalaxyCatalog
    >>> table = {"x": [1.0, 4.0], "y": [2.0, 5.0], "z": [3.0, 6.0], "axis": [[0, 0, 1], [1, 0, 0]]}
    >>> len(GalaxyCatalog.from_table(table, boxsize=10.0))
    2
    """
    choice("on_bad", on_bad, ("error", "drop"))
    flag("wrap", wrap)

    def suits(table: TableSource) -> None:
        table.require(*(text for texts in _choose(table, columns).values() for text in texts))

    with open_halos(source, key, hdu, suits) as opened:
        table, chosen, header = opened.table, _choose(opened.table, columns), opened.header
        side = side_of_box(boxsize, header, table.label)
        asked = [text for texts in chosen.values() for text in texts]
        opened.prefetch([*asked, *([] if select is None else [select])])
        n = table.rows(chosen["position"][0])
        if n == 0:
            raise ValueError(f"the galaxy catalog is empty: {table.label} has no rows")
        labels = {name: ", ".join(texts) for name, texts in chosen.items()}
        if len(chosen["position"]) == 3:
            labels |= dict(zip("xyz", chosen["position"], strict=True))
        origin = table.origin(labels)
        keep, _ = kept_rows(table, n, select, None)
        # Positions of AHF are in kpc/h, which its files do not say.
        ahf = chosen["position"][0].lower() == "xc" and "position" not in (columns or {})
        units = SCHEMES["ahf"].units if ahf else {}
        found = {
            name: column_of(table, name, texts, n, origin, units.get(name))[keep]
            for name, texts in chosen.items()
        }
        origin = origin.keep(keep)
    if on_bad == "drop":
        good = np.isfinite(np.concatenate(list(found.values()), axis=1)).all(axis=1)
        while good.any():
            fault = checks.axis_fault(found["axis"][good], origin) if "axis" in found else None
            if fault is None:
                break
            good[np.flatnonzero(good)[fault.rows]] = False
        if not good.any():
            raise ValueError("the galaxy catalog is empty: no row has finite values and an axis")
        if not good.all():
            caution(
                f"left out {np.count_nonzero(~good)} of {good.size} galaxies with NaN, infinite "
                "or masked values, or without an axis"
            )
            found = {name: values[good] for name, values in found.items()}
            origin = origin.keep(good)
    checks.finite(found, origin)
    checks.warn_of_an_empty_box(found["position"], side, origin, "galaxies")
    position = checks.boxed(found["position"], side, origin, wrap=wrap)
    axis = checks.unit_axes(found["axis"], origin) if "axis" in found else None
    world = world_of(header.omega_m, header.h, header.cosmology)
    record = None if world is None else world.to_dict()
    return cls(
        position, axis, boxsize=side, velocity=found.get("velocity"), cosmology=record,
        redshift=header.redshift,
    )  # fmt: skip


def _choose(table: TableSource, columns: Mapping[str, Any] | None) -> dict[str, tuple[str, ...]]:
    """Column texts of positions and axes."""
    lower: dict[str, str] = {}
    for name in table.names:
        lower.setdefault(name.lower(), name)
    given = dict(columns or {})
    for name in given:
        known = (*_FIELDS, *"xyz")
        if name not in known:
            raise ValueError(f"columns: no field {name!r}{nearest(str(name), known)}")
    if any(c in given for c in "xyz"):
        given["position"] = tuple(given.pop(c, lower.get(c, c)) for c in "xyz")
    chosen: dict[str, tuple[str, ...]] = {}
    for name in _FIELDS:
        value = given.get(name)
        if name in given and value is None and name in _LEFT_OUT:
            continue
        if value is None:
            parts = next((p for p in _KNOWN[name] if all(c in lower for c in p)), None)
            if parts is None and name in _OPTIONAL:
                continue
            if parts is None:
                without = ", or columns={'axis': None} for positions alone"
                raise ValueError(
                    f"{table.label}: which columns are the {name}? Pass columns={{'{name}': (A, B, "
                    f"C)}} with three columns, or one of shape (N, 3)"
                    f"{without if name in _LEFT_OUT else ''}{nearest('', table.names)}"
                    f"{table.elsewhere()}"
                )
            chosen[name] = tuple(lower[c] for c in parts)
        elif isinstance(value, str):
            chosen[name] = (value,)
        elif len(tuple(value)) == 3:
            chosen[name] = tuple(str(v) for v in value)
        else:
            raise ValueError(f"columns[{name!r}] = {value!r}: must be three or one columns")
    return chosen
