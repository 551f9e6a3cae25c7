"""Keeping Python's signal handlers while Julia starts.

Julia installs its own handlers. Those for memory faults it needs (its garbage collector stops
threads with them); those of the signals below belong to Python. They are saved and put back at
the C level, which works from any thread, unlike ``signal.signal``.
"""

from __future__ import annotations

import contextlib
import ctypes
import signal
from collections.abc import Iterator

__all__ = ["kept"]

NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGALRM", "SIGPIPE", "SIGWINCH")


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """Restore the handlers of Python's signals when the block ends."""
    numbers = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]
    handler_type, number_type = ctypes.c_void_p, ctypes.c_int
    get = ctypes.PYFUNCTYPE(handler_type, number_type)(("PyOS_getsig", ctypes.pythonapi))
    put = ctypes.PYFUNCTYPE(handler_type, number_type, handler_type)(
        ("PyOS_setsig", ctypes.pythonapi)
    )
    saved = {number: get(number) for number in numbers}
    try:
        yield
    finally:
        for number, handler in saved.items():
            if get(number) != handler:
                put(number, handler)
