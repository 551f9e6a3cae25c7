"""Fuzzy c-means against scikit-fuzzy on the same unit vectors: a sweep, and a whole fit.

    python benchmarks/bench_clustering.py [fit]

The fit of scikit-fuzzy is its sweeps to the same change of the memberships, as many as our own
plain sweeps need, at the time of one of its.
"""

from __future__ import annotations

import sys
import warnings

import numpy as np
from skfuzzy.cluster import cmeans
from timing import heading, in_turn, ratio

from pysoftcorr import Catalog, SoftClustering


def main() -> None:
    """Two sizes, both started from the same memberships or centers."""
    heading("fuzzy c-means, per iteration: scikit-fuzzy / pysoftcorr")
    for n, c, sweeps, runs in ((610, 100, 50, 7), (100_000, 100, 5, 3)):
        rng = np.random.default_rng(1)
        catalog = Catalog(ra=rng.uniform(150, 151, n), dec=rng.uniform(2, 3, n))
        start = rng.random((c, n))
        start /= start.sum(axis=0)
        settings = SoftClustering(
            n_clusters=c, max_iter=sweeps, tol=1e-300, accelerate=False, seed=1
        )

        def theirs(data=catalog.xyz.T, c=c, sweeps=sweeps, start=start) -> None:
            cmeans(data, c, 2.0, error=0.0, maxiter=sweeps, init=start)

        def ours(settings=settings, catalog=catalog) -> None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                settings.fit(catalog)

        done = in_turn(runs, skfuzzy=theirs, pysoftcorr=ours)
        per = {name: timed.median / sweeps for name, timed in done.items()}
        print(
            f"  {n:>6} x {c}: scikit-fuzzy {1e3 * per['skfuzzy']:8.2f} ms, "
            f"pysoftcorr {1e3 * per['pysoftcorr']:6.2f} ms, "
            f"{ratio(done['skfuzzy'], done['pysoftcorr'])}"
        )


def fit(n: int = 100_000, c: int = 100, tol: float = 1e-2, sweeps: int = 5) -> None:
    """A whole fit, to a Frobenius norm of the change of U below `tol`."""
    heading(f"fuzzy c-means, a whole fit of {n} x {c} to {tol:g}: scikit-fuzzy / pysoftcorr")
    rng = np.random.default_rng(1)
    catalog = Catalog(ra=rng.uniform(150, 151, n), dec=rng.uniform(2, 3, n))
    start = rng.random((c, n))
    start /= start.sum(axis=0)
    plain, ours = (
        SoftClustering(n_clusters=c, max_iter=20_000, tol=tol, accelerate=quick, seed=1)
        for quick in (False, True)
    )

    def theirs() -> None:
        cmeans(catalog.xyz.T, c, 2.0, error=0.0, maxiter=sweeps, init=start)

    ours.fit(catalog[:1000])
    done = in_turn(3, skfuzzy=theirs, pysoftcorr=lambda: ours.fit(catalog))
    needed = plain.fit(catalog).n_iter
    whole = done["skfuzzy"].median / sweeps * needed
    own = done["pysoftcorr"].median
    print(f"  scikit-fuzzy {whole:.1f} s ({needed} sweeps), pysoftcorr {own:.2f} s "
          f"({ours.fit(catalog).n_iter} sweeps), {whole / own:.0f}x")  # fmt: skip


if __name__ == "__main__":
    fit() if sys.argv[1:] == ["fit"] else main()
