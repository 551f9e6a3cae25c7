"""The command ``softcorr``: correlation functions with both errors, from the terminal."""

from __future__ import annotations

import atexit
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress

from pysoftcorr.cli import interrupts

__all__ = ["main"]

_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``softcorr``; leaves by SystemExit.

    Exit status 0; 2 for what the user can fix, in one line on stderr; 130 where
    interrupted; 1 for a fault of the program.

    Parameters
    ----------
    arguments : sequence of str, optional
        Those of the command line by default.

    Examples
    --------
    >>> from pysoftcorr.cli import main
    >>> main(["--version"])
    Traceback (most recent call last):
        ...
    SystemExit: 0
    """
    if arguments is None:
        interrupts.listen()
    try:
        from pysoftcorr.cli.app import run

        status = run(list(sys.argv[1:] if arguments is None else arguments))
    except (KeyboardInterrupt, Exception) as error:  # while modules are being imported
        if not (isinstance(error, KeyboardInterrupt) or interrupts.pressed()):
            raise
        print("interrupted: nothing was done", file=sys.stderr)
        status = _INTERRUPTED
    finally:
        if arguments is None:
            interrupts.forget()
    if arguments is None and status == _INTERRUPTED:
        _leave()
    raise SystemExit(status)


def _leave() -> None:
    """End this process without taking it apart, which takes seconds once torch was imported."""
    # Julia's thread, processes of workers, whatever else asked to be told.
    atexit._run_exitfuncs()
    _silence_tracker()
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(_INTERRUPTED)


def _silence_tracker() -> None:
    """End the process that watches semaphores of multiprocessing.

    They are gone by now; it would warn of those that were given up while a process was killed.
    """
    watch = getattr(sys.modules.get("multiprocessing.resource_tracker"), "_resource_tracker", None)
    pid = getattr(watch, "_pid", None)
    if pid is not None:
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)
