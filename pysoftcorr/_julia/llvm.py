"""Other LLVMs in the process."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import sys
from pathlib import Path

__all__ = ["load_triton"]


def load_triton() -> None:
    """Load the library of triton, where it is installed, before Julia's LLVM is there.

    Builds of torch for GPUs bring triton along and import it when they please. It holds an LLVM
    of its own, and Julia's is visible to all libraries loaded after it: loaded later, triton would
    take the one for the other, and the process would die. Loaded first it keeps its own.
    """
    if not sys.platform.startswith("linux"):
        return
    with contextlib.suppress(ImportError, ValueError):
        spec = importlib.util.find_spec("triton")
        for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
            path = Path(folder) / "_C" / "libtriton.so"
            if path.is_file():
                # Should it not load, triton cannot be imported at all.
                with contextlib.suppress(OSError):
                    ctypes.CDLL(str(path))
