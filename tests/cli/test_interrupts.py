"""Ctrl-C on whole commands, whenever it comes: one line, status 130, and nothing left behind."""

from __future__ import annotations

import multiprocessing
import os
import signal
import textwrap
import threading
import time
import warnings

import numpy as np
import pytest

from helpers.interrupts import interrupted
from pysoftcorr.core.processes import deaf_children, stay_deaf

COMMANDS = {
    "gradient": ["gradient", "--galaxies", "3000", "--clusters", "800"],
    "minimize": ["minimize", "--hod", "mstar10.0", "--max-iter", "1000000", "--learning-rate",
                 "1e-9"],
    "campaign": ["campaign", "halos.h5", "--points", "5000", "--realizations", "3", "--seed", "1",
                 "--bins", "log:0.5:20:8", "--workers", "2", "--out", "c.h5"],
    "diffhod": ["diffhod", "halos.h5", "--mesh", "16", "--k-max", "0.5", "--workers", "2",
                "--covariance", "500", "--out", "d"],
}  # fmt: skip
#: Seconds from the launch: while modules are imported, while workers start, while they work.
MOMENTS = np.random.default_rng(13).uniform([0.4, 1.8, 3.5], [1.8, 3.5, 6.5]).round(2).tolist()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from pysoftcorr.mocks import HaloCatalog

    place = tmp_path_factory.mktemp("interrupts")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Many, so that they do not fit into the pipe of a process that starts.
        HaloCatalog.simulate(100.0, 64, mmin=3e11, seed=1).write(place / "halos.h5")
    return place


# Each command at one moment, and all moments of the campaign; the others are for long runs.
CASES = [
    pytest.param(name, after, marks=() if name == "campaign" or k == n % 3 else pytest.mark.long)
    for n, name in enumerate(COMMANDS) for k, after in enumerate(MOMENTS)
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("name", "after"), CASES)
def test_a_command_ends_in_one_line(name, after, folder):
    pytest.importorskip("torch")
    pytest.importorskip("pyro")
    assert interrupted(COMMANDS[name], after, folder).fault == ""


@pytest.mark.slow
def test_what_asked_for_it_is_told_before_the_process_ends(fresh):
    done = fresh(
        """
        import atexit, os, signal, sys
        atexit.register(lambda: print("told"))
        from pysoftcorr.cli import app, main

        def work(arguments):
            os.kill(os.getpid(), signal.SIGINT)

        app.run = work
        print("before")
        main()
        """,
        ok=False,
    )
    assert (done.returncode, done.stdout.split()) == (130, ["before", "told"])
    assert done.stderr == "interrupted: nothing was done\n"


