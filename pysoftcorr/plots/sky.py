"""Axes of a field: of the sky, right ascension to the left, or of a plane, x to the right."""

from __future__ import annotations

from typing import Any, Protocol

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from pysoftcorr.plots.series import same_unit
from pysoftcorr.plots.styles import PALETTE, fitted
from pysoftcorr.sky.catalog import Catalog
from pysoftcorr.sky.clustering import Clustering
from pysoftcorr.sky.description import ra_range
from pysoftcorr.sky.geometry import FLAT, PIXEL, unit_between

FloatArray = npt.NDArray[np.float64]

#: Colors that stay apart for the color-blind (Okabe & Ito) and in gray.
ALEATORIC, EPISTEMIC, NAIVE, CLUSTERS = PALETTE[0], PALETTE[1], "#555555", PALETTE[1]


def axes_of(ax: Axes | None, **kwargs: Any) -> Axes:
    """The axes given, or those of a new figure."""
    if ax is not None:
        return ax
    kwargs.setdefault("layout", "constrained")
    return plt.subplots(figsize=fitted(kwargs.pop("figsize", None)), **kwargs)[1]


def log_axis(axis: Axis, low: float, high: float) -> None:
    """Plain numbers, at 1, 2 and 5 of each decade, on an axis that is logarithmic."""
    if low == high:  # a single point
        low, high = 0.5 * low, 2.0 * high
        (axis.axes.set_xlim if axis is axis.axes.xaxis else axis.axes.set_ylim)(low, high)
    decades = np.log10(high / low)
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if decades < 2.5 else (1.0,)))
    axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axis.set_minor_formatter(NullFormatter())


class Frame(Protocol):
    """Where objects are drawn."""

    def points(self, objects: Catalog | Clustering) -> tuple[FloatArray, FloatArray]:
        """Coordinates of objects, or of the centers of a clustering, on the axes."""

    def draw(self, ax: Axes, *, square: bool = False) -> None:
        """Limits, labels and aspect of the axes; `square` widens the shorter side."""


def frame_of(*objects: Catalog | Clustering, ax: Axes | None = None) -> Frame:
    """The frame that holds objects or centers of one geometry, on axes that may show others.

    Raises
    ------
    ValueError
        If the axes are in another unit.
    """
    first = objects[0]
    if first.geometry == FLAT:
        unit = str(first.xy_unit)
        if ax is not None:
            same_unit(ax, _said(unit))
        scales = [unit_between(str(o.xy_unit), unit) for o in objects]
        x, y = (
            np.concatenate([getattr(o, a) * k for o, k in zip(objects, scales, strict=True)])
            for a in ("x", "y")
        )
        return PlaneFrame(x, y, unit)
    ra, dec = (np.concatenate([getattr(o, a) for o in objects]) for a in ("ra", "dec"))
    if ax is None or not ax.has_data():
        return SkyFrame(ra, dec)
    same_unit(ax, "deg")
    return SkyFrame(ra, dec, near=float(np.mean(ax.get_xlim())))


def _said(unit: str) -> str:
    return "pixels" if unit == PIXEL else unit


def _angle(ra: float, ax: Axes) -> str:
    """Right ascension from 0 to 360 degrees, with as many digits as the width of axes needs."""
    left, right = ax.get_xlim()
    digits = int(np.clip(2 - np.floor(np.log10(abs(right - left))), 0, 9))
    text = f"{np.mod(np.round(ra, digits), 360.0):.{digits}f}"
    return text.rstrip("0").rstrip(".") if digits else text


class PlaneFrame:
    """The limits of objects in a plane."""

    def __init__(self, x: FloatArray, y: FloatArray, unit: str) -> None:
        self.low = np.array([x.min(), y.min()])
        self.high = np.array([x.max(), y.max()])
        self.unit = unit

    def points(self, objects: Catalog | Clustering) -> tuple[FloatArray, FloatArray]:
        """x and y in the unit of the axes."""
        scale = unit_between(str(objects.xy_unit), self.unit)
        return objects.x * scale, objects.y * scale

    def draw(self, ax: Axes, *, square: bool = False) -> None:
        """Limits, labels and aspect of the axes; `square` widens the shorter side."""
        sides = self.high - self.low
        # A single point still needs a field round it.
        span = float(sides.max()) or 1.0
        reach = 0.5 * (np.full(2, span) if square else sides) + 0.04 * span
        middle = 0.5 * (self.low + self.high)
        ax.set_xlim(middle[0] - reach[0], middle[0] + reach[0])
        ax.set_ylim(middle[1] - reach[1], middle[1] + reach[1])
        ax.set_aspect(1.0)
        ax.xaxis.set_major_locator(MaxNLocator(5))
        ax.yaxis.set_major_locator(MaxNLocator(6))
        ax.set_xlabel(f"x [{_said(self.unit)}]")
        ax.set_ylabel(f"y [{_said(self.unit)}]")


class SkyFrame:
    """Where RA starts for a set of objects, so that a field across RA 0 is drawn in one piece."""

    def __init__(self, ra: FloatArray, dec: FloatArray, *, near: float | None = None) -> None:
        start, end = ra_range(ra)
        # Axes that show a field on the other side of RA 0 go on there.
        turn = 0.0 if near is None else 360.0 * np.round((near - 0.5 * (start + end)) / 360.0)
        self.start, self.end = start + turn, end + turn
        self.dec = float(dec.min()), float(dec.max())

    def x(self, ra: FloatArray) -> FloatArray:
        """Right ascension in degrees within half a turn of the middle of the field."""
        middle = 0.5 * (self.start + self.end)
        return np.asarray(middle + np.mod(ra - middle + 180.0, 360.0) - 180.0)

    def points(self, objects: Catalog | Clustering) -> tuple[FloatArray, FloatArray]:
        """Right ascension as of `x`, and declination."""
        return self.x(objects.ra), objects.dec

    def draw(self, ax: Axes, *, square: bool = False) -> None:
        """Limits, labels and aspect of the axes; `square` widens the shorter side."""
        middle = np.deg2rad(0.5 * sum(self.dec))
        shrink = max(float(np.cos(middle)), 0.05)
        # A single point still needs a field round it.
        span = max((self.end - self.start) * shrink, self.dec[1] - self.dec[0]) or 1.0 / 60.0
        wide, high = (
            (span, span)
            if square
            else ((self.end - self.start) * shrink, self.dec[1] - self.dec[0])
        )
        reach = 0.5 * wide + 0.04 * span, 0.5 * high + 0.04 * span
        x, y = 0.5 * (self.start + self.end), 0.5 * sum(self.dec)
        ax.set_xlim(x + reach[0] / shrink, x - reach[0] / shrink)
        ax.set_ylim(y - reach[1], y + reach[1])
        ax.set_aspect(1.0 / shrink)
        ax.xaxis.set_major_locator(MaxNLocator(5))
        ax.yaxis.set_major_locator(MaxNLocator(6))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: _angle(x, ax)))
        ax.ticklabel_format(axis="y", useOffset=False)
        ax.set_xlabel("right ascension [deg]")
        ax.set_ylabel("declination [deg]")
