"""Whether somebody watches: a progress bar is for a terminal or a notebook, and nothing else."""

from __future__ import annotations

import os
import sys

__all__ = ["watched"]


def watched() -> bool:
    """Whether a progress bar would be seen: on a terminal, or below the cell of a notebook.

    The environment variable TQDM_DISABLE, which tqdm has as well, says that nobody wants any.

    Examples
    --------
    >>> from pysoftcorr.core.progress import watched
    >>> watched() in (True, False)
    True
    """
    if sys.stderr is None or os.environ.get("TQDM_DISABLE", "0") not in ("", "0"):
        return False
    return sys.stderr.isatty() or _in_notebook()


def _in_notebook() -> bool:
    """Whether this process is a Jupyter kernel, and the stream that of its cells."""
    # No kernel without these modules: they are not imported here.
    if "ipykernel" not in sys.modules or "IPython" not in sys.modules:
        return False
    shell = sys.modules["IPython"].get_ipython()
    return hasattr(shell, "kernel") and type(sys.stderr).__module__.startswith("ipykernel")
