"""Errors and warnings in one line each, in the words of the command line."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import sys
import traceback
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

_FIELD = re.compile(r"""'(\w+)': (\.\.\.|'[^']*'|"[^"]*")""")


def _columns(items: str) -> str:
    """The items of a mapping of columns as options; a form of them where they are no plain ones."""
    fields = _FIELD.findall(items)
    if _FIELD.sub("", items).strip(", "):
        return "--columns FIELD=COLUMN"
    options = []
    for name, text in fields:
        column = "..." if text == "..." else text[1:-1]
        options.append(f"--columns {_shell(f'{name}={column}')}")
    return " ".join(options) or "--columns FIELD=COLUMN"


def _shell(text: str) -> str:
    """As a shell takes it: in quotes where it has blanks or signs of the shell's own."""
    return text if re.fullmatch(r"[\w@%+=:,./-]*(\.\.\.)?", text) else shlex.quote(text)


#: How the Python API's words are said on the command line.
_WORDS: tuple[tuple[re.Pattern[str], Any], ...] = (
    (re.compile(r"\bcolumns=\{([^}]*)\}"), lambda found: _columns(found[1])),
    (re.compile(r"\bn_clusters = "), "--clusters "),
    (re.compile(r"\b(ra_unit|dec_unit)(?= (looks )?wrong)"), r"--\1"),
)


def spoken(error: BaseException, options: Iterable[str] = ()) -> str:
    """The message of an error in one line, with options, by their names, instead of arguments."""
    if isinstance(error, OSError) and error.strerror and error.filename:
        text = f"{error.filename}: {error.strerror}"
    else:
        text = str(error).strip() or type(error).__name__
    # A pointer under an expression says nothing once the lines are joined.
    lines = [line.strip() for line in text.splitlines()]
    text = " ".join(line for line in lines if line and set(line) - set("^ "))
    for pattern, words in _WORDS:
        text = pattern.sub(words, text)
    names = "|".join(sorted(options, key=len, reverse=True))
    if names:
        forms: tuple[tuple[str, Any], ...] = (
            (rf"\b({names}) = ", r"--\1 "),
            (rf"\b({names})='([^']+)'", lambda found: f"--{found[1]} {_shell(found[2])}"),
            (rf"\b({names})=True\b", r"--\1"),
            (rf"\b({names})=False\b", r"--no-\1"),
            (rf"\b({names})=(?=\s|\d|$)", r"--\1 "),
        )
        for form, words in forms:
            text = re.sub(form, words, text)
    return re.sub(r"--\w+", lambda found: found[0].replace("_", "-"), text)


def say(kind: str, text: str) -> None:
    """One line on stderr."""
    print(f"{kind}: {text}", file=sys.stderr, flush=True)


def forget_stdout() -> None:
    """Write to nowhere from now on: the reader has gone, as ``head`` does, and nothing is wrong."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


@contextlib.contextmanager
def one_line_warnings(options: Iterable[str] = ()) -> Iterator[None]:
    """Warnings for the user as ``warning: ...``, once each; those for developers not at all."""
    said: set[str] = set()

    def show(message: Any, category: type[Warning], *_: Any, **__: Any) -> None:
        text = spoken(message, options) if isinstance(message, BaseException) else str(message)
        if text not in said:
            said.add(text)
            say("warning", text)

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
        raise SystemExit(130) from None
    except BrokenPipeError:
        forget_stdout()
        raise SystemExit(0) from None
    except Exception as error:
        if debug:
            traceback.print_exc()
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
