"""Effective samples of NUTS through DiffHOD against emcee on the exact HOD, and what each costs."""

from __future__ import annotations

import sys
import tempfile
import time

import numpy as np
import torch
from timing import heading, in_turn

from pysoftcorr.diffhod.experiments.exact import ExactPower
from pysoftcorr.diffhod.experiments.experiment import run_power_experiment
from pysoftcorr.diffhod.experiments.settings import FIDUCIAL, PowerSettings
from pysoftcorr.diffhod.experiments.smooth import SmoothPower
from pysoftcorr.mocks import HaloCatalog


def main() -> None:
    """``bench_diffhod.py [BOXSIZE] [STEPS]``: 100 Mpc/h and the small preset by default."""
    side = float(sys.argv[1]) if len(sys.argv) > 1 else 100.0
    steps = int(sys.argv[2]) if len(sys.argv) > 2 else 150
    halos = HaloCatalog.simulate(side, 128, seed=1)
    settings = PowerSettings.preset("small", steps=steps, walker_steps=4 * steps)
    options = {"mesh": settings.mesh, "k_max": settings.k_max, "realizations": 1, "seed": 1}
    exact = ExactPower(halos, **options)
    theta = np.array(FIDUCIAL)
    box = (theta - 0.1, theta + 0.1)
    heading(f"P(k) of {len(halos):,} halos in {side:g} Mpc/h, one realization, one thread")
    torch.set_num_threads(1)
    kinds = {
        "relaxed, tau = 0.1": {"tau": 0.1, "bounds": box},
        "relaxed, tau = 0.3": {"tau": 0.3, "bounds": box},
        "reweighted, 16 points a galaxy": {"reference": [*box], "density": 16.0},
    }
    for name, kind in kinds.items():
        smooth = SmoothPower(halos, **kind, **options)

        def gradient(smooth: SmoothPower = smooth) -> None:
            at = torch.tensor(theta, requires_grad=True)
            torch.autograd.grad(smooth(at).sum(), at)

        timed = in_turn(7, exact=lambda: exact(theta), gradient=gradient)
        ratio = timed["exact"].median / timed["gradient"].median
        print(
            f"  {name}: exact HOD {1e3 * timed['exact'].median:.1f} ms, value and gradient of "
            f"DiffHOD {1e3 * timed['gradient'].median:.1f} ms: {ratio:.1f}x"
        )
    heading("effective samples, two processes")
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        made = run_power_experiment(halos, folder, settings=settings, workers=2)
    print(made.report())
    print(f"\n{time.perf_counter() - begun:.0f} s in all")


if __name__ == "__main__":
    main()
