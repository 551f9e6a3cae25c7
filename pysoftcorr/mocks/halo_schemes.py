"""Names of columns in halo catalogs of halotools, Rockstar, SUBFIND (TNG), AHF and CompaSO."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pysoftcorr.core.expressions import nearest, quoted
from pysoftcorr.core.tables import TableSource

#: Fields of one column each, and of three (or of one of shape (N, 3)).
_SCALARS = ("x", "y", "z", "mass", "radius", "scale_radius", "concentration", "b_to_a", "c_to_a",
            "parent", "id", "subhalo_mass")  # fmt: skip
VECTORS = ("position", "axis", "minor_axis", "velocity")
KEYS = (*_SCALARS, *VECTORS)
#: Fields of one ellipsoid, which are taken together.
_SHAPE = ("axis", "minor_axis", "b_to_a", "c_to_a")

#: Mass definitions by the names that catalogs give them; the first is the one used here.
_DEFINITIONS = {
    "vir": ("vir", "_TopHat200"),
    "200m": ("200m", "200b", "_Mean200"),
    "200c": ("200c", "_Crit200"),
    "500c": ("500c", "_Crit500"),
    "2500c": ("2500c",),
}


@dataclass(frozen=True)
class Moments:
    """Ratio of two axes by one column of the three of an ellipsoid, in any order.

    Attributes
    ----------
    column : str
        In small letters.
    minor : bool
        Whether it is the minor axis, or the intermediate one, that is divided by the major one.
    """

    column: str
    minor: bool

    def text(self, name: str) -> str:
        """The expression, with the column as the table calls it."""
        a, b, c = (f"{quoted(name)}[{k}]" for k in range(3))
        low, high = f"minimum({a}, {b})", f"maximum({a}, {b})"
        over = f"minimum({low}, {c})" if self.minor else f"maximum({low}, minimum({high}, {c}))"
        return f"{over} / maximum({high}, {c})"


@dataclass(frozen=True)
class Scheme:
    """Columns of one kind of catalog, in small letters.

    Attributes
    ----------
    required : tuple of str
        A table that has all of these follows the scheme.
    fields : mapping
        Candidates of each field, the first that is there is taken; of a vector tuples of columns.
    mass, radius : str
        Names with ``{}`` in place of the definition.
    any_mass, any_radius : str
        Names of those whose definition the table does not say: they are taken to be of the one
        that is asked for, where it has no other.
    units : mapping of str to str
        Units of columns that the file does not say, by field.
    shapes : tuple of mappings
        Candidates of axes and their ratios, a mapping for each ellipsoid; the first that has an
        axis in the table, or else a ratio, is taken.
    """

    required: tuple[str, ...]
    fields: Mapping[str, tuple[Any, ...]]
    mass: str
    radius: str
    units: Mapping[str, str] = field(default_factory=dict)
    shapes: tuple[Mapping[str, Any], ...] = ()
    any_mass: str = ""
    any_radius: str = ""


def _compaso(moment: str) -> dict[str, Any]:
    """Axes and ratios by one of the tensors of CompaSO."""
    return {
        "axis": (f"{moment}_eigenvecsmaj_l2com",),
        "minor_axis": (f"{moment}_eigenvecsmin_l2com",),
        "b_to_a": Moments(f"{moment}_l2com", minor=False),
        "c_to_a": Moments(f"{moment}_l2com", minor=True),
    }


SCHEMES: dict[str, Scheme] = {
    "halotools": Scheme(
        ("halo_x", "halo_y", "halo_z"),
        {
            "position": (("halo_x", "halo_y", "halo_z"),),
            "scale_radius": ("halo_rs",),
            "concentration": ("halo_nfw_conc",),
            "parent": ("halo_upid", "halo_hostid", "halo_pid"),
            "id": ("halo_id", "halo_haloid"),
            "velocity": (("halo_vx", "halo_vy", "halo_vz"),),
            "subhalo_mass": ("halo_mpeak", "halo_macc"),
        },
        "halo_m{}",
        "halo_r{}",
        shapes=(
            {
                "axis": ("halo_axisa_x", "halo_axisa_y", "halo_axisa_z"),
                "minor_axis": ("halo_axisc_x", "halo_axisc_y", "halo_axisc_z"),
                "b_to_a": "halo_b_to_a",
                "c_to_a": "halo_c_to_a",
            },
        ),
    ),
    "rockstar": Scheme(
        ("x", "y", "z", "mvir"),
        {
            "position": (("x", "y", "z"),),
            "scale_radius": ("rs",),
            "parent": ("upid", "pid"),
            "id": ("id", "rockstarid", "haloid", "halo_id"),
            "velocity": (("vx", "vy", "vz"),),
            "subhalo_mass": ("mpeak", "macc"),
        },
        "m{}",
        "r{}",
        # Of lists, and of databases (CosmoSim) and HDF5 files that have no brackets in names.
        shapes=tuple(
            {
                "axis": tuple(f"a{name}" for name in names),
                "minor_axis": tuple(f"c{name}" for name in names),
                "b_to_a": "b_to_a",
                "c_to_a": "c_to_a",
            }
            for names in (("[x]", "[y]", "[z]"), ("x", "y", "z"), ("_x", "_y", "_z"))
        ),
    ),
    "subfind": Scheme(
        ("grouppos",),
        {"position": (("grouppos",),), "velocity": (("groupvel",),)},
        "group_m{}",
        "group_r{}",
        {"mass": "1e10 Msun/h", "velocity": "km/s/a"},
    ),
    "ahf": Scheme(
        ("xc", "yc", "zc", "hosthalo"),
        {
            "position": (("xc", "yc", "zc"),),
            "concentration": ("cnfw",),
            "parent": ("hosthalo",),
            "id": ("id",),
            "velocity": (("vxc", "vyc", "vzc"),),
        },
        "m{}",
        "r{}",
        {"position": "kpc/h", "radius": "kpc/h"},
        (
            {
                "axis": ("eax", "eay", "eaz"),
                "minor_axis": ("ecx", "ecy", "ecz"),
                "b_to_a": "b",
                "c_to_a": "c",
            },
        ),
        # Since 2018 AHF writes no definition, as it has whichever its parameters ask for.
        any_mass="mhalo",
        any_radius="rhalo",
    ),
    "compaso": Scheme(
        ("x_l2com", "n"),
        {
            "position": (("x_l2com",),),
            "id": ("id",),
            "velocity": (("v_l2com",),),
        },
        "",
        "",
        shapes=(_compaso("sigmar"), _compaso("sigman")),
    ),
}
#: The table of subhalos of SUBFIND; a group is named by its row in all files.
SUBFIND_SUBHALOS: dict[str, tuple[str, ...]] = {
    "position": ("SubhaloPos",),
    "subhalo_mass": ("SubhaloMass",),
    "velocity": ("SubhaloVel",),
    "group": ("SubhaloGrNr", "SubhaloGroupNr"),
    "rank": ("SubhaloRankInGr",),
    "flag": ("SubhaloFlag",),
}


def choose(
    table: TableSource, columns: Mapping[str, Any] | None, mdef: str = "vir"
) -> tuple[str | None, dict[str, tuple[str, ...]], tuple[str, ...]]:
    """Column texts of each field, the naming scheme they follow, and the fields given by hand.

    Raises
    ------
    ValueError
        If nothing is given and the table follows no scheme, or a field is none.
    """
    lower: dict[str, str] = {}
    for name in table.names:
        # AHF and consistent-trees number their columns, as in Mvir(4).
        lower.setdefault(re.sub(r"\(\d+\)$", "", name.lower()), name)
    # Of two schemes that fit the one that asks for more columns.
    fitting = [s for s, known in SCHEMES.items() if all(c in lower for c in known.required)]
    scheme = max(fitting, key=lambda s: len(SCHEMES[s].required), default=None)
    given = dict(columns or {})
    chosen = _of_scheme(SCHEMES[scheme], lower, mdef) if scheme is not None else {}
    if scheme is None and all(c in lower for c in "xyz"):
        chosen["position"] = tuple(lower[c] for c in "xyz")
    if scheme is None and columns is None:
        raise ValueError(
            f"{table.label} has neither the columns of halotools (halo_x, halo_mvir, ...), "
            f"Rockstar (X, Mvir, ...), SUBFIND (GroupPos, ...), AHF (Xc, hostHalo, ...) nor "
            "CompaSO (x_L2com, N, ...); pass columns={'position': (A, B, C), 'mass': ...}"
            f"{nearest('', table.names)}"
        )
    for name, value in given.items():
        if name not in KEYS:
            raise ValueError(f"columns: no field {name!r}{nearest(str(name), KEYS)}")
        if name in ("x", "y", "z"):
            _split(chosen)
        if value is None:
            chosen.pop(name, None)
            continue
        texts = _texts(name, value)
        if name == "axis" and texts != chosen.get("axis"):
            for other in set(_SHAPE) - set(given):
                chosen.pop(other, None)  # of another ellipsoid
        chosen[name] = texts
    _pair_of_ratios(chosen, given)
    if "position" not in given and all(k in chosen for k in "xyz"):
        chosen["position"] = (*chosen["x"], *chosen["y"], *chosen["z"])
    for name in "xyz":
        chosen.pop(name, None)
    # A concentration named by the user or the table comes before one from a scale radius.
    if "concentration" in chosen and not ("scale_radius" in given and "concentration" not in given):
        chosen.pop("scale_radius", None)
    elif "scale_radius" in chosen:
        chosen.pop("concentration", None)
    if "mass" not in chosen or "position" not in chosen:
        raise ValueError(_lacking(table, lower, scheme, chosen, mdef))
    return scheme, chosen, tuple(name for name, value in given.items() if value is not None)


def _texts(name: str, value: Any) -> tuple[str, ...]:
    """What is given for a field as column texts."""
    if isinstance(value, str):
        return (value,)
    if name in VECTORS and len(tuple(value)) == 3:
        return tuple(str(v) for v in value)
    many = "three or one" if name in VECTORS else "one"
    raise ValueError(f"columns[{name!r}] = {value!r}: must be {many} columns")


def _pair_of_ratios(chosen: dict[str, tuple[str, ...]], given: Mapping[str, Any]) -> None:
    """Both ratios of axes or none; ValueError where one alone is given by hand."""
    for one, other in (("b_to_a", "c_to_a"), ("c_to_a", "b_to_a")):
        if one in chosen and other not in chosen:
            if given.get(one) is not None:
                raise ValueError(
                    f"columns[{one!r}] = {given[one]!r}: b_to_a and c_to_a belong together; pass "
                    f"columns={{'{other}': ...}} too"
                )
            del chosen[one]


def _of_scheme(known: Scheme, lower: Mapping[str, str], mdef: str) -> dict[str, tuple[str, ...]]:
    chosen: dict[str, tuple[str, ...]] = {}
    for name, candidates in known.fields.items():
        for candidate in candidates:
            parts = (candidate,) if isinstance(candidate, str) else candidate
            if all(c in lower for c in parts):
                chosen[name] = tuple(lower[c] for c in parts)
                break
    chosen |= _shape_of(known, lower)
    for name, pattern in (("mass", known.mass), ("radius", known.radius)):
        for definition in _DEFINITIONS.get(mdef, (mdef,)):
            column = pattern.format(definition.lower())
            if pattern and column in lower:
                chosen.setdefault(name, (lower[column],))
    for name, column in (("mass", known.any_mass), ("radius", known.any_radius)):
        if column in lower:
            chosen.setdefault(name, (lower[column],))
    return chosen


def _shape_of(known: Scheme, lower: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Axes and ratios of the ellipsoid that the table has."""
    shapes = []
    for candidates in known.shapes:
        found: dict[str, tuple[str, ...]] = {}
        for name, candidate in candidates.items():
            if isinstance(candidate, Moments):
                if candidate.column in lower:
                    found[name] = (candidate.text(lower[candidate.column]),)
                continue
            parts = (candidate,) if isinstance(candidate, str) else candidate
            if all(c in lower for c in parts):
                found[name] = tuple(lower[c] for c in parts)
        shapes.append(found)
    having = [s for s in shapes if "axis" in s] or [s for s in shapes if s]
    return having[0] if having else {}


