"""The command ``softcorr``: correlation functions with both errors, from the terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``softcorr``; leaves by SystemExit.

    Exit status 0; 2 for what the user can fix, in one line on stderr; 130 where
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
    try:
        from pysoftcorr.cli.app import run

        status = run(list(sys.argv[1:] if arguments is None else arguments))
    except KeyboardInterrupt:  # while modules are being imported
        print("interrupted: nothing was done", file=sys.stderr)
        status = 130
    raise SystemExit(status)
