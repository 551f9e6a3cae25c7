"""Loaded by the workers of a local cluster as they start: dask's preload."""

from __future__ import annotations

import signal
from typing import Any


def dask_setup(worker: Any) -> None:
    """Leave Ctrl-C, which a terminal sends to every process, to the one that ends the workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
