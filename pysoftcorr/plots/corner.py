"""Corner plots: marginal distributions and contours of one posterior or several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from matplotlib import rcParams
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from pysoftcorr.core.extras import need
from pysoftcorr.core.options import finite_numbers, mapping, number, texts
from pysoftcorr.plots.figures import new_figure
from pysoftcorr.plots.styles import PALETTE, styled

if TYPE_CHECKING:
    from pysoftcorr.inference import Posterior

FloatArray = npt.NDArray[np.float64]
Range = tuple[float, float]

#: Parts of the joint distribution of two parameters that contours enclose.
LEVELS = (0.6827, 0.9545, 0.9973)
LABELS = {
    "mu_cen": r"$\mu_\mathrm{cen}$",
    "mu_sat": r"$\mu_\mathrm{sat}$",
    "logMmin": r"$\log M_\mathrm{min}$",
    "sigma_logM": r"$\sigma_{\log M}$",
    "logM0": r"$\log M_0$",
    "logM1": r"$\log M_1$",
    "alpha": r"$\alpha$",
    "Omega_m": r"$\Omega_\mathrm{m}$",
    "sigma_8": r"$\sigma_8$",
    "z": "$z$",
    "beta": r"$\beta$",
    "eta": r"$\eta$",
}
_CELLS = 60
#: Mark of contours that are cut.
_CUT = "cut"
#: Where parameters end whatever the prior.
_BOUNDS = {"mu_cen": (-1.0, 1.0), "mu_sat": (-1.0, 1.0)}
_NONE = (-np.inf, np.inf)
#: Draws beyond this part of them at either end may lie outside a panel, if they are far away.
_TAIL = 1e-3
_QUANTILES = (0.16, 0.5, 0.84)
_TRUTH: dict[str, Any] = {"color": "black", "lw": 1.1, "ls": ":"}


@styled
def plot_corner(
    posteriors: Posterior | Mapping[str, Posterior],
    *,
    truth: Mapping[str, float] | None = None,
    levels: Sequence[float] = LEVELS,
    names: Sequence[str] | None = None,
) -> Figure:
    """Marginal distributions of every parameter and pair, with contours (B25, Fig. 12).

    Drawn by the package ``corner``. Medians and 68 % intervals stand above the diagonal and are
    dashed lines on it, of every posterior in its color; medians are dots between the contours.
    Several posteriors share the limits of the panels, and each has cells of its own, so that a
    narrow one beside a wide one keeps its shape. Densities are not smoothed over the bounds of a
    prior: there they end.

    Parameters
    ----------
    posteriors : Posterior, or mapping of str to Posterior
        Several are drawn over one another, with their labels.
    truth : mapping of str to float, optional
        Marked with lines; panels reach to them. Parameters that a posterior holds fixed may be
        among them.
    levels : sequence of float
        Parts of the joint distribution of two parameters that the contours enclose; by default
        68.3, 95.4 and 99.7 %. (0.393, 0.865) are the contours that reach to 1 and 2 sigma of a
        single parameter.
    names : sequence of str, optional
        Parameters to draw; by default all that every posterior has.

    Returns
    -------
    Figure
        Its legend names the posteriors and what the contours enclose. Marginal densities
        have one height, so that a wide posterior is seen beside a narrow one.

    Raises
    ------
    ValueError
        If there is nothing to draw, a name is unknown, a level is not between 0 and 1, or draws
        are not finite.
    ImportError
        If corner is not installed.
    """
    corner = need("corner", "a corner plot")
    every = {"": posteriors} if not isinstance(posteriors, Mapping) else dict(posteriors)
    chosen = _names(every, names)
    parts = _levels(levels)
    marks = _marks(every, truth, chosen)
    draws = [_draws(label, p, chosen) for label, p in every.items()]
    size, several = len(chosen), len(every)
    own = [[span(n, rows[:, k], p) for k, n in enumerate(chosen)]
           for rows, p in zip(draws, every.values(), strict=True)]  # fmt: skip
    limits = [_limits([ranges[k] for ranges in own], marks[k]) for k in range(size)]
    colors = cycle(several)
    figure = new_figure()
    for rows, ranges, color in zip(draws, own, colors, strict=True):
        lines = [len(ax.lines) for ax in _diagonal(figure, size)] or [0] * size
        corner.corner(
            rows, bins=_CELLS, range=ranges, color=color, smooth1d=smoothing(len(rows)),
            weights=np.full(len(rows), 1 / len(rows)), quantiles=_QUANTILES, fig=figure,
            labels=[LABELS.get(name, name) for name in chosen], max_n_ticks=4,
            **_contours(color, parts, len(rows)),
        )  # fmt: skip
        for ax, before in zip(_diagonal(figure, size), lines, strict=True):
            _one_height(ax.lines[before])
        for i in range(size):
            for j in range(i):
                ax = figure.axes[i * size + j]
                within(ax, ranges[j], ranges[i])
                middle = np.median(rows[:, [j, i]], axis=0)
                ax.plot(*middle, "o", ms=4, color=color, mec="white", mew=0.7, zorder=5)
    for i in range(size):
        for j in range(i + 1):
            ax = figure.axes[i * size + j]
            ax.set_xlim(limits[j])
            ax.set_ylim(limits[i] if j < i else (0.0, 1.1))
            # corner turns them, which long numbers alone need.
            ax.tick_params(labelsize="small")
            along, up = marks[j], marks[i]
            if along is not None:
                ax.axvline(along, **_TRUTH)
            if j < i and up is not None:
                ax.axhline(up, **_TRUTH)
    if size == 1:
        figure.axes[0].set_ylabel("density")
    for k, ax in enumerate(_diagonal(figure, size)):
        _titles(ax, LABELS.get(chosen[k], chosen[k]), [rows[:, k] for rows in draws], colors)
    _arrange(figure, size, several)
    outside = sum(_outside(rows, ranges) for rows, ranges in zip(draws, own, strict=True))
    _legend(figure, list(every), colors, parts, truth=any(m is not None for m in marks),
            outside=outside)  # fmt: skip
    return figure


# ---------------------------------------------------------------------- what is given
def _names(every: Mapping[str, Posterior], names: Sequence[str] | None) -> list[str]:
    if not every:
        raise ValueError("posteriors is empty: there is nothing to draw")
    first = next(iter(every.values()))
    shared = [n for n in first.names if all(n in p.names for p in every.values())]
    chosen = shared if names is None else texts("names", names)
    unknown = [name for name in chosen if name not in shared]
    if unknown or not chosen:
        raise ValueError(f"names: {', '.join(unknown) or 'none'} of {', '.join(shared)} to draw")
    return chosen


def _levels(levels: Sequence[float]) -> list[float]:
    given = np.atleast_1d(finite_numbers("levels", levels)).ravel()
    if not given.size or not ((given > 0) & (given < 1)).all():
        raise ValueError(f"levels = {given.tolist()}: must be between 0 and 1")
    return sorted(set(given.tolist()))


def _marks(
    every: Mapping[str, Posterior], truth: Mapping[str, float] | None, chosen: Sequence[str]
) -> list[float | None]:
    """The true value of each parameter that is drawn, None where it is not given."""
    given = mapping("truth", truth)
    known = {name for p in every.values() for name in (*p.names, *p.fixed)}
    unknown = [name for name in given if name not in known]
    if unknown:
        raise ValueError(
            f"truth: {', '.join(unknown)}: must be among the parameters, {', '.join(sorted(known))}"
        )
    values = {name: number(f"truth of {name}", value) for name, value in given.items()}
    return [values.get(name) for name in chosen]


def _draws(label: str, posterior: Posterior, chosen: Sequence[str]) -> FloatArray:
    rows = posterior.flat[:, [posterior.names.index(name) for name in chosen]]
    if len(rows) < len(chosen):
        raise ValueError(f"{len(rows)} draws of {len(chosen)} parameters are too few")
    bad = ~np.isfinite(rows).all(axis=1)
    if bad.any():
        what = f"posteriors: {label}" if label else "posteriors"
        raise ValueError(f"{what}: {bad.sum()} of {len(rows)} draws are not finite; leave them out")
    return rows


# ---------------------------------------------------------------------- parts of figures
def cycle(number: int) -> list[str]:
    """Colors of so many posteriors, chains or parameters."""
    return [PALETTE[k % len(PALETTE)] for k in range(number)]


def span(name: str, draws: FloatArray, posterior: Any) -> Range:
    """The draws with a margin, but not beyond the prior; single draws far away are left out."""
    least, low, middle, high, most = np.quantile(draws, [_TAIL, *_QUANTILES, 1 - _TAIL])
    wide = 4.0 * (high - low)
    start = max(float(draws.min()), min(float(least), float(middle - wide)))
    end = min(float(draws.max()), max(float(most), float(middle + wide)))
    # Room for what is smoothed over the ends, else it would pile up there.
    margin = 2.5 * smoothing(draws.size) / _CELLS * (end - start) or max(abs(start), 1.0) * 1e-3
    record = posterior.priors.get(name, {})
    lowest, highest = (
        bound if record.get(side) is None else float(record[side])
        for side, bound in zip(("low", "high"), _BOUNDS.get(name, _NONE), strict=True)
    )
    # Draws beyond a bound are drawn all the same.
    lowest = lowest if start >= lowest else -np.inf
    highest = highest if end <= highest else np.inf
    return max(start - margin, lowest), min(end + margin, highest)


def _limits(ranges: Sequence[Range], mark: float | None) -> Range:
    """Limits that hold every posterior and the truth."""
    low, high = min(a for a, _ in ranges), max(b for _, b in ranges)
    if mark is not None and not low <= mark <= high:
        margin = 0.06 * (max(high, mark) - min(low, mark))
        low, high = min(low, mark - margin), max(high, mark + margin)
    return low, high


def smoothing(n: int) -> float:
    """Cells that a density is smoothed over: fewer draws want more."""
    return float(np.clip(1.6 * (4000 / max(n, 1)) ** (1 / 6), 1.2, 4.0))


def fills(color: str, number: int) -> list[tuple[float, float, float, float]]:
    """Colors outside the contours and between them, translucent so that several can be seen."""
    return [to_rgba(color, alpha) for alpha in (0.0, *np.linspace(0.1, 0.45, number))]


def _contours(color: str, levels: Sequence[float], n: int) -> dict[str, Any]:
    """Options of corner that contours have in every figure."""
    return {
        "levels": levels, "smooth": smoothing(n), "quiet": True, "plot_datapoints": False,
        "plot_density": False, "fill_contours": True, "no_fill_contours": True,
        "contourf_kwargs": {"colors": fills(color, len(levels))},
    }  # fmt: skip


def draw_contours(
    ax: Axes, x: FloatArray, y: FloatArray, ranges: Sequence[Range], levels: Sequence[float],
    color: str,
) -> None:  # fmt: skip
    """Contours of two parameters on axes, in cells of their own; limits are left alone."""
    corner = need("corner", "a corner plot")
    corner.hist2d(x, y, ax=ax, bins=_CELLS, range=list(ranges), color=color,
                  **_contours(color, levels, len(x)))  # fmt: skip
    within(ax, ranges[0], ranges[1])


def within(ax: Axes, x: Range, y: Range) -> None:
    """Cut the contours drawn last where their cells end: corner draws them one cell further."""
    cut = Rectangle((x[0], y[0]), x[1] - x[0], y[1] - y[0], transform=ax.transData)
    for drawn in ax.collections:
        if drawn.get_gid() != _CUT:
            drawn.set_clip_path(cut)
            drawn.set_gid(_CUT)


def _diagonal(figure: Figure, size: int) -> list[Axes]:
    return figure.axes[:: size + 1]


def _one_height(line: Line2D) -> None:
    """Scale a marginal density to a height of 1, with an end at 0 on either side."""
    x, y = (np.asarray(values, dtype=np.float64) for values in line.get_data())
    line.set_data(np.r_[x[0], x, x[-1]], np.r_[0.0, y / y.max(), 0.0])


def interval(draws: FloatArray) -> str:
    """Median and 68 % interval, as many digits as two of the smaller error need."""
    low, middle, high = np.quantile(draws, _QUANTILES)
    errors = middle - low, high - middle
    size, smaller = max(abs(middle), *errors), min(errors)
    power = 0
    if 0 < size < 1e-3 or smaller > 1e4:
        power = int(np.floor(np.log10(size)))
    scaled = [float(value) / 10.0**power for value in (middle, *errors)]
    smallest = float(f"{min((e for e in scaled[1:] if e > 0), default=0.1):.1e}")
    digits = int(np.clip(1 - np.floor(np.log10(smallest)), 0, 8))
    scaled[0] = round(scaled[0], digits) + 0.0  # never -0
    text = rf"{scaled[0]:.{digits}f}_{{-{scaled[1]:.{digits}f}}}^{{+{scaled[2]:.{digits}f}}}"
    return f"${text}$" if power == 0 else rf"$({text}) \times 10^{{{power}}}$"


def _titles(ax: Axes, label: str, columns: Sequence[FloatArray], colors: Sequence[str]) -> None:
    """Medians and intervals above a panel, a line for each posterior in its color."""
    n = len(columns)
    for k, (draws, color) in enumerate(zip(columns, colors, strict=True)):
        text, height = f"{label} = {interval(draws)}", 6 + 17 * (n - 1 - k)
        tone = "black" if n == 1 else color
        if k == 0:
            ax.set_title(text, fontsize="medium", pad=height, color=tone)
        else:
            ax.annotate(text, (0.5, 1.0), (0, height), xycoords="axes fraction", fontsize="medium",
                        textcoords="offset points", ha="center", color=tone)  # fmt: skip


def _arrange(figure: Figure, size: int, several: int) -> None:
    """Panels of one size, with room for the titles of every posterior and for the labels."""
    panel, gap, left, bottom, right = 2.1, 0.12, 0.95, 0.85, 0.25
    if size == 1:
        right = 2.1  # of the legend
    above = 0.2 + 0.24 * several
    gap_above = max(gap, 0.12 + 0.24 * several)
    width = left + size * panel + (size - 1) * gap + right
    height = bottom + size * panel + (size - 1) * gap_above + above
    figure.set_size_inches(width, height)
    figure.subplots_adjust(
        left=left / width, right=1 - right / width, bottom=bottom / height, top=1 - above / height,
        wspace=gap / panel, hspace=gap_above / panel,
    )  # fmt: skip


def _outside(rows: FloatArray, ranges: Sequence[Range]) -> int:
    low, high = np.array(ranges).T
    return int(((rows < low) | (rows > high)).any(axis=1).sum())


def level_handles(tone: str, levels: Sequence[float]) -> list[Artist]:
    """Entries of a legend that say what each contour encloses, the outermost first."""
    shades = fills(tone, len(levels))[1:]
    return [
        Patch(facecolor=shade, edgecolor=tone, label=f"{100 * level:.4g} % of 2-D mass")
        for shade, level in zip(shades, sorted(levels, reverse=True), strict=True)
    ]


def _legend(
    figure: Figure,
    labels: Sequence[str],
    colors: Sequence[str],
    levels: Sequence[float],
    *,
    truth: bool,
    outside: int,
) -> None:
    """Labels of the posteriors, parts that the contours enclose, and what lines and dots are."""
    handles: list[Artist] = [
        Line2D([], [], color=color, lw=2, label=label)
        for label, color in zip(labels, colors, strict=True)
        if label
    ]
    tone = colors[0] if len(colors) == 1 else "black"
    several = len(figure.axes) > 1
    if several:
        handles += level_handles(tone, levels)
    handles.append(
        Line2D(
            [],
            [],
            color=tone,
            ls="--",
            marker="o" if several else "",
            ms=4,
            mec="white",
            label="median and 68 %",
        )
    )
    if truth:
        handles.append(Line2D([], [], label="truth", **_TRUTH))
    if outside:
        handles.append(Line2D([], [], ls="", label=f"{outside} draws lie outside"))
    # To the right of the first panel: long labels lie on no other.
    right = figure.axes[0].get_position().x1 + 0.02
    where: Any
    where, height = ("upper left", 0.99) if several else ("center left", 0.5)
    if len(figure.axes) > 4:
        where, right = "upper right", 0.99
    figure.legend(
        handles=handles, loc=where,
        fontsize=rcParams["font.size"] * (0.9 + 0.08 * len(figure.axes) ** 0.5),
        bbox_to_anchor=(right, height),
    )  # fmt: skip
