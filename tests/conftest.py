"""Shared by all tests."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

import pysoftcorr

Fresh = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def fresh() -> Fresh:
    """Run Python code in a process of its own: ``fresh(code, NAME="value", ok=True)``."""

    def run(
        code: str,
        *,
        ok: bool = True,
        timeout: float = 600,
        folder: Path | None = None,
        stderr: int = subprocess.PIPE,
        **env: str,
    ) -> subprocess.CompletedProcess[str]:
        package = str(Path(pysoftcorr.__file__).resolve().parents[1])
        path = os.pathsep.join(filter(None, [env.pop("PYTHONPATH", ""), package]))
        command = [sys.executable, "-c", textwrap.dedent(code)]
        if folder is not None:  # a file, so that spawned workers can import it
            script = folder / "script.py"
            script.write_text(textwrap.dedent(code))
            command = [sys.executable, str(script)]
        done = subprocess.run(
            command,
            env={**os.environ, "PYTHONPATH": path, **env},
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            timeout=timeout,
            check=False,
        )
        if ok:
            assert done.returncode == 0, f"exit status {done.returncode}\n{done.stderr}"
        return done

    return run
