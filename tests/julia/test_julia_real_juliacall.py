"""Both sides at once with a real juliacall: only where it has a Julia (`hosts.ready`)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import pysoftcorr
from pysoftcorr._julia import hosts

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "mixed_julia_python.py"
RUN_EXAMPLE = f"import runpy; runpy.run_path({str(EXAMPLE)!r}, run_name='__main__')"
SIGNALS = {"PYTHON_JULIACALL_THREADS": "2", "PYTHON_JULIACALL_HANDLE_SIGNALS": "yes"}

# Everything that a script may do while Julia belongs to its thread.
SCRIPT = """
{first}
import os, signal, threading, time
import numpy as np
import pysoftcorr
from pysoftcorr._julia import call, runtime, status
module = pysoftcorr.julia_module()
from juliacall import Main as jl
jl.println("printed by Julia")
print(status()["host"], str(module.SOURCE_VERSION))
x = np.zeros(3)
jl.seval("x -> (x[1] = 1.0; GC.gc(); nothing)")(x)
print(x[0])
back = jl.seval("f -> (GC.gc(); y = f(3); GC.gc(); y)")
print("called back", back(lambda n: int(runtime.self_test(int(n)))))
threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
try:
    call("busy", 60.0)
except KeyboardInterrupt:
    print("Julia interrupted")
threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
try:
    time.sleep(60)
except KeyboardInterrupt:
    print("Python interrupted")
print(runtime.self_test(), flush=True)
"""
SAID = [
    "printed by Julia",
    f"juliacall {pysoftcorr.__version__}",
    "1.0",
    "called back 1",
    "Julia interrupted",
    "Python interrupted",
    "True",
]


@pytest.fixture
def real(fresh):
    if not hosts.ready():
        pytest.skip("juliacall has no Julia of its own here (softcorr julia install gets one)")

    def run(code: str, **options):
        env = {"PYSOFTCORR_JULIA_HOST": "auto", **options}
        return fresh(code, PYTHONPATH=os.environ.get("PYTHONPATH", ""), **env)

    return run


def lines(text: str) -> list[str]:
    """Lines in a fixed order: those of Julia come through a buffer of their own."""
    return sorted(text.splitlines())


@pytest.mark.parametrize(
    ("first", "env"),
    [
        ("from juliacall import Main as jl", SIGNALS),
        ("from juliacall import Main as jl", {"PYTHON_JULIACALL_THREADS": "1"}),
        ("", {"PYSOFTCORR_THREADS": "2"}),
    ],
    ids=["juliacall first, two threads", "juliacall first, one thread", "julia_module first"],
)
def test_julia_that_belongs_to_the_main_thread(real, first: str, env: dict[str, str]) -> None:
    assert lines(real(SCRIPT.format(first=first), **env).stdout) == lines("\n".join(SAID))


def test_julia_in_a_thread_of_its_own(real) -> None:
    out = real(
        """
        import threading, warnings
        import pysoftcorr
        from pysoftcorr._julia import call, runtime, status
        version = tuple(map(int, status()["version"].split(".")[:2]))
        print(runtime.self_test())
        other = threading.Thread(target=call, args=("busy", 0.5))
        other.start()
        other.join()
        warnings.simplefilter("ignore")
        from juliacall import Main as jl
        if version < (1, 9):
            for use in (pysoftcorr.julia_module, lambda: jl.seval("1")):
                try:
                    use()
                except pysoftcorr.JuliaUnavailable:
                    continue
                raise SystemExit("not refused")
        else:
            module = pysoftcorr.julia_module()
            back = jl.seval("f -> (y = f(3); y)")
            assert back(lambda n: int(runtime.self_test(int(n)))) == 1
            busy = threading.Thread(target=call, args=("busy", 2.0))
            busy.start()
            for _ in range(20):  # this thread collects garbage while the owner works
                jl.seval("() -> (GC.gc(); nothing)")()
            busy.join()
        print(runtime.self_test())
        """,
        PYSOFTCORR_THREADS="2",
    )
    assert out.stdout == "True\nTrue\n"


def test_threads_without_signal_handling_are_refused(real) -> None:
    out = real(
        """
        from juliacall import Main as jl
        import pysoftcorr
        try:
            pysoftcorr.julia_module()
        except pysoftcorr.JuliaUnavailable as error:
            print(error)
        """,
        PYTHON_JULIACALL_THREADS="2",
        PYTHON_JULIACALL_HANDLE_SIGNALS="no",
    )
    assert "PYTHON_JULIACALL_HANDLE_SIGNALS=yes" in out.stdout


def test_example_of_a_mixed_script(real) -> None:
    out = real(RUN_EXAMPLE)
    assert "norms: [1. 1. 1.]" in out.stdout
    assert "sum of squares: 3.0" in out.stdout
    assert "xi+ of a constant shear: [0.01 0.04 0.09]" in out.stdout
    assert "pairs: [" in out.stdout
    assert "as the field is stretched" in out.stdout


def test_example_of_a_mixed_script_without_juliacall(fresh) -> None:
    """Where juliacall has no Julia it says so in one line, as everything else does."""
    if hosts.ready():
        pytest.skip("juliacall has a Julia here")
    out = fresh(RUN_EXAMPLE, ok=False, PYSOFTCORR_JULIA_HOST="libjulia")
    assert out.returncode == 2
    assert out.stderr.count("\n") == 1
    assert "softcorr julia install --method juliacall" in out.stderr
