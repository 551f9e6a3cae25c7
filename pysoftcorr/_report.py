"""Results as tables, as text for a terminal, and as plain values for JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import astropy.units as u
import numpy as np
from astropy.table import Table, vstack

if TYPE_CHECKING:
    from pysoftcorr.result import Correlation

_ERRORS = ("sigma_shot", "sigma_epistemic", "sigma_aleatoric", "sigma")


def _error(result: Correlation, name: str) -> np.ndarray:
    """An error per bin, NaN where the result has none of this kind."""
    values = getattr(result, name)
    return np.full(result.bins.nbins, np.nan) if values is None else values


def table_of(*results: Correlation, name: str | None = None) -> Table:
    """One table of a row a bin; of several results below one another where `name` is given."""
    tables = [_table(result) for result in results]
    if name is None:
        return tables[0]
    for table, result in zip(tables, results, strict=True):
        table.add_column([result.name] * len(table), index=0, name="statistic")
        table.meta.clear()
    stacked = vstack(tables, metadata_conflicts="silent")
    stacked.meta.update(name=name, statistics=[r.name for r in results], **_meta(results[0]))
    return stacked


def _table(result: Correlation) -> Table:
    unit = u.Unit(result.bins.unit)
    table = Table()
    table["theta_lo"] = result.bins.edges[:-1] * unit
    table["theta_hi"] = result.bins.edges[1:] * unit
    table["theta"] = result.theta * unit
    # A logarithm has no unit; its argument is in that of theta.
    table["logtheta"] = result.logtheta
    for column in ("value", "imag", "npairs", "weight"):
        table[column] = getattr(result, column)
    for column in _ERRORS:
        table[column] = _error(result, column)
    table["logtheta"].description = f"mean ln(theta / {result.bins.unit})"
    table.meta.update(name=result.name, **_meta(result))
    return table


def _meta(result: Correlation) -> dict[str, Any]:
    return {
        "bins": str(result.bins),
        "settings": json.dumps(result.settings),
        "seed": result.seed,
        "version": result.version,
        "aleatoric_method": result.aleatoric_method,
    }


def to_json(result: Correlation) -> dict[str, list[float | int | None]]:
    """Lists of plain numbers, None for what is not a number."""
    columns = {name: getattr(result, name) for name in ("theta", "value", "imag", "npairs")}
    columns |= {name: _error(result, name) for name in ("sigma_epistemic", "sigma_aleatoric")}
    return {name: [_plain(name, float(x)) for x in values] for name, values in columns.items()}


def _plain(name: str, x: float) -> float | int | None:
    if not math.isfinite(x):
        return None
    return int(x) if name == "npairs" and x.is_integer() else x


def text_of(result: Correlation) -> str:
    """A line a bin: separation, pairs, value, and each error in a column of its own."""
    head = f"{result.name} ({_how(result)})"
    titles = (
        f"theta [{result.bins.unit}]",
        "pairs",
        "mu",
        "sigma_aleatoric",
        "sigma_epistemic",
        "sigma_shot",
    )
    errors = [_error(result, name) for name in titles[3:]]
    rows = []
    for k in range(result.bins.nbins):
        lo, hi = result.bins.edges[k : k + 2]
        mean = f"{result.theta[k]:.4g}" if np.isfinite(result.theta[k]) else "-"
        rows.append(
            (
                f"{mean} [{lo:.4g}, {hi:.4g})",
                f"{result.npairs[k]:.6g}",
                _number(result.value[k], sign=True),
                *(_number(e[k]) for e in errors),
            )
        )
    widths = [max(len(r[i]) for r in [titles, *rows]) for i in range(len(titles))]
    lines = [
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in [titles, *rows]
    ]
    return "\n".join([head, *lines])


def _number(x: float, *, sign: bool = False) -> str:
    if not math.isfinite(x):
        return "-"
    return f"{x:+.4e}" if sign else f"{x:.3e}"


def _how(result: Correlation) -> str:
    parts = []
    if result.aleatoric is not None:
        parts.append(f"aleatoric: {len(result.aleatoric)} {result.aleatoric_method}")
    if result.epistemic is not None:
        parts.append(f"epistemic: {len(result.epistemic)} assignments")
    return "; ".join(parts) or "no resamples"


def set_text(results: Mapping[str, Correlation]) -> str:
    """The text of every result, an empty line between."""
    return "\n\n".join(text_of(result) for result in results.values())
