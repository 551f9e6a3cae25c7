"""The private Julia runtime in the user's cache folder: whole, or not there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from pysoftcorr._julia.errors import INSTALL_COMMAND, JuliaUnavailable

__all__ = ["MANIFEST", "check", "problem", "write_manifest"]

MANIFEST = "pysoftcorr-manifest.json"


def _files(prefix: Path) -> Iterator[Path]:
    return (p for p in sorted(prefix.rglob("*")) if p.is_file() and not p.is_symlink())


def write_manifest(prefix: Path, **facts: object) -> None:
    """Write down every file of a prefix with its size, and where it came from."""
    sizes = {
        str(p.relative_to(prefix)): p.stat().st_size for p in _files(prefix) if p.name != MANIFEST
    }
    (prefix / MANIFEST).write_text(json.dumps({**facts, "files": sizes}, indent=0))


def problem(prefix: Path) -> str:
    """What is wrong with a prefix; empty when every file is there with its size."""
    try:
        sizes: dict[str, int] = json.loads((prefix / MANIFEST).read_text())["files"]
    except (OSError, ValueError, KeyError):
        return "its list of files cannot be read"
    for name, size in sizes.items():
        try:
            found = (prefix / name).stat().st_size
        except OSError:
            return f"{name} is missing"
        if found != size:
            return f"{name} has {found} bytes instead of {size}"
    return ""


def check(prefix: Path) -> None:
    """Refuse a damaged prefix.

    Raises
    ------
    JuliaUnavailable
        A file is missing or has another size.
    """
    what = problem(prefix)
    if what:
        raise JuliaUnavailable(
            f"the Julia runtime in {prefix} is damaged: {what}",
            command=f"{INSTALL_COMMAND} --force",
        )
