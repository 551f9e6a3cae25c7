"""A real Jupyter kernel: tables, figures shown once, progress bars, and an interrupted cell."""

from __future__ import annotations

import os
import queue
import time
from pathlib import Path

import pytest

import pysoftcorr

manager = pytest.importorskip("jupyter_client.manager")
pytest.importorskip("ipykernel")
pytest.importorskip("matplotlib_inline")
pytestmark = pytest.mark.slow

SETUP = """
import numpy as np
from pysoftcorr import Catalog, xi_pm

def catalog(n):
    rng = np.random.default_rng(1)
    return Catalog(ra=rng.uniform(0, 3, n), dec=rng.uniform(0, 3, n), g1=0.1 * rng.normal(size=n),
                   g2=0.1 * rng.normal(size=n))

small, large = catalog(300), catalog(150_000)
first = xi_pm(small, "log:2:60:5", seed=1)
drawn = xi_pm(small, "log:2:60:5", resampling="bootstrap:20", seed=1)
"""


class Kernel:
    """A kernel of this Python, and what its cells send."""

    def __init__(self):
        self.manager = manager.KernelManager(kernel_name="python3")
        package = str(Path(pysoftcorr.__file__).resolve().parents[1])
        path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
        # A kernel chooses its own backend where none is given.
        given = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
        self.manager.start_kernel(env={**given, "PYTHONPATH": path})
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=120)

    def run(self, code, *, interrupt=None, timeout=300):
        """Messages of a cell by their type; with an interrupt once `interrupt` is in its output."""
        ident = self.client.execute(code)
        sent, end, waiting = [], time.monotonic() + timeout, interrupt
        while time.monotonic() < end:
            try:
                message = self.client.get_iopub_msg(timeout=1)
            except queue.Empty:
                continue
            if message["parent_header"].get("msg_id") != ident:
                continue
            kind, content = message["msg_type"], message["content"]
            sent.append((kind, content))
            if waiting and kind == "stream" and waiting in content["text"]:
                self.manager.interrupt_kernel()
                waiting = None
            if kind == "status" and content["execution_state"] == "idle":
                return sent
        raise AssertionError(f"no end after {timeout} s: {sent[-3:]}")

    def close(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.fixture(scope="module")
def kernel():
    found = Kernel()
    yield found
    found.close()


def shown(sent, kind):
    """Everything of a MIME type that a cell shows."""
    assert not [c["traceback"] for k, c in sent if k == "error"]
    data = [c["data"] for k, c in sent if k in ("display_data", "execute_result")]
    return [d[kind] for d in data if kind in d]


def printed(sent):
    return "".join(c["text"] for k, c in sent if k == "stream")


def test_cells_show_tables_and_figures_once_and_can_be_interrupted(kernel):
    assert not shown(kernel.run(SETUP), "image/png")
    for code in ("first", "first.xip", "small"):
        (page,) = shown(kernel.run(code), "text/html")
        assert "<table" in page or "<pre" in page
    # A figure by its value, axes by pyplot.
    for code in ("first.plot()", "first.xip.plot()", "f = first.plot(); f", "first.xip.plot();",
                 "first.plot(style='paper')", "drawn.plot_covariance()"):  # fmt: skip
        assert len(shown(kernel.run(code), "image/png")) == 1, code

    # A bar of progress is seen, and Ctrl-C (interrupt kernel) ends the work of Julia.
    began = time.monotonic()
    sent = kernel.run(
        "xi_pm(large, 'log:2:200:10', resampling='jackknife:40', seed=1)",
        interrupt="pairs:",
    )
    assert [c["ename"] for k, c in sent if k == "error"] == ["KeyboardInterrupt"]
    assert "pairs:" in printed(sent)
    assert time.monotonic() - began < 200
    # Julia goes on working, and says the same.
    again = kernel.run(
        "print((xi_pm(small, 'log:2:60:5', seed=1).xip.value == first.xip.value).all())"
    )
    assert printed(again).strip().endswith("True")
