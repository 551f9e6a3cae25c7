"""Campaigns: correlations over the training design, on every core or a whole cluster."""

from __future__ import annotations

from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr.core.cautions import caution
from pysoftcorr.core.files import HDF5, check_output, fingerprint
from pysoftcorr.core.options import MOST_REALIZATIONS, choice, count, flag
from pysoftcorr.core.random import Seed
from pysoftcorr.core.version import __version__
from pysoftcorr.mocks.box import radial_edges
from pysoftcorr.mocks.campaign.course import Course
from pysoftcorr.mocks.campaign.file import Campaign, read_campaign_settings, write_campaign
from pysoftcorr.mocks.campaign.rows import Plan, record_dtype, work
from pysoftcorr.mocks.checks import box_record
from pysoftcorr.mocks.cosmology import Cosmology, matter_correlation
from pysoftcorr.mocks.design import LOG_MMIN_RANGE, log_mmin_range, training_design
from pysoftcorr.mocks.halos import HaloCatalog
from pysoftcorr.mocks.hod import HOD_PARAMETERS, PARAMETERS, HODModel, check_halos
from pysoftcorr.mocks.satellites import SATELLITES, check_places
from pysoftcorr.mocks.subhalo_places import caution_of_borrowed, part_without_subhalos
from pysoftcorr.sky.binning import Bins

__all__ = ["XI_LIMIT", "Campaign", "run_campaign"]

FloatArray = npt.NDArray[np.float64]

#: A row with xi above this many times that of matter is dropped (Pandya et al. 2025).
XI_LIMIT = 100.0
_LOOKED_AT = 64


def run_campaign(
    halos: HaloCatalog | str | PathLike[str],
    *,
    points: int | npt.ArrayLike,
    realizations: int,
    out: str | PathLike[str],
    seed: Seed = None,
    sampling: str = "sobol",
    logMmin: tuple[float, float] = LOG_MMIN_RANGE,
    bins: Bins | None = None,
    cosmology: Any = None,
    modulate: bool = False,
    satellites: str = "nfw",
    scheduler: str | None = None,
    workers: int | None = None,
    overwrite: bool = False,
) -> Campaign:
    """Populate and correlate halos at every point of a design, with dask.distributed.

    Finished rows go one by one into a journal beside `out` (``OUT.part``). Whatever ends the
    campaign, a kill included, the same call resumes it, and the file is the same in the end, bit
    for bit. `out` is written once every row is there, and the journal removed.

    Parameters
    ----------
    halos : HaloCatalog or path
    points : int or array_like, shape (n, 7)
        Number of points of `training_design`, or points of one's own, with columns mu_cen,
        mu_sat, logMmin, sigma_logM, logM0, logM1, alpha.
    realizations : int
        Catalogs for each point, each with positions and axes of its own.
    out : path
        .h5 or .hdf5.
    seed : int or numpy.random.Generator, optional
        A row follows from the seed and its number alone, whichever worker makes it. None takes
        that of an unfinished campaign, or else a new one.
    sampling : str
        "sobol" or "random".
    logMmin : (float, float)
        Range of the design, as in `training_design`.
    bins : Binning, str or array_like, optional
        Bins in Mpc/h as of `box_correlations`; by default "log:0.1:16:20".
    cosmology : optional
        For the correlation of matter, where the halos do not say theirs.
    modulate : bool
        As in `HODModel`.
    satellites : str
        As in `HODModel`: "nfw", "triaxial" or "subhalos". The file records it, and an emulator
        that is trained with it does.
    scheduler : str, optional
        Address of a running dask scheduler, whose workers have pysoftcorr; by default processes
        on this machine, started for the campaign. A script that starts them must be guarded by
        ``if __name__ == "__main__":``.
    workers : int, optional
        Processes on this machine; one a core by default.
    overwrite : bool
        Replace a campaign of other settings, finished or not.

    Returns
    -------
    Campaign
        Rows are dropped from training, with `kept` False and a `reason`, where in any realization
        there are no galaxies, a bin is empty, or xi is more than 100 times that of matter
        (HALOFIT, at the center of the bin).

    Raises
    ------
    ValueError
        If an option makes no campaign, satellites want subhalos that the halos lack, or an
        unfinished one at this place has other settings: the first that differs is named.
    TypeError
        If an option is of the wrong kind.
    FileExistsError
        If `out` is there, with other settings, and `overwrite` is not set.
    FileNotFoundError
        If there is no such halo catalog.
    ConnectionError
        If the scheduler does not answer or goes away; finished rows are kept.
    OSError
        If nothing can be written, or the disk is full; finished rows are kept.
    MemoryError
        If workers died of some rows; the others are kept.
    RuntimeError
        If a script calls it without a guard, or a row fails for a reason of ours.
    KeyboardInterrupt
        If the call is interrupted; finished rows are kept.

    Examples
    --------
    >>> from pysoftcorr.mocks import HaloCatalog, run_campaign
    >>> halos = HaloCatalog.simulate(100.0, 128, seed=1)  # doctest: +SKIP
    >>> campaign = run_campaign(
    ...     halos, points=64, realizations=10, seed=1, out="train.h5")  # doctest: +SKIP
    >>> campaign.omega[campaign.kept].shape  # doctest: +SKIP
    (35, 10, 20)
    """
    course = Course(
        "run_campaign", check_output(out, suffixes=HDF5, overwrite=True), read_campaign_settings,
        unit="row", scheduler=scheduler, workers=workers, overwrite=overwrite,
    )  # fmt: skip
    if not isinstance(halos, HaloCatalog):
        halos = HaloCatalog.read(halos)
    root = course.seed(seed)
    design, described = _design(points, root, sampling, logMmin)
    check_halos(halos)
    choice("satellites", satellites, SATELLITES)
    _warn_of_halos(halos, design, modulate, satellites)
    plan, settings, xi_matter = _plan(
        halos, root, realizations, bins, cosmology, modulate, satellites, described
    )
    if not course.is_finished(settings):

        def write(records: npt.NDArray[Any]) -> None:
            write_campaign(
                course.target, records, parameters=design, edges=plan.edges, xi_matter=xi_matter,
                settings=settings,
            )  # fmt: skip

        dtype = record_dtype(plan.realizations, len(plan.edges) - 1)
        course.run(settings, dtype, design, plan, write, task=work, halos=halos)
    return Campaign.read(course.target)


