"""The thread that Julia belongs to, and how other threads have their work done by it.

Julia may only be called from the thread that initialized it. `ThreadOwner` is a worker thread
with a queue: any Python thread may ask, calls are answered one after another, and the asking
thread stays open to Ctrl-C. `CallerOwner` is for a Julia that the user's own code has started:
there the calls run in that thread itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import queue
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from pysoftcorr._julia.errors import JuliaUnavailable

__all__ = ["CallerOwner", "Control", "Job", "Owner", "ThreadOwner"]

# Julia's root task runs on the worker's own stack.
STACK_BYTES = 64 << 20
# How long an interrupted caller waits for its call to end before it lets it run out alone.
CANCEL_SECONDS = 0.8
# How long the end of the process waits for Julia's exit hooks.
CLOSE_SECONDS = 10.0
POLL_SECONDS = 0.1


class Control:
    """The words shared with Julia: running job, job told to stop, work done and work in all."""

    def __init__(self, addresses: list[int]) -> None:
        self._job, self._cancel = (ctypes.c_int64.from_address(a) for a in addresses[:2])
        self._progress = (ctypes.c_int64 * 2).from_address(addresses[2])

    def begin(self, number: int) -> None:
        """Say which job runs now."""
        self._progress[0] = self._progress[1] = 0
        self._job.value = number

    def cancel(self, number: int) -> None:
        """Tell a job to stop; does nothing to any other job."""
        self._cancel.value = number

    def progress(self) -> tuple[int, int]:
        """Work done and work in all of the running job; (0, 0) where it does not say."""
        return self._progress[0], self._progress[1]


class Job:
    """A piece of work for the owner thread, and what came of it."""

    _numbers = itertools.count(1)

    def __init__(self, work: Callable[[], Any]) -> None:
        self.number = next(Job._numbers)
        self.work: Callable[[], Any] | None = work
        self.done = threading.Event()
        self.cancelled = False
        self.result: Any = None
        self.error: BaseException | None = None

    def run(self, control: Control | None) -> None:
        """Do the work (in the owner thread)."""
        try:
            if self.cancelled or self.work is None:
                raise KeyboardInterrupt
            if control is not None:
                control.begin(self.number)
            self.result = self.work()
        except BaseException as error:
            self.error = error
        finally:
            self.work = None  # lets go of the arrays
            self.done.set()

    def outcome(self) -> Any:
        """The result; raises the exception of the work, if there was one."""
        if self.error is not None:
            raise self.error
        return self.result


Watch = Callable[[int, int], None]


class Owner(Protocol):
    """Runs work in the thread that Julia belongs to."""

    control: Control | None

    def submit(self, job: Job) -> None: ...

    def run(self, work: Callable[[], Any], watch: Watch | None = None) -> Any: ...


class ThreadOwner:
    """A daemon thread that owns Julia and does one job at a time, in the order of asking."""

    def __init__(self) -> None:
        self.control: Control | None = None
        self._queue: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._running: Job | None = None
        self._pid = os.getpid()
        # Entered by a thread for as long as it waits for a job.
        self.waiting: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext
        before = threading.stack_size(STACK_BYTES)
        try:
            self._thread = threading.Thread(target=self._loop, name="julia", daemon=True)
            self._thread.start()
        finally:
            threading.stack_size(before)

    def _loop(self) -> None:
        while True:
            job = self._queue.get()
            self._running = job
            job.run(self.control)
            self._running = None
            del job

    def submit(self, job: Job) -> None:
        """Put a job in the queue."""
        if threading.current_thread() is self._thread:
            job.run(None)  # asked for by work that is itself running: the queue would never move
        else:
            self._queue.put(job)

    def run(self, work: Callable[[], Any], watch: Watch | None = None) -> Any:
        """Have work done and wait for it; Ctrl-C stops it.

        Raises
        ------
        KeyboardInterrupt
            Within about a second of Ctrl-C, whether the work has ended by then or not.
        """
        job = Job(work)
        try:
            self.submit(job)
            if not job.done.is_set():
                with self.waiting():
                    self._wait(job, watch)
        except BaseException:
            self.cancel(job)
            job.done.wait(CANCEL_SECONDS)
            raise
        return job.outcome()

    def _wait(self, job: Job, watch: Watch | None) -> None:
        if watch is None:
            job.done.wait()
            return
        while not job.done.wait(POLL_SECONDS):
            if self._running is job and self.control is not None:
                watch(*self.control.progress())

    def cancel(self, job: Job) -> None:
        """Tell a job to stop, whether it is running or still queued."""
        job.cancelled = True
        if self.control is not None:
            self.control.cancel(job.number)

    def close(self, last: Callable[[], Any]) -> None:
        """Stop the running job at interpreter exit, then do `last`.

        Julia must not run while the interpreter is torn down.
        """
        if os.getpid() != self._pid:
            return
        job = self._running
        if job is not None:
            self.cancel(job)
            if not job.done.wait(CANCEL_SECONDS):
                return
        final = Job(last)
        self.submit(final)
        final.done.wait(CLOSE_SECONDS)


class CallerOwner:
    """Julia belongs to the user's thread: calls run right there, watched for Ctrl-C."""

    def __init__(self) -> None:
        self.control: Control | None = None
        self._thread = threading.main_thread()

    def submit(self, job: Job) -> None:
        """Do a job now.

        Raises
        ------
        JuliaUnavailable
            The calling thread is not the one that Julia belongs to.
        """
        if threading.current_thread() is not self._thread:
            raise JuliaUnavailable(
                "Julia belongs to the main thread, where juliacall or julia_module() has started "
                "it, and no other thread can call it",
                "call pysoftcorr from the main thread, or for the first time before either of them",
            )
        with self._watched(job):
            job.run(self.control)

    def run(self, work: Callable[[], Any], watch: Watch | None = None) -> Any:
        """Do work now; Ctrl-C stops it. Its progress is not shown: this thread is busy."""
        job = Job(work)
        self.submit(job)
        return job.outcome()

    @contextlib.contextmanager
    def _watched(self, job: Job) -> Iterator[None]:
        # Python's own handler only runs once the call is back, so a helper thread reads the
        # signal's number from the wake-up socket and tells the call to stop.
        if self.control is None:
            yield
            return
        reader, writer = socket.socketpair()
        writer.setblocking(False)
        before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        control = self.control

        def listen() -> None:
            while data := reader.recv(64):
                if signal.SIGINT in data:
                    control.cancel(job.number)
                if before >= 0:  # an event loop's own wake-up, which still has to hear of it
                    with contextlib.suppress(OSError):
                        os.write(before, data)

        helper = threading.Thread(target=listen, name="julia-interrupt", daemon=True)
        helper.start()
        try:
            yield
        finally:
            signal.set_wakeup_fd(before)
            writer.close()
            helper.join()
            reader.close()
