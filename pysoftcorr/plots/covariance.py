"""Covariances of correlation functions, with a block for every pair of statistics."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.colors import Normalize, SymLogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from pysoftcorr.core.options import choice, flag
from pysoftcorr.mocks.box_result import BoxCorrelations
from pysoftcorr.plots.figures import subplots
from pysoftcorr.plots.statistics import symbol
from pysoftcorr.plots.styles import styled
from pysoftcorr.sky.binning import BOX_UNIT, Binning
from pysoftcorr.sky.covariances import joint, kinds_of
from pysoftcorr.sky.result import Correlation

FloatArray = npt.NDArray[np.float64]

#: Ratio of variances beyond which colors of a covariance are logarithmic.
_WIDE = 30.0


@styled
def plot_covariance(
    result: Correlation | Mapping[str, Correlation] | BoxCorrelations,
    *,
    which: str = "total",
    correlation: bool = True,
) -> Figure:
    """Plot the joint covariance of one or several statistics.

    Parameters
    ----------
    result : Correlation, CorrelationSet, mapping of str to Correlation, or BoxCorrelations
    which : {"total", "aleatoric", "epistemic"}
        "total" is the sum of those there are; correlations in a box have no other.
    correlation : bool
        Coefficients between -1 and 1; else the covariance itself, on a symmetric logarithmic scale
        where its variances span decades.

    Returns
    -------
    Figure
        Rows and columns are bins, from small separations to large ones in every block; entries
        that are not known are gray.

    Raises
    ------
    ValueError
        If there are no resamples of this kind.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import numpy as np
    >>> from pysoftcorr.sky.binning import Binning
    >>> from pysoftcorr.sky.result import Correlation
    >>> columns = ("theta", "logtheta", "value", "imag", "npairs", "weight", "varshot")
    >>> xip = Correlation(name="xip", bins=Binning.linear(0, 2, 2), epistemic=np.eye(2),
    ...                   **dict.fromkeys(columns, [0.5, 1.5]))
    >>> xip.plot_covariance().axes[0].get_title()
    'epistemic (2 assignments)'
    """
    choice("which", which, ("total", "aleatoric", "epistemic"))
    flag("correlation", correlation)
    if isinstance(result, BoxCorrelations):
        bins, statistics = Binning.explicit(result.edges, BOX_UNIT), list(result.statistics)
        matrix, title = _of_box(result, which)
    else:
        items = [result] if isinstance(result, Correlation) else list(result.values())
        bins, statistics = items[0].bins, [item.name for item in items]
        matrix, title = joint(items, which), _title(items, which)
    blocks = len(statistics)
    side = float(np.clip(1.8 + 0.05 * len(matrix), 3.6, 7.5))
    figure, ax = subplots(figsize=(side + 0.9, side))
    if correlation:
        matrix, norm = coefficients(matrix), Normalize(-1.0, 1.0)
    else:
        norm = _norm(matrix)
    image = ax.imshow(
        matrix, norm=norm, cmap=mpl.colormaps["RdBu_r"].with_extremes(bad="0.8"),
        interpolation="nearest",
    )  # fmt: skip
    bar = figure.colorbar(
        image, ax=ax, label="correlation coefficient" if correlation else "covariance"
    )
    if isinstance(norm, SymLogNorm):
        bar.set_ticks(_powers(norm))
        bar.minorticks_off()
    elif not correlation:
        bar.formatter = FuncFormatter(lambda value, _: f"{value:.3g}")
        bar.update_ticks()
    n = bins.nbins
    for edge in np.arange(1, blocks) * n - 0.5:
        ax.axhline(edge, color="black", lw=0.7)
        ax.axvline(edge, color="black", lw=0.7)
    if blocks > 1:
        middles = (np.arange(blocks) + 0.5) * n - 0.5
        names = [symbol(name) for name in statistics]
        ax.set_xticks(middles, names)
        ax.set_yticks(middles, names)
        ax.tick_params(length=0)
        what = "separation" if n > 1 else "one bin"
        ax.set_xlabel(f"{what} {bins.edges[0]:g} to {bins.edges[-1]:g} {bins.unit} in each block")
    else:
        step = -(-n // 10)
        shown = np.arange(0, n, step)
        labels = [f"{x:.3g}" for x in bins.centers[shown]]
        ax.set_xticks(shown, labels, rotation=45 if n > 5 else 0)
        ax.set_yticks(shown, labels)
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_label_text(f"separation [{bins.unit}]")
    ax.set_title(title if side > 6 else title.replace(" + ", "\n+ "), fontsize="medium")
    return figure


def _of_box(result: BoxCorrelations, which: str) -> tuple[FloatArray, str]:
    """Covariance of correlations in a box, and what it is of."""
    if which != "total":
        raise ValueError(f"which = {which!r}: correlations in a box have one covariance, 'total'")
    if result.covariance is None:
        raise ValueError(
            "result has no covariance: give box_correlations a resampling, such as "
            "resampling='jackknife:27', or combine several boxes (BoxCorrelations.combine)"
        )
    return result.covariance, str(result.resampling)


def coefficients(covariance: FloatArray) -> FloatArray:
    """Correlation coefficients of a covariance; NaN where a variance is 0 or not known."""
    sigma = np.sqrt(np.diag(covariance))
    scale = np.outer(sigma, sigma)
    return np.divide(covariance, scale, out=np.full(covariance.shape, np.nan), where=scale > 0)


def _norm(covariance: FloatArray) -> Normalize:
    variances = np.diag(covariance)
    good = variances[np.isfinite(variances) & (variances > 0)]
    if not good.size:
        return Normalize(-1.0, 1.0)
    top = float(good.max())
    if top / good.min() > _WIDE:
        return SymLogNorm(linthresh=float(0.1 * good.min()), vmin=-top, vmax=top)
    return Normalize(-top, top)


def _powers(norm: SymLogNorm) -> FloatArray:
    """Ticks at 0 and at a few powers of ten on either side, which do not overlap."""
    first = np.ceil(np.log10(norm.linthresh)) + 1
    last = np.floor(np.log10(float(norm.vmax or 1.0)))
    step = max(1.0, np.ceil((last - first) / 3))
    up = 10.0 ** np.arange(last, first - 1, -step)[::-1]
    return np.r_[-up[::-1], 0.0, up]


def _title(items: list[Correlation], which: str) -> str:
    kinds = kinds_of(items) if which == "total" else [which]
    says = {
        "epistemic": lambda c: f"epistemic ({len(c.epistemic)} assignments)",
        "aleatoric": lambda c: f"aleatoric ({len(c.aleatoric)} {c.aleatoric_method})",
    }
    return " + ".join(says[kind](items[0]) for kind in kinds)
