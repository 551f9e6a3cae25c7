"""The figures of the commands, written into a folder."""

from __future__ import annotations

import os
from pathlib import Path

from pysoftcorr.cli.estimate import Outcome
from pysoftcorr.sky.catalog import Catalog
from pysoftcorr.sky.clustering import Clustering
from pysoftcorr.sky.stars import StarCatalog


def _backend() -> None:
    import matplotlib

    matplotlib.use("Agg")  # files alone: no display is needed


def draw_clusters(catalog: Catalog, fit: Clustering, folder: str | os.PathLike[str]) -> list[Path]:
    """Centers, membership matrix and histograms."""
    _backend()
    from pysoftcorr import plots

    target = Path(folder).expanduser()
    target.mkdir(parents=True, exist_ok=True)
    figures = {
        "centers": plots.plot_centers(catalog, fit).figure,
        "memberships": plots.plot_memberships(fit).figure,
        "membership_histograms": plots.plot_membership_histograms(fit),
    }
    return [
        plots.save_figure(figure, target / f"{name}.png")  # type: ignore[arg-type]
        for name, figure in figures.items()
    ]


def draw(outcome: Outcome, folder: str | os.PathLike[str]) -> list[Path]:
    """Every figure that the outcome of a command has the data for."""
    _backend()
    from pysoftcorr import plots

    target = Path(folder).expanduser()
    target.mkdir(parents=True, exist_ok=True)
    catalog, bins = outcome.catalogs[0], outcome.result.bins
    figure = plots.plot_correlation_set(outcome.result, naive=outcome.naive)
    saved = [plots.save_figure(figure, target / f"{outcome.result.name}.png")]
    if isinstance(catalog, StarCatalog):
        saved.append(plots.save_figure(plots.plot_star_shapes(catalog), target / "shapes.png"))
    elif catalog.g1 is not None and outcome.result.name == "xi_pm":
        shapes = plots.plot_shapes(catalog).figure
        saved.append(plots.save_figure(shapes, target / "shapes.png"))  # type: ignore[arg-type]
    if outcome.fits:
        saved += draw_clusters(catalog, outcome.fits[0], target)
        if outcome.result[next(iter(outcome.result))].npairs.any():
            crossing = plots.plot_pair_crossing(catalog, outcome.fits[0], bins)
            saved.append(plots.save_figure(crossing, target / "pair_crossing.png"))
    return saved
