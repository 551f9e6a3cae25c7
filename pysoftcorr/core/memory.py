"""Memory that there is, asked before something large is made."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

__all__ = ["available_memory", "refuse_beyond_memory", "size_text"]

#: Below this nobody asks; it is read from the system each time.
_SMALL = 64 * 2**20


def available_memory() -> float:
    """Bytes that this process could still take; infinite where the system does not say."""
    found = [float("inf")]
    with contextlib.suppress(OSError, ValueError, AttributeError):
        found.append(float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")))
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                found.append(1024.0 * int(line.split()[1]))
    with contextlib.suppress(OSError, ValueError):  # a container's; "max" where it has no limit
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii"))
        used = int(Path("/sys/fs/cgroup/memory.current").read_text(encoding="ascii"))
        # What is cached of files counts as used, and is given back when it is needed.
        for line in Path("/sys/fs/cgroup/memory.stat").read_text(encoding="ascii").splitlines():
            if line.startswith(("inactive_file ", "active_file ")):
                used -= int(line.split()[1])
        found.append(float(max(limit - used, 0)))
    return min(found)


def refuse_beyond_memory(what: str, size: float) -> None:
    """ValueError where something takes more memory than there is.

    Parameters
    ----------
    what : str
        Argument and value, as in "bootstrap = 1000".
    size : float
        Bytes.
    """
    if size <= _SMALL:
        return
    there = available_memory()
    if size > there:
        raise ValueError(
            f"{what}: must fit into memory; it would take {size_text(size)}, and "
            f"{size_text(there)} are free"
        )


def size_text(size: float) -> str:
    """``1.5 GB``, ``20 MB``; powers of ten beyond thousands of TB."""
    for unit, factor in (("TB", 1e12), ("GB", 1e9)):
        if size >= factor:
            return f"{size / factor:.3g} {unit}"
    return f"{size / 1e6:.3g} MB"
