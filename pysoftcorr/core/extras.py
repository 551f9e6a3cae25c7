"""Optional packages, asked for where they are needed."""

from __future__ import annotations

import importlib
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["MissingExtra", "hushed", "need"]


class MissingExtra(ImportError):
    """An optional package is not installed; the message says how to get it."""


def need(module: str, what: str, *, extra: str = "torch") -> Any:
    """A module of an optional package.

    Parameters
    ----------
    module : str
        Such as "torch" or "pyro.infer".
    what : str
        What it is for, at the head of the message.
    extra : str
        The extra of pysoftcorr that brings it.

    Raises
    ------
    MissingExtra
        If the package is not installed.

    Examples
    --------
    >>> from pysoftcorr.core.extras import need
    >>> need("nowhere", "a figure")
    Traceback (most recent call last):
        ...
    pysoftcorr.core.extras.MissingExtra: a figure needs nowhere; install it with: \
pip install 'pysoftcorr[torch]'
    """
    package = module.partition(".")[0]
    try:
        with hushed():
            try:
                found = importlib.import_module(module)
            except OSError:
                # ArviZ makes a folder in the user's cache, which may not be writable.
                with _home_elsewhere():
                    found = importlib.import_module(module)
        if package == "torch":
            from pysoftcorr.core.torch import one_thread_in_forks

            one_thread_in_forks()
        return found
    except ImportError as error:
        if error.name is not None and error.name.partition(".")[0] != package:
            raise
        raise MissingExtra(
            f"{what} needs {package}; install it with: pip install 'pysoftcorr[{extra}]'"
        ) from None


@contextmanager
def hushed() -> Iterator[None]:
    """No announcements of coming versions, nor where matplotlib keeps its cache.

    Where HOME cannot be written that is a temporary folder, of which it has three lines to say.
    ArviZ imports it, too.
    """
    logger = logging.getLogger("matplotlib")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


@contextmanager
def _home_elsewhere() -> Iterator[None]:
    """A home folder that lasts for the block."""
    names = ("HOME", "XDG_CACHE_HOME")
    before = {name: os.environ.get(name) for name in names}
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(dict.fromkeys(names, folder))
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value
