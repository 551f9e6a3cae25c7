"""Catalogs of positions and shapes on the sky, checked when they are made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from os import PathLike
from typing import Any, ClassVar, TypeVar

import astropy.units as u
import numpy as np
import numpy.typing as npt
from astropy.table import Table

from pysoftcorr.core import checks as _checks
from pysoftcorr.core.cautions import caution
from pysoftcorr.core.checks import FloatArray, Origin
from pysoftcorr.core.frozen import Frozen, FrozenMapping, freeze, frozen_array
from pysoftcorr.core.options import flag, mapping, shown
from pysoftcorr.core.tables import TableSource, open_table, stored
from pysoftcorr.sky import columns as schemes
from pysoftcorr.sky import description as _description
from pysoftcorr.sky import joining as _joining
from pysoftcorr.sky import plausibility as _plausibility
from pysoftcorr.sky import reading as _reading
from pysoftcorr.sky.geometry import AXES, FLAT, SKY, plane_unit, to_plane, unit_between
from pysoftcorr.sky.schemes import Scheme


def rows_of(index: Any, n: int) -> Any:
    """A row index as a slice, or an array of integers or truth values in one dimension.

    Raises
    ------
    TypeError
        If it is nothing of these.
    ValueError
        If a mask has another length than `n`.
    """
    kinds = "rows are taken by a mask, integers or a slice"
    if isinstance(index, tuple):
        # np.where and np.nonzero give their indices in a tuple.
        if len(index) != 1:
            raise TypeError(f"{kinds}; a catalog has one dimension, and {len(index)} indices came")
        (index,) = index
    if isinstance(index, slice):
        return index
    if index is Ellipsis or index is None:
        raise TypeError(f"{kinds}, not {index}; catalog[:] is all of them")
    if isinstance(index, np.ma.MaskedArray) and np.ma.is_masked(index):
        if index.dtype != bool:
            raise TypeError(f"{kinds}; these integers are partly masked")
        caution(
            f"{np.count_nonzero(np.ma.getmaskarray(index))} of {index.size} rows are left out: "
            "the mask is unknown there, as its own values are masked"
        )
        index = index.filled(False)
    try:
        index = np.atleast_1d(np.asarray(index))
    except ValueError:
        raise TypeError(f"{kinds}, not lists of different lengths") from None
    if index.size == 0:
        index = index.astype(np.int64)
    if index.dtype.kind not in "biu" or index.ndim != 1:
        what = f"an array of shape {index.shape}" if index.ndim != 1 else f"{index.dtype} values"
        raise TypeError(f"{kinds}, not {what}")
    if index.dtype == bool and index.size != n:
        raise ValueError(f"a mask of {index.size} rows for a catalog of {n}")
    return index


#: What is given as a unit by mistake; units of expressions are objects of their own.
_NO_UNITS = (np.ndarray, np.generic, list, tuple, dict, int, float, complex, bytes)


def _check_units(geometry: str, units: Mapping[str, Any]) -> None:
    """Refuse a unit of positions that are not there."""
    for axis, unit in units.items():
        if isinstance(unit, _NO_UNITS):
            argument = "xy_unit" if axis in AXES[FLAT] else f"{axis}_unit"
            raise TypeError(f"{argument} = {shown(unit)}: must be a unit, such as 'deg'")
    for axis in AXES[SKY if geometry == FLAT else FLAT]:
        if units.get(axis) is not None:
            argument, own = ("xy_unit", "x and y") if geometry == SKY else (f"{axis}_unit", axis)
            raise ValueError(
                f"{argument} = {str(units[axis])!r}: is the unit of {own}; "
                f"positions are given as {' and '.join(AXES[geometry])}; leave it out, or name "
                f"{own} for positions {'in a plane' if geometry == SKY else 'on the sky'}"
            )


Self = TypeVar("Self", bound="Catalog")
#: Stands for a field that `replace` leaves as it is.
KEPT: Any = type("Kept", (), {"__repr__": lambda self: "<kept>", "__slots__": ()})()


_ADVICE = "a catalog never changes: catalog.replace(w=...) makes a new one, checked"


class Catalog(Frozen):
    """Objects on the sky or in a plane: positions, and optionally ellipticities and weights.

    Parameters
    ----------
    ra, dec : array_like or astropy Quantity, shape (N,)
        Right ascension and declination. A Quantity's own unit wins over `ra_unit`,
        `dec_unit`.
    x, y : array_like or astropy Quantity, shape (N,)
        Instead of `ra` and `dec`: positions in a plane, such as of a simulated field, the u and v
        of Piff, or pixels. A Quantity's own unit wins over `xy_unit`.
    g1, g2 : array_like, shape (N,), optional
        Ellipticity in the local (East-West, North) frame, g1 > 0 East-West; in a plane g1 > 0
        along x, g2 > 0 along x = y.
    w : array_like, shape (N,), optional
        Weights, not all 0; 1 where not given. Negative ones are for all pairs of objects:
        clusters refuse them.
    ra_unit, dec_unit : str or astropy unit, optional
        "deg", "rad", "hourangle", "arcmin" or "arcsec"; degrees where nothing is said, with a
        warning where the values look like another unit.
    xy_unit : str or astropy unit, optional
        Unit of `x` and `y`, that of an angle or "pixel"; arcmin where nothing is said.
    flip_g1, flip_g2 : bool
        Change the sign of a component, for other conventions.
    on_bad : {"error", "drop"}
        What to do with rows that hold NaN, infinity or a masked value: refuse them, or leave
        them out and warn with the count.
    name : str, optional
        A name for print-outs.
    extra : mapping of str to array_like, optional
        Further columns of N values, kept along with their type and found under
        ``catalog.extra``; masked arrays where entries are missing.

    Attributes
    ----------
    geometry : {"sky", "flat"}
    ra, dec : ndarray, shape (N,)
        Degrees, as given (not wrapped); of a catalog on the sky.
    x, y : ndarray, shape (N,)
        In `xy_unit`; of a flat catalog.
    xy_unit : str or None
        "arcmin", "deg", "pixel" and the like; None on the sky.
    g1, g2 : ndarray, shape (N,), or None
    w : ndarray, shape (N,)
    xyz : ndarray, shape (N, 3)
        Unit vectors; of a flat catalog x, y (in arcmin, or pixels) and 0.
    n_dropped, n_flagged, n_unselected : int
        Rows left out for bad values, by a flag, and by a selection.
    columns : mapping
        Which column or expression of the source each field was read from.

    Raises
    ------
    ValueError
        If lengths differ, there are no rows, values are not finite, positions are out of
        range, weights are all zero, or one ellipticity component is missing.
    TypeError
        If a column is not made of real numbers.

    Notes
    -----
    Catalogs, their copies and pickles never change, so that nothing checked or computed here can
    go stale: `replace` makes another one. Positions are numbers on the sphere, so RA -1 and 359
    are the same place.

    Examples
    --------
    >>> from pysoftcorr.sky.catalog import Catalog
    >>> stars = Catalog(ra=[149.9, 150.0, 150.1], dec=[2.0, 2.1, 2.2], name="three stars")
    >>> stars
    <Catalog 'three stars': 3 objects, RA 149.9 to 150.1 deg, Dec 2 to 2.2 deg>
    >>> len(stars[stars.dec > 2.05])
    2
    >>> Catalog(x=[0.0, 812.5], y=[10.0, 700.0], xy_unit="pixel")
    <Catalog: 2 objects, x 0 to 812.5 pixel, y 10 to 700 pixel>
    """

    #: What `columns` of `read` may name.
    _keys: ClassVar[tuple[str, ...]] = ("ra", "dec", "x", "y", "g1", "g2", "w")
    #: The two components of each ellipticity.
    _shapes: ClassVar[tuple[tuple[str, str], ...]] = (("g1", "g2"),)

    geometry: str
    ra: FloatArray
    dec: FloatArray
    x: FloatArray
    y: FloatArray
    xy_unit: str | None
    g1: FloatArray | None
    g2: FloatArray | None
    w: FloatArray
    extra: FrozenMapping
    _columns: FrozenMapping
    _xyz: FloatArray | None

    def __init__(
        self,
        *,
        ra: npt.ArrayLike | u.Quantity | None = None,
        dec: npt.ArrayLike | u.Quantity | None = None,
        x: npt.ArrayLike | u.Quantity | None = None,
        y: npt.ArrayLike | u.Quantity | None = None,
        g1: npt.ArrayLike | None = None,
        g2: npt.ArrayLike | None = None,
        w: npt.ArrayLike | None = None,
        ra_unit: str | u.UnitBase | None = None,
        dec_unit: str | u.UnitBase | None = None,
        xy_unit: str | u.UnitBase | None = None,
        flip_g1: bool = False,
        flip_g2: bool = False,
        on_bad: str = "error",
        name: str | None = None,
        extra: Mapping[str, npt.ArrayLike] | None = None,
    ) -> None:
        given = {"ra": ra, "dec": dec, "x": x, "y": y, "g1": g1, "g2": g2, "w": w}
        units = {"ra": ra_unit, "dec": dec_unit, "x": xy_unit, "y": xy_unit}
        self._build(given, units, (flip_g1, flip_g2), on_bad, name, extra, Origin())

    @classmethod
    def read(
        cls: type[Self],
        source: str | PathLike[str] | Any,
        *,
        columns: Mapping[str, str | None] | None = None,
        hdu: int | str | Sequence[int | str] | None = None,
        key: str | Sequence[str] | None = None,
        ra_unit: str | u.UnitBase | None = None,
        dec_unit: str | u.UnitBase | None = None,
        xy_unit: str | u.UnitBase | None = None,
        flip_g1: bool = False,
        flip_g2: bool = False,
        select: str | None = None,
        flag: str | None = None,
        on_bad: str = "error",
        extra: Sequence[str] | Mapping[str, str] = (),
        name: str | None = None,
    ) -> Self:
        """Read a catalog from a file or from a table in memory.

        Parameters
        ----------
        source : path, pattern, list of paths, or table in memory
            Files: FITS, HDF5 (pandas' too), Parquet (a folder too), Feather, VOTable, NumPy .npy
            and .npz, ECSV, CSV and other text with a line of names, IPAC, CDS and SExtractor's
            tables; each plain or packed by gzip, bzip2 or xz. A pattern such as ``"chip*.fits"``
            or a list of files is read as one catalog: a column must be in each, with values of
            one kind, and its unit is converted to the first's. In memory: an astropy Table, a
            pandas DataFrame, an Arrow table, a mapping of columns or a structured array.
        columns : mapping of str to str, optional
            The column, or expression over columns, of each field, such as
            ``{"ra": "RA", "dec": "DEC", "w": "1/sig**2"}``. Fields it does not name are found by
            their usual names; a field given as None is left out. Halves of a pair (ra and dec, g1
            and g2) come from one naming convention or are both named. Fields are ``ra``, ``dec``,
            ``g1``, ``g2`` and ``w``; those of a `StarCatalog` also ``T`` or ``sigma``
            (T = 2 sigma^2), and of the PSF model at the star ``g1_model``, ``g2_model`` and
            ``T_model`` or ``sigma_model``.
        hdu : int, str or sequence of these, optional
            FITS extension by number, name or pattern of names such as ``"CCD*"``, several to read
            as one catalog, or "all". Where not given, the one table that holds what is needed;
            several that do are refused.
        key : str or sequence of these, optional
            Table of an HDF5 file (a group of columns or a compound dataset), of a VOTable (by its
            name or number) or of a .npz file, in the same way.
        ra_unit, dec_unit : str or astropy unit, optional
            Unit of the position as `columns` gives it, instead of the one stored with the column,
            or else degrees. An expression keeps the stored unit where it changes a sign, adds or
            selects values of that unit (and numbers, for degrees); where it scales a column that
            has a unit, such as ``coord_ra*180/pi``, its unit must be given.
        xy_unit : str or astropy unit, optional
            Unit of flat positions, ``columns={"x": ..., "y": ...}``, in the same way; an angle or
            "pixel".
        flip_g1, flip_g2 : bool
            Change the sign of a component (of star and model alike).
        select : str, optional
            Keep rows where this expression is true: ``"(mag < 24) & (band == 'f115w')"``. Where it
            is unknown, for a missing value or NaN, the row is left out, with a warning that counts
            them.
        flag : str, optional
            Keep rows where this expression is 0: ``"flag_data | flag_model"``; bits by
            ``"flags & 6"``. A missing flag is not 0.
        on_bad : {"error", "drop"}
            As for the class; looked at after `select` and `flag`.
        extra : sequence or mapping of str
            Further columns to keep, or name: expression. Whole numbers, truth values and text
            keep their type; missing entries are masked. An empty text is a missing one.
        name : str, optional
            Name for print-outs; the file's where not given.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError, TypeError
            As for the class; for an unknown or unreadable format, a missing column (the
            nearest names are offered, and other tables of the file that have it), an unknown
            key, an expression that is not allowed, several tables that fit and no choice, tables
            that cannot be joined, and when no row is left.

        Examples
        --------
        >>> from pysoftcorr.sky.catalog import Catalog
        >>> table = {"RA": [10.0, 10.1], "DEC": [-5.0, -5.1], "e1": [0.1, 0.0], "e2": [0.0, 0.2]}
        >>> catalog = Catalog.read(table, columns={"g1": "e1 - 0.05", "g2": "e2"})
        >>> catalog.g1
        array([ 0.05, -0.05])
        """
        given = dict(columns or {})
        schemes.check_keys(given, cls._keys)
        wanted = extra if isinstance(extra, Mapping) else {text: text for text in extra}

        def suits(table: TableSource) -> bool:
            chosen, _ = cls._recognize(given, table)
            table.require(*chosen.values(), *wanted.values(), select, flag)
            # Where x and y are, such as on a chip, is no rival of where ra and dec are.
            return "x" in chosen and not {"x", "y"} & set(given)

        with open_table(source, hdu=hdu, key=key, suits=suits) as table:
            try:
                chosen, scheme = cls._recognize(given, table)
            except ValueError as error:
                raise ValueError(f"{error}{table.elsewhere()}") from None
            # Who gives the unit of x and y has asked for them.
            asked = {} if xy_unit is None else {a: chosen[a] for a in AXES[FLAT] if a in chosen}
            for remark in cls._remarks(given | asked, table):
                caution(remark)
            for axis, unit in (("ra", ra_unit), ("dec", dec_unit), ("x", xy_unit), ("y", xy_unit)):
                if unit is not None and axis in chosen:
                    argument = f"{axis}_unit" if axis in ("ra", "dec") else "xy_unit"
                    table.check_one_unit(chosen[axis], argument)
            n = _reading.row_count(table, chosen)
            keep, counts = _reading.kept_rows(table, n, select, flag)
            values = _reading.fields(table, chosen, n, keep)
            said = {"ra": ra_unit, "dec": dec_unit, "x": xy_unit, "y": xy_unit}
            units = _reading.units(table, chosen, said)
            kept = _reading.fields(table, wanted, n, keep)
            if scheme is not None and flag is None:
                _reading.warn_of_flags(table, scheme, keep)
        origin = table.origin(chosen, np.flatnonzero(keep))
        catalog = cls.__new__(cls)
        if name is None:
            name = _joining.name_of_source(source)
        catalog._build(values, units, (flip_g1, flip_g2), on_bad, name, kept, origin)
        catalog._set(
            n_unselected=counts[0], n_flagged=counts[1], scheme=scheme.name if scheme else None
        )
        return catalog

    @classmethod
    def concatenate(cls: type[Self], catalogs: Sequence[Self], *, name: str | None = None) -> Self:
        """One catalog of the rows of several, in their order.

        Parameters
        ----------
        catalogs : sequence of Catalog
            All of one class, with the same fields and the same extra columns.
        name : str, optional
            Name for print-outs.

        Raises
        ------
        ValueError
            If there is none, one lacks a field, weights or an extra column that another has, or
            extra columns of one name differ in kind.
        TypeError
            If they are not all of this class.

        Examples
        --------
        >>> from pysoftcorr.sky.catalog import Catalog
        >>> chips = [Catalog(ra=[10.0, 10.1], dec=[0.0, 0.1]), Catalog(ra=[10.2], dec=[0.2])]
        >>> len(Catalog.concatenate(chips))
        3
        """
        parts = list(catalogs)
        columns, extra = _joining.joined_columns(cls, parts)
        whole = object.__new__(cls)
        whole.__dict__.update(parts[0].__dict__)
        whole._keep(columns, extra)
        whole.__dict__.update(_joining.joined_record(parts), name=name)
        return whole

    @classmethod
    def _recognize(
        cls, given: Mapping[str, str | None], table: TableSource
    ) -> tuple[dict[str, str], Scheme | None]:
        """Which column or expression each field is read from, and the naming scheme."""
        return schemes.plain_columns(given, table.names, table.label), None

    @classmethod
    def _remarks(cls, given: Mapping[str, str | None], table: TableSource) -> list[str]:
        """What to tell the user of the columns that are recognized."""
        return schemes.plain_remarks(given, table.names, table.label)

    # ------------------------------------------------------------------ building
    def _build(
        self,
        given: Mapping[str, Any],
        units: Mapping[str, Any],
        flips: tuple[bool, bool],
        on_bad: str,
        name: str | None,
        extra: Mapping[str, Any] | None,
        origin: Origin,
    ) -> None:
        """Check every column and keep them; the one way a catalog comes to be."""
        if name is not None and not isinstance(name, str):
            raise TypeError(f"name must be text, not {type(name).__name__}")
        flips = (flag("flip_g1", flips[0]), flag("flip_g2", flips[1]))
        extra = mapping("extra", extra)
        self._check_presence(given)
        self.geometry = FLAT if given.get("x") is not None else SKY
        _check_units(self.geometry, units)
        columns: dict[str, FloatArray] = {}
        found = dict(units)
        for field, value in given.items():
            if value is not None:
                columns[field], unit = _checks.as_float(field, value, origin)
                found[field] = unit if unit is not None else units.get(field)
        more = {k: _joining.extra_column(k, stored(v)) for k, v in extra.items()}
        n = _checks.equal_lengths({**columns, **more})
        good = _checks.finite_rows(columns, origin, on_bad)
        if not good.all():
            columns = {k: v[good] for k, v in columns.items()}
            more = {k: v[good] for k, v in more.items()}
            origin = origin.keep(good)
        self._place(columns, found, origin)
        if "w" in columns:
            _checks.weights(columns["w"], origin)
        for first, second in self._shapes:
            if first in columns:
                _checks.ellipticities(columns, first, second, origin)
                for component, flip in zip((first, second), flips, strict=True):
                    if flip:
                        columns[component] = -columns[component]
        self._finish(columns, found, origin)
        self.unweighted = "w" not in columns
        columns.setdefault("w", np.ones(np.count_nonzero(good)))
        self.name, self.source = name, origin.source
        self.columns = FrozenMapping(origin.labels, _ADVICE)
        self.n_dropped = n - len(columns["w"])
        self.n_flagged = self.n_unselected = 0
        self.scheme: str | None = None
        self._keep(columns, more)
        self._set(_sealed=True)

    def _place(
        self, columns: dict[str, FloatArray], units: Mapping[str, Any], origin: Origin
    ) -> None:
        """Check the positions, which come to be in the catalog's own units."""
        if self.geometry == SKY:
            angles = {a: _checks.angle_unit(units[a] or "deg", f"{a}_unit") for a in AXES[SKY]}
            columns["ra"], columns["dec"] = _checks.positions(
                columns["ra"], columns["dec"], angles, origin
            )
            _plausibility.doubt(columns["ra"], columns["dec"], units, origin)
            if "g1" in columns:
                _plausibility.doubt_poles(columns["dec"], angles["dec"], origin)
            self.xy_unit = None
            return
        x_unit, y_unit = (plane_unit(units[a] or "arcmin") for a in AXES[FLAT])
        if (x_unit == "pixel") != (y_unit == "pixel"):
            raise ValueError(f"x is in {x_unit} and y in {y_unit}: both need one kind of unit")
        if y_unit != x_unit:
            columns["y"] = columns["y"] * unit_between(y_unit, x_unit)
        self.xy_unit = x_unit
        _plausibility.doubt_plane(columns["x"], columns["y"], x_unit)

    def _check_presence(self, given: Mapping[str, Any]) -> None:
        """TypeError or ValueError where a field that must be there is not."""
        there = [axis for pair in AXES.values() for axis in pair if given.get(axis) is not None]
        axes = AXES[FLAT if there and there[-1] in AXES[FLAT] else SKY]
        if not set(there) <= set(axes):
            raise ValueError(
                f"{' and '.join(there)} are given: a catalog is on the sky (ra and dec) or flat "
                "(x and y)"
            )
        for axis in axes:
            if given.get(axis) is None:
                raise ValueError(
                    f"{axis} is needed: a catalog has positions, ra and dec or x and y"
                )
        for first, second in self._shapes:
            for one, other in ((first, second), (second, first)):
                if given.get(one) is not None and given.get(other) is None:
                    raise ValueError(f"{one} is given without {other}; an ellipticity needs both")

    def _finish(
        self, columns: dict[str, FloatArray], units: Mapping[str, Any], origin: Origin
    ) -> None:
        """Checks and derived columns of a subclass, on finite rows."""

    def _keep(self, columns: Mapping[str, FloatArray], extra: Mapping[str, np.ndarray]) -> None:
        self._set(
            _columns=FrozenMapping(columns, _ADVICE), extra=FrozenMapping(extra, _ADVICE), _xyz=None
        )
        self._set(**{component: None for pair in self._shapes for component in pair})
        self._set(**self._columns)

    def __getattr__(self, name: str) -> Any:
        if name in (*AXES[SKY], *AXES[FLAT]) and "geometry" in self.__dict__:
            own = " and ".join(AXES[self.__dict__["geometry"]])
            kind = "flat catalog" if self.__dict__["geometry"] == FLAT else "catalog on the sky"
            raise AttributeError(f"a {kind} has {own}, and no {name}")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    # ------------------------------------------------------------------ never changes
    def _set(self, **values: Any) -> None:
        """Set attributes while the catalog is made, or what it computes once."""
        self.__dict__.update(values)

    def __setattr__(self, name: str, value: Any) -> None:
        if "_sealed" in self.__dict__:
            raise AttributeError(f"{name} of a catalog cannot be set; {_ADVICE}")
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{name} of a catalog cannot be deleted; {_ADVICE}")

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        values = {key: freeze(value) for key, value in state.items()}
        # The fields are the columns, not copies of them.
        values |= {name: values["_columns"][name] for name in values["_columns"]}
        self._set(**values)

    def replace(
        self: Self,
        *,
        ra: npt.ArrayLike | u.Quantity = KEPT,
        dec: npt.ArrayLike | u.Quantity = KEPT,
        x: npt.ArrayLike | u.Quantity = KEPT,
        y: npt.ArrayLike | u.Quantity = KEPT,
        g1: npt.ArrayLike | None = KEPT,
        g2: npt.ArrayLike | None = KEPT,
        w: npt.ArrayLike | None = KEPT,
        ra_unit: str | u.UnitBase | None = None,
        dec_unit: str | u.UnitBase | None = None,
        xy_unit: str | u.UnitBase | None = None,
        on_bad: str = "error",
        name: str | None = KEPT,
        extra: Mapping[str, npt.ArrayLike] | None = KEPT,
    ) -> Self:
        """A catalog with some columns replaced, checked as the constructor does.

        Parameters
        ----------
        ra, dec, x, y : array_like or Quantity, shape (N,)
            New positions, of the catalog's own geometry.
        g1, g2 : array_like, shape (N,), or None
            New ellipticities; None for both takes them away.
        w : array_like, shape (N,), or None
            New weights; None for 1 each.
        ra_unit, dec_unit : str or astropy unit, optional
            Units of new positions, as for the constructor.
        xy_unit : str or astropy unit, optional
            Unit of new x and y, both; the one that they had where it is not given.
        on_bad : {"error", "drop"}
            What to do with rows whose new values are bad, as for the constructor.
        name : str or None
            New name.
        extra : mapping of str to array_like
            New further columns, in place of all those there were.

        Returns
        -------
        Catalog
            What is not named is taken over, source and counts of rows left out among it.

        Raises
        ------
        ValueError, TypeError
            As the constructor.

        Examples
        --------
        >>> from pysoftcorr.sky.catalog import Catalog
        >>> catalog = Catalog(ra=[10.0, 10.1], dec=[0.0, 0.1])
        >>> catalog.replace(w=[1.0, 3.0]).w
        array([1., 3.])
        """
        changes = {"ra": ra, "dec": dec, "x": x, "y": y, "g1": g1, "g2": g2, "w": w}
        units = {"ra": ra_unit, "dec": dec_unit, "x": xy_unit, "y": xy_unit}
        return self._replaced(changes, units, on_bad, name, extra)

    def _replaced(
        self: Self,
        changes: Mapping[str, Any],
        units: Mapping[str, Any],
        on_bad: str,
        name: Any,
        extra: Any,
    ) -> Self:
        changed = {key: value for key, value in changes.items() if value is not KEPT}
        given: dict[str, Any] = dict.fromkeys(self._keys)
        given |= {key: value for key, value in self._columns.items() if key in given}
        if self.unweighted:
            given["w"] = None
        for key in changed:
            # A size given one way takes the place of the other way.
            given[schemes.SIZES.get(key, key)] = None
        given |= changed
        known = {axis: units.get(axis) if axis in changed else "deg" for axis in AXES[SKY]}
        known |= {a: units.get(a) if a in changed else None for a in AXES[FLAT]}
        for axis, unit in units.items():
            if unit is not None and axis not in changed:
                argument = f"{axis if axis in AXES[SKY] else 'xy'}_unit"
                raise ValueError(f"{argument} = {str(unit)!r} is for new values of {axis}")
        if self.geometry == FLAT:
            known = dict.fromkeys(AXES[SKY]) | {a: known[a] or self.xy_unit for a in AXES[FLAT]}
        made = type(self).__new__(type(self))
        # What a subclass has of its own goes along; the columns are made anew.
        made._set(**{key: value for key, value in self.__dict__.items() if key != "_sealed"})
        made._build(
            given,
            known,
            (False, False),
            on_bad,
            self.name if name is KEPT else name,
            self.extra if extra is KEPT else extra or {},
            Origin(),
        )
        labels = {key: text for key, text in self.columns.items() if key not in changed}
        taken = ("source", "scheme", "n_flagged", "n_unselected")
        dropped = self.n_dropped + made.n_dropped
        made._set(
            columns=FrozenMapping(labels, _ADVICE),
            **{key: getattr(self, key) for key in taken},
            n_dropped=dropped,
        )
        return made

    # ------------------------------------------------------------------ what it holds
    @property
    def field_names(self) -> tuple[str, ...]:
        """Names of the columns it holds."""
        return tuple(self._columns)

    @property
    def xyz(self) -> FloatArray:
        """Unit vectors toward the objects, shape (N, 3), C-order, computed once.

        Of a flat catalog x, y in arcmin or pixels, and 0.
        """
        if self._xyz is None and self.geometry == FLAT:
            scale = to_plane(str(self.xy_unit))
            flat = np.stack([self.x * scale, self.y * scale, np.zeros(len(self))], axis=1)
            self._set(_xyz=frozen_array(np.ascontiguousarray(flat)))
        if self._xyz is None:
            # Whole turns are taken off in degrees, where that is exact.
            ra = np.deg2rad(self.ra - 360.0 * np.round(self.ra / 360.0))
            dec = np.deg2rad(self.dec)
            xyz = np.empty((len(self), 3))
            xyz[:, 0] = np.cos(dec) * np.cos(ra)
            xyz[:, 1] = np.cos(dec) * np.sin(ra)
            xyz[:, 2] = np.sin(dec)
            self._set(_xyz=frozen_array(xyz))
        xyz_made: FloatArray = self.__dict__["_xyz"]
        return xyz_made

    @property
    def e(self) -> npt.NDArray[np.complex128]:
        """Complex ellipticity g1 + i g2, shape (N,); ValueError where there is none."""
        if self.g1 is None or self.g2 is None:
            raise ValueError(f"{self!r} has no ellipticities; give g1 and g2")
        return self.g1 + 1j * self.g2

    def __len__(self) -> int:
        return len(self.w)

    def __getitem__(self: Self, index: Any) -> Self:
        """The catalog of some of the rows: a mask, indices (repeats allowed), or a slice.

        What `numpy.where` gives for a condition is taken too, and indices below 0 count from the
        end.

        Raises
        ------
        ValueError
            If no row is left, or a mask has another length.
        IndexError
            If an index is out of range.
        """
        index = rows_of(index, len(self))
        part = object.__new__(type(self))
        part.__dict__.update(self.__dict__)
        columns = {k: np.ascontiguousarray(v[index]) for k, v in self._columns.items()}
        if len(columns["w"]) == 0:
            raise ValueError("the selection leaves no rows: a catalog cannot be empty")
        part._keep(columns, {k: v[index].copy() for k, v in self.extra.items()})
        if self._xyz is not None:
            part._set(_xyz=frozen_array(np.ascontiguousarray(self._xyz[index])))
        return part

    def __iter__(self) -> Iterator[Any]:
        raise TypeError("a catalog is not iterated over; use its columns, such as .ra")

    def to_table(self) -> Table:
        """The columns as an astropy Table, positions in degrees or in `xy_unit`."""
        table = Table({**self._columns, **self.extra}, copy=True)
        for axis in AXES[self.geometry]:
            table[axis].unit = u.Unit(self.xy_unit or "deg")
        if self.name:
            table.meta["name"] = self.name
        return table

    def summary(self) -> str:
        """Rows, area, ranges, ellipticities and weights, as text of several lines."""
        return _description.full_text(self)

    def __repr__(self) -> str:
        return _description.one_line(self)

    def _repr_html_(self) -> str:
        """The summary, for notebooks."""
        return f"<pre>{escape(self.summary())}</pre>"
