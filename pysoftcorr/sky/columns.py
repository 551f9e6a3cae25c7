"""Names that catalogs give their columns, and which field each one means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pysoftcorr.core.expressions import nearest

#: Names of positions and weights, the first that is there is taken, upper or lower case.
POSITION_NAMES: dict[str, tuple[str, ...]] = {
    "ra": (
        *("ra", "ra_deg", "radeg", "raj2000", "ra_j2000", "ra_icrs", "right_ascension"),
        *("alpha_j2000", "alphawin_j2000", "alphapeak_j2000"),
    ),
    "dec": (
        *("dec", "dec_deg", "decdeg", "dej2000", "decj2000", "dec_j2000", "de_icrs", "dec_icrs"),
        *("declination", "delta_j2000", "deltawin_j2000", "deltapeak_j2000"),
    ),
}
WEIGHT_NAMES = ("w", "weight", "weights", "wt", "wgt", "shape_weight")
SHAPE_NAMES = (("g1", "g2"), ("e1", "e2"), ("gamma1", "gamma2"), ("e_1", "e_2"), ("g_1", "g_2"))


@dataclass(frozen=True)
class Scheme:
    """How one source of star catalogs names the columns of the rho statistics.

    Ellipticities are taken as they stand: the scheme knows names, not shear or distortion.
    """

    name: str
    columns: Mapping[str, str]
    flags: Sequence[str] = field(default=())


#: In the order they are tried; the plain one last, because its names are the least special.
STAR_SCHEMES = (
    Scheme(
        "vignet-psfex",
        {
            "g1": "g1_vignet",
            "g2": "g2_vignet",
            "sigma": "sig_vignet",
            "g1_model": "g1_psfex",
            "g2_model": "g2_psfex",
            "sigma_model": "sig_psfex",
        },
    ),
    Scheme(
        "piff-hsm",
        {
            "g1": "g1_data",
            "g2": "g2_data",
            "T": "T_data",
            "g1_model": "g1_model",
            "g2_model": "g2_model",
            "T_model": "T_model",
        },
        ("flag_data", "flag_model"),
    ),
    Scheme(
        "des-piff",
        {
            "g1": "obs_e1",
            "g2": "obs_e2",
            "T": "obs_T",
            "g1_model": "piff_e1",
            "g2_model": "piff_e2",
            "T_model": "piff_T",
        },
        ("obs_flag", "piff_flag"),
    ),
    Scheme(
        "shapepipe",
        {
            "g1": "E1_STAR_HSM",
            "g2": "E2_STAR_HSM",
            "sigma": "SIGMA_STAR_HSM",
            "g1_model": "E1_PSF_HSM",
            "g2_model": "E2_PSF_HSM",
            "sigma_model": "SIGMA_PSF_HSM",
        },
        ("FLAG_STAR_HSM", "FLAG_PSF_HSM"),
    ),
    *(
        Scheme(
            "plain",
            {
                "g1": "g1",
                "g2": "g2",
                star: star,
                "g1_model": "g1_model",
                "g2_model": "g2_model",
                model: model,
            },
        )
        for star in ("T", "sigma")
        for model in ("T_model", "sigma_model")
    ),
)

#: A size may be given as T or as sigma, T = 2 sigma^2.
SIZES = {"sigma": "T", "sigma_model": "T_model"}


def find(wanted: str, names: Sequence[str]) -> str | None:
    """The column called `wanted`, exactly or else in other case; None where there is none."""
    if wanted in names:
        return wanted
    folded = [n for n in names if n.lower() == wanted.lower()]
    return folded[0] if len(folded) == 1 else None


def _first(candidates: Sequence[str], names: Sequence[str]) -> str | None:
    for candidate in candidates:
        found = find(candidate, names)
        if found is not None:
            return found
    return None


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


def _positions(columns: dict[str, str | None], names: Sequence[str], source: str) -> None:
    for axis, candidates in POSITION_NAMES.items():
        if axis in columns:
            continue
        found = _first(candidates, names)
        if found is None:
            raise ValueError(
                f"no column of {source} is known to hold {axis}; "
                f"pass columns={{'{axis}': ...}}{nearest(axis, names)}"
            )
        columns[axis] = found


def _weight(columns: dict[str, str | None], names: Sequence[str]) -> None:
    if "w" not in columns:
        found = _first(WEIGHT_NAMES, names)
        if found is not None:
            columns["w"] = found


def plain_columns(
    given: Mapping[str, str | None], names: Sequence[str], source: str
) -> dict[str, str]:
    """Columns of a catalog of positions and shapes: `given`, the rest by their usual names.

    A field given as None is left out even where a column of a usual name is there.
    """
    columns = dict(given)
    _positions(columns, names, source)
    unwanted = None in (columns.get("g1", ""), columns.get("g2", ""))
    if not unwanted and not {"g1", "g2"} <= set(columns):
        for first, second in SHAPE_NAMES:
            pair = find(first, names), find(second, names)
            if None not in pair:
                columns.setdefault("g1", pair[0])
                columns.setdefault("g2", pair[1])
                break
    _weight(columns, names)
    return {key: text for key, text in columns.items() if text is not None}


def star_columns(
    given: Mapping[str, str | None], names: Sequence[str], source: str
) -> tuple[dict[str, str], Scheme | None]:
    """Columns of a star catalog and the scheme they were recognized by.

    Raises
    ------
    ValueError
        If no scheme supplies what `given` leaves open.
    """
    columns = dict(given)
    _positions(columns, names, source)
    _weight(columns, names)
    # A size given one way closes the other way too.
    closed = set(columns) | {SIZES[k] for k in columns if k in SIZES}
    closed |= {sigma for sigma, size in SIZES.items() if size in columns}
    best: tuple[int, Scheme, list[str]] | None = None
    for scheme in STAR_SCHEMES:
        wanted = {k: v for k, v in scheme.columns.items() if k not in closed}
        found = {k: find(v, names) for k, v in wanted.items()}
        missing = [v for k, v in wanted.items() if found[k] is None]
        if not missing:
            columns.update(found)
            kept = {key: text for key, text in columns.items() if text is not None}
            return kept, scheme if found else None
        if best is None or len(missing) < best[0]:
            best = len(missing), scheme, missing
    assert best is not None
    raise ValueError(
        f"the columns of {source} follow no known naming of stars and PSF models "
        f"({', '.join(dict.fromkeys(s.name for s in STAR_SCHEMES))}); the nearest, "
        f"{best[1].name}, lacks {', '.join(best[2])}. Pass columns={{'g1': ..., 'g2': ..., "
        "'T' or 'sigma': ..., 'g1_model': ..., 'g2_model': ..., 'T_model' or 'sigma_model': ...}"
        f"{nearest(best[2][0], names)}"
    )
