"""No function keeps what it made: each is called 200 times in one process."""

from __future__ import annotations

import pytest

PROGRAM = """
import ctypes, gc, io, warnings
warnings.simplefilter("ignore")
from tests.helpers.odd_inputs import Targets

def resident():
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)  # glibc keeps what is free for the next call
    except (AttributeError, OSError):
        pass
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 1e6

targets = Targets()
for name, (function, good) in targets.table.items():
    calls, early = ({calls}, {early})
    for k in range(calls):
        function(**good)
        if k == early:
            before, objects = resident(), len(gc.get_objects())
    grown = resident() - before
    print(f"{{name}} {{grown:.2f}} {{len(gc.get_objects()) - objects}}", flush=True)
"""
CALLS, EARLY = 200, 60


@pytest.mark.slow
@pytest.mark.long
def test_no_function_grows(fresh):
    """Julia collects its garbage in a saw-tooth of 50 MB; a kept graph of torch is 4.6 a call."""
    pytest.importorskip("torch")
    pytest.importorskip("pyro")
    done = fresh(PROGRAM.format(calls=CALLS, early=EARLY), timeout=1200, OMP_NUM_THREADS="1")
    rows = [line.split() for line in done.stdout.splitlines()]
    assert len(rows) > 50
    grown = {name: float(mb) for name, mb, _ in rows}
    kept = {name: int(objects) for name, _, objects in rows}
    assert {n: k for n, k in kept.items() if k > (CALLS - EARLY) / 2} == {}
    assert {n: mb for n, mb in grown.items() if mb > 90} == {}
