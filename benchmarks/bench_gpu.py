"""All pairs in soft and in hard bins and c-means: the CPU and, where there is one, the GPU."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from timing import heading, in_turn, once

from pysoftcorr.sky.catalog import Catalog
from pysoftcorr.sky.clustering import SoftClustering
from pysoftcorr.sky.correlation import xi_pm
from pysoftcorr.sky.differentiable import SoftCorrelation

BINS = "log:0.5:50:20"
#: Number of galaxies, and the side of the field in degrees.
SIZES = ((5_000, 1.0), (20_000, 1.0), (100_000, 1.0), (1_000_000, 10.0))
#: Objects, clusters.
CLUSTERED = ((100_000, 100), (1_000_000, 1_000))
SWEEPS = {"cpu": 5, "cuda": 100}


def galaxies(n: int, side: float) -> Catalog:
    """A square field without clustering."""
    rng = np.random.default_rng(1)
    ra, dec = 150 + side * (rng.random((2, n)) - 0.5)
    return Catalog(ra=ra, dec=dec - 150, g1=rng.normal(0, 0.3, n), g2=rng.normal(0, 0.3, n))


def pairs(largest: int, devices: list[str]) -> None:
    """Seconds of each work and size; the CPU up to `largest` galaxies."""
    heading(f"all pairs, {BINS}, on the GPU {torch.cuda.get_device_name()}")
    soft = {on: SoftCorrelation(BINS, approach="naive", device=on) for on in devices}
    ones = np.ones(soft["cuda"].nbins)
    for n, side in SIZES:
        catalog = galaxies(n, side)
        works: dict[str, Callable[[], object]] = {}
        for on in devices:
            if on == "cpu" and n > largest:
                continue
            works[f"{on}, hard bins, xi+ and xi-"] = partial(xi_pm, catalog, BINS, device=on)
            works[f"{on}, soft bins, xi+"] = partial(soft[on].value, catalog)
            works[f"{on}, soft bins, xi+ with gradient"] = partial(soft[on].vjp, catalog, ones)
        first = {name: once(work) for name, work in works.items()}
        for name, timed in in_turn(3, warmup=False, **works).items():
            print(f"  {n:9,} galaxies, {name}: {timed.median:.3f} s (first {first[name]:.1f} s)")
        if "cpu" in devices and n <= largest:
            one, other = (soft[on].vjp(catalog, ones)["ra"] for on in devices)
            apart = np.abs(one - other).max() / np.abs(one).max()
            print(f"    largest difference of the gradient, relative: {apart:.0e}")


def clusters(largest: int, devices: list[str]) -> None:
    """Seconds of a sweep, and of start and memberships; the CPU up to `largest` objects."""
    heading("fuzzy c-means")
    for n, c in CLUSTERED:
        catalog = galaxies(n, 10.0)
        for on in devices:
            if on == "cpu" and n > largest:
                continue
            fits = [
                SoftClustering(
                    n_clusters=c, seed=1, device=on, max_iter=sweeps, tol=1e-300, accelerate=False
                )
                for sweeps in (1, 1 + SWEEPS[on])
            ]
            works = {str(k): partial(fit.fit, catalog) for k, fit in enumerate(fits)}
            one, more = in_turn(3 if n < 1_000_000 else 1, **works).values()
            sweep = (more.median - one.median) / SWEEPS[on]
            print(
                f"  {n:9,} x {c:,}, {on}: {1e3 * sweep:.1f} ms a sweep, {one.median - sweep:.2f} s "
                "for start and memberships"
            )


def main() -> None:
    """``bench_gpu.py [LARGEST]``: the most objects for the CPU, 5,000 by default; 0: none."""
    largest = int(sys.argv[1]) if len(sys.argv) > 1 else 5_000
    if not torch.cuda.is_available():
        print("pairs and c-means on a GPU: torch sees no CUDA device here; nothing is timed")
        return
    warnings.simplefilter("ignore")
    devices = ["cpu", "cuda"] if largest else ["cuda"]
    pairs(largest, devices)
    clusters(largest, devices)


if __name__ == "__main__":
    main()
