"""Campaigns: correlations over the training design, on every core or a whole cluster."""

from __future__ import annotations

import errno
import hashlib
import shutil
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr.core.files import HDF5, check_output
from pysoftcorr.core.options import at_least_one
from pysoftcorr.core.random import Seed, root_seed
from pysoftcorr.core.version import __version__
from pysoftcorr.mocks.box import check_edges
from pysoftcorr.mocks.campaign.farm import connected, finished_rows
from pysoftcorr.mocks.campaign.file import Campaign, read_campaign_settings, write_campaign
from pysoftcorr.mocks.campaign.journal import Journal, difference, journal_path, read_settings
from pysoftcorr.mocks.campaign.rows import Plan, record_dtype
from pysoftcorr.mocks.cosmology import Cosmology, matter_correlation
from pysoftcorr.mocks.design import (
    LOG_MMIN_RANGE,
    PARAMETERS,
    log_mmin_range,
    training_design,
)
from pysoftcorr.mocks.halos import HaloCatalog
from pysoftcorr.mocks.hod import HODModel

__all__ = ["XI_LIMIT", "Campaign", "run_campaign"]

FloatArray = npt.NDArray[np.float64]

#: A row with xi above this many times that of matter is dropped (Pandya et al. 2025).
XI_LIMIT = 100.0
_MOST_REALIZATIONS = 100_000


