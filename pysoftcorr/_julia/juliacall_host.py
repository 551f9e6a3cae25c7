"""The host that runs Julia through juliacall, with the live module for mixed scripts."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import sys
from typing import Any

from pysoftcorr._julia import settings, signals
from pysoftcorr._julia.errors import JuliaUnavailable
from pysoftcorr._julia.llvm import load_triton

__all__ = ["JuliacallHost", "ready"]

EXE, PROJECT = "PYTHON_JULIACALL_EXE", "PYTHON_JULIACALL_PROJECT"


def imported() -> bool:
    """Has the user's own code started juliacall?"""
    return "juliacall" in sys.modules


def ready() -> bool:
    """Can juliacall start without asking the network?

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


class JuliacallHost:
    """Julia through juliacall. All but the constructor run in its thread."""

    name = "juliacall"
    image: str | None = None
    image_reason = "Julia runs through juliacall"

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.caller_owned = imported()
        self._main: Any = None

    def start(self) -> None:
        """Import juliacall (which starts Julia) and load the sources.

        Raises
        ------
        JuliaUnavailable
            juliacall cannot start.
        """
        if not self.caller_owned:
            load_triton()
            # juliacall reads these at import. Julia needs its own signal handling where it has
            # several threads; ours keeps Python's Ctrl-C.
            os.environ["PYTHON_JULIACALL_THREADS"] = str(self.threads)
            os.environ["PYTHON_JULIACALL_HANDLE_SIGNALS"] = "yes"
        with signals.kept() if not self.caller_owned else contextlib.nullcontext():
            try:
                import juliacall
            except Exception as error:
                raise JuliaUnavailable(f"juliacall cannot start: {error}") from error
            self._main = juliacall.Main
            source = settings.source_dir() / "SoftCorr.jl"
            try:
                self._main.include(str(source))
            except Exception as error:
                raise JuliaUnavailable(f"the Julia sources in {source} fail: {error}") from error
        address = int(self._module.gc_safe_address())
        if address and not self.caller_owned:
            # Other threads may use the live module. Their garbage collection would wait for
            # ever for this thread while it waits for work or for the interpreter lock, so it
            # stays in the state that needs no waiting; entry points leave that state on their
            # way in and take it up on their way out.
            ctypes.CFUNCTYPE(ctypes.c_int8)(address)()

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
        """What Julia says of itself, ``key=value`` lines."""
        return str(self._module.runtime_info())

    def module(self) -> Any:
        """The live module."""
        return self._module
