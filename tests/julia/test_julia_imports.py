"""pysoftcorr, torch and juliacall in every order: the table of docs/julia.md, line by line.

Each order runs in a process of its own, with a stand-in for juliacall and, where it has a Julia,
with the real one.
"""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest

from helpers import juliacall_stand_in
from pysoftcorr._julia import hosts

STEPS = {
    "pysoftcorr": """
from pysoftcorr._julia import runtime
assert runtime.self_test()
""",
    "torch": """
import torch
x = torch.ones(50, 50, requires_grad=True)
(x @ x).sum().backward()
assert float(x.grad[0, 0]) == 100.0
""",
    "juliacall": """
try:
    from juliacall import Main as jl
except ImportError as error:
    print("juliacall refused:", error)
    jl = None
""",
}
LAST = """
import pysoftcorr
from pysoftcorr._julia import owner, runtime
assert runtime.self_test()
print("host", runtime.start().host.name, type(runtime.start().owner).__name__)
try:
    print("live", jl is not None and str(jl.seval("string(6 * 7)")))
except pysoftcorr.JuliaUnavailable as error:
    print("live refused:", error)
import torch
x = torch.ones(50, 50, requires_grad=True)
(x @ x).sum().backward()
assert runtime.self_test()
"""
ORDERS = list(itertools.permutations(STEPS))


@pytest.fixture(params=["stand-in", "real"])
def environment(request, tmp_path: Path) -> dict[str, str]:
    pytest.importorskip("torch")
    if request.param == "stand-in":
        return juliacall_stand_in.write(tmp_path)
    if not hosts.ready():
        pytest.skip("juliacall has no Julia of its own here (softcorr julia install gets one)")
    return {"PYSOFTCORR_JULIA_HOST": "auto", "PYTHONPATH": os.environ.get("PYTHONPATH", "")}


def outcome(fresh, order: tuple[str, ...], env: dict[str, str]) -> list[str]:
    out = fresh("".join(STEPS[name] for name in order) + LAST, PYSOFTCORR_THREADS="2", **env)
    return [line for line in out.stdout.splitlines() if not line.startswith("juliacall ends")]


# Whoever comes first, and both orders of the others once; the rest in long runs.
SOME = [
    order if k in (0, 3, 4) else pytest.param(order, marks=pytest.mark.long)
    for k, order in enumerate(ORDERS)
]


@pytest.mark.parametrize("order", SOME, ids="-".join)
def test_juliacall_has_a_julia(fresh, environment: dict[str, str], order: tuple[str, ...]) -> None:
    host, live = outcome(fresh, order, environment)
    if order.index("juliacall") < order.index("pysoftcorr"):
        assert host == "host juliacall CallerOwner"
        assert live == "live 42"
    else:
        assert host == "host juliacall ThreadOwner"
        # Julia 1.9 and newer take calls of other threads.
        assert live == "live 42" or "before Julia 1.9 no other thread can call it" in live


@pytest.mark.parametrize(
    "order", [*(o for o in ORDERS if o[2] == "juliacall"), ORDERS[-1]], ids="-".join
)
def test_libjulia_is_asked_for(fresh, tmp_path: Path, order: tuple[str, ...]) -> None:
    env = {**juliacall_stand_in.write(tmp_path), "PYSOFTCORR_JULIA_HOST": "libjulia"}
    pytest.importorskip("torch")
    if order.index("juliacall") < order.index("pysoftcorr"):
        out = fresh("".join(STEPS[name] for name in order), ok=False, **env)
        assert out.returncode == 1
        last = out.stderr.strip().splitlines()[-1]
        assert "juliacall has started Julia in this process" in last
        assert "unset PYSOFTCORR_JULIA_HOST" in last
    else:
        refused, host, live = outcome(fresh, order, env)
        assert "import juliacall before the first call of pysoftcorr" in refused
        assert host == "host libjulia ThreadOwner"
        assert live == "live False"
