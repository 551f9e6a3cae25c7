"""Results as tables, JSON, text for a terminal and HTML for a notebook."""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

import astropy.units as u
import numpy as np
from astropy.table import Table, vstack

from pysoftcorr.core.text import aligned_rows

if TYPE_CHECKING:
    from pysoftcorr.sky.result import Correlation

ERRORS = ("sigma_shot", "sigma_epistemic", "sigma_aleatoric", "sigma")


def _column(result: Correlation, name: str) -> np.ndarray:
    """A number per bin, NaN where the result has none of this kind."""
    if name in ("all_pairs", "all_pairs_imag"):
        values = result.all_pairs
        if values is not None:
            return values.imag if name.endswith("imag") else values.real
    else:
        values = getattr(result, name)
    return np.full(result.bins.nbins, np.nan) if values is None else values


# ---------------------------------------------------------------------- tables and JSON
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
    for column in ("value", "imag", "npairs", "weight", *ERRORS, "all_pairs", "all_pairs_imag"):
        table[column] = _column(result, column)
    table["logtheta"].description = f"mean ln(theta / {result.bins.unit})"
    table["all_pairs"].description = "value from all pairs of objects, beside one from clusters"
    table.meta.update(name=result.name, **_meta(result))
    return table


def _meta(result: Correlation) -> dict[str, Any]:
    return {
        "bins": str(result.bins),
        "settings": json.dumps(result.settings),
        "seed": result.seed,
        "version": result.version,
        "aleatoric_method": result.aleatoric_method,
        "noise_excess": result.noise_excess,
    }


def to_json(result: Correlation) -> dict[str, Any]:
    """Lists of plain numbers, None for what is not a number; `noise_excess` is a single one."""
    names = (
        *("theta", "value", "imag", "npairs", "sigma_shot", "sigma_epistemic", "sigma_aleatoric"),
        *("all_pairs", "all_pairs_imag"),
    )
    lists = {name: [_plain(name, float(x)) for x in _column(result, name)] for name in names}
    return {**lists, "noise_excess": result.noise_excess}


def _plain(name: str, x: float) -> float | int | None:
    if not math.isfinite(x):
        return None
    return int(x) if name == "npairs" and x.is_integer() else x


# ---------------------------------------------------------------------- text and HTML
def text_of(result: Correlation) -> str:
    """A line a bin: separation, pairs, value, and each error in a column of its own."""
    return "\n".join([_text(result), *map(_wrapped, _notes([result]))])


def set_text(results: Mapping[str, Correlation]) -> str:
    """The text of every result, an empty line between, and what holds for all at the end."""
    blocks = [_text(result) for result in results.values()]
    return "\n\n".join([*blocks, *map(_wrapped, _notes(list(results.values())))])


def html_of(results: Mapping[str, Correlation], *, head: str = "") -> str:
    """Tables of HTML, one a result, with the numbers of the text."""
    parts = [f"<p>{escape(head)}</p>"] if head else []
    for result in results.values():
        titles, rows = _rows(result)
        header = "".join(f"<th>{escape(title)}</th>" for title in titles)
        body = "".join(
            f"<tr>{''.join(f'<td>{escape(text)}</td>' for text in row)}</tr>" for row in rows
        )
        parts.append(
            f"<table><caption>{escape(_head(result))}</caption>"
            f"<thead><tr>{header}</tr></thead><tbody>{body}</tbody></table>"
        )
    parts += [f"<p>{escape(note)}</p>" for note in _notes(list(results.values()))]
    return f"<div>{''.join(parts)}</div>"


def _text(result: Correlation) -> str:
    titles, rows = _rows(result)
    return f"{_head(result)}\n{aligned_rows([titles, *rows])}"


def _head(result: Correlation) -> str:
    return f"{result.name} ({_how(result)})"


def _rows(result: Correlation) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    values = ["value"] if result.all_pairs is None else ["value", "all_pairs"]
    errors = ["sigma_aleatoric", "sigma_epistemic", "sigma_shot"]
    named = {"value": "mu", "all_pairs": "mu_all_pairs"}
    titles = (f"theta [{result.bins.unit}]", "pairs", *(named[v] for v in values), *errors)
    rows = []
    for k in range(result.bins.nbins):
        lo, hi = result.bins.edges[k : k + 2]
        mean = f"{result.theta[k]:.4g}" if np.isfinite(result.theta[k]) else "-"
        rows.append(
            (
                f"{mean} [{lo:.4g}, {hi:.4g})",
                _count(result.npairs[k]),
                *(_number(_column(result, v)[k], sign=True) for v in values),
                *(_number(_column(result, e)[k]) for e in errors),
            )
        )
    return titles, rows


def _count(x: float) -> str:
    """Every digit of a count; six of what is none, such as a mean over assignments."""
    return f"{x:.0f}" if float(x).is_integer() else f"{x:.6g}"


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


def _notes(results: list[Correlation]) -> list[str]:
    """By how much the resampling overstates the noise, once where it holds for all; the split."""
    found = {(r.aleatoric_method, r.noise_excess) for r in results if r.noise_excess is not None}
    return [
        f"note: without a signal, sigma_aleatoric ({method}) is up to {excess:.2f} times too "
        f"large; where it is about {excess:.2f} times sigma_shot, sigma_shot is the better error"
        for method, excess in sorted(found)
        if excess > 1.005
    ] + [
        f"note: bins below {split:.4g} {results[0].bins.unit} are of all pairs of objects, the "
        f"others of pairs of clusters, {radius:.3g} {results[0].bins.unit} in rms radius"
        for split, radius in sorted(
            {
                (r.settings["split"], r.settings["cluster_radius"])
                for r in results
                if "split" in r.settings and "cluster_radius" in r.settings
            }
        )
    ]


def _wrapped(note: str) -> str:
    return textwrap.fill(note, 92, subsequent_indent=" " * len("note: "))
