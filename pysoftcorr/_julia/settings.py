"""Environment variables and folders of the door to Julia."""

from __future__ import annotations

import os
from pathlib import Path

from pysoftcorr.core.cores import usable_cores

__all__ = [
    "cache_dir",
    "default_prefix",
    "host_choice",
    "julia_choice",
    "source_dir",
    "threads",
    "use_image",
]

HOSTS = ("auto", "juliacall", "libjulia")


def host_choice() -> str:
    """The wanted host, from ``PYSOFTCORR_JULIA_HOST``: auto, juliacall or libjulia."""
    value = os.environ.get("PYSOFTCORR_JULIA_HOST", "").strip() or "auto"
    if value not in HOSTS:
        raise ValueError(f"PYSOFTCORR_JULIA_HOST={value!r}: expected one of {', '.join(HOSTS)}")
    return value


def julia_choice() -> str | None:
    """The Julia executable or prefix named by ``PYSOFTCORR_JULIA``, if any."""
    return os.environ.get("PYSOFTCORR_JULIA", "").strip() or None


def use_image() -> bool:
    """May a system image be used? Not with ``PYSOFTCORR_IMAGE=0``."""
    value = os.environ.get("PYSOFTCORR_IMAGE", "").strip() or "1"
    if value not in ("0", "1"):
        raise ValueError(f"PYSOFTCORR_IMAGE={value!r}: expected 0 or 1")
    return value == "1"


def threads() -> int:
    """Number of Julia threads.

    ``PYSOFTCORR_THREADS``, else ``JULIA_NUM_THREADS`` where that is a number, else every core
    that this process may use.
    """
    value = os.environ.get("PYSOFTCORR_THREADS", "").strip()
    julia = os.environ.get("JULIA_NUM_THREADS", "").strip()
    if not value and julia.isdecimal() and int(julia) > 0:
        return int(julia)
    if not value:
        return usable_cores()
    try:
        number = int(value)
    except ValueError:
        number = 0
    if number < 1:
        raise ValueError(f"PYSOFTCORR_THREADS={value!r}: expected a whole number of at least 1")
    return number


def cache_dir() -> Path:
    """Per-user folder for the private Julia runtime (``XDG_CACHE_HOME`` is honored)."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    root = Path(base) if os.path.isabs(base) else Path.home() / ".cache"
    return root / "pysoftcorr"


def default_prefix() -> Path:
    """Where ``softcorr julia install`` puts the private runtime."""
    return cache_dir() / "julia-1.5.3"


def source_dir() -> Path:
    """Folder of the Julia sources: inside an installed package, or the repository's ``julia/``."""
    inside = Path(__file__).resolve().parent / "src"
    beside = Path(__file__).resolve().parents[2] / "julia"
    for folder in (inside, beside):
        if (folder / "SoftCorr.jl").is_file():
            return folder
    raise FileNotFoundError(f"the Julia sources of pysoftcorr are neither in {inside} nor {beside}")
