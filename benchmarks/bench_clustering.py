"""Fuzzy c-means, seconds per iteration, against scikit-fuzzy on the same unit vectors."""

from __future__ import annotations

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


if __name__ == "__main__":
    main()
