"""Bins in angular separation: linear, logarithmic or explicit edges, each bin [lo, hi)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from pysoftcorr.core.frozen import Frozen, frozen_array
from pysoftcorr.core.options import count, number, shown

FloatArray = npt.NDArray[np.float64]

#: Radians in one of each unit a separation may be given in.
RADIANS = {
    "arcsec": math.pi / 648000.0,
    "arcmin": math.pi / 10800.0,
    "deg": math.pi / 180.0,
    "rad": 1.0,
}
#: Unit of separations in a plane of pixels, which no angle is converted to.
PIXEL = "pixel"
#: Unit of separations in a box, which no angle is converted to.
BOX_UNIT = "Mpc/h"
#: Half a turn, the largest separation on a sphere, in each unit.
HALF_TURN = {"arcsec": 648000.0, "arcmin": 10800.0, "deg": 180.0, "rad": math.pi}

Kind = Literal["linear", "log", "explicit"]
_MOST_BINS = 1_000_000
_KINDS = ("linear", "log", "explicit")
_FORMS = "'linear:LO:HI:N', 'log:LO:HI:N' or 'edges:E0,E1,...', and perhaps ':UNIT'"


@dataclass(frozen=True, eq=False)
class Binning(Frozen):
    """Bins of angular separation; bin k holds ``edges[k] <= theta < edges[k + 1]``.

    Make one with `linear`, `log`, `explicit` or `parse`.

    Parameters
    ----------
    edges : array_like, shape (nbins + 1,)
        Increasing separations in `unit`, from 0 to half a turn.
    kind : {"linear", "log", "explicit"}
        How the edges were laid out; decides what `centers` means.
    unit : {"arcmin", "arcsec", "deg", "rad", "pixel", "Mpc/h"}
        Unit of `edges`; pixels for separations in a flat catalog of pixels, Mpc/h for those in a
        box, which are no angles.

    Raises
    ------
    ValueError
        If the edges are not finite, negative, not increasing, or beyond 180 degrees, or if
        the unit is unknown.
    TypeError
        If the edges are not numbers in one dimension.

    Examples
    --------
    >>> from pysoftcorr.sky.binning import Binning
    >>> bins = Binning.linear(0, 45, 3)
    >>> bins.edges
    array([ 0., 15., 30., 45.])
    >>> bins.centers
    array([ 7.5, 22.5, 37.5])
    >>> bins == Binning.parse("linear:0:45:3")
    True
    """

    edges: FloatArray
    kind: Kind = "explicit"
    unit: str = "arcmin"

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise ValueError(f"kind = {self.kind!r}: must be one of {', '.join(_KINDS)}")
        unit = _unit_name(self.unit)
        edges = frozen_array(_checked_edges(self.edges, unit))
        object.__setattr__(self, "unit", unit)
        object.__setattr__(self, "edges", edges)

    # ------------------------------------------------------------------ making one
    @classmethod
    def linear(cls, lo: float, hi: float, n: int, unit: str = "arcmin") -> Binning:
        """`n` bins of equal width from `lo` to `hi`, in `unit`."""
        lo, hi, n = _limits(lo, hi, n)
        if lo < 0:
            raise ValueError(f"lo = {lo:g}: must not be negative")
        return cls(np.linspace(lo, hi, n + 1), "linear", unit)

    @classmethod
    def log(cls, lo: float, hi: float, n: int, unit: str = "arcmin") -> Binning:
        """`n` bins of equal width in the logarithm from `lo` > 0 to `hi`, in `unit`."""
        lo, hi, n = _limits(lo, hi, n)
        if lo <= 0:
            raise ValueError(
                f"lo = {lo:g}: logarithmic bins need lo > 0; use linear bins to start at 0"
            )
        return cls(np.geomspace(lo, hi, n + 1), "log", unit)

    @classmethod
    def explicit(cls, edges: npt.ArrayLike, unit: str = "arcmin") -> Binning:
        """Bins between the given increasing `edges`, in `unit`."""
        return cls(edges, "explicit", unit)  # type: ignore[arg-type]

    @classmethod
    def parse(cls, text: str, unit: str = "arcmin") -> Binning:
        """Read bins from text, as the command line takes them.

        Parameters
        ----------
        text : str
            ``"linear:LO:HI:N"``, ``"log:LO:HI:N"`` or ``"edges:E0,E1,..."``; the unit may follow,
            as in ``"linear:0:2000:10:pixel"``, also behind a blank, as bins are printed.
        unit : str
            Unit of the numbers where the text names none.

        Raises
        ------
        ValueError
            If the text has another form, or the bins it names are not possible.

        Examples
        --------
        >>> from pysoftcorr.sky.binning import Binning
        >>> Binning.parse("edges:0,1,5").nbins
        2
        >>> Binning.parse("linear:0:2000:10:pixel").unit
        'pixel'
        """
        if not isinstance(text, str):
            raise TypeError(f"bins must be text such as {_FORMS}, not {type(text).__name__}")
        head, _, rest = text.strip().partition(":")
        form = head.strip().lower()
        rest, named = _split_unit(rest)
        unit = named or unit
        if form == "edges":
            return cls.explicit([_number(part, text) for part in rest.split(",")], unit)
        if form in ("linear", "log"):
            parts = rest.split(":")
            if len(parts) != 3:
                raise ValueError(
                    f"bins {text!r}: {form} takes LO:HI:N, three numbers; got {len(parts)}"
                )
            lo, hi, n = (_number(part, text) for part in parts)
            if not n.is_integer():  # also inf and nan
                raise ValueError(f"bins {text!r}: the number of bins, {n:g}, is not whole")
            if n > _MOST_BINS:
                raise ValueError(
                    f"bins {text!r}: the number of bins must be at most {_MOST_BINS:,}"
                )
            maker = cls.linear if form == "linear" else cls.log
            try:
                return maker(lo, hi, int(n), unit)
            except ValueError as error:
                raise ValueError(f"bins {text!r}: {error}") from None
        raise ValueError(f"bins {text!r}: must read {_FORMS}")

    # ------------------------------------------------------------------ what it holds
    @classmethod
    def of(cls, bins: Binning | str | npt.ArrayLike, unit: str = "arcmin") -> Binning:
        """Bins as every function takes them: a `Binning`, its text, or an array of edges.

        Parameters
        ----------
        bins : Binning, str or array_like
            A Binning is taken as it is; "log:0.5:50:20" as `parse` reads it; numbers are edges.
        unit : {"arcmin", "arcsec", "deg", "rad", "pixel"}
            Unit of a text that names none, and of an array.

        Raises
        ------
        TypeError
            If it is nothing of these.
        ValueError
            If the text or the edges are not possible.

        Examples
        --------
        >>> from pysoftcorr.sky.binning import Binning
        >>> Binning.of([0, 5, 20]) == Binning.of("edges:0,5,20") == Binning.explicit([0, 5, 20])
        True
        """
        if isinstance(bins, Binning):
            return bins
        if isinstance(bins, str):
            return cls.parse(bins, unit)
        if isinstance(bins, (list, tuple, np.ndarray)):
            return cls.explicit(bins, unit)
        raise TypeError(
            "bins must be a Binning, text such as 'log:0.5:50:20', or an array of edges, "
            f"not {type(bins).__name__}"
        )

    @property
    def nbins(self) -> int:
        """Number of bins."""
        return len(self.edges) - 1

    def __len__(self) -> int:
        return self.nbins

    @property
    def centers(self) -> FloatArray:
        """Middle of each bin in `unit`, shape (nbins,); the geometric mean for log bins."""
        lo, hi = self.edges[:-1], self.edges[1:]
        if self.kind == "log":
            return np.sqrt(lo * hi)
        return 0.5 * (lo + hi)

    @property
    def widths(self) -> FloatArray:
        """Width of each bin in `unit`, shape (nbins,)."""
        return np.diff(self.edges)

    @property
    def edges_rad(self) -> FloatArray:
        """Edges in radians, shape (nbins + 1,), at most pi."""
        self._check_angles()
        return np.minimum(self.edges * RADIANS[self.unit], math.pi)

    def _check_angles(self) -> None:
        if self.unit == BOX_UNIT:
            raise ValueError(f"bins {self}: separations in a box are no angles")
        if self.unit == PIXEL:
            raise ValueError(
                f"bins {self}: pixels are no angles; they need a flat catalog in pixels"
            )

    @property
    def edges_flat(self) -> FloatArray:
        """Edges in arcmin, or in pixels where that is their unit, shape (nbins + 1,)."""
        if self.unit in (PIXEL, "arcmin"):
            return self.edges
        self._check_angles()
        return self.edges * (RADIANS[self.unit] / RADIANS["arcmin"])

    @property
    def edges_chord2(self) -> FloatArray:
        """Squared chords of the edges, ``4 sin^2(theta/2)``, shape (nbins + 1,).

        The squared distance between two unit vectors, compared with these, puts a pair in
        the same bin as its separation would, without an inverse sine per pair.
        """
        return 4.0 * np.sin(0.5 * self.edges_rad) ** 2

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Binning):
            return NotImplemented
        return (
            self.kind == other.kind
            and self.unit == other.unit
            and np.array_equal(self.edges, other.edges)
        )

    def __hash__(self) -> int:
        return hash((self.kind, self.unit, self.edges.tobytes()))

    def __str__(self) -> str:
        lo, hi = self.edges[0], self.edges[-1]
        if self.kind == "explicit":
            return f"edges:{','.join(repr(float(e)) for e in self.edges)} {self.unit}"
        return f"{self.kind}:{lo:g}:{hi:g}:{self.nbins} {self.unit}"

    def __repr__(self) -> str:
        return f"<Binning {self}>"

    # ------------------------------------------------------------------ to and from a dict
    def to_dict(self) -> dict[str, Any]:
        """A dict of plain Python values, from which `from_dict` makes an equal object."""
        return {"kind": self.kind, "unit": self.unit, "edges": [float(e) for e in self.edges]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Binning:
        """The bins a `to_dict` dict describes.

        Raises
        ------
        ValueError
            If a key is missing or unknown, or its value is not possible.
        """
        keys = {"kind", "unit", "edges"}
        if set(data) != keys:
            raise ValueError(
                f"bins need the keys {', '.join(sorted(keys))}; got {', '.join(sorted(data))}"
            )
        return cls(data["edges"], data["kind"], data["unit"])


#: How every function takes bins; see `Binning.of`.
Bins = Binning | str | npt.ArrayLike


def _unit_name(unit: Any) -> str:
    """One of the keys of `RADIANS`; astropy units and their long names are understood."""
    name = unit if isinstance(unit, str) else getattr(unit, "to_string", lambda: repr(unit))()
    long = {"arcsecond": "arcsec", "arcminute": "arcmin", "degree": "deg", "radian": "rad"}
    key = name.strip().lower()
    if key == BOX_UNIT.lower():
        return BOX_UNIT
    if key.endswith(("minutes", "seconds", "degrees", "radians")):
        key = key[:-1]
    key = long.get(key, key)
    if key in ("pix", "px", "pixels", "pixel"):
        return PIXEL
    if key not in RADIANS:
        known = ", ".join((*RADIANS, PIXEL, BOX_UNIT))
        raise ValueError(f"unit = {name!r}: must be one of {known}")
    return key


def _split_unit(text: str) -> tuple[str, str | None]:
    """Numbers, and the unit that follows them behind a colon or a blank, if there is one."""
    numbers, _, last = text.strip().replace(" ", ":").rpartition(":")
    unit = last.strip()
    if not numbers or not unit[:1].isalpha() or unit.lower() in ("nan", "inf", "infinity"):
        return text, None
    return text.strip()[: -len(unit)].rstrip(": "), unit


def _number(part: str, text: str) -> float:
    try:
        return float(part)
    except ValueError:
        raise ValueError(f"bins {text!r}: {part.strip()!r} is not a number") from None


def _limits(lo: float, hi: float, n: int) -> tuple[float, float, int]:
    """The limits as floats and the count as an int, each one sane."""
    n = count("n", n, most=_MOST_BINS)
    lo, hi = number("lo", lo), number("hi", hi)
    if hi <= lo:
        raise ValueError(f"bins must increase: hi = {hi:g} is not above lo = {lo:g}")
    return lo, hi, n


def _checked_edges(edges: npt.ArrayLike | Sequence[float], unit: str) -> FloatArray:
    """A fresh float64 copy of the edges, or the error that says what is wrong with them."""
    given = np.asarray(edges)
    if given.dtype.kind not in "iuf":
        raise TypeError(f"edges = {shown(edges)}: must be real numbers")
    if given.ndim != 1:
        raise TypeError(f"edges must have one dimension, not shape {given.shape}")
    if given.size < 2:
        raise ValueError(f"edges must be at least two numbers (one bin); got {given.size}")
    values = np.array(given, dtype=np.float64)
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise ValueError(f"edges must be finite: edge {bad[0]} is {values[bad[0]]}")
    bad = np.flatnonzero(np.diff(values) <= 0)
    if bad.size:
        k = bad[0]
        raise ValueError(
            f"bins must increase: edge {k + 1} = {values[k + 1]:g} is not above "
            f"edge {k} = {values[k]:g}"
        )
    if values[0] < 0:
        raise ValueError(f"edges must not be negative: edge 0 is {values[0]:g} {unit}")
    # Half a turn itself must pass whatever the rounding of a unit conversion made of it.
    if unit in HALF_TURN and values[-1] > HALF_TURN[unit] * (1 + 1e-12):
        raise ValueError(
            f"edges must not exceed 180 degrees ({HALF_TURN[unit]:g} {unit}): the last is "
            f"{values[-1]:g} {unit}; is the unit right?"
        )
    return values
