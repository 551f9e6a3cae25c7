"""Processes that each hold the target of a sampler."""

from __future__ import annotations

import copy
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any, Protocol

import torch

from pysoftcorr.core.options import MOST_WORKERS, count
from pysoftcorr.core.processes import deaf_children, refuse_unguarded_script, stay_deaf
from pysoftcorr.core.torch import one_thread

__all__ = ["Problem", "Workers"]


class Problem(Protocol):
    """Maker of the target of each worker; goes to other processes, so it must pickle."""

    def target(self) -> Any:
        """Make the target, or what has several of them."""
        ...


_TARGET: Any = None


def _start(problems: Any) -> None:
    global _TARGET
    stay_deaf()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    _TARGET = problems.get().target()


def _end_with_parent() -> None:
    """A killed parent cannot end its workers, which would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _with_target(function: Callable[..., Any], arguments: tuple[Any, ...], part: str | None) -> Any:
    return function(_part(_TARGET, part), *arguments)


def _part(target: Any, part: str | None) -> Any:
    return target if part is None else getattr(target, part)()


class Workers:
    """Runs functions of a target: in this process, or in several others.

    Parameters
    ----------
    problem : Problem
    number : int
        Number of processes; 1: none but this one. With more, a script must keep its calls under
        ``if __name__ == "__main__":``, as all that start processes.

    Raises
    ------
    ValueError, TypeError
        If `number` is no whole number of 1 or more.
    RuntimeError
        If a script calls it without that guard.

    Notes
    -----
    A context manager; leaving it by an error ends the processes at once.
    """

    def __init__(self, problem: Problem, number: int = 1) -> None:
        self.number = count("workers", number, most=MOST_WORKERS)
        self.part: str | None = None
        self._pool: ProcessPoolExecutor | None = None
        self._target: Any = None
        if number > 1:
            refuse_unguarded_script(f"workers = {number}")
            context = multiprocessing.get_context("spawn")
            # A process is started with little: Ctrl-C is held back until it has read all of that,
            # which takes as long as its imports where it does not fit into a pipe.
            self._problems = context.Queue()
            # Else whoever is interrupted before a process reads of it waits for that at the end.
            self._problems.cancel_join_thread()
            for _ in range(number):
                self._problems.put(problem)
            self._pool = ProcessPoolExecutor(
                number, mp_context=context, initializer=_start, initargs=(self._problems,)
            )
        else:
            self._target = problem.target()

    def of(self, part: str) -> Workers:
        """These workers, with functions that get what this method of the target gives."""
        other = copy.copy(self)
        other.part = part
        return other

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        if self._pool is None:
            return
        if kind is not None:
            # A block may last half a minute; whoever interrupts does not wait for it.
            for process in list((getattr(self._pool, "_processes", None) or {}).values()):
                process.terminate()
        self._problems.close()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """A future of function(target, *arguments); done at once in this process."""
        if self._pool is not None:
            with deaf_children():  # the pool starts its processes when it is given work
                return self._pool.submit(_with_target, function, arguments, self.part)
        future: Future[Any] = Future()
        with one_thread():
            future.set_result(function(_part(self._target, self.part), *arguments))
        return future

    def map(self, function: Callable[..., Any], points: Iterable[Any]) -> list[Any]:
        """function(target, point) of each point, in their order."""
        if self._pool is None:
            with one_thread():
                target = _part(self._target, self.part)
                return [function(target, p) for p in points]
        return [f.result() for f in [self.submit(function, p) for p in points]]
