"""Julia inside a process: threads, signals, workers, other libraries. Fresh processes each."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import pty
import re
import signal
import struct
import sys
import termios
import textwrap
from pathlib import Path

import numpy.random._common
import pytest

from helpers.command_line import softcorr

ORDER = """
import sys
{first}
from pysoftcorr._julia import call, runtime
assert runtime.self_test()
{last}
import torch
x = torch.ones(100, 100, requires_grad=True)
(x @ x).sum().backward()
assert runtime.self_test()
assert float(x.grad[0, 0]) == 200.0
print("fine")
"""


@pytest.mark.parametrize(("first", "last"), [("import torch", ""), ("", "import torch")])
def test_torch_before_and_after(fresh, first: str, last: str) -> None:
    pytest.importorskip("torch")
    assert fresh(ORDER.format(first=first, last=last)).stdout == "fine\n"


@pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="torch is a build without triton"
)
@pytest.mark.parametrize("first", ["", "import torch", "import triton"])
def test_triton_after_julia(fresh, first: str) -> None:
    """Its LLVM beside that of Julia: the builds of torch for GPUs import it when they please."""
    assert fresh(ORDER.format(first=first, last="import triton")).stdout == "fine\n"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="of Linux's linker alone")
def test_libtriton_is_loaded_before_julia(fresh, tmp_path: Path) -> None:
    """Any library in its place will do to see the order."""
    folder = tmp_path / "triton" / "_C"
    folder.mkdir(parents=True)
    (tmp_path / "triton" / "__init__.py").write_text("raise AssertionError('imported')")
    (folder / "libtriton.so").write_bytes(Path(numpy.random._common.__file__).read_bytes())
    out = fresh(
        """
        import ctypes, os
        from pathlib import Path
        real, seen = ctypes.CDLL, []

        class CDLL(real):
            def __init__(self, name, *arguments, **keywords):
                seen.append(Path(os.fspath(name)).name if name else "")
                super().__init__(name, *arguments, **keywords)

        ctypes.CDLL = CDLL
        from pysoftcorr._julia import runtime
        assert runtime.self_test()
        with open("/proc/self/maps") as maps:
            assert "triton/_C/libtriton.so" in maps.read()
        julia = [n for n, name in enumerate(seen) if name.startswith(("libjulia", "libLLVM"))]
        assert seen.index("libtriton.so") < min(julia), seen
        print("fine")
        """,
        PYTHONPATH=str(tmp_path),
        PYSOFTCORR_JULIA_HOST="libjulia",
    )
    assert out.stdout == "fine\n"


def test_import_starts_neither_julia_nor_torch(fresh) -> None:
    fresh("""
        import sys, threading
        import pysoftcorr
        assert "torch" not in sys.modules
        assert "juliacall" not in sys.modules
        import pysoftcorr._julia
        assert "juliacall" not in sys.modules
        assert threading.active_count() == 1
        with open("/proc/self/maps") as maps:
            assert "libjulia" not in maps.read()
    """)


def test_calls_from_four_threads(fresh) -> None:
    out = fresh("""
        from concurrent.futures import ThreadPoolExecutor
        import numpy as np
        from pysoftcorr._julia import JuliaError, call

        def work(i):
            caught = np.zeros(1, dtype=np.int64)
            for n in range(1, 8):
                call("self_test", n, caught)
                assert caught[0] == 16 * n
                try:
                    call("throw_in_loop", 1000 * i + n)
                except JuliaError as error:
                    assert f"element {1000 * i + n} of" in str(error)
                else:
                    raise AssertionError("nothing raised")
            return i

        with ThreadPoolExecutor(4) as pool:
            print(sorted(pool.map(work, range(1, 5))))
    """)
    assert out.stdout == "[1, 2, 3, 4]\n"


INTERRUPT = """
    import os, signal, threading
    from pysoftcorr._julia import call, runtime
    assert runtime.self_test()
    for _ in range(2):
        threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        try:
            call("busy", 60.0{progress})
        except KeyboardInterrupt:
            print("interrupted")
        assert runtime.self_test()          # the next call is right
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
"""


@pytest.mark.parametrize("progress", ["", ', progress="working"'])
def test_interrupt_stops_a_long_call(fresh, progress: str) -> None:
    out = fresh(INTERRUPT.format(progress=progress), timeout=55)  # less than the call takes
    assert out.stdout == "interrupted\n" * 2


def test_an_interrupt_nobody_catches_ends_the_process(fresh) -> None:
    out = fresh(
        """
        import os, signal, threading
        from pysoftcorr._julia import call, runtime
        assert runtime.self_test()
        threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        call("busy", 60.0)
        """,
        ok=False,
        timeout=30,
    )
    assert out.returncode == -signal.SIGINT
    assert out.stderr.rstrip().endswith("KeyboardInterrupt")


def test_interrupt_does_not_touch_a_queued_call_of_another_thread(fresh) -> None:
    out = fresh("""
        import os, signal, threading
        from pysoftcorr._julia import call, runtime
        assert runtime.self_test()
        def other():
            call("busy", 0.3)
            print("other done")
        threading.Timer(0.3, threading.Thread(target=other).start).start()
        threading.Timer(0.6, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        try:
            call("busy", 60.0)
        except KeyboardInterrupt:
            print("interrupted")
    """)
    assert sorted(out.stdout.splitlines()) == ["interrupted", "other done"]


def test_terminate_still_terminates(fresh) -> None:
    out = fresh(
        """
        import os, signal
        from pysoftcorr._julia import runtime
        assert runtime.self_test()
        os.kill(os.getpid(), signal.SIGTERM)
        import time; time.sleep(20)
        """,
        ok=False,
        timeout=15,
    )
    assert out.returncode == -signal.SIGTERM


def test_exit_while_a_call_runs(fresh) -> None:
    fresh(
        """
        import threading, time
        from pysoftcorr._julia import call, runtime
        assert runtime.self_test()
        threading.Thread(target=call, args=("busy", 60.0), daemon=True).start()
        time.sleep(0.3)
        """,
        timeout=30,
    )


def test_spawned_workers(fresh, tmp_path: Path) -> None:
    out = fresh(
        """
        import multiprocessing
        from pysoftcorr._julia import runtime

        def work(rounds):
            return runtime.self_test(rounds)

        if __name__ == "__main__":
            assert runtime.self_test()
            with multiprocessing.get_context("spawn").Pool(2) as pool:
                print(pool.map(work, [1, 2, 3]))
        """,
        folder=tmp_path,
    )
    assert out.stdout == "[True, True, True]\n"


def test_forked_worker_is_told_to_spawn(fresh) -> None:
    out = fresh("""
        import os, sys
        from pysoftcorr._julia import runtime
        assert runtime.self_test()
        child = os.fork()
        if child == 0:
            try:
                runtime.self_test()
            except RuntimeError as error:
                os.write(1, str(error).encode())
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert runtime.self_test()
    """)
    assert "forked after Julia had started" in out.stdout
    assert "spawn" in out.stdout


def test_fork_before_julia_starts_is_fine(fresh) -> None:
    out = fresh("""
        import os
        from pysoftcorr._julia import runtime
        child = os.fork()
        if child == 0:
            os._exit(0 if runtime.self_test() else 1)
        print(os.waitpid(child, 0)[1], runtime.self_test())
    """)
    assert out.stdout == "0 True\n"


@pytest.mark.parametrize("threads", ["1", "2"])
def test_number_of_threads(fresh, threads: str) -> None:
    out = fresh(
        """
        import os
        from pysoftcorr._julia import status
        print(status()["threads"], status()["self_test"], "JULIA_NUM_THREADS" in os.environ)
        """,
        PYSOFTCORR_THREADS=threads,
        JULIA_NUM_THREADS="3",
    )
    assert out.stdout == f"{threads} True True\n"


def test_julias_own_number_of_threads_counts_where_ours_is_not_given(monkeypatch) -> None:
    from pysoftcorr._julia.settings import threads

    monkeypatch.delenv("PYSOFTCORR_THREADS", raising=False)
    monkeypatch.setenv("JULIA_NUM_THREADS", "5")
    assert threads() == 5
    monkeypatch.setenv("JULIA_NUM_THREADS", "auto")
    assert threads() >= 1


@pytest.mark.parametrize("threads", ["0", "-1", "two", "1.5"])
def test_bad_number_of_threads(fresh, threads: str) -> None:
    out = fresh(
        "from pysoftcorr._julia import status; status()", ok=False, PYSOFTCORR_THREADS=threads
    )
    assert f"ValueError: PYSOFTCORR_THREADS='{threads}': expected a whole number" in out.stderr


# Every line is evaluated on 1 and on 2 threads and must print the same bits. Kernels are added
# to the tests of their own features; this one is the splitting they all rest on.
SUM = """
    sums = zeros(16)
    SoftCorr.chunked(100_003, 16) do chunk, range
        s = 0.0
        for i in range
            s += sin(i) / i
        end
        sums[chunk] = s
    end
    print(reinterpret(UInt64, sum(sums)))
"""


def test_chunked_sums_have_the_same_bits_on_one_and_two_threads(tmp_path: Path) -> None:
    script = tmp_path / "sum.jl"
    script.write_text("import SoftCorr\n" + textwrap.dedent(SUM))
    one, two = (softcorr("julia", "exec", script, PYSOFTCORR_THREADS=n).stdout for n in "12")
    assert one == two
    assert int(one) > 0


def test_command_line_without_julia(tmp_path: Path) -> None:
    for command in (("status",), ("exec", "-e", "1")):
        out = softcorr(
            "julia",
            *command,
            status=2,
            PYSOFTCORR_JULIA_HOST="libjulia",
            PYSOFTCORR_JULIA=str(tmp_path / "no-julia-here"),
        )
        assert out.stderr.count("\n") == 1
        assert "no Julia executable at" in out.stderr
        assert "To fix this, run softcorr julia install" in out.stderr


PROGRESS = """
    from pysoftcorr._julia import call
    call("busy", 1.0, progress="counting pairs")
"""


def test_progress_bar_on_a_terminal(fresh) -> None:
    main, terminal = pty.openpty()
    # A terminal without a width shows nothing.
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    try:
        fresh(PROGRESS, stderr=terminal)
        os.set_blocking(main, False)
        shown = os.read(main, 1 << 20).decode()
    finally:
        os.close(main)
        os.close(terminal)
    percents = [int(p) for p in re.findall(r"counting pairs: +(\d+)%", shown)]
    assert len(percents) > 3
    assert percents == sorted(percents)
    assert max(percents) <= 100


def test_no_progress_bar_elsewhere(fresh) -> None:
    assert fresh(PROGRESS).stderr == ""


def test_handlers_of_python_answer_again_after_julia_took_them(fresh) -> None:
    """What Julia leaves behind in the thread that starts it: a handler of its own, and a block."""
    out = fresh("""
        import ctypes, os, signal
        from pysoftcorr._julia.process import hand_signals_back

        def own(number, frame):
            print("own handler of", signal.Signals(number).name)

        signal.signal(signal.SIGHUP, own)
        put = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)(
            ("PyOS_setsig", ctypes.pythonapi)
        )
        numbers = [signal.SIGINT, signal.SIGHUP, signal.SIGTERM]
        for number in numbers:
            put(number, None)  # the default, which ends the process
        signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
        hand_signals_back()
        os.kill(os.getpid(), signal.SIGHUP)
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except KeyboardInterrupt:
            print("KeyboardInterrupt")
        # Python has no handler for this one: it stays as it was left.
        print(signal.SIGTERM in signal.pthread_sigmask(signal.SIG_BLOCK, []))
    """)
    assert sorted(out.stdout.splitlines()) == ["KeyboardInterrupt", "True", "own handler of SIGHUP"]


def test_an_import_is_refused_with_its_reason(fresh) -> None:
    out = fresh("""
        import importlib.util, sys
        from pysoftcorr._julia.process import refuse_import
        refuse_import("some_module", "runs already")
        for _ in range(2):
            try:
                import some_module
            except ImportError as error:
                print(error, error.name, "some_module" in sys.modules)
        import wave  # others are found as before
        print(importlib.util.find_spec("some_module") is not None)
    """)
    assert out.stdout == "runs already some_module False\n" * 2 + "True\n"


STUB = """
module ForwardDiff
struct Dual{T,V,N} <: Real
    value::V
    partials::NTuple{N,V}
