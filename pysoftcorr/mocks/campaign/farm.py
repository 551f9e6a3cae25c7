"""Rows of a campaign worked on by dask.distributed."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import Any

import numpy.typing as npt

from pysoftcorr._julia.errors import JuliaUnavailable
from pysoftcorr.core.cores import usable_cores
from pysoftcorr.core.processes import deaf_children
from pysoftcorr.mocks.campaign.rows import work
from pysoftcorr.mocks.halos import HaloCatalog

__all__ = ["connected", "finished_rows"]

_CONNECT_SECONDS = 10.0
_START_SECONDS = 300.0
_POLL_SECONDS = 0.25
_COUNT_SECONDS = 10.0
_CLOSE_SECONDS = 2.0
#: A finished row takes this long to come from its worker, at most.
_RESULT_SECONDS = 15.0
#: Workers of this machine that die are started again; none for so long means that none will be.
_RESTART_SECONDS = 120.0
#: Losses of halos or rows with their workers that end a campaign, no row finished in between.
_LOSSES = 10

Tick = Callable[[str], None]


def dask_setup(worker: Any) -> None:
    """Let a starting worker ignore Ctrl-C, which a terminal sends to every process.

    The process that started the workers ends them.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def connected(scheduler: str | None, workers: int | None) -> Iterator[Any]:
    """A client of a scheduler, or of a local cluster of processes that ends with the block.

    Raises
    ------
    ConnectionError
        If there is no scheduler at the address, or workers of this machine do not start.
    """
    from distributed import Client, LocalCluster

    class Closed(Client):
        """A client that is closed below, and not again by what collects it."""

        def __del__(self) -> None:
            pass

    with ExitStack() as stack:
        stack.enter_context(_quiet())
        if scheduler is not None:
            _refuse_unless_answered(scheduler)
        address: Any = scheduler
        if scheduler is None:
            cores = usable_cores()
            number = workers or cores
            before = set(multiprocessing.active_children())
            with _interrupt_later():  # within, Ctrl-C would leave a cluster that nobody closes
                address = LocalCluster(
                    n_workers=0,  # they come below, where Ctrl-C finds a cluster to close
                    threads_per_worker=1,
                    processes=True,
                    loop=_deaf_loop(),
                    dashboard_address=None,
                    # Its status page is not asked for, and takes whatever port is free.
                    scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
                    # The design's largest catalogs need what they need: killing does not help.
                    memory_limit=0,
                    silence_logs=logging.CRITICAL,
                    preload=[__name__],  # for dask_setup
                    env={"PYSOFTCORR_THREADS": str(max(1, cores // number))},
                )
                # It is closed below; at the end of the process dask would wait for that again.
                address.shutdown_on_close = False
                stack.callback(_kill_others, before)
                stack.callback(_close, address)
            stack.push(partial(_kill_if_interrupted, address, before))
            address.scale(number)
        try:
            client = Closed(address, timeout=_CONNECT_SECONDS, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            raise _no_answer(scheduler, error) from None
        stack.callback(_close, client)
        if scheduler is None:
            stack.push(partial(_kill_if_interrupted, address, before))
            try:
                client.wait_for_workers(1, timeout=_START_SECONDS)
            except (OSError, TimeoutError, asyncio.TimeoutError):
                raise ConnectionError(
                    f"no process of dask started on this machine within {_START_SECONDS:.0f} s"
                ) from None
        yield client


def _deaf_loop() -> Any:
    """An event loop in a thread of its own, where Ctrl-C is held back.

    So it is in processes that are started from there, while they do not yet ignore it.
    """
    from distributed.utils import LoopRunner

    with deaf_children():
        runner = LoopRunner()
        runner.start()
    return runner.loop


def _refuse_unless_answered(scheduler: str) -> None:
    """ConnectionError where nothing answers: a client that fails itself is slow to give up."""
    from distributed import Security
    from distributed.comm import connect

    async def ask() -> None:
        options = Security().get_connection_args("client")
        comm = await connect(scheduler, timeout=_CONNECT_SECONDS, **options)
        comm.abort()

    try:
        with ThreadPoolExecutor(1) as aside:  # in a notebook, a loop runs in this thread
            aside.submit(asyncio.run, ask()).result()
    except (OSError, asyncio.TimeoutError, ValueError, TypeError, NotImplementedError) as error:
        raise _no_answer(scheduler, error) from None


def _no_answer(scheduler: str | None, error: Exception) -> ConnectionError:
    where = f"at {scheduler}" if scheduler else "at the empty address" if scheduler == "" else ""
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return ConnectionError(
        f"no dask scheduler answers {where}".rstrip()
        + f": is it running, and is the address right, as tcp://host:8786? ({reason})"
    )


def finished_rows(
    client: Any,
    halos: HaloCatalog | None,
    plan: Any,
    design: npt.NDArray[Any],
    rows: Sequence[int],
    tick: Tick,
    *,
    task: Callable[..., bytes] = work,
) -> Iterator[bytes]:
    """Records of `rows` in the order in which workers finish them.

    A row is ``task(halos, plan, row, design[row])``, in a worker.

    `tick` is called a few times a second, with what is being waited for where that is unusual.

    Raises
    ------
    ConnectionError
        If the scheduler goes away.
    MemoryError
        At the end, if workers died of some rows.
    RuntimeError
        If a row fails for a reason of ours.
    """
    from distributed import CancelledError

    farm = _Farm(client, halos, plan, design, task)
    waiting = list(reversed(rows))
    lost: list[int] = []
    while waiting or farm.running:
        farm.fill(waiting, tick)
        future = farm.next(tick)
        if future is None:
            continue
        row, sent = farm.running.pop(future.key)
        record = error = None
        if future.status == "finished":
            # A worker that dies now takes the row with it, and maybe the halos that it was made of.
            with suppress(OSError, TimeoutError, asyncio.TimeoutError, CancelledError):
                record, error = farm.fetched(future)
        elif future.status == "error":
            with suppress(CancelledError):
                error = future.exception()
        if record is not None:
            yield record
        elif error is not None:
            _raise_unless_killed(row, error)
            lost.append(row)
        else:
            farm.lost(sent)
            waiting.append(row)
    if lost:
        shown = ", ".join(map(str, lost[:5])) + (", ..." if len(lost) > 5 else "")
        raise MemoryError(
            f"for {len(lost)} rows ({shown}): workers died of them again and again. All others "
            "are kept; give the same command again with fewer workers, or on more memory"
        )


class _Farm:
    """Rows in flight: a few for every thread, so that no worker waits and Ctrl-C is quick."""

    def __init__(
        self, client: Any, halos: HaloCatalog | None, plan: Any, design: npt.NDArray[Any],
        task: Callable[..., bytes],
    ) -> None:  # fmt: skip
        self.client, self.halos, self.plan, self.design = client, halos, plan, design
        self.task = task
        #: Row of each future, and how often the halos had been sent when it was submitted.
        self.running: dict[str, tuple[int, int]] = {}
        self._futures: dict[str, Any] = {}
        self._done: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._shared: Any = None
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
            raise ConnectionError(
                "the dask scheduler went away; finished rows are kept: give the same command "
                "again to resume"
            )

    def fetched(self, future: Any) -> tuple[bytes | None, BaseException | None]:
        """The record of a finished row, or the error of one that was made again and failed.

        Raises
        ------
        CancelledError, OSError, TimeoutError
            If the row is gone with its worker, or takes too long.
        """
        from distributed import CancelledError

        try:
            record: bytes = future.result(timeout=_RESULT_SECONDS)
        except (OSError, TimeoutError, asyncio.TimeoutError, CancelledError):
            raise
        except Exception as error:
            return None, error
        self._losses = 0
        return record, None

    def lost(self, sent: int) -> None:
        """Count a row that went with its worker, and send halos of that time again.

        Raises
        ------
        ConnectionError
            If the scheduler is gone, or workers go away without an end.
        """
        self.refuse_if_gone(wait=_CLOSE_SECONDS)
        if sent != self._sent or self._shared is None:
            return  # these halos are known to be gone
        self._shared = None
        self._losses += 1
        if self._losses >= _LOSSES:
            raise ConnectionError(
                f"dask's workers went away {self._losses} times and no row was finished; those "
                "finished before are kept: give the same command again to resume"
            )

    def fill(self, waiting: list[int], tick: Tick) -> None:
        """Submit rows as long as there is room for them."""
        self._count()
        if not self._threads:
            tick("waiting for a worker")
            self._refuse_if_none_is_left()
            return
        self._seen = time.monotonic()
        if self._shared is None and waiting:
            self._ask(self._scatter)
            if self._shared is None:
                return
            self._sent += 1
        while waiting and len(self.running) < 2 * self._threads + 2:
            row = waiting.pop()
            future = self.client.submit(
                self.task,
                self._shared,
                self.plan,
                row,
                self.design[row],
                key=f"softcorr-campaign-{id(self)}-{self._submitted}-{row}",
                pure=False,
            )
            self._submitted += 1
            self.running[future.key] = row, self._sent
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
                "finished rows are kept: give the same command again to resume"
            )

    def _scatter(self) -> None:
        self._shared = self.client.scatter(self.halos, broadcast=True, hash=False)

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


def _raise_unless_killed(row: int, error: BaseException) -> None:
    from distributed import KilledWorker

    if isinstance(error, KilledWorker):
        return
    if isinstance(error, (JuliaUnavailable, MemoryError)):
        raise error
    raise RuntimeError(
        f"row {row} failed: {type(error).__name__}: {error}; finished rows are kept"
    ) from error


@contextmanager
def _interrupt_later() -> Iterator[None]:
    """Ctrl-C held back until the end of a block that must not be left half done."""
    if threading.current_thread() is not threading.main_thread():
        yield  # it never comes here
        return
    pressed = False

    def hear(*_: Any) -> None:
        nonlocal pressed
        pressed = True

    usual = signal.signal(signal.SIGINT, hear)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if usual is None else usual)
        if pressed:
            signal.raise_signal(signal.SIGINT)


def _kill_if_interrupted(cluster: Any, before: set[Any], kind: Any, *_: Any) -> None:
    """End the workers before they are asked to end, which takes seconds while they start."""
    if kind is not None and issubclass(kind, KeyboardInterrupt):
        for nanny in list(cluster.workers.values()):
            nanny.auto_restart = False
        _kill_others(before)


def _kill_others(before: set[Any]) -> None:
    """End processes that were still starting, before what they are started with is gone."""
    for process in set(multiprocessing.active_children()) - before:
        process.kill()
        process.join(_CLOSE_SECONDS)


def _close(cluster: Any) -> None:
    """Close a client or a cluster; one that is slow must not hide why it is closed."""
    with suppress(Exception):
        cluster.close(timeout=_CLOSE_SECONDS)


@contextmanager
def _quiet() -> Iterator[None]:
    """dask's own log kept off the terminal: what matters is raised as an error."""
    loggers = [logging.getLogger(n) for n in list(logging.root.manager.loggerDict)]
    loggers = [log for log in loggers if log.name.split(".")[0] == "distributed"]
    before = [(log, log.level) for log in loggers]
    for log in loggers:
        log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for log, level in before:
            log.setLevel(level)
