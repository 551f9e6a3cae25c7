"""The work of ``rho``, ``xi`` and ``wtheta``: read, cluster, measure, weigh the errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pysoftcorr.sky.assessment import Finding, find
from pysoftcorr.sky.binning import Binning
from pysoftcorr.sky.catalog import Catalog
from pysoftcorr.sky.clustering import Clustering, SoftClustering
from pysoftcorr.sky.correlation import landy_szalay, rho_statistics, xi_pm
from pysoftcorr.sky.result import CorrelationSet
from pysoftcorr.sky.stars import StarCatalog

_READING = ("columns", "hdu", "key", "select", "flag", "on_bad", "ra_unit", "dec_unit")
_FLIPS = ("flip_g1", "flip_g2")
_RESAMPLING = ("bootstrap", "jackknife", "leave_out")


@dataclass(frozen=True)
class Outcome:
    """What a command has found."""

    settings: dict[str, Any]
    catalogs: list[Catalog]
    fits: list[Clustering]
    result: CorrelationSet
    naive: CorrelationSet | None
    finding: Finding | None


def read(
    path: str, settings: Mapping[str, Any], kind: type[Catalog], *, flips: bool = True
) -> Catalog:
    """The catalog in a file, as the settings say."""
    names = (*_READING, *_FLIPS) if flips else _READING
    options = {name: settings[name] for name in names}
    return kind.read(path, **options)


def clustering(settings: Mapping[str, Any]) -> SoftClustering:
    """The clustering that the settings ask for."""
    return SoftClustering(
        n_clusters=settings["clusters"],
        fuzziness=settings["fuzziness"],
        geometry=settings["geometry"],
        max_iter=settings["max_iter"],
        seed=settings["seed"],
    )


def resamples(settings: Mapping[str, Any], explicit: set[str]) -> dict[str, Any]:
    """How often to sample and to resample: one way asked for replaces the default one.

    Without clusters there is nothing to sample, and TreeCorr gives no errors: the defaults then
    give way too, while what was asked for is left for the estimators to refuse.
    """
    chosen = {name: settings[name] for name in ("samples", *_RESAMPLING)}
    others = any(name in explicit and settings[name] for name in ("jackknife", "leave_out"))
    treecorr = settings["method"] == "treecorr"
    if "bootstrap" not in explicit and (others or treecorr):
        chosen["bootstrap"] = 0
    if "samples" not in explicit and (not settings["clusters"] or treecorr):
        chosen["samples"] = 0
    chosen["leave_out"] = chosen["leave_out"] or None
    return chosen


def measure(command: str, paths: Sequence[str], settings: Mapping[str, Any],
            explicit: set[str]) -> Outcome:  # fmt: skip
    """Run a command's work.

    Parameters
    ----------
    command : {"rho", "xi", "wtheta"}
    paths : sequence of str
        Its catalogs.
    settings, explicit
        See `pysoftcorr.cli.settings.resolve`.

    Raises
    ------
    ValueError, TypeError, OSError
        Whatever is wrong with the catalogs or the settings.
    """
    bins = Binning.parse(settings["bins"], settings["unit"])
    soft = clustering(settings) if settings["clusters"] else None
    kind = StarCatalog if command == "rho" else Catalog
    catalogs = [read(path, settings, kind, flips=command != "wtheta") for path in paths]
    estimator, more = _estimator(command, settings)
    again = resamples(settings, explicit)
    if settings["method"] == "treecorr" and "clusters" not in explicit:
        soft = None
    fits = [] if soft is None else [soft.fit(catalog) for catalog in catalogs]

    def estimate(fitted: list[Clustering], **options: Any) -> CorrelationSet:
        clusters = None if not fitted else tuple(fitted)
        return estimator(*catalogs, bins, clusters=clusters, seed=settings["seed"],
                         method=settings["method"], **more, **options)  # fmt: skip

    result = estimate(fits, assignment=settings["assignment"] if fits else "greedy", **again)
    naive = finding = None
    if fits and settings["naive"]:
        naive = estimate([])
        broad = estimate(fits, assignment="soft")
        finding = find(result, naive=naive, soft=broad)
    elif fits:
        finding = find(result)
    return Outcome(dict(settings), catalogs, fits, result, naive, finding)


def _estimator(
    command: str, settings: Mapping[str, Any]
) -> tuple[Callable[..., CorrelationSet], dict[str, Any]]:
    if command == "rho":
        return rho_statistics, {"reference": settings["reference"]}
    return {"xi": xi_pm, "wtheta": landy_szalay}[command], {}


def document(outcome: Outcome) -> dict[str, Any]:
    """What ``--json`` prints: the statistics by name, then how they were made."""
    result = outcome.result
    return {
        **result.to_dict(),
        "bins": result.bins.to_dict(),
        "finding": None if outcome.finding is None else outcome.finding.to_dict(),
        "settings": {"command": outcome.settings, **result.settings},
        "seed": result.seed,
        "version": result.version,
    }