end
derivative(f, x) = f(x)
gradient(f, x) = f(x)
end
"""


def test_status_says_whether_the_julia_that_runs_uses_forwarddiff(fresh, tmp_path: Path) -> None:
    """Being on the load path is not enough: a system image was made without it."""
    folder = tmp_path / "ForwardDiff"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "ForwardDiff.jl").write_text(STUB)
    (folder / "Project.toml").write_text(
        'name = "ForwardDiff"\nuuid = "f6369f11-7733-5829-9624-2563aa707210"\nversion = "0.0.1"\n'
    )
    code = """
        from pysoftcorr._julia import status
        says = status()
        print(says["image"] is not None, says["forwarddiff"])
    """
    env = {"PYSOFTCORR_JULIA_HOST": "libjulia", "JULIA_DEPOT_PATH": str(tmp_path / "depot")}
    path = f"@:{tmp_path}:@stdlib"
    with_it = fresh(code, JULIA_LOAD_PATH=path, PYSOFTCORR_IMAGE="0", **env)
    assert with_it.stdout == f"False {folder / 'src' / 'ForwardDiff.jl'}\n"
    without = fresh(code, JULIA_LOAD_PATH="@:@stdlib", PYSOFTCORR_IMAGE="0", **env)
    assert without.stdout == "False None\n"
    image, said = fresh(code, JULIA_LOAD_PATH=path, **env).stdout.split()
    assert (said == "None") == (image == "True")
