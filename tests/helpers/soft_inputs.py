"""Small catalogs for derivatives of soft correlation functions, on the sky and in a plane."""

from __future__ import annotations

import numpy as np

from pysoftcorr.sky.catalog import Catalog
from pysoftcorr.sky.differentiable import SoftCorrelation

BINS = "linear:0:60:3"
AXES = {"sky": ("ra", "dec", "g1", "g2", "w"), "flat": ("x", "y", "g1", "g2", "w")}
#: Approach and treatment of the centers, of which second derivatives are exact.
EXACT = [
    ("naive", "implicit"), ("soft", "implicit"), ("soft", "unrolled"), ("hard", "implicit"),
    ("gumbel", "implicit"), ("gumbel", "unrolled"),
]  # fmt: skip
#: And of which they hold the centers that they begin with, as the first derivatives do.
HELD = [(a, t) for a in ("soft", "gumbel") for t in ("one-step", "frozen")]


def columns(geometry: str, n: int = 14, seed: int = 1) -> dict[str, np.ndarray]:
    """Objects in a square degree."""
    rng = np.random.default_rng(seed)
    if geometry == "sky":
        places = 150 + rng.random(n), 2 + rng.random(n)
    else:
        places = rng.uniform(0, 60, n), rng.uniform(0, 60, n)
    rest = rng.normal(0, 0.2, n), rng.normal(0, 0.2, n), rng.uniform(0.5, 1.5, n)
    return dict(zip(AXES[geometry], (*places, *rest), strict=True))


def estimator(objects: dict[str, np.ndarray], **options: object) -> SoftCorrelation:
    """Three clusters, that start from the converged centers unless these are to be unrolled."""
    settings = {"clusters": 3, "seed": 1, "temperature": 0.5, "use_weights": True, **options}
    sc = SoftCorrelation(BINS, **settings)  # type: ignore[arg-type]
    return sc if options.get("through") == "unrolled" else sc.pin(Catalog(**objects))
