"""Optional packages, asked for where they are needed."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

__all__ = ["MissingExtra", "need"]


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
        with warnings.catch_warnings():
            # Announcements of coming versions, at every import.
            warnings.simplefilter("ignore")
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
