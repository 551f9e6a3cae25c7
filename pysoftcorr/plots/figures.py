"""New figures, and what pyplot knows of them.

A figure that a function returns is shown by whoever has it: a notebook shows the value of a cell's
last line, and would show a figure that pyplot holds open once more. `subplots` and `new_figure`
make such figures. Functions that return the axes of a new figure leave it to pyplot
(`pysoftcorr.plots.sky.axes_of`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.backend_bases import FigureManagerBase
from matplotlib.figure import Figure

from pysoftcorr.plots.styles import fitted

#: Label of figures that keep their width in a file.
LABEL = "paper"


def new_figure(figsize: tuple[float, float] | None = None, *, layout: Any = None) -> Figure:
    """An empty figure to be returned.

    pyplot forgets it, save where it stands in a window, which ``plt.show()`` opens.

    Parameters
    ----------
    figsize : (float, float), optional
        Inches.
    layout : optional
        Layout engine or its name, as of `matplotlib.figure.Figure`.
    """
    # Made by pyplot all the same: that loads the backend, which tells a notebook how to show it.
    figure = plt.figure(figsize=fitted(figsize), layout=layout)
    if type(figure.canvas.manager) is FigureManagerBase:
        plt.close(figure)
    return figure


def subplots(
    rows: int = 1,
    columns: int = 1,
    *,
    figsize: tuple[float, float] | None = None,
    sharex: bool | str = False,
    sharey: bool | str = False,
    squeeze: bool = True,
    width_ratios: Sequence[float] | None = None,
    height_ratios: Sequence[float] | None = None,
) -> Any:
    """A figure to be returned, its layout constrained, and its panels.

    Parameters
    ----------
    rows, columns : int
    figsize : (float, float), optional
        Inches.
    sharex, sharey, squeeze, width_ratios, height_ratios
        As of `matplotlib.figure.Figure.subplots`.
    """
    figure = new_figure(figsize, layout="constrained")
    panels = figure.subplots(
        rows,
        columns,
        sharex=sharex,  # type: ignore[arg-type]
        sharey=sharey,  # type: ignore[arg-type]
        squeeze=squeeze,
        width_ratios=width_ratios,
        height_ratios=height_ratios,
    )
    return figure, panels
