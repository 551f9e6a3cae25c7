"""Does the PSF leak into galaxy shapes? Rho and tau statistics of a mock, and the fit of both.

    python examples/psf_leakage.py [STARS [GALAXIES.fits]]

The mock galaxies lie among the stars of a catalog (the simulated one by default) and have, beside
their own shapes, known parts alpha, beta and eta of the PSF's fields at their places. Those are
Gaussian-process regressions of what the stars have, whose correlation with the stars is that of the
stars with one another. With a second name the mock is kept, for

    softcorr tau GALAXIES.fits STARS --plot figures
"""

import os
import sys

import numpy as np

from pysoftcorr import (
    Catalog,
    StarCatalog,
    demo_stars_path,
    fit_leakage,
    rho_statistics,
    tau_statistics,
)

TRUTH = {"alpha": 0.05, "beta": 1.0, "eta": 1.0}


def interpolated(stars, field, xyz):
    """A complex field of the stars at other directions, by Gaussian-process regression.

    Signal of the covariance a exp(-theta/l) and white noise, by their greatest likelihood on a grid
    of l and of the part of the signal.
    """
    mean = field.mean()
    data = field - mean
    apart = np.linalg.norm(stars.xyz[:, None] - stars.xyz[None], axis=2)
    best = (np.inf, 0.0, 0.0, data)
    for length in np.geomspace(0.02, 2, 6) * apart.max():
        values, vectors = np.linalg.eigh(np.exp(-apart / length))
        turned = vectors.T @ data
        for signal in (0.02, 0.1, 0.3, 0.6, 0.9, 0.99, 0.9999):
            spread = signal * np.clip(values, 0, None) + 1 - signal
            # The scale of all is that of greatest likelihood.
            cost = np.log(spread).sum() + len(data) * np.log((np.abs(turned) ** 2 / spread).sum())
            if cost < best[0]:
                best = (cost, length, signal, vectors @ (turned / spread))
    _, length, signal, weighted = best
    between = np.linalg.norm(xyz[:, None] - stars.xyz[None], axis=2)
    return mean + signal * np.exp(-between / length) @ weighted


def mock_galaxies(stars, n, *, shape_noise=0.02, seed=1, alpha=0.0, beta=0.0, eta=0.0):
    """Galaxies among the stars, with these parts of the PSF in their shapes."""
    rng = np.random.default_rng(seed)
    near = stars[rng.integers(len(stars), size=n)]
    dec = near.dec + rng.normal(0, 0.02, n)
    ra = near.ra + rng.normal(0, 0.02, n) / np.cos(np.radians(dec))
    xyz = Catalog(ra=ra, dec=dec).xyz
    p, q, w = (interpolated(stars, f, xyz) for f in stars.fields(reference="gatti"))
    e = rng.normal(0, shape_noise, (n, 2)) @ [1, 1j]
    e = e + alpha * p + beta * q + eta * w
    return Catalog(ra=ra, dec=dec, g1=e.real, g2=e.imag, name="mock galaxies")


def main():
    path = sys.argv[1] if len(sys.argv) > 1 else demo_stars_path()
    stars = StarCatalog.read(path)
    small = "PYSOFTCORR_EXAMPLE_SMALL" in os.environ
    galaxies = mock_galaxies(stars, 1500 if small else 6000, **TRUTH)
    if len(sys.argv) > 2:
        galaxies.to_table().write(sys.argv[2], overwrite=True)
    bins = "log:1:40:5"  # arcmin
    print(rho_statistics(stars, bins).rho1.summary(), end="\n\n")
    tau = tau_statistics(galaxies, stars, bins, resampling="jackknife:40", seed=1)
    print(tau.tau0.summary(), end="\n\n")
    found = fit_leakage(tau)
    print(found.summary(), end="\n\n")
    for name, value in found.value.items():
        print(f"{name}: {value:+.3f} +- {found.error[name]:.3f}, put in {TRUTH[name]}")


if __name__ == "__main__":
    main()
