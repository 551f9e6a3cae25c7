"""A system image of Julia with our sources in it, compiled ahead of time.

Without one Julia compiles whatever a process needs, some seconds each time. An image holds for
one runtime, one kind of processor and one state of the Julia sources; with any other it is not
used, and the plain runtime is.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pysoftcorr._julia import settings
from pysoftcorr._julia.errors import JuliaUnavailable
from pysoftcorr._julia.found import Found, choose, run_self_test
from pysoftcorr._julia.settings import Log, locked

__all__ = ["COMPILE_COMMAND", "Choice", "compile_image", "find", "impossible"]

COMPILE_COMMAND = "softcorr julia compile"
# Counts the ways in which images have been made.
RECIPE = 1
COMPILERS = ("cc", "gcc", "clang")
SAVES = "some 5 seconds of each start"
BUILD_SECONDS = 3600
# Fields of /proc/cpuinfo that decide whether code compiled for one processor runs on another.
CPU_FIELDS = ("vendor_id", "model name", "flags", "CPU implementer", "CPU part", "Features")


@dataclass(frozen=True)
class Choice:
    """The image to start with, or why there is none."""

    path: str | None
    reason: str = ""


# ---- identity --------------------------------------------------------------------------------


def folder() -> Path:
    """Folder of the images, beside the private runtime."""
    return settings.cache_dir() / "images"


def sources() -> list[Path]:
    """The Julia files that an image is made of."""
    return sorted((settings.package_dir() / "src").rglob("*.jl"))


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            first = file.read(1 << 16).split("\n\n", 1)[0]
    except OSError:
        first = ""
    pairs = (line.partition(":") for line in first.splitlines())
    told = {name.strip(): value.strip() for name, _, value in pairs}
    return repr([platform.machine(), [told.get(name, "") for name in CPU_FIELDS]])


def _digest(*parts: bytes | str) -> str:
    total = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogateescape") if isinstance(part, str) else part
        total.update(f"{len(data)} ".encode() + data)
    return total.hexdigest()[:16]


def _stamp(path: str) -> str:
    info = os.stat(path)
    return f"{path} {info.st_size} {info.st_mtime_ns}"


def image_path(found: Found) -> Path:
    """Path of the image of the present sources for this runtime and this processor.

    The name is ``<runtime and processor>-<contents>.so``.
    """
    runtime = _digest(
        found.version, found.executable, _stamp(found.libjulia), _stamp(found.image), _processor()
    )
    root = settings.package_dir()
    contents = [
        part
        for file in sources()
        for part in (file.relative_to(root).as_posix(), file.read_bytes())
    ]
    return folder() / f"{runtime}-{_digest(str(RECIPE), *contents)}.so"


# ---- use -------------------------------------------------------------------------------------


def _facts(path: Path) -> dict[str, int]:
    info = path.stat()
    return {"size": info.st_size, "mtime_ns": info.st_mtime_ns}


def _record(path: Path) -> Path:
    return path.with_suffix(".json")


def problem(path: Path) -> str:
    """The fault of an image; empty when it is as it was when it passed its test."""
    try:
        if json.loads(_record(path).read_text(encoding="utf-8")) != _facts(path):
            return "it has changed since it was built"
    except (OSError, ValueError, RecursionError):
        return "it is not whole"
    return ""


def find(found: Found) -> Choice:
    """The image to start a runtime with, or why there is none.

    Warns
    -----
    UserWarning
        The image is damaged.
    """
    if not settings.use_image():
        return Choice(None, "PYSOFTCORR_IMAGE=0")
    cannot = impossible(found)
    if cannot:
        return Choice(None, cannot)
    try:
        path = image_path(found)
    except OSError as error:
        return Choice(None, str(error))
    if not path.exists():
        others = any(folder().glob(path.name.split("-")[0] + "-*.so"))
        made = "that of other Julia sources is stale" if others else "none was compiled"
        return Choice(None, f"{made}: {COMPILE_COMMAND}")
    what = problem(path)
    if what:
        warnings.warn(
            f"the system image {path} is damaged and is not used ({what}); to fix this, run "
            f"{COMPILE_COMMAND}",
            stacklevel=2,
        )
        return Choice(None, f"{path} is damaged: {what}")
    return Choice(str(path))


# ---- making ----------------------------------------------------------------------------------


def impossible(found: Found) -> str:
    """Why no image can be made for a runtime; empty where it can."""
    if sys.platform != "linux":
        return f"system images are made on Linux only, not on {sys.platform}"
    if found.version.split(".")[:2] != ["1", "5"]:
        return f"system images are made for Julia 1.5 only, not for {found.version}"
    return ""


def compiler() -> str | None:
    """The C compiler, which links the image."""
    return next((path for name in COMPILERS if (path := shutil.which(name))), None)


def compile_image(*, force: bool = False, log: Log = print, found: Found | None = None) -> Path:
    """Compile a system image, unless a good one is there.

    An interrupted build leaves nothing that is taken for an image. The image is tested in a
    process of its own before it is taken.

    Parameters
    ----------
    force : bool
        Compile even where there is a good image.
    log : callable
        Takes lines of progress.
    found : Found, optional
        The runtime; by default the one that would start.

    Returns
    -------
    pathlib.Path
        The image.

    Raises
    ------
    JuliaUnavailable
        There is no runtime, no image can be made for it, or the image failed; the message says
        why. The plain runtime can be used all the same.
    """
    found = choose() if found is None else found
    cannot = impossible(found)
    if cannot:
        raise JuliaUnavailable(cannot, "run softcorr julia install --method debian")
    linker = compiler()
    if linker is None:
        raise JuliaUnavailable(
            f"without a C compiler ({', '.join(COMPILERS)}) no system image can be made, which "
            f"would save {SAVES}",
            f"install gcc, then run {COMPILE_COMMAND}",
        )
    path = image_path(found)
    runtime = path.name.split("-")[0]
    with locked(folder() / f"{runtime}.lock", log, "compilation"):
        if not force and path.exists() and not problem(path):
            log(f"the system image is there: {path}")
            return path
        log(f"compiling ahead of time: some minutes, once; saves {SAVES}")
        for left in folder().glob(f".{runtime}-*"):
            shutil.rmtree(left, ignore_errors=True)
        try:
            with tempfile.TemporaryDirectory(
                dir=folder(), prefix=f".{runtime}-", ignore_cleanup_errors=True
            ) as work:
                made = _build(found, linker, Path(work))
                if image_path(found) != path:
                    raise _failed("the Julia sources have changed in the meantime")
                _accept(made, path)
        except (OSError, subprocess.SubprocessError) as error:
            raise _failed(str(error)) from error
        for old in folder().glob(f"{runtime}-*"):
            if old.stem != path.stem:
                with contextlib.suppress(OSError):
                    old.unlink()
    log(f"the system image is ready: {path}")
    return path


def _failed(why: str) -> JuliaUnavailable:
    return JuliaUnavailable(
        f"the system image could not be made, and Julia starts without one: {why}",
        f"run {COMPILE_COMMAND}",
    )


def _build(found: Found, linker: str, work: Path) -> Path:
    """An image that has passed its test, under a name of its own."""
    objects, made = work / "image.o", work / "image.so"
    _run(
        [
            found.executable, "-C", "native", "-O2", "-g0", "-J", found.image,
            "--startup-file=no", "--history-file=no", "--output-o", str(objects),
            str(settings.package_dir() / "src" / "precompile" / "build_image.jl"),
        ],
        _build_environment(found, work),
    )  # fmt: skip
    _run(
        [
            linker, "-shared", "-s", "-o", str(made), "-Wl,--whole-archive", str(objects),
            "-Wl,--no-whole-archive", found.libjulia,
        ],
        dict(os.environ),
    )  # fmt: skip
    objects.unlink()
    reason, _ = run_self_test(found, str(made))
    if reason:
        raise _failed(reason)
    return made


def _build_environment(found: Found, work: Path) -> dict[str, str]:
    env = {k: v for k, v in found.environment().items() if not k.startswith("JULIA_")}
    # The standard library alone; an image is made on one thread.
    return env | {
        "JULIA_LOAD_PATH": "@stdlib",
        "JULIA_DEPOT_PATH": str(work / "depot"),
        "JULIA_NUM_THREADS": "1",
    }


def _run(command: list[str], env: dict[str, str]) -> None:
    with _terminated_too() as started:
        process = subprocess.Popen(
            command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            errors="replace",
        )  # fmt: skip
        started.append(process)
        _, said = process.communicate(timeout=BUILD_SECONDS)
    if process.returncode:
        lines = [line for line in said.splitlines() if "rror" in line] or said.splitlines()
        lines = lines or [f"ended by signal {-process.returncode}, perhaps out of memory"]
        raise _failed(f"{Path(command[0]).name}: {lines[0].strip()}")


@contextlib.contextmanager
def _terminated_too() -> Iterator[list[subprocess.Popen[str]]]:
    """A process that is started in the block ends with it."""
    started: list[subprocess.Popen[str]] = []
    try:
        yield started
    finally:
        for process in started:
            if process.poll() is None:
                process.kill()
                process.wait()


def _accept(made: Path, path: Path) -> None:
    """Put a tested image in its place; the record comes last and makes it count."""
    _record(path).unlink(missing_ok=True)
    os.replace(made, path)
    handle = path.with_name(f".{path.stem}.json")
    handle.write_text(json.dumps(_facts(path)), encoding="utf-8")
    os.replace(handle, _record(path))
