"""Tasks in flight: each is done once, whichever workers die."""

from __future__ import annotations

import asyncio
import os
import queue
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from pysoftcorr.core.farm.connection import CLOSE_SECONDS

__all__ = ["Shared", "Words", "finished", "use_threads_of_worker"]

_POLL_SECONDS = 0.25
_COUNT_SECONDS = 10.0
#: The result of a finished task takes this long to come from its worker, at most.
_RESULT_SECONDS = 15.0
#: Workers of this machine that die are started again; none for so long means that none will be.
_RESTART_SECONDS = 120.0
#: Losses of what is shared or of tasks with their workers that end the work, none done in between.
_LOSSES = 10

Tick = Callable[[str], None]


@dataclass(frozen=True)
class Words:
    """What is said of tasks where they cannot be done.

    Attributes
    ----------
    unit : str
        What a task is: "row".
    kept : str
        What becomes of those that are finished, and how to go on.
    again : str
        What to do where workers die of some.
    """

    unit: str
    kept: str
    again: str


@dataclass
class Shared:
    """Something that all tasks get, sent to the workers once, and again where it was lost.

    Attributes
    ----------
    given : object
    there : future, optional
        As the workers have it.
    """

    given: Any
    there: Any = field(default=None, repr=False)

    def send(self, client: Any) -> None:
        """Bring it to every worker that there is."""
        if self.there is None:
            # In a list, of which dask sends each entry; a tuple or mapping it would take apart.
            (self.there,) = client.scatter([self.given], broadcast=True, hash=False)


def use_threads_of_worker() -> None:
    """Let Julia, which starts once in a worker, use what the worker was given."""
    if not os.environ.get("PYSOFTCORR_THREADS", "").strip():
        from distributed import get_worker

        os.environ["PYSOFTCORR_THREADS"] = str(get_worker().state.nthreads)


def finished(
    client: Any,
    task: Callable[..., Any],
    shared: Sequence[Shared],
    arguments: Callable[[int], tuple[Any, ...]],
    numbers: Sequence[int],
    tick: Tick,
    *,
    words: Words,
    failed: Callable[[int, BaseException], BaseException],
    large: bool = False,
) -> Iterator[tuple[int, Any]]:
    """Numbers of tasks and their results, in the order in which workers finish them.

    Task k is ``task(*shared, *arguments(k))``, in a worker.

    Parameters
    ----------
    client : distributed.Client
    task : callable
    shared : sequence of Shared
    arguments : callable
    numbers : sequence of int
    tick : callable
        Called a few times a second, with what is being waited for where that is unusual.
    words : Words
    failed : callable
        The error that is raised where a task has failed with one.
    large : bool
        Whether arguments are so large that they had better not pass through the scheduler.

    Raises
    ------
    ConnectionError
        If the scheduler goes away.
    MemoryError
        At the end, if workers died of some tasks.
    """
    from distributed import CancelledError, KilledWorker

    flight = _Flight(client, task, shared, arguments, words, large)
    waiting = list(reversed(numbers))
    lost: list[int] = []
    while waiting or flight.running:
        flight.fill(waiting, tick)
        future = flight.next(tick)
        if future is None:
            continue
        number, sent = flight.running.pop(future.key)
        found: tuple[Any] | None = None
        error = None
        if future.status == "finished":
            # A worker that dies now takes the result with it, and maybe what it was made of.
            with suppress(OSError, TimeoutError, asyncio.TimeoutError, CancelledError):
                found, error = flight.fetched(future)
        elif future.status == "error":
            with suppress(CancelledError):
                error = future.exception()
        if found is not None:
            yield number, found[0]
        elif isinstance(error, KilledWorker):
            lost.append(number)
        elif error is not None:
            told = failed(number, error)
            raise told from (None if told is error else error)
        else:
            flight.lost(sent)
            waiting.append(number)
    if lost:
        shown = ", ".join(map(str, lost[:5])) + (", ..." if len(lost) > 5 else "")
        raise MemoryError(
            f"for {len(lost)} {words.unit}s ({shown}): workers died of them again and again. "
            f"{words.again}"
        )


