"""The progress bar of a long call."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from pysoftcorr._julia.owner import Watch

__all__ = ["bar"]


@contextlib.contextmanager
def bar(title: str) -> Iterator[Watch | None]:
    """A function that shows (done, total) on a terminal; None where there is no terminal."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    from tqdm import tqdm

    with tqdm(desc=title, total=None, leave=False) as shown:

        def watch(done: int, total: int) -> None:
            if total > 0:
                shown.total = total
                shown.n = min(done, total)
            shown.refresh()

        yield watch
