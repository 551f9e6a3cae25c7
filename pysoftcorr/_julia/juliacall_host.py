"""Julia through juliacall, in the user's thread or in one of our own.

Who owns Julia, and what follows from it, is in docs/julia.md.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.metadata
import importlib.util
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pysoftcorr._julia import settings
from pysoftcorr._julia.errors import JuliaUnavailable
from pysoftcorr._julia.process import hand_signals_back, load_triton, signals_kept

__all__ = [
    "OLDEST",
    "JuliacallHost",
    "check_version",
    "executable",
    "imported",
    "known_to",
    "ready",
]

EXE, PROJECT = "PYTHON_JULIACALL_EXE", "PYTHON_JULIACALL_PROJECT"
# Older ones ask the network although the two variables are set; before 0.9.22 Python objects are
# freed by whichever thread collects Julia's garbage.
OLDEST = "0.9.28"
UUID = "5d0f5a3e-8c1b-4b57-9f3c-2f6f9b1e7a41"
FORWARDDIFF = "f6369f11-7733-5829-9624-2563aa707210"
FIRST_LINE = "begin the script with: from juliacall import Main as jl"

# Our package where it is the one that the project knows, so that its compiled code is used; and
# ForwardDiff, whose extension of SoftCorr nobody else may load.
LOAD_PACKAGE = f"""
source -> begin
    id(uuid, name) = Base.PkgId(Base.UUID(uuid), name)
    ours = id("{UUID}", "SoftCorr")
    path = Base.locate_package(ours)
    (path === nothing || realpath(path) != realpath(source)) && return false
    Base.require(ours)
    Core.eval(Main, :(import SoftCorr))
    theirs = id("{FORWARDDIFF}", "ForwardDiff")
    Base.locate_package(theirs) === nothing || Base.require(theirs)
    true
end
"""
# Julia's exit hooks, without the finalizers: with several threads they may crash a process that
# ends (PythonCall.jl's issue 764), which needs none of them.
RUN_EXIT_HOOKS = """
begin
    applicable(Base._atexit, 0) ? Base._atexit(0) : Base._atexit()
    flush(stdout)
    flush(stderr)
end
"""


def imported() -> bool:
    """Whether the user's own code has started juliacall."""
    return "juliacall" in sys.modules


def ready() -> bool:
    """Whether juliacall can start without asking the network.

    juliacall resolves its Julia at import, over the network if need be, so it is not imported
    to find out.
    """
    if imported() or (os.environ.get(EXE) and os.environ.get(PROJECT)):
        return True
    if (
        importlib.util.find_spec("juliacall") is None
        or importlib.util.find_spec("juliapkg") is None
    ):
        return False
    try:
        import juliapkg
        from juliapkg.state import STATE

        # Compares what was resolved, if anything, with what is asked for; installs nothing.
        return os.path.isfile(STATE["meta"]) and bool(juliapkg.resolve(dry_run=True))
    except Exception:
        return False


def executable() -> str:
    """The Julia executable that juliacall uses, where `ready`."""
    named = os.environ.get(EXE)
    if named:
        return named
    import juliapkg

    return str(juliapkg.executable())


def _numbers(version: str) -> list[int]:
    return [int(n) for n in re.findall(r"\d+", version)[:3]]


def check_version(version: str) -> None:
    """Refuse a juliacall that is too old.

    Raises
    ------
    JuliaUnavailable
        It is older than `OLDEST`.
    """
    if _numbers(version) < _numbers(OLDEST):
        raise JuliaUnavailable(
            f"juliacall is of version {version}, and pysoftcorr needs {OLDEST} or newer",
            f"run pip install 'juliacall>={OLDEST}'",
        )


def _installed_version() -> str:
    try:
        return importlib.metadata.version("juliacall")
    except importlib.metadata.PackageNotFoundError:
        return OLDEST  # a juliacall without a record: importing it tells


class Waiting:
    """What a thread does that waits for the thread that owns Julia.

    Where it was called back from Julia, it counts as running Julia code: garbage collection would
    wait for it, and it for the collecting thread, for ever. So it says that others may collect.

    Parameters
    ----------
    addresses : list of int
        Of ``jl_gc_safe_enter``, ``jl_gc_safe_leave`` and ``jl_get_pgcstack``.
    """

    def __init__(self, addresses: list[int]) -> None:
        enter, leave, known = addresses
        self._enter = ctypes.CFUNCTYPE(ctypes.c_int8)(enter)
        self._leave = ctypes.CFUNCTYPE(None, ctypes.c_int8)(leave)
        self._known = ctypes.CFUNCTYPE(ctypes.c_void_p)(known)

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        """Wait in the block."""
        if not self._known():  # a thread that has never called Julia
            yield
            return
        state = self._enter()
        try:
            yield
        finally:
            self._leave(state)

    def rest(self) -> None:
        """Say so once and for all, in the thread that owns Julia, between its calls."""
        self._enter()


