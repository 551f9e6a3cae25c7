"""Catalogs on the command line: their options, for the first and by prefix for others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pysoftcorr.cli.messages import of_catalog
from pysoftcorr.cli.options import Option, derive, prefixed

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from pysoftcorr.sky.catalog import Catalog

    Labels = npt.NDArray[np.int64]

_UNITS = "deg, rad, hourangle, arcmin or arcsec; that stored with the column, or else degrees"
_FIELD = "Column or expression of a field, such as g1='e1 - 0.01'; may be given several times."
_DERIVED = derive(
    "pysoftcorr.sky.catalog:Catalog.read",
    skip=("source", "extra", "name"),
    columns={"help": _FIELD, "default": {}},
    hdu={"kind": list, "metavar": "HDU,...", "help": "FITS extensions by number or name, or all; "
         "the only one that fits where not given."},
    key={"kind": list, "metavar": "KEY,...", "help": "HDF5 groups of columns, or compound "
         "datasets; the only one that fits where not given."},
    select={"metavar": "EXPRESSION"},
    flag={"metavar": "EXPRESSION"},
    on_bad={"help": "Rows with NaN or infinity: refuse, or drop and count."},
    ra_unit={"help": f"Unit of ra: {_UNITS}."},
    dec_unit={"help": "Unit of dec."},
    xy_unit={"help": "Unit of flat positions x and y: that of an angle, or pixel."},
    flip_g1={"help": "Change the sign of g1."},
    flip_g2={"help": "Change the sign of g2."},
)  # fmt: skip
#: Everything that `Catalog.read` takes: its new arguments are options without a line here.
_EVERY = tuple(replace(o, metavar="UNIT") if o.name.endswith("_unit") else o for o in _DERIVED)
PATCHES = Option(
    "patches", str, None, "Column or expression of whole numbers, the patch of each object. "
    "Patches are resampled: by the jackknife, or as --resampling (jackknife:WEIGHT, bootstrap:N) "
    "says.",
    metavar="COLUMN",
)  # fmt: skip


def options(*, shears: bool, patches: bool = True, prefix: str = "") -> tuple[Option, ...]:
    """Options of one catalog: those of every catalog, of shears, of patches."""
    chosen = tuple(o for o in _EVERY if shears or not o.name.startswith("flip_"))
    chosen += (PATCHES,) if patches else ()
    return prefixed(chosen, prefix) if prefix else chosen


def read(
    source: str | list[str],
    settings: Mapping[str, Any],
    kind: type[Catalog],
    *,
    shears: bool = False,
    prefix: str = "",
) -> tuple[Catalog, Labels | None]:
    """The catalog in files, as its options say, and the patch of each object.

    Parameters
    ----------
    source : str or list of str
        One file, a pattern, or several files.
    settings : mapping
    kind : type
        Catalog or StarCatalog.
    shears : bool
        Whether g1 and g2 must be there.
    prefix : str
        Of the options of this catalog, such as "randoms".

    Raises
    ------
    FileNotFoundError, ValueError, TypeError
        As `Catalog.read`; for shears that are missing, and patches that are no whole numbers.
    """
    lead = f"{prefix}_" if prefix else ""
    given = {o.name: settings[f"{lead}{o.name}"] for o in _EVERY if f"{lead}{o.name}" in settings}
    if given["hdu"] is not None:
        given["hdu"] = [int(t) if t.lstrip("-").isdecimal() else t for t in given["hdu"]]
    for name in ("hdu", "key"):
        if given[name] is not None and len(given[name]) == 1:
            given[name] = given[name][0]
    column = settings.get(f"{lead}patches")
    with of_catalog(prefix, (*given, "patches")):
        extra = {} if column is None else {"patches": column}
        catalog = kind.read(source, **given, extra=extra)
        if shears and catalog.g1 is None:
            raise ValueError(
                f"{catalog.name}: no known columns of shears; name them, "
                "columns={'g1': ..., 'g2': ...}"
            )
        return catalog, None if column is None else _whole(catalog.extra["patches"], column)


def _whole(values: Any, column: str) -> Labels:
    import numpy as np

    wanted = f"patches = {column!r}: must give whole numbers, the patch of each object"
    if np.asarray(values).dtype.kind not in "iuf":
        raise TypeError(wanted)
    known = np.isfinite(np.ma.filled(np.ma.asarray(values, dtype=np.float64), np.nan))
    if not known.all():
        rows = ", ".join(str(row) for row in np.flatnonzero(~known)[:5])
        raise ValueError(f"{wanted}; rows {rows} of those that are left have none")
    labels = np.asarray(values).astype(np.int64)
    if (labels != np.asarray(values)).any():
        raise ValueError(wanted)
    return labels


def resampling(text: str, labels: Iterable[Labels | None], prefixes: Iterable[str]) -> Any:
    """The way to resample, over patches where labels are given.

    Parameters
    ----------
    text : str
        That of --resampling; "" where it was not given.
    labels : iterable of ndarray of int64, or None
        Patches of the objects of each catalog.
    prefixes : iterable of str
        Of the options of each catalog.

    Raises
    ------
    ValueError
        If some catalogs have patches and others not, or the way has no patches.
    """
    parts, names = list(labels), [f"{p}-patches" if p else "patches" for p in prefixes]
    from pysoftcorr.sky.resampling import Bootstrap, Jackknife, as_resampling

    if all(part is None for part in parts):
        as_resampling(text or None)  # a fault is said before the work
        return text
    lacking = [name for name, part in zip(names, parts, strict=True) if part is None]
    if lacking:
        there = next(n for n, part in zip(names, parts, strict=True) if part is not None)
        raise ValueError(f"--{lacking[0]}: must be given with --{there}")
    method, *numbers = (text or "jackknife").strip().lower().split(":")
    more: dict[str, Any] = {"patches": tuple(parts)}
    if numbers and numbers[-1].isalpha():
        more["cross_patch_weight"] = numbers.pop()
    if method == "jackknife" and not numbers:
        return Jackknife(**more)
    if method == "bootstrap" and len(numbers) < 2 and all(n.isdecimal() for n in numbers):
        if numbers:
            more["n"] = int(numbers[0])
        return Bootstrap(**more)
    raise ValueError(
        f"resampling = {text!r}: must be jackknife, jackknife:WEIGHT or bootstrap:N, as --patches "
        "says how many patches there are"
    )
