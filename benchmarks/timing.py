"""Timing of two ways of doing the same work, in turn, in one process."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class Timed:
    """Seconds of each run."""

    name: str
    seconds: list[float]

    @property
    def median(self) -> float:
        """Median seconds."""
        return statistics.median(self.seconds)


def once(work: Callable[[], object]) -> float:
    """Seconds of one run."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def in_turn(runs: int = 5, warmup: bool = True, **works: Callable[[], object]) -> dict[str, Timed]:
    """Run the works in turn, A B A B ..., so that a machine that slows down slows all alike."""
    if warmup:
        for work in works.values():
            work()
    out = {name: Timed(name, []) for name in works}
    for _ in range(runs):
        for name, work in works.items():
            out[name].seconds.append(once(work))
    return out


def ratio(peer: Timed, ours: Timed) -> str:
    """How many times faster: median, least and most of the ratios run by run."""
    ratios = [p / o for p, o in zip(peer.seconds, ours.seconds, strict=True)]
    return f"{statistics.median(ratios):.1f}x ({min(ratios):.1f} to {max(ratios):.1f})"


def busy_cores(seconds: float = 0.5) -> float:
    """Cores at work while this process waits (Linux; elsewhere the mean of the last minute).

    A load average would still hold what this process itself did before.
    """

    def idle_and_all() -> tuple[int, int]:
        with open("/proc/stat") as file:
            ticks = [int(word) for word in file.readline().split()[1:9]]
        return ticks[3] + ticks[4], sum(ticks)  # idle, and waiting for a disk

    try:
        before = idle_and_all()
        time.sleep(seconds)
        idle, ticks = (b - a for a, b in zip(before, idle_and_all(), strict=True))
    except OSError:
        return os.getloadavg()[0]
    return (os.cpu_count() or 1) * (1 - idle / max(ticks, 1))


def load() -> str:
    """What else the machine is doing, for the end of a line."""
    return f"{busy_cores():.1f} of {os.cpu_count()} cores busy with other work"


def peak_memory(code: str) -> float:
    """Peak resident memory in MB of a new process that runs `code` (Linux).

    Not ``ru_maxrss``: a child inherits that from its parent.
    """
    tail = "; print(open('/proc/self/status').read())"
    status = subprocess.check_output([sys.executable, "-c", code + tail], text=True)
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def heading(title: str) -> None:
    """Title, with the cores that may be used."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    print(f"\n{title} ({cores} cores)")
