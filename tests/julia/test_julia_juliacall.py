"""The juliacall host: by contract with a stand-in, and for real where juliacall can start.

The stand-in is a module named ``juliacall`` that starts Julia in the importing thread, as the
real one does, and shows the part of ``Main`` that the host relies on.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from pysoftcorr._julia import hosts

STAND_IN = """
import os, threading
from pysoftcorr._julia import found
from pysoftcorr._julia.hosts import LibjuliaHost

THREAD = threading.current_thread()
INCLUDED = []
_host = LibjuliaHost(found.choose(), int(os.environ.get("PYTHON_JULIACALL_THREADS", "1")))
_host.start()


class Module:
    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)

        def function(*args):
            assert threading.current_thread() is THREAD, "Julia called from a foreign thread"
            text = _host.text(f"SoftCorr.{name}({', '.join(map(str_of, args))})")
            return int(text) if name in ("entry_pointer", "gc_safe_address") else text
        return function


def str_of(value):
    return '"' + value + '"' if isinstance(value, str) else repr(value)


class Main:
    SoftCorr = Module()

    @staticmethod
    def include(path):
        assert os.path.exists(path)
        INCLUDED.append(path)
"""

SET = {"PYTHON_JULIACALL_EXE": "/stand/in/julia", "PYTHON_JULIACALL_PROJECT": "/stand/in"}


@pytest.fixture
def stand_in(fresh, tmp_path: Path):
    (tmp_path / "juliacall.py").write_text(STAND_IN)

    def run(code: str, **options):
        env = {"PYSOFTCORR_JULIA_HOST": "auto", "PYSOFTCORR_THREADS": "2", **SET, **options}
        return fresh(code, PYTHONPATH=str(tmp_path), **env)

    return run


def test_auto_takes_juliacall_where_it_is_set_up(stand_in) -> None:
    out = stand_in("""
        import os, sys, threading
        import pysoftcorr._julia as door
        assert "juliacall" not in sys.modules
        says = door.status()
        import juliacall
        assert juliacall.THREAD is not threading.main_thread()
        assert os.environ["PYTHON_JULIACALL_HANDLE_SIGNALS"] == "yes"
        assert [p.endswith("SoftCorr.jl") for p in juliacall.INCLUDED] == [True]
        print(says["host"], says["threads"], says["self_test"])
    """)
    assert out.stdout == "juliacall 2 True\n"


def test_libjulia_can_be_asked_for(stand_in) -> None:
    out = stand_in(
        """
        import sys
        import pysoftcorr._julia as door
        print(door.status()["host"], "juliacall" in sys.modules)
        try:
            door.julia_module()
        except door.JuliaUnavailable as error:
            print(error)
        """,
        PYSOFTCORR_JULIA_HOST="libjulia",
    )
    first, second = out.stdout.splitlines()
    assert first == "libjulia False"
    assert "PYSOFTCORR_JULIA_HOST=juliacall" in second


def test_errors_threads_and_interrupts(stand_in) -> None:
    out = stand_in(
        """
        import os, signal, threading
        from concurrent.futures import ThreadPoolExecutor
        from pysoftcorr._julia import JuliaError, call, runtime
        try:
            call("throw_in_loop", 7)
        except JuliaError as error:
            print(error)
        with ThreadPoolExecutor(4) as pool:
            print(all(pool.map(runtime.self_test, range(1, 9))))
        threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        try:
            call("busy", 60.0)
        except KeyboardInterrupt:
            print("interrupted", runtime.self_test())
    """,
        timeout=55,
    )  # less than the call takes
    assert out.stdout.splitlines() == [
        "throw_in_loop: element 7 of a threaded loop failed on purpose",
        "True",
        "interrupted True",
    ]


def test_julia_module_is_the_live_module(stand_in) -> None:
    out = stand_in("""
        import pysoftcorr._julia as door
        module = door.julia_module()
        import juliacall
        print(module is juliacall.Main.SoftCorr)
    """)
    assert out.stdout == "True\n"


def test_julia_that_belongs_to_the_users_thread(stand_in) -> None:
    out = stand_in(
        """
        import juliacall
        import os, signal, threading
        from pysoftcorr._julia import JuliaError, JuliaUnavailable, call, runtime, status
        assert juliacall.THREAD is threading.main_thread()
        print(status()["host"])
        try:
            call("throw_in_loop", 7)
        except JuliaError as error:
            print(error)

        def elsewhere():
            try:
                call("busy", 0.0)
            except JuliaUnavailable as error:
                print(error)
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()

        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer)
        for _ in range(2):
            threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
            try:
                call("busy", 60.0)
            except KeyboardInterrupt:
                print("interrupted", runtime.self_test())
            assert os.read(reader, 10) == bytes([signal.SIGINT])
        assert signal.set_wakeup_fd(-1) == writer
    """,
        timeout=55,
    )  # less than two calls take
    lines = out.stdout.splitlines()
    assert lines[:2] == [
        "juliacall",
        "throw_in_loop: element 7 of a threaded loop failed on purpose",
    ]
    assert "Julia belongs to the main thread" in lines[2]
    assert lines[3:] == ["interrupted True", "interrupted True"]


def test_juliacall_that_cannot_start(fresh, tmp_path: Path) -> None:
    (tmp_path / "juliacall.py").write_text("raise RuntimeError('no such executable')")
    out = fresh(
        "import pysoftcorr._julia as door; door.status()",
        ok=False,
        PYTHONPATH=str(tmp_path),
        PYSOFTCORR_JULIA_HOST="juliacall",
    )
    last = out.stderr.strip().splitlines()[-1]
    assert "JuliaUnavailable: juliacall cannot start: no such executable" in last
    assert "softcorr julia install" in last


def test_unknown_host(fresh) -> None:
    out = fresh(
        "import pysoftcorr._julia as door; door.status()", ok=False, PYSOFTCORR_JULIA_HOST="fork"
    )
    assert "PYSOFTCORR_JULIA_HOST='fork': expected one of auto, juliacall, libjulia" in out.stderr


def test_auto_does_not_import_an_unresolved_juliacall(fresh, tmp_path: Path) -> None:
    (tmp_path / "juliacall.py").write_text("raise SystemExit('the network was asked')")
    out = fresh(
        """
        import pysoftcorr._julia as door
        print(door.status()["host"])
        """,
        PYTHONPATH=str(tmp_path),
        PYSOFTCORR_JULIA_HOST="auto",
        PYTHON_JULIAPKG_PROJECT=str(tmp_path / "nothing-resolved"),
        PYTHON_JULIACALL_EXE="",
        PYTHON_JULIACALL_PROJECT="",
    )
    assert out.stdout == "libjulia\n"


def test_real_juliacall(fresh) -> None:
    if not hosts.ready():
        pytest.skip("juliacall has no Julia of its own here (softcorr julia install gets one)")
    out = fresh(
        """
        import numpy as np
        import pysoftcorr._julia as door
        from pysoftcorr._julia import call, runtime
        says = door.status()
        module = door.julia_module()
        from juliacall import Main
        x = np.zeros(3)
        Main.seval("x -> (x[1] = 1.0; GC.gc(); nothing)")(x)
        version = str(module.SOURCE_VERSION)
        import threading
        busy = threading.Thread(target=call, args=("busy", 2.0))
        busy.start()
        for _ in range(20):  # this thread collects garbage while the owner thread works
            Main.seval("() -> (GC.gc(); nothing)")()
        busy.join()
        print(says["host"], says["self_test"], version, x[0], runtime.self_test())
        """,
        PYSOFTCORR_JULIA_HOST="auto",
        timeout=600,
    )
    import pysoftcorr

    assert out.stdout == f"juliacall True {pysoftcorr.__version__} 1.0 True\n"


def test_example_of_a_mixed_script(fresh) -> None:
    path = Path(__file__).resolve().parents[2] / "examples" / "mixed_julia_python.py"
    run = f"import runpy; runpy.run_path({str(path)!r}, run_name='__main__')"
    if hosts.ready():
        out = fresh(run, PYSOFTCORR_JULIA_HOST="juliacall", timeout=600)
        assert "norms: [1. 1. 1.]" in out.stdout
        assert "sum of squares: 3.0" in out.stdout
    else:
        out = fresh(run, ok=False, PYSOFTCORR_JULIA_HOST="libjulia")
        assert out.returncode == 2
        assert out.stderr.count("\n") == 1
        assert "PYSOFTCORR_JULIA_HOST=juliacall" in out.stderr
