"""Figures in files."""

from __future__ import annotations

import os
import secrets
from os import PathLike
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure


def save_figure(figure: Figure, path: str | PathLike[str], *, dpi: int = 150) -> Path:
    """Save a figure, whole or not at all, and close it; gives the path.

    Parameters
    ----------
    figure : Figure
    path : path
        The suffix decides the format: .png, .pdf, .svg.
    dpi : int
        Dots per inch of a .png.

    Raises
    ------
    OSError
        If nothing can be written there.
    ValueError
        If matplotlib does not know the suffix.
    """
    target = Path(path).expanduser()
    temporary = target.with_name(f".{secrets.token_hex(8)}{target.suffix}")
    try:
        figure.savefig(temporary, dpi=dpi, bbox_inches="tight")
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
        plt.close(figure)
    return target