def _design(
    points: Any, seed: int, sampling: str, logMmin: tuple[float, float]
) -> tuple[FloatArray, dict[str, Any]]:
    """The points, and what the record says of them."""
    if np.ndim(points) == 0:
        design = training_design(points, seed=seed, sampling=sampling, logMmin=logMmin)
        span = list(log_mmin_range(logMmin))
        return design, {"points": len(design), "sampling": sampling, "logMmin": span}
    try:
        design = np.ascontiguousarray(points, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError("points must be a number, or an array of numbers") from None
    if design.ndim != 2 or design.shape[1] != len(PARAMETERS) or not len(design):
        raise ValueError(
            f"points has shape {design.shape}; it must be (n, {len(PARAMETERS)}): "
            + ", ".join(PARAMETERS)
        )
    for row, point in enumerate(design.tolist()):
        try:
            HODModel(**dict(zip(PARAMETERS, point, strict=True)))
        except ValueError as error:
            raise ValueError(f"points, row {row}: {error}") from None
    return design, {"points": len(design), "sampling": "given", "design": fingerprint(design)}


def _warn_of_halos(halos: HaloCatalog, design: FloatArray, modulate: bool, satellites: str) -> None:
    """Warnings where points of the design want lighter halos, or more subhalos; some are looked at.

    Raises
    ------
    ValueError
        If satellites want subhalos, and there are none.
    """
    check_places(halos, satellites)
    sample = design[:: -(-len(design) // _LOOKED_AT)]
    models = [
        HODModel(**dict(zip(PARAMETERS, point, strict=True)), modulate=modulate)
        for point in sample.tolist()
    ]
    found = [model.unresolved(halos.mass) for model in models]
    many = [fraction for fraction in found if fraction > 0.01]
    if many:
        caution(
            f"points: halos below {halos.mass.min():.3g} Msun/h, the lightest of the catalog, "
            f"would hold more than 1 % of the galaxies at {len(many)} of {len(sample)} points, up "
            f"to {100 * max(many):.2g} %: take lighter halos, or raise the lower end of logMmin"
        )
    if satellites == "subhalos":
        parts = [part_without_subhalos(halos, model.mean_nsat(halos.mass)) for model in models]
        worst = int(np.argmax(parts))
        at = ", ".join(
            f"{n} = {x:.4g}" for n, x in zip(HOD_PARAMETERS, sample[worst][2:], strict=True)
        )
        caution_of_borrowed(parts[worst], f"at {at}, the worst of {len(sample)} points, ")


def _plan(
    halos: HaloCatalog,
    seed: int,
    realizations: Any,
    bins: Any,
    cosmology: Any,
    modulate: bool,
    satellites: str,
    described: dict[str, Any],
) -> tuple[Plan, dict[str, Any], FloatArray]:
    number = count("realizations", realizations, most=MOST_REALIZATIONS)
    modulate = flag("modulate", modulate)
    edges = radial_edges(bins, halos.boxsize)
    if edges[0] <= 0:
        raise ValueError("bins must begin above 0: the bins are compared with matter")
    world = cosmology if cosmology is not None else halos.cosmology
    if world is None:
        raise ValueError(
            "the halos do not say their cosmology, which the correlation of matter needs: pass "
            "cosmology='planck18' or another"
        )
    world = Cosmology(world)
    redshift = float(halos.meta.get("redshift") or 0.0)
    xi_matter = matter_correlation(np.sqrt(edges[1:] * edges[:-1]), world, redshift)
    most = np.where(xi_matter > 0, XI_LIMIT * xi_matter, np.inf)
    plan = Plan(seed, number, edges, most, modulate, satellites)
    settings = {
        "halos": {
            "number": len(halos),
            "boxsize": box_record(halos.boxsize),
            "meta": halos.meta,
            "fingerprint": halos.fingerprint,
        },
        **described,
        "realizations": number,
        "seed": seed,
        "edges": edges.tolist(),
        "modulate": modulate,
        "satellites": satellites,
        "cosmology": world.to_dict(),
        "redshift": redshift,
        "xi_limit": XI_LIMIT,
        "version": __version__,
    }
    return plan, settings, xi_matter
