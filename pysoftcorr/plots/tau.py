"""Tau statistics with their fit, contours of the leakage, and what it adds to xi+."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

from pysoftcorr.plots.corner import LABELS, LEVELS, plot_corner
from pysoftcorr.plots.figures import subplots
from pysoftcorr.plots.series import DEPTH, entries, held, same_unit, widen
from pysoftcorr.plots.sky import ALEATORIC, EPISTEMIC, NAIVE, axes_of, log_axis
from pysoftcorr.plots.statistics import SYMBOLS, symbol
from pysoftcorr.plots.styles import PALETTE, styled
from pysoftcorr.sky.binning import Binning
from pysoftcorr.sky.leakage import TAU_OF, Leakage
from pysoftcorr.sky.result import Correlation, CorrelationSet

if TYPE_CHECKING:
    from pysoftcorr.inference import Posterior

FloatArray = npt.NDArray[np.float64]

#: Color of each term's part of a tau.
TERM_COLORS = dict(zip(("alpha", "beta", "eta"), PALETTE[2:5], strict=True))


@styled
def plot_tau(result: CorrelationSet | Leakage) -> Figure:
    """Plot the tau statistics times separation, a panel each, with the best fit and its parts.

    Parameters
    ----------
    result : CorrelationSet or Leakage
        Of `tau_statistics`, or of `fit_leakage`, which brings the best fit; bins that it left out
        have open points.

    Returns
    -------
    Figure

    Raises
    ------
    TypeError, ValueError
        `result` is neither, or has no tau.
    """
    data = _data(result)
    bins, theta = result.bins, _separations(result)
    figure: Figure
    figure, axes = subplots(1, len(data), figsize=(4.3 * len(data) + 0.3, 3.8), squeeze=False)
    used = result.used if isinstance(result, Leakage) else np.ones(len(bins), dtype=bool)
    parts = result.parts() if isinstance(result, Leakage) else {}
    for ax, (name, (value, error)) in zip(axes[0], data.items(), strict=True):
        for chosen, face, words in ((used, ALEATORIC, "data"), (~used, "white", "not fitted")):
            here = chosen & np.isfinite(value)
            if here.any():
                ax.errorbar(
                    theta[here], (theta * value)[here], yerr=np.nan_to_num(theta * error)[here],
                    fmt="o", ms=4.5, lw=1.4, capsize=3, color=ALEATORIC, mfc=face, label=words,
                    zorder=3,
                )  # fmt: skip
        several = len(parts.get(name, {})) > 1
        for term, part in parts.get(name, {}).items():
            if several:
                ax.plot(theta, theta * part, color=TERM_COLORS[term], lw=1.2, ls="--",
                        label=f"{LABELS[term]} part", zorder=2)  # fmt: skip
        if parts:
            total = sum(parts[name].values(), np.zeros(len(bins)))
            ax.plot(theta, theta * total, color=EPISTEMIC, lw=1.6, label="best fit", zorder=2)
        _angles(ax, bins)
        formatter = ScalarFormatter(useMathText=True)
        formatter.set_powerlimits((-2, 3))
        ax.yaxis.set_major_formatter(formatter)
        ax.set_title(symbol(name))
        ax.set_ylabel(rf"$\theta\,${SYMBOLS[name]} [{bins.unit}]")
    axes[0][0].legend(*entries(axes[0]))
    return figure


@styled
def plot_leakage(leakage: Leakage, *, truth: Mapping[str, float] | None = None) -> Figure:
    """Plot the parameters of the leakage against one another, by the package ``corner``.

    Parameters
    ----------
    leakage : Leakage
        Its samples where it has some; else Gaussian ones of its covariance.
    truth : mapping of str to float, optional
        Marked with lines.

    Returns
    -------
    Figure
        With contours that enclose 68.3 and 95.4 %.

    Raises
    ------
    ValueError
        If the fit gives no errors.
    """
    draws = leakage.samples
    if not np.isfinite(leakage.covariance).all():
        raise ValueError("leakage: it has no errors to draw; rho was too noisy for its terms")
    if draws is None or len(draws) < 100:
        rng = np.random.default_rng(0)
        draws = rng.multivariate_normal(leakage.values, leakage.covariance, 20_000)
    # Where rho is noisy, single draws run away, and all others would be a dot.
    low, middle, high = np.quantile(draws, [0.16, 0.5, 0.84], axis=0)
    near = (np.abs(draws - middle) < 2.5 * (high - low)).all(axis=1)
    posterior: Any = _Draws(leakage.terms, draws[near], dict.fromkeys(TERM_COLORS, 0.0))
    return _corner(posterior, truth)


def _corner(posterior: Posterior, truth: Mapping[str, float] | None) -> Figure:
    return plot_corner(posterior, truth=truth, levels=LEVELS[:2])


@dataclass(frozen=True)
class _Draws:
    """Draws of the leakage, with what `plot_corner` looks at of a posterior."""

    names: tuple[str, ...]
    flat: FloatArray
    fixed: dict[str, float] = field(default_factory=dict)
    priors: dict[str, Any] = field(default_factory=dict)


@styled
def plot_contamination(
    leakage: Leakage, *, xip: Correlation | None = None, ax: Axes | None = None
) -> Axes:
    """Plot what the leakage adds to xi+, beside xi+ itself.

    Absolute values on logarithmic axes; negative ones have open points.

    Parameters
    ----------
    leakage : Leakage
    xip : Correlation, optional
        xi+ of the galaxies.
    ax : Axes, optional
        Axes to draw on; a new figure by default.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If `xip`, or what the axes show already, is in another unit.
    """
    ax = axes_of(ax, figsize=(5.6, 4.2))
    before = held(ax)
    same_unit(ax, leakage.bins.unit)
    curves = []
    if xip is not None:
        if xip.bins.unit != leakage.bins.unit:
            raise ValueError(
                f"xip: its bins are in {xip.bins.unit}: must be in {leakage.bins.unit}, as those "
                "of the leakage"
            )
        error = xip.sigma if xip.sigma is not None else xip.sigma_shot
        theta = np.where(np.isfinite(xip.theta), xip.theta, xip.bins.centers)
        curves.append((theta, xip.value, error, NAIVE, SYMBOLS["xip"]))
    earlier = len({*ax.get_legend_handles_labels()[1]}) if before else 0
    sys, color = r"$\xi_+^\mathrm{sys}$", EPISTEMIC
    if earlier:
        sys = f"{sys} of {', '.join(LABELS[term] for term in leakage.terms)}"
        color = list(TERM_COLORS.values())[earlier % len(TERM_COLORS)]
    curves.append((
        _separations(leakage), leakage.xi_sys, leakage.xi_sys_error, color,
        sys,
    ))  # fmt: skip
    places = []
    for k, (theta, value, error, color, label) in enumerate(curves):
        beside = theta * 1.03**k
        places.append(beside)
        for sign, face in ((value > 0, color), (value < 0, "white")):
            if sign.any():
                ax.errorbar(
                    beside[sign], np.abs(value[sign]), yerr=np.nan_to_num(error[sign]), fmt="o",
                    ms=4.5, lw=1.3, capsize=3, color=color, mfc=face,
                    label=label if face == color else f"{label}, negative",
                )  # fmt: skip
    ax.set_yscale("log", nonpositive="clip")
    shown = np.concatenate([np.abs(value) for _, value, *_ in curves])
    shown = shown[np.isfinite(shown) & (shown > 0)]
    if shown.size:
        # Errors that reach below 0 would draw the axis out of all proportion.
        ax.set_ylim(0.2 * max(shown.min(), shown.max() * 10.0**-DEPTH), 5 * shown.max())
    _angles(ax, leakage.bins, zero=False)
    low, high = ax.get_xlim()
    ax.set_xlim(min(low, *map(np.min, places)), max(high, *map(np.max, places)))
    widen(ax, before)
    ax.set_ylabel(r"contribution to $\xi_+$")
    # Above the axes: errors that reach below 0 cross them from top to bottom.
    ax.legend(ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return ax


def _data(result: CorrelationSet | Leakage) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Value and error of each tau."""
    if isinstance(result, Leakage):
        return {name: (value, result.tau_error[name]) for name, value in result.tau.items()}
    if not isinstance(result, CorrelationSet):
        raise TypeError(
            f"result must be a CorrelationSet or a Leakage, not {type(result).__name__}"
        )
    found = {
        name: (result[name].value, _sigma(result[name]))
        for name in TAU_OF.values() if name in result
    }  # fmt: skip
    if not found:
        raise ValueError(f"result has no tau statistics, but {', '.join(result)}")
    return found


def _sigma(item: Correlation) -> FloatArray:
    return item.sigma_shot if item.sigma is None else item.sigma


def _separations(result: CorrelationSet | Leakage) -> FloatArray:
    theta = result.theta if isinstance(result, Leakage) else next(iter(result.values())).theta
    return np.where(np.isfinite(theta), theta, result.bins.centers)


def _angles(ax: Axes, bins: Binning, *, zero: bool = True) -> None:
    """A logarithmic axis of separations, unless the bins are linear from 0 on."""
    if bins.kind == "log" or bins.edges[0] > 0:
        ax.set_xscale("log")
        log_axis(ax.xaxis, bins.edges[0], bins.edges[-1])
        ax.set_xlim(bins.edges[0], bins.edges[-1])
    if zero:
        ax.axhline(0.0, color="0.6", lw=0.8, ls=":", zorder=1)
    ax.set_xlabel(rf"$\theta$ [{bins.unit}]")