def run_campaign(
    halos: HaloCatalog | str | PathLike[str],
    *,
    points: int | npt.ArrayLike,
    realizations: int,
    out: str | PathLike[str],
    seed: Seed = None,
    sampling: str = "sobol",
    logMmin: tuple[float, float] = LOG_MMIN_RANGE,
    edges: npt.ArrayLike | None = None,
    cosmology: Any = None,
    modulate: bool = False,
    scheduler: str | None = None,
    workers: int | None = None,
    overwrite: bool = False,
) -> Campaign:
    """Populate and correlate halos at every point of a design, with dask.distributed.

    Finished rows go one by one into a journal beside `out` (``OUT.part``). Whatever ends the
    campaign, a kill among it, the same call goes on where it was, and the file is in the end the
    same, bit for bit. `out` is written once every row is there, and the journal removed.

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
        A row follows from the seed and its number alone, whichever worker makes it. None goes on
        with that of an unfinished campaign.
    sampling : str
        "sobol" or "random".
    logMmin : (float, float)
        Range of the design, as of `training_design`.
    edges : array_like, optional
        As of `box_correlations`: by default 20 bins from 0.1 to 16 Mpc/h.
    cosmology : optional
        For the correlation of matter, where the halos do not say theirs.
    modulate : bool
        As of `HODModel`.
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
        If an option makes no campaign, or an unfinished one at this place has other settings:
        the first that differs is named.
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
    target = check_output(out, suffixes=HDF5, overwrite=True)
    if workers is not None:
        workers = at_least_one("workers", workers)
        if scheduler is not None:
            raise ValueError("workers and scheduler are both given: a scheduler has its own")
    if not isinstance(halos, HaloCatalog):
        halos = HaloCatalog.read(halos)
    unfinished = journal_path(target)
    there = read_campaign_settings(target) if target.exists() and not overwrite else None
    if seed is None:
        before = there or (read_settings(unfinished) if not overwrite else None)
        seed = before["seed"] if before else None
    root = root_seed(seed)
    design, described = _design(points, root, sampling, logMmin)
    plan, settings, xi_matter = _plan(
        halos, root, realizations, edges, cosmology, modulate, described
    )
    if there is not None:
        other = difference(settings, there)
        if other is not None:
            raise FileExistsError(
                f"{target} is there already, a campaign of other settings: {other}; choose "
                "another out, or pass overwrite=True to replace it"
            )
        # A kill may have come between the last two steps.
        if read_settings(unfinished) == settings:
            unfinished.unlink()
        return Campaign.read(target)
    if overwrite:
        _discard_other(unfinished, settings)
    dtype = record_dtype(plan.realizations, len(plan.edges) - 1)
    _refuse_without_room(unfinished, dtype.itemsize * len(design))
    with Journal(unfinished, settings, dtype) as journal:
        rows = [row for row in range(len(design)) if row not in journal.done]
        if rows:
            try:
                with (
                    connected(scheduler, workers) as client,
                    _Progress.shown(len(design), len(journal.done)) as progress,
                ):
                    for record in finished_rows(client, halos, plan, design, rows, progress.tick):
                        journal.append(record)
                        progress.advance()
            except KeyboardInterrupt:
                raise KeyboardInterrupt(
                    f"{len(journal.done)} of {len(design)} rows are kept in {unfinished}: give "
                    "the same command again to go on"
                ) from None
        write_campaign(
            target,
            journal.records(),
            parameters=design,
            edges=plan.edges,
            xi_matter=xi_matter,
            settings=settings,
        )
        unfinished.unlink()
    return Campaign.read(target)


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
    return design, {"points": len(design), "sampling": "given", "design": _hash(design)}


def _plan(
    halos: HaloCatalog,
    seed: int,
    realizations: Any,
    edges: Any,
    cosmology: Any,
    modulate: bool,
    described: dict[str, Any],
) -> tuple[Plan, dict[str, Any], FloatArray]:
    number = at_least_one("realizations", realizations)
    if number > _MOST_REALIZATIONS:
        raise ValueError(f"realizations = {number}: must be at most {_MOST_REALIZATIONS:,}")
    if not isinstance(modulate, (bool, np.bool_)):
        raise TypeError(f"modulate = {modulate!r}: must be True or False")
    bins = check_edges(edges, halos.boxsize, periodic=True)
    if bins[0] <= 0:
        raise ValueError("edges must begin above 0: the bins are compared with matter")
    world = cosmology if cosmology is not None else halos.cosmology
    if world is None:
        raise ValueError(
            "the halos do not say their cosmology, which the correlation of matter needs: pass "
            "cosmology='planck18' or another"
        )
    world = Cosmology(world)
    redshift = float(halos.meta.get("redshift") or 0.0)
    xi_matter = matter_correlation(np.sqrt(bins[1:] * bins[:-1]), world, redshift)
    most = np.where(xi_matter > 0, XI_LIMIT * xi_matter, np.inf)
    plan = Plan(seed, number, bins, most, bool(modulate))
    columns = (halos.position, halos.mass, halos.radius, halos.concentration, halos.axis)
    settings = {
        "halos": {
            "number": len(halos),
            "boxsize": halos.boxsize,
            "meta": halos.meta,
            "sha256": _hash(*columns),
        },
        **described,
        "realizations": number,
        "seed": seed,
        "edges": bins.tolist(),
        "modulate": bool(modulate),
        "cosmology": world.to_dict(),
        "redshift": redshift,
        "xi_limit": XI_LIMIT,
        "version": __version__,
    }
    return plan, settings, xi_matter


def _hash(*arrays: npt.NDArray[Any]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _discard_other(unfinished: Path, settings: dict[str, Any]) -> None:
    """Remove a journal of other settings; one of these is gone on with."""
    there = read_settings(unfinished)
    if there is not None and difference(settings, there) is not None:
        unfinished.unlink()


def _refuse_without_room(unfinished: Path, size: int) -> None:
    """OSError where the rows cannot fit on the disk, twice: in the journal and in the file."""
    there = unfinished.stat().st_size if unfinished.exists() else 0
    free = shutil.disk_usage(unfinished.parent).free
    if 2 * size - there > free:
        raise OSError(
            errno.ENOSPC,
            f"the campaign needs {(2 * size - there) / 1e9:.3g} GB, of which {free / 1e9:.3g} GB "
            "are free",
            str(unfinished.parent),
        )


class _Progress:
    """Rows done, and when the rest will be: by the rate over the last minutes."""

    WINDOW = 180.0
    LEAST = 10.0

    def __init__(self, bar: Any, total: int, done: int) -> None:
        self.bar, self.total, self.done = bar, total, done
        self._times = deque([(time.monotonic(), done)])
        self._drawn = 0.0

    @classmethod
    @contextmanager
    def shown(cls, total: int, done: int) -> Iterator[_Progress]:
        """On a terminal only."""
        if sys.stderr is None or not sys.stderr.isatty():
            yield cls(None, total, done)
            return
        from tqdm import tqdm

        form = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} rows [{elapsed}{postfix}]"
        with tqdm(desc="campaign", total=total, initial=done, bar_format=form) as bar:
            yield cls(bar, total, done)

    def advance(self) -> None:
        """One more row."""
        self.done += 1
        self._times.append((time.monotonic(), self.done))

    def tick(self, waiting: str) -> None:
        """Show where things are, at most twice a second."""
        now = time.monotonic()
        if self.bar is None or now - self._drawn < 0.5:
            return
        self._drawn = now
        self.bar.n = self.done
        self.bar.set_postfix_str(waiting or self.estimate(now), refresh=False)
        self.bar.refresh()

    def estimate(self, now: float) -> str:
        """Time left in words; nothing is said before there is something to go by."""
        while len(self._times) > 2 and now - self._times[1][0] > self.WINDOW:
            self._times.popleft()
        start, before = self._times[0]
        made = self.done - before
        if made < 3 or now - start < self.LEAST:
            return "time left: not known yet"
        rate = made / (now - start)
        return f"{3600 * rate:.3g} rows/h, about {_duration((self.total - self.done) / rate)} left"


def _duration(seconds: float) -> str:
    for size, name in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.0f} {name}"
    return f"{seconds:.0f} s"
