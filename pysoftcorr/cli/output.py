"""Places for output, found before the work; and what is printed after it."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any


def check_folder(path: str | os.PathLike[str]) -> Path:
    """Find out whether files could be written into a folder, which may not be there yet.

    Raises
    ------
    NotADirectoryError, PermissionError, OSError
        If not.
    """
    folder = Path(path).expanduser()
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise NotADirectoryError(f"cannot write in {folder}: {place} is not a folder")
    probe = place / f".{secrets.token_hex(8)}"
    try:
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise type(error)(
            error.errno, f"cannot write there ({error.strerror})", str(folder)
        ) from None
    return folder


def check_out(settings: Mapping[str, Any], *, suffixes: Sequence[str]) -> None:
    """Check --out and --plot, as far as they are given, before anything else is done."""
    if settings["out"] is not None:
        from pysoftcorr.core.files import check_output

        check_output(settings["out"], suffixes=suffixes, overwrite=settings["overwrite"])
    if settings["plot"] is not None:
        check_folder(settings["plot"])


def figures_folder(path: str | os.PathLike[str]) -> Path:
    """The folder for figures, made if it is not there; figures go to files alone."""
    import matplotlib

    matplotlib.use("Agg")  # no display is needed
    target = Path(path).expanduser()
    target.mkdir(parents=True, exist_ok=True)
    return target


def save(figures: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write figures under their names; gives the files."""
    from pysoftcorr import plots

    return [plots.save_figure(figure, folder / f"{name}.png") for name, figure in figures.items()]


def use_threads(number: int | None) -> None:
    """Set the number of threads of Julia, which reads it when it starts."""
    if number is not None:
        os.environ["PYSOFTCORR_THREADS"] = str(number)


def wrote(files: Iterable[Any]) -> None:
    """Say which files there are now."""
    for file in files:
        print(f"wrote {file}", file=sys.stderr)


@contextlib.contextmanager
def only_json(as_json: bool) -> Iterator[None]:
    """Keep stdout for the JSON object: whatever else is printed goes to stderr."""
    if not as_json:
        yield
        return
    with contextlib.redirect_stdout(sys.stderr):
        yield
