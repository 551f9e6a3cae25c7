"""The commands ``julia install``, ``julia compile`` and ``julia status``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pysoftcorr.cli.options import Command, Option


def install(*, settings: Mapping[str, Any], explicit: set[str], as_json: bool) -> None:
    """Get a Julia runtime; may be run again at any time."""
    from pysoftcorr._julia import install as work

    work.install(**settings)


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


COMMANDS = {
    "julia": {
        "install": Command(
            install,
            options=(
                Option("prefix", str, None, "Where to put it.", metavar="DIR"),
                Option("method", str, "auto", "From where.",
                       choices=("auto", "juliacall", "debian")),
                Option("force", bool, False, "Install again."),
                Option("image", bool, True, "Compile ahead of time (minutes, once)."),
            ),
            common=(),
        ),
        "compile": Command(
            compile, options=(Option("force", bool, False, "Compile again."),), common=()
        ),
        "status": Command(status, common=("json",)),
    }
}  # fmt: skip