def _split(chosen: dict[str, tuple[str, ...]]) -> None:
    """Give up a vector for its components, those that it has."""
    parts = chosen.pop("position", ())
    if len(parts) == 3:
        chosen.update({k: (part,) for k, part in zip("xyz", parts, strict=True)})


def _lacking(
    table: TableSource,
    lower: Mapping[str, str],
    scheme: str | None,
    chosen: Mapping[str, Any],
    mdef: str,
) -> str:
    """The message where masses or positions are not known."""
    lacking = "mass" if "mass" not in chosen else "x, y and z (or position)"
    other = ""
    if scheme == "compaso":
        return (
            f"{table.label}: which column is mass? CompaSO counts particles: pass "
            "columns={'mass': 'N * ...'} with the mass of a particle in Msun/h "
            "(ParticleMassHMsun of its header)"
        )
    if scheme is not None and "mass" not in chosen:
        having = [d for d in _DEFINITIONS if "mass" in _of_scheme(SCHEMES[scheme], lower, d)]
        if having:
            other = f" of mdef = {mdef!r}? The table has those of mdef={having[0]!r}"
            other += "".join(f" and {d!r}" for d in having[1:]) + ". Pass that, or"
            return f"{table.label}: which column is mass{other} columns= with it"
    return (
        f"{table.label}: which column is {lacking}? Pass columns= with it"
        f"{nearest('', table.names)}{table.elsewhere()}"
    )
