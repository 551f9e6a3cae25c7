"""Halo catalogs out of tables: those of known programs, or a map of columns."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pysoftcorr.core import three_valued, unit_flow
from pysoftcorr.core.cautions import caution
from pysoftcorr.core.checks import FloatArray, Origin, as_float
from pysoftcorr.core.options import choice, flag
from pysoftcorr.core.random import Seed, root_seed, stream
from pysoftcorr.core.tables import TableSource
from pysoftcorr.mocks import checks as halo_checks
from pysoftcorr.mocks.checks import BoxSize
from pysoftcorr.mocks.cosmology import Cosmology
from pysoftcorr.mocks.halo_files import open_halos
from pysoftcorr.mocks.halo_fill import Filler, check_definition, world_of
from pysoftcorr.mocks.halo_headers import Header
from pysoftcorr.mocks.halo_schemes import SCHEMES, choose
from pysoftcorr.mocks.halo_units import factor
from pysoftcorr.sky.reading import full, kept_rows

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
        ``scale_radius``, ``concentration``, ``axis``, ``parent`` and ``id``. Each is a column or an
        expression of columns, such as ``"1e10 * m"``; ``position`` and ``axis`` are three
        of these, or one column of shape (N, 3). None for a name leaves that column out.
    boxsize : float, or three of these, optional
        Side of the box in Mpc/h, or its sides along x, y and z; needed where the file does not
        say (halotools' ``Lbox``, the headers of Rockstar and TNG, cards of FITS such as
        ``BOXSIZE``, meta data of ECSV, HDF5 and Parquet).
    select : str, optional
        Condition on columns of the table that rows must meet, such as ``"Mvir > 1e12"``.
    on_bad : {"error", "drop"}
        Whether rows with NaN, infinite or masked values, with an axis of length 0, or with
        masses, radii or concentrations that no halo has, are refused or left out, with a
        warning that counts them. Where most rows are such the unit is wrong, and they are
        refused all the same.
    hosts : bool
        Keep host halos alone, by their ``parent`` (halotools' ``halo_upid``, Rockstar's
        ``upid`` or ``PID``, AHF's ``hostHalo``): those where it is -1 (also as an unsigned
        number) or the halo's own ``id``, or, where no row has either, 0. Without such a
        column all are kept, with a warning.
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
        the radius is scaled and the scale radius is not, or an argument contradicts the file.
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
    flag("wrap", wrap)
    if axes == "random" and seed is None:
        raise ValueError("axes = 'random' needs a seed, so that the axes can be drawn again")
    if axes is None and seed is not None:
        raise ValueError("seed is for axes='random'; nothing else here is random")
    world = None if cosmology is None else Cosmology(cosmology)

    def suits(table: TableSource) -> None:
        table.require(*(t for texts in choose(table, columns, mdef)[1].values() for t in texts))

    with open_halos(source, key, hdu, suits) as opened:
        table, header = opened.table, opened.header
        scheme, chosen, given = choose(table, columns, mdef)
        side = side_of_box(boxsize, header, table.label)
        z = _redshift(redshift, header.redshift, table.label)
        if axes == "random":
            chosen.pop("axis", None)
        elif "axis" not in chosen:
            raise ValueError(
                f"{table.label} has no major axes: name them in columns={{'axis': (...)}}, or pass "
                "axes='random' with a seed to draw them at random"
            )
        asked = [text for texts in chosen.values() for text in texts]
        opened.prefetch([*asked, *([] if select is None else [select])])
        _check_scale(table, chosen, given)
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
        keep, (unselected, _) = kept_rows(table, n, select, None)
        keep &= host_rows(table, chosen, keep, hosts, on_bad, origin)
        origin = origin.keep(keep)
        units = SCHEMES[scheme].units if scheme is not None else {}
        found = {}
        for name, texts in chosen.items():
            if name in ("parent", "id"):
                continue
            unit = None if name in given else units.get(name)
            found[name] = column_of(table, name, texts, n, origin, unit)[keep]
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
    found, origin, meta["dropped"] = _sound(found, origin, on_bad)
    stated = world_of(header.omega_m, header.h, header.cosmology)
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
        found, origin, more = _sound(found, origin, on_bad)
        meta["dropped"] += more
    if "concentration" not in found and "scale_radius" in found:
        found["concentration"] = found["radius"] / found["scale_radius"]
        meta["concentration_from"] = "radius / scale_radius"
    elif "concentration" not in found:
        found["concentration"] = filler.concentration(found["mass"])
    if axes == "random":
        used = root_seed(seed)
        found["axis"] = random_axes(len(found["mass"]), stream(used, "halo axes"))
        filler.filled["axis"] = f"random, seed {used}"
    meta["filled"] = filler.filled
    filler.warn(table.label)
    halo_checks.warn_of_an_empty_box(found["position"], side, origin, "halos")
    record = filler.world
    return cls(
        found["position"],
        found["mass"],
        found["radius"],
        found["concentration"],
        found["axis"],
        boxsize=side,
        cosmology=None if record is None else record.to_dict(),
        meta=meta,
        wrap=wrap,
        _origin=origin,
    )


# ---------------------------------------------------------------------- columns
def column_of(
    table: TableSource,
    name: str,
    texts: tuple[str, ...],
    n: int,
    origin: Origin,
    unit: str | None = None,
) -> FloatArray:
    """(n,) for a scalar field, (n, 3) for position and axis, in Mpc/h or Msun/h.

    `unit` is that of columns of which the table does not say one.
    """
    values = []
    for text in texts:
        try:
            values.append(table.evaluate(text)[0])
        except (TypeError, ValueError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"{name}: {error}") from None
    scale = [factor(table, name, text, unit) for text in texts]
    if name in ("position", "axis") and len(values) == 1:
        array: Any = np.ma.asarray(values[0])
        if array.shape != (n, 3):
            raise ValueError(
                f"{name}: {texts[0]!r} has shape {array.shape}, not ({n}, 3); name three columns"
            )
        if array.dtype.kind in "biuf":
            array = np.ma.filled(array.astype(np.float64), np.nan)
        return halo_checks.vectors(name, array) * scale[0]
    plain = Origin(origin.source, origin.labels)
    done = [
        as_float(name, full(value, n, name, text), plain)[0] * times
        for value, text, times in zip(values, texts, scale, strict=True)
    ]
    return done[0] if len(done) == 1 else np.stack(done, axis=1)


def _check_scale(
    table: TableSource, chosen: Mapping[str, tuple[str, ...]], given: tuple[str, ...]
) -> None:
    """ValueError where the radius is an expression, and the scale radius a column by its name."""
    names = ("radius", "scale_radius")
    if not all(name in chosen for name in names) or {"concentration"} & set(chosen):
        return
    by_hand = [name for name in names if name in given and chosen[name][0] not in table.names]
    taken = [name for name in names if name not in given]
    if len(by_hand) != 1 or len(taken) != 1:
        return
    (one,), (other,) = by_hand, taken
    column = chosen[other][0]
    if column in table.units:
        return  # it is converted to Mpc/h, and so is the result of an expression
    text = chosen[one][0]
    alike = unit_flow.of_text(text, table.units, table.names).number
    if alike == 1:
        return
    cure = f"{column} scaled in the same way"
    inner = text.replace(" ", "")
    for name in table.names:
        if (
            inner.startswith((f"{name}/", f"{name}*"))
            and inner[len(name) + 1 :]
            .replace(".", "", 1)
            .replace("e", "")
            .replace("-", "")
            .isdigit()
        ):
            cure = f"{column}{inner[len(name) :]}"
    raise ValueError(
        f"{other}: {column!r} of {table.label} is taken as it is, while {one} is {text!r}; both "
        f"must be in Mpc/h. Pass columns={{'{other}': '{cure}'}} too, "
        f"or columns={{'{other}': '{column}'}} if it is in Mpc/h already"
    )


# ---------------------------------------------------------------------- rows
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
        if not _only_hosts(chosen):
            caution(
                f"{table.label} names no parent halos (halo_upid, upid, PID, or columns="
                "{'parent': ...}): every row is taken as a host halo; pass hosts=False if that is "
                "so"
            )
        return np.ones(n, dtype=bool)
    parent = _whole(table, "parent", chosen["parent"][0], n)
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
    keep = values == -1
    if values.dtype in _TOP:
        keep |= values == _TOP[values.dtype]
    if values.dtype.kind == "f":
        # -1 of 64 bits without a sign, through decimal numbers.
        keep |= values == float(2**64 - 1)
    own = None
    if "id" in chosen:
        own = _whole(table, "id", chosen["id"][0], n).data
        keep |= values == own
    zero = values == 0
    if zero.any() and not (keep & ~zero & ~unknown).any():
        if own is not None and (own == 0).any():
            raise ValueError(
                f"{origin.column('parent')} is 0 in {np.count_nonzero(zero)} rows, and 0 is "
                "also the id of a halo: say which rows are hosts, as "
                "columns={'parent': 'where(level == 0, -1, 1)'}, or by select="
            )
        keep = zero
    if not (keep & selected).any():
        raise ValueError(
            f"the halo catalog is empty: no row has {origin.column('parent')} = -1, 0 or its own "
            "id (a host halo); pass hosts=False to keep all"
        )
    return np.asarray(keep & ~unknown)


def _only_hosts(chosen: Mapping[str, tuple[str, ...]]) -> bool:
    """Whether the finder keeps its subhalos in another table, as SUBFIND and CompaSO do."""
    return chosen["position"][0].lower() in ("grouppos", "x_l2com")


def _whole(table: TableSource, name: str, text: str, n: int) -> np.ma.MaskedArray:
    """A column of whole numbers of their own type, missing ones masked."""
    try:
        value = full(table.evaluate(text)[0], n, name, text)
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{name}: {error}") from None
    read = three_valued.read(value)
    if read.data.dtype.kind not in "biuf":
        raise TypeError(f"{name} must be numbers; {text!r} of {table.label} holds text or objects")
    mask = np.zeros(n, dtype=bool) if read.unknown is None else read.unknown.copy()
    if read.data.dtype.kind == "f":
        mask |= ~np.isfinite(read.data)
    return np.ma.MaskedArray(read.data, mask=mask)


def _faults(found: Mapping[str, FloatArray], origin: Origin) -> Iterator[halo_checks.Fault]:
    """What is wrong with rows of the columns, finite ones, and their messages."""
    mass = found["mass"]
    conc = found.get("concentration")
    for fault in (
        halo_checks.mass_fault(mass, origin),
        "axis" in found
        and halo_checks.axis_fault(
            found["axis"],
            origin,
            hint=", or pass axes='random' with a seed to draw all axes at random",
        ),
        "radius" in found and halo_checks.radius_fault(found["radius"], mass, origin),
        conc is not None and halo_checks.concentration_fault(conc, origin),
    ):
        if fault:
            yield fault
    if "scale_radius" in found and conc is None:
        scale = found["scale_radius"]
        bad = np.flatnonzero(scale <= 0)
        if bad.size:
            yield halo_checks.Fault(
                "scale_radius",
                bad,
                f"{origin.column('scale_radius')} must be above 0; it is not in "
                f"{origin.show(bad, scale)}: {halo_checks.correct_rows(origin)}",
            )
        elif "radius" in found:
            ratio = found["radius"] / scale
            mixed = halo_checks.concentration_fault(ratio, origin, source="radius / scale_radius")
            if mixed:
                yield mixed


def _sound(
    found: dict[str, FloatArray], origin: Origin, on_bad: str
) -> tuple[dict[str, FloatArray], Origin, int]:
    """The columns of rows that a halo can have; the others are refused or left out."""
    n = len(found["mass"])
    if on_bad == "error":
        halo_checks.finite(found, origin)
        for first in _faults(found, origin):
            raise ValueError(first.text)
        return found, origin, 0
    why: dict[str, int] = {}
    good = np.ones(n, dtype=bool)
    for name, values in found.items():
        finite = np.isfinite(values) if values.ndim == 1 else np.isfinite(values).all(axis=1)
        if not finite.all():
            why[name] = int(np.count_nonzero(~finite))
            good &= finite
    # Leaving rows out brings the next fault to light, until there is none.
    while good.any():
        kept = {name: values[good] for name, values in found.items()}
        at = np.flatnonzero(good)
        fault = next(_faults(kept, origin.keep(good)), None)
        if fault is None:
            break
        if 2 * len(fault.rows) > len(at):
            # A unit, not single rows.
            raise ValueError(fault.text.replace(", or pass on_bad='drop' to leave them out", ""))
        why[fault.name] = why.get(fault.name, 0) + len(fault.rows)
        good[at[fault.rows]] = False
    if not good.any():
        raise ValueError(
            "the halo catalog is empty: every row has a NaN, infinite, masked or impossible value "
            f"in {', '.join(origin.column(name) for name in why)}"
        )
    dropped = n - int(np.count_nonzero(good))
    if dropped:
        listed = ", ".join(f"{name} {count}" for name, count in why.items())
        caution(
            f"left out {dropped} of {n} halos with NaN, infinite, masked or impossible values "
            f"({listed})"
        )
        found = {name: values[good] for name, values in found.items()}
        origin = origin.keep(good)
    return found, origin, dropped


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
