"""Make the table of pairs within ellipsoids that travels with the package.

    python tools/make_ellipsoids.py [FILE]

A minute and a half of CPU. By default the file is pysoftcorr/data/ellipsoids.h5.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pysoftcorr.mocks.tabulated.ellipsoid_table import PairGrid

HERE = Path(__file__).resolve().parents[1] / "pysoftcorr" / "data" / "ellipsoids.h5"

if __name__ == "__main__":
    PairGrid.make((1.0, 200.0), (0.1, 1.0), 1e-3).write(
        Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    )
