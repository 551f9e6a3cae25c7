"""Names that catalogs give their columns, and which field each one means."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import NoReturn

from pysoftcorr.core.expressions import Expression, nearest
from pysoftcorr.sky.schemes import STAR_SCHEMES, Scheme

#: Names of right ascension and declination that go together, in the order they are tried, upper
#: or lower case.
POSITION_PAIRS = (
    ("ra", "dec"),
    ("ra_deg", "dec_deg"),
    ("ra", "de"),
    ("radeg", "decdeg"),
    # The CDS's own.
    ("radeg", "dedeg"),
    ("ra_j2000", "de_j2000"),
    ("raj2000", "dej2000"),
    ("raj2000", "decj2000"),
    # VizieR adds positions of its own, in degrees, under names with an underscore.
    ("_raj2000", "_dej2000"),
    ("_ra.icrs", "_de.icrs"),
    ("_ra_icrs", "_de_icrs"),
    ("_ra", "_de"),
    ("ra_j2000", "dec_j2000"),
    ("ra2000", "dec2000"),
    ("ra_icrs", "de_icrs"),
    ("ra_icrs", "dec_icrs"),
    ("right_ascension", "declination"),
    ("alpha", "delta"),
    ("alpha_j2000", "delta_j2000"),
    ("alphawin_j2000", "deltawin_j2000"),
    ("alphapeak_j2000", "deltapeak_j2000"),
    ("alpha_sky", "delta_sky"),
    ("alphawin_sky", "deltawin_sky"),
    # Parts of astropy's SkyCoord and photutils' sky_centroid.
    *(
        (f"{name}.ra", f"{name}.dec")
        for name in (
            "coord",
            "coords",
            "skycoord",
            "sky_coord",
            "sky_centroid",
            "icrs",
            "radec",
            "position",
        )
    ),
    # DESI and BOSS.
    ("target_ra", "target_dec"),
    ("plug_ra", "plug_dec"),
    ("ramean", "decmean"),
    ("rastack", "decstack"),
    # The pipelines of LSST, then those of HSC, by band.
    ("coord_ra", "coord_dec"),
    *((f"{band}_ra", f"{band}_dec") for band in "irzgyu"),
    *((f"{band}ra", f"{band}dec") for band in "irzgyu"),
)
WEIGHT_NAMES = ("w", "weight", "weights", "wt", "wgt", "shape_weight")
SHAPE_PAIRS = (("g1", "g2"), ("e1", "e2"), ("gamma1", "gamma2"), ("e_1", "e_2"), ("g_1", "g_2"))

#: A size may be given as T or as sigma, T = 2 sigma^2.
SIZES = {"sigma": "T", "sigma_model": "T_model"}
#: Names of flat positions that go together: plain ones, Piff's, SExtractor's.
PLANE_PAIRS = (
    ("x", "y"),
    ("u", "v"),
    ("x_image", "y_image"),
    ("xwin_image", "ywin_image"),
    ("xpeak_image", "ypeak_image"),
)
#: How the name of one half of a pair differs from that of the other, where no convention is known.
_PARTNERS = {
    "ra": (("ra", "dec"), ("ra", "de"), ("alpha", "delta"), ("lon", "lat")),
    "dec": (("dec", "ra"), ("de", "ra"), ("delta", "alpha"), ("lat", "lon")),
    "x": (("x", "y"), ("u", "v")),
    "y": (("y", "x"), ("v", "u")),
    "g1": (("1", "2"),),
    "g2": (("2", "1"),),
}


def find(wanted: str, names: Sequence[str]) -> str | None:
    """The column called `wanted`, exactly or else in other case; None where there is none."""
    if wanted in names:
        return wanted
    folded = [n for n in names if n.lower() == wanted.lower()]
    return folded[0] if len(folded) == 1 else None


def _pair(pair: tuple[str, str], names: Sequence[str]) -> tuple[str, str] | None:
    first, second = (find(name, names) for name in pair)
    return (first, second) if first is not None and second is not None else None


def check_keys(columns: Mapping[str, str | None], allowed: Sequence[str]) -> None:
    """ValueError for a key that is no field, TypeError for a value that is no text."""
    for key, text in columns.items():
        if key not in allowed:
            raise ValueError(f"columns: unknown key {key!r}{nearest(str(key), allowed)}")
        if text is not None and not isinstance(text, str):
            raise TypeError(
                f"columns[{key!r}] must be a column name or an expression, "
                f"not {type(text).__name__}"
            )


def _used(text: str, names: Sequence[str]) -> set[str] | None:
    """The columns of a name or an expression; None where it is in error, to be told later."""
    if text in names:
        return {text}
    try:
        used = set(Expression(text).names)
    except ValueError:
        return None
    return used if used <= set(names) else None


def _partner(text: str, half: str, names: Sequence[str]) -> str | None:
    """The column whose name differs from `text` only as one half of a pair does from the other."""
    found = set()
    for this, other in _PARTNERS[half.removesuffix("_model")]:
        for match in re.finditer(this, text, re.IGNORECASE):
            candidate = find(text[: match.start()] + other + text[match.end() :], names)
            if candidate is not None and candidate != text:
                found.add(candidate)
    return found.pop() if len(found) == 1 else None


def _refuse_half(given: str, text: str, lacking: str, source: str) -> NoReturn:
    raise ValueError(
        f"{given} is {text!r}, and {lacking} is not named: both halves come from one convention "
        f"or are both named. Pass columns={{'{lacking}': ...}} too; columns of {source}"
    )


def _complete(
    columns: dict[str, str | None],
    halves: tuple[str, str],
    conventions: Collection[tuple[str, str]],
    names: Sequence[str],
    source: str,
) -> None:
    """Find what of a pair of fields is not given: both halves from one convention.

    Where one half is given by its column of a convention, or an expression of that column which
    uses no others, the other half is that convention's: ``g1 - 0.01`` goes with g2, and what goes
    with ``g1 - g1_psf`` has to be said.
    """
    given = [half for half in halves if half in columns]
    pairs = [pair for pair in (_pair(c, names) for c in conventions) if pair is not None]
    if len(given) == 2:
        return
    if not given:
        if pairs:
            columns[halves[0]], columns[halves[1]] = pairs[0]
        return
    one = given[0]
    other = halves[1 - halves.index(one)]
    text = columns[one]
    if text is None:
        columns[other] = None
        return
    used = _used(text, names)
    if used is None:
        # The error of the half that is given is the one to tell.
        if pairs:
            columns[other] = pairs[0][halves.index(other)]
        return
    known = {name for pair in pairs for name in pair} & used
    for pair in pairs:
        if pair[halves.index(one)] in used <= set(pair):
            columns[other] = pair[halves.index(other)]
            return
    partner = _partner(text, one, names) if not known else None
    if partner is None:
        _refuse_half(one, text, other, f"{source}: {', '.join(names)}")
    columns[other] = partner


def _flat(columns: dict[str, str | None], names: Sequence[str], source: str) -> bool:
    """Find x and y where they are asked for, or where there is nothing else; whether they are it.

    Names such as x and y also say where an object is on its detector: they are taken only where no
    column is known to hold ra or dec, and `_planar` says so.
    """
    if {"x", "y"} & set(columns):
        _complete(columns, ("x", "y"), PLANE_PAIRS, names, source)
        return True
    known = [name for pair in POSITION_PAIRS for name in pair if find(name, names) is not None]
    pair = next((p for p in (_pair(c, names) for c in PLANE_PAIRS) if p is not None), None)
    asked = {axis for axis in ("ra", "dec") if columns.get(axis) is not None}
    left_out = {"ra", "dec"} & set(columns) and not asked
    if pair is None or asked or (known and not left_out):
        return False
    columns["x"], columns["y"] = pair
    return True


def _guessed_plane(
    given: Mapping[str, str | None],
    columns: Mapping[str, str | None],
    names: Sequence[str],
    source: str,
) -> list[str]:
    """A remark where positions in a plane are guessed from the names of columns."""
    if "x" not in columns or {"x", "y"} & set(given):
        return []
    x, y = columns["x"], columns["y"]
    pairs = [pair for pair in (_pair(c, names) for c in PLANE_PAIRS) if pair is not None]
    others = " or ".join(f"{a} and {b}" for a, b in pairs if a != x)
    return [
        f"no column of {source} is known to hold ra and dec; {x} and {y} are taken for positions "
        f"in a plane{f', not {others}' if others else ''}. If they are, pass "
        f"columns={{'x': '{x}', 'y': '{y}'}}"
    ]


def _positions(columns: dict[str, str | None], names: Sequence[str], source: str) -> None:
    if _flat(columns, names, source):
        return
    _complete(columns, ("ra", "dec"), POSITION_PAIRS, names, source)
    if {"ra", "dec"} <= set(columns):
        return
    there = [
        [found for pair in POSITION_PAIRS if (found := find(pair[k], names)) is not None]
        for k in range(2)
    ]
    if there[0] and there[1]:
        ra, dec = there[0][0], there[1][0]
        raise ValueError(
            f"ra ({ra}) and dec ({dec}) of {source} have names of different conventions; if they "
            f"belong together, pass columns={{'ra': '{ra}', 'dec': '{dec}'}}{nearest(ra, names)}"
        )
    axis = "ra" if not there[0] else "dec"
    pairs = _like_positions(names)
    if len(pairs) == 1 and "ra" not in columns and "dec" not in columns:
        ra, dec = pairs[0]
        raise ValueError(
            f"no column of {source} is known to hold {axis}; if {ra!r} and {dec!r} do, "
            f"pass columns={{'ra': '{ra}', 'dec': '{dec}'}}{nearest(axis, names)}"
        )
    if pairs and "ra" not in columns and "dec" not in columns:
        listed = " or ".join(f"'{ra}', '{dec}'" for ra, dec in pairs[:4])
        raise ValueError(
            f"no column of {source} is known to hold {axis}, but several could: {listed}; "
            f"pass columns={{'ra': ..., 'dec': ...}}{nearest(axis, names)}"
        )
    raise ValueError(
        f"no column of {source} is known to hold {axis}; "
        f"pass columns={{'{axis}': ...}}{nearest(axis, names)}"
    )


def _like_positions(names: Sequence[str]) -> list[tuple[str, str]]:
    """Columns whose names differ only as those of ra and dec do: RA_GAL, DEC_GAL."""
    found = []
    for name in names:
        partner = _partner(name, "ra", names)
        if partner is not None and _partner(partner, "dec", names) == name:
            found.append((name, partner))
    return found


def _swapped(columns: Mapping[str, str | None]) -> list[str]:
    """A remark where ra is read from a column of declinations and dec from one of ra."""
    halves = [
        find(columns.get(axis) or "", list(dict.fromkeys(pair[1 - k] for pair in POSITION_PAIRS)))
        for k, axis in enumerate(("ra", "dec"))
    ]
    if None in halves:
        return []
    return [
        f"ra is read from {columns['ra']!r} and dec from {columns['dec']!r}; if they are "
        f"swapped, pass columns={{'ra': {columns['dec']!r}, 'dec': {columns['ra']!r}}}"
    ]


def _weight(columns: dict[str, str | None], names: Sequence[str]) -> None:
    if "w" not in columns:
        found = _weights(names)
        if found:
            columns["w"] = found[0]


def _weights(names: Sequence[str]) -> list[str]:
    return [name for name in (find(n, names) for n in WEIGHT_NAMES) if name is not None]


def _doubtful_weight(
    given: Mapping[str, str | None], names: Sequence[str], source: str
) -> list[str]:
    """A remark where several columns hold weights, or one seems to and is not taken."""
    if "w" in given:
        return []
    found = _weights(names)
    if len(found) > 1:
        return [
            f"{source} has several weights, {', '.join(found)}; {found[0]} is taken. Name the one "
            f"that is meant, columns={{'w': '{found[1]}'}}"
        ]
    like = [n for n in names if re.search(r"(?<![a-z])(weight|wt|wgt)s?$", n.lower())
            and not re.match(r"flag|n[a-z]*low", n.lower())]  # fmt: skip
    if found or not like:
        return []
    return [
        f"{source}: all weights are 1, and {' or '.join(like[:3])} may hold weights; "
        f"pass columns={{'w': '{like[0]}'}}, or columns={{'w': '1'}} for weights of 1"
    ]


def plain_columns(
    given: Mapping[str, str | None], names: Sequence[str], source: str
) -> dict[str, str]:
    """Columns of a catalog of positions and shapes: `given`, the rest by their usual names.

    A field given as None is left out even where a column of a usual name is there.

    Raises
    ------
    ValueError
        If no pair of names is known to hold the positions, or one half of a pair is given and
        the other half cannot be told from it.
    """
    columns = dict(given)
    _positions(columns, names, source)
    _complete(columns, ("g1", "g2"), SHAPE_PAIRS, names, source)
    _weight(columns, names)
    return {key: text for key, text in columns.items() if text is not None}


def plain_remarks(given: Mapping[str, str | None], names: Sequence[str], source: str) -> list[str]:
    """What to tell the user of the columns that `plain_columns` finds."""
    columns = plain_columns(given, names, source)
    remarks = [
        *_swapped(columns),
        *_guessed_plane(given, columns, names, source),
        *_doubtful_weight(given, names, source),
    ]
    fits = [pair for pair in (_pair(c, names) for c in SHAPE_PAIRS) if pair is not None]
    if len(fits) > 1 and not {"g1", "g2"} & set(given):
        listed = " and ".join(f"{first}, {second}" for first, second in fits)
        first, second = fits[1]
        remarks.append(
            f"{source} has several ellipticities, {listed}; {fits[0][0]}, {fits[0][1]} are taken. "
            f"Name the ones that are meant, columns={{'g1': '{first}', 'g2': '{second}'}}"
        )
    return remarks


# ---------------------------------------------------------------------- stars
#: A scheme that fits, and the columns of the fields that it supplies.
Fit = tuple[Scheme, dict[str, str]]
_STAR_PAIRS = (("g1", "g2"), ("g1_model", "g2_model"), ("T", "T_model"))


def _size_key(columns: Mapping[str, str | None], size: str) -> str:
    """Which of T and sigma a size is given as."""
    sigma = next(s for s, name in SIZES.items() if name == size)
    return sigma if sigma in columns else size


def _halves(columns: Mapping[str, str | None]) -> list[tuple[str, str]]:
    """Fields that are given without the other half of their pair, with that half."""
    alone = []
    for pair in _STAR_PAIRS:
        keys = [_size_key(columns, half) if half in SIZES.values() else half for half in pair]
        there = [key for key in keys if key in columns]
        if len(there) == 1:
            alone.append((there[0], pair[1 - keys.index(there[0])]))
    return alone


def _agrees(scheme: Scheme, half: str, used: set[str], names: Sequence[str]) -> bool:
    """Whether a field of these columns is a scheme's own, alone or with its other half."""
    sizes = {"T": "sigma", "sigma": "T", "T_model": "sigma_model", "sigma_model": "T_model"}
    pair = next(p for p in _STAR_PAIRS if half in p or sizes.get(half) in p)
    made: list[set[str]] = []
    for key in pair:
        own = scheme.columns.get(key) or scheme.columns.get(sizes.get(key, ""), "")
        text = scheme.resolve(own, names, find)
        made.append(set() if text is None else _used(text, names) or set())
    own_half = made[0 if half in (pair[0], sizes.get(pair[0])) else 1]
    return bool(own_half) and own_half <= used <= made[0] | made[1]


