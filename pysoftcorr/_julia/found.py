"""Julia runtimes on this machine: asked about themselves once, tested once, remembered.

The private runtime in the user's cache folder is whole, or not taken.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pysoftcorr._julia import settings
from pysoftcorr._julia.errors import INSTALL_COMMAND, JuliaUnavailable

__all__ = [
    "Found",
    "choose",
    "executable_in",
    "inspect",
    "library_path",
    "run_self_test",
    "self_test",
    "tested",
    "write_manifest",
]

MANIFEST = "pysoftcorr-manifest.json"

PROBE = """
import Libdl
names = filter(p -> startswith(basename(p), "libjulia."), Libdl.dllist())
println("version=", VERSION)
println("bindir=", Sys.BINDIR)
println("image=", unsafe_string(Base.JLOptions().image_file))
println("libjulia=", isempty(names) ? Libdl.dlpath("libjulia") : first(names))
"""
PROBE_SECONDS = 60
SELF_TEST_SECONDS = 180


@dataclass(frozen=True)
class Found:
    """A Julia runtime: its executable, and what it says of itself."""

    executable: str
    version: str
    bindir: str
    image: str  # its own system image
    libjulia: str
    libdir: str | None = None  # library folder of a private prefix, needed to run it

    def environment(self) -> dict[str, str]:
        """Environment in which the executable runs."""
        return {**os.environ, **library_path(self.libdir)}


def library_path(libdir: str | None) -> dict[str, str]:
    """The environment variable with which a runtime finds its libraries in ``libdir``."""
    if libdir is None:
        return {}
    # libpcre, which Julia's package manager needs, lies in <prefix>/lib/<machine>.
    folder = Path(libdir)
    other = folder.parents[2] / "lib" / folder.name
    parts = [libdir, str(folder / "julia"), str(other), os.environ.get("LD_LIBRARY_PATH", "")]
    return {"LD_LIBRARY_PATH": os.pathsep.join(part for part in parts if part)}


def executable_in(place: str) -> tuple[str, str | None]:
    """Executable, and library folder of a private prefix, from an executable or a prefix.

    Raises
    ------
    FileNotFoundError
        There is no Julia executable at that place.
    """
    path = Path(place).expanduser()
    if path.is_dir():
        inside = [path / "bin" / "julia", path / "usr" / "bin" / "julia"]
        executable = next((p for p in inside if p.is_file()), None)
    else:
        which = shutil.which(str(path))
        executable = Path(which) if which else None
    if executable is None:
        raise FileNotFoundError(f"no Julia executable at {place}")
    executable = Path(os.path.abspath(executable))
    # Debian's packages unpacked by hand: <prefix>/usr/lib/<machine>/libjulia.so.1
    root = executable.parent.parent
    if root.name == "usr" and str(root) != "/usr":
        for lib in sorted(root.glob("lib/*/libjulia.so.1")):
            return str(executable), str(lib.parent)
    return str(executable), None


def _stamp(executable: str) -> list[float]:
    info = os.stat(executable)
    return [info.st_mtime, info.st_size]


def _memory_path() -> Path:
    return settings.cache_dir() / "runtimes.json"


def _remembered() -> dict[str, Any]:
    """What is remembered of all runtimes; nothing where the file is damaged or none."""
    try:
        path = _memory_path()
        if path.is_file():  # a pipe would be waited for
            known = json.loads(path.read_text(encoding="utf-8"))
            return known if isinstance(known, dict) else {}
    except (OSError, ValueError, RecursionError):
        pass
    return {}


def _recall(executable: str) -> dict[str, Any]:
    try:
        memory = _remembered()[executable]
        runtime, verdict = Found(**memory["found"]), memory["tested"]
        texts = {name: part for name, part in asdict(runtime).items() if part is not None}
        libdir = texts.pop("libdir", "")
        whole = len(texts) == 5 and all(isinstance(p, str) for p in (*texts.values(), libdir))
        if not whole or runtime.executable != executable or not os.path.exists(runtime.libjulia):
            return {}
        if memory["stamp"] == _stamp(executable) and isinstance(verdict, (str, type(None))):
            return dict(memory)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    return {}


def _remember(executable: str, memory: dict[str, Any]) -> None:
    # A folder that cannot be written only means asking again next time.
    with contextlib.suppress(OSError):
        path = _memory_path()
        path.parent.mkdir(parents=True, exist_ok=True)
        everything = {**_remembered(), executable: memory}
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".runtimes-")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(everything, file, indent=1)
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise


def inspect(place: str) -> Found:
    """Ask a Julia runtime where its parts are; the answer is remembered.

    Raises
    ------
    FileNotFoundError
        There is no executable.
    JuliaUnavailable
        It does not run, or does not answer.
    """
    executable, libdir = executable_in(place)
    memory = _recall(executable)
    if memory:
        return Found(**memory["found"])
    command = [executable, "--startup-file=no", "--history-file=no", "-O0", "-e", PROBE]
    try:
        done = subprocess.run(
            command,
            env={**os.environ, **library_path(libdir)},
            capture_output=True,
            encoding=sys.getfilesystemencoding(),
            errors="surrogateescape",  # of paths
            timeout=PROBE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise JuliaUnavailable(f"{executable} does not run: {error}") from error
    says = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    try:
        found = Found(
            executable=executable,
            version=says["version"],
            bindir=says["bindir"],
            image=says["image"],
            libjulia=os.path.realpath(says["libjulia"]),
            libdir=libdir,
        )
    except KeyError:
        last = (done.stderr.strip() or f"exit status {done.returncode}").splitlines()[-1]
        raise JuliaUnavailable(f"{executable} does not work: {last}") from None
    _remember(executable, {"stamp": _stamp(executable), "found": asdict(found), "tested": None})
    return found


def self_test(found: Found, *, again: bool = False) -> str:
    """Start this runtime in a process of its own, with exceptions on two threads.

    Returns
    -------
    str
        Empty when all is well, else what went wrong. Success and a crash are remembered until
        the runtime changes.
    """
    memory = _recall(found.executable)
    if memory and memory.get("tested") is not None and not again:
        return str(memory["tested"])
    problem, final = run_self_test(found)
    if final:  # other failures may not be the runtime's own
        memory = {"stamp": _stamp(found.executable), "found": asdict(found), "tested": problem}
        _remember(found.executable, memory)
    return problem


def run_self_test(found: Found, image: str | None = None) -> tuple[str, bool]:
    """Start a runtime in a process of its own, with its own system image or with another.

    Returns
    -------
    problem : str
        Empty when all is well.
    final : bool
        Whether it would be the same the next time; failures other than a crash may not be the
        runtime's.
    """
    command = [sys.executable, "-m", "pysoftcorr._julia.selftest"]
    env = dict(os.environ)
    env["PYSOFTCORR_JULIA_SELFTEST"] = json.dumps({"found": asdict(found), "image": image})
    env["PYSOFTCORR_THREADS"] = "2"
    env["PYTHONPATH"] = os.pathsep.join(
        p for p in (str(Path(__file__).resolve().parents[2]), env.get("PYTHONPATH", "")) if p
    )
    try:
        done = subprocess.run(
            command,
            env=env,
            capture_output=True,
            encoding=sys.getfilesystemencoding(),
            errors="surrogateescape",
            timeout=SELF_TEST_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"the self-test did not end: {error}", False
    if done.returncode == 0 and done.stdout.strip() == "ok":
        return "", True
    if done.returncode < 0:
        return f"the self-test died of signal {-done.returncode}", True
    lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
    return f"the self-test failed: {lines[-1]}", False


# ---- the private runtime ---------------------------------------------------------------------


def _files(prefix: Path) -> Iterator[Path]:
    return (p for p in sorted(prefix.rglob("*")) if p.is_file() and not p.is_symlink())


def write_manifest(prefix: Path, **facts: object) -> None:
    """Write down every file of a prefix with its size, and where it came from."""
    sizes = {
        str(p.relative_to(prefix)): p.stat().st_size for p in _files(prefix) if p.name != MANIFEST
    }
    (prefix / MANIFEST).write_text(
        json.dumps({**facts, "files": sizes}, indent=0), encoding="utf-8"
    )


def prefix_problem(prefix: Path) -> str:
    """The fault of a prefix; empty when every file is there with its size."""
    try:
        sizes: dict[str, int] = dict(
            json.loads((prefix / MANIFEST).read_text(encoding="utf-8"))["files"]
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "its list of files cannot be read"
    for name, size in sizes.items():
        try:
            found = (prefix / name).stat().st_size
        except (OSError, ValueError):  # of a name that no file has
            return f"{name} is missing"
        if found != size:
            return f"{name} has {found} bytes instead of {size}"
    return ""


def check_prefix(prefix: Path) -> None:
    """Refuse a damaged prefix.

    Raises
    ------
    JuliaUnavailable
        A file is missing or has another size.
    """
    what = prefix_problem(prefix)
    if what:
        raise JuliaUnavailable(
            f"the Julia runtime in {prefix} is damaged: {what}",
            f"run {INSTALL_COMMAND} --force",
        )


# ---- the choice ------------------------------------------------------------------------------


def tested(place: str) -> Found:
    """A runtime that is whole and passes the self-test.

    Raises
    ------
    FileNotFoundError
        There is no executable.
    JuliaUnavailable
        It is damaged, does not run, or fails the self-test.
    """
    folder = Path(place).expanduser()
    if (folder / MANIFEST).exists():
        check_prefix(folder)
    found = inspect(place)
    problem = self_test(found)
    if problem:
        raise JuliaUnavailable(
            f"{found.executable} (Julia {found.version}) cannot be used: {problem}"
        )
    return found


def choose() -> Found:
    """The runtime for the libjulia host.

    ``PYSOFTCORR_JULIA`` if it is set, else ``julia`` on PATH where it passes the self-test, else
    the private prefix.

    Raises
    ------
    JuliaUnavailable
        There is none; the message names the command that installs one.
    """
    named = settings.julia_choice()
    if named is not None:
        try:
            return tested(named)
        except FileNotFoundError as error:
            raise JuliaUnavailable(f"PYSOFTCORR_JULIA: {error}") from None
    tried = []
    on_path = shutil.which("julia")
    if on_path is not None:
        try:
            return tested(on_path)
        except JuliaUnavailable as error:
            tried.append(error.reason)
        except FileNotFoundError as error:
            tried.append(str(error))
    try:
        private = settings.default_prefix()
        if private.is_dir():
            check_prefix(private)
            return tested(str(private))
    except OSError as error:
        tried.append(str(error))
    raise JuliaUnavailable("; ".join(["no Julia runtime is installed for pysoftcorr", *tried]))
