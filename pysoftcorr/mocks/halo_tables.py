"""Halo catalogs out of tables: those of known programs, or a map of columns."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pysoftcorr.core.cautions import caution
from pysoftcorr.core.checks import FloatArray, Origin
from pysoftcorr.core.options import choice, flag
from pysoftcorr.core.random import Seed, root_seed, stream
from pysoftcorr.core.tables import TableSource
from pysoftcorr.mocks import checks as halo_checks
from pysoftcorr.mocks import subhalo_tables
from pysoftcorr.mocks.checks import BoxSize
from pysoftcorr.mocks.cosmology import Cosmology
from pysoftcorr.mocks.halo_columns import check_scale, column_of
from pysoftcorr.mocks.halo_files import open_halos
from pysoftcorr.mocks.halo_fill import Filler, check_definition, world_of
from pysoftcorr.mocks.halo_headers import Header
from pysoftcorr.mocks.halo_parents import host_rows, warn_of_twins
from pysoftcorr.mocks.halo_rows import sound
from pysoftcorr.mocks.halo_schemes import SCHEMES, choose
from pysoftcorr.mocks.halo_units import by_scale
from pysoftcorr.mocks.subfind_subhalos import of_subfind
from pysoftcorr.sky.reading import kept_rows

if TYPE_CHECKING:
    from pysoftcorr.mocks.halos import HaloCatalog

BoolArray = npt.NDArray[np.bool_]


def from_table(
    cls: type[HaloCatalog],
    source: Any,
    *,
    columns: Mapping[str, Any] | None = None,
    boxsize: BoxSize | None = None,
    select: str | None = None,
    on_bad: str = "error",
    hosts: bool = True,
    subhalos: bool = False,
    wrap: bool = False,
    axes: str | None = None,
    seed: Seed = None,
    mdef: str = "vir",
    concentration: str = "diemer19",
    cosmology: Any = None,
    redshift: float | None = None,
    key: Any = None,
    hdu: Any = None,
) -> HaloCatalog:
    """Halos of a table: of halotools, Rockstar, SUBFIND (TNG), AHF, or a map of columns.

    Parameters
    ----------
    source : path, pattern, list of these, or a table in memory
        A file may be HDF5, FITS, Parquet, NumPy, ECSV, CSV or text, or a Rockstar list
        (``out_*.list``, ``hlist_*``: column names in its first line). Files that a pattern
        or a list names are parts of one catalog, such as the chunks of TNG. Columns are
        converted to Mpc/h and Msun/h from the units that the file states, taken as they are
        where it states none. An expression is taken to give Mpc/h or Msun/h.
    columns : mapping, optional
        Where the columns of the table are not named as halotools or Rockstar do: what is
        what, of ``x``, ``y``, ``z`` (or ``position``), ``mass``, ``radius``,
        ``scale_radius``, ``concentration``, ``axis``, ``parent`` and ``id``, and of what a
        catalog may lack: ``minor_axis``, ``b_to_a`` and ``c_to_a``, ``velocity`` (km/s) and
        ``subhalo_mass``. Each is a column or an expression of columns, such as ``"1e10 * m"``;
        ``position``, ``axis``, ``minor_axis`` and ``velocity`` are three of these, or one column
        of shape (N, 3). None for a name leaves that column out. Where ``axis`` is not that of the
        catalog's kind, its ratios and minor axes have to be named too.
    boxsize : float, or three of these, optional
        Side of the box in Mpc/h, or its sides along x, y and z; needed where the file does not
        say (halotools' ``Lbox``, the headers of Rockstar and TNG, cards of FITS such as
        ``BOXSIZE``, meta data of ECSV, HDF5 and Parquet).
    select : str, optional
        Condition on columns of the table that rows must meet, such as ``"Mvir > 1e12"``.
    on_bad : {"error", "drop"}
        Whether rows with NaN, infinite or masked values, with an axis of length 0, or with
        masses, radii, concentrations or ratios of axes that no halo has, are refused or left
        out, with a warning that counts them. Where most rows are such the unit is wrong, and
        they are refused all the same.
    hosts : bool
        Keep host halos alone, by their ``parent`` (halotools' ``halo_upid``, Rockstar's
        ``upid`` or ``PID``, AHF's ``hostHalo``): those where it is -1 (also as an unsigned
        number) or the halo's own ``id``, or, where no row has either, 0. Without such a
        column all are kept, with a warning.
    subhalos : bool
        Keep the other rows as `HaloCatalog.subhalos`, with their top host (parents that are
        subhalos are followed to theirs), ranked by ``subhalo_mass``: halotools' ``halo_mpeak``,
        Rockstar's ``Mpeak`` or ``Macc``, SUBFIND's ``SubhaloMass``, or else the mass. In the
        HDF5 files of SUBFIND they stand in a table of their own, whose first of each group is
        the central one and left out. `select` holds for hosts and for subhalos among them; those
        whose host is not in the catalog are left out with a warning that counts them.
    wrap : bool
        Move positions outside the box by whole boxes instead of refusing them.
    axes : {"random"}, optional
        Draw all major axes at random, with `seed`.
    seed : int or numpy.random.Generator, optional
        For `axes`.
    mdef : str
        Mass definition: which masses and radii are taken where the table has several, and
        for what is filled in.
    concentration : str
        Relation that fills in a missing concentration (median, without scatter), by
        colossus' name; a missing radius follows from mass and `mdef`. Both are recorded in
        ``meta["filled"]`` and warned of.
    cosmology : as `Cosmology` takes it, optional
        For what is filled in, and for the record: by default what the file says, or
        "planck18". Where the file says the density of matter and H0 alone, it is the known
        cosmology that has these, or planck18 with them.
    redshift : float, optional
        For what is filled in: the file's own, or else 0.
    key, hdu
        HDF5 table and FITS extension, where a file has several; a list of these, or "all".

    Raises
    ------
    FileNotFoundError
        If the file is not there.
    ValueError
        If a column is missing, has a bad value or is not in Mpc/h or Msun/h by its range,
        positions are outside the box, major axes are missing and not asked for at random,
        the radius is scaled and the scale radius is not, subhalos are asked for that the table
        does not tell, or an argument contradicts the file.
    TypeError
        If an argument or a column is of the wrong kind.

    Examples
    --------
    >>> from pysoftcorr.mocks import HaloCatalog
    >>> table = {"px": [1.0, 4.0], "py": [2.0, 5.0], "pz": [3.0, 6.0], "lgm": [12.0, 13.0],
    ...          "r": [210.0, 450.0], "c": [9.0, 7.0], "ax": [1.0, 0.0], "ay": [0.0, 1.0],
    ...          "az": [0.0, 0.0], "up": [-1, -1]}
    >>> halos = HaloCatalog.from_table(table, boxsize=10.0, columns={
    ...     "x": "px", "y": "py", "z": "pz", "mass": "10**lgm", "radius": "r/1000",
    ...     "concentration": "c", "axis": ("ax", "ay", "az"), "parent": "up"})
    >>> halos.mass.tolist()
    [1000000000000.0, 10000000000000.0]
    """
    if axes is not None:
        choice("axes", axes, ("random",))
    choice("on_bad", on_bad, ("error", "drop"))
    flag("hosts", hosts)
    flag("subhalos", subhalos)
    flag("wrap", wrap)
    if axes == "random" and seed is None:
        raise ValueError("axes = 'random' needs a seed, so that the axes can be drawn again")
    if axes is None and seed is not None:
        raise ValueError("seed is for axes='random'; nothing else here is random")
    world = None if cosmology is None else Cosmology(cosmology)

    def suits(table: TableSource) -> None:
        chosen = choose(table, columns, mdef)[1]
        _of_another_table(chosen)
        table.require(*(t for texts in chosen.values() for t in texts))

    with open_halos(source, key, hdu, suits) as opened:
        table, header = opened.table, opened.header
        scheme, chosen, given = choose(table, columns, mdef)
        side = side_of_box(boxsize, header, table.label)
        z = _redshift(redshift, header.redshift, table.label)
        own_mass = _of_another_table(chosen)
        if subhalos:
            subhalo_tables.check_asked(table, chosen, hosts)
        elif "subhalo_mass" in given:
            raise ValueError(
                "columns['subhalo_mass'] ranks subhalos: pass subhalos=True to keep them"
            )
        else:
            chosen.pop("subhalo_mass", None)
        if axes == "random":
            chosen.pop("axis", None)
            chosen.pop("minor_axis", None)
        elif "axis" not in chosen:
            raise ValueError(
                f"{table.label} has no major axes: name them in columns={{'axis': (...)}}, or pass "
                "axes='random' with a seed to draw them at random"
            )
        asked = [text for texts in chosen.values() for text in texts]
        opened.prefetch([*asked, *([] if select is None else [select])])
        check_scale(table, chosen, given)
        try:
            n = table.rows(chosen["mass"][0])
        except ValueError as error:
            raise ValueError(f"mass: {error}") from None
        if n == 0:
            raise ValueError(f"the halo catalog is empty: {table.label} has no rows")
        labels = {name: ", ".join(texts) for name, texts in chosen.items()}
        if len(chosen["position"]) == 3:
            labels |= dict(zip("xyz", chosen["position"], strict=True))
        origin = table.origin(labels)
        selected, (unselected, _) = kept_rows(table, n, select, None)
        host = host_rows(table, chosen, selected, hosts, on_bad, origin)
        keep = selected & host
        if not subhalos:  # where they are asked for, their hosts tell
            warn_of_twins(table, chosen, keep, origin)
        units = {} if scheme is None else dict(SCHEMES[scheme].units)
        if "subhalo_mass" not in given and "mass" in units:
            units["subhalo_mass"] = units["mass"]
        units = {name: unit for name, unit in units.items() if name not in given}
        found, whole = _columns(table, chosen, units, keep, origin, z)
        members = None
        if subhalos and "parent" in chosen:
            members = subhalo_tables.of_table(
                table, chosen, whole, units.get("subhalo_mass"), host, selected, origin
            )
        elif subhalos:
            members = of_subfind(opened.groups, header.units, table, own_mass, n)
        origin = origin.keep(keep)
    meta: dict[str, Any] = {
        "source": str(source) if isinstance(source, (str, os.PathLike)) else table.label,
        "columns": {k: list(v) for k, v in chosen.items() if k != "id"},
        "scheme": scheme,
        "hosts": bool(hosts and "parent" in chosen),
        "select": select,
        "unselected": unselected,
        "dropped": 0,
        "mdef": mdef,
        "redshift": z,
        **header.meta,
    }
    found, origin, meta["dropped"] = sound(found, origin, on_bad)
    stated = None if world is not None else world_of(header.omega_m, header.h, header.cosmology)
    if world is not None and header.omega_m is not None:
        om = float(world.to_dict()["Om0"])
        if abs(om - header.omega_m) > 0.005:
            caution(
                f"cosmology = {world.name!r} has Om0 = {om:.4g}; {table.label} says "
                f"{header.omega_m:.4g}. Leave cosmology out to take that of the file"
            )
    filler = Filler(world or stated, mdef, concentration, float(z or 0.0), z is not None)
    if "radius" in found:
        check_definition(found["radius"], found["mass"], world or stated, mdef, z, origin)
    else:
        found["radius"] = filler.radius(found["mass"])
        found, origin, more = sound(found, origin, on_bad)
        meta["dropped"] += more
    if "concentration" in found:
        halo_checks.warn_of_logarithms(found["concentration"], origin)
    if "concentration" not in found and "scale_radius" in found:
        found["concentration"] = found["radius"] / found["scale_radius"]
        meta["concentration_from"] = "radius / scale_radius"
    elif "concentration" not in found:
        found["concentration"] = filler.concentration(found["mass"])
    if axes == "random":
        used = root_seed(seed)
        found["axis"] = random_axes(len(found["mass"]), stream(used, "halo axes"))
        filler.filled["axis"] = f"random, seed {used}"
    if "velocity" in found and scheme == "subfind" and "velocity" not in given:
        meta["velocity_from"] = f"{chosen['velocity'][0]} * (1 + z)"
    meta["filled"] = filler.filled
    filler.warn(table.label)
    halo_checks.warn_of_an_empty_box(found["position"], side, origin, "halos")
    record = filler.world
    kept = None
    if members is not None:
        assert origin.rows is not None
        kept, meta["subhalos"] = subhalo_tables.attach(
            members, origin.rows, selected, found["position"], found["radius"], boxsize=side,
            wrap=wrap, on_bad=on_bad,
        )  # fmt: skip
    return cls(
        found["position"],
        found["mass"],
        found["radius"],
        found["concentration"],
        found["axis"],
        boxsize=side,
        **{name: found[name] for name in _OPTIONAL if name in found},
        subhalos=kept,
        cosmology=None if record is None else record.to_dict(),
        meta=meta,
        wrap=wrap,
        _origin=origin,
    )


_OPTIONAL = ("minor_axis", "b_to_a", "c_to_a", "velocity")


def _columns(
    table: TableSource,
    chosen: Mapping[str, tuple[str, ...]],
    units: Mapping[str, str],
    keep: BoolArray,
    origin: Origin,
    redshift: float | None,
) -> tuple[dict[str, FloatArray], dict[str, FloatArray]]:
    """The columns of halos, the kept rows of each, and of what subhalos have all rows."""
    found, whole = {}, {}
    for name, texts in chosen.items():
        if name in ("parent", "id", "subhalo_mass"):
            continue
        unit = units.get(name)
        values = column_of(table, name, texts, len(keep), origin, unit)
        if name == "velocity" and any(by_scale(table, text, unit) for text in texts):
            if redshift is None:
                caution(
                    f"velocity: {texts[0]!r} of {table.label} is in km/s/a, and the redshift is "
                    "not known: read without velocities; pass redshift=... for them"
                )
                continue
            values *= 1.0 + redshift
        found[name] = values[keep]
        if name in ("position", "mass", "velocity"):
            whole[name] = values
    return found, whole


def _of_another_table(chosen: dict[str, tuple[str, ...]]) -> str | None:
    """Take the mass of subhalos out, where these stand in a table of their own."""
    if chosen["position"][0].lower() != "grouppos":
        return None
    return chosen.pop("subhalo_mass", (None,))[0]


def random_axes(number: int, rng: np.random.Generator) -> FloatArray:
    """Unit vectors (number, 3), evenly over the sphere."""
    axis = rng.standard_normal((number, 3))
    return axis / np.linalg.norm(axis, axis=1)[:, None]


# ---------------------------------------------------------------------- the box
def side_of_box(given: BoxSize | None, header: Header, label: str) -> BoxSize:
    """The box that is given or that the file says; ValueError where they differ.

    Of a file that says no unit, the one that is given may be the same in Mpc/h.
    """
    if header.boxsize is None:
        if given is None:
            raise ValueError(
                f"boxsize must be given: {label} does not say the side of its periodic box (Mpc/h)"
            )
        return halo_checks.box_size(given)
    said = np.asarray(header.boxsize, dtype=np.float64)
    text = halo_checks.box_text(said)
    if given is None:
        if said.max() > halo_checks.LARGEST_BOX:
            advice = halo_checks.box_text(said / 1000)
            raise ValueError(
                f"boxsize: {label} says {text}, in Mpc/h larger than any simulation; pass "
                f"boxsize={advice} if that is in kpc/h"
            )
        return halo_checks.box_size(said)
    side = halo_checks.box_size(given)
    factors = [1.0]
    if not header.box_unit:
        factors += [f * h for f in (1.0, 1e-3) for h in (1.0, header.h or 1.0)]
    for times in factors:
        if np.allclose(np.broadcast_to(side, 3), said * times, rtol=1e-3, atol=0.0):
            return side
    raise ValueError(
        f"boxsize = {halo_checks.box_text(side)}: {label} says {text} Mpc/h; leave boxsize out"
    )


def _redshift(given: float | None, stored: float | None, label: str) -> float | None:
    if given is None or stored is None:
        return stored if given is None else float(given)
    if abs(given - stored) > 2e-3 * (1 + stored):
        raise ValueError(
            f"redshift = {given:g}: {label} says {stored:.4g}; leave redshift out to take that"
        )
    return float(given)
