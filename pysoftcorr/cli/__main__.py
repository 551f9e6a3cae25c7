"""``python -m pysoftcorr.cli``: the same as ``softcorr``."""

from pysoftcorr.cli import main

main()