SWALLOWED = """
    import os, signal, sys, time
    from pysoftcorr.cli import app, main
    from pysoftcorr.cli.messages import one_line_errors

    def press():
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        except KeyboardInterrupt:  # as modules in C do while they are imported
            pass

    def goes_on():
        press()
        for _ in range(600):
            time.sleep(0.1)

    def fails():
        press()
        raise {}

    def cleans_up():
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        finally:
            for _ in range(12):
                time.sleep(0.1)
                try:
                    float("x")
                except ValueError:
                    pass
            print("cleaned up")

    def work(arguments):
        with one_line_errors():
            {}()
        return 0

    app.run = {}
    main()
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "error", "within", "out"),
    [
        ("goes_on", "OSError", True, ""),
        ("goes_on", "OSError", False, ""),
        ("fails", "ImportError('cannot import name')", True, ""),
        ("fails", "AttributeError('partially initialized module')", False, ""),
        ("fails", "TypeError('of half a module')", True, ""),
        ("cleans_up", "OSError", True, "cleaned up\n"),
        ("cleans_up", "OSError", False, "cleaned up\n"),
    ],
)
def test_what_a_library_swallows_is_heard_all_the_same(fresh, kind, error, within, out):
    run = "work" if within else f"lambda arguments: {kind}()"
    begun = time.monotonic()
    done = fresh(SWALLOWED.format(error, kind, run), ok=False)
    assert time.monotonic() - begun < 50
    assert (done.returncode, done.stdout) == (130, out), done.stderr
    said = "the work was not finished" if within else "nothing was done"
    assert done.stderr == f"interrupted: {said}\n"


def test_the_status_of_a_parser_that_was_interrupted_is_said(run, monkeypatch):
    from pysoftcorr.cli import app

    class Parser:
        commands, params = {}, ()

        def __call__(self, *_, **__):
            return 130

    monkeypatch.setattr(app.typer.main, "get_command", lambda _: Parser())
    assert run("demo") == (130, "", "interrupted: nothing was done\n")


def _blocked(pipe):
    pipe.send(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ()))


def test_started_processes_do_not_hear_it():
    context = multiprocessing.get_context("spawn")
    for guarded in (True, False):
        ours, theirs = context.Pipe()
        process = context.Process(target=_blocked, args=(theirs,))
        if guarded:
            with deaf_children():
                process.start()
        else:
            process.start()
        assert ours.recv() is guarded
        process.join()
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_what_a_finalizer_cannot_raise_is_heard_later(fresh):
    done = fresh(
        """
        import os, signal, time
        from pysoftcorr.cli import interrupts
        signal.signal(signal.SIGINT, signal.default_int_handler)
        interrupts.listen()

        class Closing:
            def __del__(self):
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.05)

        Closing()
        try:
            time.sleep(5)
        except KeyboardInterrupt:
            print("heard")
        interrupts.forget()
        """
    )
    assert (done.stdout, done.stderr) == ("heard\n", "")


def _waiting(pipe, deaf):
    if deaf:
        stay_deaf()
    else:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.kill(os.getpid(), signal.SIGINT)
    # What Julia would find as it starts.
    pipe.send(signal.sigtimedwait({signal.SIGINT}, 0) is not None)


def test_nothing_waits_for_what_starts_in_a_started_process():
    context = multiprocessing.get_context("spawn")
    for deaf in (True, False):
        ours, theirs = context.Pipe()
        with deaf_children():
            process = context.Process(target=_waiting, args=(theirs, deaf))
            process.start()
        assert ours.recv() is not deaf
        process.join()


def test_it_waits_for_the_end_of_a_block():
    pytest.importorskip("distributed")
    from pysoftcorr.core.farm.connection import _interrupt_later

    through = []
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), _interrupt_later():  # noqa: PT012
            os.kill(os.getpid(), signal.SIGINT)
            through.append(1)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        with _interrupt_later():
            through.append(2)
    finally:
        signal.signal(signal.SIGINT, before)

    def aside():
        with _interrupt_later():
            through.append(3)

    thread = threading.Thread(target=aside)
    thread.start()
    thread.join()
    assert through == [1, 2, 3]


SCRIPT = """
    import os, signal, sys, threading, time
    import numpy as np
    from pysoftcorr.inference.workers import Workers

    class Large:
        def __init__(self):
            self.data = np.zeros(1_000_000)  # more than a pipe holds

        def target(self):
            return self.data

    def size(target, n):
        return target.size + n

    def wait(target, n):
        time.sleep(60)

    if __name__ == "__main__":
        with Workers(Large(), 2) as workers:
            print(workers.map(size, [1, 2, 3]))
        begun = time.monotonic()
        threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        try:
            with Workers(Large(), 2) as workers:
                workers.map(wait, [1, 2])
        except KeyboardInterrupt:
            print(time.monotonic() - begun < 30)
"""


@pytest.mark.slow
def test_workers_that_start_are_left_at_once(fresh, tmp_path):
    pytest.importorskip("torch")
    done = fresh(textwrap.dedent(SCRIPT), folder=tmp_path)
    assert done.stdout.splitlines() == ["[1000001, 1000002, 1000003]", "True"]
    assert done.stderr == ""


@pytest.mark.slow
def test_workers_that_nobody_needs_are_not_waited_for(fresh, tmp_path):
    """The process ends although the block was never entered: Ctrl-C may come before it."""
    pytest.importorskip("torch")
    script = textwrap.dedent(SCRIPT).split('if __name__ == "__main__":')[0]
    script += 'if __name__ == "__main__":\n    Workers(Large(), 2)\n    print("end")\n'
    assert fresh(script, folder=tmp_path, timeout=200).stdout == "end\n"
