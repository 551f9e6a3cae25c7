"""A call gives the same bits every time, on however many threads."""

from __future__ import annotations

import numpy as np

from pysoftcorr import StarCatalog, rho_statistics


def test_resamples_do_not_depend_on_which_thread_makes_them() -> None:
    """Sixty calls of 60 + 60 resamples: a value shared between threads shows within a few."""
    rng = np.random.default_rng(3)
    n = 120
    e = rng.normal(0, 0.05, (4, n))
    stars = StarCatalog(
        ra=rng.uniform(10, 11, n), dec=rng.uniform(0, 1, n), sigma=np.ones(n),
        sigma_model=rng.uniform(0.9, 1.1, n), g1=e[0], g2=e[1], g1_model=e[2], g2_model=e[3],
    )  # fmt: skip

    def run() -> np.ndarray:
        rho = rho_statistics(
            stars, "linear:0:60:6", clusters=30, assignments=60, resampling="bootstrap:60", seed=4
        )
        return np.stack([part for c in rho.values() for part in (c.epistemic, c.aleatoric)])

    first = run()
    for _ in range(60):
        np.testing.assert_array_equal(run(), first)
