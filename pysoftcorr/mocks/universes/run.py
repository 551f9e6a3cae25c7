"""Campaigns of universes: simulated, tabulated and asked, on every core or a whole cluster."""

from __future__ import annotations

from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr.core.files import HDF5, check_output
from pysoftcorr.core.options import choice, count, integer, number, positive
from pysoftcorr.core.random import Seed
from pysoftcorr.core.version import __version__
from pysoftcorr.mocks.box import radial_edges
from pysoftcorr.mocks.campaign.course import Course
from pysoftcorr.mocks.design import log_mmin_range
from pysoftcorr.mocks.simulate import MESH_MAX, MESH_MIN
from pysoftcorr.mocks.universes.design import RANGES, universe_design
from pysoftcorr.mocks.universes.file import Universes, read_universes_settings, write_universes
from pysoftcorr.mocks.universes.rows import UniversePlan, universe_dtype, work
from pysoftcorr.sky.binning import Bins

__all__ = ["run_universes"]

#: Boxes smaller than this do not hold the pairs of clusters out to the usual last edge.
_SMALLEST = 50.0
_SATELLITES = ("triaxial", "nfw")


def run_universes(
    universes: int = 64,
    *,
    out: str | PathLike[str],
    points: int = 512,
    seed: Seed = None,
    boxsize: float = 250.0,
    mesh: int = 160,
    mmin: float = 1e10,
    thinned: tuple[float, float] = (1e12, 0.05),
    logMmin: tuple[float, float] = (11.0, 14.0),
    satellites: str = "triaxial",
    places: int = 4,
    chance_points: int = 96,
    sites: int = 400,
    bins: Bins | None = None,
    scheduler: str | None = None,
    workers: int | None = None,
    overwrite: bool = False,
) -> Universes:
    """Simulate universes over Omega_m, sigma_8 and z, tabulate each, and ask it at many HODs.

    Finished universes go one by one into a journal beside `out` (``OUT.part``): whatever ends the
    campaign, the same call resumes it, and the file is the same in the end, bit for bit. Halos are
    not kept.

    Parameters
    ----------
    universes : int
        Points of `universe_design`; a power of two makes it a Latin hypercube.
    out : path
        .h5 or .hdf5.
    points : int
        HODs of `training_design` in each universe, of its own.
    seed : int or numpy.random.Generator, optional
        A universe follows from the seed and its number alone, whichever worker makes it. None takes
        that of an unfinished campaign, or else a new one.
    boxsize : float
        Side of each box, Mpc/h.
    mesh : int
        As of `HaloCatalog.simulate`.
    mmin : float
        Lightest halos, Msun/h.
    thinned : (float, float)
        Below this mass (Msun/h), only this part of the halos is made, at random, and counts for
        all: of light halos there are more than the means need. A part of 1 makes all.
    logMmin : (float, float)
        Range of the HODs, as in `training_design`.
    satellites : {"triaxial", "nfw"}
        Where satellites live, as of `HODModel`: in the ellipsoids of halos, or in spheres. On
        subhalos they have no covariance given the halos, which a model learns its errors from.
    places : int
        As of `HaloTables.tabulate`, for satellites in ellipsoids.
    chance_points : int
        HODs of each universe where the covariance given the halos is found.
    sites : int
        As of `HaloTables.tabulate`, for that covariance. Where light halos are thinned, HODs that
        live in them have sites in a box of 125 Mpc/h with all of its halos.
    bins : Binning, str or array_like, optional
        Mpc/h; by default "log:0.1:16:20".
    scheduler : str, optional
        Address of a running dask scheduler, whose workers have pysoftcorr; by default processes
        on this machine. A script that starts them must be guarded by
        ``if __name__ == "__main__":``.
    workers : int, optional
        Processes on this machine; one a core by default.
    overwrite : bool
        Replace a campaign of other settings, finished or not.

    Returns
    -------
    Universes

    Raises
    ------
    ValueError
        If an option makes no campaign, or an unfinished one at this place has other settings: the
        first that differs is named.
    TypeError
        If an option is of the wrong kind.
    FileExistsError
        If `out` is there, with other settings, and `overwrite` is not set.
    ConnectionError
        If the scheduler does not answer or goes away; finished universes are kept.
    OSError
        If nothing can be written, or the disk is full; finished universes are kept.
    KeyboardInterrupt
        If the call is interrupted; finished universes are kept.

    Examples
    --------
    >>> from pysoftcorr.mocks import run_universes
    >>> universes = run_universes(64, out="universes.h5", seed=1)  # doctest: +SKIP
    >>> universes.xi.shape  # doctest: +SKIP
    (64, 512, 20)
    """
    course = Course(
        "run_universes", check_output(out, suffixes=HDF5, overwrite=True), read_universes_settings,
        unit="universe", scheduler=scheduler, workers=workers, overwrite=overwrite,
    )  # fmt: skip
    root = course.seed(seed)
    design = universe_design(universes, seed=root)
    plan = _plan(
        root, points, chance_points, bins, boxsize, mesh, mmin, thinned, logMmin, satellites,
        places, sites,
    )  # fmt: skip
    settings = _settings(plan, len(design))
    if not course.is_finished(settings):

        def write(records: npt.NDArray[Any]) -> None:
            write_universes(
                course.target, records, worlds=design, edges=plan.edges, settings=settings
            )

        course.run(settings, universe_dtype(plan), design, plan, write, task=work)
    return Universes.read(course.target)


def _plan(
    seed: int, points: Any, chance_points: Any, bins: Any, boxsize: Any, mesh: Any, mmin: Any,
    thinned: Any, logMmin: Any, satellites: Any, places: Any, sites: Any,
) -> UniversePlan:  # fmt: skip
    """Checked settings."""
    n = count("points", points, most=100_000)
    side = number("boxsize", boxsize, least=_SMALLEST)
    try:
        light, part = thinned
    except (TypeError, ValueError):
        raise TypeError(f"thinned = {thinned!r}: must be a mass and a part of 1") from None
    light, part = positive("thinned: mass", light), number("thinned: part", part, most=1, above=0)
    lightest = positive("mmin", mmin)
    if not light > lightest:
        raise ValueError(f"thinned = {light:g}: must be above mmin = {lightest:g}")
    edges = radial_edges(bins, side)
    known = integer("chance_points", chance_points, least=1, most=n)
    return UniversePlan(
        seed, n, known, edges, side, integer("mesh", mesh, least=MESH_MIN, most=MESH_MAX),
        lightest, (light, part), log_mmin_range(logMmin),
        choice("satellites", satellites, _SATELLITES),
        integer("places", places, least=3, most=1000), integer("sites", sites, least=16),
    )  # fmt: skip


def _settings(plan: UniversePlan, universes: int) -> dict[str, Any]:
    """Everything that the campaign follows from."""
    return {
        "universes": universes,
        "ranges": {name: list(span) for name, span in RANGES.items()},
        "points": plan.points,
        "chance_points": plan.chance_points,
        "seed": plan.seed,
        "boxsize": plan.boxsize,
        "halos": {
            "boxsize": plan.boxsize,
            "meta": {"source": "HaloCatalog.simulate", "mesh": plan.mesh, "mmin": plan.mmin,
                     "thinned": list(plan.thinned), "mdef": "vir"},
        },
        "places": plan.places,
        "sites": plan.sites,
        "logMmin": list(plan.logMmin),
        "edges": np.asarray(plan.edges).tolist(),
        "satellites": plan.satellites,
        "version": __version__,
    }  # fmt: skip
