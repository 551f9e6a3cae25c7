"""Errors and warnings in one line each, in the words of the command line."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shlex
import sys
import time
import traceback
import warnings
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from pysoftcorr.cli import interrupts
from pysoftcorr.core.version import __version__

#: Where messages are kept too (--log), and stderr as it was before --quiet.
_log: TextIO | None = None
_stderr: TextIO | None = None
#: Prefix and names of the options of the catalog that is being read.
_catalog: tuple[str, tuple[str, ...]] = ("", ())

#: Exit status after Ctrl-C, as shells have it.
INTERRUPTED = 130

_NO_ROOM = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EIO)

#: How the Python API's words are said on the command line.
_WORDS = (
    (re.compile(r"\bn_clusters = "), "--clusters "),
    (re.compile(r"\b(ra_unit|dec_unit)(?= (looks )?wrong)"), r"--\1"),
    (re.compile(r"\bcolumns\[['\"](\w+)['\"]\]"), r"--columns \1"),
    (re.compile(r" or Binning\.\w+\([^)]*\)"), ""),
    (re.compile(r"\bLeaveOut(?=: )"), "leave-out"),
    (re.compile(r"\b(Bootstrap|Jackknife)(?=: )"), lambda found: found[0].lower()),
)
_FIELDS = re.compile(r"\bcolumns ?= ?\{([^}]*)\}")
_VALUE = r"'[^']*'|\"[^\"]*\"|\[[^\]]*\]|\([^)]*\)|[\w.+-]+"


def spoken(error: BaseException, options: Iterable[str] = ()) -> str:
    """The message of an error in one line, with options, by their names, instead of arguments."""
    if isinstance(error, OSError) and error.errno in _NO_ROOM and not error.filename:
        # Files are named by what writes them: this is standard output.
        text = f"cannot write the output ({error.strerror})"
    elif isinstance(error, OSError) and error.strerror and error.filename:
        text = f"{error.filename}: {error.strerror}"
    else:
        text = str(error).strip() or type(error).__name__
    # A pointer under an expression says nothing once the lines are joined.
    lines = [line.strip() for line in text.splitlines()]
    text = " ".join(line for line in lines if line and set(line) - set("^ "))
    text = _FIELDS.sub(_as_columns, text)
    for pattern, words in _WORDS:
        text = pattern.sub(words, text)
    names = "|".join(sorted(options, key=len, reverse=True))
    if names:
        name = rf"(?<![-\w.])({names})"
        text = re.sub(rf"^({names})(?=: | ['\"])", r"--\1", text)
        text = re.sub(rf"{name} = ({_VALUE})?", _as_stated, text)
        text = re.sub(rf"{name}=({_VALUE})?", _as_typed, text)
    text = re.sub(r"--\w[\w-]*", lambda found: found[0].replace("_", "-"), text)
    prefix, own = getattr(error, "of_catalog", _catalog)
    if prefix:
        own_flags = "|".join(sorted((n.replace("_", "-") for n in own), key=len, reverse=True))
        text = re.sub(rf"--({own_flags})\b", rf"--{prefix}-\1", text)
    return text


def as_typed(text: str) -> str:
    """Text of a docstring with columns as they are typed, for the help."""
    return _FIELDS.sub(_as_columns, text)


def _as_columns(found: re.Match[str]) -> str:
    """``columns={'ra': ..., 'T' or 'sigma': ...}`` as it is typed."""
    typed = []
    for part in re.split(r",\s*(?=['\"])", found[1]):
        keys, _, value = part.partition(":")
        column = value.strip().strip("'\"") or "..."
        if column.startswith("("):  # three columns
            column = re.sub(r"[\s'\"()]", "", column)
        pairs = [f"{key}={column}" for key in re.findall(r"['\"]?(\w+)['\"]?", keys) if key != "or"]
        pairs = [pair if "..." in pair else shlex.quote(pair) for pair in pairs]
        if pairs:
            typed.append(f"--columns {' or '.join(pairs)}")
    return " ".join(typed) or "--columns FIELD=COLUMN"


def _as_stated(found: re.Match[str]) -> str:
    """``name = value`` of a message as the option and its value."""
    name, value = found[1], found[2]
    return f"--{name} {_several(value) or value or ''}"


def _as_typed(found: re.Match[str]) -> str:
    """``name=value`` of an advice as it is typed in a shell."""
    name, value = found[1], found[2]
    if value is None or value == "True":
        return f"--{name}"
    if value == "False":
        return f"--no-{name}"
    if value == "None":
        return f"--{name} none"
    if value[0] in "'\"":
        return f"--{name} {shlex.quote(value[1:-1])}"
    return f"--{name} {_several(value) or value}"


def _several(value: str | None) -> str:
    """The texts of a list or a tuple with commas between; empty for anything else."""
    if not value or value[0] not in "[(":
        return ""
    return ",".join(part.strip().strip("'\"") for part in value[1:-1].split(",") if part.strip())


def say(kind: str, text: str) -> None:
    """One line on stderr, such as ``error: ...``; it stays with --quiet."""
    _record(f"{kind}: {text}")
    print(f"{kind}: {text}", file=_stderr or sys.stderr, flush=True)


def tell(text: str) -> None:
    """One line on stderr that --quiet leaves out."""
    _record(text)
    print(text, file=sys.stderr, flush=True)


def _record(text: str) -> None:
    """Append a line to the log, if there is one."""
    global _log
    if _log is None:
        return
    try:
        for line in text.splitlines():
            _log.write(f"{datetime.now().astimezone().isoformat(timespec='seconds')} {line}\n")
        _log.flush()
    except OSError as error:
        name, left = _log.name, _log
        _log = None
        with contextlib.suppress(OSError):
            left.close()
        tell(f"warning: {name}: cannot write the log any more ({error.strerror})")


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Nothing on stderr but errors: no warnings, no bars, no names of files written."""
    global _stderr
    before = _stderr
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        _stderr = sys.stderr
        try:
            with contextlib.redirect_stderr(nowhere):
                yield
        finally:
            _stderr = before


