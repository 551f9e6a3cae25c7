"""The command ``tau``: tau statistics of galaxies and stars, and the leakage that they show."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pysoftcorr.cli import cluster, output, reading
from pysoftcorr.cli.common import (
    BINS,
    FORMAT,
    OVERWRITE,
    PLOT,
    PLOT_STYLE,
    SEED,
    THREADS,
    UNIT,
    WORKERS,
    out,
)
from pysoftcorr.cli.options import Argument, Command, Option, arguments, derive

if TYPE_CHECKING:
    from pysoftcorr.sky.catalog import Catalog
    from pysoftcorr.sky.leakage import Leakage
    from pysoftcorr.sky.result import CorrelationSet

_TAU, _FIT = "pysoftcorr.sky.tau:tau_statistics", "pysoftcorr.sky.leakage:fit_leakage"
_MEASURING = derive(
    _TAU, skip=("galaxies", "stars"),
    bins={"default": "log:1:50:6", "help": BINS},
    reference={"help": "Fields of the PSF: e of the model and size residual of the star (gatti), "
               "or both of the star, or both of the model."},
    subtract_mean={"help": "Subtract the mean of every field first."},
    clusters={"kind": int, "default": 0, "least": 0, "metavar": "N",
              "help": "Number of soft clusters; 0: all pairs of objects."},
    assignments={"least": 0, "help": "Sampled cluster assignments for the epistemic error; 0: "
                 "none. All pairs have none."},
    resampling={"default": "jackknife:50", "help": "Resampling of the objects for the covariance: "
                "jackknife:N (N patches), bootstrap:N, leave-out:FRACTION:N, or none, which "
                "leaves out the fit."},
    seed={"default": SEED.default, "least": SEED.least, "help": SEED.help},
    **WORKERS,
)  # fmt: skip
_FITTING = (
    *derive(
        _FIT, skip=("result", "seed"),
        terms={"kind": list, "default": None, "metavar": "TERM,...", "help": "Parameters to fit, "
               "of alpha, beta and eta; the others are 0. All by default."},
        covariance={"kind": str, "choices": ("joint", "tau"), "metavar": None,
                    "help": "joint: rho is as noisy as its resamples say; tau: rho is taken as "
                    "exact."},
        hartlap={"help": "Correct for the finite number of resamples (Hartlap et al. 2007; "
                 "Percival et al. 2014)."},
        n_samples={"default": 1000, "least": 0, "help": "Fits to data drawn anew about the best "
                   "one, for the contours of the figure; 0: none."},
    ),
    Option("leakage", str, None, "Write the fit: .h5.", metavar="FILE"),
)  # fmt: skip


def tau(
    galaxies: str, stars: str, *, settings: Mapping[str, Any], explicit: set[str], as_json: bool
) -> dict[str, Any]:
    """Tau statistics of galaxies and stars, and the leakage of the PSF into galaxy shapes.

    Options of reading are those of GALAXIES; STARS have their own, --stars-columns and the like.
    The fit gives alpha, beta and eta of e_gal = gamma + alpha p + beta q + eta w, and what they
    add to xi+.
    """
    output.use_threads(settings["threads"])
    from pysoftcorr.core.files import HDF5, check_output

    output.check_result(settings)
    if settings["leakage"] is not None:
        check_output(settings["leakage"], suffixes=HDF5, overwrite=settings["overwrite"])
    catalogs, result = _measure(galaxies, stars, settings, explicit)
    fitted = _fit(result, settings, explicit)
    files: list[Any] = []
    if settings["out"] is not None:
        result.write(settings["out"], format=settings["format"], overwrite=settings["overwrite"])
        files.append(settings["out"])
    if settings["leakage"] is not None and fitted is not None:
        fitted.write(settings["leakage"], overwrite=settings["overwrite"])
        files.append(settings["leakage"])
    style = settings["plot_style"]
    files += output.draw(settings, lambda plots: _figures(plots, catalogs, result, fitted, style))
    if not as_json:
        for catalog in catalogs:
            print(catalog.summary(), end="\n\n")
        print(result.summary())
        if fitted is not None:
            print(f"\n{fitted.summary()}")
    output.wrote(files)
    return {
        **result.to_dict(),
        "leakage": None if fitted is None else fitted.to_dict(),
        "bins": result.bins.to_dict(),
        "settings": {"command": dict(settings), **result.settings},
        "seed": result.seed,
        "version": result.version,
    }


def _measure(
    galaxies: str, stars: str, settings: Mapping[str, Any], explicit: set[str]
) -> tuple[list[Catalog], CorrelationSet]:
    """Both catalogs and their statistics."""
    from pysoftcorr.sky.binning import Binning
    from pysoftcorr.sky.catalog import Catalog
    from pysoftcorr.sky.stars import StarCatalog
    from pysoftcorr.sky.tau import tau_statistics

    bins = Binning.parse(settings["bins"], settings["unit"])
    cluster.check_split("tau_statistics", bins, settings["split"])
    first, own = reading.read(galaxies, settings, Catalog, shears=True)
    second, others = reading.read(stars, settings, StarCatalog, prefix="stars")
    assert isinstance(second, StarCatalog)
    resampling = reading.resampling(
        settings["resampling"] if "resampling" in explicit else "", [own, others], ["", "stars"]
    )
    if resampling == "":
        resampling = settings["resampling"]
    clusters = None
    if settings["clusters"]:
        soft = cluster.soft_clustering(settings)
        clusters = (soft.fit(first), soft.fit(second))
    handed = {
        o.name: settings[o.name] for o in _MEASURING if o.name in arguments(_TAU)
    } | {"bins": bins, "clusters": clusters, "resampling": resampling}  # fmt: skip
    result: CorrelationSet = tau_statistics(first, second, **handed)
    return [first, second], result


def _fit(result: CorrelationSet, settings: Mapping[str, Any], explicit: set[str]) -> Leakage | None:
    """The fit; where none of its options was asked for, None if there can be none."""
    from pysoftcorr.sky.leakage import TERMS, fit_leakage

    options = {o.name: settings[o.name] for o in _FITTING if o.name in arguments(_FIT)}
    options["terms"] = options["terms"] or TERMS
    wanted = sorted(explicit & {o.name for o in _FITTING})
    if result.tau0.aleatoric is None and result.tau0.epistemic is None:
        if wanted:
            raise ValueError(
                f"resampling = none: leaves no covariance to fit with, which "
                f"--{wanted[0].replace('_', '-')} is for"
            )
        return None
    try:
        return fit_leakage(result, seed=settings["seed"], **options)
    except ValueError as error:
        if wanted:
            raise
        # The statistics are worth as much without.
        warnings.warn(f"no leakage was fitted: {error}", stacklevel=2)
        return None


def _figures(
    plots: Any,
    catalogs: list[Catalog],
    result: CorrelationSet,
    fitted: Leakage | None,
    style: str,
) -> output.Figures:
    """The tau statistics, the contours, what leaks into xi+, the rho statistics, the covariance."""
    rho, tau = (
        {name: item for name, item in result.items() if name.startswith(kind)}
        for kind in ("rho", "tau")
    )
    figures: dict[str, Any] = {
        "tau": lambda: (
            plots.plot_tau(result if fitted is None else fitted)
            if style == "default"
            else plots.plot_correlation_set(tau, style=style)
        )
    }
    if fitted is not None:
        if math.isfinite(fitted.covariance.sum()):
            figures["leakage"] = lambda: plots.plot_leakage(fitted)
        figures["contamination"] = lambda: plots.plot_contamination(
            fitted, xip=_xip(catalogs[0], result)
        )
    figures["rho"] = lambda: plots.plot_correlation_set(rho, style=style)
    if result.tau0.cov is not None:
        figures["covariance"] = lambda: plots.plot_covariance(result)
    return figures


def _xip(galaxies: Catalog, result: CorrelationSet) -> Any:
    """xi+ of the galaxies, which their leakage is compared with: of the same shapes as tau."""
    import numpy as np

    from pysoftcorr.sky.correlation import xi_pm

    how = result.settings
    shapes = galaxies.e / how["response"]
    if how["subtract_mean"]:
        shapes = shapes - np.average(shapes, weights=galaxies.w)
    return xi_pm(
        galaxies.replace(g1=shapes.real, g2=shapes.imag), result.bins,
        coincident=how["coincident"], method=how["method"],
    ).xip  # fmt: skip


COMMANDS = {
    "tau": Command(
        tau,
        (
            Argument("galaxies", "Positions and shears."),
            Argument("stars", "Stars and PSF model."),
        ),
        (
            _MEASURING[0], UNIT, *_MEASURING[1:], *cluster.CLUSTERING, *_FITTING,
            *reading.options(shears=True), *reading.options(shears=True, prefix="stars"),
            THREADS, out("Write the statistics: .h5, .fits, .ecsv or .sacc."),
            # No file of TreeCorr holds all nine.
            replace(FORMAT, choices=("sacc",)), OVERWRITE, *PLOT, PLOT_STYLE,
        ),
    ),
}  # fmt: skip
