"""A dask scheduler and its workers, each a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pysoftcorr

__all__ = ["end", "environment", "start_scheduler", "start_workers", "until"]

_FILES = Path(pysoftcorr.__file__).resolve().parents[1]


def environment() -> dict[str, str]:
    """That of this process, with the package in the path."""
    path = os.pathsep.join(filter(None, [str(_FILES), os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PYTHONPATH": path}


def start_scheduler(folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    """A scheduler and its address."""
    file = folder / "scheduler.json"
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1"]
    command += ["--port", "0", "--no-dashboard", "--scheduler-file", str(file)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment())
    until(file.exists, 60)
    until(lambda: file.read_text().strip().endswith("}"), 10)
    return process, json.loads(file.read_text())["address"]


def start_workers(address: str, number: int, folder: Path) -> subprocess.Popen[bytes]:
    """Processes of one thread each."""
    command = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--no-dashboard"]
    command += ["--nworkers", str(number), "--nthreads", "1", "--memory-limit", "0"]
    command += ["--local-directory", str(folder)]
    # Not told how many threads: a task finds out from its worker.
    env = {k: v for k, v in environment().items() if k != "PYSOFTCORR_THREADS"}
    return subprocess.Popen(command, stderr=subprocess.DEVNULL, env=env)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process, killed if need be."""
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def until(happened: Callable[[], bool], seconds: float) -> None:
    """Wait for something, so long at most."""
    last = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < last, "it did not happen in time"
        time.sleep(0.02)
