"""The demo: rho statistics with both errors, of a simulated star catalog shipped with it."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from pysoftcorr.sky.stars import demo_stars_path

if TYPE_CHECKING:
    from pysoftcorr.cli.estimate import Outcome

__all__ = ["run"]


def run(folder: str | PathLike[str]) -> tuple[Outcome, list[Path]]:
    """Measure, and write figures and ``rho.h5`` into a folder; what was there is replaced.

    Parameters
    ----------
    folder : path
        Made if it is not there.

    Returns
    -------
    outcome : Outcome
        Catalog, clustering, rho statistics with 100 sampled assignments and 100 bootstrap
        resamples, the same of all pairs, and the finding.
    files : list of Path
        What was written.

    Raises
    ------
    OSError
        If the folder cannot be written in.
    """
    from pysoftcorr.cli.estimate import measure
    from pysoftcorr.cli.figures import draw
    from pysoftcorr.cli.output import check_folder
    from pysoftcorr.cli.settings import resolve

    target = check_folder(folder)
    settings, explicit = resolve("rho", {}, None)
    outcome = measure("rho", [str(demo_stars_path())], settings, explicit)
    target.mkdir(parents=True, exist_ok=True)
    result = target / "rho.h5"
    outcome.result.write(result, overwrite=True)
    return outcome, [result, *draw(outcome, target)]