def star_columns(
    given: Mapping[str, str | None], names: Sequence[str], source: str
) -> tuple[dict[str, str], Scheme | None]:
    """Columns of a star catalog and the scheme they were recognized by.

    Raises
    ------
    ValueError
        If no scheme supplies what `given` leaves open.
    """
    columns, complete = _fitting(given, names, source)
    scheme, found = complete[0]
    kept = {key: text for key, text in (columns | found).items() if text is not None}
    return kept, scheme if found else None


def star_remarks(given: Mapping[str, str | None], names: Sequence[str], source: str) -> list[str]:
    """What to tell the user of the columns that `star_columns` finds."""
    columns, complete = _fitting(given, names, source)
    scheme, found = complete[0]
    remarks = [
        *_swapped(columns),
        *_guessed_plane(given, columns, names, source),
        *_doubtful_weight(given, names, source),
    ]
    if found and scheme.note:
        remarks.append(scheme.note)
    others = {s.family: (s, c) for s, c in complete[1:] if s.family != scheme.family and c != found}
    if others:
        others_columns = next(iter(others.values()))[1]
        wanted = {key: text for key, text in given.items() if text is not None} | others_columns
        listed = ", ".join(f"'{key}': '{text}'" for key, text in wanted.items())
        which = [s.name if s.name != scheme.name else s.family for s, _ in others.values()]
        # Bands of one survey have one name and a family each.
        bands = any(s.name == scheme.name for s, _ in others.values())
        taken = scheme.family if bands else scheme.name
        remarks.append(
            f"{source} fits the naming of {taken}, which is taken, and of {', '.join(which)}; for "
            f"{which[0]} pass columns={{{listed}}}"
        )
    return remarks


