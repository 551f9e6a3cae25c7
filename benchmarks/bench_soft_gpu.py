"""Soft pairs of all galaxies with gradient: the CPU and, where there is one, the GPU."""

from __future__ import annotations

import sys
from functools import partial

import numpy as np
import torch
from timing import heading, in_turn, once

from pysoftcorr.sky.catalog import Catalog
from pysoftcorr.sky.differentiable import SoftCorrelation

BINS = "log:0.5:50:20"
#: Number of galaxies, and the side of the field in degrees.
SIZES = ((5_000, 1.0), (20_000, 1.0), (100_000, 1.0), (1_000_000, 10.0))


def galaxies(n: int, side: float) -> Catalog:
    """A square field without clustering."""
    rng = np.random.default_rng(1)
    ra, dec = 150 + side * (rng.random((2, n)) - 0.5)
    return Catalog(ra=ra, dec=dec - 150, g1=rng.normal(0, 0.3, n), g2=rng.normal(0, 0.3, n))


def main() -> None:
    """``bench_soft_gpu.py [LARGEST]``: the most galaxies for the CPU, 5,000 by default."""
    largest = int(sys.argv[1]) if len(sys.argv) > 1 else 5_000
    if not torch.cuda.is_available():
        print("soft pairs on a GPU: torch sees no CUDA device here; nothing is timed")
        return
    heading(f"xi+ of all pairs in soft bins, {BINS}, on {torch.cuda.get_device_name()}")
    on = {name: SoftCorrelation(BINS, approach="naive", device=name) for name in ("cpu", "cuda")}
    ones = np.ones(on["cuda"].nbins)
    for n, side in SIZES:
        catalog = galaxies(n, side)
        works = {
            f"{name} {what}": work
            for name, soft in on.items()
            if name == "cuda" or n <= largest
            for what, work in (
                ("value", partial(soft.value, catalog)),
                ("value and gradient", partial(soft.vjp, catalog, ones)),
            )
        }
        first = {name: once(work) for name, work in works.items()}
        for name, timed in in_turn(3 if n < 1_000_000 else 1, warmup=False, **works).items():
            print(f"  {n:8,} galaxies, {name}: {timed.median:.3f} s (first {first[name]:.1f} s)")
        if n <= largest:
            a, b = (soft.vjp(catalog, ones)["ra"] for soft in on.values())
            apart = np.abs(a - b).max() / np.abs(a).max()
            print(f"    largest difference of the gradient, relative: {apart:.0e}")


if __name__ == "__main__":
    main()
