"""A module in the place of juliacall, for machines without a Julia of juliacall's own.

It starts Julia in the importing thread, as the real one does, and has the part of ``Main`` and
``CONFIG`` that the host relies on. Julia there is the private one, through libjulia.
"""

from __future__ import annotations

from pathlib import Path

SOURCE = """
import atexit, os, threading
from pysoftcorr._julia import found
from pysoftcorr._julia.libjulia_host import LibjuliaHost

__version__ = os.environ.get("STAND_IN_VERSION", "0.9.28")
THREAD = threading.current_thread()
INCLUDED = []
_host = LibjuliaHost(found.choose(), int(os.environ.get("PYTHON_JULIACALL_THREADS", "1")))
_host.start()


class Library:
    def jl_atexit_hook(self, status):
        assert threading.current_thread() is THREAD, "Julia ended by a foreign thread"
        print("juliacall ends Julia", flush=True)


CONFIG = {
    "inited": True,
    "lib": Library(),
    "opt_handle_signals": os.environ.get("PYTHON_JULIACALL_HANDLE_SIGNALS"),
}
atexit.register(lambda: CONFIG["lib"].jl_atexit_hook(0))


class Module:
    def __init__(self, path):
        self._path = path

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)

        def function(*args):
            assert threading.current_thread() is THREAD, "Julia called from a foreign thread"
            text = _host.text(f"{self._path}.{name}({', '.join(map(str_of, args))})")
            return int(text) if name in ("entry_pointer", "nthreads") else text
        return function


def str_of(value):
    return '"' + value + '"' if isinstance(value, str) else repr(value)


class Main:
    SoftCorr = Module("SoftCorr")
    Threads = Module("Threads")

    @staticmethod
    def include(path):
        assert os.path.exists(path)
        INCLUDED.append(path)

    @staticmethod
    def seval(code):
        assert threading.current_thread() is THREAD, "Julia called from a foreign thread"
        return _host.text(code)
"""

#: Environment in which juliacall counts as set up by hand.
SET = {"PYTHON_JULIACALL_EXE": "/stand/in/julia", "PYTHON_JULIACALL_PROJECT": "/stand/in"}


def write(folder: Path) -> dict[str, str]:
    """Write the module into a folder; gives the environment in which it is juliacall."""
    (folder / "juliacall.py").write_text(SOURCE)
    return {"PYSOFTCORR_JULIA_HOST": "auto", "PYTHONPATH": str(folder), **SET}
