"""The two ways in which Julia runs in this process: ``libjulia`` by ctypes, and juliacall.

``libjulia`` needs nothing but Julia itself; juliacall gives the live module for scripts in both
languages. `launcher` is for a Julia in a process of its own.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import signal
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from pysoftcorr._julia import found, settings
from pysoftcorr._julia.errors import JuliaError, JuliaUnavailable
from pysoftcorr._julia.image import COMPILE_COMMAND, Choice

__all__ = ["Host", "JuliacallHost", "LibjuliaHost", "launcher", "ready", "wanted"]

# Libraries a private prefix brings along, in the order in which they must be loaded. libunwind
# matters most: with one that is newer than the runtime expects, any Julia exception is fatal.
PRELOAD = (
    "libquadmath.so.0",
    "libgfortran.so.5",
    "libunwind.so.8",
    "libutf8proc.so.2",
    "libffi.so.7",
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


# Signals whose handlers stay Python's.
SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGALRM", "SIGPIPE", "SIGWINCH")
EXE, PROJECT = "PYTHON_JULIACALL_EXE", "PYTHON_JULIACALL_PROJECT"


class Host(Protocol):
    """How Julia runs in this process. All but the constructor runs in its thread."""

    name: str
    threads: int
    image: str | None  # the system image with our sources in it
    image_reason: str  # why there is none

    def start(self) -> None: ...
    def entry_table(self) -> str: ...
    def entry_pointer(self, name: str) -> int: ...
    def control_addresses(self) -> list[int]: ...
    def runtime_info(self) -> str: ...
    def module(self) -> Any: ...


def source_file() -> Path:
    """The file that defines the module ``SoftCorr``."""
    return settings.package_dir() / "src" / "SoftCorr.jl"


# ---- libjulia --------------------------------------------------------------------------------


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
        _load_triton()
        with _signals_kept(), _environment(self.threads):
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
            self._lib = lib
            source = source_file()
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
        value = self._lib.jl_eval_string(guarded.encode())
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
            "run softcorr julia install --method juliacall, then start Python with "
            "PYSOFTCORR_JULIA_HOST=juliacall",
        )


@contextlib.contextmanager
def _environment(threads: int) -> Iterator[None]:
    # Read by Julia once, at start; afterward the caller's own values are put back.
    wanted = {"JULIA_NUM_THREADS": str(threads)}
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


# ---- juliacall -------------------------------------------------------------------------------


def _imported() -> bool:
    """Whether the user's own code has started juliacall."""
    return "juliacall" in sys.modules


def ready() -> bool:
    """Whether juliacall can start without asking the network.

    juliacall resolves its Julia at import, over the network if need be, so it is not imported
    to find out.
    """
    if _imported() or (os.environ.get(EXE) and os.environ.get(PROJECT)):
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


class JuliacallHost:
    """Julia through juliacall. All but the constructor run in its thread."""

    name = "juliacall"
    image: str | None = None
    image_reason = "Julia runs through juliacall"

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.caller_owned = _imported()
        self._main: Any = None

    def start(self) -> None:
        """Import juliacall (which starts Julia) and load the sources.

        Raises
        ------
        JuliaUnavailable
            juliacall cannot start.
        """
        if not self.caller_owned:
            _load_triton()
            # juliacall reads these at import. Julia needs its own signal handling where it has
            # several threads; ours keeps Python's Ctrl-C.
            os.environ["PYTHON_JULIACALL_THREADS"] = str(self.threads)
            os.environ["PYTHON_JULIACALL_HANDLE_SIGNALS"] = "yes"
        with _signals_kept() if not self.caller_owned else contextlib.nullcontext():
            try:
                import juliacall
            except Exception as error:
                raise JuliaUnavailable(f"juliacall cannot start: {error}") from error
            self._main = juliacall.Main
            source = source_file()
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
        """Version, threads, processor and the like, ``key=value`` lines."""
        return str(self._module.runtime_info())

    def module(self) -> Any:
        """The live module."""
        return self._module


# ---- which one -------------------------------------------------------------------------------


def wanted() -> str:
    """Name of the host to start: that of ``PYSOFTCORR_JULIA_HOST``, or juliacall where `ready`."""
    choice = settings.host_choice()
    return ("juliacall" if ready() else "libjulia") if choice == "auto" else choice


def juliacall_executable() -> str:
    """The Julia executable that juliacall uses, where `ready`."""
    named = os.environ.get(EXE)
    if named:
        return named
    import juliapkg

    return str(juliapkg.executable())


def launcher() -> tuple[str, dict[str, str]]:
    """Executable of the runtime in use, and the environment variables to run it with.

    These find its libraries, put SoftCorr behind the user's own packages, and set the threads.

    Raises
    ------
    JuliaUnavailable
        No Julia runtime can be used.
    """
    # What comes first may be empty, which stands for Julia's default load path.
    places = [os.environ.get("JULIA_LOAD_PATH", ""), str(settings.package_dir())]
    variables = {}
    if wanted() == "juliacall":
        executable = juliacall_executable()
        project = os.environ.get(PROJECT)
        if not project:
            import juliapkg

            project = juliapkg.project()
        places.append(str(project))
    else:
        runtime = found.choose()
        executable = runtime.executable
        variables = found.library_path(runtime.libdir)
    variables["JULIA_LOAD_PATH"] = os.pathsep.join(places)
    variables["JULIA_NUM_THREADS"] = str(settings.threads())
    return executable, variables


# ---- the rest of the process -----------------------------------------------------------------


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """Restore the handlers of Python's signals when the block ends.

    Julia installs its own handlers. Those for memory faults it needs (its garbage collector stops
    threads with them). The others are saved and put back at the C level, which works from any
    thread, unlike ``signal.signal``.
    """
    numbers = [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
    handler_type, number_type = ctypes.c_void_p, ctypes.c_int
    get = ctypes.PYFUNCTYPE(handler_type, number_type)(("PyOS_getsig", ctypes.pythonapi))
    put = ctypes.PYFUNCTYPE(handler_type, number_type, handler_type)(
        ("PyOS_setsig", ctypes.pythonapi)
    )
    saved = {number: get(number) for number in numbers}
    try:
        yield
    finally:
        for number, handler in saved.items():
            if get(number) != handler:
                put(number, handler)


def _load_triton() -> None:
    """Load the library of triton, where it is installed, before Julia's LLVM is there.

    Builds of torch for GPUs bring triton along and import it when they please. It holds an LLVM
    of its own, and Julia's is visible to all libraries loaded after it: loaded later, triton would
    take the one for the other, and the process would die. Loaded first it keeps its own.
    """
    if not sys.platform.startswith("linux"):
        return
    with contextlib.suppress(ImportError, ValueError):
        spec = importlib.util.find_spec("triton")
        for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
            path = Path(folder) / "_C" / "libtriton.so"
            if path.is_file():
                # Should it not load, triton cannot be imported at all.
                with contextlib.suppress(OSError):
                    ctypes.CDLL(str(path))
