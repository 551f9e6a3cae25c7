"""A jackknife of xi+- shared among workers of this machine: time, CPU time of all, and the bits."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable

import numpy as np
from timing import heading

from pysoftcorr import Catalog, CorrelationSet, xi_pm
from pysoftcorr.core.farm.blocks import farm_of, one_farm

OBJECTS, PATCHES = 100_000, 50
BINS = "log:0.5:100:15"


def galaxies(n: int) -> Catalog:
    """Galaxies over 25 square degrees."""
    rng = np.random.default_rng(1)
    return Catalog(
        ra=rng.uniform(150, 155, n), dec=rng.uniform(0, 5, n), g1=rng.normal(0, 0.25, n),
        g2=rng.normal(0, 0.25, n),
    )  # fmt: skip


def measured(work: Callable[[], CorrelationSet], cpu: Callable[[], float]) -> tuple[float, float]:
    """Seconds, and seconds of CPU."""
    begun, before = time.perf_counter(), cpu()
    work()
    return time.perf_counter() - begun, cpu() - before


def own_cpu(*_: object) -> float:
    """Seconds of CPU that this process has used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Without workers on as many threads as there are; with workers of one thread each."""
    heading(f"xi+- of {OBJECTS:,} galaxies with a jackknife of {PATCHES} patches")
    catalog, way = galaxies(OBJECTS), f"jackknife:{PATCHES}"
    small = catalog[:2000]

    def plain() -> CorrelationSet:
        return xi_pm(catalog, BINS, resampling=way, seed=1)

    xi_pm(small, BINS, resampling="jackknife:5", seed=1)  # starts Julia
    found = [plain()]
    seconds, used = measured(plain, own_cpu)
    print(f"  without workers: {seconds:.2f} s, {used:.2f} s of CPU")
    one = None
    for workers in (1, 2):
        with one_farm("bench_workers", None, workers), farm_of("", None, workers) as farm:
            assert farm is not None
            client = farm.client

            def every(client: object = client) -> float:
                return own_cpu() + sum(client.run(own_cpu).values())  # type: ignore[attr-defined]

            def shared(workers: int = workers) -> CorrelationSet:
                return xi_pm(catalog, BINS, resampling=way, seed=1, workers=workers)

            xi_pm(small, BINS, resampling="jackknife:9", seed=1, workers=workers)
            found.append(shared())
            wall, cpu = measured(shared, every)
        one = one or (wall, cpu)
        print(
            f"  {workers} worker{'s' if workers > 1 else ''}: {wall:.2f} s, "
            f"{one[0] / wall:.2f}x of one; {cpu:.2f} s of CPU, {cpu / used:.2f}x of none"
        )
    a, b, c = (np.stack([s[name].aleatoric for name in s]) for s in found)
    print(f"  resamples: one and two workers {'the same bits' if (b == c).all() else 'DIFFER'}; "
          f"from none by {np.abs(b - a).max() / np.abs(a).max():.0e} of the largest")  # fmt: skip


if __name__ == "__main__":
    main()
