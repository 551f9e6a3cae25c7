"""A catalog in words: one line for print-outs, and the summary of its rows, shapes and weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pysoftcorr.sky.geometry import AXES, FLAT

if TYPE_CHECKING:
    from pysoftcorr.sky.catalog import Catalog


def ra_range(ra: np.ndarray) -> tuple[float, float]:
    """First and last right ascension in degrees along the shortest arc that holds them all.

    The arc may cross RA 0: it then ends above 360, as 359.5 to 360.5 does.
    """
    turned = np.unique(np.mod(ra, 360.0))
    gaps = np.diff(turned, append=turned[0] + 360.0)
    widest = int(np.argmax(gaps))
    start = turned[(widest + 1) % turned.size]
    return float(start), float(start + 360.0 - gaps[widest])


def area(catalog: Catalog) -> float:
    """Area of the box that holds the catalog, in square degrees, or squares of its `xy_unit`."""
    if catalog.geometry == FLAT:
        return float(np.ptp(catalog.x) * np.ptp(catalog.y))
    lo, hi = ra_range(catalog.ra)
    sines = np.sin(np.deg2rad([catalog.dec.min(), catalog.dec.max()]))
    return float((hi - lo) * np.rad2deg(sines[1] - sines[0]))


def _ranges(catalog: Catalog) -> list[tuple[str, float, float, str]]:
    """Name, limits and unit of both coordinates."""
    if catalog.geometry == FLAT:
        unit = str(catalog.xy_unit)
        return [(a, v.min(), v.max(), unit) for a, v in (("x", catalog.x), ("y", catalog.y))]
    lo, hi = ra_range(catalog.ra)
    return [("RA", lo, hi, "deg"), ("Dec", catalog.dec.min(), catalog.dec.max(), "deg")]


def one_line(catalog: Catalog) -> str:
    """One line: kind, name, number, ranges, and which columns there are."""
    name = f" {catalog.name!r}" if catalog.name else ""
    n = len(catalog)
    has = [f for f in catalog.field_names if f not in (*AXES[catalog.geometry], "w")]
    if not catalog.unweighted:
        has.append("w")
    extra = f", {' '.join(has)}" if has else ""
    ranges = ", ".join(f"{a} {lo:.6g} to {hi:.6g} {unit}" for a, lo, hi, unit in _ranges(catalog))
    return f"<{type(catalog).__name__}{name}: {n} object{'s' if n > 1 else ''}, {ranges}{extra}>"


def full_text(catalog: Catalog) -> str:
    """The whole summary, several lines."""
    size = area(catalog)
    lines = [f"{type(catalog).__name__} {catalog.name or '(unnamed)'}: {len(catalog)} objects"]
    if catalog.source:
        lines.append(f"  source      {catalog.source}")
    if catalog.columns:
        listed = ", ".join(f"{k} = {v}" for k, v in catalog.columns.items())
        lines.append(f"  columns     {listed}")
    lines.append(
        f"  left out    {catalog.n_unselected} not selected, {catalog.n_flagged} flagged, "
        f"{catalog.n_dropped} NaN or infinite"
    )
    for axis, lo, hi, unit in _ranges(catalog):
        crossing = " (across RA 0)" if axis == "RA" and hi > 360.0 else ""
        lines.append(f"  {axis:<11} {lo:.6f} to {hi:.6f} {unit}{crossing}")
    density = f", {len(catalog) / size:.4g} objects per {unit}^2" if size > 0 else ""
    lines.append(f"  area        {size:.4g} {unit}^2 (bounding box){density}")
    lines.extend(_shape_lines(catalog))
    lines.append(_weight_line(catalog))
    if catalog.extra:
        lines.append(f"  extra       {', '.join(catalog.extra)}")
    return "\n".join(lines)


def _shape_lines(catalog: Catalog) -> list[str]:
    pairs = {"ellipticity": ("g1", "g2"), "model": ("g1_model", "g2_model")}
    lines = []
    values = {}
    for label, (first, second) in pairs.items():
        if first in catalog.field_names:
            values[label] = getattr(catalog, first) + 1j * getattr(catalog, second)
    if len(values) == 2:
        values["star-model"] = values["ellipticity"] - values["model"]
    w = catalog.w if catalog.w.sum() != 0 else np.abs(catalog.w)
    for label, e in values.items():
        mean = np.average(e, weights=w)
        rms = np.sqrt(np.average(np.abs(e) ** 2, weights=np.abs(w)))
        lines.append(f"  {label:<11} mean {mean.real:+.5f} {mean.imag:+.5f}i, rms {rms:.5f}")
    if "T" in catalog.field_names and "T_model" in catalog.field_names:
        star, model = getattr(catalog, "T"), getattr(catalog, "T_model")  # noqa: B009
        ratio = (star - model) / star
        mean = np.average(ratio, weights=w)
        rms = np.sqrt(np.average(ratio**2, weights=np.abs(w)))
        lines.append(f"  dT/T        mean {mean:+.5f}, rms {rms:.5f}")
    return lines


def _weight_line(catalog: Catalog) -> str:
    w = catalog.w
    if catalog.unweighted:
        return "  weights     none (all 1)"
    effective = w.sum() ** 2 / (w**2).sum()
    return (
        f"  weights     {w.min():.4g} to {w.max():.4g}, sum {w.sum():.6g}, "
        f"effective number {effective:.1f}"
    )