class _Flight:
    """Tasks in flight: a few for every thread, so that no worker waits and Ctrl-C is quick."""

    def __init__(
        self, client: Any, task: Callable[..., Any], shared: Sequence[Shared],
        arguments: Callable[[int], tuple[Any, ...]], words: Words, large: bool,
    ) -> None:  # fmt: skip
        self.client, self.task, self.shared, self.words = client, task, shared, words
        self.arguments, self.large = arguments, large
        #: Number of each future's task, and how often what is shared had been sent by then.
        self.running: dict[str, tuple[int, int]] = {}
        self._futures: dict[str, Any] = {}
        self._done: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._ready = False
        self._sent = self._submitted = self._losses = 0
        self._counted = -_COUNT_SECONDS
        self._threads = 0
        self._seen = self._restarted = time.monotonic()

    def refuse_if_gone(self, *, wait: float = 0.0) -> None:
        """ConnectionError where the scheduler is gone, or turns out to be within `wait` seconds."""
        end = time.monotonic() + wait
        while self.client.status == "running" and time.monotonic() < end:
            time.sleep(_POLL_SECONDS)
        if self.client.status != "running":
            raise ConnectionError(f"the dask scheduler went away; {self.words.kept}")

    def fetched(self, future: Any) -> tuple[tuple[Any] | None, BaseException | None]:
        """The result of a finished task, or the error of one that was done again and failed.

        Raises
        ------
        CancelledError, OSError, TimeoutError
            If the result is gone with its worker, or takes too long.
        """
        from distributed import CancelledError

        try:
            result = future.result(timeout=_RESULT_SECONDS)
        except (OSError, TimeoutError, asyncio.TimeoutError, CancelledError):
            raise
        except Exception as error:
            return None, error
        self._losses = 0
        return (result,), None

    def lost(self, sent: int) -> None:
        """Count a task that went with its worker, and send what is shared of that time again.

        Raises
        ------
        ConnectionError
            If the scheduler is gone, or workers go away without an end.
        """
        self.refuse_if_gone(wait=CLOSE_SECONDS)
        if sent != self._sent or not self._ready:
            return  # what was shared is known to be gone
        self._ready = False
        for one in self.shared:
            one.there = None
        self._losses += 1
        if self._losses >= _LOSSES:
            raise ConnectionError(
                f"dask's workers went away {self._losses} times and no {self.words.unit} was "
                f"finished; {self.words.kept}"
            )

    def fill(self, waiting: list[int], tick: Tick) -> None:
        """Submit tasks as long as there is room for them."""
        self._count()
        if not self._threads:
            tick("waiting for a worker")
            self._refuse_if_none_is_left()
            return
        self._seen = time.monotonic()
        if not self._ready and waiting:
            self._ask(self._share)
            if not self._ready:
                return
            self._sent += 1
        while waiting and len(self.running) < 2 * self._threads + 2:
            number = waiting.pop()
            given = self.arguments(number)
            if self.large:
                try:
                    given = tuple(self.client.scatter(list(given), hash=False))
                except (OSError, TimeoutError):  # the worker that it went to is gone
                    waiting.append(number)
                    self.refuse_if_gone()
                    self._threads = 0
                    return
            future = self.client.submit(
                self.task,
                *(one.there for one in self.shared),
                *given,
                key=f"softcorr-{id(self)}-{self._submitted}-{number}",
                pure=False,
            )
            self._submitted += 1
            self.running[future.key] = number, self._sent
            self._futures[future.key] = future
            future.add_done_callback(self._done.put)

    def next(self, tick: Tick) -> Any:
        """A future that is done, or None after a moment."""
        tick("" if self._threads else "waiting for a worker")
        try:
            future = self._done.get(timeout=_POLL_SECONDS)
        except queue.Empty:
            self.refuse_if_gone()
            return None
        self._futures.pop(future.key, None)
        return future

    def _refuse_if_none_is_left(self) -> None:
        """ConnectionError where workers of this machine stay away; others may be on the way."""
        cluster = getattr(self.client, "cluster", None)
        if cluster is None:
            return
        now = time.monotonic()
        if now - max(self._seen, self._restarted) > _COUNT_SECONDS:
            # dask starts a dead worker again, but not one that died while it started.
            self._restarted = now
            cluster.scale(len(cluster.worker_spec))
        if now - self._seen > _RESTART_SECONDS:
            raise ConnectionError(
                f"dask's workers died, and none started again within {_RESTART_SECONDS:.0f} s; "
                f"{self.words.kept}"
            )

    def _share(self) -> None:
        for one in self.shared:
            one.send(self.client)
        self._ready = True

    def _count(self) -> None:
        now = time.monotonic()
        if now - self._counted >= (_COUNT_SECONDS if self._threads else _POLL_SECONDS):
            self._counted = now

            def count() -> None:
                self._threads = sum(self.client.nthreads().values())

            self._ask(count)

    def _ask(self, question: Callable[[], None]) -> None:
        """Ask the scheduler; what goes wrong because it is gone is said so."""
        self.refuse_if_gone()
        try:
            question()
        except (OSError, TimeoutError):
            self.refuse_if_gone()
            self._threads = 0
