"""Julia through ctypes, which needs nothing but Julia itself."""

from __future__ import annotations

import contextlib
import ctypes
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pysoftcorr._julia import found, settings
from pysoftcorr._julia.errors import JuliaError, JuliaUnavailable
from pysoftcorr._julia.image import COMPILE_COMMAND, Choice
from pysoftcorr._julia.process import load_triton, refuse_import, signals_kept

__all__ = ["LibjuliaHost"]

# Libraries a private prefix brings along, in the order in which they must be loaded. libunwind
# matters most: with one that is newer than the runtime expects, any Julia exception is fatal.
PRELOAD = (
    "libquadmath.so.0",
    "libgfortran.so.5",
    "libunwind.so.8",
    "libutf8proc.so.2",
    "libffi.so.7",
    "libmd.so.0",
    "libbsd.so.0",
    "libedit.so.2",
    "libz3.so.4",
    "libLLVM-9.so.1",
    "libopenlibm.so.3",
)
# From the newest name to the oldest; all take the folder of the executable and the image.
INIT_NAMES = (
    "jl_init_with_image_file",
    "jl_init_with_image",
    "jl_init_with_image__threading",
)
IMAGE_SYMBOLS = ("jl_sysimg_gvars_base", "jl_system_image_data")

RUNS_ALREADY = (
    "Julia runs in this process already, through libjulia in a thread of pysoftcorr's own, and "
    "cannot be started a second time: import juliacall before the first call of pysoftcorr"
)


class LibjuliaHost:
    """Julia through ctypes. Every method but the constructor runs in the owner thread."""

    name = "libjulia"

    def __init__(self, found: found.Found, threads: int, image: Choice | None = None) -> None:
        self.found = found
        self.threads = threads
        choice = image or Choice(None, "not asked for")
        self.image, self.image_reason = choice.path, choice.reason
        self.holds_sources = False
        self._lib: Any = None

    def start(self) -> None:
        """Load and initialize Julia, and load the sources.

        Raises
        ------
        JuliaUnavailable
            A library cannot be loaded, or the sources fail to load.
        """
        found = self.found
        load_triton()
        with signals_kept(), _environment(self.threads, found.libdir):
            try:
                if found.libdir is not None:
                    for name in PRELOAD:
                        path = Path(found.libdir) / name
                        if path.exists():
                            ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
                lib = ctypes.CDLL(found.libjulia, mode=ctypes.RTLD_GLOBAL)
            except OSError as error:
                raise JuliaUnavailable(f"libjulia cannot be loaded: {error}") from error
            initialize = next((getattr(lib, n) for n in INIT_NAMES if hasattr(lib, n)), None)
            if initialize is None:
                raise JuliaUnavailable(
                    f"{found.libjulia} has none of the functions {', '.join(INIT_NAMES)}"
                )
            lib.jl_eval_string.restype = ctypes.c_void_p
            lib.jl_eval_string.argtypes = [ctypes.c_char_p]
            lib.jl_string_ptr.restype = ctypes.c_char_p
            lib.jl_string_ptr.argtypes = [ctypes.c_void_p]
            initialize.argtypes = [ctypes.c_char_p, ctypes.c_char_p]
            initialize.restype = None
            image = found.image
            if self.image is not None and self._loads(self.image):
                image = self.image
            initialize(os.fsencode(found.bindir), os.fsencode(image))
            refuse_import("juliacall", RUNS_ALREADY)
            self._lib = lib
            source = settings.source_file()
            try:
                # Our own image holds the module already.
                self.holds_sources = self.text("isdefined(Main, :SoftCorr)") == "true"
                if not self.holds_sources:
                    self.text(f'Base.include(Main, raw"{source}"); "loaded"')
            except JuliaError as error:
                raise JuliaUnavailable(f"the Julia sources in {source} fail: {error}") from error

    def _loads(self, image: str) -> bool:
        """Julia would end the process over an image that it cannot load, so it is tried before."""
        try:
            symbols = ctypes.CDLL(image)
            missing = [name for name in IMAGE_SYMBOLS if not hasattr(symbols, name)]
            problem = f"it has no {missing[0]}" if missing else ""
        except OSError as error:
            problem = str(error)
        if problem:
            warnings.warn(
                f"the system image {image} cannot be loaded and is not used ({problem}); "
                f"to fix this, run {COMPILE_COMMAND} --force",
                stacklevel=2,
            )
            self.image, self.image_reason = None, f"{image} cannot be loaded: {problem}"
        return not problem

    def text(self, code: str) -> str:
        """Value of a Julia expression that gives a string."""
        guarded = (
            f'try\n string("+", begin {code}\n end)\n'
            'catch err\n string("-", sprint(showerror, err))\nend'
        )
        value = self._lib.jl_eval_string(guarded.encode("utf-8", "surrogateescape"))
        if not value:
            raise JuliaError(f"Julia cannot evaluate: {code}")
        answer: str = self._lib.jl_string_ptr(value).decode(errors="replace")
        if answer[0] == "-":
            raise JuliaError(answer[1:])
        return answer[1:]

    def entry_table(self) -> str:
        """Version of the sources and the table of entry points."""
        return self.text("SoftCorr.entry_table()")

    def entry_pointer(self, name: str) -> int:
        """Address of an entry point; compiles it."""
        return int(self.text(f'SoftCorr.entry_pointer("{name}")'))

    def control_addresses(self) -> list[int]:
        """Addresses of the control words."""
        return [int(line) for line in self.text("SoftCorr.control_addresses()").split()]

    def runtime_info(self) -> str:
        """Version, threads, processor and the like, ``key=value`` lines."""
        return self.text("SoftCorr.runtime_info()")

    def module(self) -> Any:
        """Raise JuliaUnavailable: there is no live module without juliacall."""
        raise JuliaUnavailable(
            "julia_module() needs the juliacall host, and Julia runs through libjulia here",
            "begin the script with: from juliacall import Main as jl; where juliacall has no Julia "
            "yet, run softcorr julia install --method juliacall; PYSOFTCORR_JULIA_HOST=juliacall "
            "makes pysoftcorr use it always",
        )

    def close(self) -> None:
        """Nothing is left to do at the end of the process."""


@contextlib.contextmanager
def _environment(threads: int, libdir: str | None) -> Iterator[None]:
    # Read by Julia once, at start; afterward the caller's own values are put back.
    # The processes in which Julia precompiles packages need its libraries.
    wanted = {"JULIA_NUM_THREADS": str(threads), **found.library_path(libdir)}
    if "OPENBLAS_NUM_THREADS" not in os.environ:
        wanted["OPENBLAS_NUM_THREADS"] = "1"
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
