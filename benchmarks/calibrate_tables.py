"""Whether posteriors of tables of halos hold what they say: mocks of fresh universes.

python benchmarks/calibrate_tables.py [MOCKS [BOXES [SIDE]]], with the repository on PYTHONPATH.
Each mock has halos of a universe of its own and strengths drawn from the prior; the tables are of
other universes.
"""

from __future__ import annotations

import sys

import numpy as np
import torch

from pysoftcorr.mocks import HaloTables, HODModel
from tests.helpers.calibration import calibrate, universe

MMIN = 2e11
HODS = {
    "logMmin 11.6": HODModel(logMmin=11.6, sigma_logM=0.2, logM0=11.7, logM1=12.7, alpha=1.0),
    "logMmin 12.1": HODModel(logMmin=12.1, sigma_logM=0.3, logM0=12.1, logM1=13.1, alpha=1.1),
}


def main(mocks: int = 100, boxes: int = 16, side: float = 60.0) -> None:
    torch.set_num_threads(1)
    known = [universe(side, MMIN, 10_000 + k) for k in range(boxes)]
    tables = HaloTables.tabulate(known, bins="log:0.1:12:12", nodes=24, progress=False)
    print(f"tables of {boxes} boxes of {side:g} Mpc/h", flush=True)
    fresh = [universe(side, MMIN, k) for k in range(mocks)]
    print(f"{mocks} universes", flush=True)
    for statistics in (("omega",), ("xi", "omega", "eta")):
        for title, hod in HODS.items():
            found = calibrate(tables, hod, fresh, seed=1, statistics=statistics)
            for k, name in enumerate(("mu_cen", "mu_sat")):
                z = found.z[:, k]
                print(
                    f"{title}, {','.join(statistics)}, {name}: z {z.mean():+.3f} +- {z.std():.3f} "
                    f"(+- {1 / np.sqrt(2 * mocks):.3f}), 68 % intervals hold "
                    f"{100 * found.covered[k]:.0f} % (+- {46.5 / np.sqrt(mocks):.0f}), posterior "
                    f"sd {np.median(found.sd[:, k]):.3f}",
                    flush=True,
                )


if __name__ == "__main__":
    main(*(t(a) for t, a in zip((int, int, float), sys.argv[1:], strict=False)))
