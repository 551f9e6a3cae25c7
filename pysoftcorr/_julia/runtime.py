"""The one Julia of this process: which host, its start, its state."""

from __future__ import annotations

import atexit
import contextlib
import os
import shlex
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from pysoftcorr._julia import entries, settings
from pysoftcorr._julia.errors import JuliaError
from pysoftcorr._julia.owner import CallerOwner, Control, Job, Owner, ThreadOwner, Watch
from pysoftcorr.core.progress import watched
from pysoftcorr.core.version import __version__

if TYPE_CHECKING:
    from pysoftcorr._julia.hosts import Host

__all__ = ["call", "julia_module", "self_test", "start", "start_with", "status"]

DONE, FAILED, BAD_ARGUMENT, CANCELLED, OUT_OF_MEMORY = range(5)
TEXT_BYTES = 1 << 16


class Runtime:
    """A host, the thread it belongs to and the entry points fetched from it so far."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.start_seconds = float("nan")
        self.owner: Owner
        if getattr(host, "caller_owned", False):
            self.owner = CallerOwner()
        else:
            self.owner = ThreadOwner()
        self._functions: dict[str, Callable[..., int]] = {}
        self._starting = Job(self._start)
        self.owner.submit(self._starting)

    def _start(self) -> None:
        begin = time.perf_counter()
        self.host.start()
        if isinstance(self.owner, ThreadOwner):
            self.owner.waiting = getattr(self.host, "waiting", None) or contextlib.nullcontext
            # What is registered last is done first: before juliacall's own hook ends Julia.
            atexit.register(self.owner.close, self.host.close)
        entries.check_table(self.host.entry_table(), version=__version__)
        self.owner.control = Control(self.host.control_addresses())
        self.start_seconds = time.perf_counter() - begin

    def wait_started(self) -> None:
        """Wait for the start; a failed one fails again."""
        self._starting.done.wait()
        self._starting.outcome()

    def function(self, name: str) -> Callable[..., int]:
        """The C entry point (in the owner thread)."""
        if name not in self._functions:
            prototype = entries.prototype(entries.ENTRIES[name])
            self._functions[name] = prototype(self.host.entry_pointer(name))
        return self._functions[name]

    def last_error(self) -> str:
        """Text of the last failure (in the owner thread)."""
        buffer = np.zeros(TEXT_BYTES, dtype=np.uint8)
        self.function("last_error")(buffer.ctypes.data, buffer.size)
        return buffer.tobytes().split(b"\0", 1)[0].decode(errors="replace")

    def call(self, name: str, args: tuple[Any, ...], watch: Watch | None = None) -> None:
        """Run an entry point; see `call`."""
        # Arrays that another process sent may begin anywhere (of empty ones NumPy does not say so).
        # Those that Julia writes to are new.
        args = tuple(
            a.copy() if isinstance(a, np.ndarray) and not (a.flags.aligned and a.size) else a
            for a in args
        )
        converted = entries.convert(name, entries.ENTRIES[name], args)

        # `kept`: the arrays stay alive as long as Julia may write to them, also when the caller
        # has been interrupted and is gone.
        def work(kept: tuple[Any, ...] = args) -> tuple[int, str]:
            status = self.function(name)(*converted)
            return status, "" if status in (DONE, CANCELLED) else self.last_error()

        status, text = self.owner.run(work, watch)
        if status == BAD_ARGUMENT:
            raise ValueError(text)
        if status == CANCELLED:
            raise KeyboardInterrupt
        if status == OUT_OF_MEMORY:
            raise MemoryError(f"{name}: {text}")
        if status != DONE:
            raise JuliaError(f"{name}: {text}")


_lock = threading.Lock()
_runtime: Runtime | None = None
_pid = 0


def _check_process() -> None:
    if _runtime is not None and _pid != os.getpid():
        raise RuntimeError(
            "this process was forked after Julia had started and cannot use it: start workers "
            "with multiprocessing.get_context('spawn')"
        )


def start_with(host: Host) -> Runtime:
    """Start a given host; only the first of a process counts."""
    global _runtime, _pid
    _check_process()
    with _lock:
        if _runtime is None:
            _pid = os.getpid()
            _runtime = Runtime(host)
    _runtime.wait_started()
    return _runtime


def start() -> Runtime:
    """Start Julia unless it runs.

    Raises
    ------
    JuliaUnavailable
        No runtime can be used; the message says how to get one.
    RuntimeError
        This process was forked from one in which Julia runs.
    """
    _check_process()
    runtime = _runtime
    if runtime is not None:
        runtime.wait_started()
        return runtime
    from pysoftcorr._julia import hosts

    return start_with(hosts.choose())


def call(name: str, *args: Any, progress: str | None = None) -> None:
    """Call a C entry point of the Julia sources.

    The arrays are handed over as they are: Julia reads and writes their memory, and sees a
    C-order (N, 3) array as (3, N).

    Parameters
    ----------
    name : str
        Name of the entry point.
    *args : int, float or numpy.ndarray
        As its signature says: arrays must be C-contiguous and of dtype float64, int64 or uint8.
    progress : str, optional
        Title of a progress bar, shown when standard error is a terminal.

    Raises
    ------
    ValueError
        A bad argument found by Julia, or an unknown name.
    TypeError
        An argument of the wrong kind, dtype or memory order, or the wrong number of them.
    JuliaError
        Anything else that failed in Julia.
    KeyboardInterrupt
        Ctrl-C; the call is told to stop.
    MemoryError
        Julia ran out of memory.
    JuliaUnavailable
        No Julia runtime can be used.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr._julia import call
    >>> caught = np.zeros(1, dtype=np.int64)
    >>> call("self_test", 10, caught)
    >>> int(caught[0])
    160
    """
    if name not in entries.ENTRIES:
        raise ValueError(f"no entry point named {name!r}")
    runtime = start()
    with _bar(progress) as watch:
        runtime.call(name, args, watch)


#: Seconds of work before its bar is shown.
_PATIENCE = 0.5


@contextlib.contextmanager
def _bar(title: str | None) -> Iterator[Watch | None]:
    """A function that shows (done, total) where somebody watches; None without a title."""
    if title is None or not watched():
        yield None
        return
    from tqdm import tqdm

    # Short work has none: in a notebook its empty line would stay.
    begun = time.monotonic()
    with tqdm(desc=title, total=None, leave=False, delay=_PATIENCE) as shown:

        def watch(done: int, total: int) -> None:
            if time.monotonic() - begun < _PATIENCE:
                return
            if total > 0:
                shown.total = total
                shown.n = min(done, total)
            shown.refresh()

        yield watch


def self_test(rounds: int = 100) -> bool:
    """Whether exceptions are caught on every thread, and garbage is collected, without harm."""
    caught = np.zeros(1, dtype=np.int64)
    call("self_test", rounds, caught)
    return int(caught[0]) == 16 * rounds


def julia_module() -> Any:
    """The live Julia module ``SoftCorr``, for scripts that mix both languages.

    Such a script begins with ``from juliacall import Main as jl``: Julia then belongs to the main
    thread, where the script may call it. So it does where this is the first call of pysoftcorr,
    from the main thread; after another call Julia has a thread of its own.

    Raises
    ------
    JuliaUnavailable
        Julia does not run through juliacall, or a call from this thread would end the process
        (before Julia 1.9, where Julia has a thread of its own).

    Warns
    -----
    UserWarning
        Julia has a thread of its own: output of Julia from another one may hang.
    """
    from pysoftcorr._julia import hosts

    _check_process()
    if _runtime is None:
        main = threading.current_thread() is threading.main_thread()
        host = hosts.choose(own_thread=not main)
        if host.name == "libjulia":
            return host.module()  # refuses: nothing is started, so that juliacall still can be
        start_with(host)
    runtime = start()
    module = runtime.owner.run(runtime.host.module)
    if isinstance(runtime.owner, ThreadOwner):
        warnings.warn(
            "Julia runs in a thread of pysoftcorr's own: a println, or other input and output of "
            "Julia, from this thread may hang. To avoid it, begin the script with: from juliacall "
            "import Main as jl",
            stacklevel=2,
        )
    return module


def status() -> dict[str, Any]:
    """Start Julia and describe it; every value can be written as JSON.

    Returns
    -------
    dict
        ``host``, ``owner`` ("main thread", or "own thread" of pysoftcorr), ``version``,
        ``threads``, ``cpu``, ``cpu_target``, ``forwarddiff`` (path of the ForwardDiff in use, or
        None), ``self_test`` (bool), ``start_seconds``, ``ready_seconds``, ``command`` (a command
        line that starts this Julia in a process of its own, with SoftCorr on its load path),
        ``image`` (path of the system image compiled from our sources, or None), ``image_reason``
        (why there is none), ``package`` (folder of the Julia package).

    Raises
    ------
    JuliaUnavailable
        No Julia runtime can be used.
    """
    from pysoftcorr._julia.hosts import launcher

    begin = time.perf_counter()
    runtime = start()
    seconds = time.perf_counter() - begin
    text = runtime.owner.run(runtime.host.runtime_info)
    says = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    executable, variables = launcher()
    words = [f"{name}={shlex.quote(value)}" for name, value in variables.items()]
    return {
        "host": runtime.host.name,
        "owner": "own thread" if isinstance(runtime.owner, ThreadOwner) else "main thread",
        "version": says["version"],
        "threads": int(says["threads"]),
        "cpu": says["cpu"],
        "cpu_target": says["cpu_target"],
        "forwarddiff": says["forwarddiff"] or None,
        "self_test": self_test(),
        "start_seconds": round(runtime.start_seconds, 3),
        "ready_seconds": round(seconds, 3),
        "command": " ".join([*words, shlex.quote(executable)]),
        "image": runtime.host.image,
        "image_reason": runtime.host.image_reason,
        "package": str(settings.package_dir()),
    }
