"""Environment variables and folders of the door to Julia, and the lock to fill a folder under."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from pysoftcorr.core.cores import usable_cores

__all__ = [
    "Log",
    "cache_dir",
    "default_prefix",
    "host_choice",
    "julia_choice",
    "locked",
    "package_dir",
    "source_file",
    "threads",
    "use_image",
]

#: Takes lines of progress.
Log = Callable[[str], None]

HOSTS = ("auto", "juliacall", "libjulia")


def host_choice() -> str:
    """Wanted host, from ``PYSOFTCORR_JULIA_HOST``: auto, juliacall or libjulia."""
    value = os.environ.get("PYSOFTCORR_JULIA_HOST", "").strip() or "auto"
    if value not in HOSTS:
        raise ValueError(f"PYSOFTCORR_JULIA_HOST={value!r}: expected one of {', '.join(HOSTS)}")
    return value


def julia_choice() -> str | None:
    """Julia executable or prefix named by ``PYSOFTCORR_JULIA``, if any."""
    return os.environ.get("PYSOFTCORR_JULIA", "").strip() or None


def use_image() -> bool:
    """Whether a system image may be used: not with ``PYSOFTCORR_IMAGE=0``."""
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
    """Per-user folder for the private Julia runtime (``XDG_CACHE_HOME`` is honored).

    Raises
    ------
    FileNotFoundError
        This user has no home folder.
    """
    base = os.environ.get("XDG_CACHE_HOME", "")
    root = Path(base) if os.path.isabs(base) else _home() / ".cache"
    return root / "pysoftcorr"


def _home() -> Path:
    """The home folder: ``HOME``, or that of the system's list of users if it is no whole path."""
    named = os.environ.get("HOME", "")
    if os.path.isabs(named):
        return Path(named)
    try:
        import pwd  # not on every system

        home = Path(pwd.getpwuid(os.getuid()).pw_dir)
    except ImportError:
        home = Path.home()
    except KeyError:
        home = Path(named)
    if not home.is_absolute():
        raise FileNotFoundError(
            f"HOME={named!r}: no absolute path, and this user has no home folder; set HOME or "
            "XDG_CACHE_HOME to a folder that can be written"
        )
    return home


def default_prefix() -> Path:
    """Folder into which ``softcorr julia install`` puts the private runtime."""
    return cache_dir() / "julia-1.5.3"


def package_dir() -> Path:
    """Folder of the Julia package SoftCorr: within the installed package, or the repository's."""
    inside = Path(__file__).resolve().parent / "SoftCorr"
    beside = Path(__file__).resolve().parents[2] / "julia"
    for folder in (inside, beside):
        if (folder / "src" / "SoftCorr.jl").is_file():
            return folder
    raise FileNotFoundError(
        f"the Julia package of pysoftcorr is neither in {inside} nor {beside}: reinstall pysoftcorr"
    )


def source_file() -> Path:
    """The file that defines the module ``SoftCorr``."""
    return package_dir() / "src" / "SoftCorr.jl"


@contextlib.contextmanager
def locked(path: Path, log: Log, what: str) -> Iterator[bool]:
    """Hold the lock file `path`; while another process does `what`, say so and wait.

    Gives whether it had to wait, so that the other has done the work.
    """
    import fcntl  # not on every system; nothing but this needs it

    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as file:
        waited = False
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log(f"another {what} is running: waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
            waited = True
        yield waited
