"""The juliacall host: by contract with a stand-in, and for real where juliacall can start."""

from __future__ import annotations

import contextlib
import ctypes
from pathlib import Path

import pytest

from helpers import juliacall_stand_in
from pysoftcorr._julia import JuliaUnavailable, juliacall_host


@pytest.fixture
def stand_in(fresh, tmp_path: Path):
    def run(code: str, **options):
        env = {**juliacall_stand_in.write(tmp_path), "PYSOFTCORR_THREADS": "2", **options}
        return fresh(code, **env)

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


@pytest.mark.parametrize(
    ("first", "given", "found"),
    [
        ("runtime.start()", {}, "no"),
        ("runtime.start()", {"PYTHON_JULIACALL_AUTOLOAD_IPYTHON_EXTENSION": "yes"}, "yes"),
        ("runtime.julia_module()", {}, "None"),
    ],
)
def test_no_notebook_extension_where_another_thread_owns_julia(
    stand_in, first: str, given: dict[str, str], found: str
) -> None:
    """It would flush Julia's output after each cell, from the notebook's thread."""
    out = stand_in(
        f"""
        import os
        from pysoftcorr._julia import runtime
        {first}
        print(os.environ.get("PYTHON_JULIACALL_AUTOLOAD_IPYTHON_EXTENSION"))
        """,
        **given,
    )
    assert out.stdout.splitlines()[0] == found


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


def test_julia_module_first_gives_julia_to_the_main_thread(stand_in) -> None:
    out = stand_in("""
        import threading
        import pysoftcorr
        module = pysoftcorr.julia_module()
        import juliacall
        print(module is juliacall.Main.SoftCorr, juliacall.THREAD is threading.main_thread())
        from pysoftcorr._julia import runtime
        print(runtime.self_test(), juliacall.Main.seval("1 + 1"))
    """)
    assert out.stdout == "True True\nTrue 2\njuliacall ends Julia\n"


def test_julia_module_in_a_thread_of_its_own_is_refused_before_julia_1_9(stand_in) -> None:
    out = stand_in("""
        import pysoftcorr
        from pysoftcorr._julia import runtime
        assert runtime.self_test()
        from juliacall import Main as jl

        def seval(): jl.seval("1 + 1")
        def assign(): jl.x = 1
        for use in (pysoftcorr.julia_module, seval, assign):
            try:
                use()
            except pysoftcorr.JuliaUnavailable as error:
                print(error)
        print(runtime.self_test())
    """)
    *refused, last = out.stdout.splitlines()
    assert last == "True"
    assert len(set(refused)) == 1
    assert len(refused) == 3
    assert "Julia 1.5.3 runs in a thread of pysoftcorr's own" in refused[0]
    assert "begin the script with: from juliacall import Main as jl" in refused[0]


def test_exit_hooks_run_in_the_thread_that_owns_julia(stand_in) -> None:
    """Hooks of the user run there too; juliacall's own leaves the main thread."""
    hook = 'atexit(() -> println(\\"bye from Julia\\"))'
    code = f"""
        import juliacall_first
        from pysoftcorr._julia import runtime
        assert runtime.self_test()
        import juliacall
        runtime.start().owner.run(lambda: juliacall._host.text("{hook}; 1"))
    """
    own = stand_in(code.replace("import juliacall_first", ""))
    assert own.stdout == "bye from Julia\n"
    main = stand_in(code.replace("juliacall_first", "juliacall"))
    assert main.stdout == "juliacall ends Julia\n"  # which runs the hooks, where it is the real one


def test_threads_without_signal_handling_are_refused(stand_in) -> None:
    code = """
        import juliacall
        from pysoftcorr._julia import JuliaUnavailable, runtime
        try:
            print(runtime.self_test())
        except JuliaUnavailable as error:
            print(error)
    """
    bad = stand_in(code, PYTHON_JULIACALL_THREADS="2")
    assert "with 2 Julia threads and without Julia's signal handling" in bad.stdout
    assert "set PYTHON_JULIACALL_HANDLE_SIGNALS=yes, or PYTHON_JULIACALL_THREADS=1" in bad.stdout
    for env in (
        {"PYTHON_JULIACALL_THREADS": "1"},
        {"PYTHON_JULIACALL_THREADS": "2", "PYTHON_JULIACALL_HANDLE_SIGNALS": "yes"},
    ):
        assert stand_in(code, **env).stdout.startswith("True\n")


@pytest.mark.parametrize("version", ["0.9.9", "0.9.20", "0.9.27", "0.8.99", "0.9"])
def test_an_old_juliacall_is_refused(version: str) -> None:
    with pytest.raises(JuliaUnavailable, match=rf"{version}.*pip install 'juliacall>=0\.9\.28'"):
        juliacall_host.check_version(version)


@pytest.mark.parametrize("version", ["0.9.28", "0.9.34", "0.10.0", "1.0", "1.0.0rc1"])
def test_a_newer_juliacall_is_taken(version: str) -> None:
    juliacall_host.check_version(version)


def test_an_old_juliacall_that_was_imported_is_refused(stand_in) -> None:
    out = stand_in(
        """
        import juliacall
        import pysoftcorr
        try:
            pysoftcorr.julia_module()
        except pysoftcorr.JuliaUnavailable as error:
            print(error)
        """,
        STAND_IN_VERSION="0.9.21",
    )
    assert "juliacall is of version 0.9.21, and pysoftcorr needs 0.9.28" in out.stdout


@pytest.mark.parametrize("known", [True, False])
def test_a_waiting_thread_lets_others_collect_garbage(known: bool) -> None:
    said: list[object] = []

    def enter() -> int:
        said.append("enter")
        return 3

    pointers = [
        ctypes.CFUNCTYPE(ctypes.c_int8)(enter),
        ctypes.CFUNCTYPE(None, ctypes.c_int8)(lambda state: said.append(state)),
        ctypes.CFUNCTYPE(ctypes.c_void_p)(lambda: 4096 if known else None),
    ]
    waiting = juliacall_host.Waiting([ctypes.cast(p, ctypes.c_void_p).value for p in pointers])
    with contextlib.suppress(KeyboardInterrupt), waiting():
        said.append("waits")
        raise KeyboardInterrupt
    assert said == (["enter", "waits", 3] if known else ["waits"])


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
    assert lines[3:] == ["interrupted True", "interrupted True", "juliacall ends Julia"]


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
