"""Places for output, found before the work; and what is printed after it."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pysoftcorr.cli.messages import tell

#: What makes each figure, by its name.
Figures = Mapping[str, Callable[[], Any]]
#: Formats of figures, the default first.
FIGURE_FORMATS = ("png", "pdf", "svg")


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
    check_plot(settings)


def check_result(settings: Mapping[str, Any]) -> None:
    """Check --out, --format and --plot of a correlation function before the work.

    Raises
    ------
    ValueError
        If the suffix does not suit the format, or there is a format and no file.
    MissingExtra
        If a SACC file is wanted and the package is not there.
    OSError
        If nothing can be written there.
    """
    path, form = settings["out"], settings["format"]
    if path is None:
        if form is not None:
            raise ValueError(f"format = {form!r}: has no meaning without --out")
        check_plot(settings)
        return
    from pysoftcorr.sky import formats

    formats.check(path, format=form, overwrite=settings["overwrite"])
    check_plot(settings)


def check_plot(settings: Mapping[str, Any]) -> None:
    """Check --plot and --plot-format before the work.

    Raises
    ------
    ValueError
        If the suffix of --plot is unknown, or the two say different things.
    OSError
        If nothing can be written there.
    """
    path, form = settings["plot"], settings["plot_format"]
    if path is None:
        if form is not None:
            raise ValueError(f"plot_format = {form!r}: has no meaning without --plot")
        return
    if not _is_file(path):
        check_folder(path)
        return
    from pysoftcorr.core.files import check_output

    suffix = Path(path).suffix.lower().lstrip(".")
    if suffix not in FIGURE_FORMATS:
        *first, last = (f".{known}" for known in FIGURE_FORMATS)
        raise ValueError(
            f"plot = {str(path)!r}: unknown suffix; use {', '.join(first)} or {last} for the main "
            "figure, or a name without a suffix, or with / at its end, for a folder of all figures"
        )
    if form not in (None, suffix):
        raise ValueError(
            f"plot_format = {form!r}: contradicts --plot {path}; leave one of them out"
        )
    check_output(path, overwrite=True)


def _is_file(path: str | os.PathLike[str]) -> bool:
    """Whether --plot names one file and not a folder, such as ``run1.5`` may be."""
    text = os.fspath(path)
    target = Path(text).expanduser()
    return not text.endswith(("/", os.sep)) and not target.is_dir() and target.suffix[1:2].isalpha()


def draw(settings: Mapping[str, Any], figures: Callable[[Any], Figures]) -> list[Path]:
    """Draw what --plot asks for: the first figure into a file, or all into a folder.

    Parameters
    ----------
    settings : mapping
        With "plot" and "plot_format".
    figures : callable
        Takes the module `pysoftcorr.plots`; gives what makes each figure by name, the main one
        first.

    Returns
    -------
    list of Path
        The files; none where --plot was not given.
    """
    if settings["plot"] is None:
        return []
    plots = _plots()
    makers = figures(plots)
    if not _is_file(settings["plot"]):
        return save(makers, settings["plot"], settings["plot_format"])
    main = next(iter(makers.values()))
    return [plots.save_figure(_figure(main()), settings["plot"])]


def save(figures: Figures, folder: str | os.PathLike[str], form: str | None = None) -> list[Path]:
    """Write all figures under their names into a folder; gives the files."""
    target = Path(folder).expanduser()
    target.mkdir(parents=True, exist_ok=True)
    plots, suffix = _plots(), form or FIGURE_FORMATS[0]
    return [
        plots.save_figure(_figure(make()), target / f"{name}.{suffix}")
        for name, make in figures.items()
    ]


def _plots() -> Any:
    from pysoftcorr.core import lazy
    from pysoftcorr.core.extras import hushed

    with hushed():
        import matplotlib

        matplotlib.use("Agg")  # no display is needed
        return lazy.plots()


def _figure(drawn: Any) -> Any:
    """The figure of what a plot function gives: itself, or that of the axes."""
    return drawn if hasattr(drawn, "savefig") else drawn.figure


def use_threads(number: int | None) -> None:
    """Set the number of threads of Julia, which reads it when it starts."""
    if number is not None:
        os.environ["PYSOFTCORR_THREADS"] = str(number)


def wrote(files: Iterable[Any]) -> None:
    """Say which files there are now."""
    for file in files:
        tell(f"wrote {file}")


@contextlib.contextmanager
def only_json(as_json: bool) -> Iterator[None]:
    """Keep stdout for the JSON object: whatever else is printed goes to stderr."""
    if not as_json:
        yield
        return
    with contextlib.redirect_stdout(sys.stderr):
        yield
