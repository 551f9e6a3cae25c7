"""New figures, and what pyplot knows of them.

A figure that a function returns is shown by whoever has it: a notebook shows the value of a cell's
last line, and would show a figure that pyplot holds open once more. `subplots` and `new_figure`
make such figures. Functions that return the axes of a new figure leave it to pyplot
(`pysoftcorr.plots.sky.axes_of`).
"""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
from matplotlib.backend_bases import FigureManagerBase
from matplotlib.figure import Figure

#: Label of figures that keep their width in a file.
LABEL = "paper"


def new_figure(**options: Any) -> Figure:
    """An empty figure to be returned; options of `matplotlib.figure.Figure`.

    pyplot forgets it, save where it stands in a window, which ``plt.show()`` opens.
    """
    # Made by pyplot all the same: that loads the backend, which tells a notebook how to show it.
    figure = plt.figure(**options)
    if type(figure.canvas.manager) is FigureManagerBase:
        plt.close(figure)
    return figure


def subplots(rows: int = 1, columns: int = 1, *, figsize: Any = None, **options: Any) -> Any:
    """A figure to be returned, and its panels; as `matplotlib.pyplot.subplots`.

    Parameters
    ----------
    rows, columns : int
    figsize : (float, float)
        Inches.
    **options
        Options of `matplotlib.figure.Figure.subplots`, and ``layout``, "constrained" by default.
    """
    figure = new_figure(figsize=figsize, layout=options.pop("layout", "constrained"))
    return figure, figure.subplots(rows, columns, **options)
