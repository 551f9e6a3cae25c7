"""Ellipticities on the sky as headless whiskers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.quiver import QuiverKey

from pysoftcorr.plots.figures import subplots
from pysoftcorr.plots.series import held, widen
from pysoftcorr.plots.sky import ALEATORIC, EPISTEMIC, axes_of, frame_of
from pysoftcorr.plots.styles import styled
from pysoftcorr.sky.catalog import Catalog
from pysoftcorr.sky.stars import StarCatalog


@styled
def plot_shapes(
    catalog: Catalog,
    *,
    e: npt.NDArray[np.complex128] | None = None,
    scale: float | None = None,
    color: str = ALEATORIC,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Ellipticities as whiskers (Berman et al. 2025, fig. 4).

    A whisker lies along the major axis, half the phase of e from the East-West line: e = +g1 is
    horizontal, e = +i g2 runs from South-East to North-West, up to the right as the sky is
    drawn here, with East to the left. Of a flat catalog +g1 is along x and +i g2 along x = y.

    Parameters
    ----------
    catalog : Catalog
    e : ndarray of complex128, shape (N,), optional
        What to draw; the catalog's ellipticities by default.
    scale : float, optional
        The ellipticity drawn with a length of a twentieth of the panel's width; by default the
        95th percentile.
    color : matplotlib color
    title : str, optional
    ax : Axes, optional
        Axes to draw on; a new figure by default.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If there are no ellipticities.
    """
    values = catalog.e if e is None else np.asarray(e, dtype=np.complex128)
    if values.shape != (len(catalog),):
        raise ValueError(f"e has shape {values.shape}: must be ({len(catalog)},)")
    ax = axes_of(ax, figsize=(6.0, 6.0))
    before, frame = held(ax), frame_of(catalog, ax=ax)
    size, angle = np.abs(values), 0.5 * np.angle(values)
    if scale is None:
        scale = rounded(float(np.nanpercentile(size, 95)))
    whiskers = ax.quiver(
        *frame.points(catalog),
        size * np.cos(angle),
        size * np.sin(angle),
        angles="uv",
        pivot="mid",
        units="width",
        scale_units="width",
        scale=20.0 * scale,
        width=0.003,
        headwidth=0,
        headlength=0,
        headaxislength=0,
        color=color,
    )
    frame.draw(ax)
    low, high = ax.get_ylim()
    ax.set_ylim(low, high + 0.09 * (high - low))  # so that the key lies on no whisker
    widen(ax, before)
    keys = sum(isinstance(artist, QuiverKey) for artist in ax.artists)
    ax.quiverkey(
        whiskers,
        0.79 - 0.3 * (keys % 3),
        0.955,
        scale,
        f"|e| = {scale:g}",
        labelpos="E",
        labelsep=0.08,
    )
    if title:
        ax.set_title(title, loc="left")
    return ax


@styled
def plot_star_shapes(stars: StarCatalog) -> Figure:
    """Whiskers of the stars, of the PSF model, and of what the model leaves over.

    Parameters
    ----------
    stars : StarCatalog

    Returns
    -------
    Figure
        With three panels, the first and the last on the same scale.
    """
    figure, axes = subplots(1, 3, figsize=(15.0, 5.4), sharey=True)
    common = rounded(float(np.nanpercentile(np.abs(np.r_[stars.e, stars.de]), 90)))
    plot_shapes(stars, ax=axes[0], scale=common, title="stars")
    plot_shapes(stars, e=stars.e_model, ax=axes[1], title="PSF model")
    plot_shapes(stars, e=stars.de, ax=axes[2], scale=common, color=EPISTEMIC, title="star - model")
    for ax in axes[1:]:
        ax.set_ylabel("")
    return figure


def rounded(value: float) -> float:
    """The value to one figure: 1, 2 or 5 times a power of ten; 1 where it is 0."""
    if not (np.isfinite(value) and value > 0):
        return 1.0
    power = 10.0 ** np.floor(np.log10(value))
    return float(min((1.0, 2.0, 5.0, 10.0), key=lambda f: abs(f * power - value)) * power)
