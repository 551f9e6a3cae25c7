"""Campaigns of universes in this process, without workers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from pysoftcorr.mocks.campaign import course
from pysoftcorr.mocks.universes.rows import measure_universe


@contextmanager
def nobody(scheduler, workers):
    """No workers."""
    yield None


def rows_here(client, halos, plan, design, rows, tick, *, task, unit):
    """Rows in this process, in another order than that of the design."""
    for row in reversed(list(rows)):
        yield measure_universe(plan, row, design[row]).tobytes()


@contextmanager
def at_home() -> Iterator[None]:
    """`run_universes` within the block starts no processes."""
    with (
        mock.patch.object(course, "connected", nobody),
        mock.patch.object(course, "finished_rows", rows_here),
        mock.patch.object(course, "refuse_unguarded_script"),
    ):
        yield
