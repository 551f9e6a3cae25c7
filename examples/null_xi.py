"""Move galaxies a little so that their xi+ is null in every bin, by gradient descent in torch.

    python examples/null_xi.py

Once for xi+ of all pairs, once for xi+ of soft clusters, where every galaxy has a gradient
through the memberships, the clusters' shears and the converged centers.
"""

import os

import numpy as np
import torch

from pysoftcorr import Catalog, SoftCorrelation

SMALL = bool(os.environ.get("PYSOFTCORR_EXAMPLE_SMALL"))
n, clusters = (150, 15) if SMALL else (400, 40)
BINS = "linear:0:45:3"

# Shapes that are aligned with their neighbors', so that there is a correlation to begin with.
rng = np.random.default_rng(1)
ra, dec = rng.uniform(150.0, 151.0, n), rng.uniform(2.0, 3.0, n)
phase = 6.0 * np.pi * (ra + dec)
g1 = 0.1 * np.cos(phase) + rng.normal(0.0, 0.02, n)
g2 = 0.1 * np.sin(phase) + rng.normal(0.0, 0.02, n)
before = Catalog(ra=ra, dec=dec, g1=g1, g2=g2)


def null(estimator):
    """Adam on the positions; gives how much of the largest xi+ is left."""
    estimator = estimator.pin(before)
    first = estimator.value(before)
    print("before", " ".join(f"{v:+.2e}" for v in first))
    # In arcmin on the sky, the same length either way.
    shift = torch.zeros(2, n, dtype=torch.float64, requires_grad=True)
    fixed = [torch.from_numpy(a) for a in (ra, dec, g1, g2)]
    optimizer = torch.optim.Adam([shift], lr=0.1)
    for step in range(201):
        optimizer.zero_grad()
        ra_now = fixed[0] + shift[0] / 60 / torch.cos(torch.deg2rad(fixed[1]))
        dec_now = fixed[1] + shift[1] / 60
        moved = Catalog(ra=ra_now.detach().numpy(), dec=dec_now.detach().numpy(), g1=g1, g2=g2)
        estimator = estimator.pin(moved)  # follow the clusters, do not search for them again
        xi = estimator.torch(ra_now, dec_now, *fixed[2:])
        left = float(xi.detach().abs().max()) / abs(first).max()
        done = left < 0.01
        if step % 20 == 0 or done:
            rms = float(shift.detach().square().sum(0).mean().sqrt())
            print(f"step {step:3d}  {left:.1e} of the largest xi+ left, moved {rms:.2f} arcmin")
        if done:
            break
        ((xi / abs(first).max()) ** 2).sum().backward()
        optimizer.step()
        optimizer.param_groups[0]["lr"] = 0.1 * min(1.0, left)  # shorter steps near the end
    print("after ", " ".join(f"{v:+.2e}" for v in xi.tolist()))
    return left


print("all pairs")
pairs = null(SoftCorrelation(BINS, approach="naive"))
print(f"{clusters} soft clusters")
soft = null(SoftCorrelation(BINS, clusters=clusters, seed=1))
assert max(pairs, soft) < 0.05, "xi+ was not nulled"
