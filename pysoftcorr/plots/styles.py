"""The style sheets that figures are made in.

`pysoftcorr.mplstyle` holds for every figure; ``paper`` and ``talk`` are laid over it by
``plt.style.use("pysoftcorr.plots.paper")``. What a reader has set otherwise than matplotlib does,
by a style, a ``matplotlibrc`` or ``rcParams``, stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache, wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

P = ParamSpec("P")
T = TypeVar("T")

SHEET = Path(__file__).with_name("pysoftcorr.mplstyle")


@cache
def _sheet() -> dict[str, Any]:
    read: Any = mpl.rc_params_from_file(SHEET, use_default_template=False)
    return dict(read)


#: Colors of series, in their order: those of Okabe & Ito, which stay apart for the color-blind.
PALETTE: tuple[str, ...] = tuple(
    f"#{color.lstrip('#')}" for color in _sheet()["axes.prop_cycle"].by_key()["color"]
)


def settings() -> dict[str, Any]:
    """The settings of the sheet, without those that the reader has set."""
    now: Any = mpl.rcParams
    default: Any = mpl.rcParamsDefault
    return {name: value for name, value in _sheet().items() if now[name] == default[name]}


def fitted(figsize: tuple[float, float] | None) -> tuple[float, float] | None:
    """A size of a figure, in inches, no wider than the size that the reader's style sets.

    The height shrinks less, by the root of the factor, since letters do not shrink with the figure.
    """
    chosen = mpl.rcParams["figure.figsize"]
    if figsize is None or list(chosen) == list(mpl.rcParamsDefault["figure.figsize"]):
        return figsize
    scale = min(1.0, float(chosen[0]) / figsize[0])
    return scale * figsize[0], scale**0.5 * figsize[1]


def styled(draw: Callable[P, T]) -> Callable[P, T]:
    """A plot function whose new axes are in the style of the sheet."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> T:
        given = [a.figure for a in (*args, *kwargs.values()) if isinstance(a, Axes)]
        before = {id(ax) for figure in given for ax in figure.axes}
        with _set(settings()):
            made = draw(*args, **kwargs)
            figure = made if isinstance(made, Figure) else getattr(made, "figure", None)
            if isinstance(figure, Figure):
                _keep_ticks(ax for ax in figure.axes if id(ax) not in before)
        return made

    return drawn


@contextmanager
def _set(values: dict[str, Any]) -> Iterator[None]:
    """Hold these settings for a while, and no others.

    ``rc_context`` would take back what a notebook's backend sets when the first figure loads it.
    """
    now: Any = mpl.rcParams
    before = {name: now[name] for name in values}
    now.update(values)
    try:
        yield
    finally:
        now.update(before)


def _keep_ticks(axes: Iterable[Axes]) -> None:
    """Give axes their ticks' style for good: ticks are made when drawn, in the style of then."""
    now: Any = mpl.rcParams
    for ax in axes:
        for name, axis in (("x", ax.xaxis), ("y", ax.yaxis)):
            for which in ("major", "minor"):
                kept = {
                    "direction": now[f"{name}tick.direction"],
                    "length": now[f"{name}tick.{which}.size"],
                    "width": now[f"{name}tick.{which}.width"],
                    "labelsize": now[f"{name}tick.labelsize"],
                }
                said: Any = axis.get_tick_params(which=which)
                new = {key: value for key, value in kept.items() if key not in said}
                axis.set_tick_params(which=which, **new)
