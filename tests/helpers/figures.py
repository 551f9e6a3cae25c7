"""What every figure must keep to: data within the limits, labels apart, colors explained."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.container import ErrorbarContainer
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure


def outside(ax: Axes) -> list[str]:
    """Points of the panel that lie beyond its limits, by label: of lines, of errors, scattered."""
    bars = [c for c in ax.containers if isinstance(c, ErrorbarContainer)]
    held = {id(c.lines[0]) for c in bars}
    # An error may reach out of a logarithmic panel, its point may not.
    caps = {id(cap) for c in bars for cap in c.lines[1]}
    series = [
        (str(line.get_label()), line.get_xydata())
        for line in ax.lines
        if line.get_transform() == ax.transData
        and id(line) not in caps
        and (line.get_marker() != "None" or id(line) in held)
    ]
    series += [(str(c.get_label()), np.asarray(c.get_offsets())) for c in ax.collections
               if isinstance(c, PathCollection)]  # fmt: skip
    found = []
    for label, points in series:
        points = np.asarray(points, dtype=float).reshape(-1, 2)
        points = points[np.isfinite(points).all(axis=1)]
        for axis, values in ((ax.xaxis, points[:, 0]), (ax.yaxis, points[:, 1])):
            low, high = sorted(axis.get_view_interval())
            slack = 1e-9 * (high - low)
            if axis.get_scale() == "log" and (values <= 0).any():
                found.append(f"{label}: {values.min():g} on a logarithmic axis")
            if ((values < low - slack) | (values > high + slack)).any():
                found.append(f"{label}: {values} beyond {low:g} to {high:g}")
    return found


def overlaps(ax: Axes) -> list[str]:
    """Labels of ticks that lie on one another, of a drawn figure."""
    found = []
    for axis in (ax.xaxis, ax.yaxis):
        low, high = sorted(axis.get_view_interval())
        ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
        shown = [
            tick.label1 for tick in ticks
            if tick.label1.get_visible() and tick.label1.get_text()
            and low - 1e-9 * (high - low) <= tick.get_loc() <= high + 1e-9 * (high - low)
        ]  # fmt: skip
        if any(text.get_rotation() not in (0.0, 90.0) for text in shown):
            continue  # boxes of turned text overlap where the text does not
        boxes = [text.get_window_extent() for text in shown]
        for i, a in enumerate(boxes):
            for j in range(i):
                if a.overlaps(boxes[j]) and a.width * a.height > 0:
                    found.append(f"{shown[i].get_text()} on {shown[j].get_text()}")
    return found


def unexplained(figure: Figure) -> list[str]:
    """What is colored by numbers, in a figure without a color bar; contours have a legend."""
    if any(ax.get_label() == "<colorbar>" for ax in figure.axes):
        return []
    return [
        f"{type(drawn).__name__} in {ax.get_ylabel()!r}"
        for ax in figure.axes
        for drawn in (*ax.images, *ax.collections)
        if not isinstance(drawn, ContourSet) and np.size(drawn.get_array()) > 1
    ]


def faults(figure: Figure) -> list[str]:
    """All of these, and panels with data whose axes have no name anywhere."""
    figure.canvas.draw()
    found = unexplained(figure)
    for ax in figure.axes:
        if not ax.axison or not ax.get_visible():
            continue
        found += outside(ax) + overlaps(ax)
    if any(ax.has_data() for ax in figure.axes):
        for which in ("get_xlabel", "get_ylabel"):
            if not any(getattr(ax, which)() for ax in figure.axes):
                found.append(f"no axis with a {which.removeprefix('get_')}")
    return found
