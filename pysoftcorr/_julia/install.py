"""Installation of a Julia runtime: one explicit step, ``softcorr julia install``."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from pysoftcorr._julia import apt, found, hosts, juliacall_host, settings
from pysoftcorr._julia.errors import JuliaUnavailable
from pysoftcorr._julia.image import compile_image, impossible
from pysoftcorr._julia.settings import Log, locked
from pysoftcorr.core import options

__all__ = ["SUITE", "install"]

METHODS = ("auto", "juliacall", "debian")

# The last suite of Debian with Julia in it (1.5.3), still in the ordinary archive.
SUITE = "bullseye"
PACKAGES = [
    "julia",
    "julia-common",
    "libjulia1",
    "libllvm9",
    "libopenlibm3",
    "libmbedtls12",
    "libmbedcrypto3",
    "libmbedx509-0",
    "libgit2-1.1",
    "libdsfmt-19937-1",
    "libutf8proc2",
    "libffi7",
    "libhttp-parser2.9",
    "libunwind8",
    "libgfortran5",
    "libquadmath0",
    "libpcre2-8-0",
    "libpcre3",
    "libgmp10",
    "libmpfr6",
    "libssh2-1",
    "libcurl3-gnutls",
    "libedit2",
    "libz3-4",
    "libbsd0",
    "libmd0",
]

ANSWER_SECONDS = 5
RESOLVE_SECONDS = 1800
ANSWERS = """
import sys, urllib.request
from juliapkg import install_julia
request = urllib.request.Request(install_julia._julia_versions_url, method="HEAD")
urllib.request.urlopen(request, timeout=3)
"""


def install(
    *,
    prefix: str | os.PathLike[str] | None = None,
    method: str = "auto",
    force: bool = False,
    image: bool = True,
    log: Log = print,
) -> dict[str, Any]:
    """Get a Julia runtime and compile a system image for it, unless good ones are there.

    An interrupted installation can be started again; it is never taken for a whole one.

    Parameters
    ----------
    prefix : path, optional
        Where to put a private runtime; by default a folder in the user's cache.
    method : {"auto", "juliacall", "debian"}
        juliacall's own resolver, Debian packages, or whichever works, in this order.
    force : bool
        Install even where a good runtime is found.
    image : bool
        Compile our sources ahead of time, where that can be done: saves seconds of each start.
        Julia works without, so that a failure is only logged.
    log : callable
        Takes lines of progress.

    Returns
    -------
    dict
        ``method`` ("juliacall", "debian" or "present"), ``version`` and ``path``.

    Raises
    ------
    ValueError
        An unknown method.
    JuliaUnavailable
        Nothing worked; the message says why and what to do.
    """
    options.choice("method", method, METHODS)
    target = Path(prefix).expanduser().absolute() if prefix is not None else None
    done, host = _get(target, method, force, log)
    if image and host == "libjulia":
        _compile_ahead(done["path"], log)
    return done


def _compile_ahead(executable: str, log: Log) -> None:
    try:
        runtime = found.inspect(executable)
        cannot = impossible(runtime)
        if cannot:
            log(f"nothing is compiled ahead of time: {cannot}")
        else:
            compile_image(found=runtime, log=log)
    except (JuliaUnavailable, OSError) as error:
        log(f"warning: {error}")


def _get(target: Path | None, method: str, force: bool, log: Log) -> tuple[dict[str, Any], str]:
    """Get a runtime: what `install` gives back, and the host that it is for."""
    if not force:
        present, host = _present(target, method)
        if present:
            log(f"Julia {present['version']} is there: {present['path']}")
            return present, host
    reasons = []
    if method == "juliacall" or (
        method == "auto" and target is None and settings.host_choice() != "libjulia"
    ):
        reason = _resolve(log)
        if not reason:
            present, host = _present(None, "juliacall")
            if present:
                return {**present, "method": "juliacall"}, host
            reason = "juliacall's resolver ended, but found no Julia"
        reasons.append(reason)
    if method in ("auto", "debian"):
        try:
            done = _install_debian(target or settings.default_prefix(), log)
        except (apt.AptError, OSError) as error:
            reasons.append(str(error))
        else:
            named = settings.julia_choice()
            if target is not None:
                log(f"to use it, set PYSOFTCORR_JULIA={target}")
            elif named is not None:
                log(f"to use it, unset PYSOFTCORR_JULIA (it names {named})")
            return done, "libjulia"
    raise JuliaUnavailable(
        f"no Julia could be installed ({'; '.join(reasons)})",
        "install Julia by hand and set PYSOFTCORR_JULIA to its executable or folder, or try again "
        "later",
    )


def _present(target: Path | None, method: str) -> tuple[dict[str, Any], str]:
    """The runtime that is there already, if any, and its host."""
    if method != "debian" and target is None and settings.host_choice() != "libjulia":
        with contextlib.suppress(Exception):
            if hosts.ready():
                return _facts(found.inspect(juliacall_host.executable())), "juliacall"
    if method == "juliacall":
        return {}, ""
    try:
        if target is not None or method == "debian":
            runtime = found.tested(str(target or settings.default_prefix()))
        else:
            runtime = found.choose()
    except (FileNotFoundError, JuliaUnavailable):
        return {}, ""
    return _facts(runtime), "libjulia"


def _facts(runtime: found.Found, method: str = "present") -> dict[str, Any]:
    return {"method": method, "version": runtime.version, "path": runtime.executable}


# ---- juliacall -------------------------------------------------------------------------------


def _resolve(log: Log) -> str:
    """Let juliacall get its Julia; the reason why not, or empty."""
    for package in ("juliacall", "juliapkg"):
        if importlib.util.find_spec(package) is None:
            return f"the Python package {package} is not installed"
    # In a process of its own: looking up a host's name has no time limit.
    try:
        subprocess.run(
            [sys.executable, "-c", ANSWERS],
            timeout=ANSWER_SECONDS,
            check=True,
            capture_output=True,
        )
    except (OSError, subprocess.SubprocessError):
        return "Julia's download server does not answer"
    log("Julia's download server answers: juliacall gets its own Julia (some minutes)")
    try:
        subprocess.run(
            [sys.executable, "-c", "import juliapkg; juliapkg.resolve()"],
            timeout=RESOLVE_SECONDS,
            check=True,
            stdout=sys.stderr.fileno(),
        )
    except (OSError, subprocess.SubprocessError) as error:
        return f"juliacall's resolver failed: {error}"
    return ""


# ---- Debian ----------------------------------------------------------------------------------


def _install_debian(target: Path, log: Log) -> dict[str, Any]:
    apt.require_tools()
    sources = apt.mirrors()
    if not sources:
        raise apt.AptError("the apt sources of this system name no Debian mirror")
    work = target.with_name(target.name + ".download")
    partial = target.with_name(target.name + ".partial")
    with locked(target.with_name(target.name + ".lock"), log, "installation") as waited:
        if waited:
            with contextlib.suppress(FileNotFoundError, JuliaUnavailable):
                runtime = found.tested(str(target))
                log(f"Julia {runtime.version} was installed meanwhile: {runtime.executable}")
                return _facts(runtime)
        log(f"fetching Julia from Debian's suite {SUITE} (63 MB)")
        for number, source in enumerate(sources):
            try:
                files = apt.download(PACKAGES, SUITE, source, work)
                break
            except apt.AptError:
                if number == len(sources) - 1:
                    raise
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        log(f"unpacking into {target} (335 MB)")
        apt.unpack(files, partial)
        found.write_manifest(partial, suite=SUITE, packages=[file.name for file in files])
        old = target.with_name(target.name + ".old")
        shutil.rmtree(old, ignore_errors=True)
        if target.exists():
            target.rename(old)
        partial.rename(target)
        log("testing it")
        reason = _test(target)
        if reason:
            shutil.rmtree(target)
            if old.exists():
                old.rename(target)
            raise apt.AptError(f"Julia was unpacked, but {reason}")
        for folder in (old, work):
            shutil.rmtree(folder, ignore_errors=True)
    runtime = found.inspect(str(target))
    log(f"Julia {runtime.version} is ready: {runtime.executable}")
    return _facts(runtime, "debian")


def _test(target: Path) -> str:
    try:
        return found.self_test(found.inspect(str(target)), again=True)
    except JuliaUnavailable as error:
        return str(error)
