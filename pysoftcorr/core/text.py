"""Tables of text for a terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence

__all__ = ["aligned_rows"]


def aligned_rows(
    rows: Sequence[Sequence[str]], *, first: Callable[[str, int], str] = str.rjust
) -> str:
    """Rows of text as a table: columns to the right, the first one as `first` puts it.

    Examples
    --------
    >>> from pysoftcorr.core.text import aligned_rows
    >>> print(aligned_rows([("bin", "xi"), ("1 to 10", "0.5")]))
        bin   xi
    1 to 10  0.5
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            (first if k == 0 else str.rjust)(text, width)
            for k, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
