"""DiffHOD on a million halos: P(k) with gradient on the CPU and, where there is one, the GPU."""

from __future__ import annotations

import sys
from functools import partial

import torch
from timing import heading, in_turn, once

from pysoftcorr.diffhod import DiffHOD
from pysoftcorr.diffhod.experiments.settings import FIDUCIAL
from pysoftcorr.mocks import HaloCatalog

KINDS = {"relaxed, tau = 0.1": {"tau": 0.1}, "reweighted": {"reference": FIDUCIAL, "density": 16.0}}
DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


def gradient(model: DiffHOD, statistic: str) -> None:
    """A value, and its derivative by the parameters, at the host when it returns."""
    values = FIDUCIAL if statistic == "power" else (0.7, 0.3, *FIDUCIAL)
    theta = torch.tensor(values, dtype=model.dtype, device=model.device, requires_grad=True)
    if statistic == "power":
        total = model.power(theta)[1].sum()
    else:
        total = torch.nan_to_num(torch.cat(model.correlations(theta))).sum()
    torch.autograd.grad(total, theta)[0].cpu()


def compare(halos: HaloCatalog, name: str, statistic: str, **options: object) -> None:
    """A line for each device and precision, all timed in turn."""
    works, found = {}, {}
    for device in DEVICES:
        for dtype in (torch.float64, torch.float32):
            model = DiffHOD(halos, device=device, dtype=dtype, seed=1, **options)
            label = f"{device} {str(dtype).removeprefix('torch.')}"
            works[label] = partial(gradient, model, statistic)
            found[label] = once(works[label])
    points = len(model.galaxies(FIDUCIAL))
    timed = in_turn(5, **works)
    first = next(iter(timed.values())).median
    print(f"  {name}, {statistic}, {points:,} points:")
    for label, t in timed.items():
        print(
            f"    {label}: {1e3 * t.median:.1f} ms, {first / t.median:.1f}x; the first, with the "
            f"points found, {found[label]:.1f} s"
        )


def main() -> None:
    """``bench_diffhod_large.py [BOXSIZE]``: 470 Mpc/h by default, a million halos."""
    side = float(sys.argv[1]) if len(sys.argv) > 1 else 470.0
    small = HaloCatalog.simulate(100.0, 128, seed=1)
    heading(f"{len(small):,} halos in 100 Mpc/h, mesh 64, {torch.get_num_threads()} threads")
    for name, kind in KINDS.items():
        compare(small, name, "power", mesh=64, **kind)
    compare(small, "relaxed, tau = 0.1", "correlations", tau=0.1)
    large = HaloCatalog.simulate(side, 256, mmin=3e11, seed=1)
    heading(f"{len(large):,} halos in {side:g} Mpc/h, mesh 256")
    for name, kind in KINDS.items():
        compare(large, name, "power", mesh=256, **kind)
    if "cuda" in DEVICES:
        most = torch.cuda.max_memory_allocated() / 2**30
        print(f"  {torch.cuda.get_device_name()}: {most:.2f} GiB at most, two models of each")


if __name__ == "__main__":
    main()
