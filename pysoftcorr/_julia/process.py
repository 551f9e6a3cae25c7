"""The rest of the process, kept as it was or told what it must know when Julia has started."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.abc
import importlib.util
import signal
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

__all__ = ["hand_signals_back", "load_triton", "refuse_import", "signals_kept"]

# Signals whose handlers stay Python's.
SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGALRM", "SIGPIPE", "SIGWINCH")


def _numbers() -> list[signal.Signals]:
    return [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]


@contextlib.contextmanager
def signals_kept() -> Iterator[None]:
    """Restore the handlers of Python's signals when the block ends.

    Julia installs its own handlers. Those for memory faults it needs (its garbage collector stops
    threads with them). The others are saved and put back at the C level, which works from any
    thread, unlike ``signal.signal``.
    """
    handler_type, number_type = ctypes.c_void_p, ctypes.c_int
    get = ctypes.PYFUNCTYPE(handler_type, number_type)(("PyOS_getsig", ctypes.pythonapi))
    put = ctypes.PYFUNCTYPE(handler_type, number_type, handler_type)(
        ("PyOS_setsig", ctypes.pythonapi)
    )
    saved = {number: get(number) for number in _numbers()}
    try:
        yield
    finally:
        for number, handler in saved.items():
            if get(number) != handler:
                put(number, handler)


def load_triton() -> None:
    """Load the library of triton, where it is installed, before Julia's LLVM is there.

    Builds of torch for GPUs bring triton along and import it when they please. It holds an LLVM
    of its own, and Julia's is visible to all libraries loaded after it: loaded later, triton would
    take the one for the other, and the process would die. Loaded first it keeps its own.
    """
    if not sys.platform.startswith("linux"):
        return
    with contextlib.suppress(ImportError, ValueError):
        spec = importlib.util.find_spec("triton")
        for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
            path = Path(folder) / "_C" / "libtriton.so"
            if path.is_file():
                # Should it not load, triton cannot be imported at all.
                with contextlib.suppress(OSError):
                    ctypes.CDLL(str(path))


def hand_signals_back() -> None:
    """Let Python's handlers answer again after Julia was started in this, the main, thread.

    Julia, where it handles signals, puts its own handlers in the place of Python's and blocks the
    signals in the thread that starts it; a thread of its own, which waits for them, would end the
    process at Ctrl-C. What Python has no handler for stays Julia's.
    """
    for number in _numbers():
        handler = signal.getsignal(number)
        if callable(handler):
            signal.signal(number, handler)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])


class _Refusal(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """A finder of one module, which it then refuses to load."""

    def __init__(self, module: str, reason: str) -> None:
        self.module, self.reason = module, reason

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """A spec with this loader for the module, nothing for any other."""
        return ModuleSpec(fullname, self) if fullname == self.module else None

    def exec_module(self, module: ModuleType) -> None:
        """Refuse the module.

        Raises
        ------
        ImportError
            Always, with the reason.
        """
        raise ImportError(self.reason, name=self.module)


def refuse_import(module: str, reason: str) -> None:
    """Have later imports of `module` fail with `reason`, where they would end the process."""
    sys.meta_path.insert(0, _Refusal(module, reason))
