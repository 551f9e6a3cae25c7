"""Workers of dask.distributed: those of a scheduler, or processes of this machine."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import Any

from pysoftcorr.core.cautions import caution
from pysoftcorr.core.cores import usable_cores
from pysoftcorr.core.options import MOST_WORKERS, count
from pysoftcorr.core.processes import deaf_children, stay_deaf

__all__ = ["CLOSE_SECONDS", "check_workers", "connected"]

_CONNECT_SECONDS = 10.0
_START_SECONDS = 300.0
CLOSE_SECONDS = 2.0


def dask_setup(worker: Any) -> None:
    """Let a starting worker ignore Ctrl-C, which a terminal sends to every process.

    The process that started the workers ends them.
    """
    stay_deaf()


def check_workers(scheduler: str | None, workers: int | None) -> int | None:
    """Check what is asked for; the number of processes on this machine, if it is.

    Raises
    ------
    ValueError, TypeError
        If workers are not a number of processes, or a scheduler is given too.

    Warns
    -----
    UserWarning
        More workers than cores.
    """
    if scheduler is not None and not isinstance(scheduler, str):
        raise TypeError(
            f"scheduler must be an address, as tcp://host:8786, not {type(scheduler).__name__}"
        )
    if workers is None:
        return None
    workers = count("workers", workers, most=MOST_WORKERS)
    if workers > usable_cores():
        caution(
            f"workers = {workers}: this process may use {usable_cores()} cores; more "
            "workers take memory and are no faster"
        )
    if scheduler is not None:
        raise ValueError("workers and scheduler are both given: a scheduler has its own")
    return workers


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
        f"scheduler: no dask scheduler answers {where}".rstrip()
        + f": is it running, and is the address right, as tcp://host:8786? ({reason})"
    )


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
        process.join(CLOSE_SECONDS)


def _close(cluster: Any) -> None:
    """Close a client or a cluster; one that is slow must not hide why it is closed."""
    with suppress(Exception):
        cluster.close(timeout=CLOSE_SECONDS)


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
