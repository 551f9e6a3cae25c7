"""Ctrl-C that is not lost: libraries swallow it, such as those in C while they are imported."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType
from typing import Any

__all__ = ["forget", "listen", "pressed"]

#: Seconds until it is looked whether Ctrl-C was heard.
_AGAIN = 0.3
_pressed = False


def listen() -> None:
    """Raise KeyboardInterrupt for Ctrl-C, again and again until something deals with it."""
    usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    main = threading.current_thread() is threading.main_thread()
    if usual and main and hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, _look)
        signal.signal(signal.SIGINT, _press)
        usual_hook = sys.unraisablehook
        sys.unraisablehook = lambda lost: None if _is_press(lost) else usual_hook(lost)


def pressed() -> bool:
    """Whether Ctrl-C was pressed: what fails after that follows from it."""
    return _pressed


def forget() -> None:
    """End all of it: the work is done, and whoever presses now changes nothing."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _press(number: int, frame: FrameType | None) -> None:
    global _pressed
    _pressed = True
    signal.setitimer(signal.ITIMER_REAL, _AGAIN, _AGAIN)
    raise KeyboardInterrupt


def _is_press(lost: Any) -> bool:
    """Whether Ctrl-C came where Python cannot raise it, as in a finalizer: `_look` does later."""
    return _pressed and issubclass(lost.exc_type, KeyboardInterrupt)


def _look(number: int, frame: FrameType | None) -> None:
    if _pressed and not _dealt_with(sys.exc_info()[1]):
        raise KeyboardInterrupt


def _dealt_with(error: Any) -> bool:
    """Whether what is being handled, such as by a block that cleans up, comes of Ctrl-C."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__context__
    return False
