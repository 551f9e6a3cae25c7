"""Options that several commands have."""

from __future__ import annotations

from typing import Any

from pysoftcorr.cli.options import Option, derive
from pysoftcorr.cli.output import FIGURE_FORMATS

#: Of files of results; see `output.check_result`.
(FORMAT,) = derive(
    "pysoftcorr.sky.result:Correlation.write", only=("format",),
    format={"help": "Make the file of --out one of SACC (.sacc and .sacc.fits are, without this), "
            "or one with TreeCorr's columns (.fits, .h5, .txt)."},
)  # fmt: skip
BINS = "linear:LO:HI:N, log:LO:HI:N or edges:E0,E1,..."
(UNIT,) = derive(
    "pysoftcorr.sky.binning:Binning.of", only=("unit",), unit={"help": "Unit of the bins."}
)
#: What `derive` says of options of work that workers may share.
WORKERS: dict[str, Any] = {
    "scheduler": {"metavar": "ADDRESS", "help": "Share the work among the workers of a running "
                  "dask scheduler, as tcp://host:8786."},
    "workers": {"least": 1, "help": "Share the work among processes of this machine."},
}  # fmt: skip
SEED = Option("seed", int, 1, "Seed of everything random.", least=0)
THREADS = Option("threads", int, None, "Threads; every core by default.", least=1)
OVERWRITE = Option("overwrite", bool, False, "Replace FILE if it is there.")
PLOT = (
    Option("plot", str, None, "Draw the main figure into this file (.png, .pdf or .svg), or all "
           "figures into this folder (a name without a suffix); older ones are replaced.",
           metavar="PATH"),
    Option("plot_format", str, None, "Format of the figures in a folder [default: png].",
           choices=FIGURE_FORMATS),
)  # fmt: skip

(PLOT_STYLE,) = derive(
    "pysoftcorr.sky.result:CorrelationSet.plot", only=("style",),
    style={"name": "plot_style", "help": "paper: absolute values on logarithmic axes, open where "
           "negative, as wide as a column of a journal."},
)  # fmt: skip


def out(text: str, metavar: str = "FILE") -> Option:
    """The option that names the output."""
    return Option("out", str, None, text, metavar=metavar)