class _NotHere:
    """What stands for a Julia module that this process cannot use from the user's threads."""

    def __init__(self, error: JuliaUnavailable) -> None:
        object.__setattr__(self, "_error", error)

    def __getattr__(self, name: str) -> Any:
        """Refuse.

        Raises
        ------
        JuliaUnavailable
            Always, but for the names that Python itself asks for.
        """
        if name.startswith("__"):
            raise AttributeError(name)
        raise JuliaUnavailable(*self._error.args)

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuse.

        Raises
        ------
        JuliaUnavailable
            Always.
        """
        raise JuliaUnavailable(*self._error.args)


class JuliacallHost:
    """Julia through juliacall. All but the constructor run in the thread that owns it.

    Parameters
    ----------
    threads : int
        Number of Julia's threads, where juliacall does not run yet.
    own_thread : bool
        Whether Julia is to have a thread of its own, where juliacall does not run yet.
    """

    name = "juliacall"
    image: str | None = None
    image_reason = "Julia runs through juliacall"

    def __init__(self, threads: int, *, own_thread: bool = True) -> None:
        self.threads = threads
        self.runs_already = imported()
        self.caller_owned = self.runs_already or not own_thread
        self.waiting: Waiting | None = None
        self._main: Any = None

    def start(self) -> None:
        """Import juliacall (which starts Julia) and load the sources.

        Raises
        ------
        JuliaUnavailable
            juliacall is too old, cannot start, or was started in a way that will crash.
        """
        if not self.runs_already:
            check_version(_installed_version())
            load_triton()
            # juliacall reads these at import. Julia needs its own signal handling where it has
            # several threads; ours keeps Python's Ctrl-C.
            os.environ["PYTHON_JULIACALL_THREADS"] = str(self.threads)
            os.environ["PYTHON_JULIACALL_HANDLE_SIGNALS"] = "yes"
            if not self.caller_owned:
                # It would flush Julia's output after each cell, from a thread that is not Julia's:
                # a notebook may hang there (PythonCall.jl's issue 540).
                os.environ.setdefault("PYTHON_JULIACALL_AUTOLOAD_IPYTHON_EXTENSION", "no")
        with contextlib.nullcontext() if self.caller_owned else signals_kept():
            try:
                import juliacall
            except Exception as error:
                raise JuliaUnavailable(f"juliacall cannot start: {error}") from error
            check_version(getattr(juliacall, "__version__", _installed_version()))
            self._main = juliacall.Main
            config: dict[str, Any] = getattr(juliacall, "CONFIG", {})
            self._check_signals(config)
            if not self.caller_owned and "lib" in config:
                # juliacall would end Julia in the main thread; `close` does it in this one.
                config["lib"].jl_atexit_hook = lambda status: None
            self._load(config)
        if self.caller_owned:
            hand_signals_back()
            return
        addresses = [int(line) for line in str(self._module.gc_addresses()).split()]
        if addresses:
            # Other threads may use the live module. Their garbage collection would wait for
            # ever for this thread while it waits for work or for the interpreter lock, so it
            # stays in the state that needs no waiting; entry points leave that state on their
            # way in and take it up on their way out.
            self.waiting = Waiting(addresses)
            self.waiting.rest()
        else:
            for name in ("Main", "Base", "Core", "PythonCall"):
                if hasattr(juliacall, name):
                    setattr(juliacall, name, _NotHere(self._no_other_thread()))

    def _check_signals(self, config: dict[str, Any]) -> None:
        # Without the first, Python runs within a Julia that was started in another way.
        if not config.get("inited") or config.get("opt_handle_signals") == "yes":
            return
        threads = int(self._main.Threads.nthreads())
        if threads > 1:
            raise JuliaUnavailable(
                f"juliacall was imported with {threads} Julia threads and without Julia's signal "
                "handling, and the first garbage collection would end the process",
                "set PYTHON_JULIACALL_HANDLE_SIGNALS=yes, or PYTHON_JULIACALL_THREADS=1, before "
                "juliacall is imported",
            )

    def _load(self, config: dict[str, Any]) -> None:
        source = settings.source_file()
        try:
            if known_to(config.get("project")) and self._main.seval(LOAD_PACKAGE)(str(source)):
                return
            self._main.include(str(source))
        except Exception as error:
            raise JuliaUnavailable(f"the Julia sources in {source} fail: {error}") from error

    def _no_other_thread(self) -> JuliaUnavailable:
        return JuliaUnavailable(
            f"Julia {self._version()} runs in a thread of pysoftcorr's own, and before Julia 1.9 "
            "no other thread can call it",
            f"{FIRST_LINE}; or call pysoftcorr.julia_module() first of all",
        )

    def _version(self) -> str:
        lines = [line.split("=", 1) for line in self.runtime_info().splitlines()]
        return next(value for name, value in lines if name == "version")

    @property
    def _module(self) -> Any:
        return self._main.SoftCorr

    def entry_table(self) -> str:
        """Version of the sources and the table of entry points."""
        return str(self._module.entry_table())

    def entry_pointer(self, name: str) -> int:
        """Address of an entry point; compiles it."""
        return int(self._module.entry_pointer(name))

    def control_addresses(self) -> list[int]:
        """Addresses of the control words."""
        return [int(line) for line in str(self._module.control_addresses()).split()]

    def runtime_info(self) -> str:
        """Version, threads, processor and the like, ``key=value`` lines."""
        return str(self._module.runtime_info())

    def module(self) -> Any:
        """The live module.

        Raises
        ------
        JuliaUnavailable
            A call of it would end the process.
        """
        if not self.caller_owned and self.waiting is None:
            raise self._no_other_thread()
        return self._module

    def close(self) -> None:
        """Run Julia's exit hooks; juliacall does so itself where it was imported by the user."""
        if not self.caller_owned:
            self._main.seval(RUN_EXIT_HOOKS)


def known_to(project: str | None) -> bool:
    """Whether the package SoftCorr is among those of a Julia project."""
    if not project:
        return False
    with contextlib.suppress(OSError):
        return any(
            UUID in file.read_text(encoding="utf-8", errors="replace")
            for file in Path(project).glob("*Manifest*.toml")
        )
    return False
