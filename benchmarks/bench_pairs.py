"""All-pairs xi+- against TreeCorr: brute force, and bin_slop = 0, on the same catalogs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import treecorr
from timing import heading, in_turn, peak_memory, ratio

from pysoftcorr import Binning, Catalog, xi_pm

BINS = Binning.log(0.5, 50, 20)


def catalog(n: int) -> Catalog:
    """n objects in a square degree."""
    rng = np.random.default_rng(1)
    return Catalog(
        ra=rng.uniform(0, 1, n),
        dec=rng.uniform(2, 3, n),
        g1=rng.normal(0, 0.1, n),
        g2=rng.normal(0, 0.1, n),
    )


def compare(n: int, runs: int, **settings: object) -> None:
    """One size and one setting of TreeCorr."""
    ours_catalog = catalog(n)
    theirs_catalog = treecorr.Catalog(
        ra=ours_catalog.ra, dec=ours_catalog.dec, ra_units="deg", dec_units="deg",
        g1=ours_catalog.g1, g2=ours_catalog.g2,
    )  # fmt: skip
    result = {}

    def theirs() -> None:
        gg = treecorr.GGCorrelation(
            min_sep=0.5, max_sep=50, nbins=20, sep_units="arcmin", metric="Arc", **settings
        )
        gg.process(theirs_catalog)
        result["theirs"] = gg.xip

    def ours() -> None:
        result["ours"] = xi_pm(ours_catalog, BINS).xip.value

    done = in_turn(runs, warmup=n < 50_000, treecorr=theirs, pysoftcorr=ours)
    how = ", ".join(f"{k}={v}" for k, v in settings.items())
    print(
        f"  {n:>6} objects, {how:<11}: TreeCorr {done['treecorr'].median:6.2f} s, "
        f"pysoftcorr {done['pysoftcorr'].median:6.3f} s, "
        f"{ratio(done['treecorr'], done['pysoftcorr'])}; "
        f"largest difference of xi+ {np.abs(result['ours'] - result['theirs']).max():.0e}"
    )


def peak(n: int) -> float:
    """Peak memory in MB of a process that correlates n objects."""
    here = str(Path(__file__).parent)
    return peak_memory(
        f"import sys; sys.path.insert(0, {here!r}); from bench_pairs import *; "
        f"xi_pm(catalog({n}), BINS)"
    )


def main() -> None:
    """All comparisons."""
    heading(
        "xi+- of all pairs, one square degree, 0.5 to 50 arcmin, 20 bins: TreeCorr / pysoftcorr"
    )
    xi_pm(catalog(100), Binning.log(1, 50, 5))  # start and compile
    compare(10_000, 5, brute=True)
    compare(10_000, 5, bin_slop=0)
    compare(100_000, 2, bin_slop=0)
    heading("peak memory of a process, all pairs")
    for n in (1_000, 10_000, 50_000):
        print(
            f"  {n:>6} objects: {peak(n):6.0f} MB (a matrix of pairs: {8 * n * n / 2**20:.0f} MB)"
        )


if __name__ == "__main__":
    main()
