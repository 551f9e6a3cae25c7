"""Processes that are started: what their script must keep to, and Ctrl-C, which is not for them."""

from __future__ import annotations

import ast
import contextlib
import linecache
import multiprocessing
import signal
import sys
from collections.abc import Iterator
from multiprocessing import resource_tracker
from multiprocessing.spawn import get_preparation_data
from types import FrameType
from typing import Any

__all__ = ["deaf_children", "refuse_unguarded_script", "stay_deaf"]

_ADVICE = (
    "each process that is started runs the script again; put the call, or all that the script "
    'does, under if __name__ == "__main__":'
)


@contextlib.contextmanager
def deaf_children() -> Iterator[None]:
    """Processes and threads that are started within hold Ctrl-C back, from their first moment.

    A terminal sends it to every process of a command: the one that started the others ends them.
    """
    resource_tracker.ensure_running()  # where it starts later, it lets Ctrl-C in again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def stay_deaf() -> None:
    """Ignore Ctrl-C in a process that was started so, for good; called in its main thread.

    Held back alone it would wait for whoever asks for it: Julia does, as it starts.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def refuse_unguarded_script(call: str) -> None:
    """Refuse to start processes from a script that each of them would run again.

    Parameters
    ----------
    call : str
        What starts the processes, for the message.

    Raises
    ------
    RuntimeError
        If this process is one that runs the script again, or would start such processes.

    Notes
    -----
    Processes that are spawned import the main script, under another ``__name__``. What is called
    from a statement of it that does not ask for ``__name__`` would be called in each of them.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise RuntimeError(f"{call} starts processes: {_ADVICE}")
    script = _run_again()
    if script is None:
        return
    line = _line_of(script)
    if line is None:
        return
    path = str(script.__file__)
    statement = _statement(path, line)
    if statement is not None and not _asks_for_name(statement):
        raise RuntimeError(f"{path}, line {line}: {call} starts processes: {_ADVICE}")


def _run_again() -> Any:
    """The main module, where a spawned process runs its file again."""
    data = get_preparation_data("pysoftcorr")
    name = data.get("init_main_from_name")
    if name is not None and (name == "__main__" or name.endswith(".__main__")):
        return None  # python -m PACKAGE: the processes leave it out
    if name is None and data.get("init_main_from_path") is None:
        return None  # typed in, or from python -c
    return sys.modules["__main__"]


def _line_of(script: Any) -> int | None:
    """Line of the script that is being run; None in a thread of its own, or a function's."""
    frame: FrameType | None = sys._getframe()
    line = None
    while frame is not None:
        if frame.f_code.co_name == "<module>" and frame.f_globals is vars(script):
            line = frame.f_lineno
        frame = frame.f_back
    return line


def _statement(path: str, line: int) -> ast.stmt | None:
    """The outermost statement of a script at a line; None where the script cannot be read."""
    try:
        body = ast.parse("".join(linecache.getlines(path))).body
    except SyntaxError:
        return None
    return next((s for s in body if s.lineno <= line <= (s.end_lineno or s.lineno)), None)


def _asks_for_name(statement: ast.stmt) -> bool:
    return any(isinstance(n, ast.Name) and n.id == "__name__" for n in ast.walk(statement))
