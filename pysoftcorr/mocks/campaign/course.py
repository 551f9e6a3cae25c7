"""The course of a campaign of any kind: what is there already, a journal, rows from workers."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from pysoftcorr._julia.errors import JuliaUnavailable
from pysoftcorr.core.farm.connection import check_workers, connected
from pysoftcorr.core.farm.tasks import Shared, Tick, Words, finished
from pysoftcorr.core.processes import refuse_unguarded_script
from pysoftcorr.core.random import Seed, root_seed
from pysoftcorr.mocks.campaign.journal import (
    DamagedJournal,
    Journal,
    difference,
    journal_path,
    read_settings,
)
from pysoftcorr.mocks.campaign.rows import work
from pysoftcorr.mocks.halos import HaloCatalog

__all__ = ["Course", "finished_rows"]


class Course:
    """A campaign at one place, from its start or from where an unfinished one was broken off.

    Parameters
    ----------
    name : str
        Of the function that runs it, for messages.
    target : Path
        The file that it will be.
    finished : callable
        Reads the settings of such a file.
    unit : str
        What a row is, for messages: "row".
    scheduler, workers, overwrite
        As of `pysoftcorr.mocks.campaign.run.run_campaign`.

    Raises
    ------
    ValueError, TypeError
        If workers are not a number of processes, or a scheduler is given too.
    """

    def __init__(
        self, name: str, target: Path, finished: Callable[[Path], dict[str, Any]], *, unit: str,
        scheduler: str | None, workers: int | None, overwrite: bool,
    ) -> None:  # fmt: skip
        workers = check_workers(scheduler, workers)
        self.name, self.target, self.unit = name, target, unit
        self.scheduler, self.workers, self.overwrite = scheduler, workers, overwrite
        self.unfinished = journal_path(target)
        self._there = finished(target) if target.exists() and not overwrite else None

    def seed(self, seed: Seed) -> int:
        """A seed as given; for None that of the campaign that is there, or else a new one."""
        if seed is None:
            known = self._there or (None if self.overwrite else read_settings(self.unfinished))
            seed = known["seed"] if known else None
        return root_seed(seed)

    def is_finished(self, settings: dict[str, Any]) -> bool:
        """Whether the file is there, of these settings; FileExistsError if of others."""
        if self._there is None:
            return False
        other = difference(settings, self._there)
        if other is not None:
            raise FileExistsError(
                f"{self.target} is there already, a campaign of other settings: {other}; choose "
                "another out, or pass overwrite=True to replace it"
            )
        # A kill may have come between the last two steps.
        if read_settings(self.unfinished) == settings:
            self.unfinished.unlink()
        return True

    def run(
        self,
        settings: dict[str, Any],
        dtype: np.dtype[Any],
        design: npt.NDArray[Any],
        plan: Any,
        write: Callable[[npt.NDArray[Any]], None],
        *,
        task: Callable[..., bytes],
        halos: HaloCatalog | None = None,
    ) -> None:
        """Have the rows of a design made that are not in the journal, and the file written of all.

        Parameters
        ----------
        settings : dict
            Everything that the campaign follows from.
        dtype : dtype
            Of a record of the journal.
        design : ndarray
            A row is ``task(halos, plan, row, design[row])``, in a worker.
        plan : object
        write : callable
            Writes the file of all records.
        task : callable
        halos : HaloCatalog, optional
        """
        if self.scheduler is None:
            refuse_unguarded_script(self.name)
        if self.overwrite:
            self._discard_other(settings)
        self._refuse_without_room(dtype.itemsize * len(design))
        with Journal(self.unfinished, settings, dtype) as journal:
            rows = [row for row in range(len(design)) if row not in journal.done]
            if rows:
                try:
                    with (
                        connected(self.scheduler, self.workers) as client,
                        tqdm(
                            total=len(design), initial=len(journal.done),
                            desc=self.name.removeprefix("run_"), unit=self.unit, smoothing=0.02,
                            disable=None,  # on a terminal alone
                        ) as bar,
                    ):  # fmt: skip
                        tick = bar.set_postfix_str
                        for record in finished_rows(
                            client, halos, plan, design, rows, tick, task=task, unit=self.unit
                        ):
                            journal.append(record)
                            bar.update()
                except KeyboardInterrupt:
                    raise KeyboardInterrupt(
                        f"{len(journal.done)} of {len(design)} {self.unit}s are kept in "
                        f"{self.unfinished}: give the same command again to resume"
                    ) from None
            write(journal.records())
            self.unfinished.unlink()

    def _discard_other(self, settings: dict[str, Any]) -> None:
        """Remove a journal of other settings; one of these settings is resumed."""
        try:
            there = read_settings(self.unfinished)
            other = there is not None and difference(settings, there) is not None
        except DamagedJournal:
            other = True
        if other:
            self.unfinished.unlink()

    def _refuse_without_room(self, size: int) -> None:
        """OSError where the rows cannot fit on the disk, twice: in the journal and in the file."""
        there = self.unfinished.stat().st_size if self.unfinished.exists() else 0
        free = shutil.disk_usage(self.unfinished.parent).free
        if 2 * size - there > free:
            raise OSError(
                errno.ENOSPC,
                f"the campaign needs {(2 * size - there) / 1e9:.3g} GB, of which "
                f"{free / 1e9:.3g} GB are free",
                str(self.unfinished.parent),
            )


def finished_rows(
    client: Any,
    halos: HaloCatalog | None,
    plan: Any,
    design: npt.NDArray[Any],
    rows: Sequence[int],
    tick: Tick,
    *,
    task: Callable[..., bytes] = work,
    unit: str = "row",
) -> Iterator[bytes]:
    """Records of `rows` in the order in which workers finish them.

    A row is ``task(halos, plan, row, design[row])``, in a worker.

    Raises
    ------
    ConnectionError
        If the scheduler goes away.
    MemoryError
        At the end, if workers died of some rows.
    RuntimeError
        If a row fails for a reason of ours.
    """
    words = Words(
        unit,
        f"{unit}s finished before are kept: give the same command again to resume",
        "All others are kept; give the same command again with fewer workers, or on more memory",
    )

    def failed(row: int, error: BaseException) -> BaseException:
        if isinstance(error, (JuliaUnavailable, MemoryError)):
            return error
        return RuntimeError(
            f"{unit} {row} failed: {type(error).__name__}: {error}; finished {unit}s are kept"
        )

    found = finished(
        client, task, [Shared(halos)], lambda row: (plan, row, design[row]), rows, tick,
        words=words, failed=failed,
    )  # fmt: skip
    for _, record in found:
        yield record