def _closed(columns: Mapping[str, str | None]) -> set[str]:
    """The fields that are given; a size given one way closes the other way too."""
    closed = set(columns) | {SIZES[k] for k in columns if k in SIZES}
    return closed | {sigma for sigma, size in SIZES.items() if size in columns}


def _lacking(scheme: Scheme, closed: Collection[str], names: Sequence[str]) -> list[str]:
    """The columns of a scheme that the table has not, of the fields that are not given."""
    wanted = [key for key in scheme.columns if key not in closed]
    return [name for name in scheme.raw_of(wanted) if find(name, names) is None]


def _fitting(
    given: Mapping[str, str | None], names: Sequence[str], source: str
) -> tuple[dict[str, str | None], list[Fit]]:
    """The columns that need no scheme, and every scheme that supplies the rest."""
    columns = dict(given)
    _positions(columns, names, source)
    _weight(columns, names)
    listed = f"{source}: {', '.join(names)}"
    allowed = list(STAR_SCHEMES)
    alone = _halves(columns)
    for one, other in alone:
        text = columns[one]
        used = _used(text, names) if text is not None else None
        if text is None or used is None:
            continue
        fits = [
            s
            for s in allowed
            if _agrees(s, one, used, names) and not _lacking(s, _closed(columns), names)
        ]
        partner = None if fits or other.startswith("T") else _partner(text, one, names)
        if partner is not None:
            columns[other] = partner
        elif not fits:
            _refuse_half(one, text, other, listed)
        else:
            allowed = fits
    closed = _closed(columns)
    complete: list[Fit] = []
    best: tuple[int, Scheme, list[str]] | None = None
    for scheme in allowed:
        wanted = {k: v for k, v in scheme.columns.items() if k not in closed}
        found = {k: scheme.resolve(v, names, find) for k, v in wanted.items()}
        missing = _lacking(scheme, closed, names)
        if not missing:
            complete.append((scheme, {k: v for k, v in found.items() if v is not None}))
        elif best is None or len(missing) < best[0]:
            best = len(missing), scheme, missing
    if complete:
        return columns, complete
    assert best is not None
    if len(allowed) < len(STAR_SCHEMES):
        for one, other in alone:
            if other not in columns:
                _refuse_half(one, str(columns[one]), other, listed)
    raise ValueError(
        f"the columns of {source} follow no known naming of stars and PSF models "
        f"({', '.join(dict.fromkeys(s.name for s in STAR_SCHEMES))}); the nearest, "
        f"{best[1].name}, lacks {', '.join(best[2])}. Pass columns={{'g1': ..., 'g2': ..., "
        "'T' or 'sigma': ..., 'g1_model': ..., 'g2_model': ..., 'T_model' or 'sigma_model': ...}"
        f"{nearest(best[2][0], names)}"
    )
