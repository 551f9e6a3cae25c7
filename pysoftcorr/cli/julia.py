"""The commands ``julia``: its runtime, and the Julia package SoftCorr."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from typing import Any

from pysoftcorr.cli.options import Argument, Command, Option, derive


def install(*, settings: Mapping[str, Any], explicit: set[str], as_json: bool) -> None:
    """Get a Julia runtime; may be run again at any time."""
    from pysoftcorr._julia.install import install as work

    work(**settings)


def compile(*, settings: Mapping[str, Any], explicit: set[str], as_json: bool) -> None:
    """Compile ahead of time, so that later starts take a second."""
    from pysoftcorr._julia.image import compile_image

    compile_image(force=settings["force"])


def status(*, settings: Mapping[str, Any], explicit: set[str], as_json: bool) -> dict[str, Any]:
    """Start Julia and describe it."""
    from pysoftcorr._julia import status as work

    says = work()
    if not as_json:
        print("\n".join(f"{key}: {value}" for key, value in says.items()))
    return says


def path(*, settings: Mapping[str, Any], explicit: set[str], as_json: bool) -> None:
    """Print the folder of the Julia package SoftCorr, for Pkg.develop(path="...")."""
    from pysoftcorr._julia.settings import package_dir

    print(package_dir())


def execute(
    arguments: list[str], *, settings: Mapping[str, Any], explicit: set[str], as_json: bool
) -> None:
    """Run Julia with SoftCorr on its load path: a script, or -e 'using SoftCorr; ...'."""
    from pysoftcorr._julia.hosts import launcher

    # This process becomes Julia: input, output, status and signals are those here.
    executable, variables = launcher()
    sys.stdout.flush()
    for name in ("SIGPIPE", "SIGXFSZ"):  # Python ignores these, and so would the new program
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
    os.execve(executable, [executable, *arguments], {**os.environ, **variables})


COMMANDS = {
    "julia": {
        "install": Command(
            install,
            options=derive(
                "pysoftcorr._julia.install:install",
                only=("prefix", "method", "force", "image"),
                prefix={"metavar": "DIR", "help": "Where to put it."},
                method={"choices": ("auto", "juliacall", "debian"), "help": "From where."},
                force={"help": "Install again."},
                image={"help": "Compile ahead of time (minutes, once)."},
            ),
            common=("debug",),
        ),
        "compile": Command(
            compile,
            options=(Option("force", bool, False, "Compile again."),),
            common=("debug",),
        ),
        "status": Command(status, common=("json", "debug")),
        "path": Command(path, common=("debug",)),
        "exec": Command(
            execute,
            rest=Argument("arguments", "As the command julia takes them: options, a script and "
                          "its arguments."),
            common=(),
        ),
    }
}  # fmt: skip
