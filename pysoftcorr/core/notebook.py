"""Objects as HTML for a notebook: short tables, and text that is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

import numpy as np
from astropy.table import Table

__all__ = ["html_facts", "html_rows", "html_table", "html_text"]

#: Rows of a table that are shown; the rest is counted.
ROWS = 25
_STYLE = "text-align:right;font-variant-numeric:tabular-nums"


def html_text(text: str) -> str:
    """Text as it stands, such as a summary whose columns are aligned."""
    return f"<pre>{escape(text)}</pre>"


def html_rows(
    titles: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    caption: str = "",
    notes: Iterable[str] = (),
) -> str:
    """A table of texts, the first column to the left; rows beyond `ROWS` are counted below it.

    Parameters
    ----------
    titles : sequence of str
    rows : iterable of sequences of str
    caption : str
    notes : iterable of str
        Paragraphs below.
    """
    every = [list(row) for row in rows]
    head = "".join(f"<th>{escape(title)}</th>" for title in titles)
    body = "".join(
        "<tr>"
        + "".join(
            f"<td{'' if k == 0 else f' style={chr(34)}{_STYLE}{chr(34)}'}>{escape(text)}</td>"
            for k, text in enumerate(row)
        )
        + "</tr>"
        for row in every[:ROWS]
    )
    below = list(notes)
    if len(every) > ROWS:
        below.insert(0, f"and {len(every) - ROWS} more rows")
    said = f"<caption>{escape(caption)}</caption>" if caption else ""
    top = f"<thead><tr>{head}</tr></thead>" if any(titles) else ""
    after = "".join(f"<p>{escape(note)}</p>" for note in below)
    return f"<div><table>{said}{top}<tbody>{body}</tbody></table>{after}</div>"


def html_table(
    table: Table, *, columns: Sequence[str] = (), caption: str = "", notes: Iterable[str] = ()
) -> str:
    """The columns of a table that hold a number or a text a row, or those named.

    Parameters
    ----------
    table : Table
    columns : sequence of str
        Names of columns; those of several numbers a row are left out.
    caption : str
    notes : iterable of str
    """
    names = [name for name in columns or table.colnames if table[name].ndim == 1]
    titles = [
        name + (f" [{table[name].unit}]" if table[name].unit is not None else "") for name in names
    ]
    rows = ([said(table[name][k]) for name in names] for k in range(len(table)))
    return html_rows(titles, rows, caption=caption, notes=notes)


def html_facts(caption: str, facts: Iterable[tuple[str, Any]]) -> str:
    """A table of names and values below a caption; values that are None are left out."""
    rows = [(name, said(value)) for name, value in facts if value is not None]
    return html_rows(("", ""), rows, caption=caption)


def said(value: Any) -> str:
    """A value as text: four digits of a number."""
    if isinstance(value, (float, np.floating)):
        return f"{value:.4g}"
    return str(value)
