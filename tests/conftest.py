"""Shared by all tests."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import pysoftcorr
from helpers.dask_workers import end, start_scheduler, start_workers
from pysoftcorr.cli import main

Fresh = Callable[..., subprocess.CompletedProcess[str]]
Run = Callable[..., tuple[int, str, str]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what starts processes with a Julia of their own as slow."""
    for item in items:
        if {"fresh", "scheduler"}.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)


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


@pytest.fixture(scope="session")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a scheduler with two workers, each a process of its own."""
    folder = tmp_path_factory.mktemp("dask")
    process, address = start_scheduler(folder)
    workers = start_workers(address, 2, folder)
    try:
        yield address
    finally:
        end(workers)
        end(process)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in this process: exit status, stdout, stderr."""
    monkeypatch.setenv("PYSOFTCORR_THREADS", os.environ.get("PYSOFTCORR_THREADS", "2"))

    def inner(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            main([str(a) for a in arguments])
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return left.value.code, said.out, said.err

    return inner


@pytest.fixture
def fails(run: Run) -> Callable[..., str]:
    """Run a command that must fail in one line; gives the line."""

    def inner(*arguments: object) -> str:
        code, out, err = run(*arguments)
        assert (code, out) == (2, ""), err
        lines = [line for line in err.splitlines() if not line.startswith("warning: ")]
        assert len(lines) == 1, err
        assert lines[0].startswith("error: ")
        return lines[0]

    return inner
