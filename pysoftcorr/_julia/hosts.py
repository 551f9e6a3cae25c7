"""The two ways in which Julia runs in this process, and which of them is taken.

``libjulia`` needs nothing but Julia itself; juliacall gives the live module for scripts in both
languages. `launcher` is for a Julia in a process of its own.
"""

from __future__ import annotations

import os
from typing import Any, Protocol

from pysoftcorr._julia import found, image, settings
from pysoftcorr._julia.errors import JuliaUnavailable
from pysoftcorr._julia.juliacall_host import PROJECT, JuliacallHost, executable, imported, ready
from pysoftcorr._julia.libjulia_host import LibjuliaHost

__all__ = ["Host", "JuliacallHost", "LibjuliaHost", "choose", "launcher", "ready", "wanted"]


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
    def close(self) -> None: ...


def wanted() -> str:
    """Name of the host to start: that of ``PYSOFTCORR_JULIA_HOST``, or juliacall where `ready`."""
    choice = settings.host_choice()
    return ("juliacall" if ready() else "libjulia") if choice == "auto" else choice


def choose(*, own_thread: bool = True) -> Host:
    """The host to start.

    Parameters
    ----------
    own_thread : bool
        Whether juliacall, unless it runs already, is to be started in a thread of our own.

    Raises
    ------
    JuliaUnavailable
        No Julia runtime can be used.
    """
    threads = settings.threads()
    if settings.host_choice() == "libjulia" and imported():
        raise JuliaUnavailable(
            "juliacall has started Julia in this process, and libjulia cannot do so again",
            "unset PYSOFTCORR_JULIA_HOST, or do not import juliacall",
        )
    if wanted() == "juliacall":
        return JuliacallHost(threads, own_thread=own_thread)
    runtime = found.choose()
    return LibjuliaHost(runtime, threads, image.find(runtime))


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
        program = executable()
        project = os.environ.get(PROJECT)
        if not project:
            import juliapkg

            project = juliapkg.project()
        places.append(str(project))
    else:
        runtime = found.choose()
        program = runtime.executable
        variables = found.library_path(runtime.libdir)
    variables["JULIA_LOAD_PATH"] = os.pathsep.join(places)
    variables["JULIA_NUM_THREADS"] = str(settings.threads())
    return program, variables
