"""Figures in files."""

from __future__ import annotations

import io
from os import PathLike
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from pysoftcorr.core.files import suffix_of, whole_file
from pysoftcorr.plots.figures import LABEL


def save_figure(figure: Figure, path: str | PathLike[str], *, dpi: int | None = None) -> Path:
    """Save a figure, whole or not at all, and close it; gives the path.

    Parameters
    ----------
    figure : Figure
    path : path
        The suffix decides the format: .png, .pdf, .svg and what else matplotlib writes.
    dpi : int, optional
        Dots per inch of a .png; by default what the reader's style says ("savefig.dpi"), else
        150, and 300 of the style "paper", whose figures keep their width.

    Raises
    ------
    OSError
        If nothing can be written there.
    ValueError
        If matplotlib does not know the suffix.
    """
    target = Path(path).expanduser()
    # Else matplotlib would add a suffix of its own.
    suffix_of(target, [f".{kind}" for kind in sorted(figure.canvas.get_supported_filetypes())])
    paper = figure.get_label() == LABEL
    try:
        # Fonts that journals take: none of type 3.
        made = io.BytesIO()
        with plt.rc_context({"pdf.fonttype": 42}):
            figure.savefig(
                made,
                format=target.suffix[1:].lower(),
                dpi=dpi or _dpi(paper),
                bbox_inches=None if paper else "tight",
            )
        with whole_file(target, overwrite=True) as temporary:
            temporary.write_bytes(made.getbuffer())
    finally:
        plt.close(figure)
    return target


def _dpi(paper: bool) -> float:
    chosen = mpl.rcParams["savefig.dpi"]
    if chosen != mpl.rcParamsDefault["savefig.dpi"]:
        return float(chosen)
    return 300.0 if paper else 150.0
