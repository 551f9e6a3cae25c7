"""Ctrl-C after a while, sent as a terminal sends it: to a command and all that it started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pysoftcorr


@dataclass(frozen=True)
class Interrupted:
    """How a command ended after Ctrl-C: exit status, seconds that it took, what it said."""

    code: int
    seconds: float
    out: str
    err: str
    left: tuple[int, ...]

    @property
    def fault(self) -> str:
        """Empty where it ended as it should: one line, status 130, no process left."""
        lines = [line for line in self.err.replace("\r", "\n").splitlines() if line.strip()]
        said = [line for line in lines if line.startswith("interrupted: ")]
        told = ("interrupted: ", "warning: ", "diffhod: ", "julia: ")
        if self.code == 0 and not said:
            return ""  # it was through before
        if "Traceback" in self.err or "Exception ignored" in self.err:
            return f"traceback: {self.err[-600:]}"
        if self.left:
            return f"{len(self.left)} processes left"
        if self.code != 130 or len(said) != 1:
            return f"status {self.code}, {len(said)} lines: {self.err[-300:]}"
        other = [line for line in lines if not line.startswith(told)]
        return f"said: {other[:3]}" if other else ""


def interrupted(
    arguments: Sequence[object], after: float, folder: Path, *, limit: float = 60.0
) -> Interrupted:
    """Start ``softcorr`` with these arguments, and press Ctrl-C after so many seconds."""
    package = str(Path(pysoftcorr.__file__).resolve().parents[1])
    command = [sys.executable, "-m", "pysoftcorr.cli", *map(str, arguments)]
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": package},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Where the tests run in the background, Ctrl-C is ignored, and so it would be here.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        out, err = process.communicate(timeout=after)
        return Interrupted(process.returncode, 0.0, out, err, ())
    except subprocess.TimeoutExpired:
        pass
    begun = time.monotonic()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
    try:
        code = process.wait(timeout=limit)
        seconds = time.monotonic() - begun
        time.sleep(0.3)
        left = tuple(_of_session(process.pid))
        out, err = process.communicate(timeout=5) if not left else ("", "")
    finally:
        for pid in _of_session(process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    return Interrupted(code, seconds, out, err, left)


def _of_session(session: int) -> Iterator[int]:
    """Processes of a session that still run."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                if int(fields[3]) == session and fields[0] != "Z":
                    yield int(entry.name)
