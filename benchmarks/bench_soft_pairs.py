"""Soft pairs of galaxies, value and gradient, against our hard bins and TreeCorr without slop.

Twenty logarithmic bins that hold all pairs of a field. Processor seconds, least of the runs; with
one thread nothing else is in them:

    JULIA_NUM_THREADS=1 OMP_NUM_THREADS=1 python benchmarks/bench_soft_pairs.py [n ...]
"""

from __future__ import annotations

import sys
import time

import numpy as np

from pysoftcorr import Catalog, SoftCorrelation, xi_pm

BINS = "log:1:200:20"
SIZES = (5_000, 20_000, 100_000)
#: Side of the field in degrees: its diagonal is 255 arcmin.
SIDE = 3.0


def field(n: int) -> Catalog:
    """Galaxies anywhere in the field, with shape noise."""
    rng = np.random.default_rng(1)
    return Catalog(
        ra=150 + SIDE * rng.random(n), dec=SIDE * (rng.random(n) - 0.5),
        g1=rng.normal(0, 0.2, n), g2=rng.normal(0, 0.2, n), w=rng.uniform(0.5, 1.5, n),
    )  # fmt: skip


def seconds(work, runs: int) -> float:
    """Processor seconds of the fastest run."""
    spent = []
    for _ in range(runs):
        begun = time.process_time()
        work()
        spent.append(time.process_time() - begun)
    return min(spent)


def treecorr_exact(catalog: Catalog):
    """xi of TreeCorr with every pair in its bin; None where it is not installed."""
    try:
        import treecorr
    except ImportError:
        return None

    def work() -> None:
        stars = treecorr.Catalog(ra=catalog.ra, dec=catalog.dec, g1=catalog.g1, g2=catalog.g2,
                                 w=catalog.w, ra_units="deg", dec_units="deg")  # fmt: skip
        treecorr.GGCorrelation(min_sep=1, max_sep=200, nbins=20, sep_units="arcmin", bin_slop=0,
                               num_threads=1).process(stars)  # fmt: skip

    return work


def main(sizes: tuple[int, ...]) -> None:
    """A line for each size, statistic and weighting."""
    few = field(1_200)
    for n in sizes:
        catalog = field(n)
        runs = 3 if n <= 5_000 else 1
        xi_pm(few, bins=BINS)
        hard = seconds(lambda c=catalog: xi_pm(c, bins=BINS), runs)
        pairs = n * (n - 1) / 2e9
        print(f"{n} galaxies: hard bins {hard:.3g} s, {hard / pairs:.2f} ns a pair")
        peer = treecorr_exact(catalog)
        exact = seconds(peer, 1) if peer else float("nan")
        if peer:
            print(f"  TreeCorr, bin_slop=0: {exact:.3g} s")
        for weighting in ("sigmoid", "gaussian"):
            for statistic in ("xip", "xim"):
                soft = SoftCorrelation(
                    BINS, approach="naive", weighting=weighting, statistic=statistic
                )
                cotangent = np.ones(soft.nbins)
                soft.value(few), soft.vjp(few, cotangent)
                value = seconds(lambda s=soft, c=catalog: s.value(c), runs)
                pull = seconds(lambda s=soft, c=catalog, t=cotangent: s.vjp(c, t), runs)
                print(
                    f"  {weighting:8s} {statistic}: value {value:.3g} s, {value / pairs:.2f} ns "
                    f"a pair, {value / hard:.2f} of hard; with gradient {pull:.3g} s, "
                    f"{pull / value:.2f} of the value, {pull / exact:.2f} of TreeCorr"
                )


if __name__ == "__main__":
    main(tuple(map(int, sys.argv[1:])) or SIZES)
