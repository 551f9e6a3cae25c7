"""The command ``softcorr`` in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pysoftcorr


def softcorr(
    *arguments: object,
    status: int = 0,
    stdin: str | None = None,
    folder: Path | None = None,
    **env: str,
) -> subprocess.CompletedProcess[str]:
    """Run the command, which must end with `status`; variables of its environment by name.

    `folder` holds the Python package, by default that of the tests.
    """
    package = folder or Path(pysoftcorr.__file__).resolve().parents[1]
    done = subprocess.run(
        [sys.executable, "-m", "pysoftcorr.cli", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(package), **env},
        cwd="/",  # Python would look for the package in the current folder first
        input=stdin,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == status, f"exit status {done.returncode}\n{done.stderr}"
    return done
