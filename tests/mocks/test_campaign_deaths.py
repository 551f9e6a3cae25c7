"""Campaigns whose workers die, and scripts that would start themselves again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import pysoftcorr
from pysoftcorr.core.farm import connection, tasks
from pysoftcorr.mocks import HaloCatalog, training_design
from pysoftcorr.mocks.campaign.course import finished_rows
from pysoftcorr.mocks.campaign.rows import Plan, measure_row

EDGES = np.geomspace(0.3, 9.0, 5)
PLAN = Plan(3, 1, EDGES, np.full(4, np.inf))
ROWS = list(range(12))


@pytest.fixture(scope="module")
def halos() -> HaloCatalog:
    return HaloCatalog.simulate(40.0, 32, mmin=3e11, seed=1)


@pytest.fixture(scope="module")
def whole(halos: HaloCatalog) -> list[bytes]:
    design = training_design(len(ROWS), seed=3)
    return [measure_row(halos, PLAN, row, design[row]).tobytes() for row in ROWS]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with connection.connected(None, 2) as client:
        yield client


def _kill(client: Any, number: int) -> None:
    """Kill workers, the ones that hold a row among them; the nannies start others."""
    for pid in list(client.run(os.getpid).values())[:number]:
        os.kill(pid, signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.parametrize("at", [(1,), pytest.param((3, 9), marks=pytest.mark.long)])
def test_a_row_that_dies_with_its_worker_is_made_again(
    halos: HaloCatalog,
    whole: list[bytes],
    cluster: Any,
    at: tuple[int, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    collected = 0
    fetched = tasks._Flight.fetched

    def killed_before(self: Any, future: Any) -> Any:
        nonlocal collected
        collected += 1
        if collected in at:
            _kill(cluster, 2)
        return fetched(self, future)

    monkeypatch.setattr(tasks._Flight, "fetched", killed_before)
    design = training_design(len(ROWS), seed=3)
    found = list(finished_rows(cluster, halos, PLAN, design, ROWS, lambda text: None))
    assert collected > len(ROWS) - 1
    assert sorted(found) == sorted(whole)  # each row once, the same bits


def test_workers_of_this_machine_that_stay_away_end_the_campaign(
    halos: HaloCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub: Any = _Stub(_cancelled)
    stub.cluster, stub.nthreads = (
        SimpleNamespace(worker_spec={}, scale=print),
        dict,
    )  # a cluster of ours, without workers
    monkeypatch.setattr(tasks, "_RESTART_SECONDS", 0.5)
    rows = finished_rows(stub, halos, PLAN, np.zeros((1, 7)), [0], lambda text: None)
    with pytest.raises(ConnectionError, match="none started again within"):
        list(rows)


class _Stub:
    """A client of which every row is lost in one way."""

    status = "running"

    def __init__(self, ended: Callable[[Any], None]) -> None:
        self.ended, self.submitted = ended, 0

    def nthreads(self) -> dict[str, int]:
        return {"a": 1}

    def scatter(self, halos: Any, **_: Any) -> Any:
        return halos

    def submit(self, *_: Any, key: str, **__: Any) -> Any:
        self.submitted += 1
        return _Future(key, self.ended)


class _Future:
    status = "finished"

    def __init__(self, key: str, ended: Callable[[Any], None]) -> None:
        self.key, self.ended = key, ended

    def add_done_callback(self, done: Callable[[Any], None]) -> None:
        done(self)

    def result(self, timeout: float) -> bytes:
        self.ended(self)
        return self.key.rsplit("-", 1)[1].encode()


def _cancelled(future: Any) -> None:
    from distributed.client import FutureCancelledError

    raise FutureCancelledError(future.key, "lost dependencies")


def _gone(future: Any) -> None:
    raise OSError("Timed out during handshake")


def _late(future: Any) -> None:
    raise TimeoutError


@pytest.mark.parametrize("how", [_cancelled, _gone, _late])
@pytest.mark.parametrize("every", [1, 3])
def test_rows_lost_without_an_end_are_said_and_few_are_made_again(
    halos: HaloCatalog, how: Callable[[Any], None], every: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "CLOSE_SECONDS", 0.0)
    calls = 0

    def ended(future: Any) -> None:
        nonlocal calls
        calls += 1
        if every == 1 or calls % every == 0:
            how(future)

    client = _Stub(ended)
    design = training_design(64, seed=3)
    rows = finished_rows(client, halos, PLAN, design, range(64), lambda text: None)
    if every == 1:
        with pytest.raises(ConnectionError, match=r"went away 10 times and no row was finished"):
            list(rows)
        return
    # More losses in all than end a campaign, and a row finished between any two.
    assert sorted(map(int, rows)) == list(range(64))
    assert client.submitted > 64 + tasks._LOSSES


def test_an_error_of_a_row_made_again_is_ours(halos: HaloCatalog) -> None:
    def wrong(future: Any) -> None:
        raise ZeroDivisionError("no galaxy")

    rows = finished_rows(_Stub(wrong), halos, PLAN, np.zeros((1, 7)), [0], lambda text: None)
    with pytest.raises(RuntimeError, match="row 0 failed: ZeroDivisionError: no galaxy"):
        list(rows)


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.0, 1.5])
def test_ctrl_c_while_workers_start_is_one_line(
    halos: HaloCatalog, tmp_path: Path, seconds: float
) -> None:
    halos.write(tmp_path / "halos.h5")
    out = tmp_path / "a.h5"
    command = [sys.executable, "-m", "pysoftcorr.cli", "campaign", str(tmp_path / "halos.h5")]
    command += ["--out", str(out), "--points", "5000", "--realizations", "1", "--workers", "2"]
    command += ["--bins", "log:0.3:9:4"]
    package = str(Path(pysoftcorr.__file__).resolve().parents[1])
    campaign = subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": package}, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        while campaign.poll() is None and not out.with_name("a.h5.part").exists():
            time.sleep(0.02)
        time.sleep(seconds)
        os.killpg(campaign.pid, signal.SIGINT)  # as a terminal does: to every process
        _, errors = campaign.communicate(timeout=60)
    finally:
        if campaign.poll() is None:
            os.killpg(campaign.pid, signal.SIGKILL)
            campaign.wait()
    assert campaign.returncode == 130, errors
    # Some points reach below the lightest halo, which is said before.
    lines = [line for line in errors.splitlines() if "lightest of the catalog" not in line]
    assert len(lines) == 1, errors
    assert lines[0].startswith("interrupted: ")


# ---------------------------------------------------------------------- addresses
@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("nonsense", "missing port number"),
        ("", "missing port number"),
        ("foo://bar:1", "unknown address scheme"),
        ("127.0.0.1:port", "invalid literal"),
        ("tls://127.0.0.1:9", "TLS"),
        ("tcp://127.0.0.1:9", ""),
    ],
)
def test_an_address_without_a_scheduler_is_one_line(
    address: str, reason: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import gc

    monkeypatch.setattr(connection, "_CONNECT_SECONDS", 0.5)
    with (
        pytest.raises(ConnectionError, match=f"no dask scheduler answers at .*{reason}"),
        connection.connected(address, None),
    ):
        pass
    gc.collect()  # what is left behind says nothing
    assert capfd.readouterr().err == ""


# ---------------------------------------------------------------------- scripts
CALL = """run_campaign("halos.h5", points=2, realizations=1, seed=3, bins=[0.3, 2.0, 9.0],
                 out="a.h5", workers=1)"""
SAMPLE = """Workers(None, 2)"""
HEAD = """
from pysoftcorr.mocks import run_campaign
from pysoftcorr.inference.workers import Workers
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("call", "script"),
    [
        pytest.param(CALL, "def main():\n    {call}\n\n\nmain()\n", marks=pytest.mark.long),
        (CALL, "import other\n"),
        (SAMPLE, "import sys\nif len(sys.argv) < 5:\n    for _ in [1]:\n        {call}\n"),
    ],
)
def test_a_script_without_a_guard_is_refused_in_one_line(
    fresh: Any, halos: HaloCatalog, tmp_path: Path, call: str, script: str
) -> None:
    halos.write(tmp_path / "halos.h5")
    call = call.replace("halos.h5", str(tmp_path / "halos.h5"))
    call = call.replace("a.h5", str(tmp_path / "a.h5"))
    (tmp_path / "other.py").write_text(HEAD + call)
    done = fresh(HEAD + script.format(call=call), ok=False, folder=tmp_path)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert lines[-1].startswith("RuntimeError: ")
    assert 'under if __name__ == "__main__":' in lines[-1]
    assert str(tmp_path / "script.py") in lines[-1]
    assert done.stderr.count("Traceback") == 1
    assert not list(tmp_path.glob("*.part"))


def test_a_guarded_script_and_python_c_may_start_processes(fresh: Any, tmp_path: Path) -> None:
    check = "from pysoftcorr.core.processes import refuse_unguarded_script as check\n"
    fresh(check + "check('f')\n")  # python -c
    for script in (
        "if __name__ == '__main__':\n    check('f')\n",
        "def main():\n    check('f')\nif __name__ == '__main__':\n    main()\n",
        "import threading\nt = threading.Thread(target=check, args='f')\nt.start()\nt.join()\n",
    ):
        fresh(check + script, folder=tmp_path)
