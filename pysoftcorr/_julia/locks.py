"""One at a time: a lock between processes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

__all__ = ["Log", "locked"]

Log = Callable[[str], None]


@contextlib.contextmanager
def locked(path: Path, log: Log, what: str) -> Iterator[None]:
    """Hold the lock file `path`; while another process does `what`, say so and wait."""
    import fcntl  # not on every system; nothing but this needs it

    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log(f"another {what} is running: waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
