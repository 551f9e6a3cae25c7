"""The command ``softcorr``: correlation functions with both errors, from the terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``softcorr``; leaves by SystemExit.

    Exit status 0; 2 for what the user can mend, told in one line on stderr; 130 where
    interrupted; 1 for a fault of the program.

    Parameters
    ----------
    arguments : sequence of str, optional
        Those of the command line by default.

    Examples
    --------
    >>> from pysoftcorr.cli import main
    >>> main(["--version"])
    Traceback (most recent call last):
        ...
    SystemExit: 0
    """
    from pysoftcorr.cli.app import run

    raise SystemExit(run(list(sys.argv[1:] if arguments is None else arguments)))