@contextlib.contextmanager
def logged(path: str, arguments: Iterable[str]) -> Iterator[None]:
    """Append every message to a file, between the command line with the version, and the end.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    global _log
    if not path.strip():
        raise ValueError(f"--log {path!r}: must not be empty")
    try:
        _log = open(Path(path).expanduser(), "a", encoding="utf-8")  # noqa: SIM115
    except OSError as error:
        raise type(error)(error.errno, f"cannot write the log ({error.strerror})", path) from None
    begun, status = time.monotonic(), "1"
    _record(f"softcorr {__version__}: {shlex.join(['softcorr', *arguments])}")
    try:
        yield
        status = "0"
    except SystemExit as left:
        status = str(left.code or 0)
        raise
    finally:
        _record(f"exit status {status} after {time.monotonic() - begun:.1f} s")
        if _log is not None:
            _log.close()
            _log = None


def record(settings: Mapping[str, Any]) -> None:
    """The settings, seed included, in the log."""
    _record(f"settings {json.dumps(settings, default=str)}")


def forget_stdout() -> None:
    """Write to nowhere from now on: the reader has gone, as ``head`` does, and nothing is wrong."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


@contextlib.contextmanager
def of_catalog(prefix: str, options: Iterable[str]) -> Iterator[None]:
    """Errors and warnings within name the options of this catalog, such as --randoms-columns."""
    global _catalog
    before, _catalog = _catalog, (prefix, tuple(options))
    try:
        yield
    except (ValueError, TypeError, OSError) as error:
        vars(error)["of_catalog"] = _catalog
        raise
    finally:
        _catalog = before


@contextlib.contextmanager
def one_line_warnings(options: Iterable[str] = ()) -> Iterator[None]:
    """Warnings for the user as ``warning: ...``, once each; those for developers not at all."""
    said: set[str] = set()

    def show(message: Any, category: type[Warning], *_: Any, **__: Any) -> None:
        text = spoken(message, options) if isinstance(message, BaseException) else str(message)
        if text not in said:
            said.add(text)
            tell(f"warning: {text}")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = show  # restored by catch_warnings
        yield


@contextlib.contextmanager
def one_line_errors(options: Iterable[str] = (), *, debug: bool = False) -> Iterator[None]:
    """Leave by SystemExit with one line instead of a traceback: 2, 130, or 1 for our own fault."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        say("interrupted", str(interrupt) or "the work was not finished")
        if debug:
            traceback.print_exc()
        raise SystemExit(INTERRUPTED) from None
    except BrokenPipeError:
        forget_stdout()
        raise SystemExit(0) from None
    except Exception as error:
        if debug:
            traceback.print_exc()
        if interrupts.pressed() and not isinstance(error, OSError):
            say("interrupted", "the work was not finished")
            raise SystemExit(INTERRUPTED) from None
        from pysoftcorr._julia.errors import JuliaUnavailable
        from pysoftcorr.core.extras import MissingExtra

        known = (ValueError, TypeError, OSError, JuliaUnavailable, MissingExtra)
        if isinstance(error, known):
            say("error", spoken(error, options))
            raise SystemExit(2) from None
        if isinstance(error, MemoryError):
            say("error", f"not enough memory {spoken(error, options)}".rstrip())
            raise SystemExit(2) from None
        again = "" if debug else "; --debug shows where"
        say("internal error", f"{type(error).__name__}: {spoken(error, options)}{again}")
        raise SystemExit(1) from None
